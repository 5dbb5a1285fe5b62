//! The programs of one archive: planned and audited, then shown, explained or written.

use camino::Utf8Path;

use super::build_side::{BuildFiles, BuildWorlds};
use super::conclude::{denied, tone};
use super::entries::{Entries, entries};
use super::explain::{self, PlannedProgram};
use super::growth;
use super::job::{Answer, ProgramJob};
use super::layers;
use super::parts::{ArchiveProgram, conclude_all};
use super::programs::ProgramInput;
use super::results::{Answered, Results};
use super::runtime::{arch_of, say_age};
use super::sizes::sizes;
use super::started;
use super::summary;
use super::write;
use crate::archive;
use crate::audit::{self, Findings};
use crate::disk;
use crate::disk::paths::world_name;
use crate::elf::{Libc, Linkage};
use crate::error::Result;
use crate::lambda::{Installed, LambdaWorld};
use crate::parallel;
use crate::plan::{self, Planned, Request};
use crate::report::{self, ProgramReport, VerdictOf};
use crate::settings::{Context, Destination, Explain, Purpose, SizeComparison};
use crate::text;
use crate::ui::{Tone, Ui};
use crate::workspace;
use crate::world::{Object, OpenFile};

impl ProgramJob<'_> {
    /// Runs the job for each runtime. The returned lines are for the configured runtime, one for each program.
    ///
    /// # Errors
    ///
    /// If a program gets no result.
    pub fn run(&self, input: &ProgramInput, results: &mut Results) -> Result<Vec<summary::SummaryLine>> {
        let parts = self.parts(input);
        let files: Vec<BuildFiles> =
            parts.iter().map(|part| part.job.build_files(part.input)).collect::<Result<_>>()?;
        let worlds: Vec<BuildWorlds> = files.iter().map(BuildFiles::worlds).collect();
        let runtimes = self.baselines.runtimes(&self.settings.target);
        let answer = || -> Result<Vec<Answered>> {
            let mut answers = Vec::new();
            for runtime in &runtimes {
                answers.extend(self.on_runtime(input, runtime, &parts, &worlds)?);
            }
            Ok(answers)
        };
        let bundle = self.bundle;
        let is_hashed =
            matches!(bundle.purpose, Purpose::Write(_)) && !bundle.strip && !bundle.libraries_only;
        // A thread costs more than the hash of one chunk, and reserves 64 MiB of addresses for what it allocates.
        let is_large = || disk::size(&input.path).is_ok_and(|size| size > archive::CHUNK as u64);
        let answers = match is_hashed && self.threads.get() > 1 && is_large() {
            // Who asks for the file later sees the error.
            true => parallel::beside(|| drop(self.files.get(&input.path)), answer)?,
            false => answer()?,
        };
        for answered in answers.iter().filter(|_| runtimes.len() > 1) {
            self.ui.answer("Runs on", &answered.report.runs_on());
        }
        let lines =
            answers.iter().filter(|answered| answered.decides).map(summary::SummaryLine::of).collect();
        results.programs.extend(answers);
        Ok(lines)
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
            Ok(lambda) => Ok(self.plan(input, &lambda, &[files.worlds()])?.plan.shipped),
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

    fn on_runtime(
        &self,
        input: &ProgramInput,
        runtime: &str,
        parts: &[ArchiveProgram],
        worlds: &[BuildWorlds],
    ) -> Result<Vec<Answered>> {
        let decides = runtime == self.configured();
        let silent = Ui::silent();
        let ui = if decides { self.ui } else { &silent };
        let mut answers: Vec<Answer> =
            parts.iter().map(|part| part.job.answer(part.input, runtime)).collect();
        let Some(lambda) = self.lambda(parts, runtime, &mut answers) else {
            conclude_all(parts, &mut answers);
            if decides {
                self.show(&answers);
                match input.output {
                    Some(_) => self.stopped(&answers),
                    None => self.checked(parts, &answers, runtime),
                }
            }
            return Ok(answered(answers, decides));
        };
        let planned = self
            .plan(input, &lambda, worlds)
            .inspect_err(|_| self.introduce(parts, &answers, &lambda, ui))?;
        for (part, answer) in parts.iter().zip(&mut answers) {
            part.judge(input, &lambda, &planned, answer);
        }
        self.introduce(parts, &answers, &lambda, ui);
        plan::check_names(input.path.as_str(), &planned.plan, &self.layout, &input.included)?;
        answers[0].findings.extend(started::findings(self, input, &planned, runtime)?);
        let build = worlds[0].files();
        let archive = PlannedArchive { job: self, input, parts, build, lambda: &lambda, planned: &planned };
        // For the other runtimes, only whether the program starts is reported.
        if decides {
            for ((part, answer), build) in parts.iter().zip(&mut answers).zip(worlds) {
                part.judge_further(input, &lambda, &planned, build, answer);
            }
        }
        match &self.bundle.purpose {
            Purpose::Explain(asked) => archive.explain(asked, &mut answers)?,
            Purpose::Size(comparison) => archive.sizes(comparison, &mut answers)?,
            Purpose::Check | Purpose::Write(_) if !decides => {
                conclude_all(parts, &mut answers);
            }
            Purpose::Write(destination) => archive.write(destination, &mut answers)?,
            Purpose::Check => archive.show(&mut answers)?,
        }
        Ok(answered(answers, decides))
    }

    /// Prints the first lines about each program: its file, the runtime, the layers that it needs.
    fn introduce(&self, parts: &[ArchiveProgram], answers: &[Answer], lambda: &LambdaWorld, ui: &Ui) {
        for (ArchiveProgram { input, .. }, answer) in parts.iter().zip(answers) {
            if let Some(choice) = input.program.cargo.as_ref().and_then(|built| built.choice.as_ref()) {
                ui.status("Choosing", choice);
            }
            ui.detail("Checking", &headline(input, lambda, &answer.report.layers, self.context));
        }
        say_age(lambda, self.context.now, self.ui);
    }

    /// Describes the layers that a program needs, after a blank; nothing if there are none.
    pub fn attached_words(&self, report: &ProgramReport) -> String {
        layers::attached_words(&report.layers, &self.context.environment.current_dir)
    }

    /// Returns the runtime's world. If the runtime is not for the programs' architecture, that is a finding of each.
    fn lambda(&self, parts: &[ArchiveProgram], runtime: &str, answers: &mut [Answer]) -> Option<LambdaWorld> {
        // They agree on the runtime and the architecture.
        let mut worlds = Vec::new();
        for (part, answer) in parts.iter().zip(answers) {
            let target = &part.job.settings.target;
            let arch = arch_of(&part.input.facts, target);
            match self.baselines.world(target, runtime, arch, part.name()) {
                Ok(lambda) => worlds.push(lambda),
                Err(finding) => answer.findings.add(*finding),
            }
        }
        worlds.into_iter().next()
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
        report.manifest = cargo.map(|built| built.manifest_dir.join("Cargo.toml").into_string());
        report.target = cargo.and_then(|built| built.target.clone());
        report.profile = cargo.and_then(|built| built.profile.clone());
        report.role = match facts.linkage() {
            Linkage::SharedLibrary => "library",
            _ => report::role(&self.layout.program),
        };
        Answer::new(report, findings)
    }

    /// Prints how the check of each program went, unless other lines tell: the table of several programs, or one line
    /// for each of several runtimes.
    fn checked(&self, parts: &[ArchiveProgram], answers: &[Answer], label: &str) {
        if self.is_one_of_several || self.baselines.runtimes(&self.settings.target).len() > 1 {
            return;
        }
        for (part, answer) in parts.iter().zip(answers) {
            let report = &answer.report;
            let words = report.verdict_words(match part.input.facts.linkage() {
                Linkage::SharedLibrary => VerdictOf::Library,
                _ => VerdictOf::Program,
            });
            let attached = self.attached_words(report);
            let added = report::added_words(&report.libraries);
            let tone = tone(report.verdict, answer.fails());
            let (verb, more) = match tone {
                Tone::Bad => ("Failed", denied(report).to_owned()),
                Tone::Good | Tone::Open => ("Checked", format!(", {added}")),
            };
            let name = part.name();
            self.ui.outcome(tone, verb, &format!("{name}: {words} on {label}{attached}{more}"));
        }
    }

    fn plan(&self, input: &ProgramInput, lambda: &LambdaWorld, worlds: &[BuildWorlds]) -> Result<Planned> {
        // Of a program for another machine only the header was parsed.
        if input.facts.arch().is_none() {
            return Ok(Planned::default());
        }
        let mut members = disk::include::members(&input.included, &self.layout);
        let mut objects = disk::include::objects(&input.included, &members)?;
        for object in &mut objects {
            object.own = input.choices_for(&object.name);
        }
        members.extend(self.attached.members.iter().cloned());
        let program = OpenFile {
            id: (u64::MAX, 1),
            source: input.path.as_str().to_owned(),
            object: Object::Elf(input.facts.clone()),
        };
        let installed = Installed::new(lambda, members);
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
            installed: &installed,
            pinned: &[],
            taken: &Default::default(),
            dlopened_by: None,
        };
        let owner = |name: Option<&str>| name.map_or(0, |name| input.owner_of(name));
        let planned = plan::plan_all(&request, lambda, &|name, libc| worlds[owner(name)].of(libc), objects);
        let inputs = [input].into_iter().chain(input.others.iter().map(|other| &other.input));
        for (input, world) in inputs.zip(worlds) {
            world.files().check_choice(input, &planned.plan.shipped)?;
        }
        Ok(planned)
    }
}

/// A planned archive, and the programs in it.
struct PlannedArchive<'a> {
    /// The job of the first program.
    job: &'a ProgramJob<'a>,
    /// The input of the archive.
    input: &'a ProgramInput<'a>,
    parts: &'a [ArchiveProgram<'a>],
    /// What the first program was built with.
    build: &'a BuildFiles,
    lambda: &'a LambdaWorld,
    planned: &'a Planned,
}

impl PlannedArchive<'_> {
    fn explain(&self, asked: &Explain, answers: &mut [Answer]) -> Result<()> {
        let (part, answer) = (&self.parts[0], &mut answers[0]);
        let own = part.plan(self.input, self.planned);
        let subject = part.subject(self.lambda, self.planned, &own);
        let (input, build, plan) = (self.input, self.build, &self.planned.plan);
        let explained = PlannedProgram { input, subject: &subject, plan, build };
        explain::explain(self.job, &explained, asked, answer)
    }

    fn sizes(&self, comparison: &SizeComparison, answers: &mut [Answer]) -> Result<()> {
        let mut unzipped_bytes = self.measure(answers)?;
        // Files that are too large for a bundle are not read.
        if !self.is_too_large(unzipped_bytes, answers) {
            let entries = self.entries(answers)?;
            unzipped_bytes = entries.n_bytes();
            let bundled = growth::measure(&entries)?;
            for sizes in answers.iter_mut().filter_map(|answer| answer.report.sizes.as_mut()) {
                sizes.add_bundled(&bundled);
            }
            growth::compare(self.job, self.input, comparison, &bundled, &mut answers[0])?;
        } else if comparison.against.is_some() {
            self.job.ui.status("Skipping", "the comparison: no bundle can have this size");
        }
        self.hold_to_budget(unzipped_bytes, answers);
        explain::sizes(self.job, &mut answers[0]);
        Ok(())
    }

    /// Adds the finding about a bundle that is larger than the user allows.
    fn hold_to_budget(&self, unzipped_bytes: u64, answers: &mut [Answer]) {
        let (name, answer) = (self.parts[0].name(), &mut answers[0]);
        let finding = audit::budget_finding(unzipped_bytes, name, self.job.bundle.max_size, answer.sized());
        answer.findings.extend(finding);
    }

    fn write(&self, destination: &Destination, answers: &mut [Answer]) -> Result<()> {
        let PlannedArchive { job, input, parts, lambda, planned, .. } = *self;
        let Some(output) = &input.output else { unreachable!("what is written has a path") };
        self.list(answers);
        let unzipped_bytes = self.measure(answers)?;
        let may_stop = !destination.write_anyway && !parts.iter().any(|part| part.job.bundle.strip);
        if may_stop && self.is_too_large(unzipped_bytes, answers) {
            conclude_all(parts, answers);
            job.show(answers);
            job.stopped(answers);
            return Ok(());
        }
        let entries = self.entries(answers)?;
        self.hold_to_budget(entries.n_bytes(), answers);
        write::Bundle { job, input, parts, lambda, planned, destination, output }.write(&entries, answers)
    }

    /// Shows a check.
    fn show(&self, answers: &mut [Answer]) -> Result<()> {
        self.list(answers);
        let unzipped_bytes = self.measure(answers)?;
        let is_too_large = self.is_too_large(unzipped_bytes, answers);
        let is_exact = self.planned.edits() || self.job.bundle.max_size.is_some();
        if is_exact && !is_too_large {
            // The entries are made only for the findings about files that cannot be edited, and for the exact size.
            let entries = self.entries(answers)?;
            self.hold_to_budget(entries.n_bytes(), answers);
        }
        conclude_all(self.parts, answers);
        self.job.show(answers);
        self.job.checked(self.parts, answers, &self.lambda.label());
        Ok(())
    }

    /// Adds the finding about a bundle that is over Lambda's limit by the sizes of its files alone, before any is read.
    fn is_too_large(&self, unzipped_bytes: u64, answers: &mut [Answer]) -> bool {
        let unzipped_bytes = self.job.attached.unzipped_bytes + unzipped_bytes;
        let answer = &mut answers[0];
        let finding = audit::size_finding(unzipped_bytes, self.parts[0].name(), answer.sized());
        let is_over = finding.is_some();
        answer.findings.extend(finding);
        is_over
    }

    fn list(&self, answers: &[Answer]) {
        for answer in answers {
            for (verb, line) in report::library_lines(&answer.report, self.lambda) {
                self.job.ui.detail(verb, &line);
            }
        }
    }

    /// Adds the sizes of the bundle's files to the reports. Returns the unzipped size.
    fn measure(&self, answers: &mut [Answer]) -> Result<u64> {
        let ui = self.job.ui;
        let sizes = sizes(self.parts, self.planned, self.input)?;
        ui.detail("Measuring", &format!("{}: {}", self.input.names(), sizes.line()));
        for line in sizes.kept_lines() {
            ui.status("Keeping", &line);
        }
        let unzipped_bytes = sizes.unzipped_bytes();
        for answer in answers {
            answer.report.sizes = Some(sizes.clone());
        }
        Ok(unzipped_bytes)
    }

    /// Makes the archive's entries. Edits go to the reports, refused edits to the findings.
    fn entries(&self, answers: &mut [Answer]) -> Result<Entries> {
        let PlannedArchive { job, input, parts, planned, .. } = *self;
        let mut entries = entries(job, input, parts, planned)?;
        let owner = |name: &str| input.owner_of(name);
        for edit in std::mem::take(&mut entries.edits) {
            job.ui.detail("Editing", &edit.line());
            answers[owner(&edit.object)].report.edits.push(edit);
        }
        for refusal in std::mem::take(&mut entries.refusals) {
            answers[owner(&refusal.object)].findings.add(refusal);
        }
        Ok(entries)
    }
}

fn answered(answers: Vec<Answer>, decides: bool) -> Vec<Answered> {
    let answered = |answer: Answer| {
        let fails = answer.fails() && decides;
        Answered { fails, report: answer.report, decides, bundled: answer.bundled }
    };
    answers.into_iter().map(answered).collect()
}

fn headline(input: &ProgramInput, lambda: &LambdaWorld, layers: &[String], context: &Context) -> String {
    let ProgramInput { program, path, facts, .. } = input;
    let path: &Utf8Path = path.strip_prefix(&context.environment.current_dir).unwrap_or(path);
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
    let attached = layers::attached_words(layers, &context.environment.current_dir);
    format!("{} for {}{attached} ({path}; {})", program.name, lambda.label(), words.join(", "))
}
