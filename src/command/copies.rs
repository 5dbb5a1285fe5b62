//! The bundle's copies of the program and its libraries: measured, stripped if asked, their symbols kept aside.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::Content;
use crate::disk;
use crate::disk::stored::StoredFiles;
use crate::elf::ElfFacts;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::paths;
use crate::plan::BundlePlan;
use crate::repair::{COMPAT, compat_object};
use crate::report::{FileSize, Sizes};
use crate::settings::{Bundle, Purpose};
use crate::tools::strip;

/// Sizes of what the plan ships; nothing but headers is read.
///
/// # Errors
///
/// A file is gone. With `--strip`, also that nothing is there to strip with.
pub(super) fn sizes(
    job: &Bundle,
    plan: &BundlePlan,
    name: &str,
    program: (&Utf8Path, &ElfFacts),
    environment: &Environment,
) -> Result<Sizes> {
    let (path, facts) = program;
    let mut sizes = Sizes { stripped: job.strip, ..Sizes::default() };
    let keeps_sections = matches!(job.purpose, Purpose::Size);
    let mut add = |name: &str, path: &Utf8Path| {
        let disk::Parts { bytes, sections, tail_bytes } = disk::parts(path)?;
        sizes.add(FileSize::new(name, bytes, tail_bytes), &sections, keeps_sections);
        Ok::<_, Error>(())
    };
    add(name, path)?;
    for library in plan.shipped.iter().filter(|library| library.link_to.is_none()) {
        add(&library.name, Utf8Path::new(&library.source))?;
    }
    if let (Some(_), Some(arch)) = (&plan.compat, facts.arch()) {
        sizes.add(FileSize::new(COMPAT, compat_object(arch).len() as u64, 0), &[], keeps_sections);
    }
    if let (true, true, Some(arch)) = (job.strip, sizes.strippable_bytes() > 0, facts.arch()) {
        strip::find(arch, job.debug_symbols.is_some(), environment)?;
    }
    Ok(sizes)
}

/// Makes the copies of one bundle.
pub(super) struct Copies<'a> {
    files: &'a StoredFiles,
    strip: bool,
    environment: &'a Environment,
    /// Where debug symbols are kept.
    debug_symbols: Option<&'a Utf8Path>,
    debug_files: Vec<(Utf8PathBuf, Vec<u8>)>,
}

impl<'a> Copies<'a> {
    pub fn new(
        job: &Bundle,
        debug_symbols: Option<&'a Utf8Path>,
        environment: &'a Environment,
        files: &'a StoredFiles,
    ) -> Self {
        Copies { files, strip: job.strip, environment, debug_symbols, debug_files: Vec::new() }
    }

    /// The content of the copy of the file at `path`, before it is edited.
    pub fn content(&mut self, path: &Utf8Path, name: &str) -> Result<Content> {
        match self.strip {
            false => self.files.get(path).map(Content::Stored),
            true => self.copy(Arc::new(disk::read(path)?), name).map(Content::File),
        }
    }

    /// The bytes of the copy of a file, before it is edited.
    pub fn copy(&mut self, bytes: Arc<Vec<u8>>, name: &str) -> Result<Arc<Vec<u8>>> {
        if !self.strip {
            return Ok(bytes);
        }
        let debug_file = self.debug_symbols.map(|_| format!("{}.debug", paths::file_name(name)));
        let Some(stripped) = strip::strip(&bytes, name, debug_file.as_deref(), self.environment)? else {
            return Ok(bytes);
        };
        if let (Some(directory), Some(file), Some(debug)) = (self.debug_symbols, debug_file, stripped.debug) {
            self.debug_files.push((directory.join(file), debug));
        }
        Ok(Arc::new(stripped.bytes))
    }

    /// Where what was kept aside will be written.
    pub fn debug_paths(&self) -> impl Iterator<Item = &Utf8Path> {
        self.debug_files.iter().map(|(path, _)| path.as_path())
    }

    /// Writes what was kept aside.
    pub fn write_debug_files(&self) -> Result<()> {
        for (path, bytes) in &self.debug_files {
            disk::write::replace_with(path, bytes).map_err(|error| {
                error.help("name a directory that you may write with `--debug-symbols <DIR>`")
            })?;
        }
        Ok(())
    }
}
