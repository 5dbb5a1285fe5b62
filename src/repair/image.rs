//! The parts of an ELF file that an edit touches, checked before anything is changed.

use std::ops::Range;

use crate::elf::Arch;

use super::Refusal;

pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_DYNAMIC: u32 = 2;
pub(super) const PT_INTERP: u32 = 3;
pub(super) const PT_NOTE: u32 = 4;
pub(super) const PT_PHDR: u32 = 6;
pub(super) const PT_GNU_PROPERTY: u32 = 0x6474_e553;

pub(super) const DT_NEEDED: u64 = 1;
pub(super) const DT_STRTAB: u64 = 5;
pub(super) const DT_STRSZ: u64 = 10;

/// Sizes of the file header, of a program header and of a section header.
pub(super) const FILE_HEADER: u64 = 64;
pub(super) const SEGMENT_HEADER: u64 = 56;
pub(super) const SECTION_HEADER: u64 = 64;

/// One program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub physical: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

impl Header {
    fn read(raw: &[u8]) -> Header {
        Header {
            kind: u32_at(raw, 0),
            flags: u32_at(raw, 4),
            offset: u64_at(raw, 8),
            address: u64_at(raw, 16),
            physical: u64_at(raw, 24),
            file_size: u64_at(raw, 32),
            memory_size: u64_at(raw, 40),
            align: u64_at(raw, 48),
        }
    }

    pub fn write(&self, bytes: &mut [u8], at: usize) {
        bytes[at..at + 4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&self.flags.to_le_bytes());
        let words = [self.offset, self.address, self.physical, self.file_size, self.memory_size, self.align];
        for (index, word) in words.into_iter().enumerate() {
            put_u64(bytes, at + 8 + index * 8, word);
        }
    }

    /// The header with the same kind, for `size` bytes at another place.
    pub fn moved(&self, offset: u64, address: u64, size: u64) -> Header {
        Header { offset, address, physical: address, file_size: size, memory_size: size, ..*self }
    }

    /// The range of its bytes in the file; empty where the end would overflow.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.checked_add(self.file_size).unwrap_or(self.offset)
    }
}

/// One section header: its place in the file, and the fields that edits use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub at: usize,
    pub kind: u32,
    pub allocated: bool,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
}

/// A file that passed the checks.
pub(super) struct Image<'a> {
    pub bytes: &'a [u8],
    pub arch: Arch,
    /// `e_phoff`.
    pub table: u64,
    pub headers: Vec<Header>,
    /// The section headers; empty if there are none, or if they make no sense: the loader ignores them.
    pub sections: Vec<Section>,
    /// The index of PT_DYNAMIC in `headers`.
    pub dynamic_header: usize,
    /// The offset of .dynamic in the file.
    pub dynamic: usize,
    /// The entries of .dynamic up to the first DT_NULL.
    pub entries: Vec<(u64, u64)>,
    /// The number of entries that fit in place, with one DT_NULL after them.
    pub capacity: usize,
    /// The dynamic string table.
    pub strings: &'a [u8],
    /// The address of the dynamic string table.
    pub strings_address: u64,
}

impl<'a> Image<'a> {
    pub fn read(bytes: &'a [u8], arch: Arch) -> Result<Image<'a>, Refusal> {
        const ET_EXEC: u16 = 2;
        const ET_DYN: u16 = 3;
        if !matches!(u16_at(bytes, 16), ET_EXEC | ET_DYN) {
            return Err(Refusal::Kind);
        }
        let table = u64_at(bytes, 32);
        let headers = read_headers(bytes, table)?;
        check_loads(bytes, &headers)?;
        let sections = read_sections(bytes);

        // ld.so takes the last one.
        let dynamic_header =
            headers.iter().rposition(|header| header.kind == PT_DYNAMIC).ok_or(Refusal::Static)?;
        let header = headers[dynamic_header];
        let dynamic = file_range(&headers, header.address, header.file_size)
            .ok_or(Refusal::Layout("its dynamic segment is not in the file"))?;
        if dynamic.start as u64 != header.offset {
            return Err(Refusal::Layout("the offset and the address of its dynamic segment do not agree"));
        }
        const SHT_NOBITS: u32 = 8;
        if sections.iter().any(|section| section.kind == SHT_NOBITS && section.address == header.address) {
            return Err(Refusal::Layout(
                "its dynamic section is not in the file; it has debug information only",
            ));
        }
        let all: Vec<(u64, u64)> =
            bytes[dynamic.clone()].chunks_exact(16).map(|raw| (u64_at(raw, 0), u64_at(raw, 8))).collect();
        let end = all
            .iter()
            .position(|(tag, _)| *tag == 0)
            .ok_or(Refusal::Layout("its dynamic segment has no end"))?;
        // Only zeros after DT_NULL are spare entries.
        let spare = all[end..].iter().take_while(|entry| **entry == (0, 0)).count();

        let value = |wanted| all[..end].iter().rev().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (Some(strings_address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
            return Err(Refusal::Layout("its dynamic segment names no string table"));
        };
        let strings = file_range(&headers, strings_address, size)
            .ok_or(Refusal::Layout("its dynamic string table is not in the file"))?;
        Ok(Image {
            bytes,
            arch,
            table,
            sections,
            dynamic_header,
            dynamic: dynamic.start,
            entries: all[..end].to_vec(),
            capacity: end + spare.saturating_sub(1),
            strings: &bytes[strings],
            strings_address,
            headers,
        })
    }

    pub fn of_kind(&self, kind: u32) -> impl Iterator<Item = (usize, &Header)> {
        self.headers.iter().enumerate().filter(move |(_, header)| header.kind == kind)
    }

    /// One past the last byte of the program header table.
    pub fn table_end(&self) -> u64 {
        self.table + self.headers.len() as u64 * SEGMENT_HEADER
    }

    /// The place in the file of `size` bytes at an address: inside the file part of one PT_LOAD.
    pub fn file_range(&self, address: u64, size: u64) -> Option<Range<usize>> {
        file_range(&self.headers, address, size)
    }

    /// The bytes of a segment; empty if it lies outside the file.
    pub fn segment(&self, header: &Header) -> &'a [u8] {
        let range = header.range();
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        bounds.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or(&[])
    }
}

fn read_headers(bytes: &[u8], table: u64) -> Result<Vec<Header>, Refusal> {
    /// The value of `e_phnum` if the number is stored elsewhere.
    const PN_XNUM: u16 = 0xffff;
    let (entry_size, count) = (u16_at(bytes, 54), u16_at(bytes, 56));
    let end = table.checked_add(u64::from(count) * SEGMENT_HEADER);
    if count == 0 {
        return Err(Refusal::Static);
    }
    match end {
        Some(end)
            if u64::from(entry_size) == SEGMENT_HEADER
                && count != PN_XNUM
                && table >= FILE_HEADER
                && end <= bytes.len() as u64 =>
        {
            let raw = &bytes[table as usize..end as usize];
            Ok(raw.chunks_exact(SEGMENT_HEADER as usize).map(Header::read).collect())
        }
        _ => Err(Refusal::Layout("its program header table is not in the file")),
    }
}

fn check_loads(bytes: &[u8], headers: &[Header]) -> Result<(), Refusal> {
    let mut free_from = 0;
    for load in headers.iter().filter(|header| header.kind == PT_LOAD) {
        let in_file = load.offset.checked_add(load.file_size).is_some_and(|end| end <= bytes.len() as u64);
        if !in_file || load.file_size > load.memory_size {
            return Err(Refusal::Layout("one of its segments is not in the file"));
        }
        if load.align > 1 && !load.align.is_power_of_two() {
            return Err(Refusal::Layout("the alignment of one of its segments is not a power of two"));
        }
        if load.address < free_from {
            return Err(Refusal::Layout("its segments are not in the order of their addresses, or overlap"));
        }
        free_from = load.address.checked_add(load.memory_size).ok_or(Refusal::NoAddress)?;
    }
    Ok(())
}

fn file_range(headers: &[Header], address: u64, size: u64) -> Option<Range<usize>> {
    let inside = |load: &&Header| {
        load.kind == PT_LOAD && address >= load.address && address - load.address < load.file_size
    };
    let load = headers.iter().find(inside)?;
    let skip = address - load.address;
    if size > load.file_size - skip {
        return None;
    }
    // The checks of the segments have shown that their ends do not overflow.
    let start = usize::try_from(load.offset + skip).ok()?;
    Some(start..start + usize::try_from(size).ok()?)
}

fn read_sections(bytes: &[u8]) -> Vec<Section> {
    const SHF_ALLOC: u64 = 2;
    let (table, entry_size, count) = (u64_at(bytes, 40), u16_at(bytes, 58), u16_at(bytes, 60));
    let end = table.checked_add(u64::from(count) * SECTION_HEADER);
    if u64::from(entry_size) != SECTION_HEADER || table < FILE_HEADER {
        return Vec::new();
    }
    let Some(end) = end.filter(|end| *end <= bytes.len() as u64) else { return Vec::new() };
    (table as usize..end as usize)
        .step_by(SECTION_HEADER as usize)
        .map(|at| Section {
            at,
            kind: u32_at(bytes, at + 4),
            allocated: u64_at(bytes, at + 8) & SHF_ALLOC != 0,
            address: u64_at(bytes, at + 16),
            offset: u64_at(bytes, at + 24),
            size: u64_at(bytes, at + 32),
        })
        .collect()
}

pub(super) fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
