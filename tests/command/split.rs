//! One run for a workspace of 20 functions, three of which share libpq through a layer.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeSet;
use std::fs;

use crate::support::compile::{SHIPPED_WITH_LIBPQ, require_debian_12, require_library};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::maps::{REPORT, directories};
use crate::support::workspace::{N_FUNCTIONS, Workspace, archive, built, name};
use cargo_lambda_bundle::archive::Digest;
use cargo_lambda_bundle::elf::Arch;
use serde_json::json;

fn set(names: &[impl ToString]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn three_functions_share_libpq_through_a_layer() {
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !require_library("libpq.so", "libpq-dev")
    {
        return;
    }
    let scene = Workspace::new();
    let main = format!(
        "{REPORT}int PQlibVersion(void);
         int main(void) {{ fprintf(stderr, \"libpq %d\\n\", PQlibVersion() / 10000); report(); return 0; }}"
    );
    scene.c(&main, "with-libpq", "-lpq");
    let sharing = [2, 9, 16];
    for at in sharing {
        scene.program(at, "with-libpq");
    }
    // One library of its own for one of the others.
    scene.manifest(3, "library-path = [\"../libs\"]");
    scene.program(13, "plain");

    let ran = scene.run("--workspace --split-layer shared -v").exits(0);
    let layer = "target/lambda-bundle/layers/shared.zip";
    // The layer and the functions, and nothing else.
    assert_eq!(ran.stdout.lines().count(), 1 + N_FUNCTIONS, "{ran}");
    assert!(ran.stdout.lines().last().unwrap().ends_with(layer), "{ran}");
    assert_eq!(scene.names(layer), SHIPPED_WITH_LIBPQ.map(|name| format!("lib/{name}")));
    for at in 0..N_FUNCTIONS {
        let expected = if at == 3 { &["bootstrap", "lib/libtop.so.1"][..] } else { &["bootstrap"] };
        assert_eq!(scene.entries(at), set(expected), "{}", name(at));
    }
    scene.run(&format!("verify --kind layer {layer}")).exits(0);
    for at in sharing {
        let zip = archive(at);
        scene.run(&format!("verify {zip} --attached-layer {layer}")).exits(0);
        scene.run(&format!("verify {zip}")).exits(1).says(&["error[missing-library]", "libpq.so.5"]);
        let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
        root.unpack_function(&scene.at(&zip));
        assert_eq!(root.start("/var/task/bootstrap", &[]).status.code(), Some(127), "without the layer");
        root.unpack_layer(&scene.at(layer));
        let output = root.start("/var/task/bootstrap", &[]);
        let report = String::from_utf8(output.stderr).unwrap();
        assert!(report.starts_with("libpq 15\nexe /var/task/bootstrap\n"), "{report}");
        assert_eq!(directories(&report), ["/opt/lib", "/usr/lib64"], "{report}");
    }

    // The same again: the same bytes.
    let bytes = || scene.read(layer);
    let before = bytes();
    let document = scene.run("--workspace --split-layer shared --message-format json").exits(0).json();
    assert!(bytes() == before);
    let report = &document["split_layer"];
    assert_eq!(json!([report["kind"], report["format"]]), json!(["layer", "zip"]));
    assert_eq!(report["path"], json!(scene.at(layer)));
    assert_eq!(report["code_sha256"], json!(Digest::of(&before).base64));
    ran.says(&[&format!("CodeSha256 {}", Digest::of(&before).base64)]);
}

#[test]
fn functions_that_share_nothing_get_no_layer() {
    let scene = Workspace::new();
    let ran = scene.run("-p f00 -p f01 --split-layer shared").exits(0);
    ran.says(&["Splitting nothing: the functions have no library to share"]);
    assert!(!scene.has("target/lambda-bundle/layers"));
}

#[test]
fn the_layer_has_documents_of_its_own() {
    let scene = Workspace::new();
    let both = "-p f03 -p f13 --library-path libs --split-layer shared";
    scene.run(&format!("{both} --sbom docs/{{bin}}.json --licenses docs/{{bin}}.txt")).exits(0);
    let read = |path: &str| -> serde_json::Value { serde_json::from_str(&scene.text(path)).unwrap() };
    let components = read("docs/shared.json")["components"].clone();
    let paths: Vec<&serde_json::Value> =
        components.as_array().unwrap().iter().map(|component| &component["bom-ref"]).collect();
    assert_eq!(paths, ["lib/libtop.so.1"]);
    assert!(scene.text("docs/shared.txt").contains("==== lib/libtop.so.1: its package is not known ===="));
    assert_eq!(read("docs/f03.json")["components"], serde_json::json!([]));
    // A package may name its own path, without a placeholder.
    for at in [3, 13] {
        scene.manifest(at, "sbom = \"sbom.json\"");
    }
    scene.run(both).exits(0);
    assert!(scene.has("f03/shared.json") && scene.has("f13/sbom.json"));
    let clash = both.replace("shared", "f03");
    scene.run(&format!("{clash} --sbom docs/{{bin}}.json")).exits(2).says(&[
        "error: a document about the layer `f03` would be written to `",
        "help: give the layer another name: `--split-layer <NAME>`\n",
    ]);
}

/// A function that is not written needs no layer; an old one is named.
#[test]
fn nothing_of_a_failed_run_is_written() {
    let scene = Workspace::new();
    let layer = "target/lambda-bundle/layers/shared.zip";
    let both = "-p f03 -p f13 --library-path libs --split-layer shared";
    let missing = "dlopen = [\"libnosuch.so.1\"]";
    scene.manifest(3, missing);
    scene.manifest(13, missing);
    scene.run(both).exits(1).prints("");
    assert!(!scene.has("target/lambda-bundle/layers"));
    // One of them can be written.
    scene.manifest(13, "");
    let ran = scene.run(&format!("{both} --message-format json -v")).exits(1);
    let ran = ran.says(&[
        &format!("Checking f13 for provided.al2023 (x86_64) with {layer} attached ("),
        " f13      starts with a layer ",
    ]);
    assert_eq!(ran.json()["artifacts"][1]["layers"], serde_json::json!([scene.at(layer)]));
    assert_eq!(scene.names(layer), ["lib/libtop.so.1"]);
    assert!(scene.has(archive(13)) && !scene.has(archive(3)));
    let left = &[&*format!("/{layer}: an earlier run wrote it, and no function of this one needs it\n")];
    scene.manifest(13, missing);
    scene.run(both).exits(1).says(left);
    scene.run("-p f00 -p f01 --split-layer shared").exits(0).says(left);
    scene.run("check -p f00 -p f01 --split-layer shared").exits(0).keeps_silent_about(&["earlier"]);
}

#[test]
fn each_package_has_its_own_attached_layers() {
    let scene = Workspace::new();
    scene.run("-p f03 --library-path libs --kind layer --libraries-only -o top.zip").exits(0);
    scene.manifest(13, "attached-layer = [\"../top.zip\"]");
    scene.manifest(3, "library-path = [\"../libs\"]");
    for _ in 0..2 {
        scene.run("-p f03 -p f13").exits(0);
        assert_eq!(scene.entries(3), set(&["bootstrap", "lib/libtop.so.1"]));
        assert_eq!(scene.entries(13), set(&["bootstrap"]));
    }
    let five = "--attached-layer top.zip ".repeat(5);
    scene.run(&format!("-p f03 -p f13 --split-layer shared {five}")).exits(2).says(&["`--split-layer`"]);
}

#[test]
fn the_split_layer_counts_towards_the_limit() {
    let scene = Workspace::new();
    // Data and the library are over it only together.
    let data = fs::File::create(scene.at("data")).unwrap();
    let library = scene.read("libs/libtop.so.1").len() as u64;
    let program = scene.read(built(3)).len() as u64;
    data.set_len(262_144_000 - program - library + 1).unwrap();
    let both = "check -p f03 -p f13 --library-path libs --split-layer shared";
    scene.run(both).exits(0);
    let ran = scene.run(&format!("{both} --include data")).exits(1);
    ran.says(&["error[size-limit]: `f03` is 262.1 MB unzipped; Lambda allows 262.1 MB with layers"]);
}

/// Two libraries of one name, and programs that were linked with one or the other.
fn greeting(scene: &Workspace) {
    for (directory, word) in [("x", "hello"), ("y", "goodbye")] {
        scene.dir(directory);
        let library = format!("#include <stdio.h>\nvoid greet(void) {{ puts(\"{word}\"); }}");
        scene.c(&library, &format!("{directory}/libgreet.so.1"), "-shared -fPIC -Wl,-soname,libgreet.so.1");
        let source = format!(
            "#include <stdio.h>\nvoid greet(void);\nint main(void) {{ greet(); return puts(\"{directory}\") < 0; }}"
        );
        let path = scene.at(directory);
        scene.c(
            &source,
            &format!("of-{directory}"),
            &format!("{directory}/libgreet.so.1 -Wl,-rpath,{}", path.display()),
        );
    }
}

#[test]
fn a_library_that_one_function_has_in_another_form_stays_with_its_functions() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let scene = Workspace::new();
    greeting(&scene);
    for (at, program) in [(2, "of-x"), (9, "of-y"), (16, "of-x")] {
        scene.program(at, program);
    }
    scene.run("-p f02 -p f09 -p f16 --split-layer shared").exits(0);
    for (at, word) in [(2, "hello\n"), (9, "goodbye\n"), (16, "hello\n")] {
        let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
        root.unpack_function(&scene.at(archive(at)));
        if scene.has("target/lambda-bundle/layers/shared.zip") {
            root.unpack_layer(&scene.at("target/lambda-bundle/layers/shared.zip"));
        }
        let output = root.start("/var/task/bootstrap", &[]);
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(word), "{at}");
    }
}

#[test]
fn two_programs_of_one_archive_do_not_get_one_library_for_two() {
    let scene = Workspace::new();
    greeting(&scene);
    let both = "--kind layer --binary of-x --binary of-y -o both.zip";
    scene.run(both).exits(1).says(&[
        "error[repair-conflict]: `bin/of-y` was built with `",
        "/y/libgreet.so.1`, but the bundle's `libgreet.so.1` is `",
        "help: write it to an archive of its own, or build both with one file\n",
    ]);
    assert!(!scene.has("both.zip"));
    scene.run("--binary of-x --include of-y=bin/of-y -o both.zip").exits(1);
    // The same bytes in another place are the same library.
    fs::copy(scene.at("x/libgreet.so.1"), scene.at("y/libgreet.so.1")).unwrap();
    scene.run(both).exits(0);
}
