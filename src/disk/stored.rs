//! Files whose bytes are read piece by piece when they are needed.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{FileState, RUN_AGAIN, changed, failed, open, read_range_into};
use crate::archive::{self, CHUNK, ChunkHashes, ContentHasher, Stored, Streams};
use crate::error::{Error, Result};
use crate::proof::SharedFacts;
use crate::text;
use camino::{Utf8Path, Utf8PathBuf};

/// The files that were read so far. Programs that ship the same library share its hash, and its compressed stream.
#[derive(Default)]
pub struct StoredFiles {
    files: Mutex<BTreeMap<Utf8PathBuf, Arc<StoredOnce>>>,
    /// The streams that archives share.
    pub streams: Streams,
    /// What the proofs of bundles share.
    pub facts: SharedFacts,
}

/// A file that the first thread reads, and others wait for; `None` if it could not be read.
type StoredOnce = OnceLock<Option<Arc<dyn Stored>>>;

impl StoredFiles {
    /// Returns the regular file at `path`; it is read once for its hash.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn get(&self, path: &Utf8Path) -> Result<Arc<dyn Stored>> {
        let file = {
            let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(path.to_owned()).or_default().clone()
        };
        match file.get_or_init(|| stored(path).ok()) {
            Some(stored) => Ok(stored.clone()),
            // It is read again for its error.
            None => stored(path),
        }
    }
}

/// Reads the regular file at `path` once.
///
/// # Errors
///
/// If it cannot be read, or was written to in the meantime. Each later read of a part checks that the file is still
/// the one that was hashed, see `FileState`.
pub fn stored(path: &Utf8Path) -> Result<Arc<dyn Stored>> {
    let (mut file, size) = open(path)?;
    if size > archive::MAX_BYTES {
        let (size, most) = (text::size(size), text::size(archive::MAX_BYTES));
        return Err(Error::new(format!(
            "`{path}` has {size}; all files of a bundle together may have {most}"
        )));
    }
    let state = FileState::of(&file).map_err(|cause| failed(path, cause))?;
    let mut hasher = ContentHasher::default();
    let mut n_bytes = 0;
    // Larger memory is mapped, and begins 16 bytes into a page: processors copy pages slowly to such a place.
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                n_bytes += n as u64;
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed(path, cause)),
        }
    }
    state.check(&file, path)?;
    let hashes = hasher.finish();
    Ok(Arc::new(StoredFile { path: path.to_owned(), n_bytes, hash: hashes.hash(), hashes, state }))
}

#[derive(Debug)]
struct StoredFile {
    path: Utf8PathBuf,
    n_bytes: u64,
    hash: u128,
    hashes: ChunkHashes,
    /// The state of the file when it was hashed.
    state: FileState,
}

impl Stored for StoredFile {
    fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn hash(&self) -> u128 {
        self.hash
    }

    fn read_into(&self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        // It was there before.
        let (mut file, _) = open(&self.path).map_err(|error| error.or_help(RUN_AGAIN))?;
        read_range_into(&mut file, range.clone(), bytes).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(&self.path),
            _ => failed(&self.path, cause),
        })?;
        self.state.check(&file, &self.path)?;
        // A chunk is what an archive is made of.
        let is_last = range.end == self.n_bytes && (1..CHUNK).contains(&bytes.len());
        let is_chunk = range.start.is_multiple_of(CHUNK as u64) && (is_last || bytes.len() == CHUNK);
        if is_chunk && !self.hashes.has(range.start, bytes) {
            return Err(changed(&self.path));
        }
        Ok(())
    }
}
