//! The settings: one row for each flag, read from the definitions in [`crate::cli`].
//!
//! To add a setting, add the flag there: its long name is the key, `CARGO_LAMBDA_BUNDLE_<NAME>` the variable, and its
//! type decides the values (`bool`, a count, an enum, `Utf8PathBuf` for paths, `Include`, anything else text; a `Vec`
//! of these for lists). The page of `help settings` needs a line, which a test checks. Only a flag that cannot differ
//! between packages needs a row in `SCOPES`, and only one that means nothing without another needs a row in
//! `ONLY_WITH`.

use std::any::TypeId;

use camino::Utf8PathBuf;
use clap::{Arg, ArgAction, Command};

use crate::include::Include;

/// Where a setting may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingScope {
    /// Only on the command line: it decides which manifests are read, or which programs the run is about.
    Flag,
    /// Also in a variable, but in no manifest: cargo needs it before it reads one, or it is for the user alone to say.
    Variable,
    /// Everywhere, with one value for the whole run: all packages must agree.
    Run,
    /// Everywhere, separately for each package.
    Package,
}

/// The settings that are not [`SettingScope::Package`].
const SCOPES: &[(&str, SettingScope)] = &[
    ("against", SettingScope::Variable),
    ("all-features", SettingScope::Run),
    ("bin", SettingScope::Flag),
    ("binary", SettingScope::Flag),
    ("bins", SettingScope::Flag),
    ("build", SettingScope::Variable),
    ("build-with", SettingScope::Run),
    ("color", SettingScope::Run),
    ("config", SettingScope::Variable),
    ("example", SettingScope::Flag),
    ("examples", SettingScope::Flag),
    ("exclude", SettingScope::Flag),
    ("features", SettingScope::Run),
    ("force", SettingScope::Flag),
    ("frozen", SettingScope::Variable),
    ("help", SettingScope::Flag),
    ("jobs", SettingScope::Variable),
    ("locked", SettingScope::Variable),
    ("manifest-path", SettingScope::Flag),
    ("max-growth", SettingScope::Variable),
    ("mermaid", SettingScope::Flag),
    ("message-format", SettingScope::Run),
    ("no-default-features", SettingScope::Run),
    ("offline", SettingScope::Variable),
    ("package", SettingScope::Flag),
    ("profile", SettingScope::Run),
    ("quiet", SettingScope::Run),
    ("release", SettingScope::Flag),
    ("split-layer", SettingScope::Run),
    ("target", SettingScope::Run),
    ("target-dir", SettingScope::Variable),
    ("template", SettingScope::Flag),
    ("tree", SettingScope::Flag),
    ("verbose", SettingScope::Run),
    ("version", SettingScope::Flag),
    ("workspace", SettingScope::Flag),
    ("write-anyway", SettingScope::Flag),
];

/// Settings that are dropped if none of these others is set. As a flag, they are wrong usage without them; only
/// `--build-with` stands for `--build`, too.
pub(super) const ONLY_WITH: &[(&str, &[&str])] = &[
    ("all-features", &["build", "build-with"]),
    ("config", &["build", "build-with"]),
    ("features", &["build", "build-with"]),
    ("jobs", &["build", "build-with"]),
    ("no-default-features", &["build", "build-with"]),
    ("build-with", &["build"]),
    ("debug-symbols", &["strip"]),
    ("max-growth", &["against"]),
];

/// The values that a setting takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// On or off.
    Switch,
    /// A number of repetitions.
    Count,
    /// One value.
    One(Values),
    /// A list of values.
    List(Values),
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Any text.
    Text,
    /// A path.
    Path,
    /// An include: text as after the flag, or a table.
    Include,
    /// One of these.
    Choice(Vec<String>),
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The flag without its dashes, which is the key in a manifest.
    pub name: String,
    /// The id for clap.
    pub(super) id: String,
    /// The values it takes.
    pub kind: ValueKind,
    /// Where it may be set.
    pub scope: SettingScope,
    /// The default.
    pub default: Vec<String>,
    /// Conflicting settings, by their ids for clap.
    pub(super) conflicts: Vec<String>,
}

impl Row {
    fn new(command: &Command, arg: &Arg) -> Option<Row> {
        let name = arg.get_long()?.to_owned();
        let choices: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let values = match choices.is_empty() {
            true if arg.get_value_parser().type_id() == TypeId::of::<Utf8PathBuf>() => Values::Path,
            true if arg.get_value_parser().type_id() == TypeId::of::<Include>() => Values::Include,
            true => Values::Text,
            false => Values::Choice(choices),
        };
        let kind = match arg.get_action() {
            ArgAction::SetTrue => ValueKind::Switch,
            ArgAction::Count => ValueKind::Count,
            ArgAction::Append => ValueKind::List(values),
            _ => ValueKind::One(values),
        };
        let scope = SCOPES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(SettingScope::Package, |(_, scope)| *scope);
        let conflicts = command.get_arg_conflicts_with(arg);
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        Some(Row {
            id: arg.get_id().as_str().to_owned(),
            kind,
            scope,
            default: arg.get_default_values().iter().map(|value| text(value)).collect(),
            conflicts: conflicts.iter().map(|other| other.get_id().as_str().to_owned()).collect(),
            name,
        })
    }

    /// Returns the name of its environment variable.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// The prefix of this tool's variables.
pub(super) const VARIABLE_PREFIX: &str = "CARGO_LAMBDA_BUNDLE_";

/// Returns the settings of one command, in the order of its help.
pub(super) fn rows_of(command: &Command) -> Vec<Row> {
    command.get_arguments().filter_map(|arg| Row::new(command, arg)).collect()
}

/// Returns every setting of every command, sorted by name.
pub fn rows() -> Vec<Row> {
    let root = <crate::cli::Cli as clap::CommandFactory>::command();
    let mut rows = rows_of(&root);
    for command in root.get_subcommands() {
        for row in rows_of(command) {
            if !rows.iter().any(|known| known.name == row.name) {
                rows.push(row);
            }
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}
