//! The fixed point: what must be in the bundle so that the program starts on Lambda.
//!
//! The planner walks the program alone in the Lambda world, ships what is missing there, and walks again, until the
//! build world has nothing more of what is missing. Libraries that are no longer reached are dropped. The last walk
//! is the proof; [`crate::audit`] reads it in the same way as the walks of a finished archive.
//!
//! A need means the file that the build world's loader opens for it. If that file does not fit the runtime (it needs
//! a version that is too new), the planner takes the next file in the search order that fits. If none fits, the first
//! one is planned, and the audit reports what is wrong with it.
//!
//! A system copy that lacks a version node is *pinned* over where that breaks no other library: our copy goes to
//! `lib/pinned`, which DT_RPATH names and which therefore comes before LD_LIBRARY_PATH. `pins` decides whether a
//! library may be pinned.
//!
//! The state is one decision for each name:
//!
//! ```text
//! file name   nothing yet -> shipped, or not shipped for a reason
//! SONAME      the system's -> pinned -> given up;  or the system's -> refused for a reason
//! ```
//!
//! A round walks all variants and moves at least one name to the right, or is the last. A SONAME that is given up
//! stays given up, and the plan begins again from nothing without it: that takes back everything that was shipped or
//! pinned for its sake. So the measure is the pair (SONAMEs given up, names decided since), which grows in
//! lexicographic order with every round. Both are bounded: only a SONAME of the runtime's is given up, and a name is
//! one that a file of the two worlds needs. A pin that does not win (because a DT_RPATH or DT_RUNPATH that may not be
//! edited comes first) is seen on the next walk and given up, never made again.
//!
//! A bundle with its own C library (`--libc bundle`) uses no library of the system's: the system's libraries count as
//! missing, too, and `private` says which files are added. `edits` says what is edited in each file.

mod definers;
mod displaced;
mod draft;
mod edited;
mod edits;
mod harm;
mod included;
mod names;
mod pins;
mod private;
mod rebind;
mod search;
mod shipping;

pub use self::displaced::doubtful_takers;
pub use self::included::{IncludedObject, NameClash, OwnChoices, Planned, PlannedInclude, plan_all};
pub use self::names::check_names;
pub use self::rebind::{BoundTo, Rebound, ReboundFile, not_rebindable};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::definers::Definers;
use self::draft::{Candidate, Draft, Needing};
use self::harm::Conflicts;
use self::pins::Pinning;
use self::rebind::Around;
use self::search::BuildSearch;
use crate::elf::{ElfFacts, Libc};
use crate::lambda::{Certainty, Installed, LambdaWorld, Member, Walked};
use crate::layout::Layout;
use crate::loader::World;
use crate::loader::{self, Closure, Outcome};
use crate::paths;
use crate::patterns::Patterns;
use crate::repair::{COMPAT, Edits};
use crate::world::{Object, OpenFile};

/// One program to plan for, and the choices that apply to it.
pub struct Request<'a> {
    /// The program, as the build world opens it.
    pub program: &'a OpenFile,
    /// The facts of the program's file.
    pub facts: &'a Arc<ElfFacts>,
    /// The absolute path of the program in the build world, links resolved.
    pub path: &'a str,
    /// Names that the program opens at run time, beside DT_NEEDED.
    pub extra: &'a [String],
    /// SONAMEs that are never shipped.
    pub exclude: &'a Patterns,
    /// SONAMEs for which our copy is used, though the system's would do.
    pub pin: &'a Patterns,
    /// Whether ELF files may be edited (`--repair auto`).
    pub may_edit: bool,
    /// The C library that the program uses.
    pub libc: LibcSource,
    /// The names and paths of the bundle's files.
    pub layout: &'a Layout,
    /// Files that are on Lambda whatever is planned: included files, and those of attached layers.
    pub installed: &'a Installed<'a>,
    /// Libraries that other programs of the bundle have pinned; they are among `installed`, too. For
    /// [`BundlePlan::walk_again`], all libraries that are shipped.
    pub pinned: &'a [Shipped],
    /// System SONAMEs that the opening program has loaded before it opens this library: no pin can come before them.
    pub taken: &'a BTreeSet<String>,
    /// If this is a library: the program that opens it, after its edits.
    pub dlopened_by: Option<&'a ElfFacts>,
}

impl Request<'_> {
    /// The C library of the process: the program's, or that of the program that opens it.
    pub fn process_libc(&self) -> Libc {
        match self.dlopened_by {
            Some(program) => self.facts.dlopened_by(program).process_libc(),
            None => self.facts.process_libc(),
        }
    }

    /// Whether it is a library for another C library than that of the process: nothing helps it, and it is neither
    /// edited nor shipped for. Packages have a build for each.
    fn is_opened_in_vain(&self) -> bool {
        let needed =
            self.facts.needed_libc().filter(|_| self.dlopened_by.is_some() && !self.facts.is_program());
        needed.is_some_and(|libc| libc != self.process_libc())
    }

    /// The program's path on Lambda.
    fn program_path(&self) -> String {
        self.layout.path(&self.layout.program)
    }
}

/// The C library that a program uses on Lambda (`--libc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibcSource {
    /// The runtime's.
    System,
    /// The build world's, which is shipped with every library that uses it.
    Bundle,
}

/// The directory of a bundle in which a library stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// [`Layout::lib`].
    Lib,
    /// [`Layout::pinned`].
    Pinned,
    /// [`Layout::private`].
    Private,
}

impl Place {
    fn directory(self, layout: &Layout) -> &str {
        match self {
            Place::Lib => &layout.lib,
            Place::Pinned => &layout.pinned,
            Place::Private => &layout.private,
        }
    }
}

/// One library of the bundle.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// The name that was needed: the file name in `lib/`.
    pub name: String,
    /// The build world's file, links resolved.
    pub source: String,
    /// The facts of that file.
    pub facts: Arc<ElfFacts>,
    /// The target of a link: another shipped name has the same file, and this name becomes a link to it.
    pub link_to: Option<String>,
    /// The directory in which the library stands.
    pub place: Place,
    /// Whether this is the interpreter: the kernel requires its x bit.
    pub is_interpreter: bool,
    /// The edits of this file.
    pub edits: Option<Edits>,
}

impl Shipped {
    fn new(name: &str, candidate: Candidate, place: Place) -> Shipped {
        let Candidate { source, facts } = candidate;
        let name = name.to_owned();
        Shipped { name, source, facts, link_to: None, place, is_interpreter: false, edits: None }
    }

    /// The library's name in the archive.
    pub fn entry_name(&self, layout: &Layout) -> String {
        format!("{}/{}", self.place.directory(layout), self.name)
    }
}

/// Why our copy of a library cannot take the place of the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Our copy, links resolved; `None` if there is none.
    pub ours: Option<String>,
    /// The library that cannot be displaced: the one asked for, or another of its package.
    pub soname: String,
    /// The reason.
    pub why: WhyNot,
    /// The reason for which the library would be displaced.
    pub asked: Asked,
}

impl Conflict {
    fn new(soname: &str, why: WhyNot) -> Conflict {
        Conflict { ours: None, soname: soname.to_owned(), why, asked: Asked::Need }
    }
}

/// The reasons why a library cannot be displaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// The build world has no copy that may be shipped.
    NoCopy,
    /// Our copy itself needs versions that the runtime lacks.
    TooNew,
    /// Our copy lacks these version nodes of the system's copy.
    Lacks(Vec<String>),
    /// Our copy may be older, and the library has no version nodes by which to tell.
    Older,
    /// The system's copies of other libraries of its package are loaded beside ours.
    Half,
    /// The system's copy is loaded anyway, because this file needs it.
    Loses(String),
    /// The program has loaded the system's copy before it opens this library.
    Taken,
    /// Another program of the bundle has pinned a different file.
    Other,
    /// No file may be edited (`--repair never`).
    NoLeave,
}

/// The reasons for which a library would be displaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A file needs a version that the system's copy lacks.
    Need,
    /// The user asked for it (`--bundle-lib`).
    Wish,
    /// A file of the bundle has this SONAME; the file's name in the archive.
    File(String),
}

/// The files to write, and the walks that prove that they start.
#[derive(Default)]
pub struct BundlePlan {
    /// What the audit takes from the build world.
    pub build: BuildSide,
    /// The libraries, sorted by name.
    pub shipped: Vec<Shipped>,
    /// The files that the plan adds, as the Lambda world sees them; [`plan_all`] has all files of the bundle here.
    pub members: Vec<Member>,
    /// The last walks.
    pub walks: Vec<Walked>,
    /// The edits of the program.
    pub program_edits: Option<Edits>,
    /// The rebound references, file by file.
    pub rebound: Vec<ReboundFile>,
    /// The name in the archive of the object that defines functions which the runtime lacks, if any file needs it.
    pub compat: Option<String>,
    /// The program after its edits, as the loader reads it.
    pub program: Arc<ElfFacts>,
    /// The names that the program opens at run time ([`Request::extra`]), as they are on Lambda.
    pub libs: Vec<String>,
    /// The names and paths that are opened at run time.
    opened: Vec<String>,
}

impl BundlePlan {
    /// Whether any file is edited.
    pub fn edits(&self) -> bool {
        self.program_edits.is_some() || self.shipped.iter().any(|library| library.edits.is_some())
    }
}

/// A library of the build world.
#[derive(Debug, Clone)]
pub struct BuildFile {
    /// The path of the file, links resolved.
    pub path: String,
    /// The facts of the file.
    pub facts: Arc<ElfFacts>,
}

/// What the audit takes from the build world. An archive alone has no build world: the default.
#[derive(Debug, Default)]
pub struct BuildSide {
    /// The walk of the build world's loader.
    pub closure: Closure,
    /// The file that the build world's loader would open for each needed name.
    pub files: BTreeMap<String, BuildFile>,
    /// The reason why a missing name is not shipped, where it is better than "not found".
    pub not_shipped: BTreeMap<String, NotShipped>,
    /// System copies that do not fit and cannot be displaced, by the SONAME asked for.
    pub conflicts: BTreeMap<String, Conflict>,
    /// Whether ELF files may be edited.
    pub may_edit: bool,
}

/// Why a library that Lambda lacks is not in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShipped {
    /// `--exclude-lib`.
    Excluded,
    /// A part of glibc: never shipped beside the system's others.
    GlibcPart,
    /// A file needs it by a path that Lambda does not have.
    Path,
    /// No archive can have an entry of that name.
    Name,
    /// The build world's loader refuses this file, for this reason.
    Refused(String, String),
    /// The build world has only this file, for another machine.
    OtherMachine {
        /// The file.
        path: String,
        /// The machine, as [`ElfFacts::machine_name`] names it.
        machine: String,
    },
    /// The build world lacks it, too.
    NotFound,
}

/// Plans the bundle of one program.
pub fn plan(request: &Request, lambda: &LambdaWorld, build: &World) -> BundlePlan {
    let origin = paths::parent(request.path);
    let build_closure = loader::walk(build, request.path, origin, request.program.clone(), request.extra);
    let mut search = BuildSearch {
        world: build,
        lambda,
        objects: build_closure.objects.clone(),
        closure: build_closure,
        is_private: false,
        displaced: BTreeSet::new(),
        may_rebind: request.may_edit,
    };
    let mut given_up = Conflicts::new();
    let (mut draft, walks) = loop {
        match grow(request, lambda, &mut search, &given_up) {
            Ok(grown) => break grown,
            Err(more) => given_up.extend(more),
        }
    };
    let laid = draft.laid(request.layout);
    let dropped = draft.drop_unreached(request.layout, &laid, &walks);
    if dropped {
        rebind(&mut draft, request, lambda);
    }
    let laid = if dropped { draft.laid(request.layout) } else { laid };
    let mut walks = if dropped { draft.walks(request, lambda, &laid) } else { walks };
    let build_files = search.build_files();
    let build = build_files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
    lambda.check_symbols(&mut walks, &build);
    let mut conflicts = std::mem::take(&mut draft.refused);
    conflicts.extend(given_up);
    conflicts.extend(draft.wishes_before_layers(request, &walks));
    if draft.private.is_none() {
        conflicts.extend(displaced::conflicts(request, lambda, &walks, &laid.libraries));
    }
    // A wish for a library that is not loaded in the end has no effect.
    let loads = |soname: &String| {
        let mut objects = walks.iter().flat_map(|walked| &walked.closure.objects);
        objects.any(|object| object.file.object.soname() == Some(soname) || object.names.contains(soname))
    };
    conflicts.retain(|soname, conflict| conflict.asked != Asked::Wish || loads(soname));
    BundlePlan {
        program: draft.program(request, lambda),
        libs: draft.libs(request),
        opened: draft.opened(request),
        members: draft.members(request, &laid),
        program_edits: draft.program_edits(request, lambda),
        rebound: draft.rebound_files(request, &laid),
        compat: draft.brings_compat(request).then(|| format!("{}/{COMPAT}", request.layout.lib)),
        shipped: draft.edited(request, laid),
        walks,
        build: BuildSide {
            closure: search.closure,
            files: build_files,
            not_shipped: draft.not_shipped,
            conflicts,
            may_edit: request.may_edit,
        },
    }
}

/// Ships and pins libraries until everything that can be had is there.
///
/// # Errors
///
/// If pins break a rule: these pins. The plan must begin again without them.
fn grow(
    request: &Request,
    lambda: &LambdaWorld,
    search: &mut BuildSearch,
    given_up: &Conflicts,
) -> Result<(Draft, Vec<Walked>), Conflicts> {
    let mut draft = Draft::default();
    search.displaced.clear();
    if request.is_opened_in_vain() {
        let walks = draft.walks(request, lambda, &draft.laid(request.layout));
        return Ok((draft, walks));
    }
    if request.libc == LibcSource::Bundle {
        private::begin(request, search, &mut draft);
    }
    foresee(request, lambda, search, &mut draft);
    loop {
        rebind(&mut draft, request, lambda);
        let laid = draft.laid(request.layout);
        let walks = draft.walks(request, lambda, &laid);
        // A missing library may change which system libraries are loaded: pin once nothing is missing.
        if draft.ship_missing(request, search, &laid, &walks) {
            continue;
        }
        if draft.private.is_some() {
            return Ok((draft, walks));
        }
        if draft.ship_before_layers(request, search, &laid, &walks) {
            continue;
        }
        let mut pinning = Pinning { request, search, draft: &mut draft, laid: &laid, given_up };
        if !pinning.step(&walks)? {
            return Ok((draft, walks));
        }
    }
}

/// Decides anew which references are rebound in each file of the draft.
fn rebind(draft: &mut Draft, request: &Request, lambda: &LambdaWorld) {
    // What precedes what is a property of the files as they are.
    draft.rebound.clear();
    if !request.may_edit || draft.private.is_some() {
        return;
    }
    let wanted = rebind::wanted(draft.files(request), lambda);
    let walks = || draft.walks(request, lambda, &draft.laid(request.layout));
    let given = request.installed.members().iter().filter_map(Member::object).map(|facts| &**facts);
    let definers = Definers::new(draft.files(request).chain(given), request.dlopened_by, walks, &wanted);
    let around = Around::with(lambda, definers);
    let program = (request.path, &**request.facts);
    let libraries = draft.libraries().map(|library| (library.source.as_str(), &*library.facts));
    let rebound = libraries.chain([program]).map(|(source, facts)| (source, rebind::rebind(facts, &around)));
    let rebound = rebound.filter(|(_, rebinding)| !rebinding.references.is_empty());
    draft.rebound = rebound.map(|(source, rebinding)| (source.to_owned(), rebinding)).collect();
}

/// Ships what the build world's closure needs and the runtime may lack, before the first walk.
///
/// A walk finds what is missing one level at a time; a chain of 2,000 libraries would take as many walks. A library
/// that is shipped here in vain is not reached in the end, and dropped.
fn foresee(request: &Request, lambda: &LambdaWorld, search: &mut BuildSearch, draft: &mut Draft) {
    let is_private = draft.private.is_some();
    let needs: Vec<loader::Need> = search
        .closure
        .needs
        .iter()
        .filter(|need| matches!(need.outcome, Outcome::Loaded(index) if index > 0))
        .filter(|need| is_private || lambda.certainty(&need.name) != Certainty::Present)
        .cloned()
        .collect();
    let first_names = search.closure.objects.iter().filter_map(|object| object.names.first());
    let loaded: BTreeSet<String> = first_names.cloned().collect();
    for need in needs {
        let file = &search.objects[need.by].file;
        let Object::Elf(facts) = file.object.clone() else { continue };
        let source = if need.by == 0 { request.path.to_owned() } else { file.source.clone() };
        let by = Needing { facts, source, may_rename: request.may_edit };
        // A SONAME that is loaded under another name needs no file of its own, nor does a name that is a member.
        let is_file = !request.installed.has_name(&need.name) && loaded.contains(&need.name);
        if is_file
            && !draft.serves(&by.source, need.entry())
            && let Ok(candidate) = search.choose(&by, need.entry(), request.exclude)
        {
            // A library that cannot be shipped is met again by the walks, which report why.
            let _ = draft.ship(&by.source, need.entry(), candidate);
        }
    }
}

impl BundlePlan {
    /// The libraries that are pinned.
    pub fn pinned(&self) -> Vec<Shipped> {
        self.shipped.iter().filter(|library| library.place == Place::Pinned).cloned().collect()
    }

    /// The SONAMEs of the system's libraries that the program has loaded when it opens a library.
    pub fn loaded_of_system(&self) -> BTreeSet<String> {
        let objects = self.walks.iter().flat_map(|walked| &walked.closure.objects);
        let systems = objects.filter_map(|object| match &object.file.object {
            Object::System(system) => Some(system.soname.clone()),
            Object::Elf(_) | Object::Unseen => None,
        });
        systems.collect()
    }

    /// Walks the program once more, among all members of the bundle; the plan knew only a part of them.
    pub fn walk_again(&mut self, request: &Request, lambda: &LambdaWorld) {
        self.walks = request.installed.walks(&request.program_path(), &self.program, &self.opened, &[]);
        let build = self.build.files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
        lambda.check_symbols(&mut self.walks, &build);
        if request.libc == LibcSource::System {
            self.build.conflicts.extend(displaced::conflicts(request, lambda, &self.walks, &self.shipped));
        }
    }
}
