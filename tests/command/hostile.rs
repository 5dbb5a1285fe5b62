//! Files made to hurt: the real binary ends, soon, in little memory, with a finding or an error, never a panic.
//!
//! Every run has its memory bounded by the kernel (`ulimit -v`, address space) and its time by a kill. The
//! measured figures are printed. The bound of time is generous for the sake of busy machines and unoptimised
//! builds; `BUNDLE_BINARY` names another binary to measure, such as an optimised one. All threads allocate from one
//! arena, since glibc reserves 64 MiB of addresses for each further one, which are no memory.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod archives;
mod endless;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use self::archives::{Member, zip};
use crate::support::command::{BINARY, Ran, finish};
use crate::support::elf::{Built, DT_HASH, DT_NEEDED, DT_RELA, DT_RELASZ, DT_STRSZ, Hash, Object, PT_LOAD};
use crate::support::scene::Scene;
use crate::support::tools;

/// What the program itself takes before it reads anything: its image, tables, a stack.
const IMAGE_MIB: u64 = 64;
/// What hostile input may add to that.
const INPUT_MIB: u64 = 100;
/// Far beyond what any case takes; more would be a hang.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the binary with these arguments, separated by white space, in this memory.
#[track_caller]
fn run_in(scene: &Scene, mib: u64, what: &str, arguments: &str) -> Ran {
    let binary = std::env::var("BUNDLE_BINARY");
    let binary = binary.unwrap_or_else(|_| BINARY.to_owned());
    let peak = scene.at("peak-kib");
    let time = Path::new("/usr/bin/time");
    let measured = time.exists().then(|| format!("{} -f %M -o {} ", time.display(), peak.display()));
    let script = format!("ulimit -v {}; exec {}\"$@\"", mib * 1024, measured.unwrap_or_default());
    let mut command = scene.other_command("bash");
    command.args(["-c", &script, "bash", &binary]).args(arguments.split_whitespace()).timeout(LONGEST);
    command.env("MALLOC_ARENA_MAX", "1");
    let start = Instant::now();
    let ran = finish(&mut command);
    let seconds = start.elapsed().as_secs_f64();
    let kib = fs::read_to_string(&peak).unwrap_or_default();
    let kib: Option<u64> = kib.lines().last().and_then(|line| line.trim().parse().ok());
    let mib = kib.map_or("? ".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
    // Not `eprintln!`: the test harness keeps to itself what a passing test prints.
    let line = format!("{what}: {arguments:.60}: {seconds:.3} s, {mib} MiB\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(matches!(ran.code, Some(0 | 1 | 101)), "{what}: {ran:.2000}");
    assert!(!ran.stderr.contains("panicked"), "{what}: {ran}");
    // `explain` answers with a search, which may have been in vain.
    let says_why = ran.stderr.contains("error") || arguments.starts_with("explain");
    assert!(ran.code == Some(0) || says_why, "{what}: {ran}");
    for text in [&ran.stdout, &ran.stderr] {
        let raw = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{what}: a raw control character in {text:?}");
    }
    assert!(ran.stderr.len() < 1 << 20, "{what}: {} bytes of messages", ran.stderr.len());
    ran
}

/// The same in the memory that any input may take.
#[track_caller]
fn run(scene: &Scene, what: &str, arguments: &str) -> Ran {
    run_in(scene, IMAGE_MIB + INPUT_MIB, what, arguments)
}

/// Checks, explains and bundles `app`, with the libraries of `libs` if there are any.
#[track_caller]
fn every_command(scene: &Scene, what: &str, code: i32) -> Ran {
    let libs = if scene.at("libs").is_dir() { " --library-path libs" } else { "" };
    let ran = run(scene, what, &format!("check --binary app{libs}")).exits(code);
    let json = run(scene, what, &format!("check --binary app{libs} --message-format json"));
    assert_eq!(json.code, ran.code, "{json}");
    if code != 101 {
        json.json();
    }
    let bundled = run(scene, what, &format!("--binary app{libs} -o out.zip"));
    assert_eq!(bundled.code, ran.code, "{bundled}");
    ran
}

/// What `verify` says of `app.zip`.
#[track_caller]
fn verified(scene: &Scene, what: &str, code: i32) -> Ran {
    run(scene, what, "verify app.zip").exits(code)
}

/// How many things of a kind a case has: a quarter of `most`, and in CI all. What takes more than its share of time or
/// memory fails with either.
#[track_caller]
fn part_of(most: usize) -> usize {
    if tools::takes_a_part("things to hurt with") { most / 4 } else { most }
}

fn app() -> Object {
    Object::program().needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.34"])
}

// Links.

#[test]
fn a_chain_of_ten_thousand_links_is_a_finding() {
    let scene = Scene::new();
    scene.file("app", app().needs("link0.so").bytes());
    let count = part_of(10_000);
    for n in 0..count {
        scene.link(format!("link{}.so", n + 1), format!("libs/link{n}.so"));
    }
    scene.file(format!("libs/link{count}.so"), Object::library("link0.so").bytes());
    every_command(&scene, "chain of links", 1).says(&["`link0.so`"]);
}

#[test]
fn a_cycle_of_ten_thousand_links_is_a_finding() {
    let scene = Scene::new();
    scene.file("app", app().needs("link0.so").bytes());
    let count = part_of(10_000);
    for n in 0..count {
        scene.link(format!("link{}.so", (n + 1) % count), format!("libs/link{n}.so"));
    }
    every_command(&scene, "cycle of links", 1).says(&["`link0.so`"]);
}

#[test]
fn a_directory_of_links_to_itself_is_no_maze() {
    let scene = Scene::new();
    scene.file("app", app().needs("libdeep.so").rpath("$ORIGIN/libs/a/b/a/b/a/b").bytes());
    scene.link(".", "libs/a").link("../libs", "libs/b").file("libs/libdeep.so", b"\x7fELF");
    every_command(&scene, "links to the directory", 1);
}

// Search paths and needs.

/// A search path of at least this many bytes.
fn search_path(n_bytes: usize) -> String {
    let mut path = String::new();
    for n in 0.. {
        if path.len() >= n_bytes {
            break;
        }
        path.push_str(&format!("/d{n}:"));
    }
    path
}

fn with_needs(object: Object, n: usize) -> Object {
    (0..n).fold(object, |object, n| object.needs(format!("libn{n}.so")))
}

#[test]
fn long_search_paths_times_many_needs_end() {
    let most = part_of(part_of(4095));
    for (n_bytes, n_needs) in [(4096, part_of(part_of(1000))), (part_of(60_000), most)] {
        let what = format!("{n_bytes} bytes of path, {n_needs} needs");
        let rpath = with_needs(app(), n_needs).rpath(search_path(n_bytes));
        every_command(Scene::new().file("app", rpath.bytes()), &format!("RPATH: {what}"), 1);
    }
    let object = with_needs(app(), most).runpath(search_path(part_of(60_000)));
    every_command(Scene::new().file("app", object.bytes()), &format!("RUNPATH: {most} needs"), 1);
}

#[test]
fn a_need_may_name_any_path_and_none_is_followed_into_the_archive() {
    let names = ["../outside.so", "../../../../etc/passwd", "/etc/passwd", "a/../../b.so", "..", ".", "/"];
    let object = names.iter().fold(app(), |object, name| object.needs(name));
    let scene = Scene::new();
    scene.file("app", object.bytes()).file("outside.so", Object::library("outside.so").bytes());
    every_command(&scene, "paths in needed", 1).says(&["`../outside.so`"]);
    assert!(!scene.has("out.zip"));
}

#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    let names =
        ["\x1b[31mred\x1b[0m.so", "two\nlines.so", "bell\x07.so", "\u{9b}31m.so", "tab\t.so", "\r.so"];
    let object = names.iter().fold(app(), |object, name| object.needs(name));
    let object = object.runpath("/\x1b]0;title\x07").soname("\x1b[2J").verneed("\x1b[1m", &["\x1b[5mV"]);
    let scene = Scene::new();
    scene.file("app", object.bytes());
    every_command(&scene, "control characters", 1).says(&[r"`\x1b[31mred\x1b[0m.so`", r"`two\x0alines.so`"]);
    run(&scene, "control characters", "explain --binary app");
    run(&scene, "control characters", "explain --binary app libc.so.6");
    let interpreter = Object::program().interpreter("/lib/\x1b[31mld.so").needs("libc.so.6");
    let scene = Scene::new();
    scene.file("app", interpreter.bytes());
    every_command(&scene, "control characters in the interpreter", 1);
}

#[test]
fn bytes_that_are_not_utf8_are_shown_as_such() {
    let scene = Scene::new();
    scene.file("app", app().needs(b"lib\xff\xfe.so").bytes());
    every_command(&scene, "bytes that are not UTF-8", 1).says(&[r"lib\xff\xfe.so"]);
}

#[test]
fn very_long_needs_are_no_files() {
    let object = (0..15).fold(app(), |object, n| object.needs(format!("{n:065535}")));
    let ran = every_command(Scene::new().file("app", object.bytes()), "needs of 64 KiB", 1);
    let shown: Vec<String> = (0..11).map(|n| format!("`{:0>39}...(65459 more)...{n:037}`,", "")).collect();
    let ran = ran.says(&shown.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ran.stderr.len() < 20_000, "{} bytes", ran.stderr.len());
}

#[test]
fn four_thousand_missing_libraries_are_one_report() {
    let scene = Scene::new();
    let count = part_of(4095);
    let what = format!("{count} missing libraries");
    scene.file("app", with_needs(app(), count).bytes());
    every_command(&scene, &what, 1).says(&[&format!("`app` needs {count} libraries")]);
    let last = format!("`libn{}.so`", count - 1);
    run(&scene, &what, "check --binary app -v").exits(1).says(&[&last]);
    run(&scene, &what, "explain --binary app").exits(1);
}

#[test]
fn more_needs_than_any_program_has_are_an_error() {
    let scene = Scene::new();
    scene.file("app", with_needs(Object::program(), 5000).bytes());
    every_command(&scene, "5,000 needs", 101).says(&["needs more than 4096 libraries"]);
}

/// Library `n` of a ring of `count`.
fn ring(n: usize, count: usize) -> Object {
    let next = format!("libring{}.so", (n + 1) % count);
    Object::library(format!("libring{n}.so")).needs(next).needs("libc.so.6")
}

#[test]
fn a_cycle_of_two_thousand_libraries_is_a_bundle() {
    let scene = Scene::new();
    scene.file("app", app().needs("libring0.so").bytes());
    let count = part_of(2000);
    for n in 0..count {
        scene.file(format!("libs/libring{n}.so"), ring(n, count).bytes());
    }
    let what = format!("cycle of {count} libraries");
    every_command(&scene, &what, 0);
    run(&scene, &what, "verify out.zip").exits(0);
    run(&scene, &what, "explain --binary app --library-path libs").exits(0);
}

#[test]
fn libraries_that_all_need_each_other_are_a_bundle() {
    let scene = Scene::new();
    scene.file("app", app().needs("libm0.so").bytes());
    let count = part_of(200);
    for n in 0..count {
        let object = Object::library(format!("libm{n}.so"));
        let object = (0..count).fold(object, |object, n| object.needs(format!("libm{n}.so")));
        scene.file(format!("libs/libm{n}.so"), object.bytes());
    }
    every_command(&scene, &format!("{count} libraries that need each other"), 0);
}

// Versions and symbols.

#[test]
fn thousands_of_version_needs_are_one_report() {
    let nodes: Vec<String> = (0..part_of(4000)).map(|n| format!("GLIBC_9.{n}")).collect();
    let object = Object::program().needs("libc.so.6").verneed("libc.so.6", &nodes);
    every_command(Scene::new().file("app", object.bytes()), "thousands of version needs", 1)
        .says(&["GLIBC_9."]);
    let object = (0..part_of(2000)).fold(Object::program(), |object, n| {
        object.needs(format!("libv{n}.so")).verneed(format!("libv{n}.so"), &["V1", "V2"])
    });
    every_command(Scene::new().file("app", object.bytes()), "version needs of many libraries", 1);
}

#[test]
fn a_symbol_table_that_only_claims_to_be_huge_is_an_error() {
    let object = app().imports("a", None).hash(Hash::SysV);
    let built = object.build();
    for count in [u32::MAX, 1 << 31, 1 << 24] {
        let at = built.sysv_hash + 4;
        let scene = Scene::new();
        scene.file("app", built.clone().put_u32(at, count).bytes);
        every_command(&scene, &format!("{count} symbols"), 101).says(&["the dynamic symbol table"]);
    }
    let built = app().defines("a", None).hash(Hash::Gnu).build();
    for at in [0, 4, 8] {
        let scene = Scene::new();
        scene.file("app", built.clone().put_u32(built.gnu_hash + at, u32::MAX).bytes);
        let ran = run(&scene, "GNU hash table", "check --binary app");
        assert!(matches!(ran.code, Some(0 | 101)), "{ran}");
    }
}

#[test]
fn two_thousand_undefined_symbols_are_one_report() {
    let object = (0..2000).fold(app(), |object, n| object.imports(format!("nobody_has_{n}"), None));
    every_command(Scene::new().file("app", object.flags(8).bytes()), "2,000 undefined symbols", 1);
}

// Tables that lie.

#[test]
fn tables_outside_the_file_are_errors() {
    let built = app().rpath("/x").build();
    let broken = |tag, value| app().rpath("/x").dynamic(tag, value).build();
    let sized = |at: usize| {
        let header = built.header(PT_LOAD);
        built.clone().put_u64(header + at, 2 << 30)
    };
    let linked = |tag, value| app().imports("a", None).dynamic(tag, value).build();
    // Beside DT_GNU_HASH ld.so does not read it.
    let of_sysv = |tag, value| app().imports("a", None).hash(Hash::SysV).dynamic(tag, value).build();
    let rows: [(&str, Built); 5] = [
        ("relocations of 2 GiB", linked(DT_RELASZ, 2 << 30)),
        ("relocations at the end of the address space", linked(DT_RELA, u64::MAX - 47)),
        ("a needed name past the end", broken(DT_NEEDED, 1 << 20)),
        ("a segment of 2 GiB", sized(32)),
        ("a hash table elsewhere", of_sysv(DT_HASH, 1 << 40)),
    ];
    for (what, built) in rows {
        every_command(Scene::new().file("app", &built.bytes), what, 101).says(&["could not"]);
        let zip = self::zip(&[Member::new("bootstrap", &built.bytes).mode(0o100_755)]);
        verified(Scene::new().file("app.zip", zip), what, 1).says(&["`bootstrap` cannot be started"]);
    }
}

/// ld.so never reads the size of the string table (DT_STRSZ): the program starts, and memory stays bounded.
#[test]
fn a_size_of_the_string_table_that_lies_is_harmless() {
    for size in [0, 2 << 30, u64::MAX] {
        let built = app().rpath("/x").dynamic(DT_STRSZ, size).build();
        every_command(Scene::new().file("app", &built.bytes), &format!("{size} bytes of strings"), 0);
    }
    // Addresses wrap: the name is what lies in front of the table, and libc.so.6 is needed no more.
    let built = app().rpath("/x").dynamic(DT_NEEDED, u64::MAX).build();
    every_command(Scene::new().file("app", &built.bytes), "a needed name in front of the table", 1)
        .says(&["error[version-too-new]"]);
}

#[test]
fn sections_of_two_gib_are_not_looked_at() {
    let built = app().with_sections().build();
    let u16_at = |at: usize| u16::from_le_bytes(built.bytes[at..at + 2].try_into().unwrap());
    let start = u64::from_le_bytes(built.bytes[40..48].try_into().unwrap()) as usize;
    let (size, count) = (usize::from(u16_at(58)), usize::from(u16_at(60)));
    assert!(count > 1);
    let built = (0..count).fold(built.clone(), |built, n| built.put_u64(start + n * size + 32, 2 << 30));
    every_command(Scene::new().file("app", built.bytes), "sections of 2 GiB", 0);
}

#[test]
fn a_file_without_content_is_an_error_whatever_its_size() {
    let scene = Scene::new();
    fs::File::create(scene.at("app")).unwrap().set_len(64 << 20).unwrap();
    every_command(&scene, "64 MiB of zeros", 101).says(&["`"]);
}
