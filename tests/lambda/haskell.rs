//! Programs of GHC, which are large and call gmp and ffi: shellcheck and pandoc, as Debian has them, and a static one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::compile::require_debian_12;
use crate::support::debian::DEBIAN_11;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// Whether this machine can bundle Debian's program and start it.
#[track_caller]
fn require(program: &str) -> bool {
    lambda_root::require(Arch::X86_64) && require_debian_12() && tools::require(program, program)
}

/// Starts the function among the libraries of `system`, and holds it to what the program says at home.
#[track_caller]
fn must_start(system: &Path, zip: &Path, program: &str) {
    let mut root = LambdaRoot::of_system(system, Arch::X86_64, &provided_al2023(Arch::X86_64));
    // pandoc asks for the user's directory, and the root has no users.
    root.set_env("HOME", "/tmp");
    root.unpack_function(zip);
    let output = root.start("/var/task/bootstrap", &["--version"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {stderr}", output.status);
    let expected = Command::new(program).arg("--version").output().unwrap().stdout;
    // pandoc begins with the name it was called by, and ends with the user's directory.
    let line = |text: &str| Some(text.lines().next()?.split_once(' ')?.1.to_owned());
    assert_eq!(line(&stdout), line(&String::from_utf8(expected).unwrap()));
    assert!(line(&stdout).is_some(), "{program} says something");
}

#[test]
fn shellcheck_on_al2023_and_with_its_own_libc_on_al2() {
    if !require("shellcheck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bundle = "--binary /usr/bin/shellcheck";
    run(dir.path(), &format!("{bundle} -o al2023.zip")).exits(0);
    run(dir.path(), "verify al2023.zip").exits(0);
    must_start(Path::new("/"), &dir.path().join("al2023.zip"), "shellcheck");

    let al2 = "--runtime provided.al2";
    run(dir.path(), &format!("{bundle} -o al2.zip {al2}"))
        .exits(1)
        .says(&["error[version-too-new]: `shellcheck` needs GLIBC_2.33, GLIBC_2.34", "`--libc bundle`"]);
    run(dir.path(), &format!("{bundle} -o al2.zip {al2} --libc bundle")).exits(0);
    run(dir.path(), &format!("verify al2.zip {al2}")).exits(0);
    // Older than what it was built with, as AL2 is.
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    must_start(&debian_11, &dir.path().join("al2.zip"), "shellcheck");
}

#[test]
fn pandoc_on_al2023() {
    if !require("pandoc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // 172 MB: a test's build of this program takes its time to compress them.
    let bundle = "--binary /usr/bin/pandoc -o pandoc.zip --compression fast -v";
    let ran = run(dir.path(), bundle).exits(0);
    assert_eq!(ran.listed("Shipping"), ["liblua5.3.so.0", "libyaml-0.so.2"]);
    must_start(Path::new("/"), &dir.path().join("pandoc.zip"), "pandoc");
}

/// Uses GHC's runtime system, gmp (the product) and iconv (the output), all of them linked in.
const STATIC: &str = "main :: IO ()\nmain = putStrLn (\"static \" ++ show (product [1 .. 20 :: Integer]))\n";

#[test]
fn a_static_program_on_al2023_and_al2() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("ghc", "ghc libgmp-dev libffi-dev") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Main.hs"), STATIC).unwrap();
    let mut ghc = Command::new("ghc");
    ghc.args(["-v0", "-o", "app", "Main.hs", "-optl-static", "-optl-pthread"]).current_dir(dir.path());
    assert!(ghc.status().unwrap().success());
    for runtime in ["provided.al2023", "provided.al2"] {
        run(dir.path(), &format!("--binary app -o {runtime}.zip --runtime {runtime} -v")).exits(0).says(&[
            "(app; static, glibc)",
            "warning[static-glibc-nss]: `app`",
            "\n  it uses iconv_open",
        ]);
        run(dir.path(), &format!("verify {runtime}.zip --runtime {runtime}")).exits(0);
        let root = LambdaRoot::new(Arch::X86_64, &[] as &[&str]);
        root.unpack_function(&dir.path().join(format!("{runtime}.zip")));
        let output = root.start("/var/task/bootstrap", &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "static 2432902008176640000\n", "{output:?}");
    }
}
