//! Version nodes.

use crate::support::objects::Has;

use super::{start, tree};

#[test]
fn a_node_that_is_there_fits_and_one_that_is_not_there_is_named_with_the_needing_object() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_1"], "x/libv.so").runpath("T/x")).weaken("prog");
    start(&t).says(&[]);
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    start(&t).says(&["T/x/libv.so: weak version `V2' not found (required by T/prog)"]);
}

#[test]
fn an_object_without_nodes_is_only_told_once_for_each_need() {
    let Some(t) = tree() else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1", "V2"]));
    t.program("prog", Has::nothing().references(&["in_0", "in_1"], "x/libv.so").runpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libv.so"));
    let line = "T/x/libv.so: no version information available (required by T/prog)";
    start(&t).says(&[line, line]);
}

#[test]
fn the_base_entry_is_a_node_like_any_other() {
    let Some(t) = tree() else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["libw.so"]));
    t.program("prog", Has::nothing().references(&["in_0"], "x/libv.so").runpath("T/x"));
    t.library("x/libw.so", Has::nothing().soname("libw.so").nodes(&["V1"]));
    t.remove("x/libv.so").symlink("x/libv.so", "libw.so");
    start(&t).says(&[]);
}

#[test]
fn the_object_that_answers_is_the_one_asked_for_by_that_name() {
    let Some(t) = tree() else { return };
    // The need of V1 goes to whatever loads as libv.so, here an object with another SONAME.
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    t.program("prog", Has::nothing().references(&["in_0"], "x/libv.so").runpath("T/x"));
    t.library("x/libv.so", Has::nothing().soname("libother.so").nodes(&["V2"]));
    start(&t).says(&["T/x/libv.so: version `V1' not found (required by T/prog)"]);
}

#[test]
fn a_need_of_a_file_that_no_object_answers_to_is_an_assertion() {
    let Some(t) = tree() else { return };
    t.library("x/libv.so", Has::nothing().soname("libv.so").nodes(&["V1"]));
    t.library("x/libw.so", Has::nothing().soname("libw.so"));
    let has = Has::nothing().references(&["in_0"], "x/libv.so").references(&[], "x/libw.so");
    t.program("prog", has.runpath("T/x")).rename_first_need("prog", "libw.so");
    start(&t).fails("assertion");
}

#[test]
fn glibc_abi_dt_relr_is_a_node_like_any_other() {
    let Some(t) = tree() else { return };
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
    let Some(t) = tree() else { return };
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
