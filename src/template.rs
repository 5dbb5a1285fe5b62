//! The functions of a deployment template: SAM and CloudFormation (YAML or JSON), the output of CDK, and the output
//! of `terraform show -json` for a plan or a state.
//!
//! A template is not evaluated. Only references to parameters with a `Default` are followed; any other value is
//! [`TemplateSetting::Unknown`], with its expression. Nothing is guessed.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::layout::WRAPPER_VARIABLE;

mod compare;
mod layers;
mod yaml;

pub use compare::{Zip, compare};
pub use layers::FunctionLayer;

/// One function of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The logical name, or the address in Terraform.
    pub name: String,
    /// The local file or directory with its code, relative to the template.
    pub code: TemplateSetting,
    /// The runtime's name.
    pub runtime: TemplateSetting,
    /// The architecture: `x86_64` or `arm64`, if the template is right.
    pub architecture: TemplateSetting,
    /// Lambda's `CodeSha256` of the ZIP that a Terraform plan was made with.
    pub code_sha256: Option<String>,
    /// The value of `AWS_LAMBDA_EXEC_WRAPPER`, if it is known.
    pub wrapper: Option<String>,
    /// Its layers, in their order.
    pub layers: Vec<FunctionLayer>,
    /// Whether `sam build` makes the code from sources.
    pub is_built: bool,
}

/// A value of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSetting {
    /// The value in the template.
    Known(String),
    /// The template has no value: this is Lambda's default, or the default of the parameter it refers to.
    Default(String),
    /// The value is unknown; this is the reason, or the expression.
    Unknown(String),
}

impl TemplateSetting {
    /// Returns the value, if it is known.
    pub fn value(&self) -> Option<&str> {
        match self {
            TemplateSetting::Known(value) | TemplateSetting::Default(value) => Some(value),
            TemplateSetting::Unknown(_) => None,
        }
    }
}

/// Why the code of a function is unknown whose text is in the template. No file of it is loaded by ld.so.
pub const INLINE_CODE: &str = "its code is in the template";

/// Lambda's own default. Source: `Architectures` in the CloudFormation reference of AWS::Lambda::Function.
const DEFAULT_ARCHITECTURE: &str = "x86_64";

/// Returns the functions of a template whose code is a ZIP; those in images are left out.
///
/// `assets` is the list of assets that CDK writes beside a stack's template, `<stack>.assets.json`.
///
/// # Errors
///
/// If the text is neither JSON nor YAML, or no template.
pub fn functions(text: &str, assets: Option<&str>) -> Result<Vec<Function>> {
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| Error::new("it is not JSON").because(error))?
    } else {
        yaml::parse(text)?
    };
    if value["format_version"].is_string() {
        return Ok(terraform(&value));
    }
    match value["Resources"].as_object() {
        Some(resources) => {
            let assets = assets.map(serde_json::from_str).transpose();
            let assets: Value = assets
                .map_err(|error| Error::new("the list of assets beside it is not JSON").because(error))?
                .unwrap_or_default();
            Ok(cloudformation(&value, resources, &assets))
        }
        None => Err(Error::new("it has no `Resources`, and no `format_version` of Terraform's JSON")),
    }
}

fn cloudformation(template: &Value, resources: &Map<String, Value>, assets: &Value) -> Vec<Function> {
    let none = Map::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let globals = object(&template["Globals"]["Function"]);
    let parameters = object(&template["Parameters"]);
    let surroundings = layers::Surroundings { resources, parameters: &parameters, assets };
    let mut functions = Vec::new();
    for (name, resource) in resources {
        let (globals, key) = match resource["Type"].as_str() {
            Some("AWS::Serverless::Function") => (&globals, "CodeUri"),
            Some("AWS::Lambda::Function") => (&none, "Code"),
            _ => continue,
        };
        let properties = object(&resource["Properties"]);
        let property =
            |key: &str| properties.get(key).or_else(|| globals.get(key)).filter(|value| !value.is_null());
        if property("PackageType").and_then(Value::as_str) == Some("Image") || property("ImageUri").is_some()
        {
            continue;
        }
        let local = local_asset(resource, property(key), key, assets);
        let code = match (local, property(key)) {
            (Some(path), _) => TemplateSetting::Known(path.to_owned()),
            (None, _) if property("InlineCode").is_some() => TemplateSetting::Unknown(INLINE_CODE.into()),
            (None, None) => TemplateSetting::Unknown(format!("it has no `{key}`")),
            (None, Some(code)) => local_code(code, &parameters),
        };
        let runtime = match property("Runtime") {
            Some(runtime) => resolve(runtime, &parameters),
            None => TemplateSetting::Unknown("it has no `Runtime`".into()),
        };
        let architecture = match property("Architectures") {
            None => TemplateSetting::Default(DEFAULT_ARCHITECTURE.into()),
            Some(Value::Array(items)) if items.len() == 1 => resolve(&items[0], &parameters),
            Some(value) => resolve(value, &parameters),
        };
        let variable = |of: &'_ Map<String, Value>| {
            of.get("Environment")?.get("Variables")?.get(WRAPPER_VARIABLE).cloned()
        };
        let wrapper = variable(&properties).or_else(|| variable(globals));
        // SAM puts the layers of `Globals` in front of the function's. Source: `Globals` in the SAM specification.
        let lists = [globals.get("Layers"), properties.get("Layers")].into_iter().flatten();
        functions.push(Function {
            name: name.clone(),
            code,
            runtime,
            architecture,
            code_sha256: None,
            wrapper: wrapper.and_then(|value| resolve(&value, &parameters).value().map(str::to_owned)),
            layers: lists.flat_map(|list| surroundings.layers(list)).collect(),
            is_built: resource["Metadata"]["BuildMethod"].is_string(),
        });
    }
    functions
}

/// Returns the path of a file or directory that CDK recorded for this property of a resource.
fn local_asset<'a>(
    resource: &'a Value,
    value: Option<&Value>,
    property: &str,
    assets: &'a Value,
) -> Option<&'a str> {
    let key_in_s3 = value.and_then(|value| value["S3Key"].as_str());
    asset(resource, property).or_else(|| asset_of_key(assets, key_in_s3?))
}

/// Returns the path that CDK recorded in the template.
fn asset<'a>(resource: &'a Value, property: &str) -> Option<&'a str> {
    let metadata = &resource["Metadata"];
    let is_of = metadata["aws:asset:property"].as_str().is_none_or(|of| of == property);
    metadata["aws:asset:path"].as_str().filter(|_| is_of)
}

/// Returns the same from the list of assets, which has the S3 key of each file.
fn asset_of_key<'a>(assets: &'a Value, key: &str) -> Option<&'a str> {
    let files = assets["files"].as_object()?.values();
    let goes_to = |file: &&Value| {
        let destinations = file["destinations"].as_object();
        destinations.is_some_and(|places| places.values().any(|place| place["objectKey"] == key))
    };
    files.into_iter().find(goes_to)?["source"]["path"].as_str()
}

fn local_code(code: &Value, parameters: &Map<String, Value>) -> TemplateSetting {
    if code.get("ZipFile").is_some() {
        return TemplateSetting::Unknown(INLINE_CODE.into());
    }
    if ["S3Bucket", "S3Key", "Bucket", "Key"].iter().any(|key| code.get(key).is_some()) {
        return TemplateSetting::Unknown("its code is in S3".into());
    }
    match resolve(code, parameters) {
        TemplateSetting::Known(path) | TemplateSetting::Default(path) if path.starts_with("s3://") => {
            TemplateSetting::Unknown("its code is in S3".into())
        }
        setting => setting,
    }
}

/// Reads a value; references to parameters with a default are followed.
fn resolve(value: &Value, parameters: &Map<String, Value>) -> TemplateSetting {
    if let Some(text) = scalar(value) {
        return TemplateSetting::Known(text);
    }
    let default = |name: &str| parameters.get(name).and_then(|parameter| scalar(&parameter["Default"]));
    let found = match (value.get("Ref"), value.get("Fn::Sub")) {
        (Some(Value::String(name)), _) => default(name),
        (_, Some(Value::String(text))) => substitute(text, default),
        _ => None,
    };
    found.map_or_else(
        || TemplateSetting::Unknown(format!("it is `{}`", shown(value))),
        TemplateSetting::Default,
    )
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Evaluates `Fn::Sub`: `${Name}` is replaced, `${!Name}` is the text `${Name}`.
fn substitute(text: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}')?;
        result.push_str(before);
        match name.strip_prefix('!') {
            Some(literal) => result.push_str(&format!("${{{literal}}}")),
            None => result.push_str(&value(name)?),
        }
        rest = behind;
    }
    Some(result + rest)
}

/// Formats an expression as in YAML.
fn shown(value: &Value) -> String {
    let single = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    match single {
        Some((name, Value::String(text))) => {
            format!("!{} {text}", name.strip_prefix("Fn::").unwrap_or(name))
        }
        Some((name, _)) => format!("!{} ...", name.strip_prefix("Fn::").unwrap_or(name)),
        None => "...".to_owned(),
    }
}

/// Reads `planned_values` of a plan, or `values` of a state.
fn terraform(document: &Value) -> Vec<Function> {
    let (values, is_plan) = match document.get("planned_values") {
        Some(planned) => (planned, true),
        None => (&document["values"], false),
    };
    let mut functions = Vec::new();
    let mut modules = vec![&values["root_module"]];
    while let Some(module) = modules.pop() {
        let items = |key: &str| module[key].as_array().map(Vec::as_slice).unwrap_or_default();
        modules.extend(items("child_modules").iter().rev());
        for resource in items("resources") {
            let values = &resource["values"];
            if resource["type"] != "aws_lambda_function" || values["package_type"] == "Image" {
                continue;
            }
            let setting = |value: &Value, key: &str| match scalar(value) {
                Some(text) => TemplateSetting::Known(text),
                None => TemplateSetting::Unknown(format!("it has no known `{key}`")),
            };
            functions.push(Function {
                name: resource["address"].as_str().unwrap_or("aws_lambda_function").to_owned(),
                code: setting(&values["filename"], "filename"),
                runtime: setting(&values["runtime"], "runtime"),
                architecture: setting(&values["architectures"][0], "architectures"),
                // In a state file the hash is the previous deployment's.
                code_sha256: values["source_code_hash"].as_str().filter(|_| is_plan).map(str::to_owned),
                wrapper: values["environment"][0]["variables"][WRAPPER_VARIABLE].as_str().map(str::to_owned),
                layers: layers::of_terraform(document, resource),
                is_built: false,
            });
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &str = "Parameters: {Arch: {Type: String, Default: arm64}, Open: {Type: String}}\n";

    /// Checks name, code, runtime, architecture; a default is in parentheses, an unknown value in angle brackets.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        check_with(text, None, expected);
    }

    #[track_caller]
    fn check_with(text: &str, assets: Option<&str>, expected: &[&str]) {
        let shown = |setting: &TemplateSetting| match setting {
            TemplateSetting::Known(value) => value.clone(),
            TemplateSetting::Default(value) => format!("({value})"),
            TemplateSetting::Unknown(why) => format!("<{why}>"),
        };
        let functions = functions(text, assets).unwrap();
        let lines: Vec<String> = functions
            .iter()
            .map(|f| {
                format!("{} {} {} {}", f.name, shown(&f.code), shown(&f.runtime), shown(&f.architecture))
            })
            .collect();
        assert_eq!(lines, expected);
    }

    fn sam(properties: &str) -> String {
        format!(
            "{PARAMETERS}Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {properties}\n"
        )
    }

    #[test]
    fn values_references_and_defaults() {
        check(
            &sam("{CodeUri: a.zip, Runtime: provided.al2023, Architectures: [arm64]}"),
            &["F a.zip provided.al2023 arm64"],
        );
        check(&sam("{CodeUri: a.zip, Runtime: provided.al2}"), &["F a.zip provided.al2 (x86_64)"]);
        check(
            &sam("{CodeUri: !Ref Open, Runtime: !Ref Nowhere, Architectures: [!Ref Arch]}"),
            &["F <it is `!Ref Open`> <it is `!Ref Nowhere`> (arm64)"],
        );
        check(
            &sam("{CodeUri: !Sub 'out/${Arch}.zip', Runtime: !Sub '${Open}', Architectures: !Ref Arch}"),
            &["F (out/arm64.zip) <it is `!Sub ${Open}`> (arm64)"],
        );
        check(
            &sam(
                "{CodeUri: s3://b/k, Runtime: !FindInMap [a, b, c], Architectures: [!If [A, arm64, x86_64]]}",
            ),
            &["F <its code is in S3> <it is `!FindInMap ...`> <it is `!If ...`>"],
        );
        check(
            &sam("{CodeUri: {Bucket: b, Key: k}}"),
            &["F <its code is in S3> <it has no `Runtime`> (x86_64)"],
        );
        check(&sam("{PackageType: Image}"), &[]);
    }

    #[test]
    fn globals_are_of_sam_functions() {
        let text = "Globals: {Function: {Runtime: provided.al2023, Architectures: [arm64]}}\nResources:\n  \
                    A: {Type: AWS::Serverless::Function, Properties: {CodeUri: a.zip}}\n  \
                    B: {Type: AWS::Serverless::Function, Properties: {CodeUri: b.zip, Architectures: [x86_64]}}\n  \
                    C: {Type: AWS::Lambda::Function, Properties: {Code: c.zip, Runtime: provided}}\n  \
                    D: {Type: AWS::S3::Bucket}\n";
        check(
            text,
            &["A a.zip provided.al2023 arm64", "B b.zip provided.al2023 x86_64", "C c.zip provided (x86_64)"],
        );
    }

    #[test]
    fn assets_of_cdk() {
        let text = r#"{"Resources": {
            "F": {"Type": "AWS::Lambda::Function",
                  "Properties": {"Code": {"S3Bucket": {"Fn::Sub": "b-${AWS::Region}"}, "S3Key": "1.zip"},
                                 "Runtime": "provided.al2023", "Architectures": ["arm64"]},
                  "Metadata": {"aws:asset:path": "asset.1.zip", "aws:asset:property": "Code"}},
            "G": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "..."}, "Runtime": "python3.13"}}
        }}"#;
        check(
            text,
            &["F asset.1.zip provided.al2023 arm64", "G <its code is in the template> python3.13 (x86_64)"],
        );
    }

    #[test]
    fn the_list_of_assets_of_cdk() {
        let text = r#"{"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {
            "Code": {"S3Bucket": "b", "S3Key": "1.zip"}, "Runtime": "provided.al2023"}}}}"#;
        let assets = r#"{"version": "48.0.0", "files": {
            "0": {"source": {"path": "App.template.json", "packaging": "file"},
                  "destinations": {"current": {"bucketName": "b", "objectKey": "0.json"}}},
            "1": {"source": {"path": "asset.1.zip", "packaging": "file"},
                  "destinations": {"current": {"bucketName": "b", "objectKey": "1.zip"}}}}}"#;
        check_with(text, Some(assets), &["F asset.1.zip provided.al2023 (x86_64)"]);
        let other = assets.replace("1.zip\"}}}", "2.zip\"}}}");
        check_with(text, Some(&other), &["F <its code is in S3> provided.al2023 (x86_64)"]);
        let error = functions(text, Some("[")).unwrap_err();
        assert_eq!(error.to_string(), "the list of assets beside it is not JSON");
    }

    #[test]
    fn plans_and_states_of_terraform() {
        let module = r#"{"root_module": {"resources": [
              {"address": "aws_lambda_function.a", "type": "aws_lambda_function", "values":
                {"filename": "./a.zip", "runtime": "provided.al2023", "architectures": ["arm64"],
                 "source_code_hash": "abc="}},
              {"address": "aws_s3_bucket.b", "type": "aws_s3_bucket", "values": {}}],
            "child_modules": [{"address": "module.m", "resources": [
              {"address": "module.m.aws_lambda_function.c", "type": "aws_lambda_function", "values":
                {"filename": null, "runtime": "provided.al2023", "s3_key": "k"}}]}]}}"#;
        let expected = [
            "aws_lambda_function.a ./a.zip provided.al2023 arm64",
            "module.m.aws_lambda_function.c <it has no known `filename`> provided.al2023 <it has no known `architectures`>",
        ];
        let plan = format!(r#"{{"format_version": "1.2", "planned_values": {module}}}"#);
        let state = format!(r#"{{"format_version": "1.0", "values": {module}}}"#);
        check(&plan, &expected);
        check(&state, &expected);
        assert_eq!(functions(&plan, None).unwrap()[0].code_sha256.as_deref(), Some("abc="));
        assert_eq!(functions(&state, None).unwrap()[0].code_sha256, None);
    }

    #[test]
    fn what_is_no_template_says_so() {
        for (text, expected) in [
            ("{\"a\": 1", "it is not JSON"),
            ("{}", "it has no `Resources`, and no `format_version` of Terraform's JSON"),
            ("a: [", "it is not YAML"),
            ("just text", "it has no `Resources`, and no `format_version` of Terraform's JSON"),
            ("", "it has no `Resources`, and no `format_version` of Terraform's JSON"),
        ] {
            assert_eq!(functions(text, None).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn substitutions() {
        let value = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, expected) in [
            ("x", Some("x")),
            ("${A}b${A}", Some("1b1")),
            ("${!A}", Some("${A}")),
            ("${B}", None),
            ("${A", None),
        ] {
            assert_eq!(substitute(text, value).as_deref(), expected, "{text}");
        }
    }
}
