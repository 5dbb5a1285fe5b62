//! The files of a bundle that define functions under names of glibc's, and whether ld.so comes upon them first.
//!
//! A reference with a version finds every definition of its name that has no version, and those under the same version
//! (`check_match` in glibc's elf/dl-lookup.c). ld.so takes the first one in the order of the global scope, then of the
//! scope with which the referring file was opened (`_dl_lookup_symbol_x`). So a definition without a version that
//! precedes glibc's takes the reference, and takes it still when the version is gone. One that comes later does not
//! take it as long as glibc has one, and one under a version of its own never does.

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::{ElfFacts, Offer};
use crate::lambda::Walked;
use crate::repair::COMPAT;

/// The place of the definition of a name without a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Definer {
    /// No file of the bundle has one, or every start comes upon glibc's first.
    NotFirst,
    /// Every start comes upon it before glibc's.
    First,
    /// It depends on the start, or is not known.
    Unclear,
}

/// The files of a bundle that define given names.
#[derive(Debug, Clone, Default)]
pub(super) struct Definers {
    /// Names that files of the bundle define for references with or without a version.
    plain: BTreeSet<Vec<u8>>,
    /// Names that files of the bundle define under versions of their own.
    versioned: BTreeSet<Vec<u8>>,
    /// The global scopes: one for each walk. Empty if no file of the bundle defines a name, and for a library that is
    /// opened by a program.
    scopes: Vec<DefinerScope>,
    /// The names that the program defines which opens the file.
    of_opener: BTreeSet<Vec<u8>>,
    is_opened: bool,
}

/// A global scope.
#[derive(Debug, Clone, Default)]
struct DefinerScope {
    /// The positions of files, by their names.
    files: BTreeMap<String, usize>,
    /// The positions of the first definitions without a version.
    plain: BTreeMap<Vec<u8>, usize>,
    /// The names that are defined in any way.
    any: BTreeSet<Vec<u8>>,
}

impl Definers {
    /// Those among `files` that define one of the names `wanted`. `opener` is the program that opens the file, if it is
    /// a library; `walks` are walked only if a file of the bundle defines a name.
    pub fn new<'f>(
        files: impl Iterator<Item = &'f ElfFacts>,
        opener: Option<&'f ElfFacts>,
        walks: impl FnOnce() -> Vec<Walked>,
        wanted: &BTreeSet<Vec<u8>>,
    ) -> Definers {
        let mut definers = Definers { is_opened: opener.is_some(), ..Definers::default() };
        if wanted.is_empty() {
            return definers;
        }
        for facts in files.chain(opener) {
            for definition in definitions(facts, wanted) {
                let names = if definition.is_plain { &mut definers.plain } else { &mut definers.versioned };
                names.insert(definition.name.to_vec());
            }
        }
        if let Some(opener) = opener {
            let plain = definitions(opener, wanted).filter(|definition| definition.is_plain);
            definers.of_opener = plain.map(|definition| definition.name.to_vec()).collect();
        } else if !definers.plain.is_empty() || !definers.versioned.is_empty() {
            definers.scopes = walks().iter().map(|walked| DefinerScope::of(walked, wanted)).collect();
        }
        definers
    }

    /// Whether any file of the bundle defines the name, wherever it is.
    pub fn has(&self, name: &[u8]) -> bool {
        self.plain.contains(name) || self.has_versioned(name)
    }

    /// Whether any file of the bundle defines the name under a version of its own.
    pub fn has_versioned(&self, name: &[u8]) -> bool {
        self.versioned.contains(name)
    }

    /// Whether a reference without a version finds a definition in every start.
    pub fn is_found(&self, name: &[u8]) -> bool {
        self.of_opener.contains(name)
            || !self.scopes.is_empty() && self.scopes.iter().all(|scope| scope.any.contains(name))
    }

    /// The place of the definition of `name` relative to the library `part` of glibc.
    pub fn definer(&self, name: &[u8], part: &str) -> Definer {
        if !self.plain.contains(name) {
            return Definer::NotFirst;
        }
        if self.is_opened {
            // The program comes first. Whether another file is in the global scope is not known here.
            let is_first = self.of_opener.contains(name);
            return if is_first { Definer::First } else { Definer::Unclear };
        }
        let is_first = |scope: &DefinerScope| match (scope.plain.get(name), scope.files.get(part)) {
            (Some(definer), Some(part)) => definer < part,
            (Some(_), None) => true,
            (None, _) => false,
        };
        match self.scopes.iter().filter(|scope| is_first(scope)).count() {
            0 => Definer::NotFirst,
            n if n == self.scopes.len() => Definer::First,
            _ => Definer::Unclear,
        }
    }
}

impl DefinerScope {
    fn of(walked: &Walked, wanted: &BTreeSet<Vec<u8>>) -> DefinerScope {
        let mut scope = DefinerScope::default();
        for (position, index) in walked.closure.global.iter().enumerate() {
            let object = &walked.closure.objects[*index];
            let soname = object.file.object.soname().map(str::to_owned);
            for name in object.names.iter().cloned().chain(soname) {
                scope.files.entry(name).or_insert(position);
            }
            let Some(facts) = object.file.object.elf() else { continue };
            for definition in definitions(facts, wanted) {
                scope.any.insert(definition.name.to_vec());
                if definition.is_plain {
                    scope.plain.entry(definition.name.to_vec()).or_insert(position);
                }
            }
        }
        scope
    }
}

/// A definition of a name.
struct FileDefinition<'a> {
    name: &'a [u8],
    /// Whether it has no version.
    is_plain: bool,
}

/// The definitions of wanted names that other files find.
fn definitions<'a>(
    facts: &'a ElfFacts,
    wanted: &'a BTreeSet<Vec<u8>>,
) -> impl Iterator<Item = FileDefinition<'a>> {
    let is_ours = facts.soname.as_deref() == Some(COMPAT);
    let symbols = facts.symbols.iter().filter(move |symbol| !is_ours && symbol.offer == Offer::Everything);
    let named = symbols.map(|symbol| FileDefinition {
        name: facts.symbols.name_bytes(symbol),
        is_plain: !facts.has_versym || symbol.version & 0x7fff < 2,
    });
    named.filter(|definition| wanted.contains(definition.name))
}
