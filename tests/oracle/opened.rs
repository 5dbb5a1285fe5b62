//! What a program opens at run time, asked of the model and of the real ld.so: which objects it sees, and whether
//! ld.so takes it at all.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::compile::CC;
use crate::support::objects::{Has, Tree, X86_64};
use crate::support::real_loader::{LD_SO, pinned, started};
use crate::support::tools;
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{self, Closure, Outcome, Rule};
use cargo_lambda_bundle::paths::file_name;
use cargo_lambda_bundle::world::{Files, Opened};

/// Opens each of its arguments, and says what comes of it.
const OPENER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **names) {
    for (int i = 1; i < count; i++) puts(dlopen(names[i], RTLD_NOW) ? "ok" : dlerror());
}
"#;

/// A tree with `T/prog`, which opens what it is told, if this machine has the tools.
#[track_caller]
fn tree(arguments: &str) -> Option<Tree> {
    let glibc = Path::new(LD_SO).exists() || tools::skip("glibc's ld.so (apt: libc6)");
    let able = glibc
        && tools::require("ld", "binutils")
        && tools::require("as", "binutils")
        && tools::require("cc", "gcc");
    let tree = able.then(|| Tree::new(X86_64))?;
    CC.compile_as_is(&tree.path(""), OPENER, "prog", &tree.long(arguments));
    Some(tree)
}

fn walk(tree: &Tree, names: &[&str]) -> Closure {
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let path = tree.path("prog").to_str().unwrap().to_owned();
    let Opened::File(root) = files.open(&path) else { panic!("{path:?} is there") };
    let world = World {
        rules: build_world::rules(&files, Arch::X86_64, Libc::Glibc),
        files: &files,
        library_path: None,
        working_directory: tree.path("").to_str().unwrap().to_owned(),
    };
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    loader::walk(&world, &path, tree.path("").to_str().unwrap(), root, &names)
}

fn real(tree: &Tree, names: &[&str], debug: &str) -> (String, String) {
    let mut command = pinned(tree.path("prog"));
    command.args(names).env("LD_DEBUG", debug).current_dir(tree.path(""));
    let output = started(&mut command);
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Both sides' scopes of each object that is loaded by opening, `object: scope, scope, ...`.
#[track_caller]
fn scopes(tree: &Tree, names: &[&str], expected: &[&str]) {
    let closure = walk(tree, names);
    let opened = (0..closure.objects.len()).filter(|object| closure.is_opened(*object));
    let show = |object: usize| match closure.objects[object].rule {
        Rule::Root => "prog".to_owned(),
        _ => tree.short(&closure.objects[object].path),
    };
    let line = |object: usize| {
        let scope: Vec<String> =
            closure.scope(closure.objects[object].opening).map(show).filter(|path| is_ours(path)).collect();
        format!("{}: {}", show(object), scope.join(" "))
    };
    let mut model: Vec<String> = opened.map(line).collect();
    model.sort();
    assert_eq!(model, expected, "model");

    // What is there at the start has its line, too, and the same line again when it is met later.
    let (_, start) = real(tree, &[], "scopes");
    let (_, all) = real(tree, names, "scopes");
    let mut known: Vec<String> = scope_lines(tree, &start).into_iter().map(|(object, _)| object).collect();
    let mut lines: Vec<String> = Vec::new();
    for (object, scope) in scope_lines(tree, &all) {
        // The first time is that of its loading.
        if !known.contains(&object) {
            lines.push(format!("{object}: {}", scope.join(" ")));
            known.push(object);
        }
    }
    lines.sort();
    assert_eq!(lines, expected, "ld.so");
}

/// What `LD_DEBUG=scopes` prints: each object, and the objects in its scopes.
fn scope_lines(tree: &Tree, text: &str) -> Vec<(String, Vec<String>)> {
    let name = |path: &str| match tree.short(path) {
        path if path.ends_with("/prog") => "prog".to_owned(),
        path => path,
    };
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter_map(|line| line.split_once(":\t")).map(|(_, line)| line.trim()) {
        if let Some(object) = line.strip_prefix("object=") {
            lines.push((name(object.split(" [").next().unwrap()), Vec::new()));
        } else if let Some((_, objects)) = line.strip_prefix("scope ").and_then(|rest| rest.split_once(": "))
        {
            let objects = objects.split(' ').map(name).filter(|path| is_ours(path));
            lines.last_mut().unwrap().1.extend(objects);
        }
    }
    lines.retain(|(object, scope)| is_ours(object) && !scope.is_empty());
    lines
}

fn is_ours(path: &str) -> bool {
    path == "prog" || path.starts_with("T/")
}

/// What comes of each name: `ok`, or why not.
#[track_caller]
fn opens(tree: &Tree, names: &[&str], expected: &[&str]) {
    let closure = walk(tree, names);
    let answer = |at: usize| {
        let within = |by: usize| {
            (by == 0 && closure.opened[at].object.is_none()) || closure.opened[at].scope.contains(&by)
        };
        let failed = closure.needs.iter().filter(|need| match need.is_opening {
            true => need.name == closure.opened[at].name,
            false => within(need.by),
        });
        let why = failed.filter_map(|need| match &need.outcome {
            Outcome::Loaded(_) => None,
            Outcome::Missing(_) => Some(format!("{}: cannot open shared object file", need.name)),
            Outcome::Fatal { path, reason } => Some(format!("{}: {reason}", file_name(path))),
        });
        why.into_iter().next().unwrap_or_else(|| "ok".to_owned())
    };
    let model: Vec<String> = (0..names.len()).map(answer).collect();
    assert_eq!(model, expected, "model");
    let (answers, _) = real(tree, names, "");
    let real: Vec<String> = answers
        .lines()
        .map(|line| tree.short(line.strip_suffix(": No such file or directory").unwrap_or(line)))
        .collect();
    assert_eq!(real, expected, "ld.so");
}

#[test]
fn each_opened_library_sees_the_program_and_its_own_closure() {
    let Some(t) = tree("-Xlinker -rpath -Xlinker T/lib") else {
        return;
    };
    t.library("lib/liba.so", Has::needed(&["libb.so", "libd.so"]).runpath("T/lib"));
    t.library("lib/libb.so", Has::needed(&["libc1.so"]).runpath("T/lib"));
    for name in ["libc1.so", "libd.so", "libe.so"] {
        t.library(&format!("lib/{name}"), Has::nothing());
    }
    scopes(
        &t,
        &["liba.so", "libe.so"],
        &[
            "T/lib/liba.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so T/lib/libc1.so",
            "T/lib/libb.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so T/lib/libc1.so",
            "T/lib/libc1.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so T/lib/libc1.so",
            "T/lib/libd.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so T/lib/libc1.so",
            "T/lib/libe.so: prog T/lib/libe.so",
        ],
    );
}

#[test]
fn what_was_opened_before_keeps_its_scope_and_is_in_the_next() {
    let Some(t) = tree("-Xlinker -rpath -Xlinker T/lib") else {
        return;
    };
    t.library("lib/liba.so", Has::needed(&["libb.so"]).runpath("T/lib"));
    t.library("lib/libb.so", Has::needed(&["libd.so"]).runpath("T/lib"));
    // Found by its name, though nothing leads to it from here.
    t.library("lib/libe.so", Has::needed(&["libb.so"]).runpath("/nowhere"));
    t.library("lib/libd.so", Has::nothing());
    scopes(
        &t,
        &["liba.so", "libe.so"],
        &[
            "T/lib/liba.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so",
            "T/lib/libb.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so",
            "T/lib/libd.so: prog T/lib/liba.so T/lib/libb.so T/lib/libd.so",
            "T/lib/libe.so: prog T/lib/libe.so T/lib/libb.so T/lib/libd.so",
        ],
    );
}

#[test]
fn what_the_program_needs_is_there_already() {
    let Some(t) = tree("") else { return };
    t.library("lib/libb.so", Has::needed(&["libd.so"]).runpath("T/lib").soname("libb.so"));
    t.library("lib/libd.so", Has::nothing());
    let arguments =
        t.long("-Wl,--no-as-needed T/lib/libb.so -Xlinker -rpath -Xlinker T/lib -Wl,--allow-shlib-undefined");
    CC.compile_as_is(&t.path(""), OPENER, "prog", &arguments);
    t.library("lib/liba.so", Has::needed(&["libd.so", "libb.so"]));
    scopes(
        &t,
        &["libb.so", "liba.so"],
        &["T/lib/liba.so: prog T/lib/libb.so T/lib/libd.so T/lib/liba.so T/lib/libd.so T/lib/libb.so"],
    );
}

#[test]
fn the_programs_paths_lead_to_what_it_opens() {
    for (option, expected) in [
        // DT_RPATH of the program serves what the library needs, too.
        ("-Wl,--disable-new-dtags", ["ok", "ok"]),
        ("-Wl,--enable-new-dtags", ["ok", "libd.so: cannot open shared object file"]),
    ] {
        let arguments = format!("{option} -Xlinker -rpath -Xlinker T/lib");
        let Some(t) = tree(&arguments) else { return };
        t.library("lib/liba.so", Has::nothing()).library("lib/libb.so", Has::needed(&["libd.so"]));
        t.library("lib/libd.so", Has::nothing());
        opens(&t, &["liba.so", "libb.so"], &expected);
    }
}

#[test]
fn an_object_that_may_not_be_opened_is_refused_wherever_it_is_met() {
    let Some(t) = tree("-Xlinker -rpath -Xlinker T/lib") else {
        return;
    };
    let refused = "liba.so: shared object cannot be dlopen()ed";
    t.library("lib/liba.so", Has::nothing().options(&["-z", "nodlopen"]));
    t.library("lib/libb.so", Has::needed(&["liba.so"]).runpath("T/lib"));
    opens(&t, &["liba.so", "libb.so"], &[refused, refused]);
    // Not if it is there already.
    let arguments = t.long("-Wl,--no-as-needed T/lib/liba.so -Xlinker -rpath -Xlinker T/lib");
    t.library("lib/liba.so", Has::nothing().options(&["-z", "nodlopen"]).soname("liba.so"));
    CC.compile_as_is(&t.path(""), OPENER, "prog", &arguments);
    opens(&t, &["liba.so", "libb.so"], &["ok", "ok"]);
}
