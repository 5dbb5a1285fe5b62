//! A directory in which the program runs: its files, the variables of its environment, a run, and what the run left.
//!
//! A test reads from top to bottom: what is there ([`Scene::file`], [`Scene::c`], [`Scene::link`], [`Scene::var`]),
//! what is run ([`Scene::run`], [`Scene::refuses`]), and what is there afterwards ([`Scene::read`],
//! [`Scene::names`], [`Scene::paths`]). Paths are relative to the directory. A file with a scene of its own has a
//! function that makes one from [`Scene::new`], and functions that take it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::archive;
use super::command::{BINARY, Ran, command, finish};
use super::compile::CC;
use super::tools;

/// A program that does nothing.
pub const EMPTY: &str = "int main(void) { return 0; }";

/// A program that needs `libtop.so.1`.
pub const NEEDS_TOP: &str = "int top(void); int main(void) { return top(); }";

/// See the top of this file. The directory is removed at the end of the test.
pub struct Scene {
    dir: TempDir,
    variables: Vec<(String, String)>,
    has_own_records: bool,
}

impl Scene {
    /// An empty directory.
    pub fn new() -> Scene {
        Scene { dir: tempfile::tempdir().unwrap(), variables: Vec::new(), has_own_records: false }
    }

    /// An empty directory below this one, which has room for the root of a system.
    pub fn below(directory: impl AsRef<Path>) -> Scene {
        Scene { dir: tempfile::tempdir_in(directory).unwrap(), ..Scene::new() }
    }

    /// A program `app` that needs `libs/libtop.so.1`, both compiled with these flags beside their own.
    pub fn with_top(flags: &str) -> Scene {
        let scene = Scene::new();
        scene.library("libs/libtop.so.1", "int top(void) { return 0; }", flags);
        scene.c(NEEDS_TOP, "app", &format!("{flags} libs/libtop.so.1"));
        scene
    }

    /// The same, with the records of its bundles in its own `cache`.
    pub fn with_own_records(mut self) -> Scene {
        self.has_own_records = true;
        self
    }

    /// The same, with a variable in the environment of its runs.
    pub fn var(mut self, name: &str, value: &str) -> Scene {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with a cargo that prints `metadata.json` for `cargo metadata`, and does all else as the real one.
    #[cfg(unix)]
    #[track_caller]
    pub fn with_metadata_file(self) -> Scene {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" != metadata ] || exec cat '{}'\nexec cargo \"$@\"\n",
            self.at("metadata.json").display()
        );
        self.file("cargo.sh", script).copy("cargo.sh", "tools/cargo").mode("tools/cargo", 0o755);
        let cargo = self.at("tools/cargo").display().to_string();
        self.var("CARGO", &cargo)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    // What is there.

    /// Writes a file, and makes the directories that it is in.
    #[track_caller]
    pub fn file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> &Scene {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Makes a directory, and those that it is in.
    #[track_caller]
    pub fn dir(&self, path: impl AsRef<Path>) -> &Scene {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    /// Makes a symbolic link, and the directories that it is in.
    #[cfg(unix)]
    #[track_caller]
    pub fn link(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> &Scene {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Makes a named pipe.
    #[track_caller]
    pub fn fifo(&self, path: &str) -> &Scene {
        self.tool("mkfifo", path).exits(0);
        self
    }

    /// Copies a file, and makes the directories that the copy is in.
    #[track_caller]
    pub fn copy(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> &Scene {
        let to = self.at(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        tools::copy_program(self.at(from), to);
        self
    }

    /// Sets the permissions of a file or directory.
    #[cfg(unix)]
    #[track_caller]
    pub fn mode(&self, path: impl AsRef<Path>, mode: u32) -> &Scene {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Removes a file.
    #[track_caller]
    pub fn remove(&self, path: &str) -> &Scene {
        fs::remove_file(self.at(path)).unwrap();
        self
    }

    /// Compiles C to the file `output`; see [`Compiler::compile`](super::compile::Compiler::compile).
    #[track_caller]
    pub fn c(&self, source: &str, output: &str, flags: &str) -> &Scene {
        CC.compile(self.path(), source, output, flags);
        self
    }

    /// Compiles C to a shared library whose SONAME is its file name.
    #[track_caller]
    pub fn library(&self, path: &str, source: &str, flags: &str) -> &Scene {
        let soname = Path::new(path).file_name().unwrap().to_str().unwrap();
        self.c(source, path, &format!("-shared -fPIC -Wl,-soname,{soname} {flags}"))
    }

    // What is run.

    /// The built binary with these arguments, separated by white space.
    pub fn command(&self, arguments: &str) -> assert_cmd::Command {
        let mut command = self.other_command(BINARY);
        command.args(arguments.split_whitespace());
        command
    }

    /// Another program, in the environment that the binary has: one that starts it, for example.
    pub fn other_command(&self, program: &str) -> assert_cmd::Command {
        let mut command = command(program, self.path());
        if self.has_own_records {
            command.env("XDG_CACHE_HOME", self.at("cache"));
        }
        command.envs(self.variables.clone());
        command
    }

    /// Runs the built binary with these arguments, separated by white space.
    pub fn run(&self, arguments: &str) -> Ran {
        finish(&mut self.command(arguments))
    }

    /// Runs another program with these arguments, separated by white space.
    pub fn tool(&self, program: &str, arguments: &str) -> Ran {
        finish(self.other_command(program).args(arguments.split_whitespace()))
    }

    /// Runs the binary, which must end with this exit status, say these things and one error, and leave nothing.
    #[track_caller]
    pub fn refuses(&self, code: i32, arguments: &str, texts: &[&str]) -> Ran {
        self.refuses_run(code, &mut self.command(arguments), texts)
    }

    /// The same of a prepared command.
    #[track_caller]
    pub fn refuses_run(&self, code: i32, command: &mut assert_cmd::Command, texts: &[&str]) -> Ran {
        let before = self.paths();
        let ran = finish(command).exits(code).says(texts);
        let errors = ran.stderr.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, 1, "{ran}");
        assert_eq!(self.paths(), before, "left behind: {ran}");
        ran
    }

    // What is there afterwards.

    /// The bytes of a file.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = self.at(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The text of a file.
    #[track_caller]
    pub fn text(&self, path: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(path)).unwrap()
    }

    /// Whether a path leads to something.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).exists()
    }

    /// Every path below the directory. Links are not followed.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        let mut pending = vec![self.path().to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                paths.insert(path.strip_prefix(self.path()).unwrap().to_string_lossy().into_owned());
                if path.is_dir() && !path.is_symlink() {
                    pending.push(path);
                }
            }
        }
        paths
    }

    /// The names in an archive, in its order, as `unzip` lists them.
    #[track_caller]
    pub fn names(&self, zip: &str) -> Vec<String> {
        archive::names(&self.at(zip))
    }
}
