//! Lints: what the loader does not care about and the function will.
//!
//! The walks prove that a program starts. What is here may fail later: at the first request to the network, or
//! for the lack of a file that no ELF header names. Lints look for traces in the bytes of the program and of
//! the bundle's libraries, so each is a warning or a note, never an error; each says what it saw.
//!
//! Bytes come from a callback, and are asked for only where the facts of a file say that they matter: checking
//! a bundle reads nothing but the headers of most libraries.

mod ca_bundle;
mod cpu;
mod data;
mod dlopen;
mod runtime_api;
mod static_glibc;
mod text;

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::audit::{Finding, Subject};
use crate::elf::{ElfFacts, file_name};
use crate::lambda::{Certainty, Walked};

/// An ELF file of the bundle.
pub struct File<'a> {
    /// How messages call it: the program's name, else the name that is needed.
    pub name: String,
    /// Its facts.
    pub facts: &'a ElfFacts,
    /// Its size in bytes.
    pub size: u64,
    bytes: OnceCell<Cow<'a, [u8]>>,
    read: Box<dyn Fn() -> Cow<'a, [u8]> + 'a>,
}

impl<'a> File<'a> {
    /// A file whose bytes `read` gives when they are asked for; none where they cannot be had.
    pub fn new(
        name: impl Into<String>,
        facts: &'a ElfFacts,
        size: u64,
        read: impl Fn() -> Cow<'a, [u8]> + 'a,
    ) -> File<'a> {
        File { name: name.into(), facts, size, bytes: OnceCell::new(), read: Box::new(read) }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get_or_init(&self.read)
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
