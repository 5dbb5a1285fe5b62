//! Finds and reads the programs to bundle, and the paths of what is written for each.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::documents::DocumentPaths;
use crate::archive::{Content, Mode};
use crate::audit::Owner;
use crate::disk;
use crate::disk::paths::world_name;
use crate::elf;
use crate::elf::{ElfError, ElfFacts, Linkage, ObjectType, OtherFormat};
use crate::error::{Error, Result};
use crate::include::Include;
use crate::include::Included;
use crate::lambda::{Member, MemberContent};
use crate::layout::{BundleKind, Layout};
use crate::plan::IncludedObject;
use crate::settings::{
    self, BundleSettings, Context, Destination, Format, PackageSettings, Packages, Programs, Purpose,
    SettingOrigin, Settings,
};
use crate::ui::Ui;
use crate::workspace;
use crate::world::Opened;

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
                profile: artifact.profile.as_deref(),
                package: &artifact.package,
            },
            None => Owner::Binary,
        }
    }
}

/// A program with the contents of its file and what is bundled with it.
pub(super) struct ProgramInput {
    pub program: Program,
    /// The path, links followed.
    pub path: Utf8PathBuf,
    pub facts: Arc<ElfFacts>,
    /// The included files.
    pub included: Vec<Included>,
    /// The path of its bundle; `None` if none is written.
    pub output: Option<Utf8PathBuf>,
    /// The directory for the debug symbols of the program and its libraries.
    pub debug_symbols: Option<Utf8PathBuf>,
    /// The paths of the documents about it.
    pub documents: DocumentPaths,
    /// The other programs of its archive. They are in `included`, too.
    pub others: Vec<Program>,
}

impl ProgramInput {
    /// Adds another program to the same archive.
    pub fn add(&mut self, program: &Program, content: Content, kind: BundleKind) {
        self.included.push(Included {
            name: Layout::program_of(kind, &program.name),
            source: program.path.clone(),
            content,
            mode: Mode::Executable,
            by: program.name.clone(),
            is_named: true,
        });
        self.others.push(program.clone());
    }
}

pub(super) fn programs(packages: &Packages) -> Result<Vec<Program>> {
    match (&packages.shared().bundle.programs, &packages.project) {
        (Programs::Cargo(selection), Some(project)) => {
            let artifacts = project.locate(selection)?;
            Ok(artifacts
                .into_iter()
                .map(|artifact| Program {
                    name: artifact.name.clone(),
                    path: artifact.path.clone(),
                    cargo: Some(artifact),
                })
                .collect())
        }
        (Programs::Cargo(_), None) => unreachable!("cargo was asked for its programs"),
        (Programs::Binaries(paths), _) => Ok(paths
            .iter()
            .map(|path| Program {
                name: path.file_name().unwrap_or("bootstrap").to_owned(),
                path: path.clone(),
                cargo: None,
            })
            .collect()),
    }
}

/// Reads a program and the files to include in its bundle.
pub(super) fn load(program: Program, job: &BundleSettings, context: &Context) -> Result<ProgramInput> {
    let facts =
        disk::elf(&program.path).map_err(|error| unreadable(error, "name the file of a built program"))?;
    let facts = facts.map_err(|error| unreadable_program(&program.path, error))?;
    let output = match &job.purpose {
        Purpose::Write(destination) => {
            check_kind(&program, &facts, true)?;
            Some(output_path(destination, job.kind, &program, &facts, context))
        }
        Purpose::Check | Purpose::Size | Purpose::Explain(_) => {
            check_kind(&program, &facts, false)?;
            None
        }
    };
    let in_place = |pattern: &Utf8PathBuf| filled(pattern, &program, &facts);
    let debug_symbols = job.debug_symbols.as_ref().map(in_place);
    let documents = match &job.purpose {
        Purpose::Write(destination) => DocumentPaths {
            sbom: destination.sbom.as_ref().map(in_place),
            licenses: destination.licenses.as_ref().map(in_place),
        },
        Purpose::Check | Purpose::Size | Purpose::Explain(_) => DocumentPaths::default(),
    };
    let path = disk::canonicalize(&program.path)?;
    let included = collect(job)?;
    let facts = Arc::new(facts);
    let others = Vec::new();
    Ok(ProgramInput { program, path, facts, included, output, debug_symbols, documents, others })
}

/// Only programs can be a `bootstrap`; a shared library can be checked.
fn check_kind(program: &Program, facts: &ElfFacts, will_write: bool) -> Result<()> {
    let path = &program.path;
    match facts.object_type {
        ObjectType::Other(1) => Err(Error::new(format!("`{path}` is an object file, not a program"))
            .help("name the program that was linked from it")),
        ObjectType::Other(_) => Err(Error::new(format!("`{path}` is an ELF file, but not a program"))),
        _ if will_write && facts.arch().is_some() && facts.linkage() == Linkage::SharedLibrary => {
            Err(Error::new(format!("`{path}` is a shared library, not a program"))
                .help("name a program; `check --binary` also takes a library"))
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

/// Fills a path's placeholders.
fn filled(pattern: &Utf8Path, program: &Program, facts: &ElfFacts) -> Utf8PathBuf {
    let cargo = program.cargo.as_ref();
    let values = [
        ("bin", program.name.as_str()),
        ("package", cargo.map_or(program.name.as_str(), |artifact| &artifact.package)),
        ("arch", facts.arch().map_or("unknown", |arch| arch.as_str())),
        ("target", cargo.and_then(|artifact| artifact.target.as_deref()).unwrap_or("host")),
    ];
    settings::fill(pattern, &values)
}

/// Returns the library directories that cargo knows for the program.
pub(super) fn library_dirs_of(program: &Program) -> impl Iterator<Item = Utf8PathBuf> {
    let directories = program.cargo.iter().flat_map(|artifact| &artifact.library_dirs);
    directories.map(|directory| directory.path.clone())
}

/// Returns the settings of the program's package.
pub(super) fn settings_of<'a>(packages: &'a Packages, program: &Program) -> &'a Settings {
    match &program.cargo {
        Some(artifact) => packages.of(&artifact.manifest_dir),
        None => packages.shared(),
    }
}

/// Adds help to an error about a file that the user named and that could not be read.
pub(super) fn unreadable(error: Error, otherwise: &str) -> Error {
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
pub(super) fn unreadable_program(path: &Utf8Path, error: ElfError) -> Error {
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

/// Prints which of cargo-lambda's settings are used, as they are not this tool's own.
pub(super) fn say_whose(package: &PackageSettings, ui: &Ui) {
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
pub(super) fn collect(job: &BundleSettings) -> Result<Vec<Included>> {
    let mut included = Vec::new();
    for selector in &job.includes {
        included.extend(disk::include::collect(selector, job.keep_links)?);
    }
    Ok(included)
}

/// Returns the included files as the loader will find them.
pub(super) fn included_members(included: &[Included], layout: &Layout) -> Vec<Member> {
    let member = |file: &Included| {
        let content = match &file.content {
            Content::Link(target) => MemberContent::Link(target.clone()),
            Content::File(bytes) => {
                MemberContent::of_file(elf::parse(bytes).map(Arc::new), bytes.len() as u64)
            }
            Content::Stored(stored) => {
                match elf::parse_ranges(stored.n_bytes(), |range| stored.read(range)) {
                    Ok(facts) => MemberContent::of_file(facts.map(Arc::new), stored.n_bytes()),
                    Err(_) => MemberContent::Other(Opened::Unreadable),
                }
            }
        };
        Member { path: layout.path(&file.name), content }
    };
    included.iter().map(member).collect()
}

/// Returns the programs and libraries among the included files. `members` has one entry for each file, with its
/// facts.
///
/// # Errors
///
/// If a file no longer exists.
pub(super) fn included_objects(included: &[Included], members: &[Member]) -> Result<Vec<IncludedObject>> {
    let mut objects = Vec::new();
    for (file, member) in included.iter().zip(members) {
        let MemberContent::Object(facts) = &member.content else { continue };
        // Only a linker reads object files; to everything else they are data.
        if matches!(facts.object_type, ObjectType::Other(_)) {
            continue;
        }
        let source = disk::canonicalize(&file.source)?;
        let (name, facts, path) = (file.name.clone(), facts.clone(), world_name(&source));
        objects.push(IncludedObject { name, facts, source: source.into_string(), path });
    }
    Ok(objects)
}
