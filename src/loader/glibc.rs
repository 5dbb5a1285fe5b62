//! The search rules of glibc's ld.so, 2.17 to 2.41.
//!
//! Source: ld.so(8) and glibc's elf/dl-load.c: `_dl_map_object`, `open_path`, `open_verify`,
//! `fillin_rpath`, `decompose_rpath`, `expand_dynamic_string_token`. Not modelled: the secure mode of setuid
//! programs (Lambda has none), LD_PRELOAD, audit modules.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::cache::Cache;
use super::known::KnownNames;
use super::{Loaded, Located, Rule, Search, SkipReason};
use crate::elf::{Alignment, DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_PIE, ElfFacts, ObjectType};
use crate::loader::World;
use crate::world::{Object, OpenFile, Opened};

/// One build of glibc's loader: what is compiled into it, and its settings on one machine.
#[derive(Debug, Clone, Default)]
pub struct Glibc {
    /// LD_PRELOAD: names and paths that are loaded before what the program needs.
    pub preload: Vec<String>,
    /// The interpreter that programs of this machine usually name.
    pub interpreter: String,
    /// `e_machine` of the objects that it loads.
    pub machine: u16,
    /// The glibc release, (major, minor).
    pub release: (u32, u32),
    /// The running kernel, (major, minor, patch); `None` if ABI notes are not compared with it.
    pub kernel: Option<(u32, u32, u32)>,
    /// The built-in directories, in search order.
    pub default_dirs: Vec<String>,
    /// The value of `$LIB`.
    pub lib: String,
    /// The value of `$PLATFORM`.
    pub platform: String,
    /// Subdirectories that are tried in each directory before the directory itself, in order. See
    /// [`hwcap_subdirectories`].
    pub hwcaps: Vec<String>,
    /// /etc/ld.so.cache.
    pub cache: Cache,
}

/// The subdirectories that a loader tries first in each directory.
///
/// `glibc` is (major, minor). `isa_level` is the CPU's x86-64 level, 1 to 4; it is ignored on arm64.
/// 2.33 brought `glibc-hwcaps`, 2.37 dropped the older scheme (`tls`, platform, `atomics`).
///
/// Source: elf/dl-hwcaps.c, sysdeps/x86_64/dl-hwcaps_subdirs.c, sysdeps/unix/sysv/linux/aarch64.
pub fn hwcap_subdirectories(
    arch: crate::elf::Arch,
    glibc: (u32, u32),
    isa_level: u32,
    platform: &str,
) -> Vec<String> {
    let mut subdirectories = Vec::new();
    if glibc >= (2, 33) && arch == crate::elf::Arch::X86_64 {
        for level in (2..=isa_level.min(4)).rev() {
            subdirectories.push(format!("glibc-hwcaps/x86-64-v{level}"));
        }
    }
    if glibc < (2, 37) {
        // Every combination in this order, each part present or not, without the empty one. If the platform is
        // "x86_64", it stands beside the capability of that name.
        let mut parts: Vec<&str> = vec!["tls"];
        if arch == crate::elf::Arch::X86_64 {
            parts.push(platform);
            // ld.so looks for AVX-512 on Intel's processors only, and sets a platform only for those.
            if isa_level >= 4 && platform == "haswell" {
                parts.push("avx512_1");
            }
            parts.push("x86_64");
        } else {
            parts.extend([platform, "atomics"]);
        }
        for mask in (1..1u32 << parts.len()).rev() {
            let chosen: Vec<&str> = (0..parts.len())
                .filter(|at| mask >> (parts.len() - 1 - at) & 1 == 1)
                .map(|at| parts[at])
                .collect();
            let subdirectory = chosen.join("/");
            if !subdirectories.contains(&subdirectory) {
                subdirectories.push(subdirectory);
            }
        }
    }
    subdirectories
}

/// A list of directories from one source.
struct List<'a> {
    rule: Rule,
    directories: Cow<'a, [String]>,
}

/// What a walk asks for with each name, and what stays as it is.
#[derive(Default)]
pub(super) struct KnownDirectories {
    /// The directories of LD_LIBRARY_PATH.
    library_path: OnceCell<Vec<String>>,
    /// The hwcaps subdirectories that a directory has.
    subdirectories: RefCell<BTreeMap<String, Rc<Vec<String>>>>,
}

/// The loader's decision about an opened file.
enum FileVerdict {
    Take,
    Skip(SkipReason),
    Fatal(String),
}

impl Glibc {
    /// Finds one needed name; also returns the name with its tokens expanded.
    pub(super) fn locate(&self, search: &mut Search, by: usize, name: String) -> (Located, String) {
        let Some(name) = self.expand(&name, &search.objects[by].origin) else {
            let reason = "empty dynamic string token substitution".to_owned();
            return (Located::Fatal { path: name.clone(), reason, rule: Rule::DirectPath }, name);
        };
        let located = match already_loaded(search.names, &name) {
            Some(index) => Located::Known(index),
            // The kernel provides the vDSO, which is in ld.so's list like any other object.
            None if name.starts_with("linux-vdso.so.") => Located::Builtin,
            None if name.contains('/') => self.open_direct(search, &name),
            None => self.search(search, by, &name),
        };
        (located, name)
    }

    /// Searches for a name without a slash in every list of directories.
    fn search(&self, search: &mut Search, by: usize, name: &str) -> Located {
        let mut last = Rule::DefaultDir;
        if search.is_over(name) {
            return Located::Missing { rule: last };
        }
        for list in self.lists(search.objects, by, search.world, name, search.directories) {
            last = list.rule;
            'list: for (directory, paths) in self.paths(search.world, &list, name, search.directories) {
                let mut ends = false;
                for path in paths {
                    if search.budget.get() == 0 {
                        return Located::Missing { rule: last };
                    }
                    match self.open(search.world, &path, search.is_dlopen) {
                        (Opened::File(file), FileVerdict::Take) => {
                            return Located::Found { path, file, rule: list.rule };
                        }
                        (_, FileVerdict::Fatal(reason)) => {
                            return Located::Fatal { path, reason, rule: list.rule };
                        }
                        (_, FileVerdict::Skip(why)) => {
                            ends = matches!(why, SkipReason::Failed(_));
                            search.pass(list.rule, path, why);
                        }
                        (_, FileVerdict::Take) => unreachable!("only files are taken"),
                    }
                }
                // Only the error of the last path counts, which is in the directory itself; and only if the directory
                // exists or is relative, since ld.so never gives up on those.
                if ends && (!directory.starts_with('/') || search.world.files.is_directory(directory)) {
                    break 'list;
                }
            }
        }
        Located::Missing { rule: last }
    }

    pub(super) fn candidates(
        &self,
        world: &World,
        objects: &[Loaded],
        by: usize,
        name: &str,
    ) -> Vec<(String, OpenFile)> {
        let mut found: Vec<(String, OpenFile)> = Vec::new();
        if name.contains('/') {
            let path = self.expand(name, &objects[by].origin);
            if let Some((path, (Opened::File(file), FileVerdict::Take))) =
                path.map(|path| (path.clone(), self.open(world, &path, false)))
            {
                found.push((path, file));
            }
            return found;
        }
        let known = KnownDirectories::default();
        for list in self.lists(objects, by, world, name, &known) {
            for path in self.paths(world, &list, name, &known).flat_map(|(_, paths)| paths) {
                if let (Opened::File(file), FileVerdict::Take) = self.open(world, &path, false)
                    && !found.iter().any(|(_, known)| known.id == file.id)
                {
                    found.push((path, file));
                }
            }
        }
        found
    }

    /// Opens a name with a slash as it is, from the current directory; there is no search.
    fn open_direct(&self, search: &mut Search, name: &str) -> Located {
        let rule = Rule::DirectPath;
        let path = super::absolute(name, &search.world.working_directory);
        match self.open(search.world, &path, search.is_dlopen) {
            (Opened::File(file), FileVerdict::Take) => Located::Found { path: name.to_owned(), file, rule },
            (_, FileVerdict::Fatal(reason)) => Located::Fatal { path, reason, rule },
            (_, FileVerdict::Skip(why)) => {
                search.pass(rule, path, why);
                Located::Missing { rule }
            }
            (_, FileVerdict::Take) => unreachable!("only files are taken"),
        }
    }

    /// The sources of directories for one need, in order.
    ///
    /// DT_RPATH counts only if the needing object has no DT_RUNPATH; then the DT_RPATHs of every object that led to
    /// it and of the program count, too. An object's own DT_RPATH is dropped if it has DT_RUNPATH.
    fn lists<'a>(
        &'a self,
        objects: &[Loaded],
        by: usize,
        world: &World,
        name: &str,
        known: &'a KnownDirectories,
    ) -> Vec<List<'a>> {
        let mut lists = Vec::new();
        let runpath_of =
            |index: usize| objects[index].file.object.elf().and_then(|elf| elf.runpath.as_deref());
        let rpath_of = |index: usize| {
            let elf = objects[index].file.object.elf()?;
            if elf.runpath.is_some() { None } else { elf.rpath.as_deref() }
        };
        if runpath_of(by).is_none() {
            let mut next = Some(by);
            let mut did_program = false;
            while let Some(index) = next {
                if let Some(rpath) = rpath_of(index) {
                    did_program |= index == 0;
                    lists.push(self.list(Rule::Rpath, rpath, &objects[index].origin));
                }
                // An object that dlopen loads has no loader. Source: `_dl_map_object`, RTLD_CALLMAP.
                let is_opened = objects[index].opening.is_some() && objects[index].loader == Some(0);
                next = if is_opened { None } else { objects[index].loader };
            }
            if !did_program
                && objects[0].file.object.elf().is_some_and(ElfFacts::is_program)
                && let Some(rpath) = rpath_of(0)
            {
                lists.push(self.list(Rule::Rpath, rpath, &objects[0].origin));
            }
        }
        if let Some(value) = world.library_path.as_deref() {
            let rule = Rule::LdLibraryPath;
            let directories = known.library_path.get_or_init(|| self.split(rule, value, &objects[0].origin));
            lists.push(List { rule, directories: directories.into() });
        }
        if let Some(runpath) = runpath_of(by) {
            lists.push(self.list(Rule::Runpath, runpath, &objects[by].origin));
        }
        let no_default = objects[by].file.object.elf().is_some_and(|elf| elf.flags_1 & DF_1_NODEFLIB != 0);
        if let Some(path) = self.cache.path(name) {
            let below_default = self.default_dirs.iter().any(|dir| path.starts_with(&format!("{dir}/")));
            if !(no_default && below_default) {
                lists.push(List { rule: Rule::Cache, directories: vec![path.to_owned()].into() });
            }
        }
        if !no_default {
            lists.push(List { rule: Rule::DefaultDir, directories: (&self.default_dirs).into() });
        }
        lists
    }

    fn list(&self, rule: Rule, value: &str, origin: &str) -> List<'static> {
        List { rule, directories: self.split(rule, value, origin).into() }
    }

    /// Splits, expands and cleans a path list. An empty element is the current directory; a list that is
    /// empty as a whole is ignored; an element whose token cannot be expanded is dropped.
    fn split(&self, rule: Rule, value: &str, origin: &str) -> Vec<String> {
        let mut directories: Vec<String> = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        if !value.is_empty() {
            let separators: &[char] = if rule == Rule::LdLibraryPath { &[':', ';'] } else { &[':'] };
            for element in value.split(separators) {
                let directory = if element.is_empty() {
                    String::new()
                } else {
                    match self.expand(element, origin) {
                        Some(text) if text.is_empty() => continue,
                        Some(text) if text.bytes().all(|byte| byte == b'/') => "/".to_owned(),
                        Some(text) => text.trim_end_matches('/').to_owned(),
                        None => continue,
                    }
                };
                if seen.insert(directory.clone()) {
                    directories.push(directory);
                }
            }
        }
        directories
    }

    /// Expands `$ORIGIN`, `$LIB` and `$PLATFORM`, with or without braces; any other `$` stays as it is.
    ///
    /// Returns `None` if a token has no value: the loader then drops the whole element.
    fn expand(&self, text: &str, origin: &str) -> Option<String> {
        if !text.contains('$') {
            return Some(text.to_owned());
        }
        let tokens = [("ORIGIN", origin), ("LIB", &self.lib), ("PLATFORM", &self.platform)];
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let found = tokens.iter().find_map(|(token, value)| {
                let bare = || {
                    let behind = rest.strip_prefix(token)?;
                    // `$ORIGINfoo` is another name. Before glibc 2.28 only `/` or the end could follow a token.
                    let goes_on =
                        behind.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
                    (!goes_on).then_some(behind)
                };
                let braced = || rest.strip_prefix('{')?.strip_prefix(token)?.strip_prefix('}');
                Some((bare().or_else(braced)?, *value))
            });
            match found {
                Some((_, "")) => return None,
                Some((behind, value)) => {
                    expanded.push_str(value);
                    rest = behind;
                }
                None => expanded.push('$'),
            }
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    /// The paths to try in one list, by directory. The cache gives a path; the other sources give directories, each
    /// after its hwcaps subdirectories.
    fn paths<'a>(
        &'a self,
        world: &'a World,
        list: &'a List<'a>,
        name: &'a str,
        known: &'a KnownDirectories,
    ) -> impl Iterator<Item = (&'a str, Vec<String>)> + 'a {
        list.directories.iter().map(move |directory| {
            if list.rule == Rule::Cache {
                return (&**directory, vec![directory.clone()]);
            }
            let slash = if matches!(directory.as_str(), "" | "/") { "" } else { "/" };
            let subdirectories = self.subdirectories(world, directory, known);
            let below = |subdirectory: &String| [directory, slash, subdirectory, "/", name].concat();
            let itself = [directory, slash, name].concat();
            (&**directory, subdirectories.iter().map(below).chain([itself]).collect())
        })
    }

    /// The hwcaps subdirectories that a directory has.
    fn subdirectories(&self, world: &World, directory: &str, known: &KnownDirectories) -> Rc<Vec<String>> {
        if let Some(found) = known.subdirectories.borrow().get(directory) {
            return found.clone();
        }
        let path = super::absolute(directory, &world.working_directory);
        let path = path.trim_end_matches('/');
        // A directory that does not exist has none.
        let is_there = path.is_empty() || world.files.is_directory(path);
        let is_subdirectory =
            |subdirectory: &&String| world.files.is_directory(&format!("{path}/{subdirectory}"));
        let all = self.hwcaps.iter().filter(|_| is_there);
        let found: Rc<Vec<String>> = Rc::new(all.filter(is_subdirectory).cloned().collect());
        known.subdirectories.borrow_mut().insert(directory.to_owned(), found.clone());
        found
    }

    fn open(&self, world: &World, path: &str, is_dlopen: bool) -> (Opened, FileVerdict) {
        let opened = world.files.open(&super::absolute(path, &world.working_directory));
        let verdict = match &opened {
            Opened::File(file) => match self.verify(&file.object) {
                FileVerdict::Take if is_dlopen && is_never_opened(&file.object) => {
                    FileVerdict::Fatal("shared object cannot be dlopen()ed".to_owned())
                }
                verdict => verdict,
            },
            Opened::Absent => FileVerdict::Skip(SkipReason::Absent),
            Opened::Unreadable => FileVerdict::Skip(SkipReason::Unreadable),
            Opened::Failed(why) => FileVerdict::Skip(SkipReason::Failed(why.clone())),
            Opened::Rejected(reason) => FileVerdict::Fatal(reason.clone()),
        };
        (opened, verdict)
    }

    /// Returns the reason for which dlopen refuses a file of this machine.
    pub fn refusal(&self, elf: &Arc<ElfFacts>) -> Option<String> {
        let object = Object::Elf(elf.clone());
        match self.verify(&object) {
            FileVerdict::Take if is_never_opened(&object) => {
                Some("shared object cannot be dlopen()ed".to_owned())
            }
            FileVerdict::Take => None,
            FileVerdict::Skip(why) => Some(why.describe()),
            FileVerdict::Fatal(reason) => Some(reason),
        }
    }

    /// Makes the checks of `open_verify` and `_dl_map_object_from_fd`, in their order.
    fn verify(&self, object: &Object) -> FileVerdict {
        let Some(elf) = object.elf() else { return FileVerdict::Take };
        let fatal = |reason: &str| FileVerdict::Fatal(reason.to_owned());
        if !elf.class64 {
            return FileVerdict::Skip(SkipReason::WrongClass);
        }
        if !elf.little_endian {
            return fatal("ELF file data encoding not little-endian");
        }
        if elf.os_abi != 0 && elf.os_abi != 3 {
            return fatal("ELF file OS ABI invalid");
        }
        if elf.abi_version != 0 && !(elf.os_abi == 3 && elf.abi_version < 4) {
            return fatal("ELF file ABI version invalid");
        }
        if elf.machine != self.machine {
            return FileVerdict::Skip(SkipReason::WrongMachine(elf.machine_name()));
        }
        match elf.object_type {
            ObjectType::Other(_) => return fatal("only ET_DYN and ET_EXEC can be loaded"),
            ObjectType::Exec => return fatal("cannot dynamically load executable"),
            ObjectType::Dyn => {}
        }
        // glibc 2.35 dropped the check. Source: `open_verify`, the ABI note.
        if self.release < (2, 35)
            && let (Some(kernel), Some(least)) = (self.kernel, elf.least_kernel)
            && least > kernel
        {
            return FileVerdict::Skip(SkipReason::NewerKernel(least));
        }
        if !elf.has_load {
            return fatal("object file has no loadable segments");
        }
        if !elf.has_dynamic {
            return fatal("object file has no dynamic section");
        }
        let is_old = self.release < (2, 35);
        match elf.alignment {
            Alignment::Fine => {}
            Alignment::PageOnly | Alignment::NoPages if !is_old => {}
            Alignment::PageOnly => return fatal("ELF load command address/offset not properly aligned"),
            Alignment::NoPages => return fatal("ELF load command alignment not page-aligned"),
            Alignment::Broken if is_old => {
                return fatal("ELF load command address/offset not properly aligned");
            }
            Alignment::Broken => return fatal("ELF load command address/offset not page-aligned"),
        }
        if let Some(fault) = elf.library_fault() {
            return fatal(fault);
        }
        if elf.flags_1 & DF_1_PIE != 0 {
            return fatal("cannot dynamically load position-independent executable");
        }
        FileVerdict::Take
    }
}

/// Whether an object may be loaded only at the start. Source: `_dl_map_object_from_fd`.
fn is_never_opened(object: &Object) -> bool {
    object.elf().is_some_and(|elf| elf.flags_1 & DF_1_NOOPEN != 0)
}

/// The loaded object that a name means: ld.so compares it with the path, the names and the SONAME of every object
/// before any search.
///
/// The program's path is empty to ld.so, so an empty name means the program.
fn already_loaded(names: &KnownNames, name: &str) -> Option<usize> {
    if name.is_empty() { Some(0) } else { names.by_name(name) }
}
