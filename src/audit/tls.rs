//! Libraries that are opened at run time and want their thread-local storage in the block that was made at start.

use super::{Code, Finding, Findings, Subject, chain, label};
use crate::elf::{DF_STATIC_TLS, Libc};
use crate::lambda::Walked;
use crate::world::Object;

/// What glibc leaves in that block for libraries that come later, in bytes. Rounding may leave some more.
///
/// Source: TLS_STATIC_SURPLUS, 64 + 16 * 100, in elf/dl-tls.c of glibc 2.17 and 2.26; 2.34 computes it from its
/// tunables, to the same number by default (`_dl_tls_static_surplus_init`).
const SURPLUS: u64 = 1664;

/// Adds a finding for each library that finds no room left by those opened before it.
pub(super) fn findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    // musl makes room for each library anew.
    if walked.libc() == Libc::Musl {
        return;
    }
    let closure = &walked.closure;
    let mut left = SURPLUS;
    for (index, object) in closure.objects.iter().enumerate().filter(|(index, _)| closure.is_opened(*index)) {
        let Object::Elf(elf) = &object.file.object else { continue };
        if elf.flags & DF_STATIC_TLS == 0 || elf.tls_bytes == 0 {
            continue;
        }
        match left.checked_sub(elf.tls_bytes) {
            Some(rest) => left = rest,
            None => {
                let name = label(subject, closure, index);
                let message = format!(
                    "`{name}` wants {} bytes of static thread-local storage when it is opened, and {left} are left; dlopen fails with \"cannot allocate memory in static TLS block\"",
                    elf.tls_bytes
                );
                let mut finding = Finding::new(Code::StaticTls, &name, message)
                    .help(format!("link `{name}` to the program, so that it is loaded at start"));
                finding.chain = chain(subject, closure, index);
                findings.add(finding);
            }
        }
    }
}
