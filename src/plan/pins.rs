//! Which system copies ours may displace.
//!
//! LD_LIBRARY_PATH begins with the system's directories, so a copy in `lib/` never displaces one there; DT_RPATH
//! comes before it. The system's own libraries load into the same process and were built against the system's
//! copy. So ours may take its place only if it offers every version node that the baseline lists for it
//! (those of later images, too); where nodes do not tell, only if its file version is not older; and the
//! libraries of one package come together or not at all. If nothing else of the system's is loaded beside
//! glibc's parts there is nobody to be hurt, and it always may.

use std::collections::BTreeSet;

use super::{BuildSearch, Bundle, Candidate, Conflict, Fit, Place, Request, fit};
use crate::baseline::{Nodes, SystemObject, is_glibc_part};
use crate::elf::file_name;
use crate::lambda::Walked;
use crate::loader::{Closure, VersionAnswer, VersionCheck};
use crate::world::Object;

/// Pins what does not fit and may be pinned; notes what may not. Whether the plan has changed.
pub(super) fn pin(
    request: &Request,
    search: &mut BuildSearch,
    bundle: &mut Bundle,
    walks: &[Walked],
) -> bool {
    let mut changed = false;
    for walked in walks {
        changed |= keep_alone(request, search, bundle, &walked.closure);
    }
    if changed {
        return true;
    }
    for walked in walks {
        let misfits = walked.checks.iter().filter_map(|check| misfit(&walked.closure, check));
        let preferred = others(&walked.closure).filter(|system| request.prefer.matches(&system.soname));
        let preferred = preferred.map(|system| (system, Fit::Every, true));
        for (system, worst, is_wish) in misfits.chain(preferred) {
            let soname = system.soname.clone();
            let is_settled = bundle.is_pinned(&soname) || bundle.conflicts.contains_key(&soname);
            if is_settled || is_glibc_part(&soname) {
                continue;
            }
            changed = true;
            match choose(request, search, bundle, &walked.closure, system, worst) {
                Ok((copies, conflict)) => {
                    for (name, candidate) in copies {
                        bundle.pin(&name, candidate);
                    }
                    bundle.alone.extend(conflict.map(|conflict| (soname, conflict)));
                }
                Err(conflict) => {
                    bundle.conflicts.insert(soname, Conflict { is_wish, ..conflict });
                }
            }
        }
    }
    changed
}

/// Holds what was pinned for want of anybody to be hurt to that condition, now that its own needs are there.
///
/// Such a need comes along if it is the system's; if somebody else of the system's is there, the pin goes.
fn keep_alone(request: &Request, search: &mut BuildSearch, bundle: &mut Bundle, closure: &Closure) -> bool {
    if bundle.alone.is_empty() {
        return false;
    }
    let mut changed = false;
    for other in others(closure) {
        let needs = |known: &&super::Shipped| {
            known.place == Place::Pinned && known.facts.needed.contains(&other.soname)
        };
        let by = bundle.shipped.values().find(needs);
        let by = by.map(|library| library.facts.clone());
        match by.map(|by| search.choose(&by, &other.soname, request.exclude)) {
            Some(Ok(candidate)) if fit(&candidate.facts, search.lambda) < Fit::None => {
                bundle.pin(&other.soname, candidate);
            }
            Some(_) | None => {
                for (soname, conflict) in std::mem::take(&mut bundle.alone) {
                    bundle.shipped.remove(&soname);
                    bundle.conflicts.insert(soname, conflict);
                }
                return true;
            }
        }
        changed = true;
    }
    changed
}

/// The system object that does not fit a version need, in every image or in the older ones; how badly a copy
/// in its place may fit; and that nobody but the loader asked for it.
fn misfit<'a>(closure: &'a Closure, check: &VersionCheck) -> Option<(&'a SystemObject, Fit, bool)> {
    let worst = match check.answer {
        VersionAnswer::NotThere if !check.need.weak => Fit::Later,
        // A copy that only later images can load is no better than a node that only they have.
        VersionAnswer::Later(_) => Fit::Every,
        _ => return None,
    };
    match &closure.objects[check.object?].file.object {
        Object::System(system) => Some((system, worst, false)),
        _ => None,
    }
}

/// Our copies by SONAME.
type Copies = Vec<(String, Candidate)>;

/// Our copies of a library and of the rest of its package, if they may be pinned. With a conflict if they may
/// only because nobody is there to be hurt.
fn choose(
    request: &Request,
    search: &mut BuildSearch,
    bundle: &Bundle,
    closure: &Closure,
    wanted: &SystemObject,
    worst: Fit,
) -> Result<(Copies, Option<Conflict>), Conflict> {
    let mut copies = Copies::new();
    let mut conflict = None;
    let mut pending: Vec<&SystemObject> = vec![wanted];
    pending
        .extend(others(closure).filter(|other| wanted.package.is_some() && other.package == wanted.package));
    let group: BTreeSet<&str> = pending.iter().map(|system| system.soname.as_str()).collect();
    for system in others(closure).chain([wanted]).filter(|system| group.contains(system.soname.as_str())) {
        if copies.iter().any(|(name, _)| *name == system.soname) {
            continue;
        }
        let index = closure.objects.iter().position(|object| is(&object.file.object, system));
        let by = index.and_then(|index| closure.first_need(index)).map_or(0, |need| need.by);
        let by = bundle.original(request, by, closure).unwrap_or_else(|| request.facts.clone());
        let candidate = search.choose(&by, &system.soname, request.exclude).map_err(|_| Conflict {
            ours: None,
            lacks: Vec::new(),
            too_new: false,
            soname: system.soname.clone(),
            is_wish: false,
        })?;
        // A copy that does not fit itself would only move the error.
        if fit(&candidate.facts, search.lambda) > worst {
            let (ours, soname) = (Some(candidate.source), system.soname.clone());
            return Err(Conflict { ours, lacks: Vec::new(), too_new: true, soname, is_wish: false });
        }
        if let Some(lacks) = hurts(system, &candidate) {
            let ours = Some(candidate.source.clone());
            let soname = system.soname.clone();
            conflict.get_or_insert(Conflict { ours, lacks, too_new: false, soname, is_wish: false });
        }
        copies.push((system.soname.clone(), candidate));
    }
    let is_alone = || {
        let needed = |soname: &String| copies.iter().any(|(_, copy)| copy.facts.needed.contains(soname));
        others(closure).all(|other| group.contains(other.soname.as_str()) || needed(&other.soname))
    };
    match conflict {
        Some(conflict) if !is_alone() => Err(conflict),
        conflict => Ok((copies, conflict)),
    }
}

/// The system's objects of a closure, glibc's parts left out.
fn others(closure: &Closure) -> impl Iterator<Item = &SystemObject> {
    closure.objects.iter().filter_map(|object| match &object.file.object {
        Object::System(system) if !is_glibc_part(&system.soname) => Some(&**system),
        _ => None,
    })
}

fn is(object: &Object, wanted: &SystemObject) -> bool {
    matches!(object, Object::System(system) if system.soname == wanted.soname)
}

/// The nodes of the system's copy that ours lacks, or an empty list if ours is an older file; `None` if
/// nobody who uses the system's copy would miss anything.
fn hurts(system: &SystemObject, candidate: &Candidate) -> Option<Vec<String>> {
    let offered: BTreeSet<&str> = candidate.facts.verdef.iter().map(|def| def.node.as_str()).collect();
    if let Nodes::Known { floor, later, .. } = &system.nodes {
        let nodes = floor.iter().chain(later.iter().map(|later| &later.node));
        let lacks: Vec<String> = nodes.filter(|node| !offered.contains(node.as_str())).cloned().collect();
        if !lacks.is_empty() {
            return Some(lacks);
        }
        if !(floor.is_empty() && later.is_empty()) {
            return None;
        }
    }
    let ours = file_name(&candidate.source).split_once(".so.").map(|(_, version)| version);
    match (ours, system.file_version()) {
        (Some(ours), Some(theirs)) if crate::version::compare(ours, theirs).is_ge() => None,
        _ => Some(Vec::new()),
    }
}
