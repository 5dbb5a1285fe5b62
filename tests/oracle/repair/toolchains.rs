//! What linkers make, edited and run: kernel, ld.so and tools take it for the original.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use cargo_lambda_bundle::elf;
use cargo_lambda_bundle::repair::{Edited, Edits, GivenUp, edit};

use crate::repair::built::{Machine, World, must, rustc, without_sections, write};
use crate::repair::rules;
use crate::support::compile::{ZIG_2_34, require_zig, rust_lld};
use crate::support::tools;

/// What a file's linker is known for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    /// mold's symbols and NOBITS sections lose their segment in eu-elflint's eyes.
    Mold,
    /// No debug information: gdb and addr2line find no line.
    Stripped,
}

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}{stderr}{}", String::from_utf8_lossy(&output.stdout), output.status)
}

/// Without symbols a backtrace has no names.
fn unnamed(output: &Output) -> String {
    text(output).replace("backtrace: true", "backtrace: false")
}

fn rpath(path: impl Into<String>) -> Edits {
    Edits { rpath: Some(path.into()), ..Edits::default() }
}

#[track_caller]
fn edited(before: &[u8], edits: &Edits) -> Edited {
    let edited = edit(before, edits).unwrap_or_else(|refusal| panic!("{edits:?}: {refusal}"));
    rules::check(before, &edited.bytes, edits.rename_needed.is_empty());
    edited
}

/// Every edit of a program that links `libgreet.so.1`, run afterwards.
#[track_caller]
fn check_program(world: &World, program: &Path, kind: Kind, slot: &str) {
    let name = program.file_name().unwrap().to_str().unwrap();
    let before = std::fs::read(program).unwrap();
    let reference = text(&world.run(program, "ours"));
    assert!(reference.contains("greet: ours, deep ours\n"), "{name}: {reference}");
    assert!(
        reference.contains("plugin: ours\n") && reference.ends_with("exit status: 0"),
        "{name}: {reference}"
    );
    let displaced = text(&world.run(program, "system"));
    assert!(displaced.contains("greet: system, deep system\n"), "{name}: {displaced}");
    let run = |what: &str, edits: &Edits| {
        let edited = edited(&before, edits);
        let path = world.path(&format!("{name}-{what}"));
        write(&path, &edited.bytes);
        (text(&world.run(&path, "system")), path, edited)
    };

    let ours = rpath(world.text("ours"));
    let (output, path, simple) = run("rpath", &ours);
    assert_eq!(output, reference, "{name}: DT_RPATH wins over LD_LIBRARY_PATH");
    assert_eq!(rules::slot(&before, &simple.bytes), slot, "{name}");
    let facts = elf::parse(&simple.bytes).unwrap();
    let has_build_id = elf::parse(&before).unwrap().build_id.is_some();
    let gives_up = simple.lost.contains(&GivenUp::BuildIdNote);
    assert_eq!(facts.build_id.is_some(), has_build_id && !gives_up, "{name}: {:?}", simple.lost);
    check_tools(world, program, &path, kind, &simple);

    let loader = Edits { interpreter: Some(world.text("loader/ld.so")), ..ours.clone() };
    assert_eq!(run("loader", &loader).0, reference, "{name}: another ld.so");
    let nowhere = Edits { interpreter: Some("/nonexistent/ld.so".into()), ..Edits::default() };
    let path = world.path("nowhere");
    write(&path, &edited(&before, &nowhere).bytes);
    if world.machine == Machine::X86_64 {
        let error = Command::new(&path).output().expect_err("the kernel does look for the new ld.so");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}");
    }
    let longest =
        Edits { interpreter: Some(format!("{:/>4095}", world.text("loader/ld.so"))), ..ours.clone() };
    if world.machine == Machine::X86_64 {
        assert_eq!(run("longest", &longest).0, reference, "{name}: the longest path that the kernel takes");
    }

    let library = world.text("ours/libgreet.so.1");
    let absolute =
        Edits { rename_needed: vec![("libgreet.so.1".into(), library.clone())], ..Edits::default() };
    let (output, _, renamed) = run("absolute", &absolute);
    assert!(output.contains("greet: ours, deep system\n"), "{name}: {output}");
    let need = |bytes| elf::parse(bytes).unwrap().verneed;
    assert!(need(&before).iter().any(|need| need.file == "libgreet.so.1"), "{name}: has a version need");
    assert!(need(&renamed.bytes).iter().any(|need| need.file == library), "{name}");

    let extra = Edits { add_needed: vec!["libextra.so.1".into()], ..ours.clone() };
    assert_eq!(run("extra", &extra).0, format!("extra: ours\n{reference}"), "{name}: an added need");
    let many = Edits { add_needed: many_names(), interpreter: loader.interpreter.clone(), ..ours.clone() };
    let (output, path, moved) = run("many", &many);
    assert_eq!(output, format!("extra: ours\n{reference}"), "{name}: many needs, in a moved .dynamic");
    assert!(moved.lost.contains(&GivenUp::DynamicInPlace), "{name}: {:?}", moved.lost);
    check_tools(world, program, &path, kind, &moved);

    let bare = without_sections(&before);
    let path = world.path("bare");
    write(&path, &edited(&bare, &ours).bytes);
    assert_eq!(
        unnamed(&world.run(&path, "system")),
        reference.replace("backtrace: true", "backtrace: false"),
        "{name}: without section headers"
    );

    if world.machine == Machine::X86_64 {
        let path = world.path("stripped");
        must(Command::new("strip").arg("-o").arg(&path).arg(program));
        let stripped = std::fs::read(&path).unwrap();
        write(&path, &edited(&stripped, &many).bytes);
        let expected = format!("extra: ours\n{reference}").replace("backtrace: true", "backtrace: false");
        assert_eq!(unnamed(&world.run(&path, "system")), expected, "{name}: stripped, then edited");
    }
}

/// More than any file has spare entries for; the last one is a library of ours.
fn many_names() -> Vec<String> {
    let names = ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"];
    let more = ["libresolv.so.2", "libanl.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libextra.so.1"];
    names.into_iter().chain(more).map(String::from).collect()
}

/// readelf, objdump, eu-elflint, gdb, addr2line and strip on an edited file.
#[track_caller]
fn check_tools(world: &World, program: &Path, path: &Path, kind: Kind, edited: &Edited) {
    let name = path.display();
    let readelf = must(Command::new("readelf").arg("-aW").arg(path));
    assert_eq!(String::from_utf8_lossy(&readelf.stderr), "", "{name}: readelf");
    if world.machine == Machine::X86_64 {
        let objdump = must(Command::new("objdump").arg("-p").arg(path));
        assert_eq!(String::from_utf8_lossy(&objdump.stderr), "", "{name}: objdump");
        assert!(String::from_utf8_lossy(&objdump.stdout).contains("RPATH"), "{name}: objdump");
    }

    let lint = |file: &Path| -> BTreeSet<String> {
        let output = Command::new("eu-elflint").arg("--gnu-ld").arg(file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        text.lines().map(without_numbers).filter(|line| line != "No errors").collect()
    };
    let known = |line: &&String| {
        let moved = edited.lost.contains(&GivenUp::DynamicInPlace) && line.contains("_DYNAMIC");
        let notes = ["__abi_tag", "st_value out of bounds"].iter().any(|word| line.contains(word));
        let grown = (edited.lost.contains(&GivenUp::KernelCheck)
            || edited.lost.contains(&GivenUp::BuildIdInCore))
            && notes;
        let mold = kind == Kind::Mold && (line.contains("NOBITS") || line.contains("symbol"));
        moved || grown || mold
    };
    let (was, is) = (lint(program), lint(path));
    let new: Vec<&String> = is.difference(&was).filter(|line| !known(line)).collect();
    assert!(new.is_empty(), "{name}: eu-elflint: {new:#?}\nwas: {was:#?}");

    if world.machine != Machine::X86_64 {
        return;
    }
    if kind != Kind::Stripped {
        let gdb = |file: &Path| {
            let asked = ["-batch", "-nx", "-ex", "info line main", "-ex", "info sharedlibrary"];
            text(&must(Command::new("gdb").args(asked).arg(file))).replace(file.to_str().unwrap(), "")
        };
        assert_eq!(gdb(path), gdb(program), "{name}: gdb");
        let symbols = String::from_utf8(must(Command::new("nm").arg(path)).stdout).unwrap();
        let main = symbols.lines().find_map(|line| line.strip_suffix(" main")).map(|line| &line[..16]);
        let main = main.unwrap_or_else(|| panic!("{name}: a main"));
        let line = must(Command::new("addr2line").arg("-e").arg(path).arg(main));
        let expected = must(Command::new("addr2line").arg("-e").arg(program).arg(main));
        assert_eq!(text(&line), text(&expected), "{name}: addr2line");
    }
    let stripped = world.path("edited-then-stripped");
    let strip = must(Command::new("strip").arg("-o").arg(&stripped).arg(path));
    assert_eq!(String::from_utf8_lossy(&strip.stderr), "", "{name}: strip");
    assert_eq!(
        unnamed(&world.run(&stripped, "system")),
        unnamed(&world.run(path, "system")),
        "{name}: edited, then stripped"
    );
}

/// Section numbers and offsets may differ between the complaints about two files.
fn without_numbers(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Every edit of a library, in a program that is not edited.
#[track_caller]
fn check_library(world: &World, program: &Path, what: &str) {
    let library = world.path("ours/libgreet.so.1");
    let before = std::fs::read(&library).unwrap();
    std::fs::create_dir_all(world.path("mixed")).unwrap();
    for name in ["libplugin.so", "libdeep.so.1", "libextra.so.1"] {
        std::fs::copy(world.path("system").join(name), world.path("mixed").join(name)).unwrap();
    }
    let place = world.path("mixed/libgreet.so.1");
    write(&place, &before);
    let reference = text(&world.run(program, "mixed"));
    assert!(reference.contains("greet: ours, deep system\n"), "{what}: {reference}");
    let run = |edits: &Edits| {
        write(&place, &edited(&before, edits).bytes);
        text(&world.run(program, "mixed"))
    };
    let expected = reference.replace("deep system", "deep ours");
    let ours = rpath(world.text("ours"));
    assert_eq!(run(&ours), expected, "{what}: its DT_RPATH wins over LD_LIBRARY_PATH");
    let many = Edits { add_needed: many_names(), ..ours };
    assert_eq!(run(&many), format!("extra: ours\n{expected}"), "{what}: moved .dynamic");
    let deep = (String::from("libdeep.so.1"), world.text("ours/libdeep.so.1"));
    assert_eq!(
        run(&Edits { rename_needed: vec![deep], ..Edits::default() }),
        expected,
        "{what}: absolute need"
    );
    let interpreter = Edits { interpreter: Some("/lib64/ld.so".into()), ..Edits::default() };
    assert!(edit(&before, &interpreter).is_err(), "{what}: no interpreter to replace");
}

/// What every test of this file calls.
#[track_caller]
fn require() -> bool {
    tools::require("gcc", "gcc")
        && tools::require("g++", "g++")
        && tools::require("eu-elflint", "elfutils")
        && tools::require("gdb", "gdb")
        && tools::require("readelf", "binutils")
}

#[test]
fn gnu_ld() {
    if !require() {
        return;
    }
    let world = World::new(Machine::X86_64, &["-fuse-ld=bfd"]);
    for (name, flags) in [
        ("pie", &[][..]),
        ("no-pie", &["-no-pie"]),
        ("noseparate-code", &["-Wl,-z,noseparate-code"]),
        ("lazy", &["-Wl,-z,lazy"]),
        ("now", &["-Wl,-z,now"]),
        ("64-kib", &["-Wl,-z,max-page-size=65536"]),
        ("2-mib", &["-Wl,-z,max-page-size=2097152"]),
        ("with-runpath", &["-Wl,-rpath,/nowhere", "-Wl,--enable-new-dtags"]),
        ("sysv-hash", &["-Wl,--hash-style=sysv"]),
    ] {
        check_program(
            &world,
            &world.program(name, &["g++"], &[flags, &["-fuse-ld=bfd"]].concat()),
            Kind::Plain,
            "PROPERTY",
        );
    }
    let flags = ["-fuse-ld=bfd", "-Wl,--build-id=none"];
    check_program(&world, &world.program("no-id", &["g++"], &flags), Kind::Plain, "PROPERTY");
    let flags = ["-fuse-ld=bfd", "-s"];
    check_program(&world, &world.program("stripped-by-ld", &["g++"], &flags), Kind::Stripped, "PROPERTY");
    check_library(&world, &world.path("pie"), "GNU ld");
}

#[test]
fn gold() {
    if !require() || !tools::require("ld.gold", "binutils") {
        return;
    }
    let world = World::new(Machine::X86_64, &["-fuse-ld=gold"]);
    for (name, flags) in [("pie", &["-fuse-ld=gold"][..]), ("no-pie", &["-fuse-ld=gold", "-no-pie"])] {
        check_program(&world, &world.program(name, &["g++"], flags), Kind::Plain, "NOTE without build-id");
    }
    check_library(&world, &world.path("pie"), "gold");
}

#[test]
fn mold() {
    if !require() || !tools::require("mold", "mold") {
        return;
    }
    let world = World::new(Machine::X86_64, &["-fuse-ld=mold"]);
    for (name, flags) in [("pie", &["-fuse-ld=mold"][..]), ("no-pie", &["-fuse-ld=mold", "-no-pie"])] {
        check_program(&world, &world.program(name, &["g++"], flags), Kind::Mold, "NOTE");
    }
    check_library(&world, &world.path("pie"), "mold");
}

#[test]
fn lld() {
    if !require() {
        return;
    }
    let lld = rust_lld();
    let lld: Vec<&str> = lld.split_whitespace().collect();
    let world = World::new(Machine::X86_64, &lld);
    for (name, flags) in [
        ("pie", &[][..]),
        ("no-pie", &["-no-pie"]),
        ("now", &["-Wl,-z,now"]),
        ("separate-code", &["-Wl,-z,separate-code"]),
        ("no-relro", &["-Wl,-z,norelro"]),
        ("no-id", &["-Wl,--build-id=none"]),
    ] {
        let slot = if name == "no-id" { "NOTE without build-id" } else { "room" };
        check_program(&world, &world.program(name, &["g++"], &[flags, &lld].concat()), Kind::Plain, slot);
    }
    check_library(&world, &world.path("pie"), "LLD");
}

#[test]
fn rust() {
    if !require() {
        return;
    }
    let world = World::new(Machine::X86_64, &[]);
    let separate = ["-Clink-arg=-Wl,-z,separate-code"];
    for (name, flags, kind, slot) in [
        ("lld", &[][..], Kind::Plain, "room"),
        ("lld-stripped", &["-Cstrip=symbols", "-Cdebuginfo=0"], Kind::Stripped, "room"),
        ("lld-separate-code", &separate, Kind::Plain, "room"),
        ("lld-no-pie", &["-Crelocation-model=static"], Kind::Plain, "room"),
        ("gnu-ld", &["-Clinker-features=-lld"], Kind::Plain, "PROPERTY"),
    ] {
        check_program(&world, &world.rust(name, flags), kind, slot);
    }
    if tools::require("mold", "mold") {
        let flags = ["-Clinker-features=-lld", "-Clink-arg=-fuse-ld=mold"];
        check_program(&world, &world.rust("mold", &flags), Kind::Mold, "NOTE");
    }
}

#[test]
fn zig() {
    if !require() || !require_zig() {
        return;
    }
    let world = World::new(Machine::X86_64, &[]);
    check_program(&world, &world.program("zig", ZIG_2_34.0, &[]), Kind::Plain, "NOTE without build-id");
}

#[test]
fn aarch64() {
    if !require()
        || !tools::require("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
        || !tools::require("qemu-aarch64-static", "qemu-user-static")
        || !tools::require_target("aarch64-unknown-linux-gnu")
    {
        return;
    }
    let world = World::new(Machine::Aarch64, &[]);
    let compiler = ["aarch64-linux-gnu-gcc"];
    check_program(&world, &world.program("pie", &compiler, &[]), Kind::Plain, "room");
    check_program(&world, &world.program("no-pie", &compiler, &["-no-pie"]), Kind::Plain, "room");
    check_program(&world, &world.rust("rust", &[]), Kind::Plain, "room");
    check_library(&world, &world.path("pie"), "aarch64");
}

/// Go's linker leaves no spare entry and writes neither DT_RELACOUNT nor DT_FLAGS: .dynamic always moves.
#[test]
fn go() {
    if !require() || !tools::require("go", "golang-go") {
        return;
    }
    let world = World::new(Machine::X86_64, &[]);
    let source = "package main\nimport (\"fmt\"; \"os/user\"; \"runtime\")\nfunc main() {\n\
        me, err := user.Current()\n_, file, _, _ := runtime.Caller(0)\n\
        done := make(chan int)\ngo func() { done <- 7 }()\n\
        fmt.Println(me.Uid, err, file != \"\", <-done)\n}\n";
    std::fs::write(world.path("main.go"), source).unwrap();
    for (name, flags) in [
        ("internal", &["-ldflags=-linkmode=internal"][..]),
        ("external", &["-ldflags=-linkmode=external"]),
        ("external-pie", &["-ldflags=-linkmode=external", "-buildmode=pie"]),
    ] {
        let program = world.path(name);
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&program).args(flags).arg(world.path("main.go"));
        must(go.env("CGO_ENABLED", "1").env("GOFLAGS", "").current_dir(world.path("")));
        let before = std::fs::read(&program).unwrap();
        let reference = text(&world.run(&program, "system"));
        assert!(reference.contains("true 7\n"), "{name}: {reference}");
        for interpreter in [None, Some(world.text("loader/ld.so"))] {
            let add_needed = vec!["libextra.so.1".to_owned()];
            let edits = Edits { interpreter, add_needed, ..rpath(world.text("ours")) };
            let edited = edited(&before, &edits);
            assert_eq!(
                edited.lost.contains(&GivenUp::DynamicInPlace),
                name == "internal",
                "{:?}",
                edited.lost
            );
            let path = world.path("edited");
            write(&path, &edited.bytes);
            assert_eq!(text(&world.run(&path, "system")), format!("extra: ours\n{reference}"), "{name}");
        }
    }
}

/// A library by rustc that panics, catches and uses thread-local data, loaded with dlopen.
#[test]
fn rust_cdylib() {
    if !require() {
        return;
    }
    let world = World::new(Machine::X86_64, &[]);
    let program = world.program("program", &["g++"], &[]);
    let source = "use std::cell::Cell;\nuse std::ffi::c_char;\nthread_local!(static N: Cell<i32> = Cell::new(3));\n\
        #[unsafe(no_mangle)]\npub extern \"C\" fn plugin() -> *const c_char {\n\
        std::panic::set_hook(Box::new(|_| {}));\nN.set(N.get() + 1);\n\
        let caught = std::panic::catch_unwind(|| panic!(\"on purpose\")).is_err();\n\
        if caught && N.get() == 4 { c\"panicked\".as_ptr() } else { c\"failed\".as_ptr() }\n}\n";
    std::fs::write(world.path("plugin.rs"), source).unwrap();
    for (name, flags) in
        [("lld", &[][..]), ("stripped", &["-Cstrip=symbols"]), ("gnu-ld", &["-Clinker-features=-lld"])]
    {
        let plugin = world.path("system/libplugin.so");
        let mut rustc = rustc();
        rustc.args(["--edition=2024", "--crate-type=cdylib", "-O"]).args(flags);
        must(rustc.arg("-o").arg(&plugin).arg(world.path("plugin.rs")));
        let before = std::fs::read(&plugin).unwrap();
        let reference = text(&world.run(&program, "system"));
        assert!(reference.contains("plugin: panicked\n"), "{name}: {reference}");
        let extra = Edits { add_needed: vec!["libextra.so.1".into()], ..rpath(world.text("ours")) };
        let many = Edits { add_needed: many_names(), ..extra.clone() };
        for edits in [extra, many] {
            write(&plugin, &edited(&before, &edits).bytes);
            let output = text(&world.run(&program, "system"));
            assert!(output.contains("extra: ours\n"), "{name}: {output}");
            assert_eq!(output.replace("extra: ours\n", ""), reference, "{name}");
        }
    }
}
