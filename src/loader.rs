//! What ld.so would do in a [`World`]: which objects it loads, from where, and which it does not find.
//!
//! The walk is breadth-first in DT_NEEDED order, as in `_dl_map_object_deps` (glibc, elf/dl-deps.c) and
//! `load_deps` (musl, ldso/dynlink.c). How one name is found is the business of a rule set, [`Rules`]: glibc
//! and musl differ in nearly every step. Nothing is judged here; [`crate::audit`] turns a closure into
//! findings.
//!
//! Invariants: object 0 is the root; an object is in the list once; every need of every object whose needs
//! are known has exactly one [`Need`], but a DT_AUXILIARY that is not found has none. The walk ends for any
//! input, since an object is loaded once.
//!
//! `tests/ld_so.rs`, `tests/musl_loader.rs` and `tests/differential.rs` compare all this with the loaders.

mod glibc;
mod known;
mod musl;
mod opened;
mod queue;
mod symbols;
mod versions;

pub use glibc::{Glibc, hwcap_subdirectories};
pub use musl::Musl;
pub use opened::OpenedLibrary;
pub use symbols::{Known, Undefined, Unmet, undefined_symbols};
pub use versions::{VersionAnswer, VersionCheck, check_versions};

use std::cell::Cell;
use std::collections::BTreeMap;

use self::known::Names;
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

/// How a name was resolved. The words are those of the JSON contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The start of the walk.
    Root,
    /// A name, path or SONAME of an object that is already there.
    AlreadyLoaded,
    /// DT_RPATH of the needing object, of those that led to it, or of the program.
    Rpath,
    /// LD_LIBRARY_PATH.
    LdLibraryPath,
    /// DT_RUNPATH of the needing object (musl: of those that led to it, too).
    Runpath,
    /// /etc/ld.so.cache.
    Cache,
    /// The loader's own directories.
    DefaultDir,
    /// The name has a slash.
    DirectPath,
    /// PT_INTERP: the kernel loads it.
    Interpreter,
    /// A name that the loader answers by itself (musl).
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
    /// The file.
    pub file: OpenFile,
    /// The names under which a later need finds it, the path left out.
    pub names: Vec<String>,
    /// How it was found the first time.
    pub rule: Rule,
    /// The object whose need loaded it; `None` for the root and the interpreter.
    pub loader: Option<usize>,
    /// The library of [`Closure::opened`] with which it was loaded; `None` for what is there at the start.
    pub opening: Option<usize>,
    /// The paths that were passed over before it was found.
    pub attempts: Vec<Attempt>,
}

impl Loaded {
    /// Its path from the root; LD_LIBRARY_PATH may have relative directories.
    pub fn absolute_path(&self) -> String {
        format!("{}/{}", self.origin.trim_end_matches('/'), paths::file_name(&self.path))
    }

    fn answers_to(&self, name: &str) -> bool {
        self.path == name || self.names.iter().any(|known| known == name)
    }
}

/// One path that the search looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// By which rule.
    pub rule: Rule,
    /// The path.
    pub path: String,
    /// Why it was passed over.
    pub why: Passed,
}

/// Why a path was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// Nothing there.
    Absent,
    /// No permission to read it.
    Unreadable,
    /// An object of the other class (32-bit or 64-bit).
    WrongClass,
    /// An object of another machine. Says which.
    WrongMachine(String),
    /// An object whose ABI note asks for a newer kernel, (major, minor, patch).
    NewerKernel((u32, u32, u32)),
    /// An error that ends the list of directories it is in.
    Failed(String),
}

impl Passed {
    /// Why, for people.
    pub fn describe(&self) -> String {
        match self {
            Passed::Absent => "not there".to_owned(),
            Passed::Unreadable => "no permission to read it".to_owned(),
            Passed::WrongClass => "a 32-bit object".to_owned(),
            Passed::WrongMachine(machine) => format!("an object for {machine}"),
            Passed::NewerKernel((major, minor, patch)) => {
                format!("an object for kernel {major}.{minor}.{patch} and later")
            }
            Passed::Failed(why) => why.clone(),
        }
    }
}

/// What became of one DT_NEEDED entry.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The object with this index.
    Loaded(usize),
    /// Nothing was found.
    Missing(Vec<Attempt>),
    /// A file was found that the loader refuses for good: the program does not start.
    Fatal {
        /// The file.
        path: String,
        /// In words like ld.so's.
        reason: String,
    },
}

/// One DT_NEEDED entry and what became of it.
#[derive(Debug, Clone)]
pub struct Need {
    /// The needing object.
    pub by: usize,
    /// The entry; with glibc, its tokens such as `$ORIGIN` expanded.
    pub name: String,
    /// The entry as the file has it, where that has tokens.
    pub unexpanded: Option<String>,
    /// The rule that answered; for what was not found, the last one tried.
    pub rule: Rule,
    /// Nobody needs it: the program opens it at run time.
    pub is_opening: bool,
    /// The answer.
    pub outcome: Outcome,
}

impl Need {
    /// The entry as the file has it.
    pub fn entry(&self) -> &str {
        self.unexpanded.as_deref().unwrap_or(&self.name)
    }
}

/// What a walk found.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// The root, then every object in load order.
    pub objects: Vec<Loaded>,
    /// Every need of every object whose needs are known, in walk order.
    pub needs: Vec<Need>,
    /// The global scope: what is there at the start, in search order.
    pub global: Vec<usize>,
    /// The libraries that the program opens at run time, in the order in which it does.
    pub opened: Vec<OpenedLibrary>,
    /// PT_INTERP when nothing is there.
    pub absent_interpreter: Option<String>,
}

impl Closure {
    /// The need that first led to an object; `None` for the root and for an interpreter nobody names.
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

/// What a rule set says about one name.
enum Located {
    Known(usize),
    Builtin,
    Found { path: String, file: OpenFile, rule: Rule },
    Missing { rule: Rule },
    Fatal { path: String, reason: String, rule: Rule },
}

/// What a walk remembers beside its closure.
struct Memory {
    names: Names,
    /// What is left of [`SEARCH_BYTES`].
    budget: Cell<usize>,
    /// What each object whose needs were looked at led to.
    followed: BTreeMap<usize, Vec<Followed>>,
    /// The library of [`Closure::opened`] that is being opened.
    opening: Option<usize>,
}

/// An object that a need, or a filter, led to.
#[derive(Clone, Copy)]
struct Followed {
    object: usize,
    is_filter: bool,
}

/// A search: the objects so far, and the paths looked at in vain.
struct Search<'a> {
    world: &'a World<'a>,
    objects: &'a [Loaded],
    names: &'a Names,
    attempts: Vec<Attempt>,
    budget: &'a Cell<usize>,
    /// It is made by dlopen, not at the start.
    is_dlopen: bool,
}

/// How many bytes of paths one walk looks at in vain. Real closures need some 100 kB; a file made to keep
/// us busy (thousands of needs times thousands of directories) ends here, with its libraries not found.
const SEARCH_BYTES: usize = 2 << 20;

/// NAME_MAX: no directory has a longer name.
const LONGEST_NAME: usize = 255;

/// Walks the closure of `root`, which the loader knows as `path`.
///
/// `origin` is the directory of the root with links resolved (the loader takes it from /proc/self/exe).
/// `opened` are the names that the root gives to dlopen, in that order, once it has started.
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
        names: Names::default(),
        budget: Cell::new(SEARCH_BYTES),
        followed: BTreeMap::new(),
        opening: None,
    };
    for (index, object) in closure.objects.iter().enumerate() {
        memory.names.add_object(index, object, &world.rules);
        // The kernel loaded the program, so no loader knows its inode; nor does glibc's know its own.
        if object.rule == Rule::Interpreter && matches!(world.rules, Rules::Musl(_)) {
            memory.names.add_file(index, object.file.id);
        }
    }
    closure.global = search_list(world, &mut closure, 0, &mut memory);
    // An interpreter that nobody needs comes last; ld.so has no needs, others might.
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

/// The search list of an object: it and all that it leads to, breadth-first. Loads what is not there.
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

/// Loads what one object needs, then what it filters. Of the program, what is preloaded comes before.
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
            // Source: `do_preload` in glibc's elf/rtld.c, which prints a line and goes on without it.
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

/// Puts the interpreter in the list: it is there before any search, under its path and its SONAME.
fn load_interpreter(world: &World, closure: &mut Closure) {
    let Some(facts) = closure.objects[0].file.object.elf() else { return };
    let path = match (&facts.interpreter, &world.rules) {
        (Some(path), _) => path.clone(),
        // A library is loaded into some program, whose interpreter is the usual one.
        (None, Rules::Glibc(rules)) if !facts.is_program() => rules.interpreter.clone(),
        (None, _) => return,
    };
    // The kernel looks for a relative path from the current directory.
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

/// Finds one name and adds what it led to.
fn load(world: &World, closure: &mut Closure, by: usize, name: String, memory: &mut Memory) -> Need {
    let is_dlopen = memory.opening.is_some();
    let Memory { names, budget, opening, .. } = memory;
    let mut search =
        Search { world, objects: &closure.objects, names, attempts: Vec::new(), budget, is_dlopen };
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
            // musl's libc is its interpreter, and so is glibc's ld.so to the vDSO.
            let index = closure.objects.iter().position(|object| object.rule == Rule::Interpreter);
            let outcome = index.map_or_else(|| Outcome::Missing(Vec::new()), Outcome::Loaded);
            (Rule::Builtin, outcome)
        }
        Located::Found { path, file, rule } => {
            // A link or hard link to a file that is there is that object (device and inode).
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

/// Loads what an object filters. A DT_FILTER is a need like any other; a DT_AUXILIARY that is not found, or
/// is a file that ld.so refuses, is forgotten (elf/dl-deps.c).
///
/// ld.so takes them in the order of the dynamic section, mixed with DT_NEEDED. GNU ld writes all DT_NEEDED,
/// then DT_FILTER, then DT_AUXILIARY, and that is the order here.
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
    /// Whether a search for this name is worth its while.
    fn is_over(&mut self, name: &str) -> bool {
        let why = match () {
            () if name.len() > LONGEST_NAME => "file name too long",
            () if self.budget.get() == 0 => "given up: too many paths to search",
            () => return false,
        };
        let (rule, path) = (Rule::DefaultDir, name.chars().take(LONGEST_NAME).collect());
        self.attempts.push(Attempt { rule, path, why: Passed::Failed(why.to_owned()) });
        true
    }

    fn pass(&mut self, rule: Rule, path: String, why: Passed) {
        self.budget.set(self.budget.get().saturating_sub(path.len() + size_of::<Attempt>()));
        self.attempts.push(Attempt { rule, path, why });
    }
}

/// The files that a name could mean for `chain` (the needing object first, the program last), in search
/// order: what the loader takes, then what it would take if that were not there.
///
/// For choosing what to bundle. A name with a slash means one file at most.
pub fn candidates(world: &World, objects: &[Loaded], by: usize, name: &str) -> Vec<(String, OpenFile)> {
    match &world.rules {
        Rules::Glibc(rules) => rules.candidates(world, objects, by, name),
        Rules::Musl(rules) => rules.candidates(world, objects, by, name),
    }
}
