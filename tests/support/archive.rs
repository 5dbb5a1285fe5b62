//! The ZIP archives of the tests, as `unzip` reads them.
//!
//! Where it is not installed the `zip` crate reads them, which says so; in CI that is a failure.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use zip::ZipArchive;

use super::tools;

/// The names, in the order of the archive.
#[track_caller]
pub fn names(archive: &Path) -> Vec<String> {
    if !has_unzip() {
        let mut read = open(archive);
        return (0..read.len()).map(|at| read.by_index(at).unwrap().name().unwrap().into_owned()).collect();
    }
    let listing = unzip(Command::new("unzip").arg("-Z1").arg(archive)).stdout;
    String::from_utf8(listing).unwrap().lines().map(str::to_owned).collect()
}

/// Unpacks an archive with its modes and links.
#[track_caller]
pub fn unpack(archive: &Path, to: &Path) {
    if has_unzip() {
        unzip(Command::new("unzip").arg("-qo").arg(archive).arg("-d").arg(to));
    } else {
        open(archive).extract(to).unwrap();
    }
}

/// The bytes of one file.
#[track_caller]
pub fn content(archive: &Path, name: &str) -> Vec<u8> {
    if has_unzip() {
        return unzip(Command::new("unzip").arg("-p").arg(archive).arg(name)).stdout;
    }
    let mut bytes = Vec::new();
    open(archive).by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// An entry with its type and permissions.
pub struct ArchivedFile {
    pub name: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// All entries, as the `zip` crate reads them.
pub fn entries(archive: &Path) -> Vec<ArchivedFile> {
    let mut read = open(archive);
    let entry = |at| {
        let mut entry = read.by_index(at).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        ArchivedFile {
            name: entry.name().unwrap().into_owned(),
            mode: entry.unix_mode().unwrap_or(0),
            content,
        }
    };
    (0..open(archive).len()).map(entry).collect()
}

#[track_caller]
fn has_unzip() -> bool {
    tools::require("unzip", "unzip; the zip crate reads in its place")
}

fn open(archive: &Path) -> ZipArchive<File> {
    ZipArchive::new(File::open(archive).unwrap()).unwrap()
}

#[track_caller]
fn unzip(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
