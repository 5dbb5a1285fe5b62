//! The Lambda world: a baseline's objects, the files of a bundle, and Lambda's library path.
//!
//! A bundle must start in every *variant* of that world: with each value of LD_LIBRARY_PATH that Lambda is known to
//! set (or the value that the user sets), and with the doubtful libraries both present and absent. The same loader
//! walks all variants, and [`crate::audit`] reads all the walks.
//!
//! The libraries that a baseline lists are assumed to fit each other, since AWS ships them together. The libraries of
//! a captured root are known in full: they have their original paths, and the walk follows their own needs.

mod installed;

pub use self::installed::Installed;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::baseline::captured::{Root, RootEntry};
use crate::baseline::{self, Baseline, Evidence, Nodes, Presence, SystemObject, is_glibc_part};
use crate::elf::{Arch, ElfError, ElfFacts, Libc, Linkage};
use crate::loader::{self, Cache, Closure, Glibc, Known, Musl, Outcome, Rules, Undefined, VersionCheck};
use crate::paths;
use crate::paths::file_name;
use crate::patterns::Patterns;
use crate::world::{MemoryFiles, Object, Opened};

/// The directory of a function's files.
pub const TASK_ROOT: &str = "/var/task";

/// The kernel under every runtime, as far as it was seen: 5.10 in functions of 2025 and 2026 (the host's kernel, not
/// that of the runtime's own distribution).
const KERNEL: (u32, u32, u32) = (5, 10, 0);

/// One file of a bundle as the Lambda world sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Absolute path on Lambda, such as `/var/task/lib/libpq.so.5`.
    pub path: String,
    /// The file, link or directory at that path.
    pub content: MemberContent,
}

/// The kinds of members, as the loader distinguishes them.
#[derive(Debug, Clone)]
pub enum MemberContent {
    /// An ELF object.
    Object(Arc<ElfFacts>),
    /// A link with its target.
    Link(String),
    /// A file that is no ELF object, or that Lambda's user cannot read.
    Other(Opened),
    /// A directory that Lambda's user may not enter.
    Locked,
}

impl Member {
    /// The facts of the file, if it is an ELF object.
    pub fn object(&self) -> Option<&Arc<ElfFacts>> {
        match &self.content {
            MemberContent::Object(facts) => Some(facts),
            MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
        }
    }
}

impl MemberContent {
    /// A regular file of `size` bytes.
    pub fn of_file(facts: Result<Arc<ElfFacts>, ElfError>, size: u64) -> MemberContent {
        facts.map_or_else(|error| MemberContent::Other(Opened::refused(&error, size)), MemberContent::Object)
    }
}

/// Adds the bundle's files at their paths on Lambda.
pub(crate) fn add_members(members: &[Member], files: &mut MemoryFiles) {
    for member in members {
        match &member.content {
            MemberContent::Object(facts) => files.add(&member.path, Object::Elf(facts.clone())),
            MemberContent::Link(target) => files.add_link(&member.path, target),
            MemberContent::Other(opened) => files.add_opened(&member.path, opened.clone()),
            MemberContent::Locked => files.add_locked(&member.path),
        }
    }
}

/// All that is known of the place where the bundle will run.
#[derive(Clone)]
pub struct LambdaWorld {
    /// The runtime's objects.
    pub baseline: Arc<Baseline>,
    /// Every value of LD_LIBRARY_PATH under which the bundle must start.
    pub library_paths: Vec<String>,
    /// SONAMEs that the user says are present.
    pub assume_present: Patterns,
    /// The names and paths in LD_PRELOAD.
    pub preload: Vec<String>,
    /// Whether LD_BIND_NOW is set, so that every symbol is bound at start.
    pub binds_now: bool,
    /// The value of GLIBC_TUNABLES.
    pub tunables: String,
}

/// One possible state of the Lambda world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The value of LD_LIBRARY_PATH.
    pub library_path: String,
    /// Whether the doubtful libraries are present.
    pub doubtful_present: bool,
    /// The processor.
    pub processor: Processor,
}

/// The properties of a processor that the loader uses: which directories it searches first, and the value of
/// `$PLATFORM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// The x86-64 level; not used on arm64.
    pub isa_level: u32,
    /// The value of `$PLATFORM`.
    pub platform: &'static str,
}

impl Processor {
    /// Whether the processor has the levels that an object's GNU property x86 ISA_1_NEEDED asks for: a bit for the
    /// baseline level and for each level above it.
    pub fn has(self, facts: &ElfFacts) -> bool {
        facts.isa_needed & !((1 << self.isa_level) - 1) == 0
    }
}

/// Processors of other makers and generations than the assumed one: AWS documents AVX2 for all, and some have AVX-512
/// as well. `haswell` stands for Intel's processors, in glibc before 2.37.
///
/// Source: sysdeps/x86/cpu-features.c and sysdeps/x86/get-isa-level.h in glibc.
const OTHER_PROCESSORS: [Processor; 3] = [
    Processor { isa_level: 4, platform: "x86_64" },
    Processor { isa_level: 3, platform: "haswell" },
    Processor { isa_level: 4, platform: "haswell" },
];

/// Directories that only some of these processors search. Any path that leads to such a directory, also through
/// links, has one of these names.
const PROCESSOR_DIRS: [&str; 3] = ["x86-64-v4", "haswell", "avx512_1"];

/// The walk of one variant.
pub struct Walked {
    /// The variant that was walked.
    pub variant: Variant,
    /// The loader's rules in this variant.
    pub rules: Rules,
    /// The loader's actions in this variant.
    pub closure: Closure,
    /// The version needs that do not simply fit.
    pub checks: Vec<VersionCheck>,
    /// The symbols that no object is known to define.
    pub undefined: Vec<Undefined>,
}

impl Walked {
    /// The interpreter, if it is the bundle's own: the bundle then has its own C library, too.
    pub fn own_interpreter(&self) -> Option<&ElfFacts> {
        let mut objects = self.closure.objects.iter();
        match &objects.find(|object| object.rule == loader::Rule::Interpreter)?.file.object {
            Object::Elf(facts) => Some(facts),
            // The facts of a captured runtime's objects are known, too, but are not the bundle's.
            Object::System(_) | Object::Unseen => None,
        }
    }

    /// The C library of the process.
    pub fn libc(&self) -> Libc {
        match &self.rules {
            Rules::Glibc(_) => Libc::Glibc,
            Rules::Musl(_) => Libc::Musl,
        }
    }

    /// Whether the loader refuses an object of the closure because of the processor's level. glibc does so since
    /// 2.33; ld.so does not check its own level. A program that opens a library may check the processor first, so a library
    /// that is walked alone is not refused.
    ///
    /// Source: `dl_isa_level_check` in sysdeps/x86/dl-prop.h.
    pub fn refuses_level(&self, index: usize) -> bool {
        let object = &self.closure.objects[index];
        let Some(facts) = object.file.object.elf() else { return false };
        matches!(&self.rules, Rules::Glibc(glibc) if glibc.release >= (2, 33))
            && object.rule != loader::Rule::Interpreter
            && (index > 0 || facts.linkage() == Linkage::Dynamic)
            && facts.arch() == Some(Arch::X86_64)
            && !self.variant.processor.has(facts)
    }

    /// Whether the same objects were loaded from the same paths, and for the same needs.
    fn loads_the_same(&self, other: &Walked) -> bool {
        let is_same_object = |(one, other): (&loader::Loaded, &loader::Loaded)| {
            one.path == other.path
                && one.names == other.names
                && one.opening == other.opening
                && match (&one.file.object, &other.file.object) {
                    (Object::Elf(one), Object::Elf(other)) => Arc::ptr_eq(one, other),
                    (Object::System(one), Object::System(other)) => Arc::ptr_eq(one, other) || one == other,
                    (Object::Unseen, Object::Unseen) => true,
                    _ => false,
                }
        };
        let is_same_need = |(one, other): (&loader::Need, &loader::Need)| {
            one.by == other.by
                && match (&one.outcome, &other.outcome) {
                    (Outcome::Loaded(one), Outcome::Loaded(other)) => one == other,
                    (Outcome::Loaded(_), _) | (_, Outcome::Loaded(_)) => false,
                    _ => true,
                }
        };
        let (one, two) = (&self.closure, &other.closure);
        one.objects.len() == two.objects.len()
            && one.needs.len() == two.needs.len()
            && self.checks == other.checks
            && one.opened == two.opened
            && one.needs.iter().zip(&two.needs).all(is_same_need)
            && one.objects.iter().zip(&two.objects).all(is_same_object)
    }

    /// Whether the C library in use supports DT_RELR. None of the runtimes' does. `members` are the bundle's files.
    ///
    /// A libc that supports it has a version node for it: the loaded libc, or else the one beside the bundle's own
    /// loader. A loader that itself has DT_RELR also supports it, because it relocates itself.
    ///
    /// Source: glibc 2.36, which gave libc.so.6 `GLIBC_ABI_DT_RELR` (elf/Versions) and `ELF_DYNAMIC_RELOCATE`, which
    /// `_dl_start` in elf/rtld.c calls for the loader, `ELF_DYNAMIC_DO_RELR` (elf/dynamic-link.h).
    pub fn knows_relr(&self, members: &[Member]) -> bool {
        let knows = |libc: &ElfFacts| libc.verdef.iter().any(|def| def.node == "GLIBC_ABI_DT_RELR");
        let mut objects = self.closure.objects.iter();
        if let Some(libc) = objects.find(|object| object.names.iter().any(|name| name == "libc.so.6")) {
            return libc.file.object.elf().is_some_and(knows);
        }
        let Some(interpreter) = self.own_interpreter() else { return false };
        interpreter.has_relr || self.libc_beside_interpreter(members).is_some_and(knows)
    }

    fn libc_beside_interpreter<'a>(&self, members: &'a [Member]) -> Option<&'a ElfFacts> {
        let mut objects = self.closure.objects.iter();
        let interpreter = objects.find(|object| object.rule == loader::Rule::Interpreter)?;
        object_at(members, &format!("{}/libc.so.6", paths::parent(&interpreter.path)))
    }
}

/// The certainty that the runtime has an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Every image has it.
    Present,
    /// It may be present: there is little evidence, or only later images have it. Both cases are proved.
    Doubtful,
    /// No image has it.
    Absent,
    /// The baseline does not list it, and does not list all that the runtime has.
    Unknown,
}

impl LambdaWorld {
    /// The architecture of the baseline.
    pub fn arch(&self) -> Arch {
        self.baseline.arch
    }

    /// The runtime and the architecture for messages: `provided.al2023 (x86_64)`.
    pub fn label(&self) -> String {
        format!("{} ({})", self.baseline.runtime, self.baseline.arch)
    }

    /// The certainty that this SONAME is present; the user's word comes first.
    pub fn certainty(&self, soname: &str) -> Certainty {
        if self.assume_present.matches(soname) {
            return Certainty::Present;
        }
        match self.baseline.object(soname) {
            None if !self.baseline.complete => Certainty::Unknown,
            None => Certainty::Absent,
            Some(object) if is_in_every_image(object) => Certainty::Present,
            Some(object) if object.behind.as_deref().is_some_and(is_in_every_image) => Certainty::Present,
            Some(_) => Certainty::Doubtful,
        }
    }

    /// Whether there are objects that are present in one variant and not in another.
    fn has_doubtful(&self) -> bool {
        self.baseline
            .objects()
            .iter()
            .any(|object| !self.assume_present.matches(&object.soname) && !is_in_every_image(object))
    }

    /// The release of the glibc that every image has, (major, minor).
    pub fn glibc_release(&self) -> (u32, u32) {
        let mut numbers = self.baseline.glibc.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// The loader's rules for a program with this C library. `own_glibc` is the release of the bundle's own glibc, if
    /// it has one.
    ///
    /// The built-in directories of a bundle's own loader are not known; the runtime's are used instead.
    pub fn rules(&self, libc: Libc, own_glibc: Option<(u32, u32)>, processor: Processor) -> Rules {
        let arch = self.arch();
        if libc == Libc::Musl {
            let system_dirs = Musl::BUILT_IN_DIRS.map(str::to_owned).to_vec();
            return Rules::Musl(Musl { machine: arch.machine(), system_dirs });
        }
        let glibc = own_glibc.unwrap_or_else(|| self.glibc_release());
        let Processor { isa_level, platform } = processor;
        let hwcaps = loader::hwcap_subdirectories(arch, glibc, isa_level, platform);
        Rules::Glibc(Glibc {
            preload: self.preload.clone(),
            interpreter: self.baseline.interpreters[0].clone(),
            machine: arch.machine(),
            release: glibc,
            kernel: Some(KERNEL),
            default_dirs: self.baseline.default_dirs.clone(),
            lib: lib(&self.baseline),
            platform: platform.to_owned(),
            hwcaps,
            cache: self
                .baseline
                .root_files
                .as_ref()
                .map(|root| Cache::Listed(root.cache.clone()))
                .unwrap_or_default(),
        })
    }

    /// The processor that is assumed. AWS documents AVX2 as usable on x86_64: level v3.
    pub fn processor(&self) -> Processor {
        Processor { isa_level: 3, platform: self.arch().gnu_name() }
    }

    /// The variants that must all start: one for each library path and processor, and twice as many if there is a
    /// doubtful library.
    pub fn variants(&self, processors: &[Processor]) -> Vec<Variant> {
        let presences: &[bool] = if self.has_doubtful() { &[false, true] } else { &[false] };
        presences
            .iter()
            .flat_map(|&doubtful_present| {
                self.library_paths.iter().flat_map(move |library_path| {
                    processors.iter().map(move |&processor| Variant {
                        library_path: library_path.clone(),
                        doubtful_present,
                        processor,
                    })
                })
            })
            .collect()
    }

    /// The file system of one variant, without the files of a bundle.
    fn files(&self, doubtful_present: bool) -> MemoryFiles {
        let mut files = MemoryFiles::new();
        for directory in ["/usr/lib64", "/usr/lib", "/var/task", "/var/runtime", "/opt", "/tmp"] {
            files.add_directory(directory);
        }
        match &self.baseline.root_files {
            Some(root) => self.add_captured(root, &mut files),
            None => self.add_objects(doubtful_present, &mut files),
        }
        files
    }

    /// Adds the files of a captured root, with their original paths.
    fn add_captured(&self, root: &Root, files: &mut MemoryFiles) {
        for (path, entry) in &root.entries {
            match entry {
                RootEntry::Link(target) => files.add_link(path, target),
                RootEntry::Refused(why) => files.add_opened(path, Opened::Rejected(why.clone())),
                RootEntry::Elf(facts) => {
                    files.add(path, Object::System(Arc::new(root.object(path, facts))));
                }
            }
        }
    }

    /// Adds the objects that a baseline lists, in the directories of Amazon Linux.
    fn add_objects(&self, doubtful_present: bool, files: &mut MemoryFiles) {
        // Source: the evidence lists; /lib64, /lib and /bin are links on AL2 and AL2023.
        files.add_link("/lib64", "usr/lib64");
        files.add_link("/lib", "usr/lib");
        let is_there = |object: &SystemObject| {
            doubtful_present || is_in_every_image(object) || self.assume_present.matches(&object.soname)
        };
        for object in self.baseline.objects() {
            let both = [Some(object), object.behind.as_ref()];
            for object in both.into_iter().flatten().filter(|object| is_there(object)) {
                let directory = object.directory.as_deref().unwrap_or("/usr/lib64");
                let directory = match directory {
                    "/lib64" => "/usr/lib64",
                    "/lib" => "/usr/lib",
                    directory => directory,
                };
                files.add(&format!("{directory}/{}", object.soname), Object::System(object.clone()));
            }
        }
        for interpreter in &self.baseline.interpreters {
            add_interpreter(files, &self.baseline, interpreter);
        }
    }

    /// Finds symbols that no object defines; `build` are the build world's objects by needed name.
    pub fn check_symbols(&self, walks: &mut [Walked], build: &BTreeMap<String, Arc<ElfFacts>>) {
        let exports = baseline::exports(&self.baseline.glibc, self.arch());
        for at in 0..walks.len() {
            let (before, rest) = walks.split_at_mut(at);
            let walked = &mut rest[0];
            // Most variants load the same objects.
            walked.undefined = match before.iter().find(|other| other.loads_the_same(walked)) {
                Some(other) => other.undefined.clone(),
                None => {
                    let replaced = self.replaced(&walked.closure);
                    let known = Known { exports, build, binds_now: self.binds_now, replaced: &replaced };
                    loader::undefined_symbols(&walked.closure, &walked.rules, &walked.checks, &known)
                }
            };
        }
    }

    /// The captured libraries of the system whose SONAMEs or names other files have taken.
    fn replaced(&self, closure: &Closure) -> Vec<Arc<ElfFacts>> {
        let taken = closure.objects.iter().skip(1).filter_map(|object| match &object.file.object {
            Object::Elf(facts) => Some(object.names.iter().chain(&facts.soname)),
            Object::System(_) | Object::Unseen => None,
        });
        let systems = taken.flatten().filter(|name| !is_glibc_part(name));
        systems.filter_map(|name| self.baseline.object(name)?.facts.clone()).collect()
    }
}

/// Whether any text of an object that ld.so expands contains `$PLATFORM`.
///
/// Source: `expand_dst` in `_dl_map_object_deps` (elf/dl-deps.c), for DT_NEEDED, DT_AUXILIARY and DT_FILTER, and
/// `decompose_rpath` in elf/dl-load.c.
fn asks_processor(facts: &ElfFacts) -> bool {
    let names = [&facts.needed, &facts.auxiliary, &facts.filter].into_iter().flatten();
    names.chain(&facts.rpath).chain(&facts.runpath).any(|text| has_platform(text))
}

fn has_platform(text: &str) -> bool {
    text.contains("$PLATFORM") || text.contains("${PLATFORM}")
}

/// The bundle's object at a path.
fn object_at<'a>(members: &'a [Member], path: &str) -> Option<&'a ElfFacts> {
    members.iter().find(|member| member.path == path)?.object().map(|facts| &**facts)
}

/// The value of `$LIB`: the part of the loader's first directory after `/` or `/usr/`.
fn lib(baseline: &Baseline) -> String {
    let first = baseline.default_dirs.first().map_or("lib64", |first| first.trim_start_matches('/'));
    first.strip_prefix("usr/").unwrap_or(first).to_owned()
}

/// Adds the interpreter at its path, as the object that the baseline has for it.
fn add_interpreter(files: &mut MemoryFiles, baseline: &Baseline, path: &str) {
    use crate::world::Files;
    if matches!(files.open(path), Opened::File(_)) {
        return;
    }
    if let Some(object) = baseline.object(file_name(path)) {
        files.add(
            &path.replacen("/lib/", "/usr/lib/", 1).replacen("/lib64/", "/usr/lib64/", 1),
            Object::System(object.clone()),
        );
    }
}

/// Whether functions find the object for certain, in every image of the runtime.
fn is_in_every_image(object: &SystemObject) -> bool {
    object.certain && object.since.is_none()
}

/// A library that only `--assume-present` puts there: nothing else is known of it.
fn assumed(soname: &str) -> SystemObject {
    SystemObject {
        soname: soname.to_owned(),
        file: None,
        older_file: None,
        lacks: Vec::new(),
        package: None,
        presence: Presence::Present,
        evidence: Evidence::Doubtful,
        codes: Vec::new(),
        certain: true,
        behind: None,
        since: None,
        directory: None,
        nodes: Nodes::Unknown,
        nodes_from: None,
        facts: None,
    }
}
