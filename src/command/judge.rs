//! What is found about one program of an archive: by the audit, the lints, and the files that are included for it.

use std::borrow::Cow;

use camino::Utf8Path;

use super::build_side::BuildWorlds;
use super::documents::PackageIndex;
use super::job::Answer;
use super::layers;
use super::origins;
use super::parts::{ArchiveProgram, OwnPlan};
use super::programs::ProgramInput;
use crate::archive;
use crate::audit::lints::{self, File, LintedFiles, StartedAs};
use crate::audit::{self, Code, Finding, Subject};
use crate::date;
use crate::disk;
use crate::elf::{ElfFacts, Linkage};
use crate::lambda::{LambdaWorld, Walked};
use crate::loader::{self, World};
use crate::paths;
use crate::plan::{BuildSide, NameClash, Planned, PlannedInclude};
use crate::report;
use crate::workspace;

impl ArchiveProgram<'_> {
    /// Audits the program and what is included for it, and lists its libraries in the report. `first` is the input of
    /// the archive.
    pub fn judge(&self, first: &ProgramInput, lambda: &LambdaWorld, planned: &Planned, answer: &mut Answer) {
        let own = self.plan(first, planned);
        let subject = self.subject(lambda, planned, &own);
        let (name, job) = (self.name(), &self.job);
        let Answer { report, findings, packages, .. } = answer;
        report.set_dates(&lambda.baseline);
        findings.extend(audit::runtime_findings(&lambda.baseline, name, &date::day(job.context.now)));
        let differ =
            |clash: &NameClash| disk::differ(Utf8Path::new(&clash.own), Utf8Path::new(&clash.shipped));
        let mut clashes = planned.name_clashes();
        clashes.retain(|clash| first.owner_of(&clash.by) == self.at && differ(clash));
        findings.extend(clashes.iter().map(audit::name_clash));
        findings.extend(audit::audit(&subject, own.walks));
        findings.merge(self.other_builds(name, own.build, own.walks));
        report.libraries = report::libraries(&subject, own.walks);
        for included in &own.included {
            let subject = included_subject(included, &subject);
            findings.merge(audit::audit(&subject, included.walks()));
            findings.merge(self.other_builds(included.name(), included.build(), included.walks()));
            report::add_libraries(&mut report.libraries, report::libraries(&subject, included.walks()));
        }
        for (name, rebound) in &own.rebound {
            findings.merge(audit::rebound_findings(name, lambda, rebound));
            report.rebound.extend(report::rebound(name, rebound));
        }
        let path = job.layout.path(&self.entry_name);
        report.layers = layers::needed(&report.libraries, &path, job.attached);
        report::add_sources(&mut report.libraries, &planned.plan, &job.layout);
        // The package databases are read only if their content is shown.
        let is_shown = job.settings.output.is_document() || job.ui.is_verbose();
        let has_documents = || first.others.iter().any(|other| other.input.documents.any());
        if is_shown || first.documents.any() || has_documents() {
            let checkouts = self.input.program.checkouts(job.context);
            let index = PackageIndex::of(job.bundle, &planned.plan.shipped, &checkouts);
            index.add_to(&mut report.libraries);
            *packages = Some(index);
        }
        let input = self.input;
        if input.documents.sbom.is_some() {
            let record = disk::recorded_crates(&input.path);
            let is_rust = input.program.cargo.is_some();
            findings.extend(record.ok().and_then(|record| audit::crates_unknown(name, &record, is_rust)));
        }
        findings.extend(lints::secrets(input.own_included(), name));
        let strangers: Vec<_> = input.strangers.iter().map(|at| &input.included[*at]).collect();
        findings.extend(lints::strangers(&strangers, name));
        findings.extend(lints::unstored(&input.refused, name));
    }

    /// Returns a warning for each library of an attached layer that is another build than what `name` was built with.
    fn other_builds(&self, name: &str, build: &BuildSide, walks: &[Walked]) -> Vec<Finding> {
        let loaded = walks.iter().flat_map(|walked| walked.closure.objects.iter().skip(1));
        let differing = loaded.filter_map(|object| {
            let path = &object.file.source;
            let digest = self.job.attached.digests.get(path)?;
            let layers = object.file.object.elf()?;
            let (soname, own) = object.names.iter().find_map(|name| build.files.get_key_value(name))?;
            // A copy without debug information is of the same build.
            let is_same = match (&layers.build_id, &own.facts.build_id) {
                (Some(layers), Some(own)) => layers == own,
                _ => disk::read(Utf8Path::new(&own.path))
                    .is_ok_and(|bytes| archive::Digest::of(&bytes).hex == *digest),
            };
            (!is_same).then(|| audit::other_build(name, soname, own, path))
        });
        differing.collect()
    }

    /// Adds what is said only about the configured runtime: lints, and where symbols come from.
    pub fn judge_further(
        &self,
        first: &ProgramInput,
        lambda: &LambdaWorld,
        planned: &Planned,
        build: &BuildWorlds,
        answer: &mut Answer,
    ) {
        let own = self.plan(first, planned);
        let subject = self.subject(lambda, planned, &own);
        let world = build.of(self.input.facts.process_libc());
        answer.findings.extend(self.lint(&subject, planned, &own, world));
        answer.findings.extend(generated(self.input, answer.findings.as_slice()));
        origins::add(&self.job, self.input, own.build, answer);
        self.suggest(build, world, &own, answer);
    }

    /// Runs the lints on the program and the files shipped with it.
    fn lint(&self, subject: &Subject, planned: &Planned, own: &OwnPlan, world: &World) -> Vec<Finding> {
        let program = file(subject.name, subject.program, &self.input.path);
        // A file that no bundle can have is not searched: the answer about its size does not wait for that.
        let is_searched = |file: &File| file.size <= archive::MAX_BYTES;
        if !is_searched(&program) {
            return Vec::new();
        }
        let shipped = planned.plan.shipped.iter().filter(|library| library.link_to.is_none());
        let shipped =
            shipped.map(|library| file(&library.name, &library.facts, Utf8Path::new(&library.source)));
        let (included, others): (Vec<&PlannedInclude>, Vec<&PlannedInclude>) = (own.included.iter().copied())
            .partition(|object| object.facts().linkage() == Linkage::SharedLibrary);
        let included = included.into_iter().map(|library| {
            file(paths::file_name(library.name()), library.facts(), Utf8Path::new(library.source()))
        });
        let libraries: Vec<File> = shipped.chain(included).filter(is_searched).collect();
        let others: Vec<File> = others
            .into_iter()
            .map(|other| file(other.name(), other.facts(), Utf8Path::new(other.source())))
            .collect();
        let objects = &own.build.closure.objects;
        let in_build_world = |name: &str| !loader::candidates(world, objects, 0, name).is_empty();
        let kind = self.job.bundle.kind;
        let started_as = StartedAs::of(kind, &self.entry_name);
        let files =
            LintedFiles { program: &program, libraries: &libraries, others: &others, kind, started_as };
        lints::lint(subject, own.walks, &files, &in_build_world)
    }

    /// Advises the name of a library for a word after `--dlopen` that is none, or none with a version.
    fn suggest(&self, build: &BuildWorlds, world: &World, own: &OwnPlan, answer: &mut Answer) {
        let libs = &self.job.bundle.libs;
        let is_word = |soname: &&String| libs.contains(soname) && !soname.contains(".so.");
        let objects = &own.build.closure.objects;
        for finding in answer.findings.iter_mut().filter(|it| it.code == Code::MissingLibrary) {
            // A static program of musl opens none by any name.
            let opens = finding.help.as_deref() != Some(lints::LINK_DYNAMICALLY);
            let word = finding.soname.as_ref().filter(|soname| opens && is_word(soname));
            if let Some(meant) = word.and_then(|word| build.files().meant_by(word, world, objects)) {
                finding.help = Some(format!("did you mean `--dlopen {meant}`?"));
            }
        }
    }
}

/// Returns an included object as a subject of the audit, worded as a file that another tool built.
fn included_subject<'a>(included: &'a PlannedInclude, subject: &Subject<'a>) -> Subject<'a> {
    Subject {
        name: included.name(),
        program: included.facts(),
        owner: audit::Owner::Binary,
        build: included.build(),
        ..*subject
    }
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
    let read = disk::parts_of(path);
    File::new(name, facts, size, move |range| Cow::Owned(read(range).unwrap_or_default()))
}
