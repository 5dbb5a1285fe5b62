//! The rules of kernels and loaders, asserted on the bytes: new ones forgive what old ones do not.
//!
//! Read with code of its own, so that the editor's mistakes are not repeated here.

use cargo_lambda_bundle::elf;

pub const PT_LOAD: u64 = 1;
pub const PT_DYNAMIC: u64 = 2;
pub const PT_INTERP: u64 = 3;
pub const PT_NOTE: u64 = 4;
pub const PT_PHDR: u64 = 6;
const DT_VERNEED: u64 = 0x6fff_fffe;
const PT_GNU_RELRO: u64 = 0x6474_e552;
pub const PT_GNU_PROPERTY: u64 = 0x6474_e553;

pub fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    pub kind: u64,
    pub flags: u64,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

pub fn headers(bytes: &[u8]) -> Vec<Header> {
    let (table, count) = (number(bytes, 32, 8) as usize, number(bytes, 56, 2) as usize);
    let read = |index: usize| {
        let word = |at: usize, size| number(bytes, table + index * 56 + at, size);
        Header {
            kind: word(0, 4),
            flags: word(4, 4),
            offset: word(8, 8),
            address: word(16, 8),
            file_size: word(32, 8),
            memory_size: word(40, 8),
            align: word(48, 8),
        }
    };
    (0..count).map(read).collect()
}

pub fn find(bytes: &[u8], kind: u64) -> Option<Header> {
    headers(bytes).into_iter().find(|header| header.kind == kind)
}

/// Offset in the file of an address.
fn offset(bytes: &[u8], address: u64) -> usize {
    let load = headers(bytes).into_iter().find(|load| {
        load.kind == PT_LOAD && (load.address..load.address + load.file_size).contains(&address)
    });
    let load = load.expect("the address is loaded");
    (address - load.address + load.offset) as usize
}

pub fn dynamic(bytes: &[u8]) -> Vec<(u64, u64)> {
    // As ld.so, the last one.
    let header = headers(bytes).into_iter().rfind(|header| header.kind == PT_DYNAMIC).unwrap();
    let from = offset(bytes, header.address);
    assert_eq!(from as u64, header.offset);
    (0..)
        .map(|index| (number(bytes, from + index * 16, 8), number(bytes, from + index * 16 + 8, 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect()
}

fn value(bytes: &[u8], wanted: u64) -> u64 {
    dynamic(bytes).into_iter().rfind(|(tag, _)| *tag == wanted).expect("the tag is there").1
}

pub fn strings(bytes: &[u8]) -> &[u8] {
    let from = offset(bytes, value(bytes, 5));
    &bytes[from..][..value(bytes, 10) as usize]
}

/// Which slot was taken, as the program headers tell.
pub fn slot(before: &[u8], after: &[u8]) -> &'static str {
    let count = |bytes: &[u8], kind| headers(bytes).iter().filter(|header| header.kind == kind).count();
    let gone = |kind| count(before, kind) > count(after, kind);
    let last = |bytes: &[u8]| headers(bytes).into_iter().rfind(|header| header.kind == PT_LOAD).unwrap();
    match () {
        () if last(before).address == last(after).address && last(before) != last(after) => "written again",
        () if count(before, PT_LOAD) == count(after, PT_LOAD) => "no segment",
        () if headers(after).len() > headers(before).len() => "room",
        () if gone(PT_GNU_PROPERTY) => "PROPERTY",
        () if gone(PT_PHDR) => "PHDR",
        () if gone(PT_NOTE) => {
            let had = elf::parse(before).unwrap().build_id;
            if had == elf::parse(after).unwrap().build_id { "NOTE without build-id" } else { "NOTE" }
        }
        () => panic!("another header is gone"),
    }
}

/// Asserts every rule on an edited file; `keeps_versions` if no needed name was replaced.
#[track_caller]
pub fn check(before: &[u8], after: &[u8], keeps_versions: bool) {
    let (old, new) = (headers(before), headers(after));
    assert_eq!(number(before, 32, 8), number(after, 32, 8), "e_phoff: old kernels compute AT_PHDR from it");
    assert!(new.len() == old.len() || new.len() == old.len() + 1, "e_phnum");
    let table = number(after, 32, 8)..number(after, 32, 8) + 56 * new.len() as u64;

    let loads: Vec<&Header> = new.iter().filter(|header| header.kind == PT_LOAD).collect();
    for pair in loads.windows(2) {
        assert!(pair[0].address + pair[0].memory_size <= pair[1].address, "PT_LOADs ascend");
    }
    for load in &loads {
        assert_eq!(load.address % load.align, load.offset % load.align, "p_vaddr and p_offset");
        assert!(load.align.is_multiple_of(4096), "ld.so 2.34 refuses a smaller alignment");
        assert!(load.offset + load.file_size <= after.len() as u64);
    }
    let old_loads: Vec<&Header> = old.iter().filter(|header| header.kind == PT_LOAD).collect();
    let is_again = slot(before, after) == "written again";
    for (index, (old, new)) in old_loads.iter().zip(&loads).enumerate() {
        if is_again && index + 1 == old_loads.len() {
            check_written_again(before, after, old, new);
        } else {
            assert_eq!(old, new, "old segments stay");
        }
    }
    if let Some(added) = loads.get(old_loads.len()) {
        assert_eq!(added.file_size, added.memory_size);
        assert_eq!(added.flags & 1, 0, "not executable");
    }
    for (index, header) in
        new.iter().enumerate().filter(|(_, header)| matches!(header.kind, PT_PHDR | PT_INTERP))
    {
        let first = new.iter().position(|header| header.kind == PT_LOAD).unwrap();
        let was_ahead = old.iter().position(|other| other.kind == header.kind)
            < old.iter().position(|other| other.kind == PT_LOAD);
        assert!(index < first || !was_ahead, "PT_PHDR and PT_INTERP stay ahead of the PT_LOADs");
    }
    if let Some(header) = find(after, PT_PHDR) {
        assert_eq!((header.offset, header.file_size), (table.start, table.end - table.start), "PT_PHDR");
        assert_eq!(header.file_size, header.memory_size, "PT_PHDR");
    }

    let inside = |bytes: &[u8], header: &Header, flag: u64| {
        headers(bytes).iter().any(|load| {
            load.kind == PT_LOAD
                && load.flags & flag != 0
                && load.address <= header.address
                && header.address + header.memory_size <= load.address + load.memory_size
        })
    };
    let (was, is) = (find(before, PT_DYNAMIC).unwrap(), find(after, PT_DYNAMIC).unwrap());
    assert!(inside(after, &is, 2) || !inside(before, &was, 2), "ld.so writes into .dynamic");
    for header in new.iter().filter(|header| header.file_size > 0 && header.kind != PT_PHDR) {
        let apart = header.offset >= table.end || header.offset + header.file_size <= table.start;
        // mold's PT_GNU_RELRO says offset 0.
        let relro = header.kind == PT_GNU_RELRO;
        assert!(apart || header.kind == PT_LOAD || relro, "{header:x?} over the table");
    }
    if let Some(interpreter) = find(after, PT_INTERP) {
        assert_eq!(after[(interpreter.offset + interpreter.file_size - 1) as usize], 0, "its NUL");
        assert!(interpreter.file_size <= 4096);
        assert!(inside(after, &interpreter, 4));
    }
    assert!(strings(after).starts_with(strings(before)), "the old strings come first");

    check_bytes_stay(before, after, keeps_versions);
    for at in (number(after, 40, 8) as usize..).step_by(64).take(number(after, 60, 2) as usize) {
        let (kind, flags) = (number(after, at + 4, 4), number(after, at + 8, 8));
        let (from, size) = (number(after, at + 24, 8), number(after, at + 32, 8));
        let used = flags & 2 != 0 && kind != 8 && size > 0;
        let apart = from >= table.end || from + size <= table.start;
        assert!(!used || apart, "a section at {from:#x} over the table");
    }
}

/// Asserts that a segment was written again where it can grow: its bytes, then its .bss as zeros.
#[track_caller]
fn check_written_again(before: &[u8], after: &[u8], old: &Header, new: &Header) {
    assert_eq!((old.address, old.align), (new.address, new.align));
    assert_eq!(new.flags & old.flags, old.flags);
    assert!(new.offset >= before.len() as u64, "behind the end");
    assert_eq!(new.file_size, new.memory_size);
    assert!(new.memory_size > old.memory_size);
    let was = &before[old.offset as usize..][..old.file_size as usize];
    let mut is = after[new.offset as usize..][..old.memory_size as usize].to_vec();
    let dynamic = find(before, PT_DYNAMIC).unwrap();
    if (old.offset..old.offset + old.file_size).contains(&dynamic.offset) {
        let from = (dynamic.offset - old.offset) as usize;
        is[from..][..dynamic.file_size as usize].copy_from_slice(&was[from..][..dynamic.file_size as usize]);
    }
    assert!(is.starts_with(was), "its bytes");
    assert!(is[was.len()..].iter().all(|byte| *byte == 0), "its .bss");
}

/// Asserts that old bytes are where they were, all but the headers, .dynamic and `vn_file`.
#[track_caller]
pub fn check_bytes_stay(before: &[u8], after: &[u8], keeps_versions: bool) {
    let table = number(after, 32, 8)..number(after, 32, 8) + 56 * number(after, 56, 2);
    let was = *headers(before).iter().rfind(|header| header.kind == PT_DYNAMIC).unwrap();
    let mut same = after[..before.len()].to_vec();
    let mut restore = |from: usize, size: usize| {
        let end = (from + size).min(before.len());
        same[from..end].copy_from_slice(&before[from..end]);
    };
    restore(56, 2);
    restore(table.start as usize, (table.end - table.start) as usize);
    restore(was.offset as usize, was.file_size as usize);
    let sections = number(before, 40, 8) as usize;
    if sections < before.len() {
        restore(sections, 64 * number(before, 60, 2) as usize);
    }
    let needs = dynamic(before).into_iter().rfind(|(tag, _)| *tag == DT_VERNEED);
    let mut address = needs.filter(|_| !keeps_versions).map(|(_, address)| address);
    while let Some(entry) = address {
        let at = offset(before, entry);
        restore(at + 4, 4);
        address = Some(number(before, at + 12, 4)).filter(|next| *next != 0).map(|next| entry + next);
    }
    assert!(same == before, "the old bytes stay");
}
