//! Symbols: every undefined, non-weak symbol of a closure against what the loaded objects define.
//!
//! A reference with a version is met by the first object in scope that has the name under that node, whatever
//! file the need names; or by a definition without a version. A reference without a version takes an
//! unversioned definition, the oldest node's, or the only visible one.
//!
//! Source: `check_match` and `do_lookup_x` in glibc's elf/dl-lookup.c. The order of the scope does not matter
//! here: the question is whether anybody answers, not who.
//!
//! Of a baseline's objects the symbols are known for glibc alone. For the others a node that is there is
//! taken to hold its symbols, and what the build world's copy defines the system's is taken to define, too:
//! it has the same SONAME, and a missing node would have been found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Closure, Outcome, Rules, VersionAnswer, VersionCheck};
use crate::baseline::Exports;
use crate::elf::{ElfFacts, Symbol, VersionNeed};
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
        for symbol in elf.symbols.iter().filter(|symbol| !symbol.defined && !symbol.weak) {
            let name = elf.symbols.name(symbol);
            let index = symbol.version & 0x7fff;
            let need = elf.verneed.iter().find(|need| index > 1 && need.index & 0x7fff == index);
            let answer = match need {
                _ if name.is_empty() || scope.defined(&name, need) => continue,
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

/// The definitions of all loaded ELF objects, by a hash of the name.
struct Scope<'a> {
    closure: &'a Closure,
    known: &'a Known<'a>,
    definitions: Vec<(u64, usize, &'a Symbol)>,
    /// Something needed is not there: what it would define is not known.
    is_incomplete: bool,
}

impl<'a> Scope<'a> {
    fn new(closure: &'a Closure, known: &'a Known<'a>) -> Scope<'a> {
        let mut definitions = Vec::new();
        for (index, object) in closure.objects.iter().enumerate() {
            let Some(elf) = object.file.object.elf().filter(|elf| elf.symbols.has_hash()) else { continue };
            for symbol in elf.symbols.iter().filter(|symbol| symbol.defined) {
                definitions.push((hash(elf.symbols.name(symbol).as_bytes()), index, symbol));
            }
        }
        definitions.sort_unstable_by_key(|(hash, ..)| *hash);
        let is_incomplete = closure.needs.iter().any(|need| !matches!(need.outcome, Outcome::Loaded(_)));
        Scope { closure, known, definitions, is_incomplete }
    }

    fn elf(&self, index: usize) -> &'a ElfFacts {
        self.closure.objects[index]
            .file
            .object
            .elf()
            .unwrap_or_else(|| unreachable!("definitions come from ELF objects"))
    }

    /// Whether a loaded ELF object defines the symbol for this reference.
    fn defined(&self, name: &str, need: Option<&VersionNeed>) -> bool {
        let wanted = hash(name.as_bytes());
        let start = self.definitions.partition_point(|(hash, ..)| *hash < wanted);
        let mut visible: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, index, symbol) in self.definitions[start..].iter().take_while(|(hash, ..)| *hash == wanted) {
            let elf = self.elf(*index);
            if elf.symbols.name(symbol) != name {
                continue;
            }
            let (node, hidden) = (symbol.version & 0x7fff, symbol.version & 0x8000 != 0);
            let matches = match need {
                _ if !elf.has_versym => true,
                Some(need) => {
                    (node <= 1 && !hidden)
                        || elf
                            .verdef
                            .iter()
                            .any(|def| def.index & 0x7fff == node && !def.base && def.node == need.node)
                }
                None if node < 3 => true,
                None => {
                    *visible.entry(*index).or_default() += usize::from(!hidden);
                    false
                }
            };
            if matches {
                return true;
            }
        }
        visible.values().any(|count| *count == 1)
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
        let answering = self.closure.objects.iter().find(|object| object.answers_to(&need.file))?;
        match &answering.file.object {
            Object::System(system) if !self.is_listed(&system.soname) => None,
            Object::Unseen => None,
            Object::System(_) | Object::Elf(_) => Some(true),
        }
    }

    fn unversioned(&self, by: usize, name: &str) -> Option<bool> {
        if self.is_incomplete || self.glibc_defines(name, None) {
            return None;
        }
        let mut certain = true;
        for (index, object) in self.closure.objects.iter().enumerate() {
            let Object::System(system) = &object.file.object else { continue };
            if self.is_listed(&system.soname) {
                continue;
            }
            certain = false;
            match self.known.build.get(&system.soname) {
                Some(elf) if defines(elf, name) => return None,
                Some(_) => {}
                None if self.needs(by, index) => return None,
                None => {}
            }
        }
        Some(certain)
    }

    fn glibc_defines(&self, name: &str, node: Option<&str>) -> bool {
        let Some(exports) = self.known.glibc else { return false };
        exports.libraries(name, node).any(|library| {
            self.closure.objects.iter().any(
                |object| matches!(&object.file.object, Object::System(system) if system.soname == library),
            )
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

fn defines(elf: &ElfFacts, name: &str) -> bool {
    elf.symbols.iter().any(|symbol| symbol.defined && elf.symbols.name(symbol) == name)
}

/// FNV-1a. Only a filter: names are compared after it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
