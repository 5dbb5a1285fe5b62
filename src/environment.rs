//! What is taken from the process that the user started: its current directory and its variables.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use camino::Utf8PathBuf;

/// The current directory and all variables. Other programs are started with exactly these.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The directory that relative paths, and cargo's search for `Cargo.toml`, start from; absolute.
    pub current_dir: Utf8PathBuf,
    /// All variables.
    pub vars: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The value of a variable; an empty one counts as not set, as for cargo's own variables.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        // Windows has `Path` for `PATH`.
        let is_it = |key: &OsStr| key == name || (cfg!(windows) && key.eq_ignore_ascii_case(name));
        let (_, value) = self.vars.iter().rev().find(|(key, _)| is_it(key))?;
        Some(value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The value of a variable if it is UTF-8 and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.var(name)?.to_str()
    }

    /// The program that a name or a path means, by `PATH`.
    ///
    /// # Errors
    ///
    /// If there is none that can be executed.
    pub fn find(&self, program: impl AsRef<OsStr>) -> which::Result<PathBuf> {
        which::which_in(program, self.var("PATH"), &self.current_dir)
    }

    /// A program to start in the current directory, with these variables and no input.
    #[expect(clippy::disallowed_methods, reason = "all programs are started here")]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.pin(&mut command);
        command
    }

    /// Gives a command the current directory, these variables and no input.
    pub fn pin(&self, command: &mut Command) {
        let vars = self.vars.iter().map(|(name, value)| (name, value));
        command.current_dir(&self.current_dir).env_clear().envs(vars).stdin(Stdio::null());
    }
}

/// Runs a command to its end; why it failed is what it wrote to stderr, else its exit status.
///
/// # Errors
///
/// It cannot be started, or does not exit with 0.
pub fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if stderr.is_empty() { output.status.to_string() } else { stderr })
}
