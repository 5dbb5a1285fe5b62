//! A root directory like the one that a function sees on Lambda, and a start in it.
//!
//! The libraries are this host's own copies, or those of another system: it shows whether the loader *finds*
//! them where Lambda has them; that they are as new as Lambda's is for the version tables to say. The function
//! runs under `chroot`, as a user without rights, with Lambda's environment, in namespaces of its own: the
//! mounts go when it ends, and it ends when the test does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use cargo_lambda_bundle::baseline;
use cargo_lambda_bundle::elf::Arch;

use super::runtime_api::{Report, RuntimeApi};
use super::{older_glibc, tools};

/// Long enough for a start under qemu on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The user that a function is.
pub const UID: &str = "993";

/// `LD_LIBRARY_PATH` of the `provided.*` runtimes.
pub const LIBRARY_PATH: &str =
    "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";

/// How a start went.
#[derive(Debug)]
pub enum Outcome {
    /// The function's answer to the event.
    Answer(String),
    /// The client in the function sent this instead.
    Refused(Report),
    /// The program ended without an answer, as when ld.so cannot load it.
    Ended { status: ExitStatus, stderr: String },
    /// Neither happened within the time limit.
    TimedOut { stderr: String },
}

/// A root directory for one architecture. It is deleted when dropped.
pub struct LambdaRoot {
    dir: tempfile::TempDir,
    arch: Arch,
    env: BTreeMap<String, String>,
    absent: Vec<String>,
}

impl LambdaRoot {
    /// Makes the root, with this host's copy of each of `sonames` in `/usr/lib64`, and glibc's loader.
    ///
    /// What the host lacks is left out, see [`LambdaRoot::absent`].
    pub fn new(arch: Arch, sonames: &[impl AsRef<str>]) -> LambdaRoot {
        LambdaRoot::of_system(Path::new("/"), arch, sonames)
    }

    /// The same with the copies of another system, whose root directory is `system`.
    pub fn of_system(system: &Path, arch: Arch, sonames: &[impl AsRef<str>]) -> LambdaRoot {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut root = LambdaRoot { dir, arch, env: environment(), absent: Vec::new() };
        for name in ["usr/lib", "usr/lib64", "var/task", "var/runtime", "opt", "tmp", "dev", "etc", "proc"] {
            fs::create_dir_all(root.path(name)).expect("a directory in the root");
        }
        symlink("usr/lib", root.path("lib")).expect("a link in the root");
        symlink("usr/lib64", root.path("lib64")).expect("a link in the root");
        // Amazon's ld.so ends its search in /lib64 and /usr/lib64, Debian's in this directory.
        symlink("../lib64", root.path(&format!("usr/lib/{}-linux-gnu", gnu_arch(arch))))
            .expect("a link in the root");
        // Mounts need a file to lie on.
        for name in ["dev/null", "dev/urandom"] {
            fs::write(root.path(name), "").expect("a file in the root");
        }
        let loader = loader(arch);
        for soname in std::iter::once(loader).chain(sonames.iter().map(AsRef::as_ref)) {
            match library(system, arch, soname) {
                Some(file) => {
                    tools::copy_program(file, root.path("usr/lib64").join(soname));
                }
                None => root.absent.push(soname.to_owned()),
            }
        }
        if arch == Arch::Arm64 {
            symlink(format!("../lib64/{loader}"), root.path("usr/lib").join(loader))
                .expect("a link in the root");
        }
        if let Some(qemu) = qemu(arch) {
            let file = which::which(&qemu).unwrap_or_else(|error| panic!("{qemu}: {error}"));
            tools::copy_program(file, root.path(&qemu));
        }
        // Whatever the umask and the host's modes are, the function's user can read it.
        succeed(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(root.path("")));
        fs::set_permissions(root.path("tmp"), fs::Permissions::from_mode(0o1777)).expect("the mode of /tmp");
        root
    }

    /// Takes from the root's glibc all that is newer than Lambda's: ld.so refuses what needs it. libgcc_s and
    /// libstdc++ of this host need it, and are replaced by those of an older system.
    pub fn with_glibc_of_al2023(self, older: &Path) -> LambdaRoot {
        for name in ["libc.so.6", "libm.so.6"] {
            let file = self.path("usr/lib64").join(name);
            let mut bytes = fs::read(&file).expect("a library of the root");
            older_glibc::take_nodes_after(&mut bytes, "GLIBC_2.34");
            fs::write(&file, bytes).expect("a file in the root");
        }
        for name in ["libgcc_s.so.1", "libstdc++.so.6"] {
            let file = library(older, self.arch, name).unwrap_or_else(|| panic!("no {name}"));
            tools::copy_program(file, self.path("usr/lib64").join(name));
        }
        self
    }

    /// The SONAMEs that were asked for and that the system does not have.
    pub fn absent(&self) -> &[String] {
        &self.absent
    }

    /// A path of the root, given without its leading slash, as this host sees it.
    pub fn path(&self, inside: &str) -> PathBuf {
        // Not the temporary directory itself: that one only its owner may enter.
        self.dir.path().join("root").join(inside)
    }

    /// Unpacks a function ZIP, as Lambda does, to `/var/task`.
    pub fn unpack_function(&self, zip: &Path) {
        self.unpack(zip, "var/task");
    }

    /// Unpacks a layer ZIP to `/opt`, over what an earlier layer left there.
    pub fn unpack_layer(&self, zip: &Path) {
        self.unpack(zip, "opt");
    }

    fn unpack(&self, zip: &Path, to: &str) {
        // The real unzip, so that the modes are those of the archive.
        let script = "umask 022; exec unzip -q -o \"$0\" -d \"$1\"";
        succeed(Command::new("sh").args(["-c", script]).arg(zip).arg(self.path(to)));
    }

    /// Sets a variable of the function's environment.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// The function's environment, without the address of the Runtime API.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Writes a file that the function can read; `inside` is its path, given without its leading slash.
    pub fn write(&self, inside: &str, text: &str) {
        let file = self.path(inside);
        fs::write(&file, text).expect("a file in the root");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("the mode of the file");
    }

    /// Starts `/var/task/bootstrap`, sends `event`, a JSON text, and ends it after its answer.
    pub fn invoke(&self, event: &str) -> Outcome {
        let api = RuntimeApi::start(event).expect("a server on 127.0.0.1");
        let stderr_file = self.dir.path().join("stderr");
        let stderr = || fs::read(&stderr_file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let mut child = self.command("/var/task/bootstrap", &api.address());
        let mut child = child
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&stderr_file).expect("a file for stderr"))
            .spawn()
            .expect("setpriv starts");
        let deadline = Instant::now() + TIME_LIMIT;
        let outcome = loop {
            let ended = child.try_wait().expect("the state of the child");
            // After the look at the child: what it sent before it ended is here by now.
            match api.next_report(Duration::from_millis(50)) {
                Some(Report::Response(answer)) => break Outcome::Answer(answer),
                Some(other) => break Outcome::Refused(other),
                None => {}
            }
            if let Some(status) = ended {
                break Outcome::Ended { status, stderr: stderr().expect("what the program wrote") };
            }
            if Instant::now() > deadline {
                break Outcome::TimedOut { stderr: stderr().expect("what the program wrote") };
            }
        };
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("the end of the child");
        outcome
    }

    /// Starts another program than the function, an extension for one, and waits for its end; there is no
    /// Runtime API behind its address.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(program, "127.0.0.1:9");
        tools::output_unless_busy(command.args(arguments).stdin(Stdio::null())).expect("setpriv starts")
    }

    /// The file name of the emulator, which lies at the top of the root, unless none is needed.
    pub fn emulator(&self) -> Option<String> {
        qemu(self.arch)
    }

    /// A command that runs `program`, a path in the root, where Lambda would.
    fn command(&self, program: &str, runtime_api: &str) -> Command {
        // `exit` keeps the shell as process 1 of the namespace: for process 1 signals mean something else.
        let script = "
            root=$0
            mount -t proc proc \"$root/proc\" || exit 125
            mount --bind /dev/null \"$root/dev/null\" || exit 125
            mount --bind /dev/urandom \"$root/dev/urandom\" || exit 125
            \"$@\"
            exit $?
        ";
        let unshare = which::which("unshare").expect("unshare");
        // A killed test takes its `unshare` along, and that one the whole process namespace.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&unshare);
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]).arg(self.path(""));
        command.args(["env", "-i"]).args(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(format!("AWS_LAMBDA_RUNTIME_API={runtime_api}"));
        // This `unshare` makes no namespace: it is a `chroot` that also sets the working directory.
        command.arg(&unshare).arg("--root").arg(self.path("")).args(["--wd", "/var/task"]);
        // Lambda's user, so that a file that only its owner can read is found out.
        command.args(["--setgid", "990", "--setuid", UID, "--"]);
        command.args(qemu(self.arch).map(|qemu| format!("/{qemu}"))).arg(program);
        command
    }
}

/// What every image of `provided.al2023` has.
pub fn provided_al2023(arch: Arch) -> Vec<String> {
    let baseline = baseline::embedded("provided.al2023", arch).expect("the runtime has both architectures");
    let present = baseline.objects().iter().filter(|object| object.certain);
    present.map(|object| object.soname.clone()).collect()
}

/// Whether this machine can run a [`LambdaRoot`] for `arch`; if not, it is said why.
#[track_caller]
pub fn require(arch: Arch) -> bool {
    tools::require("unzip", "unzip")
        && tools::require_namespaces()
        && qemu(arch).is_none_or(|qemu| tools::require(&qemu, "qemu-user-static"))
        && (library(Path::new("/"), arch, loader(arch)).is_some()
            || tools::skip(&format!("{} (apt: libc6-{}-cross)", loader(arch), debian_arch(arch))))
}

/// The word of GNU and Rust for `arch`.
fn gnu_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64",
        Arch::Arm64 => "aarch64",
    }
}

/// Debian's word for `arch`.
fn debian_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Arm64 => "arm64",
    }
}

/// The SONAME of glibc's loader.
fn loader(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "ld-linux-x86-64.so.2",
        Arch::Arm64 => "ld-linux-aarch64.so.1",
    }
}

/// The emulator for `arch`, unless this machine is of that kind.
fn qemu(arch: Arch) -> Option<String> {
    let name = gnu_arch(arch);
    (name != std::env::consts::ARCH).then(|| format!("qemu-{name}-static"))
}

/// A system's copy of a library: its own, or that of the cross toolchain.
fn library(system: &Path, arch: Arch, soname: &str) -> Option<PathBuf> {
    let triple = format!("{}-linux-gnu", gnu_arch(arch));
    let mut dirs = vec![format!("lib/{triple}"), format!("usr/lib/{triple}"), format!("usr/{triple}/lib")];
    if qemu(arch).is_none() {
        dirs.extend(["lib64".to_owned(), "usr/lib64".to_owned()]);
    }
    dirs.iter().map(|dir| system.join(dir).join(soname)).find(|file| file.is_file())
}

/// The environment of a function of a `provided.*` runtime.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
fn environment() -> BTreeMap<String, String> {
    [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_NAME", "test"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2023/01/01/[$LATEST]0"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_SESSION_TOKEN", "test"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LANG", "en_US.UTF-8"),
        ("LD_LIBRARY_PATH", LIBRARY_PATH),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[track_caller]
fn succeed(command: &mut Command) {
    let program: &OsStr = command.get_program();
    let program = program.to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
