//! Reads a directory as the archive that a deployment tool makes of it.
#![expect(clippy::disallowed_methods, reason = "the module reads directories")]

use std::fs::Metadata;

use camino::{Utf8Path, Utf8PathBuf};

use super::failed;
use crate::archive::{Kind, Limits, ReadArchive, ReadEntry};
use crate::error::{Error, Result};
use crate::text::printable;

/// Reads the files of a directory with their modes, sorted by name. Links are not followed, as in an archive.
///
/// `keep` returns the value that is kept of each file's bytes. Sizes are added up before the first file is read: a
/// directory that is larger than an archive may be is listed, not read.
///
/// # Errors
///
/// If there are more entries than an archive can have, if something is neither a file, a directory nor a link, if a
/// name is not UTF-8, or if something cannot be read.
pub fn read<T>(path: &Utf8Path, limits: &Limits, keep: impl Fn(Vec<u8>) -> T) -> Result<ReadArchive<T>> {
    let mut entries = list(path, limits)?;
    let unzipped_bytes = entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
    let unpacked = unzipped_bytes <= limits.unzipped_bytes;
    for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::File && unpacked) {
        let bytes = super::read(&path.join(&entry.name))?;
        entry.size = bytes.len() as u64;
        entry.content = Some(keep(bytes));
    }
    Ok(ReadArchive { entries, unzipped_bytes, unpacked })
}

/// Lists what is below a directory.
fn list<T>(root: &Utf8Path, limits: &Limits) -> Result<Vec<ReadEntry<T>>> {
    let mut entries: Vec<ReadEntry<T>> = Vec::new();
    let mut directories = vec![Utf8PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let at = if directory == "" { root.to_owned() } else { root.join(&directory) };
        if super::is_of_kernel(&at) {
            return Err(Error::new(format!("`{at}` is a directory of the kernel"))
                .help("name the directory that is deployed"));
        }
        for found in std::fs::read_dir(&at).map_err(|cause| failed(&at, cause))? {
            let found = found.map_err(|cause| failed(&at, cause))?;
            let name = found.file_name();
            let Some(name) = name.to_str() else {
                let name = printable(&name.to_string_lossy());
                return Err(Error::new(format!("the name of `{name}` in `{at}` is not UTF-8"))
                    .help("rename it, or remove it"));
            };
            let name = directory.join(name);
            let entry = entry(&root.join(&name), name.as_str())?;
            if entry.kind == Kind::Directory {
                directories.push(name);
            }
            entries.push(entry);
            if entries.len() > limits.entries {
                let message = format!("`{root}` has more than {} files and directories", limits.entries);
                return Err(Error::new(message).help("name the directory that is deployed"));
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry<T>(at: &Utf8Path, name: &str) -> Result<ReadEntry<T>> {
    let metadata = at.symlink_metadata().map_err(|cause| failed(at, cause))?;
    let (kind, size) = if metadata.is_symlink() {
        let target = at.read_link_utf8().map_err(|cause| failed(at, cause))?.into_string();
        let n_bytes = target.len() as u64;
        (Kind::Link(target), n_bytes)
    } else if metadata.is_dir() {
        (Kind::Directory, 0)
    } else if metadata.is_file() {
        (Kind::File, metadata.len())
    } else {
        return Err(Error::new(format!("`{at}` is neither a file, a directory nor a link"))
            .help("remove it: no deployment can carry it"));
    };
    let mode = mode(&metadata);
    Ok(ReadEntry { name: name.to_owned(), mode, kind, size, compressed_size: size, content: None })
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    Some(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777)
}

/// A system without such modes leaves them to the deployment tool, which makes everything executable.
///
/// Source: `sam package` of aws-sam-cli sets 0755 on Windows (`make_zip_with_windows_permissions`).
#[cfg(not(unix))]
fn mode(_: &Metadata) -> Option<u32> {
    Some(0o755)
}
