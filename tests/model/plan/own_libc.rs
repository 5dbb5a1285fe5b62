//! Programs with a libc of their own.

use crate::support::elf::Object;
use cargo_lambda_bundle::plan::LibcSource;
use cargo_lambda_bundle::repair::Edits;

use super::{Case, LOADER, app, case, library, loader};

/// A program that needs a glibc which no runtime has, and a build world that has it.
fn too_new() -> Case {
    let libc = Object::library("libc.so.6").needs("ld-linux-x86-64.so.2").verdef(&[
        "GLIBC_2.2.5",
        "GLIBC_2.34",
        "GLIBC_2.38",
        "GLIBC_ABI_DT_RELR",
    ]);
    let mut case = case(app().verneed("libc.so.6", &["GLIBC_2.38"]).needs("libz.so.1"))
        .at(LOADER, loader())
        .has("libc.so.6", libc)
        .has("libm.so.6", library("libm.so.6"))
        .has("libnss_files.so.2", library("libnss_files.so.2"))
        .has("libz.so.1", library("libz.so.1").needs("libm.so.6").runpath("$ORIGIN:/usr/lib64"));
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case
}

const PRIVATE: &[&str] = &[
    "private ld-linux-x86-64.so.2",
    "private libc.so.6",
    "private libm.so.6",
    "private libnss_files.so.2",
    "private libz.so.1",
];

#[test]
fn a_libc_of_its_own_comes_with_everything() {
    let edits = too_new().edits(PRIVATE, &["warning libc-bundled app"]);
    let program = Edits {
        interpreter: Some("/var/task/libc/ld-linux-x86-64.so.2".into()),
        rpath: Some("/var/task/libc".into()),
        // Nobody can bring in another glibc's part of what is loaded already.
        add_needed: vec!["libm.so.6".into()],
        ..Edits::default()
    };
    // Its RUNPATH would keep the program's RPATH from serving its needs.
    let library = Edits { drop_runpath: true, ..Edits::default() };
    assert_eq!(edits, [("app".into(), program), ("libz.so.1".into(), library)]);
}

#[test]
fn a_libc_of_its_own_knows_packed_relocations() {
    let mut case = too_new();
    case.program = case.program.relr(24);
    case.check(PRIVATE, &["warning libc-bundled app"]);
}

#[test]
fn nothing_of_the_systems_may_load_beside_a_libc_of_its_own() {
    let mut case = too_new();
    case.exclude = vec!["libz.so.1".into()];
    let without: Vec<&str> = PRIVATE.iter().copied().filter(|name| *name != "private libz.so.1").collect();
    case.check(&without, &["error libc-mixed libz.so.1", "warning libc-bundled app"]);
}

#[test]
fn a_libc_of_its_own_may_be_too_old_as_well() {
    let mut case = too_new();
    case.program = case.program.verneed("libc.so.6", &["GLIBC_2.39"]);
    case.check(PRIVATE, &["error version-too-new app libc.so.6 GLIBC_2.39", "warning libc-bundled app"]);
}

#[test]
fn without_the_interpreter_there_is_no_libc_of_its_own() {
    let mut case = case(app().interpreter("/nix/store/abc-glibc/lib/ld-other.so.2"));
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case.check(&[], &["error interpreter-missing app"]);
}

#[test]
fn a_static_program_has_no_libc_to_bring() {
    let mut case = case(Object::static_pie());
    case.may_edit = true;
    case.libc = LibcSource::Bundle;
    case.check(&[], &[]);
}
