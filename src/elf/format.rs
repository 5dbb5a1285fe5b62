//! Files that are no ELF file, or a broken one.

use std::fmt;
use std::ops::Range;

/// The format of a file that is not ELF, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherFormat {
    /// No bytes at all.
    Empty,
    /// A script that begins with `#!`.
    Script,
    /// A GNU ld script, such as `libc.so` in a `-dev` package.
    LinkerScript,
    /// Mach-O, thin or fat.
    MachO,
    /// PE, `MZ`.
    Windows,
    /// A ZIP archive.
    Zip,
    /// A static library (`ar`).
    StaticLibrary,
    /// WebAssembly.
    Wasm,
    /// Other text.
    Text,
    /// Anything else.
    Data,
}

impl OtherFormat {
    /// The format in words, with an article.
    pub fn describe(self) -> &'static str {
        match self {
            OtherFormat::Empty => "an empty file",
            OtherFormat::Script => "a script",
            OtherFormat::LinkerScript => "a linker script",
            OtherFormat::MachO => "a macOS binary (Mach-O)",
            OtherFormat::Windows => "a Windows binary (PE)",
            OtherFormat::Zip => "a ZIP archive",
            OtherFormat::StaticLibrary => "a static library (ar archive)",
            OtherFormat::Wasm => "a WebAssembly module",
            OtherFormat::Text => "a text file",
            OtherFormat::Data => "not in a format of programs",
        }
    }

    /// Recognises the format by its first bytes.
    pub fn of(bytes: &[u8]) -> OtherFormat {
        const HEAD: usize = 512;
        let head = &bytes[..bytes.len().min(HEAD)];
        match head {
            [] => OtherFormat::Empty,
            [b'#', b'!', ..] => OtherFormat::Script,
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => OtherFormat::MachO,
            // A fat file has the number of its architectures here. A Java class begins in the same way and has its
            // version here, which is 45 or more.
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, count, ..] if *count < 45 => OtherFormat::MachO,
            [b'M', b'Z', ..] => OtherFormat::Windows,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => OtherFormat::Zip,
            [0, b'a', b's', b'm', ..] => OtherFormat::Wasm,
            _ if head.starts_with(b"!<arch>\n") || head.starts_with(b"!<thin>\n") => {
                OtherFormat::StaticLibrary
            }
            _ => {
                let text = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                let command = text.trim_start();
                // The head may end in the middle of a character.
                if text.contains('\0')
                    || text.len() + 3 < head.len()
                    || (text.len() < head.len() && head.len() < HEAD)
                {
                    OtherFormat::Data
                } else if text.contains("GNU ld script")
                    || ["INPUT", "GROUP", "OUTPUT_FORMAT"].iter().any(|word| {
                        command.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('('))
                    })
                {
                    OtherFormat::LinkerScript
                } else {
                    OtherFormat::Text
                }
            }
        }
    }
}

/// The reason why bytes could not be read as an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElfError {
    /// The bytes do not begin with the ELF magic.
    NotElf(OtherFormat),
    /// The file is shorter than an ELF header. ld.so prints "file too short".
    TooShort,
    /// A table lies outside the file, or has an impossible value, as the text explains.
    Malformed(String),
    /// The parser needs these bytes, which have not been read.
    NotRead(Range<u64>),
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::NotElf(format) => write!(f, "it is {}", format.describe()),
            ElfError::TooShort => f.write_str("the file is shorter than an ELF header"),
            ElfError::Malformed(what) => write!(f, "{what}"),
            ElfError::NotRead(_) => f.write_str("a part of it was not read"),
        }
    }
}

impl std::error::Error for ElfError {}
