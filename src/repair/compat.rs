//! The shared object with functions that the runtime's glibc lacks altogether.
//!
//! glibc has `strlcpy` since 2.38 and `arc4random` since 2.36, and no older function does the same. A file that
//! refers to them gets a need of this object, after all other needs: a newer glibc, which is loaded before it,
//! answers first.
//!
//! The code is assembled from `compat/*.S` and checked in, so that building the crate takes no assembler. The ELF
//! file around it is written by this module, with the same bytes on every host: one segment with the tables and the
//! code, one with two slots for functions of libc.so.6 and the dynamic segment. It has no symbol versions. Its
//! definitions therefore answer references with and without a version; ld.so's assertion about objects without
//! versions is only for files that a version need names (`check_match` in elf/dl-lookup.c), and no need names this
//! object.

use std::ops::Range;

use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_VERSION, ELFCLASS64, ELFDATA2LSB, ELFMAG, EV_CURRENT, SELFMAG,
};
use goblin::elf64::dynamic::{
    DF_1_NOW, DF_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_HASH, DT_NEEDED, DT_NULL, DT_RELA, DT_RELAENT, DT_RELASZ,
    DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMENT, DT_SYMTAB, Dyn, SIZEOF_DYN,
};
use goblin::elf64::header::{ET_DYN, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{
    PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_LOAD, ProgramHeader, SIZEOF_PHDR,
};
use goblin::elf64::reloc::{R_AARCH64_GLOB_DAT, R_X86_64_GLOB_DAT, Rela};
use goblin::elf64::section_header::{
    SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_DYNAMIC, SHT_DYNSYM, SHT_HASH, SHT_PROGBITS, SHT_RELA,
    SHT_STRTAB, SIZEOF_SHDR, SectionHeader,
};
use goblin::elf64::sym::{SIZEOF_SYM, STB_GLOBAL, STT_FUNC, Sym};
use scroll::Endian;
use scroll::ctx::{SizeWith, TryIntoCtx};

use crate::elf::Arch;
use crate::elf::records::encode;

/// The SONAME and file name of the object.
pub const COMPAT: &str = "liblambda-bundle-compat.so.1";

/// The functions that the object defines, sorted, with their places in the code.
const FUNCTIONS: &[Routine] = &[
    Routine { name: "__strlcat_chk", x86_64: 0x3b, aarch64: 0x54 },
    Routine { name: "__strlcpy_chk", x86_64: 0, aarch64: 0 },
    Routine { name: "__wcslcat_chk", x86_64: 0xa6, aarch64: 0xec },
    Routine { name: "__wcslcpy_chk", x86_64: 0x6d, aarch64: 0x9c },
    Routine { name: "arc4random", x86_64: 0x10e, aarch64: 0x180 },
    Routine { name: "arc4random_buf", x86_64: 0xdc, aarch64: 0x134 },
    Routine { name: "arc4random_uniform", x86_64: 0x12b, aarch64: 0x1a8 },
    Routine { name: "strlcat", x86_64: 0x46, aarch64: 0x64 },
    Routine { name: "strlcpy", x86_64: 0xf, aarch64: 0x14 },
    Routine { name: "wcslcat", x86_64: 0xb4, aarch64: 0xfc },
    Routine { name: "wcslcpy", x86_64: 0x78, aarch64: 0xac },
];

/// The functions of libc.so.6 that the code calls, by the order of the slots.
const CALLED: &[&str] = &["abort", "__chk_fail"];

struct Routine {
    name: &'static str,
    x86_64: u64,
    aarch64: u64,
}

/// Whether the object defines a function.
pub fn compat_defines(name: &str) -> bool {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).is_ok()
}

/// The distance from a place in the file to its address in the second segment: the largest page.
const PAGE: u64 = 0x1_0000;
/// The space for code: the slots are this and [`PAGE`] after its start.
const CODE_SIZE: u64 = 0x400;

const SYMBOL: u64 = SIZEOF_SYM as u64;
const RELOCATION: u64 = size_of::<Rela>() as u64;
const BUCKETS: u32 = 16;
const SEGMENTS: usize = 4;

/// The index of the section with the code.
const TEXT: u16 = 5;

/// Returns the bytes of the object.
pub fn compat_object(arch: Arch) -> Vec<u8> {
    let code: &[u8] = match arch {
        Arch::X86_64 => include_bytes!("compat/x86_64.bin"),
        Arch::Arm64 => include_bytes!("compat/aarch64.bin"),
    };
    let mut file = Writer { bytes: vec![0; SIZEOF_EHDR + SIZEOF_PHDR * SEGMENTS], sections: Vec::new() };
    let mut strings = StringTable { bytes: vec![0] };
    let (soname, libc) = (strings.add(COMPAT), strings.add("libc.so.6"));
    let names: Vec<u32> = CALLED.iter().map(|name| strings.add(name)).collect();
    let functions: Vec<u32> = FUNCTIONS.iter().map(|function| strings.add(function.name)).collect();

    let hash = file.begin(".hash", section(SHT_HASH, SHF_ALLOC, 2, 4), 8);
    for word in hash_table() {
        file.append(word);
    }
    let symbols =
        file.begin(".dynsym", SectionHeader { sh_info: 1, ..section(SHT_DYNSYM, SHF_ALLOC, 3, SYMBOL) }, 8);
    let n_symbols = (1 + CALLED.len() + FUNCTIONS.len()) as u64;
    let code_at =
        (symbols + SYMBOL * n_symbols + strings.bytes.len() as u64 + 2 * RELOCATION + 8).next_multiple_of(64);
    add_symbols(&mut file, &names, &functions, &CompatCode { arch, bytes: code, at: code_at });
    let strings_at = file.begin(".dynstr", section(SHT_STRTAB, SHF_ALLOC, 0, 0), 1);
    file.bytes.extend(&strings.bytes);
    let relocations = add_relocations(&mut file, arch, PAGE + code_at + CODE_SIZE);
    let start = file.begin(".text", section(SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, 0), 64);
    assert_eq!(start, code_at, "the symbols are right");
    file.bytes.extend(code);
    let code_end = file.end();

    file.bytes.resize((code_at + CODE_SIZE) as usize, 0);
    let data = file.begin(".got", section(SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, 8), 8);
    for _ in CALLED {
        file.append(0u64);
    }
    let dynamic =
        file.begin(".dynamic", section(SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, 3, SIZEOF_DYN as u64), 8);
    let entries = [
        (DT_NEEDED, libc.into()),
        (DT_SONAME, soname.into()),
        (DT_HASH, hash),
        (DT_STRTAB, strings_at),
        (DT_SYMTAB, symbols),
        (DT_STRSZ, strings.bytes.len() as u64),
        (DT_SYMENT, SYMBOL),
        (DT_RELA, relocations),
        (DT_RELASZ, RELOCATION * CALLED.len() as u64),
        (DT_RELAENT, RELOCATION),
        (DT_FLAGS, DF_BIND_NOW),
        (DT_FLAGS_1, DF_1_NOW),
        (DT_NULL, 0),
    ];
    for (d_tag, d_val) in entries {
        file.append(Dyn { d_tag, d_val });
    }
    let end = file.end();

    let segments = [
        segment(PT_LOAD, PF_R | PF_X, 0..code_end, 0, PAGE),
        segment(PT_LOAD, PF_R | PF_W, data..end, PAGE, PAGE),
        segment(PT_DYNAMIC, PF_R | PF_W, dynamic..end, PAGE, 8),
        // The stack is not executable.
        segment(PT_GNU_STACK, PF_R | PF_W, 0..0, 0, 16),
    ];
    file.finish(arch, segments, data)
}

/// The assembled functions.
struct CompatCode<'a> {
    arch: Arch,
    bytes: &'a [u8],
    /// The address of the first byte.
    at: u64,
}

/// Appends the symbols: those that the code calls, and the functions. Both lists have offsets of names.
fn add_symbols(file: &mut Writer, called: &[u32], functions: &[u32], code: &CompatCode) {
    file.append(Sym::default());
    let function = Sym { st_info: STB_GLOBAL << 4 | STT_FUNC, ..Sym::default() };
    for name in called {
        file.append(Sym { st_name: *name, ..function });
    }
    let places = places(code.arch);
    for (name, place) in functions.iter().zip(&places) {
        let next = places.iter().filter(|other| *other > place).min();
        let end = next.copied().unwrap_or(code.bytes.len() as u64);
        file.append(Sym {
            st_name: *name,
            st_shndx: TEXT,
            st_value: code.at + place,
            st_size: end - place,
            ..function
        });
    }
}

/// Appends a relocation for each slot of what the code calls. `slots` is the first one's address.
fn add_relocations(file: &mut Writer, arch: Arch, slots: u64) -> u64 {
    let start = file.begin(".rela.dyn", section(SHT_RELA, SHF_ALLOC, 2, RELOCATION), 8);
    let glob_dat = match arch {
        Arch::X86_64 => R_X86_64_GLOB_DAT,
        Arch::Arm64 => R_AARCH64_GLOB_DAT,
    };
    for index in 0..CALLED.len() as u64 {
        let r_info = (index + 1) << 32 | u64::from(glob_dat);
        file.append(Rela { r_offset: slots + index * 8, r_info, r_addend: 0 });
    }
    start
}

/// A section header without its name and places.
fn section(sh_type: u32, flags: u32, sh_link: u32, sh_entsize: u64) -> SectionHeader {
    SectionHeader { sh_type, sh_flags: flags.into(), sh_link, sh_entsize, ..SectionHeader::default() }
}

/// The header of a segment whose addresses are its offsets in the file and `distance`.
fn segment(p_type: u32, p_flags: u32, file: Range<u64>, distance: u64, p_align: u64) -> ProgramHeader {
    let (address, size) = (file.start + distance, file.end - file.start);
    ProgramHeader {
        p_type,
        p_flags,
        p_offset: file.start,
        p_vaddr: address,
        p_paddr: address,
        p_filesz: size,
        p_memsz: size,
        p_align,
    }
}

fn places(arch: Arch) -> Vec<u64> {
    let place = |function: &Routine| match arch {
        Arch::X86_64 => function.x86_64,
        Arch::Arm64 => function.aarch64,
    };
    FUNCTIONS.iter().map(place).collect()
}

/// DT_HASH: the numbers of buckets and of symbols, the buckets, the chains.
fn hash_table() -> Vec<u32> {
    let names: Vec<&str> =
        CALLED.iter().copied().chain(FUNCTIONS.iter().map(|function| function.name)).collect();
    let mut buckets = vec![0; BUCKETS as usize];
    let mut chains = vec![0];
    for (index, name) in names.iter().enumerate() {
        let bucket = &mut buckets[(elf_hash(name) % BUCKETS) as usize];
        chains.push(*bucket);
        *bucket = index as u32 + 1;
    }
    [vec![BUCKETS, chains.len() as u32], buckets, chains].concat()
}

/// The hash of the System V ABI.
fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

struct StringTable {
    bytes: Vec<u8>,
}

impl StringTable {
    fn add(&mut self, text: &str) -> u32 {
        let at = self.bytes.len() as u32;
        self.bytes.extend(text.bytes().chain([0]));
        at
    }
}

/// A section. Its header gets its name and its address at the end.
struct SectionDraft {
    name: &'static str,
    header: SectionHeader,
}

struct Writer {
    bytes: Vec<u8>,
    sections: Vec<SectionDraft>,
}

impl Writer {
    /// Begins a section; returns its place in the file.
    fn begin(&mut self, name: &'static str, header: SectionHeader, align: u64) -> u64 {
        self.end();
        let offset = (self.bytes.len() as u64).next_multiple_of(align);
        self.bytes.resize(offset as usize, 0);
        self.sections.push(SectionDraft {
            name,
            header: SectionHeader { sh_offset: offset, sh_addralign: align, ..header },
        });
        offset
    }

    /// Ends the section that was begun last, unless it was ended before; returns its end.
    fn end(&mut self) -> u64 {
        let end = self.bytes.len() as u64;
        if let Some(SectionDraft { header, .. }) =
            self.sections.last_mut().filter(|section| section.header.sh_size == 0)
        {
            header.sh_size = end - header.sh_offset;
        }
        end
    }

    fn append<T>(&mut self, record: T)
    where
        T: TryIntoCtx<Endian, Error = scroll::Error> + SizeWith<Endian>,
    {
        let at = self.bytes.len();
        self.bytes.resize(at + T::size_with(&scroll::LE), 0);
        encode(&mut self.bytes, at, record);
    }

    /// Writes the headers. Sections from `data` on are in the second segment.
    fn finish(mut self, arch: Arch, segments: [ProgramHeader; SEGMENTS], data: u64) -> Vec<u8> {
        let mut names = StringTable { bytes: vec![0] };
        let names_at = self.bytes.len() as u64;
        let mut headers = vec![SectionHeader::default()];
        for SectionDraft { name, header } in &self.sections {
            let distance = if header.sh_offset >= data { PAGE } else { 0 };
            let sh_addr = header.sh_offset + distance;
            headers.push(SectionHeader { sh_name: names.add(name), sh_addr, ..*header });
        }
        let sh_name = names.add(".shstrtab");
        headers.push(SectionHeader {
            sh_name,
            sh_offset: names_at,
            sh_size: names.bytes.len() as u64,
            sh_addralign: 1,
            ..section(SHT_STRTAB, 0, 0, 0)
        });
        self.bytes.extend(&names.bytes);
        let table = (self.bytes.len() as u64).next_multiple_of(8);
        self.bytes.resize(table as usize, 0);
        let n_sections = headers.len() as u16;
        for header in headers {
            self.append(header);
        }
        let mut head = Header {
            e_type: ET_DYN,
            e_machine: arch.machine(),
            e_version: EV_CURRENT.into(),
            e_phoff: SIZEOF_EHDR as u64,
            e_shoff: table,
            e_ehsize: SIZEOF_EHDR as u16,
            e_phentsize: SIZEOF_PHDR as u16,
            e_phnum: SEGMENTS as u16,
            e_shentsize: SIZEOF_SHDR as u16,
            e_shnum: n_sections,
            e_shstrndx: n_sections - 1,
            ..Header::default()
        };
        head.e_ident[..SELFMAG].copy_from_slice(ELFMAG);
        head.e_ident[EI_CLASS] = ELFCLASS64;
        head.e_ident[EI_DATA] = ELFDATA2LSB;
        head.e_ident[EI_VERSION] = EV_CURRENT;
        encode(&mut self.bytes, 0, head);
        for (index, segment) in segments.into_iter().enumerate() {
            encode(&mut self.bytes, SIZEOF_EHDR + index * SIZEOF_PHDR, segment);
        }
        self.bytes
    }
}
