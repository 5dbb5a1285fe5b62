//! Merges the sources in their order, once for each package.

use camino::Utf8PathBuf;

use crate::cli::{Cli, Command, SizeArgs};
use crate::environment;
use crate::error::{Error, Result};
use crate::workspace::{self, Selection};

use super::args::{Single, output_args, page, selection, settings};
use super::sources::{
    TheirIncludes, blame, cargo_lambda, cargo_lambda_file, check_needs, manifest, merge, variables,
};
use super::table::SettingScope;
use super::{
    BundleSettings, CommandLine, Context, Job, Output, PackageSettings, Packages, Resolved, Setting,
    SettingOrigin,
};

/// Returns the output settings from flags and variables, for messages before any manifest is read.
///
/// # Errors
///
/// If a value is wrong; [`resolve`] reports that, too.
pub fn first_output(line: &CommandLine, context: &Context) -> Result<Output> {
    let (cli, _) = merge(line, &[&variables(context)?])?;
    Output::new(output_args(&cli), context)
}

/// Returns final values for each package with selected programs, from all sources.
///
/// Manifests are read only if cargo is run: not for `--binary` and not for `verify`.
///
/// # Errors
///
/// If a source has unknown or wrong values, if packages disagree on a setting that must be the same for the run, or
/// if cargo cannot read the project.
pub fn resolve<'a>(line: &CommandLine, context: &'a Context) -> Result<Resolved<'a>> {
    let variables = variables(context)?;
    let (cli, values) = merge(line, &[&variables])?;
    let is_config = matches!(cli.command, Some(Command::Config(_)));
    let with_packages = |packages| if is_config { Job::Config(packages) } else { Job::Bundle(packages) };
    let selection = cargo_selection(&cli, context);
    // Errors on the command line alone are reported without running cargo.
    let alone = match settings(cli, context).map_err(|error| blame(error, &values))? {
        Single::Package(settings) => settings,
        Single::Other(job, output) => return Ok(Resolved { job: *job, output }),
    };
    let output = alone.output.clone();
    let Some(selection) = selection else {
        check_needs(&values)?;
        let first = PackageSettings {
            name: None,
            directory: Utf8PathBuf::new(),
            settings: *alone,
            values,
            untaken: Vec::new(),
        };
        let packages = Packages { first, rest: Vec::new(), project: None };
        return Ok(Resolved { job: with_packages(packages), output });
    };
    let project = workspace::choose(&selection, &context.environment)?;
    let below = manifest(&project.workspace(), context)?;
    let mut packages = Vec::new();
    for package in project.packages() {
        let own = manifest(&package, context)?;
        let workspace = project.workspace();
        let theirs = [
            cargo_lambda(&package, context),
            cargo_lambda(&workspace, context),
            cargo_lambda_file(workspace.directory, context),
        ];
        let [first, second, third] = theirs.each_ref().map(|it| &it.source);
        let (cli, values) = merge(line, &[&variables, &own, &below, first, second, third])?;
        check_needs(&values)?;
        // The command line is the same for all packages, and so is the kind of job.
        let Single::Package(mut settings) = settings(cli, context).map_err(|error| blame(error, &values))?
        else {
            continue;
        };
        mark(&mut settings.bundle, &values)?;
        packages.push(PackageSettings {
            name: package.package.map(str::to_owned),
            directory: package.directory.to_owned(),
            settings: *settings,
            untaken: untaken(theirs, &values),
            values,
        });
    }
    must_agree(&packages)?;
    let mut packages = packages.into_iter();
    let alone = || PackageSettings {
        name: None,
        directory: Utf8PathBuf::new(),
        settings: *alone,
        values,
        untaken: Vec::new(),
    };
    let first = packages.next().unwrap_or_else(alone);
    let output = first.settings.output.clone();
    let packages = Packages { first, rest: packages.collect(), project: Some(project) };
    Ok(Resolved { job: with_packages(packages), output })
}

/// Marks the settings that are a manifest's.
///
/// # Errors
///
/// If one of them names a program by its path.
fn mark(bundle: &mut BundleSettings, values: &[Setting]) -> Result<()> {
    bundle.of_manifest = values
        .iter()
        .filter(|setting| setting.origin.is_manifest())
        .map(|setting| setting.row.name.clone())
        .collect();
    let is_of_manifest = bundle.is_of_manifest("cc");
    let Some(cc) = bundle.cc.as_mut().filter(|_| is_of_manifest) else { return Ok(()) };
    cc.is_of_manifest = true;
    if environment::is_bare(cc.name.as_ref()) {
        return Ok(());
    }
    let error = Error::new(format!("`--cc {}` names a program by its path, and it would be run", cc.name));
    let help = format!("name it as it is on PATH, or if you trust it, use the flag `--cc {}`", cc.name);
    Err(blame(error.help(help), values))
}

/// Returns the lines about includes of cargo-lambda that are not taken, unless all of them give way to others.
fn untaken(theirs: [TheirIncludes; 3], values: &[Setting]) -> Vec<String> {
    let of_others = values.iter().any(|setting| {
        setting.row.name == "include"
            && !matches!(setting.origin, SettingOrigin::CargoLambda(_) | SettingOrigin::Default)
    });
    let mut lines: Vec<String> = theirs.into_iter().flat_map(|theirs| theirs.untaken).collect();
    lines.dedup();
    if of_others { Vec::new() } else { lines }
}

/// Checks that packages agree on the settings that a run has once.
pub(super) fn must_agree(packages: &[PackageSettings]) -> Result<()> {
    let Some((first, rest)) = packages.split_first() else { return Ok(()) };
    for other in rest {
        let pairs = first.values.iter().zip(&other.values);
        let differing = pairs
            .filter(|(one, _)| one.row.scope == SettingScope::Run)
            .find(|(one, other)| one.values != other.values);
        if let Some((one, _)) = differing {
            let name = |package: &PackageSettings| package.name.clone().unwrap_or_default();
            let key = &one.row.name;
            return Err(Error::new(format!(
                "packages `{}` and `{}` do not agree on `{key}`, which must be the same for the whole run",
                name(first),
                name(other)
            ))
            .help(format!("set `--{key}`, or select packages that agree with `-p`")));
        }
    }
    Ok(())
}

/// Returns what to ask cargo for; `None` for a run without cargo.
pub(super) fn cargo_selection(cli: &Cli, context: &Context) -> Option<Selection> {
    let check = match &cli.command {
        None => &cli.bundle.check,
        Some(Command::Check(check) | Command::Size(SizeArgs { check, .. })) => check,
        Some(Command::Explain(explain)) => match page(explain.name.as_deref()) {
            Ok(None) => &explain.check,
            Ok(Some(_)) | Err(_) => return None,
        },
        Some(Command::Config(bundle)) => &bundle.check,
        Some(Command::Verify(_) | Command::Baseline { .. } | Command::Print(_)) => return None,
    };
    check.selection.binaries.is_empty().then(|| selection(&check.selection, &check.output, context))
}
