//! A program that needs libpq and SQLite: from this machine, from a cargo project, from an older system's root.

use std::collections::BTreeSet;

use super::{names, set};
use crate::support::command::Ran;
use crate::support::scene::Scene;
use crate::support::{compile, debian, tools};

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

#[track_caller]
fn require_debian_libraries() -> bool {
    compile::require_debian_12()
        && compile::require_library("libpq.so", "libpq-dev")
        && compile::require_library("libsqlite3.so", "libsqlite3-dev")
        && tools::require("cc", "gcc")
        && tools::require("unzip", "unzip")
}

#[track_caller]
fn must_ship_libpq(ran: &Ran, program: &str) {
    assert_eq!(ran.listed("Shipping"), compile::SHIPPED_WITH_LIBPQ, "{ran}");
    for soname in ["libsqlite3.so.0", "libssl.so.3", "libcrypto.so.3", "libgssapi_krb5.so.2", "libc.so.6"] {
        assert!(ran.listed("Using").iter().any(|used| used == soname), "{soname}: {ran}");
    }
    // Each line says from where, why, and for whom.
    let libs = "/usr/lib/x86_64-linux-gnu";
    for (soname, by, file) in [
        ("libpq.so.5", program, "libpq.so.5.15 (libpq5 15."),
        ("libnettle.so.8", "libgnutls.so.30, libhogweed.so.6", "libnettle.so.8.6 (libnettle8 3."),
    ] {
        let start = format!("Shipping {soname} needed by {by}; not on provided.al2023; from {libs}/{file}");
        assert!(ran.line("Shipping", soname).starts_with(&start), "{ran}");
    }
    assert_eq!(
        ran.line("Using", "libsqlite3.so.0"),
        format!("Using libsqlite3.so.0 needed by {program}; on provided.al2023 (derived)")
    );
    // The line for a reader names the library that the program needs.
    let line = ran.stderr.lines().find(|line| line.starts_with("     Bundled ")).unwrap();
    assert!(line.ends_with(", 7 libraries added (libpq.so.5 and what it needs)"), "{ran}");
}

#[track_caller]
fn must_hold_libpq(scene: &Scene, zip: &str) {
    let expected: BTreeSet<String> = compile::SHIPPED_WITH_LIBPQ
        .iter()
        .map(|soname| format!("lib/{soname}"))
        .chain(["bootstrap".to_owned()])
        .collect();
    assert_eq!(names(scene, zip), expected);
    scene.run(&format!("verify {zip}")).exits(0).prints("");
}

#[test]
fn libpq_and_what_is_under_it_are_shipped_and_what_the_system_has_is_not() {
    if !require_debian_libraries() {
        return;
    }
    let scene = Scene::new();
    scene.c(LIBPQ_AND_SQLITE, "orders", "-lpq -lsqlite3");
    let ran = scene.run("--binary orders -o orders.zip -v").exits(0);
    must_ship_libpq(&ran, "orders");
    must_hold_libpq(&scene, "orders.zip");
    let zip = scene.path().canonicalize().unwrap().join("orders.zip");
    let ran = ran.prints(&format!("{}\n", zip.display()));
    // Debian's libunistring is newer than the one that loads.
    ran.says(&["warning[version-skew]: `libunistring.so.2`", "-> libgnutls.so.30 -> libunistring.so.2"]);
}

#[test]
fn libpq_of_a_cargo_project() {
    if !require_debian_libraries() {
        return;
    }
    let scene = Scene::new();
    let manifest = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\nopt-level = 0\n";
    scene.file("Cargo.toml", manifest);
    scene.file("src/main.rs", RUST_LIBPQ_AND_SQLITE);
    let ran = scene.run("--build -v").exits(0);
    let zip = "target/lambda-bundle/orders/bootstrap.zip";
    must_ship_libpq(&ran, "orders");
    must_hold_libpq(&scene, zip);
    ran.prints(&format!("{}\n", scene.path().canonicalize().unwrap().join(zip).display()));
}

#[test]
fn libpq_of_an_older_system_by_its_root() {
    if !tools::require("cc", "gcc") || !tools::require("unzip", "unzip") {
        return;
    }
    let Some(root) = debian::DEBIAN_11.unpacked() else { return };
    let scene = Scene::new();
    let root = root.display();
    let link = format!(
        "-L{root}/usr/lib/x86_64-linux-gnu -l:libpq.so.5 -l:libsqlite3.so.0 -Wl,--allow-shlib-undefined"
    );
    scene.c(LIBPQ_AND_SQLITE, "orders", &link);
    let ran = scene.run(&format!("--binary orders --sysroot {root} -o orders.zip -v")).exits(0);
    // OpenSSL 1.1, too: AL2023 has 3.
    assert_eq!(
        names(&scene, "orders.zip"),
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
    scene.run("verify orders.zip").exits(0).keeps_silent_about(&["warning", "error"]);
}
