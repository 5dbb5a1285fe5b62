//! What a run found, program by program.

use crate::error::Error;
use crate::report::{ArchiveReport, ProgramReport};

/// What a run found, program by program.
#[derive(Default)]
pub(super) struct Results {
    pub programs: Vec<Answered>,
    /// The layer that was written for several of them.
    pub split_layer: Option<ArchiveReport>,
    /// What kept some of several programs from an answer; already shown.
    pub errors: Vec<Error>,
}

/// The answer for one program on one runtime.
pub(super) struct Answered {
    pub report: ProgramReport,
    /// Whether it is for the configured runtime, which decides the exit status.
    pub decides: bool,
    /// Whether a finding makes the run fail.
    pub fails: bool,
}

/// Several errors as one, for the document.
pub(super) fn together(errors: &[Error]) -> Option<Error> {
    let line = |error: &Error| {
        let causes = error.causes().into_iter();
        [error.to_string()].into_iter().chain(causes).collect::<Vec<_>>().join(": ")
    };
    let mut lines = errors.iter().rev().map(line);
    let last = Error::new(lines.next()?);
    let chain = lines.fold(last, |cause, line| Error::new(line).because(cause));
    Some(Error::new(format!("could not answer for {} programs", errors.len())).because(chain))
}
