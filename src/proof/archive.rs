//! Findings about the files that Lambda starts, read from an archive alone.

use std::sync::Arc;

use super::unpacked::UnpackedFile;
use crate::archive::{BOOTSTRAP, Kind, ReadArchive, ReadEntry};
use crate::audit::{Code, Finding};
use crate::elf::{ElfError, ElfFacts, Linkage, ObjectType};
use crate::paths;

/// What others must be allowed to do with a file that is started: a script is read, too, by its interpreter; an
/// ELF file is read by the kernel.
pub(super) fn wanted_mode(facts: &std::result::Result<Arc<ElfFacts>, ElfError>) -> u32 {
    if facts.is_ok() { 0o001 } else { 0o005 }
}

/// A finding if Lambda may not start a file of this mode; the kernel says EACCES then.
pub(super) fn not_executable(name: &str, wanted: u32, mode: Option<u32>) -> Option<Finding> {
    let message = match mode {
        Some(mode) if mode & wanted == wanted => return None,
        Some(mode) if mode != 0 => {
            format!("`{name}` has mode {mode:04o}; Lambda's user may not execute it")
        }
        _ => format!("`{name}` has no Unix mode in the archive; Lambda's user may not execute it"),
    };
    Some(Finding::new(Code::NotExecutable, name, message).help(format!(
        "store it with mode 0755 (on Unix: `chmod 755 {}` before it is zipped)",
        paths::file_name(name)
    )))
}

/// What an ELF file is that the kernel does not start, or that dies at once.
pub(super) fn no_program(facts: &ElfFacts) -> Option<&'static str> {
    match facts.object_type {
        ObjectType::Other(1) => Some("it is an object file, not a program"),
        ObjectType::Other(_) => Some("it is an ELF file, but not a program"),
        // Of another machine no more is known than its header.
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
            "name the program `bootstrap`, or let `cargo lambda-bundle` write the archive; if it is a layer, say `--kind layer`",
        ),
    }
}
