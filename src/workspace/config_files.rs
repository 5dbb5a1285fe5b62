//! The files of cargo's configuration.

use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use super::files;
use crate::environment::Environment;
use crate::error::Result;

/// Returns cargo's own directory, which has a configuration file, too.
pub(super) fn cargo_home(environment: &Environment) -> Option<PathBuf> {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    match environment.var("CARGO_HOME") {
        Some(cargo_home) => Some(environment.current_dir.as_std_path().join(cargo_home)),
        None => environment.var(home).map(|home| Path::new(home).join(".cargo")),
    }
}

/// Returns the configuration files, the nearest first: those of the current directory and above it, then that of
/// `CARGO_HOME`.
///
/// Source: "Hierarchical structure" of the configuration in The Cargo Book.
fn paths(environment: &Environment) -> Result<Vec<Utf8PathBuf>> {
    let above = environment.current_dir.ancestors().map(|directory| directory.join(".cargo"));
    let home = cargo_home(environment).and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let mut found = Vec::new();
    for directory in above.chain(home) {
        // Of the two names the older one wins.
        for name in ["config", "config.toml"] {
            let path = directory.join(name);
            if files::is_file(&path)? && !found.contains(&path) {
                found.push(path);
                break;
            }
        }
    }
    Ok(found)
}

/// A configuration file.
pub(super) struct ConfigurationFile {
    pub(super) path: Utf8PathBuf,
    pub(super) text: String,
    pub(super) table: Table,
}

/// Reads the configuration files, the nearest first. One that is no TOML is left out; cargo has reported it then.
pub(super) fn read(environment: &Environment) -> Result<Vec<ConfigurationFile>> {
    let mut found = Vec::new();
    for path in paths(environment)? {
        add(path, &mut found)?;
    }
    Ok(found)
}

/// Reads the values of `--config`: `KEY=VALUE`, or the path of a file. The last one comes first. cargo has refused those
/// that are neither.
///
/// Source: "Command-line overrides" of the configuration in The Cargo Book.
pub(super) fn read_arguments(
    arguments: &[String],
    environment: &Environment,
) -> Result<Vec<ConfigurationFile>> {
    let mut found = Vec::new();
    for text in arguments.iter().rev() {
        let path = environment.current_dir.join(text);
        match text.parse::<Table>() {
            Ok(table) => found.push(ConfigurationFile { path: "--config".into(), text: text.clone(), table }),
            Err(_) if files::is_file(&path)? => add(path, &mut found)?,
            Err(_) => {}
        }
    }
    Ok(found)
}

/// A text, or a list of texts.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Returns `build.target` of the values of `--config`; none if they do not set it.
pub(super) fn argument_targets(arguments: &[String], environment: &Environment) -> Result<Vec<String>> {
    let tables = read_arguments(arguments, environment)?;
    let mut targets = tables.iter().map(|it| texts(it.table.get("build").and_then(|it| it.get("target"))));
    Ok(targets.find(|it| !it.is_empty()).unwrap_or_default())
}

/// Adds a file, and behind it those that it includes, whose values count less.
///
/// Source: `include` of the configuration in The Cargo Book: paths, or tables with one, relative to the file.
fn add(path: Utf8PathBuf, found: &mut Vec<ConfigurationFile>) -> Result<()> {
    let Some(text) = files::text(&path)? else { return Ok(()) };
    let Ok(table) = text.parse::<Table>() else { return Ok(()) };
    let include = table.get("include").and_then(Value::as_array).into_iter().flatten();
    let included = include.filter_map(|it| it.get("path").unwrap_or(it).as_str());
    let included: Vec<Utf8PathBuf> = included.map(|it| path.with_file_name("").join(it)).collect();
    found.push(ConfigurationFile { path, text, table });
    // A later file counts more than an earlier one.
    for path in included.into_iter().rev() {
        if found.iter().all(|file| file.path != path) {
            add(path, found)?;
        }
    }
    Ok(())
}

/// A program that the configuration names.
pub(super) struct ConfiguredProgram {
    /// The name, or a path from `base`.
    pub(super) program: String,
    /// The directory that has `.cargo` with the file.
    pub(super) base: Utf8PathBuf,
}

/// Returns `build.rustc` of the nearest file that has it.
pub(super) fn rustc(environment: &Environment) -> Result<Option<ConfiguredProgram>> {
    let of = |file: &ConfigurationFile| {
        let program = file.table.get("build")?.get("rustc")?.as_str()?.to_owned();
        let base = file.path.parent().and_then(Utf8Path::parent).unwrap_or(&file.path).to_owned();
        Some(ConfiguredProgram { program, base })
    };
    Ok(read(environment)?.iter().find_map(of))
}
