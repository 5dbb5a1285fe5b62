//! Which files of a closure refer to a symbol or need a symbol version, and what meets each reference.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::audit::{Subject, SymbolOrigin, label};
use crate::baseline::{self, NodeAnswer, SymbolAnswer, SystemObject, is_glibc_part};
use crate::elf::{ElfFacts, Offer, Symbol, VersionNeed};
use crate::lambda::Walked;
use crate::loader::{Undefined, UnmetReference, VersionAnswer, VersionCheck};
use crate::plan::{BoundTo, BundlePlan, Rebound, not_rebindable};
use crate::repair::COMPAT;
use crate::world::Object;

use super::{AskerReport, LibrarySource};

/// What meets a reference on the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceResult {
    /// The definition that it was linked to.
    Bound,
    /// Another definition, by an edit of the bundle's copy.
    Rebound,
    /// The object that this tool adds to the bundle.
    Supplied,
    /// Nothing: it is weak, and null.
    Null,
    /// A definition that only later images of the runtime have.
    Recent,
    /// Nothing: ld.so refuses the file, because the version is missing.
    Refused,
    /// Nothing.
    Undefined,
    /// It is not known.
    Unknown,
}

/// One symbol or symbol version, with the references to it.
#[derive(Debug, Clone, Serialize)]
pub struct SymbolExplanation {
    /// The symbol, or the symbol version such as `GLIBC_2.38`.
    pub name: String,
    /// Which of the two it is.
    pub kind: NameKind,
    /// The references, file by file.
    pub references: Vec<ReferenceReport>,
    /// The objects of the closure that define the symbol, or have the version.
    pub defined_by: Vec<DefinitionReport>,
}

/// The kinds of names that are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameKind {
    /// A symbol.
    Symbol,
    /// A symbol version.
    Version,
}

/// One reference.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceReport {
    /// The file that refers to the symbol.
    pub object: String,
    /// The objects from the program to that file, each the first to need the next.
    pub chain: Vec<String>,
    /// The symbol; `null` for a version that no symbol of the file has, such as `GLIBC_ABI_DT_RELR`.
    pub symbol: Option<String>,
    /// The symbol version.
    pub version: Option<String>,
    /// The library that the version is expected in.
    pub library: Option<String>,
    /// What meets it on the runtime.
    pub result: ReferenceResult,
    /// The symbol it is bound to; `null` if there is none.
    pub to: Option<String>,
    /// The object files of the build that refer to the symbol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<AskerReport>,
    /// The text of the result.
    #[serde(skip)]
    words: String,
    /// The text about the build.
    #[serde(skip)]
    origin: Vec<String>,
}

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DefinitionReport {
    /// The object that defines it.
    pub object: String,
    /// The source of that object.
    pub from: LibrarySource,
    /// The symbol version.
    pub version: Option<String>,
}

/// A file of the closure with its facts before any edit.
struct ReferringFile<'a> {
    index: usize,
    label: String,
    facts: &'a ElfFacts,
    /// Its rebound references.
    rebound: &'a [Rebound],
}

/// The files of the closure that are not the runtime's.
fn files<'a>(subject: &Subject<'a>, plan: &'a BundlePlan, walked: &'a Walked) -> Vec<ReferringFile<'a>> {
    let mut files = Vec::new();
    for (index, object) in walked.closure.objects.iter().enumerate() {
        let Object::Elf(edited) = &object.file.object else { continue };
        let label = label(subject, &walked.closure, index);
        if label == COMPAT {
            continue;
        }
        let shipped =
            plan.shipped.iter().find(|library| library.name == label).map(|library| &*library.facts);
        let rebound = plan.rebound.iter().find(|file| match &file.library {
            None => index == 0,
            Some(name) => index != 0 && *name == label,
        });
        files.push(ReferringFile {
            index,
            label,
            facts: if index == 0 { subject.program } else { shipped.unwrap_or(edited) },
            rebound: rebound.map_or(&[], |file| &file.references),
        });
    }
    files
}

/// The symbols and symbol versions that the files of a closure refer to.
pub fn referenced(subject: &Subject, plan: &BundlePlan) -> BTreeSet<String> {
    let Some(walked) = plan.walks.first() else { return BTreeSet::new() };
    let mut names = BTreeSet::new();
    for file in files(subject, plan, walked) {
        names.extend(file.facts.verneed.iter().map(|need| need.node.clone()));
        let symbols = file.facts.symbols.iter().filter(|symbol| !symbol.defined);
        names.extend(symbols.map(|symbol| file.facts.symbols.name(symbol).into_owned()));
    }
    names
}

/// Explains the symbols and symbol versions that `wanted` picks, sorted by name.
pub fn explain_symbols(
    subject: &Subject,
    plan: &BundlePlan,
    wanted: impl Fn(&str) -> bool,
) -> Vec<SymbolExplanation> {
    let Some(walked) = plan.walks.first() else { return Vec::new() };
    let mut explanations: BTreeMap<(NameKind, String), SymbolExplanation> = BTreeMap::new();
    for file in files(subject, plan, walked) {
        for reference in references(&file) {
            let names =
                [(NameKind::Symbol, reference.symbol.as_ref()), (NameKind::Version, reference.node())];
            for (kind, name) in names.into_iter().filter_map(|(kind, name)| Some((kind, name?))) {
                if wanted(name) {
                    let explanation =
                        explanations.entry((kind, name.clone())).or_insert_with(|| new(kind, name));
                    explanation.references.push(report(subject, walked, &file, &reference));
                }
            }
        }
    }
    for explanation in explanations.values_mut() {
        explanation.defined_by = match explanation.kind {
            NameKind::Version => having(subject, walked, &explanation.name),
            NameKind::Symbol => defining(subject, walked, &explanation.name),
        };
    }
    explanations.into_values().collect()
}

fn new(kind: NameKind, name: &str) -> SymbolExplanation {
    SymbolExplanation { name: name.to_owned(), kind, references: Vec::new(), defined_by: Vec::new() }
}

/// A reference, or a version that no symbol of the file has.
struct SymbolReference<'a> {
    symbol: Option<String>,
    is_weak: bool,
    need: Option<&'a VersionNeed>,
}

impl SymbolReference<'_> {
    fn node(&self) -> Option<&String> {
        self.need.map(|need| &need.node)
    }
}

fn references<'a>(file: &ReferringFile<'a>) -> Vec<SymbolReference<'a>> {
    let facts = file.facts;
    let mut references = Vec::new();
    let mut unused: Vec<&VersionNeed> = facts.verneed.iter().collect();
    for symbol in facts.symbols.iter().filter(|symbol| !symbol.defined) {
        let is_of = |need: &VersionNeed| need.index & 0x7fff == symbol.version & 0x7fff;
        let need = facts.verneed.iter().find(|need| is_of(need));
        unused.retain(|need| !is_of(need));
        let name = facts.symbols.name(symbol).into_owned();
        references.push(SymbolReference { symbol: Some(name), is_weak: symbol.weak, need });
    }
    let unused =
        unused.into_iter().map(|need| SymbolReference { symbol: None, is_weak: false, need: Some(need) });
    references.extend(unused);
    references
}

/// What becomes of a reference.
struct Fate {
    result: ReferenceResult,
    to: Option<String>,
    words: String,
}

impl Fate {
    fn new(result: ReferenceResult, to: Option<&String>, words: impl Into<String>) -> Fate {
        Fate { result, to: to.cloned(), words: words.into() }
    }
}

fn report(
    subject: &Subject,
    walked: &Walked,
    file: &ReferringFile,
    reference: &SymbolReference,
) -> ReferenceReport {
    let Fate { result, to, words } = fate(subject, walked, file, reference);
    let chain = walked.closure.chain(file.index).into_iter();
    ReferenceReport {
        object: file.label.clone(),
        chain: chain.map(|at| label(subject, &walked.closure, at)).collect(),
        symbol: reference.symbol.clone(),
        version: reference.node().cloned(),
        library: reference.need.map(|need| need.file.clone()),
        result,
        to,
        asked_by: Vec::new(),
        words,
        origin: Vec::new(),
    }
}

fn fate(subject: &Subject, walked: &Walked, file: &ReferringFile, reference: &SymbolReference) -> Fate {
    let symbol = reference.symbol.as_ref();
    let is_rebound =
        |rebound: &&Rebound| Some(&rebound.symbol) == symbol && Some(&rebound.from) == reference.node();
    if let Some(rebound) = file.rebound.iter().find(is_rebound) {
        return rebound_fate(rebound, &subject.lambda.label());
    }
    let is_of = |check: &&VersionCheck| check.by == file.index && Some(&check.need) == reference.need;
    if let Some(check) = walked.checks.iter().find(is_of) {
        return unfit_fate(subject, file, reference, check);
    }
    let is_undefined = |it: &&Undefined| it.by == file.index && Some(&it.symbol) == symbol;
    if let Some(undefined) = walked.undefined.iter().find(is_undefined) {
        return match &undefined.why {
            UnmetReference::Unknown(_) => Fate::new(
                ReferenceResult::Unknown,
                None,
                "it is not known whether a library of the runtime defines it",
            ),
            _ => Fate::new(
                ReferenceResult::Undefined,
                None,
                "no library that loads defines it as it is needed",
            ),
        };
    }
    let is_defined = || symbol.is_some_and(|symbol| !defining(subject, walked, symbol).is_empty());
    if reference.is_weak && reference.need.is_none() && !is_defined() {
        return Fate::new(ReferenceResult::Null, None, "null: the reference is weak, and nothing defines it");
    }
    Fate::new(ReferenceResult::Bound, symbol, "bound as it was linked")
}

/// What becomes of a reference whose version is not in the floor of the library that loads.
fn unfit_fate(
    subject: &Subject,
    file: &ReferringFile,
    reference: &SymbolReference,
    check: &VersionCheck,
) -> Fate {
    let (symbol, library) = (reference.symbol.as_ref(), &check.need.file);
    match &check.answer {
        VersionAnswer::Later(image) => {
            let runtime = subject.lambda.label();
            let words =
                format!("bound to `{library}`, which has the version only since image {image} of {runtime}");
            Fate::new(ReferenceResult::Recent, symbol, words)
        }
        VersionAnswer::NotThere | VersionAnswer::NoSuchFile if !check.need.weak => {
            let mut words = format!("ld.so refuses the file: `{library}` does not have the version");
            if could_be_rebound(subject, file, reference) {
                words.push_str("; this reference could be rebound, but not all with the version");
            }
            Fate::new(ReferenceResult::Refused, None, words)
        }
        VersionAnswer::Fits
        | VersionAnswer::NotThere
        | VersionAnswer::NoSuchFile
        | VersionAnswer::NoVersions => {
            let words = format!("bound without a version: `{library}` does not have it");
            Fate::new(ReferenceResult::Bound, symbol, words)
        }
        VersionAnswer::Uncertain | VersionAnswer::Unknown => {
            let words = format!("it is not known whether `{library}` has the version");
            Fate::new(ReferenceResult::Unknown, None, words)
        }
    }
}

/// Whether a refused reference to glibc is kept from being rebound only by others with the same version.
fn could_be_rebound(subject: &Subject, file: &ReferringFile, reference: &SymbolReference) -> bool {
    let (Some(symbol), Some(need)) = (&reference.symbol, reference.need) else { return false };
    subject.build.may_edit
        && is_glibc_part(&need.file)
        && not_rebindable(file.facts, subject.lambda, std::slice::from_ref(symbol)).is_empty()
}

fn rebound_fate(rebound: &Rebound, runtime: &str) -> Fate {
    let symbol = Some(&rebound.symbol);
    let mut fate = match &rebound.to {
        BoundTo::Null => {
            Fate::new(ReferenceResult::Null, None, "null in the bundle's copy: the reference is weak")
        }
        BoundTo::Runtime(to) => Fate::new(
            ReferenceResult::Rebound,
            Some(to),
            format!("rebound in the bundle's copy, to `{to}` of {runtime}"),
        ),
        BoundTo::Supplied => {
            Fate::new(ReferenceResult::Supplied, symbol, format!("supplied by the bundle's `{COMPAT}`"))
        }
        BoundTo::Bundle => Fate::new(
            ReferenceResult::Rebound,
            symbol,
            "rebound in the bundle's copy, to another file of the bundle",
        ),
    };
    if let Some(differs) = rebound.differs {
        fate.words.push_str(&format!("; {differs}"));
    }
    fate
}

/// The objects of the closure that have a symbol version.
fn having(subject: &Subject, walked: &Walked, node: &str) -> Vec<DefinitionReport> {
    let mut found = BTreeSet::new();
    for (index, object) in walked.closure.objects.iter().enumerate() {
        let object_label = label(subject, &walked.closure, index);
        let (from, has) = match &object.file.object {
            Object::Elf(facts) => {
                (source(subject, &object.absolute_path()), facts.verdef.iter().any(|def| def.node == node))
            }
            Object::System(system) => (
                LibrarySource::Baseline,
                matches!(system.node(node), NodeAnswer::Floor | NodeAnswer::Later(_)),
            ),
            Object::Unseen => continue,
        };
        if has {
            found.insert(DefinitionReport { object: object_label, from, version: Some(node.to_owned()) });
        }
    }
    found.into_iter().collect()
}

/// The objects of the closure that define a symbol.
fn defining(subject: &Subject, walked: &Walked, symbol: &str) -> Vec<DefinitionReport> {
    let mut found = BTreeSet::new();
    for (index, object) in walked.closure.objects.iter().enumerate() {
        let object_label = label(subject, &walked.closure, index);
        match &object.file.object {
            Object::Elf(facts) => {
                let from = source(subject, &object.absolute_path());
                for version in definitions(facts, symbol) {
                    found.insert(DefinitionReport { object: object_label.clone(), from, version });
                }
            }
            Object::System(system) => {
                for version in system_definitions(subject, system, symbol) {
                    found.insert(DefinitionReport {
                        object: object_label.clone(),
                        from: LibrarySource::Baseline,
                        version,
                    });
                }
            }
            Object::Unseen => {}
        }
    }
    found.into_iter().collect()
}

/// The versions under which a library of the runtime defines a symbol. One whose symbols are not listed is presumed to
/// define what this machine's copy defines.
fn system_definitions(subject: &Subject, system: &SystemObject, symbol: &str) -> Vec<Option<String>> {
    let exports = baseline::exports(&subject.lambda.baseline.glibc, subject.lambda.arch());
    let Some(exports) = exports.filter(|exports| exports.knows(&system.soname)) else {
        let copy = subject.build.files.get(&system.soname);
        return copy.map_or(Vec::new(), |file| definitions(&file.facts, symbol));
    };
    let is_there = |node| {
        let answer = exports.answer(&[system], symbol, Some(node));
        matches!(answer, SymbolAnswer::Floor | SymbolAnswer::Later(_))
    };
    let own = exports.definitions(symbol, None).filter(|export| export.library == system.soname);
    own.filter(|export| is_there(export.node)).map(|export| Some(export.node.to_owned())).collect()
}

/// The versions under which a file defines a symbol.
fn definitions(facts: &ElfFacts, wanted: &str) -> Vec<Option<String>> {
    let own = facts.symbols.iter().filter(|symbol| symbol.offer == Offer::Everything);
    let named = own.filter(|symbol| facts.symbols.name_bytes(symbol) == wanted.as_bytes());
    let node = |symbol: &Symbol| {
        let index = symbol.version & 0x7fff;
        let def = facts.verdef.iter().find(|def| index > 1 && def.index == index);
        def.map(|def| def.node.clone())
    };
    named.map(node).collect()
}

fn source(subject: &Subject, path: &str) -> LibrarySource {
    if subject.attached.contains(path) { LibrarySource::Layer } else { LibrarySource::Bundle }
}

impl SymbolExplanation {
    /// Returns the explanation as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.name.clone()];
        let mut last: Option<&str> = None;
        for reference in &self.references {
            if last != Some(&reference.object) {
                let title = if last.is_none() { "asked for" } else { "" };
                lines.push(format!("  {title:<9}  {}", reference.chain.join(" -> ")));
                last = Some(&reference.object);
            }
            lines.push(format!("             {}: {}", reference.name(), reference.words));
            lines.extend(reference.origin.iter().map(|line| format!("               {line}")));
        }
        let title = if self.kind == NameKind::Version { "offered" } else { "defined" };
        let places: Vec<String> = self.defined_by.iter().map(|place| place.words(&self.name)).collect();
        let places = if places.is_empty() { "nothing that loads".to_owned() } else { places.join(", ") };
        lines.push(format!("  {title:<9}  by {places}"));
        lines
    }
}

impl ReferenceReport {
    /// Adds where the reference comes from in the build.
    pub fn add_origin(&mut self, origin: &SymbolOrigin, is_verbose: bool) {
        self.asked_by = origin.askers.iter().map(AskerReport::new).collect();
        self.origin = origin.lines(is_verbose);
    }

    fn name(&self) -> String {
        match (&self.symbol, &self.version) {
            (Some(symbol), Some(version)) => format!("{symbol}@{version}"),
            (Some(name), None) | (None, Some(name)) => name.clone(),
            (None, None) => String::new(),
        }
    }
}

impl DefinitionReport {
    /// Describes the place; the version only if it is not the explained `name`.
    fn words(&self, name: &str) -> String {
        let version = self.version.as_ref().filter(|version| *version != name);
        let version = version.map_or(String::new(), |version| format!("{version}, "));
        let from = match self.from {
            LibrarySource::Baseline => "runtime",
            LibrarySource::Layer => "layer",
            _ => "bundle",
        };
        format!("{} ({version}{from})", self.object)
    }
}
