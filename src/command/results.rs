//! The results of a run, program by program.

use super::job::BundleState;
use crate::error::Error;
use crate::report::{ArchiveReport, FunctionReport, ProgramReport};

/// The results of a run, program by program.
#[derive(Default)]
pub(super) struct Results {
    pub programs: Vec<Answered>,
    /// The layer that was written for several programs.
    pub split_layer: Option<ArchiveReport>,
    /// The functions of a deployment template.
    pub functions: Vec<FunctionReport>,
    /// The errors of programs without a result, if there are several programs. They have been printed.
    pub errors: Vec<Error>,
}

/// The result for one program on one runtime.
pub(super) struct Answered {
    pub report: ProgramReport,
    /// Whether the runtime is the configured one, which decides the exit status.
    pub decides: bool,
    /// Whether a finding makes the run fail.
    pub fails: bool,
    /// What happened to its bundle; `None` if there is none.
    pub bundled: Option<BundleState>,
}

/// Joins several errors into one, for the document.
pub(super) fn together(errors: &[Error]) -> Option<Error> {
    let line = |error: &Error| {
        let causes = error.causes().into_iter();
        [error.to_string()].into_iter().chain(causes).collect::<Vec<_>>().join(": ")
    };
    let mut lines = errors.iter().rev().map(line);
    let last = Error::new(lines.next()?);
    let chain = lines.fold(last, |cause, line| Error::new(line).because(cause));
    Some(Error::new(format!("no result for {} programs", errors.len())).because(chain))
}
