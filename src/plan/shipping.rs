//! The libraries that the draft ships: those that a walk misses and the build world has, and those that come before an
//! attached layer's copy. In the end those that no walk loads are dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Laid, Needing};
use super::search::BuildSearch;
use super::{Asked, Conflict, Place, Request, Shipped, WhyNot};
use crate::elf::{ElfFacts, Offer};
use crate::lambda::Walked;
use crate::layout::Layout;
use crate::loader::{Closure, Need, Outcome, Rule};
use crate::paths::file_name;
use crate::world::Object;

impl Draft {
    /// Ships libraries that the walks miss and the build world has. Returns whether the walks must be repeated.
    pub fn ship_missing(
        &mut self,
        request: &Request,
        search: &mut BuildSearch,
        laid: &Laid,
        walks: &[Walked],
    ) -> bool {
        let mut grew = false;
        for closure in walks.iter().map(|walked| &walked.closure) {
            for need in &closure.needs {
                if !self.is_unmet(closure, need) || self.not_shipped.contains_key(&need.name) {
                    continue;
                }
                let Some(object) = needing(request, laid, need.by, closure) else { continue };
                let entry = self.entry(request, &object, need);
                if self.serves(&object.source, &entry) {
                    continue;
                }
                let is_opened = need.by == 0 && request.extra.contains(&entry);
                let object = Needing { may_rename: object.may_rename || is_opened, ..object };
                let chosen = search.choose(&object, &entry, request.exclude);
                match chosen.and_then(|candidate| self.ship(&object.source, &entry, candidate)) {
                    Ok(()) => grew = true,
                    Err(reason) => {
                        self.not_shipped.insert(need.name.clone(), reason);
                    }
                }
            }
        }
        grew
    }

    /// Ships our copy where an attached layer's copy lacks a version or a symbol, or where the user wishes it:
    /// /var/task/lib comes before /opt/lib, so ours loads first.
    pub fn ship_before_layers(
        &mut self,
        request: &Request,
        search: &mut BuildSearch,
        laid: &Laid,
        walks: &[Walked],
    ) -> bool {
        let mut grew = false;
        for walked in walks {
            let closure = &walked.closure;
            for (index, name, nodes) in layer_copies(request, walked) {
                let first = closure.first_need(index).map_or(0, |need| need.by);
                let Some(object) = needing(request, laid, first, closure) else { continue };
                if self.shipped.contains_key(&name) {
                    continue;
                }
                let Ok(candidate) = search.choose(&object, &name, request.exclude) else { continue };
                let offers = |node: &&str| candidate.facts.verdef.iter().any(|def| def.node == **node);
                let has_more =
                    || request.pin.matches(&name) || lacks_symbols(closure, index, &candidate.facts);
                if nodes.iter().all(|node| offers(&node.as_str())) && (!nodes.is_empty() || has_more()) {
                    grew |= self.ship(&object.source, &name, candidate).is_ok();
                }
            }
        }
        grew
    }

    /// The wishes for libraries where an attached layer's copy is still loaded.
    pub fn wishes_before_layers(&self, request: &Request, walks: &[Walked]) -> BTreeMap<String, Conflict> {
        let mut conflicts = BTreeMap::new();
        for walked in walks {
            for (index, name, _) in layer_copies(request, walked) {
                if request.pin.matches(&name) {
                    let path = walked.closure.objects[index].absolute_path();
                    let why =
                        if self.shipped.contains_key(&name) { WhyNot::Loses(path) } else { WhyNot::NoCopy };
                    let conflict = Conflict { asked: Asked::Wish, ..Conflict::new(&name, why) };
                    conflicts.insert(name, conflict);
                }
            }
        }
        conflicts
    }

    /// Drops libraries that no walk loads: no file needs them. Returns whether any was dropped.
    pub fn drop_unreached(&mut self, layout: &Layout, laid: &Laid, walks: &[Walked]) -> bool {
        let reached = reached(laid, walks);
        let place = if self.private.is_some() { Place::Private } else { Place::Lib };
        let is_reached = |name: &String, place: Place| reached.contains(&(place, name.as_str()));
        let before = (self.shipped.len(), self.pins.len());
        self.shipped.retain(|name, library| library.is_interpreter || is_reached(name, place));
        let loaded: BTreeSet<String> = walks
            .iter()
            .flat_map(|walked| &walked.closure.objects)
            .map(|object| object.absolute_path())
            .collect();
        self.pins.retain(|name, pin| match pin.is_given {
            true => loaded.contains(&format!("{}/{name}", layout.pinned_path())),
            false => is_reached(name, Place::Pinned),
        });
        (self.shipped.len(), self.pins.len()) != before
    }

    /// Whether a need finds no file, or a file of the system that must not be loaded.
    fn is_unmet(&self, closure: &Closure, need: &Need) -> bool {
        match need.outcome {
            Outcome::Missing(_) => true,
            Outcome::Loaded(index) => {
                self.private.is_some() && matches!(closure.objects[index].file.object, Object::System(_))
            }
            Outcome::Fatal { .. } => false,
        }
    }
}

/// An object of a walk before its edits; `None` for an object that is not part of the bundle.
pub(super) fn needing(request: &Request, laid: &Laid, index: usize, closure: &Closure) -> Option<Needing> {
    if index == 0 {
        let may_rename = request.may_edit;
        return Some(Needing { facts: request.facts.clone(), source: request.path.to_owned(), may_rename });
    }
    let path = &closure.objects[index].absolute_path();
    if let Some(library) = laid.at(path) {
        let (facts, source) = (library.facts.clone(), library.source.clone());
        return Some(Needing { facts, source, may_rename: request.may_edit });
    }
    // A file that is a member whatever is planned is not edited.
    let facts = request.installed.at(path)?.object()?.clone();
    Some(Needing { facts, source: path.clone(), may_rename: false })
}

/// Whether a layer's copy lacks a symbol that an object refers to and our copy defines.
fn lacks_symbols(closure: &Closure, index: usize, ours: &ElfFacts) -> bool {
    let defined = |facts: &ElfFacts| -> BTreeSet<Vec<u8>> {
        let symbols = facts.symbols.iter().filter(|symbol| symbol.offer == Offer::Everything);
        symbols.map(|symbol| facts.symbols.name_bytes(symbol).to_vec()).collect()
    };
    let Some(layer) = closure.objects[index].file.object.elf().map(defined) else { return false };
    let more: BTreeSet<Vec<u8>> = defined(ours).difference(&layer).cloned().collect();
    !more.is_empty()
        && closure.objects.iter().filter_map(|object| object.file.object.elf()).any(|elf| {
            let mut references =
                elf.symbols.iter().filter(|symbol| symbol.is_looked_up() && !symbol.weak && !symbol.defined);
            references.any(|symbol| more.contains(elf.symbols.name_bytes(symbol)))
        })
}

/// Objects of attached layers, each with its index, the needed name, and the version nodes that it lacks and that our
/// copy must have.
pub(super) fn layer_copies(request: &Request, walked: &Walked) -> Vec<(usize, String, Vec<String>)> {
    // Our layer is merged with the others: which copy stays cannot be known.
    if request.layout.kind != crate::layout::BundleKind::Function {
        return Vec::new();
    }
    let closure = &walked.closure;
    let mut copies: Vec<(usize, String, Vec<String>)> = Vec::new();
    for (index, object) in closure.objects.iter().enumerate().skip(1) {
        let is_layers = object.path.starts_with("/opt/") && matches!(object.file.object, Object::Elf(_));
        let name = object.names.iter().find(|name| !name.contains('/')).filter(|_| is_layers);
        let Some(name) = name else { continue };
        let lacks = walked.checks.iter().filter(|check| {
            check.object == Some(index)
                && check.answer == crate::loader::VersionAnswer::NotThere
                && !check.need.weak
        });
        let nodes: Vec<String> = lacks.map(|check| check.need.node.clone()).collect();
        copies.push((index, name.clone(), nodes));
    }
    copies
}

/// The libraries that any walk loads or asks for, with the targets of links among them.
fn reached<'a>(laid: &'a Laid, walks: &[Walked]) -> BTreeSet<(Place, &'a str)> {
    let mut reached: BTreeSet<(Place, &str)> = BTreeSet::new();
    let mut keep = |library: &'a Shipped| {
        reached.insert((library.place, library.name.as_str()));
        let is_file = |other: &&Shipped| other.source == library.source && other.link_to.is_none();
        let file = laid.libraries.iter().find(is_file).filter(|_| library.link_to.is_some());
        reached.extend(file.map(|file| (file.place, file.name.as_str())));
    };
    for closure in walks.iter().map(|walked| &walked.closure) {
        for object in &closure.objects {
            laid.at(&object.absolute_path()).into_iter().for_each(&mut keep);
        }
        for need in &closure.needs {
            let named = |library: &&Shipped| library.name == file_name(&need.name);
            match need.outcome {
                // Found by device and inode: a second name of the same file.
                Outcome::Loaded(index) if need.rule == Rule::AlreadyLoaded => {
                    let object = &closure.objects[index];
                    let by_name = object.file.object.soname() == Some(&need.name) || object.path == need.name;
                    let source = laid.at(&object.absolute_path()).map(|library| &library.source);
                    if !by_name && file_name(&object.path) != need.name {
                        laid.libraries
                            .iter()
                            .filter(named)
                            .filter(|it| Some(&it.source) == source)
                            .for_each(&mut keep);
                    }
                }
                Outcome::Loaded(_) => {}
                // The library is in the bundle and yet not loaded: the user set a library path, or Lambda's loader
                // refuses the file. It stays, and the audit reports it.
                _ => laid.libraries.iter().filter(named).for_each(&mut keep),
            }
        }
    }
    reached
}
