//! What a terminal of 80 columns shows of the commonest runs: the number of lines is a budget.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use crate::support::command::BINARY;
use crate::support::compile;
use crate::support::scene::Scene;
use crate::support::tools;
use crate::support::workspace::Workspace;

/// Runs the binary in a terminal of 80 columns. Returns its lines, without colours.
#[track_caller]
fn screen(scene: &Scene, arguments: &str) -> Vec<String> {
    let words = format!("-qefc 'stty rows 50 cols 80; exec {BINARY} {arguments}' screen");
    let mut script = scene.other_command("sh");
    let ran = crate::support::command::finish(script.args(["-c", &format!("script {words} >/dev/null")]));
    let text = scene.text("screen");
    let lines = text.lines().filter(|line| !line.starts_with("Script ")).map(|line| {
        let mut plain = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
        }
        (plain + rest).trim_end().to_owned()
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80 || line.starts_with('/')),
        "{lines:#?}: {ran}"
    );
    lines
}

fn has_terminals() -> bool {
    tools::require("script", "bsdutils") && tools::require("stty", "coreutils")
}

#[test]
fn a_function_with_libpq() {
    if !has_terminals() || !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    scene.c("int PQlibVersion(void); int main(void) { return PQlibVersion() > 0; }", "orders", "-lpq");
    let arguments = "--binary orders -o orders.zip --allow version-skew";
    let zip = scene.path().canonicalize().unwrap().join("orders.zip").display().to_string();
    let first = screen(&scene, arguments);
    assert!(first.len() <= 8, "{first:#?}");
    assert!(first[0].starts_with("     Bundled orders for provided.al2023 (x86_64): 1."), "{first:#?}");
    assert_eq!(first[1..], ["             added (libpq.so.5 and what it needs)", &zip]);
    assert_eq!(screen(&scene, arguments), ["       Fresh orders: orders.zip is up to date"]);
}

#[test]
fn five_functions() {
    if !has_terminals() {
        return;
    }
    let scene = Workspace::new();
    let first = screen(&scene, "-p f00 -p f01 -p f02 -p f04 -p f05");
    assert_eq!(first.len(), 12, "{first:#?}");
    assert_eq!(first[11], "    Finished 5 bundled", "{first:#?}");
    let again = screen(&scene, "-p f00 -p f01 -p f02 -p f04 -p f05");
    assert_eq!(again.last().unwrap(), "       Fresh 5 bundles are up to date", "{again:#?}");
    std::fs::copy(scene.path().join("target/lambda-bundle/f00/bootstrap.zip"), scene.path().join("f00.zip"))
        .unwrap();
    let verified = screen(&scene, "verify f00.zip");
    assert_eq!(verified, ["    Verified f00.zip: starts on provided.al2023 (x86_64)"]);
}
