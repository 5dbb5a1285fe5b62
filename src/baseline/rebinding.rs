//! Functions of newer glibcs that an older glibc also has, under another version or another name.
//!
//! A reference is listed if the program behaves as if the same source had been linked against the older glibc. Names
//! that are not listed are not rebound.
//!
//! Sources: glibc's NEWS and the `Versions` files of its releases, which introduced the names:
//! - 2.38: "When C2X features are enabled and the base argument is 0 or 2, the following functions support binary
//!   integers prefixed by 0b or 0B": the headers then turn `strtol` into `__isoc23_strtol`, and the two differ in
//!   nothing else (stdlib/strtol_l.c). Likewise `%i` and `%b` of the scanf family (stdio-common/vfscanf-internal.c).
//! - 2.38, 2.35, 2.39: `fmod`, `hypot` and `exp10` with versions of their own, which set `errno` themselves; the
//!   older versions have wrappers (math/w_fmod_compat.c) that set it. The result of `fmod` is exact by definition.
//! - 2.29 and 2.27: `exp`, `exp2`, `log`, `log2`, `pow`, and those for `float`, in the same way.
//! - 2.35: `__memcmpeq` (string/memcmp.c has it as an alias of `memcmp`): the result is only zero or not zero.
//! - 2.38: `strlcpy` and its kin; 2.36: `arc4random` and its kin, which no older glibc has in any form.
//!
//! A reference without a version takes the definition with index 2 in the library, or else its only visible one
//! (`check_match` in glibc's elf/dl-lookup.c). If the runtime's glibc has a name under one node, a linker would have
//! taken the same definition; if it has the name under several nodes, an unversioned reference could take an older
//! one, and is refused.

use std::collections::BTreeSet;

use super::{Baseline, Exports, exports, is_glibc_part};
use crate::elf::ElfFacts;

/// The way in which an older glibc meets a reference to a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebinding {
    /// The same name.
    Same,
    /// Another name.
    Renamed(String),
    /// The shared object that this tool adds to a bundle (`repair`'s COMPAT).
    Supplied,
}

/// The rebinding of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSymbol {
    /// The way in which the reference is met.
    pub by: Rebinding,
    /// How the behaviour can differ; `None` if it cannot.
    pub differs: Option<&'static str>,
}

const SAME_RESULT: &[&str] = &["fmod", "fmodf"];

const LAST_BIT: &[&str] = &[
    "exp", "exp10", "exp10f", "exp2", "exp2f", "expf", "hypot", "hypotf", "log", "log2", "log2f", "logf",
    "pow", "powf",
];

/// Names that follow `__isoc23_`.
const INTEGERS: &[&str] = &[
    "strtoimax",
    "strtol",
    "strtol_l",
    "strtoll",
    "strtoll_l",
    "strtoul",
    "strtoul_l",
    "strtoull",
    "strtoull_l",
    "strtoumax",
    "wcstoimax",
    "wcstol",
    "wcstol_l",
    "wcstoll",
    "wcstoll_l",
    "wcstoul",
    "wcstoul_l",
    "wcstoull",
    "wcstoull_l",
    "wcstoumax",
];

/// Names that follow `__isoc23_`, or `__isoc99_` in older releases.
const SCANS: &[&str] = &[
    "fscanf", "fwscanf", "scanf", "sscanf", "swscanf", "vfscanf", "vfwscanf", "vscanf", "vsscanf",
    "vswscanf", "vwscanf", "wscanf",
];

/// Functions that `repair`'s object defines.
pub const SUPPLIED: &[&str] = &[
    "__strlcat_chk",
    "__strlcpy_chk",
    "__wcslcat_chk",
    "__wcslcpy_chk",
    "arc4random",
    "arc4random_buf",
    "arc4random_uniform",
    "strlcat",
    "strlcpy",
    "wcslcat",
    "wcslcpy",
];

/// The rebinding of a function; `None` for a function that is not listed.
pub fn known(name: &str) -> Option<KnownSymbol> {
    let has = |list: &[&str], name: &str| list.contains(&name);
    let known = |by, differs| Some(KnownSymbol { by, differs });
    if let Some(rest) = name.strip_prefix("__isoc23_") {
        const BINARY: &str =
            "numbers are read by the rules of C99: with base 0 or 2, `0b101` is 0 and the rest is left";
        const FORMATS: &str = "input is read by the rules of C99: `%i` takes `0b101` for 0, and `%b` and `%w32d` are not conversions";
        return match rest {
            rest if has(INTEGERS, rest) => known(Rebinding::Renamed(rest.to_owned()), Some(BINARY)),
            rest if has(SCANS, rest) => known(Rebinding::Renamed(format!("__isoc99_{rest}")), Some(FORMATS)),
            _ => None,
        };
    }
    match name {
        "__memcmpeq" => known(Rebinding::Renamed("memcmp".to_owned()), None),
        name if has(SAME_RESULT, name) => known(Rebinding::Same, None),
        name if has(LAST_BIT, name) => known(Rebinding::Same, Some("the last bit of a result may differ")),
        name if has(SUPPLIED, name) => known(Rebinding::Supplied, None),
        _ => None,
    }
}

/// What the glibc of a runtime defines: by its files if they were captured, else by the embedded list.
pub struct GlibcDefinitions<'a> {
    captured: Vec<&'a ElfFacts>,
    listed: Option<Exports>,
}

impl<'a> GlibcDefinitions<'a> {
    /// Of the runtime with this baseline; `None` if nothing is known.
    pub fn of(baseline: &'a Baseline) -> Option<GlibcDefinitions<'a>> {
        let captured = baseline.objects().iter().filter_map(|object| {
            let facts = object.facts.as_deref()?;
            is_glibc_part(&object.soname).then_some(facts)
        });
        let captured: Vec<&ElfFacts> = captured.collect();
        let listed = exports(&baseline.glibc, baseline.arch).filter(|_| captured.is_empty());
        (!captured.is_empty() || listed.is_some()).then_some(GlibcDefinitions { captured, listed })
    }

    /// The nodes under which an unversioned reference finds a name, each once.
    pub fn nodes(&self, name: &str) -> BTreeSet<&str> {
        let listed = self.listed.iter().flat_map(|exports| exports.definitions(name, None));
        let listed = listed.filter(|export| is_glibc_part(export.library)).map(|export| export.node);
        let captured = self.captured.iter().flat_map(|facts| default_nodes(facts, name));
        listed.chain(captured).filter(|node| *node != "GLIBC_PRIVATE").collect()
    }

    /// Whether an unversioned reference to a name takes the definition that a linker would have taken from this glibc:
    /// there is exactly one node.
    pub fn has_one(&self, name: &str) -> bool {
        self.nodes(name).len() == 1
    }
}

/// The nodes under which an unversioned reference finds a name in one library.
fn default_nodes<'a>(facts: &'a ElfFacts, name: &str) -> impl Iterator<Item = &'a str> {
    // Index 2 is taken even if it is hidden.
    let is_default = |version: u16| version & HIDDEN == 0 || version & !HIDDEN == 2;
    let defined = facts.symbols.iter().filter(move |symbol| symbol.defined && is_default(symbol.version));
    let indices: Vec<u16> = defined
        .filter(|symbol| facts.symbols.name_bytes(symbol) == name.as_bytes())
        .map(|symbol| symbol.version & !HIDDEN)
        .collect();
    let nodes = facts.verdef.iter().filter(move |node| indices.contains(&node.index));
    nodes.map(|node| node.node.as_str())
}

/// The bit of a DT_VERSYM value that hides a version from references without one.
const HIDDEN: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{embedded, runtimes};
    use crate::elf::Arch;

    /// The baselines of Lambda's runtimes, with the release of their glibc.
    fn all() -> Vec<((u32, u32), Baseline)> {
        let worlds =
            runtimes().iter().flat_map(|runtime| [Arch::X86_64, Arch::Arm64].map(|arch| (runtime, arch)));
        let baselines = worlds.filter_map(|(runtime, arch)| embedded(runtime, arch));
        let release = |baseline: &Baseline| {
            let (major, minor) = baseline.glibc.split_once('.').expect("two numbers");
            (major.parse().expect("a number"), minor.parse().expect("a number"))
        };
        baselines.map(|baseline| (release(&baseline), baseline)).collect()
    }

    #[test]
    fn every_older_name_is_in_every_glibc_of_lambda_under_one_node() {
        assert!(all().len() >= 4);
        for (release, baseline) in all() {
            let glibc = GlibcDefinitions::of(&baseline).expect("every runtime has its lists");
            for name in INTEGERS.iter().chain(SCANS) {
                let Some(KnownSymbol { by: Rebinding::Renamed(to), .. }) = known(&format!("__isoc23_{name}"))
                else {
                    panic!("{name} is renamed");
                };
                assert!(glibc.has_one(&to), "{to} {release:?}");
            }
            assert!(
                ["memcmp", "fmod", "fmodf", "hypot", "hypotf", "exp10"]
                    .iter()
                    .all(|name| glibc.has_one(name))
            );
            assert_eq!(glibc.has_one("pow"), release < (2, 29), "2.29 brought another version of it");
            assert_eq!(glibc.has_one("expf"), release < (2, 27));
        }
    }

    #[test]
    fn what_is_supplied_is_in_no_glibc_of_lambda() {
        for name in SUPPLIED {
            let lacks = |(_, baseline): &(_, Baseline)| {
                GlibcDefinitions::of(baseline).expect("every runtime has its lists").nodes(name).is_empty()
            };
            assert!(all().iter().all(lacks), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_rebound() {
        for name in ["_dl_find_object", "__libc_start_main", "epoll_pwait2", "__isoc23_", "strtol", "mbrtoc8"]
        {
            assert_eq!(known(name), None, "{name}");
        }
    }
}
