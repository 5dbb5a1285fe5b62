//! Libraries that are of little use without files beside them: what the advice of `companion-data` is worth.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::path::Path;

use crate::support::command::run;
use crate::support::compile::{CC, require_debian_12, require_library};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};
use cargo_lambda_bundle::elf::Arch;

/// A library, and a program that needs the files beside it.
struct Companion {
    library: &'static str,
    package: &'static str,
    /// Prints "found" if the files are there.
    program: &'static str,
    /// The arguments and the environment that the finding advises.
    advice: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

#[track_caller]
fn check(companion: &Companion) {
    let Companion { library, package, program, advice, environment } = *companion;
    if !lambda_root::require(Arch::X86_64) || !require_debian_12() || !require_library(library, package) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    CC.compile(dir.path(), program, "app", &format!("-l:{library}"));
    let alone = run(dir.path(), "--binary app -o alone.zip").exits(0);
    let alone = alone.says(&[&format!("warning[companion-data]: `{library}` needs")]);
    assert!(!start(&dir.path().join("alone.zip"), &[]).contains("found\n"));

    let said = alone.stderr.replace('\'', "");
    for (name, value) in environment {
        assert!(said.contains(&format!("{name}={value}")), "{said}");
    }
    for include in advice {
        assert!(said.contains(&format!("--include {include}")), "{said}");
    }
    let include: Vec<String> = advice.iter().map(|include| format!("--include {include}")).collect();
    run(dir.path(), &format!("--binary app -o app.zip {}", include.join(" ")))
        .exits(0)
        .keeps_silent_about(&["companion-data"]);
    assert_eq!(start(&dir.path().join("app.zip"), environment), "found\n");
}

fn start(zip: &Path, environment: &[(&str, &str)]) -> String {
    let mut root = LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    root.unpack_function(zip);
    for (name, value) in environment {
        root.set_env(name, value);
    }
    String::from_utf8_lossy(&root.start("/var/task/bootstrap", &[]).stdout).into_owned()
}

#[test]
fn mariadb_finds_its_plugins() {
    check(&Companion {
        library: "libmariadb.so.3",
        package: "libmariadb3",
        program: "#include <stdio.h>\n\
            void *mysql_init(void *), *mysql_client_find_plugin(void *, const char *, int);\n\
            int main(void) { void *h = mysql_init(0);\n\
            puts(mysql_client_find_plugin(h, \"caching_sha2_password\", 2) ? \"found\" : \"no plugin\"); }",
        advice: &["/usr/lib/x86_64-linux-gnu/libmariadb3/plugin=lib/mariadb/"],
        environment: &[("MARIADB_PLUGIN_DIR", "/var/task/lib/mariadb")],
    });
}

#[test]
fn python_finds_its_standard_library() {
    check(&Companion {
        library: "libpython3.11.so.1.0",
        package: "libpython3.11",
        program: "void Py_Initialize(void); int PyRun_SimpleString(const char *);\n\
            int main(void) { Py_Initialize();\n\
            return PyRun_SimpleString(\"import json; print(json.loads('\\\"found\\\"'), flush=True)\"); }",
        advice: &["/usr/lib/python3.11=lib/python3.11/"],
        environment: &[("PYTHONHOME", "/var/task")],
    });
}

#[test]
fn gstreamer_finds_its_plugins() {
    check(&Companion {
        library: "libgstreamer-1.0.so.0",
        package: "libgstreamer1.0-0",
        program: "#include <stdio.h>\nvoid gst_init(int *, char ***), *gst_element_factory_find(const char *);\n\
            int main(void) { gst_init(0, 0); puts(gst_element_factory_find(\"fakesink\") ? \"found\" : \"none\"); }",
        advice: &[
            "/usr/lib/x86_64-linux-gnu/gstreamer-1.0=lib/gstreamer-1.0/",
            "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner=bin/",
        ],
        environment: &[
            ("GST_PLUGIN_SYSTEM_PATH", "/var/task/lib/gstreamer-1.0"),
            ("GST_PLUGIN_SCANNER", "/var/task/bin/gst-plugin-scanner"),
            ("GST_REGISTRY", "/tmp/registry.bin"),
        ],
    });
}
