//! The plan of a bundle's program together with the programs and libraries that are included beside it.
//!
//! The libraries that the included files need and Lambda lacks are shipped, too, and the files are edited by the same
//! rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{BuildSide, BundlePlan, ReboundFile, Request, Shipped, plan};
use crate::baseline::is_glibc_part;
use crate::elf::{ElfFacts, Libc, Linkage};
use crate::lambda::{LambdaWorld, Walked};
use crate::layout::Layout;
use crate::loader::World;
use crate::patterns::Patterns;
use crate::repair::Edits;
use crate::world::{Object, OpenFile};

/// An included program or shared library.
#[derive(Debug, Clone)]
pub struct IncludedObject {
    /// The file's name in the bundle.
    pub name: String,
    /// The facts of the file.
    pub facts: Arc<ElfFacts>,
    /// The path of the file on this machine, links followed: `$ORIGIN` is its directory.
    pub source: String,
    /// The same path in terms of the build world.
    pub path: String,
    /// The choices for this file, if they are not those of the first program: an archive may have several programs,
    /// each with its own.
    pub own: Option<OwnChoices>,
}

/// The choices for a program after the first, and for the files included for it; see [`Request`].
#[derive(Debug, Clone)]
pub struct OwnChoices {
    /// Names that the program opens at run time.
    pub extra: Vec<String>,
    /// SONAMEs that are not shipped for it.
    pub exclude: Patterns,
    /// SONAMEs for which our copy is used.
    pub pin: Patterns,
    /// Whether it, and what is shipped for it, may be edited.
    pub may_edit: bool,
}

/// An included object with the plan for what it needs.
pub struct PlannedInclude {
    object: IncludedObject,
    plan: BundlePlan,
}

/// A library that an included file finds on the build machine, where the bundle has another file of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameClash {
    /// The included file's name in the bundle.
    pub by: String,
    /// Whether it is a program.
    pub is_program: bool,
    /// The library's name.
    pub soname: String,
    /// The file that it finds on the build machine.
    pub own: String,
    /// The source of the bundle's file.
    pub shipped: String,
}

impl Planned {
    /// The libraries of included files whose names the bundle has for other files; these may be copies.
    pub fn name_clashes(&self) -> Vec<NameClash> {
        let mut clashes = Vec::new();
        for PlannedInclude { object, plan } in &self.included {
            for loaded in plan.build.closure.objects.iter().skip(1) {
                let is_it = |library: &&Shipped| loaded.names.contains(&library.name);
                // The parts of the bundle's C library fit each other, wherever the linker of another program finds them.
                let is_other = |library: &&Shipped| is_it(library) && !is_glibc_part(&library.name);
                let library = self.plan.shipped.iter().find(is_other);
                if let Some(library) = library.filter(|library| library.source != loaded.file.source) {
                    clashes.push(NameClash {
                        by: object.name.clone(),
                        is_program: !object.is_library(),
                        soname: library.name.clone(),
                        own: loaded.file.source.clone(),
                        shipped: library.source.clone(),
                    });
                }
            }
        }
        clashes
    }
}

/// The plan of a bundle.
#[derive(Default)]
pub struct Planned {
    /// The plan for the program, with every library that is shipped.
    pub plan: BundlePlan,
    /// The plans for the included files.
    pub included: Vec<PlannedInclude>,
}

/// Plans the bundle of one program and the files included beside it. `build` returns the build world for programs of
/// a C library: that of the first program, or of the included file with this name.
///
/// Every program is walked again at the end, when all members are known: those walks are the proof.
pub fn plan_all<'w>(
    request: &Request,
    lambda: &LambdaWorld,
    build: &dyn Fn(Option<&str>, Libc) -> &'w World<'w>,
    objects: Vec<IncludedObject>,
) -> Planned {
    let mut main = plan(request, lambda, build(None, request.process_libc()));
    let mut installed = request.installed.clone();
    installed.add(std::mem::take(&mut main.members));
    let n_members = installed.members().len();
    let (mut pinned, taken) = (main.pinned(), main.loaded_of_system());
    let mut included: Vec<PlannedInclude> = Vec::new();
    for object in objects {
        let mut other = PlannedInclude { object, plan: BundlePlan::default() };
        if other.is_for(lambda) {
            let known = Request { installed: &installed, pinned: &pinned, taken: &taken, ..*request };
            let name = Some(other.object.name.as_str());
            other.plan = other.object.with_request(&known, &main.program, |request| {
                plan(request, lambda, build(name, request.process_libc()))
            });
            installed.add(std::mem::take(&mut other.plan.members));
            let shipped = std::mem::take(&mut other.plan.shipped);
            if !shipped.is_empty() {
                merge(&mut main.shipped, shipped, request.layout);
                pinned = main.pinned();
            }
            main.compat = main.compat.take().or(other.plan.compat.take());
        }
        included.push(other);
    }
    main.shipped.sort_by(|a, b| a.name.cmp(&b.name));
    if installed.members().len() > n_members {
        let shipped = main.shipped.clone();
        let request = &Request { installed: &installed, pinned: &shipped, ..*request };
        main.walk_again(request, lambda);
        for PlannedInclude { object, plan } in included.iter_mut().filter(|other| other.is_for(lambda)) {
            let again = |request: &Request| plan.walk_again(request, lambda);
            object.with_request(request, &main.program, again);
        }
    }
    main.members = installed.into_members();
    leave_to_their_programs(&mut included, &main, request.layout);
    for other in included.iter_mut().filter(|other| other.object.is_library()) {
        // The program that opens a plugin defines the symbols that the plugin leaves undefined.
        for walked in &mut other.plan.walks {
            walked.undefined.clear();
        }
    }
    Planned { plan: main, included }
}

/// Removes the walks of libraries that a program loads at its start: they were checked with that program, and no
/// other program finds what it finds for them by its DT_RPATH, or has loaded before.
fn leave_to_their_programs(included: &mut [PlannedInclude], main: &BundlePlan, layout: &Layout) {
    let programs = included.iter().filter(|other| !other.object.is_library());
    let walks = programs.flat_map(|program| &program.plan.walks).chain(&main.walks);
    let loaded: BTreeSet<String> =
        walks.flat_map(|walked| &walked.closure.objects).map(|object| object.absolute_path()).collect();
    for other in included.iter_mut().filter(|other| other.object.is_library()) {
        if loaded.contains(&layout.path(&other.object.name)) {
            other.plan.walks.clear();
        }
    }
}

/// Adds the libraries that another program ships. Two programs with the bundle's C library both ship its parts: a
/// file that is planned twice is shipped once. Two files for one name stay, and [`check_names`](super::check_names)
/// refuses them.
fn merge(shipped: &mut Vec<Shipped>, more: Vec<Shipped>, layout: &Layout) {
    let places = shipped.iter().enumerate().map(|(at, library)| (library.entry_name(layout), at));
    let places: BTreeMap<String, usize> = places.collect();
    for library in more {
        // A link is edited as its target is: the edits follow from the file and its place.
        let is_same = |known: &&mut Shipped| {
            let is_link = known.link_to.is_some() || library.link_to.is_some();
            known.source == library.source && (is_link || known.edits == library.edits)
        };
        let known = places.get(&library.entry_name(layout)).map(|at| &mut shipped[*at]);
        match known.filter(is_same) {
            Some(known) => known.is_interpreter |= library.is_interpreter,
            None => shipped.push(library),
        }
    }
}

impl IncludedObject {
    fn is_library(&self) -> bool {
        self.facts.linkage() == Linkage::SharedLibrary
    }

    /// Calls `act` with the request for this file, which has the same choices as the request for the program.
    fn with_request<T>(&self, request: &Request, main: &ElfFacts, act: impl FnOnce(&Request) -> T) -> T {
        let program = OpenFile {
            id: (u64::MAX, 2),
            source: self.source.clone(),
            object: Object::Elf(self.facts.clone()),
        };
        let none = BTreeSet::new();
        let (exclude, pin, may_edit) = match &self.own {
            Some(own) => (&own.exclude, &own.pin, own.may_edit),
            None => (request.exclude, request.pin, request.may_edit),
        };
        act(&Request {
            program: &program,
            facts: &self.facts,
            path: &self.path,
            extra: self.own.as_ref().map_or(&[], |own| &own.extra),
            exclude,
            pin,
            may_edit,
            layout: &Layout { program: self.name.clone(), ..request.layout.clone() },
            taken: if self.is_library() { request.taken } else { &none },
            dlopened_by: self.is_library().then_some(main),
            ..*request
        })
    }
}

impl PlannedInclude {
    fn is_for(&self, lambda: &LambdaWorld) -> bool {
        self.object.facts.arch() == Some(lambda.arch())
    }

    /// The file's name in the bundle.
    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// The path of the file on this machine.
    pub fn source(&self) -> &str {
        &self.object.source
    }

    /// The facts of the file before any edit.
    pub fn facts(&self) -> &ElfFacts {
        &self.object.facts
    }

    /// What the audit takes from the build world.
    pub fn build(&self) -> &BuildSide {
        &self.plan.build
    }

    /// The walks of the file on Lambda.
    pub fn walks(&self) -> &[Walked] {
        &self.plan.walks
    }

    /// The rebound references of the file and of the libraries that are shipped for it.
    pub fn rebound(&self) -> &[ReboundFile] {
        &self.plan.rebound
    }

    /// The edits of the file.
    pub fn edits(&self) -> Option<&Edits> {
        self.plan.program_edits.as_ref()
    }
}

impl Planned {
    /// Whether any file of the bundle is edited.
    pub fn edits(&self) -> bool {
        self.plan.edits() || self.included.iter().any(|other| other.edits().is_some())
    }

    /// The rebound references of the bundle's files, each with the name of the program or included file that it is
    /// for.
    pub fn rebound<'a>(&'a self, program: &'a str) -> impl Iterator<Item = (&'a str, &'a [ReboundFile])> {
        let included = self.included.iter().map(|other| (other.name(), other.rebound()));
        [(program, &*self.plan.rebound)].into_iter().chain(included)
    }
}
