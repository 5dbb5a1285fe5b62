//! Compressed entries: chunks that make one stream, on any number of threads.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use crate::support::tools;
use cargo_lambda_bundle::archive::{
    self, CHUNK, COMPRESSOR, Compression, Content, Digest, Entry, Limits, Mode, Options, ReadEntry,
};
use proptest::prelude::*;

const ALL: [Compression; 3] = [Compression::Fast, Compression::Default, Compression::Best];

fn file(name: impl Into<String>, bytes: Vec<u8>) -> Entry {
    Entry { name: name.into(), mode: Mode::Data, content: Content::File(Arc::new(bytes)) }
}

fn zip(entries: &[Entry], compression: Compression, threads: usize) -> Vec<u8> {
    let threads = NonZeroUsize::new(threads).unwrap();
    archive::write(entries, &Options { compression, threads, ..Options::default() }, Vec::new()).unwrap()
}

/// The entries of an archive, inflated by `zip`'s reader, which checks sizes and CRCs.
fn read(zip: &[u8]) -> Vec<ReadEntry> {
    archive::read("x.zip", Cursor::new(zip), &Limits::default()).unwrap().entries
}

#[track_caller]
fn check_round_trip(entries: &[Entry], zip: &[u8]) {
    let found = read(zip);
    assert_eq!(found.len(), entries.len());
    for (found, written) in found.iter().zip(entries) {
        let Content::File(bytes) = &written.content else { panic!("only files here") };
        assert_eq!(found.name, written.name);
        assert!(found.content.as_ref() == Some(bytes), "{} is another", found.name);
        assert!(found.compressed_size <= found.size, "{} grew", found.name);
    }
}

/// Bytes with the repetitions and the skew of a program: of every byte some, of some bytes many.
fn program(n: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(n + 64);
    while bytes.len() < n {
        let word = random();
        let back = word as usize >> 40;
        match word % 4 {
            0 if back < bytes.len() => {
                let start = bytes.len() - back - 1;
                let end = (start + 3 + (word >> 8) as usize % 60).min(bytes.len());
                bytes.extend_from_within(start..end);
            }
            1 => bytes.extend_from_slice(&[0; 5]),
            // A geometric distribution has codes of every length.
            _ => bytes.push((word >> 32).trailing_zeros() as u8 * 7 + (word >> 8) as u8 % 8),
        }
    }
    bytes.truncate(n);
    bytes
}

fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..n).map(|_| next()).collect()
}

/// Sizes around the ends of chunks, of what shrinks well, fairly, and not at all.
static EDGES: LazyLock<[Vec<Entry>; 3]> = LazyLock::new(|| ALL.map(edges));

fn edges(compression: Compression) -> Vec<Entry> {
    let mut sizes = vec![0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 4097];
    // It takes half a second for each chunk of a program.
    if compression == Compression::Best && tools::takes_a_part("sizes for the slowest compression") {
        sizes = vec![0, 1, CHUNK + 1];
    }
    let longest = program(2 * CHUNK + 4097);
    let edge = |n| file(format!("program/{n:08}"), longest[..n].to_vec());
    let mut entries = vec![file("noise/1", noise(1)), file("noise/more", noise(CHUNK + 1))];
    entries.extend(sizes.into_iter().map(edge));
    entries.push(file("zeros", vec![0; CHUNK + 1]));
    entries
}

/// The archives of [`EDGES`] on two threads.
static ON_TWO_THREADS: LazyLock<[Vec<u8>; 3]> =
    LazyLock::new(|| [0, 1, 2].map(|at| zip(&EDGES[at], ALL[at], 2)));

#[test]
fn chunk_edges_are_read_back() {
    for (entries, zip) in EDGES.iter().zip(&*ON_TWO_THREADS) {
        check_round_trip(entries, zip);
    }
}

#[test]
fn what_does_not_shrink_is_stored() {
    for entry in read(&ON_TWO_THREADS[1]) {
        let shrinks = entry.size > 1 && !entry.name.starts_with("noise");
        assert_eq!(entry.compressed_size < entry.size, shrinks, "{}", entry.name);
    }
}

#[test]
fn the_bytes_are_the_same_on_any_number_of_threads() {
    for ((compression, entries), on_two) in ALL.into_iter().zip(&*EDGES).zip(&*ON_TWO_THREADS) {
        let all =
            compression != Compression::Best || !tools::takes_a_part("threads of the slowest compression");
        for threads in if all { &[1, 8][..] } else { &[8] } {
            assert!(zip(entries, compression, *threads) == *on_two, "{compression:?} on {threads} threads");
        }
    }
}

/// The bytes are part of what a release promises, on every host: a change here is one for every user.
#[test]
fn the_bytes_of_each_compressor_stay_as_they_are() {
    let entries = [file("noise", noise(CHUNK + 9)), file("program", program(CHUNK + CHUNK / 4))];
    let found = ALL.map(|compression| Digest::of(&zip(&entries, compression, 2)).hex);
    let expected = match COMPRESSOR.split_once(' ').unwrap().0 {
        "libdeflate" => [
            "2d05e86996cf21969fa71fc346592ada0bfcde3cd5f65ba01261b94e89a7ec4f",
            "546e3af21e8412427f998ae2410bad8a60a39c4c4372472976e4f5d66d17df20",
            "732ebb2737d41a16a8de323c5e69480ae3676bcad31d6e5408b3847c0d0882e2",
        ],
        // Its highest level is the default.
        "zlib-rs" => [
            "f5732c09a7ee06dcee722d6a9e570b405f9523520cc6244c171eff47fe800740",
            "2355f0a3b3226d671774261563eafb0a3e3b35accf2f13752a64593480c32cb7",
            "2355f0a3b3226d671774261563eafb0a3e3b35accf2f13752a64593480c32cb7",
        ],
        other => panic!("what does {other} make of it?"),
    };
    assert_eq!(found, expected);
}

#[test]
fn more_effort_makes_smaller_archives() {
    let mut bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.truncate(CHUNK + CHUNK / 2);
    let entries = [file("program", bytes)];
    let [fast, default, best] = ALL.map(|compression| zip(&entries, compression, 2).len());
    assert!(fast > default && default >= best, "{fast} {default} {best}");
}

#[test]
fn the_named_compressor_is_the_one_in_the_lock_file() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let (name, version) = COMPRESSOR.split_once(' ').unwrap();
    let package = if name == "libdeflate" { "libdeflate-sys" } else { name };
    assert!(lock.contains(&format!("name = \"{package}\"\nversion = \"{version}\"\n")), "{COMPRESSOR}");
}

#[test]
fn real_readers_inflate_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.zip");
    fs::write(&path, &ON_TWO_THREADS[1]).unwrap();
    let readers: [(&str, &str, &[&str]); 5] = [
        ("unzip", "unzip", &["-tqq"]),
        ("zipinfo", "unzip", &["-v"]),
        ("python3", "python3", &["-m", "zipfile", "-t"]),
        ("7z", "p7zip-full", &["t"]),
        ("bsdtar", "libarchive-tools", &["-xOf"]),
    ];
    for (reader, package, arguments) in readers {
        if !tools::require(reader, package) {
            continue;
        }
        let output = Command::new(reader).args(arguments).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{reader}: {said}");
    }
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let near_an_edge = (0..3_usize, -300..300_isize)
        .prop_map(|(n_chunks, more)| (n_chunks * CHUNK).saturating_add_signed(more));
    let piece = prop_oneof![
        (any::<u8>(), 1..70_000_usize).prop_map(|(byte, n)| vec![byte; n]),
        (1..70_000_usize).prop_map(program),
        (1..9_000_usize).prop_map(noise),
    ];
    (near_an_edge, proptest::collection::vec(piece, 1..8)).prop_map(|(n, pieces)| {
        let pieces = pieces.concat();
        let mut content = pieces.repeat(n.div_ceil(pieces.len()));
        content.truncate(n);
        content
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if tools::takes_a_part("contents to compress") { 8 } else { 24 }))]
    #[test]
    fn any_content_is_read_back(
        contents in proptest::collection::vec(any_content(), 1..4),
        compression in proptest::sample::select(&ALL[..2]),
        threads in 1..5_usize,
    ) {
        let named = |(at, bytes)| file(format!("{at}"), bytes);
        let entries: Vec<Entry> = contents.into_iter().enumerate().map(named).collect();
        check_round_trip(&entries, &zip(&entries, compression, threads));
    }
}
