//! A plain list of library paths, one in each line, as a baseline: names alone, and little else known.
//!
//! `du -a /lib64 /usr/lib64 | cut -f2` prints such a list in a container. The directories are ignored: a list from
//! `/usr/lib64` serves a system where `/lib64` is a link to it. A library that is not listed is taken as absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lines::has_control;
use super::{Baseline, Evidence, LIBRARY_PATH, Lifecycle, Nodes, Presence, SystemObject};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::paths::file_name;

/// Whether a text is such a list: its first line that is neither empty nor a comment is an absolute path.
pub fn is_list(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')).is_some_and(|line| line.starts_with('/'))
}

impl Baseline {
    /// The baseline of a list for programs of `arch`; `name` is the name of its runtime, `recorded` the day.
    ///
    /// # Errors
    ///
    /// If a line is no path; the error names its number.
    pub fn of_list(text: &str, name: &str, arch: Arch, recorded: &str) -> Result<Baseline> {
        let mut objects: BTreeMap<&str, SystemObject> = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !line.starts_with('/') || has_control(line) {
                return Err(Error::new(format!("line {}: expected an absolute path", at + 1)));
            }
            let file = file_name(line);
            // `du` also lists the directories.
            if file.contains(".so") {
                objects.insert(file, listed(file));
            }
        }
        if objects.is_empty() {
            return Err(Error::new("no line names a library (`.so`)"));
        }
        // The files of glibc have its release in their names up to 2.33.
        let release = objects.keys().find_map(|name| name.strip_prefix("libc-")?.strip_suffix(".so"));
        let is_release = |text: &&str| text.split('.').all(|part| part.parse::<u16>().is_ok());
        let glibc = release.filter(is_release).unwrap_or("2.34").to_owned();
        Ok(Baseline {
            runtime: name.to_owned(),
            root: None,
            arch,
            recorded: recorded.to_owned(),
            glibc,
            complete: true,
            interpreters: vec![arch.interpreters()[0].to_owned()],
            default_dirs: vec!["/lib64".to_owned(), "/usr/lib64".to_owned()],
            library_paths: vec![LIBRARY_PATH.to_owned(), format!("/var/lang/lib:{LIBRARY_PATH}")],
            lifecycle: Lifecycle::default(),
            evidence: Vec::new(),
            root_files: None,
            names_only: true,
            objects: objects.into_values().map(Arc::new).collect(),
        })
    }
}

fn listed(name: &str) -> SystemObject {
    SystemObject {
        soname: name.to_owned(),
        file: None,
        older_file: None,
        lacks: Vec::new(),
        package: None,
        presence: Presence::Present,
        evidence: Evidence::Captured,
        codes: Vec::new(),
        certain: true,
        behind: None,
        since: None,
        directory: None,
        nodes: Nodes::Unknown,
        nodes_from: None,
        facts: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_list() {
        for (text, expected) in [
            ("/lib64/libc.so.6\n", true),
            ("# made by du\n\n  /lib64\n", true),
            ("runtime x\n", false),
            ("# /lib64\n", false),
            ("libc.so.6\n", false),
            ("", false),
        ] {
            assert_eq!(is_list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_count_and_directories_do_not() {
        let text = "/usr/lib64/libz.so.1.2.7\n/usr/lib64/libz.so.1\r\n/lib64/libz.so.1\n/usr/lib64\n/lib64/libc-2.26.so\n";
        let table = Baseline::of_list(text, "mine", Arch::X86_64, "2026-11-23").unwrap();
        let names: Vec<&str> = table.objects().iter().map(|object| object.soname.as_str()).collect();
        assert_eq!(names, ["libc-2.26.so", "libz.so.1", "libz.so.1.2.7"]);
        assert_eq!((table.glibc.as_str(), table.names_only), ("2.26", true));
        let table = Baseline::of_list("/lib64/libc.so.6", "mine", Arch::Arm64, "2026-11-23").unwrap();
        assert_eq!(
            (table.glibc.as_str(), table.interpreters[0].as_str()),
            ("2.34", "/lib/ld-linux-aarch64.so.1")
        );
    }

    #[test]
    fn other_lines_are_refused_by_number() {
        for (text, expected) in [
            ("/lib64/libz.so.1\nlibz.so.1\n", "line 2: expected an absolute path"),
            ("/lib64/li\x1bbz.so.1\n", "line 1: expected an absolute path"),
            ("/lib64\n", "no line names a library (`.so`)"),
        ] {
            let error = Baseline::of_list(text, "mine", Arch::X86_64, "2026-11-23").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
