//! Where libraries are found: RPATH and RUNPATH, `LD_LIBRARY_PATH`, needs by path, names that collide.

use crate::promise::scenario::{Scenario, row};

const FOO: &str = "int foo(void) { return 1; }";
const CALLS: &str = "int foo(void);";

fn search_paths() -> Vec<Scenario> {
    vec![
        row("runpath_of_the_program")
            .library("libs/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "libs/libfoo.so.1 -Wl,-rpath,$ORIGIN/libs -Wl,--enable-new-dtags")
            .libc_bundle_too()
            .arm64(),
        row("rpath_of_the_program")
            .library("libs/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "libs/libfoo.so.1 -Wl,-rpath,$ORIGIN/libs -Wl,--disable-new-dtags")
            .libc_bundle_too()
            .arm64(),
        row("runpath_does_not_serve_what_a_library_needs")
            .library("lib/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library(
                "lib/libfoo.so.1",
                "int deep(void); int foo(void) { return deep(); }",
                "lib/libdeep.so.1",
            )
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath,$ORIGIN/lib -Wl,-rpath-link,lib"),
        row("inner_runpath")
            .library("lib/inner/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library(
                "lib/libfoo.so.1",
                "int deep(void); int foo(void) { return deep(); }",
                "lib/inner/libdeep.so.1 -Wl,-rpath,$ORIGIN/inner",
            )
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib/inner")
            .libc_bundle_too(),
        row("rpath_up_and_down")
            .library("lib/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library(
                "lib/libfoo.so.1",
                "int deep(void); int foo(void) { return deep(); }",
                "lib/libdeep.so.1 -Wl,-rpath,$ORIGIN/../lib -Wl,--disable-new-dtags",
            )
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib")
            .libc_bundle_too()
            .arm64(),
        row("rpath_with_a_dot").library("lib/libfoo.so.1", FOO, "").program(
            CALLS,
            "foo()",
            "lib/libfoo.so.1 -Wl,-rpath,$ORIGIN/./lib -Wl,--disable-new-dtags",
        ),
        row("library_is_nowhere")
            .library("new/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "new/libfoo.so.1")
            .fails("libfoo.so.1: cannot open shared object file")
            .libc_bundle_too()
            .arm64(),
        row("need_of_a_library_is_nowhere")
            .library("new/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library(
                "lib/libfoo.so.1",
                "int deep(void); int foo(void) { return deep(); }",
                "new/libdeep.so.1",
            )
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,new")
            .fails("libdeep.so.1: cannot open shared object file")
            .arm64(),
    ]
}

fn library_paths() -> Vec<Scenario> {
    vec![
        row("library_path_without_the_bundle")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .env("LD_LIBRARY_PATH", "/opt/lib")
            .fails("libfoo.so.1: cannot open shared object file")
            .arm64(),
        row("library_path_of_the_bundle_only")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .env("LD_LIBRARY_PATH", "/var/task/lib")
            .arm64(),
        row("relative_library_path")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .env("LD_LIBRARY_PATH", "lib:/nowhere"),
        row("library_path_with_a_dot")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .env("LD_LIBRARY_PATH", "/var/task/./lib"),
        row("rpath_serves_where_the_library_path_does_not")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath,/var/task/lib -Wl,--disable-new-dtags")
            .env("LD_LIBRARY_PATH", "/opt/lib"),
    ]
}

/// What `LD_PRELOAD` names is loaded before the program's needs.
fn preloads() -> Vec<Scenario> {
    vec![
        row("preloaded_library_is_there")
            .library("lib/libfoo.so.1", FOO, "")
            .program("", "", "")
            .flags("--include lib/libfoo.so.1=lib/")
            .env("LD_PRELOAD", "/var/task/lib/libfoo.so.1"),
        row("preloaded_library_is_not_there")
            .program("", "", "")
            .env("LD_PRELOAD", "/var/task/lib/libgone.so.1"),
        row("preloaded_library_lacks_data")
            .library("lib/libfoo.so.1", "extern int gone; int *foo(void) { return &gone; }", "")
            .program("", "", "")
            .flags("--include lib/libfoo.so.1=lib/")
            .env("LD_PRELOAD", "/var/task/lib/libfoo.so.1")
            .fails("undefined symbol: gone"),
        row("preloaded_library_has_what_another_lacks")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", FOO, "")
            .library("lib/libpre.so.1", "int gone(void) { return 1; }", "")
            .program("int foo(void); int gone(void);", "foo(); gone()", "-Wl,-z,now new/libfoo.so.1")
            .flags("--include lib/libpre.so.1=lib/")
            .env("LD_PRELOAD", "/var/task/lib/libpre.so.1"),
    ]
}

/// DF_1_NODEFLIB, DT_FILTER and DT_AUXILIARY.
fn tags() -> Vec<Scenario> {
    vec![
        row("program_without_default_directories")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-z,nodefaultlib")
            .arm64(),
        row("program_without_default_directories_and_a_short_path")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-z,nodefaultlib")
            .env("LD_LIBRARY_PATH", "/var/task/lib")
            .fails("libc.so.6: cannot open shared object file"),
        row("filtered_library_is_not_there")
            .library("lib/libfoo.so.1", FOO, "-Wl,--filter=libgone.so.1")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .fails("libgone.so.1: cannot open shared object file"),
        row("auxiliary_library_is_not_there")
            .library("lib/libfoo.so.1", FOO, "-Wl,--auxiliary=libgone.so.1")
            .program(CALLS, "foo()", "lib/libfoo.so.1"),
        row("filtered_library_is_there")
            .library("lib/libreal.so.1", FOO, "")
            .library("lib/libfoo.so.1", FOO, "-Wl,--filter=libreal.so.1")
            .program(CALLS, "foo()", "-Wl,-z,now lib/libfoo.so.1"),
    ]
}

fn needs_by_path() -> Vec<Scenario> {
    vec![
        row("need_by_relative_path")
            .library("lib/libfoo.so.1", FOO, "-Dno_soname")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .libc_bundle_too()
            .arm64(),
        row("need_by_absolute_path")
            .library("lib/libfoo.so.1", FOO, "-Dno_soname")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .sh("patchelf --replace-needed lib/libfoo.so.1 $PWD/lib/libfoo.so.1 prog"),
        row("need_by_origin")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .sh("patchelf --replace-needed libfoo.so.1 '$ORIGIN/lib/libfoo.so.1' prog")
            .libc_bundle_too(),
        row("need_by_origin_outside_of_the_bundle")
            .library("libs/libfoo.so.1", FOO, "")
            .sh("mkdir bin")
            .program(CALLS, "foo()", "libs/libfoo.so.1")
            .sh("patchelf --replace-needed libfoo.so.1 '$ORIGIN/../libs/libfoo.so.1' prog; mv prog bin/; ln -s bin/prog prog"),
        row("one_library_by_path_and_by_name")
            .library("lib/libfoo.so.1", FOO, "")
            .library("lib/libbar.so.1", "int foo(void); int bar(void) { return foo(); }", "lib/libfoo.so.1")
            .program("int foo(void); int bar(void);", "foo(); bar()", "lib/libfoo.so.1 lib/libbar.so.1")
            .sh("patchelf --replace-needed libfoo.so.1 $PWD/lib/libfoo.so.1 prog"),
        row("file_name_differs_from_the_soname")
            .library("lib/libfoo.so", FOO, "-Wl,-soname,libfoo.so.1")
            .program(CALLS, "foo()", "lib/libfoo.so")
            .sh("patchelf --replace-needed libfoo.so.1 libfoo.so prog"),
        row("two_needs_of_one_soname")
            .library("lib/libfoo.so", FOO, "-Wl,-soname,libfoo.so.1")
            .sh("cp lib/libfoo.so lib/libfoo.so.1")
            .library("lib/libbar.so.1", "int foo(void); int bar(void) { return foo(); }", "lib/libfoo.so.1")
            .program("int foo(void); int bar(void);", "foo(); bar()", "lib/libfoo.so lib/libbar.so.1")
            .sh("patchelf --replace-needed libfoo.so.1 libfoo.so prog"),
        row("another_soname_than_needed_that_lacks_a_symbol")
            .library("lib/libfoo.so", FOO, "-Wl,-soname,libcommon.so.1")
            .library("lib/libcommon.so.1", "int common(void) { return 1; }", "")
            .library("lib/libbar.so.1", "int common(void); int bar(void) { return common(); }", "-Wl,-z,now lib/libcommon.so.1")
            .program("int foo(void); int bar(void);", "foo(); bar()", "-Wl,--no-as-needed lib/libfoo.so lib/libbar.so.1 -Wl,--allow-shlib-undefined")
            .sh("patchelf --replace-needed libcommon.so.1 libfoo.so prog")
            .fails("undefined symbol: common"),
    ]
}

fn odd_files() -> Vec<Scenario> {
    vec![
        row("string_table_in_two_segments")
            .sh(
                "python3 -c 'print(\"#include <stdio.h>\")\nfor i in range(9000): print(\"int exported_function_number_%d(void) { return %d; }\" % (i, i))\n\
                 print(\"const char sign[] = \\\"AWS_LAMBDA_RUNTIME_API\\\"; int main(void) { puts(\\\"started-as-promised\\\"); return 0; }\")' > big.c\n\
                 cc -O0 -no-pie -rdynamic -w big.c -o prog\n\
                 patchelf --set-rpath '$ORIGIN/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/lib' prog",
            )
            .libc_bundle_too(),
        row("two_libraries_of_one_symbol")
            .library("lib/libfoo.so.1", FOO, "")
            .library("lib/libbar.so.1", "int foo(void) { return 2; }", "")
            .program(CALLS, "if (foo() != 1) return 1", "-Wl,--no-as-needed lib/libfoo.so.1 lib/libbar.so.1"),
        row("libraries_in_a_circle")
            .library("lib/libbar.so.1", "int bar(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int bar(void); int foo(void) { return bar(); }", "lib/libbar.so.1")
            .library("lib/libbar.so.1", "int foo(void); int bar(void) { return 1; } int unused(void) { return foo(); }", "lib/libfoo.so.1")
            .program(CALLS, "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib")
            .libc_bundle_too(),
        row("library_is_a_text")
            .library("new/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "new/libfoo.so.1")
            .sh("mkdir lib; echo 'this is a text, and long enough to be no ELF file of any kind, is it not so' > lib/libfoo.so.1")
            .fails("libfoo.so.1"),
        row("library_is_empty")
            .library("new/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "new/libfoo.so.1")
            .sh("mkdir lib; : > lib/libfoo.so.1")
            .fails("libfoo.so.1"),
        row("library_is_cut_short")
            .library("lib/libfoo.so.1", &format!("{FOO} char room[200000] = {{1}};"), "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .sh("truncate -s 9000 lib/libfoo.so.1")
            .fails("status 1"),
        row("stripped_of_its_sections")
            .library("lib/libfoo.so.1", FOO, "")
            .program(CALLS, "foo()", "lib/libfoo.so.1")
            .sh("strip lib/libfoo.so.1 prog"),
        row("library_with_text_relocations")
            .library("lib/libfoo.so.1", "int value = 1; __asm__(\".text\\n.quad value\\n\"); int foo(void) { return value; }", "-Wl,-z,notext")
            .program(CALLS, "foo()", "lib/libfoo.so.1"),
        row("executable_stack")
            .library("lib/libfoo.so.1", FOO, "-z execstack")
            .program(CALLS, "foo()", "lib/libfoo.so.1 -z execstack"),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [search_paths(), library_paths(), preloads(), tags(), needs_by_path(), odd_files()].concat()
}
