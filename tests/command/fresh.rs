//! Nothing changed, nothing written: when a second run leaves the archive of the first alone, and when not.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::command::Ran;
use crate::support::scene::Scene;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A program with a library of its own, and the directory of records.
fn scene() -> Scene {
    Scene::with_top("").with_own_records()
}

/// The library, made to answer another number.
fn library(scene: &Scene, directory: &str, answer: u32) {
    let source = format!("int top(void) {{ return {answer}; }}");
    scene.library(&format!("{directory}/libtop.so.1"), &source, "");
}

fn bundle(scene: &Scene, more: &str) -> Ran {
    scene.run(&format!("--binary app -o app.zip {more} --library-path libs"))
}

/// Runs again; whether it wrote, by the archive's inode, which must be what the run says.
#[track_caller]
fn writes(scene: &Scene, more: &str) -> bool {
    let inode = || fs::metadata(scene.at("app.zip")).map(|metadata| metadata.ino()).ok();
    let before = inode();
    let ran = bundle(scene, more).exits(0);
    let wrote = before != inode();
    let said = if wrote { "     Bundled app for " } else { "       Fresh app: app.zip is up to date\n" };
    assert!(ran.stderr.starts_with(said), "{ran}");
    ran.prints(&format!("{}\n", scene.at("app.zip").display()));
    wrote
}

fn record(scene: &Scene) -> PathBuf {
    let mut records = fs::read_dir(scene.at("cache/cargo-lambda-bundle")).unwrap();
    let record = records.next().unwrap().unwrap().path();
    assert!(records.next().is_none(), "one archive has one record");
    record
}

#[test]
fn the_second_run_writes_nothing() {
    let scene = scene();
    assert!(writes(&scene, ""));
    assert!(!writes(&scene, ""));
    assert!(writes(&scene, "--force"));
    assert!(!writes(&scene, ""));
}

#[test]
fn time_alone_is_no_change() {
    let scene = scene();
    assert!(writes(&scene, ""));
    let bytes = scene.read("app");
    scene.file("app", bytes);
    library(&scene, "libs", 0);
    assert!(!writes(&scene, ""));
}

#[test]
fn whatever_goes_into_the_archive_counts() {
    let scene = scene();
    assert!(writes(&scene, ""));
    library(&scene, "libs", 1);
    assert!(writes(&scene, ""), "another library in the same place");
    assert!(writes(&scene, "--compression fast"));
    scene.file("data.txt", "one");
    assert!(writes(&scene, "--include data.txt"));
    assert!(!writes(&scene, "--include data.txt"));
    scene.file("data.txt", "two");
    assert!(writes(&scene, "--include data.txt"));
}

#[test]
fn a_library_that_appears_earlier_in_the_search_counts() {
    let scene = scene();
    scene.dir("earlier");
    let more = "--library-path earlier";
    assert!(writes(&scene, more));
    assert!(!writes(&scene, more));
    // Nothing that the first run read has changed, but the search ends earlier now.
    library(&scene, "earlier", 3);
    assert!(writes(&scene, more));
    fs::rename(scene.at("earlier/libtop.so.1"), scene.at("libs/libtop.so.1")).unwrap();
    assert!(!writes(&scene, more), "the same library from another directory");
}

#[test]
fn an_archive_that_is_not_what_was_written_is_written_again() {
    let scene = scene();
    assert!(writes(&scene, ""));
    let written = scene.read("app.zip");
    let mut changed = written.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for bytes in [&changed[..], &written[..middle], b""] {
        scene.file("app.zip", bytes);
        assert!(writes(&scene, ""), "{} bytes", bytes.len());
        assert_eq!(scene.read("app.zip"), written);
    }
    scene.remove("app.zip");
    assert!(writes(&scene, ""));
}

#[test]
fn what_is_no_record_is_not_there() {
    let scene = scene();
    assert!(writes(&scene, ""));
    let whole = fs::read_to_string(record(&scene)).unwrap();
    let other = whole.replace("bytes ", "bytes 1");
    for text in ["", "cargo-lambda-bundle record 1\n", &whole[..whole.len() - 1], &other, "\0\u{ff}"] {
        fs::write(record(&scene), text).unwrap();
        assert!(writes(&scene, ""), "{text:?}");
        assert_eq!(fs::read_to_string(record(&scene)).unwrap(), whole);
    }
    fs::write(record(&scene), vec![b'x'; 1 << 20]).unwrap();
    assert!(writes(&scene, ""), "a large one");
}

#[test]
fn a_new_record_removes_those_that_are_long_out_of_use() {
    let scene = scene();
    let cache = scene.at("cache/cargo-lambda-bundle");
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
    assert!(writes(&scene, ""));
    for (name, n, stays) in rows {
        assert_eq!(cache.join(name).exists(), stays, "{name}, {n} days");
    }
    // One that is written again clears nothing.
    age(rows[0].0, 91);
    assert!(writes(&scene, "--force"));
    assert!(cache.join(rows[0].0).exists());
}

#[test]
fn a_record_that_cannot_be_kept_is_no_error() {
    let scene = scene();
    scene.file("cache", "a file where a directory should be");
    assert!(writes(&scene, ""));
    assert!(writes(&scene, ""));
}

#[test]
fn findings_and_the_document_are_the_same_again() {
    let scene = scene();
    let of = |more: &str| bundle(&scene, &format!("--message-format json {more}")).exits(0);
    scene.file(".env", "SECRET=1");
    let more = "--include .*";
    let first = of(more);
    assert!(!first.json()["artifacts"][0]["findings"].as_array().unwrap().is_empty(), "{first}");
    let second = of(more).says(&["Fresh app", "warning["]);
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_finding_that_decides_is_not_passed_over() {
    let scene = scene();
    scene.file(".env", "SECRET=1");
    assert!(writes(&scene, "--include .*"));
    bundle(&scene, "--include .* --deny suspicious-include").exits(1).keeps_silent_about(&["Fresh"]);
}
