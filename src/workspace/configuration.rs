//! The parts of cargo's configuration that cargo-config2 does not read.

use camino::{Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use super::files;
use super::project::Project;
use super::records::{BuildScriptRun, flag_dirs};
use crate::error::Result;

/// Returns the configuration files, the nearest first: those of the current directory and above it, then that of
/// `CARGO_HOME`.
///
/// Source: "Hierarchical structure" of the configuration in The Cargo Book.
fn paths(project: &Project) -> Result<Vec<Utf8PathBuf>> {
    let environment = project.environment;
    let above = environment.current_dir.ancestors().map(|directory| directory.join(".cargo"));
    let mut found = Vec::new();
    for directory in above.chain(project.cargo_home()) {
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

/// Reads a configuration file; None if it is no TOML, which cargo has reported then.
fn table(path: &Utf8Path) -> Result<Option<Table>> {
    Ok(files::text(path)?.and_then(|text| text.parse().ok()))
}

/// Returns the link-search directories of `[target.TRIPLE.LINKS]`, which take the place of a build script. Without a
/// triple every target's count.
///
/// Source: `parse_links_overrides` in cargo's src/cargo/util/context/target.rs.
pub(super) fn overrides(project: &Project, triple: Option<&str>) -> Result<Vec<BuildScriptRun>> {
    let mut found = Vec::new();
    for path in paths(project)? {
        let Some(table) = table(&path)? else { continue };
        let targets = table.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = targets.filter(|(name, _)| triple.is_none_or(|triple| triple == *name));
        for (links, value) in tables.filter_map(|(_, value)| value.as_table()).flatten() {
            let Some(value) = value.as_table() else { continue };
            let mut link_search = texts(value.get("rustc-link-search"));
            let flags: Vec<String> = texts(value.get("rustc-flags"))
                .iter()
                .flat_map(|flags| flags.split_whitespace())
                .map(str::to_owned)
                .collect();
            link_search.extend(flag_dirs(&flags));
            if !link_search.is_empty() {
                found.push(BuildScriptRun {
                    package: links.clone(),
                    link_search,
                    directory: Utf8PathBuf::new(),
                });
            }
        }
    }
    Ok(found)
}

/// A text, or a list of texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Returns the flags for rustc of variables and `build.rustflags`: what is known without a record of the build.
pub(super) fn rustflags(project: &Project) -> Vec<String> {
    if let Some(encoded) = project.environment.var("CARGO_ENCODED_RUSTFLAGS").and_then(|it| it.to_str()) {
        return encoded.split('\u{1f}').map(str::to_owned).collect();
    }
    if let Some(flags) = project.environment.var("RUSTFLAGS").and_then(|it| it.to_str()) {
        return flags.split_whitespace().map(str::to_owned).collect();
    }
    project.config.build.rustflags.clone().map_or(Vec::new(), |flags| flags.flags)
}
