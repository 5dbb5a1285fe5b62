//! Bundles of programs that real compilers made: what is shipped, what is found, what is written.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod libpq;
mod libraries;
mod versions;
mod written;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::command::Ran;
use crate::support::compile::Compiler;
use crate::support::scene::{NEEDS_TOP, Scene};

/// The names in an archive, in no order.
#[track_caller]
fn names(scene: &Scene, zip: &str) -> BTreeSet<String> {
    scene.names(zip).into_iter().collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The findings of the only artifact: code, object, SONAME.
fn findings(ran: &Ran) -> Vec<(String, String, String)> {
    let document = ran.json();
    let artifacts = document["artifacts"].as_array().expect("artifacts");
    assert_eq!(artifacts.len(), 1, "{document:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = artifacts[0]["findings"].as_array().expect("findings");
    findings
        .iter()
        .map(|finding| (text(&finding["code"]), text(&finding["object"]), text(&finding["soname"])))
        .collect()
}

fn finding(code: &str, object: &str, soname: &str) -> (String, String, String) {
    (code.to_owned(), object.to_owned(), soname.to_owned())
}

/// A program with a library that has a library, all of this machine's making, in the directory and its `libs`.
#[track_caller]
fn chain_of_libraries(scene: &Scene) {
    scene.library("libs/libdeep.so.1", "int deep(void) { return 0; }", "");
    let top = "int deep(void); int top(void) { return deep(); }";
    scene.library("libs/libtop.so.1", top, "-Wl,--no-as-needed libs/libdeep.so.1");
    scene.c(NEEDS_TOP, "app", "libs/libtop.so.1 -Wl,-rpath-link,libs");
}

/// Compiles a program, bundles it and compares its findings; what is an error is not written.
#[track_caller]
fn check(compiler: Compiler, source: &str, link: &str, flags: &str, expected: &[(&str, &str, &str)]) -> Ran {
    let scene = Scene::new();
    compiler.compile(scene.path(), source, "app", link);
    let ran = scene.run(&format!("--binary app -o app.zip --message-format json {flags}"));
    let is_error = ran.json()["artifacts"][0]["findings"]
        .as_array()
        .is_some_and(|findings| findings.iter().any(|finding| finding["severity"] == "error"));
    let ran = ran.exits(is_error.into());
    assert_eq!(scene.has("app.zip"), !is_error, "{ran}");
    let expected: Vec<_> =
        expected.iter().map(|(code, object, soname)| finding(code, object, soname)).collect();
    assert_eq!(findings(&ran), expected, "{ran}");
    ran
}
