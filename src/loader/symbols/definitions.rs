//! The definitions of objects, and the choice of the one that meets a reference.
//!
//! Source: `check_match` and `do_lookup_x` in glibc's elf/dl-lookup.c; `find_sym2` in musl's ldso/dynlink.c.

use std::collections::BTreeMap;

use super::{Reference, Version};
use crate::elf::{ElfFacts, Offer, Symbol};
use crate::loader::Rules;

/// One symbol that an object defines.
pub struct Definition<'a> {
    hash: u64,
    /// The index of the object; for build copies, their order.
    pub object: usize,
    pub elf: &'a ElfFacts,
    pub symbol: &'a Symbol,
}

/// Definitions sorted by a hash of their names, then by object.
pub struct Definitions<'a> {
    list: Vec<Definition<'a>>,
}

impl<'a> Definitions<'a> {
    /// The definitions whose name may be among the names that are referred to.
    pub fn new(
        objects: impl Iterator<Item = (usize, &'a ElfFacts)>,
        wanted: &WantedNames,
    ) -> Definitions<'a> {
        let mut list = Vec::new();
        for (object, elf) in objects.filter(|(_, elf)| elf.symbols.has_hash()) {
            for symbol in elf.symbols.iter().filter(|symbol| symbol.offer != Offer::Nothing) {
                let hash = hash(elf.symbols.name_bytes(symbol));
                if wanted.may_have(hash) {
                    list.push(Definition { hash, object, elf, symbol });
                }
            }
        }
        list.sort_unstable_by_key(|definition| (definition.hash, definition.object));
        Definitions { list }
    }

    fn of<'s>(&'s self, reference: &'s Reference) -> impl Iterator<Item = &'s Definition<'a>> {
        let start = self.list.partition_point(|definition| definition.hash < reference.hash);
        let same = self.list[start..].iter().take_while(move |definition| definition.hash == reference.hash);
        let name = reference.name();
        same.filter(move |definition| definition.elf.symbols.name_bytes(definition.symbol) == name)
    }

    /// The first definition that meets a reference, in the order of the scope.
    pub fn find<'s>(&'s self, reference: &'s Reference, search: &DefinitionSearch) -> Lookup<'s, 'a> {
        let Some(ranks) = search.ranks else { return search.first(reference, self.of(reference)) };
        let mut in_scope: Vec<&Definition> =
            self.of(reference).filter(|definition| ranks[definition.object].is_some()).collect();
        in_scope.sort_by_key(|definition| ranks[definition.object]);
        search.first(reference, in_scope.into_iter())
    }
}

/// The result of a search among definitions.
pub enum Lookup<'l, 'a> {
    Found(&'l Definition<'a>),
    Asserts(usize),
    Nowhere,
}

/// How well one definition meets a reference.
enum Match {
    Yes,
    No,
    /// It fits if its object has no other visible version of that name.
    IfOnly,
    /// The object has no DT_VERSYM and the reference has a version: it fits, unless the need names this object.
    Untold,
}

/// How well a definition meets a reference with this version.
///
/// Source: `check_match` in glibc's elf/dl-lookup.c; in musl's ldso/dynlink.c `gnu_lookup`, which passes over hidden
/// versions, and `find_sym2`, which passes over values of 0, and has no indirect functions in OK_TYPES.
fn fits(definition: &Definition, version: Option<Version>, rules: &Rules) -> Match {
    let Definition { elf, symbol, .. } = definition;
    let (index, hidden) = (symbol.version & 0x7fff, symbol.version & 0x8000 != 0);
    if let Rules::Musl(_) = rules {
        return if hidden || symbol.is_beyond_musl { Match::No } else { Match::Yes };
    }
    match version {
        Some(_) if !elf.has_versym => Match::Untold,
        None if !elf.has_versym || index < 3 => Match::Yes,
        None if hidden => Match::No,
        None => Match::IfOnly,
        Some(wanted) => match Version::of(elf, symbol.version) {
            Some(node) if (node.hash, node.node) == (wanted.hash, wanted.node) => Match::Yes,
            Some(_) => Match::No,
            None if hidden || wanted.is_hidden => Match::No,
            None => Match::Yes,
        },
    }
}

/// The order and the rules of a search.
pub struct DefinitionSearch<'a> {
    pub rules: &'a Rules,
    /// The place of each object in the scope; `None` for build copies, which are in order.
    pub ranks: Option<&'a [Option<usize>]>,
    /// The object that a COPY relocation passes over; `None` for build copies, which do not include it.
    pub program: Option<usize>,
    pub answering: &'a BTreeMap<&'a str, usize>,
}

impl DefinitionSearch<'_> {
    /// The first of these definitions that meets the reference. Definitions of one object are adjacent.
    fn first<'s, 'a>(
        &self,
        reference: &Reference,
        definitions: impl Iterator<Item = &'s Definition<'a>>,
    ) -> Lookup<'s, 'a> {
        let version = reference.version();
        // For a reference without a version: the visible versions in one object.
        let mut visible: Option<(&Definition<'a>, usize)> = None;
        for definition in definitions {
            if let Some((only, 1)) = visible.filter(|(only, _)| only.object != definition.object) {
                return Lookup::Found(only);
            }
            visible = visible.filter(|(only, _)| only.object == definition.object);
            let is_passed_over = (reference.is_copy && Some(definition.object) == self.program)
                || (definition.symbol.offer == Offer::Address && !reference.takes_address());
            if is_passed_over {
                continue;
            }
            match fits(definition, version, self.rules) {
                Match::Yes => return Lookup::Found(definition),
                Match::No => {}
                Match::IfOnly => {
                    visible = Some(visible.map_or((definition, 1), |(only, count)| (only, count + 1)));
                }
                Match::Untold => return self.without_versions(version, definition),
            }
        }
        match visible {
            Some((only, 1)) => Lookup::Found(only),
            _ => Lookup::Nowhere,
        }
    }

    /// A definition in an object without DT_VERSYM, for a reference with a version.
    fn without_versions<'s, 'a>(
        &self,
        version: Option<Version>,
        definition: &'s Definition<'a>,
    ) -> Lookup<'s, 'a> {
        let file = version.and_then(|version| version.file);
        match file.is_some_and(|file| self.answering.get(file) == Some(&definition.object)) {
            true => Lookup::Asserts(definition.object),
            false => Lookup::Found(definition),
        }
    }
}

/// The names that are referred to, as one bit of each hash: most definitions are never referred to, and are not
/// sorted.
pub struct WantedNames {
    bits: Vec<u64>,
}

impl WantedNames {
    const BITS: u64 = 1 << 16;

    pub fn new(references: &[Reference]) -> WantedNames {
        let mut bits = vec![0; (WantedNames::BITS / 64) as usize];
        for reference in references {
            let at = reference.hash % WantedNames::BITS;
            bits[(at / 64) as usize] |= 1 << (at % 64);
        }
        WantedNames { bits }
    }

    fn may_have(&self, hash: u64) -> bool {
        let at = hash % WantedNames::BITS;
        self.bits[(at / 64) as usize] >> (at % 64) & 1 == 1
    }
}

/// A hash that is only a filter: names are compared afterwards.
///
/// It is FNV-1a over words of eight bytes in place of bytes, with the upper half folded into the lower one, because the
/// product carries nothing downwards.
pub fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(PRIME);
        product ^ product >> 32
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}
