//! The contents of a bundle, as a CycloneDX 1.6 document and as a collection of licence texts.
//!
//! The crates inside a program are listed if it records them, see [`auditable`](crate::elf::auditable).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Library, json};
use crate::date::timestamp;
use crate::elf::auditable::{Crate, CrateKind};
use crate::packages::{Distribution, Package};
use crate::text::{percent_encoded, printable};

/// One file of a bundle.
pub struct BundlePart<'a> {
    /// Its name in the archive.
    pub name: &'a str,
    /// SHA-256 of the stored bytes, hexadecimal.
    pub sha256: String,
    /// Its kind.
    pub kind: PartKind<'a>,
    /// The crates that it records of itself.
    pub crates: Vec<Crate>,
}

/// The kinds of files in a bundle.
pub enum PartKind<'a> {
    /// The program, by its name.
    Program(&'a str),
    /// A library from the build world.
    Library {
        /// The name that was needed.
        soname: &'a str,
        /// The package of its file.
        package: Option<&'a Package>,
        /// The library's build-id, hexadecimal.
        build_id: Option<String>,
    },
    /// Any other file.
    File,
}

/// Makes the document, which depends on the bundle only. `seconds` since 1970 is its timestamp, if it has one.
///
/// Source: CycloneDX 1.6, JSON.
pub fn document(
    parts: &[BundlePart],
    libraries: &[Library],
    distribution: &Distribution,
    seconds: Option<u64>,
) -> String {
    let mut metadata = json!({
        "tools": { "components": [{
            "type": "application",
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
        }] },
    });
    if let Some(seconds) = seconds {
        metadata["timestamp"] = timestamp(seconds).into();
    }
    let mut components = Vec::new();
    for part in parts {
        match part.kind {
            // The document is about the first program; the others are its parts.
            PartKind::Program(_) if metadata.get("component").is_none() => {
                metadata["component"] = component(part, distribution);
            }
            PartKind::Program(_) | PartKind::Library { .. } | PartKind::File => {
                components.push(component(part, distribution))
            }
        }
    }
    let listed = Crates::of(parts);
    components.extend(listed.components());
    let mut dependencies = dependencies(parts, libraries, &listed);
    dependencies.extend(listed.dependencies());
    json(&json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(part: &BundlePart, distribution: &Distribution) -> Value {
    let mut properties = vec![("path", part.name.to_owned())];
    let (kind, name) = match part.kind {
        PartKind::Program(name) => ("application", name),
        PartKind::Library { soname, package, .. } => {
            ("library", package.map_or(soname, |package| &package.name))
        }
        PartKind::File => ("file", part.name),
    };
    let mut component = json!({
        "type": kind,
        "bom-ref": part.name,
        "name": name,
        "hashes": [{ "alg": "SHA-256", "content": part.sha256 }],
    });
    if let PartKind::Library { soname, package, build_id } = &part.kind {
        properties.push(("soname", (*soname).to_owned()));
        properties.extend(build_id.clone().map(|id| ("build-id", id)));
        match package {
            Some(package) => {
                if let Some(version) = package.full_version() {
                    component["version"] = version.into();
                }
                component["purl"] = package.purl(distribution).into();
                let named = |name: &String| json!({ "license": { "name": name } });
                if !package.licenses.is_empty() {
                    component["licenses"] = package.licenses.iter().map(named).collect();
                }
            }
            None => {
                if let Some(id) = build_id {
                    component["version"] = id.as_str().into();
                }
                properties.push(("package", "unknown".to_owned()));
            }
        }
    }
    if let (PartKind::Program(_), Some(root)) = (&part.kind, part.crates.iter().find(|it| it.root)) {
        component["version"] = root.version.as_str().into();
    }
    component["properties"] = properties.into_iter().map(|(name, value)| property(name, &value)).collect();
    component
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("{}:{name}", env!("CARGO_PKG_NAME")), "value": value })
}

/// The crates of all parts, each once.
#[derive(Default)]
struct Crates<'a> {
    /// By their references in the document.
    by_reference: BTreeMap<String, ListedCrate<'a>>,
    /// The crates that a part itself uses, by its name.
    of_parts: BTreeMap<&'a str, BTreeSet<String>>,
}

/// A crate, and what it uses in any of the parts.
struct ListedCrate<'a> {
    first: &'a Crate,
    /// Whether it is in any of the programs, and not only used to build them.
    is_linked: bool,
    uses: BTreeSet<String>,
}

impl<'a> Crates<'a> {
    fn of(parts: &'a [BundlePart]) -> Crates<'a> {
        let mut all = Crates::default();
        for part in parts {
            // The part itself stands for its own crate.
            let uses = |one: &Crate| -> BTreeSet<String> {
                let used = one.dependencies.iter().map(|position| &part.crates[*position]);
                used.filter(|used| !used.root).map(reference).collect()
            };
            for one in &part.crates {
                if one.root {
                    all.of_parts.entry(part.name).or_default().extend(uses(one));
                    continue;
                }
                let listed = all.by_reference.entry(reference(one));
                let new = || ListedCrate { first: one, is_linked: false, uses: BTreeSet::new() };
                let listed = listed.or_insert_with(new);
                listed.is_linked |= one.kind == CrateKind::Runtime;
                listed.uses.extend(uses(one));
            }
        }
        all
    }

    fn components(&self) -> impl Iterator<Item = Value> {
        self.by_reference.iter().map(|(reference, listed)| {
            let Crate { name, version, source, .. } = listed.first;
            let mut component = json!({
                "type": "library",
                "bom-ref": reference,
                "name": name,
                "version": version,
                "scope": if listed.is_linked { "required" } else { "excluded" },
                "properties": [property("source", source)],
            });
            // Of another source, a crate of the same name and version may be another one.
            if source == CRATES_IO {
                component["purl"] = crate_purl(name, version).into();
            }
            component
        })
    }

    fn dependencies(&self) -> impl Iterator<Item = Value> {
        self.by_reference
            .iter()
            .map(|(reference, listed)| json!({ "ref": reference, "dependsOn": listed.uses }))
    }
}

const CRATES_IO: &str = "crates.io";

/// The reference of a crate in the document.
fn reference(one: &Crate) -> String {
    let Crate { name, version, source, .. } = one;
    match source == CRATES_IO {
        true => crate_purl(name, version),
        false => format!("crate:{source}:{name}@{version}"),
    }
}

/// The package URL of a crate on crates.io.
///
/// Source: the purl specification and its type `cargo`.
fn crate_purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{}@{}", percent_encoded(name, ""), percent_encoded(version, ""))
}

/// Lists which part needs which of the bundle's libraries, and uses which crates.
fn dependencies(parts: &[BundlePart], libraries: &[Library], crates: &Crates) -> Vec<Value> {
    let names = |part: &BundlePart| match part.kind {
        PartKind::Program(name) => vec![name.to_owned(), part.name.to_owned()],
        PartKind::Library { soname, .. } => vec![soname.to_owned()],
        PartKind::File => vec![part.name.to_owned()],
    };
    let dependencies = parts.iter().map(|part| {
        let own = names(part);
        let needs = |library: &&Library| library.needed_by.iter().any(|by| own.contains(by));
        let needed: Vec<&str> =
            libraries.iter().filter(needs).map(|library| library.soname.as_str()).collect();
        let is_needed = |other: &&BundlePart| {
            matches!(other.kind, PartKind::Library { soname, .. } if needed.contains(&soname))
        };
        let depends_on = parts.iter().filter(is_needed).map(|other| other.name);
        let used = crates.of_parts.get(part.name).into_iter().flatten().map(String::as_str);
        let depends_on: Vec<&str> = depends_on.chain(used).collect();
        json!({ "ref": part.name, "dependsOn": depends_on })
    });
    dependencies.collect()
}

/// Collects the licence texts of the shipped libraries, by package; `text_of` reads a file of the build world's root.
pub fn licenses(parts: &[BundlePart], text_of: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::from(
        "The licences of the shipped libraries, as the documentation of their packages has them.\n",
    );
    let mut common: BTreeSet<String> = BTreeSet::new();
    let mut printed: Vec<&str> = Vec::new();
    let shipped = || {
        parts.iter().filter_map(|part| match &part.kind {
            PartKind::Library { package, .. } => Some((part.name, *package)),
            PartKind::Program(_) | PartKind::File => None,
        })
    };
    for (name, package) in shipped() {
        let Some(package) = package else {
            title(&mut text, name, "its package is not known");
            continue;
        };
        if printed.contains(&&*package.name) {
            continue;
        }
        printed.push(&package.name);
        let is_its = |other: &Option<&Package>| other.is_some_and(|other| other.name == package.name);
        let files: Vec<&str> = shipped().filter(|(_, other)| is_its(other)).map(|(name, _)| name).collect();
        let version = package.full_version();
        let version = version.as_deref().unwrap_or("of unknown version");
        title(&mut text, &files.join(", "), &format!("{} {version}", package.name));
        let texts: Vec<String> = package.license_files.iter().filter_map(|path| text_of(path)).collect();
        match texts.is_empty() {
            false => {
                for found in texts {
                    common.extend(crate::packages::common_licenses(&found));
                    text.push_str(found.trim_end());
                    text.push('\n');
                }
            }
            true if package.licenses.is_empty() => text.push_str("(no text was found)\n"),
            true => {
                let _ = writeln!(text, "{} (no text was found)", package.licenses.join(", "));
            }
        }
    }
    for path in common {
        if let Some(found) = text_of(&path) {
            title(&mut text, &path, "referred to above");
            text.push_str(found.trim_end());
            text.push('\n');
        }
    }
    text
}

fn title(text: &mut String, name: &str, what: &str) {
    let _ = writeln!(text, "\n==== {}: {} ====\n", printable(name), printable(what));
}
