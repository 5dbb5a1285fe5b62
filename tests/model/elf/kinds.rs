//! Architecture, linkage and C library; formats that are not ELF.

use crate::support::elf::*;
use cargo_lambda_bundle::elf::{self, Arch, ElfError, Libc, Linkage, OtherFormat};

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

#[test]
fn a_program_is_told_by_what_linkers_give_to_programs_alone() {
    // As made by linkers that know no DF_1_PIE.
    check(Object::static_pie().without(DT_FLAGS_1).dynamic(DT_DEBUG, 0), Linkage::StaticPie, Libc::Unknown);
    let program = Object::program().without(DT_FLAGS_1).soname("p").needs("libc.so.6");
    check(program.clone(), Linkage::SharedLibrary, Libc::Glibc);
    check(program.dynamic(DT_DEBUG, 0), Linkage::Dynamic, Libc::Glibc);
}
