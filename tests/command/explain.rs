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
        "libdeep.so.1\n\
        \x20 chain      app -> libtop.so.1 -> libdeep.so.1\n\
        \x20 needed by  libtop.so.1\n\
        \x20 build      {at}/second/libdeep.so.1, by ld-library-path\n\
        \x20            tried {at}/first/libdeep.so.1 (ld-library-path): not there\n\
        \x20 lambda     /var/task/lib/libdeep.so.1, by ld-library-path\n\
        \x20            tried /lib64/libdeep.so.1 (ld-library-path): not there\n\
        \x20            tried /usr/lib64/libdeep.so.1 (ld-library-path): not there\n\
        \x20            tried /var/runtime/libdeep.so.1 (ld-library-path): not there\n\
        \x20            tried /var/runtime/lib/libdeep.so.1 (ld-library-path): not there\n\
        \x20            tried /var/task/libdeep.so.1 (ld-library-path): not there\n\
        \x20 result     shipped: provided.al2023 (x86_64) lacks it\n"
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
        &format!("tried {at}/first/libtop.so.1 (ld-library-path): not there\n"),
        "  result     missing: neither provided.al2023 (x86_64) nor this machine has it\n",
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
    scene.run(&format!("explain --form mermaid {PATHS}")).exits(0).prints(
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
