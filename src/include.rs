//! Files that are added to a bundle beside the program and its libraries: what the user asked for, and their names.
//!
//! This module treats paths as text; [`crate::disk::include`] reads the files. A pattern has `/` between its parts
//! on every host; `*`, `?`, `[...]` and `{a,b}` stay within one part, `**` stands for any number of directories.

use std::str::FromStr;

use camino::Utf8PathBuf;
use globset::{GlobBuilder, GlobMatcher};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::archive::{self, Mode};
use crate::error::{Error, Result};
use crate::paths;

/// One `--include`, or one element of a manifest's `include`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Include {
    /// A file, a directory with all its contents, or a pattern of files.
    pub from: String,
    /// The place in the archive: a file's name, or a directory for everything else. With a slash at its end it is
    /// always a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `0755` or `0644`, whatever the mode of the files is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `keep` to store symbolic links, whose targets must come with the same include; or `follow`, the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symlinks: Option<String>,
    /// Patterns of files and directories to leave out: they match a name if they have no slash, otherwise a path
    /// below the included directory, or from the directory in which `from` starts. Each must match something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The directory in which `from` starts; empty for the current directory.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub directory: Utf8PathBuf,
}

fn is_empty(path: &Utf8PathBuf) -> bool {
    path.as_str().is_empty()
}

impl FromStr for Include {
    type Err = String;

    /// Reads `SRC[=DEST]`, or a JSON object with the keys of a manifest.
    fn from_str(text: &str) -> std::result::Result<Include, String> {
        // A pattern may begin like an object, but is no valid JSON object.
        if let Ok(value @ serde_json::Value::Object(_)) = serde_json::from_str(text) {
            return serde_json::from_value(value).map_err(|error| error.to_string());
        }
        let (from, to) = match text.split_once('=') {
            Some((from, to)) => (from, Some(to.to_owned())),
            None => (text, None),
        };
        if from.is_empty() {
            return Err("it names no file".to_owned());
        }
        Ok(Include {
            from: from.to_owned(),
            to,
            mode: None,
            symlinks: None,
            exclude: Vec::new(),
            directory: Utf8PathBuf::new(),
        })
    }
}

/// A file for the bundle, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// The name in the archive.
    pub name: String,
    /// The absolute path of the file.
    pub source: Utf8PathBuf,
    /// The content of the file.
    pub content: archive::Content,
    /// The mode in the archive.
    pub mode: Mode,
    /// The include that added the file, as it was written.
    pub by: String,
    /// Whether its own path was written, not a pattern or a directory above it.
    pub is_named: bool,
}

/// A file or directory that is not put into a bundle, whatever was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedInclude {
    /// The absolute path.
    pub source: Utf8PathBuf,
    /// What it is: `a device`.
    pub kind: &'static str,
    /// The include that names it, as it was written.
    pub by: String,
}

/// An include, parsed and checked.
pub struct Selector {
    /// The include as it was written, for messages.
    pub shown: String,
    /// The absolute path of the file or directory that has all the files.
    pub root: Utf8PathBuf,
    /// The parts of the pattern below the root; empty for everything.
    parts: Vec<PathPart>,
    /// The pattern for a whole path below the root; `None` for everything.
    pattern: Option<GlobMatcher>,
    /// What is left out.
    exclusions: Vec<Exclusion>,
    /// The root as it is written in `from`, without `.` and empty parts.
    written: String,
    /// The pattern below the root, as it was written.
    rest: String,
    /// The mode that the user asked for.
    pub mode: Option<Mode>,
    /// Whether symbolic links stay links.
    pub keeps_links: bool,
    /// The directory in the archive before the path below the root; empty for the archive's root.
    place: String,
    /// Whether a single file goes into `place`, rather than having its name.
    is_directory: bool,
}

/// One pattern of `exclude`.
pub struct Exclusion {
    /// The pattern as it was written.
    pub shown: String,
    /// Whether it matches a path, rather than a name.
    is_path: bool,
    glob: GlobMatcher,
}

impl Exclusion {
    fn matches(&self, path: &str) -> bool {
        self.glob.is_match(if self.is_path { path } else { paths::file_name(path) })
    }
}

enum PathPart {
    /// `**`.
    Any,
    Name(GlobMatcher),
}

impl Selector {
    /// Parses an include.
    ///
    /// # Errors
    ///
    /// If it is no valid pattern, has a mode that no archive of ours has, or a place outside the archive.
    pub fn new(include: &Include) -> Result<Selector> {
        let shown = include.from.clone();
        let parts: Vec<&str> = include.from.split('/').collect();
        let n_plain =
            parts.iter().position(|part| part.contains(['*', '?', '[', '{'])).unwrap_or(parts.len());
        let (plain, pattern) = parts.split_at(n_plain);
        let prefix = match plain.join("/") {
            prefix if prefix.is_empty() && include.from.starts_with('/') => "/".to_owned(),
            prefix => prefix,
        };
        let glob = |text: &str| {
            GlobBuilder::new(text)
                .literal_separator(true)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|error| Error::usage(format!("`--include {shown}` is not a pattern")).because(error))
        };
        let name =
            |part: &&str| if *part == "**" { Ok(PathPart::Any) } else { glob(part).map(PathPart::Name) };
        let exclude = |text: &String| {
            // `/drafts` and `./drafts` are paths, too: what is at the top.
            let path = text.trim_end_matches('/');
            let below = path.trim_start_matches("./").trim_start_matches('/');
            Ok(Exclusion { shown: text.clone(), is_path: path.contains('/'), glob: glob(below)? })
        };
        let mode = match include.mode.as_deref() {
            None => None,
            Some("0755" | "755") => Some(Mode::Executable),
            Some("0644" | "644") => Some(Mode::Data),
            Some(mode) => {
                return Err(Error::usage(format!("`--include {shown}` has the mode `{mode}`"))
                    .help("a file of a bundle has the mode `0755` or `0644`"));
            }
        };
        let keeps_links = match include.symlinks.as_deref() {
            None | Some("follow") => false,
            Some("keep") => true,
            Some(word) => {
                return Err(Error::usage(format!("`--include {shown}` has the `symlinks` `{word}`"))
                    .help("symbolic links are followed, `follow`, or stored, `keep`"));
            }
        };
        let (place, is_directory) = match &include.to {
            Some(to) => (place(to).ok_or_else(|| outside(&shown, to))?, to.ends_with('/') || to.is_empty()),
            None => (place(&prefix).ok_or_else(|| no_place(&shown))?, false),
        };
        Ok(Selector {
            root: match prefix.as_str() {
                "" => include.directory.clone(),
                prefix => include.directory.join(prefix),
            },
            pattern: if pattern.is_empty() { None } else { Some(glob(&pattern.join("/"))?) },
            parts: pattern.iter().map(name).collect::<Result<_>>()?,
            exclusions: include.exclude.iter().map(exclude).collect::<Result<_>>()?,
            written: parts_of(&prefix),
            rest: pattern.join("/"),
            mode,
            keeps_links,
            place,
            is_directory,
            shown,
        })
    }

    /// Whether the include names one file or directory.
    pub fn is_plain(&self) -> bool {
        self.pattern.is_none()
    }

    /// Whether the include takes a file at this path below the root.
    pub fn takes(&self, below: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(below))
    }

    /// Whether a directory at this path below the root can have files that the include takes.
    pub fn enters(&self, below: &str) -> bool {
        let mut parts = self.parts.iter();
        for name in below.split('/') {
            match parts.next() {
                // No pattern: every file below is taken.
                None if self.is_plain() => break,
                None => return false,
                Some(PathPart::Any) => break,
                Some(PathPart::Name(glob)) if glob.is_match(name) => {}
                Some(PathPart::Name(_)) => return false,
            }
        }
        true
    }

    /// Whether a pattern of `exclude` matches this path below the root; if the path is empty, the root itself, a file.
    pub fn excludes(&self, exclusion: &Exclusion, below: &str) -> bool {
        let full = if below.is_empty() { self.written.clone() } else { join(&self.written, below) };
        let below = if below.is_empty() { self.root.file_name().unwrap_or_default() } else { below };
        exclusion.matches(below) || exclusion.is_path && exclusion.matches(&full)
    }

    /// The patterns of what is left out.
    pub fn exclusions(&self) -> &[Exclusion] {
        &self.exclusions
    }

    /// The path that the include would name if it were no pattern.
    pub fn literal(&self) -> Utf8PathBuf {
        self.root.join(&self.rest)
    }

    /// The name in the archive of a file at this path below the root; if the path is empty, of the root itself.
    ///
    /// # Errors
    ///
    /// If no archive of ours can have that name.
    pub fn name(&self, below: &str) -> Result<String> {
        let name = match (self.place.as_str(), below) {
            (place, "") if self.is_directory || place.is_empty() => {
                join(place, self.root.file_name().unwrap_or_default())
            }
            (place, "") => place.to_owned(),
            (place, below) => join(place, below),
        };
        match archive::name_fault(&name) {
            None => Ok(name),
            Some(fault) => Err(Error::new(format!("`--include {}`: the entry `{name}` {fault}", self.shown))),
        }
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") }
}

/// A path in the archive without empty and `.` parts; `None` if it leaves the archive.
fn place(path: &str) -> Option<String> {
    let place = parts_of(path);
    let is_safe = place.is_empty() || archive::name_fault(&place).is_none();
    (is_safe && !path.starts_with('/')).then_some(place)
}

/// A path without empty and `.` parts.
fn parts_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

fn outside(shown: &str, to: &str) -> Error {
    Error::usage(format!("`--include {shown}={to}` would leave the archive"))
        .help("name a place in it, relative to its root: without `..`, drive letter or `/` at the beginning")
}

fn no_place(shown: &str) -> Error {
    Error::usage(format!("`--include {shown}` does not say where in the archive it goes"))
        .help(format!("name a place: `--include {shown}=DEST`, in a manifest `to = \"DEST\"`"))
}

/// Names of files and directories that usually hold secrets.
const SUSPICIOUS: &[&str] = &[
    ".aws",
    ".docker",
    ".env",
    ".env.*",
    ".git",
    ".git-credentials",
    ".gnupg",
    ".htpasswd",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".ssh",
    "*.jks",
    "*.keystore",
    "*.p12",
    "*.pfx",
    "credentials.toml",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
];

/// Names that a pattern of [`SUSPICIOUS`] matches, of templates without secrets.
const HARMLESS: &[&str] = &[".env.dist", ".env.example", ".env.sample", ".env.template"];

/// Names of keys, and of certificates, which are not secret.
const KEYS: &[&str] = &["*.key", "*.pem"];

/// The part of a file's path for which it looks like a secret.
///
/// A private key in PEM is recognised by its content, whatever its name is; a certificate or a public key in PEM is
/// not a secret.
pub fn suspicious_part<'a>(path: &'a str, bytes: &[u8]) -> Option<&'a str> {
    let is_of = |part: &str, patterns: &[&str]| {
        patterns.iter().any(|pattern| match pattern.split_once('*') {
            Some((start, end)) => {
                part.starts_with(start) && part.ends_with(end) && part.len() > pattern.len() - 1
            }
            None => part == *pattern,
        })
    };
    let file_name = paths::file_name(path);
    let by_name = path.split('/').find(|part| is_of(part, SUSPICIOUS) && !is_of(part, HARMLESS));
    let by_content = || {
        let mut labels = pem_labels(bytes).peekable();
        let is_key = labels.peek().is_none() && is_of(file_name, KEYS);
        // Programs that read keys contain the labels to look for.
        let is_program = bytes.starts_with(b"\x7fELF");
        (!is_program && (is_key || labels.any(|label| label.contains("PRIVATE KEY")))).then_some(file_name)
    };
    by_name.or_else(by_content)
}

/// The labels of the PEM blocks in a file: `RSA PRIVATE KEY` for `-----BEGIN RSA PRIVATE KEY-----`.
///
/// Source: RFC 7468, section 3.
fn pem_labels(bytes: &[u8]) -> impl Iterator<Item = &str> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const LONGEST: usize = 64;
    memmem::find_iter(bytes, BEGIN).filter_map(|at| {
        let label = &bytes[at + BEGIN.len()..];
        let label = &label[..label.len().min(LONGEST)];
        std::str::from_utf8(&label[..memmem::find(label, b"-----")?]).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: Option<&str>) {
        assert_eq!(suspicious_part(path, text.as_bytes()), expected, "{path}: {text}");
    }

    #[test]
    fn names_of_secrets() {
        check("home/.aws/credentials", "", Some(".aws"));
        check(".env", "", Some(".env"));
        check(".env.production", "", Some(".env.production"));
        check("a/id_rsa", "", Some("id_rsa"));
        for near in [".env.example", ".environment", "env", "aws/credentials", "id_rsa.pub", "monkey", ".pem"]
        {
            check(near, "", None);
        }
    }

    #[test]
    fn the_content_decides_on_keys() {
        let pem = |label: &str| format!("text\n-----BEGIN {label}-----\nMII\n-----END {label}-----\n");
        for name in ["ca-bundle.pem", "public.key", "notes.txt"] {
            check(name, &pem("CERTIFICATE"), None);
            check(name, &pem("PUBLIC KEY"), None);
            check(name, &pem("ENCRYPTED PRIVATE KEY"), Some(name));
            check(name, &(pem("CERTIFICATE") + &pem("RSA PRIVATE KEY")), Some(name));
            check(name, "-----BEGIN PGP PRIVATE KEY BLOCK-----", Some(name));
            check(name, &format!("\x7fELF{}", pem("PRIVATE KEY")), None);
        }
        check("server.pem", "\u{1}binary", Some("server.pem"));
        check("server.txt", "the PRIVATE KEY-----", None);
    }
}
