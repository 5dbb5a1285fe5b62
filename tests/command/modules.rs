//! Archives of Node.js and Python: which builds of native modules must be there, and which may.
//!
//! The trees have the shapes of real packages: node-gyp-build's `prebuilds/`, packages for one platform such as
//! `@img/sharp-linux-x64`, `build/Release/`, and the tags of Python's modules.

use crate::support::command::{Ran, command};
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::tools;

const MACH_O: &[u8] = b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01";
const PE: &[u8] = b"MZ\x90\x00";

/// A module for Linux with glibc on x86_64.
fn module() -> Object {
    Object::library("module.node").needs("libc.so.6")
}

fn musl() -> Object {
    Object::library("module.node").needs("libc.musl-x86_64.so.1")
}

fn android() -> Object {
    Object::library("module.node").needs("libc.so").verneed("libc.so", &["LIBC"])
}

fn freebsd() -> Object {
    Object::library("module.node").needs("libc.so.7").os_abi(9, 0)
}

/// A file with its bytes.
struct Made<'a> {
    name: &'a str,
    bytes: Vec<u8>,
}

fn made(name: &str, bytes: impl AsRef<[u8]>) -> Made<'_> {
    Made { name, bytes: bytes.as_ref().to_vec() }
}

/// Runs `verify` on an archive of these files; `None` if this machine cannot make it.
#[track_caller]
fn verify(files: &[Made], flags: &str) -> Option<Ran> {
    if !tools::require("zip", "zip") {
        return None;
    }
    let scene = Scene::new();
    for file in files {
        scene.file(file.name, &file.bytes);
    }
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    scene.tool("zip", &format!("-q a.zip {}", names.join(" "))).exits(0);
    Some(scene.run(&format!("verify a.zip {flags}")))
}

#[track_caller]
fn loads(files: &[Made], flags: &str) {
    let Some(ran) = verify(files, flags) else { return };
    ran.exits(0).says(&["a.zip: its libraries load on "]).keeps_silent_about(&["warning", "error"]);
}

#[track_caller]
fn fails(files: &[Made], flags: &str, texts: &[&str]) {
    let Some(ran) = verify(files, flags) else { return };
    ran.exits(1).says(texts);
}

const NODE: &str = "--runtime nodejs22.x --arch x86_64";
const NODE_ARM: &str = "--runtime nodejs22.x --arch arm64";
const PYTHON: &str = "--runtime python3.12 --arch x86_64 --kind layer";

fn prebuilds() -> Vec<Made<'static>> {
    vec![
        made("node_modules/b/prebuilds/android-arm64/b.armv8.node", android().arm64().bytes()),
        made("node_modules/b/prebuilds/android-x64/b.node", android().bytes()),
        made("node_modules/b/prebuilds/darwin-x64+arm64/b.node", MACH_O),
        made("node_modules/b/prebuilds/freebsd-x64/b.node", freebsd().bytes()),
        made("node_modules/b/prebuilds/linux-arm/b.armv7.node", module().machine(40).class32().bytes()),
        made("node_modules/b/prebuilds/linux-x64/b.musl.node", musl().bytes()),
        made("node_modules/b/prebuilds/win32-x64/b.node", PE),
    ]
}

#[test]
fn one_of_the_prebuilt_modules_fits() {
    let mut files = prebuilds();
    files.push(made("node_modules/b/prebuilds/linux-arm64/node.napi.armv8.node", module().arm64().bytes()));
    loads(&files, NODE_ARM);
    loads(&files, "--runtime nodejs22.x");
    files.push(made("node_modules/b/prebuilds/linux-x64/node.napi.glibc.node", module().bytes()));
    loads(&files, NODE_ARM);
    loads(&files, NODE);
    loads(&files, "--runtime nodejs22.x");
}

#[test]
fn prebuilt_modules_for_other_systems_alone_do_not_load() {
    fails(
        &prebuilds(),
        NODE,
        &[
            "error[libc-mixed]: `node_modules/b/prebuilds/linux-x64/b.musl.node` and 6 other builds do not fit; the archive has none that nodejs22.x (x86_64) can load\n",
            "  they are linked to musl, for 32-bit Arm, for Android, for FreeBSD, for macOS and for Windows\n",
            "help: install it for Lambda: `npm install --os=linux --cpu=x64 --libc=glibc`\n",
        ],
    );
    // A file of another package is no build of this one.
    let mut files = prebuilds();
    files.push(made("node_modules/c/prebuilds/linux-x64/b.node", module().bytes()));
    fails(&files, NODE, &["error[libc-mixed]: `node_modules/b/"]);
}

#[test]
fn a_compiled_module_is_opened_before_the_prebuilt_ones() {
    let release = "node_modules/b/build/Release/b.node";
    let mut files = prebuilds();
    files.push(made(release, module().bytes()));
    loads(&files, NODE);
    // As node-gyp-build does: the prebuilt one would fit.
    let prebuilt = || made("node_modules/b/prebuilds/linux-x64/b.glibc.node", module().bytes());
    for bytes in [MACH_O.to_vec(), PE.to_vec(), musl().bytes(), module().arm64().bytes()] {
        fails(
            &[prebuilt(), made(release, bytes)],
            NODE,
            &[
                "`node_modules/b/build/Release/b.node` is ",
                "  nodejs22.x (x86_64) opens it before any other build\n",
                "help: run `npm rebuild` with Node.js 22 on Linux for x64",
            ],
        );
    }
}

/// node-oracledb ships its builds for all systems in the directory of compiled modules.
#[test]
fn builds_for_several_systems_may_be_where_compiled_ones_are() {
    let at = |system: &str| format!("node_modules/o/build/Release/o-26.0.0-{system}.node");
    let (linux, arm, windows) = (at("linux-x64"), at("linux-arm64"), at("win32-x64"));
    let mut files = vec![made(&arm, module().arm64().bytes()), made(&windows, PE)];
    fails(
        &files,
        NODE,
        &["`node_modules/o/build/Release/o-26.0.0-linux-arm64.node` and another build do not fit; "],
    );
    files.push(made(&linux, module().bytes()));
    loads(&files, NODE);
    loads(&files, NODE_ARM);
}

/// A module that registers for one version of Node.js: what `verify` says, beside this machine's node.
#[test]
fn a_module_is_for_one_version_of_node() {
    if !tools::require("cc", "gcc") || !tools::require("node", "nodejs") || !tools::require("zip", "zip") {
        return;
    }
    let scene = Scene::new();
    let asked = command("node", scene.path()).args(["-p", "process.versions.modules"]).output().unwrap();
    let own: u32 = String::from_utf8(asked.stdout).unwrap().trim().parse().unwrap();
    let runtimes = [(108, "nodejs18.x"), (115, "nodejs20.x"), (127, "nodejs22.x"), (137, "nodejs24.x")];
    let Some((_, runtime)) = runtimes.into_iter().find(|(abi, _)| *abi == own) else {
        _ = tools::skip("a node of a version that Lambda has");
        return;
    };
    for (symbols, loads) in [
        (vec![format!("node_register_module_v{own}")], true),
        (vec![format!("node_register_module_v{}", own + 1)], false),
        (vec![format!("node_register_module_v{}", own + 1), format!("node_register_module_v{own}")], true),
        (vec!["napi_register_module_v1".to_owned()], true),
    ] {
        let define = |name: &String| format!("void *{name}(void *a, void *b) {{ return b; }}\n");
        scene.library(
            "node_modules/m/build/Release/m.node",
            &symbols.iter().map(define).collect::<String>(),
            "",
        );
        scene.file("index.js", "require('./node_modules/m/build/Release/m.node')");
        let ran = command("node", scene.path()).arg("index.js").output().unwrap();
        assert_eq!(ran.status.success(), loads, "{symbols:?}: {ran:?}");
        let _ = std::fs::remove_file(scene.at("a.zip"));
        scene.tool("zip", "-qr a.zip index.js node_modules").exits(0);
        let verified = scene.run(&format!("verify a.zip --arch x86_64 --runtime {runtime}"));
        match loads {
            true => verified.exits(0).says(&["a.zip: its libraries load on"]),
            false => {
                verified.exits(1).says(&["`node_modules/m/build/Release/m.node` is for NODE_MODULE_VERSION"])
            }
        };
    }
}

#[test]
fn a_package_that_nothing_compiled_may_not_load() {
    let gyp = || vec![made("node_modules/s/binding.gyp", "{}"), made("index.js", "")];
    let Some(ran) = verify(&gyp(), NODE) else { return };
    ran.exits(0).says(&[
        "warning[missing-library]: `node_modules/s` has a `binding.gyp` and no module (`.node`)",
        "help: run `npm rebuild s`",
        "a.zip: its libraries may load on",
    ]);
    let with = |more: Vec<Made<'static>>| gyp().into_iter().chain(more).collect::<Vec<_>>();
    loads(&with(vec![made("node_modules/s/build/Release/s.node", module().bytes())]), NODE);
    let depends = r#"{"optionalDependencies": {"@s/linux-x64": "1"}}"#;
    let module = || made("node_modules/@s/linux-x64/s.node", module().bytes());
    loads(&with(vec![made("node_modules/s/package.json", depends), module()]), NODE);
}

#[test]
fn packages_for_one_platform_stand_for_each_other() {
    let sharp =
        |platform: &str| format!("nodejs/node_modules/@img/sharp-{platform}/lib/sharp-{platform}.node");
    let (linux, musl_64, mac, windows) =
        (sharp("linux-x64"), sharp("linuxmusl-x64"), sharp("darwin-arm64"), sharp("win32-x64"));
    let others = || vec![made(&mac, MACH_O), made(&windows, PE), made(&musl_64, musl().bytes())];
    let layer = format!("{NODE} --kind layer");
    for file in others() {
        fails(&[file], &layer, &["`nodejs/node_modules/@img/sharp-", "the archive has none that nodejs22.x"]);
    }
    let mut all = others();
    all.push(made(&linux, module().bytes()));
    loads(&all, &layer);
    // A library of these packages is no module.
    let vips = "nodejs/node_modules/@img/sharp-libvips-darwin-arm64/lib/libvips-cpp.42.dylib";
    all.push(made(vips, MACH_O));
    loads(&all, &layer);
}

#[test]
fn programs_of_packages_stand_for_each_other() {
    let program = Object::static_program;
    let (x64, arm) =
        ("node_modules/@esbuild/linux-x64/bin/esbuild", "node_modules/@esbuild/linux-arm64/bin/esbuild");
    let both = || {
        vec![
            made(x64, program().bytes()),
            made(arm, program().arm64().bytes()),
            made("node_modules/esbuild/bin/esbuild", program().bytes()),
            made("node_modules/.bin/esbuild", program().bytes()),
        ]
    };
    let run =
        |files: &[Made], flags: &str| verify(files, flags).map(|ran| ran.keeps_silent_about(&["wrong-arch"]));
    run(&both(), NODE);
    run(&both(), NODE_ARM);
    let mac = "node_modules/@esbuild/darwin-arm64/bin/esbuild";
    fails(
        &[made(mac, MACH_O)],
        NODE,
        &["error[not-elf]: `node_modules/@esbuild/darwin-arm64/bin/esbuild` is for macOS"],
    );
    // The flag decides, not the first file.
    fails(
        &[made(arm, program().arm64().bytes())],
        NODE,
        &["a.zip: its libraries do not load on nodejs22.x (x86_64)"],
    );
}

#[test]
fn a_package_for_another_system_alone_may_be_there() {
    let fsevents = || made("node_modules/fsevents/fsevents.node", MACH_O);
    loads(&[fsevents()], NODE);
    loads(&[made("dist/fsevents-X6WP4TKM.node", MACH_O)], NODE);
    let of_mac = |os: &'static str| {
        [made("node_modules/x/build/Release/x.node", MACH_O), made("node_modules/x/package.json", os)]
    };
    loads(&of_mac("{\"os\": [\"darwin\"]}"), NODE);
    loads(&of_mac("{\"os\": [\"!linux\"]}"), NODE);
    fails(&of_mac("{\"os\": [\"darwin\", \"linux\"]}"), NODE, &["is for macOS\n"]);
    fails(&of_mac("{\"os\": [\"!win32\"]}"), NODE, &["is for macOS\n"]);
    fails(&of_mac("{}"), NODE, &["is for macOS\n"]);
}

#[test]
fn a_python_imports_modules_with_its_own_tag() {
    let m = |tag: &str| format!("python/p/m.{tag}.so");
    let check = |tag: &str, what: &str| {
        fails(
            &[made(&m(tag), module().bytes())],
            PYTHON,
            &[
                &format!(
                    "error[not-elf]: `{}` is {what}; the archive has none that python3.12 (x86_64) can load\n",
                    m(tag)
                ),
                "help: install it for Lambda: `pip install --platform manylinux2014_x86_64 --only-binary=:all: --python-version 3.12 --target DIR PACKAGE`\n",
            ],
        );
        // Beside one with the right tag it is not imported.
        for right in ["abi3", "cpython-312-x86_64-linux-gnu"] {
            loads(&[made(&m(tag), module().bytes()), made(&m(right), module().bytes())], PYTHON);
        }
    };
    check("cpython-311-x86_64-linux-gnu", "for CPython 3.11");
    check("cpython-313t-x86_64-linux-gnu", "for CPython 3.13t");
    check("cpython-312d-x86_64-linux-gnu", "for CPython 3.12d");
    check("cpython-312-x86_64-linux-musl", "named for `x86_64-linux-musl`");
    check("cpython-312-aarch64-linux-gnu", "named for `aarch64-linux-gnu`");
    check("pypy310-pp73-x86_64-linux-gnu", "for PyPy");
    let right = m("cpython-312-x86_64-linux-gnu");
    loads(&[made(&right, module().bytes())], PYTHON);
    loads(&[made("python/p/m.so", module().bytes())], PYTHON);
    // Of another module is none.
    fails(
        &[made(&right, module().bytes()), made("python/p/n.pyd", PE)],
        PYTHON,
        &["`python/p/n.pyd` is for Windows"],
    );
}

#[test]
fn a_python_loads_modules_of_its_own_system() {
    for (name, bytes, what) in [
        ("python/m.abi3.so", freebsd().bytes(), "error[not-elf]: `python/m.abi3.so` is for FreeBSD; "),
        ("python/m.abi3.so", android().bytes(), "error[not-elf]: `python/m.abi3.so` is for Android; "),
        ("python/m.abi3.so", musl().bytes(), "error[libc-mixed]: `python/m.abi3.so` is linked to musl; "),
        (
            "python/m.abi3.so",
            module().arm64().bytes(),
            "error[wrong-arch]: `python/m.abi3.so` is for arm64; ",
        ),
        ("python/m.cpython-312-darwin.so", MACH_O.to_vec(), "is for macOS; "),
        ("python/m.cp312-win_amd64.pyd", PE.to_vec(), "is for Windows; "),
    ] {
        fails(&[made(name, bytes)], PYTHON, &[what]);
    }
    // A package that works without its modules.
    let vendored = || made("python/d_bug/v/m.cp39-win_amd64.pyd", PE);
    loads(&[vendored(), made("python/d_bug-1.8.dist-info/WHEEL", "Tag: py3-none-any\n")], PYTHON);
    let other = made("python/d_bug-1.8.dist-info/WHEEL", "Tag: cp39-cp39-win_amd64\n");
    fails(&[vendored(), other], PYTHON, &["is for Windows; "]);
    // Launchers of pip, and what Windows and macOS would load.
    loads(
        &[made("python/pip/w64.exe", PE), made("python/d/a.dll", PE), made("python/d/a.dylib", MACH_O)],
        PYTHON,
    );
}

#[test]
fn a_module_may_need_the_language_itself() {
    let check = |file: &str, soname: &str, flags: &str, code: i32, texts: &[&str]| {
        let Some(ran) = verify(&[made(file, module().needs(soname).bytes())], flags) else { return };
        ran.exits(code).says(texts);
    };
    let python = [
        "warning[missing-library]: `python/m.so` needs `libpython3.12.so.1.0`; whether python3.12 brings it is not known",
    ];
    check("python/m.so", "libpython3.12.so.1.0", PYTHON, 0, &python);
    check("python/m.so", "libpython3.11.so.1.0", PYTHON, 1, &["error[missing-library]"]);
    check(
        "m.node",
        "libnode.so.127",
        NODE,
        0,
        &["warning[missing-library]: `m.node` needs `libnode.so.127`"],
    );
    check("m.node", "libnode.so.115", NODE, 1, &["error[missing-library]"]);
    let trace = "libcoreclrtraceptprovider.so";
    check(
        trace,
        "liblttng-ust.so.0",
        "--kind layer",
        0,
        &["warning[missing-library]", "only tracing with LTTng needs it"],
    );
    check("libother.so", "liblttng-ust.so.0", "--kind layer", 1, &["error[missing-library]"]);
}

#[test]
fn a_module_that_glibc_refuses_does_not_load() {
    let old = module().os_abi(3, 9).bytes();
    fails(&[made("m.node", &old)], NODE, &["error[not-elf]: `m.node` is refused by the loader; "]);
    fails(
        &[made("python/m.so", &old)],
        PYTHON,
        &["error[not-elf]: `python/m.so` is refused by the loader; "],
    );
    fails(&[made("m.node", module().flags_1(0x40).bytes())], NODE, &["shared object cannot be dlopen()ed"]);
}

/// The process that opens a module has its own glibc: only a program can bring another one along.
#[test]
fn no_module_is_told_to_bring_its_own_glibc() {
    let scene = Scene::new();
    let newer =
        |object: Object| object.needs("libc.so.6").imports("f", Some(("libc.so.6", "GLIBC_2.99"))).bytes();
    let libc = Object::library("libc.so.6").verdef(&["GLIBC_2.99"]).defines("f", Some("GLIBC_2.99"));
    scene.dir("root").dir("root/lib64").file("root/lib64/libc.so.6", libc.bytes());
    scene.file("module.node", newer(Object::library("module.node")));
    scene.file("app", newer(Object::program()));
    let node = "--kind layer --runtime nodejs22.x --libraries-only";
    for (binary, flags, is_told) in [
        ("module.node", node, false),
        ("module.node", "--kind layer --runtime provided.al2023", false),
        ("app", "", true),
    ] {
        let ran = scene.run(&format!("check --binary {binary} --sysroot root {flags}")).exits(1);
        let ran = ran.says(&["error[version-too-new]", "GLIBC_2.99"]);
        assert_eq!(ran.stderr.contains("`--libc bundle`"), is_told, "{binary} {flags}: {ran}");
    }
}

/// A value of Lambda's settings is taken as it is; `$ORIGIN` the loader replaces.
#[test]
fn a_variable_in_the_library_path_is_said_to_stay() {
    let scene = Scene::new();
    scene.file("app", Object::program().needs("libc.so.6").bytes());
    let check = |value: &str| {
        let flags = format!("check --binary app --env LD_LIBRARY_PATH={value}");
        scene.run(&flags)
    };
    for (value, name) in [("$NAME:/opt/x", "$NAME"), ("/opt/x:$LAMBDA_TASK_ROOT/lib", "$LAMBDA_TASK_ROOT")] {
        check(value)
            .says(&[&format!("Taking `{name}` of `--env LD_LIBRARY_PATH` for a directory of that name")]);
    }
    for value in ["/opt/x", "$ORIGIN/lib", "${ORIGIN}/$LIB:$PLATFORM"] {
        check(value).keeps_silent_about(&["Taking"]);
    }
}
