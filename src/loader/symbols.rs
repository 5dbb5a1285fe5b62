//! Symbols: the references in the relocations of a closure, against the definitions in the loaded objects.
//!
//! A reference with a version is met by the first object in scope that has the name under that node, whatever file
//! the need names; or by a definition without a version. A reference without a version takes an unversioned
//! definition, the oldest node's, or the only visible one. A COPY relocation is met by any object but the program.
//! With glibc only a jump slot of an object without immediate binding can wait until it is called; musl binds all
//! references at start and ignores versions.
//!
//! Source: `_dl_relocate_object` in glibc's elf/dl-reloc.c, `check_match` and `do_lookup_x` in elf/dl-lookup.c;
//! `do_relocs` and `find_sym2` in musl's ldso/dynlink.c.
//!
//! The definitions of an object come from one of four sources. The symbols of a file of ours, and of a captured
//! runtime, are read. The exports of the runtime's glibc, libgcc_s and libstdc++ are listed. Another library of the
//! runtime's is presumed to define what the build world's copy of it defines, and nothing else: it has the same
//! SONAME, and a missing node would have been found. Where there is no such copy, a node that is present is assumed
//! to hold its symbols, and whether a symbol without a node is defined is unknown.

mod definitions;
mod large_files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::definitions::{Definition, DefinitionSearch, Definitions, Lookup, WantedNames, hash};
use super::{Closure, Outcome, Rules, VersionAnswer, VersionCheck};
use crate::baseline::{Exports, SymbolAnswer, SystemObject, is_glibc_part};
use crate::elf::{ElfFacts, Linkage, Offer, Symbol, Uses};
use crate::world::Object;

/// Sources of definitions beside the loaded objects themselves.
pub struct Known<'a> {
    /// The export lists of the runtime's glibc, libgcc_s and libstdc++.
    pub exports: Option<Exports>,
    /// The build world's objects by needed name.
    pub build: &'a BTreeMap<String, Arc<ElfFacts>>,
    /// Whether LD_BIND_NOW is set.
    pub binds_now: bool,
    /// The libraries of the system whose SONAMEs other files have taken: a reference of the system's own objects is
    /// judged only if one of these defines its symbol.
    pub replaced: &'a [Arc<ElfFacts>],
}

/// A reference that is not known to be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// The index of the object that refers to the symbol.
    pub by: usize,
    /// The name of the symbol.
    pub symbol: String,
    /// The file and node of a reference with a version.
    pub version: Option<(String, String)>,
    /// Whether the reference is bound before the program starts, rather than when it is first called.
    pub at_start: bool,
    /// The fault.
    pub why: UnmetReference,
}

/// The fault of a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnmetReference {
    /// No object defines the symbol.
    Nowhere,
    /// No object is known to define it; these libraries of the runtime's, whose symbols are not known, may.
    Unknown(Vec<String>),
    /// The search finds this object, which the version need names and which has no DT_VERSYM: an assertion in ld.so
    /// fails.
    NoVersionTable(usize),
    /// This object defines the symbol, but not as thread-local storage, which the reference expects.
    NotThreadLocal(usize),
    /// This object defines the symbol as thread-local storage, which the reference does not expect: it gets another
    /// place in memory.
    ThreadLocal(usize),
    /// This object defines the symbol as protected, and does not allow programs to copy it or to stand in for its
    /// address.
    Protected(usize),
}

/// The references of a closure that are not known to be met, in load order.
///
/// References whose version need has failed, or whose library is missing, are left out: those faults are reported
/// separately.
pub fn undefined_symbols(
    closure: &Closure,
    rules: &Rules,
    checks: &[VersionCheck],
    known: &Known,
) -> Vec<Undefined> {
    let Some(program) = closure.objects.first().and_then(|object| object.file.object.elf()) else {
        return Vec::new();
    };
    // A static program relocates itself; a broken program dies first.
    if !matches!(program.linkage(), Linkage::Dynamic | Linkage::SharedLibrary) {
        return Vec::new();
    }
    let mut references = references(closure, rules, known);
    references.sort_unstable_by_key(|reference| (reference.hash, reference.by));
    let scope = Scope::new(closure, rules, checks, known, &references);
    let mut undefined = Vec::new();
    // The previous reference that glibc's lists met: many objects refer to the same symbols.
    let mut listed: Option<&Reference> = None;
    for reference in &references {
        if listed.is_some_and(|known| known.is_like(reference)) {
            continue;
        }
        match scope.verdict(reference) {
            ReferenceVerdict::Met => {}
            ReferenceVerdict::Listed => listed = Some(reference),
            ReferenceVerdict::UnmetReference(unmet) => undefined.push(unmet),
        }
    }
    undefined.sort_by_key(|undefined| undefined.by);
    undefined
}

/// A lookup that the loader makes.
struct Reference<'a> {
    hash: u64,
    by: usize,
    elf: &'a ElfFacts,
    symbol: &'a Symbol,
    /// Whether the object's own definition does not count: the reference is a COPY relocation's.
    is_copy: bool,
    at_start: bool,
    /// The index of the view in which the symbol is looked up.
    view: usize,
}

impl<'a> Reference<'a> {
    fn name(&self) -> &'a [u8] {
        self.elf.symbols.name_bytes(self.symbol)
    }

    /// The node and its file; `None` for a reference without a version.
    fn version(&self) -> Option<Version<'a>> {
        Version::of(self.elf, self.symbol.version)
    }

    /// Whether an answer from the system's libraries to this reference is the answer to the other, too.
    fn is_like(&self, other: &Reference) -> bool {
        self.hash == other.hash
            && (self.view == 0 || self.view == other.view)
            && self.name() == other.name()
            && self.version().map(|version| version.node) == other.version().map(|version| version.node)
    }

    /// Whether the entry in a program's procedure linkage table would meet the reference.
    fn takes_address(&self) -> bool {
        !self.is_copy && !self.symbol.uses.has(Uses::SLOT.and(Uses::CALL).and(Uses::TLS))
    }
}

/// The version of a reference.
#[derive(Clone, Copy)]
struct Version<'a> {
    node: &'a str,
    /// The hash that is stored beside the name, and is compared first.
    hash: u32,
    /// The file that the version need names; `None` for one of the object's own nodes.
    file: Option<&'a str>,
    /// Whether only a definition under this very node meets the reference.
    is_hidden: bool,
}

impl<'a> Version<'a> {
    fn of(elf: &'a ElfFacts, versym: u16) -> Option<Version<'a>> {
        let index = versym & 0x7fff;
        if index < 2 {
            return None;
        }
        let need = elf.verneed.iter().find(|need| need.index & 0x7fff == index);
        let need = need.map(|need| Version {
            node: &need.node,
            hash: need.hash,
            file: Some(&need.file),
            is_hidden: need.index & 0x8000 != 0,
        });
        need.or_else(|| {
            let own = elf.verdef.iter().find(|def| !def.base && def.index & 0x7fff == index)?;
            Some(Version { node: &own.node, hash: own.hash, file: None, is_hidden: false })
        })
    }
}

/// Every lookup of a closure; weak references, which may stay unmet, are left out.
fn references<'a>(closure: &'a Closure, rules: &Rules, known: &Known) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    for (by, object) in closure.objects.iter().enumerate() {
        let Some(elf) = object.file.object.elf() else { continue };
        if is_of_system(&object.file.object) && known.replaced.is_empty() {
            continue;
        }
        let is_musl = matches!(rules, Rules::Musl(_));
        let binds_now = known.binds_now || elf.binds_now() || is_musl || closure.is_opened(by);
        let view = object.opening.map_or(0, |opening| opening + 1);
        // musl takes the storage of the object that defines a thread-local symbol, and crashes if none does
        // (REL_DTPMOD of `do_relocs`). It ignores weak symbols only if they are undefined, which a copied symbol is not.
        let is_wanted = |symbol: &Symbol| is_musl && symbol.uses.has(Uses::TLS.and(Uses::COPY));
        let may_be_nowhere = |symbol: &Symbol| symbol.weak && !is_wanted(symbol);
        for symbol in elf.symbols.iter().filter(|symbol| symbol.is_looked_up() && !may_be_nowhere(symbol)) {
            let is_copy = symbol.uses.has(Uses::COPY);
            // The object's own definition meets the reference, if no earlier object's does.
            if (symbol.offer == Offer::Everything && !is_copy) || elf.symbols.name_bytes(symbol).is_empty() {
                continue;
            }
            references.push(Reference {
                hash: hash(elf.symbols.name_bytes(symbol)),
                by,
                elf,
                symbol,
                is_copy,
                view,
                at_start: binds_now || symbol.uses.is_at_start(),
            });
        }
    }
    references
}

/// The result of a lookup.
enum ReferenceVerdict {
    Met,
    /// The lists of the runtime's exports have the symbol.
    Listed,
    UnmetReference(Undefined),
}

/// The loaded objects, and their definitions.
struct Scope<'a> {
    closure: &'a Closure,
    rules: &'a Rules,
    checks: &'a [VersionCheck],
    known: &'a Known<'a>,
    answering: BTreeMap<&'a str, usize>,
    /// The definitions of the loaded ELF objects.
    definitions: Definitions<'a>,
    /// The definitions of the libraries whose places other files have taken.
    replaced: Definitions<'a>,
    /// The global scope, then the scope of each opened library.
    views: Vec<View<'a>>,
}

/// The objects that one scope sees.
struct View<'a> {
    /// The place of each object in search order; `None` for those that the scope does not see.
    ranks: Vec<Option<usize>>,
    /// The system objects whose exports are listed.
    listed: Vec<&'a SystemObject>,
    /// Definitions in the build world's copies of the other system objects, and of the libraries that these need.
    presumed: Definitions<'a>,
    /// The system objects whose exports are not listed.
    unlisted: Vec<&'a SystemObject>,
    /// Those of them whose symbols are not known from any source.
    unknown: Vec<&'a SystemObject>,
    /// Whether a needed object is missing: its definitions are not known.
    is_incomplete: bool,
}

impl<'a> View<'a> {
    fn new(
        closure: &'a Closure,
        opening: Option<usize>,
        known: &'a Known<'a>,
        wanted: &WantedNames,
        answering: &BTreeMap<&str, usize>,
    ) -> View<'a> {
        let mut ranks = vec![None; closure.objects.len()];
        for (rank, object) in closure.scope(opening).enumerate() {
            ranks[object].get_or_insert(rank);
        }
        let seen = closure.objects.iter().zip(&ranks).filter(|(_, rank)| rank.is_some());
        let systems = seen.filter_map(|(object, _)| unread(&object.file.object));
        let is_listed = |system: &SystemObject| known.exports.is_some_and(|exports| exports.covers(system));
        let (listed, unlisted): (Vec<_>, Vec<_>) = systems.partition(|system| is_listed(system));
        let is_unknown = |system: &&&SystemObject| !known.build.contains_key(&system.soname);
        let unknown = unlisted.iter().filter(is_unknown).copied().collect();
        let sonames = unlisted.iter().map(|system| &*system.soname).collect();
        let copies = build_copies(sonames, known.build, |name| {
            answering.contains_key(name) || known.exports.is_some_and(|exports| exports.knows(name))
        });
        let presumed = Definitions::new(copies.into_iter().enumerate(), wanted);
        let is_of_view = |by: usize| ranks[by].is_some();
        let is_incomplete = closure.absent_interpreter.is_some()
            || closure.needs.iter().any(|need| {
                is_of_view(need.by) && !need.is_opening && !matches!(need.outcome, Outcome::Loaded(_))
            });
        View { ranks, listed, presumed, unlisted, unknown, is_incomplete }
    }
}

impl<'a> Scope<'a> {
    fn new(
        closure: &'a Closure,
        rules: &'a Rules,
        checks: &'a [VersionCheck],
        known: &'a Known<'a>,
        references: &[Reference],
    ) -> Scope<'a> {
        let wanted = WantedNames::new(references);
        let loaded = closure.objects.iter().enumerate();
        let loaded = loaded.filter_map(|(index, object)| Some((index, object.file.object.elf()?)));
        let definitions = Definitions::new(loaded, &wanted);
        let replaced = known.replaced.iter().map(|facts| &**facts).enumerate();
        let replaced = Definitions::new(replaced, &wanted);
        let answering = closure.answering();
        let views = std::iter::once(None)
            .chain((0..closure.opened.len()).map(Some))
            .map(|opening| View::new(closure, opening, known, &wanted, &answering))
            .collect();
        Scope { closure, rules, checks, known, answering, definitions, replaced, views }
    }

    /// Whether musl's loader has a function for the name, which nobody defines.
    fn is_large_file(&self, reference: &Reference) -> bool {
        matches!(self.rules, Rules::Musl(_)) && large_files::is_known(self.closure, reference.name())
    }

    /// Looks a reference up.
    fn verdict(&self, reference: &Reference) -> ReferenceVerdict {
        let view = &self.views[reference.view];
        let (ranks, program) = (Some(&*view.ranks), Some(0));
        let search = DefinitionSearch { rules: self.rules, ranks, program, answering: &self.answering };
        let version = reference.version();
        let why = match self.definitions.find(reference, &search) {
            Lookup::Found(definition) => self.clash(reference, definition),
            Lookup::Asserts(object) => Some(UnmetReference::NoVersionTable(object)),
            Lookup::Nowhere if self.is_large_file(reference) => return ReferenceVerdict::Met,
            Lookup::Nowhere => match (self.listed(reference), version) {
                (SymbolAnswer::Floor, _) => return ReferenceVerdict::Listed,
                // The check of versions reports the node.
                (SymbolAnswer::Later(_) | SymbolAnswer::Uncertain, Some(_)) => {
                    return ReferenceVerdict::Listed;
                }
                (SymbolAnswer::Later(_) | SymbolAnswer::Uncertain, None) => Some(unknown_of_lists(view)),
                (SymbolAnswer::Absent | SymbolAnswer::Unknown, _) => self.elsewhere(reference),
            },
        };
        let Some(why) = why.filter(|_| self.is_to_be_judged(reference)) else { return ReferenceVerdict::Met };
        let is_for_later = match why {
            // For the place of an object without such storage ld.so divides by its alignment, 0: SIGFPE on x86_64. Of
            // other references, and on arm64, only the use goes wrong (`_dl_try_allocate_static_tls` in
            // elf/dl-reloc.c).
            UnmetReference::NotThreadLocal(_) => !reference.symbol.uses.has(Uses::TLS_PLACE),
            UnmetReference::ThreadLocal(_) => true,
            _ => false,
        };
        ReferenceVerdict::UnmetReference(Undefined {
            by: reference.by,
            symbol: reference.elf.symbols.name(reference.symbol).into_owned(),
            version: version.and_then(|version| Some((version.file?.to_owned(), version.node.to_owned()))),
            at_start: reference.at_start && !is_for_later,
            why,
        })
    }

    /// Whether a reference is judged: a file of ours has it, or a library whose place was taken defines its symbol.
    fn is_to_be_judged(&self, reference: &Reference) -> bool {
        let search =
            DefinitionSearch { rules: self.rules, ranks: None, program: None, answering: &BTreeMap::new() };
        !is_of_system(&self.closure.objects[reference.by].file.object)
            || matches!(self.replaced.find(reference, &search), Lookup::Found(_))
    }

    /// The fault of a definition that is found and does not fit.
    ///
    /// Source: CHECK_STATIC_TLS in glibc's elf/dynamic-link.h, for an object without thread-local storage;
    /// `_dl_check_protected_symbol` in sysdeps/generic/dl-protected.h, since glibc 2.35.
    fn clash(&self, reference: &Reference, definition: &Definition) -> Option<UnmetReference> {
        let Rules::Glibc(rules) = self.rules else { return None };
        if reference.symbol.uses.has(Uses::TLS) && definition.symbol.thread_local == Some(false) {
            return Some(UnmetReference::NotThreadLocal(definition.object));
        }
        if !reference.symbol.uses.has(Uses::TLS) && definition.symbol.thread_local == Some(true) {
            return Some(UnmetReference::ThreadLocal(definition.object));
        }
        let stands_in = reference.is_copy
            || (reference.symbol.offer == Offer::Address
                && reference.symbol.uses.has(Uses::SLOT.and(Uses::CALL)));
        let is_refused = rules.release >= (2, 35)
            && reference.by == 0
            && stands_in
            && definition.symbol.protected
            && definition.elf.needs_indirect_access
            && !reference.elf.needs_indirect_access;
        is_refused.then_some(UnmetReference::Protected(definition.object))
    }

    /// The fault of a reference that no file of ours and no list meets; `None` if another library of the runtime's is
    /// presumed to meet it.
    fn elsewhere(&self, reference: &Reference) -> Option<UnmetReference> {
        // With musl no check of versions reports what is missing.
        let version = reference.version().filter(|_| matches!(self.rules, Rules::Glibc(_)));
        // A library that a copy needs may have another place in load order; only whether it has the symbol is checked.
        let view = &self.views[reference.view];
        let search =
            DefinitionSearch { rules: self.rules, ranks: None, program: None, answering: &BTreeMap::new() };
        let name = reference.elf.symbols.name(reference.symbol);
        let lacks = |system: &SystemObject| system.lacks.iter().any(|lacked| *lacked == *name);
        if let Lookup::Found(definition) = view.presumed.find(reference, &search)
            && !view
                .unlisted
                .iter()
                .any(|system| definition.elf.soname.as_ref() == Some(&system.soname) && lacks(system))
        {
            return None;
        }
        match version.and_then(|version| Some((version.file?, version.node))) {
            Some((file, node)) => self.of_node(reference.by, file, node),
            None if view.is_incomplete => None,
            None => {
                let mut unknown = view.unknown.iter().filter(|system| !lacks(system)).peekable();
                Some(match unknown.peek() {
                    None => UnmetReference::Nowhere,
                    Some(_) => self::unknown(unknown.map(|system| &*system.soname)),
                })
            }
        }
    }

    /// The fault of a reference to a node that the version need expects in `file`.
    fn of_node(&self, by: usize, file: &str, node: &str) -> Option<UnmetReference> {
        let is_failed = |check: &&VersionCheck| {
            check.by == by && check.need.file == file && check.need.node == node && !check.need.weak
        };
        let failed = self.checks.iter().find(is_failed).map(|check| &check.answer);
        if matches!(failed, Some(VersionAnswer::NotThere | VersionAnswer::NoSuchFile)) {
            return None;
        }
        let answering = *self.answering.get(file)?;
        match &self.closure.objects[answering].file.object {
            Object::Unseen => None,
            object => match unread(object) {
                Some(system) if !self.is_listed(system) => {
                    let copy = self.known.build.get(&system.soname)?;
                    // A copy that is older than the node does not show which symbols the node holds.
                    match copy.verdef.iter().any(|def| !def.base && def.node == node) {
                        true => Some(UnmetReference::Nowhere),
                        false => Some(UnmetReference::Unknown(vec![system.soname.clone()])),
                    }
                }
                _ => Some(UnmetReference::Nowhere),
            },
        }
    }

    /// The answer of the lists of the runtime's exports.
    fn listed(&self, reference: &Reference) -> SymbolAnswer<'a> {
        let (Some(exports), Rules::Glibc(_)) = (self.known.exports, self.rules) else {
            return SymbolAnswer::Unknown;
        };
        let node = reference.version().map(|version| version.node);
        exports.answer(
            &self.views[reference.view].listed,
            &reference.elf.symbols.name(reference.symbol),
            node,
        )
    }

    /// Whether every symbol of a system object is known.
    fn is_listed(&self, system: &SystemObject) -> bool {
        self.known.exports.is_some_and(|exports| exports.covers(system))
    }
}

/// The fault that any of these libraries may define the symbol.
fn unknown<'a>(sonames: impl Iterator<Item = &'a str>) -> UnmetReference {
    let mut libraries: Vec<String> = sonames.map(str::to_owned).collect();
    libraries.sort_unstable();
    libraries.dedup();
    UnmetReference::Unknown(libraries)
}

/// The fault that a library whose exports are listed may define the symbol, in a later image.
fn unknown_of_lists(view: &View) -> UnmetReference {
    unknown(view.listed.iter().map(|system| &*system.soname).filter(|soname| !is_glibc_part(soname)))
}

/// The build world's copies of these libraries, and of those that they need and the closure does not show, because
/// the needs of listed libraries are not known.
fn build_copies<'a>(
    sonames: Vec<&str>,
    build: &'a BTreeMap<String, Arc<ElfFacts>>,
    is_known: impl Fn(&str) -> bool,
) -> Vec<&'a ElfFacts> {
    let mut copies: Vec<&ElfFacts> =
        sonames.iter().filter_map(|soname| build.get(*soname)).map(|facts| &**facts).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut at = 0;
    while let Some(copy) = copies.get(at) {
        at += 1;
        let more = copy.needed.iter().filter(|name| !is_known(name) && seen.insert(name));
        copies.extend(more.filter_map(|name| build.get(name)).map(|facts| &**facts).collect::<Vec<_>>());
    }
    copies
}

fn is_of_system(object: &Object) -> bool {
    matches!(object, Object::System(_))
}

/// An object of a baseline whose file was not read: [`Definitions`] lacks its symbols.
fn unread(object: &Object) -> Option<&SystemObject> {
    match object {
        Object::System(system) if system.facts.is_none() => Some(system),
        _ => None,
    }
}
