//! The build world of one program.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::programs::{ProgramInput, library_dirs_of};
use crate::disk::build_world::{self, DiskFiles, Objects};
use crate::disk::paths::world_name;
use crate::elf::{Arch, Libc};
use crate::environment::Environment;
use crate::error::Result;
use crate::loader::World;
use crate::settings::BundleSettings;
use crate::tools::compiler;
use crate::workspace;

/// The files that a program was linked with.
pub(super) struct BuildFiles {
    files: DiskFiles,
    arch: Arch,
    library_path: String,
    working_directory: String,
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
        environment: &Environment,
    ) -> Result<BuildFiles> {
        let mut library_dirs = library_dirs(job, input, environment);
        for program in &input.others {
            library_dirs.extend(library_dirs_of(program));
        }
        let mut host_directories = library_dirs.clone();
        host_directories.extend(input.path.parent().map(Utf8Path::to_owned));
        let sources = input.included.iter().filter_map(|file| file.source.parent().map(Utf8Path::to_owned));
        host_directories.extend(sources.collect::<BTreeSet<_>>());
        let compiler_dirs = match &job.cc {
            Some(cc) => compiler::search_directories(cc, environment)?,
            None => Vec::new(),
        };
        let names: Vec<String> =
            library_dirs.iter().chain(&compiler_dirs).map(|path| world_name(path)).collect();
        let files = DiskFiles::new(job.sysroot.as_deref(), host_directories, library_dirs);
        Ok(BuildFiles {
            files: files.sharing(objects.clone()),
            arch,
            library_path: names.join(":"),
            working_directory: world_name(&environment.current_dir),
        })
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
    pub fn of(&self, libc: Libc) -> &World<'a> {
        self.worlds[usize::from(libc == Libc::Musl)].get_or_init(|| World {
            files: &self.of.files,
            rules: build_world::rules(&self.of.files, self.of.arch, libc),
            library_path: Some(self.of.library_path.clone()),
            working_directory: self.of.working_directory.clone(),
        })
    }
}

/// Returns the directories before the system's: the user's, cargo's, and rustc's if needed.
fn library_dirs(job: &BundleSettings, input: &ProgramInput, environment: &Environment) -> Vec<Utf8PathBuf> {
    let mut directories = job.library_paths.clone();
    if let Some(artifact) = &input.program.cargo {
        directories.extend(library_dirs_of(&input.program));
        // Asking rustc costs a process; only programs linked with `-C prefer-dynamic` need its directory.
        let needs_rustc = |name: &String| name.starts_with("libstd-") || name.starts_with("librustc_driver-");
        if input.facts.needed.iter().any(needs_rustc) {
            directories.extend(workspace::rustc_target_libdir(artifact.target.as_deref(), environment));
        }
    }
    directories
}
