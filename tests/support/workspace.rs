//! A workspace of 20 functions, as cargo leaves it.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Deref;

use super::scene::{EMPTY, NEEDS_TOP, Scene};

/// How many functions the workspace has.
pub const N_FUNCTIONS: usize = 20;

/// A workspace of the functions `f00` to `f19`, built.
///
/// Every tenth, from `f03`, needs `libtop.so.1`, which is in `libs`. Functions share one compiled program, which
/// stands where cargo would have put it.
pub struct Workspace {
    scene: Scene,
}

impl Deref for Workspace {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

/// The name of a function.
pub fn name(at: usize) -> String {
    format!("f{at:02}")
}

/// The names of several.
pub fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(name).collect()
}

/// Where cargo would have put a function's program.
pub fn built(at: usize) -> String {
    format!("target/release/{}", name(at))
}

/// A function's archive.
pub fn archive(at: usize) -> String {
    format!("target/lambda-bundle/{}/bootstrap.zip", name(at))
}

impl Workspace {
    /// Generates and builds it.
    pub fn new() -> Workspace {
        let workspace = Workspace { scene: Scene::new() };
        let members: Vec<String> = (0..N_FUNCTIONS).map(|at| format!("\"{}\"", name(at))).collect();
        workspace.file(
            "Cargo.toml",
            format!("[workspace]\nresolver = \"2\"\nmembers = [{}]\n", members.join(", ")),
        );
        workspace.c(EMPTY, "plain", "");
        workspace.library("libs/libtop.so.1", "int top(void) { return 0; }", "");
        workspace.c(NEEDS_TOP, "with-library", "libs/libtop.so.1");
        for at in 0..N_FUNCTIONS {
            workspace.manifest(at, "");
            workspace.file(format!("{}/src/main.rs", name(at)), "fn main() {}\n");
            workspace.program(at, if at % 10 == 3 { "with-library" } else { "plain" });
        }
        workspace
    }

    /// Makes a compiled program of this workspace a function's.
    pub fn program(&self, at: usize, program: &str) {
        self.copy(program, built(at));
    }

    /// Writes the manifest of a function with this `lambda-bundle` table.
    pub fn manifest(&self, at: usize, table: &str) {
        let name = name(at);
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        let table = format!("[package.metadata.lambda-bundle]\n{table}\n");
        self.file(format!("{name}/Cargo.toml"), format!("{package}{table}"));
    }

    /// The functions that have an archive.
    pub fn written(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at("target/lambda-bundle")) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".cache");
        names.sort();
        for name in &names {
            assert!(self.at("target/lambda-bundle").join(name).join("bootstrap.zip").is_file(), "{name}");
        }
        names
    }

    /// The entries of a function's archive, as `unzip` lists them.
    pub fn entries(&self, at: usize) -> BTreeSet<String> {
        self.names(&archive(at)).into_iter().collect()
    }
}
