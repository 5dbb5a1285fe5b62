//! `AWS_LAMBDA_EXEC_WRAPPER`: what `verify` says of the file that it names, beside what a runtime's bash does with it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::links::{scene, zip};
use crate::support::lambda_root::{self, LambdaRoot};
use crate::support::scene::Scene;
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// A function with a layer, and its wrapper.
struct Wrapped {
    name: &'static str,
    /// As in `links.rs`.
    files: &'static str,
    layer: &'static str,
    wrapper: &'static str,
    /// What the report has if the function does not start.
    fails: Option<&'static str>,
}

const fn row(
    name: &'static str,
    files: &'static str,
    layer: &'static str,
    wrapper: &'static str,
    fails: Option<&'static str>,
) -> Wrapped {
    Wrapped { name, files, layer, wrapper, fails }
}

const ROWS: &[Wrapped] = &[
    row("a layer's script", "index.js=text", "w=wrap", "/opt/w", None),
    row("the function's", "index.js=text w=wrap", "", "/var/task/w", None),
    row("without a first line", "index.js=text w=plain", "", "/var/task/w", None),
    row("a program", "index.js=text", "w=execve", "/opt/w", None),
    row("a link", "index.js=text", "w->b/w b/w=wrap", "/opt/w", None),
    row("not in the layer", "index.js=text", "x=wrap", "/opt/w", Some("is in no attached layer")),
    row("no layer", "index.js=text", "", "/opt/bin/nope", Some("is in no attached layer")),
    row("a link to nothing", "index.js=text", "w->b/w", "/opt/w", Some("is a link that leads to no file")),
    row("not in the function", "index.js=text", "", "/var/task/w", Some("is not in the archive")),
    row("without the mode", "index.js=text", "w=wrap:0644", "/opt/w", Some("has mode 0644")),
    row("a carriage return", "index.js=text", "w=return", "/opt/w", Some("carriage return")),
    row("no interpreter", "index.js=text", "w=task", "/opt/w", Some("`/var/task/nope`, which is not")),
    row("a library", "index.js=text", "w=libfoo.so.1", "/opt/w", Some("it is a shared library")),
    row("another machine's", "index.js=text", "w=arm", "/opt/w", Some("cannot be started")),
    row("a first line without an interpreter", "index.js=text prog", "w=alone", "/opt/w", None),
    row("a script's interpreter", "index.js=text", "w=x-for bin/app", "/opt/w", Some("needs `libfoo.so.1`")),
    row("a program without its library", "index.js=text", "w=app", "/opt/w", Some("needs `libfoo.so.1`")),
];

fn can_make_archives() -> bool {
    tools::require("zip", "zip") && tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
}

/// Starts what a language's runtime starts: a script of bash, which executes the wrapper.
fn check(scene: &Scene, row: &Wrapped, root: &LambdaRoot) -> Result<(), String> {
    let Wrapped { name, files, layer, wrapper, fails } = row;
    for place in ["var/task", "opt"] {
        fs::remove_dir_all(root.path(place)).unwrap();
        fs::create_dir(root.path(place)).unwrap();
        fs::set_permissions(root.path(place), fs::Permissions::from_mode(0o755)).unwrap();
    }
    zip(scene, files, "app");
    root.unpack_function(&scene.at("app.zip"));
    let mut attached = "";
    if !layer.is_empty() {
        zip(scene, layer, "layer");
        root.unpack_layer(&scene.at("layer.zip"));
        attached = "--attached-layer layer.zip";
    }
    let asks = format!("[ -f {wrapper} ] && [ -x {wrapper} ] && exec -- {wrapper} /language");
    let output = root.start("/bin/bash", &["-c", &asks]);
    let env = format!("--env AWS_LAMBDA_EXEC_WRAPPER={wrapper}");
    let ran = scene.run(&format!("verify app.zip --runtime nodejs22.x {env} {attached}"));
    let template = "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: app.zip, \
        Runtime: nodejs22.x, Environment: {Variables: {AWS_LAMBDA_EXEC_WRAPPER: PLACE}}}}}";
    scene.file("template.yaml", template.replace("PLACE", wrapper));
    let by_template = scene.run(&format!("verify --template template.yaml {attached}"));
    for ran in [ran, by_template] {
        let says = match fails {
            Some(says) => ran.code == Some(1) && ran.stderr.contains(says),
            None => ran.code == Some(0) && !ran.stderr.contains("does not"),
        };
        if output.status.success() != fails.is_none() || !says {
            return Err(format!("{name}: {output:?}\n{ran}"));
        }
    }
    Ok(())
}

#[test]
fn the_wrapper_of_a_languages_program_is_proved() {
    if !lambda_root::require(Arch::X86_64) || !can_make_archives() {
        return;
    }
    let scene = scene();
    let root = LambdaRoot::new(Arch::X86_64, &["libc.so.6", "libtinfo.so.6"]);
    fs::create_dir(root.path("bin")).unwrap();
    tools::copy_program("/bin/sh", root.path("bin/sh"));
    tools::copy_program("/bin/bash", root.path("bin/bash"));
    tools::copy_program(scene.at("prog"), root.path("language"));
    let wrong: Vec<String> = ROWS.iter().filter_map(|row| check(&scene, row, &root).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}

/// The runtime's files are not known: a wrapper among them leaves the answer open.
#[test]
fn a_wrapper_of_the_runtimes_is_not_proved() {
    if !can_make_archives() {
        return;
    }
    let scene = scene();
    for (files, wrapper) in [
        ("index.js=text", "/usr/bin/strace"),
        ("index.js=text w->/var/runtime/w", "/var/task/w"),
        ("index.js=text d->/usr/bin", "/var/task/d/strace"),
    ] {
        zip(&scene, files, "app");
        let ran = scene
            .run(&format!("verify app.zip --runtime nodejs22.x --env AWS_LAMBDA_EXEC_WRAPPER={wrapper}"));
        ran.exits(0)
            .says(&["AWS_LAMBDA_EXEC_WRAPPER and not in the archive\n  whether it starts was not proved"]);
    }
}

/// Scripts in a layer's `bin/` that no program can execute are warned of.
#[test]
fn scripts_on_the_path_are_looked_at() {
    if !can_make_archives() {
        return;
    }
    let scene = scene();
    for (files, says) in [
        ("bin/w=wrap", ""),
        ("bin/w=return", "carriage return"),
        ("bin/w=wrap:0644", "has mode 0644"),
        ("bin/w=opt", "which is not in the archive"),
        ("share/w=return", ""),
    ] {
        zip(&scene, files, "layer");
        let ran = scene.run("verify layer.zip --kind layer --runtime nodejs22.x");
        let warns = ran.stderr.contains("warning[");
        assert!(
            ran.code == Some(0) && warns != says.is_empty() && ran.stderr.contains(says),
            "{files}: {ran}"
        );
    }
}
