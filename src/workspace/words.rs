//! The words of cargo's command lines.

use std::collections::BTreeSet;

use super::project::{BuildTarget, profile};
use super::select::SelectedProgram;
use super::{LAMBDA_TARGETS, Selection};
use crate::nearest::nearest;
use crate::text::shell_words;

/// Returns the arguments of `cargo build`, or `cargo zigbuild`, for the selection.
pub(super) fn words(selection: &Selection) -> Vec<String> {
    let mut words = vec![if selection.zigbuild { "zigbuild" } else { "build" }.to_owned()];
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
    let switches = [
        (selection.workspace, "--workspace"),
        (selection.all_bins, "--bins"),
        (selection.all_examples, "--examples"),
    ];
    words.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    words.extend(common_words(selection));
    words
}

pub(super) fn profile_words(selection: &Selection) -> Vec<String> {
    match profile(selection) {
        "release" => vec!["--release".to_owned()],
        other => vec!["--profile".to_owned(), other.to_owned()],
    }
}

/// Returns the arguments that do not depend on the packages.
pub(super) fn common_words(selection: &Selection) -> Vec<String> {
    let mut words = Vec::new();
    for (flag, values) in [("--jobs", selection.jobs.as_slice()), ("--config", &selection.configs)] {
        words.extend(values.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
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

/// Returns this tool's options that select one program again, without its target, quoted for a shell.
pub(super) fn same_program(selection: &Selection, program: &SelectedProgram) -> String {
    let mut words = Vec::new();
    if profile(selection) != "release" {
        words.extend(profile_words(selection));
    }
    let flag = if program.is_example { "--example" } else { "--bin" };
    words.extend(["-p", &program.package, flag, &program.name].map(str::to_owned));
    words.extend(common_words(selection));
    shell_words(&words)
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
    format!("cargo {}", shell_words(&words))
}

/// Returns the command that removes a package's outputs of one profile, so that cargo builds them again.
pub(super) fn clean_command(selection: &Selection, target: Option<&str>, packages: &[String]) -> String {
    let mut words = vec!["clean".to_owned()];
    words.extend(profile_words(selection));
    words.extend(target.iter().flat_map(|target| ["--target".to_owned(), (*target).to_owned()]));
    words.extend(packages.iter().flat_map(|package| ["-p".to_owned(), package.clone()]));
    let unbuilt = Selection {
        jobs: None,
        features: Vec::new(),
        all_features: false,
        no_default_features: false,
        ..selection.clone()
    };
    words.extend(common_words(&unbuilt));
    format!("cargo {}", shell_words(&words))
}

/// Returns what a target may have been meant to be: one of Lambda's, each part of which is the same or similar.
pub(super) fn meant_target(targets: &[String]) -> Option<&'static str> {
    let is_known = |name: &str| LAMBDA_TARGETS.iter().any(|known| name.starts_with(known));
    let unknown = targets.iter().find(|name| !is_known(name) && !name.ends_with(".json"))?;
    // Names of the same architectures elsewhere.
    let unknown = unknown.replacen("arm64-", "aarch64-", 1).replacen("amd64-", "x86_64-", 1);
    let unknown = unknown.replacen("x86-64-", "x86_64-", 1);
    let is_similar = |known: &&str| {
        let parts = unknown.split('-').zip(known.split('-'));
        unknown.split('-').count() == known.split('-').count()
            && parts.into_iter().all(|(part, known)| part == known || nearest(part, [known]).is_some())
    };
    LAMBDA_TARGETS.into_iter().find(is_similar)
}

/// Whether a name is a hash of cargo's: 16 hexadecimal digits.
pub(super) fn is_hash(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name ends with a hash of cargo's.
pub(super) fn ends_with_hash(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, hash)| is_hash(hash))
}

/// Returns the features that these programs require, in the form for `--features`.
pub(super) fn required_features(programs: &[&SelectedProgram]) -> String {
    let features = programs.iter().flat_map(|program| &program.required_features).map(String::as_str);
    features.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}
