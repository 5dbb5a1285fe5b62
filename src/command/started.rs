//! What Lambda starts of a bundle besides its program: an included `bootstrap`, and extensions.

use std::sync::Arc;

use super::job::ProgramJob;
use super::programs::ProgramInput;
use crate::archive::{BOOTSTRAP, Content, Kind, ReadArchive, ReadEntry};
use crate::audit::{Code, Finding};
use crate::disk;
use crate::elf::{ElfError, OtherFormat};
use crate::error::Result;
use crate::include::Included;
use crate::layout::BundleKind;
use crate::plan::Planned;
use crate::proof::{Start, Unpacked, UnpackedFile};

/// No script that is executed is larger.
const LARGEST_SCRIPT: u64 = 1 << 20;

/// Returns what is known of these files before the bundle is written, by the rules by which it is proved then.
///
/// # Errors
///
/// If an included file cannot be read.
pub(super) fn findings(
    job: &ProgramJob,
    input: &ProgramInput,
    planned: &Planned,
    runtime: &str,
) -> Result<Vec<Finding>> {
    const EXTENSIONS: &str = "extensions/";
    let is_started =
        |included: &Included| included.name == BOOTSTRAP || included.name.starts_with(EXTENSIONS);
    let is_attached = |path: &String| path.starts_with(&format!("{}/{EXTENSIONS}", BundleKind::Layer.root()));
    if !input.included.iter().any(is_started) && !job.attached.paths.iter().any(is_attached) {
        return Ok(Vec::new());
    }
    let file = |name: &str, mode: u32, size: u64, content: UnpackedFile| ReadEntry {
        name: name.to_owned(),
        mode: Some(mode),
        kind: Kind::File,
        size,
        compressed_size: size,
        content: Some(content),
    };
    let of_facts = |facts: &Arc<_>| UnpackedFile { facts: Ok(Arc::clone(facts)), bytes: None, sha256: None };
    let mut entries = Vec::new();
    if !job.bundle.libraries_only {
        entries.push(file(&job.layout.program, 0o755, 0, of_facts(&input.facts)));
    }
    for included in &input.included {
        let mode = included.mode.bits();
        let object = planned.included.iter().find(|object| object.name() == included.name);
        let content = match (&included.content, object) {
            (Content::Link(target), _) => {
                let link = file(&included.name, mode, 0, of_data());
                entries.push(ReadEntry { kind: Kind::Link(target.clone()), content: None, ..link });
                continue;
            }
            (_, Some(object)) => of_facts(&Arc::new(object.facts().clone())),
            (_, None) => match script_bytes(included)? {
                Some(bytes) => UnpackedFile::new(&included.name, bytes, false),
                None => of_data(),
            },
        };
        entries.push(file(&included.name, mode, included.content.n_bytes(), content));
    }
    let read = ReadArchive { entries, unzipped_bytes: 0, unpacked: true };
    let name = input.program.name.as_str();
    let start = Start { runtime, wrapper: job.settings.target.wrapper.as_deref() };
    let mut findings = Unpacked::new(&read, name, job.bundle.kind, start, job.attached).findings;
    // The plan knows whether the program is a part of the bundle.
    findings.retain(|finding| finding.code != Code::BootstrapMissing);
    Ok(findings)
}

/// Returns the bytes of an included file that is small enough to be a script; `None` for a link or a larger file.
///
/// # Errors
///
/// If it cannot be read.
pub(super) fn script_bytes(included: &Included) -> Result<Option<Vec<u8>>> {
    Ok(match &included.content {
        Content::File(bytes) => Some(bytes.to_vec()),
        Content::Stored(stored) if stored.n_bytes() <= LARGEST_SCRIPT => Some(disk::read(&included.source)?),
        Content::Stored(_) | Content::Link(_) => None,
    })
}

fn of_data() -> UnpackedFile {
    UnpackedFile { facts: Err(ElfError::NotElf(OtherFormat::Empty)), bytes: None, sha256: None }
}
