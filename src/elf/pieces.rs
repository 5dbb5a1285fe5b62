//! The bytes of a file as far as they were read.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;

use super::{PAGE, Part};

/// Bytes of a file, by their place in it.
pub(super) trait FileBytes {
    /// The first bytes of the file, as many as are there.
    fn start(&self) -> &[u8];

    /// The bytes of a range that lies in the file; `None` if they were not read.
    fn get(&self, range: Range<u64>) -> Option<&[u8]>;
}

/// Parts of a file that were read before.
pub(super) struct GivenParts<'a>(pub &'a [Part<'a>]);

impl FileBytes for GivenParts<'_> {
    fn start(&self) -> &[u8] {
        self.0.iter().find(|part| part.start == 0).map_or(&[], |part| part.bytes)
    }

    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        self.0.iter().find_map(|part| within(part.start, part.bytes, &range))
    }
}

/// Pieces of a file that are read when bytes of them are asked for.
pub(super) struct Pieces<F> {
    /// The size of the file in bytes.
    size: u64,
    read: RefCell<F>,
    first: Next,
}

/// One piece; the next one was read after it.
struct Piece {
    start: u64,
    bytes: Vec<u8>,
    next: Next,
}

type Next = OnceCell<Box<Piece>>;

impl<F: FnMut(Range<u64>) -> Option<Vec<u8>>> Pieces<F> {
    /// The number of bytes that are read at once, if the file is that long.
    const PIECE: u64 = 1 << 15;
    const MAX_PIECES: usize = 32;

    /// Makes the bytes of a file of `size` bytes, for which `read` returns all bytes of a range, or `None` if it fails.
    pub fn new(size: u64, read: F) -> Pieces<F> {
        Pieces { size, read: RefCell::new(read), first: Next::new() }
    }

    /// Reads the piece with a range and those after it, or the whole file if that costs little more.
    fn read(&self, range: &Range<u64>, n_pieces: usize, n_read: u64) -> Option<Box<Piece>> {
        let start = range.start / PAGE * PAGE;
        let mut piece = start..range.end.max(start + Self::PIECE).min(self.size);
        let n_bytes = piece.end - piece.start;
        if self.size <= 2 * Self::PIECE || n_read + n_bytes > self.size || n_pieces == Self::MAX_PIECES {
            piece = 0..self.size;
        }
        let start = piece.start;
        let bytes = self.read.borrow_mut()(piece)?;
        Some(Box::new(Piece { start, bytes, next: Next::new() }))
    }
}

impl<F: FnMut(Range<u64>) -> Option<Vec<u8>>> FileBytes for Pieces<F> {
    fn start(&self) -> &[u8] {
        // A file without bytes has a piece without bytes.
        let _ = self.get(0..0);
        self.first.get().map_or(&[], |piece| &piece.bytes)
    }

    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let (mut at, mut n_pieces, mut n_read) = (&self.first, 0, 0);
        while let Some(piece) = at.get() {
            if let Some(bytes) = within(piece.start, &piece.bytes, &range) {
                return Some(bytes);
            }
            n_pieces += 1;
            n_read += piece.bytes.len() as u64;
            at = &piece.next;
        }
        let piece = self.read(&range, n_pieces, n_read)?;
        let piece = at.get_or_init(|| piece);
        within(piece.start, &piece.bytes, &range)
    }
}

/// The bytes of a range in those that begin at `start`.
fn within<'a>(start: u64, bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    let at = |offset: u64| usize::try_from(offset.checked_sub(start)?).ok();
    bytes.get(at(range.start)?..at(range.end)?)
}
