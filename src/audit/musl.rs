//! What glibc's loader supports and musl's does not: packed relative relocations before 1.2.4, indirect functions,
//! static thread-local storage of libraries that are opened later, segments whose offset and address disagree.
//!
//! Source: `do_relocs`, `do_relr_relocs` and `map_library` in musl's ldso/dynlink.c.

use super::tls::reaches_others;
use super::{Code, Finding, Findings, RELR_HELP, Subject, chain, label};
use crate::elf::{Alignment, ElfFacts, Libc, Linkage};
use crate::lambda::Walked;
use crate::loader::Rule;

/// Adds a finding for each object in a process of musl that needs one of these.
pub(super) fn findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    if walked.libc() != Libc::Musl {
        return;
    }
    let closure = &walked.closure;
    for (index, object) in closure.objects.iter().enumerate() {
        let Some(elf) = object.file.object.elf() else { continue };
        // The loader relocates itself, and so does a static program.
        if object.rule == Rule::Interpreter || (index == 0 && elf.linkage() == Linkage::StaticPie) {
            continue;
        }
        let name = label(subject, closure, index);
        let make = |code, message| Finding {
            chain: chain(subject, closure, index),
            ..Finding::new(code, &name, message)
        };
        if elf.has_relr && walked.own_interpreter().is_some_and(is_before_1_2_4) {
            let message = format!(
                "`{name}` has packed relative relocations (DT_RELR), which the bundle's musl ignores, because it is older than 1.2.4: it crashes at start"
            );
            findings.add(make(Code::RelrUnsupported, message).help(RELR_HELP));
        }
        if index > 0 && elf.alignment >= Alignment::Broken {
            let message = format!(
                "`{name}` has a segment whose address and offset do not agree modulo the page size; musl maps other bytes there, and the program crashes"
            );
            findings.add(make(Code::NotElf, message).help("link it with `-z max-page-size=4096`".to_owned()));
        }
        if elf.is_beyond_musl {
            let message = format!(
                "`{name}` has a relocation of a type that musl's loader does not know, such as for an indirect function (`ifunc`); loading fails with \"unsupported relocation type\""
            );
            findings
                .add(make(Code::NotElf, message).help(format!("build `{name}` for musl, without `ifunc`")));
        }
        if reaches_what_comes_later(walked, index, elf) {
            let message = format!(
                "`{name}` needs static thread-local storage when it is opened, but musl has it only for libraries that are loaded at start; dlopen fails with \"initial-exec TLS resolves to dynamic definition\""
            );
            let help = format!("link `{name}` to the program, so that it is loaded at start");
            findings.add(make(Code::StaticTls, message).help(help));
        }
    }
}

/// Whether an opened library uses static thread-local storage of its own, or of another library that is opened with
/// it.
fn reaches_what_comes_later(walked: &Walked, index: usize, elf: &ElfFacts) -> bool {
    let objects = &walked.closure.objects;
    let Some(opening) = objects[index].opening.filter(|_| elf.tls.is_static) else { return false };
    let mut with_it = objects.iter().filter(|other| other.opening == Some(opening));
    let has_some = |elf: &ElfFacts| elf.tls.n_bytes > 0;
    has_some(elf)
        || (reaches_others(elf) && with_it.any(|other| other.file.object.elf().is_some_and(has_some)))
}

/// Whether a musl is older than 1.2.4, which added DT_RELR and removed the names for large files.
///
/// Source: WHATSNEW of musl, 1.2.4.
fn is_before_1_2_4(libc: &ElfFacts) -> bool {
    !libc.has_relr
        && libc.symbols.iter().any(|symbol| symbol.defined && libc.symbols.name(symbol) == "open64")
}
