//! `--repair script`: a program that cannot be edited starts all the same.
//!
//! The program has no notes to give up and 17 MiB of .bss, so there is no room for another segment.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::compile::{CC, require_debian_12, require_library};
use crate::support::debian::DEBIAN_11;
use crate::support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;
use cargo_lambda_bundle::script::{Loader, Script};

const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern unsigned long crc32_combine_gen(long);
volatile char big[17 << 20];
void start(long *stack) {
    char line[512] = {0};
    big[1] = 1;
    readlink("/proc/self/exe", line, sizeof line - 1);
    fprintf(stderr, "exe %s, name %s, %d\n", line, (char *)stack[1], crc32_combine_gen(1) != 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "libz.so")) { fputs(strchr(line, '/'), stderr); break; }
    exit(0);
}
__asm__(".globl _start\n_start: xor %ebp, %ebp; mov %rsp, %rdi; and $-16, %rsp; call start");
"#;

const ZLIB: &str = "/lib/x86_64-linux-gnu/libz.so.1";

#[test]
fn a_program_that_cannot_be_edited_starts_through_a_script() {
    const TEST: &str = "a_program_that_cannot_be_edited_starts_through_a_script";
    if !lambda_root::require(TEST, Arch::X86_64)
        || !require_debian_12(TEST)
        || !require_library(TEST, ZLIB, "zlib1g")
    {
        return;
    }
    let Some(debian_11) = DEBIAN_11.unpacked(TEST) else { return };
    let dir = tempfile::tempdir().unwrap();
    let flags = format!("-O1 -nostartfiles -fcf-protection=none -Wl,--build-id=none {ZLIB}");
    CC.compile(dir.path(), SOURCE, "app", &flags);

    let refusal = "error[not-editable]: `app` must be edited so that the bundle's libraries load first, and cannot be: \
                   it has no program header slot to reuse";
    for command in ["check --binary app", "--binary app -o app.zip"] {
        run(dir.path(), command).exits(1).says(&[refusal, "`--repair script`"]);
    }
    assert!(!dir.path().join("app.zip").exists());

    run(dir.path(), "--binary app -o pin.zip --repair script")
        .exits(0)
        .says(&["bootstrap starts bootstrap.elf", "bootstrap and 1 library"]);
    run(dir.path(), "--binary app -o own.zip --repair script --libc bundle")
        .exits(0)
        .says(&["/proc/self/exe is `/var/task/libc/ld-linux-x86-64.so.2` there"]);
    // The program that the script starts is looked at, not the script alone.
    run(dir.path(), "verify pin.zip").exits(0).says(&["pin.zip starts on provided.al2023"]);
    run(dir.path(), "verify own.zip").exits(0).says(&["warning[libc-bundled]"]);

    let pinned = start(&debian_11, &dir.path().join("pin.zip"));
    assert_eq!(
        pinned,
        "exe /var/task/bootstrap.elf, name /var/task/bootstrap.elf, 1\n/var/task/lib/pinned/libz.so.1\n"
    );
    let own = start(&debian_11, &dir.path().join("own.zip"));
    assert_eq!(
        own,
        "exe /var/task/libc/ld-linux-x86-64.so.2, name /var/task/bootstrap, 1\n/var/task/libc/libz.so.1\n"
    );

    for (member, code) in [("lib/pinned/libz.so.1", "version-too-new"), ("bootstrap.elf", "not-elf")] {
        let zip = dir.path().join("without.zip");
        std::fs::copy(dir.path().join("pin.zip"), &zip).unwrap();
        assert!(Command::new("zip").arg("-qd").arg(&zip).arg(member).status().unwrap().success());
        run(dir.path(), "verify without.zip").exits(1).says(&[&format!("error[{code}]")]);
    }
}

/// Starts a function's ZIP where zlib is Debian 11's, and there is a shell; what it wrote to stderr.
#[track_caller]
fn start(debian_11: &Path, zip: &Path) -> String {
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let zlib = root.path("usr/lib64/libz.so.1");
    std::fs::remove_file(&zlib).unwrap();
    tools::copy_program(debian_11.join("lib/x86_64-linux-gnu/libz.so.1"), &zlib);
    std::fs::create_dir_all(root.path("bin")).unwrap();
    tools::copy_program("/bin/sh", root.path("bin/sh"));
    root.unpack_function(zip);
    match root.invoke("{}") {
        Outcome::Ended { stderr, .. } => stderr,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scripts_are_read_to_the_letter() {
    let plain = Script { program: "/var/task/a.elf".into(), library_dir: "/var/task/x".into(), loader: None };
    let loader = |gives_name| Some(Loader { path: "/var/task/x/ld.so".into(), gives_name });
    for script in [
        plain.clone(),
        Script { loader: loader(true), ..plain.clone() },
        Script { loader: loader(false), ..plain.clone() },
    ] {
        let text = script.text();
        assert_eq!(Script::parse(text.as_bytes()), Some(script));
        assert_eq!(Script::parse(format!("{text}# more\n").as_bytes()), None);
        assert_eq!(Script::parse(text.replace(" \"$@\"", " $*").as_bytes()), None);
    }
    assert_eq!(Script::parse(b"#!/bin/sh\nexec rm -rf /\n"), None);
    assert_eq!(Script::parse(b"\x7fELF"), None);
}

#[test]
fn the_interpreter_of_a_script_is_looked_for() {
    if !tools::require("the_interpreter_of_a_script", "zip", "zip") {
        return;
    }
    let verify = |first_line: &str, code: i32, says: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bootstrap"), format!("{first_line}\nexec true\n")).unwrap();
        std::fs::write(dir.path().join("data"), "text").unwrap();
        let modes = Command::new("chmod").args(["755", "bootstrap"]).current_dir(dir.path()).status();
        assert!(modes.unwrap().success());
        let zip =
            Command::new("zip").args(["-q", "a.zip", "bootstrap", "data"]).current_dir(dir.path()).status();
        assert!(zip.unwrap().success());
        run(dir.path(), "verify a.zip --kind layer").exits(code).says(says)
    };
    for shell in ["#!/bin/sh", "#! /bin/bash -eu", "#!/usr/bin/bash"] {
        verify(shell, 0, &[]).keeps_silent_about(&["interpreter-missing"]);
    }
    verify(
        "#!/usr/bin/python3",
        0,
        &["warning[interpreter-missing]: `bootstrap` is a script for `/usr/bin/python3`"],
    );
    verify("#!/bin/sh\r", 1, &["error[interpreter-missing]", "carriage return"]);
    verify(
        "#!/opt/bin/lumo",
        1,
        &["`/opt/bin/lumo`, which is not in the archive", "put `bin/lumo` into the archive"],
    );
    verify("#!/opt/data", 1, &["error[not-executable]: `data`"]);
}
