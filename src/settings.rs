//! From the command line, variables and manifests to final values. Defaults and options end here.
//!
//! [`table`] has what settings there are, `sources` what each source says of them; [`resolve`] asks the
//! sources in their order, once for each package, and turns each answer into [`Settings`].

pub mod table;

mod sources;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Compression, Stamp};
use crate::audit::{Code, Finding, Severity};
use crate::baseline::{self, DEFAULT_RUNTIME};
use crate::cli::{
    ArchArg, BaselineCommand, BundleArgs, CheckArgs, Cli, ColorArg, Command, CompressionArg, ExplainArgs,
    FormArg, FormatArg, KindArg, LambdaArgs, LibcArg, MessageFormat, OutputArgs, RepairArg, SelectionArgs,
    SymlinksArg, VerifyArgs,
};
use crate::elf::Arch;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::include::{Include, Selector};
use crate::layout::{BundleKind, MOST_LAYERS};
use crate::nearest::nearest_first;
use crate::patterns::Patterns;
use crate::plan::LibcSource;
use crate::workspace::{self, Chosen, Selection};

pub use sources::{CommandLine, Origin, Setting};
use sources::{blame, cargo_lambda, manifest, merge, variables};
use table::Scope;

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
    pub stamp: Stamp,
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

/// How results are shown.
#[derive(Debug, Clone)]
pub struct Output {
    /// What the report is written as. Tables of runtimes and settings are text or JSON.
    pub format: MessageFormat,
    /// 0 quiet, 1 normal, 2 and more verbose.
    pub verbosity: u8,
    /// Colour; `None` for when stderr is a terminal.
    pub color: Option<bool>,
    /// Whether a bar may show what a run that takes long is at, on a terminal.
    pub may_show_progress: bool,
    deny: BTreeSet<Code>,
    allow: BTreeSet<Code>,
}

impl Output {
    /// The output settings of a run whose other arguments may be wrong.
    pub fn new(args: &OutputArgs, context: &Context) -> Result<Output> {
        let verbosity = verbosity(args);
        Ok(Output {
            format: args.message_format,
            verbosity,
            color: color(args.color, context),
            may_show_progress: may_show_progress(context),
            deny: codes("--deny", &args.deny)?,
            allow: codes("--allow", &args.allow)?,
        })
    }

    /// JSON on stdout.
    pub fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// One document on stdout, and nothing else.
    pub fn is_document(&self) -> bool {
        matches!(self.format, MessageFormat::Json | MessageFormat::Sarif)
    }

    /// Moves severities as `--deny` and `--allow` say. An error stays one.
    pub fn weigh(&self, findings: &mut [Finding]) {
        for finding in findings {
            if self.deny.contains(&finding.code) {
                finding.severity = Severity::Error;
            } else if self.allow.contains(&finding.code) && finding.severity == Severity::Warning {
                finding.severity = Severity::Note;
            }
        }
    }
}

/// Flag, then CARGO_TERM_COLOR, then NO_COLOR and CLICOLOR_FORCE, then the terminal.
fn color(arg: ColorArg, context: &Context) -> Option<bool> {
    let word = match arg {
        ColorArg::Always => "always",
        ColorArg::Never => "never",
        ColorArg::Auto => context.environment.text("CARGO_TERM_COLOR").unwrap_or("auto"),
    };
    match word {
        "always" => Some(true),
        "never" => Some(false),
        _ if context.environment.text("NO_COLOR").is_some() => Some(false),
        _ if context.environment.text("CLICOLOR_FORCE").is_some_and(|value| value != "0") => Some(true),
        _ => None,
    }
}

/// As cargo decides it, but for the terminal: CARGO_TERM_PROGRESS_WHEN, else not in CI and not on a dumb terminal.
fn may_show_progress(context: &Context) -> bool {
    match context.environment.text("CARGO_TERM_PROGRESS_WHEN") {
        Some("never") => false,
        Some("always") => true,
        _ => context.environment.text("CI").is_none() && context.environment.text("TERM") != Some("dumb"),
    }
}

fn codes(flag: &str, names: &[String]) -> Result<BTreeSet<Code>> {
    names.iter().map(|name| code(flag, name)).collect()
}

fn code(flag: &str, name: &str) -> Result<Code> {
    Code::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        Error::usage(format!("`{flag} {name}` names no finding"))
            .help(format!("one of: {}", known.join(", ")))
    })
}

/// The output settings that flags and variables name: for what is said before any manifest is read.
///
/// # Errors
///
/// A value that is wrong; [`resolve`] says so, too.
pub fn first_output(line: &CommandLine, context: &Context) -> Result<Output> {
    let (cli, _) = merge(line, &[&variables(context)?])?;
    Output::new(output_args(&cli), context)
}

/// Final values for each package whose programs are selected, from all sources.
///
/// Manifests are asked where cargo is: not for `--binary` and not for `verify`.
///
/// # Errors
///
/// A source that says something unknown or wrong, packages that do not agree on what a run has once, and what
/// keeps cargo from reading the project.
pub fn resolve<'a>(line: &CommandLine, context: &'a Context) -> Result<Resolved<'a>> {
    let variables = variables(context)?;
    let (cli, values) = merge(line, &[&variables])?;
    let is_config = matches!(cli.command, Some(Command::Config(_)));
    let with_packages = |packages| if is_config { Job::Config(packages) } else { Job::Bundle(packages) };
    let selection = cargo_selection(&cli);
    // What is wrong on the command line alone is said without asking cargo.
    let alone = match settings(cli, context).map_err(|error| blame(error, &values))? {
        Single::Package(settings) => settings,
        Single::Other(job, output) => return Ok(Resolved { job: *job, output }),
    };
    let output = alone.output.clone();
    let Some(selection) = selection else {
        let first = PackageSettings { name: None, directory: Utf8PathBuf::new(), settings: *alone, values };
        let packages = Packages { first, rest: Vec::new(), project: None };
        return Ok(Resolved { job: with_packages(packages), output });
    };
    let project = workspace::choose(&selection, &context.environment)?;
    let below = manifest(&project.workspace(), context)?;
    let mut packages = Vec::new();
    for package in project.packages() {
        let own = manifest(&package, context)?;
        let theirs = [cargo_lambda(&package, context), cargo_lambda(&project.workspace(), context)];
        let (cli, values) = merge(line, &[&variables, &own, &below, &theirs[0], &theirs[1]])?;
        // The command line is the same for all of them, and with it what is done.
        let Single::Package(settings) = settings(cli, context).map_err(|error| blame(error, &values))? else {
            continue;
        };
        packages.push(PackageSettings {
            name: package.package.map(str::to_owned),
            directory: package.directory.to_owned(),
            settings: *settings,
            values,
        });
    }
    must_agree(&packages)?;
    let mut packages = packages.into_iter();
    let alone = || PackageSettings { name: None, directory: Utf8PathBuf::new(), settings: *alone, values };
    let first = packages.next().unwrap_or_else(alone);
    let output = first.settings.output.clone();
    let packages = Packages { first, rest: packages.collect(), project: Some(project) };
    Ok(Resolved { job: with_packages(packages), output })
}

/// Holds packages to one value of what a run has once.
fn must_agree(packages: &[PackageSettings]) -> Result<()> {
    let Some((first, rest)) = packages.split_first() else { return Ok(()) };
    for other in rest {
        let pairs = first.values.iter().zip(&other.values);
        let differing = pairs
            .filter(|(one, _)| one.row.scope == Scope::Run)
            .find(|(one, other)| one.values != other.values);
        if let Some((one, _)) = differing {
            let name = |package: &PackageSettings| package.name.clone().unwrap_or_default();
            let key = &one.row.name;
            return Err(Error::new(format!(
                "packages `{}` and `{}` do not agree on `{key}`, of which a run has one",
                name(first),
                name(other)
            ))
            .help(format!("say `--{key}`, or select packages that agree with `-p`")));
        }
    }
    Ok(())
}

/// What cargo is asked for; `None` for a run without cargo.
fn cargo_selection(cli: &Cli) -> Option<Selection> {
    let check = match &cli.command {
        None => &cli.bundle.check,
        Some(Command::Check(check) | Command::Size(check)) => check,
        Some(Command::Explain(ExplainArgs { finding: Some(_), .. })) => return None,
        Some(Command::Explain(explain)) => &explain.check,
        Some(Command::Config(bundle)) => &bundle.check,
        Some(Command::Verify(_) | Command::Baseline { .. } | Command::Print(_)) => return None,
    };
    check.selection.binaries.is_empty().then(|| selection(&check.selection, &check.output))
}

/// What one command line comes to.
enum Single {
    /// Something with the programs of a package.
    Package(Box<Settings>),
    /// Something else.
    Other(Box<Job<'static>>, Output),
}

/// Final values for a command line that says everything.
fn settings(cli: Cli, context: &Context) -> Result<Single> {
    let package = |settings| Ok(Single::Package(Box::new(settings)));
    let other = |job, output| Ok(Single::Other(Box::new(job), output));
    match cli.command {
        // `config` is held to the same rules as the run that it tells of.
        None => package(written(cli.bundle, context)?),
        Some(Command::Config(bundle)) => package(written(bundle, context)?),
        Some(Command::Check(check)) => package(bundle(check, Purpose::Check, context)?),
        Some(Command::Size(check)) => package(bundle(check, Purpose::Size, context)?),
        Some(Command::Explain(ExplainArgs { finding: Some(name), check, .. })) => {
            let settings = bundle(check, Purpose::Check, context)?;
            other(Job::Page(code("--finding", &name)?), settings.output)
        }
        Some(Command::Explain(ExplainArgs { lib, check, form, finding: None })) => {
            let wanted = lib.map(|lib| Patterns::new("explain", &[lib])).transpose()?;
            let form = match form {
                Some(FormArg::Text) => Form::Text,
                Some(FormArg::Tree) => Form::Tree,
                Some(FormArg::Mermaid) => Form::Mermaid,
                None if wanted.is_some() => Form::Text,
                None => Form::Tree,
            };
            package(bundle(check, Purpose::Explain(Explain { wanted, form }), context)?)
        }
        Some(Command::Verify(VerifyArgs {
            archives,
            template,
            lambda,
            libs,
            attached_layers,
            kind,
            output,
        })) => {
            let kind = kind.map(bundle_kind);
            let target = target(lambda, false, context)?;
            let job = Job::Verify(Verify { target, archives, template, libs, attached_layers, kind });
            other(job, Output::new(&output, context)?)
        }
        Some(Command::Print(_)) => unreachable!("it is printed without settings"),
        Some(Command::Baseline { command }) => {
            let output = Output::new(command.output(), context)?;
            other(Job::Baseline(baseline_job(command, context)?), output)
        }
    }
}

fn baseline_job(command: BaselineCommand, context: &Context) -> Result<BaselineJob> {
    let arch = |arch: Option<ArchArg>| arch.map(Arch::from);
    Ok(match command {
        BaselineCommand::List(_) => BaselineJob::List,
        BaselineCommand::Probe(_) => BaselineJob::Probe,
        BaselineCommand::Show(args) => BaselineJob::Show { name: args.name, arch: arch(args.arch) },
        BaselineCommand::Diff(args) => BaselineJob::Diff { a: args.a, b: args.b, arch: arch(args.arch) },
        BaselineCommand::Capture(args) => {
            if args.name.is_empty() || args.name.contains(|char: char| char.is_control() || char == ' ') {
                return Err(Error::usage(format!("`--name {}` is not one word", args.name)));
            }
            let seconds = epoch(context)?;
            let at = |path: Utf8PathBuf| context.environment.current_dir.join(path);
            BaselineJob::Capture(Capture {
                from: match (args.root, args.from_probe) {
                    (_, Some(file)) => CaptureFrom::Probe(at(file)),
                    (Some(root), None) => CaptureFrom::Root(at(root)),
                    (None, None) => unreachable!("one of the two is required"),
                },
                output: args.file.map(|path| context.environment.current_dir.join(path)),
                name: args.name,
                arch: arch(args.arch),
                stamp: seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
            })
        }
    })
}

impl From<ArchArg> for Arch {
    fn from(arch: ArchArg) -> Arch {
        match arch {
            ArchArg::X86_64 => Arch::X86_64,
            ArchArg::Arm64 => Arch::Arm64,
        }
    }
}

/// The settings of a run that writes bundles.
fn written(args: BundleArgs, context: &Context) -> Result<Settings> {
    let BundleArgs { check, output, format, compression, force, write_anyway, sbom, licenses } = args;
    let compression = match compression {
        CompressionArg::Fast => Compression::Fast,
        CompressionArg::Default => Compression::Default,
        CompressionArg::Best => Compression::Best,
    };
    if output.as_ref().is_some_and(|path| path.as_str().is_empty()) {
        return Err(Error::usage("`-o` names no file").help("name a file or a directory: `-o <PATH>`"));
    }
    let is_directory = output.as_ref().is_some_and(|path| path.as_str().ends_with('/'));
    let format = match format {
        FormatArg::Zip => Format::Zip,
        FormatArg::Dir => Format::Dir,
    };
    let absolute = |path: Utf8PathBuf| context.environment.current_dir.join(path);
    let destination = Destination {
        pattern: output.map(absolute),
        is_directory,
        format,
        force,
        write_anyway,
        compression,
        sbom: sbom.map(absolute),
        licenses: licenses.map(absolute),
    };
    bundle(check, Purpose::Write(destination), context)
}

fn verbosity(args: &OutputArgs) -> u8 {
    if args.quiet { 0 } else { args.verbose.saturating_add(1) }
}

fn selection(args: &SelectionArgs, output: &OutputArgs) -> Selection {
    let args = args.clone();
    Selection {
        packages: args.packages,
        workspace: args.workspace,
        exclude: args.exclude,
        bins: args.bins,
        all_bins: args.all_bins,
        examples: args.examples,
        targets: args.targets,
        profile: args.profile,
        target_dir: args.target_dir,
        manifest_path: args.manifest_path,
        metadata_path: args.metadata_path,
        locked: args.locked,
        offline: args.offline,
        frozen: args.frozen,
        build: args.build,
        features: args.features,
        all_features: args.all_features,
        no_default_features: args.no_default_features,
        verbosity: verbosity(output),
    }
}

fn bundle(args: CheckArgs, purpose: Purpose, context: &Context) -> Result<Settings> {
    let CheckArgs { selection, lambda, content, output } = args;
    let absolute = |path: &Utf8PathBuf| context.environment.current_dir.join(path);
    let may_edit = content.repair != RepairArg::Never;
    let kind = bundle_kind(content.kind);
    let is_function = kind == BundleKind::Function;
    let out_of_place = [
        (
            !is_function && !content.attached_layers.is_empty(),
            "--attached-layer",
            "layers are attached to functions",
        ),
        (!is_function && content.split_layer.is_some(), "--split-layer", "it splits functions"),
        (
            content.split_layer.is_some() && content.attached_layers.len() >= MOST_LAYERS,
            "--split-layer",
            "as many layers are attached as Lambda takes",
        ),
        (
            content.libraries_only && content.split_layer.is_some(),
            "--split-layer",
            "it writes the functions, too",
        ),
        (
            content.libraries_only && content.libc == LibcArg::Bundle,
            "--libraries-only",
            "the program must be edited to use its own C library",
        ),
    ];
    if let Some((_, flag, why)) = out_of_place.iter().find(|(is, ..)| *is) {
        return Err(Error::usage(format!("`{flag}` does not go with the other flags: {why}"))
            .help(format!("leave out `{flag}`, or see `cargo lambda-bundle --help`")));
    }
    let libc = match content.libc {
        LibcArg::System => LibcSource::System,
        LibcArg::Bundle => LibcSource::Bundle,
    };
    if !may_edit && (libc == LibcSource::Bundle || !content.bundle_libs.is_empty()) {
        let flag = if libc == LibcSource::Bundle { "--libc bundle" } else { "--bundle-lib" };
        return Err(Error::usage(format!(
            "`{flag}` edits copies of the ELF files, which `--repair never` rules out"
        ))
        .help("leave out `--repair never`"));
    }
    if let Some(part) = content.bundle_libs.iter().find(|name| baseline::is_glibc_part(name)) {
        return Err(Error::usage(format!(
            "`--bundle-lib {part}` is a part of glibc, which comes whole or not at all"
        ))
        .help("bundle all of it: `--libc bundle`"));
    }
    let target = target(lambda, matches!(purpose, Purpose::Check), context)?;
    let is_written = matches!(purpose, Purpose::Write(_));
    if is_written && is_function && !baseline::starts_bootstrap(&target.configured) {
        return Err(no_bootstrap(&target.configured));
    }
    let programs = if selection.binaries.is_empty() {
        Programs::Cargo(Box::new(self::selection(&selection, &output)))
    } else {
        Programs::Binaries(selection.binaries.iter().map(absolute).collect())
    };
    let bundle = BundleSettings {
        kind,
        libraries_only: content.libraries_only,
        attached_layers: content.attached_layers.iter().map(absolute).collect(),
        split_layer: content.split_layer,
        programs,
        libs: content.libs,
        includes: content.includes.into_iter().map(|it| include(it, context)).collect::<Result<_>>()?,
        keep_links: content.symlinks == SymlinksArg::Keep,
        exclude: Patterns::new("--exclude-lib", &content.exclude_libs)?,
        pin: Patterns::new("--bundle-lib", &content.bundle_libs)?,
        may_edit: may_edit && !content.libraries_only,
        libc,
        strip: content.strip,
        debug_symbols: content.debug_symbols.as_ref().map(absolute),
        library_paths: content.library_paths.iter().map(absolute).collect(),
        cc: content.cc,
        sysroot: content.sysroot.as_ref().map(absolute),
        purpose,
        stamp: stamp(context)?,
        epoch: epoch(context)?,
    };
    Ok(Settings { bundle, target, output: Output::new(&output, context)? })
}

/// What an include of the command line says, or one of a manifest, which has its directory.
fn include(include: Include, context: &Context) -> Result<Selector> {
    Selector::new(&Include { directory: context.environment.current_dir.join(&include.directory), ..include })
}

/// A function of a language runtime is no program of its own.
fn no_bootstrap(runtime: &str) -> Error {
    let known: Vec<&str> =
        baseline::names().into_iter().filter(|name| baseline::starts_bootstrap(name)).collect();
    Error::usage(format!(
        "`--runtime {runtime}` starts no `bootstrap`, so there is no function to bundle for it"
    ))
    .help(format!("name a runtime that does: {}", known.join(", ")))
}

fn stamp(context: &Context) -> Result<Stamp> {
    epoch(context)?.map_or(Ok(Stamp::default()), Stamp::from_epoch)
}

/// SOURCE_DATE_EPOCH, in seconds.
fn epoch(context: &Context) -> Result<Option<u64>> {
    let Some(value) = context.environment.text("SOURCE_DATE_EPOCH") else { return Ok(None) };
    value.parse().map(Some).map_err(|cause| {
        Error::usage(format!("`SOURCE_DATE_EPOCH={value}` is not a number of seconds")).because(cause)
    })
}

fn target(args: LambdaArgs, may_be_all: bool, context: &Context) -> Result<Target> {
    let known = baseline::names();
    let runtimes = match args.runtime.as_str() {
        "all" if may_be_all => baseline::runtimes().iter().rev().map(|name| (*name).to_owned()).collect(),
        "all" => {
            return Err(Error::usage("`--runtime all` only goes with `check`")
                .help("name the runtime the function will have, such as `--runtime provided.al2023`"));
        }
        name if known.contains(&name) => vec![name.to_owned()],
        name => {
            let all = if may_be_all { ", all" } else { "" };
            return Err(Error::usage(format!("`--runtime {name}` is not a known runtime"))
                .help(format!("one of: {}{all}", nearest_first(name, &known).join(", "))));
        }
    };
    let configured = if args.runtime == "all" { DEFAULT_RUNTIME.to_owned() } else { args.runtime };
    let mut library_path = None;
    let mut binds_now = false;
    let mut preload = Vec::new();
    for variable in &args.env {
        match variable.split_once('=') {
            Some(("LD_LIBRARY_PATH", value)) => library_path = Some(value.to_owned()),
            // Source: ld.so(8).
            Some(("LD_PRELOAD", value)) => {
                let names = value.split([' ', ':']).filter(|name| !name.is_empty());
                preload = names.map(str::to_owned).collect();
            }
            // Source: ld.so(8): any value but the empty one counts.
            Some(("LD_BIND_NOW", value)) => binds_now = !value.is_empty(),
            Some(_) => {}
            None => {
                return Err(Error::usage(format!("`--env {variable}` has no `=`"))
                    .help(format!("`--env {variable}=VALUE`")));
            }
        }
    }
    Ok(Target {
        runtimes,
        configured,
        arch: args.arch.map(Arch::from),
        library_path,
        binds_now,
        preload,
        baseline: args.baseline.map(|path| context.environment.current_dir.join(path)),
        assume_present: Patterns::new("--assume-present", &args.assume_present)?,
        assume_missing: Patterns::new("--assume-missing", &args.assume_missing)?,
    })
}

fn bundle_kind(arg: KindArg) -> BundleKind {
    match arg {
        KindArg::Function => BundleKind::Function,
        KindArg::Layer => BundleKind::Layer,
        KindArg::Extension => BundleKind::Extension,
    }
}

/// The output flags of any command line.
fn output_args(cli: &Cli) -> &OutputArgs {
    match &cli.command {
        None => &cli.bundle.check.output,
        Some(Command::Check(check) | Command::Size(check)) => &check.output,
        Some(Command::Explain(explain)) => &explain.check.output,
        Some(Command::Verify(verify)) => &verify.output,
        Some(Command::Config(config)) => &config.check.output,
        Some(Command::Baseline { command }) => command.output(),
        Some(Command::Print(_)) => unreachable!("it is printed without settings"),
    }
}

/// Fills the placeholders of `-o`.
pub fn fill(pattern: &Utf8Path, values: &[(&str, &str)]) -> Utf8PathBuf {
    let mut text = pattern.as_str().to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text.into()
}
