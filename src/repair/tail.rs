//! The bytes after the end of an ELF file: a payload that the program itself reads.
//!
//! No header of the file names them, so neither the loader nor `strip` knows them. Programs find them in two ways.
//! Most read from the end of their own file backwards (OCaml's `-custom`, ZIP archives, PyInstaller, Info-ZIP's
//! self-extractors). Others store an absolute offset, in the trailer or patched into the program (SBCL, Dart, .NET's
//! single files), or start where the section headers end (AppImage).

use std::convert::Infallible;
use std::ops::Range;

use goblin::elf64::header::Header;
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SHT_NOBITS, SHT_NULL, SIZEOF_SHDR, SectionHeader};

use crate::elf::records::decode;

use super::image::{FILE_HEADER, SECTION_HEADER, SEGMENT_HEADER};

/// The number of bytes after the last byte that a header of the ELF file names; 0 for a file that is no 64-bit
/// little-endian ELF file.
///
/// `read` returns the bytes of a range inside a file of `size` bytes. It is called for the ELF header and its two
/// tables. A table that is not in the file names nothing. The debug information of a file with a broken section table
/// is a tail, too.
///
/// # Errors
///
/// The errors of `read`.
pub fn length<E>(size: u64, mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>) -> Result<u64, E> {
    if size < FILE_HEADER {
        return Ok(0);
    }
    let header = read(0..FILE_HEADER)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(0);
    }
    let header: Header = decode(&header, 0);
    let mut end = FILE_HEADER;
    if u64::from(header.e_phentsize) == SEGMENT_HEADER
        && let Some(range) = table(size, header.e_phoff, header.e_phnum.into(), SEGMENT_HEADER)
    {
        end = end.max(range.end);
        for raw in read(range)?.chunks_exact(SIZEOF_PHDR) {
            let segment: ProgramHeader = decode(raw, 0);
            end = end.max(segment.p_offset.saturating_add(segment.p_filesz));
        }
    }
    let sections = header.e_shoff;
    if sections != 0 && u64::from(header.e_shentsize) == SECTION_HEADER {
        let mut n_sections = u64::from(header.e_shnum);
        // A number that does not fit into e_shnum is the size of the first section.
        if n_sections == 0
            && let Some(first) = table(size, sections, 1, SECTION_HEADER)
        {
            n_sections = decode::<SectionHeader, _>(&read(first)?, 0).sh_size;
        }
        if let Some(range) = table(size, sections, n_sections, SECTION_HEADER) {
            end = end.max(range.end);
            for raw in read(range)?.chunks_exact(SIZEOF_SHDR).skip(1) {
                let section: SectionHeader = decode(raw, 0);
                if !matches!(section.sh_type, SHT_NULL | SHT_NOBITS) {
                    end = end.max(section.sh_offset.saturating_add(section.sh_size));
                }
            }
        }
    }
    Ok(size.saturating_sub(end))
}

/// The range of a table; `None` if it is not in the file.
fn table(size: u64, offset: u64, count: u64, entry_size: u64) -> Option<Range<u64>> {
    let end = offset.checked_add(count.checked_mul(entry_size)?)?;
    (end <= size).then_some(offset..end)
}

/// The bytes after the end of an ELF file in memory; see [`length`].
pub fn of(bytes: &[u8]) -> &[u8] {
    let read =
        |range: Range<u64>| Ok::<_, Infallible>(bytes[range.start as usize..range.end as usize].to_vec());
    let Ok(length) = length(bytes.len() as u64, read);
    &bytes[bytes.len() - length as usize..]
}
