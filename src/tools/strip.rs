//! `--strip`: removes debug information from copies, with the target's own `strip`.
//!
//! Only debug sections are removed (`--strip-debug`). `.symtab` stays, although the loader does not use it: with it
//! the backtrace of a panic still names functions, and it is small compared with debug information. To remove it,
//! too, set `strip = true` in the profile.
//!
//! A file with bytes after the end of its ELF part (see [`crate::repair::tail`]) is not changed: every tool drops
//! these bytes. If they were put back after a shorter file, a program that has stored their offset would not find
//! them.
//!
//! Files are stripped before the edits of [`crate::repair`]: tools that do not know an edit may move what it relies
//! on. The tool works on a copy of the original, and its result is compared with the original in everything that the
//! loader reads.

use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};

use crate::disk::scratch::Scratch;
use crate::elf::sections::{self, SectionPurpose};
use crate::elf::{self, Arch, ElfFacts};
use crate::environment;
use crate::error::{Error, Result};
use crate::repair::{self, tail};
use crate::workspace::{self, Checkouts};

/// A program that strips.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    /// Whether it takes `INPUT OUTPUT` and can add a debug link, like `objcopy`; `strip` takes `-o OUTPUT INPUT`.
    is_objcopy: bool,
    /// LD_LIBRARY_PATH for the tool.
    library_path: Option<Utf8PathBuf>,
}

/// A stripped file.
#[derive(Debug)]
pub struct Stripped {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The removed debug information as a file for debuggers, if it was requested.
    pub debug: Option<Vec<u8>>,
}

/// Strips a file. Returns `None` if it has no debug information, or bytes after its ELF part.
///
/// With `debug_file` the removed part is kept, and the stripped file names that file (`.gnu_debuglink`: a name
/// without directories and a checksum). `name` is for messages. The tool is chosen by the file's architecture; a file
/// for no architecture of Lambda has no tool and is not changed.
///
/// # Errors
///
/// If no tool is found, if it fails, or if its result differs for the loader.
pub fn strip(
    bytes: &[u8],
    name: &str,
    debug_file: Option<&str>,
    checkouts: &Checkouts,
) -> Result<Option<Stripped>> {
    // Files that are not valid ELF are reported by the audit.
    let Ok(before) = elf::parse(bytes) else { return Ok(None) };
    let Some(arch) = before.arch() else { return Ok(None) };
    let is_clean = sections::of(bytes).iter().all(|section| section.purpose != SectionPurpose::Debug);
    if is_clean || !tail::of(bytes).is_empty() {
        return Ok(None);
    }
    let tool = find(arch, debug_file.is_some(), checkouts)?;
    let scratch = Scratch::new()?;
    scratch.write(ORIGINAL, bytes)?;
    let call = Call { tool: &tool, scratch: &scratch, name, checkouts };
    let mut options = vec!["--strip-debug".to_owned()];
    if let Some(debug_file) = debug_file {
        // The directory is part of the path, since a name may begin like an option.
        let debug_path = format!("./{debug_file}");
        call.run(&["--only-keep-debug".to_owned()], &debug_path)?;
        options.push(format!("--add-gnu-debuglink={debug_path}"));
    }
    call.run(&options, STRIPPED)?;
    let stripped = scratch.read(STRIPPED)?;
    prove(&before, &stripped).map_err(|why| {
        Error::new(format!("`{}` changed what the loader reads of `{name}`", tool.program.display()))
            .because(why)
            .help(LEAVE_OUT)
    })?;
    let debug = debug_file.map(|debug_file| scratch.read(debug_file)).transpose()?;
    Ok(Some(Stripped { bytes: stripped, debug }))
}

const ORIGINAL: &str = "original";
const STRIPPED: &str = "stripped";
const LEAVE_OUT: &str = "remove `--strip`, or let the linker strip: `strip = \"debuginfo\"` in the profile";

/// Returns the first tool on PATH, outside of the checkout, that knows the architecture, else the one in rustc's own directory.
///
/// Plain `strip` knows this machine's architecture only; on macOS it cannot read ELF.
///
/// # Errors
///
/// If no such tool is found.
pub fn find(arch: Arch, with_link: bool, checkouts: &Checkouts) -> Result<Tool> {
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
        if let Ok(program) = checkouts.find(name) {
            return Ok(Tool { program, is_objcopy: with_link, library_path: None });
        }
    }
    // rustc brings a copy of llvm-objcopy, in `lib/rustlib/<host>/bin`. On Linux it has no RUNPATH to its libLLVM.so,
    // which is in `lib`.
    // A rustc that the checkout would choose is not asked; then there is no tool.
    if let Ok(Some(libraries)) = workspace::rustc_target_libdir(None, checkouts) {
        let program = libraries.with_file_name("bin").join("rust-objcopy");
        if let Ok(program) = checkouts.find(program) {
            let library_path = libraries.ancestors().nth(3).map(Utf8Path::to_owned);
            return Ok(Tool { program, is_objcopy: true, library_path });
        }
    }
    let flag = if with_link { "--debug-symbols" } else { "--strip" };
    let is_inside = names.iter().any(|name| checkouts.environment().find(name).is_ok());
    let outside = if is_inside { " outside of the checkout" } else { "" };
    Err(Error::new(format!("`{flag}` found no program that strips files for {arch}"))
        .because(format!("none of these is on PATH{outside}: {}", names.join(", ")))
        .help(match names[0].as_str() {
            "strip" | "objcopy" => "install `binutils` or `llvm`".to_owned(),
            _ => format!("install `binutils-{}-linux-gnu` or `llvm`", triple.replace('_', "-")),
        }))
}

/// Calls of the tool for one file.
struct Call<'a> {
    tool: &'a Tool,
    /// The directory with a copy of the original.
    scratch: &'a Scratch,
    name: &'a str,
    checkouts: &'a Checkouts<'a>,
}

impl Call<'_> {
    /// Runs the tool on the copy. The tool's messages name that copy, not the user's file.
    fn run(&self, options: &[String], output: &str) -> Result<()> {
        let Call { tool, scratch, name, checkouts } = self;
        let mut command = checkouts.environment().command(&tool.program);
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
        environment::run(&mut command).map(drop).map_err(|why| {
            Error::new(format!("could not strip `{name}` with `{}`", tool.program.display()))
                .because(why)
                .help(LEAVE_OUT)
        })
    }
}

fn prove(before: &ElfFacts, stripped: &[u8]) -> std::result::Result<(), String> {
    let after = elf::parse(stripped).map_err(|error| error.to_string())?;
    match repair::difference(before, &after) {
        Some(what) => Err(format!("{what} changed")),
        None => Ok(()),
    }
}
