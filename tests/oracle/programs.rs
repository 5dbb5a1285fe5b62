//! Files that are no programs, and programs that do not look like one: what we say, beside a real start.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::support::command::{Ran, run};
use crate::support::compile::CC;
use crate::support::fields::{fields, number};
use crate::support::tools;
use cargo_lambda_bundle::elf::{self, DF_1_PIE};

const MAIN: &str = "int main(void) { return 0; }";

struct Scene {
    dir: tempfile::TempDir,
}

#[track_caller]
fn scene() -> Option<Scene> {
    let needs = [("cc", "gcc"), ("zip", "zip")];
    let able = needs.iter().all(|(tool, package)| tools::require(tool, package));
    able.then(|| Scene { dir: tempfile::tempdir().unwrap() })
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes over the value of a dynamic entry; returns whether there is one.
    fn set(&self, file: &str, field: &str, value: u64) {
        let mut bytes = fs::read(self.path(file)).unwrap();
        let found = fields(&bytes).into_iter().find(|known| known.name == field).unwrap();
        assert_ne!(number(&bytes, found.at, found.size), value);
        bytes[found.at..][..found.size].copy_from_slice(&value.to_le_bytes()[..found.size]);
        // As another file: the linker's own may still be open.
        fs::remove_file(self.path(file)).unwrap();
        fs::write(self.path(file), bytes).unwrap();
        fs::set_permissions(self.path(file), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn starts(&self, file: &str) -> Option<ExitStatus> {
        for _ in 0..100 {
            match Command::new(self.path(file)).env_clear().status() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                status => return status.ok(),
            }
        }
        panic!("{file} stays busy");
    }

    /// What `verify` says of an archive with this one file.
    #[track_caller]
    fn verified(&self, file: &str, name: &str, arguments: &str) -> Ran {
        let stage = self.path("stage");
        let _ = fs::remove_dir_all(&stage);
        fs::create_dir_all(stage.join(name).parent().unwrap()).unwrap();
        fs::copy(self.path(file), stage.join(name)).unwrap();
        fs::set_permissions(stage.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let _ = fs::remove_file(self.path("app.zip"));
        let zip = Command::new("zip").args(["-qr", "../app.zip", "."]).current_dir(&stage).status().unwrap();
        assert!(zip.success());
        run(self.dir.path(), &format!("verify app.zip {arguments}"))
    }
}

fn is_success(status: Option<ExitStatus>) -> bool {
    status.is_some_and(|status| status.success())
}

#[test]
fn a_bootstrap_that_is_no_program_does_not_start() {
    let Some(s) = scene() else { return };
    let dir = s.dir.path();
    CC.compile_as_is(dir, "int f(void) { return 1; }", "plugin", "-shared -fPIC");
    CC.compile_as_is(dir, "int f(void) { return 1; }", "library", "-shared -fPIC -Wl,-soname,libf.so.1");
    CC.compile_as_is(dir, MAIN, "object", "-c");
    fs::copy("/lib/x86_64-linux-gnu/libc.so.6", s.path("libc")).unwrap();
    for (file, what) in
        [("plugin", "a shared library"), ("library", "a shared library"), ("object", "an object file")]
    {
        fs::set_permissions(s.path(file), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_success(s.starts(file)), "{file} starts");
        let says = format!("`bootstrap` cannot be started: it is {what}, not a program");
        s.verified(file, "bootstrap", "").exits(1).says(&[&says]);
        let says = format!("`extensions/x` cannot be started: it is {what}, not a program");
        s.verified(file, "extensions/x", "--kind extension").exits(1).says(&[&says]);
        run(dir, &format!("--binary {file} -o out.zip")).exits(101).says(&[what]);
    }
    // It prints its version; it is no function.
    s.verified("libc", "bootstrap", "").exits(1).says(&["a shared library, not a program"]);
    fs::write(s.path("empty"), "").unwrap();
    s.verified("empty", "extensions/x", "--kind extension").exits(1).says(&["cannot be started"]);
}

#[test]
fn a_program_of_an_older_linker_has_no_flag_that_says_so() {
    let Some(s) = scene() else { return };
    let dir = s.dir.path();
    CC.compile(dir, MAIN, "static", "-static-pie");
    CC.compile(dir, MAIN, "named", "-pie -Wl,-soname,libnamed.so.1");
    for file in ["static", "named"] {
        s.set(file, "dynFLAGS_1.d_val", 0);
        let facts = elf::parse(&fs::read(s.path(file)).unwrap()).unwrap();
        assert_eq!(facts.flags_1 & DF_1_PIE, 0);
        assert!(is_success(s.starts(file)), "{file}");
        run(dir, &format!("--binary {file} -o {file}.zip")).exits(0);
        s.verified(file, "bootstrap", "").exits(0);
    }
}

#[test]
fn an_interpreter_that_is_a_library_is_no_loader() {
    let Some(s) = scene() else { return };
    CC.compile(s.dir.path(), MAIN, "app", "-Wl,--dynamic-linker=/lib64/libc.so.6");
    assert!(!is_success(s.starts("app")));
    let says = ["names the interpreter `/lib64/libc.so.6`, which is not a loader"];
    run(s.dir.path(), "check --binary app --repair never").exits(1).says(&says);
    s.verified("app", "bootstrap", "").exits(1).says(&says);
}

#[test]
fn a_program_with_a_fault_does_not_start() {
    let Some(s) = scene() else { return };
    for (field, value, says) in [
        ("ehdr.e_entry", 0, "its entry point is not in executable code"),
        ("dynPLTREL.d_val", 17, "its DT_PLTREL is 17, not 7 (DT_RELA)"),
        ("dynRELAENT.d_val", 16, "its DT_RELAENT is 16, not 24"),
        ("rela.r_type", 3, "its DT_RELACOUNT counts a relocation of another type"),
    ] {
        CC.compile(s.dir.path(), "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }", "app", "");
        assert!(is_success(s.starts("app")));
        s.set("app", field, value);
        assert!(!is_success(s.starts("app")), "{field}");
        let says = format!("error[not-elf]: `app` does not start: {says}");
        run(s.dir.path(), "--binary app -o out.zip").exits(1).says(&[&says]);
        assert!(!Path::new(&s.path("out.zip")).exists(), "{field}");
        s.verified("app", "bootstrap", "").exits(1).says(&["`bootstrap` does not start"]);
    }
}
