//! Functions that the linker put into a program, by the names in its `.symtab`.
//!
//! For reports alone: the loader never looks there, and a stripped file has none. What is wrong with the table is no
//! error; then it names nothing.

use std::collections::BTreeSet;

use goblin::elf64::section_header::{SHT_SYMTAB, SIZEOF_SHDR};
use goblin::elf64::sym::{SIZEOF_SYM, STT_FUNC};

use super::read::{u16, u32, u64};

/// The functions of a 64-bit little-endian ELF file that `wanted` picks, sorted.
pub fn functions(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    read(bytes, wanted).unwrap_or_default()
}

fn read(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Option<BTreeSet<&str>> {
    let header = bytes.get(..64)?;
    if !header.starts_with(b"\x7fELF\x02\x01") || usize::from(u16(header, 58)) != SIZEOF_SHDR {
        return None;
    }
    let table = range(bytes, u64(header, 40), u64::from(u16(header, 60)) * SIZEOF_SHDR as u64)?;
    let sections: Vec<&[u8]> = table.chunks_exact(SIZEOF_SHDR).collect();
    let content = |section: &[u8]| range(bytes, u64(section, 24), u64(section, 32));
    let symbols = sections.iter().find(|section| u32(section, 4) == SHT_SYMTAB)?;
    let names = content(sections.get(u32(symbols, 40) as usize)?)?;
    let mut found = BTreeSet::new();
    for symbol in content(symbols)?.chunks_exact(SIZEOF_SYM) {
        let (is_function, is_defined) = (symbol[4] & 0xf == STT_FUNC, u16(symbol, 6) != 0);
        let Some(name) = names.get(u32(symbol, 0) as usize..).filter(|_| is_function && is_defined) else {
            continue;
        };
        // Longer ones are nobody's; and names may share their text, which makes work without end.
        let name = &name[..name.len().min(MAX_NAME)];
        let Some(end) = memchr::memchr(0, name) else { continue };
        found.extend(std::str::from_utf8(&name[..end]).ok().filter(|name| wanted(name)));
    }
    Some(found)
}

/// Longer than any function's name that is asked for.
const MAX_NAME: usize = 64;

fn range(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}
