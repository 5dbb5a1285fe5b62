//! Programs that `--build-with zigbuild` links against the runtime's glibc, started; and the help that leads there.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};

use cargo_lambda_bundle::elf::Arch;

use crate::support::command::{Ran, bundle_cmd, command, finish};
use crate::support::debian::DEBIAN_11;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::scene::Scene;
use crate::support::tools;

/// Compiles `c/parse.c` with the compiler of the target, as the crate `cc` does.
const BUILD_SCRIPT: &str = r#"
use std::process::Command;
fn main() {
    let target = std::env::var("TARGET").unwrap().replace('-', "_");
    let tool = |name: &str, default: &str| std::env::var(format!("{name}_{target}")).unwrap_or(default.to_owned());
    let out = std::env::var("OUT_DIR").unwrap();
    let run = |program: String, words: &[&str]| assert!(Command::new(program).args(words).status().unwrap().success());
    run(tool("CC", "cc"), &["-O1", "-fPIC", "-c", "c/parse.c", "-o", &format!("{out}/parse.o")]);
    run(tool("AR", "ar"), &["crs", &format!("{out}/libparse.a"), &format!("{out}/parse.o")]);
    println!("cargo:rustc-link-search=native={out}\ncargo:rustc-link-lib=static=parse");
}
"#;

const MAIN: &str = r#"
#[used]
static SIGN: &str = "AWS_LAMBDA_RUNTIME_API";
extern "C" { fn parse(text: *const std::ffi::c_char) -> std::ffi::c_long; }
fn main() {
    let thread = std::thread::spawn(|| unsafe { parse(c"42 and more".as_ptr()) });
    println!("{}", thread.join().unwrap());
}
"#;

/// The package `orders`: Rust with threads, and C.
fn project() -> Scene {
    let scene = Scene::new();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest).file("build.rs", BUILD_SCRIPT).file("src/main.rs", MAIN);
    scene.file(
        "c/parse.c",
        "#include <stdlib.h>\nlong parse(const char *text) { return strtol(text, 0, 0); }\n",
    );
    scene
}

#[track_caller]
fn require() -> bool {
    let has = |tool: &str| which::which(tool).is_ok();
    (has("cargo-zigbuild") && (has("zig") || has("python3")))
        || tools::skip("cargo-zigbuild with zig (pip install cargo-zigbuild)")
}

/// Runs a command of a help: what is between the backticks after `before`.
#[track_caller]
fn follow(scene: &Scene, ran: &Ran, before: &str) -> Ran {
    let (_, rest) = ran.stderr.split_once(before).unwrap_or_else(|| panic!("no {before:?}: {ran}"));
    let pasted = rest.split_once("`cargo lambda-bundle ").and_then(|(_, rest)| rest.split_once('`'));
    let (words, _) = pasted.unwrap_or_else(|| panic!("no command: {ran}"));
    finish(bundle_cmd(scene.path()).args(words.split(' ')))
}

fn start(arch: Arch, system: &Path, zip: PathBuf) -> String {
    let root = LambdaRoot::of_system(system, arch, &provided_al2023(arch));
    root.unpack_function(&zip);
    let output = root.start("/var/task/bootstrap", &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_a_version_that_is_too_new_leads_to_a_program_that_starts() {
    if !require() || !lambda_root::require(Arch::X86_64) {
        return;
    }
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let scene = project();
    finish(command("cargo", scene.path()).args(["build", "--release", "--quiet"])).exits(0);
    // Rust's standard library on this machine's glibc needs 2.34.
    let ran = scene.run("--runtime provided.al2").exits(1).says(&[
        "error[version-too-new]: `orders` needs",
        "help: build against glibc 2.26 or older: `cargo lambda-bundle --build-with zigbuild --runtime provided.al2 -p orders --bin orders`; or for musl",
    ]);
    let built = follow(&scene, &ran, "build against glibc 2.26 or older: ").exits(0);
    built.says(&["Bundled orders for provided.al2 (x86_64): "]);
    assert!(scene.has("target/x86_64-unknown-linux-gnu/release/orders"));
    let zip = scene.at("target/lambda-bundle/orders/bootstrap.zip");
    assert_eq!(start(Arch::X86_64, &debian_11, zip.clone()), "42\n");
    assert_eq!(start(Arch::X86_64, Path::new("/"), zip), "42\n");
    // Now there are two builds; the next run takes the newer one, and names the other.
    scene.run("check").exits(0).says(&[
        "Choosing target/x86_64-unknown-linux-gnu/release/orders, the newest build of `orders`; others are `target/release/orders`\n",
    ]);
    // The other way of that help.
    let ran = scene.run("check --runtime provided.al2 --build").exits(1);
    let built = follow(&scene, &ran, "; or for musl: ").exits(0);
    built.says(&["Bundled orders for provided.al2 (x86_64): "]);
    assert!(scene.has("target/x86_64-unknown-linux-musl/release/orders"));
}

#[test]
fn a_program_for_arm64_starts() {
    if !require() || !lambda_root::require(Arch::Arm64) || !tools::require_target("aarch64-unknown-linux-gnu")
    {
        return;
    }
    let scene = project();
    scene.run("--build-with zigbuild --arch arm64 -o arm.zip -v").exits(0).says(&[
        "for provided.al2023 (arm64) (target/aarch64-unknown-linux-gnu/release/orders; dynamic, glibc",
    ]);
    assert_eq!(start(Arch::Arm64, Path::new("/"), scene.at("arm.zip")), "42\n");
    // By its target, with a glibc of the user's own; the same place.
    let words =
        "--build-with zigbuild --target aarch64-unknown-linux-gnu.2.26 --runtime provided.al2 -o old.zip -v";
    scene
        .run(words)
        .exits(0)
        .says(&["for provided.al2 (arm64) (target/aarch64-unknown-linux-gnu/release/orders; dynamic"]);
    assert_eq!(start(Arch::Arm64, Path::new("/"), scene.at("old.zip")), "42\n");
}
