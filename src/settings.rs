//! From the command line to final values. Defaults and options end here.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::Stamp;
use crate::audit::{Code, Finding, Severity};
use crate::baseline;
use crate::cli::{
    ArchArg, BaselineCommand, BundleArgs, CheckArgs, Cli, ColorArg, Command, ExplainArgs, FormArg,
    LambdaArgs, MessageFormat, OutputArgs, RepairArg, VerifyArgs,
};
use crate::command::Given;
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::nearest::nearest_first;
use crate::patterns::Patterns;
use crate::workspace::{Environment, Selection};

/// The runtime unless one is named.
pub const DEFAULT_RUNTIME: &str = "provided.al2023";

/// What the process was given beside its arguments.
#[derive(Debug, Clone)]
pub struct Context {
    /// Variables and current directory.
    pub environment: Environment,
    /// The current directory as UTF-8.
    pub current_dir: Utf8PathBuf,
    /// The clock; for ages and dates in the report only.
    pub now: SystemTime,
}

/// Everything a run does.
#[derive(Debug)]
pub struct Settings {
    /// The job.
    pub job: Job,
    /// Where the programs will run.
    pub lambda: Lambda,
    /// How the results are shown.
    pub output: Output,
}

/// The job of a run.
#[derive(Debug)]
pub enum Job {
    /// Plan, then write, show or explain.
    Bundle(Box<Bundle>),
    /// Audit archives.
    Verify {
        /// The archives.
        archives: Vec<Utf8PathBuf>,
        /// Libraries the programs open at run time.
        libs: Vec<String>,
    },
    /// Show what the tables hold.
    Baseline(BaselineJob),
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
}

/// What to read, and where to write it.
#[derive(Debug)]
pub struct Capture {
    /// The root's directory, absolute.
    pub root: Utf8PathBuf,
    /// The file to write; `None` for stdout.
    pub output: Option<Utf8PathBuf>,
    /// What the table calls its runtime.
    pub name: String,
    /// The architecture, if it is not the root's first.
    pub arch: Option<Arch>,
    /// The day to write into it, if it is not that of the run.
    pub stamp: Option<SystemTime>,
}

/// What to bundle.
#[derive(Debug)]
pub struct Bundle {
    /// The programs.
    pub programs: Programs,
    /// Libraries they open at run time.
    pub libs: Vec<String>,
    /// SONAMEs that are never shipped.
    pub exclude: Patterns,
    /// Whether copies of ELF files may be edited.
    pub may_edit: bool,
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
    /// Some of it is explained.
    Explain {
        /// The libraries; all of them if there is no pattern.
        wanted: Option<Patterns>,
        /// How.
        form: Form,
    },
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
    /// `--write-anyway`.
    pub write_anyway: bool,
}

/// Where programs will run.
#[derive(Debug, Default)]
pub struct Lambda {
    /// The runtimes to look at; more than one only for a check of all.
    pub runtimes: Vec<String>,
    /// The runtime whose findings decide the exit status.
    pub configured: String,
    /// The asserted architecture.
    pub arch: Option<Arch>,
    /// LD_LIBRARY_PATH of the function, if the user sets it.
    pub library_path: Option<String>,
    /// The file whose table takes the place of the runtime's, absolute.
    pub baseline: Option<Utf8PathBuf>,
    /// What that file says, once it was read; it names the runtimes, too.
    pub given: Option<Given>,
    /// SONAMEs that are there.
    pub assume_present: Patterns,
    /// SONAMEs that are not there.
    pub assume_missing: Patterns,
}

/// How results are shown.
#[derive(Debug)]
pub struct Output {
    /// JSON on stdout.
    pub json: bool,
    /// 0 quiet, 1 normal, 2 and more verbose.
    pub verbosity: u8,
    /// Colour; `None` for when stderr is a terminal.
    pub color: Option<bool>,
    deny: BTreeSet<Code>,
    allow: BTreeSet<Code>,
}

impl Output {
    /// The output settings of a run whose other arguments may be wrong.
    pub fn new(args: &OutputArgs, context: &Context) -> Result<Output> {
        let verbosity = if args.quiet { 0 } else { 1 + args.verbose };
        Ok(Output {
            json: args.message_format == MessageFormat::Json,
            verbosity,
            color: color(args.color, context),
            deny: codes("--deny", &args.deny)?,
            allow: codes("--allow", &args.allow)?,
        })
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
        ColorArg::Auto => variable(context, "CARGO_TERM_COLOR").unwrap_or("auto"),
    };
    match word {
        "always" => Some(true),
        "never" => Some(false),
        _ if variable(context, "NO_COLOR").is_some() => Some(false),
        _ if variable(context, "CLICOLOR_FORCE").is_some_and(|value| value != "0") => Some(true),
        _ => None,
    }
}

fn variable<'a>(context: &'a Context, name: &str) -> Option<&'a str> {
    let (_, value) = context.environment.vars.iter().find(|(key, _)| key == name)?;
    value.to_str().filter(|value| !value.is_empty())
}

fn codes(flag: &str, names: &[String]) -> Result<BTreeSet<Code>> {
    names
        .iter()
        .map(|name| {
            Code::from_name(name).ok_or_else(|| {
                let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
                Error::usage(format!("`{flag} {name}` names no finding"))
                    .help(format!("one of: {}", known.join(", ")))
            })
        })
        .collect()
}

/// Final values for a command line.
pub fn settings(cli: Cli, context: &Context) -> Result<Settings> {
    match cli.command {
        None => {
            let BundleArgs { check, output, write_anyway } = cli.bundle;
            let is_directory = output.as_ref().is_some_and(|path| path.as_str().ends_with('/'));
            if output.as_ref().is_some_and(|path| path.as_str().is_empty()) {
                return Err(
                    Error::usage("`-o` names no file").help("name a file or a directory: `-o <PATH>`")
                );
            }
            let pattern = output.map(|path| context.current_dir.join(path));
            bundle(check, Purpose::Write(Destination { pattern, is_directory, write_anyway }), context)
        }
        Some(Command::Check(check)) => bundle(check, Purpose::Check, context),
        Some(Command::Explain(ExplainArgs { lib, check, form })) => {
            let wanted = lib.map(|lib| Patterns::new("explain", &[lib])).transpose()?;
            let form = match form {
                Some(FormArg::Text) => Form::Text,
                Some(FormArg::Tree) => Form::Tree,
                Some(FormArg::Mermaid) => Form::Mermaid,
                None if wanted.is_some() => Form::Text,
                None => Form::Tree,
            };
            bundle(check, Purpose::Explain { wanted, form }, context)
        }
        Some(Command::Verify(VerifyArgs { archives, lambda, libs, output })) => {
            let lambda = self::lambda(lambda, false, context)?;
            Ok(Settings {
                job: Job::Verify { archives, libs },
                lambda,
                output: Output::new(&output, context)?,
            })
        }
        Some(Command::Baseline { command }) => {
            let output = Output::new(command.output(), context)?;
            Ok(Settings {
                job: Job::Baseline(baseline_job(command, context)?),
                lambda: Lambda::default(),
                output,
            })
        }
    }
}

fn baseline_job(command: BaselineCommand, context: &Context) -> Result<BaselineJob> {
    let arch = |arch: Option<ArchArg>| arch.map(Arch::from);
    Ok(match command {
        BaselineCommand::List(_) => BaselineJob::List,
        BaselineCommand::Show(args) => BaselineJob::Show { name: args.name, arch: arch(args.arch) },
        BaselineCommand::Diff(args) => BaselineJob::Diff { a: args.a, b: args.b, arch: arch(args.arch) },
        BaselineCommand::Capture(args) => {
            if args.name.is_empty() || args.name.contains(|char: char| char.is_control() || char == ' ') {
                return Err(Error::usage(format!("`--name {}` is not one word", args.name)));
            }
            let seconds = epoch(context)?;
            BaselineJob::Capture(Capture {
                root: context.current_dir.join(args.root),
                output: args.file.map(|path| context.current_dir.join(path)),
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

fn bundle(args: CheckArgs, purpose: Purpose, context: &Context) -> Result<Settings> {
    let CheckArgs { selection, lambda, content, output } = args;
    let absolute = |path: &Utf8PathBuf| context.current_dir.join(path);
    let may_edit = content.repair == RepairArg::Auto;
    let lambda = self::lambda(lambda, matches!(purpose, Purpose::Check), context)?;
    if matches!(purpose, Purpose::Write(_)) && !baseline::starts_bootstrap(&lambda.configured) {
        return Err(no_bootstrap(&lambda.configured));
    }
    let programs = if selection.binaries.is_empty() {
        Programs::Cargo(Box::new(Selection {
            packages: selection.packages,
            workspace: selection.workspace,
            exclude: selection.exclude,
            bins: selection.bins,
            all_bins: selection.all_bins,
            examples: selection.examples,
            targets: selection.targets,
            profile: selection.profile,
            target_dir: selection.target_dir,
            manifest_path: selection.manifest_path,
            locked: selection.locked,
            offline: selection.offline,
            frozen: selection.frozen,
            build: selection.build,
            features: selection.features,
            all_features: selection.all_features,
            no_default_features: selection.no_default_features,
        }))
    } else {
        Programs::Binaries(selection.binaries.iter().map(absolute).collect())
    };
    let job = Job::Bundle(Box::new(Bundle {
        programs,
        libs: content.libs,
        exclude: Patterns::new("--exclude-lib", &content.exclude_libs)?,
        may_edit,
        library_paths: content.library_paths.iter().map(absolute).collect(),
        cc: content.cc,
        sysroot: content.sysroot.as_ref().map(absolute),
        purpose,
        stamp: stamp(context)?,
    }));
    Ok(Settings { job, lambda, output: Output::new(&output, context)? })
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
    let Some(value) = variable(context, "SOURCE_DATE_EPOCH") else { return Ok(None) };
    value.parse().map(Some).map_err(|cause| {
        Error::usage(format!("`SOURCE_DATE_EPOCH={value}` is not a number of seconds")).because(cause)
    })
}

fn lambda(args: LambdaArgs, may_be_all: bool, context: &Context) -> Result<Lambda> {
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
    for variable in &args.env {
        match variable.split_once('=') {
            Some(("LD_LIBRARY_PATH", value)) => library_path = Some(value.to_owned()),
            Some(_) => {}
            None => {
                return Err(Error::usage(format!("`--env {variable}` has no `=`"))
                    .help(format!("`--env {variable}=VALUE`")));
            }
        }
    }
    Ok(Lambda {
        runtimes,
        configured,
        arch: args.arch.map(Arch::from),
        library_path,
        baseline: args.baseline.map(|path| context.current_dir.join(path)),
        given: None,
        assume_present: Patterns::new("--assume-present", &args.assume_present)?,
        assume_missing: Patterns::new("--assume-missing", &args.assume_missing)?,
    })
}

/// The output flags of any command line.
pub fn output_args(cli: &Cli) -> &OutputArgs {
    match &cli.command {
        None => &cli.bundle.check.output,
        Some(Command::Check(check)) => &check.output,
        Some(Command::Explain(explain)) => &explain.check.output,
        Some(Command::Verify(verify)) => &verify.output,
        Some(Command::Baseline { command }) => command.output(),
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
