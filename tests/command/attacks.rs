//! Input made by an enemy: what is damaged is never called whole, what is named is never printed raw, and nothing leads
//! out of where it belongs.
//!
//! Sizes and depths are the matter of `hostile`, single fields of archives that of `archive`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::command::{Ran, finish};
use crate::support::elf::Object;
use crate::support::scene::{NEEDS_TOP, Scene};
use crate::support::tools;
use serde_json::{Value, json};

/// A program and a library, as a compiler makes them, and the directory of records.
fn scene() -> Scene {
    Scene::with_top("").with_own_records()
}

/// Runs to one of the exits there are, soon, without a panic.
#[track_caller]
fn answers(scene: &Scene, what: &str, words: &str) -> Ran {
    let ran = finish(scene.command(words).timeout(Duration::from_secs(30)));
    assert!(matches!(ran.code, Some(0 | 1 | 2 | 101)), "{what}: {words}: {ran}");
    assert!(!ran.stderr.contains("panicked"), "{what}: {words}: {ran}");
    for text in [&ran.stdout, &ran.stderr] {
        check_printable(what, text);
    }
    ran
}

/// Checks that nothing in a text drives a terminal or turns it around.
#[track_caller]
fn check_printable(what: &str, text: &str) {
    let raw = |c: &char| c.is_control() && *c != '\n' || matches!(*c, '\u{202e}' | '\u{2066}');
    assert_eq!(text.chars().find(raw), None, "{what}: {text:?}");
}

/// Numbers below `end`, the same in every run.
fn random(end: usize) -> impl Iterator<Item = usize> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    })
}

// Damaged files.

#[test]
fn an_archive_that_is_cut_off_is_no_archive() {
    let scene = scene();
    answers(&scene, "whole", "--binary app --library-path libs -o app.zip").exits(0);
    let whole = scene.read("app.zip");
    for end in (0..whole.len()).step_by(64).chain([whole.len() - 1]) {
        scene.file("cut.zip", &whole[..end]);
        let is_what = if end == 0 { "not a ZIP archive" } else { "a truncated or damaged ZIP archive" };
        let message = format!("`cut.zip` is {is_what}");
        answers(&scene, &format!("{end} bytes"), "verify cut.zip").exits(101).says(&[&message]);
    }
}

#[test]
fn an_archive_with_any_byte_changed_is_answered_and_its_files_are_what_they_were() {
    let scene = scene();
    answers(&scene, "whole", "--binary app --library-path libs -o app.zip").exits(0);
    let whole = scene.read("app.zip");
    let mut n_refused = 0;
    let mut numbers = random(1 << 30);
    for _ in 0..150 {
        let (at, bit) = (numbers.next().unwrap() % whole.len(), numbers.next().unwrap() % 8);
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        scene.file("changed.zip", &changed);
        let ran = answers(&scene, &format!("bit {bit} of byte {at}"), "verify changed.zip");
        n_refused += usize::from(ran.code != Some(0));
    }
    // Nearly all bytes are compressed data, whose checksum tells.
    assert!(n_refused > 120, "{n_refused} of 150");
}

#[test]
fn a_program_or_library_with_any_byte_changed_is_answered() {
    let scene = scene();
    let (app, library) = (scene.read("app"), scene.read("libs/libtop.so.1"));
    // The first page has the headers, and most of what the loader reads.
    let mut numbers = random(1 << 30);
    let n_rounds = if tools::takes_a_part("changes of bytes") { 40 } else { 120 };
    for round in 0..n_rounds {
        for (name, whole) in [("app", &app), ("libs/libtop.so.1", &library)] {
            let mut changed = whole.clone();
            for _ in 0..=round % 3 {
                let end = if round % 4 == 0 { whole.len() } else { 0x700 };
                let at = numbers.next().unwrap() % end;
                changed[at] = (numbers.next().unwrap() >> 8) as u8;
            }
            scene.file(name, &changed);
            let words = match round % 5 {
                0 => "explain --binary app --library-path libs",
                1 => "--binary app --library-path libs -o app.zip",
                2 => "size --binary app --library-path libs",
                _ => "check --binary app --library-path libs",
            };
            let ran = answers(&scene, &format!("round {round}, {name}"), words);
            if round % 5 == 1 && ran.code == Some(0) {
                answers(&scene, &format!("round {round}, {name}"), "verify app.zip").exits(0);
            }
            scene.file(name, whole);
        }
    }
}

#[test]
fn what_fuzzing_kept_is_answered() {
    let scene = scene();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut n_inputs = 0;
    for (kind, words) in [("elf", "check --binary input"), ("zip", "verify input")] {
        for found in fs::read_dir(corpus.join(kind)).unwrap() {
            let path = found.unwrap().path();
            fs::copy(&path, scene.at("input")).unwrap();
            answers(&scene, &path.display().to_string(), words);
            n_inputs += 1;
        }
    }
    assert!(n_inputs > 4, "{n_inputs} inputs");
}

// Names.

/// What drives a terminal: a colour, a title, a C1 control, the other direction, a line of its own.
const RAW: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{202e}\rx\n::error::y";

#[test]
fn names_reach_no_report_raw() {
    let scene = scene();
    let soname = format!("lib{RAW}.so");
    let library = Object::library(&*soname).needs("libc.so.6").defines("f", Some("V\u{1b}[5m"));
    let app = Object::program()
        .needs("libc.so.6")
        .needs(&*soname)
        .needs(format!("libgone{RAW}.so"))
        .verneed(&*soname, &["W\u{1b}[5m"])
        .rpath(format!("/home/{RAW}:$ORIGIN/libs"))
        .imports(format!("symbol{RAW}"), None);
    scene.file("app", app.bytes());
    fs::write(scene.at("libs").join(&soname), library.bytes()).unwrap();
    fs::create_dir(scene.at("files")).unwrap();
    fs::write(scene.at("files").join(format!(".env.{RAW}")), "x").unwrap();
    let summary = scene.at("summary.md");
    for words in [
        "check --binary app --include files",
        "check --binary app --include files -vv",
        "check --binary app --message-format github -v",
        "check --binary app --message-format sarif",
        "check --binary app --message-format json",
        "check --binary app --runtime all",
        "size --binary app",
        "explain --binary app",
        "explain --binary app --tree",
        "explain --binary app",
        "explain --binary app --mermaid",
        "explain --binary app lib*",
        "--binary app --include files -o out.zip --write-anyway --sbom sbom.json --licenses licenses.txt -v",
        "--binary app -o tree --dir --write-anyway",
        "verify out.zip",
        "verify out.zip --message-format github",
        "verify out.zip --message-format sarif",
    ] {
        let mut command = scene.command("");
        command.env("GITHUB_STEP_SUMMARY", &summary);
        let ran = finish(command.args(words.split_whitespace()));
        assert!(matches!(ran.code, Some(0 | 1 | 101)), "{words}: {ran}");
        // Not even a line of its own, which GitHub would take for a command.
        assert!(!ran.stdout.contains("\n::error::y"), "{words}: {ran}");
        for text in [&ran.stdout, &ran.stderr] {
            check_printable(words, text);
        }
    }
    for file in ["summary.md", "sbom.json", "licenses.txt"] {
        check_printable(file, &fs::read_to_string(scene.at(file)).unwrap());
    }
}

// What cargo is said to have said.

/// The metadata of one package `app` with one binary.
fn metadata(scene: &Scene) -> Value {
    let dir = scene.path().display().to_string();
    let id = format!("path+file://{dir}#app@0.1.0");
    json!({
        "packages": [{
            "name": "app", "version": "0.1.0", "id": id, "dependencies": [], "features": {}, "edition": "2021",
            "manifest_path": format!("{dir}/Cargo.toml"), "metadata": null,
            "targets": [{
                "name": "app", "kind": ["bin"], "crate_types": ["bin"], "src_path": format!("{dir}/src/main.rs"),
                "edition": "2021", "doc": true, "doctest": false, "test": true,
            }],
        }],
        "workspace_members": [id.clone()], "workspace_default_members": [id],
        "resolve": null, "target_directory": format!("{dir}/target"), "version": 1,
        "workspace_root": dir, "metadata": null,
    })
}

#[test]
fn names_in_metadata_lead_nowhere_else() {
    let scene = scene().with_metadata_file();
    let bundle = |value: &Value, words: &str| {
        scene.file("metadata.json", value.to_string());
        answers(&scene, "metadata", &format!("--library-path libs {words}"))
    };
    scene.file("target/release/app", scene.read("app"));
    fs::create_dir_all(scene.at("target/evil")).unwrap();
    scene.file("target/evil/app", scene.read("app"));
    let honest = metadata(&scene);
    bundle(&honest, "-o out/{bin}-{package}.zip").exits(0);
    assert!(scene.at("out/app-app.zip").exists());
    for name in ["../evil/app", "/etc/app", "..", ".", "", "a\\b", "app\u{1b}[31m", "a\nb", "sub/app"] {
        for place in ["/packages/0/name", "/packages/0/targets/0/name"] {
            let mut value = honest.clone();
            *value.pointer_mut(place).unwrap() = json!(name);
            let ran = bundle(&value, "-o out/{bin}-{package}.zip").exits(101);
            assert!(ran.stderr.starts_with("error: `"), "{place} {name:?}: {ran}");
        }
    }
    assert_eq!(fs::read_dir(scene.at("out")).unwrap().count(), 1);
}

#[test]
fn metadata_of_any_form_is_answered() {
    let scene = scene().with_metadata_file();
    scene.file("target/release/app", scene.read("app"));
    let honest = metadata(&scene);
    let check = |what: &str, text: &str| {
        scene.file("metadata.json", text);
        answers(&scene, what, "check --library-path libs")
    };
    check("honest", &honest.to_string()).exits(0);
    let deep = "[".repeat(100_000);
    let huge = format!("{{\"packages\": \"{}\"}}", "x".repeat(30 << 20));
    for (what, text) in
        [("deep", &deep), ("huge", &huge), ("text", &"hello".to_owned()), ("none", &String::new())]
    {
        check(what, text)
            .exits(101)
            .says(&["error: could not read the output of `cargo metadata`\n", "help: "]);
    }
    // Each value replaced by values of other types and forms.
    let mut paths = Vec::new();
    pointers(&honest, String::new(), &mut paths);
    assert!(paths.len() > 20);
    for path in paths {
        for other in
            [json!(null), json!(7), json!("\u{1b}[31m"), json!([]), json!({"a": [1]}), json!("../../..")]
        {
            let mut value = honest.clone();
            *value.pointer_mut(&path).unwrap() = other.clone();
            check(&format!("{path}: {other}"), &value.to_string());
        }
    }
}

fn pointers(value: &Value, at: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), paths));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, format!("{at}/{n}"), paths));
        }
        _ => {}
    }
    if !at.is_empty() {
        paths.push(at);
    }
}

// Where libraries come from.

#[test]
fn a_library_from_a_directory_of_someones_is_shipped_by_its_path() {
    let scene = scene();
    // The loader of this machine would take it, too: it is what the program was linked to find.
    let elsewhere = scene.at("home/someone/lib");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::rename(scene.at("libs/libtop.so.1"), elsewhere.join("libtop.so.1")).unwrap();
    let link = format!("{0}/libtop.so.1 -Wl,-rpath,{0}", elsewhere.display());
    scene.c(NEEDS_TOP, "app", &link);
    let ran = answers(&scene, "RPATH", "--binary app -o app.zip -v").exits(0);
    let line = ran.line("Shipping", "libtop.so.1");
    assert!(line.ends_with(&format!("from {}/libtop.so.1", elsewhere.display())), "{line}");
    let ran = answers(&scene, "RPATH", "--binary app -o app.zip --message-format json").exits(0);
    let path = &ran.json()["artifacts"][0]["libraries"][2]["build_path"];
    assert_eq!(path.as_str(), elsewhere.join("libtop.so.1").to_str(), "{ran}");
}
