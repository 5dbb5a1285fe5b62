//! Edits to one ELF file: DT_RPATH, DT_RUNPATH, PT_INTERP, DT_NEEDED, and the versions and names of references.
//!
//! Bytes in, bytes out. `plan` decides what the edits are; names and modes are for `archive`.
//!
//! Every old byte stays at its offset and at its address, and so does the program header table: kernels
//! before 5.10.110 and user-mode emulators compute AT_PHDR from `e_phoff`, and crash where the table moved.
//! Only strings move, into one read-only segment after the end of the file:
//!
//! ```text
//! file                                            memory
//! ELF header, program headers, same place         unchanged; one slot is now a PT_LOAD
//! every old byte                                  unchanged
//! .dynamic, edited in place                       same address, still under PT_GNU_RELRO
//! section headers, same place                     .dynstr and .interp point to the new segment
//! zeros up to a multiple of 4 KiB
//! the whole old .dynstr, new strings, interpreter PT_LOAD above every old segment
//! zeros, and the bytes after the end of the     not in memory
//! old ELF file once more
//! ```
//!
//! With the old .dynstr as the first part of the new one, every offset into it stays valid: DT_SONAME,
//! symbols, versions. New entries of .dynamic take spare DT_NULL entries (GNU ld, gold and mold leave some),
//! then the place of DT_RELACOUNT, a hint (LLD leaves none spare), then that of a DT_FLAGS which repeats
//! DT_FLAGS_1. If they do not fit, .dynamic moves too, and the new segment is writable, because ld.so writes
//! into .dynamic. The slot of the PT_LOAD is the slot that costs least, see [`GivenUp`]. Without a slot (musl's
//! GNU toolchain writes no notes) the last PT_LOAD is written again after the end of the file, its .bss as
//! zeros, and grows there. Edits that bring no new string (a DT_RUNPATH that becomes DT_RPATH) need no segment at all.
//!
//! The bytes after the end of the ELF file (see [`tail`]) stay at their offset and are repeated at the end: some
//! programs look for them from the end of their file, others at an offset that they have stored, and some do both
//! (SBCL reads an absolute offset from the last bytes). Both copies have the same place in a page, so that a payload
//! can be mapped. If they were only moved, or only left in place, some of these programs would not find them.
//!
//! Edit the original, never an edited file: the second edit finds the slot taken, and strings pile up.
//!
//! Cost: a copy of the file in memory, which is nearly all of the time. For the 98 MB of Debian's `node`
//! 0.06 to 0.15 s beside 0.05 to 0.14 s for the bare copy, on a busy machine; reading the dynamic tables takes
//! 1 ms. The file grows by .dynstr (5 MB there) and at most 4 KiB.

mod compat;
mod dynamic;
mod image;
mod layout;
mod rebind;
mod slot;
pub mod tail;

use std::fmt;

pub use compat::{COMPAT, compat_defines, compat_object};
pub use rebind::rebound;

use crate::elf::{self, ElfError, ElfFacts};

/// The changes to make in one ELF file. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The new DT_RPATH; every DT_RUNPATH and any other DT_RPATH is removed.
    ///
    /// DT_RUNPATH is removed because an object with DT_RUNPATH neither uses its own DT_RPATH nor, for its own needs,
    /// that of the program: `LD_LIBRARY_PATH` would win.
    pub rpath: Option<String>,
    /// Whether every DT_RPATH and DT_RUNPATH is removed and none is set; has no effect if `rpath` is set.
    pub drop_runpath: bool,
    /// The new PT_INTERP. At most 4,095 bytes, the kernel's limit.
    pub interpreter: Option<String>,
    /// Needed names, old and new. Every old name must be needed.
    ///
    /// `vn_file` of DT_VERNEED is changed, too: ld.so looks for it among the names by which objects were needed
    /// (`_dl_name_match_p`: the path opened and every DT_NEEDED string that led there; the SONAME counts only once
    /// something needed it). An old name that no object needs any more fails an assertion in
    /// `_dl_check_map_versions`. This very object needs the new name, so it always matches.
    pub rename_needed: Vec<(String, String)>,
    /// Needed names to add, after the existing ones.
    pub add_needed: Vec<String>,
    /// Version nodes that are no longer needed: the references under them lose their version.
    pub unbind: Vec<VersionNode>,
    /// New names of functions that are referred to under one of these nodes, old and new.
    pub rename_symbols: Vec<(String, String)>,
}

/// A version node that a file needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNode {
    /// `vn_file`.
    pub file: String,
    /// The name of the node.
    pub node: String,
}

/// An edited file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What the edit removed, in the order of [`GivenUp`].
    pub lost: Vec<GivenUp>,
}

/// Something that an edited file no longer has or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenUp {
    /// No PT_NOTE covers the build-id: crash reporters that walk program headers, and readers of a core file without
    /// the program, do not find it. `readelf -n`, `file` and gdb do, through the section header.
    BuildIdNote,
    /// The build-id is no longer in the first page: readers of a core file without the program do not find it. All
    /// other readers do.
    BuildIdInCore,
    /// No PT_NOTE covers the ABI tag: ld.so does not report "kernel too old".
    KernelCheck,
    /// No PT_NOTE covers another note (Go's build-id, package metadata).
    OtherNote,
    /// There is no DT_RELACOUNT, a hint that saves ld.so a comparison for each relative relocation.
    RelativeCount,
    /// .dynamic was moved: PT_GNU_RELRO does not cover it, and code that reads `_DYNAMIC` sees the old section.
    DynamicInPlace,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GivenUp::BuildIdNote => "the program header of the build ID",
            GivenUp::BuildIdInCore => "the build ID in core files",
            GivenUp::KernelCheck => "the ABI-tag note, by which the loader refuses an old kernel",
            GivenUp::OtherNote => "the program header of a note",
            GivenUp::RelativeCount => "DT_RELACOUNT, which saves the loader some work",
            GivenUp::DynamicInPlace => "the write protection of the dynamic section",
        })
    }
}

/// The reason why a file cannot be edited. The text follows the file's name: "could not edit `x`: ...".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The file cannot be parsed.
    Unreadable(ElfError),
    /// The file is not a 64-bit little-endian file for x86_64 or aarch64, or is neither a program nor a shared
    /// library.
    Kind,
    /// The file has no PT_DYNAMIC, or is a program without PT_INTERP: no loader would read the edit.
    Static,
    /// The loader and the file disagree about the place of a table, or a PT_LOAD is out of order, as the text
    /// explains.
    Layout(&'static str),
    /// No program header can be replaced by that of the new segment.
    NoSlot,
    /// No address is left above the last segment.
    NoAddress,
    /// An interpreter is to be set, and the file has none to replace.
    NoInterpreter,
    /// The file does not need this name, which is to be replaced.
    NotNeeded(String),
    /// The file does not need this version node, which is to be dropped.
    NoNode(String),
    /// An ELF file or the kernel cannot take a string, as the text explains.
    Text(&'static str),
    /// This part of the edited file does not read as it should: tables overlap.
    Unproven(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreadable(error) => write!(f, "{error}"),
            Refusal::Kind => f.write_str("it is not a program or shared library for x86_64 or arm64"),
            Refusal::Static => f.write_str("it is a static file, which no loader reads"),
            Refusal::Layout(what) => f.write_str(what),
            Refusal::NoSlot => f.write_str("it has no program header slot to reuse"),
            Refusal::NoAddress => f.write_str("it has no room in its address space after its last segment"),
            Refusal::NoInterpreter => f.write_str("it names no interpreter that could be replaced"),
            Refusal::NotNeeded(name) => write!(f, "it does not need `{name}`"),
            Refusal::NoNode(node) => write!(f, "it does not need `{node}`"),
            Refusal::Text(why) => f.write_str(why),
            Refusal::Unproven(what) => write!(f, "{what} would change with the edit; its tables overlap"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Makes the edits and returns the edited file.
///
/// The result was read back: it has the requested edits, and its other names, versions and symbols are the
/// original's. The caller ensures that the interpreter exists and has an x bit, which the kernel requires.
///
/// # Errors
///
/// [`Refusal`] for a file that cannot be edited; there is no partial result.
pub fn edit(bytes: &[u8], edits: &Edits) -> Result<Edited, Refusal> {
    check_texts(edits)?;
    let before = elf::parse(bytes).map_err(Refusal::Unreadable)?;
    // The kernel reads a program of any class and byte order; no editor and no `strip` does.
    let is_one = before.class64 && before.little_endian;
    let arch = before.arch().filter(|_| is_one).ok_or(Refusal::Kind)?;
    // musl's start code in a static-pie needs the PT_PHDR, which a library could spare.
    if before.is_program() && before.interpreter.is_none() {
        return Err(Refusal::Static);
    }
    // Only the part of the string table that DT_STRSZ counts would be copied.
    if before.has_longer_strings {
        return Err(Refusal::Layout("its dynamic string table has names beyond DT_STRSZ"));
    }
    let mut image = image::EditedFile::read(bytes, arch)?;
    let unbound;
    if !edits.unbind.is_empty() {
        unbound = rebind::unbind(&image, &before, edits)?;
        image = image::EditedFile::read(&unbound, arch)?;
    }
    let renamed = rebind::renamed_symbols(&image, &before, edits)?;
    let planned = dynamic::plan(&image, edits, &renamed)?;
    let edited = layout::write(&image, planned, edits.interpreter.as_deref())?;
    let after = elf::parse(&edited.bytes).map_err(|_| Refusal::Unproven("the layout"))?;
    prove(&before, &after, edits)?;
    Ok(edited)
}

fn check_texts(edits: &Edits) -> Result<(), Refusal> {
    let Edits { rpath, interpreter, rename_needed, add_needed, rename_symbols, drop_runpath: _, unbind: _ } =
        edits;
    let symbols = rename_symbols.iter().map(|(_, to)| to);
    let needed = || rename_needed.iter().map(|(_, to)| to).chain(add_needed).chain(symbols.clone());
    if rpath.iter().chain(interpreter).chain(needed()).any(|text| text.contains('\0')) {
        return Err(Refusal::Text("a new string has a NUL byte in it"));
    }
    if interpreter.iter().chain(needed()).any(String::is_empty) {
        return Err(Refusal::Text("a new name is empty"));
    }
    // The kernel takes PATH_MAX bytes, including the NUL.
    if interpreter.as_ref().is_some_and(|path| path.len() > 4095) {
        return Err(Refusal::Text("the new interpreter's path is longer than 4,095 bytes"));
    }
    Ok(())
}

/// Checks that the loader would read the requested edits, and everything else as before.
fn prove(before: &ElfFacts, after: &ElfFacts, edits: &Edits) -> Result<(), Refusal> {
    changed(before, after, edits).map_or(Ok(()), |what| Err(Refusal::Unproven(what)))
}

/// The part that the loader would read differently in two versions of one file, such as "its RPATH"; `None` if there
/// is none.
pub fn difference(before: &ElfFacts, after: &ElfFacts) -> Option<&'static str> {
    changed(before, after, &Edits::default())
}

/// The first part that is neither as before nor as the edits require.
fn changed(before: &ElfFacts, after: &ElfFacts, edits: &Edits) -> Option<&'static str> {
    let before = &rebind::rebound(before, edits);
    let mut needed: Vec<String> = before.needed.iter().map(|name| renamed(edits, name)).collect();
    needed.extend(edits.add_needed.iter().cloned());
    let mut verneed = before.verneed.clone();
    for need in &mut verneed {
        need.file = renamed(edits, &need.file);
    }
    let (rpath, runpath) = match &edits.rpath {
        Some(rpath) => (Some(rpath), None),
        None if edits.drop_runpath => (None, None),
        None => (before.rpath.as_ref(), before.runpath.as_ref()),
    };
    let interpreter = edits.interpreter.as_ref().or(before.interpreter.as_ref());
    let checks = [
        (after.needed == needed, "what it needs"),
        (after.rpath.as_ref() == rpath, "its RPATH"),
        (after.runpath.as_ref() == runpath, "its RUNPATH"),
        (after.interpreter.as_ref() == interpreter, "its interpreter"),
        (after.verneed == verneed, "a needed version"),
        (after.verdef == before.verdef, "a defined version"),
        (after.soname == before.soname, "its SONAME"),
        (after.auxiliary == before.auxiliary && after.filter == before.filter, "a filter"),
        (after.object_type == before.object_type && after.machine == before.machine, "its kind"),
        // `flags` is not compared: DT_FLAGS may have been removed where DT_FLAGS_1 says the same.
        (after.binds_now() == before.binds_now() && after.flags_1 == before.flags_1, "a flag"),
        (after.has_relr == before.has_relr, "a relocation table"),
        (after.has_versym == before.has_versym, "the symbol versions"),
        (rebind::same_symbols(&before.symbols, &after.symbols), "a symbol"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
}

fn renamed(edits: &Edits, name: &str) -> String {
    let rename = edits.rename_needed.iter().find(|(from, _)| from == name);
    rename.map_or(name, |(_, to)| to).to_owned()
}
