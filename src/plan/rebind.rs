//! The references of a file that are rebound: those under version nodes that the runtime's glibc lacks, where every
//! one of them can be met in another way.
//!
//! A node is left alone unless every reference under it can be rebound; in that case the audit reports the missing
//! node.

use std::collections::{BTreeMap, BTreeSet};

use super::{Request, Shipped};
use crate::baseline::rebinding::{self, GlibcDefinitions, Rebinding};
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Offer, Symbol, VersionNeed};
use crate::lambda::{LambdaWorld, MemberContent};
use crate::repair::{COMPAT, VersionNode};

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
    /// Names that files of the bundle define for references with or without a version.
    plain: BTreeSet<Vec<u8>>,
    /// Names that files of the bundle define under versions of their own.
    versioned: BTreeSet<Vec<u8>>,
}

impl<'a> Around<'a> {
    /// The runtime alone, with no files of a bundle.
    pub fn empty(lambda: &'a LambdaWorld, may_rebind: bool) -> Around<'a> {
        Around { lambda, may_rebind, plain: BTreeSet::new(), versioned: BTreeSet::new() }
    }

    /// The runtime with the libraries of a bundle, which may have a C library of its own.
    pub fn of<'s>(
        libraries: impl Iterator<Item = &'s Shipped>,
        request: &'s Request,
        lambda: &'a LambdaWorld,
        is_private: bool,
    ) -> Around<'a> {
        let mut around = Around::empty(lambda, request.may_edit && !is_private);
        let given = request.members.iter().filter_map(|member| match &member.content {
            MemberContent::Object(facts) => Some(&**facts),
            MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
        });
        let shipped = libraries.map(|library| &*library.facts);
        let files: Vec<&ElfFacts> = given.chain(shipped).chain([&**request.facts]).collect();
        let mut wanted: BTreeSet<Vec<u8>> = BTreeSet::new();
        for facts in files.iter().filter(|_| around.may_rebind) {
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
        if wanted.is_empty() {
            return around;
        }
        for facts in files.iter().filter(|facts| facts.soname.as_deref() != Some(COMPAT)) {
            for symbol in facts.symbols.iter().filter(|symbol| symbol.offer == Offer::Everything) {
                let name = facts.symbols.name_bytes(symbol);
                if wanted.contains(name) {
                    let is_plain = !facts.has_versym || symbol.version & 0x7fff < 2;
                    let names = if is_plain { &mut around.plain } else { &mut around.versioned };
                    names.insert(name.to_vec());
                }
            }
        }
        around
    }

    fn defines(&self, name: &[u8]) -> bool {
        self.plain.contains(name) || self.versioned.contains(name)
    }
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
        let name = facts.symbols.name_bytes(symbol);
        let (to, differs) = if symbol.defined { None } else { met_by(symbol, name, around, glibc) }?;
        let symbol = facts.symbols.name(symbol).into_owned();
        rebound.push(Rebound { symbol, from: need.node.clone(), to, differs });
    }
    (!rebound.is_empty()).then_some(rebound)
}

fn met_by(
    symbol: &Symbol,
    name: &[u8],
    around: &Around,
    glibc: &GlibcDefinitions,
) -> Option<(BoundTo, Option<&'static str>)> {
    let text = std::str::from_utf8(name).ok()?;
    // The reference was linked to the bundle's library and still is: its definition meets references of both kinds.
    if around.plain.contains(name) {
        return Some((BoundTo::Bundle, None));
    }
    let is_new = glibc.nodes(text).is_empty();
    let known = rebinding::known(text);
    // `strlcpy` and its kin do the same in every library; libbsd defines them under versions of its own.
    let is_supplied = known.as_ref().is_some_and(|known| known.by == Rebinding::Supplied);
    if around.versioned.contains(name) {
        return is_supplied.then_some((BoundTo::Bundle, None));
    }
    let Some(known) = known else {
        return (symbol.weak && is_new).then_some((BoundTo::Null, None));
    };
    let to = match known.by {
        Rebinding::Same => text.to_owned(),
        // A program may define its own `strtol`, which has nothing to do with the reference.
        Rebinding::Renamed(to) if !around.defines(to.as_bytes()) && lends_no_address(symbol) => to,
        Rebinding::Renamed(_) => return None,
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
        !symbol.defined && met_by(symbol, name.as_bytes(), &around, &glibc).is_some()
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
