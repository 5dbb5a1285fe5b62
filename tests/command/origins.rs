//! Where symbols come from: crates, native code and `std`, as cargo and the real compilers leave them in a build.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;

use crate::support::command::{Ran, command, finish};
use crate::support::scene::Scene;
use crate::support::tools;
use serde_json::{Value, json};

/// Asks for `mbrtoc8@GLIBC_2.36`, which no Lambda runtime has.
const TOO_NEW: &str = "#include <stddef.h>
size_t mbrtoc8(unsigned char *, const char *, size_t, void *);
int conf(void) { return mbrtoc8(0, 0, 0, 0); }
";

/// A build script that compiles `c/NAME.c` to `libfoo.a`.
fn build_script(name: &str) -> String {
    format!(
        "use std::process::Command;
fn main() {{
    let out = std::env::var(\"OUT_DIR\").unwrap();
    let run = |program: &str, words: &[&str]| assert!(Command::new(program).args(words).status().unwrap().success());
    run(\"cc\", &[\"-O1\", \"-c\", \"c/{name}.c\", \"-o\", &format!(\"{{out}}/{name}.o\")]);
    run(\"ar\", &[\"crs\", &format!(\"{{out}}/libfoo.a\"), &format!(\"{{out}}/{name}.o\")]);
    println!(\"cargo:rustc-link-search=native={{out}}\\ncargo:rustc-link-lib=static=foo\");
}}
"
    )
}

fn manifest(name: &str, dependencies: &[&str], more: &str) -> String {
    let dependencies: Vec<String> =
        dependencies.iter().map(|name| format!("{name} = {{ path = \"../{name}\" }}\n")).collect();
    let head = format!("[package]\nname = \"{name}\"\nversion = \"0.3.1\"\nedition = \"2021\"\n");
    format!("{head}[dependencies]\n{}{more}", dependencies.concat())
}

/// The package `orders`, whose program calls `middle::go`, which calls `conf` of `libfoo-sys`.
fn project() -> Scene {
    let scene = Scene::new().var("CARGO_NET_OFFLINE", "true");
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], "[workspace]\n"));
    scene.file("orders/src/main.rs", "fn main() { println!(\"{}\", middle::go()); }\n");
    scene.file("middle/Cargo.toml", manifest("middle", &["libfoo-sys"], ""));
    scene.file("middle/src/lib.rs", "pub fn go() -> i32 { unsafe { libfoo_sys::conf() } }\n");
    scene.file("libfoo-sys/Cargo.toml", manifest("libfoo-sys", &[], ""));
    scene.file("libfoo-sys/src/lib.rs", "extern \"C\" { pub fn conf() -> i32; }\n");
    scene.file("libfoo-sys/build.rs", build_script("conf"));
    scene.file("libfoo-sys/c/conf.c", TOO_NEW);
    scene
}

fn has_tools() -> bool {
    tools::require("cc", "gcc") && tools::require("ar", "binutils")
}

/// Runs cargo in the package.
fn cargo(scene: &Scene, words: &str) -> Ran {
    let mut cargo = command("cargo", &scene.at("orders"));
    finish(cargo.env("CARGO_NET_OFFLINE", "true").args(words.split_whitespace())).exits(0)
}

/// Runs the tool in the package.
fn run(scene: &Scene, words: &str) -> Ran {
    let mut command = scene.command(words);
    finish(command.current_dir(scene.at("orders")))
}

fn finding(scene: &Scene, code: &str, words: &str) -> Value {
    let document = run(scene, &format!("{words} --message-format json")).json();
    let findings = document["artifacts"][0]["findings"].as_array().unwrap().clone();
    let found = findings.into_iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {document:#}"))
}

#[test]
fn the_crate_and_the_object_file_are_named() {
    if !has_tools() {
        return;
    }
    let scene = project();
    cargo(&scene, "build --release");
    run(&scene, "check").exits(1).says(&[
        "error[version-too-new]: `orders` needs GLIBC_2.36",
        "  `mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o)\n",
    ]);
    let finding = finding(&scene, "version-too-new", "check");
    let asker = &finding["asked_by"][0];
    assert_eq!(asker["symbol"], "mbrtoc8");
    assert_eq!(asker["package"], "libfoo-sys");
    assert_eq!(asker["object"], "conf.o");
    assert!(asker["library"].as_str().unwrap().ends_with("/out/libfoo.a"), "{finding:#}");
    for format in ["github", "sarif"] {
        let ran = run(&scene, &format!("check --message-format {format}")).exits(1);
        assert!(
            ran.to_string().contains("`mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o)"),
            "{ran}"
        );
    }
    let explained = run(&scene, "explain GLIBC_2.36").exits(1);
    let line = "  asked for  orders\n             mbrtoc8@GLIBC_2.36: ld.so refuses the file: `libc.so.6` does not have the version\n               `mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o)\n";
    assert!(explained.stdout.contains(line), "{explained}");
    let document = run(&scene, "explain mbrtoc8 --message-format json").exits(1).json();
    let reference = &document["artifacts"][0]["symbol_explanations"][0]["references"][0];
    assert_eq!(reference["asked_by"][0]["object"], "conf.o", "{reference:#}");
    // The standard library's crates are many: two, and the number of the others.
    let many = run(&scene, "explain memcpy").exits(1).stdout;
    assert!(many.contains("more (`-v` lists them)"), "{many}");
    assert!(!run(&scene, "explain memcpy -v").exits(1).stdout.contains("-v` lists"));
    // Also from cargo's messages, and by a target's directory.
    run(&scene, "check --build --target x86_64-unknown-linux-gnu")
        .exits(1)
        .says(&["  `mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o)\n"]);
}

#[test]
fn only_crates_of_the_program_count() {
    if !has_tools() {
        return;
    }
    let scene = project();
    // A crate of an older build, one of another program, and a build script's.
    scene.file("old/Cargo.toml", manifest("old", &[], ""));
    scene.file("old/src/lib.rs", "extern \"C\" { fn mbrtoc8(); }\npub fn old() { unsafe { mbrtoc8() } }\n");
    let old = "old = { path = \"../old\" }\n";
    let parts = |of: &str| format!("{of}[workspace]\n");
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], &parts(old)));
    scene.file("orders/src/main.rs", "fn main() { println!(\"{}\", middle::go()); old::old(); }\n");
    cargo(&scene, "build --release");
    run(&scene, "check")
        .exits(1)
        .says(&["  `mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o) and `old` (libold-"]);
    let of_builds = format!("[build-dependencies]\n{old}");
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], &parts(&of_builds)));
    scene.file("orders/src/main.rs", "fn main() { println!(\"{}\", middle::go()); }\n");
    scene.file("orders/build.rs", "fn main() { if std::env::args().count() > 9 { old::old() } }\n");
    cargo(&scene, "build --release");
    run(&scene, "check")
        .exits(1)
        .says(&["  `mbrtoc8` is asked for by `libfoo-sys` (libfoo.a: conf.o)\n"])
        .keeps_silent_about(&["`old`"]);
}

#[test]
fn an_object_file_that_was_not_linked_is_no_asker() {
    if !has_tools() {
        return;
    }
    let scene = project();
    // The program does not call `middle`, and so not `libfoo-sys`.
    scene.file("own/Cargo.toml", manifest("own", &[], ""));
    scene.file(
        "own/src/lib.rs",
        "extern \"C\" { fn mbrtoc8(); }\n#[inline(never)] pub fn own() { unsafe { mbrtoc8() } }\n",
    );
    scene.file("orders/Cargo.toml", manifest("orders", &["middle", "own"], "[workspace]\n"));
    scene.file("orders/src/main.rs", "use middle as _;\nfn main() { own::own(); }\n");
    cargo(&scene, "build --release");
    run(&scene, "check")
        .exits(1)
        .says(&["  `mbrtoc8` is asked for by `own` (libown-"])
        .keeps_silent_about(&["libfoo-sys"]);
    let asker = &finding(&scene, "version-too-new", "check")["asked_by"][0];
    assert_eq!(asker["linked"], true, "{asker:#}");
    // Alone it may be the one, but probably the program itself is.
    let main = "use middle as _;\nextern \"C\" { fn mbrtoc8(); }\nfn main() { unsafe { mbrtoc8() } }\n";
    scene.file("orders/src/main.rs", main);
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], "[workspace]\n"));
    cargo(&scene, "build --release");
    run(&scene, "check").exits(1).says(&["  `mbrtoc8` may be asked for by `libfoo-sys` (libfoo.a: conf.o)"]);
    // Without a symbol table nothing tells.
    let stripped = "[workspace]\n[profile.release]\nstrip = true\n";
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], stripped));
    cargo(&scene, "build --release");
    let asker = &finding(&scene, "version-too-new", "check")["asked_by"][0];
    assert_eq!(asker["linked"], Value::Null, "{asker:#}");
}

#[test]
fn without_records_all_crates_of_the_directory_may_ask() {
    if !has_tools() {
        return;
    }
    let scene = project();
    cargo(&scene, "build --release");
    for entry in fs::read_dir(scene.at("orders/target/release/.fingerprint")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("orders-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    run(&scene, "check")
        .exits(1)
        .says(&["  `mbrtoc8` may be asked for by `libfoo-sys` (libfoo.a: conf.o)\n"]);
}

#[test]
fn without_readable_records_nothing_is_claimed() {
    if !has_tools() {
        return;
    }
    let scene = project();
    cargo(&scene, "build --release");
    for entry in fs::read_dir(scene.at("orders/target/release/.fingerprint")).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|it| it == "json") {
                fs::write(path, "{\"deps\": \"of another cargo\"}").unwrap();
            }
        }
    }
    run(&scene, "check")
        .exits(1)
        .says(&["  who asks for `mbrtoc8` is unknown: cargo's records of the build cannot be followed\n"]);
    let records = scene.at("orders/target/release/.fingerprint");
    fs::remove_dir_all(&records).unwrap();
    scene.fifo("orders/target/release/.fingerprint");
    run(&scene, "check").exits(1).says(&["  who asks for `mbrtoc8` is unknown: cargo's records"]);
}

#[test]
fn std_and_the_program_itself_ask_too() {
    if !has_tools() {
        return;
    }
    let scene = project();
    scene.file("libfoo-sys/c/conf.c", "int conf(void) { return 0; }\n");
    let main = "extern \"C\" { fn mbrtoc8(); }\nfn main() { unsafe { mbrtoc8() } }\n";
    scene.file("orders/src/main.rs", main);
    cargo(&scene, "build --release");
    run(&scene, "check").exits(1).says(&[
        "  no crate asks for `mbrtoc8`: the program's own code does, or a file that the linker adds\n",
    ]);
    // The standard library asks for what glibc 2.34 moved, or renamed.
    let finding = finding(&scene, "version-too-new", "check --runtime provided.al2");
    let askers = finding["asked_by"].as_array().unwrap();
    let of_std = askers.iter().find(|asker| asker["package"] == "std");
    assert!(of_std.is_some(), "{finding:#}");
    assert!(!askers.iter().any(|asker| asker["symbol"] == "__libc_start_main"), "{finding:#}");
}

#[test]
fn bitcode_and_damaged_files_are_not_read() {
    if !has_tools() {
        return;
    }
    let scene = project();
    scene.file("libfoo-sys/build.rs", "fn main() {}\n");
    scene.file(
        "libfoo-sys/src/lib.rs",
        "extern \"C\" { fn mbrtoc8() -> i32; }\npub unsafe fn conf() -> i32 { unsafe { mbrtoc8() } }\n",
    );
    let lto = "[workspace]\n[profile.release]\nlto = \"fat\"\n";
    scene.file("orders/Cargo.toml", manifest("orders", &["middle"], lto));
    cargo(&scene, "build --release");
    run(&scene, "check").exits(1).says(&[
        "  who asks for `mbrtoc8` is unknown: `liblibfoo_sys-",
        ".rlib` cannot be read (its code is LLVM bitcode, for LTO), nor can 1 more\n",
    ]);
    let deps = scene.at("orders/target/release/deps");
    for entry in fs::read_dir(deps).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "rlib") {
            fs::write(path, b"!<arch>\nno archive, whatever its first line is").unwrap();
        }
    }
    run(&scene, "check")
        .exits(1)
        .says(&["cannot be read (it is not a static library, or is damaged), nor can 1 more\n"]);
}

#[test]
fn the_help_tells_how_to_install_what_it_needs() {
    if !has_tools() {
        return;
    }
    let scene = project();
    cargo(&scene, "build --release");
    // Without cargo-zigbuild, wherever this machine has it.
    let path = std::env::var_os("PATH").unwrap();
    let without = std::env::split_paths(&path).filter(|dir| !dir.join("cargo-zigbuild").exists());
    let scene = scene.var("PATH", std::env::join_paths(without).unwrap().to_str().unwrap());
    run(&scene, "check").exits(1).says(&[
        "help: build against glibc 2.34 or older: `cargo lambda-bundle --build-with zigbuild -p orders --bin orders`, after `pip install cargo-zigbuild`; or for musl: `cargo lambda-bundle --build --target x86_64-unknown-linux-musl -p orders --bin orders`; or ship this machine's glibc with it: `--libc bundle`\n",
    ]);
    run(&scene, "check --build-with zigbuild").exits(101).says(&[
        "error: `cargo zigbuild --release --target x86_64-unknown-linux-gnu.2.34` failed\n",
        "help: install it, with zig: `pip install cargo-zigbuild`\n",
    ]);
}

/// `libfoo-sys` links the system's `libfoo.so.1`, which is too new, unless its feature is on.
fn linking_project() -> Scene {
    let scene = project();
    let script = build_script("conf").replace(
        "fn main() {",
        "fn main() {\n    if std::env::var_os(\"CARGO_FEATURE_VENDORED\").is_none() {
        return println!(\"cargo:rustc-link-search=native={}/../libs\\ncargo:rustc-link-lib=foo\", std::env::var(\"CARGO_MANIFEST_DIR\").unwrap());
    }",
    );
    scene.file("libfoo-sys/build.rs", script);
    scene.file("libfoo-sys/Cargo.toml", manifest("libfoo-sys", &[], "[features]\nvendored = []\n"));
    scene.file("libfoo-sys/c/conf.c", "int conf(void) { return 0; }\n");
    scene.dir("libs");
    scene.library("libs/libfoo.so.1", TOO_NEW, "");
    scene.link("libfoo.so.1", "libs/libfoo.so");
    scene
}

/// The command in the help that turns the feature on.
fn add_command(ran: &Ran) -> String {
    let (_, rest) = ran.stderr.split_once("into the program: `cargo ").unwrap_or_else(|| panic!("{ran}"));
    rest.split_once('`').unwrap().0.to_owned()
}

#[test]
fn a_feature_that_builds_the_library_is_named() {
    if !has_tools() {
        return;
    }
    let scene = linking_project();
    cargo(&scene, "build --release");
    // The crate is another's dependency, and is in no registry: no command can name it.
    let ran = run(&scene, "check").exits(1).says(&[
        "error[version-too-new]: `libfoo.so.1` needs GLIBC_2.36",
        "  `libfoo.so.1` is linked by `libfoo-sys`\n",
        "; or build `libfoo.so.1` into the program: turn the feature `vendored` of `libfoo-sys` on\n",
    ]);
    assert_eq!(ran.stderr.matches("is linked by").count(), 1, "{ran}");
    let linked = &finding(&scene, "version-too-new", "check")["linked_by"];
    assert_eq!(*linked, json!([{"library": "libfoo.so.1", "package": "libfoo-sys", "version": null}]));
    // A dependency of the program's own.
    scene.file("orders/Cargo.toml", manifest("orders", &["middle", "libfoo-sys"], "[workspace]\n"));
    cargo(&scene, "build --release");
    let ran = run(&scene, "check").exits(1);
    let add = add_command(&ran);
    assert_eq!(add, "add -p orders libfoo-sys --features vendored");
    cargo(&scene, &add);
    cargo(&scene, "build --release");
    run(&scene, "check").exits(0).keeps_silent_about(&["version-too-new"]);
}

#[test]
fn a_crate_without_a_build_script_is_known_by_the_functions_that_it_uses() {
    if !has_tools() {
        return;
    }
    let scene = linking_project();
    let source = "#[link(name = \"foo\")]\nextern \"C\" { fn conf() -> i32; }\n\
        #[inline(never)]\npub fn call() -> i32 { unsafe { conf() } }\n";
    scene.file("libfoo-sys/src/lib.rs", source).remove("libfoo-sys/build.rs");
    scene.file("middle/src/lib.rs", "#[inline(never)]\npub fn go() -> i32 { libfoo_sys::call() }\n");
    let flags = format!("[build]\nrustflags = [\"-L{}\"]\n", scene.at("libs").display());
    scene.file("orders/.cargo/config.toml", flags);
    cargo(&scene, "build --release");
    run(&scene, "check --library-path ../libs").exits(1).says(&[
        "error[version-too-new]: `libfoo.so.1` needs GLIBC_2.36",
        "  `libfoo.so.1` is linked by `libfoo-sys`\n",
    ]);
}

#[test]
fn a_feature_of_a_crate_from_a_registry_is_turned_on_by_its_version() {
    if !has_tools() {
        return;
    }
    let scene = linking_project();
    // A registry as `cargo vendor --versioned-dirs` writes it.
    for (name, version) in [("libfoo-sys", "0.3.1"), ("middle", "0.3.1")] {
        let to = format!("vendor/{name}-{version}");
        scene.dir("vendor").tool("cp", &format!("-r {name} {to}")).exits(0);
        scene.file(format!("{to}/.cargo-checksum.json"), "{\"files\":{},\"package\":null}");
    }
    let registry = |name: &str, dependency: &str, more: &str| {
        manifest(name, &[], more)
            .replace("[dependencies]\n", &format!("[dependencies]\n{dependency} = \"0.3\"\n"))
    };
    scene.file("vendor/middle-0.3.1/Cargo.toml", registry("middle", "libfoo-sys", ""));
    scene.file("orders/Cargo.toml", registry("orders", "middle", "[workspace]\n"));
    let source = "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"../vendor\"\n";
    scene.file("orders/.cargo/config.toml", source);
    scene.tool("cp", "-r libs vendor/libs").exits(0);
    cargo(&scene, "build --release");
    let ran = run(&scene, "check").exits(1).says(&["error[version-too-new]: `libfoo.so.1` needs GLIBC_2.36"]);
    let add = add_command(&ran);
    assert_eq!(add, "add -p orders libfoo-sys@0.3.1 --features vendored");
    cargo(&scene, &add);
    cargo(&scene, "build --release");
    run(&scene, "check").exits(0).keeps_silent_about(&["version-too-new"]);
}

#[test]
fn no_static_library_is_read_without_such_a_finding() {
    if !has_tools() || !tools::require("strace", "strace") {
        return;
    }
    let scene = project();
    scene.file("libfoo-sys/c/conf.c", "int conf(void) { return 0; }\n");
    cargo(&scene, "build --release");
    let opened = |words: &str| {
        let mut strace = command("strace", &scene.at("orders"));
        let tool = env!("CARGO_BIN_EXE_cargo-lambda-bundle");
        strace.args(["-f", "-qq", "-o", "../trace", "-e", "trace=openat,openat2", tool]);
        finish(strace.env("XDG_CACHE_HOME", scene.at("cache")).args(words.split_whitespace()));
        let trace = scene.text("trace");
        // cargo's records are read in any case: they tell whose program it is.
        let reads = |line: &&str| line.contains(".rlib\"") || line.contains("libfoo.a");
        trace.lines().filter(reads).count()
    };
    assert_eq!(opened("check"), 0);
    assert_eq!(opened("check --message-format json"), 0);
    assert_ne!(opened("check --runtime provided.al2"), 0);
}
