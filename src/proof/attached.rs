//! The layers that are attached to a function, merged as Lambda merges them.

use std::collections::{BTreeMap, BTreeSet};

use super::unpacked::LayerFile;
use crate::lambda::Member;

/// The merged contents of the attached layers in /opt.
#[derive(Default, Clone)]
pub struct Attached {
    /// The files; if two layers have the same path, the later layer's file.
    pub members: Vec<Member>,
    /// The paths of these files.
    pub paths: BTreeSet<String>,
    /// The files as the kernel starts them, by path.
    pub files: BTreeMap<String, LayerFile>,
    /// The layer that has each file, by path.
    pub layers: BTreeMap<String, String>,
    /// The SHA-256 of each ELF file, hexadecimal, by path.
    pub digests: BTreeMap<String, String>,
    /// The size that counts towards Lambda's limit.
    pub unzipped_bytes: u64,
}

impl Attached {
    /// Adds the files of a layer, and its size.
    pub fn add(&mut self, members: Vec<Member>, unzipped_bytes: u64) {
        self.paths.extend(members.iter().map(|member| member.path.clone()));
        self.members.extend(members);
        self.unzipped_bytes += unzipped_bytes;
    }
}
