//! The parts of cargo's configuration that cargo-config2 does not read.

use std::rc::Rc;

use camino::{Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use super::config_files::{self, ConfigurationFile, texts};
use super::identity::Maker;
use super::project::Project;
use super::records::{BuildScriptRun, ProfileDirs, flag_dirs};
use super::{ProcessorFlag, files, units};
use crate::error::Result;

/// Reads the values of `--config` and the configuration files, once; what comes first counts most.
fn read(project: &Project) -> Result<Rc<Vec<ConfigurationFile>>> {
    project.once(&project.environment.current_dir, || {
        let mut found = config_files::read_arguments(&project.config_arguments, project.environment)?;
        found.extend(config_files::read(project.environment)?);
        Ok(found)
    })
}

/// Returns the link-search directories of `[target.TRIPLE.LINKS]`, which take the place of a build script. Without a
/// triple every target's count.
///
/// Source: `parse_links_overrides` in cargo's src/cargo/util/context/target.rs.
pub(super) fn overrides(project: &Project, triple: Option<&str>) -> Result<Vec<BuildScriptRun>> {
    let mut found = Vec::new();
    for file in read(project)?.iter() {
        let targets = file.table.get("target").and_then(Value::as_table).into_iter().flatten();
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

/// Returns the flags for rustc that are known without a record of the build: of the first source that has any, as in
/// cargo. Conditions of `[target.'cfg(..)']` are not evaluated, which would need rustc.
///
/// Source: `build.rustflags` in The Cargo Book.
pub(super) fn rustflags(project: &Project, triple: Option<&str>) -> Result<Vec<String>> {
    for (name, separator) in VARIABLES {
        if let Some(flags) = project.environment.var(name).and_then(|it| it.to_str()) {
            let flags = flags.split(separator).filter(|flag| !flag.is_empty());
            return Ok(flags.map(str::to_owned).collect());
        }
    }
    let (mut of_target, mut of_build) = (Vec::new(), Vec::new());
    for file in read(project)?.iter() {
        for (name, value) in file.table.get("target").and_then(Value::as_table).into_iter().flatten() {
            if name.starts_with("cfg(") || triple.is_none_or(|triple| triple == name) {
                of_target.extend(flags(value.get("rustflags")));
            }
        }
        of_build.extend(flags(file.table.get("build").and_then(|build| build.get("rustflags"))));
    }
    Ok(if of_target.is_empty() { of_build } else { of_target })
}

/// The variables with flags for rustc, the first that is set wins, and what separates flags in them.
const VARIABLES: [(&str, char); 2] = [("CARGO_ENCODED_RUSTFLAGS", '\u{1f}'), ("RUSTFLAGS", ' ')];

/// Flags: a text that is split at spaces, or a list.
fn flags(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        value => texts(value),
    }
}

/// Returns the flags for rustc that choose processors or features: those in the record of the build, or else those of
/// the configuration; and those of the profile, which no record has in clear.
pub(super) fn processor_flags(
    project: &Project,
    maker: Option<&Maker>,
    dirs: &ProfileDirs,
) -> Result<Vec<ProcessorFlag>> {
    let mut flags = match maker {
        Some(maker) => units::rustflags(maker)?,
        None => rustflags(project, dirs.triple.as_deref())?,
    };
    let manifest = project.metadata.workspace_root.join("Cargo.toml");
    let profile = if dirs.name == "debug" { "dev" } else { &dirs.name };
    let text = files::text(&manifest)?.unwrap_or_default();
    // Most manifests have no such list, and take time to parse.
    let of_manifest: Option<Table> = text.contains("rustflags").then(|| text.parse().ok()).flatten();
    let configuration = read(project)?;
    let tables = of_manifest.iter().chain(configuration.iter().map(|file| &file.table));
    flags.extend(tables.flat_map(|table| {
        let profile = table.get("profile").and_then(|profiles| profiles.get(profile));
        self::flags(profile.and_then(|profile| profile.get("rustflags")))
    }));
    let mut found = Vec::new();
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        let option = match flag {
            "-C" | "--codegen" => flags.next().unwrap_or_default(),
            flag => flag.strip_prefix("-C").or_else(|| flag.strip_prefix("--codegen=")).unwrap_or_default(),
        };
        if option.starts_with("target-cpu=") || option.starts_with("target-feature=") {
            let source = source(project, option, &manifest)?;
            found.push(ProcessorFlag { flag: option.to_owned(), source });
        }
    }
    Ok(found)
}

/// Says where a flag is written.
fn source(project: &Project, flag: &str, manifest: &Utf8Path) -> Result<String> {
    let has_it = |(name, _): &&(&str, char)| {
        project.environment.var(name).is_some_and(|value| value.to_string_lossy().contains(flag))
    };
    if let Some((name, _)) = VARIABLES.iter().find(has_it) {
        return Ok(format!("the variable `{name}`"));
    }
    let of_manifest = files::text(manifest)?.unwrap_or_default();
    let configuration = read(project)?;
    let texts = configuration.iter().map(|file| (&*file.path, &*file.text));
    for (path, text) in texts.chain([(manifest, &*of_manifest)]) {
        if let Some(line) =
            text.lines().position(|line| line.contains(flag) && !line.trim_start().starts_with('#'))
        {
            return Ok(format!("`{}`, line {}", project.shown(path), line + 1));
        }
    }
    Ok("cargo's record of the build".to_owned())
}
