//! What a bundle ships: `--sbom`, `--licenses`, and the packages in reports.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;
use std::process::Command;

use crate::support::command::finish;
use crate::support::elf::Object;
use crate::support::scene::Scene;
use crate::support::{schema, tools};
use serde_json::{Value, json};
use sha2::Digest as _;

const BUNDLE: &str = "--binary app -o app.zip --sbom {bin}.cdx.json --licenses licenses.txt";

/// A directory with `app`, which needs libpq of this Debian and `libown.so.1`, which no package owns.
fn scene() -> Option<Scene> {
    if !tools::require("cc", "gcc")
        || !tools::require("dpkg-query", "dpkg")
        || !tools::require("unzip", "unzip")
        || !(Path::new("/usr/include/postgresql").exists() || tools::skip("libpq (apt: libpq-dev)"))
    {
        return None;
    }
    let scene = Scene::new();
    let own = "-shared -fPIC -Wl,-soname,libown.so.1 -Wl,--build-id=0x0123456789abcdef";
    scene.c("int own(void) { return 0; }", "own/libown.so.1", own);
    let source = "int own(void); int PQlibVersion(void); int main(void) { return own() + PQlibVersion(); }";
    scene.c(source, "app", "own/libown.so.1 -lpq");
    Some(scene)
}

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

fn component<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut components = document["components"].as_array().unwrap().iter();
    components
        .find(|component| component["bom-ref"] == name)
        .unwrap_or_else(|| panic!("{name}: {document:#}"))
}

#[test]
fn the_sbom_names_packages_and_the_stored_bytes() {
    let (Some(scene), Some(schema)) = (scene(), schema::cyclonedx()) else { return };
    let at = scene.path();
    scene.run(&format!("{BUNDLE} --library-path own")).exits(0);
    let document = read(at, "app.cdx.json");
    schema::check(&document, &schema);

    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "libpq5"]).output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let libpq = component(&document, "lib/libpq.so.5");
    assert_eq!(libpq["name"], "libpq5");
    assert_eq!(libpq["version"], version.as_str());
    let purl = libpq["purl"].as_str().unwrap();
    assert!(
        purl.starts_with("pkg:deb/debian/libpq5@") && purl.contains("?arch=amd64&distro=debian-"),
        "{purl}"
    );
    let licenses = libpq["licenses"].as_array().unwrap();
    assert!(licenses.contains(&json!({ "license": { "name": "PostgreSQL" } })), "{licenses:?}");

    let own = component(&document, "lib/libown.so.1");
    assert_eq!((&own["name"], &own["version"]), (&json!("libown.so.1"), &json!("0123456789abcdef")));
    assert!(own.get("purl").is_none(), "{own:#}");

    let unzipped = Command::new("unzip").args(["-q", "app.zip", "-d", "out"]).current_dir(at).status();
    assert!(unzipped.unwrap().success());
    let all = document["components"].as_array().unwrap().iter().chain([&document["metadata"]["component"]]);
    for component in all {
        let bytes = std::fs::read(scene.at("out").join(component["bom-ref"].as_str().unwrap())).unwrap();
        let digest: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(component["hashes"], json!([{ "alg": "SHA-256", "content": digest }]));
    }
    let dependencies = document["dependencies"].as_array().unwrap();
    let app = dependencies.iter().find(|it| it["ref"] == "bootstrap").unwrap();
    assert_eq!(app["dependsOn"], json!(["lib/libown.so.1", "lib/libpq.so.5"]));
}

#[test]
fn the_sbom_is_the_same_again_and_dated_only_if_told() {
    let Some(scene) = scene() else { return };
    let at = scene.path();
    let bundle = || {
        scene.run(&format!("{BUNDLE} --library-path own")).exits(0);
        scene.read("app.cdx.json")
    };
    assert!(bundle() == bundle());
    assert!(read(at, "app.cdx.json")["metadata"].get("timestamp").is_none());
    let mut command = scene.command("");
    command.args(format!("{BUNDLE} --library-path own").split_whitespace());
    finish(command.env("SOURCE_DATE_EPOCH", "1700000000")).exits(0);
    assert_eq!(read(at, "app.cdx.json")["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
}

#[test]
fn licence_texts_are_gathered_with_those_they_refer_to() {
    let Some(scene) = scene() else { return };
    scene.run(&format!("{BUNDLE} --library-path own")).exits(0);
    let text = scene.text("licenses.txt");
    let libpq = std::fs::read_to_string("/usr/share/doc/libpq5/copyright").unwrap();
    assert!(text.contains(libpq.trim_end()), "{text}");
    assert!(text.contains("\n==== lib/libown.so.1: its package is not known ====\n"), "{text}");
    let title = "\n==== /usr/share/common-licenses/";
    assert!(text.contains(title), "no text that a copyright file refers to");
}

#[test]
fn packages_are_in_the_json_and_with_v() {
    let Some(scene) = scene() else { return };
    let check = "check --binary app --library-path own";
    let document = scene.run(&format!("{check} --message-format json")).exits(0).json();
    let libraries = document["artifacts"][0]["libraries"].as_array().unwrap();
    let library = |name: &str| libraries.iter().find(|library| library["soname"] == name).unwrap();
    assert_eq!(library("libpq.so.5")["package"], "libpq5");
    assert_eq!(library("libown.so.1")["package"], Value::Null);
    assert_eq!(library("libc.so.6")["package"], Value::Null, "it is not shipped");
    let version = library("libpq.so.5")["package_version"].as_str().unwrap();
    scene.run(&format!("{check} -v")).exits(0).says(&[&format!(" (libpq5 {version})\n")]);
    scene.run(check).exits(0).keeps_silent_about(&["(libpq5"]);
}

/// A root with a library that a package of `database` owns: its path and text.
fn sysroot(dir: &Path, files: &[(&str, &str)]) {
    let library = Object::library("libfoo.so.1").bytes();
    for (path, bytes) in [("usr/lib64/libfoo.so.1", &library[..])]
        .into_iter()
        .chain(files.iter().map(|(p, t)| (*p, t.as_bytes())))
    {
        let path = dir.join("root").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(dir.join("app"), Object::program().needs("libc.so.6").needs("libfoo.so.1").bytes())
        .unwrap();
}

#[track_caller]
fn check_sysroot(files: &[(&str, &str)], purl: &str, license: Option<&str>) {
    let scene = Scene::new();
    sysroot(scene.path(), files);
    scene.run(&format!("{BUNDLE} --sysroot root")).exits(0);
    let document = read(scene.path(), "app.cdx.json");
    let found = component(&document, "lib/libfoo.so.1");
    assert_eq!(found["purl"], purl, "{found:#}");
    let name = found["licenses"].as_array().map(|licenses| licenses[0]["license"]["name"].as_str().unwrap());
    assert_eq!(name, license);
}

#[test]
fn the_databases_of_a_sysroot_are_asked() {
    check_sysroot(
        &[
            ("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
            // As before the directories of / and /usr were merged.
            ("var/lib/dpkg/info/libfoo1:amd64.list", "/.\n/lib64\n/lib64/libfoo.so.1\n"),
            ("var/lib/dpkg/status", "Package: libfoo1\nArchitecture: amd64\nVersion: 2:1.0~rc1-1\n"),
        ],
        "pkg:deb/ubuntu/libfoo1@2%3A1.0~rc1-1?arch=amd64&distro=ubuntu-24.04",
        None,
    );
    check_sysroot(
        &[
            ("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\n"),
            ("lib/apk/db/installed", "P:foo\nV:1-r0\nA:x86_64\nL:MIT\nF:usr/lib64\nR:libfoo.so.1\n\n"),
        ],
        "pkg:apk/alpine/foo@1-r0?arch=x86_64&distro=alpine-3.20.3",
        Some("MIT"),
    );
}

/// No package has a file in a directory of users, whatever a list says: each would be read for what was built there.
#[test]
fn libraries_in_directories_of_users_are_of_no_package() {
    let scene = Scene::new();
    let listed = "/home/me/libhome.so\n/opt/libopt.so\n/lib64/libfoo.so.1\n";
    sysroot(
        scene.path(),
        &[
            ("var/lib/dpkg/info/libfoo1.list", listed),
            ("var/lib/dpkg/status", "Package: libfoo1\nArchitecture: amd64\nVersion: 1\n"),
        ],
    );
    for (directory, name) in [("home/me", "libhome.so"), ("opt", "libopt.so")] {
        scene.file(format!("root/{directory}/{name}"), Object::library(name).bytes());
        let app = Object::program().needs("libc.so.6").needs(name).runpath(format!("/{directory}"));
        scene.file("app", app.bytes());
        let ran = scene.run(&format!("{BUNDLE} --sysroot root --force --message-format json")).exits(0);
        let libraries = ran.json()["artifacts"][0]["libraries"].clone();
        let library = libraries.as_array().unwrap().iter().find(|library| library["soname"] == name).unwrap();
        let package = if directory == "opt" { Value::from("libfoo1") } else { Value::Null };
        assert_eq!(library["package"], package, "{library:#}");
    }
}

#[test]
fn a_copyright_link_does_not_leave_the_sysroot() {
    let scene = Scene::new();
    sysroot(
        scene.path(),
        &[
            ("var/lib/dpkg/info/libfoo1.list", "/usr/lib64/libfoo.so.1\n"),
            ("var/lib/dpkg/status", "Package: libfoo1\nArchitecture: amd64\nVersion: 1\n"),
            ("usr/share/doc/libfoo-common/copyright", "the text in the root\n"),
        ],
    );
    let outside = scene.at("usr/share/doc/libfoo-common");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("copyright"), "the text outside\n").unwrap();
    let doc = scene.at("root/usr/share/doc/libfoo1");
    std::os::unix::fs::symlink("../../../../usr/share/doc/libfoo-common", doc).unwrap();
    scene.run(&format!("{BUNDLE} --sysroot root")).exits(0);
    let text = scene.text("licenses.txt");
    assert!(text.contains("==== lib/libfoo.so.1: libfoo1 1 ====\n\nthe text in the root\n"), "{text}");
}

#[test]
fn two_programs_do_not_share_an_sbom() {
    let scene = Scene::new();
    for name in ["one", "two"] {
        scene.file(name, Object::program().needs("libc.so.6").bytes());
    }
    scene.run("--binary one --binary two --sbom all.json").exits(2).says(&[
        "the lists of `one` and `two` would both be written to",
        "help: tell them apart: `--sbom {bin}",
    ]);
    scene.run("--binary one -o one.zip --sbom one.zip").exits(2).says(&[
        "`one` and the lists of `one` would both be written to",
        "help: name another file with `--sbom`",
    ]);
}

/// What cargo-auditable 0.7.7 recorded of a program with `serde` and its derive macro; see testdata/README.md.
const RECORD: &[u8] = include_bytes!("../../testdata/dep-v0");

/// A directory with a program of rustc's kind that has these bytes in `.dep-v0`.
fn recorded(record: &[u8]) -> Scene {
    let scene = Scene::new();
    scene.file("mark.s", ".section .comment\n.asciz \"rustc version 1.95.0\"\n");
    scene.c("int main(void) { return 0; }", "plain", "-g mark.s").file("record", record);
    scene.tool("objcopy", "--add-section .dep-v0=record plain app").exits(0);
    scene
}

fn zlib(json: &[u8]) -> Vec<u8> {
    let mut deflate = zlib_rs::Deflate::new(6, true, 15);
    let mut bytes = vec![0; zlib_rs::compress_bound(json.len()) + 64];
    deflate.compress(json, &mut bytes, zlib_rs::DeflateFlush::Finish).unwrap();
    bytes.truncate(deflate.total_out() as usize);
    bytes
}

#[test]
fn the_sbom_has_the_crates_that_cargo_auditable_recorded() {
    let Some(schema) = schema::cyclonedx().filter(|_| tools::require("objcopy", "binutils")) else { return };
    for strip in ["", " --strip"] {
        let scene = recorded(RECORD);
        let ran = scene.run(&format!("--binary app -o app.zip --sbom sbom.json -v{strip}")).exits(0);
        assert!(!ran.stderr.contains("crates-unknown"), "{ran}");
        let document = read(scene.path(), "sbom.json");
        schema::check(&document, &schema);
        assert_eq!(document["metadata"]["component"]["version"], "0.3.1");
        let crates: Vec<[&str; 3]> = document["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| ["name", "purl", "scope"].map(|key| it[key].as_str().unwrap()))
            .collect();
        let build = "excluded";
        assert_eq!(
            crates,
            [
                ["proc-macro2", "pkg:cargo/proc-macro2@1.0.107", build],
                ["quote", "pkg:cargo/quote@1.0.47", build],
                ["serde", "pkg:cargo/serde@1.0.229", "required"],
                ["serde_core", "pkg:cargo/serde_core@1.0.229", "required"],
                ["serde_derive", "pkg:cargo/serde_derive@1.0.229", build],
                ["syn", "pkg:cargo/syn@3.0.10", build],
                ["unicode-ident", "pkg:cargo/unicode-ident@1.0.27", build],
            ]
        );
        let uses = |name: &str| {
            let all = document["dependencies"].as_array().unwrap();
            all.iter().find(|it| it["ref"] == name).unwrap()["dependsOn"].clone()
        };
        assert_eq!(uses("bootstrap"), json!(["pkg:cargo/serde@1.0.229"]));
        let serde = json!(["pkg:cargo/serde_core@1.0.229", "pkg:cargo/serde_derive@1.0.229"]);
        assert_eq!(uses("pkg:cargo/serde@1.0.229"), serde);
    }
}

#[test]
fn crates_of_other_sources_have_no_package_url() {
    if !tools::require("objcopy", "binutils") {
        return;
    }
    let json = br#"{"packages": [{"name": "app", "version": "1.0.0", "source": "local", "root": true, "dependencies": [1, 2]},
        {"name": "log", "version": "0.4.0", "source": "git", "dependencies": [2]},
        {"name": "log", "version": "0.4.0", "source": "crates.io", "dependencies": [1]}], "format": 8, "more": {}}"#;
    let scene = recorded(&zlib(json));
    scene.copy("app", "second");
    scene.run("--binary app --include second --sbom sbom.json -o app.zip").exits(0);
    let document = read(scene.path(), "sbom.json");
    let git = component(&document, "crate:git:log@0.4.0");
    assert!(git.get("purl").is_none(), "{git:#}");
    assert_eq!(git["properties"], json!([{ "name": "cargo-lambda-bundle:source", "value": "git" }]));
    let all = document["components"].as_array().unwrap();
    // The crates of both programs, each once, and the second program.
    assert_eq!(all.len(), 3, "{document:#}");
    let second =
        document["dependencies"].as_array().unwrap().iter().find(|it| it["ref"] == "second").unwrap();
    assert_eq!(second["dependsOn"], json!(["crate:git:log@0.4.0", "pkg:cargo/log@0.4.0"]));
}

#[test]
fn a_damaged_record_of_crates_is_one_warning() {
    if !tools::require("objcopy", "binutils") {
        return;
    }
    let bomb = zlib(&vec![b' '; 9 << 20]);
    let deep = zlib("[".repeat(100_000).as_bytes());
    let away = zlib(br#"{"packages": [{"name": "a", "version": "1", "source": "x", "dependencies": [1]}]}"#);
    let nameless = zlib(br#"{"packages": [{"name": "", "version": "1", "source": "x"}]}"#);
    let cut = &RECORD[..RECORD.len() - 20];
    let large = vec![b'x'; (8 << 20) + 1];
    let records: [(&[u8], &str); 8] = [
        (b"no zlib data", "not zlib data: "),
        (&RECORD[..1], "ends too early"),
        (cut, "ends too early"),
        (&bomb, "unpacked it has more than 8.4 MB"),
        (&deep, "wrong JSON: "),
        (&away, "depends on one that is not there"),
        (&nameless, "has no name"),
        (&large, "it has 8.4 MB; the limit is 8.4 MB"),
    ];
    for (record, why) in records {
        let scene = recorded(record);
        let ran = scene.run("--binary app -o app.zip --sbom sbom.json").exits(0);
        let n_findings =
            ran.stderr.matches("warning[crates-unknown]: the record of the crates of `app` cannot be read\n  section `.dep-v0`: ").count();
        assert!(n_findings == 1 && ran.stderr.contains(why), "{why}: {ran}");
        assert_eq!(read(scene.path(), "sbom.json")["components"], json!([]));
        let denied = "--binary app -o denied.zip --sbom sbom.json --deny crates-unknown";
        scene.run(denied).exits(1);
    }
}

#[test]
fn only_a_rust_program_is_asked_for_its_crates() {
    let scene = recorded(RECORD);
    let with_v = |program: &str, more: &str| {
        scene.run(&format!("--binary {program} -o out.zip -v {more}")).exits(0).stderr
    };
    let note = "note[crates-unknown]: `plain` records no crates, so the bill of materials lists none";
    assert!(with_v("plain", "--sbom sbom.json").contains(note));
    assert!(!with_v("plain", "").contains("crates-unknown"), "no list was asked for");
    scene.c("int main(void) { return 0; }", "c", "");
    assert!(!with_v("c", "--sbom sbom.json").contains("crates-unknown"), "it is C");
}

/// A root as of Amazon Linux, in which rpm installed `libtop.so.1`; its database is in this directory.
fn rpm_root(database: &str) -> Option<Scene> {
    if !tools::require("rpmbuild", "rpm") {
        return None;
    }
    let scene = Scene::with_top("");
    let root = scene.at("root").display().to_string();
    scene.file("root/etc/os-release", "NAME=\"Amazon Linux\"\nID=\"amzn\"\nVERSION_ID=\"2023\"\n");
    scene.file(
        "spec",
        "Name: top-libs\nEpoch: 1\nVersion: 2.3\nRelease: 4.amzn2023\nSummary: x\n\
        License: MIT and Zlib\n%description\nx\n%install\nmkdir -p %{buildroot}/usr/lib64 \
        %{buildroot}/usr/share/licenses/top-libs\ncp %{_topdir}/libs/libtop.so.1 %{buildroot}/usr/lib64/\n\
        echo the text > %{buildroot}/usr/share/licenses/top-libs/COPYING\n%files\n/usr/lib64/libtop.so.1\n\
        /usr/share/licenses/top-libs/COPYING\n",
    );
    let here = scene.path().display().to_string();
    let mut build = scene.other_command("rpmbuild");
    build.args(["-bb", "--quiet", "--nodeps", "--target", "x86_64", "--define", &format!("_topdir {here}")]);
    build.args(["--define", "_build_id_links none", "--define", "debug_package %{nil}", "spec"]);
    finish(&mut build).exits(0);
    scene.dir(format!("root/{database}"));
    for words in
        ["--initdb", "-i --nodeps --noscripts --nosignature RPMS/x86_64/top-libs-2.3-4.amzn2023.x86_64.rpm"]
    {
        let mut rpm = scene.other_command("rpm");
        rpm.args(["--root", &root, "--dbpath", &format!("/{database}")]).args(words.split(' '));
        finish(&mut rpm).exits(0);
    }
    scene.copy("libs/libtop.so.1", "root/usr/lib64/libown.so.1");
    Some(scene)
}

#[test]
fn rpm_tells_the_packages_of_amazon_linux() {
    let Some(schema) = schema::cyclonedx() else { return };
    for database in ["usr/lib/sysimage/rpm", "var/lib/rpm"] {
        let Some(scene) = rpm_root(database) else { return };
        let words = "--binary app --sysroot root --dlopen libown.so.1 -o app.zip --sbom sbom.json --licenses licenses.txt";
        scene.run(words).exits(0);
        let document = read(scene.path(), "sbom.json");
        schema::check(&document, &schema);
        let top = component(&document, "lib/libtop.so.1");
        assert_eq!((&top["name"], &top["version"]), (&json!("top-libs"), &json!("1:2.3-4.amzn2023")));
        assert_eq!(top["purl"], "pkg:rpm/amzn/top-libs@2.3-4.amzn2023?arch=x86_64&distro=amzn-2023&epoch=1");
        assert_eq!(top["licenses"], json!([{ "license": { "name": "MIT and Zlib" } }]));
        let own = component(&document, "lib/libown.so.1");
        assert!(own.get("purl").is_none(), "no package has it: {own:#}");
        let texts = scene.text("licenses.txt");
        assert!(
            texts.contains("\n==== lib/libtop.so.1: top-libs 1:2.3-4.amzn2023 ====\n\nthe text\n"),
            "{texts}"
        );
        // Without rpm they are not known, and nothing fails.
        let mut without = scene.command(words);
        finish(without.env("PATH", "/nowhere").arg("--force")).exits(0);
        assert!(component(&read(scene.path(), "sbom.json"), "lib/libtop.so.1").get("purl").is_none());
    }
}
