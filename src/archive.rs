//! A plan's entries to ZIP bytes, on any `Write + Seek`; and back, for `verify`.
//!
//! The only user of the `zip` crate. It opens no file and decides nothing about content: names, modes
//! and order come from the plan, and what reading finds is judged elsewhere.
//!
//! Written archives hold to one form, so that the same entries give the same bytes on every host:
//! `bootstrap` first and the rest in byte order; deflate, or stored where that is not larger; sizes and
//! CRC in the local headers (no data descriptors); no extra fields, comments or directory entries; made
//! by Unix, 0755 or 0644; one time for all. Reading takes anyone's archive, hostile ones included:
//! memory and work are bounded by [`Limits`], and what two readers could understand in two ways is
//! refused.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use base64::Engine as _;
use sha2::Digest as _;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, PreparedZipFile, System, ZipArchive, ZipReadOptions, ZipWriter};

use crate::error::{Error, Result};

/// The entry that Lambda starts; it comes first in an archive.
pub const BOOTSTRAP: &str = "bootstrap";

/// The deflate level of every entry.
const LEVEL: i64 = 9;

/// Entries that the directory of a ZIP archive without ZIP64 can count.
const MAX_ENTRIES: usize = u16::MAX as usize - 1;

/// Bytes of all files together. With room for the headers: beyond 4 GiB an archive needs ZIP64 and its extra fields.
pub const MAX_BYTES: u64 = u32::MAX as u64 / 2;

/// Longest target of a symbolic link, Linux's PATH_MAX.
const MAX_LINK_BYTES: u64 = 4096;

/// What deflate makes at most of one byte: a match of 258 bytes takes two bits.
const MAX_RATIO: u64 = 1032;

/// The flags of an encrypted entry, of a strongly encrypted one, and of an encrypted directory.
///
/// Source: APPNOTE.TXT 6.3.10, section 4.4.4, bits 0, 6 and 13.
const ENCRYPTED: u16 = 0x2041;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// One member of an archive to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path in the archive, as `lib/libpq.so.5`: relative, `/` between parts, no `.` or `..`.
    pub name: String,
    /// The permissions of a file. A link is always 0777.
    pub mode: Mode,
    /// What it holds.
    pub content: Content,
}

/// The permissions of a written file, never copied from disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// 0755, for programs and shared objects that are started.
    Executable,
    /// 0644, for all else.
    Data,
}

impl Mode {
    /// The permission bits, without the file type.
    pub fn bits(self) -> u32 {
        match self {
            Mode::Executable => 0o755,
            Mode::Data => 0o644,
        }
    }
}

/// What a written entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file's bytes.
    File(Arc<Vec<u8>>),
    /// The target of a symbolic link: relative to the link's directory, and inside the archive.
    Link(String),
}

/// The modification time of every entry, in DOS form: local time without a zone, two-second steps.
///
/// The default is 1980-01-01 00:00:00, the first that DOS can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(zip::DateTime);

impl Default for Stamp {
    fn default() -> Self {
        Stamp(zip::DateTime::DEFAULT)
    }
}

impl Stamp {
    /// The UTC time of `SOURCE_DATE_EPOCH`, in seconds since 1970. Times before 1980 become 1980.
    ///
    /// An error for times after 2107, which DOS cannot say.
    ///
    /// Source: <https://reproducible-builds.org/specs/source-date-epoch/>, which asks for UTC.
    pub fn from_epoch(seconds: u64) -> Result<Stamp> {
        let (year, month, day) = civil(seconds / 86_400);
        if year < 1980 {
            return Ok(Stamp::default());
        }
        let of_day = seconds % 86_400;
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(|part| part as u8);
        u16::try_from(year)
            .ok()
            .and_then(|year| zip::DateTime::from_date_and_time(year, month, day, hour, minute, second).ok())
            .map(Stamp)
            .ok_or_else(|| {
                Error::new(format!(
                    "`SOURCE_DATE_EPOCH={seconds}` is after 2107, the last year of a ZIP time"
                ))
            })
    }
}

/// The Gregorian year, month and day of a day counted from 1970-01-01.
///
/// Source: `civil_from_days` in Howard Hinnant's "chrono-compatible low-level date algorithms".
pub(crate) fn civil(days: u64) -> (u64, u8, u8) {
    let days = days + 719_468; // from 0000-03-01, so that a leap day ends its year
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * march_month + 2) / 5 + 1) as u8;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u8;
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Puts entries in the order of an archive: `bootstrap` first, then by the bytes of their names.
pub fn order(entries: &mut [Entry]) {
    entries.sort_by(|a, b| rank(&a.name).cmp(&rank(&b.name)));
}

fn rank(name: &str) -> (bool, &[u8]) {
    (name != BOOTSTRAP, name.as_bytes())
}

/// Writes `entries` as a ZIP archive at the start of `out` and gives `out` back, flushed.
///
/// The entries must be in the order of [`order`], with unique, safe names, none below another's file.
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
    if total > MAX_BYTES {
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

/// Lambda's limit for a function and its layers, unzipped.
///
/// Source: AWS Lambda developer guide, quotas: 250 MB.
pub const LAMBDA_UNZIPPED_BYTES: u64 = 262_144_000;

/// How much [`read`] takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes to unpack at most, over all entries. An archive that declares more is listed, not unpacked.
    pub unzipped_bytes: u64,
    /// Entries to list at most. An archive with more is refused.
    pub entries: usize,
}

impl Default for Limits {
    /// [`LAMBDA_UNZIPPED_BYTES`], and what a directory without ZIP64 can count.
    fn default() -> Self {
        Limits { unzipped_bytes: LAMBDA_UNZIPPED_BYTES, entries: usize::from(u16::MAX) }
    }
}

/// What a ZIP archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The members, in the order of its directory.
    pub entries: Vec<ReadEntry>,
    /// The declared sizes of all members, added.
    pub unzipped_bytes: u64,
    /// Whether the files were unpacked. If not, `unzipped_bytes` is over the limit.
    pub unpacked: bool,
}

/// One member of an archive that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEntry {
    /// The path, without `./`, doubled `/` and a directory's last `/`. Relative, without `..`.
    pub name: String,
    /// The permission bits (0o7777), if the archive was made by Unix or macOS. Some tools leave 0.
    pub mode: Option<u32>,
    /// What it is.
    pub kind: Kind,
    /// Its size when unpacked.
    pub size: u64,
    /// Its size in the archive.
    pub compressed_size: u64,
    /// A file's bytes, checked against size and CRC. None for the other kinds, and if not unpacked.
    pub bytes: Option<Arc<Vec<u8>>>,
}

/// What a member of a read archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target as written, which may be absolute, dangling or outside.
    Link(String),
}

/// Reads the ZIP archive that messages call `file`.
///
/// Refused, with the entry's name: encryption, methods other than stored and deflate, names that leave
/// the archive or have a backslash, two entries for one path, device nodes, sizes or checksums that are
/// not true, local headers that say other than the directory, overlapping data. Bytes before the first
/// entry are allowed, as in a self-extracting archive.
pub fn read<R: Read + Seek>(file: &str, mut input: R, limits: &Limits) -> Result<Archive> {
    let head = Head::of(&mut input).map_err(|cause| unreadable(file, cause))?;
    if head.zip64 {
        return Err(Error::new(format!("`{file}` has a ZIP64 directory, for more than Lambda takes")));
    }
    let mut archive = ZipArchive::new(&mut input).map_err(|cause| head.not_a_zip(file, cause))?;
    let n_entries = archive.len();
    let has_duplicates = archive.has_duplicate_names();
    if n_entries > limits.entries {
        return Err(Error::new(format!(
            "`{file}` has {n_entries} entries, more than the {} we read",
            limits.entries
        )));
    }
    // Overlaps make work without end: one long stream under each of 65,535 names.
    if archive.has_overlapping_files().map_err(|cause| broken(file, cause))? {
        return Err(Error::new(format!("`{file}` has entries whose data overlap")));
    }
    let directory_start = archive.central_directory_start();
    let metadata = archive.metadata();
    drop(archive);

    let headers = central_headers(&mut input, directory_start, limits.entries)
        .map_err(|cause| unreadable(file, cause))?;
    let mut seen = BTreeMap::new();
    for header in &headers {
        if seen.insert(&header.name, ()).is_some() {
            let name = shown(&String::from_utf8_lossy(&header.name));
            return Err(Error::new(format!("`{file}` has two entries `{name}`")));
        }
    }
    if has_duplicates || headers.len() != n_entries {
        return Err(Error::new(format!(
            "`{file}` has a directory of {} entries that counts {n_entries}",
            headers.len()
        )));
    }

    let mut names = Names::default();
    let mut entries = Vec::with_capacity(n_entries);
    let mut unzipped_bytes: u64 = 0;
    for at in 0..n_entries {
        unzipped_bytes =
            unzipped_bytes.saturating_add(metadata.entry(at).map_err(|cause| broken(file, cause))?.size());
    }
    let unpacked = unzipped_bytes <= limits.unzipped_bytes;

    for (at, header) in headers.iter().enumerate() {
        let found = metadata.entry(at).map_err(|cause| broken(file, cause))?;
        let written_name = found.name().map_err(|cause| broken(file, cause))?.into_owned();
        let called = shown(&written_name);
        let refuse = |why: &str| Error::new(format!("`{file}`: entry `{called}` {why}"));

        let name: String =
            written_name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
        if written_name.starts_with('/') {
            return Err(refuse("has an absolute name"));
        }
        if name.is_empty() && written_name.ends_with('/') {
            continue; // `./`, the root itself
        }
        if let Some(fault) = name_fault(&name) {
            return Err(refuse(fault));
        }
        // An extra field (Info-ZIP Unicode Path) can rename an entry; not all readers know it.
        if header.name.is_ascii() && header.name != written_name.as_bytes() {
            return Err(refuse(&format!(
                "has a second name, `{}`",
                shown(&String::from_utf8_lossy(&header.name))
            )));
        }
        if header.flags & ENCRYPTED != 0 {
            return Err(refuse("is encrypted"));
        }
        if !matches!(header.method, 0 | 8) {
            return Err(refuse(&format!(
                "uses compression method {}{}; only stored and deflate are read",
                header.method,
                method_name(header.method)
            )));
        }
        if !header.agrees(&mut input, found.header_start()).map_err(|cause| unreadable(file, cause))? {
            return Err(refuse("has a local header that says other than the directory"));
        }

        let unix = matches!(header.system, 3 | 19).then_some(header.attributes >> 16);
        let is_directory = written_name.ends_with('/') || header.attributes & 0x10 != 0 && unix.is_none();
        let mut kind = match unix.unwrap_or(0) & S_IFMT {
            _ if is_directory => Kind::Directory,
            S_IFDIR => Kind::Directory,
            S_IFLNK => Kind::Link(String::new()),
            S_IFREG | 0 => Kind::File,
            _ => return Err(refuse("is neither a file, a directory nor a link")),
        };
        names
            .add(&name, kind == Kind::Directory)
            .map_err(|clash| Error::new(clash.text(&format!("`{file}`"))))?;

        let (size, compressed_size) = (found.size(), found.compressed_size());
        let unpack = || -> Result<Vec<u8>> {
            let capacity = size.min(compressed_size.saturating_mul(MAX_RATIO));
            let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
            found
                .with_reader(&mut input, ZipReadOptions::new())
                .map_err(plain)
                .and_then(|mut reader| reader.read_to_end(&mut bytes).map_err(plain_io))
                .map_err(|cause| refuse("cannot be unpacked").because(cause))?;
            if bytes.len() as u64 != size {
                return Err(refuse(&format!("has {} but declares {size}", n_bytes(bytes.len()))));
            }
            Ok(bytes)
        };
        let mut bytes = None;
        match &mut kind {
            Kind::Link(target) => {
                if size == 0 || size > MAX_LINK_BYTES {
                    return Err(refuse(&format!("is a link with a target of {size} bytes")));
                }
                *target = String::from_utf8(unpack()?)
                    .map_err(|_| refuse("is a link whose target is not UTF-8"))?;
                if target.contains('\0') {
                    return Err(refuse("is a link whose target has a NUL"));
                }
            }
            Kind::File if unpacked => bytes = Some(Arc::new(unpack()?)),
            Kind::File | Kind::Directory => {}
        }
        let mode = unix.map(|bits| bits & 0o7777);
        entries.push(ReadEntry { name, mode, kind, size, compressed_size, bytes });
    }
    names.check_parents().map_err(|clash| Error::new(clash.text(&format!("`{file}`"))))?;
    Ok(Archive { entries, unzipped_bytes, unpacked })
}

/// What a link's target means: a name in the same archive, or none if it is absolute or leaves it.
///
/// By names alone: links on the way are not followed.
pub fn link_target(link: &str, target: &str) -> Option<String> {
    if target.is_empty() || target.starts_with('/') || target.contains(['\0', '\\']) {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Why a name may not be in an archive, to follow "entry `name`".
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if name.is_empty() {
        Some("has no name")
    } else if name.contains('\0') {
        Some("has a NUL in its name")
    } else if name.contains('\\') {
        Some("has a backslash in its name")
    } else if name.starts_with('/') {
        Some("has an absolute name")
    } else if bytes[0].is_ascii_alphabetic() && bytes.get(1) == Some(&b':') {
        Some("has a name with a drive letter")
    } else if name.split('/').any(|part| part == "..") {
        Some("has a name that leaves the archive")
    } else if name.split('/').any(|part| matches!(part, "" | ".")) {
        Some("has a name with an empty part")
    } else {
        None
    }
}

/// The paths of one archive, to find two entries for one path.
#[derive(Default)]
struct Names(BTreeMap<String, bool>);

enum Clash {
    Same(String),
    Below { file: String, entry: String },
}

impl Names {
    fn add(&mut self, name: &str, is_directory: bool) -> std::result::Result<(), Clash> {
        match self.0.insert(name.to_owned(), is_directory) {
            None => Ok(()),
            Some(_) => Err(Clash::Same(name.to_owned())),
        }
    }

    /// A file or link that another entry has as a directory would be replaced, or written through.
    fn check_parents(&self) -> std::result::Result<(), Clash> {
        for name in self.0.keys() {
            for (at, _) in name.match_indices('/') {
                if self.0.get(&name[..at]) == Some(&false) {
                    return Err(Clash::Below { file: name[..at].to_owned(), entry: name.clone() });
                }
            }
        }
        Ok(())
    }
}

impl Clash {
    fn text(&self, archive: &str) -> String {
        match self {
            Clash::Same(name) => format!("{archive} has two entries `{}`", shown(name)),
            Clash::Below { file, entry } => {
                format!(
                    "{archive} has an entry `{}` below `{}`, which is no directory",
                    shown(entry),
                    shown(file)
                )
            }
        }
    }
}

/// A name as messages show it: control characters would reach the terminal.
fn shown(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// The fields of a central directory record that `zip` hides, merges or interprets.
struct CentralHeader {
    name: Vec<u8>,
    system: u8,
    flags: u16,
    method: u16,
    attributes: u32,
}

impl CentralHeader {
    /// Whether the local header names the same file, method and encryption.
    ///
    /// Readers differ in which of the two they believe.
    fn agrees<R: Read + Seek>(&self, input: &mut R, local_start: u64) -> io::Result<bool> {
        let mut fixed = [0; 30];
        input.seek(SeekFrom::Start(local_start))?;
        let mut name = vec![0; self.name.len()];
        match input.read_exact(&mut fixed).and_then(|()| input.read_exact(&mut name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(fixed.starts_with(b"PK\x03\x04")
            && u16_at(&fixed, 6) & ENCRYPTED == self.flags & ENCRYPTED
            && u16_at(&fixed, 8) == self.method
            && usize::from(u16_at(&fixed, 26)) == self.name.len()
            && name == self.name)
    }
}

/// The records of the central directory, one more than `limit` at most.
///
/// `zip` keeps one entry of each name and counts as the end record says; other readers go on as long as
/// there are records.
fn central_headers<R: Read + Seek>(
    input: &mut R,
    start: u64,
    limit: usize,
) -> io::Result<Vec<CentralHeader>> {
    input.seek(SeekFrom::Start(start))?;
    let mut input = BufReader::new(input);
    let mut headers = Vec::new();
    let mut fixed = [0; 46];
    while headers.len() <= limit {
        match input.read_exact(&mut fixed) {
            Ok(()) if fixed.starts_with(b"PK\x01\x02") => {}
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let mut name = vec![0; usize::from(u16_at(&fixed, 28))];
        input.read_exact(&mut name)?;
        input.seek_relative(i64::from(u16_at(&fixed, 30)) + i64::from(u16_at(&fixed, 32)))?;
        headers.push(CentralHeader {
            name,
            system: fixed[5],
            flags: u16_at(&fixed, 8),
            method: u16_at(&fixed, 10),
            attributes: u32::from(u16_at(&fixed, 38)) | u32::from(u16_at(&fixed, 40)) << 16,
        });
    }
    Ok(headers)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// What the ends of a file tell before it is taken for a ZIP archive.
struct Head {
    bytes: Vec<u8>,
    /// There is a ZIP64 directory. Its count has 64 bits, so it cannot be trusted with memory.
    zip64: bool,
}

impl Head {
    fn of<R: Read + Seek>(input: &mut R) -> io::Result<Head> {
        let length = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        input.by_ref().take(512).read_to_end(&mut bytes)?;
        // The end record, its comment, and the ZIP64 locator before it.
        let tail_start = length.saturating_sub(20 + 22 + 65_535);
        input.seek(SeekFrom::Start(tail_start))?;
        let mut tail = Vec::new();
        input.by_ref().take(20 + 22 + 65_535).read_to_end(&mut tail)?;
        let zip64 = tail.windows(24).any(|at| at.starts_with(b"PK\x06\x07") && at.ends_with(b"PK\x05\x06"));
        Ok(Head { bytes, zip64 })
    }

    fn not_a_zip(&self, file: &str, cause: ZipError) -> Error {
        let cause = match cause {
            ZipError::Io(cause)
                if !matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
            {
                return unreadable(file, cause);
            }
            cause => cause,
        };
        let head = &self.bytes;
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return Error::new(format!("`{file}` is not a whole ZIP archive")).because(plain(cause));
        }
        let error = Error::new(format!("`{file}` is not a ZIP archive: it {}", describe(head)));
        if head.starts_with(b"\x7fELF") {
            return error.help(format!("look at a program with `cargo lambda-bundle check --binary {file}`"));
        }
        error
    }
}

/// What a file is by its first bytes, to follow "it".
fn describe(head: &[u8]) -> &'static str {
    const MAGIC: [(&[u8], &str); 12] = [
        (b"\x7fELF", "is an ELF file"),
        (b"\x1f\x8b", "is gzip data, as in a .tar.gz"),
        (b"#!", "is a script"),
        (b"BZh", "is bzip2 data"),
        (b"\xfd7zXZ\0", "is xz data"),
        (b"\x28\xb5\x2f\xfd", "is zstd data"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        (b"Rar!", "is a RAR archive"),
        (b"!<arch>\n", "is a static library or a .deb package"),
        (b"MZ", "is a Windows program"),
        (b"\xcf\xfa\xed\xfe", "is a macOS program"),
        (b"\xca\xfe\xba\xbe", "is a macOS program or a Java class"),
    ];
    if head.is_empty() {
        return "is empty";
    }
    if head.get(257..262) == Some(b"ustar") {
        return "is a tar archive";
    }
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    known.map_or("does not begin like one", |(_, what)| what)
}

/// The name of a compression method, to follow its number.
///
/// Source: APPNOTE.TXT 6.3.10, section 4.4.5.
fn method_name(method: u16) -> &'static str {
    match method {
        1..=6 => " (an early PKZIP method)",
        9 => " (deflate64)",
        12 => " (bzip2)",
        14 => " (LZMA)",
        93 => " (zstd)",
        95 => " (xz)",
        98 => " (PPMd)",
        99 => " (AES encryption)",
        _ => "",
    }
}

fn unreadable(file: &str, cause: io::Error) -> Error {
    Error::new(format!("could not read `{file}`")).because(cause)
}

fn broken(file: &str, cause: ZipError) -> Error {
    Error::new(format!("`{file}` is a damaged ZIP archive")).because(plain(cause))
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The cause in its own words, without "i/o error:" and the like in front.
fn plain(error: ZipError) -> Cause {
    match error {
        ZipError::Io(error) => plain_io(error),
        ZipError::InvalidArchive(text) => text.into_owned().into(),
        ZipError::UnsupportedArchive(text) => text.into(),
        other => Box::new(other),
    }
}

fn plain_io(error: io::Error) -> Cause {
    Box::new(error)
}

/// The SHA-256 of an archive, in the two ways it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// As `sha256sum` prints it.
    pub hex: String,
    /// Lambda's `CodeSha256`: base64 of the 32 bytes.
    pub base64: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from_raw(&sha256(bytes))
    }

    /// The digest of all that `input` gives.
    pub fn of_reader(mut input: impl Read) -> io::Result<Digest> {
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(Digest::from_raw(&hasher.finalize().into())),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn from_raw(raw: &[u8; 32]) -> Digest {
        Digest {
            hex: raw.iter().map(|byte| format!("{byte:02x}")).collect(),
            base64: base64::engine::general_purpose::STANDARD.encode(raw),
        }
    }
}

/// The 32 bytes of a SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

fn n_bytes(n: usize) -> String {
    format!("{n} byte{}", if n == 1 { "" } else { "s" })
}
