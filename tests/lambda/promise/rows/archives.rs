//! Archives of other hands, which `verify` judges: modes, links, and what is no program.

use crate::promise::scenario::{Scenario, row};

const FOO: &str = "int foo(void) { return 1; }";

/// `task/bootstrap` and `task/lib/libfoo.so.1`, zipped as the script leaves them.
///
/// It is bound at start: the question is which files are loaded.
fn zipped(name: &str, script: &str) -> Scenario {
    zipped_of(name, "-Wl,-z,now", script)
}

fn zipped_of(name: &str, flags: &str, script: &str) -> Scenario {
    row(name)
        .library("lib/libfoo.so.1", FOO, "")
        .program("int foo(void);", "foo()", &format!("{flags} lib/libfoo.so.1"))
        .sh("umask 022; mkdir -p task; cp -r lib task/; cp prog task/bootstrap; chmod 755 task/bootstrap")
        .sh(script)
        .archive()
}

fn modes() -> Vec<Scenario> {
    vec![
        zipped("zipped_plainly", "").arm64(),
        zipped("zipped_with_directory_0700", "chmod 700 task/lib")
            .fails("cannot open shared object file")
            .arm64(),
        zipped("zipped_with_directory_0744", "chmod 744 task/lib").fails("cannot open shared object file"),
        zipped("zipped_with_directory_0711", "chmod 711 task/lib"),
        zipped("zipped_with_library_0600", "chmod 600 task/lib/libfoo.so.1")
            .fails("cannot open shared object file"),
        // A tool that writes no modes leaves the type out, too.
        zipped("zipped_with_library_0000", "chmod 000 task/lib/libfoo.so.1")
            .fails("cannot open shared object file"),
        zipped("zipped_with_library_0644", "chmod 644 task/lib/libfoo.so.1"),
        zipped("zipped_with_bootstrap_0644", "chmod 644 task/bootstrap").fails("failed to execute"),
        zipped("zipped_with_bootstrap_0711", "chmod 711 task/bootstrap"),
        zipped("zipped_with_bootstrap_0700", "chmod 700 task/bootstrap").fails("failed to execute"),
        zipped("zipped_with_bootstrap_0555", "chmod 555 task/bootstrap"),
        zipped("zipped_with_inner_directory_0700", "mkdir task/lib/inner; chmod 700 task/lib/inner"),
        zipped(
            "zipped_with_other_directory_0700",
            "mkdir task/data; echo x > task/data/x; chmod 700 task/data",
        ),
    ]
}

fn links() -> Vec<Scenario> {
    let moved = |name: &str, script: &str| zipped(name, &format!("mv task/bootstrap task/prog; {script}"));
    vec![
        moved("link_to_the_program", "ln -s prog task/bootstrap"),
        moved("link_to_a_link", "ln -s prog task/second; ln -s second task/bootstrap"),
        moved("link_by_absolute_path", "ln -s /var/task/prog task/bootstrap"),
        moved("link_to_nowhere", "ln -s nothing task/bootstrap").fails("No such file"),
        moved("link_with_trailing_slash", "ln -s prog/ task/bootstrap").fails("Not a directory"),
        moved("link_through_a_missing_directory", "ln -s nodir/../prog task/bootstrap").fails("No such file"),
        moved("link_through_a_directory", "mkdir task/dir; ln -s dir/../prog task/bootstrap"),
        moved("link_through_a_link", "mkdir task/dir; mv task/prog task/dir; ln -s dir task/d; ln -s d/prog task/bootstrap"),
        moved("link_into_a_directory_0700", "mkdir task/b; mv task/prog task/b/; ln -s b/prog task/bootstrap; chmod 700 task/b").fails("ermission denied"),
        moved("link_in_a_circle", "ln -s second task/bootstrap; ln -s bootstrap task/second").fails("status 12"),
        zipped("library_by_a_link", "mv task/lib/libfoo.so.1 task/lib/libfoo.so.1.2; ln -s libfoo.so.1.2 task/lib/libfoo.so.1").arm64(),
        zipped("library_directory_by_a_link", "mv task/lib task/libraries; ln -s libraries task/lib"),
        zipped("library_by_a_link_up", "mv task/lib/libfoo.so.1 task/; ln -s ../libfoo.so.1 task/lib/libfoo.so.1"),
        zipped("library_by_a_dangling_link", "rm task/lib/libfoo.so.1; ln -s gone task/lib/libfoo.so.1").fails("cannot open shared object file"),
        zipped("link_to_a_layer", "mkdir -p layer/bin; mv task/bootstrap layer/bin/prog; ln -s /opt/bin/prog task/bootstrap"),
        row("library_on_a_way_up_and_down")
            .library("deep/libdeep.so.1", "int deep(void) { return 1; }", "")
            .library("lib/libbar.so.1", "int deep(void); int bar(void) { return deep(); }", "deep/libdeep.so.1")
            .library(
                "lib/libfoo.so.1",
                "int bar(void); int foo(void) { return bar(); }",
                "lib/libbar.so.1 -Wl,-rpath-link,deep -Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../deep -Wl,--disable-new-dtags",
            )
            .program("int foo(void);", "foo()", "lib/libfoo.so.1 -Wl,-rpath-link,lib:deep")
            .sh("umask 022; mkdir -p task; cp -r lib deep task/; cp prog task/bootstrap")
            .archive(),
        row("origin_of_a_linked_program")
            .library("libs/libfoo.so.1", FOO, "")
            .program("int foo(void);", "foo()", "libs/libfoo.so.1 -Wl,-rpath,$ORIGIN/libs")
            .sh("umask 022; mkdir -p task/app; cp -r libs task/app/; cp prog task/app/; ln -s app/prog task/bootstrap")
            .archive(),
    ]
}

fn no_programs() -> Vec<Scenario> {
    let only = |name: &str, script: &str| {
        row(name)
            .library(
                "cdylib.so",
                "int foo(void) { return 1; } const char *s = \"AWS_LAMBDA_RUNTIME_API\";",
                "",
            )
            .program("", "", "")
            .sh("umask 022; mkdir task")
            .sh(script)
            .archive()
    };
    vec![
        only("bootstrap_is_a_library", "cp cdylib.so task/bootstrap").fails("status 1"),
        only("bootstrap_is_an_object_file", "echo 'int main(void) { return 0; }' > m.c; $CC -c m.c -o task/bootstrap; chmod 755 task/bootstrap").fails("failed to execute"),
        only("bootstrap_is_empty", ": > task/bootstrap; chmod 755 task/bootstrap").fails("status 1"),
        only("bootstrap_is_static", "echo '#include <stdio.h>\nint main(void) { puts(\"started-as-promised\"); return 0; }' > m.c; $CC -static m.c -o task/bootstrap"),
        only("bootstrap_is_missing", "cp prog task/other").fails("No such file"),
        only("bootstrap_in_a_directory", "mkdir task/dir; cp prog task/dir/bootstrap").fails("No such file"),
        only("bootstrap_is_libc", "cp /lib/x86_64-linux-gnu/libc.so.6 task/bootstrap; chmod 755 task/bootstrap").fails("status 0"),
        only("bootstrap_of_another_machine", "aarch64-linux-gnu-gcc -c -x c /dev/null -o x.o; printf 'int main(void){return 0;}' > m.c; aarch64-linux-gnu-gcc m.c -o task/bootstrap").flags("--arch x86_64").fails("status "),
    ]
}

/// A script that makes `bad.so`, a `libfoo.so.1` without `foo`.
const BAD: &str =
    "echo 'int bar(void) { return 1; }' > bad.c; $CC -shared -fPIC bad.c -Wl,-soname,libfoo.so.1 -o bad.so";

fn copied(name: &str, script: &str) -> Scenario {
    zipped(name, BAD).sh(script)
}

/// Copies of a library of which the loader takes the one or the other.
fn copies() -> Vec<Scenario> {
    vec![
        copied("bad_copy_beside_the_program", "cp bad.so task/libfoo.so.1").fails("undefined symbol: foo"),
        zipped_of("bad_copy_beside_a_lazy_program", "-Wl,-z,lazy", BAD)
            .sh("cp bad.so task/libfoo.so.1")
            .fails("undefined symbol: foo"),
        copied(
            "good_copy_beside_the_program",
            "cp task/lib/libfoo.so.1 task/libfoo.so.1; cp bad.so task/lib/libfoo.so.1",
        ),
        copied(
            "bad_copy_for_x86_64_v3",
            "mkdir -p task/lib/glibc-hwcaps/x86-64-v3; cp bad.so task/lib/glibc-hwcaps/x86-64-v3/libfoo.so.1",
        )
        .fails("undefined symbol: foo"),
        copied(
            "bad_copy_for_x86_64_v2",
            "mkdir -p task/lib/glibc-hwcaps/x86-64-v2; cp bad.so task/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1",
        )
        .fails("undefined symbol: foo"),
        copied(
            "only_copy_is_for_x86_64_v2",
            "mkdir -p task/lib/glibc-hwcaps/x86-64-v2; mv task/lib/libfoo.so.1 task/lib/glibc-hwcaps/x86-64-v2/",
        ),
        copied(
            "bad_copy_for_x86_64_v2_is_not_readable",
            "mkdir -p task/lib/glibc-hwcaps/x86-64-v2; cp bad.so task/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1; chmod 600 task/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1",
        ),
        copied("bad_copy_in_a_directory_nobody_looks_in", "mkdir task/old; cp bad.so task/old/libfoo.so.1"),
        copied(
            "copy_of_another_machine_is_passed_over",
            "aarch64-linux-gnu-gcc -shared -nostdlib -x c /dev/null -Wl,-soname,libfoo.so.1 -o task/libfoo.so.1",
        ),
        row("zipped_library_takes_the_soname_of_one_of_the_system")
            .library(
                "lib/libmine.so",
                "#include <stdlib.h>\nint mine(void) { return abs(1); }",
                "-Wl,-soname,libcrypto.so.3",
            )
            .program(
                "int mine(void); void *TLS_method(void);",
                "mine(); TLS_method()",
                "lib/libmine.so -l:libssl.so.3 -Wl,--allow-shlib-undefined",
            )
            .sh("patchelf --replace-needed libcrypto.so.3 libmine.so prog")
            .sh("umask 022; mkdir -p task; cp -r lib task/; cp prog task/bootstrap; chmod 755 task/bootstrap")
            .archive()
            .fails("undefined symbol"),
        row("layer_has_the_soname_that_a_library_of_the_system_needs")
            .library("layer/lib/libcrypto.so.3", "#include <stdlib.h>\nint mine(void) { return abs(1); }", "")
            .program("void *TLS_method(void);", "TLS_method()", "-l:libssl.so.3 -Wl,--allow-shlib-undefined")
            .sh("umask 022; mkdir -p task; cp prog task/bootstrap; chmod 755 task/bootstrap")
            .env("LD_LIBRARY_PATH", "/opt/lib:/lib64:/usr/lib64")
            .archive()
            .fails("undefined symbol"),
        copied("empty_element_of_the_library_path_is_the_working_directory", "mv task/lib/libfoo.so.1 task/")
            .env("LD_LIBRARY_PATH", "/nowhere:"),
    ]
}

fn copies_in_layers() -> Vec<Scenario> {
    vec![
        copied("layer_has_a_bad_copy", "mkdir -p layer/lib; cp bad.so layer/lib/libfoo.so.1"),
        copied("layer_has_the_only_copy", "mkdir -p layer; mv task/lib layer/"),
        copied(
            "layer_has_the_only_copy_and_it_is_bad",
            "mkdir -p layer/lib; rm -r task/lib; cp bad.so layer/lib/libfoo.so.1",
        )
        .fails("undefined symbol: foo"),
    ]
}

/// Rows of bundles with a layer attached.
fn layers() -> Vec<Scenario> {
    let attached = |name: &str, source: &str| {
        row(name).library("lib/libfoo.so.1", FOO, "").library("layer/lib/libfoo.so.1", source, "").program(
            "int foo(void);",
            "foo()",
            "-Wl,-z,now lib/libfoo.so.1",
        )
    };
    vec![
        attached("attached_layer_has_it", FOO),
        attached("attached_layer_has_a_bad_copy", "int bar(void) { return 1; }"),
        attached("attached_layer_has_a_bad_copy_that_loads_first", "int bar(void) { return 1; }")
            .env("LD_LIBRARY_PATH", "/opt/lib:/var/task/lib")
            .fails("undefined symbol: foo"),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [modes(), links(), no_programs(), copies(), copies_in_layers(), layers()].concat()
}
