//! The sizes of a bundle's files.

use camino::Utf8Path;

use super::parts::{ArchiveProgram, LibraryUsers};
use super::programs::ProgramInput;
use crate::archive::Content;
use crate::disk;
use crate::error::{Error, Result};
use crate::include::Included;
use crate::plan::Planned;
use crate::repair::{COMPAT, compat_object};
use crate::report::{FileSize, Sizes};
use crate::settings::Purpose;
use crate::tools::strip;

/// Measures the planned files; only headers are read.
///
/// # Errors
///
/// If a file no longer exists. With `--strip`, also if no `strip` tool is found.
pub(super) fn sizes(parts: &[ArchiveProgram], planned: &Planned, input: &ProgramInput) -> Result<Sizes> {
    let (facts, plan) = (&input.facts, &planned.plan);
    let strips = |part: &ArchiveProgram| part.job.bundle.strip;
    let stripped = parts.iter().any(strips);
    let mut sizes = Sizes { stripped, ..Sizes::default() };
    let keeps_sections = matches!(parts[0].job.bundle.purpose, Purpose::Size(_));
    let mut add = |name: &str, entry: &str, path: &Utf8Path, part: &ArchiveProgram| {
        let disk::Parts { bytes, sections, tail_bytes } = disk::parts(path)?;
        let is_kept = stripped && !strips(part);
        let file = FileSize { is_kept, ..FileSize::new(name, entry, bytes, tail_bytes) };
        sizes.add(file, &sections, keeps_sections);
        Ok::<_, Error>(())
    };
    for part in parts {
        add(part.name(), &part.entry_name, &part.input.path, part)?;
    }
    let users = LibraryUsers::new(parts, input, planned);
    for library in plan.shipped.iter().filter(|library| library.link_to.is_none()) {
        let entry = library.entry_name(&parts[0].job.layout);
        let user = users.of(library);
        add(&library.name, &entry, Utf8Path::new(&library.source), user)?;
    }
    if let (Some(entry), Some(arch)) = (&plan.compat, facts.arch()) {
        let n_bytes = compat_object(arch).len() as u64;
        sizes.add(FileSize::new(COMPAT, entry, n_bytes, 0), &[], keeps_sections);
    }
    let is_program = |file: &&Included| input.others.iter().any(|other| other.entry_name == file.name);
    for file in input.included.iter().filter(|file| !is_program(file)) {
        let entry = if matches!(file.content, Content::Link(_)) { "" } else { &file.name };
        sizes.add(FileSize::new(&file.name, entry, file.content.n_bytes(), 0), &[], keeps_sections);
    }
    for part in parts.iter().filter(|part| strips(part)) {
        if let (true, Some(arch)) = (sizes.strippable_bytes() > 0, facts.arch()) {
            let ArchiveProgram { job, input, .. } = part;
            let splits = job.bundle.debug_symbols.is_some();
            strip::find(arch, splits, &input.program.checkouts(job.context))?;
        }
    }
    Ok(sizes)
}
