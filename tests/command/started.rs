//! What Lambda starts besides a bundle's program: the same findings for a check, a bundle, and the written archive.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").bytes()).mode("app", 0o755);
    for (name, text) in [
        ("return", "#!/bin/sh\r\nexec /opt/bootstrap\r\n"),
        ("lost", "#!/bin/sh\nexec /opt/nope\n"),
        ("good", "#!/bin/sh\nexec /opt/bootstrap\n"),
        ("loop", "#!/bin/sh\nwhile :; do /opt/bootstrap; done\n"),
        ("text", "text\n"),
    ] {
        scene.file(name, text).mode(name, 0o755);
    }
    scene
}

#[test]
fn an_included_extension_is_judged_before_it_is_written() {
    let scene = scene();
    for (file, message) in [
        ("return", "error[interpreter-missing]: the first line of `extensions/e` ends in a carriage return"),
        (
            "lost",
            "error[not-elf]: `extensions/e` cannot be started: it executes `/opt/nope`, which is not in",
        ),
        ("text", "error[not-elf]: `extensions/e` cannot be started: it is a text file"),
    ] {
        let words = format!("--kind layer --binary app --include {file}=extensions/e");
        scene.run(&format!("check {words}")).exits(1).says(&[message]);
        scene.run(&format!("{words} -o layer.zip")).exits(1).says(&[message]);
        assert!(!scene.has("layer.zip"), "{file}");
    }
    let words = "--kind layer --binary app -o layer.zip --include";
    scene.run(&format!("{words} good=extensions/e")).exits(0).keeps_silent_about(&["not-elf"]);
    scene.run("verify layer.zip --kind layer").exits(0).keeps_silent_about(&["not-elf"]);
    for after in ["", "check "] {
        let words = format!("{after}--kind layer --binary app --include loop=extensions/e");
        let ran = scene.run(&words).exits(0);
        ran.says(&["note[not-elf]: `extensions/e` is a script; only its interpreter was checked"]);
    }
}

#[test]
fn an_extension_of_an_attached_layer_is_started_too() {
    if !tools::require("zip", "zip") {
        return;
    }
    let scene = scene();
    scene.dir("extensions").copy("app", "extensions/e").mode("extensions/e", 0o644);
    scene.tool("zip", "-qr layer.zip extensions").exits(0);
    for words in ["check --binary app", "--binary app -o app.zip"] {
        scene
            .run(&format!("{words} --attached-layer layer.zip"))
            .exits(1)
            .says(&["error[not-executable]: `/opt/extensions/e` has mode 0644"]);
    }
    assert!(!scene.has("app.zip"));
}
