//! `explain`: the searches of both worlds for a library, the closure as a tree and as a graph.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use crate::support::scene::{NEEDS_TOP, Scene};
use crate::support::tools;
use serde_json::json;

/// A program that needs `libtop.so.1`, which needs `libdeep.so.1`; the directory `first` has neither,
/// `second` has both.
fn scene() -> Option<Scene> {
    if !tools::require("cc", "gcc") {
        return None;
    }
    let scene = Scene::new();
    scene.library("second/libdeep.so.1", "int deep(void) { return 1; }", "");
    let top = "int deep(void); int top(void) { return deep(); }";
    scene.library("second/libtop.so.1", top, "second/libdeep.so.1");
    scene.dir("first");
    scene.c(NEEDS_TOP, "app", "second/libtop.so.1 -Wl,-rpath-link,second");
    Some(scene)
}

const PATHS: &str = "--binary app --library-path first --library-path second";

#[test]
fn a_library_is_explained_step_by_step() {
    let Some(scene) = scene() else { return };
    let at = scene.path().display();
    scene.run(&format!("explain libdeep.so.1 {PATHS}")).exits(0).prints(&format!(
        "libdeep.so.1 is shipped: provided.al2023 (x86_64) lacks it\n\
        \x20 chain      app -> libtop.so.1 -> libdeep.so.1\n\
        \x20 needed by  libtop.so.1\n\
        \x20 build      {at}/second/libdeep.so.1 (--library-path)\n\
        \x20            tried {at}/first/libdeep.so.1 (--library-path): not found\n\
        \x20 lambda     /var/task/lib/libdeep.so.1 (LD_LIBRARY_PATH)\n\
        \x20            tried /lib64/libdeep.so.1 (LD_LIBRARY_PATH): not found\n\
        \x20            tried /usr/lib64/libdeep.so.1 (LD_LIBRARY_PATH): not found\n\
        \x20            tried /var/runtime/libdeep.so.1 (LD_LIBRARY_PATH): not found\n\
        \x20            tried /var/runtime/lib/libdeep.so.1 (LD_LIBRARY_PATH): not found\n\
        \x20            tried /var/task/libdeep.so.1 (LD_LIBRARY_PATH): not found\n"
    ));
}

#[test]
fn a_missing_library_is_explained_with_what_was_tried() {
    let Some(scene) = scene() else { return };
    let at = scene.path().display();
    let ran = scene.run("explain libtop.so.1 --binary app --library-path first").exits(1);
    for text in [
        "  chain      app -> libtop.so.1\n",
        "  build      not found\n",
        &format!("tried {at}/first/libtop.so.1 (--library-path): not found\n"),
        "libtop.so.1 is missing: neither provided.al2023 (x86_64) nor this machine has it\n",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?}: {ran}");
    }
    ran.says(&["error[missing-library]: `app` needs `libtop.so.1`"]);
}

#[test]
fn a_library_that_is_not_needed_lists_what_is() {
    let Some(scene) = scene() else { return };
    scene.run(&format!("explain libfnord.so {PATHS}")).exits(101).says(&[
        "error: `app` needs no library of that name\n",
        "help: it needs: ld-linux-x86-64.so.2, libc.so.6, libdeep.so.1, libtop.so.1\n",
    ]);
    scene
        .run(&format!("explain libtop {PATHS}"))
        .exits(101)
        .says(&["help: did you mean `explain libtop.so.1`?\n"]);
}

#[test]
fn what_one_of_several_programs_needs_is_explained() {
    let Some(scene) = scene() else { return };
    scene.c("int main(void) { return 0; }", "plain", "");
    let several = format!("--binary plain {PATHS}");
    let ran = scene.run(&format!("explain libtop.so.1 {several}")).exits(0);
    assert!(ran.stdout.contains("libtop.so.1 is shipped"), "{ran}");
    ran.says(&["     Checked `plain` needs no library of that name\n"])
        .keeps_silent_about(&["error", "help"]);
    let none = scene.run(&format!("explain libfnord.so {several}")).exits(101);
    none.says(&["error: `app` needs no library of", "error: `plain` needs no library of"]);
}

/// A program and a library of its own, which refer to glibc 2.36's functions and to each other's.
fn scene_of_symbols() -> Option<Scene> {
    if !tools::require("cc", "gcc") {
        return None;
    }
    let scene = Scene::new();
    let random = "#include <stdlib.h>\n__attribute__((weak)) void absent_function(void);
        int top(void) { return absent_function ? 1 : arc4random() & 1; }";
    scene.library("libs/libtop.so.1", random, "");
    let app = "#include <stdlib.h>\n#include <stddef.h>\nsize_t mbrtoc8(); int top(void);
        int main(int n, char **v) { return n > 9 ? mbrtoc8(0, 0, 0, 0) + arc4random() : top() + atoi(v[0]); }";
    scene.c(app, "app", "libs/libtop.so.1");
    Some(scene)
}

const SYMBOLS: &str = "--binary app --library-path libs";

#[test]
fn a_symbol_is_explained_with_what_refers_to_it_and_what_meets_it() {
    let Some(scene) = scene_of_symbols() else { return };
    // The library's reference can be met; the program needs the version for another function, too.
    scene.run(&format!("explain arc4random {SYMBOLS}")).exits(1).prints(
        "arc4random\n\
        \x20 asked for  app\n\
        \x20            arc4random@GLIBC_2.36: ld.so refuses the file: `libc.so.6` does not have the version; this reference could be rebound, but not all with the version\n\
        \x20            app -> libtop.so.1\n\
        \x20            arc4random@GLIBC_2.36: supplied by the bundle's `liblambda-bundle-compat.so.1`\n\
        \x20 defined    by liblambda-bundle-compat.so.1 (bundle)\n",
    );
    scene.run(&format!("explain top {SYMBOLS}")).exits(1).prints(
        "top\n\
        \x20 asked for  app\n\
        \x20            top: bound as it was linked\n\
        \x20 defined    by libtop.so.1 (bundle)\n",
    );
    scene.run(&format!("explain atoi {SYMBOLS}")).exits(1).prints(
        "atoi\n\
        \x20 asked for  app\n\
        \x20            atoi@GLIBC_2.2.5: bound as it was linked\n\
        \x20 defined    by libc.so.6 (GLIBC_2.2.5, runtime)\n",
    );
    scene.run(&format!("explain absent_* {SYMBOLS}")).exits(1).prints(
        "absent_function\n\
        \x20 asked for  app -> libtop.so.1\n\
        \x20            absent_function: null: the reference is weak, and nothing defines it\n\
        \x20 defined    by nothing that loads\n",
    );
}

#[test]
fn a_symbol_version_is_explained_with_its_symbols() {
    let Some(scene) = scene_of_symbols() else { return };
    let ran = scene.run(&format!("explain GLIBC_2.36 {SYMBOLS}")).exits(1);
    for text in [
        "GLIBC_2.36\n  asked for  app\n",
        "             mbrtoc8@GLIBC_2.36: ld.so refuses the file: `libc.so.6` does not have the version\n",
        "             app -> libtop.so.1\n             arc4random@GLIBC_2.36: supplied by",
        "\n  offered    by nothing that loads\n",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?}: {ran}");
    }
    ran.says(&["error[version-too-new]: `app` needs GLIBC_2.36"]);
    let document = scene.run(&format!("explain GLIBC_2.36 {SYMBOLS} --message-format json")).exits(1).json();
    let explanation = &document["artifacts"][0]["symbol_explanations"][0];
    assert_eq!(explanation["kind"], "version");
    let reference = explanation["references"].as_array().unwrap().last().unwrap();
    assert_eq!(reference["chain"], json!(["app", "libtop.so.1"]));
    assert_eq!(reference["result"], "supplied");
    assert_eq!(reference["library"], "libc.so.6");
    let old = scene.run(&format!("explain GLIBC_2.2.5 {SYMBOLS}")).exits(1);
    assert!(
        old.stdout.ends_with("\n  offered    by ld-linux-x86-64.so.2 (runtime), libc.so.6 (runtime)\n"),
        "{old}"
    );
}

#[test]
fn a_name_that_nothing_has_is_an_error_with_the_nearest() {
    let Some(scene) = scene_of_symbols() else { return };
    for (word, help) in [
        ("arc4randon", "did you mean `explain arc4random`?"),
        ("GLIBC_2.40", "the newest that they need is GLIBC_2.36: `explain GLIBC_2.36`"),
        (
            "fnord_of_none",
            "it needs: ld-linux-x86-64.so.2, libc.so.6, liblambda-bundle-compat.so.1, libtop.so.1",
        ),
    ] {
        scene.run(&format!("explain {word} {SYMBOLS}")).exits(101).says(&[
            &format!(
                "error: `app` and its libraries refer to no symbol, symbol version or library `{word}`\n"
            ),
            &format!("help: {help}"),
        ]);
    }
}

#[test]
fn the_closure_is_a_tree() {
    let Some(scene) = scene() else { return };
    scene.run(&format!("explain {PATHS}")).exits(0).prints(
        "app\n\
         ├── libtop.so.1 [bundle, ld-library-path]\n\
         │   └── libdeep.so.1 [bundle, ld-library-path]\n\
         └── libc.so.6 [provided.al2023, derived, ld-library-path]\n",
    );
}

#[test]
fn the_closure_is_a_graph() {
    let Some(scene) = scene() else { return };
    scene.run(&format!("explain --mermaid {PATHS}")).exits(0).prints(
        "graph LR\n\
        \x20 n0[\"app\"]:::program\n\
        \x20 n1[\"ld-linux-x86-64.so.2\"]:::runtime\n\
        \x20 n2[\"libc.so.6\"]:::runtime\n\
        \x20 n3[\"libdeep.so.1\"]:::bundle\n\
        \x20 n4[\"libtop.so.1\"]:::bundle\n\
        \x20 n0 --> n2\n\
        \x20 n4 --> n3\n\
        \x20 n0 --> n4\n\
        \x20 classDef program fill:#dae8fc\n\
        \x20 classDef bundle fill:#d5e8d4\n\
        \x20 classDef runtime fill:#f5f5f5\n\
        \x20 classDef missing fill:#f8cecc\n",
    );
}

#[test]
fn explanations_are_in_the_json_document() {
    let Some(scene) = scene() else { return };
    let document = scene.run(&format!("explain libdeep* {PATHS} --message-format json")).exits(0).json();
    let explanation = &document["artifacts"][0]["explanations"][0];
    assert_eq!(explanation["soname"], "libdeep.so.1");
    assert_eq!(explanation["chain"], json!(["app", "libtop.so.1", "libdeep.so.1"]));
    assert_eq!(explanation["lambda"]["path"], "/var/task/lib/libdeep.so.1");
    assert_eq!(explanation["lambda"]["rule"], "ld-library-path");
    assert_eq!(explanation["lambda"]["passed_over"][0]["path"], "/lib64/libdeep.so.1");
    assert_eq!(explanation["lambda"]["passed_over"][0]["why"], "not there");
}
