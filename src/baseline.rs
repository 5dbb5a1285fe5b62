//! Tables of what Lambda's runtimes hold: which shared objects, and which version nodes they define.
//!
//! One table describes one runtime on one architecture. Those of `baseline/` are compiled in, each with its
//! sources and levels of evidence at its top; [`Baseline::parse`] reads others (a captured one) in the same
//! format. A new Amazon Linux release is a new data file and a line in [`embedded_text`].
//!
//! The module answers what is known, and how well. It does not decide: whether a doubtful object may be relied
//! on, whether a node that only later images have is good enough, which copy the loader takes, all that is the
//! business of `loader`, `plan` and `audit`.
//!
//! Invariants of every [`Baseline`], whoever wrote its text: objects are sorted by SONAME and have one entry
//! each; version nodes are sorted by [`version::compare`], and a node of an object is in one of floor, later and
//! uncertain; each evidence code that an object names has a line that says what it means.
//!
//! The format is lines of a key and its value; `#` starts a comment line, indentation has no meaning. The lines
//! before the first `object` are about the runtime, those after it about the object named last:
//!
//! ```text
//! runtime provided.al2023
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

mod exports;

use std::collections::BTreeSet;

use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::version;

pub use exports::{Exports, exports};

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
    objects: Vec<SystemObject>,
}

impl Baseline {
    /// The object of that SONAME. Other file names (`libcrypto.so.3.2.2`) find nothing.
    pub fn object(&self, soname: &str) -> Option<&SystemObject> {
        let at = self.objects.binary_search_by(|object| object.soname.as_str().cmp(soname)).ok()?;
        Some(&self.objects[at])
    }

    /// All objects, sorted by SONAME.
    pub fn objects(&self) -> &[SystemObject] {
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
        let mut header = Header::default();
        let mut objects: Vec<Draft> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(BLANK).unwrap_or((line, ""));
            let entry = Entry { line: at + 1, key, value: value.trim_start() };
            match (key, objects.last_mut()) {
                ("object", _) => objects.push(Draft::new(&entry)?),
                (_, Some(object)) => object.take(&entry)?,
                (_, None) => header.take(&entry)?,
            }
        }
        header.finish(objects)
    }
}

/// The runtimes with embedded tables, oldest first.
pub fn runtimes() -> &'static [&'static str] {
    &["provided", "provided.al2", "provided.al2023"]
}

/// The embedded table of a runtime on an architecture; `None` if Lambda has no such pair or we know none.
///
/// Reads its text on every call: keep the answer.
pub fn embedded(runtime: &str, arch: Arch) -> Option<Baseline> {
    let text = embedded_text(runtime, arch)?;
    Some(Baseline::parse(text).unwrap_or_else(|error| {
        unreachable!("a test parses every embedded table, yet {runtime} ({}): {error}", arch.as_str())
    }))
}

/// The text of an embedded table, with its sources.
pub fn embedded_text(runtime: &str, arch: Arch) -> Option<&'static str> {
    Some(match (runtime, arch) {
        ("provided", Arch::X86_64) => include_str!("baseline/provided-x86_64.txt"),
        ("provided.al2", Arch::X86_64) => include_str!("baseline/provided.al2-x86_64.txt"),
        ("provided.al2", Arch::Arm64) => include_str!("baseline/provided.al2-arm64.txt"),
        ("provided.al2023", Arch::X86_64) => include_str!("baseline/provided.al2023-x86_64.txt"),
        ("provided.al2023", Arch::Arm64) => include_str!("baseline/provided.al2023-arm64.txt"),
        _ => return None,
    })
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

/// What separates a key from its values, and these from each other.
const BLANK: [char; 2] = [' ', '\t'];

/// Whether a text has a control character other than a tab, which separates values.
fn has_control(text: &str) -> bool {
    // Without an early exit, because that is several times faster on the texts that have none.
    let maybe =
        text.bytes().fold(false, |maybe, byte| maybe | (byte < b' ' && byte != b'\t') | (byte > b'~'));
    maybe && text.contains(|char: char| char.is_control() && char != '\t')
}

/// One line that is not a comment.
struct Entry<'a> {
    /// Counted from 1.
    line: usize,
    key: &'a str,
    value: &'a str,
}

impl<'a> Entry<'a> {
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("line {}: {what}", self.line))
    }

    /// The value, which must not be empty. It may contain spaces.
    fn text(&self) -> Result<&'a str> {
        match self.value {
            "" => Err(self.error(format_args!("`{}` needs a value", shown(self.key)))),
            value if has_control(value) => {
                Err(self.error(format_args!("`{}` has a control character in its value", shown(self.key))))
            }
            value => Ok(value),
        }
    }

    /// The values, at least one, separated by spaces.
    fn words(&self) -> Result<impl Iterator<Item = &'a str> + use<'a>> {
        Ok(self.text()?.split_ascii_whitespace())
    }

    /// The only value.
    fn word(&self) -> Result<&'a str> {
        match self.text()? {
            value if value.contains(BLANK) => {
                Err(self.error(format_args!("`{}` takes one value", shown(self.key))))
            }
            value => Ok(value),
        }
    }

    /// The first of two values, and the rest.
    fn word_and_rest(&self, form: &str) -> Result<(&'a str, &'a str)> {
        match self.text()?.split_once(BLANK) {
            Some((word, rest)) => Ok((word, rest.trim_start())),
            None => Err(self.error(format_args!("expected `{} {form}`", self.key))),
        }
    }

    /// The only value, one of those that `known` takes.
    fn one_of<T>(&self, expected: &str, known: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let word = self.word()?;
        known(word)
            .ok_or_else(|| self.error(format_args!("`{}` is {expected}, not `{}`", self.key, shown(word))))
    }

    fn file_name(&self) -> Result<String> {
        self.one_of("a file name", |word| {
            let inside = !word.contains('/') && word != "." && word != "..";
            inside.then(|| word.to_owned())
        })
    }

    fn absolute(&self) -> Result<String> {
        self.one_of("an absolute path", |word| word.starts_with('/').then(|| word.to_owned()))
    }

    fn date(&self) -> Result<String> {
        self.one_of("a date like 2026-11-21", |word| {
            let shape: Vec<usize> = word.split('-').map(str::len).collect();
            let digits = word.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
            (digits && shape == [4, 2, 2]).then(|| word.to_owned())
        })
    }

    /// Puts `value` in a place that a text may fill once.
    fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<()> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.error(format_args!("a second `{}`", self.key))),
        }
    }

    fn unknown_key(&self, of: &str) -> Error {
        self.error(format_args!("`{}` is not a key of {of}", shown(self.key)))
    }
}

/// A word of the text, fit for a message: short, and without control characters.
fn shown(word: &str) -> String {
    word.chars().take(80).map(|char| if char.is_control() { '?' } else { char }).collect()
}

/// The lines before the first object.
#[derive(Default)]
struct Header {
    runtime: Option<String>,
    arch: Option<Arch>,
    recorded: Option<String>,
    glibc: Option<String>,
    complete: Option<bool>,
    interpreters: Vec<String>,
    default_dirs: Option<Vec<String>>,
    library_paths: Vec<String>,
    lifecycle: Lifecycle,
    evidence: Vec<(String, String)>,
    /// Those of `evidence`.
    codes: BTreeSet<String>,
}

impl Header {
    fn take(&mut self, entry: &Entry<'_>) -> Result<()> {
        match entry.key {
            "runtime" => entry.once(&mut self.runtime, entry.word()?.to_owned()),
            "arch" => {
                let arch = entry.one_of("x86_64 or arm64", |word| {
                    [Arch::X86_64, Arch::Arm64].into_iter().find(|arch| arch.as_str() == word)
                })?;
                entry.once(&mut self.arch, arch)
            }
            "recorded" => entry.once(&mut self.recorded, entry.date()?),
            "glibc" => {
                let version = entry.one_of("a version like 2.34", |word| {
                    let numbers = word
                        .split('.')
                        .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
                    numbers.then(|| word.to_owned())
                })?;
                entry.once(&mut self.glibc, version)
            }
            "complete" => {
                let complete = entry.one_of("yes or no", |word| match word {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => None,
                })?;
                entry.once(&mut self.complete, complete)
            }
            "interpreter" => {
                self.interpreters.push(entry.absolute()?);
                Ok(())
            }
            "default-dirs" => {
                let dirs: Vec<String> = entry.words()?.map(str::to_owned).collect();
                if let Some(relative) = dirs.iter().find(|dir| !dir.starts_with('/')) {
                    return Err(entry.error(format_args!(
                        "`default-dirs` are absolute paths, not `{}`",
                        shown(relative)
                    )));
                }
                entry.once(&mut self.default_dirs, dirs)
            }
            "library-path" => {
                self.library_paths.push(entry.text()?.to_owned());
                Ok(())
            }
            "deprecated" => entry.once(&mut self.lifecycle.deprecated, entry.date()?),
            "create-blocked" => entry.once(&mut self.lifecycle.create_blocked, entry.date()?),
            "update-blocked" => entry.once(&mut self.lifecycle.update_blocked, entry.date()?),
            "evidence" => {
                let (code, text) = entry.word_and_rest("CODE TEXT")?;
                if code.contains(',') || !self.codes.insert(code.to_owned()) {
                    return Err(entry.error(format_args!("`{}` cannot be a new code", shown(code))));
                }
                self.evidence.push((code.to_owned(), text.to_owned()));
                Ok(())
            }
            _ => Err(entry.unknown_key("a runtime")),
        }
    }

    fn finish(self, drafts: Vec<Draft>) -> Result<Baseline> {
        fn required<T>(value: Option<T>, key: &str) -> Result<T> {
            value.ok_or_else(|| Error::new(format!("no `{key}` line before the first object")))
        }
        // Without an interpreter there are no search rules; without a library path nothing would be proved.
        fn at_least_one(values: Vec<String>, key: &str) -> Result<Vec<String>> {
            required((!values.is_empty()).then_some(values), key)
        }
        let mut objects = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let line = draft.line;
            let object = draft.finish()?;
            let codes = object.codes.iter().chain(object.nodes_from.iter().map(|from| &from.code));
            for code in codes {
                if !self.codes.contains(code) {
                    return Err(Error::new(format!(
                        "line {line}: `{}` names the evidence `{}`, which no line explains",
                        object.soname,
                        shown(code)
                    )));
                }
            }
            objects.push(object);
        }
        objects.sort_by(|a, b| a.soname.cmp(&b.soname));
        if let Some(pair) = objects.windows(2).find(|pair| pair[0].soname == pair[1].soname) {
            return Err(Error::new(format!("`{}` is there twice", pair[0].soname)));
        }
        Ok(Baseline {
            runtime: required(self.runtime, "runtime")?,
            arch: required(self.arch, "arch")?,
            recorded: required(self.recorded, "recorded")?,
            glibc: required(self.glibc, "glibc")?,
            complete: required(self.complete, "complete")?,
            interpreters: at_least_one(self.interpreters, "interpreter")?,
            default_dirs: required(self.default_dirs, "default-dirs")?,
            library_paths: at_least_one(self.library_paths, "library-path")?,
            lifecycle: self.lifecycle,
            evidence: self.evidence,
            objects,
        })
    }
}

/// An object whose lines are being read.
struct Draft {
    /// Of its `object` line.
    line: usize,
    soname: String,
    directory: Option<String>,
    file: Option<String>,
    older_file: Option<String>,
    package: Option<String>,
    presence: Option<Presence>,
    since: Option<String>,
    evidence: Option<(Evidence, Vec<String>)>,
    floor: Option<Vec<String>>,
    later: Vec<LaterNode>,
    uncertain: Vec<String>,
    nodes_from: Option<NodesFrom>,
}

impl Draft {
    fn new(entry: &Entry<'_>) -> Result<Draft> {
        Ok(Draft {
            line: entry.line,
            soname: entry.file_name()?,
            directory: None,
            file: None,
            older_file: None,
            package: None,
            presence: None,
            since: None,
            evidence: None,
            floor: None,
            later: Vec::new(),
            uncertain: Vec::new(),
            nodes_from: None,
        })
    }

    fn take(&mut self, entry: &Entry<'_>) -> Result<()> {
        match entry.key {
            "directory" => entry.once(&mut self.directory, entry.absolute()?),
            "file" => entry.once(&mut self.file, entry.file_name()?),
            "older-file" => entry.once(&mut self.older_file, entry.file_name()?),
            "package" => entry.once(&mut self.package, entry.word()?.to_owned()),
            "presence" => {
                let presence = entry.one_of("present or doubtful", |word| {
                    [Presence::Present, Presence::Doubtful].into_iter().find(|it| it.as_str() == word)
                })?;
                entry.once(&mut self.presence, presence)
            }
            "present-since" => entry.once(&mut self.since, entry.word()?.to_owned()),
            "evidence" => {
                let value = entry.text()?;
                let (level, codes) = value.split_once(BLANK).unwrap_or((value, ""));
                let all = [Evidence::Measured, Evidence::Derived, Evidence::Doubtful, Evidence::Captured];
                let evidence = all.into_iter().find(|it| it.as_str() == level).ok_or_else(|| {
                    entry.error(format_args!("`{}` is not a level of evidence", shown(level)))
                })?;
                let codes = codes.split([',', ' ']).filter(|code| !code.is_empty());
                let codes: Vec<String> = codes.map(str::to_owned).collect();
                if codes.is_empty() && evidence != Evidence::Captured {
                    return Err(entry.error("expected `evidence LEVEL CODES`"));
                }
                entry.once(&mut self.evidence, (evidence, codes))
            }
            "nodes" => {
                let nodes = match entry.text()? {
                    "none" => Vec::new(),
                    _ => entry.words()?.map(str::to_owned).collect(),
                };
                entry.once(&mut self.floor, nodes)
            }
            "since" => {
                let (image, nodes) = entry.word_and_rest("IMAGE NODES")?;
                self.later.extend(
                    nodes
                        .split_ascii_whitespace()
                        .map(|node| LaterNode { node: node.to_owned(), image: image.to_owned() }),
                );
                Ok(())
            }
            "uncertain" => {
                self.uncertain.extend(entry.words()?.map(str::to_owned));
                Ok(())
            }
            "nodes-from" => {
                let (word, code) = entry.word_and_rest("CONFIDENCE CODE")?;
                let all = [Confidence::High, Confidence::Medium, Confidence::Low];
                let confidence = all.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
                    entry.error(format_args!("`{}` is not high, medium or low", shown(word)))
                })?;
                entry.once(&mut self.nodes_from, NodesFrom { confidence, code: code.to_owned() })
            }
            _ => Err(entry.unknown_key("an object")),
        }
    }

    fn finish(mut self) -> Result<SystemObject> {
        let error =
            |what: String| Error::new(format!("line {}: `{}` {what}", self.line, shown(&self.soname)));
        let Some(presence) = self.presence else {
            return Err(error("has no `presence` line".to_owned()));
        };
        let Some((evidence, codes)) = self.evidence.take() else {
            return Err(error("has no `evidence` line".to_owned()));
        };
        let nodes = match self.floor.take() {
            None if self.later.is_empty() && self.uncertain.is_empty() && self.nodes_from.is_none() => {
                Nodes::Unknown
            }
            None => return Err(error("says more about its nodes, but has no `nodes` line".to_owned())),
            Some(mut floor) => {
                floor.sort_by(|a, b| version::compare(a, b));
                self.later.sort_by(|a, b| version::compare(&a.node, &b.node));
                self.uncertain.sort_by(|a, b| version::compare(a, b));
                if let Some(node) = twice(&floor, &self.later, &self.uncertain) {
                    return Err(error(format!("has the node `{}` twice", shown(node))));
                }
                Nodes::Known {
                    floor,
                    later: std::mem::take(&mut self.later),
                    uncertain: std::mem::take(&mut self.uncertain),
                }
            }
        };
        Ok(SystemObject {
            soname: self.soname,
            file: self.file,
            older_file: self.older_file,
            package: self.package,
            presence,
            evidence,
            codes,
            since: self.since,
            directory: self.directory,
            nodes,
            nodes_from: self.nodes_from,
        })
    }
}

/// A node that three sorted lists have more than once between them.
fn twice<'a>(floor: &'a [String], later: &'a [LaterNode], uncertain: &'a [String]) -> Option<&'a str> {
    if let Some(pair) = floor.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(&pair[0]);
    }
    // Few objects have any of these, and then few. `floor` is searched by halves, so a hostile text gains nothing.
    let mut others: Vec<&str> = later.iter().map(|later| later.node.as_str()).collect();
    others.extend(uncertain.iter().map(String::as_str));
    others.sort_unstable();
    if let Some(pair) = others.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(pair[0]);
    }
    others.into_iter().find(|node| floor.binary_search_by(|known| version::compare(known, node)).is_ok())
}

#[cfg(test)]
mod tests;
