//! Bundles of programs that real compilers made: what is shipped, what is found, what is written.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::command::{Ran, bundle_cmd, command, finish, run};
use crate::support::compile::{CC, Compiler, ZIG_2_26, ZIG_2_39};
use crate::support::{compile, debian, function, hello, tools};
use serde_json::Value;
use tempfile::TempDir;

const LIBPQ_AND_SQLITE: &str = "
    int PQlibVersion(void);
    const char *sqlite3_libversion(void);
    int main(void) { return PQlibVersion() == 0 || *sqlite3_libversion() == 0; }";

const RUST_LIBPQ_AND_SQLITE: &str = r#"
    use std::ffi::{c_char, c_int};
    #[link(name = "pq")]
    unsafe extern "C" { fn PQlibVersion() -> c_int; }
    #[link(name = "sqlite3")]
    unsafe extern "C" { fn sqlite3_libversion() -> *const c_char; }
    fn main() {
        let null = unsafe { PQlibVersion() == 0 || sqlite3_libversion().is_null() };
        std::process::exit(null.into());
    }"#;

const EMPTY: &str = "int main(void) { return 0; }";

fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The names in a ZIP, as `unzip` reads them.
#[track_caller]
fn names(zip: &Path) -> BTreeSet<String> {
    let listing = finish(command("unzip", zip.parent().unwrap()).arg("-Z1").arg(zip)).exits(0);
    listing.stdout.lines().map(str::to_owned).collect()
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

/// A program with a library that has a library, all of this machine's making, in `dir` and `dir/libs`.
#[track_caller]
fn chain_of_libraries(dir: &Path) {
    CC.compile(
        dir,
        "int deep(void) { return 0; }",
        "libs/libdeep.so.1",
        "-shared -fPIC -Wl,-soname,libdeep.so.1",
    );
    let top = "int deep(void); int top(void) { return deep(); }";
    CC.compile(
        dir,
        top,
        "libs/libtop.so.1",
        "-shared -fPIC -Wl,-soname,libtop.so.1 -Wl,--no-as-needed libs/libdeep.so.1",
    );
    let main = "int top(void); int main(void) { return top(); }";
    CC.compile(dir, main, "app", "libs/libtop.so.1 -Wl,-rpath-link,libs");
}

#[track_caller]
fn require_debian_libraries() -> bool {
    compile::require_debian_12()
        && compile::require_library("libpq.so", "libpq-dev")
        && compile::require_library("libsqlite3.so", "libsqlite3-dev")
        && tools::require("cc", "gcc")
        && tools::require("unzip", "unzip")
}

/// What Debian 12's libpq needs and AL2023 lacks.
const SHIPPED_WITH_LIBPQ: [&str; 7] = [
    "libgnutls.so.30",
    "libhogweed.so.6",
    "liblber-2.5.so.0",
    "libldap-2.5.so.0",
    "libnettle.so.8",
    "libpq.so.5",
    "libsasl2.so.2",
];

#[track_caller]
fn must_ship_libpq(ran: &Ran, program: &str) {
    assert_eq!(ran.listed("Shipping"), SHIPPED_WITH_LIBPQ, "{ran}");
    for soname in ["libsqlite3.so.0", "libssl.so.3", "libcrypto.so.3", "libgssapi_krb5.so.2", "libc.so.6"] {
        assert!(ran.listed("Using").iter().any(|used| used == soname), "{soname}: {ran}");
    }
    // Each line says from where, why, and for whom.
    let libs = "/usr/lib/x86_64-linux-gnu";
    assert_eq!(
        ran.line("Shipping", "libpq.so.5"),
        format!("Shipping libpq.so.5 needed by {program}; not on provided.al2023; from {libs}/libpq.so.5.15")
    );
    assert_eq!(
        ran.line("Shipping", "libnettle.so.8"),
        format!(
            "Shipping libnettle.so.8 needed by libgnutls.so.30, libhogweed.so.6; not on provided.al2023; from {libs}/libnettle.so.8.6"
        )
    );
    assert_eq!(
        ran.line("Using", "libsqlite3.so.0"),
        format!("Using libsqlite3.so.0 needed by {program}; on provided.al2023 (derived)")
    );
}

#[track_caller]
fn must_hold_libpq(zip: &Path) {
    let expected: BTreeSet<String> = SHIPPED_WITH_LIBPQ
        .iter()
        .map(|soname| format!("lib/{soname}"))
        .chain(["bootstrap".to_owned()])
        .collect();
    assert_eq!(names(zip), expected);
    finish(bundle_cmd(zip.parent().unwrap()).arg("verify").arg(zip)).exits(0).prints("");
}

#[test]
fn libpq_and_what_is_under_it_are_shipped_and_what_the_system_has_is_not() {
    if !require_debian_libraries() {
        return;
    }
    let dir = temporary();
    CC.compile(dir.path(), LIBPQ_AND_SQLITE, "orders", "-lpq -lsqlite3");
    let ran = run(dir.path(), "--binary orders -o orders.zip").exits(0);
    let zip = dir.path().canonicalize().unwrap().join("orders.zip");
    must_ship_libpq(&ran, "orders");
    must_hold_libpq(&zip);
    let ran = ran.prints(&format!("{}\n", zip.display()));
    // Debian's libunistring is newer than the one that loads.
    ran.says(&["warning[version-skew]: `libunistring.so.2`", "-> libgnutls.so.30 -> libunistring.so.2"]);
}

#[test]
fn libpq_of_a_cargo_project() {
    if !require_debian_libraries() {
        return;
    }
    let dir = temporary();
    fs::create_dir(dir.path().join("src")).unwrap();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\nopt-level = 0\n";
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.path().join("src/main.rs"), RUST_LIBPQ_AND_SQLITE).unwrap();
    let ran = run(dir.path(), "--build").exits(0);
    let zip = dir.path().canonicalize().unwrap().join("target/lambda-bundle/orders/bootstrap.zip");
    must_ship_libpq(&ran, "orders");
    must_hold_libpq(&zip);
    ran.prints(&format!("{}\n", zip.display()));
}

#[test]
fn libpq_of_an_older_system_by_its_root() {
    if !tools::require("cc", "gcc") || !tools::require("unzip", "unzip") {
        return;
    }
    let Some(root) = debian::DEBIAN_11.unpacked() else { return };
    let dir = temporary();
    let root = root.display();
    let link = format!(
        "-L{root}/usr/lib/x86_64-linux-gnu -l:libpq.so.5 -l:libsqlite3.so.0 -Wl,--allow-shlib-undefined"
    );
    CC.compile(dir.path(), LIBPQ_AND_SQLITE, "orders", &link);
    let ran = run(dir.path(), &format!("--binary orders --sysroot {root} -o orders.zip")).exits(0);
    // OpenSSL 1.1, too: AL2023 has 3.
    assert_eq!(
        names(&dir.path().join("orders.zip")),
        set([
            "bootstrap",
            "lib/libcrypto.so.1.1",
            "lib/libgnutls.so.30",
            "lib/libhogweed.so.6",
            "lib/liblber-2.4.so.2",
            "lib/libldap_r-2.4.so.2",
            "lib/libnettle.so.8",
            "lib/libpq.so.5",
            "lib/libsasl2.so.2",
            "lib/libssl.so.1.1",
        ]),
        "{ran}"
    );
    let line = ran.line("Shipping", "libpq.so.5");
    assert!(
        line.ends_with(&format!("; from {root}/usr/lib/x86_64-linux-gnu/libpq.so.5.13")),
        "not from the root: {line}"
    );
    run(dir.path(), "verify orders.zip").exits(0).keeps_silent_about(&["warning", "error"]);
}

/// Calls a function that glibc has since 2.39, and that nothing older stands in for.
const PIDFD: &str =
    "int pidfd_getpid(int); int main(int count, char **arguments) { return pidfd_getpid(count); }";

#[test]
fn a_program_for_a_newer_glibc_is_not_written() {
    if !compile::require_zig() {
        return;
    }
    let dir = temporary();
    ZIG_2_39.compile(dir.path(), PIDFD, "orders", "");
    let ran = run(dir.path(), "--binary orders -o new/orders.zip").exits(1).prints("").says(&[
        "error[version-too-new]: `orders` needs GLIBC_2.",
        "GLIBC_2.39, which the `libc.so.6` of provided.al2023 (x86_64) does not have (it has up to GLIBC_2.34)\n",
        "  symbols: ",
        "pidfd_getpid",
        "help: build it against glibc 2.34 or older, or link it statically to musl\n",
        "nothing was written",
    ]);
    assert!(!dir.path().join("new").exists(), "{ran}");
}

#[test]
fn a_library_under_a_bundled_library_for_a_newer_glibc_is_found() {
    if !compile::require_zig() {
        return;
    }
    let dir = temporary();
    let deep = "
        int pidfd_getpid(int);
        unsigned long deep(char *to, const char *from) { return pidfd_getpid(*to + *from); }";
    ZIG_2_39.compile(dir.path(), deep, "libs/libdeep.so.1", "-shared -Wl,-soname,libdeep.so.1");
    let top = "
        unsigned long deep(char *to, const char *from);
        unsigned long top(char *to, const char *from) { return deep(to, from); }";
    ZIG_2_26.compile(
        dir.path(),
        top,
        "libs/libtop.so.1",
        "-shared -Wl,-soname,libtop.so.1 libs/libdeep.so.1",
    );
    let main = "
        unsigned long top(char *to, const char *from);
        int main(int count, char **arguments) { char text[9]; return top(text, arguments[0]) == 3; }";
    ZIG_2_26.compile(dir.path(), main, "orders", "libs/libtop.so.1");
    let ran = run(dir.path(), "--binary orders --library-path libs -o orders.zip").exits(1).prints("");
    let ran = ran.says(&[
        "error[version-too-new]: `libdeep.so.1` needs GLIBC_2.",
        "GLIBC_2.39, which the `libc.so.6` of provided.al2023 (x86_64) does not have",
        "  chain: orders -> libtop.so.1 -> libdeep.so.1\n",
        "help: take `libdeep.so.1` from a system with glibc 2.34 or older: ",
    ]);
    let ran = ran.keeps_silent_about(&["build it against"]);
    assert_eq!(ran.stderr.matches("error[").count(), 1, "{ran}");
    assert!(!dir.path().join("orders.zip").exists());
}

#[test]
fn libraries_of_this_machine_that_are_too_new_are_rebound_or_findings_about_their_source() {
    if !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let dir = temporary();
    let main = "
        int XML_ExpatVersion(void);
        char *crypt(const char *, const char *);
        int main(int count, char **arguments) { return XML_ExpatVersion() && crypt(*arguments, *arguments); }";
    CC.compile(dir.path(), main, "orders", "-l:libexpat.so.1 -l:libcrypt.so.1");
    run(dir.path(), "--binary orders -o rebound.zip -v")
        .exits(0)
        .says(&["note[glibc-rebound]: `libcrypt.so.1` ", "note[glibc-rebound]: `libexpat.so.1` "]);
    let ran = run(dir.path(), "--binary orders -o orders.zip --repair never").exits(1).prints("");
    for soname in ["libcrypt.so.1", "libexpat.so.1"] {
        assert!(
            ran.stderr.contains(&format!(
                "error[version-too-new]: `{soname}` needs GLIBC_2.36, which the `libc.so.6` of provided.al2023 \
                 (x86_64) does not have (it has up to GLIBC_2.34)\n  chain: orders -> {soname}\n  symbols: \
                 arc4random_buf\nhelp: take `{soname}` from a system with glibc 2.34 or older: name its root \
                 with `--sysroot DIR`, or a directory with `--library-path DIR`; or ship this machine's glibc with \
                 it: `--libc bundle`\n"
            )),
            "{soname}: {ran}"
        );
    }
    assert_eq!(ran.stderr.matches("error[").count(), 2, "{ran}");
    ran.keeps_silent_about(&["build it against", "musl"]);
    assert!(!dir.path().join("orders.zip").exists());
}

#[test]
fn an_archive_of_cargo_lambda_lacks_the_library_and_verify_names_it() {
    let target = "x86_64-unknown-linux-gnu";
    if !tools::require("cargo-lambda", "none; pip install cargo-lambda") || !hello::require(target) {
        return;
    }
    let project = hello::manifest();
    let project = project.parent().unwrap();
    let target_dir = function::target_dir();
    finish(
        command("cargo", project)
            .args(["lambda", "build", "--release", "--locked", "-o", "zip", "--target", target])
            .env("CARGO_TARGET_DIR", &target_dir)
            .env("CARGO_TERM_COLOR", "never")
            .timeout(Duration::from_secs(600)),
    )
    .exits(0);
    let zip = target_dir.join("lambda/hello/bootstrap.zip");
    let ran = finish(bundle_cmd(project).args(["verify", "--message-format", "json"]).arg(&zip)).exits(1);
    assert_eq!(findings(&ran), [finding("missing-library", "bootstrap", hello::SONAME)], "{ran}");
    ran.says(&[
        "`bootstrap` needs `libgreeting.so.1`, which neither provided.al2023 (x86_64) nor the archive has",
    ]);
}

#[test]
fn every_value_of_ld_library_path_is_proved() {
    let dir = temporary();
    chain_of_libraries(dir.path());
    run(dir.path(), "--binary app --library-path libs -o app.zip").exits(0);
    let usual = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
    for value in [usual.to_owned(), format!("/var/lang/lib:{usual}"), "/var/task/lib".to_owned()] {
        run(dir.path(), &format!("verify app.zip --env LD_LIBRARY_PATH={value}")).exits(0);
    }
    let expected = [finding("missing-library", "app", "libtop.so.1")];
    let ran = run(
        dir.path(),
        "check --binary app --library-path libs --env LD_LIBRARY_PATH=/opt/lib --message-format json",
    )
    .exits(1);
    assert_eq!(findings(&ran), expected);
    let help = "help: add `/var/task/lib` to the function's LD_LIBRARY_PATH\n";
    let why = "needs `libtop.so.1`; the bundle has `lib/libtop.so.1`, but LD_LIBRARY_PATH=/opt/lib does not lead there\n";
    ran.says(&[why, help]);
    run(dir.path(), "verify app.zip --env LD_LIBRARY_PATH=/opt/lib").exits(1).says(&[why, help]);
}

#[test]
fn the_same_input_gives_the_same_bytes_wherever_and_whenever() {
    if !tools::require("cc", "gcc") || !tools::require("openssl", "openssl") {
        return;
    }
    let one = temporary();
    let two = temporary();
    chain_of_libraries(one.path());
    // Another order on disk, other modes.
    let elsewhere = two.path().join("a place/elsewhere");
    fs::create_dir_all(elsewhere.join("libs")).unwrap();
    for file in ["libs/libtop.so.1", "libs/libdeep.so.1", "app"] {
        fs::copy(one.path().join(file), elsewhere.join(file)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(elsewhere.join(file), mode).unwrap();
    }
    let arguments = "--binary app --library-path libs -o app.zip --message-format json -q";
    let digests = |command: &mut assert_cmd::Command| {
        let ran = finish(command.args(arguments.split(' '))).exits(0);
        let archive = &ran.json()["artifacts"][0]["archive"];
        let text = |key: &str| archive[key].as_str().expect("a string").to_owned();
        (text("sha256"), text("code_sha256"))
    };
    let first = digests(&mut bundle_cmd(one.path()));
    let bytes = fs::read(one.path().join("app.zip")).unwrap();
    assert_eq!(digests(&mut bundle_cmd(one.path())), first, "again");
    assert_eq!(digests(&mut bundle_cmd(&elsewhere)), first, "elsewhere");
    for umask in ["077", "000"] {
        fs::remove_file(one.path().join("app.zip")).unwrap();
        let mut shell = command("sh", one.path());
        let binary = env!("CARGO_BIN_EXE_cargo-lambda-bundle");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), binary]);
        assert_eq!(digests(&mut shell), first, "umask {umask}");
    }
    let zone = digests(bundle_cmd(one.path()).env("TZ", "Pacific/Kiritimati").env("LC_ALL", "C"));
    assert_eq!(zone, first, "time zone");
    for file in ["app", "libs/libtop.so.1"] {
        let touched = fs::File::options().append(true).open(one.path().join(file)).unwrap();
        touched.set_modified(SystemTime::now() - Duration::from_secs(100_000_000)).unwrap();
    }
    assert_eq!(digests(&mut bundle_cmd(one.path())), first, "touched");
    assert_eq!(fs::read(one.path().join("app.zip")).unwrap(), bytes);

    let script = "openssl dgst -sha256 -binary app.zip | base64; sha256sum < app.zip";
    let openssl = finish(command("sh", one.path()).args(["-c", script])).exits(0);
    assert_eq!(openssl.stdout, format!("{}\n{}  -\n", first.1, first.0));
}

#[test]
fn other_tools_accept_the_archive() {
    for (tool, package) in [
        ("unzip", "unzip"),
        ("zipinfo", "unzip"),
        ("7z", "p7zip-full"),
        ("python3", "python3"),
        ("cc", "gcc"),
    ] {
        if !tools::require(tool, package) {
            return;
        }
    }
    let dir = temporary();
    chain_of_libraries(dir.path());
    run(dir.path(), "--binary app --library-path libs -o app.zip").exits(0);
    let tool = |line: &str| {
        let mut words = line.split(' ');
        finish(command(words.next().unwrap(), dir.path()).args(words)).exits(0)
    };
    assert!(tool("unzip -l app.zip").stdout.trim_end().ends_with("3 files"));
    tool("unzip -tq app.zip");
    assert_eq!(tool("python3 -m zipfile -t app.zip").stdout, "Done testing\n");
    assert!(tool("7z t app.zip").stdout.contains("Everything is Ok"));
    // Mode, "made by" version and system, then the rest.
    let listing = tool("zipinfo -s app.zip").stdout;
    let columns = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[2], words.last().unwrap())
    };
    let entries: Vec<String> =
        listing.lines().filter(|line| line.starts_with(['-', 'l'])).map(columns).collect();
    assert_eq!(
        entries,
        ["-rwxr-xr-x unx bootstrap", "-rw-r--r-- unx lib/libdeep.so.1", "-rw-r--r-- unx lib/libtop.so.1"]
    );
}

#[test]
fn a_run_with_findings_leaves_the_old_archive() {
    let dir = temporary();
    let zip = dir.path().join("app.zip");
    chain_of_libraries(dir.path());
    run(dir.path(), "--binary app --library-path libs -o app.zip").exits(0);
    let old = fs::read(&zip).unwrap();
    // Without the directory of its libraries.
    run(dir.path(), "--binary app -o app.zip").exits(1).prints("").says(&[
        "error[missing-library]: `app` needs `libtop.so.1`, which neither provided.al2023 (x86_64) nor this machine has\n",
        "help: install it on this machine, or name a directory that has it with `--library-path DIR`\n",
        "Stopped `app` would not start; nothing was written",
    ]);
    assert_eq!(fs::read(&zip).unwrap(), old);
    run(dir.path(), "--binary app --exclude-lib libdeep* --library-path libs -o app.zip").exits(1).says(&[
        "`libtop.so.1` needs `libdeep.so.1`, which provided.al2023 (x86_64) does not have and `--exclude-lib` leaves out\n",
    ]);
    assert_eq!(fs::read(&zip).unwrap(), old);
    let ran = run(dir.path(), "--binary app -o app.zip --write-anyway").exits(1);
    assert_eq!(names(&zip), set(["bootstrap"]), "{ran}");
    ran.prints(&format!("{}\n", zip.canonicalize().unwrap().display()));
    run(dir.path(), "verify app.zip")
        .exits(1)
        .says(&["error[missing-library]: `bootstrap` needs `libtop.so.1`"]);
    let left: BTreeSet<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, set(["app", "app.zip", "libs"]));
}

/// Compiles a program, bundles it and compares its findings; what is an error is not written.
#[track_caller]
fn check(compiler: Compiler, source: &str, link: &str, flags: &str, expected: &[(&str, &str, &str)]) -> Ran {
    let dir = temporary();
    compiler.compile(dir.path(), source, "app", link);
    let ran = run(dir.path(), &format!("--binary app -o app.zip --message-format json {flags}"));
    let is_error = ran.json()["artifacts"][0]["findings"]
        .as_array()
        .is_some_and(|findings| findings.iter().any(|finding| finding["severity"] == "error"));
    let ran = ran.exits(is_error.into());
    assert_eq!(dir.path().join("app.zip").exists(), !is_error, "{ran}");
    let expected: Vec<_> =
        expected.iter().map(|(code, object, soname)| finding(code, object, soname)).collect();
    assert_eq!(findings(&ran), expected, "{ran}");
    ran
}

#[test]
fn a_dynamic_musl_program_has_no_interpreter() {
    if !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    check(Compiler(&["musl-gcc"]), EMPTY, "", "", &[("interpreter-missing", "app", "")]).exits(1).says(&[
        "`/lib/ld-musl-x86_64.so.1`",
        "help: link it statically to musl, or ship musl with `--libc bundle`\n",
    ]);
}

#[test]
fn a_static_pie_with_a_needed_library_crashes() {
    // What rustc's `-musl` targets make of a program that a `-sys` crate links to a shared library.
    let dir = temporary();
    CC.compile(dir.path(), "int top(void) { return 0; }", "libtop.so.1", "-shared -Wl,-soname,libtop.so.1");
    let link = format!(
        "-nostdlib -pie -Wl,--no-dynamic-linker -Wl,--no-as-needed {}/libtop.so.1",
        dir.path().display()
    );
    check(CC, "void _start(void) {}", &link, "", &[("broken-static-pie", "app", "")]).exits(1).says(&[
        "`app` is linked as a static program but needs `libtop.so.1`; nothing loads it, so the program crashes at start\n",
        "help: link the library statically",
    ]);
}

#[test]
fn copies_for_some_processors_must_load_too() {
    let dir = temporary();
    CC.compile(
        dir.path(),
        "int foo(void) { return 0; }",
        "libs/libfoo.so.1",
        "-shared -Wl,-soname,libfoo.so.1",
    );
    CC.compile(dir.path(), "int bar(void) { return 0; }", "bad.so", "-shared -Wl,-soname,libfoo.so.1");
    let main = "int foo(void); int main(void) { return foo(); }";
    CC.compile(dir.path(), main, "app", "-Wl,-z,now libs/libfoo.so.1");
    let include = |file: &str, directory: &str| {
        let place = format!("lib/{directory}/libfoo.so.1");
        run(dir.path(), &format!("check --binary app --library-path libs --include {file}={place}"))
    };
    for directory in ["glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "haswell", "tls/haswell"] {
        include("bad.so", directory)
            .exits(1)
            .says(&["error[undefined-symbol]: `app` needs the symbol `foo`"]);
        include("libs/libfoo.so.1", directory).exits(0);
    }
    // Nothing searches there.
    include("bad.so", "other").exits(0);
}

#[test]
#[cfg(unix)]
fn links_and_tokens_lead_to_copies_for_some_processors() {
    let dir = temporary();
    let library = "-shared -Wl,-soname,libfoo.so.1";
    CC.compile(dir.path(), "int foo(void) { return 0; }", "libs/libfoo.so.1", library);
    let main = "int foo(void); int main(void) { return foo(); }";
    CC.compile(dir.path(), main, "app", "-Wl,-z,now libs/libfoo.so.1");
    for (link, target, copy) in [
        ("haswell", "any", "any"),
        ("glibc-hwcaps/x86-64-v4", "any", "glibc-hwcaps/any"),
        ("glibc-hwcaps", "any", "any/x86-64-v4"),
    ] {
        let tree = tempfile::tempdir_in(dir.path()).unwrap();
        let at = |path: &str| tree.path().join("lib").join(path);
        fs::create_dir_all(at(copy)).unwrap();
        fs::create_dir_all(at(link).parent().unwrap()).unwrap();
        CC.compile(&at(copy), "int bar(void) { return 0; }", "libfoo.so.1", library);
        std::os::unix::fs::symlink(target, at(link)).unwrap();
        let lib = tree.path().join("lib").display().to_string();
        let arguments = format!("check --binary app --library-path libs --include {lib}=lib --symlinks keep");
        run(dir.path(), &arguments).exits(1).says(&["error[undefined-symbol]: `app` needs the symbol `foo`"]);
    }

    // The directory is x86_64 on one processor and haswell on another.
    let include = "check --binary app --library-path libs --include libs/libfoo.so.1=any/x86_64/libfoo.so.1";
    let path = "--env LD_LIBRARY_PATH=/var/task/any/$PLATFORM --exclude-lib libfoo.so.1";
    let missing = ["error[missing-library]: `app` needs `libfoo.so.1`"];
    run(dir.path(), &format!("{include} {path}")).exits(1).says(&missing);
    let both = "--include libs/libfoo.so.1=any/haswell/libfoo.so.1";
    run(dir.path(), &format!("{include} {both} {path}")).exits(0);

    CC.compile(
        dir.path(),
        "int foo(void) { return 0; }",
        "named.so",
        "-shared -Wl,-soname,$ORIGIN/any/$PLATFORM/libfoo.so.1",
    );
    CC.compile(dir.path(), main, "app", "-Wl,-z,now named.so");
    let missing = ["error[missing-library]: `app` needs `/var/task/any/haswell/libfoo.so.1`"];
    run(dir.path(), include).exits(1).says(&missing);
    run(dir.path(), &format!("{include} {both}")).exits(0);
}

#[test]
fn packed_relative_relocations_are_refused() {
    let relr = "-Wl,-z,pack-relative-relocs";
    let expected = [("version-too-new", "app", "libc.so.6"), ("relr-unsupported", "app", "")];
    check(CC, EMPTY, relr, "", &expected)
        .exits(1)
        .says(&["GLIBC_ABI_DT_RELR", "help: link without `-z pack-relative-relocs`"])
        .keeps_silent_about(&["build it against glibc"]);
}

#[test]
fn a_weak_version_need_only_warns() {
    if !compile::require_debian_12() {
        return;
    }
    let dir = temporary();
    let source = "int pidfd_open(int, int); int main(void) { return pidfd_open(1, 0) == 7; }";
    CC.compile(dir.path(), source, "app", "");
    run(dir.path(), "check --binary app").exits(1).says(&["error[version-too-new]: `app` needs GLIBC_2.36"]);
    // GNU ld sets the flag only where the library's own definition is weak, and glibc has none such.
    let mut bytes = fs::read(dir.path().join("app")).unwrap();
    set_weak(&mut bytes, "GLIBC_2.36");
    fs::write(dir.path().join("app"), bytes).unwrap();
    let ran = run(dir.path(), "--binary app -o app.zip").exits(0).says(&[
        "warning[version-too-new]: `app` has a weak need for GLIBC_2.36, which the `libc.so.6` of provided.al2023 \
         (x86_64) does not have (it has up to GLIBC_2.34); ld.so prints a warning and continues\n",
    ]);
    assert!(dir.path().join("app.zip").exists(), "{ran}");
}

/// Sets VER_FLG_WEAK in the Elf64_Vernaux of this version: its hash, then its flags.
#[track_caller]
fn set_weak(bytes: &mut [u8], version: &str) {
    let hash = version.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        (hash ^ ((hash & 0xf000_0000) >> 24)) & 0x0fff_ffff
    });
    let places: Vec<usize> =
        (0..bytes.len() - 6).filter(|at| bytes[*at..*at + 4] == hash.to_le_bytes()).collect();
    let [at] = places[..] else { panic!("{version} stands at {places:?}") };
    bytes[at + 4..at + 6].copy_from_slice(&2_u16.to_le_bytes());
}

#[test]
fn a_doubtful_library_is_shipped_and_noted() {
    if !compile::require_debian_12() {
        return;
    }
    let link = "-Wl,--no-as-needed -l:liblz4.so.1";
    let ran = check(CC, EMPTY, link, "-v", &[("doubtful-library", "app", "liblz4.so.1")]).exits(0);
    let line = ran.line("Shipping", "liblz4.so.1");
    assert!(line.contains("needed by app; perhaps not on provided.al2023; from /"), "{line}");
    ran.says(&["note[doubtful-library]: it is doubtful whether provided.al2023 (x86_64) has `liblz4.so.1`"]);
}

#[test]
fn a_version_of_newer_images_is_dated() {
    if !compile::require_debian_12() || !tools::require("c++", "g++") {
        return;
    }
    let waits = "
        #include <condition_variable>
        int main(int count, char **) {
            std::mutex mutex;
            std::unique_lock<std::mutex> lock(mutex);
            std::condition_variable condition;
            if (count > 9) condition.wait(lock);
        }";
    let expected = [("version-recent", "app", "libstdc++.so.6")];
    check(Compiler(&["c++"]), waits, "", "", &expected).exits(0).says(&[
        "warning[version-recent]: `app` needs GLIBCXX_3.4.30, which the `libstdc++.so.6` of provided.al2023 (x86_64) \
         has only since image 2023.",
        "  symbols: _ZNSt18condition_variable4wait",
        "help: ",
    ]);
    check(Compiler(&["c++"]), waits, "", "--deny version-recent", &expected)
        .exits(1)
        .says(&["error[version-recent]: "]);
}

#[test]
fn an_older_runtime_has_an_older_glibc_and_is_deprecated() {
    let expected = [("version-too-new", "app", "libc.so.6"), ("runtime-deprecated", "app", "")];
    check(CC, EMPTY, "", "--runtime provided.al2", &expected).exits(1).says(&[
        "`app` needs GLIBC_2.34, which the `libc.so.6` of provided.al2 (x86_64) does not have (it has up to GLIBC_2.26)\n",
        "help: build it against glibc 2.26 or older, or link it statically to musl; or ship this machine's glibc with it: `--libc bundle`\n",
        "warning[runtime-deprecated]: AWS deprecated the runtime provided.al2 on 2026-07-31",
        "help: move to `--runtime provided.al2023`\n",
    ]);
}

#[test]
fn the_first_runtime_has_no_arm64() {
    if !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
        return;
    }
    let compiler = Compiler(&["aarch64-linux-gnu-gcc"]);
    check(compiler, EMPTY, "", "--runtime provided", &[("wrong-arch", "app", "")]).exits(1).says(&[
        "`app` is for arm64, which the runtime provided does not offer\n",
        "help: choose another runtime: `--runtime provided.al2023`\n",
        "nothing was written",
    ]);
    check(compiler, EMPTY, "", "--arch x86_64", &[("wrong-arch", "app", "")])
        .exits(1)
        .says(&["`app` is for arm64, but `--arch x86_64` is set\n"]);
}

#[test]
fn all_runtimes_are_a_report_and_the_configured_one_decides() {
    let dir = temporary();
    CC.compile(dir.path(), EMPTY, "app", "");
    let ran = run(dir.path(), "check --binary app --runtime all --message-format json").exits(0);
    let document = ran.json();
    let artifacts = document["artifacts"].as_array().unwrap();
    let verdicts: Vec<String> = artifacts
        .iter()
        .map(|artifact| {
            format!("{} {}", artifact["runtime"].as_str().unwrap(), artifact["verdict"].as_str().unwrap())
        })
        .collect();
    assert_eq!(verdicts, ["provided.al2023 starts", "provided.al2 fails", "provided fails"], "{ran}");
    assert!(artifacts.iter().all(|artifact| artifact["archive"].is_null()), "{ran}");
}

#[test]
fn cargo_is_as_quiet_and_as_verbose_as_it_is_asked_to_be() {
    let dir = temporary();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/main.rs"), "fn main() {}").unwrap();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    let built = "profile [optimized] target(s) in ";
    run(dir.path(), "check --build -q").exits(0).keeps_silent_about(&[built]);
    run(dir.path(), "check --build -v").exits(0).says(&[built]).keeps_silent_about(&["Fresh orders "]);
    run(dir.path(), "check --build -vv").exits(0).says(&[built, "Fresh orders "]);
}

#[test]
fn the_report_names_the_file_that_is_shipped() {
    if !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let dir = temporary();
    let shared = "-shared -fPIC -Wl,-soname,libfq.so.1";
    let new = "unsigned arc4random(void); int fq(void) { return arc4random() != 0; }";
    for (directory, source) in [("new", new), ("old", "int fq(void) { return 1; }")] {
        fs::create_dir(dir.path().join(directory)).unwrap();
        CC.compile(dir.path(), source, &format!("{directory}/libfq.so.1"), shared);
    }
    CC.compile(dir.path(), "int fq(void); int main(void) { return fq(); }", "app", "new/libfq.so.1");
    let root = dir.path().canonicalize().unwrap();
    let root = root.display();
    let arguments = "--binary app --library-path new --library-path old -o app.zip";
    let ran = run(dir.path(), arguments).exits(0);
    let expected = format!("; from {root}/old/libfq.so.1, instead of {root}/new/libfq.so.1");
    assert!(ran.line("Shipping", "libfq.so.1").ends_with(&expected), "{ran}");
    let ran = run(dir.path(), &format!("{arguments} --force --message-format json")).exits(0);
    let libraries = ran.json()["artifacts"][0]["libraries"].clone();
    let fq = libraries.as_array().unwrap().iter().find(|it| it["soname"] == "libfq.so.1").unwrap();
    assert_eq!(fq["source"], format!("{root}/old/libfq.so.1"));
    assert_eq!(fq["build_path"], format!("{root}/new/libfq.so.1"));
}
