//! Functions among the libraries of another system, and on Lambda's kernel.
//!
//! The function is `testdata/probe`. What it needs of this machine's glibc 2.36 a root with Debian 11's 2.31 lacks, and
//! what it needs of Debian 13's 2.41 this machine lacks.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod support;

use std::path::{Path, PathBuf};

use cargo_lambda_bundle::elf::Arch;
use serde_json::json;
use support::command::run;
use support::compile::require_debian_12;
use support::debian::DEBIAN_11;
use support::kernel::{self, Start};
use support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use support::probe;

/// Whether this machine can run the tests of this file.
#[track_caller]
fn require(test: &str) -> bool {
    lambda_root::require(test, Arch::X86_64) && require_debian_12(test)
}

/// A root with the libraries of `system`, and a name server.
fn root(system: &Path) -> LambdaRoot {
    let mut root = LambdaRoot::of_system(system, Arch::X86_64, &provided_al2023(Arch::X86_64));
    probe::furnish(&mut root);
    root
}

#[test]
fn a_function_for_a_newer_glibc_does_not_start() {
    const TEST: &str = "a_function_for_a_newer_glibc_does_not_start";
    if !require(TEST) {
        return;
    }
    let Some(debian_11) = DEBIAN_11.unpacked(TEST) else { return };
    let dir = tempfile::tempdir().unwrap();
    probe::build("glibc-2-36", &[], &dir.path().join("probe"));
    run(dir.path(), "--binary probe -o plain.zip --write-anyway").exits(1).says(&["GLIBC_2.36"]);
    let older = root(&debian_11);
    older.unpack_function(&dir.path().join("plain.zip"));
    let Outcome::Ended { status, stderr } = older.invoke("{}") else { panic!("started") };
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/lib64/libc.so.6: version `GLIBC_2.36' not found"), "{stderr}");

    let own = root(Path::new("/"));
    own.unpack_function(&dir.path().join("plain.zip"));
    let Outcome::Answer(answer) = own.invoke(&probe::event()) else { panic!("no answer") };
    probe::check(&answer, &json!({ "version": "2.36", "2.36": 0 }));
}
