//! Nothing changed, nothing written: when a second run leaves the archive of the first alone, and when not.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::command::{Ran, bundle_cmd, finish};
use crate::support::compile::CC;
use tempfile::TempDir;

/// A program with a library of its own, its bundle, and the directory of records.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { dir: tempfile::tempdir().unwrap() };
        scene.library("libs", 0);
        CC.compile(
            scene.path(),
            "int top(void); int main(void) { return top(); }",
            "app",
            "libs/libtop.so.1",
        );
        scene
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn library(&self, directory: &str, answer: u32) {
        CC.compile(
            self.path(),
            &format!("int top(void) {{ return {answer}; }}"),
            &format!("{directory}/libtop.so.1"),
            "-shared -fPIC -Wl,-soname,libtop.so.1",
        );
    }

    fn archive(&self) -> PathBuf {
        self.path().join("app.zip")
    }

    fn bundle(&self, more: &str) -> Ran {
        let words = format!("--binary app -o app.zip {more} --library-path libs");
        let mut command = bundle_cmd(self.path());
        finish(command.env("XDG_CACHE_HOME", self.path().join("cache")).args(words.split_whitespace()))
    }

    /// Runs again; whether it wrote, by the archive's inode, which must be what the run says.
    #[track_caller]
    fn writes(&self, more: &str) -> bool {
        let inode = || fs::metadata(self.archive()).map(|metadata| metadata.ino()).ok();
        let before = inode();
        let ran = self.bundle(more).exits(0).says(&["CodeSha256"]);
        let wrote = before != inode();
        assert_eq!(ran.stderr.contains("Fresh app"), !wrote, "{ran}");
        ran.prints(&format!("{}\n", self.archive().display()));
        wrote
    }

    fn record(&self) -> PathBuf {
        let mut records = fs::read_dir(self.path().join("cache/cargo-lambda-bundle")).unwrap();
        let record = records.next().unwrap().unwrap().path();
        assert!(records.next().is_none(), "one archive has one record");
        record
    }
}

#[test]
fn the_second_run_writes_nothing() {
    let scene = Scene::new();
    assert!(scene.writes(""));
    assert!(!scene.writes(""));
    assert!(scene.writes("--force"));
    assert!(!scene.writes(""));
}

#[test]
fn time_alone_is_no_change() {
    let scene = Scene::new();
    assert!(scene.writes(""));
    let bytes = fs::read(scene.path().join("app")).unwrap();
    fs::write(scene.path().join("app"), bytes).unwrap();
    scene.library("libs", 0);
    assert!(!scene.writes(""));
}

#[test]
fn whatever_goes_into_the_archive_counts() {
    let scene = Scene::new();
    assert!(scene.writes(""));
    scene.library("libs", 1);
    assert!(scene.writes(""), "another library in the same place");
    assert!(scene.writes("--compression fast"));
    fs::write(scene.path().join("data.txt"), "one").unwrap();
    assert!(scene.writes("--include data.txt"));
    assert!(!scene.writes("--include data.txt"));
    fs::write(scene.path().join("data.txt"), "two").unwrap();
    assert!(scene.writes("--include data.txt"));
}

#[test]
fn a_library_that_appears_earlier_in_the_search_counts() {
    let scene = Scene::new();
    fs::create_dir(scene.path().join("earlier")).unwrap();
    let more = "--library-path earlier";
    assert!(scene.writes(more));
    assert!(!scene.writes(more));
    // Nothing that the first run read has changed, but the search ends earlier now.
    scene.library("earlier", 3);
    assert!(scene.writes(more));
    fs::rename(scene.path().join("earlier/libtop.so.1"), scene.path().join("libs/libtop.so.1")).unwrap();
    assert!(!scene.writes(more), "the same library from another directory");
}

#[test]
fn an_archive_that_is_not_what_was_written_is_written_again() {
    let scene = Scene::new();
    assert!(scene.writes(""));
    let written = fs::read(scene.archive()).unwrap();
    let mut changed = written.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for bytes in [&changed[..], &written[..middle], b""] {
        fs::write(scene.archive(), bytes).unwrap();
        assert!(scene.writes(""), "{} bytes", bytes.len());
        assert_eq!(fs::read(scene.archive()).unwrap(), written);
    }
    fs::remove_file(scene.archive()).unwrap();
    assert!(scene.writes(""));
}

#[test]
fn what_is_no_record_is_not_there() {
    let scene = Scene::new();
    assert!(scene.writes(""));
    let whole = fs::read_to_string(scene.record()).unwrap();
    let other = whole.replace("bytes ", "bytes 1");
    for text in ["", "cargo-lambda-bundle record 1\n", &whole[..whole.len() - 1], &other, "\0\u{ff}"] {
        fs::write(scene.record(), text).unwrap();
        assert!(scene.writes(""), "{text:?}");
        assert_eq!(fs::read_to_string(scene.record()).unwrap(), whole);
    }
    fs::write(scene.record(), vec![b'x'; 1 << 20]).unwrap();
    assert!(scene.writes(""), "a large one");
}

#[test]
fn a_new_record_removes_those_that_are_long_out_of_use() {
    let scene = Scene::new();
    let cache = scene.path().join("cache/cargo-lambda-bundle");
    fs::create_dir_all(&cache).unwrap();
    let days = |n: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(n * 24 * 60 * 60);
    let rows = [
        ("00000000000000000000000000000001", 91, false),
        ("00000000000000000000000000000002", 89, true),
        ("0000000000000000000000000000000", 91, true),
        ("notes.txt", 1000, true),
    ];
    let age = |name: &str, n: u64| {
        let file = fs::File::create(cache.join(name)).unwrap();
        file.set_modified(days(n)).unwrap();
    };
    for (name, n, _) in rows {
        age(name, n);
    }
    assert!(scene.writes(""));
    for (name, n, stays) in rows {
        assert_eq!(cache.join(name).exists(), stays, "{name}, {n} days");
    }
    // One that is written again clears nothing.
    age(rows[0].0, 91);
    assert!(scene.writes("--force"));
    assert!(cache.join(rows[0].0).exists());
}

#[test]
fn a_record_that_cannot_be_kept_is_no_error() {
    let scene = Scene::new();
    fs::write(scene.path().join("cache"), "a file where a directory should be").unwrap();
    assert!(scene.writes(""));
    assert!(scene.writes(""));
}

#[test]
fn findings_and_the_document_are_the_same_again() {
    let scene = Scene::new();
    let of = |more: &str| scene.bundle(&format!("--message-format json {more}")).exits(0);
    fs::write(scene.path().join(".env"), "SECRET=1").unwrap();
    let more = "--include .*";
    let first = of(more);
    assert!(!first.json()["artifacts"][0]["findings"].as_array().unwrap().is_empty(), "{first}");
    let second = of(more).says(&["Fresh app", "warning["]);
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_finding_that_decides_is_not_passed_over() {
    let scene = Scene::new();
    fs::write(scene.path().join(".env"), "SECRET=1").unwrap();
    assert!(scene.writes("--include .*"));
    scene.bundle("--include .* --deny suspicious-include").exits(1).keeps_silent_about(&["Fresh"]);
}
