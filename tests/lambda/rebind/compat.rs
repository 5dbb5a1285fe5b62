//! The object that brings `strlcpy`, `arc4random` and their kin: its code is that of the sources, tools have no
//! complaint about its file, and its functions do what glibc's do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cargo_lambda_bundle::baseline::rebinding::SUPPLIED;
use cargo_lambda_bundle::elf::{self, Arch};
use cargo_lambda_bundle::repair::{COMPAT, compat_object};

use crate::support::compile::{CC, Compiler};
use crate::support::debian::DEBIAN_13;
use crate::support::tools;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/repair/compat");

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    answer(&output, &format!("{command:?}"))
}

#[track_caller]
fn answer(output: &Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{what}: {} {said}", output.status);
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Assembles the sources: the code, and where its functions are.
fn assembled(arch: Arch, prefix: &str) -> (Vec<u8>, BTreeMap<String, u64>) {
    let dir = tempfile::tempdir().unwrap();
    let (object, code) = (dir.path().join("compat.o"), dir.path().join("compat.bin"));
    let source = format!("{SOURCES}/{}.S", arch.gnu_name());
    run(Command::new(format!("{prefix}as")).arg(source).arg("-o").arg(&object));
    let copy = format!("{prefix}objcopy");
    run(Command::new(copy).args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&code));
    let symbols = run(Command::new(format!("{prefix}nm")).arg("-g").arg(&object));
    let place = |line: &str| -> (String, u64) {
        let words: Vec<&str> = line.split(' ').collect();
        (words[2].to_owned(), u64::from_str_radix(words[0], 16).unwrap())
    };
    (fs::read(code).unwrap(), symbols.lines().map(place).collect())
}

/// Where the functions of the finished object are, from the start of its code.
fn placed(object: &Path, prefix: &str) -> BTreeMap<String, u64> {
    let said = run(Command::new(format!("{prefix}readelf")).args(["-W", "--dyn-syms"]).arg(object));
    let symbol = |line: &str| -> Option<(String, u64)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let defined = words.get(3) == Some(&"FUNC") && words[6] != "UND";
        defined.then(|| (words[7].to_owned(), u64::from_str_radix(words[1], 16).unwrap()))
    };
    let symbols: BTreeMap<String, u64> = said.lines().filter_map(symbol).collect();
    let start = *symbols.values().min().expect("functions");
    symbols.into_iter().map(|(name, place)| (name, place - start)).collect()
}

#[test]
fn the_code_is_that_of_the_sources() {
    for (arch, prefix, package) in
        [(Arch::X86_64, "", "binutils"), (Arch::Arm64, "aarch64-linux-gnu-", "binutils-aarch64-linux-gnu")]
    {
        if !tools::require(&format!("{prefix}as"), package) {
            return;
        }
        let (code, functions) = assembled(arch, prefix);
        assert!(code.len() <= 0x400, "the slots are behind it");
        assert_eq!(code, fs::read(format!("{SOURCES}/{}.bin", arch.gnu_name())).unwrap(), "{arch}");
        let dir = tempfile::tempdir().unwrap();
        let object = dir.path().join(COMPAT);
        fs::write(&object, compat_object(arch)).unwrap();
        assert_eq!(functions, placed(&object, prefix), "{arch}");
        assert_eq!(functions.keys().map(String::as_str).collect::<Vec<_>>(), SUPPLIED, "{arch}");
    }
}

#[test]
fn its_file_is_small_and_needs_libc_alone() {
    for arch in [Arch::X86_64, Arch::Arm64] {
        let bytes = compat_object(arch);
        assert!(bytes.len() < 8192, "{}", bytes.len());
        let facts = elf::parse(&bytes).unwrap();
        assert_eq!((facts.arch(), facts.soname.as_deref()), (Some(arch), Some(COMPAT)));
        assert_eq!(facts.needed, ["libc.so.6"]);
        assert!(facts.verneed.is_empty() && facts.binds_now());
        assert_eq!(facts.alignment, elf::Alignment::Fine);
    }
}

#[test]
fn tools_have_no_complaint() {
    if !tools::require("eu-elflint", "elfutils") || !tools::require("readelf", "binutils") {
        return;
    }
    for arch in [Arch::X86_64, Arch::Arm64] {
        let dir = tempfile::tempdir().unwrap();
        let object = dir.path().join(COMPAT);
        fs::write(&object, compat_object(arch)).unwrap();
        assert_eq!(run(Command::new("eu-elflint").arg("--gnu-ld").arg(&object)), "No errors\n");
        run(Command::new("readelf").arg("-aW").arg(&object));
        if arch == Arch::X86_64 {
            run(Command::new("strip").arg(&object));
            assert!(elf::parse(&fs::read(&object).unwrap()).is_ok());
        }
    }
}

/// Calls every function but the random ones on many arguments and prints all that they did; of the random ones,
/// what is certain.
const CALLS: &str = r#"
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>
#include <stdlib.h>
#include <signal.h>
#include <unistd.h>
#include <sys/wait.h>
size_t strlcpy(char *, const char *, size_t);
size_t strlcat(char *, const char *, size_t);
size_t wcslcpy(wchar_t *, const wchar_t *, size_t);
size_t wcslcat(wchar_t *, const wchar_t *, size_t);
size_t __strlcpy_chk(char *, const char *, size_t, size_t);
size_t __strlcat_chk(char *, const char *, size_t, size_t);
size_t __wcslcpy_chk(wchar_t *, const wchar_t *, size_t, size_t);
size_t __wcslcat_chk(wchar_t *, const wchar_t *, size_t, size_t);
uint32_t arc4random(void);
void arc4random_buf(void *, size_t);
uint32_t arc4random_uniform(uint32_t);

static void show(const char *what, size_t result, const void *bytes, size_t n) {
    printf("%s %zu", what, result);
    for (size_t i = 0; i < n; i++) printf(" %02x", ((const unsigned char *)bytes)[i]);
    puts("");
}

static const char *texts[] = { "", "a", "ab", "seven77", "eight888", "a much longer text than there is room for" };

static void narrow(void) {
    for (unsigned to = 0; to < 5; to++) for (unsigned from = 0; from < 6; from++) for (size_t size = 0; size < 13; size++) {
        char buffer[64];
        for (int chk = 0; chk < 2; chk++) {
            memset(buffer, 'x', sizeof buffer); strcpy(buffer, texts[to]);
            size_t r = chk ? __strlcpy_chk(buffer, texts[from], size, size) : strlcpy(buffer, texts[from], size);
            show("strlcpy", r, buffer, sizeof buffer);
            memset(buffer, 'x', sizeof buffer); strcpy(buffer, texts[to]);
            r = chk ? __strlcat_chk(buffer, texts[from], size, 64) : strlcat(buffer, texts[from], size);
            show("strlcat", r, buffer, sizeof buffer);
        }
    }
    show("strlcpy null", strlcpy(NULL, "abc", 0), "", 0);
    show("strlcat null", strlcat(NULL, "abc", 0), "", 0);
}

static void wide(void) {
    for (unsigned to = 0; to < 5; to++) for (unsigned from = 0; from < 6; from++) for (size_t size = 0; size < 13; size++) {
        wchar_t buffer[64], source[64], old[64];
        mbstowcs(source, texts[from], 64); mbstowcs(old, texts[to], 64);
        source[0] += source[0] ? 0x1F600 : 0;
        for (int chk = 0; chk < 2; chk++) {
            wmemset(buffer, L'x', 64); wcscpy(buffer, old);
            size_t r = chk ? __wcslcpy_chk(buffer, source, size, size) : wcslcpy(buffer, source, size);
            show("wcslcpy", r, buffer, sizeof buffer);
            wmemset(buffer, L'x', 64); wcscpy(buffer, old);
            r = chk ? __wcslcat_chk(buffer, source, size, 64) : wcslcat(buffer, source, size);
            show("wcslcat", r, buffer, sizeof buffer);
        }
    }
}

static void ends(const char *what, int which) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char b[64] = ""; wchar_t w[64] = L"";
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        switch (which) {
            case 0: __strlcpy_chk(b, "a", 9, 8); break;
            case 1: __strlcat_chk(b, "a", 9, 8); break;
            case 2: __wcslcpy_chk(w, L"a", 9, 8); break;
            case 3: __wcslcat_chk(w, L"a", 9, 8); break;
        }
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("%s signal %d\n", what, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void random_numbers(void) {
    uint32_t all = 0, none = ~0u;
    for (int i = 0; i < 200; i++) { uint32_t r = arc4random(); all |= r; none &= r; }
    printf("arc4random %x %x\n", all, none);
    static const uint32_t limits[] = { 0, 1, 2, 3, 5, 16, 17, 1000, 0x80000000, 0x80000001, 0xffffffff };
    for (unsigned l = 0; l < sizeof limits / sizeof *limits; l++) {
        uint32_t limit = limits[l], seen = 0, too_large = 0;
        for (int i = 0; i < 2000; i++) {
            uint32_t r = arc4random_uniform(limit);
            too_large += r >= (limit ? limit : 1);
            if (limit <= 17) seen |= 1u << r;
        }
        printf("arc4random_uniform %u %u %x\n", limit, too_large, seen);
    }
    static unsigned char large[1 << 20];
    for (size_t size = 0; size < 40; size++) {
        memset(large, 0, 64);
        unsigned char any[64] = { 0 };
        for (int i = 0; i < 60; i++) { arc4random_buf(large, size); for (int j = 0; j < 64; j++) any[j] |= large[j]; }
        int changed = 0;
        for (int j = 0; j < 64; j++) changed += any[j] == 0xff;
        printf("arc4random_buf %zu %d\n", size, changed);
    }
    arc4random_buf(large, sizeof large);
    long ones = 0;
    for (size_t i = 0; i < sizeof large; i++) ones += __builtin_popcount(large[i]);
    printf("arc4random_buf %d\n", ones > (4 << 20) - 20000 && ones < (4 << 20) + 20000);
}

int main(void) {
    narrow();
    wide();
    ends("__strlcpy_chk", 0); ends("__strlcat_chk", 1); ends("__wcslcpy_chk", 2); ends("__wcslcat_chk", 3);
    random_numbers();
    return 0;
}
"#;

/// A program that calls all functions. It needs the object behind libc.so.6, as a rebound file does.
fn calls(dir: &Path) -> PathBuf {
    fs::write(dir.join(COMPAT), compat_object(Arch::X86_64)).unwrap();
    CC.compile_as_is(
        dir,
        CALLS,
        "calls",
        &format!("-O1 -fno-builtin -w -lc ./{COMPAT} -Wl,-rpath,{}", dir.display()),
    );
    let program = dir.join("calls");
    let facts = elf::parse(&fs::read(&program).unwrap()).unwrap();
    assert_eq!(facts.needed, ["libc.so.6", COMPAT]);
    program
}

#[test]
fn its_functions_do_what_those_of_glibc_2_41_do() {
    if !tools::require_glibc_before(38) {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = calls(dir.path());
    let library_path = root.join("usr/lib/x86_64-linux-gnu");
    let newer = run(Command::new(library_path.join("ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(&library_path)
        .arg(&program));
    let ours = run(&mut Command::new(&program));
    assert!(newer.lines().count() > 3000);
    for (newer, ours) in newer.lines().zip(ours.lines()) {
        assert_eq!(newer, ours);
    }
    assert_eq!(newer.len(), ours.len());
}

#[test]
fn its_functions_do_the_same_on_arm64() {
    const ROOT: &str = "/usr/aarch64-linux-gnu";
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
        || !tools::require("qemu-aarch64-static", "qemu-user-static")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let here = run(&mut Command::new(calls(dir.path())));
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join(COMPAT), compat_object(Arch::Arm64)).unwrap();
    let flags = format!("-O1 -fno-builtin -w -lc ./{COMPAT} -Wl,-rpath,{}", other.path().display());
    Compiler(&["aarch64-linux-gnu-gcc"]).compile_as_is(other.path(), CALLS, "calls", &flags);
    let there = run(Command::new("qemu-aarch64-static").args(["-L", ROOT]).arg(other.path().join("calls")));
    for (here, there) in here.lines().zip(there.lines()) {
        assert_eq!(here, there);
    }
    assert_eq!(here.len(), there.len());
}
