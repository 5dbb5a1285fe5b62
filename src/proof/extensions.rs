//! What Lambda starts besides the function: every file in `extensions/` of a layer.
//!
//! Source: AWS, "Using the Lambda Extensions API to create extensions": Lambda starts the executables in
//! /opt/extensions/; directories below it are not searched.

use std::sync::Arc;

use crate::archive::Kind;
use crate::audit::Finding;
use crate::elf::{ElfError, OtherFormat};
use crate::layout::BundleKind;

use super::archive::{cannot_start, no_program, not_executable, wanted_mode};
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
            None if file.facts.is_err() => self.script_findings(name, &file.script),
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

    /// Returns the extensions, and the wrapper, that are programs of the layers, to be proved like the archive's own.
    pub(super) fn attached_programs(&self) -> impl Iterator<Item = EntryPoint> {
        let started = self.extensions().into_iter().chain(self.wrapper());
        let attached = started.filter(|path| self.attached.paths.contains(path));
        attached.filter_map(|path| {
            let facts = self.file_at(&path)?.facts.ok().filter(|facts| no_program(facts).is_none())?;
            let real = self.files.real_path(&path).ok()?;
            Some(EntryPoint { name: path, path: real, facts: Arc::clone(&facts) })
        })
    }
}
