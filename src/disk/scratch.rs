//! A directory for the files that another program works on.
#![expect(clippy::disallowed_methods, reason = "the module that writes files")]

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::interrupt::{self, Registered};
use crate::error::{Error, Result};

/// A new temporary directory, for this user alone. It is removed on drop; after a kill it may stay behind as
/// `lambda-bundle-<pid>-<n>`.
pub struct Scratch {
    path: Utf8PathBuf,
    _undone: Registered,
}

impl Scratch {
    /// Makes the directory.
    pub fn new() -> Result<Scratch> {
        let parent = std::env::temp_dir();
        let failed = || Error::new(format!("could not make a directory in `{}`", parent.display()));
        let parent = Utf8Path::from_path(&parent).ok_or_else(|| failed().because("it is not UTF-8"))?;
        #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no modes to set"))]
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let pid = std::process::id();
        let mut n = 0;
        loop {
            // An existing directory is never used, whoever made it.
            let path = parent.join(format!("lambda-bundle-{pid}-{n}"));
            match builder.create(&path) {
                Ok(()) => {
                    let made = path.clone();
                    let undo = move || {
                        // A tool that still runs may add a file in the meantime.
                        let _ = std::fs::remove_dir_all(&made).or_else(|_| std::fs::remove_dir_all(&made));
                    };
                    return Ok(Scratch { path, _undone: interrupt::undo(undo) });
                }
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && n < 1000 => n += 1,
                Err(cause) => {
                    return Err(failed().because(cause).help("set `TMPDIR` to a directory with free space"));
                }
            }
        }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        std::fs::write(&path, bytes).map_err(|cause| {
            Error::new(format!("could not write `{path}`"))
                .because(cause)
                .help("set `TMPDIR` to a directory with free space")
        })
    }

    /// Reads a file in it.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        super::read(&self.path.join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed stays among the temporary files, which the system clears.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
