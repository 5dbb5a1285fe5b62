//! What `elf` says of files made in code, of broken ones, and of this machine's, next to readelf.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::compile::CC;
use crate::support::elf::*;
use crate::support::tools;
use cargo_lambda_bundle::elf::{
    self, Alignment, Arch, ElfError, ElfFacts, Libc, Linkage, ObjectType, OtherFormat, Part,
};
use proptest::prelude::*;

/// A library with something of everything.
fn full_library() -> Object {
    Object::library("libfoo.so.1")
        .needs("libbar.so.1")
        .needs("libc.so.6")
        .rpath("/r")
        .runpath("/x:$ORIGIN/y")
        .auxiliary("libaux.so")
        .filter("libfilter.so")
        .verneed("libc.so.6", &["GLIBC_2.38"])
        .weak_verneed("libc.so.6", &["GLIBC_WEAK"])
        .verdef(&["V1", "V2"])
        .defines("foo", Some("V1"))
        .defines_hidden("foo", "V2")
        .defines("plain", None)
        .imports("bar", Some(("libbar.so.1", "V1")))
        .imports_weak("perhaps", None)
        .flags(elf::DF_BIND_NOW)
        .flags_1(elf::DF_1_NOW | elf::DF_1_NODEFLIB)
        .build_id(&[0xab, 0xcd])
        .abi_tag([3, 2, 0])
        .isa_needed(0b101)
}

/// All that can be known of a file, as one text: for comparing.
fn facts_text(facts: &ElfFacts) -> String {
    format!("{facts:?}")
}

/// The symbols as `name index`, with `=` before those defined and `?` before weak ones.
fn symbol_rows(facts: &ElfFacts) -> Vec<String> {
    let row = |symbol: &elf::Symbol| {
        let (defined, weak) = (if symbol.defined { "=" } else { "" }, if symbol.weak { "?" } else { "" });
        format!("{defined}{weak}{} {:#x}", facts.symbols.name(symbol), symbol.version)
    };
    facts.symbols.iter().map(row).collect()
}

/// Asks every derived answer: none may panic, whatever the file said.
fn ask_everything(facts: &ElfFacts) {
    let _ = (facts.arch(), facts.machine_name(), facts.linkage(), facts.libc(), facts.binds_now());
    for need in facts.verneed.iter().take(50) {
        facts.symbols_needing(&need.file, &[&need.node]);
    }
    symbol_rows(facts);
}

#[test]
fn every_fact_of_a_library_is_read() {
    let facts = full_library().relr(8).facts();
    assert!(facts.class64 && facts.little_endian);
    assert_eq!((facts.machine, facts.object_type), (EM_X86_64, ObjectType::Dyn));
    assert_eq!(facts.interpreter, None);
    assert_eq!(facts.soname.as_deref(), Some("libfoo.so.1"));
    assert_eq!(facts.needed, ["libbar.so.1", "libc.so.6"]);
    assert_eq!(facts.rpath.as_deref(), Some("/r"));
    assert_eq!(facts.runpath.as_deref(), Some("/x:$ORIGIN/y"));
    assert_eq!(
        (&*facts.auxiliary, &*facts.filter),
        (&["libaux.so".into()][..], &["libfilter.so".into()][..])
    );
    let verneed: Vec<_> =
        facts.verneed.iter().map(|n| (n.file.as_str(), n.node.as_str(), n.weak, n.index)).collect();
    assert_eq!(
        verneed,
        [
            ("libc.so.6", "GLIBC_2.38", false, 4),
            ("libc.so.6", "GLIBC_WEAK", true, 5),
            ("libbar.so.1", "V1", false, 6)
        ]
    );
    let verdef: Vec<_> = facts.verdef.iter().map(|d| (d.node.as_str(), d.base, d.index)).collect();
    assert_eq!(verdef, [("libfoo.so.1", true, 1), ("V1", false, 2), ("V2", false, 3)]);
    assert_eq!((facts.flags, facts.flags_1), (elf::DF_BIND_NOW, elf::DF_1_NOW | elf::DF_1_NODEFLIB));
    assert!(facts.has_load && facts.has_dynamic && facts.has_versym && facts.has_relr);
    assert_eq!(facts.build_id.as_deref(), Some(&[0xab, 0xcd][..]));
    assert_eq!(facts.least_kernel, Some((3, 2, 0)));
    assert_eq!(facts.isa_needed, 0b101);
    assert!(!facts.go && !facts.musl_text);
    assert_eq!(symbol_rows(&facts), ["bar 0x6", "?perhaps 0x1", "=foo 0x2", "=foo 0x8003", "=plain 0x1"]);
    assert!(facts.symbols.has_hash());
}

#[test]
fn a_file_with_nothing_in_it_has_no_facts() {
    let facts = Object::plugin().facts();
    let empty = ElfFacts {
        class64: true,
        little_endian: true,
        machine: EM_X86_64,
        has_load: true,
        has_dynamic: true,
        symbols: facts.symbols.clone(),
        ..ElfFacts::default()
    };
    assert_eq!(facts_text(&facts), facts_text(&empty));
    assert_eq!(facts.symbols.iter().count(), 0);
}

#[test]
fn segments_and_header_fields_are_told() {
    assert!(!Object::plugin().without_load().without_dynamic().facts().has_load);
    assert!(!Object::plugin().without_dynamic().facts().has_dynamic);
    let facts = Object::plugin().os_abi(3, 1).facts();
    assert_eq!((facts.os_abi, facts.abi_version), (3, 1));
    assert_eq!(Object::plugin().object_type(ET_REL).facts().object_type, ObjectType::Other(1));
    assert_eq!(Object::plugin().object_type(4).facts().object_type, ObjectType::Other(4));
    assert_eq!(Object::program().facts().interpreter.as_deref(), Some(GLIBC_INTERPRETER));
}

#[test]
fn of_two_dynamic_entries_the_last_counts() {
    let facts = Object::library("first").soname("last").runpath("/first").runpath("/last").facts();
    assert_eq!((facts.soname.as_deref(), facts.runpath.as_deref()), (Some("last"), Some("/last")));
}

#[test]
fn bind_now_has_three_spellings() {
    assert!(!Object::program().facts().binds_now());
    assert!(Object::program().flags(elf::DF_BIND_NOW).facts().binds_now());
    assert!(Object::program().flags_1(elf::DF_1_NOW).facts().binds_now());
    assert!(Object::program().dynamic(DT_BIND_NOW, 0).facts().binds_now());
}

#[test]
fn an_empty_relr_table_is_none() {
    assert!(Object::program().relr(8).facts().has_relr);
    assert!(!Object::program().relr(0).facts().has_relr);
    // How many there are is not told, so there may be some.
    assert!(Object::program().relr(8).without(DT_RELRSZ).facts().has_relr);
    assert!(!Object::program().relr(8).without(DT_RELR).facts().has_relr);
}

#[test]
fn names_that_are_not_utf8_are_escaped() {
    let facts = Object::library(b"lib\xff.so")
        .needs(b"\xc3\xa4-\xc3.so")
        .interpreter(b"/\x80")
        .defines(b"s\xfe", None)
        .facts();
    assert_eq!(facts.soname.as_deref(), Some("lib\\xff.so"));
    assert_eq!(facts.needed, ["ä-\\xc3.so"]);
    assert_eq!(facts.interpreter.as_deref(), Some("/\\x80"));
    assert_eq!(symbol_rows(&facts), ["=s\\xfe 0x1"]);
}

#[test]
fn the_first_build_id_counts() {
    assert_eq!(Object::plugin().build_id(&[1]).build_id(&[2]).facts().build_id, Some(vec![1]));
}

// Architecture.

#[track_caller]
fn check_machine(object: Object, arch: Option<Arch>, name: &str) {
    let facts = object.needs("libc.so.6").facts();
    assert_eq!((facts.arch(), facts.machine_name().as_str()), (arch, name));
    // Files for other machines are not read beyond their header.
    assert_eq!(facts.needed.len(), usize::from(arch.is_some()));
}

#[test]
fn machine_class_and_byte_order_make_the_architecture() {
    check_machine(Object::plugin(), Some(Arch::X86_64), "x86_64");
    check_machine(Object::plugin().arm64(), Some(Arch::Arm64), "arm64");
    check_machine(Object::plugin().class32(), None, "x86_64 with 32-bit pointers (x32)");
    check_machine(Object::plugin().machine(EM_386).class32(), None, "32-bit x86");
    check_machine(Object::plugin().machine(40).class32(), None, "32-bit Arm");
    check_machine(Object::plugin().arm64().big_endian(), None, "big-endian arm64");
    check_machine(Object::plugin().machine(243), None, "RISC-V");
    check_machine(Object::plugin().machine(22).big_endian(), None, "64-bit machine 22");
    check_machine(Object::plugin().machine(8).class32().big_endian(), None, "32-bit machine 8");
}

// Linkage and C library.

#[track_caller]
fn check(object: Object, linkage: Linkage, libc: Libc) {
    let facts = object.facts();
    assert_eq!((facts.linkage(), facts.libc()), (linkage, libc));
    assert_eq!(facts.is_program(), linkage != Linkage::SharedLibrary);
}

#[test]
fn a_program_with_an_interpreter_is_dynamic() {
    check(Object::program().needs("libc.so.6"), Linkage::Dynamic, Libc::Glibc);
    check(Object::program(), Linkage::Dynamic, Libc::Glibc);
    check(Object::program().flags_1(0), Linkage::Dynamic, Libc::Glibc);
    check(Object::program().object_type(ET_EXEC), Linkage::Dynamic, Libc::Glibc);
    check(Object::program().interpreter(MUSL_INTERPRETER).needs("libc.so"), Linkage::Dynamic, Libc::Musl);
}

#[test]
fn an_object_with_interpreter_and_soname_is_a_library() {
    let libc = Object::library("libc.so.6").interpreter(GLIBC_INTERPRETER).needs("ld-linux-x86-64.so.2");
    check(libc.verdef(&["GLIBC_2.2.5"]), Linkage::SharedLibrary, Libc::Glibc);
    // DF_1_PIE says that it is a program all the same.
    check(Object::program().soname("prog"), Linkage::Dynamic, Libc::Glibc);
}

#[test]
fn the_c_library_of_musl_is_a_library_without_interpreter() {
    check(Object::library("libc.so"), Linkage::SharedLibrary, Libc::None);
    check(Object::plugin(), Linkage::SharedLibrary, Libc::None);
}

#[test]
fn a_program_without_interpreter_and_needs_is_static() {
    check(Object::static_program(), Linkage::Static, Libc::Unknown);
    check(Object::static_program().object_type(ET_EXEC), Linkage::Static, Libc::Unknown);
    check(Object::static_pie(), Linkage::StaticPie, Libc::Unknown);
}

#[test]
fn a_program_with_needs_and_no_interpreter_is_broken() {
    check(Object::static_pie().needs("libc.so.6"), Linkage::Broken, Libc::Glibc);
    check(Object::static_pie().needs("libc.so"), Linkage::Broken, Libc::Musl);
    check(Object::static_pie().needs("libfoo.so").musl_text(), Linkage::Broken, Libc::Musl);
    check(Object::plugin().object_type(ET_EXEC).needs("libfoo.so"), Linkage::Broken, Libc::Unknown);
}

#[test]
fn what_no_loader_takes_is_not_a_program() {
    check(Object::program().object_type(ET_REL), Linkage::SharedLibrary, Libc::Glibc);
}

#[test]
fn a_dynamic_object_names_its_c_library() {
    check(Object::plugin().needs("libc.so.6"), Linkage::SharedLibrary, Libc::Glibc);
    check(Object::plugin().verneed("libm.so.6", &["GLIBC_2.29"]), Linkage::SharedLibrary, Libc::Glibc);
    check(Object::plugin().needs("libc.musl-x86_64.so.1"), Linkage::SharedLibrary, Libc::Musl);
    check(Object::plugin().needs("libc.so"), Linkage::SharedLibrary, Libc::Musl);
    check(Object::plugin().needs("libfoo.so.1"), Linkage::SharedLibrary, Libc::Unknown);
    check(
        Object::program().interpreter("/nix/store/x/lib/ld-linux-x86-64.so.2"),
        Linkage::Dynamic,
        Libc::Glibc,
    );
    check(Object::program().interpreter("/loader"), Linkage::Dynamic, Libc::Unknown);
    check(Object::program().interpreter("/loader").needs("libc.so.6"), Linkage::Dynamic, Libc::Glibc);
    check(Object::program().arm64(), Linkage::Dynamic, Libc::Glibc);
}

#[test]
fn a_static_program_shows_traces_of_its_c_library() {
    check(Object::static_program().abi_tag([3, 2, 0]), Linkage::Static, Libc::Glibc);
    check(Object::static_program().musl_text(), Linkage::Static, Libc::Musl);
    check(Object::static_pie().musl_text(), Linkage::StaticPie, Libc::Musl);
    check(Object::static_program().go(), Linkage::Static, Libc::None);
    // With cgo.
    check(Object::static_program().go().abi_tag([3, 2, 0]), Linkage::Static, Libc::Glibc);
    check(Object::static_program().go().musl_text(), Linkage::Static, Libc::Musl);
    // The text alone is no trace where the interpreter tells.
    assert!(!Object::program().musl_text().facts().musl_text);
}

// Symbols.

#[test]
fn symbols_are_found_by_the_version_they_ask_for() {
    let facts = Object::program()
        .imports("b", Some(("libc.so.6", "GLIBC_2.38")))
        .imports("a", Some(("libc.so.6", "GLIBC_2.38")))
        .imports("a", Some(("libc.so.6", "GLIBC_2.38")))
        .imports("old", Some(("libc.so.6", "GLIBC_2.2.5")))
        .imports("other", Some(("libm.so.6", "GLIBC_2.38")))
        .imports("none", None)
        .verdef(&["GLIBC_2.38"])
        .defines("mine", Some("GLIBC_2.38"))
        .facts();
    assert_eq!(facts.symbols_needing("libc.so.6", &["GLIBC_2.38"]), ["a", "b"]);
    assert_eq!(facts.symbols_needing("libm.so.6", &["GLIBC_2.38"]), ["other"]);
    assert!(facts.symbols_needing("libc.so.6", &["GLIBC_2.34"]).is_empty());
}

#[test]
fn every_kind_of_hash_table_gives_all_symbols() {
    let imports = |object: Object| object.imports("a", Some(("libc.so.6", "G"))).imports("b", None);
    for hash in [Hash::Gnu, Hash::SysV, Hash::Both] {
        let object = imports(Object::plugin()).defines("c", None).defines("d", None).hash(hash);
        assert_eq!(symbol_rows(&object.facts()), ["a 0x2", "b 0x1", "=c 0x1", "=d 0x1"], "{hash:?}");
        assert!(object.facts().symbols.has_hash());
    }
}

#[test]
fn imports_of_a_program_without_exports_are_found_by_their_relocations() {
    for hash in [Hash::Gnu, Hash::None] {
        let object = Object::program().imports("a", Some(("libc.so.6", "G"))).imports("b", None).hash(hash);
        assert_eq!(symbol_rows(&object.facts()), ["a 0x2", "b 0x1"], "{hash:?}");
        assert_eq!(object.facts().symbols_needing("libc.so.6", &["G"]), ["a"]);
        assert_eq!(object.facts().symbols.has_hash(), hash == Hash::Gnu);
        // The tables of the procedure linkage are like the others.
        let built = object.build();
        let plt =
            object.clone().without(DT_RELA).dynamic(23, Built::address(built.relocations)).dynamic(2, 48);
        assert_eq!(symbol_rows(&plt.facts()), ["a 0x2", "b 0x1"], "{hash:?}");
        // Relative ones come first and name no symbol.
        assert_eq!(symbol_rows(&object.dynamic(0x6fff_fff9, 2).facts()).len(), 0, "{hash:?}");
    }
}

// What is not ELF.

#[track_caller]
fn check_other(bytes: impl AsRef<[u8]>, expected: OtherFormat) {
    assert_eq!(elf::parse(bytes.as_ref()).unwrap_err(), ElfError::NotElf(expected));
}

#[test]
fn other_formats_are_told_by_their_first_bytes() {
    use OtherFormat::*;
    check_other(b"", Empty);
    check_other("#!/bin/sh\nexec true\n", Script);
    check_other("/* GNU ld script\n*/\nGROUP ( /lib/libc.so.6 )\n", LinkerScript);
    check_other("INPUT(libncurses.so.6 -ltinfo)\n", LinkerScript);
    check_other("\nGROUP ( a.so )\n", LinkerScript);
    check_other("OUTPUT_FORMAT(elf64-x86-64)\n", LinkerScript);
    check_other([0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1], MachO);
    check_other([0xce, 0xfa, 0xed, 0xfe, 7, 0, 0, 0], MachO);
    check_other([0xfe, 0xed, 0xfa, 0xcf, 1, 0, 0, 7], MachO);
    check_other([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2, 1, 0, 0, 7], MachO);
    check_other([0xca, 0xfe, 0xba, 0xbf, 0, 0, 0, 2, 1, 0, 0, 7], MachO);
    check_other([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 65, 0, 20], Data);
    check_other([0xca, 0xfe, 0xba, 0xbe, 0, 3, 0, 45, 0, 20], Data);
    check_other(b"MZ\x90\0\x03\0\0\0", Windows);
    check_other(b"PK\x03\x04\x14\0", Zip);
    check_other(b"PK\x05\x06\0\0", Zip);
    check_other(b"\0asm\x01\0\0\0", Wasm);
    check_other(b"!<arch>\nfoo.o/", StaticLibrary);
    check_other(b"!<thin>\n/", StaticLibrary);
    check_other("hello\n", Text);
    check_other("ä", Text);
    check_other("PKG=1\nINPUTS\n", Text);
    check_other([0x1f, 0x8b, 8, 0, 0], Data);
    check_other([0xff, 0xfe], Data);
    check_other("a\0b", Data);
    check_other(b"\x7fEL", Text);
}

#[test]
fn a_character_across_the_end_of_what_is_looked_at_is_text() {
    for ascii in 508..513 {
        check_other("a".repeat(ascii) + "€€", OtherFormat::Text);
    }
    check_other(["a".repeat(500).as_bytes(), b"\xff", "a".repeat(50).as_bytes()].concat(), OtherFormat::Data);
    check_other(["a".repeat(510).as_bytes(), b"\xe2\x82"].concat(), OtherFormat::Text);
    check_other(["a".repeat(400).as_bytes(), b"\xe2\x82"].concat(), OtherFormat::Data);
}

// What is malformed.

#[track_caller]
fn check_error(bytes: impl AsRef<[u8]>, part_of_message: &str) {
    match elf::parse(bytes.as_ref()) {
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(part_of_message), "{message}");
        }
        Ok(facts) => panic!("no error, but {facts:?}"),
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let objects = [
        full_library(),
        Object::program().needs("libc.so.6").imports("a", None),
        Object::static_program().musl_text(),
        Object::plugin(),
    ];
    for object in objects {
        let bytes = object.bytes();
        assert!(bytes.len() < 2048, "{} bytes", bytes.len());
        for size in 0..bytes.len() {
            let cut = elf::parse(&bytes[..size]);
            assert!(cut.is_err(), "{size} bytes of {}: {cut:?}", bytes.len());
        }
        // Section headers and debug sections lie behind what is loaded.
        let longer = elf::parse(&[&bytes[..], b"more"].concat()).unwrap();
        assert_eq!(facts_text(&longer), facts_text(&object.facts()));
    }
}

#[test]
fn the_header_is_checked() {
    let built = || full_library().build();
    let at_headers = built().header(PT_LOAD);
    check_error(built().put(4, [3]).bytes, "ELF class is 3");
    check_error(built().put(5, [0]).bytes, "byte order is 0");
    check_error(built().put_u16(54, 32).bytes, "program headers of 32 bytes");
    check_error(built().put_u16(54, 0).bytes, "program headers of 0 bytes");
    check_error(built().put_u16(56, 1000).bytes, "the program header table lies outside");
    check_error(built().put_u16(56, 0xffff).bytes, "65535 program headers");
    check_error(built().put_u64(32, u64::MAX - 8).bytes, "the program header table lies outside");
    check_error(built().put_u64(at_headers + 8, u64::MAX).bytes, "a loadable segment lies outside");
    check_error(built().put_u64(at_headers + 32, u64::MAX).bytes, "a loadable segment lies outside");
    check_error(built().put_u64(at_headers + 32, 2 << 30).bytes, "a loadable segment lies outside");
    // Without program headers nothing can be loaded; the loader says so.
    assert!(!elf::parse(&built().put_u16(56, 0).bytes).unwrap().has_load);
    check_error(&built().bytes[..63], "shorter than an ELF header");
    check_error(b"\x7fELF", "shorter than an ELF header");
}

#[test]
fn the_interpreter_is_checked_as_the_kernel_does() {
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    let broken = "the interpreter's path is empty, too long or has no end";
    assert_eq!(Object::program().interpreter(path(4095)).facts().interpreter, Some(path(4095)));
    check_error(Object::program().interpreter(path(4096)).bytes(), broken);
    check_error(Object::program().interpreter("").bytes(), broken);
    let built = Object::program().interpreter("/ld").build();
    let (header, end) = (built.header(PT_INTERP), built.interpreter + 3);
    check_error(built.clone().put(end, b"x").bytes, broken);
    check_error(built.clone().put_u64(header + 32, 0).bytes, broken);
    check_error(built.clone().put_u64(header + 32, 1 << 40).bytes, "the interpreter's path lies outside");
    check_error(built.clone().put_u64(header + 8, u64::MAX).bytes, "the interpreter's path lies outside");
    // The kernel opens what a C string gives.
    assert_eq!(
        elf::parse(&built.clone().put(end - 1, b"\0").bytes).unwrap().interpreter.as_deref(),
        Some("/l")
    );
}

#[test]
fn the_dynamic_segment_is_read_at_its_address_up_to_dt_null() {
    let built = full_library().build();
    let header = built.header(PT_DYNAMIC);
    let of = |built: Built| facts_text(&elf::parse(&built.bytes).unwrap());
    // ld.so looks at neither the offset nor the size.
    assert_eq!(of(built.clone().put_u64(header + 8, 0).put_u64(header + 32, 16)), of(built.clone()));
    check_error(built.clone().put_u64(header + 16, 0x10).bytes, "the dynamic segment lies outside");
    check_error(built.clone().put_u64(header + 16, u64::MAX).bytes, "the dynamic segment lies outside");
    check_error(full_library().without(DT_NULL).bytes(), "the dynamic segment has no end");
    check_error(full_library().without_load().bytes(), "the dynamic segment lies outside");
    let last = built.bytes.len() as u64 - 8;
    check_error(built.put_u64(header + 16, 0x10000 + last).bytes, "the dynamic segment has no end");
}

#[test]
fn strings_lie_in_their_table() {
    let table = "the dynamic string table lies outside";
    check_error(full_library().dynamic(DT_STRTAB, 1).bytes(), table);
    check_error(full_library().dynamic(DT_STRTAB, u64::MAX).bytes(), table);
    check_error(full_library().dynamic(DT_STRSZ, u64::MAX).bytes(), table);
    check_error(full_library().dynamic(DT_STRSZ, 2 << 30).bytes(), table);
    for (size, offset, message) in [
        (3, 1, "a needed name has no end"),
        (2, 1, "a needed name has no end"),
        (3, 3, "a needed name has no end"),
        (3, 4, "a needed name lies outside"),
    ] {
        let object = Object::plugin().needs("a").dynamic(DT_NEEDED, offset).dynamic(DT_STRSZ, size);
        let built = object.build();
        // The table is `\0aa` now.
        check_error(built.clone().put(built.strings + 2, b"a").bytes, message);
    }
    for tag in [DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_AUXILIARY, DT_FILTER] {
        check_error(full_library().dynamic(tag, 1 << 20).bytes(), "lies outside the string table");
        check_error(full_library().dynamic(tag, u64::MAX).bytes(), "lies outside the string table");
    }
    check_error(full_library().without(DT_STRTAB).bytes(), "a needed name lies outside the string table");
    check_error(full_library().without(DT_STRSZ).bytes(), "string table");
}

#[test]
fn version_needs_are_followed_as_the_loader_does() {
    let object = Object::plugin().verneed("a", &["A1", "A2"]).verneed("b", &["B"]);
    let built = object.build();
    let at = built.verneed;
    let nodes = |built: Built| -> Vec<String> {
        elf::parse(&built.bytes).unwrap().verneed.into_iter().map(|need| need.node).collect()
    };
    // ld.so goes by the links alone, not by vn_cnt or DT_VERNEEDNUM.
    assert_eq!(nodes(built.clone().put_u16(at + 2, 0)), ["A1", "A2", "B"]);
    assert_eq!(nodes(object.clone().dynamic(DT_VERNEEDNUM, 0).build()), ["A1", "A2", "B"]);
    check_error(built.clone().put_u16(at, 2).bytes, "version needs have the unknown format 2");
    check_error(built.clone().put_u32(at + 8, u32::MAX).bytes, "the table of version needs lies outside");
    check_error(built.clone().put_u32(at + 12, u32::MAX).bytes, "the table of version needs lies outside");
    check_error(
        built.clone().put_u32(at + 16 + 12, u32::MAX).bytes,
        "the table of version needs lies outside",
    );
    check_error(built.clone().put_u32(at + 4, 1 << 20).bytes, "the file name of a version need lies outside");
    check_error(built.clone().put_u32(at + 16 + 8, 1 << 20).bytes, "a needed version lies outside");
    check_error(object.clone().dynamic(DT_VERNEED, 8).bytes(), "the table of version needs lies outside");
    // Every 16 bytes are an entry for a file and one for a version, which leads to the next.
    let entry = [[1, 0, 1, 0], [1, 0, 0, 0], [16, 0, 0, 0], [16, 0, 0, 0]].concat();
    let (object, at) = with_end(object, &entry.repeat(65_536));
    // Any bytes do for names.
    let object = object.dynamic(DT_STRTAB, Built::address(0)).dynamic(DT_STRSZ, 0x100);
    check_error(object.dynamic(DT_VERNEED, at).bytes(), "it has more than 4096 version needs");
}

#[test]
fn version_definitions_are_checked() {
    let object = Object::library("x").verdef(&["V1", "V2"]);
    let built = object.build();
    let at = built.verdef;
    check_error(built.clone().put_u16(at, 0).bytes, "version definitions have the unknown format 0");
    check_error(
        built.clone().put_u32(at + 12, u32::MAX).bytes,
        "the table of version definitions lies outside",
    );
    check_error(
        built.clone().put_u32(at + 16, u32::MAX).bytes,
        "the table of version definitions lies outside",
    );
    check_error(built.clone().put_u32(at + 20, 1 << 20).bytes, "a defined version lies outside");
    check_error(object.dynamic(DT_VERDEF, u64::MAX).bytes(), "the table of version definitions lies outside");
}

/// A plugin with two PT_LOADs: the file, and the same bytes again at the end of the address space.
fn mapped_at_the_end(object: Object) -> (Built, u64) {
    // The header of PT_GNU_STACK becomes the second one.
    let built = object.build();
    let header = built.header(PT_GNU_STACK);
    let size = built.bytes.len() as u64;
    let start = u64::MAX - size + 1;
    let built = built.put_u32(header, PT_LOAD).put_u64(header + 16, start).put_u64(header + 32, size);
    (built, start)
}

#[test]
fn addresses_at_the_end_of_the_address_space_do_not_overflow() {
    let object = Object::library("x").verneed("f", &["N"]).verdef(&["V"]).defines("d", None);
    let (built, start) = mapped_at_the_end(object.clone());
    let moved = |tag: u64, at: usize| object.clone().dynamic(tag, start + at as u64);
    let whole = facts_text(&object.facts());
    for (tag, at) in [
        (DT_VERNEED, built.verneed),
        (DT_VERDEF, built.verdef),
        (DT_SYMTAB, built.symbols),
        (DT_VERSYM, built.versym),
        (DT_GNU_HASH, built.gnu_hash),
        (DT_STRTAB, built.strings),
    ] {
        let (built, _) = mapped_at_the_end(moved(tag, at));
        let mut facts = elf::parse(&built.bytes).unwrap();
        // The second PT_LOAD could not be mapped there.
        assert_eq!(std::mem::take(&mut facts.alignment), Alignment::Broken);
        assert!(facts.program_fault().unwrap().contains("outside the address space"), "{:?}", facts.faults);
        facts.faults.clear();
        assert_eq!(facts_text(&facts), whole, "{tag:#x}");
    }
    for (tag, at) in [
        (DT_VERNEED, built.verneed + 8),
        (DT_VERNEED, built.verneed + 12),
        (DT_VERNEED, built.verneed + 16 + 12),
        (DT_VERDEF, built.verdef + 12),
        (DT_VERDEF, built.verdef + 16),
    ] {
        let table = if tag == DT_VERNEED { built.verneed } else { built.verdef };
        let (built, _) = mapped_at_the_end(moved(tag, table));
        check_error(built.put_u32(at, u32::MAX).bytes, "lies outside the file");
    }
}

/// The file mapped by two PT_LOADs, the second from `split` on: in memory `gap` bytes behind the first, in the file
/// `back` bytes before its end.
fn in_two_parts(object: &Object, split: usize, gap: u64, back: u64) -> Built {
    let built = object.build();
    let (first, second) = (built.header(PT_LOAD), built.header(PT_GNU_STACK));
    let (offset, address) = (split as u64 - back, Built::address(split) + gap);
    let rest = built.bytes.len() as u64 - offset;
    let dynamic = match built.dynamic >= split {
        true => Built::address(built.dynamic) + gap + back,
        false => Built::address(built.dynamic),
    };
    let header = built.header(PT_DYNAMIC);
    let mut built = built.put_u32(second, PT_LOAD).put_u64(header + 16, dynamic);
    for (field, value) in [(8, offset), (16, address), (32, rest), (40, rest), (48, 0x1000)] {
        built = built.put_u64(second + field, value);
    }
    built.put_u64(first + 32, split as u64).put_u64(first + 40, split as u64)
}

#[test]
fn a_table_may_lie_in_two_segments_that_follow_each_other() {
    let object = full_library();
    let mut whole = (*object.facts()).clone();
    let start = object.build().dynamic;
    for split in start.min(0x200)..object.bytes().len() {
        let mut facts = elf::parse(&in_two_parts(&object, split, 0, 0).bytes).unwrap_or_else(|error| {
            panic!("{split:#x}: {error}");
        });
        (facts.alignment, whole.alignment) = Default::default();
        assert_eq!(facts, whole, "{split:#x}");
    }
    let strings = object.build().strings;
    let outside = "the dynamic string table lies outside the file";
    check_error(in_two_parts(&object, strings + 8, 8, 0).bytes, outside);
    check_error(in_two_parts(&object, strings + 8, 0, 8).bytes, outside);
}

#[test]
fn programs_that_patchelf_edited_are_read() {
    let test = "programs_that_patchelf_edited_are_read";
    if !tools::require(test, "patchelf", "patchelf") || !tools::require(test, "cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut source = String::new();
    for index in 0..120 {
        source += &format!("int a_function_with_a_long_name_{index:05}(void) {{ return {index}; }}\n");
    }
    CC.compile(dir.path(), &(source + "int main(void) { return 0; }"), "program", "-no-pie -rdynamic");
    let program = dir.path().join("program");
    let before = elf::parse(&std::fs::read(&program).unwrap()).unwrap();
    let path = "$ORIGIN/".to_owned() + &"long".repeat(16);
    let edit = Command::new("patchelf").args(["--set-rpath", &path]).arg(&program).status().unwrap();
    assert!(edit.success());
    let bytes = std::fs::read(&program).unwrap();
    let facts = elf::parse(&bytes).unwrap();
    assert_eq!(facts.runpath.as_deref(), Some(&*path));
    assert_eq!(facts.symbols.iter().count(), before.symbols.iter().count());
    let read =
        |range: std::ops::Range<u64>| Ok::<_, ()>(bytes[range.start as usize..range.end as usize].to_vec());
    assert_eq!(elf::parse_ranges(bytes.len() as u64, read).unwrap().unwrap(), facts);
    assert!(Command::new(&program).status().unwrap().success());
}

/// The fault of a file as a program and as a library.
#[track_caller]
fn check_faults(bytes: impl AsRef<[u8]>, as_program: Option<&str>, as_library: Option<&str>) {
    let facts = elf::parse(bytes.as_ref()).unwrap();
    assert_eq!(
        (facts.program_fault(), facts.library_fault()),
        (as_program, as_library),
        "{:?}",
        facts.faults
    );
}

#[test]
fn what_the_kernel_refuses_in_a_program_is_its_fault() {
    let program = Object::program().needs("libc.so.6");
    check_faults(program.bytes(), None, None);
    check_faults(Object::static_program().bytes(), None, None);
    let built = program.build();
    let load = built.header(PT_LOAD);
    let entry = "its entry point is not in executable code";
    check_faults(built.clone().put_u64(24, 0).bytes, Some(entry), None);
    check_faults(built.clone().put_u32(load + 4, 6).bytes, Some(entry), None);
    let smaller = "a segment has more bytes in the file than in memory";
    check_faults(built.clone().put_u64(load + 40, 1).bytes, Some(smaller), Some(smaller));
    let table = "its program headers are not where PT_PHDR says";
    check_faults(built.clone().put_u64(built.header(PT_PHDR) + 16, 8).bytes, Some(table), None);
    let none = "it has no PT_PHDR, without which the loader takes it to be elsewhere";
    check_faults(built.clone().put_u32(built.header(PT_PHDR), 0x6fff_0000).bytes, Some(none), None);
    let none = "it names an interpreter and has no dynamic segment";
    check_faults(program.clone().without_dynamic().bytes(), Some(none), None);
    check_faults(Object::static_program().without_load().bytes(), Some("it has no loadable segment"), None);
}

#[test]
fn what_the_loader_dies_of_in_a_dynamic_segment_is_a_fault() {
    let object = Object::program().needs("libc.so.6").imports("f", None);
    let check = |object: Object, fault: &str| check_faults(object.bytes(), Some(fault), Some(fault));
    check_faults(object.bytes(), None, None);
    check(object.clone().dynamic(DT_PLTREL, 17), "its DT_PLTREL is 17, not 7 (DT_RELA)");
    check(object.clone().dynamic(DT_PLTREL, 7), "it has DT_PLTREL and no DT_JMPREL");
    check(object.clone().dynamic(DT_RELAENT, 16), "its DT_RELAENT is 16, not 24");
    check(object.clone().without(DT_RELAENT), "it has DT_RELA and no DT_RELAENT");
    check(object.clone().without(DT_RELASZ), "it has DT_RELA and no DT_RELASZ");
    check(object.clone().without(DT_RELA), "it has DT_RELASZ and no DT_RELA");
    check(object.clone().without(DT_SYMTAB), "its dynamic segment has no DT_SYMTAB");
    check(object.clone().dynamic(DT_INIT, 8), "its DT_INIT is not in executable code");
    check(
        object.clone().dynamic(DT_INIT_ARRAY, Built::address(64)),
        "it has DT_INIT_ARRAY and no DT_INIT_ARRAYSZ",
    );
    // A program without an interpreter is not linked at its start.
    let alone = Object::static_pie().dynamic(DT_PLTREL, 17);
    check_faults(alone.bytes(), None, Some("its DT_PLTREL is 17, not 7 (DT_RELA)"));
    let built = object.build();
    let put = |built: Built, fault: &str| check_faults(built.bytes, Some(fault), Some(fault));
    let unknown = "it has a relocation of a type that the loader does not know";
    put(built.clone().put_u32(built.relocations + 8, 3), unknown);
    let elsewhere = "a relocation would change what is not writable";
    put(built.clone().put_u64(built.relocations, 1 << 40), elsewhere);
    put(built.clone().put_u32(built.header(PT_LOAD) + 4, 5), elsewhere);
    check_faults(
        object.clone().dynamic(DT_TEXTREL, 0).build().put_u32(built.header(PT_LOAD) + 4, 5).bytes,
        None,
        None,
    );
    let counted = "its DT_RELACOUNT counts a relocation of another type";
    check(object.clone().dynamic(DT_RELACOUNT, 1), counted);
    let both = object.hash(Hash::Both).build();
    put(both.clone().put_u32(both.gnu_hash + 8, 3), "the Bloom filter of its GNU hash table has 3 words");
    let versioned = Object::library("l").imports("f", Some(("libc.so.6", "V")));
    let (built, index) = (versioned.build(), versioned.build().versym + 2);
    let beyond = "`f` is of a version that it has no entry for";
    assert_eq!(elf::parse(&built.put_u16(index, 9).bytes).unwrap().library_fault(), Some(beyond));
    let none = "it has version nodes and no DT_VERSYM";
    assert_eq!(versioned.without(DT_VERSYM).facts().library_fault(), Some(none));
}

#[test]
fn relocation_tables_that_lie_end_in_an_error_or_a_fault() {
    let object = Object::library("l").imports("a", None).imports("b", None);
    let built = object.build();
    let table = Built::address(built.relocations);
    let outside = "a relocation table lies outside the file";
    for size in [1 << 40, u64::MAX, u64::MAX - 23, built.bytes.len() as u64] {
        check_error(object.clone().dynamic(DT_RELASZ, size).bytes(), outside);
        let slots = object.clone().dynamic(DT_JMPREL, table).dynamic(DT_PLTRELSZ, size);
        check_error(slots.dynamic(DT_PLTREL, 7).bytes(), outside);
    }
    for address in [1, u64::MAX, u64::MAX - 47, Built::address(built.bytes.len() - 8)] {
        check_error(object.clone().dynamic(DT_RELA, address).bytes(), outside);
    }
    for symbol in [u32::MAX, 1 << 30, 24] {
        let bytes = built.clone().put_u32(built.relocations + 12, symbol).bytes;
        check_error(
            bytes,
            if symbol == 100 { "the dynamic symbol table lies" } else { "names a symbol outside" },
        );
    }
    // More relative ones than there are relocations, the slots among the others, a table that ends in one of them.
    let count = "its DT_RELACOUNT is higher than its relocations are many";
    for relative in [3, 1 << 40, u64::MAX] {
        let bytes = object.clone().dynamic(DT_RELACOUNT, relative).bytes();
        match elf::parse(&bytes) {
            Ok(facts) => assert!(facts.faults.iter().any(|fault| fault.what == count), "{:?}", facts.faults),
            Err(error) => assert!(error.to_string().contains(outside), "{error}"),
        }
    }
    let among = object.clone().dynamic(DT_JMPREL, table + 24).dynamic(DT_PLTRELSZ, 24).dynamic(DT_PLTREL, 7);
    assert_eq!(among.facts().symbols.iter().count(), 2);
    let partly = object.dynamic(DT_RELASZ, 25);
    assert_eq!(partly.facts().symbols.iter().filter(|symbol| symbol.is_looked_up()).count(), 2);
}

#[test]
fn the_header_of_a_library_is_checked_as_the_loader_does() {
    let built = Object::library("l").build();
    let check = |built: Built, fault| check_faults(built.bytes, None, Some(fault));
    check(built.clone().put(6, [2]), "ELF file version ident does not match current one");
    check(built.clone().put(9, [1]), "nonzero padding in e_ident");
    check(built.clone().put_u32(20, 0), "ELF file version does not match current one");
    check(built.clone().put_u64(built.header(PT_DYNAMIC) + 32, 0), "object file has no dynamic section");
}

#[test]
fn a_program_is_told_by_what_linkers_give_to_programs_alone() {
    // As made by linkers that know no DF_1_PIE.
    check(Object::static_pie().without(DT_FLAGS_1).dynamic(DT_DEBUG, 0), Linkage::StaticPie, Libc::Unknown);
    let program = Object::program().without(DT_FLAGS_1).soname("p").needs("libc.so.6");
    check(program.clone(), Linkage::SharedLibrary, Libc::Glibc);
    check(program.dynamic(DT_DEBUG, 0), Linkage::Dynamic, Libc::Glibc);
}

#[test]
fn hash_tables_are_checked() {
    let object = Object::plugin().defines("a", None).imports("b", None);
    let gnu = object.build();
    let at = gnu.gnu_hash;
    let outside = "the GNU hash table lies outside";
    check_error(gnu.clone().put_u32(at, u32::MAX).bytes, outside);
    check_error(gnu.clone().put_u32(at + 8, u32::MAX).bytes, outside);
    check_error(gnu.clone().put_u32(at, u32::MAX).put_u32(at + 8, u32::MAX).bytes, outside);
    check_error(gnu.clone().put_u32(at + 24, u32::MAX).bytes, outside);
    check_error(gnu.clone().put_u32(at + 4, u32::MAX).bytes, "the dynamic symbol table lies outside");
    check_error(object.clone().dynamic(DT_GNU_HASH, u64::MAX).bytes(), outside);
    let sysv = object.clone().hash(Hash::SysV).build();
    check_error(sysv.clone().put_u32(sysv.sysv_hash + 4, u32::MAX).bytes, "the dynamic symbol table lies");
    check_error(sysv.clone().put_u32(sysv.sysv_hash + 4, 40).bytes, "the dynamic symbol table lies");
    // The relocation of `b` names the symbol all the same.
    assert_eq!(
        elf::parse(&sysv.clone().put_u32(sysv.sysv_hash + 4, 0).bytes).unwrap().symbols.iter().count(),
        1
    );
    check_error(object.clone().dynamic(DT_SYMTAB, 8).bytes(), "the dynamic symbol table lies outside");
    check_error(object.clone().dynamic(DT_VERSYM, 8).bytes(), "the symbol version table lies outside");
    let imports = Object::plugin().imports("a", None);
    check_error(imports.clone().dynamic(DT_RELASZ, 1 << 40).bytes(), "a relocation table lies outside");
    let built = imports.build();
    check_error(
        built.clone().put_u32(built.relocations + 12, u32::MAX).bytes,
        "a relocation names a symbol outside the file",
    );
    // No symbol table, no symbols.
    assert_eq!(object.without(DT_SYMTAB).facts().symbols.iter().count(), 0);
    let name = gnu.symbols + 24;
    check_error(gnu.clone().put_u32(name, u32::MAX).bytes, "a symbol's name lies outside");
}

#[test]
fn broken_notes_are_passed_over() {
    let object = Object::plugin().needs("a").build_id(&[1]).isa_needed(1);
    let built = object.build();
    let of = |built: Built| {
        let facts = elf::parse(&built.bytes).unwrap();
        (facts.needed.len(), facts.build_id, facts.isa_needed)
    };
    assert_eq!(of(built.clone()), (1, Some(vec![1]), 1));
    assert_eq!(of(built.clone().put_u32(built.notes, u32::MAX)), (1, None, 1));
    assert_eq!(of(built.clone().put_u32(built.notes + 4, u32::MAX)), (1, None, 1));
    assert_eq!(of(built.clone().put_u64(built.header(PT_NOTE) + 32, u64::MAX)), (1, None, 1));
    assert_eq!(of(built.clone().put_u32(built.properties + 16 + 4, u32::MAX)), (1, Some(vec![1]), 0));
}

// What is hostile: a small file that asks for much.

/// The object with these bytes at its end, and their address. What changes the size comes before.
fn with_end(object: Object, bytes: &[u8]) -> (Object, u64) {
    let object = object.text(bytes);
    let at = Built::address(object.bytes().len() - bytes.len());
    (object, at)
}

#[test]
fn names_that_share_their_text_do_not_add_up() {
    let many = |count: usize| {
        let object = (0..count).fold(Object::plugin(), |object, _| object.needs("n"));
        let (object, at) = with_end(object, &[&[b'x'; 65_535][..], &[0]].concat());
        // All needs are the one long text.
        object.dynamic(DT_NEEDED, 0).dynamic(DT_STRTAB, at).dynamic(DT_STRSZ, 65_536)
    };
    assert_eq!(many(16).facts().needed.len(), 16);
    check_error(many(17).bytes(), "its names and paths have more than 1048576 bytes");
}

#[test]
fn lists_have_a_limit() {
    let many = |count: usize| (0..count).fold(Object::plugin(), |object, _| object.needs("n"));
    assert_eq!(many(4096).facts().needed.len(), 4096);
    check_error(many(4097).bytes(), "needs more than 4096 libraries");
    let nodes: Vec<String> = (0..5000).map(|n| format!("V{n:04}")).collect();
    check_error(Object::plugin().verneed("f", &nodes).bytes(), "it has more than 4096 version needs");
    check_error(Object::plugin().verdef(&nodes).bytes(), "it has more than 4096 version definitions");
}

#[test]
fn symbols_that_share_their_name_do_not_add_up() {
    // 8,000 symbols, each named by another tail of one long text.
    let symbol = |n: u32| [&n.to_le_bytes()[..], &[0x10, 0, 1, 0], &[0; 16]].concat();
    let symbols: Vec<u8> = (0..8000).flat_map(symbol).collect();
    let hash = [1_u32, 8000].map(u32::to_le_bytes).concat();
    let (object, names) = with_end(Object::plugin().hash(Hash::SysV), &[&[b'x'; 1 << 20][..], &[0]].concat());
    let (object, tables) = with_end(object, &[hash, symbols].concat());
    let object = object.dynamic(DT_HASH, tables).dynamic(DT_SYMTAB, tables + 8);
    let object = object.dynamic(DT_STRTAB, names).dynamic(DT_STRSZ, (1 << 20) + 1);
    check_error(object.bytes(), "the names of its symbols are longer than");
}

#[test]
fn notes_that_overlap_do_not_add_up() {
    // 1,170 segments, each with all the notes of the file.
    let object = Object::plugin()
        .text([[4_u8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0].as_slice(), b"GNU\0"].concat().repeat(60_000));
    let built = object.build();
    let size = built.bytes.len() as u64;
    let load = built.bytes[built.header(PT_LOAD)..][..56].to_vec();
    let dynamic = built.bytes[built.header(PT_DYNAMIC)..][..56].to_vec();
    let mut note = load.clone();
    note[..4].copy_from_slice(&PT_NOTE.to_le_bytes());
    let table = [load, dynamic, note.repeat(1168)].concat();
    let mut built = built.put_u64(32, size).put_u16(56, 1170);
    built.bytes.extend(table);
    assert!(elf::parse(&built.bytes).unwrap().has_dynamic);
}

// Properties.

fn fixtures() -> Vec<Vec<u8>> {
    vec![
        full_library().bytes(),
        full_library().hash(Hash::SysV).bytes(),
        Object::program().needs("libc.so.6").imports("a", Some(("libc.so.6", "G"))).bytes(),
        Object::static_program().musl_text().abi_tag([3, 2, 0]).bytes(),
        mapped_at_the_end(full_library()).0.bytes,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _ = elf::parse(&bytes);
        let _ = elf::parse(&[b"\x7fELF\x02\x01\x01", &bytes[..]].concat());
    }

    #[test]
    fn any_change_of_a_file_is_answered(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), interesting()), 1..12),
    ) {
        let mut bytes = fixtures().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + value.len());
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        if let Ok(facts) = elf::parse(&bytes) {
            ask_everything(&facts);
        }
    }
}

/// Bytes to write over others: one, or a number at an edge.
fn interesting() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        (0..512_u16).prop_map(|half| half.to_le_bytes().to_vec()),
        prop_oneof![Just(u32::MAX), Just(0), Just(1 << 31), any::<u32>()]
            .prop_map(|n| n.to_le_bytes().to_vec()),
        prop_oneof![Just(u64::MAX), Just(u64::MAX - 64), 0x10000..0x10800_u64]
            .prop_map(|n| n.to_le_bytes().to_vec()),
    ]
}

// Next to readelf and ld.so.

/// One line for each fact that readelf tells too, in its order.
fn rows(facts: &ElfFacts) -> Vec<String> {
    let mut rows: Vec<String> = facts.needed.iter().map(|name| format!("needed {name}")).collect();
    rows.extend(facts.soname.iter().map(|name| format!("soname {name}")));
    rows.extend(facts.rpath.iter().map(|path| format!("rpath {path}")));
    rows.extend(facts.runpath.iter().map(|path| format!("runpath {path}")));
    rows.extend(facts.auxiliary.iter().map(|name| format!("auxiliary {name}")));
    rows.extend(facts.filter.iter().map(|name| format!("filter {name}")));
    rows.extend(facts.interpreter.iter().map(|path| format!("interpreter {path}")));
    if facts.has_relr {
        rows.push("relr".into());
    }
    let hex = |id: &Vec<u8>| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    rows.extend(facts.build_id.iter().map(|id| format!("build-id {}", hex(id))));
    rows.extend(facts.least_kernel.iter().map(|(a, b, c)| format!("kernel {a}.{b}.{c}")));
    let mut versions = BTreeMap::new();
    for def in &facts.verdef {
        rows.push(format!("verdef {} {} {}", def.node, def.base, def.index));
        versions.insert(def.index, (def.node.as_str(), "@@"));
    }
    for need in &facts.verneed {
        rows.push(format!("verneed {} {} {} {}", need.file, need.node, need.weak, need.index));
        versions.insert(need.index, (need.node.as_str(), "@"));
    }
    for symbol in facts.symbols.iter() {
        let name = facts.symbols.name(symbol);
        let weak = if symbol.weak { "?" } else { "" };
        let defined = if symbol.defined { "=" } else { "" };
        let version = match versions.get(&(symbol.version & 0x7fff)) {
            Some((version, sign)) if symbol.version & 0x7fff > 1 && *version != name => {
                let sign = if symbol.version >> 15 == 1 { "@" } else { sign };
                format!("{sign}{version}")
            }
            // The symbol of a version itself is printed without it.
            _ => String::new(),
        };
        rows.push(format!("symbol {defined}{weak}{name}{version}"));
    }
    rows.sort();
    rows
}

/// The same rows from readelf's output, by file.
fn readelf(files: &[PathBuf]) -> BTreeMap<PathBuf, Vec<String>> {
    // A second file makes readelf name each.
    let output = Command::new("readelf")
        .args(["-dVnlsW", "--dyn-syms"])
        .args(files)
        .arg("/dev/null")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let (mut current, mut section, mut need) = (PathBuf::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("File: ") {
            current = file.into();
            continue;
        }
        // From the 100,000th symbol on their numbers take the blanks' place.
        if !line.starts_with(|char: char| char == ' ' || char.is_ascii_digit()) {
            section = line.to_owned();
            continue;
        }
        // STB_GNU_UNIQUE in a file whose EI_OSABI is not GNU's.
        let line = &line.replace("<OS specific>: 10", "UNIQUE");
        let words: Vec<&str> = line.split_whitespace().collect();
        let behind = |label: &str| words.iter().position(|word| *word == label).map(|at| words[at + 1]);
        let bracket = || line.split_once('[').map(|(_, rest)| &rest[..rest.rfind(']').unwrap()]);
        let rows = all.entry(current.clone()).or_default();
        if let Some(label) = words.get(1).and_then(|word| word.strip_prefix('(')?.strip_suffix(')'))
            && section.starts_with("Dynamic section")
        {
            match (label, bracket()) {
                ("NEEDED" | "SONAME" | "RPATH" | "RUNPATH" | "AUXILIARY" | "FILTER", Some(name)) => {
                    rows.push(format!("{} {name}", label.to_lowercase()));
                }
                ("RELR", _) => rows.push("relr".into()),
                _ => {}
            }
        } else if let Some(rest) = line.split_once("Requesting program interpreter: ") {
            rows.push(format!("interpreter {}", rest.1.trim_end_matches(']')));
        } else if let Some((_, id)) = line.split_once("Build ID: ") {
            rows.push(format!("build-id {id}"));
        } else if let Some((_, kernel)) = line.split_once("OS: Linux, ABI: ") {
            rows.push(format!("kernel {kernel}"));
        } else if section.starts_with("Version definition") && line.contains(" Rev: ") {
            let base = line.contains("Flags: BASE");
            rows.push(format!("verdef {} {base} {}", behind("Name:").unwrap(), behind("Index:").unwrap()));
        } else if section.starts_with("Version needs") {
            if let Some(file) = behind("File:") {
                need = file.to_owned();
            } else if let Some(node) = behind("Name:") {
                let weak = line.contains("Flags: WEAK");
                let index = words.last().unwrap();
                rows.push(format!("verneed {need} {node} {weak} {index}"));
            }
        } else if section.starts_with("Symbol table '.dynsym'") && words.len() > 6 && words[0] != "Num:" {
            // Behind the visibility may be more of `st_other`, in brackets.
            let others = words.iter().position(|word| word.ends_with(']')).map_or(0, |at| at - 5);
            let defined = if words[6 + others] == "UND" { "" } else { "=" };
            let weak = if words[4] == "WEAK" { "?" } else { "" };
            // For the symbol of a section readelf takes the section's name.
            let name = words.get(7 + others).filter(|_| words[3] != "SECTION").unwrap_or(&"");
            // The first symbol is none.
            if words[0] != "0:" {
                rows.push(format!("symbol {defined}{weak}{name}"));
            }
        }
    }
    for rows in all.values_mut() {
        rows.sort();
    }
    all
}

/// Compares the facts of files with readelf's and returns how many rows there were.
#[track_caller]
fn check_with_readelf(files: &[PathBuf]) -> usize {
    let told = readelf(files);
    let mut differences = Vec::new();
    let mut count = 0;
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let ours = match elf::parse(&bytes) {
            Ok(facts) => rows(&facts),
            Err(error) => vec![error.to_string()],
        };
        let theirs = told.get(file).cloned().unwrap_or_default();
        count += ours.len();
        if ours != theirs {
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|row| !b.contains(row)).take(5).cloned().collect()
            };
            differences.push(format!(
                "{}: {} and {} rows; only ours: {:?}; only readelf's: {:?}",
                file.display(),
                ours.len(),
                theirs.len(),
                only(&ours, &theirs),
                only(&theirs, &ours)
            ));
        }
    }
    assert!(differences.is_empty(), "{} files differ:\n{}", differences.len(), differences.join("\n"));
    count
}

#[test]
fn readelf_sees_in_built_files_what_was_put_in() {
    if !tools::require("readelf_sees_in_built_files_what_was_put_in", "readelf", "binutils") {
        return;
    }
    let objects = [
        full_library(),
        full_library().hash(Hash::SysV).relr(8),
        full_library().hash(Hash::Both).arm64(),
        Object::program().needs("libc.so.6").imports("a", Some(("libc.so.6", "G"))).runpath("/x"),
        Object::static_program().build_id(&[7]),
        Object::library(b"\xc3\xa4.so").defines("only", None),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        let file = dir.path().join(format!("{index}"));
        let object = object.with_sections();
        std::fs::write(&file, object.bytes()).unwrap();
        files.push(file);
    }
    assert!(check_with_readelf(&files) > 60);
}

#[test]
fn facts_of_this_machines_files_are_those_of_readelf() {
    if !tools::require("facts_of_this_machines_files_are_those_of_readelf", "readelf", "binutils") {
        return;
    }
    let dirs = [
        "/usr/bin".to_owned(),
        format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH),
        "/usr/aarch64-linux-gnu/lib".to_owned(),
    ];
    let mut files = Vec::new();
    for dir in dirs.iter().filter(|dir| Path::new(dir).is_dir()) {
        let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_elf(path))
            .collect();
        found.sort();
        let step = found.len().div_ceil(100).max(1);
        files.extend(found.into_iter().step_by(step));
    }
    let count = check_with_readelf(&files);
    println!("{} files, {count} facts", files.len());
    assert!(files.len() > 50, "{} files", files.len());
}

/// A regular file, no link, that begins as ELF does and is no part of a static library.
fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 18];
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head.starts_with(b"\x7fELF\x02\x01")
        && matches!(head[16], 2 | 3)
}

#[test]
fn the_loader_takes_built_files() {
    let test = "the_loader_takes_built_files";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) || !Path::new(GLIBC_INTERPRETER).exists() {
        tools::skip(test, "an x86_64 machine with glibc");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let trace = |library: Object| {
        let program = Object::program()
            .needs("libfoo.so.1")
            .needs("libc.so.6")
            .runpath("$ORIGIN")
            // The loader compares the hash of the name with that in libc's own table.
            .verneed("libc.so.6", &["GLIBC_2.2.5"])
            .imports("foo", Some(("libfoo.so.1", "V1")))
            .imports("bar", Some(("libfoo.so.1", "V1")));
        std::fs::write(path("libfoo.so.1"), library.bytes()).unwrap();
        std::fs::write(path("program"), program.bytes()).unwrap();
        let mut ld_so = Command::new(GLIBC_INTERPRETER);
        let output = ld_so
            .arg(path("program"))
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .env("LD_WARN", "1")
            .env("LD_BIND_NOW", "1")
            .output()
            .unwrap();
        let lines = [output.stdout, output.stderr].concat();
        let lines = String::from_utf8(lines).unwrap();
        // The vDSO is there on some machines only; addresses change.
        let lines = lines.replace(dir.path().to_str().unwrap(), "DIR");
        let lines: Vec<String> = lines
            .lines()
            .filter(|line| !["linux-vdso", "ld-linux", "libc.so.6 =>"].iter().any(|own| line.contains(own)))
            .map(|line| line.split(" (0x").next().unwrap().trim().to_owned())
            .collect();
        lines.join("\n")
    };
    let library = Object::library("libfoo.so.1").verdef(&["V1"]);
    let whole = library.clone().defines("foo", Some("V1")).defines("bar", Some("V1"));
    let found = "libfoo.so.1 => DIR/libfoo.so.1";
    for hash in [Hash::Gnu, Hash::SysV] {
        assert_eq!(trace(whole.clone().hash(hash)), found, "{hash:?}");
    }
    let missing = trace(library.defines("foo", Some("V1")));
    assert!(missing.contains("undefined symbol: bar, version V1"), "{missing}");
    let other =
        trace(Object::library("libfoo.so.1").verdef(&["V2"]).defines("foo", None).defines("bar", None));
    assert!(other.contains("version `V1' not found"), "{other}");
}

// Real compilers.

/// Compiles a C program with these words and returns what `elf` says of it; `None` if it was skipped.
fn compiled(test: &str, tool: &str, package: &str, words: &[&str]) -> Option<ElfFacts> {
    if !tools::require(test, tool, package) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("main.c");
    let text = "#include <stdio.h>\n#include <string.h>\nint main(int n, char **a) { puts(strerror(n)); return 0; }\n";
    std::fs::write(&source, text).unwrap();
    let program = dir.path().join("program");
    let output = Command::new(tool).args(words).arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(elf::parse(&std::fs::read(&program).unwrap()).unwrap())
}

#[track_caller]
fn check_compiled(test: &str, tool: &str, package: &str, words: &[&str], expected: (Linkage, Libc, Arch)) {
    if let Some(facts) = compiled(test, tool, package, words) {
        assert_eq!((facts.linkage(), facts.libc(), facts.arch()), (expected.0, expected.1, Some(expected.2)));
    }
}

#[test]
fn c_programs_of_gcc_are_told_apart() {
    let test = "c_programs_of_gcc_are_told_apart";
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let check =
        |tool, package, words: &[&str], expected| check_compiled(test, tool, package, words, expected);
    check("gcc", "gcc", &[], (Linkage::Dynamic, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-no-pie"], (Linkage::Dynamic, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static"], (Linkage::Static, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static-pie"], (Linkage::StaticPie, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-shared", "-fPIC"], (Linkage::SharedLibrary, Libc::Glibc, Arch::X86_64));
    check("gcc", "gcc", &["-static", "-s"], (Linkage::Static, Libc::Glibc, Arch::X86_64));
    check("musl-gcc", "musl-tools", &[], (Linkage::Dynamic, Libc::Musl, Arch::X86_64));
    check("musl-gcc", "musl-tools", &["-static"], (Linkage::Static, Libc::Musl, Arch::X86_64));
    let cross = ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
    check(cross.0, cross.1, &[], (Linkage::Dynamic, Libc::Glibc, Arch::Arm64));
    check(cross.0, cross.1, &["-static"], (Linkage::Static, Libc::Glibc, Arch::Arm64));
}

#[test]
fn imports_of_gnu_lds_programs_are_known() {
    let words = ["-Wl,--hash-style=gnu", "-Wl,-z,now"];
    if let Some(facts) = compiled("imports_of_gnu_lds_programs_are_known", "gcc", "gcc", &words) {
        let names: Vec<_> = facts.symbols.iter().map(|symbol| facts.symbols.name(symbol)).collect();
        assert!(names.contains(&"puts".into()), "{names:?}");
    }
}

#[test]
fn a_program_of_zig_is_static_musl() {
    let test = "a_program_of_zig_is_static_musl";
    let there = Command::new("python3").args(["-m", "ziglang", "version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        tools::skip(test, "zig (pip: ziglang)");
        return;
    }
    // One target only: zig builds the C library on first use.
    let words = ["-m", "ziglang", "cc", "-target", "x86_64-linux-musl"];
    check_compiled(test, "python3", "python3", &words, (Linkage::Static, Libc::Musl, Arch::X86_64));
}

#[test]
fn programs_of_rustc_are_told_apart() {
    let test = "programs_of_rustc_are_told_apart";
    for (target, linker, package, linkage, libc, arch) in [
        ("x86_64-unknown-linux-gnu", "gcc", "gcc", Linkage::Dynamic, Libc::Glibc, Arch::X86_64),
        ("x86_64-unknown-linux-musl", "gcc", "gcc", Linkage::StaticPie, Libc::Musl, Arch::X86_64),
        (
            "aarch64-unknown-linux-gnu",
            "aarch64-linux-gnu-gcc",
            "gcc-aarch64-linux-gnu",
            Linkage::Dynamic,
            Libc::Glibc,
            Arch::Arm64,
        ),
    ] {
        if !tools::require_target(test, target) || !tools::require(test, linker, package) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("main.rs");
        std::fs::write(&source, "fn main() { println!(\"{:?}\", std::fs::read(\"x\")) }").unwrap();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let linker = format!("-Clinker={linker}");
        let output = Command::new(rustc)
            .args(["--target", target, &linker, "-Cstrip=symbols", "-o", "program", "main.rs"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let facts = elf::parse(&std::fs::read(dir.path().join("program")).unwrap()).unwrap();
        assert_eq!((facts.linkage(), facts.libc(), facts.arch()), (linkage, libc, Some(arch)), "{target}");
        if linkage == Linkage::Dynamic {
            let node = if arch == Arch::Arm64 { "GLIBC_2.17" } else { "GLIBC_2.2.5" };
            assert!(!facts.symbols_needing("libc.so.6", &[node]).is_empty(), "{target}");
        }
    }
}

#[test]
fn a_part_that_was_not_read_is_a_question_not_an_answer() {
    let bytes = Object::library("libx.so.1").needs("liby.so.1").bytes();
    for end in [64, bytes.len() - 1] {
        let part = Part { start: 0, bytes: &bytes[..end] };
        let read = elf::parse_parts(bytes.len() as u64, &[part]);
        assert!(matches!(read, Err(ElfError::NotRead(_))), "{end}: {read:?}");
    }
}

#[test]
fn the_ranges_of_a_file_that_are_asked_for_say_what_the_whole_file_says() {
    let Ok(entries) = std::fs::read_dir("/usr/lib/x86_64-linux-gnu") else {
        tools::skip("the_ranges_of_a_file", "a directory of libraries (Debian, x86_64)");
        return;
    };
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let (mut n_read, mut n_bytes) = (0, 0);
    for path in paths.iter().step_by(7) {
        let bytes = std::fs::read(path).unwrap();
        let whole = elf::parse(&bytes);
        let read = |range: std::ops::Range<u64>| -> Result<Vec<u8>, ()> {
            n_read += range.end - range.start;
            Ok(bytes[range.start as usize..range.end as usize].to_vec())
        };
        let ranges = elf::parse_ranges(bytes.len() as u64, read).unwrap();
        n_bytes += bytes.len() as u64;
        match (ranges, whole) {
            (Ok(ranges), Ok(whole)) => {
                assert_eq!(facts_text(&ranges), facts_text(&whole), "{}", path.display());
            }
            (ranges, whole) => assert_eq!(ranges.err(), whole.err(), "{}", path.display()),
        }
    }
    assert!(4 * n_read < n_bytes, "{n_read} of {n_bytes} bytes were read");
}

#[test]
fn a_file_that_must_be_searched_is_read_once_more_at_most() {
    let mut bytes = Object::static_program().bytes();
    bytes.resize(1 << 20, 0);
    let mut n_read = 0;
    let read = |range: std::ops::Range<u64>| -> Result<Vec<u8>, ()> {
        n_read += range.end - range.start;
        Ok(bytes[range.start as usize..range.end as usize].to_vec())
    };
    let facts = elf::parse_ranges(bytes.len() as u64, read).unwrap().unwrap();
    assert_eq!(facts.libc(), Libc::Unknown);
    assert!((bytes.len() as u64..2 * bytes.len() as u64).contains(&n_read), "{n_read}");
}
