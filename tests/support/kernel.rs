//! A virtual machine with the kernel of Lambda's machines, 5.10, for programs in a root directory like Lambda's.
//!
//! The machine is emulated, so it needs no rights and no hardware, and has no network but loopback. Everything it
//! runs is in its initramfs; a boot takes some seconds, so tests give it all their programs at once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::debian::DEBIAN_11;
use super::lambda_root::LambdaRoot;
use super::tools;

/// Seconds; about ten times what a boot takes with both processors busy.
const TIME_LIMIT: &str = "300";

/// A function's ZIP and how its `bootstrap` is started.
pub struct Start<'a> {
    /// The system's files, and the environment.
    pub root: &'a LambdaRoot,
    /// Unpacked to `/var/task`.
    pub zip: &'a Path,
    /// Its argument.
    pub argument: &'a str,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit status as a shell has it: with a signal, 128 more than its number.
    pub status: i32,
    /// What it wrote to stdout and stderr.
    pub output: String,
}

/// Whether this machine has what [`boot`] needs.
#[track_caller]
pub fn require() -> bool {
    tools::require("qemu-system-x86_64", "qemu-system-x86")
        && tools::require("cpio", "cpio")
        && tools::require("busybox", "busybox-static")
        && tools::require("unzip", "unzip")
}

/// Boots once, starts each of `starts` one after the other, and tells how they ended.
///
/// `None`, after a word on stderr, if the kernel cannot be had; in CI that is a failure.
#[track_caller]
pub fn boot(starts: &[Start]) -> Option<Vec<Ended>> {
    let kernel = kernel(&DEBIAN_11.unpacked()?);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("bin")).unwrap();
    tools::copy_program(which::which("busybox").expect("required before"), tree.join("bin/busybox"));
    symlink("busybox", tree.join("bin/sh")).unwrap();
    let mut script = SCRIPT.to_owned();
    for (number, start) in starts.iter().enumerate() {
        let task = tree.join(format!("tasks/{number}"));
        fs::create_dir_all(&task).unwrap();
        succeed(Command::new("unzip").args(["-q", "-d"]).arg(&task).arg(start.zip));
        // Where it is on this machine, so that starts in one root share it.
        let root = start.root.path("");
        let copy = tree.join(root.strip_prefix("/").expect("an absolute path"));
        if !copy.exists() {
            fs::create_dir_all(&copy).unwrap();
            succeed(Command::new("cp").arg("-a").arg(root.join(".")).arg(&copy));
        }
        let variables = start.root.environment().iter().map(|(name, value)| format!(" '{name}={value}'"));
        let (variables, argument) = (variables.collect::<String>(), start.argument);
        script += &format!("start {number} '{}' '{argument}'{variables}\n", root.display());
    }
    let init = tree.join("init");
    fs::write(&init, script + "$busybox poweroff -f\n").unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
    let image = dir.path().join("initramfs");
    let pack = "cd \"$0\" && find . | cpio --quiet -o -H newc >\"$1\"";
    succeed(Command::new("sh").args(["-c", pack]).arg(&tree).arg(&image));

    let output = Command::new("timeout")
        .args([
            "--kill-after=1",
            TIME_LIMIT,
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "2048",
        ])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 quiet loglevel=1 panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .output()
        .expect("timeout runs");
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let said = || format!("{}\n{console}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(console.contains("\n@release 5.10."), "not that kernel: {}", said());
    let ended = |number| {
        let (_, rest) = console.split_once(&format!("@start {number}\n"))?;
        let (output, rest) = rest.split_once("\n@status ")?;
        let status = rest.lines().next()?.parse().ok()?;
        Some(Ended { status, output: output.to_owned() })
    };
    Some((0..starts.len()).map(|n| ended(n).unwrap_or_else(|| panic!("no end of {n}: {}", said()))).collect())
}

fn kernel(root: &Path) -> PathBuf {
    let files = fs::read_dir(root.join("boot")).expect("the package has a kernel").flatten();
    let mut kernels =
        files.map(|file| file.path()).filter(|file| file.display().to_string().contains("/vmlinuz-5.10."));
    kernels.next().expect("a kernel 5.10")
}

/// What the machine's first process does, before the calls of `start` with a number, a root, an argument and
/// the environment.
const SCRIPT: &str = r#"#!/bin/sh
busybox=/bin/busybox
start() {
    number=$1 root=$2 argument=$3
    shift 3
    $busybox mount -t devtmpfs none "$root/dev"
    $busybox mount -t proc none "$root/proc"
    $busybox mount -o bind "/tasks/$number" "$root/var/task"
    echo "@start $number"
    $busybox env -i "$@" $busybox chroot "$root" /var/task/bootstrap "$argument" >/output 2>&1
    status=$?
    $busybox cat /output
    echo
    echo "@status $status"
    $busybox umount "$root/var/task" "$root/proc" "$root/dev"
}
$busybox ifconfig lo 127.0.0.1 up
echo
echo "@release $($busybox uname -r)"
"#;

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
