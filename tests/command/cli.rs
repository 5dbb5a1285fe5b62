//! The command line: what it refuses and how, and the shape of its JSON document.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::command::{command, finish};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use serde_json::Value;

/// A program `app` that starts on every runtime that has its glibc.
fn with_program() -> Scene {
    let scene = Scene::new();
    scene.c(EMPTY, "app", "");
    scene
}

const ERROR: i32 = 101;
const USAGE: i32 = 2;

#[test]
fn not_a_cargo_project() {
    Scene::new().refuses(
        ERROR,
        "",
        &[
            "` is not in a cargo project\n",
            "help: `cd` into one, or give `--manifest-path PATH`, or a built program with `--binary PATH`\n",
        ],
    );
}

const MANIFEST: &str = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
const LINUX_HELP: &str =
    "help: build for Linux: `--target x86_64-unknown-linux-gnu` or `--target aarch64-unknown-linux-gnu`\n";
const MACHO: &[u8] = b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x02\0\0\0\x10\0\0\0\0\x06\0\0";
const PE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0";

#[test]
fn no_binary_built_and_binaries_of_other_systems() {
    let scene = Scene::new();
    scene.file("Cargo.toml", MANIFEST).file("src/main.rs", "fn main() {}\n");
    // Not cargo's traces but ours are looked for.
    finish(command("cargo", scene.path()).args(["generate-lockfile", "--offline"])).exits(0);
    scene.refuses(
        ERROR,
        "",
        &[
            "error: `orders` is not built\n",
            "tried target/release/orders\n",
            "help: add `--build`, or run `cargo build --release",
        ],
    );
    scene.refuses(ERROR, "--bin nope", &["error: no binary `nope` in package `orders`\n"]);
    scene.file("target/release/orders", MACHO);
    scene.refuses(
        ERROR,
        "",
        &["target/release/orders` is a macOS binary (Mach-O), not an ELF program\n", LINUX_HELP],
    );
    scene.file("target/release/orders", PE);
    let ran = scene.refuses(
        ERROR,
        "--message-format json",
        &["target/release/orders` is a Windows binary (PE), not an ELF program\n", LINUX_HELP],
    );
    let document = ran.json();
    assert_eq!(keys(&document), ["artifacts", "error", "schema", "version"], "{ran}");
    assert_eq!(document["artifacts"], Value::Array(Vec::new()));
    assert_eq!(keys(&document["error"]), ["causes", "help", "message"]);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("target/release/orders` is a Windows binary (PE), not an ELF program"),
        "{message}"
    );
}

#[test]
fn a_binary_that_is_no_elf_program() {
    let scene = with_program();
    let program = scene.read("app");
    let mut corrupt = program.clone();
    corrupt[0x20..0x28].fill(0xff); // e_phoff
    scene
        .file("mac", MACHO)
        .file("win.exe", PE)
        .file("script", "#!/bin/sh\nexec ./server\n")
        .file("text", "hello\n")
        .file("empty", "")
        .file("zip", b"PK\x03\x04\x14\0\0\0\0\0")
        .file("head", &program[..40])
        .file("half", &program[..2000])
        .file("corrupt", corrupt);
    scene.dir("dir");
    scene.fifo("fifo");
    for (path, message, help) in [
        ("mac", "mac` is a macOS binary (Mach-O), not an ELF program\n", LINUX_HELP),
        ("win.exe", "win.exe` is a Windows binary (PE), not an ELF program\n", LINUX_HELP),
        (
            "script",
            "script` is a script, not an ELF program\n",
            "help: name the program that the script starts;",
        ),
        ("text", "text` is a text file, not an ELF program\n", "help: name the file of a built program\n"),
        ("empty", "empty` is an empty file, not an ELF program\n", "help: build it again\n"),
        (
            "zip",
            "zip` is a ZIP archive, not an ELF program\n",
            "help: audit an archive with `cargo lambda-bundle verify ",
        ),
        ("head", "head` is truncated: it is shorter than an ELF header\n", "help: build it again\n"),
        ("half", "half` as an ELF file\n  caused by: ", "help: build it again, or copy it again"),
        (
            "corrupt",
            "corrupt` as an ELF file\n  caused by: the program header table lies outside the file",
            "help: build it again",
        ),
        ("dir", "dir` is a directory\n", "help: name the file of a built program\n"),
        ("fifo", "fifo` is not a regular file\n", "help: name the file of a built program\n"),
        ("missing", "missing` does not exist\n", "help: name the file of a built program\n"),
    ] {
        scene.refuses(ERROR, &format!("--binary {path} -o new/out.zip"), &[message, help]).prints("");
    }
}

/// Runs the binary as a user without rights, in `scene`, which that user may enter.
#[track_caller]
fn as_nobody(scene: &Scene) -> Option<assert_cmd::Command> {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scene.path(), open.clone()).unwrap();
    // The build directory may be closed to others; this one is not.
    let binary = scene.at("cargo-lambda-bundle");
    tools::copy_program(env!("CARGO_BIN_EXE_cargo-lambda-bundle"), &binary);
    fs::set_permissions(&binary, open).unwrap();
    if !is_root() {
        return Some(command(binary, scene.path()));
    }
    if !tools::require("setpriv", "util-linux") {
        return None;
    }
    let mut nobody = command("setpriv", scene.path());
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(binary);
    Some(nobody)
}

fn is_root() -> bool {
    finish(command("id", Path::new("/")).arg("-u")).stdout.trim() == "0"
}

#[test]
fn files_that_may_not_be_read_or_written() {
    let scene = with_program();
    scene.mode("app", 0o000);
    scene.file("locked/old.zip", "old").file("closed.zip", "PK");
    scene.mode("closed.zip", 0o000);
    scene.mode("locked", 0o555);
    let run = |arguments: &str, texts: &[&str]| {
        let Some(mut nobody) = as_nobody(&scene) else { return };
        scene.refuses_run(ERROR, nobody.args(arguments.split(' ')), texts);
    };
    let help = "help: let this user read it (`chmod +r`), or run as a user who may read it\n";
    run(
        "--binary app -o /tmp/never.zip",
        &["could not read `", "/app`\n  caused by: Permission denied", help],
    );
    run("verify closed.zip", &["could not read `closed.zip`\n  caused by: Permission denied", help]);
    scene.mode("app", 0o755);
    for target in ["locked/old.zip", "locked/new/x.zip"] {
        run(
            &format!("--binary app -o {target}"),
            &[
                &format!("could not write `{}/{target}`\n", scene.path().display()),
                "Permission denied",
                "help: name a writable file\n",
            ],
        );
    }
    scene.mode("locked", 0o755);
    assert_eq!(scene.read("locked/old.zip"), b"old");
}

#[test]
fn outputs_that_cannot_be_written() {
    let scene = with_program();
    scene.dir("dir.zip");
    scene.file("file", "");
    scene.fifo("fifo");
    for (output, message, help) in [
        ("dir.zip", "dir.zip`: it is a directory\n", "help: name a file in it: `-o "),
        ("file/out.zip", "file/out.zip`\n", "help: name another file with `-o <FILE>`\n"),
        ("fifo", "fifo`: it is not a regular file\n", "help: name another file with `-o <FILE>`\n"),
        ("/dev/null", "/dev/null`: it is not a regular file\n", "help: name another file with `-o <FILE>`\n"),
        ("/proc/none/out.zip", "/proc/none/out.zip`\n", "help: name another file with `-o <FILE>`\n"),
    ] {
        scene
            .refuses(ERROR, &format!("-q --binary app -o {output}"), &["could not write `", message, help])
            .prints("");
    }
    scene.refuses_run(
        USAGE,
        scene.command("").args(["--binary", "app", "-o", ""]),
        &["error: `-o` names no file\n", "help: name a file or a directory: `-o <PATH>`\n"],
    );
    // A directory gets the usual name.
    scene.dir("dir");
    scene.run("--binary app -o dir").exits(0);
    assert!(scene.at("dir/bootstrap.zip").is_file());
}

#[test]
fn archives_as_other_tools_make_them() {
    if !tools::require("zip", "zip") || !tools::require("tar", "tar") {
        return;
    }
    let scene = with_program();
    for (tool, fault, help) in [
        ("zip -q -P secret app.zip app", "entry `app` is encrypted", "zip the files without a password"),
        ("zip -q -Z bzip2 app.zip app", "uses compression method 12 (bzip2)", "zip the files with deflate"),
        ("tar -czf app.zip app", "it is gzip data", "unpack it and zip its contents"),
        ("tar -cf app.zip app", "it is a tar archive", "unpack it and zip its contents"),
    ] {
        let _ = std::fs::remove_file(scene.at("app.zip"));
        let mut words = tool.split(' ');
        finish(command(words.next().unwrap(), scene.path()).args(words)).exits(0);
        scene.run("verify app.zip").exits(101).says(&[fault, help]);
    }
}

#[test]
fn archives_that_are_none() {
    let scene = with_program();
    scene.fifo("fifo");
    scene.run("--binary app -o whole.zip").exits(0);
    let whole = scene.read("whole.zip");
    scene.file("text", "hello\n").file("empty", "").file("half.zip", &whole[..whole.len() / 2]);
    let help = "help: name a complete ZIP archive; if this was one, create or copy it again\n";
    for (path, message, help) in [
        ("text", "error: `text` is not a ZIP archive: it does not begin like one\n", help),
        ("empty", "error: `empty` is not a ZIP archive: it is empty\n", help),
        ("half.zip", "error: `half.zip` is a truncated or damaged ZIP archive\n", help),
        (
            "app",
            "error: `app` is not a ZIP archive: it is an ELF file\n",
            "help: look at a program with `cargo lambda-bundle check --binary app`\n",
        ),
        ("fifo", "error: `fifo` is not a regular file\n", "help: name a ZIP archive or a directory\n"),
        ("missing", "error: `missing` does not exist\n", "help: name a ZIP archive or a directory\n"),
    ] {
        scene.refuses(ERROR, &format!("verify {path}"), &[message, help]).prints("");
    }
    // What could be finished is in the document.
    let ran = scene.refuses(ERROR, "verify whole.zip text --message-format json", &["`text` is not a ZIP"]);
    assert_eq!(ran.json()["artifacts"].as_array().unwrap().len(), 1, "{ran}");
    assert_eq!(ran.json()["error"]["message"], "`text` is not a ZIP archive: it does not begin like one");
}

#[test]
fn wrong_usage() {
    let scene = with_program();
    scene.copy("app", "other");
    for (arguments, texts) in [
        (
            "--binary app --runtime provided.al2024",
            &[
                "error: `--runtime provided.al2024` is not a known runtime\n",
                "help: the nearest are provided.al2023, provided.al2, provided; ",
            ][..],
        ),
        (
            "check --binary app --runtime x",
            &[
                "help: the nearest are go1.x, ",
                ", or all; `cargo lambda-bundle baseline list` shows every name; ",
            ],
        ),
        ("--binary app --runtime all", &["error: `--runtime all` only goes with `check`\n", "help: "]),
        (
            "--binary app --deny nope",
            &[
                "error: `--deny nope` is not the code of a finding\n",
                "help: the most similar are ",
                "; `help findings` lists all\n",
            ],
        ),
        ("--binary app --deny warings", &["help: did you mean `--deny warnings`?\n"]),
        ("--binary app --deny shadowed,version-resent", &["help: did you mean `--deny version-recent`?\n"]),
        ("--binary app --allow warnings", &["error: `--allow warnings` is not the code of a finding\n"]),
        (
            "--binary app --allow nope",
            &["error: `--allow nope` is not the code of a finding\n", "help: the most similar are "],
        ),
        (
            "--binary app --assume-present [",
            &["error: `--assume-present [` is not a pattern\n", "caused by: "],
        ),
        ("--binary app --env X", &["error: `--env X` has no `=`\n", "help: `--env X=VALUE`\n"]),
        (
            "--binary app --env LD_TRACE_LOADED_OBJECTS=",
            &["instead of starting the program\n", "help: remove `LD_TRACE_LOADED_OBJECTS`\n"],
        ),
        (
            "--binary app --env LD_DEBUG=libs,help",
            &["with `--env LD_DEBUG=libs,help` ld.so prints", "help: remove `LD_DEBUG`\n"],
        ),
        ("--binary app --nope", &["error: unexpected argument '--nope' found\n", "--help"]),
        ("--binary app --bin app", &["'--binary <PATH>' cannot be used with '--bin <NAME>'"]),
        ("--binary app -q -v", &["cannot be used with"]),
        (
            "out/x.zip",
            &[
                "unrecognized subcommand 'out/x.zip'",
                "tip: audit an archive with `cargo lambda-bundle verify out/x.zip`",
            ],
        ),
        ("app", &["tip: name a program with `--binary app`\n"]),
        ("--release build", &["tip: did you mean `--build`?"]),
        ("check -o x.zip", &["tip: `-o` is for bundling: `cargo lambda-bundle -o ...`"]),
        (
            "check --root x",
            &[
                "tip: `--root` is an option of another command: `cargo lambda-bundle baseline capture --root ...`",
            ],
        ),
        ("check app", &["tip: name a program with `--binary app`\n"]),
        ("size out/x.zip", &["tip: audit an archive with `cargo lambda-bundle verify out/x.zip`"]),
        ("check --sbom list.json", &["tip: `--sbom` is for bundling: `cargo lambda-bundle --sbom ...`"]),
        (
            "--against old.zip",
            &["tip: `--against` is an option of another command: `cargo lambda-bundle size --against ...`"],
        ),
        ("--verify out/x.zip", &["tip: did you mean `cargo lambda-bundle verify`, without dashes?"]),
        ("--binary app -q check", &["tip: write its options behind it: `cargo lambda-bundle check ...`"]),
        ("build", &["tip: did you mean `--build`?"]),
        ("chek --binary app", &["unrecognized subcommand 'chek'", "'check'"]),
        ("verify", &["<PATH>..."]),
        (
            "--binary app --binary other -o x.zip",
            &[
                "error: `app` and `other` would both be written to `",
                "x.zip`\n",
                "help: tell them apart: `-o DIR/{bin}-{arch}.zip`",
            ],
        ),
    ] {
        scene.refuses(USAGE, arguments, texts).prints("");
    }
    let ran = scene.run("--binary app --binary other -o out/{bin}-{arch}.zip").exits(0);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran}");
    assert!(scene.at("out/other-x86_64.zip").is_file());
}

#[test]
fn no_tip_about_a_word_that_is_right_or_cannot_be_shown() {
    let scene = with_program();
    fs::write(scene.at("check"), "").unwrap();
    for arguments in [
        "--force --force --binary app",
        "check --release --profile dev",
        "--build=yes",
        "explain --tree --mermaid",
        "verify --help=x",
        "check --check",
        "check -- --binary app",
        "\u{1b}[31mred.zip",
        &"x".repeat(300),
    ] {
        let ran = scene.run(arguments).exits(USAGE);
        assert!(!ran.stderr.contains("tip:"), "{arguments}: {ran}");
    }
    scene.refuses(USAGE, "-q check check", &["tip: write its options behind it"]);
    fs::create_dir(scene.at("out")).unwrap();
    scene.refuses(USAGE, "out", &["tip: audit a directory with `cargo lambda-bundle verify out`\n"]);
    fs::write(scene.at("$(id).zip"), "").unwrap();
    scene.refuses(USAGE, "$(id).zip", &["verify '$(id).zip'`"]);
}

#[test]
fn directories_that_are_not_there() {
    let scene = with_program();
    for flag in ["--library-path", "--sysroot"] {
        let message = format!("error: `{flag} {}/nowhere` is not a directory\n", scene.path().display());
        scene.refuses(ERROR, &format!("--binary app {flag} nowhere"), &[&message]);
    }
}

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    object.keys().map(String::as_str).collect()
}

/// Null, or a path from the root.
#[track_caller]
fn absolute(value: &Value) {
    assert!(
        value.is_null() || value.as_str().is_some_and(|path| path.starts_with('/')),
        "not absolute: {value}"
    );
}

/// Checks what the schema, to which [`Ran::json`] holds the document, cannot say.
#[track_caller]
fn check_document(document: &Value) -> &Vec<Value> {
    assert_eq!(document["schema"], "cargo-lambda-bundle/report");
    let artifacts = document["artifacts"].as_array().unwrap();
    for artifact in artifacts {
        absolute(&artifact["path"]);
        absolute(&artifact["interpreter"]);
        artifact["libraries"].as_array().unwrap().iter().for_each(check_library);
        if !artifact["sizes"].is_null() {
            check_sizes(&artifact["sizes"]);
        }
        if !artifact["archive"].is_null() {
            check_archive(&artifact["archive"]);
        }
    }
    artifacts
}

#[track_caller]
fn check_library(library: &Value) {
    absolute(&library["build_path"]);
    absolute(&library["lambda_path"]);
    let loaded = library["from"] != "missing" && library["from"] != "excluded";
    assert_eq!(library["lambda_path"].is_string(), loaded, "{library}");
    assert_eq!(library["rule"].is_string(), loaded, "{library}");
    assert_eq!(library["evidence"].is_string(), library["from"] == "baseline", "{library}");
}

#[track_caller]
fn check_sizes(sizes: &Value) {
    let files = sizes["files"].as_array().unwrap();
    for key in ["bytes", "debug_bytes", "symbol_bytes"] {
        let sum: u64 = files.iter().map(|file| file[key].as_u64().unwrap()).sum();
        assert_eq!(sizes[key].as_u64(), Some(sum));
    }
}

#[track_caller]
fn check_archive(archive: &Value) {
    assert_eq!(archive["kind"], "function");
    absolute(&archive["path"]);
    let path = archive["path"].as_str().unwrap();
    assert_eq!(archive["zipped_bytes"].as_u64(), Some(fs::metadata(path).unwrap().len()));
    let entries = archive["entries"].as_array().unwrap();
    let sizes: u64 = entries.iter().map(|entry| entry["size"].as_u64().unwrap()).sum();
    assert_eq!(archive["unzipped_bytes"].as_u64(), Some(sizes));
    assert_eq!((&entries[0]["name"], entries[0]["mode"].as_u64()), (&"bootstrap".into(), Some(0o755)));
}

#[test]
fn the_json_document_of_each_command() {
    let scene = Scene::new();
    scene.c("int top(void) { return 0; }", "libs/libtop.so.1", "-shared -Wl,-soname,libtop.so.1");
    scene.c("int top(void); int main(void) { return top(); }", "app", "libs/libtop.so.1");
    let shared = "--message-format json -q";

    let ran = scene.run(&format!("--binary app --library-path libs -o app.zip {shared}")).exits(0);
    assert_eq!(ran.stderr, "");
    let document = ran.json();
    let [artifact] = &check_document(&document)[..] else { panic!("{ran}") };
    assert_eq!((&artifact["name"], &artifact["verdict"]), (&"app".into(), &"starts".into()));
    assert_eq!(artifact["interpreter"], "/lib64/ld-linux-x86-64.so.2");
    let libraries = artifact["libraries"].as_array().unwrap();
    let top = libraries.iter().find(|library| library["soname"] == "libtop.so.1").unwrap();
    let root = scene.path().canonicalize().unwrap();
    let expected = serde_json::json!({
        "soname": "libtop.so.1", "from": "bundle", "build_path": root.join("libs/libtop.so.1"),
        "source": root.join("libs/libtop.so.1"), "lambda_path": "/var/task/lib/libtop.so.1", "pinned": false, "rule": "ld-library-path",
        "needed_by": ["app"], "evidence": null, "package": null, "package_version": null,
    });
    assert_eq!(top, &expected);
    let libc = libraries.iter().find(|library| library["soname"] == "libc.so.6").unwrap();
    assert_eq!((&libc["from"], &libc["lambda_path"]), (&"baseline".into(), &"/lib64/libc.so.6".into()));
    // Also where Lambda's own is used.
    assert!(libc["build_path"].as_str().unwrap().ends_with("/libc.so.6"), "{libc}");
    assert_eq!(artifact["archive"]["path"], root.join("app.zip").to_str().unwrap());
    assert_eq!(artifact["archive"]["entries"][1]["name"], "lib/libtop.so.1");
    assert_eq!(artifact["sizes"]["bytes"], artifact["archive"]["unzipped_bytes"]);
    assert_eq!(artifact["sizes"]["files"][1]["name"], "libtop.so.1");

    let ran = scene.run(&format!("check --binary app {shared}")).exits(1);
    let document = ran.json();
    let [artifact] = &check_document(&document)[..] else { panic!("{ran}") };
    assert_eq!((&artifact["verdict"], &artifact["archive"]), (&"fails".into(), &Value::Null));
    assert_eq!(artifact["findings"][0]["code"], "missing-library");
    assert_eq!(artifact["findings"][0]["soname"], "libtop.so.1");

    let ran = scene.run(&format!("verify app.zip {shared}")).exits(0);
    assert_eq!(ran.stderr, "");
    let document = ran.json();
    let [artifact] = &check_document(&document)[..] else { panic!("{ran}") };
    assert_eq!((&artifact["name"], &artifact["verdict"]), (&"bootstrap".into(), &"starts".into()));
    assert!(artifact["archive"].is_object());
}

#[test]
fn stdout_has_data_only() {
    let scene = with_program();
    let zip = scene.path().canonicalize().unwrap().join("app.zip");
    let ran = scene.run("--binary app -o app.zip -q").exits(0).prints(&format!("{}\n", zip.display()));
    assert_eq!(ran.stderr, "");
    let ran = scene.run("verify app.zip -q").exits(0).prints("");
    assert_eq!(ran.stderr, "");
    let ran = scene.run("check --binary app -q").exits(0).prints("");
    assert_eq!(ran.stderr, "");
    scene.run("check --binary app -v").exits(0).prints("").says(&["Checking app for provided.al2023"]);
    scene.run("verify app.zip").exits(0).prints("").says(&["app.zip: starts on provided.al2023"]);
}

#[test]
fn cargo_finds_it_as_a_subcommand() {
    let directory = Path::new(env!("CARGO_BIN_EXE_cargo-lambda-bundle")).parent().unwrap();
    let mut path = directory.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let cargo = |arguments: &[&str]| {
        let scene = Scene::new();
        finish(command("cargo", scene.path()).args(arguments).env("PATH", &path))
    };
    let version = concat!("cargo lambda-bundle ", env!("CARGO_PKG_VERSION"));
    let version = format!("{version} ({})\n", cargo_lambda_bundle::archive::COMPRESSOR);
    cargo(&["lambda-bundle", "--version"]).exits(0).prints(&version);
    for arguments in [&["lambda-bundle", "--help"][..], &["help", "lambda-bundle"]] {
        let ran = cargo(arguments).exits(0);
        for text in
            ["Usage: cargo lambda-bundle [OPTIONS]", "verify", "check", "--binary <PATH>", "Exit status: "]
        {
            assert!(ran.stdout.contains(text), "no {text:?}: {ran}");
        }
    }
    cargo(&["lambda-bundle", "check", "--help"]).exits(0);
    cargo(&["lambda-bundle", "--nope"]).exits(USAGE).says(&["unexpected argument '--nope'"]);
}

#[test]
fn warnings_are_denied_all_or_by_their_codes() {
    let scene = with_program();
    // ld.so starts the program without it.
    let preload = "check --binary app --allow baseline-old --env LD_PRELOAD=libno.so.1";
    let check = |flags: &str, code: i32| scene.run(&format!("{preload} {flags}")).exits(code);
    check("", 0).says(&["warning[missing-library]"]);
    check("--deny warnings", 1)
        .says(&["error[missing-library]"])
        .keeps_silent_about(&["error[baseline-old]"]);
    check("--deny shadowed,missing-library", 1).says(&["error[missing-library]"]);
    check("--deny warnings --allow shadowed,missing-library", 0).keeps_silent_about(&["[missing-library]"]);
    // Also from a variable.
    let scene = scene.var("CARGO_LAMBDA_BUNDLE_DENY", "shadowed,warnings");
    scene.run(preload).exits(1);
}
