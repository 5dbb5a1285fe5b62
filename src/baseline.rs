//! Tables of what Lambda's runtimes hold: which shared objects, and which version nodes they define.
//!
//! One table describes one runtime on one architecture. Those of `baseline/` are compiled in, each with its
//! sources and levels of evidence at its top; [`Baseline::parse`] reads others (a captured one) in the same
//! format. A new Amazon Linux release is a new data file and a line in [`embedded_text`]; a new language runtime
//! is some lines in `languages.txt`.
//!
//! The module answers what is known, and how well. It does not decide: whether a doubtful object may be relied
//! on, whether a node that only later images have is good enough, which copy the loader takes, all that is the
//! business of `loader`, `plan` and `audit`.
//!
//! Invariants of every [`Baseline`], whoever wrote its text: objects are sorted by SONAME and have one entry
//! each; version nodes are sorted by [`version::compare`], and a node of an object is in one of floor, later and
//! uncertain; each evidence code that an object names has a line that says what it means.
//!
//! A *captured* table ([`captured`]) has the objects of a root file system with all that their files say, and
//! no others.
//!
//! The format is lines of a key and its value; `#` starts a comment line, indentation has no meaning. The lines
//! before the first `object` are about the runtime, those after it about the object named last. A text with a
//! `root` line is an embedded table with changes: what it does not say is as there, the dates excepted:
//!
//! ```text
//! runtime provided.al2023
//! root provided.al2                        optional: the embedded table that this one is a change of
//! keep measured D liba.so.1 libb.so.2      with `root`: only these objects of it, with this evidence; repeatable
//! arch x86_64
//! recorded 2026-11-21                      the day of the research
//! glibc 2.34
//! complete yes                             no: what is not listed is unknown, not absent
//! interpreter /lib64/ld-linux-x86-64.so.2  at least one
//! default-dirs /lib64 /usr/lib64           what is built into its ld.so, in order
//! library-path /lib64:/usr/lib64:...       a value of LD_LIBRARY_PATH to expect; at least one
//! deprecated 2029-06-30                    optional, as create-blocked and update-blocked
//! evidence D names in /lib64 of ...        a code, and what it stands for
//!
//! object libcrypto.so.3
//!   directory /lib                         only if not in the default directories
//!   file libcrypto.so.3.2.2                the newest file name known, if it is not the SONAME
//!   older-file libcrypto.so.3.0.8          the oldest one, if another
//!   package openssl-libs
//!   presence present                       or doubtful
//!   present-since 2023.7.20250331          only if older images lack the object
//!   evidence derived D,B                   measured, derived, doubtful or captured; for the presence
//!   nodes OPENSSL_3.0.0 OPENSSL_3.0.3      in every image; `none`: no verdef; no line: unknown
//!   since 2023.7.20250331 OPENSSL_3.0.9    in this container image and later ones; may be repeated
//!   uncertain OPENSSL_3.0.1                could not be shown either way
//!   nodes-from high openssl-libs           confidence (high, medium, low) and code, for the nodes
//! ```

pub mod captured;
mod exports;
pub mod file;
mod listed;
pub mod probed;
pub mod rebinding;
mod text;

use std::sync::Arc;

use crate::elf::version;
use crate::elf::{Arch, ElfFacts};
use crate::error::Result;

pub use exports::{Export, Exports, SymbolAnswer, exports};
pub use listed::is_list;

/// Whether functions find an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// They do.
    Present,
    /// They probably do, but one source alone says so.
    Doubtful,
}

impl Presence {
    /// The word in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::Present => "present",
            Presence::Doubtful => "doubtful",
        }
    }
}

/// How an object's presence is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Listed inside a deployed function.
    Measured,
    /// It follows from lists and runs of close relatives.
    Derived,
    /// One source only.
    Doubtful,
    /// Read from a root that the user captured.
    Captured,
}

impl Evidence {
    /// The level of this word.
    pub fn from_word(word: &str) -> Option<Evidence> {
        let all = [Evidence::Measured, Evidence::Derived, Evidence::Doubtful, Evidence::Captured];
        all.into_iter().find(|evidence| evidence.as_str() == word)
    }

    /// The word in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::Measured => "measured",
            Evidence::Derived => "derived",
            Evidence::Doubtful => "doubtful",
            Evidence::Captured => "captured",
        }
    }
}

/// How well an object's version nodes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// A real build of the same upstream version, or the build system's own output, checked.
    High,
    /// A close version, or a sister distribution.
    Medium,
    /// One indirect hint.
    Low,
}

impl Confidence {
    /// The word in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Confidence::High => "high",
            Confidence::Medium => "medium",
            Confidence::Low => "low",
        }
    }
}

/// The version nodes (verdef entries without the base entry) of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Nothing is known: neither that there are nodes nor that there are none.
    Unknown,
    /// All three lists are sorted and share no node. All three empty: the object has no verdef at all.
    Known {
        /// What every image of the runtime has.
        floor: Vec<String>,
        /// What later images added.
        later: Vec<LaterNode>,
        /// What could not be shown either way.
        uncertain: Vec<String>,
    },
}

/// A node that not every image of the runtime has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterNode {
    /// The node.
    pub node: String,
    /// The first Amazon Linux container image known to have it; Lambda follows later.
    pub image: String,
}

/// Where an object's version nodes are known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesFrom {
    /// How well.
    pub confidence: Confidence,
    /// The code of an evidence line, see [`Baseline::evidence`].
    pub code: String,
}

/// What is known of one node of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAnswer<'a> {
    /// Every image of the runtime has it.
    Floor,
    /// Images from this one on have it.
    Later(&'a str),
    /// It could not be shown either way.
    Uncertain,
    /// The object has other nodes, and not this one: the loader refuses.
    Absent,
    /// The object has no verdef at all: the loader warns and goes on.
    NoVersions,
    /// The object's nodes are not known.
    Unknown,
}

/// One shared object of the system, under its SONAME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemObject {
    /// The name it is looked up by: its SONAME, or its file name if it has none (plugins).
    pub soname: String,
    /// The newest file name known behind the SONAME, if it is another.
    pub file: Option<String>,
    /// The oldest file name known behind the SONAME, if it is not `file`.
    pub older_file: Option<String>,
    /// The system's package that ships it.
    pub package: Option<String>,
    /// Whether functions find it.
    pub presence: Presence,
    /// How that is known.
    pub evidence: Evidence,
    /// The evidence lines for its presence, see [`Baseline::evidence`]; empty only if captured.
    pub codes: Vec<String>,
    /// The first container image that has the object, if older ones of the runtime lack it.
    pub since: Option<String>,
    /// Where it is, if not in the default directories.
    pub directory: Option<String>,
    /// Its version nodes.
    pub nodes: Nodes,
    /// Where these are known from.
    pub nodes_from: Option<NodesFrom>,
    /// All that its file says, if it was captured: then nothing about it is assumed.
    pub facts: Option<Arc<ElfFacts>>,
}

impl SystemObject {
    /// What is known of the node `name`, by membership as the loader does it, never by order.
    ///
    /// If it is not even certain that the object has no verdef, the answer is `Uncertain` for every name.
    pub fn node(&self, name: &str) -> NodeAnswer<'_> {
        let Nodes::Known { floor, later, uncertain } = &self.nodes else {
            return NodeAnswer::Unknown;
        };
        if floor.iter().any(|node| node == name) {
            return NodeAnswer::Floor;
        }
        if let Some(found) = later.iter().find(|later| later.node == name) {
            return NodeAnswer::Later(&found.image);
        }
        let no_versions_found = floor.is_empty() && later.is_empty();
        match (no_versions_found, uncertain.is_empty()) {
            (true, true) => NodeAnswer::NoVersions,
            (true, false) => NodeAnswer::Uncertain,
            (false, _) if uncertain.iter().any(|node| node == name) => NodeAnswer::Uncertain,
            (false, _) => NodeAnswer::Absent,
        }
    }

    /// The highest node of a family in the floor: `GLIBC_2.34` for `GLIBC`. For messages.
    ///
    /// Names without a number (`GLIBC_PRIVATE`, `GLIBC_ABI_DT_RELR`) are of no family but their own.
    pub fn highest(&self, family: &str) -> Option<&str> {
        let Nodes::Known { floor, .. } = &self.nodes else { return None };
        let mut of_family = floor.iter().rev().filter(|node| version::family(node) == family);
        of_family.next().map(String::as_str)
    }

    /// The version in the newest file name known: `3.2.2` of `libcrypto.so.3.2.2`.
    ///
    /// `None` if there is no such name, or if it is formed otherwise (`libc-2.26.so`).
    pub fn file_version(&self) -> Option<&str> {
        self.version_in(self.file.as_deref()?)
    }

    /// The version in the oldest file name known, or in the only one.
    pub fn older_file_version(&self) -> Option<&str> {
        self.version_in(self.older_file.as_deref().or(self.file.as_deref())?)
    }

    /// What follows `.so.` in `file`, if what precedes it is what the SONAME starts with.
    fn version_in<'a>(&self, file: &'a str) -> Option<&'a str> {
        let (stem, _) = self.soname.split_once(".so.")?;
        let version = file.strip_prefix(stem)?.strip_prefix(".so.")?;
        (!version.is_empty()).then_some(version)
    }
}

/// The dates of a runtime's end, `YYYY-MM-DD`, as AWS last announced them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// No more patches from this day on.
    pub deprecated: Option<String>,
    /// No new functions from this day on.
    pub create_blocked: Option<String>,
    /// No updates of functions from this day on.
    pub update_blocked: Option<String>,
}

/// What one runtime offers on one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Lambda's identifier, `provided.al2023`.
    pub runtime: String,
    /// The embedded table that this one is a change of.
    pub root: Option<String>,
    /// The architecture.
    pub arch: Arch,
    /// The day of the research or of the capture, `YYYY-MM-DD`.
    pub recorded: String,
    /// The glibc that every image has, `2.34`.
    pub glibc: String,
    /// Whether an object that is not listed is absent. If not, it is unknown.
    pub complete: bool,
    /// The PT_INTERP paths that exist; at least one.
    pub interpreters: Vec<String>,
    /// The directories built into its loader, in order.
    pub default_dirs: Vec<String>,
    /// The values of LD_LIBRARY_PATH to expect, the classic one first; at least one.
    pub library_paths: Vec<String>,
    /// When AWS ends it.
    pub lifecycle: Lifecycle,
    /// The evidence lines: code, and what it stands for. In the order of the text.
    pub evidence: Vec<(String, String)>,
    /// The files of a captured root; `None` for a table of research.
    pub root_files: Option<captured::Root>,
    /// The table is a list of names: nobody knows what the objects define and need.
    pub names_only: bool,
    objects: Vec<Arc<SystemObject>>,
}

impl Baseline {
    /// The object of that SONAME. Other file names (`libcrypto.so.3.2.2`) find nothing.
    pub fn object(&self, soname: &str) -> Option<&Arc<SystemObject>> {
        let at = self.objects.binary_search_by(|object| object.soname.as_str().cmp(soname)).ok()?;
        Some(&self.objects[at])
    }

    /// All objects, sorted by SONAME.
    pub fn objects(&self) -> &[Arc<SystemObject>] {
        &self.objects
    }

    /// What an evidence code stands for.
    pub fn evidence_text(&self, code: &str) -> Option<&str> {
        self.evidence.iter().find(|(known, _)| known == code).map(|(_, text)| text.as_str())
    }

    /// Reads a table; the format is described at the top of this module.
    ///
    /// Objects and nodes may come in any order. The error names the line (`line 12: ...`), not the file, which
    /// only the caller knows.
    pub fn parse(text: &str) -> Result<Baseline> {
        text::parse(text, None)
    }
}

/// The runtimes that start a `bootstrap` from a ZIP, oldest first.
pub fn runtimes() -> &'static [&'static str] {
    &["provided", "provided.al2", "provided.al2023"]
}

/// The runtime unless one is named.
pub const DEFAULT_RUNTIME: &str = "provided.al2023";

/// LD_LIBRARY_PATH as Lambda sets it where a `bootstrap` runs; newer hosts put `/var/lang/lib` before it.
pub const LIBRARY_PATH: &str =
    "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";

/// The base images of functions that are deployed as container images, oldest first.
const IMAGES: &[&str] = &["image:al2", "image:al2023"];

/// The language runtimes, a text each: what they are changes of, and their dates.
pub(crate) const LANGUAGES: &str = include_str!("baseline/languages.txt");

/// Every name that [`embedded`] knows and that a user may mean: runtimes of `bootstrap`s, base images, languages.
pub fn names() -> Vec<&'static str> {
    runtimes().iter().chain(IMAGES).copied().chain(languages()).collect()
}

/// The names of the language runtimes.
fn languages() -> impl Iterator<Item = &'static str> {
    LANGUAGES.lines().filter_map(|line| line.strip_prefix("runtime "))
}

/// Whether a function on this runtime is a program called `bootstrap`. In the others the language's own
/// program is started, and what is bundled for them is a layer or an extension. A runtime of another name, which
/// is described by a table of the user's own, is taken to start one.
pub fn starts_bootstrap(runtime: &str) -> bool {
    !languages().any(|language| language == runtime)
}

/// The embedded table of a runtime on an architecture; `None` if Lambda has no such pair or we know none.
///
/// Reads its text on every call: keep the answer.
pub fn embedded(runtime: &str, arch: Arch) -> Option<Baseline> {
    let text = embedded_text(runtime, arch)?;
    // A language runtime is for the architectures that its root is for.
    let mut header = text.lines().take_while(|line| !line.starts_with("object "));
    let root = header.find_map(|line| line.strip_prefix("root "));
    if let Some(root) = root {
        embedded_text(root, arch)?;
    }
    Some(text::parse(text, Some(arch)).unwrap_or_else(|error| {
        unreachable!("a test parses every embedded table, yet {runtime} ({}): {error}", arch.as_str())
    }))
}

/// The text of an embedded table, with its sources. One with a `root` line is a change of that table.
pub fn embedded_text(runtime: &str, arch: Arch) -> Option<&'static str> {
    Some(match (runtime, arch) {
        ("provided", Arch::X86_64) => include_str!("baseline/provided-x86_64.txt"),
        ("provided.al2", Arch::X86_64) => include_str!("baseline/provided.al2-x86_64.txt"),
        ("provided.al2", Arch::Arm64) => include_str!("baseline/provided.al2-arm64.txt"),
        ("provided.al2023", Arch::X86_64) => include_str!("baseline/provided.al2023-x86_64.txt"),
        ("provided.al2023", Arch::Arm64) => include_str!("baseline/provided.al2023-arm64.txt"),
        ("image:al2", Arch::X86_64) => include_str!("baseline/image.al2-x86_64.txt"),
        ("image:al2", Arch::Arm64) => include_str!("baseline/image.al2-arm64.txt"),
        ("image:al2023", Arch::X86_64) => include_str!("baseline/image.al2023-x86_64.txt"),
        ("image:al2023", Arch::Arm64) => include_str!("baseline/image.al2023-arm64.txt"),
        ("languages.provided", Arch::X86_64) => include_str!("baseline/languages.provided.txt"),
        ("languages.al2", Arch::X86_64) => include_str!("baseline/languages.al2-x86_64.txt"),
        ("languages.al2", Arch::Arm64) => include_str!("baseline/languages.al2-arm64.txt"),
        ("languages.al2023", _) => include_str!("baseline/languages.al2023.txt"),
        _ => return language(runtime),
    })
}

/// The text of a language runtime: from its line in [`LANGUAGES`] to the next one's.
fn language(runtime: &str) -> Option<&'static str> {
    let starts = || LANGUAGES.match_indices("\nruntime ").map(|(at, _)| at + 1);
    let start = starts().find(|at| {
        LANGUAGES[*at..].lines().next().and_then(|line| line.strip_prefix("runtime ")) == Some(runtime)
    })?;
    let end = starts().find(|at| *at > start).unwrap_or(LANGUAGES.len());
    Some(&LANGUAGES[start..end])
}

/// The objects of glibc but its loader, by SONAME, sorted. They come from one build or not at all.
///
/// `libnsl.so.1` and `libcidn.so.1` are among them: whichever distribution they come from, glibc built them,
/// and they use its private symbols. (The separate libnsl project has other SONAMEs.) `libcrypt.so.1` is not:
/// it stands alone, libxcrypt builds it too, and it may be shipped. Neither are the NIS modules of NSS, which
/// have become a project of their own.
pub const GLIBC_PARTS: &[&str] = &[
    "libBrokenLocale.so.1",
    "libSegFault.so",
    "libanl.so.1",
    "libc.so.6",
    "libc_malloc_debug.so.0",
    "libcidn.so.1",
    "libdl.so.2",
    "libm.so.6",
    "libmemusage.so",
    "libmvec.so.1",
    "libnsl.so.1",
    "libnss_compat.so.2",
    "libnss_db.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libnss_hesiod.so.2",
    "libpcprofile.so",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libthread_db.so.1",
    "libutil.so.1",
];

/// Whether an object is a part of glibc: one of [`GLIBC_PARTS`], or its loader on any architecture.
pub fn is_glibc_part(soname: &str) -> bool {
    soname.starts_with("ld-linux") || GLIBC_PARTS.binary_search(&soname).is_ok()
}

#[cfg(test)]
mod tests;
