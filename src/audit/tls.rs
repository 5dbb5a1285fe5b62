//! Libraries that are opened at run time and need thread-local storage in the block that is allocated at start.

use super::{Code, Finding, Findings, Severity, Subject, chain, label};
use crate::elf::{ElfFacts, Libc, Uses};
use crate::lambda::Walked;
use crate::world::Object;

/// The bytes that glibc reserves in that block for libraries that are opened later.
///
/// Source: TLS_STATIC_SURPLUS, 64 + 16 * 100, in elf/dl-tls.c of glibc 2.17 and 2.26; 2.34 computes it from its
/// tunables, to the same number by default (`_dl_tls_static_surplus_init`).
const SURPLUS: u64 = 1664;
/// The bytes that rounding up the block may add: its alignment less one byte. 48 were seen with glibc 2.36.
const ROUNDING: u64 = 63;
/// The alignment of the block, unless an object that is loaded at start needs more (TCB_ALIGNMENT).
const ALIGN: u64 = 64;
/// The part of the surplus that TLS descriptors may use (rtld.optional_static_tls).
const OPTIONAL: u64 = 512;

/// Adds a finding for each opened library for which no space is left by the libraries opened before it.
///
/// Source: `_dl_try_allocate_static_tls` in glibc's elf/dl-reloc.c.
pub(super) fn findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    // musl allocates space for each library separately, see `audit::musl`.
    if walked.libc() == Libc::Musl {
        return;
    }
    let closure = &walked.closure;
    let elf_of = |index: usize| match &closure.objects[index].file.object {
        Object::Elf(elf) => Some(&**elf),
        Object::System(system) => system.facts.as_deref(),
        Object::Unseen => None,
    };
    let at_start = closure.objects.iter().enumerate().filter(|(index, _)| !closure.is_opened(*index));
    let align = at_start.filter_map(|(index, _)| elf_of(index)).map(|elf| elf.tls.align).max();
    let align = align.unwrap_or(0).max(ALIGN);
    let (mut used, mut optional) = (0, 0);
    for index in (0..closure.objects.len()).filter(|index| closure.is_opened(*index)) {
        let Some(elf) = elf_of(index).filter(|elf| elf.tls.n_bytes > 0) else { continue };
        let is_used = || {
            let opening = closure.objects[index].opening;
            let others =
                (0..closure.objects.len()).filter(|other| closure.objects[*other].opening == opening);
            others.filter_map(elf_of).any(reaches_others)
        };
        let size = elf.tls.n_bytes.next_multiple_of(elf.tls.align.clamp(1, align));
        if elf.tls.is_static || is_used() {
            if elf.tls.align > align || used + size > SURPLUS {
                findings.add(finding(
                    subject,
                    walked,
                    index,
                    SURPLUS.saturating_sub(used),
                    elf.tls.align > align,
                ));
                continue;
            }
            used += size;
        } else if elf.tls.has_descriptors && elf.tls.align <= align && optional + size <= OPTIONAL {
            optional += size;
            used += size;
        }
    }
}

/// Whether an object accesses another object's thread-local storage at a fixed offset.
pub(super) fn reaches_others(elf: &ElfFacts) -> bool {
    let is_reference = |uses: Uses, is_defined: bool| uses.has(Uses::TLS) && !is_defined;
    elf.tls.is_static && elf.symbols.iter().any(|symbol| is_reference(symbol.uses, symbol.defined))
}

fn finding(subject: &Subject, walked: &Walked, index: usize, left: u64, is_misaligned: bool) -> Finding {
    let name = label(subject, &walked.closure, index);
    let tls = walked.closure.objects[index].file.object.elf().map(|elf| elf.tls).unwrap_or_default();
    let wanted = match is_misaligned {
        true => format!("{} bytes at multiples of {}", tls.n_bytes, tls.align),
        false => format!("{} bytes", tls.n_bytes),
    };
    let message = format!(
        "`{name}` needs {wanted} of static thread-local storage when it is opened, but {left} bytes are left; dlopen fails with \"cannot allocate memory in static TLS block\""
    );
    let mut finding = Finding::new(Code::StaticTls, &name, message)
        .help(format!("link `{name}` to the program, so that it is loaded at start"));
    if !is_misaligned && tls.n_bytes <= left + ROUNDING {
        finding.severity = Severity::Warning;
        finding.leaves_open = true;
        finding.message = finding.message.replace("dlopen fails", "dlopen may fail");
    }
    finding.chain = chain(subject, &walked.closure, index);
    finding
}
