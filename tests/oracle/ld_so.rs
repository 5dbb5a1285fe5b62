//! The rules of glibc's ld.so, each asked of the model and of the real ld.so of this machine.
//!
//! Every row makes small objects with GNU ld and writes down what has to load. Both sides must say so.
//!
//! Rules without a row, and why:
//! - The kernel refuses a program of another machine before any loader runs; `elf` and `audit` judge that.
//! - A secure (setuid) start: Lambda has none.
//! - An ABI note that asks for a newer kernel, and offsets that do not fit `p_align`: ld.so stopped looking at
//!   them in 2.35, and here is 2.36. `tests/plan.rs` has rows for the model alone.
//! - An ISA level above the CPU's: machines that run this have every level that can be asked for.
//! - An unknown `vn_version` or `vd_version`: `elf` takes such a file for broken, ld.so as well.
//! - Symbols: `tests/symbols.rs` asks `ldd -r`.
//! - DT_RELR without GLIBC_ABI_DT_RELR, which 2.36 refuses: no rule of any glibc on Lambda; `audit` judges it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::Command;

use crate::support::objects::{ARM64, Has, Tree, X86_64};
use crate::support::processor;
use crate::support::real_loader::{self, Answer, LD_SO};
use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, DF_1_PIE, Libc, Linkage};
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{self, Closure, Rules};
use cargo_lambda_bundle::world::{Files, Opened};

/// A tree to put objects in, if this machine has the tools.
#[track_caller]
fn tree(test: &str) -> Option<Tree> {
    let glibc = Path::new(LD_SO).exists() || tools::skip(test, "glibc's ld.so (apt: libc6)");
    let able = glibc && tools::require(test, "ld", "binutils") && tools::require(test, "as", "binutils");
    able.then(|| Tree::new(X86_64))
}

/// One question: what loads when `T/prog` starts.
struct Start<'a> {
    tree: &'a Tree,
    program: &'a str,
    library_path: Option<&'a str>,
    directory: &'a str,
}

fn start(tree: &Tree) -> Start<'_> {
    Start { tree, program: "prog", library_path: None, directory: "" }
}

impl<'a> Start<'a> {
    fn program(self, program: &'a str) -> Self {
        Start { program, ..self }
    }

    fn library_path(self, value: &'a str) -> Self {
        Start { library_path: Some(value), ..self }
    }

    fn in_directory(self, directory: &'a str) -> Self {
        Start { directory, ..self }
    }

    fn walk(&self) -> (Closure, Rules) {
        let files = DiskFiles::new(None, Vec::new(), Vec::new());
        let path = self.tree.path(self.program);
        let Opened::File(root) = files.open(path.to_str().unwrap()) else { panic!("{path:?} is there") };
        // The kernel's link to the running program has no links in it.
        let origin = path.canonicalize().unwrap().parent().unwrap().to_str().unwrap().to_owned();
        let world = World {
            rules: processor::of_this_processor(
                build_world::rules(&files, Arch::X86_64, Libc::Glibc),
                Some(Path::new("/etc/ld.so.cache")),
            ),
            files: &files,
            library_path: self.library_path.map(|value| self.tree.long(value)),
            working_directory: self.tree.path(self.directory).to_str().unwrap().to_owned(),
        };
        let closure = loader::walk(&world, path.to_str().unwrap(), &origin, root, &[]);
        (closure, world.rules)
    }

    /// Both answers, in terms of `T`; of a fatal file its name counts, since ld.so does not always tell where.
    fn answers(&self) -> [(&'static str, Answer); 2] {
        let (closure, rules) = self.walk();
        let library_path = self.library_path.map(|value| self.tree.long(value));
        let real = real_loader::ask_by_start(
            &self.tree.path(self.program),
            library_path.as_deref(),
            &self.tree.path(self.directory),
        );
        [("model", real_loader::answer_of(&closure, &rules)), ("ld.so", real)].map(|(side, answer)| {
            let short = |lines: Vec<String>| lines.iter().map(|line| self.tree.short(line)).collect();
            let fatal = answer.fatal.map(|why| match why.split_once(": ") {
                Some((path, reason)) => format!("{}: {reason}", path.rsplit('/').next().unwrap()),
                None => why,
            });
            (side, Answer { objects: short(answer.objects), versions: short(answer.versions), fatal })
        })
    }

    #[track_caller]
    fn loads(self, expected: &[&str]) {
        for (side, answer) in self.answers() {
            assert_eq!(answer.fatal, None, "{side}");
            assert_eq!(answer.objects, expected, "{side}");
            assert_eq!(answer.versions, [""; 0], "{side}");
        }
    }

    /// What ld.so says about version nodes.
    #[track_caller]
    fn says(self, expected: &[&str]) {
        for (side, answer) in self.answers() {
            assert_eq!(answer.fatal, None, "{side}");
            assert_eq!(answer.versions, expected, "{side}");
        }
    }

    /// The start ends with this message.
    #[track_caller]
    fn fails(self, expected: &str) {
        for (side, answer) in self.answers() {
            let fatal = answer.fatal.unwrap_or_else(|| panic!("{side} loads {:?}", answer.objects));
            assert_eq!(fatal, expected, "{side}");
        }
    }
}

// Search order

#[test]
fn rpath_of_the_program_serves_its_libraries() {
    let Some(t) = tree("rpath_of_the_program_serves_its_libraries") else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/lib"));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/lib/liba.so", "libb.so => T/lib/libb.so"]);
}

#[test]
fn rpath_of_the_needing_object_comes_first_then_of_its_loader_then_of_the_program() {
    let Some(t) = tree("rpath_of_the_needing_object_comes_first") else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so"]).rpath("T/a"));
    t.library("a/libb.so", Has::needed(&["libc1.so", "libc2.so", "libc3.so"]).rpath("T/b"));
    for dir in ["b", "a", "p"] {
        t.library(&format!("{dir}/libc3.so"), Has::nothing());
    }
    t.library("a/libc2.so", Has::nothing()).library("p/libc2.so", Has::nothing());
    t.library("p/libc1.so", Has::nothing());
    start(&t).loads(&[
        "liba.so => T/p/liba.so",
        "libb.so => T/a/libb.so",
        "libc1.so => T/p/libc1.so",
        "libc2.so => T/a/libc2.so",
        "libc3.so => T/b/libc3.so",
    ]);
}

#[test]
fn rpath_is_inherited_from_the_first_loader_only() {
    let Some(t) = tree("rpath_is_inherited_from_the_first_loader_only") else { return };
    // libc.so has no RPATH and is loaded by liba.so; that libb.so needs it too does not count.
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libc1.so"]).rpath("T/p"));
    t.library("p/libb.so", Has::needed(&["libc1.so"]).rpath("T/b"));
    t.library("p/libc1.so", Has::needed(&["libd.so"])).library("b/libd.so", Has::nothing());
    start(&t).loads(&[
        "liba.so => T/p/liba.so",
        "libb.so => T/p/libb.so",
        "libc1.so => T/p/libc1.so",
        "libd.so => not found",
    ]);
}

#[test]
fn an_object_with_runpath_ignores_every_rpath() {
    let Some(t) = tree("an_object_with_runpath_ignores_every_rpath") else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so"]).runpath("/nowhere"))
        .library("p/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/p/liba.so", "libb.so => not found"]);
}

#[test]
fn rpath_goes_on_below_an_object_with_runpath() {
    let Some(t) = tree("rpath_goes_on_below_an_object_with_runpath") else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so"]).runpath("T/a"));
    t.library("a/libb.so", Has::needed(&["libc1.so"])).library("p/libc1.so", Has::nothing());
    start(&t).loads(&["liba.so => T/p/liba.so", "libb.so => T/a/libb.so", "libc1.so => T/p/libc1.so"]);
}

#[test]
fn runpath_is_not_inherited() {
    let Some(t) = tree("runpath_is_not_inherited") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/lib"));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/lib/liba.so", "libb.so => not found"]);
}

#[test]
fn rpath_is_dropped_beside_runpath() {
    let Some(t) = tree("rpath_is_dropped_beside_runpath") else { return };
    const DT_RPATH: u64 = 15;
    t.program("prog", Has::needed(&["liba.so"]).soname("T/rpath").runpath("T/runpath"));
    t.add_dynamic("prog", DT_RPATH, "T/rpath");
    t.library("rpath/liba.so", Has::nothing());
    start(&t).loads(&["liba.so => not found"]);
    // Nor does it serve an object below that would inherit it.
    t.library("runpath/liba.so", Has::needed(&["libb.so"])).library("rpath/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/runpath/liba.so", "libb.so => not found"]);
}

#[test]
fn ld_library_path_comes_behind_rpath_and_before_runpath() {
    let Some(t) = tree("ld_library_path_comes_behind_rpath_and_before_runpath") else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/x"));
    t.program("prog2", Has::needed(&["liba.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::nothing()).library("env/liba.so", Has::nothing());
    start(&t).library_path("T/env").loads(&["liba.so => T/x/liba.so"]);
    start(&t).program("prog2").library_path("T/env").loads(&["liba.so => T/env/liba.so"]);
}

#[test]
fn ld_library_path_comes_before_the_cache_and_the_default_directories() {
    let Some(t) = tree("ld_library_path_comes_before_the_cache") else { return };
    t.program("prog", Has::needed(&["libz.so.1"])).library("env/libz.so.1", Has::nothing());
    start(&t).library_path("T/env").loads(&["libz.so.1 => T/env/libz.so.1"]);
}

#[test]
fn nodeflib_leaves_out_the_default_directories_and_their_cache_entries() {
    let Some(t) = tree("nodeflib_leaves_out_the_default_directories") else { return };
    t.program(
        "prog",
        Has::needed(&["libgcc_s.so.1", "liba.so"]).options(&["-z", "nodefaultlib"]).rpath("T/x"),
    );
    t.library("x/liba.so", Has::nothing());
    start(&t).loads(&["libgcc_s.so.1 => not found", "liba.so => T/x/liba.so"]);
}

// Elements of a path

#[test]
fn ld_library_path_is_split_at_semicolons_and_rpath_is_not() {
    let Some(t) = tree("ld_library_path_is_split_at_semicolons") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"])).library("a/liba.so", Has::nothing());
    t.library("b/libb.so", Has::nothing());
    start(&t).library_path("T/a;T/b").loads(&["liba.so => T/a/liba.so", "libb.so => T/b/libb.so"]);
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/a;T/b"));
    start(&t).loads(&["liba.so => not found", "libb.so => not found"]);
}

#[test]
fn an_empty_element_is_the_current_directory() {
    let Some(t) = tree("an_empty_element_is_the_current_directory") else { return };
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
    let Some(t) = tree("a_relative_element_starts_at_the_current_directory") else { return };
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
    let Some(t) = tree("origin_of_a_library_found_by_a_relative_path_is_absolute") else { return };
    t.program("prog", Has::needed(&["liba.so"]));
    t.library("cwd/sub/liba.so", Has::needed(&["libb.so"]).runpath("$ORIGIN/deep"));
    t.library("cwd/sub/deep/libb.so", Has::nothing());
    let expected = ["liba.so => sub/liba.so", "libb.so => T/cwd/sub/deep/libb.so"];
    start(&t).in_directory("cwd").library_path("sub").loads(&expected);
}

#[test]
fn slashes_at_the_end_are_cut_and_others_stay() {
    let Some(t) = tree("slashes_at_the_end_are_cut_and_others_stay") else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("a/b/liba.so", Has::nothing());
    start(&t).library_path("T/a//b//").loads(&["liba.so => T/a//b/liba.so"]);
    start(&t).library_path("T/a/./b/../b").loads(&["liba.so => T/a/./b/../b/liba.so"]);
    start(&t).library_path("/").loads(&["liba.so => not found"]);
}

#[test]
fn directories_that_are_not_there_or_are_files_are_ignored() {
    let Some(t) = tree("directories_that_are_not_there_or_are_files_are_ignored") else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("a/liba.so", Has::nothing()).write("file", "text");
    start(&t).library_path("T/none:T/file:T/a").loads(&["liba.so => T/a/liba.so"]);
}

// Tokens

#[test]
fn tokens_are_expanded_with_and_without_braces_and_unknown_ones_stay() {
    let Some(t) = tree("tokens_are_expanded_with_and_without_braces") else { return };
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
    let Some(t) = tree("a_token_ends_where_no_letter_follows") else { return };
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
    let Some(t) = tree("a_needed_name_with_a_token_is_known_by_its_expansion") else { return };
    t.program("prog", Has::needed(&["$ORIGIN/lib/liba.so", "T/lib/liba.so"]));
    t.library("lib/liba.so", Has::needed(&["${ORIGIN}/libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["T/lib/liba.so => T/lib/liba.so", "T/lib/libb.so => T/lib/libb.so"]);
}

#[test]
fn ld_library_path_expands_tokens_for_the_program() {
    let Some(t) = tree("ld_library_path_expands_tokens_for_the_program") else { return };
    t.program("bin/prog", Has::needed(&["liba.so"]));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    let expected = ["liba.so => T/bin/../lib/liba.so", "libb.so => T/bin/../lib/libb.so"];
    start(&t).program("bin/prog").library_path("$ORIGIN/../lib").loads(&expected);
}

#[test]
fn origin_resolves_links_to_the_program_and_not_to_libraries() {
    let Some(t) = tree("origin_resolves_links_to_the_program_and_not_to_libraries") else { return };
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
    let Some(t) = tree("hardware_subdirectories_are_those_of_ld_so_in_its_order") else { return };
    t.directory("hw");
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
    let Rules::Glibc(rules) = processor::of_this_processor(rules, None) else { panic!("glibc's rules") };
    assert_eq!(rules.hwcaps, tried_subdirectories(&t));
}

#[test]
fn default_directories_are_those_of_ld_so_in_its_order() {
    if tree("default_directories_are_those_of_ld_so_in_its_order").is_none() {
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
    let Some(t) = tree("hardware_subdirectories_come_before_their_directory") else { return };
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
    let Some(t) = tree("hardware_subdirectories_count_for_all_lists") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so"]).runpath("T/run"));
    t.library("run/tls/liba.so", Has::nothing()).library("env/tls/libb.so", Has::nothing());
    t.library("cwd/tls/libc1.so", Has::nothing());
    start(&t).library_path("T/env:").in_directory("cwd").loads(&[
        "liba.so => T/run/tls/liba.so",
        "libb.so => T/env/tls/libb.so",
        "libc1.so => tls/libc1.so",
    ]);
}

// Names with a slash, and names that are known already

#[test]
fn a_name_with_a_slash_is_opened_as_it_is() {
    let Some(t) = tree("a_name_with_a_slash_is_opened_as_it_is") else { return };
    t.program("prog", Has::needed(&["./liba.so", "sub/libb.so", "T/libc1.so", "none/libd.so"]).rpath("T/x"));
    t.library("cwd/liba.so", Has::nothing()).library("cwd/sub/libb.so", Has::nothing());
    t.library("libc1.so", Has::nothing()).library("x/none/libd.so", Has::nothing());
    start(&t).in_directory("cwd").loads(&[
        "./liba.so => ./liba.so",
        "sub/libb.so => sub/libb.so",
        "T/libc1.so => T/libc1.so",
        "none/libd.so => not found",
    ]);
}

#[test]
fn a_soname_satisfies_a_later_need_and_a_file_name_does_not() {
    let Some(t) = tree("a_soname_satisfies_a_later_need") else { return };
    t.program("prog", Has::needed(&["T/x/file.so", "libname.so.1", "file.so"]).runpath("T/y"));
    t.library("x/file.so", Has::nothing().soname("libname.so.1"));
    t.library("y/libname.so.1", Has::nothing()).library("y/file.so", Has::nothing());
    start(&t).loads(&["T/x/file.so => T/x/file.so", "file.so => T/y/file.so"]);
}

#[test]
fn a_name_asked_for_earlier_is_known_whatever_path_the_later_object_has() {
    let Some(t) = tree("a_name_asked_for_earlier_is_known") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::needed(&["libb.so"]).runpath("T/y"));
    t.library("x/libb.so", Has::nothing()).library("y/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/x/liba.so", "libb.so => T/x/libb.so"]);
}

#[test]
fn of_two_objects_with_one_soname_the_first_answers() {
    let Some(t) = tree("of_two_objects_with_one_soname_the_first_answers") else { return };
    t.program("prog", Has::needed(&["T/one.so", "T/two.so", "libname.so"]).runpath("T"));
    t.library("one.so", Has::nothing().soname("libname.so"));
    t.library("two.so", Has::nothing().soname("libname.so"));
    start(&t).loads(&["T/one.so => T/one.so", "T/two.so => T/two.so"]);
}

#[test]
fn the_soname_of_the_program_counts() {
    let Some(t) = tree("the_soname_of_the_program_counts") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T").soname("libprog.so"));
    t.library("liba.so", Has::needed(&["libprog.so"]));
    start(&t).loads(&["liba.so => T/liba.so"]);
}

#[test]
fn an_empty_name_is_the_program() {
    let Some(t) = tree("an_empty_name_is_the_program") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x"));
    t.library("x/libb.so", Has::nothing());
    t.rename_first_need("prog", "");
    start(&t).loads(&["libb.so => T/x/libb.so"]);
}

#[test]
fn ld_so_and_the_vdso_are_there_already() {
    let Some(t) = tree("ld_so_and_the_vdso_are_there_already") else { return };
    let has = Has::needed(&["ld-linux-x86-64.so.2", LD_SO, "linux-vdso.so.1", "libb.so"]);
    t.program("prog", has.runpath("T/x"));
    // Looking for them would find files that are fatal.
    t.write("x/ld-linux-x86-64.so.2", "text")
        .write("x/linux-vdso.so.1", "text")
        .library("x/libb.so", Has::nothing());
    start(&t).loads(&["libb.so => T/x/libb.so"]);
}

// Links

#[test]
fn links_are_followed_and_the_path_is_kept() {
    let Some(t) = tree("links_are_followed_and_the_path_is_kept") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x"));
    t.library("store/real.so", Has::nothing()).symlink("middle/liba.so", "../store/real.so");
    t.symlink("x/liba.so", "T/middle/liba.so");
    start(&t).loads(&["liba.so => T/x/liba.so"]);
}

#[test]
fn a_dangling_link_is_passed_over() {
    let Some(t) = tree("a_dangling_link_is_passed_over") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y"));
    t.symlink("x/liba.so", "nowhere").library("y/liba.so", Has::nothing());
    start(&t).loads(&["liba.so => T/y/liba.so"]);
}

#[test]
fn links_and_hard_links_to_a_loaded_file_are_that_object_and_a_copy_is_not() {
    let Some(t) = tree("links_and_hard_links_to_a_loaded_file_are_that_object") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so", "libd.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::nothing())
        .symlink("x/libb.so", "liba.so")
        .hard_link("x/libc1.so", "x/liba.so");
    std::fs::copy(t.path("x/liba.so"), t.path("x/libd.so")).unwrap();
    start(&t).loads(&["liba.so => T/x/liba.so", "libd.so => T/x/libd.so"]);
}

#[test]
fn a_link_to_ld_so_is_a_second_ld_so() {
    let Some(t) = tree("a_link_to_ld_so_is_a_second_ld_so") else { return };
    // It has ld.so's SONAME and inode, and ld.so knows neither its own inode nor looks at the SONAME then.
    t.program("prog", Has::needed(&["libl.so"]).runpath("T/x")).symlink("x/libl.so", LD_SO);
    start(&t).loads(&["libl.so => T/x/libl.so"]);
}

// What is passed over and what is fatal

#[test]
fn another_class_or_machine_is_passed_over() {
    let Some(t) = tree("another_class_or_machine_is_passed_over") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x:T/y:T/z"));
    t.library("y/libb.so", Has::nothing()).library("z/liba.so", Has::nothing());
    // The class is looked at before anything else of the header.
    t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| bytes[4] = 1);
    if tools::require("another_class_or_machine_is_passed_over", ARM64.linker, "binutils-aarch64-linux-gnu") {
        let other = Tree::new(ARM64);
        other.library("liba.so", Has::nothing());
        t.directory("y");
        std::fs::copy(other.path("liba.so"), t.path("y/liba.so")).unwrap();
    }
    start(&t).loads(&["liba.so => T/z/liba.so", "libb.so => T/y/libb.so"]);
}

#[test]
fn a_file_that_is_no_object_is_fatal_wherever_it_is_found() {
    let Some(t) = tree("a_file_that_is_no_object_is_fatal") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y"));
    t.library("y/liba.so", Has::nothing());
    let object = std::fs::read(t.path("y/liba.so")).unwrap();
    let long_text = "text ".repeat(40);
    let script = format!("/* GNU ld script */\nGROUP ( libreal.so )\n{long_text}");
    let cases: [(&[u8], &str); 7] = [
        (b"", "liba.so: file too short"),
        (b"text", "liba.so: file too short"),
        (&object[..40], "liba.so: file too short"),
        (long_text.as_bytes(), "liba.so: invalid ELF header"),
        (script.as_bytes(), "liba.so: invalid ELF header"),
        (&[0; 100], "liba.so: invalid ELF header"),
        (b"\x7fELF", "liba.so: file too short"),
    ];
    for (bytes, expected) in cases {
        t.write("x/liba.so", bytes);
        start(&t).fails(expected);
    }
    t.remove("x/liba.so").directory("x/liba.so");
    start(&t).fails("liba.so: cannot read file data");
}

#[test]
fn a_broken_header_is_fatal() {
    let Some(t) = tree("a_broken_header_is_fatal") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y")).library("y/liba.so", Has::nothing());
    let cases: [(usize, u8, &str); 8] = [
        (6, 2, "liba.so: ELF file version ident does not match current one"),
        (9, 1, "liba.so: nonzero padding in e_ident"),
        (20, 2, "liba.so: ELF file version does not match current one"),
        (5, 2, "liba.so: ELF file data encoding not little-endian"),
        (7, 9, "liba.so: ELF file OS ABI invalid"),
        (8, 9, "liba.so: ELF file ABI version invalid"),
        (16, 1, "liba.so: only ET_DYN and ET_EXEC can be loaded"),
        (16, 2, "liba.so: cannot dynamically load executable"),
    ];
    for (at, byte, expected) in cases {
        t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| bytes[at] = byte);
        start(&t).fails(expected);
    }
}

#[test]
fn a_segment_that_asks_for_no_whole_pages_is_taken() {
    let Some(t) = tree("a_segment_that_asks_for_no_whole_pages_is_taken") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x"));
    for align in [0_u64, 1, 16, 0x1008] {
        t.library("x/liba.so", Has::nothing()).patch("x/liba.so", |bytes| {
            for header in bytes[64..].chunks_exact_mut(56).take(4).filter(|header| header[0] == 1) {
                header[48..56].copy_from_slice(&align.to_le_bytes());
            }
        });
        start(&t).loads(&["liba.so => T/x/liba.so"]);
    }
}

#[test]
fn an_object_without_a_dynamic_section_is_fatal() {
    let Some(t) = tree("an_object_without_a_dynamic_section_is_fatal") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y")).library("x/liba.so", Has::nothing());
    t.library("y/liba.so", Has::nothing()).patch("x/liba.so", |bytes| {
        let headers = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
        let count = usize::from(bytes[56]);
        // PT_NULL in the place of PT_DYNAMIC.
        for at in
            (0..count).map(|index| headers + index * 56).filter(|at| bytes[*at] == 2).collect::<Vec<_>>()
        {
            bytes[at] = 0;
        }
    });
    start(&t).fails("liba.so: object file has no dynamic section");
}

#[test]
fn a_program_is_no_library() {
    let Some(t) = tree("a_program_is_no_library") else { return };
    t.program("prog", Has::needed(&["libprog.so"]).runpath("T/x"));
    t.program("x/libprog.so", Has::nothing());
    start(&t).fails("libprog.so: cannot dynamically load position-independent executable");
    t.link("x/libprog.so", &Has::nothing(), &["-no-pie", "--dynamic-linker", LD_SO, "--export-dynamic"]);
    start(&t).fails("libprog.so: cannot dynamically load executable");
}

#[test]
fn a_link_without_end_ends_its_list_and_no_other() {
    let Some(t) = tree("a_link_without_end_ends_its_list_and_no_other") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/z"));
    t.symlink("x/liba.so", "liba.so")
        .library("y/liba.so", Has::nothing())
        .library("z/liba.so", Has::nothing());
    start(&t).library_path("T/x:T/y").loads(&["liba.so => T/z/liba.so"]);
    t.remove("z/liba.so");
    start(&t).library_path("T/x:T/y").loads(&["liba.so => not found"]);
    start(&t).library_path("T/y:T/x").loads(&["liba.so => T/y/liba.so"]);
}

#[test]
fn a_link_without_end_counts_only_in_the_directory_itself() {
    let Some(t) = tree("a_link_without_end_counts_only_in_the_directory_itself") else { return };
    t.program("prog", Has::needed(&["liba.so"])).library("y/liba.so", Has::nothing());
    t.symlink("x/tls/liba.so", "liba.so").symlink("loop", "loop");
    start(&t).library_path("T/x:T/y").loads(&["liba.so => T/y/liba.so"]);
    start(&t).library_path("T/loop:T/y").loads(&["liba.so => T/y/liba.so"]);
    // ld.so does not look whether a relative directory is there.
    start(&t).library_path("loop:T/y").loads(&["liba.so => not found"]);
}

#[test]
fn a_name_that_is_too_long_is_in_no_directory() {
    let Some(t) = tree("a_name_that_is_too_long_is_in_no_directory") else { return };
    let long = "l".repeat(300);
    t.program("prog", Has::needed(&[&long, "liba.so"]).runpath("T/x")).library("x/liba.so", Has::nothing());
    start(&t).loads(&[&format!("{long} => not found"), "liba.so => T/x/liba.so"]);
    start(&t)
        .library_path(&format!("T/{long}:T/x"))
        .loads(&[&format!("{long} => not found"), "liba.so => T/x/liba.so"]);
}

#[test]
fn a_file_that_may_not_be_read_is_passed_over() {
    const TEST: &str = "a_file_that_may_not_be_read_is_passed_over";
    let Some(t) = tree(TEST) else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x:T/y"));
    for path in ["x/liba.so", "y/liba.so", "x/libb.so", "y/libb.so"] {
        t.library(path, Has::nothing());
    }
    let chmod = |path: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(t.path(path), mode).unwrap();
    };
    chmod("x/liba.so", 0o000);
    // The execute bit does not matter.
    chmod("x/libb.so", 0o644);
    chmod("", 0o755);
    let expected = ["liba.so => T/y/liba.so", "libb.so => T/x/libb.so"];
    if std::fs::read(t.path("x/liba.so")).is_err() {
        start(&t).loads(&expected);
        return;
    }
    // Root may read everything: a copy of this test asks again as nobody.
    if std::env::var_os("AS_NOBODY").is_some() {
        panic!("nobody may read everything");
    }
    if !tools::require(TEST, "setpriv", "util-linux") {
        return;
    }
    let copy = t.path("test");
    // Not by this process: while it writes a file, what it starts meanwhile has the file open, too.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["--exact", std::thread::current().name().expect("a test has a name"), "--nocapture"])
        .env("AS_NOBODY", "1")
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

// Order

#[test]
fn objects_load_breadth_first_through_cycles_and_diamonds() {
    let Some(t) = tree("objects_load_breadth_first") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("T/x"));
    t.library("x/liba.so", Has::needed(&["libc1.so", "libd.so", "libmissing.so"]));
    t.library("x/libb.so", Has::needed(&["libd.so", "libe.so", "liba.so"]));
    t.library("x/libc1.so", Has::needed(&["libb.so", "libf.so"]));
    t.library("x/libd.so", Has::needed(&["libd.so", "libg.so"]));
    t.library("x/libe.so", Has::needed(&["libh.so", "libmissing.so"]));
    for name in ["f", "g", "h"] {
        t.library(&format!("x/lib{name}.so"), Has::needed(&["liba.so"]));
    }
    start(&t).loads(&[
        "liba.so => T/x/liba.so",
        "libb.so => T/x/libb.so",
        "libc1.so => T/x/libc1.so",
        "libd.so => T/x/libd.so",
        "libmissing.so => not found",
        "libe.so => T/x/libe.so",
        "libf.so => T/x/libf.so",
        "libg.so => T/x/libg.so",
        "libh.so => T/x/libh.so",
        "libmissing.so => not found",
    ]);
}

/// What loads, without regard to order: ld.so lists what an object filters before the object.
#[track_caller]
fn loads_in_any_order(tree: &Tree, expected: &[&str]) {
    for (side, mut answer) in start(tree).answers() {
        answer.objects.sort();
        assert_eq!(
            (answer.fatal, answer.objects.as_slice()),
            (None, &expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
            "{side}"
        );
    }
}

#[test]
fn filtees_are_loaded_with_their_needs_before_those_of_other_libraries() {
    let Some(t) = tree("filtees_are_loaded_with_their_needs") else { return };
    // Both libx.so and libb.so lead to a libshared.so. That of the filtee is found first.
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::nothing().options(&["-f", "libx.so"]).runpath("T/p"));
    t.library("p/libb.so", Has::needed(&["libshared.so"]).runpath("T/b"));
    t.library("p/libx.so", Has::needed(&["libshared.so"]).runpath("T/f"));
    t.library("b/libshared.so", Has::nothing()).library("f/libshared.so", Has::nothing());
    loads_in_any_order(
        &t,
        &[
            "liba.so => T/p/liba.so",
            "libb.so => T/p/libb.so",
            "libshared.so => T/f/libshared.so",
            "libx.so => T/p/libx.so",
        ],
    );
}

#[test]
fn a_filtee_that_is_loaded_already_moves_up_if_it_is_later_in_the_list() {
    let Some(t) = tree("a_filtee_that_is_loaded_already_moves_up") else { return };
    // libz.so is last in the list; being filtered by liba.so puts it, and its needs, before libb.so's.
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libz.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::nothing().options(&["-F", "libz.so"]).runpath("T/p"));
    t.library("p/libb.so", Has::needed(&["libshared.so"]).runpath("T/b"));
    t.library("p/libz.so", Has::needed(&["libshared.so"]).runpath("T/z"));
    t.library("b/libshared.so", Has::nothing()).library("z/libshared.so", Has::nothing());
    loads_in_any_order(
        &t,
        &[
            "liba.so => T/p/liba.so",
            "libb.so => T/p/libb.so",
            "libshared.so => T/z/libshared.so",
            "libz.so => T/p/libz.so",
        ],
    );
}

#[test]
fn a_filter_that_is_missing_is_missed() {
    let Some(t) = tree("a_filter_that_is_missing_is_missed") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::nothing().options(&["-F", "libx.so"]).runpath("T/p"));
    loads_in_any_order(&t, &["liba.so => T/p/liba.so", "libx.so => not found"]);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(127));
}

#[test]
fn an_auxiliary_that_is_missing_or_broken_is_not_missed() {
    let Some(t) = tree("an_auxiliary_that_is_missing_or_broken_is_not_missed") else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::nothing().options(&["-f", "libx.so"]).runpath("T/p"));
    // A trace would call it missing; a start shows that it is not missed.
    for text in [None, Some("text")] {
        if let Some(text) = text {
            t.write("p/libx.so", text);
        }
        let (closure, rules) = start(&t).walk();
        let answer = real_loader::answer_of(&closure, &rules);
        assert_eq!(answer.fatal, None);
        assert_eq!(
            answer.objects.iter().map(|line| t.short(line)).collect::<Vec<_>>(),
            ["liba.so => T/p/liba.so"]
        );
        assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    }
}

// Versions

#[test]
fn a_node_that_is_there_fits_and_one_that_is_not_there_is_named_with_the_needing_object() {
    let Some(t) = tree("a_node_that_is_not_there_is_named") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V3", "V2"]));
    t.library("x/liba.so", Has::nothing().references(&["in_1"], "x/libv.so").runpath("T/x"));
    t.program("prog", Has::needed(&["liba.so"]).references(&["in_0", "in_2"], "x/libv.so").runpath("T/x"));
    start(&t).says(&[]);
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V4"]));
    start(&t).says(&[
        "T/x/libv.so: version `V2' not found (required by T/prog)",
        "T/x/libv.so: version `V3' not found (required by T/x/liba.so)",
    ]);
}

#[test]
fn a_node_whose_name_was_edited_is_not_the_node() {
    let Some(t) = tree("a_node_whose_name_was_edited_is_not_the_node") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_1"], "x/libv.so").runpath("T/x"));
    let rename = |bytes: &mut Vec<u8>| {
        let at = memchr::memmem::find(bytes, b"\0V2\0").unwrap();
        bytes[at + 2] = b'1';
    };
    // The stored hash stays that of `V2`, in the program that wants it as in the library that has it.
    t.patch("prog", rename);
    start(&t).says(&["T/x/libv.so: version `V1' not found (required by T/prog)"]);
    t.patch("x/libv.so", rename);
    start(&t).says(&[]);
}

#[test]
fn a_weak_need_is_only_told() {
    let Some(t) = tree("a_weak_need_is_only_told") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_1"], "x/libv.so").runpath("T/x")).weaken("prog");
    start(&t).says(&[]);
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    start(&t).says(&["T/x/libv.so: weak version `V2' not found (required by T/prog)"]);
}

#[test]
fn an_object_without_nodes_is_only_told_once_for_each_need() {
    let Some(t) = tree("an_object_without_nodes_is_only_told") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_0", "in_1"], "x/libv.so").runpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libv.so"));
    let line = "T/x/libv.so: no version information available (required by T/prog)";
    start(&t).says(&[line, line]);
}

#[test]
fn the_base_entry_is_a_node_like_any_other() {
    let Some(t) = tree("the_base_entry_is_a_node_like_any_other") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["libw.so"]));
    t.program("prog", Has::nothing().references(&["in_0"], "x/libv.so").runpath("T/x"));
    t.library("x/libw.so", Has::nothing().soname("libw.so").nodes(&["V1"]));
    t.remove("x/libv.so").symlink("x/libv.so", "libw.so");
    start(&t).says(&[]);
}

#[test]
fn the_object_that_answers_is_the_one_asked_for_by_that_name() {
    let Some(t) = tree("the_object_that_answers_is_the_one_asked_for_by_that_name") else { return };
    // The need of V1 goes to whatever loads as libv.so, here an object with another SONAME.
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    t.program("prog", Has::nothing().references(&["in_0"], "x/libv.so").runpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libother.so").nodes(&["V2"]));
    start(&t).says(&["T/x/libv.so: version `V1' not found (required by T/prog)"]);
}

#[test]
fn a_need_of_a_file_that_no_object_answers_to_is_an_assertion() {
    let Some(t) = tree("a_need_of_a_file_that_no_object_answers_to") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    t.library("x/libw.so", Has::nothing().soname("libw.so"));
    let has = Has::nothing().references(&["in_0"], "x/libv.so").references(&[], "x/libw.so");
    t.program("prog", has.runpath("T/x")).rename_first_need("prog", "libw.so");
    start(&t).fails("assertion");
}

#[test]
fn glibc_abi_dt_relr_is_a_node_like_any_other() {
    let Some(t) = tree("glibc_abi_dt_relr_is_a_node_like_any_other") else { return };
    t.library(
        "new/libc.so.6",
        Has::nothing().soname("libc.so.6").nodes(&["GLIBC_2.2.5", "GLIBC_ABI_DT_RELR"]),
    );
    let has = Has::nothing().references(&["in_0"], "new/libc.so.6");
    t.program("prog", has.options(&["-z", "pack-relative-relocs"]));
    t.library("old/libc.so.6", Has::nothing().soname("libc.so.6").nodes(&["GLIBC_2.2.5"]));
    start(&t).library_path("T/new").says(&[]);
    start(&t)
        .library_path("T/old")
        .says(&["T/old/libc.so.6: version `GLIBC_ABI_DT_RELR' not found (required by T/prog)"]);
}

#[test]
fn versions_are_read_without_section_headers() {
    let Some(t) = tree("versions_are_read_without_section_headers") else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_0", "in_1"], "x/libv.so").runpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    for path in ["prog", "x/libv.so"] {
        t.patch(path, |bytes| {
            bytes[40..48].fill(0);
            bytes[58..64].fill(0);
        });
    }
    start(&t).says(&["T/x/libv.so: version `V2' not found (required by T/prog)"]);
}

// Programs without an interpreter

#[test]
fn a_static_pie_needs_nothing_and_with_needed_entries_it_crashes() {
    let Some(t) = tree("a_static_pie_needs_nothing") else { return };
    let kind = ["-pie", "--no-dynamic-linker", "-z", "text"];
    t.link("prog", &Has::nothing(), &kind);
    assert_eq!(t_linkage(&t), Linkage::StaticPie);
    let (closure, _) = start(&t).walk();
    assert!(closure.needs.is_empty() && closure.objects.len() == 1);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    // Nobody loads what it needs. This one does not use its library, so it ends well.
    t.link("prog", &Has::needed(&["liba.so"]).runpath("T/x"), &kind);
    assert_eq!(t_linkage(&t), Linkage::Broken);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(0));
    // Asked directly, ld.so would load it: the model says what would be found.
    t.library("x/liba.so", Has::nothing());
    let real = real_loader::ask_ld_so(&t.path("prog"), None, &t.path(""));
    let (closure, rules) = start(&t).walk();
    assert_eq!(real_loader::answer_of(&closure, &rules), real);
    assert_eq!(real.objects.len(), 1);
}

fn t_linkage(t: &Tree) -> Linkage {
    let (closure, _) = start(t).walk();
    let facts = closure.objects[0].file.object.elf().unwrap();
    assert_ne!(facts.flags_1 & DF_1_PIE, 0);
    facts.linkage()
}

// A root of its own

/// A root with ld.so in it, and what ld.so says in there.
#[track_caller]
fn root(test: &str) -> Option<Tree> {
    let t = tree(test)?;
    let able = tools::require(test, "ldconfig", "libc-bin") && tools::require_namespaces(test);
    if !able {
        return None;
    }
    t.directory("usr/lib/x86_64-linux-gnu")
        .directory("lib64")
        .directory("etc")
        .directory("lib/x86_64-linux-gnu");
    tools::copy_program(LD_SO, t.path("lib64/ld-linux-x86-64.so.2"));
    Some(t)
}

#[track_caller]
fn loads_in_root(t: &Tree, program: &str, expected: &[&str]) {
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let Opened::File(root) = files.open(program) else { panic!("{program} is there") };
    let rules = build_world::rules(&files, Arch::X86_64, Libc::Glibc);
    let rules = processor::of_this_processor(rules, Some(&t.path("etc/ld.so.cache")));
    let world = World { files: &files, rules, library_path: None, working_directory: "/".into() };
    let closure = loader::walk(&world, program, "/", root, &[]);
    assert_eq!(real_loader::answer_of(&closure, &world.rules).objects, expected, "model");
    if t.path("etc/ld.so.cache").exists() {
        let mut command = real_loader::pinned("chroot");
        // Not by the variable: chroot is a program with an ld.so, too.
        command.arg(t.path("")).args([LD_SO, "--list", program]).current_dir("/");
        let answer = real_loader::read_trace(&command.output().unwrap());
        match answer.fatal {
            // Asked like this ld.so fails for the first name that it does not find.
            Some(why) => {
                let name = expected.iter().find_map(|line| line.strip_suffix(" => not found"));
                assert_eq!(why.split(": ").next(), name, "{why}");
            }
            None => assert_eq!(answer.objects, expected, "ld.so"),
        }
    }
}

fn ldconfig(t: &Tree) {
    let output = real_loader::pinned("ldconfig").arg("-r").arg(t.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_cache_has_the_directories_of_ld_so_conf_with_includes_and_globs_in_order() {
    let Some(t) = root("the_cache_has_the_directories_of_ld_so_conf") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so", "libd.so", "libe.so"]));
    t.program("other", Has::needed(&["libf.so"]));
    t.write(
        "etc/ld.so.conf",
        "# comment\n/opt/one # behind\n\tinclude conf.d/*.conf\n/opt/two/ \ninclude /etc/abs.conf\n",
    );
    t.write("etc/conf.d/b.conf", "/opt/b\n").write("etc/conf.d/a.conf", "/opt/a\n");
    t.write("etc/conf.d/c.txt", "/opt/txt\n").write("etc/abs.conf", "relative\n/opt/abs\n");
    let places = [
        ("liba.so", vec!["one", "a", "b", "two", "abs"]),
        ("libb.so", vec!["a", "b", "two", "abs"]),
        ("libc1.so", vec!["b", "two", "abs"]),
        ("libd.so", vec!["two", "abs"]),
        ("libe.so", vec!["abs"]),
        ("libf.so", vec!["txt"]),
    ];
    for (name, places) in places {
        for place in places {
            t.library(&format!("opt/{place}/{name}"), Has::nothing().soname(name));
        }
    }
    let expected = [
        "liba.so => /opt/one/liba.so",
        "libb.so => /opt/a/libb.so",
        "libc1.so => /opt/b/libc1.so",
        "libd.so => /opt/two/libd.so",
        "libe.so => /opt/abs/libe.so",
    ];
    // Without a cache ld.so would not look there; the model takes the root for one where ldconfig is yet to run.
    loads_in_root(&t, "/prog", &expected);
    ldconfig(&t);
    loads_in_root(&t, "/prog", &expected);
    loads_in_root(&t, "/other", &["libf.so => not found"]);
}

#[test]
fn configuration_files_that_include_each_other_end() {
    let Some(t) = tree("configuration_files_that_include_each_other_end") else { return };
    // ldconfig follows them until the names are too long, then takes the directories in an order of chance.
    t.write("etc/ld.so.conf", "include conf.d/*.conf\n/opt/one\n").symlink("etc/again", ".");
    t.write("etc/conf.d/a.conf", "include ../ld.so.conf\ninclude ../again/ld.so.conf\n/opt/two\n");
    t.library("opt/one/liba.so", Has::nothing()).library("opt/two/libb.so", Has::nothing());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let cache =
        build_world::glibc_rules(&DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new()), Arch::X86_64).cache;
    assert_eq!(cache.keys().collect::<Vec<_>>(), ["liba.so", "libb.so"]);
}

#[test]
fn each_configuration_file_is_read_once() {
    let Some(t) = tree("each_configuration_file_is_read_once") else { return };
    // In every order of the forty there would be more ways than anyone can go.
    t.write("etc/ld.so.conf", "include conf.d/*.conf\n");
    for n in 0..40 {
        t.write(&format!("etc/conf.d/{n}.conf"), format!("include /etc/conf.d/*.conf\n/opt/{n}\n"));
    }
    t.library("opt/7/liba.so", Has::nothing());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.get("liba.so").map(String::as_str), Some("/opt/7/liba.so"));
}

#[test]
fn a_pipe_in_the_place_of_the_cache_is_not_read() {
    let Some(t) = tree("a_pipe_in_the_place_of_the_cache_is_not_read") else { return };
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so", Has::nothing());
    let made = std::process::Command::new("mkfifo").arg(t.path("etc/ld.so.cache")).status().unwrap();
    assert!(made.success());
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.get("liba.so").map(String::as_str), Some("/opt/liba.so"));
}

#[test]
fn a_cache_entry_is_looked_up_by_soname_and_checked_like_any_file() {
    let Some(t) = root("a_cache_entry_is_looked_up_by_soname") else { return };
    t.program("prog", Has::needed(&["liba.so.1", "libb.so.1"]));
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so.1.2", Has::nothing().soname("liba.so.1"));
    t.library("opt/libb.so.1", Has::nothing().soname("libb.so.1"));
    ldconfig(&t);
    // Gone since: the default directories follow.
    t.remove("opt/libb.so.1").library("usr/lib/libb.so.1", Has::nothing());
    loads_in_root(&t, "/prog", &["liba.so.1 => /opt/liba.so.1", "libb.so.1 => /usr/lib/libb.so.1"]);
}

#[test]
fn the_cache_prefers_the_best_hardware_subdirectory() {
    let Some(t) = root("the_cache_prefers_the_best_hardware_subdirectory") else { return };
    // Lambda's level is v3, whatever this machine's is.
    t.program("prog", Has::needed(&["liba.so"]));
    t.write("etc/ld.so.conf", "/opt\n").library("opt/liba.so", Has::nothing().soname("liba.so"));
    for level in ["x86-64-v2", "x86-64-v3", "x86-64-v9"] {
        t.library(&format!("opt/glibc-hwcaps/{level}/liba.so"), Has::nothing().soname("liba.so"));
    }
    ldconfig(&t);
    let list = real_loader::pinned("ldconfig").arg("-r").arg(t.path("")).arg("-p").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("hwcap: \"x86-64-v3\"") && list.contains("/opt/liba.so"), "{list}");
    let sysroot = Utf8Path::new(t.path("").to_str().unwrap()).to_owned();
    let files = DiskFiles::new(Some(&sysroot), Vec::new(), Vec::new());
    let cache = build_world::glibc_rules(&files, Arch::X86_64).cache;
    assert_eq!(cache.get("liba.so").map(String::as_str), Some("/opt/glibc-hwcaps/x86-64-v3/liba.so"));
}

#[test]
fn what_is_built_into_the_ld_so_of_a_root_counts() {
    let Some(t) = root("what_is_built_into_the_ld_so_of_a_root_counts") else { return };
    // Nothing but ld.so itself shows here that `$LIB` is Debian's.
    std::fs::remove_dir(t.path("usr/lib/x86_64-linux-gnu")).unwrap();
    t.program("prog", Has::needed(&["liba.so"]).rpath("/opt/$LIB"));
    t.library("opt/lib/x86_64-linux-gnu/liba.so", Has::nothing());
    ldconfig(&t);
    loads_in_root(&t, "/prog", &["liba.so => /opt/lib/x86_64-linux-gnu/liba.so"]);
}

#[test]
fn absolute_links_and_paths_stay_in_a_root() {
    let Some(t) = root("absolute_links_and_paths_stay_in_a_root") else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).rpath("/opt/x:$ORIGIN/opt/y"));
    t.library("opt/store/liba.so", Has::nothing()).symlink("opt/x/liba.so", "/opt/store/../store/liba.so");
    t.library("opt/y/libb.so", Has::nothing());
    ldconfig(&t);
    loads_in_root(&t, "/prog", &["liba.so => /opt/x/liba.so", "libb.so => //opt/y/libb.so"]);
}
