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
        let make = |code, message: String, detail: &str| Finding {
            chain: chain(subject, closure, index),
            ..Finding::new(code, &name, message).detail(detail)
        };
        if elf.has_relr && walked.own_interpreter().is_some_and(is_before_1_2_4) {
            let message = format!("`{name}` crashes at start: the bundle's musl ignores DT_RELR");
            let detail = "its relative relocations are packed (DT_RELR), which needs musl 1.2.4 or newer";
            findings.add(make(Code::RelrUnsupported, message, detail).help(RELR_HELP));
        }
        if index > 0 && elf.alignment >= Alignment::Broken {
            let message = format!("`{name}` crashes: musl maps other bytes into one of its segments");
            let detail = "the segment's address and offset do not agree modulo the page size";
            findings.add(make(Code::NotElf, message, detail).help("link it with `-z max-page-size=4096`"));
        }
        if elf.is_beyond_musl {
            let message =
                format!("`{name}` has a relocation that musl's loader does not know, such as for an `ifunc`");
            let detail = "loading fails with \"unsupported relocation type\"";
            let help = format!("build `{name}` for musl, without indirect functions (`ifunc`)");
            findings.add(make(Code::NotElf, message, detail).help(help));
        }
        if reaches_what_comes_later(walked, index, elf) {
            let message = format!(
                "`{name}` cannot be opened: musl has static thread-local storage only for libraries loaded at start"
            );
            let detail = "dlopen fails with \"initial-exec TLS resolves to dynamic definition\"";
            let help = format!("link `{name}` to the program, so that it is loaded at start");
            findings.add(make(Code::StaticTls, message, detail).help(help));
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
