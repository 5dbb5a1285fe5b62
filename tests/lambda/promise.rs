//! The promise: an archive that we write starts, and what starts is not refused.
//!
//! Each row of `promise/rows` is built by real compilers, judged by our binary and really started in a root like
//! Lambda's. A row is asked several questions: for the embedded table, for a captured baseline of the very root,
//! with `--libc bundle`; and `verify` judges every archive that was written, also one that was refused.
//!
//! Wrong are "exit 0, and it fails" and "refused, and it starts". `EXCEPTIONS` names those that only execution
//! can tell.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

#[path = "promise/exceptions.rs"]
mod exceptions;
#[path = "promise/judge.rs"]
mod judge;
#[path = "promise/rows.rs"]
mod rows;
#[path = "promise/scenario.rs"]
mod scenario;
#[path = "promise/start.rs"]
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::command::run;
use crate::support::compile::Compiler;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::{debian, tools};
use cargo_lambda_bundle::elf::Arch;
use exceptions::EXCEPTIONS;
use judge::{Answer, Asked, Bench};
use scenario::{Claim, Scenario, System, Toolchain};
use start::{Job, Reality};

#[test]
fn what_is_written_starts_on_x86_64() {
    keep_the_promise(Arch::X86_64, 150);
}

#[test]
fn what_is_written_starts_on_arm64() {
    keep_the_promise(Arch::Arm64, 50);
}

/// Whether the machine has the compilers of all rows.
#[track_caller]
fn require(arch: Arch) -> bool {
    let needed: &[(&str, &str)] = match arch {
        Arch::X86_64 => &[
            ("cc", "gcc"),
            ("c++", "g++"),
            ("musl-gcc", "musl-tools"),
            ("patchelf", "patchelf"),
            ("zip", "zip"),
            ("python3", "python3"),
        ],
        Arch::Arm64 => &[("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"), ("zip", "zip")],
    };
    needed.iter().all(|(tool, package)| tools::require(tool, package))
        && lambda_root::require(arch)
        && tools::require_target("aarch64-unknown-linux-gnu")
}

#[track_caller]
fn keep_the_promise(arch: Arch, at_least: usize) {
    if !require(arch) {
        return;
    }
    let Some(bullseye) = debian::DEBIAN_11.unpacked() else { return };
    // For one row while it is being written: its name, or the beginning of it.
    let only = std::env::var("PROMISE_ROW").unwrap_or_default();
    let mut rows = rows::all();
    rows.retain(|row| (arch == Arch::X86_64 || row.on_arm64) && row.name.starts_with(&only));
    assert!(rows.len() >= at_least || !only.is_empty(), "only {} rows", rows.len());
    let all_rows = only.is_empty() && !tools::takes_a_part("rows of the promise");
    if only.is_empty() && !all_rows {
        let step = if arch == Arch::X86_64 { 3 } else { 4 };
        rows = rows.into_iter().step_by(step).collect();
    }

    let work = tempfile::tempdir().unwrap();
    let host = LambdaRoot::new(arch, &provided_al2023(arch));
    add_system_libraries(&host, arch);
    let older = LambdaRoot::of_system(&bullseye, Arch::X86_64, &provided_al2023(Arch::X86_64));
    let (captured, captured_bullseye) = (work.path().join("host"), work.path().join("bullseye"));
    capture(&host, &captured);
    capture(&older, &captured_bullseye);
    let toolchain = Toolchain { arch, bullseye: &bullseye };
    let bench = Bench { toolchain, host: &captured, captured_bullseye: &captured_bullseye };
    let asked = judge_all(&bench, &rows, work.path());

    let mut realities = BTreeMap::new();
    for (system, root) in [(System::Host, &host), (System::Bullseye, &older)] {
        let here = asked.iter().filter(|asked| rows[asked.row].system == system);
        let jobs: BTreeSet<Job> = here.flat_map(|asked| asked.jobs.iter().cloned()).collect();
        let jobs: Vec<Job> = jobs.into_iter().collect();
        realities.extend(start::start_all(root, &jobs, workers()));
    }
    conclude(arch, &rows, &asked, &realities, all_rows);
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(4)
}

/// Builds libraries into the root that only its capture knows.
#[track_caller]
fn add_system_libraries(root: &LambdaRoot, arch: Arch) {
    let directory = root.path("usr/lib64");
    let compiler = match arch {
        Arch::X86_64 => Compiler(&["cc"]),
        Arch::Arm64 => Compiler(&["aarch64-linux-gnu-gcc"]),
    };
    for [file, source, nodes, flags] in rows::pins::SYSTEM_LIBRARIES {
        let map = root.path("tmp").join(file);
        let script = match nodes.is_empty() {
            true => String::new(),
            false => format!("-Wl,--version-script={}", map.display()),
        };
        std::fs::write(&map, nodes).unwrap();
        let flags = format!("-shared -fPIC -Wl,-soname,{file} {script} {flags}");
        compiler.compile(&directory, source, file, &flags);
    }
}

#[track_caller]
fn capture(root: &LambdaRoot, to: &Path) {
    let directory = root.path("");
    run(&directory, &format!("baseline capture --root {} -o {}", directory.display(), to.display())).exits(0);
}

/// Builds and judges all rows, a few at a time.
fn judge_all(bench: &Bench, rows: &[Scenario], work: &Path) -> Vec<Asked> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = rows.get(row) else { break };
                    let dir = work.join(row.to_string());
                    std::fs::create_dir(&dir).unwrap();
                    let judged = catch_unwind(AssertUnwindSafe(|| bench.judge(row, scenario, &dir)));
                    // One row that cannot be built does not hide what the others show; `unshown` names it.
                    all.lock().unwrap().extend(judged.unwrap_or_default());
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    all.sort_by_key(|asked| asked.row);
    all
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Exit 0, and it fails.
    Fails,
    /// Refused, and it starts.
    Starts,
}

/// What is wrong with one answer, if anything.
fn wrong(row: &Scenario, asked: &Asked, realities: &BTreeMap<Job, Reality>) -> Option<Wrong> {
    let starts = asked.jobs.iter().any(|job| realities[job].starts);
    match &asked.answer {
        Answer::Yes if !asked.jobs.first().is_some_and(|job| realities[job].starts) => Some(Wrong::Fails),
        // What starts is not what the user wished.
        Answer::No(codes) if row.refused_wish.is_some_and(|code| codes == code) => None,
        Answer::No(_) | Answer::Error(_) if starts => Some(Wrong::Starts),
        _ => None,
    }
}

/// Prints the totals, and fails if an answer is wrong that is no exception, or a row no longer shows its case.
#[track_caller]
fn conclude(
    arch: Arch,
    rows: &[Scenario],
    asked: &[Asked],
    realities: &BTreeMap<Job, Reality>,
    all_rows: bool,
) {
    let verbose = std::env::var_os("PROMISE_ROW").is_some();
    let mut report = String::new();
    let mut counts: BTreeMap<Wrong, usize> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for one in asked {
        let name = &rows[one.row].name;
        if verbose {
            let starts: Vec<_> = one.jobs.iter().map(|job| &realities[job]).collect();
            eprintln!("{name}, {}: {:?}\n{}{starts:#?}", one.question, one.answer, one.text);
        }
        let Some(word) = wrong(&rows[one.row], one, realities) else { continue };
        let known = EXCEPTIONS
            .iter()
            .position(|it| it.row == *name && it.wrong == word && it.questions.contains(&one.question));
        let Some(known) = known else {
            *counts.entry(word).or_default() += 1;
            let reality = one.jobs.first().map(|job| realities[job].text.replace('\n', " / "));
            let answer = &one.answer;
            writeln!(
                report,
                "{word:?}: {name} ({}): {answer:?}; {}",
                one.question,
                reality.unwrap_or_default()
            )
            .unwrap();
            continue;
        };
        used.insert((known, one.question));
    }
    let of = |word: Wrong| counts.get(&word).copied().unwrap_or_default();
    let unshown = unshown(rows, asked, realities);
    let started = realities.values().filter(|reality| reality.starts).count();
    let totals = format!(
        "{arch:?}: {} scenarios, {} answers, {} starts ({started} well): {} exit 0 and fail, {} refused and start, \
         {} exceptions\n",
        rows.len(),
        asked.len(),
        realities.len(),
        of(Wrong::Fails),
        of(Wrong::Starts),
        used.len(),
    );
    // Not `eprint!`: the test harness keeps to itself what a passing test prints.
    std::io::stderr().write_all(totals.as_bytes()).expect("stderr can be written");
    assert!(report.is_empty() && unshown.is_empty(), "{totals}{report}{unshown}");
    assert!(!all_rows || stale(rows, &used).is_empty(), "no exceptions any more: {:?}", stale(rows, &used));
}

/// Exceptions for which no answer is wrong any more.
fn stale<'a>(rows: &[Scenario], used: &BTreeSet<(usize, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let listed = EXCEPTIONS.iter().enumerate().filter(|(_, it)| rows.iter().any(|row| row.name == it.row));
    let each =
        listed.flat_map(|(index, it)| it.questions.iter().map(move |question| (index, it.row, *question)));
    each.filter(|(index, _, question)| !used.contains(&(*index, *question)))
        .map(|(_, row, question)| (row, question))
        .collect()
}

/// Rows of which the reality is not what the row claims.
fn unshown(rows: &[Scenario], asked: &[Asked], realities: &BTreeMap<Job, Reality>) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let jobs: BTreeSet<&Job> =
            asked.iter().filter(|it| it.row == index).flat_map(|it| &it.jobs).collect();
        let found: Vec<&Reality> = jobs.into_iter().map(|job| &realities[job]).collect();
        let shown = match row.claim {
            Claim::Starts => found.iter().any(|it| it.starts),
            Claim::Fails(reason) => {
                found.iter().any(|it| it.text.contains(reason)) && found.iter().all(|it| !it.starts)
            }
        };
        if !shown {
            let found: Vec<_> = found.iter().map(|it| it.text.replace('\n', " / ")).collect();
            let questions: Vec<_> =
                asked.iter().filter(|it| it.row == index).map(|it| (it.question, &it.answer)).collect();
            writeln!(text, "not as claimed: {}: {:?}, found {found:?} {questions:?}", row.name, row.claim)
                .unwrap();
        }
    }
    text
}
