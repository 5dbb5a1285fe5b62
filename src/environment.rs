//! What is taken from the process that the user started: its current directory and its variables.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use camino::Utf8PathBuf;

/// The current directory and all variables. Other programs are started with these.
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

    /// The directories of `PATH`. Elements that are relative or empty mean the current directory to a shell, and with it
    /// whatever lies in a checkout; no program is taken from them.
    pub fn path(&self) -> impl Iterator<Item = PathBuf> {
        self.var("PATH")
            .into_iter()
            .flat_map(std::env::split_paths)
            .filter(|directory| directory.is_absolute())
    }

    /// The program that a name or a path means, by `PATH`.
    ///
    /// # Errors
    ///
    /// If there is none that can be executed.
    pub fn find(&self, program: impl AsRef<OsStr>) -> which::Result<PathBuf> {
        self.find_in(program, self.path())
    }

    /// The program that a name in one of these directories, or a path, means.
    ///
    /// # Errors
    ///
    /// If there is none that can be executed.
    pub fn find_in(
        &self,
        program: impl AsRef<OsStr>,
        directories: impl Iterator<Item = PathBuf>,
    ) -> which::Result<PathBuf> {
        let path = joined(directories);
        // An empty list would mean the current directory.
        if path.is_empty() && is_bare(program.as_ref()) {
            return Err(which::Error::CannotFindBinaryPath);
        }
        which::which_in(program, Some(path), &self.current_dir)
    }

    /// A program to start in the current directory, with these variables and no input.
    #[expect(clippy::disallowed_methods, reason = "all programs are started here")]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.pin(&mut command);
        command
    }

    /// Gives a command the current directory, these variables and no input. Its `PATH` is [`Environment::path`].
    pub fn pin(&self, command: &mut Command) {
        let vars = self.vars.iter().map(|(name, value)| (name, value));
        command.current_dir(&self.current_dir).env_clear().envs(vars).stdin(Stdio::null());
        if self.var("PATH").is_some() {
            command.env("PATH", joined(self.path()));
        }
    }
}

/// Returns a value for `PATH`.
pub fn joined(directories: impl Iterator<Item = PathBuf>) -> OsString {
    // Each directory was an element of such a value, so that none contains the separator.
    std::env::join_paths(directories).unwrap_or_default()
}

/// Whether a program is named without a directory, so that it is looked up in `PATH`.
pub fn is_bare(program: &OsStr) -> bool {
    Path::new(program).components().count() == 1 && Path::new(program).file_name() == Some(program)
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
