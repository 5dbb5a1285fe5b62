//! What a checkout may not do: have its programs run, without `--build`, because a file of it says so.
//!
//! A checkout may be a stranger's, such as a pull request. So a program that a manifest or a configuration of it names
//! is run only by a bare name that stands for a program elsewhere. What flags and variables name is the user's word.

use std::ffi::OsStr;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use toml::Table;

use super::{config_files, files};
use crate::environment::{self, Environment};
use crate::error::{Error, Result};

/// The places from which no program is taken: the checkout around the current directory, and a workspace elsewhere.
pub struct Checkouts<'a> {
    environment: &'a Environment,
    /// With all links followed.
    roots: Vec<Utf8PathBuf>,
}

/// What tells the directory of a checkout.
const MARKS: [&str; 8] =
    [".git", ".hg", ".jj", ".svn", "Cargo.toml", ".cargo", "rust-toolchain", "rust-toolchain.toml"];

impl<'a> Checkouts<'a> {
    /// Finds the checkout around the current directory, and adds the workspace, if there is one.
    pub fn new(environment: &'a Environment, workspace: Option<&Utf8Path>) -> Checkouts<'a> {
        let around = outermost(&environment.current_dir, environment);
        let workspace = workspace.filter(|workspace| !is_of_user(workspace, environment));
        let roots = around.as_deref().into_iter().chain(workspace);
        Checkouts { environment, roots: roots.map(files::real).collect() }
    }

    /// The current directory and the variables.
    pub fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// Whether a path, links followed, is inside.
    pub fn contain(&self, path: &Utf8Path) -> bool {
        let real = files::real(path);
        self.roots.iter().any(|root| real.starts_with(root))
    }

    /// Returns the directories of `PATH` that are elsewhere.
    pub fn path(&self) -> impl Iterator<Item = PathBuf> {
        self.environment.path().filter(|directory| {
            Utf8Path::from_path(directory).is_none_or(|directory| !self.contain(directory))
        })
    }

    /// Returns the program that a bare name means elsewhere. A name with a directory is taken as it is.
    ///
    /// # Errors
    ///
    /// If there is none that can be executed.
    pub fn find(&self, program: impl AsRef<OsStr>) -> which::Result<PathBuf> {
        self.environment.find_in(program, self.path())
    }

    /// Returns the compiler that cargo would run; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If a file of the checkout names it by a path, or names a toolchain inside.
    ///
    /// Source: `Config::load_global_rustc` in cargo's src/cargo/util/context/mod.rs: `RUSTC` comes before the
    /// configuration, of which `CARGO_BUILD_RUSTC` is the first part.
    pub(super) fn rustc(&self) -> Result<Option<PathBuf>> {
        for name in ["RUSTC", "CARGO_BUILD_RUSTC"] {
            if let Some(rustc) = self.environment.var(name) {
                return Ok(self.environment.find(rustc).ok());
            }
        }
        let configured = config_files::rustc(self.environment)?;
        let (rustc, base) = match &configured {
            Some(configured) => (configured.program.as_str(), Some(&configured.base)),
            None => ("rustc", None),
        };
        if environment::is_bare(OsStr::new(rustc)) {
            self.check_toolchain()?;
            return Ok(self.find(rustc).ok());
        }
        let Some(base) = base else { return Ok(None) };
        // A path in a configuration starts in the directory that has `.cargo`.
        let path = base.join(rustc);
        if self.contain(base) || self.contain(&path) {
            return Err(Error::new(format!(
                "`build.rustc` of cargo's configuration in `{base}` is `{rustc}`"
            ))
            .because("a file of a checkout names the compiler by its path, and it would be run")
            .help(format!("if you trust it, say so with the variable `RUSTC={path}`")));
        }
        Ok(self.environment.find(path).ok())
    }

    /// Refuses a `rust-toolchain.toml` that makes rustup run the programs of a directory inside.
    ///
    /// Source: "The toolchain file" in The rustup Book; rustup 1.29 takes absolute paths only, older ones also relative
    /// ones.
    pub(super) fn check_toolchain(&self) -> Result<()> {
        if self.environment.var("RUSTUP_TOOLCHAIN").is_some() {
            return Ok(());
        }
        for directory in self.environment.current_dir.ancestors() {
            for name in ["rust-toolchain", "rust-toolchain.toml"] {
                let file = directory.join(name);
                if !files::is_file(&file)? {
                    continue;
                }
                let table = files::text(&file)?.and_then(|text| text.parse::<Table>().ok());
                let path = table.as_ref().and_then(|table| table.get("toolchain")?.get("path")?.as_str());
                let path = path.map(|path| directory.join(path));
                return match path.filter(|path| self.contain(path)) {
                    None => Ok(()),
                    Some(path) => Err(Error::new(format!("`{file}` names the toolchain `{path}`"))
                        .because("it is in the checkout itself, and its programs would be run")
                        .help(format!(
                            "if you trust it, say so with the variable `RUSTUP_TOOLCHAIN={path}`"
                        ))),
                };
            }
        }
        Ok(())
    }
}

/// Returns the outermost directory around this one that is a checkout's.
fn outermost(directory: &Utf8Path, environment: &Environment) -> Option<Utf8PathBuf> {
    let own = directory.ancestors().take_while(|directory| !is_of_user(directory, environment));
    let is_marked = |directory: &&Utf8Path| MARKS.iter().any(|mark| files::exists(&directory.join(mark)));
    own.filter(is_marked).last().map(Utf8Path::to_owned)
}

/// Whether a directory is the user's home, or has it, or everything: what is there is the user's own.
fn is_of_user(directory: &Utf8Path, environment: &Environment) -> bool {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let is_around = |path: &str| Utf8Path::new(path).starts_with(directory);
    directory.parent().is_none() || environment.text(home).is_some_and(is_around)
}
