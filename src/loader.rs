//! The actions of ld.so in a [`World`]: the objects that it loads, their paths, and the objects it does not find.
//!
//! The walk is breadth-first in DT_NEEDED order, as in `_dl_map_object_deps` (glibc, elf/dl-deps.c) and
//! `load_deps` (musl, ldso/dynlink.c). A rule set, [`Rules`], says how one name is found: glibc and musl differ in
//! nearly every step. The loader judges nothing; [`crate::audit`] turns a closure into findings.
//!
//! Invariants: object 0 is the root; an object is in the list once; every need of every object whose needs are known
//! has exactly one [`Need`], but a DT_AUXILIARY that is not found has none. The walk ends for any input, since an
//! object is loaded once.
//!
//! `ld_so`, `musl_loader` and `differential` in `tests/oracle` compare all this with the loaders.

mod cache;
mod glibc;
mod known;
mod musl;
mod opened;
mod queue;
mod symbols;
mod versions;

pub use cache::{Cache, compare_names};
pub use glibc::{Glibc, hwcap_subdirectories};
pub use musl::Musl;
pub use opened::OpenedLibrary;
pub use symbols::{Known, Undefined, UnmetReference, undefined_symbols};
pub use versions::{VersionAnswer, VersionCheck, check_versions};

use std::cell::Cell;
use std::collections::BTreeMap;

use self::glibc::KnownDirectories;
use self::known::KnownNames;
use self::queue::Queue;
use crate::paths;
use crate::world::{Files, Object, OpenFile, Opened};

/// Everything a walk depends on.
pub struct World<'a> {
    /// The files.
    pub files: &'a dyn Files,
    /// The rules of the program's C library.
    pub rules: Rules,
    /// LD_LIBRARY_PATH; `None` when not set.
    pub library_path: Option<String>,
    /// The current directory of the process.
    pub working_directory: String,
}

/// The rule by which a name was resolved. The words are those of the JSON contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The start of the walk.
    Root,
    /// A name, path or SONAME of an object that is already loaded.
    AlreadyLoaded,
    /// DT_RPATH of the needing object, of the objects that loaded it, or of the program.
    Rpath,
    /// LD_LIBRARY_PATH.
    LdLibraryPath,
    /// DT_RUNPATH of the needing object (musl: also of the objects that loaded it).
    Runpath,
    /// /etc/ld.so.cache.
    Cache,
    /// The loader's own directories.
    DefaultDir,
    /// The name has a slash.
    DirectPath,
    /// PT_INTERP: the kernel loads it.
    Interpreter,
    /// The loader answers the name itself (musl).
    Builtin,
}

impl Rule {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Root => "root",
            Rule::AlreadyLoaded => "already-loaded",
            Rule::Rpath => "rpath",
            Rule::LdLibraryPath => "ld-library-path",
            Rule::Runpath => "runpath",
            Rule::Cache => "cache",
            Rule::DefaultDir => "default-dir",
            Rule::DirectPath => "direct-path",
            Rule::Interpreter => "interpreter",
            Rule::Builtin => "builtin",
        }
    }

    /// What a reader calls it.
    pub fn words(self) -> &'static str {
        match self {
            Rule::Root => "the program",
            Rule::AlreadyLoaded => "loaded before",
            Rule::Rpath => "DT_RPATH",
            Rule::LdLibraryPath => "LD_LIBRARY_PATH",
            Rule::Runpath => "DT_RUNPATH",
            Rule::Cache => "ld.so.cache",
            Rule::DefaultDir => "default directory",
            Rule::DirectPath => "needed by this path",
            Rule::Interpreter => "interpreter",
            Rule::Builtin => "built into the loader",
        }
    }
}

/// The search rules of one C library's loader, as one value.
#[derive(Debug, Clone)]
pub enum Rules {
    /// glibc's ld.so.
    Glibc(Glibc),
    /// musl's loader.
    Musl(Musl),
}

/// One object of a closure.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The path under which the loader knows it.
    pub path: String,
    /// The directory that `$ORIGIN` stands for.
    pub origin: String,
    /// The opened file.
    pub file: OpenFile,
    /// The names under which a later need finds the object, its path left out.
    pub names: Vec<String>,
    /// The rule by which it was found the first time.
    pub rule: Rule,
    /// The object whose need loaded it; `None` for the root and the interpreter.
    pub loader: Option<usize>,
    /// The index in [`Closure::opened`] of the library with which it was loaded; `None` if it was loaded at the
    /// start.
    pub opening: Option<usize>,
    /// The paths that were tried before it was found.
    pub attempts: Vec<Attempt>,
}

impl Loaded {
    /// The object's path from the root, without `.` and `..`: ld.so keeps what a search path says (`fillin_rpath` in
    /// glibc's elf/dl-load.c), and LD_LIBRARY_PATH may have relative directories.
    pub fn absolute_path(&self) -> String {
        paths::normalize(&format!("{}/{}", self.origin, paths::file_name(&self.path)))
    }

    fn answers_to(&self, name: &str) -> bool {
        self.path == name || self.names.iter().any(|known| known == name)
    }
}

/// One path that the search tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The rule by which it was tried.
    pub rule: Rule,
    /// The path.
    pub path: String,
    /// The reason for which it was passed over.
    pub why: SkipReason,
}

/// Why a path was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// No file is there.
    Absent,
    /// No permission to read it.
    Unreadable,
    /// An object of the other class (32-bit or 64-bit).
    WrongClass,
    /// An object of another machine, which is named.
    WrongMachine(String),
    /// An object whose ABI note requires a newer kernel, (major, minor, patch).
    NewerKernel((u32, u32, u32)),
    /// An error that ends the list of directories that the path is from.
    Failed(String),
}

impl SkipReason {
    /// The reason, for messages.
    pub fn describe(&self) -> String {
        match self {
            SkipReason::Absent => "not there".to_owned(),
            SkipReason::Unreadable => "no permission to read it".to_owned(),
            SkipReason::WrongClass => "a 32-bit object".to_owned(),
            SkipReason::WrongMachine(machine) => format!("an object for {machine}"),
            SkipReason::NewerKernel((major, minor, patch)) => {
                format!("an object for kernel {major}.{minor}.{patch} and later")
            }
            SkipReason::Failed(why) => why.clone(),
        }
    }
}

/// The result for one DT_NEEDED entry.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The object with this index was loaded.
    Loaded(usize),
    /// No file was found.
    Missing(Vec<Attempt>),
    /// A file was found that the loader refuses for good: the program does not start.
    Fatal {
        /// The file.
        path: String,
        /// The reason, in words like ld.so's.
        reason: String,
    },
}

/// One DT_NEEDED entry and its result.
#[derive(Debug, Clone)]
pub struct Need {
    /// The index of the needing object.
    pub by: usize,
    /// The entry; with glibc, its tokens such as `$ORIGIN` expanded.
    pub name: String,
    /// The entry as it is in the file, if it has tokens.
    pub unexpanded: Option<String>,
    /// The rule that answered; if nothing was found, the last rule tried.
    pub rule: Rule,
    /// Whether the program opens it at run time, and no object needs it.
    pub is_opening: bool,
    /// The result.
    pub outcome: Outcome,
}

impl Need {
    /// The entry as it is in the file.
    pub fn entry(&self) -> &str {
        self.unexpanded.as_deref().unwrap_or(&self.name)
    }
}

/// The result of a walk.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// The root, then every object in load order.
    pub objects: Vec<Loaded>,
    /// Every need of every object whose needs are known, in walk order.
    pub needs: Vec<Need>,
    /// The global scope: the objects that are loaded at the start, in search order.
    pub global: Vec<usize>,
    /// The libraries that the program opens at run time, in the order of opening.
    pub opened: Vec<OpenedLibrary>,
    /// PT_INTERP, if no file is there.
    pub absent_interpreter: Option<String>,
}

impl Closure {
    /// The need that first led to an object; `None` for the root and for an interpreter that no object needs.
    pub fn first_need(&self, object: usize) -> Option<&Need> {
        self.needs.iter().find(|need| matches!(need.outcome, Outcome::Loaded(index) if index == object))
    }

    /// The objects from the root down to `object`, by the needs that first loaded each.
    pub fn chain(&self, object: usize) -> Vec<usize> {
        let mut chain = vec![object];
        while let Some(next) = self.objects[chain[chain.len() - 1]].loader {
            chain.push(next);
        }
        chain.reverse();
        chain
    }

    /// The indices of all objects that need `object`, in walk order, each once.
    pub fn needed_by(&self, object: usize) -> Vec<usize> {
        let mut by: Vec<usize> = Vec::new();
        for need in &self.needs {
            if matches!(need.outcome, Outcome::Loaded(index) if index == object) && !by.contains(&need.by) {
                by.push(need.by);
            }
        }
        by
    }
}

/// The answer of a rule set for one name.
enum Located {
    Known(usize),
    Builtin,
    Found { path: String, file: OpenFile, rule: Rule },
    Missing { rule: Rule },
    Fatal { path: String, reason: String, rule: Rule },
}

/// The state of a walk beside its closure.
struct Memory {
    names: KnownNames,
    /// The part of [`SEARCH_BYTES`] that is left.
    budget: Cell<usize>,
    directories: KnownDirectories,
    /// The objects to which the needs of each visited object led.
    followed: BTreeMap<usize, Vec<Followed>>,
    /// The index in [`Closure::opened`] of the library that is being opened.
    opening: Option<usize>,
}

/// An object to which a need or a filter led.
#[derive(Clone, Copy)]
struct Followed {
    object: usize,
    is_filter: bool,
}

/// A search: the objects so far, and the paths that were tried in vain.
struct Search<'a> {
    world: &'a World<'a>,
    objects: &'a [Loaded],
    names: &'a KnownNames,
    attempts: Vec<Attempt>,
    budget: &'a Cell<usize>,
    directories: &'a KnownDirectories,
    /// Whether dlopen makes the search, rather than the start of the program.
    is_dlopen: bool,
}

/// The total length of the paths that one walk may try in vain. Real closures need some 100 kB; the search for a
/// hostile file (thousands of needs times thousands of directories) ends here, with its libraries not found.
const SEARCH_BYTES: usize = 2 << 20;

/// NAME_MAX: no directory has a longer name.
const LONGEST_NAME: usize = 255;

/// Walks the closure of `root`, which the loader knows as `path`.
///
/// `origin` is the directory of the root with links resolved (the loader takes it from /proc/self/exe). `opened` are
/// the names that the root passes to dlopen, in that order, once it has started.
pub fn walk(world: &World, path: &str, origin: &str, root: OpenFile, opened: &[String]) -> Closure {
    let mut closure = Closure {
        objects: vec![Loaded {
            path: path.to_owned(),
            origin: origin.to_owned(),
            names: Vec::new(),
            file: root,
            rule: Rule::Root,
            loader: None,
            opening: None,
            attempts: Vec::new(),
        }],
        ..Closure::default()
    };
    load_interpreter(world, &mut closure);
    let mut memory = Memory {
        names: KnownNames::default(),
        budget: Cell::new(SEARCH_BYTES),
        directories: KnownDirectories::default(),
        followed: BTreeMap::new(),
        opening: None,
    };
    for (index, object) in closure.objects.iter().enumerate() {
        memory.names.add_object(index, object, &world.rules);
        // The kernel loaded the program, so no loader knows its inode; glibc's loader does not know its own either.
        if object.rule == Rule::Interpreter && matches!(world.rules, Rules::Musl(_)) {
            memory.names.add_file(index, object.file.id);
        }
    }
    closure.global = search_list(world, &mut closure, 0, &mut memory);
    // An interpreter that no object needs comes last; ld.so has no needs, other interpreters might.
    for index in 1..closure.objects.len() {
        if !memory.followed.contains_key(&index) {
            let mut more = search_list(world, &mut closure, index, &mut memory);
            more.retain(|more| !closure.global.contains(more));
            closure.global.append(&mut more);
        }
    }
    for name in opened {
        opened::open(world, &mut closure, name, &mut memory);
    }
    closure
}

/// The search list of an object: the object and all that it leads to, breadth-first. Loads objects that are missing.
///
/// Source: `_dl_map_object_deps` in glibc's elf/dl-deps.c.
fn search_list(world: &World, closure: &mut Closure, root: usize, memory: &mut Memory) -> Vec<usize> {
    let mut queue = Queue::new(root);
    while let Some(by) = queue.next() {
        if !memory.followed.contains_key(&by) {
            let followed = load_needs(world, closure, by, memory);
            memory.followed.insert(by, followed);
        }
        for followed in &memory.followed[&by] {
            match followed.is_filter {
                false => queue.append(followed.object),
                true => queue.insert_before_current(followed.object),
            }
        }
    }
    queue.into_order()
}

/// Loads what one object needs, then what it filters. For the program, preloaded libraries come first.
fn load_needs(world: &World, closure: &mut Closure, by: usize, memory: &mut Memory) -> Vec<Followed> {
    let needed = closure.objects[by].file.object.elf().map(|facts| facts.needed.clone());
    let mut followed = Vec::new();
    let mut keep = |closure: &mut Closure, need: Need, is_filter| {
        if let Outcome::Loaded(object) = need.outcome {
            followed.push(Followed { object, is_filter });
        }
        closure.needs.push(need);
    };
    if let (Rules::Glibc(rules), 0, None) = (&world.rules, by, memory.opening) {
        for name in &rules.preload {
            let need = load(world, closure, by, name.clone(), memory);
            // Source: `do_preload` in glibc's elf/rtld.c, which prints a line and goes on without the library.
            if matches!(need.outcome, Outcome::Loaded(_)) {
                keep(closure, need, false);
            }
        }
    }
    for name in needed.unwrap_or_default() {
        let need = load(world, closure, by, name, memory);
        keep(closure, need, false);
    }
    for need in load_filters(world, closure, by, memory) {
        keep(closure, need, true);
    }
    followed
}

/// Adds the interpreter to the list: it is loaded before any search, under its path and its SONAME.
fn load_interpreter(world: &World, closure: &mut Closure) {
    let Some(facts) = closure.objects[0].file.object.elf() else { return };
    let path = match (&facts.interpreter, &world.rules) {
        (Some(path), _) => path.clone(),
        // A library is loaded into a program, whose interpreter is assumed to be the usual one.
        (None, Rules::Glibc(rules)) if !facts.is_program() => rules.interpreter.clone(),
        (None, _) => return,
    };
    // The kernel resolves a relative path from the current directory.
    let (file, names) = match world.files.open(&absolute(&path, &world.working_directory)) {
        Opened::File(file) => {
            let soname = file.object.soname().map(str::to_owned);
            (file, soname.into_iter().collect())
        }
        _ => {
            closure.absent_interpreter = Some(path.clone());
            let file = OpenFile { id: (u64::MAX, u64::MAX), source: path.clone(), object: Object::Unseen };
            (file, vec![paths::file_name(&path).to_owned()])
        }
    };
    let origin = paths::parent(&path).to_owned();
    closure.objects.push(Loaded {
        path,
        origin,
        file,
        names,
        rule: Rule::Interpreter,
        loader: None,
        opening: None,
        attempts: Vec::new(),
    });
}

/// Finds one name and adds the object it led to.
fn load(world: &World, closure: &mut Closure, by: usize, name: String, memory: &mut Memory) -> Need {
    let is_dlopen = memory.opening.is_some();
    let Memory { names, budget, directories, opening, .. } = memory;
    let attempts = Vec::new();
    let mut search =
        Search { world, objects: &closure.objects, names, attempts, budget, directories, is_dlopen };
    let unexpanded = name.contains('$').then(|| name.clone());
    let (located, name) = match &world.rules {
        Rules::Glibc(rules) => rules.locate(&mut search, by, name),
        Rules::Musl(rules) => (rules.locate(&mut search, by, &name), name),
    };
    let attempts = search.attempts;
    let (rule, outcome) = match located {
        Located::Known(index) => {
            if !closure.objects[index].answers_to(&name) {
                closure.objects[index].names.push(name.clone());
            }
            (Rule::AlreadyLoaded, Outcome::Loaded(index))
        }
        Located::Builtin => {
            // musl's libc is its interpreter. A need of the vDSO, which is no object here, counts as one of glibc's
            // ld.so.
            let index = closure.objects.iter().position(|object| object.rule == Rule::Interpreter);
            let outcome = index.map_or_else(|| Outcome::Missing(Vec::new()), Outcome::Loaded);
            (Rule::Builtin, outcome)
        }
        Located::Found { path, file, rule } => {
            // A link or hard link to a loaded file means that object (same device and inode).
            match names.by_file(file.id) {
                Some(index) => {
                    let object = &mut closure.objects[index];
                    match &world.rules {
                        Rules::Glibc(_) => object.names.push(name.clone()),
                        Rules::Musl(rules) if object.names.is_empty() => {
                            object.names = rules.names(&name, &object.path);
                        }
                        Rules::Musl(_) => {}
                    }
                    names.add_object(index, object, &world.rules);
                    (Rule::AlreadyLoaded, Outcome::Loaded(index))
                }
                None => {
                    let absolute = absolute(&path, &world.working_directory);
                    let object = Loaded {
                        origin: paths::parent(&absolute).to_owned(),
                        names: match &world.rules {
                            Rules::Glibc(_) => vec![name.clone()],
                            Rules::Musl(rules) => rules.names(&name, &path),
                        },
                        path,
                        file,
                        rule,
                        loader: Some(by),
                        opening: *opening,
                        attempts,
                    };
                    let index = closure.objects.len();
                    names.add_file(index, object.file.id);
                    names.add_object(index, &object, &world.rules);
                    closure.objects.push(object);
                    (rule, Outcome::Loaded(index))
                }
            }
        }
        Located::Missing { rule } => (rule, Outcome::Missing(attempts)),
        Located::Fatal { path, reason, rule } => (rule, Outcome::Fatal { path, reason }),
    };
    Need { by, name, unexpanded, rule, is_opening: false, outcome }
}

/// Loads the objects that one object filters. A DT_FILTER is a need like any other; a DT_AUXILIARY that is not found,
/// or is a file that ld.so refuses, is ignored (elf/dl-deps.c).
///
/// ld.so takes them in the order of the dynamic section, mixed with DT_NEEDED. GNU ld writes all DT_NEEDED, then
/// DT_FILTER, then DT_AUXILIARY, and that order is assumed here.
fn load_filters(world: &World, closure: &mut Closure, by: usize, memory: &mut Memory) -> Vec<Need> {
    let Rules::Glibc(_) = world.rules else { return Vec::new() };
    let Some(facts) = closure.objects[by].file.object.elf() else { return Vec::new() };
    let (filter, auxiliary) = (facts.filter.clone(), facts.auxiliary.clone());
    let mut needs: Vec<Need> =
        filter.into_iter().map(|name| load(world, closure, by, name, memory)).collect();
    for name in auxiliary {
        let need = load(world, closure, by, name, memory);
        if matches!(need.outcome, Outcome::Loaded(_)) {
            needs.push(need);
        }
    }
    needs
}

fn absolute(path: &str, working_directory: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{working_directory}/{path}") }
}

impl Search<'_> {
    /// Whether the search for this name is skipped: the name is too long, or the budget is spent.
    fn is_over(&mut self, name: &str) -> bool {
        let why = match () {
            () if name.len() > LONGEST_NAME => "file name too long",
            () if self.budget.get() == 0 => "given up: too many paths to search",
            () => return false,
        };
        let (rule, path) = (Rule::DefaultDir, name.chars().take(LONGEST_NAME).collect());
        self.attempts.push(Attempt { rule, path, why: SkipReason::Failed(why.to_owned()) });
        true
    }

    fn pass(&mut self, rule: Rule, path: String, why: SkipReason) {
        self.budget.set(self.budget.get().saturating_sub(path.len() + size_of::<Attempt>()));
        self.attempts.push(Attempt { rule, path, why });
    }
}

/// The files that a name could mean for `chain` (the needing object first, the program last), in search order: the
/// file that the loader takes, then those that it would take if the ones before were not there.
///
/// The planner chooses from them what to ship. A name with a slash means one file at most.
pub fn candidates(world: &World, objects: &[Loaded], by: usize, name: &str) -> Vec<(String, OpenFile)> {
    match &world.rules {
        Rules::Glibc(rules) => rules.candidates(world, objects, by, name),
        Rules::Musl(rules) => rules.candidates(world, objects, by, name),
    }
}
