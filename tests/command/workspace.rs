//! Finding built programs, with the real cargo on small projects without dependencies.
//!
//! Most rows put a stand-in where cargo would have put the program; those on build scripts and sources build.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod built;
mod choices;
mod identity;
mod places;
mod selection;

use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::process::Command;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_lambda_bundle::environment::Environment;
use cargo_lambda_bundle::error::Error;
use cargo_lambda_bundle::workspace::{BuiltProgram, Origin, Selection, find};

use crate::support::scene::Scene;

const X86_64: u8 = 62;
const AARCH64: u8 = 183;
const GNU: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

/// A project in a directory of its own, with the environment pinned.
struct Project {
    scene: Scene,
    root: Utf8PathBuf,
    environment: Environment,
}

impl Deref for Project {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Project {
        let scene = Scene::new();
        let root = Utf8PathBuf::from_path_buf(scene.path().canonicalize().unwrap()).unwrap();
        // rustup's proxies need these to start the real cargo and rustc.
        let kept = ["PATH", "HOME", "CARGO", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SYSTEMROOT"];
        let mut vars: Vec<(OsString, OsString)> =
            kept.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        vars.push(("CARGO_HOME".into(), root.join("cargo-home").into_string().into()));
        for (path, text) in files {
            scene.file(path, text);
        }
        Project { environment: Environment { current_dir: root.clone(), vars }, scene, root }
    }

    /// A path in it, as it is found.
    fn path_to(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path)
    }

    /// A stand-in for a built program, as far as it is looked at; `mark` makes it differ from others.
    fn program(&self, path: &str, machine: u8, mark: &str) -> &Self {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        bytes.extend(mark.as_bytes());
        self.file(path, bytes);
        self
    }

    fn var(mut self, name: &str, value: &str) -> Project {
        self.environment.vars.push((name.into(), value.into()));
        self
    }

    fn without_var(mut self, name: &str) -> Project {
        self.environment.vars.retain(|(key, _)| key != name);
        self
    }

    fn in_dir(mut self, path: &str) -> Project {
        self.environment.current_dir = self.path_to(path);
        self
    }

    /// What the real cargo prints.
    fn cargo(&self, arguments: &str) -> Vec<u8> {
        let mut command = Command::new("cargo");
        command.env_clear().envs(self.environment.vars.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.environment.current_dir).args(arguments.split_whitespace());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn find(&self, selection: &Selection) -> Vec<BuiltProgram> {
        find(selection, &self.environment).unwrap_or_else(|error| panic!("{}", self.text(&error)))
    }

    /// One line for each artifact: package, name, where from, target, profile, path.
    #[track_caller]
    fn check(&self, selection: Selection, expected: &[&str]) {
        let lines: Vec<String> = self.find(&selection).iter().map(|artifact| self.line(artifact)).collect();
        assert_eq!(lines, expected);
    }

    fn line(&self, artifact: &BuiltProgram) -> String {
        assert!(artifact.path.is_absolute());
        let origin = match artifact.origin {
            Origin::Cargo => "cargo",
            Origin::CargoLambda => "cargo-lambda",
            Origin::Built => "built",
        };
        let target = artifact.target.as_deref().unwrap_or("-");
        let profile = artifact.profile.as_deref().unwrap_or("-");
        let path = artifact.path.strip_prefix(&self.root).unwrap_or(&artifact.path);
        format!("{} {} {origin} {target} {profile} {path}", artifact.package, artifact.name)
    }

    /// The error as printed, with the project's directory as `[P]`.
    #[track_caller]
    fn check_error(&self, selection: Selection, expected: &[&str]) {
        let error = find(&selection, &self.environment).unwrap_err();
        assert_eq!(self.text(&error).lines().collect::<Vec<_>>(), expected);
    }

    fn text(&self, error: &Error) -> String {
        let mut text = error.to_string();
        for cause in error.causes() {
            text.push_str(&format!("\ncaused by: {cause}"));
        }
        if let Some(help) = error.help_text() {
            text.push_str(&format!("\nhelp: {help}"));
        }
        text.replace(self.root.as_str(), "[P]")
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn all() -> Selection {
    Selection::default()
}

fn packages(names: &[&str]) -> Selection {
    Selection { packages: strings(names), ..all() }
}

fn bins(names: &[&str]) -> Selection {
    Selection { bins: strings(names), ..all() }
}

fn targets(names: &[&str]) -> Selection {
    Selection { targets: strings(names), ..all() }
}

fn profile(name: &str) -> Selection {
    Selection { profile: Some(name.to_owned()), ..all() }
}

fn manifest(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.23.4\"\nedition = \"2021\"\n")
}

const MAIN: &str = "fn main() {}\n";

/// One package, one binary: `orders`.
fn single() -> Project {
    Project::new(&[("Cargo.toml", &manifest("orders")), ("src/main.rs", MAIN)])
}

/// A virtual workspace of `a` and `b`; both have a binary of that name.
fn workspace(root: &str) -> Project {
    let project = Project::new(&[
        ("Cargo.toml", &format!("[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n{root}")),
        ("a/Cargo.toml", &manifest("a")),
        ("a/src/main.rs", MAIN),
        ("b/Cargo.toml", &manifest("b")),
        ("b/src/main.rs", MAIN),
    ]);
    project.program("target/release/a", X86_64, "a").program("target/release/b", X86_64, "b");
    project
}

fn set_modified(path: &Utf8Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}
