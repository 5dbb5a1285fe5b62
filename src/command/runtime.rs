//! The Lambda worlds of a run. Each baseline is parsed once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::audit::{self, Finding};
use crate::baseline::file::BaselineFile;
use crate::baseline::{Baseline, EvidenceDates, embedded};
use crate::date;
use crate::disk;
use crate::elf::{Arch, ElfFacts};
use crate::error::Result;
use crate::lambda::LambdaWorld;
use crate::settings::Target;
use crate::ui::Ui;
use crate::workspace::Floor;

/// The embedded baselines in use; `None` if a runtime does not offer the architecture.
type Embedded = BTreeMap<(String, Arch), Option<Arc<Baseline>>>;

/// The baselines of a run.
pub(super) struct Baselines {
    /// The files of `--baseline`, by their paths.
    files: BTreeMap<Utf8PathBuf, BaselineFile>,
    embedded: Mutex<Embedded>,
}

impl Baselines {
    /// Reads the files of `--baseline`.
    ///
    /// # Errors
    ///
    /// The errors of [`read_file`].
    pub fn read<'a>(targets: impl IntoIterator<Item = &'a Target>, now: SystemTime) -> Result<Baselines> {
        let mut files = BTreeMap::new();
        for path in targets.into_iter().filter_map(|target| target.baseline.as_ref()) {
            if !files.contains_key(path) {
                files.insert(path.clone(), read_file(path, now)?);
            }
        }
        Ok(Baselines { files, embedded: Mutex::default() })
    }

    /// Returns the runtimes to check.
    pub fn runtimes<'a>(&'a self, target: &'a Target) -> Vec<&'a str> {
        match self.file(target) {
            Some(file) => vec![file.name()],
            None => target.runtimes.iter().map(String::as_str).collect(),
        }
    }

    /// Returns the runtime whose findings decide the exit status.
    pub fn configured<'a>(&'a self, target: &'a Target) -> &'a str {
        self.file(target).map_or(&target.configured, BaselineFile::name)
    }

    /// Returns the Lambda world of a runtime for the program `name`, or a finding if that runtime lacks the
    /// architecture.
    pub fn world(
        &self,
        target: &Target,
        runtime: &str,
        arch: Arch,
        name: &str,
    ) -> std::result::Result<LambdaWorld, Box<Finding>> {
        let file = self.file(target);
        let found = match file {
            Some(file) => file.baseline(arch),
            None => self.embedded(runtime, arch),
        };
        let Some(baseline) = found else {
            return Err(Box::new(audit::arch_not_offered(name, arch, runtime, file.is_some())));
        };
        let library_paths = match &target.library_path {
            Some(value) => vec![value.clone()],
            None => baseline.library_paths.clone(),
        };
        Ok(LambdaWorld {
            baseline,
            library_paths,
            assume_present: target.assume_present.clone(),
            binds_now: target.binds_now,
            tunables: target.tunables.clone(),
            preload: target.preload.clone(),
        })
    }

    /// Returns the glibc and the architecture that a program is linked for; `None` if the glibc is not known.
    pub fn floor(&self, target: &Target) -> Option<Floor> {
        let host = if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 };
        let arch = target.arch.unwrap_or(host);
        // A runtime without that architecture becomes a finding later.
        let baseline =
            [arch, Arch::X86_64, Arch::Arm64].into_iter().find_map(|arch| match self.file(target) {
                Some(file) => file.baseline(arch),
                None => self.embedded(&target.configured, arch),
            })?;
        let glibc = baseline.glibc.clone();
        (!glibc.is_empty()).then(|| Floor { glibc, arch: arch.gnu_name().to_owned() })
    }

    fn file(&self, target: &Target) -> Option<&BaselineFile> {
        self.files.get(target.baseline.as_ref()?)
    }

    fn embedded(&self, runtime: &str, arch: Arch) -> Option<Arc<Baseline>> {
        let mut known = self.embedded.lock().unwrap_or_else(PoisonError::into_inner);
        let parse = || embedded(runtime, arch).map(Arc::new);
        known.entry((runtime.to_owned(), arch)).or_insert_with(parse).clone()
    }
}

/// Reads a baseline file.
///
/// # Errors
///
/// If the file is no baseline; the error names the wrong line.
pub(super) fn read_file(path: &Utf8Path, now: SystemTime) -> Result<BaselineFile> {
    const HELP: &str = "name a file that `cargo lambda-bundle baseline capture` wrote, or a list of library paths, one per line";
    let text = disk::text(path, "a baseline").map_err(|error| error.or_help(HELP))?;
    BaselineFile::parse(path.as_str(), text, &date::day(now)).map_err(|error| error.help(HELP))
}

/// Returns the architecture to look up the runtime with: the program's, else that of `--arch`.
pub(super) fn arch_of(facts: &ElfFacts, target: &Target) -> Arch {
    facts.arch().or(target.arch).unwrap_or(Arch::X86_64)
}

/// Names the variables of `--env` that change nothing, and one in a value that stays as it is. Values may be secrets.
pub(super) fn say_unused<'a>(targets: impl Iterator<Item = &'a Target>, ui: &Ui) {
    let targets: Vec<&Target> = targets.collect();
    for variable in targets.iter().filter_map(|target| target.unreplaced.as_ref()).collect::<BTreeSet<_>>() {
        ui.status("Taking", &format!(
            "`{variable}` of `--env LD_LIBRARY_PATH` for a directory of that name: Lambda replaces no variable in a function's settings"
        ));
    }
    for name in targets.iter().flat_map(|target| &target.unused_env).collect::<BTreeSet<_>>() {
        let counts = "LD_LIBRARY_PATH, LD_PRELOAD, LD_BIND_NOW and GLIBC_TUNABLES do";
        ui.status("Ignoring", &format!("`--env {name}`: it does not decide what loads ({counts})"));
    }
}

/// Prints how old the runtime's baseline is, with `-v`.
pub(super) fn say_age(lambda: &LambdaWorld, now: SystemTime, ui: &Ui) {
    if ui.is_verbose() {
        let EvidenceDates { oldest, newest } = lambda.baseline.evidence_dates();
        let age = date::days_ago(date::days_between(&newest, &date::day(now)));
        let label = lambda.label();
        let recorded = &lambda.baseline.recorded;
        ui.status(
            "Baseline",
            &format!("of {label}, evidence of {oldest} to {newest}, {age}; researched on {recorded}"),
        );
    }
}
