//! The files that a walk of the loader can see.
//!
//! There are two worlds. The program was linked in the *build world*, whose files are on this machine and come from
//! [`crate::disk`]. It will run in the *Lambda world*, which is a value made of a baseline and the entries of a
//! bundle ([`MemoryFiles`]). The loader is the same for both.
//!
//! Paths in this module are those of the world, absolute and `/`-separated: `/lib64/libz.so.1` is Lambda's file or
//! the file of a `--sysroot`, never by accident this machine's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::baseline::SystemObject;
use crate::elf::{ElfError, ElfFacts};
use crate::paths::MAX_LINKS;

/// An object that a path leads to.
#[derive(Debug, Clone)]
pub enum Object {
    /// A file whose ELF facts are known.
    Elf(Arc<ElfFacts>),
    /// An object of a baseline: its presence and version nodes are known, other facts only if it was captured.
    System(Arc<SystemObject>),
    /// An interpreter that a program names and that is not present.
    Unseen,
}

impl Object {
    /// The ELF facts, where known.
    pub fn elf(&self) -> Option<&ElfFacts> {
        match self {
            Object::Elf(facts) => Some(facts),
            Object::System(object) => object.facts.as_deref(),
            Object::Unseen => None,
        }
    }

    /// DT_SONAME, where known.
    pub fn soname(&self) -> Option<&str> {
        match self {
            Object::System(object) if object.facts.is_none() => Some(&object.soname),
            _ => self.elf()?.soname.as_deref(),
        }
    }
}

/// A file that a path led to.
#[derive(Debug, Clone)]
pub struct OpenFile {
    /// The identity of the file: two paths to one file have the same (device and inode on a disk).
    pub id: (u64, u64),
    /// The path of the bytes with links resolved, in terms of the host where there is one.
    pub source: String,
    /// The object in the file.
    pub object: Object,
}

/// The result of opening a path, sorted by what the loader does next.
#[derive(Debug, Clone)]
pub enum Opened {
    /// An object that can be read.
    File(OpenFile),
    /// ENOENT or ENOTDIR: there is no such file, or a link leads nowhere.
    Absent,
    /// EACCES: the file may not be read.
    Unreadable,
    /// Another error, such as ELOOP, by its message.
    Failed(String),
    /// A file that can be read and that the loader refuses; the reason, in words like ld.so's.
    Rejected(String),
}

impl Opened {
    /// The result of opening a regular file of `size` bytes that is no object.
    ///
    /// Source: `open_verify` in glibc's elf/dl-load.c. It asks for the bytes of an ELF header before it looks at
    /// them.
    pub fn refused(error: &ElfError, size: u64) -> Opened {
        /// sizeof(Elf64_Ehdr)
        const ELF_HEADER: u64 = 64;
        Opened::Rejected(match error {
            ElfError::NotElf(_) | ElfError::TooShort if size < ELF_HEADER => "file too short".to_owned(),
            ElfError::NotElf(_) => format!("invalid ELF header: {error}"),
            _ => error.to_string(),
        })
    }
}

/// The file system of a world.
pub trait Files {
    /// Opens a path as the loader does: follows links, and checks the kind of the file.
    fn open(&self, path: &str) -> Opened;
    /// Whether the path is a directory.
    fn is_directory(&self, path: &str) -> bool;
}

/// A file system in memory. Adding a file creates its directories.
#[derive(Debug, Default, Clone)]
pub struct MemoryFiles {
    nodes: BTreeMap<String, MemoryNode>,
    n_files: u64,
    /// The file system that shows through where this one has nothing.
    below: Option<Rc<MemoryFiles>>,
    /// Cached answers to [`Files::is_directory`] since the last change: each search asks for the same directories.
    directories: RefCell<BTreeMap<String, bool>>,
}

#[derive(Debug, Clone)]
enum MemoryNode {
    Directory,
    /// A directory in which nothing can be looked up.
    Locked,
    Link(String),
    File(Opened),
}

impl MemoryFiles {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file system that shows another one, to which it adds files: as an overlay does, it is made at once, however
    /// large the other is.
    pub fn above(below: Rc<MemoryFiles>) -> Self {
        MemoryFiles { n_files: below.n_files, below: Some(below), ..MemoryFiles::default() }
    }

    /// Adds an object at a path, as a file of its own.
    pub fn add(&mut self, path: &str, object: Object) {
        self.n_files += 1;
        let id = (0, self.n_files);
        self.add_opened(path, Opened::File(OpenFile { id, source: path.to_owned(), object }));
    }

    /// Adds a path that opens with the given result.
    pub fn add_opened(&mut self, path: &str, opened: Opened) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), MemoryNode::File(opened));
    }

    /// Adds a link at a path; a relative target starts at the link's directory.
    pub fn add_link(&mut self, path: &str, target: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), MemoryNode::Link(target.to_owned()));
    }

    /// Adds an empty directory at a path.
    pub fn add_directory(&mut self, path: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), MemoryNode::Directory);
    }

    /// Adds a directory that the process may not enter: every path through it opens with EACCES.
    pub fn add_locked(&mut self, path: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), MemoryNode::Locked);
    }

    fn add_parents(&mut self, path: &str) {
        self.directories.get_mut().clear();
        // The nearest parent that is there has parents itself.
        for (at, _) in path.rmatch_indices('/').filter(|(at, _)| *at > 0) {
            if self.node(&path[..at]).is_some() {
                break;
            }
            self.nodes.insert(path[..at].to_owned(), MemoryNode::Directory);
        }
    }

    fn node(&self, path: &str) -> Option<&MemoryNode> {
        self.nodes.get(path).or_else(|| self.below.as_ref()?.node(path))
    }

    /// Whether a link was added at a path.
    pub fn is_link(&self, path: &str) -> bool {
        matches!(self.node(path), Some(MemoryNode::Link(_)))
    }

    /// The path that `path` leads to, with all links followed, as in /proc/self/exe.
    ///
    /// # Errors
    ///
    /// If the kernel would fail: no such file, a file in the place of a directory, too many links.
    pub fn real_path(&self, path: &str) -> Result<String, Opened> {
        self.resolve(path).map(|(real, _)| real)
    }

    /// Returns the first file or directory on a path, links followed, that is not there.
    pub fn first_absent(&self, path: &str) -> Option<String> {
        self.walk(path).err()?.1
    }

    /// The node that a path leads to with all links followed, and its own path; `Err` with the kernel's error.
    fn resolve<'a>(&'a self, path: &'a str) -> Result<(String, &'a MemoryNode), Opened> {
        self.walk(path).map_err(|(opened, _)| opened)
    }

    /// The same; `Err` also with the first path that is not there, if that is the error.
    fn walk<'a>(&'a self, path: &'a str) -> Result<(String, &'a MemoryNode), (Opened, Option<String>)> {
        // The rest of the path, below the rest of the targets of links on the way.
        let mut rest: Vec<&str> = vec![path];
        let mut at = String::with_capacity(path.len() + 1);
        let mut links = 0;
        let mut node = &MemoryNode::Directory;
        while let Some(left) = rest.pop() {
            // `split_once` is made for longer texts, and this is the loop of all walks.
            let part = match left.bytes().position(|byte| byte == b'/') {
                Some(at) => {
                    rest.push(&left[at + 1..]);
                    &left[..at]
                }
                None => left,
            };
            match node {
                MemoryNode::Directory => {}
                // Source: link_path_walk in fs/namei.c of the kernel: looking up a name, also `.` and `..`, needs the
                // right to search the directory. A slash at the end looks up nothing.
                MemoryNode::Locked if part.is_empty() => {}
                MemoryNode::Locked => return Err((Opened::Unreadable, None)),
                // `file/`, `file/.` and `file/..` are ENOTDIR, too.
                MemoryNode::Link(_) | MemoryNode::File(_) => return Err((Opened::Absent, None)),
            }
            match part {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = at.len();
            at.push('/');
            at.push_str(part);
            let Some(found) = self.node(&at) else { return Err((Opened::Absent, Some(at))) };
            node = found;
            if let MemoryNode::Link(target) = node {
                links += 1;
                if links > MAX_LINKS {
                    let why = "too many levels of symbolic links".into();
                    return Err((Opened::Failed(why), None));
                }
                at.truncate(if target.starts_with('/') { 0 } else { parent });
                node = &MemoryNode::Directory;
                rest.push(target);
            }
        }
        Ok((at, node))
    }
}

impl Files for MemoryFiles {
    fn open(&self, path: &str) -> Opened {
        match self.resolve(path) {
            Ok((_, MemoryNode::File(opened))) => opened.clone(),
            Ok((_, MemoryNode::Directory | MemoryNode::Locked)) => {
                Opened::Rejected("cannot read file data: it is a directory".into())
            }
            Ok((_, MemoryNode::Link(_))) => unreachable!("resolve follows every link"),
            Err(opened) => opened,
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        // Most programs add nothing.
        if let Some(below) = self.below.as_ref().filter(|_| self.nodes.is_empty()) {
            return below.is_directory(path);
        }
        if let Some(known) = self.directories.borrow().get(path) {
            return *known;
        }
        let is = matches!(self.resolve(path), Ok((_, MemoryNode::Directory | MemoryNode::Locked)));
        self.directories.borrow_mut().insert(path.to_owned(), is);
        is
    }
}
