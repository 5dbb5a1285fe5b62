//! A plan's entries to ZIP bytes, on any `Write`; and back, for `verify`.
//!
//! This is the only user of the `zip` crate, which reads, and of the compressors. It opens no file and decides
//! nothing about content: names, modes and order come from the plan, and other modules judge what was read.
//!
//! Written archives have one form, so that the same entries give the same bytes on every host: `bootstrap` first and
//! the rest in byte order; deflate, or stored where that is not larger; sizes and CRC in the local headers (no data
//! descriptors); no extra fields, comments or directory entries; made by Unix, 0755 or 0644; one time for all
//! entries. The reader takes any archive, including hostile ones: memory and work are bounded by [`Limits`], and an
//! archive that two readers could understand differently is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use sha2::Digest as _;

use crate::date::civil;
use crate::error::{Error, Result};
use crate::text::{hex, printable};

mod deflate;
mod directory;
mod hash;
mod read;
mod write;

pub use deflate::{CHUNK, Compression, NAME as COMPRESSOR, Streams, chunks};
pub use hash::{ChunkHashes, ContentHasher, hash};
pub use read::{Kind, LAMBDA_UNZIPPED_BYTES, Limits, ReadArchive, ReadEntry, read, read_each, read_written};
pub use write::{Options, WrittenEntries, check_plan, write, write_with};

/// The entry that Lambda starts; it comes first in an archive.
pub const BOOTSTRAP: &str = "bootstrap";

/// The size of all files together at most. It leaves room for the headers: beyond 4 GiB an archive needs ZIP64 and
/// its extra fields.
pub const MAX_BYTES: u64 = u32::MAX as u64 / 2;

const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// One member of an archive to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path in the archive, as `lib/libpq.so.5`: relative, `/` between parts, no `.` or `..`.
    pub name: String,
    /// The permissions of a file. A link is always 0777.
    pub mode: Mode,
    /// The content of the member.
    pub content: Content,
}

/// The permissions of a written file, never copied from disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// 0755, for programs and shared objects that are started.
    Executable,
    /// 0644, for all other files.
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

/// The content of a written entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file's bytes.
    File(Arc<Vec<u8>>),
    /// A regular file that is not in memory, and is read piece by piece.
    Stored(Arc<dyn Stored>),
    /// The target of a symbolic link: relative to the link's directory, and inside the archive.
    Link(String),
}

impl Content {
    /// The number of bytes after unpacking.
    pub fn n_bytes(&self) -> u64 {
        match self {
            Content::File(bytes) => bytes.len() as u64,
            Content::Stored(stored) => stored.n_bytes(),
            Content::Link(target) => target.len() as u64,
        }
    }

    /// Reads some of the bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`Stored::read`].
    pub fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        match self.in_memory() {
            Ok(bytes) => Ok(bytes[range.start as usize..range.end as usize].into()),
            Err(stored) => stored.read(range).map(Cow::Owned),
        }
    }

    /// The same, with room for the bytes of a stored file.
    ///
    /// # Errors
    ///
    /// The errors of [`Stored::read`].
    pub fn read_into<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match self.in_memory() {
            Ok(bytes) => Ok(&bytes[range.start as usize..range.end as usize]),
            Err(stored) => {
                stored.read_into(range, buffer)?;
                Ok(buffer)
            }
        }
    }

    /// All bytes, or the file that has them.
    pub fn in_memory(&self) -> std::result::Result<&[u8], &dyn Stored> {
        match self {
            Content::File(bytes) => Ok(bytes.as_slice()),
            Content::Link(target) => Ok(target.as_bytes()),
            Content::Stored(stored) => Err(&**stored),
        }
    }

    /// Whether an entry with this content has the target `link`, or these bytes.
    pub fn is(&self, link: Option<&str>, bytes: &[u8]) -> bool {
        match self {
            Content::File(own) => link.is_none() && **own == bytes,
            Content::Stored(own) => {
                link.is_none() && own.n_bytes() == bytes.len() as u64 && own.hash() == hash(bytes)
            }
            Content::Link(target) => link == Some(target),
        }
    }
}

/// A file that is not in memory as a whole.
pub trait Stored: std::fmt::Debug + Send + Sync {
    /// The number of bytes when the file was first read.
    fn n_bytes(&self) -> u64;
    /// The [`hash()`] of its bytes when the file was first read.
    fn hash(&self) -> u128;
    /// Reads some of the bytes as they are now: a caller that keeps them compares their hash. An empty range asks only
    /// whether the file is still the one that was read first.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has become shorter.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(range, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads bytes into `buffer`, which then has only them.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Stored::read).
    fn read_into(&self, range: Range<u64>, buffer: &mut Vec<u8>) -> Result<()>;
}

/// Stored contents are the same if their bytes are.
impl PartialEq for dyn Stored {
    fn eq(&self, other: &dyn Stored) -> bool {
        (self.n_bytes(), self.hash()) == (other.n_bytes(), other.hash())
    }
}

impl Eq for dyn Stored {}

/// The modification time of every entry, in DOS form: local time without a zone, two-second steps.
///
/// The default is 1980-01-01 00:00:00, the first time that DOS can represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(zip::DateTime);

impl Default for Timestamp {
    fn default() -> Self {
        Timestamp(zip::DateTime::DEFAULT)
    }
}

impl Timestamp {
    /// The UTC time of `SOURCE_DATE_EPOCH`, in seconds since 1970. Times before 1980 become 1980.
    ///
    /// Times after 2107, which DOS cannot represent, are an error.
    ///
    /// Source: <https://reproducible-builds.org/specs/source-date-epoch/>, which asks for UTC.
    pub fn from_epoch(seconds: u64) -> Result<Timestamp> {
        let (year, month, day) = civil(seconds / 86_400);
        if year < 1980 {
            return Ok(Timestamp::default());
        }
        let of_day = seconds % 86_400;
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(|part| part as u8);
        u16::try_from(year)
            .ok()
            .and_then(|year| zip::DateTime::from_date_and_time(year, month, day, hour, minute, second).ok())
            .map(Timestamp)
            .ok_or_else(|| {
                Error::new(format!(
                    "`SOURCE_DATE_EPOCH={seconds}` is after 2107, the last year of a ZIP time"
                ))
            })
    }
}

/// Puts entries in the order of an archive: `bootstrap` first, then by the bytes of their names.
pub fn order(entries: &mut [Entry]) {
    entries.sort_by(|a, b| rank(&a.name).cmp(&rank(&b.name)));
}

fn rank(name: &str) -> (bool, &[u8]) {
    (name != BOOTSTRAP, name.as_bytes())
}
/// The name in the same archive that a link's target means; none if the target is absolute or leaves the archive.
///
/// Only names count: links on the way are not followed.
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

/// The reason why an archive may not have a name, to follow "entry `name`".
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

/// Advises how to make an archive without such a name.
fn name_help(name: &str) -> &'static str {
    match name.contains('\\') {
        true => {
            "zip it with a tool that writes `/` in names: `tar -a -cf app.zip *` on Windows, 7-Zip or PowerShell 7 (`Compress-Archive` of Windows PowerShell writes backslashes)"
        }
        false => "zip the files by their names in the directory: `cd <DIR> && zip -r ../app.zip .`",
    }
}

/// The paths of one archive, to detect two entries for one path.
#[derive(Default)]
struct EntryNames(BTreeMap<String, bool>);

enum Clash {
    Same(String),
    Below { file: String, entry: String },
}

impl EntryNames {
    fn add(&mut self, name: &str, is_directory: bool) -> std::result::Result<(), Clash> {
        match self.0.insert(name.to_owned(), is_directory) {
            None => Ok(()),
            Some(_) => Err(Clash::Same(name.to_owned())),
        }
    }

    /// Checks that no entry is below a file or link of another entry, which would be replaced or written through.
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
            Clash::Same(name) => format!("{archive} has two entries `{}`", printable(name)),
            Clash::Below { file, entry } => {
                format!(
                    "{archive} has an entry `{}` below `{}`, which is not a directory",
                    printable(entry),
                    printable(file)
                )
            }
        }
    }
}

/// The SHA-256 of an archive, in two notations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The digits that `sha256sum` prints.
    pub hex: String,
    /// Lambda's `CodeSha256`: base64 of the 32 bytes.
    pub base64: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from_raw(&sha256(bytes))
    }

    /// The digest of everything that `input` yields.
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

    /// The digest of a content.
    ///
    /// # Errors
    ///
    /// The errors of [`Content::read`].
    pub fn of_content(content: &Content) -> Result<Digest> {
        let mut hasher = sha2::Sha256::new();
        for range in chunks(content.n_bytes()) {
            hasher.update(content.read(range)?);
        }
        Ok(Digest::from_raw(&hasher.finalize().into()))
    }

    /// The digest with these `sha256sum` digits; `None` if they are not one.
    pub fn from_hex(hex: &str) -> Option<Digest> {
        let mut raw = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (at, byte) in raw.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Digest::from_raw(&raw))
    }

    fn from_raw(raw: &[u8; 32]) -> Digest {
        Digest { hex: hex(raw), base64: base64::engine::general_purpose::STANDARD.encode(raw) }
    }
}

/// A writer that passes bytes on, counts them and computes their digests.
pub struct Tally<W> {
    out: W,
    n_bytes: u64,
    sha256: sha2::Sha256,
    hash: ContentHasher,
}

impl<W: Write> Tally<W> {
    /// A tally of the bytes that are written to `out` from now on.
    pub fn new(out: W) -> Tally<W> {
        Tally { out, n_bytes: 0, sha256: sha2::Sha256::new(), hash: ContentHasher::default() }
    }

    /// The number of written bytes, their digest and their [`hash()`].
    pub fn finish(self) -> (u64, Digest, u128) {
        (self.n_bytes, Digest::from_raw(&self.sha256.finalize().into()), self.hash.finish().hash())
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.n_bytes += n as u64;
        self.sha256.update(&bytes[..n]);
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The 32 bytes of a SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}
