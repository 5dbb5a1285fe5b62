//! A workspace of 20 functions, as cargo leaves it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::command::{Ran, bundle_cmd, command, finish};
use super::compile::CC;
use super::tools;

/// How many functions the workspace has.
pub const N_FUNCTIONS: usize = 20;

/// A workspace of the functions `f00` to `f19`, built.
///
/// Every tenth, from `f03`, needs `libtop.so.1`, which is in `libs`. Functions share one compiled program, which
/// stands where cargo would have put it.
pub struct Scene {
    dir: TempDir,
}

/// The name of a function.
pub fn name(at: usize) -> String {
    format!("f{at:02}")
}

/// The names of several.
pub fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(name).collect()
}

impl Scene {
    /// Generates and builds it.
    pub fn new() -> Scene {
        let scene = Scene { dir: tempfile::tempdir().unwrap() };
        let members: Vec<String> = (0..N_FUNCTIONS).map(|at| format!("\"{}\"", name(at))).collect();
        scene.file(
            "Cargo.toml",
            format!("[workspace]\nresolver = \"2\"\nmembers = [{}]\n", members.join(", ")),
        );
        CC.compile(scene.path(), "int main(void) { return 0; }", "plain", "");
        CC.compile(
            scene.path(),
            "int top(void) { return 0; }",
            "libs/libtop.so.1",
            "-shared -fPIC -Wl,-soname,libtop.so.1",
        );
        let main = "int top(void); int main(void) { return top(); }";
        CC.compile(scene.path(), main, "with-library", "libs/libtop.so.1");
        fs::create_dir_all(scene.path().join("target/release")).unwrap();
        for at in 0..N_FUNCTIONS {
            let name = name(at);
            scene.manifest(at, "");
            scene.file(&format!("{name}/src/main.rs"), "fn main() {}\n");
            scene.program(at, if at % 10 == 3 { "with-library" } else { "plain" });
        }
        scene
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where cargo would have put a function's program.
    pub fn built(&self, at: usize) -> PathBuf {
        self.path().join("target/release").join(name(at))
    }

    /// Makes a compiled program of this workspace a function's.
    pub fn program(&self, at: usize, program: &str) {
        tools::copy_program(self.path().join(program), self.built(at));
    }

    /// Writes a file.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes the manifest of a function with this `lambda-bundle` table.
    pub fn manifest(&self, at: usize, table: &str) {
        let name = name(at);
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        let table = format!("[package.metadata.lambda-bundle]\n{table}\n");
        self.file(&format!("{name}/Cargo.toml"), format!("{package}{table}"));
    }

    /// Runs the built binary in it.
    pub fn run(&self, arguments: &str) -> Ran {
        finish(bundle_cmd(self.path()).args(arguments.split_whitespace()))
    }

    /// The functions that have an archive.
    pub fn written(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path().join("target/lambda-bundle")) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".cache");
        names.sort();
        for name in &names {
            assert!(
                self.path().join("target/lambda-bundle").join(name).join("bootstrap.zip").is_file(),
                "{name}"
            );
        }
        names
    }

    /// The entries of a function's archive, as `unzip` lists them.
    pub fn entries(&self, at: usize) -> BTreeSet<String> {
        assert!(tools::require("unzip", "unzip"), "a test without its ZIP reader");
        self.names(&format!("target/lambda-bundle/{}/bootstrap.zip", name(at)))
    }

    /// The names in an archive, as `unzip` lists them.
    pub fn names(&self, zip: &str) -> BTreeSet<String> {
        let ran = finish(command("unzip", self.path()).args(["-Z1", zip])).exits(0);
        ran.stdout.lines().map(str::to_owned).collect()
    }
}
