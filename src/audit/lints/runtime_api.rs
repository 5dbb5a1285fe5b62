//! `not-a-runtime`: a function's program that never mentions the Runtime API.

use super::{File, Scene};
use crate::audit::{Code, Finding};
use crate::baseline;
use crate::elf::Linkage;

/// The texts in every client of the Runtime API: the variable with its address, and the path of its requests.
///
/// Source: "Using the Lambda runtime API" in AWS's developer guide.
pub(super) const SIGNS: [&str; 2] = ["AWS_LAMBDA_RUNTIME_API", "2018-06-01/runtime"];

/// The mark of a packer, after which a program's texts cannot be read.
pub(super) const PACKED: &str = "UPX!";

pub fn lint(scene: &Scene) -> Option<Finding> {
    let program = scene.program;
    if program.facts.linkage() == Linkage::SharedLibrary {
        return None;
    }
    // If a language's own program asks for requests, other programs are its tools.
    if !baseline::starts_bootstrap(&scene.subject.lambda.baseline.runtime) {
        return None;
    }
    let has_sign = |file: &File| SIGNS.iter().any(|sign| file.holds(sign));
    if has_sign(program) || program.holds(PACKED) {
        return None;
    }
    // A library that asks in the program's place is called by the program, and reads the address from the
    // environment.
    let is_called =
        |library: &&File| program.facts.needed.contains(&library.name) && library.imports("getenv");
    let mut libraries = scene.libraries.iter().filter(is_called);
    if libraries.any(has_sign) {
        return None;
    }
    let message = format!(
        "`{}` does not use Lambda's Runtime API (it never names AWS_LAMBDA_RUNTIME_API); as a function's `bootstrap` it would answer no request",
        program.name
    );
    Some(Finding::new(Code::NotARuntime, &program.name, message).help(
        "call the `lambda_runtime` crate's `run` in `main`; if a layer does this for it, such as Lambda Web Adapter, use `--allow not-a-runtime`",
    ))
}
