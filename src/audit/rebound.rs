//! Findings about references that are bound to older versions in the runtime's glibc.

use std::collections::BTreeSet;

use super::cause::newest;
use super::{Cause, Code, Finding, Severity};
use crate::lambda::LambdaWorld;
use crate::plan::{BoundTo, Rebound, ReboundFile};

/// Makes one finding for each file: a note if the behaviour is the same, else a warning that names the references.
pub fn rebound_findings(program: &str, lambda: &LambdaWorld, files: &[ReboundFile]) -> Vec<Finding> {
    files.iter().map(|file| finding(file.library.as_deref().unwrap_or(program), lambda, file)).collect()
}

fn finding(object: &str, lambda: &LambdaWorld, file: &ReboundFile) -> Finding {
    let glibc = &lambda.baseline.glibc;
    let nodes: BTreeSet<&str> = file.references.iter().map(|rebound| rebound.from.as_str()).collect();
    let mut versions: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
    versions.sort_by(|a, b| crate::elf::version::compare(a, b));
    let symbols: BTreeSet<&String> = file.references.iter().map(|rebound| &rebound.symbol).collect();
    let differs: BTreeSet<&str> = file.references.iter().filter_map(|rebound| rebound.differs).collect();
    let takes: Vec<String> = file.references.iter().map(takes).collect();
    let shown = match takes.as_slice() {
        [first, second, third, more @ ..] if more.len() > 1 => {
            format!("{first}, {second}, {third} and {} more", more.len())
        }
        all => all.join(", "),
    };
    let than = format!("than the {glibc} of {}", lambda.label());
    let message = format!("`{object}` was linked to a newer glibc ({}) {than}", newest(&versions));
    let mut finding =
        Finding::new(Code::GlibcRebound, object, message).detail(format!("the bundle's copy takes {shown}"));
    let mut cause = Cause::versions("were linked to a newer glibc (", format!(") {than}"))
        .detail("the bundle's copies take older symbol versions, or other symbols, in their place");
    for what in &differs {
        finding = finding.detail(*what);
        cause = cause.detail(*what);
    }
    if differs.is_empty() {
        finding.severity = Severity::Note;
    } else {
        finding.help = Some(format!(
            "if the difference does not matter, allow it with `--allow glibc-rebound`: a program built against glibc {glibc} does the same"
        ));
    }
    finding.cause = Some(cause);
    finding.versions = versions;
    finding.symbols = symbols.into_iter().cloned().collect();
    finding
}

fn takes(rebound: &Rebound) -> String {
    let symbol = &rebound.symbol;
    match &rebound.to {
        BoundTo::Null => format!("nothing for `{symbol}`, a weak reference"),
        BoundTo::Runtime(name) if name == symbol => format!("the runtime's `{name}`"),
        BoundTo::Runtime(name) => format!("`{name}` for `{symbol}`"),
        BoundTo::Supplied => format!("`{symbol}` of `{}`", crate::repair::COMPAT),
        BoundTo::Bundle => format!("the bundle's own `{symbol}`"),
    }
}
