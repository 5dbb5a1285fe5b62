//! Scripts that Lambda starts: what the kernel makes of their first line, and what their lines certainly come to.
//!
//! Lambda starts `bootstrap` and extensions by execve, so a script without an interpreter is not given to a shell.
//! Of the other lines only those are judged that every run comes to; a line that may be left out makes the answer
//! open.

use std::borrow::Cow;

use crate::archive::ReadEntry;
use crate::audit::{Code, Finding, Severity};
use crate::elf::{ElfError, OtherFormat};

use super::Unpacked;
use super::archive::{cannot_start, no_program};
use super::unpacked::{UnpackedFile, bytes_of, facts_of};

/// Interpreters of scripts that every runtime has: bash, under both its names.
///
/// Source: the tools of AL1, AL2 and AL2023 roots; runtimes written in bash run on all of them.
const SHELLS: &[&str] = &["/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"];

/// The number of scripts that may be each other's interpreters. Source: `exec_binprm` in the kernel's fs/exec.c.
const MOST_SCRIPTS: usize = 5;

/// The first line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FirstLine {
    /// The path of the interpreter.
    path: String,
    /// The rest of the line, its one argument.
    argument: String,
}

impl FirstLine {
    /// Reads the line as the kernel does; `None` if it names no interpreter, and execve returns ENOEXEC.
    ///
    /// Source: `load_script` in fs/binfmt_script.c.
    pub fn of(script: &[u8]) -> Option<FirstLine> {
        const MOST_BYTES: usize = 256;
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let line = script.strip_prefix(b"#!")?;
        let (line, is_whole) = match line.iter().take(MOST_BYTES - 2).position(|byte| *byte == b'\n') {
            Some(end) => (&line[..end], true),
            None => (&line[..line.len().min(MOST_BYTES - 3)], line.len() < MOST_BYTES - 2),
        };
        let start = line.iter().position(|byte| !is_blank(byte))?;
        let line = &line[start..];
        let end = line.iter().position(|byte| is_blank(byte) || *byte == 0);
        if end.is_none() && !is_whole {
            return None;
        }
        let (path, rest) = line.split_at(end.unwrap_or(line.len()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let argument = text(rest.split(|byte| *byte == 0).next().unwrap_or_default());
        let path = text(path);
        (!path.is_empty())
            .then(|| FirstLine { path, argument: argument.trim_matches([' ', '\t']).to_owned() })
    }
}

/// A line of a shell's script that runs a file.
struct Run<'a> {
    path: &'a str,
    /// Whether every run of the script comes to this line, and ends with it.
    is_certain: bool,
}

/// The files that a shell's script runs by a path without variables.
fn runs(script: &str) -> Vec<Run<'_>> {
    const PLAIN: &[&str] = &["export", "set", "cd", "umask", "ulimit", ":", "readonly"];
    const NO_LITERAL: &[char] = &['$', '*', '?', '[', '~', '"', '\'', '`', '{'];
    const OPERATORS: &[char] = &['|', '&', ';', '<', '`', '(', '\\'];
    let is_assignment = |word: &str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut found = Vec::new();
    let mut is_certain = true;
    for line in script.split('\n').skip(1) {
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        // A carriage return alone is a command that no shell finds.
        let Some(first) = words.first().filter(|word| !word.starts_with('#') && **word != "\r") else {
            continue;
        };
        let is_simple = !line.contains(OPERATORS);
        for (index, word) in words.iter().enumerate() {
            let is_exec = index > 0 && words[index - 1] == "exec";
            let path = word.trim_matches(['"', '\'']);
            let is_literal = path.contains('/') && !path.contains(NO_LITERAL);
            if (is_exec || index == 0) && is_literal && !is_assignment(word) {
                let is_certain = is_certain && is_exec && index == 1 && is_simple;
                found.push(Run { path, is_certain });
            }
        }
        is_certain &= is_simple && (PLAIN.contains(first) || is_assignment(first));
    }
    found
}

/// Returns a script's text with the path of the task root for its variable, unless the script sets that.
///
/// Source: `LAMBDA_TASK_ROOT` is one of the variables that Lambda reserves: a function's settings do not change it.
fn in_task_root(script: &str) -> Cow<'_, str> {
    const ROOT: &str = "/var/task/";
    if script.contains("LAMBDA_TASK_ROOT=") || !script.contains("LAMBDA_TASK_ROOT") {
        return Cow::Borrowed(script);
    }
    Cow::Owned(script.replace("$LAMBDA_TASK_ROOT/", ROOT).replace("${LAMBDA_TASK_ROOT}/", ROOT))
}

impl Unpacked<'_> {
    /// Returns the findings about a script that Lambda starts.
    pub(super) fn script_findings(&self, name: &str, script: &[u8]) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.script_interpreter(name, script, 1).into_iter().collect();
        let is_shell = FirstLine::of(script).is_some_and(|line| SHELLS.contains(&line.path.as_str()));
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        if is_shell && !findings.iter().any(is_error) {
            let text = String::from_utf8_lossy(script);
            findings.extend(self.missing_files(name, &in_task_root(&text)));
            findings.extend(carriage_returns(name, &text).filter(|_| !findings.iter().any(is_error)));
        }
        findings
    }

    /// Returns a finding if the interpreter in a script's first line does not exist, or may not. `n_scripts` is the
    /// number of scripts up to this one.
    fn script_interpreter(&self, name: &str, script: &[u8], n_scripts: usize) -> Option<Finding> {
        let finding = |message| Finding::new(Code::InterpreterMissing, name, message);
        let Some(FirstLine { path, argument }) = FirstLine::of(script) else {
            let finding = cannot_start(name, "its first line names no interpreter");
            return Some(finding.help("begin the script with the line `#!/bin/sh`"));
        };
        let path = path.as_str();
        if path.ends_with('\r') || argument.ends_with('\r') {
            let message = format!(
                "the first line of `{name}` ends in a carriage return, which the kernel takes as a part of its last word"
            );
            return Some(finding(message).help("store it with Unix line ends (`dos2unix`)"));
        }
        if SHELLS.contains(&path) {
            if argument.starts_with('-') && argument.contains([' ', '\t']) {
                let why = format!("the kernel gives `{path}` one argument `{argument}`, which is no option");
                let help = "leave one option in the first line, and `set` the others in the second";
                return Some(cannot_start(name, &why).help(help));
            }
            return None;
        }
        if path.starts_with(&format!("{}/", self.kind.root())) {
            return match self.entry(self.name(path)) {
                Some(entry) => self.own_interpreter(name, entry, n_scripts),
                None => Some(
                    finding(format!("`{name}` is a script for `{path}`, which is not in the archive"))
                        .help(format!("put `{}` into the archive, or name `/bin/sh`", self.name(path))),
                ),
            };
        }
        let message = format!("`{name}` is a script for `{path}`; whether the runtime has that is not known");
        let finding =
            finding(message).help("name `/bin/sh`, which every runtime has, or bring the interpreter along");
        Some(Finding { severity: Severity::Warning, leaves_open: true, ..finding })
    }

    /// Returns a finding if an interpreter of the archive cannot be started.
    fn own_interpreter(
        &self,
        name: &str,
        entry: &ReadEntry<UnpackedFile>,
        n_scripts: usize,
    ) -> Option<Finding> {
        let refused = |why: &str| {
            let why = format!("its interpreter `{}` does not start: {why}", entry.name);
            Some(cannot_start(name, &why).help("name a program, or `/bin/sh`, in its first line"))
        };
        if let Some(finding) = self.mode_finding(&entry.name) {
            return Some(finding);
        }
        match facts_of(entry) {
            Ok(facts) => no_program(&facts).and_then(refused),
            Err(ElfError::NotElf(OtherFormat::Script)) if n_scripts == MOST_SCRIPTS => {
                refused("too many scripts are each other's interpreters")
            }
            Err(ElfError::NotElf(OtherFormat::Script)) => {
                self.script_interpreter(&entry.name, bytes_of(entry), n_scripts + 1)
            }
            Err(error) => refused(&error.to_string()),
        }
    }

    /// Returns a finding about the first file of the archive's that a script runs and that is not there.
    fn missing_files(&self, name: &str, script: &str) -> Option<Finding> {
        let root = format!("{}/", self.kind.root());
        let own = runs(script).into_iter().filter(|run| run.path.starts_with(&root));
        let mut missing = own.filter(|run| self.entry(self.name(run.path)).is_none());
        let run = missing.next()?;
        let path = run.path.trim_end_matches('\r');
        let what = match path.len() < run.path.len() {
            true => format!("`{path}` with a carriage return, which the shell takes as a part of the name"),
            false => format!("`{path}`, which is not in the archive"),
        };
        let finding = match run.is_certain {
            true => cannot_start(name, &format!("it executes {what}")),
            false => open(name, &format!("runs {what}")),
        };
        Some(match path.len() < run.path.len() {
            true => finding.help("store it with Unix line ends (`dos2unix`)"),
            false => finding.help(format!("put `{}` into the archive", self.name(path))),
        })
    }
}

/// Returns a finding if lines of a shell's script end in carriage returns.
fn carriage_returns(name: &str, script: &str) -> Option<Finding> {
    let is_command = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut lines = script.split('\n').skip(1).filter(is_command);
    lines.find(|line| line.ends_with('\r'))?;
    let what = "has lines that end in carriage returns, which the shell takes as a part of their last words";
    Some(open(name, what).help("store it with Unix line ends (`dos2unix`)"))
}

/// A finding that leaves open whether a script does its work.
fn open(name: &str, what: &str) -> Finding {
    let message = format!("`{name}` {what}; whether it starts was not proved");
    let finding = Finding::new(Code::NotElf, name, message);
    Finding { severity: Severity::Warning, leaves_open: true, ..finding }
}

#[cfg(test)]
mod tests {
    use super::FirstLine;

    #[test]
    fn the_first_line_is_cut_as_the_kernel_cuts_it() {
        let read = |script: &str| FirstLine::of(script.as_bytes()).map(|line| (line.path, line.argument));
        let is = |path: &str, argument: &str| Some((path.to_owned(), argument.to_owned()));
        assert_eq!(read("#!/bin/sh\nx"), is("/bin/sh", ""));
        assert_eq!(read("#! \t/bin/sh -e -u \t\nx"), is("/bin/sh", "-e -u"));
        assert_eq!(read("#!/bin/sh"), is("/bin/sh", ""));
        for nothing in ["#!", "#!\n/bin/sh", "#! \t \n", "#! \t ", "text", ""] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
        // The kernel reads 256 bytes.
        let long = |length: usize| format!("#!/{}", "x".repeat(length));
        assert_eq!(read(&(long(200) + "\n")), is(&long(200)[2..], ""));
        assert_eq!(read(&(long(300) + "\n")), None);
        let argument = format!("#!/bin/sh {}", "x".repeat(300));
        assert_eq!(read(&argument).unwrap().1.len(), 255 - 10);
    }
}
