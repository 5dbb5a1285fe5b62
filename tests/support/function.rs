//! The functions of `testdata/`, built by cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What cargo said while it built.
pub struct Messages {
    of_package: Vec<Value>,
}

impl Messages {
    /// The path under `key` in the package's own message for this `reason`.
    #[track_caller]
    pub fn path(&self, reason: &str, key: &str) -> PathBuf {
        let fits = |message: &&Value| message["reason"] == reason && message[key].is_string();
        let message = self.of_package.iter().find(fits);
        let message = message.unwrap_or_else(|| panic!("no {reason} in {:#?}", self.of_package));
        message[key].as_str().expect("a string, by the condition above").into()
    }
}

/// The function's directory.
pub fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The target directory that all functions, tests and targets share, so that what they have in common is
/// built once.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions")
}

/// How functions are built in a third of the time: what the loader does with them is the same.
pub const UNOPTIMIZED: (&str, &str) = ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");

/// Builds a function for `target`, profile release, but [`UNOPTIMIZED`]; `flags` are cargo's and, behind `--`, rustc's
/// for the program alone.
#[track_caller]
pub fn build(name: &str, target: &str, flags: &[&str]) -> Messages {
    let output = Command::new(env!("CARGO"))
        .args([
            "rustc",
            "--release",
            "--locked",
            "--message-format",
            "json-render-diagnostics",
            "--target",
            target,
        ])
        .arg("--target-dir")
        .arg(target_dir())
        .args(flags)
        .envs([UNOPTIMIZED])
        // cargo reads `.cargo/config.toml`, which names the linkers, from the directory it runs in.
        .current_dir(project(name))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{name} for {target}:\n{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let messages = stdout.lines().map(|line| serde_json::from_str(line).expect("cargo writes JSON"));
    let place = format!("/testdata/{name}#");
    let is_own =
        |message: &Value| message["package_id"].as_str().is_some_and(|package| package.contains(&place));
    Messages { of_package: messages.filter(is_own).collect() }
}
