//! How a bundle grew: its files, their sections and their crates, compared with those of before.
//!
//! Symbolic links do not count.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Sizes;
use crate::elf::crates::{NO_CRATE, crate_sizes};
use crate::elf::sections;
use crate::paths::file_name;
use crate::text::{difference, printable, size as people};

/// A file of a bundle with its parts. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeasuredFile {
    /// Its name in the archive.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its sections by name; those of one name are added up.
    pub sections: BTreeMap<String, u64>,
    /// Its crates by name; empty if it has no symbols of Rust.
    pub crates: BTreeMap<String, u64>,
}

impl MeasuredFile {
    /// Measures a file in memory.
    pub fn of_bytes(name: &str, bytes: &[u8]) -> MeasuredFile {
        let mut file = MeasuredFile::new(name, bytes.len() as u64);
        for section in sections::of(bytes) {
            file.add_section(&section.name, section.bytes);
        }
        file.crates = crate_sizes(bytes);
        file
    }

    /// A file without known parts.
    pub fn new(name: &str, bytes: u64) -> MeasuredFile {
        MeasuredFile { name: name.to_owned(), bytes, ..MeasuredFile::default() }
    }

    fn add_section(&mut self, name: &str, bytes: u64) {
        let sum = self.sections.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(bytes);
    }
}

/// The JSON of a run, as far as sizes go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct EarlierReport {
    schema: String,
    version: u32,
    artifacts: Vec<EarlierProgram>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierProgram {
    name: String,
    arch: Option<String>,
    sizes: Option<EarlierSizes>,
    archive: Option<EarlierArchive>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierSizes {
    stripped: bool,
    files: Vec<EarlierFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierFile {
    entry: String,
    bytes: u64,
    debug_bytes: u64,
    tail_bytes: u64,
    bundled_bytes: Option<u64>,
    sections: Vec<EarlierPart>,
    crates: Vec<EarlierPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierPart {
    name: String,
    bytes: u64,
    purpose: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierArchive {
    entries: Vec<EarlierEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EarlierEntry {
    name: String,
    mode: u32,
    size: u64,
}

/// The mode by which a report marks a symbolic link.
const LINK: u32 = 0o777;

impl EarlierReport {
    /// Reads the JSON of a run; `None` if it is another document.
    pub fn parse(text: &str) -> Option<EarlierReport> {
        let report: EarlierReport = serde_json::from_str(text).ok()?;
        (report.schema == "cargo-lambda-bundle/report" && report.version == 1).then_some(report)
    }

    /// The files of the program with this name, of the same architecture if there are several; `None` if the report has
    /// no such program.
    pub fn files(&self, name: &str, arch: Option<&str>) -> Option<Vec<MeasuredFile>> {
        let named = || self.artifacts.iter().filter(|program| program.name == name);
        // The same program on several runtimes: the first is as good as any.
        let program = named().find(|program| program.arch.as_deref() == arch).or_else(|| named().next())?;
        let sizes = program.sizes.iter().flat_map(EarlierSizes::measured);
        let mut files: BTreeMap<String, MeasuredFile> = sizes.map(|file| (file.name.clone(), file)).collect();
        if let Some(archive) = &program.archive {
            // The archive's sizes are exact.
            let entries = archive.entries.iter().filter(|entry| entry.mode != LINK);
            let entry = |entry: &EarlierEntry| {
                let parts = files.remove(&entry.name).unwrap_or_default();
                MeasuredFile { name: entry.name.clone(), bytes: entry.size, ..parts }
            };
            return Some(entries.map(entry).collect());
        }
        (!files.is_empty()).then(|| files.into_values().collect())
    }

    /// The names of its programs.
    pub fn names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.artifacts.iter().map(|program| printable(&program.name)).collect();
        names.into_iter().collect()
    }
}

impl EarlierSizes {
    fn measured(&self) -> Vec<MeasuredFile> {
        let measured = |file: &EarlierFile| {
            let is_cut = self.stripped && file.tail_bytes == 0;
            let cut = if is_cut { file.debug_bytes } else { 0 };
            let bytes = file.bundled_bytes.unwrap_or(file.bytes.saturating_sub(cut));
            let mut measured = MeasuredFile::new(&file.entry, bytes);
            for section in file.sections.iter().filter(|section| !is_cut || section.purpose != "debug") {
                measured.add_section(&section.name, section.bytes);
            }
            measured.crates = file.crates.iter().map(|part| (part.name.clone(), part.bytes)).collect();
            measured
        };
        self.files.iter().filter(|file| !file.entry.is_empty()).map(measured).collect()
    }
}

impl Sizes {
    /// The files of the bundle with the parts that a report tells, to compare with another report.
    pub fn measured(&self) -> Vec<MeasuredFile> {
        // Through JSON, so that both are read in one way.
        let value = serde_json::to_value(self).unwrap_or_default();
        let sizes: EarlierSizes = serde_json::from_value(value).unwrap_or_default();
        sizes.measured()
    }
}

/// How a bundle grew.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    /// The path of the file of before.
    pub against: String,
    /// The unzipped size before.
    pub before_bytes: u64,
    /// The unzipped size.
    pub bytes: u64,
    /// The files whose size changed, the largest change first; at most 200, as in the lists below.
    pub files: Vec<GrowthRow>,
    /// The sections whose size changed.
    pub sections: Vec<GrowthRow>,
    /// The crates whose size changed; only those of files that have symbols now and had them before.
    pub crates: Vec<GrowthRow>,
}

/// What changed its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrowthRow {
    /// The file of a section or a crate, by its name in the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The name of the file, the section or the crate.
    pub name: String,
    /// The size before; 0 if it was not there.
    pub before_bytes: u64,
    /// The size; 0 if it is not there.
    pub bytes: u64,
}

impl GrowthRow {
    fn change(&self) -> u64 {
        self.bytes.abs_diff(self.before_bytes)
    }

    /// The name with the file.
    fn title(&self) -> String {
        match &self.file {
            Some(file) => format!("{} of {file}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The number of rows of each list.
const MAX_ROWS: usize = 200;

impl Growth {
    /// Compares a bundle with the one of before, which was in the file `against`.
    pub fn new(against: &str, before: &[MeasuredFile], after: &[MeasuredFile]) -> Growth {
        let total =
            |files: &[MeasuredFile]| files.iter().fold(0u64, |sum, file| sum.saturating_add(file.bytes));
        let by_name = |files: &[MeasuredFile]| -> BTreeMap<String, u64> {
            files.iter().map(|file| (file.name.clone(), file.bytes)).collect()
        };
        let mut sections = Vec::new();
        let mut crates = Vec::new();
        for file in after {
            let Some(old) = before.iter().find(|old| old.name == file.name) else { continue };
            let name = Some(file.name.as_str());
            if !old.sections.is_empty() && !file.sections.is_empty() {
                sections.extend(changes(name, &old.sections, &file.sections));
            }
            if !old.crates.is_empty() && !file.crates.is_empty() {
                crates.extend(changes(name, &old.crates, &file.crates));
            }
        }
        Growth {
            against: against.to_owned(),
            before_bytes: total(before),
            bytes: total(after),
            files: largest(changes(None, &by_name(before), &by_name(after))),
            sections: largest(sections),
            crates: largest(crates),
        }
    }

    /// What grew most, each with its growth: at most three files, sections or crates.
    pub fn most(&self) -> Vec<String> {
        let named = |what: &'static str, rows: &[GrowthRow]| {
            let grown = rows.iter().find(|row| row.bytes > row.before_bytes && row.name != NO_CRATE);
            grown.map(|row| format!("{what}`{}` {}", row.name, difference(row.before_bytes, row.bytes)))
        };
        let parts = [("", &self.files), ("section ", &self.sections), ("crate ", &self.crates)];
        parts.into_iter().filter_map(|(what, rows)| named(what, rows)).collect()
    }

    /// The name of the file of before.
    pub fn file(&self) -> &str {
        file_name(&self.against)
    }

    /// The change of the size in words.
    pub fn words(&self) -> String {
        let Growth { before_bytes, bytes, .. } = *self;
        let percent = (bytes as f64 - before_bytes as f64) / before_bytes.max(1) as f64 * 100.0;
        match bytes == before_bytes {
            true => format!("as large as before, {}", people(bytes)),
            false => format!(
                "{} ({percent:+.1} %), from {} to {}",
                difference(before_bytes, bytes),
                people(before_bytes),
                people(bytes)
            ),
        }
    }

    /// The tables for a terminal: a line about the whole, then the files, the sections and the crates that changed.
    pub fn table(&self) -> Vec<String> {
        const SHOWN: usize = 15;
        let mut lines = vec![format!("since {}: {}", self.file(), self.words())];
        for (title, rows) in [("files", &self.files), ("sections", &self.sections), ("crates", &self.crates)]
        {
            if rows.is_empty() {
                continue;
            }
            let width = rows.iter().take(SHOWN).map(|row| row.title().chars().count()).max().unwrap_or(0);
            let width = width.clamp(title.len(), 44);
            lines.push(String::new());
            lines.push(format!("  {title:<width$} {:>11} {:>11} {:>12}", "before", "now", "change"));
            for row in rows.iter().take(SHOWN) {
                let change = difference(row.before_bytes, row.bytes);
                let (before, now) = (people(row.before_bytes), people(row.bytes));
                lines.push(format!("  {:<width$} {before:>11} {now:>11} {change:>12}", row.title()));
            }
            if rows.len() > SHOWN {
                lines.push(format!("  ({} more changed less)", rows.len() - SHOWN));
            }
        }
        lines
    }

    /// The rows that a short summary shows, each with what it is.
    pub fn summary_rows(&self) -> impl Iterator<Item = (&'static str, &GrowthRow)> {
        const SHOWN: usize = 10;
        let lists = [("file", &self.files), ("section", &self.sections), ("crate", &self.crates)];
        lists.into_iter().flat_map(|(what, rows)| rows.iter().take(SHOWN).map(move |row| (what, row)))
    }
}

/// The parts that two files have in different sizes.
fn changes(
    file: Option<&str>,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> Vec<GrowthRow> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |sizes: &BTreeMap<String, u64>, name: &String| sizes.get(name).copied().unwrap_or(0);
    let row = |name: &String| GrowthRow {
        file: file.map(str::to_owned),
        name: name.clone(),
        before_bytes: of(before, name),
        bytes: of(after, name),
    };
    names.into_iter().map(row).filter(|row| row.change() > 0).collect()
}

fn largest(mut rows: Vec<GrowthRow>) -> Vec<GrowthRow> {
    rows.sort_by(|one, other| {
        (other.change(), &one.name, &one.file).cmp(&(one.change(), &other.name, &other.file))
    });
    rows.truncate(MAX_ROWS);
    rows
}
