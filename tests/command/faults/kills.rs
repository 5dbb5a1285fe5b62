//! The process is killed: what is there is whole, and the next run removes what was left.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{
    DIR, Files, WRITING, ZIP, check_whole, clear, expected, files, leftovers, put_back, scene, traced,
};
use crate::support::command::{BINARY, Ran};
use crate::support::scene::Scene;
use crate::support::tools;

/// Kills that leave a temporary file are made good by the next run.
#[track_caller]
fn check_killed(what: &str, scene: &Scene, ran: &Ran, old: &Files, new: &Files) -> usize {
    let now = files(scene, "out");
    let n_left = leftovers(&now).len();
    let whole: Files =
        now.into_iter().filter(|(path, _)| !path.to_str().unwrap().contains("/.lambda-")).collect();
    check_whole(what, ran, &whole, old, new);
    n_left
}

#[test]
fn a_kill_at_any_call_leaves_a_whole_bundle_and_the_next_run_sweeps() {
    if !tools::require("strace", "strace") {
        return;
    }
    for words in [ZIP, DIR] {
        let scene = scene();
        let (old, new) = (expected(&scene, "old", words), expected(&scene, "new", words));
        let mut n_left = 0;
        for call in WRITING {
            for when in 1.. {
                clear(&scene);
                put_back(&old);
                let does = format!("signal=KILL:when={when}");
                let (ran, was_there) = traced(&scene, call, &does, &words.replace("DATA", "new"));
                if !was_there {
                    break;
                }
                let what = format!("killed at call {when} of {call}, {words}");
                if check_killed(&what, &scene, &ran, &old, &new) > 0 {
                    n_left += 1;
                    scene.run(&words.replace("DATA", "new")).exits(0);
                    assert!(files(&scene, "out") == new, "{what}: not swept");
                }
            }
        }
        assert!(n_left > 3, "{words}: {n_left} kills left something");
    }
}

#[test]
fn two_hundred_kills_at_random_moments() {
    let scene = scene();
    let mut random = 1u64;
    let (mut n_killed, mut n_left) = (0, 0);
    for words in [ZIP, DIR] {
        let (old, new) = (expected(&scene, "old", words), expected(&scene, "new", words));
        let start = std::time::Instant::now();
        scene.run(&words.replace("DATA", "old")).exits(0);
        let longest = start.elapsed().as_micros() as u64;
        for round in 0..100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let data = if round % 2 == 0 { "new" } else { "old" };
            let mut child = Command::new(BINARY)
                .args(words.replace("DATA", data).split_whitespace())
                .current_dir(scene.path())
                .env("XDG_CACHE_HOME", scene.at("cache"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_micros((random >> 33) % longest));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            n_killed += usize::from(!status.success());
            let ran = Ran { code: None, stdout: String::new(), stderr: format!("round {round}") };
            n_left += usize::from(check_killed(words, &scene, &ran, &old, &new) > 0);
        }
        scene.run(&words.replace("DATA", "new")).exits(0);
        assert!(files(&scene, "out") == new, "not swept");
    }
    assert!(n_killed > 50, "{n_killed} of 200 were killed, {n_left} left something");
}

#[test]
fn what_a_running_sibling_holds_and_what_is_not_ours_stays() {
    let scene = scene();
    let left = ["out/.lambda-bundle-1-0.tmp", "cache/cargo-lambda-bundle/.lambda-bundle-77-12.tmp"];
    let kept = [
        "out/.lambda-bundle-2-0.tmp",
        "out/.lambda-bundle-3-0.old",
        "out/.lambda-bundle-x-0.tmp",
        "out/.lambda-bundle-4.tmp",
        "out/lambda-bundle-5-0.tmp",
        "out/.lambda-bundle-6-0.tmp.zip",
    ];
    for path in left.into_iter().chain(kept) {
        scene.file(path, "something");
    }
    scene.file("out/.lambda-bundle-8-0.tmp/lib/libtop.so.1", "something");
    scene.link(scene.at("libs"), "out/.lambda-bundle-9-0.tmp").fifo("out/.lambda-bundle-10-0.tmp");
    let held = fs::File::open(scene.at(kept[0])).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
    for path in left {
        assert!(!scene.has(path), "{path}");
    }
    for path in kept.into_iter().chain(["libs/libtop.so.1", "out/.lambda-bundle-10-0.tmp"]) {
        assert!(scene.has(path), "{path}");
    }
    assert!(!scene.has("out/.lambda-bundle-8-0.tmp"));
    drop(held);
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
    assert!(!scene.has(kept[0]), "nobody holds it any more");
}
