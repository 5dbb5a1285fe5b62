//! The table that the user names with `--baseline`: a captured root, a text of their own, or a list of paths.

use camino::Utf8Path;

use crate::baseline::{Baseline, is_list};
use crate::disk;
use crate::elf::Arch;
use crate::error::{Error, Result};

/// A table from a file.
#[derive(Debug)]
pub enum Given {
    /// One that says what it is for.
    Table(Box<Baseline>),
    /// A list of paths, for programs of any architecture.
    List {
        /// The file's name.
        name: String,
        /// The day of the run.
        recorded: String,
        /// The paths.
        text: String,
    },
}

impl Given {
    /// Reads a file; `today` is a date.
    ///
    /// # Errors
    ///
    /// A file that is none of the three, with the line that is wrong.
    pub fn read(path: &Utf8Path, today: &str) -> Result<Given> {
        const HELP: &str = "name a file that `cargo lambda-bundle baseline capture` wrote, or a list of library paths, one a line";
        let text = disk::text(path, "a baseline").map_err(|error| error.or_help(HELP))?;
        if text.is_empty() {
            return Err(Error::new(format!("`{path}` is empty")).help(HELP));
        }
        let refused =
            |error: Error| Error::new(format!("`{path}` is not a baseline")).because(error).help(HELP);
        if is_list(&text) {
            let name = path.file_name().unwrap_or("list").to_owned();
            // Refused before any program is looked at, not with the first.
            Baseline::of_list(&text, &name, Arch::X86_64, today).map_err(refused)?;
            return Ok(Given::List { name, recorded: today.to_owned(), text });
        }
        Ok(Given::Table(Box::new(Baseline::parse(&text).map_err(refused)?)))
    }

    /// What it calls its runtime.
    pub fn name(&self) -> &str {
        match self {
            Given::Table(table) => &table.runtime,
            Given::List { name, .. } => name,
        }
    }

    /// The table for programs of an architecture; `None` if it is for another.
    pub fn table(&self, arch: Arch) -> Option<Baseline> {
        match self {
            Given::Table(table) => (table.arch == arch).then(|| (**table).clone()),
            Given::List { name, recorded, text } => Baseline::of_list(text, name, arch, recorded).ok(),
        }
    }
}
