//! Scripts that Lambda starts: what the kernel makes of their first line, and what their lines certainly come to.
//!
//! Lambda starts `bootstrap` and extensions by execve, so a script without an interpreter is not given to a shell.
//! Of the other lines only those are judged that every run comes to; a line that may be left out makes the answer
//! open.

use std::sync::Arc;

use crate::audit::{Code, Finding, Severity};
use crate::elf::{ElfError, OtherFormat};
use crate::layout::BundleKind;

use super::archive::{cannot_start, no_program, not_executable, wanted_mode};
use super::shell::{self, Run, StartPlace};
use super::unpacked::LayerFile;
use super::{EntryPoint, Unpacked};

/// Interpreters of scripts that every runtime has: bash, under both its names.
///
/// Source: the tools of AL1, AL2 and AL2023 roots; runtimes written in bash run on all of them.
const SHELLS: &[&str] = &["/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"];

/// The number of scripts that may be each other's interpreters. Source: `exec_binprm` in the kernel's fs/exec.c.
const MOST_SCRIPTS: usize = 5;

/// One of the scripts that execute each other.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    /// The number of scripts up to this one.
    number: usize,
    /// Whether it starts in the task root.
    is_at_root: bool,
    /// Whether it is started with a handler.
    has_handler: bool,
}

impl Turn {
    /// An extension starts in a directory that is not known, and without a handler.
    pub fn of_extension() -> Turn {
        Turn { number: 1, is_at_root: false, has_handler: false }
    }
}

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

/// Returns the files of an archive that a shell's script runs by literal paths, by their names in the archive.
pub fn run_by_script(script: &[u8], kind: BundleKind) -> Vec<String> {
    let task_root = BundleKind::Function.root();
    let has_handler = kind == BundleKind::Function;
    let current = has_handler.then_some(task_root);
    let runs = shell::runs(&String::from_utf8_lossy(script), StartPlace { task_root, current, has_handler });
    let name = |run: Run| Some(run.path.strip_prefix(kind.root())?.strip_prefix('/')?.to_owned());
    runs.into_iter().filter_map(name).collect()
}

impl Unpacked<'_> {
    /// Returns the findings about a script that Lambda, or a runtime, starts as the function.
    pub(super) fn script_findings(&self, name: &str, script: &[u8]) -> Vec<Finding> {
        self.scripts_findings(name, script, self.first_turn())
    }

    /// Returns the findings about a script that Lambda starts as an extension.
    pub(super) fn extension_script_findings(&self, name: &str, script: &[u8]) -> Vec<Finding> {
        self.scripts_findings(name, script, Turn::of_extension())
    }

    pub(super) fn first_turn(&self) -> Turn {
        let is_function = self.kind == BundleKind::Function;
        Turn { number: 1, is_at_root: is_function, has_handler: is_function }
    }

    fn scripts_findings(&self, name: &str, script: &[u8], turn: Turn) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.script_interpreter(name, script, turn.number).into_iter().collect();
        let is_shell = FirstLine::of(script).is_some_and(|line| SHELLS.contains(&line.path.as_str()));
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        if is_shell && !findings.iter().any(is_error) {
            let text = String::from_utf8_lossy(script);
            findings.extend(self.body_findings(name, &text, turn));
            findings.extend(carriage_returns(name, &text).filter(|_| !findings.iter().any(is_error)));
        }
        findings
    }

    /// Returns a finding if the interpreter in a script's first line does not exist, or may not.
    fn script_interpreter(&self, name: &str, script: &[u8], n_scripts: usize) -> Option<Finding> {
        let finding = |message| Finding::new(Code::InterpreterMissing, name, message);
        let Some(FirstLine { path, argument }) = FirstLine::of(script) else {
            let finding = cannot_start(name, "its first line names no interpreter");
            return Some(finding.help("begin the script with the line `#!/bin/sh`"));
        };
        let path = path.as_str();
        if path.ends_with('\r') || argument.ends_with('\r') {
            let message = format!("the first line of `{name}` ends in a carriage return");
            let finding = finding(message).detail("the kernel takes it as a part of the line's last word");
            return Some(finding.help("store it with Unix line ends (`dos2unix`)"));
        }
        if SHELLS.contains(&path) {
            return argument_of_shell(name, path, &argument);
        }
        if let Some(file) = self.file_at(path) {
            return self.own_interpreter(name, path, &file, n_scripts);
        }
        if self.is_own(path) && !self.leads_elsewhere(path) {
            let finding = finding(format!("`{name}` is a script for `{path}`, which is not in the archive"));
            return Some(
                finding.help(format!("put `{}` into the archive, or name `/bin/sh`", self.name(path))),
            );
        }
        let message = format!("`{name}` is a script for `{path}`; whether the runtime has that is not known");
        let finding =
            finding(message).help("name `/bin/sh`, which every runtime has, or bring the interpreter along");
        Some(Finding { severity: Severity::Warning, leaves_open: true, ..finding })
    }

    /// Returns a finding if an interpreter of the archive or of a layer cannot be started.
    fn own_interpreter(&self, name: &str, path: &str, file: &LayerFile, n_scripts: usize) -> Option<Finding> {
        let own_name = self.name(path);
        let refused = |why: &str| {
            let finding = cannot_start(name, &format!("its interpreter `{own_name}` does not start"));
            Some(finding.detail(why).help("name a program, or `/bin/sh`, in its first line"))
        };
        if let Some(finding) = not_executable(own_name, wanted_mode(&file.facts), file.mode) {
            return Some(finding);
        }
        match &file.facts {
            Ok(facts) => no_program(facts).and_then(refused),
            Err(ElfError::NotElf(OtherFormat::Script)) if n_scripts == MOST_SCRIPTS => {
                refused("too many scripts are each other's interpreters")
            }
            Err(ElfError::NotElf(OtherFormat::Script)) => {
                self.script_interpreter(own_name, &file.script, n_scripts + 1)
            }
            Err(error) => refused(&error.to_string()),
        }
    }

    /// Returns the findings about what a shell's script runs. Without one it executes a file that can be started.
    fn body_findings(&self, name: &str, script: &str, turn: Turn) -> Vec<Finding> {
        let runs = runs(script, turn);
        let is_lost = |run: &&Run| {
            self.is_own(&run.path) && self.file_at(&run.path).is_none() && !self.leads_elsewhere(&run.path)
        };
        if let Some(run) = runs.iter().find(is_lost) {
            return vec![self.missing_file(name, run)];
        }
        let Some(run) = runs.last().filter(|run| run.is_certain) else {
            let what = "is a script; only its interpreter was checked";
            return vec![Finding { severity: Severity::Note, ..open(name, what) }];
        };
        let Some(file) = self.file_at(&run.path) else {
            let what = format!("executes `{}`, about which nothing is known", run.path);
            return vec![Finding { severity: Severity::Note, ..open(name, &what) }];
        };
        let executed = self.name(&run.path);
        let refused = |why: &str| vec![cannot_start(name, &format!("it executes `{executed}`: {why}"))];
        if let Some(finding) = not_executable(executed, wanted_mode(&file.facts), file.mode) {
            return vec![finding];
        }
        match &file.facts {
            Ok(facts) => no_program(facts).map_or_else(Vec::new, refused),
            Err(ElfError::NotElf(OtherFormat::Text)) => vec![given_to_bash(executed)],
            Err(ElfError::NotElf(OtherFormat::Script)) if self.is_given_to_bash(&file.script) => {
                vec![given_to_bash(executed)]
            }
            Err(ElfError::NotElf(OtherFormat::Script)) if turn.number == MOST_SCRIPTS => {
                vec![open(name, "executes a script that executes another, and so on")]
            }
            Err(ElfError::NotElf(OtherFormat::Script)) => {
                let turn = Turn { number: turn.number + 1, is_at_root: run.is_at_root, ..turn };
                self.scripts_findings(executed, &file.script, turn)
            }
            Err(error) => refused(&error.to_string()),
        }
    }

    /// Returns the program of the archive, or of a layer, that every run of a script executes at its end.
    pub(super) fn executed_program(&self, script: &[u8]) -> Option<EntryPoint> {
        let mut script: Arc<[u8]> = script.into();
        let mut turn = self.first_turn();
        for _ in 0..MOST_SCRIPTS {
            let run = runs(&String::from_utf8_lossy(&script), turn).pop().filter(|run| run.is_certain)?;
            turn.is_at_root = run.is_at_root;
            let file = self.file_at(&run.path)?;
            match file.facts {
                Ok(facts) => {
                    let path = self.files.real_path(&run.path).ok()?;
                    return Some(EntryPoint { name: self.name(&run.path).to_owned(), path, facts });
                }
                Err(_) => script = file.script,
            }
        }
        None
    }

    /// Adds the program that a path leads to: by itself, as the interpreter of a script, or as what every run of it
    /// executes at its end.
    pub(super) fn add_programs(&self, path: &str, turn: Turn, programs: &mut Vec<EntryPoint>) {
        let Some(file) = self.file_at(path) else { return };
        let turn_of = |is_at_root| Turn { number: turn.number + 1, is_at_root, ..turn };
        match file.facts {
            Ok(facts) => {
                let real =
                    self.files.real_path(path).ok().filter(|real| programs.iter().all(|it| it.path != *real));
                programs.extend(real.map(|real| EntryPoint {
                    name: self.name(path).to_owned(),
                    path: real,
                    facts,
                }));
            }
            // Scripts execute each other, and each may be another's interpreter.
            Err(ElfError::NotElf(OtherFormat::Script)) if turn.number < 2 * MOST_SCRIPTS => {
                let Some(line) = FirstLine::of(&file.script) else { return };
                if !SHELLS.contains(&line.path.as_str()) {
                    return self.add_programs(&line.path, turn_of(turn.is_at_root), programs);
                }
                let run =
                    runs(&String::from_utf8_lossy(&file.script), turn).pop().filter(|run| run.is_certain);
                if let Some(run) = run {
                    self.add_programs(&run.path, turn_of(run.is_at_root), programs);
                }
            }
            Err(_) => {}
        }
    }

    /// Returns the finding about a file of the archive's that a script runs and that is not there.
    fn missing_file(&self, name: &str, run: &Run) -> Finding {
        let path = run.path.trim_end_matches('\r');
        let what = match path.len() < run.path.len() {
            true => format!("`{path}` with a carriage return"),
            false => format!("`{path}`, which is not in the archive"),
        };
        let finding = match run.is_certain {
            true => cannot_start(name, &format!("it executes {what}")),
            false => open(name, &format!("runs {what}")),
        };
        match path.len() < run.path.len() {
            true => finding
                .detail("the shell takes the carriage return as a part of the name")
                .help("store it with Unix line ends (`dos2unix`)"),
            false => finding.help(format!("put `{}` into the archive", self.name(path))),
        }
    }

    /// Whether the kernel refuses a script with ENOEXEC, so that a bash that executes it runs it by itself.
    pub(super) fn is_given_to_bash(&self, script: &[u8]) -> bool {
        let mut script: Arc<[u8]> = script.into();
        for _ in 0..MOST_SCRIPTS {
            let Some(line) = FirstLine::of(&script) else { return true };
            let Some(file) =
                self.file_at(&line.path).filter(|file| file.mode.is_none_or(|mode| mode & 1 != 0))
            else {
                return false;
            };
            match file.facts {
                Ok(_) => return false,
                Err(ElfError::NotElf(OtherFormat::Script)) => script = file.script,
                Err(_) => return true,
            }
        }
        false
    }

    /// Whether a path lies where the archive is unpacked.
    pub(super) fn is_own(&self, path: &str) -> bool {
        path.strip_prefix(self.kind.root()).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn runs(script: &str, turn: Turn) -> Vec<Run> {
    let task_root = BundleKind::Function.root();
    let current = turn.is_at_root.then_some(task_root);
    shell::runs(script, StartPlace { task_root, current, has_handler: turn.has_handler })
}

/// Returns a finding if a shell does not run a script because of the argument in its first line.
fn argument_of_shell(name: &str, shell: &str, argument: &str) -> Option<Finding> {
    let help = "leave one option in the first line, and `set` the others in the second";
    // A login shell reads the profiles of the system first.
    if argument.is_empty() || argument == "-l" || shell::is_harmless_option(argument) {
        return None;
    }
    if argument.starts_with('-') && argument.contains([' ', '\t']) {
        let why = format!("`{shell}` gets one argument `{argument}`, which is not an option");
        return Some(cannot_start(name, &why).help(help));
    }
    if !argument.starts_with(['-', '+']) {
        let why = format!("`{shell}` takes the argument `{argument}` for the script");
        return Some(cannot_start(name, &why).help("leave the argument out"));
    }
    Some(open(name, &format!("gives `{shell}` the option `{argument}`")).help(help))
}

/// Returns a finding if lines of a shell's script end in carriage returns.
fn carriage_returns(name: &str, script: &str) -> Option<Finding> {
    let is_command = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut lines = script.split('\n').skip(1).filter(is_command);
    lines.find(|line| line.ends_with('\r'))?;
    let finding = open(name, "has lines that end in carriage returns");
    let finding = finding.detail("the shell takes them as parts of the lines' last words");
    Some(finding.help("store it with Unix line ends (`dos2unix`)"))
}

/// The note about a text that a bash executes and the kernel refuses.
///
/// Source: `shell_execve` in bash's execute_cmd.c, for ENOEXEC.
pub(super) fn given_to_bash(name: &str) -> Finding {
    let what = "has no `#!` line, so bash runs it as its own script";
    Finding { severity: Severity::Note, ..open(name, what) }
}

/// A finding that leaves open whether a script does its work.
pub(super) fn open(name: &str, what: &str) -> Finding {
    let finding = Finding::new(Code::NotElf, name, format!("`{name}` {what}"))
        .detail("whether it starts was not proved");
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
