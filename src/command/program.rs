//! One program: planned, audited, and shown, explained or written.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::conclude::{conclude, fails};
use super::contents::contents;
use super::copies::{self, Copies};
use super::fresh::{Record, Written};
use super::included::{self, Build, Other};
use super::inputs::{self, Inputs, Place};
use super::loaded::{Loaded, Program, library_dirs_of};
use super::output::{Expected, Fate, Writing, archive_report, finished, replace};
use super::results::{Answered, Results};
use super::runtime::{Baselines, arch_of, say_age};
use super::shipped::Owners;
use super::summary;
use super::verify;
use crate::archive::{self, Entry};
use crate::audit::lints::{self, File};
use crate::audit::{self, Finding, Findings, Subject};
use crate::date;
use crate::disk::build_world::Objects;
use crate::disk::paths::world_name;
use crate::disk::stored::StoredFiles;
use crate::disk::{self, build_world};
use crate::elf::{self, ElfFacts, Linkage};
use crate::error::{Error, Result};
use crate::include::Included;
use crate::lambda::LambdaWorld;
use crate::layout::{BundleKind, Layout};
use crate::patterns::Patterns;
use crate::plan::{self, BundlePlan, Request};
use crate::proof::Attached;
use crate::report::{self, Artifact, Sizes};
use crate::settings::{Bundle, Context, Destination, Form, Format, Purpose, Settings};
use crate::text;
use crate::tools::compiler;
use crate::ui::Ui;
use crate::workspace;
use crate::world::{Object, OpenFile};
use std::borrow::Cow;

/// What every step of one run looks at.
pub(super) struct Run<'a> {
    pub job: &'a Bundle,
    pub settings: &'a Settings,
    pub baselines: &'a Baselines,
    pub context: &'a Context,
    pub ui: &'a Ui,
    pub layout: Layout,
    pub attached: &'a Attached,
    pub files: &'a StoredFiles,
    pub objects: &'a Arc<Objects>,
    pub threads: NonZeroUsize,
}

impl Run<'_> {
    /// Plans one program for each runtime, and writes, shows or explains it. The line is the configured runtime's.
    pub fn program(&self, loaded: &Loaded, results: &mut Results) -> Result<Option<summary::Line>> {
        self.with_build(loaded, |build| {
            let mut line = None;
            let runtimes = self.baselines.runtimes(&self.settings.target);
            for runtime in &runtimes {
                let (artifact, fails) = self.on_runtime(loaded, runtime, build)?;
                // Of several runtimes, the others are a report.
                let decides = *runtime == self.configured();
                if decides {
                    line = Some(summary::Line::of(&artifact));
                }
                results.artifacts.push(Answered { artifact, decides, fails: fails && decides });
            }
            let of_this = results.artifacts.iter().rev().take(runtimes.len()).rev();
            for answered in of_this.filter(|_| runtimes.len() > 1) {
                self.ui.status("Runs on", &runs_on(&answered.artifact));
            }
            Ok(line)
        })
    }

    /// The runtime whose findings decide the exit status.
    fn configured(&self) -> &str {
        self.baselines.configured(&self.settings.target)
    }

    /// The libraries that a function would ship, before a layer takes some of them.
    pub fn first_plan(&self, loaded: &Loaded) -> Result<Vec<plan::Shipped>> {
        self.with_build(loaded, |build| {
            let arch = arch_of(&loaded.facts, &self.settings.target);
            // A runtime without this architecture is a finding later.
            let Ok(lambda) =
                self.baselines.world(&self.settings.target, self.configured(), arch, &loaded.program.name)
            else {
                return Ok(Vec::new());
            };
            Ok(self.plan(loaded, &lambda, build)?.0.shipped)
        })
    }

    fn with_build<T>(&self, loaded: &Loaded, act: impl FnOnce(&Build) -> Result<T>) -> Result<T> {
        let mut library_dirs = library_dirs(self.job, &loaded.program, &loaded.facts, self.context);
        for program in &loaded.others {
            library_dirs.extend(library_dirs_of(program));
        }
        let mut host_directories = library_dirs.clone();
        host_directories.extend(loaded.path.parent().map(Utf8Path::to_owned));
        let around = |file: &Included| file.source.parent().map(Utf8Path::to_owned);
        host_directories.extend(loaded.included.iter().filter_map(around).collect::<BTreeSet<_>>());
        let compiler_dirs = match &self.job.cc {
            Some(cc) => compiler::search_directories(cc, &self.context.environment)?,
            None => Vec::new(),
        };
        let library_path: Vec<_> = library_dirs.iter().chain(&compiler_dirs).cloned().collect();
        let sysroot = self.job.sysroot.as_deref();
        let files = build_world::DiskFiles::new(sysroot, host_directories, library_dirs.clone())
            .sharing(self.objects.clone());
        let arch = arch_of(&loaded.facts, &self.settings.target);
        let build = Build {
            files: &files,
            arch,
            library_path: joined(&library_path),
            working_directory: world_name(&self.context.environment.current_dir),
            worlds: Default::default(),
        };
        act(&build)
    }

    fn on_runtime(&self, loaded: &Loaded, runtime: &str, build: &Build) -> Result<(Artifact, bool)> {
        let Loaded { program, path, facts, .. } = loaded;
        let mut artifact = artifact(program, path, facts, runtime, &self.layout);
        let mut findings = Findings::default();
        findings.extend(program_findings(program, facts, self.settings, self.context));
        let arch = arch_of(facts, &self.settings.target);
        let lambda = match self.baselines.world(&self.settings.target, runtime, arch, &program.name) {
            Ok(lambda) => lambda,
            Err(finding) => {
                findings.add(*finding);
                let silent = Ui::silent();
                let is_other = runtime != self.configured();
                let ui = if is_other { &silent } else { self.ui };
                let fails = conclude(&mut artifact, &findings, self.settings, ui).fails;
                if matches!(self.job.purpose, Purpose::Write(_)) {
                    self.stopped(&program.name);
                }
                return Ok((artifact, fails));
            }
        };
        if runtime == self.configured() {
            self.ui.status("Checking", &headline(program, facts, path, &lambda, self.context));
        }
        artifact.baseline_recorded = Some(lambda.baseline.recorded.clone());
        say_age(&lambda, self.context.now, self.ui);
        findings.extend(audit::runtime_findings(
            &lambda.baseline,
            &program.name,
            &date::day(self.context.now),
        ));
        let (plan, others) = self.plan(loaded, &lambda, build)?;
        included::check_names(path, &plan, &self.layout, &loaded.included)?;
        let subject = Subject {
            name: &program.name,
            program: facts,
            lambda: &lambda,
            owner: program.owner(),
            members: &plan.members,
            attached: &self.attached.paths,
            build: &plan.build,
        };
        findings.extend(audit::audit(&subject, &plan.walks));
        findings.extend(audit::rebound_findings(&program.name, &lambda, &plan.rebound));
        artifact.rebound = report::rebound(&program.name, &plan.rebound);
        for other in &others {
            artifact.rebound.extend(report::rebound(other.name(), other.rebound()));
        }
        artifact.libraries = report::libraries(&subject, &plan.walks);
        included::add(
            &others,
            &lambda,
            (&plan.members, &self.attached.paths),
            &mut findings,
            &mut artifact.libraries,
        );
        report::add_sources(&mut artifact.libraries, &plan, &self.layout);
        // The databases are read where somebody looks at what they say.
        let is_shown = self.settings.output.is_document() || self.ui.is_verbose();
        let owners = (is_shown || loaded.documents.any()).then(|| Owners::of(self.job, &plan));
        if let Some(owners) = &owners {
            owners.add_to(&mut artifact.libraries);
        }
        findings.extend(lints::secrets(&loaded.included, &program.name));
        // Of several runtimes, the others only say whether it starts.
        if runtime == self.configured() {
            findings.extend(lint_plan(&subject, &plan, self.job.kind, path));
        }
        let fails = match &self.job.purpose {
            Purpose::Explain { wanted, form } => {
                self.explain(&subject, &plan, &mut artifact, wanted.as_ref(), *form)?;
                let concluded = conclude(&mut artifact, &findings, self.settings, &Ui::silent());
                let picks = |name: &str| wanted.as_ref().is_none_or(|patterns| patterns.matches(name));
                for finding in &concluded.findings {
                    if picks(&finding.object) || finding.soname.as_deref().is_some_and(picks) {
                        self.ui.finding(finding);
                    }
                }
                concluded.fails
            }
            Purpose::Check if runtime != self.configured() => {
                conclude(&mut artifact, &findings, self.settings, &Ui::silent()).fails
            }
            Purpose::Check => {
                self.list(&artifact, &lambda);
                if plan.edits() || others.iter().any(|other| other.edits().is_some()) {
                    // What cannot be edited is said here as well; the entries are of no other use.
                    let mut copies = Copies::new(self.job, None, &self.context.environment, self.files);
                    self.contents(loaded, (&plan, &others), &mut copies, &mut artifact, &mut findings)?;
                }
                let included = loaded.included.iter().map(|file| file.content.n_bytes()).sum::<u64>();
                let given = included + self.attached.unzipped_bytes;
                let unzipped_bytes = given + self.measure(loaded, &plan, &mut artifact)?;
                findings.extend(audit::size_finding(unzipped_bytes, &program.name));
                let fails = conclude(&mut artifact, &findings, self.settings, self.ui).fails;
                self.ui.status("Finished", &verdict_line(&program.name, facts, &artifact, &lambda));
                fails
            }
            Purpose::Size => {
                let unzipped_bytes = self.measure(loaded, &plan, &mut artifact)?;
                findings.extend(audit::size_finding(unzipped_bytes, &program.name));
                for line in artifact
                    .sizes
                    .iter()
                    .filter(|_| !self.settings.output.is_document())
                    .flat_map(Sizes::chart)
                {
                    self.ui.data(&format!("{}\n", text::printable(&line)));
                }
                conclude(&mut artifact, &findings, self.settings, self.ui).fails
            }
            Purpose::Write(destination) => {
                self.list(&artifact, &lambda);
                self.measure(loaded, &plan, &mut artifact)?;
                let write = (destination, owners.as_ref());
                self.write(loaded, (&plan, &others), &lambda, write, &mut artifact, &mut findings)?
            }
        };
        Ok((artifact, fails))
    }

    fn plan(&self, loaded: &Loaded, lambda: &LambdaWorld, build: &Build) -> Result<(BundlePlan, Vec<Other>)> {
        // Of another machine's program nothing but its header is read.
        if loaded.facts.arch().is_none() {
            return Ok((BundlePlan::default(), Vec::new()));
        }
        let mut members = included::members(&loaded.included, &self.layout);
        members.extend(self.attached.members.iter().cloned());
        let program = OpenFile {
            id: (u64::MAX, 1),
            source: loaded.path.as_str().to_owned(),
            object: Object::Elf(loaded.facts.clone()),
        };
        let request = Request {
            program: &program,
            facts: &loaded.facts,
            path: &world_name(&loaded.path),
            extra: &self.job.libs,
            exclude: &self.job.exclude,
            prefer: &self.job.prefer,
            may_edit: self.job.may_edit,
            libc: self.job.libc,
            layout: &self.layout,
            members: &members,
            pinned: &[],
            taken: &Default::default(),
            opened_by: None,
        };
        let mut plan = plan::plan(&request, lambda, build.world(request.process_libc()));
        let others = included::plan(&mut plan, &request, lambda, &loaded.included, build)?;
        Ok((plan, others))
    }

    fn list(&self, artifact: &Artifact, lambda: &LambdaWorld) {
        for (verb, line) in report::library_lines(artifact, lambda) {
            self.ui.status(verb, &line);
        }
    }

    /// Says how big the bundle's files are; the bytes unzipped.
    fn measure(&self, loaded: &Loaded, plan: &BundlePlan, artifact: &mut Artifact) -> Result<u64> {
        let program = (&*loaded.path, &*loaded.facts);
        let environment = &self.context.environment;
        let sizes = copies::sizes(self.job, plan, &loaded.program.name, program, environment)?;
        self.ui.status("Measuring", &format!("{}: {}", loaded.program.name, sizes.line()));
        for line in sizes.kept_lines() {
            self.ui.status("Keeping", &line);
        }
        let unzipped_bytes = sizes.unzipped_bytes();
        artifact.sizes = Some(sizes);
        Ok(unzipped_bytes)
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
        if self.settings.output.is_document() {
            return Ok(());
        }
        match form {
            Form::Text => {
                for explanation in &artifact.explanations {
                    for line in explanation.lines() {
                        self.ui.data(&format!("{}\n", text::printable(&line)));
                    }
                }
            }
            Form::Tree => {
                for line in report::tree(subject, plan, &artifact.libraries).lines() {
                    self.ui.data(&format!("{}\n", text::printable(line)));
                }
            }
            Form::Mermaid => self.ui.data(&report::graph(subject.name, &artifact.libraries)),
        }
        Ok(())
    }

    fn stopped(&self, name: &str) {
        self.ui.status("Stopped", &format!("`{name}` would not start; nothing was written"));
    }

    /// The archive's entries; what was edited goes to the report, what could not be to the findings.
    fn contents(
        &self,
        loaded: &Loaded,
        (plan, others): (&BundlePlan, &[Other]),
        copies: &mut Copies,
        artifact: &mut Artifact,
        findings: &mut Findings,
    ) -> Result<Vec<Entry>> {
        let included = (&*loaded.included, others);
        let program = (loaded.program.name.as_str(), &*loaded.path);
        let mut contents = contents(plan, &self.layout, program, included, copies)?;
        if self.job.libraries_only {
            contents.entries.retain(|entry| entry.name != self.layout.program);
        }
        for edit in &contents.edits {
            if edit.object == self.layout.program || self.ui.is_verbose() {
                self.ui.status("Editing", &edit.line());
            }
        }
        artifact.edits = contents.edits;
        findings.extend(contents.findings);
        Ok(contents.entries)
    }

    /// Compresses, concludes, and writes if the conclusion allows it.
    fn write(
        &self,
        loaded: &Loaded,
        (plan, others): (&BundlePlan, &[Other]),
        lambda: &LambdaWorld,
        (destination, owners): (&Destination, Option<&Owners>),
        artifact: &mut Artifact,
        findings: &mut Findings,
    ) -> Result<bool> {
        let name = &loaded.program.name;
        let Some(output) = &loaded.output else { unreachable!("a program to write has its place") };
        let mut copies =
            Copies::new(self.job, loaded.debug_symbols.as_deref(), &self.context.environment, self.files);
        let entries = self.contents(loaded, (plan, others), &mut copies, artifact, findings)?;
        self.check_places(loaded, plan, &copies)?;
        let unzipped_bytes =
            entries.iter().map(|entry| entry.content.n_bytes()).sum::<u64>() + self.attached.unzipped_bytes;
        findings.extend(audit::size_finding(unzipped_bytes, name));
        let writing = writing(self.job, self.threads);
        let target = loaded.program.cargo.as_ref().map(|artifact| &*artifact.target_directory);
        let record = match writing.format {
            Format::Zip => Record::new(output, target, &self.context.environment, &entries, &writing.options),
            Format::Dir => None,
        };
        let known = record.as_ref().filter(|_| !destination.force).and_then(|record| record.find(output));
        let is_known = known.is_some();
        let is_hopeless = fails(findings, self.settings) && !destination.write_anyway;
        let mut fails = false;
        // What is found when it is written is said with the rest.
        let mut decide = |written: Option<&Written>| {
            let zipped_bytes = written.map(|written| written.zipped_bytes);
            findings.extend(zipped_bytes.and_then(|bytes| audit::direct_upload_finding(bytes, name)));
            fails = conclude(artifact, findings, self.settings, self.ui).fails;
            if fails && !destination.write_anyway {
                return Ok(Fate::Removed);
            }
            copies.write_debug_files()?;
            // With errors it is written because the user wants it anyway.
            Ok(if fails { Fate::Placed } else { Fate::PlacedIfItHolds })
        };
        let expected = Expected {
            // Without its program a function is a bag of libraries, as a layer is.
            kind: if self.job.libraries_only { BundleKind::Layer } else { self.job.kind },
            lambda,
            libs: &plan.libs,
            attached: self.attached,
        };
        let (placed, written) = if is_known || is_hopeless {
            (!matches!(decide(known.as_ref())?, Fate::Removed), known)
        } else {
            self.replace(output, &entries, &writing, &expected, decide)?
        };
        if !placed {
            self.stopped(name);
            return Ok(fails);
        }
        if is_known {
            self.ui.status("Fresh", &format!("{name}: what is there is what would be written"));
        } else if let (Some(written), Some(record)) = (&written, record.filter(|_| !fails)) {
            record.keep(written);
        }
        artifact.archive = Some(archive_report(output, self.job.kind, &entries, written));
        if let Some(owners) = owners {
            let place = (&self.layout, self.job.epoch);
            loaded.documents.write(owners, artifact, &entries, plan, place)?;
        }
        let program = (!self.job.libraries_only).then_some(self.layout.program.as_str());
        finished(
            artifact,
            program,
            (plan.shipped.len() + usize::from(plan.compat.is_some()), loaded.included.len()),
            self.ui,
        );
        if !self.settings.output.is_document() {
            self.ui.data(&format!("{output}\n"));
        }
        Ok(fails)
    }

    /// Refuses to write over a file that the bundle is made of, now that its libraries are known.
    fn check_places(&self, loaded: &Loaded, plan: &BundlePlan, copies: &Copies) -> Result<()> {
        let libraries = plan.shipped.iter().map(|library| Utf8Path::new(&library.source));
        let inputs = Inputs::new(libraries.chain(inputs::named(loaded, self.settings)));
        let debug = copies.debug_paths().map(|path| Place { path, flag: "--debug-symbols <DIR>" });
        inputs::places(loaded).chain(debug).try_for_each(|place| inputs.check(&place))
    }

    /// Puts the archive in its place.
    fn replace(
        &self,
        output: &Utf8Path,
        entries: &[Entry],
        writing: &Writing,
        expected: &Expected,
        decide: impl FnOnce(Option<&Written>) -> Result<Fate>,
    ) -> Result<(bool, Option<Written>)> {
        replace(output, entries, writing, Some(expected), decide).map_err(|error| {
            error.or_help(match writing.format {
                Format::Zip => "name another file with `-o <FILE>`",
                Format::Dir => "name another directory with `-o <DIR>`",
            })
        })
    }
}

/// How bundles are written.
pub(super) fn writing(job: &Bundle, threads: NonZeroUsize) -> Writing {
    let (format, compression) = match &job.purpose {
        Purpose::Write(destination) => (destination.format, destination.compression),
        Purpose::Check | Purpose::Size | Purpose::Explain { .. } => {
            (Format::Zip, archive::Compression::Default)
        }
    };
    Writing { format, options: archive::Options { stamp: job.stamp, compression, threads } }
}

/// Where the files of a bundle go.
pub(super) fn layout(job: &Bundle, loaded: &Loaded) -> Layout {
    let name = &loaded.program.name;
    let has_bootstrap = loaded.included.iter().any(|file| file.name == archive::BOOTSTRAP);
    match job.kind {
        BundleKind::Function => Layout::function(),
        // A custom runtime: Lambda starts /opt/bootstrap where a function has none.
        BundleKind::Layer if loaded.others.is_empty() && !has_bootstrap => {
            Layout::layer(job.kind, archive::BOOTSTRAP, name)
        }
        kind => Layout::layer(kind, &Layout::program_of(kind, name), name),
    }
}

/// Whether a program runs on one of several runtimes; if not, the first reason.
fn runs_on(artifact: &Artifact) -> String {
    let word = match artifact.verdict {
        "starts" => "yes",
        "fails" => "no",
        _ => "perhaps",
    };
    let reason = artifact.findings.first().filter(|_| artifact.verdict != "starts");
    let reason = reason.map_or(String::new(), |finding| format!(", {}", finding.message));
    format!("{} ({}): {word}{reason}", artifact.runtime, artifact.arch.as_deref().unwrap_or("unknown"))
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
        directories.extend(library_dirs_of(program));
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
    directories.iter().map(|directory| world_name(directory)).collect::<Vec<_>>().join(":")
}

fn artifact(
    program: &Program,
    path: &Utf8Path,
    facts: &ElfFacts,
    runtime: &str,
    layout: &Layout,
) -> Artifact {
    let cargo = program.cargo.as_ref();
    let is_library = facts.linkage() == Linkage::SharedLibrary;
    Artifact {
        name: program.name.clone(),
        package: cargo.map(|artifact| artifact.package.clone()),
        path: path.as_str().to_owned(),
        target: cargo.and_then(|artifact| artifact.target.clone()),
        profile: cargo.and_then(|artifact| artifact.profile.clone()),
        runtime: runtime.to_owned(),
        baseline_recorded: None,
        arch: facts.arch().map(|arch| arch.as_str().to_owned()),
        linkage: facts.arch().map(|_| facts.linkage().as_str()),
        libc: facts.arch().map(|_| facts.libc().as_str()),
        interpreter: facts.interpreter.clone(),
        verdict: "unknown",
        role: if is_library { "library" } else { verify::role(&layout.program) },
        libraries: Vec::new(),
        findings: Vec::new(),
        sizes: None,
        edits: Vec::new(),
        rebound: Vec::new(),
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
    let path = path.strip_prefix(&context.environment.current_dir).unwrap_or(path);
    let mut words = vec![facts.linkage().as_str().to_owned()];
    if facts.libc() != elf::Libc::None {
        words.push(facts.libc().as_str().to_owned());
    }
    if let Some(artifact) = &program.cargo {
        let age = context.now.duration_since(artifact.modified).map(|age| age.as_secs()).unwrap_or(0);
        let who =
            if artifact.origin == workspace::Origin::CargoLambda { "built by cargo-lambda" } else { "built" };
        words.push(format!("{who} {}", text::age(age)));
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
    let mut findings = Vec::from_iter(audit::arch_assertion(facts, settings.target.arch, &program.name));
    if let Some(source) = program.cargo.as_ref().and_then(|artifact| artifact.newer_source.as_ref()) {
        let source = source.strip_prefix(&context.environment.current_dir).unwrap_or(source);
        findings.push(audit::stale_binary(&program.name, program.path.as_str(), source.as_str()));
    }
    findings
}

/// The lints' findings about a program and what is shipped with it.
fn lint_plan(subject: &Subject, plan: &BundlePlan, kind: BundleKind, program: &Utf8Path) -> Vec<Finding> {
    let program = file(subject.name, subject.program, program);
    let shipped = plan.shipped.iter().filter(|library| library.link_to.is_none());
    let libraries: Vec<File> =
        shipped.map(|library| file(&library.name, &library.facts, Utf8Path::new(&library.source))).collect();
    lints::of_kind(lints::lint(subject, &plan.walks, &program, &libraries), kind)
}

/// A file of this machine. One that has gone is an error to who ships it; here it has nothing to say.
fn file<'a>(name: &str, facts: &'a ElfFacts, path: &'a Utf8Path) -> File<'a> {
    let size = disk::size(path).unwrap_or(0);
    File::new(name, facts, size, |range| Cow::Owned(disk::read_part(path, range).unwrap_or_default()))
}
