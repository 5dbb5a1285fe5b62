//! From a file that was found to a built program.

use camino::Utf8PathBuf;

use super::project::Project;
use super::records::{self};
use super::select::SelectedProgram;
use super::words::same_program;
use super::{BuiltProgram, LibraryDir, Origin, Selection, files};
use crate::error::{Error, Result};

/// A program at its path.
pub(super) struct Found {
    pub(super) path: Utf8PathBuf,
    pub(super) origin: Origin,
    pub(super) target: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) dep_info: Option<Utf8PathBuf>,
    pub(super) library_dirs: Vec<LibraryDir>,
}

/// Completes the description of a program that was found.
pub(super) fn finish(
    project: &Project,
    selection: &Selection,
    program: &SelectedProgram,
    found: Found,
) -> Result<BuiltProgram> {
    let Some(modified) = files::modified(&found.path)? else {
        return Err(Error::new(format!("`{}` is gone", project.shown(&found.path)))
            .because("another process removed it just now"));
    };
    let newer_source = match &found.dep_info {
        Some(dep_info) => records::newer_source(dep_info, &project.dep_info_base(), modified)?,
        None => None,
    };
    Ok(BuiltProgram {
        name: program.name.clone(),
        package: program.package.clone(),
        path: found.path,
        origin: found.origin,
        target: found.target,
        profile: found.profile,
        modified,
        newer_source,
        library_dirs: found.library_dirs,
        target_directory: project.target_directory().to_owned(),
        workspace_root: project.metadata.workspace_root.clone(),
        manifest_dir: program.manifest_dir.clone(),
        words: same_program(selection, program),
        has_zigbuild: project.environment.find("cargo-zigbuild").is_ok(),
        direct_dependencies: project
            .metadata
            .packages
            .iter()
            .filter(|package| package.id == program.package_id)
            .flat_map(|package| package.dependencies.iter().map(|dependency| dependency.name.clone()))
            .collect(),
    })
}
