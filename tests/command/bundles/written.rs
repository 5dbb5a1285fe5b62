//! What is written, and what is left alone: the same bytes everywhere, for other tools, and not over an old archive.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{chain_of_libraries, finding, findings, names, set};
use crate::support::command::{BINARY, bundle_cmd, command, finish};
use crate::support::scene::Scene;
use crate::support::{function, hello, tools};

#[test]
fn an_archive_of_cargo_lambda_lacks_the_library_and_verify_names_it() {
    let target = "x86_64-unknown-linux-gnu";
    if !tools::require("cargo-lambda", "none; pip install cargo-lambda") || !hello::require(target) {
        return;
    }
    let project = hello::manifest();
    let project = project.parent().unwrap();
    let target_dir = function::target_dir();
    finish(
        command("cargo", project)
            .args(["lambda", "build", "--release", "--locked", "-o", "zip", "--target", target])
            .env("CARGO_TARGET_DIR", &target_dir)
            .envs([function::UNOPTIMIZED])
            .env("CARGO_TERM_COLOR", "never")
            .timeout(Duration::from_secs(600)),
    )
    .exits(0);
    let zip = target_dir.join("lambda/hello/bootstrap.zip");
    let ran = finish(bundle_cmd(project).args(["verify", "--message-format", "json"]).arg(&zip)).exits(1);
    assert_eq!(findings(&ran), [finding("missing-library", "bootstrap", hello::SONAME)], "{ran}");
    ran.says(&[
        "`bootstrap` needs `libgreeting.so.1`, which neither provided.al2023 (x86_64) nor the archive has",
    ]);
}

#[test]
fn every_value_of_ld_library_path_is_proved() {
    let scene = Scene::new();
    chain_of_libraries(&scene);
    scene.run("--binary app --library-path libs -o app.zip").exits(0);
    let usual = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
    for value in [usual.to_owned(), format!("/var/lang/lib:{usual}"), "/var/task/lib".to_owned()] {
        scene.run(&format!("verify app.zip --env LD_LIBRARY_PATH={value}")).exits(0);
    }
    let expected = [finding("missing-library", "app", "libtop.so.1")];
    let ran = scene
        .run("check --binary app --library-path libs --env LD_LIBRARY_PATH=/opt/lib --message-format json")
        .exits(1);
    assert_eq!(findings(&ran), expected);
    let help = "help: add `/var/task/lib` to the function's LD_LIBRARY_PATH\n";
    let why = "needs `libtop.so.1`; the bundle has `lib/libtop.so.1`, but LD_LIBRARY_PATH does not lead there\n  LD_LIBRARY_PATH is `/opt/lib`\n";
    ran.says(&[why, help]);
    scene.run("verify app.zip --env LD_LIBRARY_PATH=/opt/lib").exits(1).says(&[why, help]);
}

#[test]
fn the_same_input_gives_the_same_bytes_wherever_and_whenever() {
    if !tools::require("cc", "gcc") || !tools::require("openssl", "openssl") {
        return;
    }
    let one = Scene::new();
    let two = Scene::new();
    chain_of_libraries(&one);
    // Another order on disk, other modes.
    for file in ["libs/libtop.so.1", "libs/libdeep.so.1", "app"] {
        let elsewhere = Path::new("a place/elsewhere").join(file);
        two.copy(one.at(file), &elsewhere).mode(&elsewhere, 0o700);
    }
    let elsewhere = two.at("a place/elsewhere");
    let arguments = "--binary app --library-path libs -o app.zip --message-format json -q";
    let digests = |command: &mut assert_cmd::Command| {
        let ran = finish(command.args(arguments.split(' '))).exits(0);
        let archive = &ran.json()["artifacts"][0]["archive"];
        let text = |key: &str| archive[key].as_str().expect("a string").to_owned();
        (text("sha256"), text("code_sha256"))
    };
    let first = digests(&mut one.command(""));
    let bytes = one.read("app.zip");
    assert_eq!(digests(&mut one.command("")), first, "again");
    assert_eq!(digests(&mut bundle_cmd(&elsewhere)), first, "elsewhere");
    for umask in ["077", "000"] {
        one.remove("app.zip");
        let mut shell = one.other_command("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), BINARY]);
        assert_eq!(digests(&mut shell), first, "umask {umask}");
    }
    let zone = digests(one.command("").env("TZ", "Pacific/Kiritimati").env("LC_ALL", "C"));
    assert_eq!(zone, first, "time zone");
    for file in ["app", "libs/libtop.so.1"] {
        let touched = fs::File::options().append(true).open(one.at(file)).unwrap();
        touched.set_modified(SystemTime::now() - Duration::from_secs(100_000_000)).unwrap();
    }
    assert_eq!(digests(&mut one.command("")), first, "touched");
    assert_eq!(one.read("app.zip"), bytes);

    let script = "openssl dgst -sha256 -binary app.zip | base64; sha256sum < app.zip";
    let openssl = finish(one.other_command("sh").args(["-c", script])).exits(0);
    assert_eq!(openssl.stdout, format!("{}\n{}  -\n", first.1, first.0));
}

#[test]
fn other_tools_accept_the_archive() {
    for (tool, package) in [
        ("unzip", "unzip"),
        ("zipinfo", "unzip"),
        ("7z", "p7zip-full"),
        ("python3", "python3"),
        ("cc", "gcc"),
    ] {
        if !tools::require(tool, package) {
            return;
        }
    }
    let scene = Scene::new();
    chain_of_libraries(&scene);
    scene.run("--binary app --library-path libs -o app.zip").exits(0);
    let says = |tool: &str, arguments: &str| scene.tool(tool, arguments).exits(0).stdout;
    assert!(says("unzip", "-l app.zip").trim_end().ends_with("3 files"));
    says("unzip", "-tq app.zip");
    assert_eq!(says("python3", "-m zipfile -t app.zip"), "Done testing\n");
    assert!(says("7z", "t app.zip").contains("Everything is Ok"));
    // Mode, "made by" version and system, then the rest.
    let listing = says("zipinfo", "-s app.zip");
    let columns = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[2], words.last().unwrap())
    };
    let entries: Vec<String> =
        listing.lines().filter(|line| line.starts_with(['-', 'l'])).map(columns).collect();
    assert_eq!(
        entries,
        ["-rwxr-xr-x unx bootstrap", "-rw-r--r-- unx lib/libdeep.so.1", "-rw-r--r-- unx lib/libtop.so.1"]
    );
}

#[test]
fn a_run_with_findings_leaves_the_old_archive() {
    let scene = Scene::new();
    chain_of_libraries(&scene);
    scene.run("--binary app --library-path libs -o app.zip").exits(0);
    let old = scene.read("app.zip");
    // Without the directory of its libraries.
    scene.run("--binary app -o app.zip").exits(1).prints("").says(&[
        "error[missing-library]: `app` needs `libtop.so.1`, which neither provided.al2023 (x86_64) nor this machine has\n",
        "help: install it on this machine, or name a directory that has it with `--library-path DIR`\n",
        "Stopped `app` would not start; nothing was written",
    ]);
    assert_eq!(scene.read("app.zip"), old);
    scene.run("--binary app --exclude-lib libdeep* --library-path libs -o app.zip").exits(1).says(&[
        "`libtop.so.1` needs `libdeep.so.1`, which provided.al2023 (x86_64) does not have and `--exclude-lib` leaves out\n",
    ]);
    assert_eq!(scene.read("app.zip"), old);
    let ran = scene.run("--binary app -o app.zip --write-anyway").exits(1);
    assert_eq!(names(&scene, "app.zip"), set(["bootstrap"]), "{ran}");
    ran.prints(&format!("{}\n", scene.at("app.zip").canonicalize().unwrap().display()));
    scene.run("verify app.zip").exits(1).says(&["error[missing-library]: `bootstrap` needs `libtop.so.1`"]);
    let left: BTreeSet<String> = scene.paths().into_iter().filter(|path| !path.contains('/')).collect();
    assert_eq!(left, set(["app", "app.zip", "libs"]));
}

#[test]
fn cargo_is_as_quiet_and_as_verbose_as_it_is_asked_to_be() {
    let scene = Scene::new();
    scene.file("src/main.rs", "fn main() {}");
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest);
    let built = "profile [optimized] target(s) in ";
    scene.run("check --build -q").exits(0).keeps_silent_about(&[built]);
    scene.run("check --build -v").exits(0).says(&[built]).keeps_silent_about(&["Fresh orders "]);
    scene.run("check --build -vv").exits(0).says(&[built, "Fresh orders "]);
}
