//! Files that cannot be read: each error says which part.

use std::process::Command;

use crate::support::compile::CC;
use crate::support::elf::*;
use crate::support::tools;
use cargo_lambda_bundle::elf::{self, Alignment, Arch};

use super::{check_error, facts_text, in_two_parts, mapped_at_the_end, with_end};

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
fn strings_lie_in_memory_whatever_dt_strsz_says() {
    let outside = "does not lie in its memory";
    check_error(full_library().dynamic(DT_STRTAB, 1).bytes(), outside);
    check_error(full_library().dynamic(DT_STRTAB, u64::MAX).bytes(), outside);
    let whole = full_library().facts();
    let counted: Vec<String> =
        whole.symbols.iter().map(|symbol| whole.symbols.name(symbol).into_owned()).collect();
    for size in [Some(0), Some(1), Some(30), Some(2 << 30), Some(u64::MAX), None] {
        let facts = match size {
            Some(size) => full_library().dynamic(DT_STRSZ, size),
            None => full_library().without(DT_STRSZ),
        };
        let facts = facts.facts();
        assert!(facts.has_longer_strings);
        assert_eq!(
            (&facts.needed, &facts.soname, &facts.verneed),
            (&whole.needed, &whole.soname, &whole.verneed)
        );
        let names = facts.symbols.iter().map(|symbol| facts.symbols.name(symbol).into_owned());
        assert_eq!(names.collect::<Vec<_>>(), counted);
    }
    assert!(!whole.has_longer_strings);
    for tag in [DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_AUXILIARY, DT_FILTER] {
        check_error(full_library().dynamic(tag, 1 << 20).bytes(), outside);
        check_error(full_library().dynamic(tag, u64::MAX / 2).bytes(), outside);
    }
    check_error(full_library().without(DT_STRTAB).bytes(), outside);
}

#[test]
fn the_kernel_starts_a_program_of_any_class_and_byte_order() {
    for (at, byte) in [(4, 0), (4, 1), (4, 3), (5, 0), (5, 2), (5, 9)] {
        let built = Object::program().needs("libc.so.6").build().put(at, [byte]);
        let facts = elf::parse(&built.bytes).unwrap();
        assert_eq!((facts.arch(), facts.program_fault()), (Some(Arch::X86_64), None));
        assert_eq!(facts.needed, ["libc.so.6"]);
    }
    // These are not laid out like a program of the machine.
    let other = Object::program().build().put_u16(54, 32);
    check_error(other.clone().put(4, [3]).bytes, "ELF class is 3");
    check_error(other.put(5, [0]).bytes, "byte order is 0");
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
    check_error(
        built.clone().put_u32(at + 4, 1 << 20).bytes,
        "the file name of a version need does not lie in",
    );
    check_error(built.clone().put_u32(at + 16 + 8, 1 << 20).bytes, "a needed version does not lie in");
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
    check_error(built.clone().put_u32(at + 20, 1 << 20).bytes, "a defined version does not lie in");
    check_error(object.dynamic(DT_VERDEF, u64::MAX).bytes(), "the table of version definitions lies outside");
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
    // With a gap, in memory or in the file, the names behind it are others, or none.
    for (gap, back) in [(0x2000, 0), (0, 8)] {
        let facts = elf::parse(&in_two_parts(&object, strings + 8, gap, back).bytes);
        assert!(facts.is_ok_and(|facts| facts_text(&facts) != facts_text(&whole)) || gap > 0);
    }
}

#[test]
fn programs_that_patchelf_edited_are_read() {
    if !tools::require("patchelf", "patchelf") || !tools::require("cc", "gcc") {
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
    // Nobody finds a definition without a name in memory; the name of a reference is read.
    let facts = elf::parse(&gnu.clone().put_u32(name + 24, u32::MAX).bytes).unwrap();
    assert!(facts.symbols.iter().all(|symbol| symbol.offer == elf::Offer::Nothing));
    let facts = elf::parse(&gnu.clone().put_u32(name, u32::MAX).bytes).unwrap();
    let fault = "a relocation refers to a symbol whose name does not lie in its memory";
    assert!(facts.faults.iter().any(|found| found.what == fault), "{:?}", facts.faults);
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
