//! The references of a file that are rebound: those under version nodes that the runtime's glibc lacks, where every
//! one of them can be met in another way.
//!
//! A node is left alone unless every reference under it can be rebound; in that case the audit reports the missing
//! node.

use std::collections::{BTreeMap, BTreeSet};

use super::definers::{Definer, Definers};
use crate::baseline::rebinding::{self, GlibcDefinitions, Rebinding};
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Offer, Symbol, VersionNeed};
use crate::lambda::LambdaWorld;
use crate::repair::VersionNode;

/// A file of the bundle with its rebound references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReboundFile {
    /// The library's name; `None` for the program.
    pub library: Option<String>,
    /// The references, sorted; at least one.
    pub references: Vec<Rebound>,
}

/// One reference that is bound to another definition than the one it was linked to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rebound {
    /// The name of the symbol in the file.
    pub symbol: String,
    /// The version node that the reference was linked to.
    pub from: String,
    /// The new definition.
    pub to: BoundTo,
    /// How the new function may differ from the old one.
    pub differs: Option<&'static str>,
}

/// The definition that a rebound reference gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoundTo {
    /// None: the reference is weak, and null.
    Null,
    /// A function of the runtime's glibc, with this name.
    Runtime(String),
    /// The object with missing functions that this tool adds to the bundle.
    Supplied,
    /// A library of the bundle, which defines it.
    Bundle,
}

/// What is known of the world in which the files of a bundle are loaded.
pub(super) struct Around<'a> {
    pub lambda: &'a LambdaWorld,
    /// Whether files may be edited and use the system's glibc.
    may_rebind: bool,
    definers: Definers,
}

impl<'a> Around<'a> {
    /// The runtime alone, with no files of a bundle.
    pub fn empty(lambda: &'a LambdaWorld, may_rebind: bool) -> Around<'a> {
        Around { lambda, may_rebind, definers: Definers::default() }
    }

    /// The runtime with the files of a bundle that may be edited.
    pub fn with(lambda: &'a LambdaWorld, definers: Definers) -> Around<'a> {
        Around { lambda, may_rebind: true, definers }
    }
}

/// The names whose definitions in a bundle matter: those of references that may be rebound, before and after.
pub(super) fn wanted<'f>(
    files: impl Iterator<Item = &'f ElfFacts>,
    lambda: &LambdaWorld,
) -> BTreeSet<Vec<u8>> {
    let mut wanted: BTreeSet<Vec<u8>> = BTreeSet::new();
    for facts in files {
        for need in facts.verneed.iter().filter(|need| is_lacking(lambda, need)) {
            for symbol in facts.symbols.iter().filter(|symbol| is_under(symbol, need)) {
                let name = facts.symbols.name(symbol);
                if let Some(Rebinding::Renamed(to)) = rebinding::known(&name).map(|known| known.by) {
                    wanted.insert(to.into_bytes());
                }
                wanted.insert(facts.symbols.name_bytes(symbol).to_vec());
            }
        }
    }
    wanted
}

fn is_under(symbol: &Symbol, need: &VersionNeed) -> bool {
    symbol.version & 0x7fff == need.index & 0x7fff
}

/// The rebound references of one file, as edits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileRebinding {
    /// [`Edits::unbind`](crate::repair::Edits::unbind).
    pub unbind: Vec<VersionNode>,
    /// [`Edits::rename_symbols`](crate::repair::Edits::rename_symbols).
    pub rename_symbols: Vec<(String, String)>,
    pub references: Vec<Rebound>,
}

impl FileRebinding {
    pub fn needs_compat(&self) -> bool {
        self.references.iter().any(|reference| reference.to == BoundTo::Supplied)
    }
}

/// Decides which references of a file are rebound.
pub(super) fn rebind(facts: &ElfFacts, around: &Around) -> FileRebinding {
    let mut all = FileRebinding::default();
    if !around.may_rebind {
        return all;
    }
    let mut lacking = facts.verneed.iter().filter(|need| is_lacking(around.lambda, need)).peekable();
    if lacking.peek().is_none() {
        return all;
    }
    let Some(glibc) = GlibcDefinitions::of(&around.lambda.baseline) else {
        return all;
    };
    for need in lacking {
        let Some(rebound) = rebound_of(facts, need, around, &glibc) else { continue };
        all.unbind.push(VersionNode { file: need.file.clone(), node: need.node.clone() });
        for reference in &rebound {
            let rename = match &reference.to {
                BoundTo::Runtime(to) if *to != reference.symbol => (reference.symbol.clone(), to.clone()),
                _ => continue,
            };
            if !all.rename_symbols.contains(&rename) {
                all.rename_symbols.push(rename);
            }
        }
        all.references.extend(rebound);
    }
    all.references.sort();
    all
}

/// Whether the node is one of glibc's that no image of the runtime has.
fn is_lacking(lambda: &LambdaWorld, need: &VersionNeed) -> bool {
    let object = lambda.baseline.object(&need.file);
    is_glibc_part(&need.file)
        // GLIBC_ABI_* is no set of functions: what the node stands for is missing, whatever the references are.
        && !need.node.starts_with("GLIBC_ABI_")
        && need.node != "GLIBC_PRIVATE"
        && object.is_some_and(|object| object.node(&need.node) == NodeAnswer::Absent)
}

/// The rebound references under a node; `None` if any of them cannot be rebound, or there is none.
fn rebound_of(
    facts: &ElfFacts,
    need: &VersionNeed,
    around: &Around,
    glibc: &GlibcDefinitions,
) -> Option<Vec<Rebound>> {
    let mut rebound = Vec::new();
    for symbol in facts.symbols.iter().filter(|symbol| is_under(symbol, need)) {
        let reference = NewReference { symbol, name: facts.symbols.name_bytes(symbol), part: &need.file };
        let (to, differs) = if symbol.defined { None } else { met_by(&reference, around, glibc) }?;
        let symbol = facts.symbols.name(symbol).into_owned();
        rebound.push(Rebound { symbol, from: need.node.clone(), to, differs });
    }
    (!rebound.is_empty()).then_some(rebound)
}

/// A reference to glibc.
struct NewReference<'a> {
    symbol: &'a Symbol,
    name: &'a [u8],
    /// The library of glibc that it was linked to.
    part: &'a str,
}

fn met_by(
    reference: &NewReference,
    around: &Around,
    glibc: &GlibcDefinitions,
) -> Option<(BoundTo, Option<&'static str>)> {
    let NewReference { symbol, name, part } = *reference;
    let text = std::str::from_utf8(name).ok()?;
    let definers = &around.definers;
    let definer = definers.definer(name, part);
    if definer == Definer::First {
        return Some((BoundTo::Bundle, None));
    }
    let is_new = glibc.nodes(text).is_empty();
    let Some(known) = rebinding::known(text) else {
        // A program at a fixed address that tests the function's address has that of its own procedure linkage table
        // entry, which is not null, and the call through the entry ends it.
        let is_null = symbol.weak && is_new && lends_no_address(symbol) && !definers.has(name);
        return is_null.then_some((BoundTo::Null, None));
    };
    let to = match known.by {
        Rebinding::Same if definers.has_versioned(name) => return None,
        Rebinding::Same => text.to_owned(),
        // A program may define its own `strtol`, which has nothing to do with the reference.
        Rebinding::Renamed(to) => {
            let may_rename = definer == Definer::NotFirst && lends_no_address(symbol);
            if !may_rename || definers.has(to.as_bytes()) {
                return None;
            }
            to
        }
        // `strlcpy` and its kin do the same in every library.
        Rebinding::Supplied if is_new && definers.is_found(name) => return Some((BoundTo::Bundle, None)),
        Rebinding::Supplied if is_new => return Some((BoundTo::Supplied, known.differs)),
        Rebinding::Supplied => return None,
    };
    glibc.has_one(&to).then_some((BoundTo::Runtime(to), known.differs))
}

/// The symbols among `names`, references of a file to nodes that the runtime's glibc lacks, that keep the file from
/// being rebound.
pub fn not_rebindable(facts: &ElfFacts, lambda: &LambdaWorld, names: &[String]) -> Vec<String> {
    let Some(glibc) = GlibcDefinitions::of(&lambda.baseline) else {
        return names.to_vec();
    };
    let around = Around::empty(lambda, true);
    let is_met = |symbol: &Symbol, name: &str| {
        let reference = NewReference { symbol, name: name.as_bytes(), part: "" };
        !symbol.defined && met_by(&reference, &around, &glibc).is_some()
    };
    let mut symbols: BTreeMap<String, &Symbol> = BTreeMap::new();
    for symbol in facts.symbols.iter() {
        symbols.entry(facts.symbols.name(symbol).into_owned()).or_insert(symbol);
    }
    let stays = |name: &&String| !symbols.get(*name).is_some_and(|symbol| is_met(symbol, name));
    names.iter().filter(stays).cloned().collect()
}

/// Whether the file does not provide the function's address to other files under the old name.
fn lends_no_address(symbol: &Symbol) -> bool {
    symbol.offer == Offer::Nothing
}
