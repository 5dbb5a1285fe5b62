//! One program of a run, and what is said of it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::documents::PackageIndex;
use super::runtime::Baselines;
use crate::audit::{Findings, SizedFile};
use crate::disk::build_world::Objects;
use crate::disk::stored::StoredFiles;
use crate::layout::Layout;
use crate::proof::Attached;
use crate::report::{ProgramReport, Sizes};
use crate::settings::{BundleSettings, Context, Settings};
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
}

impl ProgramJob<'_> {
    /// Says that nothing was written.
    pub fn stopped(&self, name: &str) {
        self.ui.status("Stopped", &format!("`{name}` would not start; nothing was written"));
    }
}

impl Answer {
    /// The measured files of the bundle.
    pub fn sized(&self) -> Vec<SizedFile<'_>> {
        self.report.sizes.as_ref().map(Sizes::sized).unwrap_or_default()
    }
}
