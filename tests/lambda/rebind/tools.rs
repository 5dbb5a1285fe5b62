//! Tools on rebound files: they have no complaint that they do not have of the file as it was linked, and the edit
//! changes only the tables that it has to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cargo_lambda_bundle::elf::{self, Arch};
use cargo_lambda_bundle::repair::{COMPAT, GivenUp, compat_object, edit};
use goblin::elf::Elf;

use crate::rebind::edit::{compile, edits};
use crate::support::compile::rust_lld;
use crate::support::debian::DEBIAN_13;
use crate::support::tools;

/// Refers to names of every kind.
const SOURCE: &str = "
    #include <math.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    int pidfd_getpid(int) __attribute__((weak));
    int parsed(const char *text) {
        char copy[9]; int more = 0;
        strlcpy(copy, text, 9); sscanf(text, \"%*d %d\", &more);
        return strtol(copy, 0, 10) + fmod(more, 8) + hypot(3, 4) + arc4random_uniform(1) + !pidfd_getpid;
    }";

/// Calls it.
const MAIN: &str = "int main(void) { printf(\"%d\\n\", parsed(\"30 14\")); return 0; }";

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// What eu-elflint has to say.
fn lint(file: &Path) -> BTreeSet<String> {
    let output = Command::new("eu-elflint").arg("--gnu-ld").arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    text.lines().map(|line| line.replace(|letter: char| letter.is_ascii_digit(), "")).collect()
}

/// Asserts that no section has changed but those with the versions and names of symbols.
#[track_caller]
fn keeps_all_else(before: &[u8], after: &[u8], what: &str) {
    let (was, is) = (Elf::parse(before).unwrap(), Elf::parse(after).unwrap());
    assert_eq!(was.section_headers.len(), is.section_headers.len(), "{what}");
    let mut same = 0;
    for (one, other) in was.section_headers.iter().zip(&is.section_headers) {
        let name = was.shdr_strtab.get_at(one.sh_name).unwrap_or_default();
        assert_eq!(name, is.shdr_strtab.get_at(other.sh_name).unwrap_or_default(), "{what}");
        let tables = [".dynamic", ".dynstr", ".dynsym", ".gnu.version", ".gnu.version_r", ".shstrtab"];
        let Some(range) = one.file_range().filter(|_| !tables.contains(&name)) else { continue };
        // The path of the interpreter or a note may move or go to make room.
        let may_move = name == ".interp" || name.starts_with(".note");
        let stays = (one.sh_addr, other.file_range()) == (other.sh_addr, Some(range.clone()));
        assert!(stays || may_move, "{what}: {name}");
        if stays {
            assert!(before[range.clone()] == after[range], "{what}: {name}");
            same += 1;
        }
    }
    assert!(same > 10, "{what}: {same} sections");
}

/// Looks at a file of glibc 2.41 as it was linked and rebound; `start` is what starts the rebound one.
#[track_caller]
fn check(linked: &Path, rebound: &Path, start: &dyn Fn() -> Output) {
    let what = rebound.display().to_string();
    let before = fs::read(linked).unwrap();
    let edits = edits(&elf::parse(&before).unwrap());
    assert!(edits.unbind.len() > 2 && edits.rename_symbols.len() > 1, "{edits:?}");
    let edited = edit(&before, &edits).unwrap();
    keeps_all_else(&before, &edited.bytes, &what);
    // Another process writes it: see `copy_program`.
    let bytes = linked.with_extension("edited");
    fs::write(&bytes, &edited.bytes).unwrap();
    fs::set_permissions(&bytes, fs::metadata(linked).unwrap().permissions()).unwrap();
    tools::copy_program(&bytes, rebound);

    let new: Vec<String> = lint(rebound).difference(&lint(linked)).cloned().collect();
    // A symbol of the C start files names the note that is given up for room, and .dynamic may be in another place.
    let is_known = |line: &&String| {
        let notes =
            edited.lost.iter().any(|lost| matches!(lost, GivenUp::KernelCheck | GivenUp::BuildIdInCore));
        line.contains("_DYNAMIC") || *line == "No errors" || notes && line.contains("__abi_tag")
    };
    let new: Vec<&String> = new.iter().filter(|line| !is_known(line)).collect();
    assert!(new.is_empty(), "{what}: {new:#?} {:?}", edited.lost);
    let readelf = run(Command::new("readelf").arg("-aW").arg(rebound));
    assert_eq!(String::from_utf8_lossy(&readelf.stderr), "", "{what}");
    let functions = |file: &Path| {
        let asked = [
            "-batch",
            "-nx",
            "-ex",
            "info functions",
            "-ex",
            "info line parsed",
            "-ex",
            "disassemble parsed",
        ];
        let said = run(Command::new("gdb").args(asked).arg(file)).stdout;
        String::from_utf8(said).unwrap()
    };
    // gdb names entries of the procedure linkage table by the symbols, whose names are other ones.
    let lines = |file: &Path| functions(file).lines().filter(|line| !line.contains("@plt")).count();
    assert_eq!(lines(rebound), lines(linked), "{what}: gdb");
    assert!(functions(rebound).contains("parsed"), "{what}");

    assert_eq!(start().stdout, b"42\n", "{what}");
    run(Command::new("strip").arg(rebound));
    assert_eq!(start().stdout, b"42\n", "{what}: stripped");
}

#[test]
fn tools_have_no_new_complaint() {
    let needed = [("eu-elflint", "elfutils"), ("readelf", "binutils"), ("strip", "binutils"), ("gdb", "gdb")];
    if !tools::require_glibc_before(38) || !needed.iter().all(|(tool, package)| tools::require(tool, package))
    {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    for linker in ["", "-Wl,--hash-style=both -Wl,-z,now", &rust_lld()] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at(COMPAT), compat_object(Arch::X86_64)).unwrap();
        let flags = format!("-std=gnu2x -D_DEFAULT_SOURCE -fno-builtin -g -O1 -w -lm {linker}");
        compile(&root, dir.path(), &format!("{SOURCE}{MAIN}"), "linked", &flags);
        let start = |program: &str| {
            run(Command::new(at(program)).env("LD_BIND_NOW", "1").env("LD_LIBRARY_PATH", dir.path()))
        };
        check(&at("linked"), &at("rebound"), &|| start("rebound"));
        let shared = "-shared -fPIC -Wl,-soname,librebound.so.1";
        compile(&root, dir.path(), SOURCE, "liblinked.so.1", &format!("{flags} {shared}"));
        let main = format!("#include <stdio.h>\nint parsed(const char *);\n{MAIN}");
        let caller = "-Wl,--allow-shlib-undefined liblinked.so.1";
        crate::support::compile::CC.compile_as_is(dir.path(), &main, "caller", caller);
        check(&at("liblinked.so.1"), &at("librebound.so.1"), &|| start("caller"));
    }
}

#[test]
fn gdb_runs_a_rebound_program() {
    if !tools::require_glibc_before(38) || !tools::require("gdb", "gdb") {
        return;
    }
    let Some(root) = DEBIAN_13.unpacked() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    fs::write(dir.path().join(COMPAT), compat_object(Arch::X86_64)).unwrap();
    let flags = "-std=gnu2x -D_DEFAULT_SOURCE -fno-builtin -g -O1 -w -lm";
    compile(&root, dir.path(), &format!("{SOURCE}{MAIN}"), "linked", flags);
    let before = fs::read(dir.path().join("linked")).unwrap();
    let edits = edits(&elf::parse(&before).unwrap());
    fs::write(dir.path().join("edited"), edit(&before, &edits).unwrap().bytes).unwrap();
    tools::copy_program(dir.path().join("edited"), &program);
    run(Command::new("chmod").arg("755").arg(&program));
    let said = run(Command::new("gdb")
        .args([
            "-batch",
            "-nx",
            "-ex",
            "break parsed",
            "-ex",
            "run",
            "-ex",
            "backtrace",
            "-ex",
            "finish",
            "-ex",
            "continue",
        ])
        .arg(&program)
        .env("LD_LIBRARY_PATH", dir.path()));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let expected =
        ["#0  parsed (text=", "#1  0x", " in main ()", "Value returned is $1 = 42", "exited normally"];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
}
