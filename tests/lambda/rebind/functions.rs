//! Functions of Rust that were linked to Debian 13, alone and with its libraries, bundled without a flag of repair and
//! started among older libraries and on Lambda's kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_lambda_bundle::elf::{self, Arch};
use serde_json::json;

use crate::support::command::run;
use crate::support::compile::require_debian_12;
use crate::support::debian::{DEBIAN_11, DEBIAN_13, DEBIAN_13_ARM64, PROGRAMS_ARM64};
use crate::support::kernel::{self, Start};
use crate::support::lambda_root::{self, LambdaRoot, Outcome, provided_al2023};
use crate::support::{probe, tools};

/// Debian 13 for one architecture, to link against.
struct Newer {
    root: PathBuf,
    arch: Arch,
}

impl Newer {
    /// `None` if nothing can be linked or started here.
    #[track_caller]
    fn new(arch: Arch) -> Option<Newer> {
        // The probe names the release of its glibc.
        if !require_debian_12() || !lambda_root::require(arch) || !tools::require_target(target(arch)) {
            return None;
        }
        let is_arm64 = arch == Arch::Arm64;
        if is_arm64 && !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu") {
            return None;
        }
        let root = if is_arm64 { DEBIAN_13_ARM64.unpacked() } else { DEBIAN_13.unpacked() };
        root.map(|root| Newer { root, arch })
    }

    /// The flag of rustc that links against it. gcc looks beside itself before it looks in the sysroot, and in `-B`
    /// before that.
    fn link(&self) -> String {
        let (root, lib) = (self.root.display(), format!("usr/lib/{}-linux-gnu", self.arch.gnu_name()));
        format!("-Clink-args=--sysroot={root} -B{root}/{lib} -L{root}/{lib} -Wl,-rpath-link,{root}/{lib}")
    }

    /// Compiles a program of one file.
    #[track_caller]
    fn compile(&self, source: &str, flags: &[&str], program: &Path) {
        let file = program.with_extension("rs");
        fs::write(&file, source).unwrap();
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-O", "--target", target(self.arch), &self.link()]);
        if self.arch == Arch::Arm64 {
            rustc.arg("-Clinker=aarch64-linux-gnu-gcc");
        }
        let output = rustc.args(flags).arg(file).arg("-o").arg(program).output().expect("rustc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A root of an older glibc.
    fn older(&self, system: &Path) -> LambdaRoot {
        LambdaRoot::of_system(system, self.arch, &provided_al2023(self.arch))
    }

    /// A root in which the libcurl of Debian works, too, which needs more than Lambda's.
    fn older_with_libcurl(&self, system: &Path) -> LambdaRoot {
        let mut names = provided_al2023(self.arch);
        let libraries = system.join("usr/lib").join(format!("{}-linux-gnu", self.arch.gnu_name()));
        let mut more = vec!["libcurl.so.4".to_owned()];
        while let Some(name) = more.pop() {
            let Ok(bytes) = fs::read(libraries.join(&name)) else { continue };
            let needed = elf::parse(&bytes).unwrap().needed;
            more.extend(needed.into_iter().filter(|name| !names.contains(name)));
            names.push(name);
        }
        LambdaRoot::of_system(system, self.arch, &names)
    }
}

fn target(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Arm64 => "aarch64-unknown-linux-gnu",
    }
}

/// Builds the probe in two ways and bundles it; the ZIPs.
fn probes(newer: &Newer, dir: &Path) -> Vec<PathBuf> {
    let link = newer.link();
    let mut ways = vec![("rebound", vec![link.as_str()])];
    // For x86_64 Rust links with LLD by itself.
    if newer.arch == Arch::X86_64 {
        ways.push(("supplied", vec![&link, "-Clinker-features=-lld"]));
    }
    let mut zips = Vec::new();
    for (name, flags) in ways {
        let features = if name == "supplied" { "glibc-2-36" } else { "" };
        probe::build(target(newer.arch), features, &flags, &dir.join(name));
        let facts = elf::parse(&fs::read(dir.join(name)).unwrap()).unwrap();
        assert!(facts.verneed.iter().any(|need| need.node == "GLIBC_2.39"), "{:?}", facts.verneed);
        run(dir, &format!("--binary {name} -o {name}.zip --repair never")).exits(1).says(&["GLIBC_2.39"]);
        run(dir, &format!("--binary {name} -o {name}.zip -v")).exits(0).says(&["[glibc-rebound]"]);
        run(dir, &format!("verify {name}.zip")).exits(0).says(&["starts on provided.al2023"]);
        zips.push(dir.join(format!("{name}.zip")));
    }
    zips
}

/// What the probe says of its libc on this machine's glibc.
fn libc(zip: &Path) -> serde_json::Value {
    match zip.ends_with("supplied.zip") {
        true => json!({ "version": "2.36", "2.36": 0 }),
        false => json!({ "version": "2.36" }),
    }
}

#[test]
fn a_function_that_starts_processes_by_std_and_by_tokio() {
    let Some(newer) = Newer::new(Arch::X86_64) else { return };
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let zips = probes(&newer, dir.path());
    let roots = || {
        let older = || newer.older(Path::new("/"));
        [older(), older().with_glibc_of_al2023(&debian_11)]
    };
    for (zip, mut root) in zips.iter().flat_map(|zip| roots().map(|root| (zip, root))) {
        probe::furnish(&mut root);
        root.unpack_function(zip);
        match root.invoke(&probe::event()) {
            Outcome::Answer(answer) => _ = probe::check(&answer, &libc(zip)),
            other => panic!("{}: {other:?}", zip.display()),
        }
        let output = root.start("/var/task/bootstrap", &[r#"{"probe": "task_child"}"#]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    if !kernel::require() {
        return;
    }
    let mut root = newer.older(Path::new("/"));
    probe::furnish(&mut root);
    probe::furnish_hosts(&root);
    let event = probe::event();
    let starts: Vec<Start> = zips.iter().map(|zip| Start { root: &root, zip, argument: &event }).collect();
    for (zip, ended) in zips.iter().zip(kernel::boot(&starts).into_iter().flatten()) {
        assert_eq!(ended.status, 0, "{ended:?}");
        probe::check(&ended.output, &libc(zip));
    }
}

#[test]
fn a_function_for_arm64_that_starts_processes() {
    let Some(newer) = Newer::new(Arch::Arm64) else { return };
    let dir = tempfile::tempdir().unwrap();
    for zip in probes(&newer, dir.path()) {
        let root = newer.older(Path::new("/"));
        root.unpack_function(&zip);
        let output = root.start("/var/task/bootstrap", &[r#"{"probe": "libc"}"#]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"libc\":{\"version\":\"2.36\"}}\n");
    }
    if !tools::require("busybox", "busybox-static") {
        return;
    }
    newer.compile(PARENT, &[], &dir.path().join("parent"));
    run(dir.path(), "--binary parent -o parent.zip -v").exits(0).says(&["[glibc-rebound]"]);
    let root = newer.older(Path::new("/"));
    root.unpack_function(&dir.path().join("parent.zip"));
    // The child is for this machine, whose kernel starts it: qemu hands on execve as it is.
    tools::copy_program(which::which("busybox").unwrap(), root.path("var/task/busybox"));
    let output = root.start("/var/task/bootstrap", &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the parent of a child\n");
}

const PARENT: &str = r#"
#[used]
static SIGN: &str = "AWS_LAMBDA_RUNTIME_API";
fn main() {
    let output = std::process::Command::new("/var/task/busybox").args(["echo", "a child"]).output().unwrap();
    assert!(output.status.success());
    print!("the parent of {}", String::from_utf8(output.stdout).unwrap());
}
"#;

/// Asks a server that is not there, by libpq.
const POSTGRES: &str = r#"
use std::ffi::{CStr, c_char, c_int, c_void};
#[used]
static SIGN: &str = "AWS_LAMBDA_RUNTIME_API";
unsafe extern "C" {
    fn PQlibVersion() -> c_int;
    fn PQconnectdb(options: *const c_char) -> *mut c_void;
    fn PQerrorMessage(connection: *const c_void) -> *const c_char;
    fn PQescapeLiteral(connection: *mut c_void, text: *const c_char, length: usize) -> *const c_char;
    fn PQfinish(connection: *mut c_void);
}
fn main() {
    unsafe {
        let connection = PQconnectdb(c"host=127.0.0.1 user=me port=9 connect_timeout=0x10 sslmode=require".as_ptr());
        let refused = CStr::from_ptr(PQerrorMessage(connection)).to_owned();
        PQfinish(connection);
        let connection = PQconnectdb(c"host=127.0.0.1 user=me port=9 connect_timeout=2 sslmode=require".as_ptr());
        let error = CStr::from_ptr(PQerrorMessage(connection)).to_owned();
        let quoted = PQescapeLiteral(connection, c"it's".as_ptr(), 4);
        println!("{} {refused:?} {error:?} {}", PQlibVersion(), quoted.is_null());
        PQfinish(connection);
    }
}
"#;

/// Writes to a broker that is not there, by librdkafka.
const KAFKA: &str = r#"
use std::ffi::{CStr, c_char, c_int, c_void};
#[used]
static SIGN: &str = "AWS_LAMBDA_RUNTIME_API";
unsafe extern "C" {
    fn rd_kafka_version_str() -> *const c_char;
    fn rd_kafka_conf_new() -> *mut c_void;
    fn rd_kafka_conf_set(conf: *mut c_void, name: *const c_char, value: *const c_char, error: *mut c_char, size: usize) -> c_int;
    fn rd_kafka_new(kind: c_int, conf: *mut c_void, error: *mut c_char, size: usize) -> *mut c_void;
    fn rd_kafka_topic_new(client: *mut c_void, topic: *const c_char, conf: *mut c_void) -> *mut c_void;
    fn rd_kafka_produce(topic: *mut c_void, partition: i32, flags: c_int, payload: *const c_void, size: usize, key: *const c_void, key_size: usize, opaque: *mut c_void) -> c_int;
    fn rd_kafka_outq_len(client: *mut c_void) -> c_int;
    fn rd_kafka_flush(client: *mut c_void, milliseconds: c_int) -> c_int;
}
fn main() {
    unsafe {
        let mut error = [0; 256];
        let conf = rd_kafka_conf_new();
        for (name, value) in [(c"bootstrap.servers", c"127.0.0.1:9"), (c"security.protocol", c"ssl"), (c"log_level", c"0"), (c"linger.ms", c"1")] {
            let status = rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), error.as_mut_ptr(), error.len());
            println!("{name:?} {status} {:?}", CStr::from_ptr(error.as_ptr()));
        }
        let client = rd_kafka_new(0, conf, error.as_mut_ptr(), error.len());
        assert!(!client.is_null(), "{:?}", CStr::from_ptr(error.as_ptr()));
        let topic = rd_kafka_topic_new(client, c"orders".as_ptr(), std::ptr::null_mut());
        let (text, null) = ("an order", std::ptr::null());
        let status = rd_kafka_produce(topic, -1, 2, text.as_ptr().cast(), text.len(), null, 0, std::ptr::null_mut());
        println!("{:?} {status} {} {}", CStr::from_ptr(rd_kafka_version_str()), rd_kafka_outq_len(client), rd_kafka_flush(client, 50));
    }
}
"#;

/// Links functions with two libraries of Debian 13, bundles them with `--sysroot` alone, and starts them with the
/// libraries of an older system.
fn with_libraries(newer: &Newer, older: &Path, make_root: impl Fn(LambdaRoot) -> LambdaRoot) {
    let dir = tempfile::tempdir().unwrap();
    let rows =
        [("pq", POSTGRES, "-Clink-arg=-l:libpq.so.5"), ("kafka", KAFKA, "-Clink-arg=-l:librdkafka.so.1")];
    for ((name, source, library), parts) in rows.into_iter().zip([PQ, RDKAFKA]) {
        newer.compile(source, &[library], &dir.path().join(name));
        let sysroot = newer.root.display();
        let bundle = format!("--binary {name} --sysroot {sysroot} -o {name}.zip -v");
        run(dir.path(), &bundle).exits(0).says(&["[glibc-rebound]: ", "liblambda-bundle-compat.so.1"]);
        // It may start: what the runtime's OpenSSL and zlib define is not known.
        run(dir.path(), &format!("verify {name}.zip")).exits(0).says(&["on provided.al2023 ("]);
        let root = make_root(newer.older_with_libcurl(older));
        root.unpack_function(&dir.path().join(format!("{name}.zip")));
        let output = root.start("/var/task/bootstrap", &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(parts.iter().all(|part| answer.contains(part)), "{name}: {answer}");
    }
}

const PQ: &[&str] = &[
    "170",
    "invalid integer value \\\"0x10\\\" for connection option \\\"connect_timeout\\\"",
    "Connection refused",
    " false\n",
];

const RDKAFKA: &[&str] = &["\"security.protocol\" 0 ", "\"2.", " -185\n"];

#[test]
fn functions_with_libpq_and_librdkafka() {
    let Some(newer) = Newer::new(Arch::X86_64) else { return };
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    with_libraries(&newer, Path::new("/"), |root| root.with_glibc_of_al2023(&debian_11));
}

#[test]
fn functions_with_libpq_and_librdkafka_for_arm64() {
    let Some(newer) = Newer::new(Arch::Arm64) else { return };
    // Its programs bring OpenSSL along, which Lambda has.
    if let Some(older) = PROGRAMS_ARM64.unpacked() {
        with_libraries(&newer, &older, |root| root);
    }
}

#[test]
fn a_library_starts_on_glibc_2_31_where_its_nodes_allow() {
    let Some(newer) = Newer::new(Arch::X86_64) else { return };
    let Some(debian_11) = DEBIAN_11.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let library = "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n#include <math.h>\n\
        double parsed(const char *text) { char copy[9]; int more = 0; strlcpy(copy, text, 9); sscanf(text, \"%*d %d\", &more); \
        return fmod(strtol(copy, 0, 10), 5) + hypot(3, 4) + more + arc4random_uniform(1); }";
    let flags = "-std=gnu2x -D_DEFAULT_SOURCE -fno-builtin -shared -fPIC -Wl,-soname,libparsed.so.1 -lm";
    crate::rebind::edit::compile(&newer.root, dir.path(), library, "libparsed.so.1", flags);
    let program = "#include <stdio.h>\ndouble parsed(const char *);\n\
        __attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n\
        int main(void) { printf(\"%g\\n\", parsed(\"42 30\")); return 0; }";
    let flags = "-Wl,--allow-shlib-undefined libparsed.so.1";
    crate::rebind::edit::compile(&debian_11, dir.path(), program, "app", flags);
    run(dir.path(), "--binary app --library-path . -o app.zip").exits(0).says(&["[glibc-rebound]"]);
    for system in [&debian_11, Path::new("/")] {
        let root = newer.older(system);
        root.unpack_function(&dir.path().join("app.zip"));
        let output = root.start("/var/task/bootstrap", &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(output.stdout, b"37\n");
    }
}
