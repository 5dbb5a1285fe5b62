//! From the command line to final values. Defaults and options end here.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Compression, Stamp};
use crate::audit::{Code, Finding, Severity};
use crate::baseline;
use crate::cli::{
    ArchArg, BundleArgs, CheckArgs, Cli, ColorArg, Command, CompressionArg, ExplainArgs, FormArg, LambdaArgs,
    MessageFormat, OutputArgs, RepairArg, VerifyArgs,
};
use crate::elf::Arch;
use crate::error::{Error, Result};
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
    /// How many threads may work at once.
    pub threads: NonZeroUsize,
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
    /// How hard to compress.
    pub compression: Compression,
}

/// Where programs will run.
#[derive(Debug)]
pub struct Lambda {
    /// The runtimes to look at; more than one only for a check of all.
    pub runtimes: Vec<String>,
    /// The runtime whose findings decide the exit status.
    pub configured: String,
    /// The asserted architecture.
    pub arch: Option<Arch>,
    /// LD_LIBRARY_PATH of the function, if the user sets it.
    pub library_path: Option<String>,
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
            let BundleArgs { check, output, compression, write_anyway } = cli.bundle;
            let is_directory = output.as_ref().is_some_and(|path| path.as_str().ends_with('/'));
            if output.as_ref().is_some_and(|path| path.as_str().is_empty()) {
                return Err(
                    Error::usage("`-o` names no file").help("name a file or a directory: `-o <PATH>`")
                );
            }
            let pattern = output.map(|path| context.current_dir.join(path));
            let compression = match compression {
                CompressionArg::Fast => Compression::Fast,
                CompressionArg::Default => Compression::Default,
                CompressionArg::Best => Compression::Best,
            };
            let destination = Destination { pattern, is_directory, write_anyway, compression };
            bundle(check, Purpose::Write(destination), context)
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
            let lambda = self::lambda(lambda, false)?;
            Ok(Settings {
                job: Job::Verify { archives, libs },
                lambda,
                output: Output::new(&output, context)?,
            })
        }
    }
}

fn bundle(args: CheckArgs, purpose: Purpose, context: &Context) -> Result<Settings> {
    let CheckArgs { selection, lambda, content, output } = args;
    let absolute = |path: &Utf8PathBuf| context.current_dir.join(path);
    let may_edit = content.repair == RepairArg::Auto;
    let lambda = self::lambda(lambda, matches!(purpose, Purpose::Check))?;
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

fn stamp(context: &Context) -> Result<Stamp> {
    let Some(value) = variable(context, "SOURCE_DATE_EPOCH") else { return Ok(Stamp::default()) };
    match value.parse() {
        Ok(seconds) => Stamp::from_epoch(seconds),
        Err(cause) => {
            Err(Error::usage(format!("`SOURCE_DATE_EPOCH={value}` is not a number of seconds"))
                .because(cause))
        }
    }
}

fn lambda(args: LambdaArgs, may_be_all: bool) -> Result<Lambda> {
    let known = baseline::runtimes();
    let runtimes = match args.runtime.as_str() {
        "all" if may_be_all => known.iter().rev().map(|name| (*name).to_owned()).collect(),
        "all" => {
            return Err(Error::usage("`--runtime all` only goes with `check`")
                .help("name the runtime the function will have, such as `--runtime provided.al2023`"));
        }
        name if known.contains(&name) => vec![name.to_owned()],
        name => {
            let all = if may_be_all { ", all" } else { "" };
            return Err(Error::usage(format!("`--runtime {name}` is not a known runtime"))
                .help(format!("one of: {}{all}", known.join(", "))));
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
        arch: args.arch.map(|arch| match arch {
            ArchArg::X86_64 => Arch::X86_64,
            ArchArg::Arm64 => Arch::Arm64,
        }),
        library_path,
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
