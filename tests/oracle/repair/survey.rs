//! Every program and library of this machine, edited in memory, outside CI every fourth; some of the programs run
//! afterwards.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_lambda_bundle::elf;
use cargo_lambda_bundle::repair::{Edits, GivenUp, Refusal, edit};

use crate::repair::built::{copy, must, rustc, write};
use crate::repair::rules;
use crate::support::debian::PROGRAMS_ARM64;
use crate::support::tools;

const ROOTS: [&str; 3] = ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/aarch64-linux-gnu/lib"];

/// Longer than any string of a file that has room for it by chance.
const RPATH: &str = "/var/task/lib/pinned:/opt/lambda-bundle/survey";

fn files() -> Vec<PathBuf> {
    let mut pending: Vec<PathBuf> = ROOTS.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_of_this_machine() {
    let mut slots: BTreeMap<(&str, Vec<GivenUp>), usize> = BTreeMap::new();
    let mut refused: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let (mut dynamic, mut moved) = (0, 0);
    let step = if tools::takes_a_part("programs and libraries of this machine") { 4 } else { 1 };
    for file in files().into_iter().step_by(step) {
        let mut head = [0; 20];
        let read =
            std::fs::File::open(&file).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
        if read.is_err() || head[..6] != *b"\x7fELF\x02\x01" || !matches!(head[18], 62 | 183) {
            continue;
        }
        let before = std::fs::read(&file).unwrap();
        let Ok(facts) = elf::parse(&before) else { continue };
        if !facts.has_dynamic || facts.needed.is_empty() {
            continue;
        }
        dynamic += 1;
        let interpreter =
            facts.interpreter.as_ref().map(|_| "/var/task/libc/ld-linux-x86-64.so.2".to_owned());
        let mut edits = Edits { rpath: Some(RPATH.into()), interpreter, ..Edits::default() };
        match edit(&before, &edits) {
            Ok(edited) => {
                rules::check(&before, &edited.bytes, true);
                moved += usize::from(edited.lost.contains(&GivenUp::DynamicInPlace));
                *slots.entry((rules::slot(&before, &edited.bytes), edited.lost)).or_default() += 1;
            }
            Err(refusal) => {
                assert!(!matches!(refusal, Refusal::Unproven(_)), "{}: {refusal}", file.display());
                refused.entry(refusal.to_string()).or_default().push(file);
                continue;
            }
        }
        edits.add_needed = (0..12).map(|number| format!("libadded.so.{number}")).collect();
        edits.rename_needed = vec![(facts.needed[0].clone(), "/var/task/libc/renamed.so".into())];
        let edited = edit(&before, &edits).unwrap_or_else(|refusal| panic!("{}: {refusal}", file.display()));
        rules::check(&before, &edited.bytes, false);
    }
    let mut report = format!("{dynamic} dynamic files, .dynamic moved in {moved}\n");
    for ((slot, lost), n) in &slots {
        let lost: Vec<String> = lost.iter().map(GivenUp::to_string).collect();
        report += &format!(
            "{n:6} {slot}; lost: {}\n",
            if lost.is_empty() { "nothing".into() } else { lost.join(", ") }
        );
    }
    for (why, files) in &refused {
        report += &format!("{:6} refused: {why}: {files:?}\n", files.len());
    }
    // Not `eprintln!`: the test harness keeps to itself what a passing test prints.
    write!(std::io::stderr(), "{report}").unwrap();
    let n_refused: usize = refused.values().map(Vec::len).sum();
    assert!(n_refused * 50 <= dynamic, "more than one in fifty refused:\n{report}");
}

/// Programs of C, C++, Rust, Fortran, Haskell and whatever else is there, with the argument that ends them soon.
const PROGRAMS: &[(&str, &str)] = &[
    ("addr2line", "--version"),
    ("apt-get", "--version"),
    ("as", "--version"),
    ("awk", "--version"),
    ("bash", "--version"),
    ("bzip2", "--help"),
    ("c++", "--version"),
    ("cat", "--version"),
    ("cmake", "--version"),
    ("cpio", "--version"),
    ("cpp", "--version"),
    ("curl", "--version"),
    ("date", "--version"),
    ("diff", "--version"),
    ("dpkg", "--version"),
    ("eu-readelf", "--version"),
    ("ffmpeg", "-version"),
    ("ffprobe", "-version"),
    ("file", "--version"),
    ("find", "--version"),
    ("gcc", "--version"),
    ("gdb", "--version"),
    ("git", "--version"),
    ("go", "version"),
    ("gpg", "--version"),
    ("grep", "--version"),
    ("gzip", "--version"),
    ("java", "-version"),
    ("jq", "--version"),
    ("ld.bfd", "--version"),
    ("ld.gold", "--version"),
    ("less", "--version"),
    ("ls", "--version"),
    ("m4", "--version"),
    ("make", "--version"),
    ("mold", "--version"),
    ("mysql", "--version"),
    ("nm", "--version"),
    ("node", "--version"),
    ("objdump", "--version"),
    ("openssl", "version"),
    ("pandoc", "--version"),
    ("patch", "--version"),
    ("patchelf", "--version"),
    ("perl", "--version"),
    ("php", "--version"),
    ("psql", "--version"),
    ("readelf", "--version"),
    ("rg", "--version"),
    ("ruby", "--version"),
    ("sed", "--version"),
    ("sort", "--version"),
    ("sqlite3", "--version"),
    ("ssh", "-V"),
    ("strace", "--version"),
    ("tar", "--version"),
    ("unzip", "-v"),
    ("wget", "--version"),
    ("xz", "--version"),
    ("zip", "-v"),
    ("zstd", "--version"),
    ("python3.11", "--version"),
];

/// Those of a kind of its own: Go with cgo, Rust with GNU ld, Haskell, and three large ones; with their packages.
const KINDS: &[(&str, &str)] = &[
    ("ffmpeg", "ffmpeg"),
    ("go", "golang-go"),
    ("node", "nodejs"),
    ("pandoc", "pandoc"),
    ("python3.11", "python3"),
    ("rg", "ripgrep"),
];

#[test]
fn programs_of_this_machine_say_the_same_afterwards() {
    for (name, package) in KINDS {
        let has = Path::new("/usr/bin").join(name).exists();
        if !has && !tools::skip(&format!("/usr/bin/{name} (apt: {package})")) {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let loader = dir.path().join("ld.so");
    copy(Path::new("/lib64/ld-linux-x86-64.so.2"), &loader);
    let mut programs: Vec<(PathBuf, &str)> = PROGRAMS
        .iter()
        .filter_map(|(name, argument)| Some((which::which_in(name, Some("/usr/bin"), "/").ok()?, *argument)))
        .collect();
    let toolchain = must(rustc().args(["--print", "sysroot"])).stdout;
    let toolchain = PathBuf::from(String::from_utf8(toolchain).unwrap().trim());
    for name in ["rustc", "cargo", "rustdoc", "rustfmt", "cargo-clippy"] {
        programs.push((toolchain.join("bin").join(name), "--version"));
    }
    let mut n_run = 0;
    for (program, argument) in programs {
        let Ok(program) = program.canonicalize() else { continue };
        let before = std::fs::read(&program).unwrap();
        let Ok(facts) = elf::parse(&before) else { continue };
        if facts.interpreter.is_none() {
            continue;
        }
        // $ORIGIN is the copy's directory, so the original's is put in its place.
        let origin = program.parent().unwrap().to_str().unwrap();
        let old = facts.rpath.or(facts.runpath).map(|old| format!(":{}", old.replace("$ORIGIN", origin)));
        let rpath = format!("/nonexistent{}", old.unwrap_or_default());
        let edits = Edits {
            rpath: Some(rpath),
            interpreter: Some(loader.to_str().unwrap().to_owned()),
            ..Edits::default()
        };
        let edited =
            edit(&before, &edits).unwrap_or_else(|refusal| panic!("{}: {refusal}", program.display()));
        rules::check(&before, &edited.bytes, true);
        // Multi-call programs go by their name.
        let path = dir.path().join(program.file_name().unwrap());
        write(&path, &edited.bytes);
        assert_eq!(
            said(&path, argument, dir.path()),
            said(&program, argument, dir.path()),
            "{}",
            program.display()
        );
        n_run += 1;
        std::fs::remove_file(&path).unwrap();
    }
    writeln!(std::io::stderr(), "{n_run} programs said the same after an edit").unwrap();
    let enough = n_run >= 40;
    assert!(enough || !tools::skip("40 known programs in /usr/bin"));
}

#[test]
fn programs_for_aarch64_say_the_same_afterwards() {
    const QEMU: &str = "qemu-aarch64-static";
    if !tools::require(QEMU, "qemu-user-static") {
        return;
    }
    let Some(root) = PROGRAMS_ARM64.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let loader = dir.path().join("ld.so");
    copy(&root.join("lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"), &loader);
    let mut n_run = 0;
    for directory in ["bin", "usr/bin"] {
        for program in std::fs::read_dir(root.join(directory)).unwrap() {
            let program = program.unwrap().path();
            let name = program.file_name().unwrap().to_str().unwrap().to_owned();
            let before = std::fs::read(&program).unwrap_or_default();
            let Ok(facts) = elf::parse(&before) else { continue };
            if program.is_symlink() || facts.interpreter.is_none() || facts.rpath.or(facts.runpath).is_some()
            {
                continue;
            }
            let edits = Edits {
                rpath: Some("/nonexistent".into()),
                interpreter: Some(loader.to_str().unwrap().to_owned()),
                add_needed: vec!["libm.so.6".into()],
                ..Edits::default()
            };
            let edited =
                edit(&before, &edits).unwrap_or_else(|refusal| panic!("{}: {refusal}", program.display()));
            rules::check(&before, &edited.bytes, true);
            let path = dir.path().join(&name);
            write(&path, &edited.bytes);
            let qemu = |program: &Path| {
                let mut command = Command::new(QEMU);
                command.arg("-L").arg(&root).arg(program).arg("--version");
                said_by(&mut command, program, dir.path())
            };
            let says = qemu(&program);
            assert_eq!(qemu(&path), says, "{name}");
            n_run += usize::from(says.starts_with("exit status: 0\n"));
            std::fs::remove_file(&path).unwrap();
        }
    }
    writeln!(std::io::stderr(), "{n_run} programs for aarch64 said the same after an edit").unwrap();
    assert!(n_run >= 100, "{n_run} programs for aarch64");
}

/// Status and output, the program's own path left out.
fn said(program: &Path, argument: &str, directory: &Path) -> String {
    said_by(Command::new(program).arg(argument), program, directory)
}

fn said_by(command: &mut Command, program: &Path, directory: &Path) -> String {
    let output = command
        .current_dir(directory)
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text.replace(program.to_str().unwrap(), "the program")
}
