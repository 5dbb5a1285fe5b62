//! klibc: its library, which looks like a static program, its static programs and those that need the library.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::run;
use crate::support::debian::{KLIBC, KLIBC_ARM64, Root};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// The library of a root, copied to where it has no other name than a function's.
fn library(root: &Path, dir: &Path) -> PathBuf {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("klibc-") && name.ends_with(".so")
    };
    let directory = fs::read_dir(root.join("lib")).unwrap();
    let file = directory.map(|entry| entry.unwrap().path()).find(is_library).expect("klibc's library");
    let to = dir.join("bootstrap");
    tools::copy_program(file, &to);
    to
}

/// Bundles a program for whatever it is worth, and starts it.
#[track_caller]
fn starts(arch: Arch, dir: &Path, program: &str) -> bool {
    run(dir, &format!("--binary {program} -o {program}.zip --write-anyway --force"));
    let root = LambdaRoot::new(arch, &provided_al2023(arch));
    root.unpack_function(&dir.join(format!("{program}.zip")));
    root.start("/var/task/bootstrap", &[]).status.success()
}

#[track_caller]
fn check_library(arch: Arch, packages: &Root) {
    if !lambda_root::require(arch) {
        return;
    }
    let Some(klibc) = packages.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    library(&klibc, dir.path());
    assert!(!starts(arch, dir.path(), "bootstrap"));
    let said = run(dir.path(), &format!("check --binary bootstrap --arch {arch}")).exits(1);
    said.says(&["error[not-elf]", "it is klibc's library"]);
    // The proof reads it out of the archive.
    run(dir.path(), "verify bootstrap.zip").exits(1).says(&["it is klibc's library"]);
}

#[test]
fn the_library_alone_does_not_start() {
    check_library(Arch::X86_64, &KLIBC);
}

#[test]
fn the_library_alone_does_not_start_on_arm64() {
    check_library(Arch::Arm64, &KLIBC_ARM64);
}

#[test]
fn a_static_program_starts_and_one_with_the_library_does_not() {
    if !lambda_root::require(Arch::X86_64)
        || !tools::require("ld.bfd", "binutils")
        || !tools::require("cc", "gcc")
    {
        return;
    }
    let Some(klibc) = KLIBC.unpacked() else { return };
    let lib = klibc.join("usr/lib/klibc/lib");
    let dir = tempfile::tempdir().unwrap();
    let source = "int puts(const char *); int main(void) { puts(\"AWS_LAMBDA_RUNTIME_API\"); return 0; }";
    fs::write(dir.path().join("main.c"), source).unwrap();
    // As klcc links.
    let script = format!(
        "cc -c -O1 -fno-pie -fno-stack-protector -fno-builtin main.c &&
         ld.bfd -Ttext-segment 0x400000 -o static {lib}/crt0.o main.o {lib}/libc.a &&
         ld.bfd -Ttext-segment 0x400000 -e main -o shared {lib}/shared-stub.o main.o -R {lib}/libc.so",
        lib = lib.display()
    );
    let built = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).status().unwrap();
    assert!(built.success());
    assert!(starts(Arch::X86_64, dir.path(), "static"));
    run(dir.path(), "check --binary static").exits(0);
    assert!(!starts(Arch::X86_64, dir.path(), "shared"));
    run(dir.path(), "check --binary shared").exits(1).says(&["error[interpreter-missing]"]);
}
