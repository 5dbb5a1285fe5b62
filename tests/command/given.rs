//! `--baseline FILE`: plain lists of paths, tables of one's own, and what is refused.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;

use crate::support::command::Ran;
use crate::support::elf::Object;
use crate::support::scene::Scene;

/// A directory with `app`, which needs libc, libz and libcurl, an empty root, and this baseline.
fn scene(baseline: impl AsRef<[u8]>) -> Scene {
    let scene = Scene::new();
    let app = Object::program().needs("libc.so.6").needs("libz.so.1").needs("libcurl.so.4");
    let app = app.verneed("libc.so.6", &["GLIBC_2.2.5"]);
    scene.file("app", app.bytes());
    scene.dir("empty");
    scene.file("mine.txt", baseline);
    scene
}

fn check(scene: &Scene, more: &str) -> Ran {
    scene.run(&format!("check --binary app --sysroot empty --baseline mine.txt {more}"))
}

/// As `du -a /lib64 /usr/lib64 | cut -f2` prints it where /lib64 is a link to usr/lib64.
const LIST: &str = "\
/lib64
/usr/lib64/ld-linux-x86-64.so.2
/usr/lib64/libc-2.26.so
/usr/lib64/libc.so.6
/usr/lib64/libz.so.1.2.7
/usr/lib64/libz.so.1
/usr/lib64
";

/// A list of names says nothing of versions: that is one thing to tell, however many libraries need some.
#[test]
fn what_a_list_leaves_open_is_one_line() {
    let scene = Scene::new();
    let nodes = ["libc.so.6", "libm.so.6", "libz.so.1"].map(|name| (name, &["NODE_1"][..]));
    let with_needs = |object: Object| {
        nodes.iter().fold(object, |object, (file, nodes)| object.needs(file).verneed(file, nodes))
    };
    let libraries = ["liba.so.1", "libb.so.1"];
    for name in libraries {
        scene.file(format!("libs/{name}"), with_needs(Object::library(name)).bytes());
    }
    let app = libraries.iter().fold(Object::program(), |app, name| app.needs(name));
    scene.file("app", with_needs(app).bytes());
    let list = ["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libz.so.1"]
        .map(|name| format!("/lib64/{name}\n"));
    scene.file("mine.txt", list.concat());
    let ran = scene.run("check --binary app --library-path libs --sysroot . --baseline mine.txt");
    let lines = ran.stderr.lines().filter(|line| line.contains("version-unknown"));
    let text = "3 files need NODE_1; it is unknown whether the libraries of mine.txt (x86_64) have them";
    assert_eq!(lines.filter(|line| line.contains(text)).count(), 1, "{ran}");
}

#[test]
fn a_list_of_paths_is_compared_by_name() {
    let scene = scene(LIST);
    let ran = check(&scene, "-v").exits(1).says(&[
        "Checking app for mine.txt (x86_64)",
        "error[missing-library]: `app` needs `libcurl.so.4`, which neither mine.txt (x86_64) nor this machine has\n",
        "warning[version-unknown]: `app` needs GLIBC_2.2.5; it is unknown whether the `libc.so.6` of mine.txt (x86_64) has it\n",
        "note[names-only]: `mine.txt` lists names only: what its libraries define and need is not known\n  libraries that it does not list are taken as absent\n",
    ]);
    assert_eq!(ran.listed("Using"), ["ld-linux-x86-64.so.2", "libc.so.6", "libz.so.1"]);

    scene.file("mine.txt", format!("{LIST}/usr/lib64/libcurl.so.4\r\n# the end\n"));
    let ran = check(&scene, "--message-format json").exits(0);
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!((&artifact["verdict"], &artifact["runtime"]), (&"unknown".into(), &"mine.txt".into()));
    let curl =
        &artifact["libraries"].as_array().unwrap().iter().find(|it| it["soname"] == "libcurl.so.4").unwrap();
    assert_eq!((&curl["from"], &curl["evidence"]), (&"baseline".into(), &"captured".into()));
    let notes = artifact["findings"].as_array().unwrap().iter().filter(|it| it["code"] == "names-only");
    assert_eq!(notes.count(), 1);
    // The user's word counts here, too.
    scene.file("mine.txt", LIST);
    check(&scene, "").exits(1).says(&["`app` needs `libcurl.so.4`"]);
    check(&scene, "--assume-present libcurl*").exits(0);
    scene.file("mine.txt", format!("{LIST}/usr/lib64/libcurl.so.4\n"));
    scene.run("explain libz.so.1 --binary app --sysroot empty --baseline mine.txt").exits(0);
    scene.run("baseline show mine.txt").exits(0);
}

#[test]
fn a_list_without_the_loader_starts_nothing() {
    let scene = scene("/lib64/libc.so.6\n/lib64/libz.so.1\n/lib64/libcurl.so.4\n");
    check(&scene, "").exits(1).says(&["error[interpreter-missing]: `app` names the interpreter"]);
}

#[test]
fn bundles_are_written_and_verified_for_a_list() {
    let scene = scene(format!("{LIST}/usr/lib64/libcurl.so.4\n"));
    scene.run("--binary app --sysroot empty --baseline mine.txt -o app.zip").exits(0);
    scene.run("verify app.zip --baseline mine.txt").exits(0);
    scene.file("mine.txt", LIST);
    scene.run("verify app.zip --baseline mine.txt").exits(1).says(&["`bootstrap` needs `libcurl.so.4`"]);
}

/// A change of an embedded table.
const CHANGE: &str = "\
runtime mine
root provided.al2023
arch x86_64
evidence own image 2026-11-20 our base image adds it
object libexpat.so.1
  evidence own
";

#[test]
fn a_table_of_ones_own_takes_the_place_of_the_runtimes() {
    let scene = scene(CHANGE);
    let expat = Object::program().needs("libc.so.6").needs("libexpat.so.1");
    scene.file("app", expat.bytes());
    check(&scene, "").exits(0).says(&["app: starts on mine (x86_64)"]);
    scene.run("check --binary app --sysroot empty").exits(1).says(&["`app` needs `libexpat.so.1`"]);
    let ran = scene.run("baseline diff provided.al2023 mine.txt").exits(0);
    assert!(ran.stdout.ends_with("\n+ libexpat.so.1\n"), "{ran}");
    scene.file("app", expat.arm64().bytes());
    check(&scene, "").exits(1).says(&[
        "error[wrong-arch]: `app` is for arm64, which the baseline mine does not offer\n",
        "help: capture a root of that architecture",
    ]);
}

#[test]
fn files_that_are_no_baseline_are_refused_by_name_and_line() {
    #[track_caller]
    fn refuses(baseline: impl AsRef<[u8]>, texts: &[&str]) {
        let scene = scene(baseline);
        let ran = check(&scene, "").exits(101).says(texts);
        assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error")).count(), 1, "{ran}");
        let ran = check(&scene, "--message-format json").exits(101);
        assert!(ran.json()["error"]["message"].as_str().unwrap().contains("mine.txt`"), "{ran}");
    }
    const NOT: &str = "mine.txt` is not a baseline\n";
    refuses(
        b"",
        &["mine.txt` is empty\n", "help: name a file that `cargo lambda-bundle baseline capture` wrote"],
    );
    refuses(b"\x7fELF\x02\x01\x01\0\0", &["mine.txt` is not a text file\n", "help: "]);
    refuses(b"runtime \xff\n", &["mine.txt` is not a text file\n"]);
    refuses("hello\n", &[NOT, "caused by: line 1: `hello` is not a key of a runtime\n"]);
    refuses("# nothing\n", &[NOT, "caused by: no `runtime` line before the first object\n"]);
    refuses(
        CHANGE.replace("  evidence own", "  presence present\n  evidence own"),
        &[NOT, "caused by: line 6: `presence` is not stated: it follows from the evidence"],
    );
    refuses(
        CHANGE.replace("  evidence own", "  evidence measured own"),
        &[
            NOT,
            "caused by: line 6: leave out `measured`: `evidence` names codes, and the level follows from them",
        ],
    );
    refuses(
        CHANGE.replace("own image 2026-11-20", "own"),
        &[
            NOT,
            "caused by: line 4: `our` is not a kind of evidence: probe, image, packages, documented, report, upstream",
        ],
    );
    refuses("/lib64/libc.so.6\nlibz.so.1\n", &[NOT, "caused by: line 2: expected an absolute path\n"]);
    refuses("/lib64\n", &[NOT, "caused by: no line names a library (`.so`)\n"]);
    let elf = |line: &str| format!("runtime x\narch x86_64\nelf /usr/lib/liba.so.1\n{line}\n");
    refuses(elf("wants libc.so.6"), &["line 4: expected `wants FILE NODES`\n"]);
    refuses(elf("exports x deflate"), &["line 4: expected `exports INDEX SYMBOLS`\n"]);
    refuses(elf("exports 32768 deflate"), &["line 4: expected `exports INDEX SYMBOLS`\n"]);
    refuses(elf("defines one A_1"), &["line 4: expected `defines INDEX NODE`\n"]);
    refuses(elf("pie no"), &["line 4: `pie` is yes or absent, not `no`\n"]);
    refuses(elf("kernel 5"), &["line 4: `kernel` is a release like 3.2.0, not `5`\n"]);
    refuses(elf("elf /usr/lib/liba.so.1"), &["line 4: `/usr/lib/liba.so.1` is listed twice\n"]);
    refuses(
        elf("elf /usr/../lib/liba.so.1"),
        &["line 4: `elf` is a plain absolute path, not `/usr/../lib/liba.so.1`\n"],
    );
    refuses("runtime x\nelf /liba.so.1\n", &["line 2: an `arch` line must come first\n"]);
    refuses("runtime x\nlink lib usr/lib\n", &["line 2: `link` is a plain absolute path, not `lib`\n"]);
    refuses(
        format!("{CHANGE}elf /usr/lib/liba.so.1\n"),
        &["`object libexpat.so.1` cannot be in a baseline with `elf`"],
    );
}

#[test]
fn a_directory_a_missing_and_a_huge_file_are_refused() {
    let scene = scene("");
    let with = |file: &str| scene.run(&format!("check --binary app --baseline {file}")).exits(101);
    with("empty").says(&["/empty` is a directory\n", "help: name a file that"]);
    with("nope").says(&["/nope` does not exist\n", "help: name a file that"]);
    let huge = fs::File::create(scene.at("huge")).unwrap();
    huge.set_len(300 << 20).unwrap();
    with("huge").says(&["/huge` is too large for a baseline: 314.6 MB; the limit is 268.4 MB\n", "help: "]);
    scene.run("check --binary app --baseline mine.txt --runtime provided.al2").exits(2);
}
