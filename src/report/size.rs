//! How big a program and its libraries are, and how much of that only a debugger reads.

use serde::Serialize;

use super::size as people;
use crate::elf::sections::{Purpose, Section, bytes_for};

/// The files of a bundle before anything is stripped or edited. Sizes in bytes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sizes {
    /// All files together.
    pub bytes: u64,
    /// Of them debug information.
    pub debug_bytes: u64,
    /// Of them `.symtab` and its names, which `--strip` keeps.
    pub symbol_bytes: u64,
    /// Whether the debug information is left out of the bundle (`--strip`).
    pub stripped: bool,
    /// The program, then the libraries by name.
    pub files: Vec<FileSize>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct FileSize {
    /// Its name in the bundle.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Of them debug information.
    pub debug_bytes: u64,
    /// Of them `.symtab` and its names.
    pub symbol_bytes: u64,
}

impl Sizes {
    /// Adds a file.
    pub fn add(&mut self, name: String, bytes: u64, sections: &[Section]) {
        let debug_bytes = bytes_for(sections, Purpose::Debug, bytes);
        let symbol_bytes = bytes_for(sections, Purpose::Symbols, bytes - debug_bytes);
        self.bytes += bytes;
        self.debug_bytes += debug_bytes;
        self.symbol_bytes += symbol_bytes;
        self.files.push(FileSize { name, bytes, debug_bytes, symbol_bytes });
    }

    /// What is unpacked on Lambda, about: stripping moves some bytes beside.
    pub fn unzipped_bytes(&self) -> u64 {
        if self.stripped { self.bytes - self.debug_bytes } else { self.bytes }
    }

    /// One line of text.
    pub fn line(&self) -> String {
        let Sizes { bytes, debug_bytes, .. } = *self;
        if debug_bytes == 0 {
            return format!("{} unzipped, no debug information", people(bytes));
        }
        // Both are at most the size of real files, far from an overflow.
        let percent = debug_bytes * 100 / bytes.max(1);
        let line = format!(
            "{} unzipped, {} ({percent} %) of it debug information",
            people(bytes),
            people(debug_bytes)
        );
        let is_much = debug_bytes > 1_000_000 && percent > 10;
        match (self.stripped, is_much) {
            (true, _) => format!("{line}, left out"),
            (false, true) => format!("{line}; `--strip` would save {}", people(debug_bytes)),
            (false, false) => line,
        }
    }
}
