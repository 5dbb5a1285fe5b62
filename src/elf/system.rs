//! The operating system that a shared library was built for.

use super::{Arch, ElfFacts};

impl ElfFacts {
    /// The name of the operating system, if it is not Linux with glibc or musl.
    ///
    /// Files for Android have the same EI_OSABI as those for Linux. Its C library has the SONAME `libc.so` as musl has
    /// it, with the version nodes `LIBC`, `LIBC_N` and so on; musl has no versions. The C libraries of the BSDs have
    /// numbers of their own.
    ///
    /// Source: the values of EI_OSABI in glibc's elf/elf.h; libc/libc.map.txt in Android's bionic; SHLIB_MAJOR in
    /// lib/libc of FreeBSD and NetBSD.
    pub fn other_system(&self) -> Option<&'static str> {
        match self.os_abi {
            0 | 3 => {}
            2 => return Some("NetBSD"),
            6 => return Some("Solaris"),
            9 => return Some("FreeBSD"),
            12 => return Some("OpenBSD"),
            _ => return Some("another system than Linux"),
        }
        let needs = |name: &str| self.needed.iter().any(|needed| needed == name);
        let is_bionic = |node: &str| node == "LIBC" || node.starts_with("LIBC_");
        let is_android = needs("liblog.so")
            || needs("libandroid.so")
            || self.verneed.iter().any(|need| need.file == "libc.so" && is_bionic(&need.node));
        match () {
            () if needs("libc.so") && is_android => Some("Android"),
            () if needs("libc.so.7") => Some("FreeBSD"),
            () if needs("libc.so.12") => Some("NetBSD"),
            () => None,
        }
    }

    /// The machine for messages: Lambda's word for it, or the machine's name.
    pub fn arch_name(&self) -> String {
        self.arch().map_or_else(|| self.machine_name(), |arch: Arch| arch.as_str().to_owned())
    }
}
