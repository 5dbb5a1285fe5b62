//! The libraries are those of the build that made the program, whatever other builds left; with the real cargo.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::process::Command;

use crate::support::command::{Ran, command, finish};
use crate::support::scene::Scene;
use crate::support::tools;

/// A build script that makes a `libgreet.so.1` with this text, a Rust expression, in a directory of its output.
fn build_script(text: &str) -> String {
    format!(
        r##"use std::process::Command;
fn main() {{
    let out = std::env::var("OUT_DIR").unwrap();
    let text: String = {text};
    for text in text.split('|') {{
        let dir = format!("{{out}}/{{}}", text.replace(' ', "-"));
        std::fs::create_dir_all(&dir).unwrap();
        let source = format!("#include <stdio.h>\nvoid greet(void) {{{{ puts(\"library of {{text}}\"); }}}}\n");
        std::fs::write(format!("{{dir}}/greet.c"), source).unwrap();
        let words = ["-shared", "-fPIC", "-Wl,-soname,libgreet.so.1", "greet.c", "-o", "libgreet.so.1"];
        assert!(Command::new("cc").current_dir(&dir).args(words).status().unwrap().success());
        let _ = std::fs::remove_file(format!("{{dir}}/libgreet.so"));
        std::os::unix::fs::symlink("libgreet.so.1", format!("{{dir}}/libgreet.so")).unwrap();
        println!("cargo:rustc-link-search=native={{dir}}");
    }}
    println!("cargo:rustc-link-lib=greet\ncargo:rerun-if-changed=build.rs");
}}
"##
    )
}

const MAIN: &str = "extern \"C\" { fn greet(); }
fn main() { unsafe { greet() }; println!(\"{:?}\", std::env::var(\"AWS_LAMBDA_RUNTIME_API\")); }
";

fn manifest(name: &str, more: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"greet-{name}\"\n{more}"
    )
}

/// One package whose build script makes the library.
fn single(text: &str, more: &str) -> Scene {
    let scene = Scene::new();
    scene.file("Cargo.toml", manifest("orders", more)).file("src/main.rs", MAIN);
    scene.file("build.rs", build_script(text));
    scene
}

/// Two packages with a library each.
fn two(script: impl Fn(&str) -> String) -> Scene {
    let scene = Scene::new();
    scene.file("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n");
    for name in ["a", "b"] {
        scene
            .file(format!("{name}/Cargo.toml"), manifest(name, ""))
            .file(format!("{name}/src/main.rs"), MAIN);
        scene.file(format!("{name}/build.rs"), script(name));
    }
    scene
}

fn has_tools() -> bool {
    tools::require("cc", "gcc") && tools::require("unzip", "unzip")
}

fn cargo(scene: &Scene, words: &str) -> Ran {
    finish(command("cargo", scene.path()).args(words.split_whitespace())).exits(0)
}

/// The text in the library of an archive.
#[track_caller]
fn shipped(scene: &Scene, zip: &str) -> String {
    let mut unzip = Command::new("unzip");
    let output = unzip.arg("-p").arg(scene.at(zip)).arg("lib/libgreet.so.1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = text.split_once("library of ").unwrap_or_else(|| panic!("no library in {zip}"));
    rest.split('\0').next().unwrap().to_owned()
}

#[track_caller]
fn bundles(scene: &Scene, words: &str, expected: &[(&str, &str)]) {
    let _ = fs::remove_dir_all(scene.at("target/lambda-bundle"));
    scene.run(words).exits(0);
    for (name, text) in expected {
        assert_eq!(shipped(scene, &format!("target/lambda-bundle/{name}/bootstrap.zip")), *text, "{words}");
    }
}

#[test]
fn each_package_gets_its_own_build_scripts_library() {
    if !has_tools() {
        return;
    }
    let scene = two(|name| build_script(&format!("\"{name}\".to_owned()")));
    cargo(&scene, "build --release");
    let both = [("a", "a"), ("b", "b")];
    bundles(&scene, "--workspace", &both);
    bundles(&scene, "-p a", &both[..1]);
    bundles(&scene, "-p b", &both[1..]);
    bundles(&scene, "--build --workspace", &both);
    // Without the records, the two cannot be told apart.
    fs::remove_dir_all(scene.at("target/release/.fingerprint")).unwrap();
    let ran = scene.run("-p b --target-dir target").exits(101).says(&[
        "error: `b` may be linked with either of two files for `libgreet.so.1`, and they differ\n",
        "/a/libgreet.so.1\n",
        "/b/libgreet.so.1\n",
        "help: build it again in the same run: add `--build`\n",
    ]);
    assert!(!ran.stderr.contains("--library-path"), "{ran}");
    bundles(&scene, "-p b --build", &both[1..]);
    bundles(&scene, "--build --workspace --target x86_64-unknown-linux-gnu", &both);
    bundles(&scene, "--workspace --target x86_64-unknown-linux-gnu", &both);
}

#[test]
fn each_program_gets_the_library_that_its_runpath_finds() {
    if !has_tools() {
        return;
    }
    let scene = two(|_| {
        r#"fn main() {
            let native = format!("{}/native", std::env::var("CARGO_MANIFEST_DIR").unwrap());
            println!("cargo:rustc-link-search=native={native}\ncargo:rustc-link-lib=greet");
            println!("cargo:rustc-link-arg=-Wl,-rpath,{native}");
        }"#
        .to_owned()
    });
    for name in ["a", "b"] {
        scene.dir(format!("{name}/native"));
        let source = format!("#include <stdio.h>\nvoid greet(void) {{ puts(\"library of {name}\"); }}\n");
        scene.library(&format!("{name}/native/libgreet.so.1"), &source, "");
        scene.link("libgreet.so.1", format!("{name}/native/libgreet.so"));
    }
    cargo(&scene, "build --release");
    let both = [("a", "a"), ("b", "b")];
    bundles(&scene, "--workspace", &both);
    bundles(&scene, "--build --workspace", &both);
    // The RUNPATH tells, where the records do not.
    fs::remove_dir_all(scene.at("target/release/.fingerprint")).unwrap();
    bundles(&scene, "--workspace", &both);
}

#[test]
fn an_older_build_leaves_no_library_in_the_bundle() {
    if !has_tools() {
        return;
    }
    let text = "if std::env::var_os(\"CARGO_FEATURE_NEW\").is_some() { \"new\" } else { \"old\" }.to_owned()";
    let scene = single(text, "[features]\nnew = []\n");
    cargo(&scene, "build --release");
    cargo(&scene, "build --release --features new");
    // Nothing is compiled now.
    cargo(&scene, "build --release");
    bundles(&scene, "", &[("orders", "old")]);
    cargo(&scene, "build --release --features new");
    bundles(&scene, "", &[("orders", "new")]);
    bundles(&scene, "--build", &[("orders", "old")]);
    // In another target directory.
    cargo(&scene, "build --release --features new --target-dir other");
    scene.run("--target-dir other -o other.zip").exits(0);
    assert_eq!(shipped(&scene, "other.zip"), "new");
}

#[test]
fn two_directories_of_one_build_are_a_question() {
    if !has_tools() {
        return;
    }
    let scene = single("\"one|two\".to_owned()", "");
    cargo(&scene, "build --release");
    let ran = scene.run("").exits(101).says(&["/one/libgreet.so.1\n", "/two/libgreet.so.1\n"]);
    let (_, help) = ran.stderr.split_once("help: add the directory of the right one, for example `").unwrap();
    let words = help.split_once('`').unwrap().0;
    bundles(&scene, words, &[("orders", "one")]);
    bundles(&scene, &words.replace("one", "two"), &[("orders", "two")]);
}

/// A package that links `libgreet`, which is in `DIRECTORY`.
fn linking(directory: &str) -> Scene {
    let scene = Scene::new();
    scene.file("Cargo.toml", manifest("orders", "")).dir(directory);
    scene.file("build.rs", "fn main() { println!(\"cargo:rustc-link-lib=greet\"); }\n");
    scene.file("src/main.rs", MAIN);
    greet(&scene, directory, "libgreet.so.1", "the flags");
    scene.link("libgreet.so.1", format!("{directory}/libgreet.so"));
    scene
}

fn greet(scene: &Scene, directory: &str, name: &str, text: &str) {
    let source = format!("#include <stdio.h>\nvoid greet(void) {{ puts(\"library of {text}\"); }}\n");
    scene.c(&source, &format!("{directory}/{name}"), "-shared -fPIC -Wl,-soname,libgreet.so.1");
}

#[test]
fn directories_of_flags_are_searched() {
    if !has_tools() {
        return;
    }
    let scene = linking("libs");
    let libs = scene.at("libs").display().to_string();
    for flags in [format!("[\"-L\", \"native={libs}\"]"), format!("\"-Clink-arg=-L{libs}\"")] {
        scene.file(".cargo/config.toml", format!("[build]\nrustflags = {flags}\n"));
        cargo(&scene, "build --release");
        bundles(&scene, "", &[("orders", "the flags")]);
        bundles(&scene, "--build", &[("orders", "the flags")]);
    }
    scene.file(".cargo/config.toml", format!("[target.'cfg(unix)']\nrustflags = \"-L{libs}\"\n"));
    bundles(&scene, "--build", &[("orders", "the flags")]);
    scene.remove(".cargo/config.toml");
    let script = format!(
        "fn main() {{ println!(\"cargo:rustc-link-lib=greet\\ncargo:rustc-link-arg=-L{libs}\"); }}\n"
    );
    scene.file("build.rs", script);
    bundles(&scene, "--build", &[("orders", "the flags")]);
    bundles(&scene, "", &[("orders", "the flags")]);
}

#[test]
fn the_configuration_takes_the_place_of_a_build_script() {
    if !has_tools() {
        return;
    }
    let scene = single("\"the script\".to_owned()", "");
    cargo(&scene, "build --release");
    bundles(&scene, "", &[("orders", "the script")]);
    scene.dir("libs");
    greet(&scene, "libs", "libgreet.so.1", "the override");
    scene.link("libgreet.so.1", "libs/libgreet.so");
    let table = "[target.x86_64-unknown-linux-gnu.greet-orders]\nrustc-link-lib = [\"greet\"]\n";
    let search = format!("{table}rustc-link-search = [\"{}\"]\n", scene.at("libs").display());
    scene.file(".cargo/config.toml", search);
    cargo(&scene, "build --release");
    bundles(&scene, "", &[("orders", "the override")]);
    bundles(&scene, "--build", &[("orders", "the override")]);
    bundles(&scene, "--build --target x86_64-unknown-linux-gnu", &[("orders", "the override")]);
    fs::remove_dir_all(scene.at("target/x86_64-unknown-linux-gnu")).unwrap();
    scene.remove(".cargo/config.toml");
    cargo(&scene, "build --release");
    bundles(&scene, "", &[("orders", "the script")]);
}

#[test]
fn of_several_files_with_one_soname_the_linked_one_is_shipped() {
    if !has_tools() {
        return;
    }
    let scene = linking("libs");
    scene.remove("libs/libgreet.so").remove("libs/libgreet.so.1");
    for version in ["1.2", "1.10", "1.9"] {
        greet(&scene, "libs", &format!("libgreet.so.{version}"), version);
    }
    scene.file(".cargo/config.toml", format!("[build]\nrustflags = \"-L{}\"\n", scene.at("libs").display()));
    scene.link("libgreet.so.1.2", "libs/libgreet.so");
    cargo(&scene, "build --release");
    bundles(&scene, "", &[("orders", "1.2")]);
    // Without the linker's name, the newest.
    scene.remove("libs/libgreet.so");
    bundles(&scene, "", &[("orders", "1.10")]);
}
