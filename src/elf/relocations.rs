//! The relocation tables: how an object refers to each of its dynamic symbols.
//!
//! ld.so looks up what a relocation names and nothing else. It binds all of DT_RELA at start; of DT_JMPREL the
//! jump slots may wait until the function is called. The relative relocations of DT_RELA, which name no symbol,
//! come first and are not read where DT_RELACOUNT counts them; DT_RELR has no others.
//!
//! Source: `elf_dynamic_do_Rela` in glibc's elf/do-rel.h, `elf_machine_rela`, `elf_machine_lazy_rel` and
//! `elf_machine_type_class` in sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h.

use goblin::elf::header::EM_AARCH64;
use goblin::elf::reloc;

use super::ElfError;
use super::read::{Image, u64};

/// Addresses of the tables that lead to symbols, as the dynamic segment gives them.
pub(super) struct Tables {
    pub symtab: Option<u64>,
    pub versym: Option<u64>,
    pub hash: Option<u64>,
    pub gnu_hash: Option<u64>,
    pub rela: Option<Table>,
    /// musl reads it; glibc on Lambda's architectures does not.
    pub rel: Option<Table>,
    pub jmprel: Option<Table>,
}

/// One table of relocations.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub address: u64,
    /// In bytes.
    pub size: u64,
    /// The number of relative relocations at its start.
    pub n_relative: u64,
}

/// The kinds of relocations that name a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses(u8);

impl Uses {
    /// A data reference: an address in a table, a GOT entry, a call through the GOT.
    pub const DATA: Uses = Uses(1);
    /// A jump slot of DT_JMPREL: bound at start only with immediate binding.
    pub const SLOT: Uses = Uses(2);
    /// A jump slot that is bound at start in any case.
    pub const CALL: Uses = Uses(4);
    /// A COPY relocation: the program's own symbol is the copy, and another object must define the original.
    pub const COPY: Uses = Uses(8);
    /// A module or an offset of thread-local storage.
    pub const TLS: Uses = Uses(16);

    /// Whether no relocation names the symbol.
    pub fn is_empty(self) -> bool {
        self == Uses::default()
    }

    /// Whether one of these kinds is among them.
    pub fn has(self, kinds: Uses) -> bool {
        self.0 & kinds.0 != 0
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, more: Uses) -> Uses {
        Uses(self.0 | more.0)
    }

    /// The same, with no lookup left for later.
    #[must_use]
    pub(super) fn without_delay(self) -> Uses {
        match self.has(Uses::SLOT) {
            true => Uses(self.0 & !Uses::SLOT.0 | Uses::CALL.0),
            false => self,
        }
    }

    fn of_type(machine: u16, kind: u32) -> Uses {
        match (machine, kind) {
            // R_X86_64_NONE and R_AARCH64_NONE.
            (_, 0) => Uses::default(),
            (EM_AARCH64, reloc::R_AARCH64_COPY) => Uses::COPY,
            (EM_AARCH64, reloc::R_AARCH64_JUMP_SLOT) => Uses::SLOT,
            (EM_AARCH64, reloc::R_AARCH64_TLS_DTPMOD..=reloc::R_AARCH64_TLSDESC) => Uses::TLS,
            (EM_AARCH64, _) => Uses::DATA,
            (_, reloc::R_X86_64_COPY) => Uses::COPY,
            (_, reloc::R_X86_64_JUMP_SLOT) => Uses::SLOT,
            (_, reloc::R_X86_64_DTPMOD64..=reloc::R_X86_64_TPOFF64 | reloc::R_X86_64_TLSDESC) => Uses::TLS,
            _ => Uses::DATA,
        }
    }
}

const RELA_SIZE: u64 = 24;
const REL_SIZE: u64 = 16;

/// The uses of each symbol, by its index, up to the last one that a relocation names.
///
/// # Errors
///
/// A table or the symbol that it names lies outside the file, or [`ElfError::NotRead`].
pub(super) fn uses(image: &Image, tables: &Tables) -> Result<Vec<Uses>, ElfError> {
    let mut uses = Vec::new();
    let Tables { mut rela, rel, jmprel, .. } = *tables;
    if let (Some(rela), Some(jmprel)) = (&mut rela, jmprel) {
        // Some linkers count the jump slots at the end of DT_RELA among it; they are read once.
        let end = |table: &Table| table.address.wrapping_add(table.size);
        if end(rela) == end(&jmprel) && rela.size >= jmprel.size {
            rela.size -= jmprel.size;
        }
    }
    // All are asked for before any is gone through: a part that was not read makes the parser start again.
    let mut ranges = Vec::new();
    for (table, record, is_late) in
        [(rela, RELA_SIZE, false), (rel, REL_SIZE, false), (jmprel, RELA_SIZE, true)]
    {
        let Some(table) = table else { continue };
        let skipped = table.n_relative.saturating_mul(record);
        let size = table.size.saturating_sub(skipped);
        if size >= record {
            let address = table.address.wrapping_add(skipped);
            ranges.push((image.at_address(address, size, "a relocation table")?, record, is_late));
        }
    }
    for (bytes, record, is_late) in ranges {
        add(image, bytes.chunks_exact(record as usize), is_late, &mut uses)?;
    }
    Ok(uses)
}

fn add<'a>(
    image: &Image,
    records: impl Iterator<Item = &'a [u8]>,
    is_late: bool,
    uses: &mut Vec<Uses>,
) -> Result<(), ElfError> {
    for raw in records {
        let entry = u64(raw, 8);
        let (symbol, kind) = (entry >> 32, entry as u32);
        if symbol == 0 {
            continue;
        }
        let mut kind = Uses::of_type(image.machine, kind);
        if !is_late {
            kind = kind.without_delay();
        }
        // The record of a symbol has the size of a relocation; one beyond the file would only cost memory.
        if symbol >= image.n_bytes() / RELA_SIZE {
            return Err(ElfError::Malformed(
                "a relocation names a symbol outside the file; it is truncated or corrupt".into(),
            ));
        }
        let index = symbol as usize;
        if uses.len() <= index {
            uses.resize(index + 1, Uses::default());
        }
        uses[index] = uses[index].and(kind);
    }
    Ok(())
}
