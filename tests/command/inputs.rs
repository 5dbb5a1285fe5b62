//! What a run would write over a file that it reads is refused, and nothing is lost; names that no archive can hold.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::command::run;
use crate::support::compile::CC;

/// A program with a library and a file to include; links to them.
#[track_caller]
fn scene() -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    CC.compile(
        dir,
        "int top(void) { return 0; }",
        "libs/libtop.so.1",
        "-g -shared -fPIC -Wl,-soname,libtop.so.1",
    );
    for name in ["app", "other"] {
        CC.compile(dir, "int top(void); int main(void) { return top(); }", name, "-g libs/libtop.so.1");
    }
    fs::write(dir.join("data.zip"), "data").unwrap();
    symlink("app", dir.join("link")).unwrap();
    symlink(".", dir.join("here")).unwrap();
    fs::create_dir(dir.join("debug")).unwrap();
    fs::copy(dir.join("app"), dir.join("debug/app.debug")).unwrap();
    temporary
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let listed = fs::read_dir(dir).unwrap().chain(fs::read_dir(dir.join("libs")).unwrap());
    let paths = listed.map(|found| found.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[track_caller]
fn refuses(dir: &Path, words: &str, output: &str, input: &str) {
    let before = files(dir);
    let ran = run(dir, &format!("{words} --library-path libs --allow not-a-runtime"));
    let ran = ran.exits(2).says(&["would overwrite `", "help: name another path with `"]);
    let line = ran.stderr.lines().find(|line| line.contains("would overwrite")).unwrap();
    let (first, second) = line.split_once(" would overwrite ").unwrap();
    assert!(first.contains(output) && second.contains(input), "{ran}");
    assert_eq!(files(dir), before);
}

#[test]
fn no_output_replaces_an_input() {
    let scene = scene();
    let dir = scene.path();
    refuses(dir, "--binary app -o app", "/app`", "/app`");
    refuses(dir, "--binary app -o libs/../app", "/app`", "/app`");
    refuses(dir, "--binary app -o here/app", "/here/app`", "/app`");
    refuses(dir, "--binary link -o link", "/link`", "/link`");
    refuses(dir, "--binary link -o app", "/app`", "/link`");
    refuses(dir, "--binary app -o libs/libtop.so.1", "/libtop.so.1`", "/libs/libtop.so.1`");
    refuses(dir, "--binary app --include data.zip -o data.zip", "/data.zip`", "data.zip`");
    refuses(dir, "--binary app -o out.zip --sbom libs/libtop.so.1", "/libtop.so.1`", "/libtop.so.1`");
    refuses(dir, "--binary app -o out.zip --licenses app", "/app`", "/app`");
    refuses(dir, "--binary app --binary other -o {bin}.zip --sbom ./{bin}", "app`", "app`");
    refuses(dir, "--binary app --include libs=libs -o libs --format dir", "/libs`", "libs/libtop.so.1`");
    let debug = "--binary debug/app.debug --include app=x --strip --debug-symbols";
    fs::rename(dir.join("app"), dir.join("app.debug.debug")).unwrap();
    symlink("app.debug.debug", dir.join("app")).unwrap();
    refuses(dir, &format!("{debug} . -o out.zip"), "/app.debug.debug`", "app");
    // What was written before is no input.
    for _ in 0..2 {
        run(dir, "--binary other --library-path libs --sbom out.json -o out.zip --force").exits(0);
    }
}

#[test]
fn a_name_that_is_not_utf8_is_a_finding() {
    let scene = scene();
    let dir = scene.path();
    CC.compile(
        dir,
        "int top(void) { return 0; }",
        "libs/libtopp.so.1",
        "-shared -fPIC -Wl,-soname,libtoXp.so.1",
    );
    CC.compile(dir, "int top(void); int main(void) { return top(); }", "app", "libs/libtopp.so.1");
    for file in ["app", "libs/libtopp.so.1"] {
        let mut bytes = fs::read(dir.join(file)).unwrap();
        let at = bytes.windows(12).position(|found| found == b"libtoXp.so.1").unwrap();
        bytes[at + 5] = 0xff;
        fs::write(dir.join(file), bytes).unwrap();
    }
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"libto\xffp.so.1");
    let _ = fs::copy(dir.join("libs/libtopp.so.1"), dir.join("libs").join(name));
    for command in ["check --binary app", "--binary app -o out.zip"] {
        run(dir, &format!("{command} --library-path libs")).exits(1).says(&[
            "error[missing-library]: `app` needs `libto\\xffp.so.1`, which provided.al2023 (x86_64) does not have and no archive can",
            "help: give the library another SONAME",
        ]);
    }
    assert!(!dir.join("out.zip").exists());
}
