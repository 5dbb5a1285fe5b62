//! The dynamic symbol table, as far as the hash tables say that it reaches.
//!
//! Nothing in the dynamic segment gives the number of symbols. DT_HASH has it; with DT_GNU_HASH alone it is
//! the end of the last chain. Names stay in one copy of the string table, so that a table of some
//! 10,000 symbols costs no 10,000 allocations.

use std::borrow::Cow;

use super::ElfError;
use super::read::{Image, escape, u16, u32};

/// One dynamic symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    name: u32,
    /// Raw DT_VERSYM value: bit 15 hidden, the rest an index; 0 local, 1 global without version.
    pub version: u16,
    /// `st_shndx` is not SHN_UNDEF.
    pub defined: bool,
    /// STB_WEAK.
    pub weak: bool,
}

/// The dynamic symbols of one object, in file order, the null symbol left out.
#[derive(Debug, Clone, Default)]
pub struct SymbolTable {
    strings: Vec<u8>,
    symbols: Vec<Symbol>,
    has_hash: bool,
}

impl SymbolTable {
    /// The symbols, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter()
    }

    /// The name of one of this table's symbols, as in the file.
    pub fn name_bytes(&self, symbol: &Symbol) -> &[u8] {
        let tail = &self.strings[symbol.name as usize..];
        &tail[..memchr::memchr(0, tail).unwrap_or(tail.len())]
    }

    /// The name of one of this table's symbols; bytes that are not UTF-8 as `\xNN`.
    pub fn name(&self, symbol: &Symbol) -> Cow<'_, str> {
        let name = self.name_bytes(symbol);
        match std::str::from_utf8(name) {
            Ok(name) => Cow::Borrowed(name),
            Err(_) => Cow::Owned(escape(name)),
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
}

const SYMBOL_SIZE: usize = 24;

pub(super) fn read(image: &Image, tables: &Tables, strings: &[u8]) -> Result<SymbolTable, ElfError> {
    let has_hash = tables.hash.is_some() || tables.gnu_hash.is_some();
    let Some(address) = tables.symtab else { return Ok(SymbolTable { has_hash, ..Default::default() }) };
    let count = match (tables.hash, tables.gnu_hash) {
        (Some(hash), _) => u32(image.at_address(hash, 8, "the hash table")?, 4) as usize,
        (None, Some(hash)) => count_by_gnu_hash(image, hash)?,
        (None, None) => 0,
    };
    if count == 0 {
        return Ok(SymbolTable { has_hash, ..Default::default() });
    }
    let table = image.at_address(address, count as u64 * SYMBOL_SIZE as u64, "the dynamic symbol table")?;
    let versions = match tables.versym {
        Some(address) => image.at_address(address, count as u64 * 2, "the symbol version table")?,
        None => &[],
    };
    let mut symbols = Vec::with_capacity(count - 1);
    for (index, raw) in table.chunks_exact(SYMBOL_SIZE).enumerate().skip(1) {
        let name = u32(raw, 0);
        if name as usize >= strings.len() {
            return Err(ElfError::Malformed("a symbol's name lies outside the string table".into()));
        }
        symbols.push(Symbol {
            name,
            version: if versions.is_empty() { 1 } else { u16(versions, index * 2) },
            defined: u16(raw, 6) != 0,
            weak: raw[4] >> 4 == 2,
        });
    }
    Ok(SymbolTable { strings: strings.to_vec(), symbols, has_hash })
}

/// One past the last symbol of the longest chain; symbols before `symoffset` are in no chain.
fn count_by_gnu_hash(image: &Image, address: u64) -> Result<usize, ElfError> {
    let what = "the GNU hash table";
    let tail = image.tail_at(address, what)?;
    let word = |at: usize| -> Result<u32, ElfError> {
        at.checked_add(4).filter(|end| *end <= tail.len()).map(|_| u32(tail, at)).ok_or_else(|| {
            ElfError::Malformed(format!("{what} lies outside the file; it is truncated or corrupt"))
        })
    };
    let (buckets, first, bloom) = (word(0)? as usize, word(4)? as usize, word(8)? as usize);
    let bucket_table = 16 + bloom * 8;
    let chain_table = bucket_table + buckets * 4;
    let mut last = 0;
    for bucket in 0..buckets {
        last = last.max(word(bucket_table + bucket * 4)? as usize);
    }
    if last < first {
        return Ok(first);
    }
    while word(chain_table + (last - first) * 4)? & 1 == 0 {
        last += 1;
    }
    Ok(last + 1)
}
