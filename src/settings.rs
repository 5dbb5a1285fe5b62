//! From the command line, variables and manifests to final values. Defaults and options end here.
//!
//! [`table`] has what settings there are, `sources` what each source says of them; [`resolve`] asks the
//! sources in their order, once for each package, and turns each answer into [`Settings`].

pub mod table;

mod args;
mod output;
mod resolve;
mod sources;

use std::num::NonZeroUsize;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Compression, Timestamp};
use crate::audit::Code;
use crate::elf::Arch;
use crate::environment::Environment;
use crate::include::Selector;
use crate::layout::BundleKind;
use crate::patterns::Patterns;
use crate::plan::LibcSource;
use crate::workspace::{Chosen, Selection};

pub use output::Output;
pub use resolve::{first_output, resolve};
pub use sources::{CommandLine, Setting, SettingOrigin};

/// What the process was given beside its arguments.
#[derive(Debug, Clone)]
pub struct Context {
    /// Variables and current directory.
    pub environment: Environment,
    /// The clock; for ages and dates in the report only.
    pub now: SystemTime,
    /// How many threads may work at once.
    pub threads: NonZeroUsize,
}

/// Everything a run does.
pub struct Resolved<'a> {
    /// What it does.
    pub job: Job<'a>,
    /// How the results are shown, on which all packages agree.
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
    /// Print what a kind of finding means.
    Page(Code),
    /// Show what the tables hold.
    Baseline(BaselineJob),
}

/// The packages whose programs are bundled.
pub struct Packages<'a> {
    /// The one that stands for the run as a whole; the first.
    first: PackageSettings,
    /// The others, sorted by directory.
    rest: Vec<PackageSettings>,
    /// The project that they are from.
    pub project: Option<Chosen<'a>>,
}

/// The settings of one package's programs.
pub struct PackageSettings {
    /// Its name; none where no manifest is asked.
    pub name: Option<String>,
    /// The directory of its manifest, absolute; empty where no manifest was asked.
    pub directory: Utf8PathBuf,
    /// Final values.
    pub settings: Settings,
    /// Where they came from.
    pub values: Vec<Setting>,
}

impl Packages<'_> {
    /// All of them, sorted by directory.
    pub fn iter(&self) -> impl Iterator<Item = &PackageSettings> {
        [&self.first].into_iter().chain(&self.rest)
    }

    /// The settings of the run as a whole, on which all packages agree.
    pub fn shared(&self) -> &Settings {
        &self.first.settings
    }

    /// The settings of the package whose manifest is in this directory.
    pub fn of(&self, directory: &Utf8Path) -> &Settings {
        let package = self.iter().find(|package| package.directory == directory);
        package.map_or_else(|| self.shared(), |package| &package.settings)
    }
}

/// Everything a run does with the programs of one package.
pub struct Settings {
    /// What their bundles are.
    pub bundle: BundleSettings,
    /// Where the programs will run.
    pub target: Target,
    /// How the results are shown.
    pub output: Output,
}

/// What to show of the tables.
#[derive(Debug)]
pub enum BaselineJob {
    /// All of them, one a line.
    List,
    /// One in full.
    Show {
        /// Its runtime.
        name: String,
        /// Its architecture, if not x86_64.
        arch: Option<Arch>,
    },
    /// What two differ in.
    Diff {
        /// The runtime of the first.
        a: String,
        /// The runtime of the second.
        b: String,
        /// Their architecture, if not x86_64.
        arch: Option<Arch>,
    },
    /// Read a root file system.
    Capture(Capture),
    /// Print the script that lists a runtime from inside.
    Probe,
}

/// Where a root is read from, absolute.
#[derive(Debug)]
pub enum CaptureFrom {
    /// A directory.
    Root(Utf8PathBuf),
    /// The file with a probe's answer.
    Probe(Utf8PathBuf),
}

/// What to read, and where to write it.
#[derive(Debug)]
pub struct Capture {
    /// What to read.
    pub from: CaptureFrom,
    /// The file to write; `None` for stdout.
    pub output: Option<Utf8PathBuf>,
    /// What the table calls its runtime.
    pub name: String,
    /// The architecture, if it is not the root's first.
    pub arch: Option<Arch>,
    /// The day to write into it, if it is not that of the run.
    pub stamp: Option<SystemTime>,
}

/// What to audit.
#[derive(Debug)]
pub struct Verify {
    /// Where the archives' programs will run.
    pub target: Target,
    /// The archives; none for those that the template names.
    pub archives: Vec<Utf8PathBuf>,
    /// The deployment template to compare them with.
    pub template: Option<Utf8PathBuf>,
    /// Libraries the programs open at run time.
    pub libs: Vec<String>,
    /// Layers that are attached, in that order.
    pub attached_layers: Vec<Utf8PathBuf>,
    /// What the archives are, if the user says.
    pub kind: Option<BundleKind>,
}

/// What to bundle.
pub struct BundleSettings {
    /// The shape of the bundle.
    pub kind: BundleKind,
    /// The libraries alone.
    pub libraries_only: bool,
    /// Layers that are attached, in that order, absolute.
    pub attached_layers: Vec<Utf8PathBuf>,
    /// The name of a layer for what several functions ship.
    pub split_layer: Option<String>,
    /// The programs.
    pub programs: Programs,
    /// Libraries they open at run time.
    pub libs: Vec<String>,
    /// Files that go into the bundle beside them.
    pub includes: Vec<Selector>,
    /// Symbolic links among these stay links.
    pub keep_links: bool,
    /// SONAMEs that are never shipped.
    pub exclude: Patterns,
    /// SONAMEs whose copy of ours is used, though the runtime's would do.
    pub pin: Patterns,
    /// Whether copies of ELF files may be edited.
    pub may_edit: bool,
    /// Whose C library the program uses.
    pub libc: LibcSource,
    /// Debug information stays out of the copies.
    pub strip: bool,
    /// Where it is kept instead, absolute, with placeholders as in `-o`.
    pub debug_symbols: Option<Utf8PathBuf>,
    /// Directories of libraries, absolute.
    pub library_paths: Vec<Utf8PathBuf>,
    /// The compiler whose library directories count.
    pub cc: Option<String>,
    /// The root of the build world, absolute; `None` for this machine's.
    pub sysroot: Option<Utf8PathBuf>,
    /// What to do with the plan.
    pub purpose: Purpose,
    /// The time of every archive entry.
    pub stamp: Timestamp,
    /// The same in seconds since 1970, if it was named.
    pub epoch: Option<u64>,
}

/// The programs of a run.
#[derive(Debug)]
pub enum Programs {
    /// Built by cargo.
    Cargo(Box<Selection>),
    /// Named by their paths, absolute.
    Binaries(Vec<Utf8PathBuf>),
}

/// What becomes of a plan.
#[derive(Debug)]
pub enum Purpose {
    /// It is written.
    Write(Destination),
    /// It is shown.
    Check,
    /// The sizes of its files are shown.
    Size,
    /// Some of it is explained.
    Explain(Explain),
}

/// What is explained.
#[derive(Debug)]
pub struct Explain {
    /// The libraries; all of them if there is no pattern.
    pub wanted: Option<Patterns>,
    /// How.
    pub form: Form,
}

/// How a closure is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The searches, step by step.
    Text,
    /// A tree of needs.
    Tree,
    /// A Mermaid graph.
    Mermaid,
}

/// Where bundles are written.
#[derive(Debug)]
pub struct Destination {
    /// `-o`, made absolute; `None` for the default below the target directory.
    pub pattern: Option<Utf8PathBuf>,
    /// `-o` named a directory by a slash at its end.
    pub is_directory: bool,
    /// What is written there.
    pub format: Format,
    /// `--force`.
    pub force: bool,
    /// `--write-anyway`.
    pub write_anyway: bool,
    /// How hard to compress.
    pub compression: Compression,
    /// Where the list of what is shipped goes, absolute, with placeholders as in `-o`.
    pub sbom: Option<Utf8PathBuf>,
    /// Where the licence texts go, in the same form.
    pub licenses: Option<Utf8PathBuf>,
}

/// The forms of a written bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A ZIP archive.
    Zip,
    /// Its contents as files in a directory.
    Dir,
}

/// Where programs will run.
#[derive(Debug, Default)]
pub struct Target {
    /// The runtimes to look at; more than one only for a check of all.
    pub runtimes: Vec<String>,
    /// The runtime whose findings decide the exit status.
    pub configured: String,
    /// The asserted architecture.
    pub arch: Option<Arch>,
    /// LD_LIBRARY_PATH of the function, if the user sets it.
    pub library_path: Option<String>,
    /// LD_BIND_NOW is set (`--env`).
    pub binds_now: bool,
    /// LD_PRELOAD (`--env`), split.
    pub preload: Vec<String>,
    /// The file whose table takes the place of the runtime's, absolute.
    pub baseline: Option<Utf8PathBuf>,
    /// SONAMEs that are there.
    pub assume_present: Patterns,
    /// SONAMEs that are not there.
    pub assume_missing: Patterns,
}

/// Fills the placeholders of `-o`.
pub fn fill(pattern: &Utf8Path, values: &[(&str, &str)]) -> Utf8PathBuf {
    let mut text = pattern.as_str().to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text.into()
}
