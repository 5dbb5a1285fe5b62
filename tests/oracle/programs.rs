//! Files that are no programs, and programs that do not look like one: what we say, beside a real start.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::process::{Command, ExitStatus};

use crate::support::command::{Ran, command, finish};
use crate::support::compile::CC;
use crate::support::fields::{fields, number};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use cargo_lambda_bundle::elf::{self, DF_1_PIE};

#[track_caller]
fn scene() -> Option<Scene> {
    let needs = [("cc", "gcc"), ("zip", "zip")];
    needs.iter().all(|(tool, package)| tools::require(tool, package)).then(Scene::new)
}

/// Writes over the value of a dynamic entry, which must be there and have another.
fn set(scene: &Scene, file: &str, field: &str, value: u64) {
    let mut bytes = scene.read(file);
    let found = fields(&bytes).into_iter().find(|known| known.name == field).unwrap();
    assert_ne!(number(&bytes, found.at, found.size), value);
    bytes[found.at..][..found.size].copy_from_slice(&value.to_le_bytes()[..found.size]);
    // As another file: the linker's own may still be open.
    scene.remove(file).file(file, bytes).mode(file, 0o755);
}

fn start(scene: &Scene, file: &str) -> Option<ExitStatus> {
    tools::unless_busy(|| Command::new(scene.at(file)).env_clear().status()).ok()
}

fn starts(scene: &Scene, file: &str) -> bool {
    start(scene, file).is_some_and(|status| status.success())
}

/// What `verify` says of an archive with this one file.
#[track_caller]
fn verified(scene: &Scene, file: &str, name: &str, arguments: &str) -> Ran {
    let _ = fs::remove_dir_all(scene.at("stage"));
    let _ = fs::remove_file(scene.at("app.zip"));
    let staged = format!("stage/{name}");
    scene.copy(file, &staged).mode(&staged, 0o755);
    finish(command("zip", &scene.at("stage")).args(["-qr", "../app.zip", "."])).exits(0);
    scene.run(&format!("verify app.zip {arguments}"))
}

#[test]
fn a_bootstrap_that_is_no_program_does_not_start() {
    let Some(s) = scene() else { return };
    let dir = s.path();
    CC.compile_as_is(dir, "int f(void) { return 1; }", "plugin", "-shared -fPIC");
    CC.compile_as_is(dir, "int f(void) { return 1; }", "library", "-shared -fPIC -Wl,-soname,libf.so.1");
    CC.compile_as_is(dir, EMPTY, "object", "-c");
    s.copy("/lib/x86_64-linux-gnu/libc.so.6", "libc");
    for (file, what) in
        [("plugin", "a shared library"), ("library", "a shared library"), ("object", "an object file")]
    {
        s.mode(file, 0o755);
        assert!(!starts(&s, file), "{file} starts");
        let says = format!("`bootstrap` cannot be started: it is {what}, not a program");
        verified(&s, file, "bootstrap", "").exits(1).says(&[&says]);
        let says = format!("`extensions/x` cannot be started: it is {what}, not a program");
        verified(&s, file, "extensions/x", "--kind extension").exits(1).says(&[&says]);
        s.run(&format!("--binary {file} -o out.zip")).exits(101).says(&[what]);
    }
    // It prints its version; it is no function.
    verified(&s, "libc", "bootstrap", "").exits(1).says(&["a shared library, not a program"]);
    s.file("empty", "");
    verified(&s, "empty", "extensions/x", "--kind extension").exits(1).says(&["cannot be started"]);
}

#[test]
fn a_program_of_an_older_linker_has_no_flag_that_says_so() {
    let Some(s) = scene() else { return };
    s.c(EMPTY, "static", "-static-pie");
    s.c(EMPTY, "named", "-pie -Wl,-soname,libnamed.so.1");
    for file in ["static", "named"] {
        set(&s, file, "dynFLAGS_1.d_val", 0);
        let facts = elf::parse(&s.read(file)).unwrap();
        assert_eq!(facts.flags_1 & DF_1_PIE, 0);
        assert!(starts(&s, file), "{file}");
        s.run(&format!("--binary {file} -o {file}.zip")).exits(0);
        verified(&s, file, "bootstrap", "").exits(0);
    }
}

#[test]
fn an_interpreter_that_is_a_library_is_no_loader() {
    let Some(s) = scene() else { return };
    s.c(EMPTY, "app", "-Wl,--dynamic-linker=/lib64/libc.so.6");
    assert!(!starts(&s, "app"));
    let says = ["names the interpreter `/lib64/libc.so.6`, which is not a loader"];
    s.run("check --binary app --repair never").exits(1).says(&says);
    verified(&s, "app", "bootstrap", "").exits(1).says(&says);
}

#[test]
fn a_program_with_a_fault_does_not_start() {
    let Some(s) = scene() else { return };
    for (field, value, says) in [
        ("ehdr.e_entry", 0, "its entry point is not in executable code"),
        ("dynPLTREL.d_val", 17, "its DT_PLTREL is 17, not 7 (DT_RELA)"),
        ("dynRELAENT.d_val", 16, "its DT_RELAENT is 16, not 24"),
        ("rela.r_type", 3, "its DT_RELACOUNT counts a relocation of another type"),
    ] {
        s.c("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }", "app", "");
        assert!(starts(&s, "app"));
        set(&s, "app", field, value);
        assert!(!starts(&s, "app"), "{field}");
        let says = format!("error[not-elf]: `app` does not start: {says}");
        s.run("--binary app -o out.zip").exits(1).says(&[&says]);
        assert!(!s.has("out.zip"), "{field}");
        verified(&s, "app", "bootstrap", "").exits(1).says(&["`bootstrap` does not start"]);
    }
}
