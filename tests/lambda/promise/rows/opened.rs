//! Libraries that the program opens while it runs, named by `--dlopen`, or included as files.

use crate::promise::scenario::{Scenario, row};

const DLFCN: &str = "#include <dlfcn.h>\n";

/// Opens the plugin before it says that it started.
fn opens(name: &str, mode: &str) -> String {
    format!("if (!dlopen(\"{name}\", {mode})) {{ fputs(dlerror(), stderr); return 3; }}")
}

/// A row with `lib/libplug.so.1` of this source, opened with RTLD_NOW.
fn plugin(name: &str, source: &str, flags: &str) -> Scenario {
    row(name)
        .library("lib/libplug.so.1", source, flags)
        .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
        .flags(LIB)
}

const LIB: &str = "--dlopen libplug.so.1";
const PLUG: &str = "int plug(void) { return 1; }";
const WANTS: &str = "int gone(void); int plug(void) { return gone(); }";

fn tls(bytes: usize, model: &str) -> String {
    format!(
        "__thread char t[{bytes}] __attribute__((tls_model(\"{model}\"))) = {{1}};\n\
         char *plug(int i) {{ return &t[i]; }}"
    )
}

fn symbols() -> Vec<Scenario> {
    vec![
        plugin("opened", PLUG, "").libc_bundle_too().arm64(),
        plugin("opened_lacks_a_function", WANTS, "")
            .libc_bundle_too()
            .fails("undefined symbol: gone")
            .arm64(),
        row("opened_lazily_lacks_a_function")
            .library("lib/libplug.so.1", WANTS, "-Wl,-z,lazy")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_LAZY"), "")
            .flags(LIB),
        row("opened_lazily_lacks_a_function_with_ld_bind_now")
            .library("lib/libplug.so.1", WANTS, "-Wl,-z,lazy")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_LAZY"), "")
            .flags(LIB)
            .env("LD_BIND_NOW", "1")
            .fails("undefined symbol: gone"),
        row("opened_lazily_lacks_data")
            .library("lib/libplug.so.1", "extern int gone; int plug(void) { return gone; }", "-Wl,-z,lazy")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_LAZY"), "")
            .flags(LIB)
            .fails("undefined symbol: gone"),
        plugin("opened_lacks_data", "extern int gone; int plug(void) { return gone; }", "")
            .fails("undefined symbol: gone")
            .arm64(),
        plugin(
            "opened_lacks_a_weak_function",
            "__attribute__((weak)) int gone(void); int plug(void) { return gone ? gone() : 1; }",
            "",
        ),
    ]
}

/// Who gives an opened library what it wants.
fn givers() -> Vec<Scenario> {
    vec![
        row("opened_takes_it_from_the_program")
            .library("lib/libplug.so.1", WANTS, "")
            .program(
                &format!("{DLFCN} int gone(void) {{ return 1; }}"),
                &opens("libplug.so.1", "RTLD_NOW"),
                "-rdynamic",
            )
            .flags(LIB)
            .arm64(),
        row("opened_wants_what_the_program_does_not_export")
            .library("lib/libplug.so.1", WANTS, "")
            .program(
                &format!("{DLFCN} __attribute__((visibility(\"hidden\"))) int gone(void) {{ return 1; }}"),
                &opens("libplug.so.1", "RTLD_NOW"),
                "-rdynamic",
            )
            .flags(LIB)
            .fails("undefined symbol: gone"),
        row("opened_takes_it_from_a_library_of_the_program")
            .library("lib/libfoo.so.1", "int gone(void) { return 1; } int foo(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "")
            .program(
                &format!("{DLFCN} int foo(void);"),
                &format!("foo(); {}", opens("libplug.so.1", "RTLD_NOW")),
                "lib/libfoo.so.1",
            )
            .flags(LIB)
            .arm64(),
        plugin(
            "opened_takes_it_from_libc",
            "#include <stdlib.h>\nint plug(void) { return atoi(\"1\"); }",
            "-nostdlib -Wl,-z,now",
        ),
        row("opened_takes_it_from_its_own_need")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .arm64(),
        row("opened_lacks_its_own_need")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .sh("rm lib/libown.so.1")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("libown.so.1: cannot open"),
        row("opened_is_not_there")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("libplug.so.1: cannot open"),
    ]
}

fn scopes() -> Vec<Scenario> {
    let two = |mode: &str| format!("{} {}", opens("libfirst.so.1", mode), opens("libplug.so.1", "RTLD_NOW"));
    vec![
        row("opened_wants_what_another_opened_has")
            .library("lib/libfirst.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "")
            .program(DLFCN, &two("RTLD_NOW"), "")
            .flags("--dlopen libfirst.so.1 --dlopen libplug.so.1")
            .fails("undefined symbol: gone")
            .arm64(),
        row("opened_wants_what_another_opened_globally_has")
            .library("lib/libfirst.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "")
            .program(DLFCN, &two("RTLD_NOW | RTLD_GLOBAL"), "")
            .flags("--dlopen libfirst.so.1 --dlopen libplug.so.1"),
        row("program_wants_what_only_an_opened_library_has")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .library("lib/libplug.so.1", "int gone(void) { return 1; }", "")
            .program("int foo(void); int gone(void);", "foo(); gone()", "-Wl,-z,now new/libfoo.so.1")
            .flags(LIB)
            .fails("undefined symbol: gone")
            .arm64(),
        row("two_opened_with_one_need")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libfirst.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .program(DLFCN, &two("RTLD_NOW"), "")
            .flags("--dlopen libfirst.so.1 --dlopen libplug.so.1"),
        row("several_opened_of_which_one_needs_another")
            .library("lib/libfirst.so.1", "int gone(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libfirst.so.1")
            .library("lib/libthird.so.1", "int third(void) { return 1; }", "")
            .program(DLFCN, &format!("{} {}", opens("libthird.so.1", "RTLD_NOW"), two("RTLD_NOW")), "")
            .flags("--dlopen libthird.so.1 --dlopen libfirst.so.1 --dlopen libplug.so.1"),
        row("several_opened_of_which_one_lacks_a_symbol")
            .library("lib/libfirst.so.1", "int first(void) { return 1; }", "")
            .library("lib/libplug.so.1", WANTS, "")
            .program(DLFCN, &two("RTLD_NOW"), "")
            .flags("--dlopen libfirst.so.1 --dlopen libplug.so.1")
            .fails("undefined symbol: gone"),
        row("opened_is_needed_as_well")
            .library("lib/libplug.so.1", PLUG, "")
            .program(
                &format!("{DLFCN} int plug(void);"),
                &format!("plug(); {}", opens("libplug.so.1", "RTLD_NOW")),
                "lib/libplug.so.1",
            )
            .flags(LIB),
    ]
}

fn refused_by_dlopen() -> Vec<Scenario> {
    vec![
        plugin("opened_with_noopen", PLUG, "-Wl,-z,nodlopen")
            .fails("shared object cannot be dlopen()ed")
            .arm64(),
        row("needed_with_noopen")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "-Wl,-z,nodlopen")
            .program("int foo(void);", "foo()", "lib/libfoo.so.1"),
        row("opened_and_needed_with_noopen")
            .library("lib/libplug.so.1", PLUG, "-Wl,-z,nodlopen")
            .program(
                &format!("{DLFCN} int plug(void);"),
                &format!("plug(); {}", opens("libplug.so.1", "RTLD_NOW")),
                "lib/libplug.so.1",
            )
            .flags(LIB),
        row("need_of_an_opened_with_noopen")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "-Wl,-z,nodlopen")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("shared object cannot be dlopen()ed"),
    ]
}

fn storage() -> Vec<Scenario> {
    vec![
        plugin("opened_with_nodelete", PLUG, "-Wl,-z,nodelete"),
        plugin("opened_tls_100_kb_initial_exec", &tls(100_000, "initial-exec"), "")
            .fails("cannot allocate memory in static TLS block")
            .arm64(),
        plugin("opened_tls_5000_initial_exec", &tls(5_000, "initial-exec"), "")
            .fails("cannot allocate memory in static TLS block"),
        plugin("opened_tls_5000_initial_exec_by_a_tunable", &tls(5_000, "initial-exec"), "")
            .env("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=8000")
            .arm64(),
        plugin("opened_tls_1400_initial_exec", &tls(1_400, "initial-exec"), ""),
        plugin("opened_tls_1400_initial_exec_without_the_optional_space", &tls(1_400, "initial-exec"), "")
            .env("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=0")
            .fails("cannot allocate memory in static TLS block"),
        plugin("opened_tls_64_initial_exec", &tls(64, "initial-exec"), "").libc_bundle_too().arm64(),
        plugin("opened_tls_100_kb_global_dynamic", &tls(100_000, "global-dynamic"), "").arm64(),
        row("needed_tls_100_kb_initial_exec")
            .library(
                "lib/libfoo.so.1",
                &format!("{} int foo(void) {{ return 1; }}", tls(100_000, "initial-exec")),
                "",
            )
            .program("int foo(void);", "foo()", "lib/libfoo.so.1"),
    ]
}

/// Files of another kind, nodes and places.
fn files() -> Vec<Scenario> {
    vec![
        row("opened_musl_library")
            .musl_library(
                "lib/libplug.so.1",
                "#include <stdlib.h>\nint plug(void) { return atoi(\"1\"); }",
                "-Wl,--no-as-needed",
            )
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("cannot open shared object file"),
        row("opened_is_a_program")
            .other_program("lib/libplug.so.1", "", "", "-Wl,-soname,libplug.so.1")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("cannot dynamically load position-independent executable"),
        row("opened_wants_a_newer_node")
            .sh("echo 'V1 { global: *; };' > v1.map; echo 'V2 { global: *; };' > v2.map")
            .library("new/libown.so.1", "int gone(void) { return 1; }", "-Wl,--version-script=v2.map")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "-Wl,--version-script=v1.map")
            .library("lib/libplug.so.1", WANTS, "-Wl,--no-as-needed new/libown.so.1")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "")
            .flags(LIB)
            .fails("version `V2' not found"),
        row("opened_by_the_search_path_of_the_program")
            .library("plugins/libplug.so.1", PLUG, "")
            .program(DLFCN, &opens("libplug.so.1", "RTLD_NOW"), "-Wl,-rpath,$ORIGIN/plugins")
            .flags("--include plugins/libplug.so.1=plugins/"),
    ]
}

fn included() -> Vec<Scenario> {
    let open = opens("/var/task/plugins/libplug.so.1", "RTLD_NOW");
    vec![
        row("included_plugin")
            .library("plugins/libplug.so.1", PLUG, "")
            .program(DLFCN, &open, "")
            .flags("--include plugins/libplug.so.1=plugins/")
            .libc_bundle_too()
            .arm64(),
        row("included_plugin_with_a_need")
            .library("lib/libown.so.1", "int gone(void) { return 1; }", "")
            .library("plugins/libplug.so.1", WANTS, "-Wl,--no-as-needed lib/libown.so.1")
            .program(DLFCN, &open, "")
            .flags("--include plugins/libplug.so.1=plugins/ --library-path lib")
            .libc_bundle_too(),
        row("included_plugin_without_libc")
            .library("plugins/libplug.so.1", PLUG, "-nostdlib")
            .program(DLFCN, &open, "")
            .flags("--include plugins/libplug.so.1=plugins/")
            .libc_bundle_too(),
        row("included_plugin_of_symbols_of_the_program")
            .library("plugins/libplug.so.1", WANTS, "")
            .program(&format!("{DLFCN} int gone(void) {{ return 1; }}"), &open, "-rdynamic")
            .flags("--include plugins/libplug.so.1=plugins/"),
        row("included_library_that_the_program_loads_with_a_need_by_its_rpath")
            .library("libs/deep/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library(
                "libs/libfoo.so.1",
                "int deep(void); int foo(void) { return deep(); }",
                "libs/deep/libdeep.so.1",
            )
            .program(
                "int foo(void);",
                "foo()",
                "libs/libfoo.so.1 -Wl,--disable-new-dtags -Wl,-rpath,$ORIGIN/libs:$ORIGIN/libs/deep -Wl,-rpath-link,libs/deep",
            )
            .flags("--include libs")
            .arm64(),
        row("included_musl_plugin")
            .musl_library(
                "plugins/libplug.so.1",
                "#include <stdlib.h>\nint plug(void) { return atoi(\"1\"); }",
                "-Wl,--no-as-needed",
            )
            .program(DLFCN, &open, "")
            .flags("--include plugins/libplug.so.1=plugins/")
            .without("lib/libc.so")
            .fails("cannot open shared object file"),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [symbols(), givers(), scopes(), refused_by_dlopen(), storage(), files(), included()].concat()
}
