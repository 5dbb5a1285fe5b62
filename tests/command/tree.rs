//! `--dir`: the tree of the archive as files, and whole or not at all.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::command::{Ran, command, finish};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::scene::Scene;
use cargo_lambda_bundle::elf::Arch;
use serde_json::json;

/// What a tree has: for each path the mode with the bytes, or where the link leads.
type Tree = BTreeMap<String, (u32, Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, at: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let bytes = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_string().unwrap().into_bytes()
            } else if metadata.is_dir() {
                walk(root, &path, tree);
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            tree.insert(name, (metadata.permissions().mode(), bytes));
        }
    }
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    tree
}

/// A program that needs `libtop.so.1`, and included files with a link.
fn scene() -> Scene {
    let scene = Scene::with_top("");
    scene.file("data/deep/file", "data");
    scene.file("data/run.sh", "#!/bin/sh\n");
    scene.link("deep/file", "data/link");
    scene
}

const APP: &str = "--binary app --library-path libs --include {\"from\":\"data\",\"symlinks\":\"keep\"}";

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_tree_is_what_unzip_makes_of_the_archive() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let scene = scene();
    scene.run(&format!("{APP} -o app.zip")).exits(0);
    let unzip = "umask 022; exec unzip -q app.zip -d unzipped";
    finish(command("sh", scene.path()).args(["-c", unzip])).exits(0);
    // Modes are not left to the umask.
    let bundle = format!("umask 077; exec \"$0\" {} --dir", APP.replace('"', "\\\""));
    let ran =
        finish(command("sh", scene.path()).args(["-c", &bundle, env!("CARGO_BIN_EXE_cargo-lambda-bundle")]));
    let place = scene.at("target/lambda-bundle/app/tree");
    let ran = ran.exits(0).prints(&format!("{}\n", place.display()));
    ran.keeps_silent_about(&["CodeSha256", " zipped"]);
    let written = tree(&place);
    assert_eq!(written, tree(&scene.at("unzipped")));
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        [
            "bootstrap",
            "data",
            "data/deep",
            "data/deep/file",
            "data/link",
            "data/run.sh",
            "lib",
            "lib/libtop.so.1"
        ]
    );

    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    finish(command("cp", &place).args(["-a", "."]).arg(root.path("var/task"))).exits(0);
    assert!(root.start("/var/task/bootstrap", &[]).status.success());

    let ran = scene.run(&format!("{APP} --dir -o out --message-format json")).exits(0);
    let archive = ran.json()["artifacts"][0]["archive"].clone();
    assert_eq!(archive["path"], json!(scene.at("out")));
    let facts = ["format", "zipped_bytes", "sha256", "code_sha256", "kind"].map(|key| archive[key].clone());
    assert_eq!(json!(facts), json!(["dir", null, null, null, "function"]));
    assert_eq!(archive["entries"].as_array().unwrap().len(), 5);
}

#[test]
fn a_tree_is_replaced_whole_or_stays() {
    let scene = scene();
    let out = scene.at("out");
    let write = |more: &str| -> Ran { scene.run(&format!("{APP} --dir -o out {more}")) };
    write("").exits(0);
    let before = tree(&out);
    // It would not start: nothing is written.
    scene.run("--binary app --dir -o out").exits(1).says(&["error[missing-library]"]);
    assert_eq!(tree(&out), before);

    // What is there may be older and less, but nothing that is not of the bundle.
    fs::write(out.join("bootstrap"), "old").unwrap();
    fs::remove_file(out.join("data/link")).unwrap();
    write("").exits(0);
    assert_eq!(tree(&out), before);
    for (name, is_directory) in [("lib/notes.txt", false), ("mine", true)] {
        let foreign = out.join(name);
        if is_directory {
            fs::create_dir(&foreign).unwrap()
        } else {
            fs::write(&foreign, "mine").unwrap()
        }
        fs::write(out.join("bootstrap"), "old").unwrap();
        write("").exits(101).says(&[
            &format!("error: `{}` contains `{name}`, which is not part of this bundle", out.display()),
            "help: name another directory with `-o <DIR>`, or remove this one",
        ]);
        assert_eq!(fs::read(out.join("bootstrap")).unwrap(), b"old");
        if is_directory { fs::remove_dir(&foreign).unwrap() } else { fs::remove_file(&foreign).unwrap() }
    }
    // A library that is no longer needed is such a file, too.
    write("--exclude-lib libtop.so.1 --assume-present libtop.so.1")
        .exits(101)
        .says(&["contains `lib`, which"]);
    assert_eq!(names(scene.path()), ["app", "data", "libs", "out"]);

    scene.file("file", "");
    scene.run(&format!("{APP} --dir -o file")).exits(101).says(&["it is not a directory"]);
    scene.link("out", "link");
    scene.run(&format!("{APP} --dir -o link")).exits(101).says(&["it is not a directory"]);
    for place in ["file/below", "/proc/none/out"] {
        let error = format!("error: could not write `{}`", scene.at(place).display());
        scene.run(&format!("{APP} --dir -o {place}")).exits(101).says(&[&error]);
    }
    assert_eq!(names(scene.path()), ["app", "data", "file", "libs", "link", "out"]);
}

#[test]
fn layers_and_extensions_have_trees_of_their_own() {
    let scene = scene();
    scene.copy("app", "other");
    let both = "--binary app --binary other --library-path libs --dir";
    scene.run(&format!("{both} --split-layer shared")).exits(0);
    let bundles = scene.at("target/lambda-bundle");
    let keys = |place: &str| tree(&bundles.join(place)).into_keys().collect::<Vec<_>>();
    assert_eq!(keys("layers/shared"), ["lib", "lib/libtop.so.1"]);
    assert_eq!(keys("app/tree"), ["bootstrap"]);
    assert_eq!(keys("other/tree"), ["bootstrap"]);
    scene.run(&format!("{both} --kind extension -o both")).exits(0);
    assert_eq!(
        tree(&scene.at("both")).into_keys().collect::<Vec<_>>(),
        ["extensions", "extensions/app", "extensions/other", "lib", "lib/libtop.so.1"]
    );
    scene.run("--binary app --library-path libs --dir --kind layer").exits(0);
    assert_eq!(keys("layers/app"), ["bootstrap", "lib", "lib/libtop.so.1"]);
    scene.run("--binary app --library-path libs --dir --kind extension").exits(0);
    assert_eq!(keys("extensions/app"), ["extensions", "extensions/app", "lib", "lib/libtop.so.1"]);
    // Two functions do not share one.
    scene.run(&format!("{both} -o out")).exits(2).says(&["would both be written to"]);
}
