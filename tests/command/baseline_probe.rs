//! The script of `baseline probe`, run as a function inside a root: what is captured from its answer is what is
//! captured from that root.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::elf::Object;
use crate::support::lambda_root::{self, LIBRARY_PATH, LambdaRoot, Outcome, provided_al2023};
use crate::support::tools;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cargo_lambda_bundle::baseline::Baseline;
use cargo_lambda_bundle::elf::Arch;

/// All that the script may call: coreutils, and bash.
const PROGRAMS: [&str; 12] =
    ["bash", "base64", "date", "head", "od", "readlink", "rm", "sort", "stat", "tail", "tr", "uname"];

/// A root like Lambda's, with the script as its function and oddities among its libraries.
fn root(dir: &Path) -> LambdaRoot {
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    fs::create_dir_all(root.path("usr/bin")).unwrap();
    symlink("usr/bin", root.path("bin")).unwrap();
    for program in PROGRAMS {
        tools::copy_program(which::which(program).unwrap(), root.path("usr/bin").join(program));
    }
    let put = |path: &str, bytes: &[u8]| {
        fs::create_dir_all(root.path(path).parent().unwrap()).unwrap();
        fs::write(root.path(path), bytes).unwrap();
    };
    let library = |soname: &str| Object::library(soname).with_sections();
    put(
        "usr/lib64/libouter.so.1",
        &library("libouter.so.1").runpath("$ORIGIN/inner:/srv/$LIB").needs("libinner.so.1").bytes(),
    );
    put("usr/lib64/inner/libinner.so.1", &library("libinner.so.1").verdef(&["INNER_1", "INNER_2"]).bytes());
    put(
        "srv/lib/x86_64-linux-gnu/libserved.so.1",
        &library("libserved.so.1").verneed("libc.so.6", &["GLIBC_2.4"]).bytes(),
    );
    put("usr/lib64/glibc-hwcaps/x86-64-v3/libfast.so.1", &library("libfast.so.1").bytes());
    put("srv/deep/libcached.so.1", &library("libcached.so.1").verdef(&["CACHED_1"]).bytes());
    put("srv/named/libnamed.so.1", &library("libnamed.so.1").bytes());
    put(
        "usr/lib64/libtext.so.1",
        b"INPUT(libc.so.6) and more than a header would have, so that it is read\n",
    );
    put("usr/lib64/libshort.so.1", b"short");
    put("usr/lib64/libold.so.1", &Object::library("libold.so.1").class32().bytes());
    put("usr/lib64/libprogram.so", &Object::program().bytes());
    put("usr/lib64/lib with blanks.so.1", &library("libblank.so.1").bytes());
    put("opt/lib/liblayer.so.1", &library("liblayer.so.1").bytes());
    fs::create_dir(root.path("usr/lib64/libdirectory.so.d")).unwrap();
    symlink("nowhere.so", root.path("usr/lib64/libdangling.so")).unwrap();
    symlink("../../srv/deep/libcached.so.1", root.path("usr/lib64/libalias.so.1")).unwrap();
    assert!(Command::new("mkfifo").arg(root.path("usr/lib64/libpipe.so")).status().unwrap().success());
    put("etc/ld.so.conf", b"/srv/deep\n");
    put("etc/os-release", b"NAME=\"Amazon Linux\"\nPRETTY_NAME=\"Amazon Linux 2023 of a test\"\n");
    assert!(Command::new("ldconfig").arg("-r").arg(root.path("")).status().unwrap().success());
    let script = run(dir, "baseline probe").exits(0).stdout;
    put("var/task/bootstrap", script.as_bytes());
    fs::set_permissions(root.path("var/task/bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    root
}

#[test]
fn a_probe_captures_what_a_capture_of_its_root_does() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("ldconfig", "libc-bin") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut root = root(dir.path());
    let library_path = format!("/srv/named:{LIBRARY_PATH}");
    root.set_env("LD_LIBRARY_PATH", &library_path);
    root.set_env("AWS_SESSION_TOKEN", "a-secret-that-nobody-must-see");
    let version = "arn:aws:lambda:eu-central-1::runtime:0f5e8fa6a7dbcd0d4ab1b1c3b7a6c2ea";
    let event = format!("{{\"RuntimeVersionArn\": \"{version}\"}}");
    let answer = match root.invoke(&event) {
        Outcome::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    };
    assert!(!answer.contains("a-secret-that-nobody-must-see"));
    // Lambda's limit for a response.
    assert!(answer.len() < 6 << 20, "{} bytes", answer.len());
    fs::write(dir.path().join("probe.txt"), &answer).unwrap();
    run(dir.path(), "baseline capture --from-probe probe.txt --name here -o probed").exits(0).says(&[
        "Captured ",
        " objects of ",
        "/probe.txt as here (x86_64, glibc 2.",
    ]);
    run(dir.path(), &format!("baseline capture --root {} --name here -o captured", root.path("").display()))
        .exits(0);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let (probed, captured) = (read("probed"), read("captured"));
    let version = format!("# Runtime version: {version}\n");
    for line in ["# System: Amazon Linux 2023 of a test\n", "# Kernel: ", "# LANG=en_US.UTF-8\n", &version] {
        assert!(probed.contains(line), "{}", &probed[..1000]);
    }
    // The value that was found, where a capture of a root has Lambda's own; and the directory that it names.
    assert_eq!(Baseline::parse(&probed).unwrap().library_paths, [library_path]);
    let named = "\nelf /srv/named/libnamed.so.1\n  soname libnamed.so.1\n";
    let without = probed.replace(named, "");
    let facts = |text: &str| -> Vec<String> {
        // A probe sends no relocations, so that it is not known what the libraries refer to.
        let is_left_out = |line: &str| {
            ["#", "library-path ", "  refers ", "  calls "].iter().any(|key| line.starts_with(key))
        };
        let of_root = |line: &&str| !is_left_out(line);
        text.lines().filter(of_root).map(str::to_owned).collect()
    };
    assert_ne!(without, probed, "{}", &probed[probed.find("libnamed").unwrap_or(0)..][..200]);
    let (ours, theirs) = (facts(&without), facts(&captured));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    // The oddities are there.
    for line in [
        "elf /usr/lib64/inner/libinner.so.1",
        "elf /srv/lib/x86_64-linux-gnu/libserved.so.1",
        "elf /usr/lib64/glibc-hwcaps/x86-64-v3/libfast.so.1",
        "cache libcached.so.1 /srv/deep/libcached.so.1",
        "elf /usr/lib64/lib\\x20with\\x20blanks.so.1",
        "link /usr/lib64/libalias.so.1 ../../srv/deep/libcached.so.1",
        "refused /usr/lib64/libpipe.so invalid ELF header: it is not a regular file",
        "refused /usr/lib64/libshort.so.1 file too short",
    ] {
        assert!(ours.iter().any(|known| known.contains(line)), "no {line}");
    }
    assert!(!ours.iter().any(|line| line.contains("liblayer")));

    // Cut off anywhere it is refused.
    for end in (0..answer.len()).step_by(answer.len() / 20) {
        fs::write(dir.path().join("cut"), &answer[..end]).unwrap();
        run(dir.path(), "baseline capture --from-probe cut")
            .exits(101)
            .says(&["cut` is not the output of the probe script", "line "]);
    }
}

/// A list with one library beside the loader and libc.
fn small() -> String {
    let file = |path: &str, object: Object| {
        let bytes = object.bytes();
        format!("file {} {path}\npart 0 {}\n", bytes.len(), STANDARD.encode(bytes))
    };
    [
        "cargo-lambda-bundle-probe 1\nrecorded 2026-11-24\ndefault-dir /lib64\nglibc 2.34\nlink /lib64\tusr/lib64\n",
        &file("/usr/lib64/ld-linux-x86-64.so.2", Object::library("ld-linux-x86-64.so.2")),
        &file("/usr/lib64/libc.so.6", Object::library("libc.so.6").verdef(&["GLIBC_2.34"])),
        &file("/usr/lib64/libz.so.1", Object::library("libz.so.1").verdef(&["ZLIB_1.2.0"])),
        "directory /usr/lib64\nend\n",
    ]
    .concat()
}

#[test]
fn what_is_no_list_of_a_probe_is_refused_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    #[track_caller]
    fn check(dir: &Path, text: &str, expected: &str) {
        fs::write(dir.join("list"), text).unwrap();
        let ran = run(dir, "baseline capture --from-probe list").exits(101);
        ran.says(&[
            "list` is not the output of the probe script",
            expected,
            "help: name a file with the whole output of the script",
        ]);
    }
    let good = small();
    fs::write(dir.path().join("list"), &good).unwrap();
    let ran = run(dir.path(), "baseline capture --from-probe list").exits(0);
    assert!(
        ran.stdout.contains("recorded 2026-11-24\n") && ran.stdout.contains("defines 2 ZLIB_1.2.0"),
        "{ran}"
    );

    let changed = |from: &str, to: &str| good.replacen(from, to, 1);
    let check = |text: &str, expected: &str| check(dir.path(), text, expected);
    check("", "line 1: expected `cargo-lambda-bundle-probe 1`");
    check(
        "{\"errorMessage\": \"Task timed out after 3.00 seconds\"}",
        "line 1: expected `cargo-lambda-bundle-probe 1`",
    );
    check(&changed("probe 1", "probe 2"), "line 1: expected `cargo-lambda-bundle-probe 1`");
    check(&changed("end\n", ""), "line 12: the text stops here, without the line `end`");
    check(&format!("{good}\nmore"), "line 14: there is a line after `end`");
    check(&changed("recorded 2026-11-24\n", ""), "line 12: the text has no `recorded` line");
    check(&changed("glibc 2.34\n", ""), "the text has no `glibc` line");
    check(&changed("default-dir /lib64\n", ""), "the text has no `default-dir` line");
    check(&changed("2.34", "two"), "line 4: `glibc` is a release like 2.34, not `two`");
    check(&changed("\tusr/lib64", ""), "line 5: expected `link PATH`, a tab and the target");
    check(&changed("glibc 2.34", "canary libc.so.6 yes"), "line 4: expected `canary SONAME NODE yes`");
    let no_names = "line 4: expected `canary SONAME NODE yes`";
    check(&changed("glibc 2.34", "canary libc.so.6 KEY=x-secret yes"), no_names);
    check(&changed("glibc 2.34", "canary https://x-secret@host GLIBC_2.35 yes"), no_names);
    check(&changed("recorded 2026-11-24", "recorded 2026-11-31"), "line 2: `recorded` is a date like");
    check(
        &changed("glibc 2.34", "runtime-version $(id)"),
        "line 4: `runtime-version` is a version or an ARN",
    );
    check(&changed("part 0", "part x"), "line 7: expected `part START BYTES`");
    check(&changed("part 0", "part 1"), "line 7: the part ends after the file's");
    check(&changed("part 0", "part 18446744073709551615"), "line 7: the part ends after the file's");
    check(&changed("part 0 f", "part 0 ?"), "line 7: the bytes of `part` are not Base64");
    check(&changed("link", "part 0 AAAA\nlink"), "line 5: a `part` without a `file` before it");
    check(
        &changed("directory", "file 1 /usr/lib64/libz.so.1\ndirectory"),
        "line 12: a second line for that path",
    );
    check(
        &changed("/usr/lib64/libz", "/usr/../libz"),
        "line 10: the path of `file` is not absolute and plain",
    );
    check(&changed("/usr/lib64/libz", "usr/libz"), "line 10: the path of `file` is not absolute and plain");
    check(
        &changed("directory /usr/lib64", "special /usr/lib64"),
        "`/usr/lib64` is both a file and a directory",
    );
    // A hole where the loader would read.
    let hole = good.lines().map(|line| match line.strip_prefix("part 0 ") {
        Some(bytes) => format!("part 0 {}\n", &bytes[..400]),
        None => format!("{line}\n"),
    });
    check(
        &hole.collect::<String>(),
        "line 6: a part of `/usr/lib64/ld-linux-x86-64.so.2` that a loader reads is missing",
    );
    // What is no part of a probe does not get into the baseline.
    let more = "variable AWS_SECRET_ACCESS_KEY x-secret\nfnord x-secret\nruntime-version provided:al2023.v109\n\
                canary libc.so.6 GLIBC_2.35 no\ndirectory";
    fs::write(dir.path().join("list"), changed("directory", more)).unwrap();
    let ran = run(dir.path(), "baseline capture --from-probe list").exits(0);
    let ran = ran.says(&["    Ignoring 2 lines of ", "list that are not part of a probe\n"]);
    assert!(!ran.stdout.contains("secret"), "{ran}");
    for line in ["# Runtime version: provided:al2023.v109\n", "# Starts with GLIBC_2.35 of libc.so.6: no\n"] {
        assert!(ran.stdout.contains(line), "{ran}");
    }
    fs::write(dir.path().join("list"), changed("directory", "fnord x-secret\ndirectory")).unwrap();
    let ran = run(dir.path(), "baseline capture --from-probe list").exits(0);
    ran.says(&["    Ignoring 1 line of ", "list that is not part of a probe\n"]);
    // What is a list, but of nothing that could start a program.
    fs::write(dir.path().join("list"), changed("/ld-linux", "/ld-other")).unwrap();
    run(dir.path(), "baseline capture --from-probe list").exits(101).says(&["list` has no loader of glibc"]);
    run(dir.path(), "baseline capture --from-probe list --root /").exits(2);
    run(dir.path(), "baseline capture").exits(2);
}
