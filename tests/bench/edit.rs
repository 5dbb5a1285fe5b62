//! How long an edit of a large program takes beside a copy of the file, in the same run.
//!
//! `cargo bench --bench edit [FILE]` takes FILE, or the largest dynamic program of /usr/bin. Both sides read the
//! file and write a new one; caches are warm. The ratio of the medians is the result.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark looks at files and clocks"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cargo_lambda_bundle::repair::{Edits, edit};

fn main() {
    let named = std::env::args().skip(1).map(PathBuf::from).find(|path| path.is_file());
    let Some(file) = named.or_else(largest) else {
        println!("no program in /usr/bin can be edited");
        return;
    };
    let directory = std::env::temp_dir();
    let (copied, edited) = (directory.join("edit-bench-copy"), directory.join("edit-bench-edit"));
    let edits = Edits {
        rpath: Some("/var/task/libc".into()),
        interpreter: Some("/var/task/libc/ld-linux-x86-64.so.2".into()),
        ..Edits::default()
    };
    let copy = || {
        std::fs::write(&copied, std::fs::read(&file).expect("the file")).expect("a copy");
    };
    let change = || {
        let bytes = std::fs::read(&file).expect("the file");
        std::fs::write(&edited, edit(&bytes, &edits).expect("an edit").bytes).expect("the edited file");
    };
    let (copy, change) = (median(9, copy), median(9, change));
    let megabytes = std::fs::metadata(&file).map_or(0, |file| file.len()) / 1_000_000;
    println!("{} ({megabytes} MB): copy {copy:.1?}, edit {change:.1?}", file.display());
    println!("edit / copy = {:.2} (budget 2)", change.as_secs_f64() / copy.as_secs_f64());
    for path in [copied, edited] {
        let _ = std::fs::remove_file(path);
    }
}

/// The largest program of /usr/bin that can be edited.
fn largest() -> Option<PathBuf> {
    let mut files: Vec<(u64, PathBuf)> = std::fs::read_dir(Path::new("/usr/bin"))
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path().canonicalize().ok()?;
            Some((path.metadata().ok()?.len(), path))
        })
        .collect();
    files.sort();
    let edits = Edits { rpath: Some("/x".into()), ..Edits::default() };
    files
        .into_iter()
        .rev()
        .map(|(_, path)| path)
        .find(|path| std::fs::read(path).is_ok_and(|bytes| edit(&bytes, &edits).is_ok()))
}

fn median(n_runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..n_runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
