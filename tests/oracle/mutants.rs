//! Every field of a program and of a library that the kernel or ld.so reads, changed one at a time: what we say of
//! the file, beside a real start.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::support::compile::CC;
use crate::support::fields::{fields, number, values};
use crate::support::lambda_root::{LIBRARY_PATH, LambdaRoot};
use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::audit::{self, Owner, Severity, Subject};
use cargo_lambda_bundle::baseline::Baseline;
use cargo_lambda_bundle::disk::capture::capture;
use cargo_lambda_bundle::elf::{self, Arch, ElfError, ElfFacts, Linkage, ObjectType};
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld, Member, MemberContent};
use cargo_lambda_bundle::plan::BuildSide;
use cargo_lambda_bundle::world::Opened;

/// Uses whatever a library can offer: functions and data, called, copied and pointed to, thread-local data, an
/// initializer.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern int number, add(int, int), started, *pointer, (*function)(int, int);
extern __thread int local;
int *to_number = &number;
int (*to_add)(int, int) = add;
static int own = 7, *to_own = &own;
static __thread int thread = 5;
__attribute__((constructor)) static void begin(void) { own++; }
int main(int n, char **words) {
    if (started != 1 || number != 3 || add(1, 2) != 3 || to_add(2, 2) != 4 || *to_number != 3) return 42;
    if (*pointer != 11 || function(1, 1) != 2 || local != 9 || thread != 5 || *to_own != 8) return 43;
    if (puts("fine") < 0 || getenv("HOME") == words[0] || fflush(stdout)) return 43;
    _exit(0);
}
"#;

const LIBRARY: &str = r#"
#include <stdlib.h>
#include <string.h>
int number = 3, started;
__thread int local = 9;
static int hidden = 11;
int *pointer = &hidden;
static int sum(int a, int b) { return a + b; }
int add(int a, int b) { return sum(a, b) + (abs(a) < 0); }
int (*function)(int, int) = add;
int never(const char *text) { return strlen(text) + number; }
__attribute__((constructor)) static void begin(void) { started = 1; }
"#;

/// The exit statuses of a program that runs and sees other values than it should.
const WRONG_1: i32 = 42;
const WRONG_2: i32 = 43;

const SONAME: &str = "libmutant.so.1";

/// What starts a mutant: without rights, within limits. The least time of an honest start is some milliseconds.
const START: [&str; 13] = [
    "--reuid=993",
    "--regid=990",
    "--clear-groups",
    "--no-new-privs",
    "/usr/bin/timeout",
    "-sKILL",
    "5",
    "/usr/bin/prlimit",
    "--cpu=3",
    "--core=0",
    "--as=4294967296",
    "--fsize=65536",
    "--",
];

struct Scene {
    dir: tempfile::TempDir,
    lambda: LambdaWorld,
    program: Vec<u8>,
    library: Vec<u8>,
}

impl Scene {
    fn new() -> Option<Scene> {
        let needs = [("cc", "gcc"), ("prlimit", "util-linux"), ("setpriv", "util-linux")];
        if needs.iter().any(|(tool, package)| !tools::require(tool, package)) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("map"), "V1 { global: *; };").unwrap();
        CC.compile(
            dir.path(),
            LIBRARY,
            SONAME,
            &format!("-O1 -shared -fPIC -Wl,-soname,{SONAME} -Wl,--version-script=map"),
        );
        CC.compile(dir.path(), PROGRAM, "program", &format!("-O1 {SONAME} -Wl,-z,now"));
        let root = LambdaRoot::new(Arch::X86_64, &["libc.so.6"]);
        let path = root.path("");
        let text =
            capture(Utf8Path::from_path(&path).unwrap(), "here", "2026-01-01", None).unwrap().captured_text();
        let lambda = LambdaWorld {
            baseline: Baseline::parse(&text).unwrap().into(),
            library_paths: vec![LIBRARY_PATH.to_owned()],
            assume_present: Default::default(),
            binds_now: false,
            tunables: String::new(),
            preload: Vec::new(),
        };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [program, library] = ["program", SONAME].map(|name| fs::read(dir.path().join(name)).unwrap());
        Some(Scene { dir, lambda, program, library })
    }

    /// The first error that is found in a bundle of this program with this library.
    fn refused(&self, program: &[u8], library: &[u8]) -> Option<String> {
        let facts = match elf::parse(program) {
            Ok(facts) => Arc::new(facts),
            Err(error) => return Some(error.to_string()),
        };
        if matches!(facts.object_type, ObjectType::Other(_)) || facts.linkage() == Linkage::SharedLibrary {
            return Some("no program".to_owned());
        }
        let rejected = |error: ElfError| MemberContent::Other(Opened::Rejected(error.to_string()));
        let content =
            elf::parse(library).map_or_else(rejected, |facts| MemberContent::Object(Arc::new(facts)));
        let members = [Member { path: format!("/var/task/lib/{SONAME}"), content }];
        let mut walks = match facts.arch() {
            Some(_) => {
                Installed::new(&self.lambda, members.to_vec()).walks("/var/task/bootstrap", &facts, &[], &[])
            }
            None => Vec::new(),
        };
        self.lambda.check_symbols(&mut walks, &BTreeMap::new());
        let subject = Subject {
            name: "app",
            program: &facts,
            lambda: &self.lambda,
            owner: Owner::Archive,
            members: &members,
            attached: &BTreeSet::new(),
            build: &BuildSide::default(),
        };
        let findings = audit::audit(&subject, &walks);
        let error = findings.into_iter().find(|finding| finding.severity == Severity::Error)?;
        Some(format!("{}: {}", error.code.as_str(), error.message))
    }

    /// What we say of a mutant of the program or of the library, beside the other as it was; and how it goes. It is
    /// written to the directory `mutants`.
    fn both(&self, is_program: bool, mutant: &[u8], mutants: &Path) -> (Option<String>, Real) {
        let dir = self.dir.path();
        let file = mutants.join(if is_program { "program" } else { SONAME });
        fs::write(&file, mutant).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let answers = match is_program {
            true => (self.refused(mutant, &self.library), self.real(&file, dir)),
            false => (self.refused(&self.program, mutant), self.real(&dir.join("program"), mutants)),
        };
        fs::remove_file(&file).unwrap();
        answers
    }

    /// How a real start goes.
    fn real(&self, program: &Path, library_dir: &Path) -> Real {
        // By its path: for a name, and a PATH, std forks in place of `posix_spawn`, and this process is large.
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(START).arg(program).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("LD_LIBRARY_PATH", format!("{}:/lib/x86_64-linux-gnu", library_dir.display()));
        let output = tools::output_unless_busy(&mut command).unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(0) if out == "fine\n" => Real::Fine,
            Some(0 | WRONG_1 | WRONG_2) => Real::Runs,
            _ => Real::Fails(format!("{} {}", output.status, error.lines().last().unwrap_or(""))),
        }
    }
}

/// How a start went.
#[derive(Debug, PartialEq, Eq)]
enum Real {
    /// As that of the original.
    Fine,
    /// `main` was reached, and saw something wrong.
    Runs,
    /// The kernel or ld.so ended it, or it crashed. Says how.
    Fails(String),
}

/// A kind of mutants for which our answer differs from a real start.
struct Kind {
    /// Why only execution can show it.
    why: &'static str,
    /// The beginnings of the fields' names, or parts of our words.
    signs: &'static [&'static str],
    /// The number of mutants at most. Compilers and linkers differ a little.
    most: usize,
}

/// What starts as far as we can tell, and does not, by the fields.
const STARTS_AS_FAR_AS_CAN_BE_TOLD: &[Kind] = &[
    Kind {
        why: "other code, or code that begins elsewhere: a processor runs whatever bytes are there",
        signs: &["ehdr.e_entry", "LOADrx.p_offset", "dynINIT.d_val"],
        most: 12,
    },
    Kind {
        why: "other constants, at another place: nothing but the program's code leads to them",
        signs: &["LOADr.p_offset", "LOADr.p_vaddr"],
        most: 4,
    },
    Kind {
        why: "data that the program writes is read-only: its code alone knows which data that is",
        signs: &["RELRO."],
        most: 4,
    },
    Kind {
        why: "another value in a word, or in another word: each is one that a linker may have written",
        signs: &["rela.r_offset", "rela.r_addend", "rela.r_sym", "rela.r_type", "jmprel.r_sym"],
        most: 40,
    },
];

/// What is refused though it starts, by the words of the answer.
const REFUSED_IN_ANY_CASE: &[Kind] = &[
    Kind {
        why: "the loader reads behind the end of a table, or outside the object: what is there is not in the file",
        signs: &["lies outside", "outside the file", "in its memory", "without an entry"],
        most: 16,
    },
    Kind {
        why: "calls that this program does not make, or makes at its end, would crash",
        signs: &[
            "no DT_PLTREL",
            "procedure linkage table",
            "bound late",
            "change read-only memory",
            "not aligned",
            "without a name",
            "local, hidden or protected",
        ],
        most: 24,
    },
    Kind {
        why: "constants or code that this library does not use are not there",
        signs: &["mapped over", "may be neither read", "longer in memory", "in no loadable segment"],
        most: 12,
    },
];

#[test]
fn mutants_start_if_we_say_so() {
    // The limits are for what this release's toolchain makes of the sources.
    if !tools::require_glibc_before(37) {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let dir = scene.dir.path();
    assert_eq!(scene.refused(&scene.program, &scene.library), None);
    assert_eq!(scene.real(&dir.join("program"), dir), Real::Fine);
    let mut mutants = Vec::new();
    for (is_program, bytes) in [(true, &scene.program), (false, &scene.library)] {
        for field in fields(bytes) {
            let old = number(bytes, field.at, field.size);
            for value in values(old, field.size) {
                let mut mutant = bytes.clone();
                mutant[field.at..][..field.size].copy_from_slice(&value.to_le_bytes()[..field.size]);
                let of = if is_program { "program" } else { "library" };
                let row = format!("{of} {} {old:#x} -> {value:#x}", field.name);
                mutants.push((is_program, field.name.clone(), row, mutant));
            }
        }
    }
    let n_workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut answers: Vec<(usize, (Option<String>, Real))> = std::thread::scope(|scope| {
        let worker = |worker: usize| {
            let (scene, mutants) = (&scene, &mutants);
            scope.spawn(move || {
                let directory = scene.dir.path().join(format!("mutants{worker}"));
                fs::create_dir(&directory).unwrap();
                let own = mutants.iter().enumerate().skip(worker).step_by(n_workers);
                let answer = |(at, (is_program, _, _, mutant)): (usize, &(bool, String, String, Vec<u8>))| {
                    (at, scene.both(*is_program, mutant, &directory))
                };
                own.map(answer).collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..n_workers).map(worker).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    answers.sort_by_key(|(at, _)| *at);
    let mut tally = Tally::default();
    for ((_, field, row, _), (_, (said, real))) in mutants.iter().zip(answers) {
        tally.add(field, row, said, real);
    }
    println!("{}", tally.summary());
    assert!(tally.total > 2000, "{} mutants", tally.total);
    assert!(tally.unexplained.is_empty(), "{:#?}", tally.unexplained);
    let too_many: Vec<&str> =
        tally.kinds.iter().filter(|kind| kind.found > kind.of.most).map(|kind| kind.of.why).collect();
    assert!(too_many.is_empty(), "{too_many:?}\n{}", tally.summary());
}

/// The answers that differ.
#[derive(Default)]
struct Tally {
    total: usize,
    starts: Vec<String>,
    refused: Vec<String>,
    kinds: Vec<Counted>,
    unexplained: Vec<String>,
}

/// A kind, and the number of mutants of it.
struct Counted {
    of: &'static Kind,
    found: usize,
}

impl Tally {
    fn add(&mut self, field: &str, row: &str, said: Option<String>, real: Real) {
        self.total += 1;
        match (said, real) {
            (None, Real::Fails(real)) => {
                self.count(STARTS_AS_FAR_AS_CAN_BE_TOLD, row, |sign| field.starts_with(sign));
                self.starts.push(format!("{row}: {real}"));
            }
            (Some(said), Real::Fine) => {
                self.count(REFUSED_IN_ANY_CASE, row, |sign| said.contains(sign));
                self.refused.push(format!("{row}: {said}"));
            }
            _ => {}
        }
    }

    fn count(&mut self, kinds: &'static [Kind], row: &str, is_it: impl Fn(&str) -> bool) {
        let Some(of) = kinds.iter().find(|kind| kind.signs.iter().any(|sign| is_it(sign))) else {
            self.unexplained.push(row.to_owned());
            return;
        };
        match self.kinds.iter_mut().find(|kind| std::ptr::eq(kind.of, of)) {
            Some(kind) => kind.found += 1,
            None => self.kinds.push(Counted { of, found: 1 }),
        }
    }

    fn summary(&self) -> String {
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .map(|kind| format!("{} of {}: {}", kind.found, kind.of.most, kind.of.why))
            .collect();
        format!(
            "{} mutants\n{} start, we say, and do not:\n{}\n{} are refused and start:\n{}\n{}",
            self.total,
            self.starts.len(),
            self.starts.join("\n"),
            self.refused.len(),
            self.refused.join("\n"),
            kinds.join("\n"),
        )
    }
}

/// Neither a program nor a library of this machine, whoever linked it, has a fault.
#[test]
fn what_is_installed_has_no_fault() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    let system = ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/aarch64-linux-gnu/lib"];
    let mut directories: Vec<PathBuf> = system.map(PathBuf::from).to_vec();
    directories.extend(["bin", "lib"].map(|name| Path::new(sysroot.trim()).join(name)));
    let (mut n_files, mut wrong) = (0, Vec::new());
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let Some(facts) = facts_of(&path) else { continue };
            if facts.arch().is_none() || matches!(facts.object_type, ObjectType::Other(_)) {
                continue;
            }
            n_files += 1;
            let fault = match facts.linkage() {
                Linkage::SharedLibrary => facts.library_fault(),
                _ => facts.program_fault(),
            };
            wrong.extend(fault.map(|fault| format!("{}: {:?}, {fault}", path.display(), facts.linkage())));
        }
    }
    println!("{n_files} files");
    assert!(n_files > 300, "{n_files} files");
    assert_eq!(wrong, [""; 0]);
}

/// The facts of a regular file, where it is an ELF file.
fn facts_of(path: &Path) -> Option<ElfFacts> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let mut file = fs::File::open(path).ok()?;
    let read = |range: Range<u64>| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    elf::parse_ranges(metadata.len(), read).ok()?.ok()
}
