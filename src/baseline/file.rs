//! The baseline that the user names with `--baseline`: a captured root, a baseline of their own, or a list of paths.

use std::sync::Arc;

use super::{Baseline, is_list};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::paths::file_name;

/// A baseline from a file.
#[derive(Debug)]
pub enum BaselineFile {
    /// A baseline that names its runtime and architecture.
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
    /// Reads the text of the file at `path`; `today` is a date such as `2026-11-21`.
    ///
    /// # Errors
    ///
    /// If the text is none of the three; the error names the line.
    pub fn parse(path: &str, text: String, today: &str) -> Result<BaselineFile> {
        if text.is_empty() {
            return Err(Error::new(format!("`{path}` is empty")));
        }
        let refused = |error: Error| Error::new(format!("`{path}` is not a baseline")).because(error);
        if is_list(&text) {
            let name = file_name(path).to_owned();
            // A bad list is refused now, not with the first program.
            Baseline::of_list(&text, &name, Arch::X86_64, today).map_err(refused)?;
            return Ok(BaselineFile::List { name, recorded: today.to_owned(), text });
        }
        Ok(BaselineFile::Baseline(Arc::new(Baseline::parse(&text).map_err(refused)?)))
    }

    /// The name of the runtime in the file.
    pub fn name(&self) -> &str {
        match self {
            BaselineFile::Baseline(baseline) => &baseline.runtime,
            BaselineFile::List { name, .. } => name,
        }
    }

    /// The baseline for programs of an architecture; `None` if it is for another architecture.
    pub fn baseline(&self, arch: Arch) -> Option<Arc<Baseline>> {
        match self {
            BaselineFile::Baseline(baseline) => (baseline.arch == arch).then(|| baseline.clone()),
            BaselineFile::List { name, recorded, text } => {
                Baseline::of_list(text, name, arch, recorded).ok().map(Arc::new)
            }
        }
    }
}
