//! `explain` and `size`: show what is known about one program.

use super::conclude::conclude;
use super::job::{Answer, ProgramJob};
use crate::audit::{self, Subject};
use crate::error::{Error, Result};
use crate::plan::BundlePlan;
use crate::report::{self, ProgramReport, Sizes};
use crate::settings::{Explain, Form};
use crate::text::printable;
use crate::ui::Ui;

/// Explains why the requested libraries are found where they are. Returns whether the run fails.
///
/// # Errors
///
/// If the program needs no library of that name.
pub(super) fn explain(
    job: &ProgramJob,
    subject: &Subject,
    plan: &BundlePlan,
    asked: &Explain,
    answer: &mut Answer,
) -> Result<bool> {
    let program = &mut answer.report;
    let wanted = asked.wanted.as_ref();
    let picks = |name: &str| wanted.is_none_or(|patterns| patterns.matches(name));
    program.explanations = report::explain(subject, plan, &program.libraries, picks);
    if program.explanations.is_empty() && wanted.is_some() {
        let known: Vec<&str> = program.libraries.iter().map(|library| library.soname.as_str()).collect();
        let error = Error::new(format!("`{}` needs no library of that name", subject.name));
        return Err(match known.is_empty() {
            true => error.help("it is a static program; there is nothing to explain"),
            false => error.help(format!("it needs: {}", known.join(", "))),
        });
    }
    if !job.settings.output.is_document() {
        print(job, subject, plan, asked.form, program);
    }
    let concluded = conclude(program, &answer.findings, &job.settings.output, &Ui::silent());
    for finding in &concluded.findings {
        if picks(&finding.object) || finding.soname.as_deref().is_some_and(picks) {
            job.ui.finding(finding);
        }
    }
    Ok(concluded.fails)
}

/// Prints the explanation as text.
fn print(job: &ProgramJob, subject: &Subject, plan: &BundlePlan, form: Form, program: &ProgramReport) {
    let lines: Vec<String> = match form {
        Form::Text => program.explanations.iter().flat_map(|explanation| explanation.lines()).collect(),
        Form::Tree => report::tree(subject, plan, &program.libraries).lines().map(str::to_owned).collect(),
        Form::Mermaid => return job.ui.data(&report::graph(subject.name, &program.libraries)),
    };
    for line in lines {
        job.ui.data(&format!("{}\n", printable(&line)));
    }
}

/// Shows the sizes of the bundle's files. Returns whether the run fails.
pub(super) fn sizes(job: &ProgramJob, unzipped_bytes: u64, answer: &mut Answer) -> bool {
    answer.findings.extend(audit::size_finding(unzipped_bytes, &answer.report.name));
    if !job.settings.output.is_document() {
        for line in answer.report.sizes.iter().flat_map(Sizes::chart) {
            job.ui.data(&format!("{}\n", printable(&line)));
        }
    }
    conclude(&mut answer.report, &answer.findings, &job.settings.output, job.ui).fails
}
