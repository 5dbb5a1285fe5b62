//! Deflate streams of files, compressed on several threads.
//!
//! Each file is cut into chunks of [`CHUNK`] bytes. A chunk becomes whole deflate blocks that end at a byte boundary,
//! so the chunks of a file, one after the other, are one standard stream. Only the file and [`Compression`] determine
//! the cuts and the bytes of each chunk, so the bytes are the same for any number of threads.
//!
//! The compressor is chosen when the crate is built: libdeflate with the feature `libdeflate`, otherwise zlib-rs.

use std::num::NonZeroUsize;
use std::ops::Range;

use zlib_rs::crc32::{crc32, crc32_combine};

use super::Content;
use crate::error::Result;
use crate::parallel;

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

/// The number of bytes of a file that are compressed independently.
///
/// It determines the archive's bytes. A match cannot reach into the chunk before, which costs 0.10 % of a 42 MB
/// program; at 1 MiB it would be 0.17 %, and the archive larger than that of `zip -9`. Larger chunks would leave
/// cores idle on programs of a few MB.
pub const CHUNK: usize = 2 << 20;

/// The level of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Less than half the time of the default, and one twelfth larger.
    Fast,
    /// Smaller and faster than `zip -9`.
    #[default]
    Default,
    /// The smallest output, in about thirteen times the time of the default.
    Best,
}

/// A compressed file.
#[derive(Default)]
pub(super) struct Deflated {
    /// The CRC-32 of the file.
    pub crc32: u32,
    /// The parts of its stream, in order; an empty file has none.
    pub chunks: Vec<Vec<u8>>,
}

impl Deflated {
    /// The length of the stream.
    pub fn n_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

struct ChunkJob {
    /// The index of the chunk's file.
    file: usize,
    range: Range<u64>,
    /// Whether this is the last chunk of its file.
    is_last: bool,
}

struct Done {
    crc32: u32,
    n_bytes: u64,
    stream: Vec<u8>,
    is_last: bool,
}

/// Compresses `files` on `threads` threads and passes each to `take`, in order, with its index.
///
/// Besides the files, memory holds the compressed chunks of the current file, the chunk of each thread, and the
/// chunks that other threads have finished ahead of it. The first error, of reading or of `take`, ends the work.
pub(super) fn each(
    files: &[&Content],
    compression: Compression,
    threads: NonZeroUsize,
    mut take: impl FnMut(usize, Deflated) -> Result<()>,
) -> Result<()> {
    let jobs_of = |(file, content): (usize, &&Content)| {
        let n_bytes = content.n_bytes();
        chunks(content).map(move |range| ChunkJob { file, is_last: range.end == n_bytes, range })
    };
    let jobs: Vec<ChunkJob> = files.iter().enumerate().flat_map(jobs_of).collect();
    let encoders = (0..workers(threads, files.iter().copied())).map(|_| Encoder::new(compression)).collect();
    let compress = |encoder: &mut Encoder, ChunkJob { file, range, is_last }: ChunkJob| {
        let bytes = files[file].read(range)?;
        Ok(Done {
            crc32: crc32(0, &bytes),
            n_bytes: bytes.len() as u64,
            stream: encoder.chunk(&bytes, is_last),
            is_last,
        })
    };
    let mut at = 0;
    let mut deflated = Deflated::default();
    parallel::in_order(encoders, jobs, compress, |done: Result<Done>| {
        let Done { crc32, n_bytes, stream, is_last } = done?;
        // Empty files have no chunks.
        while files[at].n_bytes() == 0 {
            take(at, Deflated::default())?;
            at += 1;
        }
        deflated.crc32 = crc32_combine(deflated.crc32, crc32, n_bytes);
        deflated.chunks.push(stream);
        if is_last {
            take(at, std::mem::take(&mut deflated))?;
            at += 1;
        }
        Ok(())
    })?;
    (at..files.len()).try_for_each(|at| take(at, Deflated::default()))
}

/// The number of threads with work: one for each [`CHUNK`] bytes of all files, at most `threads`. More threads would
/// only use memory.
pub fn workers<'a>(threads: NonZeroUsize, files: impl IntoIterator<Item = &'a Content>) -> usize {
    let n_bytes: u64 = files.into_iter().map(|content| content.n_bytes()).sum();
    let n_chunks = usize::try_from(n_bytes.div_ceil(CHUNK as u64)).unwrap_or(usize::MAX);
    threads.get().min(n_chunks).max(1)
}

/// The ranges of [`CHUNK`] bytes of a file.
pub fn chunks(content: &Content) -> impl Iterator<Item = Range<u64>> + use<> {
    let n_bytes = content.n_bytes();
    (0..n_bytes).step_by(CHUNK).map(move |start| start..n_bytes.min(start + CHUNK as u64))
}
