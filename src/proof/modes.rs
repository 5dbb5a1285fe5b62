//! Modes with which Lambda's user, who owns none of the files, cannot get at them.

use crate::archive::{Kind, ReadEntry};
use crate::audit::{Code, Finding, Severity};

use super::Unpacked;
use super::unpacked::{UnpackedFile, is_readable, locked_directories};

impl Unpacked<'_> {
    /// Reports directories that Lambda's user may not enter, and files that it may not read: errors if what it starts
    /// is among them.
    pub(super) fn check_modes(&mut self) {
        let main = self.main.iter().map(|main| main.path.clone());
        let started: Vec<String> = main.chain(self.extensions()).chain(self.wrapper()).collect();
        let started: Vec<&str> = started.iter().map(|path| self.name(path)).collect();
        let locked = locked_directories(self.read);
        let mut findings = Vec::new();
        for (directory, mode) in &locked {
            let is_in = |name: &str| name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
            if !self.read.entries.iter().any(|entry| entry.kind != Kind::Directory && is_in(&entry.name)) {
                continue;
            }
            let message = format!("`{directory}/` has mode {mode:04o}; Lambda's user may not enter it");
            let finding = Finding::new(Code::NotExecutable, *directory, message).help(format!(
                "store directories with mode 0755 (on Unix: `chmod 755 {directory}` before they are zipped)"
            ));
            let severity = match started.iter().any(|name| is_in(name)) {
                true => Severity::Error,
                false => Severity::Warning,
            };
            findings.push(Finding { severity, leaves_open: self.main.is_none(), ..finding });
        }
        let is_locked = |name: &str| name.match_indices('/').any(|(at, _)| locked.contains_key(&name[..at]));
        // Those that are started have findings of their own.
        let is_unreadable = |entry: &&ReadEntry<UnpackedFile>| {
            entry.kind == Kind::File && !is_readable(entry) && !started.contains(&entry.name.as_str())
        };
        let unreadable: Vec<&ReadEntry<UnpackedFile>> = (self.read.entries.iter())
            .filter(is_unreadable)
            .filter(|entry| !is_locked(&entry.name))
            .collect();
        findings.extend(self.unreadable(&unreadable));
        self.findings.extend(findings);
    }

    /// Makes one finding for all unreadable files.
    fn unreadable(&self, files: &[&ReadEntry<UnpackedFile>]) -> Option<Finding> {
        const FEW: usize = 3;
        let first = files.first()?;
        let name = |entry: &&ReadEntry<UnpackedFile>| {
            format!("`{}` (mode {:04o})", entry.name, entry.mode.unwrap_or_default())
        };
        let mut names: Vec<String> = files.iter().take(FEW).map(name).collect();
        if files.len() > FEW {
            names.push(format!("{} more", files.len() - FEW));
        }
        let (which, list) = match files.len() {
            1 => (names.concat(), None),
            n => (format!("{n} files"), Some(names.join(", "))),
        };
        let finding = Finding {
            details: list.into_iter().collect(),
            ..Finding::new(Code::NotExecutable, &first.name, format!("Lambda's user may not read {which}"))
        };
        let finding =
            finding.help("store files with mode 0644 (on Unix: `chmod -R a+rX .` before they are zipped)");
        // A language's own program opens the function's files.
        Some(Finding { severity: Severity::Warning, leaves_open: self.main.is_none(), ..finding })
    }
}
