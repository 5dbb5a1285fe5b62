//! From a file that was found to a built program.

use camino::Utf8PathBuf;

use super::identity::Maker;
use super::project::Project;
use super::records::{self, BuildScriptRun, ProfileDirs, Runs};
use super::select::SelectedProgram;
use super::words::same_program;
use super::{BuiltProgram, LibraryDir, Origin, ProcessorFlag, Selection, configuration, files, units};
use crate::error::{Error, Result};

/// A program at its path.
pub(super) struct Found {
    pub(super) path: Utf8PathBuf,
    pub(super) origin: Origin,
    pub(super) target: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) dep_info: Option<Utf8PathBuf>,
    pub(super) library_dirs: Vec<LibraryDir>,
    pub(super) has_exact_dirs: bool,
    pub(super) processor_flags: Vec<ProcessorFlag>,
}

/// The directories of a program's libraries.
pub(super) struct Libraries {
    pub(super) dirs: Vec<LibraryDir>,
    /// Whether they are those of the build that made the program.
    pub(super) is_exact: bool,
}

/// Returns the directories that a program's libraries may be in: those of its own build, if the records tell.
pub(super) fn libraries(
    project: &Project,
    program: &SelectedProgram,
    maker: Option<&Maker>,
    runs: Runs,
    profile_dirs: &[ProfileDirs],
) -> Result<Libraries> {
    let (Runs::Reported(list) | Runs::Recorded(list)) = &runs;
    let overrides = configuration::overrides(project, profile_dirs[0].triple.as_deref())?;
    let mut own = None;
    if let Some(maker) = maker
        && (!overrides.is_empty() || list.iter().any(|run| !run.link_search.is_empty()))
    {
        own = units::script_runs(project, maker)?;
    }
    // Without a directory there is nothing to choose from.
    let is_exact = own.is_some() || list.iter().all(|run| run.link_search.is_empty());
    let is_overridden = own.as_ref().is_none_or(|own| own.is_overridden);
    let keep = |run: &BuildScriptRun| own.as_ref().is_none_or(|own| own.directories.contains(&run.directory));
    let mut runs = match runs {
        Runs::Reported(list) => Runs::Reported(list.into_iter().filter(keep).collect()),
        Runs::Recorded(list) => Runs::Recorded(list.into_iter().filter(keep).collect()),
    };
    let (Runs::Reported(list) | Runs::Recorded(list)) = &mut runs;
    let mut flags = match maker {
        Some(maker) => records::flag_dirs(&units::rustflags(maker)?),
        None => records::flag_dirs(&configuration::rustflags(project, profile_dirs[0].triple.as_deref())?),
    };
    for run in list.iter().filter(|run| run.package == program.package) {
        flags.extend(records::link_arg_dirs(&run.directory)?);
    }
    if is_overridden {
        list.extend(overrides);
    }
    Ok(Libraries { dirs: records::library_dirs(project, &runs, profile_dirs, &flags)?, is_exact })
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
        choice: None,
        modified,
        newer_source,
        library_dirs: found.library_dirs,
        has_exact_dirs: found.has_exact_dirs,
        processor_flags: found.processor_flags,
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
