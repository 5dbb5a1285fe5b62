//! The libraries of a closure, for the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::audit::{Subject, label};
use crate::lambda::{Certainty, LambdaWorld, Walked};
use crate::layout::Layout;
use crate::loader::{Closure, Outcome, Rule};
use crate::plan::{BundlePlan, NotShipped, Shipped};
use crate::repair::COMPAT;
use crate::text::shortened;
use crate::world::Object;

use super::ProgramReport;

/// One library of a closure.
#[derive(Debug, Clone, Serialize)]
pub struct Library {
    /// The name that was needed.
    pub soname: String,
    /// Where it comes from.
    pub from: LibrarySource,
    /// The file that the build world's loader opens for that name.
    pub build_path: Option<String>,
    /// For a library in the bundle: the file that was copied, links resolved. It differs from `build_path` if that
    /// file does not fit.
    pub source: Option<String>,
    /// Its path on Lambda.
    pub lambda_path: Option<String>,
    /// Whether the bundle's copy displaces the runtime's.
    pub pinned: bool,
    /// The loader's rule that finds it.
    pub rule: Option<&'static str>,
    /// The objects that need it.
    pub needed_by: Vec<String>,
    /// The evidence that the runtime has it.
    pub evidence: Option<&'static str>,
    /// For a library in the bundle: the package of the file, if known.
    pub package: Option<String>,
    /// The version of that package.
    pub package_version: Option<String>,
}

/// Where a library of a closure comes from on Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LibrarySource {
    /// The bundle has it.
    Bundle,
    /// The runtime has it.
    Baseline,
    /// An attached layer has it.
    Layer,
    /// Nothing has it.
    Missing,
    /// Nothing has it, because of `--exclude-lib`.
    Excluded,
}

impl LibrarySource {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            LibrarySource::Bundle => "bundle",
            LibrarySource::Baseline => "baseline",
            LibrarySource::Layer => "layer",
            LibrarySource::Missing => "missing",
            LibrarySource::Excluded => "excluded",
        }
    }
}

/// Lists the closure of a program, sorted by name.
///
/// It is the closure of the first variant: doubtful libraries are absent, LD_LIBRARY_PATH is Lambda's usual value.
pub fn libraries(subject: &Subject, walks: &[Walked]) -> Vec<Library> {
    let Some(walked) = walks.first() else { return Vec::new() };
    let closure = &walked.closure;
    let mut libraries: BTreeMap<String, Library> = BTreeMap::new();
    for (index, object) in closure.objects.iter().enumerate().skip(1) {
        let needed_by = needed_by(subject, closure, index);
        let is_interpreter = object.rule == Rule::Interpreter;
        if is_interpreter && (closure.absent_interpreter.is_some() || subject.program.interpreter.is_none()) {
            continue;
        }
        let soname = label(subject, closure, index);
        let (from, evidence) = match &object.file.object {
            Object::System(system) => (LibrarySource::Baseline, Some(system.evidence.as_str())),
            _ if subject.attached.contains(&object.absolute_path()) => (LibrarySource::Layer, None),
            _ => (LibrarySource::Bundle, None),
        };
        let library = Library {
            build_path: subject.build.files.get(&soname).map(|file| file.path.clone()),
            source: None,
            lambda_path: Some(object.absolute_path()),
            pinned: from == LibrarySource::Bundle && subject.lambda.certainty(&soname) == Certainty::Present,
            rule: Some(object.rule.as_str()),
            needed_by,
            evidence,
            package: None,
            package_version: None,
            from,
            soname: soname.clone(),
        };
        libraries.insert(soname, library);
    }
    for need in &closure.needs {
        if matches!(need.outcome, Outcome::Loaded(_)) {
            continue;
        }
        let excluded = subject.build.not_shipped.get(&need.name) == Some(&NotShipped::Excluded);
        let by = label(subject, closure, need.by);
        let library = libraries.entry(need.name.clone()).or_insert_with(|| Library {
            soname: need.name.clone(),
            from: if excluded { LibrarySource::Excluded } else { LibrarySource::Missing },
            build_path: subject.build.files.get(&need.name).map(|file| file.path.clone()),
            source: None,
            lambda_path: None,
            pinned: false,
            rule: None,
            needed_by: Vec::new(),
            evidence: None,
            package: None,
            package_version: None,
        });
        if !library.needed_by.contains(&by) {
            library.needed_by.push(by);
        }
    }
    libraries.into_values().collect()
}

/// Adds the files that were copied for the libraries of a plan.
pub fn add_sources(libraries: &mut [Library], plan: &BundlePlan, layout: &Layout) {
    let path = |shipped: &Shipped| layout.path(&shipped.entry_name(layout));
    let sources: BTreeMap<String, &str> =
        plan.shipped.iter().map(|shipped| (path(shipped), shipped.source.as_str())).collect();
    for library in libraries.iter_mut().filter(|library| library.from == LibrarySource::Bundle) {
        let source = library.lambda_path.as_ref().and_then(|path| sources.get(path));
        library.source = source.map(|source| (*source).to_owned());
    }
}

/// Adds the libraries of another program.
pub fn add_libraries(known: &mut Vec<Library>, more: Vec<Library>) {
    for library in more {
        match known.iter_mut().find(|known| known.soname == library.soname) {
            Some(known) => {
                known.needed_by.extend(library.needed_by);
                known.needed_by.sort();
                known.needed_by.dedup();
            }
            None => known.push(library),
        }
    }
    known.sort_by(|a, b| a.soname.cmp(&b.soname));
}

/// Tells how many libraries a bundle adds, and names those that no other of them needs. Libraries that the user includes
/// are no additions.
pub fn added_words(libraries: &[Library]) -> String {
    let is_added = |library: &&Library| library.source.is_some() || library.soname == COMPAT;
    let of_bundle = libraries.iter().filter(|library| library.from == LibrarySource::Bundle);
    let added: Vec<&Library> = of_bundle.filter(is_added).collect();
    let is_added = |name: &String| added.iter().any(|library| library.soname == *name);
    let is_root =
        |library: &&&Library| library.needed_by.is_empty() || !library.needed_by.iter().all(is_added);
    let roots: Vec<String> = added.iter().filter(is_root).map(|library| library.soname.clone()).collect();
    let needs = match roots.len() {
        all if all == added.len() => "",
        1 => " and what it needs",
        _ => " and what they need",
    };
    let pinned = match (added.iter().filter(|library| library.pinned).count(), added.len()) {
        (0, _) => String::new(),
        (1, 1) => " in place of the runtime's".to_owned(),
        (count, _) => format!(", {count} in place of the runtime's"),
    };
    match added.len() {
        0 => "no libraries added".to_owned(),
        1 => format!("1 library added{pinned} ({})", shortened(&roots)),
        more => format!("{more} libraries added{pinned} ({}{needs})", shortened(&roots)),
    }
}

fn needed_by(subject: &Subject, closure: &Closure, index: usize) -> Vec<String> {
    closure.needed_by(index).into_iter().map(|by| label(subject, closure, by)).collect()
}

/// A line of the listing: a verb and its object.
pub type Line = (&'static str, String);

/// Makes one line per library that is shipped or used, with the reason.
pub fn library_lines(artifact: &ProgramReport, lambda: &LambdaWorld) -> Vec<Line> {
    let runtime = &lambda.baseline.runtime;
    let width = artifact.libraries.iter().map(|library| library.soname.len()).max().unwrap_or(0).min(32);
    let mut lines = Vec::new();
    for (from, verb) in [
        (LibrarySource::Bundle, "Shipping"),
        (LibrarySource::Layer, "Using"),
        (LibrarySource::Baseline, "Using"),
    ] {
        for library in artifact.libraries.iter().filter(|library| library.from == from) {
            let mut text = format!("{:<width$}  ", library.soname);
            match library.needed_by.as_slice() {
                [] => text.push_str("the interpreter"),
                by => {
                    let _ = write!(text, "needed by {}", shortened(by));
                }
            }
            let source = library.source.as_ref().or(library.build_path.as_ref());
            match (from, source, &library.lambda_path) {
                (LibrarySource::Bundle, Some(source), _) => {
                    let why = match lambda.certainty(&library.soname) {
                        Certainty::Present => "in place of the one on",
                        Certainty::Doubtful | Certainty::Unknown => "perhaps not on",
                        Certainty::Absent => "not on",
                    };
                    let _ = write!(text, "; {why} {runtime}; from {source}");
                    if let Some(linked) = library.build_path.as_ref().filter(|linked| *linked != source) {
                        let _ = write!(text, ", instead of {linked}");
                    }
                    if let (Some(package), Some(version)) = (&library.package, &library.package_version) {
                        let _ = write!(text, " ({package} {version})");
                    }
                }
                (LibrarySource::Bundle, None, Some(path)) | (LibrarySource::Layer, _, Some(path)) => {
                    let _ = write!(text, "; {path}");
                }
                _ => {
                    let _ = write!(text, "; on {runtime} ({})", library.evidence.unwrap_or("assumed"));
                }
            }
            lines.push((verb, text));
        }
    }
    lines
}
