//! Findings that need no walk: the age of the baseline, AWS's dates for the runtime, and the program's own
//! architecture and age.

use crate::archive::BOOTSTRAP;
use crate::audit::{Code, Finding, Severity};
use crate::baseline::{Baseline, DEFAULT_RUNTIME, names, runtimes, starts_bootstrap};
use crate::date;
use crate::elf::{Arch, ElfFacts};

/// Returns a finding if the program is not for the architecture of `--arch`.
pub fn arch_assertion(facts: &ElfFacts, wanted: Option<Arch>, name: &str) -> Option<Finding> {
    let (wanted, arch) = (wanted?, facts.arch()?);
    (wanted != arch).then(|| {
        Finding::new(
            Code::WrongArch,
            name,
            format!("`{name}` is for {arch}, but `--arch {wanted}` is set"),
        )
        .help(format!(
            "build it with `--target {}-unknown-linux-gnu`, or use `--arch {arch}` if the function has that",
            wanted.gnu_name()
        ))
    })
}

/// Reports that the runtime, or the baseline in its place, does not offer the program's architecture.
pub fn arch_not_offered(name: &str, arch: Arch, runtime: &str, is_file: bool) -> Finding {
    let what = if is_file { "baseline" } else { "runtime" };
    let message = format!("`{name}` is for {arch}, which the {what} {runtime} does not offer");
    Finding::new(Code::WrongArch, name, message).help(match is_file {
        true => "capture a root of that architecture: `baseline capture --arch`",
        // The functions of a language stay functions of that language.
        false if !starts_bootstrap(runtime) => {
            "choose another version of the runtime, or build for the other"
        }
        false => "choose another runtime: `--runtime provided.al2023`",
    })
}

/// Reports that a language runtime has nothing to start in an archive with a `bootstrap`.
pub fn bootstrap_not_started(path: &str, runtime: &str) -> Finding {
    let message =
        format!("{runtime} starts no `bootstrap`, and `{path}` has no other file that it could run");
    Finding::new(Code::NotStarted, BOOTSTRAP, message)
        .help(format!("give the function the runtime {DEFAULT_RUNTIME}, which starts it"))
}

/// Warns that the code of a template's function is not on this machine.
pub fn code_not_seen(function: &str, template: &str, why: &str) -> Finding {
    let message = format!("the code of `{function}` of `{template}` is not verified: {why}");
    let finding = Finding::new(Code::TemplateUnknown, function, message)
        .help("name its ZIP: `verify <ZIP> --template <FILE>`");
    Finding { leaves_open: true, ..finding }
}

/// Makes a warning of an error about something that one of these layers, which nobody has read, may have in /opt.
pub fn perhaps_in_layer(finding: Finding, layers: &[&str]) -> Finding {
    let may_have = match finding.code {
        Code::BootstrapMissing | Code::MissingLibrary => true,
        Code::InterpreterMissing => finding.message.contains("/opt/"),
        _ => false,
    };
    let Some(layer) = layers.first().filter(|_| may_have && finding.severity == Severity::Error) else {
        return finding;
    };
    let help = "download the layer (`aws lambda get-layer-version-by-arn`) and name it with `--attached-layer <ZIP>`";
    let finding = finding.detail(format!("the layer `{layer}` may have it")).help(help);
    Finding { severity: Severity::Warning, leaves_open: true, ..finding }
}

/// Warns that `source` is newer than the program `name` at `path`, which was built from it.
pub fn stale_binary(name: &str, path: &str, source: &str) -> Finding {
    let message = format!("`{source}` is newer than `{path}`, which was built from it");
    Finding::new(Code::StaleBinary, name, message).help("build it again, or use `--build`")
}

/// AWS changes images every few weeks; libraries and symbol versions come and go over years.
const DAYS_UNTIL_OLD: u64 = 365;

/// Returns the findings about the runtime itself; `today` is a date like `2026-11-21`.
pub fn runtime_findings(baseline: &Baseline, name: &str, today: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let newest = baseline.evidence_dates().newest;
    if date::days_between(&newest, today) > DAYS_UNTIL_OLD {
        let message = format!(
            "the newest evidence for the libraries of {} is over a year old ({newest})",
            baseline.runtime
        );
        let finding = Finding::new(Code::BaselineOld, name, message)
            .detail("the runtime's images may have changed since then");
        let is_embedded = names().contains(&baseline.runtime.as_str());
        findings.push(match is_embedded {
            true => finding.help(
                "look into the runtime itself with `cargo lambda-bundle baseline probe`, and name what `baseline \
                 capture --from-probe` writes with `--baseline <FILE>`",
            ),
            false => finding.help("capture it again: `cargo lambda-bundle baseline capture`"),
        });
    }
    let lifecycle = &baseline.lifecycle;
    let passed = |date: &Option<String>| date.as_ref().is_some_and(|date| date.as_str() <= today);
    if baseline.names_only {
        let message = format!(
            "`{}` lists names only: what its libraries define and need is not known",
            baseline.runtime
        );
        let finding = Finding::new(Code::NamesOnly, name, message)
            .detail("libraries that it does not list are taken as absent");
        findings.push(finding.help("`cargo lambda-bundle baseline capture` reads full facts from a root"));
        return findings;
    }
    if !passed(&lifecycle.deprecated) {
        return findings;
    }
    let since = lifecycle.deprecated.as_deref().unwrap_or_default();
    let message = format!("AWS deprecated the runtime {} on {since}", baseline.runtime);
    let mut finding = Finding::new(Code::RuntimeDeprecated, name, message);
    for (what, date) in [("creating", &lifecycle.create_blocked), ("updating", &lifecycle.update_blocked)] {
        if let Some(date) = date {
            let verb = if date.as_str() <= today { "has been blocked since" } else { "will be blocked on" };
            finding = finding.detail(format!("{what} functions {verb} {date}"));
        }
    }
    let is_older = baseline.runtime != DEFAULT_RUNTIME;
    if is_older && runtimes().contains(&baseline.runtime.as_str()) {
        finding = finding.help(format!("move to `--runtime {}`", DEFAULT_RUNTIME));
    }
    findings.push(finding);
    findings
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::baseline::embedded;

    #[track_caller]
    fn check(recorded: &str, days_after_2026_01_01: u64, expected: &[Code]) {
        let Some(mut baseline) = embedded("provided.al2023", Arch::X86_64) else { panic!("no table") };
        // The day of all evidence: the day of the research does not count.
        for source in &mut baseline.evidence {
            source.date = recorded.to_owned();
        }
        let now = Duration::from_secs(1_767_225_600 + days_after_2026_01_01 * 86_400);
        let today = date::day(SystemTime::UNIX_EPOCH + now);
        let findings = runtime_findings(&baseline, "app", &today);
        let codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_table_is_old_after_a_year() {
        check("2026-01-01", 365, &[]);
        check("2026-01-01", 366, &[Code::BaselineOld]);
        check("2027-01-01", 0, &[]);
        check("a day that is none", 366, &[]);
    }
}
