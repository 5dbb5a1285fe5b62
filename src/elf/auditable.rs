//! The crates that a program records of itself: the section that `cargo auditable` adds.
//!
//! Source: "cargo-auditable: data format" (PARSING.md and the JSON Schema of its repository): zlib-compressed JSON in
//! the section `.dep-v0`.

use std::ops::Range;

use serde::Deserialize;
use zlib_rs::{Inflate, InflateFlush, Status};

use super::sections::{Section, sections};
use crate::text;

/// One crate that a program was linked from, or that was used to build it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its source: `crates.io`, `git`, `local`, `registry`, or another word.
    pub source: String,
    /// `runtime`, or `build` for one of build scripts and procedural macros, which is not in the program.
    #[serde(default)]
    pub kind: CrateKind,
    /// The positions of the crates that it uses.
    #[serde(default)]
    pub dependencies: Vec<usize>,
    /// Whether it is the crate of the program itself.
    #[serde(default)]
    pub root: bool,
}

/// The use of a crate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrateKind {
    /// It is part of the program.
    #[default]
    Runtime,
    /// It was used by a build script or a procedural macro only.
    Build,
}

/// What a file records of its crates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrateRecord {
    /// The crates.
    Crates(Vec<Crate>),
    /// A record that cannot be read, and why.
    Damaged(String),
    /// No record.
    Missing {
        /// Whether rustc compiled a part of the file.
        is_rust: bool,
    },
}

#[derive(Deserialize)]
struct CrateDocument {
    packages: Vec<Crate>,
}

/// The number of bytes of the record at most, compressed or not; that of a large workspace has some 100 kB.
const MAX_BYTES: u64 = 8 << 20;

/// The number of bytes of `.comment` that are searched.
const MAX_COMMENT: u64 = 1 << 16;

/// Reads the record of an ELF file of `size` bytes; `read` returns the bytes of a range inside it.
///
/// # Errors
///
/// The errors of `read`.
pub fn recorded<E>(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<CrateRecord, E> {
    let all = sections(size, &mut read)?;
    let named = |name: &str| all.iter().find(|section| section.name == name);
    let start = |section: &Section, most: u64| section.offset..section.offset + section.bytes.min(most);
    let Some(record) = named(".dep-v0") else {
        let comment = match named(".comment") {
            Some(section) => read(start(section, MAX_COMMENT))?,
            None => Vec::new(),
        };
        let is_rust = memchr::memmem::find(&comment, b"rustc version").is_some();
        return Ok(CrateRecord::Missing { is_rust });
    };
    if record.bytes > MAX_BYTES {
        let (bytes, most) = (text::size(record.bytes), text::size(MAX_BYTES));
        return Ok(CrateRecord::Damaged(format!("it has {bytes}; the limit is {most}")));
    }
    let bytes = read(start(record, MAX_BYTES))?;
    Ok(parse(&bytes).map_or_else(CrateRecord::Damaged, CrateRecord::Crates))
}

fn parse(compressed: &[u8]) -> Result<Vec<Crate>, String> {
    let json = inflated(compressed)?;
    let CrateDocument { packages } =
        serde_json::from_slice(&json).map_err(|error| format!("wrong JSON: {error}"))?;
    let is_known = |position: &usize| *position < packages.len();
    if !packages.iter().flat_map(|package| &package.dependencies).all(is_known) {
        return Err("a crate in it depends on one that is not there".to_owned());
    }
    if packages.iter().any(|package| package.name.is_empty()) {
        return Err("a crate in it has no name".to_owned());
    }
    Ok(packages)
}

fn inflated(compressed: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflate = Inflate::new(true, 15);
    let mut bytes = vec![0; 1 << 14];
    loop {
        let (n_in, n_out) = (inflate.total_in() as usize, inflate.total_out() as usize);
        let (rest, room) = (&compressed[n_in..], &mut bytes[n_out..]);
        let status = inflate
            .decompress(rest, room, InflateFlush::NoFlush)
            .map_err(|error| format!("not zlib data: {}", error.as_str()))?;
        let made = inflate.total_out() as usize;
        match status {
            Status::StreamEnd => {
                bytes.truncate(made);
                return Ok(bytes);
            }
            Status::Ok | Status::BufError if made == bytes.len() => {
                if bytes.len() as u64 >= MAX_BYTES {
                    return Err(format!("unpacked it has more than {}", text::size(MAX_BYTES)));
                }
                bytes.resize((bytes.len() * 2).min(MAX_BYTES as usize), 0);
            }
            Status::Ok | Status::BufError => {
                if inflate.total_in() as usize == compressed.len() || made == n_out {
                    return Err("it ends too early".to_owned());
                }
            }
        }
    }
}
