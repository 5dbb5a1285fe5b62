//! The project as cargo describes it: its metadata, its configuration, and the targets it builds for.

use std::any::{Any, TypeId};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_config2::{Config, ResolveOptions};
use cargo_metadata::{Metadata, MetadataCommand};

use super::config_files::{argument_targets, cargo_home};
use super::trust::Checkouts;
use super::{Selection, files};
use crate::environment::{self, Environment};
use crate::error::{Error, Result};

/// The project as cargo sees it.
pub(super) struct Project<'a> {
    pub(super) cargo: PathBuf,
    pub(super) environment: &'a Environment,
    pub(super) metadata: Metadata,
    /// What cargo's files and variables say.
    pub(super) config: Config,
    /// The values of `--config`, which come before both.
    pub(super) config_arguments: Vec<String>,
    /// What was read of directories, by its type: the programs of a workspace share it.
    kept: RefCell<BTreeMap<(Utf8PathBuf, TypeId), Rc<dyn Any>>>,
    /// The triple of the host, if cargo told it.
    host: OnceCell<Option<String>>,
}

impl Project<'_> {
    /// Returns the directory of programs.
    pub(super) fn target_directory(&self) -> &Utf8Path {
        &self.metadata.target_directory
    }

    /// Returns the directory of intermediate files: build scripts' records and `deps`. Before cargo 1.91 it is the
    /// same.
    pub(super) fn build_directory(&self) -> &Utf8Path {
        self.metadata.build_directory.as_deref().unwrap_or(&self.metadata.target_directory)
    }

    /// A path as the user would type it.
    pub(super) fn shown<'p>(&self, path: &'p Utf8Path) -> &'p Utf8Path {
        path.strip_prefix(&self.environment.current_dir).unwrap_or(path)
    }

    /// Returns what `read` makes of a directory, which is called once.
    pub(super) fn once<T: 'static>(
        &self,
        directory: &Utf8Path,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<Rc<T>> {
        let key = (directory.to_owned(), TypeId::of::<T>());
        let known = self.kept.borrow().get(&key).cloned();
        if let Some(Ok(value)) = known.map(Rc::downcast) {
            return Ok(value);
        }
        let value = Rc::new(read()?);
        self.kept.borrow_mut().insert(key, value.clone());
        Ok(value)
    }

    /// Returns the names in a directory; none if it does not exist.
    pub(super) fn names(&self, directory: &Utf8Path) -> Result<Rc<Vec<String>>> {
        self.once(directory, || files::names(directory))
    }

    /// Whether this is the triple of the host. cargo is asked once, and only about a triple that may be it.
    pub(super) fn is_host(&self, triple: &str) -> bool {
        let may_be = triple.starts_with(std::env::consts::ARCH) && triple.contains(std::env::consts::OS);
        may_be && self.host.get_or_init(|| host_triple(self).ok()).as_deref() == Some(triple)
    }

    /// Returns the directory in which relative paths of `.d` files start; without `build.dep-info-basedir` they are
    /// absolute.
    pub(super) fn dep_info_base(&self) -> Utf8PathBuf {
        let base = self.config.build.dep_info_basedir.clone();
        let base = base.and_then(|base| Utf8PathBuf::from_path_buf(base).ok());
        base.unwrap_or_else(|| self.environment.current_dir.clone())
    }

    /// Returns a command for cargo with exactly the given environment.
    pub(super) fn command(&self) -> Command {
        self.environment.command(&self.cargo)
    }
}

/// Asks cargo for the metadata of the workspace's own packages, and reads its configuration.
pub(super) fn read<'a>(selection: &Selection, environment: &'a Environment) -> Result<Project<'a>> {
    let cargo = cargo(&Checkouts::new(environment, None))?;
    let metadata = metadata(&cargo, selection, environment)?;
    let config = config(&cargo, environment)?;
    Ok(Project {
        cargo,
        environment,
        metadata,
        config,
        config_arguments: selection.configs.clone(),
        kept: RefCell::default(),
        host: OnceCell::new(),
    })
}

/// Returns `$CARGO`, which cargo sets for its subcommands, else the `cargo` in `PATH`.
fn cargo(checkouts: &Checkouts) -> Result<PathBuf> {
    if let Some(cargo) = checkouts.environment().var("CARGO") {
        return Ok(PathBuf::from(cargo));
    }
    checkouts.check_toolchain()?;
    checkouts.find("cargo").map_err(|error| match checkouts.environment().find("cargo") {
        Ok(inside) => Error::new("could not find `cargo` outside of the checkout")
            .because(format!("the one on PATH is in it, `{}`", inside.display()))
            .help(format!("if you trust it, say so with the variable `CARGO={}`", inside.display())),
        Err(_) => Error::new("could not find `cargo`")
            .because(error)
            .help("install Rust, or name a built program with `--binary PATH`"),
    })
}

fn metadata(cargo: &Path, selection: &Selection, environment: &Environment) -> Result<Metadata> {
    let current_dir = &environment.current_dir;
    let mut words = MetadataCommand::new();
    words.cargo_path(cargo).no_deps().current_dir(current_dir);
    if let Some(manifest_path) = &selection.manifest_path {
        words.manifest_path(manifest_path);
    }
    let options =
        [(selection.locked, "--locked"), (selection.offline, "--offline"), (selection.frozen, "--frozen")];
    let options = options.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned());
    // They may name the target directory.
    let configs = selection.configs.iter().flat_map(|value| ["--config".to_owned(), value.clone()]);
    words.other_options(options.chain(configs).collect::<Vec<_>>());

    let mut command = words.cargo_command();
    environment.pin(&mut command);
    // The text of cargo's error becomes part of ours.
    command.env("CARGO_TERM_COLOR", "never");
    if let Some(target_dir) = &selection.target_dir {
        // `cargo metadata` has no `--target-dir`; the variable has the same effect and the next rank.
        command.env("CARGO_TARGET_DIR", current_dir.join(target_dir));
    }
    let output = command.output().map_err(|error| {
        Error::new(format!("could not start `{}`", cargo.display()))
            .because(error)
            .help("set `CARGO` to a working cargo, or name a built program with `--binary PATH`")
    })?;
    if !output.status.success() {
        let silent = format!("`{} metadata`: {}", cargo.display(), output.status);
        return Err(no_metadata(current_dir, selection, &output.stderr, silent));
    }
    let told = str::from_utf8(&output.stdout).map_err(|error| told_badly(error.into()))?;
    // A wrapper around cargo may print lines of its own.
    let json = told.lines().find(|line| line.starts_with('{')).unwrap_or(told);
    let metadata = MetadataCommand::parse(json).map_err(|error| told_badly(error.into()))?;
    check(&metadata)?;
    Ok(metadata)
}

/// Checks what cargo guarantees and a wrapper around it need not: names of packages and targets become file names,
/// which must not lead to other directories, and default members are members.
fn check(metadata: &Metadata) -> Result<()> {
    let defaults = &metadata.workspace_default_members;
    let is_member = |id| metadata.workspace_members.contains(id);
    if defaults.is_available() && !defaults.iter().all(is_member) {
        return Err(Error::new("a default member of the workspace is not a member"));
    }
    let leads_away = |name: &str| {
        matches!(name, "" | "." | "..") || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
    };
    for package in metadata.workspace_packages() {
        let targets = package.targets.iter().map(|target| target.name.as_str());
        if let Some(name) = [package.name.as_str()].into_iter().chain(targets).find(|name| leads_away(name)) {
            return Err(Error::new(format!("`{name}` is not a valid name of a package or a target")));
        }
    }
    Ok(())
}

fn told_badly(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new("could not read the output of `cargo metadata`")
        .because(error)
        .help("set `CARGO` to a working cargo, or name a built program with `--binary PATH`")
}

/// Makes the error for missing metadata: there is no project here, or cargo cannot read it.
fn no_metadata(current_dir: &Utf8Path, selection: &Selection, stderr: &[u8], silent: String) -> Error {
    let text = String::from_utf8_lossy(stderr);
    // Warnings come before the error, and the word `error` is printed by this tool, too.
    let start = text.find("error: ").map_or(0, |at| at + "error: ".len());
    let cause = match text[start..].trim() {
        "" => silent,
        said => said.to_owned(),
    };
    if let Some(manifest_path) = &selection.manifest_path {
        return Error::new(format!("could not read the cargo project `{manifest_path}`")).because(cause);
    }
    let manifest = current_dir.ancestors().map(|directory| directory.join("Cargo.toml"));
    // A directory that cannot be read has no manifest that cargo could have found.
    match manifest.into_iter().find(|path| files::is_file(path).unwrap_or(false)) {
        Some(manifest) => Error::new(format!("could not read the cargo project `{manifest}`")).because(cause),
        None => Error::new(format!("`{current_dir}` is not in a cargo project"))
            .because(cause)
            .help("`cd` into one, or give `--manifest-path PATH`, or a built program with `--binary PATH`"),
    }
}

/// Reads cargo's configuration files from the current directory up and in `CARGO_HOME`, and its variables.
///
/// The `include` key is not followed (cargo-config2 0.1.45); a target that it sets is then found by searching.
fn config(cargo: &Path, environment: &Environment) -> Result<Config> {
    let current_dir = &environment.current_dir;
    let vars = environment.vars.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut options = ResolveOptions::default().cargo(cargo).env(vars);
    if let Some(cargo_home) = cargo_home(environment) {
        // Without either, cargo asks the operating system for the home directory, and so does cargo-config2.
        options = options.cargo_home(cargo_home);
    }
    Config::load_with_options(current_dir, options)
        .map_err(|error| Error::new("could not read cargo's configuration").because(error))
}

/// A target as it was named to cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuildTarget {
    /// The target as given.
    pub(super) asked: String,
    /// The name of its directory: the triple, or the name of a target file.
    pub(super) name: String,
    /// Whether `asked` has zigbuild's glibc suffix.
    pub(super) has_libc_version: bool,
}

/// Returns the targets from the flags, else from the configuration; empty if neither names any.
pub(super) fn targets(project: &Project, selection: &Selection) -> Result<Vec<BuildTarget>> {
    let mut asked = selection.targets.clone();
    if asked.is_empty() {
        asked = argument_targets(&project.config_arguments, project.environment)?;
    }
    if asked.is_empty() {
        let configured = project.config.build.target.iter().flatten();
        asked = configured
            .map(|target| match target.spec_path() {
                Some(path) => path.to_string_lossy().into_owned(),
                None => target.triple().to_owned(),
            })
            .collect();
    }
    let mut targets: Vec<BuildTarget> = Vec::new();
    for asked in asked {
        let mut target = parse_target(&asked);
        if target.name == "host-tuple" {
            target.name = host_triple(project)?;
        }
        if !targets.iter().any(|other| other.name == target.name) {
            targets.push(target);
        }
    }
    Ok(targets)
}

impl BuildTarget {
    /// Whether it was named as the host's, whatever that is.
    pub(super) fn is_host_tuple(&self) -> bool {
        self.asked == "host-tuple"
    }
}

/// Returns the triple of the host, from `cargo -vV`.
fn host_triple(project: &Project) -> Result<String> {
    let failed = || Error::new("could not get the triple of this machine from cargo");
    // It runs programs that name the operating system.
    let path = environment::joined(Checkouts::new(project.environment, None).path());
    let output =
        project.command().arg("-vV").env("PATH", path).output().map_err(|error| failed().because(error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| failed().because("`cargo -vV` names no host"))
}

fn parse_target(asked: &str) -> BuildTarget {
    let path = Utf8Path::new(asked);
    if path.extension() == Some("json") {
        let name = path.file_stem().unwrap_or(asked).to_owned();
        return BuildTarget { asked: asked.to_owned(), name, has_libc_version: false };
    }
    // Triples may have dots (`thumbv8m.main-none-eabi`), but only a libc version is digits to the end.
    let mut name = asked;
    while let Some((head, tail)) = name.rsplit_once('.') {
        if tail.is_empty() || !tail.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        name = head;
    }
    BuildTarget { asked: asked.to_owned(), name: name.to_owned(), has_libc_version: name != asked }
}

/// Returns the selected profile.
pub(super) fn profile(selection: &Selection) -> &str {
    selection.profile.as_deref().unwrap_or("release")
}

/// Returns the directory of a profile. Source: "Build cache" in The Cargo Book.
pub(super) fn profile_dir(profile: &str) -> &str {
    match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    }
}

/// Returns rustc's library directory; `None` if rustc fails.
///
/// # Errors
///
/// If a file of the checkout would choose the rustc.
pub(super) fn rustc_target_libdir(
    target: Option<&str>,
    checkouts: &Checkouts,
) -> Result<Option<Utf8PathBuf>> {
    let Some(rustc) = checkouts.rustc()? else { return Ok(None) };
    let mut command = checkouts.environment().command(&rustc);
    command.args(["--print", "target-libdir"]);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    // On any failure the directory is unknown, and the library it would contain is reported as missing.
    let output = command.output().ok().filter(|output| output.status.success());
    let path = output.and_then(|output| String::from_utf8(output.stdout).ok());
    let path = path.map(|path| Utf8PathBuf::from(path.trim_end()));
    Ok(match path {
        Some(path) if files::is_dir(&path)? => Some(path),
        Some(_) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &str, name: &str, has_libc_version: bool) {
        let target = parse_target(asked);
        assert_eq!((target.name.as_str(), target.has_libc_version), (name, has_libc_version), "{asked}");
    }

    #[test]
    fn a_glibc_suffix_is_no_part_of_the_directory() {
        check("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu", false);
        check("x86_64-unknown-linux-gnu.2.34", "x86_64-unknown-linux-gnu", true);
        check("thumbv8m.main-none-eabi", "thumbv8m.main-none-eabi", false);
    }

    #[test]
    fn a_target_file_gives_its_name() {
        check("path/to/foo.json", "foo", false);
    }
}
