//! The types of relocations on each machine: what the loader does for each, and how it refers to a symbol.
//!
//! Source: `elf_machine_rela`, `elf_machine_lazy_rel` and `elf_machine_type_class` in glibc's
//! sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h.

use goblin::elf::header::{EM_AARCH64, EM_X86_64};
use goblin::elf64::reloc;

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
    /// One of those on x86_64 for which ld.so looks for a place in the block that was made at start.
    pub const TLS_PLACE: Uses = Uses(32);

    /// Whether no relocation names the symbol.
    pub fn is_empty(self) -> bool {
        self == Uses::default()
    }

    /// Whether any of these kinds is among them.
    pub fn has(self, kinds: Uses) -> bool {
        self.0 & kinds.0 != 0
    }

    /// Whether any of them is bound at start, whatever the object's flags are.
    pub fn is_at_start(self) -> bool {
        self.has(Uses::DATA.and(Uses::CALL).and(Uses::COPY).and(Uses::TLS))
    }

    /// The kinds in either set.
    #[must_use]
    pub const fn and(self, more: Uses) -> Uses {
        Uses(self.0 | more.0)
    }

    /// The same kinds, with no lookup left for later.
    #[must_use]
    pub(super) fn without_delay(self) -> Uses {
        match self.has(Uses::SLOT) {
            true => Uses(self.0 & !Uses::SLOT.0 | Uses::CALL.0),
            false => self,
        }
    }

    fn of_type(machine: u16, kind: u32) -> Uses {
        match (machine, kind) {
            // R_X86_64_NONE and R_AARCH64_NONE have the number 0.
            (_, 0) => Uses::default(),
            (EM_AARCH64, reloc::R_AARCH64_COPY) => Uses::COPY,
            (EM_AARCH64, reloc::R_AARCH64_JUMP_SLOT) => Uses::SLOT,
            (EM_AARCH64, _) if is_thread_local(machine, kind) => Uses::TLS,
            (EM_AARCH64, _) => Uses::DATA,
            (_, reloc::R_X86_64_COPY) => Uses::COPY,
            (_, reloc::R_X86_64_JUMP_SLOT) => Uses::SLOT,
            (_, reloc::R_X86_64_TPOFF64 | reloc::R_X86_64_TLSDESC) => Uses::TLS.and(Uses::TLS_PLACE),
            _ if is_thread_local(machine, kind) => Uses::TLS,
            _ => Uses::DATA,
        }
    }
}

/// What is known of a type of relocation.
#[derive(Clone, Copy)]
pub(super) struct RelocationType {
    /// Its number.
    pub kind: u32,
    /// The loader's action.
    pub class: Class,
    /// How it refers to its symbol.
    pub uses: Uses,
    /// Whether it needs a fixed distance from the thread pointer.
    pub is_static_tls: bool,
    /// Whether it needs a descriptor of thread-local storage.
    pub is_tls_descriptor: bool,
    /// Whether musl stops with "unsupported relocation type" where glibc continues.
    pub is_beyond_musl: bool,
    /// Whether it puts the address of a symbol into the global offset table.
    pub is_of_offset_table: bool,
    /// Whether it is about thread-local storage.
    pub is_thread_local: bool,
    /// Whether it writes an address of 64 bits.
    pub fills_a_word: bool,
    /// Whether it adds the object's address to a number.
    pub is_relative: bool,
}

impl RelocationType {
    /// The type of this number on a machine.
    pub fn of(machine: u16, kind: u32) -> RelocationType {
        RelocationType {
            kind,
            class: Class::of(machine, kind),
            uses: Uses::of_type(machine, kind),
            is_static_tls: matches!(
                (machine, kind),
                (EM_AARCH64, reloc::R_AARCH64_TLS_TPREL) | (EM_X86_64, reloc::R_X86_64_TPOFF64)
            ),
            is_tls_descriptor: matches!(
                (machine, kind),
                (EM_AARCH64, reloc::R_AARCH64_TLSDESC) | (EM_X86_64, reloc::R_X86_64_TLSDESC)
            ),
            is_beyond_musl: is_beyond_musl(machine, kind),
            is_of_offset_table: is_of_offset_table(machine, kind),
            is_thread_local: is_thread_local(machine, kind),
            fills_a_word: fills_a_word(machine, kind),
            is_relative: is_relative(machine, kind),
        }
    }
}

/// The loader's action for a type of relocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Nothing,
    /// It binds a jump slot, possibly later.
    Slot,
    /// It relocates at start without a lookup: a thread-local descriptor, an indirect function, a relative
    /// relocation.
    Other,
    /// It looks a symbol up.
    Symbol,
    /// It stops with "unexpected reloc type".
    Unknown,
}

impl Class {
    /// Source: `elf_machine_rela` and `elf_machine_lazy_rel` in the files named above.
    fn of(machine: u16, kind: u32) -> Class {
        match (machine, kind) {
            (_, 0) => Class::Nothing,
            (EM_AARCH64, reloc::R_AARCH64_JUMP_SLOT) | (EM_X86_64, reloc::R_X86_64_JUMP_SLOT) => Class::Slot,
            (EM_AARCH64, reloc::R_AARCH64_TLSDESC | reloc::R_AARCH64_IRELATIVE)
            | (EM_X86_64, reloc::R_X86_64_TLSDESC | reloc::R_X86_64_IRELATIVE) => Class::Other,
            (EM_AARCH64, reloc::R_AARCH64_ABS64 | reloc::R_AARCH64_ABS32)
            | (EM_AARCH64, reloc::R_AARCH64_COPY..=reloc::R_AARCH64_IRELATIVE) => Class::Symbol,
            (EM_X86_64, reloc::R_X86_64_64 | reloc::R_X86_64_PC32 | reloc::R_X86_64_32)
            | (EM_X86_64, reloc::R_X86_64_COPY..=reloc::R_X86_64_RELATIVE)
            | (EM_X86_64, reloc::R_X86_64_DTPMOD64..=reloc::R_X86_64_TPOFF64)
            | (EM_X86_64, reloc::R_X86_64_SIZE32 | reloc::R_X86_64_SIZE64 | R_X86_64_RELATIVE64) => {
                Class::Symbol
            }
            _ => Class::Unknown,
        }
    }
}

const R_X86_64_RELATIVE64: u32 = 38;

/// Whether musl stops with "unsupported relocation type" where glibc continues.
///
/// Source: arch/x86_64/reloc.h, arch/aarch64/reloc.h and `do_relocs` in ldso/dynlink.c.
fn is_beyond_musl(machine: u16, kind: u32) -> bool {
    match machine {
        EM_AARCH64 => matches!(kind, reloc::R_AARCH64_IRELATIVE | reloc::R_AARCH64_ABS32),
        _ => matches!(
            kind,
            reloc::R_X86_64_IRELATIVE
                | reloc::R_X86_64_32
                | reloc::R_X86_64_SIZE32
                | reloc::R_X86_64_SIZE64
                | R_X86_64_RELATIVE64
        ),
    }
}

/// Whether a relocation puts the address of a symbol into the global offset table.
fn is_of_offset_table(machine: u16, kind: u32) -> bool {
    match machine {
        EM_AARCH64 => matches!(kind, reloc::R_AARCH64_GLOB_DAT | reloc::R_AARCH64_JUMP_SLOT),
        _ => matches!(kind, reloc::R_X86_64_GLOB_DAT | reloc::R_X86_64_JUMP_SLOT),
    }
}

/// Whether a relocation is about thread-local storage. Linkers write such relocations for entries of the global offset
/// table only.
fn is_thread_local(machine: u16, kind: u32) -> bool {
    match machine {
        EM_AARCH64 => (reloc::R_AARCH64_TLS_DTPMOD..=reloc::R_AARCH64_TLSDESC).contains(&kind),
        _ => matches!(
            kind,
            reloc::R_X86_64_DTPMOD64
                | reloc::R_X86_64_DTPOFF64
                | reloc::R_X86_64_TPOFF64
                | reloc::R_X86_64_TLSDESC
        ),
    }
}

/// Whether a relocation of this type writes an address of 64 bits.
fn fills_a_word(machine: u16, kind: u32) -> bool {
    match machine {
        EM_AARCH64 => matches!(
            kind,
            reloc::R_AARCH64_ABS64
                | reloc::R_AARCH64_GLOB_DAT
                | reloc::R_AARCH64_JUMP_SLOT
                | reloc::R_AARCH64_RELATIVE
                | reloc::R_AARCH64_TLSDESC
                | reloc::R_AARCH64_IRELATIVE
        ),
        _ => matches!(
            kind,
            reloc::R_X86_64_64
                | reloc::R_X86_64_GLOB_DAT
                | reloc::R_X86_64_JUMP_SLOT
                | reloc::R_X86_64_RELATIVE
                | R_X86_64_RELATIVE64
                | reloc::R_X86_64_TLSDESC
                | reloc::R_X86_64_IRELATIVE
        ),
    }
}

pub(super) fn is_relative(machine: u16, kind: u32) -> bool {
    match machine {
        EM_AARCH64 => kind == reloc::R_AARCH64_RELATIVE,
        _ => matches!(kind, reloc::R_X86_64_RELATIVE | R_X86_64_RELATIVE64),
    }
}
