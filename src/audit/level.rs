//! Objects that ld.so refuses because they need a better processor.

use super::{Code, Finding, Findings, Severity, Subject, chain, label};
use crate::lambda::Walked;

/// Adds a finding for each object that needs a better processor than the walk assumes.
pub(super) fn findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    let closure = &walked.closure;
    for index in (0..closure.objects.len()).filter(|index| walked.refuses_level(*index)) {
        let name = label(subject, closure, index);
        let level = walked.variant.processor.isa_level;
        let message = format!(
            "`{name}` is marked as needing more than x86-64-v{level}, which Lambda's processors may not have"
        );
        let mut finding = Finding::new(Code::CpuLevel, &name, message)
            .detail("without it, ld.so stops with \"CPU ISA level is lower than required\"")
            .help(
                "compile for all of Lambda's processors: `-C target-cpu=x86-64-v3`, `-march=x86-64-v3` for C",
            );
        finding.severity = Severity::Error;
        finding.chain = chain(subject, closure, index);
        findings.add(finding);
    }
}
