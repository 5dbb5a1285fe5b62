//! Faults of a file that the kernel or glibc's loader refuses, or that crash it. This module only finds them:
//! [`crate::audit`] and [`crate::loader`] judge them.
//!
//! The loader checks little and trusts the rest: it reads a missing entry as a null pointer, and a wrong address
//! makes it crash. No linker writes such files; editors and damage produce them. Only a fault that certainly stops
//! the start is reported.
//!
//! Source: `load_elf_binary` in the kernel's fs/binfmt_elf.c; in glibc 2.34 and 2.36 `open_verify` and
//! `_dl_map_object_from_fd` (elf/dl-load.c), `rtld_setup_main_map` (elf/rtld.c), `elf_get_dynamic_info`
//! (elf/get-dynamic-info.h), `_ELF_DYNAMIC_DO_RELOC` (elf/dynamic-link.h), `_dl_setup_hash`, `call_init`
//! (elf/dl-init.c), `_dl_check_map_versions` (elf/dl-version.c). `tests/oracle/mutants.rs` compares with real starts.

use goblin::elf64::dynamic::{self as tag, Dyn, SIZEOF_DYN};
use goblin::elf64::header::{EI_ABIVERSION, EI_VERSION, ET_EXEC, EV_CURRENT};
use goblin::elf64::program_header as segment;
use goblin::elf64::reloc::SIZEOF_RELA;

use super::read::{Image, read_if_there, u32};
use super::records::decode;
use super::{Arch, ElfError, ElfFacts, ObjectType, Offer, PAGE, Uses};

use crate::paths::file_name;

/// The use of a file that a fault stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    /// The kernel starts the file as a program.
    Program,
    /// The loader opens the file as a library.
    Library,
    /// Both uses.
    Mapping,
    /// The loader reads the dynamic segment of a library, or of a program that names an interpreter.
    Linking,
}

/// A fault in a file that stops a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The use that it stops.
    pub stops: Stops,
    /// The description, as the end of a sentence.
    pub what: String,
}

impl ElfFacts {
    /// The fault for which the file does not start as a program, if there is one.
    pub fn program_fault(&self) -> Option<&str> {
        self.fault(|stops| match stops {
            Stops::Program | Stops::Mapping => true,
            Stops::Linking => self.interpreter.is_some(),
            Stops::Library => false,
        })
    }

    /// The fault for which the loader refuses the file as a library, if there is one.
    pub fn library_fault(&self) -> Option<&str> {
        self.fault(|stops| stops != Stops::Program)
    }

    fn fault(&self, counts: impl Fn(Stops) -> bool) -> Option<&str> {
        self.faults.iter().find(|fault| counts(fault.stops)).map(|fault| fault.what.as_str())
    }
}

/// The faults of a file, in the order in which the loader meets them; one of each kind is enough.
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub fn new() -> Faults {
        Faults(Vec::new())
    }

    pub fn list(self) -> Vec<Fault> {
        self.0
    }

    fn add(&mut self, stops: Stops, what: impl Into<String>) {
        // Each segment may have a fault; only the first of each kind is reported.
        if self.0.iter().filter(|fault| fault.stops == stops).count() < 4 {
            self.0.push(Fault { stops, what: what.into() });
        }
    }

    /// Checks the ELF header as `open_verify` does. The texts are ld.so's.
    pub fn header(&mut self, image: &Image) {
        let ident = &image.header.e_ident;
        if ident[EI_VERSION] != EV_CURRENT {
            self.add(Stops::Library, "ELF file version ident does not match current one");
        } else if ident[EI_ABIVERSION + 1..].iter().any(|byte| *byte != 0) {
            self.add(Stops::Library, "nonzero padding in e_ident");
        } else if image.header.e_version != u32::from(EV_CURRENT) {
            self.add(Stops::Library, "ELF file version does not match current one");
        }
    }

    /// Checks the program headers.
    pub fn segments(&mut self, image: &Image, facts: &ElfFacts) -> Result<(), ElfError> {
        let mut earlier: Vec<&segment::ProgramHeader> = Vec::new();
        for load in image.loads() {
            let is_beyond = |size: u64| load.p_vaddr.checked_add(size).is_none_or(|end| end > ADDRESS_SPACE);
            if is_beyond(load.p_filesz) {
                self.add(Stops::Mapping, OUTSIDE);
            } else if earlier.iter().any(|other| hides(load, other)) {
                self.add(Stops::Mapping, "a segment would be mapped over another one");
            } else if earlier.last().is_some_and(|other| load.p_vaddr < other.p_vaddr) {
                self.add(Stops::Library, "its segments are not in the order of their addresses");
            }
            if load.p_filesz > load.p_memsz {
                self.add(Stops::Program, SMALLER);
            } else if is_beyond(load.p_memsz) {
                self.add(Stops::Program, OUTSIDE);
            } else if load.p_memsz - load.p_filesz > MOST_MEMORY {
                self.add(Stops::Mapping, "it asks for more memory than any function has");
            }
            if image.header.e_type == ET_EXEC && load.p_memsz > 0 && load.p_vaddr < LOWEST_ADDRESS {
                self.add(Stops::Program, "a segment lies where the kernel lets only root map memory");
            }
            if load.p_filesz > 0 && load.p_flags & (segment::PF_R | segment::PF_W | segment::PF_X) == 0 {
                self.add(Stops::Mapping, "a segment may be neither read nor written nor executed");
            }
            if image.with_references && is_code_cleared(image, load)? {
                self.add(Stops::Library, "its code is longer in memory than in the file");
            }
            if load.p_vaddr.wrapping_sub(load.p_offset) % PAGE != 0 {
                self.add(Stops::Program, "a segment's address and offset do not agree");
            }
            earlier.push(load);
        }
        // ld.so uses the end of the last segment as the end of the library.
        match earlier.last() {
            Some(last) if last.p_filesz > last.p_memsz => self.add(Stops::Library, SMALLER),
            Some(last) if last.p_vaddr.saturating_add(last.p_memsz) > ADDRESS_SPACE => {
                self.add(Stops::Library, OUTSIDE);
            }
            _ => {}
        }
        if earlier.is_empty() {
            self.add(Stops::Program, "it has no loadable segment");
        } else if !image.is_code(image.header.e_entry) {
            self.add(Stops::Program, "its entry point is not in executable code");
        } else if image.with_references && is_image_of_klibc(image, facts)? {
            self.add(Stops::Program, "it is klibc's library, which only calls the program that names it");
        }
        // Linkers put it among the constants. Only the unwinder reads it, but without them no program runs far.
        let is_lost = |header: &segment::ProgramHeader| {
            !image.is_mapped(header.p_vaddr, 1) && image.address_of(header.p_offset).is_none()
        };
        if image.of_type(segment::PT_GNU_EH_FRAME).any(is_lost) {
            self.add(Stops::Mapping, "its constants are in no loadable segment");
        }
        self.thread_local(image);
        self.for_the_loader(image, facts);
        Ok(())
    }

    fn thread_local(&mut self, image: &Image) {
        /// No process gets more memory for its thread-local data.
        const MOST: u64 = 1 << 31;
        for header in image.of_type(segment::PT_TLS).filter(|header| header.p_memsz > 0) {
            if header.p_filesz > header.p_memsz {
                self.add(Stops::Linking, "its thread-local data has more bytes in the file than in memory");
            } else if header.p_memsz > MOST || header.p_align > MOST {
                self.add(Stops::Linking, "its thread-local data is too large for memory");
            } else if header.p_align == 0 {
                self.add(Stops::Linking, "its thread-local data has the alignment 0");
            } else if header.p_filesz > 0
                && (header.p_vaddr == 0 || !image.is_mapped(header.p_vaddr, header.p_filesz))
            {
                // ld.so reads an address of 0 as no thread-local data.
                self.add(Stops::Linking, "its thread-local data lies outside its memory");
            }
        }
    }

    /// Checks the parts of the program headers that ld.so reads, for its program and for libraries.
    fn for_the_loader(&mut self, image: &Image, facts: &ElfFacts) {
        let dynamic = image.of_type(segment::PT_DYNAMIC).last();
        // klibc's programs name its library, which loads nothing.
        let has_loader = facts.interpreter.as_deref().is_some_and(|path| file_name(path).starts_with("ld"));
        if has_loader && dynamic.is_none() {
            self.add(Stops::Program, "it names an interpreter but has no dynamic segment");
        }
        // ld.so writes addresses into the segment, which says itself that it may be written.
        // Source: `elf_get_dynamic_info` in elf/get-dynamic-info.h, `_dl_map_object_from_fd` in elf/dl-load.c.
        let is_fixed = |header: &segment::ProgramHeader| {
            header.p_flags & segment::PF_W != 0 && !image.is_writable(header.p_vaddr, SIZEOF_DYN as u64)
        };
        if dynamic.is_some_and(is_fixed) {
            self.add(Stops::Linking, "its dynamic segment is not in writable memory");
        }
        if dynamic.is_some_and(|header| header.p_filesz == 0 || header.p_vaddr == 0) {
            self.add(Stops::Library, "object file has no dynamic section");
        }
        if has_loader {
            self.program_headers(image);
        }
        // ld.so searches only notes of this alignment for properties, and reads them in memory.
        let notes = image.of_type(segment::PT_NOTE).filter(|header| header.p_align == 8);
        let notes = notes.map(|header| (header.p_vaddr, header.p_memsz));
        let properties = image.of_type(segment::PT_GNU_PROPERTY).map(|header| (header.p_vaddr, 1));
        if notes.chain(properties).any(|(address, size)| size > 0 && !image.is_mapped(address, size)) {
            self.add(Stops::Linking, "its notes lie outside its memory");
        }
        for header in image.of_type(segment::PT_GNU_RELRO) {
            // Source: `_dl_protect_relro` in elf/dl-reloc.c.
            let start = header.p_vaddr / PAGE * PAGE;
            let end = header.p_vaddr.wrapping_add(header.p_memsz) / PAGE * PAGE;
            if start != end && !image.is_mapped(start, end.wrapping_sub(start)) {
                self.add(Stops::Linking, "its PT_GNU_RELRO lies outside its memory");
            }
        }
    }

    /// Checks the address of the program headers, from which alone ld.so computes the address of its program.
    fn program_headers(&mut self, image: &Image) {
        let table = image.address_of(image.header.e_phoff);
        match image.of_type(segment::PT_PHDR).last() {
            Some(header) if Some(header.p_vaddr) != table => {
                self.add(Stops::Program, "its program headers are not where PT_PHDR says");
            }
            None if image.object_type == ObjectType::Dyn => {
                self.add(
                    Stops::Program,
                    "it has no PT_PHDR, without which the loader assumes a wrong address",
                );
            }
            _ => {}
        }
        let interpreter = image.of_type(segment::PT_INTERP).next();
        if interpreter.is_some_and(|header| !image.is_mapped(header.p_vaddr, 1)) {
            self.add(Stops::Program, "the interpreter's path lies outside its memory");
        }
    }

    /// Checks the dynamic segment.
    pub fn dynamic(&mut self, image: &Image, dynamic: &Dynamic) -> Result<(), ElfError> {
        for (wanted, name) in [(tag::DT_STRTAB, "DT_STRTAB"), (tag::DT_SYMTAB, "DT_SYMTAB")] {
            if dynamic.value(wanted).is_none() {
                self.add(Stops::Linking, format!("its dynamic segment has no {name}"));
            }
        }
        if is_cut(image, dynamic)? {
            self.add(Stops::Linking, "its dynamic segment ends before its relocations");
        }
        self.relocation_entries(image, dynamic);
        self.functions(image, dynamic);
        if let Some(address) = dynamic.value(tag::DT_GNU_HASH) {
            let words = u32(image.at_address(address, 16, "the GNU hash table")?, 8);
            if !words.is_power_of_two() {
                self.add(Stops::Linking, format!("the Bloom filter of its GNU hash table has {words} words"));
            }
        }
        Ok(())
    }

    fn relocation_entries(&mut self, image: &Image, dynamic: &Dynamic) {
        let value = |tag| dynamic.value(tag);
        if value(tag::DT_RELA).is_some() {
            match value(tag::DT_RELAENT) {
                Some(RELA_SIZE) => {}
                Some(size) => self.add(Stops::Linking, format!("its DT_RELAENT is {size}, not 24")),
                None => self.add(Stops::Linking, "it has DT_RELA but no DT_RELAENT"),
            }
            match (value(tag::DT_RELASZ), value(tag::DT_RELACOUNT)) {
                (None, _) => self.add(Stops::Linking, "it has DT_RELA but no DT_RELASZ"),
                (Some(size), Some(count)) if count > size / RELA_SIZE => {
                    self.add(Stops::Linking, "its DT_RELACOUNT is larger than the number of its relocations");
                }
                _ => {}
            }
        }
        if value(tag::DT_RELA).is_none() && value(tag::DT_RELASZ).is_some_and(|size| size > 0) {
            self.add(Stops::Linking, "it has DT_RELASZ but no DT_RELA");
        }
        if value(DT_RELR).is_some() {
            match (value(DT_RELRSZ), value(DT_RELRENT)) {
                (None, _) => self.add(Stops::Linking, "it has DT_RELR but no DT_RELRSZ"),
                (_, Some(8)) => {}
                _ => self.add(Stops::Linking, "it has DT_RELR, but its DT_RELRENT is not 8"),
            }
        }
        match value(tag::DT_PLTREL) {
            Some(tag::DT_RELA) => {
                let needs = [(tag::DT_JMPREL, "DT_JMPREL"), (tag::DT_PLTRELSZ, "DT_PLTRELSZ")];
                if let Some((_, name)) = needs.iter().find(|(tag, _)| value(*tag).is_none()) {
                    self.add(Stops::Linking, format!("it has DT_PLTREL but no {name}"));
                }
            }
            Some(kind) => self.add(Stops::Linking, format!("its DT_PLTREL is {kind}, not 7 (DT_RELA)")),
            None if value(tag::DT_JMPREL).is_some()
                && value(tag::DT_PLTRELSZ).is_none_or(|size| size > 0) =>
            {
                self.add(Stops::Linking, "it has DT_JMPREL but no DT_PLTREL");
            }
            None => {}
        }
        // Calls that are bound late reach the loader through the second and third word of this table.
        let table = value(tag::DT_PLTGOT).filter(|address| image.is_writable(*address, 24));
        if value(tag::DT_JMPREL).is_some() && !dynamic.binds_now && table.is_none() {
            self.add(Stops::Linking, "its DT_PLTGOT is not in writable memory");
        }
    }

    /// Checks the functions that ld.so, or the C library for a program, calls at start.
    fn functions(&mut self, image: &Image, dynamic: &Dynamic) {
        if dynamic.value(tag::DT_INIT).is_some_and(|address| !image.is_code(address)) {
            self.add(Stops::Linking, "its DT_INIT is not in executable code");
        }
        let arrays = [
            (tag::DT_INIT_ARRAY, tag::DT_INIT_ARRAYSZ, "DT_INIT_ARRAY"),
            (tag::DT_PREINIT_ARRAY, tag::DT_PREINIT_ARRAYSZ, "DT_PREINIT_ARRAY"),
        ];
        for (table, size, name) in arrays {
            match (dynamic.value(table), dynamic.value(size)) {
                (Some(_), None) => self.add(Stops::Linking, format!("it has {name} but no {name}SZ")),
                // The addresses in it are relocated, except in a program at a fixed address.
                (Some(address), Some(size))
                    if size >= 8
                        && !match image.object_type {
                            ObjectType::Dyn => image.is_writable(address, size),
                            _ => image.is_mapped(address, size),
                        } =>
                {
                    self.add(Stops::Linking, format!("its {name} does not lie in its data"));
                }
                _ => {}
            }
        }
    }

    /// Adds the faults of the relocations, if any were found.
    pub fn relocations(&mut self, image: &Image, found: &FaultsOfRelocations) {
        if let Some(what) = found.fault {
            self.add(Stops::Linking, what);
        }
        // Source: `_dl_protect_relro` in elf/dl-reloc.c, `_dl_fixup` in elf/dl-runtime.c, which writes into the slot.
        let is_protected = |header: &segment::ProgramHeader| {
            let end = header.p_vaddr.wrapping_add(header.p_memsz) / PAGE * PAGE;
            found.late_slot.is_some_and(|slot| header.p_vaddr / PAGE * PAGE <= slot && slot < end)
        };
        if image.of_type(segment::PT_GNU_RELRO).any(is_protected) {
            self.add(Stops::Linking, "its calls are bound late, in memory that is read-only by then");
        }
    }

    /// Checks the symbols, once they are read. The table of versions that ld.so makes from DT_VERNEED and DT_VERDEF
    /// is as long as the highest index in them.
    pub fn symbols(&mut self, image: &Image, facts: &ElfFacts) {
        /// The entries of ld.so's table have 24 bytes.
        const FAR: u16 = 0x2000;
        let has_thread_local = image.of_type(segment::PT_TLS).any(|header| header.p_memsz > 0);
        let needed = facts.verneed.iter().map(|need| need.index);
        let defined = facts.verdef.iter().map(|definition| definition.index);
        let highest = needed.chain(defined).map(|index| index & 0x7fff).max().unwrap_or(0);
        let at_start = Uses::DATA.and(Uses::CALL).and(Uses::COPY).and(Uses::TLS);
        let addresses = Uses::DATA.and(Uses::CALL).and(Uses::COPY);
        let binds_now = facts.binds_now();
        let (mut is_nameless, mut is_thread_local, mut beyond) = (false, false, None);
        let (mut does_not_begin, mut is_address) = (false, false);
        for symbol in facts.symbols.iter() {
            is_thread_local |= symbol.defined && symbol.thread_local == Some(true);
            if !symbol.is_looked_up() {
                // A program's own start code calls the function.
                does_not_begin |= !symbol.defined && facts.symbols.name_bytes(symbol) == b"__libc_start_main";
                continue;
            }
            is_address |= symbol.thread_local == Some(true) && symbol.uses.has(addresses);
            let is_at_start = symbol.uses.has(at_start) || binds_now;
            // Behind the table are mostly zeros, but not for long.
            if is_at_start && beyond.is_none() && symbol.version & 0x7fff > highest.saturating_add(FAR) {
                beyond = Some(symbol);
            }
            if !symbol.weak && is_at_start {
                let is_met = symbol.offer == Offer::Everything;
                is_nameless |= !is_met && facts.symbols.name_bytes(symbol).is_empty();
                if beyond.is_none() && symbol.version & 0x7fff > highest.max(1) {
                    beyond = Some(symbol);
                }
            }
        }
        if is_address {
            self.add(Stops::Linking, "a relocation takes thread-local data for a place in its memory");
        }
        if does_not_begin {
            self.add(Stops::Program, "no relocation leads to `__libc_start_main`");
        }
        if is_thread_local && !has_thread_local {
            self.add(Stops::Linking, "it has thread-local symbols but no thread-local data");
        }
        if is_nameless {
            self.add(Stops::Linking, "a relocation refers to a symbol without a name");
        }
        if facts.symbols.has_lost_name() {
            self.add(Stops::Linking, "a relocation refers to a symbol whose name does not lie in its memory");
        }
        if facts.symbols.has_lost_reference() {
            self.add(
                Stops::Linking,
                "a relocation refers to an undefined symbol that is local, hidden or protected",
            );
        }
        if highest > 0 && !facts.has_versym {
            self.add(Stops::Linking, "it has symbol versions but no DT_VERSYM");
        }
        if let Some(symbol) = beyond {
            let name = facts.symbols.name(symbol);
            self.add(Stops::Linking, format!("`{name}` has a symbol version without an entry"));
        }
    }
}

/// What may be wrong with the relocations.
#[derive(Default)]
pub(super) struct FaultsOfRelocations {
    /// The first fault that ld.so refuses or crashes on.
    pub fault: Option<&'static str>,
    /// The place of the first jump slot that is bound when it is called.
    pub late_slot: Option<u64>,
}

/// The entries of a dynamic segment that the loader reads.
pub(super) struct Dynamic<'a> {
    pub entries: &'a [Dyn],
    pub binds_now: bool,
}

impl Dynamic<'_> {
    /// ld.so takes the last entry of a tag that may occur only once, too.
    pub fn value(&self, wanted: u64) -> Option<u64> {
        self.entries.iter().rfind(|entry| entry.d_tag == wanted).map(|entry| entry.d_val)
    }
}

// goblin lacks these three.
pub(super) const DT_RELRSZ: u64 = 35;
pub(super) const DT_RELR: u64 = 36;
const DT_RELRENT: u64 = 37;

const RELA_SIZE: u64 = SIZEOF_RELA as u64;

const OUTSIDE: &str = "a segment lies outside the address space";
const SMALLER: &str = "a segment has more bytes in the file than in memory";

/// More memory than this no function has: 10,240 MB at the most. The kernel refuses a program's zeros that its memory
/// can never hold.
///
/// Source: "Configure Lambda function memory" in the AWS Lambda developer guide; `__vm_enough_memory` in the kernel's
/// mm/util.c.
const MOST_MEMORY: u64 = 16 << 30;

/// The lowest address of a segment that any user may map. Kernels of distributions have 65,536, others a page.
///
/// Source: `mmap_min_addr` in Documentation/admin-guide/sysctl/vm.rst of the kernel.
const LOWEST_ADDRESS: u64 = 0x1_0000;

/// The start of the kernel's half on x86_64; it is higher on arm64.
const ADDRESS_SPACE: u64 = 0x7fff_ffff_f000;

/// Whether the entries after the first DT_NULL, which nobody reads, name relocations that the others do not name.
/// Linkers leave only zeros there.
fn is_cut(image: &Image, dynamic: &Dynamic) -> Result<bool, ElfError> {
    let Some(header) = image.of_type(segment::PT_DYNAMIC).last() else { return Ok(false) };
    let skipped = (dynamic.entries.len() as u64 + 1) * SIZEOF_DYN as u64;
    let size = header.p_filesz.saturating_sub(skipped) / SIZEOF_DYN as u64 * SIZEOF_DYN as u64;
    if size == 0 {
        return Ok(false);
    }
    let rest = image.at_address(header.p_vaddr.wrapping_add(skipped), size, "the dynamic segment");
    let rest = read_if_there(rest)?.unwrap_or(&[]);
    Ok(rest.chunks_exact(SIZEOF_DYN).any(|raw| {
        let entry: Dyn = decode(raw, 0);
        matches!(entry.d_tag, tag::DT_RELA | tag::DT_JMPREL | DT_RELR)
            && dynamic.value(entry.d_tag).is_none()
            && image.is_mapped(entry.d_val, 1)
    }))
}

/// Whether the file is klibc's shared image: it calls the entry point that the kernel gives it (AT_ENTRY), which is its
/// own where no other program named it, and so runs until its stack is full.
///
/// Nothing in its headers says so; it looks like a static program. Its first instructions are those of every program of
/// klibc, whose linker puts them at 4 MiB, and the image at 2 MiB.
///
/// Source: usr/klibc/arch/*/crt0.S (`_start`), usr/klibc/libc_init.c (`__libc_init`) and KLIBCSHAREDFLAGS in
/// usr/klibc/arch/*/MCONFIG of klibc.
fn is_image_of_klibc(image: &Image, facts: &ElfFacts) -> Result<bool, ElfError> {
    let at_its_place = image.loads().next().is_some_and(|load| load.p_vaddr == 0x20_0000);
    let alone = facts.interpreter.is_none() && image.of_type(segment::PT_DYNAMIC).next().is_none();
    if image.object_type != ObjectType::Exec || !at_its_place || !alone {
        return Ok(false);
    }
    let code = match image.at_address(image.header.e_entry, 12, "the entry point") {
        Err(ElfError::Malformed(_)) => return Ok(false),
        code => code?,
    };
    Ok(match facts.arch() {
        // mov %rsp,%rdi; mov %rdx,%rsi; call; hlt
        Some(Arch::X86_64) => {
            code.starts_with(&[0x48, 0x89, 0xe7, 0x48, 0x89, 0xd6, 0xe8]) && code[11] == 0xf4
        }
        // mov x0, sp; mov x1, #0; bl
        Some(Arch::Arm64) => {
            let words = [0, 4, 8].map(|at| u32(code, at));
            words[..2] == [0x9100_03e0, 0xd280_0001] && words[2] >> 26 == 0b10_0101
        }
        None => false,
    })
}

/// Whether ld.so writes zeros over code that the file has behind a segment. The kernel does not write into code.
///
/// Source: `_dl_map_segments` in glibc's elf/dl-map-segments.h, `padzero` in the kernel's fs/binfmt_elf.c.
fn is_code_cleared(image: &Image, load: &segment::ProgramHeader) -> Result<bool, ElfError> {
    let is_code = load.p_flags & (segment::PF_X | segment::PF_W) == segment::PF_X;
    if !is_code || load.p_memsz <= load.p_filesz {
        return Ok(false);
    }
    let (start, end) =
        (load.p_offset.saturating_add(load.p_filesz), load.p_offset.saturating_add(load.p_memsz));
    let end = end.min(start.div_ceil(PAGE).saturating_mul(PAGE)).min(image.n_bytes());
    let cleared = image.slice(start, end.saturating_sub(start), "the end of a segment");
    Ok(read_if_there(cleared)?.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)))
}

/// Whether a segment takes memory of an earlier one: other bytes of the file in its pages, bytes of the file for zeros,
/// or fewer rights. The same bytes of the file may be mapped twice.
fn hides(load: &segment::ProgramHeader, other: &segment::ProgramHeader) -> bool {
    let end_of = |load: &segment::ProgramHeader| load.p_vaddr.saturating_add(load.p_filesz);
    let pages = |load: &segment::ProgramHeader| (load.p_vaddr / PAGE, end_of(load).div_ceil(PAGE));
    let distance = |load: &segment::ProgramHeader| load.p_vaddr.wrapping_sub(load.p_offset);
    let ((start, end), (other_start, other_end)) = (pages(load), pages(other));
    if start >= other_end || other_start >= end {
        return false;
    }
    let overlap = load.p_vaddr < end_of(other) && other.p_vaddr < end_of(load);
    let has_zeros = other.p_memsz > other.p_filesz && other.p_flags & segment::PF_W != 0;
    distance(load) != distance(other)
        || overlap && (other.p_flags & !load.p_flags != 0 || has_zeros && end > end_of(other) / PAGE)
}
