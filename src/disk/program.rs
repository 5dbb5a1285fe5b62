//! Reads a file that the user named as a program.

use camino::Utf8Path;

use crate::elf::{ElfError, ElfFacts, OtherFormat};
use crate::error::{Error, Result};

/// Reads a program's facts.
///
/// # Errors
///
/// If the file cannot be read, or is no ELF file: the error names it and the next step.
pub fn read(path: &Utf8Path) -> Result<ElfFacts> {
    let facts = super::elf(path).map_err(|error| unreadable(error, "name the file of a built program"))?;
    facts.map_err(|error| no_program(path, error))
}

/// Adds help to an error about a file that the user named and that could not be read.
pub fn unreadable(error: Error, otherwise: &str) -> Error {
    use std::error::Error as _;
    let denied = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied);
    error.or_help(if denied {
        "let this user read it (`chmod +r`), or run as a user who may read it"
    } else {
        otherwise
    })
}

/// Wraps an ELF error about a file that the user named.
fn no_program(path: &Utf8Path, error: ElfError) -> Error {
    match error {
        ElfError::NotElf(format) => {
            let error = Error::new(format!("`{path}` is {}, not an ELF program", format.describe()));
            match format {
                OtherFormat::MachO | OtherFormat::Windows => error.help(
                    "build for Linux: `--target x86_64-unknown-linux-gnu` or `--target aarch64-unknown-linux-gnu`",
                ),
                OtherFormat::Script => error.help(
                    "name the program that the script starts; a script can be the `bootstrap` of a layer only",
                ),
                OtherFormat::Zip => error.help(format!("audit an archive with `cargo lambda-bundle verify {path}`")),
                OtherFormat::Empty => error.help("build it again"),
                _ => error.help("name the file of a built program"),
            }
        }
        ElfError::TooShort => Error::new(format!("`{path}` is truncated: it is shorter than an ELF header"))
            .help("build it again"),
        malformed => Error::new(format!("could not read `{path}` as an ELF file"))
            .because(malformed)
            .help("build it again, or copy it again: the file is damaged"),
    }
}
