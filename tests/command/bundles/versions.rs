//! Versions of glibc and of libstdc++ that the runtime has, does not have, or has only of late.

use super::check;
use crate::support::compile::{self, CC, Compiler, ZIG_2_26, ZIG_2_39};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;

/// Calls a function that glibc has since 2.39, and that nothing older stands in for.
const PIDFD: &str =
    "int pidfd_getpid(int); int main(int count, char **arguments) { return pidfd_getpid(count); }";

#[test]
fn a_program_for_a_newer_glibc_is_not_written() {
    if !compile::require_zig() {
        return;
    }
    let scene = Scene::new();
    ZIG_2_39.compile(scene.path(), PIDFD, "orders", "");
    let ran = scene.run("--binary orders -o new/orders.zip").exits(1).prints("").says(&[
        "error[version-too-new]: `orders` needs GLIBC_2.",
        "GLIBC_2.39, which the `libc.so.6` of provided.al2023 (x86_64) does not have (it has up to GLIBC_2.34)\n",
        "  symbols: ",
        "pidfd_getpid",
        "help: build it against glibc 2.34 or older, or link it statically to musl\n",
        "nothing was written",
    ]);
    assert!(!scene.has("new"), "{ran}");
}

#[test]
fn a_library_under_a_bundled_library_for_a_newer_glibc_is_found() {
    if !compile::require_zig() {
        return;
    }
    let scene = Scene::new();
    let deep = "
        int pidfd_getpid(int);
        unsigned long deep(char *to, const char *from) { return pidfd_getpid(*to + *from); }";
    ZIG_2_39.compile(scene.path(), deep, "libs/libdeep.so.1", "-shared -Wl,-soname,libdeep.so.1");
    let top = "
        unsigned long deep(char *to, const char *from);
        unsigned long top(char *to, const char *from) { return deep(to, from); }";
    ZIG_2_26.compile(
        scene.path(),
        top,
        "libs/libtop.so.1",
        "-shared -Wl,-soname,libtop.so.1 libs/libdeep.so.1",
    );
    let main = "
        unsigned long top(char *to, const char *from);
        int main(int count, char **arguments) { char text[9]; return top(text, arguments[0]) == 3; }";
    ZIG_2_26.compile(scene.path(), main, "orders", "libs/libtop.so.1");
    let ran = scene.run("--binary orders --library-path libs -o orders.zip").exits(1).prints("");
    let ran = ran.says(&[
        "error[version-too-new]: `libdeep.so.1` needs GLIBC_2.",
        "GLIBC_2.39, which the `libc.so.6` of provided.al2023 (x86_64) does not have",
        "  chain: orders -> libtop.so.1 -> libdeep.so.1\n",
        "help: take `libdeep.so.1` from a system with glibc 2.34 or older: ",
    ]);
    let ran = ran.keeps_silent_about(&["build it against"]);
    assert_eq!(ran.stderr.matches("error[").count(), 1, "{ran}");
    assert!(!scene.has("orders.zip"));
}

#[test]
fn libraries_of_this_machine_that_are_too_new_are_rebound_or_findings_about_their_source() {
    if !compile::require_debian_12() || !tools::require("cc", "gcc") {
        return;
    }
    let scene = Scene::new();
    let main = "
        int XML_ExpatVersion(void);
        char *crypt(const char *, const char *);
        int main(int count, char **arguments) { return XML_ExpatVersion() && crypt(*arguments, *arguments); }";
    scene.c(main, "orders", "-l:libexpat.so.1 -l:libcrypt.so.1");
    scene
        .run("--binary orders -o rebound.zip -v")
        .exits(0)
        .says(&["note[glibc-rebound]: `libcrypt.so.1` ", "note[glibc-rebound]: `libexpat.so.1` "]);
    let ran = scene.run("--binary orders -o orders.zip --repair never").exits(1).prints("");
    let help = "from a system with glibc 2.34 or older: name its root with `--sysroot DIR`, or a directory with \
        `--library-path DIR`; or ship this machine's glibc with";
    let both = "error[version-too-new]: 2 libraries need GLIBC_2.36, which glibc 2.34 of provided.al2023 (x86_64) does \
        not have: `libcrypt.so.1`, `libexpat.so.1`\n  symbols: arc4random_buf\n";
    assert_eq!(ran.stderr.matches("error[").count(), 1, "{ran}");
    ran.says(&[&format!("{both}help: take them {help} them: `--libc bundle`\n")])
        .keeps_silent_about(&["build it against", "musl"]);
    let ran = scene.run("check --binary orders --repair never -v").exits(1);
    assert_eq!(ran.stderr.matches("help: take ").count(), 1, "{ran}");
    let each = ["libcrypt.so.1", "libexpat.so.1"].map(|soname| {
        format!(
            "error[version-too-new]: `{soname}` needs GLIBC_2.36, which the `libc.so.6` of provided.al2023 (x86_64) \
             does not have (it has up to GLIBC_2.34)\n  chain: orders -> {soname}\n  symbols: arc4random_buf\n"
        )
    });
    ran.says(&each.each_ref().map(String::as_str));
    assert!(!scene.has("orders.zip"));
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
    let scene = Scene::new();
    let source = "int pidfd_open(int, int); int main(void) { return pidfd_open(1, 0) == 7; }";
    scene.c(source, "app", "");
    scene.run("check --binary app").exits(1).says(&["error[version-too-new]: `app` needs GLIBC_2.36"]);
    // GNU ld sets the flag only where the library's own definition is weak, and glibc has none such.
    let mut bytes = scene.read("app");
    set_weak(&mut bytes, "GLIBC_2.36");
    scene.file("app", bytes);
    let ran = scene.run("--binary app -o app.zip").exits(0).says(&[
        "warning[version-too-new]: `app` has a weak need for GLIBC_2.36, which the `libc.so.6` of provided.al2023 \
         (x86_64) does not have\n  it has up to GLIBC_2.34\n  ld.so prints a warning and continues\n",
    ]);
    assert!(scene.has("app.zip"), "{ran}");
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
         got with image 2023.",
        "  symbols: _ZNSt18condition_variable4wait",
        "help: ",
    ]);
    check(Compiler(&["c++"]), waits, "", "--deny version-recent", &expected)
        .exits(1)
        .says(&["error[version-recent]: "]);
}

#[test]
fn an_older_runtime_has_an_older_glibc_and_is_deprecated() {
    let expected = [
        ("version-too-new", "app", "libc.so.6"),
        ("baseline-old", "app", ""),
        ("runtime-deprecated", "app", ""),
    ];
    check(CC, EMPTY, "", "--runtime provided.al2", &expected).exits(1).says(&[
        "`app` needs GLIBC_2.34, which the `libc.so.6` of provided.al2 (x86_64) does not have (it has up to GLIBC_2.26)\n",
        "help: build it against glibc 2.26 or older, or link it statically to musl; or ship this machine's glibc with it: `--libc bundle`\n",
        "warning[runtime-deprecated]: AWS deprecated the runtime provided.al2 on 2026-07-31",
        "help: move to `--runtime provided.al2023`\n",
    ]);
}
