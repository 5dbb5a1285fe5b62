//! Files that take long to make, made once for a target directory and again when what they are made of changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_lambda_bundle::archive::Digest;

/// The directory `name`, which `make` fills unless one is there that was made of the same.
///
/// `of` is all that decides what is in it, beside this machine's compilers.
pub fn kept(name: &str, of: &[&[u8]], make: impl FnOnce(&Path)) -> PathBuf {
    let mut text = COMPILERS.clone();
    for part in of {
        // The length, so that no two lists have one text.
        text.extend(part.len().to_le_bytes());
        text.extend(*part);
    }
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kept").join(name);
    let place = above.join(&Digest::of(&text).hex[..16]);
    if place.is_dir() {
        return place;
    }
    // Of other sources or compilers.
    let _ = fs::remove_dir_all(&above);
    fs::create_dir_all(&above).expect("a directory below target");
    let work = tempfile::tempdir_in(&above).expect("a directory below target");
    make(work.path());
    // In one step: a test that was stopped half-way leaves no half.
    if let Err(error) = fs::rename(work.path(), &place) {
        assert!(place.is_dir(), "{}: {error}", place.display());
    }
    place
}

/// The text of every file of a project, but for what is built.
pub fn sources(project: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let mut pending = vec![project.to_owned()];
    while let Some(directory) = pending.pop() {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    pending.push(path);
                }
                continue;
            }
            text.extend(path.as_os_str().as_encoded_bytes());
            text.extend(fs::read(path).unwrap());
        }
    }
    text
}

/// What the compilers and linkers say of their versions.
static COMPILERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let programs = [(rustc.as_str(), "-vV"), ("cc", "-v"), ("aarch64-linux-gnu-gcc", "-v"), ("ld", "-v")];
    let said = programs.map(|(program, flag)| Command::new(program).arg(flag).output());
    said.into_iter().flatten().flat_map(|output| [output.stdout, output.stderr].concat()).collect()
});
