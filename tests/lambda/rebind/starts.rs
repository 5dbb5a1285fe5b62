//! Programs that were linked to glibc 2.41, bundled and started in a root with glibc 2.36.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_lambda_bundle::elf::{self, Arch};
use cargo_lambda_bundle::repair::COMPAT;

use crate::rebind::edit::compile;
use crate::support::command::run;
use crate::support::debian::{DEBIAN_11, DEBIAN_13};
use crate::support::lambda_root::{self, LambdaRoot, provided_al2023};

/// Starts itself as its child.
const RUST: &str = r#"
#[used]
static SIGN: &str = "AWS_LAMBDA_RUNTIME_API";
fn main() {
    if std::env::args().nth(1).as_deref() == Some("child") {
        println!("the child");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).arg("child").output().unwrap();
    assert!(output.status.success());
    print!("the parent of {}", String::from_utf8(output.stdout).unwrap());
}
"#;

/// Compiles a program of Rust for glibc 2.41.
fn rust(root: &Path, dir: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let (source, program) = (dir.join("program.rs"), dir.join(name));
    fs::write(&source, RUST).unwrap();
    let (root, lib) = (root.display(), "lib/x86_64-linux-gnu");
    let link = format!("-Clink-args=--sysroot={root} -B{root}/usr/{lib} -L{root}/usr/{lib}");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2021", "-O", &link])
        .args(flags)
        .arg(source)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Starts a bundle in a root of this machine's glibc, and in one without the nodes after 2.34; what it prints.
#[track_caller]
fn start(zip: &Path) -> String {
    let debian_11 = DEBIAN_11.unpacked().expect("Debian's packages can be had");
    let root = || LambdaRoot::new(Arch::X86_64, &provided_al2023(Arch::X86_64));
    let [printed, on_2_34] = [root(), root().with_glibc_of_al2023(&debian_11)].map(|root| {
        root.unpack_function(zip);
        let output = root.start("/var/task/bootstrap", &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{} {said}", output.status);
        String::from_utf8(output.stdout).expect("text")
    });
    assert_eq!(printed, on_2_34);
    printed
}

#[test]
fn a_rust_program_that_starts_others_starts_without_a_rebuild() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, flags) in
        [("lld", &[][..]), ("gnu", &["-Clinker-features=-lld"]), ("now", &["-Crelro-level=full"])]
    {
        let program = rust(&root, dir.path(), name, flags);
        let facts = elf::parse(&fs::read(&program).unwrap()).unwrap();
        assert!(facts.verneed.iter().any(|need| need.node == "GLIBC_2.39"), "{:?}", facts.verneed);
        run(dir.path(), &format!("--binary {name} --repair never")).exits(1).says(&["GLIBC_2.39"]);
        run(dir.path(), &format!("--binary {name} -v -o {name}.zip")).exits(0).says(&["note[glibc-rebound]"]);
        run(dir.path(), &format!("verify {name}.zip")).exits(0).says(&["starts on provided.al2023"]);
        assert_eq!(start(&dir.path().join(format!("{name}.zip"))), "the parent of the child\n");
    }
}

#[test]
fn a_program_and_a_library_of_c_start_without_a_rebuild() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let library = "#include <stdlib.h>\n#include <string.h>\n\
        long parsed(const char *text) { char b[9]; strlcpy(b, text, 9); return strtol(b, 0, 10); }";
    compile(
        &root,
        dir.path(),
        library,
        "libparsed.so.1",
        "-std=gnu2x -D_DEFAULT_SOURCE -shared -fPIC -Wl,-soname,libparsed.so.1",
    );
    let program = "#include <stdio.h>\n#include <math.h>\nlong parsed(const char *);\n\
        __attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n\
        int main(int c, char **v) { int n; sscanf(\"7\", \"%d\", &n); \
        printf(\"%ld %d %g\\n\", parsed(\"42\"), n, fmod(c + 6.5, 2)); return 0; }";
    compile(&root, dir.path(), program, "app", "-O0 -fno-builtin libparsed.so.1 -lm");
    run(dir.path(), "--binary app --library-path . -o app.zip")
        .exits(0)
        .says(&["warning[glibc-rebound]: `libparsed.so.1`"]);
    run(dir.path(), "verify app.zip").exits(0).says(&["starts on provided.al2023"]);
    assert_eq!(start(&dir.path().join("app.zip")), "42 7 1.5\n");
    let report = run(dir.path(), "check --binary app --library-path . --message-format json").json();
    let rebound = report["artifacts"][0]["rebound"].as_array().unwrap();
    assert!(
        rebound.iter().any(|one| one["object"] == "libparsed.so.1" && one["to"] == "strtol"),
        "{rebound:?}"
    );
    assert!(rebound.iter().any(|one| one["symbol"] == "strlcpy" && one["by"] == "bundle"), "{rebound:?}");
    run(dir.path(), "check --binary app --library-path . --deny glibc-rebound").exits(1);
    assert!(!dir.path().join(COMPAT).exists());
}

#[test]
fn a_captured_glibc_is_rebound_against_as_well() {
    if !lambda_root::require(Arch::X86_64) {
        return;
    }
    let Some(linked_to) = DEBIAN_13.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The glibc of this machine is none of those that have a list.
    let root = LambdaRoot::of_system(Path::new("/"), Arch::X86_64, &provided_al2023(Arch::X86_64));
    let system = root.path("");
    run(dir.path(), &format!("baseline capture --root {} -o captured", system.display())).exits(0);
    let parses = "#include <stdio.h>\n#include <stdlib.h>\n\
        __attribute__((used)) static const char sign[] = \"AWS_LAMBDA_RUNTIME_API\";\n\
        int main(void) { printf(\"%ld\\n\", strtol(\"42\", 0, 10)); return 0; }";
    compile(&linked_to, dir.path(), parses, "app", "-std=gnu2x -Wl,-z,now");
    let bundle = "--binary app --baseline captured";
    run(dir.path(), &format!("{bundle} --repair never")).exits(1).says(&["GLIBC_2.38"]);
    run(dir.path(), &format!("{bundle} -o app.zip")).exits(0).says(&["glibc-rebound"]);
    root.unpack_function(&dir.path().join("app.zip"));
    let output = root.start("/var/task/bootstrap", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{} {said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
}
