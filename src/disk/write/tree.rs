//! Replaces a directory of files as a whole, or leaves it as it was.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the module that writes files")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::temporary::{self, Held};
use super::{Unfinished, failed, parent, sync_directory, wrap};
use crate::archive::{self, Content, Entry, Kind, ReadArchive, ReadEntry};
use crate::disk::interrupt::{self, Registered};
use crate::error::{Error, Result};

/// How much of an existing directory is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The files and directories at its top that the bundle has: what is beside them stays.
    Parts,
}

/// Writes `entries` as the files of the directory `path`, after `check` has read them back.
///
/// The files go to a new directory beside `path`. The two change places after all files are on disk and `check`
/// returns true; then the old one is removed. On any error the old one stays. After a kill one of the two may stay
/// behind as `.lambda-bundle-<pid>-<n>.tmp`, until the next run that writes beside it. `path` may contain only files
/// with the names of `entries`, and nothing else is ever removed. Of [`Extent::Parts`] each part changes places by itself.
///
/// The entries have passed [`crate::archive::check_plan`]. Modes are those of the entries whatever the umask is,
/// links stay links. Errors name `path`.
///
/// `keep` maps each file read back to what `check` sees. If `check` returns false, nothing changes. Returns whether
/// the directory was replaced.
pub fn replace<T>(
    path: &Utf8Path,
    entries: &[Entry],
    extent: Extent,
    keep: impl Fn(usize, Vec<u8>) -> T,
    check: impl FnOnce(&ReadArchive<T>) -> Result<bool>,
) -> Result<bool> {
    refuse_foreign(path, entries, extent)?;
    let mut unfinished = Unfinished::default();
    let around = parent(path);
    let new = unfinished.make_within(around, path, |around| {
        temporary::sweep(around);
        Tree::beside(around, entries)
    })?;
    new.fill(path)?;
    let read = new.read(keep).map_err(|cause| failed(path, cause))?;
    if !check(&read).map_err(|error| wrap(path, error))? {
        return Ok(false);
    }

    interrupt::whole(|| match extent {
        Extent::Parts if path.is_dir() => {
            tops(entries).into_iter().try_for_each(|top| place(&new.path.join(top), &path.join(top)))
        }
        Extent::Whole | Extent::Parts => place(&new.path, path),
    })?;
    unfinished.keep();
    sync_directory(around);
    Ok(true)
}

/// Moves a new file or directory to its place.
fn place(new: &Utf8Path, path: &Utf8Path) -> Result<()> {
    match std::fs::rename(new, path) {
        Ok(()) => Ok(()),
        // The temporary directory then contains the old files, or those of another run. It is removed on drop.
        Err(_) if path.is_dir() && new.is_dir() => exchange(new, path),
        Err(cause) => Err(failed(path, cause)),
    }
}

/// Returns the names at the top of a bundle.
fn tops(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().filter_map(|entry| entry.name.split('/').next()).collect()
}

/// Exchanges the directory `path` with `new`.
fn exchange(new: &Utf8Path, path: &Utf8Path) -> Result<()> {
    match exchange_at_once(new, path) {
        Err(cause) if cause.kind() == io::ErrorKind::Unsupported => {}
        done => return done.map_err(|cause| failed(path, cause)),
    }
    // A kill between the next two steps leaves the old directory aside, under a name that is not swept.
    let aside = new.with_extension("old");
    std::fs::rename(path, &aside).map_err(|cause| failed(path, cause))?;
    if let Err(cause) = std::fs::rename(new, path) {
        let error = failed(path, cause);
        return Err(match std::fs::rename(&aside, path) {
            Ok(()) => error,
            Err(_) => error.help(format!("what was there is in `{aside}`; move it back")),
        });
    }
    std::fs::rename(&aside, new).map_err(|cause| failed(path, cause))
}

/// Exchanges both in one step; `Unsupported` if the system cannot.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange_at_once(new: &Utf8Path, path: &Utf8Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    renameat_with(CWD, new.as_std_path(), CWD, path.as_std_path(), RenameFlags::EXCHANGE).map_err(|error| {
        match error {
            // Overlay file systems may return the last of these errors.
            Errno::NOSYS | Errno::INVAL | Errno::NOTSUP | Errno::XDEV => io::ErrorKind::Unsupported.into(),
            error => error.into(),
        }
    })
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange_at_once(_: &Utf8Path, _: &Utf8Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses a directory with files that are not in the bundle, which would be lost.
fn refuse_foreign(path: &Utf8Path, entries: &[Entry], extent: Extent) -> Result<()> {
    let could_not = format!("could not write `{path}`");
    if path.file_name().is_none() {
        return Err(Error::new(format!("{could_not}: it does not name a directory")));
    }
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Error::new(format!("{could_not}: it is not a directory"))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(path, cause)),
    }
    let files: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let directories = directories(entries);
    let top = (extent == Extent::Whole).then_some("");
    for directory in top.into_iter().chain(directories.iter().copied()) {
        let listing = match path.join(directory).read_dir_utf8() {
            Ok(listing) => listing,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(failed(path, cause)),
        };
        for found in listing {
            let found = found.map_err(|cause| failed(path, cause))?;
            let name = match directory {
                "" => found.file_name().to_owned(),
                directory => format!("{directory}/{}", found.file_name()),
            };
            let known = match found.file_type().map_err(|cause| failed(path, cause))?.is_dir() {
                true => &directories,
                false => &files,
            };
            if !known.contains(name.as_str()) {
                return Err(Error::new(format!(
                    "`{path}` contains `{name}`, which is not part of this bundle"
                ))
                .help("name another directory with `-o <DIR>`, or remove this one"));
            }
        }
    }
    Ok(())
}

/// Returns the directories of the entries, parents first.
fn directories(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().flat_map(|entry| entry.name.match_indices('/').map(|(at, _)| &entry.name[..at])).collect()
}

/// A directory with these entries, or some of them; they are removed on drop.
struct Tree<'a> {
    path: Utf8PathBuf,
    _held: Held,
    entries: &'a [Entry],
    _undone: Registered,
}

impl<'a> Tree<'a> {
    /// Creates a directory with a new name.
    fn beside(around: &Utf8Path, entries: &'a [Entry]) -> io::Result<Tree<'a>> {
        let (path, held) = temporary::make(around, |path| {
            std::fs::create_dir(path)?;
            super::or_remove(Held::directory(path), || std::fs::remove_dir(path))
        })?;
        let (made, names) = (path.clone(), names(entries));
        let undone = interrupt::undo(move || remove(&made, &names));
        Ok(Tree { path, _held: held, entries, _undone: undone })
    }

    /// Writes the entries. Errors are about the `path` that they are for.
    fn fill(&self, path: &Utf8Path) -> Result<()> {
        let directories = directories(self.entries);
        let make = |at: &Utf8Path| std::fs::create_dir(at).and_then(|()| set_mode(at, 0o755));
        let made = set_mode(&self.path, 0o755)
            .and_then(|()| directories.iter().try_for_each(|directory| make(&self.path.join(directory))));
        made.map_err(|cause| failed(path, cause))?;
        for entry in self.entries {
            let at = self.path.join(&entry.name);
            if let Content::Link(target) = &entry.content {
                link(target, &at).map_err(|cause| failed(path, cause))?;
                continue;
            }
            let mut file = File::create_new(&at).map_err(|cause| failed(path, cause))?;
            for range in archive::chunks(entry.content.n_bytes()) {
                let bytes = entry.content.read(range).map_err(|error| wrap(path, error))?;
                file.write_all(&bytes).map_err(|cause| failed(path, cause))?;
            }
            let finished = set_mode(&at, entry.mode.bits()).and_then(|()| file.sync_all());
            finished.map_err(|cause| failed(path, cause))?;
        }
        for directory in directories {
            sync_directory(&self.path.join(directory));
        }
        sync_directory(&self.path);
        Ok(())
    }

    /// Reads the entries back from disk.
    fn read<T>(&self, keep: impl Fn(usize, Vec<u8>) -> T) -> io::Result<ReadArchive<T>> {
        let read = |(at, entry)| self.read_one(entry, |bytes| keep(at, bytes));
        let entries = self.entries.iter().enumerate().map(read).collect::<io::Result<Vec<_>>>()?;
        let unzipped_bytes = entries.iter().map(|entry| entry.size).sum();
        Ok(ReadArchive { entries, unzipped_bytes, unpacked: true })
    }

    fn read_one<T>(&self, entry: &Entry, keep: impl FnOnce(Vec<u8>) -> T) -> io::Result<ReadEntry<T>> {
        let at = self.path.join(&entry.name);
        let metadata = at.symlink_metadata()?;
        let (kind, content) = if metadata.is_symlink() {
            (Kind::Link(at.read_link_utf8()?.into_string()), None)
        } else {
            (Kind::File, Some(keep(std::fs::read(&at)?)))
        };
        let (size, mode) = (metadata.len(), Some(mode(&metadata, entry)));
        Ok(ReadEntry { name: entry.name.clone(), mode, kind, size, compressed_size: size, content })
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        // In its place it is no longer here, and nothing is removed. The original error is the one to report.
        remove(&self.path, &names(self.entries));
    }
}

/// What a tree has.
struct TreeNames {
    files: Vec<String>,
    /// The directories, parents first.
    directories: Vec<String>,
}

fn names(entries: &[Entry]) -> TreeNames {
    TreeNames {
        files: entries.iter().map(|entry| entry.name.clone()).collect(),
        directories: directories(entries).into_iter().map(str::to_owned).collect(),
    }
}

/// Removes entries by name: files that someone else has added in the meantime stay, with their directory.
fn remove(path: &Utf8Path, names: &TreeNames) {
    for name in &names.files {
        let _ = std::fs::remove_file(path.join(name));
    }
    for name in names.directories.iter().rev() {
        let _ = std::fs::remove_dir(path.join(name));
    }
    let _ = std::fs::remove_dir(path);
}

#[cfg(unix)]
fn set_mode(path: &Utf8Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata, _: &Entry) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

#[cfg(unix)]
fn link(target: &str, at: &Utf8Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// There are no such modes here; whoever copies the directory to Linux has to set them.
#[cfg(not(unix))]
fn set_mode(_: &Utf8Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata, entry: &Entry) -> u32 {
    entry.mode.bits()
}

#[cfg(not(unix))]
fn link(_: &str, _: &Utf8Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no symbolic links; write a ZIP archive"))
}
