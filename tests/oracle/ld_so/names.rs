//! Names with a slash, names that are known already, and links.

use crate::support::objects::Has;
use crate::support::real_loader::LD_SO;

use super::{start, tree};

// Names with a slash, and names that are known already

#[test]
fn a_name_with_a_slash_is_opened_as_it_is() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["T/x/file.so", "libname.so.1", "file.so"]).runpath("T/y"));
    t.library("x/file.so", Has::nothing().soname("libname.so.1"));
    t.library("y/libname.so.1", Has::nothing()).library("y/file.so", Has::nothing());
    start(&t).loads(&["T/x/file.so => T/x/file.so", "file.so => T/y/file.so"]);
}

#[test]
fn a_name_asked_for_earlier_is_known_whatever_path_the_later_object_has() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::needed(&["libb.so"]).runpath("T/y"));
    t.library("x/libb.so", Has::nothing()).library("y/libb.so", Has::nothing());
    start(&t).loads(&["liba.so => T/x/liba.so", "libb.so => T/x/libb.so"]);
}

#[test]
fn of_two_objects_with_one_soname_the_first_answers() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["T/one.so", "T/two.so", "libname.so"]).runpath("T"));
    t.library("one.so", Has::nothing().soname("libname.so"));
    t.library("two.so", Has::nothing().soname("libname.so"));
    start(&t).loads(&["T/one.so => T/one.so", "T/two.so => T/two.so"]);
}

#[test]
fn the_soname_of_the_program_counts() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T").soname("libprog.so"));
    t.library("liba.so", Has::needed(&["libprog.so"]));
    start(&t).loads(&["liba.so => T/liba.so"]);
}

#[test]
fn an_empty_name_is_the_program() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so"]).runpath("T/x"));
    t.library("x/libb.so", Has::nothing());
    t.rename_first_need("prog", "");
    start(&t).loads(&["libb.so => T/x/libb.so"]);
}

#[test]
fn ld_so_and_the_vdso_are_there_already() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x"));
    t.library("store/real.so", Has::nothing()).symlink("middle/liba.so", "../store/real.so");
    t.symlink("x/liba.so", "T/middle/liba.so");
    start(&t).loads(&["liba.so => T/x/liba.so"]);
}

#[test]
fn a_dangling_link_is_passed_over() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so"]).runpath("T/x:T/y"));
    t.symlink("x/liba.so", "nowhere").library("y/liba.so", Has::nothing());
    start(&t).loads(&["liba.so => T/y/liba.so"]);
}

#[test]
fn links_and_hard_links_to_a_loaded_file_are_that_object_and_a_copy_is_not() {
    let Some(t) = tree() else { return };
    t.program("prog", Has::needed(&["liba.so", "libb.so", "libc1.so", "libd.so"]).runpath("T/x"));
    t.library("x/liba.so", Has::nothing())
        .symlink("x/libb.so", "liba.so")
        .hard_link("x/libc1.so", "x/liba.so");
    std::fs::copy(t.path("x/liba.so"), t.path("x/libd.so")).unwrap();
    start(&t).loads(&["liba.so => T/x/liba.so", "libd.so => T/x/libd.so"]);
}

#[test]
fn a_link_to_ld_so_is_a_second_ld_so() {
    let Some(t) = tree() else { return };
    // It has ld.so's SONAME and inode, and ld.so knows neither its own inode nor looks at the SONAME then.
    t.program("prog", Has::needed(&["libl.so"]).runpath("T/x")).symlink("x/libl.so", LD_SO);
    start(&t).loads(&["libl.so => T/x/libl.so"]);
}
