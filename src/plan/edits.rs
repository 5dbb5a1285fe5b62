//! The edits of a bundle's files, with which the loader loads the files that the plan means.
//!
//! The edits follow from the original files and the place of each library, and can be computed at any time while the
//! plan grows: every walk sees the files as they will be written.

use super::draft::{Draft, Laid, Needing};
use super::rebind::{FileRebinding, ReboundFile};
use super::{LibcSource, Place, Request, Shipped};
use crate::elf::{ElfFacts, Libc};
use crate::lambda::LambdaWorld;
use crate::loader::{Musl, Need};
use crate::paths::file_name;
use crate::repair::{COMPAT, Edits};

impl Draft {
    /// The program's edits; `None` if it is not edited.
    pub(super) fn program_edits(&self, request: &Request, lambda: &LambdaWorld) -> Option<Edits> {
        let facts = request.facts;
        if request.dlopened_by.is_some() {
            let place = if self.private.is_some() { Place::Private } else { Place::Lib };
            let mut edits = self.edits_of_library(request, request.path, facts, place).unwrap_or_default();
            // The program that opens this library may not search there. The library's own DT_RPATH serves its needs,
            // and those of the libraries that it loads.
            if self.is_pinning() && !looks_there_first(request) {
                edits.drop_runpath = false;
                edits.rpath = Some(rpath(&request.layout.pinned_path(), facts));
            }
            return some(edits);
        }
        let renames = self.renames(request, request.path, facts);
        let mut edits = Edits { rename_needed: renames, ..Edits::default() };
        let layout = request.layout;
        match &self.private {
            Some(private) => {
                edits.interpreter = Some(layout.path(&format!("{}/{}", layout.private, private.interpreter)));
                edits.rpath = Some(rpath(&layout.path(&layout.private), facts));
                let parts = private.parts.iter().filter(|part| !facts.needed.contains(part));
                edits.add_needed = parts.cloned().collect();
            }
            None => {
                if self.is_pinning() && !looks_there_first(request) {
                    edits.rpath = Some(rpath(&layout.pinned_path(), facts));
                }
                if request.may_edit && request.libc == LibcSource::System {
                    edits.interpreter = system_interpreter(facts, lambda);
                }
            }
        }
        self.add_rebinding(request.path, &mut edits);
        some(edits)
    }

    /// The edits of one library of the bundle.
    pub(super) fn library_edits(&self, request: &Request, library: &Shipped) -> Option<Edits> {
        if library.link_to.is_some() {
            return None;
        }
        self.edits_of_library(request, &library.source, &library.facts, library.place)
    }

    fn edits_of_library(
        &self,
        request: &Request,
        source: &str,
        facts: &ElfFacts,
        place: Place,
    ) -> Option<Edits> {
        let mut edits = Edits { rename_needed: self.renames(request, source, facts), ..Edits::default() };
        let has_path = facts.rpath.is_some() || facts.runpath.is_some();
        match place {
            // All libraries that it needs are in one directory, which the program's DT_RPATH names.
            Place::Private => edits.drop_runpath = has_path,
            // With any DT_RUNPATH the program's DT_RPATH would not serve this library's needs, and a DT_RPATH of its
            // own comes before the program's.
            Place::Lib | Place::Pinned if self.is_pinning() && request.may_edit && has_path => {
                let path = facts.runpath.as_deref().or(facts.rpath.as_deref()).unwrap_or_default();
                match kept(path).is_empty() {
                    true => edits.drop_runpath = true,
                    false => edits.rpath = Some(rpath(&request.layout.pinned_path(), facts)),
                }
            }
            Place::Lib | Place::Pinned => {}
        }
        self.add_rebinding(source, &mut edits);
        some(edits)
    }

    /// The needs of a file that become absolute paths, old and new.
    ///
    /// A need with a slash means one file, and stays a path to mean only that file: under its plain name the system's
    /// copy could be found first. musl searches LD_LIBRARY_PATH before DT_RPATH, so with the bundle's own musl every
    /// need becomes a path.
    pub(super) fn renames(&self, request: &Request, source: &str, facts: &ElfFacts) -> Vec<(String, String)> {
        let mut renames: Vec<(String, String)> = Vec::new();
        for name in &facts.needed {
            if let Some(path) = self.renamed(request, source, name)
                && !renames.iter().any(|(from, _)| from == name)
            {
                renames.push((name.clone(), path));
            }
        }
        renames
    }

    /// The path that replaces a needed name of a file, if one does.
    pub(super) fn renamed(&self, request: &Request, source: &str, name: &str) -> Option<String> {
        let layout = request.layout;
        let meant = self.paths.get(source).and_then(|entries| entries.get(name));
        if let Some(pinned) = meant.and_then(|meant| self.pinned_as(meant)) {
            return Some(format!("{}/{pinned}", layout.pinned_path()));
        }
        let all = self.private.is_some() && request.facts.libc() == Libc::Musl;
        let is_renamed = meant.is_some() || (all && !Musl::answers(name));
        let directory = if self.private.is_some() { &layout.private } else { &layout.lib };
        is_renamed.then(|| layout.path(&format!("{directory}/{}", file_name(name))))
    }

    /// The entry of the original file that became this need.
    pub(super) fn entry(&self, request: &Request, object: &Needing, need: &Need) -> String {
        let becomes_need = |entry: &&String| {
            self.renamed(request, &object.source, entry).as_deref() == Some(need.name.as_str())
        };
        let opened = if need.by == 0 { request.extra } else { &[] };
        // A name without a slash is unchanged.
        let original = if need.name.contains('/') {
            object.facts.needed.iter().chain(opened).find(becomes_need)
        } else {
            None
        };
        original.map_or_else(|| need.entry().to_owned(), String::clone)
    }

    /// Adds the rebinding of a file to its edits.
    pub(super) fn add_rebinding(&self, source: &str, edits: &mut Edits) {
        let Some(rebinding) = self.rebound.get(source) else { return };
        edits.unbind.clone_from(&rebinding.unbind);
        edits.rename_symbols.clone_from(&rebinding.rename_symbols);
        if rebinding.needs_compat() {
            edits.add_needed.push(COMPAT.to_owned());
        }
    }

    /// Whether the object with missing functions is added to the bundle: a file needs it, and no member provides it.
    pub(super) fn brings_compat(&self, request: &Request) -> bool {
        let path = compat_path(request);
        self.rebound.values().any(FileRebinding::needs_compat) && request.installed.at(&path).is_none()
    }

    /// The files with rebound references, the program first.
    pub(super) fn rebound_files(&self, request: &Request, laid: &Laid) -> Vec<ReboundFile> {
        let file = |library: Option<&str>, source: &str| {
            let references = self.rebound.get(source)?.references.clone();
            Some(ReboundFile { library: library.map(str::to_owned), references })
        };
        let own = laid.libraries.iter().filter(|library| library.link_to.is_none());
        let libraries = own.filter_map(|library| file(Some(&library.name), &library.source));
        file(None, request.path).into_iter().chain(libraries).collect()
    }
}

/// Whether the program was linked to search the directory of pinned libraries before all others.
pub(super) fn looks_there_first(request: &Request) -> bool {
    let ElfFacts { rpath, runpath, .. } = &**request.facts;
    let first = rpath.as_deref().and_then(|rpath| rpath.split(':').next());
    runpath.is_none() && first == Some(request.layout.pinned_path().as_str())
}

fn some(edits: Edits) -> Option<Edits> {
    (edits != Edits::default()).then_some(edits)
}

/// The system's interpreter, for a program whose interpreter has another path, such as in a Nix store.
///
/// The file name identifies the ABI; the walk checks whether its versions fit.
fn system_interpreter(facts: &ElfFacts, lambda: &LambdaWorld) -> Option<String> {
    let named = facts.interpreter.as_ref()?;
    let known = &lambda.baseline.interpreters;
    if known.contains(named) {
        return None;
    }
    known.iter().find(|path| file_name(path) == file_name(named)).cloned()
}

/// A DT_RPATH with `directory` before the elements that can mean something on Lambda.
fn rpath(directory: &str, facts: &ElfFacts) -> String {
    let old = facts.runpath.as_deref().or(facts.rpath.as_deref()).unwrap_or_default();
    let mut elements = vec![directory];
    elements.extend(kept(old));
    elements.join(":")
}

/// The elements of a path that can mean something on Lambda; directories of the build machine cannot.
fn kept(path: &str) -> Vec<&str> {
    let means_something = |element: &&str| {
        ["$ORIGIN", "${ORIGIN}", "/var/task", "/opt"].iter().any(|start| element.starts_with(start))
    };
    path.split(':').filter(means_something).collect()
}

pub(super) fn compat_path(request: &Request) -> String {
    request.layout.path(&format!("{}/{COMPAT}", request.layout.lib))
}
