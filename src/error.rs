//! The error of a run without a result (exit status 101), or with wrong arguments (2).
//!
//! A fault of the user's program is not an error but a finding: see [`crate::audit`]. `Display` says what failed and
//! names the file, `source` says why; neither repeats the other.

use std::fmt;

/// A result whose error ends the run.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why the run has no result.
#[derive(Debug)]
pub struct Error {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    help: Option<String>,
    usage: bool,
    absent: bool,
}

impl Error {
    /// Creates an error with what failed: lowercase, no final period, the file in backticks.
    pub fn new(message: impl Into<String>) -> Self {
        Error { message: message.into(), source: None, help: None, usage: false, absent: false }
    }

    /// Creates an error in the arguments: exit status 2, as for an unknown option.
    pub fn usage(message: impl Into<String>) -> Self {
        Error { usage: true, ..Error::new(message) }
    }

    /// Whether the command line is wrong.
    pub fn is_usage(&self) -> bool {
        self.usage
    }

    /// Makes this the error that the program has nothing of the requested name; another program may have it.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.absent = true;
        self
    }

    /// Whether the program has nothing of the requested name.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Adds the place of the wrong value, if it was not on the command line.
    #[must_use]
    pub fn named_in(mut self, place: &str) -> Self {
        self.message = format!("{} (from {place})", self.message);
        self
    }

    /// Makes this an error of a file, not of the command line: exit status 101.
    #[must_use]
    pub fn not_usage(mut self) -> Self {
        self.usage = false;
        self
    }

    /// Adds the reason.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds one step to do next, in the imperative.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds one step to do next, unless the error already has one.
    #[must_use]
    pub fn or_help(self, help: &str) -> Self {
        if self.help.is_some() { self } else { self.help(help) }
    }

    /// The step to do next, if there is one.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The causes, outermost first, each with its own text.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
