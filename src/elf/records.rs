//! The fixed-size records and words of little-endian files, decoded and encoded by `goblin` and its `scroll`.
//!
//! Where a record is, and whether it is within the file at all, is for the callers: they check a table as a whole.

use std::fmt::Debug;

use scroll::ctx::{TryFromCtx, TryIntoCtx};
use scroll::{Endian, LE, Pread, Pwrite};

/// The record or number at a place.
///
/// # Panics
///
/// If it does not lie within the bytes.
pub(crate) fn decode<'a, T, E>(bytes: &'a [u8], at: usize) -> T
where
    T: TryFromCtx<'a, Endian, Error = E>,
    E: From<scroll::Error> + Debug,
{
    bytes.pread_with(at, LE).expect("a record within its table")
}

/// Writes a record or number over what is at a place.
///
/// # Panics
///
/// If it does not fit in there.
pub(crate) fn encode<T, E>(bytes: &mut [u8], at: usize, record: T)
where
    T: TryIntoCtx<Endian, Error = E>,
    E: From<scroll::Error> + Debug,
{
    bytes.pwrite_with(record, at, LE).expect("a record within its table");
}
