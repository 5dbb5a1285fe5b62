//! AArch64 instructions that not all of Lambda's processors have: Graviton2 is a Neoverse N1, which has Armv8.2 with
//! the CRC, AES, SHA-1, SHA-2, half-precision, dot-product, LSE and RCpc instructions.
//!
//! Source: Neoverse N1 Technical Reference Manual; encodings from the Arm Architecture Reference Manual for A-profile,
//! C4 "A64 instruction set encoding".

use std::array;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use goblin::elf64::header::{EM_AARCH64, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{PF_X, PT_LOAD, ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::sym::{STT_FUNC, STT_GNU_IFUNC, Sym, st_type};

use super::records::decode;
use super::sections;

/// A mask, the bits that instructions of an extension have there, and the extension.
type Encoding = (u32, u32, &'static str);

/// Encodings: a mask, the bits under it, and the extension of the architecture.
///
/// All words of SVE and of the cryptographic instructions that N1 lacks have a group of their own.
const BEYOND: &[Encoding] = &[
    (0x1e00_0000, 0x0400_0000, "SVE"),
    (0x9e00_0000, 0x8000_0000, "SME"),
    (0xffe0_fc00, 0xce60_8c00, "SHA-3"),
    (0xffe0_f000, 0xce60_8000, "SHA-512"),
    (0xffff_fc00, 0xcec0_8000, "SHA-512"),
    (0xffc0_8000, 0xce00_0000, "SHA-3"),
    (0xffe0_8000, 0xce40_0000, "SM3 or SM4"),
    (0xffe0_0000, 0xce80_0000, "SHA-3"),
    (0xffe0_f000, 0xce60_c000, "SM3 or SM4"),
    (0xffe0_c000, 0xce40_8000, "SM3 or SM4"),
    (0xffff_fc00, 0xcec0_8400, "SM3 or SM4"),
    (0xbfe0_fc00, 0x2e40_fc00, "BF16"),
    (0xffe0_fc00, 0x6e40_ec00, "BF16"),
    (0xffff_fc00, 0x1e63_4000, "BF16"),
    (0xbfff_fc00, 0x0ea1_6800, "BF16"),
    (0xbfe0_fc00, 0x2ec0_fc00, "BF16"),
    (0xdfe0_f400, 0x4e80_a400, "I8MM"),
    (0xbfe0_fc00, 0x0e80_9c00, "I8MM"),
    (0xbf20_ec00, 0x2e00_e400, "FCMA"),
    (0xbf20_e400, 0x2e00_c400, "FCMA"),
    (0xffff_fc00, 0x1e7e_0000, "JSCVT"),
    (0xbf60_fc00, 0x0e20_ec00, "FHM"),
    (0xbf60_fc00, 0x2e20_cc00, "FHM"),
    (0xfede_f800, 0xd61e_0800, "pointer authentication"),
    (0xffff_fbff, 0xd65f_0bff, "pointer authentication"),
    (0xff20_0400, 0xf820_0400, "pointer authentication"),
    (0xffff_8000, 0xdac1_0000, "pointer authentication"),
    (0x3f20_0c00, 0x1900_0000, "RCPC2"),
    (0xffff_ffff, 0xd500_401f, "FlagM"),
    (0xffe0_7c10, 0xba00_0400, "FlagM"),
    (0xffff_bc1f, 0x3a00_080d, "FlagM"),
    (0xffbe_7c00, 0x1e28_4000, "FRINTTS"),
    (0x9fbf_ec00, 0x0e21_e800, "FRINTTS"),
    (0x3b20_0c00, 0x1900_0400, "MOPS"),
];

/// The functions that ask the kernel for the processor's features.
const ASKING: [&[u8]; 2] = [b"getauxval", b"__getauxval"];

/// The questions about features: AT_HWCAP, AT_HWCAP2, AT_HWCAP3, AT_HWCAP4. Rust's std asks for AT_MINSIGSTKSZ.
///
/// Source: include/uapi/linux/auxvec.h of Linux.
const QUESTIONS: [u32; 4] = [16, 26, 29, 30];

/// The functions of libgcc that ask for the sake of atomics, and of indirect functions. Most programs have them.
const OF_LIBGCC: [&[u8]; 2] = [b"init_have_lse_atomics", b"__init_cpu_features"];

/// The function by which Go's runtime asks.
const GO: &[u8] = b"internal/cpu.doinit";

/// A function with an instruction that not all of Lambda's processors have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerInstruction {
    /// The function's name, as in `.symtab`.
    pub function: String,
    /// The extension of the architecture.
    pub extension: &'static str,
}

/// Returns the extension that has an instruction, unless Neoverse N1 has it.
pub fn extension(word: u32) -> Option<&'static str> {
    // The encodings by bits 25 to 28, by which the architecture groups all instructions.
    static GROUPS: LazyLock<[Vec<&Encoding>; 16]> = LazyLock::new(|| {
        array::from_fn(|group| {
            let group = (group as u32) << 25;
            let may_be = |(mask, bits, _): &&Encoding| bits & GROUP == group & mask & GROUP;
            BEYOND.iter().filter(may_be).collect()
        })
    });
    let mut of_group = GROUPS[(word >> 25 & 15) as usize].iter();
    of_group.find(|(mask, bits, _)| word & mask == *bits).map(|(.., extension)| *extension)
}

const GROUP: u32 = 15 << 25;

/// Finds the first function with an instruction that not all of Lambda's processors have, in a program or library of
/// AArch64 with a `.symtab`. `None` also if something in it asks for the processor's features: it may call the function
/// only where it can run.
pub fn newer(bytes: &[u8]) -> Option<NewerInstruction> {
    let code = Code::of(bytes)?;
    let mut all = code.functions.iter();
    let (function, extension) = all.find_map(|function| {
        let mut words = code.words_of(function.range.clone());
        let extension = words.find_map(|(at, word)| extension(word).filter(|_| !code.is_data(at)))?;
        Some((function, extension))
    })?;
    if code.asks() {
        return None;
    }
    Some(NewerInstruction { function: String::from_utf8_lossy(function.name).into_owned(), extension })
}

struct CodeFunction<'a> {
    name: &'a [u8],
    range: Range<u64>,
}

/// The code of a file.
struct Code<'a> {
    bytes: &'a [u8],
    segments: Vec<ProgramHeader>,
    /// Sorted by address.
    functions: Vec<CodeFunction<'a>>,
    /// Where data begins in the code, and where code begins again.
    data: Vec<(u64, bool)>,
    has_indirect_functions: bool,
    /// The addresses of `getauxval` itself, in a static program, or of its entries in the global offset table.
    asking: BTreeSet<u64>,
    slots: BTreeSet<u64>,
}

impl<'a> Code<'a> {
    fn of(bytes: &'a [u8]) -> Option<Code<'a>> {
        let header: Header = decode(bytes.get(..SIZEOF_EHDR)?, 0);
        if header.e_machine != EM_AARCH64 {
            return None;
        }
        let table = bytes.get(usize::try_from(header.e_phoff).ok()?..)?;
        let table = table.get(..usize::from(header.e_phnum) * SIZEOF_PHDR)?;
        let segments = table.chunks_exact(SIZEOF_PHDR).map(|raw| decode::<ProgramHeader, _>(raw, 0));
        let segments = segments.filter(|it| it.p_type == PT_LOAD && it.p_flags & PF_X != 0).collect();
        let mut code = Code {
            bytes,
            segments,
            functions: Vec::new(),
            data: Vec::new(),
            has_indirect_functions: false,
            asking: BTreeSet::new(),
            slots: sections::relocated(bytes, &ASKING),
        };
        for (name, symbol) in sections::symbols(bytes) {
            code.add(name, &symbol);
        }
        code.functions.sort_by_key(|function| function.range.start);
        code.data.sort_unstable();
        Some(code)
    }

    fn add(&mut self, name: &'a [u8], symbol: &Sym) {
        let start = symbol.st_value;
        // Source: "Mapping symbols" in ELF for the Arm 64-bit Architecture.
        match name {
            [b'$', b'x', ..] => self.data.push((start, false)),
            [b'$', b'd', ..] => self.data.push((start, true)),
            _ => {}
        }
        match st_type(symbol.st_info) {
            STT_GNU_IFUNC => self.has_indirect_functions = true,
            STT_FUNC if symbol.st_shndx != 0 => {
                let range = start..start.saturating_add(symbol.st_size);
                if ASKING.contains(&name) {
                    self.asking.insert(start);
                }
                self.functions.push(CodeFunction { name, range });
            }
            _ => {}
        }
    }

    /// The words of a range, each with its address; none if it is not in code.
    fn words_of(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u32)> + use<'a> {
        let segment = self
            .segments
            .iter()
            .find(|it| it.p_vaddr <= range.start && range.end <= it.p_vaddr.saturating_add(it.p_filesz));
        let bytes = segment.and_then(|it| {
            let start = it.p_offset.checked_add(range.start - it.p_vaddr)?;
            let end = start.checked_add(range.end - range.start)?;
            self.bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        });
        let words = bytes.unwrap_or_default().chunks_exact(4);
        (range.start..).step_by(4).zip(words.map(|raw| decode(raw, 0)))
    }

    fn is_data(&self, address: u64) -> bool {
        let behind = self.data.partition_point(|(start, _)| *start <= address);
        behind.checked_sub(1).is_some_and(|index| self.data[index].1)
    }

    /// Whether something asks for the processor's features: by the auxiliary vector, or a register that the kernel
    /// answers for, or with indirect functions.
    ///
    /// Source: Documentation/arch/arm64/cpu-feature-registers.rst of Linux.
    fn asks(&self) -> bool {
        let reads_registers = |function: &CodeFunction| {
            self.words_of(function.range.clone()).any(|(_, word)| word & 0xffff_f000 == 0xd538_0000)
        };
        self.has_indirect_functions
            || self.functions.iter().any(|function| function.name == GO || reads_registers(function))
            || self.calls_asking()
    }

    /// Whether another function than libgcc's asks `getauxval` for features.
    fn calls_asking(&self) -> bool {
        let mut targets = self.asking.clone();
        for segment in &self.segments {
            let end = segment.p_vaddr.saturating_add(segment.p_filesz);
            let words: Vec<(u64, u32)> = self.words_of(segment.p_vaddr..end).collect();
            for (index, (address, word)) in words.iter().enumerate() {
                let Some((register, page)) = page(*address, *word) else { continue };
                let next = words[index + 1..].iter().take(4);
                let mut loads = next.filter_map(|(_, word)| load(*word));
                if loads.any(|(base, offset)| base == register && self.slots.contains(&(page + offset))) {
                    match self.function_at(*address) {
                        Some(function) if !OF_LIBGCC.contains(&function.name) => return true,
                        Some(_) => {}
                        // A stub of the procedure linkage table, before which there may be a landing pad.
                        None => targets.extend([*address, address.wrapping_sub(4)]),
                    }
                }
            }
        }
        let asks = |function: &CodeFunction| {
            // The number that the first argument has been set to.
            let mut argument = None;
            self.words_of(function.range.clone()).any(|(at, word)| {
                argument = first_argument(word).or(argument);
                target(at, word).is_some_and(|to| targets.contains(&to))
                    && argument.take().is_none_or(|argument| QUESTIONS.contains(&argument))
            })
        };
        self.functions.iter().filter(|function| !OF_LIBGCC.contains(&function.name)).any(asks)
    }

    fn function_at(&self, address: u64) -> Option<&CodeFunction<'a>> {
        let behind = self.functions.partition_point(|function| function.range.start <= address);
        self.functions[..behind].last().filter(|function| function.range.contains(&address))
    }
}

/// The register and the page of an ADRP instruction.
fn page(address: u64, word: u32) -> Option<(u32, u64)> {
    (word & 0x9f00_0000 == 0x9000_0000).then(|| {
        let pages = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
        let distance = i64::from((pages << 11) as i32 >> 11) << 12;
        (word & 31, (address & !0xfff).wrapping_add_signed(distance))
    })
}

/// The base register and the offset of an LDR instruction of 64 bits.
fn load(word: u32) -> Option<(u32, u64)> {
    (word & 0xffc0_0000 == 0xf940_0000).then(|| (word >> 5 & 31, u64::from(word >> 10 & 0xfff) * 8))
}

/// The number that a MOV instruction writes to register 0.
fn first_argument(word: u32) -> Option<u32> {
    (word & 0x7fe0_001f == 0x5280_0000).then_some(word >> 5 & 0xffff)
}

/// Where a B or BL instruction jumps.
fn target(address: u64, word: u32) -> Option<u64> {
    (word & 0x7c00_0000 == 0x1400_0000)
        .then(|| address.wrapping_add_signed(i64::from((word << 6) as i32 >> 6) * 4))
}
