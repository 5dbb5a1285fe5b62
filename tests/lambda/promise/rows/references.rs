//! References that somebody defines or nobody does, of every kind, in programs and in libraries.

use crate::promise::scenario::{Question, Scenario, row};

/// How an object refers to `gone`.
struct Kind {
    name: &'static str,
    /// What declares it, and needs it.
    declarations: &'static str,
    /// A statement that must be compiled, and is not reached.
    body: &'static str,
    flags: &'static str,
    /// What defines it.
    definition: &'static str,
    /// Whether the object starts without it.
    starts: bool,
    place: Place,
}

/// Where such a reference can be.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Anywhere,
    Programs,
}

const FUNCTION: &str = "int gone(void) { return 0; }";
const DATA: &str = "int gone = 1;";

const fn kind(
    name: &'static str,
    declarations: &'static str,
    body: &'static str,
    flags: &'static str,
) -> Kind {
    Kind { name, declarations, body, flags, definition: FUNCTION, starts: false, place: Place::Anywhere }
}

const CALL: &str = "if (argc > 9) gone()";
const READ: &str = "if (argc > 9) exit(gone)";

/// Sources: elf/do-rel.h in glibc (jump slots are lazy, all else is bound at start), elf/dl-lookup.c (weak).
const KINDS: &[Kind] = &[
    kind("call_now", "int gone(void);", CALL, "-Wl,-z,now"),
    Kind { starts: true, ..kind("call_lazy", "int gone(void);", CALL, "-Wl,-z,lazy") },
    kind("call_no_plt", "int gone(void);", CALL, "-fno-plt -Wl,-z,lazy"),
    kind(
        "address_in_table",
        "int gone(void); int (*table[])(void) = {gone};",
        "if (argc > 9) table[argc]()",
        "",
    ),
    kind("address_in_code", "int gone(void);", "if (argc > 9) exit(atexit((void (*)(void))gone))", "-fPIC"),
    kind("address_and_call", "int gone(void); int (*table[])(void) = {gone};", CALL, "-Wl,-z,lazy"),
    Kind { definition: DATA, ..kind("data_by_got", "extern int gone;", READ, "-fPIC") },
    Kind {
        definition: DATA,
        ..kind(
            "data_in_table",
            "extern int gone; int *table[] = {&gone};",
            "if (argc > 9) exit(*table[argc])",
            "",
        )
    },
    Kind { definition: "__thread int gone = 1;", ..kind("tls", "extern __thread int gone;", READ, "-fPIC") },
    Kind {
        definition: "__thread int gone = 1;",
        ..kind(
            "tls_initial_exec",
            "extern __thread int gone __attribute__((tls_model(\"initial-exec\")));",
            READ,
            "-fPIC",
        )
    },
    Kind {
        starts: true,
        ..kind(
            "weak_call",
            "__attribute__((weak)) int gone(void);",
            "if (gone && argc > 9) gone()",
            "-Wl,-z,now -fPIC",
        )
    },
    Kind {
        starts: true,
        definition: DATA,
        ..kind(
            "weak_data",
            "extern __attribute__((weak)) int gone;",
            "if (&gone && argc > 9) exit(gone)",
            "-fPIC",
        )
    },
    Kind { place: Place::Programs, definition: DATA, ..kind("copy_pie", "extern int gone;", READ, "") },
    Kind {
        place: Place::Programs,
        definition: DATA,
        ..kind("copy_no_pie", "extern int gone;", READ, "-no-pie -fno-pie")
    },
    Kind {
        place: Place::Programs,
        starts: true,
        ..kind(
            "address_by_plt",
            "int gone(void);",
            "volatile void *at = (void *)gone; if (!at) return 1",
            "-no-pie -fno-pie -Wl,-z,lazy",
        )
    },
];

/// A program that is linked with a library that has the symbol, and gets one that has it or has it not.
fn in_program(kind: &Kind, there: bool) -> Scenario {
    let name = format!("program_{}_{}", kind.name, if there { "there" } else { "gone" });
    let other = "int other(void) { return abs(1); }";
    let with = format!("#include <stdlib.h>\n{other}\n{}", kind.definition);
    let without = format!("#include <stdlib.h>\n{other}");
    let declarations = format!("int other(void);\n{}", kind.declarations);
    let body = format!("other(); {}", kind.body);
    let row = row(name)
        .library("new/libfoo.so.1", &with, "")
        .library("lib/libfoo.so.1", if there { &with } else { &without }, "")
        .program(&declarations, &body, &format!("{} new/libfoo.so.1", kind.flags))
        .arm64();
    // The slowest question; the kinds differ in what is read, not in who is asked.
    let bundled =
        ["call_now", "call_lazy", "address_in_table", "data_by_got", "tls", "copy_pie"].contains(&kind.name);
    let row = if bundled { row.libc_bundle_too() } else { row };
    if there || kind.starts { row } else { row.fails("undefined symbol: gone") }
}

/// Who defines what a library refers to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Definer {
    /// A library that it needs.
    Needed,
    /// That library of the linker does, the bundle's does not.
    Nobody,
    /// The program exports it.
    Program,
    /// A library that only the program needs.
    Sibling,
}

fn in_library(kind: &Kind, definer: Definer) -> Scenario {
    let name = format!("library_{}_by_{}", kind.name, format!("{definer:?}").to_lowercase());
    let other = "#include <stdlib.h>\nint other(void) { return abs(1); }\n";
    let with = format!("{other}{}", kind.definition);
    let library = format!(
        "#include <stdlib.h>\n{}\nint other(void);\nint foo(void) {{ return 1; }}\n\
         int unused(int argc) {{ other(); {}; return 0; }}\n",
        kind.declarations, kind.body
    );
    let flags = format!("{} new/libother.so.1", kind.flags);
    let row = row(name)
        .library("new/libother.so.1", if definer == Definer::Program { other } else { &with }, "")
        .library("lib/libother.so.1", if definer == Definer::Needed { &with } else { other }, "")
        .library("lib/libsibling.so.1", if definer == Definer::Sibling { kind.definition } else { "" }, "")
        .library("lib/libfoo.so.1", &library, &flags)
        .program(
            &format!("int foo(void);\n{}", if definer == Definer::Program { kind.definition } else { "" }),
            "foo()",
            "-rdynamic -Wl,--no-as-needed lib/libfoo.so.1 lib/libsibling.so.1 -Wl,--allow-shlib-undefined \
             -Wl,-rpath-link,new",
        );
    let fails = definer == Definer::Nobody && !kind.starts;
    if fails { row.fails("undefined symbol: gone") } else { row }
}

fn vtables() -> Vec<Scenario> {
    let vtable = "struct Shape { virtual int area(); virtual int gone(); };\n\
                  int Shape::area() { return 1; }\nShape shape;\nextern \"C\" int foo() { return 1; }\n";
    let with_gone =
        "struct Shape { virtual int area(); virtual int gone(); };\n int Shape::gone() { return 1; }\n";
    // The vtable is emitted with the key function, `area`.
    vec![
        row("vtable_with_undefined_function")
            .cxx_library("lib/libfoo.so.1", vtable, "")
            .program("int foo(void);", "foo()", "lib/libfoo.so.1 -Wl,--allow-shlib-undefined")
            .fails("undefined symbol: _ZN5Shape4goneEv"),
        row("vtable_with_function_of_another_library")
            .cxx_library("lib/libgone.so.1", with_gone, "")
            .cxx_library("lib/libfoo.so.1", vtable, "-Wl,--no-as-needed lib/libgone.so.1")
            .program(
                "int foo(void);",
                "foo()",
                "lib/libfoo.so.1 -Wl,--allow-shlib-undefined -Wl,-rpath-link,lib",
            ),
    ]
}

fn lazy_calls() -> Vec<Scenario> {
    vec![
        row("lazy_call_that_happens")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .program("int foo(void); int gone(void);", "foo(); gone()", "-Wl,-z,lazy new/libfoo.so.1")
            .fails("undefined symbol: gone")
            .arm64(),
        row("lazy_call_with_ld_bind_now")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .program(
                "int foo(void); int gone(void);",
                "foo(); if (argc > 9) gone()",
                "-Wl,-z,lazy new/libfoo.so.1",
            )
            .env("LD_BIND_NOW", "1")
            .fails("undefined symbol: gone")
            .arm64(),
        row("lazy_call_with_empty_ld_bind_now")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .program(
                "int foo(void); int gone(void);",
                "foo(); if (argc > 9) gone()",
                "-Wl,-z,lazy new/libfoo.so.1",
            )
            .env("LD_BIND_NOW", "")
            .arm64(),
    ]
}

fn copied_data() -> Vec<Scenario> {
    vec![
        row("bsymbolic_library_with_its_own_definition")
            .library(
                "lib/libfoo.so.1",
                "int own = 1; int *p = &own; int foo(void) { return *p; }",
                "-Wl,-Bsymbolic",
            )
            .program("int foo(void);", "foo()", "lib/libfoo.so.1")
            .arm64(),
        row("copied_data_that_only_the_program_has")
            .library("new/libfoo.so.1", "int data = 3; int foo(void) { return data; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .program("extern int data; int foo(void);", "foo(); if (data == 9) return 1", "new/libfoo.so.1")
            .libc_bundle_too()
            .fails("undefined symbol: data"),
        row("copied_data_of_another_library_than_linked")
            .library("new/libfoo.so.1", "int data = 3; int foo(void) { return data; }", "")
            .library("lib/libdata.so.1", "int data = 3;", "")
            .library(
                "lib/libfoo.so.1",
                "extern int data; int foo(void) { return data; }",
                "-Wl,--no-as-needed lib/libdata.so.1",
            )
            .program("extern int data; int foo(void);", "foo(); if (data == 9) return 1", "new/libfoo.so.1"),
        row("copied_environ_of_libc")
            .program(
                "extern char **environ; extern FILE *stdout;",
                "if (!environ || !stdout) return 1",
                "-no-pie -fno-pie",
            )
            .libc_bundle_too()
            .arm64(),
    ]
}

/// Definitions that serve, or do not.
fn definitions() -> Vec<Scenario> {
    vec![
        row("hidden_definition_does_not_serve")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library(
                "lib/libfoo.so.1",
                "int foo(void) { return 1; } __attribute__((visibility(\"hidden\"))) int gone(void) { return 1; }",
                "",
            )
            .program("int foo(void); int gone(void);", "foo(); gone()", "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: gone"),
        row("weak_definition_serves")
            .library("lib/libfoo.so.1", "__attribute__((weak)) int foo(void) { return 1; }", "")
            .program("int foo(void);", "foo()", "-Wl,-z,now lib/libfoo.so.1"),
        row("indirect_function_serves")
            .library(
                "lib/libfoo.so.1",
                "static int one(void) { return 1; } static void *pick(void) { return one; }\n\
                 int foo(void) __attribute__((ifunc(\"pick\")));",
                "",
            )
            .program("int foo(void);", "foo()", "-Wl,-z,now lib/libfoo.so.1")
            .arm64(),
        row("library_of_the_gnu_hash_only")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "-Wl,--hash-style=gnu")
            .program("int foo(void);", "foo()", "-Wl,-z,now lib/libfoo.so.1")
            .arm64(),
        row("library_of_the_sysv_hash_only")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "-Wl,--hash-style=sysv")
            .program("int foo(void);", "foo()", "-Wl,-z,now lib/libfoo.so.1")
            .arm64(),
        row("library_of_the_sysv_hash_lacks_it")
            .library("new/libfoo.so.1", "int foo(void) { return 1; } int gone(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "-Wl,--hash-style=sysv")
            .program("int foo(void); int gone(void);", "foo(); gone()", "-Wl,-z,now new/libfoo.so.1")
            .fails("undefined symbol: gone")
            .arm64(),
    ]
}

/// Definitions that are there and do not fit the reference.
///
/// Sources: sysdeps/generic/dl-protected.h (GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS), elf/dl-tls.c.
fn misfits() -> Vec<Scenario> {
    const DATA: &str = "extern int data; int foo(void);";
    const READS: &str = "foo(); if (data == 9) return 1";
    // The table is of glibc 2.34, which does not know the property; the roots have 2.36.
    const KNOWING: &[Question] = &[Question::Captured, Question::LibcBundle];
    const COPIED: &str = "-no-pie -fno-pie new/libfoo.so.1";
    let plain = "#include <stdlib.h>\nint foo(void) { return abs(1); } int data = 3;";
    let protected = plain.replace("int data", "__attribute__((visibility(\"protected\"))) int data");
    let tls = plain.replace("int data", "__thread int data");
    let function = "#include <stdlib.h>\nint foo(void) { return abs(1); }";
    let protected_function =
        function.replace("int foo", "__attribute__((visibility(\"protected\"))) int foo");
    let linked = row("").library("new/libfoo.so.1", plain, "");
    let address = "volatile void *at = (void *)foo; if (!at) return 1; foo()";
    vec![
        linked
            .named("copied_data_is_protected_and_to_be_accessed_indirectly")
            .library("lib/libfoo.so.1", &protected, "-mno-direct-extern-access")
            .program(DATA, READS, COPIED)
            .asked(KNOWING)
            .fails("error due to GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS"),
        linked
            .named("copied_data_is_protected")
            .library("lib/libfoo.so.1", &protected, "")
            .program(DATA, READS, COPIED),
        linked
            .named("protected_data_is_read_by_the_got")
            .library("lib/libfoo.so.1", &protected, "-mno-direct-extern-access")
            .program(DATA, READS, "-fPIC -mno-direct-extern-access new/libfoo.so.1"),
        linked
            .named("address_of_a_protected_function_is_a_plt_entry")
            .library("lib/libfoo.so.1", &protected_function, "-mno-direct-extern-access")
            .program("int foo(void);", address, &format!("{COPIED} -Wl,-z,now"))
            .asked(KNOWING)
            .fails("error due to GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS"),
        linked
            .named("called_function_is_protected")
            .library("lib/libfoo.so.1", &protected_function, "-mno-direct-extern-access")
            .program("int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1"),
        row("tls_reference_to_plain_data")
            .library("new/libfoo.so.1", &tls, "")
            .library("lib/libfoo.so.1", plain, "")
            .program("extern __thread int data; int foo(void);", READS, "-fPIC new/libfoo.so.1")
            .fails("status 136"),
        row("tls_reference_of_an_unused_function_to_plain_data")
            .library("new/libfoo.so.1", &tls, "")
            .library("lib/libfoo.so.1", plain, "")
            .library(
                "lib/libbar.so.1",
                "extern __thread int data; int foo(void); int bar(void) { return foo(); } int unused(void) { return data; }",
                "new/libfoo.so.1",
            )
            .program("int bar(void);", "bar()", "lib/libbar.so.1 -Wl,-rpath-link,new")
            .arm64(),
        linked
            .named("plain_reference_to_a_tls_definition")
            .library("lib/libfoo.so.1", &tls, "")
            .program(DATA, READS, COPIED),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    let mut rows = Vec::new();
    for kind in KINDS {
        rows.extend([in_program(kind, true), in_program(kind, false)]);
        if kind.place == Place::Anywhere {
            let definers = [Definer::Needed, Definer::Nobody, Definer::Program, Definer::Sibling];
            rows.extend(definers.map(|definer| in_library(kind, definer)));
        }
    }
    rows.extend([vtables(), lazy_calls(), copied_data(), definitions(), misfits()].concat());
    rows
}
