//! `--libc bundle` where something could come between: libraries of the system under the same names, a library of
//! the system with a DT_RUNPATH of its own, an interpreter in a Nix store.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::Path;

use crate::support::command::run;
use crate::support::compile::{CC, Compiler, require_debian_12};
use crate::support::debian::DEBIAN_11;
use crate::support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use crate::support::maps::{REPORT, directories};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// Starts a function's ZIP among these system libraries; what it wrote to stderr.
#[track_caller]
fn start(root: &LambdaRoot, zip: &Path) -> String {
    root.unpack_function(zip);
    match root.invoke("{}") {
        Outcome::Ended { stderr, .. } => stderr,
        other => panic!("{other:?}"),
    }
}

#[test]
fn musl_does_not_take_a_library_of_the_systems_glibc() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let musl = Compiler(&["musl-gcc"]);
    // The name of a library that every runtime has.
    musl.compile(
        dir.path(),
        "int z(void) { return 42; }",
        "libz.so.1",
        "-shared -fPIC -Wl,-soname,libz.so.1",
    );
    let greet = "extern int z(void); int greet(void) { return z(); }";
    musl.compile(dir.path(), greet, "libgreet.so", "-shared -fPIC -Wl,-soname,libgreet.so libz.so.1");
    let main = format!(
        "{REPORT}extern int greet(void); int main(void) {{ fprintf(stderr, \"%d\\n\", greet()); report(); return 0; }}"
    );
    musl.compile(dir.path(), &main, "app", "libgreet.so libz.so.1 -Wl,-rpath,$ORIGIN");

    run(dir.path(), "--binary app -o app.zip")
        .exits(1)
        .says(&["error[interpreter-missing]", "`--libc bundle`"]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    run(dir.path(), "--binary app -o app.zip --libc bundle --sysroot empty").exits(1).says(&[
        "error[interpreter-missing]",
        "which this machine does not have for `--libc bundle`",
        "`--sysroot DIR`",
    ]);
    run(dir.path(), "--binary app -o app.zip --libc bundle").exits(0).says(&["warning[libc-bundled]"]);
    run(dir.path(), "verify app.zip").exits(0).says(&["app.zip: starts on provided.al2023"]);
    let report =
        start(&LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64)), &dir.path().join("app.zip"));
    assert!(report.starts_with("42\nexe /var/task/bootstrap\n"), "{report}");
    assert_eq!(directories(&report), ["/var/task/libc"], "{report}");
}

#[test]
fn a_cross_compilers_libc_comes_along() {
    const CROSS: Compiler = Compiler(&["aarch64-linux-gnu-gcc"]);
    if !lambda_root::require(Arch::Arm64) || !tools::require(CROSS.0[0], "gcc-aarch64-linux-gnu") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    CROSS.compile(dir.path(), &format!("{REPORT}int main(void) {{ report(); return 0; }}"), "app", "-lm");
    run(dir.path(), "--binary app -o app.zip --libc bundle").exits(0);
    run(dir.path(), "verify app.zip").exits(0);
    let root = LambdaRoot::new(Arch::Arm64, &provided_al2023(Arch::Arm64));
    let report = start(&root, &dir.path().join("app.zip"));
    assert_eq!(directories(&report), ["/var/task/libc"], "{report}");
}

#[test]
fn a_system_library_with_a_runpath_cannot_bring_in_another_glibc() {
    if !lambda_root::require(Arch::X86_64) || !require_debian_12() {
        return;
    }
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    // Its RUNPATH keeps the program's RPATH from serving it, and so LD_LIBRARY_PATH leads it to the system's libm.
    CC.compile(
        dir.path(),
        "double cos(double); double turn(double x) { return cos(x); }",
        "libturn.so.1",
        "-shared -fPIC -lm -Wl,-rpath,/usr/lib64 -Wl,--enable-new-dtags",
    );
    let main = format!(
        "{REPORT}
        #include <dlfcn.h>
        extern unsigned arc4random(void);
        int main(void) {{
            arc4random();
            double (*turn)(double) = (double (*)(double))dlsym(dlopen(\"libturn.so.1\", RTLD_NOW), \"turn\");
            if (!turn) {{ fputs(dlerror(), stderr); return 1; }}
            fprintf(stderr, \"%g\\n\", turn(0));
            report();
            return 0;
        }}"
    );
    CC.compile(dir.path(), &main, "app", "");
    run(dir.path(), "--binary app -o app.zip --libc bundle").exits(0);
    let root = LambdaRoot::of_system(&debian_11, Arch::X86_64, &provided_al2023(Arch::X86_64));
    tools::copy_program(dir.path().join("libturn.so.1"), root.path("usr/lib64/libturn.so.1"));
    let report = start(&root, &dir.path().join("app.zip"));
    assert!(report.starts_with("1\nexe /var/task/bootstrap\n"), "{report}");
    assert_eq!(directories(&report), ["/usr/lib64", "/var/task/libc"], "{report}");
    let of_system: Vec<&str> = report.lines().filter(|line| line.starts_with("/usr/lib64/")).collect();
    assert_eq!(of_system, ["/usr/lib64/libturn.so.1"], "{report}");
}

#[test]
fn a_program_from_a_nix_store_gets_the_systems_loader_or_brings_its_own() {
    if !lambda_root::require(Arch::X86_64) || !require_debian_12() {
        return;
    }
    const STORE: &str = "nix/store/0c-glibc-2.36/lib";
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("root").join(STORE)).unwrap();
    for name in ["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6"] {
        tools::copy_program(
            Path::new("/lib/x86_64-linux-gnu").join(name),
            dir.path().join("root").join(STORE).join(name),
        );
    }
    let flags = format!(
        "-lm -Wl,--no-as-needed -Wl,--dynamic-linker=/{STORE}/ld-linux-x86-64.so.2 -Wl,-rpath,/{STORE}"
    );
    let main = |body: &str| format!("{REPORT}\n{body}\nint main(void) {{ use(); report(); return 0; }}");
    CC.compile(dir.path(), &main("static void use(void) {}"), "old", &flags);
    CC.compile(
        dir.path(),
        &main("extern int pidfd_open(int, int); static void use(void) { pidfd_open(1, 0); }"),
        "new",
        &flags,
    );
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));

    run(dir.path(), "--binary old --sysroot root -o never.zip --repair never")
        .exits(1)
        .says(&["interpreter-missing"]);
    run(dir.path(), "--binary old --sysroot root -o old.zip -v")
        .exits(0)
        .says(&["/lib64/ld-linux-x86-64.so.2"]);
    run(dir.path(), "verify old.zip").exits(0);
    let report = start(&root, &dir.path().join("old.zip"));
    assert!(report.starts_with("exe /var/task/bootstrap\n"), "{report}");
    assert_eq!(directories(&report), ["/usr/lib64"], "{report}");

    run(dir.path(), "--binary new --sysroot root -o new.zip")
        .exits(1)
        .says(&["error[version-too-new]: `new` needs GLIBC_2.36", "`--libc bundle`"]);
    run(dir.path(), "--binary new --sysroot root -o new.zip --libc bundle").exits(0);
    run(dir.path(), "verify new.zip").exits(0);
    let report = start(&root, &dir.path().join("new.zip"));
    assert!(report.starts_with("exe /var/task/bootstrap\n"), "{report}");
    assert_eq!(directories(&report), ["/var/task/libc"], "{report}");
}
