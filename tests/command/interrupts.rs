//! Ctrl-C leaves no line of a bar and nothing that a run has made.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::{BINARY, finish};
use crate::support::scene::Scene;
use crate::support::tools;

/// A program, and a `strip` that says whose child it is and then works for long.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.c("int main(void) { return 0; }", "app", "-g").dir("tmp");
    let script = format!(
        "#!/bin/sh\necho $PPID > {0}.new\nmv {0}.new {0}\nexec sleep 20\n",
        scene.at("pid").display()
    );
    scene.file("bin/strip", script).mode("bin/strip", 0o755);
    scene
}

/// The same environment for a command of the standard library.
fn prepared(scene: &Scene, program: &str) -> Command {
    let mut command = Command::new(program);
    let path = format!("{}:{}", scene.at("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("TMPDIR", scene.at("tmp")).env("XDG_CACHE_HOME", scene.at("cache"));
    command.env("TERM", "xterm").env("CARGO_TERM_PROGRESS_WHEN", "always").current_dir(scene.path());
    command.stdin(Stdio::null());
    command
}

/// Sends a signal: `kill` of a shell, as not each system has the program.
#[track_caller]
fn interrupt(scene: &Scene, signal: &str, process: &str) {
    let words = format!("kill -{signal} {process}");
    finish(scene.other_command("sh").args(["-c", &words])).exits(0);
}

/// Waits until `strip` works, and returns whose child it is.
#[track_caller]
fn parent_of_strip(scene: &Scene) -> String {
    let start = Instant::now();
    while !scene.has("pid") {
        assert!(start.elapsed() < Duration::from_secs(30), "strip was not started");
        std::thread::sleep(Duration::from_millis(10));
    }
    scene.text("pid").trim().to_owned()
}

#[test]
fn an_interrupt_removes_what_the_run_has_made() {
    for signal in ["INT", "TERM"] {
        let scene = scene();
        let mut child = prepared(&scene, BINARY);
        child.args(["--binary", "app", "--strip", "-o", "out/deep/app.zip"]);
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(parent_of_strip(&scene), child.id().to_string());
        assert_eq!(std::fs::read_dir(scene.at("tmp")).unwrap().count(), 1);
        interrupt(&scene, signal, &child.id().to_string());
        let number = if signal == "INT" { 2 } else { 15 };
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert_eq!(std::fs::read_dir(scene.at("tmp")).unwrap().count(), 0, "{signal}");
        assert!(!scene.has("out"), "{signal}");
    }
}

#[test]
fn an_interrupt_clears_the_bar() {
    if !tools::require("script", "bsdutils") {
        return;
    }
    let scene = scene();
    let words = format!("{BINARY} --binary app --strip -o app.zip");
    let mut script = prepared(&scene, "script");
    let mut script = script.args(["-qefc", &words, "screen"]).stdout(Stdio::null()).spawn().unwrap();
    let tool = parent_of_strip(&scene);
    let is_shown =
        || scene.has("screen") && scene.read("screen").windows(12).any(|it| it == b"Bundling\x1b[0m");
    let start = Instant::now();
    while !is_shown() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    interrupt(&scene, "INT", &tool);
    script.wait().unwrap();
    let screen = scene.text("screen");
    let bar = screen.rfind("Bundling").unwrap_or_else(|| panic!("no bar: {screen:?}"));
    assert!(screen[bar..].contains("\x1b[2K") || screen[bar..].contains("\x1b[J"), "{:?}", &screen[bar..]);
}
