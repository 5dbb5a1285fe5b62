//! Runs `cargo build` for `--build`, and suggests the command if a program is not built.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Message, TargetKind};

use super::project::{BuildTarget, Project, profile, profile_dir};
use super::records::{self, BuildScriptRun, ProfileDirs, Runs};
use super::select::SelectedProgram;
use super::{BuiltProgram, Origin, Selection, place};
use crate::error::{Error, Result};

/// Runs `cargo build` with the selection and takes the paths from its messages.
///
/// cargo's own output goes to stderr immediately.
pub(super) fn build(
    project: &Project,
    selection: &Selection,
    targets: &[BuildTarget],
    programs: &[SelectedProgram],
) -> Result<Vec<BuiltProgram>> {
    if let Some(target) = targets.iter().find(|target| target.has_libc_version) {
        return Err(Error::new(format!("cargo cannot build for `{}`: it has a libc version", target.asked))
            .help(format!(
                "build with `cargo zigbuild` and leave `--build` out, or say `--target {}`",
                target.name
            )));
    }
    let words = words(selection);
    let messages = run(project, &words, selection.verbosity)?;

    let mut runs = Vec::new();
    let mut executables: Vec<(&SelectedProgram, Utf8PathBuf)> = Vec::new();
    for message in messages {
        match message {
            Message::BuildScriptExecuted(script) => runs.push(script),
            Message::CompilerArtifact(artifact) => {
                let Some(executable) = artifact.executable else { continue };
                let is_example = artifact.target.kind.contains(&TargetKind::Example);
                let program = programs.iter().find(|program| {
                    (&program.package_id, &program.name, program.is_example)
                        == (&artifact.package_id, &artifact.target.name, is_example)
                });
                executables.extend(program.map(|program| (program, executable)));
            }
            _ => {}
        }
    }

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
            artifacts.push(artifact(project, selection, program, target, path, &runs)?);
        }
    }
    // cargo skips a binary whose required features are off, unless the binary was named.
    if artifacts.is_empty() || absent.iter().any(|program| program.required_features.is_empty()) {
        let names: Vec<String> = absent.iter().map(|program| format!("`{}`", program.name)).collect();
        let error = Error::new(format!("`cargo {}` did not build {}", quoted(&words), names.join(", ")));
        let features = required_features(&absent);
        return Err(if features.is_empty() {
            error
        } else {
            error.help(format!("add `--features {features}`"))
        });
    }
    Ok(artifacts)
}

/// Returns the features that these programs require, in the form for `--features`.
fn required_features(programs: &[&SelectedProgram]) -> String {
    let features = programs.iter().flat_map(|program| &program.required_features).map(String::as_str);
    features.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

fn run(project: &Project, words: &[String], verbosity: u8) -> Result<Vec<Message>> {
    let failed = || Error::new(format!("`cargo {}` failed", quoted(words)));
    let mut command = project.command();
    command.args(words).arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    match verbosity {
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

fn artifact(
    project: &Project,
    selection: &Selection,
    program: &SelectedProgram,
    target: Option<String>,
    path: &Utf8Path,
    scripts: &[cargo_metadata::BuildScript],
) -> Result<BuiltProgram> {
    let profile = profile(selection);
    let dirs = ProfileDirs::new(project, target.as_deref(), profile_dir(profile));
    // With a target, what ran for the host (build dependencies, proc macros) is elsewhere and is not linked.
    let scripts = scripts.iter().filter(|script| script.out_dir.starts_with(&dirs.build));
    let mut runs: Vec<BuildScriptRun> = scripts
        .map(|script| BuildScriptRun {
            package: records::package_of_out_dir(&script.out_dir),
            link_search: script.linked_paths.iter().map(ToString::to_string).collect(),
        })
        .collect();
    // Messages come in the order in which scripts end, which changes from run to run.
    runs.sort();
    let found = place::Found {
        library_dirs: records::library_dirs(project, &Runs::Reported(runs), &[dirs])?,
        dep_info: Some(path.with_extension("d")),
        profile: Some(profile.to_owned()),
        path: path.to_owned(),
        origin: Origin::Built,
        target,
    };
    place::finish(project, program, found)
}

/// Returns the arguments of `cargo build` for the selection.
fn words(selection: &Selection) -> Vec<String> {
    let mut words = vec!["build".to_owned()];
    words.extend(profile_words(selection));
    let mut valued = |flag: &str, values: &[String]| {
        for value in values {
            words.extend([flag.to_owned(), value.clone()]);
        }
    };
    valued("--target", &selection.targets);
    valued("-p", &selection.packages);
    valued("--exclude", &selection.exclude);
    valued("--bin", &selection.bins);
    valued("--example", &selection.examples);
    let switches = [(selection.workspace, "--workspace"), (selection.all_bins, "--bins")];
    words.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    words.extend(common_words(selection));
    words
}

fn profile_words(selection: &Selection) -> Vec<String> {
    match profile(selection) {
        "release" => vec!["--release".to_owned()],
        other => vec!["--profile".to_owned(), other.to_owned()],
    }
}

/// Returns the arguments that do not depend on the packages.
fn common_words(selection: &Selection) -> Vec<String> {
    let mut words = Vec::new();
    for features in &selection.features {
        words.extend(["--features".to_owned(), features.clone()]);
    }
    for (flag, path) in
        [("--target-dir", &selection.target_dir), ("--manifest-path", &selection.manifest_path)]
    {
        words.extend(path.iter().flat_map(|path| [flag.to_owned(), path.to_string()]));
    }
    let switches = [
        (selection.all_features, "--all-features"),
        (selection.no_default_features, "--no-default-features"),
        (selection.locked, "--locked"),
        (selection.offline, "--offline"),
        (selection.frozen, "--frozen"),
    ];
    words.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    words
}

/// Returns the command that builds these programs for these targets.
pub(super) fn command_to_suggest(
    selection: &Selection,
    targets: &[&BuildTarget],
    programs: &[&SelectedProgram],
) -> String {
    // cargo itself does not know a libc version on a target; zigbuild does.
    let zig = targets.iter().any(|target| target.has_libc_version);
    let mut words = vec![if zig { "zigbuild" } else { "build" }.to_owned()];
    words.extend(profile_words(selection));
    if !selection.targets.is_empty() {
        // cargo takes targets from the configuration without any flag.
        words.extend(targets.iter().flat_map(|target| ["--target".to_owned(), target.asked.clone()]));
    } else if targets.is_empty() && !cfg!(target_os = "linux") {
        words.extend(["--target".to_owned(), format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
    }
    let mut packages: Vec<&str> = programs.iter().map(|program| program.package.as_str()).collect();
    packages.dedup();
    words.extend(packages.iter().flat_map(|package| ["-p".to_owned(), (*package).to_owned()]));
    for program in programs {
        let flag = if program.is_example { "--example" } else { "--bin" };
        words.extend([flag.to_owned(), program.name.clone()]);
    }
    let features = required_features(programs);
    if !features.is_empty() && !selection.all_features {
        words.extend(["--features".to_owned(), features]);
    }
    words.extend(common_words(selection));
    format!("cargo {}", quoted(&words))
}

/// Quotes words for a shell.
fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
    let quote = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
