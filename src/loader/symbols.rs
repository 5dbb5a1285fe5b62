//! Symbols: every undefined, non-weak symbol of a closure against what the loaded objects define.
//!
//! A reference with a version is met by the first object in scope that has the name under that node, whatever
//! file the need names; or by a definition without a version. A reference without a version takes an
//! unversioned definition, the oldest node's, or the only visible one.
//!
//! Source: `check_match` and `do_lookup_x` in glibc's elf/dl-lookup.c. The order of the scope does not matter
//! here: the question is whether anybody answers, not who.
//!
//! Of a baseline's objects, unless they were captured, the symbols are known for glibc alone. For the others a node that is there is
//! taken to hold its symbols, and what the build world's copy defines the system's is taken to define, too:
//! it has the same SONAME, and a missing node would have been found.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Closure, Outcome, Rules, VersionAnswer, VersionCheck};
use crate::baseline::{Exports, SystemObject};
use crate::elf::{ElfFacts, Symbol, VersionDefinition, VersionNeed};
use crate::world::Object;

/// What is known of symbols beside the loaded objects themselves.
pub struct Known<'a> {
    /// The export lists of the runtime's glibc.
    pub glibc: Option<Exports>,
    /// The build world's objects by needed name.
    pub build: &'a BTreeMap<String, Arc<ElfFacts>>,
}

/// A symbol that nobody is known to define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// The object that refers to it.
    pub by: usize,
    /// Its name.
    pub symbol: String,
    /// The file and node of a reference with a version.
    pub version: Option<(String, String)>,
    /// Whether every object that could define it has known symbols.
    pub certain: bool,
}

/// The symbols of a closure that nobody defines, in load order.
///
/// Nothing is said of references whose version need has failed or whose library is missing: that is
/// reported as what it is. musl's rules have no versions, and its libc no list: nothing is said there.
pub fn undefined_symbols(
    closure: &Closure,
    rules: &Rules,
    checks: &[VersionCheck],
    known: &Known,
) -> Vec<Undefined> {
    let Rules::Glibc(_) = rules else { return Vec::new() };
    let scope = Scope::new(closure, known);
    let mut undefined = Vec::new();
    for (by, object) in closure.objects.iter().enumerate() {
        let Some(elf) = object.file.object.elf() else { continue };
        for symbol in elf.symbols.iter().filter(|symbol| is_reference(symbol)) {
            let bytes = elf.symbols.name_bytes(symbol);
            let index = symbol.version & 0x7fff;
            let need = elf.verneed.iter().find(|need| index > 1 && need.index & 0x7fff == index);
            if bytes.is_empty() || scope.defined(bytes, need) {
                continue;
            }
            let name = elf.symbols.name(symbol);
            let answer = match need {
                Some(need) => scope.versioned(by, &name, need, checks),
                None => scope.unversioned(by, &name),
            };
            if let Some(certain) = answer {
                undefined.push(Undefined {
                    by,
                    symbol: name.into_owned(),
                    version: need.map(|need| (need.file.clone(), need.node.clone())),
                    certain,
                });
            }
        }
    }
    undefined
}

/// Defined symbols sorted by a hash of their names.
struct Definitions<'a> {
    list: Vec<(u64, &'a ElfFacts, &'a Symbol)>,
}

impl<'a> Definitions<'a> {
    /// Those that may be among `wanted`.
    fn new(objects: impl Iterator<Item = &'a ElfFacts>, wanted: &Wanted) -> Definitions<'a> {
        let mut list = Vec::new();
        for elf in objects.filter(|elf| elf.symbols.has_hash()) {
            for symbol in elf.symbols.iter().filter(|symbol| symbol.defined) {
                let hash = hash(elf.symbols.name_bytes(symbol));
                if wanted.may_have(hash) {
                    list.push((hash, elf, symbol));
                }
            }
        }
        list.sort_unstable_by_key(|(hash, ..)| *hash);
        Definitions { list }
    }

    fn of(&self, name: &[u8]) -> impl Iterator<Item = (&'a ElfFacts, &'a Symbol)> {
        let wanted = hash(name);
        let start = self.list.partition_point(|(hash, ..)| *hash < wanted);
        self.list[start..]
            .iter()
            .take_while(move |(hash, ..)| *hash == wanted)
            .filter(move |(_, elf, symbol)| elf.symbols.name_bytes(symbol) == name)
            .map(|(_, elf, symbol)| (*elf, *symbol))
    }
}

/// The names that are referred to, as one bit of each hash: most definitions are nobody's, and are not sorted.
struct Wanted {
    bits: Vec<u64>,
}

impl Wanted {
    const BITS: u64 = 1 << 16;

    fn new(closure: &Closure) -> Wanted {
        let mut bits = vec![0; (Wanted::BITS / 64) as usize];
        for elf in closure.objects.iter().filter_map(|object| object.file.object.elf()) {
            for symbol in elf.symbols.iter().filter(|symbol| is_reference(symbol)) {
                let at = hash(elf.symbols.name_bytes(symbol)) % Wanted::BITS;
                bits[(at / 64) as usize] |= 1 << (at % 64);
            }
        }
        Wanted { bits }
    }

    fn may_have(&self, hash: u64) -> bool {
        let at = hash % Wanted::BITS;
        self.bits[(at / 64) as usize] >> (at % 64) & 1 == 1
    }
}

fn is_reference(symbol: &Symbol) -> bool {
    !symbol.defined && !symbol.weak
}

/// What is loaded, and what it defines.
struct Scope<'a> {
    closure: &'a Closure,
    answering: BTreeMap<&'a str, usize>,
    known: &'a Known<'a>,
    /// Of the loaded ELF objects.
    definitions: Definitions<'a>,
    /// Of the build world's copies of system objects whose symbols are not known.
    presumed: Definitions<'a>,
    /// Something needed is not there: what it would define is not known.
    is_incomplete: bool,
    /// What was asked of glibc's lists. Most objects refer to the same symbols.
    asked: RefCell<BTreeMap<(String, Option<String>), bool>>,
}

impl<'a> Scope<'a> {
    fn new(closure: &'a Closure, known: &'a Known<'a>) -> Scope<'a> {
        let wanted = Wanted::new(closure);
        let loaded = closure.objects.iter().filter_map(|object| object.file.object.elf());
        let definitions = Definitions::new(loaded, &wanted);
        let copies = closure.objects.iter().filter_map(|object| {
            let system = unread(&object.file.object)?;
            let is_listed = known.glibc.is_some_and(|exports| exports.knows(&system.soname));
            if is_listed { None } else { known.build.get(&system.soname).map(|elf| &**elf) }
        });
        let presumed = Definitions::new(copies, &wanted);
        let is_incomplete = closure.needs.iter().any(|need| !matches!(need.outcome, Outcome::Loaded(_)));
        Scope {
            closure,
            answering: closure.answering(),
            known,
            definitions,
            presumed,
            is_incomplete,
            asked: RefCell::default(),
        }
    }

    /// Whether a loaded ELF object defines the symbol for this reference.
    fn defined(&self, name: &[u8], need: Option<&VersionNeed>) -> bool {
        let mut visible: Vec<*const ElfFacts> = Vec::new();
        for (elf, symbol) in self.definitions.of(name) {
            let (node, hidden) = (symbol.version & 0x7fff, symbol.version & 0x8000 != 0);
            let matches = match need {
                _ if !elf.has_versym => true,
                Some(need) => {
                    let is_node = |def: &VersionDefinition| {
                        !def.base && def.index & 0x7fff == node && def.node == need.node
                    };
                    (node <= 1 && !hidden) || elf.verdef.iter().any(is_node)
                }
                None if node < 3 => true,
                None => {
                    if !hidden {
                        visible.push(elf);
                    }
                    false
                }
            };
            if matches {
                return true;
            }
        }
        // The only visible version of one object answers, too.
        visible.iter().any(|elf| visible.iter().filter(|other| *other == elf).count() == 1)
    }

    /// `None` if somebody defines it or is taken to; else whether that is certain.
    fn versioned(&self, by: usize, name: &str, need: &VersionNeed, checks: &[VersionCheck]) -> Option<bool> {
        let reported = checks.iter().any(|check| {
            check.by == by
                && check.need == *need
                && matches!(
                    check.answer,
                    VersionAnswer::NotThere | VersionAnswer::NoSuchFile | VersionAnswer::NoVersions
                )
        });
        // What GLIBC_PRIVATE holds changes between builds; no list has it.
        if reported || need.node == "GLIBC_PRIVATE" || self.glibc_defines(name, Some(&need.node)) {
            return None;
        }
        let answering = *self.answering.get(need.file.as_str())?;
        match &self.closure.objects[answering].file.object {
            Object::System(system) if system.facts.is_none() && !self.is_listed(&system.soname) => None,
            Object::Unseen => None,
            Object::System(_) | Object::Elf(_) => Some(true),
        }
    }

    fn unversioned(&self, by: usize, name: &str) -> Option<bool> {
        if self.is_incomplete || self.glibc_defines(name, None) {
            return None;
        }
        if self.presumed.of(name.as_bytes()).next().is_some() {
            return None;
        }
        let mut certain = true;
        for (index, object) in self.closure.objects.iter().enumerate() {
            let Some(system) = unread(&object.file.object) else { continue };
            if self.is_listed(&system.soname) {
                continue;
            }
            certain = false;
            if !self.known.build.contains_key(&system.soname) && self.needs(by, index) {
                return None;
            }
        }
        Some(certain)
    }

    fn glibc_defines(&self, name: &str, node: Option<&str>) -> bool {
        let Some(exports) = self.known.glibc else { return false };
        let mut asked = self.asked.borrow_mut();
        *asked.entry((name.to_owned(), node.map(str::to_owned))).or_insert_with(|| {
            exports.libraries(name, node).any(|library| {
                let systems = self.closure.objects.iter().filter_map(|object| unread(&object.file.object));
                systems.into_iter().any(|system| system.soname == library)
            })
        })
    }

    /// Whether every symbol of a system object is known.
    fn is_listed(&self, soname: &str) -> bool {
        self.known.glibc.is_some_and(|exports| exports.knows(soname))
    }

    fn needs(&self, by: usize, index: usize) -> bool {
        self.closure
            .needs
            .iter()
            .any(|need| need.by == by && matches!(need.outcome, Outcome::Loaded(found) if found == index))
    }
}

/// An object of a baseline whose file was not read: what it defines is not in [`Definitions`].
fn unread(object: &Object) -> Option<&SystemObject> {
    match object {
        Object::System(system) if system.facts.is_none() => Some(system),
        _ => None,
    }
}

/// FNV-1a. Only a filter: names are compared after it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
