//! Archives of others, and hostile ones.

use std::io::Cursor;

use cargo_lambda_bundle::archive::{self, Kind, Limits, Timestamp};

use super::{Raw, bundle, crc32, raw_zip, raw_zip_counted, read, text, zip};

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
    check(&one(Raw::new("a", b"").with(|raw| raw.attributes = 0)), &["a - File 0"]);
    // A file without any right has its type.
    check(&one(Raw::new("a", b"").mode(0o100_000)), &["a 0 File 0"]);
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
        let said = text(&read(&raw_zip(entries)).unwrap_err());
        // The next steps have tests of their own.
        assert_eq!(said.split("; help: ").next().unwrap(), expected);
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
        "`x.zip` has an entry `lib/a` below `lib`, which is not a directory",
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
    let local = "`x.zip`: entry `a` has a local header that contradicts the directory";
    check(&[a().with(|raw| raw.local_name = b"b".into())], local);
    check(&[a().with(|raw| raw.local_name = b"ab".into())], local);
    check(&[a().with(|raw| raw.local_method = 8)], local);
    for at in 14..26 {
        let mut bytes = raw_zip(&[a()]);
        bytes[at] ^= 1;
        let said = text(&read(&bytes).unwrap_err());
        assert!(said.starts_with(local), "byte {at}, a size or the checksum: {said}");
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
    let said = text(&error);
    assert!(said.starts_with("`x.zip` has a ZIP64 directory, for more than Lambda takes; help: "), "{said}");
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
    let unpack = "; help: Lambda takes ZIP files only: unpack it and zip its contents";
    check(
        b"\x1f\x8b\x08",
        &format!("`x.zip` is not a ZIP archive: it is gzip data, as in a .tar.gz{unpack}"),
    );
    check(b"#!/bin/sh\n", "`x.zip` is not a ZIP archive: it is a script");
    check(b"hello", "`x.zip` is not a ZIP archive: it does not begin like one");
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    check(&tar, &format!("`x.zip` is not a ZIP archive: it is a tar archive{unpack}"));
    let whole = zip(&bundle(), Timestamp::default());
    check(
        &whole[..whole.len() - 30],
        "`x.zip` is a truncated or damaged ZIP archive; \
         caused by: it has no end-of-central-directory record",
    );
}

#[test]
fn an_archive_over_the_limit_is_listed_but_not_unpacked() {
    let bytes = zip(&bundle(), Timestamp::default());
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
    assert_eq!(text(&error), "`x.zip` has 6 entries, more than the 5 that are read");
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
