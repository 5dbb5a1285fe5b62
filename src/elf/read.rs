//! Bounded access to the bytes of an ELF file: header, program headers, addresses, strings.

use std::borrow::Cow;
use std::cell::Cell;

use goblin::elf64::dynamic::{DT_NULL, Dyn, SIZEOF_DYN};
use goblin::elf64::header::{self, EI_CLASS, EI_DATA, Header};
use goblin::elf64::program_header as segment;

use super::pieces::FileBytes;
use super::records::decode;
use super::{Alignment, Arch, ElfError, ObjectType, OtherFormat, PAGE, Tls};

use crate::text;

/// A file with its program headers.
pub(super) struct Image<'a> {
    /// The size of the whole file in bytes.
    size: u64,
    /// Whether relocations are read, and faults searched for.
    pub with_references: bool,
    bytes: &'a dyn FileBytes,
    /// Whether the kernel takes the file for one of Lambda's machines.
    is_native: bool,
    /// The ELF header; of a 32-bit file only the first fields, up to `e_version`, are right.
    pub header: Header,
    pub class64: bool,
    pub little_endian: bool,
    pub machine: u16,
    pub object_type: ObjectType,
    segments: Vec<segment::ProgramHeader>,
}

impl<'a> Image<'a> {
    pub fn new(size: u64, file: &'a dyn FileBytes) -> Result<Image<'a>, ElfError> {
        let bytes = file.start();
        if !bytes.starts_with(header::ELFMAG) {
            return Err(ElfError::NotElf(OtherFormat::of(bytes)));
        }
        if bytes.len() < header::SIZEOF_EHDR {
            return Err(ElfError::TooShort);
        }
        let (class64, little_endian) =
            (bytes[EI_CLASS] == header::ELFCLASS64, bytes[EI_DATA] == header::ELFDATA2LSB);
        let native = native_header(&bytes[..header::SIZEOF_EHDR]);
        let header = match (native, bytes[EI_CLASS], bytes[EI_DATA]) {
            (Some(header), _, _) => header,
            (None, class, _) if !matches!(class, header::ELFCLASS32 | header::ELFCLASS64) => {
                return Err(ElfError::Malformed(format!("its ELF class is {class}, not 1 or 2")));
            }
            (None, _, data) if !matches!(data, header::ELFDATA2LSB | header::ELFDATA2MSB) => {
                return Err(ElfError::Malformed(format!("its ELF byte order is {data}, not 1 or 2")));
            }
            _ => decode(bytes, 0),
        };
        let mut image = Image {
            size,
            with_references: true,
            bytes: file,
            is_native: native.is_some(),
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
        self.is_native || self.class64 && self.little_endian && is_for_lambda(self.machine)
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

    /// The name at an address, up to its NUL; `None` if it does not lie in memory, or is longer than `most` bytes.
    ///
    /// # Errors
    ///
    /// Only [`ElfError::NotRead`].
    fn name(&self, mut address: u64, most: usize) -> Result<Option<Cow<'a, [u8]>>, ElfError> {
        /// Most names are shorter.
        const PIECE: u64 = 256;
        let mut name = Cow::Borrowed(&[][..]);
        while name.len() <= most {
            let Some((offset, size)) = self.in_file(address) else {
                return Ok(self.is_zero(address).then_some(name));
            };
            let size = size.min(PIECE).min(self.size.saturating_sub(offset));
            if size == 0 {
                return Ok(Some(name));
            }
            let piece = self.slice(offset, size, "a name")?;
            let end = memchr::memchr(0, piece);
            let part = &piece[..end.unwrap_or(piece.len())];
            match name.is_empty() {
                true => name = Cow::Borrowed(part),
                false => name.to_mut().extend(part),
            }
            if end.is_some() {
                return Ok((name.len() <= most).then_some(name));
            }
            address = address.wrapping_add(size);
        }
        Ok(None)
    }

    /// Whether an address is in .bss: memory of a PT_LOAD that the file does not have.
    ///
    /// The kernel clears the rest of its last page, too; ld.so leaves the bytes of the file there, or nothing.
    fn is_zero(&self, address: u64) -> bool {
        let is_program = self.of_type(segment::PT_INTERP).next().is_some();
        self.loads().any(|load| {
            let (file_end, end) =
                (load.p_vaddr.saturating_add(load.p_filesz), load.p_vaddr.saturating_add(load.p_memsz));
            let end = if is_program { end.div_ceil(PAGE).saturating_mul(PAGE) } else { end };
            load.p_memsz > load.p_filesz && file_end <= address && address < end
        })
    }

    /// The file offset of an address, and the number of bytes that its PT_LOAD has from there on.
    ///
    /// The kernel and ld.so map whole pages, so the bytes of the file before and after a segment are in memory, too;
    /// zeros are there instead if the segment is longer in memory than in the file.
    ///
    /// Source: `elf_map` in the kernel's fs/binfmt_elf.c, `_dl_map_segments` in glibc's elf/dl-map-segments.h.
    fn in_file(&self, address: u64) -> Option<(u64, u64)> {
        let has = |load: &&segment::ProgramHeader| {
            address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz
        };
        if let Some(load) = self.loads().find(has) {
            let skip = address - load.p_vaddr;
            return Some((load.p_offset.checked_add(skip)?, load.p_filesz - skip));
        }
        self.loads().find_map(|load| {
            let file_end = load.p_vaddr.checked_add(load.p_filesz)?;
            let end = match load.p_memsz > load.p_filesz {
                true => file_end,
                false => file_end.checked_next_multiple_of(PAGE)?,
            };
            if address < load.p_vaddr / PAGE * PAGE || address >= end {
                return None;
            }
            let offset = load.p_offset.checked_add(address)?.checked_sub(load.p_vaddr)?;
            Some((offset, end - address))
        })
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

    /// Whether an address is in the file bytes of an executable PT_LOAD, which is mapped in whole pages.
    pub fn is_code(&self, address: u64) -> bool {
        self.loads().any(|load| {
            let start = load.p_vaddr / PAGE * PAGE;
            let end = load.p_vaddr.saturating_add(load.p_filesz);
            // .bss begins there in a segment that may be written.
            let end = match load.p_flags & segment::PF_W {
                0 => end.div_ceil(PAGE).saturating_mul(PAGE),
                _ => end,
            };
            load.p_flags & segment::PF_X != 0 && address >= start && address < end
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
    pub fn slice(&self, offset: u64, size: u64, what: &str) -> Result<&'a [u8], ElfError> {
        let end = offset.checked_add(size).filter(|end| *end <= self.size).ok_or_else(|| outside(what))?;
        if size == 0 {
            return Ok(&[]);
        }
        self.bytes.get(offset..end).ok_or(ElfError::NotRead(offset..end))
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

/// The header as the kernel reads it, if it is that of a program for one of Lambda's machines.
///
/// Source: `load_elf_binary` in fs/binfmt_elf.c and `elf_check_arch`, which look at neither EI_CLASS nor EI_DATA.
fn native_header(bytes: &[u8]) -> Option<Header> {
    let mut native = [0; header::SIZEOF_EHDR];
    native.copy_from_slice(bytes);
    // goblin goes by the class and the byte order of the file.
    (native[EI_CLASS], native[EI_DATA]) = (header::ELFCLASS64, header::ELFDATA2LSB);
    let mut native: Header = decode(&native, 0);
    native.e_ident.copy_from_slice(&bytes[..header::SIZEOF_IDENT]);
    let has_layout = usize::from(native.e_phentsize) == segment::SIZEOF_PHDR;
    (is_for_lambda(native.e_machine) && has_layout).then_some(native)
}

fn is_for_lambda(machine: u16) -> bool {
    [Arch::X86_64, Arch::Arm64].map(Arch::machine).contains(&machine)
}

/// The number of entries that are read at most; real dynamic segments have fewer.
const MAX_DYNAMIC: usize = 65_536;

/// The number of program headers at most; the kernel starts no program with more.
///
/// Source: `load_elf_phdrs` in fs/binfmt_elf.c, 65,536 bytes.
const MAX_SEGMENTS: u16 = 1170;

/// The dynamic string table.
///
/// ld.so takes a name from memory, at DT_STRTAB and its offset, and never reads DT_STRSZ (`_dl_map_object_deps` in
/// elf/dl-deps.c, `_dl_check_map_versions` in elf/dl-version.c and `do_lookup_x` in elf/dl-lookup.c of glibc, musl's
/// ldso/dynlink.c). DT_STRSZ only gives the part that is read at once.
///
/// Entries may share their text, so a small file could produce far more text than its size; all text that is copied
/// out of one table has a limit.
pub(super) struct Strings<'a> {
    image: &'a Image<'a>,
    /// DT_STRTAB.
    address: Option<u64>,
    /// The part that DT_STRSZ counts.
    bytes: &'a [u8],
    left: Cell<usize>,
    is_longer: Cell<bool>,
}

impl<'a> Strings<'a> {
    /// The limit is some hundred times the text of a file with many long paths.
    const MAX_TEXT: usize = 1 << 20;

    /// # Errors
    ///
    /// Only [`ElfError::NotRead`]; a part that is not in the file has no bytes.
    pub fn new(image: &'a Image<'a>, address: Option<u64>, size: u64) -> Result<Strings<'a>, ElfError> {
        let part = address.map(|address| read_if_there(image.at_address(address, size, "the string table")));
        Ok(Strings {
            image,
            address,
            bytes: part.transpose()?.flatten().unwrap_or(&[]),
            left: Cell::new(Strings::MAX_TEXT),
            is_longer: Cell::new(false),
        })
    }

    /// The part of the table that DT_STRSZ counts.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of bytes that names may lie in: those of the part that DT_STRSZ counts; if it has none, those of the
    /// file.
    pub fn most_bytes(&self) -> usize {
        match self.bytes.len() {
            0 => usize::try_from(self.image.size).unwrap_or(usize::MAX),
            size => size,
        }
    }

    /// Whether a name was read that DT_STRSZ does not count.
    pub fn is_longer(&self) -> bool {
        self.is_longer.get()
    }

    /// The length of the name at an offset if it ends in the part that DT_STRSZ counts.
    pub fn length(&self, offset: u64) -> Option<usize> {
        memchr::memchr(0, self.bytes.get(usize::try_from(offset).ok()?..)?)
    }

    /// The name at an offset, wherever it lies; `None` if it does not lie in memory, or is longer than `most` bytes.
    ///
    /// # Errors
    ///
    /// Only [`ElfError::NotRead`].
    pub fn name(&self, offset: u64, most: usize) -> Result<Option<Cow<'a, [u8]>>, ElfError> {
        if let Some(length) = self.length(offset) {
            let at = offset as usize;
            return Ok((length <= most).then(|| Cow::Borrowed(&self.bytes[at..at + length])));
        }
        self.is_longer.set(true);
        let Some(address) = self.address else { return Ok(None) };
        self.image.name(address.wrapping_add(offset), most)
    }

    /// Whether an offset is in memory.
    fn has(&self, offset: u64) -> bool {
        let address = self.address.map(|address| address.wrapping_add(offset));
        address.is_some_and(|address| self.image.in_file(address).is_some() || self.image.is_zero(address))
    }

    /// Returns the text at an offset; it must lie in memory.
    pub fn text(&self, offset: u64, what: &str) -> Result<String, ElfError> {
        let left = self.left.get();
        let name = self.name(offset, left)?.ok_or_else(|| match self.has(offset) {
            true => {
                let most = Strings::MAX_TEXT;
                ElfError::Malformed(format!("its names and paths have more than {most} bytes"))
            }
            false => ElfError::Malformed(format!("{what} does not lie in its memory")),
        })?;
        self.left.set(left - name.len());
        Ok(text::from_bytes(&name))
    }
}

/// The bytes, or `None` where there are none; the error of bytes that were not read stays.
pub(super) fn read_if_there<T>(read: Result<T, ElfError>) -> Result<Option<T>, ElfError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error @ ElfError::NotRead(_)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The address `skip` bytes after another.
pub(super) fn after(address: u64, skip: u32, what: &str) -> Result<u64, ElfError> {
    address.checked_add(skip.into()).ok_or_else(|| outside(what))
}

pub(super) fn outside(what: &str) -> ElfError {
    ElfError::Malformed(format!("{what} lies outside the file; it is truncated or corrupt"))
}

#[inline]
pub(super) fn u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

#[inline]
pub(super) fn u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[inline]
pub(super) fn u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
