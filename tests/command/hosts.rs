//! Hosts that are not Linux. Windows by Wine: the same bytes as here, drives, backslashes, names that differ in case.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::command::{Ran, command, finish};
use crate::support::compile::Compiler;
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;

const TARGET: &str = "x86_64-pc-windows-gnu";
const NEEDS: &str = "int greet(void); int main(void) { return greet(); }";
const LIBRARY: &str = "int greet(void) { return 0; }";

/// Elsewhere a value may depend on the system (`cfg!`), but everything is compiled everywhere.
#[test]
fn code_of_one_system_is_in_disk() {
    let mut directories = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut read = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let is_disk = path.to_str().unwrap().contains("/src/disk");
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_disk {
                let text = fs::read_to_string(&path).unwrap();
                for word in ["std::os::", "cfg(unix)", "cfg(not(unix))", "cfg(windows)"] {
                    assert!(!text.contains(word), "{} has `{word}`", path.display());
                }
                read += 1;
            }
        }
    }
    assert!(read > 50, "only {read} files read");
}

/// The program for Windows, and where Wine keeps its own.
struct Wine {
    program: PathBuf,
    prefix: PathBuf,
}

fn wine() -> Option<&'static Wine> {
    static WINE: OnceLock<Wine> = OnceLock::new();
    let has_all = tools::require("wine", "wine")
        && tools::require("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")
        && tools::require_target(TARGET)
        && tools::require("musl-gcc", "musl-tools");
    has_all.then(|| WINE.get_or_init(build))
}

/// With the features of this build, so that the archives can be compared.
fn build() -> Wine {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target_dir = own.parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--bins", "--target", TARGET]);
    cargo.arg("--target-dir").arg(target_dir);
    if !cfg!(feature = "libdeflate") {
        cargo.arg("--no-default-features");
    }
    assert!(cargo.status().unwrap().success());
    let root = own.join("wine");
    fs::create_dir_all(&root).unwrap();
    let program = root.join("cargo-lambda-bundle.exe");
    fs::copy(target_dir.join(TARGET).join("debug/cargo-lambda-bundle.exe"), &program).unwrap();
    // Of newer Windows; Wine 8 does not have it. What Rust's library takes from it is random numbers.
    let source = root.join("random.c");
    let random = "#include <windows.h>\nBOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n\
        __declspec(dllexport) BOOL ProcessPrng(PBYTE to, SIZE_T n) { return SystemFunction036(to, n); }\n";
    fs::write(&source, random).unwrap();
    let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
    gcc.args(["-shared", "-o"]).arg(root.join("bcryptprimitives.dll")).arg(&source).arg("-ladvapi32");
    assert!(gcc.status().unwrap().success());
    let wine = Wine { program, prefix: root.join("prefix") };
    // Half a minute: once for each release of Wine.
    let (release, made_by) = (finish(wine.command(&root).arg("--version")), root.join("made-by"));
    if fs::read_to_string(&made_by).unwrap_or_default() != release.stdout {
        let made = finish(wine.command(&root).args(["wineboot", "-i"]));
        assert_eq!(made.code, Some(0), "{made}");
        link_own_files(&wine.prefix);
        fs::write(made_by, release.stdout).unwrap();
    }
    wine
}

/// Puts links in place of Wine's copies of its own files, which are 0.6 GB.
fn link_own_files(prefix: &Path) {
    let own = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .map(|lib| format!("{lib}/wine/x86_64-windows"));
    let directories = own.iter().filter_map(|directory| fs::read_dir(directory).ok());
    for file in directories.flatten().map(|entry| entry.unwrap().path()) {
        let copy = prefix.join("drive_c/windows/system32").join(file.file_name().unwrap());
        if fs::read(&copy).is_ok_and(|bytes| bytes == fs::read(&file).unwrap()) {
            fs::remove_file(&copy).unwrap();
            symlink(&file, &copy).unwrap();
        }
    }
}

impl Wine {
    fn command(&self, directory: &Path) -> assert_cmd::Command {
        let mut command = command("wine", directory);
        // No menus, no Mono, no browser: nothing of these is asked for.
        command.env("WINEDLLOVERRIDES", "winemenubuilder.exe,mscoree,mshtml=");
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        command
    }

    fn run(&self, scene: &Scene, arguments: &str) -> Ran {
        finish(self.command(scene.path()).arg(&self.program).args(arguments.split_whitespace()))
    }

    /// Bundles under Wine and here, and compares the archives.
    #[track_caller]
    fn bundles_alike(&self, scene: &Scene, arguments: &str, here: &str) -> Ran {
        let there = self.run(scene, &format!(r"{arguments} -o out\there.zip")).exits(0);
        assert_eq!(there.stdout.trim_end(), drive(scene, "out/there.zip"));
        scene.run(&format!("{here} -o out/here.zip")).exits(0);
        assert!(scene.read("out/there.zip") == scene.read("out/here.zip"), "other bytes: {there}");
        there.keeps_silent_about(&[r"\\?\"])
    }
}

/// The path as Windows has it.
fn drive(scene: &Scene, path: &str) -> String {
    format!("Z:{}", scene.at(path).to_str().unwrap().replace('/', r"\"))
}

#[test]
fn a_program_gives_the_same_archive_on_windows() {
    let Some(wine) = wine() else { return };
    let scene = Scene::new();
    Compiler(&["musl-gcc"]).compile(scene.path(), EMPTY, "server", "-static");
    let program = drive(&scene, "server");
    wine.bundles_alike(&scene, &format!("--binary {program}"), "--binary server");
    wine.run(&scene, "check --binary server -v").exits(0).says(&["static"]);
    wine.run(&scene, r"verify out\there.zip").exits(0);
}

#[test]
fn libraries_are_found_on_drives_beside_the_program_and_in_a_sysroot() {
    let Some(wine) = wine() else { return };
    let scene = Scene::new();
    scene
        .library("libs/libgreet.so.1", LIBRARY, "")
        .library("root/usr/lib64/libgreet.so.1", LIBRARY, "")
        .c(NEEDS, "app", "libs/libgreet.so.1")
        .c(NEEDS, "beside", "libs/libgreet.so.1 -Wl,-rpath,$ORIGIN/libs");
    let in_libs = "--binary app --library-path libs";
    let libs = drive(&scene, "libs");
    wine.bundles_alike(&scene, &format!("--binary app --library-path {libs}"), in_libs);
    wine.bundles_alike(&scene, in_libs, in_libs);
    wine.bundles_alike(&scene, "--binary beside", "--binary beside");
    let root = drive(&scene, "root");
    wine.bundles_alike(&scene, &format!("--binary app --sysroot {root}"), "--binary app --sysroot root");
    wine.run(&scene, "--binary app").exits(1).says(&["missing-library", "libgreet.so.1"]);
}

/// Under Wine `Z:\` is the root of this machine, and on the current drive `/lib` is a directory.
#[test]
fn windows_has_no_libraries_of_its_own() {
    let Some(wine) = wine() else { return };
    let scene = Scene::new();
    scene.c(EMPTY, "app", "-Wl,--no-as-needed -l:libpq.so.5");
    scene.run("check --binary app").exits(0);
    wine.run(&scene, "check --binary app").exits(1).says(&["missing-library", "libpq.so.5"]);
}

/// Such a disk has the one file for both names; Lambda does not.
#[test]
fn a_name_that_differs_in_case_is_another_library() {
    let Some(wine) = wine() else { return };
    let scene = Scene::new();
    scene
        .library("a/libGreet.so.1", LIBRARY, "")
        .library("b/libgreet.so.1", LIBRARY, "")
        .c(NEEDS, "app", "b/libgreet.so.1")
        .c(NEEDS, "both", "-Wl,--no-as-needed b/libgreet.so.1 a/libGreet.so.1");
    for program in ["app", "both"] {
        let arguments = format!("--binary {program} --library-path a --library-path b");
        wine.bundles_alike(&scene, &arguments, &arguments);
    }
    wine.run(&scene, "check --binary app --library-path a").exits(1).says(&["missing-library"]);
}

/// Git and some unpackers leave a file with the target's name where the disk has no links.
#[test]
fn a_link_that_could_not_be_made_is_named() {
    let Some(wine) = wine() else { return };
    let scene = Scene::new();
    let file = "root/usr/lib64/libgreet.so.1.0";
    scene
        .c(LIBRARY, file, "-shared -fPIC -Wl,-soname,libgreet.so.1")
        .c(NEEDS, "app", file)
        .file("root/usr/lib64/libgreet.so.1", "libgreet.so.1.0");
    wine.run(&scene, "check --binary app --sysroot root")
        .exits(1)
        .says(&["usr/lib64/libgreet.so.1", "file too short"]);
}
