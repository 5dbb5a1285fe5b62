//! What Lambda starts besides the function: every file in `extensions/` of a layer.
//!
//! Source: AWS, "Using the Lambda Extensions API to create extensions": Lambda starts the executables in
//! /opt/extensions/; directories below it are not searched.

use crate::archive::{BOOTSTRAP, Kind};
use crate::audit::Finding;
use crate::elf::{ElfError, OtherFormat};
use crate::layout::BundleKind;

use super::archive::{cannot_start, no_program, not_executable, wanted_mode};
use super::script::{Turn, open};
use super::{EntryPoint, Unpacked};

const DIRECTORY: &str = "/opt/extensions/";

impl Unpacked<'_> {
    /// Checks the files that Lambda starts as extensions: those of the archive, and of the layers attached to it.
    pub(super) fn check_extensions(&mut self) {
        let findings = self.extensions().iter().flat_map(|path| self.extension(path)).collect::<Vec<_>>();
        self.findings.extend(findings);
    }

    fn extension(&self, path: &str) -> Vec<Finding> {
        let name = self.name(path);
        let Some(file) = self.file_at(path) else {
            if self.leads_elsewhere(path) {
                return vec![open(name, "is a link to a file that is not in the archive")];
            }
            let help = "put a program there; Lambda starts every file of that directory";
            return vec![cannot_start(name, "it is a link that leads to no file").help(help)];
        };
        // No mode makes a program of a file that is none.
        let no_program = match &file.facts {
            Ok(facts) => no_program(facts).map(|what| cannot_start(name, what)),
            Err(ElfError::NotElf(OtherFormat::Script)) => None,
            Err(error) => Some(cannot_start(name, &error.to_string())),
        };
        let cannot = no_program.or_else(|| not_executable(name, wanted_mode(&file.facts), file.mode));
        match cannot {
            Some(finding) => vec![finding],
            None if file.facts.is_err() => self.extension_script_findings(name, &file.script),
            None => Vec::new(),
        }
    }

    /// Returns the paths on Lambda of the files that it starts as extensions, links among them.
    pub(super) fn extensions(&self) -> Vec<String> {
        let is_started = |path: &str| {
            path.strip_prefix(DIRECTORY).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        };
        let own = self.read.entries.iter().filter(|entry| entry.kind != Kind::Directory);
        let own = own.map(|entry| self.path(&entry.name)).filter(|_| self.kind != BundleKind::Function);
        let attached = self.attached.paths.iter().cloned();
        own.chain(attached).filter(|path| is_started(path)).collect()
    }

    /// Returns the programs of the layers that are started, or that a started script needs, to be proved like the
    /// archive's own.
    pub(super) fn attached_programs(&self) -> Vec<EntryPoint> {
        let mut programs = Vec::new();
        for path in self.extensions() {
            self.add_programs(&path, Turn::of_extension(), &mut programs);
        }
        let of_layer = format!("{}/{BOOTSTRAP}", BundleKind::Layer.root());
        let function = [self.path(BOOTSTRAP), of_layer].into_iter().filter(|_| self.starts_bootstrap);
        let function = function.filter(|path| self.file_at(path).is_some()).take(1);
        for path in function.chain(self.wrapper()) {
            self.add_programs(&path, self.first_turn(), &mut programs);
        }
        let is_attached = |program: &EntryPoint| {
            let is_member = self.is_own(&program.path) && self.entry(self.name(&program.path)).is_some();
            !is_member && no_program(&program.facts).is_none()
        };
        programs.retain(is_attached);
        programs
    }
}
