//! Version records that an editor broke: the name of a node was changed, and the hash beside it was not.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

use std::fs;
use std::path::Path;

use crate::support::command::run;
use crate::support::compile::CC;
use crate::support::tools;

/// Changes a text of a file; it stands there once, with its end.
#[track_caller]
fn edit(file: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(file).unwrap();
    let wanted = format!("\0{from}\0");
    let found: Vec<usize> = memchr::memmem::find_iter(&bytes, &wanted).collect();
    let [at] = found[..] else { panic!("`{from}` stands at {found:?}") };
    bytes[at + 1..at + 1 + to.len()].copy_from_slice(to.as_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_version_record_is_called_that_and_no_older_library_is_advised() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lib")).unwrap();
    fs::write(dir.path().join("map"), "V1 { global: foo; };").unwrap();
    let library = "-shared -fPIC -s -Wl,-soname,libfoo.so.1 -Wl,--version-script=map";
    CC.compile(dir.path(), "int foo(void) { return 1; }", "lib/libfoo.so.1", library);
    let main = "int foo(void); int main(void) { return foo(); }";
    CC.compile(dir.path(), main, "app", "-no-pie lib/libfoo.so.1");
    run(dir.path(), "check --binary app --library-path lib").exits(0);

    let advice = ["older", "as old as", "--sysroot"];
    fs::copy(dir.path().join("app"), dir.path().join("whole")).unwrap();
    edit(&dir.path().join("app"), "V1", "V2");
    run(dir.path(), "check --binary app --library-path lib").exits(1).keeps_silent_about(&advice).says(&[
        "error[version-too-new]: `app` needs V2 of `libfoo.so.1`, but ld.so does not find it\n  its own record of \
         versions is damaged: a name in it has the hash of another name\n",
        "help: `app` was edited after it was linked: build it again, or get the original file, without the \
         tool that edited it\n",
    ]);
    edit(&dir.path().join("lib/libfoo.so.1"), "V1", "V2");
    run(dir.path(), "check --binary whole --library-path lib").exits(1).keeps_silent_about(&advice).says(&[
        "error[version-too-new]: `whole` needs V1 of `libfoo.so.1`, but ld.so does not find it\n  that library's record \
         of versions is damaged: a name in it has the hash of another name\n",
        "help: `libfoo.so.1` was edited after it was linked: install it again, without the tool that edited it\n",
    ]);
}

#[test]
fn a_damaged_need_of_glibc_does_not_ask_for_an_older_glibc() {
    if !tools::require("cc", "gcc") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let main = "#include <stdio.h>\nint main(void) { return puts(\"\"); }";
    CC.compile(dir.path(), main, "app", "");
    edit(&dir.path().join("app"), "GLIBC_2.2.5", "GLIBC_2.2.9");
    let ran = run(dir.path(), "check --binary app").exits(1);
    ran.keeps_silent_about(&["older", "musl", "--libc bundle"]).says(&[
        "`app` needs GLIBC_2.2.9 of `libc.so.6`, but ld.so does not find it\n  its own record of versions is damaged",
    ]);
}
