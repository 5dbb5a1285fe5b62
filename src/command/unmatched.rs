//! Patterns and codes that changed nothing, which are often misspelt.

use std::collections::BTreeSet;

use super::results::Results;
use crate::audit::Severity;
use crate::patterns::Patterns;
use crate::settings::{Output, Packages};
use crate::ui::Ui;

/// Settings whose values are patterns of SONAMEs.
const PATTERNS: [&str; 3] = ["assume-present", "bundle-lib", "exclude-lib"];

/// Names the patterns of SONAMEs that no library of any program has, and the codes of `--allow` without effect. A
/// manifest's are for many runs, and are named only with `-v`.
pub(super) fn say_of_packages(packages: &Packages, results: &Results, ui: &Ui) {
    let mut said = BTreeSet::new();
    let settings = packages.iter().flat_map(|package| &package.values);
    for setting in settings.filter(|setting| ui.is_verbose() || !setting.origin.is_manifest()) {
        let name = setting.row.name.as_str();
        let values = setting.values.iter().flat_map(|value| value.split(','));
        match name {
            "allow" => said.extend(values.filter_map(|code| without_effect(code, results))),
            _ if PATTERNS.contains(&name) => {
                let unmatched = values.filter(|value| !matches_library(value, results));
                said.extend(unmatched.map(|value| format!("`--{name} {value}`: it matches no library")));
            }
            _ => {}
        }
    }
    say(said, results, ui);
}

/// Names the patterns and codes of `verify` without effect.
pub(super) fn say_of_archives(assume_present: &[String], output: &Output, results: &Results, ui: &Ui) {
    let patterns = assume_present.iter().filter(|pattern| !matches_library(pattern, results));
    let mut said: BTreeSet<String> =
        patterns.map(|pattern| format!("`--assume-present {pattern}`: it matches no library")).collect();
    said.extend(output.allowed().filter_map(|code| without_effect(code.as_str(), results)));
    say(said, results, ui);
}

fn say(lines: BTreeSet<String>, results: &Results, ui: &Ui) {
    // Without a result nothing can match.
    if !results.programs.is_empty() && results.errors.is_empty() {
        lines.iter().for_each(|line| ui.status("Ignoring", line));
    }
}

fn matches_library(pattern: &str, results: &Results) -> bool {
    // A wrong pattern has ended the run.
    let pattern = Patterns::new("", &[pattern.to_owned()]).unwrap_or_default();
    let mut libraries = results.programs.iter().flat_map(|it| &it.report.libraries);
    libraries.any(|library| pattern.matches(&library.soname))
}

/// Says why a code of `--allow` changed nothing, if so.
fn without_effect(code: &str, results: &Results) -> Option<String> {
    let findings = results.programs.iter().flat_map(|it| &it.report.findings);
    let mut severities = findings.filter(|finding| finding.code == code).map(|it| it.severity).peekable();
    if severities.peek().is_none() {
        return Some(format!("`--allow {code}`: there is no such finding"));
    }
    let is_error = severities.all(|severity| severity == Severity::Error.as_str());
    is_error.then(|| format!("`--allow {code}`: an error stays one, only warnings become notes"))
}
