//! `--strip`: debug information stays out of the bundle, and what is left is the same program.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::archive;
use crate::support::command::{Ran, bundle_cmd, command, finish, run};
use crate::support::compile::CC;
use crate::support::{elf::Object, hello, tools};
use cargo_lambda_bundle::elf::sections::{self, SectionPurpose};
use tempfile::TempDir;

/// Panics in a function of its own.
const RUST: &str = "#[inline(never)]
fn break_down(n: usize) {
    if n > 0 {
        panic!(\"{n} argument\");
    }
}
fn main() {
    break_down(std::env::args().count());
}
";

const C: &str = "int twice(int n) { return 2 * n; } int main(int n, char **a) { return twice(n) - 2; }";

/// A program that needs a library which Lambda lacks, both with debug information.
#[track_caller]
fn app_with_library(dir: &Path) {
    CC.compile(
        dir,
        "int top(int n) { return n; }",
        "libtop.so.1",
        "-g -shared -fPIC -Wl,-soname,libtop.so.1",
    );
    CC.compile(dir, "int top(int); int main(void) { return top(0); }", "app", "-g libtop.so.1");
}

#[track_caller]
fn compile_rust(dir: &Path, arguments: &str) {
    fs::write(dir.join("app.rs"), RUST).unwrap();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    finish(command(rustc, dir).args(["--edition=2024", "-g", "app.rs"]).args(arguments.split_whitespace()))
        .exits(0);
}

#[track_caller]
fn unpack(dir: &Path, zip: &str, to: &str) {
    archive::unpack(&dir.join(zip), &dir.join(to));
}

/// Bytes of debug information in a file, as `readelf` counts them.
#[track_caller]
fn debug_bytes(file: &Path) -> u64 {
    let listing = finish(command("readelf", Path::new("/")).arg("-SW").arg(file)).exits(0).stdout;
    let rows = listing.lines().filter_map(|line| line.split_once("] .debug_"));
    rows.map(|(_, row)| row.split_whitespace().collect::<Vec<_>>())
        // `.debug_gdb_scripts` of Rust is loaded, and stays.
        .filter(|row| !row[6].contains('A'))
        .map(|row| u64::from_str_radix(row[4], 16).unwrap())
        .sum()
}

/// A directory with nothing in it but links to these tools.
#[track_caller]
fn path_with(dir: &Path, tools: &[&str]) -> std::path::PathBuf {
    let path = dir.join("path");
    fs::create_dir_all(&path).unwrap();
    for tool in tools {
        std::os::unix::fs::symlink(which::which(tool).unwrap(), path.join(tool)).unwrap();
    }
    path
}

/// A directory with a `strip` that is this shell script.
#[track_caller]
fn path_with_script(dir: &Path, script: &str) -> std::path::PathBuf {
    let path = path_with(dir, &[]);
    fs::write(path.join("strip"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path.join("strip"), fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[track_caller]
fn run_with_path(dir: &Path, path: &Path, arguments: &str) -> Ran {
    finish(bundle_cmd(dir).env("PATH", path).args(arguments.split_whitespace()))
}

#[test]
fn sections_are_those_that_readelf_counts() {
    if !tools::require("readelf", "binutils") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    compile_rust(dir.path(), "");
    let bytes = fs::read(dir.path().join("app")).unwrap();
    let found = sections::of(&bytes);
    let size = bytes.len() as u64;
    assert_eq!(
        sections::bytes_for(&found, SectionPurpose::Debug, size),
        debug_bytes(&dir.path().join("app"))
    );
    let of = |purpose| {
        let some = found.iter().filter(move |section| section.purpose == purpose);
        some.map(|section| section.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(SectionPurpose::Symbols), [".symtab", ".strtab"]);
    assert!(of(SectionPurpose::Loaded).contains(&".debug_gdb_scripts"), "{found:?}");
    assert!(of(SectionPurpose::Other).contains(&".comment"), "{found:?}");
    assert!(!found.iter().any(|section| section.name == ".bss"), "{found:?}");
}

#[test]
fn section_tables_that_lie_are_no_sections() {
    let bytes = Object::program().needs("libc.so.6").bytes();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        sections::of(&bytes)
    };
    // e_shoff beyond the end, and near the end of what an offset can be; e_shnum; e_shentsize.
    assert_eq!(with(40, &u64::MAX.to_le_bytes()), []);
    assert_eq!(with(40, &[64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0xff, 0xff]), []);
    assert_eq!(with(58, &[3, 0, 2, 0]), []);
    assert_eq!(sections::of(&bytes[..40]), []);
}

#[test]
fn lld() {
    check("", "");
}

#[test]
fn gnu_ld() {
    check("-Clinker-features=-lld -Clink-arg=-fuse-ld=bfd", "");
}

#[test]
fn musl() {
    check("--target x86_64-unknown-linux-musl", "");
}

#[test]
fn aarch64() {
    let target = "aarch64-unknown-linux-gnu";
    if hello::require(target) && tools::require("qemu-aarch64-static", "qemu-user-static") {
        let arguments = format!("--target {target} -Clinker=aarch64-linux-gnu-gcc");
        check(&arguments, "qemu-aarch64-static -L /usr/aarch64-linux-gnu ");
    }
}

/// A Rust program is bundled stripped: the file itself is untouched, the copy runs and names functions, and
/// gdb finds lines with what was kept aside.
#[track_caller]
fn check(arguments: &str, emulator: &str) {
    if !tools::require("gdb", "gdb")
        || !tools::require("unzip", "unzip")
        || !tools::require_target("x86_64-unknown-linux-musl")
    {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    compile_rust(dir, arguments);
    let original = fs::read(dir.join("app")).unwrap();

    let said = run(dir, "check --binary app --message-format json -v").exits(0);
    let sizes = &said.json()["artifacts"][0]["sizes"];
    assert_eq!(sizes["bytes"], original.len(), "{said}");
    assert_eq!(sizes["debug_bytes"], debug_bytes(&dir.join("app")), "{said}");
    assert_eq!(sizes["stripped"], false, "{said}");
    said.says(&["of it debug information; `--strip` would save "]);

    let bundle = "--binary app --strip --debug-symbols symbols -o";
    run(dir, &format!("{bundle} app.zip -v")).exits(0).says(&["of it debug information, left out\n"]);
    run(dir, &format!("{bundle} again.zip")).exits(0);
    assert_eq!(fs::read(dir.join("app.zip")).unwrap(), fs::read(dir.join("again.zip")).unwrap());
    assert_eq!(fs::read(dir.join("app")).unwrap(), original);

    unpack(dir, "app.zip", "out");
    assert_eq!(debug_bytes(&dir.join("out/bootstrap")), 0);
    let start = format!("RUST_BACKTRACE=1 {emulator}out/bootstrap");
    let ran = finish(command("sh", dir).args(["-c", &start])).exits(101);
    ran.says(&["1 argument", "app::break_down\n"]).keeps_silent_about(&["app.rs:2"]);

    let gdb = ["-nx", "-batch", "-ex", "info line app::break_down", "out/bootstrap"];
    let blind = finish(command("gdb", dir).args(gdb));
    assert!(!blind.stdout.contains("app.rs"), "{blind}");
    fs::copy(dir.join("symbols/app.debug"), dir.join("out/app.debug")).unwrap();
    let seeing = finish(command("gdb", dir).args(gdb));
    assert!(seeing.stdout.contains("Line 2 of \"app.rs\""), "{seeing}");
}

#[test]
fn libraries_are_stripped_too() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    let ran = run(
        dir,
        "--binary app --library-path . --strip --debug-symbols symbols/{bin} -o app.zip --message-format json",
    );
    let files = ran.exits(0).json()["artifacts"][0]["sizes"]["files"].clone();
    unpack(dir, "app.zip", "out");
    for (at, file, source) in [(0, "bootstrap", "app"), (1, "lib/libtop.so.1", "libtop.so.1")] {
        assert_eq!(debug_bytes(&dir.join("out").join(file)), 0);
        assert!(debug_bytes(&dir.join(source)) > 0);
        assert_eq!(files[at]["debug_bytes"], debug_bytes(&dir.join(source)), "{files}");
        assert_eq!(files[at]["name"], source, "{files}");
        let symbols = dir.join(format!("symbols/app/{source}.debug"));
        assert_eq!(debug_bytes(&symbols), debug_bytes(&dir.join(source)));
    }
    finish(command("sh", dir).args(["-c", "LD_LIBRARY_PATH=out/lib out/bootstrap"])).exits(0);
    run(dir, "verify app.zip").exits(0);
}

#[test]
fn size_shows_what_takes_the_room() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    CC.compile(dir, "char big[2000000] = {1}; int main(void) { return big[1]; }", "big", "-g");
    let ran = run(dir, "size --binary big").exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        ["files, 2.0 MB", "  big      2.0 MB 100 %  ################################", ""]
    );
    assert_eq!(lines[3], "sections of big, 2.0 MB");
    assert!(lines[4].starts_with("  .data") && lines[4].contains(" 2.0 MB  99 %  ####"), "{ran}");
    assert!(ran.stdout.contains("#  debug information\n"), "{ran}");

    let said = run(dir, "size --binary app --library-path . --message-format json").exits(0).json();
    let sizes = &said["artifacts"][0]["sizes"];
    let sections = sizes["files"][1]["sections"].as_array().unwrap();
    let debug = sections.iter().filter(|section| section["purpose"] == "debug");
    let sum: u64 = debug.map(|section| section["bytes"].as_u64().unwrap()).sum();
    assert_eq!(sum, debug_bytes(&dir.join("libtop.so.1")), "{sizes}");
    assert!(said["artifacts"][0]["archive"].is_null());
}

#[test]
fn other_tools_serve_when_there_is_no_strip() {
    if !tools::require("llvm-strip", "llvm") || !tools::require("llvm-objcopy", "llvm") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    for (n, tools) in [&["llvm-strip", "llvm-objcopy"][..], &["cargo", "rustc"][..]].into_iter().enumerate() {
        for flags in ["--strip", "--strip --debug-symbols symbols"] {
            let place = dir.join(format!("{n}{}", flags.len()));
            let path = path_with(&place, tools);
            run_with_path(dir, &path, &format!("--binary app --library-path . {flags} -o app.zip")).exits(0);
            unpack(dir, "app.zip", "out");
            assert_eq!(debug_bytes(&dir.join("out/bootstrap")), 0);
            finish(command("sh", dir).args(["-c", "LD_LIBRARY_PATH=out/lib out/bootstrap"])).exits(0);
        }
    }
}

#[test]
fn without_a_tool_nothing_is_written() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    let path = path_with(dir, &[]);
    for command in ["check --binary app", "--binary app -o app.zip"] {
        run_with_path(dir, &path, &format!("{command} --strip")).exits(101).says(&[
            "error: `--strip` found no program that strips files for x86_64\n",
            "caused by: none of these is on PATH: strip, x86_64-linux-gnu-strip, x86_64-linux-musl-strip, llvm-strip\n",
            "help: install `binutils` or `llvm`\n",
        ]);
        run_with_path(dir, &path, &format!("{command} --strip --debug-symbols symbols")).exits(101).says(&[
            "error: `--debug-symbols` found no program that strips files for x86_64\n",
            "caused by: none of these is on PATH: objcopy,",
        ]);
    }
    assert!(!dir.join("app.zip").exists() && !dir.join("symbols").exists());
}

#[test]
fn a_stripped_program_needs_no_tool_and_stays_as_it_is() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(dir, C, "app", "-s");
    let path = path_with(dir, &[]);
    run_with_path(dir, &path, "--binary app --strip --debug-symbols symbols -o app.zip -v")
        .exits(0)
        .says(&["app: ", " unzipped, no debug information\n"]);
    unpack(dir, "app.zip", "out");
    assert_eq!(fs::read(dir.join("out/bootstrap")).unwrap(), fs::read(dir.join("app")).unwrap());
    assert!(!dir.join("symbols").exists());
}

#[test]
fn a_tool_that_fails_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    fs::write(dir.join("app.zip"), "old").unwrap();
    let check = |script: &str, says: &[&str]| {
        let path = path_with_script(dir, script);
        let scratch = dir.join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        let mut command = bundle_cmd(dir);
        command
            .env("PATH", path)
            .env("TMPDIR", &scratch)
            .args(["--binary", "app", "--strip", "-o", "app.zip"]);
        finish(&mut command).exits(101).says(says);
        assert_eq!(fs::read(dir.join("app.zip")).unwrap(), b"old");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    };
    check(
        "echo \"strip: $4: no room\" >&2; exit 1",
        &[
            "error: could not strip `app` with `",
            "caused by: strip: original: no room\n",
            "help: remove `--strip`",
        ],
    );
    check("exit 3", &["error: could not strip `app` with `", "caused by: exit status: 3\n"]);
    check("exit 0", &["stripped` does not exist\n"]);
    check("echo x > \"$3\"", &["caused by: it is a text file"]);
    // A well-formed program, but another one.
    CC.compile(dir, "int main(void) { return 0; }", "other", "");
    let script =
        format!("while read -r line; do :; done < /dev/null; exec /bin/cp {}/other \"$3\"", dir.display());
    check(
        &script,
        &["error: `", "changed what the loader reads of `app`\n", "caused by: what it needs changed\n"],
    );
}

#[test]
fn debug_symbols_that_cannot_be_written_stop_the_bundle() {
    let temporary: TempDir = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    app_with_library(dir);
    run(dir, "--binary app --library-path . --strip --debug-symbols app/symbols -o app.zip")
        .exits(101)
        .says(&["error: could not write `", "/app/symbols/app.debug`", "`--debug-symbols <DIR>`\n"]);
    assert!(!dir.join("app.zip").exists());
    run(dir, "--binary app --debug-symbols symbols -o app.zip").exits(2).says(&["--strip"]);
    fs::create_dir(dir.join("two")).unwrap();
    fs::copy(dir.join("app"), dir.join("two/other")).unwrap();
    let both = "--binary app --binary two/other --strip --library-path . -o {bin}.zip --debug-symbols";
    run(dir, &format!("{both} symbols"))
        .exits(2)
        .says(&["the debug symbols of `app` and `other` would both be written to `", "{bin}"]);
    assert!(!dir.join("symbols").exists() && !dir.join("app.zip").exists());
    run(dir, &format!("{both} symbols/{{bin}}")).exits(0);
    assert!(dir.join("symbols/other/libtop.so.1.debug").exists());
}
