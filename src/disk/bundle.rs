//! Writes a bundle: it is read back and proved beside its place before it is moved there.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8Path;

use super::fingerprint::Written;
use super::write::tree::Extent;
use crate::archive::{self, Content, Entry, ReadArchive, Streams, Tally};
use crate::error::{Error, Result};
use crate::layout::Format;
use crate::proof::{Expected, SharedFacts, UnpackedFile, prove};

/// The way in which a bundle is written.
pub struct Writing<'a> {
    /// The format.
    pub format: Format,
    /// How much of an existing directory is replaced.
    pub extent: Extent,
    /// The options for archives.
    pub options: archive::Options,
    /// The streams that archives of this run share.
    pub streams: &'a Streams,
    /// What their proofs share.
    pub facts: &'a SharedFacts,
}

/// What happens to a bundle that was written beside its place.
pub enum Commit {
    /// It is removed.
    Removed,
    /// It is moved to its place without a proof.
    Placed,
    /// It is moved to its place if the proof finds nothing.
    PlacedIfItHolds,
}

/// Writes the bundle beside its place, calls `decide`, reads the bundle back, proves it, and only then moves it
/// there.
///
/// Returns whether it was moved, and what is known about an archive. Without `expected` no program is looked for:
/// libraries are proved with the functions that use them.
///
/// # Errors
///
/// If no archive can have these entries, if a file cannot be written, if the proof fails, and the errors of `decide`.
pub fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    writing: &Writing,
    expected: Option<&Expected>,
    decide: impl FnOnce(Option<&Written>) -> Result<Commit>,
) -> Result<(bool, Option<Written>)> {
    archive::check_plan(entries)?;
    let reader = BundleReader { output, entries, expected, differs: AtomicBool::new(false) };
    let known = OnceCell::new();
    let is_placed = match writing.format {
        Format::Zip => super::write::replace(
            output,
            |file| {
                let mut tally = Tally::new(file);
                let (_, places) =
                    archive::write_with(entries, &writing.options, writing.streams, &mut tally)?;
                let _ = known.set((Written::of(tally), places)); // it is set only once
                Ok(())
            },
            |written| {
                let Some((known, places)) = known.get() else { unreachable!("it was written") };
                let commit = decide(Some(known))?;
                if let Commit::Removed = commit {
                    return Ok(false);
                }
                if super::stored::stored(written)?.hash() != known.hash {
                    return Err(differs());
                }
                let (file, _) = super::open(written)?;
                let read = archive::read_written(output.as_str(), file, places, |at| {
                    reader.planned(at, writing.facts)
                })?;
                reader.check(&read.ok_or_else(differs)?, &commit).map(|()| true)
            },
        )?,
        Format::Dir => {
            let see = |at, bytes| reader.see(at, bytes);
            super::write::tree::replace(output, entries, writing.extent, see, |read| match decide(None)? {
                Commit::Removed => Ok(false),
                commit => reader.check(read, &commit).map(|()| true),
            })?
        }
    };
    Ok((is_placed, known.into_inner().map(|(written, _)| written)))
}

/// Compares what is read back with what was planned.
struct BundleReader<'a> {
    output: &'a Utf8Path,
    entries: &'a [Entry],
    expected: Option<&'a Expected<'a>>,
    /// Whether the bytes of a file differ.
    differs: AtomicBool,
}

impl BundleReader<'_> {
    /// Parses the planned file of the entry `at`, whose stream the archive has.
    fn planned(&self, at: usize, facts: &SharedFacts) -> Result<UnpackedFile> {
        let Entry { name, content, .. } = &self.entries[at];
        UnpackedFile::of_content(name, content, facts)
    }

    /// Takes a file that was read back: the one of the entry `at`.
    fn see(&self, at: usize, bytes: Vec<u8>) -> UnpackedFile {
        let planned = self.entries.get(at);
        if !planned.is_some_and(|planned| planned.content.is(None, &bytes)) {
            self.differs.store(true, Ordering::Relaxed);
        }
        UnpackedFile::new(planned.map_or("", |planned| &planned.name), bytes, false)
    }

    /// # Errors
    ///
    /// If the bundle is not the planned one, or does not hold.
    fn check(&self, read: &ReadArchive<UnpackedFile>, commit: &Commit) -> Result<()> {
        let same = read.entries.len() == self.entries.len()
            && read.entries.iter().zip(self.entries).all(|(read, planned)| is_same(read, planned))
            && !self.differs.load(Ordering::Relaxed);
        // A file that is being written may not change while it is read, but then it has changed by now.
        for entry in self.entries {
            if let Content::Stored(stored) = &entry.content {
                stored.read(0..0)?;
            }
        }
        if !same {
            return Err(differs());
        }
        let expected = self.expected.filter(|_| matches!(commit, Commit::PlacedIfItHolds));
        match expected.and_then(|expected| prove(self.output.as_str(), read, expected)) {
            None => Ok(()),
            Some(finding) => {
                let problem =
                    std::iter::once(finding.message).chain(finding.details).collect::<Vec<_>>().join("; ");
                let message = format!("the bundle is not written, since it would fail: {problem}");
                Err(Error::new(message).help(finding.help.unwrap_or_else(|| CHANGED.to_owned())))
            }
        }
    }
}

fn differs() -> Error {
    Error::new("the bundle that was read back differs from the one that was written").help(CHANGED)
}

const CHANGED: &str = "a file changed while it was read; run it again";

/// Whether an entry that was read is the planned one, apart from the bytes of a file.
fn is_same(read: &archive::ReadEntry<UnpackedFile>, planned: &Entry) -> bool {
    read.name == planned.name
        && match &read.kind {
            archive::Kind::File => {
                read.mode == Some(planned.mode.bits()) && !matches!(planned.content, Content::Link(_))
            }
            archive::Kind::Link(target) => planned.content.is(Some(target), &[]),
            archive::Kind::Directory => false,
        }
}
