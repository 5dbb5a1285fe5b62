//! The sizes of a bundle's files, and how much of them is debug information.

use serde::Serialize;

use super::MeasuredFile;
use crate::audit::SizedFile;
use crate::elf::sections::{Section, SectionPurpose, bytes_for};
use crate::text::size as people;

/// The files of a bundle before anything is stripped or edited. Sizes in bytes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sizes {
    /// The size of all files.
    pub bytes: u64,
    /// The part that is debug information.
    pub debug_bytes: u64,
    /// The part that is `.symtab` and its names, which `--strip` keeps.
    pub symbol_bytes: u64,
    /// Whether debug information is left out of the bundle (`--strip`).
    pub stripped: bool,
    /// The program, then the libraries by name, then the included files.
    pub files: Vec<FileSize>,
}

/// The size of one file.
#[derive(Debug, Clone, Serialize)]
pub struct FileSize {
    /// Its name in the bundle.
    pub name: String,
    /// Its name in the archive; empty for a symbolic link, and for what the archive does not have.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entry: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// With `size`: its size in the archive, unzipped, after it was stripped and edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundled_bytes: Option<u64>,
    /// The part that is debug information.
    pub debug_bytes: u64,
    /// The part that is `.symtab` and its names.
    pub symbol_bytes: u64,
    /// The part after the end of the ELF file, where some programs keep a payload. `--strip` does not change files
    /// with such a part.
    pub tail_bytes: u64,
    /// With `size`: the file's sections, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<SectionSize>,
    /// With `size`: the crates of a Rust program by its symbols, the largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<CrateSize>,
    /// Whether it keeps its debug information, though other files of the bundle lose theirs.
    #[serde(skip)]
    pub is_kept: bool,
}

/// One section of a file.
#[derive(Debug, Clone, Serialize)]
pub struct SectionSize {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `loaded`, `debug`, `symbols` or `other`.
    pub purpose: &'static str,
}

/// The functions and variables of one crate in a file.
#[derive(Debug, Clone, Serialize)]
pub struct CrateSize {
    /// Its name.
    pub name: String,
    /// Their size in bytes.
    pub bytes: u64,
}

impl FileSize {
    /// A file without any sections yet.
    pub fn new(name: &str, entry: &str, bytes: u64, tail_bytes: u64) -> FileSize {
        FileSize {
            name: name.to_owned(),
            entry: entry.to_owned(),
            bytes,
            bundled_bytes: None,
            tail_bytes,
            debug_bytes: 0,
            symbol_bytes: 0,
            sections: Vec::new(),
            crates: Vec::new(),
            is_kept: false,
        }
    }
}

impl Sizes {
    /// Adds a file with its sections; lists these only if `keeps_sections`.
    pub fn add(&mut self, mut file: FileSize, sections: &[Section], keeps_sections: bool) {
        let bytes = file.bytes;
        let debug_bytes = bytes_for(sections, SectionPurpose::Debug, bytes);
        let symbol_bytes = bytes_for(sections, SectionPurpose::Symbols, bytes - debug_bytes);
        self.bytes += bytes;
        self.debug_bytes += debug_bytes;
        self.symbol_bytes += symbol_bytes;
        let sections = sections.iter().filter(|_| keeps_sections).map(|section| SectionSize {
            name: section.name.clone(),
            bytes: section.bytes,
            purpose: match section.purpose {
                SectionPurpose::Loaded => "loaded",
                SectionPurpose::Debug => "debug",
                SectionPurpose::Symbols => "symbols",
                SectionPurpose::Other => "other",
            },
        });
        file.sections = sections.collect();
        (file.debug_bytes, file.symbol_bytes) = (debug_bytes, symbol_bytes);
        self.files.push(file);
    }

    /// Adds the files as they are in the archive. What is not among them has no place there.
    pub fn add_bundled(&mut self, bundled: &[MeasuredFile]) {
        for file in &mut self.files {
            let Some(measured) = bundled.iter().find(|measured| measured.name == file.entry) else {
                file.entry.clear();
                continue;
            };
            file.bundled_bytes = Some(measured.bytes);
            let part = |(name, bytes): (&String, &u64)| CrateSize { name: name.clone(), bytes: *bytes };
            file.crates = measured.crates.iter().map(part).collect();
            file.crates.sort_by(|one, other| (other.bytes, &one.name).cmp(&(one.bytes, &other.name)));
        }
    }

    /// Returns the size of the debug information that `--strip` removes.
    pub fn strippable_bytes(&self) -> u64 {
        let is_stripped = |file: &&FileSize| file.tail_bytes == 0 && !file.is_kept;
        self.files.iter().filter(is_stripped).map(|file| file.debug_bytes).sum()
    }

    /// Returns a line for each file that `--strip` does not change.
    pub fn kept_lines(&self) -> impl Iterator<Item = String> {
        let is_kept = |file: &&FileSize| self.stripped && file.debug_bytes > 0 && file.tail_bytes > 0;
        self.files.iter().filter(is_kept).map(|file| {
            let (name, tail) = (&file.name, people(file.tail_bytes));
            format!("{name} unstripped: {tail} after the end of its ELF file would be lost")
        })
    }

    /// The files, for the finding about the size.
    pub fn sized(&self) -> Vec<SizedFile<'_>> {
        let strippable =
            |file: &FileSize| if self.stripped || file.tail_bytes > 0 { 0 } else { file.debug_bytes };
        let files = self.files.iter();
        files
            .map(|file| SizedFile {
                name: &file.name,
                n_bytes: file.bytes,
                strippable_bytes: strippable(file),
            })
            .collect()
    }

    /// The approximate unzipped size on Lambda: stripping changes a few other bytes, too.
    pub fn unzipped_bytes(&self) -> u64 {
        if self.stripped { self.bytes - self.strippable_bytes() } else { self.bytes }
    }

    /// Describes the sizes in one line of text.
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
        let strippable_bytes = self.strippable_bytes();
        let is_much = strippable_bytes > 1_000_000 && percent > 10;
        match (self.stripped, is_much) {
            (true, _) if strippable_bytes == debug_bytes => format!("{line}, left out"),
            (true, _) => format!("{line}; {} left out", people(strippable_bytes)),
            (false, true) => format!("{line}; `--strip` would save {}", people(strippable_bytes)),
            (false, false) => line,
        }
    }

    /// Draws bar charts of the sizes: the files, then the program's sections and its crates, largest first.
    pub fn chart(&self) -> Vec<String> {
        let files = self.files.iter().map(|file| (file.name.as_str(), file.bytes, "")).collect();
        let mut lines = bars("files", self.bytes, files);
        if let Some(program) = self.files.first() {
            let row = |section: &SectionSize| match section.purpose {
                "debug" => "  debug information",
                "symbols" => "  names of functions",
                _ => "",
            };
            let rows = program.sections.iter().map(|section| (&*section.name, section.bytes, row(section)));
            lines.push(String::new());
            lines.extend(bars(&format!("sections of {}", program.name), program.bytes, rows.collect()));
            if !program.crates.is_empty() {
                let rows = program.crates.iter().map(|part| (&*part.name, part.bytes, "")).collect();
                let total = program.crates.iter().fold(0u64, |sum, part| sum.saturating_add(part.bytes));
                lines.push(String::new());
                lines.extend(bars(&format!("crates of {}", program.name), total, rows));
            }
        }
        lines
    }
}

/// Draws one chart: a title, the largest rows, and the rest of the total.
fn bars(title: &str, total: u64, mut rows: Vec<(&str, u64, &str)>) -> Vec<String> {
    const SHOWN: usize = 15;
    const WIDTH: u64 = 32;
    const NAME: usize = 32;
    rows.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    rows.truncate(SHOWN);
    let shown = rows.iter().fold(0u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
    let rest = total.saturating_sub(shown);
    if rest > 0 {
        rows.push(("(the rest)", rest, ""));
    }
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).min(NAME);
    let mut lines = vec![format!("{title}, {}", people(total))];
    for (name, bytes, what) in rows {
        // The section headers of a hostile file may give sizes larger than the file.
        let part =
            |whole: u64| (bytes.min(total) as f64 / total.max(1) as f64 * whole as f64).round() as usize;
        let bar = "#".repeat(part(WIDTH).max(1));
        lines.push(format!("  {name:<width$} {:>11} {:>3} %  {bar}{what}", people(bytes), part(100)));
    }
    lines
}
