//! The command line, as it is typed. What it means together is for [`crate::settings`].

pub mod documents;

use std::sync::LazyLock;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::include::Include;

/// Check a program against AWS Lambda's libraries and write a ZIP that starts there.
///
/// Without a subcommand it writes one bundle per selected program to
/// `target/lambda-bundle/<bin>/bootstrap.zip`, or, if anything would keep the program from starting, says
/// what and writes nothing.
#[derive(Debug, Parser)]
#[command(
    name = "cargo lambda-bundle",
    bin_name = "cargo lambda-bundle",
    version = VERSION.as_str(),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// What to do, if not to bundle.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of bundling.
    #[command(flatten)]
    pub bundle: BundleArgs,
}

/// `LAMBDA_BUNDLE_COMMIT` is the commit and its date; `.ci/release` sets it. A build without it is of a package or of
/// somebody's working tree, and depends on no repository.
static VERSION: LazyLock<String> = LazyLock::new(|| version(option_env!("LAMBDA_BUNDLE_COMMIT")));

/// With the compressor, because it decides the bytes of an archive, too.
fn version(commit: Option<&str>) -> String {
    let known = commit.into_iter().chain([crate::archive::COMPRESSOR]).collect::<Vec<_>>();
    format!("{} ({})", env!("CARGO_PKG_VERSION"), known.join(", "))
}

const EXAMPLES: &str = "\
Examples:
  cargo lambda-bundle --build                      build the package and bundle its program
  cargo lambda-bundle check --bin orders           say what would happen, write nothing
  cargo lambda-bundle --binary ./server -o app.zip bundle a program that cargo did not build
  cargo lambda-bundle explain libssl.so.3          why is it shipped, or not
  cargo lambda-bundle verify bootstrap.zip         audit a ZIP made by any tool

Every flag that is no selection has a variable (CARGO_LAMBDA_BUNDLE_RUNTIME) and a key in
[package.metadata.lambda-bundle] and [workspace.metadata.lambda-bundle]; `config` shows them.

Exit status: 0 done, 1 findings of severity error, 2 wrong usage, 101 could not answer.";

/// What to do beside bundling.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what bundling would do and what would break; write nothing.
    Check(CheckArgs),
    /// Say why a library is shipped, used or missing, or what a finding means; else show the closure as a tree.
    Explain(ExplainArgs),
    /// Show what takes the room: libraries, the program's sections, debug information; write nothing.
    Size(CheckArgs),
    /// Audit ZIP archives made by any tool.
    Verify(VerifyArgs),
    /// Print every setting of the selected packages, and where its value is from.
    Config(BundleArgs),
    /// Show what is known of the runtimes: what each of them holds, from where, and how old that is.
    Baseline {
        /// What to show.
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// What the tool says of itself.
    #[command(flatten)]
    Print(PrintCommand),
}

/// What is printed without asking for any settings.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum PrintCommand {
    /// Print the JSON Schema of what `--message-format json` prints.
    Schema,
    /// Print completions of `cargo-lambda-bundle` for a shell.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff.
    Man,
}

/// What to do with the tables of runtimes.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// List the runtimes.
    List(BaselineListArgs),
    /// Show one in full: its sources, its libraries and their version nodes.
    Show(BaselineShowArgs),
    /// Show what two differ in.
    Diff(BaselineDiffArgs),
    /// Read a root file system (an unpacked image, `/` inside a container), or what a probe listed on Lambda, into
    /// a file for `--baseline`.
    Capture(BaselineCaptureArgs),
    /// Print a `bootstrap` script that, run once as a function of your own, lists what its runtime has; how is said
    /// at its top.
    Probe(BaselineListArgs),
}

impl BaselineCommand {
    /// The output flags of any of them.
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

/// The flags of `baseline list` and `baseline probe`.
#[derive(Debug, Args)]
pub struct BaselineListArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The flags of `baseline show`.
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

/// The flags of `baseline diff`.
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

/// The flags of bundling.
#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,

    /// Where to write: a file, or a directory that gets `bootstrap.zip`; with `--format dir`, the directory. May
    /// hold {bin}, {package}, {arch} and {target}.
    #[arg(short, long, value_name = "PATH", help_heading = "Output")]
    pub output: Option<Utf8PathBuf>,

    /// What to write: a ZIP archive, or its contents as files in a directory.
    #[arg(long, value_name = "FORMAT", default_value = "zip", help_heading = "Output")]
    pub format: FormatArg,

    /// How hard to compress. The bytes depend on it, not on the number of cores.
    #[arg(long, value_name = "HOW", default_value = "default", help_heading = "Output")]
    pub compression: CompressionArg,

    /// Write the bundle even though the one that is there is what would be written.
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// Write what the bundle ships to this file, too, as a CycloneDX 1.6 document. May hold {bin}, {package},
    /// {arch} and {target}.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub sbom: Option<Utf8PathBuf>,

    /// Write the licence texts of the libraries that the bundle ships to this file, too, as this machine's package
    /// documentation has them. May hold {bin}, {package}, {arch} and {target}.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub licenses: Option<Utf8PathBuf>,

    /// Write the bundle even though it would not start; the exit status stays 1.
    #[arg(long, help_heading = "Output")]
    pub write_anyway: bool,
}

/// What bundling and checking have in common.
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

/// Which programs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Package to take programs from (repeatable).
    #[arg(short, long = "package", value_name = "SPEC")]
    pub packages: Vec<String>,
    /// Take programs from all packages of the workspace.
    #[arg(long, alias = "all")]
    pub workspace: bool,
    /// Package to leave out (repeatable; with `--workspace`).
    #[arg(long, value_name = "SPEC")]
    pub exclude: Vec<String>,
    /// Binary to bundle (repeatable).
    #[arg(long = "bin", value_name = "NAME")]
    pub bins: Vec<String>,
    /// Bundle all binaries.
    #[arg(long = "bins")]
    pub all_bins: bool,
    /// Example to bundle (repeatable).
    #[arg(long = "example", value_name = "NAME")]
    pub examples: Vec<String>,
    /// Target triple the program was built for (repeatable).
    #[arg(long = "target", value_name = "TRIPLE")]
    pub targets: Vec<String>,
    /// Profile the program was built with [default: release].
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// The release profile, which is the default.
    #[arg(short, long, conflicts_with = "profile")]
    pub release: bool,
    /// Directory of build results.
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<Utf8PathBuf>,
    /// Path to Cargo.toml.
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,
    /// File with what `cargo metadata --format-version 1` prints here, in place of running cargo.
    #[arg(long, value_name = "FILE", conflicts_with = "manifest_path")]
    pub metadata_path: Option<Utf8PathBuf>,
    /// Require that Cargo.lock is up to date.
    #[arg(long)]
    pub locked: bool,
    /// Run cargo without network access.
    #[arg(long)]
    pub offline: bool,
    /// The same as `--locked --offline`.
    #[arg(long)]
    pub frozen: bool,
    /// Run `cargo build` first and take the programs it names.
    #[arg(long, conflicts_with = "binaries")]
    pub build: bool,
    /// Features for `--build`.
    #[arg(short = 'F', long, value_name = "FEATURES", requires = "build")]
    pub features: Vec<String>,
    /// All features, for `--build`.
    #[arg(long, requires = "build")]
    pub all_features: bool,
    /// No default features, for `--build`.
    #[arg(long, requires = "build")]
    pub no_default_features: bool,
    /// Program from any toolchain, by its path; needs no cargo project (repeatable).
    #[arg(
        long = "binary",
        value_name = "PATH",
        conflicts_with_all = [
            "packages", "workspace", "exclude", "bins", "all_bins", "examples", "targets", "profile", "release",
            "target_dir", "manifest_path", "metadata_path"
        ]
    )]
    pub binaries: Vec<Utf8PathBuf>,
}

/// Where it will run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lambda")]
pub struct LambdaArgs {
    /// Lambda runtime: provided.al2023, provided.al2, provided, a base image (image:al2023, image:al2), a
    /// language runtime for layers and extensions (nodejs22.x, python3.13, ...), or all (check only).
    #[arg(long, value_name = "NAME", default_value = crate::baseline::DEFAULT_RUNTIME)]
    pub runtime: String,
    /// File with what the system has, in place of a runtime's table: one that `baseline capture` wrote, or a
    /// plain list of library paths, one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "runtime")]
    pub baseline: Option<Utf8PathBuf>,
    /// Architecture of the function; the program decides, this asserts it.
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,
    /// SONAMEs that the runtime has, whatever the tables say (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub assume_present: Vec<String>,
    /// SONAMEs that the runtime lacks, whatever the tables say (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub assume_missing: Vec<String>,
    /// Environment variable of the function; LD_LIBRARY_PATH decides which libraries load.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
}

/// What goes into it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub struct ContentArgs {
    /// What to make: a function, a layer with the program and its libraries, or an extension. Several
    /// extensions or programs of layers that go to one `-o FILE` share the archive.
    #[arg(long, value_name = "KIND", default_value = "function")]
    pub kind: KindArg,
    /// The libraries alone, for a layer or a directory.
    #[arg(long)]
    pub libraries_only: bool,
    /// Layer that is attached to the function, by its ZIP: what it has is not shipped (repeatable).
    #[arg(long = "attached-layer", value_name = "ZIP")]
    pub attached_layers: Vec<Utf8PathBuf>,
    /// Put the libraries that several of the functions ship into a layer of this name, beside the functions.
    #[arg(long, value_name = "NAME")]
    pub split_layer: Option<String>,
    /// Library the program opens at run time, by its SONAME (repeatable).
    #[arg(long = "lib", value_name = "SONAME")]
    pub libs: Vec<String>,
    /// File, directory or pattern of files to put into the bundle, and where (repeatable).
    #[arg(long = "include", value_name = "SRC[=DEST]")]
    pub includes: Vec<Include>,
    /// What becomes of symbolic links among the included files.
    #[arg(long, value_name = "HOW", default_value = "follow")]
    pub symlinks: SymlinksArg,
    /// SONAMEs that are never shipped (glob, repeatable).
    #[arg(long = "exclude-lib", value_name = "GLOB")]
    pub exclude_libs: Vec<String>,
    /// SONAMEs whose copy of this machine is used, though the runtime has one that would do (glob, repeatable).
    #[arg(long = "bundle-lib", value_name = "GLOB")]
    pub bundle_libs: Vec<String>,
    /// Whose C library the program uses: the runtime's, or this machine's, shipped with all that uses it.
    #[arg(long, value_name = "WHOSE", default_value = "system")]
    pub libc: LibcArg,
    /// Whether copies of ELF files may be edited so that a library that fits displaces the runtime's own.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub repair: RepairArg,
    /// Leave debug information out of the bundle's copies, with the target's `strip` or `llvm-strip`; names of
    /// functions stay, for backtraces.
    #[arg(long)]
    pub strip: bool,
    /// Keep what `--strip` takes out as `<name>.debug` in this directory, for debuggers. May hold {bin},
    /// {package}, {arch} and {target}.
    #[arg(long, value_name = "DIR", requires = "strip")]
    pub debug_symbols: Option<Utf8PathBuf>,
    /// Directory to look for libraries in, before the system's (repeatable).
    #[arg(long = "library-path", value_name = "DIR")]
    pub library_paths: Vec<Utf8PathBuf>,
    /// C compiler the program was linked with; its library directories are looked in, too.
    #[arg(long, value_name = "CC")]
    pub cc: Option<String>,
    /// Root of the system the program was built for, in place of this machine's.
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<Utf8PathBuf>,
}

/// How results are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the report: text on stderr, or that and GitHub's annotations, or one document on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub message_format: MessageFormat,
    /// Findings with this code become errors (repeatable).
    #[arg(long, value_name = "CODE")]
    pub deny: Vec<String>,
    /// Warnings with this code become notes (repeatable).
    #[arg(long, value_name = "CODE")]
    pub allow: Vec<String>,
    /// Print only findings and paths, and with `--build` let cargo be quiet.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: notes, chains, symbols; twice, with `--build`, what cargo runs.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colour: auto, always, never.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorArg,
}

/// The flags of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The library, by the name that is needed (glob).
    #[arg(value_name = "LIB")]
    pub lib: Option<String>,
    /// Form of the answer [default: text with LIB, tree without].
    #[arg(long, value_name = "FORM")]
    pub form: Option<FormArg>,
    /// Print what a kind of finding means, why Lambda does that, and what to do; no program is looked at.
    #[arg(long, value_name = "CODE", conflicts_with = "lib")]
    pub finding: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,
}

/// `--form`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// Both searches, step by step.
    Text,
    /// A tree of needs, as it loads on Lambda.
    Tree,
    /// A Mermaid graph, for a pull request.
    Mermaid,
}

/// The flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The archives [default with --template: those that it names].
    #[arg(required_unless_present = "template", value_name = "ZIP")]
    pub archives: Vec<Utf8PathBuf>,
    /// Deployment template whose functions must be for what the archives hold: SAM or CloudFormation (YAML, JSON, CDK's
    /// output), or what `terraform show -json` prints.
    #[arg(long, value_name = "FILE", help_heading = "Content")]
    pub template: Option<Utf8PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lambda: LambdaArgs,
    /// Library the program opens at run time, by its SONAME (repeatable).
    #[arg(long = "lib", value_name = "SONAME", help_heading = "Content")]
    pub libs: Vec<String>,
    /// Layer that is attached to the function, by its ZIP, in the order of attachment (repeatable).
    #[arg(long = "attached-layer", value_name = "ZIP", help_heading = "Lambda")]
    pub attached_layers: Vec<Utf8PathBuf>,
    /// What the archive is [default: an extension if it has only those, else a function].
    #[arg(long, value_name = "KIND", help_heading = "Content")]
    pub kind: Option<KindArg>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// The flags of `baseline capture`.
#[derive(Debug, Args)]
pub struct BaselineCaptureArgs {
    /// Directory of the root file system.
    #[arg(long, value_name = "DIR", required_unless_present = "from_probe")]
    pub root: Option<Utf8PathBuf>,
    /// What the script of `baseline probe` answered, in place of a root.
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    pub from_probe: Option<Utf8PathBuf>,
    /// File to write [default: stdout].
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// What reports call it, in place of a runtime's name.
    #[arg(long, value_name = "NAME", default_value = "captured")]
    pub name: String,
    /// Its architecture [default: that of the loader it has, x86_64 first].
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

/// `--symlinks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SymlinksArg {
    /// The bundle has what they lead to.
    Follow,
    /// The bundle has the links; they must lead to what the same include brings.
    Keep,
}

/// `--repair`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepairArg {
    /// Where that makes the program start, and hurts no other library.
    Auto,
    /// Never: a library of the runtime that does not fit is an error.
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
    /// The runtime's.
    System,
    /// The one of the system that the program was built on.
    Bundle,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// An archive to upload.
    Zip,
    /// The same tree as files: for an image, for `sam build`, to look at.
    Dir,
}

/// `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionArg {
    /// Half the time, larger by about a twelfth.
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
