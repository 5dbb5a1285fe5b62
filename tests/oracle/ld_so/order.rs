//! Search order: RPATH, RUNPATH, LD_LIBRARY_PATH, the cache and the default directories; breadth first.

use crate::support::objects::{Has, Tree};
use crate::support::real_loader;

use super::{start, tree};

#[test]
fn rpath_of_the_program_serves_its_libraries() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/lib"));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/lib/liba.so", "libb.so => T/lib/libb.so"]);
}

#[test]
fn rpath_of_the_needing_object_comes_first_then_of_its_loader_then_of_the_program() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so"]).runpath("/nowhere"))
        .library("p/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/p/liba.so", "libb.so => not found"]);
}

#[test]
fn rpath_goes_on_below_an_object_with_runpath() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/p"));
    t.library("p/liba.so", Has::needed(&["libb.so"]).runpath("T/a"));
    t.library("a/libb.so", Has::needed(&["libc1.so"])).library("p/libc1.so", Has::nothing());
    start(&t).loads(&["liba.so => T/p/liba.so", "libb.so => T/a/libb.so", "libc1.so => T/p/libc1.so"]);
}

#[test]
fn runpath_is_not_inherited() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/lib"));
    t.library("lib/liba.so", Has::needed(&["libb.so"])).library("lib/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/lib/liba.so", "libb.so => not found"]);
}

#[test]
fn rpath_is_dropped_beside_runpath() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).rpath("T/x"));
    t.program("prog2", Has::needed(&["liba.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::nothing()).library("env/liba.so", Has::nothing());
    start(&t).library_path("T/env").loads(&["liba.so => T/x/liba.so"]);
    start(&t).program("prog2").library_path("T/env").loads(&["liba.so => T/env/liba.so"]);
}

#[test]
fn ld_library_path_comes_before_the_cache_and_the_default_directories() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["libz.so.1"])).library("env/libz.so.1", Has::nothing());
    start(&t).library_path("T/env").loads(&["libz.so.1 => T/env/libz.so.1"]);
}

#[test]
fn nodeflib_leaves_out_the_default_directories_and_their_cache_entries() {
    let Some(t) = tree() else { return };
    t.program(
        "prog",
        Has::needed(&["libgcc_s.so.1", "liba.so"]).options(&["-z", "nodefaultlib"]).rpath("T/x"),
    );
    t.library("x/liba.so", Has::nothing());
    start(&t).loads(&["libgcc_s.so.1 => not found", "liba.so => T/x/liba.so"]);
}

// Order

#[test]
fn objects_load_breadth_first_through_cycles_and_diamonds() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/p"));
    t.library("p/liba.so", Has::nothing().options(&["-F", "libx.so"]).runpath("T/p"));
    loads_in_any_order(&t, &["liba.so => T/p/liba.so", "libx.so => not found"]);
    assert_eq!(real_loader::started(&mut real_loader::pinned(t.path("prog"))).status.code(), Some(127));
}

#[test]
fn an_auxiliary_that_is_missing_or_broken_is_not_missed() {
    let Some(t) = tree() else { return };
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
