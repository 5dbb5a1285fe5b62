//! Static libraries (`libNAME.a`, `libNAME.rlib`): which of their object files refer to a symbol.
//!
//! The linker takes only some object files out of a library. Those of which the program has a function are among them;
//! only a program that was stripped of its symbol table does not tell.
//!
//! `goblin` reads archives, too, but keeps all names in a map and so compares them with each other; a damaged library
//! may have thousands of members that share one long name.
//!
//! Source: ar(5) of FreeBSD, which has the names of GNU and BSD.

use std::collections::BTreeSet;

use super::sections::{defined_symbols, global_symbols, undefined_symbols};

use crate::text;

/// An object file of a static library that refers to a symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectReference {
    /// The symbol.
    pub symbol: String,
    /// The name of the object file in the library.
    pub object: String,
    /// Whether the program has a function or variable of the object file; `None` if that is not known.
    pub is_linked: Option<bool>,
}

/// The functions and variables of a program by the names in its `.symtab`.
pub struct ProgramSymbols<'a>(BTreeSet<&'a [u8]>);

impl<'a> ProgramSymbols<'a> {
    /// Reads those of a program; `None` if it was stripped of them.
    pub fn of(program: &'a [u8]) -> Option<ProgramSymbols<'a>> {
        let names: BTreeSet<&[u8]> = defined_symbols(program).filter(|name| !name.is_empty()).collect();
        (!names.is_empty()).then_some(ProgramSymbols(names))
    }

    /// Whether the program has something of an object file; `None` if nothing would tell.
    fn has_part_of(&self, object: &[u8]) -> Option<bool> {
        let mut names = global_symbols(object).peekable();
        names.peek()?;
        Some(names.any(|name| self.0.contains(name)))
    }
}

/// The references of one static library.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StaticReferences {
    /// The references to the wanted symbols, each once, sorted.
    pub references: Vec<ObjectReference>,
    /// Whether some of its code is not read, because it is LLVM bitcode: rustc and clang write that for LTO.
    pub has_bitcode: bool,
}

/// A file that cannot be read as a static library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaticLibraryError {
    /// A thin archive, which only names its object files.
    Thin,
    /// Any other file, or one that is damaged.
    Malformed,
}

const MAGIC: &[u8] = b"!<arch>\n";
const THIN_MAGIC: &[u8] = b"!<thin>\n";

/// Finds the object files that refer to one of the wanted symbols, and looks for their functions in the program.
///
/// # Errors
///
/// If the file is no static library.
pub fn references(
    bytes: &[u8],
    wanted: &BTreeSet<String>,
    program: Option<&ProgramSymbols>,
) -> Result<StaticReferences, StaticLibraryError> {
    let longest = wanted.iter().map(String::len).max().unwrap_or(0);
    let mut found =
        MemberSearch { wanted, longest, program, references: BTreeSet::new(), has_bitcode: false };
    found.add_library(bytes, true)?;
    let references = found.references.into_iter().collect();
    Ok(StaticReferences { references, has_bitcode: found.has_bitcode })
}

struct MemberSearch<'a> {
    wanted: &'a BTreeSet<String>,
    /// The length of the longest wanted name.
    longest: usize,
    program: Option<&'a ProgramSymbols<'a>>,
    references: BTreeSet<ObjectReference>,
    has_bitcode: bool,
}

impl MemberSearch<'_> {
    fn add_library(&mut self, bytes: &[u8], is_outer: bool) -> Result<(), StaticLibraryError> {
        if bytes.starts_with(THIN_MAGIC) {
            return Err(StaticLibraryError::Thin);
        }
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(StaticLibraryError::Malformed)?;
        let mut names: &[u8] = &[];
        while let Some(member) = ArchiveMember::take(&mut rest)? {
            match member.content {
                content if member.name == "//" => names = content,
                content if is_bitcode(content) => self.has_bitcode = true,
                // rustc may put a native library into an rlib as a whole.
                content if content.starts_with(MAGIC) && is_outer => self.add_library(content, false)?,
                content => self.add_object(&member.name(names), content),
            }
        }
        Ok(())
    }

    /// Adds an object file. Other members of an rlib (`lib.rmeta`) have no symbols.
    fn add_object(&mut self, name: &str, content: &[u8]) {
        let mut found: BTreeSet<&String> = BTreeSet::new();
        undefined_symbols(content, self.longest, |symbol| {
            found.extend(std::str::from_utf8(symbol).ok().and_then(|symbol| self.wanted.get(symbol)));
        });
        if found.is_empty() {
            return;
        }
        let is_linked = self.program.and_then(|program| program.has_part_of(content));
        self.references.extend(found.into_iter().map(|symbol| ObjectReference {
            symbol: symbol.clone(),
            object: name.to_owned(),
            is_linked,
        }));
    }
}

/// One member of an archive.
struct ArchiveMember<'a> {
    /// The name in its header, without spaces at the end.
    name: &'a str,
    content: &'a [u8],
}

impl<'a> ArchiveMember<'a> {
    /// Takes the first member off the rest of an archive.
    fn take(rest: &mut &'a [u8]) -> Result<Option<ArchiveMember<'a>>, StaticLibraryError> {
        const HEADER: usize = 60;
        if rest.iter().all(|byte| *byte == b'\n') {
            return Ok(None);
        }
        let (header, after) = rest.split_at_checked(HEADER).ok_or(StaticLibraryError::Malformed)?;
        let field = |range| str::from_utf8(&header[range]).map(str::trim_ascii_end).ok();
        let (Some(name), Some(size), Some("`\n" | "`")) = (field(0..16), field(48..58), field(58..60)) else {
            return Err(StaticLibraryError::Malformed);
        };
        let size: usize = size.parse().map_err(|_| StaticLibraryError::Malformed)?;
        let (content, after) = after.split_at_checked(size).ok_or(StaticLibraryError::Malformed)?;
        // Headers begin at even offsets.
        *rest = after.get(size % 2..).unwrap_or_default();
        match name.strip_prefix("#1/").and_then(|length| length.parse().ok()) {
            // BSD: the name is before the content, with NULs behind it.
            Some(length) => {
                let (name, content) =
                    content.split_at_checked(length).ok_or(StaticLibraryError::Malformed)?;
                let name = str::from_utf8(name).map_err(|_| StaticLibraryError::Malformed)?;
                Ok(Some(ArchiveMember { name: name.trim_end_matches('\0'), content }))
            }
            None => Ok(Some(ArchiveMember { name, content })),
        }
    }

    /// Returns the name: `NAME/`, or `/OFFSET` of one in the table of long names, which end with `/` and a newline.
    fn name(&self, names: &[u8]) -> String {
        let long = self.name.strip_prefix('/').and_then(|offset| names.get(offset.parse::<usize>().ok()?..));
        let name = match long {
            Some(long) => {
                let long = &long[..long.len().min(MAX_NAME)];
                &long[..memchr::memchr(b'\n', long).unwrap_or(long.len())]
            }
            None => &self.name.as_bytes()[..self.name.len().min(MAX_NAME)],
        };
        text::from_bytes(name.strip_suffix(b"/").unwrap_or(name))
    }
}

/// File systems allow 255 bytes. Members of a damaged library may share one long name.
const MAX_NAME: usize = 256;

/// Whether the file is LLVM bitcode, with or without its wrapper.
///
/// Source: "LLVM Bitcode File Format", Magic Numbers and Bitcode Wrapper Format.
fn is_bitcode(content: &[u8]) -> bool {
    content.starts_with(b"BC\xc0\xde") || content.starts_with(&0x0b17_c0de_u32.to_le_bytes())
}
