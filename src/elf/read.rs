//! Bounded access to the bytes of an ELF file: header, program headers, addresses, strings.

use std::cell::Cell;

use goblin::elf64::dynamic::{DT_NULL, Dyn, SIZEOF_DYN};
use goblin::elf64::header::{self, EI_CLASS, EI_DATA, Header};
use goblin::elf64::program_header as segment;

use super::records::decode;
use super::{Alignment, Arch, ElfError, ObjectType, OtherFormat, PAGE, Part, Tls};

use crate::text;

/// A file with its program headers.
pub(super) struct Image<'a> {
    /// The size of the whole file in bytes.
    size: u64,
    /// Whether relocations are read, and faults searched for.
    pub with_references: bool,
    /// The parts of the file that were read.
    parts: &'a [Part<'a>],
    /// The ELF header; of a 32-bit file only the first fields, up to `e_version`, are right.
    pub header: Header,
    pub class64: bool,
    pub little_endian: bool,
    pub machine: u16,
    pub object_type: ObjectType,
    segments: Vec<segment::ProgramHeader>,
}

impl<'a> Image<'a> {
    pub fn new(size: u64, parts: &'a [Part<'a>]) -> Result<Image<'a>, ElfError> {
        let bytes = parts.iter().find(|part| part.start == 0).map_or(&[][..], |part| part.bytes);
        if !bytes.starts_with(header::ELFMAG) {
            return Err(ElfError::NotElf(OtherFormat::of(bytes)));
        }
        if bytes.len() < header::SIZEOF_EHDR {
            return Err(ElfError::TooShort);
        }
        let class64 = match bytes[EI_CLASS] {
            header::ELFCLASS64 => true,
            header::ELFCLASS32 => false,
            class => return Err(ElfError::Malformed(format!("its ELF class is {class}, not 1 or 2"))),
        };
        let little_endian = match bytes[EI_DATA] {
            header::ELFDATA2LSB => true,
            header::ELFDATA2MSB => false,
            data => return Err(ElfError::Malformed(format!("its ELF byte order is {data}, not 1 or 2"))),
        };
        // goblin goes by the byte order of the file.
        let header: Header = decode(bytes, 0);
        let mut image = Image {
            size,
            with_references: true,
            parts,
            header,
            class64,
            little_endian,
            machine: header.e_machine,
            object_type: match header.e_type {
                header::ET_EXEC => ObjectType::Exec,
                header::ET_DYN => ObjectType::Dyn,
                other => ObjectType::Other(other),
            },
            segments: Vec::new(),
        };
        if image.readable() {
            image.segments = image.read_segments()?;
            // The loader maps such a segment and dies of SIGBUS when it reads missing bytes.
            for load in image.loads() {
                let end = load.p_offset.checked_add(load.p_filesz);
                if end.is_none_or(|end| end > size) {
                    return Err(outside("a loadable segment"));
                }
            }
        }
        Ok(image)
    }

    /// Whether this kind of file is read beyond its header.
    pub fn readable(&self) -> bool {
        let machines = [Arch::X86_64, Arch::Arm64].map(Arch::machine);
        self.class64 && self.little_endian && machines.contains(&self.machine)
    }

    /// The size of the whole file in bytes.
    pub fn n_bytes(&self) -> u64 {
        self.size
    }

    pub fn of_type(&self, p_type: u32) -> impl Iterator<Item = &segment::ProgramHeader> {
        self.segments.iter().filter(move |segment| segment.p_type == p_type)
    }

    pub fn loads(&self) -> impl Iterator<Item = &segment::ProgramHeader> {
        self.of_type(segment::PT_LOAD)
    }

    /// The first bytes of a segment in the file, at most `most`.
    pub fn segment_start(
        &self,
        header: &segment::ProgramHeader,
        most: u64,
        what: &str,
    ) -> Result<&'a [u8], ElfError> {
        header
            .p_offset
            .checked_add(header.p_filesz)
            .filter(|end| *end <= self.size)
            .ok_or_else(|| outside(what))?;
        self.slice(header.p_offset, header.p_filesz.min(most), what)
    }

    /// Returns `size` bytes at a virtual address, through the PT_LOADs that have them in the file.
    ///
    /// A table may continue in the next segment if that follows both in memory and in the file: patchelf puts such a
    /// page before a program at a fixed address.
    pub fn at_address(&self, address: u64, size: u64, what: &str) -> Result<&'a [u8], ElfError> {
        let (offset, mut covered) = self.in_file(address).ok_or_else(|| outside(what))?;
        // Each step enters another segment, unless segments overlap.
        for _ in 0..self.segments.len() {
            if covered >= size {
                break;
            }
            let next = address.checked_add(covered).and_then(|address| self.in_file(address));
            let (next, more) = next.ok_or_else(|| outside(what))?;
            if offset.checked_add(covered) != Some(next) {
                return Err(outside(what));
            }
            covered = covered.saturating_add(more);
        }
        if covered < size {
            return Err(outside(what));
        }
        self.slice(offset, size, what)
    }

    /// The file offset of an address, and the number of bytes that its PT_LOAD has from there on.
    fn in_file(&self, address: u64) -> Option<(u64, u64)> {
        let has = |load: &&segment::ProgramHeader| {
            address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz
        };
        let load = self.loads().find(has)?;
        let skip = address - load.p_vaddr;
        Some((load.p_offset.checked_add(skip)?, load.p_filesz - skip))
    }

    /// Whether these addresses are in the memory of PT_LOADs, which is mapped in whole pages.
    pub fn is_mapped(&self, address: u64, size: u64) -> bool {
        self.is_within(address, size, 0)
    }

    /// Whether these addresses are in the memory of one PT_LOAD that may be written.
    pub fn is_writable(&self, address: u64, size: u64) -> bool {
        self.is_within(address, size, segment::PF_W)
    }

    fn is_within(&self, address: u64, size: u64, flags: u32) -> bool {
        let Some(last) = size.checked_sub(1).and_then(|skip| address.checked_add(skip)) else { return false };
        let has = |address: u64| {
            self.loads().any(|load| {
                let end = load.p_vaddr.saturating_add(load.p_memsz).div_ceil(PAGE);
                let page = address / PAGE;
                load.p_flags & flags == flags && load.p_vaddr / PAGE <= page && page < end
            })
        };
        has(address) && has(last)
    }

    /// Whether an address is in the file bytes of an executable PT_LOAD.
    pub fn is_code(&self, address: u64) -> bool {
        self.loads().any(|load| {
            let start = load.p_vaddr / PAGE * PAGE;
            let has = address >= start && address < load.p_vaddr.saturating_add(load.p_filesz);
            load.p_flags & segment::PF_X != 0 && has
        })
    }

    /// The address of a file offset.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let has = |load: &&segment::ProgramHeader| {
            offset >= load.p_offset && offset - load.p_offset < load.p_filesz
        };
        let load = self.loads().find(has)?;
        load.p_vaddr.checked_add(offset - load.p_offset)
    }

    /// The thread-local storage by PT_TLS; ld.so takes the last one.
    pub fn tls(&self) -> Tls {
        let header = self.of_type(segment::PT_TLS).last();
        header.map_or_else(Tls::default, |header| Tls {
            n_bytes: header.p_memsz,
            align: header.p_align,
            ..Tls::default()
        })
    }

    /// The alignment of the PT_LOADs.
    ///
    /// Source: `_dl_map_object_from_fd` in glibc's elf/dl-load.c.
    pub fn alignment(&self) -> Alignment {
        let alignment_of = |load: &segment::ProgramHeader| {
            let distance = load.p_vaddr.wrapping_sub(load.p_offset);
            // ld.so assumes that `p_align` is a power of two; 0 gives a mask of all bits.
            if !distance.is_multiple_of(PAGE) {
                Alignment::Broken
            } else if !load.p_align.is_multiple_of(PAGE) {
                Alignment::NoPages
            } else if distance & load.p_align.wrapping_sub(1) != 0 {
                Alignment::PageOnly
            } else {
                Alignment::Fine
            }
        };
        self.loads().map(alignment_of).max().unwrap_or_default()
    }

    pub fn interpreter(&self) -> Result<Option<String>, ElfError> {
        let Some(header) = self.of_type(segment::PT_INTERP).next() else { return Ok(None) };
        // Source: `load_elf_binary` in fs/binfmt_elf.c.
        const PATH_MAX: u64 = 4096;
        let bytes = self.segment_start(header, PATH_MAX, "the interpreter's path")?;
        match bytes.split_last() {
            Some((0, path)) if !path.is_empty() && header.p_filesz <= PATH_MAX => {
                let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                Ok(Some(text::from_bytes(&path[..end])))
            }
            _ => Err(ElfError::Malformed("the interpreter's path is empty, too long or has no end".into())),
        }
    }

    /// The entries of PT_DYNAMIC up to DT_NULL; `None` if there is no such segment.
    ///
    /// ld.so reads them at the segment's address, not at its file offset.
    pub fn dynamic(&self) -> Result<Option<Vec<Dyn>>, ElfError> {
        let what = "the dynamic segment";
        let Some(header) = self.of_type(segment::PT_DYNAMIC).last() else { return Ok(None) };
        let no_end = |error| match error {
            ElfError::Malformed(_) => ElfError::Malformed("the dynamic segment has no end".into()),
            other => other,
        };
        let mut entries = Vec::new();
        let mut address = header.p_vaddr;
        self.at_address(address, 1, what)?;
        while entries.len() < MAX_DYNAMIC {
            let entry = self.at_address(address, SIZEOF_DYN as u64, what).map_err(no_end)?;
            let entry: Dyn = decode(entry, 0);
            if entry.d_tag == DT_NULL {
                return Ok(Some(entries));
            }
            entries.push(entry);
            address = address.checked_add(SIZEOF_DYN as u64).ok_or_else(|| outside(what))?;
        }
        Err(ElfError::Malformed("the dynamic segment has no end".into()))
    }

    /// Whether the file contains these bytes.
    pub fn contains(&self, wanted: &[u8]) -> Result<bool, ElfError> {
        let whole = self.slice(0, self.size, "the file")?;
        Ok(memchr::memmem::find(whole, wanted).is_some())
    }

    /// Returns bytes of the file; an error if they lie outside, or were not read.
    fn slice(&self, offset: u64, size: u64, what: &str) -> Result<&'a [u8], ElfError> {
        let end = offset.checked_add(size).filter(|end| *end <= self.size).ok_or_else(|| outside(what))?;
        if size == 0 {
            return Ok(&[]);
        }
        let bytes_of = |part: &Part<'a>| {
            let skip = usize::try_from(offset.checked_sub(part.start)?).ok()?;
            part.bytes.get(skip..skip.checked_add(usize::try_from(size).ok()?)?)
        };
        self.parts.iter().find_map(bytes_of).ok_or(ElfError::NotRead(offset..end))
    }

    fn read_segments(&self) -> Result<Vec<segment::ProgramHeader>, ElfError> {
        let malformed = |why: String| ElfError::Malformed(format!("its ELF header is broken: {why}"));
        let (entry_size, count) = (self.header.e_phentsize, self.header.e_phnum);
        if count == 0 {
            return Ok(Vec::new());
        }
        if usize::from(entry_size) != segment::SIZEOF_PHDR {
            return Err(malformed(format!("program headers of {entry_size} bytes")));
        }
        if count > MAX_SEGMENTS {
            return Err(malformed(format!("{count} program headers")));
        }
        let size = u64::from(count) * segment::SIZEOF_PHDR as u64;
        let table = self.slice(self.header.e_phoff, size, "the program header table")?;
        Ok(table.chunks_exact(segment::SIZEOF_PHDR).map(|raw| decode(raw, 0)).collect())
    }
}

/// The number of entries that are read at most; real dynamic segments have fewer.
const MAX_DYNAMIC: usize = 65_536;

/// The number of program headers at most; the kernel starts no program with more.
///
/// Source: `load_elf_phdrs` in fs/binfmt_elf.c, 65,536 bytes.
const MAX_SEGMENTS: u16 = 1170;

/// The dynamic string table.
///
/// Entries may share their text, so a small file could produce far more text than its size; all text that is copied
/// out of one table has a limit.
pub(super) struct Strings<'a> {
    bytes: &'a [u8],
    left: Cell<usize>,
}

impl<'a> Strings<'a> {
    /// The limit is some hundred times the text of a file with many long paths.
    const MAX_TEXT: usize = 1 << 20;

    pub fn new(bytes: &'a [u8]) -> Strings<'a> {
        Strings { bytes, left: Cell::new(Strings::MAX_TEXT) }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the text at an offset; it must end inside the table.
    pub fn text(&self, offset: u64, what: &str) -> Result<String, ElfError> {
        let tail = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.bytes.get(offset..))
            .ok_or_else(|| ElfError::Malformed(format!("{what} lies outside the string table")))?;
        let end = memchr::memchr(0, tail)
            .ok_or_else(|| ElfError::Malformed(format!("{what} has no end in the string table")))?;
        let left = self.left.get().checked_sub(end).ok_or_else(|| {
            ElfError::Malformed(format!("its names and paths have more than {} bytes", Strings::MAX_TEXT))
        })?;
        self.left.set(left);
        Ok(text::from_bytes(&tail[..end]))
    }
}

/// The address `skip` bytes after another.
pub(super) fn after(address: u64, skip: u32, what: &str) -> Result<u64, ElfError> {
    address.checked_add(skip.into()).ok_or_else(|| outside(what))
}

pub(super) fn outside(what: &str) -> ElfError {
    ElfError::Malformed(format!("{what} lies outside the file; it is truncated or corrupt"))
}

pub(super) fn u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
