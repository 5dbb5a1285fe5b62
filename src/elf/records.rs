//! The fixed-size records and words of little-endian files, decoded and encoded by `goblin` and its `scroll`.
//!
//! Callers know the place of a record, and check that it lies within the file: they check a table as a whole.

use std::fmt::Debug;

use scroll::ctx::{TryFromCtx, TryIntoCtx};
use scroll::{Endian, LE, Pread, Pwrite};

/// Decodes the record or number at a place.
///
/// # Panics
///
/// If the record does not lie within the bytes.
pub(crate) fn decode<'a, T, E>(bytes: &'a [u8], at: usize) -> T
where
    T: TryFromCtx<'a, Endian, Error = E>,
    E: From<scroll::Error> + Debug,
{
    bytes.pread_with(at, LE).expect("a record within its table")
}

/// Writes a record or number over the bytes at a place.
///
/// # Panics
///
/// If the record does not lie within the bytes.
pub(crate) fn encode<T, E>(bytes: &mut [u8], at: usize, record: T)
where
    T: TryIntoCtx<Endian, Error = E>,
    E: From<scroll::Error> + Debug,
{
    bytes.pwrite_with(record, at, LE).expect("a record within its table");
}
