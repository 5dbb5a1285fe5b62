//! Elements of a path, tokens in them, and subdirectories for the hardware.

use crate::support::objects::{Has, Tree};
use crate::support::processor;
use crate::support::real_loader::{self, LD_SO};
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::Rules;

use super::{start, tree};

// Elements of a path

#[test]
fn ld_library_path_is_split_at_semicolons_and_rpath_is_not() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"])).library("a/liba.so", Has::nothing());
    t.library("b/libb.so", Has::nothing());
    start(&t).library_path("T/a;T/b").loads(&["liba.so => T/a/liba.so", "libb.so => T/b/libb.so"]);
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/a;T/b"));
    start(&t).loads(&["liba.so => not found", "libb.so => not found"]);
}

#[test]
fn an_empty_element_is_the_current_directory() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("cwd/liba.so", Has::nothing());
    for value in [":", "::", ":T/x", "T/x:", "T/x::T/y", ";"] {
        start(&t).in_directory("cwd").library_path(value).loads(&["liba.so => liba.so"]);
    }
    for value in ["", "T/x"] {
        start(&t).in_directory("cwd").library_path(value).loads(&["liba.so => not found"]);
    }
    for value in ["", ":", "T/x:"] {
        t.program("prog", Has::needed(&["liba.so"]).rpath(value));
        let expected = if value.is_empty() { "liba.so => not found" } else { "liba.so => liba.so" };
        start(&t).in_directory("cwd").loads(&[expected]);
    }
}

#[test]
fn a_relative_element_starts_at_the_current_directory() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("sub"))
        .library("cwd/liba.so", Has::nothing());
    t.library("cwd/sub/libb.so", Has::nothing());
    let expected = ["liba.so => ./liba.so", "libb.so => sub/libb.so"];
    start(&t).in_directory("cwd").library_path(".").loads(&expected);
    let expected = ["liba.so => ../cwd/liba.so", "libb.so => sub/libb.so"];
    start(&t).in_directory("cwd").library_path("../cwd///").loads(&expected);
}

#[test]
fn origin_of_a_library_found_by_a_relative_path_is_absolute() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]));
    t.library("cwd/sub/liba.so", Has::needed(&["libb.so"]).runpath("$ORIGIN/deep"));
    t.library("cwd/sub/deep/libb.so", Has::nothing());
    let expected = ["liba.so => sub/liba.so", "libb.so => T/cwd/sub/deep/libb.so"];
    start(&t).in_directory("cwd").library_path("sub").loads(&expected);
}

#[test]
fn slashes_at_the_end_are_cut_and_others_stay() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("a/b/liba.so", Has::nothing());
    start(&t).library_path("T/a//b//").loads(&["liba.so => T/a//b/liba.so"]);
    start(&t).library_path("T/a/./b/../b").loads(&["liba.so => T/a/./b/../b/liba.so"]);
    start(&t).library_path("/").loads(&["liba.so => not found"]);
}

#[test]
fn directories_that_are_not_there_or_are_files_are_ignored() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("a/liba.so", Has::nothing()).write("file", "text");
    start(&t).library_path("T/none:T/file:T/a").loads(&["liba.so => T/a/liba.so"]);
}

// Tokens

#[test]
fn tokens_are_expanded_with_and_without_braces_and_unknown_ones_stay() {
    let Some(t) = tree() else { return };
    let names = ["lib1.so", "lib2.so", "lib3.so", "lib4.so", "lib5.so", "lib6.so", "lib7.so"];
    t.program(
        "prog",
        Has::needed(&names).runpath(
            "$ORIGIN/one:${ORIGIN}/two:T/$LIB:T/${PLATFORM}:T/$WHAT:$ORIGIN/$LIB/$PLATFORM:T/x${ORIGIN",
        ),
    );
    // GNU ld takes a token in `-rpath` literally.
    let platform = platform();
    let lib = "lib/x86_64-linux-gnu";
    let places = ["one", "two", lib, &platform, "$WHAT", &format!("{lib}/{platform}"), "x${ORIGIN"];
    let mut expected = Vec::new();
    for (name, place) in names.iter().zip(places) {
        t.library(&format!("{place}/{name}"), Has::nothing());
        expected.push(format!("{name} => T/{place}/{name}"));
    }
    start(&t).loads(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

/// `$PLATFORM`, as ld.so tells it.
fn platform() -> String {
    let output = real_loader::pinned(LD_SO).arg("--list-diagnostics").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix("dl_platform=\"")).unwrap();
    value.trim_end_matches('"').to_owned()
}

#[test]
fn a_token_ends_where_no_letter_digit_or_underscore_follows() {
    let Some(t) = tree() else { return };
    let has = Has::needed(&["liba.so", "libb.so", "libc1.so"]);
    t.program("prog", has.runpath("$ORIGINfoo:T/$LIB_:$ORIGIN-x:${ORIGIN}foo"));
    t.library("libb.so", Has::nothing());
    t.library("$LIB_/liba.so", Has::nothing());
    let beside = |end: &str| format!("{}{end}", t.path("").to_str().unwrap());
    for (end, name) in [("-x", "libb.so"), ("foo", "libc1.so")] {
        std::fs::create_dir(beside(end)).unwrap();
        std::fs::copy(t.path("libb.so"), format!("{}/{name}", beside(end))).unwrap();
    }
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        start(&t).loads(&[
            "liba.so => T/$LIB_/liba.so",
            "libb.so => T-x/libb.so",
            "libc1.so => Tfoo/libc1.so",
        ]);
    }));
    for end in ["-x", "foo"] {
        std::fs::remove_dir_all(beside(end)).unwrap();
    }
    answer.unwrap();
}

#[test]
fn a_needed_name_with_a_token_is_known_by_its_expansion() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["$ORIGIN/lib/liba.so", "T/lib/liba.so"]));
    t.library("lib/liba.so", Has::needed(&["${ORIGIN}/libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["T/lib/liba.so => T/lib/liba.so", "T/lib/libb.so => T/lib/libb.so"]);
}

#[test]
fn ld_library_path_expands_tokens_for_the_program() {
    let Some(t) = tree() else { return };
    t.program("bin/prog", Has::needed(&["liba.so"]));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    let expected = ["liba.so => T/bin/../lib/liba.so", "libb.so => T/bin/../lib/libb.so"];
    start(&t).program("bin/prog").library_path("$ORIGIN/../lib").loads(&expected);
}

#[test]
fn origin_resolves_links_to_the_program_and_not_to_libraries() {
    let Some(t) = tree() else { return };
    t.program("real/prog", Has::needed(&["liba.so"]).runpath("$ORIGIN/lib"));
    t.symlink("link/prog", "../real/prog").library("link/lib/liba.so", Has::nothing());
    t.library("real/store/liba.so", Has::needed(&["libb.so"]).runpath("$ORIGIN"));
    t.symlink("real/lib/liba.so", "../store/liba.so");
    t.library("real/lib/libb.so", Has::nothing()).library("real/store/libb.so", Has::nothing());
    let expected = ["liba.so => T/real/lib/liba.so", "libb.so => T/real/lib/libb.so"];
    start(&t).program("link/prog").loads(&expected);
}

// Subdirectories for the hardware

/// The subdirectories that ld.so says it tries in one directory, in order.
fn tried_subdirectories(t: &Tree) -> Vec<String> {
    t.program("tried", Has::needed(&["libtried.so"]));
    let mut command = real_loader::pinned(t.path("tried"));
    command.env("LD_TRACE_LOADED_OBJECTS", "1").env("LD_DEBUG", "libs").env("LD_LIBRARY_PATH", t.path("hw"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text.lines().find(|line| line.contains("(LD_LIBRARY_PATH)")).unwrap();
    let list = line.split_once("search path=").unwrap().1.split_whitespace().next().unwrap();
    let prefix = format!("{}/", t.path("hw").to_str().unwrap());
    let mut tried: Vec<String> = Vec::new();
    for subdirectory in list.split(':').filter_map(|path| path.strip_prefix(&prefix)) {
        if !tried.iter().any(|known| known == subdirectory) {
            tried.push(subdirectory.to_owned());
        }
    }
    tried
}

#[test]
fn hardware_subdirectories_are_those_of_ld_so_in_its_order() {
    let Some(t) = tree() else { return };
    t.directory("hw");
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
    let Rules::Glibc(rules) = processor::of_this_processor(rules, None) else { panic!("glibc's rules") };
    assert_eq!(rules.hwcaps, tried_subdirectories(&t));
}

#[test]
fn default_directories_are_those_of_ld_so_in_its_order() {
    if tree().is_none() {
        return;
    }
    let output = real_loader::pinned(LD_SO).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let real: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_suffix(" (system search path)")).collect();
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    assert_eq!(build_world::glibc_rules(&files, Arch::X86_64).default_dirs, real);
}

#[test]
fn hardware_subdirectories_come_before_their_directory() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/hw")).directory("hw");
    // From the last to the first each displaces the one before it.
    t.library("hw/liba.so", Has::nothing()).library("second/liba.so", Has::nothing());
    start(&t).library_path("T/second").loads(&["liba.so => T/hw/liba.so"]);
    for subdirectory in tried_subdirectories(&t).iter().rev() {
        t.library(&format!("hw/{subdirectory}/liba.so"), Has::nothing());
        start(&t).loads(&[&format!("liba.so => T/hw/{subdirectory}/liba.so")]);
    }
}

#[test]
fn hardware_subdirectories_count_for_runpath_library_path_and_relative_elements() {
    let Some(t) = tree() else { return };
    t.directory("hw");
    // glibc 2.37 has only those of glibc-hwcaps.
    let tls = tried_subdirectories(&t).pop().expect("one at least");
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so"]).runpath("T/run"));
    t.library(&format!("run/{tls}/liba.so"), Has::nothing());
    t.library(&format!("env/{tls}/libb.so"), Has::nothing());
    t.library(&format!("cwd/{tls}/libc1.so"), Has::nothing());
    start(&t).library_path("T/env:").in_directory("cwd").loads(&[
        &format!("liba.so => T/run/{tls}/liba.so"),
        &format!("libb.so => T/env/{tls}/libb.so"),
        &format!("libc1.so => {tls}/libc1.so"),
    ]);
}
