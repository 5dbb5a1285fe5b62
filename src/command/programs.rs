//! Finds and reads the programs to bundle, and the paths of what is written for each.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::documents::DocumentPaths;
use super::runtime::Baselines;
use crate::archive::{Content, Mode};
use crate::audit::Owner;
use crate::baseline::starts_bootstrap;
use crate::disk::{self, FileId};
use crate::elf::{ElfFacts, Linkage, ObjectType};
use crate::error::{Error, Result};
use crate::include::Include;
use crate::include::{Included, RefusedInclude};
use crate::layout::{BundleKind, Format};
use crate::plan::OwnChoices;
use crate::settings::{
    self, BundleSettings, Context, Destination, PackageSettings, Packages, Programs, Purpose, SettingOrigin,
    Settings,
};
use crate::ui::Ui;
use crate::workspace::{self, Checkouts, NotLocated};

/// A program to bundle, from cargo or from `--binary`.
#[derive(Clone)]
pub(super) struct Program {
    pub name: String,
    pub path: Utf8PathBuf,
    /// Facts from cargo; `None` for `--binary`.
    pub cargo: Option<workspace::BuiltProgram>,
}

impl Program {
    pub fn owner(&self) -> Owner<'_> {
        match &self.cargo {
            Some(artifact) => Owner::Cargo {
                target: artifact.target.as_deref(),
                words: &artifact.words,
                has_zigbuild: artifact.has_zigbuild,
            },
            None => Owner::Binary,
        }
    }

    /// The places from which no program is run because a file there says so.
    pub fn checkouts<'a>(&self, context: &'a Context) -> Checkouts<'a> {
        let workspace = self.cargo.as_ref().map(|built| &*built.workspace_root);
        Checkouts::new(&context.environment, workspace)
    }
}

/// A program with the contents of its file and what is bundled with it.
pub(super) struct ProgramInput<'a> {
    pub program: Program,
    /// The path, links followed.
    pub path: Utf8PathBuf,
    pub facts: Arc<ElfFacts>,
    /// The included files: its own, then the other programs of its archive and theirs.
    pub included: Vec<Included>,
    /// The number of its own.
    pub n_own: usize,
    /// What was to be included and is not.
    pub refused: Vec<RefusedInclude>,
    /// The included files outside the workspace that a manifest names, by their positions in `included`.
    pub strangers: Vec<usize>,
    /// The path of its bundle; `None` if none is written.
    pub output: Option<Utf8PathBuf>,
    /// Whether the bundle joins the other files of a directory.
    pub joins: bool,
    /// The directory for the debug symbols of the program and its libraries.
    pub debug_symbols: Option<Utf8PathBuf>,
    /// The paths of the documents about it.
    pub documents: DocumentPaths,
    /// The other programs of its archive. They are in `included`, too.
    pub others: Vec<OtherProgram<'a>>,
}

/// Another program of an archive, after the first.
pub(super) struct OtherProgram<'a> {
    pub input: ProgramInput<'a>,
    pub settings: &'a Settings,
    /// Its name in the archive.
    pub entry_name: String,
}

impl OtherProgram<'_> {
    /// Returns its choices for the plan; files included for it open no library at run time.
    fn choices(&self, is_program: bool) -> OwnChoices {
        let bundle = &self.settings.bundle;
        OwnChoices {
            extra: if is_program { bundle.libs.clone() } else { Vec::new() },
            exclude: bundle.exclude.clone(),
            pin: bundle.pin.clone(),
            may_edit: bundle.may_edit,
        }
    }
}

impl<'a> ProgramInput<'a> {
    /// Adds another program, and what is included for it, to the same archive.
    pub fn add(&mut self, other: OtherProgram<'a>, content: Content) {
        self.included.push(Included {
            name: other.entry_name.clone(),
            source: other.input.program.path.clone(),
            content,
            mode: Mode::Executable,
            by: other.input.program.name.clone(),
            is_named: true,
        });
        for file in &other.input.included {
            // Packages spell one path in different ways, and what is included on the command line is for each program.
            let is_same = |known: &Included| {
                known.name == file.name && known.mode == file.mode && is_one_file(known, file)
            };
            if !self.included.iter().any(is_same) {
                self.included.push(file.clone());
            }
        }
        self.others.push(other);
    }

    /// The files that are included for the first program.
    pub fn own_included(&self) -> &[Included] {
        &self.included[..self.n_own]
    }

    /// Returns the number of the program that a file of the archive is or is included for; 0 is the first.
    pub fn owner_of(&self, name: &str) -> usize {
        let has = |files: &[Included]| files.iter().any(|file| file.name == name);
        if has(self.own_included()) {
            return 0;
        }
        let is_its = |other: &OtherProgram| other.entry_name == name || has(&other.input.included);
        self.others.iter().position(is_its).map_or(0, |at| at + 1)
    }

    /// Returns the choices for an included file, if it is not the first program's.
    pub fn choices_for(&self, name: &str) -> Option<OwnChoices> {
        let other = self.others.get(self.owner_of(name).checked_sub(1)?)?;
        Some(other.choices(other.entry_name == name))
    }

    /// Returns all programs of the archive, the first first.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        [&self.program].into_iter().chain(self.others.iter().map(|other| &other.input.program))
    }

    /// Returns the names of all programs of the archive, for messages.
    pub fn names(&self) -> String {
        self.programs().map(|program| program.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the number of included files that are no programs of their own.
    pub fn n_included(&self) -> usize {
        self.included.len() - self.others.len()
    }
}

/// Whether two included files are one file, or equal links.
fn is_one_file(one: &Included, other: &Included) -> bool {
    match (&one.content, &other.content) {
        (Content::Link(one), Content::Link(other)) => one == other,
        (Content::Link(_), _) | (_, Content::Link(_)) => false,
        _ => one.source == other.source || FileId::of(&one.source) == FileId::of(&other.source),
    }
}

/// The programs of a run, and those that were not found.
#[derive(Default)]
pub(super) struct FoundPrograms {
    pub programs: Vec<Program>,
    pub failures: Vec<NotLocated>,
}

pub(super) fn programs(packages: &Packages, baselines: &Baselines) -> Result<FoundPrograms> {
    match (&packages.shared().bundle.programs, &packages.project) {
        (Programs::Cargo(selection), Some(project)) => {
            let mut selection = (**selection).clone();
            if selection.zigbuild {
                selection.floor = baselines.floor(&packages.shared().target);
            }
            let archs = packages
                .iter()
                .filter_map(|package| Some((package.directory.clone(), package.settings.target.arch?)));
            selection.archs = archs.collect();
            let located = project.locate(&selection)?;
            let program = |artifact: workspace::BuiltProgram| Program {
                name: artifact.name.clone(),
                path: artifact.path.clone(),
                cargo: Some(artifact),
            };
            let programs = located.programs.into_iter().map(program).collect();
            Ok(FoundPrograms { programs, failures: located.failures })
        }
        (Programs::Cargo(_), None) => unreachable!("cargo was asked for its programs"),
        (Programs::Binaries(paths), _) => {
            let program = |path: &Utf8PathBuf| Program {
                name: path.file_name().unwrap_or("bootstrap").to_owned(),
                path: path.clone(),
                cargo: None,
            };
            Ok(FoundPrograms { programs: paths.iter().map(program).collect(), failures: Vec::new() })
        }
    }
}

/// Reads a program and the files to include in its bundle.
pub(super) fn load<'a>(program: Program, settings: &Settings, context: &Context) -> Result<ProgramInput<'a>> {
    let job = &settings.bundle;
    let facts = disk::program::read(&program.path)?;
    let output = match &job.purpose {
        Purpose::Write(destination) => {
            check_kind(&program, &facts, !job.libraries_only)?;
            Some(output_path(destination, job.kind, &program, &facts, context))
        }
        Purpose::Check | Purpose::Size(_) | Purpose::Explain(_) => {
            check_kind(&program, &facts, false)?;
            if matches!(job.purpose, Purpose::Check) {
                check_runtime(&facts, settings)?;
            }
            None
        }
    };
    let joins = matches!(&job.purpose, Purpose::Write(to) if to.format == Format::Dir && job.libraries_only);
    let in_place = |pattern: &Utf8PathBuf| filled(pattern, &program, &facts);
    let debug_symbols = job.debug_symbols.as_ref().map(in_place);
    let documents = match &job.purpose {
        Purpose::Write(destination) => DocumentPaths {
            sbom: destination.sbom.as_ref().map(in_place),
            licenses: destination.licenses.as_ref().map(in_place),
        },
        Purpose::Check | Purpose::Size(_) | Purpose::Explain(_) => DocumentPaths::default(),
    };
    let path = disk::canonicalize(&program.path)?;
    let collected = collect(job)?;
    let strangers = strangers(&collected.files, program.cargo.as_ref(), job);
    let disk::include::Collected { files: included, refused } = collected;
    let facts = Arc::new(facts);
    let (n_own, others) = (included.len(), Vec::new());
    Ok(ProgramInput {
        program,
        path,
        facts,
        included,
        n_own,
        refused,
        strangers,
        output,
        joins,
        debug_symbols,
        documents,
        others,
    })
}

/// Refuses a program as a function on a runtime that starts none, as bundling does; a language's own program opens
/// libraries.
fn check_runtime(facts: &ElfFacts, settings: &Settings) -> Result<()> {
    let runtime = &settings.target.configured;
    let is_program = facts.linkage() != Linkage::SharedLibrary;
    if settings.bundle.kind == BundleKind::Function && is_program && !starts_bootstrap(runtime) {
        return Err(settings::no_bootstrap(runtime));
    }
    Ok(())
}

/// Only programs can be a `bootstrap`; a shared library can be checked, and its libraries bundled.
fn check_kind(program: &Program, facts: &ElfFacts, is_bundled: bool) -> Result<()> {
    let path = &program.path;
    match facts.object_type {
        ObjectType::Other(1) => Err(Error::new(format!("`{path}` is an object file, not a program"))
            .help("name the program that was linked from it")),
        ObjectType::Other(_) => Err(Error::new(format!("`{path}` is an ELF file, but not a program"))),
        _ if is_bundled && facts.arch().is_some() && facts.linkage() == Linkage::SharedLibrary => {
            Err(Error::new(format!("`{path}` is a shared library, not a program")).help(
                "name a program; or bundle the libraries that it needs: `--kind layer --libraries-only`",
            ))
        }
        _ => Ok(()),
    }
}

fn output_path(
    destination: &Destination,
    kind: BundleKind,
    program: &Program,
    facts: &ElfFacts,
    context: &Context,
) -> Utf8PathBuf {
    let name = &program.name;
    let (directory, file) = match (kind, destination.format) {
        (BundleKind::Function, Format::Zip) => (name.as_str(), "bootstrap.zip".to_owned()),
        (BundleKind::Function, Format::Dir) => (name.as_str(), "tree".to_owned()),
        (BundleKind::Layer, Format::Zip) => ("layers", format!("{name}.zip")),
        (BundleKind::Layer, Format::Dir) => ("layers", name.clone()),
        (BundleKind::Extension, Format::Zip) => ("extensions", format!("{name}.zip")),
        (BundleKind::Extension, Format::Dir) => ("extensions", name.clone()),
    };
    let Some(pattern) = &destination.pattern else {
        let target_directory = match &program.cargo {
            Some(artifact) => artifact.target_directory.clone(),
            None => context.environment.current_dir.join("target"),
        };
        return target_directory.join("lambda-bundle").join(directory).join(file);
    };
    let path = filled(pattern, program, facts);
    if destination.format == Format::Dir {
        return path;
    }
    // `-o app.zip` is a mistake if that is a directory; writing reports it.
    let is_directory =
        destination.is_directory || (path.extension() != Some("zip") && disk::is_directory(&path));
    if is_directory { path.join(file) } else { path }
}

/// Returns the paths of the documents about the layer `name` of `--split-layer`. A path without the name of a program is
/// one beside it.
pub(super) fn layer_documents(destination: &Destination, name: &str, first: &ProgramInput) -> DocumentPaths {
    let layer = Program { name: name.to_owned(), path: Utf8PathBuf::new(), cargo: None };
    let in_place = |pattern: &Utf8PathBuf| {
        let path = filled(pattern, &layer, &first.facts);
        let is_apart = ["{bin}", "{package}"].iter().any(|it| pattern.as_str().contains(it));
        match path.extension().filter(|_| !is_apart) {
            Some(extension) => path.with_file_name(format!("{name}.{extension}")),
            None if is_apart => path,
            None => path.with_file_name(name),
        }
    };
    DocumentPaths {
        sbom: destination.sbom.as_ref().map(in_place),
        licenses: destination.licenses.as_ref().map(in_place),
    }
}

/// Fills a path's placeholders.
pub(super) fn filled(pattern: &Utf8Path, program: &Program, facts: &ElfFacts) -> Utf8PathBuf {
    let cargo = program.cargo.as_ref();
    let values = [
        ("bin", program.name.as_str()),
        ("package", cargo.map_or(program.name.as_str(), |artifact| &artifact.package)),
        ("arch", facts.arch().map_or("unknown", |arch| arch.as_str())),
        ("target", cargo.and_then(|artifact| artifact.target.as_deref()).unwrap_or("host")),
    ];
    settings::fill(pattern, &values)
}

/// Returns the settings of the program's package.
pub(super) fn settings_of<'a>(packages: &'a Packages, program: &Program) -> &'a Settings {
    match &program.cargo {
        Some(artifact) => packages.of(&artifact.manifest_dir),
        None => packages.shared(),
    }
}

/// Prints which of cargo-lambda's settings are used, as they are not this tool's own.
pub(super) fn say_whose(package: &PackageSettings, ui: &Ui) {
    for line in &package.untaken {
        ui.status("Skipping", line);
    }
    for setting in &package.values {
        if let SettingOrigin::CargoLambda(path) = &setting.origin {
            let names: Vec<String> = setting
                .values
                .iter()
                .map(|word| word.parse().map_or(word.clone(), |include: Include| include.from))
                .collect();
            ui.status(
                "Including",
                &format!("{}, as cargo-lambda's settings in {path} say", names.join(", ")),
            );
        }
    }
}

/// Collects the files to include, named as in the bundle.
///
/// # Errors
///
/// The errors of [`disk::include::collect`].
pub(super) fn collect(job: &BundleSettings) -> Result<disk::include::Collected> {
    let mut all = disk::include::Collected { files: Vec::new(), refused: Vec::new() };
    for selector in &job.includes {
        let disk::include::Collected { files, refused } = disk::include::collect(selector)?;
        all.files.extend(files);
        all.refused.extend(refused);
    }
    Ok(all)
}

/// Returns the positions of files outside the workspace, links followed, if a manifest names the includes.
fn strangers(
    included: &[Included],
    built: Option<&workspace::BuiltProgram>,
    job: &BundleSettings,
) -> Vec<usize> {
    let Some(built) = built.filter(|_| job.is_of_manifest("include")) else { return Vec::new() };
    let real = |path: &Utf8Path| disk::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let root = real(&built.workspace_root);
    let is_outside = |file: &&Included| {
        !matches!(file.content, Content::Link(_)) && !real(&file.source).starts_with(&root)
    };
    included.iter().enumerate().filter(|(_, file)| is_outside(file)).map(|(at, _)| at).collect()
}
