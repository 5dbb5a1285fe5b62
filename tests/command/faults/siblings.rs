//! Others write at the same time: runs on one output, and programs and libraries that change while they are read.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{DIR, Stop, ZIP, clear, expected, files, put_back, scene};
use crate::support::archive;
use crate::support::command::{Ran, finish};

#[test]
fn runs_at_once_on_one_output_end_with_one_whole_bundle() {
    for words in [ZIP, DIR] {
        let scene = scene();
        let (old, new) = (expected(&scene, "old", words), expected(&scene, "new", words));
        for n_runs in [2, 10] {
            for is_there in [true, false] {
                clear(&scene);
                put_back(if is_there { &old } else { const { &BTreeMap::new() } });
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
                let now = files(&scene, "out");
                assert!(now == old || now == new, "{n_runs} runs, {words}: {:?}", now.keys());
            }
        }
    }
}

#[test]
fn a_program_that_is_replaced_while_it_is_read_is_the_one_or_the_other() {
    let scene = scene();
    for (name, answer) in [("one", 1), ("two", 2)] {
        let text = format!("int top(void); int main(void) {{ return top() + {answer}; }}");
        scene.c(&text, name, "libs/libtop.so.1");
    }
    let [one, two] = ["one", "two"].map(|name| {
        scene.run(&format!("--binary {name} --library-path libs -o {name}.zip")).exits(0);
        (scene.read(name), scene.read(format!("{name}.zip")))
    });
    for in_place in [false, true] {
        let stop = AtomicBool::new(false);
        let mut n_done = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for at in 0.. {
                    let bytes = if at % 2 == 0 { &one.0 } else { &two.0 };
                    if in_place {
                        scene.file("app", bytes);
                    } else {
                        scene.file("app.new", bytes);
                        fs::rename(scene.at("app.new"), scene.at("app")).unwrap();
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(40));
                }
            });
            let _stop = Stop(&stop);
            for _ in 0..30 {
                let _ = fs::remove_file(scene.at("app.zip"));
                let ran = scene.run("--binary app --library-path libs -o app.zip");
                match (ran.code, fs::read(scene.at("app.zip"))) {
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
    let scene = scene();
    let filler = "static const char filler[4000000] = {1}; const char *all(void) { return filler; }";
    let wholes = [1, 2].map(|answer| {
        let text = format!("int top(void) {{ return 0; }} int version = {answer}; {filler}");
        scene.library("libs/libtop.so.1", &text, "");
        let mut bytes = scene.read("libs/libtop.so.1");
        // All of the filler tells which it is.
        let (start, end) = (bytes.len() / 4, bytes.len() / 4 * 3);
        bytes[start..end].fill(answer);
        bytes
    });
    assert_eq!(wholes[0].len(), wholes[1].len());
    scene.file("libs/libtop.so.1", &wholes[0]);
    let stop = AtomicBool::new(false);
    let (mut n_refused, mut n_whole) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = fs::OpenOptions::new().write(true).open(scene.at("libs/libtop.so.1")).unwrap();
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
            let bytes = archive::content(&scene.at(&zip), "lib/libtop.so.1");
            assert!(wholes.contains(&bytes), "torn in run {at}: {ran}");
            n_whole += 1;
        }
    });
    println!("{n_refused} refused, {n_whole} whole");
    assert!(n_refused + n_whole == 30);
}
