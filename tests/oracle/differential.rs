//! The model against the real ld.so, for every program and library of this machine; outside CI, for every fourth.
//!
//! ld.so is asked with LD_TRACE_LOADED_OBJECTS=1, which loads and executes nothing of the file but its
//! libraries' headers. Where the two differ, [`Explained`] has to name the rule of ld.so that makes the
//! question itself a different one; any other difference fails the test.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::objects::{ARM64, Has, Tree, X86_64};
use crate::support::real_loader::{self, Answer, LD_SO};
use crate::support::tools;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, ElfFacts, Libc};
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{self, Rules};
use cargo_lambda_bundle::paths::parent;
use cargo_lambda_bundle::world::{Files, OpenFile, Opened};

/// Why ld.so's answer for a file says nothing about the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Explained {
    /// The kernel would start another interpreter, which has its own rules (musl).
    OtherInterpreter,
    /// Neither takes the file itself, each in its own words; no needs are looked at. Such are files with
    /// debugging information: they have a PT_DYNAMIC, and nothing in it.
    RefusedByBoth,
}

/// What the two sides said about one file.
struct Compared {
    file: PathBuf,
    model: Answer,
    real: Answer,
    explained: Option<Explained>,
    model_time: Duration,
    real_time: Duration,
}

/// Dynamic 64-bit files of one machine below `roots`, by real path.
fn dynamic_files(roots: &[&str], machine: u16) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let mut seen = BTreeSet::new();
    while let Some(directory) = pending.pop() {
        let Ok(directory) = directory.canonicalize() else { continue };
        if !seen.insert(directory.clone()) {
            continue;
        }
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if (kind.is_file() || kind.is_symlink())
                && let Ok(path) = entry.path().canonicalize()
                && path.is_file()
                && has_dynamic_header(&path, machine)
            {
                found.insert(path);
            }
        }
    }
    found.into_iter().collect()
}

/// Whether the file is ELF64, ET_EXEC or ET_DYN, with a PT_DYNAMIC. Not the crate's own parser.
fn has_dynamic_header(path: &Path, machine: u16) -> bool {
    use std::io::Read;
    let mut head = Vec::new();
    let Ok(file) = std::fs::File::open(path) else { return false };
    if file.take(4096).read_to_end(&mut head).is_err() || head.len() < 64 {
        return false;
    }
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if head[..6] != *b"\x7fELF\x02\x01" || half(18) != machine || ![2, 3].contains(&half(16)) {
        return false;
    }
    let start = u64::from_le_bytes(head[32..40].try_into().unwrap()) as usize;
    (0..usize::from(half(56)))
        .any(|index| head.get(start + index * 56..).is_some_and(|h| h.starts_with(&[2, 0, 0, 0])))
}

fn compare(files: &DiskFiles, rules: &Rules, file: &Path, library_path: Option<&str>) -> Compared {
    let path = file.to_str().unwrap();
    let clock = Instant::now();
    let opened = files.open(path);
    let mut explained = None;
    let mut refused = false;
    let model = match opened {
        Opened::File(open) => {
            explained = explain(open.object.elf().unwrap());
            walk(files, rules, path, open, library_path)
        }
        other => {
            refused = matches!(other, Opened::Rejected(_));
            Answer { fatal: Some(format!("{other:?}")), ..Answer::default() }
        }
    };
    let model_time = clock.elapsed();
    let clock = Instant::now();
    let real = real_loader::ask_ld_so(file, library_path, Path::new("/"));
    let real_time = clock.elapsed();
    if refused && real.fatal.as_ref().is_some_and(|why| why.starts_with(&format!("{path}: "))) {
        explained = Some(Explained::RefusedByBoth);
    }
    Compared { file: file.to_owned(), model, real, explained, model_time, real_time }
}

fn walk(files: &DiskFiles, rules: &Rules, path: &str, root: OpenFile, library_path: Option<&str>) -> Answer {
    let library_path = library_path.map(str::to_owned);
    let world = World { files, rules: rules.clone(), library_path, working_directory: "/".into() };
    let closure = loader::walk(&world, path, parent(path), root, &[]);
    real_loader::answer_of(&closure, &world.rules)
}

fn explain(facts: &ElfFacts) -> Option<Explained> {
    match facts.interpreter.as_deref() {
        Some(interpreter) if interpreter != LD_SO => Some(Explained::OtherInterpreter),
        _ => None,
    }
}

/// How long ldd, which starts a shell and ld.so once or twice for each file, takes.
fn time_of_ldd<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Duration {
    let clock = Instant::now();
    for file in files {
        real_loader::pinned("ldd").arg(file).output().unwrap();
    }
    clock.elapsed()
}

#[test]
fn the_model_agrees_with_ld_so_on_every_file_of_this_machine() {
    if Path::new(LD_SO).exists() || tools::skip("glibc's ld.so (apt: libc6)") {
        let compared = compare_all(None);
        assert!(!tools::is_ci() || compared.len() >= 2000, "install more packages");
    }
}

/// Nearly every program needs one of a few libraries. With bad copies of those before the good ones, nearly
/// every program has something that is wrong.
#[test]
fn the_model_agrees_with_ld_so_when_common_libraries_are_replaced_by_bad_ones() {
    let glibc = Path::new(LD_SO).exists() || tools::skip("glibc's ld.so (apt: libc6)");
    if !glibc || !tools::require("ld", "binutils") || !tools::require("as", "binutils") {
        return;
    }
    let t = Tree::new(X86_64);
    // Too old, without any node, with needs that are not there, and with an RPATH that is inherited.
    t.library(
        "libstdc++.so.6",
        Has::nothing().soname("libstdc++.so.6").nodes(&["GLIBCXX_3.4", "CXXABI_1.3"]),
    );
    t.library("libm.so.6", Has::nothing().soname("libm.so.6").nodes(&["GLIBC_2.2.5", "GLIBC_2.29"]));
    t.library("libz.so.1", Has::needed(&["libc.so.6", "libnowhere.so"]).soname("libz.so.1"));
    t.library("libgcc_s.so.1", Has::needed(&["libdeep.so"]).rpath("$ORIGIN/deep"));
    t.library("deep/libdeep.so", Has::needed(&["libm.so.6", "libX11.so.6"]))
        .library("deep/libX11.so.6", Has::nothing());
    // Passed over, and fatal.
    t.symlink("libpthread.so.0", "libpthread.so.0").write("libGL.so.1", "text ".repeat(20));
    t.symlink("libglib-2.0.so.0", "nowhere").directory("libpq.so.5");
    let compared = compare_all(t.path("").to_str());
    let with_messages = compared.iter().filter(|one| !one.real.versions.is_empty()).count();
    assert!(with_messages * 10 > compared.len(), "{with_messages}");
}

/// Asks both about every file, prints what came out, and fails for a difference that has no reason.
fn compare_all(library_path: Option<&str>) -> Vec<Compared> {
    assert!(!Path::new("/etc/ld.so.preload").exists(), "ld.so would load what /etc/ld.so.preload names");
    let clock = Instant::now();
    let mut paths =
        dynamic_files(&["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"], Arch::X86_64.machine());
    if tools::takes_a_part("programs and libraries of this machine") {
        paths = paths.into_iter().step_by(4).collect();
    }
    let scan_time = clock.elapsed();
    let next = AtomicUsize::new(0);
    let clock = Instant::now();
    let mut compared: Vec<Compared> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let files = DiskFiles::new(None, Vec::new(), Vec::new());
                    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
                    std::iter::from_fn(|| paths.get(next.fetch_add(1, Ordering::Relaxed)))
                        .map(|path| compare(&files, &rules, path, library_path))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let wall_time = clock.elapsed();
    compared.sort_by(|a, b| a.file.cmp(&b.file));

    let (agreed, differing): (Vec<_>, Vec<_>) = compared.iter().partition(|one| one.model == one.real);
    let mut explained: BTreeMap<Explained, usize> = BTreeMap::new();
    let mut unexplained = 0;
    for one in &differing {
        match one.explained {
            Some(why) => *explained.entry(why).or_default() += 1,
            None => unexplained += 1,
        }
        if one.explained == Some(Explained::RefusedByBoth) {
            continue;
        }
        println!("{}: {:?}", one.file.display(), one.explained);
        for (side, answer, other) in [("model", &one.model, &one.real), ("ld.so", &one.real, &one.model)] {
            for line in answer.objects.iter().filter(|line| !other.objects.contains(line)) {
                println!("  only {side}: {line}");
            }
            for line in answer.versions.iter().filter(|line| !other.versions.contains(line)) {
                println!("  only {side}: {line}");
            }
            println!("  {side}: {} objects, fatal: {:?}", answer.objects.len(), answer.fatal);
        }
    }
    let not_found = compared
        .iter()
        .filter(|one| one.real.objects.iter().any(|line| line.ends_with("=> not found")))
        .count();
    let versions = compared.iter().filter(|one| !one.real.versions.is_empty()).count();
    let fatal = compared.iter().filter(|one| one.real.fatal.is_some()).count();
    let worst = compared.iter().max_by_key(|one| one.model_time).unwrap();
    println!(
        "LD_LIBRARY_PATH {library_path:?}: {} files, {} agree, {} differ for a reason {explained:?}, {unexplained} differ without; \
         {not_found} with something not found, {versions} with version messages, {fatal} that do not start",
        compared.len(),
        agreed.len(),
        differing.len() - unexplained,
    );
    println!(
        "found in {scan_time:.1?}, compared in {wall_time:.1?}: model {:.1?}, ld.so {:.1?} of two threads; \
         longest walk {:.1?}, {}; most objects {}",
        compared.iter().map(|one| one.model_time).sum::<Duration>(),
        compared.iter().map(|one| one.real_time).sum::<Duration>(),
        worst.model_time,
        worst.file.display(),
        compared.iter().map(|one| one.real.objects.len()).max().unwrap(),
    );
    println!(
        "ldd takes {:.1?} for 40 of them",
        time_of_ldd(paths.iter().step_by((paths.len() / 40).max(1)).take(40))
    );
    assert_eq!(unexplained, 0, "the model and ld.so differ; see above");
    compared
}

/// The root of Debian's cross compiler for arm64.
const CROSS_ROOT: &str = "/usr/aarch64-linux-gnu";

/// Every arm64 library of the cross root, seen as a root of its own and as a directory of this machine, and
/// a program beside it.
#[test]
fn the_model_agrees_with_the_arm64_ld_so_on_the_cross_root() {
    if !tools::require("qemu-aarch64-static", "qemu-user-static")
        || !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    {
        return;
    }
    let clock = Instant::now();
    let sysroot = DiskFiles::new(Some(CROSS_ROOT.into()), Vec::new(), Vec::new());
    let host = DiskFiles::new(None, Vec::new(), Vec::new());
    let rules = [&sysroot, &host].map(|files| build_world::rules(files, Arch::Arm64, Libc::Glibc));
    let paths = dynamic_files(&[CROSS_ROOT], Arch::Arm64.machine());
    let mut differing = 0;
    let mut check = |side: &str, file: &Path, model: &Answer, real: &Answer| {
        if model != real {
            println!("{} ({side}): model {model:#?}, ld.so {real:#?}", file.display());
            differing += 1;
        }
    };
    for file in &paths {
        let path = file.to_str().unwrap();
        let inside = path.strip_prefix(CROSS_ROOT).unwrap();
        let real = real_loader::ask_arm64_ld_so(CROSS_ROOT, inside, None, Path::new("/"));
        let Opened::File(root) = sysroot.open(inside) else { panic!("{inside} can be read") };
        check("sysroot", file, &walk(&sysroot, &rules[0], inside, root, None), &real);
        let Opened::File(root) = host.open(path) else { panic!("{path} can be read") };
        check("host", file, &outside(walk(&host, &rules[1], path, root, None)), &real);
    }

    // As a program is built: its libraries in a directory of their own, the system's in the cross root.
    let t = Tree::new(ARM64);
    let source = "int f(void); int main(void) { return f(); }";
    t.write("f.c", "int f(void) { return 0; }").write("main.c", source);
    let compile = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| t.long(argument));
        assert!(Command::new("aarch64-linux-gnu-gcc").args(arguments).status().unwrap().success());
    };
    t.directory("lib");
    compile(&[
        "-shared",
        "-Wl,-soname,libf.so.1",
        "T/f.c",
        "-o",
        "T/lib/libf.so.1",
        "-lm",
        "-Wl,--no-as-needed",
    ]);
    compile(&[
        "T/main.c",
        "T/lib/libf.so.1",
        "-o",
        "T/prog",
        "-Wl,--disable-new-dtags,-rpath,$ORIGIN/$LIB:$ORIGIN/$PLATFORM",
    ]);
    let program = t.path("prog");
    let program = program.to_str().unwrap();
    let ask = |library_path: Option<&str>| {
        let files = DiskFiles::new(None, Vec::new(), Vec::new());
        let library_path = library_path.map(|value| t.long(value));
        let directory = t.path("");
        let real = real_loader::ask_arm64_ld_so(CROSS_ROOT, program, library_path.as_deref(), &directory);
        let Opened::File(root) = files.open(program) else { panic!("{program} can be read") };
        let rules = build_world::rules(&files, Arch::Arm64, Libc::Glibc);
        let world = World {
            files: &files,
            rules,
            library_path,
            working_directory: directory.to_str().unwrap().into(),
        };
        let closure = loader::walk(&world, program, parent(program), root, &[]);
        assert_eq!(outside(real_loader::answer_of(&closure, &world.rules)), real);
        real.objects.iter().map(|line| t.short(line)).find(|line| line.starts_with("libf.so.1")).unwrap()
    };
    assert_eq!(ask(None), "libf.so.1 => not found");
    assert_eq!(ask(Some("T/none:T/lib")), "libf.so.1 => T/lib/libf.so.1");
    // From the last that is tried to the first.
    for directory in ["aarch64", "aarch64/atomics", "aarch64/tls", "lib/aarch64-linux-gnu"] {
        t.directory(directory);
        std::fs::copy(t.path("lib/libf.so.1"), t.path(directory).join("libf.so.1")).unwrap();
        assert_eq!(ask(Some("T/lib")), format!("libf.so.1 => T/{directory}/libf.so.1"));
    }
    println!("{} arm64 files, {differing} answers differ; {:.1?}", paths.len(), clock.elapsed());
    assert_eq!(differing, 0);
    assert!(paths.len() > 20, "{paths:?}");
}

/// Paths of the cross root as that root's programs see them.
fn outside(mut answer: Answer) -> Answer {
    for line in answer.objects.iter_mut().chain(&mut answer.versions) {
        *line = line.replace(&format!("{CROSS_ROOT}/lib/"), "/lib/");
    }
    answer
}
