//! The jobs: bundle, check, verify, config. Each takes final settings and calls one step after the other.

mod baseline;
mod bundle;
mod conclude;
mod config;
mod contents;
mod copies;
mod fresh;
mod included;
mod inputs;
mod layers;
mod loaded;
mod output;
mod program;
mod results;
mod runtime;
mod shipped;
mod split;
mod summary;
mod template;
mod verify;

use crate::audit::pages;
use crate::cli::MessageFormat;
use crate::disk;
use crate::error::{Error, Result};
use crate::report::{self, Artifact, Failure, Report};
use crate::settings::{Context, Job, Output, Resolved};
use crate::ui::Ui;

use results::{Results, together};
use runtime::Baselines;

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Findings of severity error.
    Findings,
    /// Of several programs, some could not be answered for; the errors are shown.
    NoAnswer,
}

/// Runs the job and prints its report.
///
/// # Errors
///
/// What kept the run from an answer. With JSON it is in the document on stdout, too.
pub fn run(resolved: &Resolved, context: &Context, ui: &Ui) -> Result<Outcome> {
    let settings = resolved.shared();
    match &settings.job {
        Job::Bundle(_) | Job::Verify(_) => answer(resolved, context, ui),
        Job::Baseline(job) => baseline::run(job, settings, context, ui).map(|()| Outcome::Done),
        Job::Config => {
            config::print(resolved, ui);
            Ok(Outcome::Done)
        }
        Job::Page(code) => {
            ui.data(pages::page(*code));
            Ok(Outcome::Done)
        }
    }
}

/// Runs a job about programs; what is known when it fails is in the document, too.
fn answer(resolved: &Resolved, context: &Context, ui: &Ui) -> Result<Outcome> {
    let settings = resolved.shared();
    let mut results = Results::default();
    let answered =
        Baselines::read(&resolved.packages, context.now).and_then(|baselines| match &settings.job {
            Job::Verify(job) => verify::run(job, settings, &baselines, context, ui, &mut results),
            _ => bundle::run(resolved, &baselines, context, ui, &mut results),
        });
    let together = together(&results.errors);
    let one = results.errors.first().filter(|_| results.errors.len() == 1);
    let error = answered.as_ref().err().or(one).or(together.as_ref());
    print(&results, error, &settings.output, context, ui)?;
    answered.map(|()| match (results.errors.is_empty(), results.artifacts.iter().any(|it| it.fails)) {
        (false, _) => Outcome::NoAnswer,
        (true, true) => Outcome::Findings,
        (true, false) => Outcome::Done,
    })
}

/// Prints the report in a form for programs. Annotations are of the artifacts that decide.
fn print(
    results: &Results,
    error: Option<&Error>,
    output: &Output,
    context: &Context,
    ui: &Ui,
) -> Result<()> {
    let failure = error.map(Failure::of);
    let all: Vec<&Artifact> = results.artifacts.iter().map(|it| &it.artifact).collect();
    let deciding = results.artifacts.iter().filter(|it| it.decides);
    let deciding: Vec<&Artifact> = deciding.map(|it| &it.artifact).collect();
    match output.format {
        MessageFormat::Human => {}
        MessageFormat::Json => ui.data(&Report::new(&all, results.split_layer.as_ref(), failure).to_json()),
        MessageFormat::Sarif => {
            let current_dir = context.environment.current_dir.as_str();
            ui.data(&report::sarif::document(&deciding, failure.as_ref(), current_dir));
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

/// Reports an error from before the job began: in a form for programs, too, unless the command line is wrong.
pub fn unanswered(error: Error, output: &Output, context: &Context, ui: &Ui) -> Result<Outcome> {
    if !error.is_usage() {
        print(&Results::default(), Some(&error), output, context, ui)?;
    }
    Err(error)
}
