//! File reads and writes.
#![expect(clippy::disallowed_methods, reason = "the module that reads files")]

use std::io;

use camino::Utf8Path;

use crate::error::{Error, Result};

pub mod build_world;
pub mod write;

/// The bytes of a regular file.
///
/// Pipes and devices are refused before they are opened, where reading could wait for ever.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => Error::new(format!("`{path}` does not exist")),
        _ => Error::new(format!("could not read `{path}`")).because(cause),
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::new(format!("`{path}` is a directory")));
    }
    if !metadata.is_file() {
        return Err(Error::new(format!("`{path}` is not a regular file")));
    }
    std::fs::read(path).map_err(failed)
}
