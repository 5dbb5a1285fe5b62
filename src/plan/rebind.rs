//! What of a file is rebound: the version nodes that the runtime's glibc lacks, where none of its references loses
//! anything by it.
//!
//! A node is left alone unless every reference under it can be rebound; then the audit says what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::draft::{Draft, Laid};
use super::{Request, Shipped};
use crate::baseline::rebinding::{self, Rebinding};
use crate::baseline::{self, Exports, NodeAnswer, is_glibc_part};
use crate::elf::{self, ElfFacts, Offer, Symbol, VersionNeed};
use crate::lambda::{LambdaWorld, Member, MemberContent};
use crate::repair::{COMPAT, Edits, VersionNode, compat_object};

/// A file of the bundle with what is rebound in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReboundFile {
    /// The library's name; `None` for the program.
    pub library: Option<String>,
    /// Sorted, not empty.
    pub references: Vec<Rebound>,
}

/// One reference that is bound otherwise than it was linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rebound {
    /// The symbol as the file has it.
    pub symbol: String,
    /// The node that it was linked to.
    pub from: String,
    /// What meets it.
    pub to: BoundTo,
    /// What can differ.
    pub differs: Option<&'static str>,
}

/// What meets a rebound reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoundTo {
    /// Nothing: it is weak, and null.
    Null,
    /// A function of the runtime's glibc, by this name.
    Runtime(String),
    /// The object that the bundle brings.
    Supplied,
    /// A library of the bundle, which defines it.
    Bundle,
}

/// What is known of the world in which the files of a bundle are to be loaded.
pub(super) struct Around<'a> {
    pub lambda: &'a LambdaWorld,
    /// Whether files may be edited, and use the system's glibc.
    may_rebind: bool,
    /// Names that files of the bundle define for references with or without a version.
    plain: BTreeSet<Vec<u8>>,
    /// Names that they define under versions of their own.
    versioned: BTreeSet<Vec<u8>>,
}

impl<'a> Around<'a> {
    /// Of a runtime alone.
    pub fn empty(lambda: &'a LambdaWorld, may_rebind: bool) -> Around<'a> {
        Around { lambda, may_rebind, plain: BTreeSet::new(), versioned: BTreeSet::new() }
    }

    /// Of a draft as it is.
    fn of(draft: &Draft, request: &Request, lambda: &'a LambdaWorld) -> Around<'a> {
        let mut around = Around::empty(lambda, request.may_edit && draft.private.is_none());
        let given = request.members.iter().filter_map(|member| match &member.content {
            MemberContent::Object(facts) => Some(&**facts),
            MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
        });
        let shipped = draft.libraries().map(|library| &*library.facts);
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

/// What is rebound in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileRebinding {
    /// [`Edits::unbind`].
    pub unbind: Vec<VersionNode>,
    rename_symbols: Vec<(String, String)>,
    references: Vec<Rebound>,
}

impl FileRebinding {
    fn needs_compat(&self) -> bool {
        self.references.iter().any(|reference| reference.to == BoundTo::Supplied)
    }
}

impl Draft {
    /// The libraries, pinned or not.
    fn libraries(&self) -> impl Iterator<Item = &Shipped> {
        self.shipped.values().chain(self.pins.values().map(|pin| &pin.library))
    }

    /// Sees what is rebound in which file, now that these are the files.
    pub(super) fn rebind(&mut self, request: &Request, lambda: &LambdaWorld) {
        let around = Around::of(self, request, lambda);
        let mut rebound = BTreeMap::new();
        let program = (request.path, &**request.facts);
        let libraries = self.libraries().map(|library| (library.source.as_str(), &*library.facts));
        for (source, facts) in libraries.chain([program]) {
            let rebinding = rebind(facts, &around);
            if !rebinding.references.is_empty() {
                rebound.insert(source.to_owned(), rebinding);
            }
        }
        self.rebound = rebound;
    }

    /// Adds what is rebound to the edits of a file.
    pub(super) fn add_rebinding(&self, source: &str, edits: &mut Edits) {
        let Some(rebinding) = self.rebound.get(source) else { return };
        edits.unbind.clone_from(&rebinding.unbind);
        edits.rename_symbols.clone_from(&rebinding.rename_symbols);
        if rebinding.needs_compat() {
            edits.add_needed.push(COMPAT.to_owned());
        }
    }

    /// Whether the object that brings functions is put into the bundle: a file needs it, and none is there.
    pub(super) fn brings_compat(&self, request: &Request) -> bool {
        let path = compat_path(request);
        self.rebound.values().any(FileRebinding::needs_compat)
            && !request.members.iter().any(|member| member.path == path)
    }

    /// What is rebound, the program first.
    pub(super) fn rebound_files(&self, request: &Request, laid: &Laid) -> Vec<ReboundFile> {
        let file = |library: Option<&str>, source: &str| {
            let references = self.rebound.get(source)?.references.clone();
            Some(ReboundFile { library: library.map(str::to_owned), references })
        };
        let own = laid.libraries.iter().filter(|library| library.link_to.is_none());
        let libraries = own.filter_map(|library| file(Some(&library.name), &library.source));
        file(None, request.path).into_iter().chain(libraries).collect()
    }
}

fn compat_path(request: &Request) -> String {
    request.layout.path(&format!("{}/{COMPAT}", request.layout.lib))
}

/// The object that brings functions, as the Lambda world sees it.
pub(super) fn compat_member(request: &Request) -> Option<Member> {
    let facts = elf::parse(&compat_object(request.facts.arch()?));
    let facts = facts.unwrap_or_else(|error| unreachable!("our own object is well-formed: {error}"));
    Some(Member { path: compat_path(request), content: MemberContent::Object(Arc::new(facts)) })
}

/// What is rebound in a file.
pub(super) fn rebind(facts: &ElfFacts, around: &Around) -> FileRebinding {
    let mut all = FileRebinding::default();
    if !around.may_rebind {
        return all;
    }
    let Some(exports) = baseline::exports(&around.lambda.baseline.glibc, around.lambda.arch()) else {
        return all;
    };
    for need in facts.verneed.iter().filter(|need| is_lacking(around.lambda, need)) {
        let Some(rebound) = rebound_of(facts, need, around, &exports) else { continue };
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

/// Whether no image of the runtime has a node of glibc's.
fn is_lacking(lambda: &LambdaWorld, need: &VersionNeed) -> bool {
    let object = lambda.baseline.object(&need.file);
    is_glibc_part(&need.file)
        // Not a set of functions: what the node stands for is missing, whatever the references are.
        && !need.node.starts_with("GLIBC_ABI_")
        && need.node != "GLIBC_PRIVATE"
        && object.is_some_and(|object| object.node(&need.node) == NodeAnswer::Absent)
}

/// What becomes of every reference under a node; `None` if any cannot be rebound, or there is none.
fn rebound_of(
    facts: &ElfFacts,
    need: &VersionNeed,
    around: &Around,
    exports: &Exports,
) -> Option<Vec<Rebound>> {
    let mut rebound = Vec::new();
    for symbol in facts.symbols.iter().filter(|symbol| is_under(symbol, need)) {
        let name = facts.symbols.name_bytes(symbol);
        let (to, differs) = if symbol.defined { None } else { met_by(symbol, name, around, exports) }?;
        let symbol = facts.symbols.name(symbol).into_owned();
        rebound.push(Rebound { symbol, from: need.node.clone(), to, differs });
    }
    (!rebound.is_empty()).then_some(rebound)
}

fn met_by(
    symbol: &Symbol,
    name: &[u8],
    around: &Around,
    exports: &Exports,
) -> Option<(BoundTo, Option<&'static str>)> {
    let text = std::str::from_utf8(name).ok()?;
    // The library of the bundle was meant before, and is now: its definition answers references of both kinds.
    if around.plain.contains(name) {
        return Some((BoundTo::Bundle, None));
    }
    let is_new = rebinding::nodes(exports, text).is_empty();
    let known = rebinding::known(text);
    // What `strlcpy` and its kin do is the same wherever they are; libbsd has them under versions of its own.
    let is_supplied = known.as_ref().is_some_and(|known| known.by == Rebinding::Supplied);
    if around.versioned.contains(name) {
        return is_supplied.then_some((BoundTo::Bundle, None));
    }
    let Some(known) = known else {
        return (symbol.weak && is_new).then_some((BoundTo::Null, None));
    };
    let to = match known.by {
        Rebinding::Same => text.to_owned(),
        // A program may define a `strtol` of its own, which the reference has nothing to do with.
        Rebinding::Renamed(to) if !around.defines(to.as_bytes()) && lends_no_address(symbol) => to,
        Rebinding::Renamed(_) => return None,
        Rebinding::Supplied if is_new => return Some((BoundTo::Supplied, known.differs)),
        Rebinding::Supplied => return None,
    };
    rebinding::has_one(exports, &to).then_some((BoundTo::Runtime(to), known.differs))
}

/// Whether the file does not stand in for the function's address, under its old name.
fn lends_no_address(symbol: &Symbol) -> bool {
    symbol.offer == Offer::Nothing
}
