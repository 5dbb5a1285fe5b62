//! `--strip`: debug information out of copies, by the target's own `strip`.
//!
//! Only debug sections go (`--strip-debug`). `.symtab` stays, though the loader does not use it either: with it
//! the backtrace of a panic still names functions, and it is a small part of what there is to save. Who wants
//! it gone, too, says `strip = true` in the profile.
//!
//! A file with bytes behind the end of its ELF part (see [`crate::repair::tail`]) stays as it is: every tool drops them,
//! and put back behind a shorter file they would not be where a program that has kept their offset looks for them.
//!
//! Stripping comes before the edits of [`crate::repair`]: tools that know nothing of an edit may move what it
//! relies on. The tool sees a copy of the original; what it makes of it is compared with the original in all
//! that the loader reads.

use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};

use crate::disk::scratch::Scratch;
use crate::elf::sections::{self, Purpose};
use crate::elf::{self, Arch, ElfFacts};
use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use crate::repair::{self, tail};
use crate::workspace;

/// A program that strips.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    /// It takes `INPUT OUTPUT` as `objcopy` does, and can add a debug link; else `-o OUTPUT INPUT` as `strip`.
    is_objcopy: bool,
    /// LD_LIBRARY_PATH for it.
    library_path: Option<Utf8PathBuf>,
}

/// A stripped file.
#[derive(Debug)]
pub struct Stripped {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What was taken out, as a file for debuggers, if that was asked for.
    pub debug: Option<Vec<u8>>,
}

/// The file without debug information; `None` if it has none, or bytes behind its end.
///
/// `debug_file`: what was taken out is kept, and the stripped file names that file (`.gnu_debuglink`, a name
/// without directories and a checksum). `name` is for messages. The file's architecture decides which tool is
/// run; a file for another machine than Lambda's has none and stays as it is.
///
/// # Errors
///
/// No tool is found, it fails, or what it wrote means something else to the loader.
pub fn strip(
    bytes: &[u8],
    name: &str,
    debug_file: Option<&str>,
    environment: &Environment,
) -> Result<Option<Stripped>> {
    // What cannot be read as ELF is for the audit to tell.
    let Ok(before) = elf::parse(bytes) else { return Ok(None) };
    let Some(arch) = before.arch() else { return Ok(None) };
    let is_clean = sections::of(bytes).iter().all(|section| section.purpose != Purpose::Debug);
    if is_clean || !tail::of(bytes).is_empty() {
        return Ok(None);
    }
    let tool = find(arch, debug_file.is_some(), environment)?;
    let scratch = Scratch::new()?;
    scratch.write(ORIGINAL, bytes)?;
    let mut options = vec!["--strip-debug".to_owned()];
    if let Some(debug_file) = debug_file {
        // With its directory: a name may begin like an option.
        let debug_path = format!("./{debug_file}");
        run(&tool, &["--only-keep-debug".to_owned()], &debug_path, &scratch, name, environment)?;
        options.push(format!("--add-gnu-debuglink={debug_path}"));
    }
    run(&tool, &options, STRIPPED, &scratch, name, environment)?;
    let stripped = scratch.read(STRIPPED)?;
    prove(&before, &stripped).map_err(|why| {
        Error::new(format!(
            "`{name}` as `{}` stripped it is not the same to the loader",
            tool.program.display()
        ))
        .because(why)
        .help(LEAVE_OUT)
    })?;
    let debug = debug_file.map(|debug_file| scratch.read(debug_file)).transpose()?;
    Ok(Some(Stripped { bytes: stripped, debug }))
}

const ORIGINAL: &str = "original";
const STRIPPED: &str = "stripped";
const LEAVE_OUT: &str =
    "leave out `--strip`, or let the linker do it: `strip = \"debuginfo\"` in the profile";

/// The first tool on PATH that knows the architecture, else the one in rustc's own directory.
///
/// `strip` alone knows this machine's architecture only, and on macOS no ELF at all.
///
/// # Errors
///
/// There is none.
pub fn find(arch: Arch, with_link: bool, environment: &Environment) -> Result<Tool> {
    let word = if with_link { "objcopy" } else { "strip" };
    let triple = arch.gnu_name();
    let mut names = Vec::new();
    if cfg!(target_os = "linux") && std::env::consts::ARCH == triple {
        names.push(word.to_owned());
    }
    names.push(format!("{triple}-linux-gnu-{word}"));
    names.push(format!("{triple}-linux-musl-{word}"));
    names.push(format!("llvm-{word}"));
    for name in &names {
        if let Ok(program) = environment.find(name) {
            return Ok(Tool { program, is_objcopy: with_link, library_path: None });
        }
    }
    // rustc brings a copy of llvm-objcopy, in `lib/rustlib/<host>/bin`. On Linux that has no RUNPATH to its
    // libLLVM.so, which is in `lib`.
    if let Some(libraries) = workspace::rustc_target_libdir(None, environment) {
        let program = libraries.with_file_name("bin").join("rust-objcopy");
        if let Ok(program) = environment.find(program) {
            let library_path = libraries.ancestors().nth(3).map(Utf8Path::to_owned);
            return Ok(Tool { program, is_objcopy: true, library_path });
        }
    }
    let flag = if with_link { "--debug-symbols" } else { "--strip" };
    Err(Error::new(format!("`{flag}` found no program that strips files for {arch}"))
        .because(format!("none of these is on PATH: {}", names.join(", ")))
        .help(match names[0].as_str() {
            "strip" | "objcopy" => "install `binutils` or `llvm`".to_owned(),
            _ => format!("install `binutils-{}-linux-gnu` or `llvm`", triple.replace('_', "-")),
        }))
}

/// Runs the tool on a copy of the original. Its messages name that copy, not a path of ours.
fn run(
    tool: &Tool,
    options: &[String],
    output: &str,
    scratch: &Scratch,
    name: &str,
    environment: &Environment,
) -> Result<()> {
    let failed =
        || Error::new(format!("could not strip `{name}` with `{}`", tool.program.display())).help(LEAVE_OUT);
    let mut command = environment.command(&tool.program);
    command.args(options);
    if tool.is_objcopy {
        command.args([ORIGINAL, output]);
    } else {
        command.args(["-o", output, ORIGINAL]);
    }
    command.current_dir(scratch.path()).env("LC_ALL", "C");
    if let Some(library_path) = &tool.library_path {
        command.env("LD_LIBRARY_PATH", library_path);
    }
    environment::run(&mut command).map(drop).map_err(|why| failed().because(why))
}

fn prove(before: &ElfFacts, stripped: &[u8]) -> std::result::Result<(), String> {
    let after = elf::parse(stripped).map_err(|error| error.to_string())?;
    match repair::difference(before, &after) {
        Some(what) => Err(format!("{what} changed")),
        None => Ok(()),
    }
}
