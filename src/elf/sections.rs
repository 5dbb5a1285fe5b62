//! Sections: the parts of a file by size, and which of them only a debugger reads.
//!
//! Only reports use them. The loader never reads section headers, so a fault in them is no error: a file without a
//! readable table has no sections here, and no debugger or `strip` would find any either.

use std::collections::BTreeSet;
use std::ops::Range;

use goblin::elf64::header::{Header, SIZEOF_EHDR};
use goblin::elf64::reloc::{Rela, SIZEOF_RELA, r_sym};
use goblin::elf64::section_header::{
    SHF_ALLOC, SHN_UNDEF, SHT_DYNSYM, SHT_NOBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, SIZEOF_SHDR,
    SectionHeader,
};
use goblin::elf64::sym::{SIZEOF_SYM, STB_GLOBAL, Sym};

use super::records::decode;

use crate::text;

/// The purpose of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionPurpose {
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
    /// The section's place in the file.
    pub offset: u64,
    /// The section's size in the file.
    pub bytes: u64,
    /// The section's purpose.
    pub purpose: SectionPurpose,
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
    // From 65,280 sections on, which no linked file has, `e_shnum` and `e_shstrndx` are stored elsewhere.
    let file: Header = decode(&header, 0);
    let table = within(file.e_shoff, u64::from(file.e_shnum) * SIZEOF_SHDR as u64);
    let Some(table) = table.filter(|_| usize::from(file.e_shentsize) == SIZEOF_SHDR) else {
        return Ok(Vec::new());
    };
    let headers = decode_headers(&read(table)?);
    let names = headers.get(usize::from(file.e_shstrndx));
    let names = names.and_then(|header| within(header.sh_offset, header.sh_size.min(MAX_NAMES)));
    let Some(names) = names else { return Ok(Vec::new()) };
    let names = read(names)?;
    let symbol_names =
        headers.iter().find(|header| header.sh_type == SHT_SYMTAB).map(|header| header.sh_link as usize);

    let mut sections = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let (kind, length) = (header.sh_type, header.sh_size);
        if kind == SHT_NOBITS || length == 0 || within(header.sh_offset, length).is_none() {
            continue;
        }
        let name = names.get(header.sh_name as usize..).unwrap_or_default();
        let name = &name[..memchr::memchr(0, name).unwrap_or(name.len()).min(MAX_NAME)];
        let purpose = if header.sh_flags & u64::from(SHF_ALLOC) != 0 {
            SectionPurpose::Loaded
        } else if is_debug(name) {
            SectionPurpose::Debug
        } else if kind == SHT_SYMTAB || (kind == SHT_STRTAB && Some(index) == symbol_names) {
            SectionPurpose::Symbols
        } else {
            SectionPurpose::Other
        };
        sections.push(Section {
            name: text::from_bytes(name),
            offset: header.sh_offset,
            bytes: length,
            purpose,
        });
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
    defined(bytes, |_| true)
}

/// The same without local and weak ones, which several object files of a program may define.
pub(super) fn global_symbols(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    defined(bytes, |symbol| symbol.st_info >> 4 == STB_GLOBAL)
}

fn defined(bytes: &[u8], is_meant: impl Fn(&Sym) -> bool) -> impl Iterator<Item = &[u8]> {
    let defined = symbols(bytes).filter(|(_, symbol)| u32::from(symbol.st_shndx) != SHN_UNDEF);
    defined.filter(move |(_, symbol)| is_meant(symbol)).map(|(name, _)| name)
}

/// The symbols of `.symtab` of a file in memory, with their names; those with longer names than any that is searched
/// for are left out.
pub(super) fn symbols(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Sym)> {
    let (table, names) = symbol_table(bytes, SHT_SYMTAB).unwrap_or_default();
    let symbols = table.chunks_exact(SIZEOF_SYM).map(|raw| decode::<Sym, _>(raw, 0));
    symbols.filter_map(move |symbol| Some((name_of(names, &symbol)?, symbol)))
}

fn name_of<'a>(names: &'a [u8], symbol: &Sym) -> Option<&'a [u8]> {
    let name = names.get(symbol.st_name as usize..)?;
    let name = &name[..name.len().min(MAX_NAME)];
    Some(&name[..memchr::memchr(0, name)?])
}

/// The places that relocations fill with the addresses of these symbols, by the section headers.
pub(super) fn relocated(bytes: &[u8], wanted: &[&[u8]]) -> BTreeSet<u64> {
    let (table, names) = symbol_table(bytes, SHT_DYNSYM).unwrap_or_default();
    let headers = headers(bytes).unwrap_or_default();
    let tables = headers.iter().filter(|header| header.sh_type == SHT_RELA);
    let records = tables.filter_map(|header| within(bytes, header.sh_offset, header.sh_size));
    let records =
        records.flat_map(|table| table.chunks_exact(SIZEOF_RELA)).map(|raw| decode::<Rela, _>(raw, 0));
    let is_wanted = |record: &Rela| {
        let at = (r_sym(record.r_info) as usize).checked_mul(SIZEOF_SYM)?;
        let symbol: Sym = decode(table.get(at..at.checked_add(SIZEOF_SYM)?)?, 0);
        name_of(names, &symbol).filter(|name| wanted.contains(name))
    };
    records.filter(|record| is_wanted(record).is_some()).map(|record| record.r_offset).collect()
}

/// Calls `each` with the name of every function and variable that an object file in memory refers to and does not
/// define. Names longer than `longest` are left out.
pub(super) fn undefined_symbols<'a>(bytes: &'a [u8], longest: usize, mut each: impl FnMut(&'a [u8])) {
    let (table, names) = symbol_table(bytes, SHT_SYMTAB).unwrap_or_default();
    for raw in table.chunks_exact(SIZEOF_SYM) {
        let symbol: Sym = decode(raw, 0);
        if u32::from(symbol.st_shndx) != SHN_UNDEF || symbol.st_name == 0 {
            continue;
        }
        let name = names.get(symbol.st_name as usize..).unwrap_or_default();
        // Symbols of a damaged file may share one long text without an end.
        let name = &name[..name.len().min(longest.saturating_add(1))];
        if let Some(end) = memchr::memchr(0, name) {
            each(&name[..end]);
        }
    }
}

/// The contents of a symbol table of this type and of its string table.
pub(super) fn symbol_table(bytes: &[u8], kind: u32) -> Option<(&[u8], &[u8])> {
    let headers = headers(bytes)?;
    let bytes_of = |header: &SectionHeader| within(bytes, header.sh_offset, header.sh_size);
    let table = headers.iter().find(|header| header.sh_type == kind)?;
    let names = headers.get(table.sh_link as usize)?;
    Some((bytes_of(table)?, bytes_of(names)?))
}

/// The section headers of a file in memory.
fn headers(bytes: &[u8]) -> Option<Vec<SectionHeader>> {
    let header = bytes.get(..SIZEOF_EHDR).filter(|header| header.starts_with(b"\x7fELF\x02\x01"))?;
    let file: Header = decode(header, 0);
    if usize::from(file.e_shentsize) != SIZEOF_SHDR {
        return None;
    }
    let n_headers = match file.e_shnum {
        // An object file with a section for each function may have more than the field can hold.
        // Source: "Extended section headers" in the gABI, e_shnum.
        0 => decode_headers(within(bytes, file.e_shoff, SIZEOF_SHDR as u64)?).first()?.sh_size,
        number => u64::from(number),
    };
    Some(decode_headers(within(bytes, file.e_shoff, n_headers.checked_mul(SIZEOF_SHDR as u64)?)?))
}

fn within(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(length).ok()?)
}

fn decode_headers(table: &[u8]) -> Vec<SectionHeader> {
    table.chunks_exact(SIZEOF_SHDR).map(|raw| decode(raw, 0)).collect()
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
pub fn bytes_for(sections: &[Section], purpose: SectionPurpose, size: u64) -> u64 {
    let wanted = sections.iter().filter(|section| section.purpose == purpose);
    wanted.fold(0u64, |sum, section| sum.saturating_add(section.bytes)).min(size)
}
