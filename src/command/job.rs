//! One program of a run, and what is said of it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::conclude::{Conclusion, conclude, is_over_own_limit};
use super::documents::PackageIndex;
use super::runtime::Baselines;
use crate::audit::{Findings, SizedFile};
use crate::disk::build_world::Objects;
use crate::disk::stored::StoredFiles;
use crate::layout::Layout;
use crate::proof::Attached;
use crate::report::{ProgramReport, Sizes, Verdict};
use crate::settings::{BundleSettings, Context, Output, Settings};
use crate::ui::{Tone, Ui};

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
    /// Whether the run has other programs, so that a table at its end tells how each went.
    pub is_one_of_several: bool,
}

/// The result for a program on one runtime.
pub(super) struct Answer {
    pub report: ProgramReport,
    pub findings: Findings,
    /// The packages of the shipped files, if the report shows them.
    pub packages: Option<PackageIndex>,
    /// The findings of the run, once they are concluded.
    pub conclusion: Conclusion,
    /// What happened to its bundle; `None` if there is none.
    pub bundled: Option<BundleState>,
}

/// What happened to a bundle that is now in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BundleState {
    /// It was written.
    Written,
    /// The one that was there is up to date.
    Fresh,
}

impl ProgramJob<'_> {
    /// Prints the findings about the programs of an archive, each under its program's name if there are several.
    pub fn show(&self, answers: &[Answer]) {
        for answer in answers.iter().filter(|answer| answer.conclusion.is_shown(self.ui)) {
            if self.is_one_of_several || answers.len() > 1 {
                self.ui.about(&answer.report.name);
            }
            answer.conclusion.show(self.ui);
        }
    }

    /// Prints that nothing was written, and because of which programs of the archive.
    pub fn stopped(&self, answers: &[Answer]) {
        let names = |is_it: &dyn Fn(&Answer) -> bool| {
            let names = answers.iter().filter(|answer| is_it(answer));
            names.map(|answer| format!("`{}`", answer.report.name)).collect::<Vec<_>>().join(", ")
        };
        let failing = names(&|answer| answer.report.verdict == Verdict::Fails);
        let large = names(&|answer| is_over_own_limit(&answer.report));
        let why = match (failing.is_empty(), large.is_empty()) {
            (false, _) => format!("{failing} would not start"),
            (true, false) => format!("{large} is larger than allowed"),
            (true, true) => format!("a finding about {} is denied", names(&Answer::fails)),
        };
        self.ui.outcome(Tone::Bad, "Stopped", &format!("{why}; nothing was written"));
    }
}

impl Answer {
    /// Starts the answer about a program.
    pub fn new(report: ProgramReport, findings: Findings) -> Answer {
        Answer { report, findings, packages: None, conclusion: Conclusion::default(), bundled: None }
    }

    /// Decides on verdict and severities by all findings so far.
    pub fn conclude(&mut self, output: &Output) {
        self.conclusion = conclude(&mut self.report, &self.findings, output);
    }

    /// Whether a finding makes the run fail; known once it is concluded.
    pub fn fails(&self) -> bool {
        self.conclusion.fails
    }

    /// The measured files of the bundle.
    pub fn sized(&self) -> Vec<SizedFile<'_>> {
        self.report.sizes.as_ref().map(Sizes::sized).unwrap_or_default()
    }
}
