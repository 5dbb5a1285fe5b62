//! The sizes of a bundle's files.

use camino::Utf8Path;

use super::programs::ProgramInput;
use crate::disk;
use crate::error::{Error, Result};
use crate::plan::BundlePlan;
use crate::repair::{COMPAT, compat_object};
use crate::report::{FileSize, Sizes};
use crate::settings::{BundleSettings, Context, Purpose};
use crate::tools::strip;

/// Measures the planned files; only headers are read.
///
/// # Errors
///
/// If a file no longer exists. With `--strip`, also if no `strip` tool is found.
pub(super) fn sizes(
    job: &BundleSettings,
    plan: &BundlePlan,
    input: &ProgramInput,
    context: &Context,
) -> Result<Sizes> {
    let facts = &input.facts;
    let mut sizes = Sizes { stripped: job.strip, ..Sizes::default() };
    let keeps_sections = matches!(job.purpose, Purpose::Size);
    let mut add = |name: &str, path: &Utf8Path| {
        let disk::Parts { bytes, sections, tail_bytes } = disk::parts(path)?;
        sizes.add(FileSize::new(name, bytes, tail_bytes), &sections, keeps_sections);
        Ok::<_, Error>(())
    };
    add(&input.program.name, &input.path)?;
    for library in plan.shipped.iter().filter(|library| library.link_to.is_none()) {
        add(&library.name, Utf8Path::new(&library.source))?;
    }
    if let (Some(_), Some(arch)) = (&plan.compat, facts.arch()) {
        sizes.add(FileSize::new(COMPAT, compat_object(arch).len() as u64, 0), &[], keeps_sections);
    }
    for file in &input.included {
        sizes.add(FileSize::new(&file.name, file.content.n_bytes(), 0), &[], keeps_sections);
    }
    if let (true, true, Some(arch)) = (job.strip, sizes.strippable_bytes() > 0, facts.arch()) {
        strip::find(arch, job.debug_symbols.is_some(), &input.program.checkouts(context))?;
    }
    Ok(sizes)
}
