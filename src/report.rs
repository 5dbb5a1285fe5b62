//! Plans, walks and findings as JSON and as lines of text.
//!
//! The JSON types live here and nowhere else: the core's types stay free to change. Fields are added,
//! never changed, within a version. Text is written without colour and without control characters; [`crate::ui`] adds
//! colour and relies on the rest.

use std::collections::BTreeSet;
use std::fmt::Write as _;

pub mod baseline;
mod explain;
pub mod github;
pub mod gitlab;
mod growth;
mod libraries;
mod references;
pub mod sarif;
pub mod sbom;
mod size;

use serde::Serialize;

use crate::archive::{BOOTSTRAP, Content, Digest, Entry, ReadArchive, ReadEntry};
use crate::audit::{Asker, Finding, FindingGroup, LinkedPackage, Severity, SymbolOrigin};
use crate::baseline::{Baseline, EvidenceDates};
use crate::elf::ElfFacts;
use crate::error::Error;
use crate::layout::BundleKind;
use crate::plan::{BoundTo, Rebound, ReboundFile};
use crate::repair::{Edits, GivenUp};
use crate::text::{is_hidden, shortened};

pub use explain::{Explanation, explain, graph, tree};
pub use growth::{EarlierReport, Growth, GrowthRow, MeasuredFile};
pub use libraries::{
    Library, LibrarySource, Line, add_libraries, add_sources, added_words, libraries, library_lines,
};
pub use references::{ReferenceReport, SymbolExplanation, explain_symbols, referenced};
pub use size::{CrateSize, FileSize, SectionSize, Sizes};

/// The document of one run.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// The name of the schema.
    pub schema: &'static str,
    /// The version of the schema.
    pub version: u32,
    /// One element per program and runtime.
    pub artifacts: &'a [&'a ProgramReport],
    /// The layer of `--split-layer`, if it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_layer: Option<&'a ArchiveReport>,
    /// The functions of the template of `verify --template`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub functions: &'a [FunctionReport],
    /// Why the run has no result, on exit status 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Report<'_> {
    /// Makes a document of these artifacts.
    pub fn new<'a>(
        artifacts: &'a [&'a ProgramReport],
        split_layer: Option<&'a ArchiveReport>,
        error: Option<Failure>,
    ) -> Report<'a> {
        let functions = &[];
        Report { schema: "cargo-lambda-bundle/report", version: 1, artifacts, split_layer, functions, error }
    }

    /// Returns the document as JSON text, with a newline at its end.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// Returns a document as JSON text, with a newline at its end. Control characters are escaped.
pub fn json(document: &impl Serialize) -> String {
    let raw = serde_json::to_string_pretty(document)
        .unwrap_or_else(|error| unreachable!("strings, numbers and lists always become JSON: {error}"));
    let mut text = String::with_capacity(raw.len() + 1);
    for character in raw.chars() {
        // Newlines stand only between strings; hidden characters only within, and they are in the basic plane.
        if character != '\n' && is_hidden(character) {
            let _ = write!(text, "\\u{:04x}", character as u32);
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    text
}

/// Why a run has no result.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The error's message.
    pub message: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// The error's help.
    pub help: Option<String>,
}

impl Failure {
    /// Takes over an error's texts.
    pub fn of(error: &Error) -> Failure {
        Failure {
            message: error.to_string(),
            causes: error.causes(),
            help: error.help_text().map(str::to_owned),
        }
    }

    /// Returns message, causes and help, one per line.
    fn lines(&self) -> String {
        let mut lines = self.message.clone();
        for cause in &self.causes {
            let _ = write!(lines, "\ncaused by: {cause}");
        }
        if let Some(help) = &self.help {
            let _ = write!(lines, "\nhelp: {help}");
        }
        lines
    }
}

/// One function of a deployment template.
#[derive(Debug, Clone, Serialize)]
pub struct FunctionReport {
    /// Its logical name, or its address in Terraform.
    pub name: String,
    /// The path of its code, as in `path` of its artifact; `null` if the code is no local file or directory.
    pub path: Option<String>,
    /// Its runtime in the template, if that is known.
    pub runtime: Option<String>,
    /// Its architecture in the template, if that is known.
    pub arch: Option<String>,
    /// Whether its code was verified.
    pub verified: bool,
    /// Why it was not, if the template is the reason.
    pub reason: Option<String>,
}

/// The report about one program on one runtime.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramReport {
    /// The program's name.
    pub name: String,
    /// The cargo package.
    pub package: Option<String>,
    /// The path of the file.
    pub path: String,
    /// The manifest of the cargo package.
    #[serde(skip)]
    pub manifest: Option<String>,
    /// The target triple it was built for.
    pub target: Option<String>,
    /// The profile it was built with.
    pub profile: Option<String>,
    /// The runtime.
    pub runtime: String,
    /// The date of the research for the runtime's baseline.
    pub baseline_recorded: Option<String>,
    /// The date of the newest evidence in the baseline.
    pub baseline_newest_evidence: Option<String>,
    /// The date of the oldest evidence in the baseline.
    pub baseline_oldest_evidence: Option<String>,
    /// The program's architecture, as Lambda names it.
    pub arch: Option<String>,
    /// How the program is linked.
    pub linkage: Option<&'static str>,
    /// The C library it was linked with.
    pub libc: Option<&'static str>,
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// `starts`, `fails` or `unknown`.
    pub verdict: Verdict,
    /// The role of the program in the bundle.
    pub role: &'static str,
    /// The whole closure.
    pub libraries: Vec<Library>,
    /// The attached layers that have some of them: without these layers it does not start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The findings, errors first.
    pub findings: Vec<FindingReport>,
    /// The findings as a reader sees them: one for each cause.
    #[serde(skip)]
    pub shown: Vec<FindingReport>,
    /// Sizes of the files to bundle and of their debug information; `null` if none were measured.
    pub sizes: Option<Sizes>,
    /// With `size --against`: how the bundle grew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// The edits of the bundle's copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// References of the bundle's copies that are bound differently from how they were linked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rebound: Vec<RebindingReport>,
    /// The archive that was written or read.
    pub archive: Option<ArchiveReport>,
    /// With `explain`: how each library was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explanations: Vec<Explanation>,
    /// With `explain`: what refers to each symbol or symbol version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symbol_explanations: Vec<SymbolExplanation>,
}

impl ProgramReport {
    /// Sets the dates of the runtime's baseline.
    pub fn set_dates(&mut self, baseline: &Baseline) {
        let EvidenceDates { oldest, newest } = baseline.evidence_dates();
        self.baseline_recorded = Some(baseline.recorded.clone());
        self.baseline_newest_evidence = Some(newest);
        self.baseline_oldest_evidence = Some(oldest);
    }

    /// Starts the report of the program `name` at `path`; with its facts if its file was read.
    pub fn new(name: &str, path: &str, runtime: &str, facts: Option<&ElfFacts>) -> ProgramReport {
        let of_lambda = facts.filter(|facts| facts.arch().is_some());
        ProgramReport {
            name: name.to_owned(),
            package: None,
            path: path.to_owned(),
            manifest: None,
            target: None,
            profile: None,
            runtime: runtime.to_owned(),
            baseline_recorded: None,
            baseline_newest_evidence: None,
            baseline_oldest_evidence: None,
            arch: of_lambda.and_then(ElfFacts::arch).map(|arch| arch.as_str().to_owned()),
            linkage: of_lambda.map(|facts| facts.linkage().as_str()),
            libc: of_lambda.map(|facts| facts.libc().as_str()),
            interpreter: facts.and_then(|facts| facts.interpreter.clone()),
            verdict: Verdict::Unknown,
            role: role(name),
            libraries: Vec::new(),
            layers: Vec::new(),
            findings: Vec::new(),
            shown: Vec::new(),
            sizes: None,
            growth: None,
            edits: Vec::new(),
            rebound: Vec::new(),
            archive: None,
            explanations: Vec::new(),
            symbol_explanations: Vec::new(),
        }
    }

    /// Returns the verdict as words.
    pub fn verdict_words(&self, of: VerdictOf) -> &'static str {
        match (of, self.verdict) {
            (VerdictOf::Program, Verdict::Starts) => "starts",
            (VerdictOf::Program, Verdict::Fails) => "does not start",
            (VerdictOf::Program, Verdict::Unknown) => "may start",
            (VerdictOf::Library, Verdict::Starts) => "loads",
            (VerdictOf::Library, Verdict::Fails) => "does not load",
            (VerdictOf::Library, Verdict::Unknown) => "may load",
            (VerdictOf::Libraries, Verdict::Starts) => "its libraries load",
            (VerdictOf::Libraries, Verdict::Fails) => "its libraries do not load",
            (VerdictOf::Libraries, Verdict::Unknown) => "its libraries may load",
        }
    }

    /// Whether the program runs on this one of several runtimes; if not, with the first reason.
    pub fn runs_on(&self) -> String {
        let word = match self.verdict {
            Verdict::Starts => "yes",
            Verdict::Fails => "no",
            Verdict::Unknown => "perhaps",
        };
        let reason = self.shown.first().filter(|_| self.verdict != Verdict::Starts);
        let reason = reason.map_or(String::new(), |finding| format!(", {}", finding.message));
        format!("{} ({}): {word}{reason}", self.runtime, self.arch.as_deref().unwrap_or("unknown"))
    }
}

/// The role of a program in the bundle, by its name there.
pub fn role(name: &str) -> &'static str {
    match name {
        BOOTSTRAP => "bootstrap",
        name if name.starts_with("extensions/") => "extension",
        _ => "program",
    }
}

/// The edits of one file of the bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Edit {
    /// Its name in the archive.
    pub object: String,
    /// The new PT_INTERP.
    pub interpreter: Option<String>,
    /// The new DT_RPATH.
    pub rpath: Option<String>,
    /// Whether DT_RUNPATH and the old DT_RPATH are removed.
    pub drops_paths: bool,
    /// Renamed needs, old and new.
    pub renamed: Vec<(String, String)>,
    /// Added needs.
    pub added: Vec<String>,
    /// Symbol versions that are no longer needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unversioned: Vec<String>,
    /// What the file loses by the edits.
    pub gives_up: Vec<String>,
}

impl Edit {
    /// Makes the report of edits that were made.
    pub fn new(object: &str, edits: &Edits, lost: &[GivenUp]) -> Edit {
        Edit {
            object: object.to_owned(),
            interpreter: edits.interpreter.clone(),
            rpath: edits.rpath.clone(),
            drops_paths: edits.drop_runpath || edits.rpath.is_some(),
            renamed: edits.rename_needed.clone(),
            added: edits.add_needed.clone(),
            unversioned: BTreeSet::from_iter(edits.unbind.iter().map(|node| node.node.clone()))
                .into_iter()
                .collect(),
            gives_up: lost.iter().map(ToString::to_string).collect(),
        }
    }

    /// Describes the edits in one line of text.
    pub fn line(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.interpreter.iter().map(|path| format!("interpreter {path}")));
        match &self.rpath {
            Some(path) => parts.push(format!("DT_RPATH {path}")),
            None if self.drops_paths => parts.push("no DT_RUNPATH".to_owned()),
            None => {}
        }
        if !self.renamed.is_empty() {
            let new: Vec<String> = self.renamed.iter().map(|(_, to)| to.clone()).collect();
            parts.push(format!("needs {}", shortened(&new)));
        }
        if !self.added.is_empty() {
            parts.push(format!("needs {}, too", shortened(&self.added)));
        }
        if !self.unversioned.is_empty() {
            parts.push(format!("without {}", self.unversioned.join(", ")));
        }
        if !self.gives_up.is_empty() {
            parts.push(format!("removes {}", self.gives_up.join(", ")));
        }
        format!("{}: {}", self.object, parts.join("; "))
    }
}

/// One reference that is bound differently from how it was linked.
#[derive(Debug, Clone, Serialize)]
pub struct RebindingReport {
    /// The name of the program or of the library.
    pub object: String,
    /// The symbol as the file names it.
    pub symbol: String,
    /// The symbol version that it was linked with.
    pub from: String,
    /// The symbol it is bound to; `null` if there is none: a weak reference may be null.
    pub to: Option<String>,
    /// Where that symbol is: `runtime` or `bundle`; `null` if there is none.
    pub by: Option<&'static str>,
}

/// Lists the references that a plan rebinds, for JSON.
pub fn rebound(program: &str, files: &[ReboundFile]) -> Vec<RebindingReport> {
    let of_file = |file: &ReboundFile| {
        let object = file.library.as_deref().unwrap_or(program).to_owned();
        let references = file.references.clone().into_iter();
        references.map(move |Rebound { symbol, from, to, differs: _ }| {
            let (to, by) = match to {
                BoundTo::Null => (None, None),
                BoundTo::Runtime(name) => (Some(name), Some("runtime")),
                BoundTo::Supplied | BoundTo::Bundle => (Some(symbol.clone()), Some("bundle")),
            };
            RebindingReport { object: object.clone(), symbol, from, to, by }
        })
    };
    files.iter().flat_map(of_file).collect()
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct FindingReport {
    /// Its code.
    pub code: &'static str,
    /// Its severity.
    pub severity: &'static str,
    /// The object it is about.
    pub object: String,
    /// The library it is about.
    pub soname: Option<String>,
    /// The symbol versions it is about.
    pub versions: Vec<String>,
    /// The symbols that need these versions.
    pub symbols: Vec<String>,
    /// The objects from the program to the one it is about.
    pub chain: Vec<String>,
    /// The problem.
    pub message: String,
    /// What else is worth knowing: one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The object files of the build that refer to the symbols; several for one symbol may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<AskerReport>,
    /// The packages of the build that link the library.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linked_by: Vec<LinkReport>,
    /// The text about both.
    #[serde(skip)]
    pub origin: Vec<String>,
    /// The next step.
    pub help: Option<String>,
    /// The problem that the finding shares with others of the program, in words; the same for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The objects it is about, if it is shown for several findings.
    #[serde(skip)]
    pub objects: Vec<String>,
}

/// An object file that refers to a symbol.
#[derive(Debug, Clone, Serialize)]
pub struct AskerReport {
    /// The symbol.
    pub symbol: String,
    /// The package.
    pub package: String,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// The path of the static library.
    pub library: String,
    /// The name of the object file in it.
    pub object: String,
    /// Whether the program has a function of the object file; `null` if that is not known.
    pub linked: Option<bool>,
}

/// A package of the build that links a library.
#[derive(Debug, Clone, Serialize)]
pub struct LinkReport {
    /// The library, by the name that the program needs.
    pub library: String,
    /// Its name.
    pub package: String,
    /// Its version, if it is known.
    pub version: Option<String>,
}

/// One archive, or one directory with the same contents.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveReport {
    /// Its path.
    pub path: String,
    /// `function`, `layer` or `extension`.
    pub kind: &'static str,
    /// `zip`, or `dir` for a directory.
    pub format: &'static str,
    /// Size of the file; `null` for a directory.
    pub zipped_bytes: Option<u64>,
    /// Size of its contents.
    pub unzipped_bytes: u64,
    /// SHA-256 of the file, hexadecimal; `null` for a directory.
    pub sha256: Option<String>,
    /// SHA-256 of the file in base64: Lambda's `CodeSha256`; `null` for a directory.
    pub code_sha256: Option<String>,
    /// Its members.
    pub entries: Vec<EntryReport>,
}

/// One member of an archive.
#[derive(Debug, Clone, Serialize)]
pub struct EntryReport {
    /// Its name.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Unzipped size.
    pub size: u64,
}

impl ArchiveReport {
    /// Makes the report of these entries at `path`, as files in a directory.
    pub fn planned(path: &str, kind: BundleKind, entries: &[Entry]) -> ArchiveReport {
        let entry = |entry: &Entry| EntryReport {
            name: entry.name.clone(),
            mode: match entry.content {
                Content::File(_) | Content::Stored(_) => entry.mode.bits(),
                Content::Link(_) => 0o777,
            },
            size: entry.content.n_bytes(),
        };
        ArchiveReport {
            path: path.to_owned(),
            kind: kind.as_str(),
            format: "dir",
            zipped_bytes: None,
            unzipped_bytes: entries.iter().map(|entry| entry.content.n_bytes()).sum(),
            sha256: None,
            code_sha256: None,
            entries: entries.iter().map(entry).collect(),
        }
    }

    /// Makes the report of an archive that was read.
    pub fn read<T>(path: &str, kind: BundleKind, read: &ReadArchive<T>) -> ArchiveReport {
        let entry = |entry: &ReadEntry<T>| EntryReport {
            name: entry.name.clone(),
            mode: entry.mode.unwrap_or(0),
            size: entry.size,
        };
        ArchiveReport {
            unzipped_bytes: read.unzipped_bytes,
            entries: read.entries.iter().map(entry).collect(),
            ..ArchiveReport::planned(path, kind, &[])
        }
    }

    /// Turns the report into that of a ZIP with this size and digest.
    #[must_use]
    pub fn zipped(self, zipped_bytes: u64, digest: Digest) -> ArchiveReport {
        ArchiveReport {
            format: "zip",
            zipped_bytes: Some(zipped_bytes),
            sha256: Some(digest.hex),
            code_sha256: Some(digest.base64),
            ..self
        }
    }
}

/// Sorts findings for display: errors, warnings, notes; each by code, object, library.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (a.severity, a.code, &a.object, &a.soname).cmp(&(b.severity, b.code, &b.object, &b.soname))
    });
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictOf {
    /// What Lambda starts.
    Program,
    /// A library that another program opens.
    Library,
    /// The libraries of an archive without a program that Lambda starts.
    Libraries,
}

/// What Lambda would do with a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It starts.
    Starts,
    /// A finding is an error.
    Fails,
    /// A finding leaves it open.
    Unknown,
}

impl Verdict {
    /// The verdict that follows from the findings.
    pub fn of(findings: &[Finding]) -> Verdict {
        let stops = |it: &Finding| it.severity == Severity::Error && !it.code.is_own_limit();
        if findings.iter().any(stops) {
            Verdict::Fails
        } else if findings.iter().any(|finding| finding.leaves_open) {
            Verdict::Unknown
        } else {
            Verdict::Starts
        }
    }

    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Starts => "starts",
            Verdict::Fails => "fails",
            Verdict::Unknown => "unknown",
        }
    }
}

impl ProgramReport {
    /// Takes over findings: each for JSON, and one for each cause for readers.
    pub fn add_findings(&mut self, findings: &[Finding], groups: &[FindingGroup]) {
        self.findings = findings.iter().map(FindingReport::new).collect();
        for group in groups.iter().filter(|group| group.members.len() > 1) {
            for member in &group.members {
                self.findings[*member].cause = Some(group.shown.message.clone());
            }
        }
        let report = |group: &FindingGroup| FindingReport {
            objects: group.objects.clone(),
            ..FindingReport::new(&group.shown)
        };
        self.shown = groups.iter().map(report).collect();
    }
}

impl FindingReport {
    fn new(finding: &Finding) -> FindingReport {
        FindingReport {
            code: finding.code.as_str(),
            severity: finding.severity.as_str(),
            object: finding.object.clone(),
            soname: finding.soname.clone(),
            versions: finding.versions.clone(),
            symbols: finding.symbols.clone(),
            chain: finding.chain.clone(),
            message: finding.message.clone(),
            details: finding.details.clone(),
            asked_by: finding.origin.askers.iter().map(AskerReport::new).collect(),
            linked_by: LinkReport::of(&finding.origin),
            origin: finding.origin.lines(false),
            help: finding.help.clone(),
            cause: None,
            objects: vec![finding.object.clone()],
        }
    }
}

impl AskerReport {
    /// Takes over an asker.
    pub fn new(asker: &Asker) -> AskerReport {
        AskerReport {
            symbol: asker.symbol.clone(),
            package: asker.package.name.clone(),
            version: asker.package.version.clone(),
            library: asker.library.clone(),
            object: asker.object.clone(),
            linked: asker.is_linked,
        }
    }
}

impl LinkReport {
    fn of(origin: &SymbolOrigin) -> Vec<LinkReport> {
        let library = origin.library.as_deref().unwrap_or_default();
        let report = |LinkedPackage { name, version }: &LinkedPackage| LinkReport {
            library: library.to_owned(),
            package: name.clone(),
            version: version.clone(),
        };
        origin.linked_by.iter().map(report).collect()
    }
}

/// The lines under a finding's message: its details, its chain, its symbols, and the crates that ask for them. All symbols if `verbose`.
pub fn finding_details(finding: &Finding, verbose: bool) -> Vec<String> {
    let mut lines = finding.details.clone();
    if !finding.chain.is_empty() {
        lines.push(format!("chain: {}", finding.chain.join(" -> ")));
    }
    if !finding.symbols.is_empty() {
        let shown = if verbose { finding.symbols.join(", ") } else { shortened(&finding.symbols) };
        lines.push(format!("symbols: {shown}"));
    }
    lines.extend(finding.origin.lines(verbose));
    lines
}
