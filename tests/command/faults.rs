//! Full disks, kills, siblings, clocks: each leaves the old bundle or the new one, whole, and says what happened.
//!
//! `strace` makes every system call in turn the one that fails, or the one at which the process is killed.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::command::{Ran, bundle_cmd, command, finish};
use crate::support::compile::CC;
use crate::support::tools;
use tempfile::TempDir;

const TOOL: &str = env!("CARGO_BIN_EXE_cargo-lambda-bundle");

/// A program with a library that has debug information, and two versions of a file to include.
struct Scene {
    dir: TempDir,
}

/// Files by path, with what is in them.
type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Scene {
    fn new() -> Scene {
        let scene = Scene { dir: tempfile::tempdir().unwrap() };
        let library = "-g -shared -fPIC -Wl,-soname,libtop.so.1";
        CC.compile(scene.path(), "int top(void) { return 0; }", "libs/libtop.so.1", library);
        let main = "int top(void); int main(void) { return top(); }";
        for name in ["app", "other"] {
            CC.compile(scene.path(), main, name, "-g libs/libtop.so.1");
        }
        for (name, seed) in [("old", 1u32), ("new", 2)] {
            // No compressor makes it smaller.
            let mut state = seed;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            let noise: Vec<u8> = noise.take(30_000).collect();
            fs::create_dir(scene.file(name)).unwrap();
            fs::write(scene.file(name).join("data"), noise).unwrap();
        }
        scene
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The tool with these words, in the scene, with all that it keeps in the scene.
    fn command(&self, words: &str) -> assert_cmd::Command {
        let mut command = bundle_cmd(self.path());
        command.env("XDG_CACHE_HOME", self.file("cache")).args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Ran {
        finish(&mut self.command(words))
    }

    /// The tool under `strace`, which does something at one of its system calls; whether there was that call.
    fn traced(&self, call: &str, does: &str, when: usize, words: &str) -> (Ran, bool) {
        let mut command = command("strace", self.path());
        let inject = format!("-e trace={call} -e inject={call}:{does}:when={when}");
        let options = format!("-f -q -o trace {inject} {TOOL} {words}");
        command.env("XDG_CACHE_HOME", self.file("cache")).args(options.split_whitespace());
        let ran = finish(&mut command);
        let trace = fs::read_to_string(self.file("trace")).unwrap();
        (ran, trace.contains("INJECTED") || trace.contains("killed by"))
    }

    /// The files below a directory, none of them a temporary one.
    #[track_caller]
    fn files(&self, directory: &str) -> Files {
        let mut files = Files::new();
        list(&self.file(directory), &mut files);
        files
    }

    fn copy(&self, files: &Files) {
        for (path, bytes) in files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// The bundle of the old or the new data, as it is when nothing fails.
    fn expected(&self, whose: &str, words: &str) -> Files {
        self.clear();
        self.run(&words.replace("DATA", whose)).exits(0);
        self.files("out")
    }

    fn clear(&self) {
        for directory in ["out", "cache"] {
            let _ = fs::remove_dir_all(self.file(directory));
        }
    }
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

/// Temporary files and directories.
fn leftovers(files: &Files) -> Vec<&PathBuf> {
    files.keys().filter(|path| path.to_str().unwrap().contains(".lambda-bundle-")).collect()
}

const ZIP: &str = "--binary app --library-path libs --include DATA/data=data -o out/app.zip --force";
const DIR: &str = "--binary app --library-path libs --include DATA/data=data -o out/app --format dir";
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

// Full disks.

/// Runs in an `out` that is a file system of `size` KiB and so many inodes, in which the old bundle is.
fn on_small_disk(scene: &Scene, (kib, inodes): (usize, usize), words: &str) -> (Ran, Files) {
    let _ = fs::remove_dir_all(scene.file("result"));
    fs::create_dir_all(scene.file("disk")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={kib}k,nr_inodes={inodes} none disk && cp -r out/. disk && mount --bind disk out || exit 9
         {TOOL} {words}
         code=$?; cp -r out result; exit $code"
    );
    let mut command = command("unshare", scene.path());
    command.env("XDG_CACHE_HOME", scene.file("out/cache")).env("TMPDIR", scene.file("out"));
    command.args(["--mount", "sh", "-c", &script]);
    let ran = finish(&mut command);
    let result = scene.files("result");
    let moved = |path: PathBuf| scene.file("out").join(path.strip_prefix(scene.file("result")).unwrap());
    let files = result.into_iter().map(|(path, bytes)| (moved(path), bytes));
    (ran, files.filter(|(path, _)| !path.starts_with(scene.file("out/cache"))).collect())
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    if !tools::require_namespaces() {
        return;
    }
    for words in [ZIP, DIR, ALL, SPLIT] {
        let scene = Scene::new();
        let (old, new) = (scene.expected("old", words), scene.expected("new", words));
        let n_pages: usize = old.values().map(|bytes| bytes.len().div_ceil(4096)).sum();
        scene.clear();
        scene.copy(&old);
        let (mut n_failed, mut n_done) = (0, 0);
        let sizes = (0..30).map(|pages| (4 * (n_pages + 1 + pages), 500));
        let inodes = (0..16).map(|more| (10_000, old.len() + 2 + more));
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

/// System calls by which files are written.
const WRITING: &[&str] =
    &["mkdir", "write", "fsync", "flock", "chmod", "rename", "renameat2", "unlink", "rmdir"];

#[test]
fn every_failure_leaves_the_old_bundle_or_the_new_one() {
    if !tools::require("strace", "strace") {
        return;
    }
    for words in [ZIP, DIR] {
        let scene = Scene::new();
        let (old, new) = (scene.expected("old", words), scene.expected("new", words));
        let mut n_failed = 0;
        for call in WRITING.iter().chain(&["openat", "getdents64"]) {
            for when in 1.. {
                scene.clear();
                scene.copy(&old);
                let (ran, was_there) = scene.traced(call, "error=EIO", when, &words.replace("DATA", "new"));
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
                check_whole(&what, &ran, &scene.files("out"), &old, &new);
                n_failed += usize::from(ran.code != Some(0));
            }
        }
        assert!(n_failed > 10, "{words}: {n_failed} failed");
    }
}

#[test]
fn a_failed_write_of_data_is_an_error() {
    let scene = Scene::new();
    for words in ["check --binary app --library-path libs --message-format json", "baseline list"] {
        let mut command = command("sh", scene.path());
        command.args(["-c", "exec \"$@\" > /dev/full", "sh", TOOL]).args(words.split_whitespace());
        let ran = finish(&mut command).exits(101);
        ran.says(&["error: could not write to the standard output\n  caused by: No space left on device"]);
        let script = format!("{TOOL} {words} | true; exit ${{PIPESTATUS[0]}}");
        finish(crate::support::command::command("bash", scene.path()).args(["-c", &script])).exits(0);
    }
}

/// Ends what another thread does until then, also by a panic: a scope waits for its threads.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// Directories that are not as they should be.

#[test]
fn a_read_only_file_system_is_an_error_with_the_file() {
    if !tools::require_namespaces() {
        return;
    }
    for words in [ZIP, DIR, ALL, SPLIT] {
        let scene = Scene::new();
        let old = scene.expected("old", words);
        let words = words.replace("DATA", "new");
        let script = format!("mount --bind out out && mount -o remount,ro,bind out && exec {TOOL} {words}");
        let mut command = command("unshare", scene.path());
        command.env("XDG_CACHE_HOME", scene.file("cache")).args(["--mount", "sh", "-c", &script]);
        let ran = finish(&mut command);
        check_error(&words, &ran);
        ran.says(&["/out/", "Read-only file system", "help: name a "]);
        assert!(scene.files("out") == old);
    }
}

#[test]
fn a_directory_that_vanishes_is_an_error_or_made_again() {
    let scene = Scene::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::remove_dir_all(scene.file("out"));
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
    let _ = fs::remove_dir_all(scene.file("out"));
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
}

#[test]
fn the_output_may_be_on_another_file_system_than_everything_else() {
    let scene = Scene::new();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        tools::skip("/dev/shm");
        return;
    };
    for words in [ZIP, DIR] {
        let there = format!(" {}/app", elsewhere.path().display());
        scene.run(&words.replace("DATA", "old").replace(" out/app", &there)).exits(0);
        scene.run(&words.replace("DATA", "new").replace(" out/app", &there)).exits(0);
        scene.clear();
        let link = scene.file("out");
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        scene.run(&words.replace("DATA", "old")).exits(0);
        fs::remove_file(link).unwrap();
    }
    let names = fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>(), ["app", "app.zip"].map(Into::into).into());
}

// Kills.

/// Kills that leave a temporary file are made good by the next run.
#[track_caller]
fn check_killed(what: &str, scene: &Scene, ran: &Ran, old: &Files, new: &Files) -> usize {
    let now = scene.files("out");
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
        let scene = Scene::new();
        let (old, new) = (scene.expected("old", words), scene.expected("new", words));
        let mut n_left = 0;
        for call in WRITING {
            for when in 1.. {
                scene.clear();
                scene.copy(&old);
                let (ran, was_there) = scene.traced(call, "signal=KILL", when, &words.replace("DATA", "new"));
                if !was_there {
                    break;
                }
                let what = format!("killed at call {when} of {call}, {words}");
                if check_killed(&what, &scene, &ran, &old, &new) > 0 {
                    n_left += 1;
                    scene.run(&words.replace("DATA", "new")).exits(0);
                    assert!(scene.files("out") == new, "{what}: not swept");
                }
            }
        }
        assert!(n_left > 3, "{words}: {n_left} kills left something");
    }
}

#[test]
fn two_hundred_kills_at_random_moments() {
    let scene = Scene::new();
    let mut random = 1u64;
    let (mut n_killed, mut n_left) = (0, 0);
    for words in [ZIP, DIR] {
        let (old, new) = (scene.expected("old", words), scene.expected("new", words));
        let start = std::time::Instant::now();
        scene.run(&words.replace("DATA", "old")).exits(0);
        let longest = start.elapsed().as_micros() as u64;
        for round in 0..100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let data = if round % 2 == 0 { "new" } else { "old" };
            let mut child = Command::new(TOOL)
                .args(words.replace("DATA", data).split_whitespace())
                .current_dir(scene.path())
                .env("XDG_CACHE_HOME", scene.file("cache"))
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
        assert!(scene.files("out") == new, "not swept");
    }
    assert!(n_killed > 50, "{n_killed} of 200 were killed, {n_left} left something");
}

#[test]
fn what_a_running_sibling_holds_and_what_is_not_ours_stays() {
    let scene = Scene::new();
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
        fs::create_dir_all(scene.file(path).parent().unwrap()).unwrap();
        fs::write(scene.file(path), "something").unwrap();
    }
    fs::create_dir_all(scene.file("out/.lambda-bundle-8-0.tmp/lib")).unwrap();
    fs::write(scene.file("out/.lambda-bundle-8-0.tmp/lib/libtop.so.1"), "something").unwrap();
    std::os::unix::fs::symlink(scene.file("libs"), scene.file("out/.lambda-bundle-9-0.tmp")).unwrap();
    let fifo = scene.file("out/.lambda-bundle-10-0.tmp");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let held = fs::File::open(scene.file(kept[0])).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
    for path in left {
        assert!(!scene.file(path).exists(), "{path}");
    }
    for path in kept.into_iter().chain(["libs/libtop.so.1", "out/.lambda-bundle-10-0.tmp"]) {
        assert!(scene.file(path).exists(), "{path}");
    }
    assert!(!scene.file("out/.lambda-bundle-8-0.tmp").exists());
    drop(held);
    scene.run(&ZIP.replace("DATA", "new")).exits(0);
    assert!(!scene.file(kept[0]).exists(), "nobody holds it any more");
}

// Siblings.

#[test]
fn runs_at_once_on_one_output_end_with_one_whole_bundle() {
    for words in [ZIP, DIR] {
        let scene = Scene::new();
        let (old, new) = (scene.expected("old", words), scene.expected("new", words));
        for n_runs in [2, 10] {
            for is_there in [true, false] {
                scene.clear();
                scene.copy(if is_there { &old } else { const { &BTreeMap::new() } });
                let ran: Vec<Ran> = std::thread::scope(|scope| {
                    let run = |at: usize| {
                        let words = words.replace("DATA", if at.is_multiple_of(2) { "old" } else { "new" });
                        finish(&mut scene.command(&words))
                    };
                    let runs: Vec<_> = (0..n_runs).map(|at| scope.spawn(move || run(at))).collect();
                    runs.into_iter().map(|run| run.join().unwrap()).collect()
                });
                for ran in &ran {
                    assert_eq!(ran.code, Some(0), "{n_runs} runs: {ran}");
                }
                let now = scene.files("out");
                assert!(now == old || now == new, "{n_runs} runs, {words}: {:?}", now.keys());
            }
        }
    }
}

#[test]
fn a_program_that_is_replaced_while_it_is_read_is_the_one_or_the_other() {
    let scene = Scene::new();
    for (name, answer) in [("one", 1), ("two", 2)] {
        let text = format!("int top(void); int main(void) {{ return top() + {answer}; }}");
        CC.compile(scene.path(), &text, name, "libs/libtop.so.1");
    }
    let [one, two] = ["one", "two"].map(|name| {
        scene.run(&format!("--binary {name} --library-path libs -o {name}.zip")).exits(0);
        (fs::read(scene.file(name)).unwrap(), fs::read(scene.file(&format!("{name}.zip"))).unwrap())
    });
    for in_place in [false, true] {
        let stop = AtomicBool::new(false);
        let mut n_done = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for at in 0.. {
                    let bytes = if at % 2 == 0 { &one.0 } else { &two.0 };
                    if in_place {
                        fs::write(scene.file("app"), bytes).unwrap();
                    } else {
                        fs::write(scene.file("app.new"), bytes).unwrap();
                        fs::rename(scene.file("app.new"), scene.file("app")).unwrap();
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(40));
                }
            });
            let _stop = Stop(&stop);
            for _ in 0..30 {
                let _ = fs::remove_file(scene.file("app.zip"));
                let ran = scene.run("--binary app --library-path libs -o app.zip");
                match (ran.code, fs::read(scene.file("app.zip"))) {
                    (Some(0), Ok(zip)) => {
                        assert!(zip == one.1 || zip == two.1, "in place {in_place}: {ran}");
                        n_done += 1;
                    }
                    // A file that was cut off a moment ago is no program, or none that starts.
                    (Some(1 | 101), Err(_)) if in_place => {}
                    (Some(101), Err(_)) if ran.stderr.contains("changed while it was read") => {}
                    _ => panic!("{ran}"),
                }
            }
        });
        assert!(n_done > 0, "in place {in_place}: {n_done}");
    }
}

/// A library that is overwritten in place, a piece at a time, is shipped whole or not at all.
#[test]
fn a_library_that_is_overwritten_while_it_is_read_is_not_shipped_torn() {
    let scene = Scene::new();
    let filler = "static const char filler[4000000] = {1}; const char *all(void) { return filler; }";
    let flags = "-shared -fPIC -Wl,-soname,libtop.so.1";
    let wholes = [1, 2].map(|answer| {
        let text = format!("int top(void) {{ return 0; }} int version = {answer}; {filler}");
        CC.compile(scene.path(), &text, "libs/libtop.so.1", flags);
        let mut bytes = fs::read(scene.file("libs/libtop.so.1")).unwrap();
        // All of the filler tells which it is.
        let (start, end) = (bytes.len() / 4, bytes.len() / 4 * 3);
        bytes[start..end].fill(answer);
        bytes
    });
    assert_eq!(wholes[0].len(), wholes[1].len());
    fs::write(scene.file("libs/libtop.so.1"), &wholes[0]).unwrap();
    let stop = AtomicBool::new(false);
    let (mut n_refused, mut n_whole) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = fs::OpenOptions::new().write(true).open(scene.file("libs/libtop.so.1")).unwrap();
            'writing: for whole in wholes.iter().cycle() {
                for (at, piece) in whole.chunks(1 << 16).enumerate() {
                    file.write_all_at(piece, (at as u64) << 16).unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                    if stop.load(Ordering::Relaxed) {
                        break 'writing;
                    }
                }
                std::thread::sleep(Duration::from_millis(400));
            }
        });
        let _stop = Stop(&stop);
        for at in 0..30 {
            let zip = format!("{at}.zip");
            let ran = scene.run(&format!("--binary app --library-path libs -o {zip} --compression fast"));
            if ran.code == Some(101) {
                n_refused += 1;
                ran.says(&[
                    "libs/libtop.so.1` changed while it was read",
                    "run it again when nothing writes",
                ]);
                continue;
            }
            let ran = ran.exits(0);
            let bytes = Command::new("unzip")
                .args(["-p", &zip, "lib/libtop.so.1"])
                .current_dir(scene.path())
                .output()
                .unwrap()
                .stdout;
            assert!(wholes.contains(&bytes), "torn in run {at}: {ran}");
            n_whole += 1;
        }
    });
    println!("{n_refused} refused, {n_whole} whole");
    assert!(n_refused + n_whole == 30);
}

/// A user, or a container, may be out of processes: the work is done on one thread.
#[test]
fn without_a_thread_the_work_is_done_all_the_same() {
    if !tools::require("setpriv", "util-linux") || !tools::require_namespaces() {
        return;
    }
    let scene = Scene::new();
    let open = Command::new("chmod").args(["-R", "a+rwX"]).arg(scene.path()).status().unwrap();
    assert!(open.success());
    let words = "--binary app --binary other --library-path libs --include new/data=data --force";
    scene.run(&format!("{words} -o all/{{bin}}.zip")).exits(0);
    for n in [1, 2, 3] {
        // Nobody else is this user: the limit counts the threads of all its processes, and root has none.
        let mut command = command("setpriv", scene.path());
        command.env("XDG_CACHE_HOME", scene.file("nobody"));
        command.args([
            "--reuid=64123",
            "--regid=64123",
            "--clear-groups",
            "prlimit",
            &format!("--nproc={n}"),
            TOOL,
        ]);
        command.args(words.split_whitespace()).args(["-o", &format!("out{n}/{{bin}}.zip")]);
        finish(&mut command).exits(0);
        for name in ["app", "other"] {
            let zip =
                |directory: &str| fs::read(scene.file(directory).join(name).with_extension("zip")).unwrap();
            assert!(zip(&format!("out{n}")) == zip("all"), "{name} on {n} threads");
        }
    }
}

// Inputs that are no files, and names.

#[test]
fn pipes_and_devices_are_refused_and_not_waited_for() {
    let scene = Scene::new();
    assert!(Command::new("mkfifo").arg(scene.file("fifo")).status().unwrap().success());
    fs::create_dir_all(scene.file("withfifo")).unwrap();
    assert!(Command::new("mkfifo").arg(scene.file("withfifo/libtop.so.1")).status().unwrap().success());
    for file in ["fifo", "/dev/zero", "/dev/tty", "/dev/null"] {
        for words in [
            "--binary FILE -o x.zip",
            "check --binary FILE",
            "size --binary FILE",
            "explain --binary FILE",
            "verify FILE",
            "check --binary app --library-path libs --include FILE=data",
            "check --binary app --library-path libs --baseline FILE",
            "check --binary app --library-path libs --attached-layer FILE",
            "check --metadata-path FILE",
        ] {
            let words = words.replace("FILE", file);
            let mut command = scene.command(&words);
            let ran = finish(command.timeout(Duration::from_secs(20)));
            assert!(matches!(ran.code, Some(2 | 101)), "{words}: {ran}");
            assert!(ran.stderr.contains("is not a regular file"), "{words}: {ran}");
        }
        let ran = scene.run(&format!("--binary app --library-path libs -o {file}"));
        assert_eq!(ran.code, Some(101), "{ran}");
        assert!(ran.stderr.contains("it is not a regular file"), "{ran}");
    }
    scene
        .run("check --binary app --library-path withfifo")
        .exits(1)
        .says(&["libtop.so.1", "not a regular file"]);
}

#[test]
fn names_may_have_spaces_and_newlines_and_be_long() {
    let scene = Scene::new();
    let long = (0..15).map(|_| "d".repeat(250)).collect::<Vec<_>>().join("/");
    for directory in
        ["with space", "new\nline", "tab\t", "quote'\"", "back\\slash", "$HOME `id`", "-o", &long]
    {
        let at = scene.path().join("named").join(directory);
        fs::create_dir_all(&at).unwrap();
        for name in ["app", "libs/libtop.so.1"] {
            fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
            fs::copy(scene.file(name), at.join(name)).unwrap();
        }
        let mut command = bundle_cmd(scene.path());
        for (flag, name) in [("--binary", "app"), ("--library-path", "libs"), ("-o", "app.zip")] {
            command.arg(flag).arg(at.join(name));
        }
        let ran = finish(command.arg("--include").arg(at.join("libs=libs"))).exits(0);
        assert!(!ran.stderr.contains('\t'), "{ran}");
        let archive = at.join("app.zip");
        ran.prints(&format!("{}\n", archive.display()));
        finish(bundle_cmd(scene.path()).arg("verify").arg(archive)).exits(0);
    }
    let too_long = format!("{long}/{long}/app");
    for words in ["--binary app --library-path libs -o LONG", "check --binary LONG", "verify LONG"] {
        let ran = scene.run(&words.replace("LONG", &too_long)).exits(101);
        ran.says(&["File name too long"]);
    }
}

#[test]
fn names_that_are_not_utf8_are_refused_by_name() {
    let scene = Scene::new();
    let odd = OsStr::from_bytes(b"odd\xff");
    let directory = scene.path().join(odd);
    fs::create_dir(&directory).unwrap();
    fs::copy(scene.file("app"), directory.join("app")).unwrap();
    for (flag, code) in [("--binary", 2), ("-o", 2), ("--library-path", 2), ("--include", 2)] {
        let mut command = bundle_cmd(scene.path());
        command.args(["check", "--binary", "app"]);
        if flag == "-o" {
            command = bundle_cmd(scene.path());
            command.args(["--binary", "app"]);
        }
        let ran = finish(command.arg(flag).arg(directory.join("app")));
        assert_eq!(ran.code, Some(code), "{flag}: {ran}");
        ran.says(&["UTF-8"]);
    }
    // From within it there is no path to give.
    let ran = finish(bundle_cmd(&directory).args(["check", "--binary", "app"])).exits(101);
    ran.says(&["the current directory", "is not UTF-8"]);
    fs::create_dir_all(scene.file("assets")).unwrap();
    fs::write(scene.file("assets").join(odd), "x").unwrap();
    let ran = scene.run("--binary app --library-path libs --include assets -o out.zip").exits(101);
    ran.says(&["`odd\\xff` in `", "is not UTF-8\nhelp: "]);
}

// Clocks.

#[test]
fn the_clock_may_be_anywhere() {
    let scene = Scene::new();
    scene.run("--binary app --library-path libs -o now.zip").exits(0);
    let now = fs::read(scene.file("now.zip")).unwrap();
    for year in ["1970-01-01 00:00:10", "1979-12-31", "2038-01-20", "2100-06-01", "2262-05-01"] {
        let touched = Command::new("touch").args(["-d", year]).arg(scene.file("app")).status();
        assert!(touched.unwrap().success());
        scene.run("--binary app --library-path libs -o then.zip --force").exits(0);
        assert!(fs::read(scene.file("then.zip")).unwrap() == now, "a file of {year}");
    }
    for epoch in ["0", "315532799", "4102444800", "4354819199"] {
        let mut command = scene.command("--binary app --library-path libs -o epoch.zip");
        finish(command.env("SOURCE_DATE_EPOCH", epoch)).exits(0);
        scene.run("verify epoch.zip").exits(0);
    }
    for epoch in ["-1", "noon", "99999999999999999999", "1e9", ""] {
        let mut command = scene.command("--binary app --library-path libs -o epoch.zip");
        let ran = finish(command.env("SOURCE_DATE_EPOCH", epoch));
        assert!(matches!(ran.code, Some(0 | 2 | 101)), "{epoch:?}: {ran}");
        if ran.code != Some(0) {
            ran.says(&["SOURCE_DATE_EPOCH"]);
        }
    }
    if !tools::require("faketime", "faketime") {
        return;
    }
    for year in ["1970-01-02 00:00:00", "2100-06-01 00:00:00"] {
        for words in
            ["--binary app --library-path libs -o then.zip --force", "verify then.zip", "baseline list"]
        {
            let mut command = command("faketime", scene.path());
            command.env("XDG_CACHE_HOME", scene.file("cache")).args([year, TOOL]);
            finish(command.args(words.split_whitespace())).exits(0);
        }
        assert!(fs::read(scene.file("then.zip")).unwrap() == now, "in {year}");
    }
}

// Poor environments.

#[test]
fn no_home_and_no_path_are_enough_for_a_binary() {
    let scene = Scene::new();
    for words in [
        "--binary app --library-path libs -o x.zip --force",
        "verify x.zip",
        "check --binary app --library-path libs",
    ] {
        let mut command = assert_cmd::Command::new(TOOL);
        command.env_clear().current_dir(scene.path()).args(words.split_whitespace());
        finish(&mut command).exits(0);
    }
}

/// A script in place of cargo.
fn cargo(scene: &Scene, script: &str) -> PathBuf {
    let path = scene.file("bin/cargo");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn without_a_cargo_that_answers_there_is_one_error() {
    let scene = Scene::new();
    fs::create_dir_all(scene.file("src")).unwrap();
    fs::write(scene.file("src/main.rs"), "fn main() {}").unwrap();
    fs::write(scene.file("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\n").unwrap();
    let run = |path: &Path| {
        let mut command = assert_cmd::Command::new(TOOL);
        command.env_clear().current_dir(scene.path()).env("PATH", path);
        finish(command.timeout(Duration::from_secs(20)).arg("check"))
    };
    let ran = run(Path::new("/nonexistent"));
    check_error("no cargo", &ran);
    ran.says(&["`cargo`"]);
    let old = "echo \"error: Found argument '--filter-platform' which wasn't expected\" >&2; exit 1";
    let rows = [
        ("an old cargo", old, "Found argument '--filter-platform' which wasn't expected"),
        ("a cargo that fails in silence", "exit 7", "/bin/cargo metadata`: exit status: 7"),
        ("a cargo that is killed", "kill -9 $$", "signal"),
        ("a cargo that says nothing", "exit 0", "cargo"),
        ("a cargo that says something else", "echo hello", "cargo"),
        ("a cargo of another time", "echo '{\"packages\": 3}'", "cargo"),
        ("a cargo with a terminal's words", "printf 'error: \\033[31mred\\n' >&2; exit 1", "red"),
    ];
    for (what, script, text) in rows {
        cargo(&scene, script);
        let ran = run(&scene.file("bin"));
        assert_eq!(ran.code, Some(101), "{what}: {ran}");
        assert!(ran.stderr.contains(text), "{what}: {ran}");
        assert!(!ran.stderr.contains('\u{1b}'), "{what}: {ran}");
        assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error")).count(), 1, "{what}: {ran}");
    }
}
