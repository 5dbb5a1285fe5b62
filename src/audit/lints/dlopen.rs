//! `dlopen`: libraries that are opened at run time, which no header names and nothing ships.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::library_names::{MAX_NAMES, MOST_AROUND, library_names};
use super::{File, Scene};
use crate::audit::{Cause, Code, Finding, Severity};
use crate::baseline::is_glibc_part;
use crate::elf::{ElfFacts, Libc, Linkage, version};

/// One entry of a note, as the UAPI group's specification defines it.
#[derive(Deserialize)]
struct NoteEntry {
    soname: Vec<String>,
    #[serde(default)]
    feature: Option<String>,
    #[serde(default)]
    priority: Option<String>,
}

/// musl's text for each call of dlopen in a static program, which has it only if it is linked to dlopen.
///
/// Source: `stub_dlopen` in musl's src/ldso/dlopen.c.
pub const NOT_SUPPORTED: &str = "Dynamic loading not supported";

pub fn lint(scene: &Scene) -> Vec<Finding> {
    if is_static_musl(scene.program.facts) {
        return of_static_program(scene).into_iter().collect();
    }
    scene.files().flat_map(|file| of_file(scene, file)).collect()
}

/// Whether it is a program whose `dlopen` always fails.
pub fn is_static_musl(facts: &ElfFacts) -> bool {
    matches!(facts.linkage(), Linkage::Static | Linkage::StaticPie) && facts.libc() == Libc::Musl
}

/// For a static program that calls dlopen. What `--dlopen` asks for has an error of its own.
fn of_static_program(scene: &Scene) -> Option<Finding> {
    let opens = || scene.walks.iter().any(|walked| walked.closure.needs.iter().any(|need| need.is_opening));
    if !scene.program.holds(NOT_SUPPORTED) || opens() {
        return None;
    }
    let message = format!(
        "`{}` is a static musl program that calls `dlopen`, which always fails there",
        scene.program.name
    );
    let mut finding = Finding::new(Code::Dlopen, &scene.program.name, message)
        .detail(format!("`dlopen` fails with \"{NOT_SUPPORTED}\""))
        .help(LINK_DYNAMICALLY);
    // The run-time systems of some languages, such as GHC's, call it only for what a program may never do.
    if constant_names(scene.program).is_empty() {
        finding.severity = Severity::Note;
    }
    Some(finding)
}

/// The next step for a static musl program that opens libraries.
pub const LINK_DYNAMICALLY: &str = "if the function opens libraries, build it for a `-gnu` target, or link it dynamically (`-C target-feature=-crt-static`) and add `--libc bundle`";

fn of_file(scene: &Scene, file: &File) -> Vec<Finding> {
    let entries: Vec<NoteEntry> =
        // A note in another format is ignored.
        file.facts.dlopen_notes.iter().filter_map(|note| serde_json::from_str::<Vec<NoteEntry>>(note).ok()).flatten().collect();
    if !entries.is_empty() {
        // A file with notes names all libraries that it opens.
        return by_notes(scene, file, entries);
    }
    if !file.imports("dlopen") {
        return Vec::new();
    }
    let needed = |name: &str| {
        file.facts.needed.iter().any(|needed| needed == name)
            || file.facts.verneed.iter().any(|need| need.file == name)
            || file.facts.soname.as_deref() == Some(name)
    };
    let mut names = constant_names(file);
    names.retain(|name| !needed(name));
    // One of several versions of a library is enough.
    let mut by_stem: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &names {
        let stem = name.split(".so").next().unwrap_or(name);
        by_stem.entry(stem).or_default().push(name);
    }
    by_stem
        .into_values()
        .filter(|names| !names.iter().any(|name| scene.has(name) || is_of_glibc(name)))
        // Linkers and debuggers know the interpreter of Solaris. Linux has no such library.
        .filter(|names| names != &["libc.so.1"])
        .map(|mut names| {
            names.sort_by(|one, other| match (one.split_once(".so."), other.split_once(".so.")) {
                (Some((_, one)), Some((_, other))) => version::compare_numbers(other, one),
                (one, other) => other.is_some().cmp(&one.is_some()),
            });
            let origin =
                NameSource { named_by: "constants", feature: None, is_warning: scene.is_program(file) };
            finding(scene, file, &names, &origin)
        })
        .collect()
}

/// Whether glibc has the library; linkers have its names without the version, for those of its scripts.
fn is_of_glibc(name: &str) -> bool {
    is_glibc_part(name)
        || name.ends_with(".so") && (0..10).any(|version| is_glibc_part(&format!("{name}.{version}")))
}

/// The names of libraries among the constants of a file.
fn constant_names(file: &File) -> BTreeSet<String> {
    let names = |range| file.pieces(range, MOST_AROUND).flat_map(|(piece, own)| library_names(&piece, own));
    file.constants().into_iter().flat_map(|range| names(range).take(MAX_NAMES)).collect()
}

fn by_notes(scene: &Scene, file: &File, entries: Vec<NoteEntry>) -> Vec<Finding> {
    let unmet = entries.into_iter().filter(|entry| !entry.soname.iter().any(|name| scene.has(name)));
    let unmet = unmet.filter(|entry| !entry.soname.is_empty());
    unmet
        .map(|entry| {
            let names: Vec<&str> = entry.soname.iter().map(String::as_str).collect();
            let priority = entry.priority.as_deref().unwrap_or("recommended");
            let feature = entry.feature.as_deref();
            let origin = NameSource { named_by: "notes", feature, is_warning: priority == "required" };
            finding(scene, file, &names, &origin)
        })
        .collect()
}

/// The part of a file that names libraries.
struct NameSource<'a> {
    /// `constants` or `notes`.
    named_by: &'a str,
    feature: Option<&'a str>,
    is_warning: bool,
}

fn finding(scene: &Scene, file: &File, names: &[&str], origin: &NameSource) -> Finding {
    let NameSource { named_by, feature, is_warning } = origin;
    let feature = feature.map_or(String::new(), |feature| format!(" for the feature `{feature}`"));
    let runtime = &scene.subject.lambda.baseline.runtime;
    // The first is the newest.
    let advised = names.iter().find(|name| (scene.in_build_world)(name)).unwrap_or(&names[0]);
    let any = if names.len() == 1 { "" } else { " or another version" };
    let message =
        format!("`{}` may open `{advised}`{any}, which neither the bundle nor {runtime} has", file.name);
    let cause = Cause::libraries(
        format!("`{}` may open", file.name),
        format!("libraries that neither the bundle nor {runtime} has"),
    )
    .detail(format!("it opens libraries at run time, and its {named_by} name these"))
    .help("if the function uses one of them, ship it: `--dlopen NAME`");
    let mut finding = Finding::new(Code::Dlopen, &file.name, message)
        .soname(*advised)
        .detail(format!("it opens libraries at run time, and its {named_by} name {}{feature}", quoted(names)))
        .help(format!("if the function uses it, ship it: `--dlopen {advised}`"))
        .cause(cause.item(format!("`{advised}`")));
    if !is_warning {
        finding.severity = Severity::Note;
    }
    finding
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
