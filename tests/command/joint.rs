//! Several programs of one archive: each with its package's settings, its verdict, and its place in the report.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::command::Ran;
use crate::support::scene::{EMPTY, NEEDS_TOP, Scene};
use crate::support::tools;
use crate::support::workspace::{Workspace, built};
use serde_json::{Value, json};

/// A workspace whose extensions `f00` and `f03` are written to `both.zip`; these lines are added to their tables.
fn extensions(first: &str, second: &str) -> Workspace {
    let scene = Workspace::new();
    let table = "kind = \"extension\"\noutput = \"../both.zip\"\n";
    scene.manifest(0, &format!("{table}{first}"));
    scene.manifest(3, &format!("{table}library-path = [\"../libs\"]\n{second}"));
    scene.file("f00/only-0.txt", "0").file("f03/only-3.txt", "3").file("both.txt", "both");
    scene
}

fn artifacts(ran: &Ran) -> Vec<Value> {
    ran.json()["artifacts"].as_array().unwrap().clone()
}

/// The lines of the table, each with its columns joined by single spaces.
fn table(ran: &Ran) -> Vec<String> {
    let lines = ran.stderr.lines().skip_while(|line| !line.trim_start().starts_with("Summary"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn each_program_of_an_archive_has_its_packages_includes_and_libraries() {
    let first = "include = [\"only-0.txt\", \"../both.txt=both.txt\"]";
    let scene = extensions(first, "include = [\"only-3.txt\", \"../both.txt=both.txt\"]");
    let ran = scene.run("-p f00 -p f03").exits(0);
    let ran = ran.says(&[", 1 library added (libtop.so.1), 3 included files\n"]);
    assert!(ran.stdout.ends_with("/both.zip\n") && ran.stdout.lines().count() == 1, "{ran}");
    assert_eq!(
        scene.names("both.zip"),
        ["both.txt", "extensions/f00", "extensions/f03", "lib/libtop.so.1", "only-0.txt", "only-3.txt"]
    );
    let table = table(&ran);
    assert_eq!(table.len(), 4, "{ran}");
    assert!(table[1].starts_with("f00 starts ") && table[1].ends_with(" kB 0 0"), "{ran}");
    assert!(table[2].starts_with("f03 starts ") && table[2].ends_with(" kB 1 0"), "{ran}");

    let artifacts = artifacts(&scene.run("-p f00 -p f03 --message-format json").exits(0));
    let rows: Vec<Value> = artifacts
        .iter()
        .map(|it| {
            let libraries = it["libraries"].as_array().unwrap().iter();
            let sonames: Vec<&Value> = libraries.map(|library| &library["soname"]).collect();
            json!([it["name"], it["package"], it["role"], it["verdict"], sonames])
        })
        .collect();
    assert_eq!(
        json!(rows),
        json!([
            ["f00", "f00", "extension", "starts", ["ld-linux-x86-64.so.2", "libc.so.6"]],
            ["f03", "f03", "extension", "starts", ["ld-linux-x86-64.so.2", "libc.so.6", "libtop.so.1"]]
        ])
    );
    assert_eq!(artifacts[0]["archive"], artifacts[1]["archive"]);
    assert_eq!(artifacts[0]["archive"]["entries"].as_array().unwrap().len(), 6);
}

#[test]
fn two_includes_for_one_name_are_refused() {
    let scene = extensions("include = [\"only-0.txt=data\"]", "include = [\"only-3.txt=data\"]");
    let ran = scene.run("-p f00 -p f03").exits(101);
    ran.says(&["error: two files would be `data` in the archive: `", "only-0.txt", "only-3.txt"]);
    assert!(!scene.has("both.zip"));
}

#[test]
fn a_program_that_fails_keeps_its_archive_from_being_written() {
    let scene = extensions("", "dlopen = [\"libnosuch.so.1\"]");
    for command in ["", "check"] {
        let ran = scene.run(&format!("{command} -p f00 -p f03")).exits(1);
        let ran = ran.says(&["error[missing-library]: `f03` needs `libnosuch.so.1`"]);
        let table = table(&ran);
        assert!(table[1].starts_with("f00 starts ") && table[2].starts_with("f03 fails "), "{ran}");
    }
    assert!(!scene.has("both.zip"));
    let artifacts = artifacts(&scene.run("-p f00 -p f03 --message-format json").exits(1));
    assert_eq!(json!([artifacts[0]["verdict"], artifacts[1]["verdict"]]), json!(["starts", "fails"]));
    // One archive cannot be half written.
    assert_eq!(json!([artifacts[0]["archive"], artifacts[1]["archive"]]), json!([null, null]));
    // Severities are each program's own, too.
    let scene = extensions("", "deny = [\"dlopen\"]");
    let opens = "#include <dlfcn.h>\nint main(void) { return dlopen(\"libnosuch.so.1\", 1) == 0; }";
    scene.c(opens, &built(0), "").c(opens, &built(3), "");
    scene.run("-p f00 -p f03").exits(1).says(&[
        "warning[dlopen]: `f00` ",
        "error[dlopen]: `f03` ",
        " Stopped a finding about `f03` is denied; nothing was written\n",
    ]);
    assert!(!scene.has("both.zip"));
}

#[test]
fn a_program_that_cannot_be_read_keeps_its_archive_from_being_written() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    scene.c(EMPTY, "one", "").file("two", "no program");
    let both = "--kind extension --binary one --binary two";
    let ran = scene.run(&format!("{both} -o both.zip")).exits(101);
    ran.says(&["error: `", "two` is a text file, not an ELF program"]);
    assert!(!scene.at("both.zip").exists());
    // An archive of its own is written.
    scene.run(&format!("{both} -o {{bin}}.zip")).exits(101);
    assert!(scene.at("one.zip").is_file());
}

#[test]
fn debug_information_is_removed_from_the_programs_whose_packages_say_so() {
    if !tools::require("strip", "binutils") || !tools::require("unzip", "unzip") {
        return;
    }
    for (first, second) in [("", "strip = true"), ("strip = true", "")] {
        let scene = extensions(first, second);
        scene.c(EMPTY, &built(0), "-g");
        scene.c(NEEDS_TOP, &built(3), "-g libs/libtop.so.1");
        scene.run("-p f00 -p f03").exits(0);
        scene.tool("unzip", "-q both.zip -d out").exits(0);
        let has_debug = |name: &str| {
            scene.read(format!("out/extensions/{name}")).windows(11).any(|part| part == b".debug_info")
        };
        assert_eq!([has_debug("f00"), has_debug("f03")], [first.is_empty(), second.is_empty()]);
    }
}

#[test]
fn what_one_archive_has_once_must_be_the_same_for_its_programs() {
    for (setting, first, second) in [
        ("runtime", "runtime = \"python3.13\"", "runtime = \"provided.al2023\""),
        ("runtime", "", "runtime = \"provided.al2\""),
        ("env", "env = [\"LD_BIND_NOW=1\"]", ""),
        ("libc", "", "libc = \"bundle\""),
        ("compression", "", "compression = \"best\""),
    ] {
        let scene = extensions(first, second);
        scene.run("-p f00 -p f03").exits(2).prints("").says(&[
            "error: `f00` and `f03` would both be written to `",
            &format!("/both.zip`, but they do not agree on `{setting}`, which an archive has once"),
            "help: write them to archives of their own: `-o DIR/{bin}.zip`",
        ]);
        assert!(!scene.has("both.zip"));
    }
    let scene = extensions("", "");
    scene.manifest(3, "kind = \"layer\"\noutput = \"../both.zip\"");
    scene.run("-p f00 -p f03").exits(2).says(&["do not agree on `kind`"]);
}

#[test]
fn libraries_alone_are_those_of_every_program() {
    let scene = Workspace::new();
    scene.library("libs/libside.so.1", "int side(void) { return 0; }", "");
    scene.c("int side(void); int main(void) { return side(); }", "other", "libs/libside.so.1");
    let both = "--kind layer --libraries-only --binary with-library --binary other --library-path libs";
    scene
        .run(&format!("{both} -o lay.zip"))
        .exits(0)
        .says(&[", 2 libraries added (libside.so.1, libtop.so.1)\n"]);
    assert_eq!(scene.names("lay.zip"), ["lib/libside.so.1", "lib/libtop.so.1"]);
}
