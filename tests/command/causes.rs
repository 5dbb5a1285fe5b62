//! Findings with one cause: one for readers, each of them in JSON.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use crate::support::compile;
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;
use serde_json::Value;

/// A directory with a program `app` and four libraries that it needs, changed by `change`.
fn scene(change: impl Fn(Object) -> Object) -> Scene {
    let scene = Scene::new();
    let mut app = Object::program().needs("libc.so.6").text("AWS_LAMBDA_RUNTIME_API");
    for name in ["liba.so.1", "libb.so.1", "libc.so.1", "libd.so.1", "libe.so.1"] {
        app = app.needs(name);
        scene.file(format!("libs/{name}"), change(Object::library(name).needs("libc.so.6")).bytes());
    }
    scene.file("app", app.bytes());
    scene
}

const CHECK: &str = "check --binary app --library-path libs";

/// Checks the findings as lines of text, with their helps.
#[track_caller]
fn check(scene: &Scene, arguments: &str, expected: &[&str]) {
    let ran = scene.run(arguments);
    let is_shown = |line: &&str| ["error[", "warning[", "help: "].iter().any(|start| line.starts_with(start));
    let shown: Vec<&str> = ran.stderr.lines().filter(is_shown).collect();
    assert_eq!(shown, expected, "{ran}");
}

#[test]
fn one_missing_library_is_one_finding_however_many_need_it() {
    let scene = scene(|library| library.needs("libNoGL.so.1"));
    let message = "5 libraries need `libNoGL.so.1`, which neither provided.al2023 (x86_64) nor this machine has: \
        `liba.so.1`, `libb.so.1`, `libc.so.1` and 2 more (`-v` lists them)";
    let help = "install it on this machine, or name a directory that has it with `--library-path DIR`";
    check(&scene, CHECK, &[&format!("error[missing-library]: {message}"), &format!("help: {help}")]);
    let ran = scene.run(&format!("{CHECK} -v"));
    assert_eq!(ran.stderr.matches("error[missing-library]: `lib").count(), 5, "{ran}");
    assert_eq!(ran.stderr.matches("help: ").count(), 1, "{ran}");

    let document = scene.run(&format!("{CHECK} --message-format json")).json();
    let findings = document["artifacts"][0]["findings"].as_array().unwrap();
    let objects: Vec<&str> = findings.iter().map(|finding| finding["object"].as_str().unwrap()).collect();
    assert_eq!(objects, ["liba.so.1", "libb.so.1", "libc.so.1", "libd.so.1", "libe.so.1"]);
    for finding in findings {
        assert_eq!(finding["cause"], message);
        assert_eq!(finding["help"], help);
        assert_eq!(finding["chain"].as_array().unwrap().len(), 2, "{finding}");
    }

    let github = scene.run(&format!("{CHECK} --message-format github"));
    assert_eq!(github.stdout.lines().count(), 1, "{github}");
    let sarif = scene.run(&format!("{CHECK} --message-format sarif"));
    let sarif: Value = serde_json::from_str(&sarif.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!(results[0]["locations"][0]["logicalLocations"].as_array().unwrap().len(), 5);
    assert_eq!(results[0]["properties"]["soname"], "libNoGL.so.1");
}

#[test]
fn libraries_that_are_missing_alike_are_one_finding() {
    let scene = scene(|library| library);
    let lacks = "which neither provided.al2023 (x86_64) nor this machine has";
    let them = "help: install them on this machine, or name the directories that have them with `--library-path DIR`";
    let all = "`liba.so.1`, `libb.so.1`, `libc.so.1`, `libd.so.1`, `libe.so.1`";
    check(
        &scene,
        "check --binary app",
        &[&format!("error[missing-library]: `app` needs 5 libraries, {lacks}: {all}"), them],
    );
    // What was left out on purpose has another cause, and what only one object needs stays as it is.
    let it = "help: remove the `--exclude-lib` pattern that matches `libb.so.1`";
    let excluded = "error[missing-library]: `app` needs `libb.so.1`, which provided.al2023 (x86_64) does not have and \
        `--exclude-lib` leaves out";
    check(&scene, &format!("{CHECK} --exclude-lib libb.so.1"), &[excluded, it]);
    let excluded = "error[missing-library]: `app` needs 5 libraries, which provided.al2023 (x86_64) does not have and \
        `--exclude-lib` leaves out";
    let them_all = "help: remove the `--exclude-lib` patterns that match them";
    check(&scene, &format!("{CHECK} --exclude-lib lib?.so.1"), &[&format!("{excluded}: {all}"), them_all]);

    let scene = self::scene(|library| library.needs("libx.so.1").needs("liby.so.1"));
    let message = format!("2 libraries are missing, {lacks}: `libx.so.1`, `liby.so.1`");
    let needed = ["libx", "liby"].map(|name| format!("  `{name}.so.1` is needed by `liba.so.1` and 4 more"));
    check(&scene, CHECK, &[&format!("error[missing-library]: {message}"), them]);
    scene.run(CHECK).says(&[&format!("{message}\n{}\n{}\n", needed[0], needed[1])]);
}

#[test]
fn libraries_that_are_too_new_are_one_finding() {
    let newer = |name: &'static str| ("libc.so.6", name);
    let scene = scene(|library| library.imports("one", Some(newer("GLIBC_2.90"))));
    let more = Object::library("libe.so.1").needs("libc.so.6").needs("libm.so.6");
    let more =
        more.imports("two", Some(newer("GLIBC_2.91"))).imports("three", Some(("libm.so.6", "GLIBC_2.92")));
    scene.file("libs/libe.so.1", more.imports("four", Some(newer("GLIBC_2.89"))).bytes());
    let help = "from a system with glibc 2.34 or older: name its root with `--sysroot DIR`, or a directory with \
        `--library-path DIR`";
    check(
        &scene,
        CHECK,
        &[
            "error[version-too-new]: 5 libraries need versions up to GLIBC_2.92, which glibc 2.34 of provided.al2023 \
             (x86_64) does not have: `liba.so.1`, `libb.so.1`, `libc.so.1` and 2 more (`-v` lists them)",
            &format!("help: take them {help}"),
        ],
    );
    // One library that lacks versions of two parts of glibc has two findings, which name the parts.
    for name in ["liba.so.1", "libb.so.1", "libc.so.1", "libd.so.1"] {
        scene.file(format!("libs/{name}"), Object::library(name).needs("libc.so.6").bytes());
    }
    check(
        &scene,
        CHECK,
        &[
            "error[version-too-new]: `libe.so.1` needs GLIBC_2.89, GLIBC_2.91, which the `libc.so.6` of \
             provided.al2023 (x86_64) does not have (it has up to GLIBC_2.34)",
            "error[version-too-new]: `libe.so.1` needs GLIBC_2.92, which the `libm.so.6` of provided.al2023 (x86_64) \
             does not have (it has up to GLIBC_2.32)",
            &format!("help: take `libe.so.1` {help}"),
        ],
    );
}

#[test]
fn libraries_that_one_program_may_open_are_one_finding() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    let source = "#include <dlfcn.h>\nconst char *names[] = {\"AWS_LAMBDA_RUNTIME_API\", \"libone.so.1\", \"libtwo.so.2\", \
        \"libz.so.1\"};\nint main(int c, char **v) { return dlopen(names[c], 2) != 0; }";
    scene.c(source, "app", "");
    check(
        &scene,
        "check --binary app",
        &[
            "warning[dlopen]: `app` may open 2 libraries that neither the bundle nor provided.al2023 has: `libone.so.1`, `libtwo.so.2`",
            "help: if the function uses one of them, ship it: `--dlopen NAME`",
        ],
    );
}

#[test]
fn the_c_library_of_a_bundle_is_one_finding() {
    if !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    scene.c("int main(void) { return __builtin_puts(\"AWS_LAMBDA_RUNTIME_API\") < 0; }", "app", "");
    for name in ["plugins/one.so", "plugins/two.so"] {
        scene.library(name, "int top(void) { return __builtin_puts(\"\"); }", "");
    }
    check(
        &scene,
        "check --binary app --libc bundle --include plugins",
        &[
            "warning[libc-bundled]: 3 files run with the glibc of the bundle, which AWS does not patch: `app`, `plugins/one.so`, \
             `plugins/two.so`",
            "help: bundle again when that C library gets a security fix",
        ],
    );
}

#[test]
fn libraries_that_are_older_on_the_runtime_are_one_finding_whose_flags_work() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let copies = |version: &str| {
        let scene = Scene::new();
        for name in ["libcap.so.2", "libunistring.so.2"] {
            let file = format!("{name}.{version}");
            scene.library(&format!("libs/{file}"), "int a;", &format!("-Wl,-soname,{name}"));
            scene.link(&file, format!("libs/{name}"));
        }
        let flags = "-Wl,--no-as-needed libs/libcap.so.2 libs/libunistring.so.2";
        scene.c("int main(void) { return __builtin_puts(\"AWS_LAMBDA_RUNTIME_API\") < 0; }", "app", flags);
        scene
    };
    let message = "libraries are older on provided.al2023 (x86_64) than those of the build";
    let flags = "--bundle-lib libcap.so.2 --bundle-lib libunistring.so.2";
    let scene_99 = copies("99");
    check(
        &scene_99,
        CHECK,
        &[
            &format!(
                "warning[version-skew]: 2 {message}: `libcap.so.2` (2.48, built with 2.99), `libunistring.so.2` (2.1.0, \
                 built with 2.99)"
            ),
            &format!("help: ship this machine's copies: `{flags}`"),
        ],
    );
    check(&scene_99, &format!("{CHECK} {flags}"), &[]);
    // A newer image has libcap 2.73, so that `--bundle-lib` would be refused where others use it.
    let ran = copies("66").run(CHECK).exits(0);
    ran.says(&["warning[version-skew]: `libcap.so.2` is 2.48"]).keeps_silent_about(&["--bundle-lib libcap"]);
}
