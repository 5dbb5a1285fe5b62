//! What the real loaders of this machine say, and what the model says, in the same words.
//!
//! glibc's ld.so prints what it would load when LD_TRACE_LOADED_OBJECTS is set and then ends: no program
//! runs. Its lines are `name => path (0x...)`, `path (0x...)` and `name => not found`; version errors go to
//! stderr. The vDSO and ld.so itself are left out, since ld.so puts them where it likes.

use std::path::Path;
use std::process::{Command, Output};

use super::tools;
use cargo_lambda_bundle::loader::{Closure, Outcome, Rule, Rules, VersionAnswer, check_versions};

pub const LD_SO: &str = "/lib64/ld-linux-x86-64.so.2";

/// The answer to one question.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `name => path` in load order; `path` is "not found" for what was not found.
    pub objects: Vec<String>,
    /// Lines about version nodes, sorted.
    pub versions: Vec<String>,
    /// The file that ends the start, and ld.so's reason. Then the rest is empty.
    pub fatal: Option<String>,
}

/// A command with nothing in its environment that a loader reads.
pub fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LD_")) {
        command.env_remove(name);
    }
    command.env_remove("GLIBC_TUNABLES").env("LC_ALL", "C");
    command
}

/// Starts a program that this process may have written a moment ago.
pub fn started(command: &mut Command) -> Output {
    tools::unless_busy(|| command.output()).unwrap()
}

/// Asks ld.so what it would load for `file`, a program or a library. `file` is not executed.
pub fn ask_ld_so(file: &Path, library_path: Option<&str>, directory: &Path) -> Answer {
    let mut command = pinned(LD_SO);
    command.arg(file).env("LD_TRACE_LOADED_OBJECTS", "1").current_dir(directory);
    if let Some(value) = library_path {
        command.env("LD_LIBRARY_PATH", value);
    }
    read_trace(&command.output().unwrap())
}

/// Lets the kernel start `program`; its loader prints what it would load and ends.
pub fn ask_by_start(program: &Path, library_path: Option<&str>, directory: &Path) -> Answer {
    let mut command = pinned(program);
    command.env("LD_TRACE_LOADED_OBJECTS", "1").current_dir(directory);
    if let Some(value) = library_path {
        command.env("LD_LIBRARY_PATH", value);
    }
    read_trace(&started(&mut command))
}

/// Asks arm64's ld.so below `root` about a file of that root, or of the machine.
pub fn ask_arm64_ld_so(root: &str, file: &str, library_path: Option<&str>, directory: &Path) -> Answer {
    let mut command = pinned("qemu-aarch64-static");
    command.args(["-L", root, "-E", "LD_TRACE_LOADED_OBJECTS=1"]).current_dir(directory);
    if let Some(value) = library_path {
        command.arg("-E").arg(format!("LD_LIBRARY_PATH={value}"));
    }
    command.arg(format!("{root}/lib/ld-linux-aarch64.so.1")).arg(file);
    read_trace(&command.output().unwrap())
}

/// Reads what ld.so printed.
pub fn read_trace(output: &Output) -> Answer {
    let mut answer = Answer::default();
    for line in String::from_utf8_lossy(&output.stdout).lines().map(str::trim) {
        if line.is_empty() || line == "statically linked" {
            continue;
        }
        let line = line.rsplit_once(" (0x").map_or(line, |(line, _)| line);
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        if !is_loader(name) && !is_loader(path) {
            answer.objects.push(format!("{name} => {path}"));
        }
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if let Some((_, what)) = line.split_once("error while loading shared libraries: ") {
            answer.fatal = Some(file_and_reason(what));
        } else if line.starts_with("Inconsistency detected") {
            answer.fatal = Some("assertion".to_owned());
        } else {
            // The first part is the name of the program.
            answer.versions.push(line.split_once(": ").map_or(line, |(_, rest)| rest).to_owned());
        }
    }
    answer.versions.sort();
    if answer.fatal.is_some() {
        answer.objects.clear();
        answer.versions.clear();
    }
    answer
}

/// The file and ld.so's reason; behind that either side may go on in its own words.
fn file_and_reason(text: &str) -> String {
    text.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ")
}

fn is_loader(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.starts_with("ld-linux-") || name.starts_with("linux-vdso")
}

/// The model's answer in the words of ld.so.
pub fn answer_of(closure: &Closure, rules: &Rules) -> Answer {
    let mut answer = Answer::default();
    let mut named = vec![false; closure.objects.len()];
    for need in &closure.needs {
        match &need.outcome {
            Outcome::Loaded(index) => {
                let object = &closure.objects[*index];
                if *index > 0 && !std::mem::replace(&mut named[*index], true) && !is_loader(&object.path) {
                    answer.objects.push(format!("{} => {}", object.names[0], object.path));
                }
            }
            Outcome::Missing(_) => answer.objects.push(format!("{} => not found", need.name)),
            Outcome::Fatal { path, reason } => {
                answer.fatal.get_or_insert_with(|| file_and_reason(&format!("{path}: {reason}")));
            }
        }
    }
    let missing = |file: &str| {
        closure.needs.iter().any(|need| need.name == file && matches!(need.outcome, Outcome::Missing(_)))
    };
    for check in check_versions(closure, rules) {
        let by = &closure.objects[check.by].path;
        let of = check.object.map_or("", |index| &closure.objects[index].path);
        let node = &check.need.node;
        let weak = if check.need.weak { "weak " } else { "" };
        match check.answer {
            VersionAnswer::NotThere => {
                answer.versions.push(format!("{of}: {weak}version `{node}' not found (required by {by})"));
            }
            VersionAnswer::NoVersions => {
                answer.versions.push(format!("{of}: no version information available (required by {by})"));
            }
            // In a trace ld.so puts a stub for what it did not find and asks it for no version.
            VersionAnswer::NoSuchFile if missing(&check.need.file) => {}
            VersionAnswer::NoSuchFile => {
                answer.fatal.get_or_insert_with(|| "assertion".to_owned());
            }
            // An interpreter that is in no named place, as that of a foreign machine.
            VersionAnswer::Unknown => {}
            other => panic!("a disk has no such object: {other:?}"),
        }
    }
    answer.versions.sort();
    if answer.fatal.is_some() {
        answer.objects.clear();
        answer.versions.clear();
    }
    answer
}

/// The rule by which the model found the object of this name first.
pub fn rule_of(closure: &Closure, name: &str) -> Option<Rule> {
    closure.needs.iter().find(|need| need.name == name).map(|need| need.rule)
}

/// What musl's loader says: what loads, and what it misses, each in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MuslAnswer {
    /// `name => path` in load order, without musl itself.
    pub objects: Vec<String>,
    /// `name (needed by path)`. Why is left out: musl gives the last error number, which can be any.
    pub missing: Vec<String>,
}

/// Reads what `ld-musl-x86_64.so.1 --list` printed.
pub fn read_musl_list(output: &Output) -> MuslAnswer {
    let mut answer = MuslAnswer::default();
    for line in String::from_utf8_lossy(&output.stdout).lines().map(str::trim) {
        let line = line.rsplit_once(" (0x").map_or(line, |(line, _)| line);
        if let Some((_, path)) = line.split_once(" => ")
            && !path.contains("/ld-musl-")
        {
            answer.objects.push(line.to_owned());
        }
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let what = line.strip_prefix("Error loading shared library ").unwrap_or(line);
        let (name, rest) = what.split_once(": ").unwrap_or((what, ""));
        answer.missing.push(format!("{name} {}", &rest[rest.find('(').unwrap_or(0)..]));
    }
    answer
}

/// The model's answer in the words of musl.
pub fn musl_answer_of(closure: &Closure) -> MuslAnswer {
    let mut answer = MuslAnswer::default();
    let mut named = vec![false; closure.objects.len()];
    for need in &closure.needs {
        let (name, by) = (&need.name, &closure.objects[need.by].path);
        match &need.outcome {
            Outcome::Loaded(index) => {
                let object = &closure.objects[*index];
                let is_musl = *index == 0 || object.rule == Rule::Interpreter;
                if !is_musl && !std::mem::replace(&mut named[*index], true) {
                    answer.objects.push(format!("{name} => {}", object.path));
                }
            }
            Outcome::Missing(_) | Outcome::Fatal { .. } => {
                answer.missing.push(format!("{name} (needed by {by})"));
            }
        }
    }
    answer
}
