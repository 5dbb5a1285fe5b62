//! The recipes of `help ci` do what it says: files and command lines are taken from it and run as they stand there.
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

/// The machine of a pipeline: `cargo install` puts the program where cargo would, and rustup's script has run.
///
/// Returns the directory that goes first in PATH.
fn runner(dir: &Path) -> PathBuf {
    let bin = dir.join("target/runner");
    fs::create_dir_all(&bin).unwrap();
    let built = env!("CARGO_BIN_EXE_cargo-lambda-bundle");
    let cargo = env!("CARGO");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" != install ]; then exec {cargo} \"$@\"; fi\necho \"$*\" >> installed\n\
         root=$CARGO_HOME\nif [ \"$3\" = --root ]; then root=$4; fi\nmkdir -p \"$root/bin\"\nln -s {built} \"$root/bin\"\n"
    );
    for (name, text) in [("cargo", script), ("curl", "#!/bin/sh\necho true\n".to_owned())] {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

/// Runs commands one after the other in one shell, as a pipeline does, where the tool is not installed.
fn run_job(dir: &Path, commands: &[String], variables: &[(&str, &str)]) -> Ran {
    let bin = runner(dir);
    let home = dir.join("target/home");
    fs::create_dir_all(home.join(".cargo")).unwrap();
    fs::write(home.join(".cargo/env"), "export PATH=\"$HOME/.cargo/bin:$PATH\"\n").unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where there is a cargo, its directory is in PATH.
    let directories = [bin, home.join(".cargo/bin")].into_iter().chain(std::env::split_paths(&path));
    let rustup =
        std::env::var("RUSTUP_HOME").unwrap_or(format!("{}/.rustup", std::env::var("HOME").unwrap()));
    let mut command = command("bash", dir);
    command.env("PATH", std::env::join_paths(directories).unwrap());
    command.env("HOME", &home).env("CARGO_HOME", home.join(".cargo")).env("RUSTUP_HOME", rustup);
    command.args(["-e", "-c", &commands.join("\n")]);
    finish(command.envs(variables.iter().copied()))
}

/// The items of the lists in a file of YAML that follow a line with this key, one line or more each.
fn items(yaml: &str, key: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut depth = None;
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == key {
            depth = Some(indent);
        } else if depth.is_some_and(|depth| indent <= depth) {
            depth = None;
        } else if depth.is_some() {
            match (line.trim().strip_prefix("- "), items.last_mut()) {
                (None, Some(last)) => *last += &format!(" {}", line.trim()),
                (item, _) => items.push(item.unwrap_or(line.trim()).to_owned()),
            }
        }
    }
    items
}

#[test]
fn a_job_of_github_actions_bundles_and_sums_up() {
    if !tools::require("bash", "bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    let workflow = readme::recipe(".github/workflows/bundle.yml");
    let steps: Vec<String> =
        workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).map(str::to_owned).collect();
    assert_eq!(steps.len(), 2, "{workflow}");
    let variables = [("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", "summary.md")];
    run_job(dir, &steps, &variables).exits(0);
    assert_eq!(fs::read_to_string(dir.join("installed")).unwrap(), INSTALLED);
    let summary = fs::read_to_string(dir.join("summary.md")).unwrap();
    assert!(summary.contains("| `orders` | provided.al2023 (x86_64) | starts |"), "{summary}");

    // What the next step keeps is there.
    let kept =
        workflow.lines().filter_map(|line| line.trim().strip_prefix("path: ")).next_back().expect("a path");
    let list = format!("ls {kept}");
    run("bash", dir, &["-c", &list], &[]).exits(0).prints("target/lambda-bundle/orders/bootstrap.zip\n");

    // The next run finds the tool in the cache.
    run_job(dir, &steps, &variables).exits(0).says(&["up to date"]);
    assert_eq!(fs::read_to_string(dir.join("installed")).unwrap(), INSTALLED);
}

const INSTALLED: &str = concat!("install --locked cargo-lambda-bundle@", env!("CARGO_PKG_VERSION"), "\n");

#[test]
fn jobs_of_gitlab_and_codebuild_keep_a_bundle_and_its_report() {
    if !tools::require("bash", "bash") {
        return;
    }
    for (file, key, installed) in [
        (".gitlab-ci.yml", "script:", INSTALLED.replace("--locked", "--locked --root .tools")),
        ("buildspec.yml", "commands:", INSTALLED.to_owned()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        project(dir);
        let commands = items(readme::recipe(file), key);
        assert!(commands.len() > 2, "{file}: {commands:?}");
        run_job(dir, &commands, &[("CI", "true")]).exits(0);
        assert_eq!(fs::read_to_string(dir.join("installed")).unwrap(), installed, "{file}");
        let is_gitlab = file.contains("gitlab");
        let report = if is_gitlab { "gl-code-quality-report.json" } else { "bundle.json" };
        let report: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(dir.join(report)).unwrap()).unwrap();
        match is_gitlab {
            true => assert!(report.is_array(), "{file}: {report:#}"),
            false => assert_eq!(report["artifacts"][0]["verdict"], "starts", "{file}: {report:#}"),
        }
        assert!(dir.join("target/lambda-bundle/orders/bootstrap.zip").is_file(), "{file}");
        run_job(dir, &commands, &[("CI", "true")]).exits(0);
        assert_eq!(fs::read_to_string(dir.join("installed")).unwrap(), installed, "{file}");
    }
}

#[test]
fn the_script_for_terraform_prints_what_external_reads() {
    if !tools::require("jq", "jq") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    fs::write(dir.join("bundle.sh"), readme::recipe("bundle.sh")).unwrap();
    let ran = run("sh", dir, &["bundle.sh"], &[]).exits(0);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    // Nothing but texts is allowed.
    let answer = answer.as_object().unwrap();
    assert!(answer.values().all(serde_json::Value::is_string), "{ran}");
    assert!(dir.join(answer["path"].as_str().unwrap()).is_file(), "{ran}");
    let main = readme::recipe("main.tf");
    for key in answer.keys() {
        assert!(main.contains(&format!("data.external.orders.result.{key}\n")), "{key}: {main}");
    }
    // A program that would not start is an error, not an answer.
    let wrong = "[package.metadata.lambda-bundle]\narch = \"arm64\"\n";
    fs::write(dir.join("Cargo.toml"), format!("{MANIFEST}{wrong}")).unwrap();
    let ran = run("sh", dir, &["bundle.sh"], &[]);
    assert!(ran.code != Some(0) && ran.stdout.is_empty(), "{ran}");
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
fn pre_commit_refuses_to_push_what_would_not_start() {
    // Its glibc is newer than that of Amazon Linux 2.
    let has_all =
        tools::require("git", "git") && tools::require("pre-commit", "none; pip install pre-commit");
    if !has_all || !compile::require_debian_12() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    project(dir);
    fs::write(dir.join(".pre-commit-config.yaml"), readme::recipe(".pre-commit-config.yaml")).unwrap();
    let home = dir.join("target/home");
    let variables = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("PRE_COMMIT_HOME", home.to_str().unwrap()),
    ];
    let git = |arguments: &[&str]| run("git", dir, arguments, &variables);
    git(&["init", "-q", "-b", "main"]).exits(0);
    git(&["init", "-q", "--bare", "target/remote"]).exits(0);
    run("pre-commit", dir, &["install"], &variables).exits(0);
    let commit = || {
        git(&["add", "."]).exits(0);
        let author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        git(&[&author[..], &["commit", "-q", "-m", "change"]].concat()).exits(0);
    };
    commit();
    let passed = git(&["push", "target/remote", "main"]).exits(0);
    // pre-commit's own report is not on stderr.
    assert!(
        passed.stdout.contains("functions start on AWS Lambda") && passed.stdout.contains("Passed"),
        "{passed}"
    );
    let older = "[package.metadata.lambda-bundle]\nruntime = \"provided.al2\"\n";
    fs::write(dir.join("Cargo.toml"), format!("{MANIFEST}{older}")).unwrap();
    commit();
    let refused = git(&["push", "target/remote", "main"]).exits(1);
    let report = &refused.stdout;
    assert!(
        report.contains("Failed") && report.contains("error[version-too-new]: `orders` needs GLIBC_"),
        "{refused}"
    );

    // The hook of this repository runs the same command.
    let hooks = include_str!("../../.pre-commit-hooks.yaml");
    let entry =
        readme::recipe(".pre-commit-config.yaml").lines().find(|line| line.contains("entry: ")).unwrap();
    assert!(hooks.lines().any(|line| line.trim() == entry.trim()), "{hooks}");
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

    // What `sam build` writes, in which CodeUri is the directory.
    let template = "Transform: AWS::Serverless-2016-10-31\nResources:\n  Orders:\n    \
        Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: Orders\n      Handler: bootstrap\n      \
        Runtime: provided.al2023\n";
    fs::write(dir.join(".aws-sam/build/template.yaml"), template).unwrap();
    let verify: Vec<&str> = readme::command_line(".aws-sam/build/template.yaml").split(' ').collect();
    run(verify[0], dir, &verify[1..], &[]).exits(0);
    fs::remove_file(dir.join(".aws-sam/build/Orders/bootstrap")).unwrap();
    run(verify[0], dir, &verify[1..], &[]).exits(1).says(&["error[bootstrap-missing]"]);
}
