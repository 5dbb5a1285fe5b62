//! What the archives of one run share: the streams of contents that several of them have, and the memory to compress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Compression, Deflated, Worker};
use crate::archive::Content;

/// The number of bytes that are kept. A hundred functions that share twenty libraries need some 3 MB.
const MOST: usize = 64 << 20;

/// The streams of contents that occurred before, each compressed and proved once.
///
/// A stream is kept from the second occurrence on: most files, such as programs, occur once. And what compresses them.
#[derive(Default)]
pub struct Streams {
    streams: Mutex<KeptStreams>,
    /// Those that no archive uses: new ones for each would cost as many page faults as all chunks of a small program.
    workers: Mutex<Vec<Worker>>,
}

#[derive(Default)]
struct KeptStreams {
    met: BTreeSet<Key>,
    kept: BTreeMap<Key, Arc<Deflated>>,
    n_bytes: usize,
}

/// A content, by its hash and size, and how it is compressed.
pub(super) type Key = (u128, u64, Compression);

impl Streams {
    /// The stream of this content, if it is kept, and its key if it is to be kept once it is made.
    pub(super) fn find(&self, content: &Content, compression: Compression) -> Occurrence {
        let hash = match content {
            Content::Stored(stored) => stored.hash(),
            Content::File(bytes) => super::super::hash(bytes),
            Content::Link(_) => return Occurrence::First,
        };
        let key = (hash, content.n_bytes(), compression);
        let mut known = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = known.kept.get(&key) {
            return Occurrence::Kept(stream.clone());
        }
        if known.met.insert(key) { Occurrence::First } else { Occurrence::Again(key) }
    }

    /// Lends `n` workers to `work`.
    pub(super) fn with_workers<T>(
        &self,
        n: usize,
        compression: Compression,
        work: impl FnOnce(&mut [Worker]) -> T,
    ) -> T {
        let idle = || self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workers =
            idle().extract_if(.., |worker| worker.compression == compression).take(n).collect::<Vec<_>>();
        workers.resize_with(n, || Worker::new(compression));
        let result = work(&mut workers);
        idle().append(&mut workers);
        result
    }

    /// Keeps a stream, if there is room.
    pub(super) fn keep(&self, key: Key, stream: &Arc<Deflated>) {
        let mut known = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if known.n_bytes + stream.n_bytes() <= MOST && known.kept.insert(key, stream.clone()).is_none() {
            known.n_bytes += stream.n_bytes();
        }
    }
}

/// Whether a content occurred before.
pub(super) enum Occurrence {
    First,
    Again(Key),
    Kept(Arc<Deflated>),
}
