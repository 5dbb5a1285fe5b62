//! The package databases and documentation of a root, read without running its tools. For rpm's, the caller asks the
//! rpm of this machine.
//!
//! A package that cannot be read is unknown; the report then names no package.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};
use camino::{Utf8Path, Utf8PathBuf};

use super::build_world::resolve_in;
use crate::packages::{
    Distribution, Package, apk_installed, distribution, dpkg_package, dpkg_status, machine_readable_licenses,
    rpm_owned, unmerged,
};

/// Directories in which no package has a file, but projects are built there: their libraries are not looked up.
///
/// Source: FHS 3.0, 3.8, 3.14 and 3.18.
const OF_NO_PACKAGE: [&str; 3] = ["/home/", "/root/", "/tmp/"];

/// A root and its package database.
pub struct PackageDatabase {
    root: Utf8PathBuf,
    /// The kind of system.
    pub distribution: Distribution,
}

impl PackageDatabase {
    /// Describes this machine, or a `--sysroot`.
    pub fn new(sysroot: Option<&Utf8Path>) -> PackageDatabase {
        let root = sysroot.unwrap_or(Utf8Path::new("/"));
        let root = root.canonicalize_utf8().unwrap_or_else(|_| root.to_owned());
        let mut packages = PackageDatabase { root, distribution: Distribution::default() };
        let os_release = packages.text("/etc/os-release").unwrap_or_default();
        packages.distribution = distribution(&os_release);
        packages
    }

    /// Returns the text of a file of this root, links followed inside it.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = super::read(&resolve_in(&self.root, path).ok()?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the packages that own these files of this machine, links followed, with their licences. `ask_rpm` returns
    /// what rpm prints about files of this root, by its database in a directory.
    pub fn owners(
        &self,
        files: &BTreeSet<&str>,
        ask_rpm: impl FnOnce(&Utf8Path, &[&str]) -> String,
    ) -> BTreeMap<String, Package> {
        let inside = |file: &str| {
            let rest = Utf8Path::new(file).strip_prefix(&self.root).ok()?;
            Some(format!("/{rest}"))
        };
        let mut paths: Vec<(&str, String)> =
            files.iter().filter_map(|file| Some((*file, inside(file)?))).collect();
        paths.retain(|(_, path)| !OF_NO_PACKAGE.iter().any(|directory| path.starts_with(directory)));
        let wanted: BTreeSet<&str> = paths.iter().map(|(_, path)| unmerged(path)).collect();
        let mut owned = self.of_dpkg(&wanted);
        if let Some(database) = self.text("/lib/apk/db/installed") {
            owned.extend(apk_installed(&database, &wanted));
        }
        let others = paths.iter().map(|(_, path)| path.as_str());
        let others: Vec<&str> = others.filter(|path| !owned.contains_key(unmerged(path))).collect();
        if let Some(database) = self.rpm_database().filter(|_| !others.is_empty()) {
            owned.extend(rpm_owned(&ask_rpm(&database, &others), &wanted));
        }
        let of = |path: &str| owned.get(unmerged(path)).cloned();
        paths.iter().filter_map(|(file, path)| Some(((*file).to_owned(), of(path)?))).collect()
    }

    /// The directory of rpm's database.
    ///
    /// Source: `_dbpath` and `_db_backend` in rpm's macros: Fedora since 36, Amazon Linux.
    fn rpm_database(&self) -> Option<Utf8PathBuf> {
        let directories = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"].into_iter();
        let mut directories = directories.filter_map(|path| resolve_in(&self.root, path).ok());
        let files = ["rpmdb.sqlite", "Packages", "Packages.db"];
        directories.find(|directory| files.iter().any(|file| super::exists(&directory.join(file))))
    }

    fn of_dpkg(&self, wanted: &BTreeSet<&str>) -> BTreeMap<String, Package> {
        let mut owned = BTreeMap::new();
        if wanted.is_empty() {
            return owned;
        }
        let directory = resolve_in(&self.root, "/var/lib/dpkg/info");
        let Some(entries) = directory.ok().and_then(|directory| directory.read_dir_utf8().ok()) else {
            return owned;
        };
        let Some(lines) = WantedLines::new(wanted) else { return owned };
        for entry in entries.flatten() {
            let Some(package) = dpkg_package(entry.file_name()) else { continue };
            let Ok(bytes) = super::read(entry.path()) else { continue };
            owned.extend(lines.among(bytes).into_iter().map(|path| (path.to_owned(), package.clone())));
        }
        if !owned.is_empty() {
            dpkg_status(&self.text("/var/lib/dpkg/status").unwrap_or_default(), owned.values_mut());
        }
        for package in owned.values_mut() {
            let copyright = package.license_files.first().and_then(|path| self.text(path));
            package.licenses = machine_readable_licenses(&copyright.unwrap_or_default());
        }
        owned
    }
}

/// A search for paths among the lines of a text: a system has a thousand lists of files, of 10 MB.
struct WantedLines<'a> {
    /// Each line that is wanted, without and with `/usr`, as bytes between newlines: two for each path.
    paths: Vec<&'a str>,
    lines: AhoCorasick,
}

impl<'a> WantedLines<'a> {
    /// Returns `None` if there are too many paths to search for.
    fn new(wanted: &BTreeSet<&'a str>) -> Option<WantedLines<'a>> {
        let paths: Vec<&str> = wanted.iter().copied().filter(|path| !path.contains('\n')).collect();
        let lines = paths.iter().flat_map(|path| [format!("\n{path}"), format!("\n/usr{path}")]);
        // Of paths that begin alike the longest one is the line, if one of them is.
        let lines = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(lines).ok()?;
        Some(WantedLines { paths, lines })
    }

    /// Returns the paths that are lines of this text.
    fn among(&self, text: Vec<u8>) -> Vec<&'a str> {
        let text = [b"\n".to_vec(), text].concat();
        let found = self.lines.find_iter(&text);
        let whole = found.filter(|found| matches!(text.get(found.end()), None | Some(b'\n')));
        whole.map(|found| self.paths[found.pattern().as_usize() / 2]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_wanted_only_as_a_whole_line() {
        let wanted =
            BTreeSet::from(["/lib/libz.so.1", "/lib/libz.so.1.2", "/lib/libq.so.1", "/lib/a", "/b\n/c"]);
        let lines = WantedLines::new(&wanted).unwrap();
        let check = |text: &[u8], expected: &[&str]| assert_eq!(lines.among(text.to_vec()), expected);
        check(
            b"/.\n/usr\n/lib/libz.so.1\n/usr/lib/libz.so.1.2\n/lib/a",
            &["/lib/libz.so.1", "/lib/libz.so.1.2", "/lib/a"],
        );
        check(b"/usr/lib/a", &["/lib/a"]);
        check(b"/lib/libz.so.1.2.3\n/lib/libz.so\n/opt/lib/libz.so.1\n/lib/a \n/usr/usr/lib/a\n", &[]);
        check(b"/lib/\xff\n/lib/libq.so.1\n/b\n/c\n", &["/lib/libq.so.1"]);
        check(b"", &[]);
        assert_eq!(WantedLines::new(&BTreeSet::new()).unwrap().among(b"/lib/a\n".to_vec()), [""; 0]);
    }
}
