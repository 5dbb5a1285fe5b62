//! Copies of ours in place of those of the runtime.

use crate::support::elf::Object;
use cargo_lambda_bundle::repair::Edits;

use super::{BUILD_LIB, Case, app, case, foo, library, runtime_with, wants_foo_2, with_foo};

const OTHER: &str = "object libother.so.1\n  evidence X\n";

#[test]
fn a_copy_with_all_the_nodes_displaces_the_systems() {
    let mut case = case(wants_foo_2().needs("libother.so.1"))
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1"], &[]);
}

#[test]
fn nothing_is_displaced_without_leave() {
    case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .baseline(&with_foo("", ""))
        .check(&[], &["error version-too-new app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_lacks_a_node_may_hurt_the_systems_others() {
    let mut case = case(wants_foo_2().needs("libother.so.1"))
        .has("libfoo.so.1", foo(&["FOO_2"]))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn with_nobody_to_be_hurt_any_copy_that_fits_may_be_pinned() {
    let mut case = case(wants_foo_2()).has("libfoo.so.1", foo(&["FOO_2"])).baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1"], &[]);
}

#[test]
fn what_the_copy_itself_needs_comes_along_where_that_leaves_nobody() {
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("libother.so.1"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "pinned libother.so.1"], &[]);
}

#[test]
fn a_pin_for_want_of_others_goes_when_others_turn_up() {
    // Ours needs `liblate.so.1`, which is shipped and needs a library of the system's.
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("liblate.so.1"))
        .has("liblate.so.1", library("liblate.so.1").needs("libother.so.1"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_does_not_fit_itself_is_not_pinned() {
    let mut case = case(wants_foo_2())
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]).verneed("libc.so.6", &["GLIBC_2.36"]))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_copy_that_only_later_images_load_is_no_better_than_their_own() {
    // GLIBCXX_3.4.30 and GLIBC_2.35 both came later.
    let mut case = case(app().needs("libstdc++.so.6").verneed("libstdc++.so.6", &["GLIBCXX_3.4.30"])).has(
        "libstdc++.so.6",
        library("libstdc++.so.6").verdef(&["GLIBCXX_3.4.30"]).verneed("libc.so.6", &["GLIBC_2.35"]),
    );
    case.may_edit = true;
    case.check(&[], &["warning version-recent app libstdc++.so.6 GLIBCXX_3.4.30"]);
}

#[test]
fn a_package_comes_whole() {
    let bar = "object libbar.so.1\n  package foo\n  evidence X\n  nodes BAR_1\n  nodes-from high X\n";
    let case = |bar_nodes: &[&str]| {
        let mut case = case(wants_foo_2().needs("libbar.so.1").needs("libother.so.1"))
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .has("libbar.so.1", library("libbar.so.1").verdef(bar_nodes))
            .has("libother.so.1", library("libother.so.1"))
            .baseline(&with_foo("package foo\n", &format!("{bar}{OTHER}")));
        case.may_edit = true;
        case
    };
    case(&["BAR_1"]).check(&["pinned libbar.so.1", "pinned libfoo.so.1"], &[]);
    case(&["BAR_2"]).check(&[], &["error repair-conflict app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_librarys_runpath_does_not_keep_the_pinned_copy_from_it() {
    let mut case = case(app().needs("libuser.so.1"))
        .has(
            "libuser.so.1",
            library("libuser.so.1")
                .needs("libfoo.so.1")
                .verneed("libfoo.so.1", &["FOO_2"])
                .runpath("/opt/acme"),
        )
        .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
        .baseline(&with_foo("", ""));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
}

#[test]
fn glibc_is_never_displaced() {
    let mut case = case(app().verneed("libc.so.6", &["GLIBC_2.38"])).has("libc.so.6", library("libc.so.6"));
    case.may_edit = true;
    case.check(&[], &["error version-too-new app libc.so.6 GLIBC_2.38"]);
}

#[test]
fn a_program_that_was_linked_to_look_there_first_needs_no_edit() {
    let linked = |path: &str| {
        let mut program = wants_foo_2();
        program = program.rpath(path);
        case(program).has("libfoo.so.1", foo(&["FOO_1", "FOO_2"])).baseline(&with_foo("", ""))
    };
    let edits = linked("/var/task/lib/pinned:$ORIGIN").edits(&["pinned libfoo.so.1"], &[]);
    assert_eq!(edits, []);
    linked("/var/task/lib").check(&[], &["error version-too-new app libfoo.so.1 FOO_2"]);
}

#[test]
fn a_wish_is_granted_where_a_pin_would_be() {
    let wish = |nodes: &[&str]| {
        let mut case =
            case(app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_1"]).needs("libother.so.1"))
                .has("libfoo.so.1", foo(nodes))
                .has("libother.so.1", library("libother.so.1"))
                .baseline(&with_foo("", OTHER));
        case.may_edit = true;
        case.prefer = vec!["libfoo*".into()];
        case
    };
    wish(&["FOO_1", "FOO_2"]).check(&["pinned libfoo.so.1"], &[]);
    wish(&["FOO_2"]).check(&[], &["error repair-conflict app libfoo.so.1"]);
}

#[test]
fn a_wish_is_granted_by_a_copy_whose_references_are_rebound() {
    let wish = |foo: Object| {
        let mut case = case(app().needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_1"]))
            .has("libfoo.so.1", foo)
            .baseline(&with_foo("", ""));
        case.may_edit = true;
        case.prefer = vec!["libfoo*".into()];
        case
    };
    let libc = |node| Some(("libc.so.6", node));
    wish(foo(&["FOO_1"]).imports("__isoc23_strtol", libc("GLIBC_2.38"))).check(&["pinned libfoo.so.1"], &[]);
    let too_new = &["error repair-conflict app libfoo.so.1"];
    wish(foo(&["FOO_1"]).imports("mbrtoc8", libc("GLIBC_2.38"))).check(&[], too_new);
    // Only later images have the node.
    let ours = library("libstdc++.so.6").verdef(&["GLIBCXX_3.4.30"]);
    let mut case = case(app().needs("libstdc++.so.6").verneed("libstdc++.so.6", &["GLIBCXX_3.4.30"]))
        .has("libstdc++.so.6", ours.imports("arc4random", libc("GLIBC_2.36")));
    case.may_edit = true;
    case.prefer = vec!["libstdc++*".into()];
    case.check(&["pinned libstdc++.so.6"], &[]);
}

#[test]
fn an_older_libglib_does_not_come_under_the_systems_libgio() {
    // Neither has version nodes: the file names tell. The runtime's libgio was built with its own libglib.
    let with = |version: &str, program: Object| {
        let mut case = case(program.needs("libgio-2.0.so.0").needs("libglib-2.0.so.0"));
        for name in ["libgio-2.0.so.0", "libglib-2.0.so.0"] {
            let file = format!("{BUILD_LIB}/{name}.{version}");
            case = case.at(&file, library(name)).link(&format!("{BUILD_LIB}/{name}"), &file);
        }
        case.may_edit = true;
        case.prefer = vec!["libglib-2.0.so.0".into()];
        case.has("libz.so.1", library("libz.so.1"))
    };
    let (refused, pinned) = (
        ["error repair-conflict app libglib-2.0.so.0"],
        ["pinned libgio-2.0.so.0", "pinned libglib-2.0.so.0"],
    );
    with("6600.8", app().needs("libz.so.1")).check(&[], &refused);
    // The runtime's has a number with four digits.
    with("9.8", app().needs("libz.so.1")).check(&[], &refused);
    with("10000.8", app().needs("libz.so.1")).check(&pinned, &[]);
    // Their whole package, and nobody else who could be hurt.
    with("6600.8", app()).check(&pinned, &[]);
}

/// A system's object with these nodes; `package` may be empty.
fn object(soname: &str, package: &str, nodes: &str) -> String {
    let package = if package.is_empty() { String::new() } else { format!("  package {package}\n") };
    format!("object {soname}\n{package}  evidence X\n  nodes {nodes}\n  nodes-from high X\n")
}

/// Our libcrypto lacks C_2 and brings libmid, which needs the system's libz.
fn half_a_package(program: Object) -> Case {
    let table = [
        object("libcrypto.so.3", "openssl-libs", "C_0 C_2"),
        object("libssl.so.3", "openssl-libs", "S_0"),
        object("libz.so.1", "zlib", "Z_0 Z_9"),
    ];
    let mut case =
        case(program.needs("libssl.so.3").needs("libcrypto.so.3").verneed("libcrypto.so.3", &["C_0"]))
            .has("libssl.so.3", library("libssl.so.3").verdef(&["S_0", "S_2"]))
            .has("libcrypto.so.3", library("libcrypto.so.3").verdef(&["C_0"]).needs("libmid.so.1"))
            .has("libmid.so.1", library("libmid.so.1").needs("libz.so.1").verneed("libz.so.1", &["Z_9"]))
            .has("libz.so.1", library("libz.so.1").verdef(&["Z_0", "Z_9"]))
            .baseline(&runtime_with(&table.concat()));
    case.may_edit = true;
    case
}

#[test]
fn a_pin_that_is_taken_back_takes_its_package_along() {
    half_a_package(app().verneed("libssl.so.3", &["S_2"]))
        .check(&[], &["error repair-conflict app libssl.so.3 S_2"]);
}

#[test]
fn a_wish_whose_pin_is_taken_back_is_answered() {
    let mut case = half_a_package(app().verneed("libssl.so.3", &["S_0"]));
    case.prefer = vec!["libssl*".into()];
    case.check(&[], &["error repair-conflict app libssl.so.3"]);
}

#[test]
fn a_wish_is_answered_where_nothing_may_be_edited() {
    let mut case =
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", foo(&["FOO_1"])).baseline(&with_foo("", ""));
    case.prefer = vec!["libfoo*".into()];
    case.check(&[], &["error repair-conflict app libfoo.so.1"]);
}

#[test]
fn a_package_comes_whole_though_a_part_of_it_shows_late() {
    let late = |tinfo: Object| {
        let table = [
            object("libncursesw.so.6", "ncurses-libs", "none"),
            object("libtinfo.so.6", "ncurses-libs", "TINFO_1"),
            object("libz.so.1", "zlib", "Z_0"),
        ];
        // What a table's library needs is not known: libtinfo is seen only once ours is pinned.
        let mut case = case(app().needs("libncursesw.so.6").needs("libz.so.1"))
            .at(
                &format!("{BUILD_LIB}/libncursesw.so.6.9"),
                library("libncursesw.so.6").needs("libtinfo.so.6"),
            )
            .link(&format!("{BUILD_LIB}/libncursesw.so.6"), "libncursesw.so.6.9")
            .has("libtinfo.so.6", tinfo)
            .has("libz.so.1", library("libz.so.1").verdef(&["Z_0"]))
            .baseline(&runtime_with(&table.concat()).replace(
                "object libncursesw.so.6\n",
                "object libncursesw.so.6\n  file libncursesw.so.6.2\n",
            ));
        case.may_edit = true;
        case.prefer = vec!["libncursesw.so.6".into()];
        case
    };
    late(library("libtinfo.so.6").verdef(&["TINFO_1", "TINFO_2"]))
        .check(&["pinned libncursesw.so.6", "pinned libtinfo.so.6"], &[]);
    late(library("libtinfo.so.6").verdef(&["TINFO_2"])).check(
        &[],
        &[
            "error repair-conflict app libncursesw.so.6",
            "warning version-skew libncursesw.so.6 libncursesw.so.6",
        ],
    );
}

#[test]
fn a_librarys_own_rpath_does_not_keep_the_pinned_copy_from_it() {
    let user = || library("libuser.so.1").needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]);
    let of = |user: Object| {
        let mut case = case(app().needs("libuser.so.1"))
            .has("libuser.so.1", user)
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .baseline(&with_foo("", ""));
        case.may_edit = true;
        case
    };
    of(user().rpath("/usr/lib64")).check(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
    let edits =
        of(user().rpath("/usr/lib64:$ORIGIN/more")).edits(&["pinned libfoo.so.1", "libuser.so.1"], &[]);
    let rpath = Some("/var/task/lib/pinned:$ORIGIN/more".to_owned());
    assert_eq!(edits[1], ("libuser.so.1".to_owned(), Edits { rpath, ..Edits::default() }));
}

/// The program looks for pinned copies by itself; nothing may be edited.
fn unedited(user: Object) -> Case {
    case(app().needs("libuser.so.1").rpath("/var/task/lib/pinned"))
        .has("libuser.so.1", user.needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .has("libfoo.so.1", foo(&["FOO_2"]).needs("libother.so.1").rpath("/usr/lib64"))
        .has("libother.so.1", library("libother.so.1"))
        .baseline(&with_foo("", OTHER))
}

#[test]
fn a_pin_that_cannot_win_is_given_up() {
    // The copy's own DT_RPATH leads to the system's libother, whatever is pinned.
    unedited(library("libuser.so.1"))
        .check(&["libuser.so.1"], &["error repair-conflict libuser.so.1 libfoo.so.1 FOO_2"]);
    // Any DT_RUNPATH keeps the program's DT_RPATH from serving the library's needs.
    unedited(library("libuser.so.1").runpath("/opt/acme"))
        .check(&["libuser.so.1"], &["error repair-conflict libuser.so.1 libfoo.so.1 FOO_2"]);
    // With leave to edit, all of it is pinned.
    let mut case = unedited(library("libuser.so.1").runpath("/opt/acme"));
    case.may_edit = true;
    case.check(&["pinned libfoo.so.1", "pinned libother.so.1", "libuser.so.1"], &[]);
}

#[test]
fn a_layers_copy_that_does_not_fit_does_not_keep_ours_out() {
    let with = |nodes: &[&str]| {
        let mut case = case(app().needs("libq.so.1").verneed("libq.so.1", &["Q_2"]))
            .has("libq.so.1", library("libq.so.1").verdef(&["Q_1", "Q_2"]))
            .layer("libq.so.1", library("libq.so.1").verdef(nodes));
        case.may_edit = true;
        case
    };
    with(&["Q_1"]).check(&["libq.so.1"], &[]);
    with(&["Q_1", "Q_2"]).check(&[], &[]);
    let mut wish = with(&["Q_1", "Q_2"]);
    wish.prefer = vec!["libq*".into()];
    wish.check(&["libq.so.1"], &[]);
    // Where the layer's comes first, ours would be there in vain.
    let mut last = with(&["Q_1"]);
    last.lambda_library_path = Some("/lib64:/opt/lib:/var/task/lib");
    last.check(&[], &["error version-too-new app libq.so.1 Q_2"]);
}

#[test]
fn two_names_of_one_file_stay_one_where_one_is_pinned() {
    let of = |program: Object| {
        let mut case = case(program)
            .has("libfoo.so.1", foo(&["FOO_1", "FOO_2"]))
            .link(&format!("{BUILD_LIB}/libalias.so"), "libfoo.so.1")
            .baseline(&with_foo("", ""));
        case.may_edit = true;
        case
    };
    // The alias is met first, and the file answers to the SONAME: nothing need be pinned.
    of(app().needs("libalias.so").needs("libfoo.so.1").verneed("libfoo.so.1", &["FOO_2"]))
        .check(&[&format!("libalias.so from {BUILD_LIB}/libfoo.so.1")], &[]);
    of(wants_foo_2().needs("libalias.so"))
        .check(&["libalias.so -> pinned/libfoo.so.1", "pinned libfoo.so.1"], &[]);
}

#[test]
fn a_file_that_takes_a_soname_of_the_runtimes_goes_by_the_rules_of_pinning() {
    // The runtime's libother may need libfoo.so.1, and would get the file that was loaded under a path.
    let taking = |nodes: &[&str], others: &str| {
        let mut case = case(app().needs("/x/libfoo.so.1").needs("libother.so.1"))
            .at("/x/libfoo.so.1", foo(nodes))
            .has("libother.so.1", library("libother.so.1"))
            .baseline(&with_foo("package foo\n", others));
        case.may_edit = true;
        case
    };
    let shipped = "libfoo.so.1 from /x/libfoo.so.1";
    taking(&["FOO_2"], OTHER).check(&[shipped], &["error repair-conflict app libfoo.so.1"]);
    // Pinned, so that libother gets it, whenever it asks.
    taking(&["FOO_1", "FOO_2"], OTHER).check(&["pinned libfoo.so.1"], &[]);
    // Nobody is there to be hurt.
    taking(&["FOO_2"], "").check(&[shipped, "libother.so.1"], &[]);
    // libother is of the same package, and comes along or not at all.
    let mate = object("libother.so.1", "foo", "OTHER_1");
    taking(&["FOO_1"], &mate).check(&["pinned libfoo.so.1", "pinned libother.so.1"], &[]);
    let third = object("libthird.so.1", "", "THIRD_1");
    let mut whole = taking(&["FOO_1"], &format!("{}{third}", object("libother.so.1", "foo", "none")));
    whole.program = whole.program.needs("libthird.so.1");
    whole = whole.has("libthird.so.1", library("libthird.so.1"));
    let file = format!("{BUILD_LIB}/libother.so.1.9");
    whole.files.retain(|(path, _)| !path.ends_with("/libother.so.1"));
    whole = whole.at(&file, library("libother.so.1")).link(&format!("{BUILD_LIB}/libother.so.1"), &file);
    whole.check(&[shipped], &["error repair-conflict app libfoo.so.1"]);
}
