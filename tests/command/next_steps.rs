//! The next step that a message advises is for this input, and works when it is followed.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use crate::support::command::finish;
use crate::support::compile::{self, CC};
use crate::support::elf::Object;
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;

/// A workspace with the packages `a` and `b`, each with a program of its name.
fn workspace() -> Scene {
    let scene = Scene::new();
    scene.file("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n");
    for name in ["a", "b"] {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        scene.file(format!("{name}/Cargo.toml"), manifest);
        let source = "fn main() { println!(\"{:?}\", std::env::var(\"AWS_LAMBDA_RUNTIME_API\")); }";
        scene.file(format!("{name}/src/main.rs"), source);
    }
    scene
}

#[track_caller]
fn cargo(scene: &Scene, arguments: &str) {
    finish(scene.other_command("cargo").args(arguments.split(' '))).exits(0);
}

#[test]
fn a_static_program_of_a_gnu_target_is_to_be_linked_dynamically() {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    if !tools::require("cc", "gcc") || !tools::require_target(TARGET) {
        return;
    }
    let scene = workspace();
    scene.library("libs/libtop.so.1", "int top(void) { return 0; }", "");
    let source = "extern \"C\" { fn top() -> i32; }\n#[used]\nstatic SIGN: &str = \"AWS_LAMBDA_RUNTIME_API\";\n\
        fn main() { std::process::exit(unsafe { top() }); }";
    scene.file("a/src/main.rs", source);
    let link = format!(
        "fn main() {{ println!(\"cargo:rustc-link-arg={}\"); }}",
        scene.at("libs/libtop.so.1").display()
    );
    scene.file("a/build.rs", link);
    let config = |flags: &str| {
        scene.file(".cargo/config.toml", format!("[target.{TARGET}]\nrustflags = [{flags}]\n"));
        cargo(&scene, &format!("build --release -q -p a --target {TARGET}"));
    };
    config("\"-C\", \"target-feature=+crt-static\"");
    let check = format!("check -p a --target {TARGET} --library-path libs");
    scene
        .run(&check)
        .exits(1)
        .says(&[
            "error[broken-static-pie]",
            "or link the program dynamically, without `-C target-feature=+crt-static`",
        ])
        .keeps_silent_about(&["build for a `-gnu` target"]);
    config("");
    scene.run(&check).exits(0);
}

#[test]
fn an_extension_registers() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    let check = |text: &str, arguments: &str, expected: &[&str]| {
        let source = format!("#include <stdio.h>\nint main(void) {{ return puts(\"{text}\"); }}");
        CC.compile_as_is(scene.path(), &source, "app", "");
        let ran = scene.run(&format!("check --binary app {arguments}")).exits(0);
        assert_eq!(ran.stderr.contains("warning[not-a-runtime]"), !expected.is_empty(), "{ran}");
        ran.says(expected);
        // `verify` sees the same.
        if arguments.starts_with("--kind extension") {
            scene.run(&format!("--binary app -o app.zip {arguments}")).exits(0).says(expected);
            let ran = scene.run("verify app.zip").exits(0);
            assert_eq!(ran.stderr.contains("warning[not-a-runtime]"), !expected.is_empty(), "{ran}");
        }
    };
    let extension = "--kind extension";
    check(
        "nothing",
        extension,
        &["`app` does not register as an extension: ", "  it does not name AWS_LAMBDA_RUNTIME_API"],
    );
    check("nothing", "--kind extension --runtime nodejs22.x", &["`app` does not register"]);
    check("nothing", "--kind layer", &[]);
    let requests = "AWS_LAMBDA_RUNTIME_API /2018-06-01/runtime/invocation/next";
    check(requests, extension, &["  it asks for a function's requests (`2018-06-01/runtime`)"]);
    check(requests, "", &[]);
    check("AWS_LAMBDA_RUNTIME_API /2020-01-01/extension/register", extension, &[]);
    check("AWS_LAMBDA_RUNTIME_API", extension, &[]);
    check(&format!("{requests} extension/register"), extension, &[]);
}

#[test]
fn programs_of_one_name_are_told_apart() {
    let scene = workspace();
    let targets = ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"];
    if !targets.iter().all(|target| tools::require_target(target)) {
        return;
    }
    let both = format!("-p a --target {} --target {}", targets[0], targets[1]);
    cargo(&scene, &format!("build --release -q {both}"));
    let ran = scene.run(&format!("check {both}")).exits(0);
    ran.says(&targets.map(|target| format!("a ({target})  ")).each_ref().map(String::as_str));
    scene.run(&both).exits(2).says(&["help: tell them apart: `-o DIR/{bin}-{target}.zip`"]);
    scene.run(&format!("{both} -o dist/{{bin}}-{{target}}.zip")).exits(0);
    assert!(targets.iter().all(|target| scene.has(format!("dist/a-{target}.zip"))));
    // Where names differ, the table is as it was.
    cargo(&scene, "build --release -q");
    scene.run("check --workspace --target host-tuple").says(&["\n             a  "]);
}

#[test]
fn the_dev_profile_has_no_flag_of_its_own() {
    let scene = Scene::new();
    for arguments in
        ["check --debug", "check --dev", "check dev", "--debug", "dev", "config --dev", "size debug"]
    {
        let ran = scene.run(arguments).exits(2).says(&["tip: did you mean `--profile dev`?"]);
        ran.keeps_silent_about(&["--debug-symbols <"]);
    }
    for arguments in ["verify --debug", "baseline dev", "check --debug-symbol", "check release"] {
        scene.run(arguments).exits(2).keeps_silent_about(&["--profile dev"]);
    }
}

#[test]
fn a_variable_without_effect_is_named() {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").text("AWS_LAMBDA_RUNTIME_API").bytes());
    let ran =
        scene.run("check --binary app --env RUST_LOG=secret --env LD_BIND_NOW=1 --env GLIBC_TUNABLES=a=b");
    ran.exits(0)
        .says(&["Ignoring `--env RUST_LOG`: it does not decide what loads (LD_LIBRARY_PATH, "])
        .keeps_silent_about(&["secret", "`--env LD_BIND_NOW`", "`--env GLIBC_TUNABLES`"]);
    scene.run("--binary app -o app.zip").exits(0);
    scene.run("verify app.zip --env RUST_LOG=x").exits(0).says(&["Ignoring `--env RUST_LOG`"]);
}

#[test]
fn an_include_that_matches_nothing_says_what_is_there() {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").text("AWS_LAMBDA_RUNTIME_API").bytes());
    scene.file("config/app.toml", "a = 1").file("w/assets/one.txt", "1").dir("w/hollow");
    let check = |include: &str, help: &str| {
        let ran = scene.run(&format!("check --binary app --include {include}"));
        ran.exits(101).says(&[&format!("`--include {include}` matches nothing\n"), help]);
    };
    check("settings:config", "help: write SRC=DEST: `--include config=settings`");
    check("config:settings", "help: write SRC=DEST: `--include config=settings`");
    scene.run("check --binary app --include config=settings").exits(0);
    check("w/asset", "help: did you mean `--include w/assets`?");
    check("w/nope", "/w` has assets, hollow\n");
    check("w/assets/*.nope", "/w/assets` has one.txt\n");
    check("gone/far", "help: name what is there: `");
    check("w/hollow", "help: put files there first, or remove the `--include`");
}

#[test]
fn an_unknown_package_or_program_says_which_there_are() {
    let scene = workspace();
    let check = |arguments: &str, texts: &[&str]| {
        scene.run(&format!("check {arguments}")).exits(101).says(texts);
    };
    check("-p nope", &["its packages: `a`, `b`\n", "help: name one of these packages: `-p NAME`"]);
    check("--bin nope", &["package `a`: binary `a`", "help: name one of these: `--bin NAME`"]);
}

#[test]
fn a_library_by_half_its_name_is_found() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    scene.c(EMPTY, "app", "");
    for version in ["9", "10"] {
        scene.library(&format!("libs/libfnord.so.{version}"), "int fnord;", "");
    }
    scene.file("libs/libfnord-extra.so.11", "no library");
    let check = |word: &str, help: &str| {
        let ran = scene.run(&format!("check --binary app --library-path libs --dlopen {word}"));
        ran.exits(1).says(&["error[missing-library]", help]);
    };
    for word in ["fnord", "libfnord", "libfnord.so"] {
        check(word, "help: did you mean `--dlopen libfnord.so.10`?");
    }
    scene.run("check --binary app --library-path libs --dlopen libfnord.so.10").exits(0);
    // Another version is another library.
    check("libfnord.so.8", "help: install it on this machine");
    check("fnor", "help: `--dlopen` takes the name of the file");
    // In the system's directories, too.
    if compile::require_library("libz.so.1", "zlib1g") {
        scene.run("check --binary app --dlopen z").says(&["help: did you mean `--dlopen libz.so.1`?"]);
    }
}

#[test]
fn what_ld_preload_names_is_missed() {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").text("AWS_LAMBDA_RUNTIME_API").bytes());
    scene.file("libs/libpre.so.1", Object::library("libpre.so.1").needs("libc.so.6").bytes());
    let check = |value: &str, more: &str, help: &str| {
        let ran =
            scene.run(&format!("check --binary app --library-path libs --env LD_PRELOAD={value} {more}"));
        let ran = ran.exits(0).says(&["app: starts on provided.al2023"]);
        match help {
            "" => ran.keeps_silent_about(&["LD_PRELOAD"]),
            help => ran.says(&[
                &format!("warning[missing-library]: `app` starts without `{value}` of LD_PRELOAD, since nothing has it"),
                &format!("\nhelp: {help}\n"),
            ]),
        };
    };
    check("/var/task/lib/libpre.so.1", "", "ship it: `--dlopen libpre.so.1`");
    check("/var/task/lib/libpre.so.1", "--dlopen libpre.so.1", "");
    check("libpre.so.1", "", "ship it: `--dlopen libpre.so.1`");
    check("libpre.so.1", "--dlopen libpre.so.1", "");
    check("/var/task/x/libpre.so.1", "", "ship it: `--include FILE=x/libpre.so.1`");
    check("/var/task/x/libpre.so.1", "--include libs/libpre.so.1=x/libpre.so.1", "");
    check("/opt/lib/libpre.so.1", "", "name the layer that has it: `--attached-layer ZIP`");
    check("/usr/lib/x/libpre.so.1", "", "ship it, `--dlopen libpre.so.1`, and set `LD_PRELOAD=libpre.so.1`");
    check("libm.so.6", "", "");
    // A static program has no loader that would read it.
    scene.file("app", Object::static_program().text("AWS_LAMBDA_RUNTIME_API").bytes());
    check("libpre.so.1", "", "");
}

#[test]
fn a_library_that_is_too_new_is_not_to_be_linked_statically() {
    if !tools::require("zip", "zip") {
        return;
    }
    let scene = Scene::new();
    let newer =
        |object: Object| object.needs("libc.so.6").imports("gone", Some(("libc.so.6", "GLIBC_2.90"))).bytes();
    scene.file("bootstrap", newer(Object::program().text("AWS_LAMBDA_RUNTIME_API"))).mode("bootstrap", 0o755);
    scene.file("lib/libnew.so.1", newer(Object::library("libnew.so.1")));
    scene.tool("zip", "-r app.zip bootstrap lib").exits(0);
    scene.run("verify app.zip").exits(1).says(&[
        "error[version-too-new]: `bootstrap` needs GLIBC_2.90",
        "help: build it against glibc 2.34 or older, or link it statically to musl\n",
        "error[version-too-new]: `lib/libnew.so.1` needs GLIBC_2.90",
        "help: replace `lib/libnew.so.1` with one that was built against glibc 2.34 or older\n",
    ]);
    let library = scene.run("check --binary lib/libnew.so.1").exits(1);
    library.says(&["help: build it against glibc 2.34 or older\n"]);
}

#[test]
fn patterns_and_codes_that_change_nothing_are_named() {
    let scene = Scene::with_top("");
    let check = |flags: &str, texts: &[&str], silent: &[&str]| {
        let ran = scene.run(&format!("check --binary app --library-path libs {flags}"));
        ran.says(texts).keeps_silent_about(silent);
    };
    for flag in ["--exclude-lib", "--bundle-lib", "--assume-present"] {
        let text = format!("Ignoring `{flag} libtip*`: it matches no library\n");
        check(&format!("{flag} libtip* {flag} libtop*"), &[&text], &["libtop*"]);
        check(&format!("{flag} libtip* -q"), &[], &["Ignoring"]);
    }
    check("--allow shadowed", &["Ignoring `--allow shadowed`: there is no such finding\n"], &[]);
    let text = "Ignoring `--allow missing-library`: an error stays one, only warnings become notes\n";
    scene.run("check --binary app --allow missing-library").exits(1).says(&[text]);
    scene.run("--binary app --library-path libs -o app.zip").exits(0).keeps_silent_about(&["Ignoring"]);
    let ran = scene.run("verify app.zip --assume-present libtip* --allow shadowed,size-limit").exits(0);
    ran.says(&[
        "`--assume-present libtip*`: it matches no",
        "`--allow shadowed`: there is",
        "`--allow size-limit`",
    ]);
}

#[test]
fn a_placeholder_that_nothing_replaces_is_refused() {
    let scene = Scene::with_top("");
    for (flags, text) in [
        (
            "-o {runtime}.zip",
            "error: `{runtime}` of `-o` is not a placeholder\nhelp: use {bin}, {package}, {arch} or {target}\n",
        ),
        ("-o {packge}.zip", "help: did you mean `{package}`?\n"),
        (
            "--sbom {bins}.json",
            "error: `{bins}` of `--sbom` is not a placeholder\nhelp: did you mean `{bin}`?\n",
        ),
        ("--strip --debug-symbols {name}", "error: `{name}` of `--debug-symbols` is not a placeholder\n"),
    ] {
        scene.refuses(2, &format!("--binary app --library-path libs {flags}"), &[text]).prints("");
    }
    // Other braces are part of a name.
    scene.run("--binary app --library-path libs -o {{A.b}}/{bin}.zip").exits(0);
    assert!(scene.has("{{A.b}}/app.zip"));
}

#[test]
fn cargos_variable_for_quiet_counts() {
    let scene = Scene::with_top("").var("CARGO_TERM_QUIET", "true");
    let check = "check --binary app --library-path libs";
    assert_eq!(scene.run(check).exits(0).stderr, "");
    scene.run(&format!("{check} -v")).exits(0).says(&["Checking app"]);
    let scene = Scene::with_top("").var("CARGO_TERM_QUIET", "false");
    scene.run(check).exits(0).says(&["Checked app"]);
}

#[test]
fn a_misspelt_target_is_recognized() {
    let scene = Scene::new();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    scene.file("Cargo.toml", manifest).file("src/main.rs", "fn main() {}\n");
    for (target, meant) in [
        ("x86_64-unkown-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("arm64-unknown-linux-musl", "aarch64-unknown-linux-musl"),
        ("x86-64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"),
    ] {
        let help = format!("help: did you mean `--target {meant}`?\n");
        scene.run(&format!("check --target {target}")).exits(101).says(&["`orders` is not built", &help]);
        scene.run(&format!("check --build --target {target}")).exits(101).says(&["` failed\n", &help]);
    }
    // Other targets have names of their own.
    for target in ["x86_64-alpine-linux-musl", "x86_64-unknown-linux-gnux32", "x86_64-unknown-linux-gnu.2.34"]
    {
        scene.run(&format!("check --target {target}")).exits(101).keeps_silent_about(&["did you mean"]);
    }
}
