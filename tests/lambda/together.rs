//! Several programs of one archive that bring the same files, and start.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::command::{command, finish, run};
use crate::support::compile::CC;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use cargo_lambda_bundle::elf::Arch;

const HELLO: &str = "#include <stdio.h>\nint main(int n, char **a) { (void)n; puts(a[0]); }";

fn root() -> LambdaRoot {
    LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64))
}

#[track_caller]
fn starts(root: &LambdaRoot, program: &str) {
    let output = root.start(program, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{program}\n"), "{stderr}");
}

#[track_caller]
fn names(dir: &Path, zip: &str) -> Vec<String> {
    let listing = finish(command("unzip", dir).args(["-Z1", zip])).exits(0).stdout;
    listing.lines().map(str::to_owned).collect()
}

#[test]
fn an_included_program_shares_the_bundles_libc() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(dir, HELLO, "app", "-Wl,--no-as-needed -lm");
    CC.compile(dir, HELLO, "tool", "");
    // It needs no C library, and the loader of this machine may have packed relative relocations.
    CC.compile(
        dir,
        "void *self = &self;",
        "plugin.so",
        "-shared -fPIC -nostdlib -Wl,-z,pack-relative-relocs",
    );
    let words = "--binary app --libc bundle --include tool=tools/tool --include plugin.so=plugins/";
    let ran = run(dir, &format!("{words} -o app.zip")).exits(0);
    ran.says(&["3 files run with the glibc of the bundle"]).keeps_silent_about(&[
        "relr-unsupported",
        "of the bundle, which AWS does not patch\n",
        "the none of",
        "unknown of",
    ]);
    let names = names(dir, "app.zip");
    assert_eq!(names.iter().filter(|name| name.contains("ld-linux")).count(), 1, "{names:?}");
    let root = root();
    root.unpack_function(&dir.join("app.zip"));
    starts(&root, "/var/task/bootstrap");
    starts(&root, "/var/task/tools/tool");
    run(dir, "verify app.zip").exits(0).keeps_silent_about(&["relr-unsupported"]);
}

#[test]
fn two_extensions_share_the_bundles_libc() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(dir, "int top(void) { return 0; }", "libtop.so.1", "-shared -fPIC -Wl,-soname,libtop.so.1");
    for name in ["a", "b"] {
        CC.compile(dir, HELLO, name, "-Wl,--no-as-needed libtop.so.1");
    }
    run(dir, "--kind extension --libc bundle --library-path . --binary a --binary b -o both.zip").exits(0);
    let root = root();
    root.unpack_layer(&dir.join("both.zip"));
    for name in ["a", "b"] {
        starts(&root, &format!("/opt/extensions/{name}"));
    }
}

/// A program without a C library starts by the bundle's loader, which relocates itself.
#[test]
fn a_program_without_libc_takes_the_bundles_loader() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(
        dir,
        "int top(void) { return 7; }",
        "libtop.so.1",
        "-shared -fPIC -nostdlib -Wl,-soname,libtop.so.1",
    );
    let source = "int top(void); void start(void) { int status = top() - 7;
        __asm__ volatile(\"syscall\" :: \"a\"(60), \"D\"(status)); }
        __asm__(\".globl _start\\n_start: and $-16, %rsp; call start\");";
    CC.compile(dir, source, "app", "-nostdlib libtop.so.1 -Wl,-z,pack-relative-relocs");
    run(dir, "--binary app --library-path . --libc bundle -o app.zip")
        .exits(0)
        .says(&["runs with the glibc of the bundle"])
        .keeps_silent_about(&["relr-unsupported"]);
    let root = root();
    root.unpack_function(&dir.join("app.zip"));
    assert_eq!(root.start("/var/task/bootstrap", &[]).status.code(), Some(0));
}
