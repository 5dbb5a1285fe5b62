//! What the glibc of a runtime exports: `symbol@node` by library, embedded as sorted text.
//!
//! The lists hold every public symbol of every library they name. They are searched where they lie; nothing
//! is parsed up front.

use crate::elf::Arch;

/// The export lists of one glibc.
#[derive(Debug, Clone, Copy)]
pub struct Exports {
    text: &'static str,
}

/// The lists for a glibc version on an architecture.
pub fn exports(glibc: &str, arch: Arch) -> Option<Exports> {
    let text = match (glibc, arch) {
        ("2.17", Arch::X86_64) => include_str!("glibc-2.17-x86_64.exports"),
        ("2.26", Arch::X86_64) => include_str!("glibc-2.26-x86_64.exports"),
        ("2.26", Arch::Arm64) => include_str!("glibc-2.26-arm64.exports"),
        ("2.34", Arch::X86_64) => include_str!("glibc-2.34-x86_64.exports"),
        ("2.34", Arch::Arm64) => include_str!("glibc-2.34-arm64.exports"),
        _ => return None,
    };
    Some(Exports { text })
}

/// The libraries that the lists speak of. NSS modules and preloadable tools export nothing to link to.
const LISTED: &[&str] = &[
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libthread_db.so.1",
    "libutil.so.1",
];

impl Exports {
    /// Whether every symbol of this library is known.
    pub fn knows(&self, soname: &str) -> bool {
        soname.starts_with("ld-linux") || LISTED.binary_search(&soname).is_ok()
    }

    /// The libraries that export `symbol` under `node`; under any node if that is `None`.
    pub fn libraries(&self, symbol: &str, node: Option<&str>) -> impl Iterator<Item = &'static str> {
        let key = format!("{symbol}@{}", node.unwrap_or_default());
        let exact = node.is_some();
        let mut rest = &self.text[self.first_at_least(&key)..];
        std::iter::from_fn(move || {
            let (line, behind) = rest.split_once('\n')?;
            rest = behind;
            let (entry, libraries) = line.split_once(' ')?;
            let matches = if exact { entry == key } else { entry.starts_with(&key) };
            matches.then_some(libraries)
        })
        .flat_map(|libraries| libraries.split(' '))
    }

    /// The offset of the first line that does not sort before `key`.
    fn first_at_least(&self, key: &str) -> usize {
        let text = self.text.as_bytes();
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = memchr::memrchr(b'\n', &text[..middle]).map_or(0, |at| at + 1);
            let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at + 1);
            let line = &text[start..end];
            let entry = &line[..memchr::memchr(b' ', line).unwrap_or(line.len())];
            // Comments come first in the file, and sort before every symbol.
            if line.starts_with(b"#") || entry < key.as_bytes() {
                low = end;
            } else {
                high = start;
            }
        }
        low
    }

    /// The lines, comments left out: the entry and its libraries. For tests of the data.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{embedded, runtimes};

    #[track_caller]
    fn check(symbol: &str, node: Option<&str>, expected: &[&str]) {
        let exports = exports("2.34", Arch::X86_64).expect("embedded");
        assert_eq!(exports.libraries(symbol, node).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_symbol_is_found_under_its_node() {
        check("fcntl64", Some("GLIBC_2.28"), &["libc.so.6"]);
        check("_Exit", Some("GLIBC_2.2.5"), &["libc.so.6"]);
        check("zzz", Some("GLIBC_2.2.5"), &[]);
        check("", None, &[]);
    }

    #[test]
    fn a_node_without_the_symbol_is_no_answer() {
        check("fcntl64", Some("GLIBC_2.2.5"), &[]);
        check("fcntl6", Some("GLIBC_2.28"), &[]);
    }

    #[test]
    fn any_node_answers_where_none_is_named() {
        check("memcpy", None, &["libc.so.6", "libc.so.6"]);
    }

    #[test]
    fn backports_are_in_the_list() {
        check("epoll_pwait2", Some("GLIBC_2.35"), &["libc.so.6"]);
        check("__rseq_size", Some("GLIBC_2.35"), &["ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn every_list_is_sorted_and_can_be_searched() {
        for runtime in runtimes() {
            for arch in [Arch::X86_64, Arch::Arm64] {
                let Some(baseline) = embedded(runtime, arch) else { continue };
                let exports = exports(&baseline.glibc, arch).expect("every runtime has its lists");
                let entries: Vec<_> = exports.lines().collect();
                assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "{runtime} {arch}");
                for (entry, libraries) in entries {
                    let (symbol, node) = entry.split_once('@').expect("symbol@node");
                    let found: Vec<_> = exports.libraries(symbol, Some(node)).collect();
                    assert_eq!(found.join(" "), libraries);
                    assert!(
                        found.iter().any(|library| exports.knows(library)
                            || ["libcrypt.so.1", "libnsl.so.1", "libc_malloc_debug.so.0"].contains(library)),
                        "{entry} {libraries}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_node_of_a_list_is_one_its_library_has() {
        use crate::baseline::NodeAnswer;
        for runtime in runtimes() {
            for arch in [Arch::X86_64, Arch::Arm64] {
                let Some(baseline) = embedded(runtime, arch) else { continue };
                let exports = exports(&baseline.glibc, arch).expect("every runtime has its lists");
                for (entry, libraries) in exports.lines() {
                    let (_, node) = entry.split_once('@').expect("symbol@node");
                    for object in libraries.split(' ').filter_map(|library| baseline.object(library)) {
                        assert!(
                            object.node(node) != NodeAnswer::Absent,
                            "{runtime} {arch} {entry} {libraries}"
                        );
                    }
                }
            }
        }
    }
}
