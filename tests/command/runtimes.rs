//! Language runtimes and base images by name: what programs find there, and what cannot be made for them.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::process::Command;

use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;

/// A directory with `app`, a program that needs libc and these libraries.
fn scene(needed: &[&str]) -> Scene {
    let scene = Scene::new();
    let app = needed.iter().fold(Object::program().needs("libc.so.6"), |app, name| app.needs(name));
    scene.file("app", app.bytes());
    // The build world has none of them.
    scene.dir("empty");
    scene
}

#[track_caller]
fn check(scene: &Scene, runtime: &str, soname: &str, expected: Option<(&str, &str)>) {
    let ran = scene.run(&format!(
        "check --binary app --kind layer --sysroot empty --message-format json --runtime {runtime}"
    ));
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!(artifact["runtime"], runtime);
    let library =
        artifact["libraries"].as_array().unwrap().iter().find(|library| library["soname"] == soname);
    let library = library.unwrap_or_else(|| panic!("{runtime} {soname}: {ran}"));
    let found = library["lambda_path"].as_str().map(|path| (path, library["evidence"].as_str().unwrap()));
    assert_eq!(found, expected, "{runtime} {soname}");
}

#[test]
fn programs_find_what_the_root_of_the_language_has() {
    let scene = scene(&["libcurl.so.4", "libssl.so.3", "libexpat.so.1"]);
    check(&scene, "provided.al2", "libcurl.so.4", Some(("/lib64/libcurl.so.4", "measured")));
    check(&scene, "python3.11", "libcurl.so.4", None);
    check(&scene, "java21", "libcurl.so.4", Some(("/lib64/libcurl.so.4", "derived")));
    check(&scene, "java21", "libssl.so.3", Some(("/lib64/libssl.so.3", "derived")));
    check(&scene, "nodejs22.x", "libssl.so.3", Some(("/var/lang/lib/libssl.so.3", "derived")));
    check(&scene, "provided.al2", "libexpat.so.1", None);
    check(&scene, "image:al2", "libexpat.so.1", Some(("/lib64/libexpat.so.1", "measured")));
    check(&scene, "image:al2023", "libexpat.so.1", None);
}

#[test]
fn all_runtimes_have_a_line_each() {
    let scene = scene(&["libssl.so.3"]);
    let ran = scene.run("check --binary app --sysroot empty --runtime all").exits(0);
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("     Runs on ")).collect();
    let expected = [
        "     Runs on provided.al2023 (x86_64): yes",
        "     Runs on provided.al2 (x86_64): no, `app` needs `libssl.so.3`, which neither provided.al2 (x86_64) nor this machine has",
        // The baseline of Amazon Linux 1 lists a part of what it has.
        "     Runs on provided (x86_64): no, `app` needs `libssl.so.3`, which provided (x86_64) may lack and this machine does not have",
    ];
    assert_eq!(lines, expected, "{ran}");
    let ran = ran.keeps_silent_about(&["error"]);
    // It is the answer, so `-q` prints it after the findings.
    let quiet = scene.run("check --binary app --sysroot empty --runtime all -q").exits(0);
    let lines: Vec<&str> = quiet.stderr.lines().skip_while(|line| !line.starts_with("     ")).collect();
    assert_eq!(lines, expected, "{ran}");
}

#[test]
fn a_runtime_without_the_architecture_is_a_no() {
    let scene = scene(&[]);
    scene.file("arm", Object::program().arm64().needs("libc.so.6").bytes());
    scene.run("check --binary arm --sysroot empty --runtime all")
        .says(&["     Runs on provided (arm64): no, `arm` is for arm64, which the runtime provided does not offer\n"])
        .keeps_silent_about(&["error[wrong-arch]"]);
}

#[test]
fn a_function_on_a_language_runtime_is_a_usage_error() {
    let scene = scene(&[]);
    for runtime in ["python3.13", "nodejs22.x", "java8"] {
        for command in ["", "check "] {
            scene.run(&format!("{command}--binary app --runtime {runtime}")).exits(2).says(&[
                &format!("error: `--runtime {runtime}` starts no `bootstrap`, so there is no function to bundle for it\n"),
                "help: name a runtime that starts one: provided, provided.al2, provided.al2023, image:al2, image:al2023; or use `--kind layer` ",
            ]);
        }
        assert!(!scene.has("target"));
    }
    // A language's own program opens libraries, and starts helpers from a layer.
    scene.file("addon.node", Object::library("addon.node").needs("libc.so.6").bytes());
    scene.run("check --binary addon.node --sysroot empty --runtime nodejs22.x").exits(0);
    scene.run("check --binary app --kind layer --sysroot empty --runtime nodejs22.x").exits(0);
    scene.run("explain libc.so.6 --binary app --sysroot empty --runtime python3.13").exits(0);
}

#[test]
fn verify_knows_them_too() {
    if !tools::require("zip", "zip") {
        return;
    }
    let scene = scene(&["libcurl.so.4"]);
    std::fs::rename(scene.at("app"), scene.at("bootstrap")).unwrap();
    let zip = Command::new("sh")
        .args(["-c", "chmod 755 bootstrap && zip -q a.zip bootstrap"])
        .current_dir(scene.path())
        .status();
    assert!(zip.unwrap().success());
    // The runtime would start nothing of it as a function.
    scene.run("verify a.zip --kind layer --runtime ruby3.4").exits(0);
    scene
        .run("verify a.zip --kind layer --runtime ruby3.2")
        .exits(1)
        .says(&["error[missing-library]: `bootstrap` needs `libcurl.so.4`, which ruby3.2 (x86_64) may lack"]);
}

#[test]
fn what_a_language_brings_is_unknown_not_absent() {
    let scene = scene(&["libpython3.13.so.1.0"]);
    let check = |flags: &str| scene.run(&format!("check --binary app --kind extension {flags}"));
    check("--runtime python3.13").exits(1).says(&[
        "which python3.13 (x86_64) may lack and this machine does not have\n",
        "; if python3.13 has it, say so: `--assume-present libpython3.13.so.1.0`\n",
    ]);
    check("--runtime python3.13 --assume-present libpython3.13.so.1.0").exits(0);
    // What node24 brings is known.
    check("--runtime nodejs24.x")
        .exits(1)
        .says(&["which neither nodejs24.x (x86_64) nor this machine has\n"]);
    scene.file("lib/libpython3.13.so.1.0", Object::library("libpython3.13.so.1.0").bytes());
    let explain = |runtime: &str| {
        let words = "explain libpython3* --binary app --kind extension --library-path lib --runtime";
        scene.run(&format!("{words} {runtime}")).exits(0).stdout
    };
    let of_python = explain("python3.13");
    assert!(of_python.contains("whether python3.13 (x86_64) has it is unknown\n"), "{of_python}");
    assert!(
        of_python.contains("/var/lang/lib/libpython3.13.so.1.0 (LD_LIBRARY_PATH): not known to be there\n")
    );
    assert!(of_python.contains("/var/task/lib/libpython3.13.so.1.0 (LD_LIBRARY_PATH): not found\n"));
    assert!(explain("nodejs24.x").contains("shipped: nodejs24.x (x86_64) lacks it\n"));
}

/// One list names the libstdc++ of nodejs24.x, so the program is also proved with the system's, which is behind it.
#[test]
fn a_library_of_the_language_that_one_source_names_may_be_missing() {
    let scene = scene(&["libstdc++.so.6"]);
    let check = |node: &str, runtime: &str| {
        let app = Object::program().needs("libc.so.6").needs("libstdc++.so.6");
        scene.file("app", app.verneed("libstdc++.so.6", &[node]).bytes());
        scene.run(&format!("check --binary app --kind layer --sysroot empty --runtime {runtime}"))
    };
    check("GLIBCXX_3.4.29", "nodejs24.x").exits(0).keeps_silent_about(&["warning", "error"]);
    // Nodes of later images of the system, if the language has no library of its own.
    let later = "warning[version-recent]: `app` needs GLIBCXX_3.4.32, which the `libstdc++.so.6` of nodejs2";
    check("GLIBCXX_3.4.32", "nodejs24.x").exits(0).says(&[later]);
    // The language's own has not the newest.
    check("GLIBCXX_3.4.33", "nodejs24.x").exits(1);
    check("GLIBCXX_3.4.32", "nodejs22.x").exits(0).says(&[later]);
    check("GLIBCXX_3.4.33", "nodejs22.x").exits(0);
}

/// A Node.js addon, as the archive of a function in JavaScript has it.
#[test]
fn a_function_of_a_language_has_no_bootstrap() {
    if !tools::require("zip", "zip") {
        return;
    }
    let scene = scene(&[]);
    let verify = |addon: Object, more: &str| {
        scene.file("addon.node", addon.bytes());
        scene.file("index.mjs", "export const handler = async () => 1;\n");
        let mut zip = Command::new("zip");
        let zip = zip.args(["-q", "a.zip", "index.mjs", "addon.node"]).current_dir(scene.path());
        assert!(zip.status().unwrap().success());
        scene.run(&format!("verify a.zip --runtime {more}"))
    };
    let addon = |needed: &str| Object::library("addon.node").needs(needed);
    verify(addon("libcrypto.so.3"), "nodejs22.x")
        .exits(0)
        .says(&["a.zip: its libraries load on nodejs22.x"])
        .keeps_silent_about(&["warning"]);
    verify(addon("libfnord.so.7"), "nodejs22.x")
        .exits(1)
        .says(&["error[missing-library]: `addon.node` needs `libfnord.so.7`"])
        .keeps_silent_about(&["bootstrap"]);
    // Without a program the library says what it is for.
    verify(addon("libc.so.6").arm64(), "nodejs22.x").exits(0);
    verify(addon("libc.so.6").arm64(), "nodejs22.x --arch x86_64").exits(1).says(&["error[wrong-arch]"]);
    verify(addon("libcrypto.so.3"), "provided.al2023").exits(1).says(&["error[bootstrap-missing]"]);
}

#[test]
fn the_end_of_a_language_runtime_is_said_without_naming_another() {
    let scene = scene(&[]);
    scene
        .run("check --binary app --kind layer --sysroot empty --runtime nodejs18.x")
        .exits(0)
        .says(&["warning[runtime-deprecated]: AWS deprecated the runtime nodejs18.x on 2025-09-01"])
        .keeps_silent_about(&["move to"]);
}

#[test]
fn unknown_names_list_the_nearest_of_their_kind() {
    let scene = scene(&[]);
    for (name, first) in
        [("nodejs22", "nodejs22.x"), ("python3.9.1", "python3.9"), ("image:al3", "image:al2")]
    {
        scene.run(&format!("check --binary app --runtime {name}")).exits(2).says(&[
            &format!("error: `--runtime {name}` is not a known runtime\n"),
            &format!("help: the nearest are {first}, "),
            "; for another runtime name the file of its libraries: `--baseline <FILE>`\n",
        ]);
    }
    scene.run("check --binary app --runtime python2.7").exits(2).says(&[
        "error: `--runtime python2.7` is retired: its functions cannot be updated since 2022-05-30\n",
        "help: move to a newer runtime, such as python3.",
    ]);
}

/// The root of a customer-managed runtime is the user's own image.
#[test]
fn a_runtime_of_ones_own_needs_its_baseline() {
    let scene = scene(&[]);
    scene.run("check --binary app --sysroot empty --runtime custom").exits(2).says(&[
        "error: `--runtime custom` is a customer-managed runtime, whose libraries are those of its own image\n",
        "help: unpack the runtime's image, capture it with `cargo lambda-bundle baseline capture --root <DIR>",
    ]);
    scene.file("own", "runtime custom\nroot provided.al2023\narch x86_64\n");
    scene
        .run("check --binary app --sysroot empty --baseline own")
        .exits(0)
        .says(&["starts on custom (x86_64)"]);
}

#[test]
fn a_bootstrap_alone_does_not_start_on_a_language_runtime() {
    let scene = scene(&[]);
    scene.run("--binary app --sysroot empty -o good.zip").exits(0);
    for runtime in ["nodejs22.x", "python3.13", "java21", "ruby3.4"] {
        scene.run(&format!("verify good.zip --runtime {runtime}")).exits(1).says(&[
            &format!("error[not-started]: {runtime} starts no `bootstrap`, and `good.zip` has no other file that it could run\n"),
            "help: give the function the runtime provided.al2023, which starts it\n",
            &format!("Failed good.zip: does not start on {runtime} (x86_64)\n"),
        ]);
    }
    // The handler of these may be a program of any name; a layer may bring a handler or a wrapper.
    scene.run("verify good.zip --runtime dotnet8").exits(0);
    scene.run("verify good.zip --kind layer --runtime python3.13").exits(0);
    scene.file("layer/python/app.py", "");
    scene.run("verify good.zip --runtime python3.13 --attached-layer layer").exits(0);
    // Beside a handler a `bootstrap` is a file like any other.
    scene.file("handler.py", "");
    scene.run("--binary app --sysroot empty --include handler.py -o both.zip").exits(0);
    scene.run("verify both.zip --runtime python3.13").exits(0).keeps_silent_about(&["not-started"]);
    scene.run("verify both.zip --runtime nodejs22.x").exits(1).says(&["error[not-started]"]);
}
