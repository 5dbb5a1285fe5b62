//! The files of an archive that a language runtime can run.

use std::path::Path;

use super::unpacked::UnpackedFile;
use crate::archive::{BOOTSTRAP, Kind, ReadArchive};
use crate::baseline;

/// Whether a function's archive has a `bootstrap`, which this runtime does not start, and no file of its language.
///
/// False for .NET and Go, whose handler may be a program of any name, and for runtimes that are not known.
pub fn has_only_bootstrap(read: &ReadArchive<UnpackedFile>, runtime: &str) -> bool {
    if !baseline::names().contains(&runtime) {
        return false;
    }
    // Source: the pages on handlers of each language in the AWS Lambda developer guide; Python imports native modules,
    // too, and so does Ruby.
    let endings: &[&str] = match baseline::language_family(runtime) {
        "nodejs" => &["js", "mjs", "cjs"],
        "python" => &["py", "pyc", "so"],
        "java" => &["jar", "class"],
        "ruby" => &["rb", "so"],
        _ => return false,
    };
    let mut files = read.entries.iter().filter(|entry| entry.kind != Kind::Directory);
    let has_bootstrap = files.clone().any(|entry| entry.name == BOOTSTRAP);
    let is_of_language = |name: &str| {
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    has_bootstrap && !files.any(|entry| is_of_language(&entry.name))
}
