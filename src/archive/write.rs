//! The writer of ZIP archives.
//!
//! This module writes the headers, because the `zip` crate takes no compressed data. That crate reads the directory
//! back, so another implementation always checks what is written.
//!
//! Source of all layouts: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.

use std::io::Write;
use std::num::NonZeroUsize;

use super::deflate::{self, Compression, Deflated, Streams};
use super::directory::CentralHeader;
use super::{Content, Entry, EntryNames, S_IFLNK, S_IFREG, Timestamp, link_target, name_fault, rank};
use crate::error::{Error, Result};
use crate::text::{n_bytes, printable};

/// The number of entries that the directory of a ZIP archive without ZIP64 can count.
const MAX_ENTRIES: usize = u16::MAX as usize - 1;

/// The options of [`write()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The time of every entry.
    pub stamp: Timestamp,
    /// The level of compression.
    pub compression: Compression,
    /// The number of threads that compress. The archive's bytes are the same for any number.
    pub threads: NonZeroUsize,
}

impl Default for Options {
    /// The default is the first time that DOS can represent, the default compression, and one thread.
    fn default() -> Self {
        Options {
            stamp: Timestamp::default(),
            compression: Compression::default(),
            threads: NonZeroUsize::MIN,
        }
    }
}

/// What was written: where each entry is, and its fields.
pub struct WrittenEntries(Vec<(u64, EntryHeader)>);

impl WrittenEntries {
    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a record of an archive's directory is that of the entry at this index.
    pub(super) fn is_at(&self, index: usize, start: u64, header: &CentralHeader) -> bool {
        let of = |(at, own): &(u64, EntryHeader)| *at == start && header.has(own.method as u16, own.sums());
        self.0.get(index).is_some_and(of)
    }
}

/// Writes `entries` as a ZIP archive to `out`, flushes it and returns it. See [`write_with()`].
pub fn write<W: Write>(entries: &[Entry], options: &Options, out: W) -> Result<W> {
    write_with(entries, options, &Streams::default(), out).map(|(out, _)| out)
}

/// Writes `entries` as a ZIP archive to `out`, flushes it and returns it, with what was written. Each stream was
/// inflated and compared with its file.
///
/// The entries must be in the order of [`super::order`], with unique, safe names, and none below another entry's
/// file. After an error `out` holds part of an archive that no reader accepts as a whole one.
pub fn write_with<W: Write>(
    entries: &[Entry],
    options: &Options,
    streams: &Streams,
    mut out: W,
) -> Result<(W, WrittenEntries)> {
    check_plan(entries)?;
    let mut directory = Vec::new();
    let mut position = 0;
    let mut written = Vec::new();
    let contents: Vec<&Content> = entries.iter().map(|entry| &entry.content).collect();
    deflate::each(&contents, options.compression, options.threads, streams, |at, deflated| {
        let Entry { name, content, .. } = &entries[at];
        let header = EntryHeader::of(&entries[at], deflated, options.stamp);
        directory.extend(header.central(name, position));
        written.push((u64::from(position), header));
        let mut put = |bytes: &[u8]| {
            position += bytes.len() as u32; // `check_plan` has checked that it fits
            out.write_all(bytes).map_err(|cause| {
                Error::new(format!("could not write entry `{}`", printable(name))).because(cause)
            })
        };
        put(&header.local(name))?;
        match header.method {
            Method::Stored => {
                deflate::chunks(content.n_bytes()).try_for_each(|chunk| put(&content.read(chunk)?))
            }
            Method::Deflated => deflated.chunks.iter().try_for_each(|chunk| put(chunk)),
        }
    })?;
    let n_entries = entries.len() as u16;
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..], // this disk is the first
        &n_entries.to_le_bytes(),
        &n_entries.to_le_bytes(),
        &(directory.len() as u32).to_le_bytes(),
        &position.to_le_bytes(),
        b"\0\0", // no comment
    ];
    out.write_all(&directory)
        .and_then(|()| out.write_all(&end.concat()))
        .map_err(|cause| Error::new("could not write the archive's directory").because(cause))?;
    out.flush().map_err(|cause| Error::new("could not write the archive").because(cause))?;
    Ok((out, WrittenEntries(written)))
}

#[derive(Clone, Copy)]
enum Method {
    Stored = 0,
    Deflated = 8,
}

/// The fields of the two headers of an entry.
#[derive(Clone, Copy)]
struct EntryHeader {
    method: Method,
    stamp: Timestamp,
    crc32: u32,
    compressed_size: u32,
    size: u32,
    /// The file type and permissions.
    mode: u32,
}

impl EntryHeader {
    fn of(entry: &Entry, deflated: &Deflated, stamp: Timestamp) -> EntryHeader {
        let (mode, may_deflate) = match entry.content {
            Content::File(_) | Content::Stored(_) => (S_IFREG | entry.mode.bits(), true),
            Content::Link(_) => (S_IFLNK | 0o777, false), // not all readers inflate a target
        };
        let size = entry.content.n_bytes();
        let (method, compressed_size) = match deflated.n_bytes() as u64 {
            n if may_deflate && n < size => (Method::Deflated, n),
            _ => (Method::Stored, size),
        };
        EntryHeader {
            method,
            stamp,
            crc32: deflated.crc32,
            compressed_size: compressed_size as u32,
            size: size as u32,
            mode,
        }
    }

    /// The fields that both headers share, from the version needed to the length of the extra field.
    fn common(&self, name: &str) -> [u8; 26] {
        let version = match self.method {
            Method::Stored => 10_u16,
            Method::Deflated => 20,
        };
        let flags = if name.is_ascii() { 0 } else { 0x0800_u16 }; // the name is UTF-8
        let fields = [
            &version.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &(self.method as u16).to_le_bytes(),
            &self.stamp.0.timepart().to_le_bytes(),
            &self.stamp.0.datepart().to_le_bytes(),
            &self.crc32.to_le_bytes(),
            &self.compressed_size.to_le_bytes(),
            &self.size.to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0; 2],
        ];
        let mut bytes = [0; 26];
        bytes.copy_from_slice(&fields.concat());
        bytes
    }

    /// The CRC and both sizes.
    fn sums(&self) -> [u8; 12] {
        let sums = [self.crc32, self.compressed_size, self.size].map(u32::to_le_bytes);
        let mut bytes = [0; 12];
        bytes.copy_from_slice(sums.as_flattened());
        bytes
    }

    fn local(&self, name: &str) -> Vec<u8> {
        [b"PK\x03\x04", &self.common(name)[..], name.as_bytes()].concat()
    }

    fn central(&self, name: &str, local_start: u32) -> Vec<u8> {
        let common = self.common(name);
        let made_by = [common[0], 3]; // Unix, which defines the meaning of the attributes
        [
            &b"PK\x01\x02"[..],
            &made_by,
            &common,
            &[0; 6], // no comment, first disk, no internal attributes
            &(self.mode << 16).to_le_bytes(),
            &local_start.to_le_bytes(),
            name.as_bytes(),
        ]
        .concat()
    }
}

/// Checks what [`write()`] requires: the order of entries, their names, and the limits of an archive.
pub fn check_plan(entries: &[Entry]) -> Result<()> {
    if entries.len() > MAX_ENTRIES {
        return Err(Error::new(format!(
            "the bundle has {} entries, a ZIP archive holds {MAX_ENTRIES}",
            entries.len()
        )));
    }
    let mut names = EntryNames::default();
    let mut total: u64 = 0;
    for (at, entry) in entries.iter().enumerate() {
        let name = &entry.name;
        if let Some(fault) = name_fault(name) {
            return Err(Error::new(format!("entry `{}` {fault}", printable(name))));
        }
        names.add(name, false).map_err(|clash| Error::new(clash.text("the bundle")))?;
        if at > 0 && rank(&entries[at - 1].name) > rank(name) {
            return Err(Error::new(format!(
                "entries `{}` and `{}` are out of order",
                printable(&entries[at - 1].name),
                printable(name)
            )));
        }
        if u16::try_from(name.len()).is_err() {
            return Err(Error::new(format!(
                "an entry has a name of {}, a ZIP archive takes {}",
                n_bytes(name.len()),
                u16::MAX
            )));
        }
        total += 2 * name.len() as u64;
        total += entry.content.n_bytes();
        if let Content::Link(target) = &entry.content
            && link_target(name, target).is_none()
        {
            return Err(Error::new(format!(
                "link `{}` leaves the bundle: its target is `{}`",
                printable(name),
                printable(target)
            )));
        }
    }
    names.check_parents().map_err(|clash| Error::new(clash.text("the bundle")))?;
    if total > super::MAX_BYTES {
        return Err(Error::new(format!("the bundle has {total} bytes, too many for a ZIP archive")));
    }
    Ok(())
}
