//! Temporary names, `.lambda-bundle-<pid>-<n>.tmp`, and their removal after a kill.
//!
//! The process that makes such a file or directory holds a lock on it (`flock`), which the kernel releases when the
//! process ends. So a file without a lock is left over, and the next run that writes into the directory removes it.
//! Process ids are not checked: a process may be in another container, or on another machine.
//!
//! On a file system without such locks, and on Windows, nothing is removed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a part of the module that writes files"
)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

const START: &str = ".lambda-bundle-";
const END: &str = ".tmp";

/// Calls `make` with an unused name in the directory.
pub(super) fn make<T>(
    directory: &Utf8Path,
    mut make: impl FnMut(&Utf8Path) -> io::Result<T>,
) -> io::Result<(Utf8PathBuf, T)> {
    // No name is used twice in one process: a run that sweeps could remove the next file instead of the one it
    // examined.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const TRIES: u32 = 1000;

    // The name does not contain the target's, which may be too long for that. A name in use belongs to a process with
    // the same id in another container.
    let pid = std::process::id();
    let mut tries = 0;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{START}{pid}-{n}{END}"));
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Protects a file or directory from being swept, until it is dropped.
pub(super) struct Held(#[expect(dead_code, reason = "the lock goes with it")] Option<File>);

#[cfg(unix)]
impl Held {
    /// Locks a file that was just made.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`: another run has swept it, or is about to.
    pub(super) fn file(file: &File) -> io::Result<Held> {
        Held::new(file.try_clone()?)
    }

    /// Locks a directory that was just made.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::file`].
    pub(super) fn directory(path: &Utf8Path) -> io::Result<Held> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::ErrorKind::AlreadyExists.into()),
            opened => Held::new(opened?),
        }
    }

    fn new(file: File) -> io::Result<Held> {
        use std::os::unix::fs::MetadataExt;

        match lock(&file) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::ErrorKind::AlreadyExists.into()),
            Ok(()) if file.metadata()?.nlink() == 0 => Err(io::ErrorKind::AlreadyExists.into()),
            // Without locks no run sweeps, either.
            Ok(()) | Err(_) => Ok(Held(Some(file))),
        }
    }
}

/// An open file cannot be renamed there.
#[cfg(not(unix))]
impl Held {
    pub(super) fn file(_: &File) -> io::Result<Held> {
        Ok(Held(None))
    }

    pub(super) fn directory(_: &Utf8Path) -> io::Result<Held> {
        Ok(Held(None))
    }
}

#[cfg(unix)]
fn lock(file: &File) -> rustix::io::Result<()> {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
}

/// Removes files that killed runs left in the directory. A process reads each directory once.
#[cfg(unix)]
pub(super) fn sweep(directory: &Utf8Path) {
    use std::collections::BTreeSet;
    use std::sync::{Mutex, PoisonError};

    static SWEPT: Mutex<BTreeSet<Utf8PathBuf>> = Mutex::new(BTreeSet::new());
    if !SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.to_owned()) {
        return;
    }
    // Files that cannot be listed or removed do no harm, and the next run tries again.
    let Ok(listing) = std::fs::read_dir(directory) else { return };
    for found in listing.flatten() {
        if found.file_name().to_str().is_some_and(is_ours) {
            let _ = remove_unheld(&found.path());
        }
    }
}

#[cfg(not(unix))]
pub(super) fn sweep(_: &Utf8Path) {}

#[cfg(unix)]
fn is_ours(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let middle = name.strip_prefix(START).and_then(|rest| rest.strip_suffix(END));
    middle.and_then(|middle| middle.split_once('-')).is_some_and(|(pid, n)| number(pid) && number(n))
}

#[cfg(unix)]
fn remove_unheld(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let kind = std::fs::symlink_metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Ok(()); // Only files and directories are made here; opening a FIFO would hang.
    }
    let file = File::open(path)?;
    lock(&file)?;
    // It may have been moved to its place in the meantime, and its name given to another file.
    let (held, there) = (file.metadata()?, std::fs::symlink_metadata(path)?);
    if (held.dev(), held.ino()) != (there.dev(), there.ino()) {
        return Ok(());
    }
    if kind.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}
