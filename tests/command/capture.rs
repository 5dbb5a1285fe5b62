//! A captured root, asked for the same things as the real loader inside it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::support::command::run;
use crate::support::compile::CC;
use crate::support::debian;
use crate::support::elf::Object;
use crate::support::real_loader::{Answer, answer_of, pinned, read_trace};
use crate::support::tools;
use camino::Utf8Path;
use cargo_lambda_bundle::baseline::{Baseline, LIBRARY_PATH};
use cargo_lambda_bundle::disk::capture::capture;
use cargo_lambda_bundle::elf;
use cargo_lambda_bundle::lambda::LambdaWorld;

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
struct Scene {
    dir: tempfile::TempDir,
    tools: tempfile::TempDir,
    text: String,
}

impl Scene {
    fn new(with_cache: bool) -> Option<Scene> {
        let needs = [("cc", "gcc"), ("ldconfig", "libc-bin")];
        if !tools::require_namespaces() || needs.iter().any(|(tool, package)| !tools::require(tool, package))
        {
            return None;
        }
        let root = debian::DEBIAN_11.unpacked()?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let status = Command::new("cp").arg("-a").arg(root.join(".")).arg(dir.path()).status();
        assert!(status.unwrap().success());
        let tools = tempfile::tempdir().unwrap();
        CC.compile(tools.path(), ENTER, "enter", "");
        let scene = Scene { dir, tools, text: String::new() };
        let library = |soname: &str| Object::library(soname).with_sections();
        // A library with a directory of its own, by RUNPATH; one whose need is nowhere; a text.
        scene.put(
            &format!("{LIB}/libouter.so.1"),
            &library("libouter.so.1").runpath("$ORIGIN/inner").needs("libinner.so.1").bytes(),
        );
        scene.put(
            &format!("{LIB}/inner/libinner.so.1"),
            &library("libinner.so.1").needs("libsqlite3.so.0").bytes(),
        );
        scene.put(&format!("{LIB}/libhalf.so.1"), &library("libhalf.so.1").needs("libgone.so.1").bytes());
        scene.put(
            &format!("{LIB}/libtext.so.1"),
            b"this is no library, but it is long enough for an ELF header, is it not?",
        );
        // In the cache only; behind a link to a directory; 32-bit; behind a chain of links.
        scene.put("srv/deep/libcached.so.1", &library("libcached.so.1").verdef(&["CACHED_1"]).bytes());
        scene.put("etc/ld.so.conf", b"/srv/deep\n");
        scene.put("data/linked/liblinked.so.1.2", &library("liblinked.so.1").bytes());
        symlink("/data/linked", scene.path("usr/lib64")).unwrap();
        symlink("liblinked.so.1.2", scene.path("data/linked/liblinked.so.1")).unwrap();
        scene.put(&format!("{LIB}/libold.so.1"), &Object::library("libold.so.1").class32().bytes());
        symlink("/etc/alternatives/libalt.so.1", scene.path(&format!("{LIB}/libalt.so.1"))).unwrap();
        fs::create_dir_all(scene.path("etc/alternatives")).unwrap();
        symlink("../../srv/deep/libcached.so.1", scene.path("etc/alternatives/libalt.so.1")).unwrap();
        if with_cache {
            let status = Command::new("ldconfig").arg("-r").arg(scene.dir.path()).status().unwrap();
            assert!(status.success());
        }
        let text = capture(scene.root(), "debian-11", "2026-11-23", None).unwrap().captured_text();
        Some(Scene { text, ..scene })
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What the loader of that root says of `program` at /var/task/bootstrap.
    fn real(&self, program: &[u8]) -> Answer {
        self.put("var/task/bootstrap", program);
        let output = pinned(self.tools.path().join("enter"))
            .arg(self.dir.path())
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
            assume_missing: Default::default(),
            binds_now: false,
            preload: Vec::new(),
        };
        let walks = lambda.walks("/var/task/bootstrap", &facts, &[], &[]);
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

fn program(needs: &[&str]) -> Object {
    needs.iter().fold(Object::program().with_sections(), |program, name| program.needs(name))
}

#[test]
fn a_capture_agrees_with_the_loader_in_its_root() {
    for with_cache in [true, false] {
        let Some(scene) = Scene::new(with_cache) else { return };
        let check = |needs: &[&str], expected: &[&str]| scene.check(&program(needs).bytes(), expected);
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
        scene.check(&wants("libc.so.6", &["GLIBC_2.31", "GLIBC_2.2.5"]), &["libc.so.6"]);
        scene.check(&wants("libc.so.6", &["GLIBC_2.34"]), &["version `GLIBC_2.34' not found"]);
        scene.check(&wants("libpq.so.5", &["RHPG_9.6"]), &["libpq.so.5"]);
        scene.check(&wants("libalt.so.1", &["CACHED_1"]), &["libalt.so.1"]);
        scene.check(&wants("libalt.so.1", &["CACHED_2"]), &["version `CACHED_2' not found"]);
        scene.check(&wants("liblinked.so.1", &["X_1"]), &["no version information available"]);
        let weak = program(&["libc.so.6"]).weak_verneed("libc.so.6", &["GLIBC_2.99"]).bytes();
        scene.check(&weak, &["weak version `GLIBC_2.99' not found"]);
    }
}

#[test]
fn programs_of_this_machine_agree_too() {
    let Some(scene) = Scene::new(true) else { return };
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), "int main(void) { return 0; }", "plain", "");
    CC.compile(
        dir.path(),
        "#include <math.h>\nint main(int n, char **v) { return pow(n, n); }",
        "math",
        "-lm",
    );
    for name in ["plain", "math"] {
        scene.check(&fs::read(dir.path().join(name)).unwrap(), &["libc.so.6 => "]);
    }
    // The same by the command line: the build world is empty, so that nothing is shipped.
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("debian-11.baseline"), &scene.text).unwrap();
    let flags = "--sysroot empty --baseline debian-11.baseline";
    run(dir.path(), &format!("check --binary plain {flags}"))
        .exits(1)
        .says(&["error[version-too-new]: `plain` needs GLIBC_2.34, which the `libc.so.6` of debian-11 (x86_64) does not have (it has up to GLIBC_2.30)"]);
    fs::write(dir.path().join("pq"), program(&["libpq.so.5"]).bytes()).unwrap();
    let ran = run(dir.path(), &format!("check --binary pq {flags} --message-format json")).exits(0);
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!((&artifact["runtime"], &artifact["verdict"]), (&"debian-11".into(), &"starts".into()));
    let libraries = artifact["libraries"].as_array().unwrap();
    let ssl = libraries.iter().find(|library| library["soname"] == "libssl.so.1.1").unwrap();
    assert_eq!((&ssl["from"], &ssl["evidence"]), (&"baseline".into(), &"captured".into()));
    assert_eq!(ssl["needed_by"][0], "libpq.so.5");
    run(dir.path(), &format!("explain libssl.so.1.1 --binary pq {flags}")).exits(0);
    // A system library that lacks what it needs itself.
    fs::write(dir.path().join("half"), program(&["libhalf.so.1"]).bytes()).unwrap();
    run(dir.path(), &format!("check --binary half {flags}"))
        .exits(1)
        .says(&["error[missing-library]: `libhalf.so.1` needs `libgone.so.1`"]);
    // Symbols: nothing is presumed of what was read.
    let calls = |symbol: &str| program(&["libsqlite3.so.0"]).imports(symbol, None).bytes();
    fs::write(dir.path().join("calls"), calls("sqlite3_open")).unwrap();
    run(dir.path(), &format!("check --binary calls {flags}"))
        .exits(0)
        .keeps_silent_about(&["undefined-symbol"]);
    fs::write(dir.path().join("calls"), calls("sqlite3_fnord")).unwrap();
    run(dir.path(), &format!("check --binary calls {flags}")).says(&["[undefined-symbol]: `calls` needs the symbol `sqlite3_fnord` of some library, which no library it loads defines"]);
}

#[test]
fn a_capture_is_read_back_as_it_was_and_is_the_same_twice() {
    let Some(scene) = Scene::new(true) else { return };
    let table = Baseline::parse(&scene.text).unwrap();
    assert_eq!(table.captured_text(), scene.text);
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("baseline capture --root {} -o a.baseline --name debian-11", scene.root());
    run(dir.path(), &arguments).exits(0).says(&["Captured ", " objects of "]);
    let written = fs::read_to_string(dir.path().join("a.baseline")).unwrap();
    let day = |text: &str| text.replace(&table.recorded, "DAY");
    let today = Baseline::parse(&written).unwrap().recorded;
    assert_eq!(written.replace(&today, "DAY"), day(&scene.text));
    run(dir.path(), "baseline diff a.baseline a.baseline").exits(0);
    let ran = run(dir.path(), "baseline diff a.baseline provided.al2023").exits(0);
    assert!(
        ran.stdout.contains("\n- libpq.so.5\n") && ran.stdout.contains("glibc\n  - 2.31\n  + 2.34\n"),
        "{ran}"
    );
}

#[test]
fn roots_without_glibc_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    run(dir.path(), "baseline capture --root root")
        .exits(101)
        .says(&["/root` has no loader of glibc: no /lib64/ld-linux-x86-64.so.2"]);
    run(dir.path(), "baseline capture --root nope").exits(101).says(&["/nope` is not a directory\n"]);
    let ran = run(dir.path(), "baseline capture --root nope --message-format json").exits(101);
    assert!(ran.json()["error"]["message"].as_str().unwrap().ends_with("/nope` is not a directory"), "{ran}");
    run(dir.path(), "baseline capture --root root --name").exits(2);
}
