//! Many functions in one run: a workspace of 20, each with its own settings and its own archive.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;

use crate::support::command::{Ran, finish};
use crate::support::tools;
use crate::support::workspace::{N_FUNCTIONS, Workspace, archive, name, names};
use serde_json::Value;

/// The lines of the summary, each with its columns joined by single spaces.
fn summary(ran: &Ran) -> Vec<String> {
    let lines = ran.stderr.lines().skip_while(|line| !line.trim_start().starts_with("Summary"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn each_function_has_its_archive_and_its_settings() {
    let scene = Workspace::new();
    scene.manifest(3, "library-path = [\"../libs\"]");
    scene.manifest(13, "library-path = [\"../libs\"]\ninclude = [\"data.txt\"]");
    scene.manifest(7, "output = \"own.zip\"");
    scene.file("f13/data.txt", "data");
    let ran = scene.run("--workspace").exits(0);
    let others: Vec<usize> = (0..N_FUNCTIONS).filter(|at| *at != 7).collect();
    assert_eq!(scene.written(), names(others));
    assert_eq!(ran.stdout.lines().count(), N_FUNCTIONS, "{ran}");
    assert!(scene.at("f07/own.zip").is_file());
    for (at, expected) in [
        (0, &["bootstrap"][..]),
        (3, &["bootstrap", "lib/libtop.so.1"]),
        (13, &["bootstrap", "data.txt", "lib/libtop.so.1"]),
    ] {
        assert_eq!(scene.entries(at), expected.iter().map(|name| (*name).to_owned()).collect(), "{at}");
    }
    let again = scene.run("--workspace").exits(0);
    assert_eq!(again.stderr, "       Fresh 20 bundles are up to date\n");
    assert_eq!(again.stdout, ran.stdout);
    let ran = scene.run("--workspace --force").exits(0);
    let summary = summary(&ran);
    assert_eq!(summary.len(), N_FUNCTIONS + 2, "{ran}");
    assert_eq!(summary[0], "Summary program verdict zipped unzipped libraries warnings");
    let size = |line: &str| line.split(' ').filter(|word| *word == "kB").count();
    for (at, line) in summary[1..=N_FUNCTIONS].iter().enumerate() {
        let n_libraries = usize::from(at % 10 == 3);
        assert!(line.starts_with(&format!("{} starts ", name(at))), "{line}");
        assert!(line.ends_with(&format!(" kB {n_libraries} 0")) && size(line) == 2, "{line}");
    }
    // This machine's glibc is newer than that of AL2.
    scene.manifest(8, "runtime = \"provided.al2\"");
    let ran = scene.run("check --workspace").exits(1);
    assert_eq!(self::summary(&ran)[9], "f08 fails - - 0 2");
    ran.says(&[
        "f08:\nerror[version-too-new]: `f08` needs ",
        "    Finished 19 checked, 1 failed, 2 warnings\n",
    ]);
    // Of one program everything is said already.
    let ran = scene.run("-p f01").exits(0);
    assert_eq!(self::summary(&ran), [""; 0]);
}

#[test]
fn only_what_was_selected_is_bundled() {
    let scene = Workspace::new();
    scene.run("--bin f01 --bin f04 --workspace").exits(0);
    assert_eq!(scene.written(), ["f01", "f04"]);
    scene.run("-p f05 -p f06").exits(0);
    assert_eq!(scene.written(), ["f01", "f04", "f05", "f06"]);
    scene.run("--workspace --exclude f03 --exclude f13 --exclude f0[4-9]").exits(0);
    let expected: Vec<usize> = (0..N_FUNCTIONS).filter(|at| ![3, 7, 8, 9, 13].contains(at)).collect();
    assert_eq!(scene.written(), names(expected));
}

#[test]
fn one_failing_function_does_not_hide_the_others() {
    let scene = Workspace::new();
    // Without `libs` two do not start: findings.
    let ran = scene.run("--workspace --message-format json").exits(1);
    let starting: Vec<usize> = (0..N_FUNCTIONS).filter(|at| at % 10 != 3).collect();
    assert_eq!(scene.written(), names(starting.clone()));
    let document = ran.json();
    let failing = |document: &Value| -> Vec<String> {
        let artifacts = document["artifacts"].as_array().unwrap().iter();
        let failing = artifacts.filter(|artifact| artifact["verdict"] == "fails");
        failing.map(|artifact| artifact["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(document["artifacts"].as_array().unwrap().len(), N_FUNCTIONS);
    assert_eq!(failing(&document), ["f03", "f13"]);
    assert_eq!(document.get("error"), None);
    assert_eq!(summary(&ran)[4], "f03 fails - - 0 0");
    assert_eq!(summary(&ran)[5].split(' ').nth(1), Some("starts"));
    // What is over a limit of the user would start, and is denied.
    let denied = scene.run("check --workspace --max-size 1kB").exits(1);
    assert_eq!(summary(&denied)[4].split(' ').nth(1), Some("fails"));
    assert_eq!(summary(&denied)[5].split(' ').nth(1), Some("denied"), "{denied}");
    fs::remove_dir_all(scene.at("target/lambda-bundle")).unwrap();

    // One cannot be answered for: an error, which is not the last word either.
    scene.file("target/release/f02", "#!/bin/sh\n");
    let ran = scene.run("--workspace --message-format json").exits(101);
    assert_eq!(scene.written(), names(starting.iter().copied().filter(|at| *at != 2)));
    assert_eq!(summary(&ran)[3], "f02 no result - - - -");
    let document = ran.json();
    assert_eq!((document["artifacts"].as_array().unwrap().len(), failing(&document).len()), (19, 2));
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("/target/release/f02` is a script, not an ELF program"), "{message}");
    assert!(document["error"]["help"].as_str().unwrap().starts_with("name the program"), "{ran}");
    ran.says(&["error: `", "help: name the program that the script starts;"]);

    // Of several all are said: what cannot be read, what cannot be included, what cannot be written.
    scene.manifest(5, "include = [\"nope\"]");
    scene.file("f06/dir.zip/x", "");
    scene.manifest(6, "output = \"dir.zip\"");
    let ran = scene.run("--workspace --message-format json").exits(101);
    let document = ran.json();
    assert_eq!(document["error"]["message"], "no result for 3 programs");
    let causes: Vec<&str> =
        document["error"]["causes"].as_array().unwrap().iter().map(|cause| cause.as_str().unwrap()).collect();
    for (cause, text) in
        causes.iter().zip(["f02` is a script", "`--include nope` matches nothing: `", "dir.zip`"])
    {
        assert!(cause.contains(text), "{text}: {ran}");
    }
    assert_eq!(causes.len(), 3);
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 3, "{ran}");
    scene.run("check --workspace").exits(101).says(&["f01      starts  "]);
}

#[test]
fn two_functions_for_one_place_stop_the_run_before_anything_is_written() {
    let scene = Workspace::new();
    let ran = scene.run("--workspace -o out.zip").exits(2);
    ran.says(&["`f00` and `f01` would both be written to `"]).prints("");
    assert!(!scene.has("out.zip"));
    scene.run("-p f00 -p f01 -o out/{package}.zip").exits(0);
    assert!(scene.at("out/f01.zip").is_file());
}

#[test]
fn one_place_is_one_however_it_is_spelled() {
    let scene = Workspace::new();
    scene.dir("dist").link("dist", "other");
    let refused = |own: &str, theirs: &str, arguments: &str| {
        scene.manifest(0, own);
        scene.manifest(1, theirs);
        let before = scene.paths();
        let ran = scene.run(&format!("-p f00 -p f01 {arguments}")).exits(2);
        ran.says(&["`f00` and `f01` would both be written to `"]).prints("");
        assert_eq!(scene.paths(), before);
    };
    // Each is relative to its own manifest.
    let natural = "output = \"../dist/bootstrap.zip\"";
    refused(natural, natural, "");
    refused(natural, "output = \"../other/bootstrap.zip\"", "");
    refused("output = \"../new/deep/x.zip\"", "output = \"../f02/../new/./deep/x.zip\"", "");
    refused("sbom = \"../sbom.json\"", "sbom = \"../sbom.json\"", "-o dist/{bin}.zip");
    refused("licenses = \"../dist/f01.zip\"", "", "-o dist/{bin}.zip");
    // The help, followed by the letter.
    let apart = "output = \"../dist/{bin}-{arch}.zip\"";
    scene.manifest(0, apart);
    scene.manifest(1, apart);
    scene.run("-p f00 -p f01").exits(0);
    assert!(scene.has("dist/f00-x86_64.zip") && scene.has("dist/f01-x86_64.zip"));
    // A layer of several programs is one archive.
    let layer = "kind = \"layer\"\noutput = \"../dist/layer.zip\"";
    scene.manifest(0, layer);
    scene.manifest(1, &layer.replace("dist", "other"));
    scene.run("-p f00 -p f01").exits(0);
    assert!(scene.names("dist/layer.zip").iter().any(|name| name.contains("f01")));
    // The layer of `--split-layer` is beside them.
    scene.manifest(3, "output = \"../layers/deps.zip\"");
    scene.manifest(13, "output = \"../out/x.zip\"");
    scene.run("-p f03 -p f13 --split-layer deps --library-path libs").exits(2).says(&[
        "the layer `deps` and `f03` would both be written to `",
        "help: give the layer another name: `--split-layer <NAME>`\n",
    ]);
}

#[test]
fn two_targets_of_one_architecture_are_told_apart_by_their_names() {
    let scene = Workspace::new();
    let targets = ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"];
    for target in targets {
        scene.copy("plain", format!("target/{target}/release/f00"));
    }
    let words = "-p f00 --target x86_64-unknown-linux-gnu --target x86_64-unknown-linux-musl";
    let ran = scene.run(&format!("{words} -o out/{{bin}}-{{arch}}.zip")).exits(2);
    let help = "tell them apart: `-o DIR/{bin}-{target}.zip`, with";
    ran.says(&["`f00` and `f00` would both be written to `", help]);
    scene.run(&format!("{words} -o out/{{bin}}-{{target}}.zip")).exits(0);
    for target in targets {
        assert!(scene.has(format!("out/f00-{target}.zip")));
    }
}

#[test]
fn an_archive_that_cannot_be_read_does_not_stop_verify() {
    let scene = Workspace::new();
    scene.run("-p f00 -p f01").exits(0);
    let (first, last) = (archive(0), archive(1));
    scene.file("cut.zip", &scene.read(&first)[..200]).dir("tree");
    let ran = scene.run(&format!("verify {first} cut.zip none.zip tree {last}")).exits(101);
    let ran = ran.says(&[
        &format!("{first}: starts on provided.al2023 (x86_64)\n"),
        &format!("{last}: starts on provided.al2023 (x86_64)\n"),
        "error: `none.zip` does not exist\n",
        "error[bootstrap-missing]: `tree` has no `bootstrap` at its root\n",
    ]);
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{ran}");
    let document = scene.run(&format!("verify cut.zip {last} --message-format json")).exits(101).json();
    assert_eq!(document["artifacts"].as_array().unwrap().len(), 1);
    assert!(document["error"]["message"].as_str().unwrap().contains("cut.zip"), "{document:#}");
    scene.run("verify cut.zip").exits(101).says(&["error: `cut.zip`"]);
}

/// Every archive has a `bootstrap`: what is said of one names its archive, also with `-q` and in annotations.
#[test]
fn what_is_said_of_an_archive_names_it() {
    if !tools::require("zip", "zip") {
        return;
    }
    let scene = Workspace::new();
    scene.run("-p f00").exits(0);
    scene.copy("with-library", "bootstrap");
    scene.tool("zip", "-q bad.zip bootstrap").exits(0);
    let good = archive(0);
    let quiet = scene.run(&format!("verify {good} bad.zip -q")).exits(1);
    assert!(quiet.stderr.starts_with("bad.zip:\nerror[missing-library]: `bootstrap` needs"), "{quiet}");
    scene.run("verify bad.zip -q").exits(1).keeps_silent_about(&["bad.zip:"]);
    let ran = scene.run(&format!("verify {good} bad.zip --message-format github")).exits(1);
    let title = "::error title=missing-library%3A bootstrap in bad.zip on provided.al2023::";
    assert!(ran.stdout.starts_with(title), "{ran}");
    // A failure does not end in green.
    for (arguments, color, verb) in [
        (format!("verify {good}"), 32, "Verified"),
        ("verify bad.zip".to_owned(), 31, "  Failed"),
        ("check --binary plain".to_owned(), 32, " Checked"),
        ("check --binary bootstrap".to_owned(), 31, "  Failed"),
        ("--binary bootstrap -o new.zip".to_owned(), 31, " Stopped"),
    ] {
        let ran = scene.run(&format!("{arguments} --color always"));
        let last = ran.stderr.lines().last().unwrap();
        assert!(last.starts_with(&format!("\u{1b}[1m\u{1b}[{color}m    {verb}\u{1b}[0m ")), "{ran}");
    }
}

#[test]
fn of_many_programs_that_are_not_built_one_place_each_is_named() {
    let scene = Workspace::new();
    for name in ["f00", "f01", "f02"] {
        scene.remove(&format!("target/release/{name}"));
    }
    let ran = scene.run("-p f00 -p f01 -p f02").exits(101);
    let ran = ran.says(&[
        "error: `f00`, `f01`, `f02` are not built\n",
        "  tried target/release/f00\n      tried target/release/f01\n",
        "  tried other targets and `target/lambda`, too\n",
    ]);
    ran.keeps_silent_about(&["tried target/*"]);
}

#[test]
fn cargo_is_asked_once() {
    let scene = Workspace::new();
    let script = "#!/bin/sh\necho \"$1\" >> \"$LOG\"\nexec cargo \"$@\"\n";
    scene.file("bin/wrapper", script).mode("bin/wrapper", 0o755);
    let mut run = scene.command("--workspace --exclude f*3");
    finish(run.env("CARGO", scene.at("bin/wrapper")).env("LOG", scene.at("log"))).exits(0);
    assert_eq!(scene.text("log"), "metadata\n");
}
