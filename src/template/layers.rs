//! The layers of a template's functions.

use serde_json::{Map, Value};

use super::{TemplateSetting, local_asset, local_code, resolve, shown};

/// A layer of a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionLayer {
    /// A layer of the same template.
    Local {
        /// Its logical name.
        name: String,
        /// The local file or directory with its content, relative to the template.
        path: String,
    },
    /// A layer whose content is not on this machine: its ARN, its name in the template, or an expression.
    Elsewhere(String),
    /// What names no layer: neither an ARN nor a resource of the template.
    Nothing(String),
}

impl FunctionLayer {
    /// The logical name, or what the template says.
    pub fn name(&self) -> &str {
        match self {
            FunctionLayer::Local { name, .. }
            | FunctionLayer::Elsewhere(name)
            | FunctionLayer::Nothing(name) => name,
        }
    }
}

/// The parts of a template to which a list of layers may refer.
pub(super) struct Surroundings<'a> {
    pub resources: &'a Map<String, Value>,
    pub parameters: &'a Map<String, Value>,
    pub assets: &'a Value,
}

impl Surroundings<'_> {
    /// Reads the value of `Layers`.
    pub fn layers(&self, value: &Value) -> Vec<FunctionLayer> {
        match value {
            Value::Array(items) => items.iter().filter_map(|item| self.layer(item)).collect(),
            Value::Null => Vec::new(),
            value => self.layer(value).into_iter().collect(),
        }
    }

    fn layer(&self, value: &Value) -> Option<FunctionLayer> {
        let Some(name) = value["Ref"].as_str() else { return Some(self.elsewhere(value)) };
        if name == "AWS::NoValue" {
            return None;
        }
        let Some(resource) = self.resources.get(name) else {
            return Some(match self.parameters.contains_key(name) {
                true => self.elsewhere(value),
                false => FunctionLayer::Nothing(shown(value)),
            });
        };
        let key = match resource["Type"].as_str() {
            Some("AWS::Serverless::LayerVersion") => "ContentUri",
            Some("AWS::Lambda::LayerVersion") => "Content",
            _ => return Some(self.elsewhere(value)),
        };
        let content = resource["Properties"].get(key);
        let local = local_asset(resource, content, key, self.assets).map(str::to_owned);
        let local = local.or_else(|| match local_code(content?, self.parameters) {
            TemplateSetting::Known(path) | TemplateSetting::Default(path) => Some(path),
            TemplateSetting::Unknown(_) => None,
        });
        Some(match local {
            Some(path) => FunctionLayer::Local { name: name.to_owned(), path },
            None => FunctionLayer::Elsewhere(name.to_owned()),
        })
    }

    fn elsewhere(&self, value: &Value) -> FunctionLayer {
        match resolve(value, self.parameters) {
            TemplateSetting::Known(arn) | TemplateSetting::Default(arn) if arn.starts_with("arn:") => {
                FunctionLayer::Elsewhere(arn)
            }
            // A dynamic reference: the deployment reads the ARN from a parameter store.
            TemplateSetting::Known(text) if text.contains("{{resolve:") => FunctionLayer::Elsewhere(text),
            TemplateSetting::Known(text) => FunctionLayer::Nothing(text),
            // Who deploys gives the parameter its value.
            TemplateSetting::Default(_) | TemplateSetting::Unknown(_) => {
                FunctionLayer::Elsewhere(shown(value))
            }
        }
    }
}

/// Reads the layers of a function in Terraform's JSON: ARNs, or those that only the deployment knows.
///
/// A plan leaves unknown values out, and lists them in `after_unknown`. Source: "JSON Output Format" in the manual of
/// Terraform.
pub(super) fn of_terraform(document: &Value, resource: &Value) -> Vec<FunctionLayer> {
    if let Some(arns) = resource["values"]["layers"].as_array() {
        let name = |arn: &Value| FunctionLayer::Elsewhere(arn.as_str().unwrap_or("a new layer").to_owned());
        return arns.iter().map(name).collect();
    }
    let changes = document["resource_changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let change = changes.iter().find(|change| change["address"] == resource["address"]);
    match change.map(|change| &change["change"]["after_unknown"]["layers"]) {
        Some(Value::Bool(true) | Value::Array(_)) => vec![FunctionLayer::Elsewhere("a new layer".to_owned())],
        _ => Vec::new(),
    }
}
