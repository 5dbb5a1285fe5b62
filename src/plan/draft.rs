//! The plan as it grows: the libraries that are shipped and pinned, and the place of each file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rebind::FileRebinding;
use super::{Conflict, Place, Request, Shipped};
use crate::baseline::SystemObject;
use crate::elf::ElfFacts;
use crate::layout::Layout;
use crate::paths::file_name;
use crate::plan::NotShipped;

/// The plan as it grows.
#[derive(Default)]
pub(super) struct Draft {
    /// The shipped libraries by file name, which is the needed name without a directory.
    pub shipped: BTreeMap<String, Shipped>,
    /// Our copies of the system's libraries, by SONAME.
    pub pins: BTreeMap<String, Pin>,
    /// Needs with a slash whose file is shipped: for each needing file, the entries and the files that they mean.
    pub paths: BTreeMap<String, BTreeMap<String, String>>,
    /// The reasons why missing names are not shipped.
    pub not_shipped: BTreeMap<String, NotShipped>,
    /// Pins that were asked for and refused, by the SONAME that was asked for.
    pub refused: BTreeMap<String, Conflict>,
    /// The bundle's own C library.
    pub private: Option<Private>,
    /// The rebound references, by the path of the file in the build world.
    pub rebound: BTreeMap<String, FileRebinding>,
}

/// The libraries of a draft in their directories.
pub(super) struct Laid {
    pub libraries: Vec<Shipped>,
    /// The index of each library, by its path on Lambda.
    by_path: BTreeMap<String, usize>,
}

impl Laid {
    pub fn at(&self, path: &str) -> Option<&Shipped> {
        self.by_path.get(path).map(|index| &self.libraries[*index])
    }
}

/// An object of the Lambda world before its edits.
pub(super) struct Needing {
    pub facts: Arc<ElfFacts>,
    /// The file in the build world.
    pub source: String,
    /// Whether needs of this file that are paths can be rewritten.
    pub may_rename: bool,
}

/// A file of the build world that could be shipped.
pub(super) struct Candidate {
    pub source: String,
    pub facts: Arc<ElfFacts>,
}

/// How well a library's own version needs are met by the runtime's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// They are met in every image, as far as is known.
    Every,
    /// They are met only in later images.
    Later,
    /// They are met in no image, but the references can be rebound.
    Rebound,
    /// They are met in no image.
    None,
}

/// A copy of ours in the place of the system's.
pub(super) struct Pin {
    pub library: Shipped,
    /// The SONAME for whose sake it is pinned: its own, or that of the pin that required it.
    pub root: String,
    /// The system's object that it displaces.
    pub system: Arc<SystemObject>,
    /// The worst fit that a library pinned along with it may have.
    pub worst: Fit,
    /// Whether another program of the bundle has pinned the same file.
    pub is_given: bool,
}

/// The bundle's own C library.
pub(super) struct Private {
    /// The file name of the interpreter.
    pub interpreter: String,
    /// Parts of glibc that are added to the program's needs.
    pub parts: Vec<String>,
    /// Files that glibc itself opens.
    pub opened: Vec<String>,
}

impl Draft {
    /// Ships a file for an entry of the file `by`: a name, or a path of the build world.
    pub fn ship(&mut self, by: &str, entry: &str, candidate: Candidate) -> Result<(), NotShipped> {
        let (name, source) = (file_name(entry), candidate.source.clone());
        match self.shipped.get(name) {
            // A directory holds one file of each name.
            Some(known) if known.source != candidate.source => return Err(NotShipped::Path),
            Some(_) => {}
            None => {
                let place = if self.private.is_some() { Place::Private } else { Place::Lib };
                let is_same = |known: &&Shipped| known.source == candidate.source && known.place == place;
                let same = self.shipped.values().find(is_same);
                let link_to = same.map(|known| known.link_to.clone().unwrap_or(known.name.clone()));
                let library = Shipped { link_to, ..Shipped::new(name, candidate, place) };
                self.shipped.insert(name.to_owned(), library);
            }
        }
        if entry.contains('/') {
            self.paths.entry(by.to_owned()).or_default().insert(entry.to_owned(), source);
        }
        Ok(())
    }

    /// Whether the file that this entry asks for is shipped.
    pub fn serves(&self, by: &str, entry: &str) -> bool {
        match entry.contains('/') {
            true => self.paths.get(by).is_some_and(|entries| entries.contains_key(entry)),
            false => self.shipped.contains_key(entry),
        }
    }

    /// The libraries, pinned or not.
    pub fn libraries(&self) -> impl Iterator<Item = &Shipped> {
        self.shipped.values().chain(self.pins.values().map(|pin| &pin.library))
    }

    /// The files that may be edited: the libraries and the program.
    pub fn files<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = &'a ElfFacts> {
        self.libraries().map(|library| &*library.facts).chain([&**request.facts])
    }

    pub fn is_pinning(&self) -> bool {
        !self.pins.is_empty()
    }

    /// The name under which a file is pinned.
    pub fn pinned_as(&self, source: &str) -> Option<&str> {
        self.pins.iter().find(|(_, pin)| pin.library.source == source).map(|(name, _)| name.as_str())
    }

    /// Every library in its directory. A file that is pinned has no second copy: its other names become links.
    pub fn laid(&self, layout: &Layout) -> Laid {
        let mut libraries: Vec<Shipped> = Vec::new();
        for (name, pin) in self.pins.iter().filter(|(_, pin)| !pin.is_given) {
            let link_to = self.pinned_as(&pin.library.source).filter(|first| first != name);
            libraries.push(Shipped { link_to: link_to.map(str::to_owned), ..pin.library.clone() });
        }
        for library in self.shipped.values() {
            let pinned = self.pinned_as(&library.source);
            let pinned = pinned.map(|name| format!("{}/{name}", relative(&layout.lib, &layout.pinned)));
            let link_to = pinned.or_else(|| library.link_to.clone());
            libraries.push(Shipped { link_to, ..library.clone() });
        }
        libraries.sort_by(|one, other| (&one.name, one.place).cmp(&(&other.name, other.place)));
        let path = |library: &Shipped| layout.path(&library.entry_name(layout));
        let by_path = libraries.iter().enumerate().map(|(index, library)| (path(library), index)).collect();
        Laid { libraries, by_path }
    }
}

/// The relative path from one directory of the bundle to another.
fn relative(from: &str, to: &str) -> String {
    match to.strip_prefix(from).and_then(|rest| rest.strip_prefix('/')) {
        Some(below) => below.to_owned(),
        None => format!("{}{to}", "../".repeat(from.split('/').count())),
    }
}
