//! The places of built programs: cargo's, else cargo-lambda's.

use camino::Utf8PathBuf;

use super::artifact::{Found, finish, libraries};
use super::identity::{Identity, Maker, Stranger, dep_info_in, identify};
use super::layout::{all_profile_dirs, is_of_bundles, path_below, target_dirs};
use super::missing::{FoundStranger, Missing, not_built, other_program};
use super::project::{self, BuildTarget, Project, profile, profile_dir};
use super::records::{self, ProfileDirs, Runs};
use super::select::SelectedProgram;
use super::{BuiltProgram, NotLocated, Origin, PlacedPrograms, Selection, configuration, files, units};
use crate::error::Result;

/// A file that may be the program.
#[derive(Debug, Clone)]
struct BuiltFile {
    path: Utf8PathBuf,
    origin: Origin,
    target: Option<String>,
    /// The profile directories that it may be from; the first is the one that was asked for.
    dirs: Vec<ProfileDirs>,
    maker: Option<Maker>,
}

/// Finds each program for each target. One that is not found keeps no other from being found.
pub(super) fn locate(
    project: &Project,
    selection: &Selection,
    targets: &[BuildTarget],
    programs: &[SelectedProgram],
) -> Result<PlacedPrograms> {
    let wanted: Vec<Option<&BuildTarget>> =
        if targets.is_empty() { vec![None] } else { targets.iter().map(Some).collect() };
    let mut located = PlacedPrograms::default();
    let mut missing = Vec::new();
    for program in programs {
        for target in &wanted {
            let mut search = PlaceSearch {
                project,
                selection,
                target: *target,
                program,
                tried: Vec::new(),
                unfit: Vec::new(),
            };
            let candidates = search.candidates()?;
            let mut strangers = Vec::new();
            let candidates = own(project, program, candidates, &mut strangers)?;
            match search.choose(candidates)? {
                Some(Choice { file, line }) => {
                    let built = artifact(project, selection, program, file)?;
                    located.programs.push(BuiltProgram { choice: line, ..built });
                }
                None => match strangers.first() {
                    Some((file, stranger)) => {
                        let found = FoundStranger { program, target: *target, path: &file.path, stranger };
                        let error = other_program(project, selection, &found);
                        located.failures.push(NotLocated { names: vec![program.name.clone()], error });
                    }
                    None => missing.push(Missing {
                        program,
                        target: *target,
                        tried: search.tried,
                        unfit: search.unfit,
                    }),
                },
            }
        }
    }
    // `cargo build` skips a binary whose required features are off, unless the binary was named.
    let may_miss = |it: &Missing| !it.program.named && !it.program.required_features.is_empty();
    missing.retain(|it| located.programs.is_empty() || !may_miss(it));
    if !missing.is_empty() {
        let mut names: Vec<String> = missing.iter().map(|it| it.program.name.clone()).collect();
        names.dedup();
        located.failures.push(NotLocated { names, error: not_built(project, selection, &missing)? });
    }
    Ok(located)
}

/// The search for one program and target.
struct PlaceSearch<'a> {
    project: &'a Project<'a>,
    selection: &'a Selection,
    target: Option<&'a BuildTarget>,
    program: &'a SelectedProgram,
    /// The paths that were tried.
    tried: Vec<Utf8PathBuf>,
    /// Those of them that have a build for another profile or target.
    unfit: Vec<Utf8PathBuf>,
}

/// The file that is taken for a program.
struct Choice {
    file: BuiltFile,
    /// A line about it, if there are others.
    line: Option<String>,
}

impl PlaceSearch<'_> {
    /// Returns the files that may be the program, whatever their age.
    fn candidates(&mut self) -> Result<Vec<BuiltFile>> {
        let mut candidates = self.in_cargos_place()?;
        candidates.extend(self.in_cargo_lambdas_place()?);
        drop_foreign(&mut candidates)?;
        Ok(candidates)
    }

    fn candidate(&self, path: Utf8PathBuf, target: Option<&str>) -> BuiltFile {
        let profile_dir = profile_dir(profile(self.selection));
        BuiltFile {
            path,
            origin: Origin::Cargo,
            target: target.map(str::to_owned),
            dirs: vec![ProfileDirs::new(self.project, target, profile_dir)],
            maker: None,
        }
    }

    fn in_cargos_place(&mut self) -> Result<Vec<BuiltFile>> {
        let (project, program) = (self.project, self.program);
        let directory = project.target_directory();
        let profile_dir = profile_dir(profile(self.selection));
        let of_host = path_below(directory, None, profile_dir, program);
        let mut candidates = Vec::new();
        if let Some(target) = self.target {
            let path = path_below(&directory.join(&target.name), Some(&target.name), profile_dir, program);
            self.tried.push(path.clone());
            if files::is_file(&path)? {
                candidates.push(self.candidate(path, Some(&target.name)));
            }
            // The host's triple is the target of a build without one, too.
            if !target.has_libc_version && files::is_file(&of_host)? && project.is_host(&target.name) {
                self.tried.push(of_host.clone());
                candidates.push(self.candidate(of_host, None));
            }
            return Ok(candidates);
        }
        self.tried.push(of_host.clone());
        if files::is_file(&of_host)? {
            candidates.push(self.candidate(of_host, None));
        }
        self.tried.push(path_below(&directory.join("*"), Some("*"), profile_dir, program));
        for target_dir in target_dirs(directory)? {
            let name = target_dir.file_name().unwrap_or_default();
            let path = path_below(&target_dir, Some(name), profile_dir, program);
            if !is_of_bundles(name) && files::is_file(&path)? {
                candidates.push(self.candidate(path, Some(name)));
            }
        }
        Ok(candidates)
    }

    /// Looks in the directory of `cargo lambda build`, whose names tell neither target nor profile.
    fn in_cargo_lambdas_place(&mut self) -> Result<Vec<BuiltFile>> {
        let (project, program) = (self.project, self.program);
        let directory = project.target_directory().join("lambda");
        let mut candidates = Vec::new();
        for path in [
            directory.join(&program.name).join("bootstrap"),
            directory.join("extensions").join(&program.name),
        ] {
            self.tried.push(path.clone());
            if !files::is_file(&path)? {
                continue;
            }
            let target = self.target.map(|target| target.name.clone());
            // Any target and profile may have been used, so all of them count, after the requested one.
            let asked = ProfileDirs::new(project, target.as_deref(), profile_dir(profile(self.selection)));
            let others = all_profile_dirs(project)?.into_iter().filter(|other| *other != asked);
            let dirs = [asked.clone()].into_iter().chain(others).collect();
            candidates.push(BuiltFile { path, origin: Origin::CargoLambda, target, dirs, maker: None });
        }
        Ok(candidates)
    }

    /// Whether the target of a program that cargo-lambda moved fits the one that was asked for.
    fn fits_target(&self, file: &BuiltFile, built: Option<&ProfileDirs>) -> Result<bool> {
        let (Some(target), Some(machine)) = (self.target, files::elf_machine(&file.path)?) else {
            return Ok(true);
        };
        let fits = |target: &BuildTarget| machine_of(&target.name) == Some(machine);
        if let Some(triple) = built.and_then(|built| built.triple.as_ref()) {
            return Ok(*triple == target.name);
        }
        // The file cannot tell which of two targets of one machine it is for.
        let targets = project::targets(self.project, self.selection)?;
        Ok(fits(target) && targets.iter().filter(|target| fits(target)).count() == 1)
    }

    /// Chooses among files that are the program: what flags say, then the architecture of `--arch`, then the newest.
    fn choose(&mut self, candidates: Vec<BuiltFile>) -> Result<Option<Choice>> {
        let asked = profile_dir(profile(self.selection));
        let (mut fitting, mut of_other_profiles) = (Vec::new(), Vec::new());
        for file in candidates {
            if file.origin == Origin::Cargo {
                fitting.push(file);
                continue;
            }
            let built = built_in(&file, self.program)?;
            if !self.fits_target(&file, built.as_ref())? {
                self.unfit.push(file.path);
                continue;
            }
            match built.filter(|built| built.name != asked) {
                None => fitting.push(file),
                Some(built) => of_other_profiles.push((file, built.name)),
            }
        }
        if fitting.is_empty()
            && self.selection.profile.is_none()
            && let Some((file, name)) = of_other_profiles.pop()
        {
            let profile = if name == "debug" { "dev" } else { &name };
            let path = self.project.shown(&file.path);
            let line = Some(format!("{path}, built with the profile `{profile}`; there is no release build"));
            return Ok(Some(Choice { file, line }));
        }
        self.unfit.extend(of_other_profiles.into_iter().map(|(file, _)| file.path));
        self.prefer(&mut fitting)?;
        let mut by_age = Vec::new();
        for file in fitting {
            by_age.push((files::modified(&file.path)?, file));
        }
        let Some(newest) = by_age.iter().map(|(modified, _)| *modified).max() else { return Ok(None) };
        let at = by_age.iter().position(|(modified, _)| *modified == newest).unwrap_or(0);
        let mut differing = Vec::new();
        for (_, other) in &by_age {
            let newest = &by_age[at].1.path;
            if *newest != other.path && !files::same_bytes(newest, &other.path)? {
                differing.push(format!("`{}`", self.project.shown(&other.path)));
            }
        }
        if differing.is_empty() {
            // All are copies of one program; the first is cargo's own.
            return Ok(Some(Choice { file: by_age.swap_remove(0).1, line: None }));
        }
        let file = by_age.swap_remove(at).1;
        let line = format!(
            "{}, the newest build of `{}`; others are {}",
            self.project.shown(&file.path),
            self.program.name,
            differing.join(", ")
        );
        Ok(Some(Choice { file, line: Some(line) }))
    }

    /// Drops files that fit less well than others: of another architecture than the one that was asked for, and the
    /// host's build beside one for its triple, if the triple was spelled out.
    fn prefer(&self, fitting: &mut Vec<BuiltFile>) -> Result<()> {
        if let Some(arch) = self.selection.archs.get(&self.program.manifest_dir) {
            let mut are_of_arch = Vec::new();
            for file in fitting.iter() {
                are_of_arch.push(files::elf_machine(&file.path)? == Some(arch.machine()));
            }
            retain_marked(fitting, &are_of_arch);
        }
        if self.target.is_some_and(|target| !target.is_host_tuple()) {
            let are_named: Vec<bool> =
                fitting.iter().map(|it| it.origin == Origin::Cargo && it.target.is_some()).collect();
            let is_host: Vec<bool> =
                fitting.iter().map(|it| it.origin == Origin::Cargo && it.target.is_none()).collect();
            if are_named.contains(&true) {
                let keep: Vec<bool> = is_host.iter().map(|is_host| !is_host).collect();
                retain_marked(fitting, &keep);
            }
        }
        Ok(())
    }
}

/// Returns the profile directory in which a program that cargo-lambda moved was built: that of the unit that made it, or
/// else the only one with a `.d` file and no program.
fn built_in(file: &BuiltFile, program: &SelectedProgram) -> Result<Option<ProfileDirs>> {
    if let Some(maker) = &file.maker {
        return Ok(Some(maker.dirs.clone()));
    }
    // cargo-lambda moves the program, and leaves its `.d` file.
    let (mut left, mut others) = (Vec::new(), Vec::new());
    for dirs in &file.dirs {
        let dep_info = dep_info_in(dirs, program);
        if files::is_file(&dep_info)? {
            let is_left = !files::is_file(&dep_info.with_extension(std::env::consts::EXE_EXTENSION))?;
            if is_left { &mut left } else { &mut others }.push(dirs.clone());
        }
    }
    if left.is_empty() {
        left = others;
    }
    Ok(if left.len() == 1 { left.pop() } else { None })
}

/// Keeps the files that are marked, if there are any.
fn retain_marked(files: &mut Vec<BuiltFile>, marks: &[bool]) {
    if marks.contains(&true) {
        let mut marks = marks.iter();
        files.retain(|_| marks.next() == Some(&true));
    }
}

/// Drops files that are not ELF if there is an ELF file: Lambda cannot run a macOS or Windows build.
fn drop_foreign(candidates: &mut Vec<BuiltFile>) -> Result<()> {
    let mut elf = Vec::new();
    for candidate in candidates.iter() {
        elf.push(files::elf_machine(&candidate.path)?.is_some());
    }
    retain_marked(candidates, &elf);
    Ok(())
}

/// Returns the machine of a triple, as in an ELF header; None if Lambda has no such machine.
fn machine_of(target: &str) -> Option<u16> {
    const EM_X86_64: u16 = 62;
    const EM_AARCH64: u16 = 183;
    match target.split('-').next() {
        Some("x86_64") => Some(EM_X86_64),
        Some("aarch64") => Some(EM_AARCH64),
        _ => None,
    }
}

/// Returns the candidates that are the program, with their makers. The others go to `strangers`.
fn own(
    project: &Project,
    program: &SelectedProgram,
    candidates: Vec<BuiltFile>,
    strangers: &mut Vec<(BuiltFile, Stranger)>,
) -> Result<Vec<BuiltFile>> {
    let mut own = Vec::new();
    for candidate in candidates {
        match identify(project, program, &candidate.path, &candidate.dirs)? {
            Identity::Own(maker) => own.push(BuiltFile { maker, ..candidate }),
            Identity::Other(stranger) => strangers.push((candidate, stranger)),
        }
    }
    Ok(own)
}

fn artifact(
    project: &Project,
    selection: &Selection,
    program: &SelectedProgram,
    candidate: BuiltFile,
) -> Result<BuiltProgram> {
    let profile = profile(selection);
    let maker = candidate.maker.clone();
    let dirs = match &candidate.maker {
        Some(maker) => vec![maker.dirs.clone()],
        None => candidate.dirs,
    };
    let build_dirs: Vec<Utf8PathBuf> = dirs.iter().map(|dirs| dirs.build.clone()).collect();
    let runs = Runs::Recorded(records::build_script_runs(project, &build_dirs)?);
    let libraries = libraries(project, program, candidate.maker.as_ref(), runs, &dirs)?;
    let found = Found {
        library_dirs: libraries.dirs,
        has_exact_dirs: libraries.is_exact,
        processor_flags: configuration::processor_flags(project, candidate.maker.as_ref(), &dirs[0])?,
        dep_info: match candidate.origin {
            // cargo-lambda moves the program and leaves its `.d` file where cargo wrote it.
            Origin::CargoLambda => match &candidate.maker {
                Some(maker) => Some(dep_info_in(&maker.dirs, program)),
                None => newest(dirs.iter().map(|dirs| dep_info_in(dirs, program)))?,
            },
            Origin::Cargo | Origin::Built => Some(candidate.path.with_extension("d")),
        },
        profile: (candidate.origin == Origin::Cargo).then(|| profile.to_owned()),
        path: candidate.path,
        origin: candidate.origin,
        target: candidate.target,
    };
    let mut built = finish(project, selection, program, found)?;
    if let (None, Some(maker)) = (&built.newer_source, &maker) {
        built.newer_source = units::newer_manifest(project, program, maker, built.modified)?;
    }
    Ok(built)
}

/// Returns the existing file that was written last.
fn newest(paths: impl Iterator<Item = Utf8PathBuf>) -> Result<Option<Utf8PathBuf>> {
    let mut newest = None;
    for path in paths {
        if let Some(modified) = files::modified(&path)? {
            newest = newest.max(Some((modified, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}
