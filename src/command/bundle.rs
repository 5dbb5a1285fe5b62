//! Bundle and check: find the programs, plan, audit, write.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Results, arch_assertion, arch_of, conclude, lambda_world, runtime_findings, unreadable,
    unreadable_program,
};
use crate::archive::{self, Content, Digest, Entry, Limits, Mode};
use crate::audit::{self, Code, Finding, Owner, Severity, Subject};
use crate::compiler;
use crate::disk::{self, build_world};
use crate::elf::{self, ElfFacts, Linkage, ObjectType};
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::patterns::Patterns;
use crate::plan::{self, BundlePlan, Request};
use crate::repair::{self, Edits};
use crate::report::{self, Artifact};
use crate::settings::{self, Bundle, Context, Destination, Form, Programs, Purpose, Settings};
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
    let mut all = Vec::new();
    for program in programs {
        let bytes = disk::read(&program.path)
            .map_err(|error| unreadable(error, "name the file of a built program"))?;
        let facts = elf::parse(&bytes).map_err(|error| unreadable_program(&program.path, error))?;
        let output = match &job.purpose {
            Purpose::Write(destination) => {
                check_kind(&program, &facts, true)?;
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
            Purpose::Check | Purpose::Explain { .. } => {
                check_kind(&program, &facts, false)?;
                None
            }
        };
        let path = disk::canonicalize(&program.path)?;
        all.push(Loaded { program, path, bytes: Arc::new(bytes), facts: Arc::new(facts), output });
    }
    let run = Run { job, settings, context, ui };
    for loaded in &all {
        run.program(loaded, results)?;
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

/// What every step of one run looks at.
struct Run<'a> {
    job: &'a Bundle,
    settings: &'a Settings,
    context: &'a Context,
    ui: &'a Ui,
}

/// A program with its bytes and the world it was built in.
struct Loaded {
    program: Program,
    /// Links followed.
    path: Utf8PathBuf,
    bytes: Arc<Vec<u8>>,
    facts: Arc<ElfFacts>,
    /// Where its bundle goes; `None` if none is written.
    output: Option<Utf8PathBuf>,
}

impl Run<'_> {
    /// Plans one program for each runtime, and writes, shows or explains it.
    fn program(&self, loaded: &Loaded, results: &mut Results) -> Result<()> {
        let library_dirs = library_dirs(self.job, &loaded.program, &loaded.facts, self.context);
        let mut host_directories = library_dirs.clone();
        host_directories.extend(loaded.path.parent().map(Utf8Path::to_owned));
        let compiler_dirs = match &self.job.cc {
            Some(cc) => compiler::search_directories(cc, &self.context.environment)?,
            None => Vec::new(),
        };
        let library_path: Vec<_> = library_dirs.iter().chain(&compiler_dirs).cloned().collect();
        let sysroot = self.job.sysroot.as_deref();
        let files = build_world::DiskFiles::new(sysroot, host_directories, library_dirs.clone());
        let arch = arch_of(&loaded.facts, &self.settings.lambda);
        let build = World {
            files: &files,
            rules: build_world::rules(&files, arch, loaded.facts.libc()),
            library_path: Some(joined(&library_path)),
            working_directory: self.context.current_dir.as_str().to_owned(),
        };
        for runtime in &self.settings.lambda.runtimes {
            let result = self.on_runtime(loaded, runtime, &build)?;
            results.push(result);
        }
        Ok(())
    }

    fn on_runtime(&self, loaded: &Loaded, runtime: &str, build: &World) -> Result<(Artifact, bool)> {
        let Loaded { program, path, facts, .. } = loaded;
        let mut artifact = artifact(program, path, facts, runtime);
        let mut findings = program_findings(program, facts, self.settings, self.context);
        let arch = arch_of(facts, &self.settings.lambda);
        let lambda = match lambda_world(&self.settings.lambda, runtime, arch, &program.name) {
            Ok(lambda) => lambda,
            Err(finding) => {
                findings.push(*finding);
                let fails = conclude(&mut artifact, &mut findings, self.settings, self.ui);
                if matches!(self.job.purpose, Purpose::Write(_)) {
                    self.stopped(&program.name);
                }
                return Ok((artifact, fails));
            }
        };
        if *runtime == self.settings.lambda.configured {
            self.ui.status("Checking", &headline(program, facts, path, &lambda, self.context));
        }
        findings.extend(runtime_findings(&lambda.baseline, &program.name, self.context.now));
        let plan = self.plan(loaded, &lambda, build);
        let subject = Subject {
            name: &program.name,
            program: facts,
            lambda: &lambda,
            owner: program.owner(),
            members: &plan.members,
            build_files: &plan.build_files,
            not_shipped: &plan.not_shipped,
            conflicts: &plan.conflicts,
        };
        findings.extend(audit::audit(&subject, &plan.walks));
        artifact.libraries = report::libraries(&subject, &plan.walks);
        let fails = match &self.job.purpose {
            Purpose::Explain { wanted, form } => {
                self.explain(&subject, &plan, &mut artifact, wanted.as_ref(), *form)?;
                let fails = conclude(&mut artifact, &mut findings, self.settings, &Ui::silent());
                let picks = |name: &str| wanted.as_ref().is_none_or(|patterns| patterns.matches(name));
                for finding in &findings {
                    if picks(&finding.object) || finding.soname.as_deref().is_some_and(picks) {
                        self.ui.finding(finding);
                    }
                }
                fails
            }
            Purpose::Check if *runtime != self.settings.lambda.configured => {
                let fails = conclude(&mut artifact, &mut findings, self.settings, &Ui::silent());
                let reason = findings.first().filter(|finding| finding.severity != Severity::Note);
                let reason = reason.map_or(String::new(), |finding| format!(": {}", finding.message));
                let verdict = verdict_line(&program.name, facts, &artifact, &lambda);
                self.ui.status("Also", &format!("{verdict}{reason}"));
                fails
            }
            Purpose::Check => {
                self.list(&artifact, &lambda);
                let unzipped_bytes = plan.unzipped_bytes(loaded.bytes.len() as u64)?;
                findings.extend(size_finding(unzipped_bytes, &program.name));
                let fails = conclude(&mut artifact, &mut findings, self.settings, self.ui);
                self.ui.status("Finished", &verdict_line(&program.name, facts, &artifact, &lambda));
                fails
            }
            Purpose::Write(destination) => {
                self.list(&artifact, &lambda);
                self.write(loaded, &plan, &lambda, destination, &mut artifact, &mut findings)?
            }
        };
        Ok((artifact, fails))
    }

    fn plan(&self, loaded: &Loaded, lambda: &LambdaWorld, build: &World) -> BundlePlan {
        // Of another machine's program nothing but its header is read.
        if loaded.facts.arch().is_none() {
            return BundlePlan::default();
        }
        let program = OpenFile {
            id: (u64::MAX, 1),
            source: loaded.path.as_str().to_owned(),
            object: Object::Elf(loaded.facts.clone()),
        };
        let request = Request {
            program: &program,
            facts: &loaded.facts,
            path: loaded.path.as_str(),
            extra: &self.job.libs,
            exclude: &self.job.exclude,
            may_edit: self.job.may_edit,
        };
        plan::plan(&request, lambda, build)
    }

    fn list(&self, artifact: &Artifact, lambda: &LambdaWorld) {
        for (verb, line) in report::library_lines(artifact, lambda) {
            self.ui.status(verb, &line);
        }
    }

    fn explain(
        &self,
        subject: &Subject,
        plan: &BundlePlan,
        artifact: &mut Artifact,
        wanted: Option<&Patterns>,
        form: Form,
    ) -> Result<()> {
        let picks = |name: &str| wanted.is_none_or(|patterns| patterns.matches(name));
        artifact.explanations = report::explain(subject, plan, &artifact.libraries, picks);
        if artifact.explanations.is_empty() && wanted.is_some() {
            let known: Vec<&str> = artifact.libraries.iter().map(|library| library.soname.as_str()).collect();
            let error = Error::new(format!("`{}` needs no such library", subject.name));
            return Err(match known.is_empty() {
                true => error.help("it is a static program; there is nothing to explain"),
                false => error.help(format!("it needs: {}", known.join(", "))),
            });
        }
        if self.settings.output.json {
            return Ok(());
        }
        match form {
            Form::Text => {
                for explanation in &artifact.explanations {
                    for line in explanation.lines() {
                        self.ui.data(&format!("{}\n", report::printable(&line)));
                    }
                }
            }
            Form::Tree => {
                for line in report::tree(subject, plan, &artifact.libraries).lines() {
                    self.ui.data(&format!("{}\n", report::printable(line)));
                }
            }
            Form::Mermaid => self.ui.data(&report::mermaid(subject, plan)),
        }
        Ok(())
    }

    fn stopped(&self, name: &str) {
        self.ui.status("Stopped", &format!("`{name}` would not start; nothing was written"));
    }

    /// Compresses, concludes, and writes if the conclusion allows it.
    fn write(
        &self,
        loaded: &Loaded,
        plan: &BundlePlan,
        lambda: &LambdaWorld,
        destination: &Destination,
        artifact: &mut Artifact,
        findings: &mut Vec<Finding>,
    ) -> Result<bool> {
        let name = &loaded.program.name;
        let Some(output) = &loaded.output else { unreachable!("a program to write has its place") };
        let entries = entries(plan, &loaded.bytes)?;
        findings.extend(size_finding(entries.iter().map(entry_size).sum(), name));
        let spinner = self.ui.spinner("Bundling", name);
        spinner.enable_steady_tick(Duration::from_millis(500));
        let options = archive::Options {
            stamp: self.job.stamp,
            compression: destination.compression,
            threads: self.context.threads,
        };
        let zip = archive::write(&entries, &options, Vec::new())?;
        spinner.finish_and_clear();
        findings.extend(direct_upload_finding(zip.len() as u64, name));
        let fails = conclude(artifact, findings, self.settings, self.ui);
        if fails && !destination.write_anyway {
            self.stopped(name);
            return Ok(fails);
        }
        replace(output, &entries, &zip, &self.job.libs, lambda, fails)
            .map_err(|error| error.or_help("name another file with `-o <FILE>`"))?;
        artifact.archive = Some(archive_report(output, &entries, &zip));
        finished(artifact, self.ui);
        if !self.settings.output.json {
            self.ui.data(&format!("{output}\n"));
        }
        Ok(fails)
    }
}

fn verdict_line(name: &str, facts: &ElfFacts, artifact: &Artifact, lambda: &LambdaWorld) -> String {
    let is_library = facts.linkage() == Linkage::SharedLibrary;
    let verdict = match (artifact.verdict, is_library) {
        ("starts", false) => "starts",
        ("starts", true) => "loads",
        ("fails", false) => "does not start",
        ("fails", true) => "does not load",
        (_, false) => "may start",
        (_, true) => "may load",
    };
    format!("`{name}` {verdict} on {}", lambda.label())
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
        explanations: Vec::new(),
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

/// The archive's entries: every library read, every edit made on its copy.
fn entries(plan: &BundlePlan, program: &Arc<Vec<u8>>) -> Result<Vec<Entry>> {
    let mut entries = vec![Entry {
        name: archive::BOOTSTRAP.to_owned(),
        mode: Mode::Executable,
        content: Content::File(edited(program.clone(), plan.program_edits.as_ref(), archive::BOOTSTRAP)?),
    }];
    for library in &plan.shipped {
        let name = library.entry_name();
        let content = match &library.link_to {
            Some(target) => Content::Link(target.clone()),
            None => {
                let bytes = Arc::new(disk::read(Utf8Path::new(&library.source))?);
                Content::File(edited(bytes, library.edits.as_ref(), &library.source)?)
            }
        };
        entries.push(Entry { name, mode: Mode::Data, content });
    }
    archive::order(&mut entries);
    Ok(entries)
}

fn edited(bytes: Arc<Vec<u8>>, edits: Option<&Edits>, name: &str) -> Result<Arc<Vec<u8>>> {
    let Some(edits) = edits else { return Ok(bytes) };
    let edited = repair::edit(&bytes, edits).map_err(|refusal| {
        Error::new(format!("could not edit `{name}` so that the bundle's libraries load first"))
            .because(refusal)
            .help("`--repair never` says what does not fit without the edit")
    })?;
    Ok(Arc::new(edited.bytes))
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

/// Lambda's limit for a ZIP in the request itself.
const DIRECT_UPLOAD_LIMIT: u64 = 52_428_800;

fn entry_size(entry: &Entry) -> u64 {
    match &entry.content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Link(target) => target.len() as u64,
    }
}

/// A finding if the contents are over Lambda's limit.
pub(super) fn size_finding(unzipped_bytes: u64, name: &str) -> Option<Finding> {
    (unzipped_bytes > archive::LAMBDA_UNZIPPED_BYTES).then(|| {
        Finding::new(
            Code::SizeLimit,
            name,
            format!(
                "`{name}` is {} unzipped; Lambda takes {} with layers",
                report::size(unzipped_bytes),
                report::size(archive::LAMBDA_UNZIPPED_BYTES)
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

/// Writes the archive beside its place, reads it back, audits what it read, and only then moves it there.
fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    zip: &[u8],
    libs: &[String],
    lambda: &LambdaWorld,
    may_fail: bool,
) -> Result<()> {
    disk::write::replace(
        output,
        |file| file.write_all(zip).map_err(|cause| Error::new("could not write it").because(cause)),
        |file| {
            let read = archive::read_back(output.as_str(), file, &Limits::default(), entries)?;
            let same = read.entries.len() == entries.len()
                && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned));
            if !same && read.unpacked {
                return Err(Error::new("what was read back is not what was written"));
            }
            if may_fail {
                return Ok(());
            }
            let errors = super::verify::audit_again(&read, lambda, libs)?;
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

fn finished(artifact: &Artifact, ui: &Ui) {
    let Some(archive) = &artifact.archive else { return };
    let libraries = match archive.entries.len() - 1 {
        0 => "no libraries".to_owned(),
        1 => "1 library".to_owned(),
        more => format!("{more} libraries"),
    };
    ui.status(
        "Finished",
        &format!(
            "{}: bootstrap and {libraries}, {} zipped, {} unzipped",
            artifact.name,
            report::size(archive.zipped_bytes),
            report::size(archive.unzipped_bytes)
        ),
    );
    ui.status("CodeSha256", &archive.code_sha256);
}
