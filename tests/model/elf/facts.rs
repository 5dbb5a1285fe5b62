//! The facts of well-formed files.

use crate::support::elf::*;
use cargo_lambda_bundle::elf::{self, ElfError, ElfFacts, Libc, ObjectType, Part};

use super::{facts_text, symbol_rows};

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

/// Source: `open_verify` in glibc's elf/dl-load.c.
#[test]
fn a_note_of_another_alignment_names_no_kernel() {
    let bytes = full_library().bytes();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let table = word(32) as usize;
    let is_note = |at: &usize| bytes[*at..*at + 4] == 4_u32.to_le_bytes();
    let note = (table..).step_by(56).take(bytes[56].into()).find(is_note).unwrap();
    for (align, expected) in [(1_u64, None), (4, Some((3, 2, 0))), (8, None), (16, None)] {
        let mut bytes = bytes.clone();
        bytes[note + 48..note + 56].copy_from_slice(&align.to_le_bytes());
        assert_eq!(elf::parse(&bytes).unwrap().least_kernel, expected, "{align}");
    }
}

#[test]
fn a_file_with_nothing_in_it_has_no_facts() {
    let facts = Object::plugin().facts();
    let empty = ElfFacts {
        class64: true,
        little_endian: true,
        is_read_by_kernel: true,
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
