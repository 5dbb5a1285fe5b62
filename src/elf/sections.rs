//! Sections: the parts of a file by size, and which of them only a debugger reads.
//!
//! Only reports use them. The loader never reads section headers, so a fault in them is no error: a file without a
//! readable table has no sections here, and no debugger or `strip` would find any either.

use std::ops::Range;

use goblin::elf64::header::SIZEOF_EHDR;
use goblin::elf64::section_header::{SHF_ALLOC, SHT_NOBITS, SHT_STRTAB, SHT_SYMTAB, SIZEOF_SHDR};

use super::read::{u16, u32, u64};

use crate::text;

/// The purpose of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The section is in memory while the program runs.
    Loaded,
    /// Debug information: line tables, types, variables. `strip --strip-debug` removes it.
    Debug,
    /// `.symtab` and its names, which give the name of the function at an address. The loader does not use it.
    Symbols,
    /// Comments and names of sections.
    Other,
}

/// One section that has bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The section's name; bytes that are not UTF-8, and control characters, as `\xNN`.
    pub name: String,
    /// The section's size in the file.
    pub bytes: u64,
    /// The section's purpose.
    pub purpose: Purpose,
}

/// The sections of a 64-bit little-endian ELF file of `size` bytes, in the file's order; empty for any other file.
///
/// `read` returns the bytes of a range inside the file. It is called for the ELF header, the section headers and the
/// names of sections, however large the file is.
///
/// # Errors
///
/// The errors of `read`.
pub fn sections<E>(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<Vec<Section>, E> {
    const HEADER: u64 = SIZEOF_EHDR as u64;
    let within = |offset: u64, length: u64| {
        let end = offset.checked_add(length).filter(|end| *end <= size)?;
        Some(offset..end)
    };
    let Some(range) = within(0, HEADER) else { return Ok(Vec::new()) };
    let header = read(range)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(Vec::new());
    }
    // e_shoff, e_shentsize, e_shnum, e_shstrndx. From 65,280 sections on, which no linked file has, the last two are
    // stored elsewhere.
    let (offset, entry_size) = (u64(&header, 40), usize::from(u16(&header, 58)));
    let (count, names) = (u16(&header, 60), usize::from(u16(&header, 62)));
    let table = within(offset, u64::from(count) * SIZEOF_SHDR as u64);
    let Some(table) = table.filter(|_| entry_size == SIZEOF_SHDR) else { return Ok(Vec::new()) };
    let table = read(table)?;
    let headers: Vec<&[u8]> = table.chunks_exact(SIZEOF_SHDR).collect();
    let names = headers.get(names).and_then(|raw| within(u64(raw, 24), u64(raw, 32).min(MAX_NAMES)));
    let Some(names) = names else { return Ok(Vec::new()) };
    let names = read(names)?;
    let symbol_names = headers.iter().find(|raw| u32(raw, 4) == SHT_SYMTAB).map(|raw| u32(raw, 40) as usize);

    let mut sections = Vec::new();
    for (index, raw) in headers.iter().enumerate() {
        let (kind, flags, length) = (u32(raw, 4), u64(raw, 8), u64(raw, 32));
        if kind == SHT_NOBITS || length == 0 || within(u64(raw, 24), length).is_none() {
            continue;
        }
        let name = names.get(u32(raw, 0) as usize..).unwrap_or_default();
        let name = &name[..memchr::memchr(0, name).unwrap_or(name.len()).min(MAX_NAME)];
        let purpose = if flags & u64::from(SHF_ALLOC) != 0 {
            Purpose::Loaded
        } else if is_debug(name) {
            Purpose::Debug
        } else if kind == SHT_SYMTAB || (kind == SHT_STRTAB && Some(index) == symbol_names) {
            Purpose::Symbols
        } else {
            Purpose::Other
        };
        sections.push(Section { name: text::from_bytes(name), bytes: length, purpose });
    }
    Ok(sections)
}

/// The sections of a file in memory; see [`sections`].
pub fn of(bytes: &[u8]) -> Vec<Section> {
    let read = |range: Range<u64>| {
        Ok::<_, std::convert::Infallible>(bytes[range.start as usize..range.end as usize].to_vec())
    };
    let Ok(sections) = sections(bytes.len() as u64, read);
    sections
}

/// The names of the functions and variables that a file in memory defines in `.symtab`; none if it was stripped.
pub fn defined_symbols(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const SYMBOL_SIZE: usize = 24;
    let (table, names) = symbol_table(bytes).unwrap_or_default();
    let defined = table.chunks_exact(SYMBOL_SIZE).filter(|raw| u16(raw, 6) != 0);
    defined.filter_map(move |raw| {
        let name = names.get(u32(raw, 0) as usize..)?;
        // No name that is searched for is longer.
        let name = &name[..name.len().min(MAX_NAME)];
        Some(&name[..memchr::memchr(0, name)?])
    })
}

/// The contents of `.symtab` and of its string table.
fn symbol_table(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.get(..SIZEOF_EHDR).filter(|header| header.starts_with(b"\x7fELF\x02\x01"))?;
    let (offset, entry_size, count) = (u64(header, 40), u16(header, 58), u16(header, 60));
    let within =
        |offset: u64, length: u64| bytes.get(usize::try_from(offset).ok()?..)?.get(..length as usize);
    let table = within(offset, u64::from(count) * SIZEOF_SHDR as u64)?;
    let headers: Vec<&[u8]> =
        table.chunks_exact(SIZEOF_SHDR).filter(|_| usize::from(entry_size) == SIZEOF_SHDR).collect();
    let bytes_of = |raw: &[u8]| within(u64(raw, 24), u64(raw, 32));
    let symtab = headers.iter().find(|raw| u32(raw, 4) == SHT_SYMTAB)?;
    let names = headers.get(u32(symtab, 40) as usize)?;
    Some((bytes_of(symtab)?, bytes_of(names)?))
}

/// The size of all names, and the length of one name, at most; real files have less. Entries may share their text.
const MAX_NAMES: u64 = 1 << 20;
const MAX_NAME: usize = 256;

/// Whether a section has debug information.
///
/// Source: `_bfd_elf_make_section_from_shdr` in binutils' bfd/elf.c, but only for sections that are not loaded,
/// unlike Rust's `.debug_gdb_scripts`.
fn is_debug(name: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] =
        [b".debug", b".zdebug", b".gnu.debuglto_.debug_", b".gnu.linkonce.wi.", b".line", b".stab"];
    name == b".gdb_index" || STARTS.iter().any(|start| name.starts_with(start))
}

/// The total size of the sections with a purpose; at most the file's size, whatever the section headers say.
pub fn bytes_for(sections: &[Section], purpose: Purpose, size: u64) -> u64 {
    let wanted = sections.iter().filter(|section| section.purpose == purpose);
    wanted.fold(0u64, |sum, section| sum.saturating_add(section.bytes)).min(size)
}
