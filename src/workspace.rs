//! From cargo's terms (package, binary, target, profile) to the paths of built programs.
//!
//! `cargo metadata` lists the programs and cargo's configuration says where builds go; this module looks there, then
//! where `cargo lambda build` moves programs. It runs cargo and reads files that cargo wrote, but writes nothing
//! itself; with `--build` cargo writes. `elf` examines the programs; here only the first bytes are read, to rule out
//! files for another machine.
//!
//! Nothing is read from the process environment: an [`Environment`] has the variables and the current directory, and
//! cargo is started with exactly these. cargo's configuration is that of the current directory, also with
//! `--manifest-path`, as in cargo.
//!
//! Invariants: only selected programs are returned, sorted by package and name, then in the order of the targets;
//! every path is absolute; of several builds that could be meant the newest is taken, and the choice is said.

mod artifact;
mod build;
mod config_files;
mod configuration;
mod files;
mod identity;
mod layout;
mod missing;
mod place;
mod project;
mod records;
mod select;
mod trust;
mod units;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::elf::Arch;
use crate::environment::Environment;
use crate::error::{Error, Result};

pub use trust::Checkouts;
pub use units::{LinkedCrate, LinkedCrates, linked_crates, toolchain_crates};

/// The selection, in cargo's terms, as on the command line.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `-p`: names, globs, `name@version` or package ids.
    pub packages: Vec<String>,
    /// `--workspace`.
    pub workspace: bool,
    /// `--exclude`, only with `--workspace`.
    pub exclude: Vec<String>,
    /// `--bin`: names or globs.
    pub bins: Vec<String>,
    /// `--bins`.
    pub all_bins: bool,
    /// `--example`: names or globs.
    pub examples: Vec<String>,
    /// `--examples`.
    pub all_examples: bool,
    /// `--target`: triples (a glibc suffix like `.2.34` is accepted), target files, `host-tuple`.
    pub targets: Vec<String>,
    /// `--profile`; the default is release.
    pub profile: Option<String>,
    /// `--target-dir`.
    pub target_dir: Option<Utf8PathBuf>,
    /// `--manifest-path`.
    pub manifest_path: Option<Utf8PathBuf>,
    /// `--locked`.
    pub locked: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--frozen`.
    pub frozen: bool,
    /// `--build`: run `cargo build` first and take the programs from its messages.
    pub build: bool,
    /// `--build-with zigbuild`: `--build` with `cargo zigbuild`.
    pub zigbuild: bool,
    /// The runtime that zigbuild links for.
    pub floor: Option<Floor>,
    /// `--jobs`, with `--build`.
    pub jobs: Option<String>,
    /// `--config`, with `--build`: `KEY=VALUE`, or the path of a file.
    pub configs: Vec<String>,
    /// `--features`, with `--build`.
    pub features: Vec<String>,
    /// `--all-features`, with `--build`.
    pub all_features: bool,
    /// `--no-default-features`, with `--build`.
    pub no_default_features: bool,
    /// The architectures of `--arch` or the manifests, by the packages' directories: of several builds one of these is
    /// preferred.
    pub archs: BTreeMap<Utf8PathBuf, Arch>,
    /// cargo's verbosity with `--build`: 0 warnings and errors only, 1 and 2 its usual output, 3 and more also its
    /// commands.
    pub verbosity: u8,
}

/// The runtime that a program is linked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// The version of its glibc.
    pub glibc: String,
    /// The architecture, as glibc names it, of a build without a target.
    pub arch: String,
}

/// The tool that put the program where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// cargo, in `<target dir>/[<triple>/]<profile dir>/[examples/]<name>`.
    Cargo,
    /// `cargo lambda build`, in `<target dir>/lambda`.
    CargoLambda,
    /// cargo in this run, for `--build`; the path is from its messages.
    Built,
}

/// One built program.
#[derive(Debug, Clone)]
pub struct BuiltProgram {
    /// The name of the binary or example.
    pub name: String,
    /// The package it belongs to.
    pub package: String,
    /// The absolute path.
    pub path: Utf8PathBuf,
    /// The tool that put the program there.
    pub origin: Origin,
    /// The triple, without a glibc suffix, or the name of a target file. None for a build without `--target`, and for
    /// cargo-lambda's if no target was named.
    pub target: Option<String>,
    /// The profile. None for cargo-lambda's: its directory does not tell.
    pub profile: Option<String>,
    /// A line about the choice of the file, if others might have been meant.
    pub choice: Option<String>,
    /// The modification time of the file.
    pub modified: SystemTime,
    /// The first of the program's sources, in sorted order, that is newer than the program.
    pub newer_source: Option<Utf8PathBuf>,
    /// The directories of libraries it was linked to: what `cargo run` would put on the library path, in that order,
    /// without rustc's own directory (see [`rustc_target_libdir`]), then the other directories that build scripts
    /// gave to the linker. Existing directories, each once.
    pub library_dirs: Vec<LibraryDir>,
    /// Whether these are the directories of the build that made the program; else also of older builds and of other
    /// packages.
    pub has_exact_dirs: bool,
    /// The flags for rustc that choose processors or their features, by cargo's record of the build, or else by its
    /// configuration now.
    pub processor_flags: Vec<ProcessorFlag>,
    /// The target directory.
    pub target_directory: Utf8PathBuf,
    /// The directory of the workspace.
    pub workspace_root: Utf8PathBuf,
    /// The directory of the package's `Cargo.toml`.
    pub manifest_dir: Utf8PathBuf,
    /// The options that select the program in another run, quoted for a shell.
    pub words: String,
    /// Whether `cargo-zigbuild` is installed.
    pub has_zigbuild: bool,
    /// The packages that the package's manifest names as dependencies.
    pub direct_dependencies: BTreeSet<String>,
}

/// A flag for rustc that chooses a processor or features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessorFlag {
    /// `target-cpu=VALUE` or `target-feature=LIST`.
    pub flag: String,
    /// The file and line, or the variable, in words.
    pub source: String,
}

/// The programs that were located, and those that were not.
#[derive(Debug, Default)]
pub struct PlacedPrograms {
    /// The built programs.
    pub programs: Vec<BuiltProgram>,
    /// The errors of the others.
    pub failures: Vec<NotLocated>,
}

/// Selected programs that were not located.
#[derive(Debug)]
pub struct NotLocated {
    /// Their names.
    pub names: Vec<String>,
    /// The reason, with the next step.
    pub error: Error,
}

/// A directory that may hold libraries a program was linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryDir {
    /// The directory, absolute.
    pub path: Utf8PathBuf,
    /// The kind of the directory.
    pub origin: LibraryDirOrigin,
}

/// The reason that a directory may hold libraries of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryDirOrigin {
    /// A build script's `rustc-link-search` inside the target or build directory; `cargo run` has it on the
    /// library path.
    BuildScript {
        /// The package of the build script.
        package: String,
    },
    /// The profile's directory, `<target dir>/[<triple>/]<profile dir>`.
    Profile,
    /// The profile's `deps`.
    Deps,
    /// A build script's `rustc-link-search` elsewhere. Not on cargo's library path, but the linker searched it.
    LinkSearch {
        /// The package of the build script.
        package: String,
    },
    /// A `-L` of rustc's flags: the configuration's, or a linker argument of the package's build script.
    Flags,
    /// rustc's library directory for the target, which has `libstd-*.so`.
    Rustc,
}

/// A project with its selected programs, before they are located.
pub struct Chosen<'a> {
    project: project::Project<'a>,
    programs: Vec<select::SelectedProgram>,
}

/// A manifest with its `metadata` table; `null` if it has none.
#[derive(Debug, Clone, Copy)]
pub struct Manifest<'a> {
    /// The name of the package; `None` for the workspace's manifest.
    pub package: Option<&'a str>,
    /// The absolute directory of the manifest.
    pub directory: &'a Utf8Path,
    /// `package.metadata` or `workspace.metadata`.
    pub metadata: &'a serde_json::Value,
}

/// Reads the project, with one `cargo metadata` at most, and selects its programs.
///
/// Fails if cargo cannot read the project or if the selection matches nothing.
pub fn choose<'a>(selection: &Selection, environment: &'a Environment) -> Result<Chosen<'a>> {
    let project = project::read(selection, environment)?;
    let programs = select::select(&project.metadata, selection, &environment.current_dir)?;
    Ok(Chosen { project, programs })
}

/// The targets that Lambda's processors run.
pub const LAMBDA_TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
];

impl Chosen<'_> {
    /// Returns cargo's target directory.
    pub fn target_directory(&self) -> &Utf8Path {
        self.project.target_directory()
    }

    /// Returns the targets that cargo's configuration names.
    ///
    /// # Errors
    ///
    /// If cargo does not name this machine's.
    pub fn configured_targets(&self) -> Result<Vec<String>> {
        let targets = project::targets(&self.project, &Selection::default())?;
        Ok(targets.into_iter().map(|target| target.asked).collect())
    }

    /// Returns the manifests of the packages that have a selected program, sorted by directory.
    pub fn packages(&self) -> Vec<Manifest<'_>> {
        let mut packages: Vec<Manifest> = Vec::new();
        for package in self.project.metadata.workspace_packages() {
            let program = self.programs.iter().find(|program| program.package_id == package.id);
            packages.extend(program.map(|program| Manifest {
                package: Some(package.name.as_str()),
                directory: &program.manifest_dir,
                metadata: &package.metadata,
            }));
        }
        packages.sort_by_key(|package| package.directory);
        packages
    }

    /// Returns the workspace's manifest. If a package is its own workspace, it is the package's.
    pub fn workspace(&self) -> Manifest<'_> {
        let metadata = &self.project.metadata;
        Manifest {
            package: None,
            directory: &metadata.workspace_root,
            metadata: &metadata.workspace_metadata,
        }
    }

    /// Locates the built programs: one for each selected program and target.
    ///
    /// `selection` may differ from the one given to [`choose`], but not in its programs. A selected program that is not
    /// built (except one that was not named and has `required-features`), or whose place has another program, is among
    /// the failures; each error names the paths that were tried and the next step. Fails if `--build` fails.
    pub fn locate(&self, selection: &Selection) -> Result<PlacedPrograms> {
        let targets = project::targets(&self.project, selection)?;
        if selection.build {
            let programs = build::build(&self.project, selection, &targets, &self.programs)?;
            Ok(PlacedPrograms { programs, failures: Vec::new() })
        } else {
            place::locate(&self.project, selection, &targets, &self.programs)
        }
    }
}

/// The names that a selection may have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ProjectNames {
    /// The packages of the workspace.
    pub packages: BTreeSet<String>,
    /// Their binaries.
    pub bins: BTreeSet<String>,
    /// Their examples that can be run.
    pub examples: BTreeSet<String>,
}

/// Returns the names of a workspace's packages and programs, with one `cargo metadata`.
///
/// # Errors
///
/// If cargo cannot read the project.
pub fn names(selection: &Selection, environment: &Environment) -> Result<ProjectNames> {
    Ok(select::names(&project::read(selection, environment)?.metadata))
}

/// Selects and locates programs: [`choose`], then [`Chosen::locate`]. Fails if one of them is not located.
pub fn find(selection: &Selection, environment: &Environment) -> Result<Vec<BuiltProgram>> {
    let located = choose(selection, environment)?.locate(selection)?;
    match located.failures.into_iter().next() {
        Some(failure) => Err(failure.error),
        None => Ok(located.programs),
    }
}

/// Returns rustc's library directory for a target (None: the host), which has `libstd-*.so`.
///
/// It starts rustc, so only programs that need such a library should call it. `None` if rustc fails or does not know
/// the target: then the library is reported as missing.
///
/// # Errors
///
/// If a file of the checkout would choose the rustc, see [`Checkouts`].
pub fn rustc_target_libdir(target: Option<&str>, checkouts: &Checkouts) -> Result<Option<Utf8PathBuf>> {
    project::rustc_target_libdir(target, checkouts)
}
