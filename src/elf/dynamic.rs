//! The dynamic segment: what a file needs, how it is searched for, and the tables behind it.

use goblin::elf64::dynamic::{self as tag, Dyn};

use super::read::{Image, Strings};
use super::tables::Tables;
use super::{
    DF_BIND_NOW, DT_RELR, DT_RELRSZ, ElfError, ElfFacts, FaultsOfRelocations, MAX_ENTRIES, relocations,
    symbols, versions,
};

/// Reads the dynamic segment. Returns what may be wrong with the relocations.
pub(super) fn read(
    image: &Image,
    dynamic: &[Dyn],
    facts: &mut ElfFacts,
) -> Result<FaultsOfRelocations, ElfError> {
    // goblin lacks these two.
    const DT_AUXILIARY: u64 = 0x7fff_fffd;
    const DT_FILTER: u64 = 0x7fff_ffff;

    // ld.so takes the last entry of a tag that may occur only once, too.
    let value = |wanted: u64| dynamic.iter().rfind(|entry| entry.d_tag == wanted).map(|entry| entry.d_val);
    let strings = Strings::new(image, value(tag::DT_STRTAB), value(tag::DT_STRSZ).unwrap_or(0))?;

    for entry in dynamic {
        let list = match entry.d_tag {
            tag::DT_NEEDED => &mut facts.needed,
            DT_AUXILIARY => &mut facts.auxiliary,
            DT_FILTER => &mut facts.filter,
            _ => continue,
        };
        if list.len() == MAX_ENTRIES {
            return Err(ElfError::Malformed(format!("it needs more than {MAX_ENTRIES} libraries")));
        }
        list.push(strings.text(entry.d_val, "a needed name")?);
    }
    let optional =
        |wanted: u64, what: &str| value(wanted).map(|offset| strings.text(offset, what)).transpose();
    facts.soname = optional(tag::DT_SONAME, "the SONAME")?;
    facts.rpath = optional(tag::DT_RPATH, "the RPATH")?;
    facts.runpath = optional(tag::DT_RUNPATH, "the RUNPATH")?;
    facts.flags = value(tag::DT_FLAGS).unwrap_or(0);
    if value(tag::DT_BIND_NOW).is_some() {
        facts.flags |= DF_BIND_NOW;
    }
    facts.flags_1 = value(tag::DT_FLAGS_1).unwrap_or(0);
    // An old loader can ignore an empty table. Without DT_RELRSZ the size is not known.
    // Source: `elf_dynamic_do_Relr` in glibc's elf/do-rel.h.
    facts.has_relr = value(DT_RELR).is_some() && value(DT_RELRSZ) != Some(0);
    facts.has_versym = value(tag::DT_VERSYM).is_some();
    facts.has_debug = value(tag::DT_DEBUG).is_some();
    read_tables(image, &value, &strings, facts)
}

/// Reads versions, relocations and symbols.
fn read_tables(
    image: &Image,
    value: &dyn Fn(u64) -> Option<u64>,
    strings: &Strings,
    facts: &mut ElfFacts,
) -> Result<FaultsOfRelocations, ElfError> {
    if let Some(address) = value(tag::DT_VERNEED) {
        facts.verneed = versions::read_verneed(image, address, strings)?;
    }
    if let Some(address) = value(tag::DT_VERDEF) {
        facts.verdef = versions::read_verdef(image, address, strings)?;
    }
    let tables = Tables::new(value, facts);
    let hashed = symbols::hashed(image, &tables)?;
    let relocations = match image.with_references {
        true => relocations::read(image, &tables)?,
        false => relocations::Relocations::default(),
    };
    facts.tls.is_static = relocations.has_static_tls || facts.flags & tag::DF_STATIC_TLS != 0;
    facts.tls.has_descriptors = relocations.has_tls_descriptors;
    facts.is_beyond_musl = relocations.is_beyond_musl;
    facts.symbols = symbols::read(image, &tables, &hashed, &relocations.uses, strings)?;
    facts.has_longer_strings = strings.is_longer();
    Ok(FaultsOfRelocations { fault: relocations.fault, late_slot: relocations.late_slot })
}
