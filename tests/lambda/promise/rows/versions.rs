//! Version nodes: wanted, offered, absent, hidden, weak, edited.

use crate::promise::scenario::{Scenario, row};

/// `foo` and `foo_new`; both need libc, so that the library has a DT_VERSYM of its own.
const NEW: &str =
    "#include <stdlib.h>\nint foo(void) { return abs(1); } int foo_new(void) { return atoi(\"2\"); }";
const OLD: &str = "#include <stdlib.h>\nint foo(void) { return atoi(\"1\"); }";
const BOTH: &str = "int foo(void); int foo_new(void);";
const CALLED: &str = "foo(); foo_new()";
const UNUSED: &str = "foo(); if (argc > 9) foo_new()";
const V1: &str = "-Wl,--version-script=v1.map";
const V1_SCRIPT: &str = "echo 'V1 { global: foo*; local: *; };' > v1.map";
const V12_SCRIPT: &str = "echo 'V1 { global: foo; local: *; }; V2 { global: foo_new; } V1;' > v12.map";
const V12: &str = "-Wl,--version-script=v12.map";

/// Sets VER_FLG_WEAK in all version needs of `prog`, as hacks for older systems do.
const WEAKEN: &str = r#"python3 - <<'END'
import struct
data = bytearray(open("prog", "rb").read())
at, = struct.unpack_from("<Q", data, 40)
size, count, _ = struct.unpack_from("<HHH", data, 58)
for index in range(count):
    header = struct.unpack_from("<IIQQQQIIQQ", data, at + index * size)
    if header[1] != 0x6ffffffe:
        continue
    need = header[4]
    while True:
        _, n, _, aux, after = struct.unpack_from("<HHIII", data, need)
        entry = need + aux
        for _ in range(n):
            flags, = struct.unpack_from("<H", data, entry + 4)
            struct.pack_into("<H", data, entry + 4, flags | 2)
            entry += struct.unpack_from("<I", data, entry + 12)[0]
        if not after:
            break
        need += after
open("prog", "wb").write(data)
END"#;

/// Linked with a library of which all is V1.
fn one_node(name: &str) -> Scenario {
    row(name).sh(V1_SCRIPT).library("new/libfoo.so.1", NEW, V1)
}

/// Linked with a library that has `foo_new` since V2.
fn two_nodes(name: &str) -> Scenario {
    row(name).sh(V12_SCRIPT).sh(V1_SCRIPT).library("new/libfoo.so.1", NEW, V12)
}

/// The library has nodes, or has them not.
fn nodes() -> Vec<Scenario> {
    vec![
        one_node("node_and_symbol_there")
            .library("lib/libfoo.so.1", NEW, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        one_node("node_there_symbol_gone")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .libc_bundle_too()
            .fails("undefined symbol: foo_new, version V1")
            .arm64(),
        one_node("node_there_symbol_gone_lazy")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, UNUSED, "-Wl,-z,lazy new/libfoo.so.1")
            .arm64(),
        one_node("no_nodes_symbol_there")
            .library("lib/libfoo.so.1", NEW, "")
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .libc_bundle_too()
            .arm64(),
        one_node("no_nodes_symbol_gone")
            .library("lib/libfoo.so.1", OLD, "")
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .libc_bundle_too()
            .fails("undefined symbol: foo_new, version V1")
            .arm64(),
        one_node("no_nodes_symbol_gone_lazy")
            .library("lib/libfoo.so.1", OLD, "")
            .program(BOTH, UNUSED, "-Wl,-z,lazy new/libfoo.so.1")
            .arm64(),
        one_node("no_nodes_address_gone")
            .library("lib/libfoo.so.1", OLD, "")
            .program(
                "int foo_new(void); int (*table[])(void) = {foo_new};",
                "if (argc > 9) table[argc]()",
                "new/libfoo.so.1",
            )
            .fails("undefined symbol: foo_new, version V1"),
    ]
}

/// Other nodes, or no DT_VERSYM at all.
fn without_nodes() -> Vec<Scenario> {
    vec![
        one_node("no_versym_symbol_there")
            .library(
                "lib/libfoo.so.1",
                "int foo(void) { return 1; } int foo_new(void) { return 1; }",
                "-nostdlib",
            )
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .libc_bundle_too()
            .fails("Assertion")
            .arm64(),
        one_node("no_versym_lazy_symbol_there")
            .library(
                "lib/libfoo.so.1",
                "int foo(void) { return 1; } int foo_new(void) { return 1; }",
                "-nostdlib",
            )
            .program(BOTH, CALLED, "-Wl,-z,lazy new/libfoo.so.1")
            .fails("Assertion"),
        one_node("other_node_only")
            .sh("echo 'V9 { global: *; };' > v9.map")
            .library("lib/libfoo.so.1", NEW, "-Wl,--version-script=v9.map")
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .fails("version `V1' not found")
            .arm64(),
    ]
}

/// Needs of nodes that some object offers, or none.
fn needs() -> Vec<Scenario> {
    vec![
        two_nodes("newer_node_there")
            .library("lib/libfoo.so.1", NEW, V12)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        two_nodes("newer_node_gone")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, CALLED, "new/libfoo.so.1")
            .libc_bundle_too()
            .fails("version `V2' not found")
            .arm64(),
        two_nodes("newer_node_gone_lazy_and_unused")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, UNUSED, "-Wl,-z,lazy new/libfoo.so.1")
            .fails("version `V2' not found"),
        two_nodes("newer_node_weakly_wanted")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(
                "int foo(void); __attribute__((weak)) int foo_new(void);",
                "foo(); if (foo_new) foo_new()",
                "-fPIC new/libfoo.so.1",
            )
            .sh(WEAKEN)
            .arm64(),
        two_nodes("weak_need_strong_symbol_gone")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .sh(WEAKEN)
            .libc_bundle_too()
            .fails("undefined symbol: foo_new, version V2")
            .arm64(),
        two_nodes("weak_need_strong_symbol_gone_lazy")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, UNUSED, "-Wl,-z,lazy new/libfoo.so.1")
            .sh(WEAKEN)
            .arm64(),
        two_nodes("weak_need_node_there")
            .library("lib/libfoo.so.1", NEW, V12)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .sh(WEAKEN),
    ]
}

/// Names that were changed in the file; ld.so compares the hash first.
fn edited() -> Vec<Scenario> {
    vec![
        two_nodes("edited_node_with_stale_hash")
            .library("lib/libfoo.so.1", NEW, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .sh("LC_ALL=C sed -i 's/\\x00V2\\x00/\\x00V1\\x00/' prog")
            .fails("version `V1' not found")
            .arm64(),
        two_nodes("edited_node_of_the_library_with_stale_hash")
            .library("lib/libfoo.so.1", NEW, V12)
            .sh("LC_ALL=C sed -i 's/\\x00V2\\x00/\\x00V3\\x00/' lib/libfoo.so.1")
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .fails("version `V2' not found"),
        two_nodes("edited_nodes_on_both_sides")
            .library("lib/libfoo.so.1", NEW, V12)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .sh("LC_ALL=C sed -i 's/\\x00V2\\x00/\\x00V3\\x00/' prog lib/libfoo.so.1")
            .arm64(),
    ]
}

/// References without a version to a library with nodes.
fn unversioned() -> Vec<Scenario> {
    vec![
        row("unversioned_reference_default_node")
            .sh(V1_SCRIPT)
            .library("new/libfoo.so.1", NEW, "")
            .library("lib/libfoo.so.1", NEW, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("unversioned_reference_node_lacks_it")
            .sh(V1_SCRIPT)
            .library("new/libfoo.so.1", NEW, "")
            .library("lib/libfoo.so.1", OLD, V1)
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: foo_new")
            .arm64(),
    ]
}

/// Which definition a reference gets.
fn which() -> Vec<Scenario> {
    let hidden = "int foo1(void) { return 1; } __asm__(\".symver foo1, foo@V1\");\n";
    let two_hidden = "int foo1(void) { return 1; } int foo2(void) { return 2; }\n\
                      __asm__(\".symver foo1, foo@V1\"); __asm__(\".symver foo2, foo@V2\");\n";
    let maps = "echo 'V1 { }; V2 { } V1;' > v.map";
    let map = "-Wl,--version-script=v.map";
    vec![
        row("unversioned_reference_one_hidden_node")
            .sh(maps)
            .library("new/libfoo.so.1", "int foo(void) { return 1; }", "")
            .library("lib/libfoo.so.1", hidden, map)
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("unversioned_reference_two_hidden_nodes")
            .sh(maps)
            .library("new/libfoo.so.1", "int foo(void) { return 1; }", "")
            .library("lib/libfoo.so.1", two_hidden, map)
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("unversioned_reference_hidden_later_nodes")
            .sh("echo 'V0 { }; V1 { } V0; V2 { } V1;' > v.map")
            .library("new/libfoo.so.1", "int foo(void) { return 1; }", "")
            .library("lib/libfoo.so.1", two_hidden, map)
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: foo"),
        row("default_node_is_now_hidden")
            .sh(maps)
            .library(
                "new/libfoo.so.1",
                "int foo2(void) { return 1; } __asm__(\".symver foo2, foo@@V2\");",
                map,
            )
            .library("lib/libfoo.so.1", two_hidden, map)
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("old_node_is_gone")
            .sh(maps)
            .library(
                "new/libfoo.so.1",
                "int foo2(void) { return 1; } __asm__(\".symver foo2, foo@@V2\");",
                map,
            )
            .library("lib/libfoo.so.1", hidden, map)
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: foo, version V2"),
    ]
}

/// Definitions in another object than the need names.
fn elsewhere() -> Vec<Scenario> {
    vec![
        row("version_of_another_object")
            .sh(V1_SCRIPT)
            .library("new/libfoo.so.1", NEW, V1)
            .library("lib/libbar.so.1", "#include <stdlib.h>\nint foo_new(void) { return abs(2); }", V1)
            .library("lib/libfoo.so.1", OLD, &format!("{V1} -Wl,--no-as-needed lib/libbar.so.1"))
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("unversioned_definition_of_another_object")
            .sh(V1_SCRIPT)
            .library("new/libfoo.so.1", NEW, V1)
            .library("lib/libbar.so.1", "#include <stdlib.h>\nint foo_new(void) { return abs(2); }", "")
            .library("lib/libfoo.so.1", OLD, &format!("{V1} -Wl,--no-as-needed lib/libbar.so.1"))
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("definition_without_versym_of_another_object")
            .sh(V1_SCRIPT)
            .library("new/libfoo.so.1", NEW, V1)
            .library("lib/libbar.so.1", "int foo_new(void) { return 2; }", "-nostdlib")
            .library("lib/libfoo.so.1", OLD, &format!("{V1} -Wl,--no-as-needed lib/libbar.so.1"))
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .arm64(),
        row("other_version_of_another_object")
            .sh(V1_SCRIPT)
            .sh("echo 'V7 { global: *; };' > v7.map")
            .library("new/libfoo.so.1", NEW, V1)
            .library(
                "lib/libbar.so.1",
                "#include <stdlib.h>\nint foo_new(void) { return abs(2); }",
                "-Wl,--version-script=v7.map",
            )
            .library("lib/libfoo.so.1", OLD, &format!("{V1} -Wl,--no-as-needed lib/libbar.so.1"))
            .program(BOTH, CALLED, "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: foo_new, version V1"),
    ]
}

/// glibc's own nodes.
fn glibc() -> Vec<Scenario> {
    vec![
        row("glibc_node_edited_to_an_older_one")
            .program(
                "#include <math.h>\nvolatile double x = 2;",
                "if (pow(x, x) != 4) return 1",
                "-Wl,-z,lazy -fno-builtin -lm",
            )
            .sh("LC_ALL=C sed -i 's/GLIBC_2\\.29/GLIBC_2.27/' prog")
            .fails("version `GLIBC_2.27' not found")
            .arm64(),
        row("glibc_newer_than_the_table_has")
            .program("#include <stdlib.h>", "if (arc4random() == arc4random()) return 1", "")
            .captured_only(),
        row("glibc_newer_than_the_table_has_bundled")
            .program("#include <stdlib.h>", "if (arc4random() == arc4random()) return 1", "")
            .libc_bundle_only()
            .arm64(),
        row("glibc_newer_than_bullseye")
            .program("", "", "")
            .on_bullseye()
            .fails("version `GLIBC_2.34' not found"),
        row("glibc_newer_than_bullseye_weakly")
            .program("", "", "-Wl,-z,lazy")
            .sh(WEAKEN)
            .on_bullseye()
            .fails("__libc_start_main"),
        row("glibc_private_symbol_there").program(
            "int __sendmmsg();",
            "if (argc > 9) __sendmmsg()",
            "-Wl,-z,now",
        ),
        row("glibc_private_symbol_gone")
            .program("int __sendmmsg();", "if (argc > 9) __sendmmsg()", "-Wl,-z,now")
            .sh("LC_ALL=C sed -i 's/\\x00__sendmmsg\\x00/\\x00__sendmmsX\\x00/' prog")
            .libc_bundle_too()
            .fails("undefined symbol: __sendmmsX, version GLIBC_PRIVATE"),
        row("packed_relocations_with_a_glibc_that_knows_them")
            .program("void *table[] = {&table, &table};", "", "-Wl,-z,pack-relative-relocs")
            .captured_only(),
        row("packed_relocations_bundled")
            .program("void *table[] = {&table, &table};", "", "-Wl,-z,pack-relative-relocs")
            .libc_bundle_only(),
        row("packed_relocations_on_bullseye")
            .library(
                "lib/libfoo.so.1",
                "void *table[] = {&table, &table}; int foo(void) { return 1; }",
                "-Wl,-z,pack-relative-relocs",
            )
            .program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .on_bullseye()
            .fails("not found"),
    ]
}

/// Symbols of libraries that the system has too, which have no version nodes.
///
/// `sqlite3_is_interrupted` came with SQLite 3.41.0 (its changes.html); Amazon Linux 2023 and Debian 12 have 3.40.
fn of_the_system() -> Vec<Scenario> {
    let newer = "const char *sqlite3_libversion(void) { return \"3.41.0\"; } int sqlite3_is_interrupted(void *db) { return 0; }";
    let declarations = "const char *sqlite3_libversion(void); int sqlite3_is_interrupted(void *db);";
    let calls = "sqlite3_libversion(); if (argc > 9) sqlite3_is_interrupted(0)";
    let linked = row("").library("new/libsqlite3.so.0", newer, "");
    let program = |row: Scenario| row.program(declarations, calls, "-Wl,-z,now new/libsqlite3.so.0");
    let own = |name: &str| program(linked.named(name).library("lib/libsqlite3.so.0", newer, ""));
    vec![
        program(linked.named("sqlite_function_that_no_sqlite_here_has"))
            .libc_bundle_too()
            .fails("undefined symbol: sqlite3_is_interrupted"),
        own("sqlite_function_of_a_newer_sqlite").fails("undefined symbol: sqlite3_is_interrupted"),
        own("sqlite_function_of_a_newer_sqlite_bundled").flags("--bundle-lib libsqlite3.so.0"),
        row("sqlite_function_there").program(
            "const char *sqlite3_libversion(void);",
            "if (!sqlite3_libversion()) return 1",
            "-Wl,-z,now -l:libsqlite3.so.0",
        ),
        row("zlib_symbol_that_no_zlib_has")
            .library(
                "new/libz.so.1",
                "const char *zlibVersion(void) { return \"2\"; } int zlib_newest(void) { return 1; }",
                "",
            )
            .program(
                "const char *zlibVersion(void); int zlib_newest(void);",
                "zlibVersion(); if (argc > 9) zlib_newest()",
                "-Wl,-z,now new/libz.so.1",
            )
            .fails("undefined symbol: zlib_newest"),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [
        nodes(),
        without_nodes(),
        needs(),
        edited(),
        unversioned(),
        which(),
        elsewhere(),
        glibc(),
        of_the_system(),
    ]
    .concat()
}
