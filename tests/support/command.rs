//! The real binary, run in a pinned environment; exit code, stdout and stderr together.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::{findings, schema, tools};

/// The built binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_cargo-lambda-bundle");

/// What rustup's proxies, cargo and the compilers need; the rest of the environment is not ours.
const KEPT: &[&str] = &["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "TMPDIR"];

/// The built binary, to be run in `dir`, without colour and without the caller's settings.
pub fn bundle_cmd(dir: &Path) -> assert_cmd::Command {
    command(BINARY, dir)
}

/// Another program in the same environment.
pub fn command(program: impl AsRef<OsStr>, dir: &Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(program);
    command.env_clear().current_dir(dir).env("TZ", "UTC").timeout(std::time::Duration::from_secs(120));
    // Records of bundles are ours, not the user's.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// How a run ended.
pub struct Ran {
    /// Exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// All else.
    pub stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {:?}\n-- stdout\n{}-- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the built binary in `dir` with these arguments, separated by white space.
pub fn run(dir: &Path, arguments: &str) -> Ran {
    finish(bundle_cmd(dir).args(arguments.split_whitespace()))
}

/// Runs a prepared command to its end.
pub fn finish(command: &mut assert_cmd::Command) -> Ran {
    let output = tools::unless_busy(|| command.output()).unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    };
    for line in ran.stderr.lines() {
        findings::check_line(line);
    }
    ran
}

impl Ran {
    /// Checks the exit status, and that nothing was coloured.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(!self.stderr.contains('\u{1b}'), "coloured: {self}");
        self
    }

    /// Checks that stderr has each of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Ran {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?}: {self}");
        }
        self
    }

    /// Checks that stderr has none of these.
    #[track_caller]
    pub fn keeps_silent_about(self, texts: &[&str]) -> Ran {
        for text in texts {
            assert!(!self.stderr.contains(text), "{text:?}: {self}");
        }
        self
    }

    /// Checks that stdout has this and nothing else.
    #[track_caller]
    pub fn prints(self, stdout: &str) -> Ran {
        assert_eq!(self.stdout, stdout, "{self}");
        self
    }

    /// The one JSON document on stdout, which the published schema describes.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"));
        schema::check(&document, schema::ours());
        document
    }

    /// The line of stderr that has this verb and this library, its columns joined by single spaces.
    #[track_caller]
    pub fn line(&self, verb: &str, soname: &str) -> String {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let start = format!("{verb} {soname} ");
        let found = self.stderr.lines().map(words).find(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("no `{start}` in: {self}"))
    }

    /// What follows the verb in each line of the listing, first word only: the libraries.
    pub fn listed(&self, verb: &str) -> Vec<String> {
        self.stderr
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(verb)?.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    }
}
