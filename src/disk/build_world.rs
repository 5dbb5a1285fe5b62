//! The build world: the files of this machine, or of a `--sysroot`, as the loader would open them.
//!
//! Paths of the world are those of its root, with one exception: a path below one of the named host directories
//! (`--library-path`, cargo's directories, the program's own) is this machine's. With the host's own root the two are
//! the same. In a sysroot absolute links stay inside it.
//!
//! On Windows a host directory has a name in this world, [`super::paths::world_name`], and only a sysroot can be the
//! root.
//!
//! Nothing is executed; a file is opened, read and parsed once.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use super::paths::{ExactNames, HostDirectory, follow};
use crate::elf::{self, Arch};
use crate::loader::{Cache, Glibc, Musl, Rules, compare_names, hwcap_subdirectories};
use crate::paths;
use crate::world::{Files, Object, OpenFile, Opened};

/// The files of a disk as one world.
pub struct DiskFiles {
    /// `None` for the host's own root.
    sysroot: Option<Utf8PathBuf>,
    /// Directories whose paths mean this machine, also with a sysroot.
    host_directories: Vec<HostDirectory>,
    /// Directories in which a file is also found by its SONAME.
    soname_directories: Vec<HostDirectory>,
    /// On systems without ELF there is no host root: then only the named directories exist.
    has_root: bool,
    opened: RefCell<BTreeMap<String, Opened>>,
    objects: Arc<Objects>,
    directories: RefCell<BTreeMap<String, bool>>,
    names: ExactNames,
}

/// What was read of this machine: once, for all programs.
#[derive(Default)]
pub struct Objects {
    /// The files at paths without links, each opened and parsed.
    read: Once<String, Opened>,
    /// The paths to which other paths lead; `None` if nothing is there.
    followed: Once<String, Option<Utf8PathBuf>>,
    /// The files with each SONAME, by directory.
    sonames: Once<String, Arc<BTreeMap<String, Utf8PathBuf>>>,
    /// The rules of the glibc of the host's own root.
    glibc: Once<Arch, Glibc>,
}

/// Answers that are found once.
struct Once<K, V>(Mutex<BTreeMap<K, V>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Once(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Once<K, V> {
    /// Two threads may both find an answer; the first one stays.
    fn get<Q, E>(&self, key: &Q, find: impl FnOnce() -> Result<V, E>) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(key) {
            return Ok(answer.clone());
        }
        let answer = find()?;
        Ok(known().entry(key.to_owned()).or_insert(answer).clone())
    }

    fn always<Q>(&self, key: &Q, find: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let Ok(answer) = self.get(key, || Ok::<V, std::convert::Infallible>(find()));
        answer
    }
}

impl Objects {
    /// Returns the file at a path without links.
    fn read(&self, source: &Utf8Path) -> Opened {
        self.read.always(source.as_str(), || read_object(source))
    }

    /// Returns the path with all links followed.
    fn follow(&self, path: &Utf8Path) -> io::Result<Utf8PathBuf> {
        let found = self.followed.get(path.as_str(), || match follow(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })?;
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Maps the SONAMEs of the shared objects in a directory to files; of several with one SONAME, the one that the
    /// linker takes, behind a name that ends with `.so`, or else the newest by name, which ldconfig would take.
    fn sonames(&self, directory: &Utf8Path) -> Arc<BTreeMap<String, Utf8PathBuf>> {
        self.sonames.always(directory.as_str(), || Arc::new(self.index_sonames(directory)))
    }

    fn index_sonames(&self, directory: &Utf8Path) -> BTreeMap<String, Utf8PathBuf> {
        let mut sonames = BTreeMap::new();
        // An unreadable directory has no such file; the search reports that it found none.
        let Ok(entries) = directory.read_dir_utf8() else { return sonames };
        let files = entries
            .flatten()
            .filter(|entry| entry.file_name().contains(".so"))
            // The kernel refuses a long chain of links quickly; following each by hand is slow.
            .filter(|entry| entry.path().metadata().is_ok_and(|metadata| metadata.is_file()))
            .filter_map(|entry| Some((entry.file_name().ends_with(".so"), follow(entry.path()).ok()?)));
        let mut files: Vec<(bool, Utf8PathBuf)> = files.collect();
        // The best comes last.
        files.sort_by(|(a_linked, a), (b_linked, b)| {
            a_linked
                .cmp(b_linked)
                .then_with(|| compare_names(a.as_str().as_bytes(), b.as_str().as_bytes()))
                .then_with(|| a.cmp(b))
        });
        for (_, file) in files {
            if let Opened::File(open) = self.read(&file)
                && let Some(soname) = open.object.soname()
            {
                sonames.insert(soname.to_owned(), file);
            }
        }
        sonames
    }
}

impl DiskFiles {
    /// Makes the world of this machine's root, or of `sysroot`, with directories of this machine added.
    ///
    /// In `soname_directories` a file is also found by its SONAME: a build script leaves `libfoo.so`, the program
    /// needs `libfoo.so.1`.
    pub fn new(
        sysroot: Option<&Utf8Path>,
        host_directories: Vec<Utf8PathBuf>,
        soname_directories: Vec<Utf8PathBuf>,
    ) -> Self {
        DiskFiles {
            sysroot: sysroot.map(Utf8Path::to_owned),
            host_directories: host_directories.into_iter().map(HostDirectory::new).collect(),
            soname_directories: soname_directories.into_iter().map(HostDirectory::new).collect(),
            has_root: sysroot.is_some() || cfg!(target_os = "linux"),
            opened: RefCell::default(),
            objects: Arc::default(),
            directories: RefCell::default(),
            names: ExactNames::default(),
        }
    }

    /// Adds the files that other worlds have read.
    #[must_use]
    pub fn sharing(self, objects: Arc<Objects>) -> DiskFiles {
        DiskFiles { objects, ..self }
    }

    /// Returns the path on this machine for a path of this world, links in a sysroot followed.
    fn locate(&self, path: &str) -> io::Result<Utf8PathBuf> {
        if let Some(at) = self.host_directories.iter().find_map(|directory| directory.locate(path)) {
            return Ok(at);
        }
        if !self.has_root {
            return Err(io::ErrorKind::NotFound.into());
        }
        match &self.sysroot {
            None => Ok(path.into()),
            Some(root) => resolve_in(root, path),
        }
    }

    fn open_uncached(&self, path: &str) -> Opened {
        let located =
            self.locate(path).and_then(|at| self.names.exact(at)).and_then(|at| self.objects.follow(&at));
        let located = match located {
            Err(error) if is_absent(&error) => match self.by_soname(path) {
                Some(file) => Ok(file),
                None => Err(error),
            },
            located => located,
        };
        let source = match located {
            Ok(source) => source,
            Err(error) => return failed(&error),
        };
        self.objects.read(&source)
    }

    /// Returns the file beside `path` whose SONAME is the requested name.
    fn by_soname(&self, path: &str) -> Option<Utf8PathBuf> {
        let path = Utf8Path::new(path);
        let (directory, name) = (path.parent()?, path.file_name()?);
        let directory = &self.soname_directories.iter().find(|known| directory == known.name)?.path;
        self.objects.sonames(directory).get(name).cloned()
    }

    /// Returns the bytes of a regular file of this world, or of the sysroot; `None` if it cannot be read.
    ///
    /// A root may come from anyone: reading a FIFO in the place of its cache would never end.
    pub(super) fn read_text(&self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.regular(path)?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Opens a regular file of this world; `None` if it cannot be read.
    fn regular(&self, path: &str) -> Option<std::fs::File> {
        let located = self.locate(path).ok()?;
        let is_readable = |found: &std::fs::Metadata| found.is_file() && found.len() <= super::LARGEST_TEXT;
        located.metadata().ok().filter(is_readable)?;
        if super::is_of_kernel(&located) {
            return None;
        }
        std::fs::File::open(located).ok()
    }
}

impl Files for DiskFiles {
    fn open(&self, path: &str) -> Opened {
        if let Some(opened) = self.opened.borrow().get(path) {
            return opened.clone();
        }
        let opened = self.open_uncached(path);
        self.opened.borrow_mut().insert(path.to_owned(), opened.clone());
        opened
    }

    fn is_directory(&self, path: &str) -> bool {
        if let Some(known) = self.directories.borrow().get(path) {
            return *known;
        }
        let is = self.locate(path).is_ok_and(|at| at.is_dir());
        self.directories.borrow_mut().insert(path.to_owned(), is);
        is
    }
}

/// Reads and parses one file; `source` has no links in it.
fn read_object(source: &Utf8Path) -> Opened {
    let metadata = match source.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return failed(&error),
    };
    if metadata.is_dir() {
        return Opened::Rejected("cannot read file data: it is a directory".into());
    }
    if !metadata.is_file() {
        // Reading a FIFO may never end, and a device has no end. ld.so would fail on their contents.
        return not_a_file();
    }
    if super::is_of_kernel(source) {
        return Opened::Rejected("invalid ELF header: the kernel makes it when it is read".into());
    }
    let facts = match super::read_elf(source, metadata.len()) {
        Ok(facts) => facts,
        Err(error) => return failed(&error),
    };
    let file = |facts| OpenFile {
        id: file_id(&metadata, source),
        source: source.to_string(),
        object: Object::Elf(Arc::new(facts)),
    };
    facts.map_or_else(|error| Opened::refused(&error, metadata.len()), |facts| Opened::File(file(facts)))
}

/// Returns what a loader gets for a pipe or a device.
pub(super) fn not_a_file() -> Opened {
    Opened::Rejected("invalid ELF header: it is not a regular file".into())
}

#[cfg(unix)]
fn file_id(metadata: &std::fs::Metadata, _source: &Utf8Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere the path without links is the identity; hard links count as two files.
#[cfg(not(unix))]
fn file_id(_metadata: &std::fs::Metadata, source: &Utf8Path) -> (u64, u64) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    source.as_str().hash(&mut hasher);
    (1, hasher.finish())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(error: &io::Error) -> Opened {
    match error.kind() {
        _ if is_absent(error) => Opened::Absent,
        io::ErrorKind::PermissionDenied => Opened::Unreadable,
        // A name over NAME_MAX is in no directory; glibc continues with the next one, too.
        io::ErrorKind::InvalidFilename => Opened::Absent,
        _ => Opened::Failed(error.to_string()),
    }
}

/// Returns a path inside a root with every link followed inside that root.
pub(super) fn resolve_in(root: &Utf8Path, path: &str) -> io::Result<Utf8PathBuf> {
    let within = |inside: &str| root.join(inside.trim_start_matches('/'));
    let link_at = |inside: &str| -> io::Result<Option<String>> {
        let at = within(inside);
        let target = at.symlink_metadata()?.is_symlink().then(|| at.read_link_utf8()).transpose()?;
        Ok(target.map(Utf8PathBuf::into_string))
    };
    match paths::follow(path, link_at)? {
        Some(inside) => Ok(within(&inside)),
        None => Err(io::Error::other("too many levels of symbolic links")),
    }
}

/// Returns the rules of this world's glibc for programs of `arch`.
///
/// With this machine's own root its CPU decides on hwcaps directories; for a sysroot the least CPU is assumed.
pub fn glibc_rules(files: &DiskFiles, arch: Arch) -> Glibc {
    match files.sysroot {
        // Host directories have the paths that they have in this root.
        None => files.objects.glibc.always(&arch, || find_glibc_rules(files, arch)),
        Some(_) => find_glibc_rules(files, arch),
    }
}

fn find_glibc_rules(files: &DiskFiles, arch: Arch) -> Glibc {
    let gnu = arch.gnu_name();
    let multiarch = format!("{gnu}-linux-gnu");
    let interpreter = arch.interpreters()[0];
    let mut default_dirs = Vec::new();
    // The root of a cross compiler on Debian and Fedora; it exists only with such a compiler.
    let cross = format!("/usr/{multiarch}/lib");
    if files.sysroot.is_none() && files.is_directory(&cross) {
        default_dirs.push(cross.clone());
    }
    let loaders = [interpreter.to_owned(), format!("{cross}/{}", paths::file_name(interpreter))];
    let built_in = loaders.iter().find_map(|path| built_in_directories(&files.read_text(path)?));
    let built_in = built_in.unwrap_or_else(|| {
        // Debian compiles its own directories into its ld.so; others use lib64.
        if files.is_directory(&format!("/usr/lib/{multiarch}")) {
            vec![
                format!("/lib/{multiarch}"),
                format!("/usr/lib/{multiarch}"),
                "/lib".into(),
                "/usr/lib".into(),
            ]
        } else {
            ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned).to_vec()
        }
    });
    let lib = lib_token(&built_in[0], arch);
    default_dirs.extend(built_in);
    // Lambda's processors decide what is shipped, not this machine's: the same input gives the same bundle
    // everywhere.
    let (isa_level, platform) = (3, arch.gnu_name());
    let libc = default_dirs
        .iter()
        .map(|dir| format!("{dir}/libc.so.6"))
        .find(|path| match files.open(path) {
            Opened::File(file) => file.object.elf().is_some_and(|elf| elf.arch() == Some(arch)),
            _ => false,
        })
        .and_then(|path| glibc_version(files.regular(&path)?));
    let release = libc.unwrap_or(UNKNOWN_GLIBC);
    let hwcaps = hwcap_subdirectories(arch, release, isa_level, platform);
    let cache = match files.read_text("/etc/ld.so.cache") {
        Some(bytes) => Cache::of_file(bytes, arch, &hwcaps),
        None => {
            let mut paths = BTreeMap::new();
            for directory in conf_directories(files) {
                add_directory(files, &directory, &mut paths);
            }
            Cache::Listed(Arc::new(paths))
        }
    };
    Glibc {
        preload: Vec::new(),
        interpreter: interpreter.to_owned(),
        machine: arch.machine(),
        release,
        kernel: None,
        default_dirs,
        lib,
        platform: platform.to_owned(),
        hwcaps,
        cache,
    }
}

/// Returns `$LIB`, by the first directory that is compiled into the loader.
pub(super) fn lib_token(first: &str, arch: Arch) -> String {
    let multiarch = format!("{}-linux-gnu", arch.gnu_name());
    if first.ends_with(&multiarch) { format!("lib/{multiarch}") } else { paths::file_name(first).to_owned() }
}

/// Returns the directories that are compiled into an ld.so: strings in a row, each with a slash at its end.
///
/// Source: `system_dirs` in elf/dl-load.c.
fn built_in_directories(ld_so: &[u8]) -> Option<Vec<String>> {
    let in_path = memchr::memmem::Finder::new(b"/lib");
    let is_directory =
        |text: &&[u8]| text.starts_with(b"/") && text.ends_with(b"/") && in_path.find(text).is_some();
    let mut from = 0;
    loop {
        let at = from + in_path.find(&ld_so[from..])?;
        let end = memchr::memchr(0, &ld_so[at..]).map_or(ld_so.len(), |skip| at + skip);
        if let Some(before) = memchr::memrchr(0, &ld_so[from..at]) {
            let texts = ld_so[from + before + 1..].split(|byte| *byte == 0);
            let directories: Vec<&[u8]> = texts.take_while(is_directory).collect();
            if !directories.is_empty() {
                let text =
                    |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.trim_end_matches('/').to_owned());
                return directories.into_iter().map(text).collect();
            }
        }
        from = end;
    }
}

/// The glibc version for a root without one: the last version that searches every directory of all versions.
const UNKNOWN_GLIBC: (u32, u32) = (2, 36);

/// Returns the version of a libc.so.6, from the text that it prints when it is run.
///
/// The highest symbol version does not tell: 2.31 and 2.37 added none to libc.so.6. The file is searched in pieces,
/// because memory for all of it costs more than the search, and from its end, because the text is after the code.
fn glibc_version(mut libc: std::fs::File) -> Option<(u32, u32)> {
    const BANNER: &[u8] = b" release version 2.";
    const PIECE: u64 = 1 << 16;
    // The overlap with the next piece: a text that begins in this one ends within it.
    const MORE: u64 = 64;
    let size = libc.metadata().ok()?.len();
    let mut buffer = vec![0; (PIECE + MORE) as usize];
    for piece in (0..size.div_ceil(PIECE)).rev() {
        let start = piece * PIECE;
        let bytes = &mut buffer[..(size - start).min(PIECE + MORE) as usize];
        libc.seek(SeekFrom::Start(start)).ok()?;
        libc.read_exact(bytes).ok()?;
        if let Some(at) = memchr::memmem::find(bytes, BANNER) {
            let digits = bytes[at + BANNER.len()..].iter().map(|byte| char::from(*byte));
            let digits: String = digits.take_while(char::is_ascii_digit).collect();
            return Some((2, digits.parse().ok()?));
        }
    }
    None
}

/// Returns the rules of this world's musl.
pub fn musl_rules(files: &DiskFiles, arch: Arch) -> Musl {
    let path_file = format!("/etc/ld-musl-{}.path", arch.gnu_name());
    let system_dirs = match files.read_text(&path_file) {
        Some(bytes) => String::from_utf8_lossy(&bytes)
            .split([':', '\n'])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
        None => Musl::BUILT_IN_DIRS.map(str::to_owned).to_vec(),
    };
    Musl { machine: arch.machine(), system_dirs }
}

/// Returns the rules for a program linked to this C library.
pub fn rules(files: &DiskFiles, arch: Arch, libc: elf::Libc) -> Rules {
    match libc {
        elf::Libc::Musl => Rules::Musl(musl_rules(files, arch)),
        _ => Rules::Glibc(glibc_rules(files, arch)),
    }
}

/// Returns the directories of /etc/ld.so.conf in order, with includes expanded. It is for roots without a cache.
///
/// Source: `parse_conf` in glibc's elf/ldconfig.c.
fn conf_directories(files: &DiskFiles) -> Vec<String> {
    let mut conf = Conf::default();
    read_conf(files, "/etc/ld.so.conf", 0, &mut conf);
    conf.directories
}

/// The configuration that was read so far.
#[derive(Default)]
struct Conf {
    directories: Vec<String>,
    known: BTreeSet<String>,
    read: BTreeSet<String>,
}

/// Maximum depth of includes among configuration files.
const MAX_INCLUDES: usize = 16;

/// More configuration files than any system has. Through links a file can have endlessly many names.
const MAX_CONF_FILES: usize = 1000;

/// Each file is read once: then files that include each other come to an end, and a second time would add no
/// directory.
fn read_conf(files: &DiskFiles, path: &str, depth: usize, conf: &mut Conf) {
    if depth > MAX_INCLUDES || conf.read.len() == MAX_CONF_FILES || !conf.read.insert(path.to_owned()) {
        return;
    }
    let Some(bytes) = files.read_text(path) else { return };
    for line in String::from_utf8_lossy(&bytes).lines() {
        match conf_line(line) {
            ConfLine::Include(patterns) => {
                for pattern in patterns.split_whitespace() {
                    for included in glob(files, &paths::normalize(&absolute_to(path, pattern))) {
                        read_conf(files, &included, depth + 1, conf);
                    }
                }
            }
            ConfLine::Directory(directory) => {
                if conf.known.insert(directory.to_owned()) {
                    conf.directories.push(directory.to_owned());
                }
            }
            ConfLine::Nothing => {}
        }
    }
}

/// One line of an ld.so.conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfLine<'a> {
    /// Includes: patterns with white space between them, relative to the file's directory.
    Include(&'a str),
    /// A directory, absolute, without slashes at its end.
    Directory(&'a str),
    /// A comment, an empty line, or anything else without effect (`hwcap`, a relative directory).
    Nothing,
}

/// Parses one line of an ld.so.conf.
pub fn conf_line(line: &str) -> ConfLine<'_> {
    let line = line.split('#').next().unwrap_or("").trim();
    if let Some(patterns) = line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
        return ConfLine::Include(patterns.trim_start());
    }
    if !line.starts_with('/') {
        return ConfLine::Nothing;
    }
    // A C library's name may follow after `=`.
    let directory = line.split('=').next().unwrap_or(line).trim_end();
    match directory.trim_end_matches('/') {
        "" => ConfLine::Directory("/"),
        directory => ConfLine::Directory(directory),
    }
}

fn absolute_to(file: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", paths::parent(file)) }
}

/// Returns the files of one directory that match a pattern in the last part of the path, sorted.
fn glob(files: &DiskFiles, pattern: &str) -> Vec<String> {
    let (directory, pattern) = (paths::parent(pattern), paths::file_name(pattern));
    let Ok(glob) = globset::Glob::new(pattern) else { return Vec::new() };
    let matcher = glob.compile_matcher();
    // An unreadable directory has no such file; ldconfig does the same.
    let Ok(entries) = files.locate(directory).and_then(|at| at.read_dir_utf8()) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| matcher.is_match(entry.file_name()))
        .map(|entry| format!("{directory}/{}", entry.file_name()))
        .collect();
    found.sort();
    found
}

/// Adds the entries that ldconfig would make for one directory: file names of shared objects.
fn add_directory(files: &DiskFiles, directory: &str, cache: &mut BTreeMap<String, String>) {
    let Ok(entries) = files.locate(directory).and_then(|at| at.read_dir_utf8()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.starts_with("lib") && name.contains(".so") {
            cache.entry(name.to_owned()).or_insert_with(|| format!("{directory}/{name}"));
        }
    }
}
