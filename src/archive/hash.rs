//! The hash by which contents are compared: XXH3, 128 bits, by chunks. It detects accidents, not forgeries.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::CHUNK;

/// The hash of a content: that of its only chunk, or that of the hashes of its chunks.
pub fn hash(bytes: &[u8]) -> u128 {
    let mut hasher = ContentHasher::default();
    hasher.update(bytes);
    hasher.finish().hash()
}

/// Hashes a content that comes in pieces.
#[derive(Default)]
pub struct ContentHasher {
    /// The hashes of whole chunks.
    chunks: Vec<u128>,
    hasher: Xxh3,
    /// The bytes of the current chunk so far.
    n_bytes: usize,
}

/// The hashes of the chunks of [`CHUNK`] bytes of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHashes(Vec<u128>);

impl ContentHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.n_bytes));
            self.hasher.update(now);
            self.n_bytes += now.len();
            if self.n_bytes == CHUNK {
                self.end_chunk();
            }
            bytes = later;
        }
    }

    fn end_chunk(&mut self) {
        self.chunks.push(self.hasher.digest128());
        self.hasher.reset();
        self.n_bytes = 0;
    }

    /// The hashes of all chunks.
    pub fn finish(mut self) -> ChunkHashes {
        if self.n_bytes > 0 {
            self.end_chunk();
        }
        ChunkHashes(self.chunks)
    }
}

impl ChunkHashes {
    /// The [`hash()`] of the whole content.
    pub fn hash(&self) -> u128 {
        match &self.0[..] {
            [only] => *only,
            chunks => xxh3_128(&chunks.iter().flat_map(|chunk| chunk.to_le_bytes()).collect::<Vec<u8>>()),
        }
    }

    /// Whether these are the bytes of the chunk that starts at this offset.
    pub fn has(&self, start: u64, bytes: &[u8]) -> bool {
        let at = usize::try_from(start / CHUNK as u64).unwrap_or(usize::MAX);
        self.0.get(at).is_some_and(|own| *own == xxh3_128(bytes))
    }
}
