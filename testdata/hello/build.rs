//! Builds `greeting.c` the way a `-sys` crate builds its C library, and leaves it in `OUT_DIR`.
//!
//! Where Rust links dynamically (gnu targets) that is a shared library, with what libtool's
//! `make install` leaves: the file `libgreeting.so.1.0.0`, the link `libgreeting.so.1` that is named like
//! the SONAME, and the link `libgreeting.so` that the link editor opens for `-lgreeting`. The program gets
//! no RPATH: cargo puts `OUT_DIR` on `LD_LIBRARY_PATH` for `cargo run`, and then the loader opens the SONAME,
//! so a lone `libgreeting.so` would link and not run. Where Rust links statically (musl targets) it is an
//! object file in the program.

use std::env;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "libgreeting.so.1.0.0";
const SONAME: &str = "libgreeting.so.1";
const LINK_NAME: &str = "libgreeting.so";

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rerun-if-changed=greeting.c");
    println!("cargo:rustc-env=HELLO_TARGET={target}");

    // Not `crt-static` in CARGO_CFG_TARGET_FEATURE: cargo 1.95 leaves it out for the musl targets.
    let links_statically = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl");
    let mut compiler = Command::new(compiler(&target));
    compiler.args(["-O2", "-fPIC", "greeting.c", "-o"]);
    if links_statically {
        let object = out_dir.join("greeting.o");
        run(compiler.arg(&object).arg("-c"));
        println!("cargo:rustc-link-arg-bins={}", object.display());
    } else {
        run(compiler.arg(out_dir.join(FILE)).args(["-shared", &format!("-Wl,-soname,{SONAME}")]));
        link(FILE, &out_dir.join(SONAME));
        link(SONAME, &out_dir.join(LINK_NAME));
        println!("cargo:rustc-link-search=native={}", out_dir.display());
        println!("cargo:rustc-link-lib=dylib=greeting");
    }
}

/// The C compiler for `target`: what the variables of the `cc` crate say, else the usual name.
fn compiler(target: &str) -> String {
    let names =
        [format!("CC_{target}"), format!("CC_{}", target.replace('-', "_")), "TARGET_CC".into(), "CC".into()];
    for name in &names {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if let Some(compiler) = names.iter().find_map(|name| env::var(name).ok()) {
        return compiler;
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let host = env::var("HOST").expect("cargo sets HOST");
    // For musl too: `greeting.c` needs nothing of a libc.
    if host.starts_with(&format!("{arch}-")) { "cc".into() } else { format!("{arch}-linux-gnu-gcc") }
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{command:?} failed: {status}"),
        Err(error) => panic!("could not run {command:?}: {error}"),
    }
}

/// Makes `link` point to `file` beside it, unless an earlier build has left it there.
fn link(file: &str, link: &Path) {
    match symlink(file, link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            panic!("could not link {}: {error}", link.display())
        }
        _ => {}
    }
}
