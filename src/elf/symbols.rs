//! The dynamic symbol table, as far as the hash tables and the relocations say that it reaches.
//!
//! Nothing in the dynamic segment gives the number of symbols. DT_HASH has it; with DT_GNU_HASH alone it is
//! the end of the last chain. If no symbol is in a hash table, the loader gets to symbols by relocations
//! only: GNU ld's table for a program that exports nothing begins at 1, whatever the program imports.
//!
//! Names stay in one copy of the string table, so that a table of some 10,000 symbols costs no 10,000
//! allocations. Invariant: all names of a table together are at most some times as long as that copy.

use std::borrow::Cow;

use super::ElfError;
use super::read::{Image, escape, outside, u16, u32, u64};

/// One dynamic symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    name: u32,
    length: u32,
    /// Raw DT_VERSYM value: bit 15 hidden, the rest an index; 0 local, 1 global without version.
    pub version: u16,
    /// `st_shndx` is not SHN_UNDEF.
    pub defined: bool,
    /// STB_WEAK.
    pub weak: bool,
}

/// The dynamic symbols of one object, in file order, the null symbol left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolTable {
    strings: Vec<u8>,
    symbols: Vec<Symbol>,
    has_hash: bool,
}

impl SymbolTable {
    /// A table of definitions: names, and their raw DT_VERSYM values. It has a hash table.
    pub fn of_definitions(definitions: &[(String, u16)]) -> SymbolTable {
        let mut table = SymbolTable { has_hash: true, ..SymbolTable::default() };
        for (name, version) in definitions {
            // A text of more than 4 GiB is refused long before.
            let at = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
            let symbol = Symbol {
                name: at(table.strings.len()),
                length: at(name.len()),
                version: *version,
                defined: true,
                weak: false,
            };
            table.strings.extend_from_slice(name.as_bytes());
            table.symbols.push(symbol);
        }
        table
    }

    /// The symbols, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter()
    }

    /// The name of one of this table's symbols, as in the file.
    pub fn name_bytes(&self, symbol: &Symbol) -> &[u8] {
        &self.strings[symbol.name as usize..][..symbol.length as usize]
    }

    /// The name of one of this table's symbols; what is not UTF-8, or a control character, as `\xNN`.
    pub fn name(&self, symbol: &Symbol) -> Cow<'_, str> {
        let name = self.name_bytes(symbol);
        match std::str::from_utf8(name) {
            Ok(name) if !name.contains(char::is_control) => Cow::Borrowed(name),
            _ => Cow::Owned(escape(name)),
        }
    }

    /// Whether the loader can look a symbol up here at all: without a hash table it finds none.
    pub fn has_hash(&self) -> bool {
        self.has_hash
    }
}

/// Addresses of the tables, as the dynamic segment gives them.
pub(super) struct Tables {
    pub symtab: Option<u64>,
    pub versym: Option<u64>,
    pub hash: Option<u64>,
    pub gnu_hash: Option<u64>,
    /// Tables of `Elf64_Rela`: address, size in bytes, number of relative ones at the start.
    pub relocations: Vec<(u64, u64, u64)>,
}

const SYMBOL_SIZE: usize = 24;
const RELOCATION_SIZE: usize = 24;

pub(super) fn read(image: &Image, tables: &Tables, strings: &[u8]) -> Result<SymbolTable, ElfError> {
    let has_hash = tables.hash.is_some() || tables.gnu_hash.is_some();
    let Some(address) = tables.symtab else { return Ok(SymbolTable { has_hash, ..Default::default() }) };
    let count = match (tables.hash, tables.gnu_hash) {
        (Some(hash), _) => u32(image.at_address(hash, 8, "the hash table")?, 4).into(),
        (None, Some(hash)) => match count_by_gnu_hash(image, hash)? {
            (count, true) => count,
            (first, false) => first.max(count_by_relocations(image, tables)?),
        },
        (None, None) => count_by_relocations(image, tables)?,
    };
    if count == 0 {
        return Ok(SymbolTable { has_hash, ..Default::default() });
    }
    let table = image.at_address(address, count * SYMBOL_SIZE as u64, "the dynamic symbol table")?;
    let versions = match tables.versym {
        Some(address) => image.at_address(address, count * 2, "the symbol version table")?,
        None => &[],
    };
    let mut symbols = Vec::with_capacity(table.len() / SYMBOL_SIZE);
    // Names may share their ends, and symbols their name; four times is more than any real table has.
    let mut left = strings.len().saturating_mul(4).saturating_add(1 << 16);
    for (index, raw) in table.chunks_exact(SYMBOL_SIZE).enumerate().skip(1) {
        let name = u32(raw, 0);
        let length =
            strings.get(name as usize..).and_then(|tail| memchr::memchr(0, tail)).ok_or_else(|| {
                ElfError::Malformed("a symbol's name lies outside the string table or has no end".into())
            })?;
        left = left.checked_sub(length).ok_or_else(|| {
            ElfError::Malformed("the names of its symbols are longer than the string table allows".into())
        })?;
        symbols.push(Symbol {
            name,
            length: u32::try_from(length).map_err(|_| outside("a symbol's name"))?,
            version: if versions.is_empty() { 1 } else { u16(versions, index * 2) },
            defined: u16(raw, 6) != 0,
            weak: raw[4] >> 4 == 2,
        });
    }
    Ok(SymbolTable { strings: strings.to_vec(), symbols, has_hash })
}

/// One past the last symbol of the longest chain, and `true`; symbols before `symoffset` are in no chain.
/// If no symbol is in any, `symoffset` and `false`.
fn count_by_gnu_hash(image: &Image, address: u64) -> Result<(u64, bool), ElfError> {
    let what = "the GNU hash table";
    let tail = image.tail_at(address, what)?;
    // Sums of products of 32-bit numbers: 64 bits hold them.
    let word = |at: u64| -> Result<u64, ElfError> {
        let at = usize::try_from(at).ok().filter(|at| at.checked_add(4).is_some_and(|end| end <= tail.len()));
        at.map(|at| u32(tail, at).into()).ok_or_else(|| image.beyond(address, tail.len(), what))
    };
    let (buckets, first, bloom) = (word(0)?, word(4)?, word(8)?);
    let bucket_table = 16 + bloom * 8;
    let chain_table = bucket_table + buckets * 4;
    let mut last = 0;
    for bucket in 0..buckets {
        last = last.max(word(bucket_table + bucket * 4)?);
    }
    // 0 is an empty bucket, also in a table that begins at 0.
    if last == 0 || last < first {
        return Ok((first, false));
    }
    while word(chain_table + (last - first) * 4)? & 1 == 0 {
        last += 1;
    }
    Ok((last + 1, true))
}

/// One past the last symbol that a relocation names.
fn count_by_relocations(image: &Image, tables: &Tables) -> Result<u64, ElfError> {
    let mut count = 0;
    for &(address, size, n_relative) in &tables.relocations {
        if size == 0 {
            continue;
        }
        let table = image.at_address(address, size, "a relocation table")?;
        // As in ld.so, the first DT_RELACOUNT entries are relative: they name no symbol.
        let skip = usize::try_from(n_relative).unwrap_or(usize::MAX);
        for raw in table.chunks_exact(RELOCATION_SIZE).skip(skip) {
            count = count.max((u64(raw, 8) >> 32) + 1);
        }
    }
    Ok(count)
}
