//! The library directories of a C compiler: `--cc CC` names the one that the program was linked with.
//!
//! The compiler only prints them (`-print-search-dirs`); it compiles nothing.

use camino::Utf8PathBuf;

use crate::environment::run;
use crate::error::{Error, Result};
use crate::paths::normalize;
use crate::workspace::Checkouts;

/// A compiler, and who names it.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// A name, or a path.
    pub name: String,
    /// Whether a manifest names it. Then it is a bare name, of no program of the checkout.
    pub is_of_manifest: bool,
}

/// Returns the directories in which `cc` searches for libraries, in its order, without duplicates.
///
/// GCC and Clang print the same line: `libraries: =DIR:DIR:...`.
///
/// # Errors
///
/// If the compiler is not found, or fails.
pub fn search_directories(cc: &Compiler, checkouts: &Checkouts) -> Result<Vec<Utf8PathBuf>> {
    let Compiler { name, is_of_manifest } = cc;
    let failed = || Error::new(format!("could not ask `{name}` for its library directories"));
    let environment = checkouts.environment();
    let found = if *is_of_manifest { checkouts.find(name) } else { environment.find(name) };
    let program = found.map_err(|cause| {
        failed().because(cause).help("name a compiler that is installed: `--cc aarch64-linux-gnu-gcc`")
    })?;
    let mut command = environment.command(&program);
    if *is_of_manifest {
        // Any program may have this name: `make` reads the file of its directory whatever its arguments are.
        command.current_dir(program.ancestors().last().unwrap_or(&program));
    }
    // A translated `libraries:` would not be found.
    command.arg("-print-search-dirs").env("LC_ALL", "C");
    let output = run(&mut command).map_err(|why| failed().because(why))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(list) = text.lines().find_map(|line| line.strip_prefix("libraries: =")) else {
        return Err(failed().because("it prints no line `libraries:` for `-print-search-dirs`"));
    };
    let mut directories: Vec<Utf8PathBuf> = Vec::new();
    for directory in list.split(':').filter(|directory| directory.starts_with('/')) {
        let directory = Utf8PathBuf::from(normalize(directory));
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    Ok(directories)
}
