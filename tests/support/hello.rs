//! The function of `testdata/hello`, built by cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tools;

/// The SONAME of the library that the function needs and Lambda lacks.
pub const SONAME: &str = "libgreeting.so.1";

/// What cargo built.
pub struct Built {
    /// The program.
    pub program: PathBuf,
    /// `OUT_DIR` of the build script, which has the shared library where the target links dynamically.
    pub out_dir: PathBuf,
}

/// The function's own manifest.
pub fn manifest() -> PathBuf {
    project().join("Cargo.toml")
}

/// The target directory that all tests and targets share, so that build scripts and macros are built once.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("hello")
}

/// Whether this machine can build the function for `target`; if not, it is said why.
#[track_caller]
pub fn require(test: &str, target: &str) -> bool {
    let arch = target.split('-').next().expect("a split has a first part");
    let (compiler, package) = match arch {
        _ if arch == std::env::consts::ARCH => ("cc".into(), "gcc".into()),
        _ => (format!("{arch}-linux-gnu-gcc"), format!("gcc-{}-linux-gnu", arch.replace('_', "-"))),
    };
    tools::require_target(test, target) && tools::require(test, &compiler, &package)
}

/// Builds the function for `target`, profile release.
pub fn build(target: &str) -> Built {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "--message-format",
            "json",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(target_dir())
        // cargo reads `.cargo/config.toml`, which names the linkers, from the directory it runs in.
        .current_dir(project())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "hello for {target}:\n{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let messages: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("cargo writes JSON")).collect();
    let path = |reason: &str, key: &str| -> PathBuf {
        let of_hello = |message: &&Value| {
            message["reason"] == reason
                && message[key].is_string()
                && message["package_id"].as_str().is_some_and(|id| id.contains("/testdata/hello#"))
        };
        let message = messages.iter().find(of_hello).unwrap_or_else(|| panic!("no {reason} in {stdout}"));
        message[key].as_str().expect("a string, by the condition above").into()
    };
    Built {
        program: path("compiler-artifact", "executable"),
        out_dir: path("build-script-executed", "out_dir"),
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hello")
}
