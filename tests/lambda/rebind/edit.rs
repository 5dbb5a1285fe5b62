//! Files that were linked to glibc 2.41, edited, on this machine's glibc: they do what they do on 2.41.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_lambda_bundle::baseline::rebinding::{Rebinding, known};
use cargo_lambda_bundle::elf::{self, ElfFacts};
use cargo_lambda_bundle::repair::{COMPAT, Edits, Refusal, VersionNode, compat_object, edit};

use crate::support::compile::{Compiler, rust_lld};
use crate::support::debian::{DEBIAN_11, DEBIAN_13};
use crate::support::elf::Object;
use crate::support::{older_glibc, tools};

/// Nodes that no Lambda runtime has.
fn is_new(node: &str) -> bool {
    let number = node.strip_prefix("GLIBC_2.").and_then(|number| number.parse::<u32>().ok());
    number.is_some_and(|number| number > 34)
}

/// The edits that rebind all that is new in a file.
pub fn edits(facts: &ElfFacts) -> Edits {
    let mut edits = Edits::default();
    for need in facts.verneed.iter().filter(|need| is_new(&need.node)) {
        edits.unbind.push(VersionNode { file: need.file.clone(), node: need.node.clone() });
        for symbol in facts.symbols.iter().filter(|symbol| symbol.version & 0x7fff == need.index & 0x7fff) {
            let name = facts.symbols.name(symbol).into_owned();
            match known(&name).map(|known| known.by) {
                Some(Rebinding::Renamed(to)) => edits.rename_symbols.push((name, to)),
                Some(Rebinding::Supplied) if edits.add_needed.is_empty() => {
                    edits.add_needed.push(COMPAT.into())
                }
                _ => {}
            }
        }
    }
    edits
}

/// Calls of every kind on many arguments; all that they do is printed.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const char *texts[] = {
    "", " ", "-", "+", "0", "00", "0x", "0x1g", "0X7f", "12", " \t\n42z", "-42", "+7", "077", "08", "zz", "z", "Zz9",
    "2147483647", "-2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551615", "18446744073709551616", "-1", "1e5", "1.5", "0.1.2", "inf", "nan",
};
static const int bases[] = { 0, 2, 8, 10, 16, 36, 1, 37, -1 };

#define NARROW(call, format) do { char *end = 0; errno = 0; \
    printf(#call " %d " format, base, call); printf(" %d %d\n", end ? (int)(end - text) : -1, errno); } while (0)

static int scan(const char *text, const char *format, ...) {
    va_list list; va_start(list, format); int n = vsscanf(text, format, list); va_end(list); return n;
}
static int wide_scan(const wchar_t *text, const wchar_t *format, ...) {
    va_list list; va_start(list, format); int n = vswscanf(text, format, list); va_end(list); return n;
}
static int file_scan(FILE *file, const char *format, ...) {
    va_list list; va_start(list, format); int n = vfscanf(file, format, list); va_end(list); return n;
}

static void integers(const char *text, int base, locale_t c) {
    wchar_t wide[64]; mbstowcs(wide, text, 64);
    NARROW(strtol(text, &end, base), "%ld"); NARROW(strtoll(text, &end, base), "%lld");
    NARROW(strtoul(text, &end, base), "%lu"); NARROW(strtoull(text, &end, base), "%llu");
    NARROW(strtoimax(text, &end, base), "%jd"); NARROW(strtoumax(text, &end, base), "%ju");
    NARROW(strtol_l(text, &end, base, c), "%ld"); NARROW(strtoll_l(text, &end, base, c), "%lld");
    NARROW(strtoul_l(text, &end, base, c), "%lu"); NARROW(strtoull_l(text, &end, base, c), "%llu");
#define WIDE(call, format) do { wchar_t *end = 0; errno = 0; \
    printf(#call " %d " format, base, call); printf(" %d %d\n", end ? (int)(end - wide) : -1, errno); } while (0)
    WIDE(wcstol(wide, &end, base), "%ld"); WIDE(wcstoll(wide, &end, base), "%lld");
    WIDE(wcstoul(wide, &end, base), "%lu"); WIDE(wcstoull(wide, &end, base), "%llu");
    WIDE(wcstoimax(wide, &end, base), "%jd"); WIDE(wcstoumax(wide, &end, base), "%ju");
    WIDE(wcstol_l(wide, &end, base, c), "%ld"); WIDE(wcstoll_l(wide, &end, base, c), "%lld");
    WIDE(wcstoul_l(wide, &end, base, c), "%lu"); WIDE(wcstoull_l(wide, &end, base, c), "%llu");
}

static void scans(const char *text) {
    static const char *formats[] = { "%d", "%i", "%u", "%x", "%o", "%2d", "%*d%d" };
    for (unsigned f = 0; f < sizeof formats / sizeof *formats; f++) {
        int a = -7, b = -7, c = -7, d = -7; wchar_t wide[64], format[16];
        mbstowcs(wide, text, 64); mbstowcs(format, formats[f], 16);
        printf("scan %s %s %d %d", text, formats[f], sscanf(text, formats[f], &a), scan(text, formats[f], &b));
        printf(" %d %d", swscanf(wide, format, &c), wide_scan(wide, format, &d));
        printf(" %d %d %d %d\n", a, b, c, d);
    }
    float f = -1; double d = -1; char *allocated = 0, set[64] = "";
    int n = sscanf(text, "%f", &f), m = sscanf(text, "%lf", &d), s = sscanf(text, "%63[0-9a-f]", set);
    int k = sscanf(text, "%ms", &allocated);
    printf("scan %s %d %a %d %a %d %s %d %s\n", text, n, f, m, d, s, set, k, allocated ? allocated : "");
    float hex = -1; int h = sscanf(text, "%a", &hex);
    printf("scan %%a %s %d %a\n", text, h, hex);
    FILE *file = fmemopen((void *)text, strlen(text) + 1, "r"); int i = -7, j = -7;
    if (file) { int one = fscanf(file, "%d", &i), two = file_scan(file, "%x", &j); printf("%d %d %d %d\n", one, two, i, j); fclose(file); }
    file = fmemopen((void *)text, strlen(text) + 1, "r"); i = -7;
    if (file) { int one = fwscanf(file, L"%d", &i); printf("%d %d\n", one, i); fclose(file); }
}

static void mathematics(void) {
    static volatile double values[] = { 0.0, -0.0, 1, -1, 0.5, 3, 4, 7.25, 1e300, 1e-300, -1e308, 5e-324, INFINITY, -INFINITY, NAN };
    enum { N = sizeof values / sizeof *values };
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) {
        errno = 0; double r = fmod(values[i], values[j]);
        printf("fmod %a %a %a %d\n", values[i], values[j], isnan(r) ? 0.125 : r, errno);
        errno = 0; float s = fmodf(values[i], values[j]);
        printf("fmodf %a %a %a %d\n", values[i], values[j], isnan(s) ? 0.125 : s, errno);
        errno = 0; r = hypot(values[i], values[j]);
        printf("hypot %a %a %a %d\n", values[i], values[j], isnan(r) ? 0.125 : r, errno);
        errno = 0; s = hypotf(values[i], values[j]);
        printf("hypotf %a %a %a %d\n", values[i], values[j], isnan(s) ? 0.125 : s, errno);
    }
    for (int i = 0; i < N; i++) { errno = 0; double r = exp10(values[i]); printf("exp10 %.13g %d\n", isnan(r) ? 0.125 : r, errno); }
}

int main(int argc, char **argv) {
    locale_t c = newlocale(LC_ALL_MASK, "C", 0);
    for (unsigned t = 0; t < sizeof texts / sizeof *texts; t++) {
        for (unsigned b = 0; b < sizeof bases / sizeof *bases; b++) integers(texts[t], bases[b], c);
        scans(texts[t]);
    }
    mathematics();
    char small[8]; size_t n = strlcpy(small, argv[0] ? "a longer text" : "", sizeof small); n += strlcat(small, "x", sizeof small);
    printf("%s %zu\n", small, n);
    int in = -1, r = scanf("%d", &in); wchar_t w[8]; r += 0; (void)w;
    printf("%d %d %d\n", r, in, (int)(arc4random_uniform(1)));
    return 0;
}
"#;

/// Compiles for glibc 2.41.
pub fn compile(root: &Path, dir: &Path, source: &str, output: &str, arguments: &str) -> PathBuf {
    let sysroot = format!("--sysroot={}", root.display());
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let (start_files, search) = (format!("-B{}", libraries.display()), format!("-L{}", libraries.display()));
    Compiler(&["cc", &sysroot, &start_files, &search]).compile_as_is(dir, source, output, arguments);
    dir.join(output)
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{command:?}: {} {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a program by the loader and the libraries of the root.
fn run_in(root: &Path, program: &Path) -> String {
    let library_path = root.join("usr/lib/x86_64-linux-gnu");
    let loader = library_path.join("ld-linux-x86-64.so.2");
    run(Command::new(loader).arg("--library-path").arg(&library_path).arg(program))
}

#[test]
fn what_is_linked_to_glibc_2_41_does_the_same_on_an_older_one() {
    if !tools::require_glibc_before(38) {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    let linkers =
        [String::new(), rust_lld(), "-no-pie".to_owned(), "-Wl,-z,now,--hash-style=sysv".to_owned()];
    for linker in linkers {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(COMPAT), compat_object(elf::Arch::X86_64)).unwrap();
        let flags = format!("-std=gnu2x -D_DEFAULT_SOURCE -fno-builtin -O1 -w -lm {linker}");
        let program = compile(&root, dir.path(), PROGRAM, "program", &flags);
        let newer = run_in(&root, &program);
        let refused = Command::new(&program).output().unwrap();
        assert!(!refused.status.success(), "this machine's glibc lacks what it needs");

        let before = fs::read(&program).unwrap();
        let facts = elf::parse(&before).unwrap();
        let edits = edits(&facts);
        assert!(edits.unbind.len() >= 4, "{:?}", facts.verneed);
        let after = edit(&before, &edits).unwrap();
        fs::write(&program, &after.bytes).unwrap();
        let older = run(Command::new(&program).env("LD_BIND_NOW", "1").env("LD_LIBRARY_PATH", dir.path()));
        assert!(newer.lines().count() > 5000);
        for (newer, older) in newer.lines().zip(older.lines()) {
            assert_eq!(newer, older, "{linker}");
        }
        assert_eq!(newer.len(), older.len());
        // A newer glibc still runs it, and its own functions come before those of our object.
        assert_eq!(
            run(Command::new(root.join("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
                .arg("--library-path")
                .arg(format!("{}:{}", root.join("usr/lib/x86_64-linux-gnu").display(), dir.path().display()))
                .arg(&program)),
            newer
        );
    }
}

/// Runs a program by the loader of a directory, with the libraries of both.
fn run_with(system: &Path, dir: &Path, program: &Path) -> String {
    let library_path = format!("{}:{}", system.display(), dir.display());
    let mut command = Command::new(system.join("ld-linux-x86-64.so.2"));
    run(command.env("LD_BIND_NOW", "1").arg("--library-path").arg(library_path).arg(program))
}

#[test]
fn a_library_for_glibc_2_41_does_the_same_on_2_31_and_2_34() {
    if !tools::require_glibc_before(38) {
        return;
    }
    let (Some(newer), Some(older)) = (DEBIAN_13.unpacked(), DEBIAN_11.unpacked()) else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(COMPAT), compat_object(elf::Arch::X86_64)).unwrap();
    let flags = "-std=gnu2x -D_DEFAULT_SOURCE -fno-builtin -O1 -w -Dmain=table -shared -fPIC \
        -Wl,-soname,libtable.so.1 -lm";
    let library = compile(&newer, dir.path(), PROGRAM, "libtable.so.1", flags);
    let source = "int table(int, char **);\nint main(int c, char **v) { return table(c, v); }";
    let flags = "-Wl,--allow-shlib-undefined libtable.so.1";
    let program = compile(&older, dir.path(), source, "program", flags);
    let expected = run_with(&newer.join("usr/lib/x86_64-linux-gnu"), dir.path(), &program);

    let before = fs::read(&library).unwrap();
    fs::write(&library, edit(&before, &edits(&elf::parse(&before).unwrap())).unwrap().bytes).unwrap();
    let like_2_34 = tempfile::tempdir().unwrap();
    for name in ["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6"] {
        let copy = like_2_34.path().join(name);
        tools::copy_program(Path::new("/lib/x86_64-linux-gnu").join(name), copy.clone());
        if name != "ld-linux-x86-64.so.2" {
            let mut bytes = fs::read(&copy).unwrap();
            older_glibc::take_nodes_after(&mut bytes, "GLIBC_2.34");
            fs::write(&copy, bytes).unwrap();
        }
    }
    let systems = [older.join("lib/x86_64-linux-gnu"), like_2_34.path().to_owned()];
    for system in &systems {
        let found = run_with(system, dir.path(), &program);
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(expected, found, "{}", system.display());
        }
        assert_eq!(expected.len(), found.len());
    }
    // Before the edit neither loads it.
    fs::write(&library, &before).unwrap();
    for system in &systems {
        let mut command = Command::new(system.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(format!("{}:{}", system.display(), dir.path().display()));
        let output = command.arg(&program).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("version `GLIBC_2.3"), "{output:?}");
    }
}

/// References to two nodes of two files each.
fn four() -> Object {
    let (libm, libc) = ("libm.so.6", "libc.so.6");
    Object::program()
        .needs(libm)
        .needs(libc)
        .imports("fmod", Some((libm, "GLIBC_2.38")))
        .imports("sin", Some((libm, "GLIBC_2.2.5")))
        .imports("__isoc23_strtol", Some((libc, "GLIBC_2.38")))
        .imports("puts", Some((libc, "GLIBC_2.2.5")))
}

fn node(file: &str, node: &str) -> VersionNode {
    VersionNode { file: file.into(), node: node.into() }
}

/// Drops nodes and asserts which are left, and that little else changed.
#[track_caller]
fn drops(object: &Object, nodes: &[VersionNode], left: &[&str], has_versym: bool) -> ElfFacts {
    let before = object.bytes();
    let edits = Edits { unbind: nodes.to_vec(), ..Edits::default() };
    let after = edit(&before, &edits).unwrap().bytes;
    let (was, is) = (elf::parse(&before).unwrap(), elf::parse(&after).unwrap());
    let found: Vec<String> = is.verneed.iter().map(|need| format!("{} {}", need.file, need.node)).collect();
    assert_eq!(found, left);
    assert_eq!(is.has_versym, has_versym);
    for (was_symbol, is_symbol) in was.symbols.iter().zip(is.symbols.iter()) {
        assert_eq!(was.symbols.name(was_symbol), is.symbols.name(is_symbol));
        let index = was_symbol.version;
        let kept = was.verneed.iter().any(|need| {
            need.index == index && !nodes.iter().any(|node| node.file == need.file && node.node == need.node)
        });
        assert_eq!(is_symbol.version, if kept && has_versym { index } else { 1 });
    }
    assert_eq!(before.len(), after.len());
    // The dynamic segment closes up where entries go: three at most, and all behind them.
    let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
    assert!(changed < if left.is_empty() { 300 } else { 40 }, "{changed} bytes");
    is
}

#[test]
fn nodes_leave_their_chains() {
    let (libm, libc) = ("libm.so.6", "libc.so.6");
    let object = four();
    let (m_old, c_old) = ("libm.so.6 GLIBC_2.2.5", "libc.so.6 GLIBC_2.2.5");
    let (m_new, c_new) = ("libm.so.6 GLIBC_2.38", "libc.so.6 GLIBC_2.38");
    drops(&object, &[node(libm, "GLIBC_2.38")], &[m_old, c_new, c_old], true);
    drops(&object, &[node(libm, "GLIBC_2.2.5")], &[m_new, c_new, c_old], true);
    drops(&object, &[node(libc, "GLIBC_2.2.5")], &[m_new, m_old, c_new], true);
    // The whole need of a file, the first and the last.
    let all_of = |file: &str| [node(file, "GLIBC_2.38"), node(file, "GLIBC_2.2.5")];
    drops(&object, &all_of(libm), &[c_new, c_old], true);
    drops(&object, &all_of(libc), &[m_new, m_old], true);
    // Without any version ld.so has no table that an entry of DT_VERSYM could index.
    drops(&object, &[all_of(libm), all_of(libc)].concat(), &[], false);
    let defines = four().verdef(&["MINE_1"]).defines("mine", Some("MINE_1"));
    let edits = Edits { unbind: [all_of(libm), all_of(libc)].concat(), ..Edits::default() };
    let after = elf::parse(&edit(&defines.bytes(), &edits).unwrap().bytes).unwrap();
    assert!(after.has_versym && after.verneed.is_empty());
}

#[test]
fn a_node_that_is_not_asked_for_is_refused() {
    let edits = Edits { unbind: vec![node("libc.so.6", "GLIBC_2.39")], ..Edits::default() };
    assert_eq!(edit(&four().bytes(), &edits), Err(Refusal::NoNode("GLIBC_2.39".into())));
}

#[test]
fn any_byte_may_be_wrong() {
    let bytes = four().with_sections().bytes();
    let edits = Edits {
        unbind: vec![node("libm.so.6", "GLIBC_2.38"), node("libc.so.6", "GLIBC_2.38")],
        rename_symbols: vec![("__isoc23_strtol".into(), "strtol".into())],
        ..Edits::default()
    };
    let whole = elf::parse(&edit(&bytes, &edits).unwrap().bytes).unwrap();
    assert!(whole.symbols.iter().any(|symbol| whole.symbols.name(symbol) == "strtol" && symbol.version == 1));
    for at in 0..bytes.len() {
        for wrong in [0, 1, 0x7f, 0xff, bytes[at] ^ 4] {
            let mut bytes = bytes.clone();
            bytes[at] = wrong;
            // What is edited reads as asked: `edit` has seen to that.
            let _ = edit(&bytes, &edits);
        }
    }
}
