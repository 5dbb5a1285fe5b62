//! The written bundle: an archive or a directory, read back and proved before it takes its place.

use std::io::Write;

use camino::Utf8Path;

use super::attached::Attached;
use super::contents::entry_size;
use super::fresh::Written;
use super::proof::Contents;
use crate::archive::{self, Archive, Content, Entry, Limits};
use crate::audit::Severity;
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::layout::BundleKind;
use crate::report::{self, Artifact};
use crate::settings::Format;
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

/// What is written in place of the old bundle.
pub(super) enum Packed {
    /// The bytes of an archive.
    Zip(Vec<u8>),
    /// The entries as files.
    Dir,
}

impl Packed {
    /// Makes all that can be made before anything is written.
    ///
    /// # Errors
    ///
    /// Entries that no archive can have: names that lead out of it, or more than it can hold.
    pub fn new(entries: &[Entry], writing: &Writing) -> Result<Packed> {
        match writing.format {
            Format::Zip => archive::write(entries, &writing.options, Vec::new()).map(Packed::Zip),
            Format::Dir => archive::check_plan(entries).map(|()| Packed::Dir),
        }
    }

    /// What is known of the file; of a directory there is nothing to know.
    pub fn written(&self) -> Option<Written> {
        match self {
            Packed::Zip(bytes) => Some(Written::of(bytes)),
            Packed::Dir => None,
        }
    }
}

/// Writes the bundle beside its place, reads it back, audits what it read, and only then moves it there.
///
/// With nothing expected of it no program is looked for: libraries are proved with the functions that use them.
pub(super) fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    packed: &Packed,
    expected: Option<&Expected>,
) -> Result<()> {
    let prove = |read: &Archive| prove(output, entries, read, expected);
    match packed {
        Packed::Zip(zip) => disk::write::replace(
            output,
            |file| file.write_all(zip).map_err(|cause| Error::new("could not write it").because(cause)),
            |file| prove(&archive::read_back(output.as_str(), file, &Limits::default(), entries)?),
        ),
        Packed::Dir => disk::write::tree::replace(output, entries, prove),
    }
}

/// Holds what was read back to what was planned, and to what is expected of it.
fn prove(output: &Utf8Path, entries: &[Entry], read: &Archive, expected: Option<&Expected>) -> Result<()> {
    let same = read.entries.len() == entries.len()
        && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned));
    if !same && read.unpacked {
        return Err(Error::new("what was read back is not what was written"));
    }
    let Some(expected) = expected else { return Ok(()) };
    let runtime = &expected.lambda.baseline.runtime;
    let contents = Contents::new(read, output.as_str(), expected.kind, runtime, expected.attached);
    let (mut findings, _) = contents.prove(expected.lambda, expected.libs, false);
    findings.extend(contents.findings);
    match findings.into_iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => Err(Error::new(format!("the written bundle does not hold: {}", finding.message))
            .help("a file changed while it was read; run it again")),
    }
}

fn is_same(read: &archive::ReadEntry, planned: &Entry) -> bool {
    read.name == planned.name
        && match (&read.kind, &planned.content) {
            (archive::Kind::File, Content::File(bytes)) => {
                read.mode == Some(planned.mode.bits()) && read.bytes.as_ref() == Some(bytes)
            }
            (archive::Kind::Link(target), Content::Link(planned)) => target == planned,
            _ => false,
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
        unzipped_bytes: entries.iter().map(entry_size).sum(),
        sha256,
        code_sha256,
        entries: entries
            .iter()
            .map(|entry| report::Entry {
                name: entry.name.clone(),
                mode: match entry.content {
                    Content::File(_) => entry.mode.bits(),
                    Content::Link(_) => 0o777,
                },
                size: entry_size(entry),
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
    let zipped = archive.zipped_bytes.map(|bytes| format!("{} zipped, ", report::size(bytes)));
    let (zipped, unzipped) = (zipped.unwrap_or_default(), report::size(archive.unzipped_bytes));
    ui.status("Finished", &format!("{}: {contents}, {zipped}{unzipped} unzipped", artifact.name));
    if let Some(code_sha256) = &archive.code_sha256 {
        ui.status("CodeSha256", code_sha256);
    }
}
