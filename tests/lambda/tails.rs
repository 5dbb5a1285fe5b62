//! Programs with a payload behind the end of their ELF file find it after every edit, and with `--strip`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::support::command::{command, finish, run};
use crate::support::compile::CC;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// Looks for its payload in the three ways that programs have, and has one in a section, too.
///
/// The payload is `data`, its offset in the file in 8 bytes, and `PAYLOAD!`.
const SOURCE: &str = r#"
#include <elf.h>
#include <stdio.h>
#include <string.h>
#ifdef LIBRARY
int from_library(void);
#endif
static FILE *file;
static void look(const char *how, long at, int from) {
    char found[5] = {0};
    fseek(file, at, from);
    fread(found, 1, 4, file);
    printf("%s %s\n", how, strcmp(found, "data") ? "LOST" : "found");
}
int main(void) {
    Elf64_Ehdr header;
    long offset = 0;
    file = fopen("/proc/self/exe", "rb");
    look("from the end:", -20, SEEK_END);
    fseek(file, -16, SEEK_END);
    fread(&offset, 8, 1, file);
    look("by an offset:", offset, SEEK_SET);
    rewind(file);
    fread(&header, sizeof header, 1, file);
    look("behind the headers:", header.e_shoff + header.e_shnum * header.e_shentsize, SEEK_SET);
#ifdef LIBRARY
    return from_library();
#endif
}
"#;

const FOUND: &str = "from the end: found\nby an offset: found\nbehind the headers: found\n";

#[track_caller]
fn compile_with_payload(dir: &Path, source: &str, name: &str, arguments: &str) {
    CC.compile(dir, source, name, arguments);
    add_payload(&dir.join(name));
}

#[track_caller]
fn add_payload(file: &Path) {
    let offset = fs::metadata(file).unwrap().len();
    let payload = [b"data".as_slice(), &offset.to_le_bytes(), b"PAYLOAD!"].concat();
    fs::OpenOptions::new().append(true).open(file).unwrap().write_all(&payload).unwrap();
}

/// Bundles with these words, starts the function in a root of this machine's libraries; what it prints.
#[track_caller]
fn start(dir: &Path, words: &str, arguments: &[&str]) -> String {
    run(dir, &format!("{words} --force -o app.zip")).exits(0);
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    root.unpack_function(&dir.join("app.zip"));
    let output = root.start("/var/task/bootstrap", arguments);
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_edited_program_finds_its_payload() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    compile_with_payload(dir, SOURCE, "app", "");
    assert_eq!(finish(&mut command(dir.join("app"), dir)).stdout, FOUND);
    assert_eq!(start(dir, "--binary app --libc bundle", &[]), FOUND);

    // A pin edits the program and, for its DT_RUNPATH, the library in between.
    let library = "int compressBound(long); int from_library(void) { return compressBound(1) == 0; }";
    let flags = "-shared -fPIC -Wl,-soname,libmid.so.1 -Wl,-rpath,$ORIGIN/mine -lz";
    compile_with_payload(dir, library, "libmid.so.1", flags);
    compile_with_payload(dir, SOURCE, "app", "-DLIBRARY libmid.so.1 -Wl,-rpath,$ORIGIN");
    let words = "--binary app --library-path . --bundle-lib libz.so.1";
    assert_eq!(start(dir, words, &[]), FOUND);
    finish(command("unzip", dir).args(["-qo", "app.zip", "-d", "out"])).exits(0);
    for (file, original) in [("bootstrap", "app"), ("lib/libmid.so.1", "libmid.so.1")] {
        let (after, before) =
            (fs::read(dir.join("out").join(file)).unwrap(), fs::read(dir.join(original)).unwrap());
        assert_ne!(after, before, "{file} is edited");
        assert!(after.ends_with(&before[before.len() - 20..]), "{file}");
    }
}

#[test]
fn strip_leaves_a_program_with_a_payload_as_it_is() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(
        dir,
        "int from_library(void) { return 0; }",
        "libtop.so.1",
        "-g -shared -fPIC -Wl,-soname,libtop.so.1",
    );
    compile_with_payload(dir, SOURCE, "app", "-g -DLIBRARY libtop.so.1");
    let words = "--binary app --library-path . --strip";
    assert_eq!(start(dir, words, &[]), FOUND);
    finish(command("unzip", dir).args(["-qo", "app.zip", "-d", "out"])).exits(0);
    let bytes = |file: &str| fs::read(dir.join(file)).unwrap();
    assert_eq!(bytes("out/bootstrap"), bytes("app"));
    assert!(bytes("out/lib/libtop.so.1").len() < bytes("libtop.so.1").len());

    let said = run(dir, &format!("{words} --force -o app.zip --message-format json")).exits(0);
    said.json();
    let ran = run(dir, &format!("check {words}")).exits(0);
    let ran = ran.says(&["Keeping app unstripped: 20 bytes after the end of its ELF file would be lost\n"]);
    assert!(!ran.stderr.contains("information, left out\n"), "{ran}");
    assert_eq!(start(dir, &format!("{words} --libc bundle"), &[]), FOUND);
}

/// Without a note to give up, and with more .bss than is written into a file, a program cannot be edited.
#[test]
fn a_program_that_cannot_be_edited_is_refused() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let source = "#include <stdlib.h>
        volatile char big[17 << 20];
        void start(void) { big[1] = 1; exit(0); }
        __asm__(\".globl _start\\n_start: and $-16, %rsp; call start\");";
    let flags = "-O1 -nostartfiles -fcf-protection=none -Wl,--build-id=none";
    compile_with_payload(dir, source, "app", flags);
    run(dir, "--binary app --libc bundle -o app.zip").exits(1).says(&[
        "error[not-editable]: `app` must be edited",
        "help: link it again with another linker (`-C link-arg=-fuse-ld=bfd`)\n",
    ]);
    assert!(!dir.join("app.zip").exists());
}

/// Info-ZIP's self-extractor: a real program that looks for its archive.
#[test]
fn a_self_extractor_extracts() {
    if !lambda_root::require(Arch::X86_64)
        || !tools::require("unzipsfx", "unzip")
        || !tools::require("zip", "zip")
    {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    fs::write(dir.join("hello.txt"), "hello from the archive\n").unwrap();
    finish(command("zip", dir).args(["-q", "hello.zip", "hello.txt"])).exits(0);
    let unzipsfx = fs::read(which::which("unzipsfx").unwrap()).unwrap();
    let archive = fs::read(dir.join("hello.zip")).unwrap();
    fs::write(dir.join("app"), [unzipsfx, archive].concat()).unwrap();
    for adjusted in [false, true] {
        if adjusted {
            // Offsets from the start of the file in place of those from the start of the archive.
            finish(command("zip", dir).args(["-qA", "app"])).exits(0);
        }
        let words = "--binary app --libc bundle --allow not-a-runtime";
        assert_eq!(start(dir, words, &["-p"]), "hello from the archive\n", "adjusted {adjusted}");
    }
}
