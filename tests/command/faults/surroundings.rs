//! An odd machine: few processes, inputs that are no files, odd names, other clocks, no cargo.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::{check_error, scene};
use crate::support::command::{BINARY, bundle_cmd, finish};
use crate::support::scene::Scene;
use crate::support::tools;

/// A user, or a container, may be out of processes: the work is done on one thread.
#[test]
fn without_a_thread_the_work_is_done_all_the_same() {
    if !tools::require("setpriv", "util-linux") || !tools::require_namespaces() {
        return;
    }
    let scene = scene();
    scene.tool("chmod", "-R a+rwX .").exits(0);
    let words = "--binary app --binary other --library-path libs --include new/data=data --force";
    scene.run(&format!("{words} -o all/{{bin}}.zip")).exits(0);
    for n in [1, 2, 3] {
        // Nobody else is this user: the limit counts the threads of all its processes, and root has none.
        let mut command = scene.other_command("setpriv");
        command.env("XDG_CACHE_HOME", scene.at("nobody"));
        command.args([
            "--reuid=64123",
            "--regid=64123",
            "--clear-groups",
            "prlimit",
            &format!("--nproc={n}"),
            BINARY,
        ]);
        command.args(words.split_whitespace()).args(["-o", &format!("out{n}/{{bin}}.zip")]);
        finish(&mut command).exits(0);
        for name in ["app", "other"] {
            let zip = |directory: &str| scene.read(format!("{directory}/{name}.zip"));
            assert!(zip(&format!("out{n}")) == zip("all"), "{name} on {n} threads");
        }
    }
}

// Inputs that are no files, and names.

#[test]
fn pipes_and_devices_are_refused_and_not_waited_for() {
    let scene = scene();
    scene.fifo("fifo").dir("withfifo").fifo("withfifo/libtop.so.1");
    for file in ["fifo", "/dev/zero", "/dev/tty", "/dev/null"] {
        for words in [
            "--binary FILE -o x.zip",
            "check --binary FILE",
            "size --binary FILE",
            "explain --binary FILE",
            "verify FILE",
            "check --binary app --library-path libs --include FILE=data",
            "check --binary app --library-path libs --baseline FILE",
            "check --binary app --library-path libs --attached-layer FILE",
        ] {
            let words = words.replace("FILE", file);
            let mut command = scene.command(&words);
            let ran = finish(command.timeout(Duration::from_secs(20)));
            let is_device = file != "fifo" && words.contains("--include");
            let (codes, text): (&[i32], _) = match is_device {
                true => (&[1], "which is a device"),
                false => (&[2, 101], "is not a regular file"),
            };
            assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{words}: {ran}");
            assert!(ran.stderr.contains(text), "{words}: {ran}");
        }
        let ran = scene.run(&format!("--binary app --library-path libs -o {file}"));
        assert_eq!(ran.code, Some(101), "{ran}");
        assert!(ran.stderr.contains("it is not a regular file"), "{ran}");
    }
    scene
        .run("check --binary app --library-path withfifo")
        .exits(1)
        .says(&["libtop.so.1", "not a regular file"]);
}

#[test]
fn names_may_have_spaces_and_newlines_and_be_long() {
    let scene = scene();
    let long = (0..15).map(|_| "d".repeat(250)).collect::<Vec<_>>().join("/");
    for directory in
        ["with space", "new\nline", "tab\t", "quote'\"", "back\\slash", "$HOME `id`", "-o", &long]
    {
        let at = scene.at("named").join(directory);
        for name in ["app", "libs/libtop.so.1"] {
            scene.copy(name, at.join(name));
        }
        let mut command = scene.command("");
        for (flag, name) in [("--binary", "app"), ("--library-path", "libs"), ("-o", "app.zip")] {
            command.arg(flag).arg(at.join(name));
        }
        let ran = finish(command.arg("--include").arg(at.join("libs=libs"))).exits(0);
        assert!(!ran.stderr.contains('\t'), "{ran}");
        let archive = at.join("app.zip");
        ran.prints(&format!("{}\n", archive.display()));
        finish(scene.command("").arg("verify").arg(archive)).exits(0);
    }
    let too_long = format!("{long}/{long}/app");
    for words in ["--binary app --library-path libs -o LONG", "check --binary LONG", "verify LONG"] {
        let ran = scene.run(&words.replace("LONG", &too_long)).exits(101);
        ran.says(&["File name too long"]);
    }
}

#[test]
fn names_that_are_not_utf8_are_refused_by_name() {
    let scene = scene();
    let odd = OsStr::from_bytes(b"odd\xff");
    let directory = scene.at(odd);
    scene.copy("app", directory.join("app"));
    for (flag, code) in [("--binary", 2), ("-o", 2), ("--library-path", 2), ("--include", 2)] {
        let mut command = scene.command("");
        command.args(["check", "--binary", "app"]);
        if flag == "-o" {
            command = scene.command("");
            command.args(["--binary", "app"]);
        }
        let ran = finish(command.arg(flag).arg(directory.join("app")));
        assert_eq!(ran.code, Some(code), "{flag}: {ran}");
        ran.says(&["UTF-8"]);
    }
    // From within it there is no path to give.
    let ran = finish(bundle_cmd(&directory).args(["check", "--binary", "app"])).exits(101);
    ran.says(&["the current directory", "is not UTF-8"]);
    scene.file(Path::new("assets").join(odd), "x");
    let ran = scene.run("--binary app --library-path libs --include assets -o out.zip").exits(101);
    ran.says(&["`odd\\xff` in `", "is not UTF-8\nhelp: "]);
}

// Clocks.

#[test]
fn the_clock_may_be_anywhere() {
    let scene = scene();
    scene.run("--binary app --library-path libs -o now.zip").exits(0);
    let now = scene.read("now.zip");
    for year in ["1970-01-01 00:00:10", "1979-12-31", "2038-01-20", "2100-06-01", "2262-05-01"] {
        finish(scene.other_command("touch").args(["-d", year, "app"])).exits(0);
        scene.run("--binary app --library-path libs -o then.zip --force").exits(0);
        assert!(scene.read("then.zip") == now, "a file of {year}");
    }
    for epoch in ["0", "315532799", "4102444800", "4354819199"] {
        let mut command = scene.command("--binary app --library-path libs -o epoch.zip");
        finish(command.env("SOURCE_DATE_EPOCH", epoch)).exits(0);
        scene.run("verify epoch.zip").exits(0);
    }
    for epoch in ["-1", "noon", "99999999999999999999", "1e9", ""] {
        let mut command = scene.command("--binary app --library-path libs -o epoch.zip");
        let ran = finish(command.env("SOURCE_DATE_EPOCH", epoch));
        assert!(matches!(ran.code, Some(0 | 2 | 101)), "{epoch:?}: {ran}");
        if ran.code != Some(0) {
            ran.says(&["SOURCE_DATE_EPOCH"]);
        }
    }
    if !tools::require("faketime", "faketime") {
        return;
    }
    for year in ["1970-01-02 00:00:00", "2100-06-01 00:00:00"] {
        for words in
            ["--binary app --library-path libs -o then.zip --force", "verify then.zip", "baseline list"]
        {
            let mut command = scene.other_command("faketime");
            command.args([year, BINARY]);
            finish(command.args(words.split_whitespace())).exits(0);
        }
        assert!(scene.read("then.zip") == now, "in {year}");
    }
}

// Poor environments.

#[test]
fn no_home_and_no_path_are_enough_for_a_binary() {
    let scene = scene();
    for words in [
        "--binary app --library-path libs -o x.zip --force",
        "verify x.zip",
        "check --binary app --library-path libs",
    ] {
        let mut command = assert_cmd::Command::new(BINARY);
        command.env_clear().current_dir(scene.path()).args(words.split_whitespace());
        finish(&mut command).exits(0);
    }
}

#[test]
fn without_a_cargo_that_answers_there_is_one_error() {
    let scene = scene();
    scene.file("src/main.rs", "fn main() {}");
    scene.file("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\n");
    let run = |path: &Path| {
        let mut command = assert_cmd::Command::new(BINARY);
        command.env_clear().current_dir(scene.path()).env("PATH", path);
        finish(command.timeout(Duration::from_secs(20)).arg("check"))
    };
    let ran = run(Path::new("/nonexistent"));
    check_error("no cargo", &ran);
    ran.says(&["`cargo`"]);
    // No program of the checkout itself is run.
    let elsewhere = Scene::new();
    let old = "echo \"error: Found argument '--filter-platform' which wasn't expected\" >&2; exit 1";
    let rows = [
        ("an old cargo", old, "Found argument '--filter-platform' which wasn't expected"),
        ("a cargo that fails in silence", "exit 7", "/bin/cargo metadata`: exit status: 7"),
        ("a cargo that is killed", "kill -9 $$", "signal"),
        ("a cargo that says nothing", "exit 0", "cargo"),
        ("a cargo that says something else", "echo hello", "cargo"),
        ("a cargo of another time", "echo '{\"packages\": 3}'", "cargo"),
        ("a cargo with a terminal's words", "printf 'error: \\033[31mred\\n' >&2; exit 1", "red"),
    ];
    for (what, script, text) in rows {
        elsewhere.file("bin/cargo", format!("#!/bin/sh\n{script}\n")).mode("bin/cargo", 0o755);
        let ran = run(&elsewhere.at("bin"));
        assert_eq!(ran.code, Some(101), "{what}: {ran}");
        assert!(ran.stderr.contains(text), "{what}: {ran}");
        assert!(!ran.stderr.contains('\u{1b}'), "{what}: {ran}");
        assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error")).count(), 1, "{what}: {ran}");
    }
}
