//! File reads and writes.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the module that reads files")]

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};

use crate::elf::sections::{self, Section};
use crate::elf::{self, ElfError, ElfFacts};
use crate::error::{Error, Result};

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
/// Also that it was written to in the meantime: then the bytes may be of two files. It is told by size and time, so a
/// change within one tick of the file system's clock (some milliseconds) is not seen.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    let (mut file, size) = open(path)?;
    let state = |file: &std::fs::File| file.metadata().and_then(|now| Ok((now.len(), now.modified()?)));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = || {
        let before = state(&file)?;
        file.read_to_end(&mut bytes)?;
        Ok(before == state(&file)?)
    };
    match { read }().map_err(|cause| failed(path, cause))? {
        true => Ok(bytes),
        false => Err(Error::new(format!("`{path}` changed while it was read"))
            .help("run it again when nothing writes to it")),
    }
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

/// The size of a regular file in bytes and its ELF sections; only headers are read.
pub fn sections(path: &Utf8Path) -> Result<(u64, Vec<Section>)> {
    let (mut file, size) = open(path)?;
    let sections = sections::sections(size, |range| read_range(&mut file, range));
    sections.map(|sections| (size, sections)).map_err(|cause| failed(path, cause))
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
