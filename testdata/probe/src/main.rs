//! A Lambda function that uses what another libc can break, and answers with what it found.
//!
//! An event `{"probe": "threads"}` tries one thing, an event without `probe` all of them; `host` is the name to
//! look up. Outside Lambda the event is the first argument and the answer goes to stdout.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::ToSocketAddrs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, panic, thread};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Map, Value, json};

const PROBES: &[(&str, fn(&Value) -> Value)] = &[
    ("backtrace", backtrace),
    ("child", child),
    ("home", home),
    ("libc", libc),
    ("lookup", lookup),
    ("mapped", mapped),
    ("program", program),
    ("task_child", task_child),
    ("threads", threads),
];

fn main() -> Result<(), Error> {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() && env::args().len() == 1 {
        return serve();
    }
    match env::args().nth(1).as_deref() {
        Some("child") => println!("a child"),
        event => println!("{}", answer(&serde_json::from_str(event.unwrap_or("{}"))?)),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        Ok::<_, Error>(answer(&event.payload))
    }))
    .await
}

fn answer(event: &Value) -> Value {
    let only = event["probe"].as_str();
    let asked = PROBES.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    Value::Object(asked.map(|(name, probe)| ((*name).to_owned(), probe(event))).collect::<Map<_, _>>())
}

/// The functions of this program on the stack of a panic that was caught, innermost first; without
/// `RUST_BACKTRACE`, or where the symbols cannot be read, none.
fn backtrace(_: &Value) -> Value {
    thread_local!(static TRACE: RefCell<String> = const { RefCell::new(String::new()) });
    panic::set_hook(Box::new(|_| TRACE.set(Backtrace::capture().to_string())));
    let caught = panic::catch_unwind(|| outer(7)).is_err();
    let _ = panic::take_hook();
    let trace = TRACE.take();
    let names: Vec<&str> = trace
        .lines()
        .filter_map(|line| line.split_once(": probe::").map(|(_, name)| name))
        .filter(|name| ["inner", "outer"].contains(name))
        .collect();
    json!({ "caught": caught, "names": names })
}

#[inline(never)]
fn outer(number: u32) -> u32 {
    // Not a tail call: the frame has to be there.
    std::hint::black_box(inner(number)) + 1
}

#[inline(never)]
fn inner(number: u32) -> u32 {
    assert!(std::hint::black_box(number) != 7, "on purpose");
    number
}

/// What this program says when it is started by its own path.
fn child(_: &Value) -> Value {
    said(env::current_exe().and_then(|program| Command::new(program).arg("child").output()))
}

/// The same, by tokio, on a thread of its own: the runtime of the function is busy with this event.
fn task_child(_: &Value) -> Value {
    let task = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let program = env::current_exe()?;
        runtime.block_on(async { tokio::process::Command::new(program).arg("child").output().await })
    };
    thread::spawn(task).join().map_or_else(|_| json!("panicked"), said)
}

fn said(output: io::Result<Output>) -> Value {
    match output {
        Ok(output) => json!({
            "status": output.status.code(),
            "stdout": String::from_utf8_lossy(&output.stdout),
            "stderr": String::from_utf8_lossy(&output.stderr),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// The home directory: without HOME, Rust asks libc's user database, which on glibc is a module.
fn home(_: &Value) -> Value {
    json!(env::home_dir())
}

/// The version of the libc in memory, and functions that only a newer one has.
fn libc(_: &Value) -> Value {
    let mut found = Map::new();
    #[cfg(target_env = "gnu")]
    {
        use std::ffi::{CStr, c_char};
        unsafe extern "C" {
            safe fn gnu_get_libc_version() -> *const c_char;
        }
        // SAFETY: a string with a NUL at its end that lives as long as the program.
        let version = unsafe { CStr::from_ptr(gnu_get_libc_version()) };
        found.insert("version".into(), json!(version.to_str().ok()));
    }
    #[cfg(feature = "glibc-2-36")]
    {
        unsafe extern "C" {
            safe fn arc4random_uniform(bound: u32) -> u32;
        }
        found.insert("2.36".into(), json!(arc4random_uniform(1)));
    }
    #[cfg(feature = "glibc-2-41")]
    {
        use std::ffi::{c_int, c_uint, c_void};
        unsafe extern "C" {
            fn sched_getattr(thread: c_int, attributes: *mut c_void, size: c_uint, flags: c_uint) -> c_int;
        }
        let mut attributes = [0u64; 32];
        // SAFETY: room for `size` bytes, which the kernel writes.
        let status = unsafe { sched_getattr(0, attributes.as_mut_ptr().cast(), 48, 0) };
        found.insert("2.41".into(), json!(status));
    }
    Value::Object(found)
}

/// The addresses of `host`, by `getaddrinfo`.
fn lookup(event: &Value) -> Value {
    match (event["host"].as_str().unwrap_or("localhost"), 0).to_socket_addrs() {
        Ok(found) => json!(found.map(|address| address.ip().to_string()).collect::<BTreeSet<_>>()),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// The files in memory.
fn mapped(_: &Value) -> Value {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    json!(maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect::<BTreeSet<_>>())
}

/// What this program takes itself for.
fn program(_: &Value) -> Value {
    json!({
        "current_exe": env::current_exe().ok(),
        "proc_self_exe": fs::read_link("/proc/self/exe").ok(),
        "argv_0": env::args().next(),
    })
}

/// Thread-local data of four threads, each with a destructor that runs.
fn threads(_: &Value) -> Value {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Local(Cell<u32>);
    impl Drop for Local {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0.get(), Ordering::SeqCst);
        }
    }
    thread_local!(static LOCAL: Local = const { Local(Cell::new(1)) });
    DROPPED.store(0, Ordering::SeqCst);
    let started: Vec<_> = (1..=4)
        .map(|number| {
            thread::spawn(move || {
                LOCAL.with(|local| local.0.set(local.0.get() * number));
                LOCAL.with(|local| local.0.get())
            })
        })
        .collect();
    let seen: Vec<u32> = started.into_iter().map(|thread| thread.join().unwrap_or(0)).collect();
    json!({ "seen": seen, "dropped": DROPPED.load(Ordering::SeqCst) })
}
