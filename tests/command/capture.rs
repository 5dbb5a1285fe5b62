//! A captured root, asked for the same things as the real loader inside it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::sync::Arc;

use crate::support::debian;
use crate::support::elf::Object;
use crate::support::real_loader::{Answer, answer_of, pinned, read_trace};
use crate::support::scene::{EMPTY, Scene};
use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::baseline::{Baseline, LIBRARY_PATH};
use cargo_lambda_bundle::disk::capture::capture;
use cargo_lambda_bundle::elf;
use cargo_lambda_bundle::lambda::{Installed, LambdaWorld};

const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// Starts a program in another root, with the variable set that would make chroot's own loader list itself.
const ENTER: &str = r#"
#include <stdlib.h>
#include <unistd.h>
int main(int n, char **words) {
    if (n < 3 || chroot(words[1]) || chdir("/") || setenv("LD_TRACE_LOADED_OBJECTS", "1", 1)) return 1;
    return execv(words[2], words + 2);
}
"#;

/// A copy of Debian 11's root with some oddities of our own, and the capture of it as text.
struct Captured {
    root: Scene,
    tools: Scene,
    text: String,
}

impl Captured {
    fn new(with_cache: bool) -> Option<Captured> {
        let needs = [("cc", "gcc"), ("ldconfig", "libc-bin")];
        if !tools::require_namespaces() || needs.iter().any(|(tool, package)| !tools::require(tool, package))
        {
            return None;
        }
        let debian = debian::DEBIAN_11.unpacked()?;
        let root = Scene::below(env!("CARGO_TARGET_TMPDIR"));
        // Links, as it is two hundred megabytes; what is written below is new, but for one file.
        root.tool("cp", &format!("-al {}/. .", debian.display())).exits(0);
        root.tool("rm", "-f etc/ld.so.conf").exits(0);
        add_oddities(&root);
        if with_cache {
            root.tool("ldconfig", "-r .").exits(0);
        }
        let tools = Scene::new();
        tools.c(ENTER, "enter", "");
        let text = capture(utf8(&root), "debian-11", "2026-11-23", None).unwrap().captured_text();
        Some(Captured { root, tools, text })
    }

    /// What the loader of that root says of `program` at /var/task/bootstrap.
    fn real(&self, program: &[u8]) -> Answer {
        self.root.file("var/task/bootstrap", program);
        let output = pinned(self.tools.at("enter"))
            .arg(self.root.path())
            .args(["/lib64/ld-linux-x86-64.so.2", "/var/task/bootstrap"])
            .env("LD_LIBRARY_PATH", LIBRARY_PATH)
            .output();
        read_trace(&output.unwrap())
    }

    /// What the captured table says of it.
    fn model(&self, program: &[u8]) -> Answer {
        let baseline = Baseline::parse(&self.text).unwrap();
        let facts = Arc::new(elf::parse(program).unwrap());
        let lambda = LambdaWorld {
            library_paths: vec![LIBRARY_PATH.to_owned()],
            baseline: baseline.into(),
            assume_present: Default::default(),
            binds_now: false,
            tunables: String::new(),
            preload: Vec::new(),
        };
        let walks = Installed::new(&lambda, Vec::new()).walks("/var/task/bootstrap", &facts, &[], &[]);
        let [walked] = walks.as_slice() else { panic!("one variant") };
        answer_of(&walked.closure, &lambda.rules(facts.libc(), None, lambda.processor()))
    }

    /// Checks that both say the same, and that it has these lines.
    #[track_caller]
    fn check(&self, program: &[u8], expected: &[&str]) {
        let real = self.real(program);
        assert_eq!(self.model(program), real);
        let lines: Vec<&String> = real.objects.iter().chain(&real.versions).chain(&real.fatal).collect();
        for expected in expected {
            assert!(lines.iter().any(|line| line.contains(expected)), "no {expected}: {real:#?}");
        }
    }
}

fn utf8(root: &Scene) -> &Utf8Path {
    Utf8Path::from_path(root.path()).unwrap()
}

fn add_oddities(root: &Scene) {
    let library = |soname: &str| Object::library(soname).with_sections();
    // A library with a directory of its own, by RUNPATH; one whose need is nowhere; a text.
    let outer = library("libouter.so.1").runpath("$ORIGIN/inner").needs("libinner.so.1");
    root.file(format!("{LIB}/libouter.so.1"), outer.bytes());
    let inner = library("libinner.so.1").needs("libsqlite3.so.0");
    root.file(format!("{LIB}/inner/libinner.so.1"), inner.bytes());
    root.file(format!("{LIB}/libhalf.so.1"), library("libhalf.so.1").needs("libgone.so.1").bytes());
    let text = "this is no library, but it is long enough for an ELF header, is it not?";
    root.file(format!("{LIB}/libtext.so.1"), text);
    // In the cache only; behind a link to a directory; 32-bit; behind a chain of links.
    root.file("srv/deep/libcached.so.1", library("libcached.so.1").verdef(&["CACHED_1"]).bytes());
    root.file("etc/ld.so.conf", "/srv/deep\n");
    root.file("data/linked/liblinked.so.1.2", library("liblinked.so.1").bytes());
    root.link("/data/linked", "usr/lib64").link("liblinked.so.1.2", "data/linked/liblinked.so.1");
    root.file(format!("{LIB}/libold.so.1"), Object::library("libold.so.1").class32().bytes());
    root.link("/etc/alternatives/libalt.so.1", format!("{LIB}/libalt.so.1"));
    root.link("../../srv/deep/libcached.so.1", "etc/alternatives/libalt.so.1");
}

fn program(needs: &[&str]) -> Object {
    needs.iter().fold(Object::program().with_sections(), |program, name| program.needs(name))
}

#[test]
fn a_capture_agrees_with_the_loader_in_its_root() {
    for with_cache in [true, false] {
        let Some(captured) = Captured::new(with_cache) else { return };
        let check = |needs: &[&str], expected: &[&str]| captured.check(&program(needs).bytes(), expected);
        check(&["libc.so.6"], &["libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6"]);
        check(
            &["libpq.so.5"],
            &["libpq.so.5 => ", "libssl.so.1.1 => ", "libgssapi_krb5.so.2 => ", "libldap"],
        );
        check(&["libsqlite3.so.0", "libz.so.1", "libnothere.so.1"], &["libnothere.so.1 => not found"]);
        check(
            &["libouter.so.1"],
            &["libinner.so.1 => /usr/lib/x86_64-linux-gnu/inner/libinner.so.1", "libsqlite3.so.0 => "],
        );
        check(&["libinner.so.1"], &["libinner.so.1 => not found"]);
        check(&["libhalf.so.1"], &["libgone.so.1 => not found"]);
        check(&["libtext.so.1"], &["libtext.so.1: invalid ELF header"]);
        check(&["liblinked.so.1"], &["liblinked.so.1 => /usr/lib64/liblinked.so.1"]);
        check(&["libold.so.1"], &["libold.so.1 => not found"]);
        check(&["libalt.so.1"], &["libalt.so.1 => "]);
        let cached = if with_cache {
            "libcached.so.1 => /srv/deep/libcached.so.1"
        } else {
            "libcached.so.1 => not found"
        };
        check(&["libcached.so.1"], &[cached]);

        let wants = |file: &str, nodes: &[&str]| program(&[file]).verneed(file, nodes).bytes();
        captured.check(&wants("libc.so.6", &["GLIBC_2.31", "GLIBC_2.2.5"]), &["libc.so.6"]);
        captured.check(&wants("libc.so.6", &["GLIBC_2.34"]), &["version `GLIBC_2.34' not found"]);
        captured.check(&wants("libpq.so.5", &["RHPG_9.6"]), &["libpq.so.5"]);
        captured.check(&wants("libalt.so.1", &["CACHED_1"]), &["libalt.so.1"]);
        captured.check(&wants("libalt.so.1", &["CACHED_2"]), &["version `CACHED_2' not found"]);
        captured.check(&wants("liblinked.so.1", &["X_1"]), &["no version information available"]);
        let weak = program(&["libc.so.6"]).weak_verneed("libc.so.6", &["GLIBC_2.99"]).bytes();
        captured.check(&weak, &["weak version `GLIBC_2.99' not found"]);
    }
}

#[test]
fn programs_of_this_machine_agree_too() {
    let Some(captured) = Captured::new(true) else { return };
    let scene = Scene::new();
    scene.c(EMPTY, "plain", "");
    scene.c("#include <math.h>\nint main(int n, char **v) { return pow(n, n); }", "math", "-lm");
    for name in ["plain", "math"] {
        captured.check(&scene.read(name), &["libc.so.6 => "]);
    }
    // The same by the command line: the build world is empty, so that nothing is shipped.
    scene.dir("empty");
    scene.file("debian-11.baseline", &captured.text);
    let flags = "--sysroot empty --baseline debian-11.baseline";
    scene.run(&format!("check --binary plain {flags}"))
        .exits(1)
        .says(&["error[version-too-new]: `plain` needs GLIBC_2.34, which the `libc.so.6` of debian-11 (x86_64) does not have (it has up to GLIBC_2.30)"]);
    scene.file("pq", program(&["libpq.so.5"]).bytes());
    let ran = scene.run(&format!("check --binary pq {flags} --message-format json")).exits(0);
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!((&artifact["runtime"], &artifact["verdict"]), (&"debian-11".into(), &"starts".into()));
    let libraries = artifact["libraries"].as_array().unwrap();
    let ssl = libraries.iter().find(|library| library["soname"] == "libssl.so.1.1").unwrap();
    assert_eq!((&ssl["from"], &ssl["evidence"]), (&"baseline".into(), &"captured".into()));
    assert_eq!(ssl["needed_by"][0], "libpq.so.5");
    scene.run(&format!("explain libssl.so.1.1 --binary pq {flags}")).exits(0);
    // A system library that lacks what it needs itself.
    scene.file("half", program(&["libhalf.so.1"]).bytes());
    scene
        .run(&format!("check --binary half {flags}"))
        .exits(1)
        .says(&["error[missing-library]: `libhalf.so.1` needs `libgone.so.1`"]);
    // Symbols: nothing is presumed of what was read.
    let calls = |symbol: &str| program(&["libsqlite3.so.0"]).imports(symbol, None).bytes();
    scene.file("calls", calls("sqlite3_open"));
    scene.run(&format!("check --binary calls {flags}")).exits(0).keeps_silent_about(&["undefined-symbol"]);
    scene.file("calls", calls("sqlite3_fnord"));
    scene.run(&format!("check --binary calls {flags}")).says(&[
        "[undefined-symbol]: `calls` needs the symbol `sqlite3_fnord`, which no library it loads defines",
    ]);
}

#[test]
fn a_capture_is_read_back_as_it_was_and_is_the_same_twice() {
    let Some(captured) = Captured::new(true) else { return };
    let table = Baseline::parse(&captured.text).unwrap();
    assert_eq!(table.captured_text(), captured.text);
    let scene = Scene::new();
    let arguments =
        format!("baseline capture --root {} -o a.baseline --name debian-11", utf8(&captured.root));
    scene.run(&arguments).exits(0).says(&["Captured ", " objects of "]);
    let written = scene.text("a.baseline");
    let day = |text: &str| text.replace(&table.recorded, "DAY");
    let today = Baseline::parse(&written).unwrap().recorded;
    assert_eq!(written.replace(&today, "DAY"), day(&captured.text));
    scene.run("baseline diff a.baseline a.baseline").exits(0);
    let ran = scene.run("baseline diff a.baseline provided.al2023").exits(0);
    assert!(
        ran.stdout.contains("\n- libpq.so.5\n") && ran.stdout.contains("glibc\n  - 2.31\n  + 2.34\n"),
        "{ran}"
    );
}

#[test]
fn roots_without_glibc_are_refused() {
    let scene = Scene::new();
    scene.dir("root");
    scene
        .run("baseline capture --root root")
        .exits(101)
        .says(&["/root` has no loader of glibc: no /lib64/ld-linux-x86-64.so.2"]);
    scene.run("baseline capture --root nope").exits(101).says(&["/nope` is not a directory\n"]);
    let ran = scene.run("baseline capture --root nope --message-format json").exits(101);
    assert!(ran.json()["error"]["message"].as_str().unwrap().ends_with("/nope` is not a directory"), "{ran}");
    scene.run("baseline capture --root root --name").exits(2);
}
