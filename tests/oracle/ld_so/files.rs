//! What is passed over and what is fatal; programs without an interpreter.

use std::process::Command;

use crate::support::objects::{ARM64, Has, Tree};
use crate::support::real_loader::{self, LD_SO};
use crate::support::tools;
use cargo_lambda_bundle::elf::{DF_1_PIE, Linkage};

use super::{start, tree};

// What is passed over and what is fatal

#[test]
fn another_class_or_machine_is_passed_over() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x:T/y:T/z"));
    t.library("y/libb.so", Has::nothing()).library("z/liba.so", Has::nothing());
    // The class is looked at before anything else of the header.
    t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| bytes[4] = 1);
    if tools::require(ARM64.linker, "binutils-aarch64-linux-gnu") {
        let other = Tree::new(ARM64);
        other.library("liba.so", Has::nothing());
        t.directory("y");
        std::fs::copy(other.path("liba.so"), t.path("y/liba.so")).unwrap();
    }
    start(&t).loads(&["liba.so => T/z/liba.so", "libb.so => T/y/libb.so"]);
}

#[test]
fn a_file_that_is_no_object_is_fatal_wherever_it_is_found() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y"));
    t.library("y/liba.so", Has::nothing());
    let object = std::fs::read(t.path("y/liba.so")).unwrap();
    let long_text = "text ".repeat(40);
    let script = format!("/* GNU ld script */\nGROUP ( libreal.so )\n{long_text}");
    let cases: [(&[u8], &str); 7] = [
        (b"", "liba.so: file too short"),
        (b"text", "liba.so: file too short"),
        (&object[..40], "liba.so: file too short"),
        (long_text.as_bytes(), "liba.so: invalid ELF header"),
        (script.as_bytes(), "liba.so: invalid ELF header"),
        (&[0; 100], "liba.so: invalid ELF header"),
        (b"\x7fELF", "liba.so: file too short"),
    ];
    for (bytes, expected) in cases {
        t.write("x/liba.so", bytes);
        start(&t).fails(expected);
    }
    t.remove("x/liba.so").directory("x/liba.so");
    start(&t).fails("liba.so: cannot read file data");
}

#[test]
fn a_broken_header_is_fatal() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y")).library("y/liba.so", Has::nothing());
    let cases: [(usize, u8, &str); 8] = [
        (6, 2, "liba.so: ELF file version ident does not match current one"),
        (9, 1, "liba.so: nonzero padding in e_ident"),
        (20, 2, "liba.so: ELF file version does not match current one"),
        (5, 2, "liba.so: ELF file data encoding not little-endian"),
        (7, 9, "liba.so: ELF file OS ABI invalid"),
        (8, 9, "liba.so: ELF file ABI version invalid"),
        (16, 1, "liba.so: only ET_DYN and ET_EXEC can be loaded"),
        (16, 2, "liba.so: cannot dynamically load executable"),
    ];
    for (at, byte, expected) in cases {
        t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| bytes[at] = byte);
        start(&t).fails(expected);
    }
}

#[test]
fn a_segment_that_asks_for_no_whole_pages_is_taken() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x"));
    for align in [0_u64, 1, 16, 0x1008] {
        t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| {
            for header in bytes[64..].chunks_exact_mut(56).take(4).filter(|header| header[0] == 1) {
                header[48..56].copy_from_slice(&align.to_le_bytes());
            }
        });
        start(&t).loads(&["liba.so => T/x/liba.so"]);
    }
}

#[test]
fn an_object_without_a_dynamic_section_is_fatal() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y")).library("x/liba.so", Has::nothing());
    t.library("y/liba.so", Has::nothing()).patch("x/liba.so", |bytes| {
        let headers = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
        let count = usize::from(bytes[56]);
        // PT_NULL in the place of PT_DYNAMIC.
        for at in
            (0..count).map(|index| headers + index * 56).filter(|at| bytes[*at] == 2).collect::<Vec<_>>()
        {
            bytes[at] = 0;
        }
    });
    start(&t).fails("liba.so: object file has no dynamic section");
}

#[test]
fn a_program_is_no_library() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["libprog.so"]).runpath("T/x"));
    t.program("x/libprog.so", Has::nothing());
    start(&t).fails("libprog.so: cannot dynamically load position-independent executable");
    t.link("x/libprog.so", &Has::nothing(), &["-no-pie", "--dynamic-linker", LD_SO, "--export-dynamic"]);
    start(&t).fails("libprog.so: cannot dynamically load executable");
}

#[test]
fn a_link_without_end_ends_its_list_and_no_other() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/z"));
    t.symlink("x/liba.so", "liba.so")
        .library("y/liba.so", Has::nothing())
        .library("z/liba.so", Has::nothing());
    start(&t).library_path("T/x:T/y").loads(&["liba.so => T/z/liba.so"]);
    t.remove("z/liba.so");
    start(&t).library_path("T/x:T/y").loads(&["liba.so => not found"]);
    start(&t).library_path("T/y:T/x").loads(&["liba.so => T/y/liba.so"]);
}

#[test]
fn a_link_without_end_counts_only_in_the_directory_itself() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("y/liba.so", Has::nothing());
    t.symlink("x/tls/liba.so", "liba.so").symlink("loop", "loop");
    start(&t).library_path("T/x:T/y").loads(&["liba.so => T/y/liba.so"]);
    start(&t).library_path("T/loop:T/y").loads(&["liba.so => T/y/liba.so"]);
    // ld.so does not look whether a relative directory is there.
    start(&t).library_path("loop:T/y").loads(&["liba.so => not found"]);
}

#[test]
fn a_name_that_is_too_long_is_in_no_directory() {
    let Some(t) = tree() else { return };
    let long = "l".repeat(300);
    t.program("prog", Has::needed(&[&long, "liba.so"]).runpath("T/x")).library("x/liba.so", Has::nothing());
    start(&t).loads(&[&format!("{long} => not found"), "liba.so => T/x/liba.so"]);
    start(&t)
        .library_path(&format!("T/{long}:T/x"))
        .loads(&[&format!("{long} => not found"), "liba.so => T/x/liba.so"]);
}

#[test]
fn a_file_that_may_not_be_read_is_passed_over() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x:T/y"));
    for path in ["x/liba.so", "y/liba.so", "x/libb.so", "y/libb.so"] {
        t.library(path, Has::nothing());
    }
    let chmod = |path: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(t.path(path), mode).unwrap();
    };
    chmod("x/liba.so", 0o000);
    // The execute bit does not matter.
    chmod("x/libb.so", 0o644);
    chmod("", 0o755);
    let expected = ["liba.so => T/y/liba.so", "libb.so => T/x/libb.so"];
    if std::fs::read(t.path("x/liba.so")).is_err() {
        start(&t).loads(&expected);
        return;
    }
    // Root may read everything: a copy of this test asks again as nobody.
    if std::env::var_os("AS_NOBODY").is_some() {
        panic!("nobody may read everything");
    }
    if !tools::require("setpriv", "util-linux") {
        return;
    }
    let copy = t.path("test");
    // Not by this process: while it writes a file, what it starts meanwhile has the file open, too.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["--exact", std::thread::current().name().expect("a test has a name"), "--nocapture"])
        .env("AS_NOBODY", "1")
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

// Programs without an interpreter

#[test]
fn a_static_pie_needs_nothing_and_with_needed_entries_it_crashes() {
    let Some(t) = tree() else { return };
    let kind = ["-pie", "--no-dynamic-linker", "-z", "text"];
    t.link("prog", &Has::nothing(), &kind);
    assert_eq!(t_linkage(&t), Linkage::StaticPie);
    let (closure, _) = start(&t).walk();
    assert!(closure.needs.is_empty() && closure.objects.len() == 1);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    // Nobody loads what it needs. This one does not use its library, so it ends well.
    t.link("prog", &Has::needed(&["liba.so"]).runpath("T/x"), &kind);
    assert_eq!(t_linkage(&t), Linkage::Broken);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    // Asked directly, ld.so would load it: the model says what would be found.
    t.library("x/liba.so", Has::nothing());
    let real = real_loader::ask_ld_so(&t.path("prog"), None, &t.path(""));
    let (closure, rules) = start(&t).walk();
    assert_eq!(real_loader::answer_of(&closure, &rules), real);
    assert_eq!(real.objects.len(), 1);
}

fn t_linkage(t: &Tree) -> Linkage {
    let (closure, _) = start(t).walk();
    let facts = closure.objects[0].file.object.elf().unwrap();
    assert_ne!(facts.flags_1 & DF_1_PIE, 0);
    facts.linkage()
}
