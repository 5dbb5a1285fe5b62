//! The dynamic symbol table, as far as the hash tables and the relocations reach into it.
//!
//! The dynamic segment does not give the number of symbols. DT_HASH has it; with DT_GNU_HASH alone it is the end of
//! the last chain. Symbols in no hash table are reached only by relocations: GNU ld's hash table for a program that
//! exports nothing begins at 1, whatever the program imports.
//!
//! The loader looks a symbol up because a relocation names it, so each symbol carries the kinds of its
//! relocations ([`Uses`]): a symbol that no relocation names is never looked up, and only a jump slot can wait
//! until the function is called.
//!
//! Names stay in one copy of the string table, so that a table of some 10,000 symbols does not cost 10,000
//! allocations. Invariant: all names of a table together are at most a few times as long as that copy.

use std::borrow::Cow;

use super::ElfError;
use super::hashes::GnuHash;
use super::read::{Image, Strings, read_if_there, u16, u32, u64};
use super::relocation_types::Uses;
use super::tables::Tables;

use crate::text;

/// One dynamic symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    name: u32,
    length: u32,
    /// Raw DT_VERSYM value: bit 15 hidden, the rest an index; 0 local, 1 global without version.
    pub version: u16,
    /// Whether `st_shndx` is not SHN_UNDEF.
    pub defined: bool,
    /// Whether the symbol is STB_WEAK.
    pub weak: bool,
    /// The lookups of this name that the symbol answers.
    pub offer: Offer,
    /// Whether it is thread-local; `None` if only its name is known.
    pub thread_local: Option<bool>,
    /// Whether the symbol is STV_PROTECTED.
    pub protected: bool,
    /// Whether musl passes over the symbol: it is STT_GNU_IFUNC, or absolute with the value 0.
    pub is_beyond_musl: bool,
    /// The kinds of relocations with which the object refers to it.
    pub uses: Uses,
}

/// The lookups that a symbol answers.
///
/// Source: `check_match` and `do_lookup_x` in glibc's elf/dl-lookup.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// No lookup: it is undefined, local, hidden, without a value, or of a type that is not looked up.
    Nothing,
    /// Lookups of the function's address, but not those for a call: a program at a fixed address stores the address
    /// of its own procedure linkage table entry as the value of a function that it imports.
    Address,
    /// All lookups.
    Everything,
}

impl Symbol {
    /// Whether ld.so looks the symbol up when it relocates the object, rather than using the object's own.
    ///
    /// Local and hidden symbols are not looked up, nor are symbols that no relocation names.
    pub fn is_looked_up(&self) -> bool {
        !self.uses.is_empty()
    }

    /// Whether two symbols are equal except for their names.
    pub fn is_like(&self, other: &Symbol) -> bool {
        Symbol { name: 0, length: 0, ..*self } == Symbol { name: 0, length: 0, ..*other }
    }
}

/// A symbol with few known facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSymbol {
    /// The name of the symbol.
    pub name: String,
    /// The raw DT_VERSYM value.
    pub version: u16,
    /// The kinds of references to it; `None` if it is defined.
    pub uses: Option<Uses>,
}

/// The new version and name of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolChange<'a> {
    /// The new DT_VERSYM value.
    pub version: u16,
    /// The new name, if it changes.
    pub name: Option<&'a str>,
}

/// The dynamic symbols of one object, in file order, without the null symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolTable {
    strings: Vec<u8>,
    symbols: Vec<Symbol>,
    has_hash: bool,
    has_lost_reference: bool,
    has_lost_name: bool,
}

impl SymbolTable {
    /// A table of symbols with these facts and no others. It has a hash table.
    pub fn of_names(names: &[NamedSymbol]) -> SymbolTable {
        let mut table = SymbolTable { has_hash: true, ..SymbolTable::default() };
        for NamedSymbol { name, version, uses } in names {
            // A text of more than 4 GiB is refused long before this.
            let at = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
            let symbol = Symbol {
                name: at(table.strings.len()),
                length: at(name.len()),
                version: *version,
                defined: uses.is_none(),
                weak: false,
                offer: if uses.is_none() { Offer::Everything } else { Offer::Nothing },
                thread_local: None,
                protected: false,
                is_beyond_musl: false,
                uses: uses.unwrap_or_default(),
            };
            table.strings.extend_from_slice(name.as_bytes());
            table.symbols.push(symbol);
        }
        table
    }

    /// The symbols, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Symbol> {
        self.symbols.iter()
    }

    /// The table with another version, and perhaps another name, for the symbols for which `change` returns one.
    pub fn with<'a>(&self, change: impl Fn(&Symbol) -> Option<SymbolChange<'a>>) -> SymbolTable {
        let mut table = self.clone();
        for symbol in &mut table.symbols {
            let Some(SymbolChange { version, name }) = change(symbol) else { continue };
            symbol.version = version;
            if let Some(name) = name {
                // Neither length is over 4 GiB: such a string table is refused long before this.
                symbol.name = u32::try_from(table.strings.len()).unwrap_or(u32::MAX);
                symbol.length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                table.strings.extend_from_slice(name.as_bytes());
            }
        }
        table
    }

    /// The name of one of this table's symbols as it is in the file.
    pub fn name_bytes(&self, symbol: &Symbol) -> &[u8] {
        &self.strings[symbol.name as usize..][..symbol.length as usize]
    }

    /// The name of one of this table's symbols; bytes that are not UTF-8, and control characters, as `\xNN`.
    pub fn name(&self, symbol: &Symbol) -> Cow<'_, str> {
        text::of_bytes(self.name_bytes(symbol))
    }

    /// Takes back the offer of each symbol that the loader does not find with this hash table.
    ///
    /// The table of a linker leads to all of its symbols. So only a sample is looked up, and all of them if a symbol of
    /// the sample is not found. If there are few symbols, the sample is all of them.
    fn leave_to(&mut self, hash: &GnuHash) {
        /// At least this number of symbols of a large table.
        const SAMPLE: usize = 16;
        // The null symbol, of index 0, is not in the list.
        let first = hash.first().saturating_sub(1).min(self.symbols.len());
        for symbol in &mut self.symbols[..first] {
            symbol.offer = Offer::Nothing;
        }
        let is_lost = |table: &SymbolTable, at: usize, chain: usize| {
            let symbol = &table.symbols[at];
            symbol.offer != Offer::Nothing && !hash.leads_to(table.name_bytes(symbol), at + 1, chain)
        };
        let step = ((self.symbols.len() - first) / SAMPLE).max(1);
        let mut sample = (first..self.symbols.len()).step_by(step);
        if !sample.any(|at| is_lost(self, at, hash.start_of_chain(at + 1))) {
            return;
        }
        let mut chain = first + 1;
        for at in first..self.symbols.len() {
            if is_lost(self, at, chain) {
                self.symbols[at].offer = Offer::Nothing;
            }
            if hash.is_end(at + 1) {
                chain = at + 2;
            }
        }
    }

    /// Whether a relocation gets, before the program starts, the address of an undefined symbol that is local, hidden or
    /// protected, which is not for the end of the process: ld.so takes the object's own, which is the address at which the object begins.
    ///
    /// Source: RESOLVE_MAP in glibc's elf/dl-reloc.c, `_dl_lookup_symbol_x` in elf/dl-lookup.c.
    pub fn has_lost_reference(&self) -> bool {
        self.has_lost_reference
    }

    /// Whether a relocation names a symbol whose name does not lie in memory.
    pub fn has_lost_name(&self) -> bool {
        self.has_lost_name
    }

    /// Whether the loader can find symbols in this table: without a hash table it finds none.
    pub fn has_hash(&self) -> bool {
        self.has_hash
    }
}

const SYMBOL_SIZE: usize = 24;

/// The hash tables of a file.
pub(super) struct Hashed<'a> {
    /// How many symbols they reach.
    n_symbols: u64,
    /// The table by which the loader searches.
    gnu: Option<GnuHash<'a>>,
}

/// Reads the hash tables.
///
/// # Errors
///
/// If a table does not lie in the file, or [`ElfError::NotRead`].
pub(super) fn hashed<'a>(image: &Image<'a>, tables: &Tables) -> Result<Hashed<'a>, ElfError> {
    if tables.symtab.is_none() {
        return Ok(Hashed { n_symbols: 0, gnu: None });
    }
    let gnu = tables.gnu_hash.map(|address| GnuHash::read(image, address)).transpose()?;
    let counted = |address| -> Result<u64, ElfError> {
        let count = u32(image.at_address(address, 8, "the hash table")?, 4).into();
        parts(image, tables, count)?;
        Ok(count)
    };
    // glibc does not read DT_HASH beside DT_GNU_HASH, but only DT_HASH counts the symbols that are in no chain.
    let n_symbols = match (tables.hash, &gnu) {
        (Some(hash), None) => counted(hash)?,
        (Some(hash), Some(gnu)) => read_if_there(counted(hash))?.unwrap_or(0).max(gnu.n_symbols()),
        (None, Some(gnu)) => gnu.n_symbols(),
        (None, None) => 0,
    };
    Ok(Hashed { n_symbols, gnu })
}

/// The records of `count` symbols, and their versions if there are any.
fn parts<'a>(image: &Image<'a>, tables: &Tables, count: u64) -> Result<(&'a [u8], &'a [u8]), ElfError> {
    let Some(address) = tables.symtab.filter(|_| count > 0) else { return Ok((&[], &[])) };
    let size = count.saturating_mul(SYMBOL_SIZE as u64);
    let table = image.at_address(address, size, "the dynamic symbol table")?;
    let versions = match tables.versym {
        Some(address) => image.at_address(address, count * 2, "the symbol version table")?,
        None => &[],
    };
    Ok((table, versions))
}

/// Reads the table. `uses` are the uses that the relocations show.
///
/// # Errors
///
/// If a table does not lie in the file, or all names together are longer than the limit, or [`ElfError::NotRead`].
pub(super) fn read(
    image: &Image,
    tables: &Tables,
    hashed: &Hashed,
    uses: &[Uses],
    strings: &Strings,
) -> Result<SymbolTable, ElfError> {
    let has_hash = tables.hash.is_some() || tables.gnu_hash.is_some();
    let (table, versions) = parts(image, tables, hashed.n_symbols.max(uses.len() as u64))?;
    let (mut has_lost_reference, mut has_lost_name) = (false, false);
    let address = Uses::DATA.and(Uses::CALL).and(Uses::COPY);
    let at_start = if tables.binds_now { address.and(Uses::SLOT) } else { address };
    let mut symbols = Vec::with_capacity(table.len() / SYMBOL_SIZE);
    let mut names = Names::new(strings);
    /// Functions that only code for the end of a process calls. Source: crtstuff.c of libgcc.
    const FOR_THE_END: [&[u8]; 2] = [b"_ITM_deregisterTMCloneTable", b"__cxa_finalize"];
    for (index, raw) in table.as_chunks::<SYMBOL_SIZE>().0.iter().enumerate().skip(1) {
        let name = names.find(u32(raw, 0))?;
        let uses = uses.get(index).copied().unwrap_or_default();
        let mut symbol = of_record(raw, uses);
        let is_own = symbol.uses.is_empty() || symbol.protected && !symbol.weak;
        let is_lost = !symbol.defined && is_own && uses.has(at_start);
        match name {
            Some(NamePlace { at, length }) => (symbol.name, symbol.length) = (at, length),
            // ld.so reads the name only if it looks the symbol up, or comes upon it in a search.
            None => {
                has_lost_name |= symbol.is_looked_up();
                symbol.offer = Offer::Nothing;
            }
        }
        has_lost_reference |= is_lost && !FOR_THE_END.contains(&names.bytes_of(&symbol));
        symbol.version = if versions.is_empty() { 1 } else { u16(versions, index * 2) };
        symbols.push(symbol);
    }
    let strings = names.bytes;
    let mut table = SymbolTable { strings, symbols, has_hash, has_lost_reference, has_lost_name };
    if let Some(hash) = &hashed.gnu {
        table.leave_to(hash);
    }
    Ok(table)
}

/// The place of a name in the copy of the string table.
struct NamePlace {
    at: u32,
    length: u32,
}

/// The names of the symbols.
struct Names<'a> {
    strings: &'a Strings<'a>,
    /// The part of the table that DT_STRSZ counts, and copies of names from behind it.
    bytes: Vec<u8>,
    left: usize,
}

impl Names<'_> {
    fn new<'a>(strings: &'a Strings<'a>) -> Names<'a> {
        // Names may share their ends, and symbols may share a name; the limit of four times is more than any real table
        // has.
        let left = strings.most_bytes().saturating_mul(4).saturating_add(1 << 16);
        Names { strings, bytes: strings.bytes().to_vec(), left }
    }

    fn bytes_of(&self, symbol: &Symbol) -> &[u8] {
        &self.bytes[symbol.name as usize..][..symbol.length as usize]
    }

    /// The name at an offset of the string table; `None` if it does not lie in memory.
    fn find(&mut self, offset: u32) -> Result<Option<NamePlace>, ElfError> {
        let too_long =
            || ElfError::Malformed("the names of its symbols are longer than the string table allows".into());
        let (at, length) = match self.strings.length(offset.into()) {
            Some(length) => (offset, length),
            None => {
                let Some(name) = self.strings.name(offset.into(), self.left)? else { return Ok(None) };
                let at = u32::try_from(self.bytes.len()).map_err(|_| too_long())?;
                self.bytes.extend_from_slice(&name);
                (at, name.len())
            }
        };
        self.left = self.left.checked_sub(length).ok_or_else(too_long)?;
        Ok(Some(NamePlace { at, length: u32::try_from(length).map_err(|_| too_long())? }))
    }
}

/// A symbol from its `Elf64_Sym`, without its name and version.
fn of_record(raw: &[u8; SYMBOL_SIZE], uses: Uses) -> Symbol {
    use goblin::elf::sym::{
        STB_GLOBAL, STB_GNU_UNIQUE, STB_LOCAL, STB_WEAK, STT_COMMON, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE,
        STT_OBJECT, STT_TLS, STV_HIDDEN, STV_INTERNAL, STV_PROTECTED,
    };
    const SHN_ABS: u16 = 0xfff1;
    /// The flag of a callee that takes arguments in more registers than a lazily bound call would save.
    const STO_AARCH64_VARIANT_PCS: u8 = 0x80;
    let (kind, binding, other) = (raw[4] & 0xf, raw[4] >> 4, raw[5]);
    let (section, value, visibility) = (u16(raw, 6), u64(raw, 8), other & 3);
    let binds_locally = binding == STB_LOCAL || matches!(visibility, STV_HIDDEN | STV_INTERNAL);
    let is_of_kind =
        matches!(kind, STT_NOTYPE | STT_OBJECT | STT_FUNC | STT_COMMON | STT_TLS | STT_GNU_IFUNC);
    let has_value = value != 0 || section == SHN_ABS || kind == STT_TLS;
    let is_offered = matches!(binding, STB_GLOBAL | STB_WEAK | STB_GNU_UNIQUE);
    let offer = match section {
        _ if binds_locally || !is_of_kind || !has_value || !is_offered => Offer::Nothing,
        0 if kind == STT_TLS => Offer::Nothing,
        0 => Offer::Address,
        _ => Offer::Everything,
    };
    let uses = if binds_locally { Uses::default() } else { uses };
    Symbol {
        name: 0,
        length: 0,
        version: 1,
        defined: section != 0,
        weak: binding == STB_WEAK,
        offer,
        thread_local: Some(kind == STT_TLS),
        protected: visibility == STV_PROTECTED,
        is_beyond_musl: kind == STT_GNU_IFUNC || (value == 0 && kind != STT_TLS),
        uses: if other & STO_AARCH64_VARIANT_PCS != 0 { uses.without_delay() } else { uses },
    }
}
