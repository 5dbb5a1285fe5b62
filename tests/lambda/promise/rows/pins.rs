//! Libraries that the system has, too: which copy loads, and whether all users of it get on with it.
//!
//! The root has three libraries of ours, see `SYSTEM_LIBRARIES`; the embedded table does not know them.

use crate::promise::scenario::{Scenario, row};

/// What is built into the root before it is captured: file, source, nodes, flags.
pub const SYSTEM_LIBRARIES: &[[&str; 4]] = &[
    [
        "libsysa.so.1",
        "#include <stdlib.h>\nint a1(void) { return abs(1); }",
        "SYSA_1.0 { global: a1; local: *; };",
        "",
    ],
    [
        "libsysb.so.1",
        "int a1(void); int b1(void) { return a1(); }",
        "SYSB_1.0 { global: b1; local: *; };",
        "-Wl,-z,now libsysa.so.1",
    ],
    ["libsysu.so.1", "#include <stdlib.h>\nint u1(void) { return abs(1); }", "", ""],
];

const A1: &str = "#include <stdlib.h>\nint a1(void) { return abs(1); }";
const A2: &str = "#include <stdlib.h>\nint a1(void) { return abs(1); } int a2(void) { return abs(2); }";
const ONLY_A2: &str = "#include <stdlib.h>\nint a2(void) { return abs(2); }";
const SCRIPTS: &str = "mkdir -p sys; echo 'SYSA_1.0 { global: a1; local: *; };' > a1.map\n\
    echo 'SYSA_1.0 { global: a1; local: *; }; SYSA_2.0 { global: a2; } SYSA_1.0;' > a2.map\n\
    echo 'SYSA_2.0 { global: a2; local: *; };' > only.map\n\
    echo 'SYSB_1.0 { global: b1; local: *; };' > b1.map";

/// A row that can link with copies of the system's libraries, in `sys/`, and with a newer `libsysa.so.1`, in `new/`.
fn begun(name: &str) -> Scenario {
    row(name)
        .sh(SCRIPTS)
        .library("sys/libsysa.so.1", A1, "-Wl,--version-script=a1.map")
        .library(
            "sys/libsysb.so.1",
            "int a1(void); int b1(void) { return a1(); }",
            "-Wl,--version-script=b1.map sys/libsysa.so.1",
        )
        .library("sys/libsysu.so.1", "#include <stdlib.h>\nint u1(void) { return abs(1); }", "")
        .library("new/libsysa.so.1", A2, "-Wl,--version-script=a2.map")
        .captured_only()
}

/// SYSA_1.0 is there, and `a1` is not.
const LOST: &str = "echo 'SYSA_1.0 { local: *; }; SYSA_2.0 { global: a2; } SYSA_1.0;' > lost.map";
const NEEDS_A2: &str = "int a2(void);";
const NEEDS_BOTH: &str = "int a2(void); int b1(void);";

fn one_library() -> Vec<Scenario> {
    let newer = |name: &str| begun(name).library("lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map");
    vec![
        begun("system_library_serves")
            .program("int a1(void);", "a1()", "-Wl,-z,now sys/libsysa.so.1")
            .arm64(),
        newer("newer_node_is_pinned").program(NEEDS_A2, "a2()", "-Wl,-z,now new/libsysa.so.1").arm64(),
        newer("newer_node_is_not_pinned")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now new/libsysa.so.1")
            .flags("--repair never")
            .fails("version `SYSA_2.0' not found"),
        newer("newer_node_pinned_under_a_library_of_the_system")
            .program(NEEDS_BOTH, "a2(); b1()", "-Wl,-z,now new/libsysa.so.1 sys/libsysb.so.1")
            .arm64(),
        begun("newer_node_without_what_the_system_needs")
            .library("lib/libsysa.so.1", ONLY_A2, "-Wl,--version-script=only.map")
            .program(
                NEEDS_BOTH,
                "a2(); b1()",
                "-Wl,-z,now new/libsysa.so.1 sys/libsysb.so.1 -Wl,--allow-shlib-undefined",
            )
            .fails("not found"),
        begun("newer_node_that_only_a_library_needs")
            .library("lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map")
            .library(
                "lib/libfoo.so.1",
                "int a2(void); int foo(void) { return a2(); }",
                "-Wl,-z,now lib/libsysa.so.1",
            )
            .program(
                "int foo(void); int b1(void);",
                "foo(); b1()",
                "lib/libfoo.so.1 sys/libsysb.so.1 -Wl,-rpath-link,lib",
            ),
        begun("newer_node_of_nobody")
            .library("lib/libsysa.so.1", A1, "-Wl,--version-script=a1.map")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now new/libsysa.so.1")
            .fails("version `SYSA_2.0' not found"),
        begun("newer_copy_lacks_a_symbol_that_the_system_needs")
            .sh(LOST)
            .library("lib/libsysa.so.1", ONLY_A2, "-Wl,--version-script=lost.map")
            .program(
                NEEDS_BOTH,
                "a2(); b1()",
                "-Wl,-z,now lib/libsysa.so.1 sys/libsysb.so.1 -Wl,--allow-shlib-undefined",
            )
            .fails("version `SYSA_2.0' not found"),
        begun("copy_in_the_way_lacks_a_symbol_that_the_system_needs")
            .sh(LOST)
            .library("task/lib/libsysa.so.1", ONLY_A2, "-Wl,--version-script=lost.map")
            .program("int b1(void);", "b1()", "sys/libsysb.so.1 -Wl,-rpath-link,sys")
            .sh("umask 022; cp prog task/bootstrap; chmod 755 task/bootstrap")
            .env("LD_LIBRARY_PATH", "/var/task/lib:/lib64:/usr/lib64")
            .archive()
            .fails("undefined symbol: a1, version SYSA_1.0"),
        begun("copy_in_the_way_has_all_that_the_system_needs")
            .library("task/lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map")
            .program("int b1(void);", "b1()", "sys/libsysb.so.1 -Wl,-rpath-link,sys")
            .sh("umask 022; cp prog task/bootstrap; chmod 755 task/bootstrap")
            .env("LD_LIBRARY_PATH", "/var/task/lib:/lib64:/usr/lib64")
            .archive(),
        begun("node_there_symbol_of_the_system_gone")
            .sh("echo 'SYSA_1.0 { global: *; };' > all.map")
            .library("newer/libsysa.so.1", A2, "-Wl,--version-script=all.map")
            .library("lib/libsysa.so.1", A1, "-Wl,--version-script=a1.map")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now newer/libsysa.so.1")
            .fails("undefined symbol: a2, version SYSA_1.0"),
    ]
}

fn wishes() -> Vec<Scenario> {
    let wished = |name: &str| begun(name).flags("--bundle-lib libsysa.so.1");
    vec![
        wished("wish_that_can_be_done")
            .library("lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map")
            .program("int a1(void);", "a1()", "-Wl,-z,now sys/libsysa.so.1"),
        wished("wish_of_a_copy_that_lacks_what_the_system_needs")
            .library("lib/libsysa.so.1", ONLY_A2, "-Wl,--version-script=only.map")
            .program(
                "int a1(void); int b1(void);",
                "a1(); b1()",
                "-Wl,-z,now sys/libsysa.so.1 sys/libsysb.so.1",
            )
            .refuses_the_wish("repair-conflict"),
        begun("unversioned_symbol_of_a_newer_copy")
            .library(
                "lib/libsysu.so.1",
                "#include <stdlib.h>\nint u1(void) { return abs(1); } int u2(void) { return abs(2); }",
                "",
            )
            .program("int u2(void);", "u2()", "-Wl,-z,now lib/libsysu.so.1")
            .flags("--repair never")
            .fails("undefined symbol: u2"),
        begun("unversioned_symbol_of_a_wished_copy")
            .library(
                "lib/libsysu.so.1",
                "#include <stdlib.h>\nint u1(void) { return abs(1); } int u2(void) { return abs(2); }",
                "",
            )
            .program("int u2(void);", "u2()", "-Wl,-z,now lib/libsysu.so.1")
            .flags("--bundle-lib libsysu.so.1"),
        wished("wish_for_what_the_program_does_not_need")
            .library("lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map")
            .program("int b1(void);", "b1()", "-Wl,-z,now sys/libsysb.so.1 -Wl,-rpath-link,sys"),
    ]
}

fn ways_around() -> Vec<Scenario> {
    let runs = "#include <sys/wait.h>\n#include <unistd.h>\nstatic int runs(char *path) { int status = 0; \
                if (fork() == 0) { execl(path, path, (char *)0); _exit(126); } wait(&status); return status; }";
    let newer = |name: &str| begun(name).library("lib/libsysa.so.1", A2, "-Wl,--version-script=a2.map");
    let calls = "int a2(void); int foo(void) { return a2(); }";
    vec![
        newer("pin_with_a_rpath_to_the_system_in_a_library")
            .library("lib/libfoo.so.1", calls, "-Wl,-z,now lib/libsysa.so.1 -Wl,--disable-new-dtags -Wl,-rpath,/usr/lib64")
            .program("int foo(void);", "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib"),
        newer("pin_with_a_runpath_to_the_system_in_a_library")
            .library("lib/libfoo.so.1", calls, "-Wl,-z,now lib/libsysa.so.1 -Wl,--enable-new-dtags -Wl,-rpath,/usr/lib64")
            .program("int foo(void);", "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib"),
        newer("pin_with_a_layer_that_has_the_older_copy")
            .library("layer/lib/libsysa.so.1", A1, "-Wl,--version-script=a1.map")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1"),
        newer("pin_of_the_program_and_of_an_included_one")
            .other_program("tools/tool", NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1")
            .program(&format!("{runs} int a2(void);"), "a2(); if (runs(\"/var/task/tools/tool\")) return 1", "-Wl,-z,now lib/libsysa.so.1")
            .flags("--include tools/tool=tools/"),
        newer("pin_of_an_included_program_only")
            .other_program("tools/tool", NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1")
            .program(runs, "if (runs(\"/var/task/tools/tool\")) return 1", "")
            .flags("--include tools/tool=tools/"),
        newer("pin_of_two_extensions")
            .other_program("extensions/one", NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1")
            .other_program("extensions/two", NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1")
            .extensions(),
        newer("pin_for_an_opened_library")
            .library("lib/libplug.so.1", calls, "-Wl,-z,now lib/libsysa.so.1")
            .program(
                "#include <dlfcn.h>\n",
                "if (!dlopen(\"libplug.so.1\", RTLD_NOW)) { fputs(dlerror(), stderr); return 3; }",
                "-Wl,-rpath-link,lib",
            )
            .flags("--dlopen libplug.so.1"),
        newer("pin_for_an_included_plugin")
            .library("plugins/libplug.so.1", calls, "-Wl,-z,now lib/libsysa.so.1")
            .program(
                "#include <dlfcn.h>\n",
                "if (!dlopen(\"/var/task/plugins/libplug.so.1\", RTLD_NOW)) { fputs(dlerror(), stderr); return 3; }",
                "",
            )
            .flags("--include plugins/libplug.so.1=plugins/"),
        newer("pin_of_a_program_that_has_a_runpath_to_the_system")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1 -Wl,-rpath,/usr/lib64"),
        begun("takes_the_soname_of_a_library_of_the_system")
            .library("lib/libmine.so", "#include <stdlib.h>\nint mine(void) { return abs(1); }", "-Wl,-soname,libsysa.so.1")
            .program("int mine(void); int b1(void);", "mine(); b1()", "lib/libmine.so sys/libsysb.so.1 -Wl,--allow-shlib-undefined")
            .sh("patchelf --replace-needed libsysa.so.1 libmine.so prog")
            .fails("undefined symbol: a1"),
        newer("pin_of_a_program_by_script").program(NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1 -no-pie"),
        newer("pin_beside_bundled_libc")
            .program(NEEDS_A2, "a2()", "-Wl,-z,now lib/libsysa.so.1")
            .libc_bundle_only(),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [one_library(), wishes(), ways_around()].concat()
}
