//! The reader of ZIP archives from any tool.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::{ZipArchive, ZipReadOptions};

use super::{EntryNames, S_IFLNK, S_IFREG, name_fault};
use crate::error::{Error, Result};
use crate::parallel;
use crate::text::{n_bytes, printable};

/// The longest target of a symbolic link, Linux's PATH_MAX.
const MAX_LINK_BYTES: u64 = 4096;

/// The number of bytes that one byte of a deflate stream can become at most: a match of 258 bytes takes two bits.
const MAX_RATIO: u64 = 1032;

/// The flags of an encrypted entry, of a strongly encrypted one, and of an encrypted directory.
///
/// Source: APPNOTE.TXT 6.3.10, section 4.4.4, bits 0, 6 and 13.
const ENCRYPTED: u16 = 0x2041;

/// The flag of an entry whose sizes and checksum follow its data.
const STREAMED: u16 = 0x8;

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
    /// The permission bits (0o7777), if the archive was made on Unix or macOS. Some tools leave 0.
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
/// An archive is refused, with the entry's name, for encryption, methods other than stored and deflate, names that
/// leave the archive or have a backslash, two entries for one path, device nodes, wrong sizes or checksums, local
/// headers that contradict the directory, and overlapping data. Bytes before the first entry are allowed, as in a
/// self-extracting archive.
/// entry are allowed, as in a self-extracting archive.
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
    let Some(mut input) = inputs.first_mut() else { unreachable!("an archive is read from something") };
    let head = Head::of(&mut input).map_err(|cause| unreadable(file, cause))?;
    if head.zip64 {
        return Err(Error::new(format!("`{file}` has a ZIP64 directory, for more than Lambda takes")));
    }
    let mut archive = ZipArchive::new(&mut input).map_err(|cause| head.not_a_zip(file, cause))?;
    let n_entries = archive.len();
    let has_duplicates = archive.has_duplicate_names();
    if n_entries > limits.entries {
        return Err(Error::new(format!(
            "`{file}` has {n_entries} entries, more than the {} that are read",
            limits.entries
        )));
    }
    // Overlaps make unlimited work: one long stream under each of 65,535 names.
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
            let name = printable(&String::from_utf8_lossy(&header.name));
            return Err(Error::new(format!("`{file}` has two entries `{name}`")));
        }
    }
    if has_duplicates || headers.len() != n_entries {
        return Err(Error::new(format!(
            "`{file}` has a directory of {} entries that counts {n_entries}",
            headers.len()
        )));
    }

    let mut names = EntryNames::default();
    let mut entries = Vec::with_capacity(n_entries);
    // The files to unpack: their indices in `entries` and in the archive's directory.
    let mut files = Vec::new();
    let mut unzipped_bytes: u64 = 0;
    for at in 0..n_entries {
        unzipped_bytes =
            unzipped_bytes.saturating_add(metadata.entry(at).map_err(|cause| broken(file, cause))?.size());
    }
    let unpacked = unzipped_bytes <= limits.unzipped_bytes;

    for (at, header) in headers.iter().enumerate() {
        let found = metadata.entry(at).map_err(|cause| broken(file, cause))?;
        let written_name = found.name().map_err(|cause| broken(file, cause))?.into_owned();
        let called = printable(&written_name);
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
        // An extra field (Info-ZIP Unicode Path) can rename an entry; not all readers support it.
        if header.name.is_ascii() && header.name != written_name.as_bytes() {
            return Err(refuse(&format!(
                "has a second name, `{}`",
                printable(&String::from_utf8_lossy(&header.name))
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
            return Err(refuse("has a local header that contradicts the directory"));
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
        if let Kind::Link(target) = &mut kind {
            if size == 0 || size > MAX_LINK_BYTES {
                return Err(refuse(&format!("is a link with a target of {size} bytes")));
            }
            *target = String::from_utf8(unpack(file, &called, found, &mut input)?)
                .map_err(|_| refuse("is a link whose target is not UTF-8"))?;
            if target.contains('\0') {
                return Err(refuse("is a link whose target has a NUL"));
            }
        }
        if kind == Kind::File && unpacked {
            files.push((entries.len(), at));
        }
        let mode = unix.map(|bits| bits & 0o7777);
        entries.push(ReadEntry { name, mode, kind, size, compressed_size, content: None });
    }
    names.check_parents().map_err(|clash| Error::new(clash.text(&format!("`{file}`"))))?;
    let unpack_one = |input: &mut R, (entry, at): (usize, usize)| {
        let found = metadata.entry(at).map_err(|cause| broken(file, cause))?;
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

/// The fields of a central directory record that `zip` hides, merges or interprets.
struct CentralHeader {
    name: Vec<u8>,
    system: u8,
    flags: u16,
    method: u16,
    /// The CRC and both sizes as written.
    sums: [u8; 12],
    attributes: u32,
}

impl CentralHeader {
    /// Whether the local header names the same file, method, encryption, sizes and checksum.
    ///
    /// Readers differ in which of the two headers they trust. A writer that could not go back left zeros and marks
    /// them (bit 3); a writer that was prepared for more than 4 GiB has the sizes in an extra field.
    ///
    /// Source: APPNOTE.TXT 6.3.10, sections 4.4.4, 4.4.7 to 4.4.9.
    fn agrees<R: Read + Seek>(&self, input: &mut R, local_start: u64) -> io::Result<bool> {
        let mut fixed = [0; 30];
        input.seek(SeekFrom::Start(local_start))?;
        let mut name = vec![0; self.name.len()];
        match input.read_exact(&mut fixed).and_then(|()| input.read_exact(&mut name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        let is_streamed = u16_at(&fixed, 6) & STREAMED != 0;
        let agrees = |(local, central): (&[u8], &[u8])| {
            local == central || local == [0xff; 4] || is_streamed && local == [0; 4]
        };
        Ok(fixed.starts_with(b"PK\x03\x04")
            && fixed[14..26].chunks(4).zip(self.sums.chunks(4)).all(agrees)
            && u16_at(&fixed, 6) & ENCRYPTED == self.flags & ENCRYPTED
            && u16_at(&fixed, 8) == self.method
            && usize::from(u16_at(&fixed, 26)) == self.name.len()
            && name == self.name)
    }
}

/// Reads the records of the central directory, at most one more than `limit`.
///
/// `zip` keeps one entry of each name and trusts the count in the end record; other readers go on as long as there
/// are records.
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
            sums: fixed[16..28].try_into().unwrap_or_default(),
            attributes: u32::from(u16_at(&fixed, 38)) | u32::from(u16_at(&fixed, 40)) << 16,
        });
    }
    Ok(headers)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The first bytes of a file, and a check of the last ones, before it is read as a ZIP archive.
struct Head {
    bytes: Vec<u8>,
    /// Whether there is a ZIP64 directory. Its count has 64 bits, so no memory may be reserved by it.
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
            return Error::new(format!("`{file}` is a truncated or damaged ZIP archive"))
                .because(plain(cause));
        }
        let error = Error::new(format!("`{file}` is not a ZIP archive: it {}", describe(head)));
        if head.starts_with(b"\x7fELF") {
            return error.help(format!("look at a program with `cargo lambda-bundle check --binary {file}`"));
        }
        error
    }
}

/// The kind of a file by its first bytes, to follow "it".
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

/// The cause in plain words, without a prefix such as "i/o error:".
fn plain(error: ZipError) -> Cause {
    match error {
        ZipError::Io(error) => plain_io(error),
        ZipError::InvalidArchive(text) if text == "Could not find EOCD" => {
            "it has no end-of-central-directory record".into()
        }
        ZipError::InvalidArchive(text) => text.into_owned().into(),
        ZipError::UnsupportedArchive(text) => text.into(),
        other => Box::new(other),
    }
}

fn plain_io(error: io::Error) -> Cause {
    Box::new(error)
}
