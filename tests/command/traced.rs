//! What we look at is never run, and nobody is called: every process and every socket of a run, by `strace`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::command::{command, finish};
use crate::support::scene::Scene;
use crate::support::tools;

const TOOL: &str = env!("CARGO_BIN_EXE_cargo-lambda-bundle");

/// A cargo project with a built program and a library that leave a file behind if they are ever started.
fn scene() -> Scene {
    let scene = Scene::new();
    let trap = |name: &str| {
        let file = scene.at(format!("{name}-was-run"));
        format!(
            "#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void trap(void) {{
                 close(open(\"{}\", O_CREAT | O_WRONLY, 0644)); }}\n",
            file.display()
        )
    };
    let library = trap("library") + "int top(void) { return 0; }";
    scene.c(&library, "libs/libtop.so.1", "-g -shared -fPIC -Wl,-soname,libtop.so.1");
    let program = trap("program") + "int top(void); int main(void) { return top(); }";
    scene.c(&program, "target/release/app", "-g libs/libtop.so.1 -Wl,-rpath,$ORIGIN/../../libs");
    scene.dir("src");
    scene.file("src/main.rs", "fn main() {}\n");
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest);
    scene.dir("files");
    for (from, to) in [("target/release/app", "files/tool"), ("libs/libtop.so.1", "files/plugin.so")] {
        tools::copy_program(scene.at(from), scene.at(to));
    }
    scene
}

/// The programs, by their file names, that the tool started with these words.
#[track_caller]
fn started(dir: &Path, words: &str) -> BTreeSet<String> {
    let mut strace = command("strace", dir);
    strace.args(["-f", "-qq", "-o", "trace", "-e", "trace=execve,execveat,socket,connect", TOOL]);
    let ran = finish(strace.env("XDG_CACHE_HOME", dir.join("cache")).args(words.split_whitespace())).exits(0);
    for name in ["program", "library"] {
        assert!(!dir.join(format!("{name}-was-run")).exists(), "{words} ran the {name}: {ran}");
    }
    let trace = fs::read_to_string(dir.join("trace")).unwrap();
    let mut programs = Vec::new();
    for line in trace.lines() {
        assert!(!line.contains("AF_INET") && !line.contains("connect("), "{words}: {line}");
        // PID execve("/usr/bin/cargo", [...], ...) = 0
        if let Some((_, rest)) = line.split_once("execve(\"").filter(|_| line.ends_with("= 0")) {
            let path = rest.split('"').next().unwrap();
            programs.push(path.rsplit('/').next().unwrap().to_owned());
        }
    }
    assert_eq!(programs.remove(0), "cargo-lambda-bundle", "{trace}");
    programs.into_iter().collect()
}

#[track_caller]
fn check(dir: &Path, words: &str, allowed: &[&str]) {
    let programs = started(dir, words);
    let others: Vec<&String> = programs.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert_eq!(others, Vec::<&String>::new(), "{words}");
}

#[test]
fn nothing_is_started_that_was_not_asked_for() {
    if !tools::require("strace", "strace") {
        return;
    }
    let scene = scene();
    let dir = scene.path();
    let app = "--binary target/release/app";
    let rows = [
        format!("{app} -o out.zip --include files --sbom sbom.json --licenses licenses.txt"),
        format!("{app} -o out --dir"),
        format!("{app} -o layer.zip --kind layer --libraries-only"),
        format!("{app} -o extension.zip --kind extension"),
        format!("check {app} --runtime all"),
        format!("check {app} --message-format sarif -v"),
        format!("size {app}"),
        format!("explain {app}"),
        format!("explain {app} libtop.so.1"),
        "verify out.zip".to_owned(),
        format!("{app} -o out.zip --attached-layer layer.zip"),
        "baseline list".to_owned(),
    ];
    for words in rows {
        check(dir, &words, &[]);
    }
    // What a flag asks for.
    check(dir, &format!("{app} -o out.zip --strip"), &["strip"]);
    check(dir, &format!("{app} -o out.zip --strip --debug-symbols debug"), &["objcopy"]);
    check(dir, &format!("check {app} --cc cc"), &["cc"]);
}

#[test]
fn of_a_project_cargo_is_asked_and_nobody_else() {
    if !tools::require("strace", "strace") {
        return;
    }
    let scene = scene();
    let dir = scene.path();
    // Which compiler there is, cargo asks of its own accord.
    let cargo = ["cargo", "rustc", "rustup"];
    for words in ["-o out.zip", "check", "size", "explain", "config", "--kind layer -o layer.zip"] {
        assert!(started(dir, words).contains("cargo") || words == "config", "{words}");
        check(dir, words, &cargo);
    }
}
