//! The proof that no copy of ours hurts the system's libraries, on the last walks.
//!
//! ld.so compares a needed name with the SONAME of every object that is loaded (rule 5; `_dl_map_object` in
//! glibc's elf/dl-load.c), so a file takes a SONAME of the runtime's from its libraries not only where it is pinned:
//! under another name, or by a path, it does so as well.

use super::pins::{GivenUp, hurts, may_use, others};
use super::{Asked, Conflict, Request, Shipped, WhyNot};
use crate::baseline::{SystemObject, is_glibc_part};
use crate::lambda::{Certainty, LambdaWorld, Walked};
use crate::world::Object;

/// A SONAME of the system's that a library of ours has taken.
pub(super) struct Taken<'a> {
    pub system: &'a SystemObject,
    pub by: &'a Shipped,
}

/// What a walk's libraries of ours have taken.
pub(super) fn taken<'a>(
    request: &Request<'a>,
    lambda: &'a LambdaWorld,
    walked: &Walked,
    libraries: &'a [Shipped],
) -> Vec<Taken<'a>> {
    let is_there = |soname: &str| match lambda.certainty(soname) {
        Certainty::Present => true,
        Certainty::Doubtful => walked.variant.doubtful_present,
        Certainty::Absent => false,
    };
    let layout = request.layout;
    let mut taken = Vec::new();
    for object in walked.closure.objects.iter().skip(1) {
        let Object::Elf(facts) = &object.file.object else { continue };
        let is_it = |library: &&Shipped| layout.path(&library.entry_name(layout)) == object.path;
        let Some(soname) = facts.soname.as_deref().filter(|soname| is_there(soname)) else { continue };
        let (Some(system), false) = (lambda.baseline.object(soname), is_glibc_part(soname)) else { continue };
        let by = libraries.iter().find(is_it).or_else(|| request.pinned.iter().find(is_it));
        taken.extend(by.map(|by| Taken { system, by }));
    }
    taken
}

/// The SONAMEs that ours must not have taken, and why.
pub(super) fn conflicts(
    request: &Request,
    lambda: &LambdaWorld,
    walks: &[Walked],
    libraries: &[Shipped],
) -> GivenUp {
    let mut conflicts = GivenUp::new();
    for walked in walks {
        for Taken { system, by } in taken(request, lambda, walked, libraries) {
            let is_mate = |other: &&SystemObject| {
                system.package.is_some() && other.package == system.package && other.soname != system.soname
            };
            let mut rest = others(&walked.closure).map(|(_, other)| other);
            let half = rest.find(is_mate).map(|mate| Conflict {
                ours: Some(by.source.clone()),
                ..Conflict::new(&mate.soname, WhyNot::Half)
            });
            let is_used = others(&walked.closure).any(|(_, other)| may_use(other, &system.soname));
            let conflict = half.or_else(|| hurts(system, by).filter(|_| is_used));
            if let Some(conflict) = conflict {
                let asked = Asked::File(by.entry_name(request.layout));
                conflicts.insert(system.soname.clone(), Conflict { asked, ..conflict });
            }
        }
    }
    conflicts
}
