//! `cpu-level` by the flags that rustc was given, with the real cargo.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;

use crate::support::command::{command, finish};
use crate::support::compile::Compiler;
use crate::support::scene::Scene;
use crate::support::tools;

const MANIFEST: &str = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";

fn project() -> Scene {
    let scene = Scene::new();
    scene.file("Cargo.toml", MANIFEST);
    scene.file(
        "src/main.rs",
        "fn main() { println!(\"{:?}\", std::env::var(\"AWS_LAMBDA_RUNTIME_API\")); }\n",
    );
    scene
}

fn cargo(scene: &Scene, words: &str) {
    finish(scene.other_command("cargo").args(words.split_whitespace())).exits(0);
}

/// The flag and its source in the finding of a check; empty without one.
#[track_caller]
fn flag(scene: &Scene, words: &str) -> String {
    let ran = scene.run(&format!("check {words}")).exits(0);
    let Some((_, rest)) = ran.stderr.split_once("it was compiled with ") else {
        assert!(!ran.stderr.contains("cpu-level"), "{ran}");
        return String::new();
    };
    assert!(ran.stderr.contains("warning[cpu-level]: `orders` may end with an illegal instruction"), "{ran}");
    let (flag, rest) = rest.split_once("\n  the flag comes from ").unwrap();
    let (source, _) = rest.split_once("; Lambda's processors may have only x86-64-v3\n").unwrap();
    format!("{flag} ({source})")
}

#[test]
fn the_flag_is_named_with_its_file_and_line() {
    let scene = project();
    scene.file(
        ".cargo/config.toml",
        "[build]\n# target-cpu=native\nrustflags = [\n  \"-C\", \"target-cpu=native\",\n]\n",
    );
    cargo(&scene, "build --release");
    assert_eq!(flag(&scene, ""), "`target-cpu=native` (`.cargo/config.toml`, line 4)");
    assert_eq!(flag(&scene, "--build"), "`target-cpu=native` (`.cargo/config.toml`, line 4)");
    // In a file that the configuration includes, under a condition.
    scene.file(".cargo/config.toml", "include = [{ path = \"more.toml\", optional = true }]\n");
    scene.file(".cargo/more.toml", "[target.'cfg(unix)']\nrustflags = [\"-Ctarget-cpu=native\"]\n");
    cargo(&scene, "build --release");
    assert_eq!(flag(&scene, ""), "`target-cpu=native` (`.cargo/more.toml`, line 2)");
    // The help, followed by the letter.
    scene.file(".cargo/config.toml", "[build]\nrustflags = \"-C target-cpu=x86-64-v3\"\n");
    // Not built yet: the record counts.
    assert_eq!(flag(&scene, ""), "`target-cpu=native` (cargo's record of the build)");
    cargo(&scene, "build --release");
    assert_eq!(flag(&scene, ""), "");
    let cfg = "[target.'cfg(unix)']\nrustflags = [\"-Ctarget-feature=+avx2,+avx512f\"]\n";
    scene.file(".cargo/config.toml", cfg);
    cargo(&scene, "build --release");
    assert_eq!(flag(&scene, ""), "`target-feature=+avx2,+avx512f` (`.cargo/config.toml`, line 2)");
    // Without a record the configuration of now is all that there is.
    fs::remove_dir_all(scene.at("target/release/.fingerprint")).unwrap();
    assert_eq!(flag(&scene, ""), "`target-feature=+avx2,+avx512f` (`.cargo/config.toml`, line 2)");
    scene.file(
        ".cargo/config.toml",
        "[target.x86_64-unknown-linux-gnu]\nrustflags = [\"-Ctarget-feature=+avx2,+aes\"]\n",
    );
    assert_eq!(flag(&scene, ""), "");
}

#[test]
fn variables_and_profiles_count() {
    for (name, flags) in [
        ("RUSTFLAGS", "-C target-cpu=sapphirerapids"),
        ("CARGO_ENCODED_RUSTFLAGS", "-C\u{1f}target-cpu=sapphirerapids"),
    ] {
        let scene = project().var(name, flags);
        cargo(&scene, "build --release");
        assert_eq!(flag(&scene, ""), format!("`target-cpu=sapphirerapids` (the variable `{name}`)"));
    }
    let scene = project().var("RUSTFLAGS", "-Ctarget-cpu=x86-64-v4");
    cargo(&scene, "build --release --target x86_64-unknown-linux-gnu");
    // A shell without the variable.
    let mut plain = command(env!("CARGO_BIN_EXE_cargo-lambda-bundle"), scene.path());
    finish(plain.arg("check"))
        .exits(0)
        .says(&["`target-cpu=x86-64-v4`\n  the flag comes from cargo's record of the build"]);
    // A nightly cargo knows flags of profiles.
    let scene = project().with_metadata_file();
    cargo(&scene, "build --release");
    scene.file("Cargo.toml", format!("cargo-features = [\"profile-rustflags\"]\n{MANIFEST}"));
    let profile = "[profile.release]\nrustflags = [\"-C\", \"target-cpu=znver5\"]\n";
    let metadata = scene.tool("cargo", "metadata --format-version 1 --no-deps");
    if metadata.code != Some(0) {
        scene.file("Cargo.toml", MANIFEST);
        let metadata = scene.tool("cargo", "metadata --format-version 1 --no-deps").exits(0);
        scene.file("metadata.json", metadata.stdout);
        scene.file("Cargo.toml", format!("{MANIFEST}{profile}"));
        let found = flag(&scene, "");
        assert_eq!(found, "`target-cpu=znver5` (`Cargo.toml`, line 6)");
    }
}

#[test]
fn an_instruction_that_arm64_may_lack_is_a_note() {
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    let scene = Scene::new();
    let source = "__attribute__((noinline)) void wide(void) { __asm__ volatile(\".arch armv8.2-a+sve\\nptrue p0.b\"); }\n\
        int main(void) { wide(); return 0; }";
    Compiler(&["aarch64-linux-gnu-gcc"]).compile(scene.path(), source, "app", "-mno-outline-atomics");
    scene.run("check --binary app -v").exits(0).says(&[
        "note[cpu-level]: `app` may end with an illegal instruction: its function `wide` has an instruction of SVE\n  Lambda's processors may have only Armv8.2\n",
        "`-mcpu=neoverse-n1` for C\n",
    ]);
    scene.run("check --binary app").exits(0).keeps_silent_about(&["cpu-level"]);
}
