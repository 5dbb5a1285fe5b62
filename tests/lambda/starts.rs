//! What `cargo lambda-bundle` writes starts on Lambda: built, bundled, unpacked, started and asked.
//!
//! And the other way: with the bundled library taken out it does not start, and `verify` has said so.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::{Command, Output};

use crate::support::lambda_root::{self, LIBRARY_PATH, LambdaRoot, Outcome, provided_al2023};
use crate::support::tools;
use crate::support::{function, hello};
use cargo_lambda_bundle::elf::Arch;
use serde_json::{Value, json};

const EVENT: &str = r#"{"name": "world"}"#;

#[test]
fn x86_64_gnu() {
    check(Arch::X86_64, "x86_64-unknown-linux-gnu", Links::Dynamically);
}

#[test]
fn x86_64_musl() {
    check(Arch::X86_64, "x86_64-unknown-linux-musl", Links::Statically);
}

#[test]
fn aarch64_gnu() {
    check(Arch::Arm64, "aarch64-unknown-linux-gnu", Links::Dynamically);
}

#[test]
fn aarch64_musl() {
    check(Arch::Arm64, "aarch64-unknown-linux-musl", Links::Statically);
}

/// How Rust links programs for a target.
#[derive(Clone, Copy, PartialEq)]
enum Links {
    Dynamically,
    Statically,
}

#[track_caller]
fn check(arch: Arch, target: &str, links: Links) {
    if !lambda_root::require(arch) || !hello::require(target) || !tools::require("zip", "zip") {
        return;
    }
    hello::build(target);
    let dir = tempfile::tempdir().unwrap();
    // Not the default path: the tests of the other targets would write there too.
    let zip = dir.path().join("bootstrap.zip");
    bundle(target, &zip);
    let verified = verify(&zip, &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", lossy(&verified));

    let mut root = LambdaRoot::new(arch, &provided_al2023(arch));
    root.unpack_function(&zip);
    let expected = json!({"message": "hello, world", "greeting": "good day from C", "target": target});
    // Lambda's older and newer fleets.
    for library_path in [LIBRARY_PATH.to_owned(), format!("/var/lang/lib:{LIBRARY_PATH}")] {
        root.set_env("LD_LIBRARY_PATH", &library_path);
        match root.invoke(EVENT) {
            Outcome::Answer(answer) => assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected),
            other => panic!("no answer with LD_LIBRARY_PATH={library_path}: {other:?}"),
        }
    }
    if links == Links::Statically {
        return;
    }

    // A customer's value that leaves out /var/task/lib: the system's libraries are found, ours is not.
    root.set_env("LD_LIBRARY_PATH", "/opt/lib");
    must_not_start(&root);
    must_be_missing(&verify(&zip, &["--env", "LD_LIBRARY_PATH=/opt/lib"]));

    let without = dir.path().join("without.zip");
    std::fs::copy(&zip, &without).unwrap();
    let member = format!("lib/{}", hello::SONAME);
    let taken_out = Command::new("zip").arg("-q").arg("-d").arg(&without).arg(member).output().unwrap();
    assert!(taken_out.status.success(), "{}", lossy(&taken_out));
    must_be_missing(&verify(&without, &[]));
    let root = LambdaRoot::new(arch, &provided_al2023(arch));
    root.unpack_function(&without);
    must_not_start(&root);
}

/// Writes the function's ZIP to `zip`.
#[track_caller]
fn bundle(target: &str, zip: &Path) {
    let output = cargo_lambda_bundle()
        .args(["--manifest-path".as_ref(), hello::manifest().as_os_str()])
        .args(["--target-dir".as_ref(), function::target_dir().as_os_str()])
        .args(["--target", target])
        .args(["-o".as_ref(), zip.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", zip.display()), "{}", lossy(&output));
}

fn verify(zip: &Path, more: &[&str]) -> Output {
    cargo_lambda_bundle()
        .arg("verify")
        .arg(zip)
        .args(["--message-format", "json"])
        .args(more)
        .output()
        .unwrap()
}

#[track_caller]
fn must_be_missing(verified: &Output) {
    assert_eq!(verified.status.code(), Some(1), "{}", lossy(verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let missing: Vec<&Value> = report["artifacts"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|artifact| artifact["findings"].as_array().into_iter().flatten())
        .filter(|finding| finding["code"] == "missing-library")
        .map(|finding| &finding["soname"])
        .collect();
    assert_eq!(missing, [hello::SONAME], "{report:#}");
}

#[track_caller]
fn must_not_start(root: &LambdaRoot) {
    match root.invoke(EVENT) {
        Outcome::Ended { status, stderr } => {
            // What ld.so says when it cannot open a library, with its exit status.
            assert_eq!(status.code(), Some(127), "{stderr}");
            assert!(
                stderr.contains(&format!("{}: cannot open shared object file", hello::SONAME)),
                "{stderr}"
            );
        }
        other => panic!("started, or failed in another way: {other:?}"),
    }
}

fn cargo_lambda_bundle() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-lambda-bundle"));
    // As cargo calls it.
    command.arg("lambda-bundle");
    command
}

fn lossy(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr))
}
