//! Where a C compiler looks for libraries: `--cc CC` names the one the program was linked with.
//!
//! The compiler is asked (`-print-search-dirs`), never given anything to compile.

use std::path::Path;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;

use crate::error::{Error, Result};
use crate::workspace::Environment;
use crate::world::normalize;

/// The directories in which `cc` looks for libraries, in its order, each once.
///
/// GCC and Clang answer alike: a line `libraries: =DIR:DIR:...`.
pub fn search_directories(cc: &str, environment: &Environment) -> Result<Vec<Utf8PathBuf>> {
    let failed = || Error::new(format!("could not ask `{cc}` for its library directories"));
    let path = environment.vars.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let program = which::which_in(cc, path, &environment.current_dir).map_err(|cause| {
        failed().because(cause).help("name a compiler that is installed: `--cc aarch64-linux-gnu-gcc`")
    })?;
    let output = ask(&program, environment).map_err(|cause| failed().because(cause))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed().because(if said.is_empty() { output.status.to_string() } else { said }));
    }
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

fn ask(program: &Path, environment: &Environment) -> std::io::Result<std::process::Output> {
    let vars = environment.vars.iter().map(|(name, value)| (name, value));
    Command::new(program)
        .arg("-print-search-dirs")
        .current_dir(&environment.current_dir)
        .env_clear()
        .envs(vars)
        // A translated `libraries:` would not be found.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
}
