//! Programs that are linked statically to glibc and ask it for names of hosts, users or services.
//!
//! What answers is another library: glibc opens `libnss_*.so` at run time, as `nsswitch.conf` says, and those want the
//! very glibc that the program was linked with. On another system the call fails or the program crashes. musl answers
//! by itself.
//!
//! `dlopen` has the same fault, but no table tells of it: iconv brings it into every static program.

use super::{Code, Finding};
use crate::elf::{ElfFacts, Libc, Linkage, linked};

/// A finding if a static program has functions of glibc that open libraries.
pub fn static_nss(name: &str, facts: &ElfFacts, bytes: &[u8]) -> Option<Finding> {
    if !matches!(facts.linkage(), Linkage::Static | Linkage::StaticPie) || facts.libc() != Libc::Glibc {
        return None;
    }
    let found: Vec<&str> =
        linked::functions(bytes, |name| OPEN_LIBRARIES.contains(&name)).into_iter().collect();
    if found.is_empty() {
        return None;
    }
    let message = format!(
        "`{name}` is linked statically to glibc, and these functions open libraries of the very glibc it was linked \
         with: {}",
        found.join(", ")
    );
    let finding = Finding::new(Code::StaticGlibcNss, name, message);
    Some(finding.help("link it to glibc dynamically, or statically to musl, which needs no library for that"))
}

/// Those of which GNU ld warns that they need shared libraries at run time, as far as programs call them.
///
/// Source: the `.gnu.warning.*` sections in the `libc.a` of glibc 2.36.
const OPEN_LIBRARIES: [&str; 26] = [
    "getaddrinfo",
    "getgrent",
    "getgrgid",
    "getgrgid_r",
    "getgrnam",
    "getgrnam_r",
    "getgrouplist",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname2",
    "gethostent",
    "getnetbyaddr",
    "getnetbyname",
    "getprotobyname",
    "getprotobynumber",
    "getpwent",
    "getpwnam",
    "getpwnam_r",
    "getpwuid",
    "getpwuid_r",
    "getrpcbyname",
    "getrpcbynumber",
    "getservbyname",
    "getservbyport",
    "getspnam",
    "initgroups",
];
