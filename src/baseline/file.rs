//! The baseline that the user names with `--baseline`: a captured root, a text of their own, or a list of paths.

use std::sync::Arc;

use super::{Baseline, is_list};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::paths::file_name;

/// A baseline from a file.
#[derive(Debug)]
pub enum BaselineFile {
    /// One that says what it is for.
    Baseline(Arc<Baseline>),
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

impl BaselineFile {
    /// Reads the text of the file at `path`; `today` is a day like `2026-11-21`.
    ///
    /// # Errors
    ///
    /// A text that is none of the three, with the line that is wrong.
    pub fn parse(path: &str, text: String, today: &str) -> Result<BaselineFile> {
        if text.is_empty() {
            return Err(Error::new(format!("`{path}` is empty")));
        }
        let refused = |error: Error| Error::new(format!("`{path}` is not a baseline")).because(error);
        if is_list(&text) {
            let name = file_name(path).to_owned();
            // Refused before any program is looked at, not with the first.
            Baseline::of_list(&text, &name, Arch::X86_64, today).map_err(refused)?;
            return Ok(BaselineFile::List { name, recorded: today.to_owned(), text });
        }
        Ok(BaselineFile::Baseline(Arc::new(Baseline::parse(&text).map_err(refused)?)))
    }

    /// What it calls its runtime.
    pub fn name(&self) -> &str {
        match self {
            BaselineFile::Baseline(baseline) => &baseline.runtime,
            BaselineFile::List { name, .. } => name,
        }
    }

    /// The baseline for programs of an architecture; `None` if it is for another.
    pub fn baseline(&self, arch: Arch) -> Option<Arc<Baseline>> {
        match self {
            BaselineFile::Baseline(baseline) => (baseline.arch == arch).then(|| baseline.clone()),
            BaselineFile::List { name, recorded, text } => {
                Baseline::of_list(text, name, arch, recorded).ok().map(Arc::new)
            }
        }
    }
}
