//! Why a library is shipped, used or missing: the searches of both worlds, step by step.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Library, LibrarySource};
use crate::audit::{Subject, label};
use crate::lambda::Certainty;
use crate::layout::BundleKind;
use crate::loader::{Attempt, Closure, Outcome, Rule, SkipReason};
use crate::paths;
use crate::plan::{BundlePlan, NotShipped};
use crate::text::printable;
use crate::world::Object;

/// How one library is found in both worlds.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The name that was needed.
    pub soname: String,
    /// The objects from the program to the library, each the first to need the next.
    pub chain: Vec<String>,
    /// Every object that needs it.
    pub needed_by: Vec<String>,
    /// The search where the program was built.
    pub build: SearchReport,
    /// The search on Lambda.
    pub lambda: SearchReport,
    /// Why it is shipped or not: one sentence.
    pub reason: String,
}

/// One search for one name.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SearchReport {
    /// The path that was found.
    pub path: Option<String>,
    /// The rule that found it.
    pub rule: Option<&'static str>,
    /// What a reader calls the rule, or what put the directory on the library path.
    #[serde(skip)]
    pub by: String,
    /// The paths that were tried before, in order.
    pub passed_over: Vec<PassedOver>,
}

/// One path that was tried and passed over.
#[derive(Debug, Clone, Serialize)]
pub struct PassedOver {
    /// The path.
    pub path: String,
    /// The rule that led to it.
    pub rule: &'static str,
    /// Why it was passed over.
    pub why: String,
    /// What a reader calls the rule, or what put the directory on the library path.
    #[serde(skip)]
    pub by: String,
}

/// Explains the libraries that `wanted` picks, in the order of `libraries`. `sources` are directories of the
/// build world's library path, each with what named it.
pub fn explain(
    subject: &Subject,
    plan: &BundlePlan,
    libraries: &[Library],
    wanted: impl Fn(&str) -> bool,
    sources: &[(String, String)],
) -> Vec<Explanation> {
    let Some(walked) = plan.walks.first() else { return Vec::new() };
    libraries
        .iter()
        .filter(|library| wanted(&library.soname))
        .map(|library| {
            let name = &library.soname;
            let index = walked.closure.objects.iter().position(|object| object.names.contains(name));
            let by = walked.closure.needs.iter().find(|need| need.name == *name).map(|need| need.by);
            let mut chain = match (index, by) {
                (Some(index), _) => walked.closure.chain(index),
                (None, Some(by)) => walked.closure.chain(by),
                (None, None) => Vec::new(),
            }
            .into_iter()
            .map(|index| label(subject, &walked.closure, index))
            .collect::<Vec<_>>();
            if index.is_none() {
                chain.push(name.clone());
            }
            Explanation {
                soname: name.clone(),
                chain,
                needed_by: library.needed_by.clone(),
                build: with_sources(search(&plan.build.closure, name), sources),
                lambda: search_on_lambda(subject, &walked.closure, name),
                reason: reason(subject, library),
            }
        })
        .collect()
}

fn search(closure: &Closure, name: &str) -> SearchReport {
    let found = closure.objects.iter().skip(1).find(|object| object.names.iter().any(|known| known == name));
    if let Some(object) = found {
        return SearchReport {
            path: Some(object.path.clone()),
            rule: Some(object.rule.as_str()),
            by: object.rule.words().to_owned(),
            passed_over: passed_over(&object.attempts),
        };
    }
    let need = closure.needs.iter().find(|need| need.name == name);
    match need.map(|need| &need.outcome) {
        Some(Outcome::Missing(attempts)) => {
            SearchReport { passed_over: passed_over(attempts), ..SearchReport::default() }
        }
        Some(Outcome::Fatal { path, reason }) => SearchReport {
            passed_over: vec![PassedOver {
                path: path.clone(),
                rule: need.map_or("", |need| need.rule.as_str()),
                why: format!("refused: {reason}"),
                by: need.map_or("", |need| need.rule.words()).to_owned(),
            }],
            ..SearchReport::default()
        },
        _ => SearchReport::default(),
    }
}

/// Names the sources of the directories that are on the library path.
fn with_sources(mut report: SearchReport, sources: &[(String, String)]) -> SearchReport {
    let by = |path: &str, rule: &str| {
        let is_its = |(directory, _): &&(String, String)| directory == paths::parent(path);
        let source = sources.iter().find(is_its).filter(|_| rule == Rule::LdLibraryPath.as_str());
        source.map(|(_, source)| source.clone())
    };
    if let (Some(path), Some(rule)) = (&report.path, report.rule) {
        report.by = by(path, rule).unwrap_or(report.by);
    }
    for passed in &mut report.passed_over {
        if let Some(source) = by(&passed.path, passed.rule) {
            passed.by = source;
        }
    }
    report
}

/// The search on the runtime. That a file is absent is said only of directories that are known.
fn search_on_lambda(subject: &Subject, closure: &Closure, name: &str) -> SearchReport {
    let mut report = search(closure, name);
    if subject.lambda.certainty(name) == Certainty::Unknown {
        let roots = [BundleKind::Function, BundleKind::Layer].map(BundleKind::root);
        let is_ours = |path: &str| roots.iter().any(|root| path.starts_with(root));
        let absent = SkipReason::Absent.describe();
        for passed in report.passed_over.iter_mut().filter(|it| it.why == absent && !is_ours(&it.path)) {
            passed.why = "not known to be there".to_owned();
        }
    }
    report
}

fn passed_over(attempts: &[Attempt]) -> Vec<PassedOver> {
    attempts
        .iter()
        .map(|attempt| PassedOver {
            path: attempt.path.clone(),
            rule: attempt.rule.as_str(),
            why: attempt.why.describe(),
            by: attempt.rule.words().to_owned(),
        })
        .collect()
}

fn reason(subject: &Subject, library: &Library) -> String {
    let (name, lambda) = (&library.soname, subject.lambda.label());
    match library.from {
        LibrarySource::Bundle => match subject.lambda.certainty(name) {
            Certainty::Doubtful => format!("shipped: whether {lambda} has it is doubtful"),
            Certainty::Unknown => format!("shipped: whether {lambda} has it is unknown"),
            _ => format!("shipped: {lambda} lacks it"),
        },
        LibrarySource::Baseline => {
            format!("not shipped: {lambda} has it ({})", library.evidence.unwrap_or("assumed"))
        }
        LibrarySource::Layer => "not shipped: an attached layer has it".to_owned(),
        LibrarySource::Excluded => {
            format!("not shipped: `--exclude-lib` leaves it out, and {lambda} lacks it")
        }
        _ => match subject.build.not_shipped.get(name) {
            Some(NotShipped::GlibcPart) => format!("not shipped: a part of glibc, which {lambda} lacks"),
            Some(NotShipped::Name) => "not shipped: no archive can have a file of that name".to_owned(),
            Some(NotShipped::Path) => "not shipped: it is needed by a path".to_owned(),
            Some(NotShipped::Refused(path, reason)) => format!("missing: `{path}` cannot be used: {reason}"),
            _ if subject.lambda.certainty(name) == Certainty::Unknown => {
                format!("missing: {lambda} is not known to have it, and this machine does not")
            }
            _ => format!("missing: neither {lambda} nor this machine has it"),
        },
    }
}

impl Explanation {
    /// Returns the explanation as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} is {}", self.soname, self.reason)];
        lines.push(format!("  chain      {}", self.chain.join(" -> ")));
        if !self.needed_by.is_empty() {
            lines.push(format!("  needed by  {}", self.needed_by.join(", ")));
        }
        for (title, search) in [("build", &self.build), ("lambda", &self.lambda)] {
            let found = match &search.path {
                Some(path) => format!("{path} ({})", search.by),
                None => "not found".to_owned(),
            };
            lines.push(format!("  {title:<9}  {found}"));
            for PassedOver { path, by, why, .. } in &search.passed_over {
                let why = if *why == SkipReason::Absent.describe() { "not found" } else { why };
                lines.push(format!("             tried {path} ({by}): {why}"));
            }
        }
        lines
    }
}

/// Maximum depth of a printed tree; it also bounds the recursion.
const DEEPEST: usize = 100;

/// Prints the closure on Lambda as a tree; every object's needs are shown once.
pub fn tree(subject: &Subject, plan: &BundlePlan, libraries: &[Library]) -> String {
    let mut text = format!("{}\n", subject.name);
    if let Some(walked) = plan.walks.first() {
        let tree = NeedTree { subject, closure: &walked.closure, libraries };
        tree.add_needs(0, "", &mut vec![0], &mut text);
    }
    text
}

/// What the lines of a tree say.
struct NeedTree<'a> {
    subject: &'a Subject<'a>,
    closure: &'a Closure,
    libraries: &'a [Library],
}

impl NeedTree<'_> {
    /// Adds what one object needs, and what these need. `shown` are the objects that have their lines.
    fn add_needs(&self, by: usize, indent: &str, shown: &mut Vec<usize>, text: &mut String) {
        let NeedTree { subject, closure, libraries } = *self;
        let needs: Vec<_> = closure.needs.iter().filter(|need| need.by == by).collect();
        for (at, need) in needs.iter().enumerate() {
            let last = at + 1 == needs.len();
            let fork = if last { "└── " } else { "├── " };
            let _ = write!(text, "{indent}{fork}{}", need.name);
            let Outcome::Loaded(index) = need.outcome else {
                text.push_str(" [missing]\n");
                continue;
            };
            text.push_str(&origin(subject, closure, libraries, index));
            if shown.contains(&index) {
                let has_needs = closure.needs.iter().any(|need| need.by == index);
                text.push_str(if has_needs { " (see above)\n" } else { "\n" });
                continue;
            }
            if indent.chars().count() >= 4 * DEEPEST {
                text.push_str(" (and so on)\n");
                continue;
            }
            text.push('\n');
            shown.push(index);
            let deeper = format!("{indent}{}", if last { "    " } else { "│   " });
            self.add_needs(index, &deeper, shown, text);
        }
    }
}

fn origin(subject: &Subject, closure: &Closure, libraries: &[Library], index: usize) -> String {
    let object = &closure.objects[index];
    let rule = object.rule.as_str();
    match &object.file.object {
        Object::System(system) => {
            format!(" [{}, {}, {rule}]", subject.lambda.baseline.runtime, system.evidence.as_str())
        }
        _ => {
            let name = label(subject, closure, index);
            let from = libraries
                .iter()
                .find(|library| library.soname == name)
                .map_or("bundle", |library| library.from.as_str());
            format!(" [{from}, {rule}]")
        }
    }
}

/// Prints a closure on Lambda as a Mermaid graph: one edge from each object to each library that it needs.
pub fn graph(program: &str, libraries: &[Library]) -> String {
    let mut text = String::from("graph LR\n");
    // The other programs of an archive are no libraries, but need some.
    let mut nodes: Vec<(&str, &str)> = vec![(program, "program")];
    for library in libraries {
        let class = match library.from {
            LibrarySource::Baseline => "runtime",
            LibrarySource::Bundle | LibrarySource::Layer => "bundle",
            LibrarySource::Missing | LibrarySource::Excluded => "missing",
        };
        nodes.push((&library.soname, class));
    }
    for by in libraries.iter().flat_map(|library| &library.needed_by) {
        if !nodes.iter().any(|(name, _)| name == by) {
            nodes.push((by, "program"));
        }
    }
    for (index, (name, class)) in nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{index}[\"{}\"]:::{class}", quoted(name));
    }
    for (index, library) in libraries.iter().enumerate() {
        for by in &library.needed_by {
            let at = nodes.iter().position(|(name, _)| name == by).unwrap_or(0);
            let _ = writeln!(text, "  n{at} --> n{}", index + 1);
        }
    }
    text.push_str("  classDef program fill:#dae8fc\n  classDef bundle fill:#d5e8d4\n");
    text.push_str("  classDef runtime fill:#f5f5f5\n  classDef missing fill:#f8cecc\n");
    text
}

/// Escapes a label so that it cannot end its string: Mermaid takes HTML entities.
fn quoted(label: &str) -> String {
    printable(label).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
