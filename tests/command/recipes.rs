//! The README's recipes do what it says: files and command lines are taken from it and run as they stand there.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::command::{Ran, command, finish};
use crate::support::{compile, readme, tools};

/// A new cargo project with the function `orders`, in a directory of its own.
fn project(dir: &Path) {
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("Cargo.toml"), MANIFEST).unwrap();
    // It names what a runtime asks for, which is all that is looked for.
    let main = "fn main() { println!(\"{:?}\", std::env::var(\"AWS_LAMBDA_RUNTIME_API\")); }\n";
    fs::write(dir.join("src/main.rs"), main).unwrap();
    fs::write(dir.join(".gitignore"), "/target\n").unwrap();
}

const MANIFEST: &str = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";

/// Runs a program that finds `cargo-lambda-bundle` on the PATH.
fn run(program: &str, dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let built = Path::new(env!("CARGO_BIN_EXE_cargo-lambda-bundle")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(PathBuf::from(built)).chain(std::env::split_paths(&path));
    let mut command = command(program, dir);
    command.env("PATH", std::env::join_paths(directories).unwrap()).args(arguments);
    finish(command.envs(variables.iter().copied()))
}

#[test]
fn a_step_of_github_actions_bundles_and_sums_up() {
    if !tools::require("bash", "bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    let workflow = readme::recipe(".github/workflows/bundle.yml");
    let steps: Vec<&str> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).collect();
    assert_eq!(steps.len(), 1, "{workflow}");
    let variables = [("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", "summary.md")];
    run("bash", dir, &["-e", "-c", steps[0]], &variables).exits(0);
    let summary = fs::read_to_string(dir.join("summary.md")).unwrap();
    assert!(summary.contains("| `orders` | provided.al2023 (x86_64) | starts |"), "{summary}");

    // What the next step keeps is there.
    let kept = workflow.lines().find_map(|line| line.trim().strip_prefix("path: ")).expect("a path");
    let list = format!("ls {kept}");
    run("bash", dir, &["-c", &list], &[]).exits(0).prints("target/lambda-bundle/orders/bootstrap.zip\n");
}

#[test]
fn git_pushes_what_starts_and_nothing_else() {
    // Its glibc is newer than that of Amazon Linux 2.
    if !tools::require("git", "git") || !compile::require_debian_12() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    let git = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        // Nothing of this machine's own settings.
        let alone = [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];
        run("git", dir, &arguments, &alone)
    };
    let commit = || {
        git("add .").exits(0);
        git("-c user.name=test -c user.email=test@localhost commit -q -m change").exits(0);
    };
    git("init -q -b main").exits(0);
    git("init -q --bare target/remote").exits(0);
    let hook = dir.join(".githooks/pre-push");
    fs::create_dir(dir.join(".githooks")).unwrap();
    fs::write(&hook, format!("{}\n", readme::recipe(".githooks/pre-push"))).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    git("config core.hooksPath .githooks").exits(0);
    commit();
    let passed = git("push target/remote main").exits(0);
    passed.says(&["new branch"]).keeps_silent_about(&["Checking", "Compiling", "Finished"]);

    // A change with which the program would not start.
    let older = "[package.metadata.lambda-bundle]\nruntime = \"provided.al2\"\n";
    fs::write(dir.join("Cargo.toml"), format!("{MANIFEST}{older}")).unwrap();
    commit();
    let refused = git("push target/remote main").exits(1);
    refused.says(&["error[version-too-new]: `orders` needs GLIBC_", "failed to push some refs"]);
    let heads = ["main", "main~1"].map(|name| git(&format!("rev-parse {name}")).exits(0).stdout);
    assert_ne!(heads[0], heads[1]);
    git("--git-dir target/remote rev-parse main").exits(0).prints(&heads[1]);
}

#[test]
fn make_fills_the_directory_that_sam_build_names() {
    if !tools::require("make", "make") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    fs::write(dir.join("Makefile"), format!("{}\n", readme::recipe("Makefile"))).unwrap();
    let artifacts = dir.join(".aws-sam/build/Orders");
    // It is there, and empty.
    fs::create_dir_all(&artifacts).unwrap();
    let artifacts = artifacts.to_str().unwrap();
    for _ in 0..2 {
        run("make", dir, &["build-Orders"], &[("ARTIFACTS_DIR", artifacts)]).exits(0);
        let names = run("ls", dir, &[artifacts], &[]).exits(0);
        names.prints("bootstrap\n");
    }
}
