//! Selects programs by cargo's rules from the output of `cargo metadata`, without any other input.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{CrateType, Metadata, Package, PackageId, TargetKind};
use globset::{Glob, GlobMatcher};

use super::{ProjectNames, Selection};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// A binary or example of the workspace. The order of the fields is the order of programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SelectedProgram {
    pub(super) package: String,
    pub(super) name: String,
    pub(super) is_example: bool,
    pub(super) package_id: PackageId,
    /// Whether a flag names it; then it must exist.
    pub(super) named: bool,
    pub(super) required_features: Vec<String>,
    pub(super) manifest_dir: Utf8PathBuf,
    /// The source file of its crate.
    pub(super) src_path: Utf8PathBuf,
}

/// Returns the selected programs, sorted by package and name; at least one.
pub(super) fn select(
    metadata: &Metadata,
    selection: &Selection,
    current_dir: &Utf8Path,
) -> Result<Vec<SelectedProgram>> {
    let packages = select_packages(metadata, selection, current_dir)?;
    let everything: Vec<SelectedProgram> = packages.iter().flat_map(|package| programs(package)).collect();
    let named = !selection.bins.is_empty() || !selection.examples.is_empty();
    let filtered = selection.all_bins || selection.all_examples || named;

    let mut selected = Vec::new();
    if selection.all_bins || !filtered {
        selected.extend(everything.iter().filter(|program| !program.is_example).cloned());
    }
    if selection.all_examples {
        selected.extend(everything.iter().filter(|program| program.is_example).cloned());
    }
    let bins = selection.bins.iter().map(|name| (name, false));
    let examples = selection.examples.iter().map(|name| (name, true));
    for (wanted, is_example) in bins.chain(examples) {
        let pattern = Pattern::new(wanted)?;
        let is_meant =
            |program: &&SelectedProgram| program.is_example == is_example && pattern.matches(&program.name);
        let meant: Vec<&SelectedProgram> = everything.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Err(no_program(metadata, &packages, wanted, is_example));
        }
        for program in meant {
            selected.retain(|other: &SelectedProgram| !same(other, program));
            selected.push(SelectedProgram { named: true, ..program.clone() });
        }
    }
    if selected.is_empty() {
        return Err(match selection.all_examples && !selection.all_bins {
            true => no_example(metadata, &packages),
            false => no_binary(metadata, &packages),
        });
    }
    selected.sort();
    for program in &selected {
        // cargo warns of an "output filename collision" and keeps the one that it built last.
        if let Some(other) = selected.iter().find(|other| {
            other.package_id != program.package_id
                && (&other.name, other.is_example) == (&program.name, program.is_example)
        }) {
            let kind = kind(program.is_example);
            return Err(Error::new(format!(
                "packages `{}` and `{}` both have {kind} `{}`, and cargo writes both to the same path",
                program.package, other.package, program.name
            ))
            .help(format!(
                "select one package with `-p`, for example `-p {}`, and for an archive each `-o '{{package}}.zip'`",
                program.package
            )));
        }
    }
    Ok(selected)
}

fn same(a: &SelectedProgram, b: &SelectedProgram) -> bool {
    (&a.package_id, &a.name, a.is_example) == (&b.package_id, &b.name, b.is_example)
}

/// Returns the binaries and runnable examples of a package.
fn programs(package: &Package) -> Vec<SelectedProgram> {
    let manifest_dir = package.manifest_path.parent().unwrap_or(Utf8Path::new("/"));
    let program = |target: &cargo_metadata::Target| {
        let is_example = target.kind.contains(&TargetKind::Example);
        let runs = is_example && target.crate_types.contains(&CrateType::Bin);
        (runs || target.kind.contains(&TargetKind::Bin)).then(|| SelectedProgram {
            package: package.name.to_string(),
            name: target.name.clone(),
            is_example,
            named: false,
            required_features: target.required_features.clone(),
            package_id: package.id.clone(),
            manifest_dir: manifest_dir.to_owned(),
            src_path: target.src_path.clone(),
        })
    };
    package.targets.iter().filter_map(program).collect()
}

/// Returns the names of all packages and programs.
pub(super) fn names(metadata: &Metadata) -> ProjectNames {
    let mut names = ProjectNames::default();
    for package in metadata.workspace_packages() {
        names.packages.insert(package.name.to_string());
        for program in programs(package) {
            let of_kind = if program.is_example { &mut names.examples } else { &mut names.bins };
            of_kind.insert(program.name);
        }
    }
    names
}

fn select_packages<'a>(
    metadata: &'a Metadata,
    selection: &Selection,
    current_dir: &Utf8Path,
) -> Result<Vec<&'a Package>> {
    let members = metadata.workspace_packages();
    if selection.workspace {
        // cargo only warns of an `--exclude` that matches nothing; here the typing error would ship a program.
        let excluded = packages_of(metadata, &members, &selection.exclude, "--exclude")?;
        return Ok(members.into_iter().filter(|package| !excluded.contains(&package.id)).collect());
    }
    if !selection.exclude.is_empty() {
        return Err(Error::new("`--exclude` needs `--workspace`")
            .help("add `--workspace`, or select packages with `-p`"));
    }
    if !selection.packages.is_empty() {
        let selected = packages_of(metadata, &members, &selection.packages, "-p")?;
        return Ok(members.into_iter().filter(|package| selected.contains(&package.id)).collect());
    }
    if metadata.workspace_default_members.is_available() {
        // cargo has resolved what `cargo build` would take here: the current package, else `default-members`.
        return Ok(metadata.workspace_default_packages());
    }
    // cargo before 1.71 does not resolve it: it is the package around the current directory, else all.
    let around = |package: &&&Package| {
        package.manifest_path.parent().is_some_and(|directory| current_dir.starts_with(directory))
    };
    let current = members.iter().filter(around).max_by_key(|package| package.manifest_path.as_str().len());
    Ok(current.map_or(members.clone(), |package| vec![*package]))
}

/// Returns the ids of the packages that the specs of `flag` match; each spec matches at least one.
fn packages_of<'a>(
    metadata: &Metadata,
    members: &[&'a Package],
    specs: &[String],
    flag: &str,
) -> Result<BTreeSet<&'a PackageId>> {
    let mut selected = BTreeSet::new();
    for spec in specs {
        let mut meant = Vec::new();
        for package in members {
            if is_meant(spec, package)? {
                meant.push(&package.id);
            }
        }
        selected.extend(&meant);
        if meant.is_empty() {
            let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
            let error = Error::new(format!(
                "no package `{spec}` in the workspace `{}`\n  its packages: {}",
                metadata.workspace_root,
                list(&names)
            ));
            let name = spec.split(['@', ':']).next().unwrap_or(spec);
            return Err(match nearest(name, names) {
                Some(near) => error.help(format!("did you mean `{flag} {near}`?")),
                None => error.help(format!("name one of these packages: `{flag} NAME`")),
            });
        }
    }
    Ok(selected)
}

/// Whether a package spec (a name or glob, `name@version`, a package id) matches this package.
fn is_meant(spec: &str, package: &Package) -> Result<bool> {
    if spec.contains("://") {
        let id = package.id.repr.as_str();
        let bare = |id: &str| id.split('#').next().unwrap_or(id).to_owned();
        let short = id.strip_prefix("path+").unwrap_or(id);
        return Ok([id, short].contains(&spec) || [bare(id), bare(short)].iter().any(|bare| bare == spec));
    }
    let (name, version) = match spec.split_once(['@', ':']) {
        Some((name, version)) => (name, Some(version)),
        None => (spec, None),
    };
    let fits = |version: &str| {
        // A version may be shortened: `1` or `1.2`.
        format!("{}.", package.version).starts_with(&format!("{version}."))
    };
    Ok(Pattern::new(name)?.matches(package.name.as_str()) && version.is_none_or(fits))
}

/// Parses a name or, with `*`, `?` or `[`, a glob.
enum Pattern<'a> {
    Name(&'a str),
    Glob(GlobMatcher),
}

impl<'a> Pattern<'a> {
    fn new(text: &'a str) -> Result<Self> {
        if !text.contains(['*', '?', '[']) {
            return Ok(Pattern::Name(text));
        }
        let glob = Glob::new(text).map_err(|error| {
            Error::new(format!("`{text}` is not a glob")).because(error.kind().to_string())
        })?;
        Ok(Pattern::Glob(glob.compile_matcher()))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Name(wanted) => *wanted == name,
            Pattern::Glob(glob) => glob.is_match(name),
        }
    }
}

fn kind(is_example: bool) -> &'static str {
    if is_example { "example" } else { "binary" }
}

fn no_program(metadata: &Metadata, packages: &[&Package], wanted: &str, is_example: bool) -> Error {
    let there_is: Vec<SelectedProgram> =
        metadata.workspace_packages().into_iter().flat_map(programs).collect();
    let flag = if is_example { "--example" } else { "--bin" };
    let kind = kind(is_example);
    let error = Error::new(format!("no {kind} `{wanted}` in {}{}", named(packages), listing(metadata)));

    // The program may be in a package that was not selected, of the other kind, or under a similar name.
    if let Some(other) = there_is.iter().find(|other| other.name == wanted && other.is_example == is_example)
    {
        return error.help(format!("select its package: `-p {} {flag} {wanted}`", other.package));
    }
    let selected = |other: &&SelectedProgram| packages.iter().any(|package| package.id == other.package_id);
    if let Some(other) = there_is.iter().filter(selected).find(|other| other.name == wanted) {
        let flag = if other.is_example { "--example" } else { "--bin" };
        return error.help(format!("did you mean `{flag} {wanted}`?"));
    }
    let alike = there_is.iter().filter(selected).filter(|other| other.is_example == is_example);
    match nearest(wanted, alike.map(|other| other.name.as_str())) {
        Some(near) => error.help(format!("did you mean `{flag} {near}`?")),
        None if there_is.iter().any(|other| selected(&other)) => {
            error.help("name one of these: `--bin NAME`, or `--example NAME`")
        }
        None if !there_is.is_empty() => error.help("select a package that has one with `-p`"),
        None => error.help("name a program from elsewhere with `--binary PATH`"),
    }
}

fn no_example(metadata: &Metadata, packages: &[&Package]) -> Error {
    Error::new(format!("no example in {}{}", named(packages), listing(metadata)))
        .help("remove `--examples`, or select a package that has one with `-p`")
}

fn no_binary(metadata: &Metadata, packages: &[&Package]) -> Error {
    let error = Error::new(format!("no binary in {}{}", named(packages), listing(metadata)));
    match metadata.workspace_packages().into_iter().flat_map(programs).find(|it| !it.is_example) {
        Some(_) => error.help("select a package that has one with `-p`"),
        None if packages.iter().any(|package| has_shared_library(package)) => error.help(
            "add a binary to it: a shared library is only checked, `cargo lambda-bundle check --binary PATH`",
        ),
        None => error.help("name a program from elsewhere with `--binary PATH`"),
    }
}

fn has_shared_library(package: &Package) -> bool {
    let mut types = package.targets.iter().flat_map(|target| &target.crate_types);
    types.any(|kind| matches!(kind, CrateType::CDyLib | CrateType::DyLib))
}

fn named(packages: &[&Package]) -> String {
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    match names.len() {
        0 => "no package".to_owned(),
        1 => format!("package {}", list(&names)),
        _ => format!("packages {}", list(&names)),
    }
}

/// Lists the programs that can be selected, one line for each package.
fn listing(metadata: &Metadata) -> String {
    let mut lines = BTreeSet::new();
    for package in metadata.workspace_packages() {
        for is_example in [false, true] {
            let names = programs(package).into_iter().filter(|program| program.is_example == is_example);
            let names: BTreeSet<String> = names.map(|program| program.name).collect();
            let words = match (is_example, names.len()) {
                (_, 0) => continue,
                (false, 1) => "binary",
                (false, _) => "binaries",
                (true, 1) => "example",
                (true, _) => "examples",
            };
            let names = names.iter().map(String::as_str).collect();
            lines.insert(format!("\n  package `{}`: {words} {}", package.name, list(&names)));
        }
    }
    lines.into_iter().collect()
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
