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
    /// Unpacked to `/var/task`.
    pub zip: &'a Path,
    /// The arguments, in words of a shell.
    pub arguments: &'a str,
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
pub fn require(test: &str) -> bool {
    tools::require(test, "qemu-system-x86_64", "qemu-system-x86")
        && tools::require(test, "cpio", "cpio")
        && tools::require(test, "busybox", "busybox-static")
        && tools::require(test, "unzip", "unzip")
}

/// Boots once, starts each of `starts` in `root`, with its environment, one after the other, and tells how they ended.
///
/// `None`, after a word on stderr, if the kernel cannot be had; in CI that is a failure.
#[track_caller]
pub fn boot(test: &str, root: &LambdaRoot, starts: &[Start]) -> Option<Vec<Ended>> {
    let kernel = kernel(&DEBIAN_11.unpacked(test)?);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("bin")).unwrap();
    tools::copy_program(which::which("busybox").expect("required before"), tree.join("bin/busybox"));
    symlink("busybox", tree.join("bin/sh")).unwrap();
    succeed(Command::new("cp").arg("-a").arg(root.path("")).arg(tree.join("root")));
    for (number, start) in starts.iter().enumerate() {
        let task = tree.join(format!("tasks/{number}"));
        fs::create_dir_all(&task).unwrap();
        succeed(Command::new("unzip").args(["-q", "-d"]).arg(&task).arg(start.zip));
    }
    let init = tree.join("init");
    fs::write(&init, script(root, starts)).unwrap();
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

/// What the machine's first process does.
fn script(root: &LambdaRoot, starts: &[Start]) -> String {
    let mut script = "#!/bin/sh
busybox=/bin/busybox
$busybox mount -t devtmpfs none /root/dev
$busybox mount -t proc none /root/proc
$busybox ifconfig lo 127.0.0.1 up
echo
echo \"@release $($busybox uname -r)\"
"
    .to_owned();
    let variables: Vec<String> =
        root.environment().iter().map(|(name, value)| format!("'{name}={value}'")).collect();
    let variables = variables.join(" ");
    for (number, Start { arguments, .. }) in starts.iter().enumerate() {
        script += &format!(
            "$busybox mount -o bind /tasks/{number} /root/var/task
echo '@start {number}'
cd /
$busybox env -i {variables} $busybox chroot /root /var/task/bootstrap {arguments} >/output 2>&1
status=$?
$busybox cat /output
echo
echo \"@status $status\"
$busybox umount /root/var/task
"
        );
    }
    script + "$busybox poweroff -f\n"
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
