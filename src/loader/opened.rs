//! Libraries that a program opens at run time: dlopen(name, RTLD_NOW), called by the program once it has started.
//!
//! An opened library and the libraries that it loads see the global scope, which is the program's closure, and then
//! the search list of the opened library; they see nothing of other opened libraries. A library that was loaded
//! before is found by name and stays in the scope of its first loading.
//!
//! RTLD_NOW and RTLD_LOCAL are the strictest of dlopen's modes: a library that loads with them loads with any.
//!
//! Source: `dl_open_worker` in glibc's elf/dl-open.c; `dlopen` in musl's ldso/dynlink.c.

use super::{Closure, Memory, Outcome, load, search_list};
use crate::loader::World;

/// A library that a program opens at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedLibrary {
    /// The name that is passed to dlopen.
    pub name: String,
    /// The object, if one is found.
    pub object: Option<usize>,
    /// The library and all that it leads to, in search order, with objects loaded before; empty if it is not found.
    pub scope: Vec<usize>,
}

/// Opens one library.
pub(super) fn open(world: &World, closure: &mut Closure, name: &str, memory: &mut Memory) {
    memory.opening = Some(closure.opened.len());
    let mut need = load(world, closure, 0, name.to_owned(), memory);
    need.is_opening = true;
    let object = match need.outcome {
        Outcome::Loaded(index) => Some(index),
        Outcome::Missing(_) | Outcome::Fatal { .. } => None,
    };
    closure.needs.push(need);
    let scope = object.map(|object| search_list(world, closure, object, memory)).unwrap_or_default();
    closure.opened.push(OpenedLibrary { name: name.to_owned(), object, scope });
    memory.opening = None;
}

impl Closure {
    /// The objects in which references are looked up, in search order, each once or twice: for the objects that an
    /// opening of [`Closure::opened`] has loaded, or for those that are loaded at the start.
    ///
    /// Source: `_dl_new_object` in glibc's elf/dl-object.c: the global scope, then the search list of the library
    /// with which it was opened.
    pub fn scope(&self, opening: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        let opened = opening.map(|opening| &self.opened[opening].scope);
        self.global.iter().chain(opened.into_iter().flatten()).copied()
    }

    /// Whether an object is loaded when a library is opened: its references are then all bound at once.
    pub fn is_opened(&self, object: usize) -> bool {
        self.objects[object].opening.is_some()
    }
}
