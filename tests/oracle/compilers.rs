//! What `elf` says of what real compilers make.

use std::process::Command;

use crate::support::compile::{ZIG_MUSL, require_zig};
use crate::support::tools;
use cargo_lambda_bundle::elf::{self, Arch, ElfFacts, Libc, Linkage};

/// Compiles a C program with these words and returns what `elf` says of it; `None` if it was skipped.
fn compiled(tool: &str, package: &str, words: &[&str]) -> Option<ElfFacts> {
    if !tools::require(tool, package) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("main.c");
    let text = "#include <stdio.h>\n#include <string.h>\nint main(int n, char **a) { puts(strerror(n)); return 0; }\n";
    std::fs::write(&source, text).unwrap();
    let program = dir.path().join("program");
    let output = Command::new(tool).args(words).arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(elf::parse(&std::fs::read(&program).unwrap()).unwrap())
}

#[track_caller]
fn check_compiled(tool: &str, package: &str, words: &[&str], expected: (Linkage, Libc, Arch)) {
    if let Some(facts) = compiled(tool, package, words) {
        assert_eq!((facts.linkage(), facts.libc(), facts.arch()), (expected.0, expected.1, Some(expected.2)));
    }
}

#[test]
fn c_programs_of_gcc_are_told_apart() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let check = |tool, package, words: &[&str], expected| check_compiled(tool, package, words, expected);
    check("gcc", "gcc", &[], (Linkage::Dynamic, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-no-pie"], (Linkage::Dynamic, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static"], (Linkage::Static, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static-pie"], (Linkage::StaticPie, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-shared", "-fPIC"], (Linkage::SharedLibrary, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static", "-s"], (Linkage::Static, Libc::Glibc, Arch::X86_64));
    check("musl-gcc", "musl-tools", &[], (Linkage::Dynamic, Libc::Musl, Arch::X86_64));
    check("musl-gcc", "musl-tools", &["-static"], (Linkage::Static, Libc::Musl, Arch::X86_64));
    let cross = ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
    check(cross.0, cross.1, &[], (Linkage::Dynamic, Libc::Glibc, Arch::Arm64));
    check(cross.0, cross.1, &["-static"], (Linkage::Static, Libc::Glibc, Arch::Arm64));
}

#[test]
fn imports_of_gnu_lds_programs_are_known() {
    let words = ["-Wl,--hash-style=gnu", "-Wl,-z,now"];
    if let Some(facts) = compiled("gcc", "gcc", &words) {
        let names: Vec<_> = facts.symbols.iter().map(|symbol| facts.symbols.name(symbol)).collect();
        assert!(names.contains(&"puts".into()), "{names:?}");
    }
}

#[test]
fn a_program_of_zig_is_static_musl() {
    if !require_zig() {
        return;
    }
    // One target only: zig builds the C library on first use.
    let (zig, words) = (ZIG_MUSL.0[0], &ZIG_MUSL.0[1..]);
    check_compiled(zig, "python3", words, (Linkage::Static, Libc::Musl, Arch::X86_64));
}

#[test]
fn programs_of_rustc_are_told_apart() {
    for (target, linker, package, linkage, libc, arch) in [
        ("x86_64-unknown-linux-gnu", "gcc", "gcc", Linkage::Dynamic, Libc::Glibc, Arch::X86_64),
        ("x86_64-unknown-linux-musl", "gcc", "gcc", Linkage::StaticPie, Libc::Musl, Arch::X86_64),
        (
            "aarch64-unknown-linux-gnu",
            "aarch64-linux-gnu-gcc",
            "gcc-aarch64-linux-gnu",
            Linkage::Dynamic,
            Libc::Glibc,
            Arch::Arm64,
        ),
    ] {
        if !tools::require_target(target) || !tools::require(linker, package) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("main.rs");
        std::fs::write(&source, "fn main() { println!(\"{:?}\", std::fs::read(\"x\")) }").unwrap();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let linker = format!("-Clinker={linker}");
        let output = Command::new(rustc)
            .args(["--target", target, &linker, "-Cstrip=symbols", "-o", "program", "main.rs"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let facts = elf::parse(&std::fs::read(dir.path().join("program")).unwrap()).unwrap();
        assert_eq!((facts.linkage(), facts.libc(), facts.arch()), (linkage, libc, Some(arch)), "{target}");
        if linkage == Linkage::Dynamic {
            let node = if arch == Arch::Arm64 { "GLIBC_2.17" } else { "GLIBC_2.2.5" };
            assert!(!facts.symbols_needing("libc.so.6", &[node]).is_empty(), "{target}");
        }
    }
}
