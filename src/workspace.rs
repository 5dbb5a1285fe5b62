//! From cargo's words (package, binary, target, profile) to the paths of built programs.
//!
//! cargo says what there is (`cargo metadata`) and its configuration says where builds go; this module
//! looks there, then where `cargo lambda build` moves programs. It runs cargo and looks at files that cargo
//! wrote, and writes nothing itself; `--build` has cargo write. What a program *is* (ELF, machine, linkage) is
//! for `elf`; only its first bytes are looked at here, to tell a leftover of another machine from the answer.
//!
//! Nothing is read from the process environment: an [`Environment`] carries the variables and the current
//! directory, and cargo is started with exactly these. cargo's configuration is that of the current directory,
//! also with `--manifest-path`, as in cargo.
//!
//! Invariants: only what was selected comes back, sorted by package and name, then in the order of the
//! targets; every path is absolute; when two files could be meant, the answer is an error, never a choice.

mod build;
mod files;
mod place;
mod project;
mod records;
mod select;

use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::environment::Environment;
use crate::error::Result;

/// What to bundle, in cargo's words, as given on the command line.
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
    /// `--target`: triples (a glibc suffix like `.2.34` is accepted), target files, `host-tuple`.
    pub targets: Vec<String>,
    /// `--profile`; release unless said.
    pub profile: Option<String>,
    /// `--target-dir`.
    pub target_dir: Option<Utf8PathBuf>,
    /// `--manifest-path`.
    pub manifest_path: Option<Utf8PathBuf>,
    /// `--metadata-path`: what `cargo metadata` printed, so that it need not be run.
    pub metadata_path: Option<Utf8PathBuf>,
    /// `--locked`.
    pub locked: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--frozen`.
    pub frozen: bool,
    /// `--build`: run `cargo build` first and take what it says it made.
    pub build: bool,
    /// `--features`, with `--build`.
    pub features: Vec<String>,
    /// `--all-features`, with `--build`.
    pub all_features: bool,
    /// `--no-default-features`, with `--build`.
    pub no_default_features: bool,
    /// How much cargo says with `--build`: 0 nothing but what is wrong, 1 and 2 what it says by itself, 3 and
    /// more what it runs.
    pub verbosity: u8,
}

/// Who put the program where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// cargo, in `<target dir>/[<triple>/]<profile dir>/[examples/]<name>`.
    Cargo,
    /// `cargo lambda build`, in `<target dir>/lambda`.
    CargoLambda,
    /// cargo just now, for `--build`; the path is from its messages.
    Built,
}

/// One built program.
#[derive(Debug, Clone)]
pub struct BuiltProgram {
    /// The name of the binary or example.
    pub name: String,
    /// The package it belongs to.
    pub package: String,
    /// Where it is, absolute.
    pub path: Utf8PathBuf,
    /// Who put it there.
    pub origin: Origin,
    /// The triple, without a glibc suffix, or the name of a target file. None for a build without `--target`,
    /// and for cargo-lambda's when no target was named.
    pub target: Option<String>,
    /// The profile. None for cargo-lambda's: its directory does not say.
    pub profile: Option<String>,
    /// When the file was last written.
    pub modified: SystemTime,
    /// The first, in sorted order, of the sources it was built from that is newer than the program.
    pub newer_source: Option<Utf8PathBuf>,
    /// Where the libraries it was linked to may be: what `cargo run` would put on the library path, in that
    /// order, without rustc's own directory (see [`rustc_target_libdir`]), then the other directories that
    /// build scripts gave to the linker. Existing directories, each once.
    pub library_dirs: Vec<LibraryDir>,
    /// The target directory.
    pub target_directory: Utf8PathBuf,
    /// The directory of the workspace.
    pub workspace_root: Utf8PathBuf,
    /// The directory of the package's `Cargo.toml`.
    pub manifest_dir: Utf8PathBuf,
}

/// A directory that may hold libraries a program was linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryDir {
    /// The directory, absolute.
    pub path: Utf8PathBuf,
    /// Why it counts.
    pub origin: LibraryDirOrigin,
}

/// Why a directory may hold libraries of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryDirOrigin {
    /// A build script's `rustc-link-search` inside the target or build directory; `cargo run` has it on the
    /// library path.
    BuildScript {
        /// The package whose build script named it.
        package: String,
    },
    /// The profile's directory, `<target dir>/[<triple>/]<profile dir>`.
    Profile,
    /// The profile's `deps`.
    Deps,
    /// A build script's `rustc-link-search` elsewhere. Not on cargo's library path, but the linker looked there.
    LinkSearch {
        /// The package whose build script named it.
        package: String,
    },
    /// rustc's library directory for the target, which has `libstd-*.so`.
    Rustc,
}

/// A project whose programs are selected, not yet looked for.
pub struct Chosen<'a> {
    project: project::Project<'a>,
    programs: Vec<select::SelectedProgram>,
}

/// A manifest with its `metadata` table; `null` if it has none.
#[derive(Debug, Clone, Copy)]
pub struct Manifest<'a> {
    /// The name of its package; `None` for that of the workspace.
    pub package: Option<&'a str>,
    /// The directory it is in, absolute.
    pub directory: &'a Utf8Path,
    /// `package.metadata` or `workspace.metadata`.
    pub metadata: &'a serde_json::Value,
}

/// Reads the project, with one `cargo metadata` at most, and selects its programs.
///
/// Fails when cargo cannot read the project and when the selection matches nothing.
pub fn choose<'a>(selection: &Selection, environment: &'a Environment) -> Result<Chosen<'a>> {
    let project = project::read(selection, environment)?;
    let programs = select::select(&project.metadata, selection, &environment.current_dir)?;
    Ok(Chosen { project, programs })
}

impl Chosen<'_> {
    /// The manifests of the packages that have a selected program, sorted by directory.
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

    /// The workspace's manifest. For a package that is its own workspace it is the package's.
    pub fn workspace(&self) -> Manifest<'_> {
        let metadata = &self.project.metadata;
        Manifest {
            package: None,
            directory: &metadata.workspace_root,
            metadata: &metadata.workspace_metadata,
        }
    }

    /// The selected programs, built; one for each program and target.
    ///
    /// `selection` may say more than the one that chose, but not other programs. Fails when a selected program
    /// is not built (except one that was not named and has `required-features`), when two files could be
    /// meant, and when `--build` fails. Each error says what was looked at and what to do next.
    pub fn locate(&self, selection: &Selection) -> Result<Vec<BuiltProgram>> {
        let targets = project::targets(&self.project, selection)?;
        if selection.build {
            build::build(&self.project, selection, &targets, &self.programs)
        } else {
            place::locate(&self.project, selection, &targets, &self.programs)
        }
    }
}

/// The selected programs, built: [`choose`], then [`Chosen::locate`].
pub fn find(selection: &Selection, environment: &Environment) -> Result<Vec<BuiltProgram>> {
    choose(selection, environment)?.locate(selection)
}

/// rustc's library directory for a target (None: the host), which has `libstd-*.so`.
///
/// Starts rustc, so it is for a program that needs such a library. None when rustc cannot be asked or does not
/// know the target: then the library stays missing, and that is what gets reported.
pub fn rustc_target_libdir(target: Option<&str>, environment: &Environment) -> Option<Utf8PathBuf> {
    project::rustc_target_libdir(target, environment)
}
