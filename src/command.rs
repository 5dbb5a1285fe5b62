//! The jobs: bundle, check, verify, config. Each takes final settings and calls its steps in turn.

mod baseline;
mod build_side;
mod bundle;
pub mod complete;
mod conclude;
mod config;
mod confined;
mod deployment;
mod documents;
mod entries;
mod explain;
mod growth;
mod inputs;
mod job;
mod judge;
mod layers;
mod origins;
mod parts;
mod place;
mod program;
mod programs;
mod results;
mod runtime;
mod sizes;
mod split;
mod started;
mod summary;
mod unmatched;
mod verify;
mod write;

use camino::Utf8Path;

use crate::audit::pages;
use crate::cli::{MessageFormat, manual};
use crate::disk;
use crate::error::{Error, Result};
use crate::report::{self, Failure, ProgramReport, Report};
use crate::settings::{Context, Job, Output, Resolved};
use crate::ui::Ui;

use results::{Results, together};

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The job is done.
    Done,
    /// There are findings of severity error.
    Findings,
    /// Some of several programs got no result; their errors have been printed.
    NoAnswer,
}

/// Runs the job and prints its report.
///
/// # Errors
///
/// If the run has no result. With JSON the document on stdout has the error, too.
pub fn run(resolved: &Resolved, context: &Context, ui: &Ui) -> Result<RunOutcome> {
    let mut results = Results::default();
    let answered = match &resolved.job {
        Job::Bundle(packages) => {
            let answered = bundle::run(packages, context, ui, &mut results);
            unmatched::say_of_packages(packages, &results, ui);
            answered
        }
        Job::Verify(job) => {
            let answered = verify::run(job, &resolved.output, context, ui, &mut results);
            unmatched::say_of_archives(&job.target.present_patterns, &resolved.output, &results, ui);
            answered
        }
        Job::Baseline(job) => {
            return baseline::run(job, &resolved.output, context, ui).map(|()| RunOutcome::Done);
        }
        Job::Config(packages) => {
            return config::print(packages, &resolved.output, context, ui).map(|()| RunOutcome::Done);
        }
        Job::Page(code) => {
            ui.data(pages::page(*code));
            return Ok(RunOutcome::Done);
        }
    };
    let together = together(&results.errors);
    let one = results.errors.first().filter(|_| results.errors.len() == 1);
    let error = answered.as_ref().err().or(one).or(together.as_ref());
    print(&results, error, &resolved.output, context, ui)?;
    answered.map(|()| match (results.errors.is_empty(), results.programs.iter().any(|it| it.fails)) {
        (false, _) => RunOutcome::NoAnswer,
        (true, true) => RunOutcome::Findings,
        (true, false) => RunOutcome::Done,
    })
}

/// Prints the report in a machine-readable format. Annotations are only for the programs that decide the exit status.
fn print(
    results: &Results,
    error: Option<&Error>,
    output: &Output,
    context: &Context,
    ui: &Ui,
) -> Result<()> {
    let failure = error.map(Failure::of);
    let all: Vec<&ProgramReport> = results.programs.iter().map(|it| &it.report).collect();
    let deciding = results.programs.iter().filter(|it| it.decides);
    let deciding: Vec<&ProgramReport> = deciding.map(|it| &it.report).collect();
    match output.format {
        MessageFormat::Human => {}
        MessageFormat::Json => {
            let report = Report::new(&all, results.split_layer.as_ref(), failure);
            ui.data(&Report { functions: &results.functions, ..report }.to_json());
        }
        MessageFormat::Sarif => {
            let current_dir = context.environment.current_dir.as_str();
            ui.data(&report::sarif::document(&deciding, failure.as_ref(), current_dir));
        }
        MessageFormat::Gitlab => {
            let current_dir = context.environment.current_dir.as_str();
            ui.data(&report::gitlab::document(&deciding, failure.as_ref(), current_dir));
        }
        MessageFormat::Github => {
            ui.data(&report::github::commands(&deciding, failure.as_ref(), ui.is_verbose()));
            if let Some(path) = context.environment.text("GITHUB_STEP_SUMMARY") {
                let text = report::github::summary(&all, failure.as_ref());
                disk::write::append(&context.environment.current_dir.join(path), &text)?;
            }
        }
    }
    Ok(())
}

/// Writes the manual pages, and prints their paths.
///
/// # Errors
///
/// If one cannot be written.
pub fn write_manual(directory: &Utf8Path, context: &Context, ui: &Ui) -> Result<()> {
    for page in manual::pages() {
        let path = context.environment.current_dir.join(directory).join(&page.file_name);
        disk::write::replace_with(&path, page.text.as_bytes())
            .map_err(|error| error.or_help("name another directory: `cargo lambda-bundle man DIR`"))?;
        ui.data(&format!("{path}\n"));
    }
    Ok(())
}

/// Reports an error from before the job began, also in a machine-readable format unless the command line is wrong.
pub fn unanswered(error: Error, output: &Output, context: &Context, ui: &Ui) -> Result<RunOutcome> {
    if !error.is_usage() {
        print(&Results::default(), Some(&error), output, context, ui)?;
    }
    Err(error)
}
