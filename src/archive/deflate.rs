//! Deflate streams of files, compressed on several threads.
//!
//! Each file is cut into chunks of [`CHUNK`] bytes. A chunk becomes whole deflate blocks that end at a byte boundary,
//! so the chunks of a file, one after the other, are one standard stream. Only the file and [`Compression`] determine
//! the cuts and the bytes of each chunk, so the bytes are the same for any number of threads.
//!
//! Each chunk is inflated again, with zlib-rs, as soon as it is made: a stream that is handed on is proved.
//!
//! The compressor is chosen when the crate is built: libdeflate with the feature `libdeflate`, otherwise zlib-rs.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use zlib_rs::crc32::crc32_combine;
use zlib_rs::{Inflate, InflateFlush, Status};

use super::Content;
use crate::error::{Error, Result};
use crate::parallel;

mod streams;

use streams::Occurrence;
pub use streams::Streams;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    file: usize,
    crc32: u32,
    n_bytes: u64,
    stream: Vec<u8>,
    is_last: bool,
}

/// Compresses chunks, and proves each.
struct Worker {
    compression: Compression,
    encoder: Encoder,
    decoder: Inflate,
    /// The bytes of a chunk of a stored file.
    read: Vec<u8>,
    /// What the decoder makes of a chunk.
    unpacked: Vec<u8>,
}

impl Worker {
    fn new(compression: Compression) -> Worker {
        // A byte more than a chunk has: a stream that is too long is seen.
        Worker {
            compression,
            encoder: Encoder::new(compression),
            decoder: Inflate::new(false, 15),
            read: Vec::new(),
            unpacked: vec![0; CHUNK + 1],
        }
    }

    /// # Errors
    ///
    /// If the stream does not unpack to the bytes, which is a fault of one of the two libraries.
    fn chunk(&mut self, bytes: &[u8], is_last: bool) -> Result<Vec<u8>> {
        let stream = self.encoder.chunk(bytes, is_last);
        self.decoder.reset(false);
        let (flush, expected) = match is_last {
            true => (InflateFlush::Finish, Status::StreamEnd),
            false => (InflateFlush::SyncFlush, Status::Ok),
        };
        let status = self.decoder.decompress(&stream, &mut self.unpacked, flush);
        let n = self.decoder.total_out() as usize;
        let is_whole = status == Ok(expected) && self.decoder.total_in() == stream.len() as u64;
        if !is_whole || self.unpacked[..n] != *bytes {
            return Err(Error::new(format!("a chunk that {NAME} compressed does not unpack to its bytes"))
                .help("run it again; if it stays so, the memory of this machine may be damaged"));
        }
        Ok(stream)
    }
}

/// Compresses `files` on `threads` threads and passes each to `take`, in order, with its index. Streams that are in
/// `streams` are not made again.
///
/// Besides the files, memory holds the compressed chunks of the current file, the chunk of each thread, and the
/// chunks that other threads have finished ahead of it. The first error, of reading or of `take`, ends the work.
pub(super) fn each(
    files: &[&Content],
    compression: Compression,
    threads: NonZeroUsize,
    streams: &Streams,
    mut take: impl FnMut(usize, &Deflated) -> Result<()>,
) -> Result<()> {
    let occurrences: Vec<Occurrence> = files.iter().map(|file| streams.find(file, compression)).collect();
    let jobs_of = |(file, content): (usize, &&Content)| {
        let n_bytes = content.n_bytes();
        let is_kept = matches!(occurrences[file], Occurrence::Kept(_));
        let ranges = chunks(content.n_bytes()).filter(move |_| !is_kept);
        ranges.map(move |range| ChunkJob { file, is_last: range.end == n_bytes, range })
    };
    let jobs: Vec<ChunkJob> = files.iter().enumerate().flat_map(jobs_of).collect();
    let n_workers = workers(threads, jobs.iter().map(|job| job.range.end - job.range.start).sum());
    let compress = |worker: &mut &mut Worker, ChunkJob { file, range, is_last }: ChunkJob| {
        let mut buffer = std::mem::take(&mut worker.read);
        let bytes = files[file].read_into(range, &mut buffer)?;
        let stream = worker.chunk(bytes, is_last)?;
        let done = Done { file, crc32: crc32fast::hash(bytes), n_bytes: bytes.len() as u64, stream, is_last };
        worker.read = buffer;
        Ok(done)
    };
    let empty = Deflated::default();
    // A file without work is empty, or its stream is kept.
    let take_idle = |take: &mut dyn FnMut(usize, &Deflated) -> Result<()>, at: usize| {
        take(at, if let Occurrence::Kept(kept) = &occurrences[at] { kept } else { &empty })
    };
    let mut at = 0;
    let mut deflated = Deflated::default();
    let each_done = |done: Result<Done>| {
        let Done { file, crc32, n_bytes, stream, is_last } = done?;
        while at < file {
            take_idle(&mut take, at)?;
            at += 1;
        }
        deflated.crc32 = crc32_combine(deflated.crc32, crc32, n_bytes);
        deflated.chunks.push(stream);
        if is_last {
            let whole = Arc::new(std::mem::take(&mut deflated));
            if let Occurrence::Again(key) = occurrences[at] {
                streams.keep(key, &whole);
            }
            take(at, &whole)?;
            at += 1;
        }
        Ok(())
    };
    streams.with_workers(n_workers, compression, |workers| {
        parallel::in_order(workers.iter_mut().collect(), jobs, compress, each_done)
    })?;
    (at..files.len()).try_for_each(|at| take_idle(&mut take, at))
}

/// The number of threads with work: one for each [`CHUNK`] of `n_bytes`, at most `threads`. More threads would only
/// use memory.
fn workers(threads: NonZeroUsize, n_bytes: u64) -> usize {
    let n_chunks = usize::try_from(n_bytes.div_ceil(CHUNK as u64)).unwrap_or(usize::MAX);
    threads.get().min(n_chunks).max(1)
}

/// The ranges of [`CHUNK`] bytes of a file of `n_bytes`.
pub fn chunks(n_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    (0..n_bytes).step_by(CHUNK).map(move |start| start..n_bytes.min(start + CHUNK as u64))
}
