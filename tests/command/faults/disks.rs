//! Where the bundle is written cannot take it: a full disk, one that cannot be written, a directory that vanishes.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{
    ALL, DIR, Files, SPLIT, Stop, WRITING, ZIP, check_error, check_whole, clear, expected, files, put_back,
    scene, traced,
};
use crate::support::command::{BINARY, Ran, finish};
use crate::support::scene::Scene;
use crate::support::tools;

/// A small file system.
#[derive(Debug, Clone, Copy)]
struct Disk {
    kib: usize,
    n_inodes: usize,
}

/// Runs in an `out` that is a file system of its own, in which the old bundle is.
fn on_small_disk(scene: &Scene, disk: Disk, words: &str) -> (Ran, Files) {
    let Disk { kib, n_inodes } = disk;
    let _ = fs::remove_dir_all(scene.at("result"));
    scene.dir("disk");
    let script = format!(
        "mount -t tmpfs -o size={kib}k,nr_inodes={n_inodes} none disk && cp -r out/. disk && mount --bind disk out || exit 9
         {BINARY} {words}
         code=$?; cp -r out result; exit $code"
    );
    let mut command = scene.other_command("unshare");
    command.env("XDG_CACHE_HOME", scene.at("out/cache")).env("TMPDIR", scene.at("out"));
    command.args(["--mount", "sh", "-c", &script]);
    let ran = finish(&mut command);
    let result = files(scene, "result");
    let moved = |path: PathBuf| scene.at("out").join(path.strip_prefix(scene.at("result")).unwrap());
    let files = result.into_iter().map(|(path, bytes)| (moved(path), bytes));
    (ran, files.filter(|(path, _)| !path.starts_with(scene.at("out/cache"))).collect())
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    if !tools::require_namespaces() {
        return;
    }
    for words in [ZIP, DIR, ALL, SPLIT] {
        let scene = scene();
        let (old, new) = (expected(&scene, "old", words), expected(&scene, "new", words));
        let n_pages: usize = old.values().map(|bytes| bytes.len().div_ceil(4096)).sum();
        clear(&scene);
        put_back(&old);
        let (mut n_failed, mut n_done) = (0, 0);
        let sizes = (0..30).map(|pages| Disk { kib: 4 * (n_pages + 1 + pages), n_inodes: 500 });
        let inodes = (0..16).map(|more| Disk { kib: 10_000, n_inodes: old.len() + 2 + more });
        for disk in sizes.chain(inodes) {
            let (ran, now) = on_small_disk(&scene, disk, &words.replace("DATA", "new"));
            let what = format!("{disk:?} {words}");
            if ran.code == Some(9) {
                continue; // no room for the old bundle
            }
            assert!(now.len() <= new.len().max(old.len()), "{what}: {ran}");
            check_whole(&what, &ran, &now, &old, &new);
            match ran.code {
                Some(0) => n_done += 1,
                _ => {
                    check_error(&what, &ran);
                    let stops = ["No space left on device", "could not strip `"];
                    assert!(stops.iter().any(|text| ran.stderr.contains(text)), "{what}: {ran}");
                    n_failed += 1;
                }
            }
        }
        assert!(n_failed > 5 && n_done > 5, "{words}: {n_failed} failed, {n_done} done");
    }
}

#[test]
fn every_failure_leaves_the_old_bundle_or_the_new_one() {
    if !tools::require("strace", "strace") {
        return;
    }
    for words in [ZIP, DIR] {
        let scene = scene();
        let (old, new) = (expected(&scene, "old", words), expected(&scene, "new", words));
        let mut n_failed = 0;
        for call in WRITING.iter().chain(&["fcntl", "getdents64", "openat"]) {
            for when in 1.. {
                clear(&scene);
                put_back(&old);
                let does = format!("error=EIO:when={when}");
                let (ran, was_there) = traced(&scene, call, &does, &words.replace("DATA", "new"));
                if !was_there {
                    break;
                }
                let what = format!("call {when} of {call}, {words}");
                // The dynamic loader, too, opens files: 127.
                assert!(matches!(ran.code, Some(0 | 1 | 101 | 127)), "{what}: {ran}");
                assert!(!ran.stderr.contains("panicked"), "{what}: {ran}");
                if *call == "unlink" || *call == "rmdir" {
                    continue; // What cannot be removed stays.
                }
                check_whole(&what, &ran, &files(&scene, "out"), &old, &new);
                n_failed += usize::from(ran.code != Some(0));
            }
        }
        assert!(n_failed > 10, "{words}: {n_failed} failed");
    }
}

#[test]
fn a_failed_write_of_data_is_an_error() {
    let scene = scene();
    for words in ["check --binary app --library-path libs --message-format json", "baseline list"] {
        let mut command = scene.other_command("sh");
        command.args(["-c", "exec \"$@\" > /dev/full", "sh", BINARY]).args(words.split_whitespace());
        let ran = finish(&mut command).exits(101);
        ran.says(&["error: could not write to the standard output\n  caused by: No space left on device"]);
        let script = format!("{BINARY} {words} | true; exit ${{PIPESTATUS[0]}}");
        finish(scene.other_command("bash").args(["-c", &script])).exits(0);
    }
}

#[test]
fn a_read_only_file_system_is_an_error_with_the_file() {
    if !tools::require_namespaces() {
        return;
    }
    for words in [ZIP, DIR, ALL, SPLIT] {
        let scene = scene();
        let old = expected(&scene, "old", words);
        let words = words.replace("DATA", "new");
        let script = format!("mount --bind out out && mount -o remount,ro,bind out && exec {BINARY} {words}");
        let mut command = scene.other_command("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let ran = finish(&mut command);
        check_error(&words, &ran);
        ran.says(&["/out/", "Read-only file system", "help: name a "]);
        assert!(files(&scene, "out") == old);
    }
}

#[test]
fn a_directory_that_vanishes_is_an_error_or_made_again() {
    let scene = scene();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::remove_dir_all(scene.at("out"));
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let _stop = Stop(&stop);
        for round in 0..40 {
            let words = if round % 2 == 0 { ZIP } else { DIR };
            let ran = scene.run(&words.replace("DATA", "new"));
            assert!(matches!(ran.code, Some(0 | 101)), "{ran}");
            if ran.code == Some(101) {
                check_error(words, &ran);
            }
        }
    });
    let _ = fs::remove_dir_all(scene.at("out"));
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
}

#[test]
fn the_output_may_be_on_another_file_system_than_everything_else() {
    let scene = scene();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        tools::skip("/dev/shm");
        return;
    };
    for words in [ZIP, DIR] {
        let there = format!(" {}/app", elsewhere.path().display());
        scene.run(&words.replace("DATA", "old").replace(" out/app", &there)).exits(0);
        scene.run(&words.replace("DATA", "new").replace(" out/app", &there)).exits(0);
        clear(&scene);
        scene.link(elsewhere.path(), "out");
        scene.run(&words.replace("DATA", "old")).exits(0);
        scene.remove("out");
    }
    let names = fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>(), ["app", "app.zip"].map(Into::into).into());
}
