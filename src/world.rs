//! What a walk of the loader can see: files, a library path, the rules of one C library.
//!
//! There are two worlds. In the *build world* the program was linked; its files are on this machine and
//! come from [`crate::disk`]. In the *Lambda world* it will run; that one is a value made of a baseline and
//! the entries of a bundle ([`MemoryFiles`]). The loader is the same for both.
//!
//! Paths here are those of the world, absolute and `/`-separated: `/lib64/libz.so.1` is Lambda's file or the
//! file of a `--sysroot`, never by accident this machine's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::baseline::SystemObject;
use crate::elf::{ElfError, ElfFacts};
use crate::paths::MAX_LINKS;

/// What stands behind a path.
#[derive(Debug, Clone)]
pub enum Object {
    /// A file whose ELF facts are known.
    Elf(Arc<ElfFacts>),
    /// A baseline's object: presence and version nodes are known; all else only if it was captured.
    System(Arc<SystemObject>),
    /// Named by something, never looked at: an interpreter that is not there.
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
    /// Identity of the file: two paths to one file have the same (device and inode on a disk).
    pub id: (u64, u64),
    /// Where the bytes are: the path with links resolved, in terms of the host where there is one.
    pub source: String,
    /// What it is.
    pub object: Object,
}

/// What opening a path gives, sorted by what the loader does next.
#[derive(Debug, Clone)]
pub enum Opened {
    /// An object that can be read.
    File(OpenFile),
    /// ENOENT or ENOTDIR: nothing there, or a link that leads nowhere.
    Absent,
    /// EACCES.
    Unreadable,
    /// Another error, such as ELOOP. Says which.
    Failed(String),
    /// A file that can be read and is no object the loader takes. In words like ld.so's.
    Rejected(String),
}

impl Opened {
    /// A regular file of `size` bytes that is no object.
    ///
    /// Source: `open_verify` in glibc's elf/dl-load.c. It asks for the bytes of an ELF header before it looks at them.
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
    /// Opens a path as the loader does: links are followed, the file's kind is looked at.
    fn open(&self, path: &str) -> Opened;
    /// Whether the path is a directory.
    fn is_directory(&self, path: &str) -> bool;
}

/// A file system in memory. Directories come into being with the files below them.
#[derive(Debug, Default, Clone)]
pub struct MemoryFiles {
    nodes: BTreeMap<String, Node>,
    n_files: u64,
    /// What was asked of directories since the last change: each search asks for the same ones.
    directories: RefCell<BTreeMap<String, bool>>,
}

#[derive(Debug, Clone)]
enum Node {
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

    /// Puts an object at a path, as a file of its own.
    pub fn add(&mut self, path: &str, object: Object) {
        self.n_files += 1;
        let id = (0, self.n_files);
        self.add_opened(path, Opened::File(OpenFile { id, source: path.to_owned(), object }));
    }

    /// Puts something at a path that opens in a given way.
    pub fn add_opened(&mut self, path: &str, opened: Opened) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), Node::File(opened));
    }

    /// Puts a link at a path; a relative target starts at the link's directory.
    pub fn add_link(&mut self, path: &str, target: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
    }

    /// Puts an empty directory at a path.
    pub fn add_directory(&mut self, path: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), Node::Directory);
    }

    /// Puts a directory at a path that the process may not enter: EACCES for all that is behind it.
    pub fn add_locked(&mut self, path: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), Node::Locked);
    }

    fn add_parents(&mut self, path: &str) {
        self.directories.get_mut().clear();
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Directory);
        }
    }

    /// The path of what stands behind a path, with all links followed, as /proc/self/exe has it.
    ///
    /// # Errors
    ///
    /// What the kernel says: nothing there, a file in the place of a directory, too many links.
    pub fn real_path(&self, path: &str) -> Result<String, Opened> {
        self.resolve(path).map(|(real, _)| real)
    }

    /// The node behind a path with all links followed, and its own path; `Err` as the kernel would say it.
    fn resolve<'a>(&'a self, path: &'a str) -> Result<(String, &'a Node), Opened> {
        // What is left of the path, behind what is left of the targets of links on the way.
        let mut rest: Vec<&str> = vec![path];
        let mut at = String::with_capacity(path.len() + 1);
        let mut links = 0;
        let mut node = &Node::Directory;
        while let Some(left) = rest.pop() {
            let part = match left.split_once('/') {
                Some((part, behind)) => {
                    rest.push(behind);
                    part
                }
                None => left,
            };
            match node {
                Node::Directory => {}
                // Source: link_path_walk in fs/namei.c of the kernel: who looks up a name, `.` and `..` too, must
                // have the right to search the directory. A slash at the end looks up nothing.
                Node::Locked if part.is_empty() => {}
                Node::Locked => return Err(Opened::Unreadable),
                // ENOTDIR, for `file/`, `file/.` and `file/..`, too.
                Node::Link(_) | Node::File(_) => return Err(Opened::Absent),
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
            node = self.nodes.get(&at).ok_or(Opened::Absent)?;
            if let Node::Link(target) = node {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Opened::Failed("too many levels of symbolic links".into()));
                }
                at.truncate(if target.starts_with('/') { 0 } else { parent });
                node = &Node::Directory;
                rest.push(target);
            }
        }
        Ok((at, node))
    }
}

impl Files for MemoryFiles {
    fn open(&self, path: &str) -> Opened {
        match self.resolve(path) {
            Ok((_, Node::File(opened))) => opened.clone(),
            Ok((_, Node::Directory | Node::Locked)) => {
                Opened::Rejected("cannot read file data: it is a directory".into())
            }
            Ok((_, Node::Link(_))) => unreachable!("resolve follows every link"),
            Err(opened) => opened,
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        if let Some(known) = self.directories.borrow().get(path) {
            return *known;
        }
        let is = matches!(self.resolve(path), Ok((_, Node::Directory | Node::Locked)));
        self.directories.borrow_mut().insert(path.to_owned(), is);
        is
    }
}
