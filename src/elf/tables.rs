//! The tables that the dynamic segment names: where they are, and how long.

use goblin::elf64::dynamic as tag;

use super::{DT_RELR, DT_RELRSZ, ElfFacts};

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

impl Tables {
    /// By the values of the dynamic segment's tags.
    pub fn new(value: &dyn Fn(u64) -> Option<u64>, facts: &ElfFacts) -> Tables {
        let table = |address: u64, size: u64, count: Option<u64>| -> Option<Table> {
            let n_relative = count.and_then(value).unwrap_or(0);
            Some(Table { address: value(address)?, size: value(size)?, n_relative })
        };
        Tables {
            symtab: value(tag::DT_SYMTAB),
            versym: value(tag::DT_VERSYM),
            hash: value(tag::DT_HASH),
            gnu_hash: value(tag::DT_GNU_HASH),
            rela: table(tag::DT_RELA, tag::DT_RELASZ, Some(tag::DT_RELACOUNT)),
            rel: table(tag::DT_REL, tag::DT_RELSZ, Some(tag::DT_RELCOUNT)),
            jmprel: table(tag::DT_JMPREL, tag::DT_PLTRELSZ, None),
            relr: table(DT_RELR, DT_RELRSZ, None),
            arrays: [
                (tag::DT_INIT_ARRAY, tag::DT_INIT_ARRAYSZ),
                (tag::DT_PREINIT_ARRAY, tag::DT_PREINIT_ARRAYSZ),
            ]
            .into_iter()
            .filter_map(|(address, size)| table(address, size, None))
            .collect(),
            pltgot: value(tag::DT_PLTGOT),
            changes_code: value(tag::DT_TEXTREL).is_some() || facts.flags & tag::DF_TEXTREL != 0,
            binds_now: facts.binds_now(),
        }
    }
}
