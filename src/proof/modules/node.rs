//! What npm's packages need beyond their files: a module for the version of Node.js, and one at all.

use crate::audit::{Code, Finding, Severity};
use crate::baseline::node_abi;
use crate::elf::ElfFacts;

use super::Unpacked;
use super::family::package_of;
use crate::proof::unpacked::bytes_of;

/// The start of the symbol by which a module registers for one version of Node.js. The rest is its number.
///
/// Source: `NODE_MODULE_INITIALIZER` in Node.js's src/node.h.
const REGISTRATION: &[u8] = b"node_register_module_v";

/// The symbols by which modules register for all versions: Node-API.
const FOR_ALL: &[&[u8]] = &[b"napi_register_module_v1"];

/// Returns what a module is for, after "is", if it registers for another version of Node.js only.
///
/// Node.js looks for the symbol of its own version, else for Node-API's, and refuses a module that has neither.
///
/// Source: `DLOpen` in Node.js's src/node_binding.cc.
pub(super) fn other_abi(facts: &ElfFacts, runtime: &str) -> Option<String> {
    let own = node_abi(runtime)?;
    let symbols = &facts.symbols;
    let defined = symbols.iter().filter(|symbol| symbol.defined).map(|symbol| symbols.name_bytes(symbol));
    let mut abis = Vec::new();
    for name in defined {
        if FOR_ALL.contains(&name) {
            return None;
        }
        abis.extend(name.strip_prefix(REGISTRATION).and_then(|abi| std::str::from_utf8(abi).ok()));
    }
    if abis.contains(&own) {
        return None;
    }
    let other = abis.first()?;
    Some(format!("for NODE_MODULE_VERSION {other}, not {own} of {runtime}"))
}

impl Unpacked<'_> {
    /// Warns of npm's packages that are compiled when they are installed, and were not: no module of theirs is there.
    ///
    /// A package may be optional for those that need it, and only its own code says where it looks.
    ///
    /// Source: `binding.gyp` in "scripts" of npm's documentation: npm runs `node-gyp rebuild` if a package has it.
    pub(super) fn uncompiled(&self) -> Vec<Finding> {
        let names = || self.read.entries.iter().map(|entry| entry.name.as_str());
        let packages = names().filter_map(|name| {
            let package = name.strip_suffix("/binding.gyp")?;
            (package_of(name) == Some(package)).then_some(package)
        });
        let has_module = |directory: &str| {
            names().any(|name| {
                name.ends_with(".node")
                    && name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let is_uncompiled = |package: &&str| {
            !has_module(package) && !self.modules_of(package).iter().any(|other| has_module(other))
        };
        packages.filter(is_uncompiled).map(finding).collect()
    }

    /// Returns the directories of the packages on which a package depends: some have its modules.
    fn modules_of(&self, package: &str) -> Vec<String> {
        let described = self.entry(&format!("{package}/package.json")).map_or(&[][..], bytes_of);
        let described: serde_json::Value = serde_json::from_slice(described).unwrap_or_default();
        let dependencies = ["dependencies", "optionalDependencies"];
        let names = dependencies.iter().filter_map(|key| described[*key].as_object()).flatten();
        // npm puts a package beside those that need it, or below them.
        let root = package.rfind("node_modules/").map_or("", |at| &package[..at]);
        names
            .flat_map(|(name, _)| {
                [format!("{root}node_modules/{name}"), format!("{package}/node_modules/{name}")]
            })
            .collect()
    }
}

fn finding(package: &str) -> Finding {
    let message = format!(
        "`{package}` has a `binding.gyp` and no module (`.node`): nothing compiled it when it was installed"
    );
    let name = package.rsplit_once("node_modules/").map_or(package, |(_, name)| name);
    let finding = Finding::new(Code::MissingLibrary, package, message).help(format!(
        "run `npm rebuild {name}` on Linux for the function's architecture, and zip the result"
    ));
    Finding { severity: Severity::Warning, leaves_open: true, ..finding }
}
