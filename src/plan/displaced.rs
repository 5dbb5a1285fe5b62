//! The proof, on the last walks, that no file of the bundle breaks the system's libraries.
//!
//! ld.so compares a needed name with the SONAME of every object that is loaded (rule 5; `_dl_map_object` in glibc's
//! elf/dl-load.c). So a file can take a SONAME of the runtime's from the system's libraries not only where it is
//! pinned, but also under another name, or by a path.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::Candidate;
use super::harm::{Conflicts, hurts, others};
use super::{Asked, Conflict, Place, Request, Shipped, WhyNot};
use crate::baseline::{NodeAnswer, SystemObject, is_glibc_part};
use crate::elf::ElfFacts;
use crate::lambda::{Certainty, LambdaWorld, Member, Walked};
use crate::paths;
use crate::paths::file_name;
use crate::world::Object;

/// A SONAME of the system's that a file of the bundle or of an attached layer has taken.
pub(super) struct Taken<'a> {
    pub system: &'a Arc<SystemObject>,
    /// The file that has taken it. For a member that is not planned, `source` is its path on Lambda.
    pub by: Shipped,
    /// Whether the plan ships the file.
    pub is_ours: bool,
    /// The index of the file in the walk.
    index: usize,
}

/// The SONAMEs that were taken in a walk.
pub(super) fn taken<'a>(
    request: &Request,
    lambda: &'a LambdaWorld,
    walked: &Walked,
    libraries: &[Shipped],
) -> Vec<Taken<'a>> {
    let layout = request.layout;
    let mut taken = Vec::new();
    for (index, facts, system) in takers(lambda, walked) {
        let path = &walked.closure.objects[index].absolute_path();
        let has_path = |library: &&Shipped| layout.path(&library.entry_name(layout)) == *path;
        let ours = libraries.iter().find(has_path);
        let is_ours = ours.is_some();
        let by = ours
            .or_else(|| request.pinned.iter().find(has_path))
            .cloned()
            .unwrap_or_else(|| file_at(path, facts.clone()));
        taken.push(Taken { system, by, is_ours, index });
    }
    taken
}

/// The loaded files with a SONAME that a present library of the system's has: index, facts, and that library.
fn takers<'a, 'w>(
    lambda: &'a LambdaWorld,
    walked: &'w Walked,
) -> impl Iterator<Item = (usize, &'w Arc<ElfFacts>, &'a Arc<SystemObject>)> {
    let is_there = |soname: &str| match lambda.certainty(soname) {
        Certainty::Present => true,
        Certainty::Doubtful => walked.variant.doubtful_present,
        Certainty::Absent | Certainty::Unknown => false,
    };
    walked.closure.objects.iter().enumerate().skip(1).filter_map(move |(index, object)| {
        let Object::Elf(facts) = &object.file.object else { return None };
        let soname = facts.soname.as_deref().filter(|soname| is_there(soname) && !is_glibc_part(soname))?;
        Some((index, facts, lambda.baseline.object(soname)?))
    })
}

/// A member that is not planned, as a library.
fn file_at(path: &str, facts: Arc<ElfFacts>) -> Shipped {
    let candidate = Candidate { source: path.to_owned(), facts };
    Shipped::new(file_name(path), candidate, Place::Lib)
}

/// A file of an archive that takes a SONAME from the system's libraries, which may miss something in it.
pub struct DoubtfulTaker {
    /// The name under which it was loaded, or its path on Lambda.
    pub name: String,
    /// The SONAME that it takes.
    pub soname: String,
}

/// The files among `members` that take a SONAME from the system's libraries, or may take it for an unknown need,
/// where those libraries may miss something in them.
pub fn doubtful_takers(lambda: &LambdaWorld, walked: &Walked, members: &[Member]) -> Vec<DoubtfulTaker> {
    let may_hurt = |path: &str, facts: &Arc<ElfFacts>, system: &Arc<SystemObject>| {
        let by = file_at(path, facts.clone());
        let mut users = others(&walked.closure).map(|(_, other)| other);
        users.any(|user| user.soname != system.soname && hurts(system, &by, user).is_some())
    };
    let path = |index: usize| &walked.closure.objects[index].path;
    let name = |index: usize| {
        walked.closure.objects[index].names.first().map_or_else(|| file_name(path(index)), String::as_str)
    };
    let loaded = takers(lambda, walked)
        .filter(|(index, facts, system)| may_hurt(path(*index), facts, system))
        .map(|(index, _, system)| DoubtfulTaker {
            name: name(index).to_owned(),
            soname: system.soname.clone(),
        });
    let unknown = UnknownNeeds::of(lambda, walked);
    let unseen = objects_of(members).filter_map(|(path, facts)| {
        let taken = unknown.takes(path, || file_at(path, facts.clone()))?;
        Some(DoubtfulTaker { name: path.to_owned(), soname: taken.system.soname.clone() })
    });
    loaded.chain(unseen).collect()
}

/// The SONAMEs that must not have been taken, and the reasons.
pub(super) fn conflicts(
    request: &Request,
    lambda: &LambdaWorld,
    walks: &[Walked],
    libraries: &[Shipped],
) -> Conflicts {
    let mut conflicts = Conflicts::new();
    // Nothing is loaded.
    let walks = if request.is_opened_in_vain() { &[] } else { walks };
    for walked in walks {
        for taken in taken(request, lambda, walked, libraries) {
            let system = taken.system;
            let is_mate = |other: &&Arc<SystemObject>| {
                system.package.is_some() && other.package == system.package && other.soname != system.soname
            };
            let rest = || others(&walked.closure).map(|(_, other)| other);
            let half = rest().find(is_mate).map(|mate| Conflict {
                ours: Some(taken.by.source.clone()),
                ..Conflict::new(&mate.soname, WhyNot::Half)
            });
            let hurt = || rest().find_map(|user| hurts(system, &taken.by, user));
            if let Some(conflict) = half.or_else(hurt).or_else(|| late(walked, &taken)) {
                let path = &walked.closure.objects[taken.index].absolute_path();
                let asked = Asked::File(request.layout.name(path).to_owned());
                conflicts.insert(system.soname.clone(), Conflict { asked, ..conflict });
            }
        }
        let unknown = UnknownNeeds::of(lambda, walked);
        let mut keep = |name: &str, unseen: Unseen| {
            let asked = Asked::File(name.to_owned());
            conflicts.insert(unseen.system.soname.clone(), Conflict { asked, ..unseen.conflict });
        };
        for (path, facts) in objects_of(request.installed.namesakes()) {
            // What another program ships has the version of its file on this machine.
            let is_it = |it: &&Shipped| request.layout.path(&it.entry_name(request.layout)) == path;
            let planned = || request.pinned.iter().find(is_it).cloned();
            if let Some(unseen) =
                unknown.takes(path, || planned().unwrap_or_else(|| file_at(path, facts.clone())))
            {
                keep(request.layout.name(path), unseen);
            }
        }
        for library in libraries {
            let name = library.entry_name(request.layout);
            if let Some(unseen) = unknown.takes(&request.layout.path(&name), || library.clone()) {
                keep(&name, unseen);
            }
        }
    }
    conflicts
}

/// The ELF files among an archive's members, with their paths on Lambda.
fn objects_of<'m>(
    members: impl IntoIterator<Item = &'m Member>,
) -> impl Iterator<Item = (&'m str, &'m Arc<ElfFacts>)> {
    members.into_iter().filter_map(|member| Some((member.path.as_str(), member.object()?)))
}

/// A SONAME that a file may take for an unknown need of a listed library.
struct Unseen<'a> {
    system: &'a Arc<SystemObject>,
    conflict: Conflict,
}

/// The loaded libraries of the system whose needs are not known, and where they may find a file.
struct UnknownNeeds<'a, 'w> {
    lambda: &'a LambdaWorld,
    walked: &'w Walked,
    users: Vec<&'w Arc<SystemObject>>,
    /// The directories that are searched before the system's.
    directories: BTreeSet<String>,
}

impl<'a, 'w> UnknownNeeds<'a, 'w> {
    fn of(lambda: &'a LambdaWorld, walked: &'w Walked) -> UnknownNeeds<'a, 'w> {
        let users = others(&walked.closure).map(|(_, other)| other).filter(|other| other.facts.is_none());
        let users: Vec<&Arc<SystemObject>> = users.collect();
        let directories = if users.is_empty() { BTreeSet::new() } else { searched_first(lambda, walked) };
        UnknownNeeds { lambda, walked, users, directories }
    }

    /// The SONAME of the runtime's that a file at this path on Lambda would take, where it would do harm.
    fn takes(&self, path: &str, file: impl FnOnce() -> Shipped) -> Option<Unseen<'a>> {
        if self.users.is_empty() {
            return None;
        }
        let name = file_name(path);
        let mut objects = self.walked.closure.objects.iter();
        if !self.directories.contains(paths::parent(path))
            || is_glibc_part(name)
            || objects.any(|object| object.file.object.soname() == Some(name))
        {
            return None;
        }
        let system = self.lambda.baseline.object(name)?;
        let file = file();
        let conflict = self.users.iter().find_map(|user| hurts(system, &file, user))?;
        Some(Unseen { system, conflict })
    }
}

/// The directories that may be searched for a need of the system's libraries before the system's own.
fn searched_first(lambda: &LambdaWorld, walked: &Walked) -> BTreeSet<String> {
    let mut directories = BTreeSet::new();
    for object in &walked.closure.objects {
        let Object::Elf(facts) = &object.file.object else { continue };
        let rpath = facts.rpath.as_deref().filter(|_| facts.runpath.is_none()).unwrap_or_default();
        for element in rpath.split(':').filter(|element| !element.is_empty()) {
            let element = element.replace("${ORIGIN}", &object.origin).replace("$ORIGIN", &object.origin);
            directories.insert(paths::normalize(&element));
        }
    }
    let before = walked.variant.library_path.split([':', ';']);
    let is_systems = |directory: &&str| lambda.baseline.default_dirs.iter().any(|known| known == directory);
    directories.extend(before.take_while(|it| !is_systems(it)).map(paths::normalize));
    directories
}

/// Whether a listed library, whose needs are not known, may load the system's copy first, where that copy does not
/// fit. A pinned library is found for such a need, too.
fn late(walked: &Walked, taken: &Taken) -> Option<Conflict> {
    let Taken { system, by, index, .. } = taken;
    if by.place == Place::Pinned {
        return None;
    }
    let objects = &walked.closure.objects;
    let names = &objects[*index].names;
    let wanted = objects.iter().filter_map(|object| match &object.file.object {
        Object::Elf(facts) => Some(facts),
        Object::System(_) | Object::Unseen => None,
    });
    let mut nodes = wanted.flat_map(|facts| &facts.verneed).filter(|need| names.contains(&need.file));
    let fits = |node: &str| !matches!(system.node(node), NodeAnswer::Absent | NodeAnswer::Later(_));
    if nodes.all(|need| need.weak || fits(&need.node)) {
        return None;
    }
    let user = others(&walked.closure).find(|(_, other)| other.facts.is_none())?.1;
    let why = WhyNot::Loses(user.soname.clone());
    Some(Conflict { ours: Some(by.source.clone()), ..Conflict::new(&system.soname, why) })
}
