//! Packages of a system in its package database: which package has a file, its version and its licences.
//!
//! dpkg's and apk's databases are text. rpm's is not, and is not read: its files have no known package.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::percent_encoded;

/// The package that a file is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The package system.
    pub kind: PackageKind,
    /// The name of the package.
    pub name: String,
    /// The version of the package.
    pub version: Option<String>,
    /// The architecture, in the package system's words.
    pub arch: Option<String>,
    /// The licences of the package, sorted; empty if it names them only in prose.
    pub licenses: Vec<String>,
}

/// The package systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind {
    /// Debian's dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
}

/// `ID` and `VERSION_ID` of os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The value of `ID`: `debian`, `alpine`.
    pub id: Option<String>,
    /// The value of `VERSION_ID`: `12`.
    pub version: Option<String>,
}

impl Package {
    /// The package URL.
    ///
    /// Source: the purl specification and its types `deb` and `apk`.
    pub fn purl(&self, distribution: &Distribution) -> String {
        let encoded = |text: &str| percent_encoded(text, "");
        let (kind, usual) = match self.kind {
            PackageKind::Deb => ("deb", "debian"),
            PackageKind::Apk => ("apk", "alpine"),
        };
        let id = distribution.id.as_deref().unwrap_or(usual);
        let mut purl = format!("pkg:{kind}/{}/{}", encoded(id), encoded(&self.name));
        if let Some(version) = &self.version {
            purl.push_str(&format!("@{}", encoded(version)));
        }
        let mut qualifiers = Vec::new();
        qualifiers.extend(self.arch.as_ref().map(|arch| format!("arch={}", encoded(arch))));
        let version = distribution.version.as_ref();
        qualifiers.extend(version.map(|version| format!("distro={}-{}", encoded(id), encoded(version))));
        if !qualifiers.is_empty() {
            purl.push_str(&format!("?{}", qualifiers.join("&")));
        }
        purl
    }

    /// The path of its licence texts.
    ///
    /// Source: Debian Policy 12.5.
    pub fn copyright_path(&self) -> String {
        format!("/usr/share/doc/{}/copyright", self.name)
    }
}

/// A path without the `/usr` by which merged and unmerged systems differ.
pub fn unmerged(path: &str) -> &str {
    path.strip_prefix("/usr").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// The package of a file in `/var/lib/dpkg/info`: `libpq5:amd64.list` belongs to `libpq5` for `amd64`.
pub fn dpkg_package(list: &str) -> Option<Package> {
    let stem = list.strip_suffix(".list")?;
    let (name, arch) = match stem.split_once(':') {
        Some((name, arch)) => (name, Some(arch.to_owned())),
        None => (stem, None),
    };
    Some(Package { kind: PackageKind::Deb, name: name.to_owned(), version: None, arch, licenses: Vec::new() })
}

/// Adds the fields in dpkg's status file to these packages.
pub fn dpkg_status<'a>(status: &str, packages: impl Iterator<Item = &'a mut Package>) {
    let mut stanzas: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for stanza in status.split("\n\n") {
        stanzas.entry(field(stanza, "Package").unwrap_or_default()).or_default().push(stanza);
    }
    for package in packages {
        let is_its = |stanza: &&&str| {
            package.arch.is_none() || field(stanza, "Architecture") == package.arch.as_deref()
        };
        let Some(stanza) = stanzas.get(&*package.name).and_then(|found| found.iter().find(is_its)) else {
            continue;
        };
        package.version = field(stanza, "Version").map(str::to_owned);
        package.arch = field(stanza, "Architecture").map(str::to_owned);
    }
}

/// The packages of the files that apk's database knows; paths are without `/usr`.
///
/// Source: apk(5) of apk-tools, "The installed database": `F:` names a directory, `R:` a file in it.
pub fn apk_installed(database: &str, wanted: &BTreeSet<&str>) -> BTreeMap<String, Package> {
    let mut owned = BTreeMap::new();
    for stanza in database.split("\n\n") {
        let line = |key: char| {
            let mut lines = stanza.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            lines.next().map(str::to_owned)
        };
        let mut directory = "";
        for text in stanza.lines() {
            if let Some(path) = text.strip_prefix("F:") {
                directory = path;
            }
            let Some(file) = text.strip_prefix("R:") else { continue };
            let path = format!("/{directory}/{file}");
            if let (true, Some(name)) = (wanted.contains(unmerged(&path)), line('P')) {
                let (version, arch) = (line('V'), line('A'));
                let licenses = line('L').into_iter().collect();
                let package = Package { kind: PackageKind::Apk, name, version, arch, licenses };
                owned.insert(unmerged(&path).to_owned(), package);
            }
        }
    }
    owned
}

/// Parses os-release.
pub fn distribution(os_release: &str) -> Distribution {
    let value = |key: &str| {
        let mut lines = os_release.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.next().map(|value| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    Distribution { id: value("ID"), version: value("VERSION_ID") }
}

/// The licences that a copyright file in Debian's machine-readable form names for its files, sorted.
///
/// Source: "Machine-readable debian/copyright file", version 1.0.
pub fn machine_readable_licenses(copyright: &str) -> Vec<String> {
    if !copyright.starts_with("Format:") {
        return Vec::new();
    }
    let stanzas = copyright.split("\n\n").filter(|stanza| field(stanza, "Files").is_some());
    let names = stanzas.filter_map(|stanza| field(stanza, "License")).filter(|name| !name.is_empty());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    names.into_iter().collect()
}

/// The texts in `/usr/share/common-licenses` that a copyright file refers to.
pub fn common_licenses(copyright: &str) -> BTreeSet<String> {
    const DIRECTORY: &str = "/usr/share/common-licenses/";
    let part_of_name = |char: char| char.is_ascii_alphanumeric() || ".+-".contains(char);
    let names = copyright.match_indices(DIRECTORY).map(|(at, _)| {
        let rest = &copyright[at + DIRECTORY.len()..];
        let name = rest.split(|char| !part_of_name(char)).next().unwrap_or_default();
        name.trim_end_matches(['.', '-']).to_owned() // the end of a sentence, or of a line
    });
    names.filter(|name| !name.is_empty()).map(|name| format!("{DIRECTORY}{name}")).collect()
}

/// The first line of a field of an RFC 822 stanza.
fn field<'a>(stanza: &'a str, key: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(name: &str, arch: Option<&str>) -> Package {
        let arch = arch.map(str::to_owned);
        Package { kind: PackageKind::Deb, name: name.to_owned(), version: None, arch, licenses: Vec::new() }
    }

    #[test]
    fn a_status_stanza_is_found_by_name_and_architecture() {
        let status = "Package: libz\nArchitecture: i386\nVersion: 1\n\nPackage: libz\nStatus: ok\n\
                      Architecture: amd64\nVersion: 1:2.3+x\nDescription: z\n Package: no\n";
        let mut packages = [dpkg_package("libz:amd64.list").unwrap(), deb("libz", Some("arm64"))];
        dpkg_status(status, packages.iter_mut());
        assert_eq!(packages[0].version.as_deref(), Some("1:2.3+x"));
        assert_eq!(packages[1].version, None);
        let distribution = distribution("NAME=\"D\"\nID=debian\nVERSION_ID=\"12\"\n");
        assert_eq!(
            packages[0].purl(&distribution),
            "pkg:deb/debian/libz@1%3A2.3%2Bx?arch=amd64&distro=debian-12"
        );
    }

    #[test]
    fn files_of_apk_have_the_directory_above_them() {
        let database = "C:Q1x\nP:libpq\nV:16.4-r0\nA:x86_64\nL:PostgreSQL\nF:usr\nF:usr/lib\nR:libpq.so.5.16\n\
                        Z:Q1y\n\nP:zlib\nV:1\nF:lib\nR:libz.so.1\n";
        let owned = apk_installed(database, &BTreeSet::from(["/lib/libpq.so.5.16", "/lib/libm.so"]));
        assert_eq!(owned.len(), 1);
        let package = &owned["/lib/libpq.so.5.16"];
        assert_eq!(package.licenses, ["PostgreSQL"]);
        assert_eq!(package.purl(&Distribution::default()), "pkg:apk/alpine/libpq@16.4-r0?arch=x86_64");
    }

    #[test]
    fn licences_are_those_of_files() {
        let text = "Format: https://x\nLicense: not-of-files\n\nFiles: *\nLicense: Zlib\n\nFiles: a b\n\
                    License: GPL-2+\n text\n\nLicense: GPL-2+\n See /usr/share/common-licenses/GPL-2.\n";
        assert_eq!(machine_readable_licenses(text), ["GPL-2+", "Zlib"]);
        assert_eq!(machine_readable_licenses("This is\n\nFiles: *\nLicense: Zlib\n"), [""; 0]);
        assert_eq!(common_licenses(text), BTreeSet::from(["/usr/share/common-licenses/GPL-2".to_owned()]));
    }
}
