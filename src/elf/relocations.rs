//! The relocation tables: the ways in which an object refers to its dynamic symbols.
//!
//! ld.so looks up only symbols that a relocation names. It binds all of DT_RELA at start; the jump slots in DT_JMPREL
//! may wait until the function is called. The relative relocations in DT_RELA, which name no symbol, come first and
//! are not read if DT_RELACOUNT counts them; DT_RELR has only relative ones.
//!
//! Source: `elf_dynamic_do_Rela` in glibc's elf/do-rel.h, `elf_machine_rela`, `elf_machine_lazy_rel` and
//! `elf_machine_type_class` in sysdeps/x86_64/dl-machine.h and sysdeps/aarch64/dl-machine.h.

use goblin::elf64::program_header::PF_W;
use goblin::elf64::reloc::{self, Rel, r_sym, r_type};

use super::pointers::Pointers;
use super::read::{Image, outside};
use super::records::decode;
use super::relocation_types::{Class, RelocationType, Uses, is_relative};
use super::tables::{Table, Tables};
use super::{ElfError, ObjectType, PAGE};

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
        let mut known = RelocationType::of(self.image.machine, 0);
        for raw in records(self.image, table, record)? {
            // A record with an addend begins like one without.
            let Rel { r_offset, r_info } = decode(raw, 0);
            let symbol = u64::from(r_sym(r_info));
            // Most have the type of the one before.
            if known.kind != r_type(r_info) {
                known = RelocationType::of(self.image.machine, r_type(r_info));
                self.read.has_static_tls |= known.is_static_tls;
                self.read.has_tls_descriptors |= known.is_tls_descriptor;
                self.read.is_beyond_musl |= known.is_beyond_musl;
            }
            let is_lazy = is_late && !self.binds_now;
            if is_lazy && !matches!(known.class, Class::Slot | Class::Other) {
                self.fault("its jump slots have a relocation of another type");
            }
            self.place(r_offset, known.class);
            if let Some(pointers) = &mut self.pointers
                && known.fills_a_word
            {
                let value = known.is_relative.then(|| raw.get(16..24)).flatten();
                pointers.fill(self.image, r_offset, value.map(|addend| decode(addend, 0)));
            }
            if is_lazy && known.class == Class::Slot {
                self.read.late_slot.get_or_insert(r_offset);
            }
            if (known.is_of_offset_table || known.is_thread_local) && !r_offset.is_multiple_of(8) {
                self.fault("an entry of the global offset table has an address that is not aligned");
            }
            if symbol == 0 {
                if known.is_of_offset_table {
                    self.fault("a relocation refers to a symbol without a name");
                }
                continue;
            }
            let uses = if is_late { known.uses } else { known.uses.without_delay() };
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
