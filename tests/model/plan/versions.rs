//! Version nodes, the runtimes that have them, and the words of baselines and users.

use crate::support::elf::Object;

use super::{BUILD_LIB, app, case, library, runtime_with};

#[test]
fn a_version_whose_name_was_edited_is_not_there() {
    let edited = |to: &str| app().verneed("libc.so.6", &["GLIBC_2.38"]).renamed("GLIBC_2.38", to);
    case(edited("GLIBC_2.34")).check(&[], &["error version-too-new app libc.so.6 GLIBC_2.34"]);
    case(edited("GLIBC_2.99")).check(&[], &["error version-too-new app libc.so.6 GLIBC_2.99"]);
}

#[test]
fn a_version_that_only_newer_glibc_has_is_too_new() {
    case(Object::program().needs("libc.so.6").verneed("libc.so.6", &["GLIBC_2.34", "GLIBC_2.38"]))
        .check(&[], &["error version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_shipped_librarys_own_needs_count() {
    case(app().needs("libexpat.so.1"))
        .has("libexpat.so.1", library("libexpat.so.1").verneed("libc.so.6", &["GLIBC_2.36"]))
        .check(&["libexpat.so.1"], &["error version-too-new libexpat.so.1 libc.so.6 GLIBC_2.36"]);
}

#[test]
fn a_weak_version_need_only_warns() {
    case(app().weak_verneed("libc.so.6", &["GLIBC_2.38"]))
        .check(&[], &["warning version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_version_of_later_images_is_dated() {
    case(app().verneed("libc.so.6", &["GLIBC_2.35"]))
        .check(&[], &["warning version-recent app libc.so.6 GLIBC_2.35"]);
}

#[test]
fn a_version_that_may_be_there_is_unknown() {
    case(app().needs("libcrypto.so.3").verneed("libcrypto.so.3", &["OPENSSL_3.0.1"]))
        .has("libcrypto.so.3", library("libcrypto.so.3"))
        .check(&[], &["warning version-unknown app libcrypto.so.3 OPENSSL_3.0.1"]);
}

#[test]
fn a_library_without_version_nodes_only_makes_ld_so_talk() {
    case(app().needs("libtinfo.so.6").verneed("libtinfo.so.6", &["NCURSES6_TINFO_5.0.19991023"]))
        .has("libtinfo.so.6", library("libtinfo.so.6").verdef(&["NCURSES6_TINFO_5.0.19991023"]))
        .check(&[], &["note version-unknown app libtinfo.so.6 NCURSES6_TINFO_5.0.19991023"]);
}

#[test]
fn a_newer_file_at_build_time_is_a_skew_where_no_nodes_tell() {
    let of_file = |soname: &str, version: &str, findings: &[&str]| {
        let file = format!("{soname}.{version}");
        case(app().needs(soname))
            .has(&file, library(soname))
            .link(&format!("{BUILD_LIB}/{soname}"), &file)
            .check(&[], findings);
    };
    of_file("libcap.so.2", "99", &["warning version-skew libcap.so.2 libcap.so.2"]);
    of_file("libcap.so.2", "1", &[]);
    // The runtime's are 0.11.0 and 2.1.0; a revision has the same functions.
    of_file("libpcre2-8.so.0", "11.2", &[]);
    of_file("libunistring.so.2", "1.9", &[]);
    of_file("libunistring.so.2", "2.0", &["warning version-skew libunistring.so.2 libunistring.so.2"]);
    case(app().needs("libcap.so.2"))
        .has("libcap.so.2.1", library("libcap.so.2"))
        .link(&format!("{BUILD_LIB}/libcap.so.2"), "libcap.so.2.1")
        .check(&[], &[]);
}

#[test]
fn a_doubtful_library_is_shipped_and_noted() {
    case(app().needs("libzstd.so.1"))
        .has("libzstd.so.1", library("libzstd.so.1"))
        .check(&["libzstd.so.1"], &["note doubtful-library app libzstd.so.1"]);
}

#[test]
fn a_doubtful_library_must_fit_if_it_is_there() {
    let doubtful = "object libfoo.so.1\n  evidence Y\n  nodes FOO_1\n  nodes-from high X\n";
    case(app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .has("libfoo.so.1", library("libfoo.so.1").verdef(&["FOO_1", "FOO_2"]))
        .baseline(&runtime_with(doubtful))
        .check(
            &["libfoo.so.1"],
            &["error version-too-new app libfoo.so.1 FOO_2", "note doubtful-library app libfoo.so.1"],
        );
}

#[test]
fn the_users_word_on_presence_counts() {
    let library_foo = || case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    let mut present = library_foo();
    present.assume_present = vec!["libfoo*".into()];
    present.check(&[], &[]);
}

#[test]
fn a_customers_library_path_decides_what_loads() {
    let mut case = case(app().needs("libfoo.so.1")).has("libfoo.so.1", library("libfoo.so.1"));
    case.lambda_library_path = Some("/opt/lib");
    case.check(&["libfoo.so.1"], &["error missing-library app libfoo.so.1"]);
}

#[test]
fn the_default_directories_need_no_library_path() {
    let mut case = case(app().needs("libz.so.1"));
    case.lambda_library_path = Some("/var/task/lib");
    case.check(&[], &[]);
}

#[test]
fn an_absent_interpreter_is_named() {
    case(app().interpreter("/nix/store/x/ld-linux-x86-64.so.2"))
        .check(&[], &["error interpreter-missing app"]);
    case(Object::program().interpreter("/lib/ld-musl-x86_64.so.1").needs("libc.musl-x86_64.so.1"))
        .check(&[], &["error interpreter-missing app"]);
}

#[test]
fn needs_without_an_interpreter_are_broken() {
    case(Object::static_pie().needs("libz.so.1"))
        .has("libz.so.1", library("libz.so.1"))
        .check(&[], &["error broken-static-pie app"]);
}

#[test]
fn packed_relocations_are_for_later_glibcs() {
    case(app().relr(16)).check(&[], &["error relr-unsupported app"]);
    case(Object::static_pie().relr(16)).check(&[], &[]);
    case(app().needs("libfoo.so.1"))
        .has("libfoo.so.1", library("libfoo.so.1").relr(16))
        .check(&["libfoo.so.1"], &["error relr-unsupported libfoo.so.1"]);
}

#[test]
fn private_symbols_of_glibc_are_judged_by_name() {
    let check = |symbol: &str, findings: &[&str]| {
        let library = library("libfoo.so.1").imports(symbol, Some(("libc.so.6", "GLIBC_PRIVATE")));
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", library).check(&["libfoo.so.1"], findings);
    };
    let warning = "warning libc-mixed libfoo.so.1 libc.so.6 GLIBC_PRIVATE";
    check("__resolv_context_get", &[warning]);
    check("fnord", &["error undefined-symbol libfoo.so.1 libc.so.6 GLIBC_PRIVATE", warning]);
}
