//! Replaces one file, or one directory of files, as a whole, or leaves it as it was.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the module that writes files")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::interrupt::{self, Registered};
use crate::error::{Error, Result};

mod temporary;
pub mod tree;

use temporary::Held;

/// Writes the file `path` with `fill`, if `check` returns true; returns that result.
///
/// The bytes go to a new file beside `path`. It takes the place of `path` in one step, after its bytes are on disk
/// and `check`, which gets its path, returns true. Missing parent directories are made. On any error, and if `check`
/// returns false, the old file is unchanged, and the new file and the directories made for it are removed. After a
/// kill the new file may stay behind as `.lambda-bundle-<pid>-<n>.tmp`, until the next run that writes into its
/// directory.
///
/// A symbolic link at `path` is replaced, not followed. Errors name `path`.
pub fn replace(
    path: &Utf8Path,
    fill: impl FnOnce(&mut File) -> Result<()>,
    check: impl FnOnce(&Utf8Path) -> Result<bool>,
) -> Result<bool> {
    replace_file(path, Lasting::ThroughPowerCuts, fill, check)
}

/// What a power cut leaves of a file that was written before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// The whole file.
    ThroughPowerCuts,
    /// Perhaps a part of it, or nothing: who reads it must see that.
    Perhaps,
}

fn replace_file(
    path: &Utf8Path,
    lasting: Lasting,
    fill: impl FnOnce(&mut File) -> Result<()>,
    check: impl FnOnce(&Utf8Path) -> Result<bool>,
) -> Result<bool> {
    refuse_special(path)?;
    let mut unfinished = Unfinished::default();
    let directory = parent(path);
    let (temporary, mut file, held) = unfinished.make_within(directory, path, create_beside)?;
    unfinished.made_file(temporary.clone());
    fill(&mut file).map_err(|error| wrap(path, error))?;
    // `check` opens the file again, and sees what another program would, while the bytes go to the disk.
    let (is_right, synced) = std::thread::scope(|scope| {
        let sync = || file.sync_all();
        if lasting == Lasting::Perhaps {
            return (check(&temporary), Ok(()));
        }
        let syncing = std::thread::Builder::new().spawn_scoped(scope, sync);
        let is_right = check(&temporary);
        let synced = match syncing {
            Ok(syncing) => syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => sync(),
        };
        (is_right, synced)
    });
    if !is_right.map_err(|error| wrap(path, error))? {
        return Ok(false);
    }
    synced.map_err(|cause| failed(path, cause))?;
    drop(file);
    interrupt::whole(|| std::fs::rename(&temporary, path)).map_err(|cause| failed(path, cause))?;
    unfinished.keep();
    drop(held);
    if lasting == Lasting::ThroughPowerCuts {
        sync_directory(directory);
    }
    Ok(true)
}

/// Returns the parent directory of the path.
fn parent(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(parent) if parent != "" => parent,
        _ => Utf8Path::new("."),
    }
}

/// Calls [`replace`] with these bytes.
pub fn replace_with(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    replace(path, fill_with(bytes), |_| Ok(true)).map(drop)
}

/// Writes a file of which a power cut may leave a part: its reader notices. Waiting for the disk takes longer than all
/// else.
pub fn replace_record(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    replace_file(path, Lasting::Perhaps, fill_with(bytes), |_| Ok(true)).map(drop)
}

fn fill_with(bytes: &[u8]) -> impl FnOnce(&mut File) -> Result<()> {
    |file| file.write_all(bytes).map_err(|cause| Error::new("could not write it").because(cause))
}

/// Appends text to a file that other processes write to, too.
///
/// A pipe that nobody reads is an error: opening it would wait for ever.
pub fn append(path: &Utf8Path, text: &str) -> Result<()> {
    let mut open = OpenOptions::new();
    open.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut open,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = open.open(path);
    #[cfg(unix)]
    let file = file.and_then(|file| {
        // Its writing may wait for a slow reader.
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
        Ok(file)
    });
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|cause| failed(path, cause))
}

/// Removes files beside `newest` that were written `age` before it and whose name `is_meant` accepts.
///
/// Times are the file system's, so a wrong clock does not remove a file that was just written. Files that cannot be
/// examined or removed stay.
pub fn remove_older(newest: &Utf8Path, age: Duration, is_meant: impl Fn(&str) -> bool) {
    let modified = |path: &Utf8Path| {
        let metadata = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        metadata.modified().ok()
    };
    let limit = modified(newest).and_then(|newest| newest.checked_sub(age));
    let (Some(limit), Ok(listing)) = (limit, parent(newest).read_dir_utf8()) else { return };
    for found in listing.flatten().filter(|found| is_meant(found.file_name())) {
        if modified(found.path()).is_some_and(|modified| modified < limit) {
            let _ = std::fs::remove_file(found.path());
        }
    }
}

/// Refuses a file that a rename would destroy (`-o /dev/null`) or cannot replace.
fn refuse_special(path: &Utf8Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::new(format!("could not write `{path}`: it is a directory"))
                .help(format!("name a file in it: `-o {}`", path.join("bootstrap.zip"))))
        }
        Ok(found) if !found.is_file() => {
            Err(Error::new(format!("could not write `{path}`: it is not a regular file")))
        }
        // An obstacle here (no permission, a file as a parent) also stops the next steps, which report it in more
        // detail.
        Ok(_) | Err(_) => match path.file_name() {
            Some(_) => Ok(()),
            None => Err(Error::new(format!("could not write `{path}`: it names no file"))),
        },
    }
}

/// Creates a file with a new name.
fn create_beside(directory: &Utf8Path) -> io::Result<(Utf8PathBuf, File, Held)> {
    temporary::sweep(directory);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    temporary::make(directory, |path| {
        let file = options.open(path)?;
        let held = or_remove(Held::file(&file), || std::fs::remove_file(path))?;
        Ok((file, held))
    })
    .map(|(path, (file, held))| (path, file, held))
}

/// Removes what was just made if it could not be held. If another run has swept it, the name may belong to another file.
fn or_remove(held: io::Result<Held>, remove: impl FnOnce() -> io::Result<()>) -> io::Result<Held> {
    held.inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = remove();
        }
    })
}

/// Removes what an unfinished write has made, also after a panic.
#[derive(Default)]
struct Unfinished {
    file: Option<Utf8PathBuf>,
    /// Directories that were made, outermost first.
    directories: Vec<Utf8PathBuf>,
    /// The same for Ctrl-C.
    registered: Vec<Registered>,
}

impl Unfinished {
    /// Makes the missing directories, and calls `make` with the last one. Errors name `target`.
    ///
    /// Another program of the run that fails removes the directories that it made; then they are made again.
    fn make_within<T>(
        &mut self,
        directory: &Utf8Path,
        target: &Utf8Path,
        make: impl Fn(&Utf8Path) -> io::Result<T>,
    ) -> Result<T> {
        const TRIES: u32 = 100;
        let mut tries = 0;
        loop {
            let (cause, at) = match self.make_directories(directory) {
                Ok(()) => match make(directory) {
                    Ok(made) => return Ok(made),
                    Err(cause) => (cause, None),
                },
                Err((cause, at)) => (cause, Some(at)),
            };
            tries += 1;
            if cause.kind() == io::ErrorKind::NotFound && tries < TRIES {
                continue;
            }
            return Err(match at {
                None => failed(target, cause),
                Some(at) => {
                    let why = Error::new(format!("could not make the directory `{at}`"));
                    failed_because(target, cause.kind(), why.because(cause))
                }
            });
        }
    }

    /// Makes the missing directories; an error has the path of the one that could not be made.
    fn make_directories(
        &mut self,
        directory: &Utf8Path,
    ) -> std::result::Result<(), (io::Error, Utf8PathBuf)> {
        let missing: Vec<&Utf8Path> =
            directory.ancestors().take_while(|at| *at != "" && !at.exists()).collect();
        for at in missing.into_iter().rev() {
            match std::fs::create_dir(at) {
                Ok(()) => {
                    self.directories.push(at.to_owned());
                    let made = at.to_owned();
                    self.registered.push(interrupt::undo(move || drop(std::fs::remove_dir(made))));
                }
                // Another run made it in the meantime, so it is not removed here.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => {}
                Err(cause) => return Err((cause, at.to_owned())),
            }
        }
        Ok(())
    }

    fn made_file(&mut self, file: Utf8PathBuf) {
        self.file = Some(file.clone());
        self.registered.push(interrupt::undo(move || drop(std::fs::remove_file(file))));
    }

    fn keep(mut self) {
        self.registered.clear();
        self.file = None;
        self.directories.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The original error is the one to report. A directory that contains other files by now stays.
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn failed(path: &Utf8Path, cause: io::Error) -> Error {
    failed_because(path, cause.kind(), cause)
}

fn failed_because(
    path: &Utf8Path,
    kind: io::ErrorKind,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let error = Error::new(format!("could not write `{path}`")).because(cause);
    match kind {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            error.help("name a writable file")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            error.help("free some space there, or name a file on another disk")
        }
        _ => error,
    }
}

/// Adds the name of the file to an error of `fill` or `check`.
fn wrap(path: &Utf8Path, error: Error) -> Error {
    let help = error.help_text().map(str::to_owned);
    let mut cause = std::error::Error::source(&error);
    let mut kind = io::ErrorKind::Other;
    while let Some(inner) = cause {
        kind = inner.downcast_ref().map_or(kind, io::Error::kind);
        cause = inner.source();
    }
    let outer = failed_because(path, kind, error);
    match help {
        Some(help) => outer.help(help),
        None => outer,
    }
}

/// Makes the rename last through a power cut.
fn sync_directory(directory: &Utf8Path) {
    // The new file is in place and its bytes are on disk. Some file systems (network, FUSE) refuse to sync a
    // directory; after a power cut they have the old file or the new one.
    #[cfg(unix)]
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    #[cfg(not(unix))]
    let _ = directory;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_another_thread_removes_are_made_again() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(scratch.path()).unwrap();
        let directory = root.join("a/b");
        let n_calls = std::cell::Cell::new(0);
        let make = |directory: &Utf8Path| {
            n_calls.set(n_calls.get() + 1);
            if n_calls.get() < 3 {
                std::fs::remove_dir_all(root.join("a"))?;
            }
            File::create(directory.join("x.tmp"))
        };
        let mut unfinished = Unfinished::default();
        unfinished.make_within(&directory, &directory.join("x.zip"), make).unwrap();
        assert_eq!(n_calls.get(), 3);
        unfinished.keep();
        assert!(directory.join("x.tmp").is_file());

        let mut unfinished = Unfinished::default();
        let error = unfinished.make_within(&directory, &directory.join("x.zip"), |_| {
            Err::<(), _>(io::ErrorKind::NotFound.into())
        });
        assert!(error.unwrap_err().to_string().contains("x.zip"));
    }
}
