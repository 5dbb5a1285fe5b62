//! The Lambda world with the files of a draft as they are after their edits.

use std::sync::Arc;

use super::draft::{Draft, Laid};
use super::edits::compat_path;
use super::{Request, Shipped};
use crate::elf::{self, ElfFacts};
use crate::lambda::{LambdaWorld, Member, MemberContent, Walked};
use crate::repair::{self, Edits, compat_object};

impl Draft {
    /// The walks of every variant, with the files as they are after their edits.
    pub fn walks(&self, request: &Request, lambda: &LambdaWorld, laid: &Laid) -> Vec<Walked> {
        let program = self.program(request, lambda);
        let members = self.members(request, laid);
        request.installed.walks(&request.program_path(), &program, &self.opened(request), &members)
    }

    /// The program after its edits.
    pub fn program(&self, request: &Request, lambda: &LambdaWorld) -> Arc<ElfFacts> {
        let facts = match self.program_edits(request, lambda) {
            Some(edits) => Arc::new(edited(request.facts, &edits)),
            None => request.facts.clone(),
        };
        match request.dlopened_by {
            Some(program) => Arc::new(facts.dlopened_by(program)),
            None => facts,
        }
    }

    /// The names, on Lambda, of the libraries that the user says are opened at run time.
    pub fn libs(&self, request: &Request) -> Vec<String> {
        let renamed = |name: &String| self.renamed(request, request.path, name);
        request.extra.iter().map(|name| renamed(name).unwrap_or_else(|| name.clone())).collect()
    }

    /// All names that are opened at run time.
    pub fn opened(&self, request: &Request) -> Vec<String> {
        let by_libc = self.private.iter().flat_map(|private| private.opened.iter().cloned());
        self.libs(request).into_iter().chain(by_libc).collect()
    }

    /// The files that the draft adds, as the Lambda world sees them.
    pub fn members(&self, request: &Request, laid: &Laid) -> Vec<Member> {
        let content = |library: &Shipped| match (&library.link_to, self.library_edits(request, library)) {
            (Some(target), _) => MemberContent::Link(target.clone()),
            (None, Some(edits)) => MemberContent::Object(Arc::new(edited(&library.facts, &edits))),
            (None, None) => MemberContent::Object(library.facts.clone()),
        };
        let member = |library: &Shipped| Member {
            path: request.layout.path(&library.entry_name(request.layout)),
            content: content(library),
        };
        let compat = self.brings_compat(request).then(|| compat_member(request)).flatten();
        laid.libraries.iter().map(member).chain(compat).collect()
    }

    /// The libraries, each with its edits.
    pub fn edited(&self, request: &Request, laid: Laid) -> Vec<Shipped> {
        let edited = |library: Shipped| Shipped { edits: self.library_edits(request, &library), ..library };
        laid.libraries.into_iter().map(edited).collect()
    }
}

/// The facts of a file after its edits.
fn edited(facts: &ElfFacts, edits: &Edits) -> ElfFacts {
    let Edits { rpath, drop_runpath, interpreter, rename_needed, add_needed, unbind: _, rename_symbols: _ } =
        edits;
    let mut facts = repair::rebound(facts, edits);
    if rpath.is_some() || *drop_runpath {
        facts.runpath = None;
        facts.rpath.clone_from(rpath);
    }
    if interpreter.is_some() {
        facts.interpreter.clone_from(interpreter);
    }
    let renamed = |name: &str| rename_needed.iter().find(|(from, _)| from == name).map(|(_, to)| to.clone());
    for name in &mut facts.needed {
        if let Some(to) = renamed(name) {
            *name = to;
        }
    }
    for need in &mut facts.verneed {
        if let Some(to) = renamed(&need.file) {
            need.file = to;
        }
    }
    facts.needed.extend(add_needed.iter().cloned());
    facts
}

/// The object with missing functions, as a member of the Lambda world.
fn compat_member(request: &Request) -> Option<Member> {
    let facts = elf::parse(&compat_object(request.facts.arch()?));
    let facts = facts.unwrap_or_else(|error| unreachable!("our own object is well-formed: {error}"));
    Some(Member { path: compat_path(request), content: MemberContent::Object(Arc::new(facts)) })
}
