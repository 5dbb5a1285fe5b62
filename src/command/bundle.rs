//! Bundle and check: find the programs, plan, audit, write.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Results, arch_assertion, arch_of, conclude, lambda_world, runtime_findings, unreadable,
    unreadable_program,
};
use crate::archive::{self, Content, Digest, Entry, Limits, Mode};
use crate::audit::{self, Code, Finding, Owner, Severity, Subject};
use crate::disk::{self, build_world};
use crate::elf::{self, ElfFacts, Linkage, ObjectType};
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::plan::{self, BundlePlan, Request};
use crate::report::{self, Artifact};
use crate::settings::{self, Bundle, Context, Destination, Programs, Settings};
use crate::ui::Ui;
use crate::workspace::{self, Origin};
use crate::world::{Object, OpenFile, World};

/// A program to bundle, whoever built it.
struct Program {
    name: String,
    path: Utf8PathBuf,
    /// What cargo knows of it; `None` for `--binary`.
    cargo: Option<workspace::Artifact>,
}

impl Program {
    fn owner(&self) -> Owner<'_> {
        match &self.cargo {
            Some(artifact) => Owner::Cargo { target: artifact.target.as_deref() },
            None => Owner::Binary,
        }
    }
}

pub(super) fn run(
    job: &Bundle,
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    check_directories(job)?;
    let programs = programs(job, context)?;
    let mut outputs: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
    let mut loaded = Vec::new();
    for program in programs {
        let bytes = disk::read(&program.path)
            .map_err(|error| unreadable(error, "name the file of a built program"))?;
        let facts = elf::parse(&bytes).map_err(|error| unreadable_program(&program.path, error))?;
        check_kind(&program, &facts, job.destination.is_some())?;
        let output = match &job.destination {
            Some(destination) => {
                let path = output_path(destination, &program, &facts, context);
                if let Some(other) = outputs.insert(path.clone(), program.name.clone()) {
                    return Err(Error::usage(format!(
                        "`{other}` and `{}` would both be written to `{path}`",
                        program.name
                    ))
                    .help("tell them apart: `-o DIR/{bin}-{arch}.zip`, with {bin}, {package}, {arch} or {target}"));
                }
                Some(path)
            }
            None => None,
        };
        loaded.push((program, bytes, facts, output));
    }
    for (program, bytes, facts, output) in loaded {
        bundle_one(job, settings, context, ui, results, &program, bytes, facts, output.as_deref())?;
    }
    Ok(())
}

fn check_directories(job: &Bundle) -> Result<()> {
    for (flag, path) in job
        .library_paths
        .iter()
        .map(|path| ("--library-path", path))
        .chain(job.sysroot.iter().map(|path| ("--sysroot", path)))
    {
        if !disk::is_directory(path) {
            return Err(Error::new(format!("`{flag} {path}` is not a directory")));
        }
    }
    Ok(())
}

fn programs(job: &Bundle, context: &Context) -> Result<Vec<Program>> {
    match &job.programs {
        Programs::Binaries(paths) => Ok(paths
            .iter()
            .map(|path| Program {
                name: path.file_name().unwrap_or("bootstrap").to_owned(),
                path: path.clone(),
                cargo: None,
            })
            .collect()),
        Programs::Cargo(selection) => {
            let artifacts = workspace::find(selection, &context.environment)?;
            Ok(artifacts
                .into_iter()
                .map(|artifact| Program {
                    name: artifact.name.clone(),
                    path: artifact.path.clone(),
                    cargo: Some(artifact),
                })
                .collect())
        }
    }
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
                .help("name a program; `check --binary` takes a library, too"))
        }
        _ => Ok(()),
    }
}

fn output_path(
    destination: &Destination,
    program: &Program,
    facts: &ElfFacts,
    context: &Context,
) -> Utf8PathBuf {
    let arch = arch_word(facts);
    let Some(pattern) = &destination.pattern else {
        let target_directory = match &program.cargo {
            Some(artifact) => artifact.target_directory.clone(),
            None => context.current_dir.join("target"),
        };
        return target_directory.join("lambda-bundle").join(&program.name).join("bootstrap.zip");
    };
    let cargo = program.cargo.as_ref();
    let values = [
        ("bin", program.name.as_str()),
        ("package", cargo.map_or(program.name.as_str(), |artifact| &artifact.package)),
        ("arch", arch),
        ("target", cargo.and_then(|artifact| artifact.target.as_deref()).unwrap_or("host")),
    ];
    let path = settings::fill(pattern, &values);
    // `-o app.zip` where that is a directory is a mistake, and is said to be one when it is written.
    let is_directory =
        destination.is_directory || (path.extension() != Some("zip") && disk::is_directory(&path));
    if is_directory { path.join("bootstrap.zip") } else { path }
}

fn arch_word(facts: &ElfFacts) -> &'static str {
    facts.arch().map_or("unknown", |arch| arch.as_str())
}

#[expect(clippy::too_many_arguments, reason = "one call, from the loop over programs")]
fn bundle_one(
    job: &Bundle,
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
    program: &Program,
    bytes: Vec<u8>,
    facts: ElfFacts,
    output: Option<&Utf8Path>,
) -> Result<()> {
    let facts = Arc::new(facts);
    let path = disk::canonicalize(&program.path)?;
    let library_dirs = library_dirs(job, program, &facts, context);
    let mut host_directories = library_dirs.clone();
    host_directories.extend(path.parent().map(Utf8Path::to_owned));
    let files = build_world::DiskFiles::new(job.sysroot.as_deref(), host_directories, library_dirs.clone());
    let arch = arch_of(&facts, &settings.lambda);
    let build = World {
        files: &files,
        rules: build_world::rules(&files, arch, facts.libc()),
        library_path: Some(joined(&library_dirs)),
        working_directory: context.current_dir.as_str().to_owned(),
    };
    let open =
        OpenFile { id: (u64::MAX, 1), source: path.as_str().to_owned(), object: Object::Elf(facts.clone()) };
    let bytes = Arc::new(bytes);
    for runtime in &settings.lambda.runtimes {
        let mut artifact = artifact(program, &path, &facts, runtime);
        let mut findings = program_findings(program, &facts, settings, context);
        let lambda = match lambda_world(&settings.lambda, runtime, arch, &program.name) {
            Ok(lambda) => lambda,
            Err(finding) => {
                findings.push(*finding);
                let fails = conclude(&mut artifact, &mut findings, settings, ui);
                if output.is_some() {
                    stopped(&program.name, ui);
                }
                results.push((artifact, fails));
                continue;
            }
        };
        ui.status("Checking", &headline(program, &facts, &path, &lambda, context));
        findings.extend(runtime_findings(&lambda.baseline, &program.name, context.now));
        let plan = match facts.arch() {
            Some(_) => {
                let request = Request {
                    program: &open,
                    facts: &facts,
                    path: path.as_str(),
                    extra: &job.libs,
                    exclude: &job.exclude,
                };
                plan::plan(&request, &lambda, &build)
            }
            None => BundlePlan::default(),
        };
        let subject = Subject {
            name: &program.name,
            program: &facts,
            lambda: &lambda,
            owner: program.owner(),
            members: &plan.members,
            build_files: &plan.build_files,
            not_shipped: &plan.not_shipped,
        };
        findings.extend(audit::audit(&subject, &plan.walks));
        artifact.libraries = report::libraries(&subject, &plan.walks);
        for (verb, line) in report::library_lines(&artifact, &lambda) {
            ui.status(verb, &line);
        }
        let zip = match output {
            Some(output) => {
                let entries = entries(&plan, &bytes)?;
                findings.extend(unzipped_finding(&entries, &program.name));
                let spinner = ui.spinner("Bundling", &program.name);
                spinner.enable_steady_tick(Duration::from_millis(500));
                let zip = compress(&entries, job)?;
                spinner.finish_and_clear();
                findings.extend(direct_upload_finding(zip.len() as u64, &program.name));
                Some((output, entries, zip))
            }
            None => {
                let sizes = plan.unzipped_bytes(bytes.len() as u64)?;
                findings.extend(size_finding(sizes, &program.name));
                None
            }
        };
        let fails = conclude(&mut artifact, &mut findings, settings, ui);
        if let Some((output, entries, zip)) = zip {
            let write_anyway = job.destination.as_ref().is_some_and(|destination| destination.write_anyway);
            if !fails || write_anyway {
                write(output, &entries, &zip, job, &lambda, fails)
                    .map_err(|error| error.or_help("name another file with `-o <FILE>`"))?;
                artifact.archive = Some(archive_report(output, &entries, &zip));
                finished(&artifact, ui);
                if !settings.output.json {
                    ui.data(&format!("{output}\n"));
                }
            } else {
                stopped(&program.name, ui);
            }
        } else {
            let verdict = match artifact.verdict {
                "starts" => "starts",
                "fails" => "does not start",
                _ => "may start",
            };
            ui.status("Finished", &format!("`{}` {verdict} on {}", program.name, lambda.label()));
        }
        results.push((artifact, fails));
    }
    Ok(())
}

/// The directories that come before the system's: the user's, cargo's, rustc's where it matters.
fn library_dirs(job: &Bundle, program: &Program, facts: &ElfFacts, context: &Context) -> Vec<Utf8PathBuf> {
    let mut directories = job.library_paths.clone();
    if let Some(artifact) = &program.cargo {
        directories.extend(artifact.library_dirs.iter().map(|directory| directory.path.clone()));
        // Asking rustc costs a process; only programs linked with `-C prefer-dynamic` need its directory.
        if facts.needed.iter().any(|name| name.starts_with("libstd-") || name.starts_with("librustc_driver-"))
        {
            directories
                .extend(workspace::rustc_target_libdir(artifact.target.as_deref(), &context.environment));
        }
    }
    directories
}

fn joined(directories: &[Utf8PathBuf]) -> String {
    directories.iter().map(|directory| directory.as_str()).collect::<Vec<_>>().join(":")
}

fn artifact(program: &Program, path: &Utf8Path, facts: &ElfFacts, runtime: &str) -> Artifact {
    let cargo = program.cargo.as_ref();
    let is_library = facts.linkage() == Linkage::SharedLibrary;
    Artifact {
        name: program.name.clone(),
        package: cargo.map(|artifact| artifact.package.clone()),
        path: path.as_str().to_owned(),
        target: cargo.and_then(|artifact| artifact.target.clone()),
        profile: cargo.and_then(|artifact| artifact.profile.clone()),
        runtime: runtime.to_owned(),
        arch: facts.arch().map(|arch| arch.as_str().to_owned()),
        linkage: facts.arch().map(|_| facts.linkage().as_str()),
        libc: facts.arch().map(|_| facts.libc().as_str()),
        interpreter: facts.interpreter.clone(),
        verdict: "unknown",
        role: if is_library { "library" } else { "bootstrap" },
        libraries: Vec::new(),
        findings: Vec::new(),
        archive: None,
    }
}

fn headline(
    program: &Program,
    facts: &ElfFacts,
    path: &Utf8Path,
    lambda: &LambdaWorld,
    context: &Context,
) -> String {
    let path = path.strip_prefix(&context.current_dir).unwrap_or(path);
    let mut words = vec![facts.linkage().as_str().to_owned()];
    if facts.libc() != elf::Libc::None {
        words.push(facts.libc().as_str().to_owned());
    }
    if let Some(artifact) = &program.cargo {
        let age = context.now.duration_since(artifact.modified).map(|age| age.as_secs()).unwrap_or(0);
        let who = if artifact.origin == Origin::CargoLambda { "built by cargo-lambda" } else { "built" };
        words.push(format!("{who} {}", report::age(age)));
    }
    format!("{} for {} ({path}; {})", program.name, lambda.label(), words.join(", "))
}

/// Findings that need no world.
fn program_findings(
    program: &Program,
    facts: &ElfFacts,
    settings: &Settings,
    context: &Context,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        arch_assertion(facts, &settings.lambda, &program.name).into_iter().collect();
    if let Some(source) = program.cargo.as_ref().and_then(|artifact| artifact.newer_source.as_ref()) {
        let source = source.strip_prefix(&context.current_dir).unwrap_or(source);
        findings.push(
            Finding::new(
                Code::StaleBinary,
                &program.name,
                format!("`{source}` is newer than `{}`, which was built from it", program.path),
            )
            .help("build it again, or let `--build` do it"),
        );
    }
    findings
}

/// The archive's entries, with the bytes of every library read.
fn entries(plan: &BundlePlan, program: &Arc<Vec<u8>>) -> Result<Vec<Entry>> {
    let mut entries = vec![Entry {
        name: archive::BOOTSTRAP.to_owned(),
        mode: Mode::Executable,
        content: Content::File(program.clone()),
    }];
    for library in &plan.shipped {
        let content = match &library.link_to {
            Some(target) => Content::Link(target.clone()),
            None => Content::File(Arc::new(disk::read(Utf8Path::new(&library.source))?)),
        };
        entries.push(Entry { name: format!("lib/{}", library.name), mode: Mode::Data, content });
    }
    archive::order(&mut entries);
    Ok(entries)
}

impl BundlePlan {
    fn unzipped_bytes(&self, program: u64) -> Result<u64> {
        let mut total = program;
        for library in self.shipped.iter().filter(|library| library.link_to.is_none()) {
            total += disk::size(Utf8Path::new(&library.source))?;
        }
        Ok(total)
    }
}

/// Lambda's limit for function and layers, unzipped.
const UNZIPPED_LIMIT: u64 = 262_144_000;
/// Lambda's limit for a ZIP in the request itself.
const DIRECT_UPLOAD_LIMIT: u64 = 52_428_800;

fn entry_size(entry: &Entry) -> u64 {
    match &entry.content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Link(target) => target.len() as u64,
    }
}

fn unzipped_finding(entries: &[Entry], name: &str) -> Option<Finding> {
    size_finding(entries.iter().map(entry_size).sum(), name)
}

/// A finding if the contents are over Lambda's limit.
pub(super) fn size_finding(unzipped_bytes: u64, name: &str) -> Option<Finding> {
    (unzipped_bytes > UNZIPPED_LIMIT).then(|| {
        Finding::new(
            Code::SizeLimit,
            name,
            format!(
                "`{name}` is {} unzipped; Lambda takes {} with layers",
                report::size(unzipped_bytes),
                report::size(UNZIPPED_LIMIT)
            ),
        )
        .help("strip debug information (`strip = true` in the profile), or use a container image")
    })
}

/// A finding if the ZIP cannot be part of the request that uploads it.
pub(super) fn direct_upload_finding(zipped_bytes: u64, name: &str) -> Option<Finding> {
    (zipped_bytes > DIRECT_UPLOAD_LIMIT).then(|| {
        Finding::new(
            Code::DirectUploadLimit,
            name,
            format!(
                "`{name}` is {} zipped; a direct upload takes {}",
                report::size(zipped_bytes),
                report::size(DIRECT_UPLOAD_LIMIT)
            ),
        )
        .help("upload it through S3")
    })
}

fn compress(entries: &[Entry], job: &Bundle) -> Result<Vec<u8>> {
    Ok(archive::write(entries, job.stamp, Cursor::new(Vec::new()))?.into_inner())
}

/// Writes the archive beside its place, reads it back, audits what it read, and only then moves it there.
fn write(
    output: &Utf8Path,
    entries: &[Entry],
    zip: &[u8],
    job: &Bundle,
    lambda: &LambdaWorld,
    may_fail: bool,
) -> Result<()> {
    disk::write::replace(
        output,
        |file| file.write_all(zip).map_err(|cause| Error::new("could not write it").because(cause)),
        |file| {
            let read = archive::read(output.as_str(), file, &Limits::default())?;
            let same = read.entries.len() == entries.len()
                && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned));
            if !same && read.unpacked {
                return Err(Error::new("what was read back is not what was written"));
            }
            if may_fail {
                return Ok(());
            }
            let errors = super::verify::audit_again(&read, lambda, &job.libs)?;
            match errors.into_iter().find(|finding| finding.severity == Severity::Error) {
                None => Ok(()),
                Some(finding) => {
                    Err(Error::new(format!("the written archive does not hold: {}", finding.message))
                        .help("a file changed while it was read; run it again"))
                }
            }
        },
    )
}

fn is_same(read: &archive::ReadEntry, planned: &Entry) -> bool {
    read.name == planned.name
        && match (&read.kind, &planned.content) {
            (archive::Kind::File, Content::File(bytes)) => {
                read.mode == Some(planned.mode.bits()) && read.bytes.as_ref() == Some(bytes)
            }
            (archive::Kind::Link(target), Content::Link(planned)) => target == planned,
            _ => false,
        }
}

fn archive_report(output: &Utf8Path, entries: &[Entry], zip: &[u8]) -> report::Archive {
    let digest = Digest::of(zip);
    report::Archive {
        path: output.as_str().to_owned(),
        kind: "function",
        zipped_bytes: zip.len() as u64,
        unzipped_bytes: entries.iter().map(entry_size).sum(),
        sha256: digest.hex,
        code_sha256: digest.base64,
        entries: entries
            .iter()
            .map(|entry| report::Entry {
                name: entry.name.clone(),
                mode: match entry.content {
                    Content::File(_) => entry.mode.bits(),
                    Content::Link(_) => 0o777,
                },
                size: entry_size(entry),
            })
            .collect(),
    }
}

fn stopped(name: &str, ui: &Ui) {
    ui.status("Stopped", &format!("`{name}` would not start; nothing was written"));
}

fn finished(artifact: &Artifact, ui: &Ui) {
    let Some(archive) = &artifact.archive else { return };
    let libraries = archive.entries.len() - 1;
    let noun = if libraries == 1 { "library" } else { "libraries" };
    ui.status(
        "Finished",
        &format!(
            "{}: bootstrap and {libraries} {noun}, {} zipped, {} unzipped",
            artifact.name,
            report::size(archive.zipped_bytes),
            report::size(archive.unzipped_bytes)
        ),
    );
    ui.status("CodeSha256", &archive.code_sha256);
}
