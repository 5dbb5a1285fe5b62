//! The sources in their order, once for each package.

use camino::Utf8PathBuf;

use crate::cli::{Cli, Command, ExplainArgs};
use crate::error::{Error, Result};
use crate::workspace::{self, Selection};

use super::args::{Single, output_args, selection, settings};
use super::sources::{blame, cargo_lambda, manifest, merge, variables};
use super::table::SettingScope;
use super::{CommandLine, Context, Job, Output, PackageSettings, Packages, Resolved};

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
pub(super) fn cargo_selection(cli: &Cli) -> Option<Selection> {
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
