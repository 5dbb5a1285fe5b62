//! From the command line, variables and manifests to final values. Options and defaults end here.
//!
//! [`table`] lists the settings, `sources` reads each source's values; [`resolve`] merges the sources in their order,
//! once for each package, and turns the result into [`Settings`].

pub mod table;

mod args;
mod output;
mod resolve;
mod sources;

use std::num::NonZeroUsize;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Compression, Timestamp};
use crate::audit::{Code, MaxGrowth, MaxSize};
use crate::elf::Arch;
use crate::environment::Environment;
use crate::include::Selector;
use crate::layout::{BundleKind, Format};
use crate::patterns::Patterns;
use crate::plan::LibcSource;
use crate::tools::compiler::Compiler;
use crate::workspace::{Chosen, Selection};

pub use args::no_bootstrap;
pub use output::Output;
pub use resolve::{first_output, resolve};
pub use sources::{CommandLine, Setting, SettingOrigin};

/// The inputs of the process besides its arguments.
#[derive(Debug, Clone)]
pub struct Context {
    /// Variables and current directory.
    pub environment: Environment,
    /// The time, for ages and dates in the report only.
    pub now: SystemTime,
    /// The number of threads that may work at once.
    pub threads: NonZeroUsize,
}

/// The final settings of a run.
pub struct Resolved<'a> {
    /// The job.
    pub job: Job<'a>,
    /// The settings of the report, on which all packages agree.
    pub output: Output,
}

/// The job of a run.
pub enum Job<'a> {
    /// Plan, then write, show or explain.
    Bundle(Packages<'a>),
    /// Audit archives.
    Verify(Verify),
    /// Print the settings.
    Config(Packages<'a>),
    /// Print the page of a finding's code.
    Page(Code),
    /// Show the contents of baselines.
    Baseline(BaselineJob),
}

/// The packages whose programs are bundled.
pub struct Packages<'a> {
    /// The first package, whose settings stand for the run as a whole.
    first: PackageSettings,
    /// The other packages, sorted by directory.
    rest: Vec<PackageSettings>,
    /// The project of the packages.
    pub project: Option<Chosen<'a>>,
}

/// The settings of one package's programs.
pub struct PackageSettings {
    /// The package's name; `None` if no manifest was read.
    pub name: Option<String>,
    /// The absolute directory of its manifest; empty if no manifest was read.
    pub directory: Utf8PathBuf,
    /// The final values.
    pub settings: Settings,
    /// The values with their sources.
    pub values: Vec<Setting>,
    /// Lines about settings of cargo-lambda that are not taken.
    pub untaken: Vec<String>,
}

impl Packages<'_> {
    /// Returns all packages, sorted by directory.
    pub fn iter(&self) -> impl Iterator<Item = &PackageSettings> {
        [&self.first].into_iter().chain(&self.rest)
    }

    /// Returns the settings of the run as a whole, on which all packages agree.
    pub fn shared(&self) -> &Settings {
        &self.first.settings
    }

    /// Returns the settings of the package whose manifest is in this directory.
    pub fn of(&self, directory: &Utf8Path) -> &Settings {
        let package = self.iter().find(|package| package.directory == directory);
        package.map_or_else(|| self.shared(), |package| &package.settings)
    }
}

/// The settings for the programs of one package.
pub struct Settings {
    /// The contents and the place of their bundles.
    pub bundle: BundleSettings,
    /// The runtime they are for.
    pub target: Target,
    /// The settings of the report.
    pub output: Output,
}

/// What to show of the baselines.
#[derive(Debug)]
pub enum BaselineJob {
    /// List all, one per line.
    List,
    /// Show one in full.
    Show {
        /// The runtime.
        name: String,
        /// The architecture, if not x86_64.
        arch: Option<Arch>,
    },
    /// Show the differences between two.
    Diff {
        /// The first runtime.
        a: String,
        /// The second runtime.
        b: String,
        /// The architecture of both, if not x86_64.
        arch: Option<Arch>,
    },
    /// Turn a root file system into a baseline file.
    Capture(Capture),
    /// Print the script that lists a runtime from inside.
    Probe,
}

/// The source of a captured baseline, absolute.
#[derive(Debug)]
pub enum CaptureFrom {
    /// A directory.
    Root(Utf8PathBuf),
    /// The file with a probe's output.
    Probe(Utf8PathBuf),
}

/// The options of `baseline capture`.
#[derive(Debug)]
pub struct Capture {
    /// The source to read.
    pub from: CaptureFrom,
    /// The file to write; `None` for stdout.
    pub output: Option<Utf8PathBuf>,
    /// The runtime's name in the baseline.
    pub name: String,
    /// The architecture; `None` for that of the root's loader.
    pub arch: Option<Arch>,
    /// The date to write into the baseline; `None` for today.
    pub stamp: Option<SystemTime>,
}

/// The options of `verify`.
#[derive(Debug)]
pub struct Verify {
    /// The runtime the archives are for.
    pub target: Target,
    /// The archives; empty for those that the template names.
    pub archives: Vec<Utf8PathBuf>,
    /// The deployment template to compare them with.
    pub template: Option<Utf8PathBuf>,
    /// Libraries that the programs open at run time.
    pub libs: Vec<String>,
    /// Attached layers, in their order.
    pub attached_layers: Vec<Utf8PathBuf>,
    /// The kind of the archives, if it is set.
    pub kind: Option<BundleKind>,
}

/// The options of bundling.
pub struct BundleSettings {
    /// The kind of the bundle.
    pub kind: BundleKind,
    /// Whether to ship only the libraries.
    pub libraries_only: bool,
    /// Attached layers in their order, absolute.
    pub attached_layers: Vec<Utf8PathBuf>,
    /// The name of the layer for libraries that several functions ship.
    pub split_layer: Option<String>,
    /// The programs.
    pub programs: Programs,
    /// Libraries that the programs open at run time.
    pub libs: Vec<String>,
    /// Files to include in the bundle.
    pub includes: Vec<Selector>,
    /// SONAMEs that are never shipped.
    pub exclude: Patterns,
    /// SONAMEs whose copy on this machine is shipped even if the runtime has the library.
    pub pin: Patterns,
    /// Whether copies of ELF files may be edited.
    pub may_edit: bool,
    /// The C library that the program uses.
    pub libc: LibcSource,
    /// Whether debug information is removed from the copies.
    pub strip: bool,
    /// The directory for removed debug information, absolute, with placeholders as in `-o`.
    pub debug_symbols: Option<Utf8PathBuf>,
    /// The size that the bundle may have.
    pub max_size: Option<MaxSize>,
    /// Directories to search for libraries, absolute.
    pub library_paths: Vec<Utf8PathBuf>,
    /// The compiler whose library directories are searched, too.
    pub cc: Option<Compiler>,
    /// The root of the build world, absolute; `None` for this machine's.
    pub sysroot: Option<Utf8PathBuf>,
    /// What to do with the plan.
    pub purpose: Purpose,
    /// The time of every archive entry.
    pub stamp: Timestamp,
    /// The same in seconds since 1970, if SOURCE_DATE_EPOCH is set.
    pub epoch: Option<u64>,
    /// The names of the settings whose values are a manifest's, which may be a stranger's.
    pub of_manifest: Vec<String>,
}

impl BundleSettings {
    /// Whether the value of a setting is a manifest's.
    pub fn is_of_manifest(&self, name: &str) -> bool {
        self.of_manifest.iter().any(|it| it == name)
    }
}

/// The programs of a run.
#[derive(Debug)]
pub enum Programs {
    /// Programs that cargo built.
    Cargo(Box<Selection>),
    /// Programs by their paths, absolute.
    Binaries(Vec<Utf8PathBuf>),
}

/// The purpose of a plan.
#[derive(Debug)]
pub enum Purpose {
    /// Write the bundle.
    Write(Destination),
    /// Show what would be written.
    Check,
    /// Show the sizes of its files.
    Size(SizeComparison),
    /// Explain some of its libraries.
    Explain(Explain),
}

/// The options of `size`.
#[derive(Debug)]
pub struct SizeComparison {
    /// The file of before, absolute, with placeholders as in `-o`.
    pub against: Option<Utf8PathBuf>,
    /// The growth that is allowed.
    pub max_growth: Option<MaxGrowth>,
}

/// The options of `explain`.
#[derive(Debug)]
pub struct Explain {
    /// The libraries, symbols or symbol versions to explain; `None` for all libraries.
    pub wanted: Option<Wanted>,
    /// The output format.
    pub form: Form,
}

/// What `explain` shall explain.
#[derive(Debug)]
pub struct Wanted {
    /// The word on the command line.
    pub word: String,
    /// The same as a pattern.
    pub pattern: Patterns,
}

/// The output formats of `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text: the searches, step by step.
    Text,
    /// A tree of needs.
    Tree,
    /// A Mermaid graph.
    Mermaid,
}

/// The destination of bundles.
#[derive(Debug)]
pub struct Destination {
    /// The value of `-o`, made absolute; `None` for the default below the target directory.
    pub pattern: Option<Utf8PathBuf>,
    /// Whether `-o` ends with a slash, and so names a directory.
    pub is_directory: bool,
    /// The format of the bundle.
    pub format: Format,
    /// The flag `--force`.
    pub force: bool,
    /// The flag `--write-anyway`.
    pub write_anyway: bool,
    /// The compression level.
    pub compression: Compression,
    /// The path of the list of contents, absolute, with placeholders as in `-o`.
    pub sbom: Option<Utf8PathBuf>,
    /// The path of the licence texts, in the same form.
    pub licenses: Option<Utf8PathBuf>,
}

/// The runtime that programs are for.
#[derive(Debug, Default)]
pub struct Target {
    /// The runtimes to check; several only for a check of all.
    pub runtimes: Vec<String>,
    /// The runtime whose findings decide the exit status.
    pub configured: String,
    /// The architecture of `--arch`.
    pub arch: Option<Arch>,
    /// LD_LIBRARY_PATH of the function, if the user sets it.
    pub library_path: Option<String>,
    /// Whether LD_BIND_NOW is set (`--env`).
    pub binds_now: bool,
    /// GLIBC_TUNABLES (`--env`).
    pub tunables: String,
    /// The libraries in LD_PRELOAD (`--env`).
    pub preload: Vec<String>,
    /// The value of `AWS_LAMBDA_EXEC_WRAPPER` (`--env`), which only language runtimes execute.
    pub wrapper: Option<String>,
    /// The variables of `--env` that decide nothing about loading, by name.
    pub unused_env: Vec<String>,
    /// The variable in LD_LIBRARY_PATH that nothing replaces by its value, as it was written.
    pub unreplaced: Option<String>,
    /// The baseline file to use instead of the runtime's, absolute.
    pub baseline: Option<Utf8PathBuf>,
    /// SONAMEs that the runtime is assumed to have.
    pub assume_present: Patterns,
    /// The same, as they were written.
    pub present_patterns: Vec<String>,
}

/// Fills the placeholders of `-o`.
pub fn fill(pattern: &Utf8Path, values: &[(&str, &str)]) -> Utf8PathBuf {
    let mut text = pattern.as_str().to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text.into()
}
