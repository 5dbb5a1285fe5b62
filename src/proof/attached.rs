//! Layers that are attached to a function: what they hold, merged as Lambda merges them.

use std::collections::{BTreeMap, BTreeSet};

use super::unpacked::LayerFile;
use crate::lambda::Member;

/// What the attached layers hold in /opt.
#[derive(Default, Clone)]
pub struct Attached {
    /// Their files; of two with one path, the later layer's.
    pub members: Vec<Member>,
    /// The paths of these.
    pub paths: BTreeSet<String>,
    /// Their files, as the kernel starts them, by path.
    pub files: BTreeMap<String, LayerFile>,
    /// What they count towards Lambda's limit.
    pub unzipped_bytes: u64,
}

impl Attached {
    /// Adds the files of a layer, and what they count.
    pub fn add(&mut self, members: Vec<Member>, unzipped_bytes: u64) {
        self.paths.extend(members.iter().map(|member| member.path.clone()));
        self.members.extend(members);
        self.unzipped_bytes += unzipped_bytes;
    }
}
