//! Baselines: the shared objects that Lambda's runtimes have, and the version nodes that they define.
//!
//! One baseline describes one runtime on one architecture. The baselines in `baseline/` are compiled in, each with
//! its sources and levels of evidence at its top; [`Baseline::parse`] reads others (a captured one) in the same
//! format. A new Amazon Linux release is a new data file and a line in [`embedded_text`]; a new language runtime is
//! some lines in `languages.txt`.
//!
//! The module answers what is known, and how well. It does not decide: `loader`, `plan` and `audit` decide whether a
//! doubtful object may be relied on, whether a node that only later images have is good enough, and which copy the
//! loader takes.
//!
//! Invariants of every [`Baseline`], whoever wrote its text: objects are sorted by SONAME and have one entry each;
//! version nodes are sorted by [`version::compare`], and a node of an object is in one of floor, later and uncertain;
//! each evidence code that an object names has a line that explains it, and the level of evidence follows from those
//! lines ([`evidence`]).
//!
//! A *captured* baseline ([`captured`]) has the objects of a root file system with all facts from their files, and no
//! others.
//!
//! The format is lines of a key and its value; `#` starts a comment line, indentation has no meaning. The lines
//! before the first `object` are about the runtime, those after it about the object named last. A text with a `root`
//! line is an embedded baseline with changes: it inherits all that it does not state itself, except the dates:
//!
//! ```text
//! runtime provided.al2023
//! root provided.al2                        optional: the embedded baseline that this one changes
//! keep D,B liba.so.1 libb.so.2             with `root`: only these objects of it, with this evidence; repeatable
//! arch x86_64
//! recorded 2026-11-21                      the day of the research
//! glibc 2.34
//! complete yes                             no: an object that is not listed is unknown, not absent
//! interpreter /lib64/ld-linux-x86-64.so.2  at least one
//! default-dirs /lib64 /usr/lib64           the directories built into its ld.so, in order
//! library-path /lib64:/usr/lib64:...       a value of LD_LIBRARY_PATH to expect; at least one
//! deprecated 2029-06-30                    optional, as create-blocked and update-blocked
//! evidence D probe 2026-01-13 of=nodejs20.x/x86_64 at=nodejs:20.v98 names in /lib64 of ...
//!                                          a code, its kind (probe, image, packages, documented, report, upstream) and
//!                                          day or month; the runtimes or images that it is of, for a probe or an image
//!                                          this one if not named, and for which architecture; the runtime's version or
//!                                          the image's digest; what it shows and where it is
//!
//! object libcrypto.so.3
//!   directory /lib                         only if not in the default directories
//!   file libcrypto.so.3.2.2                the newest file name known, if it is not the SONAME
//!   older-file libcrypto.so.3.0.8          the oldest one, if another
//!   package openssl-libs
//!   present-since 2023.7.20250331          only if older images lack the object
//!   evidence D,B                           for the presence
//!   nodes OPENSSL_3.0.0 OPENSSL_3.0.3      in every image; `none`: no verdef; no line: unknown
//!   since 2023.7.20250331 OPENSSL_3.0.9    in this container image and later ones; may be repeated
//!   uncertain OPENSSL_3.0.1                could not be shown either way
//!   nodes-from high openssl-libs           confidence (high, medium, low) and code, for the nodes
//! ```

pub mod captured;
pub mod evidence;
mod exports;
pub mod file;
mod lines;
mod listed;
pub mod probed;
pub mod rebinding;
mod text;
pub mod unknown;

use std::sync::Arc;

use crate::elf::version;
use crate::elf::{Arch, ElfFacts};
use crate::error::Result;

pub use evidence::{Evidence, Source, SourceKind};
pub use exports::{Export, Exports, SymbolAnswer, exports};
pub use listed::is_list;

/// Whether functions find an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Functions find it.
    Present,
    /// Functions probably find it, but there is only one source: the evidence is [`Evidence::Doubtful`].
    Doubtful,
}

impl Presence {
    /// The word in baselines and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::Present => "present",
            Presence::Doubtful => "doubtful",
        }
    }
}

/// The confidence in what is known of an object's version nodes.
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
    /// The word in baselines and reports.
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
    /// Nothing is known, not even whether there are nodes.
    Unknown,
    /// All three lists are sorted and share no node. All three empty: the object has no verdef at all.
    Known {
        /// The nodes that every image of the runtime has.
        floor: Vec<String>,
        /// The nodes that later images added.
        later: Vec<LaterNode>,
        /// The nodes that could not be shown to be present or absent.
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

/// The source of an object's version nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesFrom {
    /// The confidence in it.
    pub confidence: Confidence,
    /// The code of an evidence line; see [`Baseline::evidence`].
    pub code: String,
}

/// The answer about one node of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAnswer<'a> {
    /// Every image of the runtime has the node.
    Floor,
    /// Images from this one on have the node.
    Later(&'a str),
    /// The node could not be shown to be present or absent.
    Uncertain,
    /// The object has other nodes but not this one: the loader refuses.
    Absent,
    /// The object has no verdef at all: the loader warns and goes on.
    NoVersions,
    /// The object's nodes are not known.
    Unknown,
}

/// One shared object of the system, under its SONAME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemObject {
    /// The name by which it is looked up: its SONAME, or its file name if it has none (plugins).
    pub soname: String,
    /// The newest known file name behind the SONAME, if it differs from it.
    pub file: Option<String>,
    /// The oldest known file name behind the SONAME, if it is not `file`.
    pub older_file: Option<String>,
    /// The system's package that ships it.
    pub package: Option<String>,
    /// Whether functions find it.
    pub presence: Presence,
    /// The evidence for its presence.
    pub evidence: Evidence,
    /// The codes of the evidence lines for its presence, see [`Baseline::evidence`]; empty only if captured.
    pub codes: Vec<String>,
    /// Whether functions find it for certain ([`evidence::is_certain`]); if not, it may be missing.
    pub certain: bool,
    /// The first container image that has the object, if older images of the runtime lack it.
    pub since: Option<String>,
    /// The directory of the object, if it is not a default directory.
    pub directory: Option<String>,
    /// The object of the same name in another directory, which the loader takes if this one is missing.
    pub behind: Option<Arc<SystemObject>>,
    /// The version nodes of the object.
    pub nodes: Nodes,
    /// The source of the version nodes.
    pub nodes_from: Option<NodesFrom>,
    /// Symbols that later releases of the library added: it is known not to have them.
    pub lacks: Vec<String>,
    /// All facts from its file, if it was captured: nothing about it is assumed then.
    pub facts: Option<Arc<ElfFacts>>,
}

impl SystemObject {
    /// The answer about the node `name`, by membership as in the loader, never by order.
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

    /// The highest node of a family in the floor, such as `GLIBC_2.34` for `GLIBC`, for messages.
    ///
    /// A name without a number (`GLIBC_PRIVATE`, `GLIBC_ABI_DT_RELR`) is a family by itself.
    pub fn highest(&self, family: &str) -> Option<&str> {
        let Nodes::Known { floor, .. } = &self.nodes else { return None };
        let mut of_family = floor.iter().rev().filter(|node| version::family(node) == family);
        of_family.next().map(String::as_str)
    }

    /// The version in the newest known file name, such as `3.2.2` in `libcrypto.so.3.2.2`.
    ///
    /// `None` if there is no such name, or if it has another form (`libc-2.26.so`).
    pub fn file_version(&self) -> Option<&str> {
        self.version_in(self.file.as_deref()?)
    }

    /// The version in the oldest known file name, or in the only one.
    pub fn older_file_version(&self) -> Option<&str> {
        self.version_in(self.older_file.as_deref().or(self.file.as_deref())?)
    }

    /// The part of `file` after `.so.`, if the part before it is also the start of the SONAME.
    fn version_in<'a>(&self, file: &'a str) -> Option<&'a str> {
        let (stem, _) = self.soname.split_once(".so.")?;
        let version = file.strip_prefix(stem)?.strip_prefix(".so.")?;
        (!version.is_empty()).then_some(version)
    }
}

/// The dates at which a runtime's support ends, `YYYY-MM-DD`, as AWS last announced them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// The day after which there are no more patches.
    pub deprecated: Option<String>,
    /// The day from which no function can be created.
    pub create_blocked: Option<String>,
    /// The day from which no function can be updated.
    pub update_blocked: Option<String>,
}

/// The days of a baseline's evidence, `YYYY-MM-DD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceDates {
    /// The day of the oldest evidence.
    pub oldest: String,
    /// The day of the newest evidence.
    pub newest: String,
}

/// One runtime on one architecture: its objects, and how its loader searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Lambda's identifier, `provided.al2023`.
    pub runtime: String,
    /// The embedded baseline that this one changes.
    pub root: Option<String>,
    /// The architecture.
    pub arch: Arch,
    /// The day of the research or of the capture, `YYYY-MM-DD`.
    pub recorded: String,
    /// The glibc release that every image has, such as `2.34`.
    pub glibc: String,
    /// Whether an object that is not listed is absent; if false, it is unknown.
    pub complete: bool,
    /// The existing PT_INTERP paths; at least one.
    pub interpreters: Vec<String>,
    /// The directories built into the loader, in order.
    pub default_dirs: Vec<String>,
    /// The values of LD_LIBRARY_PATH to expect, the classic one first; at least one.
    pub library_paths: Vec<String>,
    /// The dates at which AWS ends its support.
    pub lifecycle: Lifecycle,
    /// The sources, in the order of the text.
    pub evidence: Vec<Source>,
    /// The files of a captured root; `None` for a baseline from research.
    pub root_files: Option<captured::Root>,
    /// Whether the baseline is a list of names: the definitions and needs of its objects are not known.
    pub names_only: bool,
    objects: Vec<Arc<SystemObject>>,
}

impl Baseline {
    /// The comments at the top of an embedded baseline's text, and of the baselines it is based on.
    pub fn sources(&self) -> Vec<String> {
        let mut sources = Vec::new();
        let mut next = Some(self.runtime.clone());
        while let Some(name) = next {
            let Some(text) = embedded_text(&name, self.arch) else { break };
            // The texts of the language runtimes share one comment.
            let commented = if text.starts_with('#') { text } else { LANGUAGES };
            let comment = commented.lines().map_while(|line| line.strip_prefix('#'));
            sources.push(comment.map(|line| format!("{}\n", line.trim_start())).collect());
            next = text.lines().find_map(|line| line.strip_prefix("root ")).map(str::to_owned);
        }
        sources
    }

    /// The object with that SONAME. Other file names (`libcrypto.so.3.2.2`) are not found.
    pub fn object(&self, soname: &str) -> Option<&Arc<SystemObject>> {
        let at = self.objects.binary_search_by(|object| object.soname.as_str().cmp(soname)).ok()?;
        Some(&self.objects[at])
    }

    /// All objects, sorted by SONAME.
    pub fn objects(&self) -> &[Arc<SystemObject>] {
        &self.objects
    }

    /// The source with this code.
    pub fn source(&self, code: &str) -> Option<&Source> {
        self.evidence.iter().find(|source| source.code == code)
    }

    /// The days of the oldest and of the newest evidence for the presence of an object. The day of the capture if the
    /// baseline has no such evidence.
    pub fn evidence_dates(&self) -> EvidenceDates {
        let mut codes: Vec<&str> =
            self.objects.iter().flat_map(|object| &object.codes).map(String::as_str).collect();
        codes.sort_unstable();
        codes.dedup();
        let dates = codes.into_iter().filter_map(|code| Some(&self.source(code)?.date));
        let (oldest, newest) = (dates.clone().min(), dates.max());
        EvidenceDates {
            oldest: oldest.unwrap_or(&self.recorded).clone(),
            newest: newest.unwrap_or(&self.recorded).clone(),
        }
    }

    /// Reads a baseline; the format is described at the top of this module.
    ///
    /// Objects and nodes may come in any order. The error names the line (`line 12: ...`), not the file, which only
    /// the caller knows.
    pub fn parse(text: &str) -> Result<Baseline> {
        text::parse(text, None)
    }
}

/// The runtimes that start a `bootstrap` from a ZIP, oldest first.
pub fn runtimes() -> &'static [&'static str] {
    &["provided", "provided.al2", "provided.al2023"]
}

/// The runtime that is used if none is named.
pub const DEFAULT_RUNTIME: &str = "provided.al2023";

/// The value of LD_LIBRARY_PATH that Lambda sets where a `bootstrap` runs; newer hosts put `/var/lang/lib` before it.
pub const LIBRARY_PATH: &str =
    "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";

/// The base images of functions that are deployed as container images, oldest first.
const IMAGES: &[&str] = &["image:al2", "image:al2023"];

/// The language runtimes, a text for each: the baseline that it changes, and its dates.
const LANGUAGES: &str = include_str!("baseline/languages.txt");

/// Every name that [`embedded`] knows and that a user may name: runtimes of `bootstrap`s, base images, languages.
pub fn names() -> Vec<&'static str> {
    runtimes().iter().chain(IMAGES).copied().chain(languages()).collect()
}

/// The names of the language runtimes.
fn languages() -> impl Iterator<Item = &'static str> {
    LANGUAGES.lines().filter_map(|line| line.strip_prefix("runtime "))
}

/// Whether a function on this runtime is a program called `bootstrap`. The other runtimes start the language's own
/// program, and a bundle for them is a layer or an extension. Names count without their version: `nodejs28.x` is a
/// runtime of Node.js. A runtime with any other name, which the user's own baseline describes, is assumed to start a
/// `bootstrap`.
pub fn starts_bootstrap(runtime: &str) -> bool {
    let family = language_family(runtime);
    !languages().any(|language| language == runtime || language_family(language) == family)
}

/// The number of the binary interface of a runtime's Node.js; `None` for other runtimes, and where it is not known.
///
/// Source: NODE_MODULE_VERSION in Node.js's doc/abi_version_registry.json.
pub fn node_abi(runtime: &str) -> Option<&'static str> {
    Some(match runtime {
        "nodejs14.x" => "83",
        "nodejs16.x" => "93",
        "nodejs18.x" => "108",
        "nodejs20.x" => "115",
        "nodejs22.x" => "127",
        "nodejs24.x" => "137",
        _ => return None,
    })
}

/// The name of a runtime up to the first digit, as `nodejs` of `nodejs22.x`.
pub fn language_family(runtime: &str) -> &str {
    runtime.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or(runtime)
}

/// The embedded baseline of a runtime on an architecture; `None` if Lambda has no such pair or it is not known here.
///
/// Parses the text on every call: keep the answer.
pub fn embedded(runtime: &str, arch: Arch) -> Option<Baseline> {
    let text = embedded_text(runtime, arch)?;
    // A language runtime has the architectures of its root.
    let mut header = text.lines().take_while(|line| !line.starts_with("object "));
    let root = header.find_map(|line| line.strip_prefix("root "));
    if let Some(root) = root {
        embedded_text(root, arch)?;
    }
    Some(text::parse(text, Some(arch)).unwrap_or_else(|error| {
        unreachable!("a test parses every embedded table, yet {runtime} ({}): {error}", arch.as_str())
    }))
}

/// The text of an embedded baseline, with its sources. A text with a `root` line changes that baseline.
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

/// The text of a language runtime: from its line in [`LANGUAGES`] to the next runtime's.
fn language(runtime: &str) -> Option<&'static str> {
    let starts = || LANGUAGES.match_indices("\nruntime ").map(|(at, _)| at + 1);
    let start = starts().find(|at| {
        LANGUAGES[*at..].lines().next().and_then(|line| line.strip_prefix("runtime ")) == Some(runtime)
    })?;
    let end = starts().find(|at| *at > start).unwrap_or(LANGUAGES.len());
    Some(&LANGUAGES[start..end])
}

/// The objects of glibc except its loader, by SONAME, sorted. All of them must come from one build.
///
/// `libnsl.so.1` and `libcidn.so.1` are among them: glibc built them for every distribution, and they use its private
/// symbols. (The separate libnsl project has other SONAMEs.) `libcrypt.so.1` is not: it stands alone, libxcrypt
/// builds it too, and it may be shipped. Nor are the NIS modules of NSS, which have become a separate project.
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
