//! The tags in the names of Python's extension modules.

use std::fmt;

use crate::elf::Arch;

/// A version 3.N of Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PythonVersion(u32);

impl PythonVersion {
    /// Reads `3.12`.
    pub fn parse(text: &str) -> Option<PythonVersion> {
        text.strip_prefix("3.")?.parse().ok().map(PythonVersion)
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// Returns what a module is for, after "is", if its name has a tag that this Python does not import.
///
/// A Python tries the endings with its own tag, `.abi3.so` and `.so`. The tag is its SOABI: implementation, version,
/// flags (`m` before 3.8, `d` for debugging, `t` without the lock), machine, system, C library.
///
/// Source: `_PyImport_DynLoadFiletab` in CPython's Python/dynload_shlib.c, and SOABI in its configure.ac.
pub(super) fn other_tag(file: &str, version: PythonVersion, arch: Arch) -> Option<String> {
    let mut parts = file.rsplit('.');
    match parts.next() {
        Some("so") => {}
        Some("pyd") => return Some("for Windows".to_owned()),
        _ => return None,
    }
    let tag = parts.next()?;
    // The first part is the module's name.
    parts.next()?;
    if tag.starts_with("pypy") {
        return Some("for PyPy".to_owned());
    }
    if tag.starts_with("graalpy") {
        return Some("for GraalPy".to_owned());
    }
    let (digits, platform) = tag.strip_prefix("cpython-")?.split_once('-').unwrap_or((&tag[8..], ""));
    let flags = if version.0 < 8 { "m" } else { "" };
    let own = format!("3{}{flags}", version.0);
    if digits != own {
        let other = digits.strip_prefix('3').map_or(digits.to_owned(), |minor| format!("3.{minor}"));
        return Some(format!("for CPython {other}"));
    }
    let own = format!("{}-linux-gnu", arch.gnu_name());
    (platform != own).then(|| format!("named for `{platform}`"))
}

#[cfg(test)]
mod tests {
    use super::{PythonVersion, other_tag};
    use crate::elf::Arch;

    #[test]
    fn a_tag_is_of_one_version_and_one_platform() {
        let check = |file: &str, what: Option<&str>| {
            let answer = other_tag(file, PythonVersion(12), Arch::X86_64);
            assert_eq!(answer.as_deref(), what, "{file}");
        };
        for file in [
            "m.cpython-312-x86_64-linux-gnu.so",
            "m.abi3.so",
            "m.so",
            "libx.so.1",
            "liba.b.so",
            "cpython-311.so",
        ] {
            check(file, None);
        }
        check("m.cpython-311-x86_64-linux-gnu.so", Some("for CPython 3.11"));
        check("m.cpython-312d-x86_64-linux-gnu.so", Some("for CPython 3.12d"));
        check("m.cpython-313t-x86_64-linux-gnu.so", Some("for CPython 3.13t"));
        check("m.cpython-37m-x86_64-linux-gnu.so", Some("for CPython 3.7m"));
        check("m.cpython-312-x86_64-linux-musl.so", Some("named for `x86_64-linux-musl`"));
        check("m.cpython-312-aarch64-linux-gnu.so", Some("named for `aarch64-linux-gnu`"));
        check("m.cpython-312-darwin.so", Some("named for `darwin`"));
        check("m.pypy310-pp73-x86_64-linux-gnu.so", Some("for PyPy"));
        check("m.cp312-win_amd64.pyd", Some("for Windows"));
        let old = other_tag("m.cpython-37m-x86_64-linux-gnu.so", PythonVersion(7), Arch::X86_64);
        assert_eq!(old, None);
    }
}
