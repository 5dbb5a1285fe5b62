//! The terminal: colour, status lines like cargo's, progress; stdout is for data only.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::audit::{Finding, Severity};
use crate::disk::interrupt::{self, Registered};
use crate::error::{Error, Result};
use crate::report::finding_details;
use crate::text::printable;

/// The terminal's settings and state.
pub struct Ui {
    verbosity: u8,
    color: anstream::ColorChoice,
    shows_progress: bool,
    /// The width of the terminal; `None` if stderr is no terminal.
    columns: Option<usize>,
    is_silent: bool,
    /// The progress bar at the bottom of the terminal.
    bar: RefCell<Option<ProgressBar>>,
    /// The error that stopped the output of data.
    lost: RefCell<Option<io::Error>>,
    /// Output that is kept to be printed later; `None` if it is printed at once.
    kept: Option<RefCell<Vec<Kept>>>,
}

/// How something went, by which the line about it is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// As wished: green.
    Good,
    /// Not known: yellow.
    Open,
    /// Not as wished: red.
    Bad,
}

/// One piece of output.
enum Kept {
    Line(String),
    Data(String),
}

/// Work with a progress bar.
#[must_use]
pub struct Progress<'a>(&'a Ui, #[expect(dead_code, reason = "its end is what matters")] Option<Registered>);

impl Progress<'_> {
    /// Counts one more item as done, and shows its name.
    pub fn done(&self, text: &str) {
        if let Some(bar) = &*self.0.bar.borrow() {
            bar.set_message(printable(text));
            bar.inc(1);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.0.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Delay before a progress bar appears.
const UNTIL_SHOWN: Duration = Duration::from_millis(500);

const BETWEEN_TICKS: Duration = Duration::from_millis(200);

const VERB: Style = AnsiColor::Green.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();

impl Ui {
    /// Sets the terminal up. Without `color`, colours are used if stderr is a terminal. `verbosity` 0 prints findings
    /// only. A terminal shows progress only if `may_show_progress`.
    pub fn new(verbosity: u8, color: Option<bool>, may_show_progress: bool) -> Ui {
        let color = match color {
            Some(true) => anstream::ColorChoice::AlwaysAnsi,
            Some(false) => anstream::ColorChoice::Never,
            None => anstream::ColorChoice::Auto,
        };
        let shows_progress = may_show_progress && std::io::stderr().is_terminal();
        let columns = terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| width.0.into());
        let (bar, lost) = (RefCell::default(), RefCell::default());
        Ui { verbosity, color, shows_progress, columns, is_silent: false, bar, lost, kept: None }
    }

    /// Makes a `Ui` that prints data only.
    pub fn silent() -> Ui {
        Ui { is_silent: true, ..Ui::new(0, Some(false), false) }
    }

    /// Makes a `Ui` that keeps its output for [`Ui::replay`] of this one.
    pub fn buffered(&self) -> Ui {
        Ui {
            shows_progress: false,
            bar: RefCell::default(),
            lost: RefCell::default(),
            kept: Some(RefCell::default()),
            ..*self
        }
    }

    /// Prints the kept output of another `Ui`.
    pub fn replay(&self, ui: Ui) {
        for kept in ui.kept.into_iter().flat_map(RefCell::into_inner) {
            match kept {
                Kept::Line(text) => self.line(&text),
                Kept::Data(text) => self.data(&text),
            }
        }
    }

    /// Whether `-v` was given.
    pub fn is_verbose(&self) -> bool {
        self.verbosity > 1
    }

    /// Prints a status line such as `    Choosing orders`.
    pub fn status(&self, verb: &str, text: &str) {
        self.styled(VERB, verb, text);
    }

    fn styled(&self, style: Style, verb: &str, text: &str) {
        if self.verbosity > 0 {
            let text = self.wrapped(&printable(text), 13, 13);
            self.line(&format!("{style}{verb:>12}{style:#} {text}"));
        }
    }

    /// Prints a status line only with `-v`.
    pub fn detail(&self, verb: &str, text: &str) {
        if self.is_verbose() {
            self.status(verb, text);
        }
    }

    /// Prints the line that tells how it went.
    pub fn outcome(&self, tone: Tone, verb: &str, text: &str) {
        match tone {
            Tone::Good => self.styled(VERB, verb, text),
            Tone::Open => self.styled(WARNING, verb, text),
            Tone::Bad => self.styled(ERROR, verb, text),
        }
    }

    /// Prints a status line that is the answer, and so is printed with `-q`, too.
    pub fn answer(&self, verb: &str, text: &str) {
        let text = self.wrapped(&printable(text), 13, 13);
        self.line(&format!("{VERB}{verb:>12}{VERB:#} {text}"));
    }

    /// Prints what the next findings are about; with `-v` other lines tell.
    pub fn about(&self, text: &str) {
        if !self.is_verbose() {
            self.line(&format!("{}:", printable(text)));
        }
    }

    /// Whether stdout and stderr are terminals and status lines are printed there, so that what one tells the other need not.
    pub fn is_read_by_a_person(&self) -> bool {
        self.verbosity > 0 && self.columns.is_some() && io::stdout().is_terminal()
    }

    /// Whether a finding is printed: a note is only with `-v`, or if it leaves the verdict open.
    pub fn shows(&self, finding: &Finding) -> bool {
        finding.severity != Severity::Note || self.is_verbose() || finding.leaves_open
    }

    /// Prints a finding with its details and its help.
    pub fn finding(&self, finding: &Finding) {
        let (style, word) = match finding.severity {
            _ if !self.shows(finding) => return,
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
            Severity::Note => (NOTE, "note"),
        };
        let code = finding.code.as_str();
        let before = word.len() + code.len() + "[]: ".len();
        let message = self.wrapped(&printable(&finding.message), before, 2);
        self.line(&format!("{style}{word}[{code}]{style:#}: {message}"));
        for detail in finding_details(finding, self.is_verbose()) {
            self.line(&format!("  {}", self.wrapped(&printable(&detail), 2, 4)));
        }
        if let Some(help) = &finding.help {
            self.help(help);
        }
    }

    fn help(&self, text: &str) {
        self.line(&format!("{NOTE}help{NOTE:#}: {}", self.paragraph(text, "help: ".len())));
    }

    /// Prints the error that stopped the run.
    pub fn error(&self, error: &Error) {
        self.line(&format!("{ERROR}error{ERROR:#}: {}", self.paragraph(&error.to_string(), "error: ".len())));
        for cause in error.causes() {
            self.line(&format!("  caused by: {}", self.paragraph(&cause, "  caused by: ".len())));
        }
        if let Some(help) = error.help_text() {
            self.help(help);
        }
    }

    /// Prints data on stdout. A failed write becomes the error of [`delivered`](Self::delivered).
    pub fn data(&self, text: &str) {
        if let Some(kept) = &self.kept {
            return kept.borrow_mut().push(Kept::Data(text.to_owned()));
        }
        self.above_the_bar(|| {
            let mut stdout = io::stdout();
            let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            match written {
                // A reader that closes the pipe early (`| head`) is no error.
                Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
                    self.lost.borrow_mut().get_or_insert(cause);
                }
                Ok(()) | Err(_) => {}
            }
        });
    }

    /// Prints a line of text on stdout, wrapped at the width of a terminal there.
    pub fn text(&self, line: &str) {
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
        let line = printable(line);
        let at_indent = line.len() - line.trim_start().len();
        // A title has a column of its own.
        let indent = if line.starts_with("  ") { at_indent.max(13) + 2 } else { 2 };
        self.data(&format!("{}\n", width.map_or(line.clone(), |columns| wrap(&line, columns, 0, indent))));
    }

    /// Checks that all data reached stdout.
    ///
    /// # Errors
    ///
    /// The first write that failed.
    pub fn delivered(&self) -> Result<()> {
        match self.lost.take() {
            Some(cause) => Err(Error::new("could not write to the standard output")
                .because(cause)
                .help("run it again with its output on a disk with free space")),
            None => Ok(()),
        }
    }

    /// Shows a progress bar at the bottom of a terminal until the returned value is dropped.
    ///
    /// It appears after half a second: most runs are over by then.
    pub fn progress(&self, verb: &str, text: &str, all: usize) -> Progress<'_> {
        let mut registered = None;
        if self.shows_progress && self.verbosity > 0 {
            let bar = ProgressBar::with_draw_target(Some(all as u64), ProgressDrawTarget::hidden());
            let template = match all {
                0 | 1 => "{prefix:>12.bold.cyan} {wide_msg} {elapsed}",
                _ => "{prefix:>12.bold.cyan} [{bar:25}] {pos}/{len}: {wide_msg} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(verb.to_owned());
            bar.set_message(printable(text));
            let later = bar.downgrade();
            // If no thread can be started, no bar appears, and none is needed.
            let _ = std::thread::Builder::new().spawn(move || {
                std::thread::sleep(UNTIL_SHOWN);
                if let Some(bar) = later.upgrade().filter(|bar| !bar.is_finished()) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(BETWEEN_TICKS);
                }
            });
            let shown = bar.downgrade();
            let clear = move || shown.upgrade().iter().for_each(ProgressBar::finish_and_clear);
            registered = Some(interrupt::undo(clear));
            *self.bar.borrow_mut() = Some(bar);
        }
        Progress(self, registered)
    }

    fn line(&self, text: &str) {
        if self.is_silent {
            return;
        }
        if let Some(kept) = &self.kept {
            return kept.borrow_mut().push(Kept::Line(text.to_owned()));
        }
        self.above_the_bar(|| {
            let mut stderr = anstream::AutoStream::new(std::io::stderr(), self.color);
            // If stderr is closed, the error cannot be reported anywhere.
            let _ = stderr.write_all(format!("{text}\n").as_bytes());
        });
    }

    /// Wraps text that starts in column `at` at the terminal's width, with later lines indented; without a terminal
    /// it is unchanged.
    fn wrapped(&self, text: &str, at: usize, indent: usize) -> String {
        self.columns.map_or(text.to_owned(), |columns| wrap(text, columns, at, indent))
    }

    /// Formats lines that start in column `at`: all but the first are indented, and each is wrapped at the terminal's
    /// width.
    fn paragraph(&self, text: &str, at: usize) -> String {
        let mut lines = text.lines().map(printable);
        let first = self.wrapped(&lines.next().unwrap_or_default(), at, 2);
        lines.fold(first, |text, line| format!("{text}\n    {}", self.wrapped(&line, 4, 6)))
    }

    /// Hides the bar while a line is printed.
    fn above_the_bar(&self, write: impl FnOnce()) {
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Breaks a line between words at the last column. Runs of spaces, which align columns, stay; so do literals in
/// backticks, since a command must paste as one line.
fn wrap(text: &str, columns: usize, at: usize, indent: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    let mut column = at;
    let mut in_literal = false;
    let words = text.split_inclusive(|character| {
        in_literal ^= character == '`';
        character == ' ' && !in_literal
    });
    for word in words {
        let width = word.trim_end().chars().count();
        if column + width > columns && column > indent {
            wrapped.truncate(wrapped.trim_end().len());
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        wrapped.push_str(word);
        column += word.chars().count();
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(wrap(text, 12, 4, 2), expected);
    }

    #[test]
    fn lines_break_between_words() {
        check("one two", "one two");
        check("four four", "four\n  four");
        check("a bcd efg hi jklmno", "a bcd\n  efg hi\n  jklmno");
        check("a  b  c", "a  b  c");
        check("a  a-word-that-is-longer b", "a\n  a-word-that-is-longer\n  b");
        check("a `b c d e` f g", "a\n  `b c d e`\n  f g");
        check("a `command that is longer`; b", "a\n  `command that is longer`;\n  b");
        check("", "");
    }
}
