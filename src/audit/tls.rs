//! Libraries that are opened at run time and need thread-local storage in the block that is allocated at start.

use std::cmp::Ordering;

use super::{Code, Finding, Findings, Severity, Subject, chain, label};
use crate::elf::{ElfFacts, Libc, Uses, version};
use crate::lambda::Walked;
use crate::world::Object;

/// The bytes of that block for libraries that are opened later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Surplus {
    /// All of them.
    n_bytes: u64,
    /// Those that TLS descriptors may use.
    optional: u64,
}

impl Surplus {
    /// By the release of a glibc and the value of GLIBC_TUNABLES; tunables that it does not know, or cannot read, do
    /// not count.
    ///
    /// Source: TLS_STATIC_SURPLUS, 64 + 16 * 100, in elf/dl-tls.c of glibc 2.17 and 2.26; `_dl_tls_static_surplus_init`
    /// of 2.32 and later, elf/dl-tunables.list for the limits, and `_dl_strtoul` for the numbers.
    fn of(glibc: &str, tunables: &str) -> Surplus {
        let (mut namespaces, mut optional) = (4, 512);
        if version::compare_numbers(glibc, "2.32") != Ordering::Less {
            for (name, value) in tunables.split(':').filter_map(|tunable| tunable.split_once('=')) {
                match (name, number(value)) {
                    ("glibc.rtld.nns", Some(value @ 1..=16)) => namespaces = value,
                    ("glibc.rtld.optional_static_tls", Some(value)) => optional = value,
                    _ => {}
                }
            }
        }
        // LIBC_IE_TLS and OTHER_IE_TLS for each namespace; LEGACY_TLS stands for LIBC_IE_TLS of the first.
        let of_namespaces = namespaces * (144 + 144);
        Surplus { n_bytes: optional.saturating_add(of_namespaces), optional }
    }
}

/// A number in C's notation.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// The bytes that rounding up the block may add: its alignment less one byte. 48 were seen with glibc 2.36.
const ROUNDING: u64 = 63;
/// The alignment of the block, unless an object that is loaded at start needs more (TCB_ALIGNMENT).
const ALIGN: u64 = 64;

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
    let surplus = Surplus::of(&subject.lambda.baseline.glibc, &subject.lambda.tunables);
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
            if elf.tls.align > align || used + size > surplus.n_bytes {
                findings.add(finding(
                    subject,
                    walked,
                    index,
                    surplus.n_bytes.saturating_sub(used),
                    elf.tls.align > align,
                ));
                continue;
            }
            used += size;
        } else if elf.tls.has_descriptors && elf.tls.align <= align && optional + size <= surplus.optional {
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
    let how = match is_misaligned {
        true => format!(" at multiples of {}", tls.align),
        false => format!(", and {left} are left"),
    };
    let n_bytes = tls.n_bytes;
    let may_fit = !is_misaligned && tls.n_bytes <= left + ROUNDING;
    let (cannot, fails) = if may_fit { ("may not open", "may fail") } else { ("cannot be opened", "fails") };
    let message = format!("`{name}` {cannot}: it needs {n_bytes} bytes of static thread-local storage{how}");
    let mut finding = Finding::new(Code::StaticTls, &name, message)
        .detail(format!("dlopen {fails} with \"cannot allocate memory in static TLS block\""))
        .help(format!("link `{name}` to the program, so that it is loaded at start"));
    if may_fit {
        finding.severity = Severity::Warning;
        finding.leaves_open = true;
    }
    finding.chain = chain(subject, &walked.closure, index);
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(glibc: &str, tunables: &str, n_bytes: u64, optional: u64) {
        assert_eq!(Surplus::of(glibc, tunables), Surplus { n_bytes, optional }, "{glibc} {tunables}");
    }

    #[test]
    fn the_surplus_follows_the_tunables() {
        check("2.26", "", 1664, 512);
        check("2.34", "", 1664, 512);
        check("2.34", "glibc.rtld.optional_static_tls=2000", 3152, 2000);
        check("2.34", "glibc.malloc.check=3:glibc.rtld.optional_static_tls=0x10", 1168, 16);
        check("2.34", "glibc.rtld.nns=5:glibc.rtld.optional_static_tls=010", 1448, 8);
        // The last one of several counts.
        check("2.34", "glibc.rtld.nns=1:glibc.rtld.nns=16", 5120, 512);
    }

    #[test]
    fn tunables_that_glibc_cannot_read_do_not_count() {
        check("2.26", "glibc.rtld.optional_static_tls=2000", 1664, 512);
        check("2.34", "glibc.rtld.nns=17", 1664, 512);
        check("2.34", "glibc.rtld.optional_static_tls=lots", 1664, 512);
        check("2.34", "rtld.optional_static_tls=2000", 1664, 512);
    }
}
