//! Full disks, kills, siblings, clocks: each leaves the old bundle or the new one, whole, and says what happened.
//!
//! `strace` makes every system call in turn the one that fails, or the one at which the process is killed.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod disks;
mod kills;
mod siblings;
mod surroundings;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::command::{BINARY, Ran};
use crate::support::scene::{NEEDS_TOP, Scene};

/// A program with a library that has debug information, and two versions of a file to include.
fn scene() -> Scene {
    let scene = Scene::new().with_own_records();
    scene.library("libs/libtop.so.1", "int top(void) { return 0; }", "-g");
    for name in ["app", "other"] {
        scene.c(NEEDS_TOP, name, "-g libs/libtop.so.1");
    }
    for (name, seed) in [("old", 1u32), ("new", 2)] {
        // No compressor makes it smaller.
        let mut state = seed;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        scene.file(format!("{name}/data"), noise.take(30_000).collect::<Vec<u8>>());
    }
    scene
}

/// Files by path, with what is in them.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files below a directory of the scene.
#[track_caller]
fn files(scene: &Scene, directory: &str) -> Files {
    let mut files = Files::new();
    list(&scene.at(directory), &mut files);
    files
}

#[track_caller]
fn list(directory: &Path, files: &mut Files) {
    let Ok(listing) = fs::read_dir(directory) else { return };
    for found in listing {
        let path = found.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// Puts the files back.
fn put_back(files: &Files) {
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Removes the bundle and the records.
fn clear(scene: &Scene) {
    for directory in ["out", "cache"] {
        let _ = fs::remove_dir_all(scene.at(directory));
    }
}

/// The bundle of the old or the new data, as it is when nothing fails.
fn expected(scene: &Scene, whose: &str, words: &str) -> Files {
    clear(scene);
    scene.run(&words.replace("DATA", whose)).exits(0);
    files(scene, "out")
}

/// The tool under `strace`, which does something at one of its system calls; whether there was that call.
fn traced(scene: &Scene, call: &str, does: &str, words: &str) -> (Ran, bool) {
    let options = format!("-f -q -o trace -e trace={call} -e inject={call}:{does} {BINARY} {words}");
    let ran = scene.tool("strace", &options);
    let trace = scene.text("trace");
    (ran, trace.contains("INJECTED") || trace.contains("killed by"))
}

/// System calls by which files are written.
const WRITING: &[&str] =
    &["mkdir", "write", "fsync", "flock", "chmod", "rename", "renameat2", "unlink", "rmdir"];

/// Temporary files and directories.
fn leftovers(files: &Files) -> Vec<&PathBuf> {
    files.keys().filter(|path| path.to_str().unwrap().contains(".lambda-bundle-")).collect()
}

const ZIP: &str = "--binary app --library-path libs --include DATA/data=data -o out/app.zip --force";
const DIR: &str = "--binary app --library-path libs --include DATA/data=data -o out/app --dir";
const ALL: &str = "--binary app --library-path libs --include DATA/data=data -o out/app.zip --force \
    --sbom out/sbom.json --licenses out/licenses.txt --strip --debug-symbols out/debug";
const SPLIT: &str = "--binary app --binary other --library-path libs --include DATA/data=data \
    -o out/{bin}.zip --split-layer shared --force";

/// Checks what a run left that may have failed: each file is the old one or the new one, and nothing else is there.
#[track_caller]
fn check_whole(what: &str, ran: &Ran, now: &Files, old: &Files, new: &Files) {
    assert_eq!(leftovers(now), Vec::<&PathBuf>::new(), "{what}: {ran}");
    for path in old.keys().chain(new.keys()) {
        let (is, was, will_be) = (now.get(path), old.get(path), new.get(path));
        assert!(is == was || is == will_be, "{what}: {} is neither old nor new: {ran}", path.display());
    }
    for path in now.keys() {
        assert!(old.contains_key(path) || new.contains_key(path), "{what}: {}: {ran}", path.display());
    }
    if ran.code == Some(0) {
        assert!(now == new, "{what}: it says that it is done: {ran}");
    }
}

/// Checks that a failed run gives one error, with a file and something to do.
#[track_caller]
fn check_error(what: &str, ran: &Ran) {
    assert_eq!(ran.code, Some(101), "{what}: {ran}");
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error")).collect();
    // Of several programs each that could not be written has its own.
    let n_programs = what.matches("--binary ").count().max(1);
    assert!((1..=n_programs).contains(&errors.len()), "{what}: {ran}");
    assert!(errors.iter().all(|error| error.contains('`')), "{what}: {ran}");
    assert_eq!(ran.stderr.matches("\nhelp: ").count(), errors.len(), "{what}: {ran}");
}

/// Ends what another thread does until then, also by a panic: a scope waits for its threads.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
