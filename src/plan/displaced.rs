//! The proof that no copy of ours hurts the system's libraries, on the last walks.
//!
//! ld.so compares a needed name with the SONAME of every object that is loaded (rule 5; `_dl_map_object` in
//! glibc's elf/dl-load.c), so a file takes a SONAME of the runtime's from its libraries not only where it is pinned:
//! under another name, or by a path, it does so as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pins::{GivenUp, hurts, others};
use super::search::Candidate;
use super::{Asked, Conflict, Place, Request, Shipped, WhyNot};
use crate::baseline::{NodeAnswer, SystemObject, is_glibc_part};
use crate::elf::ElfFacts;
use crate::lambda::{Certainty, LambdaWorld, MemberContent, Walked};
use crate::paths;
use crate::paths::file_name;
use crate::world::Object;

/// A SONAME of the system's that a file of the bundle or of an attached layer has taken.
pub(super) struct Taken<'a> {
    pub system: &'a Arc<SystemObject>,
    /// The file; one that is there whatever is planned has its path on Lambda for its source.
    pub by: Shipped,
    /// Whether the plan brings it.
    pub is_ours: bool,
    /// Its index in the walk.
    index: usize,
}

/// What has taken a SONAME in a walk.
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
        let is_it = |library: &&Shipped| layout.path(&library.entry_name(layout)) == *path;
        let ours = libraries.iter().find(is_it);
        let is_ours = ours.is_some();
        let by = ours
            .or_else(|| request.pinned.iter().find(is_it))
            .cloned()
            .unwrap_or_else(|| file_at(path, facts.clone()));
        taken.push(Taken { system, by, is_ours, index });
    }
    taken
}

/// The loaded files that have a SONAME of the system's, which is there: index, facts, and whose it is.
fn takers<'a, 'w>(
    lambda: &'a LambdaWorld,
    walked: &'w Walked,
) -> impl Iterator<Item = (usize, &'w Arc<ElfFacts>, &'a Arc<SystemObject>)> {
    let is_there = |soname: &str| match lambda.certainty(soname) {
        Certainty::Present => true,
        Certainty::Doubtful => walked.variant.doubtful_present,
        Certainty::Absent => false,
    };
    walked.closure.objects.iter().enumerate().skip(1).filter_map(move |(index, object)| {
        let Object::Elf(facts) = &object.file.object else { return None };
        let soname = facts.soname.as_deref().filter(|soname| is_there(soname) && !is_glibc_part(soname))?;
        Some((index, facts, lambda.baseline.object(soname)?))
    })
}

/// A file that is there whatever is planned.
fn file_at(path: &str, facts: Arc<ElfFacts>) -> Shipped {
    let candidate = Candidate { source: path.to_owned(), facts };
    Shipped::new(file_name(path), candidate, Place::Lib)
}

/// The loaded files of an archive that take a SONAME from the system's libraries, which may miss something by it:
/// index and SONAME.
pub fn doubtful_takers(lambda: &LambdaWorld, walked: &Walked) -> Vec<(usize, String)> {
    let may_hurt = |path: &str, facts: &Arc<ElfFacts>, system: &Arc<SystemObject>| {
        let by = file_at(path, facts.clone());
        let mut users = others(&walked.closure).map(|(_, other)| other);
        users.any(|user| user.soname != system.soname && hurts(system, &by, user).is_some())
    };
    takers(lambda, walked)
        .filter(|(index, facts, system)| may_hurt(&walked.closure.objects[*index].path, facts, system))
        .map(|(index, _, system)| (index, system.soname.clone()))
        .collect()
}

/// The SONAMEs that must not have been taken, and why.
pub(super) fn conflicts(
    request: &Request,
    lambda: &LambdaWorld,
    walks: &[Walked],
    libraries: &[Shipped],
) -> GivenUp {
    let mut conflicts = GivenUp::new();
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
                let path = &walked.closure.objects[taken.index].path;
                let asked = Asked::File(request.layout.name(path).to_owned());
                conflicts.insert(system.soname.clone(), Conflict { asked, ..conflict });
            }
        }
        conflicts.extend(unseen(request, lambda, walked, libraries));
    }
    conflicts
}

/// Files that a table's library would be given for a need that nobody knows of: those of a SONAME of the runtime's in
/// a directory that is searched before the system's.
fn unseen(request: &Request, lambda: &LambdaWorld, walked: &Walked, libraries: &[Shipped]) -> GivenUp {
    let mut conflicts = GivenUp::new();
    let users: Vec<&Arc<SystemObject>> =
        others(&walked.closure).map(|(_, other)| other).filter(|other| other.facts.is_none()).collect();
    let directories = if users.is_empty() { BTreeSet::new() } else { searched_first(lambda, walked) };
    let objects = &walked.closure.objects;
    let is_loaded = |soname: &str| objects.iter().any(|object| object.file.object.soname() == Some(soname));
    let layout = request.layout;
    let given = request.members.iter().filter_map(|member| match &member.content {
        MemberContent::Object(facts) => Some((member.path.clone(), member.path.clone(), facts)),
        MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
    });
    let ours = libraries
        .iter()
        .map(|library| (layout.path(&library.entry_name(layout)), library.source.clone(), &library.facts));
    for (path, source, facts) in given.chain(ours) {
        let name = file_name(&path);
        if !directories.contains(paths::parent(&path)) || is_loaded(name) || is_glibc_part(name) {
            continue;
        }
        let Some(system) = lambda.baseline.object(name) else { continue };
        let file = Shipped::new(name, Candidate { source, facts: facts.clone() }, Place::Lib);
        if let Some(conflict) = users.iter().find_map(|user| hurts(system, &file, user)) {
            let asked = Asked::File(layout.name(&path).to_owned());
            conflicts.insert(name.to_owned(), Conflict { asked, ..conflict });
        }
    }
    conflicts
}

/// The directories where a need of the system's libraries may be looked for before the system's own.
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

/// Whether a table's library, of which nobody knows what it needs, may have the system's copy loaded first, where
/// that one does not fit. What is pinned is found for such a need, too.
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
