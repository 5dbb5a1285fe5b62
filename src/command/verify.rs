//! Verify: audits archives that any tool made, with the walks that prove this tool's own.

use std::io::{Seek, SeekFrom};

use camino::Utf8Path;

use super::conclude::conclude;
use super::deployment::Template;
use super::layers;
use super::results::{Answered, Results};
use super::runtime::{Baselines, say_age, say_unused};
use crate::archive::{self, BOOTSTRAP, Digest, Limits, ReadArchive};
use crate::audit::{self, Findings, SizedFile};
use crate::baseline;
use crate::date;
use crate::disk;
use crate::disk::program::unreadable;
use crate::elf::{Arch, ElfFacts};
use crate::error::{Error, Result};
use crate::layout::BundleKind;
use crate::proof::{Attached, Unpacked, UnpackedFile, kind_of};
use crate::report::{self, ArchiveReport, ProgramReport, Verdict};
use crate::settings::{Context, Output, Verify};
use crate::template::Zip;
use crate::ui::Ui;

/// What all archives of a run have in common.
struct Deployment<'a> {
    job: &'a Verify,
    output: &'a Output,
    baselines: &'a Baselines,
    context: &'a Context,
    ui: &'a Ui,
    attached: Attached,
    template: Option<Template>,
}

/// Audits each archive.
///
/// # Errors
///
/// If the only archive, or the template, cannot be read. With several archives an error of one is printed and kept.
pub(super) fn run(
    job: &Verify,
    output: &Output,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let baselines = &Baselines::read([&job.target], context.now)?;
    say_unused(job.target.unused_env.iter(), ui);
    let template = job.template.as_deref().map(Template::read).transpose()?;
    let attached = layers::read(&job.attached_layers, ui)?;
    let deployment = Deployment { job, output, baselines, context, ui, attached, template };
    let archives = match &deployment.template {
        Some(template) if job.archives.is_empty() => template.archives(ui)?,
        _ => job.archives.clone(),
    };
    for path in &archives {
        match deployment.verify(path) {
            Ok(answered) => results.programs.push(answered),
            Err(error) if archives.len() == 1 => return Err(error),
            // One that cannot be read does not stop the others.
            Err(error) => {
                ui.error(&error);
                results.errors.push(error);
            }
        }
    }
    Ok(())
}

/// A parsed ZIP.
struct Read {
    archive: ReadArchive<UnpackedFile>,
    zipped_bytes: u64,
    digest: Digest,
}

impl Read {
    fn new(path: &Utf8Path) -> Result<Read> {
        let (mut file, zipped_bytes) =
            disk::open(path).map_err(|error| unreadable(error, "name a ZIP archive"))?;
        let see = |_, bytes| UnpackedFile::new(BOOTSTRAP, bytes, true);
        let archive =
            archive::read_each(path.as_str(), vec![&mut file], &Limits::default(), see).map_err(|error| {
                error.or_help("name a complete ZIP archive; if this was one, create or copy it again")
            })?;
        let failed = |cause| Error::new(format!("could not read `{path}`")).because(cause);
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let digest = Digest::of_reader(&mut file).map_err(failed)?;
        Ok(Read { archive, zipped_bytes, digest })
    }
}

impl Deployment<'_> {
    fn verify(&self, path: &Utf8Path) -> Result<Answered> {
        let Deployment { job, context, ui, attached, .. } = self;
        let read = Read::new(path)?;
        let kind = job.kind.unwrap_or_else(|| kind_of(&read.archive));
        let runtime = self.runtime_of(path);
        let unpacked = Unpacked::new(&read.archive, path.as_str(), kind, &runtime, attached);
        let name = unpacked.main.as_ref().map_or(BOOTSTRAP, |main| &main.name).to_owned();
        let facts = unpacked.main.as_ref().map(|main| &*main.facts);
        let mut findings = Findings::default();
        findings.extend(unpacked.findings.iter().cloned());
        let unzipped_bytes = read.archive.unzipped_bytes + attached.unzipped_bytes;
        let entries = read.archive.entries.iter();
        let files =
            entries.map(|entry| SizedFile { name: &entry.name, n_bytes: entry.size, strippable_bytes: 0 });
        findings.extend(audit::size_finding(unzipped_bytes, &name, files.collect()));
        findings.extend(audit::direct_upload_finding(read.zipped_bytes, &name));
        if let Some(template) = &self.template {
            findings.extend(template.findings(&Zip {
                path: path.as_str(),
                program: &name,
                arch: facts.and_then(ElfFacts::arch),
                runtime: job.target.baseline.is_none().then_some(&runtime),
                code_sha256: &read.digest.base64,
            }));
        }
        let absolute = context.environment.current_dir.join(path).into_string();
        let mut report = ProgramReport::new(&name, &absolute, &runtime, facts);
        let archive = ArchiveReport::read(&absolute, kind, &read.archive);
        report.archive = Some(archive.zipped(read.zipped_bytes, read.digest));
        // Lambda starts no other program, whatever it is for.
        let started = facts.filter(|_| name == BOOTSTRAP || name.starts_with("extensions/"));
        let arch = started.and_then(ElfFacts::arch).or(job.target.arch);
        let arch = arch.or(facts.and_then(ElfFacts::arch));
        let arch = arch.or_else(|| unpacked.arch_of_others()).unwrap_or(Arch::X86_64);
        match self.baselines.world(&job.target, &runtime, arch, &name) {
            Err(finding) => findings.add(*finding),
            Ok(lambda) => {
                ui.status("Checking", &format!("{path} for {}", lambda.label()));
                report.baseline_recorded = Some(lambda.baseline.recorded.clone());
                say_age(&lambda, context.now, ui);
                findings.extend(audit::runtime_findings(&lambda.baseline, &name, &date::day(context.now)));
                findings
                    .extend(started.and_then(|facts| audit::arch_assertion(facts, job.target.arch, &name)));
                let (found, libraries) = unpacked.prove(&lambda, &job.libs, true);
                findings.extend(found);
                report.libraries = libraries;
                if ui.is_verbose() {
                    for (verb, line) in report::library_lines(&report, &lambda) {
                        ui.status(verb, &line);
                    }
                }
            }
        }
        let fails = conclude(&mut report, &findings, self.output, ui).fails;
        let is_started = match kind {
            BundleKind::Layer => false,
            BundleKind::Function => baseline::starts_bootstrap(&runtime),
            BundleKind::Extension => true,
        };
        if facts.is_none() && kind == BundleKind::Function && is_started && !fails {
            report.verdict = Verdict::Unknown;
        }
        ui.status("Finished", &format!("{path} {} on {runtime}", report.verdict_words(is_started)));
        Ok(Answered { report, decides: true, fails })
    }

    /// Returns the runtime to prove a ZIP for: the template's, unless the command line names one.
    fn runtime_of(&self, path: &Utf8Path) -> String {
        let configured = self.baselines.configured(&self.job.target);
        let of_template = self.template.as_ref().and_then(|template| template.runtime_of(path, configured));
        of_template.unwrap_or_else(|| configured.to_owned())
    }
}
