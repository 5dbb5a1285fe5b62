//! Compression of chunks with zlib-rs, which is Rust.

use zlib_rs::{Deflate, DeflateFlush, Status, compress_bound};

use super::{CHUNK, Compression};

/// The name of the compressor, with its version.
pub const NAME: &str = "zlib-rs 0.6.8";

pub(super) struct Encoder {
    inner: Deflate,
    scratch: Vec<u8>,
}

impl Encoder {
    pub fn new(compression: Compression) -> Encoder {
        let level = match compression {
            Compression::Fast => 2,
            // Level 6 is larger than `zip -9`, and no level is above 9.
            Compression::Default | Compression::Best => 9,
        };
        // A flush ends with an empty block, which the bound does not include.
        let scratch = vec![0; compress_bound(CHUNK) + 64];
        Encoder { inner: Deflate::new(level, false, 15), scratch }
    }

    /// The blocks of one chunk; they end at a byte boundary, and the last chunk ends the stream.
    pub fn chunk(&mut self, bytes: &[u8], is_last: bool) -> Vec<u8> {
        let (flush, expected) = match is_last {
            true => (DeflateFlush::Finish, Status::StreamEnd),
            false => (DeflateFlush::SyncFlush, Status::Ok),
        };
        self.inner.reset();
        let status = self.inner.compress(bytes, &mut self.scratch, flush);
        assert!(
            status == Ok(expected) && self.inner.total_in() == bytes.len() as u64,
            "there is room for it"
        );
        self.scratch[..self.inner.total_out() as usize].to_vec()
    }
}
