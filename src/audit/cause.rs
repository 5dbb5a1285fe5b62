//! Findings with one cause, which a reader sees as one.
//!
//! A finding is about one object, with its own chain, versions and symbols. A distribution that is too new gives one for
//! each of its libraries, and forty of them hide the others. So the text, the annotations and SARIF show one finding for
//! one cause; JSON keeps one for each object, since pipelines look up code and object, and names the cause.

use std::collections::BTreeSet;

use super::{Finding, SymbolOrigin};
use crate::elf::version;

/// What a finding shares with the others of the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    sentence: Sentence,
    /// What else is worth knowing; empty for what the findings have.
    details: Vec<String>,
    help: Option<String>,
    /// The flag that is repeated for each library at the end of the help.
    flag: Option<&'static str>,
    /// The finding's own entry in the list; `None` for the object's name.
    item: Option<String>,
}

/// The problem, as a sentence about several findings.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sentence {
    /// `3 libraries BEFORE VERSIONS AFTER: OBJECTS`.
    Objects { before: String, versions: bool, after: String },
    /// `3 files need LIBRARY AFTER: OBJECTS`, `PROGRAM needs 3 libraries AFTER: LIBRARIES`, or
    /// `3 libraries are missing AFTER: LIBRARIES`.
    Needs { after: String, only: Option<String> },
    /// `BEFORE 3 AFTER: LIBRARIES`.
    Libraries { before: String, after: String },
}

impl Cause {
    /// Several objects are or do this, in the plural.
    pub fn objects(what: impl Into<String>) -> Cause {
        Cause::of(Sentence::Objects { before: what.into(), versions: false, after: String::new() })
    }

    /// Several objects need versions, which stand between `before` and `after`.
    pub(super) fn versions(before: &str, after: impl Into<String>) -> Cause {
        Cause::of(Sentence::Objects { before: before.to_owned(), versions: true, after: after.into() })
    }

    /// Several objects need libraries that are missing. If `after` fits only one library, that is `only`.
    pub(super) fn needs(after: impl Into<String>, only: Option<&str>) -> Cause {
        Cause::of(Sentence::Needs { after: after.into(), only: only.map(str::to_owned) })
    }

    /// Several libraries, whose number stands between `before` and `after`.
    pub(super) fn libraries(before: impl Into<String>, after: impl Into<String>) -> Cause {
        Cause::of(Sentence::Libraries { before: before.into(), after: after.into() })
    }

    fn of(sentence: Sentence) -> Cause {
        Cause { sentence, details: Vec::new(), help: None, flag: None, item: None }
    }

    /// Adds a sentence below the message, in place of those of the findings.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Cause {
        self.details.push(detail.into());
        self
    }

    /// Adds the next step for all. Findings that have the same one need none, and others without one stay alone.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Cause {
        Cause { help: Some(help.into()), ..self }
    }

    /// Ends the help with a flag for each library.
    pub(super) fn flag(self, flag: &'static str) -> Cause {
        Cause { flag: Some(flag), ..self }
    }

    /// Sets the finding's entry in the list.
    pub(super) fn item(self, item: String) -> Cause {
        Cause { item: Some(item), ..self }
    }

    fn is_same(&self, other: &Cause) -> bool {
        let shared =
            |cause: &Cause| (cause.sentence.clone(), cause.details.clone(), cause.help.clone(), cause.flag);
        shared(self) == shared(other)
    }
}

/// The findings of one cause, or a single one.
#[derive(Debug, Clone)]
pub struct FindingGroup {
    /// The finding that stands for all.
    pub shown: Finding,
    /// The positions of the findings, in order.
    pub members: Vec<usize>,
    /// The objects they are about, in order.
    pub objects: Vec<String>,
}

/// Groups findings by their causes. Groups are in the order of their first findings.
pub fn by_cause(findings: &[Finding]) -> Vec<FindingGroup> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, finding) in findings.iter().enumerate() {
        let known = groups.iter_mut().find(|members| share_cause(&findings[members[0]], finding));
        match known {
            Some(members) => members.push(at),
            None => groups.push(vec![at]),
        }
    }
    // A sentence about several objects needs several: one object may lack versions of two libraries.
    let is_one = |members: &[usize]| {
        let is_about_objects = |cause: &Cause| matches!(cause.sentence, Sentence::Objects { .. });
        let all_same = members.iter().all(|at| findings[*at].object == findings[members[0]].object);
        all_same && findings[members[0]].cause.as_ref().is_some_and(is_about_objects)
    };
    let groups = groups.into_iter().flat_map(|members| match is_one(&members) {
        true => members.into_iter().map(|at| vec![at]).collect(),
        false => vec![members],
    });
    let group = |members: Vec<usize>| {
        let all: Vec<&Finding> = members.iter().map(|at| &findings[*at]).collect();
        FindingGroup { shown: shown(&all), objects: unique(all.iter().map(|it| &*it.object)), members }
    };
    groups.map(group).collect()
}

fn share_cause(one: &Finding, other: &Finding) -> bool {
    let key = |finding: &Finding| (finding.code, finding.severity, finding.leaves_open);
    match (&one.cause, &other.cause) {
        (Some(cause), Some(another)) => {
            let has_help = cause.help.is_some() || one.help == other.help;
            has_help && key(one) == key(other) && cause.is_same(another)
        }
        _ => false,
    }
}

/// Makes the finding that stands for all members of a group.
fn shown(members: &[&Finding]) -> Finding {
    let first = members[0];
    let Some(cause) = first.cause.as_ref().filter(|_| members.len() > 1) else { return first.clone() };
    let mut versions = unique(members.iter().flat_map(|it| &it.versions).map(String::as_str));
    versions.sort_by(|a, b| version::compare(a, b));
    let symbols: BTreeSet<&String> = members.iter().flat_map(|it| &it.symbols).collect();
    let sonames = unique(members.iter().filter_map(|it| it.soname.as_deref()));
    Finding {
        message: message(&cause.sentence, members, &versions),
        details: details(cause, members),
        help: help(cause, members),
        soname: sonames.first().filter(|_| sonames.len() == 1).cloned(),
        versions,
        symbols: symbols.into_iter().cloned().collect(),
        chain: Vec::new(),
        origin: SymbolOrigin::joined(members.iter().map(|it| &it.origin)),
        ..first.clone()
    }
}

fn message(sentence: &Sentence, members: &[&Finding], versions: &[String]) -> String {
    let objects = unique(members.iter().map(|it| &*it.object));
    let sonames = unique(members.iter().filter_map(|it| it.soname.as_deref()));
    match sentence {
        Sentence::Objects { before, versions: has_versions, after } => {
            let versions = if *has_versions { newest(versions) } else { String::new() };
            format!("{} {before}{versions}{after}: {}", counted(&objects), listed(items(members), FEW))
        }
        Sentence::Needs { after, .. } => match (objects.as_slice(), sonames.as_slice()) {
            (_, [only]) => {
                format!("{} need `{only}`{after}: {}", counted(&objects), listed(quoted(&objects), FEW))
            }
            ([only], all) => {
                let n = all.len();
                format!("`{only}` needs {n} libraries{after}: {}", listed(quoted(all), MANY))
            }
            (_, all) => {
                format!("{} libraries are missing{after}: {}", all.len(), listed(quoted(all), MANY))
            }
        },
        Sentence::Libraries { before, after } => {
            let before = if before.is_empty() { String::new() } else { format!("{before} ") };
            let items = items(members);
            format!("{before}{} {after}: {}", items.len(), listed(items, MANY))
        }
    }
}

/// Returns a sentence for each of several libraries that several objects need.
fn needed_by(cause: &Cause, members: &[&Finding]) -> Vec<String> {
    let objects = unique(members.iter().map(|it| &*it.object));
    let sonames = unique(members.iter().filter_map(|it| it.soname.as_deref()));
    if !matches!(cause.sentence, Sentence::Needs { .. }) || objects.len() < 2 || sonames.len() < 2 {
        return Vec::new();
    }
    let needed = |soname: &String| {
        let by = members.iter().filter(|it| it.soname.as_ref() == Some(soname));
        let by = unique(by.map(|it| &*it.object));
        let more = match by.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("`{soname}` is needed by `{}`{more}", by[0])
    };
    sonames.iter().map(needed).collect()
}

/// The cause's own sentences, or what needs the libraries and the sentences of the members.
fn details(cause: &Cause, members: &[&Finding]) -> Vec<String> {
    if !cause.details.is_empty() {
        return cause.details.clone();
    }
    let needed = needed_by(cause, members);
    let own = members.iter().flat_map(|it| &it.details);
    let mut details = unique(needed.iter().chain(own).map(String::as_str));
    // One more sentence is shorter than the words about it.
    if details.len() > FEW + 1 {
        let more = details.split_off(FEW).len();
        details.push(format!("and {more} more (`-v` lists them)"));
    }
    details
}

/// The next step for all, with the members' own steps.
fn help(cause: &Cause, members: &[&Finding]) -> Option<String> {
    let sonames = unique(members.iter().filter_map(|it| it.soname.as_deref()));
    let is_one_library = matches!(cause.sentence, Sentence::Needs { .. }) && sonames.len() == 1;
    let Some(help) = cause.help.as_ref().filter(|_| !is_one_library) else {
        return members[0].help.clone();
    };
    let mut help = help.clone();
    if let Some(flag) = cause.flag {
        let flags: Vec<String> = sonames.iter().map(|soname| format!("{flag} {soname}")).collect();
        help.push_str(&format!(": `{}`", flags.join(" ")));
    }
    for step in unique(members.iter().filter_map(|it| it.origin.step.as_deref())) {
        help.push_str(&format!("; or {step}"));
    }
    Some(help)
}

/// The number of names in a list that a reader only looks over.
const FEW: usize = 3;

/// The number of names in a list from which a reader picks.
const MANY: usize = 12;

fn items(members: &[&Finding]) -> Vec<String> {
    let item = |finding: &&Finding| {
        let own = finding.cause.as_ref().and_then(|cause| cause.item.clone());
        own.unwrap_or_else(|| format!("`{}`", finding.object))
    };
    let items: Vec<String> = members.iter().map(item).collect();
    unique(items.iter().map(String::as_str))
}

fn listed(items: Vec<String>, most: usize) -> String {
    // One more name is shorter than the words about it.
    if items.len() <= most + 1 {
        return items.join(", ");
    }
    format!("{} and {} more (`-v` lists them)", items[..most].join(", "), items.len() - most)
}

fn quoted(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// The number of objects, as a subject in the plural unless it is one.
fn counted(names: &[String]) -> String {
    match names {
        [only] => format!("`{only}`"),
        all if all.iter().all(|name| name.contains(".so")) => format!("{} libraries", all.len()),
        all => format!("{} files", all.len()),
    }
}

/// All versions if they are few, else the newest of each family.
pub(super) fn newest(versions: &[String]) -> String {
    if versions.len() <= FEW {
        return versions.join(", ");
    }
    let mut newest: Vec<&str> = Vec::new();
    for node in versions {
        match newest.last_mut() {
            Some(last) if version::family(last) == version::family(node) => *last = node,
            _ => newest.push(node),
        }
    }
    format!("versions up to {}", newest.join(" and "))
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut known = BTreeSet::new();
    names.filter(|name| known.insert(*name)).map(str::to_owned).collect()
}
