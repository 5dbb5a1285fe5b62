//! Words through which the loader, or a call, jumps, and which a relocation has to fill before: the functions of
//! DT_INIT_ARRAY and DT_PREINIT_ARRAY, and the slots of the procedure linkage table.
//!
//! Before relocation such a word is 0, or an address as if the object began at 0. ld.so calls all functions of the
//! arrays and compares none with 0.
//!
//! Source: `call_init` in glibc's elf/dl-init.c and csu/libc-start.c; `elf_machine_runtime_setup` in
//! sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h for the three words before the slots.

use std::ops::Range;

use goblin::elf::header::EM_AARCH64;
use goblin::elf64::program_header::PT_DYNAMIC;
use goblin::elf64::reloc::{Rela, SIZEOF_RELA};

use super::ElfError;
use super::read::{Image, read_if_there, u32, u64};
use super::records::decode;
use super::relocation_types::is_relative;
use super::tables::{Table, Tables};

const RELA_SIZE: u64 = SIZEOF_RELA as u64;
const WORD: u64 = 8;

/// The number of words of one table that are looked at; real tables of functions have fewer.
const MOST_WORDS: u64 = 4096;

/// The tables of words.
pub(super) struct Pointers {
    tables: Vec<PointerWords>,
    /// From the first table to the last: most relocations lie outside.
    hull: Range<u64>,
    fault: Option<&'static str>,
}

struct PointerWords {
    range: Range<u64>,
    kind: PointerKind,
    /// Whether a relocation fills the word.
    filled: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PointerKind {
    /// An array of functions.
    Functions,
    /// Slots of the procedure linkage table.
    Slots,
}

const NOT_CODE: &str = "a function of its DT_INIT_ARRAY is not in executable code";
const NO_FUNCTION: &str = "a function of its DT_INIT_ARRAY has no relocation";
const NO_SLOT: &str = "a slot of its procedure linkage table has no relocation";

impl Pointers {
    /// The tables of an object that is relocated as a whole.
    ///
    /// # Errors
    ///
    /// Only [`ElfError::NotRead`].
    pub fn new(image: &Image, tables: &Tables) -> Result<Pointers, ElfError> {
        // ld.so reads DT_PLTGOT only if calls are bound late. On x86_64 linkers write the address of the dynamic segment
        // to its first word.
        let first = tables.pltgot.map(|address| read_if_there(image.at_address(address, WORD, "a slot")));
        let first = first.transpose()?.flatten().map(|word| u64(word, 0));
        let is_marked = image.of_type(PT_DYNAMIC).any(|header| Some(header.p_vaddr) == first);

        let mut found = Vec::new();
        let mut add = |kind, start: u64, size: u64| {
            let size = size.min(MOST_WORDS * WORD) / WORD * WORD;
            if size > 0
                && let Some(end) = start.checked_add(size)
            {
                found.push(PointerWords {
                    range: start..end,
                    kind,
                    filled: vec![false; (size / WORD) as usize],
                });
            }
        };
        for array in &tables.arrays {
            add(PointerKind::Functions, array.address, array.size);
        }
        if let (Some(table), Some(jmprel)) = (tables.pltgot, tables.jmprel)
            && (!tables.binds_now || is_marked)
        {
            // The slot after the last one is looked at, too, in case the table is longer than its size says.
            let n_slots = jmprel.size.div_ceil(RELA_SIZE).min(MOST_WORDS) + 1;
            add(PointerKind::Slots, table.saturating_add(3 * WORD), n_slots * WORD);
        }
        let start = found.iter().map(|words| words.range.start).min().unwrap_or(0);
        let end = found.iter().map(|words| words.range.end).max().unwrap_or(0);
        Ok(Pointers { tables: found, hull: start..end, fault: None })
    }

    /// Notes a relocation that writes an address at `place`; `value` is known for a relative one.
    pub fn fill(&mut self, image: &Image, place: u64, value: Option<u64>) {
        if !self.hull.contains(&place) {
            return;
        }
        for words in &mut self.tables {
            if words.range.contains(&place) && (place - words.range.start).is_multiple_of(WORD) {
                words.filled[((place - words.range.start) / WORD) as usize] = true;
                if words.kind == PointerKind::Functions && value.is_some_and(|value| !image.is_code(value)) {
                    self.fault = Some(NOT_CODE);
                }
            }
        }
    }

    /// The fault, once all relocations but the counted relative ones are noted.
    ///
    /// # Errors
    ///
    /// Only [`ElfError::NotRead`].
    pub fn fault(mut self, image: &Image, tables: &Tables) -> Result<Option<&'static str>, ElfError> {
        if let Some(relr) = tables.relr {
            self.fill_packed(image, relr)?;
        }
        if let Some(rela) = tables.rela {
            // The arrays come first in the memory of most linkers, and their relocations first in the table.
            const FEW: u64 = 256;
            self.fill_relative(image, rela, 0..FEW)?;
            if self.is_wanting(image)?.is_some() {
                self.fill_relative(image, rela, FEW..u64::MAX)?;
            }
        }
        let wanting = self.is_wanting(image)?;
        Ok(self.fault.or(wanting))
    }

    /// Notes some of the counted relative relocations at the start of a table.
    fn fill_relative(&mut self, image: &Image, table: Table, some: Range<u64>) -> Result<(), ElfError> {
        let most = table.n_relative.min(table.size / RELA_SIZE);
        let (start, end) = (some.start.min(most), some.end.min(most));
        let address = table.address.wrapping_add(start * RELA_SIZE);
        let read = image.at_address(address, (end - start) * RELA_SIZE, "a relocation table");
        for raw in read_if_there(read)?.unwrap_or(&[]).chunks_exact(SIZEOF_RELA) {
            let Rela { r_offset, r_info, r_addend } = decode(raw, 0);
            if is_relative(image.machine, r_info as u32) {
                self.fill(image, r_offset, Some(r_addend as u64));
            }
        }
        Ok(())
    }

    /// Notes the relocations of DT_RELR, which keep the value in the word.
    ///
    /// Source: `elf_dynamic_do_Relr` in glibc's elf/do-rel.h.
    fn fill_packed(&mut self, image: &Image, table: Table) -> Result<(), ElfError> {
        let read = image.at_address(table.address, table.size / WORD * WORD, "a relocation table");
        let mut next = 0u64;
        for raw in read_if_there(read)?.unwrap_or(&[]).chunks_exact(WORD as usize) {
            let entry = u64(raw, 0);
            if entry & 1 == 0 {
                self.fill_in_place(image, entry)?;
                next = entry.wrapping_add(WORD);
                continue;
            }
            for bit in (1..64).filter(|bit| entry >> bit & 1 == 1) {
                self.fill_in_place(image, next.wrapping_add((bit - 1) * WORD))?;
            }
            next = next.wrapping_add(63 * WORD);
        }
        Ok(())
    }

    fn fill_in_place(&mut self, image: &Image, place: u64) -> Result<(), ElfError> {
        if self.hull.contains(&place) && self.tables.iter().any(|words| words.range.contains(&place)) {
            let value = read_if_there(image.at_address(place, WORD, "a relocated word"))?;
            self.fill(image, place, Some(value.map_or(0, |word| u64(word, 0))));
        }
        Ok(())
    }

    /// The fault of a word that no relocation fills.
    fn is_wanting(&self, image: &Image) -> Result<Option<&'static str>, ElfError> {
        for words in &self.tables {
            let unfilled = words.filled.iter().enumerate().filter(|(_, filled)| !**filled);
            for (index, _) in unfilled {
                match words.kind {
                    PointerKind::Functions => return Ok(Some(NO_FUNCTION)),
                    PointerKind::Slots if is_slot(image, words.range.start + index as u64 * WORD)? => {
                        return Ok(Some(NO_SLOT));
                    }
                    PointerKind::Slots => {}
                }
            }
        }
        Ok(None)
    }
}

/// Whether a word has the address of the code that binds a slot late, as linkers write it into each slot.
///
/// Source: the "PLT" pages of the processors' ABIs, `elf_x86_64_lazy_plt_entry` and `elf64_aarch64_small_plt0_entry`
/// in bfd.
fn is_slot(image: &Image, place: u64) -> Result<bool, ElfError> {
    let Some(word) = read_if_there(image.at_address(place, WORD, "a slot"))? else { return Ok(false) };
    let address = u64(word, 0);
    if address == 0 || !image.is_code(address) {
        return Ok(false);
    }
    let Some(code) = read_if_there(image.at_address(address, 12, "code"))? else { return Ok(false) };
    Ok(match image.machine {
        EM_AARCH64 => {
            // stp x16, x30, [sp, #-16]!, after bti c
            const PUSH: u32 = 0xa9bf_7bf0;
            u32(code, 0) == PUSH || u32(code, 0) == 0xd503_245f && u32(code, 4) == PUSH
        }
        // push $number; jmp, after endbr64
        _ => {
            let code = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(code);
            code[0] == 0x68 && matches!(code[5], 0xe9 | 0xf2)
        }
    })
}
