//! The facts of one ELF file, read from the places where the loader reads them.
//!
//! The loader reads the ELF header, the program headers and the dynamic segment, never section headers, and so does
//! this module: a stripped file without section headers still has needs. ([`sections`] reads the sizes of sections,
//! for reports alone.) Offsets in the dynamic segment are virtual addresses and are translated through the PT_LOAD
//! segments.
//!
//! Any bytes may be passed in. Every read is bounded by the file, every count and all copied text by a limit, and a
//! value that points outside the file is an [`ElfError`], never a default: "no verneed" must mean that there is none.
//!
//! Only little-endian 64-bit files for Lambda's machines are read beyond their header. The loader passes over all
//! other files without reading more, so other faults in them do not matter.

pub mod auditable;
pub mod crates;
mod dynamic;
mod faults;
mod format;
mod hashes;
pub mod instructions;
mod notes;
mod pieces;
mod pointers;
mod read;
pub(crate) mod records;
mod relocation_types;
mod relocations;
pub mod sections;
pub mod static_library;
mod symbols;
mod system;
mod tables;
pub mod version;
mod versions;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use goblin::elf64::dynamic as tag;
use goblin::elf64::header::{EI_ABIVERSION, EI_OSABI};

pub use faults::{Fault, Stops};
pub use format::{ElfError, OtherFormat};
pub use relocation_types::Uses;
pub use symbols::{NamedSymbol, Offer, Symbol, SymbolChange, SymbolTable};
pub use versions::{VersionDefinition, VersionNeed, version_hash};

use faults::{DT_RELR, DT_RELRSZ, Dynamic, Faults, FaultsOfRelocations};
use pieces::{GivenParts, Pieces};
use read::Image;

use crate::paths::file_name;

/// A processor architecture that Lambda offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86, `x86_64` in Lambda's words.
    X86_64,
    /// 64-bit Arm: `arm64` in Lambda's words, `aarch64` in the words of Rust and glibc.
    Arm64,
}

impl Arch {
    /// The word that Lambda uses: `x86_64` or `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The word that glibc, musl and Rust use: `x86_64` or `aarch64`.
    pub fn gnu_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "aarch64",
        }
    }

    /// The paths of glibc's ld.so that programs of the architecture name, the usual path first.
    ///
    /// Source: `GLIBC_DYNAMIC_LINKER` in GCC's linux64.h and aarch64-linux.h; Amazon Linux has arm64's in /lib64, too.
    pub fn interpreters(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => &["/lib64/ld-linux-x86-64.so.2"],
            Arch::Arm64 => &["/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-aarch64.so.1"],
        }
    }

    /// The ELF machine number, `e_machine`.
    pub fn machine(self) -> u16 {
        match self {
            Arch::X86_64 => goblin::elf::header::EM_X86_64,
            Arch::Arm64 => goblin::elf::header::EM_AARCH64,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The way in which a program reaches its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// A fixed-address program without libraries.
    Static,
    /// A relocatable program without libraries; it relocates itself.
    StaticPie,
    /// A program that names an interpreter.
    Dynamic,
    /// Not a program.
    SharedLibrary,
    /// A program with needed libraries and no interpreter to load them: it crashes at start.
    Broken,
}

impl Linkage {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Linkage::Static => "static",
            Linkage::StaticPie => "static-pie",
            Linkage::Dynamic => "dynamic",
            Linkage::SharedLibrary => "shared-library",
            Linkage::Broken => "broken",
        }
    }
}

/// The C library with which a file was linked, as far as the file shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// GNU libc.
    Glibc,
    /// musl libc.
    Musl,
    /// No C library: the file needs none.
    None,
    /// The file does not show it.
    Unknown,
}

impl Libc {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Libc::Glibc => "glibc",
            Libc::Musl => "musl",
            Libc::None => "none",
            Libc::Unknown => "unknown",
        }
    }
}

/// The file's `e_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObjectType {
    /// ET_EXEC, a fixed-address program.
    Exec,
    /// ET_DYN, a shared library or a position-independent program.
    #[default]
    Dyn,
    /// ET_REL, ET_CORE and others, which no loader accepts.
    Other(u16),
}

/// The page size of every Lambda kernel.
const PAGE: u64 = 4096;

/// The worst alignment of a library's PT_LOADs. The kernel maps the PT_LOADs of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Alignment {
    /// Each address and offset agree modulo the segment's own `p_align`.
    #[default]
    Fine,
    /// They agree only modulo the page size. glibc before 2.35 refuses such a file.
    PageOnly,
    /// They agree modulo the page size, but `p_align` is no multiple of it. glibc before 2.35 refuses such a file.
    NoPages,
    /// They do not agree modulo the page size. Every glibc refuses such a file.
    Broken,
}

/// The thread-local storage of an object, and the way in which its code reaches thread-local storage, its own or
/// another object's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tls {
    /// The size in memory, in bytes; 0 without PT_TLS.
    pub n_bytes: u64,
    /// `p_align`, in bytes.
    pub align: u64,
    /// Whether code uses a fixed distance from the thread pointer, which only the block made at start allows:
    /// DF_STATIC_TLS, or a relocation of that kind.
    pub is_static: bool,
    /// Whether code uses descriptors, for which ld.so uses that block while it has room.
    pub has_descriptors: bool,
}

/// The facts of one ELF file. Names are as in the file; bytes that are not UTF-8, and control characters, appear as
/// `\xNN`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfFacts {
    /// Whether the class is 64-bit.
    pub class64: bool,
    /// Whether the data is little-endian.
    pub little_endian: bool,
    /// Whether the kernel reads the file as a program of one of Lambda's machines, whatever its class and byte order.
    pub is_read_by_kernel: bool,
    /// `e_machine`.
    pub machine: u16,
    /// EI_OSABI.
    pub os_abi: u8,
    /// EI_ABIVERSION.
    pub abi_version: u8,
    /// `e_type`.
    pub object_type: ObjectType,
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// DT_SONAME.
    pub soname: Option<String>,
    /// DT_NEEDED, in order.
    pub needed: Vec<String>,
    /// DT_RPATH as written.
    pub rpath: Option<String>,
    /// DT_RUNPATH as written.
    pub runpath: Option<String>,
    /// DT_AUXILIARY, in order.
    pub auxiliary: Vec<String>,
    /// DT_FILTER, in order.
    pub filter: Vec<String>,
    /// DT_VERNEED, in order.
    pub verneed: Vec<VersionNeed>,
    /// DT_VERDEF, in order.
    pub verdef: Vec<VersionDefinition>,
    /// DT_FLAGS, with DT_BIND_NOW added.
    pub flags: u64,
    /// DT_FLAGS_1.
    pub flags_1: u64,
    /// Whether DT_RELR is present, and DT_RELRSZ is not 0.
    pub has_relr: bool,
    /// Whether any relocation has a type that glibc supports and musl does not.
    pub is_beyond_musl: bool,
    /// Whether there is a PT_LOAD.
    pub has_load: bool,
    /// The alignment of the PT_LOADs.
    pub alignment: Alignment,
    /// Faults that stop a start, whatever else is loaded.
    pub faults: Vec<Fault>,
    /// Whether there is a PT_DYNAMIC.
    pub has_dynamic: bool,
    /// PT_TLS.
    pub tls: Tls,
    /// Whether there is a DT_DEBUG: linkers write it to programs only.
    pub has_debug: bool,
    /// Whether there is a DT_VERSYM.
    pub has_versym: bool,
    /// Whether the string table has names that DT_STRSZ does not count. The loader does not read DT_STRSZ.
    pub has_longer_strings: bool,
    /// The GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// The oldest kernel in the GNU ABI note, as (major, minor, patch).
    pub least_kernel: Option<(u32, u32, u32)>,
    /// GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 baseline, 1 v2, 2 v3, 3 v4.
    pub isa_needed: u32,
    /// GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS: the object's protected symbols may not be copied.
    pub needs_indirect_access: bool,
    /// Whether there is a note by Go's linker.
    pub go: bool,
    /// The contents of the notes about libraries opened at run time: JSON arrays, not parsed.
    pub dlopen_notes: Vec<String>,
    /// Whether the file contains musl's own message text. Only files without PT_INTERP are searched.
    pub musl_text: bool,
    /// The dynamic symbols.
    pub symbols: SymbolTable,
}

/// DF_1_NODEFLIB: the default directories are not searched for this object's needs.
pub const DF_1_NODEFLIB: u64 = tag::DF_1_NODEFLIB;
/// DF_1_NOOPEN: dlopen refuses this object.
pub const DF_1_NOOPEN: u64 = tag::DF_1_NOOPEN;
/// DF_1_PIE: this ET_DYN file is a program.
pub const DF_1_PIE: u64 = tag::DF_1_PIE;
/// DF_1_NOW.
pub const DF_1_NOW: u64 = tag::DF_1_NOW;
/// DF_BIND_NOW.
pub const DF_BIND_NOW: u64 = tag::DF_BIND_NOW;

impl ElfFacts {
    /// The file's architecture, if Lambda has it; `None` for any other machine, class or byte order.
    ///
    /// The kernel starts a program by its machine and the layout of its headers, whatever EI_CLASS and EI_DATA say;
    /// glibc's loader looks at both in libraries.
    pub fn arch(&self) -> Option<Arch> {
        if !self.is_read_by_kernel && (!self.class64 || !self.little_endian) {
            return None;
        }
        [Arch::X86_64, Arch::Arm64].into_iter().find(|arch| arch.machine() == self.machine)
    }

    /// The machine in words, for messages: `x86_64`, `arm64`, `32-bit x86`, `machine 243`, ...
    pub fn machine_name(&self) -> String {
        use goblin::elf::header::{EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64};
        match (self.machine, self.class64, self.little_endian) {
            (EM_X86_64, true, true) => "x86_64".into(),
            (EM_X86_64, false, true) => "x86_64 with 32-bit pointers (x32)".into(),
            (EM_AARCH64, true, true) => "arm64".into(),
            (EM_AARCH64, true, false) => "big-endian arm64".into(),
            (EM_386, ..) => "32-bit x86".into(),
            (EM_ARM, ..) => "32-bit Arm".into(),
            (EM_RISCV, ..) => "RISC-V".into(),
            (machine, class64, _) => {
                format!("{}-bit machine {machine}", if class64 { 64 } else { 32 })
            }
        }
    }

    /// Whether the file is meant to be executed rather than loaded.
    ///
    /// An ET_DYN file is a program if it has PT_INTERP and no DT_SONAME, or DF_1_PIE, or DT_DEBUG: libc.so.6 has a
    /// PT_INTERP (it can be run), musl's libc has none. Static position-independent programs have neither, and those
    /// of older linkers have no DF_1_PIE.
    ///
    /// Source: bfd's `bfd_elf_size_dynamic_sections` and LLD's `DynamicSection`, which write DT_DEBUG if the output
    /// is executable.
    pub fn is_program(&self) -> bool {
        match self.object_type {
            ObjectType::Exec => true,
            ObjectType::Dyn => {
                self.flags_1 & DF_1_PIE != 0
                    || self.has_debug
                    || (self.interpreter.is_some() && self.soname.is_none())
            }
            ObjectType::Other(_) => false,
        }
    }

    /// Whether the file is data to the kernel and to each ld.so, whatever the machine: an object file, which only a
    /// linker reads, or a file of no machine and no system, as Guile's compiled modules are.
    ///
    /// Source: `check_elf_header` in Guile's libguile/loader.c, which takes no others.
    pub fn is_data(&self) -> bool {
        use goblin::elf::header::{ELFOSABI_STANDALONE, EM_NONE};
        matches!(self.object_type, ObjectType::Other(_))
            || (self.machine == EM_NONE && self.os_abi == ELFOSABI_STANDALONE)
    }

    /// The way in which the file reaches its libraries.
    pub fn linkage(&self) -> Linkage {
        if !self.is_program() {
            return Linkage::SharedLibrary;
        }
        match (&self.interpreter, self.needed.is_empty(), self.object_type) {
            (Some(_), ..) => Linkage::Dynamic,
            (None, false, _) => Linkage::Broken,
            (None, true, ObjectType::Exec) => Linkage::Static,
            (None, true, _) => Linkage::StaticPie,
        }
    }

    /// The facts of a library in a process of `program`, which opens it: the interpreter is already loaded, and if
    /// the library has no DT_RUNPATH, the program's DT_RPATH serves its needs.
    pub fn dlopened_by(&self, program: &ElfFacts) -> ElfFacts {
        let mut facts = ElfFacts { interpreter: program.interpreter.clone(), ..self.clone() };
        if facts.runpath.is_none() && program.runpath.is_none() {
            let paths: Vec<&str> =
                [&self.rpath, &program.rpath].into_iter().flatten().map(String::as_str).collect();
            facts.rpath = (!paths.is_empty()).then(|| paths.join(":"));
        }
        facts
    }

    /// The glibc release (major, minor) of a file that is a `libc.so.6`, by the highest node that it defines. Not
    /// every release added a node: 2.31 gives 2.30.
    pub fn glibc_release(&self) -> Option<(u32, u32)> {
        let number = |node: &str| -> Option<(u32, u32)> {
            let (major, minor) = node.strip_prefix("GLIBC_")?.split_once('.')?;
            // `GLIBC_2.2.5` belongs to 2.2.
            let minor = minor.split('.').next().unwrap_or(minor);
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        self.verdef.iter().filter_map(|def| number(&def.node)).max()
    }

    /// The C library, by the facts that the loader uses, or else by traces in a static file.
    pub fn libc(&self) -> Libc {
        if let Some(name) = self.interpreter.as_deref().map(file_name) {
            if name.starts_with("ld-musl-") {
                return Libc::Musl;
            }
            if name.starts_with("ld-linux") {
                return Libc::Glibc;
            }
        }
        if let Some(libc) = self.needed_libc() {
            return libc;
        }
        match self.linkage() {
            Linkage::SharedLibrary if self.needed.is_empty() => Libc::None,
            Linkage::Static | Linkage::StaticPie | Linkage::Broken => {
                if self.musl_text {
                    Libc::Musl
                } else if self.least_kernel.is_some() {
                    // glibc's start files contain the ABI note, also under cgo; musl's and Go's do not.
                    Libc::Glibc
                } else if self.go {
                    Libc::None
                } else {
                    Libc::Unknown
                }
            }
            _ => Libc::Unknown,
        }
    }

    /// The C library of the process that this file is in.
    ///
    /// A program has its own. A library is opened by a program, see [`dlopened_by`](Self::dlopened_by); if none is known,
    /// by a program of the runtime's, which all use glibc.
    pub fn process_libc(&self) -> Libc {
        match (self.linkage(), &self.interpreter) {
            (Linkage::SharedLibrary, None) => Libc::Glibc,
            _ => self.libc(),
        }
    }

    /// The C library that the file's needs and version nodes show, whatever process it is loaded into.
    pub fn needed_libc(&self) -> Option<Libc> {
        let needs = |test: fn(&str) -> bool| self.needed.iter().any(|name| test(name));
        if needs(|name| name == "libc.so" || name.starts_with("libc.musl-")) {
            return Some(Libc::Musl);
        }
        let is_glibc = needs(|name| name == "libc.so.6")
            || self.verneed.iter().any(|need| need.node.starts_with("GLIBC_"))
            || self.verdef.iter().any(|def| def.node.starts_with("GLIBC_"));
        is_glibc.then_some(Libc::Glibc)
    }

    /// Whether every symbol is bound before the program starts (`-z now`).
    pub fn binds_now(&self) -> bool {
        self.flags & DF_BIND_NOW != 0 || self.flags_1 & DF_1_NOW != 0
    }

    /// The undefined symbols that need any of `nodes` in `file`, sorted, without duplicates.
    pub fn symbols_needing(&self, file: &str, nodes: &[impl AsRef<str>]) -> Vec<String> {
        let nodes: BTreeSet<&str> = nodes.iter().map(AsRef::as_ref).collect();
        let indices: BTreeSet<u16> = self
            .verneed
            .iter()
            .filter(|need| need.file == file && nodes.contains(need.node.as_str()))
            .map(|need| need.index & 0x7fff)
            .collect();
        let mut names: Vec<String> = self
            .symbols
            .iter()
            .filter(|symbol| !symbol.defined && indices.contains(&(symbol.version & 0x7fff)))
            .map(|symbol| self.symbols.name(symbol).into_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Parses the bytes of a file.
///
/// # Errors
///
/// [`ElfError`] for bytes that are not ELF, and for tables that do not lie in the file: a truncated file
/// is not a file with fewer needs.
pub fn parse(bytes: &[u8]) -> Result<ElfFacts, ElfError> {
    parse_image(&Image::new(bytes.len() as u64, &GivenParts(&[Part { start: 0, bytes }]))?)
}

/// A part of a file.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The offset of the part in the file.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Parses a file of `size` bytes, for which `read` returns the requested ranges.
///
/// The tables are mostly near each other, so a file costs two or three reads. A file that is small, or whose tables
/// are far apart, is read as a whole.
///
/// # Errors
///
/// The errors of `read`, which must return all bytes of a range; the inner errors are those of [`parse`].
pub fn parse_ranges<E>(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<Result<ElfFacts, ElfError>, E> {
    let mut failure = None;
    let pieces = Pieces::new(size, |range| read(range).map_err(|error| failure = Some(error)).ok());
    let facts = Image::new(size, &pieces).and_then(|image| parse_image(&image));
    match failure {
        Some(error) => Err(error),
        None => Ok(facts),
    }
}

/// Parses a file of `size` bytes of which only `parts` were read: relocations, and with them references, are left
/// out, and faults are not searched for.
///
/// # Errors
///
/// The errors of [`parse`], and [`ElfError::NotRead`] if another part is needed.
pub fn parse_parts(size: u64, parts: &[Part<'_>]) -> Result<ElfFacts, ElfError> {
    let parts = GivenParts(parts);
    let mut image = Image::new(size, &parts)?;
    image.with_references = false;
    parse_image(&image)
}

fn parse_image(image: &Image) -> Result<ElfFacts, ElfError> {
    let mut facts = ElfFacts {
        class64: image.class64,
        little_endian: image.little_endian,
        is_read_by_kernel: image.readable(),
        machine: image.machine,
        os_abi: image.header.e_ident[EI_OSABI],
        abi_version: image.header.e_ident[EI_ABIVERSION],
        object_type: image.object_type,
        ..ElfFacts::default()
    };
    if !image.readable() {
        return Ok(facts);
    }
    facts.has_load = image.loads().next().is_some();
    facts.alignment = image.alignment();
    facts.tls = image.tls();
    facts.interpreter = image.interpreter()?;
    let mut faults = Faults::new();
    faults.header(image);
    faults.segments(image, &facts)?;
    notes::read(image, &mut facts)?;
    if let Some(dynamic) = image.dynamic()? {
        facts.has_dynamic = true;
        let of_relocations = dynamic::read(image, &dynamic, &mut facts)?;
        if image.with_references {
            faults.dynamic(image, &Dynamic { entries: &dynamic, binds_now: facts.binds_now() })?;
            faults.relocations(image, &of_relocations);
            faults.symbols(image, &facts);
        }
    }
    if image.with_references {
        facts.faults = faults.list();
    }
    if facts.interpreter.is_none() && facts.is_program() {
        facts.musl_text = image.contains(MUSL_TEXT)?;
    }
    Ok(facts)
}

/// The places in a file of `size` bytes of what the program reads and never writes, code and constants: one for each
/// PT_LOAD that is not writable; none for a file that [`parse`] refuses or of which it reads only the header.
///
/// `read` returns the bytes of a range, or `None` if it fails.
pub fn constants(size: u64, read: impl FnMut(Range<u64>) -> Option<Vec<u8>>) -> Vec<Range<u64>> {
    let pieces = Pieces::new(size, read);
    let Ok(image) = Image::new(size, &pieces) else { return Vec::new() };
    let constant = image.loads().filter(|load| load.p_flags & goblin::elf64::program_header::PF_W == 0);
    constant.map(|load| load.p_offset..load.p_offset + load.p_filesz).collect()
}

/// The text of strerror(0) in musl, which no other C library has (src/errno/__strerror.h).
const MUSL_TEXT: &[u8] = b"\0No error information\0";

/// The number of entries in one list at most. No real file has more: a larger list is hostile.
const MAX_ENTRIES: usize = 4096;
