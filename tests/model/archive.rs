//! The archive's bytes, anyone's archives, and the file that is replaced as a whole.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod others;
mod readers;
mod replace;
mod written;

use std::io::Cursor;
use std::sync::Arc;

use camino::Utf8PathBuf;
use cargo_lambda_bundle::archive::{self, Content, Entry, Limits, Mode, Options, ReadArchive, Timestamp};
use cargo_lambda_bundle::error::Error;

fn file(name: &str, mode: Mode, bytes: impl Into<Vec<u8>>) -> Entry {
    Entry { name: name.into(), mode, content: Content::File(Arc::new(bytes.into())) }
}

fn link(name: &str, target: &str) -> Entry {
    Entry { name: name.into(), mode: Mode::Data, content: Content::Link(target.into()) }
}

/// One of each sort: deflated, empty, a link, incompressible, a name that needs the UTF-8 flag.
fn bundle() -> Vec<Entry> {
    let mut entries = vec![
        file("lib/libpq.so.5", Mode::Executable, b"\x7fELF libpq".repeat(900)),
        link("lib/libpq.so", "libpq.so.5"),
        file("bootstrap", Mode::Executable, b"\x7fELF bootstrap ".repeat(5000)),
        file("assets/empty", Mode::Data, ""),
        file("assets/noise", Mode::Data, noise(5000)),
        file("assets/größe.txt", Mode::Data, "one"),
    ];
    archive::order(&mut entries);
    entries
}

fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(n);
    for _ in 0..n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(state as u8);
    }
    bytes
}

/// Bytes that deflate well.
fn program_like(n: usize) -> Vec<u8> {
    noise(n / 3 + 1).into_iter().flat_map(|byte| [byte % 16, 0, byte]).take(n).collect()
}

fn zip(entries: &[Entry], stamp: Timestamp) -> Vec<u8> {
    archive::write(entries, &Options { stamp, ..Options::default() }, Vec::new()).unwrap()
}

fn read(bytes: &[u8]) -> Result<ReadArchive, Error> {
    archive::read("x.zip", Cursor::new(bytes), &Limits::default())
}

/// An error as the user sees it: message, causes, help.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.causes() {
        text += &format!("; caused by: {cause}");
    }
    if let Some(help) = error.help_text() {
        text += &format!("; help: {help}");
    }
    text
}

/// One entry of a hand-made archive, every field free to lie.
#[derive(Clone)]
struct Raw {
    name: Vec<u8>,
    local_name: Vec<u8>,
    flags: u16,
    method: u16,
    local_method: u16,
    system: u8,
    attributes: u32,
    crc: u32,
    size: u32,
    data: Vec<u8>,
    extra: Vec<u8>,
    /// Shares the data of the entry before it.
    shared: bool,
}

impl Raw {
    fn new(name: &str, data: &[u8]) -> Raw {
        Raw {
            name: name.into(),
            local_name: name.into(),
            flags: 0,
            method: 0,
            local_method: 0,
            system: 3,
            attributes: 0o100_644 << 16,
            crc: crc32(data),
            size: data.len() as u32,
            data: data.into(),
            extra: Vec::new(),
            shared: false,
        }
    }

    fn mode(mut self, mode: u32) -> Raw {
        self.attributes = mode << 16;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Raw)) -> Raw {
        change(&mut self);
        self
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn raw_zip(entries: &[Raw]) -> Vec<u8> {
    raw_zip_counted(entries, entries.len() as u16)
}

fn raw_zip_counted(entries: &[Raw], n: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut central = Vec::new();
    let mut start = 0;
    for entry in entries {
        let common = |method: u16, name: &[u8]| {
            let mut fields = Vec::new();
            fields.extend([20, entry.flags, method, 0, 0x21].iter().flat_map(|n| n.to_le_bytes()));
            let sizes = [entry.crc, entry.data.len() as u32, entry.size];
            fields.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
            fields.extend((name.len() as u16).to_le_bytes());
            fields.extend((entry.extra.len() as u16).to_le_bytes());
            fields
        };
        if !entry.shared {
            start = bytes.len() as u32;
            bytes.extend(b"PK\x03\x04");
            bytes.extend(common(entry.local_method, &entry.local_name));
            bytes.extend(&entry.local_name);
            bytes.extend(&entry.extra);
            bytes.extend(&entry.data);
        }
        central.extend(b"PK\x01\x02");
        central.extend([20, entry.system]);
        central.extend(common(entry.method, &entry.name));
        central.extend([0; 6]);
        central.extend(entry.attributes.to_le_bytes());
        central.extend(start.to_le_bytes());
        central.extend(&entry.name);
        central.extend(&entry.extra);
    }
    let directory = bytes.len() as u32;
    bytes.extend(&central);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([n, n].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([central.len() as u32, directory].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    (directory, path)
}
