//! What is written: its form, its bytes, its digest and its time; and read back.

use std::fs;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::Arc;

use cargo_lambda_bundle::archive::{
    self, COMPRESSOR, Content, Digest, Entry, Kind, Limits, Mode, Options, ReadArchive, ReadEntry, Timestamp,
};
use cargo_lambda_bundle::disk;
use proptest::prelude::*;

use super::{Raw, bundle, file, link, noise, program_like, raw_zip, read, scratch, text, zip};

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
    let found = read(&zip(&entries, Timestamp::default())).unwrap();
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
    let bytes = zip(&entries, Timestamp::default());
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
    assert!(zip(&stored, Timestamp::default()) == zip(&in_memory, Timestamp::default()));
}

#[test]
fn any_part_of_a_stored_file_is_read() {
    let (_scratch, root) = scratch();
    let bytes = program_like(3 * archive::CHUNK + 17);
    fs::write(root.join("program"), &bytes).unwrap();
    let stored = Content::Stored(disk::stored::stored(&root.join("program")).unwrap());
    let (chunk, end) = (archive::CHUNK, bytes.len());
    for range in [0..end, 0..0, 0..chunk, chunk..end, 2 * chunk..end, 3 * chunk..end, end..end, 5..chunk + 5]
    {
        let read = stored.read(range.start as u64..range.end as u64).unwrap();
        assert!(*read == bytes[range.clone()], "{range:?}");
    }
}

/// The time of a file does not tell of every change: a clock's tick lasts milliseconds.
#[test]
fn a_chunk_that_changed_is_refused_whatever_the_time_of_the_file_says() {
    let (_scratch, root) = scratch();
    let path = root.join("program");
    let mut bytes = program_like(2 * archive::CHUNK);
    fs::write(&path, &bytes).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let content = Content::Stored(disk::stored::stored(&path).unwrap());
    bytes[archive::CHUNK + 9] ^= 1;
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    file.set_modified(modified).unwrap();
    let entries = [Entry { name: "bootstrap".into(), mode: Mode::Executable, content }];
    let error = archive::write(&entries, &Options::default(), Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{path}` changed while it was read"));

    fs::remove_file(&path).unwrap();
    let error = archive::write(&entries, &Options::default(), Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{path}` does not exist"));
    assert_eq!(error.help_text(), Some("run it again when nothing writes to it"));
}

#[test]
fn a_stream_that_archives_share_is_that_of_one_archive() {
    let streams = archive::Streams::default();
    let shared = file("lib/shared", Mode::Data, program_like(archive::CHUNK + 5));
    for at in 0..4_u8 {
        let own = file("bootstrap", Mode::Executable, vec![at; 3000]);
        let entries = [own, file("lib/empty", Mode::Data, Vec::new()), shared.clone()];
        let (together, _) = archive::write_with(&entries, &Options::default(), &streams, Vec::new()).unwrap();
        assert!(together == zip(&entries, Timestamp::default()), "{at}");
        let fast = Options { compression: archive::Compression::Fast, ..Options::default() };
        let (fast_together, _) = archive::write_with(&entries, &fast, &streams, Vec::new()).unwrap();
        assert!(fast_together == archive::write(&entries, &fast, Vec::new()).unwrap(), "{at}, fast");
    }
}

#[test]
fn an_archive_that_was_written_is_known_by_its_directory() {
    let entries = bundle();
    let streams = archive::Streams::default();
    let (bytes, written) = archive::write_with(&entries, &Options::default(), &streams, Vec::new()).unwrap();
    let read = |bytes: &[u8]| {
        archive::read_written("x.zip", Cursor::new(bytes), &written, |at| Ok(entries[at].name.clone()))
    };
    let found = read(&bytes).unwrap().unwrap();
    assert_eq!(
        found.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>()
    );
    for other in [
        zip(&entries[1..], Timestamp::default()),
        zip(&[&entries[..], &[file("zzz", Mode::Data, Vec::new())]].concat(), Timestamp::default()),
        archive::write(
            &entries,
            &Options { compression: archive::Compression::Fast, ..Options::default() },
            Vec::new(),
        )
        .unwrap(),
        [b"#!", &bytes[..]].concat(),
    ] {
        assert!(read(&other).unwrap().is_none());
    }
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
    let found = read(&zip(&[], Timestamp::default())).unwrap();
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
        let bytes = zip(&entries, Timestamp::default());
        prop_assert_eq!(&bytes, &zip(&shuffled, Timestamp::default()));
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
    let entries = check_form(&zip(&bundle(), Timestamp::default()));
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
    let digest = Digest::of(&zip(&bundle(), Timestamp::default()));
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
        let bytes = zip(&[file("a", Mode::Data, "")], Timestamp::from_epoch(epoch).unwrap());
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
        let error = Timestamp::from_epoch(epoch).unwrap_err();
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
        "the bundle has an entry `lib/a` below `lib`, which is not a directory",
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
