//! Reads a root file system into a table: every shared object that its loader may come upon.
//!
//! Looked into are the loader's own directories, Lambda's library path without the function's and the layers'
//! directories, what /etc/ld.so.cache names, and the directories that the RPATHs and RUNPATHs of the objects found
//! there name, each with its hwcaps directories. Links are recorded as they are and followed inside the root.
//! Nothing is executed, and nothing outside of the root is read.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::build_world::{self, DiskFiles};
use crate::baseline::captured::{Root, RootEntry};
use crate::baseline::{Baseline, LIBRARY_PATH};
use crate::elf::{Arch, file_name};
use crate::error::{Error, Result};
use crate::loader::hwcap_subdirectories;
use crate::world::{Files, Object, Opened, normalize, parent};

/// The interpreters of glibc that programs of an architecture name.
fn interpreters(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &["/lib64/ld-linux-x86-64.so.2"],
        Arch::Arm64 => &["/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-aarch64.so.1"],
    }
}

/// The table of the root file system in the directory `root`.
///
/// `name` is what the table calls its runtime, `recorded` the day, `YYYY-MM-DD`. Without `arch` it is the
/// architecture that the root has an interpreter for, x86_64 first.
///
/// # Errors
///
/// A root without glibc for that architecture.
pub fn capture(root: &Utf8Path, name: &str, recorded: &str, arch: Option<Arch>) -> Result<Baseline> {
    let files = DiskFiles::new(Some(root), Vec::new(), Vec::new());
    let has = |path: &str| matches!(files.open(path), Opened::File(_));
    let wanted = arch.map_or(vec![Arch::X86_64, Arch::Arm64], |arch| vec![arch]);
    let found = wanted.iter().find(|arch| interpreters(**arch).iter().any(|path| has(path)));
    let arch = *found.ok_or_else(|| {
        let paths: Vec<&str> = wanted.iter().flat_map(|arch| interpreters(*arch)).copied().collect();
        Error::new(format!("`{root}` has no loader of glibc: no {}", paths.join(", no ")))
            .help("name the root of a system with glibc: an unpacked image, or `/` inside a container")
    })?;
    let rules = build_world::glibc_rules(&files, arch);
    if !rules.default_dirs.iter().any(|dir| has(&format!("{dir}/libc.so.6"))) {
        return Err(Error::new(format!("`{root}` has no libc.so.6 in {}", rules.default_dirs.join(", "))));
    }
    let hwcaps = hwcap_subdirectories(arch, rules.release, 3, arch.gnu_name());
    // The loader reads the cache, not the configuration that it is made from.
    let cache = match files.read_text("/etc/ld.so.cache") {
        Some(bytes) => build_world::read_cache(&bytes, arch, &hwcaps),
        None => BTreeMap::new(),
    };
    let mut reader = Reader {
        root,
        files: &files,
        arch,
        lib: rules.lib,
        hwcaps,
        entries: BTreeMap::new(),
        pending: Vec::new(),
    };
    let is_ours = |dir: &str| !["/var/task", "/opt"].iter().any(|ours| Utf8Path::new(dir).starts_with(ours));
    reader.pending.extend(rules.default_dirs.iter().cloned());
    reader.pending.extend(
        LIBRARY_PATH.split(':').chain(["/var/lang/lib"]).filter(|dir| is_ours(dir)).map(str::to_owned),
    );
    reader.read_directories();
    let paths = cache.values().map(String::as_str).chain(interpreters(arch).iter().copied());
    for path in paths {
        reader.read_file(path);
    }
    reader.read_directories();
    let (major, minor) = rules.release;
    let mut header =
        format!("runtime {name}\narch {arch}\nrecorded {recorded}\nglibc {major}.{minor}\ncomplete yes\n");
    for path in interpreters(arch).iter().filter(|path| has(path)) {
        header.push_str(&format!("interpreter {path}\n"));
    }
    header.push_str(&format!("default-dirs {}\n", rules.default_dirs.join(" ")));
    header.push_str(&format!("library-path {LIBRARY_PATH}\nlibrary-path /var/lang/lib:{LIBRARY_PATH}\n"));
    let table = Baseline::parse(&header)
        .map_err(|error| Error::new(format!("could not describe `{root}`")).because(error))?;
    Ok(table.with_root(Root { entries: reader.entries, cache }))
}

/// A root as it is read.
struct Reader<'a> {
    root: &'a Utf8Path,
    files: &'a DiskFiles,
    arch: Arch,
    /// `$LIB`.
    lib: String,
    hwcaps: Vec<String>,
    entries: BTreeMap<String, RootEntry>,
    /// Directories to look into.
    pending: Vec<String>,
}

impl Reader<'_> {
    /// Looks into every pending directory, and into those that the objects there name.
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
                // What cannot be listed has nothing for the loader; a file is no directory.
                let Ok(listed) = self.on_disk(&directory).read_dir_utf8() else { continue };
                let names: Vec<String> = listed
                    .flatten()
                    .map(|entry| entry.file_name().to_owned())
                    .filter(|name| name.contains(".so"))
                    .collect();
                for name in names {
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
        let entry = match self.files.open(&path) {
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
            // A directory is no file that could be refused, though it may have such a name.
            Opened::Rejected(_) if self.on_disk(&path).is_dir() => None,
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

    fn on_disk(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The path with all links followed inside the root, each of them recorded; `None` if it leads nowhere.
    fn follow(&mut self, path: &str) -> Option<String> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let above = at.len();
            at.push('/');
            at.push_str(&part);
            let metadata = self.on_disk(&at).symlink_metadata().ok()?;
            if !metadata.is_symlink() {
                continue;
            }
            links += 1;
            let target = self.on_disk(&at).read_link_utf8().ok()?.into_string();
            // Source: MAXSYMLINKS in the kernel.
            if links > 40 || target.is_empty() {
                return None;
            }
            self.entries.insert(at.clone(), RootEntry::Link(target.clone()));
            at.truncate(if target.starts_with('/') { 0 } else { above });
            rest.extend(target.split('/').rev().map(str::to_owned));
        }
        debug_assert_eq!(normalize(&at), if at.is_empty() { "/" } else { &at });
        (!at.is_empty() && !file_name(&at).is_empty()).then_some(at)
    }
}
