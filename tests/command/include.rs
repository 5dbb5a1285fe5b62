//! Included files: what goes in under which name and mode, as other ZIP readers see it, and what is refused.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use crate::support::archive;
use crate::support::command::{Ran, command, finish};
use crate::support::elf::Object;
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use serde_json::json;

/// A directory with a program `app` and some files to include.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.c(EMPTY, "app", "");
    for path in ["assets/a.txt", "assets/b.html", "assets/sub/c.txt", "assets/sub/deep/d.html", "one.txt"] {
        scene.file(path, path);
    }
    scene
}

fn bundle(scene: &Scene, arguments: &str) -> Ran {
    scene.run(&format!("--binary app -o out.zip {arguments}"))
}

/// The entries beside `bootstrap`, as Python reads them: name, mode, content.
#[track_caller]
fn entries(scene: &Scene) -> Vec<String> {
    if !tools::require("python3", "python3; the zip crate reads in its place") {
        let mut all = archive::entries(&scene.at("out.zip"));
        assert_eq!(all.remove(0).name, "bootstrap");
        let line = |file: archive::ArchivedFile| {
            let is_elf = file.content.starts_with(b"\x7fELF");
            let text = if is_elf { "ELF".to_owned() } else { String::from_utf8(file.content).unwrap() };
            format!("{} {:o} {text}", file.name, file.mode).trim_end().to_owned()
        };
        return all.into_iter().map(line).collect();
    }
    let script = "
import zipfile
for entry in zipfile.ZipFile('out.zip').infolist():
    content = '' if entry.filename == 'bootstrap' else zipfile.ZipFile('out.zip').read(entry)
    text = 'ELF' if content[:4] == b'\\x7fELF' else content and content.decode()
    print(entry.filename, oct(entry.external_attr >> 16)[2:], text)";
    let ran = finish(command("python3", scene.path()).args(["-c", script])).exits(0);
    let mut lines: Vec<String> = ran.stdout.lines().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines.remove(0), "bootstrap 100755", "{ran}");
    lines
}

/// What is in the archive for these arguments. A file's content here is the path it was made at.
#[track_caller]
fn check(scene: &Scene, arguments: &str, expected: &[&str]) -> Ran {
    let ran = bundle(scene, arguments).exits(0);
    assert_eq!(entries(scene), expected, "{arguments}");
    ran
}

#[track_caller]
fn refuses(scene: &Scene, code: i32, arguments: &str, texts: &[&str]) {
    let ran = scene.refuses(code, &format!("--binary app -o out.zip {arguments}"), texts).prints("");
    assert!(!scene.has("out.zip"), "{ran}");
}

#[test]
fn names_follow_the_path_as_it_was_written_or_the_place() {
    let scene = scene();
    check(&scene, "--include one.txt", &["one.txt 100644 one.txt"]);
    check(&scene, "--include ./assets/../one.txt=x/y.txt", &["x/y.txt 100644 one.txt"]);
    check(&scene, "--include one.txt=x/", &["x/one.txt 100644 one.txt"]);
    check(&scene, "--include one.txt=.", &["one.txt 100644 one.txt"]);
    check(
        &scene,
        "--include assets/sub",
        &["assets/sub/c.txt 100644 assets/sub/c.txt", "assets/sub/deep/d.html 100644 assets/sub/deep/d.html"],
    );
    check(&scene, "--include assets/sub/deep/=www", &["www/d.html 100644 assets/sub/deep/d.html"]);
    check(&scene, "--include assets/sub/deep=", &["d.html 100644 assets/sub/deep/d.html"]);
    let absolute = scene.at("one.txt");
    check(&scene, &format!("--include {}=x", absolute.display()), &["x 100644 one.txt"]);
    check(
        &scene,
        "--include one.txt --include assets/a.txt=0",
        &["0 100644 assets/a.txt", "one.txt 100644 one.txt"],
    );
}

#[test]
fn patterns_stay_in_a_directory_unless_they_say_otherwise() {
    let scene = scene();
    check(&scene, "--include assets/*.txt", &["assets/a.txt 100644 assets/a.txt"]);
    check(
        &scene,
        "--include assets/**/*.txt=t",
        &["t/a.txt 100644 assets/a.txt", "t/sub/c.txt 100644 assets/sub/c.txt"],
    );
    check(&scene, "--include assets/*/*.txt=t", &["t/sub/c.txt 100644 assets/sub/c.txt"]);
    check(
        &scene,
        "--include assets/{a,b}.*",
        &["assets/a.txt 100644 assets/a.txt", "assets/b.html 100644 assets/b.html"],
    );
    check(
        &scene,
        "--include assets/**/[cd].*=",
        &["sub/c.txt 100644 assets/sub/c.txt", "sub/deep/d.html 100644 assets/sub/deep/d.html"],
    );
    // A directory that the pattern cannot reach into is not read.
    scene.file("target/x/fifo.txt", "");
    scene.remove("target/x/fifo.txt");
    assert!(tools::require("mkfifo", "coreutils"));
    finish(command("mkfifo", scene.path()).arg("target/x/fifo.txt")).exits(0);
    check(&scene, "--include *.txt", &["one.txt 100644 one.txt"]);
    scene.remove("out.zip");
    refuses(&scene, 101, "--include target/**", &["/target/x/fifo.txt` is not a regular file"]);
}

#[test]
fn modes_are_by_content_never_by_disk() {
    let scene = scene();
    scene.c("int f(void) { return 0; }", "tools/libf.so", "-shared -fPIC");
    scene.c(EMPTY, "tools/part.o", "-c");
    fs::copy(scene.at("app"), scene.at("tools/helper")).unwrap();
    scene.file("tools/run", "#!/bin/sh");
    scene.file("tools/data", "data");
    for (path, mode) in [("helper", 0o600), ("run", 0o644), ("data", 0o777)] {
        let path = scene.at("tools").join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    check(
        &scene,
        "--include tools",
        &[
            "tools/data 100644 data",
            "tools/helper 100755 ELF",
            "tools/libf.so 100644 ELF",
            "tools/part.o 100644 ELF",
            "tools/run 100755 #!/bin/sh",
        ],
    );
    // Another reader makes programs of them.
    archive::unpack(&scene.at("out.zip"), &scene.at("out"));
    finish(&mut command(scene.at("out/tools/helper"), scene.path())).exits(0);
}

#[test]
fn what_is_not_there_or_leaves_the_archive_is_refused() {
    let scene = scene();
    scene.dir("hollow/inside");
    let root = scene.path().display().to_string();
    for (include, texts) in [
        ("nope", &["`--include nope` matches nothing\n", "/nope` does not exist"][..]),
        ("hollow", &["`--include hollow` matches nothing\n", "no such file is in `"]),
        ("assets/*.nope", &["`--include assets/*.nope` matches nothing\n"]),
        ("one.txt/*", &["`--include one.txt/*` matches nothing\n"]),
        ("../x", &["`--include ../x` does not say where", "help: name a place: `--include ../x=DEST`"]),
        ("/etc/passwd", &["`--include /etc/passwd` does not say where"]),
    ] {
        let code = if texts[0].contains("matches nothing") { 101 } else { 2 };
        refuses(&scene, code, &format!("--include {include}"), texts);
    }
    for to in ["..", "../x", "a/../../x", "/x", "C:/x", "a\\b"] {
        let text = format!("`--include one.txt={to}` would leave the archive");
        refuses(&scene, 2, &format!("--include one.txt={to}"), &[&text]);
    }
    refuses(&scene, 2, "--include assets/[", &["`--include assets/[` is not a pattern\n  caused by: "]);
    scene.file("assets/back\\slash", "");
    refuses(&scene, 101, "--include assets", &["the entry `assets/back\\slash` has a backslash in its name"]);
    scene.remove("assets/back\\slash");
    fs::write(scene.at("assets").join(OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    let text = format!("the name `caf\\xe9` in `{root}/assets` is not UTF-8\nhelp: rename the file");
    refuses(&scene, 101, "--include assets", &[&text]);
}

#[test]
fn two_files_for_one_path_are_refused_with_both() {
    let scene = scene();
    let root = scene.path().display();
    refuses(
        &scene,
        101,
        "--include one.txt=x --include assets/a.txt=x",
        &[&format!(
            "two files would be `x` in the archive: `{root}/one.txt` (of `--include one.txt`) \
             and `{root}/assets/a.txt` (of `--include assets/a.txt`)"
        )],
    );
    let text =
        format!("`bootstrap` in the archive: `{root}/app` and `{root}/one.txt` (of `--include one.txt`)");
    refuses(&scene, 101, "--include one.txt=bootstrap", &[&text]);
    let text = "`x` would be a file and a directory in the archive: ";
    refuses(&scene, 101, "--include one.txt=x --include assets/a.txt=x/y", &[text]);
    // Also where nothing is written.
    let check =
        finish(scene.command("").args(["check", "--binary", "app", "--include", "one.txt=bootstrap"]));
    check.exits(101).says(&["two files would be `bootstrap`"]);
}

#[test]
fn links_are_followed_or_kept() {
    let scene = scene();
    scene.link("a.txt", "assets/l.txt").link("sub/deep", "assets/way").link("../b.html", "assets/sub/up");
    let followed = [
        "assets/a.txt 100644 assets/a.txt",
        "assets/b.html 100644 assets/b.html",
        "assets/l.txt 100644 assets/a.txt",
        "assets/sub/c.txt 100644 assets/sub/c.txt",
        "assets/sub/deep/d.html 100644 assets/sub/deep/d.html",
        "assets/sub/up 100644 assets/b.html",
        "assets/way/d.html 100644 assets/sub/deep/d.html",
    ];
    check(&scene, "--include assets", &followed);
    let mut kept = followed;
    kept[2] = "assets/l.txt 120777 a.txt";
    kept[5] = "assets/sub/up 120777 ../b.html";
    kept[6] = "assets/way 120777 sub/deep";
    check(&scene, "--include {\"from\":\"assets\",\"symlinks\":\"keep\"}", &kept);
    // They are links to the reader that Lambda's unpacking is like.
    archive::unpack(&scene.at("out.zip"), &scene.at("out"));
    assert_eq!(scene.text("out/assets/way/d.html"), "assets/sub/deep/d.html");
    scene.remove("out.zip");

    let outside = "which `--include assets` does not include\nhelp: include the target";
    for target in ["../one.txt", "/etc/passwd", "nowhere", "../../x"] {
        scene.link(target, "assets/bad");
        let text = format!("/assets/bad` leads to `{target}`, {outside}");
        refuses(&scene, 101, "--include {\"from\":\"assets\",\"symlinks\":\"keep\"}", &["the link `", &text]);
        scene.remove("assets/bad");
    }
    scene.link("nowhere", "assets/bad");
    refuses(&scene, 101, "--include assets", &["the link `", "/assets/bad` leads nowhere\nhelp: repair it"]);
    check(&scene, "--include {\"from\":\"assets\",\"exclude\":[\"bad\",\"sub\",\"way\"]}", &followed[..3]);
    scene.remove("out.zip");
    scene.remove("assets/bad");
    scene.link("..", "assets/sub/round");
    refuses(
        &scene,
        101,
        "--include assets",
        &["/assets/sub/round` leads back to a directory that it is in\nhelp: "],
    );
}

#[test]
fn trees_without_end_and_files_beyond_measure_end() {
    let scene = scene();
    // Each directory leads to the next by two links: 2^40 paths.
    for at in 0..40 {
        scene.file(format!("ladder/{at}/not-this"), "");
        for link in ["a", "b"] {
            scene.link(format!("../{}", at + 1), format!("ladder/{at}/{link}"));
        }
    }
    scene.file("ladder/40/not-this", "");
    refuses(
        &scene,
        101,
        "--include ladder/0/**/*.txt",
        &["`--include ladder/0/**/*.txt` includes more than 65534 directories"],
    );
    refuses(&scene, 101, "--include ladder/0", &["`--include ladder/0` includes more than 65534 "]);
    fs::File::create(scene.at("huge")).unwrap().set_len(3 << 30).unwrap();
    refuses(&scene, 101, "--include huge", &["`--include huge` includes more than 2147483647 bytes"]);
}

#[test]
fn names_of_secrets_are_warned_of_unless_they_are_named() {
    let scene = scene();
    for path in ["conf/.env", "conf/.git/config", "conf/.git/HEAD", "conf/tls/server.pem", "conf/app.toml"] {
        scene.file(path, path);
    }
    let ran = bundle(&scene, "--include conf --message-format json").exits(0);
    let findings = &ran.json()["artifacts"][0]["findings"];
    let messages: Vec<&str> =
        findings.as_array().unwrap().iter().map(|finding| finding["message"].as_str().unwrap()).collect();
    let expected = ["conf/.env", "conf/.git/HEAD", "conf/tls/server.pem"];
    assert_eq!(messages.len(), expected.len(), "{ran}");
    for (message, name) in messages.iter().zip(expected) {
        assert_eq!(
            *message,
            format!("`--include conf` includes `{name}`; such files usually contain secrets")
        );
    }
    assert_eq!(findings[0]["code"], "suspicious-include");
    assert_eq!(findings[0]["severity"], "warning");
    bundle(&scene, "--include conf/.env --include conf/tls/server.pem")
        .exits(0)
        .keeps_silent_about(&["suspicious"]);
    bundle(&scene, "--include conf/app.* --include assets").exits(0).keeps_silent_about(&["suspicious"]);
    bundle(&scene, "--include conf/** --deny suspicious-include").exits(1);
}

#[test]
fn programs_among_them_bring_their_libraries() {
    let scene = scene();
    scene.c("int top(void) { return 0; }", "libs/libtop.so.1", "-shared -fPIC -Wl,-soname,libtop.so.1");
    let needs = "int top(void); int main(void) { return top(); }";
    scene.c(needs, "tool", "libs/libtop.so.1");
    let plugin = "int top(void); int host(void); int run(void) { return top() + host(); }";
    scene.c(plugin, "plugin.so", "-shared -fPIC libs/libtop.so.1");

    let missing =
        "`bin/tool` needs `libtop.so.1`, which neither provided.al2023 (x86_64) nor this machine has";
    refuses(&scene, 1, "--include tool=bin/", &["error[missing-library]: ", missing]);
    refuses(&scene, 1, "--include plugin.so", &["`plugin.so` needs `libtop.so.1`"]);

    let found = "--library-path libs";
    let ran = check(
        &scene,
        &format!("--include tool=bin/ {found} -v"),
        &["bin/tool 100755 ELF", "lib/libtop.so.1 100644 ELF"],
    );
    assert_eq!(ran.listed("Shipping"), ["libtop.so.1"]);
    let line = ran.line("Shipping", "libtop.so.1");
    assert!(
        line.starts_with("Shipping libtop.so.1 needed by bin/tool; not on provided.al2023; from "),
        "{line}"
    );
    ran.says(&["1 library added (libtop.so.1), 1 included file\n"]);
    // A plugin's open symbols are its host's to define.
    check(
        &scene,
        &format!("--include plugin.so --include tool=bin/ {found}"),
        &["bin/tool 100755 ELF", "lib/libtop.so.1 100644 ELF", "plugin.so 100644 ELF"],
    )
    .keeps_silent_about(&["undefined-symbol"]);
    // One that is included in its place is not shipped again, neither for a tool nor for the program.
    let own = "--include libs/libtop.so.1=lib/ --include tool=bin/";
    let entries = ["bin/tool 100755 ELF", "lib/libtop.so.1 100644 ELF"];
    check(&scene, own, &entries);
    check(&scene, &format!("{own} {found} --force"), &entries)
        .says(&["no libraries added, 2 included files\n"]);
    scene.c(needs, "app", "libs/libtop.so.1");
    check(&scene, "--include libs/libtop.so.1=lib/", &entries[1..]);
    check(&scene, &format!("--include libs/libtop.so.1=lib/ {found}"), &entries[1..]);
    // The program and a tool share what is shipped.
    check(&scene, &format!("--include tool=bin/ {found}"), &entries);
}

#[test]
fn a_program_of_another_machine_is_found() {
    let scene = scene();
    let mut arm = scene.read("app");
    arm[18] = 183;
    scene.file("arm", arm);
    refuses(
        &scene,
        1,
        "--include arm=bin/",
        &["error[wrong-arch]: `bin/arm` is for arm64, the bundle for x86_64"],
    );
}

#[test]
fn a_file_of_no_machine_is_data() {
    let scene = scene();
    // Guile's compiled modules are of no system, too.
    let module = Object::library("module.so").machine(0);
    scene.file("module.go", module.bytes());
    let message = "error[wrong-arch]: `lib/module.go` is for 64-bit machine 0; Lambda runs x86_64 and arm64";
    refuses(&scene, 1, "--include module.go=lib/", &[message]);
    scene.file("module.go", module.os_abi(255, 0).bytes());
    check(&scene, "--include module.go=lib/", &["lib/module.go 100644 ELF"]);
    scene.run("verify out.zip --allow not-a-runtime").exits(0).keeps_silent_about(&["module.go"]);
}

#[test]
fn same_input_same_bytes() {
    let scene = scene();
    let bytes = |arguments: &str| {
        bundle(&scene, arguments).exits(0);
        scene.read("out.zip")
    };
    let first = bytes("--include assets --include one.txt");
    scene.mode("one.txt", 0o600);
    fs::rename(scene.at("assets/a.txt"), scene.at("assets/z")).unwrap();
    fs::rename(scene.at("assets/z"), scene.at("assets/a.txt")).unwrap();
    assert!(bytes("--include one.txt --include assets") == first);
    assert!(bytes("--include one.txt=2.txt --include assets") != first);
}

#[test]
fn includes_for_cargo_lambdas_deploy_and_of_its_file_are_taken() {
    let scene = scene();
    let package = "[package]\nname = \"f\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    let table = |of: &str, list: &str| format!("[package.metadata.lambda.{of}]\ninclude = [{list}]\n");
    scene.file("f/src/main.rs", "fn main() {}").file("f/own.toml", "own").file("f/both.toml", "beside");
    scene.file("both.toml", "here");
    scene.copy("app", "f/target/release/f");
    let run = |tables: &str| {
        scene.file("f/Cargo.toml", format!("{package}{tables}"));
        scene.run("--manifest-path f/Cargo.toml -o out.zip").exits(0)
    };
    // As cargo-lambda 1.9.2 does: from the current directory; what is not there is left out.
    let ran = run(&table("deploy", "\"both.toml\", \"own.toml\", \"nope.toml\""));
    ran.says(&[
        "Including both.toml, own.toml, as cargo-lambda's settings in f/Cargo.toml say",
        "Skipping `nope.toml`, which `deploy.include` in f/Cargo.toml names: it does not exist",
    ]);
    assert_eq!(entries(&scene), ["both.toml 100644 here", "own.toml 100644 own"]);
    // Both tables, each file once.
    run(&format!("{}{}", table("build", "\"own.toml\""), table("deploy", "\"own.toml\", \"both.toml\"")));
    assert_eq!(entries(&scene), ["both.toml 100644 here", "own.toml 100644 own"]);
    // Its own file, to which the manifest is preferred.
    scene.file(
        "f/CargoLambda.toml",
        "[build]\ninclude = [\"own.toml\"]\n[deploy]\ninclude = [\"x:both.toml\"]\n",
    );
    run("").says(&["as cargo-lambda's settings in f/CargoLambda.toml say"]);
    assert_eq!(entries(&scene), ["own.toml 100644 own", "x 100644 here"]);
    run(&table("deploy", "\"own.toml\""));
    assert_eq!(entries(&scene), ["own.toml 100644 own"]);
    // Ours is preferred to all, and then nothing is said.
    let ran =
        run(&format!("{}[package.metadata.lambda-bundle]\ninclude = []\n", table("deploy", "\"nope.toml\"")));
    ran.keeps_silent_about(&["cargo-lambda's", "nope"]);
    assert!(entries(&scene).is_empty());
}

#[test]
fn a_manifest_has_all_of_it_and_is_heard_before_cargo_lambdas() {
    let scene = scene();
    let package = "[package]\nname = \"f\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    let theirs = "[package.metadata.lambda.build]\ninclude = [\"x:assets/sub\", \"../f/one.txt\"]\n";
    let ours = r#"
        [package.metadata.lambda-bundle]
        include = [
            "one.txt=plain.txt",
            { from = "assets/**", to = "www", exclude = ["*.html", "sub/deep"], mode = "0755", symlinks = "keep" },
        ]"#;
    scene.file("f/src/main.rs", "fn main() {}").file("f/one.txt", "f/one.txt").file("f/assets/x.html", "");
    scene.file("f/assets/sub/c", "c").file("f/assets/sub/deep/d", "d").file("f/assets/a", "a");
    scene.copy("app", "f/target/release/f");
    let run = |manifest: &str, arguments: &str| {
        scene.file("f/Cargo.toml", format!("{package}{manifest}"));
        scene.run(&format!("--manifest-path f/Cargo.toml -o out.zip {arguments}"))
    };
    run(&format!("{ours}\n{theirs}"), "").exits(0).keeps_silent_about(&["cargo-lambda"]);
    let expected = ["plain.txt 100644 f/one.txt", "www/a 100755 a", "www/sub/c 100755 c"];
    assert_eq!(entries(&scene), expected);
    run(ours, "--include one.txt").exits(0);
    assert_eq!(entries(&scene), ["one.txt 100644 one.txt"]);

    let ran = run(&theirs.replace(", \"../f/one.txt\"", ""), "").exits(0);
    ran.says(&["Including assets/sub, as cargo-lambda's settings in f/Cargo.toml say"]);
    assert_eq!(entries(&scene), ["x/c 100644 c", "x/deep/d 100644 d"]);
    let text = "`--include ../f/one.txt` does not say where in the archive it goes (from cargo-lambda's settings in `f/Cargo.toml`)";
    run(theirs, "").exits(101).says(&[text]);

    let table = |include: &str| format!("[package.metadata.lambda-bundle]\ninclude = {include}\n");
    for (include, text) in [
        (
            "[{ from = \"a\", top = \"b\" }]",
            "is an array, expected an array of paths and of tables with `from` and",
        ),
        ("[{ to = \"b\" }]", "expected an array of paths and of tables"),
        ("[{ from = \"a\", directory = \"b\" }]", "expected an array of paths and of tables"),
        ("[1]", "expected an array of paths and of tables"),
        (
            "[{ from = \"one.txt\", mode = \"0777\" }]",
            "`--include one.txt` has the mode `0777` (from `[package",
        ),
        ("[\"nope\"]", "`--include nope` matches nothing"),
    ] {
        run(&table(include), "").exits(101).says(&[text]);
    }
    let ran = run(ours, "--message-format json -q").exits(0);
    assert_eq!(ran.json()["artifacts"][0]["archive"]["entries"].as_array().unwrap().len(), 4);
    let mut config = scene.command("");
    let ran = finish(config.args(["config", "--manifest-path", "f/Cargo.toml", "--message-format", "json"]))
        .exits(0);
    let document = ran.json();
    let settings = document["packages"][0]["settings"].as_array().unwrap();
    let include = settings.iter().find(|setting| setting["name"] == "include").unwrap();
    let directory = scene.at("f");
    assert_eq!(
        include["value"][0],
        json!({ "from": "one.txt", "to": "plain.txt", "directory": directory.to_str().unwrap() })
    );
}

#[test]
fn a_library_for_musl_is_no_library_of_its_own_libc() {
    let scene = scene();
    let library = "int foo(void) { return 0; }";
    let musl = "-shared -fPIC -nostdlib -Wl,-soname,libc.musl-x86_64.so.1";
    scene.c(library, "libc.musl-x86_64.so.1", musl);
    scene.dir("b");
    let linked = "-shared -fPIC -nostdlib -Wl,--no-as-needed libc.musl-x86_64.so.1";
    scene.c(library, "b/x.musl.node", linked);
    scene.c(library, "b/x.glibc.node", "-shared -fPIC");
    let opened = "import ctypes, sys; ctypes.CDLL(sys.argv[1])";
    for (file, code) in [("b/x.glibc.node", 0), ("b/x.musl.node", 1)] {
        if !tools::require("python3", "python3") {
            break;
        }
        let file = scene.at(file);
        finish(command("python3", scene.path()).args(["-c", opened]).arg(file)).exits(code);
    }

    let says = "`n/x.node` is linked to musl, but provided.al2023 (x86_64) has glibc: it cannot be loaded";
    refuses(&scene, 1, "--include b/x.musl.node=n/x.node", &["error[libc-mixed]", says]);
    // Packages have a build for each, and take the one that fits.
    check(&scene, "--include b=n", &["n/x.glibc.node 100644 ELF", "n/x.musl.node 100644 ELF"])
        .says(&["warning[libc-mixed]: `n/x.musl.node`", "`n/x.glibc.node` fits"]);
}

#[test]
fn a_build_for_musl_stays_as_it_is_beside_the_bundles_glibc() {
    let scene = scene();
    let library = "int foo(void) { return 0; }";
    for name in ["libc.musl-x86_64.so.1", "libother.so.1"] {
        scene.c(library, name, &format!("-shared -fPIC -nostdlib -Wl,-soname,{name}"));
    }
    scene.dir("b");
    let path = "-Wl,-rpath,/usr/lib/x";
    let linked = "-shared -fPIC -nostdlib -Wl,--no-as-needed libc.musl-x86_64.so.1 libother.so.1";
    scene.c(library, "b/x.musl.node", &format!("{linked} {path}"));
    scene.c(library, "b/x.glibc.node", &format!("-shared -fPIC {path}"));
    let ran = bundle(&scene, "--include b=n --libc bundle --library-path . --message-format json").exits(0);
    let artifact = &ran.json()["artifacts"][0];
    let edits = artifact["edits"].as_array().unwrap();
    let edited: Vec<_> = edits.iter().map(|edit| edit["object"].as_str().unwrap()).collect();
    assert_eq!(edited, ["bootstrap", "n/x.glibc.node"], "{ran}");
    // Nor does a library come for its sake.
    let entries = artifact["archive"]["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| !entry["name"].as_str().unwrap().contains("libother")), "{ran}");
    let sizes = |name: &str| fs::metadata(scene.at(name)).unwrap().len();
    let musl = entries.iter().find(|entry| entry["name"] == "n/x.musl.node").unwrap();
    assert_eq!(musl["size"], sizes("b/x.musl.node"));
}

#[test]
fn included_files_count_and_the_largest_are_named() {
    let scene = Scene::new();
    scene.c("int main(void) { return 0; }", "app", "-g");
    for (name, megabytes) in [("one.bin", 150), ("two.bin", 100), ("three.bin", 20)] {
        std::fs::File::create(scene.at(name)).unwrap().set_len(megabytes * 1_000_000).unwrap();
    }
    let include = "--binary app --include *.bin";
    let largest = "the largest files are `one.bin` (150.0 MB), `two.bin` (100.0 MB), `three.bin` (20.0 MB)\nhelp: leave out";
    scene.run(&format!("check {include} -v")).exits(1).says(&["Measuring app: 270.0 MB unzipped", largest]);
    let sized = scene.run(&format!("size {include}")).exits(1).says(&[largest]);
    assert!(sized.stdout.contains("  two.bin      100.0 MB  37 %"), "{sized}");
    scene.run(&format!("{include} -o app.zip")).exits(1).says(&[largest]);
    assert!(!scene.at("app.zip").exists());
    scene
        .run("check --binary app --include three.bin -v")
        .exits(0)
        .says(&["Measuring app: 20.0 MB unzipped"]);
}

/// One file is a draft; the pattern names it in every way that a user may think of.
#[test]
fn an_exclude_names_a_path_from_any_place_or_is_an_error() {
    let scene = scene();
    for name in ["a.html", "drafts/b.html", "sub/drafts/c.html", "sub/d[1].html"] {
        scene.file(format!("web/{name}"), name);
    }
    let include =
        |from: &str, exclude: &str| format!("--include {{\"from\":\"{from}\",\"exclude\":[\"{exclude}\"]}}");
    let all = ["web/a.html", "web/drafts/b.html", "web/sub/d[1].html", "web/sub/drafts/c.html"];
    let without = |gone: &[&str]| -> Vec<String> {
        let left = all.iter().filter(|name| !gone.contains(name));
        left.map(|name| format!("{name} 100644 {}", &name[4..])).collect()
    };
    let (top, below) = (all[1], all[3]);
    for (exclude, gone) in [
        ("drafts", &[top, below][..]),
        ("drafts/", &[top, below]),
        ("**/drafts", &[top, below]),
        ("/drafts", &[top]),
        ("./drafts", &[top]),
        ("/drafts/", &[top]),
        ("web/drafts", &[top]),
        ("./web/drafts/", &[top]),
        ("web/drafts/**", &[top]),
        ("drafts/**", &[top]),
        ("sub/drafts", &[below]),
        ("web/sub/drafts/c.html", &[below]),
        // What is below something that is left out is there, too.
        ("drafts\",\"c.html", &[top, below]),
        ("drafts\",\"sub/drafts/c.html", &[top, below]),
    ] {
        for from in ["web", "web/", "./web", "web/**"] {
            scene.run(&format!("--binary app -o out.zip --force {}", include(from, exclude))).exits(0);
            assert_eq!(entries(&scene), without(gone), "{from}: {exclude}");
        }
    }
    scene.remove("out.zip");
    for (from, exclude, help) in [
        ("web", "nosuch*", "name what is there, or remove it: `"),
        ("web", "/other/c.html", "name what is there, or remove it: `"),
        ("web", "draft", "did you mean `drafts`?"),
        ("web", "drafts\",\"nosuch", "name what is there, or remove it: `"),
        ("web/*.html", "other/*.html", "name what is there, or remove it: `"),
        ("web/a.html", "b.html", "remove it: the include is one file"),
    ] {
        let last = exclude.rsplit('"').next().unwrap();
        let message = format!("error: `exclude` of `--include {from}` has `{last}`, which matches nothing\n");
        refuses(&scene, 101, &include(from, exclude), &[&message, &format!("help: {help}")]);
    }
    for exclude in ["a.html", "/a.html", "web/a.html", "*.html"] {
        let matches = "error: `--include web/a.html` matches nothing\n  caused by: `exclude` leaves it out\n";
        refuses(&scene, 101, &include("web/a.html", exclude), &[matches]);
    }
    refuses(&scene, 101, &include("web", "**"), &["error: `--include web` matches nothing\n"]);
    // A name with brackets is a pattern.
    let help = "help: write its brackets as text: `--include web/sub/d\\[1\\].html`\n";
    refuses(&scene, 101, "--include web/sub/d[1].html", &[help]);
    scene.run("--binary app -o out.zip --include web/sub/d\\[1\\].html").exits(0);
    assert_eq!(entries(&scene), ["web/sub/d[1].html 100644 sub/d[1].html"]);
}
