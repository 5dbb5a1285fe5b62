//! Files that can be read and that the kernel or the loader refuses.

use crate::support::elf::*;
use cargo_lambda_bundle::elf;

use super::check_error;

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
    let memory = "it asks for more memory than any function has";
    check_faults(built.clone().put_u64(load + 40, 17 << 30).bytes, Some(memory), Some(memory));
    check_faults(built.clone().put_u64(load + 40, 8 << 30).bytes, None, None);
    let low = "a segment lies where the kernel lets only root map memory";
    let fixed = Object::static_program().build();
    let address = fixed.header(PT_LOAD) + 16;
    for (at, fault) in [(0, Some(low)), (0xf000, Some(low)), (0x1_0000, None)] {
        check_faults(fixed.clone().put_u64(address, at).bytes, fault, None);
    }
    let table = "its program headers are not where PT_PHDR says";
    check_faults(built.clone().put_u64(built.header(PT_PHDR) + 16, 8).bytes, Some(table), None);
    let none = "it has no PT_PHDR, without which the loader assumes a wrong address";
    check_faults(built.clone().put_u32(built.header(PT_PHDR), 0x6fff_0000).bytes, Some(none), None);
    let none = "it names an interpreter but has no dynamic segment";
    check_faults(program.clone().without_dynamic().bytes(), Some(none), None);
    check_faults(Object::static_program().without_load().bytes(), Some("it has no loadable segment"), None);
}

#[test]
fn what_the_loader_dies_of_in_a_dynamic_segment_is_a_fault() {
    let object = Object::program().needs("libc.so.6").imports("f", None);
    let check = |object: Object, fault: &str| check_faults(object.bytes(), Some(fault), Some(fault));
    check_faults(object.bytes(), None, None);
    check(object.clone().dynamic(DT_PLTREL, 17), "its DT_PLTREL is 17, not 7 (DT_RELA)");
    check(object.clone().dynamic(DT_PLTREL, 7), "it has DT_PLTREL but no DT_JMPREL");
    check(object.clone().dynamic(DT_RELAENT, 16), "its DT_RELAENT is 16, not 24");
    check(object.clone().without(DT_RELAENT), "it has DT_RELA but no DT_RELAENT");
    check(object.clone().without(DT_RELASZ), "it has DT_RELA but no DT_RELASZ");
    check(object.clone().without(DT_RELA), "it has DT_RELASZ but no DT_RELA");
    check(object.clone().without(DT_SYMTAB), "its dynamic segment has no DT_SYMTAB");
    check(object.clone().dynamic(DT_INIT, 8), "its DT_INIT is not in executable code");
    check(
        object.clone().dynamic(DT_INIT_ARRAY, Built::address(64)),
        "it has DT_INIT_ARRAY but no DT_INIT_ARRAYSZ",
    );
    // A program without an interpreter is not linked at its start.
    let alone = Object::static_pie().dynamic(DT_PLTREL, 17);
    check_faults(alone.bytes(), None, Some("its DT_PLTREL is 17, not 7 (DT_RELA)"));
    let built = object.build();
    let put = |built: Built, fault: &str| check_faults(built.bytes, Some(fault), Some(fault));
    let unknown = "it has a relocation of a type that the loader does not know";
    put(built.clone().put_u32(built.relocations + 8, 3), unknown);
    let elsewhere = "a relocation would change read-only memory";
    put(built.clone().put_u64(built.relocations, 1 << 40), elsewhere);
    let fixed = |built: Built| {
        let (load, dynamic) = (built.header(PT_LOAD), built.header(PT_DYNAMIC));
        built.put_u32(load + 4, 5).put_u32(dynamic + 4, 4)
    };
    put(fixed(built.clone()), elsewhere);
    check_faults(fixed(object.clone().dynamic(DT_TEXTREL, 0).build()).bytes, None, None);
    put(
        fixed(built.clone()).put_u32(built.header(PT_DYNAMIC) + 4, 6),
        "its dynamic segment is not in writable memory",
    );
    let counted = "its DT_RELACOUNT counts a relocation of another type";
    check(object.clone().dynamic(DT_RELACOUNT, 1), counted);
    let both = object.hash(Hash::Both).build();
    put(both.clone().put_u32(both.gnu_hash + 8, 3), "the Bloom filter of its GNU hash table has 3 words");
    let versioned = Object::library("l").imports("f", Some(("libc.so.6", "V")));
    let (built, index) = (versioned.build(), versioned.build().versym + 2);
    let beyond = "`f` has a symbol version without an entry";
    assert_eq!(elf::parse(&built.put_u16(index, 9).bytes).unwrap().library_fault(), Some(beyond));
    let none = "it has symbol versions but no DT_VERSYM";
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
    let count = "its DT_RELACOUNT is larger than the number of its relocations";
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
fn a_reference_to_an_undefined_symbol_of_the_file_itself_is_a_fault() {
    let object = Object::program().needs("libc.so.6").imports("f", None);
    let built = object.build();
    // `st_info` and `st_other` of the first symbol.
    let symbol = built.symbols + 24;
    let fault = "a relocation refers to an undefined symbol that is local, hidden or protected";
    for (at, byte) in [(symbol + 4, 2), (symbol + 5, 1), (symbol + 5, 2), (symbol + 5, 3)] {
        check_faults(built.clone().put(at, [byte]).bytes, Some(fault), Some(fault));
    }
    let weak = Object::program().needs("libc.so.6").imports_weak("f", None).build();
    check_faults(weak.put(symbol + 5, [2]).bytes, Some(fault), Some(fault));
    let for_the_end = Object::program().needs("libc.so.6").imports_weak("__cxa_finalize", None).build();
    check_faults(for_the_end.put(symbol + 5, [2]).bytes, None, None);
    // A definition of its own is what such a reference is for.
    let own = Object::library("l").defines("d", None).build();
    check_faults(own.clone().put(own.symbols + 24 + 5, [2]).bytes, None, None);
}

#[test]
fn entries_of_the_offset_table_are_aligned_and_have_a_symbol() {
    let built = Object::library("l").imports("f", None).build();
    // R_X86_64_GLOB_DAT
    let entry = built.clone().put_u32(built.relocations + 8, 6);
    assert_eq!(elf::parse(&entry.bytes).unwrap().library_fault(), None);
    let offset = u64::from_le_bytes(entry.bytes[entry.relocations..][..8].try_into().unwrap());
    let check =
        |built: Built, fault| assert_eq!(elf::parse(&built.bytes).unwrap().library_fault(), Some(fault));
    check(
        entry.clone().put_u64(entry.relocations, offset + 4),
        "an entry of the global offset table has an address that is not aligned",
    );
    check(entry.clone().put_u32(entry.relocations + 12, 0), "a relocation refers to a symbol without a name");
}

#[test]
fn a_symbol_that_the_hash_table_does_not_lead_to_is_not_offered() {
    let offered = |built: &Built| -> Vec<String> {
        let facts = elf::parse(&built.bytes).unwrap();
        let symbols = facts.symbols.iter().filter(|symbol| symbol.offer == elf::Offer::Everything);
        symbols.map(|symbol| facts.symbols.name(symbol).into_owned()).collect()
    };
    let mut object = Object::library("l").imports("f", None).hash(Hash::Gnu);
    let mut all: Vec<String> = Vec::new();
    // More than the sample of a large table.
    for index in 0..100 {
        all.push(format!("symbol{index:03}"));
        object = object.defines(&all[index], None);
    }
    let built = object.build();
    let (bloom, bucket) = (built.gnu_hash + 16, built.gnu_hash + 24);
    let chain = |index: usize| bucket + 4 + 4 * index;
    assert_eq!(offered(&built), all);
    assert_eq!(offered(&built.clone().put_u64(bloom, 0)), [""; 0]);
    assert_eq!(offered(&built.clone().put_u32(bucket, 0)).len(), 0);
    // The symbols before that of the bucket, and behind the end of the chain.
    assert_eq!(offered(&built.clone().put_u32(bucket, 50)), all[48..]);
    let word = u32::from_le_bytes(built.bytes[chain(59)..][..4].try_into().unwrap());
    assert_eq!(offered(&built.clone().put_u32(chain(59), word | 1)), all[..60]);
    assert_eq!(offered(&built.clone().put_u32(chain(0), word)), all[1..]);
}
