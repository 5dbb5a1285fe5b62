//! The findings as a code quality report, which GitLab shows in merge requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Failure, FindingReport, ProgramReport, json};
use crate::archive::sha256;
use crate::text::{hex, printable};

/// Makes the report of a run; paths below `current_dir` are relative to it, as GitLab wants them.
///
/// A finding is placed in the manifest of the package, because GitLab links to the file and a program is none of the
/// repository's.
///
/// Source: "Code Quality report format" in GitLab's documentation.
pub fn document(artifacts: &[&ProgramReport], failure: Option<&Failure>, current_dir: &str) -> String {
    let mut issues = Vec::new();
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    for artifact in artifacts {
        for finding in &artifact.shown {
            let mut identity = identity(artifact, finding);
            // Two findings of one report must not have the same fingerprint.
            let count = known.entry(identity.clone()).or_default();
            *count += 1;
            if *count > 1 {
                identity.push_str(&format!("\0{count}"));
            }
            let path = artifact.manifest.as_ref().unwrap_or(&artifact.path);
            issues.push(json!({
                "description": description(artifact, finding),
                "check_name": finding.code,
                "fingerprint": hex(&sha256(identity.as_bytes())),
                "severity": severity(finding.severity),
                "location": { "path": relative(path, current_dir), "lines": { "begin": 1 } },
            }));
        }
    }
    if let Some(failure) = failure {
        issues.push(json!({
            "description": clean(&failure.lines()),
            "check_name": "no-result",
            "fingerprint": hex(&sha256(failure.message.as_bytes())),
            "severity": "blocker",
            "location": { "path": "Cargo.toml", "lines": { "begin": 1 } },
        }));
    }
    json(&Value::Array(issues))
}

/// What makes a finding the same as one of an earlier run: no path of this machine, no size and no age.
fn identity(artifact: &ProgramReport, finding: &FindingReport) -> String {
    let mut words = vec![finding.code, &artifact.name, &artifact.runtime];
    words.extend(artifact.arch.as_deref());
    words.extend(finding.objects.iter().map(String::as_str));
    words.extend(finding.soname.as_deref());
    words.extend(finding.versions.iter().map(String::as_str));
    words.extend(finding.symbols.iter().map(String::as_str));
    words.join("\0")
}

fn description(artifact: &ProgramReport, finding: &FindingReport) -> String {
    let mut text = format!("{} on {}: {}", artifact.name, artifact.runtime, finding.message);
    for line in finding.details.iter().chain(&finding.origin) {
        text.push_str(&format!("\n{line}"));
    }
    if let Some(help) = &finding.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    clean(&text)
}

fn severity(severity: &str) -> &'static str {
    match severity {
        "error" => "blocker",
        "warning" => "major",
        _ => "info",
    }
}

fn clean(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn relative(path: &str, current_dir: &str) -> String {
    let below = path.strip_prefix(current_dir).and_then(|rest| rest.strip_prefix('/'));
    printable(below.unwrap_or(path))
}
