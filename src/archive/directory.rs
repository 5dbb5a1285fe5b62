//! The directory of a ZIP archive from any tool, checked before anything is unpacked.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use zip::ZipArchive;
use zip::read::{ZipArchiveMetadata, ZipFileEntry};
use zip::result::ZipError;

use super::{Clash, Limits};
use crate::error::{Error, Result};
use crate::text::printable;

/// The flags of an encrypted entry, of a strongly encrypted one, and of an encrypted directory.
///
/// Source: APPNOTE.TXT 6.3.10, section 4.4.4, bits 0, 6 and 13.
const ENCRYPTED: u16 = 0x2041;

/// The flag of an entry whose sizes and checksum follow its data.
const STREAMED: u16 = 0x8;

/// The directory of an archive.
pub(super) struct ZipDirectory<'a> {
    /// The name of the archive in messages.
    pub file: &'a str,
    /// The records, in their order.
    pub headers: Vec<CentralHeader>,
    metadata: Arc<ZipArchiveMetadata>,
}

impl<'a> ZipDirectory<'a> {
    /// Reads the directory of the archive that messages call `file`.
    ///
    /// # Errors
    ///
    /// If it is no archive, has too many entries, two of one name, overlapping data, or a wrong count.
    pub fn read<R: Read + Seek>(file: &'a str, input: &mut R, limits: &Limits) -> Result<ZipDirectory<'a>> {
        let head = Head::of(input).map_err(|cause| unreadable(file, cause))?;
        if head.zip64 {
            return Err(Error::new(format!("`{file}` has a ZIP64 directory, for more than Lambda takes"))
                .help("zip the files again without ZIP64: from a directory, not from a pipe (`zip -r app.zip .`)"));
        }
        let mut archive = ZipArchive::new(&mut *input).map_err(|cause| head.not_a_zip(file, cause))?;
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
        let start = archive.central_directory_start();
        let metadata = archive.metadata();
        drop(archive);

        let headers =
            central_headers(input, start, limits.entries).map_err(|cause| unreadable(file, cause))?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = headers.iter().find(|header| !seen.insert(&header.name)) {
            let name = printable(&String::from_utf8_lossy(&twice.name));
            return Err(Error::new(format!("`{file}` has two entries `{name}`"))
                .help("remove the ZIP and zip each file once into a new one"));
        }
        if has_duplicates || headers.len() != n_entries {
            return Err(Error::new(format!(
                "`{file}` has a directory of {} entries that counts {n_entries}",
                headers.len()
            )));
        }
        Ok(ZipDirectory { file, headers, metadata })
    }

    /// The record at this index, as `zip` reads it.
    pub fn found(&self, at: usize) -> Result<ZipFileEntry<'_>> {
        self.metadata.entry(at).map_err(|cause| broken(self.file, cause))
    }

    /// The sum of the declared sizes of all entries.
    pub fn unzipped_bytes(&self) -> Result<u64> {
        (0..self.headers.len()).try_fold(0u64, |sum, at| Ok(sum.saturating_add(self.found(at)?.size())))
    }

    /// The error about two names.
    pub fn clash(&self, clash: &Clash) -> Error {
        Error::new(clash.text(&format!("`{}`", self.file)))
            .help("remove the ZIP and zip each file once into a new one")
    }
}

/// The fields of a central directory record that `zip` hides, merges or interprets.
pub(super) struct CentralHeader {
    name: Vec<u8>,
    system: u8,
    flags: u16,
    method: u16,
    /// The CRC and both sizes as written.
    sums: [u8; 12],
    pub attributes: u32,
}

impl CentralHeader {
    /// The reason, to follow an entry's name, why the entry called `written_name` is refused, and what to do.
    pub fn fault(&self, written_name: &str) -> Option<(String, &'static str)> {
        // An extra field (Info-ZIP Unicode Path) can rename an entry; not all readers support it.
        if self.name.is_ascii() && self.name != written_name.as_bytes() {
            let second = printable(&String::from_utf8_lossy(&self.name));
            return Some((
                format!("has a second name, `{second}`"),
                "zip the files again, with names in UTF-8",
            ));
        }
        if self.flags & ENCRYPTED != 0 {
            return Some(("is encrypted".to_owned(), "zip the files without a password; Lambda has none"));
        }
        (!matches!(self.method, 0 | 8)).then(|| {
            let name = method_name(self.method);
            let fault =
                format!("uses compression method {}{name}; only stored and deflate are read", self.method);
            (
                fault,
                "zip the files with deflate, which all tools have (`zip -r app.zip .`, `7z a -mm=Deflate`)",
            )
        })
    }

    /// Whether the entry has this method, CRC and sizes.
    pub fn has(&self, method: u16, sums: [u8; 12]) -> bool {
        (self.method, self.sums) == (method, sums)
    }

    /// The file's type and permissions, if the archive was made on Unix or macOS.
    pub fn unix_mode(&self) -> Option<u32> {
        matches!(self.system, 3 | 19).then_some(self.attributes >> 16)
    }

    /// Whether the local header names the same file, method, encryption, sizes and checksum.
    ///
    /// Readers differ in which of the two headers they trust. A writer that could not go back left zeros and marks
    /// them (bit 3); a writer that was prepared for more than 4 GiB has the sizes in an extra field.
    ///
    /// Source: APPNOTE.TXT 6.3.10, sections 4.4.4, 4.4.7 to 4.4.9.
    pub fn agrees<R: Read + Seek>(&self, input: &mut R, local_start: u64) -> io::Result<bool> {
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
        if is_other_archive(head) {
            return error.help("Lambda takes ZIP files only: unpack it and zip its contents");
        }
        if head.starts_with(b"\x7fELF") {
            return error.help(format!("look at a program with `cargo lambda-bundle check --binary {file}`"));
        }
        error
    }
}

/// Whether a file is an archive of another format, or compressed.
fn is_other_archive(head: &[u8]) -> bool {
    let formats: [&[u8]; 6] =
        [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!"];
    head.get(257..262) == Some(b"ustar") || formats.iter().any(|magic| head.starts_with(magic))
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

pub(super) fn unreadable(file: &str, cause: io::Error) -> Error {
    Error::new(format!("could not read `{file}`")).because(cause)
}

pub(super) fn broken(file: &str, cause: ZipError) -> Error {
    Error::new(format!("`{file}` is a damaged ZIP archive")).because(plain(cause))
}

pub(super) type BoxedCause = Box<dyn std::error::Error + Send + Sync>;

/// The cause in plain words, without a prefix such as "i/o error:".
pub(super) fn plain(error: ZipError) -> BoxedCause {
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

pub(super) fn plain_io(error: io::Error) -> BoxedCause {
    Box::new(error)
}
