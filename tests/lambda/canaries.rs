//! The small programs with which the script of `baseline probe` asks a loader about single version nodes, in roots with
//! the glibc of three releases of Debian.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::debian::SHELLS;
use crate::support::lambda_root::{self, LambdaRoot, Outcome};
use crate::support::tools;
use cargo_lambda_bundle::baseline::probed::{Probe, SCRIPT};
use cargo_lambda_bundle::baseline::{Baseline, NodeAnswer};
use cargo_lambda_bundle::elf::{self, Arch};

/// All that the script may call: coreutils, and bash.
const PROGRAMS: [&str; 12] =
    ["bash", "base64", "date", "head", "od", "readlink", "rm", "sort", "stat", "tail", "tr", "uname"];

/// The script as a function in a root with all libraries of a system.
fn root(system: &Path) -> LambdaRoot {
    let mut sonames = Vec::new();
    for directory in ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"] {
        let entries = fs::read_dir(system.join(directory)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        sonames.extend(names.filter(|name| name.contains(".so.")));
    }
    let root = LambdaRoot::of_system(system, Arch::X86_64, &sonames);
    fs::create_dir_all(root.path("usr/bin")).unwrap();
    symlink("usr/bin", root.path("bin")).unwrap();
    for program in PROGRAMS {
        let mut places = ["bin", "usr/bin"].map(|directory| system.join(directory).join(program)).into_iter();
        let found = places.find(|file| file.is_file()).unwrap_or_else(|| panic!("no {program}"));
        tools::copy_program(found, root.path("usr/bin").join(program));
    }
    root.write("var/task/bootstrap", SCRIPT);
    fs::set_permissions(root.path("var/task/bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    root
}

#[test]
fn canaries_say_what_the_loader_says() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let expected = [
        "yes no no no no no no missing missing missing no",
        "yes no yes yes yes yes no no no no no",
        "yes no yes yes yes yes yes no yes yes no",
    ];
    for (system, expected) in SHELLS.iter().zip(expected) {
        let Some(system) = system.unpacked() else { return };
        let root = root(&system);
        let event = "{\"RuntimeVersion\": \"provided:al2023.v109\"}";
        let answer = match root.invoke(event) {
            Outcome::Answer(answer) => answer,
            other => panic!("no answer: {other:?}"),
        };
        let probe = Probe::parse(&answer).unwrap();
        assert_eq!((probe.runtime_version.as_deref(), probe.n_dropped), (Some("provided:al2023.v109"), 0));
        let answers: Vec<&str> = probe.canaries.iter().map(|canary| canary.answer.as_str()).collect();
        assert_eq!(answers.join(" "), expected, "{}: {:?}", system.display(), probe.canaries);
        assert_eq!(fs::read_dir(root.path("tmp")).unwrap().count(), 0);

        // The bytes of the libraries say the same.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("probe.txt"), &answer).unwrap();
        let text = run(dir.path(), "baseline capture --from-probe probe.txt").exits(0).stdout;
        let table = Baseline::parse(&text).unwrap();
        for canary in &probe.canaries {
            let found = match table.object(&canary.soname).map(|object| object.node(&canary.node)) {
                None => "missing",
                Some(NodeAnswer::Floor) => "yes",
                Some(_) => "no",
            };
            assert_eq!(found, canary.answer, "{canary:?}");
        }
    }
}

/// Writes the program that asks about a node, as the script does on a machine of this name.
fn write_canary(machine: &str, file: &Path, soname: &str, node: &str) {
    let functions = ["\nlittle() {\n", "\ncanary_program() {\n"].map(|start| {
        let from = SCRIPT.find(start).unwrap();
        &SCRIPT[from..][..SCRIPT[from..].find("\n}\n").unwrap() + 3]
    });
    let script = format!("{}\nmachine={machine}\ncanary_program \"$@\"", functions.concat());
    let mut command = Command::new("bash");
    command.args(["-c", &script, "canary"]).arg(file).args([soname, node]);
    assert!(command.status().unwrap().success());
}

#[test]
fn canaries_need_one_node() {
    let dir = tempfile::tempdir().unwrap();
    for (machine, arch) in [("x86_64", Arch::X86_64), ("aarch64", Arch::Arm64)] {
        for (soname, node) in
            [("libc.so.6", "GLIBC_2.35"), ("libacl.so.1", "ACL_1.3"), ("libcrypto.so.3", "OPENSSL_3.0.1")]
        {
            let file = dir.path().join("canary");
            write_canary(machine, &file, soname, node);
            let bytes = fs::read(&file).unwrap();
            let facts = elf::parse(&bytes).unwrap();
            assert_eq!(facts.arch(), Some(arch));
            assert_eq!(facts.needed, [soname, "libc.so.6"]);
            let needs: BTreeMap<(&str, &str), u32> =
                facts.verneed.iter().map(|need| ((&*need.file, &*need.node), need.hash)).collect();
            assert_eq!(needs, BTreeMap::from([((soname, node), elf::version_hash(node))]));
            assert!(bytes.len() < 1024, "{} bytes", bytes.len());
        }
    }
}

#[test]
fn canaries_of_arm64_start_or_are_refused() {
    if !lambda_root::require(Arch::Arm64) {
        return;
    }
    let root = LambdaRoot::new(Arch::Arm64, &["libc.so.6"]);
    let loader = "ld-linux-aarch64.so.1";
    for (soname, node, message) in [
        ("libc.so.6", "GLIBC_2.17", None),
        (loader, "GLIBC_2.17", None),
        ("libc.so.6", "GLIBC_NONE", Some("version `GLIBC_NONE' not found")),
        ("libacl.so.1", "ACL_1.3", Some("libacl.so.1: cannot open shared object file")),
    ] {
        let file = root.path("var/task/canary");
        write_canary("aarch64", &file, soname, node);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let output = root.start(&format!("/lib/{loader}"), &["/var/task/canary"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), message.is_none(), "{soname} {node}: {stderr}");
        assert!(stderr.contains(message.unwrap_or_default()), "{stderr}");
    }
}
