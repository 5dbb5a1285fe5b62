//! The crates that cargo linked into a program, with their static libraries.
//!
//! cargo records each unit of a build in a directory of its own (`.fingerprint`), with hashes that name the records of
//! its dependencies. It gives no guarantee for these records: where they cannot be followed from the program, all
//! crates of the build directory are returned instead, and [`LinkedCrates::is_exact`] is false.
//!
//! Source: `Fingerprint` in cargo's src/cargo/core/compiler/fingerprint/mod.rs; the layouts of src/cargo/core/compiler/
//! layout.rs, also that of `-Zbuild-dir-new-layout`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::identity::Maker;
use super::project::Project;
use super::records::ProfileDirs;
use super::select::SelectedProgram;
use super::{BuiltProgram, LibraryDir, LibraryDirOrigin, files, records, words};
use crate::error::{Error, Result};

/// The crates of a program.
#[derive(Debug, Clone, Default)]
pub struct LinkedCrates {
    /// The crates, sorted by package.
    pub crates: Vec<LinkedCrate>,
    /// Whether these are the crates of the program; else of the build directory, with older versions among them.
    pub is_exact: bool,
}

/// One crate.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedCrate {
    /// The package, as its manifest spells it.
    pub package: String,
    /// The version, if its sources are in a directory with the version in its name, as those from a registry.
    pub version: Option<String>,
    /// The static libraries: its rlib, and those in the output directory of its build script.
    pub static_libraries: Vec<Utf8PathBuf>,
    /// The features that the package has and that are off.
    pub features_off: Vec<String>,
    /// Libraries that its build script has the linker take (`rustc-link-lib`), without `lib` and ending.
    pub links: Vec<String>,
}

/// A directory of cargo's with the record of one unit.
struct UnitDir {
    package: String,
    /// The directory with the record.
    record: Utf8PathBuf,
    outputs: Outputs,
}

/// The place of a unit's outputs.
enum Outputs {
    /// `deps`, shared by all units of the profile: the files of this one have the hash in their names.
    Shared { profile_dir: Utf8PathBuf, hash: String },
    /// A directory of this unit alone.
    Own(Utf8PathBuf),
}

/// The record of one unit.
pub(super) struct Unit {
    dir: UnitDir,
    /// `lib-NAME`, `bin-NAME`, `example-NAME` or `run-build-script-NAME`.
    name: String,
    /// Read when it is needed: of some hundred units a program has a part. `None` if its form is not known.
    fingerprint: OnceCell<Option<UnitFingerprint>>,
}

/// The fields of a record that are used here.
#[derive(Debug, Deserialize)]
struct UnitFingerprint {
    /// A list as text.
    #[serde(default)]
    features: String,
    #[serde(default)]
    declared_features: String,
    deps: Vec<Dependency>,
    #[serde(default)]
    local: Vec<serde_json::Value>,
}

/// Package, crate name, whether it is public, and the hash of its record.
#[derive(Debug, Deserialize)]
struct Dependency(#[allow(dead_code)] u64, #[allow(dead_code)] String, #[allow(dead_code)] bool, u64);

/// Returns the crates that were linked into a program.
///
/// # Errors
///
/// If a directory or record exists but cannot be read.
pub fn linked_crates(program: &BuiltProgram) -> Result<LinkedCrates> {
    let profile_dirs: BTreeSet<&Utf8Path> = program.library_dirs.iter().filter_map(profile_dir).collect();
    let mut units = Units::new();
    for profile_dir in profile_dirs {
        units.extend(read_units(profile_dir)?);
    }
    let root = root(program, &units)?;
    let is_exact = root.is_some();
    let linked = match root {
        Some(root) => reached(&units, root)?,
        None => units.values().filter(|unit| unit.is_library() || unit.is_script()).collect(),
    };
    let mut crates: BTreeMap<(String, Option<String>), LinkedCrate> = BTreeMap::new();
    for unit in linked {
        let Some(one) = unit.to_crate()? else { continue };
        // The build script's run and the library are two units of one crate.
        let key = (one.package.clone(), one.version.clone());
        match crates.get_mut(&key) {
            Some(known) => known.add(one),
            None => drop(crates.insert(key, one)),
        }
    }
    Ok(LinkedCrates { crates: merged(crates), is_exact })
}

/// The units of a profile's directory, by the hashes of their records.
pub(super) type Units = BTreeMap<u64, Unit>;

/// Reads the units of a profile's directory.
fn read_units(profile_dir: &Utf8Path) -> Result<Units> {
    let mut units = Units::new();
    for dir in unit_dirs(profile_dir)? {
        units.extend(unit(dir)?);
    }
    Ok(units)
}

/// What the build of a program took from build scripts.
pub(super) struct ScriptRuns {
    /// The directories of the runs.
    pub(super) directories: BTreeSet<Utf8PathBuf>,
    /// Whether cargo's configuration overrides a build script.
    pub(super) is_overridden: bool,
}

/// Returns the runs of build scripts that the units of a program depend on; None if the records cannot be followed to
/// all of them.
pub(super) fn script_runs(project: &Project, maker: &Maker) -> Result<Option<ScriptRuns>> {
    let units = units_of(project, &maker.dirs)?;
    // With a target, procedural macros and what they depend on are the host's.
    let host = match &maker.dirs.triple {
        Some(_) => units_of(project, &ProfileDirs::new(project, None, &maker.dirs.name))?,
        None => Rc::default(),
    };
    let mut runs = ScriptRuns { directories: BTreeSet::new(), is_overridden: false };
    let Some(root) = units.values().find(|unit| unit.dir.record == maker.record) else { return Ok(None) };
    let (mut seen, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(unit) = open.pop() {
        if unit.is_script() {
            runs.is_overridden |= unit.is_overridden()?;
            runs.directories.insert(unit.run_directory());
            // What a build script depends on runs on this machine.
            continue;
        }
        let Some(fingerprint) = unit.fingerprint()? else { return Ok(None) };
        for hash in fingerprint.deps.iter().map(|dep| dep.3).filter(|hash| seen.insert(*hash)) {
            match units.get(&hash) {
                Some(unit) => open.push(unit),
                None if host.contains_key(&hash) => {}
                None => return Ok(None),
            }
        }
    }
    Ok(Some(runs))
}

/// Returns the manifest or the lock file, if the program was built from another: if it is newer than the program, and
/// the features that the package declares, or the versions of the crates, are not those of the build.
///
/// The times alone do not tell: cargo does not build again for a new time, or for a table that is not its own.
pub(super) fn newer_manifest(
    project: &Project,
    program: &SelectedProgram,
    maker: &Maker,
    built: SystemTime,
) -> Result<Option<Utf8PathBuf>> {
    let is_newer = |path: &Utf8Path| Ok::<_, Error>(files::modified(path)?.is_some_and(|it| it > built));
    let manifest = program.manifest_dir.join("Cargo.toml");
    let lock = project.metadata.workspace_root.join("Cargo.lock");
    if is_newer(&manifest)?
        && let Some(text) = files::text(&maker.record_file)?
        && let Ok(record) = serde_json::from_str::<UnitFingerprint>(&text)
        && let Ok(declared) = serde_json::from_str::<BTreeSet<String>>(&record.declared_features)
        && let Some(package) = project.metadata.packages.iter().find(|it| it.id == program.package_id)
        && !package.features.keys().eq(&declared)
    {
        return Ok(Some(manifest));
    }
    if is_newer(&lock)?
        && let Some(text) = files::text(&lock)?
        && let Ok(table) = text.parse::<toml::Table>()
    {
        let packages = table.get("package").and_then(toml::Value::as_array);
        let field = |package: &toml::Value, name| Some(package.get(name)?.as_str()?.to_owned());
        let locked: BTreeSet<(String, String)> = packages
            .into_iter()
            .flatten()
            .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)))
            .collect();
        let units = units_of(project, &maker.dirs)?;
        let root = units.iter().find(|(_, unit)| unit.dir.record == maker.record);
        for unit in root.map_or(Ok(Vec::new()), |(hash, _)| reached(&units, *hash))? {
            let package = unit.dir.package.clone();
            let version = if unit.is_library() { unit.version(&package)? } else { None };
            if version.is_some_and(|version| !locked.contains(&(package, version))) {
                return Ok(Some(lock));
            }
        }
    }
    Ok(None)
}

/// Returns the flags that rustc was given for a program by the configuration or a variable, as its record has them.
pub(super) fn rustflags(maker: &Maker) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Flags {
        #[serde(default)]
        rustflags: Vec<String>,
    }
    let text = files::text(&maker.record_file)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).map_or(Vec::new(), |flags: Flags| flags.rustflags))
}

fn units_of(project: &Project, dirs: &ProfileDirs) -> Result<Rc<Units>> {
    project.once(&dirs.build, || read_units(&dirs.build))
}

/// Returns the directory of the profile, in the target or the build directory.
fn profile_dir(dir: &LibraryDir) -> Option<&Utf8Path> {
    match dir.origin {
        LibraryDirOrigin::Deps => dir.path.parent(),
        LibraryDirOrigin::Profile => Some(&dir.path),
        _ => None,
    }
}

/// Joins the crates without a known version (runs of build scripts) to the only other one of the same package.
fn merged(crates: BTreeMap<(String, Option<String>), LinkedCrate>) -> Vec<LinkedCrate> {
    let mut list: Vec<LinkedCrate> = Vec::new();
    for one in crates.into_values() {
        match list.last_mut().filter(|last| last.package == one.package && last.version.is_none()) {
            Some(last) => {
                last.version.clone_from(&one.version);
                last.add(one);
            }
            None => list.push(one),
        }
    }
    list
}

impl LinkedCrate {
    fn add(&mut self, other: LinkedCrate) {
        self.static_libraries.extend(other.static_libraries);
        self.features_off.extend(other.features_off);
        self.links.extend(other.links);
    }
}

/// Returns the directories of units in a profile's directory, in both layouts.
fn unit_dirs(profile_dir: &Utf8Path) -> Result<Vec<UnitDir>> {
    let mut dirs = Vec::new();
    let records = profile_dir.join(".fingerprint");
    for name in files::names(&records)? {
        let Some((package, hash)) = name.rsplit_once('-') else { continue };
        let outputs = Outputs::Shared { profile_dir: profile_dir.to_owned(), hash: hash.to_owned() };
        dirs.push(UnitDir { package: package.to_owned(), record: records.join(&name), outputs });
    }
    let build = profile_dir.join("build");
    // The older layout has its hashes in this directory.
    for package in files::names(&build)?.into_iter().filter(|name| !words::ends_with_hash(name)) {
        for unit in files::directories(&build.join(&package))? {
            let record = unit.join("fingerprint");
            if files::is_dir(&record)? {
                dirs.push(UnitDir { package: package.clone(), record, outputs: Outputs::Own(unit) });
            }
        }
    }
    Ok(dirs)
}

/// Finds the record of a unit, and reads its hash; `None` if the directory has none.
fn unit(dir: UnitDir) -> Result<Option<(u64, Unit)>> {
    for file in files::names(&dir.record)? {
        let Some(name) = file.strip_suffix(".json") else { continue };
        let hash = files::text(&dir.record.join(name))?;
        let Some(hash) = hash.as_deref().and_then(hash_of) else { continue };
        let name = name.to_owned();
        return Ok(Some((hash, Unit { dir, name, fingerprint: OnceCell::new() })));
    }
    Ok(None)
}

/// The hash in the file beside a record: eight bytes in hexadecimal, the lowest first.
///
/// Source: `to_hex` in cargo's src/cargo/util/hex.rs.
fn hash_of(text: &str) -> Option<u64> {
    let value = u64::from_str_radix(text.trim(), 16).ok().filter(|_| text.trim().len() == 16)?;
    Some(value.swap_bytes())
}

/// Returns the hash of the program's own unit: the one that links its file, or else the newest.
fn root(program: &BuiltProgram, units: &BTreeMap<u64, Unit>) -> Result<Option<u64>> {
    let names = [format!("bin-{}", program.name), format!("example-{}", program.name)];
    let own = |unit: &Unit| unit.dir.package == program.package && names.contains(&unit.name);
    let mut newest = None;
    for (hash, unit) in units.iter().filter(|(_, unit)| own(unit)) {
        if unit.fingerprint()?.is_none() {
            continue;
        }
        // cargo links the file in `deps` to its place beside it: the two are one file.
        if files::same_file(&unit.output(&program.name.replace('-', "_"), ""), &program.path)? {
            return Ok(Some(*hash));
        }
        let recorded = files::modified(&unit.record_file())?;
        newest = newest.max(Some((recorded, *hash)));
    }
    Ok(newest.map(|(_, hash)| hash))
}

/// Returns the libraries and runs of build scripts among the dependencies of a unit, direct or not.
fn reached(units: &BTreeMap<u64, Unit>, root: u64) -> Result<Vec<&Unit>> {
    let mut seen = BTreeSet::from([root]);
    let mut open = vec![root];
    let mut linked = Vec::new();
    while let Some(hash) = open.pop() {
        // The records of units for this machine may be in another directory.
        let Some(unit) = units.get(&hash) else { continue };
        let Some(fingerprint) = unit.fingerprint()? else { continue };
        let is_linked = unit.is_script() || files::is_file(&unit.rlib())?;
        if is_linked {
            linked.push(unit);
        }
        // What a procedural macro or a build script depends on runs on this machine.
        if unit.is_script() || (unit.is_library() && !is_linked) {
            continue;
        }
        open.extend(fingerprint.deps.iter().map(|dep| dep.3).filter(|hash| seen.insert(*hash)));
    }
    Ok(linked)
}

impl Unit {
    fn record_file(&self) -> Utf8PathBuf {
        self.dir.record.join(format!("{}.json", self.name))
    }

    fn fingerprint(&self) -> Result<Option<&UnitFingerprint>> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.as_ref());
        }
        let text = files::text(&self.record_file())?;
        let read = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(self.fingerprint.get_or_init(|| read).as_ref())
    }

    fn is_library(&self) -> bool {
        self.name.starts_with("lib-")
    }

    /// Whether this is the run of a build script.
    fn is_script(&self) -> bool {
        self.name.starts_with("run-build-script-")
    }

    fn rlib(&self) -> Utf8PathBuf {
        let name = self.name.strip_prefix("lib-").unwrap_or_default().replace('-', "_");
        self.output(&format!("lib{name}"), ".rlib")
    }

    /// The path of a file that the unit writes.
    fn output(&self, name: &str, ending: &str) -> Utf8PathBuf {
        match &self.dir.outputs {
            Outputs::Shared { profile_dir, hash } => profile_dir.join(format!("deps/{name}-{hash}{ending}")),
            Outputs::Own(unit) => {
                let hash = unit.file_name().unwrap_or_default();
                unit.join(format!("out/{name}-{hash}{ending}"))
            }
        }
    }

    /// The directory with the output of a build script's run, and the path of what it printed.
    fn script(&self) -> (Utf8PathBuf, Utf8PathBuf) {
        match &self.dir.outputs {
            Outputs::Shared { profile_dir, hash } => {
                let run = profile_dir.join(format!("build/{}-{hash}", self.dir.package));
                (run.join("out"), run.join("output"))
            }
            Outputs::Own(unit) => (unit.join("out"), unit.join("run/stdout")),
        }
    }

    /// The directory of a build script's run.
    fn run_directory(&self) -> Utf8PathBuf {
        let (out, _) = self.script();
        out.parent().map(Utf8Path::to_owned).unwrap_or(out)
    }

    /// Whether the configuration takes the place of the build script.
    ///
    /// Source: `build_script_override_fingerprint` in cargo's src/cargo/core/compiler/fingerprint/mod.rs.
    fn is_overridden(&self) -> Result<bool> {
        let local = self.fingerprint()?.map_or(&[][..], |fingerprint| &fingerprint.local);
        let mut local = local.iter().filter_map(|local| local.get("Precalculated"));
        Ok(local.any(|text| text.as_str().is_some_and(|text| text.starts_with("overridden build state"))))
    }

    /// `None` if the record has no known form.
    fn to_crate(&self) -> Result<Option<LinkedCrate>> {
        let Some(fingerprint) = self.fingerprint()? else { return Ok(None) };
        let package = self.dir.package.clone();
        if self.is_script() {
            let (out, output) = self.script();
            let printed = files::text(&output)?.unwrap_or_default();
            return Ok(Some(LinkedCrate {
                package,
                static_libraries: static_libraries(&out)?,
                links: records::link_libs(&printed),
                ..LinkedCrate::default()
            }));
        }
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
        let on = list(&fingerprint.features);
        let mut features_off = list(&fingerprint.declared_features);
        features_off.retain(|feature| !on.contains(feature));
        let rlib = self.rlib();
        Ok(Some(LinkedCrate {
            version: self.version(&package)?,
            static_libraries: if files::is_file(&rlib)? { vec![rlib] } else { Vec::new() },
            package,
            features_off,
            links: Vec::new(),
        }))
    }

    /// The version in the name of the directory with the sources, which the list of sources has.
    fn version(&self, package: &str) -> Result<Option<String>> {
        let name = self.name.strip_prefix("lib-").unwrap_or_default().replace('-', "_");
        let Some(text) = files::text(&self.output(&name, ".d"))? else { return Ok(None) };
        let sources = records::sources(&text);
        let Some(first) = sources.first() else { return Ok(None) };
        let mut versions = Utf8Path::new(first).iter().filter_map(|part| {
            let version = part.strip_prefix(package)?.strip_prefix('-')?;
            version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
        });
        Ok(versions.next_back())
    }
}

/// Directories below the output directory of a build script, and files in one, at most.
const MOST: usize = 10_000;

/// Returns the static libraries below a directory, sorted.
fn static_libraries(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut libraries = Vec::new();
    let mut open = vec![directory.to_owned()];
    let mut n_directories = 0;
    while let Some(directory) = open.pop().filter(|_| n_directories < MOST) {
        n_directories += 1;
        open.extend(files::own_directories(&directory)?);
        let here = files::files(&directory)?;
        libraries.extend(here.into_iter().filter(|path| path.extension() == Some("a")).take(MOST));
    }
    libraries.sort();
    Ok(libraries)
}

/// Returns the crates of the toolchain that built a program: `std` and those that it depends on. None if cargo's notes
/// about the compiler do not tell its directory.
///
/// # Errors
///
/// If a file exists but cannot be read.
pub fn toolchain_crates(program: &BuiltProgram) -> Result<Option<Vec<LinkedCrate>>> {
    let Some(libdir) = toolchain_libdir(program)? else { return Ok(None) };
    let mut crates = Vec::new();
    for path in files::files(&libdir)? {
        let name = path.file_name().and_then(|name| name.strip_prefix("lib")?.strip_suffix(".rlib"));
        let Some(name) = name else { continue };
        let package = name.rsplit_once('-').map_or(name, |(name, _)| name).to_owned();
        if OF_OTHER_PROGRAMS.contains(&package.as_str()) {
            continue;
        }
        crates.push(LinkedCrate { package, static_libraries: vec![path], ..LinkedCrate::default() });
    }
    Ok(Some(crates))
}

/// Crates of the toolchain that are linked only into tests, procedural macros and profiled programs.
const OF_OTHER_PROGRAMS: [&str; 4] = ["getopts", "proc_macro", "profiler_builtins", "test"];

/// What cargo notes about the compiler of a build directory.
///
/// Source: `Cache` in cargo's src/cargo/util/rustc.rs.
#[derive(Debug, Deserialize)]
struct CompilerNotes {
    outputs: BTreeMap<String, CompilerOutput>,
}

#[derive(Debug, Deserialize)]
struct CompilerOutput {
    #[serde(default)]
    stdout: String,
}

/// Finds the library directory of the compiler's target without running the compiler, which the workspace's
/// configuration may name: cargo keeps the output of `rustc --print sysroot`.
fn toolchain_libdir(program: &BuiltProgram) -> Result<Option<Utf8PathBuf>> {
    let above =
        program.library_dirs.iter().filter_map(profile_dir).flat_map(|dir| dir.ancestors().skip(1).take(2));
    for directory in above.chain([&*program.target_directory]) {
        let Some(text) = files::text(&directory.join(".rustc_info.json"))? else { continue };
        let Ok(CompilerNotes { outputs }) = serde_json::from_str(&text) else { continue };
        let lines = || outputs.values().flat_map(|output| output.stdout.lines());
        let host = lines().find_map(|line| line.strip_prefix("host: "));
        let Some(target) = program.target.as_deref().or(host) else { continue };
        for sysroot in lines().map(Utf8Path::new).filter(|line| line.is_absolute()) {
            let libdir = sysroot.join("lib/rustlib").join(target).join("lib");
            if files::is_dir(&libdir)? {
                return Ok(Some(libdir));
            }
        }
    }
    Ok(None)
}
