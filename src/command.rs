//! The jobs: bundle, check, verify, config. Each takes final settings and calls one step after the other.

mod attached;
mod baseline;
mod bundle;
mod config;
mod contents;
mod copies;
mod fresh;
mod given;
mod included;
mod inputs;
mod limits;
mod lints;
mod loaded;
mod output;
mod program;
mod proof;
mod shipped;
mod split;
mod summary;
mod template;
mod verify;

use std::time::SystemTime;

use crate::audit::{Code, Finding, Severity, pages};
use crate::baseline::{Baseline, embedded, names, runtimes};
use crate::cli::MessageFormat;
use crate::date;
use crate::disk;
use crate::elf::{Arch, ElfError, ElfFacts, OtherFormat};
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::report::{self, Artifact, Failure, Library, Report};
use crate::settings::{Context, Job, Lambda, Output, Resolved, Settings};
use crate::ui::Ui;

pub use given::Given;

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
pub fn run(resolved: &mut Resolved, context: &Context, ui: &Ui) -> Result<Outcome> {
    let given = resolved
        .packages
        .iter_mut()
        .try_for_each(|package| read_given(&mut package.settings.lambda, context));
    let settings = resolved.shared();
    let mut results = Results::default();
    let answered = given.and_then(|()| match &settings.job {
        Job::Bundle(_) => bundle::run(resolved, context, ui, &mut results),
        Job::Verify(job) => verify::run(job, settings, context, ui, &mut results),
        Job::Baseline(job) => baseline::run(job, settings, context, ui),
        Job::Config => {
            config::print(resolved, ui);
            Ok(())
        }
        Job::Page(code) => {
            ui.data(pages::page(*code));
            Ok(())
        }
    });
    if matches!(settings.job, Job::Baseline(_) | Job::Config | Job::Page(_)) {
        return answered.map(|()| Outcome::Done);
    }
    let Results { artifacts, split_layer, errors } = results;
    let fails = artifacts.iter().any(|(_, fails)| *fails);
    let shown = together(&errors);
    let error = answered.as_ref().err().or(errors.first().filter(|_| errors.len() == 1)).or(shown.as_ref());
    let artifacts: Vec<Artifact> = artifacts.into_iter().map(|(artifact, _)| artifact).collect();
    // Of several runtimes, the others are a report.
    let decides = |artifact: &Artifact| {
        resolved.packages.iter().any(|package| package.settings.lambda.configured == artifact.runtime)
    };
    print((artifacts, split_layer), decides, error, (&settings.output, context, ui))?;
    answered.map(|()| match (errors.is_empty(), fails) {
        (false, _) => Outcome::NoAnswer,
        (true, true) => Outcome::Findings,
        (true, false) => Outcome::Done,
    })
}

/// Prints the report in a form for programs. Annotations are of the artifacts that decide.
fn print(
    (artifacts, split_layer): (Vec<Artifact>, Option<report::Archive>),
    decides: impl Fn(&Artifact) -> bool,
    error: Option<&Error>,
    (output, context, ui): (&Output, &Context, &Ui),
) -> Result<()> {
    let failure = error.map(Failure::of);
    let all: Vec<&Artifact> = artifacts.iter().collect();
    let deciding: Vec<&Artifact> = all.iter().copied().filter(|artifact| decides(artifact)).collect();
    match output.format {
        MessageFormat::Human => {}
        MessageFormat::Json => ui.data(&Report::new(artifacts, split_layer, failure).to_json()),
        MessageFormat::Sarif => {
            ui.data(&report::sarif::document(
                &deciding,
                failure.as_ref(),
                context.environment.current_dir.as_str(),
            ));
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

/// What a run found, program by program.
#[derive(Default)]
struct Results {
    /// Artifacts with whether a finding of theirs decides the exit status.
    artifacts: Vec<(Artifact, bool)>,
    /// The layer that was written for several of them.
    split_layer: Option<report::Archive>,
    /// What kept some of several programs from an answer; already shown.
    errors: Vec<Error>,
}

/// Several errors as one, for the document.
fn together(errors: &[Error]) -> Option<Error> {
    let line = |error: &Error| {
        let causes = error.causes().into_iter();
        [error.to_string()].into_iter().chain(causes).collect::<Vec<_>>().join(": ")
    };
    let mut lines = errors.iter().rev().map(line);
    let last = Error::new(lines.next()?);
    let chain = lines.fold(last, |cause, line| Error::new(line).because(cause));
    Some(Error::new(format!("could not answer for {} programs", errors.len())).because(chain))
}

/// Reports an error from before the job began: in a form for programs, too, unless the command line is wrong.
pub fn unanswered(error: Error, output: &Output, context: &Context, ui: &Ui) -> Result<Outcome> {
    if !error.is_usage() {
        print((Vec::new(), None), |_| true, Some(&error), (output, context, ui))?;
    }
    Err(error)
}

/// Reads the file of `--baseline`, whose name takes the place of the runtime's.
fn read_given(lambda: &mut Lambda, context: &Context) -> Result<()> {
    if let Some(path) = &lambda.baseline {
        let given = Given::read(path, &date::day(context.now))?;
        lambda.configured = given.name().to_owned();
        lambda.runtimes = vec![lambda.configured.clone()];
        lambda.given = Some(given);
    }
    Ok(())
}

/// The Lambda world of a runtime; a finding if that runtime has no such architecture.
fn lambda_world(
    settings: &Lambda,
    runtime: &str,
    arch: Arch,
    name: &str,
) -> std::result::Result<LambdaWorld, Box<Finding>> {
    let found = match &settings.given {
        Some(given) => given.table(arch),
        None => embedded(runtime, arch),
    };
    let Some(baseline) = found else {
        let what = if settings.given.is_some() { "baseline" } else { "runtime" };
        let finding = Finding::new(
            Code::WrongArch,
            name,
            format!("`{name}` is for {arch}, which the {what} {runtime} does not offer"),
        );
        return Err(Box::new(match settings.given {
            Some(_) => finding.help("capture a root of that architecture: `baseline capture --arch`"),
            None => finding.help("choose another runtime: `--runtime provided.al2023`"),
        }));
    };
    let library_paths = match &settings.library_path {
        Some(value) => vec![value.clone()],
        None => baseline.library_paths.clone(),
    };
    Ok(LambdaWorld {
        baseline,
        library_paths,
        assume_present: settings.assume_present.clone(),
        assume_missing: settings.assume_missing.clone(),
        binds_now: settings.binds_now,
        preload: settings.preload.clone(),
    })
}

/// The architecture to look the runtime up with: the program's, else the asserted one.
fn arch_of(facts: &ElfFacts, settings: &Lambda) -> Arch {
    facts.arch().or(settings.arch).unwrap_or(Arch::X86_64)
}

/// A finding if the program is not for the asserted architecture.
fn arch_assertion(facts: &ElfFacts, settings: &Lambda, name: &str) -> Option<Finding> {
    let (wanted, arch) = (settings.arch?, facts.arch()?);
    (wanted != arch).then(|| {
        Finding::new(
            Code::WrongArch,
            name,
            format!("`{name}` is for {arch}, but `--arch {wanted}` was asked for"),
        )
        .help(format!(
            "build it with `--target {}-unknown-linux-gnu`, or say `--arch {arch}` if that is the function's",
            wanted.gnu_name()
        ))
    })
}

/// With `-v`: how old the table of the runtime is.
fn say_age(lambda: &LambdaWorld, now: SystemTime, ui: &Ui) {
    if ui.is_verbose() {
        let recorded = &lambda.baseline.recorded;
        let age = date::days_ago(date::days_between(recorded, &date::day(now)));
        ui.status("Baseline", &format!("of {}, recorded on {recorded}, {age}", lambda.label()));
    }
}

/// AWS changes images every few weeks; libraries and version nodes come and go over years.
const DAYS_UNTIL_OLD: u64 = 365;

/// Findings about the runtime itself.
fn runtime_findings(baseline: &Baseline, name: &str, now: SystemTime) -> Vec<Finding> {
    let today = date::day(now);
    let mut findings = Vec::new();
    if date::days_between(&baseline.recorded, &today) > DAYS_UNTIL_OLD {
        let message = format!(
            "what is known of {} was recorded on {}, over a year ago; its images may have changed",
            baseline.runtime, baseline.recorded
        );
        let finding = Finding::new(Code::BaselineOld, name, message);
        let is_embedded = names().contains(&baseline.runtime.as_str());
        findings.push(match is_embedded {
            true => finding.help("install a newer version of cargo lambda-bundle"),
            false => finding.help("capture it again: `cargo lambda-bundle baseline capture`"),
        });
    }
    let lifecycle = &baseline.lifecycle;
    let passed = |date: &Option<String>| date.as_ref().is_some_and(|date| *date <= today);
    if baseline.names_only {
        let message = format!(
            "`{}` lists names only: what its libraries define and need is not known, and what it does not list is \
             taken as absent",
            baseline.runtime
        );
        let finding = Finding::new(Code::NamesOnly, name, message);
        findings.push(finding.help("`cargo lambda-bundle baseline capture` reads all of it from a root"));
        return findings;
    }
    if !passed(&lifecycle.deprecated) {
        return findings;
    }
    let since = lifecycle.deprecated.as_deref().unwrap_or_default();
    let mut message = format!("AWS deprecated the runtime {} on {since}", baseline.runtime);
    for (what, date) in [("creating", &lifecycle.create_blocked), ("updating", &lifecycle.update_blocked)] {
        if let Some(date) = date {
            let verb = if *date <= today { "has been blocked since" } else { "will be blocked on" };
            message.push_str(&format!("; {what} functions {verb} {date}"));
        }
    }
    let mut finding = Finding::new(Code::RuntimeDeprecated, name, message);
    let is_older = baseline.runtime != crate::settings::DEFAULT_RUNTIME;
    if is_older && runtimes().contains(&baseline.runtime.as_str()) {
        finding = finding.help(format!("move to `--runtime {}`", crate::settings::DEFAULT_RUNTIME));
    }
    findings.push(finding);
    findings
}

/// Prints an artifact's findings and listing, and keeps it for the document.
fn conclude(artifact: &mut Artifact, findings: &mut [Finding], settings: &Settings, ui: &Ui) -> bool {
    // The verdict is what Lambda would do; `--deny` only moves the exit status.
    artifact.verdict = report::verdict(findings);
    settings.output.weigh(findings);
    report::sort(findings);
    artifact.findings = report::finding_reports(findings);
    for (at, finding) in findings.iter().enumerate() {
        let mut shown = finding.clone();
        // The same advice for several findings in a row is given once, after the last.
        let next = findings.get(at + 1);
        if next.is_some_and(|next| next.help == finding.help && next.severity == finding.severity) {
            shown.help = None;
        }
        ui.finding(&shown);
    }
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Whether any of these findings makes the run fail, by the severities that the settings give them.
fn fails(findings: &[Finding], settings: &Settings) -> bool {
    let mut findings = findings.to_vec();
    settings.output.weigh(&mut findings);
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Adds findings; what is found of a library that two programs load is said once.
fn add_findings(known: &mut Vec<Finding>, more: Vec<Finding>) {
    for finding in more {
        if !known.iter().any(|known| known.key() == finding.key()) {
            known.push(finding);
        }
    }
}

/// Adds the libraries of another program.
fn add_libraries(known: &mut Vec<Library>, more: Vec<Library>) {
    for library in more {
        match known.iter_mut().find(|known| known.soname == library.soname) {
            Some(known) => {
                known.needed_by.extend(library.needed_by);
                known.needed_by.sort();
                known.needed_by.dedup();
            }
            None => known.push(library),
        }
    }
    known.sort_by(|a, b| a.soname.cmp(&b.soname));
}

/// Adds what to do about a file that the user named and that could not be read.
fn unreadable(error: Error, otherwise: &str) -> Error {
    use std::error::Error as _;
    let denied = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied);
    error.or_help(if denied {
        "let this user read it (`chmod +r`), or run as one who may"
    } else {
        otherwise
    })
}

/// Wraps an ELF error about a file that the user named.
fn unreadable_program(path: &camino::Utf8Path, error: crate::elf::ElfError) -> Error {
    match error {
        ElfError::NotElf(format) => {
            let error = Error::new(format!("`{path}` is {}, not an ELF program", format.describe()));
            match format {
                OtherFormat::MachO | OtherFormat::Windows => error.help(
                    "build for Linux: `--target x86_64-unknown-linux-gnu` or `--target aarch64-unknown-linux-gnu`",
                ),
                OtherFormat::Script => error.help(
                    "name the program that the script starts; a script can be the `bootstrap` of a layer only",
                ),
                OtherFormat::Zip => error.help(format!("audit an archive with `cargo lambda-bundle verify {path}`")),
                OtherFormat::Empty => error.help("build it again"),
                _ => error.help("name the file of a built program"),
            }
        }
        ElfError::TooShort => Error::new(format!("`{path}` is cut off: it is shorter than an ELF header"))
            .help("build it again"),
        malformed => Error::new(format!("could not read `{path}` as an ELF file"))
            .because(malformed)
            .help("build it again, or copy it again: it is not what a linker wrote"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(recorded: &str, days_after_2026_01_01: u64, expected: &[Code]) {
        let Some(mut baseline) = embedded("provided.al2023", Arch::X86_64) else { panic!("no table") };
        baseline.recorded = recorded.to_owned();
        let now =
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + days_after_2026_01_01 * 86_400);
        let codes: Vec<Code> =
            runtime_findings(&baseline, "app", now).iter().map(|finding| finding.code).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_table_is_old_after_a_year() {
        check("2026-01-01", 365, &[]);
        check("2026-01-01", 366, &[Code::BaselineOld]);
        check("2027-01-01", 0, &[]);
        check("a day that is none", 366, &[]);
    }
}
