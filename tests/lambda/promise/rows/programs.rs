//! What is a program at all, and what an edit may do to it.

use crate::promise::scenario::{STARTED, Scenario, row};

const SIGN: &str = "static const char sign[] __attribute__((used)) = \"AWS_LAMBDA_RUNTIME_API\";";

fn linkage() -> Vec<Scenario> {
    vec![
        row("plain").program("", "", "").libc_bundle_too().arm64(),
        row("plain_no_pie").program("", "", "-no-pie").libc_bundle_too().arm64(),
        row("plain_lld_like_relro").program("", "", "-Wl,-z,relro,-z,now,-z,separate-code").libc_bundle_too(),
        row("static_program").program("", "", "-static").libc_bundle_too().arm64(),
        row("static_pie_program").program("", "", "-static-pie").libc_bundle_too().arm64(),
        row("static_pie_without_its_flag")
            .program("", "", "-static-pie")
            .sh(clear_flag_pie()),
        row("pie_without_its_flag").program("", "", "").sh(clear_flag_pie()),
        row("pie_with_a_soname").program("", "", "-Wl,-soname,prog").libc_bundle_too(),
        row("interpreter_is_nowhere")
            .program("", "", "-Wl,--dynamic-linker=/lib64/nowhere.so.2")
            .fails("No such file")
            .arm64(),
        row("interpreter_is_libc").program("", "", "-Wl,--dynamic-linker=/lib64/libc.so.6").fails("status 1"),
        row("interpreter_by_another_path").program("", "", "-Wl,--dynamic-linker=/usr/lib64/ld-linux-x86-64.so.2"),
        row("program_for_another_kernel_abi").program("", "", "").sh("printf '\\003' | dd of=prog bs=1 seek=7 conv=notrunc 2>/dev/null"),
        row("program_without_section_headers").program("", "", "").sh(
            "python3 -c 'import struct; d = bytearray(open(\"prog\", \"rb\").read()); \
             struct.pack_into(\"<Q\", d, 40, 0); struct.pack_into(\"<HHH\", d, 58, 0, 0, 0); open(\"prog\", \"wb\").write(d)'",
        ),
    ]
}

/// Clears DF_1_PIE, which binutils did not set before 2.37 in static programs.
fn clear_flag_pie() -> &'static str {
    r#"python3 - <<'END'
import struct
data = bytearray(open("prog", "rb").read())
at, = struct.unpack_from("<Q", data, 32)
count, = struct.unpack_from("<H", data, 56)
for index in range(count):
    kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, at + 56 * index)
    if kind != 2:
        continue
    for entry in range(offset, offset + size, 16):
        tag, value = struct.unpack_from("<QQ", data, entry)
        if tag == 0x6ffffffb:
            struct.pack_into("<Q", data, entry + 8, value & ~0x08000000)
open("prog", "wb").write(data)
END"#
}

/// A program that has its data behind the end of the ELF file, as self-extractors do.
fn trailing() -> Vec<Scenario> {
    let declarations = "#include <string.h>\n#include <zlib.h>\n";
    let body = "FILE *f = fopen(\"/proc/self/exe\", \"rb\"); char b[9] = {0}; fseek(f, -8, SEEK_END); \
                fread(b, 1, 8, f); if (strcmp(b, \"PAYLOAD!\") || !zlibVersion()) { puts(\"lost\"); return 1; }";
    let trailed = row("").program(declarations, body, "-g -lz").sh("printf 'data PAYLOAD!' >> prog");
    vec![
        trailed.named("trailing_data_unedited"),
        trailed.named("trailing_data_with_libc").libc_bundle_only(),
        trailed.named("trailing_data_with_a_pin").flags("--bundle-lib libz*"),
        trailed.named("trailing_data_stripped").flags("--strip"),
        row("trailing_data_with_edits_from_the_start")
            .program(
                "#include <string.h>\n",
                "FILE *f = fopen(\"/proc/self/exe\", \"rb\"); fseek(f, -8, SEEK_END); char b[9] = {0}; fread(b, 1, 8, f); \
                 if (memcmp(b, \"PAYLOAD!\", 8)) { puts(\"lost\"); return 1; }",
                "-static",
            )
            .sh("printf 'PAYLOAD!' >> prog")
            .flags("--strip"),
        row("debug_information_stripped").program("", "", "-g").flags("--strip").libc_bundle_too().arm64(),
    ]
}

/// Programs beside the function, and archives of several.
fn several() -> Vec<Scenario> {
    let runs = "#include <sys/wait.h>\n#include <unistd.h>\nstatic int runs(char *path) { int status = 0; \
                if (fork() == 0) { execl(path, path, (char *)0); _exit(126); } \
                wait(&status); return status; }";
    vec![
        row("included_program")
            .other_program("tools/tool", "", "", "")
            .program(runs, "if (runs(\"/var/task/tools/tool\")) return 1", "")
            .flags("--include tools/tool=tools/")
            .libc_bundle_too(),
        row("included_program_with_a_library")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .other_program("tools/tool", "int foo(void);", "foo()", "lib/libfoo.so.1")
            .program(runs, "if (runs(\"/var/task/tools/tool\")) return 1", "")
            .flags("--include tools/tool=tools/")
            .libc_bundle_too(),
        row("included_program_shares_a_library")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .other_program("tools/tool", "int foo(void);", "foo()", "lib/libfoo.so.1")
            .program(
                &format!("{runs} int foo(void);"),
                "foo(); if (runs(\"/var/task/tools/tool\")) return 1",
                "lib/libfoo.so.1",
            )
            .flags("--include tools/tool=tools/")
            .libc_bundle_too(),
        row("included_program_lacks_a_library")
            .library("new/libfoo.so.1", "int foo(void) { return 1; }", "")
            .other_program("tools/tool", "int foo(void);", "foo()", "new/libfoo.so.1")
            .program(runs, "if (runs(\"/var/task/tools/tool\")) return 1", "")
            .flags("--include tools/tool=tools/")
            .fails("cannot open shared object file"),
        row("one_extension")
            .other_program("extensions/one", "", "", "")
            .extensions()
            .libc_bundle_too()
            .arm64(),
        row("two_extensions")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "")
            .other_program("extensions/one", "", "", "")
            .other_program("extensions/two", "int foo(void);", "foo()", "lib/libfoo.so.1")
            .extensions()
            .libc_bundle_too()
            .arm64(),
        row("two_extensions_of_which_one_lacks_a_symbol")
            .library("new/libfoo.so.1", "int foo(void) { return 1; }", "")
            .library("lib/libfoo.so.1", "int bar(void) { return 1; }", "")
            .other_program("extensions/one", "", "", "")
            .other_program("extensions/two", "int foo(void);", "foo()", "-Wl,-z,now new/libfoo.so.1")
            .extensions()
            .libc_bundle_too()
            .fails("undefined symbol: foo"),
    ]
}

/// Programs that use little of libc or nothing.
fn freestanding() -> Vec<Scenario> {
    let exits = format!(
        "{SIGN}\nvoid _start(void) {{ static const char line[] = \"{STARTED}\\n\"; long n;\n\
         __asm__ volatile(\"syscall\" : \"=a\"(n) : \"a\"(1), \"D\"(1), \"S\"(line), \"d\"(sizeof line - 1) : \"rcx\", \"r11\", \"memory\");\n\
         __asm__ volatile(\"syscall\" : \"=a\"(n) : \"a\"(60), \"D\"(0) : \"rcx\", \"r11\"); }}"
    );
    vec![
        row("freestanding_static").source("prog", &exits, "-nostdlib -static"),
        row("freestanding_dynamic").source(
            "prog",
            &exits,
            "-nostdlib -pie -Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2",
        ),
        row("freestanding_with_a_library")
            .library("lib/libfoo.so.1", "int foo(void) { return 1; }", "-nostdlib")
            .source("prog", &exits, "-nostdlib -Wl,--no-as-needed lib/libfoo.so.1")
            .libc_bundle_too(),
        row("freestanding_with_relr")
            .source(
                "prog",
                &format!("{exits} void *table[] = {{&table, &table}};"),
                "-nostdlib -pie -Wl,-z,pack-relative-relocs",
            )
            .captured_only(),
        row("no_entry_point")
            .program("", "", "")
            .sh("printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of=prog bs=1 seek=24 conv=notrunc 2>/dev/null")
            .fails("status 1"),
        row("object_file")
            .source("prog", &format!("{SIGN} int main(void) {{ return 0; }}"), "-c")
            .fails("failed to execute"),
        row("shared_library_as_the_program")
            .library("prog", "int foo(void) { return 1; } const char *s = \"AWS_LAMBDA_RUNTIME_API\";", "")
            .fails("status 1"),
    ]
}

/// All rows of this kind.
pub fn all() -> Vec<Scenario> {
    [linkage(), trailing(), several(), freestanding()].concat()
}
