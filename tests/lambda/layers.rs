//! Layers and extensions: written, attached, verified, and started in a root that has them in /opt.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;

use crate::support::command::Ran;
use crate::support::compile::{require_debian_12, require_library};
use crate::support::debian::DEBIAN_11;
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::maps::{REPORT, directories};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use crate::support::workspace::{Workspace, built};
use cargo_lambda_bundle::elf::Arch;
use serde_json::{Value, json};

/// A directory with `libtop.so.1` in `libs`, and programs that need it and say what is in their memory.
///
/// `None`, after a word on stderr, if this machine cannot start what is bundled.
#[track_caller]
fn scene(programs: &[&str]) -> Option<Scene> {
    if !lambda_root::require(Arch::X86_64) {
        return None;
    }
    let scene = Scene::new();
    libtop(&scene, "libs", 1);
    let main = format!(
        "{REPORT}extern int top(void);
         int main(void) {{ fprintf(stderr, \"top %d\\n\", top()); report(); return 0; }}"
    );
    for program in programs {
        scene.c(&main, program, "libs/libtop.so.1");
    }
    Some(scene)
}

/// The library, made to answer `number`.
fn libtop(scene: &Scene, directory: &str, number: i32) {
    let source = format!("int top(void) {{ return {number}; }}");
    scene.library(&format!("{directory}/libtop.so.1"), &source, "");
}

fn al2023() -> LambdaRoot {
    LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64))
}

/// What a program of the root says on stderr.
#[track_caller]
fn start(root: &LambdaRoot, program: &str) -> String {
    let output = root.start(program, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{program}: {}: {stderr}", output.status);
    stderr
}

/// A row of the JSON document's only artifact.
fn artifact(ran: &Ran) -> Value {
    let document = ran.json();
    let artifacts = document["artifacts"].as_array().unwrap();
    assert_eq!(artifacts.len(), 1, "{document:#}");
    artifacts[0].clone()
}

fn from(artifact: &Value, soname: &str) -> Value {
    let libraries = artifact["libraries"].as_array().unwrap();
    let library = libraries.iter().find(|library| library["soname"] == soname);
    let library = library.unwrap_or_else(|| panic!("{soname}: {artifact:#}"));
    json!([library["from"], library["lambda_path"]])
}

#[test]
fn an_extension_starts_from_its_layer() {
    let Some(scene) = scene(&["telemetry"]) else { return };
    let ran = scene.run("--kind extension --binary telemetry --library-path libs --message-format json");
    let zip = "target/lambda-bundle/extensions/telemetry.zip";
    let artifact = artifact(&ran.exits(0));
    assert_eq!(json!([artifact["role"], artifact["archive"]["kind"]]), json!(["extension", "extension"]));
    assert_eq!(from(&artifact, "libtop.so.1"), json!(["bundle", "/opt/lib/libtop.so.1"]));
    assert_eq!(scene.names(zip), ["extensions/telemetry", "lib/libtop.so.1"]);
    let verified = self::artifact(&scene.run(&format!("verify {zip} --message-format json")).exits(0));
    assert_eq!(json!([verified["role"], verified["archive"]["kind"]]), json!(["extension", "extension"]));

    let root = al2023();
    root.unpack_layer(&scene.at(zip));
    let report = start(&root, "/opt/extensions/telemetry");
    assert!(report.starts_with("top 1\nexe /opt/extensions/telemetry\n"), "{report}");
    assert_eq!(directories(&report), ["/opt/lib", "/usr/lib64"], "{report}");
}

#[test]
fn several_extensions_share_an_archive_and_its_libraries() {
    let Some(scene) = scene(&["telemetry", "secrets"]) else { return };
    let both = "--kind extension --binary telemetry --binary secrets --library-path libs";
    scene
        .run(&format!("{both} -o both.zip"))
        .exits(0)
        .prints(&format!("{}\n", scene.at("both.zip").display()));
    assert_eq!(scene.names("both.zip"), ["extensions/secrets", "extensions/telemetry", "lib/libtop.so.1"]);
    scene.run("verify both.zip").exits(0);
    let root = al2023();
    root.unpack_layer(&scene.at("both.zip"));
    for name in ["telemetry", "secrets"] {
        assert!(start(&root, &format!("/opt/extensions/{name}")).starts_with("top 1\n"), "{name}");
    }
    // Without a common place each has its own.
    scene.run(both).exits(0);
    for name in ["telemetry", "secrets"] {
        let zip = format!("target/lambda-bundle/extensions/{name}.zip");
        assert_eq!(scene.names(&zip), [&format!("extensions/{name}"), "lib/libtop.so.1"]);
    }
}

/// Each package has its own library directories and its own library to open; one has its program edited.
#[test]
fn extensions_of_one_archive_keep_the_settings_of_their_packages() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let scene = Workspace::new();
    for (at, name, number) in [(0, "one", 1), (3, "two", 2)] {
        let source = format!("int {name}(void) {{ return {number}; }}");
        scene.library(&format!("{name}/lib{name}.so.1"), &source, "");
        scene.library(&format!("{name}/libplug{name}.so.1"), &source, "");
        let main = format!(
            "#include <dlfcn.h>\n#include <stdio.h>\nint {name}(void);
             int main(void) {{ void *plug = dlopen(\"libplug{name}.so.1\", RTLD_NOW);
             return printf(\"%d %d\\n\", {name}(), plug != 0) < 0; }}"
        );
        scene.c(&main, &built(at), &format!("{name}/lib{name}.so.1"));
        let bundle =
            format!("kind = \"extension\"\noutput = \"../both.zip\"\nlibrary-path = [\"../{name}\"]");
        scene.manifest(at, &format!("{bundle}\ndlopen = [\"libplug{name}.so.1\"]"));
    }
    scene.run("-p f00 -p f03").exits(0);
    let expected = ["libone.so.1", "libplugone.so.1", "libplugtwo.so.1", "libtwo.so.1"];
    assert_eq!(scene.names("both.zip")[2..], expected.map(|name| format!("lib/{name}")));
    scene.run("verify both.zip").exits(0);
    let root = al2023();
    root.unpack_layer(&scene.at("both.zip"));
    for (name, said) in [("f00", "1 1\n"), ("f03", "2 1\n")] {
        let output = root.start(&format!("/opt/extensions/{name}"), &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), said, "{output:?}");
    }
}

#[test]
fn a_layer_is_a_custom_runtime() {
    let Some(scene) = scene(&["runtime"]) else { return };
    let layer = "--kind layer --binary runtime --library-path libs --message-format json";
    let made = artifact(&scene.run(&format!("{layer} -o plain.zip")).exits(0));
    assert_eq!(json!([made["role"], made["archive"]["kind"]]), json!(["bootstrap", "layer"]));
    assert_eq!(scene.names("plain.zip"), ["bootstrap", "lib/libtop.so.1"]);
    scene
        .run("verify --kind layer plain.zip")
        .exits(0)
        .says(&["plain.zip: its libraries load on provided.al2023"]);
    let root = al2023();
    root.unpack_layer(&scene.at("plain.zip"));
    assert!(start(&root, "/opt/bootstrap").starts_with("top 1\nexe /opt/bootstrap\n"));

    // A script is the `bootstrap`, and starts the program.
    scene.file("bootstrap", "#!/bin/sh\nexec /opt/bin/runtime\n");
    let made = artifact(&scene.run(&format!("{layer} --include bootstrap -o script.zip")).exits(0));
    assert_eq!(made["role"], "program");
    assert_eq!(scene.names("script.zip"), ["bootstrap", "bin/runtime", "lib/libtop.so.1"]);
    scene.run("verify --kind layer script.zip").exits(0);
    let root = al2023();
    root.unpack_layer(&scene.at("script.zip"));
    assert!(start(&root, "/opt/bin/runtime").starts_with("top 1\nexe /opt/bin/runtime\n"));
}

#[test]
fn libraries_alone_make_a_layer() {
    let Some(scene) = scene(&["app"]) else { return };
    scene.run("--kind layer --libraries-only --binary app --library-path libs -o libs.zip").exits(0);
    assert_eq!(scene.names("libs.zip"), ["lib/libtop.so.1"]);
    scene.run("verify --kind layer libs.zip").exits(0);
}

/// A module that a language's own program opens has no place in the layer: only its libraries have.
#[test]
fn the_libraries_of_a_module_make_a_layer() {
    let Some(scene) = scene(&[]) else { return };
    scene.library("m.node", "int top(void); int answer(void) { return top(); }", "libs/libtop.so.1");
    let open = "#include <dlfcn.h>
        int main(int n, char **a) {
            void *m = dlopen(a[1], RTLD_NOW);
            return m && ((int (*)(void)) dlsym(m, \"answer\"))() == 1 ? 0 : 1;
        }";
    scene.c(open, "opener", "-ldl");
    let module = "--binary m.node --library-path libs --runtime nodejs22.x";
    let ran = scene.run(&format!("{module} --kind layer -o m.zip"));
    ran.exits(101).says(&["m.node` is a shared library, not a program", "--libraries-only"]);
    scene.run(&format!("{module} --kind layer --libraries-only -o m.zip")).exits(0);
    assert_eq!(scene.names("m.zip"), ["lib/libtop.so.1"]);

    let root = al2023();
    scene.copy("m.node", root.path("var/task/m.node"));
    tools::copy_program(scene.at("opener"), root.path("opener"));
    assert!(!root.start("/opener", &["/var/task/m.node"]).status.success());
    root.unpack_layer(&scene.at("m.zip"));
    assert!(root.start("/opener", &["/var/task/m.node"]).status.success());
}

/// Only a runtime that starts a `bootstrap` starts that of a layer.
#[test]
fn a_tool_in_a_layer_has_its_own_name() {
    let Some(scene) = scene(&["tool"]) else { return };
    let layer = "--kind layer --binary tool --library-path libs -o tool.zip --force";
    for (runtime, program) in [("nodejs22.x", "bin/tool"), ("provided.al2023", "bootstrap")] {
        scene.run(&format!("{layer} --runtime {runtime}")).exits(0);
        assert_eq!(scene.names("tool.zip"), [program, "lib/libtop.so.1"], "{runtime}");
    }
}

/// The program lies where an included `bootstrap` executes it, else in `bin`.
#[test]
fn a_script_starts_the_program() {
    let Some(scene) = scene(&["app"]) else { return };
    if !tools::require("dash", "dash") {
        return;
    }
    let function = "--binary app --library-path libs --include bootstrap";
    let layer = format!("{function} --kind layer");
    for (script, bundle, program, verdict) in [
        ("exec ./app \"$@\"", function, "app", "starts"),
        ("exec $LAMBDA_TASK_ROOT/run/app", function, "run/app", "starts"),
        ("exec \"${0%/*}\"/bin/app", function, "bin/app", "may start"),
        ("exec ../task/app", function, "bin/app", ""),
        ("exec /opt/app", &layer, "app", "starts"),
    ] {
        scene.file("bootstrap", format!("#!/bin/sh\nset -e\n{script}\n")).mode("bootstrap", 0o755);
        let ran = scene.run(&format!("{bundle} -o app.zip --force"));
        let root = al2023();
        fs::create_dir(root.path("bin")).unwrap();
        tools::copy_program("/bin/sh", root.path("bin/sh"));
        if verdict.is_empty() {
            ran.exits(1).says(&["it executes"]);
            continue;
        }
        ran.exits(0);
        let names = scene.names("app.zip");
        assert!(names.len() == 3 && names.iter().any(|name| name == program), "{script}: {names:?}");
        let place = match bundle == function {
            true => {
                scene.run("verify app.zip").exits(0).says(&[verdict]);
                root.unpack_function(&scene.at("app.zip"));
                "/var/task/bootstrap"
            }
            false => {
                root.unpack_layer(&scene.at("app.zip"));
                "/opt/bootstrap"
            }
        };
        assert!(start(&root, place).starts_with("top 1\n"), "{script}");
    }
}

#[test]
fn an_extension_and_a_layer_bring_their_own_libc() {
    if !require_debian_12() {
        return;
    }
    let Some(scene) = scene(&[]) else { return };
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let newer = "extern int pidfd_open(int, int); extern int top(void);
         int main(void) { pidfd_open(1, 0); fprintf(stderr, \"top %d\\n\", top()); report(); return 0; }";
    for (name, kind, program) in
        [("telemetry", "extension", "/opt/extensions/telemetry"), ("custom", "layer", "/opt/bootstrap")]
    {
        scene.c(&format!("{REPORT}{newer}"), name, "libs/libtop.so.1");
        let zip = format!("{name}.zip");
        let bundle = format!("--kind {kind} --binary {name} --library-path libs -o {zip}");
        scene.run(&bundle).exits(1).says(&["error[version-too-new]", "`--libc bundle`"]);
        scene.run(&format!("{bundle} --libc bundle")).exits(0).says(&["warning[libc-bundled]"]);
        scene.run(&format!("verify --kind {kind} {zip}")).exits(0);
        let root = LambdaRoot::of_system(&debian_11, Arch::X86_64, &provided_al2023(Arch::X86_64));
        root.unpack_layer(&scene.at(&zip));
        let report = start(&root, program);
        assert!(report.starts_with(&format!("top 1\nexe {program}\n")), "{report}");
        assert_eq!(directories(&report), [format!("/opt/lambda-bundle/{name}/libc")], "{report}");
    }
}

#[test]
fn an_extension_displaces_an_older_library_of_the_runtime() {
    const ZLIB: &str = "/lib/x86_64-linux-gnu/libz.so.1";
    if !require_debian_12() || !require_library(ZLIB, "zlib1g") {
        return;
    }
    let Some(scene) = scene(&[]) else { return };
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let main = format!(
        "{REPORT}extern unsigned long crc32_combine_gen(long);
         int main(void) {{ crc32_combine_gen(1); report(); return 0; }}"
    );
    scene.c(&main, "telemetry", ZLIB);
    scene
        .run("--kind extension --binary telemetry -o out.zip")
        .exits(0)
        .says(&["1 library added in place of the runtime's (libz.so.1)\n"]);
    assert_eq!(scene.names("out.zip"), ["extensions/telemetry", "lambda-bundle/telemetry/pinned/libz.so.1"]);
    scene.run("verify out.zip").exits(0);
    let root = al2023();
    tools::copy_program(debian_11.join("lib/x86_64-linux-gnu/libz.so.1"), root.path("usr/lib64/libz.so.1"));
    root.unpack_layer(&scene.at("out.zip"));
    let report = start(&root, "/opt/extensions/telemetry");
    assert_eq!(directories(&report), ["/opt/lambda-bundle/telemetry/pinned", "/usr/lib64"], "{report}");
}

#[test]
fn what_an_attached_layer_has_is_not_shipped() {
    let Some(scene) = scene(&["app"]) else { return };
    let layer = "--kind layer --libraries-only --binary app";
    scene.run(&format!("{layer} --library-path libs -o one.zip")).exits(0);
    libtop(&scene, "other", 2);
    scene.run(&format!("{layer} --library-path other -o two.zip")).exits(0);
    let function = "--binary app --library-path libs -o app.zip --message-format json";
    let attached = "--attached-layer one.zip --attached-layer two.zip";
    let ran = scene.run(&format!("{function} {attached}")).exits(0);
    let [one, two] = ["one.zip", "two.zip"].map(|name| scene.at(name).display().to_string());
    // What it starts with is said at once, and in the document.
    let ran = ran.says(&["Bundled app for provided.al2023 (x86_64) with two.zip attached: "]);
    assert_eq!(artifact(&ran)["layers"], json!([scene.at("two.zip")]));
    ran.says(&[&format!("Merging /opt/lib/libtop.so.1 of {two} wins over that of {one}")]);
    let made = artifact(&scene.run(&format!("{function} {attached}")).exits(0));
    assert_eq!(from(&made, "libtop.so.1"), json!(["layer", "/opt/lib/libtop.so.1"]));
    assert_eq!(scene.names("app.zip"), ["bootstrap"]);

    // `verify` is told of the layers, too; without them it fails, as the function does.
    let ran = scene.run(&format!("verify app.zip {attached} --message-format json")).exits(0);
    let ran = ran.says(&["app.zip: starts on provided.al2023 (x86_64) with two.zip attached\n"]);
    let verified = artifact(&ran);
    assert_eq!(verified["layers"], json!([scene.at("two.zip")]));
    assert_eq!(from(&verified, "libtop.so.1"), json!(["layer", "/opt/lib/libtop.so.1"]));
    scene.run("verify app.zip").exits(1).says(&["error[missing-library]", "libtop.so.1"]);
    let root = al2023();
    root.unpack_function(&scene.at("app.zip"));
    assert_eq!(root.start("/var/task/bootstrap", &[]).status.code(), Some(127));
    root.unpack_layer(&scene.at("one.zip"));
    root.unpack_layer(&scene.at("two.zip"));
    assert!(start(&root, "/var/task/bootstrap").starts_with("top 2\n"));

    let six = "--attached-layer one.zip ".repeat(6);
    for command in ["--binary app", "verify app.zip"] {
        scene.run(&format!("{command} {six}")).exits(2).says(&["6 layers are attached, but Lambda allows 5"]);
    }
    scene
        .run("--kind extension --binary app --attached-layer one.zip")
        .exits(2)
        .says(&["`--attached-layer`"]);
    scene.run("--binary app --attached-layer none.zip").exits(101).says(&["none.zip"]);
}

/// The loader starts the program with the layer's file, whatever it was built with.
#[test]
fn a_layers_library_of_another_build_is_told() {
    let Some(scene) = scene(&[]) else { return };
    for (directory, word) in [("x", "hello"), ("y", "goodbye")] {
        let source = format!("#include <stdio.h>\nvoid greet(void) {{ puts(\"{word}\"); }}");
        scene.dir(directory).library(&format!("{directory}/libgreet.so.1"), &source, "-g -Wl,--build-id");
        scene.c(
            "void greet(void); int main(void) { greet(); return 0; }",
            &format!("of-{directory}"),
            &format!("{directory}/libgreet.so.1 -Wl,-rpath,{}", scene.at(directory).display()),
        );
    }
    scene.run("--kind layer --libraries-only --binary of-x -o layer.zip").exits(0);
    let bundle = "--attached-layer layer.zip -o app.zip --allow not-a-runtime";
    let says = |word: &str| {
        let root = al2023();
        root.unpack_function(&scene.at("app.zip"));
        root.unpack_layer(&scene.at("layer.zip"));
        let output = root.start("/var/task/bootstrap", &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{word}\n"));
    };
    let ran = scene.run(&format!("--binary of-y {bundle} --message-format json")).exits(0);
    let ran = ran.says(&[
        "warning[version-skew]: `of-y` was built with `",
        "/y/libgreet.so.1`, but loads another build of it, the layer's `/opt/lib/libgreet.so.1`\n",
        "help: ship the copy that it was built with: `--bundle-lib libgreet.so.1`; or build the layer with it\n",
    ]);
    assert_eq!(artifact(&ran)["verdict"], "starts");
    says("hello");
    scene.run("check --binary of-y --attached-layer layer.zip").exits(0).says(&["[version-skew]"]);
    // The help, followed by the letter.
    let wished = scene.run(&format!("--binary of-y {bundle} --bundle-lib libgreet.so.1")).exits(0);
    wished.keeps_silent_about(&["version-skew"]);
    says("goodbye");
    // The same build, also without its debug information, is the same library.
    let same = || {
        scene.run(&format!("--binary of-x {bundle}")).exits(0).keeps_silent_about(&["version-skew"]);
        says("hello");
    };
    same();
    scene.run("--kind layer --libraries-only --binary of-x -o layer.zip --strip").exits(0);
    same();
}

#[test]
fn attached_layers_count_towards_the_limit() {
    let Some(scene) = scene(&["app"]) else { return };
    if !tools::require("zip", "zip") {
        return;
    }
    // Sparse, and zipped to next to nothing.
    let data = fs::File::create(scene.at("data")).unwrap();
    data.set_len(262_140_000).unwrap();
    scene.tool("zip", "-q -1 data.zip data").exits(0);
    let layer = "--attached-layer data.zip";
    let over = &["error[size-limit]", "262.2 MB unzipped; Lambda allows 262.1 MB with layers"];
    scene.run(&format!("--binary app --library-path libs -o app.zip {layer}")).exits(1).says(over);
    assert!(!scene.has("app.zip"));
    scene.run(&format!("check --binary app --library-path libs {layer}")).exits(1).says(over);
    scene.run("--binary app --library-path libs -o app.zip").exits(0);
    scene.run(&format!("verify app.zip {layer}")).exits(1).says(over);
}

#[test]
fn verify_looks_at_every_program_of_an_archive() {
    let Some(scene) = scene(&["app", "tool"]) else { return };
    if !tools::require("zip", "zip") {
        return;
    }
    scene.c(EMPTY, "bootstrap", "");
    scene.copy("tool", "bin/tool");
    scene.copy("tool", "extensions/tool");
    scene.copy("bootstrap", "extensions/first");
    for zip in [
        "function.zip bootstrap bin/tool",
        "layer.zip bin/tool",
        "extension.zip extensions/first extensions/tool",
        "empty.zip app",
    ] {
        scene.tool("zip", &format!("-q {zip}")).exits(0);
    }
    for (arguments, object) in [
        ("function.zip", "bin/tool"),
        ("layer.zip --kind layer", "bin/tool"),
        ("extension.zip", "extensions/tool"),
    ] {
        let ran = scene.run(&format!("verify {arguments} --message-format json")).exits(1);
        let findings = artifact(&ran)["findings"].clone();
        let row = &findings[0];
        assert_eq!(
            json!([row["code"], row["object"], row["soname"]]),
            json!(["missing-library", object, "libtop.so.1"])
        );
        assert_eq!(findings.as_array().unwrap().len(), 1, "{ran}");
    }
    // A layer's own library is found where it is unpacked.
    scene.run("verify empty.zip").exits(1).says(&["error[bootstrap-missing]", "`--kind layer`"]);
    scene
        .run("verify empty.zip --kind extension")
        .exits(1)
        .says(&["error[bootstrap-missing]", "`extensions/`"]);
}
