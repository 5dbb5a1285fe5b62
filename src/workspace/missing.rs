//! The errors for programs that are not built, or not the ones that were asked for, with the next step.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::identity::Stranger;
use super::layout::{is_of_bundles, path_below, target_dirs};
use super::project::{BuildTarget, Project};
use super::select::SelectedProgram;
use super::words::{clean_command, command_to_suggest, meant_target, required_features};
use super::{Selection, files};
use crate::error::{Error, Result};

/// A program that was not found.
pub(super) struct Missing<'a> {
    pub(super) program: &'a SelectedProgram,
    pub(super) target: Option<&'a BuildTarget>,
    pub(super) tried: Vec<Utf8PathBuf>,
    pub(super) unfit: Vec<Utf8PathBuf>,
}

/// Makes the error for programs that are not built: the paths tried, other builds, the command that builds.
pub(super) fn not_built(project: &Project, selection: &Selection, missing: &[Missing]) -> Result<Error> {
    let mut names: Vec<&str> = missing.iter().map(|it| it.program.name.as_str()).collect();
    names.dedup();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let mut message = format!("{} {verb} not built", names.join(", "));

    let (mut tried, mut zips, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for it in missing {
        tried.extend(it.tried.iter().filter(|path| !it.unfit.contains(path)).cloned());
        others.extend(it.unfit.iter().cloned());
        zips.push(project.target_directory().join("lambda").join(&it.program.name).join("bootstrap.zip"));
        others.extend(other_builds(project, it.program)?);
    }
    let mut seen = BTreeSet::new();
    // Of many programs, only the place where cargo would have put each.
    let shown: Vec<&Utf8PathBuf> = match missing.len() {
        0..=2 => tried.iter().collect(),
        _ => missing.iter().filter_map(|it| it.tried.iter().find(|path| tried.contains(path))).collect(),
    };
    for path in shown.iter().filter(|path| seen.insert(**path)) {
        message.push_str(&format!("\n  tried {}", project.shown(path)));
    }
    if shown.len() < tried.len() {
        message.push_str("\n  tried other targets and `target/lambda`, too");
    }
    others.retain(|path| !tried.contains(path));
    others.sort();
    others.dedup();
    for path in &others {
        message.push_str(&format!("\n  found {}, for another profile or target", project.shown(path)));
    }
    zips.dedup();
    for zip in zips {
        if files::is_file(&zip)? {
            let zip = project.shown(&zip);
            message.push_str(&format!("\n  found {zip}: `cargo lambda-bundle verify {zip}` checks a ZIP"));
        }
    }

    let mut programs: Vec<&SelectedProgram> = missing.iter().map(|it| it.program).collect();
    programs.dedup();
    let mut targets: Vec<&BuildTarget> = missing.iter().filter_map(|it| it.target).collect();
    targets.sort_by_key(|target| &target.name);
    targets.dedup();
    Ok(Error::new(message).help(build_help(selection, &targets, &programs)))
}

/// Returns the help for programs that are not built: `--build` if that does it, and cargo's command.
fn build_help(selection: &Selection, targets: &[&BuildTarget], programs: &[&SelectedProgram]) -> String {
    if let Some(near) = meant_target(&selection.targets) {
        return format!("did you mean `--target {near}`?");
    }
    let command = command_to_suggest(selection, targets, programs);
    // cargo does not build for a libc version, and elsewhere than on Linux it needs a target.
    if targets.iter().any(|target| target.has_libc_version)
        || (targets.is_empty() && !cfg!(target_os = "linux"))
    {
        return format!("run `{command}`");
    }
    let features = required_features(programs);
    match features.is_empty() || selection.all_features {
        true => format!("add `--build`, or run `{command}`"),
        false => format!("add `--build --features {features}`, or run `{command}`"),
    }
}

/// Returns builds of a program for any profile and target.
fn other_builds(project: &Project, program: &SelectedProgram) -> Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for outer in target_dirs(project.target_directory())? {
        let profile = outer.file_name().unwrap_or_default();
        let path = path_below(project.target_directory(), None, profile, program);
        if files::is_file(&path)? {
            found.push(path);
        }
        for inner in files::directories(&outer)? {
            let profile = inner.file_name().unwrap_or_default();
            let path = path_below(&outer, outer.file_name(), profile, program);
            if !is_of_bundles(outer.file_name().unwrap_or_default()) && files::is_file(&path)? {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Another program in the place of the one that was asked for.
pub(super) struct FoundStranger<'a> {
    pub(super) program: &'a SelectedProgram,
    pub(super) target: Option<&'a BuildTarget>,
    pub(super) path: &'a Utf8Path,
    pub(super) stranger: &'a Stranger,
}

/// Makes the error for another program in the place of the one that was asked for, with the command that builds it.
pub(super) fn other_program(project: &Project, selection: &Selection, found: &FoundStranger) -> Error {
    let FoundStranger { program, target, path, stranger } = found;
    let path = project.shown(path);
    let message =
        format!("`{path}` is not `{}` of package `{}`: it {}", program.name, program.package, stranger.is);
    let targets: Vec<&BuildTarget> = target.iter().copied().collect();
    let build = command_to_suggest(selection, &targets, &[program]);
    if stranger.mistaken.is_empty() {
        return Error::new(message).help(format!("run `{build}`"));
    }
    // cargo may take the other checkout's outputs for its own, even with `--build`.
    let target = target.map(|target| target.name.as_str()).filter(|_| !selection.targets.is_empty());
    let clean = clean_command(selection, target, &stranger.mistaken);
    Error::new(message).help(format!("run `{clean} && {build}`"))
}
