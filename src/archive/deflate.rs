//! Files to deflate streams, on several threads.
//!
//! Each file is cut into chunks of [`CHUNK`] bytes. A chunk becomes whole deflate blocks that end with a
//! byte, so the chunks of a file one after the other are one standard stream. Nothing but the file and
//! [`Compression`] says where the cuts are and what each chunk becomes, so the bytes are the same
//! whatever the number of threads.
//!
//! Which compressor makes the blocks is decided when the crate is built: libdeflate with the feature
//! `libdeflate`, else zlib-rs.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use zlib_rs::crc32::{crc32, crc32_combine};

#[cfg(feature = "libdeflate")]
mod blocks;
#[cfg(feature = "libdeflate")]
mod libdeflate;
#[cfg(feature = "libdeflate")]
use libdeflate::Encoder;
#[cfg(feature = "libdeflate")]
pub use libdeflate::NAME;

#[cfg(not(feature = "libdeflate"))]
mod zlib;
#[cfg(not(feature = "libdeflate"))]
use zlib::Encoder;
#[cfg(not(feature = "libdeflate"))]
pub use zlib::NAME;

/// Bytes of a file that are compressed on their own.
///
/// Part of the archive's bytes. A match cannot reach into the chunk before, which costs 0.10 % of a
/// 42 MB program; at 1 MiB it would be 0.17 %, and the archive larger than that of `zip -9`. Larger chunks
/// would leave cores idle on programs of a few MB.
pub const CHUNK: usize = 2 << 20;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// In less than half the time of the default, and larger by a twelfth.
    Fast,
    /// Smaller than `zip -9`, and faster.
    #[default]
    Default,
    /// As small as it gets, in about thirteen times the time of the default.
    Best,
}

/// A compressed file.
pub(super) struct Deflated {
    /// The CRC-32 of the file.
    pub crc32: u32,
    /// The parts of its stream, in order. None for an empty file.
    pub chunks: Vec<Vec<u8>>,
}

impl Deflated {
    /// The length of the stream.
    pub fn n_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

struct Job<'a> {
    bytes: &'a [u8],
    /// The last of its file.
    is_last: bool,
}

struct Done {
    crc32: u32,
    stream: Vec<u8>,
}

/// Compresses `files` on `threads` threads and hands each to `take`, in order, with its index.
///
/// Beside the files, memory holds the compressed chunks of the file at hand and what other threads have
/// done ahead of it. The first error of `take` ends the work.
pub(super) fn each<E>(
    files: &[&[u8]],
    compression: Compression,
    threads: NonZeroUsize,
    mut take: impl FnMut(usize, Deflated) -> Result<(), E>,
) -> Result<(), E> {
    let jobs: Vec<Job> = files.iter().flat_map(|file| chunks(file)).collect();
    let next = AtomicUsize::new(0);
    let work = |done: mpsc::SyncSender<(usize, Done)>| {
        let mut encoder = Encoder::new(compression);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(Job { bytes, is_last }) = jobs.get(n) else { return };
            let chunk = Done { crc32: crc32(0, bytes), stream: encoder.chunk(bytes, *is_last) };
            if done.send((n, chunk)).is_err() {
                return; // `take` failed
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(threads.get());
        for _ in 0..threads.get().min(jobs.len()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut wait = |n: usize| loop {
            if let Some(done) = early.remove(&n) {
                return done;
            }
            let Ok((at, done)) = receiver.recv() else { unreachable!("each job sends its result") };
            early.insert(at, done);
        };
        let mut n = 0;
        for (at, file) in files.iter().enumerate() {
            let mut deflated = Deflated { crc32: 0, chunks: Vec::new() };
            for Job { bytes, .. } in chunks(file) {
                let Done { crc32, stream } = wait(n);
                n += 1;
                deflated.crc32 = crc32_combine(deflated.crc32, crc32, bytes.len() as u64);
                deflated.chunks.push(stream);
            }
            take(at, deflated)?;
        }
        Ok(())
    })
}

/// The chunks of a file.
fn chunks(file: &[u8]) -> impl Iterator<Item = Job<'_>> {
    let n = file.len().div_ceil(CHUNK);
    file.chunks(CHUNK).enumerate().map(move |(at, bytes)| Job { bytes, is_last: at + 1 == n })
}
