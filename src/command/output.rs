//! The written bundle: an archive or a directory, read back and proved before it takes its place.

use std::io::Write;

use camino::Utf8Path;

use super::attached::Attached;
use super::contents::entry_size;
use super::fresh::Written;
use super::proof::Contents;
use crate::archive::{self, Content, Entry, Limits};
use crate::audit::Severity;
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::layout::BundleKind;
use crate::report::{self, Artifact};
use crate::ui::Ui;

/// What a written archive is held to.
pub(super) struct Expected<'a> {
    pub kind: BundleKind,
    pub lambda: &'a LambdaWorld,
    /// Names opened at run time.
    pub libs: &'a [String],
    pub attached: &'a Attached,
}

/// Writes the archive beside its place, reads it back, audits what it read, and only then moves it there.
///
/// With nothing expected of it no program is looked for: libraries are proved with the functions that use them.
pub(super) fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    zip: &[u8],
    expected: Option<&Expected>,
) -> Result<()> {
    disk::write::replace(
        output,
        |file| file.write_all(zip).map_err(|cause| Error::new("could not write it").because(cause)),
        |file| {
            let read = archive::read_back(output.as_str(), file, &Limits::default(), entries)?;
            let same = read.entries.len() == entries.len()
                && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned));
            if !same && read.unpacked {
                return Err(Error::new("what was read back is not what was written"));
            }
            let Some(expected) = expected else { return Ok(()) };
            let contents = Contents::new(&read, output.as_str(), expected.kind, expected.attached);
            let (mut findings, _) = contents.prove(expected.lambda, expected.libs);
            findings.extend(contents.findings);
            match findings.into_iter().find(|finding| finding.severity == Severity::Error) {
                None => Ok(()),
                Some(finding) => {
                    Err(Error::new(format!("the written archive does not hold: {}", finding.message))
                        .help("a file changed while it was read; run it again"))
                }
            }
        },
    )
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
    written: Written,
) -> report::Archive {
    let Written { zipped_bytes, digest } = written;
    report::Archive {
        path: output.as_str().to_owned(),
        kind: kind.as_str(),
        zipped_bytes,
        unzipped_bytes: entries.iter().map(entry_size).sum(),
        sha256: digest.hex,
        code_sha256: digest.base64,
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

/// Says what was written.
pub(super) fn finished(artifact: &Artifact, n_libraries: usize, ui: &Ui) {
    let Some(archive) = &artifact.archive else { return };
    let mut contents = match n_libraries {
        0 => "no libraries".to_owned(),
        1 => "1 library".to_owned(),
        more => format!("{more} libraries"),
    };
    match archive.entries.len() - n_libraries {
        0 => {}
        1 => contents = format!("{} and {contents}", archive.entries[0].name),
        more => contents.push_str(&format!(", {more} other files")),
    }
    ui.status(
        "Finished",
        &format!(
            "{}: {contents}, {} zipped, {} unzipped",
            artifact.name,
            report::size(archive.zipped_bytes),
            report::size(archive.unzipped_bytes)
        ),
    );
    ui.status("CodeSha256", &archive.code_sha256);
}
