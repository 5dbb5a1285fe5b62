//! Captures a root file system as a baseline: every shared object that its loader may find.
//!
//! It reads the loader's own directories, Lambda's library path without the directories of function and layers, the
//! paths in /etc/ld.so.cache, and the directories in the RPATHs and RUNPATHs of the objects found there, each with
//! its hwcaps directories. Links are recorded as they are and followed inside the root. Nothing is executed, and
//! nothing outside of the root is read. A root may also be the list of a probe from inside a runtime: then no file is
//! read at all.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::build_world::{self, DiskFiles};
use crate::baseline::captured::{Root, RootEntry};
use crate::baseline::probed::{Probe, ProbedNode};
use crate::baseline::{self, Baseline, LIBRARY_PATH};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::loader::{Cache, hwcap_subdirectories};
use crate::paths::{self, file_name, parent};
use crate::world::{Files, Object, OpenFile, Opened};

/// A root to capture. Paths are the root's own, absolute, and without links above their last part.
trait RootSource {
    /// Returns the kind of file at a path; `None` if it does not exist.
    fn at(&self, path: &str) -> Option<Standing>;
    /// Returns the names in a directory; none if it cannot be listed, since the loader finds nothing in it, either.
    fn names(&self, directory: &str) -> Vec<String>;
    /// Returns what a loader gets if it opens a path.
    fn open(&self, path: &str) -> Opened;
}

/// The kind of file at a path.
enum Standing {
    Link(String),
    Directory,
    /// A file, a pipe or a device.
    Other,
}

/// A root in a directory of this machine.
struct OnDisk<'a> {
    root: &'a Utf8Path,
    files: DiskFiles,
}

impl OnDisk<'_> {
    fn path(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl RootSource for OnDisk<'_> {
    fn at(&self, path: &str) -> Option<Standing> {
        let path = self.path(path);
        let metadata = path.symlink_metadata().ok()?;
        Some(match metadata {
            link if link.is_symlink() => Standing::Link(path.read_link_utf8().ok()?.into_string()),
            directory if directory.is_dir() => Standing::Directory,
            _ => Standing::Other,
        })
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(listed) = self.path(directory).read_dir_utf8() else { return Vec::new() };
        listed.flatten().map(|entry| entry.file_name().to_owned()).collect()
    }

    fn open(&self, path: &str) -> Opened {
        self.files.open(path)
    }
}

impl RootSource for Probe {
    fn at(&self, path: &str) -> Option<Standing> {
        Some(match self.nodes.get(path)? {
            ProbedNode::Link(target) => Standing::Link(target.clone()),
            ProbedNode::Directory => Standing::Directory,
            ProbedNode::Special | ProbedNode::File(..) => Standing::Other,
        })
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let start = format!("{directory}/");
        let below = self.nodes.range(start.clone()..).map_while(|(path, _)| path.strip_prefix(&start));
        below.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn open(&self, path: &str) -> Opened {
        match self.nodes.get(path) {
            None => Opened::Absent,
            Some(ProbedNode::File(_, Ok(facts))) => {
                let object = Object::Elf(facts.clone());
                Opened::File(OpenFile { id: (0, 0), source: path.to_owned(), object })
            }
            Some(ProbedNode::File(size, Err(error))) => Opened::refused(error, *size),
            Some(_) => build_world::not_a_file(),
        }
    }
}

/// The properties of a root besides its files.
struct Described<'a> {
    name: &'a str,
    recorded: &'a str,
    arch: Arch,
    default_dirs: &'a [String],
    /// The value of `$LIB`.
    lib: String,
    /// The version of its glibc, (major, minor).
    release: (u32, u32),
    /// The contents of /etc/ld.so.cache.
    cache: Option<Vec<u8>>,
    /// The possible values of `LD_LIBRARY_PATH`.
    library_paths: Vec<String>,
}

/// Captures the root file system in the directory `root`.
///
/// `name` is the runtime's name in the baseline, `recorded` the date, `YYYY-MM-DD`. Without `arch` it is the first
/// architecture for which the root has an interpreter, x86_64 before arm64.
///
/// # Errors
///
/// If the root has no glibc for that architecture.
pub fn capture(root: &Utf8Path, name: &str, recorded: &str, arch: Option<Arch>) -> Result<Baseline> {
    let source = OnDisk { root, files: DiskFiles::new(Some(root), Vec::new(), Vec::new()) };
    let arch = find_arch(&source, root, arch)?;
    let rules = build_world::glibc_rules(&source.files, arch);
    let described = Described {
        name,
        recorded,
        arch,
        default_dirs: &rules.default_dirs,
        lib: rules.lib,
        release: rules.release,
        // The loader reads the cache, not the configuration that it is made from.
        cache: source.files.read_text("/etc/ld.so.cache"),
        library_paths: vec![LIBRARY_PATH.to_owned(), format!("/var/lang/lib:{LIBRARY_PATH}")],
    };
    read(&source, root, described)
}

/// Captures the runtime that a probe ran in; `file` has the probe's output. The probe's value of `LD_LIBRARY_PATH`
/// becomes the baseline's.
///
/// # Errors
///
/// The errors of [`capture`].
pub fn capture_probe(probe: &Probe, file: &Utf8Path, name: &str, arch: Option<Arch>) -> Result<Baseline> {
    let arch = find_arch(probe, file, arch)?;
    let library_paths = match probe.variables.get("LD_LIBRARY_PATH") {
        Some(path) => vec![path.clone()],
        None => vec![LIBRARY_PATH.to_owned(), format!("/var/lang/lib:{LIBRARY_PATH}")],
    };
    let described = Described {
        name,
        recorded: &probe.recorded,
        arch,
        default_dirs: &probe.default_dirs,
        lib: build_world::lib_token(&probe.default_dirs[0], arch),
        release: probe.glibc,
        cache: probe.cache.clone(),
        library_paths,
    };
    read(probe, file, described)
}

/// Returns the architecture that a root has an interpreter for; `root` names it in messages.
fn find_arch(source: &dyn RootSource, root: &Utf8Path, arch: Option<Arch>) -> Result<Arch> {
    let wanted = arch.map_or(vec![Arch::X86_64, Arch::Arm64], |arch| vec![arch]);
    let found = wanted.iter().find(|arch| arch.interpreters().iter().any(|path| is_object(source, path)));
    found.copied().ok_or_else(|| {
        let paths: Vec<&str> = wanted.iter().flat_map(|arch| arch.interpreters()).copied().collect();
        Error::new(format!("`{root}` has no loader of glibc: no {}", paths.join(", no ")))
            .help("name the root of a system with glibc: an unpacked image, or `/` inside a container")
    })
}

/// Whether a path leads to an object.
fn is_object(source: &dyn RootSource, path: &str) -> bool {
    let real = follow(source, path, &mut BTreeMap::new());
    real.is_some_and(|path| matches!(source.open(&path), Opened::File(_)))
}

fn read(source: &dyn RootSource, root: &Utf8Path, described: Described<'_>) -> Result<Baseline> {
    let Described { name, recorded, arch, default_dirs, lib, release, cache, library_paths } = described;
    if !default_dirs.iter().any(|dir| is_object(source, &format!("{dir}/libc.so.6"))) {
        return Err(Error::new(format!("`{root}` has no libc.so.6 in {}", default_dirs.join(", "))));
    }
    let hwcaps = hwcap_subdirectories(arch, release, 3, arch.gnu_name());
    let cache = cache.map_or_else(Cache::default, |bytes| Cache::of_file(bytes, arch, &hwcaps)).paths();
    let mut reader = RootReader { source, arch, lib, hwcaps, entries: BTreeMap::new(), pending: Vec::new() };
    let is_ours = |dir: &str| !["/var/task", "/opt"].iter().any(|ours| Utf8Path::new(dir).starts_with(ours));
    reader.pending.extend(default_dirs.iter().cloned());
    let named = library_paths.iter().map(String::as_str).chain([LIBRARY_PATH, "/var/lang/lib"]);
    let named = named.flat_map(|path| path.split(':')).filter(|dir| dir.starts_with('/') && is_ours(dir));
    reader.pending.extend(named.map(str::to_owned));
    reader.read_directories();
    let paths = cache.values().map(String::as_str).chain(arch.interpreters().iter().copied());
    for path in paths {
        reader.read_file(path);
    }
    reader.read_directories();
    let (major, minor) = release;
    let mut header =
        format!("runtime {name}\narch {arch}\nrecorded {recorded}\nglibc {major}.{minor}\ncomplete yes\n");
    for path in arch.interpreters().iter().filter(|path| is_object(source, path)) {
        header.push_str(&format!("interpreter {path}\n"));
    }
    header.push_str(&format!("default-dirs {}\n", default_dirs.join(" ")));
    for path in library_paths {
        header.push_str(&format!("library-path {path}\n"));
    }
    let table = Baseline::parse(&header)
        .map_err(|error| Error::new(format!("could not describe `{root}`")).because(error))?;
    let packages = packages(&reader.entries, arch);
    Ok(table.with_root(Root { entries: reader.entries, cache, packages }))
}

/// A root that is being read.
struct RootReader<'a> {
    source: &'a dyn RootSource,
    arch: Arch,
    /// The value of `$LIB`.
    lib: String,
    hwcaps: Vec<String>,
    entries: BTreeMap<String, RootEntry>,
    /// Directories to read.
    pending: Vec<String>,
}

impl RootReader<'_> {
    /// Reads every pending directory, and those that the objects there name.
    fn read_directories(&mut self) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(directory) = self.pending.pop() {
            let hwcaps = self.hwcaps.iter().map(|hwcap| format!("{directory}/{hwcap}"));
            let with_hwcaps: Vec<String> = hwcaps.chain([directory.clone()]).collect();
            for directory in with_hwcaps {
                let Some(directory) = self.follow(&directory) else { continue };
                if !seen.insert(directory.clone()) {
                    continue;
                }
                for name in self.source.names(&directory).iter().filter(|name| name.contains(".so")) {
                    self.read_file(&format!("{directory}/{name}"));
                }
            }
        }
    }

    /// Records the file that a path leads to, and the links on the way.
    fn read_file(&mut self, path: &str) {
        let Some(path) = self.follow(path) else { return };
        if self.entries.contains_key(&path) {
            return;
        }
        let entry = match self.source.open(&path) {
            Opened::File(file) => match &file.object {
                Object::Elf(facts) => {
                    let named = facts.rpath.iter().chain(&facts.runpath);
                    let directories = named.flat_map(|list| list.split(':')).filter(|part| !part.is_empty());
                    let expanded: Vec<String> = directories
                        .map(|part| self.expand(part, parent(&path)))
                        .filter(|dir| dir.starts_with('/'))
                        .collect();
                    self.pending.extend(expanded);
                    Root::entry(facts, self.arch)
                }
                Object::System(_) | Object::Unseen => None,
            },
            // A directory is no file that the loader could refuse, though it may have such a name.
            Opened::Rejected(_) if matches!(self.source.at(&path), Some(Standing::Directory)) => None,
            Opened::Rejected(why) => Some(RootEntry::Refused(why)),
            Opened::Absent | Opened::Unreadable | Opened::Failed(_) => None,
        };
        if let Some(entry) = entry {
            self.entries.insert(path, entry);
        }
    }

    fn expand(&self, directory: &str, origin: &str) -> String {
        let tokens = [("ORIGIN", origin), ("LIB", &self.lib), ("PLATFORM", self.arch.gnu_name())];
        tokens.iter().fold(directory.to_owned(), |text, (token, value)| {
            text.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value)
        })
    }

    /// Returns the path with all links followed inside the root, and records each link; `None` if it leads nowhere.
    fn follow(&mut self, path: &str) -> Option<String> {
        follow(self.source, path, &mut self.entries)
    }
}

/// Returns the packages of objects, as Amazon Linux has them by SONAME. The root's own package database is not read.
fn packages(entries: &BTreeMap<String, RootEntry>, arch: Arch) -> BTreeMap<String, String> {
    let runtimes = baseline::runtimes().iter().rev();
    let tables: Vec<Baseline> = runtimes.filter_map(|name| baseline::embedded(name, arch)).collect();
    let package = |soname: &str| {
        let mut objects = tables.iter().filter_map(|table| table.object(soname));
        objects.find_map(|object| object.package.clone())
    };
    let of_entry = |(path, entry): (&String, &RootEntry)| {
        let RootEntry::Elf(facts) = entry else { return None };
        let soname = facts.soname.as_deref().unwrap_or(file_name(path));
        Some((path.clone(), package(soname)?))
    };
    entries.iter().filter_map(of_entry).collect()
}

/// Returns the path with all links followed, and records each link; `None` if it leads nowhere or to the root.
fn follow(source: &dyn RootSource, path: &str, entries: &mut BTreeMap<String, RootEntry>) -> Option<String> {
    struct Nowhere;
    let link_at = |at: &str| match source.at(at) {
        Some(Standing::Link(target)) if !target.is_empty() => {
            entries.insert(at.to_owned(), RootEntry::Link(target.clone()));
            Ok(Some(target))
        }
        None | Some(Standing::Link(_)) => Err(Nowhere),
        Some(_) => Ok(None),
    };
    paths::follow(path, link_at).ok()?.filter(|at| !at.is_empty())
}
