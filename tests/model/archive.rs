//! The archive's bytes, anyone's archives, and the file that is replaced as a whole.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_lambda_bundle::archive::{
    self, COMPRESSOR, Content, Digest, Entry, Kind, Limits, Mode, Options, ReadArchive, ReadEntry, Stamp,
};
use cargo_lambda_bundle::disk;
use cargo_lambda_bundle::disk::write::replace;
use cargo_lambda_bundle::error::Error;
use proptest::prelude::*;

fn file(name: &str, mode: Mode, bytes: impl Into<Vec<u8>>) -> Entry {
    Entry { name: name.into(), mode, content: Content::File(Arc::new(bytes.into())) }
}

fn link(name: &str, target: &str) -> Entry {
    Entry { name: name.into(), mode: Mode::Data, content: Content::Link(target.into()) }
}

/// One of each sort: deflated, empty, a link, incompressible, a name that needs the UTF-8 flag.
fn bundle() -> Vec<Entry> {
    let mut entries = vec![
        file("lib/libpq.so.5", Mode::Executable, b"\x7fELF libpq".repeat(900)),
        link("lib/libpq.so", "libpq.so.5"),
        file("bootstrap", Mode::Executable, b"\x7fELF bootstrap ".repeat(5000)),
        file("assets/empty", Mode::Data, ""),
        file("assets/noise", Mode::Data, noise(5000)),
        file("assets/größe.txt", Mode::Data, "one"),
    ];
    archive::order(&mut entries);
    entries
}

fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(n);
    for _ in 0..n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(state as u8);
    }
    bytes
}

/// Bytes that deflate well.
fn program_like(n: usize) -> Vec<u8> {
    noise(n / 3 + 1).into_iter().flat_map(|byte| [byte % 16, 0, byte]).take(n).collect()
}

fn zip(entries: &[Entry], stamp: Stamp) -> Vec<u8> {
    archive::write(entries, &Options { stamp, ..Options::default() }, Vec::new()).unwrap()
}

fn read(bytes: &[u8]) -> Result<ReadArchive, Error> {
    archive::read("x.zip", Cursor::new(bytes), &Limits::default())
}

/// An error as the user sees it: message, causes, help.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.causes() {
        text += &format!("; caused by: {cause}");
    }
    if let Some(help) = error.help_text() {
        text += &format!("; help: {help}");
    }
    text
}

// -- Reading back ---------------------------------------------------------------------------------

fn as_read(entry: &Entry) -> (String, u32, Kind, Option<Arc<Vec<u8>>>) {
    let name = entry.name.clone();
    match &entry.content {
        Content::Stored(_) => panic!("these are in memory"),
        Content::File(bytes) => (name, entry.mode.bits(), Kind::File, Some(bytes.clone())),
        Content::Link(target) => (name, 0o777, Kind::Link(target.clone()), None),
    }
}

fn seen(entry: &ReadEntry) -> (String, u32, Kind, Option<Arc<Vec<u8>>>) {
    (entry.name.clone(), entry.mode.expect("made by Unix"), entry.kind.clone(), entry.content.clone())
}

#[test]
fn what_is_written_is_read_back() {
    let entries = bundle();
    let found = read(&zip(&entries, Stamp::default())).unwrap();
    assert!(found.unpacked);
    assert_eq!(
        found.entries.iter().map(seen).collect::<Vec<_>>(),
        entries.iter().map(as_read).collect::<Vec<_>>()
    );
    assert_eq!(found.entries[0].name, "bootstrap");
}

#[test]
fn each_file_is_seen_once_on_any_number_of_threads() {
    let entries = bundle();
    let bytes = zip(&entries, Stamp::default());
    for threads in [1, 2, 8] {
        let inputs = vec![Cursor::new(&bytes); threads];
        let is_its = |at: usize, bytes: Vec<u8>| (at, entries[at].content.is(None, &bytes));
        let found = archive::read_each("x.zip", inputs, &Limits::default(), is_its).unwrap();
        let seen: Vec<_> = found.entries.into_iter().map(|entry| entry.content).collect();
        let expected =
            |(at, entry): (usize, &Entry)| (!matches!(entry.content, Content::Link(_))).then_some((at, true));
        assert_eq!(seen, entries.iter().enumerate().map(expected).collect::<Vec<_>>(), "{threads}");
    }
}

#[test]
fn a_content_is_itself_only() {
    let file = Content::File(Arc::new(b"one".to_vec()));
    assert!(file.is(None, b"one") && !file.is(None, b"two") && !file.is(Some("one"), b"one"));
    let link = Content::Link("one".into());
    assert!(link.is(Some("one"), b"") && !link.is(Some("two"), b"") && !link.is(None, b"one"));
    let (_scratch, root) = scratch();
    fs::write(root.join("stored"), "one").unwrap();
    let stored = Content::Stored(disk::stored::stored(&root.join("stored")).unwrap());
    assert!(stored.is(None, b"one") && !stored.is(None, b"two") && !stored.is(Some("one"), b"one"));
}

#[test]
fn stored_files_give_the_bytes_of_files_in_memory() {
    let (_scratch, root) = scratch();
    let mut stored = bundle();
    let many = program_like(3 * archive::CHUNK + 17);
    stored.push(file("zz/many-chunks", Mode::Data, many));
    let in_memory = stored.clone();
    for (at, entry) in stored.iter_mut().enumerate() {
        if let Content::File(bytes) = &entry.content {
            let path = root.join(at.to_string());
            fs::write(&path, &**bytes).unwrap();
            entry.content = Content::Stored(disk::stored::stored(&path).unwrap());
        }
    }
    assert!(zip(&stored, Stamp::default()) == zip(&in_memory, Stamp::default()));
}

#[test]
fn a_stored_file_that_shrank_is_named() {
    let (_scratch, root) = scratch();
    let path = root.join("library");
    fs::write(&path, noise(5000)).unwrap();
    let content = Content::Stored(disk::stored::stored(&path).unwrap());
    fs::write(&path, noise(4999)).unwrap();
    let entries = [Entry { name: "lib/library".into(), mode: Mode::Data, content }];
    let error = archive::write(&entries, &Options::default(), Vec::new()).unwrap_err();
    assert_eq!(
        text(&error),
        format!("`{path}` changed while it was read; help: run it again when nothing writes to it")
    );
}

#[test]
fn no_entries_are_an_archive_too() {
    let found = read(&zip(&[], Stamp::default())).unwrap();
    assert_eq!(found, ReadArchive { entries: Vec::new(), unzipped_bytes: 0, unpacked: true });
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, n)| vec![byte; n]),
    ];
    let name = prop_oneof![Just("bootstrap".to_owned()), "(lib|bin|a)/[a-zé.]{1,6}x"];
    proptest::collection::btree_map(name, (content, any::<bool>()), 0..12).prop_map(|files| {
        let mode = |executable| if executable { Mode::Executable } else { Mode::Data };
        files.into_iter().map(|(name, (bytes, x))| file(&name, mode(x), bytes)).collect()
    })
}

proptest! {
    #[test]
    fn shuffled_input_gives_the_same_bytes(
        (entries, mut shuffled) in any_entries().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
    ) {
        let mut entries = entries;
        archive::order(&mut entries);
        archive::order(&mut shuffled);
        let bytes = zip(&entries, Stamp::default());
        prop_assert_eq!(&bytes, &zip(&shuffled, Stamp::default()));
        check_form(&bytes);
        let found = read(&bytes).unwrap().entries;
        prop_assert_eq!(
            found.iter().map(seen).collect::<Vec<_>>(),
            entries.iter().map(as_read).collect::<Vec<_>>()
        );
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        prefix in any::<bool>(),
    ) {
        if prefix {
            bytes.splice(0..0, *b"PK\x03\x04");
        }
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_archive_is_read_without_a_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = raw_zip(&[Raw::new("bootstrap", b"one"), Raw::new("lib/a", b"two")]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read(&bytes);
    }
}

// -- The bytes themselves -------------------------------------------------------------------------

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Holds an archive to the written form with nothing but APPNOTE's offsets, and returns
/// (name, method, external attributes, date and time) of its entries.
#[track_caller]
fn check_form(bytes: &[u8]) -> Vec<(String, u16, u32, u32)> {
    let end = bytes.len() - 22;
    assert_eq!(&bytes[end..end + 4], b"PK\x05\x06", "an end record without a comment");
    assert_eq!(u32_at(bytes, end + 4), 0, "one disk");
    let n = u16_at(bytes, end + 10);
    assert_eq!(u16_at(bytes, end + 8), n);
    let directory = u32_at(bytes, end + 16) as usize;
    assert_eq!(directory + u32_at(bytes, end + 12) as usize, end);

    let (mut local, mut central) = (0, directory);
    let mut entries = Vec::new();
    for _ in 0..n {
        assert_eq!(&bytes[central..central + 4], b"PK\x01\x02");
        assert_eq!(bytes[central + 5], 3, "made by Unix");
        assert_eq!(u16_at(bytes, central + 30), 0, "no central extra field");
        assert_eq!(u16_at(bytes, central + 32), 0, "no comment");
        assert_eq!(u16_at(bytes, central + 34), 0, "disk");
        assert_eq!(u16_at(bytes, central + 36), 0, "internal attributes");
        let name_length = u16_at(bytes, central + 28) as usize;
        let name = &bytes[central + 46..central + 46 + name_length];
        let flags = u16_at(bytes, central + 8);
        assert_eq!(flags, if name.is_ascii() { 0 } else { 0x0800 }, "no flag but UTF-8 where needed");
        assert_eq!(u32_at(bytes, central + 42) as usize, local, "entries follow each other");

        // Version needed to the lengths of names: the local header repeats the central one.
        assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
        assert_eq!(bytes[local + 4..local + 28], bytes[central + 6..central + 30], "CRC and sizes up front");
        assert_eq!(u16_at(bytes, local + 28), 0, "no local extra field");
        assert_eq!(&bytes[local + 30..local + 30 + name_length], name);

        let method = u16_at(bytes, central + 10);
        let (compressed, size) = (u32_at(bytes, central + 20), u32_at(bytes, central + 24));
        match method {
            0 => assert_eq!(compressed, size),
            8 => assert!(compressed < size, "deflated only where that is smaller"),
            _ => panic!("method {method}"),
        }
        let name = String::from_utf8(name.to_vec()).unwrap();
        entries.push((name, method, u32_at(bytes, central + 38), u32_at(bytes, central + 12)));
        local += 30 + name_length + compressed as usize;
        central += 46 + name_length;
    }
    assert_eq!((local, central), (directory, end), "nothing between the entries");
    entries
}

#[test]
fn headers_have_the_written_form() {
    let entries = check_form(&zip(&bundle(), Stamp::default()));
    let rows: Vec<String> = entries
        .iter()
        .map(|(name, method, attributes, time)| {
            assert_eq!(attributes & 0xffff, 0, "no DOS attributes");
            format!("{name} {method} {:o} {time:#x}", attributes >> 16)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "bootstrap 8 100755 0x210000",
            "assets/empty 0 100644 0x210000",
            "assets/größe.txt 0 100644 0x210000",
            "assets/noise 0 100644 0x210000",
            "lib/libpq.so 0 120777 0x210000",
            "lib/libpq.so.5 8 100755 0x210000",
        ]
    );
}

/// The bytes are part of what a release promises: a change here is a change for every user.
#[test]
fn the_bytes_stay_as_they_are() {
    let digest = Digest::of(&zip(&bundle(), Stamp::default()));
    let expected = match COMPRESSOR.split_once(' ').unwrap().0 {
        "libdeflate" => "522cae04f400dba703cb8677d6405c1900bdad332280490e16834633b6d0c89b",
        "zlib-rs" => "3cbb21b969bdbf0ca52c2264fd432abbc81c83b0c9d18916ab08bde7fd8350da",
        other => panic!("what does {other} make of it?"),
    };
    assert_eq!(digest.hex, expected);
}

#[test]
fn digest_is_written_in_both_ways() {
    let digest = Digest::of(b"abc");
    assert_eq!(digest.hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digest.base64, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), digest);
}

// -- The time -------------------------------------------------------------------------------------

#[test]
fn the_time_is_source_date_epoch_in_utc() {
    #[track_caller]
    fn check(epoch: u64, expected: (u32, u32, u32, u32, u32, u32)) {
        let bytes = zip(&[file("a", Mode::Data, "")], Stamp::from_epoch(epoch).unwrap());
        let raw = check_form(&bytes)[0].3;
        let (time, date) = (raw & 0xffff, raw >> 16);
        let found =
            (1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2);
        assert_eq!(found, expected);
    }
    check(0, (1980, 1, 1, 0, 0, 0));
    check(315_532_799, (1980, 1, 1, 0, 0, 0));
    check(315_532_800, (1980, 1, 1, 0, 0, 0));
    check(315_532_802, (1980, 1, 1, 0, 0, 2));
    check(951_782_400, (2000, 2, 29, 0, 0, 0));
    check(951_868_800, (2000, 3, 1, 0, 0, 0));
    check(1_709_164_799, (2024, 2, 28, 23, 59, 58));
    check(1_709_251_199, (2024, 2, 29, 23, 59, 58));
    check(1_735_689_599, (2024, 12, 31, 23, 59, 58)); // an odd second is rounded down
    check(4_107_542_400, (2100, 3, 1, 0, 0, 0)); // 2100 has no leap day
    check(4_354_819_199, (2107, 12, 31, 23, 59, 58));
}

#[test]
fn a_time_that_dos_cannot_say_is_an_error() {
    for epoch in [4_354_819_200, u64::MAX] {
        let error = Stamp::from_epoch(epoch).unwrap_err();
        assert_eq!(
            text(&error),
            format!("`SOURCE_DATE_EPOCH={epoch}` is after 2107, the last year of a ZIP time")
        );
    }
}

// -- Plans that are no archive --------------------------------------------------------------------

#[test]
fn plans_that_are_no_archive_are_refused() {
    #[track_caller]
    fn check(entries: &[Entry], expected: &str) {
        let error = archive::write(entries, &Options::default(), Vec::new()).unwrap_err();
        assert_eq!(text(&error), expected);
    }
    let data = |name: &str| file(name, Mode::Data, "");
    check(&[data("a"), data("a")], "the bundle has two entries `a`");
    check(
        &[data("lib"), data("lib/a")],
        "the bundle has an entry `lib/a` below `lib`, which is no directory",
    );
    check(&[data("a"), data("bootstrap")], "entries `a` and `bootstrap` are out of order");
    check(&[data("b"), data("a")], "entries `b` and `a` are out of order");
    check(&[data("")], "entry `` has no name");
    check(&[data("/etc/passwd")], "entry `/etc/passwd` has an absolute name");
    check(&[data("lib/../../a")], "entry `lib/../../a` has a name that leaves the archive");
    check(&[data("lib//a")], "entry `lib//a` has a name with an empty part");
    check(&[data("./a")], "entry `./a` has a name with an empty part");
    check(&[data("lib/")], "entry `lib/` has a name with an empty part");
    check(&[data("lib\\a")], "entry `lib\\a` has a backslash in its name");
    check(&[data("c:a")], "entry `c:a` has a name with a drive letter");
    let long = "x".repeat(65_536);
    check(&[data(&long)], "an entry has a name of 65536 bytes, a ZIP archive takes 65535");
    check(&[data("a\0b")], "entry `a\\x00b` has a NUL in its name");
    check(&[link("a", "/lib64/a")], "link `a` leaves the bundle: its target is `/lib64/a`");
    check(&[link("lib/a", "../../a")], "link `lib/a` leaves the bundle: its target is `../../a`");
    check(&[link("lib/a", "")], "link `lib/a` leaves the bundle: its target is ``");
}

#[test]
fn link_targets_are_resolved_by_name() {
    #[track_caller]
    fn check(link: &str, target: &str, expected: Option<&str>) {
        assert_eq!(archive::link_target(link, target).as_deref(), expected);
    }
    check("lib/a", "b", Some("lib/b"));
    check("lib/a", "./b//c", Some("lib/b/c"));
    check("lib/a", "../b", Some("b"));
    check("lib/a", "..", None);
    check("a", "../a", None);
    check("lib/a", "x/../../../lib/b", None);
}

/// Takes `room` bytes and fails for good.
struct Full {
    inner: Cursor<Vec<u8>>,
    room: usize,
    failed: bool,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.failed, "nothing is written after a failure");
        if bytes.len() > self.room {
            self.failed = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= bytes.len();
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[test]
fn a_failed_write_is_not_finished_behind_our_back() {
    let entries = [
        file("bootstrap", Mode::Executable, [b'x'; 200]),
        link("lib/a", "b"),
        file("lib/b", Mode::Data, noise(90)),
    ];
    let mut failures = 0;
    for room in 0.. {
        let mut out = Full { inner: Cursor::new(Vec::new()), room, failed: false };
        match archive::write(&entries, &Options::default(), &mut out) {
            Ok(_) => break,
            Err(error) => {
                assert!(text(&error).contains("caused by: "), "{}", text(&error));
                assert!(read(out.inner.get_ref()).is_err(), "half an archive at {room} bytes");
                failures += 1;
            }
        }
    }
    assert!(failures > 300);
}

// -- Archives of others ---------------------------------------------------------------------------

/// One entry of a hand-made archive, every field free to lie.
#[derive(Clone)]
struct Raw {
    name: Vec<u8>,
    local_name: Vec<u8>,
    flags: u16,
    method: u16,
    local_method: u16,
    system: u8,
    attributes: u32,
    crc: u32,
    size: u32,
    data: Vec<u8>,
    extra: Vec<u8>,
    /// Shares the data of the entry before it.
    shared: bool,
}

impl Raw {
    fn new(name: &str, data: &[u8]) -> Raw {
        Raw {
            name: name.into(),
            local_name: name.into(),
            flags: 0,
            method: 0,
            local_method: 0,
            system: 3,
            attributes: 0o100_644 << 16,
            crc: crc32(data),
            size: data.len() as u32,
            data: data.into(),
            extra: Vec::new(),
            shared: false,
        }
    }

    fn mode(mut self, mode: u32) -> Raw {
        self.attributes = mode << 16;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Raw)) -> Raw {
        change(&mut self);
        self
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn raw_zip(entries: &[Raw]) -> Vec<u8> {
    raw_zip_counted(entries, entries.len() as u16)
}

fn raw_zip_counted(entries: &[Raw], n: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut central = Vec::new();
    let mut start = 0;
    for entry in entries {
        let common = |method: u16, name: &[u8]| {
            let mut fields = Vec::new();
            fields.extend([20, entry.flags, method, 0, 0x21].iter().flat_map(|n| n.to_le_bytes()));
            let sizes = [entry.crc, entry.data.len() as u32, entry.size];
            fields.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
            fields.extend((name.len() as u16).to_le_bytes());
            fields.extend((entry.extra.len() as u16).to_le_bytes());
            fields
        };
        if !entry.shared {
            start = bytes.len() as u32;
            bytes.extend(b"PK\x03\x04");
            bytes.extend(common(entry.local_method, &entry.local_name));
            bytes.extend(&entry.local_name);
            bytes.extend(&entry.extra);
            bytes.extend(&entry.data);
        }
        central.extend(b"PK\x01\x02");
        central.extend([20, entry.system]);
        central.extend(common(entry.method, &entry.name));
        central.extend([0; 6]);
        central.extend(entry.attributes.to_le_bytes());
        central.extend(start.to_le_bytes());
        central.extend(&entry.name);
        central.extend(&entry.extra);
    }
    let directory = bytes.len() as u32;
    bytes.extend(&central);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([n, n].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([central.len() as u32, directory].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}

#[test]
fn archives_of_others_are_read() {
    #[track_caller]
    fn check(bytes: &[u8], expected: &[&str]) {
        let found = read(bytes).unwrap_or_else(|error| panic!("{}", text(&error)));
        let rows: Vec<String> = found
            .entries
            .iter()
            .map(|entry| {
                let mode = entry.mode.map_or("-".to_owned(), |mode| format!("{mode:o}"));
                format!("{} {mode} {:?} {}", entry.name, entry.kind, entry.size)
            })
            .collect();
        assert_eq!(rows, expected);
    }
    let one = |raw: Raw| raw_zip(&[raw]);
    check(&one(Raw::new("a", b"one")), &["a 644 File 3"]);
    check(&one(Raw::new("./lib//a", b"")), &["lib/a 644 File 0"]);
    check(&one(Raw::new("./", b"").mode(0o40_755)), &[]);
    check(&one(Raw::new("lib/", b"").mode(0o40_755)), &["lib 755 Directory 0"]);
    check(&one(Raw::new("lib", b"").mode(0o40_755)), &["lib 755 Directory 0"]);
    check(&one(Raw::new("a", b"../x").mode(0o120_777)), &["a 777 Link(\"../x\") 4"]);
    // Python's writestr with a bare ZipInfo.
    check(&one(Raw::new("a", b"").with(|raw| raw.attributes = 0)), &["a 0 File 0"]);
    check(&one(Raw::new("a", b"").with(|raw| raw.system = 0)), &["a - File 0"]);
    // Windows: the DOS directory bit, no Unix mode.
    check(
        &one(Raw::new("lib", b"").with(|raw| (raw.system, raw.attributes) = (0, 0x10))),
        &["lib - Directory 0"],
    );
    check(&one(Raw::new("größe", b"")), &["größe 644 File 0"]);
    // A self-extracting archive: bytes in front that the offsets do not count.
    check(&[b"#!/bin/sh\n".to_vec(), one(Raw::new("a", b"x"))].concat(), &["a 644 File 1"]);
    check(
        &raw_zip(&[Raw::new("lib/", b"").mode(0o40_755), Raw::new("lib/a", b"")]),
        &["lib 755 Directory 0", "lib/a 644 File 0"],
    );
}

#[test]
fn hostile_archives_are_refused_by_the_name_of_the_entry() {
    #[track_caller]
    fn check(entries: &[Raw], expected: &str) {
        assert_eq!(text(&read(&raw_zip(entries)).unwrap_err()), expected);
    }
    #[track_caller]
    fn name(name: &str, expected: &str) {
        check(
            &[Raw::new(name, b"")],
            &format!("`x.zip`: entry `{}` {expected}", name.replace('\0', "\\x00")),
        );
    }
    name("../a", "has a name that leaves the archive");
    name("lib/../../a", "has a name that leaves the archive");
    name("/etc/passwd", "has an absolute name");
    name("C:/a", "has a name with a drive letter");
    name("C:a", "has a name with a drive letter");
    name("..\\a", "has a backslash in its name");
    name("lib\\a", "has a backslash in its name");
    name("a\0.so", "has a NUL in its name");
    name("", "has no name");
    name(".", "has no name");
    check(
        &[Raw::new("a\x1b[2J/..", b"")],
        "`x.zip`: entry `a\\x1b[2J/..` has a name that leaves the archive",
    );

    let a = || Raw::new("a", b"one");
    check(&[a(), a()], "`x.zip` has two entries `a`");
    check(&[a(), Raw::new("./a", b"two")], "`x.zip` has two entries `a`");
    check(&[a(), Raw::new("a/", b"").mode(0o40_755)], "`x.zip` has two entries `a`");
    check(
        &[Raw::new("lib", b"/etc").mode(0o120_777), Raw::new("lib/a", b"")],
        "`x.zip` has an entry `lib/a` below `lib`, which is no directory",
    );
    check(&[a().with(|raw| raw.flags = 1)], "`x.zip`: entry `a` is encrypted");
    check(&[a().with(|raw| raw.flags = 0x41)], "`x.zip`: entry `a` is encrypted");
    check(
        &[a().with(|raw| (raw.method, raw.local_method) = (93, 93))],
        "`x.zip`: entry `a` uses compression method 93 (zstd); only stored and deflate are read",
    );
    check(
        &[a().with(|raw| (raw.method, raw.local_method) = (77, 77))],
        "`x.zip`: entry `a` uses compression method 77; only stored and deflate are read",
    );
    let local = "`x.zip`: entry `a` has a local header that says other than the directory";
    check(&[a().with(|raw| raw.local_name = b"b".into())], local);
    check(&[a().with(|raw| raw.local_name = b"ab".into())], local);
    check(&[a().with(|raw| raw.local_method = 8)], local);
    for at in 14..26 {
        let mut bytes = raw_zip(&[a()]);
        bytes[at] ^= 1;
        assert_eq!(text(&read(&bytes).unwrap_err()), local, "byte {at}: a size or the checksum");
    }
    check(&[a().mode(0o20_666)], "`x.zip`: entry `a` is neither a file, a directory nor a link");
    check(&[a().mode(0o10_666)], "`x.zip`: entry `a` is neither a file, a directory nor a link");
    check(
        &[a().with(|raw| raw.crc ^= 1)],
        "`x.zip`: entry `a` cannot be unpacked; caused by: Invalid checksum",
    );
    check(&[a().with(|raw| raw.size = 4)], "`x.zip`: entry `a` has 3 bytes but declares 4");
    check(
        &[a().with(|raw| raw.size = 2)],
        "`x.zip`: entry `a` cannot be unpacked; caused by: File is larger than its declared uncompressed size",
    );
    check(
        &[a().with(|raw| (raw.method, raw.local_method, raw.data) = (8, 8, vec![0xff; 9]))],
        "`x.zip`: entry `a` cannot be unpacked; caused by: corrupt deflate stream",
    );
    let unicode_path = [&[0x75, 0x70, 6, 0, 1][..], &crc32(b"a").to_le_bytes(), b"b"].concat();
    check(&[a().with(|raw| raw.extra = unicode_path)], "`x.zip`: entry `b` has a second name, `a`");
    check(&[Raw::new("a", b"").mode(0o120_777)], "`x.zip`: entry `a` is a link with a target of 0 bytes");
    check(
        &[Raw::new("a", &[b'x'; 5000]).mode(0o120_777)],
        "`x.zip`: entry `a` is a link with a target of 5000 bytes",
    );
    check(
        &[Raw::new("a", b"\xff").mode(0o120_777)],
        "`x.zip`: entry `a` is a link whose target is not UTF-8",
    );
    check(&[Raw::new("a", b"b\0c").mode(0o120_777)], "`x.zip`: entry `a` is a link whose target has a NUL");
    check(
        &[a(), Raw::new("b", b"one").with(|raw| raw.shared = true)],
        "`x.zip` has entries whose data overlap",
    );
}

#[test]
fn a_directory_that_counts_wrong_is_refused() {
    let bytes = raw_zip_counted(&[Raw::new("a", b""), Raw::new("b", b"")], 1);
    assert_eq!(text(&read(&bytes).unwrap_err()), "`x.zip` has a directory of 2 entries that counts 1");
}

#[test]
fn a_zip64_directory_is_refused() {
    let mut bytes = raw_zip(&[Raw::new("a", b"")]);
    let end = bytes.len() - 22;
    bytes.splice(end..end, [b"PK\x06\x07".to_vec(), vec![0; 16]].concat());
    let error = read(&bytes).unwrap_err();
    assert_eq!(text(&error), "`x.zip` has a ZIP64 directory, for more than Lambda takes");
}

#[test]
fn files_that_are_no_zip_are_called_what_they_are() {
    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(text(&read(bytes).unwrap_err()), expected);
    }
    check(b"", "`x.zip` is not a ZIP archive: it is empty");
    check(
        b"\x7fELF\x02\x01\x01",
        "`x.zip` is not a ZIP archive: it is an ELF file; \
         help: look at a program with `cargo lambda-bundle check --binary x.zip`",
    );
    check(b"\x1f\x8b\x08", "`x.zip` is not a ZIP archive: it is gzip data, as in a .tar.gz");
    check(b"#!/bin/sh\n", "`x.zip` is not a ZIP archive: it is a script");
    check(b"hello", "`x.zip` is not a ZIP archive: it does not begin like one");
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    check(&tar, "`x.zip` is not a ZIP archive: it is a tar archive");
    let whole = zip(&bundle(), Stamp::default());
    check(&whole[..whole.len() - 30], "`x.zip` is not a whole ZIP archive; caused by: Could not find EOCD");
}

#[test]
fn an_archive_over_the_limit_is_listed_but_not_unpacked() {
    let bytes = zip(&bundle(), Stamp::default());
    let total = read(&bytes).unwrap().unzipped_bytes;
    let at = |unzipped_bytes| {
        archive::read("x.zip", Cursor::new(&bytes), &Limits { unzipped_bytes, ..Limits::default() }).unwrap()
    };
    assert!(at(total).unpacked);
    let over = at(total - 1);
    assert!(!over.unpacked);
    assert_eq!(over.unzipped_bytes, total);
    assert!(over.entries.iter().all(|entry| entry.content.is_none()));
    assert!(over.entries.iter().any(|entry| entry.kind == Kind::Link("libpq.so.5".into())));

    let limits = Limits { entries: 5, ..Limits::default() };
    let error = archive::read("x.zip", Cursor::new(&bytes), &limits).unwrap_err();
    assert_eq!(text(&error), "`x.zip` has 6 entries, more than the 5 we read");
}

#[test]
fn sizes_that_only_claim_to_be_large_are_not_believed() {
    let huge = |name| Raw::new(name, b"x").with(|raw| raw.size = u32::MAX - 1);
    let found = read(&raw_zip(&[huge("a"), huge("b")])).unwrap();
    assert_eq!(found.unzipped_bytes, 2 * u64::from(u32::MAX - 1));
    assert!(!found.unpacked);
    let claim = Raw::new("a", b"x").with(|raw| raw.size = 262_144_000);
    assert_eq!(
        text(&read(&raw_zip(&[claim])).unwrap_err()),
        "`x.zip`: entry `a` has 1 byte but declares 262144000"
    );
}

// -- Real tools -----------------------------------------------------------------------------------

/// Whether `tool` is here. Without it a test is skipped, and in CI it fails.
fn have(test: &str, tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return true;
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} needs {tool}");
    eprintln!("skipped: {test} needs {tool}");
    false
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} says {}: {text}", output.status);
    text
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    (directory, path)
}

#[test]
fn real_readers_take_the_archive() {
    let (_scratch, root) = scratch();
    let path = root.join("bootstrap.zip");
    fs::write(&path, zip(&bundle(), Stamp::default())).unwrap();
    let test = "real_readers_take_the_archive";

    if have(test, "unzip") {
        assert!(run(Command::new("unzip").args(["-t", path.as_str()])).contains("No errors detected"));
        let list = run(Command::new("unzip").args(["-l", path.as_str()]));
        assert!(list.contains("1980-01-01 00:00   bootstrap"), "{list}");
        let out = root.join("out");
        run(Command::new("unzip").args(["-q", path.as_str(), "-d", out.as_str()]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |name| fs::symlink_metadata(out.join(name)).unwrap().permissions().mode();
            assert_eq!(mode("bootstrap"), 0o100_755);
            assert_eq!(mode("assets/noise"), 0o100_644);
            assert_eq!(fs::read_link(out.join("lib/libpq.so")).unwrap().to_str(), Some("libpq.so.5"));
        }
        assert_eq!(fs::read(out.join("assets/noise")).unwrap(), noise(5000));
    }
    if have(test, "zipinfo") {
        let info = run(Command::new("zipinfo").args(["-v", path.as_str()]));
        let count = |needle: &str| info.lines().filter(|line| line.contains(needle)).count();
        assert_eq!(count("file system or operating system of origin:      Unix"), 6, "{info}");
        assert_eq!(count("extended local header:                          no"), 6, "{info}");
        assert_eq!(count("length of extra field:                          0 bytes"), 6, "{info}");
        assert_eq!(count("(100755 octal)"), 2, "{info}");
        assert_eq!(count("(100644 octal)"), 3, "{info}");
        assert_eq!(count("(120777 octal)"), 1, "{info}");
    }
    if have(test, "python3") {
        let said = run(Command::new("python3").args(["-m", "zipfile", "-t", path.as_str()]));
        assert!(said.contains("Done testing") && !said.contains("corrupt"), "{said}");
    }
    if have(test, "7z") {
        assert!(run(Command::new("7z").args(["t", path.as_str()])).contains("Everything is Ok"));
    }
}

#[test]
fn archives_of_real_writers_are_read() {
    let (_scratch, root) = scratch();
    let test = "archives_of_real_writers_are_read";
    fs::create_dir(root.join("lib")).unwrap();
    fs::write(root.join("bootstrap"), b"boot".repeat(1000)).unwrap();
    fs::write(root.join("lib/a.so"), b"lib".repeat(1000)).unwrap();
    #[track_caller]
    fn check(path: &Utf8Path) {
        let found = archive::read(path.as_str(), fs::File::open(path).unwrap(), &Limits::default())
            .unwrap_or_else(|error| panic!("{}", text(&error)));
        let files: Vec<_> = found
            .entries
            .iter()
            .filter(|entry| entry.kind == Kind::File && !entry.name.starts_with("META-INF/"))
            .map(|entry| (entry.name.as_str(), entry.content.as_ref().unwrap().len()))
            .collect();
        assert_eq!(files, [("bootstrap", 4000), ("lib/a.so", 3000)]);
    }
    let shell = |script: &str| run(Command::new("sh").args(["-ec", script]).current_dir(&root));
    if have(test, "zip") {
        shell("zip -q -r zip.zip bootstrap lib && zip -q -r - ./bootstrap ./lib | cat > stream.zip");
        check(&root.join("zip.zip"));
        check(&root.join("stream.zip")); // data descriptors and ZIP64 extra fields
    }
    if have(test, "python3") {
        shell("python3 -m zipfile -c python.zip bootstrap lib");
        check(&root.join("python.zip"));
    }
    if have(test, "7z") {
        shell("7z a -tzip 7z.zip bootstrap lib >7z.log && 7z a -tzip -mm=LZMA lzma.zip bootstrap >7z.log");
        check(&root.join("7z.zip"));
        let error =
            archive::read("lzma.zip", fs::File::open(root.join("lzma.zip")).unwrap(), &Limits::default())
                .unwrap_err();
        assert!(
            text(&error).contains("entry `bootstrap` uses compression method 14 (LZMA)"),
            "{}",
            text(&error)
        );
    }
}

// -- One file, whole or as it was -----------------------------------------------------------------

fn put(bytes: &'static [u8]) -> impl FnOnce(&mut fs::File) -> Result<(), Error> {
    move |file| file.write_all(bytes).map_err(|cause| Error::new("could not write the entry").because(cause))
}

fn fine(_: &Utf8Path) -> Result<bool, Error> {
    Ok(true)
}

fn names(directory: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> =
        directory.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_with_its_directories_and_read_back() {
    let (_scratch, root) = scratch();
    let path = root.join("a/b/x.zip");
    for bytes in [&b"one"[..], b"two"] {
        let placed = replace(&path, put(bytes), |written| {
            assert_eq!(fs::read(written).unwrap(), bytes);
            Ok(true)
        });
        assert!(placed.unwrap());
        assert_eq!(disk::read(&path).unwrap(), bytes);
        assert_eq!(names(path.parent().unwrap()), ["x.zip"]);
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    #[track_caller]
    fn check(
        fill: impl FnOnce(&mut fs::File) -> Result<(), Error>,
        test: impl FnOnce(&Utf8Path) -> Result<bool, Error>,
        cause: &str,
    ) {
        let (_scratch, root) = scratch();
        let path = root.join("x.zip");
        fs::write(&path, "old").unwrap();
        let error = replace(&path, fill, test).unwrap_err();
        assert_eq!(text(&error), format!("could not write `{path}`; caused by: {cause}; help: try again"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&root), ["x.zip"]);
    }
    fn failure(file: &mut fs::File) -> Result<(), Error> {
        let _ = file.write_all(b"half");
        Err(Error::new("it broke").help("try again"))
    }
    check(failure, fine, "it broke");
    check(put(b"new"), |_| Err(Error::new("it broke").help("try again")), "it broke");
}

#[test]
fn what_is_not_wanted_leaves_no_trace() {
    let (_scratch, root) = scratch();
    let path = root.join("new/x.zip");
    assert!(!replace(&path, put(b"new"), |_| Ok(false)).unwrap());
    assert_eq!(names(&root), Vec::<String>::new());
    fs::write(root.join("x.zip"), "old").unwrap();
    assert!(!replace(&root.join("x.zip"), put(b"new"), |_| Ok(false)).unwrap());
    assert_eq!(names(&root), ["x.zip"]);
    assert_eq!(fs::read(root.join("x.zip")).unwrap(), b"old");
}

#[test]
fn directories_made_for_a_failed_write_are_removed() {
    let (_scratch, root) = scratch();
    fs::create_dir(root.join("kept")).unwrap();
    replace(&root.join("kept/new/deep/x.zip"), |_| Err(Error::new("it broke")), fine).unwrap_err();
    assert_eq!(names(&root), ["kept"]);
    assert_eq!(names(&root.join("kept")), Vec::<String>::new());
    let panicked =
        std::panic::catch_unwind(|| replace(&root.join("kept/new/x.zip"), |_| panic!("a bug"), fine));
    assert!(panicked.is_err());
    assert_eq!(names(&root.join("kept")), Vec::<String>::new());
}

#[test]
fn places_that_take_no_file_are_named() {
    let (_scratch, root) = scratch();
    #[track_caller]
    fn check(path: &Utf8Path, expected: &str) {
        let error = replace(path, put(b"new"), fine).unwrap_err();
        assert!(text(&error).starts_with(&format!("could not write `{path}`{expected}")), "{}", text(&error));
    }
    fs::write(root.join("file"), "old").unwrap();
    check(&root, &format!(": it is a directory; help: name a file in it: `-o {root}/bootstrap.zip`"));
    check(
        &root.join("file/below/x.zip"),
        &format!("; caused by: could not make the directory `{root}/file/below`; caused by: "),
    );
    check(&root.join("file/x.zip"), "; caused by: ");
    check(Utf8Path::new("/"), ": it is a directory");
    check(Utf8Path::new(""), ": it names no file");
    #[cfg(unix)]
    {
        let socket = root.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        check(&socket, ": it is not a regular file");
        fs::remove_file(socket).unwrap();
    }
    if cfg!(target_os = "linux") {
        check(
            Utf8Path::new("/proc/nothing/x.zip"),
            "; caused by: could not make the directory `/proc/nothing`",
        );
    }
    assert_eq!(names(&root), ["file"]);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"old");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let test = "a_full_disk_leaves_the_old_file";
    let (_scratch, root) = scratch();
    let mount = |command: &str, args: &[&str]| {
        Command::new(command)
            .args(args)
            .arg(&root)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} needs mount");
        eprintln!("skipped: {test} needs the right to mount a tmpfs");
        return;
    }
    let path = root.join("x.zip");
    fs::write(&path, "old").unwrap();
    let big = [file("bootstrap", Mode::Executable, noise(200_000))];
    let error = replace(&path, |file| archive::write(&big, &Options::default(), file).map(drop), fine);
    let (old, left) = (fs::read(&path), names(&root));
    assert!(mount("umount", &[]));
    let error = text(&error.unwrap_err());
    assert!(error.contains("could not write entry `bootstrap`; caused by: No space left"), "{error}");
    assert_eq!(old.unwrap(), b"old");
    assert_eq!(left, ["x.zip"]);
}

#[cfg(unix)]
#[test]
fn the_mode_is_0644_whatever_the_old_file_had() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_scratch, root) = scratch();
    let path = root.join("x.zip");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    replace(&path, put(b"new"), fine).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o133, 0, "{mode:o}");
}

#[test]
fn two_writers_at_once_do_not_meet() {
    let (_scratch, root) = scratch();
    let path = root.join("x.zip");
    std::thread::scope(|scope| {
        for bytes in [&b"one"[..], b"two", b"six"] {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    replace(path, put(bytes), fine).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&root), ["x.zip"]);
    assert_eq!(fs::read(&path).unwrap().len(), 3);
}

#[test]
fn only_regular_files_are_read() {
    let (_scratch, root) = scratch();
    #[track_caller]
    fn check(path: &Utf8Path, expected: &str) {
        assert_eq!(text(&disk::read(path).unwrap_err()), format!("`{path}` {expected}"));
    }
    check(&root.join("nothing"), "does not exist");
    check(&root, "is a directory");
    #[cfg(unix)]
    {
        let socket = root.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        check(&socket, "is not a regular file");
        fs::remove_file(socket).unwrap();
    }
    fs::write(root.join("file"), "x").unwrap();
    assert_eq!(disk::read(&root.join("file")).unwrap(), b"x");
    let below = text(&disk::read(&root.join("file/below")).unwrap_err());
    assert!(below.starts_with(&format!("could not read `{root}/file/below`; caused by: ")), "{below}");
}

#[test]
fn a_file_that_is_written_to_while_it_is_read_is_no_mixture() {
    let (_dir, path) = scratch();
    let path = path.join("growing");
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(20 << 20).unwrap();
    file.seek(std::io::SeekFrom::End(0)).unwrap();
    assert_eq!(disk::read(&path).unwrap().len(), 20 << 20);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
            }
        });
        // Between two reads it may rest, during all of them it does not.
        let refused = (0..100).find_map(|_| disk::read(&path).err());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let expected =
            format!("`{path}` changed while it was read; help: run it again when nothing writes to it");
        assert_eq!(refused.map(|error| text(&error)), Some(expected));
    });
}
