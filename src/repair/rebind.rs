//! References that lose their version or get another name.
//!
//! A program that was linked against a newer glibc refers to `strtol` as `__isoc23_strtol`, version `GLIBC_2.38`, and
//! to `fmod` with version `GLIBC_2.38`. A runtime whose glibc lacks the node refuses the file. The edit binds such a
//! reference to the definition that the same source would have got if it had been linked against the runtime's own
//! glibc: it removes the version, and where the name is new, too, it replaces the name by the older one.
//!
//! The entry of DT_VERSYM becomes 1, VER_NDX_GLOBAL: `_dl_lookup_symbol_x` is then called without a version,
//! because `l_versions[1]` has no hash (`RESOLVE_MAP` in elf/dl-reloc.c). `check_match` in elf/dl-lookup.c gives
//! such a reference the definition of index 0, 1 or 2, else the only one that is not hidden. The Vernaux leaves its
//! chain, and its Verneed when it was the last one there. VER_FLG_WEAK would be less of an edit, but
//! `match_symbol` in elf/dl-version.c then prints a line at each start.
//!
//! Nothing else in the file refers to the changed fields:
//! - Relocations name symbols by their index, which stays, and DT_VERSYM goes by the same index.
//! - Undefined symbols are in no chain of DT_GNU_HASH. In the chains of DT_HASH they are, by their old name: a
//!   lookup comes upon them, compares the names, and passes them over as it did before, because they are
//!   undefined (`check_match` wants a section or a value).
//! - A program at a fixed address may store the address of its own procedure linkage table as the value of an
//!   undefined function, which then is in DT_GNU_HASH. Such a symbol can lose its version, since index 1 answers
//!   every lookup; it is not renamed, since no lookup would find it.
//! - Version indices of all other nodes stay. ld.so takes the largest for the size of its table, and gaps have no
//!   hash (`_dl_check_map_versions`).
//!
//! When no version need is left, DT_VERNEED and DT_VERNEEDNUM are removed: ld.so never reads the number, and would
//! read the first record as valid. If the file defines no versions either, DT_VERSYM is removed as well: without any
//! version ld.so allocates no `l_versions`, which a reference's entry of DT_VERSYM would then index.

use std::collections::BTreeSet;

use goblin::elf64::dynamic::{DT_SYMTAB, DT_VERDEF, DT_VERNEED, DT_VERNEEDNUM, DT_VERSYM, Dyn, SIZEOF_DYN};
use goblin::elf64::section_header::SHT_GNU_VERNEED;
use goblin::elf64::sym::SIZEOF_SYM;

use crate::elf::records::{decode, encode};
use crate::elf::{ElfFacts, Offer, Symbol, SymbolChange, SymbolTable};

use super::image::EditedFile;
use super::{Edits, Refusal, VersionNode};

/// The size of a Verneed or a Vernaux, and the size of a symbol.
const RECORD: u64 = 16;
const SYMBOL: u64 = SIZEOF_SYM as u64;

/// The number of records that are read at most. DT_VERSYM has 15 bits for an index.
const MOST_RECORDS: usize = 0x8000;

/// Removes the version nodes of `edits.unbind` from the file; `dynamic` replaces the names.
///
/// # Errors
///
/// [`Refusal::NoNode`] for a node that the file does not need, [`Refusal::Layout`] for tables that contradict
/// themselves.
pub(super) fn unbind(image: &EditedFile, facts: &ElfFacts, edits: &Edits) -> Result<Vec<u8>, Refusal> {
    let indices = indices(facts, &edits.unbind)?;
    let mut bytes = image.bytes.to_vec();
    if let Some(table) = image.value(DT_VERSYM) {
        let size = (facts.symbols.iter().len() as u64 + 1) * 2;
        let outside = Refusal::Layout("its symbol versions are not in the file");
        let at = image.file_range(table, size).ok_or(outside)?.start;
        for (index, symbol) in facts.symbols.iter().enumerate() {
            if !indices.contains(&(symbol.version & 0x7fff)) {
                continue;
            }
            if symbol.defined {
                return Err(Refusal::Layout("it defines a symbol under a version that it needs"));
            }
            encode(&mut bytes, at + (index + 1) * 2, 1u16);
        }
    }
    let mut needs = read_needs(image)?;
    let dropped = |node: &VersionNodeRecord| indices.contains(&(node.index & 0x7fff));
    for need in &mut needs {
        need.nodes.retain(|node| !dropped(node));
    }
    let first = needs.first().map(|need| need.place);
    needs.retain(|need| !need.nodes.is_empty());
    write_needs(&mut bytes, image, first, &needs)?;
    write_counts(&mut bytes, image, needs.len());
    Ok(bytes)
}

/// The indices of the nodes; an index that another version shares is refused.
fn indices(facts: &ElfFacts, nodes: &[VersionNode]) -> Result<BTreeSet<u16>, Refusal> {
    let mut indices = BTreeSet::new();
    for node in nodes {
        let is_named = |file: &str, name: &str| file == node.file && name == node.node;
        let mut found = facts.verneed.iter().filter(|need| is_named(&need.file, &need.node)).peekable();
        if found.peek().is_none() {
            return Err(Refusal::NoNode(node.node.clone()));
        }
        indices.extend(found.map(|need| need.index & 0x7fff));
    }
    let of_others = facts.verneed.iter().filter(|need| !is_among(nodes, &need.file, &need.node));
    let mut of_others = of_others.map(|need| need.index).chain(facts.verdef.iter().map(|def| def.index));
    if indices.iter().any(|index| *index < 2) || of_others.any(|index| indices.contains(&(index & 0x7fff))) {
        return Err(Refusal::Layout("two of its symbol versions have one index"));
    }
    Ok(indices)
}

fn is_among(nodes: &[VersionNode], file: &str, node: &str) -> bool {
    nodes.iter().any(|known| known.file == file && known.node == node)
}

/// The place of a record.
#[derive(Clone, Copy)]
struct RecordPlace {
    address: u64,
    /// The offset in the file.
    at: usize,
}

/// A Verneed.
struct VersionNeedRecord {
    place: RecordPlace,
    nodes: Vec<VersionNodeRecord>,
}

/// A Vernaux.
struct VersionNodeRecord {
    place: RecordPlace,
    index: u16,
}

fn read_needs(image: &EditedFile) -> Result<Vec<VersionNeedRecord>, Refusal> {
    let mut needs = Vec::new();
    let mut left = MOST_RECORDS;
    let mut record = |address: u64| -> Result<RecordPlace, Refusal> {
        left = left.checked_sub(1).ok_or(Refusal::Layout("its version needs have no end"))?;
        let range = image.file_range(address, RECORD);
        let range = range.ok_or(Refusal::Layout("its version needs are not in the file"))?;
        Ok(RecordPlace { address, at: range.start })
    };
    let mut next = image.value(DT_VERNEED);
    while let Some(address) = next {
        let place = record(address)?;
        let mut nodes = Vec::new();
        let mut node_at = address.saturating_add(decode::<u32, _>(image.bytes, place.at + 8).into());
        for _ in 0..decode::<u16, _>(image.bytes, place.at + 2) {
            let place = record(node_at)?;
            nodes.push(VersionNodeRecord { place, index: decode(image.bytes, place.at + 6) });
            match decode::<u32, _>(image.bytes, place.at + 12) {
                0 => break,
                step => node_at = node_at.saturating_add(step.into()),
            }
        }
        needs.push(VersionNeedRecord { place, nodes });
        let step: u32 = decode(image.bytes, place.at + 12);
        next = (step != 0).then(|| address.saturating_add(step.into()));
    }
    Ok(needs)
}

/// Links the remaining records. The first record stays at the place that DT_VERNEED and the section header name: if
/// it is removed, another record is written there.
fn write_needs(
    bytes: &mut [u8],
    image: &EditedFile,
    first: Option<RecordPlace>,
    needs: &[VersionNeedRecord],
) -> Result<(), Refusal> {
    let places: Vec<RecordPlace> =
        first.into_iter().chain(needs.iter().skip(1).map(|need| need.place)).collect();
    for (index, (need, place)) in needs.iter().zip(&places).enumerate() {
        let head = image.bytes[need.place.at..][..RECORD as usize].to_vec();
        bytes[place.at..][..RECORD as usize].copy_from_slice(&head);
        encode(bytes, place.at + 2, need.nodes.len() as u16);
        let first_node = need.nodes.first().map(|node| node.place);
        encode(bytes, place.at + 8, step(*place, first_node)?);
        encode(
            bytes,
            place.at + 12,
            step(*place, places.get(index + 1).filter(|_| index + 1 < needs.len()).copied())?,
        );
        for (index, node) in need.nodes.iter().enumerate() {
            let next = need.nodes.get(index + 1).map(|node| node.place);
            encode(bytes, node.place.at + 12, step(node.place, next)?);
        }
    }
    Ok(())
}

/// The distance to the next record; 0 if there is none.
fn step(from: RecordPlace, to: Option<RecordPlace>) -> Result<u32, Refusal> {
    let Some(to) = to else { return Ok(0) };
    let step = to.address.checked_sub(from.address).and_then(|step| u32::try_from(step).ok());
    step.filter(|step| *step > 0).ok_or(Refusal::Layout("its version needs are not in order"))
}

/// Writes the number of records to .dynamic and the section headers, or removes the entries.
fn write_counts(bytes: &mut [u8], image: &EditedFile, count: usize) {
    for section in image.sections.iter().filter(|section| section.header.sh_type == SHT_GNU_VERNEED) {
        section.update(bytes, |header| header.sh_info = count as u32);
    }
    let defines = image.value(DT_VERDEF).is_some();
    let goes = |tag: u64| {
        count == 0
            && match tag {
                DT_VERNEED | DT_VERNEEDNUM => true,
                DT_VERSYM => !defines,
                _ => false,
            }
    };
    let kept = image.entries.iter().filter(|entry| !goes(entry.d_tag)).copied();
    let ends = std::iter::repeat(Dyn::default());
    for (index, mut entry) in kept.chain(ends).take(image.entries.len()).enumerate() {
        if entry.d_tag == DT_VERNEEDNUM {
            entry.d_val = count as u64;
        }
        encode(bytes, image.dynamic + index * SIZEOF_DYN, entry);
    }
}

/// A symbol that gets another name.
pub(super) struct NewName<'a> {
    /// The place of its `st_name` in the file.
    pub place: usize,
    pub name: &'a str,
}

/// The symbols that get another name.
pub(super) fn renamed_symbols<'a>(
    image: &EditedFile,
    facts: &ElfFacts,
    edits: &'a Edits,
) -> Result<Vec<NewName<'a>>, Refusal> {
    let mut places = Vec::new();
    if edits.rename_symbols.is_empty() {
        return Ok(places);
    }
    let outside = Refusal::Layout("its symbols are not in the file");
    let table = image.value(DT_SYMTAB).ok_or(outside.clone())?;
    let size = (facts.symbols.iter().len() as u64 + 1) * SYMBOL;
    let start = image.file_range(table, size).ok_or(outside)?.start;
    for (index, symbol) in facts.symbols.iter().enumerate() {
        if let Some(to) = new_name(facts, symbol, edits) {
            if symbol.offer != Offer::Nothing {
                return Err(Refusal::Layout(
                    "its address of a function that would be renamed may be used by other files",
                ));
            }
            places.push(NewName { place: start + (index + 1) * SIZEOF_SYM, name: to });
        }
    }
    Ok(places)
}

/// The name of a reference after the edit, if it is renamed.
fn new_name<'a>(facts: &ElfFacts, symbol: &Symbol, edits: &'a Edits) -> Option<&'a str> {
    if symbol.defined || !loses_version(facts, symbol, &edits.unbind) {
        return None;
    }
    let name = facts.symbols.name_bytes(symbol);
    let rename = edits.rename_symbols.iter().find(|(from, _)| from.as_bytes() == name);
    rename.map(|(_, to)| to.as_str())
}

fn loses_version(facts: &ElfFacts, symbol: &Symbol, nodes: &[VersionNode]) -> bool {
    let index = symbol.version & 0x7fff;
    let need = facts.verneed.iter().find(|need| index > 1 && need.index & 0x7fff == index);
    need.is_some_and(|need| is_among(nodes, &need.file, &need.node))
}

/// The facts of a file after `edits.unbind` and `edits.rename_symbols`, as the loader reads it.
pub fn rebound(facts: &ElfFacts, edits: &Edits) -> ElfFacts {
    let mut after = facts.clone();
    if edits.unbind.is_empty() {
        return after;
    }
    after.verneed.retain(|need| !is_among(&edits.unbind, &need.file, &need.node));
    after.has_versym &= !after.verneed.is_empty() || !after.verdef.is_empty();
    after.symbols = facts.symbols.with(|symbol| {
        let renamed = new_name(facts, symbol, edits);
        let rebound = SymbolChange { version: 1, name: renamed };
        loses_version(facts, symbol, &edits.unbind).then_some(rebound)
    });
    after
}

/// Whether two tables have the same symbols, wherever their names are stored.
pub(super) fn same_symbols(before: &SymbolTable, after: &SymbolTable) -> bool {
    before.has_hash() == after.has_hash()
        && before.iter().len() == after.iter().len()
        && before
            .iter()
            .zip(after.iter())
            .all(|(one, other)| one.is_like(other) && before.name_bytes(one) == after.name_bytes(other))
}
