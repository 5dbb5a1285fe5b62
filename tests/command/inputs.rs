//! What a run would write over a file that it reads is refused, and nothing is lost; names that no archive can hold.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::scene::{NEEDS_TOP, Scene};

/// A program with a library and a file to include; links to them.
#[track_caller]
fn scene() -> Scene {
    let scene = Scene::with_top("-g");
    scene.c(NEEDS_TOP, "other", "-g libs/libtop.so.1");
    scene.file("data.zip", "data");
    scene.link("app", "link");
    scene.link(".", "here");
    scene.copy("app", "debug/app.debug");
    scene
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let listed = fs::read_dir(dir).unwrap().chain(fs::read_dir(dir.join("libs")).unwrap());
    let paths = listed.map(|found| found.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[track_caller]
fn refuses(scene: &Scene, words: &str, output: &str, input: &str) {
    let before = files(scene.path());
    let ran = scene.run(&format!("{words} --library-path libs --allow not-a-runtime"));
    let ran = ran.exits(2).says(&["would overwrite `", "help: name another path with `"]);
    let line = ran.stderr.lines().find(|line| line.contains("would overwrite")).unwrap();
    let (first, second) = line.split_once(" would overwrite ").unwrap();
    assert!(first.contains(output) && second.contains(input), "{ran}");
    assert_eq!(files(scene.path()), before);
}

#[test]
fn no_output_replaces_an_input() {
    let scene = scene();
    refuses(&scene, "--binary app -o app", "/app`", "/app`");
    refuses(&scene, "--binary app -o libs/../app", "/app`", "/app`");
    refuses(&scene, "--binary app -o here/app", "/here/app`", "/app`");
    refuses(&scene, "--binary link -o link", "/link`", "/link`");
    refuses(&scene, "--binary link -o app", "/app`", "/link`");
    refuses(&scene, "--binary app -o libs/libtop.so.1", "/libtop.so.1`", "/libs/libtop.so.1`");
    refuses(&scene, "--binary app --include data.zip -o data.zip", "/data.zip`", "data.zip`");
    refuses(&scene, "--binary app -o out.zip --sbom libs/libtop.so.1", "/libtop.so.1`", "/libtop.so.1`");
    refuses(&scene, "--binary app -o out.zip --licenses app", "/app`", "/app`");
    refuses(&scene, "--binary app --binary other -o {bin}.zip --sbom ./{bin}", "app`", "app`");
    refuses(&scene, "--binary app --include libs=libs -o libs --dir", "/libs`", "libs/libtop.so.1`");
    let debug = "--binary debug/app.debug --include app=x --strip --debug-symbols";
    fs::rename(scene.at("app"), scene.at("app.debug.debug")).unwrap();
    scene.link("app.debug.debug", "app");
    refuses(&scene, &format!("{debug} . -o out.zip"), "/app.debug.debug`", "app");
    // What was written before is no input.
    for _ in 0..2 {
        scene.run("--binary other --library-path libs --sbom out.json -o out.zip --force").exits(0);
    }
}

#[test]
fn a_name_that_is_not_utf8_is_a_finding() {
    let scene = scene();
    scene.c("int top(void) { return 0; }", "libs/libtopp.so.1", "-shared -fPIC -Wl,-soname,libtoXp.so.1");
    scene.c(NEEDS_TOP, "app", "libs/libtopp.so.1");
    for file in ["app", "libs/libtopp.so.1"] {
        let mut bytes = scene.read(file);
        let at = bytes.windows(12).position(|found| found == b"libtoXp.so.1").unwrap();
        bytes[at + 5] = 0xff;
        scene.file(file, bytes);
    }
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"libto\xffp.so.1");
    let _ = fs::copy(scene.at("libs/libtopp.so.1"), scene.at("libs").join(name));
    for command in ["check --binary app", "--binary app -o out.zip"] {
        scene.run(&format!("{command} --library-path libs")).exits(1).says(&[
            "error[missing-library]: `app` needs `libto\\xffp.so.1`, which provided.al2023 (x86_64) does not have and no archive can",
            "help: give the library another SONAME",
        ]);
    }
    assert!(!scene.has("out.zip"));
}
