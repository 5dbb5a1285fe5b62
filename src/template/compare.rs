//! Compares a template's functions with the ZIP that is their code.

use super::{Function, FunctionLayer, TemplateSetting};
use crate::audit::{Code, Finding};
use crate::baseline;
use crate::baseline::unknown::{CUSTOM, CUSTOM_HELP, newest_names, retired};
use crate::elf::Arch;

/// The facts of a ZIP.
pub struct Zip<'a> {
    /// The path of the ZIP.
    pub path: &'a str,
    /// The name of its program.
    pub program: &'a str,
    /// The architecture of the program that Lambda starts, if Lambda offers it.
    pub arch: Option<Arch>,
    /// The runtime that it was proved for, if that is one of Lambda's.
    pub runtime: Option<&'a str>,
    /// The `CodeSha256` of the ZIP; none of a directory.
    pub code_sha256: Option<&'a str>,
}

/// Reports differences between the template at `template` and a ZIP, and values that are unknown.
pub fn compare(template: &str, functions: &[&Function], zip: &Zip) -> Vec<Finding> {
    if functions.is_empty() {
        let message = format!("no function of `{template}` is known to have the code `{}`", zip.path);
        let finding = Finding::new(Code::TemplateUnknown, zip.program, message);
        return vec![finding.help("compare the template with the archive by hand")];
    }
    let mut findings = Vec::new();
    for function in functions {
        let of = format!("`{}` of `{template}`", function.name);
        findings.extend(architecture(&function.architecture, &of, zip));
        findings.extend(runtime(&function.runtime, &of, zip));
        findings.extend(function.layers.iter().filter_map(|layer| no_layer(layer, &of, zip)));
        let planned = function.code_sha256.as_deref();
        if planned.is_some() && zip.code_sha256.is_some() && planned != zip.code_sha256 {
            let message =
                format!("`{}` is not the ZIP that {of} was planned with: the hash differs", zip.path);
            findings.push(mismatch(zip, message, "run `terraform plan` again".to_owned()));
        }
    }
    findings
}

/// Reports a layer that no deployment finds.
fn no_layer(layer: &FunctionLayer, of: &str, zip: &Zip) -> Option<Finding> {
    let FunctionLayer::Nothing(name) = layer else { return None };
    let message = format!("the layer `{name}` of {of} is neither an ARN nor a layer of the template");
    let help = "name the layer's ARN, or a resource of the template: `!Ref <NAME>`";
    Some(mismatch(zip, message, help.to_owned()))
}

fn architecture(setting: &TemplateSetting, of: &str, zip: &Zip) -> Option<Finding> {
    if let TemplateSetting::Unknown(why) = setting {
        return Some(unknown(zip, format!("the architecture of {of} is not known: {why}")));
    }
    let arch = zip.arch?;
    if setting.value() == Some(arch.as_str()) {
        return None;
    }
    let wanted = setting.value().unwrap_or_default();
    let how = if matches!(setting, TemplateSetting::Default(_)) { " by default" } else { "" };
    Some(mismatch(
        zip,
        format!("`{}` is for {arch}, and {of} is for {wanted}{how}", zip.program),
        format!("set the function's architecture to {arch}, or build for {wanted}"),
    ))
}

fn runtime(setting: &TemplateSetting, of: &str, zip: &Zip) -> Option<Finding> {
    if let TemplateSetting::Unknown(why) = setting {
        return Some(unknown(zip, format!("the runtime of {of} is not known: {why}")));
    }
    let wanted = setting.value().unwrap_or_default();
    // A baseline file describes whatever runtime it is.
    let runtime = zip.runtime?;
    if !baseline::names().contains(&wanted) {
        return Some(Finding { leaves_open: true, ..no_baseline(wanted, of, zip) });
    }
    if runtime == wanted {
        return None;
    }
    Some(mismatch(
        zip,
        format!("{of} runs on {wanted}, and `{}` was verified for {runtime}", zip.path),
        format!("set the function's runtime to {runtime}, or use `--runtime {wanted}`"),
    ))
}

const UNCHECKED: &str = "the libraries that it loads are not checked";

/// Warns that there is no baseline for the runtime of a function.
fn no_baseline(runtime: &str, of: &str, zip: &Zip) -> Finding {
    let what = format!("{of} has the runtime {runtime}");
    if runtime == CUSTOM {
        let message = format!("{what}, whose libraries are those of its own image");
        return unknown(zip, message).detail(UNCHECKED).help(CUSTOM_HELP);
    }
    if let Some(day) = retired(runtime) {
        let message = format!("{what}, whose functions cannot be updated since {day}");
        let newest = newest_names(runtime).join(", ");
        return unknown(zip, message)
            .detail(UNCHECKED)
            .help(format!("move to a newer runtime, such as {newest}"));
    }
    unknown(zip, format!("{what}, which is not known")).detail(UNCHECKED).help(
        "capture the runtime's libraries and name them with `--baseline <FILE>`, or use a newer version of cargo lambda-bundle",
    )
}

fn unknown(zip: &Zip, message: String) -> Finding {
    Finding::new(Code::TemplateUnknown, zip.program, message)
}

fn mismatch(zip: &Zip, message: String, help: String) -> Finding {
    Finding::new(Code::TemplateMismatch, zip.program, message).help(help)
}
