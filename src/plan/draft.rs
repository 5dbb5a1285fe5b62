//! The plan as it grows: the libraries that are shipped and pinned, and the place of each file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pins::Pin;
use super::search::{BuildSearch, Candidate};
use super::{Asked, Conflict, Place, Request, Shipped, WhyNot, edits, private, rebind};
use crate::elf::{ElfFacts, Offer};
use crate::lambda::{LambdaWorld, Member, MemberContent, Walked};
use crate::layout::Layout;
use crate::loader::{Closure, Need, Outcome, Rule};
use crate::paths::file_name;
use crate::plan::NotShipped;
use crate::world::Object;

/// The plan as it grows.
#[derive(Default)]
pub(super) struct Draft {
    /// The shipped libraries by file name, which is the needed name without a directory.
    pub shipped: BTreeMap<String, Shipped>,
    /// Our copies of the system's libraries, by SONAME.
    pub pins: BTreeMap<String, Pin>,
    /// Needs with a slash whose file is shipped: for each needing file, the entries and the files that they mean.
    pub paths: BTreeMap<String, BTreeMap<String, String>>,
    /// The reasons why missing names are not shipped.
    pub not_shipped: BTreeMap<String, NotShipped>,
    /// Pins that were asked for and refused, by the SONAME that was asked for.
    pub refused: BTreeMap<String, Conflict>,
    /// The bundle's own C library.
    pub private: Option<private::Private>,
    /// The rebound references, by the path of the file in the build world.
    pub rebound: BTreeMap<String, rebind::FileRebinding>,
}

/// The libraries of a draft in their directories.
pub(super) struct Laid {
    pub libraries: Vec<Shipped>,
    /// The index of each library, by its path on Lambda.
    by_path: BTreeMap<String, usize>,
}

impl Laid {
    pub fn at(&self, path: &str) -> Option<&Shipped> {
        self.by_path.get(path).map(|index| &self.libraries[*index])
    }
}

/// An object of the Lambda world before its edits.
pub(super) struct Needing {
    pub facts: Arc<ElfFacts>,
    /// The file in the build world.
    pub source: String,
    /// Whether needs of this file that are paths can be rewritten.
    pub may_rename: bool,
}

impl Draft {
    /// Ships a file for an entry of the file `by`: a name, or a path of the build world.
    pub fn ship(&mut self, by: &str, entry: &str, candidate: Candidate) -> Result<(), NotShipped> {
        let (name, source) = (file_name(entry), candidate.source.clone());
        match self.shipped.get(name) {
            // A directory holds one file of each name.
            Some(known) if known.source != candidate.source => return Err(NotShipped::Path),
            Some(_) => {}
            None => {
                let place = if self.private.is_some() { Place::Private } else { Place::Lib };
                let is_same = |known: &&Shipped| known.source == candidate.source && known.place == place;
                let same = self.shipped.values().find(is_same);
                let link_to = same.map(|known| known.link_to.clone().unwrap_or(known.name.clone()));
                let library = Shipped { link_to, ..Shipped::new(name, candidate, place) };
                self.shipped.insert(name.to_owned(), library);
            }
        }
        if entry.contains('/') {
            self.paths.entry(by.to_owned()).or_default().insert(entry.to_owned(), source);
        }
        Ok(())
    }

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

    /// Whether the file that this entry asks for is shipped.
    pub fn serves(&self, by: &str, entry: &str) -> bool {
        match entry.contains('/') {
            true => self.paths.get(by).is_some_and(|entries| entries.contains_key(entry)),
            false => self.shipped.contains_key(entry),
        }
    }

    pub fn is_pinning(&self) -> bool {
        !self.pins.is_empty()
    }

    /// The name under which a file is pinned.
    pub fn pinned_as(&self, source: &str) -> Option<&str> {
        self.pins.iter().find(|(_, pin)| pin.library.source == source).map(|(name, _)| name.as_str())
    }

    /// Every library in its directory. A file that is pinned has no second copy: its other names become links.
    pub fn laid(&self, layout: &Layout) -> Laid {
        let mut libraries: Vec<Shipped> = Vec::new();
        for (name, pin) in self.pins.iter().filter(|(_, pin)| !pin.is_given) {
            let link_to = self.pinned_as(&pin.library.source).filter(|first| first != name);
            libraries.push(Shipped { link_to: link_to.map(str::to_owned), ..pin.library.clone() });
        }
        for library in self.shipped.values() {
            let pinned = self.pinned_as(&library.source);
            let pinned = pinned.map(|name| format!("{}/{name}", relative(&layout.lib, &layout.pinned)));
            let link_to = pinned.or_else(|| library.link_to.clone());
            libraries.push(Shipped { link_to, ..library.clone() });
        }
        libraries.sort_by(|one, other| (&one.name, one.place).cmp(&(&other.name, other.place)));
        let path = |library: &Shipped| layout.path(&library.entry_name(layout));
        let by_path = libraries.iter().enumerate().map(|(index, library)| (path(library), index)).collect();
        Laid { libraries, by_path }
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

    /// The entry of the original file that became this need.
    fn entry(&self, request: &Request, object: &Needing, need: &Need) -> String {
        let becomes_need = |entry: &&String| {
            self.renamed(request, &object.source, entry).as_deref() == Some(need.name.as_str())
        };
        let opened = if need.by == 0 { request.extra } else { &[] };
        // A name without a slash is unchanged.
        let original = if need.name.contains('/') {
            object.facts.needed.iter().chain(opened).find(becomes_need)
        } else {
            None
        };
        original.map_or_else(|| need.entry().to_owned(), String::clone)
    }

    /// The walks of every variant, with the files as they are after their edits.
    pub fn walks(&self, request: &Request, lambda: &LambdaWorld, laid: &Laid) -> Vec<Walked> {
        let program = self.program(request, lambda);
        let members = self.members(request, laid);
        lambda.walks(&request.program_path(), &program, &self.opened(request), &members)
    }

    /// The program after its edits.
    pub fn program(&self, request: &Request, lambda: &LambdaWorld) -> Arc<ElfFacts> {
        let facts = match self.program_edits(request, lambda) {
            Some(edits) => Arc::new(edits::edited(request.facts, &edits)),
            None => request.facts.clone(),
        };
        match request.dlopened_by {
            Some(program) => Arc::new(facts.dlopened_by(program)),
            None => facts,
        }
    }

    /// The names, on Lambda, of the libraries that the user says are opened at run time.
    pub fn libs(&self, request: &Request) -> Vec<String> {
        let renamed = |name: &String| self.renamed(request, request.path, name);
        request.extra.iter().map(|name| renamed(name).unwrap_or_else(|| name.clone())).collect()
    }

    /// All names that are opened at run time.
    pub fn opened(&self, request: &Request) -> Vec<String> {
        let by_libc = self.private.iter().flat_map(|private| private.opened.iter().cloned());
        self.libs(request).into_iter().chain(by_libc).collect()
    }

    /// The libraries and the members of the request, as the Lambda world sees them.
    pub fn members(&self, request: &Request, laid: &Laid) -> Vec<Member> {
        let content = |library: &Shipped| match (&library.link_to, self.library_edits(request, library)) {
            (Some(target), _) => MemberContent::Link(target.clone()),
            (None, Some(edits)) => MemberContent::Object(Arc::new(edits::edited(&library.facts, &edits))),
            (None, None) => MemberContent::Object(library.facts.clone()),
        };
        let member = |library: &Shipped| Member {
            path: request.layout.path(&library.entry_name(request.layout)),
            content: content(library),
        };
        let compat = self.brings_compat(request).then(|| rebind::compat_member(request)).flatten();
        request.members.iter().cloned().chain(laid.libraries.iter().map(member)).chain(compat).collect()
    }

    /// The libraries, each with its edits.
    pub fn edited(&self, request: &Request, laid: Laid) -> Vec<Shipped> {
        let edited = |library: Shipped| Shipped { edits: self.library_edits(request, &library), ..library };
        laid.libraries.into_iter().map(edited).collect()
    }

    /// The wishes for libraries where an attached layer's copy is still loaded.
    pub fn wishes_before_layers(&self, request: &Request, walks: &[Walked]) -> BTreeMap<String, Conflict> {
        let mut conflicts = BTreeMap::new();
        for walked in walks {
            for (index, name, _) in layer_copies(request, walked) {
                if request.pin.matches(&name) {
                    let path = &walked.closure.objects[index].path;
                    let why = if self.shipped.contains_key(&name) {
                        WhyNot::Loses(path.clone())
                    } else {
                        WhyNot::NoCopy
                    };
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
    let facts = given(request.members, path)?.clone();
    Some(Needing { facts, source: path.clone(), may_rename: false })
}

/// The object at a path, if it is a member whatever is planned.
fn given<'a>(members: &'a [Member], path: &str) -> Option<&'a Arc<ElfFacts>> {
    members.iter().find(|member| member.path == path).and_then(|member| match &member.content {
        MemberContent::Object(facts) => Some(facts),
        MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
    })
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

/// The relative path from one directory of the bundle to another.
fn relative(from: &str, to: &str) -> String {
    match to.strip_prefix(from).and_then(|rest| rest.strip_prefix('/')) {
        Some(below) => below.to_owned(),
        None => format!("{}{to}", "../".repeat(from.split('/').count())),
    }
}
