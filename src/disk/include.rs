//! Finds and reads the files of an include, and tells what the loader and the plan see of them.
//!
//! Files are found in sorted order, and an unreadable file is an error: a bundle has everything that was requested.
//! Links are followed unless they are to be kept; a kept link must lead to something in the same include.

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::failed;
use super::paths::world_name;
use crate::archive::{self, Content, Mode, Stored};
use crate::elf::{self, Linkage};
use crate::error::{Error, Result};
use crate::include::{Included, RefusedInclude, Selector};
use crate::lambda::{Member, MemberContent};
use crate::layout::Layout;
use crate::nearest::nearest;
use crate::plan::IncludedObject;
use crate::text::shortened;
use crate::world::Opened;

/// The number of files that an archive can have, also the limit for directories: through links a tree may be endless.
const MAX_FILES: usize = 65_534;

/// The files of an include.
pub struct Collected {
    /// The files, sorted by name.
    pub files: Vec<Included>,
    /// What is not put into a bundle.
    pub refused: Vec<RefusedInclude>,
}

/// Collects the files of one include; at least one, or one that is refused. What the kernel makes (`/proc`, `/sys`) and
/// devices are refused, and not read.
///
/// # Errors
///
/// If nothing matches, if a name is not UTF-8, if a link leads nowhere or in a circle, or if something is neither a
/// file nor a directory, or cannot be read.
pub fn collect(selector: &Selector) -> Result<Collected> {
    let nothing =
        || Error::new(format!("`--include {}` matches nothing", selector.shown)).help(instead_of(selector));
    let metadata = match std::fs::metadata(&selector.root) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(nothing().because(format!("`{}` does not exist", selector.root)));
        }
        Err(cause) => return Err(failed(&selector.root, cause)),
    };
    let mut walk = Walk {
        selector,
        found: Vec::new(),
        refused: Vec::new(),
        left_out: Vec::new(),
        is_used: vec![false; selector.exclusions().len()],
        around: Vec::new(),
        n_directories: 0,
        n_bytes: 0,
    };
    if metadata.is_dir() {
        walk.directory(super::canonicalize(&selector.root)?, "")?;
    } else if selector.is_plain() && !walk.leaves_out(&selector.root, "") {
        walk.file(&selector.root, "")?;
    }
    walk.check_exclusions()?;
    let mut found = walk.found;
    if found.is_empty() && walk.refused.is_empty() {
        return Err(match walk.left_out.is_empty() {
            true => nothing().because(format!("no such file is in `{}`", selector.root)),
            false => {
                nothing().because("`exclude` leaves it out").help("remove the include, or that `exclude`")
            }
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    check_links(&found)?;
    Ok(Collected { files: found, refused: walk.refused })
}

/// Advises what to include instead of something that is not there.
fn instead_of(selector: &Selector) -> String {
    let shown = &selector.shown;
    let directory =
        selector.is_plain().then(|| selector.root.as_str().strip_suffix(shown.as_str())).flatten();
    let is_there = |path: &str| {
        let directory = directory.unwrap_or_default();
        !path.is_empty() && std::fs::exists(Utf8Path::new(directory).join(path)).unwrap_or(false)
    };
    // Brackets in the name of a file are a pattern.
    if !selector.is_plain() && std::fs::exists(selector.literal()).unwrap_or(false) {
        let escape = |text: String, bracket: char| text.replace(bracket, &format!("\\{bracket}"));
        let text = ['[', ']', '{', '}', '*', '?'].into_iter().fold(shown.clone(), escape);
        return format!("write its brackets as text: `--include {text}`");
    }
    // cargo-lambda and Docker put a colon between the two.
    if let Some((one, other)) = shown.split_once(':')
        && let Some((from, to)) = [(one, other), (other, one)].into_iter().find(|(from, _)| is_there(from))
    {
        return format!("write SRC=DEST: `--include {from}={to}`");
    }
    if selector.is_plain() && selector.root.is_dir() {
        return "put files there first, or remove the `--include`".to_owned();
    }
    let is_directory = |path: &&Utf8Path| path.is_dir();
    let parent = match selector.is_plain() {
        true => selector.root.ancestors().skip(1).find(is_directory),
        false => selector.root.ancestors().find(is_directory),
    };
    let names = parent.and_then(|parent| names(parent).ok()).unwrap_or_default();
    let (before, name) = shown.rsplit_once('/').map_or(("", shown.as_str()), |(before, name)| (before, name));
    let is_beside = selector.is_plain() && parent == selector.root.parent();
    if let Some(near) = nearest(name, names.iter().map(String::as_str)).filter(|_| is_beside) {
        let slash = if before.is_empty() { "" } else { "/" };
        return format!("did you mean `--include {before}{slash}{near}`?");
    }
    match parent.filter(|_| !names.is_empty()) {
        Some(parent) => format!("name what is there: `{parent}` has {}", shortened(&names)),
        None => "put files there first, or remove the `--include`".to_owned(),
    }
}

struct Walk<'a> {
    selector: &'a Selector,
    found: Vec<Included>,
    refused: Vec<RefusedInclude>,
    /// What is excluded: each path, and the same below the root.
    left_out: Vec<(Utf8PathBuf, String)>,
    /// For each pattern of `exclude` whether it matched something.
    is_used: Vec<bool>,
    /// The directories that are being read, links resolved.
    around: Vec<Utf8PathBuf>,
    n_directories: usize,
    n_bytes: u64,
}

impl Walk<'_> {
    /// Reads a directory; `below` is its path below the root. `path` contains no link, so that the paths behind links
    /// to links stay short.
    fn directory(&mut self, path: Utf8PathBuf, below: &str) -> Result<()> {
        if super::is_of_kernel(&path) {
            self.refuse(&path, "a directory of the kernel");
            return Ok(());
        }
        self.n_directories += 1;
        if self.n_directories > MAX_FILES {
            return Err(self.too_much(&format!("{MAX_FILES} directories")));
        }
        self.around.push(path.clone());
        for name in names(&path)? {
            let below = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            self.entry(&path.join(&name), &below)?;
        }
        self.around.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Utf8Path, below: &str) -> Result<()> {
        if self.leaves_out(path, below) {
            return Ok(());
        }
        let takes = self.selector.takes(below);
        if !takes && !self.selector.enters(below) {
            return Ok(());
        }
        let own = std::fs::symlink_metadata(path).map_err(|cause| failed(path, cause))?;
        if own.is_symlink() && self.selector.keeps_links {
            return if takes { self.link(path, below) } else { Ok(()) };
        }
        let is_directory = match std::fs::metadata(path) {
            Ok(metadata) => metadata.is_dir(),
            // Only links that are included have to lead somewhere.
            Err(_) if !takes => return Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(format!("the link `{path}` leads nowhere"))
                    .help("repair it, or exclude it with `exclude`"));
            }
            Err(cause) => return Err(failed(path, cause)),
        };
        match is_directory {
            false if takes => self.file(path, below),
            true if self.selector.enters(below) && own.is_symlink() => {
                let meant = super::canonicalize(path)?;
                if self.around.contains(&meant) {
                    return Err(Error::new(format!("`{path}` leads back to a directory that it is in"))
                        .help("exclude it with `exclude`, or store links with `symlinks = \"keep\"`"));
                }
                self.directory(meant, below)
            }
            true if self.selector.enters(below) => self.directory(path.to_owned(), below),
            _ => Ok(()),
        }
    }

    fn file(&mut self, path: &Utf8Path, below: &str) -> Result<()> {
        if let Some(kind) = unstored(path) {
            self.refuse(path, kind);
            return Ok(());
        }
        self.n_bytes += super::size(path)?;
        if self.n_bytes > archive::MAX_BYTES {
            return Err(self.too_much(&format!("{} bytes", archive::MAX_BYTES)));
        }
        let stored = super::stored::stored(path)?;
        let mode = match self.selector.mode {
            Some(mode) => mode,
            None => mode(&*stored)?,
        };
        self.add(path, below, Content::Stored(stored), mode)
    }

    /// Whether a path is excluded.
    fn leaves_out(&mut self, path: &Utf8Path, below: &str) -> bool {
        let is_excluded = self.mark(below);
        if is_excluded {
            self.left_out.push((path.to_owned(), below.to_owned()));
        }
        is_excluded
    }

    /// Marks the patterns of `exclude` that match a path. Returns whether there are any.
    fn mark(&mut self, below: &str) -> bool {
        let mut is_excluded = false;
        for (exclusion, is_used) in self.selector.exclusions().iter().zip(&mut self.is_used) {
            let matches = self.selector.excludes(exclusion, below);
            *is_used |= matches;
            is_excluded |= matches;
        }
        is_excluded
    }

    /// Checks that each pattern of `exclude` matches something, if only below what another one excludes.
    fn check_exclusions(&mut self) -> Result<()> {
        let mut pending = self.left_out.clone();
        let mut n_seen = 0;
        while let Some((path, below)) = pending.pop().filter(|_| self.is_used.contains(&false)) {
            let is_directory = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            if !is_directory || n_seen > MAX_FILES {
                continue;
            }
            // A directory that cannot be read is left out all the same.
            for name in names(&path).unwrap_or_default() {
                n_seen += 1;
                let below = format!("{below}/{name}");
                self.mark(&below);
                pending.push((path.join(&name), below));
            }
        }
        let unused = self.selector.exclusions().iter().zip(&self.is_used).find(|(_, is_used)| !**is_used);
        // Of a tree that is too large nobody knows.
        let Some((exclusion, _)) = unused.filter(|_| n_seen <= MAX_FILES) else { return Ok(()) };
        let (shown, selector) = (&exclusion.shown, self.selector);
        let error = Error::new(format!(
            "`exclude` of `--include {}` has `{shown}`, which matches nothing",
            selector.shown
        ));
        if !selector.root.is_dir() {
            return Err(error.help("remove it: the include is one file"));
        }
        let names = names(&selector.root).unwrap_or_default();
        Err(error.help(match nearest(shown, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("name what is there, or remove it: `{}` has {}", selector.root, shortened(&names))
            }
        }))
    }

    fn refuse(&mut self, path: &Utf8Path, kind: &'static str) {
        let by = self.selector.shown.clone();
        self.refused.push(RefusedInclude { source: path.to_owned(), kind, by });
    }

    fn link(&mut self, path: &Utf8Path, below: &str) -> Result<()> {
        let target = path.read_link_utf8().map_err(|cause| failed(path, cause))?;
        self.add(path, below, Content::Link(target.into_string()), Mode::Data)
    }

    fn add(&mut self, path: &Utf8Path, below: &str, content: Content, mode: Mode) -> Result<()> {
        if self.found.len() == MAX_FILES {
            return Err(self.too_much(&format!("{MAX_FILES} files")));
        }
        self.found.push(Included {
            name: self.selector.name(below)?,
            source: path.to_owned(),
            content,
            mode,
            by: self.selector.shown.clone(),
            is_named: below.is_empty(),
        });
        Ok(())
    }

    fn too_much(&self, limit: &str) -> Error {
        Error::new(format!(
            "`--include {}` includes more than {limit}, which is too many for a bundle",
            self.selector.shown
        ))
    }
}

/// Returns what a path leads to, if that is a device or made by the kernel. Pipes and sockets are errors of the next
/// step.
fn unstored(path: &Utf8Path) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = std::fs::metadata(path).ok()?.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
    }
    super::is_of_kernel(path).then_some("a file that the kernel makes when it is read")
}

/// Returns the names in a directory, sorted.
fn names(path: &Utf8Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|cause| failed(path, cause))? {
        let name = entry.map_err(|cause| failed(path, cause))?.file_name();
        names.push(name.into_string().map_err(|name| {
            Error::new(format!(
                "the name `{}` in `{path}` is not UTF-8",
                name.as_encoded_bytes().escape_ascii()
            ))
            .help("rename the file, or include single files instead of this directory")
        })?);
    }
    names.sort();
    Ok(names)
}

/// Returns mode 0755 for a file that can be started, else 0644.
fn mode(file: &dyn Stored) -> Result<Mode> {
    let is_program = |facts: elf::ElfFacts| !facts.is_data() && facts.linkage() != Linkage::SharedLibrary;
    let is_script = file.read(0..file.n_bytes().min(2))? == b"#!";
    let starts =
        is_script || elf::parse_ranges(file.n_bytes(), |range| file.read(range))?.is_ok_and(is_program);
    Ok(if starts { Mode::Executable } else { Mode::Data })
}

/// Refuses links to anything outside the include, which would not exist on Lambda.
fn check_links(found: &[Included]) -> Result<()> {
    for link in found {
        let Content::Link(target) = &link.content else { continue };
        let meant = archive::link_target(&link.name, target);
        // `found` is sorted: the contents of a directory come right after its name with a slash.
        let is_there = |name: &str| {
            let below = format!("{name}/");
            let at = found.partition_point(|other| *other.name < *below);
            found.binary_search_by(|other| (*other.name).cmp(name)).is_ok()
                || found.get(at).is_some_and(|other| other.name.starts_with(&below))
        };
        if !meant.as_deref().is_some_and(is_there) {
            return Err(Error::new(format!(
                "the link `{}` leads to `{target}`, which `--include {}` does not include",
                link.source, link.by
            ))
            .help("include the target, or follow links: `symlinks = \"follow\"`"));
        }
    }
    Ok(())
}

/// Returns the included files as the loader will find them.
pub fn members(included: &[Included], layout: &Layout) -> Vec<Member> {
    let member = |file: &Included| {
        let content = match &file.content {
            Content::Link(target) => MemberContent::Link(target.clone()),
            Content::File(bytes) => {
                MemberContent::of_file(elf::parse(bytes).map(Arc::new), bytes.len() as u64)
            }
            Content::Stored(stored) => {
                match elf::parse_ranges(stored.n_bytes(), |range| stored.read(range)) {
                    Ok(facts) => MemberContent::of_file(facts.map(Arc::new), stored.n_bytes()),
                    Err(_) => MemberContent::Other(Opened::Unreadable),
                }
            }
        };
        Member { path: layout.path(&file.name), content }
    };
    included.iter().map(member).collect()
}

/// Returns the programs and libraries among the included files. `members` has one entry for each file, with its
/// facts.
///
/// # Errors
///
/// If a file no longer exists.
pub fn objects(included: &[Included], members: &[Member]) -> Result<Vec<IncludedObject>> {
    let mut objects = Vec::new();
    for (file, member) in included.iter().zip(members) {
        let MemberContent::Object(facts) = &member.content else { continue };
        if facts.is_data() {
            continue;
        }
        let source = super::canonicalize(&file.source)?;
        let (name, facts, path) = (file.name.clone(), facts.clone(), world_name(&source));
        objects.push(IncludedObject { name, facts, source: source.into_string(), path, own: None });
    }
    Ok(objects)
}
