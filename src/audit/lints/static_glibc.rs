//! `static-glibc-nss`: a static program with glibc that will open shared objects of another glibc.

use super::{File, Scene, text};
use crate::audit::{Code, Finding};
use crate::elf::{Libc, Linkage, sections};

/// Functions that use the name service switch, which loads its modules with dlopen.
///
/// Source: the functions for which GNU ld warns ("in statically linked applications requires at runtime the
/// shared libraries from the glibc version used for linking"), the reentrant forms left out.
const NSS: &[&str] = &[
    "getaddrinfo",
    "gethostbyname",
    "gethostbyaddr",
    "getpwnam",
    "getpwuid",
    "getpwent",
    "getgrnam",
    "getgrgid",
    "getgrent",
    "getgrouplist",
    "initgroups",
    "getservbyname",
    "getservbyport",
    "getprotobyname",
    "getnetbyname",
];

/// iconv loads its character set modules in the same way. (`dlopen` itself is in every static program, because of
/// stdio.)
const ICONV: &str = "iconv_open";

pub fn lint(scene: &Scene) -> Option<Finding> {
    let program = scene.program;
    if !matches!(program.facts.linkage(), Linkage::Static | Linkage::StaticPie)
        || program.facts.libc() != Libc::Glibc
    {
        return None;
    }
    let mut functions = functions(program.bytes());
    functions.sort_unstable();
    functions.dedup();
    let uses = if !functions.is_empty() {
        format!("uses {} of glibc", functions.join(", "))
    } else if asks_nss(program) {
        "resolves names with glibc (it names /etc/nsswitch.conf and libnss_*)".to_owned()
    } else {
        return None;
    };
    let message = format!(
        "`{}` is a static program that may open modules of the runtime's glibc {}",
        program.name, scene.subject.lambda.baseline.glibc
    );
    Some(
        Finding::new(Code::StaticGlibcNss, &program.name, message)
            .detail(format!("it {uses}; the modules work only with their own build of glibc"))
            .help(
                "link glibc dynamically (without `-static` or `+crt-static`), or build for a `-musl` target",
            ),
    )
}

/// Returns these functions if `.symtab` has them.
fn functions(bytes: &[u8]) -> Vec<&'static str> {
    let known = |name: &[u8]| {
        let name = name.strip_suffix(b"_r").unwrap_or(name);
        NSS.iter().chain([&ICONV]).find(|known| known.as_bytes() == name).copied()
    };
    sections::defined_symbols(bytes).filter_map(known).collect()
}

/// Whether the texts of the name service switch are present; a stripped program has them, too.
fn asks_nss(program: &File) -> bool {
    let (bytes, places) = (program.bytes(), program.constants());
    let constants = || places.iter().filter_map(|place| bytes.get(place.start as usize..place.end as usize));
    let has = |wanted| constants().any(|constants| text::holds(constants, wanted));
    has("/etc/nsswitch.conf") && has("libnss_")
}
