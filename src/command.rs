//! The jobs: bundle, check, verify, config. Each takes final settings and calls one step after the other.

mod bundle;
mod config;
mod contents;
mod copies;
mod included;
mod lints;
mod verify;

use std::sync::Arc;
use std::time::SystemTime;

use crate::audit::{Code, Finding, Severity, pages};
use crate::baseline::{self, Baseline};
use crate::elf::{self, Arch, ElfError, ElfFacts, OtherFormat};
use crate::error::{Error, Result};
use crate::lambda::{LambdaWorld, MemberContent};
use crate::report::{self, Artifact, Report};
use crate::settings::{Context, Job, Lambda, Output, Resolved, Settings};
use crate::ui::Ui;
use crate::world::Opened;

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Findings of severity error.
    Findings,
}

/// Runs the job and prints its report.
///
/// # Errors
///
/// What kept the run from an answer. With JSON it is in the document on stdout, too.
pub fn run(resolved: &Resolved, context: &Context, ui: &Ui) -> Result<Outcome> {
    let settings = resolved.shared();
    let mut results = Vec::new();
    let answered = match &settings.job {
        Job::Bundle(_) => bundle::run(resolved, context, ui, &mut results),
        Job::Verify { archives, libs } => verify::run(archives, libs, settings, context, ui, &mut results),
        Job::Config => {
            config::print(resolved, ui);
            return Ok(Outcome::Done);
        }
        Job::Page(code) => {
            ui.data(pages::page(*code));
            return Ok(Outcome::Done);
        }
    };
    let fails = results.iter().any(|(_, fails)| *fails);
    if settings.output.json {
        let artifacts = results.into_iter().map(|(artifact, _)| artifact).collect();
        ui.data(&Report::new(artifacts, answered.as_ref().err()).to_json());
    }
    answered.map(|()| if fails { Outcome::Findings } else { Outcome::Done })
}

/// Reports an error from before the job began: with JSON, unless the command line is wrong, on stdout, too.
pub fn unanswered(error: Error, output: &Output, ui: &Ui) -> Result<Outcome> {
    if output.json && !error.is_usage() {
        ui.data(&Report::new(Vec::new(), Some(&error)).to_json());
    }
    Err(error)
}

/// Artifacts with whether a finding of theirs decides the exit status.
type Results = Vec<(Artifact, bool)>;

/// The Lambda world of a runtime; a finding if that runtime has no such architecture.
fn lambda_world(
    settings: &Lambda,
    runtime: &str,
    arch: Arch,
    name: &str,
) -> std::result::Result<LambdaWorld, Box<Finding>> {
    let Some(baseline) = baseline::embedded(runtime, arch) else {
        let finding = Finding::new(
            Code::WrongArch,
            name,
            format!("`{name}` is for {arch}, which the runtime {runtime} does not offer"),
        );
        return Err(Box::new(finding.help("choose another runtime: `--runtime provided.al2023`")));
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
    })
}

/// What a file of a bundle is to the loader.
fn member_content(bytes: &[u8]) -> MemberContent {
    match elf::parse(bytes) {
        Ok(facts) => MemberContent::Object(Arc::new(facts)),
        Err(ElfError::TooShort | ElfError::NotElf(OtherFormat::Empty)) => {
            MemberContent::Other(Opened::Rejected("file too short".into()))
        }
        Err(error @ ElfError::NotElf(_)) => {
            MemberContent::Other(Opened::Rejected(format!("invalid ELF header: {error}")))
        }
        Err(error) => MemberContent::Other(Opened::Rejected(error.to_string())),
    }
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
        .help(format!("build for {}-unknown-linux-gnu, or say `--arch {arch}`", wanted.gnu_name()))
    })
}

/// Findings about the runtime itself.
fn runtime_findings(baseline: &Baseline, name: &str, now: SystemTime) -> Vec<Finding> {
    let today = date(now);
    let lifecycle = &baseline.lifecycle;
    let passed = |date: &Option<String>| date.as_ref().is_some_and(|date| *date <= today);
    if !passed(&lifecycle.deprecated) {
        return Vec::new();
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
    if baseline.runtime != crate::settings::DEFAULT_RUNTIME {
        finding = finding.help(format!("move to `--runtime {}`", crate::settings::DEFAULT_RUNTIME));
    }
    vec![finding]
}

/// A point in time as `2026-11-21`, UTC.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0);
    let (year, month, day) = crate::archive::civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
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
