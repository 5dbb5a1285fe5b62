//! Symbols: what the relocations of a closure refer to, against what the loaded objects define.
//!
//! A reference with a version is met by the first object in scope that has the name under that node, whatever
//! file the need names; or by a definition without a version. A reference without a version takes an
//! unversioned definition, the oldest node's, or the only visible one. A COPY relocation is met by any object
//! but the program. With glibc only a jump slot of an object without immediate binding can wait until it is
//! called; musl binds everything at start and knows no versions.
//!
//! Source: `_dl_relocate_object` in glibc's elf/dl-reloc.c, `check_match` and `do_lookup_x` in elf/dl-lookup.c;
//! `do_relocs` and `find_sym2` in musl's ldso/dynlink.c.
//!
//! Four sources tell what an object defines. The symbols of a file of ours, and of a captured runtime, are read.
//! The exports of the runtime's glibc, libgcc_s and libstdc++ are listed. Another library of the runtime's is presumed to define what the
//! build world's copy of it defines, and nothing else: it has the same SONAME, and a missing node would have been
//! found. Where there is no such copy, a node that is there is taken to hold its symbols, and whether a symbol
//! without a node is there is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Closure, Outcome, Rules, VersionAnswer, VersionCheck};
use crate::baseline::{Exports, SymbolAnswer, SystemObject, is_glibc_part};
use crate::elf::{ElfFacts, Linkage, Offer, Symbol, Uses};
use crate::world::Object;

/// What is known of symbols beside the loaded objects themselves.
pub struct Known<'a> {
    /// The export lists of the runtime's glibc, libgcc_s and libstdc++.
    pub exports: Option<Exports>,
    /// The build world's objects by needed name.
    pub build: &'a BTreeMap<String, Arc<ElfFacts>>,
    /// LD_BIND_NOW is set.
    pub binds_now: bool,
}

/// A reference that is not known to be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// The object that refers to it.
    pub by: usize,
    /// Its name.
    pub symbol: String,
    /// The file and node of a reference with a version.
    pub version: Option<(String, String)>,
    /// Whether it is bound before the program starts, rather than when it is first called.
    pub at_start: bool,
    /// What is wrong.
    pub why: Unmet,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmet {
    /// No object defines the symbol.
    Nowhere,
    /// No object is known to define it; these libraries of the runtime, whose symbols are not known, may.
    Unknown(Vec<String>),
    /// The search comes upon this object, which the version need names and which has no DT_VERSYM: an assertion
    /// in ld.so fails.
    NoVersionTable(usize),
    /// This object defines it, and not as thread-local storage, as the reference has it.
    NotThreadLocal(usize),
    /// This object defines it as protected, and does not allow programs to copy it or to stand in for its address.
    Protected(usize),
}

/// The references of a closure that are not known to be met, in load order.
///
/// References whose version need has failed, or whose library is missing, are left out: both are reported as what
/// they are.
pub fn undefined_symbols(
    closure: &Closure,
    rules: &Rules,
    checks: &[VersionCheck],
    known: &Known,
) -> Vec<Undefined> {
    let Some(program) = closure.objects.first().and_then(|object| object.file.object.elf()) else {
        return Vec::new();
    };
    // A static program relocates itself; a broken one dies first.
    if !matches!(program.linkage(), Linkage::Dynamic | Linkage::SharedLibrary) {
        return Vec::new();
    }
    let mut references = references(closure, rules, known);
    references.sort_by_key(|reference| reference.hash);
    let scope = Scope::new(closure, rules, checks, known, &references);
    let mut undefined = Vec::new();
    // The previous reference that glibc's lists meet: many objects refer to the same symbols.
    let mut listed: Option<&Reference> = None;
    for reference in &references {
        if listed.is_some_and(|known| known.is_like(reference)) {
            continue;
        }
        match scope.verdict(reference) {
            Verdict::Met => {}
            Verdict::Listed => listed = Some(reference),
            Verdict::Unmet(unmet) => undefined.push(unmet),
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
    /// Its own object and definition do not count: it is a COPY relocation's.
    is_copy: bool,
    at_start: bool,
}

impl<'a> Reference<'a> {
    fn name(&self) -> &'a [u8] {
        self.elf.symbols.name_bytes(self.symbol)
    }

    /// The node and whose it is; `None` for a reference without a version.
    fn version(&self) -> Option<Version<'a>> {
        Version::of(self.elf, self.symbol.version)
    }

    /// Whether it asks for the same name and version.
    fn is_like(&self, other: &Reference) -> bool {
        self.hash == other.hash
            && self.name() == other.name()
            && self.version().map(|version| version.node) == other.version().map(|version| version.node)
    }

    /// Whether the entry in a program's procedure linkage table would do.
    fn takes_address(&self) -> bool {
        !self.is_copy && !self.symbol.uses.has(Uses::SLOT.and(Uses::CALL).and(Uses::TLS))
    }
}

/// The version of a reference.
#[derive(Clone, Copy)]
struct Version<'a> {
    node: &'a str,
    /// The file that the version need names; `None` for a node of the object's own.
    file: Option<&'a str>,
    /// Only a definition under this very node will do.
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
            file: Some(&need.file),
            is_hidden: need.index & 0x8000 != 0,
        });
        need.or_else(|| {
            let own = elf.verdef.iter().find(|def| !def.base && def.index & 0x7fff == index)?;
            Some(Version { node: &own.node, file: None, is_hidden: false })
        })
    }
}

/// Every lookup of a closure; weak ones are met by nothing, too.
fn references<'a>(closure: &'a Closure, rules: &Rules, known: &Known) -> Vec<Reference<'a>> {
    let mut references = Vec::new();
    for (by, object) in closure.objects.iter().enumerate() {
        let Some(elf) = object.file.object.elf() else { continue };
        let binds_now = known.binds_now || elf.binds_now() || matches!(rules, Rules::Musl(_));
        for symbol in elf.symbols.iter().filter(|symbol| symbol.is_looked_up() && !symbol.weak) {
            let is_copy = symbol.uses.has(Uses::COPY);
            // A definition of its own meets a reference, if no other object's does before.
            if (symbol.offer == Offer::Everything && !is_copy) || elf.symbols.name_bytes(symbol).is_empty() {
                continue;
            }
            references.push(Reference {
                hash: hash(elf.symbols.name_bytes(symbol)),
                by,
                elf,
                symbol,
                is_copy,
                at_start: binds_now
                    || symbol.uses.has(Uses::DATA.and(Uses::CALL).and(Uses::COPY).and(Uses::TLS)),
            });
        }
    }
    references
}

/// One symbol that an object defines.
struct Definition<'a> {
    hash: u64,
    /// In load order. Of build copies, in the order in which they were come upon.
    object: usize,
    elf: &'a ElfFacts,
    symbol: &'a Symbol,
}

/// Definitions sorted by a hash of their names, then by object.
struct Definitions<'a> {
    list: Vec<Definition<'a>>,
}

impl<'a> Definitions<'a> {
    /// The definitions whose name may be one that is referred to.
    fn new(objects: impl Iterator<Item = (usize, &'a ElfFacts)>, wanted: &Wanted) -> Definitions<'a> {
        let mut list = Vec::new();
        for (object, elf) in objects.filter(|(_, elf)| elf.symbols.has_hash()) {
            for symbol in elf.symbols.iter().filter(|symbol| symbol.offer != Offer::Nothing) {
                let hash = hash(elf.symbols.name_bytes(symbol));
                if wanted.may_have(hash) {
                    list.push(Definition { hash, object, elf, symbol });
                }
            }
        }
        // Stable: symbols of one object stay in file order.
        list.sort_by_key(|definition| (definition.hash, definition.object));
        Definitions { list }
    }

    fn of<'s>(&'s self, reference: &'s Reference) -> impl Iterator<Item = &'s Definition<'a>> {
        let start = self.list.partition_point(|definition| definition.hash < reference.hash);
        let same = self.list[start..].iter().take_while(move |definition| definition.hash == reference.hash);
        let name = reference.name();
        same.filter(move |definition| definition.elf.symbols.name_bytes(definition.symbol) == name)
    }

    /// The first definition that meets a reference, in the order of objects.
    fn find<'s>(&'s self, reference: &'s Reference, search: &Search) -> Answer<'s, 'a> {
        let version = reference.version();
        // The visible versions of one object, of a reference without one.
        let mut visible: Option<(&Definition<'a>, usize)> = None;
        for definition in self.of(reference) {
            if let Some((only, 1)) = visible.filter(|(only, _)| only.object != definition.object) {
                return Answer::Found(only);
            }
            visible = visible.filter(|(only, _)| only.object == definition.object);
            let is_passed_over = (reference.is_copy && Some(definition.object) == search.program)
                || (definition.symbol.offer == Offer::Address && !reference.takes_address());
            if is_passed_over {
                continue;
            }
            match fits(definition, version, search.rules) {
                Fit::Yes => return Answer::Found(definition),
                Fit::No => {}
                Fit::IfOnly => {
                    visible = Some(visible.map_or((definition, 1), |(only, count)| (only, count + 1)));
                }
                Fit::Untold => {
                    let file = version.and_then(|version| version.file);
                    return match file
                        .is_some_and(|file| search.answering.get(file) == Some(&definition.object))
                    {
                        true => Answer::Asserts(definition.object),
                        false => Answer::Found(definition),
                    };
                }
            }
        }
        match visible {
            Some((only, 1)) => Answer::Found(only),
            _ => Answer::Nowhere,
        }
    }
}

/// What becomes of a reference.
enum Verdict {
    Met,
    /// The lists of the runtime's exports have it.
    Listed,
    Unmet(Undefined),
}

/// What a search among definitions comes to.
enum Answer<'l, 'a> {
    Found(&'l Definition<'a>),
    Asserts(usize),
    Nowhere,
}

/// Whether one definition meets a reference.
enum Fit {
    Yes,
    No,
    /// If its object has no other visible version of that name.
    IfOnly,
    /// The object has no DT_VERSYM and the reference a version: it does, but for the object that the need names.
    Untold,
}

/// Source: `check_match` in glibc's elf/dl-lookup.c; `gnu_lookup` in musl's ldso/dynlink.c, which passes over what
/// is hidden.
fn fits(definition: &Definition, version: Option<Version>, rules: &Rules) -> Fit {
    let Definition { elf, symbol, .. } = definition;
    let (index, hidden) = (symbol.version & 0x7fff, symbol.version & 0x8000 != 0);
    if let Rules::Musl(_) = rules {
        return if hidden { Fit::No } else { Fit::Yes };
    }
    match version {
        Some(_) if !elf.has_versym => Fit::Untold,
        None if !elf.has_versym || index < 3 => Fit::Yes,
        None if hidden => Fit::No,
        None => Fit::IfOnly,
        Some(wanted) => match Version::of(elf, symbol.version) {
            Some(node) if node.node == wanted.node => Fit::Yes,
            Some(_) => Fit::No,
            None if hidden || wanted.is_hidden => Fit::No,
            None => Fit::Yes,
        },
    }
}

/// The names that are referred to, as one bit of each hash: most definitions are nobody's, and are not sorted.
struct Wanted {
    bits: Vec<u64>,
}

impl Wanted {
    const BITS: u64 = 1 << 16;

    fn new(references: &[Reference]) -> Wanted {
        let mut bits = vec![0; (Wanted::BITS / 64) as usize];
        for reference in references {
            let at = reference.hash % Wanted::BITS;
            bits[(at / 64) as usize] |= 1 << (at % 64);
        }
        Wanted { bits }
    }

    fn may_have(&self, hash: u64) -> bool {
        let at = hash % Wanted::BITS;
        self.bits[(at / 64) as usize] >> (at % 64) & 1 == 1
    }
}

/// What a search goes by.
struct Search<'a> {
    rules: &'a Rules,
    /// The object that a COPY relocation passes over; `None` among build copies, where it is not.
    program: Option<usize>,
    answering: &'a BTreeMap<&'a str, usize>,
}

/// What is loaded, and what it defines.
struct Scope<'a> {
    closure: &'a Closure,
    rules: &'a Rules,
    checks: &'a [VersionCheck],
    known: &'a Known<'a>,
    answering: BTreeMap<&'a str, usize>,
    /// Those of the loaded ELF objects.
    definitions: Definitions<'a>,
    /// Those of the build world's copies of system objects whose symbols are not known, and of what these need.
    presumed: Definitions<'a>,
    /// The system objects whose exports are listed.
    listed: Vec<&'a SystemObject>,
    /// The system objects whose symbols are not known in any way.
    unknown: Vec<&'a str>,
    /// Something needed is not there: what it would define is not known.
    is_incomplete: bool,
}

impl<'a> Scope<'a> {
    fn new(
        closure: &'a Closure,
        rules: &'a Rules,
        checks: &'a [VersionCheck],
        known: &'a Known<'a>,
        references: &[Reference],
    ) -> Scope<'a> {
        let wanted = Wanted::new(references);
        let loaded = closure.objects.iter().enumerate();
        let loaded = loaded.filter_map(|(index, object)| Some((index, object.file.object.elf()?)));
        let definitions = Definitions::new(loaded, &wanted);
        let systems = closure.objects.iter().filter_map(|object| unread(&object.file.object));
        let is_listed = |system: &SystemObject| known.exports.is_some_and(|exports| exports.covers(system));
        let (listed, unlisted): (Vec<_>, Vec<_>) = systems.partition(|system| is_listed(system));
        let unlisted: Vec<&str> = unlisted.into_iter().map(|system| &*system.soname).collect();
        let unknown = unlisted.iter().filter(|soname| !known.build.contains_key(**soname)).copied().collect();
        let answering = closure.answering();
        let copies = build_copies(unlisted, known.build, |name| {
            answering.contains_key(name) || known.exports.is_some_and(|exports| exports.knows(name))
        });
        let presumed = Definitions::new(copies.into_iter().enumerate(), &wanted);
        let is_incomplete = closure.absent_interpreter.is_some()
            || closure.needs.iter().any(|need| !matches!(need.outcome, Outcome::Loaded(_)));
        Scope {
            closure,
            rules,
            checks,
            known,
            answering,
            definitions,
            presumed,
            listed,
            unknown,
            is_incomplete,
        }
    }

    /// What becomes of a reference.
    fn verdict(&self, reference: &Reference) -> Verdict {
        let search = Search { rules: self.rules, program: Some(0), answering: &self.answering };
        let version = reference.version();
        let why = match self.definitions.find(reference, &search) {
            Answer::Found(definition) => self.clash(reference, definition),
            Answer::Asserts(object) => Some(Unmet::NoVersionTable(object)),
            Answer::Nowhere => match (self.listed(reference), version) {
                (SymbolAnswer::Floor, _) => return Verdict::Listed,
                // The check of versions says what is to be said.
                (SymbolAnswer::Later(_) | SymbolAnswer::Uncertain, Some(_)) => return Verdict::Listed,
                (SymbolAnswer::Later(_) | SymbolAnswer::Uncertain, None) => Some(self.unknown(&[])),
                (SymbolAnswer::Absent | SymbolAnswer::Unknown, _) => self.elsewhere(reference),
            },
        };
        let Some(why) = why else { return Verdict::Met };
        Verdict::Unmet(Undefined {
            by: reference.by,
            symbol: reference.elf.symbols.name(reference.symbol).into_owned(),
            version: version.and_then(|version| Some((version.file?.to_owned(), version.node.to_owned()))),
            at_start: reference.at_start,
            why,
        })
    }

    /// Why the definition that is found will not do.
    ///
    /// Source: CHECK_STATIC_TLS in glibc's elf/dynamic-link.h, for an object without thread-local storage;
    /// `_dl_check_protected_symbol` in sysdeps/generic/dl-protected.h, since glibc 2.35.
    fn clash(&self, reference: &Reference, definition: &Definition) -> Option<Unmet> {
        let Rules::Glibc(rules) = self.rules else { return None };
        if reference.symbol.uses.has(Uses::TLS) && definition.symbol.thread_local == Some(false) {
            return Some(Unmet::NotThreadLocal(definition.object));
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
        is_refused.then_some(Unmet::Protected(definition.object))
    }

    /// What is wrong with a reference that no file of ours and no list meets; `None` if another library of the
    /// runtime's is taken to.
    fn elsewhere(&self, reference: &Reference) -> Option<Unmet> {
        let version = reference.version();
        // A library that a copy needs may have another place in load order; whether it has the symbol is all that is
        // asked of it.
        let search = Search { rules: self.rules, program: None, answering: &BTreeMap::new() };
        if matches!(self.presumed.find(reference, &search), Answer::Found(_)) {
            return None;
        }
        match version.and_then(|version| Some((version.file?, version.node))) {
            Some((file, node)) => self.of_node(reference.by, file, node),
            None if self.is_incomplete => None,
            None if self.unknown.is_empty() => Some(Unmet::Nowhere),
            None => {
                let mut libraries: Vec<String> =
                    self.unknown.iter().map(|&soname| soname.to_owned()).collect();
                libraries.sort_unstable();
                Some(Unmet::Unknown(libraries))
            }
        }
    }

    /// The same for a reference to a node that the version need expects in `file`.
    fn of_node(&self, by: usize, file: &str, node: &str) -> Option<Unmet> {
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
                    // A copy from before the node says nothing of what the node holds.
                    match copy.verdef.iter().any(|def| !def.base && def.node == node) {
                        true => Some(Unmet::Nowhere),
                        false => Some(Unmet::Unknown(vec![system.soname.clone()])),
                    }
                }
                _ => Some(Unmet::Nowhere),
            },
        }
    }

    /// What the lists of the runtime's exports say.
    fn listed(&self, reference: &Reference) -> SymbolAnswer<'a> {
        let (Some(exports), Rules::Glibc(_)) = (self.known.exports, self.rules) else {
            return SymbolAnswer::Unknown;
        };
        let node = reference.version().map(|version| version.node);
        exports.answer(&self.listed, &reference.elf.symbols.name(reference.symbol), node)
    }

    /// Whether every symbol of a system object is known.
    fn is_listed(&self, system: &SystemObject) -> bool {
        self.known.exports.is_some_and(|exports| exports.covers(system))
    }

    /// These libraries may have it; if none is named, those of the lists, in a later image.
    fn unknown(&self, sonames: &[&str]) -> Unmet {
        let listed = self.listed.iter().map(|system| &*system.soname);
        let mut libraries: Vec<String> = match sonames {
            [] => listed.filter(|soname| !is_glibc_part(soname)).map(str::to_owned).collect(),
            sonames => sonames.iter().map(|&soname| soname.to_owned()).collect(),
        };
        libraries.sort_unstable();
        Unmet::Unknown(libraries)
    }
}

/// The build world's copies of these libraries, and of those that they need and the closure does not show, because
/// the needs of a table's libraries are not known.
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
