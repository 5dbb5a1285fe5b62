//! What a test needs from the machine, and what happens when it is not there.
//!
//! No test passes silently because a tool is missing: on a developer's machine the test says what it
//! skipped and what to install, and in CI (`CI=true`) it fails. What a run skipped is totalled at its end, by
//! `tests/total.rs`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::total;

/// Whether `tool` is on the path; `package` is the Debian package that has it.
#[track_caller]
pub fn require(tool: &str, package: &str) -> bool {
    which::which(tool).is_ok() || skip(&format!("{tool} (apt: {package})"))
}

/// Whether rustc can build for `target`.
#[track_caller]
pub fn require_target(target: &str) -> bool {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    // rustc names the directory also when the target is not installed.
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let libdir = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    libdir.is_ok_and(|libdir| !libdir.is_empty() && Path::new(&libdir).exists())
        || skip(&format!("the target {target} (rustup target add {target})"))
}

/// Whether this machine's glibc is older than 2.`minor`.
#[track_caller]
pub fn require_glibc_before(minor: u32) -> bool {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let found = version.ok().and_then(|version| version.strip_prefix("glibc 2.")?.parse::<u32>().ok());
    found.is_some_and(|found| found < minor) || skip(&format!("a glibc older than 2.{minor}"))
}

/// Whether this process may make mount and process namespaces, mount in them and change its root.
#[track_caller]
pub fn require_namespaces() -> bool {
    let script = "mount -t proc proc /proc && chroot / true";
    let made =
        require("unshare", "util-linux") && require("setpriv", "util-linux") && require("mount", "mount");
    made && (Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
        || skip("to be root, with leave to mount and to chroot"))
}

/// Says that this test was skipped for want of `need` and returns `false`; panics in CI.
#[track_caller]
pub fn skip(need: &str) -> bool {
    let test = test();
    assert!(!is_ci(), "{test} needs {need}, and in CI no test is skipped");
    // Not `eprintln!`: the test harness keeps to itself what a passing test prints.
    writeln!(std::io::stderr(), "skipped: {test} needs {need}").expect("stderr can be written");
    record(&["skipped", &test, need]);
    false
}

/// Whether a long test takes a part of its cases: except in CI, where it takes all.
#[track_caller]
pub fn takes_a_part(of: &str) -> bool {
    if !is_ci() {
        record(&["shortened", &test(), of]);
    }
    !is_ci()
}

/// Whether nothing may be skipped or shortened.
pub fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// The test that asks. The test harness names each test's thread after the test.
#[track_caller]
fn test() -> String {
    let thread = std::thread::current();
    // Threads that a test itself starts have no name.
    thread.name().expect("what a test needs is asked for on the test's own thread").to_owned()
}

/// Adds a line to the record of what this run skipped.
fn record(fields: &[&str]) {
    let Some(file) = total::record() else { return };
    fs::create_dir_all(file.parent().expect("a directory below target")).expect("a directory below target");
    let line = format!("{}\n", fields.join("\t").replace('\n', " "));
    // One write: other tests write to it, too.
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    opened.and_then(|mut file| file.write_all(line.as_bytes())).expect("a file below target");
}

/// Starts a program that this process may have written a moment ago, and again while it is busy.
///
/// A process that another test started in that moment has the file open for writing until it executes its own.
pub fn unless_busy<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..100 {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    start()
}

/// Runs a command that itself starts such a program, as `chroot` does, and again while that is busy.
pub fn output_unless_busy(command: &mut Command) -> io::Result<Output> {
    unless_busy(|| {
        let output = command.output()?;
        match String::from_utf8_lossy(&output.stderr).contains("Text file busy") {
            true => Err(io::ErrorKind::ExecutableFileBusy.into()),
            false => Ok(output),
        }
    })
}

/// Copies a program, or an interpreter, that will be executed.
///
/// By another process: while this one has a file open for writing, a child that another test starts may
/// inherit it, and executing the copy then fails with "text file busy".
#[track_caller]
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let (from, to) = (from.as_ref(), to.as_ref());
    let status = Command::new("cp").arg("-L").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {} {}", from.display(), to.display());
}
