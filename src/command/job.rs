//! One program of a run, and what is said of it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::conclude::conclude;
use super::documents::PackageIndex;
use super::runtime::Baselines;
use crate::audit::{Findings, SizedFile};
use crate::disk::build_world::Objects;
use crate::disk::stored::StoredFiles;
use crate::layout::Layout;
use crate::proof::Attached;
use crate::report::{ProgramReport, Sizes, Verdict};
use crate::settings::{BundleSettings, Context, Output, Settings};
use crate::ui::Ui;

/// One program of a run, with what its steps need.
pub(super) struct ProgramJob<'a> {
    pub bundle: &'a BundleSettings,
    pub settings: &'a Settings,
    pub baselines: &'a Baselines,
    pub context: &'a Context,
    pub ui: &'a Ui,
    pub layout: Layout,
    pub attached: &'a Attached,
    pub files: &'a StoredFiles,
    pub objects: &'a Arc<Objects>,
    pub threads: NonZeroUsize,
}

/// The result for a program on one runtime.
pub(super) struct Answer {
    pub report: ProgramReport,
    pub findings: Findings,
    /// The packages of the shipped files, if the report shows them.
    pub packages: Option<PackageIndex>,
    /// Whether a finding makes the run fail; known once it is concluded.
    pub fails: bool,
}

impl ProgramJob<'_> {
    /// Says that nothing was written, and because of which programs of the archive.
    pub fn stopped(&self, answers: &[Answer]) {
        let names = |is_it: &dyn Fn(&Answer) -> bool| {
            let names = answers.iter().filter(|answer| is_it(answer));
            names.map(|answer| format!("`{}`", answer.report.name)).collect::<Vec<_>>().join(", ")
        };
        let failing = names(&|answer| answer.report.verdict == Verdict::Fails);
        let why = match failing.is_empty() {
            true => format!("a finding about {} is denied", names(&|answer| answer.fails)),
            false => format!("{failing} would not start"),
        };
        self.ui.failed("Stopped", &format!("{why}; nothing was written"));
    }
}

impl Answer {
    /// Prints the findings, and decides whether the run fails.
    pub fn conclude(&mut self, output: &Output, ui: &Ui) {
        self.fails = conclude(&mut self.report, &self.findings, output, ui).fails;
    }

    /// The measured files of the bundle.
    pub fn sized(&self) -> Vec<SizedFile<'_>> {
        self.report.sizes.as_ref().map(Sizes::sized).unwrap_or_default()
    }
}
