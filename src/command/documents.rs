//! The contents of a bundle: the packages of its libraries, and the documents that list them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Content, Digest, Entry};
use crate::disk;
use crate::disk::packages::PackageDatabase;
use crate::elf::auditable::{self, CrateRecord};
use crate::error::Result;
use crate::layout::Layout;
use crate::packages::Package;
use crate::plan::Shipped;
use crate::report::Library;
use crate::report::sbom::{self, BundlePart, PartKind};
use crate::settings::BundleSettings;
use crate::text::hex;
use crate::tools::rpm;
use crate::workspace::Checkouts;

/// A program of an archive: its name there, and its own.
pub(super) struct ProgramName<'a> {
    pub entry_name: &'a str,
    pub name: &'a str,
}

/// The packages of the shipped libraries.
pub(super) struct PackageIndex {
    packages: PackageDatabase,
    by_source: BTreeMap<String, Package>,
}

impl PackageIndex {
    /// Looks the libraries up in the package databases of the build world.
    pub(super) fn of(job: &BundleSettings, shipped: &[Shipped], checkouts: &Checkouts) -> PackageIndex {
        let packages = PackageDatabase::new(job.sysroot.as_deref());
        let files: BTreeSet<&str> = shipped.iter().map(|library| library.source.as_str()).collect();
        let ask_rpm = |database: &Utf8Path, files: &[&str]| {
            // A database may be made for the program that reads it, and no flag names this one.
            match job.is_of_manifest("sysroot") {
                true => String::new(),
                false => rpm::query(database, files, checkouts),
            }
        };
        let by_source = packages.owners(&files, ask_rpm);
        PackageIndex { packages, by_source }
    }

    /// Adds the packages to the libraries in the report.
    pub(super) fn add_to(&self, libraries: &mut [Library]) {
        for library in libraries.iter_mut() {
            let package = library.source.as_ref().and_then(|source| self.by_source.get(source));
            library.package = package.map(|package| package.name.clone());
            library.package_version = package.and_then(Package::full_version);
        }
    }

    /// Lists the parts of an archive, for its documents.
    ///
    /// # Errors
    ///
    /// If a file no longer exists.
    pub(super) fn parts<'a>(
        &'a self,
        programs: &[ProgramName<'a>],
        entries: &'a [Entry],
        shipped: &'a [Shipped],
        layout: &Layout,
    ) -> Result<Vec<BundlePart<'a>>> {
        let part = |entry: &'a Entry| {
            if let Content::Link(_) = &entry.content {
                return None;
            }
            let is_its = |library: &&Shipped| library.entry_name(layout) == entry.name;
            let program = programs.iter().find(|program| program.entry_name == entry.name);
            let kind = match (program, shipped.iter().find(is_its)) {
                (Some(program), _) => PartKind::Program(program.name),
                (None, Some(library)) => PartKind::Library {
                    soname: &library.name,
                    package: self.by_source.get(&library.source),
                    build_id: library.facts.build_id.as_deref().map(hex),
                },
                (None, None) => PartKind::File,
            };
            let part = || {
                let n_bytes = entry.content.n_bytes();
                let read = |range| entry.content.read(range).map(Cow::into_owned);
                let crates = match auditable::recorded(n_bytes, read)? {
                    CrateRecord::Crates(crates) => crates,
                    // Of the program, a finding tells.
                    CrateRecord::Damaged(_) | CrateRecord::Missing { .. } => Vec::new(),
                };
                let sha256 = Digest::of_content(&entry.content)?.hex;
                Ok(BundlePart { name: &entry.name, sha256, kind, crates })
            };
            Some(part())
        };
        entries.iter().filter_map(part).collect()
    }
}

/// The paths of the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DocumentPaths {
    /// The path of `--sbom`.
    pub(super) sbom: Option<Utf8PathBuf>,
    /// The path of `--licenses`.
    pub(super) licenses: Option<Utf8PathBuf>,
}

impl DocumentPaths {
    pub(super) fn any(&self) -> bool {
        self.sbom.is_some() || self.licenses.is_some()
    }

    /// Writes the requested documents. `seconds` is their timestamp, since 1970.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub(super) fn write(
        &self,
        index: &PackageIndex,
        libraries: &[Library],
        parts: &[BundlePart],
        seconds: Option<u64>,
    ) -> Result<()> {
        if let Some(path) = &self.sbom {
            let distribution = &index.packages.distribution;
            let document = sbom::document(parts, libraries, distribution, seconds);
            disk::write::replace_with(path, document.as_bytes())?;
        }
        if let Some(path) = &self.licenses {
            let texts = sbom::licenses(parts, |path| index.packages.text(path));
            disk::write::replace_with(path, texts.as_bytes())?;
        }
        Ok(())
    }
}
