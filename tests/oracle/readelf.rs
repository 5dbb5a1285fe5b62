//! What `elf` says of files, next to readelf and ld.so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::elf::*;
use crate::support::tools;
use cargo_lambda_bundle::elf::{self, ElfFacts};

/// One line for each fact that readelf tells too, in its order.
fn rows(facts: &ElfFacts) -> Vec<String> {
    let mut rows: Vec<String> = facts.needed.iter().map(|name| format!("needed {name}")).collect();
    rows.extend(facts.soname.iter().map(|name| format!("soname {name}")));
    rows.extend(facts.rpath.iter().map(|path| format!("rpath {path}")));
    rows.extend(facts.runpath.iter().map(|path| format!("runpath {path}")));
    rows.extend(facts.auxiliary.iter().map(|name| format!("auxiliary {name}")));
    rows.extend(facts.filter.iter().map(|name| format!("filter {name}")));
    rows.extend(facts.interpreter.iter().map(|path| format!("interpreter {path}")));
    if facts.has_relr {
        rows.push("relr".into());
    }
    let hex = |id: &Vec<u8>| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    rows.extend(facts.build_id.iter().map(|id| format!("build-id {}", hex(id))));
    rows.extend(facts.least_kernel.iter().map(|(a, b, c)| format!("kernel {a}.{b}.{c}")));
    let mut versions = BTreeMap::new();
    for def in &facts.verdef {
        rows.push(format!("verdef {} {} {}", def.node, def.base, def.index));
        versions.insert(def.index, (def.node.as_str(), "@@"));
    }
    for need in &facts.verneed {
        rows.push(format!("verneed {} {} {} {}", need.file, need.node, need.weak, need.index));
        versions.insert(need.index, (need.node.as_str(), "@"));
    }
    for symbol in facts.symbols.iter() {
        let name = facts.symbols.name(symbol);
        let weak = if symbol.weak { "?" } else { "" };
        let defined = if symbol.defined { "=" } else { "" };
        let version = match versions.get(&(symbol.version & 0x7fff)) {
            Some((version, sign)) if symbol.version & 0x7fff > 1 && *version != name => {
                let sign = if symbol.version >> 15 == 1 { "@" } else { sign };
                format!("{sign}{version}")
            }
            // The symbol of a version itself is printed without it.
            _ => String::new(),
        };
        rows.push(format!("symbol {defined}{weak}{name}{version}"));
    }
    rows.sort();
    rows
}

/// The same rows from readelf's output, by file.
fn readelf(files: &[PathBuf]) -> BTreeMap<PathBuf, Vec<String>> {
    // A second file makes readelf name each.
    let output = Command::new("readelf")
        .args(["-dVnlsW", "--dyn-syms"])
        .args(files)
        .arg("/dev/null")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let (mut current, mut section, mut need) = (PathBuf::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("File: ") {
            current = file.into();
            continue;
        }
        // From the 100,000th symbol on their numbers take the blanks' place.
        if !line.starts_with(|char: char| char == ' ' || char.is_ascii_digit()) {
            section = line.to_owned();
            continue;
        }
        // STB_GNU_UNIQUE in a file whose EI_OSABI is not GNU's.
        let line = &line.replace("<OS specific>: 10", "UNIQUE");
        let words: Vec<&str> = line.split_whitespace().collect();
        let behind = |label: &str| words.iter().position(|word| *word == label).map(|at| words[at + 1]);
        let bracket = || line.split_once('[').map(|(_, rest)| &rest[..rest.rfind(']').unwrap()]);
        let rows = all.entry(current.clone()).or_default();
        if let Some(label) = words.get(1).and_then(|word| word.strip_prefix('(')?.strip_suffix(')'))
            && section.starts_with("Dynamic section")
        {
            match (label, bracket()) {
                ("NEEDED" | "SONAME" | "RPATH" | "RUNPATH" | "AUXILIARY" | "FILTER", Some(name)) => {
                    rows.push(format!("{} {name}", label.to_lowercase()));
                }
                ("RELR", _) => rows.push("relr".into()),
                _ => {}
            }
        } else if let Some(rest) = line.split_once("Requesting program interpreter: ") {
            rows.push(format!("interpreter {}", rest.1.trim_end_matches(']')));
        } else if let Some((_, id)) = line.split_once("Build ID: ") {
            rows.push(format!("build-id {id}"));
        } else if let Some((_, kernel)) = line.split_once("OS: Linux, ABI: ") {
            rows.push(format!("kernel {kernel}"));
        } else if section.starts_with("Version definition") && line.contains(" Rev: ") {
            let base = line.contains("Flags: BASE");
            rows.push(format!("verdef {} {base} {}", behind("Name:").unwrap(), behind("Index:").unwrap()));
        } else if section.starts_with("Version needs") {
            if let Some(file) = behind("File:") {
                need = file.to_owned();
            } else if let Some(node) = behind("Name:") {
                let weak = line.contains("Flags: WEAK");
                let index = words.last().unwrap();
                rows.push(format!("verneed {need} {node} {weak} {index}"));
            }
        } else if section.starts_with("Symbol table '.dynsym'") && words.len() > 6 && words[0] != "Num:" {
            // Behind the visibility may be more of `st_other`, in brackets.
            let others = words.iter().position(|word| word.ends_with(']')).map_or(0, |at| at - 5);
            let defined = if words[6 + others] == "UND" { "" } else { "=" };
            let weak = if words[4] == "WEAK" { "?" } else { "" };
            // For the symbol of a section readelf takes the section's name.
            let name = words.get(7 + others).filter(|_| words[3] != "SECTION").unwrap_or(&"");
            // The first symbol is none.
            if words[0] != "0:" {
                rows.push(format!("symbol {defined}{weak}{name}"));
            }
        }
    }
    for rows in all.values_mut() {
        rows.sort();
    }
    all
}

/// Compares the facts of files with readelf's and returns how many rows there were.
#[track_caller]
fn check_with_readelf(files: &[PathBuf]) -> usize {
    let told = readelf(files);
    let mut differences = Vec::new();
    let mut count = 0;
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let ours = match elf::parse(&bytes) {
            Ok(facts) => rows(&facts),
            Err(error) => vec![error.to_string()],
        };
        let theirs = told.get(file).cloned().unwrap_or_default();
        count += ours.len();
        if ours != theirs {
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|row| !b.contains(row)).take(5).cloned().collect()
            };
            differences.push(format!(
                "{}: {} and {} rows; only ours: {:?}; only readelf's: {:?}",
                file.display(),
                ours.len(),
                theirs.len(),
                only(&ours, &theirs),
                only(&theirs, &ours)
            ));
        }
    }
    assert!(differences.is_empty(), "{} files differ:\n{}", differences.len(), differences.join("\n"));
    count
}

#[test]
fn readelf_sees_in_built_files_what_was_put_in() {
    if !tools::require("readelf", "binutils") {
        return;
    }
    let objects = [
        full_library(),
        full_library().hash(Hash::SysV).relr(8),
        full_library().hash(Hash::Both).arm64(),
        Object::program().needs("libc.so.6").imports("a", Some(("libc.so.6", "G"))).runpath("/x"),
        Object::static_program().build_id(&[7]),
        Object::library(b"\xc3\xa4.so").defines("only", None),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        let file = dir.path().join(format!("{index}"));
        let object = object.with_sections();
        std::fs::write(&file, object.bytes()).unwrap();
        files.push(file);
    }
    assert!(check_with_readelf(&files) > 60);
}

#[test]
fn facts_of_this_machines_files_are_those_of_readelf() {
    if !tools::require("readelf", "binutils") {
        return;
    }
    let dirs = [
        "/usr/bin".to_owned(),
        format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH),
        "/usr/aarch64-linux-gnu/lib".to_owned(),
    ];
    let most = if tools::takes_a_part("files of each directory") { 30 } else { 100 };
    let mut files = Vec::new();
    for dir in dirs.iter().filter(|dir| Path::new(dir).is_dir()) {
        let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_elf(path))
            .collect();
        found.sort();
        let step = found.len().div_ceil(most).max(1);
        files.extend(found.into_iter().step_by(step));
    }
    let count = check_with_readelf(&files);
    println!("{} files, {count} facts", files.len());
    assert!(files.len() > 50, "{} files", files.len());
}

/// A regular file, no link, that begins as ELF does and is no part of a static library.
fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 18];
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head.starts_with(b"\x7fELF\x02\x01")
        && matches!(head[16], 2 | 3)
}

#[test]
fn the_loader_takes_built_files() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) || !Path::new(GLIBC_INTERPRETER).exists() {
        tools::skip("an x86_64 machine with glibc");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let trace = |library: Object| {
        let program = Object::program()
            .needs("libfoo.so.1")
            .needs("libc.so.6")
            .runpath("$ORIGIN")
            // The loader compares the hash of the name with that in libc's own table.
            .verneed("libc.so.6", &["GLIBC_2.2.5"])
            .imports("foo", Some(("libfoo.so.1", "V1")))
            .imports("bar", Some(("libfoo.so.1", "V1")));
        std::fs::write(path("libfoo.so.1"), library.bytes()).unwrap();
        std::fs::write(path("program"), program.bytes()).unwrap();
        let mut ld_so = Command::new(GLIBC_INTERPRETER);
        let output = ld_so
            .arg(path("program"))
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .env("LD_WARN", "1")
            .env("LD_BIND_NOW", "1")
            .output()
            .unwrap();
        let lines = [output.stdout, output.stderr].concat();
        let lines = String::from_utf8(lines).unwrap();
        // The vDSO is there on some machines only; addresses change.
        let lines = lines.replace(dir.path().to_str().unwrap(), "DIR");
        let lines: Vec<String> = lines
            .lines()
            .filter(|line| !["linux-vdso", "ld-linux", "libc.so.6 =>"].iter().any(|own| line.contains(own)))
            .map(|line| line.split(" (0x").next().unwrap().trim().to_owned())
            .collect();
        lines.join("\n")
    };
    let library = Object::library("libfoo.so.1").verdef(&["V1"]);
    let whole = library.clone().defines("foo", Some("V1")).defines("bar", Some("V1"));
    let found = "libfoo.so.1 => DIR/libfoo.so.1";
    for hash in [Hash::Gnu, Hash::SysV] {
        assert_eq!(trace(whole.clone().hash(hash)), found, "{hash:?}");
    }
    let missing = trace(library.defines("foo", Some("V1")));
    assert!(missing.contains("undefined symbol: bar, version V1"), "{missing}");
    let other =
        trace(Object::library("libfoo.so.1").verdef(&["V2"]).defines("foo", None).defines("bar", None));
    assert!(other.contains("version `V1' not found"), "{other}");
}

#[test]
fn the_ranges_of_a_file_that_are_asked_for_say_what_the_whole_file_says() {
    let Ok(entries) = std::fs::read_dir("/usr/lib/x86_64-linux-gnu") else {
        tools::skip("a directory of libraries (Debian, x86_64)");
        return;
    };
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let (mut n_read, mut n_bytes) = (0, 0);
    for path in paths.iter().step_by(7) {
        let bytes = std::fs::read(path).unwrap();
        let whole = elf::parse(&bytes);
        let read = |range: std::ops::Range<u64>| -> Result<Vec<u8>, ()> {
            n_read += range.end - range.start;
            Ok(bytes[range.start as usize..range.end as usize].to_vec())
        };
        let ranges = elf::parse_ranges(bytes.len() as u64, read).unwrap();
        n_bytes += bytes.len() as u64;
        match (ranges, whole) {
            (Ok(ranges), Ok(whole)) => {
                assert_eq!(format!("{ranges:?}"), format!("{whole:?}"), "{}", path.display());
            }
            (ranges, whole) => assert_eq!(ranges.err(), whole.err(), "{}", path.display()),
        }
    }
    assert!(4 * n_read < n_bytes, "{n_read} of {n_bytes} bytes were read");
}
