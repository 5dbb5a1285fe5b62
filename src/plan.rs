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
//!
//! With a C library of its own (`--libc bundle`) a bundle uses nothing of the system's: what the system has
//! counts as missing, too, and `private` says what comes along. What is edited in which file is for `edits`.

mod edits;
mod pins;
mod private;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::NotShipped;
use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, VersionNeed, file_name};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, Walked};
use crate::layout::Layout;
use crate::loader::{self, Attempt, Closure, Loaded, Need, Outcome, Passed, Rule};
use crate::patterns::Patterns;
use crate::repair::Edits;
use crate::script::Script;
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
    /// SONAMEs whose copy of ours shall be used, though the system's would do.
    pub prefer: &'a Patterns,
    /// Whether ELF files may be edited (`--repair auto`).
    pub may_edit: bool,
    /// Whose C library the program uses.
    pub libc: LibcSource,
    /// How the program starts.
    pub start: Start,
    /// Where the files go.
    pub layout: &'a Layout,
    /// Files that are there whatever is planned: included ones, and those of attached layers.
    pub members: &'a [Member],
    /// The program that opens it, after its edits, if this is a library by itself.
    pub opened_by: Option<&'a ElfFacts>,
}

impl Request<'_> {
    /// The world as the program's start leaves it.
    fn world<'a>(&self, lambda: &'a LambdaWorld) -> Cow<'a, LambdaWorld> {
        match self.start {
            Start::Direct => Cow::Borrowed(lambda),
            Start::Script => {
                let place = if self.libc == LibcSource::Bundle { Place::Private } else { Place::Pinned };
                Cow::Owned(lambda.behind(&self.layout.path(place.directory(self.layout))))
            }
        }
    }

    /// The C library of the process: the program's, or that of the program that opens it.
    pub fn process_libc(&self) -> Libc {
        match self.opened_by {
            Some(program) => self.facts.opened_by(program).process_libc(),
            None => self.facts.process_libc(),
        }
    }

    /// The program's path on Lambda.
    fn program_path(&self) -> String {
        match self.start {
            Start::Direct => self.layout.path(&self.layout.program),
            Start::Script => self.layout.path(&self.layout.scripted_program()),
        }
    }
}

/// Whose C library a program uses on Lambda (`--libc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibcSource {
    /// The runtime's.
    System,
    /// The build world's, which is shipped together with everything else.
    Bundle,
}

/// How a program starts on Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// By itself.
    Direct,
    /// By a script, because it cannot be edited.
    Script,
}

/// Which directory of a bundle a library stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Its facts.
    pub facts: Arc<ElfFacts>,
    /// Another shipped name that has the same file: this one becomes a link to it.
    pub link_to: Option<String>,
    /// Which directory it stands in.
    pub place: Place,
    /// It is the interpreter: the kernel wants an x bit.
    pub is_interpreter: bool,
    /// What is edited in it.
    pub edits: Option<Edits>,
}

impl Shipped {
    fn new(name: &str, candidate: Candidate, place: Place) -> Shipped {
        let Candidate { source, facts } = candidate;
        let name = name.to_owned();
        Shipped { name, source, facts, link_to: None, place, is_interpreter: false, edits: None }
    }

    /// Its name in the archive.
    pub fn entry_name(&self, layout: &Layout) -> String {
        format!("{}/{}", self.place.directory(layout), self.name)
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
    /// The system's copy would do, but the user prefers ours.
    pub is_wish: bool,
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
    /// What starts the program, with [`Start::Script`].
    pub script: Option<Script>,
    /// The program after its edits, as the loader meets it.
    pub program: Arc<ElfFacts>,
    /// What is opened at run time.
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
    /// Where it is, links resolved.
    pub path: String,
    /// Its facts.
    pub facts: Arc<ElfFacts>,
}

/// Plans the bundle of one program.
pub fn plan(request: &Request, lambda: &LambdaWorld, build: &World) -> BundlePlan {
    let lambda = &*request.world(lambda);
    let origin = crate::world::parent(request.path);
    let build_closure = loader::walk(build, request.path, origin, request.program.clone(), request.extra);
    let mut search = BuildSearch {
        world: build,
        lambda,
        objects: build_closure.objects.clone(),
        closure: build_closure,
        is_private: false,
        may_edit: request.may_edit,
    };
    let mut bundle = Bundle::default();
    let mut not_shipped: BTreeMap<String, NotShipped> = BTreeMap::new();
    if request.libc == LibcSource::Bundle {
        private::begin(request, &mut search, &mut bundle, &mut not_shipped);
    }
    foresee(request, lambda, &mut search, &mut bundle);
    let walks = loop {
        let walks = bundle.walks(request, lambda);
        let before = (bundle.shipped.len(), bundle.paths.len());
        for walked in &walks {
            for need in &walked.closure.needs {
                if !bundle.is_unmet(&walked.closure, need) || not_shipped.contains_key(&need.name) {
                    continue;
                }
                let Some(by) = bundle.original(request, need.by, &walked.closure) else { continue };
                let name = bundle.original_need(request, &by, &need.name);
                if bundle.serves(&name) {
                    continue;
                }
                let chosen = search.choose(&by, &name, request.exclude);
                if let Err(reason) = chosen.and_then(|candidate| bundle.ship(&name, candidate)) {
                    not_shipped.insert(need.name.clone(), reason);
                }
            }
        }
        // What is missing may change who else is there to be hurt: pin when nothing is missing any more.
        let grew = (bundle.shipped.len(), bundle.paths.len()) != before
            || ((request.may_edit || edits::looks_there_first(request))
                && bundle.private.is_none()
                && pins::pin(request, &mut search, &mut bundle, &walks));
        if !grew {
            break walks;
        }
    };
    // Nobody needs what is not reached: dropping it cannot make anything missing.
    let reached = reached(&walks, &bundle.shipped);
    let before = bundle.shipped.len();
    bundle.shipped.retain(|name, library| library.is_interpreter || reached.contains(name));
    let mut walks = if bundle.shipped.len() == before { walks } else { bundle.walks(request, lambda) };
    let build_files = search.build_files();
    let build = build_files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
    lambda.check_symbols(&mut walks, &build);
    let members = bundle.members(request);
    let program_edits = bundle.program_edits(request, lambda);
    let script = bundle.script(request);
    let (program, opened) = (bundle.program(request, lambda), bundle.opened(request));
    let is_pinning = bundle.is_pinning();
    let edits: Vec<Option<Edits>> =
        bundle.shipped.values().map(|library| bundle.library_edits(request, library, is_pinning)).collect();
    let mut shipped: Vec<Shipped> = bundle.shipped.into_values().collect();
    for (library, edits) in shipped.iter_mut().zip(edits) {
        library.edits = edits;
    }
    let conflicts = bundle.conflicts;
    BundlePlan {
        script,
        program,
        opened,
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
    let is_private = bundle.private.is_some();
    let needs: Vec<(usize, String)> = search
        .closure
        .needs
        .iter()
        .filter(|need| matches!(need.outcome, Outcome::Loaded(index) if index > 0))
        .filter(|need| is_private || lambda.certainty(&need.name) != Certainty::Present)
        .map(|need| (need.by, need.name.clone()))
        .collect();
    let given: BTreeSet<&str> = request.members.iter().map(|member| file_name(&member.path)).collect();
    let first_names = search.closure.objects.iter().filter_map(|object| object.names.first());
    let loaded: BTreeSet<String> = first_names.cloned().collect();
    for (by, name) in needs {
        let Object::Elf(facts) = search.objects[by].file.object.clone() else { continue };
        // A SONAME that is loaded under another name needs no file of its own, nor does one that is there.
        let is_file = !given.contains(name.as_str()) && loaded.contains(&name);
        if is_file
            && !bundle.serves(&name)
            && let Ok(candidate) = search.choose(&facts, &name, request.exclude)
        {
            // What cannot be shipped is met again by the walks, which say why.
            let _ = bundle.ship(&name, candidate);
        }
    }
}

/// The plan as it grows.
#[derive(Default)]
struct Bundle {
    /// By file name, which is the name that was needed but for its directory.
    shipped: BTreeMap<String, Shipped>,
    /// Needs with a slash whose file is shipped.
    paths: BTreeSet<String>,
    conflicts: BTreeMap<String, Conflict>,
    /// Pinned only because nobody else of the system's is loaded: the conflict that there would be.
    alone: BTreeMap<String, Conflict>,
    /// The C library that comes along.
    private: Option<private::Private>,
}

impl Bundle {
    fn is_pinned(&self, name: &str) -> bool {
        self.shipped.get(name).is_some_and(|library| library.place == Place::Pinned)
    }

    /// Whether what this need asks for is shipped.
    fn serves(&self, need: &str) -> bool {
        self.shipped.contains_key(file_name(need)) && (!need.contains('/') || self.paths.contains(need))
    }

    fn is_pinning(&self) -> bool {
        self.shipped.values().any(|library| library.place == Place::Pinned)
    }

    /// Ships a file for a need: a name, or a path of the build world.
    fn ship(&mut self, need: &str, candidate: Candidate) -> Result<(), NotShipped> {
        let name = file_name(need);
        match self.shipped.get(name) {
            // The directory holds one file of a name.
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
        if need.contains('/') {
            self.paths.insert(need.to_owned());
        }
        Ok(())
    }

    fn pin(&mut self, name: &str, candidate: Candidate) {
        self.shipped.insert(name.to_owned(), Shipped::new(name, candidate, Place::Pinned));
    }

    /// Whether a need leads to nothing, or to a file of the system that must not be loaded.
    fn is_unmet(&self, closure: &Closure, need: &Need) -> bool {
        match need.outcome {
            Outcome::Missing(_) => true,
            Outcome::Loaded(index) => {
                self.private.is_some() && matches!(closure.objects[index].file.object, Object::System(_))
            }
            Outcome::Fatal { .. } => false,
        }
    }

    /// The walks of every variant, of the files as they are after their edits.
    fn walks(&self, request: &Request, lambda: &LambdaWorld) -> Vec<Walked> {
        let program = self.program(request, lambda);
        lambda.walks(&request.program_path(), &program, &self.opened(request), &self.members(request))
    }

    /// The program after its edits.
    fn program(&self, request: &Request, lambda: &LambdaWorld) -> Arc<ElfFacts> {
        let facts = match self.program_edits(request, lambda).or_else(|| self.called_loader(request)) {
            Some(edits) => Arc::new(edits::edited(request.facts, &edits)),
            None => request.facts.clone(),
        };
        match request.opened_by {
            Some(program) => Arc::new(facts.opened_by(program)),
            None => facts,
        }
    }

    /// What is opened at run time.
    fn opened(&self, request: &Request) -> Vec<String> {
        let by_libc = self.private.iter().flat_map(|private| private.opened.iter());
        request.extra.iter().chain(by_libc).cloned().collect()
    }

    /// The libraries, and the files that are there anyway, as the Lambda world sees them.
    fn members(&self, request: &Request) -> Vec<Member> {
        let is_pinning = self.is_pinning();
        let edits = |library: &Shipped| self.library_edits(request, library, is_pinning);
        let content = |library: &Shipped| match (&library.link_to, edits(library)) {
            (Some(target), _) => MemberContent::Link(target.clone()),
            (None, Some(edits)) => MemberContent::Object(Arc::new(edits::edited(&library.facts, &edits))),
            (None, None) => MemberContent::Object(library.facts.clone()),
        };
        let member = |library: &Shipped| Member {
            path: request.layout.path(&library.entry_name(request.layout)),
            content: content(library),
        };
        request.members.iter().cloned().chain(self.shipped.values().map(member)).collect()
    }

    /// An object of a walk as it was before its edits; `None` for what is not ours.
    fn original(&self, request: &Request, index: usize, closure: &Closure) -> Option<Arc<ElfFacts>> {
        if index == 0 {
            return Some(request.facts.clone());
        }
        let path = &closure.objects[index].path;
        let library = self.shipped.get(file_name(path));
        let library =
            library.filter(|library| request.layout.path(&library.entry_name(request.layout)) == *path);
        library.map(|library| &library.facts).or_else(|| given(request.members, path)).cloned()
    }

    /// What a need of the edited file was in the original.
    fn original_need(&self, request: &Request, by: &ElfFacts, need: &str) -> String {
        let is_it = |name: &&String| self.renamed(request, name).as_deref() == Some(need);
        // A name that is no path is as it was.
        let original = if need.contains('/') { by.needed.iter().find(is_it) } else { None };
        original.map_or(need, String::as_str).to_owned()
    }
}

/// The object at a path, if it is in the bundle whatever is planned.
fn given<'a>(members: &'a [Member], path: &str) -> Option<&'a Arc<ElfFacts>> {
    members.iter().find(|member| member.path == path).and_then(|member| match &member.content {
        MemberContent::Object(facts) => Some(facts),
        MemberContent::Link(_) | MemberContent::Other(_) => None,
    })
}

impl BundlePlan {
    /// Walks the program once more, among all members of the bundle, of which the plan knew a part.
    pub fn walk_again(&mut self, request: &Request, lambda: &LambdaWorld, members: &[Member]) {
        let lambda = request.world(lambda);
        self.walks = lambda.walks(&request.program_path(), &self.program, &self.opened, members);
        let build = self.build_files.iter().map(|(name, file)| (name.clone(), file.facts.clone())).collect();
        lambda.check_symbols(&mut self.walks, &build);
    }
}

/// The shipped names that any walk loads or asks for, with the files that links among them lead to.
fn reached(walks: &[Walked], shipped: &BTreeMap<String, Shipped>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for object in walks.iter().flat_map(|walked| &walked.closure.objects) {
        let names = object.names.iter().map(String::as_str).chain([file_name(&object.path)]);
        for library in names.filter_map(|name| shipped.get(name)) {
            reached.insert(library.name.clone());
            reached.extend(library.link_to.clone());
        }
    }
    // In the bundle and yet not loaded: a library path of the user's own, or a file that Lambda's loader
    // refuses. It stays, and the audit says so.
    let failed = |need: &&Need| !matches!(need.outcome, Outcome::Loaded(_));
    for need in walks.iter().flat_map(|walked| walked.closure.needs.iter().filter(failed)) {
        reached.extend(shipped.get(file_name(&need.name)).map(|library| library.name.clone()));
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
    /// Nothing of the system's is used: libraries need not fit it, and glibc's parts come, too.
    is_private: bool,
    /// Whether a need may be edited.
    may_edit: bool,
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
        // Bytes of a name that are not UTF-8 are `\xNN` in the facts of a file.
        if file_name(name).contains('\\') {
            return Err(NotShipped::Name);
        }
        if name.contains('/') && !self.may_edit {
            return Err(NotShipped::Path);
        }
        if is_glibc_part(name) && !self.is_private {
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
        if !name.contains('/') {
            let more = loader::candidates(self.world, &self.objects, by, name);
            files.extend(more.into_iter().map(|(_, file)| file));
        }
        let fits = |elf: &ElfFacts| self.is_private || fit(elf, self.lambda) < Fit::None;
        let chosen = files
            .iter()
            .find(|file| file.object.elf().is_some_and(fits))
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
                opening: None,
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
