//! The fixed point: what must be in the bundle so that the program starts on Lambda.
//!
//! Start with the program alone, walk the Lambda world, ship what is missing there, walk again, until
//! nothing more is missing that the build world has. Drop what is no longer reached. The last walk is the
//! proof; [`crate::audit`] reads it, as it reads the walks of anybody's ZIP.
//!
//! What the build world's loader opens for a need is what that need meant. If that file does not fit the
//! runtime (a version that is too new), the next file in its search order that fits is taken instead. If
//! none fits the first one is planned, and the audit says what is wrong with it.
//!
//! A system copy that lacks a version node is *pinned* over where that hurts nobody: ours goes to
//! `lib/pinned`, which DT_RPATH names and which therefore comes before LD_LIBRARY_PATH. Whether it may is for
//! `pins` to say. Each name is shipped once, pinned once and given up once at most, so the loop ends.

mod pins;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::NotShipped;
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, VersionNeed};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, TASK_ROOT, Walked};
use crate::loader::{self, Attempt, Closure, Loaded, Need, Outcome, Passed, Rule};
use crate::patterns::Patterns;
use crate::repair::Edits;
use crate::world::{Object, OpenFile, World};

/// What to plan for.
pub struct Request<'a> {
    /// The program, as the build world opens it.
    pub program: &'a OpenFile,
    /// Its facts.
    pub facts: &'a Arc<ElfFacts>,
    /// Its absolute path in the build world, links resolved.
    pub path: &'a str,
    /// Names it opens at run time, beside DT_NEEDED.
    pub extra: &'a [String],
    /// SONAMEs that are never shipped.
    pub exclude: &'a Patterns,
    /// Whether ELF files may be edited (`--repair auto`).
    pub may_edit: bool,
}

/// One library of the bundle.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// The name that was needed: the file name in `lib/`.
    pub name: String,
    /// The build world's file, links resolved.
    pub source: String,
    /// Its facts.
    pub facts: Arc<ElfFacts>,
    /// Another shipped name that has the same file: this one becomes a link to it.
    pub link_to: Option<String>,
    /// It stands in `lib/pinned` and displaces the system's copy.
    pub pinned: bool,
    /// What is edited in it.
    pub edits: Option<Edits>,
}

impl Shipped {
    /// Its name in the archive.
    pub fn entry_name(&self) -> String {
        if self.pinned { format!("lib/pinned/{}", self.name) } else { format!("lib/{}", self.name) }
    }
}

/// Why a system copy that does not fit cannot be displaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Our copy, links resolved; `None` if there is none.
    pub ours: Option<String>,
    /// The version nodes of the system's copy that ours lacks; empty if that cannot be compared.
    pub lacks: Vec<String>,
    /// Ours needs versions itself that the runtime lacks.
    pub too_new: bool,
    /// The library that cannot be displaced: the one asked for, or another of its package.
    pub soname: String,
}

/// What to write, and the walks that prove it.
#[derive(Default)]
pub struct BundlePlan {
    /// The libraries, sorted by name.
    pub shipped: Vec<Shipped>,
    /// The bundle's files as the Lambda world sees them.
    pub members: Vec<Member>,
    /// The last walks.
    pub walks: Vec<Walked>,
    /// What the build world's loader would open for each needed name.
    pub build_files: BTreeMap<String, BuildFile>,
    /// Why a missing name is not shipped.
    pub not_shipped: BTreeMap<String, NotShipped>,
    /// What the build world's loader does.
    pub build: Closure,
    /// What is edited in the program.
    pub program_edits: Option<Edits>,
    /// System copies that do not fit and cannot be displaced, by the SONAME asked for.
    pub conflicts: BTreeMap<String, Conflict>,
}

/// A library of the build world.
#[derive(Debug, Clone)]
pub struct BuildFile {
    /// Where it is, links resolved.
    pub path: String,
    /// Its facts.
    pub facts: Arc<ElfFacts>,
}

/// The only directory that DT_RPATH names. Absolute: without /proc, `$ORIGIN` vanishes silently.
pub const PINNED_DIR: &str = "/var/task/lib/pinned";

/// Plans the bundle of one program.
pub fn plan(request: &Request, lambda: &LambdaWorld, build: &World) -> BundlePlan {
    let origin = crate::world::parent(request.path);
    let build_closure = loader::walk(build, request.path, origin, request.program.clone(), request.extra);
    let mut search =
        BuildSearch { world: build, lambda, objects: build_closure.objects.clone(), closure: build_closure };
    let mut bundle = Bundle::default();
    let mut not_shipped: BTreeMap<String, NotShipped> = BTreeMap::new();
    foresee(request, lambda, &mut search, &mut bundle);
    loop {
        let walks = bundle.walks(request, lambda);
        let before = bundle.shipped.len();
        for walked in &walks {
            for need in &walked.closure.needs {
                let missing = matches!(need.outcome, Outcome::Missing(_));
                if !missing || bundle.has(&need.name) || not_shipped.contains_key(&need.name) {
                    continue;
                }
                let by = bundle.original(request, &walked.closure.objects[need.by]);
                match search.choose(&by, &need.name, request.exclude) {
                    Ok(candidate) => bundle.ship(&need.name, candidate),
                    Err(reason) => {
                        not_shipped.insert(need.name.clone(), reason);
                    }
                }
            }
        }
        // What is missing may change who else is there to be hurt: pin when nothing is missing any more.
        let grew = bundle.shipped.len() > before
            || (request.may_edit && pins::pin(request, &mut search, &mut bundle, &walks));
        if !grew {
            break;
        }
    }
    // Nobody needs what is not reached: dropping it cannot make anything missing.
    let reached = reached(&bundle.walks(request, lambda), &bundle.shipped);
    bundle.shipped.retain(|name, _| reached.contains(name));
    let mut walks = bundle.walks(request, lambda);
    let build_files = search.build_files();
    let build = build_files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
    lambda.check_symbols(&mut walks, request.facts.libc(), &build);
    let members = bundle.members();
    let program_edits = bundle.program_edits(request);
    let is_pinning = bundle.is_pinning();
    let mut shipped: Vec<Shipped> = bundle.shipped.into_values().collect();
    for library in &mut shipped {
        library.edits = if is_pinning { pins::library_edits(&library.facts) } else { None };
    }
    let conflicts = bundle.conflicts;
    BundlePlan {
        shipped,
        members,
        walks,
        build_files,
        not_shipped,
        build: search.closure,
        program_edits,
        conflicts,
    }
}

/// Ships what the build world's closure needs and the runtime may lack, before the first walk.
///
/// A walk finds what is missing one level at a time; a chain of 2,000 libraries would take as many walks. What
/// is shipped here in vain is not reached in the end, and dropped.
fn foresee(request: &Request, lambda: &LambdaWorld, search: &mut BuildSearch, bundle: &mut Bundle) {
    let needs: Vec<(usize, String)> = search
        .closure
        .needs
        .iter()
        .filter(|need| matches!(need.outcome, Outcome::Loaded(index) if index > 0))
        .filter(|need| lambda.certainty(&need.name) != Certainty::Present)
        .map(|need| (need.by, need.name.clone()))
        .collect();
    for (by, name) in needs {
        let Object::Elf(facts) = search.objects[by].file.object.clone() else { continue };
        // A SONAME that is loaded under another name needs no file of its own.
        let is_file = search.closure.objects.iter().any(|object| object.names.first() == Some(&name));
        if is_file
            && !bundle.has(&name)
            && let Ok(candidate) = search.choose(&facts, &name, request.exclude)
        {
            bundle.ship(&name, candidate);
        }
    }
}

/// The plan as it grows.
#[derive(Default)]
struct Bundle {
    shipped: BTreeMap<String, Shipped>,
    conflicts: BTreeMap<String, Conflict>,
    /// Pinned only because nobody else of the system's is loaded: the conflict that there would be.
    alone: BTreeMap<String, Conflict>,
}

impl Bundle {
    fn is_pinned(&self, name: &str) -> bool {
        self.shipped.get(name).is_some_and(|library| library.pinned)
    }

    fn has(&self, name: &str) -> bool {
        self.shipped.contains_key(name)
    }

    fn is_pinning(&self) -> bool {
        self.shipped.values().any(|library| library.pinned)
    }

    fn ship(&mut self, name: &str, candidate: Candidate) {
        let same = self.shipped.values().find(|known| known.source == candidate.source && !known.pinned);
        let link_to = same.map(|known| known.link_to.clone().unwrap_or(known.name.clone()));
        let Candidate { source, facts } = candidate;
        let name = name.to_owned();
        self.shipped
            .insert(name.clone(), Shipped { name, source, facts, link_to, pinned: false, edits: None });
    }

    fn pin(&mut self, name: &str, candidate: Candidate) {
        let Candidate { source, facts } = candidate;
        let library =
            Shipped { name: name.to_owned(), source, facts, link_to: None, pinned: true, edits: None };
        self.shipped.insert(name.to_owned(), library);
    }

    /// The walks of every variant, with the edits that the pinned libraries ask for.
    fn walks(&self, request: &Request, lambda: &LambdaWorld) -> Vec<Walked> {
        let program = match self.program_edits(request) {
            Some(edits) => Arc::new(edited(request.facts, &edits)),
            None => request.facts.clone(),
        };
        lambda.walks(&format!("{TASK_ROOT}/bootstrap"), &program, request.extra, &self.members())
    }

    fn program_edits(&self, request: &Request) -> Option<Edits> {
        self.is_pinning().then(|| pins::program_edits(request.facts))
    }

    /// The libraries as the Lambda world sees them.
    fn members(&self) -> Vec<Member> {
        let is_pinning = self.is_pinning();
        let content = |library: &Shipped| match (&library.link_to, pins::library_edits(&library.facts)) {
            (Some(target), _) => MemberContent::Link(target.clone()),
            (None, Some(edits)) if is_pinning => {
                MemberContent::Object(Arc::new(edited(&library.facts, &edits)))
            }
            (None, _) => MemberContent::Object(library.facts.clone()),
        };
        let member = |library: &Shipped| Member {
            path: format!("{TASK_ROOT}/{}", library.entry_name()),
            content: content(library),
        };
        self.shipped.values().map(member).collect()
    }

    /// An object of the Lambda world as it was before its edits.
    fn original(&self, request: &Request, object: &Loaded) -> Arc<ElfFacts> {
        let path = object.path.as_str();
        self.shipped
            .values()
            .find(|library| {
                path.strip_prefix(TASK_ROOT).is_some_and(|rest| rest[1..] == library.entry_name())
            })
            .map_or(request.facts, |library| &library.facts)
            .clone()
    }
}

/// The facts of a file after its edits.
fn edited(facts: &ElfFacts, edits: &Edits) -> ElfFacts {
    let mut facts = facts.clone();
    facts.runpath = None;
    facts.rpath.clone_from(&edits.rpath);
    facts
}

/// The shipped names that any walk loads or asks for, with the files that links among them lead to.
fn reached(walks: &[Walked], shipped: &BTreeMap<String, Shipped>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for object in walks.iter().flat_map(|walked| &walked.closure.objects) {
        for library in shipped.values().filter(|library| object.names.contains(&library.name)) {
            reached.insert(library.name.clone());
            reached.extend(library.link_to.clone());
        }
    }
    // In the bundle and yet not loaded: a library path of the user's own, or a file that Lambda's loader
    // refuses. It stays, and the audit says so.
    let failed = |need: &&Need| !matches!(need.outcome, Outcome::Loaded(_));
    for need in walks.iter().flat_map(|walked| walked.closure.needs.iter().filter(failed)) {
        reached.extend(shipped.get(&need.name).map(|library| library.name.clone()));
    }
    reached
}

/// A file of the build world that could be shipped.
struct Candidate {
    source: String,
    facts: Arc<ElfFacts>,
}

/// The build world as the source of libraries.
struct BuildSearch<'a> {
    world: &'a World<'a>,
    lambda: &'a LambdaWorld,
    closure: Closure,
    /// The closure's objects, then those that were chosen in place of one of them.
    objects: Vec<Loaded>,
}

impl BuildSearch<'_> {
    /// The file for a name that `by`, an object of the Lambda world, needs.
    fn choose(
        &mut self,
        by: &Arc<ElfFacts>,
        name: &str,
        exclude: &Patterns,
    ) -> Result<Candidate, NotShipped> {
        if exclude.matches(name) {
            return Err(NotShipped::Excluded);
        }
        if name.contains('/') {
            return Err(NotShipped::Path);
        }
        if is_glibc_part(name) {
            return Err(NotShipped::GlibcPart);
        }
        let by = self.build_index(by);
        let mut files: Vec<OpenFile> = Vec::new();
        let need = self.closure.needs.iter().find(|need| need.by == by && need.name == name);
        match need.map(|need| &need.outcome) {
            Some(Outcome::Loaded(index)) => files.push(self.closure.objects[*index].file.clone()),
            Some(Outcome::Fatal { path, reason }) => {
                return Err(NotShipped::Refused(path.clone(), reason.clone()));
            }
            Some(Outcome::Missing(attempts)) => return Err(NotShipped::NotFound(tried(attempts))),
            None => {}
        }
        files.extend(
            loader::candidates(self.world, &self.objects, by, name).into_iter().map(|(_, file)| file),
        );
        let chosen = files
            .iter()
            .find(|file| file.object.elf().is_some_and(|elf| fit(elf, self.lambda) < Fit::None))
            .or(files.first())
            .cloned()
            .ok_or_else(|| NotShipped::NotFound(Vec::new()))?;
        let Object::Elf(facts) = &chosen.object else {
            return Err(NotShipped::NotFound(Vec::new()));
        };
        if !self.objects.iter().any(|object| object.file.id == chosen.id) {
            self.objects.push(Loaded {
                path: chosen.source.clone(),
                origin: crate::world::parent(&chosen.source).to_owned(),
                names: vec![name.to_owned()],
                file: chosen.clone(),
                rule: Rule::LdLibraryPath,
                loader: Some(by),
                attempts: Vec::new(),
            });
        }
        Ok(Candidate { source: chosen.source.clone(), facts: facts.clone() })
    }

    /// The build world's object with these facts.
    fn build_index(&self, wanted: &Arc<ElfFacts>) -> usize {
        self.objects
            .iter()
            .position(|known| match &known.file.object {
                Object::Elf(facts) => Arc::ptr_eq(facts, wanted),
                _ => false,
            })
            .unwrap_or(0)
    }

    /// What each needed name led to.
    fn build_files(&self) -> BTreeMap<String, BuildFile> {
        let mut files = BTreeMap::new();
        for need in &self.closure.needs {
            let Outcome::Loaded(index) = need.outcome else { continue };
            let file = &self.closure.objects[index].file;
            if let Object::Elf(facts) = &file.object {
                let found = BuildFile { path: file.source.clone(), facts: facts.clone() };
                files.entry(need.name.clone()).or_insert(found);
            }
        }
        files
    }
}

fn tried(attempts: &[Attempt]) -> Vec<String> {
    attempts
        .iter()
        .map(|attempt| match &attempt.why {
            Passed::Absent => attempt.path.clone(),
            why => format!("{} ({})", attempt.path, why.describe()),
        })
        .collect()
}

/// How well a library's own version needs are met by the runtime's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// In every image, as far as is known.
    Every,
    /// In later images only.
    Later,
    /// In none.
    None,
}

/// Needs of libraries that would be shipped with it are left to the walk.
fn fit(elf: &ElfFacts, lambda: &LambdaWorld) -> Fit {
    if (elf.has_relr && lambda.glibc_release() < (2, 36)) || elf.libc() == Libc::Musl {
        return Fit::None;
    }
    let of = |need: &VersionNeed| {
        if need.weak || lambda.certainty(&need.file) == Certainty::Absent {
            return Fit::Every;
        }
        match lambda.baseline.object(&need.file).map(|object| object.node(&need.node)) {
            Some(NodeAnswer::Absent) => Fit::None,
            Some(NodeAnswer::Later(_)) => Fit::Later,
            _ => Fit::Every,
        }
    };
    elf.verneed.iter().map(of).max().unwrap_or(Fit::Every)
}
