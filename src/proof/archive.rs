//! Findings about the files that Lambda starts, read from an archive alone.

use std::sync::Arc;

use super::unpacked::UnpackedFile;
use crate::archive::{BOOTSTRAP, Kind, ReadArchive, ReadEntry};
use crate::audit::{Code, Finding};
use crate::elf::{ElfError, ElfFacts, Linkage, ObjectType};
use crate::paths;

/// Returns the mode bits that others need to start a file: its interpreter also reads a script, while the kernel
/// reads an ELF file.
pub(super) fn wanted_mode(facts: &std::result::Result<Arc<ElfFacts>, ElfError>) -> u32 {
    if facts.is_ok() { 0o001 } else { 0o005 }
}

/// Returns a finding if Lambda may not start a file of this mode; the kernel then returns EACCES.
pub(super) fn not_executable(name: &str, wanted: u32, mode: Option<u32>) -> Option<Finding> {
    let message = match mode {
        Some(mode) if mode & wanted == wanted => return None,
        Some(mode) => format!("`{name}` has mode {mode:04o}; Lambda's user may not execute it"),
        None => format!("`{name}` has no Unix mode in the archive; Lambda's user may not execute it"),
    };
    Some(Finding::new(Code::NotExecutable, name, message).help(format!(
        "store it with mode 0755 (on Unix: `chmod 755 {}` before it is zipped)",
        paths::file_name(name)
    )))
}

/// Returns why the kernel cannot start this ELF file as a program, or why it would crash at once.
pub(super) fn no_program(facts: &ElfFacts) -> Option<&'static str> {
    match facts.object_type {
        ObjectType::Other(1) => Some("it is an object file, not a program"),
        ObjectType::Other(_) => Some("it is an ELF file, but not a program"),
        // Of a file for another machine only the header was parsed.
        _ if facts.arch().is_some() && facts.linkage() == Linkage::SharedLibrary => {
            Some("it is a shared library, not a program")
        }
        _ => None,
    }
}

pub(super) fn cannot_start(name: &str, why: &str) -> Finding {
    Finding::new(Code::NotElf, name, format!("`{name}` cannot be started: {why}"))
}

pub(super) fn bootstrap_missing(path: &str, read: &ReadArchive<UnpackedFile>) -> Finding {
    let finding =
        Finding::new(Code::BootstrapMissing, BOOTSTRAP, format!("`{path}` has no `bootstrap` at its root"));
    let mut files = read.entries.iter().filter(|entry| entry.kind == Kind::File);
    let is_elsewhere = |entry: &&ReadEntry<UnpackedFile>| paths::file_name(&entry.name) == BOOTSTRAP;
    match files.find(is_elsewhere) {
        Some(entry) => finding.help(format!("put `{}` at the root of the archive", entry.name)),
        None => finding.help(
            "name the program `bootstrap`, or let `cargo lambda-bundle` write the archive; for a layer, use `--kind layer`",
        ),
    }
}
