//! Files that go into a bundle beside the program and its libraries: what was asked for, and by what name.
//!
//! This part knows paths as text; [`crate::disk::include`] looks at the files. A pattern has `/` between its parts
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
    /// A file, a directory with all that is in it, or a pattern of files.
    pub from: String,
    /// Where it goes: a file's name, or for all else a directory. With a slash at its end always a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `0755` or `0644`, whatever the files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Patterns of files and directories to leave out: of a name if there is no slash in it, else of a path
    /// below the directory that is included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Where `from` starts; empty for the current directory.
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
        // A pattern may begin like an object, but is none.
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
            exclude: Vec::new(),
            directory: Utf8PathBuf::new(),
        })
    }
}

/// A file that is to be in the bundle, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its name in the archive.
    pub name: String,
    /// The file, absolute.
    pub source: Utf8PathBuf,
    /// What it holds.
    pub content: archive::Content,
    /// Its mode in the archive.
    pub mode: Mode,
    /// The include that brought it, as it was written.
    pub by: String,
    /// Its own path was written, not a pattern or a directory around it.
    pub is_named: bool,
}

/// An include, taken apart and checked.
pub struct Selector {
    /// As it was written, for messages.
    pub shown: String,
    /// The file or directory that everything is found in, absolute.
    pub root: Utf8PathBuf,
    /// What is taken of a directory; empty for everything.
    parts: Vec<PathPart>,
    /// Matches a whole path below the root; `None` for everything.
    pattern: Option<GlobMatcher>,
    exclude: Vec<(bool, GlobMatcher)>,
    /// The mode that was asked for.
    pub mode: Option<Mode>,
    /// The place in the archive that the path below the root follows; empty for its root.
    place: String,
    /// A single file goes into the place, not by its name.
    is_directory: bool,
}

enum PathPart {
    /// `**`.
    Any,
    Name(GlobMatcher),
}

impl Selector {
    /// Takes an include apart.
    ///
    /// # Errors
    ///
    /// What is no pattern, a mode that no archive of ours has, and a place that would leave the archive.
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
            let matcher = glob(text.trim_end_matches('/'))?;
            Ok((text.trim_end_matches('/').contains('/'), matcher))
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
            exclude: include.exclude.iter().map(exclude).collect::<Result<_>>()?,
            mode,
            place,
            is_directory,
            shown,
        })
    }

    /// Whether it names one file or directory.
    pub fn is_plain(&self) -> bool {
        self.pattern.is_none()
    }

    /// Whether a file at this path below the root is meant.
    pub fn takes(&self, below: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(below)) && !self.excludes(below)
    }

    /// Whether a directory at this path below the root can have files that are meant.
    pub fn enters(&self, below: &str) -> bool {
        let mut parts = self.parts.iter();
        for name in below.split('/') {
            match parts.next() {
                // Without a pattern everything is.
                None if self.is_plain() => break,
                None => return false,
                Some(PathPart::Any) => break,
                Some(PathPart::Name(glob)) if glob.is_match(name) => {}
                Some(PathPart::Name(_)) => return false,
            }
        }
        !self.excludes(below)
    }

    fn excludes(&self, below: &str) -> bool {
        let name = paths::file_name(below);
        self.exclude.iter().any(|(is_path, glob)| glob.is_match(if *is_path { below } else { name }))
    }

    /// The name in the archive of a file at this path below the root; of the root itself if that is empty.
    ///
    /// # Errors
    ///
    /// A name that no archive of ours can have.
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

/// A path in the archive without its empty and `.` parts; `None` if it leaves the archive.
fn place(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let place = parts.join("/");
    let is_safe = place.is_empty() || archive::name_fault(&place).is_none();
    (is_safe && !path.starts_with('/')).then_some(place)
}

fn outside(shown: &str, to: &str) -> Error {
    Error::usage(format!("`--include {shown}={to}` would leave the archive"))
        .help("name a place in it, relative to its root: without `..`, drive letter or `/` at the beginning")
}

fn no_place(shown: &str) -> Error {
    Error::usage(format!("`--include {shown}` does not say where in the archive it goes"))
        .help(format!("name a place: `--include {shown}=DEST`, in a manifest `to = \"DEST\"`"))
}

/// Names of files and directories that hold secrets more often than not.
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

/// Names that one of [`SUSPICIOUS`] takes in, of files that show what to put there.
const HARMLESS: &[&str] = &[".env.dist", ".env.example", ".env.sample", ".env.template"];

/// Names of keys, and of certificates, which are no secrets.
const KEYS: &[&str] = &["*.key", "*.pem"];

/// The part of a file's path by which it looks like a secret.
///
/// A private key in PEM does by its content, whatever its name is; a certificate or a public key in PEM does not.
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
        // Programs that read keys have the words to look for.
        let is_program = bytes.starts_with(b"\x7fELF");
        (!is_program && (is_key || labels.any(|label| label.contains("PRIVATE KEY")))).then_some(file_name)
    };
    by_name.or_else(by_content)
}

/// What the file has in PEM: `RSA PRIVATE KEY` of `-----BEGIN RSA PRIVATE KEY-----`.
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
