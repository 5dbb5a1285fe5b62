//! What a bundle ships: which packages its libraries are from, and the documents that list them.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use crate::archive::{Content, Digest, Entry};
use crate::disk;
use crate::disk::packages::Packages;
use crate::error::Result;
use crate::layout::Layout;
use crate::packages::Package;
use crate::plan::{BundlePlan, Shipped};
use crate::report::sbom::{self, Part, PartKind};
use crate::report::{Artifact, Library};
use crate::settings::Bundle;
use crate::text::hex;

/// The packages of the shipped libraries.
pub(super) struct Owners {
    packages: Packages,
    by_source: BTreeMap<String, Package>,
}

impl Owners {
    /// Asks the package databases of the build world.
    pub(super) fn of(job: &Bundle, plan: &BundlePlan) -> Owners {
        let packages = Packages::new(job.sysroot.as_deref());
        let files: BTreeSet<&str> = plan.shipped.iter().map(|library| library.source.as_str()).collect();
        let by_source = packages.owners(&files);
        Owners { packages, by_source }
    }

    /// Names them in the report, which names the files.
    pub(super) fn add_to(&self, libraries: &mut [Library]) {
        for library in libraries.iter_mut() {
            let package = library.source.as_ref().and_then(|source| self.by_source.get(source));
            library.package = package.map(|package| package.name.clone());
            library.package_version = package.and_then(|package| package.version.clone());
        }
    }

    fn parts<'a>(
        &'a self,
        name: &'a str,
        entries: &'a [Entry],
        plan: &'a BundlePlan,
        layout: &Layout,
    ) -> Result<Vec<Part<'a>>> {
        let part = |entry: &'a Entry| {
            if let Content::Link(_) = &entry.content {
                return None;
            }
            let is_its = |library: &&Shipped| library.entry_name(layout) == entry.name;
            let kind = match plan.shipped.iter().find(is_its) {
                _ if entry.name == layout.program => PartKind::Program(name),
                Some(library) => PartKind::Library {
                    soname: &library.name,
                    package: self.by_source.get(&library.source),
                    build_id: library.facts.build_id.as_deref().map(hex),
                },
                None => PartKind::File,
            };
            Some(Digest::of_content(&entry.content).map(|digest| Part {
                name: &entry.name,
                sha256: digest.hex,
                kind,
            }))
        };
        entries.iter().filter_map(part).collect()
    }
}

/// Where the documents go.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// `--sbom`.
    pub(super) sbom: Option<Utf8PathBuf>,
    /// `--licenses`.
    pub(super) licenses: Option<Utf8PathBuf>,
}

impl Places {
    pub(super) fn any(&self) -> bool {
        self.sbom.is_some() || self.licenses.is_some()
    }

    /// Writes the documents that were asked for.
    pub(super) fn write(
        &self,
        owners: &Owners,
        artifact: &Artifact,
        entries: &[Entry],
        plan: &BundlePlan,
        (layout, seconds): (&Layout, Option<u64>),
    ) -> Result<()> {
        let parts = owners.parts(&artifact.name, entries, plan, layout)?;
        if let Some(path) = &self.sbom {
            let distribution = &owners.packages.distribution;
            let document = sbom::document(&parts, &artifact.libraries, distribution, seconds);
            disk::write::replace_with(path, document.as_bytes())?;
        }
        if let Some(path) = &self.licenses {
            let texts = sbom::licenses(&parts, |path| owners.packages.text(path));
            disk::write::replace_with(path, texts.as_bytes())?;
        }
        Ok(())
    }
}
