//! Compression of chunks with libdeflate, which is C.
//!
//! libdeflate only makes whole streams. So that another chunk can follow, its last block is marked as not the last,
//! and an empty stored block fills the byte in which it ends.

use libdeflater::{CompressionLvl, Compressor};

use super::{CHUNK, Compression, blocks};

/// The name of the compressor, with its version.
pub const NAME: &str = "libdeflate 1.26.1";

pub(super) struct Encoder {
    inner: Compressor,
    scratch: Vec<u8>,
}

impl Encoder {
    pub fn new(compression: Compression) -> Encoder {
        let level = match compression {
            Compression::Fast => 1,
            Compression::Default => 6,
            // The output is smaller than zopfli's for the same chunk, in a twentieth of the time.
            Compression::Best => 12,
        };
        let Ok(level) = CompressionLvl::new(level) else { unreachable!("libdeflate has levels 1 to 12") };
        let mut inner = Compressor::new(level);
        let scratch = vec![0; inner.deflate_compress_bound(CHUNK)];
        Encoder { inner, scratch }
    }

    /// The blocks of one chunk; they end at a byte boundary, and the last chunk ends the stream.
    pub fn chunk(&mut self, bytes: &[u8], is_last: bool) -> Vec<u8> {
        let Ok(n) = self.inner.deflate_compress(bytes, &mut self.scratch) else {
            unreachable!("the bound of a chunk is room enough")
        };
        let mut stream = Vec::with_capacity(n + 5);
        stream.extend_from_slice(&self.scratch[..n]);
        if !is_last {
            let Some(last) = blocks::last(&stream) else { unreachable!("libdeflate makes whole streams") };
            stream[last.start / 8] &= !(1 << (last.start % 8));
            // The empty block begins with three zero bits. The bits after the end are already zero.
            if !matches!(last.end % 8, 1..=5) {
                stream.push(0);
            }
            stream.extend_from_slice(b"\0\0\xff\xff");
        }
        stream
    }
}
