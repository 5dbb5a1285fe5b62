//! The layout of a target directory, by cargo's rules: where programs and records are.

use camino::{Utf8Path, Utf8PathBuf};

use super::files;
use super::project::Project;
use super::records::ProfileDirs;
use super::select::SelectedProgram;
use crate::error::Result;

/// Returns cargo's path for the program below a target directory or a triple's directory in it.
pub(super) fn path_below(
    directory: &Utf8Path,
    target: Option<&str>,
    profile_dir: &str,
    program: &SelectedProgram,
) -> Utf8PathBuf {
    let directory = directory.join(profile_dir);
    let directory = if program.is_example { directory.join("examples") } else { directory };
    let suffix = match target {
        Some(target) if target.contains("windows") => ".exe",
        // The host's suffix never counts: a Linux program that was built on Windows has none.
        Some(_) => "",
        None => std::env::consts::EXE_SUFFIX,
    };
    directory.join(format!("{}{suffix}", program.name))
}

/// Returns the directories of targets in the target directory.
pub(super) fn target_dirs(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut directories = Vec::new();
    for path in files::directories(directory)? {
        // A target directory within this one (`llvm-cov-target`) is not a target.
        if !files::is_file(&path.join(".rustc_info.json"))? {
            directories.push(path);
        }
    }
    Ok(directories)
}

/// Whether a directory of the target directory has one directory for each function: a function's name (`release`,
/// `bootstrap`) must not be taken for a profile or a program.
pub(super) fn is_of_bundles(name: &str) -> bool {
    matches!(name, "lambda" | "lambda-bundle")
}

/// Returns every profile directory of the build directory, with and without a target.
pub(super) fn all_profile_dirs(project: &Project) -> Result<Vec<ProfileDirs>> {
    let mut found = Vec::new();
    for outer in target_dirs(project.build_directory())? {
        let name = outer.file_name().unwrap_or_default();
        if files::is_dir(&outer.join("build"))? {
            found.push(ProfileDirs::new(project, None, name));
            continue;
        }
        for inner in files::directories(&outer)? {
            if files::is_dir(&inner.join("build"))? {
                let profile_dir = inner.file_name().unwrap_or_default();
                found.push(ProfileDirs::new(project, Some(name), profile_dir));
            }
        }
    }
    Ok(found)
}
