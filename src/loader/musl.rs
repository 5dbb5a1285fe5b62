//! The search rules of musl's loader, 1.1 and 1.2.
//!
//! Source: ldso/dynlink.c: `load_library`, `path_open`, `fixup_rpath`, `map_library`. The rules differ from glibc's:
//! LD_LIBRARY_PATH comes before RPATH; DT_RUNPATH replaces DT_RPATH and is inherited like it; the loader itself
//! answers the names of the C library; the first file that opens is taken, whatever it is; a SONAME has no effect;
//! version nodes are ignored.

use super::{Loaded, Located, Rule, Search, SkipReason};
use crate::elf::ObjectType;
use crate::loader::World;
use crate::paths::file_name;
use crate::world::{Object, OpenFile, Opened};

/// One musl loader and its settings.
#[derive(Debug, Clone, Default)]
pub struct Musl {
    /// `e_machine` of the objects that can run.
    pub machine: u16,
    /// The directories of /etc/ld-musl-ARCH.path, or the built-in ones.
    pub system_dirs: Vec<String>,
}

impl Musl {
    /// The directories that are searched when there is no path file.
    pub const BUILT_IN_DIRS: [&str; 3] = ["/lib", "/usr/local/lib", "/usr/lib"];

    /// Whether the loader answers a name itself: `libc.`, `libpthread.`, ... with any text after the dot.
    pub fn answers(name: &str) -> bool {
        let Some(rest) = name.strip_prefix("lib") else { return false };
        ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."].iter().any(|stem| rest.starts_with(stem))
    }

    pub(super) fn locate(&self, search: &mut Search, by: usize, name: &str) -> Located {
        if Musl::answers(name) {
            return Located::Builtin;
        }
        if name.contains('/') {
            let rule = Rule::DirectPath;
            return match self.open(search.world, name) {
                Tried::File(file) => found(name.to_owned(), file, rule),
                Tried::SkipReason(why) => {
                    search.pass(rule, name.to_owned(), why);
                    Located::Missing { rule }
                }
                Tried::Fatal(reason) => Located::Fatal { path: name.to_owned(), reason, rule },
            };
        }
        if let Some(index) = search.names.by_name(name) {
            return Located::Known(index);
        }
        let mut last = Rule::DefaultDir;
        if search.is_over(name) {
            return Located::Missing { rule: last };
        }
        for (rule, directories) in self.lists(search.world, search.objects, by) {
            last = rule;
            for directory in directories {
                if search.budget.get() == 0 {
                    return Located::Missing { rule };
                }
                let path = format!("{directory}/{name}");
                match self.open(search.world, &path) {
                    Tried::File(file) => return found(path, file, rule),
                    Tried::Fatal(reason) => return Located::Fatal { path, reason, rule },
                    Tried::SkipReason(why) => {
                        // An error other than "not there" and "no permission" ends the whole search.
                        let ends = matches!(why, SkipReason::Failed(_));
                        search.pass(rule, path, why);
                        if ends {
                            return Located::Missing { rule };
                        }
                    }
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
        for (_, directories) in self.lists(world, objects, by) {
            for directory in directories {
                let path = format!("{directory}/{name}");
                if let Tried::File(file) = self.open(world, &path)
                    && !found.iter().any(|(_, known)| known.id == file.id)
                {
                    found.push((path, file));
                }
            }
        }
        found
    }

    /// The names under which a file is known: its file name, if it was searched for.
    pub(super) fn names(&self, name: &str, path: &str) -> Vec<String> {
        if name.contains('/') { Vec::new() } else { vec![file_name(path).to_owned()] }
    }

    fn lists(&self, world: &World, objects: &[Loaded], by: usize) -> Vec<(Rule, Vec<String>)> {
        let split = |value: &str| -> Vec<String> {
            value.split([':', '\n']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let mut lists = Vec::new();
        if let Some(value) = world.library_path.as_deref() {
            lists.push((Rule::LdLibraryPath, split(value)));
        }
        let mut next = Some(by);
        while let Some(index) = next {
            if let Some(elf) = objects[index].file.object.elf() {
                let (rule, value) = match (&elf.runpath, &elf.rpath) {
                    (Some(value), _) => (Rule::Runpath, Some(value)),
                    (None, value) => (Rule::Rpath, value.as_ref()),
                };
                if let Some(expanded) = value.and_then(|value| expand(value, &objects[index].origin)) {
                    lists.push((rule, split(&expanded)));
                }
            }
            next = objects[index].loader;
        }
        lists.push((Rule::DefaultDir, self.system_dirs.clone()));
        lists
    }

    fn open(&self, world: &World, path: &str) -> Tried {
        match world.files.open(&super::absolute(path, &world.working_directory)) {
            Opened::File(file) => match self.verify(&file.object) {
                Some(reason) => Tried::Fatal(reason),
                None => Tried::File(file),
            },
            Opened::Absent => Tried::SkipReason(SkipReason::Absent),
            Opened::Unreadable => Tried::SkipReason(SkipReason::Unreadable),
            Opened::Failed(why) => Tried::SkipReason(SkipReason::Failed(why)),
            Opened::Rejected(_) => Tried::Fatal("Exec format error".into()),
        }
    }

    /// musl maps a file without checking its machine; an object for another machine cannot run.
    fn verify(&self, object: &Object) -> Option<String> {
        let elf = object.elf()?;
        if !elf.class64 || !elf.little_endian || matches!(elf.object_type, ObjectType::Other(_)) {
            return Some("Exec format error".into());
        }
        if elf.machine != self.machine {
            return Some(format!("it is for {}, which the loader does not check", elf.machine_name()));
        }
        None
    }
}

/// The result for a file that was opened. A file that defines what every C library does is never loaded beside musl's
/// own.
fn found(path: String, file: OpenFile, rule: Rule) -> Located {
    let Some(elf) = file.object.elf() else { return Located::Found { path, file, rule } };
    let defines = |wanted: &str| elf.symbols.iter().any(|s| s.defined && elf.symbols.name(s) == wanted);
    if defines("__libc_start_main") && defines("stdin") {
        return Located::Builtin;
    }
    Located::Found { path, file, rule }
}

enum Tried {
    File(OpenFile),
    SkipReason(SkipReason),
    Fatal(String),
}

/// Expands `$ORIGIN` and `${ORIGIN}`; any other `$` makes musl ignore the whole path.
fn expand(value: &str, origin: &str) -> Option<String> {
    let expanded = value.replace("${ORIGIN}", "$ORIGIN");
    if expanded.replace("$ORIGIN", "").contains('$') {
        return None;
    }
    Some(expanded.replace("$ORIGIN", origin))
}
