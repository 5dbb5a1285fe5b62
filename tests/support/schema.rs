//! Documents held to JSON Schemas, by a validator that is not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_lambda_bundle::cli::documents::SCHEMA;
use jsonschema::Validator;
use serde_json::Value;

use super::tools;

/// Fails with every place where the document is not what the schema says.
#[track_caller]
pub fn check(document: &Value, schema: &Validator) {
    let errors: Vec<String> =
        schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}\n{document:#}", errors.join("\n"));
}

/// The published schema of our JSON, closed: a field that it does not describe is an error here.
pub fn ours() -> &'static Validator {
    static OURS: LazyLock<Validator> = LazyLock::new(|| {
        let mut schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        close(&mut schema);
        jsonschema::validator_for(&schema).expect("a valid schema")
    });
    &OURS
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(parts) => {
            parts.values_mut().for_each(close);
            if parts.contains_key("required") {
                parts.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(close),
        _ => {}
    }
}

/// The schema of SARIF 2.1.0, as the crate `serde-sarif` ships it.
///
/// The crate is a dependency for this platform alone, so that it is downloaded and never compiled.
pub fn sarif() -> Option<Validator> {
    const PLATFORM: &str = "x86_64-unknown-none";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        tools::skip(&format!("the schema of SARIF (cargo fetch --target {PLATFORM})"));
        return None;
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let shipped = packages.iter().find(|package| package["name"] == "serde-sarif").expect("a dev-dependency");
    let manifest = Path::new(shipped["manifest_path"].as_str().expect("a path"));
    let path = manifest.with_file_name("src").join("schema.json");
    let mut schema = read(&path);
    // Of the names of languages, which we do not write: a bracket that nothing opens is no regular expression.
    for definition in ["run", "toolComponent"] {
        let language = schema["definitions"][definition]["properties"]["language"].as_object_mut();
        language.expect("a property").remove("pattern").expect("a pattern");
    }
    Some(jsonschema::validator_for(&schema).expect("a valid schema"))
}

/// The schema of CycloneDX 1.6, as the Python package `cyclonedx-python-lib` ships it.
pub fn cyclonedx() -> Option<Validator> {
    let find = "import cyclonedx.schema as s; print(s.__path__[0])";
    let output = Command::new("python3").args(["-c", find]).output().ok();
    let Some(output) = output.filter(|output| output.status.success()) else {
        tools::skip("the schemas of CycloneDX (pip install cyclonedx-python-lib)");
        return None;
    };
    let directory = String::from_utf8(output.stdout).expect("a path in UTF-8");
    let directory = PathBuf::from(directory.trim()).join("_res");
    let schema = |name: &str| read(&directory.join(format!("{name}.SNAPSHOT.schema.json")));
    let others = ["spdx", "jsf-0.82"];
    let registry = others
        .iter()
        .try_fold(jsonschema::Registry::new(), |registry, name| {
            // Under the name by which the main one refers to it.
            let uri = format!("http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json");
            registry.add(uri, schema(name))
        })
        .and_then(|registry| registry.prepare())
        .expect("valid schemas");
    let main = schema("bom-1.6");
    Some(jsonschema::options().with_registry(&registry).build(&main).expect("a valid schema"))
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
