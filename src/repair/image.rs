//! The parts of an ELF file that an edit touches, checked before anything is changed.

use std::borrow::Cow;
use std::ops::Range;

use goblin::elf64::dynamic::{DT_NULL, DT_STRSZ, DT_STRTAB, Dyn, SIZEOF_DYN};
use goblin::elf64::header::{ET_DYN, ET_EXEC, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{PT_DYNAMIC, PT_LOAD, ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SHF_ALLOC, SHT_NOBITS, SIZEOF_SHDR, SectionHeader};

use crate::elf::Arch;
use crate::elf::records::{decode, encode};

use super::Refusal;

/// Sizes of the file header, of a program header and of a section header.
pub(super) const FILE_HEADER: u64 = SIZEOF_EHDR as u64;
pub(super) const SEGMENT_HEADER: u64 = SIZEOF_PHDR as u64;
pub(super) const SECTION_HEADER: u64 = SIZEOF_SHDR as u64;

/// The header with the same type, for `size` bytes at another place.
pub(super) fn moved(header: &ProgramHeader, offset: u64, address: u64, size: u64) -> ProgramHeader {
    ProgramHeader {
        p_offset: offset,
        p_vaddr: address,
        p_paddr: address,
        p_filesz: size,
        p_memsz: size,
        ..*header
    }
}

/// The range of a segment in the file; empty where the end would overflow.
pub(super) fn range(header: &ProgramHeader) -> Range<u64> {
    header.p_offset..header.p_offset.checked_add(header.p_filesz).unwrap_or(header.p_offset)
}

/// A section header and its place in the file.
#[derive(Clone, Copy)]
pub(super) struct SectionRow {
    pub at: usize,
    pub header: SectionHeader,
}

impl SectionRow {
    /// Whether the section is in memory when the program runs.
    pub fn is_allocated(&self) -> bool {
        self.header.sh_flags & u64::from(SHF_ALLOC) != 0
    }

    /// Changes the header in `bytes`, where another part of the edit may have changed it before.
    pub fn update(&self, bytes: &mut [u8], change: impl FnOnce(&mut SectionHeader)) {
        let mut header = decode(bytes, self.at);
        change(&mut header);
        encode(bytes, self.at, header);
    }
}

/// A file that passed the checks.
pub(super) struct EditedFile<'a> {
    pub bytes: &'a [u8],
    pub arch: Arch,
    /// `e_phoff`.
    pub table: u64,
    pub headers: Vec<ProgramHeader>,
    /// The section headers; empty if there are none, or if they make no sense: the loader ignores them.
    pub sections: Vec<SectionRow>,
    /// The index of PT_DYNAMIC in `headers`.
    pub dynamic_header: usize,
    /// The offset of .dynamic in the file.
    pub dynamic: usize,
    /// The entries of .dynamic up to the first DT_NULL.
    pub entries: Vec<Dyn>,
    /// The number of entries that fit in place, with one DT_NULL after them.
    pub capacity: usize,
    /// The dynamic string table.
    pub strings: Cow<'a, [u8]>,
    /// The address of the dynamic string table.
    pub strings_address: u64,
}

impl<'a> EditedFile<'a> {
    pub fn read(bytes: &'a [u8], arch: Arch) -> Result<EditedFile<'a>, Refusal> {
        // A table over the ELF header makes it another one when a version is taken away.
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err(Refusal::Unproven("the layout"));
        }
        let file: Header = decode(bytes, 0);
        if !matches!(file.e_type, ET_EXEC | ET_DYN) {
            return Err(Refusal::Kind);
        }
        let headers = read_headers(bytes, &file)?;
        check_loads(bytes, &headers)?;
        let sections = read_sections(bytes, &file);

        // ld.so takes the last one.
        let dynamic_header =
            headers.iter().rposition(|header| header.p_type == PT_DYNAMIC).ok_or(Refusal::Static)?;
        let header = headers[dynamic_header];
        let dynamic = file_range(&headers, header.p_vaddr, header.p_filesz)
            .ok_or(Refusal::Layout("its dynamic segment is not in the file"))?;
        if dynamic.start as u64 != header.p_offset {
            return Err(Refusal::Layout("the offset and the address of its dynamic segment do not agree"));
        }
        let is_empty = |section: &SectionRow| {
            section.header.sh_type == SHT_NOBITS && section.header.sh_addr == header.p_vaddr
        };
        if sections.iter().any(is_empty) {
            return Err(Refusal::Layout(
                "its dynamic section is not in the file; it has debug information only",
            ));
        }
        let all: Vec<Dyn> =
            bytes[dynamic.clone()].chunks_exact(SIZEOF_DYN).map(|raw| decode(raw, 0)).collect();
        let end = all
            .iter()
            .position(|entry| entry.d_tag == DT_NULL)
            .ok_or(Refusal::Layout("its dynamic segment has no end"))?;
        // Only zeros after DT_NULL are spare entries.
        let spare = all[end..].iter().take_while(|entry| **entry == Dyn::default()).count();

        let entries = all[..end].to_vec();
        let (Some(strings_address), Some(size)) =
            (last_value(&entries, DT_STRTAB), last_value(&entries, DT_STRSZ))
        else {
            return Err(Refusal::Layout("its dynamic segment names no string table"));
        };
        let strings = memory(bytes, &headers, strings_address, size)
            .ok_or(Refusal::Layout("its dynamic string table is not in the file"))?;
        Ok(EditedFile {
            bytes,
            arch,
            table: file.e_phoff,
            sections,
            dynamic_header,
            dynamic: dynamic.start,
            entries,
            capacity: end + spare.saturating_sub(1),
            strings,
            strings_address,
            headers,
        })
    }

    pub fn of_kind(&self, kind: u32) -> impl Iterator<Item = (usize, &ProgramHeader)> {
        self.headers.iter().enumerate().filter(move |(_, header)| header.p_type == kind)
    }

    /// One past the last byte of the program header table.
    pub fn table_end(&self) -> u64 {
        self.table + self.headers.len() as u64 * SEGMENT_HEADER
    }

    /// The place in the file of `size` bytes at an address: inside the file part of one PT_LOAD.
    pub fn file_range(&self, address: u64, size: u64) -> Option<Range<usize>> {
        file_range(&self.headers, address, size)
    }

    /// The value of the last dynamic entry with a tag, which ld.so takes.
    pub fn value(&self, tag: u64) -> Option<u64> {
        last_value(&self.entries, tag)
    }

    /// The bytes of a segment; empty if it lies outside the file.
    pub fn segment(&self, header: &ProgramHeader) -> &'a [u8] {
        let range = range(header);
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        bounds.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or(&[])
    }
}

fn last_value(entries: &[Dyn], tag: u64) -> Option<u64> {
    entries.iter().rfind(|entry| entry.d_tag == tag).map(|entry| entry.d_val)
}

fn read_headers(bytes: &[u8], file: &Header) -> Result<Vec<ProgramHeader>, Refusal> {
    /// The value of `e_phnum` if the number is stored elsewhere; goblin does not have it.
    const PN_XNUM: u16 = 0xffff;
    let (table, count) = (file.e_phoff, file.e_phnum);
    let end = table.checked_add(u64::from(count) * SEGMENT_HEADER);
    if count == 0 {
        return Err(Refusal::Static);
    }
    match end {
        Some(end)
            if u64::from(file.e_phentsize) == SEGMENT_HEADER
                && count != PN_XNUM
                && table >= FILE_HEADER
                && end <= bytes.len() as u64 =>
        {
            let raw = &bytes[table as usize..end as usize];
            Ok(raw.chunks_exact(SIZEOF_PHDR).map(|raw| decode(raw, 0)).collect())
        }
        _ => Err(Refusal::Layout("its program header table is not in the file")),
    }
}

fn check_loads(bytes: &[u8], headers: &[ProgramHeader]) -> Result<(), Refusal> {
    let mut free_from = 0;
    for load in headers.iter().filter(|header| header.p_type == PT_LOAD) {
        let in_file = load.p_offset.checked_add(load.p_filesz).is_some_and(|end| end <= bytes.len() as u64);
        if !in_file || load.p_filesz > load.p_memsz {
            return Err(Refusal::Layout("one of its segments is not in the file"));
        }
        if load.p_align > 1 && !load.p_align.is_power_of_two() {
            return Err(Refusal::Layout("the alignment of one of its segments is not a power of two"));
        }
        if load.p_vaddr < free_from {
            return Err(Refusal::Layout("its segments are not in the order of their addresses, or overlap"));
        }
        free_from = load.p_vaddr.checked_add(load.p_memsz).ok_or(Refusal::NoAddress)?;
    }
    Ok(())
}

fn file_range(headers: &[ProgramHeader], address: u64, size: u64) -> Option<Range<usize>> {
    let inside = |load: &&ProgramHeader| {
        load.p_type == PT_LOAD && address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz
    };
    let load = headers.iter().find(inside)?;
    let skip = address - load.p_vaddr;
    if size > load.p_filesz - skip {
        return None;
    }
    // The checks of the segments have shown that their ends do not overflow.
    let start = usize::try_from(load.p_offset + skip).ok()?;
    Some(start..start + usize::try_from(size).ok()?)
}

/// The bytes at an address, from the file parts of PT_LOADs that follow each other: patchelf moves the tables of a
/// program with a fixed address to a segment before the first, and a table may go on in that one.
fn memory<'a>(bytes: &'a [u8], headers: &[ProgramHeader], address: u64, size: u64) -> Option<Cow<'a, [u8]>> {
    if let Some(whole) = file_range(headers, address, size) {
        return Some(Cow::Borrowed(&bytes[whole]));
    }
    if size > bytes.len() as u64 {
        return None;
    }
    let mut joined = Vec::new();
    while (joined.len() as u64) < size {
        let at = address.checked_add(joined.len() as u64)?;
        let is_inside = |load: &&ProgramHeader| {
            load.p_type == PT_LOAD && at >= load.p_vaddr && at - load.p_vaddr < load.p_filesz
        };
        let load = headers.iter().find(is_inside)?;
        let part = (load.p_filesz - (at - load.p_vaddr)).min(size - joined.len() as u64);
        joined.extend_from_slice(&bytes[file_range(headers, at, part)?]);
    }
    Some(Cow::Owned(joined))
}

fn read_sections(bytes: &[u8], file: &Header) -> Vec<SectionRow> {
    let (table, count) = (file.e_shoff, file.e_shnum);
    let end = table.checked_add(u64::from(count) * SECTION_HEADER);
    if u64::from(file.e_shentsize) != SECTION_HEADER || table < FILE_HEADER {
        return Vec::new();
    }
    let Some(end) = end.filter(|end| *end <= bytes.len() as u64) else { return Vec::new() };
    (table as usize..end as usize)
        .step_by(SIZEOF_SHDR)
        .map(|at| SectionRow { at, header: decode(bytes, at) })
        .collect()
}

pub(super) fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
