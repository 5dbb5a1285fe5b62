//! What users and scripts read, whole: the help of each command, JSON documents, listings of archives.
//!
//! A text that differs from its file in `snapshots/` fails, and the difference is printed. After a change that is
//! meant, `INSTA_UPDATE=always cargo test --test command snapshots::` writes the files anew: review them like code.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use crate::support::compile::require_debian_12;
use crate::support::scene::{NEEDS_TOP, Scene};
use crate::support::tools;
use cargo_lambda_bundle::cli::topics::TOPICS;
use serde_json::Value;

/// Compares a text with the file of this name.
///
/// In CI, and unless `INSTA_UPDATE` says otherwise, nothing is written beside a snapshot: the test fails, no more.
#[track_caller]
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn the_help_of_each_command() {
    let scene = Scene::new().var("COLUMNS", "100");
    let commands = [
        "",
        "check",
        "explain",
        "size",
        "verify",
        "config",
        "baseline",
        "help",
        "schema",
        "completions",
        "man",
    ];
    for command in commands {
        let ran = scene.run(&format!("{command} --help")).exits(0);
        check(&format!("help-{}", if command.is_empty() { "bundle" } else { command }), &ran.stdout);
    }
    // None is left out: the first lists them all.
    let help = scene.run("--help").exits(0).stdout;
    let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, commands[1..]);
}

#[test]
fn the_short_help_of_each_command_is_one_screen() {
    let scene = Scene::new().var("COLUMNS", "80");
    for command in ["", "check", "explain", "size", "verify", "config", "baseline", "baseline capture"] {
        let ran = scene.run(&format!("{command} -h")).exits(0);
        let name = if command.is_empty() { "bundle" } else { command };
        check(&format!("help-short-{}", name.replace(' ', "-")), &ran.stdout);
        assert!(ran.stdout.lines().count() <= 40, "{ran}");
        assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{ran}");
    }
}

#[test]
fn the_subcommand_help_is_the_flag() {
    let scene = Scene::new().var("COLUMNS", "80");
    for command in ["check", "baseline", "baseline capture"] {
        let flag = scene.run(&format!("{command} --help")).exits(0);
        scene.run(&format!("help {command}")).exits(0).prints(&flag.stdout);
    }
    scene.run("help chek").exits(2).says(&["unrecognized subcommand 'chek'", "'check'"]);
}

#[test]
fn help_lists_the_pages_and_prints_them() {
    let scene = Scene::new();
    let list = scene.run("help").exits(0).stdout;
    check("help", &list);
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    for topic in TOPICS {
        assert!(
            list.contains(&format!("\n  {:<11}  {}\n", topic.name, topic.summary())),
            "{}: {list}",
            topic.name
        );
        scene.run(&format!("help {}", topic.name)).exits(0).prints(topic.text);
    }
    // Whatever the variables say.
    let broken = Scene::new().var("CARGO_LAMBDA_BUNDLE_FNORD", "1");
    broken.run("help settings").exits(0);
    for wrong in ["help setings", "setings", "settings"] {
        let tip = "tip: read a page with `cargo lambda-bundle help settings`";
        scene.run(wrong).exits(2).says(&["unrecognized subcommand", tip]);
    }
    scene.run("help fnord").exits(2).keeps_silent_about(&["read a page"]);
}

/// The document with what differs from machine to machine, and from day to day, put as words.
fn redacted(scene: &Scene, document: &str) -> String {
    fn walk(value: &mut Value, key: &str) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| walk(value, key)),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, key)),
            Value::Number(_) if key.contains("bytes") || key == "size" => {
                *value = "NUMBER".into();
            }
            Value::String(_) if key.contains("sha256") => *value = key.to_uppercase().into(),
            Value::String(_) if key.starts_with("baseline_") => *value = "DATE".into(),
            _ => {}
        }
    }
    let root = scene.path().canonicalize().unwrap();
    let mut document: Value = serde_json::from_str(&document.replace(root.to_str().unwrap(), "DIR")).unwrap();
    walk(&mut document, "");
    serde_json::to_string_pretty(&document).unwrap()
}

#[test]
fn json_documents() {
    // They name the libraries of that system.
    if !tools::require("cc", "gcc") || !require_debian_12() {
        return;
    }
    let scene = Scene::with_top("");
    // A table grows old.
    let json = "--message-format json -q --allow baseline-old";
    let check = |name: &str, code: i32, arguments: &str| {
        let ran = scene.run(&format!("{arguments} {json}")).exits(code);
        check(name, &redacted(&scene, &ran.stdout));
    };
    check("json-check-fails", 1, "check --binary app");
    check("json-check-starts", 0, "check --binary app --library-path libs");
    check("json-bundle", 0, "--binary app --library-path libs -o app.zip");
    check("json-verify", 0, "verify app.zip");
    check("json-error", 101, "verify nothing.zip");
}

#[test]
fn listings_of_archives() {
    if !tools::require("cc", "gcc") || !tools::require("zipinfo", "unzip") {
        return;
    }
    let scene = Scene::with_top("");
    scene
        .c(NEEDS_TOP, "tool", "libs/libtop.so.1")
        .file("data/sub/table.csv", "1,2\n")
        .file("data/run.sh", "#!/bin/sh\n");
    scene.link("sub/table.csv", "data/link");
    // Sizes are the compiler's affair.
    let check = |name: &str, arguments: &str| {
        scene.run(&format!("{arguments} --library-path libs -o {name}.zip")).exits(0);
        let ran = scene.tool("zipinfo", &format!("-s {name}.zip")).exits(0);
        // Its name and size stand before the entries, their sum behind them. An entry: mode, version, system, size,
        // text or binary, method, date, time, name.
        let rows = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows = rows.filter(|words| words.len() == 9 && words[0].len() == 10);
        let lines = rows.map(|words| [&words[..3], &words[5..]].concat().join(" "));
        check(name, &lines.collect::<Vec<_>>().join("\n"));
    };
    check("zip-function", "--binary app");
    check(
        "zip-included",
        "--binary app --include {\"from\":\"data\",\"symlinks\":\"keep\"} --include tool=bin/",
    );
    check("zip-layer", "--binary app --kind layer --libraries-only");
}
