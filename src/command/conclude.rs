//! From findings to a verdict and an exit status.

use crate::audit::{Code, Finding, FindingGroup, Findings, Severity, by_cause};
use crate::report::{ProgramReport, Verdict, sort};
use crate::settings::Output;
use crate::ui::{Tone, Ui};

/// The findings with the severities of this run.
#[derive(Default)]
pub(super) struct Conclusion {
    /// All findings, errors first.
    pub findings: Vec<Finding>,
    /// One for each cause.
    groups: Vec<FindingGroup>,
    /// Whether one of them makes the run fail.
    pub fails: bool,
}

impl Conclusion {
    /// Prints the findings.
    pub fn show(&self, ui: &Ui) {
        show(&self.findings, &self.groups, ui);
    }

    /// Whether anything is printed with these settings.
    pub fn is_shown(&self, ui: &Ui) -> bool {
        self.groups.iter().any(|group| ui.shows(&group.shown))
    }
}

/// Adds verdict and findings to a program's report.
pub(super) fn conclude(report: &mut ProgramReport, findings: &Findings, output: &Output) -> Conclusion {
    // The verdict is what Lambda would do; `--deny` changes only the exit status.
    report.verdict = Verdict::of(findings.as_slice());
    let mut findings = weighed(findings, output);
    sort(&mut findings);
    let groups = by_cause(&findings);
    report.add_findings(&findings, &groups);
    let fails = has_error(&findings);
    Conclusion { findings, groups, fails }
}

/// Prints one finding for each cause, or with `-v` each one. If several in a row have the same help, it is printed once,
/// after the last.
pub(super) fn show(findings: &[Finding], groups: &[FindingGroup], ui: &Ui) {
    let mut shown: Vec<Finding> = Vec::new();
    for FindingGroup { shown: one, members, .. } in groups {
        if !ui.is_verbose() {
            shown.push(one.clone());
            continue;
        }
        // The help for all is that of the last.
        let each = members.iter().map(|at| findings[*at].clone());
        shown.extend(each.map(|finding| Finding { help: one.help.clone(), ..finding }));
    }
    for (at, finding) in shown.iter().enumerate() {
        let next = shown.get(at + 1);
        let is_same = |next: &Finding| next.help == finding.help && next.severity == finding.severity;
        match next.is_some_and(is_same) {
            true => ui.finding(&Finding { help: None, ..finding.clone() }),
            false => ui.finding(finding),
        }
    }
}

/// Returns the colour of the line about how it went.
pub(super) fn tone(verdict: Verdict, fails: bool) -> Tone {
    match verdict {
        _ if fails => Tone::Bad,
        Verdict::Fails => Tone::Bad,
        Verdict::Unknown => Tone::Open,
        Verdict::Starts => Tone::Good,
    }
}

/// Returns why a run fails though Lambda would start the program; nothing if it would not.
pub(super) fn denied(report: &ProgramReport) -> &'static str {
    match report.verdict {
        Verdict::Fails => "",
        Verdict::Starts | Verdict::Unknown if is_over_own_limit(report) => ", but it is larger than allowed",
        Verdict::Starts | Verdict::Unknown => ", but a finding is denied",
    }
}

/// Whether a program is larger than the user allows.
pub(super) fn is_over_own_limit(report: &ProgramReport) -> bool {
    let codes = report.findings.iter().filter_map(|finding| Code::from_name(finding.code));
    codes.into_iter().any(Code::is_own_limit)
}

/// Whether any of these findings makes the run fail, by the severities that the settings give them.
pub(super) fn fails(findings: &Findings, output: &Output) -> bool {
    has_error(&weighed(findings, output))
}

fn weighed(findings: &Findings, output: &Output) -> Vec<Finding> {
    let mut findings = findings.as_slice().to_vec();
    output.weigh(&mut findings);
    findings
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
