//! A runtime with an older library than the program needs: it fails without the pin and starts with it.
//!
//! The older library is real: zlib 1.2.11 of Debian 11 has no ZLIB_1.2.12, as AL2023's has none. The program is
//! linked to this machine's zlib, and the root's `/lib64` gets the older one. What starts here starts on Lambda's
//! kernel, too.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cargo_lambda_bundle::elf::Arch;
use support::command::{bundle_cmd, finish, run};
use support::compile::{CC, require_debian_12, require_library, rust_lld};
use support::debian::DEBIAN_11;
use support::kernel::{self, Start};
use support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
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

/// What it says with the bundled one.
const PINNED: &str = "/var/task/lib/pinned/libz.so.1\nzlib 1.2.13 1\n";

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
    let Some(older) = DEBIAN_11.unpacked(TEST) else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let system = root.path("usr/lib64/libz.so.1");
    std::fs::remove_file(&system).unwrap();
    tools::copy_program(older.join("lib/x86_64-linux-gnu/libz.so.1"), &system);
    let lld = rust_lld();
    for (linker, flags) in [("lld", lld.as_str()), ("gnu", "-fuse-ld=bfd")] {
        CC.compile(dir.path(), SOURCE, "app", &format!("{zlib} {flags}"));
        run(dir.path(), &format!("--binary app -o {linker}-plain.zip --repair never --write-anyway"))
            .exits(1)
            .says(&["error[version-too-new]: `app` needs ZLIB_1.2.12"]);
        let plain = start(&root, &dir.path().join(format!("{linker}-plain.zip")));
        assert!(plain.contains("version `ZLIB_1.2.12' not found"), "{plain}");

        let zip = format!("{linker}-pinned.zip");
        run(dir.path(), &format!("--binary app -o {zip}")).exits(0).says(&["libz.so.1", "in place of"]);
        run(dir.path(), &format!("verify {zip}")).exits(0);
        assert_eq!(start(&root, &dir.path().join(zip)), PINNED);
    }

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
    run(dir.path(), "--binary app -o kept.zip --strip --debug-symbols symbols").exits(0);
    for zip in ["stripped.zip", "kept.zip"] {
        assert_eq!(start(&root, &dir.path().join(zip)), PINNED);
    }

    if !kernel::require(TEST) {
        return;
    }
    let zips = ["lld-plain.zip", "lld-pinned.zip", "gnu-pinned.zip"].map(|zip| dir.path().join(zip));
    let starts = zips.each_ref().map(|zip| Start { root: &root, zip, argument: "" });
    let Some(ended) = kernel::boot(TEST, &starts) else { return };
    let [plain, pinned @ ..] = &ended[..] else { panic!("{ended:?}") };
    assert!(plain.status == 1 && plain.output.contains("version `ZLIB_1.2.12' not found"), "{plain:?}");
    for pinned in pinned {
        assert_eq!((pinned.status, pinned.output.as_str()), (0, PINNED));
    }
}

/// Starts a function's ZIP in the root; what it wrote to stderr.
fn start(root: &LambdaRoot, zip: &Path) -> String {
    std::fs::remove_dir_all(root.path("var/task")).unwrap();
    root.unpack_function(zip);
    match root.invoke("{}") {
        Outcome::Ended { stderr, .. } => stderr,
        other => panic!("{other:?}"),
    }
}
