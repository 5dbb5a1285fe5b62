//! Config: every setting of the selected packages, and the source of its value.

use serde::Serialize;

use crate::error::Result;
use crate::include::Include;
use crate::report::{self};
use crate::settings::table::{SettingScope, ValueKind, Values};
use crate::settings::{Context, Output, PackageSettings, Packages, Setting, SettingOrigin};
use crate::text::printable;
use crate::ui::Ui;

/// The document of `config --message-format json`.
#[derive(Serialize)]
struct Document {
    schema: &'static str,
    version: u32,
    packages: Vec<PackageReport>,
}

#[derive(Serialize)]
struct PackageReport {
    /// `null` if no manifest was read.
    package: Option<String>,
    settings: Vec<SettingReport>,
}

#[derive(Serialize)]
struct SettingReport {
    name: String,
    /// The value as in a manifest; `null` if it is not set.
    value: serde_json::Value,
    /// One of `flag`, `variable`, `package`, `workspace`, `cargo-lambda`, `cargo` and `default`.
    from: &'static str,
    /// The name of the variable or the path of the manifest.
    source: Option<String>,
}

/// Prints the settings.
///
/// # Errors
///
/// If cargo does not name the target of this machine.
pub(super) fn print(packages: &Packages, output: &Output, context: &Context, ui: &Ui) -> Result<()> {
    let defaults = defaults(packages, context)?;
    if output.is_json() {
        let packages = packages.iter().map(|package| package_report(package, &defaults)).collect();
        let document = Document { schema: "cargo-lambda-bundle/config", version: 1, packages };
        ui.data(&report::json(&document));
        return Ok(());
    }
    for (at, package) in packages.iter().enumerate() {
        if let Some(name) = &package.name {
            let space = if at > 0 { "\n" } else { "" };
            ui.data(&format!("{space}# {}\n", printable(name)));
        }
        for line in lines(package, &defaults) {
            ui.data(&format!("{}\n", printable(&line)));
        }
    }
    Ok(())
}

/// A value that is in use where no source of ours has one.
struct InUse {
    name: &'static str,
    value: serde_json::Value,
    from: (&'static str, Option<String>),
}

/// Returns what is in use by default: cargo's own settings count where ours are silent.
fn defaults(packages: &Packages, context: &Context) -> Result<Vec<InUse>> {
    let mut defaults = vec![InUse { name: "profile", value: "release".into(), from: ("default", None) }];
    for (name, variable) in [("quiet", "CARGO_TERM_QUIET"), ("color", "CARGO_TERM_COLOR")] {
        let value = match context.environment.text(variable) {
            Some("true") if name == "quiet" && packages.shared().output.verbosity == 0 => true.into(),
            Some(word @ ("always" | "never")) if name == "color" => word.into(),
            _ => continue,
        };
        defaults.push(InUse { name, value, from: ("variable", Some(variable.to_owned())) });
    }
    if let Some(project) = &packages.project {
        let value = project.target_directory().as_str().into();
        defaults.push(InUse { name: "target-dir", value, from: ("cargo", None) });
        let targets = project.configured_targets()?;
        if !targets.is_empty() {
            defaults.push(InUse { name: "target", value: targets.into(), from: ("cargo", None) });
        }
    }
    Ok(defaults)
}

/// Returns the value that is in use, and its source.
fn in_use(setting: &Setting, defaults: &[InUse]) -> (serde_json::Value, &'static str, Option<String>) {
    let default = defaults.iter().find(|it| it.name == setting.row.name);
    match default.filter(|_| setting.origin == SettingOrigin::Default) {
        Some(InUse { value, from: (from, source), .. }) => (value.clone(), from, source.clone()),
        None => {
            let (from, source) = from(setting);
            (value(setting), from, source)
        }
    }
}

/// The settings that can also be set by a variable; the others exist on the command line only.
fn shown(package: &PackageSettings) -> impl Iterator<Item = &Setting> {
    package.values.iter().filter(|setting| setting.row.scope != SettingScope::Flag)
}

/// One line for each setting, in columns: name, value, source.
fn lines(package: &PackageSettings, defaults: &[InUse]) -> Vec<String> {
    let rows: Vec<[String; 3]> = shown(package)
        .map(|setting| {
            let (value, from, source) = in_use(setting, defaults);
            let value = match value {
                serde_json::Value::Null => "-".to_owned(),
                value => value.to_string(),
            };
            let from = match (from, source) {
                (from, None) => from.to_owned(),
                ("variable", Some(name)) => name,
                (from, Some(path)) => format!("{from}, {path}"),
            };
            [setting.row.name.clone(), value, from]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, values) = (width(0), width(1).min(40));
    rows.iter().map(|[name, value, from]| format!("{name:names$}  {value:values$}  {from}")).collect()
}

fn package_report(package: &PackageSettings, defaults: &[InUse]) -> PackageReport {
    let settings = shown(package).map(|setting| {
        let (value, from, source) = in_use(setting, defaults);
        SettingReport { name: setting.row.name.clone(), value, from, source }
    });
    PackageReport { package: package.name.clone(), settings: settings.collect() }
}

fn value(setting: &Setting) -> serde_json::Value {
    let values = &setting.values;
    match setting.row.kind {
        ValueKind::Switch => {
            (setting.origin != SettingOrigin::Default && values.first().is_some_and(|on| on == "true")).into()
        }
        ValueKind::Count => values.first().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0).into(),
        ValueKind::One(_) => values.first().cloned().into(),
        ValueKind::List(Values::Include) => {
            let one = |word: &String| {
                word.parse().map_or(word.as_str().into(), |it: Include| serde_json::json!(it))
            };
            values.iter().map(one).collect()
        }
        ValueKind::List(_) => values.clone().into(),
    }
}

fn from(setting: &Setting) -> (&'static str, Option<String>) {
    match &setting.origin {
        SettingOrigin::Flag => ("flag", None),
        SettingOrigin::Variable(name) => ("variable", Some(name.clone())),
        SettingOrigin::Package(path) => ("package", Some(path.clone())),
        SettingOrigin::Workspace(path) => ("workspace", Some(path.clone())),
        SettingOrigin::CargoLambda(path) => ("cargo-lambda", Some(path.clone())),
        SettingOrigin::Default => ("default", None),
    }
}
