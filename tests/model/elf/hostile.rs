//! Small files that ask for much, and any bytes.

use crate::support::elf::*;
use cargo_lambda_bundle::elf;
use proptest::prelude::*;

use super::{ask_everything, check_error, mapped_at_the_end, with_end};

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

/// The versions of the symbols lie over the ELF header: taking one away makes the file one of another class and byte
/// order, which no reader may be given.
#[test]
fn an_edit_that_changes_the_elf_header_is_refused() {
    use cargo_lambda_bundle::repair::{Edits, Refusal, VersionNode, edit};
    let object = Object::library("l").imports("a", None).imports("b", Some(("libc.so.6", "N")));
    let built = object.needs("libc.so.6").dynamic(DT_VERSYM, Built::address(0)).build();
    // EI_CLASS and EI_DATA as the version of the second symbol.
    let at = built.verneed + 16 + 6;
    let bytes = built.put_u16(at, 0x102).bytes;
    let edits = Edits {
        unbind: vec![VersionNode { file: "libc.so.6".into(), node: "N".into() }],
        ..Edits::default()
    };
    assert_eq!(edit(&bytes, &edits), Err(Refusal::Unproven("the layout")));
}
