//! Really starting archives: many in one namespace, each in an emptied /var/task and /opt.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::scenario::STARTED;
use crate::support::lambda_root::{LambdaRoot, UID};

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// The archive.
    pub zip: PathBuf,
    /// An attached layer's archive.
    pub layer: Option<PathBuf>,
    /// Whether the archive is unpacked to /opt and all of /opt/extensions is started; else it goes to
    /// /var/task, and `bootstrap` is started.
    pub extensions: bool,
    /// Variables beyond Lambda's own, as `NAME=VALUE` separated by spaces.
    pub env: String,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Reality {
    /// Whether each program printed its line and ended with 0.
    pub starts: bool,
    /// Status and output.
    pub text: String,
}

/// Reads jobs as lines, separated by `|`, and starts each.
///
/// Each worker has mounts of its own, so several can use one root.
const WORKER: &str = r#"
root=$1 out=$2 qemu=$3
shift 3
ulimit -c 0
mount -t proc proc "$root/proc" || exit 125
mount --bind /dev/null "$root/dev/null" || exit 125
mount --bind /dev/urandom "$root/dev/urandom" || exit 125
umask 022
while IFS='|' read -r id zip layer extensions env; do
    mount -t tmpfs -o mode=755 task "$root/var/task" || exit 125
    mount -t tmpfs -o mode=755 opt "$root/opt" || exit 125
    place=var/task
    [ -z "$extensions" ] || place=opt
    [ -z "$layer" ] || unzip -qo "$layer" -d "$root/opt" >>"$out/$id.out" 2>&1
    unzip -qo "$zip" -d "$root/$place" >>"$out/$id.out" 2>&1
    programs=/var/task/bootstrap
    [ -z "$extensions" ] || programs=$(cd "$root" && ls -d opt/extensions/* | sed 's,^,/,')
    for program in $programs; do
        timeout -k 1 20 env -i "$@" $env unshare --root "$root" --wd /var/task --setgid 990 --setuid UID -- \
            $qemu "$program" </dev/null >>"$out/$id.out" 2>&1
        echo "status $?" >>"$out/$id.out"
    done
    umount -l "$root/var/task" "$root/opt" || exit 125
done
"#;

/// Starts all jobs in `root`, and says for each what happened.
pub fn start_all(root: &LambdaRoot, jobs: &[Job], workers: usize) -> BTreeMap<Job, Reality> {
    let out = tempfile::tempdir().expect("a temporary directory");
    let indices: Vec<usize> = (0..jobs.len()).collect();
    std::thread::scope(|scope| {
        for part in indices.chunks(jobs.len().div_ceil(workers).max(1)) {
            let lines: String = part.iter().map(|index| line(*index, &jobs[*index])).collect();
            scope.spawn(|| run_worker(root, out.path(), lines));
        }
    });
    let reality = |index: usize| {
        let text = fs::read(out.path().join(format!("{index}.out"))).expect("what the job wrote");
        let text = String::from_utf8_lossy(&text).into_owned();
        let ended = text.lines().filter(|line| line.starts_with("status ")).count();
        let well = text.lines().filter(|line| *line == "status 0").count();
        let said = text.lines().filter(|line| *line == STARTED).count();
        Reality { starts: ended > 0 && well == ended && said >= ended, text }
    };
    jobs.iter().enumerate().map(|(index, job)| (job.clone(), reality(index))).collect()
}

fn line(index: usize, job: &Job) -> String {
    let layer = job.layer.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let extensions = if job.extensions { "yes" } else { "" };
    format!("{index}|{}|{layer}|{extensions}|{}\n", job.zip.display(), job.env)
}

fn run_worker(root: &LambdaRoot, out: &Path, lines: String) {
    // A killed test takes its `unshare` along, and that one the whole process namespace.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
        .arg(WORKER.replace("UID", UID))
        .arg("worker")
        .arg(root.path(""))
        .arg(out)
        .arg(root.emulator().map(|name| format!("/{name}")).unwrap_or_default())
        .args(root.environment().iter().map(|(name, value)| format!("{name}={value}")))
        .arg("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("setpriv starts");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("the worker reads");
    let status = child.wait().expect("the end of the worker");
    assert!(status.success(), "the worker ended with {status}");
}
