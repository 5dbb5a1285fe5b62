//! Needs by a path, and interpreters elsewhere.

use cargo_lambda_bundle::repair::Edits;

use super::{BUILD_LIB, app, case, foo, library, loader, wants_foo_2, with_foo};

#[test]
fn a_path_in_needed_is_shipped_and_stays_a_path() {
    // Under its plain name the runtime's zlib would come between.
    let mut case = case(app().needs("/opt/acme/libz.so.1").verneed("/opt/acme/libz.so.1", &["ACME_1"]))
        .at("/opt/acme/libz.so.1", library("libz.so.1").verdef(&["ACME_1"]));
    case.may_edit = true;
    let edits = case.edits(&["libz.so.1 from /opt/acme/libz.so.1"], &[]);
    let renamed = vec![("/opt/acme/libz.so.1".to_owned(), "/var/task/lib/libz.so.1".to_owned())];
    assert_eq!(edits, [("app".to_owned(), Edits { rename_needed: renamed, ..Edits::default() })]);
}

#[test]
fn two_paths_to_files_of_one_name_are_not_shipped_as_one() {
    let mut case = case(app().needs("/opt/a/libfoo.so").needs("/opt/b/libfoo.so"))
        .at("/opt/a/libfoo.so", library("libfoo.so"))
        .at("/opt/b/libfoo.so", library("libfoo.so"));
    case.may_edit = true;
    case.check(&["libfoo.so from /opt/a/libfoo.so"], &["error missing-library app /opt/b/libfoo.so"]);
}

#[test]
fn an_interpreter_elsewhere_becomes_the_runtimes() {
    const NIX: &str = "/nix/store/abc-glibc-2.34/lib/ld-linux-x86-64.so.2";
    let nix = || case(app().interpreter(NIX)).at(NIX, loader());
    nix().check(&[], &["error interpreter-missing app"]);
    let mut nix = nix();
    nix.may_edit = true;
    let edits = nix.edits(&[], &[]);
    let interpreter = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
    assert_eq!(edits, [("app".to_owned(), Edits { interpreter, ..Edits::default() })]);
}

#[test]
fn a_need_by_path_follows_its_file_where_it_is_pinned() {
    let path = format!("{BUILD_LIB}/libfoo.so.1");
    let mut case = case(wants_foo_2().needs("libother2.so.1"))
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .has("libother2.so.1", library("libother2.so.1").needs(&path))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    let edits = case.edits(&["pinned libfoo.so.1", "libother2.so.1"], &[]);
    let renamed = vec![(path, "/var/task/lib/pinned/libfoo.so.1".to_owned())];
    assert_eq!(edits[1], ("libother2.so.1".to_owned(), Edits { rename_needed: renamed, ..Edits::default() }));
}

#[test]
fn what_is_excluded_is_excluded_by_path_too() {
    let mut case =
        case(app().needs("/opt/acme/libfoo.so.1")).at("/opt/acme/libfoo.so.1", library("libfoo.so.1"));
    case.may_edit = true;
    case.exclude = vec!["libfoo*".into()];
    case.check(&[], &["error missing-library app /opt/acme/libfoo.so.1"]);
}

#[test]
fn a_library_that_is_opened_by_a_path_is_shipped_and_opened_there() {
    let mut case = case(app()).at("/opt/acme/plug.so", library("plug.so"));
    case.extra = vec!["/opt/acme/plug.so".into()];
    case.check(&["plug.so from /opt/acme/plug.so"], &[]);
}

#[test]
fn a_part_of_glibc_is_not_shipped_by_path_either() {
    let mut case = case(app().needs("/x/libm.so.6")).at("/x/libm.so.6", library("libm.so.6"));
    case.may_edit = true;
    case.check(&[], &["error missing-library app /x/libm.so.6"]);
}

#[test]
fn a_need_from_the_needing_files_own_directory_is_shipped() {
    // As the Pythons of python-build-standalone have it.
    let mut case = case(app().needs("$ORIGIN/../lib/libpython3.12.so.1.0").needs("libuser.so.1"))
        .at("/build/app", app())
        .at("/lib/libpython3.12.so.1.0", library("libpython3.12.so.1.0"))
        .has("libuser.so.1", library("libuser.so.1").needs("libpython3.12.so.1.0"));
    case.may_edit = true;
    let edits = case.edits(&["libpython3.12.so.1.0 from /lib/libpython3.12.so.1.0", "libuser.so.1"], &[]);
    let renamed = vec![(
        "$ORIGIN/../lib/libpython3.12.so.1.0".to_owned(),
        "/var/task/lib/libpython3.12.so.1.0".to_owned(),
    )];
    assert_eq!(edits, [("app".to_owned(), Edits { rename_needed: renamed, ..Edits::default() })]);
}

#[test]
fn a_library_that_is_found_on_a_way_up_and_down_is_kept() {
    for path in ["$ORIGIN/../lib", "$ORIGIN/."] {
        let user = library("libuser.so.1").needs("libfoo.so.1").rpath(path);
        case(app().needs("libuser.so.1"))
            .has("libuser.so.1", user)
            .has("libfoo.so.1", library("libfoo.so.1"))
            .check(&["libfoo.so.1", "libuser.so.1"], &[]);
    }
}
