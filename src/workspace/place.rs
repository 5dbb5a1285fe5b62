//! The places of built programs: cargo's, else cargo-lambda's.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::artifact::{Found, finish, libraries};
use super::identity::{Identity, Maker, Stranger, dep_info_in, identify};
use super::project::{self, BuildTarget, Project, profile, profile_dir};
use super::records::{self, ProfileDirs, Runs};
use super::select::SelectedProgram;
use super::words::{clean_command, command_to_suggest, same_program};
use super::{BuiltProgram, Origin, Selection, files};
use crate::error::{Error, Result};

/// A file that may be the program.
#[derive(Debug, Clone)]
struct BuiltFile {
    path: Utf8PathBuf,
    origin: Origin,
    target: Option<String>,
    /// The profile directories that it may be from; the first is the one that was asked for.
    dirs: Vec<ProfileDirs>,
    maker: Option<Maker>,
}

/// A program that was not found.
struct Missing<'a> {
    program: &'a SelectedProgram,
    target: Option<&'a BuildTarget>,
    tried: Vec<Utf8PathBuf>,
}

/// Finds each program for each target.
pub(super) fn locate(
    project: &Project,
    selection: &Selection,
    targets: &[BuildTarget],
    programs: &[SelectedProgram],
) -> Result<Vec<BuiltProgram>> {
    let wanted: Vec<Option<&BuildTarget>> =
        if targets.is_empty() { vec![None] } else { targets.iter().map(Some).collect() };
    let mut artifacts = Vec::new();
    let mut missing = Vec::new();
    for program in programs {
        for target in &wanted {
            let mut tried = Vec::new();
            let mut candidates = in_cargos_place(project, selection, *target, program, &mut tried)?;
            candidates.extend(in_cargo_lambdas_place(project, selection, *target, program, &mut tried)?);
            let mut strangers = Vec::new();
            let candidates = own(project, program, candidates, &mut strangers)?;
            if let (true, Some((file, stranger))) = (candidates.is_empty(), strangers.first()) {
                let found = FoundStranger { program, target: *target, file, stranger };
                return Err(other_program(project, selection, &found));
            }
            match choose(project, program, candidates)? {
                Some(candidate) => artifacts.push(artifact(project, selection, program, candidate)?),
                None => missing.push(Missing { program, target: *target, tried }),
            }
        }
    }
    // `cargo build` skips a binary whose required features are off, unless the binary was named.
    let may_miss = |it: &Missing| !it.program.named && !it.program.required_features.is_empty();
    if missing.iter().all(may_miss) && !artifacts.is_empty() {
        return Ok(artifacts);
    }
    missing.retain(|it| artifacts.is_empty() || !may_miss(it));
    Err(not_built(project, selection, &missing)?)
}

/// Returns cargo's path for the program below a target directory or a triple's directory in it.
fn path_below(
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
fn target_dirs(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
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
fn is_of_bundles(name: &str) -> bool {
    matches!(name, "lambda" | "lambda-bundle")
}

fn in_cargos_place(
    project: &Project,
    selection: &Selection,
    target: Option<&BuildTarget>,
    program: &SelectedProgram,
    tried: &mut Vec<Utf8PathBuf>,
) -> Result<Vec<BuiltFile>> {
    let directory = project.target_directory();
    let profile_dir = profile_dir(profile(selection));
    let candidate = |path, target: Option<&str>| BuiltFile {
        path,
        origin: Origin::Cargo,
        target: target.map(str::to_owned),
        dirs: vec![ProfileDirs::new(project, target, profile_dir)],
        maker: None,
    };
    if let Some(target) = target {
        let path = path_below(&directory.join(&target.name), Some(&target.name), profile_dir, program);
        tried.push(path.clone());
        return Ok(if files::is_file(&path)? { vec![candidate(path, Some(&target.name))] } else { vec![] });
    }

    let mut candidates = Vec::new();
    let path = path_below(directory, None, profile_dir, program);
    tried.push(path.clone());
    if files::is_file(&path)? {
        candidates.push(candidate(path, None));
    }
    tried.push(path_below(&directory.join("*"), Some("*"), profile_dir, program));
    for target_dir in target_dirs(directory)? {
        let name = target_dir.file_name().unwrap_or_default();
        if is_of_bundles(name) {
            continue;
        }
        let path = path_below(&target_dir, Some(name), profile_dir, program);
        if files::is_file(&path)? {
            candidates.push(candidate(path, Some(name)));
        }
    }
    drop_foreign(&mut candidates)?;
    let several = own(project, program, candidates.clone(), &mut Vec::new())?;
    if several.len() > 1 {
        let paths: Vec<String> =
            several.iter().map(|it| format!("\n  {}", project.shown(&it.path))).collect();
        // The host's build has no triple to name. The newest that has one is probably what the last command built.
        let mut newest = None;
        for candidate in several.iter().filter(|candidate| candidate.target.is_some()) {
            newest = newest.max(Some((files::modified(&candidate.path)?, &candidate.target)));
        }
        let named = newest.and_then(|(_, target)| target.as_deref()).unwrap_or("TRIPLE");
        let words = same_program(selection, program);
        return Err(Error::new(format!("`{}` is built for several targets{}", program.name, paths.concat()))
            .help(format!(
                "choose one: `cargo lambda-bundle --target {named} {words}`, or build the right one with `--build`"
            )));
    }
    Ok(candidates)
}

/// Drops files that are not ELF if there is an ELF file: Lambda cannot run a macOS or Windows build.
fn drop_foreign(candidates: &mut Vec<BuiltFile>) -> Result<()> {
    let mut elf = Vec::new();
    for candidate in candidates.iter() {
        elf.push(files::elf_machine(&candidate.path)?.is_some());
    }
    if elf.contains(&true) {
        let mut elf = elf.into_iter();
        candidates.retain(|_| elf.next() == Some(true));
    }
    Ok(())
}

/// Returns the machine of a triple, as in an ELF header; None if Lambda has no such machine.
fn machine_of(target: &str) -> Option<u16> {
    const EM_X86_64: u16 = 62;
    const EM_AARCH64: u16 = 183;
    match target.split('-').next() {
        Some("x86_64") => Some(EM_X86_64),
        Some("aarch64") => Some(EM_AARCH64),
        _ => None,
    }
}

/// Looks in the directory of `cargo lambda build`, which tells neither target nor profile.
fn in_cargo_lambdas_place(
    project: &Project,
    selection: &Selection,
    target: Option<&BuildTarget>,
    program: &SelectedProgram,
    tried: &mut Vec<Utf8PathBuf>,
) -> Result<Vec<BuiltFile>> {
    let directory = project.target_directory().join("lambda");
    let mut candidates = Vec::new();
    for path in
        [directory.join(&program.name).join("bootstrap"), directory.join("extensions").join(&program.name)]
    {
        tried.push(path.clone());
        if !files::is_file(&path)? {
            continue;
        }
        if let (Some(target), Some(machine)) = (target, files::elf_machine(&path)?) {
            // The file cannot tell which of two targets of one machine it is for.
            let fits = |target: &BuildTarget| machine_of(&target.name) == Some(machine);
            let targets = project::targets(project, selection)?;
            if !fits(target) || targets.iter().filter(|target| fits(target)).count() > 1 {
                continue;
            }
        }
        let target = target.map(|target| target.name.clone());
        // Any target and profile may have been used, so all of them count, after the requested one.
        let asked = ProfileDirs::new(project, target.as_deref(), profile_dir(profile(selection)));
        let others = all_profile_dirs(project)?.into_iter().filter(|other| *other != asked);
        let dirs = [asked.clone()].into_iter().chain(others).collect();
        candidates.push(BuiltFile { path, origin: Origin::CargoLambda, target, dirs, maker: None });
    }
    Ok(candidates)
}

/// Returns the candidates that are the program, with their makers. The others go to `strangers`.
fn own(
    project: &Project,
    program: &SelectedProgram,
    candidates: Vec<BuiltFile>,
    strangers: &mut Vec<(BuiltFile, Stranger)>,
) -> Result<Vec<BuiltFile>> {
    let mut own = Vec::new();
    for candidate in candidates {
        match identify(project, program, &candidate.path, &candidate.dirs)? {
            Identity::Own(maker) => own.push(BuiltFile { maker, ..candidate }),
            Identity::Other(stranger) => strangers.push((candidate, stranger)),
        }
    }
    Ok(own)
}

/// Another program in the place of the one that was asked for.
struct FoundStranger<'a> {
    program: &'a SelectedProgram,
    target: Option<&'a BuildTarget>,
    file: &'a BuiltFile,
    stranger: &'a Stranger,
}

/// Makes the error for another program in the place of the one that was asked for, with the command that builds it.
fn other_program(project: &Project, selection: &Selection, found: &FoundStranger) -> Error {
    let FoundStranger { program, target, file, stranger } = found;
    let path = project.shown(&file.path);
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

/// Returns the first candidate if the others are copies of it.
fn choose(
    project: &Project,
    program: &SelectedProgram,
    mut candidates: Vec<BuiltFile>,
) -> Result<Option<BuiltFile>> {
    drop_foreign(&mut candidates)?;
    let mut candidates = candidates.into_iter();
    let Some(first) = candidates.next() else { return Ok(None) };
    for other in candidates {
        if !files::same_bytes(&first.path, &other.path)? {
            let newer = files::modified(&other.path)? > files::modified(&first.path)?;
            let (new, old) = if newer { (&other, &first) } else { (&first, &other) };
            return Err(Error::new(format!(
                "there are two builds of `{}`, and they differ\n  {} (newer)\n  {}",
                program.name,
                project.shown(&new.path),
                project.shown(&old.path)
            ))
            .help(format!("remove one, or name one, for example `--binary {}`", project.shown(&new.path))));
        }
    }
    Ok(Some(first))
}

fn artifact(
    project: &Project,
    selection: &Selection,
    program: &SelectedProgram,
    candidate: BuiltFile,
) -> Result<BuiltProgram> {
    let profile = profile(selection);
    let dirs = match &candidate.maker {
        Some(maker) => vec![maker.dirs.clone()],
        None => candidate.dirs,
    };
    let build_dirs: Vec<Utf8PathBuf> = dirs.iter().map(|dirs| dirs.build.clone()).collect();
    let runs = Runs::Recorded(records::build_script_runs(&build_dirs)?);
    let libraries = libraries(project, program, candidate.maker.as_ref(), runs, &dirs)?;
    let found = Found {
        library_dirs: libraries.dirs,
        has_exact_dirs: libraries.is_exact,
        dep_info: match candidate.origin {
            // cargo-lambda moves the program and leaves its `.d` file where cargo wrote it.
            Origin::CargoLambda => match &candidate.maker {
                Some(maker) => Some(dep_info_in(&maker.dirs, program)),
                None => newest(dirs.iter().map(|dirs| dep_info_in(dirs, program)))?,
            },
            Origin::Cargo | Origin::Built => Some(candidate.path.with_extension("d")),
        },
        profile: (candidate.origin == Origin::Cargo).then(|| profile.to_owned()),
        path: candidate.path,
        origin: candidate.origin,
        target: candidate.target,
    };
    finish(project, selection, program, found)
}

/// Returns the existing file that was written last.
fn newest(paths: impl Iterator<Item = Utf8PathBuf>) -> Result<Option<Utf8PathBuf>> {
    let mut newest = None;
    for path in paths {
        if let Some(modified) = files::modified(&path)? {
            newest = newest.max(Some((modified, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Returns every profile directory of the build directory, with and without a target.
fn all_profile_dirs(project: &Project) -> Result<Vec<ProfileDirs>> {
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

/// Makes the error for programs that are not built: the paths tried, other builds, the command that builds.
fn not_built(project: &Project, selection: &Selection, missing: &[Missing]) -> Result<Error> {
    let mut names: Vec<&str> = missing.iter().map(|it| it.program.name.as_str()).collect();
    names.dedup();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let mut message = format!("{} {verb} not built", names.join(", "));

    let (mut tried, mut zips, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for it in missing {
        tried.extend(it.tried.iter().cloned());
        zips.push(project.target_directory().join("lambda").join(&it.program.name).join("bootstrap.zip"));
        others.extend(other_builds(project, it.program)?);
    }
    let mut seen = BTreeSet::new();
    for path in tried.iter().filter(|path| seen.insert(*path)) {
        message.push_str(&format!("\n  tried {}", project.shown(path)));
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
    let command = command_to_suggest(selection, &targets, &programs);
    Ok(Error::new(message).help(format!("run `{command}`")))
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
