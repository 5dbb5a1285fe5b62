//! A runtime with an older library than the program needs: it fails without the pin and starts with it.
//!
//! The older library is real: zlib 1.2.11 of Debian 11 has no ZLIB_1.2.12, as AL2023's has none. The program is
//! linked to this machine's zlib, and the root's `/lib64` gets the older one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cargo_lambda_bundle::baseline::{self, Presence};
use cargo_lambda_bundle::elf::Arch;
use support::command::{bundle_cmd, finish, run};
use support::compile::{CC, require_debian_12, require_library};
use support::debian;
use support::lambda_root::{self, LambdaRoot, Outcome};
use support::tools;

/// Uses a function of ZLIB_1.2.12 and says which zlib is in its memory.
const SOURCE: &str = r#"
#include <stdio.h>
#include <string.h>
extern unsigned long crc32_combine_gen(long);
extern const char *zlibVersion(void);
int main(void) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "libz.so")) { fputs(strchr(line, '/'), stderr); break; }
    fprintf(stderr, "zlib %s %d\n", zlibVersion(), crc32_combine_gen(1) != 0);
    return 0;
}
"#;

#[test]
fn an_older_library_of_the_runtime_is_displaced() {
    const TEST: &str = "an_older_library_of_the_runtime_is_displaced";
    let zlib = "/lib/x86_64-linux-gnu/libz.so.1";
    if !lambda_root::require(TEST, Arch::X86_64)
        || !require_debian_12(TEST)
        || !require_library(TEST, zlib, "zlib1g")
        || !tools::require(TEST, "cc", "gcc")
    {
        return;
    }
    let Some(older) = debian::debian_11(TEST, &["libpq5", "libsqlite3-0"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), SOURCE, "app", zlib);

    run(dir.path(), "--binary app -o plain.zip --repair never --write-anyway")
        .exits(1)
        .says(&["error[version-too-new]: `app` needs ZLIB_1.2.12"]);
    let plain = start(&older, &dir.path().join("plain.zip"));
    assert!(plain.contains("version `ZLIB_1.2.12' not found"), "{plain}");

    run(dir.path(), "--binary app -o pinned.zip").exits(0).says(&["libz.so.1", "in place of"]);
    run(dir.path(), "verify pinned.zip").exits(0);
    let started = |zip: &str| {
        let pinned = start(&older, &dir.path().join(zip));
        assert!(pinned.starts_with("/var/task/lib/pinned/libz.so.1\n"), "{pinned}");
        assert!(pinned.contains("zlib 1.2.13 1\n"), "{pinned}");
    };
    started("pinned.zip");

    // Stripped first, then edited: what the tool is given is the file itself.
    CC.compile(dir.path(), SOURCE, "app", &format!("-g {zlib}"));
    let strip = which::which("strip").unwrap();
    let script = format!(
        "#!/bin/sh\n/bin/cp original {}/seen\nexec {} \"$@\"\n",
        dir.path().display(),
        strip.display()
    );
    std::fs::create_dir(dir.path().join("path")).unwrap();
    std::fs::write(dir.path().join("path/strip"), script).unwrap();
    std::fs::set_permissions(dir.path().join("path/strip"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = bundle_cmd(dir.path());
    command.env("PATH", dir.path().join("path")).args(["--binary", "app", "--strip", "-o", "stripped.zip"]);
    finish(&mut command).exits(0).says(&["debug information, left out"]);
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("seen") == bytes("app"));
    started("stripped.zip");
    run(dir.path(), "--binary app -o kept.zip --strip --debug-symbols symbols").exits(0);
    started("kept.zip");
}

/// Starts a function's ZIP in a root whose zlib is Debian 11's; what it wrote to stderr.
fn start(older: &Path, zip: &Path) -> String {
    let baseline = baseline::embedded("provided.al2023", Arch::X86_64).unwrap();
    let present = baseline.objects().iter().filter(|object| object.presence == Presence::Present);
    let sonames: Vec<String> = present.map(|object| object.soname.clone()).collect();
    let root = LambdaRoot::new(Arch::X86_64, &sonames);
    let system = root.path("usr/lib64/libz.so.1");
    std::fs::remove_file(&system).unwrap();
    tools::copy_program(older.join("lib/x86_64-linux-gnu/libz.so.1"), &system);
    root.unpack_function(zip);
    match root.invoke("{}") {
        Outcome::Ended { stderr, .. } => stderr,
        other => panic!("{other:?}"),
    }
}
