//! Reads files; the only part of `workspace` that uses the file system.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "cargo's directories are looked at while the program is searched"
)]

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};

/// Turns "not found" into None.
fn there<T>(path: &Utf8Path, look: io::Result<T>) -> Result<Option<T>> {
    match look {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::new(format!("could not read `{path}`")).because(error)),
    }
}

/// Whether there is a file (not a directory), symbolic links followed.
pub(super) fn is_file(path: &Utf8Path) -> Result<bool> {
    Ok(there(path, fs::metadata(path))?.is_some_and(|metadata| metadata.is_file()))
}

/// Whether there is anything at a path.
pub(super) fn exists(path: &Utf8Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns a path with all links followed; as it is, if it leads nowhere.
pub(super) fn real(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned())
}

/// Whether there is a directory, symbolic links followed.
pub(super) fn is_dir(path: &Utf8Path) -> Result<bool> {
    Ok(there(path, fs::metadata(path))?.is_some_and(|metadata| metadata.is_dir()))
}

/// Returns the modification time of a file; None without a file.
pub(super) fn modified(path: &Utf8Path) -> Result<Option<SystemTime>> {
    match there(path, fs::metadata(path))? {
        Some(metadata) => there(path, metadata.modified()),
        None => Ok(None),
    }
}

/// Returns the directories in a directory, sorted; none if it does not exist.
///
/// Names that are not UTF-8 are left out: cargo refuses to work with them.
pub(super) fn directories(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let Some(entries) = there(path, path.read_dir_utf8())? else { return Ok(Vec::new()) };
    let mut directories = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.kind() == ErrorKind::InvalidData => continue,
            Err(error) => return Err(Error::new(format!("could not read `{path}`")).because(error)),
        };
        if is_dir(entry.path())? {
            directories.push(entry.into_path());
        }
    }
    directories.sort();
    Ok(directories)
}

/// Returns the directories in a directory that are no symbolic links, sorted.
pub(super) fn own_directories(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut directories = directories(path)?;
    directories.retain(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()));
    Ok(directories)
}

/// Returns the regular files in a directory, symbolic links followed, sorted; none if it does not exist.
pub(super) fn files(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let Some(entries) = there(path, path.read_dir_utf8())? else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) if is_file(entry.path())? => files.push(entry.into_path()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(Error::new(format!("could not read `{path}`")).because(error)),
        }
    }
    files.sort();
    Ok(files)
}

/// Whether two paths lead to files with the same size and time: to one file, or to a copy with all its properties.
pub(super) fn same_file(left: &Utf8Path, right: &Utf8Path) -> Result<bool> {
    let state = |path: &Utf8Path| match there(path, fs::metadata(path))? {
        Some(metadata) => Ok(there(path, metadata.modified())?.map(|modified| (metadata.len(), modified))),
        None => Ok(None),
    };
    let left = state(left)?;
    Ok(left.is_some() && left == state(right)?)
}

/// Returns the names in a directory; none if it does not exist.
pub(super) fn names(path: &Utf8Path) -> Result<Vec<String>> {
    let Some(entries) = there(path, path.read_dir_utf8())? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name().to_owned()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(Error::new(format!("could not read `{path}`")).because(error)),
        }
    }
    names.sort();
    Ok(names)
}

/// Whether two paths lead to one file, symbolic links followed.
pub(super) fn is_one_file(left: &Utf8Path, right: &Utf8Path) -> Result<bool> {
    let canonical = |path: &Utf8Path| there(path, path.canonicalize());
    let left = canonical(left)?;
    Ok(left.is_some() && left == canonical(right)?)
}

/// Returns the text of a file; None without a file. Bytes that are not UTF-8 are replaced: they can only be part of
/// paths, which then do not exist.
///
/// A FIFO is refused: reading it could wait for ever.
pub(super) fn text(path: &Utf8Path) -> Result<Option<String>> {
    let found = there(path, fs::metadata(path))?;
    if found.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(format!("`{path}` is not a regular file")));
    }
    if found.is_some_and(|metadata| metadata.len() > LARGEST_TEXT) {
        return Err(Error::new(format!("`{path}` is too large for what cargo writes")));
    }
    Ok(there(path, fs::read(path))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// More than any text of cargo has.
const LARGEST_TEXT: u64 = 256 << 20;

/// More than any program has. A file with holes may have any size.
const LARGEST_PROGRAM: u64 = 4 << 30;

/// Whether two files have the same bytes. Of files that are larger than any program nothing is read.
pub(super) fn same_bytes(left: &Utf8Path, right: &Utf8Path) -> Result<bool> {
    let read = |path: &Utf8Path| {
        fs::read(path).map_err(|error| Error::new(format!("could not read `{path}`")).because(error))
    };
    let length = |path: &Utf8Path| Ok(there(path, fs::metadata(path))?.map(|metadata| metadata.len()));
    let (length, other) = (length(left)?, length(right)?);
    let is_small = length.is_none_or(|length| length <= LARGEST_PROGRAM);
    Ok(length == other && is_small && read(left)? == read(right)?)
}

/// Returns the machine (`e_machine`) of an ELF file; None for any other file.
pub(super) fn elf_machine(path: &Utf8Path) -> Result<Option<u16>> {
    const IDENT_DATA: usize = 5;
    const MACHINE: usize = 18;
    const BIG_ENDIAN: u8 = 2;
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(20).read_to_end(&mut head));
    if there(path, read)? != Some(20) || !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let machine = [head[MACHINE], head[MACHINE + 1]];
    Ok(Some(match head[IDENT_DATA] {
        BIG_ENDIAN => u16::from_be_bytes(machine),
        _ => u16::from_le_bytes(machine),
    }))
}
