//! Programs that a language's runtime executes in front of its own, and those of a layer on the PATH.
//!
//! Source: AWS, "Using a wrapper script": the runtime executes the file that `AWS_LAMBDA_EXEC_WRAPPER` names, with its
//! own command behind it. OS-only runtimes do not. The runtime is a script of bash there, whose `exec` also runs a text
//! without a first line, as its own script.

use crate::audit::{Code, Finding, Severity};
use crate::elf::{ElfError, OtherFormat};
use crate::layout::{BundleKind, WRAPPER_VARIABLE};

use super::Unpacked;
use super::archive::{cannot_start, no_program, not_executable, wanted_mode};
use super::script::{given_to_bash, open};

impl Unpacked<'_> {
    /// Returns the path of the wrapper, if the runtime executes one.
    pub(super) fn wrapper(&self) -> Option<String> {
        let wrapper = self.start.wrapper.filter(|path| !self.starts_bootstrap && !path.is_empty())?;
        Some(match wrapper.starts_with('/') {
            true => wrapper.to_owned(),
            // A function starts there.
            false => format!("{}/{wrapper}", BundleKind::Function.root()),
        })
    }

    /// Checks the wrapper.
    pub(super) fn check_wrapper(&mut self) {
        let Some(path) = self.wrapper() else { return };
        let findings = self.wrapper_findings(&path);
        self.findings.extend(findings);
    }

    fn wrapper_findings(&self, path: &str) -> Vec<Finding> {
        let Some(file) = self.file_at(path) else {
            return vec![self.lost_wrapper(path)];
        };
        let name = self.name(path);
        // The runtime asks bash whether the file may be executed.
        if let Some(finding) = not_executable(name, wanted_mode(&file.facts), file.mode) {
            return vec![finding];
        }
        match &file.facts {
            Ok(facts) => no_program(facts).map(|what| cannot_start(name, what)).into_iter().collect(),
            Err(ElfError::NotElf(OtherFormat::Script)) if self.is_given_to_bash(&file.script) => {
                vec![given_to_bash(name)]
            }
            Err(ElfError::NotElf(OtherFormat::Script)) => self.script_findings(name, &file.script),
            Err(ElfError::NotElf(OtherFormat::Text)) => vec![given_to_bash(name)],
            Err(error) => vec![cannot_start(name, &error.to_string())],
        }
    }

    /// Returns the finding about a wrapper that is not there.
    fn lost_wrapper(&self, path: &str) -> Finding {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        let opt = BundleKind::Layer.root();
        // The runtime's own files, and those of a function that this layer is for.
        let unknown = || {
            let what = format!("is the value of {WRAPPER_VARIABLE} and not in the archive");
            Finding { severity: Severity::Note, ..open(path, &what) }
        };
        let (place, help) = match self.kind {
            _ if self.leads_elsewhere(path) => return unknown(),
            BundleKind::Function if below(opt) => (
                "is in no attached layer",
                format!("name the layer that has it: `--attached-layer <ZIP>`, or unset {WRAPPER_VARIABLE}"),
            ),
            kind if below(kind.root()) => (
                "is not in the archive",
                format!("put `{}` into the archive, or unset {WRAPPER_VARIABLE}", self.name(path)),
            ),
            _ => return unknown(),
        };
        let is_link = self.files.is_link(path);
        let place = if is_link { "is a link that leads to no file" } else { place };
        let message = format!("`{path}`, which {WRAPPER_VARIABLE} names, {place}");
        Finding::new(Code::InterpreterMissing, self.name(path), message).help(help)
    }

    /// Warns of scripts in a layer's `bin/`, which is on the PATH, that no program can execute.
    ///
    /// Source: the values of `PATH` in "Defined runtime environment variables" of the AWS Lambda developer guide.
    pub(super) fn check_path(&mut self) {
        if self.kind != BundleKind::Layer {
            return;
        }
        let is_on_path = |name: &str| name.strip_prefix("bin/").is_some_and(|rest| !rest.contains('/'));
        let names = self.read.entries.iter().map(|entry| entry.name.as_str()).filter(|name| is_on_path(name));
        let findings: Vec<Finding> = names.flat_map(|name| self.path_findings(name)).collect();
        self.findings.extend(findings);
    }

    fn path_findings(&self, name: &str) -> Vec<Finding> {
        let Some(file) = self.file_at(&self.path(name)) else { return Vec::new() };
        if !matches!(file.facts, Err(ElfError::NotElf(OtherFormat::Script))) {
            return Vec::new();
        }
        let findings = match not_executable(name, wanted_mode(&file.facts), file.mode) {
            Some(finding) => vec![finding],
            None => self.script_findings(name, &file.script),
        };
        // Whether a function executes it is not known.
        let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| Finding { severity: Severity::Warning, ..finding }).collect()
    }
}
