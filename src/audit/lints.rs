//! Lints: what the loader does not care about and the function will.
//!
//! The walks prove that a program starts. What is here may fail later: at the first request to the network, or
//! for the lack of a file that no ELF header names. Lints look for traces in the bytes of the program and of
//! the bundle's libraries, so each is a warning or a note, never an error; each says what it saw.
//!
//! Bytes come from a callback, and are asked for only where the facts of a file say that they matter: checking
//! a bundle reads nothing but the headers of most libraries. A program is searched once, piece by piece, for all the
//! texts that lints ask it for; a lint that looks closer has all its bytes.

mod ca_bundle;
mod cpu;
mod data;
mod dlopen;
mod runtime_api;
mod secrets;
mod static_glibc;
mod text;

pub use secrets::secrets;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use super::Code;
use crate::audit::{Finding, Subject};
use crate::elf::ElfFacts;
use crate::lambda::{Certainty, Walked};
use crate::layout::BundleKind;
use crate::paths::file_name;

/// An ELF file of the bundle.
pub struct File<'a> {
    /// How messages call it: the program's name, else the name that is needed.
    pub name: String,
    /// Its facts.
    pub facts: &'a ElfFacts,
    /// Its size in bytes.
    pub size: u64,
    bytes: OnceCell<Cow<'a, [u8]>>,
    marks: OnceCell<[bool; MARKS.len()]>,
    read: Box<dyn Fn(Range<u64>) -> Cow<'a, [u8]> + 'a>,
}

/// The texts that are looked for.
const MARKS: [&str; 7] = [
    ca_bundle::PLACE,
    ca_bundle::OPENSSL,
    cpu::OPTIONS[0],
    cpu::OPTIONS[1],
    runtime_api::SIGNS[0],
    runtime_api::SIGNS[1],
    runtime_api::PACKED,
];

impl<'a> File<'a> {
    /// A file of which `read` gives the bytes that are asked for; fewer where they cannot be had.
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

    /// Whether it holds one of [`MARKS`].
    fn holds(&self, mark: &str) -> bool {
        let marks = self.marks.get_or_init(|| {
            let pieces = self.pieces(64);
            text::which(MARKS, pieces.map(|(piece, _)| piece))
        });
        MARKS.iter().zip(marks).any(|(known, found)| *known == mark && *found)
    }

    /// The first text, as C ends it, that holds `wanted` and is it.
    fn c_string(&self, wanted: &str, is_it: impl Fn(&str) -> bool) -> Option<String> {
        self.pieces(text::MAX_TEXT).find_map(|(piece, own)| {
            let mut found = text::c_strings(&piece, own, wanted);
            found.find(|text| is_it(text)).map(str::to_owned)
        })
    }

    /// All of it, piece by piece, each with `more` bytes of those around it, and where it is in them.
    fn pieces(&self, more: usize) -> impl Iterator<Item = (Cow<'a, [u8]>, Range<usize>)> {
        const PIECE: u64 = 1 << 18;
        (0..self.size).step_by(PIECE as usize).map(move |start| {
            let from = start.saturating_sub(more as u64);
            let own = (start - from) as usize..(start - from + PIECE) as usize;
            ((self.read)(from..self.size.min(start + PIECE + more as u64)), own)
        })
    }

    /// Whether it asks another object for this function.
    fn imports(&self, function: &str) -> bool {
        let symbols = &self.facts.symbols;
        symbols.iter().any(|symbol| !symbol.defined && symbols.name_bytes(symbol) == function.as_bytes())
    }

    /// Whether the name is that of a library, whatever its version: `libz` for `libz.so.1`.
    fn is_library(&self, stem: &str) -> bool {
        self.name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(".so") || rest.starts_with('-'))
    }
}

/// What the lints look at.
struct Scene<'a, 'f> {
    subject: &'a Subject<'a>,
    walks: &'a [Walked],
    program: &'a File<'f>,
    libraries: &'a [File<'f>],
}

impl<'f> Scene<'_, 'f> {
    /// The program and the bundle's libraries.
    fn files(&self) -> impl Iterator<Item = &File<'f>> {
        std::iter::once(self.program).chain(self.libraries)
    }

    fn is_program(&self, file: &File) -> bool {
        std::ptr::eq(file.facts, self.program.facts)
    }

    /// Whether a library of this name is in the process, in the bundle or on the runtime.
    fn has(&self, soname: &str) -> bool {
        let loaded = |walked: &Walked| {
            walked.closure.objects.iter().any(|object| object.names.iter().any(|name| name == soname))
        };
        self.walks.iter().any(loaded)
            || self.has_member(|path| file_name(path) == soname)
            || self.subject.lambda.certainty(soname) == Certainty::Present
    }

    /// Whether the bundle has a file with such a path.
    fn has_member(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.subject.members.iter().any(|member| is_it(&member.path))
    }
}

/// What the program and the bundle's libraries show; `walks` are those that were audited.
pub fn lint<'f>(
    subject: &Subject,
    walks: &[Walked],
    program: &File<'f>,
    libraries: &[File<'f>],
) -> Vec<Finding> {
    // Of another machine's program nothing but its header is read.
    if program.facts.arch() != Some(subject.lambda.arch()) {
        return Vec::new();
    }
    let scene = Scene { subject, walks, program, libraries };
    let mut findings = dlopen::lint(&scene);
    findings.extend(ca_bundle::lint(&scene));
    findings.extend(cpu::lint(&scene));
    findings.extend(data::lint(&scene));
    findings.extend(static_glibc::lint(&scene));
    findings.extend(runtime_api::lint(&scene));
    findings
}

/// Only a function asks for requests by itself.
pub fn of_kind(mut findings: Vec<Finding>, kind: BundleKind) -> Vec<Finding> {
    findings.retain(|finding| kind == BundleKind::Function || finding.code != Code::NotARuntime);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_is() {
        let facts = ElfFacts::default();
        let mark = MARKS[0];
        for at in [0, (1 << 18) - 5, 1 << 18, (1 << 19) + 9, (1 << 19) + 100 - mark.len()] {
            let mut bytes = vec![b'/'; (1 << 19) + 100];
            bytes[at..at + mark.len()].copy_from_slice(mark.as_bytes());
            let part = |range: Range<u64>| Cow::Borrowed(&bytes[range.start as usize..range.end as usize]);
            let file = File::new("program", &facts, bytes.len() as u64, part);
            assert!(file.holds(mark), "{at}");
            assert!(!file.holds(MARKS[1]) && !file.holds("of no lint"), "{at}");
        }
    }
}
