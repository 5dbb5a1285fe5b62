//! The command line as it is typed. [`crate::settings`] interprets it.

pub mod complete;
pub mod documents;
pub mod manual;
pub mod topics;

use std::sync::LazyLock;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::audit::{MaxGrowth, MaxSize};
use crate::include::Include;

/// Check a program against AWS Lambda's libraries and write a ZIP that starts there.
///
/// Without a subcommand it writes one bundle per selected program to `target/lambda-bundle/<bin>/bootstrap.zip`. If a
/// program would not start, it prints the reason and writes nothing.
#[derive(Debug, Parser)]
#[command(
    name = "cargo lambda-bundle",
    bin_name = "cargo lambda-bundle",
    version = VERSION.as_str(),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_long_help = after_help()
)]
pub struct Cli {
    /// The subcommand, if any.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of bundling.
    #[command(flatten)]
    pub bundle: BundleArgs,
}

/// The commit and its date are in `LAMBDA_BUNDLE_COMMIT`, which `.ci/release` sets. Other builds, such as from a
/// package or a working tree, name no commit.
static VERSION: LazyLock<String> = LazyLock::new(|| version(option_env!("LAMBDA_BUNDLE_COMMIT")));

/// The version names the compressor, because it decides the bytes of an archive, too.
fn version(commit: Option<&str>) -> String {
    let known = commit.into_iter().chain([crate::archive::COMPRESSOR]).collect::<Vec<_>>();
    format!("{} ({})", env!("CARGO_PKG_VERSION"), known.join(", "))
}

/// Examples, one in a line: as it is typed, and what it does.
const EXAMPLES: [&str; 6] = [
    "cargo lambda-bundle --build                      build the package and bundle its program",
    "cargo lambda-bundle check --bin orders           show what would happen, write nothing",
    "cargo lambda-bundle --binary ./server -o app.zip bundle a program that cargo did not build",
    "cargo lambda-bundle explain libssl.so.3          explain why it is shipped, or not",
    "cargo lambda-bundle explain GLIBC_2.38           explain what needs it, and which crate asks for that",
    "cargo lambda-bundle verify bootstrap.zip         audit a ZIP made by any tool",
];

/// Where options can be set, besides on the command line.
const SETTINGS: &str = "\
Every option that does not select programs can also be set by an environment variable (such as
CARGO_LAMBDA_BUNDLE_RUNTIME), and by a key in [package.metadata.lambda-bundle] or
[workspace.metadata.lambda-bundle]; `config` shows them.";

/// What each exit status means.
const EXIT_STATUS: [(u8, &str); 4] =
    [(0, "done"), (1, "findings of severity error"), (2, "wrong usage"), (101, "no result")];

/// What `--help` ends with.
fn after_help() -> String {
    let status: Vec<String> =
        EXIT_STATUS.iter().map(|(status, meaning)| format!("{status} {meaning}")).collect();
    format!(
        "Examples:\n  {}\n\n{SETTINGS}\n\nPages, as `cargo lambda-bundle help NAME` prints them:\n{}\nExit status: {}.",
        EXAMPLES.join("\n  "),
        topics::list(),
        status.join(", ")
    )
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what bundling would do and find; write nothing.
    Check(CheckArgs),
    /// Explain a library, a symbol, a symbol version or a finding.
    ///
    /// Why a library is shipped, used or missing; what asks for a symbol version or a symbol; what a finding means and
    /// what to do. Without a name, it prints the dependency tree.
    Explain(ExplainArgs),
    /// Show what takes up space; write nothing.
    ///
    /// These are the libraries, the program's sections and crates, debug information and included files. With
    /// `--against`, also what grew.
    Size(SizeArgs),
    /// Audit ZIP archives and directories made by any tool.
    Verify(VerifyArgs),
    /// Print the settings in use, and the source of each value.
    Config(BundleArgs),
    /// Show what each runtime offers.
    ///
    /// With the sources of that, and how old they are.
    Baseline {
        /// The subcommand.
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// The documents about the tool.
    #[command(flatten)]
    Print(PrintCommand),
}

/// The documents that need no settings.
#[derive(Debug, Clone, Subcommand)]
pub enum PrintCommand {
    /// Print help for a subcommand, or a page about a topic.
    Help {
        /// The subcommand, such as `check` or `baseline capture`, or the topic, such as `settings`; without a name, both
        /// are listed.
        #[arg(value_name = "NAME")]
        command: Vec<String>,
    },
    /// Print the JSON Schema of `--message-format json`.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all subcommands.
    Man {
        /// Directory to write `cargo-lambda-bundle.1` and a page for each subcommand to.
        #[arg(value_name = "DIR")]
        directory: Option<Utf8PathBuf>,
    },
}

/// The subcommands of `baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// List the runtimes.
    List(BaselineListArgs),
    /// Show one baseline in full: its sources, its libraries and their symbol versions.
    Show(BaselineShowArgs),
    /// Show the differences between two baselines.
    Diff(BaselineDiffArgs),
    /// Turn a root file system (an unpacked image, `/` inside a container), or the output of a probe, into a file for
    /// `--baseline`.
    Capture(BaselineCaptureArgs),
    /// Print a `bootstrap` script that lists the contents of its runtime, when it runs once as a function of your
    /// own; its first lines explain how.
    Probe(BaselineListArgs),
}

impl BaselineCommand {
    /// Returns the output options of any subcommand.
    pub fn output(&self) -> &OutputArgs {
        match self {
            BaselineCommand::List(args) => &args.output,
            BaselineCommand::Show(args) => &args.output,
            BaselineCommand::Diff(args) => &args.output,
            BaselineCommand::Capture(args) => &args.output,
            BaselineCommand::Probe(args) => &args.output,
        }
    }
}

/// The options of `baseline list` and `baseline probe`.
#[derive(Debug, Args)]
pub struct BaselineListArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The options of `baseline show`.
#[derive(Debug, Args)]
pub struct BaselineShowArgs {
    /// The runtime.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its architecture [default: x86_64].
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The options of `baseline diff`.
#[derive(Debug, Args)]
pub struct BaselineDiffArgs {
    /// The first runtime.
    #[arg(value_name = "A")]
    pub a: String,
    /// The second runtime.
    #[arg(value_name = "B")]
    pub b: String,
    /// Their architecture [default: x86_64].
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The options of bundling.
#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,

    /// File to write, or directory for `bootstrap.zip`.
    ///
    /// With `--dir`, the directory. May contain {bin}, {package}, {arch} and {target}.
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    pub output: Option<Utf8PathBuf>,

    /// Write the contents as files in a directory instead of a ZIP archive: for an image, for `sam build`, or for
    /// inspection.
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub dir: bool,

    /// Compression level. The bytes depend on it, but not on the number of cores.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "default",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub compression: CompressionArg,

    /// Rewrite the bundle even if it is up to date.
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub force: bool,

    /// Also write a list of the bundle's contents to this file, as a CycloneDX 1.6 document. May contain {bin},
    /// {package}, {arch} and {target}.
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub sbom: Option<Utf8PathBuf>,

    /// Also write the licence texts of the shipped libraries to this file, from this machine's package documentation.
    /// May contain {bin}, {package}, {arch} and {target}.
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub licenses: Option<Utf8PathBuf>,

    /// Write the bundle even if it would not start; the exit status stays 1.
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub write_anyway: bool,
}

/// The options that bundling and checking share.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lambda: LambdaArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub content: ContentArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The options of `size`.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Earlier bundle, or the JSON of an earlier run, to compare with.
    ///
    /// A ZIP archive by any tool, or what `size`, `check` or bundling printed with `--message-format json`. May contain
    /// {bin}, {package}, {arch} and {target}.
    #[arg(long, value_name = "FILE", help_heading = "Growth")]
    pub against: Option<Utf8PathBuf>,
    /// Fail if the unzipped bundle grew by more, such as 500kB or 5%; with `--against`.
    #[arg(long, value_name = "GROWTH", help_heading = "Growth")]
    pub max_growth: Option<MaxGrowth>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,
}

/// The options that select programs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Package to take programs from (repeatable).
    #[arg(short, long = "package", value_name = "SPEC")]
    pub packages: Vec<String>,
    /// Take programs from all packages of the workspace.
    #[arg(long, alias = "all", hide_short_help = true)]
    pub workspace: bool,
    /// Package to leave out (repeatable; with `--workspace`).
    #[arg(long, value_name = "SPEC", hide_short_help = true)]
    pub exclude: Vec<String>,
    /// Binary to bundle (repeatable).
    #[arg(long = "bin", value_name = "NAME")]
    pub bins: Vec<String>,
    /// Bundle all binaries.
    #[arg(long = "bins", hide_short_help = true)]
    pub all_bins: bool,
    /// Example to bundle (repeatable).
    #[arg(long = "example", value_name = "NAME", hide_short_help = true)]
    pub examples: Vec<String>,
    /// Bundle all examples.
    #[arg(long = "examples", hide_short_help = true)]
    pub all_examples: bool,
    /// Target triple the program was built for (repeatable).
    #[arg(long = "target", value_name = "TRIPLE")]
    pub targets: Vec<String>,
    /// Profile the program was built with [default: release].
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub profile: Option<String>,
    /// Use the release profile, which is the default.
    #[arg(short, long, conflicts_with = "profile", hide_short_help = true)]
    pub release: bool,
    /// Directory of build results.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub target_dir: Option<Utf8PathBuf>,
    /// Path to Cargo.toml.
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub manifest_path: Option<Utf8PathBuf>,
    /// Require that Cargo.lock is up to date.
    #[arg(long, hide_short_help = true)]
    pub locked: bool,
    /// Run cargo without network access.
    #[arg(long, hide_short_help = true)]
    pub offline: bool,
    /// Same as `--locked --offline`.
    #[arg(long, hide_short_help = true)]
    pub frozen: bool,
    /// Run `cargo build` first.
    ///
    /// The programs that it builds are bundled.
    #[arg(long, conflicts_with = "binaries")]
    pub build: bool,
    /// Tool for `--build`, which this implies.
    #[arg(long, value_name = "TOOL", conflicts_with = "binaries", hide_short_help = true)]
    pub build_with: Option<BuildWithArg>,
    /// Number of jobs that cargo runs at once, for `--build`.
    #[arg(short, long, value_name = "N", allow_hyphen_values = true, hide_short_help = true)]
    pub jobs: Option<String>,
    /// Value or file of cargo's configuration, for `--build` (repeatable).
    #[arg(long = "config", value_name = "KEY=VALUE", hide_short_help = true)]
    pub configs: Vec<String>,
    /// Features for `--build`.
    #[arg(short = 'F', long, value_name = "FEATURES", hide_short_help = true)]
    pub features: Vec<String>,
    /// Build with all features, for `--build`.
    #[arg(long, hide_short_help = true)]
    pub all_features: bool,
    /// Build without default features, for `--build`.
    #[arg(long, hide_short_help = true)]
    pub no_default_features: bool,
    /// Program from any toolchain, by its path.
    ///
    /// No cargo project is needed. Repeatable.
    #[arg(
        long = "binary",
        value_name = "PATH",
        conflicts_with_all = [
            "packages", "workspace", "exclude", "bins", "all_bins", "examples", "all_examples", "targets",
            "profile", "release", "target_dir", "manifest_path"
        ]
    )]
    pub binaries: Vec<Utf8PathBuf>,
}

/// The options about the runtime.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lambda")]
pub struct LambdaArgs {
    /// Lambda runtime.
    ///
    /// provided.al2023, provided.al2, provided, a base image (image:al2023, image:al2), a language runtime for layers
    /// and extensions (nodejs22.x, python3.13, ...), or all (check only).
    #[arg(long, value_name = "NAME", default_value = crate::baseline::DEFAULT_RUNTIME)]
    pub runtime: String,
    /// Baseline file to use instead of the runtime's: written by `baseline capture`, or a plain list of library
    /// paths, one per line.
    #[arg(long, value_name = "FILE", conflicts_with = "runtime", hide_short_help = true)]
    pub baseline: Option<Utf8PathBuf>,
    /// Fail unless built for it: x86_64 or arm64.
    #[arg(long, value_name = "ARCH", hide_possible_values = true)]
    pub arch: Option<ArchArg>,
    /// SONAMEs that the runtime has, whatever the baseline says (glob, repeatable).
    #[arg(long, value_name = "GLOB", hide_short_help = true)]
    pub assume_present: Vec<String>,
    /// Environment variable of the function; LD_LIBRARY_PATH, LD_PRELOAD, LD_BIND_NOW and GLIBC_TUNABLES decide what
    /// loads.
    #[arg(long, value_name = "NAME=VALUE", hide_short_help = true)]
    pub env: Vec<String>,
}

/// The options about the contents.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub struct ContentArgs {
    /// Make a function, a layer with the program and its libraries, or an extension. Several extensions, or several
    /// programs of layers, with the same `-o FILE` share the archive.
    #[arg(long, value_name = "KIND", default_value = "function", hide_short_help = true)]
    pub kind: KindArg,
    /// Ship only the libraries, for a layer or a directory.
    #[arg(long, hide_short_help = true)]
    pub libraries_only: bool,
    /// Layer that is attached to the function.
    ///
    /// A ZIP archive or a directory; its libraries are not shipped. Repeatable, in the order of attachment.
    #[arg(long = "attached-layer", value_name = "ZIP", hide_short_help = true)]
    pub attached_layers: Vec<Utf8PathBuf>,
    /// Put libraries that several of the functions ship into a layer of this name, beside the functions.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub split_layer: Option<String>,
    /// Also ship a library that the program loads with dlopen, by its SONAME (repeatable).
    #[arg(long = "dlopen", value_name = "SONAME", hide_short_help = true)]
    pub libs: Vec<String>,
    /// Files to include, and their place.
    ///
    /// A file, a directory, or a pattern of files, and their place in the bundle. Repeatable.
    #[arg(long = "include", value_name = "SRC[=DEST]")]
    pub includes: Vec<Include>,
    /// SONAMEs that are never shipped (glob, repeatable).
    #[arg(long = "exclude-lib", value_name = "GLOB", hide_short_help = true)]
    pub exclude_libs: Vec<String>,
    /// Ship this machine's copy even if the runtime has the library (SONAME glob, repeatable).
    #[arg(long = "bundle-lib", value_name = "GLOB", hide_short_help = true)]
    pub bundle_libs: Vec<String>,
    /// Use the runtime's C library, or ship this machine's with all libraries that use it.
    #[arg(long, value_name = "WHOSE", default_value = "system", hide_short_help = true)]
    pub libc: LibcArg,
    /// Allow edits of ELF file copies, so that a library that fits displaces the runtime's own.
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub repair: RepairArg,
    /// Remove debug information from the bundle's copies, with the target's `strip` or `llvm-strip`; function names
    /// stay, for backtraces.
    #[arg(long, hide_short_help = true)]
    pub strip: bool,
    /// Keep what `--strip` removes as `<name>.debug` in this directory, for debuggers. May contain {bin}, {package},
    /// {arch} and {target}.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub debug_symbols: Option<Utf8PathBuf>,
    /// Fail if the unzipped bundle is larger, such as 50MB or 64MiB; attached layers do not count.
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub max_size: Option<MaxSize>,
    /// Directory to search for libraries before the system's (repeatable).
    #[arg(long = "library-path", value_name = "DIR", hide_short_help = true)]
    pub library_paths: Vec<Utf8PathBuf>,
    /// C compiler the program was linked with; its library directories are searched, too.
    #[arg(long, value_name = "CC", hide_short_help = true)]
    pub cc: Option<String>,
    /// Root of the system the program was built for, instead of this machine's.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub sysroot: Option<Utf8PathBuf>,
}

/// The options about the report.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// human (default), json, github, gitlab, sarif.
    ///
    /// human: text on stderr, and the written paths on stdout. json: one JSON document on stdout; `schema` prints its
    /// JSON Schema. github: workflow commands on stdout, and a table and graphs at the end of $GITHUB_STEP_SUMMARY.
    /// gitlab: a code quality report on stdout. sarif: one SARIF 2.1.0 document on stdout, for code scanning.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub message_format: MessageFormat,
    /// Turn findings with these codes into errors, or with `warnings` all warnings (list, repeatable).
    #[arg(long, value_name = "CODES", value_delimiter = ',', hide_short_help = true)]
    pub deny: Vec<String>,
    /// Turn warnings with these codes into notes (list, repeatable).
    #[arg(long, value_name = "CODES", value_delimiter = ',', hide_short_help = true)]
    pub allow: Vec<String>,
    /// Print only findings and paths.
    ///
    /// With `--build`, cargo runs quietly, too. CARGO_TERM_QUIET does the same.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: notes, chains, symbols.
    ///
    /// Twice, with `--build`, also cargo's commands.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Use colour: auto, always, never.
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub color: ColorArg,
}

/// The options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Library, symbol or symbol version, or the code of a finding.
    ///
    /// A library has the name that is needed, a symbol version is a word such as GLIBC_2.38; all may be globs. For the
    /// code of a finding, such as missing-library, no program is read.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print the tree of libraries; the default without NAME.
    #[arg(long, help_heading = "Output")]
    pub tree: bool,
    /// Print a Mermaid graph, for a pull request.
    #[arg(long, help_heading = "Output", conflicts_with = "tree")]
    pub mermaid: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,
}

/// The options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Archives, or directories that are deployed.
    ///
    /// With `--template` and without a path, the code of all its functions.
    #[arg(required_unless_present = "template", value_name = "PATH")]
    pub archives: Vec<Utf8PathBuf>,
    /// Deployment template to compare with the archives.
    ///
    /// SAM or CloudFormation (YAML, JSON, CDK's output), or the output of `terraform show -json`.
    #[arg(long, value_name = "FILE", help_heading = "Content")]
    pub template: Option<Utf8PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lambda: LambdaArgs,
    /// Library that the program loads with dlopen (SONAME).
    #[arg(long = "dlopen", value_name = "SONAME", help_heading = "Content")]
    pub libs: Vec<String>,
    /// Layer that is attached to the function.
    ///
    /// A ZIP archive or a directory. Repeatable, in the order of attachment.
    #[arg(long = "attached-layer", value_name = "ZIP", help_heading = "Lambda")]
    pub attached_layers: Vec<Utf8PathBuf>,
    /// Kind of the archives [default: an extension if it has only those, else a function].
    #[arg(long, value_name = "KIND", help_heading = "Content", hide_short_help = true)]
    pub kind: Option<KindArg>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The options of `baseline capture`.
#[derive(Debug, Args)]
pub struct BaselineCaptureArgs {
    /// Directory of the root file system.
    #[arg(long, value_name = "DIR", required_unless_present = "from_probe")]
    pub root: Option<Utf8PathBuf>,
    /// Output of the script of `baseline probe`, instead of a root.
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    pub from_probe: Option<Utf8PathBuf>,
    /// File to write [default: stdout].
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// Name for reports, in place of a runtime's name.
    #[arg(long, value_name = "NAME", default_value = "captured")]
    pub name: String,
    /// Its architecture [default: that of its loader, x86_64 first].
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchArg {
    /// 64-bit x86.
    #[value(name = "x86_64", alias = "x86-64")]
    X86_64,
    /// 64-bit Arm.
    #[value(name = "arm64", alias = "aarch64")]
    Arm64,
}

/// `--build-with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuildWithArg {
    /// `cargo build`, the default.
    Cargo,
    /// `cargo zigbuild`, which links against the runtime's glibc instead of this machine's.
    Zigbuild,
}

/// `--repair`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepairArg {
    /// Edit if the program starts that way, and no other library is harmed.
    Auto,
    /// Never edit: a library of the runtime that does not fit is an error.
    Never,
}

/// `--kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// `bootstrap` at the root, for a `provided.*` runtime.
    Function,
    /// Programs in `bin/`, or one `bootstrap`; unpacked to /opt.
    Layer,
    /// Programs in `extensions/`; unpacked to /opt.
    Extension,
}

/// `--libc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LibcArg {
    /// Use the runtime's.
    System,
    /// Ship that of the system that the program was built on.
    Bundle,
}

/// `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionArg {
    /// Half the time, about a twelfth larger.
    Fast,
    /// Smaller and faster than `zip -9`.
    Default,
    /// A few percent smaller, in more than ten times the time.
    Best,
}

/// `--message-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Text on stderr; stdout has the written paths.
    Human,
    /// One JSON document on stdout; `schema` prints its JSON Schema.
    Json,
    /// GitHub's workflow commands on stdout; a table and graphs at the end of $GITHUB_STEP_SUMMARY.
    Github,
    /// GitLab's code quality report on stdout.
    Gitlab,
    /// One SARIF 2.1.0 document on stdout, for code scanning.
    Sarif,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// When stderr is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_names_the_commit_if_it_is_known() {
        let (package, compressor) = (env!("CARGO_PKG_VERSION"), crate::archive::COMPRESSOR);
        assert_eq!(super::version(None), format!("{package} ({compressor})"));
        let released = super::version(Some("0123456789ab 2026-11-24"));
        assert_eq!(released, format!("{package} (0123456789ab 2026-11-24, {compressor})"));
    }
}
