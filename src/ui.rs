//! The terminal: colour, status lines in cargo's manner, progress; stdout for data only.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::audit::{Finding, Severity};
use crate::error::Error;
use crate::report::{finding_details, printable};

/// How to write to the terminal.
pub struct Ui {
    verbosity: u8,
    color: anstream::ColorChoice,
    is_terminal: bool,
    is_silent: bool,
}

const VERB: Style = AnsiColor::Green.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();

impl Ui {
    /// `color` is `None` for when stderr is a terminal; `verbosity` 0 prints findings only.
    pub fn new(verbosity: u8, color: Option<bool>) -> Ui {
        let color = match color {
            Some(true) => anstream::ColorChoice::AlwaysAnsi,
            Some(false) => anstream::ColorChoice::Never,
            None => anstream::ColorChoice::Auto,
        };
        Ui { verbosity, color, is_terminal: std::io::stderr().is_terminal(), is_silent: false }
    }

    /// Prints data only.
    pub fn silent() -> Ui {
        Ui { verbosity: 0, color: anstream::ColorChoice::Never, is_terminal: false, is_silent: true }
    }

    /// Whether `-v` was given.
    pub fn is_verbose(&self) -> bool {
        self.verbosity > 1
    }

    /// `    Checking orders`.
    pub fn status(&self, verb: &str, text: &str) {
        if self.verbosity > 0 {
            self.line(&format!("{VERB}{verb:>12}{VERB:#} {}", printable(text)));
        }
    }

    /// A finding with its details and its help.
    pub fn finding(&self, finding: &Finding) {
        let (style, word) = match finding.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
            Severity::Note if self.is_verbose() => (NOTE, "note"),
            Severity::Note => return,
        };
        let code = finding.code.as_str();
        self.line(&format!("{style}{word}[{code}]{style:#}: {}", printable(&finding.message)));
        for detail in finding_details(finding, self.is_verbose()) {
            self.line(&format!("  {}", printable(&detail)));
        }
        if let Some(help) = &finding.help {
            self.line(&format!("{NOTE}help{NOTE:#}: {}", printable(help)));
        }
    }

    /// Why the run could not answer.
    pub fn error(&self, error: &Error) {
        self.line(&format!("{ERROR}error{ERROR:#}: {}", multiline(&error.to_string())));
        for cause in error.causes() {
            self.line(&format!("  caused by: {}", multiline(&cause)));
        }
        if let Some(help) = error.help_text() {
            self.line(&format!("{NOTE}help{NOTE:#}: {}", multiline(help)));
        }
    }

    /// A line of data on stdout.
    pub fn data(&self, text: &str) {
        // A reader that has gone away (`| head`) is not our failure.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// A spinner for work that takes a while; invisible unless stderr is a terminal.
    pub fn spinner(&self, verb: &str, text: &str) -> ProgressBar {
        if !self.is_terminal || self.verbosity == 0 {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(verb.to_owned());
        bar.set_message(printable(text));
        bar
    }

    fn line(&self, text: &str) {
        if self.is_silent {
            return;
        }
        let mut stderr = anstream::AutoStream::new(std::io::stderr(), self.color);
        // There is nowhere left to say that stderr is closed.
        let _ = stderr.write_all(format!("{text}\n").as_bytes());
    }
}

/// Cleans each line of a text and indents all but the first.
fn multiline(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n    ")
}
