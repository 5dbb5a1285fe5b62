//! Lints: problems that the loader ignores and the function will meet.
//!
//! The walks prove that a program starts. The lints report what may fail later: at the first request to the network,
//! or for lack of a file that no ELF header names. They look for traces in the bytes of the program and of the
//! bundle's libraries, so each finding is a warning or a note, never an error, and says what was seen.
//!
//! Bytes come from a callback, which is called only if a file's facts say that they matter: checking a bundle reads
//! only the headers of most libraries. A program is searched once, piece by piece, for all texts of all lints; a lint
//! that needs more reads all bytes.

mod ca_bundle;
mod cpu;
mod data;
mod dlopen;
mod library_names;
mod runtime_api;
mod secrets;
mod static_glibc;
mod text;

pub use cpu::{RustcFlag, generated};
pub use dlopen::{LINK_DYNAMICALLY, is_static_musl};
pub use secrets::{secrets, strangers, unstored};

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use crate::archive::BOOTSTRAP;
use crate::audit::{Finding, Subject};
use crate::elf::{self, ElfFacts};
use crate::lambda::{Certainty, Walked};
use crate::layout::BundleKind;
use crate::paths::file_name;

/// An ELF file of the bundle.
pub struct File<'a> {
    /// The name in messages: the program's name, else the name that is needed.
    pub name: String,
    /// The facts of the file.
    pub facts: &'a ElfFacts,
    /// The size in bytes.
    pub size: u64,
    bytes: OnceCell<Cow<'a, [u8]>>,
    marks: OnceCell<[bool; MARKS.len()]>,
    read: Box<dyn Fn(Range<u64>) -> Cow<'a, [u8]> + 'a>,
}

/// The texts to search for.
const MARKS: [&str; 10] = [
    ca_bundle::PLACE,
    ca_bundle::OPENSSL,
    cpu::OPTIONS[0],
    cpu::OPTIONS[1],
    runtime_api::SIGNS[0],
    runtime_api::SIGNS[1],
    runtime_api::REGISTRATION,
    runtime_api::PACKED,
    dlopen::NOT_SUPPORTED,
    data::GIT_HELPER,
];

impl<'a> File<'a> {
    /// Describes a file. `read` returns the requested bytes, or fewer if they cannot be read.
    pub fn new(
        name: impl Into<String>,
        facts: &'a ElfFacts,
        size: u64,
        read: impl Fn(Range<u64>) -> Cow<'a, [u8]> + 'a,
    ) -> File<'a> {
        let (bytes, marks) = (OnceCell::new(), OnceCell::new());
        File { name: name.into(), facts, size, bytes, marks, read: Box::new(read) }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get_or_init(|| (self.read)(0..self.size))
    }

    /// Whether the file contains this one of [`MARKS`].
    fn holds(&self, mark: &str) -> bool {
        let marks = self.marks.get_or_init(|| {
            let pieces = self.pieces(0..self.size, 64);
            text::which(MARKS, pieces.map(|(piece, _)| piece))
        });
        MARKS.iter().zip(marks).any(|(known, found)| *known == mark && *found)
    }

    /// Returns the first NUL-terminated text that contains `wanted` and for which `is_match` is true.
    fn c_string(&self, wanted: &str, is_match: impl Fn(&str) -> bool) -> Option<String> {
        self.pieces(0..self.size, text::MAX_TEXT).find_map(|(piece, own)| {
            let mut found = text::c_strings(&piece, own, wanted);
            found.find(|text| is_match(text)).map(str::to_owned)
        })
    }

    /// Returns the places of what the program never writes, see [`elf::constants`].
    fn constants(&self) -> Vec<Range<u64>> {
        elf::constants(self.size, |range| Some((self.read)(range).into_owned()))
    }

    /// Returns a part of the file in pieces, each with `more` bytes of that part on either side, and the position of the
    /// piece in these bytes.
    fn pieces(
        &self,
        part: Range<u64>,
        more: usize,
    ) -> impl Iterator<Item = (Cow<'a, [u8]>, Range<usize>)> + use<'_, 'a> {
        /// It stays in a processor's cache.
        const PIECE: u64 = 1 << 16;
        part.clone().step_by(PIECE as usize).map(move |start| {
            let from = start.saturating_sub(more as u64).max(part.start);
            let own = (start - from) as usize..(start - from + PIECE) as usize;
            ((self.read)(from..part.end.min(start + PIECE + more as u64)), own)
        })
    }

    /// Whether the file imports this function.
    fn imports(&self, function: &str) -> bool {
        let symbols = &self.facts.symbols;
        symbols.iter().any(|symbol| !symbol.defined && symbols.name_bytes(symbol) == function.as_bytes())
    }

    /// Whether this is the name of the library `stem` in any version: `libz` matches `libz.so.1`, `libpython3`
    /// matches `libpython3.11.so.1.0`.
    fn is_library(&self, stem: &str) -> bool {
        self.name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-']))
    }
}

/// The files and walks that the lints examine.
struct Scene<'a, 'f> {
    subject: &'a Subject<'a>,
    walks: &'a [Walked],
    program: &'a File<'f>,
    libraries: &'a [File<'f>],
    others: &'a [File<'f>],
    kind: BundleKind,
    started_as: StartedAs,
    /// Whether the build world has a library of this name.
    in_build_world: &'a dyn Fn(&str) -> bool,
}

impl<'f> Scene<'_, 'f> {
    /// Returns the program and the other programs of the bundle.
    fn programs(&self) -> impl Iterator<Item = &File<'f>> {
        std::iter::once(self.program).chain(self.others)
    }

    /// Returns the program and the bundle's libraries.
    fn files(&self) -> impl Iterator<Item = &File<'f>> {
        std::iter::once(self.program).chain(self.libraries)
    }

    fn is_program(&self, file: &File) -> bool {
        std::ptr::eq(file.facts, self.program.facts)
    }

    /// Whether the process, the bundle or the runtime has a library of this name.
    fn has(&self, soname: &str) -> bool {
        let loaded = |walked: &Walked| {
            walked.closure.objects.iter().any(|object| object.names.iter().any(|name| name == soname))
        };
        self.walks.iter().any(loaded)
            || self.has_member(|path| file_name(path) == soname)
            || self.subject.lambda.certainty(soname) == Certainty::Present
    }

    /// Whether the bundle has a file with a matching path.
    fn has_member(&self, is_match: impl Fn(&str) -> bool) -> bool {
        self.subject.members.iter().any(|member| is_match(&member.path))
    }
}

/// The files that the lints examine, and what they are for.
pub struct LintedFiles<'a, 'f> {
    /// The program.
    pub program: &'a File<'f>,
    /// The bundle's libraries.
    pub libraries: &'a [File<'f>],
    /// The other programs of the bundle, by their names in it.
    pub others: &'a [File<'f>],
    /// The kind of bundle.
    pub kind: BundleKind,
    /// What Lambda starts the program as.
    pub started_as: StartedAs,
}

/// What Lambda starts a program as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedAs {
    /// A function's `bootstrap`.
    Bootstrap,
    /// An extension.
    Extension,
    /// Nothing: another program starts it, such as a `bootstrap` script or the code of a function.
    Nothing,
}

impl StartedAs {
    /// Returns what a program of this name in a bundle is started as.
    pub fn of(kind: BundleKind, name: &str) -> StartedAs {
        match kind {
            BundleKind::Function if name == BOOTSTRAP => StartedAs::Bootstrap,
            BundleKind::Extension => StartedAs::Extension,
            BundleKind::Function | BundleKind::Layer => StartedAs::Nothing,
        }
    }
}

/// Runs all lints on a program and its bundle's libraries; `walks` are the audited ones. `in_build_world` says whether
/// the build world has a library of this name.
pub fn lint(
    subject: &Subject,
    walks: &[Walked],
    files: &LintedFiles,
    in_build_world: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let LintedFiles { program, libraries, others, kind, started_as } = *files;
    // Of a program for another architecture only the header was parsed.
    if program.facts.arch() != Some(subject.lambda.arch()) {
        return Vec::new();
    }
    let scene = Scene { subject, walks, program, libraries, others, kind, started_as, in_build_world };
    let mut findings = dlopen::lint(&scene);
    findings.extend(ca_bundle::lint(&scene));
    findings.extend(cpu::lint(&scene));
    findings.extend(data::lint(&scene));
    findings.extend(static_glibc::lint(&scene));
    findings.extend(runtime_api::lint(&scene));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_is() {
        let facts = ElfFacts::default();
        let mark = MARKS[0];
        for at in [0, (1 << 16) - 5, 1 << 16, (1 << 17) + 9, (1 << 17) + 100 - mark.len()] {
            let mut bytes = vec![b'/'; (1 << 17) + 100];
            bytes[at..at + mark.len()].copy_from_slice(mark.as_bytes());
            let part = |range: Range<u64>| Cow::Borrowed(&bytes[range.start as usize..range.end as usize]);
            let file = File::new("program", &facts, bytes.len() as u64, part);
            assert!(file.holds(mark), "{at}");
            assert!(!file.holds(MARKS[1]) && !file.holds("of no lint"), "{at}");
        }
    }

    #[test]
    fn a_name_is_found_once_wherever_it_is_in_a_part() {
        let facts = ElfFacts::default();
        let name = "libfnord-2.so.11";
        let part_start = 4096;
        for at in [0, (1 << 16) - 5, (1 << 16) - 16, 1 << 16, (1 << 17) + 9, (1 << 17) + 100 - name.len()] {
            let mut bytes = vec![0; part_start + (1 << 17) + 200];
            bytes[part_start + at..][..name.len()].copy_from_slice(name.as_bytes());
            let part = |range: Range<u64>| Cow::Borrowed(&bytes[range.start as usize..range.end as usize]);
            let file = File::new("program", &facts, bytes.len() as u64, part);
            let names = |part: Range<u64>| -> Vec<String> {
                let pieces = file.pieces(part, library_names::MOST_AROUND);
                pieces.flat_map(|(piece, own)| library_names::library_names(&piece, own)).collect()
            };
            let start = part_start as u64;
            assert_eq!(names(start..start + (1 << 17) + 100), [name], "{at}");
            assert!(
                names(0..start).is_empty() && names(start + (1 << 17) + 100..bytes.len() as u64).is_empty()
            );
        }
    }
}
