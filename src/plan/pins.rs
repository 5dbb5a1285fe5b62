//! Which system copies ours may displace, and the edits that make ours win.
//!
//! LD_LIBRARY_PATH begins with the system's directories, so a copy in `lib/` never displaces one there; DT_RPATH
//! comes before it. The system's own libraries load into the same process and were built against the system's
//! copy. So ours may take its place only if it offers every version node that the baseline lists for it
//! (those of later images, too); where nodes do not tell, only if its file version is not older; and the
//! libraries of one package come together or not at all. If nothing else of the system's is loaded beside
//! glibc's parts there is nobody to be hurt, and it always may.

use std::collections::BTreeSet;

use super::{BuildSearch, Bundle, Candidate, Conflict, Fit, PINNED_DIR, Request, fit};
use crate::baseline::{Nodes, SystemObject, is_glibc_part};
use crate::elf::{ElfFacts, file_name};
use crate::lambda::Walked;
use crate::loader::{Closure, VersionAnswer, VersionCheck};
use crate::repair::Edits;
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
        for check in &walked.checks {
            let Some(system) = misfit(&walked.closure, check) else { continue };
            let soname = system.soname.clone();
            let is_settled = bundle.is_pinned(&soname) || bundle.conflicts.contains_key(&soname);
            if is_settled || is_glibc_part(&soname) {
                continue;
            }
            changed = true;
            // A copy that only later images can load is no better than a node that only they have.
            let worst = if check.answer == VersionAnswer::NotThere { Fit::Later } else { Fit::Every };
            match choose(request, search, bundle, &walked.closure, system, worst) {
                Ok((copies, conflict)) => {
                    for (name, candidate) in copies {
                        bundle.pin(&name, candidate);
                    }
                    bundle.alone.extend(conflict.map(|conflict| (soname, conflict)));
                }
                Err(conflict) => {
                    bundle.conflicts.insert(soname, conflict);
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
        let by =
            bundle.shipped.values().find(|known| known.pinned && known.facts.needed.contains(&other.soname));
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

/// The system object that does not fit a version need, in every image or in the older ones.
fn misfit<'a>(closure: &'a Closure, check: &VersionCheck) -> Option<&'a SystemObject> {
    let does_not_fit = match check.answer {
        VersionAnswer::NotThere => !check.need.weak,
        VersionAnswer::Later(_) => true,
        _ => false,
    };
    match &closure.objects[check.object?].file.object {
        Object::System(system) if does_not_fit => Some(system),
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
        let by = bundle.original(request, &closure.objects[by]);
        let candidate = search.choose(&by, &system.soname, request.exclude).map_err(|_| Conflict {
            ours: None,
            lacks: Vec::new(),
            too_new: false,
            soname: system.soname.clone(),
        })?;
        // A copy that does not fit itself would only move the error.
        if fit(&candidate.facts, search.lambda) > worst {
            let (ours, soname) = (Some(candidate.source), system.soname.clone());
            return Err(Conflict { ours, lacks: Vec::new(), too_new: true, soname });
        }
        if let Some(lacks) = hurts(system, &candidate) {
            let ours = Some(candidate.source.clone());
            conflict.get_or_insert(Conflict { ours, lacks, too_new: false, soname: system.soname.clone() });
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

/// The program's edits: DT_RPATH with the pinned directory first.
pub(super) fn program_edits(facts: &ElfFacts) -> Edits {
    Edits { rpath: Some(rpath(facts)), ..Edits::default() }
}

/// A library's edits: any DT_RUNPATH would keep the program's DT_RPATH from serving its needs.
pub(super) fn library_edits(facts: &ElfFacts) -> Option<Edits> {
    let runpath = facts.runpath.as_deref()?;
    Some(match kept(runpath).is_empty() {
        true => Edits { drop_runpath: true, ..Edits::default() },
        false => Edits { rpath: Some(rpath(facts)), ..Edits::default() },
    })
}

fn rpath(facts: &ElfFacts) -> String {
    let old = facts.runpath.as_deref().or(facts.rpath.as_deref()).unwrap_or_default();
    let mut elements = vec![PINNED_DIR];
    elements.extend(kept(old));
    elements.join(":")
}

/// The elements of a path that can mean something on Lambda; those of the build machine cannot.
fn kept(path: &str) -> Vec<&str> {
    let means_something = |element: &&str| {
        ["$ORIGIN", "${ORIGIN}", "/var/task", "/opt"].iter().any(|start| element.starts_with(start))
    };
    path.split(':').filter(means_something).collect()
}
