//! The written bundle: an archive or a directory, read back and proved before it takes its place.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8Path;

use super::fresh::Written;
use crate::archive::{self, Archive, Content, Entry, Limits, Tally};
use crate::audit::Severity;
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::layout::BundleKind;
use crate::proof::{Attached, Contents, UnpackedFile};
use crate::report::{self, Artifact};
use crate::settings::Format;
use crate::text;
use crate::ui::Ui;

/// What a written archive is held to.
pub(super) struct Expected<'a> {
    pub kind: BundleKind,
    pub lambda: &'a LambdaWorld,
    /// Names opened at run time.
    pub libs: &'a [String],
    pub attached: &'a Attached,
}

/// How bundles are written.
pub(super) struct Writing {
    pub format: Format,
    /// For archives.
    pub options: archive::Options,
}

/// What becomes of a bundle that is written and not yet in its place.
pub(super) enum Fate {
    /// It is removed.
    Removed,
    /// It takes its place, whatever it is.
    Placed,
    /// It takes its place if it holds what is expected of it.
    PlacedIfItHolds,
}

/// Writes the bundle beside its place, asks `decide` about it, reads it back, proves it, and only then moves it there.
///
/// Says whether it is there, and what is known of an archive. With nothing expected of it no program is looked for:
/// libraries are proved with the functions that use them.
///
/// # Errors
///
/// Entries that no archive can have; what a disk says; a bundle that does not hold; what `decide` says.
pub(super) fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    writing: &Writing,
    expected: Option<&Expected>,
    decide: impl FnOnce(Option<&Written>) -> Result<Fate>,
) -> Result<(bool, Option<Written>)> {
    archive::check_plan(entries)?;
    let differs = AtomicBool::new(false);
    let see = |at: usize, bytes: Vec<u8>| {
        let planned = entries.get(at);
        if !planned.is_some_and(|planned| planned.content.is(None, &bytes)) {
            differs.store(true, Ordering::Relaxed);
        }
        UnpackedFile::new(planned.map_or("", |planned| &planned.name), bytes, false)
    };
    let prove = |read: &Archive<UnpackedFile>, fate: Fate| {
        let same = read.entries.len() == entries.len()
            && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned))
            && !differs.load(Ordering::Relaxed);
        if !same && read.unpacked {
            return Err(Error::new("what was read back is not what was written").help(CHANGED));
        }
        let expected = expected.filter(|_| matches!(fate, Fate::PlacedIfItHolds));
        expected.map_or(Ok(()), |expected| prove(output, read, expected))
    };
    let known = OnceCell::new();
    let placed = match writing.format {
        Format::Zip => disk::write::replace(
            output,
            |file| {
                let mut tally = Tally::new(file);
                archive::write(entries, &writing.options, &mut tally)?;
                let _ = known.set(Written::of(tally)); // it is filled once
                Ok(())
            },
            |written| {
                let fate = decide(known.get())?;
                if let Fate::Removed = fate {
                    return Ok(false);
                }
                let open = |_| disk::open(written).map(|(file, _)| file);
                let n = archive::workers(writing.options.threads, entries.iter().map(|entry| &entry.content));
                let files = (0..n).map(open).collect::<Result<_>>()?;
                prove(&archive::read_each(output.as_str(), files, &Limits::default(), see)?, fate)?;
                Ok(true)
            },
        )?,
        Format::Dir => disk::write::tree::replace(output, entries, see, |read| match decide(None)? {
            Fate::Removed => Ok(false),
            fate => prove(read, fate).map(|()| true),
        })?,
    };
    Ok((placed, known.into_inner()))
}

const CHANGED: &str = "a file changed while it was read; run it again";

/// Holds what was read back to what is expected of it.
fn prove(output: &Utf8Path, read: &Archive<UnpackedFile>, expected: &Expected) -> Result<()> {
    let runtime = &expected.lambda.baseline.runtime;
    let contents = Contents::new(read, output.as_str(), expected.kind, runtime, expected.attached);
    let (mut findings, _) = contents.prove(expected.lambda, expected.libs, false);
    findings.extend(contents.findings);
    match findings.into_iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => {
            let message = format!("the written bundle does not hold: {}", finding.message);
            Err(Error::new(message).help(CHANGED))
        }
    }
}

/// Whether an entry that was read is the planned one, but for the bytes of a file.
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

/// What the report says of a written archive.
pub(super) fn archive_report(
    output: &Utf8Path,
    kind: BundleKind,
    entries: &[Entry],
    written: Option<Written>,
) -> report::Archive {
    let format = if written.is_some() { "zip" } else { "dir" };
    let zipped_bytes = written.as_ref().map(|written| written.zipped_bytes);
    let digest = written.map(|written| written.digest);
    let (sha256, code_sha256) = digest.map(|digest| (digest.hex, digest.base64)).unzip();
    report::Archive {
        path: output.as_str().to_owned(),
        kind: kind.as_str(),
        format,
        zipped_bytes,
        unzipped_bytes: entries.iter().map(|entry| entry.content.n_bytes()).sum(),
        sha256,
        code_sha256,
        entries: entries
            .iter()
            .map(|entry| report::Entry {
                name: entry.name.clone(),
                mode: match entry.content {
                    Content::File(_) | Content::Stored(_) => entry.mode.bits(),
                    Content::Link(_) => 0o777,
                },
                size: entry.content.n_bytes(),
            })
            .collect(),
    }
}

/// Says what was written: the program if it is in there, its libraries, and what was included.
pub(super) fn finished(
    artifact: &Artifact,
    program: Option<&str>,
    (n_libraries, n_included): (usize, usize),
    ui: &Ui,
) {
    let Some(archive) = &artifact.archive else { return };
    let libraries = match n_libraries {
        0 => "no libraries".to_owned(),
        1 => "1 library".to_owned(),
        more => format!("{more} libraries"),
    };
    let mut contents = match program {
        Some(program) => format!("{program} and {libraries}"),
        None => libraries,
    };
    match n_included {
        0 => {}
        1 => contents.push_str(", 1 included file"),
        more => contents.push_str(&format!(", {more} included files")),
    }
    let zipped = archive.zipped_bytes.map(|bytes| format!("{} zipped, ", text::size(bytes)));
    let (zipped, unzipped) = (zipped.unwrap_or_default(), text::size(archive.unzipped_bytes));
    ui.status("Finished", &format!("{}: {contents}, {zipped}{unzipped} unzipped", artifact.name));
    if let Some(code_sha256) = &archive.code_sha256 {
        ui.status("CodeSha256", code_sha256);
    }
}
