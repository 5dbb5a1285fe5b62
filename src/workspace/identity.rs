//! Whose program a file is, by what cargo wrote beside it.
//!
//! cargo gives all packages of a target directory one place for programs of one name, and a target directory may be
//! another checkout's. Two records tell: the unit that has the same file among its outputs (its directory in
//! `.fingerprint` has the package's name), and the sources of the program (its `.d` file). cargo guarantees neither. A
//! program without them, which was only copied to its place, counts as the one that was asked for.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::TargetKind;

use super::project::Project;
use super::records::{ProfileDirs, sources};
use super::select::SelectedProgram;
use super::{files, words};
use crate::error::{Error, Result};

/// Whose program a file is.
pub(super) enum Identity {
    /// It is the one that was asked for, as far as the records tell, with the unit that made it.
    Own(Option<Maker>),
    /// It is another one.
    Other(Stranger),
}

/// The unit of cargo's that made a program.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    /// The directories of its profile.
    pub(super) dirs: ProfileDirs,
    /// The package, by the name of the record's directory.
    package: String,
    /// Its own copy of the program.
    output: Utf8PathBuf,
    /// The directory of its record, and the record.
    pub(super) record: Utf8PathBuf,
    pub(super) record_file: Utf8PathBuf,
}

impl Maker {
    fn new(dirs: &ProfileDirs, package: &str, output: Utf8PathBuf, record_file: Utf8PathBuf) -> Maker {
        let record = record_file.parent().unwrap_or(&record_file).to_owned();
        Maker { dirs: dirs.clone(), package: package.to_owned(), output, record, record_file }
    }
}

/// Another program in the place of the one that was asked for.
pub(super) struct Stranger {
    /// What it is, after "it".
    pub(super) is: String,
    /// The packages whose outputs cargo would take for this checkout's, because their names are the same.
    pub(super) mistaken: Vec<String>,
}

/// Tells whose program the file at `path` is, which may have been built in any of these directories.
pub(super) fn identify(
    project: &Project,
    program: &SelectedProgram,
    path: &Utf8Path,
    profile_dirs: &[ProfileDirs],
) -> Result<Identity> {
    let mut outputs = Vec::new();
    for dirs in profile_dirs {
        outputs.extend(program_outputs(project, program, dirs)?);
    }
    let makers = makers(path, outputs)?;
    let maker = makers.iter().find(|maker| maker.package == program.package);
    if let (None, Some(other)) = (maker, makers.first()) {
        let is = format!("was built from package `{}`", other.package);
        return Ok(Identity::Other(Stranger { is, mistaken: Vec::new() }));
    }
    let mut others = Vec::new();
    let is_possible = |dirs: &&ProfileDirs| maker.is_none_or(|maker| maker.dirs == **dirs);
    let dep_infos: Vec<Utf8PathBuf> =
        profile_dirs.iter().filter(is_possible).map(|dirs| dep_info_in(dirs, program)).collect();
    for dep_info in &dep_infos {
        match origin(project, program, dep_info)? {
            Some(SourceOrigin::Own) => return Ok(Identity::Own(maker.cloned())),
            // Two packages of one build: the file is one's, and what stands beside it the other's.
            Some(SourceOrigin::Here(_)) if maker.is_some() => return Ok(Identity::Own(maker.cloned())),
            // The package's program, from sources that this machine does not have.
            Some(SourceOrigin::Stranger(source)) if maker.is_some() && !files::is_file(&source)? => {
                return Ok(Identity::Own(maker.cloned()));
            }
            Some(other) => others.push(other),
            None => {}
        }
    }
    Ok(match others.into_iter().next() {
        None => Identity::Own(maker.cloned()),
        Some(SourceOrigin::Own) => unreachable!("returned above"),
        Some(SourceOrigin::Here(source) | SourceOrigin::Stranger(source)) => {
            let is = format!("was built from `{}`", project.shown(&source));
            Identity::Other(Stranger { is, mistaken: Vec::new() })
        }
        Some(SourceOrigin::Elsewhere(root)) => Identity::Other(Stranger {
            is: format!("was built from the sources in `{root}`"),
            mistaken: mistaken(project, program, &root, &dep_infos)?,
        }),
    })
}

/// Returns the unit that made a program that cargo has just built.
pub(super) fn maker_of(
    project: &Project,
    program: &SelectedProgram,
    path: &Utf8Path,
    dirs: &ProfileDirs,
) -> Result<Option<Maker>> {
    let makers = makers(path, program_outputs(project, program, dirs)?)?;
    Ok(makers.into_iter().find(|maker| maker.package == program.package))
}

/// Returns the path of the `.d` file that cargo writes beside a program.
pub(super) fn dep_info_in(dirs: &ProfileDirs, program: &SelectedProgram) -> Utf8PathBuf {
    let directory = if program.is_example { dirs.target.join("examples") } else { dirs.target.clone() };
    directory.join(format!("{}.d", program.name))
}

/// Returns the programs of this name that units of the profile made, of whatever package.
///
/// Source: `crate_name` and hash in `Metadata` of cargo's src/cargo/core/compiler/build_runner/compilation_files.rs; the
/// layouts of layout.rs there, also that of `-Zbuild-dir-new-layout`.
fn program_outputs(project: &Project, program: &SelectedProgram, dirs: &ProfileDirs) -> Result<Vec<Maker>> {
    let kind = if program.is_example { "example" } else { "bin" };
    let record = format!("{kind}-{}.json", program.name);
    let stem = format!("{}-", program.name.replace('-', "_"));
    let hash_of = |name: &str| {
        let hash = name.strip_prefix(&stem)?;
        let hash = hash.strip_suffix(".exe").unwrap_or(hash);
        words::is_hash(hash).then(|| hash.to_owned())
    };
    let mut found = Vec::new();
    let directory = dirs.build.join(if program.is_example { "examples" } else { "deps" });
    let records = dirs.build.join(".fingerprint");
    for name in project.names(&directory)?.iter() {
        let Some(hash) = hash_of(name) else { continue };
        for unit in project.names(&records)?.iter() {
            let package = unit.strip_suffix(&hash).and_then(|package| package.strip_suffix('-'));
            if let Some(package) = package
                && files::is_file(&records.join(unit).join(&record))?
            {
                found.push(Maker::new(dirs, package, directory.join(name), records.join(unit).join(&record)));
            }
        }
    }
    let build = dirs.build.join("build");
    for package in project.names(&build)?.iter().filter(|name| !words::ends_with_hash(name)) {
        for unit in project.names(&build.join(package))?.iter().filter(|name| words::is_hash(name)) {
            let unit = build.join(package).join(unit);
            if !files::is_file(&unit.join("fingerprint").join(&record))? {
                continue;
            }
            for name in project.names(&unit.join("out"))?.iter().filter(|name| hash_of(name).is_some()) {
                let record = unit.join("fingerprint").join(&record);
                found.push(Maker::new(dirs, package, unit.join("out").join(name), record));
            }
        }
    }
    Ok(found)
}

/// Returns the units whose output a file is: a file with its size and time, or else with its bytes.
///
/// cargo links a program to its place, or copies it, if the two are on different file systems; cargo-lambda copies;
/// caches keep the bytes only.
fn makers(path: &Utf8Path, outputs: Vec<Maker>) -> Result<Vec<Maker>> {
    let among = |outputs: &[Maker], is_same: fn(&Utf8Path, &Utf8Path) -> Result<bool>| {
        let mut found = Vec::new();
        for output in outputs {
            if is_same(path, &output.output)? {
                found.push(output.clone());
            }
        }
        Ok::<_, Error>(found)
    };
    let linked = among(&outputs, files::same_file)?;
    // Some file systems keep times in seconds.
    match linked.len() {
        0 => among(&outputs, files::same_bytes),
        1 => Ok(linked),
        _ => among(&linked, files::same_bytes),
    }
}

/// The sources that a `.d` file names, seen from the program that was asked for.
enum SourceOrigin {
    /// Its own, or those of a checkout at a path that this machine does not have: it moved, or was built in a container.
    Own,
    /// Those of another program of this workspace.
    Here(Utf8PathBuf),
    /// Those of another checkout, in this directory.
    Elsewhere(Utf8PathBuf),
    /// Any others.
    Stranger(Utf8PathBuf),
}

/// Compares the sources of a `.d` file with the program's. None without such a file, or if it names no source.
fn origin(project: &Project, program: &SelectedProgram, dep_info: &Utf8Path) -> Result<Option<SourceOrigin>> {
    let Some(text) = files::text(dep_info)? else { return Ok(None) };
    let base = project.dep_info_base();
    let sources: Vec<Utf8PathBuf> = sources(&text).into_iter().map(|source| base.join(source)).collect();
    let Some(first) = sources.first() else { return Ok(None) };
    let own = &program.src_path;
    if sources.contains(own) {
        return Ok(Some(SourceOrigin::Own));
    }
    for source in sources.iter().filter(|source| source.file_name() == own.file_name()) {
        if files::is_one_file(source, own)? {
            return Ok(Some(SourceOrigin::Own));
        }
    }
    if let Some(source) = sources.iter().find(|source| is_program_here(project, source)) {
        return Ok(Some(SourceOrigin::Here(source.clone())));
    }
    let relative = relative(project, program);
    let mut alike = sources.iter().filter_map(|source| Some((source, root_of(source, relative)?)));
    if let Some((source, root)) = alike.next() {
        return Ok(Some(match files::is_file(source)? {
            true => SourceOrigin::Elsewhere(root.to_owned()),
            false => SourceOrigin::Own,
        }));
    }
    Ok(Some(SourceOrigin::Stranger(first.clone())))
}

/// Whether a file is the source of a program of this workspace.
fn is_program_here(project: &Project, source: &Utf8Path) -> bool {
    let packages = project.metadata.workspace_packages();
    let mut targets = packages.iter().flat_map(|package| &package.targets);
    targets.any(|target| {
        target.src_path == source
            && (target.kind.contains(&TargetKind::Bin) || target.kind.contains(&TargetKind::Example))
    })
}

/// Returns the program's source file as its workspace, or else its package, has it.
fn relative<'p>(project: &Project, program: &'p SelectedProgram) -> &'p Utf8Path {
    let own = &program.src_path;
    let inside = own.strip_prefix(&project.metadata.workspace_root);
    inside.or_else(|_| own.strip_prefix(&program.manifest_dir)).unwrap_or(own)
}

/// Returns the directory in which a path is the same as `relative` is in another.
fn root_of<'p>(path: &'p Utf8Path, relative: &Utf8Path) -> Option<&'p Utf8Path> {
    if relative.is_absolute() || !path.ends_with(relative) {
        return None;
    }
    path.ancestors().nth(relative.components().count())
}

/// Returns the packages of this workspace that have a source of the program in another checkout.
///
/// cargo names outputs by package, version and place in the workspace, and judges their age by the sources here: it
/// takes the other checkout's for this one's if they are newer.
fn mistaken(
    project: &Project,
    program: &SelectedProgram,
    root: &Utf8Path,
    dep_infos: &[Utf8PathBuf],
) -> Result<Vec<String>> {
    let workspace = &project.metadata.workspace_root;
    let base = project.dep_info_base();
    let mut packages = vec![program.package.clone()];
    for dep_info in dep_infos {
        let Some(text) = files::text(dep_info)? else { continue };
        for source in sources(&text) {
            let source = base.join(source);
            let Ok(inside) = source.strip_prefix(root) else { continue };
            let here = workspace.join(inside);
            let members = project.metadata.workspace_packages();
            let holders = members.into_iter().filter(|package| {
                package.manifest_path.parent().is_some_and(|directory| here.starts_with(directory))
            });
            packages.extend(
                holders
                    .max_by_key(|package| package.manifest_path.as_str().len())
                    .map(|package| package.name.to_string()),
            );
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}
