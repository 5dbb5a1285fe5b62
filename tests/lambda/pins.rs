//! A runtime with an older library than the program needs: it fails without the pin and starts with it.
//!
//! The older libraries are real, those of Debian 11: they take the place of this machine's in the root's `/lib64`,
//! and the programs are linked to newer ones. What starts here starts on Lambda's kernel, too.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::command::{bundle_cmd, finish, run};
use crate::support::compile::{CC, Compiler, require_debian_12, require_library, rust_lld};
use crate::support::debian::DEBIAN_11;
use crate::support::kernel::{self, Start};
use crate::support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

/// Uses a function of ZLIB_1.2.12, which AL2023's zlib lacks, too, and says which zlib is in its memory.
const ZLIB: &str = r#"
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
    let zlib = "/lib/x86_64-linux-gnu/libz.so.1";
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !require_library(zlib, "zlib1g")
        || !tools::require("cc", "gcc")
    {
        return;
    }
    let Some(older) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = root_with(&older.join("lib/x86_64-linux-gnu/libz.so.1"));
    let lld = rust_lld();
    for (linker, flags) in [("lld", lld.as_str()), ("gnu", "-fuse-ld=bfd")] {
        CC.compile(dir.path(), ZLIB, "app", &format!("{zlib} {flags}"));
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
    CC.compile(dir.path(), ZLIB, "app", &format!("-g {zlib}"));
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
    command.env("PATH", dir.path().join("path")).args([
        "--binary",
        "app",
        "--strip",
        "-o",
        "stripped.zip",
        "-v",
    ]);
    finish(&mut command).exits(0).says(&["debug information, left out"]);
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("seen") == bytes("app"));
    run(dir.path(), "--binary app -o kept.zip --strip --debug-symbols symbols").exits(0);
    for zip in ["stripped.zip", "kept.zip"] {
        assert_eq!(start(&root, &dir.path().join(zip)), PINNED);
    }

    if !kernel::require() {
        return;
    }
    let zips = ["lld-plain.zip", "lld-pinned.zip", "gnu-pinned.zip"].map(|zip| dir.path().join(zip));
    let starts = zips.each_ref().map(|zip| Start { root: &root, zip, argument: "" });
    let Some(ended) = kernel::boot(&starts) else { return };
    let [plain, pinned @ ..] = &ended[..] else { panic!("{ended:?}") };
    assert!(plain.status == 1 && plain.output.contains("version `ZLIB_1.2.12' not found"), "{plain:?}");
    for pinned in pinned {
        assert_eq!((pinned.status, pinned.output.as_str()), (0, PINNED));
    }
}

/// libstdc++ 12 is linked here, because Debian's needs one function of glibc 2.36, which no runtime has.
const ARC4RANDOM: &str = r#"
#include <sys/random.h>
unsigned arc4random(void) { unsigned number; getrandom(&number, sizeof number, 0); return number; }
"#;

/// Uses a function of GLIBCXX_3.4.30, and exceptions, which go through libgcc_s.
const LIBSTDCPP: &str = r#"
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>
int main() {
    std::mutex mutex;
    std::condition_variable ready;
    bool done = false;
    std::thread other([&] { std::lock_guard<std::mutex> lock(mutex); done = true; ready.notify_one(); });
    { std::unique_lock<std::mutex> lock(mutex); while (!done) ready.wait(lock); }
    other.join();
    try { std::string().at(1); } catch (const std::out_of_range &) { std::cerr << "caught\n"; }
    std::ifstream maps("/proc/self/maps");
    std::set<std::string> mapped;
    for (std::string line; std::getline(maps, line);)
        for (auto name : {"libgcc_s.so", "libstdc++.so"})
            if (line.find(name) != line.npos) mapped.insert(line.substr(line.find('/')));
    for (auto &file : mapped) std::cerr << file << '\n';
}
"#;

#[test]
fn an_older_libstdcpp_is_displaced_with_its_libgcc() {
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !require_library("libstdc++_pic.a", "libstdc++-12-pic")
        || !tools::require("c++", "g++")
    {
        return;
    }
    let Some(older) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [archive, map] = ["libstdc++_pic.a", "libstdc++_pic.map"].map(|name| {
        let path = Command::new("cc").arg(format!("-print-file-name={name}")).output().unwrap().stdout;
        String::from_utf8(path).unwrap().trim().to_owned()
    });
    std::fs::create_dir(dir.path().join("newer")).unwrap();
    let flags = format!(
        "-fPIC -shared -nodefaultlibs -Wl,--whole-archive {archive} -Wl,--no-whole-archive \
         -Wl,--version-script={map} -Wl,-soname,libstdc++.so.6 -lm -lc -lgcc_s -lgcc"
    );
    CC.compile(dir.path(), ARC4RANDOM, "newer/libstdc++.so.6", &flags);
    let libgcc = older.join("lib/x86_64-linux-gnu/libgcc_s.so.1");
    std::fs::copy(&libgcc, dir.path().join("newer/libgcc_s.so.1")).unwrap();
    Compiler(&["c++"]).compile(dir.path(), LIBSTDCPP, "app", "-O1 -pthread");
    let root = root_with(&older.join("usr/lib/x86_64-linux-gnu/libstdc++.so.6"));

    let library_path = "--library-path newer";
    run(dir.path(), &format!("--binary app -o plain.zip --repair never {library_path}"))
        .exits(0)
        .says(&["warning[version-recent]: `app` needs GLIBCXX_3.4.30"]);
    let plain = start(&root, &dir.path().join("plain.zip"));
    assert!(plain.contains("/lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found"), "{plain}");

    run(dir.path(), &format!("--binary app -o pinned.zip {library_path}"))
        .exits(0)
        .keeps_silent_about(&["version-recent"]);
    run(dir.path(), "verify pinned.zip").exits(0).keeps_silent_about(&["version-recent"]);
    let pinned = "/var/task/lib/pinned";
    assert_eq!(
        start(&root, &dir.path().join("pinned.zip")),
        format!("caught\n{pinned}/libgcc_s.so.1\n{pinned}/libstdc++.so.6\n")
    );
}

/// Uses a function that SQLite has since 3.38; its symbols have no versions. Debian 11 has 3.34.
const SQLITE: &str = r#"
#include <stdio.h>
#include <string.h>
extern const char *sqlite3_libversion(void);
extern int sqlite3_error_offset(void *);
int main(void) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "libsqlite3.so")) { fputs(strchr(line, '/'), stderr); break; }
    fprintf(stderr, "sqlite %.4s %d\n", sqlite3_libversion(), sqlite3_error_offset(0));
    return 0;
}
"#;

#[test]
fn an_older_library_without_versions_is_displaced_on_a_wish() {
    let sqlite = "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0";
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !require_library(sqlite, "libsqlite3-0")
        || !tools::require("cc", "gcc")
    {
        return;
    }
    let Some(older) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), SQLITE, "app", &format!("{sqlite} -Wl,-z,now"));
    let root = root_with(&older.join("usr/lib/x86_64-linux-gnu/libsqlite3.so.0"));

    run(dir.path(), "--binary app -o plain.zip").exits(0);
    let plain = start(&root, &dir.path().join("plain.zip"));
    assert!(plain.contains("undefined symbol: sqlite3_error_offset"), "{plain}");

    run(dir.path(), "--binary app -o pinned.zip --bundle-lib libsqlite3.so.0").exits(0);
    run(dir.path(), "verify pinned.zip").exits(0);
    let pinned = start(&root, &dir.path().join("pinned.zip"));
    assert_eq!(pinned, "/var/task/lib/pinned/libsqlite3.so.0\nsqlite 3.40 -1\n");
}

/// One program wishes for zlib; the other loads libraries of the system's that need it.
#[test]
fn what_one_program_pins_is_judged_by_its_file_for_the_others() {
    let libraries = "/usr/lib/x86_64-linux-gnu";
    if !lambda_root::require(Arch::X86_64)
        || !require_debian_12()
        || !require_library(&format!("{libraries}/libsqlite3.so.0"), "libsqlite3-0")
        || !require_library(&format!("{libraries}/libcrypto.so.3"), "libssl3")
        || !tools::require("cc", "gcc")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let linked = |names: [&str; 2]| {
        let paths = names.map(|name| format!("{libraries}/{name}"));
        format!("-Wl,--no-as-needed {}", paths.join(" "))
    };
    let (zlib, sqlite) = (["libz.so.1", "libcrypto.so.3"], ["libsqlite3.so.0", "libm.so.6"]);
    for (at, (first, other)) in [(zlib, sqlite), (sqlite, zlib)].into_iter().enumerate() {
        let (name, included) = (format!("app{at}"), format!("other{at}"));
        CC.compile(dir.path(), "int main(void) { return 7; }", &name, &linked(first));
        CC.compile(dir.path(), "int main(void) { return 8; }", &included, &linked(other));
        let include = format!("--include {included}=bin/other");
        let wishes = "--bundle-lib libz.so.1 --bundle-lib libsqlite3.so.0";
        run(dir.path(), &format!("--binary {name} {include} {wishes} -o {at}.zip")).exits(0);
        std::fs::remove_dir_all(root.path("var/task")).unwrap();
        root.unpack_function(&dir.path().join(format!("{at}.zip")));
        for (path, status) in [("/var/task/bootstrap", 7), ("/var/task/bin/other", 8)] {
            assert_eq!(root.start(path, &[]).status.code(), Some(status), "{at} {path}");
        }
    }
}

/// A root of this machine's libraries, with this file in place of the one of its name.
fn root_with(older: &Path) -> LambdaRoot {
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let system = root.path("usr/lib64").join(older.file_name().unwrap());
    std::fs::remove_file(&system).unwrap();
    tools::copy_program(older, &system);
    root
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

/// A program that says which libattr it has.
const ATTR: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
extern int attr_new(void);
int main(int count, char **arguments) {
    char line[512];
    if (count > 1 && !dlopen(arguments[1], RTLD_NOW)) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    if (count < 2) CALL;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "libattr.so")) { fputs(strchr(line, '/'), stderr); break; }
    return 0;
}
"#;

/// Programs and a plugin that need a node which the runtime's libattr lacks, with that library beside them.
fn needing_a_newer_libattr(dir: &Path) {
    let nodes = "ATTR_1.0{}; ATTR_1.1{}; ATTR_1.2{}; ATTR_1.3{}; ATTR_9.0{attr_new;};";
    std::fs::write(dir.join("nodes"), nodes).unwrap();
    let flags = "-shared -fPIC -Wl,-soname,libattr.so.1 -Wl,--version-script=nodes";
    CC.compile(dir, "int attr_new(void) { return 0; }", "libattr.so.1", flags);
    let tool = ATTR.replace("CALL", "attr_new()");
    for name in ["one", "two"] {
        CC.compile(dir, &tool, name, "libattr.so.1");
    }
    CC.compile(dir, &ATTR.replace("CALL", "return 0"), "host", "-Wl,--as-needed libattr.so.1");
    let plugin = "extern int attr_new(void); int plug(void) { return attr_new(); }";
    CC.compile(dir, plugin, "plug.so", "-shared -fPIC libattr.so.1");
}

#[test]
fn programs_of_one_archive_pin_one_library() {
    let zlib = "/lib/x86_64-linux-gnu/libattr.so.1";
    if !lambda_root::require(Arch::X86_64)
        || !require_library(zlib, "libattr1")
        || !tools::require("cc", "gcc")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    needing_a_newer_libattr(dir.path());
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let says = |program: &str, arguments: &[&str]| {
        let output = root.start(program, arguments);
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };

    run(dir.path(), "--binary one --include two=bin/two --library-path . -o function.zip").exits(0);
    run(dir.path(), "verify function.zip").exits(0);
    root.unpack_function(&dir.path().join("function.zip"));
    for program in ["/var/task/bootstrap", "/var/task/bin/two"] {
        assert_eq!(says(program, &[]), "/var/task/lib/pinned/libattr.so.1\n");
    }

    run(dir.path(), "--kind extension --binary one --binary two --library-path . -o both.zip").exits(0);
    root.unpack_layer(&dir.path().join("both.zip"));
    for program in ["/opt/extensions/one", "/opt/extensions/two"] {
        assert_eq!(says(program, &[]), "/opt/lambda-bundle/one/pinned/libattr.so.1\n");
    }

    // A plugin looks for what is pinned by itself.
    std::fs::remove_dir_all(root.path("var/task")).unwrap();
    run(dir.path(), "--binary host --include plug.so=plug.so --library-path . -o plugin.zip").exits(0);
    root.unpack_function(&dir.path().join("plugin.zip"));
    let said = says("/var/task/bootstrap", &["/var/task/plug.so"]);
    assert_eq!(said, "/var/task/lib/pinned/libattr.so.1\n");

    // Where the program has loaded the runtime's copy first, no pin of the plugin's can win.
    let old = "extern int attr_get(const char *, const char *, char *, int *, int); int main(void) { return attr_get(0, 0, 0, 0, 0) == 9; }";
    CC.compile(dir.path(), old, "loads", zlib);
    run(dir.path(), "--binary loads --include plug.so=plug.so --library-path . -o loads.zip")
        .exits(1)
        .says(&["error[repair-conflict]: `plug.so` needs ATTR_9.0", "`--bundle-lib libattr.so.1`"]);
    run(
        dir.path(),
        "--binary loads --include plug.so=plug.so --library-path . -o loads.zip --bundle-lib libattr.so.1",
    )
    .exits(0);
}

/// Two functions share a library as it is; the one that pins has it edited, and keeps its own.
#[test]
fn a_function_that_pins_starts_beside_a_split_layer() {
    let attr = "/lib/x86_64-linux-gnu/libattr.so.1";
    if !lambda_root::require(Arch::X86_64) || !require_library(attr, "libattr1") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    needing_a_newer_libattr(dir);
    let nodes = "ATTR_1.0{attr_get;}; ATTR_1.1{}; ATTR_1.2{}; ATTR_1.3{}; ATTR_9.0{attr_new;};";
    std::fs::write(dir.join("nodes"), nodes).unwrap();
    let both = "int attr_new(void) { return 0; } int attr_get(void) { return 0; }";
    CC.compile(
        dir,
        both,
        "libattr.so.1",
        "-shared -fPIC -Wl,-soname,libattr.so.1 -Wl,--version-script=nodes",
    );
    let old = "extern int attr_get(const char *, const char *, char *, int *, int);
        int mid(void) { return attr_get(0, 0, 0, 0, 0); }";
    let soname = |name: &str| format!("-shared -fPIC -Wl,-soname,lib{name}.so.1 -Wl,-rpath,/nowhere");
    CC.compile(dir, old, "libmid.so.1", &format!("{} {attr}", soname("mid")));
    CC.compile(dir, "int side(void) { return 7; }", "libside.so.1", "-shared -fPIC -Wl,-soname,libside.so.1");
    let new = "extern int attr_new(void); int fresh(void) { return attr_new(); }";
    CC.compile(dir, new, "libfresh.so.1", &format!("{} libattr.so.1", soname("fresh")));
    let plain = "int mid(void); int side(void); int main(int n, char **a) { return n > 9 ? mid() + **a : side() - 7; }";
    let pins = "int mid(void); int side(void); int fresh(void);
        int main(int n, char **a) { return n > 9 ? mid() + **a : side() - 7 + fresh(); }";
    let flags = "libmid.so.1 libside.so.1 -Wl,--unresolved-symbols=ignore-in-shared-libs";
    for name in ["q2", "q3"] {
        CC.compile(dir, plain, name, flags);
    }
    CC.compile(dir, pins, "q1", &format!("{flags} libfresh.so.1"));
    let all = "--binary q1 --binary q2 --binary q3 --library-path . --split-layer shared -o out/{bin}.zip";
    run(dir, all).exits(0).says(&["layers/shared.zip: libside.so.1; "]);
    for name in ["q1", "q2", "q3"] {
        let zip = format!("out/{name}.zip");
        run(dir, &format!("verify {zip} --attached-layer out/layers/shared.zip")).exits(0);
        let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
        tools::copy_program(attr, root.path("usr/lib64/libattr.so.1"));
        root.unpack_function(&dir.join(zip));
        root.unpack_layer(&dir.join("out/layers/shared.zip"));
        let output = root.start("/var/task/bootstrap", &[]);
        assert!(output.status.success(), "{name}: {output:?}");
    }
}
