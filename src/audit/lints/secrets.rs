//! Included files that look like secrets and that nobody named, and those of a stranger's manifest.

use crate::archive::Content;
use crate::audit::{Code, Finding, Severity};
use crate::include::{self, Included, RefusedInclude};

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

/// Warns of files outside the workspace that a manifest includes: it may be a stranger's. One finding for each
/// include.
pub fn strangers(files: &[&Included], name: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for file in files.iter().filter(|file| !known_by(&mut known, &file.by)) {
        let message = format!(
            "`include` of a manifest names `{}`, and `{}` is outside the workspace",
            file.by, file.source
        );
        let help =
            format!("if it is meant, say so on the command line: `--include {}={}`", file.source, file.name);
        findings.push(Finding::new(Code::SuspiciousInclude, name, message).help(help));
    }
    findings
}

fn known_by<'a>(known: &mut Vec<&'a str>, by: &'a str) -> bool {
    let is_known = known.contains(&by);
    known.push(by);
    is_known
}

/// Reports devices and files of the kernel, such as `/proc/self/environ` with the keys of a CI job. They are not in the
/// bundle, so that these findings are errors.
pub fn unstored(refused: &[RefusedInclude], name: &str) -> Vec<Finding> {
    let finding = |file: &RefusedInclude| {
        let message = format!("`--include {}` includes `{}`, which is {}", file.by, file.source, file.kind);
        let finding = Finding::new(Code::SuspiciousInclude, name, message);
        let finding = finding.help("leave it out, or copy what is meant to a file and include that");
        Finding { severity: Severity::Error, ..finding }
    };
    refused.iter().map(finding).collect()
}
