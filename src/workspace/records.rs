//! Files that cargo wrote beside a program: its sources (`.d`), and the output of build scripts.
//!
//! cargo gives no guarantee for these files, so their absence is no error: it only means less information.

use std::collections::BTreeSet;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use super::project::Project;
use super::{LibraryDir, LibraryDirOrigin, files};
use crate::error::Result;

/// Returns the first source, in sorted order, that is newer than the program.
///
/// `dep_info` is the `.d` file that cargo wrote beside the program. Its relative paths start at `base`.
pub(super) fn newer_source(
    dep_info: &Utf8Path,
    base: &Utf8Path,
    built: SystemTime,
) -> Result<Option<Utf8PathBuf>> {
    let Some(text) = files::text(dep_info)? else { return Ok(None) };
    let sources: BTreeSet<Utf8PathBuf> = sources(&text).into_iter().map(|path| base.join(path)).collect();
    for source in sources {
        if files::modified(&source)?.is_some_and(|modified| modified > built) {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// Returns the prerequisites in a `.d` file: `output: source source...`, with `\ ` for a space within a path.
///
/// Source: `output_depinfo` in cargo, which escapes nothing else.
pub(super) fn sources(text: &str) -> Vec<String> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let Some((_, list)) = line.split_once(": ") else { continue };
        let mut source = String::new();
        let mut characters = list.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if characters.peek() == Some(&' ') => source.extend(characters.next()),
                ' ' => sources.push(std::mem::take(&mut source)),
                other => source.push(other),
            }
        }
        sources.push(source);
    }
    sources.retain(|source| !source.is_empty());
    sources
}

/// The linker arguments from one run of a build script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BuildScriptRun {
    pub(super) package: String,
    /// `[KIND=]PATH`, in the order printed.
    pub(super) link_search: Vec<String>,
    /// The directory of the run.
    pub(super) directory: Utf8PathBuf,
}

/// The source of build script runs.
#[derive(Debug)]
pub(super) enum Runs {
    /// cargo's messages: exactly the runs of this build.
    Reported(Vec<BuildScriptRun>),
    /// The records in the build directory: also those of older builds, the newest first.
    Recorded(Vec<BuildScriptRun>),
}

/// Returns the build script runs recorded under profile directories (of the build directory), the newest first.
///
/// A profile directory may hold runs of older builds, so the newest comes first. Two layouts:
/// `build/<package>-<hash>/output`, and `build/<package>/<hash>/run/stdout` (cargo's
/// `-Zbuild-dir-new-layout`).
pub(super) fn build_script_runs(
    project: &Project,
    profile_dirs: &[Utf8PathBuf],
) -> Result<Vec<BuildScriptRun>> {
    let mut runs: Vec<DatedRun> = Vec::new();
    for profile_dir in profile_dirs {
        runs.extend_from_slice(&project.once(profile_dir, || dated_runs(profile_dir))?);
    }
    runs.sort_by(|(a, a_output, _), (b, b_output, _)| b.cmp(a).then_with(|| a_output.cmp(b_output)));
    Ok(runs.into_iter().map(|(_, _, run)| run).collect())
}

/// A run with the time and the path of its output.
type DatedRun = (SystemTime, Utf8PathBuf, BuildScriptRun);

fn dated_runs(profile_dir: &Utf8Path) -> Result<Vec<DatedRun>> {
    let mut runs = Vec::new();
    for outer in files::directories(&profile_dir.join("build"))? {
        let name = outer.file_name().unwrap_or_default();
        let package = name.rsplit_once('-').map_or(name, |(package, _hash)| package);
        runs.extend(build_script_run(package, &outer, "output", "root-output")?);
        for inner in files::directories(&outer)? {
            runs.extend(build_script_run(name, &inner, "run/stdout", "run/root-output")?);
        }
    }
    Ok(runs)
}

fn build_script_run(
    package: &str,
    directory: &Utf8Path,
    output: &str,
    root_output: &str,
) -> Result<Option<DatedRun>> {
    let output = directory.join(output);
    let (Some(modified), Some(text)) = (files::modified(&output)?, files::text(&output)?) else {
        return Ok(None);
    };
    // The directory may have been moved or mounted elsewhere since (containers, caches): cargo records the OUT_DIR
    // that the script got, and replaces it by the present one.
    let told = files::text(&directory.join(root_output))?;
    let out_dir = directory.join("out");
    let link_search = link_search(&text).into_iter().map(|(kind, path)| {
        let moved = told.as_deref().and_then(|told| Utf8Path::new(path).strip_prefix(told.trim_end()).ok());
        let path = match moved {
            // Joining an empty path would add a slash.
            Some(rest) if rest.as_str().is_empty() => out_dir.clone(),
            Some(rest) => out_dir.join(rest),
            None => Utf8PathBuf::from(path),
        };
        format!("{}={path}", kind.unwrap_or("all"))
    });
    let run = BuildScriptRun {
        package: package.to_owned(),
        link_search: link_search.collect(),
        directory: directory.to_owned(),
    };
    Ok(Some((modified, output, run)))
}

/// Returns `rustc-link-search` and the `-L` of `rustc-flags`, as kind and path, from a build script's output.
fn link_search(text: &str) -> Vec<(Option<&str>, &str)> {
    link_arguments(text, "rustc-link-search", "-L").into_iter().map(split_kind).collect()
}

/// Returns the directories that a build script gave to the linker of its own package's programs, as linker arguments.
pub(super) fn link_arg_dirs(run: &Utf8Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for output in [run.join("output"), run.join("run/stdout")] {
        let Some(text) = files::text(&output)? else { continue };
        for line in text.lines() {
            let line = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:"));
            let Some((name, value)) = line.and_then(|line| line.split_once('=')) else { continue };
            let argument = match name {
                "rustc-link-arg" | "rustc-link-arg-bins" | "rustc-link-arg-examples" => value,
                "rustc-link-arg-bin" => value.split_once('=').map_or(value, |(_, argument)| argument),
                _ => continue,
            };
            found.extend(argument.trim_end().strip_prefix("-L").map(str::to_owned));
        }
    }
    Ok(found)
}

/// Returns the `-L` of rustc's flags, and of the linker's arguments among them: `[KIND=]PATH`.
pub(super) fn flag_dirs(flags: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let mut value = |flag: &str| match flag {
            "" => flags.next().cloned(),
            value => Some(value.to_owned()),
        };
        if let Some(rest) = flag.strip_prefix("-L") {
            found.extend(value(rest));
        } else if let Some(rest) = flag.strip_prefix("-C") {
            let option = value(rest).unwrap_or_default();
            let arguments = option.strip_prefix("link-arg=").map(|argument| vec![argument]);
            let several = || Some(option.strip_prefix("link-args=")?.split_whitespace().collect());
            let arguments: Vec<&str> = arguments.or_else(several).unwrap_or_default();
            found.extend(arguments.iter().filter_map(|it| Some(it.strip_prefix("-L")?.to_owned())));
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

/// Returns the names of libraries in a build script's output: `rustc-link-lib` and the `-l` of `rustc-flags`.
///
/// Source: "rustc-link-lib" in The Cargo Book, `-l` in The rustc Book: `[KIND[:MODIFIERS]=]NAME[:RENAME]`.
pub(super) fn link_libs(text: &str) -> Vec<String> {
    let name = |value: &str| {
        let name = value.rsplit_once('=').map_or(value, |(_, name)| name);
        name.split(':').next().unwrap_or(name).trim().to_owned()
    };
    link_arguments(text, "rustc-link-lib", "-l").into_iter().map(name).collect()
}

/// The values of an instruction in a build script's output, and those of the same flag in `rustc-flags`.
fn link_arguments<'a>(text: &'a str, instruction: &str, flag: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:")) else {
            continue;
        };
        match line.split_once('=') {
            Some((name, value)) if name == instruction => found.push(value.trim_end()),
            Some(("rustc-flags", value)) => {
                let mut words = value.split_whitespace();
                while let Some(word) = words.next() {
                    match word.strip_prefix(flag) {
                        Some("") => found.extend(words.next()),
                        Some(value) => found.push(value),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Splits `KIND=PATH`, or a path alone, which may contain `=`.
fn split_kind(value: &str) -> (Option<&str>, &str) {
    match value.split_once('=') {
        Some((kind @ ("native" | "dependency" | "crate" | "framework" | "all"), path)) => (Some(kind), path),
        _ => (None, value),
    }
}

/// Returns the package of a build script run, from its output directory.
pub(super) fn package_of_out_dir(out_dir: &Utf8Path) -> String {
    let mut names = out_dir.ancestors().skip(1).filter_map(Utf8Path::file_name);
    let (inner, outer) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    let package = match (inner.rsplit_once('-'), outer) {
        (Some((package, _hash)), "build") => package,
        (None, "build") => inner,
        _ => outer,
    };
    package.to_owned()
}

/// Returns the directories that may hold libraries of a program built in these profile directories.
///
/// First what `cargo run` puts on the library path, in its order: link-search directories inside the target or
/// build directory, the profile's directory, its `deps`. Then the other link-search directories: cargo keeps
/// them off the library path, but the linker found libraries there, so a need can only mean those files.
///
/// Source: `fill_env` and `filter_dynamic_search_path` in cargo 1.95; `LD_LIBRARY_PATH` under `cargo run`.
pub(super) fn library_dirs(
    project: &Project,
    runs: &Runs,
    profile_dirs: &[ProfileDirs],
    flags: &[String],
) -> Result<Vec<LibraryDir>> {
    let (Runs::Reported(list) | Runs::Recorded(list)) = runs;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for run in list {
        for value in &run.link_search {
            let (kind, path) = split_kind(value);
            // rustc and its linker run in the workspace's directory.
            let path = project.metadata.workspace_root.join(path);
            let package = run.package.clone();
            if path.starts_with(project.build_directory()) || path.starts_with(project.target_directory()) {
                inside.push((value, LibraryDir { path, origin: LibraryDirOrigin::BuildScript { package } }));
            } else if !matches!(kind, Some("crate" | "framework")) {
                // The linker is not given directories of these two kinds.
                outside.push(LibraryDir { path, origin: LibraryDirOrigin::LinkSearch { package } });
            }
        }
    }
    if let Runs::Reported(_) = runs {
        // cargo keeps them in a set of strings that begin with the kind, so this is its order. Records are used with
        // the newest first.
        inside.sort_by_key(|(value, _)| *value);
    }
    let mut inside: Vec<LibraryDir> = inside.into_iter().map(|(_, dir)| dir).collect();
    for dirs in profile_dirs {
        inside.push(LibraryDir { path: dirs.target.clone(), origin: LibraryDirOrigin::Profile });
        inside.push(LibraryDir { path: dirs.build.join("deps"), origin: LibraryDirOrigin::Deps });
    }
    for value in flags {
        let (kind, path) = split_kind(value);
        let path = project.metadata.workspace_root.join(path);
        if !matches!(kind, Some("crate" | "framework")) {
            outside.push(LibraryDir { path, origin: LibraryDirOrigin::Flags });
        }
    }
    let mut seen = BTreeSet::new();
    let mut library_dirs = Vec::new();
    for dir in inside.into_iter().chain(outside) {
        if seen.insert(dir.path.clone()) && files::is_dir(&dir.path)? {
            library_dirs.push(dir);
        }
    }
    Ok(library_dirs)
}

/// One profile's directory in the target directory and in the build directory; often the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProfileDirs {
    pub(super) target: Utf8PathBuf,
    pub(super) build: Utf8PathBuf,
    /// The name of the target's directory; None for the host's.
    pub(super) triple: Option<String>,
    /// The name of the profile's directory.
    pub(super) name: String,
}

impl ProfileDirs {
    /// Returns the directories of a target (None: the host's) and the directory name of a profile.
    pub(super) fn new(project: &Project, target: Option<&str>, profile_dir: &str) -> Self {
        let within = |directory: &Utf8Path| match target {
            Some(target) => directory.join(target).join(profile_dir),
            None => directory.join(profile_dir),
        };
        ProfileDirs {
            target: within(project.target_directory()),
            build: within(project.build_directory()),
            triple: target.map(str::to_owned),
            name: profile_dir.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_in_a_source_is_escaped_and_other_backslashes_are_not() {
        let text = "/t/debug/app: /p/src/with\\ space.rs C:\\p\\main.rs\n";
        assert_eq!(sources(text), ["/p/src/with space.rs", "C:\\p\\main.rs"]);
    }

    #[test]
    fn link_search_has_two_spellings_and_a_kind_or_none() {
        let text = "cargo:rerun-if-changed=build.rs\ncargo:rustc-link-search=/a\n\
            cargo::rustc-link-search=native=/b c\ncargo:rustc-link-search=/d=e\n\
            cargo:rustc-flags=-L native=/f -lx -L/g\nwarning: cargo:rustc-link-search=/no\n";
        let expected =
            [(None, "/a"), (Some("native"), "/b c"), (None, "/d=e"), (Some("native"), "/f"), (None, "/g")];
        assert_eq!(link_search(text), expected);
    }

    #[test]
    fn a_linked_library_has_a_kind_modifiers_and_another_name_or_none() {
        let text = "cargo:rustc-link-lib=pq\ncargo::rustc-link-lib=static:+whole-archive=foo\n\
            cargo:rustc-link-lib=dylib=a:b\ncargo:rustc-flags=-l c -L/x -lstatic=d\n";
        assert_eq!(link_libs(text), ["pq", "foo", "a", "c", "d"]);
    }

    #[test]
    fn directories_in_flags_have_many_spellings() {
        let flags =
            ["-L", "native=/a", "-L/b", "-C", "link-arg=-L/c", "-Clink-args=-lx -L/d", "-Copt-level=3", "-L"];
        assert_eq!(flag_dirs(&flags.map(str::to_owned)), ["native=/a", "/b", "/c", "/d"]);
    }

    #[test]
    fn the_package_is_in_the_output_directory_of_both_layouts() {
        let check = |out_dir: &str| assert_eq!(package_of_out_dir(out_dir.into()), "my-app", "{out_dir}");
        check("/p/target/release/build/my-app-8f57e237e24fe06f/out");
        check("/p/target/release/build/my-app/8f57e237e24fe06f/out");
    }
}
