//! The place of the program in its bundle: where Lambda starts it, or where a script that Lambda starts looks for it.

use super::programs::ProgramInput;
use super::started::script_bytes;
use crate::archive::BOOTSTRAP;
use crate::baseline::starts_bootstrap;
use crate::layout::{BundleKind, Layout};
use crate::paths;
use crate::proof;
use crate::settings::Settings;

/// Returns the paths of a bundle's files on Lambda.
pub(super) fn layout(settings: &Settings, input: &ProgramInput) -> Layout {
    let kind = settings.bundle.kind;
    let name = &input.program.name;
    let beside = || match script_of(input) {
        Some(text) => executed_by(&text, input, kind).unwrap_or_else(|| format!("bin/{name}")),
        None => Layout::program_of(kind, name),
    };
    match kind {
        BundleKind::Function => Layout { program: beside(), ..Layout::function() },
        BundleKind::Layer if is_runtime(settings, input) => Layout::layer(kind, BOOTSTRAP, name),
        BundleKind::Layer => Layout::layer(kind, &beside(), name),
        BundleKind::Extension => Layout::layer(kind, &Layout::program_of(kind, name), name),
    }
}

/// Whether a layer's only program is a custom runtime: Lambda starts /opt/bootstrap if the function has none.
fn is_runtime(settings: &Settings, input: &ProgramInput) -> bool {
    let has_bootstrap = input.included.iter().any(|file| file.name == BOOTSTRAP);
    input.others.is_empty() && !has_bootstrap && starts_bootstrap(&settings.target.configured)
}

/// Returns the text of an included `bootstrap`, if it is a script.
fn script_of(input: &ProgramInput) -> Option<Vec<u8>> {
    let bootstrap = input.included.iter().find(|file| file.name == BOOTSTRAP)?;
    // What cannot be read is an error when the bundle is written.
    let text = script_bytes(bootstrap).ok()??;
    text.starts_with(b"#!").then_some(text)
}

/// Returns the name at which a `bootstrap` script executes the program.
fn executed_by(script: &[u8], input: &ProgramInput, kind: BundleKind) -> Option<String> {
    let names = proof::run_by_script(script, kind);
    let is_taken = |name: &String| input.included.iter().any(|file| file.name == *name);
    let is_plain = |name: &String| name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let is_it = |name: &String| paths::file_name(name) == input.program.name && is_plain(name);
    names.into_iter().find(|name| is_it(name) && !is_taken(name))
}
