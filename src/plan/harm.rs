//! Whether a copy of ours in the place of one of the system's would break the system's other libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Conflict, Shipped, WhyNot};
use crate::baseline::{Nodes, SystemObject, is_glibc_part};
use crate::elf::{ElfFacts, Offer, version};
use crate::loader::Closure;
use crate::paths::file_name;
use crate::world::Object;

/// Pins that are given up for good, by the SONAME that was asked for.
pub(super) type Conflicts = BTreeMap<String, Conflict>;

/// Whether a library of the system's may use another. The needs of a listed library are not known.
pub(super) fn may_use(system: &SystemObject, soname: &str) -> bool {
    let needs = |facts: &ElfFacts| {
        let lists = [&facts.needed, &facts.filter, &facts.auxiliary];
        lists.into_iter().flatten().any(|name| file_name(name) == soname)
    };
    system.facts.as_deref().is_none_or(needs)
}

/// The system's objects of a closure, glibc's parts left out.
pub(super) fn others(closure: &Closure) -> impl Iterator<Item = (usize, &Arc<SystemObject>)> {
    closure.objects.iter().enumerate().filter_map(|(index, object)| match &object.file.object {
        Object::System(system) if !is_glibc_part(&system.soname) => Some((index, system)),
        _ => None,
    })
}

/// Why a user of the system's copy may miss something in our copy: version nodes that it lacks, or its age.
///
/// For a user whose file was captured, the nodes and symbols that it needs are known.
pub(super) fn hurts(system: &SystemObject, ours: &Shipped, user: &SystemObject) -> Option<Conflict> {
    if user.soname == system.soname || !may_use(user, &system.soname) {
        return None;
    }
    let conflict = |why| {
        let ours = Some(ours.source.clone());
        Some(Conflict { ours, ..Conflict::new(&system.soname, why) })
    };
    let lost = match (&system.facts, &user.facts) {
        (Some(system), Some(user)) => lost_symbols(system, &ours.facts, user),
        _ => BTreeSet::new(),
    };
    let offered: BTreeSet<&str> = ours.facts.verdef.iter().map(|def| def.node.as_str()).collect();
    if let Nodes::Known { floor, later, .. } = &system.nodes
        && !(floor.is_empty() && later.is_empty())
    {
        let wanted: Vec<&String> = match user.facts.as_deref() {
            Some(facts) => {
                let of_it = facts.verneed.iter().filter(|need| file_name(&need.file) == system.soname);
                of_it.map(|need| &need.node).collect()
            }
            None => floor.iter().chain(later.iter().map(|later| &later.node)).collect(),
        };
        let lacks = wanted.into_iter().filter(|node| !offered.contains(node.as_str()));
        let lacks: Vec<String> = lacks.cloned().chain(lost).collect();
        return if lacks.is_empty() { None } else { conflict(WhyNot::Lacks(lacks)) };
    }
    if !lost.is_empty() {
        return conflict(WhyNot::Lacks(lost.into_iter().collect()));
    }
    let version = file_name(&ours.source).split_once(".so.").map(|(_, version)| version);
    match (version, system.file_version()) {
        (Some(ours), Some(system)) if version::compare_numbers(ours, system).is_ge() => None,
        _ => conflict(WhyNot::Older),
    }
}

/// The symbols that `user` takes from the system's copy, and that our copy does not define.
fn lost_symbols(system: &ElfFacts, ours: &ElfFacts, user: &ElfFacts) -> BTreeSet<String> {
    let wanted: BTreeSet<&[u8]> = user
        .symbols
        .iter()
        .filter(|symbol| !symbol.defined && !symbol.weak && symbol.is_looked_up())
        .map(|symbol| user.symbols.name_bytes(symbol))
        .collect();
    let defined = |elf: &ElfFacts| -> BTreeSet<String> {
        let offers = elf.symbols.iter().filter(|symbol| symbol.offer != Offer::Nothing);
        let names = offers.filter(|symbol| wanted.contains(elf.symbols.name_bytes(symbol)));
        names.map(|symbol| elf.symbols.name(symbol).into_owned()).collect()
    };
    if wanted.is_empty() {
        return BTreeSet::new();
    }
    &defined(system) - &defined(ours)
}
