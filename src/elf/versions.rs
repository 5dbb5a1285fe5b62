//! Version nodes: those that an object needs from others (DT_VERNEED), and those that it offers (DT_VERDEF).

use super::read::{Image, Strings, after, u16, u32};
use super::{ElfError, MAX_ENTRIES};

/// One entry of DT_VERNEED: a version node that this object needs from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionNeed {
    /// `vn_file`: the needed name of the file in which the node is expected.
    pub file: String,
    /// The node, such as `GLIBC_2.34`.
    pub node: String,
    /// `vna_hash`, which ld.so compares before the name. It is the [`version_hash`] of the node, if a linker wrote
    /// it.
    pub hash: u32,
    /// VER_FLG_WEAK: if the node is absent, ld.so only prints a line.
    pub weak: bool,
    /// The index of the node in DT_VERSYM.
    pub index: u16,
}

/// One entry of DT_VERDEF: a version node this object offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionDefinition {
    /// The node; for the base entry, the file's own name.
    pub node: String,
    /// `vd_hash`, see [`VersionNeed::hash`].
    pub hash: u32,
    /// VER_FLG_BASE: the entry names the file, not a version. ld.so compares it like any other.
    pub base: bool,
    /// The index of the node in DT_VERSYM.
    pub index: u16,
}

impl VersionNeed {
    /// Whether this definition is the needed node: the hashes are compared first, then the names.
    ///
    /// Source: `match_symbol` in glibc's elf/dl-version.c, `check_match` in elf/dl-lookup.c.
    pub fn is_met_by(&self, definition: &VersionDefinition) -> bool {
        self.hash == definition.hash && self.node == definition.node
    }

    /// Whether the stored hash is that of the name. An editor that changes the name in the string table leaves the
    /// old hash, and then no library has the node.
    pub fn has_right_hash(&self) -> bool {
        self.hash == version_hash(&self.node)
    }
}

impl VersionDefinition {
    /// As [`VersionNeed::has_right_hash`].
    pub fn has_right_hash(&self) -> bool {
        self.hash == version_hash(&self.node)
    }
}

/// The hash of a version's name, which DT_VERNEED and DT_VERDEF store beside the name.
///
/// Source: the System V ABI, "Hash Table"; `_dl_elf_hash` in glibc's sysdeps/generic/dl-hash.h.
pub fn version_hash(node: &str) -> u32 {
    node.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

/// Reads DT_VERNEED by following `vn_next` and `vna_next`; like ld.so it ignores DT_VERNEEDNUM and `vn_cnt`.
///
/// Source: `_dl_check_map_versions` in glibc's elf/dl-version.c.
pub(super) fn read_verneed(
    image: &Image,
    address: u64,
    strings: &Strings,
) -> Result<Vec<VersionNeed>, ElfError> {
    const WHAT: &str = "the table of version needs";
    let mut needs = Vec::new();
    let mut address = address;
    loop {
        let entry = image.at_address(address, 16, WHAT)?;
        let version = u16(entry, 0);
        // ld.so looks at the format of the first entry alone.
        if version != 1 && needs.is_empty() {
            return Err(ElfError::Malformed(format!("its version needs have the unknown format {version}")));
        }
        let mut aux = after(address, u32(entry, 8), WHAT)?;
        loop {
            let item = image.at_address(aux, 16, WHAT)?;
            if needs.len() == MAX_ENTRIES {
                return Err(ElfError::Malformed(format!("it has more than {MAX_ENTRIES} version needs")));
            }
            needs.push(VersionNeed {
                file: strings.text(u32(entry, 4).into(), "the file name of a version need")?,
                node: strings.text(u32(item, 8).into(), "a needed version")?,
                hash: u32(item, 0),
                weak: u16(item, 4) & 2 != 0,
                index: u16(item, 6),
            });
            match u32(item, 12) {
                0 => break,
                next => aux = after(aux, next, WHAT)?,
            }
        }
        match u32(entry, 12) {
            0 => return Ok(needs),
            next => address = after(address, next, WHAT)?,
        }
    }
}

/// Reads DT_VERDEF by following `vd_next`; the first auxiliary entry of each has the node's name.
///
/// ld.so finds no definition in an entry of an unknown format, nor in those after it, but goes through all of them.
///
/// Source: `match_symbol` and `_dl_check_map_versions` in glibc's elf/dl-version.c.
pub(super) fn read_verdef(
    image: &Image,
    address: u64,
    strings: &Strings,
) -> Result<Vec<VersionDefinition>, ElfError> {
    const WHAT: &str = "the table of version definitions";
    let mut definitions = Vec::new();
    let mut address = address;
    let mut is_known = true;
    for _ in 0..MAX_ENTRIES {
        let entry = image.at_address(address, 20, WHAT)?;
        let version = u16(entry, 0);
        if version != 1 && definitions.is_empty() {
            return Err(ElfError::Malformed(format!(
                "its version definitions have the unknown format {version}"
            )));
        }
        is_known &= version == 1;
        let item = image.at_address(after(address, u32(entry, 12), WHAT)?, 8, WHAT)?;
        if is_known {
            definitions.push(VersionDefinition {
                node: strings.text(u32(item, 0).into(), "a defined version")?,
                hash: u32(entry, 8),
                base: u16(entry, 2) & 1 != 0,
                index: u16(entry, 4),
            });
        }
        match u32(entry, 16) {
            0 => return Ok(definitions),
            next => address = after(address, next, WHAT)?,
        }
    }
    Err(ElfError::Malformed(format!("it has more than {MAX_ENTRIES} version definitions")))
}
