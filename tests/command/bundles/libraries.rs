//! Programs and libraries of other kinds: musl, static, for some processors, for another machine, doubtful.

use super::check;
use crate::support::compile::{self, CC, Compiler};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;

#[test]
fn a_dynamic_musl_program_has_no_interpreter() {
    if !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    check(Compiler(&["musl-gcc"]), EMPTY, "", "", &[("interpreter-missing", "app", "")]).exits(1).says(&[
        "`/lib/ld-musl-x86_64.so.1`",
        "help: link it statically to musl, or ship musl with `--libc bundle`\n",
    ]);
}

#[test]
fn a_static_pie_with_a_needed_library_crashes() {
    // What rustc's `-musl` targets make of a program that a `-sys` crate links to a shared library.
    let scene = Scene::new();
    scene.library("libtop.so.1", "int top(void) { return 0; }", "");
    let library = scene.at("libtop.so.1");
    let link = format!("-nostdlib -pie -Wl,--no-dynamic-linker -Wl,--no-as-needed {}", library.display());
    check(CC, "void _start(void) {}", &link, "", &[("broken-static-pie", "app", "")]).exits(1).says(&[
        "`app` is linked as a static program but needs `libtop.so.1`\n  nothing loads it, so the program crashes at start\n",
        "help: link the library statically",
    ]);
}

#[test]
fn copies_for_some_processors_must_load_too() {
    let scene = Scene::new();
    scene.library("libs/libfoo.so.1", "int foo(void) { return 0; }", "");
    scene.c("int bar(void) { return 0; }", "bad.so", "-shared -Wl,-soname,libfoo.so.1");
    let main = "int foo(void); int main(void) { return foo(); }";
    scene.c(main, "app", "-Wl,-z,now libs/libfoo.so.1");
    let include = |file: &str, directory: &str| {
        let place = format!("lib/{directory}/libfoo.so.1");
        scene.run(&format!("check --binary app --library-path libs --include {file}={place}"))
    };
    for directory in ["glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "haswell", "tls/haswell"] {
        include("bad.so", directory)
            .exits(1)
            .says(&["error[undefined-symbol]: `app` needs the symbol `foo`"]);
        include("libs/libfoo.so.1", directory).exits(0);
    }
    // Nothing searches there.
    include("bad.so", "other").exits(0);
}

#[test]
fn a_library_of_the_other_architecture_is_named() {
    let scene = Scene::new();
    let cross = Compiler(&["aarch64-linux-gnu-gcc"]);
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    std::fs::create_dir(scene.at("arm")).unwrap();
    cross.compile(
        &scene.at("arm"),
        "int foo(void) { return 0; }",
        "libfoo.so.1",
        "-shared -Wl,-soname,libfoo.so.1",
    );
    cross.compile(&scene.at(""), "int foo(void); int main(void) { return foo(); }", "app", "arm/libfoo.so.1");
    scene.run("check --binary app --library-path arm").exits(0);
    scene.library("x86/libfoo.so.1", "int foo(void) { return 0; }", "");
    scene.run("check --binary app --library-path x86").exits(1).says(&[
        "error[missing-library]: `app` needs `libfoo.so.1`, which provided.al2023 (arm64) does not have\n  `",
        "x86/libfoo.so.1` is for x86_64\nhelp: name a directory that has it for arm64 with `--library-path DIR`",
    ]);
    // The next step.
    scene.run("check --binary app --library-path x86 --library-path arm").exits(0);
}

#[test]
fn data_of_each_thread_is_no_plain_data() {
    let scene = Scene::new();
    scene.library("new/libfoo.so.1", "int data = 1;", "");
    scene.library("libs/libfoo.so.1", "__thread int data = 1;", "");
    scene.c("extern int data; int main(void) { return data; }", "app", "new/libfoo.so.1");
    scene.run("check --binary app --library-path libs").exits(0).says(&[
        "warning[undefined-symbol]: `app` needs the symbol `data` as plain data, but `libfoo.so.1` has thread-local data\n",
    ]);
    scene.run("check --binary app --library-path new").keeps_silent_about(&["undefined-symbol"]);
}

#[test]
fn links_and_tokens_lead_to_copies_for_some_processors() {
    let scene = Scene::new();
    scene.library("libs/libfoo.so.1", "int foo(void) { return 0; }", "");
    let main = "int foo(void); int main(void) { return foo(); }";
    scene.c(main, "app", "-Wl,-z,now libs/libfoo.so.1");
    for (link, target, copy) in [
        ("haswell", "any", "any"),
        ("glibc-hwcaps/x86-64-v4", "any", "glibc-hwcaps/any"),
        ("glibc-hwcaps", "any", "any/x86-64-v4"),
    ] {
        let tree = Scene::new();
        tree.library(&format!("lib/{copy}/libfoo.so.1"), "int bar(void) { return 0; }", "");
        tree.link(target, format!("lib/{link}"));
        let lib = tree.at("lib").display().to_string();
        let include = format!("{{\"from\":\"{lib}\",\"to\":\"lib\",\"symlinks\":\"keep\"}}");
        let arguments = format!("check --binary app --library-path libs --include {include}");
        scene.run(&arguments).exits(1).says(&["error[undefined-symbol]: `app` needs the symbol `foo`"]);
    }

    // The directory is x86_64 on one processor and haswell on another.
    let include = "check --binary app --library-path libs --include libs/libfoo.so.1=any/x86_64/libfoo.so.1";
    let path = "--env LD_LIBRARY_PATH=/var/task/any/$PLATFORM --exclude-lib libfoo.so.1";
    let missing = ["error[missing-library]: `app` needs `libfoo.so.1`"];
    scene.run(&format!("{include} {path}")).exits(1).says(&missing);
    let both = "--include libs/libfoo.so.1=any/haswell/libfoo.so.1";
    scene.run(&format!("{include} {both} {path}")).exits(0);

    scene.c(
        "int foo(void) { return 0; }",
        "named.so",
        "-shared -Wl,-soname,$ORIGIN/any/$PLATFORM/libfoo.so.1",
    );
    scene.c(main, "app", "-Wl,-z,now named.so");
    let missing = ["error[missing-library]: `app` needs `/var/task/any/haswell/libfoo.so.1`"];
    scene.run(include).exits(1).says(&missing);
    scene.run(&format!("{include} {both}")).exits(0);
}

#[test]
fn a_doubtful_library_is_shipped_and_noted() {
    if !compile::require_debian_12() {
        return;
    }
    let link = "-Wl,--no-as-needed -l:liblz4.so.1";
    let ran = check(CC, EMPTY, link, "-v", &[("doubtful-library", "app", "liblz4.so.1")]).exits(0);
    let line = ran.line("Shipping", "liblz4.so.1");
    assert!(line.contains("needed by app; perhaps not on provided.al2023; from /"), "{line}");
    ran.says(&["note[doubtful-library]: it is doubtful whether provided.al2023 (x86_64) has `liblz4.so.1`"]);
}

#[test]
fn the_first_runtime_has_no_arm64() {
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    let compiler = Compiler(&["aarch64-linux-gnu-gcc"]);
    check(compiler, EMPTY, "", "--runtime provided", &[("wrong-arch", "app", "")]).exits(1).says(&[
        "`app` is for arm64, which the runtime provided does not offer\n",
        "help: choose another runtime: `--runtime provided.al2023`\n",
        "nothing was written",
    ]);
    check(compiler, EMPTY, "", "--arch x86_64", &[("wrong-arch", "app", "")])
        .exits(1)
        .says(&["`app` is for arm64, but `--arch x86_64` is set\n"]);
}

#[test]
fn all_runtimes_are_a_report_and_the_configured_one_decides() {
    let scene = Scene::new();
    scene.c(EMPTY, "app", "");
    let ran = scene.run("check --binary app --runtime all --message-format json").exits(0);
    let document = ran.json();
    let artifacts = document["artifacts"].as_array().unwrap();
    let verdicts: Vec<String> = artifacts
        .iter()
        .map(|artifact| {
            format!("{} {}", artifact["runtime"].as_str().unwrap(), artifact["verdict"].as_str().unwrap())
        })
        .collect();
    assert_eq!(verdicts, ["provided.al2023 starts", "provided.al2 fails", "provided fails"], "{ran}");
    assert!(artifacts.iter().all(|artifact| artifact["archive"].is_null()), "{ran}");
}

#[test]
fn the_report_names_the_file_that_is_shipped() {
    if !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    let new = "unsigned arc4random(void); int fq(void) { return arc4random() != 0; }";
    for (directory, source) in [("new", new), ("old", "int fq(void) { return 1; }")] {
        scene.library(&format!("{directory}/libfq.so.1"), source, "");
    }
    scene.c("int fq(void); int main(void) { return fq(); }", "app", "new/libfq.so.1");
    let root = scene.path().canonicalize().unwrap();
    let root = root.display();
    let arguments = "--binary app --library-path new --library-path old -o app.zip";
    let ran = scene.run(&format!("{arguments} -v")).exits(0);
    let expected = format!("; from {root}/old/libfq.so.1, instead of {root}/new/libfq.so.1");
    assert!(ran.line("Shipping", "libfq.so.1").ends_with(&expected), "{ran}");
    let ran = scene.run(&format!("{arguments} --force --message-format json")).exits(0);
    let libraries = ran.json()["artifacts"][0]["libraries"].clone();
    let fq = libraries.as_array().unwrap().iter().find(|it| it["soname"] == "libfq.so.1").unwrap();
    assert_eq!(fq["source"], format!("{root}/old/libfq.so.1"));
    assert_eq!(fq["build_path"], format!("{root}/new/libfq.so.1"));
}
