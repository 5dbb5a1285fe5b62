//! The sources of values: flags, then variables, then the package's manifest, then the workspace's.
//!
//! The first source that sets a setting wins, with all of its value: a list replaces the lists of lower sources.
//! Values of lower sources are then added to the flags as if they had been typed, and clap parses the whole. So each
//! setting is defined once, in [`crate::cli`], and parsed in one way. A higher source also wins over a lower one if
//! their flags exclude each other: `--release` on the command line overrides `profile = "x"` in a manifest.
//!
//! Paths in a manifest are relative to its directory, all others to the current directory.

use std::collections::BTreeMap;
use std::ffi::OsString;

use camino::Utf8Path;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use serde_json::Value;

use super::Context;
use super::table::{ONLY_WITH, Row, SettingScope, VARIABLE_PREFIX, ValueKind, Values, rows, rows_of};
use crate::cli::{Cli, PrintCommand, topics};
use crate::disk;
use crate::error::{Error, Result};
use crate::include::Include;
use crate::nearest::nearest;
use crate::text;
use crate::workspace::Manifest;

/// The arguments of the process, parsed by clap.
pub struct CommandLine {
    words: Vec<OsString>,
    matches: ArgMatches,
    /// The definition that clap parsed them with; it takes time to build.
    command: clap::Command,
}

impl CommandLine {
    /// Parses the arguments. On wrong usage and on `--help` it ends the process, like clap.
    pub fn parse(words: Vec<OsString>) -> CommandLine {
        let mut command = Cli::command();
        let mut parse = |words: &[OsString]| {
            command.try_get_matches_from_mut(words).unwrap_or_else(|error| with_tip(error, words).exit())
        };
        let matches = parse(&words);
        if let Some(("help", help)) = matches.subcommand() {
            // `help check` is `check --help`, in colour on a terminal.
            let named: Vec<OsString> =
                help.get_raw("command").into_iter().flatten().map(OsString::from).collect();
            let is_page = named.len() == 1 && named[0].to_str().and_then(topics::topic).is_some();
            if !is_page && !named.is_empty() {
                let program = words.first().cloned();
                parse(&program.into_iter().chain(named).chain(["--help".into()]).collect::<Vec<_>>());
            }
        }
        CommandLine { words, matches, command }
    }

    /// Parses arguments that may be wrong; `None` if they are.
    pub fn try_parse(words: Vec<OsString>) -> Option<CommandLine> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(&words).ok()?;
        Some(CommandLine { words, matches, command })
    }

    /// Returns the requested document about the tool itself, which needs no settings.
    pub fn print(&self) -> Option<PrintCommand> {
        // Any other subcommand is an error here, and means that no document was requested.
        PrintCommand::from_arg_matches(&self.matches).ok()
    }
}

/// Adds to an error of clap's what was meant, where clap knows no flag or subcommand with a similar name.
fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let place = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        // With flags before it, any word there is one that excludes them.
        ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(place) else { return error };
    let is_command =
        place == ContextKind::InvalidSubcommand && words.get(1).is_none_or(|it| it != "baseline");
    if let Some(tip) = tip(word, is_command, words) {
        // clap's usage is about the argument that it would suggest.
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::Usage] {
            error.remove(kind);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Says what a wrong word of a command line may mean; `is_command` is whether it stands where the subcommand would.
fn tip(word: &str, is_command: bool, words: &[OsString]) -> Option<String> {
    let has_profile = !words.iter().any(|word| word == "verify" || word == "baseline");
    if word.contains(char::is_control) || words.iter().any(|word| word == "--") {
        return None;
    }
    let path = text::shell_words(&[word.to_owned()]);
    match word.trim_start_matches('-') {
        // cargo's default profile has no flag.
        "debug" | "dev" if has_profile => Some("did you mean `--profile dev`?".to_owned()),
        "build" if is_command => Some("did you mean `--build`?".to_owned()),
        name if name != word => owner(word, name, words),
        name if is_command && Cli::command().find_subcommand(name).is_some() => {
            Some(format!("write its options behind it: `cargo lambda-bundle {name} ...`"))
        }
        name if name.ends_with(".zip") => {
            Some(format!("audit an archive with `cargo lambda-bundle verify {path}`"))
        }
        name if disk::is_directory(Utf8Path::new(name)) => {
            Some(format!("audit a directory with `cargo lambda-bundle verify {path}`"))
        }
        name if disk::exists(Utf8Path::new(name)) => Some(format!("name a program with `--binary {path}`")),
        name if is_command => {
            let page = nearest(name, topics::TOPICS.iter().map(|topic| topic.name))?;
            Some(format!("read a page with `cargo lambda-bundle help {page}`"))
        }
        _ => None,
    }
}

/// Says which command has a flag, or is meant by it. `name` is the flag without its dashes.
fn owner(flag: &str, name: &str, words: &[OsString]) -> Option<String> {
    let mut root = Cli::command();
    root.build();
    if words.get(1).is_some_and(|command| command == name) {
        return None;
    }
    if root.find_subcommand(name).is_some() {
        return Some(format!("did you mean `cargo lambda-bundle {name}`, without dashes?"));
    }
    let has = |command: &clap::Command| {
        command.get_arguments().any(|arg| match flag.starts_with("--") {
            true => arg.get_long() == Some(name),
            false => arg.get_short().is_some_and(|short| name == short.to_string()),
        })
    };
    if has(&root) {
        return Some(format!("`{flag}` is for bundling: `cargo lambda-bundle {flag} ...`"));
    }
    let nested =
        root.get_subcommands().flat_map(|command| std::iter::once(command).chain(command.get_subcommands()));
    let owner = nested.filter(|command| has(command)).find_map(clap::Command::get_bin_name)?;
    Some(format!("`{flag}` is an option of another command: `{owner} {flag} ...`"))
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A flag.
    Flag,
    /// An environment variable, by its name.
    Variable(String),
    /// The package's manifest, by its path.
    Package(String),
    /// The workspace's manifest, by its path.
    Workspace(String),
    /// cargo-lambda's settings in a manifest, by its path.
    CargoLambda(String),
    /// No source: the default.
    Default,
}

impl SettingOrigin {
    /// Whether it is a file of the checkout.
    pub fn is_manifest(&self) -> bool {
        matches!(
            self,
            SettingOrigin::Package(_) | SettingOrigin::Workspace(_) | SettingOrigin::CargoLambda(_)
        )
    }
}

/// A setting with its value, as `config` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The definition of the setting.
    pub row: Row,
    /// The values as they would be typed; empty if the setting is off or not set.
    pub values: Vec<String>,
    /// The source of the value.
    pub origin: SettingOrigin,
}

/// The checked values of one source: words as on the command line, by setting.
#[derive(Default)]
pub(super) struct SettingSource {
    values: BTreeMap<String, (Vec<String>, SettingOrigin)>,
}

/// Reads the variables. Empty ones count as not set.
///
/// # Errors
///
/// If a variable with this tool's prefix is unknown or has no meaning, or if a value has the wrong type.
pub(super) fn variables(context: &Context) -> Result<SettingSource> {
    // Most runs have none of these variables, and the rows take time to build.
    let rows = std::cell::LazyCell::new(rows);
    let mut values = BTreeMap::new();
    for (key, value) in &context.environment.vars {
        let Some(name) = key.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        let Some(row) = rows.iter().find(|row| row.variable() == name) else {
            let known: Vec<String> =
                rows.iter().filter(|row| row.scope != SettingScope::Flag).map(Row::variable).collect();
            let error = Error::usage(format!("the variable `{name}` is unknown"));
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("list the settings with `cargo lambda-bundle config`, or unset it"),
            });
        };
        if row.scope == SettingScope::Flag {
            return Err(Error::usage(format!("the variable `{name}` has no meaning"))
                .help(format!("use `--{}` on the command line", row.name)));
        }
        let Some(value) = value.to_str() else {
            return Err(Error::usage(format!("the variable `{name}` is not UTF-8")));
        };
        if !value.is_empty() {
            let words = variable_words(row, value).map_err(|expected| {
                Error::usage(format!("the variable `{name}` is `{value}`, expected {expected}"))
            })?;
            values.insert(row.name.clone(), (words, SettingOrigin::Variable(name.to_owned())));
        }
    }
    Ok(SettingSource { values })
}

/// Splits a variable's value into words; the error says what was expected.
fn variable_words(row: &Row, text: &str) -> std::result::Result<Vec<String>, String> {
    let value = match &row.kind {
        ValueKind::Switch => match text {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => return Err("`true` or `false`".to_owned()),
        },
        ValueKind::Count => text.parse::<u8>().map_err(|_| expected(row))?.into(),
        ValueKind::One(_) => text.into(),
        // As in cargo's own variables; a JSON array if a value contains white space.
        ValueKind::List(_) => match serde_json::from_str(text) {
            Ok(array @ Value::Array(_)) => array,
            _ => text.split_whitespace().collect(),
        },
    };
    words(row, &value, None).ok_or_else(|| expected(row))
}

/// Reads a manifest's `lambda-bundle` table.
///
/// # Errors
///
/// If a key is unknown or has no meaning in a manifest, or if a value has the wrong type.
pub(super) fn manifest(manifest: &Manifest, context: &Context) -> Result<SettingSource> {
    let kind = if manifest.package.is_some() { "package" } else { "workspace" };
    let table_name = format!("[{kind}.metadata.lambda-bundle]");
    let path = manifest.directory.join("Cargo.toml");
    let path = path.strip_prefix(&context.environment.current_dir).unwrap_or(&path);
    let mut values = BTreeMap::new();
    let table = match manifest.metadata.get("lambda-bundle") {
        None => return Ok(SettingSource { values }),
        Some(Value::Object(table)) => table,
        Some(other) => {
            return Err(Error::new(format!(
                "`lambda-bundle` in `{path}` is {}, expected a table, `{table_name}`",
                describe(other)
            )));
        }
    };
    let rows = rows();
    for (key, value) in table {
        let Some(row) = rows.iter().find(|row| row.name == *key) else {
            let known =
                rows.iter().filter(|row| matches!(row.scope, SettingScope::Run | SettingScope::Package));
            let known: Vec<&str> = known.map(|row| row.name.as_str()).collect();
            let error = Error::new(format!("unknown key `{key}` in `{table_name}` of `{path}`"));
            return Err(match nearest(key, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("one of: {}", known.join(", "))),
            });
        };
        let misplaced = |help: String| {
            Err(Error::new(format!("`{key}` in `{table_name}` of `{path}` has no meaning in a manifest"))
                .help(help))
        };
        match row.scope {
            SettingScope::Flag => return misplaced(format!("use `--{key}` on the command line")),
            SettingScope::Variable => {
                return misplaced(format!("use `--{key}`, or set `{}`", row.variable()));
            }
            SettingScope::Run | SettingScope::Package => {}
        }
        let Some(words) = words(row, value, Some(manifest.directory)) else {
            return Err(Error::new(format!(
                "`{key}` in `{table_name}` of `{path}` is {}, expected {}",
                describe(value),
                expected(row)
            )));
        };
        let origin = match manifest.package {
            Some(_) => SettingOrigin::Package(path.to_string()),
            None => SettingOrigin::Workspace(path.to_string()),
        };
        values.insert(key.clone(), (words, origin));
    }
    Ok(SettingSource { values })
}

/// The includes that are set for cargo-lambda, which are used here, too.
#[derive(Default)]
pub(super) struct TheirIncludes {
    pub(super) source: SettingSource,
    /// Lines about those that are not taken.
    pub(super) untaken: Vec<String>,
}

/// Reads the includes that a manifest sets for cargo-lambda.
///
/// Errors there are for cargo-lambda to report.
pub(super) fn cargo_lambda(manifest: &Manifest, context: &Context) -> TheirIncludes {
    let path = manifest.directory.join("Cargo.toml");
    manifest.metadata.get("lambda").map_or_else(TheirIncludes::default, |tables| {
        their_includes(tables, &path, manifest.directory, context)
    })
}

/// Reads the includes of cargo-lambda's own file, which is in the current directory or that of the workspace.
pub(super) fn cargo_lambda_file(workspace: &Utf8Path, context: &Context) -> TheirIncludes {
    for directory in [&*context.environment.current_dir, workspace] {
        let path = directory.join("CargoLambda.toml");
        if !disk::exists(&path) {
            continue;
        }
        let text = disk::text(&path, "CargoLambda.toml").unwrap_or_default();
        let tables: Option<Value> = toml::from_str(&text).ok();
        return tables.map_or_else(TheirIncludes::default, |tables| {
            their_includes(&tables, &path, directory, context)
        });
    }
    TheirIncludes::default()
}

/// Reads `include` of cargo-lambda's `build` and `deploy` tables, in the file at `path`.
///
/// `cargo lambda deploy` looks for its files from the current directory and skips those that do not exist (1.9.2,
/// tried); from another directory those beside the file are meant.
fn their_includes(tables: &Value, path: &Utf8Path, directory: &Utf8Path, context: &Context) -> TheirIncludes {
    let current_dir = &context.environment.current_dir;
    let path = path.strip_prefix(current_dir).unwrap_or(path);
    let mut theirs = TheirIncludes::default();
    let mut words: Vec<String> = Vec::new();
    for table in ["build", "deploy"] {
        let list = tables.pointer(&format!("/{table}/include")).and_then(Value::as_array);
        for text in list.into_iter().flatten().filter_map(Value::as_str) {
            // Source: cargo-lambda 1.9, where the destination comes first: `DEST:SRC`.
            let (to, from) = match text.split_once(':') {
                Some((to, from)) => (Some(to), from),
                None => (None, text),
            };
            let base = match table {
                "build" => directory,
                _ => {
                    let has = |base: &&Utf8Path| disk::exists(&base.join(from));
                    match [&**current_dir, directory].into_iter().find(has) {
                        Some(base) => base,
                        None => {
                            let line = format!(
                                "`{from}`, which `deploy.include` in {path} names: it does not exist"
                            );
                            theirs.untaken.push(line);
                            continue;
                        }
                    }
                }
            };
            let word = include(&serde_json::json!({ "from": from, "to": to }), Some(base));
            words.extend(word.filter(|word| !words.contains(word)));
        }
    }
    if !words.is_empty() {
        let origin = SettingOrigin::CargoLambda(path.to_string());
        theirs.source.values.insert("include".to_owned(), (words, origin));
    }
    theirs
}

/// Returns a value as it would be typed after the flag; `None` if its type is wrong. A switch that is off and a count
/// of 0 give no words.
fn words(row: &Row, value: &Value, directory: Option<&Utf8Path>) -> Option<Vec<String>> {
    let one = |values: &Values, value: &Value| {
        if *values == Values::Include {
            return include(value, directory);
        }
        let text = value.as_str()?;
        match values {
            Values::Include => None,
            Values::Text => Some(text.to_owned()),
            Values::Path => Some(directory.map_or(text.to_owned(), |at| at.join(text).into_string())),
            Values::Choice(choices) => choices.iter().any(|choice| choice == text).then(|| text.to_owned()),
        }
    };
    match &row.kind {
        ValueKind::Switch => value.as_bool().map(|on| if on { vec!["true".to_owned()] } else { Vec::new() }),
        ValueKind::Count => match u8::try_from(value.as_u64()?).ok()? {
            0 => Some(Vec::new()),
            count => Some(vec![count.to_string()]),
        },
        ValueKind::One(values) => Some(vec![one(values, value)?]),
        ValueKind::List(values) => match value {
            Value::Array(array) => array.iter().map(|value| one(values, value)).collect(),
            value => Some(vec![one(values, value)?]),
        },
    }
}

/// Returns an include as it would be typed: as JSON, with the directory it is relative to.
fn include(value: &Value, directory: Option<&Utf8Path>) -> Option<String> {
    let include: Include = match value {
        Value::String(text) => text.parse().ok()?,
        table => serde_json::from_value(table.clone()).ok().filter(|it: &Include| it.directory == "")?,
    };
    let directory = directory.unwrap_or(Utf8Path::new("")).to_owned();
    serde_json::to_string(&Include { directory, ..include }).ok()
}

fn expected(row: &Row) -> String {
    let named = |values: &Values, text: &str, path: &str| match values {
        Values::Text => text.to_owned(),
        Values::Path => path.to_owned(),
        Values::Include => {
            "an array of paths and of tables with `from` and optionally `to`, `mode`, `symlinks`, `exclude`"
                .to_owned()
        }
        Values::Choice(choices) => {
            let choices: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            format!("one of {}", choices.join(", "))
        }
    };
    match &row.kind {
        ValueKind::Switch => "`true` or `false`".to_owned(),
        ValueKind::Count => "a number from 0 to 255".to_owned(),
        ValueKind::One(values) => named(values, "a string", "a path in a string"),
        ValueKind::List(values) => {
            named(values, "a string or an array of strings", "a path or an array of paths")
        }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string `{text}`"),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

/// Completes the command line with values from `sources`, highest first.
pub(super) fn merge(line: &CommandLine, sources: &[&SettingSource]) -> Result<(Cli, Vec<Setting>)> {
    let root = &line.command;
    // No flag stands before a subcommand.
    let (mut at, mut command, mut matches) = (1, root, &line.matches);
    while let Some((name, below)) = matches.subcommand() {
        (at, command, matches) = (at + 1, command.find_subcommand(name).unwrap_or(command), below);
    }
    // Each setting has the rank of its source: 0 for a flag.
    let mut chosen: Vec<(usize, Setting)> = Vec::new();
    for row in rows_of(command) {
        let typed = matches.value_source(&row.id) == Some(ValueSource::CommandLine);
        let found =
            sources.iter().enumerate().find_map(|(at, source)| Some((at, source.values.get(&row.name)?)));
        chosen.push(match found {
            _ if typed => {
                (0, Setting { values: typed_values(&row, matches), row, origin: SettingOrigin::Flag })
            }
            Some((at, (values, origin))) => {
                (at + 1, Setting { row, values: values.clone(), origin: origin.clone() })
            }
            None => {
                (usize::MAX, Setting { values: row.default.clone(), row, origin: SettingOrigin::Default })
            }
        });
    }
    give_way(&mut chosen);
    let mut words = line.words.clone();
    let mut added = Vec::new();
    for (_, setting) in chosen.iter().filter(|(rank, _)| ![0, usize::MAX].contains(rank)) {
        let name = &setting.row.name;
        added.extend(setting.values.iter().flat_map(|value| match setting.row.kind {
            ValueKind::Switch => vec![format!("--{name}")],
            ValueKind::Count => vec![format!("--{name}"); value.parse().unwrap_or(0)],
            ValueKind::One(_) | ValueKind::List(_) => vec![format!("--{name}={value}")],
        }));
    }
    let settings: Vec<Setting> = chosen.into_iter().map(|(_, setting)| setting).collect();
    let parsed = if added.is_empty() {
        Cli::from_arg_matches(&line.matches)
    } else {
        words.splice(at..at, added.into_iter().map(OsString::from));
        Cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches))
    };
    let cli = parsed.map_err(|error| {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        blame(Error::usage(text.strip_prefix("error: ").unwrap_or(text)), &settings)
    })?;
    Ok((cli, settings))
}

/// Refuses flags that mean nothing without another setting, which may come from any source.
///
/// # Errors
///
/// If there is such a flag.
pub(super) fn check_needs(settings: &[Setting]) -> Result<()> {
    let is_set = |setting: &Setting| setting.origin != SettingOrigin::Default && !setting.values.is_empty();
    for setting in settings.iter().filter(|setting| setting.origin == SettingOrigin::Flag) {
        let needs = ONLY_WITH.iter().find(|(name, _)| *name == setting.row.name && *name != "build-with");
        let Some((name, needed)) = needs else { continue };
        let is_there = |it: &Setting| is_set(it) && needed.contains(&it.row.name.as_str());
        if !settings.iter().any(is_there) {
            return Err(Error::usage(format!("`--{name}` has no effect without `--{}`", needed[0]))
                .help(format!("add `--{}`", needed[0])));
        }
    }
    Ok(())
}

fn typed_values(row: &Row, matches: &ArgMatches) -> Vec<String> {
    if row.kind == ValueKind::Count {
        return vec![matches.get_count(&row.id).to_string()];
    }
    let raw = matches.get_raw(&row.id).into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// Drops settings that a higher source excludes, and those that need a switch that is off.
fn give_way(chosen: &mut [(usize, Setting)]) {
    let is_set = |(_, setting): &(usize, Setting)| {
        setting.origin != SettingOrigin::Default && !setting.values.is_empty()
    };
    let excludes =
        |one: &Row, other: &Row| one.conflicts.contains(&other.id) || other.conflicts.contains(&one.id);
    let lost: Vec<bool> = chosen
        .iter()
        .map(|(rank, setting)| {
            let excluded = chosen
                .iter()
                .any(|other| is_set(other) && other.0 < *rank && excludes(&other.1.row, &setting.row));
            let switches = ONLY_WITH.iter().find(|(name, _)| *name == setting.row.name);
            let unneeded = *rank > 0
                && switches.is_some_and(|(_, switches)| {
                    !chosen.iter().any(|other| is_set(other) && switches.contains(&other.1.row.name.as_str()))
                });
            excluded || unneeded
        })
        .collect();
    for ((rank, setting), _) in chosen.iter_mut().zip(lost).filter(|(_, lost)| *lost) {
        *rank = usize::MAX;
        setting.values.clone_from(&setting.row.default);
        setting.origin = SettingOrigin::Default;
    }
}

/// Adds to an error about a flag the source of its value, if that was not the command line.
pub(super) fn blame(error: Error, settings: &[Setting]) -> Error {
    let text = error.to_string();
    let is_named = |setting: &&Setting| {
        let flag = format!("--{}", setting.row.name);
        text.match_indices(&flag).any(|(at, _)| text[at + flag.len()..].starts_with([' ', '=', '`', '\'']))
    };
    let Some(named) = settings.iter().find(is_named) else { return error };
    match &named.origin {
        SettingOrigin::Variable(name) => error.named_in(&format!("the variable `{name}`")),
        SettingOrigin::Package(path) => {
            error.named_in(&format!("`[package.metadata.lambda-bundle]` of `{path}`")).not_usage()
        }
        SettingOrigin::Workspace(path) => {
            error.named_in(&format!("`[workspace.metadata.lambda-bundle]` of `{path}`")).not_usage()
        }
        SettingOrigin::CargoLambda(path) => {
            error.named_in(&format!("cargo-lambda's settings in `{path}`")).not_usage()
        }
        SettingOrigin::Flag | SettingOrigin::Default => error,
    }
}
