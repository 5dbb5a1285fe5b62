//! Programs of Rust, C++ and with musl.

use crate::promise::scenario::{Scenario, row};

const NEW: &str = "int foo(void) { return 1; } int foo_new(void) { return 2; } int data = 7;";
const OLD: &str = "int foo(void) { return 1; }";

fn rust() -> Vec<Scenario> {
    let external = "#[link(name = \"foo\")] extern \"C\" { fn foo_new() -> i32; static data: i32; }";
    let call = "if unsafe { foo_new() } != 2 { std::process::exit(1) }";
    let link = "ln -s libfoo.so.1 new/libfoo.so";
    vec![
        row("rust_symbol_there")
            .library("new/libfoo.so.1", NEW, "")
            .sh(link)
            .library("lib/libfoo.so.1", NEW, "")
            .rust_program(external, call, "-Lnew")
            .libc_bundle_too()
            .arm64(),
        row("rust_symbol_gone")
            .library("new/libfoo.so.1", NEW, "")
            .sh(link)
            .library("lib/libfoo.so.1", OLD, "")
            .rust_program(external, call, "-Lnew")
            .libc_bundle_too()
            .fails("undefined symbol: foo_new")
            .arm64(),
        row("rust_data_gone")
            .library("new/libfoo.so.1", NEW, "")
            .sh(link)
            .library("lib/libfoo.so.1", OLD, "")
            .rust_program(external, "if unsafe { data } != 7 { std::process::exit(1) }", "-Lnew")
            .fails("undefined symbol: data"),
        row("rust_symbol_gone_with_a_sysroot_without_libgcc")
            .library("new/libfoo.so.1", NEW, "")
            .sh(link)
            .library("lib/libfoo.so.1", OLD, "")
            .sh("mkdir -p root/usr/lib64; cp lib/libfoo.so.1 root/usr/lib64; ln -s usr/lib64 root/lib64")
            .rust_program(external, call, "-Lnew")
            .flags("--sysroot root")
            .fails("undefined symbol: foo_new"),
        row("rust_symbol_there_with_a_sysroot_without_libgcc")
            .library("new/libfoo.so.1", NEW, "")
            .sh(link)
            .sh("mkdir -p root/usr/lib64; cp new/libfoo.so.1 root/usr/lib64; ln -s usr/lib64 root/lib64")
            .rust_program(external, call, "-Lnew")
            .flags("--sysroot root"),
        row("rust_panic_that_unwinds")
            .rust_program(
                "",
                "if std::panic::catch_unwind(|| panic!(\"no\")).is_ok() { std::process::exit(1) }",
                "",
            )
            .libc_bundle_too()
            .arm64(),
    ]
}

fn cxx() -> Vec<Scenario> {
    let throws = "#include <stdexcept>\n#include <string>\nint foo(const std::string &s) { throw std::runtime_error(s); }";
    let catches = "#include <stdexcept>\n#include <string>\nint foo(const std::string &);";
    let body = "try { foo(\"x\"); return 1; } catch (const std::exception &) {}";
    vec![
        row("cxx_exception_through_a_library")
            .cxx_library("lib/libfoo.so.1", throws, "")
            .cxx_program(catches, body, "lib/libfoo.so.1")
            .libc_bundle_too(),
        row("cxx_overload_gone")
            .cxx_library("new/libfoo.so.1", "int foo(int) { return 1; } int foo(long) { return 2; }", "")
            .cxx_library("lib/libfoo.so.1", "int foo(int) { return 1; }", "")
            .cxx_program("#include <string>\nstd::string s(\"x\"); int foo(long);", "foo(3L)", "-Wl,-z,now new/libfoo.so.1")
            .libc_bundle_too()
            .fails("undefined symbol: _Z3fool"),
        row("cxx_overload_gone_lazy_and_unused")
            .cxx_library("new/libfoo.so.1", "int foo(int) { return 1; } int foo(long) { return 2; }", "")
            .cxx_library("lib/libfoo.so.1", "int foo(int) { return 1; }", "")
            .cxx_program(
                "#include <string>\nstd::string s(\"x\"); int foo(int); int foo(long);",
                "foo(3); if (argc > 9) foo(3L)",
                "-Wl,-z,lazy new/libfoo.so.1",
            ),
        row("cxx_type_information_gone")
            .cxx_library("new/libfoo.so.1", "struct Base { virtual ~Base(); }; Base::~Base() {} int foo() { return 1; }", "")
            .cxx_library("lib/libfoo.so.1", "int foo() { return 1; }", "")
            .cxx_program(
                "struct Base { virtual ~Base(); }; struct Child : Base {}; int foo();",
                "foo(); if (argc > 9) { Base *b = new Child; delete b; }",
                "new/libfoo.so.1",
            )
            .fails("undefined symbol: _Z"),
        row("cxx_symbol_that_no_libstdcxx_has")
            .cxx_library("new/libmore.so", "namespace std { int not_there(int) { return 1; } }", "-Wl,-soname,libstdc++.so.6")
            .cxx_program(
                "namespace std { int not_there(int); }",
                "if (argc > 9) std::not_there(3)",
                "-Wl,-z,now new/libmore.so",
            )
            .fails("undefined symbol: _ZSt9not_therei"),
        row("cxx_libstdcxx_newer_than_the_table_has")
            .cxx_program(
                "namespace std { void __glibcxx_assert_fail(const char *, int, const char *, const char *) noexcept; }",
                "if (argc > 9) std::__glibcxx_assert_fail(0, 0, 0, 0)",
                "-Wl,-z,now",
            ),
    ]
}

/// Linked with a library that has all symbols.
fn linked_with_musl(name: &str) -> Scenario {
    row(name).musl_library("new/libfoo.so.1", &format!("{NEW} __thread int t = 3;"), "").libc_bundle_only()
}

/// Makes the dynamic symbol `data` of `prog` weak.
const WEAKEN_DATA: &str = r#"python3 - <<'END'
import struct
file = bytearray(open("prog", "rb").read())
at, = struct.unpack_from("<Q", file, 40)
size, count, _ = struct.unpack_from("<HHH", file, 58)
sections = [struct.unpack_from("<IIQQQQIIQQ", file, at + index * size) for index in range(count)]
symbols = next(section for section in sections if section[1] == 11)
strings = sections[symbols[6]][4]
for symbol in range(symbols[4], symbols[4] + symbols[5], 24):
    name, info = struct.unpack_from("<IB", file, symbol)
    if file[strings + name:].startswith(b"data\0"):
        file[symbol + 4] = 2 << 4 | info & 15
open("prog", "wb").write(file)
END"#;

/// Linked with a library of which `foo` is V1 and the rest V2.
fn versioned_musl(name: &str) -> Scenario {
    row(name)
        .sh("echo 'V1 { global: foo; };' > v1.map; echo 'V1 { global: foo; }; V2 { global: *; } V1;' > v2.map")
        .musl_library("new/libfoo.so.1", NEW, "-Wl,--version-script=v2.map")
        .libc_bundle_only()
}

/// A plugin with thread-local storage that it reaches in some way.
fn musl_plugin(name: &str, model: &str) -> Scenario {
    let storage = format!(
        "__thread char t[64] __attribute__((tls_model(\"{model}\"))) = {{1}}; char *plug(int i) {{ return &t[i]; }}"
    );
    row(name)
        .musl_library("lib/libplug.so", &storage, "")
        .musl_program(
            "#include <dlfcn.h>\n",
            "if (!dlopen(\"libplug.so\", RTLD_NOW)) { fputs(dlerror(), stderr); return 3; }",
            "",
        )
        .flags("--dlopen libplug.so")
        .libc_bundle_only()
}

fn musl() -> Vec<Scenario> {
    let both = "int foo(void); int foo_new(void);";
    vec![
        linked_with_musl("musl_symbol_there").musl_library("lib/libfoo.so.1", NEW, "").musl_program(
            both,
            "foo_new()",
            "new/libfoo.so.1",
        ),
        linked_with_musl("musl_symbol_gone")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_program(both, "foo(); if (argc > 9) foo_new()", "-Wl,-z,now new/libfoo.so.1")
            .fails("foo_new: symbol not found"),
        linked_with_musl("musl_symbol_gone_lazy")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_program(both, "foo(); if (argc > 9) foo_new()", "-Wl,-z,lazy new/libfoo.so.1")
            .fails("foo_new: symbol not found"),
        linked_with_musl("musl_data_gone")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_program(
                "int foo(void); extern int data;",
                "foo(); if (data == 3) return 1",
                "new/libfoo.so.1",
            )
            .fails("data: symbol not found"),
        linked_with_musl("musl_tls_gone")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_program(
                "int foo(void); extern __thread int t;",
                "foo(); if (t == 4) return 1",
                "new/libfoo.so.1",
            )
            .fails("t: symbol not found"),
        linked_with_musl("musl_weak_gone").musl_library("lib/libfoo.so.1", OLD, "").musl_program(
            "int foo(void); __attribute__((weak)) int foo_new(void);",
            "foo(); if (foo_new) foo_new()",
            "new/libfoo.so.1 -fPIC",
        ),
        linked_with_musl("musl_version_nodes_do_not_count")
            .sh("echo 'V1 { global: *; };' > v.map")
            .musl_library("lib/libfoo.so.1", NEW, "-Wl,--version-script=v.map")
            .musl_program(both, "foo(); foo_new()", "new/libfoo.so.1"),
        linked_with_musl("musl_does_not_call_indirect_functions")
            .musl_library(
                "lib/libfoo.so.1",
                "static int one(void) { return 1; } static void *pick(void) { return one; }\n\
                 int foo(void) __attribute__((ifunc(\"pick\")));",
                "",
            )
            .musl_program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .fails("foo: symbol not found"),
        linked_with_musl("musl_does_not_know_relocations_of_indirect_functions")
            .musl_library(
                "lib/libfoo.so.1",
                "static int one(void) { return 1; } static void *pick(void) { return one; }\n\
                 static int own(void) __attribute__((ifunc(\"pick\"))); int foo(void) { return own(); }",
                "",
            )
            .musl_program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .fails("unsupported relocation type"),
        linked_with_musl("musl_of_debian_12_does_not_know_packed_relocations")
            .musl_library(
                "lib/libfoo.so.1",
                "static int own; int *table[] = {&own, &own}; static void *more[] = {&own, &own, &own};\n\
                 int foo(void) { return *(int *)more[1]; }",
                "-Wl,-z,pack-relative-relocs",
            )
            .musl_program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .fails("status 139"),
        linked_with_musl("musl_weak_tls_gone")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_library(
                "lib/libbar.so.1",
                "extern __attribute__((weak)) __thread int t; int bar(void) { return t; }",
                "",
            )
            .musl_program("int bar(void);", "if (argc > 9) bar()", "-Wl,--no-as-needed lib/libbar.so.1")
            .fails("status 139"),
        versioned_musl("musl_wants_a_symbol_of_a_node_that_is_gone")
            .musl_library("lib/libfoo.so.1", OLD, "-Wl,--version-script=v1.map")
            .musl_program(both, "foo(); if (argc > 9) foo_new()", "new/libfoo.so.1")
            .fails("foo_new: symbol not found"),
        versioned_musl("musl_wants_a_symbol_of_a_node_of_a_library_that_is_not_needed")
            .musl_program("int foo_new(void);", "if (argc > 9) foo_new()", "new/libfoo.so.1")
            .sh("patchelf --remove-needed libfoo.so.1 prog")
            .fails("foo_new: symbol not found"),
        linked_with_musl("musl_weak_copied_data_gone")
            .musl_library("lib/libfoo.so.1", OLD, "")
            .musl_program(
                "extern int data; int foo(void);",
                "foo(); if (argc > 9) exit(data)",
                "-no-pie -fno-pie new/libfoo.so.1",
            )
            .sh(WEAKEN_DATA)
            .fails("data: symbol not found"),
        linked_with_musl("musl_passes_over_absolute_symbols_of_value_0")
            .musl_library(
                "lib/libfoo.so.1",
                "int foo(void) { return 1; } __asm__(\".globl data\\n.set data, 0\\n\");",
                "",
            )
            .musl_library(
                "lib/libbar.so.1",
                "extern int data; int *at = &data; int bar(void) { return 1; }",
                "",
            )
            .musl_program("int foo(void); int bar(void);", "foo(); bar()", "lib/libfoo.so.1 lib/libbar.so.1")
            .fails("data: symbol not found"),
        linked_with_musl("musl_library_for_pages_of_1_kb")
            .musl_library(
                "lib/libfoo.so.1",
                "int foo(void) { return 1; }",
                "-Wl,-z,max-page-size=1024,-z,common-page-size=1024,-z,noseparate-code,-z,norelro",
            )
            .musl_program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .fails("status 139"),
        musl_plugin("musl_opened_with_initial_exec_storage", "initial-exec")
            .fails("initial-exec TLS resolves to dynamic definition"),
        musl_plugin("musl_opened_with_global_dynamic_storage", "global-dynamic"),
        linked_with_musl("musl_library_wants_what_nobody_has")
            .musl_library(
                "lib/libfoo.so.1",
                "int gone(void); int foo(void) { return 1; } int unused(void) { return gone(); }",
                "",
            )
            .musl_program("int foo(void);", "foo()", "lib/libfoo.so.1 -Wl,--allow-shlib-undefined")
            .fails("gone: symbol not found"),
        linked_with_musl("musl_library_wants_what_the_program_has")
            .musl_library("lib/libfoo.so.1", "int gone(void); int foo(void) { return gone(); }", "")
            .musl_program(
                "int foo(void); int gone(void) { return 1; }",
                "foo()",
                "-rdynamic lib/libfoo.so.1",
            ),
    ]
}

/// musl alone, and in the other's process.
fn musl_and_glibc() -> Vec<Scenario> {
    vec![
        row("musl_static").musl_program("", "", "-static"),
        row("musl_library_in_a_glibc_process")
            .musl_library(
                "lib/libfoo.so.1",
                "#include <stdlib.h>\nint foo(void) { return abs(1); }",
                "-Wl,--no-as-needed",
            )
            .program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .fails("cannot open shared object file"),
        row("musl_program_with_the_libc_of_lambda")
            .musl_program("", "", "")
            .fails("No such file")
            .asked(&[crate::promise::scenario::Question::Table]),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [rust(), cxx(), musl(), musl_and_glibc()].concat()
}
