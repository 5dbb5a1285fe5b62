//! The symbol check against the real ld.so: what `ldd -r` calls undefined, for the programs and libraries of
//! this machine.
//!
//! ld.so relocates every object (LD_WARN and LD_BIND_NOW beside LD_TRACE_LOADED_OBJECTS) and executes nothing
//! of it. Both look up what a relocation names, so the two sets are equal.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::real_loader::LD_SO;
use crate::support::tools;
use cargo_lambda_bundle::baseline::{Exports, exports};
use cargo_lambda_bundle::disk::build_world::{self, DiskFiles};
use cargo_lambda_bundle::elf::{Arch, Libc};
use cargo_lambda_bundle::loader::World;
use cargo_lambda_bundle::loader::{self, Known, Outcome};
use cargo_lambda_bundle::paths::parent;
use cargo_lambda_bundle::world::{Files, Opened};

/// The undefined symbols of a file's closure, with the object that names each, as ld.so sees them.
fn real(path: &Path) -> BTreeSet<(String, String)> {
    let output = Command::new(LD_SO)
        .arg(path)
        .env_clear()
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .env("LD_WARN", "yes")
        .env("LD_BIND_NOW", "yes")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter_map(|line| line.split_once("undefined symbol: "))
        .filter_map(|(_, rest)| rest.split_once("\t("))
        .map(|(symbol, object)| {
            let symbol = symbol.split(',').next().unwrap_or(symbol);
            (symbol.to_owned(), object.trim_end_matches(')').to_owned())
        })
        .collect()
}

/// The same by the model; `None` where the closure is not whole, since ld.so does not relocate then.
fn model(files: &DiskFiles, path: &str) -> Option<BTreeSet<(String, String)>> {
    let Opened::File(root) = files.open(path) else { return None };
    let rules = build_world::rules(files, Arch::X86_64, Libc::Glibc);
    let world = World { files, rules: rules.clone(), library_path: None, working_directory: "/".into() };
    let closure = loader::walk(&world, path, parent(path), root, &[]);
    if closure.needs.iter().any(|need| !matches!(need.outcome, Outcome::Loaded(_))) {
        return None;
    }
    let checks = loader::check_versions(&closure, &rules);
    let none = BTreeMap::new();
    let known = Known { exports: None, build: &none, replaced: &[], binds_now: false };
    let undefined = loader::undefined_symbols(&closure, &rules, &checks, &known);
    Some(
        undefined
            .into_iter()
            .map(|undefined| (undefined.symbol, closure.objects[undefined.by].path.clone()))
            .collect(),
    )
}

fn libraries() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/sbin"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && !path.is_symlink())
        .collect();
    found.sort();
    found
}

#[test]
fn the_model_agrees_with_ld_so_on_undefined_symbols() {
    if !Path::new(LD_SO).exists() && !tools::skip("glibc's ld.so (apt: libc6)") {
        return;
    }
    let files = DiskFiles::new(None, Vec::new(), Vec::new());
    let (mut n_files, mut n_undefined) = (0, 0);
    let mut differences = Vec::new();
    // Relocating takes ld.so some 20 ms a file: every second is enough to see a wrong rule.
    let step = if tools::takes_a_part("programs and libraries of this machine") { 8 } else { 2 };
    for path in libraries().into_iter().step_by(step) {
        let Some(ours) = path.to_str().and_then(|path| model(&files, path)) else { continue };
        let theirs = real(&path);
        n_files += 1;
        n_undefined += theirs.len();
        for (symbol, object) in theirs.difference(&ours) {
            differences.push(format!("{}: ld.so misses {symbol} for {object}", path.display()));
        }
        for (symbol, object) in ours.difference(&theirs) {
            differences.push(format!("{}: the model misses {symbol} for {object}", path.display()));
        }
    }
    println!("{n_files} files, {n_undefined} undefined symbols");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    // Few files have any: an eighth may have none.
    if n_files * step <= 1000 || (step == 2 && n_undefined == 0) {
        tools::skip("more than 500 libraries and programs in /usr, some of them with undefined symbols");
    }
}

/// The embedded lists of AL2023 beside the libraries of this machine, for the nodes that both have: a released node
/// gains no symbols. GLIBC_PRIVATE is no release's, and GLIBC_2.35 came to AL2023 by backports.
#[test]
fn the_embedded_exports_are_those_of_real_libraries() {
    for (arch, directory, loader) in [
        (Arch::X86_64, "/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
        (Arch::Arm64, "/usr/aarch64-linux-gnu/lib", "ld-linux-aarch64.so.1"),
    ] {
        let there = Path::new(directory).join("libstdc++.so.6").exists();
        if !there && !tools::skip("libstdc++ for both architectures (apt: libstdc++6-arm64-cross)") {
            continue;
        }
        for soname in [loader, "libc.so.6", "libm.so.6", "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6"]
        {
            compare_exports(&format!("{directory}/{soname}"), soname, &exports("2.34", arch).unwrap());
        }
    }
}

/// GCC 12 added them to a node of GCC 3.0, see the head of the list.
const NEWER_THAN_ITS_NODE: &[&str] = &["__extendsfdf2", "__truncdfsf2"];

#[track_caller]
fn compare_exports(path: &str, soname: &str, exports: &Exports) {
    let listed: BTreeSet<(&str, &str)> = exports
        .lines()
        .filter(|(_, exports)| exports.iter().any(|export| export.library == soname))
        .filter_map(|(entry, _)| entry.split_once('@'))
        .collect();
    let Opened::File(root) = DiskFiles::new(None, Vec::new(), Vec::new()).open(path) else {
        panic!("{path} cannot be opened")
    };
    let elf = root.object.elf().unwrap();
    let nodes: BTreeMap<u16, &str> = elf
        .verdef
        .iter()
        .filter(|def| !def.base && !["GLIBC_PRIVATE", "GLIBC_2.35"].contains(&def.node.as_str()))
        .map(|def| (def.index & 0x7fff, def.node.as_str()))
        .collect();
    let names: Vec<(String, &str)> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.defined)
        .filter_map(|symbol| {
            let node = nodes.get(&(symbol.version & 0x7fff))?;
            Some((elf.symbols.name(symbol).into_owned(), *node))
        })
        .filter(|(symbol, node)| symbol != node && !NEWER_THAN_ITS_NODE.contains(&symbol.as_str()))
        .collect();
    let real: BTreeSet<(&str, &str)> = names.iter().map(|(symbol, node)| (symbol.as_str(), *node)).collect();
    let of_list: BTreeSet<&str> = listed.iter().map(|(_, node)| *node).collect();
    let of_file: BTreeSet<&str> = nodes.into_values().collect();
    let not_listed: Vec<_> = real.difference(&listed).filter(|(_, node)| of_list.contains(node)).collect();
    let not_there: Vec<_> = listed.difference(&real).filter(|(_, node)| of_file.contains(node)).collect();
    println!("{path}: {} symbols", real.intersection(&listed).count());
    assert!(not_listed.is_empty() && not_there.is_empty(), "{path}: {not_listed:?} {not_there:?}");
    assert!(real.intersection(&listed).count() >= 5, "{path}");
}
