//! The output of the script of `baseline probe`, run in a runtime: a root, with the parts of its files that a loader
//! reads.
//!
//! There is one fact in each line; the first line names the form, and the last is `end`:
//!
//! ```text
//! cargo-lambda-bundle-probe 1
//! recorded 2026-11-24                      the day it ran
//! kernel 5.10.253-286.1015.amzn2.x86_64    as `uname -r`
//! system Amazon Linux 2023                 PRETTY_NAME of /etc/os-release
//! runtime-version provided:al2023.v109     the version or ARN of the runtime that the event named
//! variable LD_LIBRARY_PATH /lib64:...      an environment variable, see [`VARIABLES`]
//! default-dir /lib64                       a directory that is built into the loader, in its order
//! glibc 2.34                               the release in libc.so.6's own text
//! canary libc.so.6 GLIBC_2.35 yes          whether a program that needs that node starts: yes, no, missing or failed
//! cache Z2xpYm...                          /etc/ld.so.cache in Base64
//! directory /usr/lib64                     a directory, of which all `*.so*` are listed
//! link /lib64<TAB>usr/lib64                a symbolic link and its target
//! special /usr/lib64/libpipe.so            neither file nor directory
//! file 116960 /usr/lib64/libz.so.1.2.11    a file and its size in bytes
//! part 0 f0VMRg...                         the offset in that file, and its bytes there in Base64
//! ```
//!
//! Lines with other keys and other variables are dropped: who hands on a probe hands on what is listed here.
//!
//! The lines have bytes, not facts, so that the parser of whole files reads these, too. If a part is needed that the
//! script did not print, parsing fails: the unknown part is not assumed to be absent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::lines::TextLine;
use crate::elf::{self, ElfError, ElfFacts, Part};
use crate::error::{Error, Result};
use crate::paths;

/// The first line.
const FORM: &str = "cargo-lambda-bundle-probe 1";

/// The environment variables that a probe prints: none of them holds a secret.
pub const VARIABLES: [&str; 8] = [
    "AWS_EXECUTION_ENV",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "LANG",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PATH",
    "TZ",
];

/// The script that prints such a list.
pub const SCRIPT: &str = include_str!("probe.sh");

/// A runtime's root, as listed by a probe.
#[derive(Debug)]
pub struct Probe {
    /// The day of the probe, `YYYY-MM-DD`.
    pub recorded: String,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The system's own name.
    pub system: Option<String>,
    /// The version of the runtime, or the ARN of that version.
    pub runtime_version: Option<String>,
    /// What the loader answered about single version nodes.
    pub canaries: Vec<Canary>,
    /// The number of lines that are not part of a probe.
    pub n_dropped: usize,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The directories that are built into the loader.
    pub default_dirs: Vec<String>,
    /// The release of glibc, (major, minor).
    pub glibc: (u32, u32),
    /// The contents of /etc/ld.so.cache.
    pub cache: Option<Vec<u8>>,
    /// The node at each path; directories are those that were listed and the parents of other nodes.
    pub nodes: BTreeMap<String, ProbedNode>,
}

/// Whether a program that needs a version node of a library starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The library.
    pub soname: String,
    /// The node.
    pub node: String,
    /// `yes`, `no`, `missing` (the library) or `failed`.
    pub answer: String,
}

/// A node of the file system.
#[derive(Debug)]
pub enum ProbedNode {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(String),
    /// A pipe or a device.
    Special,
    /// A file: its size, and its ELF facts.
    File(u64, std::result::Result<Arc<ElfFacts>, ElfError>),
}

/// A file whose parts come next.
struct FileDraft {
    line: usize,
    path: String,
    size: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

impl Probe {
    /// Where the probe ran, as comments for a baseline's text.
    pub fn comment(&self) -> String {
        let fact = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let facts = [
            fact("System:", &self.system),
            fact("Kernel:", &self.kernel),
            fact("Runtime version:", &self.runtime_version),
        ];
        let canaries =
            self.canaries.iter().map(|it| format!("Starts with {} of {}: {}", it.node, it.soname, it.answer));
        let lines = facts.into_iter().flatten().chain(variables).chain(canaries);
        lines.map(|line| format!("# {line}\n")).collect()
    }

    /// Parses the output of a probe.
    ///
    /// # Errors
    ///
    /// If the text has another form or is not complete; the error names the line.
    pub fn parse(text: &str) -> Result<Probe> {
        let mut lines = text.lines().enumerate();
        match lines.next() {
            Some((_, FORM)) => {}
            _ => return Err(Error::new(format!("line 1: expected `{FORM}`"))),
        }
        let mut reader = ProbeReader::default();
        let mut last = 1;
        for (at, line) in lines {
            last = at + 1;
            let entry = TextLine::of_line(last, line);
            if reader.ended {
                return Err(entry.error("there is a line after `end`"));
            }
            reader.take(&entry)?;
        }
        if !reader.ended {
            return Err(Error::new(format!("line {last}: the text stops here, without the line `end`")));
        }
        reader.finish(last)
    }
}

#[derive(Default)]
struct ProbeReader {
    recorded: Option<String>,
    kernel: Option<String>,
    system: Option<String>,
    runtime_version: Option<String>,
    canaries: Vec<Canary>,
    n_dropped: usize,
    glibc: Option<(u32, u32)>,
    cache: Option<Vec<u8>>,
    variables: BTreeMap<String, String>,
    default_dirs: Vec<String>,
    nodes: BTreeMap<String, ProbedNode>,
    file: Option<FileDraft>,
    ended: bool,
}

impl ProbeReader {
    fn take(&mut self, entry: &TextLine<'_>) -> Result<()> {
        if entry.key != "part" {
            self.finish_file()?;
        }
        match entry.key {
            "recorded" => entry.once(&mut self.recorded, entry.date()?),
            "kernel" => entry.once(&mut self.kernel, entry.text()?.to_owned()),
            "system" => entry.once(&mut self.system, entry.text()?.to_owned()),
            "variable" => {
                let (name, value) = entry.word_and_rest("NAME VALUE")?;
                match VARIABLES.contains(&name) {
                    true => drop(self.variables.insert(name.to_owned(), value.to_owned())),
                    false => self.n_dropped += 1,
                }
                Ok(())
            }
            "runtime-version" => {
                let version = entry.one_of("a version or an ARN", |word| {
                    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b":._-".contains(&letter);
                    (word.len() < 200 && word.bytes().all(is_plain)).then(|| word.to_owned())
                })?;
                entry.once(&mut self.runtime_version, version)
            }
            "canary" => {
                self.canaries.push(canary(entry)?);
                Ok(())
            }
            "default-dir" => {
                self.default_dirs.push(entry.path()?);
                Ok(())
            }
            "glibc" => {
                let release = entry.one_of("a release like 2.34", |word| {
                    let (major, minor) = word.split_once('.')?;
                    Some((major.parse().ok()?, minor.parse().ok()?))
                })?;
                entry.once(&mut self.glibc, release)
            }
            "cache" => entry.once(&mut self.cache, decode(entry, entry.word()?)?),
            "directory" | "special" | "link" | "file" | "part" => self.take_node(entry),
            "end" => {
                self.ended = true;
                Ok(())
            }
            _ => {
                self.n_dropped += 1;
                Ok(())
            }
        }
    }

    /// Takes a line about a node of the file system.
    fn take_node(&mut self, entry: &TextLine<'_>) -> Result<()> {
        match entry.key {
            "directory" => self.add(entry, plain(entry, entry.text()?)?, ProbedNode::Directory),
            "special" => self.add(entry, plain(entry, entry.text()?)?, ProbedNode::Special),
            "link" => {
                let (path, target) = entry
                    .text()?
                    .split_once('\t')
                    .filter(|(_, target)| !target.is_empty())
                    .ok_or_else(|| entry.error("expected `link PATH`, a tab and the target"))?;
                self.add(entry, plain(entry, path)?, ProbedNode::Link(target.to_owned()))
            }
            "file" => {
                let (size, path) = entry.word_and_rest("SIZE PATH")?;
                let size = size.parse().map_err(|_| entry.error("expected `file SIZE PATH`"))?;
                let path = plain(entry, path)?;
                self.file = Some(FileDraft { line: entry.line(), path, size, parts: Vec::new() });
                Ok(())
            }
            _ => {
                let (start, bytes) = entry.word_and_rest("START BYTES")?;
                let Some(file) = &mut self.file else {
                    return Err(entry.error("a `part` without a `file` before it"));
                };
                let start: u64 = start.parse().map_err(|_| entry.error("expected `part START BYTES`"))?;
                let bytes = decode(entry, bytes)?;
                let end = start.checked_add(bytes.len() as u64).filter(|end| *end <= file.size);
                if end.is_none() {
                    return Err(
                        entry.error(format_args!("the part ends after the file's {} bytes", file.size))
                    );
                }
                file.parts.push((start, bytes));
                Ok(())
            }
        }
    }

    fn add(&mut self, entry: &TextLine<'_>, path: String, node: ProbedNode) -> Result<()> {
        match self.nodes.insert(path, node) {
            None => Ok(()),
            Some(_) => Err(entry.error("a second line for that path")),
        }
    }

    /// Parses a file when all of its parts are there.
    fn finish_file(&mut self) -> Result<()> {
        let Some(FileDraft { line, path, size, parts }) = self.file.take() else { return Ok(()) };
        let parts: Vec<Part> = parts.iter().map(|(start, bytes)| Part { start: *start, bytes }).collect();
        let facts = match elf::parse_parts(size, &parts) {
            Err(ElfError::NotRead(_)) => {
                return Err(Error::new(format!(
                    "line {line}: a part of `{path}` that a loader reads is missing"
                )));
            }
            facts => facts.map(Arc::new),
        };
        match self.nodes.insert(path, ProbedNode::File(size, facts)) {
            None => Ok(()),
            Some(_) => Err(Error::new(format!("line {line}: a second line for that path"))),
        }
    }

    fn finish(mut self, last: usize) -> Result<Probe> {
        let missing = |key: &str| Error::new(format!("line {last}: the text has no `{key}` line"));
        // The parents of nodes are directories.
        let mut above = BTreeSet::new();
        for path in self.nodes.keys() {
            let mut at = path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
                if !above.insert(parent.to_owned()) {
                    break;
                }
                at = parent;
            }
        }
        for path in above {
            if !matches!(
                self.nodes.entry(path.clone()).or_insert(ProbedNode::Directory),
                ProbedNode::Directory
            ) {
                return Err(Error::new(format!("line {last}: `{path}` is both a file and a directory")));
            }
        }
        if self.default_dirs.is_empty() {
            return Err(missing("default-dir"));
        }
        Ok(Probe {
            recorded: self.recorded.ok_or_else(|| missing("recorded"))?,
            kernel: self.kernel,
            system: self.system,
            runtime_version: self.runtime_version,
            canaries: self.canaries,
            n_dropped: self.n_dropped,
            variables: self.variables,
            default_dirs: self.default_dirs,
            glibc: self.glibc.ok_or_else(|| missing("glibc"))?,
            cache: self.cache,
            nodes: self.nodes,
        })
    }
}

fn canary(entry: &TextLine<'_>) -> Result<Canary> {
    let words: Vec<&str> = entry.words()?.collect();
    match words[..] {
        [soname, node, answer @ ("yes" | "no" | "missing" | "failed")]
            if is_name(soname) && is_name(node) =>
        {
            let [soname, node, answer] = [soname, node, answer].map(str::to_owned);
            Ok(Canary { soname, node, answer })
        }
        _ => Err(entry.error("expected `canary SONAME NODE yes`, no, missing or failed")),
    }
}

/// Whether a word can be the name of a library or of a node: nothing else gets into a baseline.
fn is_name(word: &str) -> bool {
    word.len() < 100 && word.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"._+-".contains(&letter))
}

fn decode(entry: &TextLine<'_>, text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|_| entry.error(format_args!("the bytes of `{}` are not Base64", entry.key)))
}

/// Returns an absolute path without `.`, `..` and empty parts; it may contain spaces.
fn plain(entry: &TextLine<'_>, path: &str) -> Result<String> {
    match paths::normalize(path) == path && path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(entry.error(format_args!("the path of `{}` is not absolute and plain", entry.key))),
    }
}
