//! Static libraries made in code, and damaged ones.

use std::collections::BTreeSet;

use cargo_lambda_bundle::elf::static_library::{
    ProgramSymbols, StaticLibraryError, StaticReferences, references,
};
use proptest::prelude::*;

/// An object file with these undefined symbols: an ELF header, `.symtab` and its names.
fn object(undefined: &[&str]) -> Vec<u8> {
    const HEADER: usize = 64;
    let mut names = vec![0_u8];
    let mut symbols = vec![0_u8; 24];
    for name in undefined {
        symbols.extend((names.len() as u32).to_le_bytes());
        symbols.extend([0x10, 0, 0, 0]);
        symbols.extend([0; 16]);
        names.extend(name.as_bytes());
        names.push(0);
    }
    let (at_names, at_headers) = (HEADER + symbols.len(), HEADER + symbols.len() + names.len());
    let section = |kind: u32, offset: usize, size: usize, link: u32| {
        let mut header = [0_u8; 64];
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header[40..44].copy_from_slice(&link.to_le_bytes());
        header
    };
    let mut file = vec![0_u8; HEADER];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 1;
    file[40..48].copy_from_slice(&(at_headers as u64).to_le_bytes());
    file[58..60].copy_from_slice(&64_u16.to_le_bytes());
    file[60..62].copy_from_slice(&3_u16.to_le_bytes());
    let headers =
        [[0; 64], section(2, HEADER, symbols.len(), 2), section(3, at_names, names.len(), 0)].concat();
    [file, symbols, names, headers].concat()
}

/// An object file that defines these symbols and refers to `one`.
fn defining(defined: &[&str], info: u8) -> Vec<u8> {
    let names = [&["one"], defined].concat();
    let mut file = object(&names);
    for at in (1..=defined.len()).map(|index| 64 + 24 * (index + 1)) {
        file[at + 4] = info;
        file[at + 6] = 1;
    }
    file
}

/// The same with more sections than the header's field can hold: their number is in the first section.
fn with_many_sections(mut object: Vec<u8>) -> Vec<u8> {
    let at = u64::from_le_bytes(object[40..48].try_into().unwrap()) as usize;
    object[60..62].fill(0);
    object[at + 32..at + 40].copy_from_slice(&3_u64.to_le_bytes());
    object
}

/// A GNU archive. Names over 15 bytes are in its table of names.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = Vec::new();
    let mut list = Vec::new();
    for (name, content) in members {
        let short = match name.len() {
            0..=15 => format!("{name}/"),
            _ => {
                let at = names.len();
                names.extend(format!("{name}/\n").bytes());
                format!("/{at}")
            }
        };
        list.push((short, *content));
    }
    let mut file = b"!<arch>\n".to_vec();
    let mut add = |name: &str, content: &[u8]| {
        file.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, content.len()).bytes());
        file.extend(content);
        if content.len() % 2 == 1 {
            file.push(b'\n');
        }
    };
    if !names.is_empty() {
        add("//", &names);
    }
    for (name, content) in list {
        add(&name, content);
    }
    file
}

fn found(bytes: &[u8], wanted: &[&str]) -> Result<StaticReferences, StaticLibraryError> {
    references_in(bytes, wanted, None)
}

fn references_in(
    bytes: &[u8],
    wanted: &[&str],
    program: Option<&[u8]>,
) -> Result<StaticReferences, StaticLibraryError> {
    let program = program.and_then(ProgramSymbols::of);
    let program = program.as_ref();
    references(bytes, &wanted.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), program)
}

#[track_caller]
fn check(bytes: &[u8], wanted: &[&str], expected: &[&str]) {
    let found = found(bytes, wanted).unwrap();
    let words: Vec<String> =
        found.references.iter().map(|it| format!("{} {}", it.symbol, it.object)).collect();
    assert_eq!(words, expected);
    assert!(!found.has_bitcode);
}

#[test]
fn objects_name_what_they_do_not_define() {
    let conf = object(&["strlcpy", "malloc"]);
    let long = object(&["arc4random", "strlcpy", "strlcpyx"]);
    let bytes =
        archive(&[("conf.o", &conf), ("an-object-with-a-long-name.o", &long), ("lib.rmeta", b"strlcpy")]);
    check(&bytes, &["strlcpy"], &["strlcpy an-object-with-a-long-name.o", "strlcpy conf.o"]);
    check(&bytes, &["arc4random", "malloc"], &["arc4random an-object-with-a-long-name.o", "malloc conf.o"]);
    check(&bytes, &["strl"], &[]);
    check(&archive(&[]), &["strlcpy"], &[]);
}

#[test]
fn an_object_may_have_more_sections_than_its_header_can_count() {
    check(&archive(&[("a.o", &with_many_sections(object(&["strlcpy"])))]), &["strlcpy"], &["strlcpy a.o"]);
}

#[test]
fn a_linked_object_has_a_function_in_the_program() {
    const GLOBAL: u8 = 0x12;
    const WEAK: u8 = 0x22;
    const LOCAL: u8 = 0x02;
    let bytes = |info| archive(&[("a.o", &defining(&["conf", "init"], info))]);
    let is_linked = |bytes: &[u8], program: &[u8]| {
        references_in(bytes, &["one"], Some(program)).unwrap().references[0].is_linked
    };
    // The linker makes hidden functions local.
    assert_eq!(is_linked(&bytes(GLOBAL), &defining(&["main", "init"], LOCAL)), Some(true));
    assert_eq!(is_linked(&bytes(GLOBAL), &defining(&["main"], GLOBAL)), Some(false));
    assert_eq!(is_linked(&bytes(GLOBAL), b"stripped"), None);
    // Other object files may have functions of the same name.
    assert_eq!(is_linked(&bytes(WEAK), &defining(&["init"], GLOBAL)), None);
    assert_eq!(is_linked(&bytes(LOCAL), &defining(&["init"], GLOBAL)), None);
}

#[test]
fn two_objects_of_one_name_are_both_read() {
    let bytes = archive(&[("a.o", &object(&["one"])), ("a.o", &object(&["two"]))]);
    check(&bytes, &["one", "two"], &["one a.o", "two a.o"]);
}

#[test]
fn names_may_stand_before_the_content() {
    let object = object(&["one"]);
    let content = [b"bsd-name.o\0\0".as_slice(), &object].concat();
    let bytes = archive(&[("#1/12", &content)]);
    let bytes = [&bytes[..8], b"#1/12           ", &bytes[24..]].concat();
    check(&bytes, &["one"], &["one bsd-name.o"]);
}

#[test]
fn a_library_in_a_library_is_read() {
    let inner = archive(&[("conf.o", &object(&["strlcpy"]))]);
    check(&archive(&[("libfoo.a", &inner)]), &["strlcpy"], &["strlcpy conf.o"]);
    // One level is what rustc writes.
    let deeper = archive(&[("libfoo.a", &archive(&[("libfoo.a", &inner)]))]);
    check(&deeper, &["strlcpy"], &[]);
}

#[test]
fn bitcode_is_reported() {
    for magic in [&b"BC\xc0\xde"[..], b"\xde\xc0\x17\x0b"] {
        let bytes = archive(&[("a.o", &object(&["one"])), ("b.o", magic)]);
        let found = found(&bytes, &["one"]).unwrap();
        assert!(found.has_bitcode);
        assert_eq!(found.references.len(), 1);
    }
}

#[test]
fn other_files_are_refused() {
    assert_eq!(found(b"!<thin>\n", &["a"]), Err(StaticLibraryError::Thin));
    for bytes in [&b""[..], b"!<arch>", b"\x7fELF", b"!<arch>\nno header"] {
        assert_eq!(found(bytes, &["a"]), Err(StaticLibraryError::Malformed), "{bytes:?}");
    }
    let whole = archive(&[("a.o", &object(&["one"]))]);
    assert_eq!(found(&whole[..whole.len() - 8], &["one"]), Err(StaticLibraryError::Malformed));
}

#[test]
fn long_names_do_not_add_up() {
    // 30,000 objects whose name is the same text of a megabyte.
    let name = "n".repeat(1 << 20);
    let mut object = object(&["one"]);
    object.extend(vec![0; object.len() % 2]);
    let mut bytes = archive(&[(&name, &object)]);
    let member = bytes[bytes.len() - object.len() - 60..].to_vec();
    bytes.extend(member.repeat(30_000));
    let found = found(&bytes, &["one"]).unwrap();
    assert_eq!(found.references.len(), 1);
    assert_eq!(found.references[0].object.len(), 256);
}

proptest! {
    #[test]
    fn damaged_libraries_end(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..12)) {
        let objects = [object(&["one", "two"]), with_many_sections(object(&["one"]))];
        let inner = archive(&[("b.o", &objects[1])]);
        let mut damaged = archive(&[("a.o", &objects[0]), ("a-name-of-more-than-15.o", &objects[1]), ("/", &[0, 0, 0, 1, 0, 0, 0, 8, b'x', 0]), ("lib.a", &inner)]);
        let at = at.index(damaged.len());
        for (offset, byte) in bytes.into_iter().enumerate().take_while(|(offset, _)| at + offset < damaged.len()).collect::<Vec<_>>() {
            damaged[at + offset] = byte;
        }
        let _ = found(&damaged, &["one", "two"]);
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..400), is_archive in any::<bool>()) {
        let start: &[u8] = if is_archive { b"!<arch>\n" } else { b"" };
        let _ = found(&[start, &bytes].concat(), &["one"]);
    }
}
