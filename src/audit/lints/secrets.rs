//! Included files that look like secrets and that nobody named.

use crate::archive::Content;
use crate::audit::{Code, Finding};
use crate::include::{self, Included};

/// The number of bytes of a file that are searched for secrets.
const SEARCHED: u64 = 1 << 18;

/// Warns of files that nobody named and that look like secrets, by their content or by the names of their
/// directories.
pub fn secrets(included: &[Included], name: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut known: Vec<(&str, &str)> = Vec::new();
    for file in included.iter().filter(|file| !file.is_named) {
        // Keys are at the start of files. A missing file is reported when the bundle is written.
        let bytes = match &file.content {
            Content::Link(_) => Default::default(),
            content => content.read(0..content.n_bytes().min(SEARCHED)).unwrap_or_default(),
        };
        let bytes = &*bytes;
        // `--include .aws=conf`: the directory that was named may not appear in the archive.
        let n_parts = file.name.split('/').count() + 1;
        let start = file.source.as_str().rmatch_indices('/').nth(n_parts - 1).map_or(0, |(at, _)| at);
        let by_source = || include::suspicious_part(&file.source.as_str()[start..], bytes);
        let Some(part) = include::suspicious_part(&file.name, bytes).or_else(by_source) else { continue };
        // A repository has thousands of files; one finding is enough.
        if known.contains(&(&file.by, part)) {
            continue;
        }
        known.push((&file.by, part));
        findings.push(
            Finding::new(
                Code::SuspiciousInclude,
                name,
                format!(
                    "`--include {}` includes `{}`; such files usually contain secrets",
                    file.by, file.name
                ),
            )
            .help(format!("leave it out (`exclude = [\"{part}\"]`), or include it by its own path")),
        );
    }
    findings
}
