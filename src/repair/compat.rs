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

use crate::elf::Arch;

/// The SONAME and file name of the object.
pub const COMPAT: &str = "liblambda-bundle-compat.so.1";

/// The functions that the object defines, sorted, with their places in the code.
const FUNCTIONS: &[Function] = &[
    Function { name: "__strlcat_chk", x86_64: 0x3b, aarch64: 0x54 },
    Function { name: "__strlcpy_chk", x86_64: 0, aarch64: 0 },
    Function { name: "__wcslcat_chk", x86_64: 0xa6, aarch64: 0xec },
    Function { name: "__wcslcpy_chk", x86_64: 0x6d, aarch64: 0x9c },
    Function { name: "arc4random", x86_64: 0x10e, aarch64: 0x180 },
    Function { name: "arc4random_buf", x86_64: 0xdc, aarch64: 0x134 },
    Function { name: "arc4random_uniform", x86_64: 0x12b, aarch64: 0x1a8 },
    Function { name: "strlcat", x86_64: 0x46, aarch64: 0x64 },
    Function { name: "strlcpy", x86_64: 0xf, aarch64: 0x14 },
    Function { name: "wcslcat", x86_64: 0xb4, aarch64: 0xfc },
    Function { name: "wcslcpy", x86_64: 0x78, aarch64: 0xac },
];

/// The functions of libc.so.6 that the code calls, by the order of the slots.
const CALLED: &[&str] = &["abort", "__chk_fail"];

struct Function {
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

const SYMBOL: u64 = 24;
const RELOCATION: u64 = 24;
const BUCKETS: u32 = 16;

/// Returns the bytes of the object.
pub fn compat_object(arch: Arch) -> Vec<u8> {
    let code: &[u8] = match arch {
        Arch::X86_64 => include_bytes!("compat/x86_64.bin"),
        Arch::Arm64 => include_bytes!("compat/aarch64.bin"),
    };
    let mut file = Writer { bytes: vec![0; 64 + 56 * 4], sections: Vec::new() };
    let mut strings = Strings { bytes: vec![0] };
    let (soname, libc) = (strings.add(COMPAT), strings.add("libc.so.6"));
    let names: Vec<u64> = CALLED.iter().map(|name| strings.add(name)).collect();
    let functions: Vec<u64> = FUNCTIONS.iter().map(|function| strings.add(function.name)).collect();

    let hash = file.begin(Kind { name: ".hash", kind: 5, flags: 2, link: 2, info: 0, entry: 4 }, 8);
    file.words(&hash_table());
    let count = 1 + CALLED.len() + FUNCTIONS.len();
    let symbols =
        file.begin(Kind { name: ".dynsym", kind: 11, flags: 2, link: 3, info: 1, entry: SYMBOL }, 8);
    let code_at = (symbols + SYMBOL * count as u64 + strings.bytes.len() as u64 + 2 * RELOCATION + 8)
        .next_multiple_of(64);
    file.bytes.extend([0; SYMBOL as usize]);
    for name in &names {
        file.words(&[*name as u32, 0x12, 0, 0, 0, 0]);
    }
    let places = places(arch);
    for (index, name) in functions.iter().enumerate() {
        let end =
            places.iter().copied().filter(|place| *place > places[index]).min().unwrap_or(code.len() as u64);
        // STB_GLOBAL, STT_FUNC; the code is in the fifth section.
        file.words(&[*name as u32, 0x12 | 5 << 16, (code_at + places[index]) as u32, 0]);
        file.words(&[(end - places[index]) as u32, 0]);
    }
    let strings_at = file.begin(Kind { name: ".dynstr", kind: 3, flags: 2, link: 0, info: 0, entry: 0 }, 1);
    file.bytes.extend(&strings.bytes);
    let slots = PAGE + code_at + CODE_SIZE;
    let relocations =
        file.begin(Kind { name: ".rela.dyn", kind: 4, flags: 2, link: 2, info: 0, entry: 24 }, 8);
    let glob_dat: u64 = match arch {
        Arch::X86_64 => 6,
        Arch::Arm64 => 1025,
    };
    for index in 0..CALLED.len() as u64 {
        file.longs(&[slots + index * 8, (index + 1) << 32 | glob_dat, 0]);
    }
    let start = file.begin(Kind { name: ".text", kind: 1, flags: 6, link: 0, info: 0, entry: 0 }, 64);
    debug_assert_eq!(start, code_at, "the symbols are right");
    file.bytes.extend(code);
    let code_end = file.end();

    file.bytes.resize((code_at + CODE_SIZE) as usize, 0);
    let data = file.begin(Kind { name: ".got", kind: 1, flags: 3, link: 0, info: 0, entry: 8 }, 8);
    file.longs(&[0, 0]);
    let dynamic = file.begin(Kind { name: ".dynamic", kind: 6, flags: 3, link: 3, info: 0, entry: 16 }, 8);
    file.longs(&[1, libc, 14, soname, 4, hash, 5, strings_at, 6, symbols]);
    file.longs(&[10, strings.bytes.len() as u64, 11, SYMBOL]);
    file.longs(&[7, relocations, 8, RELOCATION * CALLED.len() as u64, 9, RELOCATION]);
    // DF_BIND_NOW and DF_1_NOW, then the end.
    file.longs(&[30, 8, 0x6fff_fffb, 1, 0, 0]);
    let end = file.end();

    let segments = [
        Segment { kind: 1, flags: 5, offset: 0, address: 0, size: code_end, align: PAGE },
        Segment { kind: 1, flags: 6, offset: data, address: PAGE + data, size: end - data, align: PAGE },
        Segment {
            kind: 2,
            flags: 6,
            offset: dynamic,
            address: PAGE + dynamic,
            size: end - dynamic,
            align: 8,
        },
        // PT_GNU_STACK: the stack is not executable.
        Segment { kind: 0x6474_e551, flags: 6, offset: 0, address: 0, size: 0, align: 16 },
    ];
    file.finish(arch, &segments, data)
}

fn places(arch: Arch) -> Vec<u64> {
    let place = |function: &Function| match arch {
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

struct Strings {
    bytes: Vec<u8>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.extend(text.bytes().chain([0]));
        at
    }
}

/// The fields of a section header except places: name, `sh_type`, `sh_flags`, `sh_link`, `sh_info`, `sh_entsize`.
struct Kind {
    name: &'static str,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    entry: u64,
}

struct Section {
    kind: Kind,
    offset: u64,
    align: u64,
    /// One past the last byte of the section; 0 until the section is ended.
    end: u64,
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
    align: u64,
}

struct Writer {
    bytes: Vec<u8>,
    sections: Vec<Section>,
}

impl Writer {
    /// Begins a section; returns its place in the file.
    fn begin(&mut self, kind: Kind, align: u64) -> u64 {
        self.end();
        let offset = (self.bytes.len() as u64).next_multiple_of(align);
        self.bytes.resize(offset as usize, 0);
        self.sections.push(Section { kind, offset, align, end: 0 });
        offset
    }

    /// Ends the section that was begun last; returns its end.
    fn end(&mut self) -> u64 {
        let end = self.bytes.len() as u64;
        if let Some(section) = self.sections.last_mut().filter(|section| section.end == 0) {
            section.end = end;
        }
        end
    }

    fn words(&mut self, words: &[u32]) {
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn longs(&mut self, longs: &[u64]) {
        self.bytes.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
    }

    /// Writes the headers. Sections from `data` on are in the second segment.
    fn finish(mut self, arch: Arch, segments: &[Segment], data: u64) -> Vec<u8> {
        let mut names = Strings { bytes: vec![0] };
        let names_at = self.bytes.len() as u64;
        let mut headers: Vec<u64> = vec![0; 8];
        for Section { kind, offset, align, end } in &self.sections {
            let size = end - offset;
            let address = if *offset >= data { PAGE + offset } else { *offset };
            headers.extend([names.add(kind.name) | u64::from(kind.kind) << 32, kind.flags, address, *offset]);
            headers.extend([size, u64::from(kind.link) | u64::from(kind.info) << 32, *align, kind.entry]);
        }
        let name = names.add(".shstrtab");
        headers.extend([name | 3 << 32, 0, 0, names_at, names.bytes.len() as u64, 0, 1, 0]);
        self.bytes.extend(&names.bytes);
        let table = (self.bytes.len() as u64).next_multiple_of(8);
        self.bytes.resize(table as usize, 0);
        self.longs(&headers);

        let count = self.sections.len() as u64 + 2;
        let mut head = Writer { bytes: Vec::new(), sections: Vec::new() };
        // 64 bits, little-endian, version 1; ET_DYN.
        head.longs(&[0x0001_0102_464c_457f, 0, 3 | u64::from(arch.machine()) << 16 | 1 << 32, 0, 64, table]);
        head.longs(&[
            64 << 32 | 56 << 48,
            segments.len() as u64 | 64 << 16 | count << 32 | (count - 1) << 48,
        ]);
        for Segment { kind, flags, offset, address, size, align } in segments {
            head.longs(&[u64::from(*kind) | u64::from(*flags) << 32, *offset, *address, *address]);
            head.longs(&[*size, *size, *align]);
        }
        self.bytes[..head.bytes.len()].copy_from_slice(&head.bytes);
        self.bytes
    }
}
