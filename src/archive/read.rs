//! The reader of ZIP archives from any tool.

use std::io::{Read, Seek};
use std::sync::Arc;

use zip::ZipReadOptions;
use zip::read::ZipFileEntry;

use super::directory::{ZipDirectory, broken, plain, plain_io, unreadable};
use super::write::WrittenEntries;
use super::{EntryNames, S_IFLNK, S_IFREG, name_fault, name_help};
use crate::error::{Error, Result};
use crate::parallel;
use crate::text::{n_bytes, printable};

/// The longest target of a symbolic link, Linux's PATH_MAX.
const MAX_LINK_BYTES: u64 = 4096;

/// The number of bytes that one byte of a deflate stream can become at most: a match of 258 bytes takes two bits.
const MAX_RATIO: u64 = 1032;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;

/// Lambda's limit for a function and its layers, unzipped.
///
/// Source: AWS Lambda developer guide, quotas: 250 MB.
pub const LAMBDA_UNZIPPED_BYTES: u64 = 262_144_000;

/// The limits of [`read()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of bytes to unpack at most, over all entries. An archive that declares more is listed, not
    /// unpacked.
    pub unzipped_bytes: u64,
    /// The number of entries to list at most. An archive with more is refused.
    pub entries: usize,
}

impl Default for Limits {
    /// The limits are [`LAMBDA_UNZIPPED_BYTES`], and the number of entries that a directory without ZIP64 can count.
    fn default() -> Self {
        Limits { unzipped_bytes: LAMBDA_UNZIPPED_BYTES, entries: usize::from(u16::MAX) }
    }
}

/// The members of a ZIP archive; `T` is the value that is kept of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadArchive<T = Arc<Vec<u8>>> {
    /// The members, in the order of the archive's directory.
    pub entries: Vec<ReadEntry<T>>,
    /// The sum of the declared sizes of all members.
    pub unzipped_bytes: u64,
    /// Whether the files were unpacked. If false, `unzipped_bytes` is over the limit.
    pub unpacked: bool,
}

/// One member of a read archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEntry<T = Arc<Vec<u8>>> {
    /// The path, without `./`, doubled `/` and a directory's last `/`. Relative, without `..`.
    pub name: String,
    /// The permission bits (0o7777), if the archive was made on Unix or macOS by a tool that wrote them.
    pub mode: Option<u32>,
    /// The kind of member.
    pub kind: Kind,
    /// The size when unpacked.
    pub size: u64,
    /// The size in the archive.
    pub compressed_size: u64,
    /// A file's bytes, checked against size and CRC, or the value that is kept of them. `None` for the other kinds,
    /// and if the archive was not unpacked.
    pub content: Option<T>,
}

/// The kinds of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with its target as written, which may be absolute, dangling or outside.
    Link(String),
}

/// Reads the ZIP archive that messages call `file`.
///
/// An archive is refused, with the entry's name, for encryption, methods other than stored and deflate, names that
/// leave the archive or have a backslash, two entries for one path, device nodes, wrong sizes or checksums, local
/// headers that contradict the directory, and overlapping data. Bytes before the first entry are allowed, as in a
/// self-extracting archive.
pub fn read<R: Read + Seek + Send>(file: &str, input: R, limits: &Limits) -> Result<ReadArchive> {
    read_each(file, vec![input], limits, |_, bytes| Arc::new(bytes))
}

/// Reads an archive as [`read()`] does, and keeps the value that `keep` returns for the index and bytes of each file.
///
/// There is a thread for each of `inputs`, which must all be the same file; a thread holds the bytes of one file at a
/// time.
pub fn read_each<R: Read + Seek + Send, T: Send>(
    file: &str,
    mut inputs: Vec<R>,
    limits: &Limits,
    keep: impl Fn(usize, Vec<u8>) -> T + Sync,
) -> Result<ReadArchive<T>> {
    let Some(input) = inputs.first_mut() else { unreachable!("an archive is read from something") };
    let directory = ZipDirectory::read(file, input, limits)?;
    let unzipped_bytes = directory.unzipped_bytes()?;
    let unpacked = unzipped_bytes <= limits.unzipped_bytes;
    let mut names = EntryNames::default();
    let mut entries = Vec::with_capacity(directory.headers.len());
    // The files to unpack: their indices in `entries` and in the archive's directory.
    let mut files = Vec::new();
    for at in 0..directory.headers.len() {
        let Some(entry) = directory.entry(at, input)? else { continue };
        let is_directory = entry.kind == Kind::Directory;
        names.add(&entry.name, is_directory).map_err(|clash| directory.clash(&clash))?;
        if entry.kind == Kind::File && unpacked {
            files.push((entries.len(), at));
        }
        entries.push(entry);
    }
    names.check_parents().map_err(|clash| directory.clash(&clash))?;
    let unpack_one = |input: &mut R, (entry, at): (usize, usize)| {
        let found = directory.found(at)?;
        let called = printable(&found.name().map_err(|cause| broken(file, cause))?);
        Ok((entry, keep(entry, unpack(file, &called, found, input)?)))
    };
    parallel::in_order(inputs, files, unpack_one, |unpacked: Result<(usize, T)>| {
        let (entry, content) = unpacked?;
        entries[entry].content = Some(content);
        Ok::<(), Error>(())
    })?;
    Ok(ReadArchive { entries, unzipped_bytes, unpacked })
}

/// Reads the directory of an archive that was just written; `keep` returns the value that is kept of each file, by its
/// index. The caller has compared the bytes of the archive with those that were written.
///
/// Returns `None` if an entry is not where it was written, or has other fields.
///
/// # Errors
///
/// The errors of [`read()`], and those of `keep`.
pub fn read_written<R: Read + Seek, T>(
    file: &str,
    mut input: R,
    written: &WrittenEntries,
    keep: impl Fn(usize) -> Result<T>,
) -> Result<Option<ReadArchive<T>>> {
    let limits = Limits::default();
    let directory = ZipDirectory::read(file, &mut input, &limits)?;
    let unzipped_bytes = directory.unzipped_bytes()?;
    let unpacked = unzipped_bytes <= limits.unzipped_bytes;
    let mut entries = Vec::with_capacity(directory.headers.len());
    for at in 0..directory.headers.len() {
        let start = directory.found(at)?.header_start();
        let is_it = written.is_at(at, start, &directory.headers[at]);
        let Some(mut entry) = directory.entry(at, &mut input)?.filter(|_| is_it) else { return Ok(None) };
        if entry.kind == Kind::File && unpacked {
            entry.content = Some(keep(at)?);
        }
        entries.push(entry);
    }
    let is_whole = entries.len() == written.len();
    Ok(is_whole.then_some(ReadArchive { entries, unzipped_bytes, unpacked }))
}

impl ZipDirectory<'_> {
    /// One entry without its content. `None` for the root itself.
    fn entry<R: Read + Seek, T>(&self, at: usize, input: &mut R) -> Result<Option<ReadEntry<T>>> {
        let (file, header, found) = (self.file, &self.headers[at], self.found(at)?);
        let written_name = found.name().map_err(|cause| broken(file, cause))?.into_owned();
        let called = printable(&written_name);
        let refuse = |why: &str| Error::new(format!("`{file}`: entry `{called}` {why}"));

        let name: String =
            written_name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
        if written_name.starts_with('/') {
            return Err(refuse("has an absolute name").help(name_help(&name)));
        }
        if name.is_empty() && written_name.ends_with('/') {
            return Ok(None); // `./`
        }
        if let Some(fault) = name_fault(&name) {
            return Err(refuse(fault).help(name_help(&name)));
        }
        if let Some((fault, help)) = header.fault(&written_name) {
            return Err(refuse(&fault).help(help));
        }
        if !header.agrees(input, found.header_start()).map_err(|cause| unreadable(file, cause))? {
            return Err(refuse("has a local header that contradicts the directory")
                .help("zip the files again, with another tool"));
        }

        let unix = header.unix_mode();
        let is_directory = written_name.ends_with('/') || header.attributes & 0x10 != 0 && unix.is_none();
        let (size, compressed_size) = (found.size(), found.compressed_size());
        let kind = match unix.unwrap_or(0) & S_IFMT {
            _ if is_directory => Kind::Directory,
            S_IFDIR => Kind::Directory,
            S_IFLNK => Kind::Link(link_target(file, &called, found, input)?),
            S_IFREG | 0 => Kind::File,
            _ => return Err(refuse("is neither a file, a directory nor a link").help("leave it out")),
        };
        // A file without any right has its type, 0o100000.
        let mode = unix.filter(|bits| *bits != 0).map(|bits| bits & 0o7777);
        Ok(Some(ReadEntry { name, mode, kind, size, compressed_size, content: None }))
    }
}

/// Unpacks the target of the link that messages call `name`.
fn link_target<R: Read + Seek>(file: &str, name: &str, found: ZipFileEntry, input: &mut R) -> Result<String> {
    let refuse = |why: &str| Error::new(format!("`{file}`: entry `{name}` is a link {why}"));
    let size = found.size();
    if size == 0 || size > MAX_LINK_BYTES {
        return Err(refuse(&format!("with a target of {size} bytes")));
    }
    let target = String::from_utf8(unpack(file, name, found, input)?)
        .map_err(|_| refuse("whose target is not UTF-8"))?;
    if target.contains('\0') {
        return Err(refuse("whose target has a NUL"));
    }
    Ok(target)
}

/// Unpacks the entry that messages call `name`.
fn unpack<R: Read + Seek>(file: &str, name: &str, found: ZipFileEntry, input: &mut R) -> Result<Vec<u8>> {
    let refuse = |why: &str| Error::new(format!("`{file}`: entry `{name}` {why}"));
    let size = found.size();
    let capacity = size.min(found.compressed_size().saturating_mul(MAX_RATIO));
    let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
    found
        .with_reader(input, ZipReadOptions::new())
        .map_err(plain)
        .and_then(|mut reader| reader.read_to_end(&mut bytes).map_err(plain_io))
        .map_err(|cause| refuse("cannot be unpacked").because(cause))?;
    if bytes.len() as u64 != size {
        return Err(refuse(&format!("has {} but declares {size}", n_bytes(bytes.len()))));
    }
    Ok(bytes)
}
