//! Symbols that nothing defines, and files for another machine or C library.

use std::sync::Arc;

use crate::support::elf::{Object, PT_LOAD, Relocation, SymbolKind};
use cargo_lambda_bundle::elf;

use super::{BUILD_LIB, Case, app, case, library};

#[test]
fn a_library_for_musl_does_not_go_with_glibc() {
    let musl = || Object::library("libfoo.so.1").needs("libc.musl-x86_64.so.1");
    case(app().needs("libfoo.so.1"))
        .has("libfoo.so.1", musl())
        .check(&["libfoo.so.1"], &["error libc-mixed libfoo.so.1"]);
    // By itself it is opened by a process of the runtime's, and nothing is shipped as its C library.
    case(musl()).check(&[], &["error libc-mixed app"]);
}

#[test]
fn a_symbol_that_glibc_lacks_is_undefined() {
    // The node is there, the symbol is not: libm has no such function.
    let now = |object: Object| object.flags(8);
    case(now(app().needs("libm.so.6").imports("fnord", Some(("libm.so.6", "GLIBC_2.29")))))
        .check(&[], &["error undefined-symbol app libm.so.6 GLIBC_2.29"]);
    case(now(app().needs("libm.so.6").imports("exp", Some(("libm.so.6", "GLIBC_2.29"))))).check(&[], &[]);
}

#[test]
fn a_symbol_that_a_shipped_library_lacks_is_undefined() {
    let library_foo = |names: &[&str]| {
        let object = library("libfoo.so.1");
        names.iter().fold(object, |object, name| object.defines(name, None))
    };
    let app = || app().needs("libfoo.so.1").imports("foo_open", None).flags(8);
    case(app()).has("libfoo.so.1", library_foo(&["foo_open"])).check(&["libfoo.so.1"], &[]);
    case(app())
        .has("libfoo.so.1", library_foo(&["foo_close"]))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_weak_symbol_may_be_undefined() {
    case(app().imports_weak("__gmon_start__", None).flags(8)).check(&[], &[]);
}

/// A program that refers to `foo` of a library that lacks it, by one kind of relocation.
fn refers(relocation: Relocation) -> Case {
    case(app().needs("libfoo.so.1").imports("foo", None).relocated(Some(relocation)))
        .has("libfoo.so.1", library("libfoo.so.1").defines("bar", None))
}

#[test]
fn only_a_call_is_bound_late() {
    let at_start: &[&str] = &["error undefined-symbol app"];
    refers(Relocation::Call).check(&["libfoo.so.1"], &["warning undefined-symbol app"]);
    refers(Relocation::Data).check(&["libfoo.so.1"], at_start);
    refers(Relocation::ThreadLocal).check(&["libfoo.so.1"], at_start);
    refers(Relocation::Copy).check(&["libfoo.so.1"], at_start);
}

#[test]
fn what_fails_later_does_not_hide_what_fails_at_start() {
    let app = app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Call));
    case(app.imports("bar", None))
        .has("libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1"], &["error undefined-symbol app", "warning undefined-symbol app"]);
}

#[test]
fn immediate_binding_leaves_nothing_for_later() {
    let app = app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Call)).flags(8);
    case(app)
        .has("libfoo.so.1", library("libfoo.so.1"))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
    let mut environment = refers(Relocation::Call);
    environment.binds_now = true;
    environment.check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_symbol_that_no_relocation_names_is_not_looked_up() {
    case(app().imports("fnord", None).relocated(None).flags(8)).check(&[], &[]);
}

#[test]
fn a_copied_symbol_is_somebody_elses() {
    let app = || app().needs("libfoo.so.1").imports("foo", None).relocated(Some(Relocation::Copy));
    case(app()).has("libfoo.so.1", library("libfoo.so.1").defines("foo", None)).check(&["libfoo.so.1"], &[]);
    // The library's own reference is met by the program's copy.
    case(app())
        .has("libfoo.so.1", library("libfoo.so.1").imports("foo", None))
        .check(&["libfoo.so.1"], &["error undefined-symbol app"]);
}

#[test]
fn a_thread_local_reference_wants_a_thread_local_definition() {
    let app = |relocation| {
        let app = app().needs("libfoo.so.1").imports("foo", None);
        app.of_kind(SymbolKind::ThreadLocal).relocated(Some(relocation))
    };
    let library = || library("libfoo.so.1").defines("foo", None);
    let check = |relocation, severity: &str| {
        let thread_local = library().of_kind(SymbolKind::ThreadLocal);
        case(app(relocation)).has("libfoo.so.1", thread_local).check(&["libfoo.so.1"], &[]);
        let finding = format!("{severity} undefined-symbol app");
        case(app(relocation)).has("libfoo.so.1", library()).check(&["libfoo.so.1"], &[&finding]);
    };
    // ld.so writes the number of no module, and divides by an alignment of 0 for a place.
    check(Relocation::ThreadLocal, "warning");
    check(Relocation::ThreadLocalPlace, "error");
}

#[test]
fn a_library_without_version_nodes_needs_its_symbols_all_the_same() {
    let app = || app().needs("libfoo.so.1").imports("foo", Some(("libfoo.so.1", "V1"))).flags(8);
    // It has a DT_VERSYM, because it uses versions of others.
    let library =
        || library("libfoo.so.1").needs("libc.so.6").imports("abs", Some(("libc.so.6", "GLIBC_2.2.5")));
    let note = "note version-unknown app libfoo.so.1 V1";
    case(app()).has("libfoo.so.1", library().defines("foo", None)).check(&["libfoo.so.1"], &[note]);
    case(app())
        .has("libfoo.so.1", library().defines("bar", None))
        .check(&["libfoo.so.1"], &["error undefined-symbol app libfoo.so.1 V1", note]);
}

#[test]
fn a_library_without_any_versions_fails_an_assertion() {
    case(app().needs("libfoo.so.1").imports("foo", Some(("libfoo.so.1", "V1"))).flags(8))
        .has("libfoo.so.1", Object::library("libfoo.so.1").defines("foo", None))
        .check(
            &["libfoo.so.1"],
            &["error undefined-symbol app libfoo.so.1 V1", "note version-unknown app libfoo.so.1 V1"],
        );
}

#[test]
fn a_weak_version_need_needs_its_symbols_all_the_same() {
    let app = |relocation| {
        let app = app().needs("libfoo.so.1").weak_verneed("libfoo.so.1", &["V2"]);
        app.imports("foo", Some(("libfoo.so.1", "V2"))).relocated(Some(relocation))
    };
    let check = |relocation, findings: &[&str]| {
        case(app(relocation))
            .has("libfoo.so.1", library("libfoo.so.1").defines("foo", Some("V1")))
            .check(&["libfoo.so.1"], findings);
    };
    let weak = "warning version-too-new app libfoo.so.1 V2";
    check(Relocation::Data, &["error undefined-symbol app libfoo.so.1 V2", weak]);
    check(Relocation::Call, &["warning undefined-symbol app libfoo.so.1 V2", weak]);
}

#[test]
fn a_symbol_of_a_system_library_is_taken_to_be_there_if_the_builds_copy_has_it() {
    let app = || app().needs("libsqlite3.so.0").flags(8);
    let sqlite = || library("libsqlite3.so.0").defines("sqlite3_open", None);
    case(app().imports("sqlite3_open", None)).has("libsqlite3.so.0", sqlite()).check(&[], &[]);
    case(app().imports("sqlite3_fnord", None))
        .has("libsqlite3.so.0", sqlite())
        .check(&[], &["error undefined-symbol app"]);
}

#[test]
fn a_function_that_came_after_the_runtimes_release_is_not_there() {
    let late = "sqlite3_is_interrupted";
    let app = || app().needs("libsqlite3.so.0").flags(8).imports(late, None);
    let error = "error undefined-symbol app";
    case(app()).has("libsqlite3.so.0", library("libsqlite3.so.0").defines(late, None)).check(&[], &[error]);
    // Another library may define it.
    case(app().needs("libshim.so.1"))
        .has("libsqlite3.so.0", library("libsqlite3.so.0").defines(late, None))
        .has("libshim.so.1", library("libshim.so.1").defines(late, None))
        .check(&["libshim.so.1"], &[]);
}

#[test]
fn an_opened_library_sees_the_program_and_itself() {
    let check = |plugin: Object, other: Object, findings: &[&str]| {
        let mut case =
            case(app().defines("of_app", None)).has("libplug.so.1", plugin).has("libother.so.1", other);
        case.extra = vec!["libother.so.1".into(), "libplug.so.1".into()];
        case.check(&["libother.so.1", "libplug.so.1"], findings);
    };
    let (plugin, other) = (|| library("libplug.so.1"), || library("libother.so.1").defines("of_other", None));
    check(plugin().imports("of_app", None), other(), &[]);
    let error = &["error undefined-symbol libplug.so.1"];
    // Another opened library has a scope of its own.
    check(plugin().imports("of_other", None), other(), error);
    check(plugin().imports("of_other", None).needs("libother.so.1"), other(), &[]);
    // dlopen binds calls, too.
    check(plugin().imports("fnord", None).relocated(Some(Relocation::Call)), other(), error);
}

#[test]
fn a_library_by_itself_leaves_symbols_to_the_program_that_opens_it() {
    let plugin = || Object::plugin().needs("libc.so.6").imports("PyArg_ParseTuple", None).flags(8);
    case(plugin()).check(&[], &["note undefined-symbol app"]);
    // Nobody brings a version of glibc's.
    let plugin = plugin().imports("fnord", Some(("libc.so.6", "GLIBC_2.34")));
    case(plugin)
        .check(&[], &["error undefined-symbol app libc.so.6 GLIBC_2.34", "note undefined-symbol app"]);
}

#[test]
fn the_symbols_of_gccs_libraries_are_known_without_the_builds_copy() {
    let check = |soname: &str, symbol: &str, node: Option<&str>, findings: &[&str]| {
        let version = node.map(|node| (soname, node));
        case(app().needs(soname).imports(symbol, version).flags(8)).check(&[], findings);
    };
    check("libgcc_s.so.1", "_Unwind_Resume", Some("GCC_3.0"), &[]);
    check("libgcc_s.so.1", "foo_new", None, &["error undefined-symbol app"]);
    check("libstdc++.so.6", "_ZSt4cout", Some("GLIBCXX_3.4"), &[]);
    check("libstdc++.so.6", "_ZSt4cerr2", None, &["error undefined-symbol app"]);
    check(
        "libstdc++.so.6",
        "_ZSt4cerr2",
        Some("GLIBCXX_3.4"),
        &["error undefined-symbol app libstdc++.so.6 GLIBCXX_3.4"],
    );
}

#[test]
fn a_symbol_of_a_system_library_that_the_build_lacks_is_unknown() {
    case(app().needs("libsqlite3.so.0").imports("sqlite3_fnord", None).flags(8))
        .check(&[], &["warning undefined-symbol app"]);
    // glibc's are listed.
    case(app().needs("libc.so.6").imports("fnord", None).flags(8))
        .check(&[], &["error undefined-symbol app"]);
}

#[test]
fn a_program_for_another_machine_is_refused() {
    let case = case(Object::program().arm64().needs("libc.so.6"));
    case.check(&[], &["error interpreter-missing app", "error wrong-arch app"]);
}

#[test]
fn a_segment_that_lambdas_loader_cannot_map_is_refused() {
    // The fixture's segment is 0x10000 away from its offset; a later glibc only looks at pages.
    let of_align = |align: u64| {
        let built = library("libfoo.so.1").build();
        let at = built.header(PT_LOAD) + 48;
        Arc::new(elf::parse(&built.put_u64(at, align).bytes).unwrap())
    };
    let path = format!("{BUILD_LIB}/libfoo.so.1");
    for (align, findings) in
        [(0x1000, &[][..]), (0x10000, &[]), (0x20_0000, &["error not-elf lib/libfoo.so.1 libfoo.so.1"])]
    {
        case(app().needs("libfoo.so.1")).facts_at(&path, of_align(align)).check(&["libfoo.so.1"], findings);
    }
}

#[test]
fn a_library_for_a_later_kernel_is_passed_over() {
    let library_foo = |kernel| library("libfoo.so.1").abi_tag(kernel);
    let app = || app().needs("libfoo.so.1");
    case(app()).has("libfoo.so.1", library_foo([3, 2, 0])).check(&["libfoo.so.1"], &[]);
    case(app())
        .has("libfoo.so.1", library_foo([6, 1, 0]))
        .check(&["libfoo.so.1"], &["error missing-library app libfoo.so.1"]);
}
