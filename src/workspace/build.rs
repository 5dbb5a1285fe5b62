//! Runs `cargo build` for `--build`, and suggests the command if a program is not built.

use std::io::BufReader;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{BuildScript, Message, TargetKind};

use super::artifact::{Found, finish, libraries};
use super::identity::maker_of;
use super::project::{BuildTarget, Project, profile, profile_dir};
use super::records::{self, BuildScriptRun, ProfileDirs, Runs};
use super::select::SelectedProgram;
use super::words::{meant_target, required_features, words};
use super::{BuiltProgram, Origin, Selection, configuration};
use crate::error::{Error, Result};
use crate::text::shell_words;

/// Runs `cargo build` with the selection and takes the paths from its messages.
///
/// cargo's own output goes to stderr immediately.
pub(super) fn build(
    project: &Project,
    selection: &Selection,
    targets: &[BuildTarget],
    programs: &[SelectedProgram],
) -> Result<Vec<BuiltProgram>> {
    let zig_targets = zig_targets(selection, targets);
    let targets = zig_targets.as_deref().unwrap_or(targets);
    if let Some(target) = targets.iter().find(|target| target.has_libc_version && zig_targets.is_none()) {
        return Err(Error::new(format!("cargo cannot build for `{}`: it has a libc version", target.asked))
            .help(format!("add `--build-with zigbuild`, or say `--target {}`", target.name)));
    }
    let words = match &zig_targets {
        Some(targets) => {
            let targets = targets.iter().map(|target| target.asked.clone()).collect();
            words(&Selection { targets, ..selection.clone() })
        }
        None => words(selection),
    };
    let BuildOutcome { scripts, executables } = outcome(run(project, selection, &words)?, programs);
    let mut artifacts = Vec::new();
    let mut absent = Vec::new();
    for program in programs {
        let paths = executables.iter().filter(|(other, _)| *other == program).map(|(_, path)| path);
        let mut built: Vec<(Option<String>, &Utf8PathBuf)> =
            paths.map(|path| (target_of(project, program, path), path)).collect();
        // The order is that of the flags; cargo's messages come in the order in which builds end.
        built
            .sort_by_key(|(target, _)| targets.iter().position(|other| Some(&other.name) == target.as_ref()));
        if built.is_empty() {
            absent.push(program);
        }
        for (target, path) in built {
            let executable = Executable { path, target, scripts: &scripts };
            artifacts.push(artifact(project, selection, program, executable)?);
        }
    }
    // cargo skips a binary whose required features are off, unless the binary was named.
    if artifacts.is_empty() || absent.iter().any(|program| program.required_features.is_empty()) {
        let names: Vec<String> = absent.iter().map(|program| format!("`{}`", program.name)).collect();
        let error = Error::new(format!("`cargo {}` did not build {}", shell_words(&words), names.join(", ")));
        let features = required_features(&absent);
        return Err(if features.is_empty() {
            error
        } else {
            error.help(format!("add `--features {features}`"))
        });
    }
    Ok(artifacts)
}

/// What cargo reported of a build.
struct BuildOutcome<'a> {
    scripts: Vec<BuildScript>,
    executables: Vec<(&'a SelectedProgram, Utf8PathBuf)>,
}

fn outcome(messages: Vec<Message>, programs: &[SelectedProgram]) -> BuildOutcome<'_> {
    let mut outcome = BuildOutcome { scripts: Vec::new(), executables: Vec::new() };
    for message in messages {
        match message {
            Message::BuildScriptExecuted(script) => outcome.scripts.push(script),
            Message::CompilerArtifact(artifact) => {
                let Some(executable) = artifact.executable else { continue };
                let is_example = artifact.target.kind.contains(&TargetKind::Example);
                let program = programs.iter().find(|program| {
                    (&program.package_id, &program.name, program.is_example)
                        == (&artifact.package_id, &artifact.target.name, is_example)
                });
                outcome.executables.extend(program.map(|program| (program, executable)));
            }
            _ => {}
        }
    }
    outcome
}

/// Returns the targets for `cargo zigbuild`: those for glibc get the version of the runtime's. `None` for `cargo build`.
fn zig_targets(selection: &Selection, targets: &[BuildTarget]) -> Option<Vec<BuildTarget>> {
    if !selection.zigbuild {
        return None;
    }
    let mut targets = targets.to_vec();
    // Without a known glibc zig links for its own default.
    let Some(floor) = &selection.floor else { return Some(targets) };
    if targets.is_empty() {
        let name = format!("{}-unknown-linux-gnu", floor.arch);
        targets.push(BuildTarget { asked: name.clone(), name, has_libc_version: false });
    }
    for target in targets.iter_mut().filter(|target| !target.has_libc_version) {
        if target.name.ends_with("-linux-gnu") && !target.asked.ends_with(".json") {
            target.asked = format!("{}.{}", target.name, floor.glibc);
            target.has_libc_version = true;
        }
    }
    Some(targets)
}

fn run(project: &Project, selection: &Selection, words: &[String]) -> Result<Vec<Message>> {
    let failed = || {
        let error = Error::new(format!("`cargo {}` failed", shell_words(words)));
        match selection.zigbuild && project.environment.find("cargo-zigbuild").is_err() {
            true => error.help("install it, with zig: `pip install cargo-zigbuild`"),
            false => match meant_target(&selection.targets) {
                Some(near) => error.help(format!("did you mean `--target {near}`?")),
                None => error,
            },
        }
    };
    let mut command = project.command();
    // A build runs what its build scripts find, as with cargo alone.
    if let Some(path) = project.environment.var("PATH") {
        command.env("PATH", path);
    }
    command.args(words).arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    match selection.verbosity {
        0 => {
            command.arg("--quiet");
        }
        1 | 2 => {}
        _ => {
            command.arg("--verbose");
        }
    }
    let mut child = command.spawn().map_err(|error| failed().because(error))?;
    let stdout = child.stdout.take().unwrap_or_else(|| unreachable!("stdout is piped"));
    let messages: std::io::Result<Vec<Message>> = Message::parse_stream(BufReader::new(stdout)).collect();
    let status = child.wait().map_err(|error| failed().because(error))?;
    if !status.success() {
        // cargo has printed the reason on stderr.
        return Err(failed().because(status.to_string()));
    }
    messages.map_err(|error| Error::new("could not read cargo's messages").because(error))
}

/// Returns the target of an executable, which its message lacks: the directory between the target directory and the
/// profile's.
fn target_of(project: &Project, program: &SelectedProgram, executable: &Utf8Path) -> Option<String> {
    let within = executable.strip_prefix(project.target_directory()).ok()?;
    let n_without_target = if program.is_example { 3 } else { 2 };
    let names: Vec<&str> = within.iter().collect();
    (names.len() > n_without_target).then(|| names[0].to_owned())
}

/// A program that cargo built, by its message.
struct Executable<'a> {
    path: &'a Utf8Path,
    target: Option<String>,
    /// The build scripts of the run.
    scripts: &'a [BuildScript],
}

fn artifact(
    project: &Project,
    selection: &Selection,
    program: &SelectedProgram,
    executable: Executable,
) -> Result<BuiltProgram> {
    let Executable { path, target, scripts } = executable;
    let profile = profile(selection);
    let dirs = ProfileDirs::new(project, target.as_deref(), profile_dir(profile));
    // With a target, what ran for the host (build dependencies, proc macros) is elsewhere and is not linked.
    let scripts = scripts.iter().filter(|script| script.out_dir.starts_with(&dirs.build));
    let mut runs: Vec<BuildScriptRun> = scripts
        .map(|script| BuildScriptRun {
            package: records::package_of_out_dir(&script.out_dir),
            link_search: script.linked_paths.iter().map(ToString::to_string).collect(),
            directory: script.out_dir.parent().unwrap_or(&script.out_dir).to_owned(),
        })
        .collect();
    // Messages come in the order in which scripts end, which changes from run to run.
    runs.sort();
    let maker = maker_of(project, program, path, &dirs)?;
    let libraries =
        libraries(project, program, maker.as_ref(), Runs::Reported(runs), std::slice::from_ref(&dirs))?;
    let found = Found {
        library_dirs: libraries.dirs,
        has_exact_dirs: libraries.is_exact,
        processor_flags: configuration::processor_flags(project, maker.as_ref(), &dirs)?,
        dep_info: Some(path.with_extension("d")),
        profile: Some(profile.to_owned()),
        path: path.to_owned(),
        origin: Origin::Built,
        target,
    };
    finish(project, selection, program, found)
}
