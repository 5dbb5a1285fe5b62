//! The function of `testdata/probe`, built by cargo, and what it has to find.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::kept::{self, kept};
use super::lambda_root::{LambdaRoot, UID};
use super::{dns, function, tools};
use cargo_lambda_bundle::archive::Digest;

/// Builds the function to `to`; `features` are its own, `flags` rustc's for the program alone.
#[track_caller]
pub fn build(target: &str, features: &str, flags: &[&str], to: &Path) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // The next build writes to the same place.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let arguments = [&["--features", features, "--"], flags].concat();
    let words = format!("{target} {}", arguments.join(" "));
    let name = format!("probe-{}", &Digest::of(words.as_bytes()).hex[..8]);
    let sources = kept::sources(&function::project("probe"));
    let place = kept(&name, &[words.as_bytes(), &sources], |place| {
        let built = function::build("probe", target, &arguments);
        tools::copy_program(built.path("compiler-artifact", "executable"), place.join("probe"));
    });
    tools::copy_program(place.join("probe"), to);
}

/// Gives the root users, a name server and the environment that [`check`] expects.
pub fn furnish(root: &mut LambdaRoot) {
    let server = dns::start().expect("port 53 of a loopback address");
    root.write("etc/resolv.conf", &format!("nameserver {server}\n"));
    root.write("etc/nsswitch.conf", "passwd: files\nhosts: files dns\n");
    root.write("etc/passwd", &format!("sandbox:x:{UID}:990::/home/sandbox:/bin/sh\n"));
    root.set_env("RUST_BACKTRACE", "1");
}

/// Gives the root the name that the event asks for in a file: no server answers in a machine of its own.
pub fn furnish_hosts(root: &LambdaRoot) {
    root.write("etc/hosts", &format!("{} {}\n", dns::ADDRESS, dns::NAME));
    // Who is root has another home.
    root.write("etc/passwd", "root:x:0:0::/home/sandbox:/bin/sh\n");
}

/// The event that tries everything.
pub fn event() -> String {
    json!({ "host": dns::NAME }).to_string()
}

/// Checks the answer to [`event`], beside the files in memory: those it returns.
#[track_caller]
pub fn check(answer: &str, libc: &Value) -> Vec<PathBuf> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let row = |name: &str, expected: Value| assert_eq!(answer[name], expected, "{name}: {answer:#}");
    row("backtrace", json!({ "caught": true, "names": ["inner", "outer"] }));
    let child = json!({ "status": 0, "stdout": "a child\n", "stderr": "" });
    row("child", child.clone());
    row("task_child", child);
    row("home", json!("/home/sandbox"));
    row("libc", libc.clone());
    row("lookup", json!([dns::ADDRESS]));
    let bootstrap = "/var/task/bootstrap";
    row("program", json!({ "current_exe": bootstrap, "proc_self_exe": bootstrap, "argv_0": bootstrap }));
    row("threads", json!({ "seen": [1, 2, 3, 4], "dropped": 10 }));
    let mapped = answer["mapped"].as_array().expect("a list of files");
    mapped.iter().map(|file| file.as_str().expect("a path").into()).collect()
}
