//! The editor's rules, on files built in code, and what holds for any bytes.

use cargo_lambda_bundle::elf::{self, ElfFacts};
use cargo_lambda_bundle::repair::{Edited, Edits, GivenUp, Refusal, edit, tail};
use proptest::prelude::*;

use crate::repair::fixture::Fixture;
use crate::repair::rules;

fn rpath(path: &str) -> Edits {
    Edits { rpath: Some(path.into()), ..Edits::default() }
}

fn add(names: &[&str]) -> Edits {
    Edits { add_needed: names.iter().map(|name| (*name).into()).collect(), ..Edits::default() }
}

/// A long path, so that no string of the file has it.
const PATH: &str = "/var/task/lib/pinned";

/// The slot taken and what it cost.
#[track_caller]
fn check(fixture: &Fixture, edits: &Edits, slot: &str, lost: &[GivenUp]) -> Edited {
    let before = fixture.build();
    let edited = edit(&before, edits).unwrap();
    rules::check(&before, &edited.bytes, edits.rename_needed.is_empty());
    expect(&before, &edited.bytes, edits);
    assert_eq!((rules::slot(&before, &edited.bytes), &*edited.lost), (slot, lost));
    edited
}

#[track_caller]
fn refuse(bytes: &[u8], edits: &Edits, expected: &str) {
    assert_eq!(edit(bytes, edits).unwrap_err().to_string(), expected);
}

/// Asserts that the file has what was asked for, and all else as before.
#[track_caller]
fn expect(before: &[u8], after: &[u8], edits: &Edits) {
    let (before, after) = (elf::parse(before).unwrap(), elf::parse(after).unwrap());
    let rename = |name: &String| {
        edits.rename_needed.iter().find(|(from, _)| from == name).map_or(name, |(_, to)| to).clone()
    };
    let needed: Vec<String> = before.needed.iter().map(rename).chain(edits.add_needed.clone()).collect();
    assert_eq!(after.needed, needed);
    let paths = edits.rpath.is_some() || edits.drop_runpath;
    assert_eq!(after.rpath, if paths { edits.rpath.clone() } else { before.rpath.clone() });
    assert_eq!(after.runpath, if paths { None } else { before.runpath.clone() });
    assert_eq!(after.interpreter, edits.interpreter.clone().or(before.interpreter.clone()));
    let files =
        |facts: &ElfFacts| -> Vec<String> { facts.verneed.iter().map(|need| need.file.clone()).collect() };
    assert_eq!(files(&after), files(&before).iter().map(rename).collect::<Vec<_>>());
    let nodes = |facts: &ElfFacts| -> Vec<(String, u16)> {
        facts.verneed.iter().map(|need| (need.node.clone(), need.index)).collect()
    };
    assert_eq!(nodes(&after), nodes(&before));
    assert_eq!(after.verdef, before.verdef);
    assert_eq!(after.soname, before.soname);
    assert_eq!(after.flags_1, before.flags_1);
    let symbols = |facts: &ElfFacts| -> Vec<Vec<u8>> {
        facts.symbols.iter().map(|symbol| facts.symbols.name_bytes(symbol).to_vec()).collect()
    };
    assert_eq!(symbols(&after), symbols(&before));
}

#[test]
fn fixtures_are_what_they_say() {
    let facts = elf::parse(&Fixture::default().build()).unwrap();
    assert_eq!(facts.needed, ["libone.so.1", "libc.so.6"]);
    assert_eq!(facts.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(facts.build_id.map(|id| id.len()), Some(20));
    assert_eq!(facts.least_kernel, Some((3, 2, 0)));
    assert_eq!((facts.verneed[0].file.as_str(), facts.verneed[0].node.as_str()), ("libone.so.1", "ONE_1"));
    assert_eq!(facts.verdef[0].node, "OFFERED_1");
    assert_eq!(facts.symbols.iter().count(), 1);
}

#[test]
fn no_edit_changes_no_byte() {
    let before = Fixture::default().build();
    assert_eq!(edit(&before, &Edits::default()).unwrap(), Edited { bytes: before, lost: vec![] });
}

#[test]
fn the_slot_that_costs_least_is_taken() {
    let spare = Fixture { spare: 4, ..Fixture::default() };
    let property = Fixture { property: true, ..spare.clone() };
    check(&property, &rpath(PATH), "PROPERTY", &[]);
    // On aarch64 the kernel reads PT_GNU_PROPERTY, and the PT_NOTE beside it serves nobody.
    check(&Fixture { machine: 183, ..property }, &rpath(PATH), "NOTE without build-id", &[]);
    let tag = Fixture { build_id: false, ..spare.clone() };
    check(&tag, &rpath(PATH), "NOTE without build-id", &[GivenUp::KernelCheck]);
    check(&spare, &rpath(PATH), "room", &[GivenUp::KernelCheck]);
    let id = Fixture { abi_tag: false, ..spare.clone() };
    check(&id, &rpath(PATH), "room", &[GivenUp::BuildIdInCore]);
    let library = Fixture { interpreter: false, soname: Some("libmine.so.1"), ..spare.clone() };
    check(&library, &rpath(PATH), "NOTE", &[GivenUp::BuildIdNote, GivenUp::KernelCheck]);
    let bare = Fixture { build_id: false, abi_tag: false, ..library };
    check(&bare, &rpath(PATH), "written again", &[]);
    // A hash table follows the interpreter's path.
    let bare = Fixture { build_id: false, abi_tag: false, ..spare };
    check(&bare, &rpath(PATH), "written again", &[]);
    // .dynamic moves within the segment that grows.
    let full = Fixture { spare: 0, ..bare.clone() };
    check(&full, &rpath(PATH), "written again", &[GivenUp::DynamicInPlace]);

    // Too much .bss for a file.
    let mut bytes = bare.build();
    let last = rules::headers(&bytes).iter().rposition(|header| header.kind == rules::PT_LOAD).unwrap();
    let at = rules::number(&bytes, 32, 8) as usize + 56 * last + 40;
    bytes[at..at + 8].copy_from_slice(&(17u64 << 20).to_le_bytes());
    refuse(&bytes, &rpath(PATH), "it has no program header slot to reuse");
}

#[test]
fn without_a_new_string_there_is_no_new_segment() {
    let fixture = Fixture { runpath: Some(PATH), ..Fixture::default() };
    let edited = check(&fixture, &rpath(PATH), "no segment", &[]);
    assert_eq!(edited.bytes.len(), fixture.build().len());
    check(&fixture, &rpath("lib/pinned"), "no segment", &[]);
    check(&fixture, &Edits { drop_runpath: true, ..Edits::default() }, "no segment", &[]);
    check(&Fixture { spare: 1, ..fixture }, &add(&["libc.so.6"]), "no segment", &[]);
}

#[test]
fn what_is_behind_the_end_is_found() {
    let bytes = Fixture::default().build();
    let tail_of = |bytes: &[u8]| tail::of(bytes).to_vec();
    let with_tail = |mut bytes: Vec<u8>| {
        bytes.extend(b"payload");
        bytes
    };
    assert_eq!(tail_of(&bytes), b"");
    assert_eq!(tail_of(&with_tail(bytes.clone())), b"payload");
    let stripped = Fixture { sections: false, ..Fixture::default() };
    assert_eq!(tail_of(&with_tail(stripped.build())), b"payload");
    // e_shnum of 0: the number is the size of the first section.
    let mut extended = bytes.clone();
    let (sections, count) = (rules::number(&bytes, 40, 8) as usize, rules::number(&bytes, 60, 2));
    extended[60..62].copy_from_slice(&[0, 0]);
    extended[sections + 32..sections + 40].copy_from_slice(&count.to_le_bytes());
    assert_eq!(tail_of(&with_tail(extended)), b"payload");
    // A section that is not in the file reaches to its end, one without bytes (SHT_NOBITS) nowhere.
    let last = sections + 64 * (count as usize - 1);
    let with_last = |kind: u8| {
        let mut bytes = with_tail(bytes.clone());
        bytes[last + 4] = kind;
        bytes[last + 32..last + 40].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes
    };
    assert_eq!(tail_of(&with_last(1)), b"");
    assert_eq!(tail_of(&with_last(8)), b"payload");
    assert_eq!(tail_of(b"\x7fELF"), b"");
    assert_eq!(tail_of(&[b'x'; 100]), b"");
}

#[test]
fn what_is_behind_the_end_stays_and_is_last() {
    let spare = Fixture { spare: 4, ..Fixture::default() };
    let bare = Fixture { build_id: false, abi_tag: false, ..spare.clone() };
    for fixture in [Fixture { property: true, ..spare.clone() }, spare, bare] {
        let mut before = fixture.build();
        let at = before.len();
        before.extend(b"payload");
        let after = edit(&before, &rpath(PATH)).unwrap().bytes;
        rules::check(&before, &after, true);
        assert_eq!(&after[at..at + 7], b"payload");
        assert!(after.ends_with(b"payload") && after.len() > before.len());
        assert_eq!((after.len() - before.len()) % 4096, 0, "its place in a page");
    }
    let in_place = Fixture { runpath: Some(PATH), ..Fixture::default() };
    let mut before = in_place.build();
    before.extend(b"payload");
    let after = edit(&before, &rpath(PATH)).unwrap().bytes;
    assert_eq!((after.len(), tail::of(&after)), (before.len(), &b"payload"[..]));
}

#[test]
fn every_other_path_goes() {
    let fixture = Fixture { rpath: Some("/old"), runpath: Some("/newer"), ..Fixture::default() };
    let edited = check(&fixture, &rpath(PATH), "room", &[GivenUp::KernelCheck]);
    let paths = rules::dynamic(&edited.bytes).iter().filter(|(tag, _)| matches!(tag, 15 | 29)).count();
    assert_eq!(paths, 1);
    check(&fixture, &Edits { drop_runpath: true, ..Edits::default() }, "no segment", &[]);
    check(&fixture, &Edits { drop_runpath: true, ..rpath(PATH) }, "room", &[GivenUp::KernelCheck]);
}

#[test]
fn entries_find_a_place() {
    let program = Fixture { property: true, ..Fixture::default() };
    check(&Fixture { spare: 1, relative_count: true, ..program.clone() }, &rpath(PATH), "PROPERTY", &[]);
    check(
        &Fixture { relative_count: true, flags: Some(8), ..program.clone() },
        &rpath(PATH),
        "PROPERTY",
        &[GivenUp::RelativeCount],
    );
    // DT_FLAGS_1 has NOW too.
    check(&Fixture { flags: Some(8), ..program.clone() }, &rpath(PATH), "PROPERTY", &[]);
    let both = Fixture { relative_count: true, flags: Some(8), ..program.clone() };
    check(&both, &add(&["a", "b"]), "PROPERTY", &[GivenUp::RelativeCount]);
    check(&both, &add(&["a", "b", "c"]), "PROPERTY", &[GivenUp::DynamicInPlace]);
    // DF_SYMBOLIC is said nowhere else.
    check(
        &Fixture { flags: Some(10), ..program.clone() },
        &rpath(PATH),
        "PROPERTY",
        &[GivenUp::DynamicInPlace],
    );
    let spare = Fixture { spare: 3, ..program };
    let edited = check(&spare, &add(&["a", "b", "c"]), "PROPERTY", &[]);
    let needed = rules::dynamic(&edited.bytes).iter().take_while(|(tag, _)| *tag == 1).count();
    assert_eq!(needed, 5, "behind the needed names that there were");
}

#[test]
fn several_edits_at_once() {
    let edits = Edits {
        rpath: Some(PATH.into()),
        drop_runpath: true,
        interpreter: Some("/var/task/libc/ld-linux-x86-64.so.2".into()),
        rename_needed: vec![
            ("libone.so.1".into(), "/var/task/lib/libone.so.1".into()),
            ("libc.so.6".into(), "libone.so.1".into()),
        ],
        add_needed: vec!["libm.so.6".into(), "libdl.so.2".into()],
        ..Edits::default()
    };
    let lost = [GivenUp::KernelCheck, GivenUp::DynamicInPlace];
    for sections in [true, false] {
        check(&Fixture { sections, ..Fixture::default() }, &edits, "room", &lost);
    }
    check(&Fixture { spare: 3, machine: 183, ..Fixture::default() }, &edits, "room", &lost[..1]);
}

#[test]
fn texts_that_cannot_be() {
    let program = Fixture::default().build();
    refuse(&program, &rpath("a\0b"), "a new string has a NUL byte in it");
    refuse(&program, &add(&[""]), "a new name is empty");
    let interpreter = |path: &str| Edits { interpreter: Some(path.into()), ..Edits::default() };
    refuse(&program, &interpreter(""), "a new name is empty");
    refuse(
        &program,
        &interpreter(&"x".repeat(4096)),
        "the new interpreter's path is longer than 4,095 bytes",
    );
    assert!(edit(&program, &interpreter(&"x".repeat(4095))).is_ok());
    let library = Fixture { interpreter: false, ..Fixture::default() }.build();
    refuse(&library, &interpreter("/ld.so"), "it names no interpreter that could be replaced");
    let static_pie = Fixture { interpreter: false, static_pie: true, needed: vec![], ..Fixture::default() };
    refuse(&static_pie.build(), &rpath(PATH), "it is a static file, which no loader reads");
    let rename = |from: &str| Edits { rename_needed: vec![(from.into(), "x".into())], ..Edits::default() };
    refuse(&program, &rename("libtwo.so"), "it does not need `libtwo.so`");
    refuse(&program, &rename("libone.so"), "it does not need `libone.so`");
}

#[test]
fn files_that_cannot_be_edited() {
    let put = |at: usize, value: u64, size: usize| {
        let mut bytes = Fixture::default().build();
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        bytes
    };
    let kind = "it is not a program or shared library for x86_64 or arm64";
    refuse(b"#!/bin/sh\n", &rpath(PATH), "it is a script");
    refuse(&put(18, 243, 2), &rpath(PATH), kind);
    refuse(&put(16, 1, 2), &rpath(PATH), kind);
    refuse(&put(4, 1, 1), &rpath(PATH), kind);
    refuse(&put(5, 2, 1), &rpath(PATH), kind);
    // The loader does not read DT_STRSZ, so the file starts; but no edit knows where its string table ends.
    let mut bytes = Fixture::default().build();
    let entry = 10u64.to_le_bytes();
    let at = (0..bytes.len() - 16).step_by(8).find(|at| bytes[*at..*at + 8] == entry).unwrap();
    bytes[at + 8..at + 16].copy_from_slice(&1u64.to_le_bytes());
    assert_eq!(elf::parse(&bytes).unwrap().needed, elf::parse(&Fixture::default().build()).unwrap().needed);
    refuse(&bytes, &rpath(PATH), "its dynamic string table has names beyond DT_STRSZ");
    // The fifth header is PT_DYNAMIC, the third and fourth are PT_LOADs.
    let header = |index: usize, field: usize| 64 + 56 * index + field;
    refuse(&put(header(4, 0), 0, 4), &rpath(PATH), "it is a static file, which no loader reads");
    refuse(
        &put(header(4, 8), 0x10, 8),
        &rpath(PATH),
        "the offset and the address of its dynamic segment do not agree",
    );
    refuse(
        &put(header(2, 40), 0x9000, 8),
        &rpath(PATH),
        "its segments are not in the order of their addresses, or overlap",
    );
    refuse(
        &put(header(3, 40), 1 << 47, 8),
        &rpath(PATH),
        "it has no room in its address space after its last segment",
    );
    refuse(&put(header(3, 40), 1, 8), &rpath(PATH), "one of its segments is not in the file");
    refuse(
        &put(header(3, 48), 3000, 8),
        &rpath(PATH),
        "the alignment of one of its segments is not a power of two",
    );
    assert!(matches!(edit(&put(header(3, 32), 1 << 40, 8), &rpath(PATH)), Err(Refusal::Unreadable(_))));
}

fn fixtures() -> impl Strategy<Value = Fixture> {
    let flag = any::<bool>;
    let text = |values: [&'static str; 2]| prop::option::of(prop::sample::select(values.to_vec()));
    let parts = (flag(), flag(), flag(), flag(), flag(), flag(), 0..4usize);
    let texts = (text(["libmine.so", "libmine.so.1"]), text(["/a", PATH]), text(["/b", "$ORIGIN"]));
    (parts, texts, prop::option::of(prop::sample::select(vec![8, 10])), flag()).prop_map(
        |((interpreter, abi_tag, build_id, property, relative_count, sections, spare), texts, flags, x86)| {
            Fixture {
                machine: if x86 { 62 } else { 183 },
                needed: vec!["libone.so.1", "libc.so.6"],
                interpreter,
                static_pie: false,
                soname: texts.0,
                rpath: texts.1,
                runpath: texts.2,
                abi_tag,
                build_id,
                property,
                spare,
                relative_count,
                flags,
                sections,
            }
        },
    )
}

fn edits() -> impl Strategy<Value = Edits> {
    let name = || prop::sample::select(vec!["/new/dir", "libc.so.6", "", "one.so.1", "libnew.so.1"]);
    let renames = prop::sample::subsequence(vec!["libone.so.1", "libc.so.6", "libno.so"], 0..=2);
    (
        prop::option::of(name()),
        any::<bool>(),
        prop::option::weighted(0.2, name()),
        renames,
        prop::collection::vec(name(), 0..4),
        name(),
    )
        .prop_map(|(rpath, drop_runpath, interpreter, renames, add_needed, to)| Edits {
            rpath: rpath.map(Into::into),
            drop_runpath,
            interpreter: interpreter.map(Into::into),
            rename_needed: renames.into_iter().map(|from| (from.to_owned(), to.to_owned())).collect(),
            add_needed: add_needed.into_iter().map(Into::into).collect(),
            ..Edits::default()
        })
}

/// Single bytes, and whole words at places where headers and tables have theirs.
fn mutations() -> impl Strategy<Value = Vec<(usize, u64, usize)>> {
    let value = prop_oneof![
        any::<u64>(),
        0..0x1000u64,
        (0..64u32).prop_map(|bit| 1 << bit),
        (0..0x1000u64).prop_map(|less| u64::MAX - less),
    ];
    let place = (0..1500usize, prop::sample::select(vec![1, 2, 4, 8]));
    let one = (place, value).prop_map(|((at, size), value)| (at / size * size, value, size));
    prop::collection::vec(one, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes: an edit refuses, or the file reads as asked and its old bytes stay.
    #[test]
    fn an_edit_refuses_or_is_right(
        fixture in fixtures(),
        edits in edits(),
        mutations in mutations(),
        cut in prop::option::weighted(0.1, 0..1500usize),
    ) {
        let mut before = fixture.build();
        for (at, value, size) in &mutations {
            if let Some(place) = before.get_mut(*at..at + size) {
                place.copy_from_slice(&value.to_le_bytes()[..*size]);
            }
        }
        before.truncate(cut.unwrap_or(usize::MAX));
        match edit(&before, &edits) {
            Ok(edited) => {
                expect(&before, &edited.bytes, &edits);
                rules::check_bytes_stay(&before, &edited.bytes, edits.rename_needed.is_empty());
                if mutations.is_empty() && cut.is_none() {
                    rules::check(&before, &edited.bytes, edits.rename_needed.is_empty());
                }
            }
            Err(refusal) => {
                prop_assert!(!refusal.to_string().is_empty());
                let whole = mutations.is_empty() && cut.is_none();
                prop_assert!(!whole || !matches!(refusal, Refusal::Unproven(_) | Refusal::Unreadable(_)), "{refusal}");
            }
        }
    }
}
