//! The exports of the system's own libraries: `symbol@node` by library, embedded as sorted text.
//!
//! The lists hold every symbol of every library that [`Exports::knows`]: those of the runtime's glibc, in one list
//! for each version, and libgcc_s and libstdc++ of GCC 14. Those two serve every runtime, because a released node
//! gains no symbols: the nodes in a runtime's baseline decide which part of the list it has, and [`Exports::answer`]
//! checks them. The lists are searched in place; nothing is parsed up front.

use std::cmp::Ordering;

use super::{NodeAnswer, Nodes, SystemObject};
use crate::elf::Arch;
use crate::elf::version;

/// The export lists of one runtime's glibc, and of GCC's libraries.
#[derive(Debug, Clone, Copy)]
pub struct Exports {
    lists: [ExportList; 4],
}

/// One embedded list.
#[derive(Debug, Clone, Copy)]
struct ExportList {
    text: &'static str,
    /// The only library of the list, if it has one; its lines need not name it.
    library: Option<&'static str>,
}

/// A symbol that a library exports under a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// The library's SONAME.
    pub library: &'static str,
    /// The version node.
    pub node: &'static str,
    /// Whether a reference without a version takes it: the version is not hidden, or is the library's first.
    ///
    /// Source: `check_match` in glibc's elf/dl-lookup.c.
    pub is_default: bool,
}

/// The answer about one symbol of the system's libraries, see [`Exports::answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolAnswer<'a> {
    /// Every image of the runtime has the symbol.
    Floor,
    /// Images from this one on have the symbol.
    Later(&'a str),
    /// It is not known whether the library has the node that the symbol belongs to.
    Uncertain,
    /// The library has no such symbol.
    Absent,
    /// The library's symbols are not known.
    Unknown,
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
    let (libgcc, libstdcxx) = match arch {
        Arch::X86_64 => {
            (include_str!("libgcc_s-14-x86_64.exports"), include_str!("libstdc++-6.0.33-x86_64.exports"))
        }
        Arch::Arm64 => {
            (include_str!("libgcc_s-14-arm64.exports"), include_str!("libstdc++-6.0.33-arm64.exports"))
        }
    };
    let common = include_str!("libstdc++-6.0.33.exports");
    Some(Exports {
        lists: [
            ExportList { text, library: None },
            ExportList { text: libgcc, library: Some(LIBGCC) },
            ExportList { text: common, library: Some(LIBSTDCXX) },
            ExportList { text: libstdcxx, library: Some(LIBSTDCXX) },
        ],
    })
}

const LIBGCC: &str = "libgcc_s.so.1";
const LIBSTDCXX: &str = "libstdc++.so.6";

/// The newest nodes in GCC's lists, one for each family that can grow.
const NEWEST_OF_GCC: &[(&str, &[&str])] = &[
    (LIBGCC, &["GCC_14.0.0", "GLIBC_2.0"]),
    (LIBSTDCXX, &["CXXABI_1.3.15", "CXXABI_FLOAT128", "CXXABI_TM_1", "GLIBCXX_3.4.33"]),
];

/// The libraries of glibc that the lists contain. NSS modules and preloadable tools export nothing to link to.
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
    /// Whether every symbol of this library is known, up to the newest node of the lists: see [`Exports::covers`].
    pub fn knows(&self, soname: &str) -> bool {
        soname.starts_with("ld-linux") || LISTED.binary_search(&soname).is_ok() || newest(soname).is_some()
    }

    /// Whether every symbol of this object is known: its newest node is in the lists.
    ///
    /// The user's own baseline may have a newer libstdc++ than the lists.
    pub fn covers(&self, system: &SystemObject) -> bool {
        let Some(newest) = newest(&system.soname) else { return self.knows(&system.soname) };
        let Nodes::Known { floor, later, uncertain } = &system.nodes else { return false };
        let reaches = |node: &str| {
            let mut of_family = newest.iter().filter(|last| version::family(last) == version::family(node));
            of_family.any(|last| version::compare(node, last) != Ordering::Greater)
        };
        let mut nodes = floor.iter().chain(later.iter().map(|later| &later.node)).chain(uncertain);
        !floor.is_empty() && nodes.all(|node| reaches(node))
    }

    /// Whether one of these libraries of the system exports `symbol` for a reference with this node, or without a
    /// version: the best answer of any library.
    ///
    /// A symbol under a node that only later images have is not on the floor, even for a reference without a version.
    pub fn answer<'a>(
        &self,
        systems: &[&'a SystemObject],
        symbol: &str,
        node: Option<&str>,
    ) -> SymbolAnswer<'a> {
        let answer_of = |export: Export| {
            let system = systems.iter().find(|system| system.soname == export.library)?;
            Some(match system.node(export.node) {
                NodeAnswer::Floor => SymbolAnswer::Floor,
                NodeAnswer::Later(image) => SymbolAnswer::Later(image),
                NodeAnswer::Uncertain => SymbolAnswer::Uncertain,
                NodeAnswer::Absent => SymbolAnswer::Absent,
                // glibc's lists are for exactly this version; the version of GCC's libraries is in their nodes.
                NodeAnswer::NoVersions | NodeAnswer::Unknown if newest(export.library).is_none() => {
                    SymbolAnswer::Floor
                }
                NodeAnswer::NoVersions | NodeAnswer::Unknown => SymbolAnswer::Unknown,
            })
        };
        let is_there = |list: &ExportList| {
            list.library.is_none_or(|library| systems.iter().any(|system| system.soname == library))
        };
        let best =
            self.definitions_among(symbol, node, is_there).filter_map(answer_of).min_by_key(|answer| {
                match answer {
                    SymbolAnswer::Floor => 0,
                    SymbolAnswer::Later(_) => 1,
                    SymbolAnswer::Uncertain => 2,
                    SymbolAnswer::Unknown => 3,
                    SymbolAnswer::Absent => 4,
                }
            });
        match best {
            None | Some(SymbolAnswer::Absent) if !systems.iter().all(|system| self.covers(system)) => {
                SymbolAnswer::Unknown
            }
            None => SymbolAnswer::Absent,
            Some(answer) => answer,
        }
    }

    /// The libraries that export `symbol` for a reference with this node, or without a version if `node` is `None`.
    pub fn libraries(&self, symbol: &str, node: Option<&str>) -> impl Iterator<Item = &'static str> {
        self.definitions(symbol, node).map(|export| export.library)
    }

    /// The exports that a reference to `symbol` with this node takes, or one without a version if `node` is `None`.
    pub fn definitions(&self, symbol: &str, node: Option<&str>) -> impl Iterator<Item = Export> {
        self.definitions_among(symbol, node, |_| true)
    }

    /// The same in the lists that `is_there` accepts.
    fn definitions_among(
        &self,
        symbol: &str,
        node: Option<&str>,
        is_there: impl Fn(&ExportList) -> bool,
    ) -> impl Iterator<Item = Export> {
        let key = [symbol, "@", node.unwrap_or_default()].concat();
        let exact = node.is_some();
        let mut found: Vec<(ExportList, &'static str)> = self.lists[lists_of(symbol, node)]
            .iter()
            .filter(|list| is_there(list))
            .map(|list| (*list, &list.text[list.first_at_least(&key)..]))
            .collect();
        let mut at = 0;
        std::iter::from_fn(move || {
            while let Some((list, rest)) = found.get_mut(at) {
                if rest.starts_with(&key) {
                    let (line, behind) = rest.split_once('\n').unwrap_or((*rest, ""));
                    let (entry, libraries) = line.split_once(' ').unwrap_or((line, ""));
                    if !exact || entry == key {
                        *rest = behind;
                        return Some((*list, entry, libraries));
                    }
                }
                at += 1;
            }
            None
        })
        .flat_map(|(list, entry, libraries)| list.exports(entry, libraries))
        .filter(move |export| exact || export.is_default)
    }

    /// The lines without comments: each entry and its exports. Tests of the data use it.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, Vec<Export>)> {
        self.lists.into_iter().flat_map(|list| {
            let entries = lines(list.text).filter(|(entry, _)| !entry.starts_with('#'));
            entries.map(move |(entry, libraries)| (entry, list.exports(entry, libraries).collect()))
        })
    }
}

/// The indices of the lists that may have a symbol: each search costs time.
fn lists_of(symbol: &str, node: Option<&str>) -> std::ops::Range<usize> {
    match node {
        // Mangled names belong to C++.
        None if symbol.starts_with("_Z") => 2..4,
        None => 0..4,
        Some(node) if node.starts_with("GLIBCXX") || node.starts_with("CXXABI") => 2..4,
        Some(node) if node.starts_with("GCC") => 1..2,
        // libgcc_s has some symbols that began in the first glibc.
        Some("GLIBC_2.0") => 0..2,
        Some(node) if node.starts_with("GLIBC") => 0..1,
        Some(_) => 0..0,
    }
}

/// The newest nodes in the list of one of GCC's libraries.
fn newest(soname: &str) -> Option<&'static [&'static str]> {
    NEWEST_OF_GCC.iter().find(|(library, _)| *library == soname).map(|(_, newest)| *newest)
}

/// The lines of a list: each entry, and the libraries that follow it.
fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.lines().map(|line| line.split_once(' ').unwrap_or((line, "")))
}

impl ExportList {
    /// The exports in one line; the head of the lists explains the `~`.
    fn exports(self, entry: &'static str, libraries: &'static str) -> impl Iterator<Item = Export> {
        let node = entry.split_once('@').map_or("", |(_, node)| node);
        let named = libraries.split(' ').filter(|library| !library.is_empty());
        let unnamed = self.library.filter(|_| libraries.is_empty());
        named.chain(unnamed).map(move |library| match library.strip_prefix('~') {
            Some(library) => Export { library, node, is_default: false },
            None => Export { library, node, is_default: true },
        })
    }

    /// The offset of the first line that does not sort before `key`.
    fn first_at_least(&self, key: &str) -> usize {
        let text = self.text.as_bytes();
        // Both are offsets of lines, or the end.
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = memchr::memrchr(b'\n', &text[low..middle]).map_or(low, |at| low + at + 1);
            let line = &text[start..text.len().min(start + key.len())];
            // Comments come first in the file, and sort before every symbol. The character that ends an entry sorts
            // before every character of a key, so the entry is less than a longer key.
            if line < key.as_bytes() || line.starts_with(b"#") {
                low = memchr::memchr(b'\n', &text[middle..]).map_or(high, |at| middle + at + 1);
            } else {
                high = start;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baseline, embedded, runtimes};

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
    fn a_reference_without_a_version_takes_the_first_and_the_visible_node() {
        check("memcpy", None, &["libc.so.6", "libc.so.6"]);
        // GLIBC_2.3.2 and the first node, GLIBC_2.2.5; GLIBC_2.3.3 is hidden, and GLIBC_2.3.4 is visible.
        check("sched_getaffinity", Some("GLIBC_2.3.3"), &["libc.so.6"]);
        check("sched_getaffinity", None, &["libc.so.6"]);
        // Sun RPC is only for old programs, which name the version.
        check("xdr_quad_t", Some("GLIBC_2.3.4"), &["libc.so.6"]);
        check("xdr_quad_t", None, &[]);
        check("__powitf2", Some("GCC_4.0.0"), &["libgcc_s.so.1"]);
        check("__powitf2", None, &["libgcc_s.so.1"]);
    }

    #[test]
    fn backports_are_in_the_list() {
        check("epoll_pwait2", Some("GLIBC_2.35"), &["libc.so.6"]);
        check("__rseq_size", Some("GLIBC_2.35"), &["ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn libraries_of_gcc_are_listed() {
        check("_Unwind_Resume", Some("GCC_3.0"), &["libgcc_s.so.1"]);
        check("_Unwind_Resume", None, &["libgcc_s.so.1"]);
        check("_ZSt4cout", Some("GLIBCXX_3.4"), &["libstdc++.so.6"]);
        check("_ZSt11__once_call", Some("GLIBCXX_3.4.11"), &["libstdc++.so.6"]);
        // Only one architecture has this symbol.
        check("_ZTIg", Some("CXXABI_FLOAT128"), &["libstdc++.so.6"]);
        let arm64 = exports("2.34", Arch::Arm64).expect("embedded");
        assert_eq!(arm64.libraries("_ZTIg", None).count(), 0);
        assert_eq!(arm64.libraries("__arm_sme_state", Some("GCC_14.0")).count(), 1);
    }

    #[test]
    fn private_symbols_of_glibc_are_listed() {
        check("__libc_early_init", Some("GLIBC_PRIVATE"), &["libc.so.6"]);
        check("_dl_argv", Some("GLIBC_PRIVATE"), &["ld-linux-x86-64.so.2"]);
        // glibc 2.34 removed it; 2.26 has it.
        check("__libc_dlopen_mode", Some("GLIBC_PRIVATE"), &[]);
        let al2 = exports("2.26", Arch::Arm64).expect("embedded");
        let found: Vec<_> = al2.libraries("__libc_dlopen_mode", Some("GLIBC_PRIVATE")).collect();
        assert_eq!(found, ["libc.so.6"]);
    }

    #[track_caller]
    fn check_answer(runtime: &str, soname: &str, symbol: &str, node: Option<&str>, expected: SymbolAnswer) {
        let baseline = embedded(runtime, Arch::X86_64).expect("embedded");
        let exports = exports(&baseline.glibc, Arch::X86_64).expect("embedded");
        let system = baseline.object(soname).expect("listed");
        assert_eq!(exports.answer(&[system], symbol, node), expected);
    }

    #[test]
    fn nodes_of_a_runtime_decide_what_it_has_of_a_list() {
        let check = |runtime, symbol, node, expected| {
            check_answer(runtime, LIBSTDCXX, symbol, node, expected);
        };
        let (image, recent) = ("2023.7.20250331", "_ZSt21__glibcxx_assert_failPKciS0_S0_");
        check("provided.al2", "_ZSt4cout", Some("GLIBCXX_3.4"), SymbolAnswer::Floor);
        check("provided.al2023", recent, Some("GLIBCXX_3.4.30"), SymbolAnswer::Later(image));
        check("provided.al2023", recent, None, SymbolAnswer::Later(image));
        check("nodejs24.x", recent, None, SymbolAnswer::Floor);
        check("provided.al2", recent, Some("GLIBCXX_3.4.30"), SymbolAnswer::Absent);
        check("provided.al2", recent, None, SymbolAnswer::Absent);
        // The old node is on the floor, the new node is in later images.
        let wait = "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE";
        check("provided.al2023", wait, None, SymbolAnswer::Floor);
        check("provided.al2023", "_ZSt4cout", Some("GLIBCXX_3.4.1"), SymbolAnswer::Absent);
        check("provided.al2023", "foo_new", None, SymbolAnswer::Absent);
        check("nodejs24.x", "_ZTIg", Some("CXXABI_FLOAT128"), SymbolAnswer::Uncertain);
    }

    #[test]
    fn an_answer_is_one_library_s() {
        let check = |soname, symbol, node, expected| {
            check_answer("provided.al2023", soname, symbol, node, expected);
        };
        check("libc.so.6", "pthread_create", Some("GLIBC_2.34"), SymbolAnswer::Floor);
        check("libpthread.so.0", "pthread_create", None, SymbolAnswer::Absent);
        check("libc.so.6", "epoll_pwait2", None, SymbolAnswer::Later("2023.8.20250915"));
        check("libc.so.6", "__libc_early_init", Some("GLIBC_PRIVATE"), SymbolAnswer::Floor);
        check("libc.so.6", "__libc_dlopen_mode", Some("GLIBC_PRIVATE"), SymbolAnswer::Absent);
        check("libz.so.1", "deflate", None, SymbolAnswer::Unknown);
    }

    #[test]
    fn a_library_newer_than_its_list_is_not_known() {
        let al2023 = embedded("provided.al2023", Arch::X86_64).expect("embedded");
        let exports = exports("2.34", Arch::X86_64).expect("embedded");
        let mut system = SystemObject::clone(al2023.object(LIBSTDCXX).expect("listed"));
        assert!(exports.covers(&system));
        let known = |floor: &[&str]| Nodes::Known {
            floor: floor.iter().map(|node| (*node).to_owned()).collect(),
            later: Vec::new(),
            uncertain: Vec::new(),
        };
        for nodes in
            [known(&["GLIBCXX_3.4", "GLIBCXX_3.4.34"]), known(&["OTHER_1"]), known(&[]), Nodes::Unknown]
        {
            system.nodes = nodes;
            assert!(!exports.covers(&system));
            assert_eq!(exports.answer(&[&system], "foo_new", None), SymbolAnswer::Unknown);
        }
        assert_eq!(exports.answer(&[&system], "_ZSt4cout", None), SymbolAnswer::Unknown);
    }

    #[test]
    fn every_list_is_sorted_and_can_be_searched() {
        for (baseline, exports) in every_runtime() {
            let name = format!("{} {}", baseline.glibc, baseline.arch);
            for list in exports.lists {
                let entries =
                    || lines(list.text).map(|(entry, _)| entry).filter(|entry| !entry.starts_with('#'));
                assert!(entries().is_sorted_by(|a, b| a < b), "{name}");
            }
            for (entry, expected) in exports.lines() {
                let (symbol, node) = entry.split_once('@').expect("symbol@node");
                let found: Vec<_> = exports.definitions(symbol, Some(node)).collect();
                assert_eq!(found, expected, "{name} {entry}");
                let is_other =
                    |soname| ["libcrypt.so.1", "libnsl.so.1", "libc_malloc_debug.so.0"].contains(&soname);
                assert!(found.iter().any(|export| exports.knows(export.library) || is_other(export.library)));
            }
        }
    }

    /// Every embedded baseline with the lists of its glibc; one for each root.
    fn every_runtime() -> Vec<(Baseline, Exports)> {
        let mut found: Vec<(Baseline, Exports)> = Vec::new();
        for runtime in runtimes() {
            for arch in [Arch::X86_64, Arch::Arm64] {
                let Some(baseline) = embedded(runtime, arch) else { continue };
                let exports = exports(&baseline.glibc, arch).expect("every runtime has its lists");
                let same = |(other, _): &(Baseline, Exports)| other.objects == baseline.objects;
                if !found.iter().any(same) {
                    found.push((baseline.clone(), exports));
                }
            }
        }
        found
    }

    #[test]
    fn every_node_of_glibc_s_list_is_one_its_library_has() {
        for (baseline, exports) in every_runtime() {
            for export in exports.lines().flat_map(|(_, exports)| exports) {
                if newest(export.library).is_some() {
                    continue;
                }
                if let Some(object) = baseline.object(export.library) {
                    assert!(object.node(export.node) != NodeAnswer::Absent, "{} {export:?}", baseline.glibc);
                }
            }
        }
    }

    #[test]
    fn every_node_of_a_library_of_gcc_has_symbols() {
        for (baseline, exports) in every_runtime() {
            for (soname, newest) in NEWEST_OF_GCC {
                let Some(object) = baseline.object(soname) else { continue };
                assert!(exports.covers(object), "{soname}");
                let Nodes::Known { floor, later, .. } = &object.nodes else { panic!("known") };
                let of_library = |export: &Export| export.library == *soname;
                let all: Vec<Export> =
                    exports.lines().flat_map(|(_, exports)| exports).filter(of_library).collect();
                for node in floor.iter().chain(later.iter().map(|later| &later.node)) {
                    // These libraries have no symbol on these architectures, in any release.
                    let is_empty =
                        ["GLIBCXX_3.4.3", "GLIBCXX_3.4.12", "GLIBCXX_3.4.24"].contains(&node.as_str());
                    assert!(is_empty || all.iter().any(|export| export.node == node), "{soname} {node}");
                }
                // The newest node of each family is the last one in the list.
                for export in all {
                    let same = |last: &&&str| version::family(last) == version::family(export.node);
                    let last = newest.iter().find(same).expect("a family of the list");
                    assert!(version::compare(export.node, last) != Ordering::Greater, "{export:?}");
                }
            }
        }
    }
}
