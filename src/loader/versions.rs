//! The check of version nodes: every object's DT_VERNEED against the object that answers to the file it names.
//!
//! Source: `_dl_check_map_versions` and `match_symbol` in glibc's elf/dl-version.c. Membership decides, never
//! order: the loader compares the stored hashes and then the names, and `GLIBC_ABI_DT_RELR` has no number. musl does
//! none of this.

use super::{Closure, Rules};
use crate::baseline::NodeAnswer;
use crate::elf::VersionNeed;
use crate::world::Object;

/// The result for one version need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionAnswer {
    /// The object has the node.
    Fits,
    /// A baseline object has the node only in images from this one on.
    Later(String),
    /// A baseline object may have the node; the evidence does not show whether it does.
    Uncertain,
    /// The version nodes of the baseline object are not known.
    Unknown,
    /// The object has version nodes but not this one: the program does not start.
    NotThere,
    /// The object has no version nodes at all: ld.so prints a line and goes on.
    NoVersions,
    /// No loaded object answers to the file name: ld.so fails an assertion.
    NoSuchFile,
}

/// One version need and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCheck {
    /// The index of the needing object.
    pub by: usize,
    /// The version need.
    pub need: VersionNeed,
    /// The index of the object that answers to `need.file`.
    pub object: Option<usize>,
    /// The result.
    pub answer: VersionAnswer,
}

/// Checks every version need of every object, in load order; needs that fit are left out.
pub fn check_versions(closure: &Closure, rules: &Rules) -> Vec<VersionCheck> {
    let Rules::Glibc(_) = rules else { return Vec::new() };
    let answering = closure.answering();
    let mut checks = Vec::new();
    for (by, object) in closure.objects.iter().enumerate() {
        let Some(elf) = object.file.object.elf() else { continue };
        for need in &elf.verneed {
            let object = answering.get(need.file.as_str()).copied();
            let answer = match object {
                Some(index) => answer(&closure.objects[index].file.object, need),
                None => VersionAnswer::NoSuchFile,
            };
            if answer != VersionAnswer::Fits {
                checks.push(VersionCheck { by, need: need.clone(), object, answer });
            }
        }
    }
    checks
}

fn answer(object: &Object, need: &VersionNeed) -> VersionAnswer {
    match (object, object.elf()) {
        (_, Some(elf)) if elf.verdef.is_empty() => VersionAnswer::NoVersions,
        (_, Some(elf)) if elf.verdef.iter().any(|def| need.is_met_by(def)) => VersionAnswer::Fits,
        (_, Some(_)) => VersionAnswer::NotThere,
        (Object::System(system), None) => match system.node(&need.node) {
            // A baseline lists names of nodes without hashes; their hashes are assumed to be those that a linker
            // writes.
            NodeAnswer::Floor | NodeAnswer::Later(_) | NodeAnswer::Uncertain if !need.has_right_hash() => {
                VersionAnswer::NotThere
            }
            NodeAnswer::Floor => VersionAnswer::Fits,
            NodeAnswer::Later(image) => VersionAnswer::Later(image.to_owned()),
            NodeAnswer::Uncertain => VersionAnswer::Uncertain,
            NodeAnswer::Absent => VersionAnswer::NotThere,
            NodeAnswer::NoVersions => VersionAnswer::NoVersions,
            NodeAnswer::Unknown => VersionAnswer::Unknown,
        },
        (Object::Elf(_) | Object::Unseen, None) => VersionAnswer::Unknown,
    }
}
