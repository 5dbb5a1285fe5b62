//! `dlopen`: libraries that are opened at run time, which no header names and nothing ships.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{File, Scene};
use crate::audit::{Code, Finding, Severity};
use crate::baseline::is_glibc_part;
use crate::elf;

/// One entry of a note, as the UAPI group's specification defines it.
#[derive(Deserialize)]
struct NoteEntry {
    soname: Vec<String>,
    #[serde(default)]
    feature: Option<String>,
    #[serde(default)]
    priority: Option<String>,
}

pub fn lint(scene: &Scene) -> Vec<Finding> {
    scene.files().flat_map(|file| of_file(scene, file)).collect()
}

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
    let names: BTreeSet<String> = elf::constants(file.bytes())
        .into_iter()
        .flat_map(library_names)
        .filter(|name| !needed(name))
        .collect();
    // One of several versions of a library is enough.
    let mut by_stem: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &names {
        let stem = name.split(".so").next().unwrap_or(name);
        by_stem.entry(stem).or_default().push(name);
    }
    by_stem
        .into_values()
        .filter(|names| !names.iter().any(|name| scene.has(name) || is_glibc_part(name)))
        // Linkers and debuggers know the interpreter of Solaris. Linux has no such library.
        .filter(|names| names != &["libc.so.1"])
        .map(|names| {
            let why = format!("its constants name {}", quoted(&names));
            finding(scene, file, &names, &why, scene.is_program(file))
        })
        .collect()
}

fn by_notes(scene: &Scene, file: &File, entries: Vec<NoteEntry>) -> Vec<Finding> {
    let unmet = entries.into_iter().filter(|entry| !entry.soname.iter().any(|name| scene.has(name)));
    let unmet = unmet.filter(|entry| !entry.soname.is_empty());
    unmet
        .map(|entry| {
            let names: Vec<&str> = entry.soname.iter().map(String::as_str).collect();
            let priority = entry.priority.as_deref().unwrap_or("recommended");
            let feature = entry
                .feature
                .as_ref()
                .map_or(String::new(), |feature| format!(" for the feature `{feature}`"));
            let why = format!("its notes name {}{feature}", quoted(&names));
            finding(scene, file, &names, &why, priority == "required")
        })
        .collect()
}

fn finding(scene: &Scene, file: &File, names: &[&str], why: &str, is_warning: bool) -> Finding {
    let it = if names.len() == 1 { "it is" } else { "none of them is" };
    let neither = if names.len() == 1 { "neither in the bundle nor" } else { "in the bundle or" };
    let message = format!(
        "`{}` opens libraries at run time, and {why}; {it} {neither} on {}",
        file.name,
        scene.subject.lambda.label()
    );
    let mut finding = Finding::new(Code::Dlopen, &file.name, message)
        .soname(names[0])
        .help(format!("if the function uses it, ship it: `--lib {}`", names[0]));
    if !is_warning {
        finding.severity = Severity::Note;
    }
    finding
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// More names than any program opens.
const MAX_NAMES: usize = 256;
/// Longer names are ignored.
const MAX_NAME: usize = 64;

/// Finds names such as `libz.so.1`, also in Rust's texts, which follow each other without a separator.
fn library_names(constants: &[u8]) -> impl Iterator<Item = String> {
    memchr::memmem::find_iter(constants, b".so.").filter_map(|at| name_around(constants, at)).take(MAX_NAMES)
}

fn name_around(constants: &[u8], at: usize) -> Option<String> {
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(byte);
    let head = &constants[at.saturating_sub(MAX_NAME)..at];
    let start = head.iter().rposition(|byte| !of_name(byte));
    let head = &head[start.map_or(0, |at| at + 1)..];
    // After a separator the name is complete; else another text may stand before it.
    let is_whole = start.is_some() && head.starts_with(b"lib");
    let begin = if is_whole { 0 } else { memchr::memmem::rfind(head, b"lib")? };
    let stem = std::str::from_utf8(&head[begin..]).ok().filter(|stem| stem.len() > "lib".len())?;
    let tail = &constants[at + ".so.".len()..];
    let version =
        tail.iter().take(MAX_NAME).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let version = std::str::from_utf8(&tail[..version]).ok()?.trim_end_matches('.');
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| format!("{stem}.so.{version}"))
}
