//! The settings of the report.

use std::collections::BTreeSet;

use crate::audit::{Code, Finding, Severity};
use crate::cli::{ColorArg, MessageFormat, OutputArgs};
use crate::error::{Error, Result};
use crate::nearest::{nearest, nearest_first};

use super::Context;

/// The settings of the report.
#[derive(Debug, Clone)]
pub struct Output {
    /// The format of the report. Baselines and settings are printed as text or JSON.
    pub format: MessageFormat,
    /// 0 quiet, 1 normal, 2 and more verbose.
    pub verbosity: u8,
    /// Whether to use colour; `None` to use it if stderr is a terminal.
    pub color: Option<bool>,
    /// Whether a long run may show a progress bar on a terminal.
    pub may_show_progress: bool,
    deny: BTreeSet<Code>,
    /// Whether all warnings become errors: `--deny warnings`.
    denies_warnings: bool,
    allow: BTreeSet<Code>,
}

/// The word for all warnings.
const WARNINGS: &str = "warnings";

/// cargo's variable for `--quiet`.
pub(super) const TERM_QUIET: &str = "CARGO_TERM_QUIET";

impl Output {
    /// Returns the output settings, even if other arguments of the run are wrong.
    pub fn new(args: &OutputArgs, context: &Context) -> Result<Output> {
        let verbosity = verbosity(args, context);
        let is_code = |name: &&String| *name != WARNINGS;
        Ok(Output {
            format: args.message_format,
            verbosity,
            color: color(args.color, context),
            may_show_progress: may_show_progress(context),
            deny: codes("--deny", args.deny.iter().filter(is_code))?,
            denies_warnings: args.deny.iter().any(|name| name == WARNINGS),
            allow: codes("--allow", args.allow.iter())?,
        })
    }

    /// Whether stdout has JSON.
    pub fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// Whether stdout has one document and nothing else.
    pub fn is_document(&self) -> bool {
        matches!(self.format, MessageFormat::Json | MessageFormat::Sarif | MessageFormat::Gitlab)
    }

    /// Returns the codes of `--allow`.
    pub fn allowed(&self) -> impl Iterator<Item = Code> {
        self.allow.iter().copied()
    }

    /// Changes severities by `--deny` and `--allow`. Errors stay errors; a code of `--allow` is no warning that
    /// `--deny warnings` means.
    pub fn weigh(&self, findings: &mut [Finding]) {
        for finding in findings {
            if self.deny.contains(&finding.code) {
                finding.severity = Severity::Error;
            } else if self.allow.contains(&finding.code) && finding.severity == Severity::Warning {
                finding.severity = Severity::Note;
            } else if self.denies_warnings && finding.severity == Severity::Warning {
                finding.severity = Severity::Error;
            }
        }
    }
}

/// Decides by the flag, then CARGO_TERM_COLOR, then NO_COLOR and CLICOLOR_FORCE, then the terminal.
pub(super) fn color(arg: ColorArg, context: &Context) -> Option<bool> {
    let word = match arg {
        ColorArg::Always => "always",
        ColorArg::Never => "never",
        ColorArg::Auto => context.environment.text("CARGO_TERM_COLOR").unwrap_or("auto"),
    };
    match word {
        "always" => Some(true),
        "never" => Some(false),
        _ if context.environment.text("NO_COLOR").is_some() => Some(false),
        _ if context.environment.text("CLICOLOR_FORCE").is_some_and(|value| value != "0") => Some(true),
        _ => None,
    }
}

/// Decides like cargo, apart from the terminal: CARGO_TERM_PROGRESS_WHEN, else not in CI and not on a dumb terminal.
pub(super) fn may_show_progress(context: &Context) -> bool {
    match context.environment.text("CARGO_TERM_PROGRESS_WHEN") {
        Some("never") => false,
        Some("always") => true,
        _ => context.environment.text("CI").is_none() && context.environment.text("TERM") != Some("dumb"),
    }
}

fn codes<'a>(flag: &str, mut names: impl Iterator<Item = &'a String>) -> Result<BTreeSet<Code>> {
    names.try_fold(BTreeSet::new(), |mut codes, name| {
        codes.insert(Code::from_name(name).ok_or_else(|| unknown_code(flag, name))?);
        Ok(codes)
    })
}

/// Makes the error for a word that is not the code of a finding.
pub(super) fn unknown_code(flag: &str, name: &str) -> Error {
    let mut known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    if flag == "--deny" {
        known.push(WARNINGS);
    }
    let error = Error::usage(format!("`{flag} {name}` is not the code of a finding"));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{flag} {near}`?")),
        None => {
            let similar = nearest_first(name, &known)[..5].join(", ");
            error.help(format!("the most similar are {similar}; `help findings` lists all"))
        }
    }
}

/// Decides by the flags, then CARGO_TERM_QUIET, which cargo itself obeys with `--build`, too.
pub(super) fn verbosity(args: &OutputArgs, context: &Context) -> u8 {
    let is_quiet = args.quiet || (args.verbose == 0 && context.environment.text(TERM_QUIET) == Some("true"));
    if is_quiet { 0 } else { args.verbose.saturating_add(1) }
}
