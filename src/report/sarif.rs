//! The findings as SARIF 2.1.0, for code scanning.

use serde_json::{Value, json};

use super::{Failure, FindingReport, ProgramReport, json};
use crate::audit::pages::page;
use crate::audit::{Code, Severity};
use crate::text::{percent_encoded, printable};

/// Makes the document of a run; paths below `current_dir` are relative to it.
///
/// Source: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
pub fn document(artifacts: &[&ProgramReport], failure: Option<&Failure>, current_dir: &str) -> String {
    let rules: Vec<Value> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = artifacts
        .iter()
        .flat_map(|artifact| artifact.shown.iter().map(|finding| result(artifact, finding, current_dir)))
        .collect();
    let mut invocation = json!({ "executionSuccessful": failure.is_none() });
    if let Some(failure) = failure {
        invocation["toolExecutionNotifications"] =
            json!([{ "level": "error", "message": { "text": clean(&failure.lines()) } }]);
    }
    json(&json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "invocations": [invocation],
            "results": results,
        }],
    }))
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "shortDescription": { "text": code.meaning() },
        "fullDescription": { "text": format!(
            "{} `--deny {code}` makes an error of it, `--allow {code}` a note of a warning.",
            code.meaning(),
            code = code.as_str()
        ) },
        // A viewer without Markdown shows the text, which is readable as it is.
        "help": { "text": page(code), "markdown": page(code) },
        "defaultConfiguration": { "level": level(code.severity()) },
    })
}

fn level(severity: Severity) -> &'static str {
    severity.as_str() // SARIF uses the same words.
}

fn result(artifact: &ProgramReport, finding: &FindingReport, current_dir: &str) -> Value {
    let help = finding.help.as_ref().map(|help| format!("help: {help}"));
    let lines = std::iter::once(&finding.message).chain(&finding.details).chain(&finding.origin).chain(&help);
    let text: Vec<&str> = lines.map(String::as_str).collect();
    let place = |object: &String| json!({ "name": clean(object), "kind": "module" });
    json!({
        "ruleId": finding.code,
        "ruleIndex": Code::ALL.iter().position(|code| code.as_str() == finding.code),
        "level": finding.severity,
        "message": { "text": clean(&text.join("\n")) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&artifact.path, current_dir) },
                // A program has no lines, but GitHub shows no result without one.
                "region": { "startLine": 1 },
            },
            "logicalLocations": finding.objects.iter().map(place).collect::<Vec<Value>>(),
        }],
        "properties": {
            "program": clean(&artifact.name),
            "runtime": artifact.runtime,
            "arch": artifact.arch,
            "soname": finding.soname,
            "versions": finding.versions,
            "symbols": finding.symbols,
            "chain": finding.chain,
        },
    })
}

fn clean(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Returns a path as a URI reference: relative below the current directory, else with `file:`.
fn uri(path: &str, current_dir: &str) -> String {
    let below = path.strip_prefix(current_dir).and_then(|rest| rest.strip_prefix('/'));
    match below {
        Some(relative) => percent_encoded(relative, "/"),
        None => format!("file://{}", percent_encoded(path, "/")),
    }
}
