//! Findings about symbols: references of a walk that are not known to be satisfied.

use std::collections::BTreeMap;

use super::{Cause, Code, Finding, Findings, Owner, Severity, Subject, chain, label};
use crate::baseline::is_glibc_part;
use crate::elf::{ElfFacts, Linkage};
use crate::lambda::Walked;
use crate::loader::{Undefined, UnmetReference};
use crate::world::Object;

/// The key of one finding: an object's references to one library that fail in the same way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    by: usize,
    file: Option<String>,
    why: UnmetReference,
    at_start: bool,
}

/// Adds one finding for each object, expected library and fault.
pub(super) fn symbol_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    let mut groups: BTreeMap<Group, Vec<&Undefined>> = BTreeMap::new();
    for undefined in &walked.undefined {
        let group = Group {
            by: undefined.by,
            file: undefined.version.as_ref().map(|(file, _)| file.clone()),
            why: undefined.why.clone(),
            at_start: undefined.at_start,
        };
        groups.entry(group).or_default().push(undefined);
    }
    for (group, undefined) in groups {
        findings.add(symbol_finding(subject, walked, &group, &undefined));
    }
}

fn symbol_finding(subject: &Subject, walked: &Walked, group: &Group, undefined: &[&Undefined]) -> Finding {
    let closure = &walked.closure;
    let by_label = label(subject, closure, group.by);
    let mut symbols: Vec<String> = undefined.iter().map(|undefined| undefined.symbol.clone()).collect();
    symbols.sort();
    symbols.dedup();
    let named = match symbols.as_slice() {
        [only] => format!("the symbol `{only}`"),
        [first, more @ ..] => {
            format!("`{first}` and {} more symbol{}", more.len(), if more.len() == 1 { "" } else { "s" })
        }
        [] => unreachable!("a group has a reference"),
    };
    let it = if symbols.len() == 1 { "it" } else { "them" };
    let severity = severity(subject, group);
    let newer = newer_copy(subject, walked, group, &symbols);
    let (message, details) =
        texts(subject, walked, group, &Words { by: &by_label, named: &named, it, newer, severity });
    let mut finding = Finding::new(Code::UndefinedSymbol, &by_label, message);
    finding.details = details;
    finding.severity = severity;
    finding.cause = cause(subject, group, newer, walked);
    finding.leaves_open = matches!(group.why, UnmetReference::Unknown(_));
    finding.help = match (&group.why, severity) {
        (UnmetReference::Nowhere, _) if newer.is_some() && subject.build.may_edit => {
            newer.map(|soname| format!("ship the copy that it was linked with: `--bundle-lib {soname}`"))
        }
        (UnmetReference::Nowhere, Severity::Error) if !is_of_system(walked, group.by) => help(subject, &by_label),
        (UnmetReference::Unknown(_), _) => Some(
            "capture the runtime's libraries once (`cargo lambda-bundle baseline capture`) and name the file with `--baseline FILE`".to_owned(),
        ),
        _ => None,
    };
    finding.soname.clone_from(&group.file);
    let nodes = undefined.iter().filter_map(|undefined| Some(undefined.version.as_ref()?.1.clone()));
    finding.versions = nodes.collect();
    finding.versions.sort_by(|a, b| crate::elf::version::compare(a, b));
    finding.versions.dedup();
    finding.symbols = symbols;
    finding.chain = chain(subject, closure, group.by);
    finding
}

/// The problem as one of several objects: symbols of one library, whose copy on the runtime is old or unknown.
fn cause(subject: &Subject, group: &Group, newer: Option<&str>, walked: &Walked) -> Option<Cause> {
    let lambda = subject.lambda.label();
    Some(match (&group.why, newer) {
        (UnmetReference::Nowhere, Some(soname)) => Cause::objects(format!(
            "need symbols of a newer `{soname}` than that of {lambda}"
        ))
        .detail(match group.at_start {
            true if walked.closure.is_opened(group.by) => "they cannot be opened",
            true => "they fail at start",
            false => "they fail when the first of the symbols is called",
        }),
        (UnmetReference::Unknown(libraries), _) => {
            Cause::objects("need symbols that the runtime's libraries may not define")
                .detail(unknown_whether(libraries, &lambda, "them"))
        }
        _ => return None,
    })
}

fn unknown_whether(libraries: &[String], lambda: &str, it: &str) -> String {
    let quoted: Vec<String> = libraries.iter().map(|soname| format!("`{soname}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("it is unknown whether {last} of {lambda} defines {it}"),
        Some((last, others)) => {
            format!("it is unknown whether {} or {last} of {lambda} defines {it}", others.join(", "))
        }
        None => format!("it is unknown whether {lambda} defines {it}"),
    }
}

fn severity(subject: &Subject, group: &Group) -> Severity {
    match &group.why {
        // The program that opens a library brings the symbols that the library leaves open.
        UnmetReference::Nowhere | UnmetReference::Unknown(_)
            if group.file.is_none() && subject.program.linkage() == Linkage::SharedLibrary =>
        {
            Severity::Note
        }
        // An archive's author had the files that would answer this; they are not available here.
        UnmetReference::Unknown(_) if matches!(subject.owner, Owner::Archive) => Severity::Note,
        UnmetReference::Unknown(_) => Severity::Warning,
        _ if group.at_start => Severity::Error,
        _ => Severity::Warning,
    }
}

/// The parts of a finding's sentence.
struct Words<'a> {
    by: &'a str,
    named: &'a str,
    /// What stands for the symbols.
    it: &'a str,
    /// The runtime's library whose copy in the build world defines the symbols.
    newer: Option<&'a str>,
    severity: Severity,
}

/// The problem, and what follows from it.
fn texts(subject: &Subject, walked: &Walked, group: &Group, words: &Words) -> (String, Vec<String>) {
    let Words { by, named, it, newer, severity } = words;
    let when = match group.at_start {
        true if walked.closure.is_opened(group.by) => "it cannot be opened",
        true => "it fails at start",
        false => "it fails when the first of them is called",
    };
    let origin = group.file.as_ref().map_or(String::new(), |file| format!(" of `{file}`"));
    let lambda = subject.lambda.label();
    let object = |index: usize| label(subject, &walked.closure, index);
    let (message, details) = match &group.why {
        UnmetReference::Nowhere if *severity == Severity::Note => (
            format!("`{by}` leaves {named} to the program that opens it"),
            vec![format!("no library that it loads defines {it}")],
        ),
        UnmetReference::Nowhere if is_of_system(walked, group.by) => (
            format!("`{by}` of {lambda} needs {named}{origin}"),
            vec![format!("the file that replaces the runtime's own does not define {it}: {when}")],
        ),
        UnmetReference::Nowhere => {
            let message = match newer {
                Some(soname) => format!("`{by}` needs {named} of a newer `{soname}` than the runtime's"),
                None => format!("`{by}` needs {named}{origin}, which no library it loads defines"),
            };
            (message, vec![when.to_owned()])
        }
        UnmetReference::Unknown(libraries) => (
            format!("`{by}` needs {named}, which the runtime's libraries may not define"),
            vec![unknown_whether(libraries, &lambda, it)],
        ),
        UnmetReference::NoVersionTable(index) => (
            format!("`{by}` needs {named} with a symbol version, but `{}` has none", object(*index)),
            vec!["an assertion of ld.so fails".to_owned()],
        ),
        UnmetReference::NotThreadLocal(index) => (
            format!("`{by}` needs {named} as thread-local data, but `{}` has plain data", object(*index)),
            vec![if group.at_start { when } else { "it fails when it is used" }.to_owned()],
        ),
        UnmetReference::ThreadLocal(index) => (
            format!("`{by}` needs {named} as plain data, but `{}` has thread-local data", object(*index)),
            vec!["the program reads other memory when it uses the symbol".to_owned()],
        ),
        UnmetReference::Protected(index) => (
            format!("`{by}` copies {named} or its address, but `{}` protects it", object(*index)),
            vec![format!("a protected symbol must not be copied: {when}")],
        ),
    };
    (message, details)
}

/// The library of the runtime's that the symbols are missing from, while the build world's copy has them all.
fn newer_copy<'a>(
    subject: &'a Subject,
    walked: &'a Walked,
    group: &Group,
    symbols: &[String],
) -> Option<&'a str> {
    if group.why != UnmetReference::Nowhere || is_of_system(walked, group.by) {
        return None;
    }
    let systems = walked.closure.objects.iter().filter_map(|object| match &object.file.object {
        Object::System(system) => Some(&*system.soname),
        Object::Elf(_) | Object::Unseen => None,
    });
    let defines = |facts: &ElfFacts, name: &str| {
        let mut defined = facts.symbols.iter().filter(|symbol| symbol.defined);
        defined.any(|symbol| facts.symbols.name_bytes(symbol) == name.as_bytes())
    };
    systems.filter(|soname| !is_glibc_part(soname)).find(|soname| {
        let copy = subject.build.files.get(*soname);
        copy.is_some_and(|copy| symbols.iter().all(|symbol| defines(&copy.facts, symbol)))
    })
}

fn is_of_system(walked: &Walked, by: usize) -> bool {
    matches!(walked.closure.objects[by].file.object, Object::System(_))
}

fn help(subject: &Subject, by: &str) -> Option<String> {
    match subject.owner {
        Owner::Archive => None,
        Owner::Cargo { .. } | Owner::Binary => Some(format!(
            "bundle the libraries that `{by}` was linked with: name their directory with `--library-path DIR`"
        )),
    }
}
