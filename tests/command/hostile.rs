//! Files made to hurt: the real binary ends, soon, in little memory, with a finding or an error, never a panic.
//!
//! Every run has its memory bounded by the kernel (`ulimit -v`, address space) and its time by a kill. The
//! measured figures are printed. The bound of time is generous for the sake of busy machines and unoptimised
//! builds; `BUNDLE_BINARY` names another binary to measure, such as an optimised one.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::command::{Ran, command, finish};
use crate::support::elf::{Built, DT_HASH, DT_NEEDED, DT_RELA, DT_RELASZ, DT_STRSZ, Hash, Object, PT_LOAD};
use tempfile::TempDir;

/// What the program itself takes before it reads anything: its image, tables, a stack.
const IMAGE_MIB: u64 = 64;
/// What hostile input may add to that.
const INPUT_MIB: u64 = 100;
/// Far beyond what any case takes; more would be a hang.
const LONGEST: Duration = Duration::from_secs(60);

struct Case {
    dir: TempDir,
    input_mib: u64,
}

fn case() -> Case {
    Case { dir: tempfile::tempdir().unwrap(), input_mib: INPUT_MIB }
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Case {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn link(self, name: &str, target: &str) -> Case {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
        self
    }

    /// The unpacked bytes of an archive are held, and are no surprise.
    fn holding(self, mib: u64) -> Case {
        Case { input_mib: self.input_mib + mib, ..self }
    }

    /// Runs the binary with these arguments, separated by white space.
    #[track_caller]
    fn run(&self, what: &str, arguments: &str) -> Ran {
        let dir = self.dir.path();
        let binary = std::env::var("BUNDLE_BINARY");
        let binary = binary.unwrap_or_else(|_| env!("CARGO_BIN_EXE_cargo-lambda-bundle").to_owned());
        let peak = self.path("peak-kib");
        let time = Path::new("/usr/bin/time");
        let measured = time.exists().then(|| format!("{} -f %M -o {} ", time.display(), peak.display()));
        let limit = (IMAGE_MIB + self.input_mib) * 1024;
        let script = format!("ulimit -v {limit}; exec {}\"$@\"", measured.unwrap_or_default());
        let mut command = command("bash", dir);
        command.args(["-c", &script, "bash", &binary]).args(arguments.split_whitespace()).timeout(LONGEST);
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

    /// Checks, explains and bundles `app`, with the libraries of `libs` if there are any.
    #[track_caller]
    fn every_command(&self, what: &str, code: i32) -> Ran {
        let libs = if self.path("libs").is_dir() { " --library-path libs" } else { "" };
        let ran = self.run(what, &format!("check --binary app{libs}")).exits(code);
        let json = self.run(what, &format!("check --binary app{libs} --message-format json"));
        assert_eq!(json.code, ran.code, "{json}");
        if code != 101 {
            json.json();
        }
        let bundled = self.run(what, &format!("--binary app{libs} -o out.zip"));
        assert_eq!(bundled.code, ran.code, "{bundled}");
        ran
    }

    /// The file as the `bootstrap` of an archive, with others.
    #[track_caller]
    fn verified(&self, what: &str, code: i32) -> Ran {
        self.run(what, "verify app.zip").exits(code)
    }
}

fn app() -> Object {
    Object::program().needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.34"])
}

// Links.

#[test]
fn a_chain_of_ten_thousand_links_is_a_finding() {
    let mut case = case().file("app", app().needs("link0.so").bytes());
    for n in 0..10_000 {
        case = case.link(&format!("libs/link{n}.so"), &format!("link{}.so", n + 1));
    }
    let case = case.file("libs/link10000.so", Object::library("link0.so").bytes());
    case.every_command("chain of links", 1).says(&["`link0.so`"]);
}

#[test]
fn a_cycle_of_ten_thousand_links_is_a_finding() {
    let mut case = case().file("app", app().needs("link0.so").bytes());
    for n in 0..10_000 {
        case = case.link(&format!("libs/link{n}.so"), &format!("link{}.so", (n + 1) % 10_000));
    }
    case.every_command("cycle of links", 1).says(&["`link0.so`"]);
}

#[test]
fn a_directory_of_links_to_itself_is_no_maze() {
    let case = case().file("app", app().needs("libdeep.so").rpath("$ORIGIN/libs/a/b/a/b/a/b").bytes());
    let case = case.link("libs/a", ".").link("libs/b", "../libs").file("libs/libdeep.so", b"\x7fELF");
    case.every_command("links to the directory", 1);
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
    for (n_bytes, n_needs) in [(4096, 1000), (60_000, 4095)] {
        let what = format!("{n_bytes} bytes of path, {n_needs} needs");
        let rpath = with_needs(app(), n_needs).rpath(search_path(n_bytes));
        case().file("app", rpath.bytes()).every_command(&format!("RPATH: {what}"), 1);
    }
    let object = with_needs(app(), 4095).runpath(search_path(60_000));
    case().file("app", object.bytes()).every_command("RUNPATH: 60,000 bytes, 4,095 needs", 1);
}

#[test]
fn a_need_may_name_any_path_and_none_is_followed_into_the_archive() {
    let names = ["../outside.so", "../../../../etc/passwd", "/etc/passwd", "a/../../b.so", "..", ".", "/"];
    let object = names.iter().fold(app(), |object, name| object.needs(name));
    let case = case().file("app", object.bytes()).file("outside.so", Object::library("outside.so").bytes());
    case.every_command("paths in needed", 1).says(&["`../outside.so`"]);
    assert!(!case.path("out.zip").exists());
}

#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    let names =
        ["\x1b[31mred\x1b[0m.so", "two\nlines.so", "bell\x07.so", "\u{9b}31m.so", "tab\t.so", "\r.so"];
    let object = names.iter().fold(app(), |object, name| object.needs(name));
    let object = object.runpath("/\x1b]0;title\x07").soname("\x1b[2J").verneed("\x1b[1m", &["\x1b[5mV"]);
    let case = case().file("app", object.bytes());
    case.every_command("control characters", 1).says(&[r"`\x1b[31mred\x1b[0m.so`", r"`two\x0alines.so`"]);
    case.run("control characters", "explain --binary app");
    case.run("control characters", "explain --binary app libc.so.6");
    let interpreter = Object::program().interpreter("/lib/\x1b[31mld.so").needs("libc.so.6");
    let case = self::case().file("app", interpreter.bytes());
    case.every_command("control characters in the interpreter", 1);
}

#[test]
fn bytes_that_are_not_utf8_are_shown_as_such() {
    let case = case().file("app", app().needs(b"lib\xff\xfe.so").bytes());
    case.every_command("bytes that are not UTF-8", 1).says(&[r"lib\xff\xfe.so"]);
}

#[test]
fn very_long_needs_are_no_files() {
    let object = (0..15).fold(app(), |object, n| object.needs(format!("{n:065535}")));
    let ran = case().file("app", object.bytes()).every_command("needs of 64 KiB", 1);
    let shown: Vec<String> = (0..15).map(|n| format!("`{:0>39}...(65459 more)...{n:037}`,", "")).collect();
    let ran = ran.says(&shown.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ran.stderr.len() < 20_000, "{} bytes", ran.stderr.len());
}

#[test]
fn four_thousand_missing_libraries_are_one_report() {
    let case = case().file("app", with_needs(app(), 4095).bytes());
    case.every_command("4,095 missing libraries", 1).says(&["libn4094.so"]);
    case.run("4,095 missing libraries", "explain --binary app").exits(1);
}

#[test]
fn more_needs_than_any_program_has_are_an_error() {
    let case = case().file("app", with_needs(Object::program(), 5000).bytes());
    case.every_command("5,000 needs", 101).says(&["needs more than 4096 libraries"]);
}

/// Library `n` of a ring of `count`.
fn ring(n: usize, count: usize) -> Object {
    let next = format!("libring{}.so", (n + 1) % count);
    Object::library(format!("libring{n}.so")).needs(next).needs("libc.so.6")
}

#[test]
fn a_cycle_of_two_thousand_libraries_is_a_bundle() {
    let mut case = case().file("app", app().needs("libring0.so").bytes());
    for n in 0..2000 {
        case = case.file(&format!("libs/libring{n}.so"), ring(n, 2000).bytes());
    }
    case.every_command("cycle of 2,000 libraries", 0);
    case.run("cycle of 2,000 libraries", "verify out.zip").exits(0);
    case.run("cycle of 2,000 libraries", "explain --binary app --library-path libs").exits(0);
}

#[test]
fn an_archive_with_a_cycle_of_two_thousand_libraries_starts() {
    let mut members = vec![Member::new("bootstrap", &app().needs("libring0.so").bytes()).mode(0o100_755)];
    members.extend((0..2000).map(|n| Member::new(&format!("lib/libring{n}.so"), &ring(n, 2000).bytes())));
    let case = case().file("app.zip", zip(&members));
    case.verified("archive with a cycle of 2,000 libraries", 0);
}

#[test]
fn libraries_that_all_need_each_other_are_a_bundle() {
    let mut case = case().file("app", app().needs("libm0.so").bytes());
    for n in 0..200 {
        let object = Object::library(format!("libm{n}.so"));
        let object = (0..200).fold(object, |object, n| object.needs(format!("libm{n}.so")));
        case = case.file(&format!("libs/libm{n}.so"), object.bytes());
    }
    case.every_command("200 libraries that need each other", 0);
}

// Versions and symbols.

#[test]
fn thousands_of_version_needs_are_one_report() {
    let nodes: Vec<String> = (0..4000).map(|n| format!("GLIBC_9.{n}")).collect();
    let object = Object::program().needs("libc.so.6").verneed("libc.so.6", &nodes);
    case().file("app", object.bytes()).every_command("4,000 version needs", 1).says(&["GLIBC_9."]);
    let object = (0..2000).fold(Object::program(), |object, n| {
        object.needs(format!("libv{n}.so")).verneed(format!("libv{n}.so"), &["V1", "V2"])
    });
    case().file("app", object.bytes()).every_command("version needs of 2,000 libraries", 1);
}

#[test]
fn a_symbol_table_that_only_claims_to_be_huge_is_an_error() {
    let object = app().imports("a", None).hash(Hash::SysV);
    let built = object.build();
    for count in [u32::MAX, 1 << 31, 1 << 24] {
        let at = built.sysv_hash + 4;
        let case = case().file("app", built.clone().put_u32(at, count).bytes);
        case.every_command(&format!("{count} symbols"), 101).says(&["the dynamic symbol table"]);
    }
    let built = app().defines("a", None).hash(Hash::Gnu).build();
    for at in [0, 4, 8] {
        let case = case().file("app", built.clone().put_u32(built.gnu_hash + at, u32::MAX).bytes);
        let ran = case.run("GNU hash table", "check --binary app");
        assert!(matches!(ran.code, Some(0 | 101)), "{ran}");
    }
}

#[test]
fn two_thousand_undefined_symbols_are_one_report() {
    let object = (0..2000).fold(app(), |object, n| object.imports(format!("nobody_has_{n}"), None));
    case().file("app", object.flags(8).bytes()).every_command("2,000 undefined symbols", 1);
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
    let rows: [(&str, Built); 8] = [
        ("relocations of 2 GiB", linked(DT_RELASZ, 2 << 30)),
        ("relocations at the end of the address space", linked(DT_RELA, u64::MAX - 47)),
        ("a string table of 2 GiB", broken(DT_STRSZ, 2 << 30)),
        ("a string table of all addresses", broken(DT_STRSZ, u64::MAX)),
        ("a needed name past the end", broken(DT_NEEDED, 1 << 20)),
        ("a needed name at the end of the address space", broken(DT_NEEDED, u64::MAX)),
        ("a segment of 2 GiB", sized(32)),
        ("a hash table elsewhere", broken(DT_HASH, 1 << 40)),
    ];
    for (what, built) in rows {
        case().file("app", &built.bytes).every_command(what, 101).says(&["could not"]);
        let zip = self::zip(&[Member::new("bootstrap", &built.bytes).mode(0o100_755)]);
        case().file("app.zip", zip).verified(what, 1).says(&["`bootstrap` cannot be started"]);
    }
}

#[test]
fn sections_of_two_gib_are_not_looked_at() {
    let built = app().with_sections().build();
    let u16_at = |at: usize| u16::from_le_bytes(built.bytes[at..at + 2].try_into().unwrap());
    let start = u64::from_le_bytes(built.bytes[40..48].try_into().unwrap()) as usize;
    let (size, count) = (usize::from(u16_at(58)), usize::from(u16_at(60)));
    assert!(count > 1);
    let built = (0..count).fold(built.clone(), |built, n| built.put_u64(start + n * size + 32, 2 << 30));
    case().file("app", built.bytes).every_command("sections of 2 GiB", 0);
}

#[test]
fn a_file_without_content_is_an_error_whatever_its_size() {
    let case = case();
    fs::File::create(case.path("app")).unwrap().set_len(64 << 20).unwrap();
    case.every_command("64 MiB of zeros", 101).says(&["`"]);
}

// Archives.

/// A member of an archive made by hand.
struct Member {
    name: Vec<u8>,
    mode: u32,
    method: u16,
    crc: u32,
    size: u32,
    data: Vec<u8>,
}

impl Member {
    fn new(name: &str, data: &[u8]) -> Member {
        let size = data.len() as u32;
        Member { name: name.into(), mode: 0o100_644, method: 0, crc: crc32(data), size, data: data.into() }
    }

    fn mode(self, mode: u32) -> Member {
        Member { mode, ..self }
    }

    /// Zeros, deflated as well as can be; their checksum is left out.
    fn zeros(name: &str, size: u32, declared: u32) -> Member {
        let mut bits = Bits::default();
        // One last block with the fixed codes: a zero, matches of 258 bytes at distance 1, the end.
        // Source: RFC 1951, 3.2.5 and 3.2.6.
        bits.put(0b011, 3);
        bits.put(0b0000_1100, 8);
        for _ in 0..(size - 1) / 258 {
            bits.put(0b1010_0011, 8);
            bits.put(0, 5);
        }
        bits.put(0, 7 + 7);
        let member = Member::new(name, &bits.bytes);
        Member { method: 8, crc: 0, size: declared, ..member }
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    n: usize,
}

impl Bits {
    /// The low bits of a value, the lowest first.
    fn put(&mut self, value: u32, n: usize) {
        for bit in 0..n {
            if self.n.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (self.n % 8);
            self.n += 1;
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn zip(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let mut common = Vec::new();
        for half in [20, 0, member.method, 0, 0x21] {
            common.extend(u16::to_le_bytes(half));
        }
        for word in [member.crc, member.data.len() as u32, member.size] {
            common.extend(word.to_le_bytes());
        }
        common.extend((member.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let start = bytes.len() as u32;
        bytes.extend([b"PK\x03\x04".as_slice(), &common, &member.name, &member.data].concat());
        directory.extend([b"PK\x01\x02\x14\x03".as_slice(), &common, &[0; 6]].concat());
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(&member.name);
    }
    let start = bytes.len() as u32;
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend(&directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend([start.to_le_bytes().as_slice(), &[0, 0]].concat());
    bytes
}

fn bootstrap() -> Member {
    Member::new("bootstrap", &app().bytes()).mode(0o100_755)
}

#[test]
fn a_bomb_that_declares_its_size_is_not_unpacked() {
    let bomb = Member::zeros("assets/zeros", 2 << 30, 2 << 30);
    let case = case().file("app.zip", zip(&[bootstrap(), bomb]));
    case.verified("bomb of 2 GiB, declared", 1).says(&["error[size-limit]", "2147.5 MB unzipped"]);
}

#[test]
fn a_bomb_that_lies_is_unpacked_no_further_than_it_declares() {
    let bomb = Member::zeros("assets/zeros", 2 << 30, 1000);
    let case = case().file("app.zip", zip(&[bootstrap(), bomb]));
    case.verified("bomb of 2 GiB that declares 1,000 bytes", 101)
        .says(&["`app.zip`: entry `assets/zeros` cannot be unpacked\n", "larger than its declared"]);
    let bomb = Member::new("assets/small", b"x");
    let case = self::case().file("app.zip", zip(&[bootstrap(), Member { size: 262_000_000, ..bomb }]));
    case.verified("1 byte that declares 262,000,000", 101).says(&["declares 262000000"]);
}

#[test]
fn a_bomb_inside_lambdas_limit_takes_what_it_declares() {
    let bomb = Member::zeros("assets/zeros", 100 << 20, 100 << 20);
    let case = case().holding(100).file("app.zip", zip(&[bootstrap(), bomb]));
    case.verified("bomb of 100 MiB", 101).says(&["`assets/zeros`"]);
}

#[test]
fn sixty_five_thousand_entries_are_read() {
    let mut members = vec![bootstrap()];
    members.extend((1..65_534).map(|n| Member::new(&format!("lib/libn{n}.so"), b"")));
    let case = case().file("app.zip", zip(&members));
    case.verified("65,534 entries", 0);
    case.run("65,534 entries", "verify app.zip --message-format json").json();
}

#[test]
fn links_of_an_archive_may_form_chains_and_cycles() {
    let mut members = vec![Member::new("bootstrap", &app().needs("link0.so").bytes()).mode(0o100_755)];
    for n in 0..10_000 {
        let target = format!("link{}.so", (n + 1) % 10_000);
        members.push(Member::new(&format!("lib/link{n}.so"), target.as_bytes()).mode(0o120_777));
    }
    let case = case().file("app.zip", zip(&members));
    case.verified("archive with a cycle of 10,000 links", 1).says(&["`link0.so`"]);
}

#[test]
fn names_that_leave_the_archive_or_are_there_twice_are_errors() {
    let rows: [(&[&str], &str); 4] = [
        (&["../evil"], "leaves the archive"),
        (&["a/../../evil"], "leaves the archive"),
        (&["lib/a", "lib/a"], "two entries `lib/a`"),
        (&["/etc/evil"], "absolute name"),
    ];
    for (names, expected) in rows {
        let mut members = vec![bootstrap()];
        members.extend(names.iter().map(|name| Member::new(name, b"x")));
        let case = case().file("app.zip", zip(&members));
        case.verified(&names.join(" "), 101).says(&[expected]);
        assert_eq!(
            fs::read_dir(case.dir.path().parent().unwrap())
                .unwrap()
                .flatten()
                .filter(|entry| { entry.file_name() == "evil" })
                .count(),
            0
        );
    }
    let members = [bootstrap(), Member::new("lib/\x1b[31m\n.so", &app().bytes())];
    case().file("app.zip", zip(&members)).run("control characters in an entry", "verify app.zip");
    case()
        .file("app.zip", zip(&members))
        .run("control characters in an entry", "verify app.zip --message-format json");
}

#[test]
fn an_archive_of_hostile_libraries_ends() {
    let mut members = vec![Member::new("bootstrap", &with_needs(app(), 2000).bytes()).mode(0o100_755)];
    for n in 0..2000 {
        let object = Object::library(format!("libn{n}.so")).needs(format!("libn{}.so", (n + 7) % 2000));
        let object = object.rpath(search_path(4096)).needs(format!("absent{n}.so"));
        members.push(Member::new(&format!("lib/libn{n}.so"), &object.bytes()));
    }
    let case = case().file("app.zip", zip(&members));
    case.verified("archive of 2,000 libraries with 4 KiB of RPATH each", 1);
}
