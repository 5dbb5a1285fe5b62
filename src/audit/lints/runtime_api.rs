//! `not-a-runtime`: a function's program that never mentions the Runtime API, and an extension that never registers
//! there.

use super::{File, Scene, StartedAs};
use crate::audit::{Code, Finding};
use crate::baseline;
use crate::elf::Linkage;

/// The texts in every client of the Runtime API: the variable with its address, and the path of its requests.
///
/// Source: "Using the Lambda runtime API" in AWS's developer guide.
pub(super) const SIGNS: [&str; 2] = ["AWS_LAMBDA_RUNTIME_API", "2018-06-01/runtime"];

/// The text in every client of the Extensions API: the path at which an extension registers.
///
/// Source: "Using the Lambda Extensions API to create extensions" in AWS's developer guide:
/// `http://${AWS_LAMBDA_RUNTIME_API}/2020-01-01/extension/register`.
pub(super) const REGISTRATION: &str = "extension/register";

/// The mark of a packer, after which a program's texts cannot be read.
pub(super) const PACKED: &str = "UPX!";

pub fn lint(scene: &Scene) -> Option<Finding> {
    let program = scene.program;
    if program.facts.linkage() == Linkage::SharedLibrary || program.holds(PACKED) {
        return None;
    }
    match scene.started_as {
        StartedAs::Nothing => None,
        StartedAs::Extension => of_extension(scene),
        // If a language's own program asks for requests, other programs are its tools.
        StartedAs::Bootstrap if !baseline::starts_bootstrap(&scene.subject.lambda.baseline.runtime) => None,
        StartedAs::Bootstrap => of_function(scene),
    }
}

/// Whether the program, or a library that it calls, contains one of these.
///
/// A library that asks in the program's place is called by the program, and reads the address from the environment.
fn holds(scene: &Scene, marks: &[&str]) -> bool {
    let needed = &scene.program.facts.needed;
    let is_called = |library: &&File| needed.contains(&library.name) && library.imports("getenv");
    let has_mark = |file: &File| marks.iter().any(|mark| file.holds(mark));
    has_mark(scene.program) || scene.libraries.iter().filter(is_called).any(has_mark)
}

fn of_function(scene: &Scene) -> Option<Finding> {
    if holds(scene, &SIGNS) {
        return None;
    }
    let name = &scene.program.name;
    let message = format!(
        "`{name}` does not use Lambda's Runtime API: as a function's `bootstrap` it would answer no request"
    );
    Some(Finding::new(Code::NotARuntime, name, message).help(
        "call `lambda_runtime::run` in `main`, or, if a layer such as Lambda Web Adapter does it, `--allow not-a-runtime`",
    ))
}

/// A client that puts the path together from parts still names the variable, and not the path for requests.
fn of_extension(scene: &Scene) -> Option<Finding> {
    if holds(scene, &[REGISTRATION]) || (holds(scene, &SIGNS[..1]) && !holds(scene, &SIGNS[1..])) {
        return None;
    }
    let name = &scene.program.name;
    let why = match holds(scene, &SIGNS[1..]) {
        true => format!("it asks for a function's requests (`{}`)", SIGNS[1]),
        false => "it does not name AWS_LAMBDA_RUNTIME_API".to_owned(),
    };
    let message = format!(
        "`{name}` does not register as an extension: no function with it would get past its init phase"
    );
    let finding = Finding::new(Code::NotARuntime, name, message);
    Some(finding.detail(format!("{why}, and it does not name `{REGISTRATION}`")).help(
        "call the `lambda_extension` crate's `run` in `main`, or bundle the extension's own program: `--bin NAME`",
    ))
}
