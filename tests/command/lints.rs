//! Lints: for each a real program that it warns of, and one close to it that it does not.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::command::{Ran, command, finish, run};
use crate::support::compile::{CC, Compiler, require_library};
use crate::support::tools;
use cargo_lambda_bundle::audit::Code;
use tempfile::TempDir;

const LINTS: &[Code] = &[
    Code::StaticGlibcNss,
    Code::Dlopen,
    Code::CaBundle,
    Code::CpuLevel,
    Code::CompanionData,
    Code::NotARuntime,
];

/// The lints' findings in a JSON document: severity, code and object.
fn lints(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let findings = json["artifacts"][0]["findings"].as_array().unwrap_or_else(|| panic!("{ran}")).iter();
    findings
        .filter(|finding| LINTS.iter().any(|code| finding["code"] == code.as_str()))
        .map(|finding| ["severity", "code", "object"].map(|key| text(&finding[key])).join(" "))
        .collect()
}

/// Checks what the lints find in the program `app`, that the texts are said, and that `verify` finds the same in
/// its bundle.
#[track_caller]
fn check(dir: &Path, arguments: &str, expected: &[&str], said: &[&str]) {
    let ran = run(dir, &format!("check --binary app --message-format json -v {arguments}"));
    assert_eq!(lints(&ran), expected, "{ran}");
    let ran = ran.says(said);
    if ran.code == Some(0) {
        run(dir, &format!("--binary app -o app.zip {arguments}")).exits(0);
        let ran = run(dir, "verify app.zip --message-format json");
        let found: Vec<String> =
            lints(&ran).iter().map(|found| found.replace(" bootstrap", " app")).collect();
        assert_eq!(found, expected, "{ran}");
    }
}

/// Compiles the program `app`, and checks it.
#[track_caller]
fn check_c(source: &str, compiler_arguments: &str, expected: &[&str], said: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), source, "app", compiler_arguments);
    check(dir.path(), "", expected, said);
}

/// Compiles a Rust program to `app`.
fn rust(source: &str, arguments: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("app.rs"), source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc).args(["-O", "app.rs"]).args(arguments).current_dir(dir.path()).status();
    assert!(status.is_ok_and(|status| status.success()));
    dir
}

const LOOKS_UP: &str =
    "#include <netdb.h>\nint main(void) { struct addrinfo *a; return getaddrinfo(\"a\", \"1\", 0, &a); }";
const NSS: &[&str] = &["warning static-glibc-nss app"];

#[test]
fn a_static_program_that_looks_names_up() {
    if !tools::require("cc", "gcc") {
        return;
    }
    check_c(
        LOOKS_UP,
        "-static",
        NSS,
        &[
            "`app` is a static program that may open modules",
            "it uses getaddrinfo",
            "of glibc; the modules work only with their own build",
        ],
    );
    check_c(LOOKS_UP, "-static-pie", NSS, &[]);
    check_c(LOOKS_UP, "-static -s", NSS, &["it names /etc/nsswitch.conf and libnss_*"]);
    let converts = "#include <iconv.h>\nint main(void) { return iconv_open(\"A\", \"B\") != 0; }";
    check_c(converts, "-static", NSS, &["uses iconv_open of glibc"]);
}

#[test]
fn a_static_program_that_does_not_and_a_dynamic_one_that_does() {
    if !tools::require("cc", "gcc") {
        return;
    }
    check_c("#include <stdio.h>\nint main(void) { return puts(\"a\"); }", "-static", &[], &[]);
    check_c(LOOKS_UP, "", &[], &[]);
}

#[test]
fn a_static_program_of_rust() {
    const SIGN: &str = "std::env::var(\"AWS_LAMBDA_RUNTIME_API\").ok();";
    let flags = ["-C", "target-feature=+crt-static", "--target", "x86_64-unknown-linux-gnu"];
    if !tools::require_target(flags[3]) {
        return;
    }
    let looks_up = format!(
        "use std::net::ToSocketAddrs;\nfn main() {{ {SIGN} println!(\"{{}}\", \"a:1\".to_socket_addrs().is_ok()); }}"
    );
    check(rust(&looks_up, &flags).path(), "", NSS, &["it uses getaddrinfo"]);
    let reads = format!("fn main() {{ {SIGN} println!(\"{{}}\", std::fs::read(\"/etc/hosts\").is_ok()); }}");
    check(rust(&reads, &flags).path(), "", &[], &[]);
}

fn opens(name: &str) -> String {
    format!("#include <dlfcn.h>\nint main(void) {{ return dlopen(\"{name}\", RTLD_NOW) != 0; }}")
}

#[test]
fn a_library_that_a_constant_names() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let opened = ["warning dlopen app"];
    check_c(
        &opens("libfnord.so.7"),
        "",
        &opened,
        &["may open `libfnord.so.7`, which neither the bundle nor", "`--dlopen libfnord.so.7`"],
    );
    check_c(&opens("/usr/lib/libfnord.so.7"), "", &opened, &["name `libfnord.so.7`"]);
    check_c(&opens("libfnord.so"), "", &opened, &["name `libfnord.so`\n", "`--dlopen libfnord.so`"]);
    // What the crates `ort` and `pdfium-render`, NSS and SoftHSM's users open.
    for name in ["libonnxruntime.so", "libpdfium.so", "libnss3.so", "libsofthsm2.so"] {
        let advice = format!("`--dlopen {name}`");
        check_c(&opens(name), "", &opened, &[&advice]);
    }
    check_c(&opens("/opt/fnord/libfnord.so"), "", &opened, &["name `libfnord.so`\n"]);
    // On the runtime; a text that is none; and nobody who would open it.
    check_c(&opens("libz.so.1"), "", &[], &[]);
    check_c(&opens("no libfnord.so"), "", &[], &[]);
    check_c(&opens("/usr/lib/libc.so.1"), "", &[], &[]);
    // Linkers know the scripts of this name.
    check_c(&opens("libc.so"), "", &[], &[]);
    check_c("#include <stdio.h>\nint main(void) { return puts(\"libfnord.so.7\"); }", "", &[], &[]);
}

#[test]
fn a_library_that_a_constant_names_and_the_bundle_has() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), "int f;", "libfnord.so.7", "-shared -Wl,-soname,libfnord.so.7");
    CC.compile(dir.path(), &opens("libfnord.so.7"), "app", "");
    check(dir.path(), "--library-path . --dlopen libfnord.so.7", &[], &[]);
}

#[test]
fn of_several_names_the_one_that_this_machine_has_is_advised() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <dlfcn.h>\nint main(void) { return dlopen(\"libfnord.so.7\", 2) || \
        dlopen(\"libfnord.so.10\", 2) || dlopen(\"libfnord.so\", 2); }";
    CC.compile(dir.path(), source, "app", "");
    let names = "name `libfnord.so.10`, `libfnord.so.7`, `libfnord.so`\n";
    let opened = ["warning dlopen app"];
    check(dir.path(), "--library-path .", &opened, &[names, "`--dlopen libfnord.so.10`"]);
    CC.compile(dir.path(), "int f;", "libfnord.so.7", "-shared");
    check(dir.path(), "--library-path .", &opened, &[names, "`--dlopen libfnord.so.7`"]);
    // The program opens the first that is there.
    std::fs::rename(dir.path().join("libfnord.so.7"), dir.path().join("libfnord.so")).unwrap();
    check(dir.path(), "--library-path . --dlopen libfnord.so", &[], &[]);
}

#[test]
fn a_static_program_of_musl_opens_nothing() {
    if !tools::require("musl-gcc", "musl-tools") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Compiler(&["musl-gcc"]).compile(dir.path(), &opens("libz.so.1"), "app", "-static");
    check(dir.path(), "", &["warning dlopen app"], &["`app` is a static musl program", "`-gnu` target"]);
    let unnamed = "#include <dlfcn.h>\nint main(int c, char **v) { return dlopen(v[c - 1], RTLD_NOW) != 0; }";
    Compiler(&["musl-gcc"]).compile(dir.path(), unnamed, "app", "-static");
    check(dir.path(), "", &["note dlopen app"], &[]);
    let asked = run(dir.path(), "check --binary app --dlopen libz.so.1").exits(1);
    asked.says(&["error[missing-library]: `app` cannot open `libz.so.1`: it is a static musl program"]);
    let asked = run(dir.path(), "check --binary app --dlopen z").exits(1);
    asked.says(&["help: if the function opens libraries, build it for a `-gnu` target"]);
}

#[test]
fn a_library_that_rust_names_between_other_texts() {
    let source = |text: &str| {
        format!(
            "extern \"C\" {{ fn dlopen(name: *const u8, flags: i32) -> *const u8; }}\n\
            fn main() {{\n\
                for text in [\"AWS_LAMBDA_RUNTIME_API\", \"before\", \"{text}\", \"behind\"] {{\n\
                    let text = std::ffi::CString::new(std::hint::black_box(text)).unwrap();\n\
                    println!(\"{{:?}}\", unsafe {{ dlopen(text.as_ptr().cast(), 2) }});\n\
                }}\n\
            }}"
        )
    };
    let opened = ["warning dlopen app"];
    check(rust(&source("libfnord.so.7"), &[]).path(), "", &opened, &["name `libfnord.so.7`"]);
    check(rust(&source("libz.so.1"), &[]).path(), "", &[], &[]);
    let two = source("/usr/lib/softhsm/libfnord2.so\", \"libfnord.so.1");
    let opened = ["warning dlopen app", "warning dlopen app"];
    check(rust(&two, &[]).path(), "", &opened, &["name `libfnord2.so`\n", "name `libfnord.so.1`\n"]);
}

#[test]
fn libraries_that_a_note_names() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let noted = |soname: &str, priority: &str| {
        let json = format!(
            r#"[{{\\\"soname\\\":[{soname}],\\\"feature\\\":\\\"odd\\\",\\\"priority\\\":\\\"{priority}\\\"}}]"#
        );
        format!(
            "__asm__(\".section .note.dlopen,\\\"a\\\",@note\\n.balign 4\\n.long 4, 2f-1f, 0x407c0c0a\\n\"\n\
            \".asciz \\\"FDO\\\"\\n1: .asciz \\\"{json}\\\"\\n2: .balign 4\\n.text\\n\");\n\
            int main(void) {{ return 0; }}"
        )
    };
    let quoted = |name: &str| format!(r#"\\\"{name}\\\""#);
    let fnord = quoted("libfnord.so.7");
    let said = ["its notes name `libfnord.so.7` for the feature `odd`"];
    check_c(&noted(&fnord, "required"), "", &["warning dlopen app"], &said);
    check_c(&noted(&fnord, "suggested"), "", &["note dlopen app"], &said);
    let either = format!("{fnord},{}", quoted("libz.so.1"));
    check_c(&noted(&either, "required"), "", &[], &[]);
}

const CONNECTS: &str = "#include <openssl/ssl.h>\nint main(void) {\n\
    SSL_CTX *c = SSL_CTX_new(TLS_client_method()); return SSL_CTX_set_default_verify_paths(c); }";
const HASHES: &str = "#include <openssl/evp.h>\nint main(void) {\n\
    unsigned char d[64]; unsigned n; return EVP_Digest(\"a\", 1, d, &n, EVP_sha256(), 0); }";

#[test]
fn openssl_that_is_linked_in() {
    if !tools::require("cc", "gcc") || !require_library("libssl.a", "libssl-dev") {
        return;
    }
    let statically = "-Wl,-Bstatic -lssl -lcrypto -Wl,-Bdynamic";
    check_c(
        CONNECTS,
        statically,
        &["warning ca-bundle app"],
        &["OpenSSL in `app`", "`SSL_CERT_FILE=/etc/pki/tls/certs/ca-bundle.crt`"],
    );
    // Its libcrypto has the same path, and nobody connects; and one that knows where to look.
    check_c(HASHES, statically, &[], &[]);
    let knows = "\n__attribute__((used)) static const char at[] = \"/etc/pki/tls/certs/ca-bundle.crt\";";
    check_c(&format!("{CONNECTS}{knows}"), statically, &[], &[]);
    // The runtime's own.
    check_c(CONNECTS, "-lssl -lcrypto", &[], &[]);
}

/// What `ca-bundle` says of a program that is linked with libraries of this machine.
#[track_caller]
fn ca_bundle(source: &str, libraries: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), source, "app", libraries);
    let ran = run(dir.path(), "check --binary app --message-format json --libc bundle");
    let mut found = lints(&ran);
    found.retain(|finding| finding.contains("ca-bundle"));
    found
}

#[test]
fn openssl_of_another_distribution() {
    if !tools::require("cc", "gcc") || !require_library("libssl.a", "libssl-dev") {
        return;
    }
    assert_eq!(ca_bundle(CONNECTS, "-lssl -lcrypto"), ["warning ca-bundle libcrypto.so.3"]);
    assert_eq!(ca_bundle(HASHES, "-lssl -lcrypto"), [""; 0]);
}

#[test]
fn curl_and_gnutls_of_another_distribution() {
    if !tools::require("cc", "gcc")
        || !require_library("libcurl.so.4", "libcurl4")
        || !require_library("libgnutls.so.30", "libgnutls30")
    {
        return;
    }
    let calls = |function: &str| format!("int {function}(); int main(void) {{ return {function}(0); }}");
    let knows = "\n__attribute__((used)) static const char at[] = \"/etc/pki/tls/certs/ca-bundle.crt\";";
    let curl = calls("curl_global_init");
    assert_eq!(ca_bundle(&curl, "-l:libcurl.so.4"), ["warning ca-bundle libcurl.so.4"]);
    assert_eq!(ca_bundle(&format!("{curl}{knows}"), "-l:libcurl.so.4"), [""; 0]);
    let trusts = calls("gnutls_certificate_set_x509_system_trust");
    assert_eq!(ca_bundle(&trusts, "-l:libgnutls.so.30"), ["warning ca-bundle libgnutls.so.30"]);
    assert_eq!(ca_bundle(&calls("gnutls_global_init"), "-l:libgnutls.so.30"), [""; 0]);
}

#[test]
fn processors_that_lambda_may_not_have() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let source = "int main(void) { return 0; }";
    let level = ["warning cpu-level app"];
    let refused = ["error cpu-level app"];
    check_c(source, "-Wl,-z,x86-64-v4", &refused, &["CPU ISA level is lower than required"]);
    check_c(source, "-static -Wl,-z,x86-64-v4", &level, &["its notes require x86-64-v4"]);
    check_c(source, "-Wl,-z,x86-64-v3", &[], &[]);
    check_c(source, "-g -march=skylake-avx512", &level, &["compiled with `-march=skylake-avx512`"]);
    check_c(source, "-g -march=haswell", &[], &[]);
}

#[test]
fn libraries_for_processors_that_lambda_may_not_have() {
    if !tools::require("cc", "gcc") || !tools::require("zip", "zip") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let library = |file: &str, options: &str| {
        let options = format!("-shared -Wl,-soname,libfoo.so.1 {options}");
        CC.compile(dir.path(), "int foo(void) { return 0; }", file, &options);
    };
    library("libs/libfoo.so.1", "");
    library("better.so", "-Wl,-z,x86-64-v4");
    CC.compile(
        dir.path(),
        "int foo(void); int main(void) { return foo(); }",
        "app",
        "-Wl,-z,now libs/libfoo.so.1",
    );
    // What ld.so says of each, by `qemu-x86_64 -cpu Haswell`: refused, passed over, and never looked at.
    for (runtime, place, expected) in [
        ("provided.al2023", "glibc-hwcaps/x86-64-v3", &["error cpu-level libfoo.so.1"][..]),
        ("provided.al2023", "glibc-hwcaps/x86-64-v4", &[]),
        ("provided.al2", "x86_64", &["warning cpu-level libfoo.so.1"]),
        ("provided.al2023", "plugins", &["warning cpu-level libfoo.so.1"]),
    ] {
        let task = tempfile::tempdir_in(dir.path()).unwrap();
        let copy = |file: &str, to: &str| {
            let to = task.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(dir.path().join(file), to).unwrap();
        };
        copy("app", "bootstrap");
        copy("libs/libfoo.so.1", "lib/libfoo.so.1");
        copy("better.so", &format!("lib/{place}/libfoo.so.1"));
        finish(command("zip", task.path()).args(["-qr", "app.zip", "bootstrap", "lib"])).exits(0);
        let zip = task.path().join("app.zip").display().to_string();
        let verified = run(dir.path(), &format!("verify {zip} --runtime {runtime} --message-format json"));
        let found: Vec<String> =
            lints(&verified).into_iter().filter(|found| found.contains("cpu-level")).collect();
        assert_eq!(found, expected, "{verified}");
    }
}

#[test]
fn arm_processors_that_lambda_may_not_have() {
    let gcc = "aarch64-linux-gnu-gcc";
    if !tools::require(gcc, "gcc-aarch64-linux-gnu") {
        return;
    }
    let of = |option: &str| {
        let dir = tempfile::tempdir().unwrap();
        Compiler(&[gcc]).compile(dir.path(), "int main(void) { return 0; }", "app", &format!("-g {option}"));
        lints(&run(dir.path(), "check --binary app --message-format json"))
    };
    assert_eq!(of("-march=armv8.4-a"), ["warning cpu-level app"]);
    assert_eq!(of("-mcpu=neoverse-v1"), ["warning cpu-level app"]);
    assert_eq!(of("-mcpu=cortex-a72"), [""; 0]);
    assert_eq!(of("-march=armv8.2-a"), [""; 0]);
    assert_eq!(of("-mcpu=neoverse-n1"), [""; 0]);
}

#[test]
fn a_library_that_wants_its_database() {
    let library = "libmagic.so.1";
    if !tools::require("cc", "gcc") || !require_library(library, "libmagic1") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = "void *magic_open(int); int main(void) { return magic_open(0) != 0; }";
    CC.compile(dir.path(), source, "app", "-l:libmagic.so.1");
    let said = ["`libmagic.so.1` needs the database `magic.mgc`", "set `MAGIC=/var/task/share/magic.mgc`"];
    check(dir.path(), "", &["warning companion-data libmagic.so.1"], &said);
    std::fs::write(dir.path().join("magic.mgc"), "data").unwrap();
    check(dir.path(), "--include magic.mgc=share/", &[], &[]);
}

#[test]
fn a_library_that_another_brings_is_a_note() {
    if !tools::require("cc", "gcc") || !require_library("libpq.so", "libpq-dev") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    CC.compile(
        dir.path(),
        "int PQlibVersion(void); int main(void) { return PQlibVersion(); }",
        "app",
        "-lpq",
    );
    check(dir.path(), "", &["note companion-data libsasl2.so.2"], &["set `SASL_PATH=/var/task/lib/sasl2`"]);
}

#[test]
fn the_empty_stand_in_for_icu() {
    if !tools::require("cc", "gcc") || !require_library("libicudata.so.72", "libicu72") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let soname = "-shared -Wl,-soname,libicudata.so.72";
    CC.compile(dir.path(), "const char icudt72_dat[64];", "stub/libicudata.so.72", soname);
    let source = "extern const char icudt72_dat[]; int main(void) { return icudt72_dat[0]; }";
    CC.compile(dir.path(), source, "app", "-Wl,--no-as-needed -l:libicudata.so.72 -no-pie -fPIC");
    let stub = ["warning companion-data libicudata.so.72"];
    check(dir.path(), "--library-path stub", &stub, &["the library is the empty stub"]);
    check(dir.path(), "", &[], &[]);
}

#[test]
fn icu_of_dotnet() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    CC.compile(
        dir.path(),
        "int load(void) { return 0; }",
        "libSystem.Globalization.Native.so",
        "-shared -fPIC",
    );
    CC.compile(dir.path(), "int load(void) { return 0; }", "libicuuc.so.72", "-shared -fPIC");
    CC.compile(dir.path(), "int main(void) { return 0; }", "app", "");
    let library = "--include libSystem.Globalization.Native.so";
    let missing = ["warning companion-data libSystem.Globalization.Native.so"];
    check(dir.path(), library, &missing, &["set `DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1`"]);
    check(dir.path(), &format!("{library} --include libicuuc.so.72=lib/"), &[], &[]);
}

#[test]
fn character_sets_beside_a_c_library_of_the_bundle() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <iconv.h>\nint main(void) { return iconv_open(\"A\", \"B\") != 0; }";
    CC.compile(dir.path(), source, "app", "");
    let places = [("", "`GCONV_PATH=/var/task/lib/gconv`"), (" --kind layer", "`GCONV_PATH=/opt/lib/gconv`")];
    for (kind, place) in places {
        let ran = run(dir.path(), &format!("check --binary app --libc bundle -v{kind}"));
        ran.exits(0).says(&["companion-data", place]);
    }
    check(dir.path(), "--libc bundle", &["warning companion-data libc.so.6"], &[]);
    check(dir.path(), "", &[], &[]);
    CC.compile(dir.path(), "int main(void) { return 0; }", "app", "");
    check(dir.path(), "--libc bundle", &[], &[]);
}

const NOT_A_RUNTIME: &[&str] = &["warning not-a-runtime app"];

#[test]
fn a_program_that_asks_for_no_requests() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = "int main(void) { return 0; }";
    CC.compile_as_is(dir.path(), source, "app", "");
    check(dir.path(), "", NOT_A_RUNTIME, &["`app` does not use Lambda's Runtime API"]);
    run(dir.path(), "check --binary app --allow not-a-runtime").exits(0).keeps_silent_about(&["warning"]);
    run(dir.path(), "check --binary app --deny not-a-runtime").exits(1).says(&[
        "error[not-a-runtime]",
        "Failed app: starts on provided.al2023 (x86_64), but a finding is denied\n",
    ]);
    // A language's runtime asks for itself; images and tables of the user's own start a `bootstrap`.
    std::fs::write(dir.path().join("own"), "runtime mine\nroot provided.al2023\narch x86_64\n").unwrap();
    for (runtime, expected) in [
        ("--runtime nodejs22.x --kind layer", &[][..]),
        ("--runtime java21 --kind layer", &[]),
        ("--runtime image:al2023", NOT_A_RUNTIME),
        ("--baseline own", NOT_A_RUNTIME),
    ] {
        let ran = run(dir.path(), &format!("check --binary app --message-format json {runtime}"));
        assert_eq!(lints(&ran), expected, "{runtime}: {ran}");
    }
    CC.compile(dir.path(), source, "app", "");
    check(dir.path(), "", &[], &[]);
}

#[test]
fn a_library_that_asks_for_requests() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let library = |variable: &str| {
        let source = format!("#include <stdlib.h>\nchar *f(void) {{ return getenv(\"{variable}\"); }}");
        CC.compile(dir.path(), &source, "libasks.so", "-shared -fPIC -Wl,-soname,libasks.so");
    };
    library("HOME");
    let source = "char *f(void); int main(void) { return f() != 0; }";
    CC.compile_as_is(dir.path(), source, "app", "libasks.so");
    check(dir.path(), "--library-path .", NOT_A_RUNTIME, &[]);
    library("AWS_LAMBDA_RUNTIME_API");
    check(dir.path(), "--library-path .", &[], &[]);
}

#[test]
fn each_finding_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    for code in Code::ALL {
        let ran = run(dir.path(), &format!("explain {}", code.as_str())).exits(0);
        assert!(ran.stdout.starts_with(&format!("# {}\n\n", code.as_str())), "{ran}");
        for title in ["Why", "How to see it", "What to do"] {
            let section = ran.stdout.split(&format!("\n## {title}\n\n")).nth(1).unwrap_or_default();
            assert!(section.len() > 10, "{title}: {ran}");
        }
        assert!(ran.stderr.is_empty(), "{ran}");
    }
    let help = "error: `explain mising-library` is not the code of a finding\nhelp: did you mean `explain missing-library`?\n";
    run(dir.path(), "explain mising-library").exits(2).says(&[help]);
    run(dir.path(), "explain what-ever").exits(2).says(&["help: the most similar are "]);
    for (words, help) in [
        ("Runtime.InvalidEntrypoint", "help: see `explain wrong-arch` or `explain not-elf` or "),
        ("127", "help: see `explain missing-library`\n"),
    ] {
        run(dir.path(), &format!("explain {words}")).exits(2).says(&[help]);
    }
}
