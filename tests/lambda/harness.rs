//! What `starts` stands on, tried with ZIPs that are made by hand.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::hello::{self, Built};
use crate::support::lambda_root::{self, LambdaRoot, Outcome};
use crate::support::runtime_api::{Report, RuntimeApi};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;
use serde_json::{Value, json};

const SYSTEM: &[&str] = &["libc.so.6", "libgcc_s.so.1", "libm.so.6", "libnothere.so.1"];

/// What is in a ZIP beside the program.
#[derive(Clone, Copy, PartialEq)]
enum Libraries {
    All,
    None,
}

#[track_caller]
fn check(arch: Arch, target: &str, libraries: Libraries) {
    if !lambda_root::require(arch) || !hello::require(target) || !tools::require("zip", "zip") {
        return;
    }
    let clock = Instant::now();
    let built = hello::build(target);
    let build_time = clock.elapsed();
    let dir = tempfile::tempdir().unwrap();
    let zip = zip_by_hand(dir.path(), &built, libraries);
    let root = LambdaRoot::new(arch, SYSTEM);
    assert_eq!(root.absent(), ["libnothere.so.1"]);
    root.unpack_function(&zip);
    let clock = Instant::now();
    let outcome = root.invoke(r#"{"name": "world"}"#);
    println!("built in {build_time:.1?}, ran {:.2?}: {outcome:?}", clock.elapsed());
    if libraries == Libraries::None && target.ends_with("-gnu") {
        let Outcome::Ended { status, stderr } = outcome else { panic!("started: {outcome:?}") };
        assert_eq!(status.code(), Some(127), "{stderr}");
        assert!(stderr.contains("libgreeting.so.1: cannot open shared object file"), "{stderr}");
    } else {
        let Outcome::Answer(answer) = outcome else { panic!("no answer: {outcome:?}") };
        let expected = json!({"message": "hello, world", "greeting": "good day from C", "target": target});
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
    }
}

fn zip_by_hand(dir: &Path, built: &Built, libraries: Libraries) -> PathBuf {
    let tree = dir.join("tree");
    std::fs::create_dir_all(tree.join("lib")).unwrap();
    std::fs::copy(&built.program, tree.join("bootstrap")).unwrap();
    let library = built.out_dir.join(hello::SONAME);
    if libraries == Libraries::All && library.exists() {
        std::fs::copy(library, tree.join("lib").join(hello::SONAME)).unwrap();
    }
    let zip = dir.join("bootstrap.zip");
    let status = Command::new("zip").args(["-q", "-r", "-X"]).arg(&zip).arg(".").current_dir(tree).status();
    assert!(status.unwrap().success());
    zip
}

#[test]
fn a_whole_zip_starts_x86_64_gnu() {
    check(Arch::X86_64, "x86_64-unknown-linux-gnu", Libraries::All);
}

#[test]
fn a_whole_zip_starts_aarch64_gnu() {
    check(Arch::Arm64, "aarch64-unknown-linux-gnu", Libraries::All);
}

#[test]
fn a_static_program_alone_starts_x86_64_musl() {
    check(Arch::X86_64, "x86_64-unknown-linux-musl", Libraries::None);
}

#[test]
fn a_static_program_alone_starts_aarch64_musl() {
    check(Arch::Arm64, "aarch64-unknown-linux-musl", Libraries::None);
}

#[test]
fn a_zip_without_the_library_does_not_start_x86_64_gnu() {
    check(Arch::X86_64, "x86_64-unknown-linux-gnu", Libraries::None);
}

#[test]
fn a_zip_without_the_library_does_not_start_aarch64_gnu() {
    check(Arch::Arm64, "aarch64-unknown-linux-gnu", Libraries::None);
}

/// Sends each of `requests` on one connection and returns what the server had to report.
fn reports(requests: &[&str]) -> Vec<Report> {
    let api = RuntimeApi::start(r#"{"name": "x"}"#).unwrap();
    let mut stream = TcpStream::connect(api.address()).unwrap();
    for request in requests {
        stream.write_all(request.as_bytes()).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    std::iter::from_fn(|| api.next_report(Duration::from_millis(10))).collect()
}

const ANSWER: &str =
    "POST /2018-06-01/runtime/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response HTTP/1.1\r\n";

#[test]
fn the_runtime_api_reads_bodies_with_a_length_and_in_chunks() {
    let with_length = format!("{ANSWER}Content-Length: 5\r\n\r\n\"one\"");
    let in_chunks =
        format!("{ANSWER}Transfer-Encoding: chunked\r\n\r\n3\r\n\"tw\r\n2;x=y\r\no\"\r\n0\r\nA: b\r\n\r\n");
    let expected = [Report::Response("\"one\"".into()), Report::Response("\"two\"".into())];
    assert_eq!(reports(&[&with_length, &in_chunks]), expected);
}

#[test]
fn the_runtime_api_tells_errors_from_answers() {
    let of_invocation = ANSWER.replace("/response", "/error") + "Content-Length: 2\r\n\r\n{}";
    let of_init = "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let stray = "GET /2020-01-01/extension/register HTTP/1.1\r\n\r\n";
    let expected = [
        Report::InvocationError("{}".into()),
        Report::InitError("{}".into()),
        Report::Unknown("GET /2020-01-01/extension/register".into()),
    ];
    assert_eq!(reports(&[&of_invocation, of_init, stray]), expected);
}

#[test]
fn the_runtime_api_hands_out_its_event_once() {
    let api = RuntimeApi::start(r#"{"name": "x"}"#).unwrap();
    let mut stream = TcpStream::connect(api.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";
    stream.write_all(next).unwrap();
    stream.write_all(next).unwrap();
    let mut received = Vec::new();
    // The second `next` waits, so the read ends with the time limit and keeps what came.
    stream.read_to_end(&mut received).unwrap_err();
    let received = String::from_utf8(received).unwrap();
    assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 1, "{received}");
    assert!(received.contains("Lambda-Runtime-Deadline-Ms: "), "{received}");
    assert!(received.ends_with(r#"{"name": "x"}"#), "{received}");
}
