//! Functions among the libraries of another system, and on Lambda's kernel.
//!
//! The function is `testdata/probe`. What it needs of this machine's glibc 2.36 a root with Debian 11's 2.31 lacks,
//! and what it needs of Debian 13's 2.41 this machine lacks. With a C library of its own each starts in each.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::command::run;
use crate::support::compile::{Compiler, require_debian_12};
use crate::support::debian::{DEBIAN_11, DEBIAN_13, MUSL_1_2_5};
use crate::support::kernel::{self, Start};
use crate::support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use crate::support::{dns, function, hello, probe, tools};
use cargo_lambda_bundle::elf::Arch;
use serde_json::{Value, json};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The systems: this one, an older and a newer one.
struct Worlds {
    /// Where the function was built, bundled plainly and with its own libc.
    built: PathBuf,
    debian_11: PathBuf,
    debian_13: PathBuf,
}

/// How each function was built.
const BUILT: [&str; 4] = ["lld", "gnu-ld", "older", "newer"];

/// What a function says of its libc.
fn libc(name: &str) -> Value {
    match name {
        "older" => json!({ "version": "2.31" }),
        "newer" => json!({ "version": "2.41", "2.36": 0, "2.41": 0 }),
        _ => json!({ "version": "2.36", "2.36": 0 }),
    }
}

/// The worlds, if this machine can have them; the functions are built once.
#[track_caller]
fn worlds() -> Option<&'static Worlds> {
    static WORLDS: OnceLock<Worlds> = OnceLock::new();
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !hello::require(TARGET)
        || !tools::require("ld.bfd", "binutils")
    {
        return None;
    }
    let (debian_11, debian_13) = (DEBIAN_11.unpacked()?, DEBIAN_13.unpacked()?);
    Some(WORLDS.get_or_init(|| {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
        std::fs::create_dir_all(&built).unwrap();
        // gcc looks beside itself before it looks in the sysroot, and in `-B` before that.
        let link_in = |root: &Path| {
            let root = root.display();
            let lib = "lib/x86_64-linux-gnu";
            format!("-Clink-args=--sysroot={root} -B{root}/usr/{lib} -L{root}/{lib}")
        };
        let (older, newer) = (link_in(&debian_11), link_in(&debian_13));
        for (name, features, flags, sysroot) in [
            ("lld", "glibc-2-36", &[][..], None),
            ("gnu-ld", "glibc-2-36", &["-Clinker-features=-lld"], None),
            ("older", "", &[older.as_str()], Some(&debian_11)),
            ("newer", "glibc-2-36,glibc-2-41", &[newer.as_str()], Some(&debian_13)),
        ] {
            probe::build(TARGET, features, flags, &built.join(name));
            let sysroot = sysroot.map(|root| format!("--sysroot {}", root.display())).unwrap_or_default();
            let bundle = format!("--binary {name} -o {name}.zip --libc bundle {sysroot}");
            run(&built, &bundle).exits(0).says(&["warning[libc-bundled]"]);
            run(&built, &format!("verify {name}.zip")).exits(0).says(&["starts on provided.al2023"]);
        }
        run(&built, "--binary lld -o plain.zip --write-anyway --repair never").exits(1).says(&["GLIBC_2.36"]);
        Worlds { built, debian_11, debian_13 }
    }))
}

impl Worlds {
    fn zip(&self, name: &str) -> PathBuf {
        self.built.join(format!("{name}.zip"))
    }
}

/// A root with the libraries of `system`, and a name server.
fn root(system: &Path) -> LambdaRoot {
    let mut root = LambdaRoot::of_system(system, Arch::X86_64, &provided_al2023(Arch::X86_64));
    probe::furnish(&mut root);
    root
}

#[test]
fn a_function_for_a_newer_glibc_does_not_start() {
    let Some(worlds) = worlds() else { return };
    let root = root(&worlds.debian_11);
    root.unpack_function(&worlds.zip("plain"));
    match root.invoke(&probe::event()) {
        Outcome::Ended { status, stderr } => {
            assert_eq!(status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("/lib64/libc.so.6: version `GLIBC_2.36' not found"), "{stderr}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_function_uses_the_libc_of_the_system() {
    let Some(worlds) = worlds() else { return };
    for (system, version) in [(Path::new("/"), "2.36"), (&worlds.debian_13, "2.41")] {
        let mapped = check(system, &worlds.zip("plain"), &json!({ "version": version, "2.36": 0 }));
        assert!(mapped.contains(&"/usr/lib64/libc.so.6".into()), "{mapped:?}");
    }
}

#[test]
fn a_private_libc_serves_on_an_older_system() {
    let Some(worlds) = worlds() else { return };
    check_all(worlds, &worlds.debian_11);
}

#[test]
fn a_private_libc_serves_on_this_system() {
    let Some(worlds) = worlds() else { return };
    check_all(worlds, Path::new("/"));
}

#[test]
fn a_private_libc_serves_on_a_newer_system() {
    let Some(worlds) = worlds() else { return };
    check_all(worlds, &worlds.debian_13);
}

/// Starts each of the functions with a libc of its own in a root with the libraries of `system`.
#[track_caller]
fn check_all(worlds: &Worlds, system: &Path) {
    for name in BUILT {
        must_be_private(&check(system, &worlds.zip(name), &libc(name)));
    }
}

/// Starts a function and checks its answer. The files it has in memory.
#[track_caller]
fn check(system: &Path, zip: &Path, libc: &Value) -> Vec<PathBuf> {
    let root = root(system);
    root.unpack_function(zip);
    match root.invoke(&probe::event()) {
        Outcome::Answer(answer) => probe::check(&answer, libc),
        other => panic!("{} among the libraries of {}: {other:?}", zip.display(), system.display()),
    }
}

/// Nothing of the system's is in memory.
#[track_caller]
fn must_be_private(mapped: &[PathBuf]) {
    assert!(mapped.contains(&"/var/task/libc/libc.so.6".into()), "{mapped:?}");
    assert!(mapped.iter().all(|file| file.starts_with("/var/task")), "{mapped:?}");
}

/// A thread of a program for musl that looks a name up.
const MUSL: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
static __thread char text[64];
static void *look_up(void *name) {
    struct addrinfo *found, hints = { .ai_family = AF_INET };
    int error = getaddrinfo(name, 0, &hints, &found);
    if (!error) inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text, sizeof text);
    fprintf(stderr, "%d %s\n", error, text);
    return 0;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, look_up, NAME);
    return pthread_join(thread, 0);
}
"#;

#[test]
fn a_private_musl_serves_among_libraries_of_glibc() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = format!("-DNAME=\"{}\"", dns::NAME);
    Compiler(&["musl-gcc"]).compile(dir.path(), MUSL, "app", &name);
    run(dir.path(), "--binary app -o app.zip --libc bundle").exits(0);
    let root = root(Path::new("/"));
    root.unpack_function(&dir.path().join("app.zip"));
    match root.invoke("{}") {
        Outcome::Ended { stderr, .. } => assert_eq!(stderr, format!("0 {}\n", dns::ADDRESS)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_musl_finds_names_for_large_files() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    let Some(newer) = MUSL_1_2_5.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    // This machine's musl defines both; the loader's list has both, and passes over the longer name.
    for (function, is_found) in [("open64", true), ("posix_fallocate64", false)] {
        let source = format!(
            "#include <stdio.h>\nint {function}();\n\
            int main(int c, char **v) {{ if (c > 9) {function}(); puts(\"started\"); return 0; }}"
        );
        Compiler(&["musl-gcc"]).compile(dir.path(), &source, function, "-Wno-implicit-function-declaration");
        let loader = newer.join("lib/ld-musl-x86_64.so.1");
        let output = Command::new(loader).arg(dir.path().join(function)).output().expect("the loader runs");
        let (said, failed) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said == "started\n", is_found, "{failed}");
        let bundle =
            format!("--binary {function} --sysroot {} --libc bundle -o {function}.zip", newer.display());
        let asked = run(dir.path(), &bundle);
        if is_found {
            asked.exits(0);
            let root = root(Path::new("/"));
            root.unpack_function(&dir.path().join("open64.zip"));
            assert_eq!(root.start("/var/task/bootstrap", &[]).stdout, b"started\n");
        } else {
            asked.exits(1).says(&["error[undefined-symbol]", "posix_fallocate64"]);
        }
    }
}

#[test]
fn lambdas_kernel_starts_them() {
    let Some(worlds) = worlds() else { return };
    if !kernel::require() || !tools::require("git", "git") || !tools::require("rg", "ripgrep") {
        return;
    }
    let (older, own) = (root(&worlds.debian_11), root(Path::new("/")));
    probe::furnish_hosts(&older);
    probe::furnish_hosts(&own);
    let event = probe::event();
    let zips = BUILT.map(|name| worlds.zip(name));
    let (plain, hello) = (worlds.zip("plain"), worlds.zip("hello"));
    let bundle = format!(
        "--manifest-path {} --target-dir {} --target {TARGET} -o {} --force",
        hello::manifest().display(),
        function::target_dir().display(),
        hello.display()
    );
    hello::build(TARGET);
    run(&worlds.built, &bundle).exits(0).says(&["libgreeting.so.1"]);
    let mut starts = vec![
        Start { root: &older, zip: &plain, argument: &event },
        Start { root: &own, zip: &plain, argument: &event },
        Start { root: &own, zip: &hello, argument: "" },
    ];
    starts.extend(zips.iter().map(|zip| Start { root: &older, zip, argument: &event }));
    // Of C and of Rust by GNU ld, not ours.
    let programs = ["git", "rg"].map(|name| (Path::new("/usr/bin").join(name), worlds.zip(name)));
    for (program, zip) in &programs {
        let bundle = format!("--binary {} -o {} --libc bundle", program.display(), zip.display());
        run(&worlds.built, &bundle).exits(0);
        starts.push(Start { root: &older, zip, argument: "--version" });
    }
    let Some(mut ended) = kernel::boot(&starts) else { return };
    for ((program, _), ended) in programs.iter().zip(ended.split_off(3 + zips.len())) {
        let expected = Command::new(program).arg("--version").output().unwrap().stdout;
        assert_eq!((ended.status, ended.output), (0, String::from_utf8(expected).unwrap()));
    }
    let [refused, plain, hello, private @ ..] = &ended[..] else { panic!("{ended:?}") };
    // Its library is there, and it asks where Lambda is.
    assert!(hello.output.contains("Missing AWS_LAMBDA_RUNTIME_API"), "{hello:?}");
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.output.contains("version `GLIBC_2.36' not found"), "{refused:?}");
    probe::check(&plain.output, &json!({ "version": "2.36", "2.36": 0 }));
    for (ended, name) in private.iter().zip(BUILT) {
        must_be_private(&probe::check(&ended.output, &libc(name)));
    }
}
