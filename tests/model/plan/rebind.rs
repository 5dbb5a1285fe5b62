//! References that lose a version which the runtime lacks.

use cargo_lambda_bundle::repair::Edits;

use super::{Case, app, case, library};
use crate::support::elf::Object;

/// Asserts which nodes a program, `app`, and its libraries no longer ask for, which names they take, and what they
/// need beside: rows of `object: nodes | old=new names | needs`.
#[track_caller]
fn rebinds(mut case: Case, shipped: &[&str], findings: &[&str], expected: &[&str]) {
    case.may_edit = true;
    let edits = case.edits(shipped, findings);
    let line = |(object, edits): (String, Edits)| {
        let nodes: Vec<String> = edits.unbind.into_iter().map(|node| node.node).collect();
        let names: Vec<String> =
            edits.rename_symbols.iter().map(|(from, to)| format!("{from}={to}")).collect();
        format!("{object}: {} | {} | {}", nodes.join(" "), names.join(" "), edits.add_needed.join(" "))
    };
    assert_eq!(edits.into_iter().map(line).collect::<Vec<_>>(), expected);
}

const LIBC_2_38: Option<(&str, &str)> = Some(("libc.so.6", "GLIBC_2.38"));

const LIBC_2_39: Option<(&str, &str)> = Some(("libc.so.6", "GLIBC_2.39"));

const LIBM_2_38: Option<(&str, &str)> = Some(("libm.so.6", "GLIBC_2.38"));

#[test]
fn references_lose_a_version_that_the_runtime_lacks() {
    rebinds(case(app().imports_weak("pidfd_spawnp", LIBC_2_39)), &[], &[], &["app: GLIBC_2.39 |  | "]);
    rebinds(case(app().needs("libm.so.6").imports("fmod", LIBM_2_38)), &[], &[], &["app: GLIBC_2.38 |  | "]);
    let names = ["__isoc23_strtol=strtol", "__isoc23_sscanf=__isoc99_sscanf"];
    rebinds(
        case(app().imports("__isoc23_strtol", LIBC_2_38).imports("__isoc23_sscanf", LIBC_2_38)),
        &[],
        &[],
        &[&format!("app: GLIBC_2.38 | {} | ", names.join(" "))],
    );
    rebinds(
        case(app().imports("strlcpy", LIBC_2_38)),
        &[],
        &[],
        &["app: GLIBC_2.38 |  | liblambda-bundle-compat.so.1"],
    );
    let foo = library("libfoo.so.1").imports("arc4random", Some(("libc.so.6", "GLIBC_2.36")));
    rebinds(
        case(app().needs("libfoo.so.1")).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &[],
        &["libfoo.so.1: GLIBC_2.36 |  | liblambda-bundle-compat.so.1"],
    );
}

#[test]
fn a_node_is_left_alone_unless_every_reference_can_be_rebound() {
    let too_new = &["error version-too-new app libc.so.6 GLIBC_2.38"];
    let strong = app().imports("__isoc23_strtol", LIBC_2_38).imports("mbrtoc8", LIBC_2_38);
    rebinds(case(strong), &[], too_new, &[]);
    // A weak reference to what the runtime has under another version would take that one.
    rebinds(case(app().imports_weak("strtol", LIBC_2_38)), &[], too_new, &[]);
    rebinds(
        case(app().needs("libm.so.6").imports("pow", LIBM_2_38)),
        &[],
        &["error version-too-new app libm.so.6 GLIBC_2.38"],
        &[],
    );
    rebinds(case(app().verneed("libc.so.6", &["GLIBC_2.38"])), &[], too_new, &[]);
    let relr = app().verneed("libc.so.6", &["GLIBC_ABI_DT_RELR"]);
    rebinds(case(relr), &[], &["error version-too-new app libc.so.6 GLIBC_ABI_DT_RELR"], &[]);
    // Another node of the file is rebound all the same.
    let both = app().imports("mbrtoc8", LIBC_2_38).imports_weak("pidfd_getpid", LIBC_2_39);
    rebinds(case(both), &[], too_new, &["app: GLIBC_2.39 |  | "]);
}

#[test]
fn a_name_that_is_weak_in_one_file_and_strong_in_another_is_rebound_in_the_one() {
    let foo = library("libfoo.so.1").imports("pidfd_spawnp", LIBC_2_39);
    rebinds(
        case(app().needs("libfoo.so.1").imports_weak("pidfd_spawnp", LIBC_2_39)).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &["error version-too-new libfoo.so.1 libc.so.6 GLIBC_2.39"],
        &["app: GLIBC_2.39 |  | "],
    );
}

/// A program that needs a library in front of libc.so.6.
fn before_libc(name: &str) -> Object {
    Object::program().needs(name).needs("libc.so.6")
}

#[test]
fn what_a_file_of_the_bundle_defines_is_bound_to_it() {
    // The library comes before libc.so.6, and answers references of both kinds: it was meant before.
    let mine = library("libmine.so.1").defines("__isoc23_strtol", None);
    rebinds(
        case(before_libc("libmine.so.1").imports("__isoc23_strtol", LIBC_2_38)).has("libmine.so.1", mine),
        &["libmine.so.1"],
        &[],
        &["app: GLIBC_2.38 |  | "],
    );
    let bsd = library("libbsd.so.0").verdef(&["LIBBSD_0.0"]).defines("strlcpy", Some("LIBBSD_0.0"));
    rebinds(
        case(app().needs("libbsd.so.0").imports("strlcpy", LIBC_2_38)).has("libbsd.so.0", bsd),
        &["libbsd.so.0"],
        &[],
        &["app: GLIBC_2.38 |  | "],
    );
    // Under a version of its own it answered nobody who asked for glibc's; without a version it would.
    let versioned = library("libmine.so.1").verdef(&["MINE_1"]).defines("pidfd_spawnp", Some("MINE_1"));
    rebinds(
        case(app().needs("libmine.so.1").imports_weak("pidfd_spawnp", LIBC_2_39))
            .has("libmine.so.1", versioned),
        &["libmine.so.1"],
        &["error version-too-new app libc.so.6 GLIBC_2.39"],
        &[],
    );
}

#[test]
fn what_glibc_precedes_is_not_meant() {
    let mine = || library("libmine.so.1").defines("__isoc23_strtol", None).defines("mbrtoc8", None);
    let middle = || library("libmiddle.so.1").needs("libmine.so.1");
    let shipped = &["libmiddle.so.1", "libmine.so.1"];
    let program = || app().needs("libmiddle.so.1");
    rebinds(
        case(program().imports("__isoc23_strtol", LIBC_2_38))
            .has("libmiddle.so.1", middle())
            .has("libmine.so.1", mine()),
        shipped,
        &[],
        &["app: GLIBC_2.38 | __isoc23_strtol=strtol | "],
    );
    // Without a version both would take the library's.
    let too_new = &["error version-too-new app libc.so.6 GLIBC_2.38"];
    rebinds(
        case(program().imports("mbrtoc8", LIBC_2_38))
            .has("libmiddle.so.1", middle())
            .has("libmine.so.1", mine()),
        shipped,
        too_new,
        &[],
    );
    rebinds(
        case(program().imports_weak("mbrtoc8", LIBC_2_38))
            .has("libmiddle.so.1", middle())
            .has("libmine.so.1", mine()),
        shipped,
        too_new,
        &[],
    );
    // A file that is only there is in no scope.
    rebinds(
        case(app().imports("__isoc23_strtol", LIBC_2_38)).layer("libmine.so.1", mine()),
        &[],
        &[],
        &["app: GLIBC_2.38 | __isoc23_strtol=strtol | "],
    );
}

#[test]
fn a_strtol_of_the_programs_own_does_not_come_between() {
    let foo = library("libfoo.so.1").imports("__isoc23_strtol", LIBC_2_38);
    rebinds(
        case(app().needs("libfoo.so.1").defines("strtol", None)).has("libfoo.so.1", foo),
        &["libfoo.so.1"],
        &["error version-too-new libfoo.so.1 libc.so.6 GLIBC_2.38"],
        &[],
    );
}

#[test]
fn nothing_is_rebound_without_leave_or_with_a_libc_of_its_own() {
    let program = app().imports_weak("pidfd_spawnp", LIBC_2_39);
    let edits = case(program).edits(&[], &["error version-too-new app libc.so.6 GLIBC_2.39"]);
    assert_eq!(edits, []);
}
