//! Packages of a system in its package database: which package has a file, its version and its licences.
//!
//! dpkg's and apk's databases are text. rpm's is not: rpm itself is asked, and its answer is read here.

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
    /// rpm's epoch, which comes before the version, if it is not 0.
    pub epoch: Option<String>,
    /// The architecture, in the package system's words.
    pub arch: Option<String>,
    /// The licences of the package, sorted; empty if it names them only in prose.
    pub licenses: Vec<String>,
    /// The paths of its licence texts.
    pub license_files: Vec<String>,
}

/// The package systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind {
    /// Debian's dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
    /// rpm, of Amazon Linux, Fedora and their like.
    Rpm,
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
    /// Source: the purl specification and its types `deb`, `apk` and `rpm`.
    pub fn purl(&self, distribution: &Distribution) -> String {
        let encoded = |text: &str| percent_encoded(text, "");
        let (kind, usual) = match self.kind {
            PackageKind::Deb => ("deb", "debian"),
            PackageKind::Apk => ("apk", "alpine"),
            PackageKind::Rpm => ("rpm", "fedora"),
        };
        let id = distribution.id.as_deref().unwrap_or(usual);
        // The specification's own examples, and every scanner, name the vendor of RHEL.
        let vendor = if id == "rhel" { "redhat" } else { id };
        let mut purl = format!("pkg:{kind}/{}/{}", encoded(vendor), encoded(&self.name));
        if let Some(version) = &self.version {
            purl.push_str(&format!("@{}", encoded(version)));
        }
        let mut qualifiers = Vec::new();
        qualifiers.extend(self.arch.as_ref().map(|arch| format!("arch={}", encoded(arch))));
        let version = distribution.version.as_ref();
        qualifiers.extend(version.map(|version| format!("distro={}-{}", encoded(id), encoded(version))));
        qualifiers.extend(self.epoch.as_ref().map(|epoch| format!("epoch={}", encoded(epoch))));
        if !qualifiers.is_empty() {
            purl.push_str(&format!("?{}", qualifiers.join("&")));
        }
        purl
    }

    /// The version with the epoch.
    pub fn full_version(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        Some(match &self.epoch {
            Some(epoch) => format!("{epoch}:{version}"),
            None => version.clone(),
        })
    }

    /// A package of which only the name is known yet.
    fn named(kind: PackageKind, name: &str) -> Package {
        Package {
            kind,
            name: name.to_owned(),
            version: None,
            epoch: None,
            arch: None,
            licenses: Vec::new(),
            license_files: Vec::new(),
        }
    }
}

/// The path of a package's licence texts in Debian.
///
/// Source: Debian Policy 12.5.
fn copyright_path(name: &str) -> String {
    format!("/usr/share/doc/{name}/copyright")
}

/// The format for `rpm --queryformat`: a line for a package, then one for each of its files.
pub const RPM_QUERY: &str =
    "P\\t%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{LICENSE}\\n[F\\t%{FILENAMES}\\n]";

/// The packages of the wanted files in what rpm printed by [`RPM_QUERY`]; paths are without `/usr`. Other lines, such as
/// that a file has no package, are passed over.
pub fn rpm_owned(printed: &str, wanted: &BTreeSet<&str>) -> BTreeMap<String, Package> {
    let mut owned: BTreeMap<String, Package> = BTreeMap::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut lines = printed.lines().peekable();
    while let Some(line) = lines.next() {
        let fields: Vec<&str> = line.split('\t').collect();
        let ["P", name, epoch, version, arch, license] = fields[..] else { continue };
        let files = std::iter::from_fn(|| lines.next_if(|line| line.starts_with("F\t")));
        let files: Vec<&str> = files.filter_map(|line| line.strip_prefix("F\t")).collect();
        // A package is printed once for each of its files that were asked for.
        if !known.insert(line) {
            continue;
        }
        let mut package = Package::named(PackageKind::Rpm, name);
        package.version = Some(version.to_owned());
        package.epoch = Some(epoch.to_owned()).filter(|epoch| epoch != "0" && epoch != "(none)");
        package.arch = Some(arch.to_owned()).filter(|arch| arch != "(none)");
        package.licenses = vec![license.to_owned()];
        let is_license = |file: &&&str| file.starts_with("/usr/share/licenses/");
        package.license_files = files.iter().filter(is_license).map(|file| (*file).to_owned()).collect();
        for file in files.iter().filter(|file| wanted.contains(unmerged(file))) {
            owned.insert(unmerged(file).to_owned(), package.clone());
        }
    }
    owned
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
    let license_files = vec![copyright_path(name)];
    Some(Package { arch, license_files, ..Package::named(PackageKind::Deb, name) })
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
                let license_files = vec![copyright_path(&name)];
                let named = Package::named(PackageKind::Apk, &name);
                let package = Package { version, arch, licenses, license_files, ..named };
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
        Package { arch, ..Package::named(PackageKind::Deb, name) }
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
    fn rpm_prints_each_package_with_its_files() {
        let printed = "error: x\nfile /usr/lib64/own.so is not owned by any package\n\
                       P\ttop\t1\t2.3-4.amzn2023\tx86_64\tMIT and Zlib\nF\t/usr/lib64/libtop.so.1\n\
                       F\t/usr/share/licenses/top/COPYING\nP\tzlib\t0\t1.2-1\tx86_64\tzlib\nF\t/lib64/libz.so.1\n\
                       F\t/lib64/other\nF\t\nP\tcut\t1\n";
        let owned = rpm_owned(printed, &BTreeSet::from(["/lib64/libtop.so.1", "/lib64/libz.so.1", ""]));
        assert_eq!(owned.len(), 3, "{owned:?}");
        let distribution = distribution("ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
        let top = &owned["/lib64/libtop.so.1"];
        assert_eq!(
            top.purl(&distribution),
            "pkg:rpm/amzn/top@2.3-4.amzn2023?arch=x86_64&distro=amzn-2023&epoch=1"
        );
        assert_eq!(top.full_version().as_deref(), Some("1:2.3-4.amzn2023"));
        assert_eq!(
            (&*top.licenses[0], &*top.license_files[0]),
            ("MIT and Zlib", "/usr/share/licenses/top/COPYING")
        );
        let zlib =
            owned["/lib64/libz.so.1"].purl(&Distribution { id: Some("rhel".to_owned()), version: None });
        assert_eq!(zlib, "pkg:rpm/redhat/zlib@1.2-1?arch=x86_64");
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
