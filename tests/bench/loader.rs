//! How long it takes to say what every program and library of this machine would load: ours, `ldd` and, where
//! it is installed, `lddtree` (pax-utils), over the same files in the same run.
//!
//! `cargo bench --bench loader [STEP]` takes every STEP-th file (10 unless said). Ratios, not seconds, are the
//! result: both sides see the same machine, warm caches and the same load.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark looks at files and clocks"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::paths::parent;
use cargo_lambda_bundle::world::{Files, Opened};

fn main() {
    let step = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let mut files = Vec::new();
    for root in ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"] {
        collect(Path::new(root), &mut files);
    }
    files.sort();
    files.dedup();
    let files: Vec<PathBuf> = files.into_iter().step_by(step).collect();
    println!("{} files, every {step}th; warm caches, one thread", files.len());

    ours(&files);
    let (ours, n_objects) = median(5, || ours(&files));
    println!("ours     {ours:>10.1?}  {n_objects} objects");
    // `lddtree` is a shell script and takes minutes: once is enough to see by how much.
    for (tool, n_runs) in [("ldd", 5), ("lddtree", 1)] {
        if Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            println!("{tool:<8} not installed");
            continue;
        }
        let (theirs, ()) = median(n_runs, || run(tool, &files));
        println!("{tool:<8} {theirs:>10.1?}  {:.1} x ours", theirs.as_secs_f64() / ours.as_secs_f64());
    }
}

/// The median of some runs.
fn median<T>(n_runs: usize, mut job: impl FnMut() -> T) -> (Duration, T) {
    let mut runs: Vec<(Duration, T)> = (0..n_runs)
        .map(|_| {
            let clock = Instant::now();
            let result = job();
            (clock.elapsed(), result)
        })
        .collect();
    runs.sort_by_key(|(elapsed, _)| *elapsed);
    runs.swap_remove(n_runs / 2)
}

/// Walks each file's closure and checks its versions, each library read once for all of them.
fn ours(paths: &[PathBuf]) -> usize {
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
    let mut n_objects = 0;
    for path in paths {
        let path = path.to_str().expect("paths of Debian are UTF-8");
        let Opened::File(root) = files.open(path) else { continue };
        let world = World {
            files: &files,
            rules: rules.clone(),
            library_path: None,
            working_directory: "/".to_owned(),
        };
        let closure = loader::walk(&world, path, parent(path), root, &[]);
        n_objects += closure.objects.len() + loader::check_versions(&closure, &rules).len();
    }
    n_objects
}

fn run(tool: &str, paths: &[PathBuf]) {
    for path in paths {
        // What is not found, or no dynamic program, is an answer, too.
        let _ = Command::new(tool).arg(path).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != "debug" => collect(&path, found),
            Ok(kind) if kind.is_file() && is_dynamic(&path) => found.push(path),
            _ => {}
        }
    }
}

/// ELF64, x86_64, a program or library.
fn is_dynamic(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 20];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head.starts_with(b"\x7fELF\x02\x01")
        && matches!(head[16], 2 | 3)
        && head[18] == 62
}
