//! The rules of musl's loader, each asked of the model and of the real one of Debian's `musl` package.
//!
//! Every row makes small objects with GNU ld and writes down what has to load. Both sides must say so.
//!
//! Rules without a row, and why:
//! - A file that may not be read is passed over: root may read everything, and what `disk` says then has its
//!   row in `ld_so`.
//! - A library of another machine or class: musl maps it without a look and then crashes or not. The model
//!   ends with the file that was found, which is what musl takes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::objects::{Has, MUSL, Tree};
use crate::support::real_loader::{self, MuslAnswer};
use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader;
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::paths::parent;
use cargo_lambda_bundle::world::{Files, Opened};

#[track_caller]
fn tree() -> Option<Tree> {
    let musl = Path::new(MUSL.interpreter).exists() || tools::skip("musl's loader (apt: musl)");
    let able = musl && tools::require("ld", "binutils") && tools::require("as", "binutils");
    able.then(|| Tree::new(MUSL))
}

/// What loads, and what is missing, when `T/prog` starts.
struct Start<'a> {
    tree: &'a Tree,
    library_path: Option<&'a str>,
    directory: &'a str,
}

fn start(tree: &Tree) -> Start<'_> {
    Start { tree, library_path: None, directory: "" }
}

impl<'a> Start<'a> {
    fn library_path(self, value: &'a str) -> Self {
        Start { library_path: Some(value), ..self }
    }

    fn in_directory(self, directory: &'a str) -> Self {
        Start { directory, ..self }
    }

    fn answers(&self) -> [(&'static str, MuslAnswer); 2] {
        let library_path = self.library_path.map(|value| self.tree.long(value));
        let (path, directory) = (self.tree.path("prog"), self.tree.path(self.directory));
        let mut command = real_loader::pinned(MUSL.interpreter);
        command.arg("--list").arg(&path).current_dir(&directory);
        if let Some(value) = &library_path {
            command.env("LD_LIBRARY_PATH", value);
        }
        let real = real_loader::read_musl_list(&command.output().unwrap());

        let files = DiskFiles::new(None, Vec::new(), Vec::new());
        let path = path.to_str().unwrap();
        let Opened::File(root) = files.open(path) else { panic!("{path} is there") };
        let rules = build_world::rules(&files, Arch::X86_64, Libc::Musl);
        let working_directory = directory.to_str().unwrap().to_owned();
        let world = World { files: &files, rules, library_path, working_directory };
        let closure = loader::walk(&world, path, parent(path), root, &[]);
        assert!(loader::check_versions(&closure, &world.rules).is_empty());
        [("model", real_loader::musl_answer_of(&closure)), ("musl", real)].map(|(side, answer)| {
            let short = |lines: Vec<String>| lines.iter().map(|line| self.tree.short(line)).collect();
            (side, MuslAnswer { objects: short(answer.objects), missing: short(answer.missing) })
        })
    }

    #[track_caller]
    fn loads(self, expected: &[&str]) {
        self.loads_and_misses(expected, &[]);
    }

    #[track_caller]
    fn loads_and_misses(self, expected: &[&str], missing: &[&str]) {
        for (side, answer) in self.answers() {
            assert_eq!(answer.objects, expected, "{side}");
            assert_eq!(answer.missing, missing, "{side}");
        }
    }
}

#[test]
fn ld_library_path_comes_before_rpath_and_runpath() {
    let Some(t) = tree() else { return };
    t.library("x/liba.so", Has::nothing()).library("env/liba.so", Has::nothing());
    for has in [Has::needed(&["liba.so"]).rpath("T/x"), Has::needed(&["liba.so"]).runpath("T/x")] {
        t.program("prog", has);
        start(&t).loads(&["liba.so => T/x/liba.so"]);
        start(&t).library_path("T/env").loads(&["liba.so => T/env/liba.so"]);
        start(&t).library_path("T/none").loads(&["liba.so => T/x/liba.so"]);
    }
}

#[test]
fn runpath_is_inherited_like_rpath_also_through_an_object_that_has_its_own() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so", "libd.so"]).runpath("T/a"));
    t.library("a/libb.so", Has::needed(&["libe.so", "libf.so"]));
    t.library("a/libd.so", Has::nothing()).library("p/libd.so", Has::nothing());
    t.library("p/libe.so", Has::nothing()).library("a/libf.so", Has::nothing());
    start(&t).loads(&[
        "liba.so => T/p/liba.so",
        "libb.so => T/a/libb.so",
        "libd.so => T/a/libd.so",
        "libe.so => T/p/libe.so",
        "libf.so => T/a/libf.so",
    ]);
}

#[test]
fn runpath_replaces_rpath_of_the_same_object() {
    let Some(t) = tree() else { return };
    const DT_RPATH: u64 = 15;
    t.program("prog", Has::needed(&["liba.so", "T/rpath"]).runpath("T/runpath"));
    t.add_dynamic("prog", DT_RPATH, "T/rpath");
    t.library("rpath/liba.so", Has::nothing());
    start(&t).loads_and_misses(&[], &["liba.so (needed by T/prog)", "T/rpath (needed by T/prog)"]);
}

#[test]
fn the_names_of_the_c_library_are_musl_itself() {
    let Some(t) = tree() else { return };
    let names =
        ["libc.so", "libc.so.6", "libpthread.so.0", "libm.so.6", "librt.so.1", "libdl.so.2", "libutil.so.1"];
    let others = ["libxnet.so", "libc.musl-x86_64.so.1", "libcrypt.so.1", "libresolv.so.2"];
    t.program("prog", Has::needed(&[&names[..], &others].concat()).rpath("T/x"));
    for name in names.iter().chain(&others) {
        t.library(&format!("x/{name}"), Has::nothing());
    }
    start(&t).loads(&["libcrypt.so.1 => T/x/libcrypt.so.1", "libresolv.so.2 => T/x/libresolv.so.2"]);
}

#[test]
fn a_c_library_by_another_name_is_musl_itself() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&[MUSL.interpreter, "T/x/copy.so", "libcopy.so"]).rpath("T/x"));
    t.directory("x");
    for name in ["copy.so", "libcopy.so"] {
        tools::copy_program(MUSL.interpreter, t.path("x").join(name));
    }
    start(&t).loads(&[]);
}

#[test]
fn origin_is_expanded_and_any_other_token_drops_the_whole_path() {
    let Some(t) = tree() else { return };
    t.library("x/liba.so", Has::nothing()).library("x/y/liba.so", Has::nothing());
    let missing = ["liba.so (needed by T/prog)"];
    let cases: [(&str, Option<&str>); 6] = [
        ("$ORIGIN/x", Some("T/x")),
        ("T/none:${ORIGIN}/x/y", Some("T/x/y")),
        ("T/x:$LIB", None),
        ("T/x:$ORIGIN/$PLATFORM", None),
        ("T/x:T/$", None),
        ("$ORIGIN/x/y:$ORIGIN/x", Some("T/x/y")),
    ];
    for (value, place) in cases {
        t.program("prog", Has::needed(&["liba.so"]).rpath(value));
        match place {
            Some(place) => start(&t).loads(&[&format!("liba.so => {place}/liba.so")]),
            None => start(&t).loads_and_misses(&[], &missing),
        }
    }
}

#[test]
fn origin_needs_no_end() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/x"));
    t.library("x/liba.so", Has::needed(&["libb.so"]).rpath("$ORIGINy")).library("xy/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/x/liba.so", "libb.so => T/xy/libb.so"]);
}

#[test]
fn origin_does_not_resolve_links_to_libraries() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/link"));
    t.library("store/liba.so", Has::needed(&["libb.so"]).rpath("$ORIGIN"))
        .symlink("link/liba.so", "../store/liba.so");
    t.library("store/libb.so", Has::nothing()).library("link/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/link/liba.so", "libb.so => T/link/libb.so"]);
}

#[test]
fn origin_of_a_program_that_the_kernel_started_is_resolved() {
    let Some(t) = tree() else { return };
    t.program("real/prog", Has::needed(&["liba.so"]).rpath("$ORIGIN")).symlink("prog", "real/prog");
    t.library("real/liba.so", Has::nothing());
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    // Asked with --list musl goes by the name it was given.
    let missing = ["liba.so (needed by T/prog)"];
    start(&t).loads_and_misses(&[], &missing);
}

#[test]
fn ld_library_path_has_no_tokens() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("$ORIGIN/liba.so", Has::nothing());
    start(&t).library_path("T/$ORIGIN").loads(&["liba.so => T/$ORIGIN/liba.so"]);
}

#[test]
fn paths_are_split_at_colons_and_newlines_and_empty_elements_are_nothing() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libd.so"])).library("cwd/libd.so", Has::nothing());
    t.library("a/liba.so", Has::nothing()).library("b/libb.so", Has::nothing());
    let missing = ["libd.so (needed by T/prog)"];
    let found = ["liba.so => T/a/liba.so", "libb.so => T/b/libb.so"];
    for value in ["T/a:T/b", "T/none::T/a:\nT/b", ":T/a:T/b:"] {
        let value = t.long(value).replace("\nT", &format!("\n{}", t.path("").display()));
        start(&t).in_directory("cwd").library_path(&value).loads_and_misses(&found, &missing);
    }
    start(&t)
        .in_directory("cwd")
        .library_path("T/b;T/a:../a:../b")
        .loads_and_misses(&["liba.so => ../a/liba.so", "libb.so => ../b/libb.so"], &missing);
    start(&t).in_directory("cwd").library_path(".:T/a:T/b/").loads(&[
        "liba.so => T/a/liba.so",
        "libb.so => T/b//libb.so",
        "libd.so => ./libd.so",
    ]);
}

#[test]
fn the_first_file_that_opens_is_taken_whatever_it_is() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/x:T/y"));
    t.write("x/liba.so", "text ".repeat(40)).directory("x/libb.so");
    t.library("y/liba.so", Has::nothing()).library("y/libb.so", Has::nothing());
    start(&t).loads_and_misses(&[], &["liba.so (needed by T/prog)", "libb.so (needed by T/prog)"]);
}

#[test]
fn a_soname_counts_for_nothing() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["T/x/file.so", "libname.so"]).rpath("T/y"));
    t.library("x/file.so", Has::nothing().soname("libname.so")).library("y/libname.so", Has::nothing());
    start(&t).loads(&["T/x/file.so => T/x/file.so", "libname.so => T/y/libname.so"]);
}

#[test]
fn a_file_found_by_search_answers_to_its_file_name_and_one_found_by_path_does_not() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["T/z/liba.so", "liba.so", "libb.so"]).rpath("T/x"));
    t.library("z/liba.so", Has::nothing()).library("x/liba.so", Has::nothing());
    t.library("x/libb.so", Has::needed(&["liba.so"]).rpath("T/z"));
    start(&t).loads(&["T/z/liba.so => T/z/liba.so", "liba.so => T/x/liba.so", "libb.so => T/x/libb.so"]);
}

#[test]
fn a_file_loaded_by_path_and_then_found_by_search_is_one_object() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["T/x/liba.so", "liba.so", "libb.so"]).rpath("T/x"));
    // Found once, it has its name: the other liba.so is not looked for.
    t.library("x/liba.so", Has::nothing()).library("x/libb.so", Has::needed(&["liba.so"]).rpath("T/z"));
    t.library("z/liba.so", Has::nothing());
    start(&t).loads(&["T/x/liba.so => T/x/liba.so", "libb.so => T/x/libb.so"]);
}

#[test]
fn a_link_to_a_loaded_file_is_that_object_and_its_name_is_looked_for_again() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "liblink.so", "libb.so"]).rpath("T/x"));
    t.library("x/liba.so", Has::nothing()).symlink("x/liblink.so", "liba.so");
    t.library("x/libb.so", Has::needed(&["liblink.so"]).rpath("T/z")).library("z/liblink.so", Has::nothing());
    start(&t).loads(&["liba.so => T/x/liba.so", "libb.so => T/x/libb.so", "liblink.so => T/z/liblink.so"]);
}

#[test]
fn a_dangling_link_is_passed_over_and_one_without_end_ends_the_search() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/x:T/y"));
    t.symlink("x/liba.so", "nowhere").symlink("x/libb.so", "libb.so");
    t.library("y/liba.so", Has::nothing()).library("y/libb.so", Has::nothing());
    start(&t).loads_and_misses(&["liba.so => T/y/liba.so"], &["libb.so (needed by T/prog)"]);
}

#[test]
fn a_name_with_a_slash_is_opened_as_it_is() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["./liba.so", "sub/libb.so", "none/libd.so"]).rpath("T/x"));
    t.library("cwd/liba.so", Has::nothing()).library("cwd/sub/libb.so", Has::nothing());
    t.library("x/none/libd.so", Has::nothing());
    start(&t).in_directory("cwd").loads_and_misses(
        &["./liba.so => ./liba.so", "sub/libb.so => sub/libb.so"],
        &["none/libd.so (needed by T/prog)"],
    );
}

#[test]
fn filters_version_nodes_and_hardware_subdirectories_are_not_looked_at() {
    let Some(t) = tree() else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    let has = Has::nothing().references(&["in_0"], "x/libv.so").options(&["-f", "libx.so", "-F", "liby.so"]);
    t.library("x/liba.so", has);
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V2"]));
    t.library("x/tls/libv.so", Has::nothing()).library("x/glibc-hwcaps/x86-64-v2/libv.so", Has::nothing());
    start(&t).loads(&["liba.so => T/x/liba.so", "libv.so => T/x/libv.so"]);
}

#[test]
fn objects_load_breadth_first() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/x"));
    t.library("x/liba.so", Has::needed(&["libd.so", "libe.so"]))
        .library("x/libb.so", Has::needed(&["libe.so", "liba.so"]));
    t.library("x/libd.so", Has::needed(&["libf.so"])).library("x/libe.so", Has::nothing());
    t.library("x/libf.so", Has::needed(&["libb.so"]));
    let expected: Vec<String> =
        ["a", "b", "d", "e", "f"].map(|name| format!("lib{name}.so => T/x/lib{name}.so")).to_vec();
    start(&t).loads(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_directories_are_those_of_the_path_file_or_the_built_in_ones() {
    let Some(t) = tree() else { return };
    if !tools::require_namespaces() {
        return;
    }
    t.program("prog", Has::needed(&["liba.so"])).directory("lib").directory("etc");
    tools::copy_program(MUSL.interpreter, t.path("lib/ld-musl-x86_64.so.1"));
    for dir in ["lib", "usr/local/lib", "usr/lib", "opt/a", "opt/b"] {
        t.library(&format!("{dir}/liba.so"), Has::nothing());
    }
    let check = |expected: &str| {
        let output = real_loader::pinned("chroot")
            .arg(t.path(""))
            .args([MUSL.interpreter, "--list", "/prog"])
            .output();
        let real = real_loader::read_musl_list(&output.unwrap());
        let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
        let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
        let Opened::File(root) = files.open("/prog") else { panic!("/prog is there") };
        let rules = build_world::rules(&files, Arch::X86_64, Libc::Musl);
        let world = World { files: &files, rules, library_path: None, working_directory: "/".into() };
        let model = real_loader::musl_answer_of(&loader::walk(&world, "/prog", "/", root, &[]));
        assert_eq!(model, real);
        assert_eq!(real.objects.first().map_or("", String::as_str), expected);
    };
    check("liba.so => /lib/liba.so");
    t.remove("lib/liba.so");
    check("liba.so => /usr/local/lib/liba.so");
    t.remove("usr/local/lib/liba.so");
    check("liba.so => /usr/lib/liba.so");
    t.write("etc/ld-musl-x86_64.path", "/opt/none:/opt/a\n/opt/b\n");
    check("liba.so => /opt/a/liba.so");
    t.remove("opt/a/liba.so");
    check("liba.so => /opt/b/liba.so");
    t.write("etc/ld-musl-x86_64.path", "");
    check("");
}
