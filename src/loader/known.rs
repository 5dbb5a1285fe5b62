//! An index of the objects of a walk by their names and files, so that a need is not compared with each object.

use std::collections::BTreeMap;

use super::{Closure, Loaded, Rules};

/// The first object, in load order, for each name and each file.
#[derive(Default)]
pub(super) struct KnownNames {
    names: BTreeMap<String, usize>,
    /// The objects by device and inode.
    files: BTreeMap<(u64, u64), usize>,
}

impl KnownNames {
    /// Adds the names of an object: glibc compares a name with the path, the names and the SONAME of every object,
    /// musl with the names alone.
    pub(super) fn add_object(&mut self, index: usize, object: &Loaded, rules: &Rules) {
        for name in &object.names {
            self.add(index, name);
        }
        if let Rules::Glibc(_) = rules {
            self.add(index, &object.path);
            if let Some(soname) = object.file.object.soname() {
                self.add(index, soname);
            }
        }
    }

    fn add(&mut self, index: usize, name: &str) {
        if let Some(first) = self.names.get_mut(name) {
            *first = index.min(*first);
        } else {
            self.names.insert(name.to_owned(), index);
        }
    }

    pub(super) fn add_file(&mut self, index: usize, id: (u64, u64)) {
        self.files.entry(id).or_insert(index);
    }

    pub(super) fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(super) fn by_file(&self, id: (u64, u64)) -> Option<usize> {
        self.files.get(&id).copied()
    }
}

impl Closure {
    /// The first object that answers to each path and name; a SONAME that no need used is not among them.
    ///
    /// The program's own path is empty to glibc's ld.so.
    pub(super) fn answering(&self) -> BTreeMap<&str, usize> {
        let mut answering = BTreeMap::from([("", 0)]);
        for (index, object) in self.objects.iter().enumerate() {
            for name in object.names.iter().chain([&object.path]) {
                answering.entry(name.as_str()).or_insert(index);
            }
        }
        answering
    }
}
