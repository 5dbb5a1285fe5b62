//! From findings to a verdict and an exit status.

use crate::audit::{Finding, Findings, Severity};
use crate::report::{ProgramReport, Verdict, finding_reports, sort};
use crate::settings::Output;
use crate::ui::Ui;

/// The findings with the severities of this run.
pub(super) struct Conclusion {
    /// All findings, errors first.
    pub findings: Vec<Finding>,
    /// Whether one of them makes the run fail.
    pub fails: bool,
}

/// Prints a program's findings, and adds verdict and findings to the report.
pub(super) fn conclude(
    report: &mut ProgramReport,
    findings: &Findings,
    output: &Output,
    ui: &Ui,
) -> Conclusion {
    // The verdict is what Lambda would do; `--deny` changes only the exit status.
    report.verdict = Verdict::of(findings.as_slice());
    let mut findings = weighed(findings, output);
    sort(&mut findings);
    report.findings = finding_reports(&findings);
    for (at, finding) in findings.iter().enumerate() {
        let mut shown = finding.clone();
        // If several findings in a row have the same help, it is printed once, after the last.
        let next = findings.get(at + 1);
        if next.is_some_and(|next| next.help == finding.help && next.severity == finding.severity) {
            shown.help = None;
        }
        ui.finding(&shown);
    }
    let fails = has_error(&findings);
    Conclusion { findings, fails }
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
