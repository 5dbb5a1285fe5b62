//! A plan's entries to ZIP bytes.

use std::io::{self, Seek, SeekFrom, Write};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, PreparedZipFile, System, ZipWriter};

use super::{Content, Entry, Names, Stamp, link_target, name_fault, plain, rank, shown};
use crate::error::{Error, Result};

/// The deflate level of every entry.
const LEVEL: i64 = 9;

/// Entries that the directory of a ZIP archive without ZIP64 can count.
const MAX_ENTRIES: usize = u16::MAX as usize - 1;

/// Writes `entries` as a ZIP archive at the start of `out` and gives `out` back, flushed.
///
/// The entries must be in the order of [`super::order`], with unique, safe names, none below another's file.
/// On an error `out` holds part of an archive that no reader takes for a whole one.
pub fn write<W: Write + Seek>(entries: &[Entry], stamp: Stamp, mut out: W) -> Result<W> {
    check_plan(entries)?;
    let mut writer = ZipWriter::new(Gate { inner: &mut out, open: true, position: 0, length: 0 });
    for entry in entries {
        if let Err(cause) = write_entry(&mut writer, entry, stamp) {
            // Dropped, it would finish the archive, and panic on the way if it stopped in a header.
            // What leaks is a list of names.
            std::mem::forget(writer);
            return Err(
                Error::new(format!("could not write entry `{}`", shown(&entry.name))).because(plain(cause))
            );
        }
    }
    writer
        .finish()
        .map_err(|cause| Error::new("could not write the archive's directory").because(plain(cause)))?;
    out.flush().map_err(|cause| Error::new("could not write the archive").because(cause))?;
    Ok(out)
}

fn write_entry<W: Write + Seek>(
    writer: &mut ZipWriter<W>,
    entry: &Entry,
    stamp: Stamp,
) -> std::result::Result<(), ZipError> {
    let options = SimpleFileOptions::default()
        .last_modified_time(stamp.0) // with `zip/time` on, the default is now
        .system(System::Unix) // on Windows the default is DOS
        .large_file(false);
    match &entry.content {
        Content::Link(target) => writer.add_symlink(&entry.name, target, options.unix_permissions(0o777)),
        Content::File(bytes) => {
            let options = options.unix_permissions(entry.mode.bits());
            // Prepared first, so that sizes and CRC are known when the header is written, and each
            // entry is complete before the next.
            let prepare = |options| PreparedZipFile::from_data(&entry.name, options, bytes);
            if !bytes.is_empty() {
                let deflated = prepare(
                    options.compression_method(CompressionMethod::Deflated).compression_level(Some(LEVEL)),
                )?;
                if deflated.compressed_size() < deflated.uncompressed_size() {
                    return writer.add_prepared_file(deflated);
                }
            }
            writer.add_prepared_file(prepare(options.compression_method(CompressionMethod::Stored))?)
        }
    }
}

/// Holds the plan to what [`write`] asks for.
fn check_plan(entries: &[Entry]) -> Result<()> {
    if entries.len() > MAX_ENTRIES {
        return Err(Error::new(format!(
            "the bundle has {} entries, a ZIP archive holds {MAX_ENTRIES}",
            entries.len()
        )));
    }
    let mut names = Names::default();
    let mut total: u64 = 0;
    for (at, entry) in entries.iter().enumerate() {
        let name = &entry.name;
        if let Some(fault) = name_fault(name) {
            return Err(Error::new(format!("entry `{}` {fault}", shown(name))));
        }
        names.add(name, false).map_err(|clash| Error::new(clash.text("the bundle")))?;
        if at > 0 && rank(&entries[at - 1].name) > rank(name) {
            return Err(Error::new(format!(
                "entries `{}` and `{}` are out of order",
                shown(&entries[at - 1].name),
                shown(name)
            )));
        }
        total += match &entry.content {
            Content::File(bytes) => bytes.len() as u64,
            Content::Link(target) => {
                if link_target(name, target).is_none() {
                    return Err(Error::new(format!(
                        "link `{}` leaves the bundle: its target is `{}`",
                        shown(name),
                        shown(target)
                    )));
                }
                target.len() as u64
            }
        };
    }
    names.check_parents().map_err(|clash| Error::new(clash.text("the bundle")))?;
    // With room for the headers: beyond 4 GiB an archive needs ZIP64 and its extra fields.
    if total > u64::from(u32::MAX) / 2 {
        return Err(Error::new(format!("the bundle has {total} bytes, too many for a ZIP archive")));
    }
    Ok(())
}

/// Lets bytes through until something fails, and then swallows the rest.
///
/// When `ZipWriter::finish` fails it drops the writer, and the drop tries to finish once more.
struct Gate<'a, W> {
    inner: &'a mut W,
    open: bool,
    position: u64,
    length: u64,
}

impl<W> Gate<'_, W> {
    fn pass<T>(&mut self, action: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let result = action(self.inner);
        // `write_all` tries again after an interruption.
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            self.open = false;
        }
        result
    }
}

impl<W: Write> Write for Gate<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = if self.open { self.pass(|inner| inner.write(bytes))? } else { bytes.len() };
        self.position += n as u64;
        self.length = self.length.max(self.position);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.open { self.pass(W::flush) } else { Ok(()) }
    }
}

impl<W: Seek> Seek for Gate<'_, W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = if self.open {
            self.pass(|inner| inner.seek(to))?
        } else {
            let to = match to {
                SeekFrom::Start(n) => Some(n),
                SeekFrom::Current(by) => self.position.checked_add_signed(by),
                SeekFrom::End(by) => self.length.checked_add_signed(by),
            };
            to.ok_or(io::ErrorKind::InvalidInput)?
        };
        Ok(self.position)
    }
}
