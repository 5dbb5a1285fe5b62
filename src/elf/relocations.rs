//! The relocation tables: the ways in which an object refers to its dynamic symbols.
//!
//! ld.so looks up only symbols that a relocation names. It binds all of DT_RELA at start; the jump slots in DT_JMPREL
//! may wait until the function is called. The relative relocations in DT_RELA, which name no symbol, come first and
//! are not read if DT_RELACOUNT counts them; DT_RELR has only relative ones.
//!
//! Source: `elf_dynamic_do_Rela` in glibc's elf/do-rel.h, `elf_machine_rela`, `elf_machine_lazy_rel` and
//! `elf_machine_type_class` in sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h.

use goblin::elf::header::{EM_AARCH64, EM_X86_64};
use goblin::elf64::program_header::PF_W;
use goblin::elf64::reloc::{self, Rel, r_sym, r_type};

use super::pointers::Pointers;
use super::read::{Image, outside};
use super::records::decode;
use super::{ElfError, ObjectType, PAGE};

/// The addresses of the tables that refer to symbols, from the dynamic segment.
pub(super) struct Tables {
    pub symtab: Option<u64>,
    pub versym: Option<u64>,
    pub hash: Option<u64>,
    pub gnu_hash: Option<u64>,
    pub rela: Option<Table>,
    /// DT_REL, which musl reads; glibc on Lambda's architectures does not.
    pub rel: Option<Table>,
    pub jmprel: Option<Table>,
    /// DT_RELR.
    pub relr: Option<Table>,
    /// DT_INIT_ARRAY and DT_PREINIT_ARRAY.
    pub arrays: Vec<Table>,
    /// DT_PLTGOT.
    pub pltgot: Option<u64>,
    /// Whether DT_TEXTREL is set: read-only segments become writable during relocation.
    pub changes_code: bool,
    /// Whether jump slots are bound at start.
    pub binds_now: bool,
}

/// One table of relocations or of functions.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub address: u64,
    /// The size of the table in bytes.
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

const RELA_SIZE: u64 = reloc::SIZEOF_RELA as u64;
const REL_SIZE: u64 = reloc::SIZEOF_REL as u64;
const TABLE: &str = "a relocation table";

/// The contents of the relocation tables.
#[derive(Default)]
pub(super) struct Relocations {
    /// The uses of each symbol, by its index, up to the last one that a relocation names.
    pub uses: Vec<Uses>,
    /// The first fault that ld.so refuses or crashes on.
    pub fault: Option<&'static str>,
    /// The place of the first jump slot that is bound when it is called.
    pub late_slot: Option<u64>,
    /// Whether a relocation needs a fixed distance from the thread pointer.
    pub has_static_tls: bool,
    /// Whether a relocation needs a descriptor of thread-local storage.
    pub has_tls_descriptors: bool,
    /// Whether a relocation has a type that glibc supports and musl does not.
    pub is_beyond_musl: bool,
}

/// Reads the tables.
///
/// # Errors
///
/// A table or the symbol that it names lies outside the file, or [`ElfError::NotRead`].
pub(super) fn read(image: &Image, tables: &Tables) -> Result<Relocations, ElfError> {
    let Tables { mut rela, rel, jmprel, .. } = *tables;
    if let (Some(rela), Some(jmprel)) = (&mut rela, jmprel) {
        // Some linkers include the jump slots at the end of DT_RELA in its size; they are read once.
        let end = |table: &Table| table.address.wrapping_add(table.size);
        if end(rela) == end(&jmprel) && rela.size >= jmprel.size {
            rela.size -= jmprel.size;
        }
    }
    // All tables are requested before any is read: if a part was not read, the parser starts again.
    for (table, record) in [(rela, RELA_SIZE), (rel, REL_SIZE), (jmprel, RELA_SIZE)] {
        if let Some(table) = table {
            let _ = records(image, table, record)?;
        }
    }
    let pointers = match image.object_type {
        ObjectType::Dyn => Some(Pointers::new(image, tables)?),
        _ => None,
    };
    let mut reader = Reader {
        image,
        places: Places::new(image, tables.changes_code),
        binds_now: tables.binds_now,
        pointers,
        read: Relocations::default(),
    };
    if let Some(table) = rela {
        reader.relative(table)?;
        reader.table(table, RELA_SIZE, false)?;
    }
    // glibc ignores DT_REL on these machines, so faults in it do not matter.
    if let Some(table) = rel {
        let fault = reader.read.fault;
        reader.table(table, REL_SIZE, false)?;
        reader.read.fault = fault;
    }
    if let Some(table) = jmprel {
        reader.table(table, RELA_SIZE, true)?;
    }
    if let Some(pointers) = reader.pointers.take()
        && let Some(fault) = pointers.fault(image, tables)?
    {
        reader.fault(fault);
    }
    Ok(reader.read)
}

/// The relocations of a table, without the counted relative ones at its start.
fn records<'a>(
    image: &Image<'a>,
    table: Table,
    record: u64,
) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, ElfError> {
    let skipped = table.n_relative.saturating_mul(record);
    // A record that begins within the table is read, wherever it ends.
    let size = table.size.saturating_sub(skipped);
    let size = size.checked_next_multiple_of(record).ok_or_else(|| outside(TABLE))?;
    let bytes = match size {
        0 => &[],
        size => image.at_address(table.address.wrapping_add(skipped), size, TABLE)?,
    };
    Ok(bytes.chunks_exact(record as usize))
}

struct Reader<'a> {
    image: &'a Image<'a>,
    places: Places,
    binds_now: bool,
    pointers: Option<Pointers>,
    read: Relocations,
}

impl Reader<'_> {
    fn table(&mut self, table: Table, record: u64, is_late: bool) -> Result<(), ElfError> {
        for raw in records(self.image, table, record)? {
            // A record with an addend begins like one without.
            let Rel { r_offset, r_info } = decode(raw, 0);
            let (symbol, kind) = (u64::from(r_sym(r_info)), r_type(r_info));
            let class = Class::of(self.image.machine, kind);
            match (self.image.machine, kind) {
                (EM_AARCH64, reloc::R_AARCH64_TLS_TPREL) | (EM_X86_64, reloc::R_X86_64_TPOFF64) => {
                    self.read.has_static_tls = true;
                }
                (EM_AARCH64, reloc::R_AARCH64_TLSDESC) | (EM_X86_64, reloc::R_X86_64_TLSDESC) => {
                    self.read.has_tls_descriptors = true;
                }
                _ => {}
            }
            self.read.is_beyond_musl |= is_beyond_musl(self.image.machine, kind);
            if is_late && !self.binds_now && !matches!(class, Class::Slot | Class::Other) {
                self.fault("its jump slots have a relocation of another type");
            }
            self.place(r_offset, class);
            if let Some(pointers) = &mut self.pointers
                && fills_a_word(self.image.machine, kind)
            {
                let value = is_relative(self.image.machine, kind).then(|| raw.get(16..24)).flatten();
                pointers.fill(self.image, r_offset, value.map(|addend| decode(addend, 0)));
            }
            if is_late && !self.binds_now && class == Class::Slot {
                self.read.late_slot.get_or_insert(r_offset);
            }
            let is_of_offset_table = is_of_offset_table(self.image.machine, kind);
            if (is_of_offset_table || is_thread_local(self.image.machine, kind))
                && !r_offset.is_multiple_of(8)
            {
                self.fault("an entry of the global offset table has an address that is not aligned");
            }
            if is_of_offset_table && symbol == 0 {
                self.fault("a relocation refers to a symbol without a name");
            }
            if symbol == 0 {
                continue;
            }
            let mut uses = Uses::of_type(self.image.machine, kind);
            if !is_late {
                uses = uses.without_delay();
            }
            self.symbol(symbol, uses)?;
        }
        Ok(())
    }

    /// Checks the relative relocations at the start: ld.so trusts DT_RELACOUNT, so checking the first and the last
    /// one is enough.
    ///
    /// Source: `elf_machine_rela_relative` in sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h. A program
    /// at a fixed address has no relative relocations.
    fn relative(&mut self, table: Table) -> Result<(), ElfError> {
        if table.n_relative == 0 || self.image.object_type == ObjectType::Exec {
            return Ok(());
        }
        for index in [0, table.n_relative - 1] {
            let address = table.address.wrapping_add(index.saturating_mul(RELA_SIZE));
            let raw = self.image.at_address(address, RELA_SIZE, TABLE)?;
            let Rel { r_offset, r_info } = decode(raw, 0);
            match r_type(r_info) {
                kind if !is_relative(self.image.machine, kind) => {
                    self.fault("its DT_RELACOUNT counts a relocation of another type");
                }
                _ => self.place(r_offset, Class::Other),
            }
        }
        Ok(())
    }

    fn place(&mut self, address: u64, class: Class) {
        match class {
            Class::Nothing => {}
            Class::Unknown => self.fault("it has a relocation of a type that the loader does not know"),
            Class::Slot | Class::Other | Class::Symbol if !self.places.has(address) => {
                self.fault("a relocation would change read-only memory");
            }
            Class::Slot | Class::Other | Class::Symbol => {}
        }
    }

    fn symbol(&mut self, symbol: u64, uses: Uses) -> Result<(), ElfError> {
        // A symbol's record has the size of a relocation; a symbol beyond the file would only cost memory.
        if symbol >= self.image.n_bytes() / RELA_SIZE {
            return Err(ElfError::Malformed(
                "a relocation names a symbol outside the file; it is truncated or corrupt".into(),
            ));
        }
        let (index, known) = (symbol as usize, &mut self.read.uses);
        if known.len() <= index {
            known.resize(index + 1, Uses::default());
        }
        known[index] = known[index].and(uses);
        Ok(())
    }

    fn fault(&mut self, what: &'static str) {
        self.read.fault.get_or_insert(what);
    }
}

/// The loader's action for a type of relocation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
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

/// The addresses that the loader can change.
struct Places {
    /// The start and the end of each range, in whole pages.
    ranges: Vec<(u64, u64)>,
    /// The index of the last range that was found: relocations of one range follow each other.
    last: usize,
}

impl Places {
    /// The writable ranges; with DT_TEXTREL, all mapped ranges.
    fn new(image: &Image, changes_code: bool) -> Places {
        let wanted = if changes_code { 0 } else { PF_W };
        let ranges = image.loads().filter(|load| load.p_flags & wanted == wanted).map(|load| {
            let end = load.p_vaddr.saturating_add(load.p_memsz);
            (load.p_vaddr / PAGE * PAGE, end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX))
        });
        Places { ranges: ranges.collect(), last: 0 }
    }

    fn has(&mut self, address: u64) -> bool {
        let has = |&(start, end): &(u64, u64)| start <= address && address < end;
        if self.ranges.get(self.last).is_some_and(has) {
            return true;
        }
        let found = self.ranges.iter().position(has);
        self.last = found.unwrap_or(0);
        found.is_some()
    }
}
