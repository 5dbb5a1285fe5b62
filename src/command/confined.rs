//! Keeps what manifests write in the workspace and in the target directory: a manifest may be a stranger's.

use camino::{Utf8Path, Utf8PathBuf};

use super::programs::ProgramInput;
use crate::disk;
use crate::error::{Error, Result};
use crate::settings::{BundleSettings, Context, Programs, Purpose};

/// Directories of version control, whose files run programs.
const OF_VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

/// Refuses to write a program's files where only the user may say so.
///
/// # Errors
///
/// If a manifest, or a link in the target directory, leads elsewhere.
pub(super) fn check(input: &ProgramInput, bundle: &BundleSettings, context: &Context) -> Result<()> {
    let Purpose::Write(destination) = &bundle.purpose else { return Ok(()) };
    let Some(places) = AllowedPlaces::of(input, bundle, context) else { return Ok(()) };
    // Files are written into the directory of debug symbols.
    let debug_symbols = input.debug_symbols.as_ref().map(|directory| directory.join("debug"));
    for (setting, flag, path) in [
        ("output", "-o", &input.output),
        ("sbom", "--sbom", &input.documents.sbom),
        ("licenses", "--licenses", &input.documents.licenses),
        ("debug-symbols", "--debug-symbols", &debug_symbols),
    ] {
        let is_default = setting == "output" && destination.pattern.is_none();
        let Some(path) = path.as_ref().filter(|_| is_default || bundle.is_of_manifest(setting)) else {
            continue;
        };
        if !places.allow(path) {
            let shown = if setting == "debug-symbols" { path.parent().unwrap_or(path) } else { path };
            let shown = shown.strip_prefix(&context.environment.current_dir).unwrap_or(shown);
            let why = match is_default {
                true => "it leads out of the target directory by a link".to_owned(),
                false => format!("`{setting}` of a manifest may only name a place in the workspace"),
            };
            return Err(Error::new(format!("`{shown}` would be written"))
                .because(why)
                .help(format!("if it is meant, say so on the command line: `{flag} {shown}`")));
        }
    }
    Ok(())
}

/// Refuses to write the layer of `--split-layer` where only the user may say so.
///
/// # Errors
///
/// If the path of the first function's bundle, which decides, is a manifest's, or a link leads elsewhere.
pub(super) fn check_layer(
    layer: &Utf8Path,
    input: &ProgramInput,
    bundle: &BundleSettings,
    context: &Context,
) -> Result<()> {
    let Purpose::Write(destination) = &bundle.purpose else { return Ok(()) };
    let decides = destination.pattern.is_none() || bundle.is_of_manifest("output");
    match AllowedPlaces::of(input, bundle, context).filter(|places| decides && !places.allow(layer)) {
        None => Ok(()),
        Some(_) => Err(Error::new(format!("`{layer}`, the layer of `--split-layer`, would be written"))
            .because("a manifest, or a link in the target directory, leads out of the workspace")
            .help("name the bundles on the command line: `-o DIR/{bin}.zip`")),
    }
}

/// Where the files of manifests may be written.
struct AllowedPlaces {
    /// With all links followed.
    workspace: Utf8PathBuf,
    /// A directory outside the workspace, too.
    target: Utf8PathBuf,
}

impl AllowedPlaces {
    /// Returns `None` for a program that cargo did not build: no manifest is read then.
    fn of(input: &ProgramInput, bundle: &BundleSettings, context: &Context) -> Option<AllowedPlaces> {
        let built = input.program.cargo.as_ref()?;
        let is_named = |name: &str| context.environment.var(name).is_some();
        let by_user = is_named("CARGO_TARGET_DIR")
            || is_named("CARGO_BUILD_TARGET_DIR")
            || matches!(&bundle.programs, Programs::Cargo(selection) if selection.target_dir.is_some());
        let target = real(&built.target_directory);
        Some(AllowedPlaces {
            workspace: real(&built.workspace_root),
            // Elsewhere, a file of the checkout may have chosen the target directory.
            target: if by_user { target } else { target.join("lambda-bundle") },
        })
    }

    fn allow(&self, path: &Utf8Path) -> bool {
        let place = disk::place(path);
        if place.starts_with(&self.target) {
            return true;
        }
        let is_of_version_control =
            |part: &str| OF_VERSION_CONTROL.iter().any(|name| name.eq_ignore_ascii_case(part));
        place.strip_prefix(&self.workspace).is_ok_and(|below| !below.iter().any(is_of_version_control))
    }
}

fn real(path: &Utf8Path) -> Utf8PathBuf {
    disk::canonicalize(path).unwrap_or_else(|_| disk::place(path))
}
