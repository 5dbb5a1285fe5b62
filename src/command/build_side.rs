//! The build world of one program.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::programs::ProgramInput;
use crate::disk;
use crate::disk::build_world::{self, DiskFiles, Objects};
use crate::disk::paths::world_name;
use crate::elf::{Arch, Libc, version};
use crate::error::{Error, Result};
use crate::loader::{self, Loaded, Rules, World};
use crate::paths;
use crate::plan::Shipped;
use crate::settings::{BundleSettings, Context};
use crate::tools::compiler;
use crate::workspace::{self, Checkouts, LibraryDir, LibraryDirOrigin};
use crate::world::{Files, Opened};

/// The files that a program was linked with.
pub(super) struct BuildFiles {
    files: DiskFiles,
    arch: Arch,
    library_path: String,
    working_directory: String,
    /// The directories that the user or the program names.
    chosen: Vec<String>,
    /// The directories of the compiler of `--cc`.
    compiler_dirs: Vec<Utf8PathBuf>,
}

impl BuildFiles {
    /// Finds the files for `arch`. `objects` caches files that were parsed for another architecture.
    ///
    /// # Errors
    ///
    /// If the compiler of `--cc` gives no directories.
    pub fn new(
        job: &BundleSettings,
        input: &ProgramInput,
        arch: Arch,
        objects: &Arc<Objects>,
        context: &Context,
    ) -> Result<BuildFiles> {
        let checkouts = input.program.checkouts(context);
        let LibraryDirs { mut first, runpath, linked } = library_dirs(job, input, &checkouts)?;
        let mut searched: Vec<String> = first.iter().map(|path| world_name(path)).collect();
        searched.extend(runpath);
        searched.extend(linked.iter().map(|path| world_name(path)));
        first.extend(linked);
        let library_dirs = first;
        let mut host_directories = library_dirs.clone();
        host_directories.extend(input.path.parent().map(Utf8Path::to_owned));
        let sources =
            input.own_included().iter().filter_map(|file| file.source.parent().map(Utf8Path::to_owned));
        host_directories.extend(sources.collect::<BTreeSet<_>>());
        let compiler_dirs = match &job.cc {
            Some(cc) => compiler::search_directories(cc, &checkouts)?,
            None => Vec::new(),
        };
        searched.extend(compiler_dirs.iter().map(|path| world_name(path)));
        let files = DiskFiles::new(job.sysroot.as_deref(), host_directories, library_dirs);
        Ok(BuildFiles {
            files: files.sharing(objects.clone()),
            arch,
            library_path: searched.join(":"),
            working_directory: world_name(&context.environment.current_dir),
            chosen: job
                .library_paths
                .iter()
                .map(|path| world_name(path))
                .chain(runpath_dirs(input))
                .collect(),
            compiler_dirs,
        })
    }

    /// Returns the directories of the library path of the build world, each with what names it.
    pub fn sources(&self, job: &BundleSettings, input: &ProgramInput) -> Vec<(String, String)> {
        let named = |path: &Utf8Path, source: &str| (world_name(path), source.to_owned());
        let mut sources: Vec<(String, String)> =
            job.library_paths.iter().map(|path| named(path, "--library-path")).collect();
        for dir in input.program.cargo.iter().flat_map(|built| &built.library_dirs) {
            let source = match &dir.origin {
                LibraryDirOrigin::BuildScript { package } | LibraryDirOrigin::LinkSearch { package } => {
                    format!("build script of {package}")
                }
                LibraryDirOrigin::Profile | LibraryDirOrigin::Deps => "cargo's target directory".to_owned(),
                LibraryDirOrigin::Flags => "-L of rustc's flags".to_owned(),
                LibraryDirOrigin::Rustc => "rustc's libraries".to_owned(),
            };
            sources.push(named(&dir.path, &source));
        }
        sources.extend(runpath_dirs(input).into_iter().map(|path| (path, "DT_RUNPATH".to_owned())));
        sources.extend(self.compiler_dirs.iter().map(|path| named(path, "--cc")));
        sources
    }

    /// Refuses a library that the linker may have taken from two directories, of build scripts or of flags, if the two
    /// files differ.
    ///
    /// # Errors
    ///
    /// If there is such a library: an error that names both files.
    pub fn check_choice(&self, input: &ProgramInput, shipped: &[Shipped]) -> Result<()> {
        let Some(built) = &input.program.cargo else { return Ok(()) };
        let is_searched = |dir: &&LibraryDir| {
            let searched = [LibraryDirOrigin::Profile, LibraryDirOrigin::Deps, LibraryDirOrigin::Rustc];
            !searched.contains(&dir.origin)
        };
        let dirs: Vec<String> =
            built.library_dirs.iter().filter(is_searched).map(|dir| world_name(&dir.path)).collect();
        for library in shipped.iter().filter(|library| library.link_to.is_none()) {
            let copies = |dirs: &[String]| -> BTreeSet<String> {
                dirs.iter().filter_map(|dir| self.copy(dir, &library.name)).collect()
            };
            // A copy from elsewhere is the user's choice, or that of the program's RUNPATH.
            let others = copies(&dirs);
            if !others.contains(&library.source) || copies(&self.chosen).contains(&library.source) {
                continue;
            }
            let own = disk::read(library.source.as_str().into())?;
            for other in others.iter().filter(|other| **other != library.source) {
                if disk::read(other.as_str().into())? != own {
                    return Err(differ(input, library, other));
                }
            }
        }
        Ok(())
    }

    /// Returns the library of this name and architecture in a directory, links followed.
    fn copy(&self, directory: &str, name: &str) -> Option<String> {
        match self.files.open(&format!("{directory}/{name}")) {
            Opened::File(file) if file.object.elf().is_some_and(|elf| elf.arch() == Some(self.arch)) => {
                Some(file.source)
            }
            _ => None,
        }
    }

    /// Returns the name that the word after `--dlopen` may mean: a library of this name in any version, by its SONAME.
    pub fn meant_by(&self, word: &str, world: &World, objects: &[Loaded]) -> Option<String> {
        let stem = word.strip_prefix("lib").unwrap_or(word).split(".so").next().unwrap_or(word);
        let is_meant = |name: &str| {
            let rest = name.strip_prefix("lib").and_then(|name| name.strip_prefix(stem));
            name != word && rest.is_some_and(|rest| rest == ".so" || rest.starts_with(".so."))
        };
        let cached = match &world.rules {
            Rules::Glibc(rules) => rules.cache.paths(),
            Rules::Musl(_) => Arc::default(),
        };
        let mut names: BTreeSet<String> = cached.keys().filter(|name| is_meant(name)).cloned().collect();
        for directory in self.library_path.split(':') {
            names.extend(disk::names(directory.into()).into_iter().filter(|name| is_meant(name)));
        }
        let by_soname = |name: &String| {
            let (_, file) = loader::candidates(world, objects, 0, name).into_iter().next()?;
            Some(file.object.soname().filter(|soname| is_meant(soname)).unwrap_or(name).to_owned())
        };
        names.iter().filter_map(by_soname).max_by(|a, b| version::compare_numbers(a, b))
    }

    /// Returns the build worlds of these files.
    pub fn worlds(&self) -> BuildWorlds<'_> {
        BuildWorlds { of: self, worlds: Default::default() }
    }
}

/// The build world, for programs of either C library.
pub(super) struct BuildWorlds<'a> {
    of: &'a BuildFiles,
    /// The world for glibc's programs, and the one for musl's.
    worlds: [OnceCell<World<'a>>; 2],
}

impl<'a> BuildWorlds<'a> {
    pub fn files(&self) -> &'a BuildFiles {
        self.of
    }

    pub fn of(&self, libc: Libc) -> &World<'a> {
        self.worlds[usize::from(libc == Libc::Musl)].get_or_init(|| World {
            files: &self.of.files,
            rules: build_world::rules(&self.of.files, self.of.arch, libc),
            library_path: Some(self.of.library_path.clone()),
            working_directory: self.of.working_directory.clone(),
        })
    }
}

fn differ(input: &ProgramInput, library: &Shipped, other: &str) -> Error {
    let (name, directory) = (&input.program.name, paths::parent(&library.source));
    let error = Error::new(format!(
        "`{name}` may be linked with either of two files for `{}`, and they differ\n  {}\n  {other}",
        library.name, library.source
    ));
    let is_exact = input.program.cargo.as_ref().is_some_and(|built| built.has_exact_dirs);
    error.help(match is_exact {
        true => format!("add the directory of the right one, for example `--library-path {directory}`"),
        false => "build it again in the same run: add `--build`".to_owned(),
    })
}

/// The directories before the system's.
struct LibraryDirs {
    /// The user's and cargo's, on cargo's library path.
    first: Vec<Utf8PathBuf>,
    /// The program's own: cargo does not put the directories that only the linker searched before them.
    runpath: Vec<String>,
    /// Those that only the linker searched, and rustc's if needed.
    linked: Vec<Utf8PathBuf>,
}

/// Returns the directories in the RUNPATH of the program.
fn runpath_dirs(input: &ProgramInput) -> Vec<String> {
    let origin = input.path.parent().map(world_name).unwrap_or_default();
    let expand = |directory: &str| directory.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
    let runpath = input.facts.runpath.iter().flat_map(|runpath| runpath.split(':'));
    runpath.map(expand).map(|directory| paths::normalize(&directory)).collect()
}

/// Returns the directories before the system's: the user's, cargo's, and rustc's if needed.
///
/// # Errors
///
/// If a file of the checkout would choose the rustc.
fn library_dirs(job: &BundleSettings, input: &ProgramInput, checkouts: &Checkouts) -> Result<LibraryDirs> {
    let mut first = job.library_paths.clone();
    let (mut own_dirs, mut directories) = (Vec::new(), Vec::new());
    if let Some(artifact) = &input.program.cargo {
        let is_only_linked = |dir: &&LibraryDir| {
            matches!(dir.origin, LibraryDirOrigin::LinkSearch { .. } | LibraryDirOrigin::Flags)
        };
        let (linked, on_path): (Vec<&LibraryDir>, Vec<&LibraryDir>) =
            artifact.library_dirs.iter().partition(is_only_linked);
        first.extend(on_path.into_iter().map(|dir| dir.path.clone()));
        directories.extend(linked.into_iter().map(|dir| dir.path.clone()));
        if !directories.is_empty() {
            own_dirs.extend(runpath_dirs(input));
        }
        // Asking rustc costs a process; only programs linked with `-C prefer-dynamic` need its directory.
        let needs_rustc = |name: &String| name.starts_with("libstd-") || name.starts_with("librustc_driver-");
        if input.facts.needed.iter().any(needs_rustc) {
            directories.extend(workspace::rustc_target_libdir(artifact.target.as_deref(), checkouts)?);
        }
    }
    Ok(LibraryDirs { first, runpath: own_dirs, linked: directories })
}
