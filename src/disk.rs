//! File reads and writes.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the module that reads files")]

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::elf::sections::{self, Section};
use crate::elf::{self, ElfError, ElfFacts};
use crate::error::{Error, Result};
use crate::repair::tail;

pub mod build_world;
pub mod capture;
pub mod include;
pub mod packages;
pub mod paths;
pub mod scratch;
pub mod stored;
pub mod write;

/// The bytes of a regular file.
///
/// Pipes and devices are refused before they are opened, where reading could wait for ever.
///
/// # Errors
///
/// Also that it was written to in the meantime, see `State`.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    let (mut file, size) = open(path)?;
    let state = State::of(&file).map_err(|cause| failed(path, cause))?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(|cause| failed(path, cause))?;
    state.check(&file, path)?;
    Ok(bytes)
}

/// A captured Debian with a desktop, the largest text that users have, comes to some 20 MB.
const LARGEST_TEXT: u64 = 256 << 20;

/// The text of a file of the user's; `kind` is what it should be, as "a baseline".
///
/// # Errors
///
/// As [`read`]; a file that is not UTF-8, has a NUL, or is larger than any of its kind. The caller adds the help.
pub fn text(path: &Utf8Path, kind: &str) -> Result<String> {
    let n_bytes = size(path)?;
    if n_bytes > LARGEST_TEXT {
        let (n_bytes, most) = (crate::text::size(n_bytes), crate::text::size(LARGEST_TEXT));
        return Err(Error::new(format!("`{path}` is too large for {kind}: {n_bytes}, and at most {most}")));
    }
    let text = String::from_utf8(read(path)?).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| Error::new(format!("`{path}` is not a text file")))
}

/// Which file a path leads to, links followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    #[cfg(unix)]
    inode: (u64, u64),
    #[cfg(not(unix))]
    path: Utf8PathBuf,
}

impl FileId {
    /// `None` if nothing is there.
    pub fn of(path: &Utf8Path) -> Option<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(path).ok()?;
            Some(FileId { inode: (found.dev(), found.ino()) })
        }
        #[cfg(not(unix))]
        canonicalize(path).ok().map(|path| FileId { path })
    }
}

/// By what a file is told to be the one that it was, with the bytes that it had.
///
/// A change within one tick of the file system's clock (some milliseconds) is not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: SystemTime,
    /// Device and inode, where there are such.
    id: Option<(u64, u64)>,
}

impl State {
    fn of(file: &std::fs::File) -> io::Result<State> {
        let now = file.metadata()?;
        #[cfg(unix)]
        let id = Some((std::os::unix::fs::MetadataExt::dev(&now), std::os::unix::fs::MetadataExt::ino(&now)));
        #[cfg(not(unix))]
        let id = None;
        Ok(State { bytes: now.len(), modified: now.modified()?, id })
    }

    /// Refuses a file that is another one, or was written to: bytes that were read may be of two files.
    fn check(&self, file: &std::fs::File, path: &Utf8Path) -> Result<()> {
        let now = State::of(file).map_err(|cause| failed(path, cause))?;
        if now == *self { Ok(()) } else { Err(changed(path)) }
    }
}

fn changed(path: &Utf8Path) -> Error {
    Error::new(format!("`{path}` changed while it was read")).help("run it again when nothing writes to it")
}

/// These bytes of a regular file.
pub fn read_part(path: &Utf8Path, range: Range<u64>) -> Result<Vec<u8>> {
    let (mut file, _) = open(path)?;
    read_range(&mut file, range).map_err(|cause| failed(path, cause))
}

/// Opens a regular file for reading, with its size in bytes.
pub fn open(path: &Utf8Path) -> Result<(std::fs::File, u64)> {
    let metadata = regular(path)?;
    let file = std::fs::File::open(path).map_err(|cause| failed(path, cause))?;
    Ok((file, metadata.len()))
}

/// What a regular file says as an ELF file. Of a large one only the parts that the loader looks at are read.
pub fn elf(path: &Utf8Path) -> Result<std::result::Result<ElfFacts, ElfError>> {
    let size = regular(path)?.len();
    read_elf(path, size).map_err(|cause| failed(path, cause))
}

/// What a file of `size` bytes says, with no more of it in memory than that takes.
fn read_elf(path: &Utf8Path, size: u64) -> io::Result<std::result::Result<ElfFacts, ElfError>> {
    let mut file = std::fs::File::open(path)?;
    elf::parse_ranges(size, |range| read_range(&mut file, range))
}

fn read_range(file: &mut std::fs::File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let n = range.end - range.start;
    let mut bytes = Vec::with_capacity(n as usize);
    file.seek(SeekFrom::Start(range.start))?;
    if file.take(n).read_to_end(&mut bytes)? as u64 != n {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// What the headers of a file say of its parts.
pub struct Parts {
    /// The size of the file in bytes.
    pub bytes: u64,
    /// Its ELF sections.
    pub sections: Vec<Section>,
    /// The bytes behind the end of its ELF part.
    pub tail_bytes: u64,
}

/// The parts of a regular file; only headers are read.
pub fn parts(path: &Utf8Path) -> Result<Parts> {
    let (mut file, bytes) = open(path)?;
    let mut read = |range| read_range(&mut file, range);
    let sections = sections::sections(bytes, &mut read).map_err(|cause| failed(path, cause))?;
    let tail_bytes = tail::length(bytes, &mut read).map_err(|cause| failed(path, cause))?;
    Ok(Parts { bytes, sections, tail_bytes })
}

/// The size of a regular file in bytes.
pub fn size(path: &Utf8Path) -> Result<u64> {
    regular(path).map(|metadata| metadata.len())
}

/// The path with all links followed.
pub fn canonicalize(path: &Utf8Path) -> Result<Utf8PathBuf> {
    paths::follow(path).map_err(|cause| failed(path, cause))
}

/// Whether anything is at the path.
pub fn exists(path: &Utf8Path) -> bool {
    path.exists()
}

/// Whether the path is a directory.
pub fn is_directory(path: &Utf8Path) -> bool {
    path.is_dir()
}

fn regular(path: &Utf8Path) -> Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(path).map_err(|cause| failed(path, cause))?;
    if metadata.is_dir() {
        return Err(Error::new(format!("`{path}` is a directory")));
    }
    if !metadata.is_file() {
        return Err(Error::new(format!("`{path}` is not a regular file")));
    }
    Ok(metadata)
}

fn failed(path: &Utf8Path, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::NotFound => Error::new(format!("`{path}` does not exist")),
        _ => Error::new(format!("could not read `{path}`")).because(cause),
    }
}
