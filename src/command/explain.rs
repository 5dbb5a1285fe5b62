//! `explain` and `size`: show what is known about one program.

use super::build_side::BuildFiles;
use super::conclude::{conclude, show};
use super::job::{Answer, ProgramJob};
use super::origins;
use super::programs::ProgramInput;
use crate::audit::{self, Finding, Subject};
use crate::elf::version;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::plan::BundlePlan;
use crate::report::{self, ProgramReport, Sizes, SymbolExplanation};
use crate::settings::{Explain, Form};
use crate::text::printable;

/// A program with its plan.
pub(super) struct PlannedProgram<'a> {
    pub input: &'a ProgramInput<'a>,
    pub subject: &'a Subject<'a>,
    pub plan: &'a BundlePlan,
    pub build: &'a BuildFiles,
}

/// Explains why the requested libraries are found where they are, or else what asks for a symbol or symbol version.
///
/// # Errors
///
/// If nothing in the program's closure has that name.
pub(super) fn explain(
    job: &ProgramJob,
    planned: &PlannedProgram,
    asked: &Explain,
    answer: &mut Answer,
) -> Result<()> {
    let PlannedProgram { input, subject, plan, build } = planned;
    let program = &mut answer.report;
    let wanted = asked.wanted.as_ref();
    let picks = |name: &str| wanted.is_none_or(|wanted| wanted.pattern.matches(name));
    let sources = build.sources(job.bundle, input);
    program.explanations = report::explain(subject, plan, &program.libraries, picks, &sources);
    if program.explanations.is_empty()
        && let Some(wanted) = wanted
    {
        program.symbol_explanations = report::explain_symbols(subject, plan, picks);
        if program.symbol_explanations.is_empty() {
            return Err(unknown_name(&wanted.word, planned, program).absent());
        }
        origins::add_to_explanations(input, &mut program.symbol_explanations, job.ui.is_verbose());
    }
    if !job.settings.output.is_document() {
        print(job, subject, plan, asked.form, program);
    }
    let conclusion = conclude(program, &answer.findings, &job.settings.output);
    let is_about = |finding: &&Finding| {
        let names = finding.symbols.iter().chain(&finding.versions).chain(&finding.soname);
        picks(&finding.object) || names.into_iter().any(|name| picks(name))
    };
    let findings: Vec<Finding> = conclusion.findings.iter().filter(is_about).cloned().collect();
    show(&findings, &audit::by_cause(&findings), job.ui);
    answer.conclusion = conclusion;
    Ok(())
}

/// Makes the error for a name that is no library, symbol or symbol version of the closure.
fn unknown_name(word: &str, planned: &PlannedProgram, program: &ProgramReport) -> Error {
    let name = planned.subject.name;
    let libraries: Vec<&str> = program.libraries.iter().map(|library| library.soname.as_str()).collect();
    if libraries.is_empty() {
        return Error::new(format!("`{name}` needs no library of that name"))
            .help("it is a static program; there is nothing to explain");
    }
    let symbols = report::referenced(planned.subject, planned.plan);
    let is_library = word.contains(".so") || word.starts_with("lib");
    let error = match is_library {
        true => Error::new(format!("`{name}` needs no library of that name")),
        false => Error::new(format!(
            "`{name}` and its libraries refer to no symbol, symbol version or library `{word}`"
        )),
    };
    let family = version::family(word);
    let of_family = symbols.iter().filter(|node| family != word && version::family(node) == family);
    if let Some(newest) = of_family.max_by(|a, b| version::compare(a, b)) {
        return error.help(format!("the newest that they need is {newest}: `explain {newest}`"));
    }
    // `libpq` is the library `libpq.so.5`.
    let is_whole =
        |soname: &&&str| soname.strip_prefix(word).is_some_and(|rest| rest.starts_with(['.', '-']));
    if let Some(soname) = libraries.iter().find(is_whole) {
        return error.help(format!("did you mean `explain {soname}`?"));
    }
    match nearest(word, symbols.iter().map(String::as_str).chain(libraries.iter().copied())) {
        Some(near) if !is_library => error.help(format!("did you mean `explain {near}`?")),
        _ => error.help(format!("it needs: {}", libraries.join(", "))),
    }
}

/// Prints the explanation as text.
fn print(job: &ProgramJob, subject: &Subject, plan: &BundlePlan, form: Form, program: &ProgramReport) {
    let lines: Vec<String> = match form {
        _ if !program.symbol_explanations.is_empty() => {
            program.symbol_explanations.iter().flat_map(SymbolExplanation::lines).collect()
        }
        Form::Text => program.explanations.iter().flat_map(|explanation| explanation.lines()).collect(),
        Form::Tree => report::tree(subject, plan, &program.libraries).lines().map(str::to_owned).collect(),
        Form::Mermaid => return job.ui.data(&report::graph(subject.name, &program.libraries)),
    };
    for line in lines {
        job.ui.text(&line);
    }
}

/// Shows the sizes of the bundle's files.
pub(super) fn sizes(job: &ProgramJob, answer: &mut Answer) {
    if !job.settings.output.is_document() {
        let growth =
            answer.report.growth.iter().flat_map(|growth| [String::new()].into_iter().chain(growth.table()));
        for line in answer.report.sizes.iter().flat_map(Sizes::chart).chain(growth) {
            job.ui.data(&format!("{}\n", printable(&line)));
        }
    }
    answer.conclude(&job.settings.output);
    answer.conclusion.show(job.ui);
}
