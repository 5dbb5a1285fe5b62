//! What is shipped, and from where; what is missing.

use crate::support::elf::Object;

use super::{BUILD_LIB, app, case, library};

#[test]
fn a_static_program_ships_alone() {
    case(Object::static_program()).check(&[], &[]);
    case(Object::static_pie()).check(&[], &[]);
}

#[test]
fn what_the_runtime_has_is_not_shipped() {
    case(app().needs("libz.so.1")).has("libz.so.1", library("libz.so.1")).check(&[], &[]);
}

#[test]
fn what_the_runtime_lacks_is_shipped_with_what_it_needs() {
    case(app().needs("libpq.so.5"))
        .has("libpq.so.5", library("libpq.so.5").needs("libldap.so.2").needs("libssl.so.3"))
        .has("libldap.so.2", library("libldap.so.2").needs("libsasl2.so.2"))
        .has("libsasl2.so.2", library("libsasl2.so.2"))
        .has("libssl.so.3", library("libssl.so.3"))
        .check(&["libldap.so.2", "libpq.so.5", "libsasl2.so.2"], &[]);
}

#[test]
fn cycles_of_libraries_end() {
    case(app().needs("liba.so.1"))
        .has("liba.so.1", library("liba.so.1").needs("libb.so.1"))
        .has("libb.so.1", library("libb.so.1").needs("liba.so.1"))
        .check(&["liba.so.1", "libb.so.1"], &[]);
}

#[test]
fn one_file_under_two_names_is_stored_once() {
    case(app().needs("libfoo.so").needs("libfoo.so.2"))
        .has("libfoo.so.2", library("libfoo.so.1"))
        .link(&format!("{BUILD_LIB}/libfoo.so"), "libfoo.so.2")
        .check(&[&format!("libfoo.so from {BUILD_LIB}/libfoo.so.2"), "libfoo.so.2 -> libfoo.so"], &[]);
}

#[test]
fn a_soname_that_is_loaded_needs_no_file_of_its_name() {
    case(app().needs("libfoo.so").needs("libbar.so.1"))
        .has("libfoo.so", library("libfoo.so.1"))
        .has("libbar.so.1", library("libbar.so.1").needs("libfoo.so.1"))
        .check(&["libbar.so.1", "libfoo.so"], &[]);
}

#[test]
fn what_nobody_has_is_missing() {
    case(app().needs("libgone.so.1")).check(&[], &["error missing-library app libgone.so.1"]);
}

#[test]
fn what_a_shipped_library_lacks_is_missing_too() {
    case(app().needs("liba.so.1"))
        .has("liba.so.1", library("liba.so.1").needs("libgone.so.1"))
        .check(&["liba.so.1"], &["error missing-library liba.so.1 libgone.so.1"]);
}

#[test]
fn a_part_of_glibc_is_never_shipped() {
    case(app().needs("libnss_db.so.2"))
        .has("libnss_db.so.2", library("libnss_db.so.2"))
        .check(&[], &["error missing-library app libnss_db.so.2"]);
}

#[test]
fn an_excluded_library_is_missing() {
    let mut case = case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    case.exclude = vec!["libfoo*".into()];
    case.check(&[], &["error missing-library app libfoo.so.1"]);
}

#[test]
fn a_path_in_needed_cannot_be_shipped() {
    case(app().needs("/opt/acme/libfoo.so"))
        .at("/opt/acme/libfoo.so", library("libfoo.so"))
        .check(&[], &["error missing-library app /opt/acme/libfoo.so"]);
}

#[test]
fn a_library_that_is_opened_at_run_time_is_shipped_on_demand() {
    let mut case = case(app()).has("libplugin.so", library("libplugin.so").needs("libdep.so.1"));
    case = case.has("libdep.so.1", library("libdep.so.1"));
    case.extra = vec!["libplugin.so".into()];
    case.check(&["libdep.so.1", "libplugin.so"], &[]);
}

#[test]
fn the_programs_runpath_finds_its_library_at_build_time_only() {
    case(app().needs("libfoo.so.1").runpath("/opt/acme/lib"))
        .at("/opt/acme/lib/libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1 from /opt/acme/lib/libfoo.so.1"], &[]);
}

#[test]
fn of_several_candidates_the_first_that_fits_is_taken() {
    let mut case = case(app().needs("libexpat.so.1"))
        .at("/first/libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .at("/second/libexpat.so.1", library("libexpat.so.1"))
        .has("libexpat.so.1", library("libexpat.so.1"));
    case.library_path = Some("/first:/second");
    case.check(&["libexpat.so.1 from /second/libexpat.so.1"], &[]);
}

#[test]
fn the_needs_of_a_candidate_that_was_taken_instead_are_found() {
    let mut case = case(app().needs("libexpat.so.1"))
        .at("/first/libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .at("/second/libexpat.so.1", library("libexpat.so.1").needs("libother.so.1"))
        .at("/second/libother.so.1", library("libother.so.1"));
    case.library_path = Some("/first:/second");
    case.check(
        &["libexpat.so.1 from /second/libexpat.so.1", "libother.so.1 from /second/libother.so.1"],
        &[],
    );
}
