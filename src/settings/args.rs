//! From a complete command line to final values.

use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{Compression, Timestamp};
use crate::audit::{Code, pages};
use crate::baseline::unknown::{CUSTOM, CUSTOM_HELP, nearest_names, newest_names, retired};
use crate::baseline::{self, DEFAULT_RUNTIME, starts_bootstrap};
use crate::cli::{
    ArchArg, BaselineCommand, BuildWithArg, BundleArgs, CheckArgs, Cli, Command, CompressionArg, ContentArgs,
    ExplainArgs, KindArg, LambdaArgs, LibcArg, OutputArgs, RepairArg, SelectionArgs, SizeArgs, VerifyArgs,
};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::include::{Include, Selector};
use crate::layout::{BundleKind, Format, MOST_LAYERS, WRAPPER_VARIABLE};
use crate::nearest::nearest;
use crate::patterns::Patterns;
use crate::plan::LibcSource;
use crate::tools::compiler::Compiler;
use crate::workspace::Selection;

use super::output::{unknown_code, verbosity};
use super::{
    BaselineJob, BundleSettings, Capture, CaptureFrom, Context, Destination, Explain, Form, Job, Output,
    Programs, Purpose, Settings, SizeComparison, Target, Verify, Wanted,
};

/// The result of one command line.
pub(super) enum Single {
    /// A job with the programs of a package.
    Package(Box<Settings>),
    /// Any other job.
    Other(Box<Job<'static>>, Output),
}

/// Turns a complete command line into final values.
pub(super) fn settings(cli: Cli, context: &Context) -> Result<Single> {
    let package = |settings| Ok(Single::Package(Box::new(settings)));
    let other = |job, output| Ok(Single::Other(Box::new(job), output));
    match cli.command {
        // `config` follows the same rules as the run that it describes.
        None => package(written(cli.bundle, context)?),
        Some(Command::Config(bundle)) => package(written(bundle, context)?),
        Some(Command::Check(check)) => package(bundle(check, Purpose::Check, context)?),
        Some(Command::Size(SizeArgs { against, max_growth, check })) => {
            check_placeholders("--against", against.as_deref())?;
            let against = against.map(|path| context.environment.current_dir.join(path));
            package(bundle(check, Purpose::Size(SizeComparison { against, max_growth }), context)?)
        }
        Some(Command::Explain(ExplainArgs { name, check, tree, mermaid })) => {
            if let Some(code) = page(name.as_deref())? {
                return other(Job::Page(code), Output::new(&check.output, context)?);
            }
            let wanted = |word: String| {
                let pattern = Patterns::new("explain", std::slice::from_ref(&word))?;
                Ok::<_, Error>(Wanted { word, pattern })
            };
            let wanted = name.map(wanted).transpose()?;
            let form = match (tree, mermaid) {
                (_, true) => Form::Mermaid,
                (true, false) => Form::Tree,
                _ if wanted.is_some() => Form::Text,
                _ => Form::Tree,
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
        Some(Command::Print(_)) => unreachable!("documents are printed without settings"),
        Some(Command::Baseline { command }) => {
            let output = Output::new(command.output(), context)?;
            other(Job::Baseline(baseline_job(command, context)?), output)
        }
    }
}

/// Returns the finding whose page `explain` was asked for; `None` for libraries and symbols.
///
/// # Errors
///
/// If the word can only be the code of a finding, and is none.
pub(super) fn page(name: Option<&str>) -> Result<Option<Code>> {
    let Some(name) = name else { return Ok(None) };
    if Code::from_name(name).is_none()
        && let Some(codes) = pages::printed_by_aws(name)
    {
        let commands: Vec<String> = codes.iter().map(|code| format!("`explain {}`", code.as_str())).collect();
        return Err(Error::usage(format!("`{name}` is a message of Lambda, not the code of a finding"))
            .help(format!("see {}", commands.join(" or "))));
    }
    // Libraries have a dot, symbols no hyphen.
    let is_code = name.contains('-') && !name.contains(['.', '*', '?', '[', '{']);
    match Code::from_name(name) {
        None if is_code => Err(unknown_code("explain", name)),
        code => Ok(code),
    }
}

pub(super) fn baseline_job(command: BaselineCommand, context: &Context) -> Result<BaselineJob> {
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

/// Returns the settings of a run that writes bundles.
pub(super) fn written(args: BundleArgs, context: &Context) -> Result<Settings> {
    let BundleArgs { check, output, dir, compression, force, write_anyway, sbom, licenses } = args;
    let compression = match compression {
        CompressionArg::Fast => Compression::Fast,
        CompressionArg::Default => Compression::Default,
        CompressionArg::Best => Compression::Best,
    };
    for (flag, path) in [("-o", &output), ("--sbom", &sbom), ("--licenses", &licenses)] {
        check_placeholders(flag, path.as_deref())?;
    }
    if output.as_ref().is_some_and(|path| path.as_str().is_empty()) {
        return Err(Error::usage("`-o` names no file").help("name a file or a directory: `-o <PATH>`"));
    }
    let is_directory = output.as_ref().is_some_and(|path| path.as_str().ends_with('/'));
    let format = if dir { Format::Dir } else { Format::Zip };
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

/// The placeholders of paths to write.
const PLACEHOLDERS: [&str; 4] = ["bin", "package", "arch", "target"];

/// Refuses placeholders that nothing replaces, which would be part of the path.
fn check_placeholders(flag: &str, path: Option<&Utf8Path>) -> Result<()> {
    let parts = path.into_iter().flat_map(|path| path.as_str().split('{').skip(1));
    let names = parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    let is_word = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let Some(name) = names.filter(is_word).find(|name| !PLACEHOLDERS.contains(name)) else { return Ok(()) };
    let error = Error::usage(format!("`{{{name}}}` of `{flag}` is not a placeholder"));
    Err(match nearest(name, PLACEHOLDERS) {
        Some(near) => error.help(format!("did you mean `{{{near}}}`?")),
        None => error.help("use {bin}, {package}, {arch} or {target}"),
    })
}

pub(super) fn selection(args: &SelectionArgs, output: &OutputArgs, context: &Context) -> Selection {
    let args = args.clone();
    Selection {
        archs: Default::default(),
        packages: args.packages,
        workspace: args.workspace,
        exclude: args.exclude,
        bins: args.bins,
        all_bins: args.all_bins,
        examples: args.examples,
        all_examples: args.all_examples,
        targets: args.targets,
        profile: args.profile.or_else(|| args.release.then(|| "release".to_owned())),
        target_dir: args.target_dir,
        manifest_path: args.manifest_path,
        locked: args.locked,
        offline: args.offline,
        frozen: args.frozen,
        build: args.build || args.build_with.is_some(),
        zigbuild: args.build_with == Some(BuildWithArg::Zigbuild),
        floor: None,
        jobs: args.jobs,
        configs: args.configs,
        features: args.features,
        all_features: args.all_features,
        no_default_features: args.no_default_features,
        verbosity: verbosity(output, context),
    }
}

pub(super) fn bundle(args: CheckArgs, purpose: Purpose, context: &Context) -> Result<Settings> {
    let CheckArgs { selection, lambda, content, output } = args;
    check_placeholders("--debug-symbols", content.debug_symbols.as_deref())?;
    let absolute = |path: &Utf8PathBuf| context.environment.current_dir.join(path);
    let kind = bundle_kind(content.kind);
    check_content(&content, kind)?;
    let target = target(lambda, matches!(purpose, Purpose::Check), context)?;
    let is_written = matches!(purpose, Purpose::Write(_));
    if is_written && kind == BundleKind::Function && !baseline::starts_bootstrap(&target.configured) {
        return Err(no_bootstrap(&target.configured));
    }
    let programs = if selection.binaries.is_empty() {
        Programs::Cargo(Box::new(self::selection(&selection, &output, context)))
    } else {
        Programs::Binaries(selection.binaries.iter().map(absolute).collect())
    };
    let bundle = BundleSettings {
        kind,
        libraries_only: content.libraries_only,
        attached_layers: content.attached_layers.iter().map(absolute).collect(),
        split_layer: content.split_layer.map(layer_name).transpose()?,
        programs,
        libs: content.libs,
        includes: content.includes.into_iter().map(|it| include(it, context)).collect::<Result<_>>()?,
        exclude: Patterns::new("--exclude-lib", &content.exclude_libs)?,
        pin: Patterns::new("--bundle-lib", &content.bundle_libs)?,
        may_edit: content.repair != RepairArg::Never && !content.libraries_only,
        libc: match content.libc {
            LibcArg::System => LibcSource::System,
            LibcArg::Bundle => LibcSource::Bundle,
        },
        strip: content.strip,
        debug_symbols: content.debug_symbols.as_ref().map(absolute),
        max_size: content.max_size,
        library_paths: content.library_paths.iter().map(absolute).collect(),
        cc: content.cc.map(|name| Compiler { name, is_of_manifest: false }),
        of_manifest: Vec::new(),
        sysroot: content.sysroot.as_ref().map(absolute),
        purpose,
        stamp: stamp(context)?,
        epoch: epoch(context)?,
    };
    Ok(Settings { bundle, target, output: Output::new(&output, context)? })
}

/// Refuses options that contradict each other.
fn check_content(content: &ContentArgs, kind: BundleKind) -> Result<()> {
    let is_function = kind == BundleKind::Function;
    let bundles_libc = content.libc == LibcArg::Bundle;
    let is_split = content.split_layer.is_some();
    let n_layers = content.attached_layers.len();
    let out_of_place = [
        (!is_function && n_layers > 0, "--attached-layer", "layers can only be attached to functions"),
        (!is_function && is_split, "--split-layer", "it only splits functions"),
        (is_split && n_layers >= MOST_LAYERS, "--split-layer", "no further layer can be attached"),
        (content.libraries_only && is_split, "--split-layer", "it also writes the functions"),
        (
            content.libraries_only && bundles_libc,
            "--libraries-only",
            "the program must be edited to use its own C library",
        ),
    ];
    if let Some((_, flag, why)) = out_of_place.iter().find(|(is, ..)| *is) {
        return Err(Error::usage(format!("`{flag}` cannot be used with the other options: {why}"))
            .help(format!("remove `{flag}`, or see `cargo lambda-bundle --help`")));
    }
    if content.repair == RepairArg::Never && (bundles_libc || !content.bundle_libs.is_empty()) {
        let flag = if bundles_libc { "--libc bundle" } else { "--bundle-lib" };
        return Err(Error::usage(format!(
            "`{flag}` edits copies of the ELF files, which `--repair never` forbids"
        ))
        .help("remove `--repair never`"));
    }
    match content.bundle_libs.iter().find(|name| baseline::is_glibc_part(name)) {
        None => Ok(()),
        Some(part) => Err(Error::usage(format!(
            "`--bundle-lib {part}` is a part of glibc, which can only be bundled as a whole"
        ))
        .help("bundle all of it: `--libc bundle`")),
    }
}

/// Checks the name of a layer, which becomes the name of its file.
fn layer_name(name: String) -> Result<String> {
    let leads_away = name.is_empty()
        || name.starts_with('.')
        || name.contains(|char: char| matches!(char, '/' | '\\' | ':') || char.is_control());
    match leads_away {
        false => Ok(name),
        true => Err(Error::usage(format!("`--split-layer {}` is not a file name", name.escape_debug()))
            .help("give the layer a name, without a directory: `--split-layer shared`")),
    }
}

/// Reads an include of the command line, or of a manifest, which adds its directory.
pub(super) fn include(include: Include, context: &Context) -> Result<Selector> {
    Selector::new(&Include { directory: context.environment.current_dir.join(&include.directory), ..include })
}

/// Returns the usage error that a language runtime starts no program of its own for a function.
pub fn no_bootstrap(runtime: &str) -> Error {
    let known: Vec<&str> =
        baseline::names().into_iter().filter(|name| baseline::starts_bootstrap(name)).collect();
    Error::usage(format!(
        "`--runtime {runtime}` starts no `bootstrap`, so there is no function to bundle for it"
    ))
    .help(format!(
        "name a runtime that starts one: {}; or use `--kind layer` for a program that the function's code starts",
        known.join(", ")
    ))
}

pub(super) fn stamp(context: &Context) -> Result<Timestamp> {
    epoch(context)?.map_or(Ok(Timestamp::default()), Timestamp::from_epoch)
}

/// Returns SOURCE_DATE_EPOCH, in seconds.
pub(super) fn epoch(context: &Context) -> Result<Option<u64>> {
    let Some(value) = context.environment.text("SOURCE_DATE_EPOCH") else { return Ok(None) };
    value.parse().map(Some).map_err(|cause| {
        Error::usage(format!("`SOURCE_DATE_EPOCH={value}` is not a number of seconds")).because(cause)
    })
}

pub(super) fn target(args: LambdaArgs, may_be_all: bool, context: &Context) -> Result<Target> {
    let known = baseline::names();
    let runtimes = match args.runtime.as_str() {
        "all" if may_be_all => baseline::runtimes().iter().rev().map(|name| (*name).to_owned()).collect(),
        "all" => {
            return Err(Error::usage("`--runtime all` only goes with `check`")
                .help("name the runtime the function will have, such as `--runtime provided.al2023`"));
        }
        name if known.contains(&name) => vec![name.to_owned()],
        name => return Err(unknown_runtime(name, may_be_all)),
    };
    let configured = if args.runtime == "all" { DEFAULT_RUNTIME.to_owned() } else { args.runtime };
    let mut library_path = None;
    let mut binds_now = false;
    let mut preload = Vec::new();
    let mut tunables = String::new();
    let mut wrapper = None;
    let mut unreplaced = None;
    let mut unused_env = Vec::new();
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) if starts_nothing(name, value) => {
                return Err(Error::usage(format!(
                    "with `--env {variable}` ld.so prints information instead of starting the program"
                ))
                .help(format!("remove `{name}`")));
            }
            Some(("LD_LIBRARY_PATH", value)) => {
                unreplaced = variable_in(value).map(str::to_owned);
                library_path = Some(value.to_owned());
            }
            // Source: ld.so(8).
            Some(("LD_PRELOAD", value)) => {
                let names = value.split([' ', ':']).filter(|name| !name.is_empty());
                preload = names.map(str::to_owned).collect();
            }
            // Source: ld.so(8): any value but the empty one counts.
            Some(("LD_BIND_NOW", value)) => binds_now = !value.is_empty(),
            Some(("GLIBC_TUNABLES", value)) => value.clone_into(&mut tunables),
            Some((WRAPPER_VARIABLE, value)) if !starts_bootstrap(&configured) => {
                wrapper = Some(value.to_owned())
            }
            Some((name, _)) => unused_env.push(name.to_owned()),
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
        wrapper,
        tunables,
        unused_env,
        unreplaced,
        baseline: args.baseline.map(|path| context.environment.current_dir.join(path)),
        assume_present: Patterns::new("--assume-present", &args.assume_present)?,
        present_patterns: args.assume_present,
    })
}

fn unknown_runtime(name: &str, may_be_all: bool) -> Error {
    if name == CUSTOM {
        let message =
            "`--runtime custom` is a customer-managed runtime, whose libraries are those of its own image";
        return Error::usage(message).help(CUSTOM_HELP);
    }
    if let Some(day) = retired(name) {
        let names = newest_names(name).join(", ");
        let message = format!("`--runtime {name}` is retired: its functions cannot be updated since {day}");
        return Error::usage(message).help(format!("move to a newer runtime, such as {names}"));
    }
    let names = nearest_names(name).join(", ");
    let all = if may_be_all { ", or all" } else { "" };
    Error::usage(format!("`--runtime {name}` is not a known runtime")).help(format!(
        "the nearest are {names}{all}; `cargo lambda-bundle baseline list` shows every name; for another runtime name \
         the file of its libraries: `--baseline <FILE>`"
    ))
}

/// Returns the first variable in LD_LIBRARY_PATH that nothing replaces by its value: no shell reads a function's
/// settings, and ld.so knows three names.
///
/// Source: "Dynamic string tokens" in ld.so(8).
fn variable_in(path: &str) -> Option<&str> {
    let is_token = |text: &str| {
        let bare = |token: &str| text.strip_prefix(token).is_some_and(|rest| !rest.starts_with(is_of_name));
        let braced = |token: &str| text.starts_with(&format!("{{{token}}}"));
        ["ORIGIN", "LIB", "PLATFORM"].iter().any(|token| bare(token) || braced(token))
    };
    let (at, text) =
        path.match_indices('$').map(|(at, _)| (at, &path[at + 1..])).find(|(_, text)| !is_token(text))?;
    let end = text.find(|c| !is_of_name(c) && c != '{' && c != '}').unwrap_or(text.len());
    Some(&path[at..at + 1 + end])
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a variable makes ld.so end before it starts a program.
///
/// Source: `process_envvars` and `process_dl_debug` in glibc's elf/rtld.c.
fn starts_nothing(name: &str, value: &str) -> bool {
    match name {
        "LD_TRACE_LOADED_OBJECTS" => true,
        "LD_DEBUG" => value.split([' ', ',', ':']).any(|word| word == "help"),
        _ => false,
    }
}

pub(super) fn bundle_kind(arg: KindArg) -> BundleKind {
    match arg {
        KindArg::Function => BundleKind::Function,
        KindArg::Layer => BundleKind::Layer,
        KindArg::Extension => BundleKind::Extension,
    }
}

/// Returns the output options of any command line.
pub(super) fn output_args(cli: &Cli) -> &OutputArgs {
    match &cli.command {
        None => &cli.bundle.check.output,
        Some(Command::Check(check) | Command::Size(SizeArgs { check, .. })) => &check.output,
        Some(Command::Explain(explain)) => &explain.check.output,
        Some(Command::Verify(verify)) => &verify.output,
        Some(Command::Config(config)) => &config.check.output,
        Some(Command::Baseline { command }) => command.output(),
        Some(Command::Print(_)) => unreachable!("documents are printed without settings"),
    }
}
