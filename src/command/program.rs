//! One program: planned and audited, then shown, explained or written.

use std::borrow::Cow;

use camino::Utf8Path;

use super::build_side::{BuildFiles, BuildWorlds};
use super::conclude::conclude;
use super::documents::PackageIndex;
use super::entries::entries;
use super::explain::{self, PlannedProgram};
use super::job::{Answer, ProgramJob};
use super::origins;
use super::programs::{Program, ProgramInput};
use super::results::{Answered, Results};
use super::runtime::{arch_of, say_age};
use super::sizes::sizes;
use super::started;
use super::summary;
use super::write;
use crate::archive;
use crate::audit::lints::{self, File, LintedFiles, StartedAs};
use crate::audit::{self, Code, Finding, Findings, Subject};
use crate::date;
use crate::disk;
use crate::disk::paths::world_name;
use crate::elf::{ElfFacts, Libc, Linkage};
use crate::error::Result;
use crate::lambda::LambdaWorld;
use crate::loader::{self, World};
use crate::paths;
use crate::plan::{self, NameClash, Planned, Request};
use crate::report::{self, ProgramReport};
use crate::settings::{Context, Purpose};
use crate::text;
use crate::ui::Ui;
use crate::workspace;
use crate::world::{Object, OpenFile};

impl ProgramJob<'_> {
    /// Runs the job for each runtime. The returned line is for the configured runtime.
    ///
    /// # Errors
    ///
    /// If the program gets no result.
    pub fn run(&self, input: &ProgramInput, results: &mut Results) -> Result<Option<summary::SummaryLine>> {
        let files = self.build_files(input)?;
        let build = files.worlds();
        let runtimes = self.baselines.runtimes(&self.settings.target);
        let mut line = None;
        let mut answers = Vec::new();
        for runtime in &runtimes {
            let answered = self.on_runtime(input, runtime, &build)?;
            if answered.decides {
                line = Some(summary::SummaryLine::of(&answered.report));
            }
            answers.push(answered);
        }
        for answered in answers.iter().filter(|_| runtimes.len() > 1) {
            self.ui.status("Runs on", &answered.report.runs_on());
        }
        results.programs.extend(answers);
        Ok(line)
    }

    /// Returns the libraries that a function would ship before a layer takes some of them.
    ///
    /// # Errors
    ///
    /// If a file no longer exists.
    pub fn first_plan(&self, input: &ProgramInput) -> Result<Vec<plan::Shipped>> {
        let files = self.build_files(input)?;
        let name = &input.program.name;
        let arch = arch_of(&input.facts, &self.settings.target);
        match self.baselines.world(&self.settings.target, self.configured(), arch, name) {
            Ok(lambda) => Ok(self.plan(input, &lambda, &files.worlds())?.plan.shipped),
            // A runtime without this architecture becomes a finding later.
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Returns the runtime whose findings decide the exit status.
    fn configured(&self) -> &str {
        self.baselines.configured(&self.settings.target)
    }

    fn build_files(&self, input: &ProgramInput) -> Result<BuildFiles> {
        let arch = arch_of(&input.facts, &self.settings.target);
        BuildFiles::new(self.bundle, input, arch, self.objects, self.context)
    }

    fn on_runtime(&self, input: &ProgramInput, runtime: &str, build: &BuildWorlds) -> Result<Answered> {
        let decides = runtime == self.configured();
        let silent = Ui::silent();
        let ui = if decides { self.ui } else { &silent };
        let ProgramInput { program, path, facts, .. } = input;
        let mut answer = self.answer(input, runtime);
        let arch = arch_of(facts, &self.settings.target);
        let lambda = match self.baselines.world(&self.settings.target, runtime, arch, &program.name) {
            Ok(lambda) => lambda,
            Err(finding) => {
                answer.findings.add(*finding);
                let fails = conclude(&mut answer.report, &answer.findings, &self.settings.output, ui).fails;
                if input.output.is_some() {
                    self.stopped(&program.name);
                }
                return Ok(Answered { report: answer.report, decides, fails: fails && decides });
            }
        };
        if let Some(choice) = program.cargo.as_ref().and_then(|built| built.choice.as_ref()) {
            ui.status("Choosing", choice);
        }
        ui.status("Checking", &headline(program, facts, path, &lambda, self.context));
        say_age(&lambda, self.context.now, self.ui);
        let planned = self.plan(input, &lambda, build)?;
        plan::check_names(path.as_str(), &planned.plan, &self.layout, &input.included)?;
        let subject = self.subject(input, &lambda, &planned);
        self.judge(input, &subject, &planned, &mut answer);
        answer.findings.extend(started::findings(self, input, &planned, runtime)?);
        // For the other runtimes, only whether the program starts is reported.
        if decides {
            let world = build.of(facts.process_libc());
            answer.findings.extend(self.lint(&subject, &planned, world, path));
            answer.findings.extend(generated(input, answer.findings.as_slice()));
            origins::add(self, input, &planned.plan.build, &mut answer);
            self.suggest(build, world, &planned, &mut answer);
        }
        let fails = match (&self.bundle.purpose, &input.output) {
            (Purpose::Explain(asked), _) => {
                let explained = PlannedProgram { input, subject: &subject, plan: &planned.plan };
                explain::explain(self, &explained, asked, &mut answer)?
            }
            (Purpose::Size, _) => {
                let unzipped_bytes = self.measure(input, &planned, &mut answer)?;
                explain::sizes(self, unzipped_bytes, &mut answer)
            }
            (Purpose::Write(destination), Some(output)) => {
                self.list(&answer, &lambda);
                let unzipped_bytes = self.measure(input, &planned, &mut answer)?;
                let may_stop = !destination.write_anyway && !self.bundle.strip;
                if may_stop && self.is_too_large(unzipped_bytes, input, &mut answer) {
                    let output = &self.settings.output;
                    let fails = conclude(&mut answer.report, &answer.findings, output, self.ui).fails;
                    self.stopped(&program.name);
                    return Ok(Answered { report: answer.report, decides, fails: fails && decides });
                }
                let entries = self.entries(input, &planned, &mut answer)?;
                write::Bundle { job: self, input, lambda: &lambda, planned: &planned, destination, output }
                    .write(&entries, &mut answer)?
            }
            (Purpose::Check | Purpose::Write(_), _) if decides => {
                self.show(input, &lambda, &planned, &mut answer)?
            }
            (Purpose::Check | Purpose::Write(_), _) => {
                conclude(&mut answer.report, &answer.findings, &self.settings.output, ui).fails
            }
        };
        Ok(Answered { report: answer.report, decides, fails: fails && decides })
    }

    /// Starts the answer with what is known before any world is read.
    fn answer(&self, input: &ProgramInput, runtime: &str) -> Answer {
        let ProgramInput { program, path, facts, .. } = input;
        let mut findings = Findings::default();
        findings.extend(audit::arch_assertion(facts, self.settings.target.arch, &program.name));
        if let Some(source) = program.cargo.as_ref().and_then(|built| built.newer_source.as_ref()) {
            let source = source.strip_prefix(&self.context.environment.current_dir).unwrap_or(source);
            findings.extend([audit::stale_binary(&program.name, program.path.as_str(), source.as_str())]);
        }
        let cargo = program.cargo.as_ref();
        let mut report = ProgramReport::new(&program.name, path.as_str(), runtime, Some(facts));
        report.package = cargo.map(|built| built.package.clone());
        report.target = cargo.and_then(|built| built.target.clone());
        report.profile = cargo.and_then(|built| built.profile.clone());
        report.role = match facts.linkage() {
            Linkage::SharedLibrary => "library",
            _ => report::role(&self.layout.program),
        };
        Answer { report, findings, packages: None }
    }

    fn plan(&self, input: &ProgramInput, lambda: &LambdaWorld, build: &BuildWorlds) -> Result<Planned> {
        // Of a program for another machine only the header was parsed.
        if input.facts.arch().is_none() {
            return Ok(Planned::default());
        }
        let mut members = disk::include::members(&input.included, &self.layout);
        let objects = disk::include::objects(&input.included, &members)?;
        members.extend(self.attached.members.iter().cloned());
        let program = OpenFile {
            id: (u64::MAX, 1),
            source: input.path.as_str().to_owned(),
            object: Object::Elf(input.facts.clone()),
        };
        let request = Request {
            program: &program,
            facts: &input.facts,
            path: &world_name(&input.path),
            extra: &self.bundle.libs,
            exclude: &self.bundle.exclude,
            pin: &self.bundle.pin,
            may_edit: self.bundle.may_edit,
            libc: self.bundle.libc,
            layout: &self.layout,
            members: &members,
            pinned: &[],
            taken: &Default::default(),
            dlopened_by: None,
        };
        let planned = plan::plan_all(&request, lambda, &|libc| build.of(libc), objects);
        build.files().check_choice(input, &planned.plan.shipped)?;
        Ok(planned)
    }

    fn subject<'s>(
        &'s self,
        input: &'s ProgramInput,
        lambda: &'s LambdaWorld,
        planned: &'s Planned,
    ) -> Subject<'s> {
        Subject {
            name: &input.program.name,
            program: &input.facts,
            lambda,
            owner: input.program.owner(),
            members: &planned.plan.members,
            attached: &self.attached.paths,
            build: &planned.plan.build,
        }
    }

    /// Runs the lints on the program at a path and the files shipped with it.
    fn lint(&self, subject: &Subject, planned: &Planned, world: &World, program: &Utf8Path) -> Vec<Finding> {
        let program = file(subject.name, subject.program, program);
        // A file that no bundle can have is not searched: the answer about its size does not wait for that.
        let is_searched = |file: &File| file.size <= archive::MAX_BYTES;
        if !is_searched(&program) {
            return Vec::new();
        }
        let shipped = planned.plan.shipped.iter().filter(|library| library.link_to.is_none());
        let shipped =
            shipped.map(|library| file(&library.name, &library.facts, Utf8Path::new(&library.source)));
        let (included, others): (Vec<_>, Vec<_>) =
            (planned.included.iter()).partition(|object| object.facts().linkage() == Linkage::SharedLibrary);
        let included = included.into_iter().map(|library| {
            file(paths::file_name(library.name()), library.facts(), Utf8Path::new(library.source()))
        });
        let libraries: Vec<File> = shipped.chain(included).filter(is_searched).collect();
        let others = others.into_iter();
        let others: Vec<File> =
            others.map(|other| file(other.name(), other.facts(), Utf8Path::new(other.source()))).collect();
        let objects = &planned.plan.build.closure.objects;
        let in_build_world = |name: &str| !loader::candidates(world, objects, 0, name).is_empty();
        let kind = self.bundle.kind;
        let started_as = StartedAs::of(kind, &self.layout.program);
        let files =
            LintedFiles { program: &program, libraries: &libraries, others: &others, kind, started_as };
        lints::lint(subject, &planned.plan.walks, &files, &in_build_world)
    }

    /// Advises the name of a library for a word after `--lib` that is none, or none with a version.
    fn suggest(&self, build: &BuildWorlds, world: &World, planned: &Planned, answer: &mut Answer) {
        let is_word = |soname: &&String| self.bundle.libs.contains(soname) && !soname.contains(".so.");
        let objects = &planned.plan.build.closure.objects;
        for finding in answer.findings.iter_mut().filter(|it| it.code == Code::MissingLibrary) {
            // A static program of musl opens none by any name.
            let opens = finding.help.as_deref() != Some(lints::LINK_DYNAMICALLY);
            let word = finding.soname.as_ref().filter(|soname| opens && is_word(soname));
            if let Some(meant) = word.and_then(|word| build.files().meant_by(word, world, objects)) {
                finding.help = Some(format!("did you mean `--lib {meant}`?"));
            }
        }
    }

    /// Audits the plan, and lists its libraries in the report.
    fn judge(&self, input: &ProgramInput, subject: &Subject, planned: &Planned, answer: &mut Answer) {
        let name = &input.program.name;
        let Answer { report, findings, packages } = answer;
        let lambda = subject.lambda;
        report.set_dates(&lambda.baseline);
        findings.extend(audit::runtime_findings(&lambda.baseline, name, &date::day(self.context.now)));
        let differ =
            |clash: &NameClash| disk::differ(Utf8Path::new(&clash.own), Utf8Path::new(&clash.shipped));
        let clashes = planned.name_clashes();
        findings.extend(clashes.iter().filter(|clash| differ(clash)).map(audit::name_clash));
        findings.extend(audit::audit(subject, &planned.plan.walks));
        report.libraries = report::libraries(subject, &planned.plan.walks);
        for included in &planned.included {
            let subject = included_subject(included, subject);
            findings.merge(audit::audit(&subject, included.walks()));
            report::add_libraries(&mut report.libraries, report::libraries(&subject, included.walks()));
        }
        for (name, rebound) in planned.rebound(name) {
            findings.merge(audit::rebound_findings(name, lambda, rebound));
            report.rebound.extend(report::rebound(name, rebound));
        }
        report::add_sources(&mut report.libraries, &planned.plan, &self.layout);
        // The package databases are read only if their content is shown.
        let is_shown = self.settings.output.is_document() || self.ui.is_verbose();
        if is_shown || input.documents.any() {
            let index = PackageIndex::of(self.bundle, &planned.plan);
            index.add_to(&mut report.libraries);
            *packages = Some(index);
        }
        findings.extend(lints::secrets(&input.included, name));
        let strangers: Vec<_> = input.strangers.iter().map(|at| &input.included[*at]).collect();
        findings.extend(lints::strangers(&strangers, name));
        findings.extend(lints::unstored(&input.refused, name));
    }

    /// Shows a check. Returns whether the run fails.
    fn show(
        &self,
        input: &ProgramInput,
        lambda: &LambdaWorld,
        planned: &Planned,
        answer: &mut Answer,
    ) -> Result<bool> {
        let name = &input.program.name;
        self.list(answer, lambda);
        let unzipped_bytes = self.measure(input, planned, answer)?;
        let is_too_large = self.is_too_large(unzipped_bytes, input, answer);
        if planned.edits() && !is_too_large {
            // The entries are made only for the findings about files that cannot be edited.
            self.entries(input, planned, answer)?;
        }
        let fails = conclude(&mut answer.report, &answer.findings, &self.settings.output, self.ui).fails;
        let words = answer.report.verdict_words(input.facts.linkage() != Linkage::SharedLibrary);
        self.ui.status("Finished", &format!("`{name}` {words} on {}", lambda.label()));
        Ok(fails)
    }

    /// Adds the finding about a bundle that is over Lambda's limit by the sizes of its files alone, before any is read.
    fn is_too_large(&self, unzipped_bytes: u64, input: &ProgramInput, answer: &mut Answer) -> bool {
        let unzipped_bytes = self.attached.unzipped_bytes + unzipped_bytes;
        let finding = audit::size_finding(unzipped_bytes, &input.program.name, answer.sized());
        let is_over = finding.is_some();
        answer.findings.extend(finding);
        is_over
    }

    fn list(&self, answer: &Answer, lambda: &LambdaWorld) {
        for (verb, line) in report::library_lines(&answer.report, lambda) {
            self.ui.status(verb, &line);
        }
    }

    /// Adds the sizes of the bundle's files to the report. Returns the unzipped size.
    fn measure(&self, input: &ProgramInput, planned: &Planned, answer: &mut Answer) -> Result<u64> {
        let sizes = sizes(self.bundle, &planned.plan, input, self.context)?;
        self.ui.status("Measuring", &format!("{}: {}", input.program.name, sizes.line()));
        for line in sizes.kept_lines() {
            self.ui.status("Keeping", &line);
        }
        let unzipped_bytes = sizes.unzipped_bytes();
        answer.report.sizes = Some(sizes);
        Ok(unzipped_bytes)
    }

    /// Makes the archive's entries. Edits go to the report, refused edits to the findings.
    fn entries(
        &self,
        input: &ProgramInput,
        planned: &Planned,
        answer: &mut Answer,
    ) -> Result<super::entries::Entries> {
        let mut entries = entries(self, input, planned)?;
        for edit in &entries.edits {
            if edit.object == self.layout.program || self.ui.is_verbose() {
                self.ui.status("Editing", &edit.line());
            }
        }
        answer.report.edits = std::mem::take(&mut entries.edits);
        answer.findings.extend(std::mem::take(&mut entries.refusals));
        Ok(entries)
    }
}

/// Returns an included object as a subject of the audit, worded as a file that another tool built.
fn included_subject<'a>(included: &'a plan::PlannedInclude, subject: &Subject<'a>) -> Subject<'a> {
    Subject {
        name: included.name(),
        program: included.facts(),
        owner: audit::Owner::Binary,
        build: included.build(),
        ..*subject
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
    if facts.libc() != Libc::None {
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

/// Returns the finding about flags for rustc that chose a better processor than Lambda's, unless another tells it.
fn generated(input: &ProgramInput, known: &[Finding]) -> Option<Finding> {
    let (built, name) = (input.program.cargo.as_ref()?, &input.program.name);
    let flag = |flag: &workspace::ProcessorFlag| lints::RustcFlag {
        flag: flag.flag.clone(),
        source: flag.source.clone(),
    };
    let flags: Vec<lints::RustcFlag> = built.processor_flags.iter().map(flag).collect();
    let is_known = |finding: &Finding| finding.code == audit::Code::CpuLevel && finding.object == *name;
    lints::generated(name, input.facts.arch()?, &flags).filter(|_| !known.iter().any(is_known))
}

/// Describes a file of this machine to the lints. If it no longer exists, they skip it; writing the bundle fails.
fn file<'a>(name: &str, facts: &'a ElfFacts, path: &'a Utf8Path) -> File<'a> {
    let size = disk::size(path).unwrap_or(0);
    File::new(name, facts, size, |range| Cow::Owned(disk::read_part(path, range).unwrap_or_default()))
}
