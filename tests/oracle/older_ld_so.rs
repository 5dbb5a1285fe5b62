//! Rules that glibc dropped in 2.35 and that every runtime of Lambda still has, asked of Debian 11's ld.so (2.31).
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::Command;

use crate::support::compile::CC;
use crate::support::debian;
use crate::support::elf::{Object, PT_LOAD};
use crate::support::tools;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{self, Outcome, Rules};
use cargo_lambda_bundle::world::{Files, Opened};

/// What the real loader of `root` says of `app` with the library `bytes` in its way: its message, or "not found".
fn real(root: &Path, dir: &Path) -> String {
    let lib = root.join("lib/x86_64-linux-gnu");
    let path = format!("{}:{}", dir.display(), lib.display());
    let output = Command::new(lib.join("ld-2.31.so"))
        .args(["--library-path", &path])
        .arg(dir.join("app.so"))
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    match text.rsplit_once("libodd.so.1: ") {
        Some((_, message)) => message.trim().to_owned(),
        None if text.contains("libodd.so.1 => not found") => "not found".to_owned(),
        None => "loads".to_owned(),
    }
}

/// The same by the model of a glibc 2.31 on this kernel's like.
fn model(dir: &Path) -> String {
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let mut rules = build_world::glibc_rules(&files, Arch::X86_64);
    (rules.release, rules.kernel) = ((2, 31), Some((5, 10, 0)));
    assert!(matches!(build_world::rules(&files, Arch::X86_64, Libc::Glibc), Rules::Glibc(_)));
    let path = dir.join("app.so").to_str().unwrap().to_owned();
    let Opened::File(root) = files.open(&path) else { panic!("{path}") };
    let world = World {
        files: &files,
        rules: Rules::Glibc(rules),
        library_path: Some(dir.to_str().unwrap().to_owned()),
        working_directory: "/".into(),
    };
    let closure = loader::walk(&world, &path, "/", root, &[]);
    match &closure.needs.iter().find(|need| need.name == "libodd.so.1").unwrap().outcome {
        Outcome::Loaded(_) => "loads".to_owned(),
        Outcome::Missing(_) => "not found".to_owned(),
        Outcome::Fatal { reason, .. } => reason.clone(),
    }
}

#[test]
fn alignment_and_kernel_notes_count_before_2_35() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let Some(root) = debian::DEBIAN_11.unpacked() else { return };
    let aligned = |align: u64| {
        let built = Object::library("libodd.so.1").build();
        let at = built.header(PT_LOAD) + 48;
        built.put_u64(at, align).bytes
    };
    let for_kernel = |kernel| Object::library("libodd.so.1").abi_tag(kernel).bytes();
    for (bytes, expected) in [
        (aligned(0x1000), "loads"),
        (aligned(0x20_0000), "ELF load command address/offset not properly aligned"),
        (aligned(16), "ELF load command alignment not page-aligned"),
        (aligned(0), "ELF load command address/offset not properly aligned"),
        (for_kernel([3, 2, 0]), "loads"),
        (for_kernel([9, 9, 9]), "not found"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("libodd.so.1");
        std::fs::write(&odd, Object::library("libodd.so.1").with_sections().bytes()).unwrap();
        CC.compile(dir.path(), "", "app.so", "-shared -nostdlib -Wl,--no-as-needed ./libodd.so.1");
        std::fs::write(&odd, bytes).unwrap();
        assert_eq!(real(&root, dir.path()), expected);
        assert_eq!(model(dir.path()), expected);
    }
}
