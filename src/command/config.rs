//! Config: every setting of the selected packages, and the source of its value.

use serde::Serialize;

use crate::include::Include;
use crate::report::{self};
use crate::settings::table::{SettingScope, ValueKind, Values};
use crate::settings::{Output, PackageSettings, Packages, Setting, SettingOrigin};
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
    /// One of `flag`, `variable`, `package`, `workspace`, `cargo-lambda` and `default`.
    from: &'static str,
    /// The name of the variable or the path of the manifest.
    source: Option<String>,
}

pub(super) fn print(packages: &Packages, output: &Output, ui: &Ui) {
    if output.is_json() {
        let packages = packages.iter().map(package_report).collect();
        let document = Document { schema: "cargo-lambda-bundle/config", version: 1, packages };
        ui.data(&report::json(&document));
        return;
    }
    for (at, package) in packages.iter().enumerate() {
        if let Some(name) = &package.name {
            let space = if at > 0 { "\n" } else { "" };
            ui.data(&format!("{space}# {}\n", printable(name)));
        }
        for line in lines(package) {
            ui.data(&format!("{}\n", printable(&line)));
        }
    }
}

/// The settings that can also be set by a variable; the others exist on the command line only.
fn shown(package: &PackageSettings) -> impl Iterator<Item = &Setting> {
    package.values.iter().filter(|setting| setting.row.scope != SettingScope::Flag)
}

/// One line for each setting, in columns: name, value, source.
fn lines(package: &PackageSettings) -> Vec<String> {
    let rows: Vec<[String; 3]> = shown(package)
        .map(|setting| {
            let value = match value(setting) {
                serde_json::Value::Null => "-".to_owned(),
                value => value.to_string(),
            };
            let from = match from(setting) {
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

fn package_report(package: &PackageSettings) -> PackageReport {
    let settings = shown(package).map(|setting| {
        let (from, source) = from(setting);
        SettingReport { name: setting.row.name.clone(), value: value(setting), from, source }
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
