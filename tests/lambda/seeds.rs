//! The flows of two tools that came before: aws-lambda-packager, and the runtime layer of Lumo.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::command::{command, finish, run};
use crate::support::compile::{CC, Compiler};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use crate::support::tools;
use cargo_lambda_bundle::elf::Arch;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// `save-library-list`, `print-missing-libs` and `copy-missing-libs`, for a root in which the function then starts.
#[test]
fn a_list_made_on_a_root_then_print_then_copy() {
    if !lambda_root::require(Arch::X86_64) || !tools::require("zip", "zip") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let library = |name: &str, flags: &str| {
        let source = format!("int {name}(void) {{ return 0; }}");
        let output = format!("libs/lib{name}.so.1");
        CC.compile(dir, &source, &output, &format!("-shared -fPIC -Wl,-soname,lib{name}.so.1 {flags}"));
    };
    library("deep", "");
    library("top", "-Wl,--no-as-needed libs/libdeep.so.1");
    let main = "int top(void); int main(void) { return top(); }";
    CC.compile(dir, main, "app", "-Wl,--no-as-needed libs/libtop.so.1 -lm -Wl,-rpath-link,libs");

    // The list, made where the function will run.
    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let list = "du -a \"$0/lib64\" \"$0/usr/lib64\" | cut -f2 | sed \"s|^$0||\" > lambda.list";
    finish(command("sh", dir).args(["-c", list]).arg(root.path("").to_str().unwrap().trim_end_matches('/')))
        .exits(0);
    let listed = fs::read_to_string(dir.join("lambda.list")).unwrap();
    assert!(listed.contains("/usr/lib64/libc.so.6\n"), "{listed}");

    // Print what is missing.
    let app = "--binary app --library-path libs --baseline lambda.list";
    let ran = run(dir, &format!("check {app} --message-format json")).exits(0);
    let document = ran.json();
    let libraries = document["artifacts"][0]["libraries"].as_array().unwrap();
    let missing = libraries.iter().filter(|library| library["from"] == "bundle");
    let missing: Vec<&str> = missing.map(|library| library["soname"].as_str().unwrap()).collect();
    assert_eq!(missing, ["libdeep.so.1", "libtop.so.1"]);
    let ran = run(dir, &format!("explain libdeep.so.1 {app}")).exits(0);
    assert!(ran.stdout.contains("libdeep.so.1"), "{ran}");

    // Copy it.
    run(dir, &format!("{app} --libraries-only --dir -o missing")).exits(0);
    assert_eq!(names(&dir.join("missing")), ["lib".to_owned()].into());
    assert_eq!(names(&dir.join("missing/lib")), ["libdeep.so.1", "libtop.so.1"].map(str::to_owned).into());

    // Copy it into a directory that has the program and other files, as often as one likes.
    write(&dir.join("package/notes.txt"), "mine\n");
    fs::copy(dir.join("app"), dir.join("package/bootstrap")).unwrap();
    let beside = app.replace("--binary app", "--binary package/bootstrap");
    for _ in 0..2 {
        run(dir, &format!("{beside} --libraries-only --dir -o package")).exits(0);
        assert_eq!(names(&dir.join("package")), ["bootstrap", "lib", "notes.txt"].map(str::to_owned).into());
        assert_eq!(
            names(&dir.join("package/lib")),
            ["libdeep.so.1", "libtop.so.1"].map(str::to_owned).into()
        );
    }
    assert_eq!(fs::read(dir.join("package/bootstrap")).unwrap(), fs::read(dir.join("app")).unwrap());
    // Package it with another tool.
    finish(command("zip", &dir.join("package")).args(["-qr", "../package.zip", "."])).exits(0);
    run(dir, "verify package.zip").exits(0).says(&["package.zip: starts on"]);
    root.unpack_function(&dir.join("package.zip"));
    assert!(root.start("/var/task/bootstrap", &[]).status.success());
    // What is not the bundle's stays where the libraries go, too.
    write(&dir.join("package/lib/mine.so"), "mine");
    run(dir, &format!("{beside} --libraries-only --dir -o package"))
        .exits(101)
        .says(&["package` contains `lib/mine.so`, which is not part of this bundle"]);
    assert!(dir.join("package/lib/mine.so").is_file() && dir.join("package/lib/libtop.so.1").is_file());

    // And the whole, in one step.
    run(dir, &format!("{app} -o app.zip")).exits(0).says(&["warning[version-unknown]", "; may start\n"]);
    root.unpack_function(&dir.join("app.zip"));
    let output = root.start("/var/task/bootstrap", &[]);
    assert!(output.status.success(), "{output:?}");
}

/// Prints its arguments and what is in the file that is the first of them.
const CLJS: &str = r#"
#include <stdio.h>
int main(int count, char **arguments) {
    char line[128] = "";
    FILE *file = fopen(arguments[1], "r");
    if (file) fgets(line, sizeof line, file);
    fprintf(stderr, "%d %s", count, line);
    return !file;
}
"#;

#[test]
fn a_runtime_layer_of_a_static_program_a_script_and_data() {
    if !lambda_root::require(Arch::X86_64)
        || !tools::require("musl-gcc", "musl-tools")
        || !tools::require("busybox", "busybox-static")
        || !tools::require("zip", "zip")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Compiler(&["musl-gcc"]).compile(dir, CLJS, "lumo", "-static");
    write(&dir.join("bootstrap"), "#!/bin/sh\nset -eu\nexec /opt/lumo /opt/cljs/runtime.cljs \"$@\"\n");
    write(&dir.join("cljs/runtime.cljs"), "(ns runtime)\n");
    write(&dir.join("cljs/lib/core.jar"), "PK");
    let bundle = "--kind layer --binary lumo --include bootstrap --include cljs -o runtime.zip";
    let ran = run(dir, bundle).exits(0);
    ran.keeps_silent_about(&["warning"]);
    let listing = finish(command("unzip", dir).args(["-Z1", "runtime.zip"])).exits(0).stdout;
    assert_eq!(listing, "bootstrap\ncljs/lib/core.jar\ncljs/runtime.cljs\nlumo\n");
    run(dir, "verify --kind layer runtime.zip").exits(0);

    let root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    fs::create_dir(root.path("bin")).unwrap();
    tools::copy_program(which::which("busybox").unwrap(), root.path("bin/sh"));
    root.unpack_layer(&dir.join("runtime.zip"));
    let output = root.start("/opt/bootstrap", &["an argument"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "3 (ns runtime)\n", "{output:?}");

    // A function of sources alone, which the layer's `bootstrap` starts.
    write(&dir.join("f/my_package/my_ns.cljs"), "(ns my-package.my-ns)\n");
    finish(command("zip", &dir.join("f")).args(["-qr", "../f.zip", "."])).exits(0);
    run(dir, "verify f.zip").exits(1).says(&["error[bootstrap-missing]"]);
    run(dir, "verify f.zip --attached-layer runtime.zip")
        .exits(0)
        .says(&["f.zip: starts on provided.al2023"]);
    root.unpack_function(&dir.join("f.zip"));
    assert!(root.path("var/task/my_package/my_ns.cljs").is_file());
    let output = root.start("/opt/bootstrap", &["my-package.my-ns/handler"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "3 (ns runtime)\n", "{output:?}");

    // The program that the script starts is looked at: linked dynamically to musl, it starts nowhere on Lambda.
    Compiler(&["musl-gcc"]).compile(dir, CLJS, "lumo", "");
    let broken = &["error[interpreter-missing]", "/lib/ld-musl-x86_64.so.1"];
    run(dir, bundle).exits(1).says(broken);
    run(dir, &format!("{bundle} --write-anyway")).exits(1);
    run(dir, "verify --kind layer runtime.zip").exits(1).says(broken);
    run(dir, "verify runtime.zip").exits(1).says(broken);
}

#[test]
fn a_static_program_of_glibc_that_looks_up_names_gets_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let look_up = "#include <netdb.h>\n#include <pwd.h>\nint main(void) {
        struct addrinfo *found; return getaddrinfo(\"localhost\", 0, 0, &found) || !getpwnam(\"root\"); }";
    for flags in ["-static", "-static-pie"] {
        CC.compile(dir, look_up, "app", flags);
        run(dir, "--binary app -o app.zip").exits(0).says(&[
            "warning[static-glibc-nss]: `app`",
            "getaddrinfo",
            "getpwnam",
            "musl",
        ]);
        run(dir, "verify app.zip").exits(0).says(&["warning[static-glibc-nss]: `bootstrap`"]);
        run(dir, "verify app.zip --deny static-glibc-nss").exits(1);
    }
    // iconv and dlopen are in every static program.
    CC.compile(dir, "int main(void) { return 0; }", "plain", "-static");
    run(dir, "check --binary plain").exits(0).keeps_silent_about(&["static-glibc-nss"]);
    CC.compile(dir, look_up, "dynamic", "");
    run(dir, "check --binary dynamic").exits(0).keeps_silent_about(&["static-glibc-nss"]);
}
