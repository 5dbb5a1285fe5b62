//! Baselines as JSON and as text: a list of them, one in full, or the difference of two.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::Failure;
use crate::baseline::{Baseline, EvidenceDates, Lifecycle, Nodes, Presence, Source, SystemObject};
use crate::date::{days_ago, days_between};
use crate::elf::Arch;
use crate::error::Error;

/// The document of `baseline list`, `baseline show` and `baseline diff`.
#[derive(Debug, Serialize)]
pub struct BaselineReport {
    /// The name of the schema.
    pub schema: &'static str,
    /// The version of the schema.
    pub version: u32,
    /// The baselines; in a list without their objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<BaselineTable>,
    /// The difference of two baselines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Why the run has no result, on exit status 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl BaselineReport {
    /// Makes an empty document.
    pub fn new() -> BaselineReport {
        BaselineReport {
            schema: "cargo-lambda-bundle/baseline",
            version: 1,
            tables: Vec::new(),
            difference: None,
            error: None,
        }
    }

    /// Makes a document of the error that stopped the run.
    pub fn failed(error: &Error) -> BaselineReport {
        BaselineReport { error: Some(Failure::of(error)), ..BaselineReport::new() }
    }

    /// Returns the document as JSON text, with a newline at its end.
    pub fn to_json(&self) -> String {
        super::json(self)
    }
}

impl Default for BaselineReport {
    fn default() -> Self {
        BaselineReport::new()
    }
}

/// One baseline.
#[derive(Debug, Serialize)]
pub struct BaselineTable {
    /// The runtime.
    pub name: String,
    /// The baseline that it is based on.
    pub root: Option<String>,
    /// Its architecture.
    pub arch: &'static str,
    /// Whether its functions are a `bootstrap`; `null` for a baseline file.
    pub starts_bootstrap: Option<bool>,
    /// The date of the research or of the capture.
    pub recorded: String,
    /// The age of the research or of the capture in days.
    pub age_days: u64,
    /// The date of the newest evidence for a library.
    pub newest_evidence: String,
    /// The date of the oldest evidence for a library.
    pub oldest_evidence: String,
    /// The age of the newest evidence in days.
    pub evidence_age_days: u64,
    /// The glibc version that every image has.
    pub glibc: String,
    /// Whether objects that are not listed are absent.
    pub complete: bool,
    /// The runtime's end of support.
    pub deprecated: Option<String>,
    /// No new functions from this day on.
    pub create_blocked: Option<String>,
    /// No updates from this day on.
    pub update_blocked: Option<String>,
    /// The number of objects.
    pub n_objects: usize,
    /// The number of doubtful objects.
    pub n_doubtful: usize,
    /// The number of objects, the doubtful ones among them, that bundles are proved to start with and without.
    pub n_both_ways: usize,
    /// The details; left out in a list.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub facts: Option<TableFacts>,
}

/// The details of a baseline.
#[derive(Debug, Serialize)]
pub struct TableFacts {
    /// PT_INTERP paths that exist.
    pub interpreters: Vec<String>,
    /// The default directories of its loader.
    pub default_dirs: Vec<String>,
    /// The values of LD_LIBRARY_PATH to expect.
    pub library_paths: Vec<String>,
    /// The sources: the comment at the top of its text, then the comments of the baselines it is based on.
    pub sources: Vec<String>,
    /// The evidence codes and their meanings.
    pub evidence: Vec<SourceReport>,
    /// The objects, by SONAME.
    pub objects: Vec<ObjectReport>,
}

/// An evidence code and what it stands for.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// The code.
    pub code: String,
    /// `probe`, `image`, `packages`, `documented`, `report` or `upstream`.
    pub kind: &'static str,
    /// The date of what it shows.
    pub date: String,
    /// The runtimes or images that it is of.
    pub of: Vec<String>,
    /// The architecture, if it is of one only.
    pub arch: Option<&'static str>,
    /// The runtime's version or the image's digest, if known.
    pub at: Option<String>,
    /// What it stands for.
    pub text: String,
}

/// One object of a table.
#[derive(Debug, Serialize)]
pub struct ObjectReport {
    /// Its SONAME.
    pub soname: String,
    /// The newest file name known.
    pub file: Option<String>,
    /// The package that ships it.
    pub package: Option<String>,
    /// Where it is, if not in the default directories.
    pub directory: Option<String>,
    /// `present` or `doubtful`.
    pub presence: &'static str,
    /// Whether bundles are proved to start with and without it.
    pub both_ways: bool,
    /// How that is known: `measured`, `documented`, `derived`, `doubtful` or `captured`.
    pub evidence: &'static str,
    /// The codes of that evidence.
    pub codes: Vec<String>,
    /// The first image that has it.
    pub since: Option<String>,
    /// The symbol versions that every image has; `null` if not known.
    pub nodes: Option<Vec<String>>,
    /// Nodes that later images have: node and image.
    pub later: Vec<(String, String)>,
}

/// What two tables differ in.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The first baseline: name and architecture.
    pub a: String,
    /// The second baseline.
    pub b: String,
    /// Header lines that differ: key, value in the first, value in the second.
    pub header: Vec<(&'static str, String, String)>,
    /// SONAMEs that only the first has.
    pub only_a: Vec<String>,
    /// SONAMEs that only the second has.
    pub only_b: Vec<String>,
    /// Objects of both that differ: SONAME, property, value in the first, value in the second.
    pub changed: Vec<(String, &'static str, String, String)>,
}

/// Makes a baseline's report; with its objects if `sources`, the comments of its texts, are given.
pub fn table(
    baseline: &Baseline,
    starts_bootstrap: Option<bool>,
    today: &str,
    sources: Option<Vec<String>>,
) -> BaselineTable {
    let Lifecycle { deprecated, create_blocked, update_blocked } = baseline.lifecycle.clone();
    let is_doubtful = |object: &&Arc<SystemObject>| object.presence == Presence::Doubtful;
    let is_both_ways = |object: &&Arc<SystemObject>| is_both_ways(object);
    let EvidenceDates { oldest, newest } = baseline.evidence_dates();
    BaselineTable {
        name: baseline.runtime.clone(),
        root: baseline.root.clone(),
        arch: baseline.arch.as_str(),
        starts_bootstrap,
        recorded: baseline.recorded.clone(),
        age_days: days_between(&baseline.recorded, today),
        evidence_age_days: days_between(&newest, today),
        newest_evidence: newest,
        oldest_evidence: oldest,
        glibc: baseline.glibc.clone(),
        complete: baseline.complete,
        deprecated,
        create_blocked,
        update_blocked,
        n_objects: baseline.objects().len(),
        n_doubtful: baseline.objects().iter().filter(is_doubtful).count(),
        n_both_ways: baseline.objects().iter().filter(is_both_ways).count(),
        facts: sources.map(|sources| TableFacts {
            interpreters: baseline.interpreters.clone(),
            default_dirs: baseline.default_dirs.clone(),
            library_paths: baseline.library_paths.clone(),
            sources,
            evidence: baseline.evidence.iter().map(source).collect(),
            objects: baseline.objects().iter().map(|found| object(found)).collect(),
        }),
    }
}

fn source(source: &Source) -> SourceReport {
    SourceReport {
        code: source.code.clone(),
        kind: source.kind.as_str(),
        date: source.date.clone(),
        of: source.of.clone(),
        arch: source.arch.map(Arch::as_str),
        at: source.at.clone(),
        text: source.text.clone(),
    }
}

/// Whether bundles are proved to start with the object and without it.
fn is_both_ways(object: &SystemObject) -> bool {
    !object.certain || object.since.is_some()
}

fn object(object: &SystemObject) -> ObjectReport {
    let (nodes, later) = match &object.nodes {
        Nodes::Unknown => (None, Vec::new()),
        Nodes::Known { floor, later, .. } => (
            Some(floor.clone()),
            later.iter().map(|later| (later.node.clone(), later.image.clone())).collect(),
        ),
    };
    ObjectReport {
        soname: object.soname.clone(),
        file: object.file.clone(),
        package: object.package.clone(),
        directory: object.directory.clone(),
        presence: object.presence.as_str(),
        both_ways: is_both_ways(object),
        evidence: object.evidence.as_str(),
        codes: object.codes.clone(),
        since: object.since.clone(),
        nodes,
        later,
    }
}

/// Lists baselines, one per line, the architectures of a runtime together.
pub fn list_text(tables: &[BaselineTable]) -> String {
    let mut rows = vec![
        ["runtime", "arch", "glibc", "objects", "researched", "evidence", "deprecated", "based on"]
            .map(str::to_owned),
    ];
    for group in tables.chunk_by(|a, b| a.name == b.name) {
        let table = &group[0];
        let archs: Vec<&str> = group.iter().map(|table| table.arch).collect();
        let mut objects = table.n_objects.to_string();
        if table.n_doubtful > 0 {
            let _ = write!(objects, ", {} doubtful", table.n_doubtful);
        }
        if table.n_both_ways > table.n_doubtful {
            let _ = write!(objects, ", {} proved both ways", table.n_both_ways);
        }
        if !table.complete {
            objects.push_str(", not all");
        }
        rows.push([
            table.name.clone(),
            archs.join(" "),
            table.glibc.clone(),
            objects,
            table.recorded.clone(),
            span(&table.oldest_evidence, &table.newest_evidence),
            table.deprecated.clone().unwrap_or_else(|| "-".to_owned()),
            table.root.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    columns(&rows)
}

/// Shows one baseline in full.
pub fn show_text(table: &BaselineTable) -> String {
    let mut text = format!("{} ({})\n", table.name, table.arch);
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {key:<15} {value}");
    };
    if let Some(root) = &table.root {
        line("based on", root);
    }
    line("researched", &format!("{}, {}", table.recorded, days_ago(table.age_days)));
    line("newest evidence", &format!("{}, {}", table.newest_evidence, days_ago(table.evidence_age_days)));
    line("oldest evidence", &table.oldest_evidence);
    line("glibc", &table.glibc);
    for (key, date) in [
        ("deprecated", &table.deprecated),
        ("create blocked", &table.create_blocked),
        ("update blocked", &table.update_blocked),
    ] {
        if let Some(date) = date {
            line(key, date);
        }
    }
    if table.starts_bootstrap == Some(false) {
        line("functions", "a language's own program; no `bootstrap`");
    }
    if !table.complete {
        line("objects", "some; what is not listed is unknown, not absent");
    }
    let Some(facts) = &table.facts else { return text };
    for (key, values) in [
        ("interpreter", &facts.interpreters),
        ("directory", &facts.default_dirs),
        ("library path", &facts.library_paths),
    ] {
        for value in values {
            line(key, value);
        }
    }
    for source in &facts.sources {
        let _ = write!(text, "\n{source}");
    }
    if !facts.evidence.is_empty() {
        text.push_str("\nEvidence\n");
    }
    for source in &facts.evidence {
        let _ = writeln!(text, "  {}", source_line(source));
    }
    let _ = writeln!(text, "\nObjects: {}", table.n_objects);
    for object in &facts.objects {
        let _ = writeln!(text, "  {}", object_line(object));
    }
    text
}

fn source_line(source: &SourceReport) -> String {
    let SourceReport { code, kind, date, of, arch, at, text } = source;
    let mut line = format!("{code} ({kind}, {date}");
    if !of.is_empty() {
        let _ = write!(line, ", of {}", of.join(", "));
    }
    if let Some(arch) = arch {
        let _ = write!(line, ", {arch}");
    }
    if let Some(at) = at {
        let _ = write!(line, ", {at}");
    }
    line + "): " + text
}

fn object_line(object: &ObjectReport) -> String {
    let mut text = object.soname.clone();
    let _ = write!(text, ": {}", object.evidence);
    if !object.codes.is_empty() {
        let _ = write!(text, " ({})", object.codes.join(", "));
    }
    if object.both_ways {
        text.push_str("; proved with and without it");
    }
    if let Some(directory) = &object.directory {
        let _ = write!(text, "; in {directory}");
    }
    if let Some(file) = &object.file {
        let _ = write!(text, "; {file}");
    }
    if let Some(image) = &object.since {
        let _ = write!(text, "; since image {image}");
    }
    match object.nodes.as_deref() {
        None => text.push_str("; symbol versions not known"),
        Some([]) => text.push_str("; no symbol versions"),
        Some(nodes) => {
            let _ = write!(text, "; {}", nodes.join(" "));
        }
    }
    for (node, image) in &object.later {
        let _ = write!(text, "; {node} since {image}");
    }
    text
}

/// Compares two baselines.
pub fn difference(a: &Baseline, b: &Baseline) -> Difference {
    let label = |table: &Baseline| format!("{} ({})", table.runtime, table.arch);
    let names = |baseline: &Baseline, other: &Baseline| -> Vec<String> {
        let only = baseline.objects().iter().filter(|object| other.object(&object.soname).is_none());
        only.map(|object| object.soname.clone()).collect()
    };
    let header = [
        ("glibc", a.glibc.clone(), b.glibc.clone()),
        ("interpreter", a.interpreters.join(" "), b.interpreters.join(" ")),
        ("directories", a.default_dirs.join(" "), b.default_dirs.join(" ")),
        ("library path", a.library_paths.join(" or "), b.library_paths.join(" or ")),
        ("deprecated", date(&a.lifecycle.deprecated), date(&b.lifecycle.deprecated)),
        ("researched", a.recorded.clone(), b.recorded.clone()),
        ("evidence dates", dates(a), dates(b)),
    ];
    let mut changed = Vec::new();
    for (one, other) in a.objects().iter().filter_map(|one| Some((one, b.object(&one.soname)?))) {
        let facts = [
            ("evidence", evidence(one), evidence(other)),
            ("proved", proved(one), proved(other)),
            ("directory", directory(one), directory(other)),
            ("file", file(one), file(other)),
            ("symbol versions", nodes(one, other), nodes(other, one)),
        ];
        for (what, in_a, in_b) in facts {
            if in_a != in_b {
                changed.push((one.soname.clone(), what, in_a, in_b));
            }
        }
    }
    Difference {
        a: label(a),
        b: label(b),
        header: header.into_iter().filter(|(_, in_a, in_b)| in_a != in_b).collect(),
        only_a: names(a, b),
        only_b: names(b, a),
        changed,
    }
}

fn date(date: &Option<String>) -> String {
    date.clone().unwrap_or_else(|| "-".to_owned())
}

fn evidence(object: &SystemObject) -> String {
    object.evidence.as_str().to_owned()
}

fn proved(object: &SystemObject) -> String {
    let ways = if is_both_ways(object) { "with and without it" } else { "with it" };
    ways.to_owned()
}

fn dates(baseline: &Baseline) -> String {
    let EvidenceDates { oldest, newest } = baseline.evidence_dates();
    span(&oldest, &newest)
}

/// The first and the last of some dates; one date if they are the same.
fn span(oldest: &str, newest: &str) -> String {
    if oldest == newest { newest.to_owned() } else { format!("{oldest} to {newest}") }
}

fn directory(object: &SystemObject) -> String {
    object.directory.clone().unwrap_or_else(|| "-".to_owned())
}

fn file(object: &SystemObject) -> String {
    object.file.clone().unwrap_or_else(|| object.soname.clone())
}

/// Returns the symbol versions that `object` has and `other` lacks; those of later images with a `?`.
fn nodes(object: &SystemObject, other: &SystemObject) -> String {
    fn all(object: &SystemObject) -> Option<Vec<String>> {
        let Nodes::Known { floor, later, .. } = &object.nodes else { return None };
        let later = later.iter().map(|later| format!("{}?", later.node));
        Some(floor.iter().cloned().chain(later).collect())
    }
    match (all(object), all(other)) {
        (None, Some(_)) => "not known".to_owned(),
        (Some(_), None) => "known".to_owned(),
        (None, None) => "-".to_owned(),
        (Some(own), Some(others)) => {
            let only: Vec<String> = own.into_iter().filter(|node| !others.contains(node)).collect();
            if only.is_empty() { "-".to_owned() } else { only.join(" ") }
        }
    }
}

/// Prints a difference as text: `-` lines are the first baseline's, `+` lines the second's.
pub fn difference_text(difference: &Difference) -> String {
    let Difference { a, b, header, only_a, only_b, changed } = difference;
    let mut text = format!("- {a}\n+ {b}\n");
    let both = header.iter().map(|(what, in_a, in_b)| (String::new(), *what, in_a, in_b));
    let both = both
        .chain(changed.iter().map(|(soname, what, in_a, in_b)| (format!("{soname}: "), *what, in_a, in_b)));
    for (object, what, in_a, in_b) in both {
        let _ = write!(text, "\n{object}{what}\n  - {in_a}\n  + {in_b}\n");
    }
    for (sign, names) in [('-', only_a), ('+', only_b)] {
        if !names.is_empty() {
            text.push('\n');
        }
        for name in names {
            let _ = writeln!(text, "{sign} {name}");
        }
    }
    if header.is_empty() && changed.is_empty() && only_a.is_empty() && only_b.is_empty() {
        text.push_str("\nno difference\n");
    }
    text
}

/// Aligns rows in columns; the last column has no padding.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}
