//! Verify: audits archives that any tool made, with the walks that prove this tool's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, SeekFrom};
use std::num::NonZeroUsize;

use camino::{Utf8Path, Utf8PathBuf};

use super::conclude::{conclude, denied, tone};
use super::deployment::{Deployed, Template};
use super::layers;
use super::results::{Answered, Results};
use super::runtime::{Baselines, say_age, say_unused};
use crate::archive::{self, BOOTSTRAP, CHUNK, Digest, Limits, ReadArchive};
use crate::audit::{self, Code, Finding, Findings, SizedFile};
use crate::baseline;
use crate::date;
use crate::disk;
use crate::disk::program::unreadable;
use crate::elf::{Arch, ElfFacts};
use crate::error::{Error, Result};
use crate::layout::BundleKind;
use crate::proof::{self, Attached, Start, Unpacked, UnpackedFile, kind_of};
use crate::report::{self, ArchiveReport, ProgramReport, Verdict, VerdictOf};
use crate::settings::{Context, Output, Verify};
use crate::template::{Function, Zip};
use crate::ui::{Tone, Ui};

/// What all archives of a run have in common.
struct Deployment<'a> {
    job: &'a Verify,
    output: &'a Output,
    baselines: &'a Baselines,
    context: &'a Context,
    ui: &'a Ui,
    template: Option<Template>,
}

/// Audits each archive and each directory.
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
    say_unused([&job.target].into_iter(), ui);
    let template = job.template.as_deref().map(Template::read).transpose()?;
    // An error of these layers is one of the whole run.
    let own_layers = layers::read(&job.attached_layers, ui)?;
    let deployment = Deployment { job, output, baselines, context, ui, template };
    let mut known = BTreeMap::from([(job.attached_layers.clone(), own_layers)]);
    let (codes, missing) = deployment.codes()?;
    let distant = match &deployment.template {
        Some(template) if job.archives.is_empty() => template.distant(),
        _ => Vec::new(),
    };
    let is_only = codes.len() + missing.len() + distant.len() == 1;
    let mut verified = BTreeSet::new();
    let mut failed = missing;
    if !is_only {
        failed.iter().for_each(|error| ui.error(error));
    }
    for code in &codes {
        match deployment.verify_with_layers(code, &mut known) {
            Ok(answered) => {
                verified.extend(code.functions.iter().map(|function| function.name.clone()));
                results.programs.push(answered);
            }
            // One that cannot be read does not stop the others.
            Err(error) => {
                if !is_only {
                    ui.error(&error);
                }
                failed.push(error);
            }
        }
    }
    results.programs.extend(distant.iter().map(|(function, why)| deployment.unseen(function, why)));
    if let Some(template) = &deployment.template {
        results.functions = template.reports(&verified, &context.environment.current_dir);
    }
    match failed.pop_if(|_| is_only) {
        Some(error) => Err(error),
        None => {
            results.errors.extend(failed);
            Ok(())
        }
    }
}

/// A read ZIP or directory.
struct Read {
    archive: ReadArchive<UnpackedFile>,
    /// What only a ZIP has.
    zipped: Option<Zipped>,
}

struct Zipped {
    n_bytes: u64,
    digest: Digest,
}

impl Read {
    fn new(path: &Utf8Path, threads: NonZeroUsize) -> Result<Read> {
        let see = |bytes| UnpackedFile::new(BOOTSTRAP, bytes, true);
        if disk::is_directory(path) {
            let archive = disk::directory::read(path, &Limits::default(), see)
                .map_err(|error| unreadable(error, "name a directory that can be deployed"))?;
            return Ok(Read { archive, zipped: None });
        }
        // For a small file more threads cost more than they give.
        let times = |n_bytes: u64| threads.get().min(n_bytes as usize / CHUNK);
        let (mut files, n_bytes) = disk::open_each(path, times)
            .map_err(|error| unreadable(error, "name a ZIP archive or a directory"))?;
        let see = |_, bytes| see(bytes);
        let inputs = files.iter_mut().collect();
        let archive =
            archive::read_each(path.as_str(), inputs, &Limits::default(), see).map_err(|error| {
                error.or_help("name a complete ZIP archive; if this was one, create or copy it again")
            })?;
        let failed = |cause| Error::new(format!("could not read `{path}`")).because(cause);
        files[0].seek(SeekFrom::Start(0)).map_err(failed)?;
        let digest = Digest::of_reader(&mut files[0]).map_err(failed)?;
        Ok(Read { archive, zipped: Some(Zipped { n_bytes, digest }) })
    }

    /// Returns the findings about its size, of which the layers are a part.
    fn size_findings(&self, name: &str, attached: &Attached) -> Vec<Finding> {
        let entries = self.archive.entries.iter();
        let files =
            entries.map(|entry| SizedFile { name: &entry.name, n_bytes: entry.size, strippable_bytes: 0 });
        let unzipped_bytes = self.archive.unzipped_bytes + attached.unzipped_bytes;
        let zipped = self.zipped.as_ref();
        let unzipped = audit::size_finding(unzipped_bytes, name, files.collect()).into_iter();
        unzipped.chain(zipped.and_then(|zip| audit::direct_upload_finding(zip.n_bytes, name))).collect()
    }

    fn report(&self, path: &str, kind: BundleKind) -> ArchiveReport {
        let report = ArchiveReport::read(path, kind, &self.archive);
        match &self.zipped {
            Some(zipped) => report.zipped(zipped.n_bytes, zipped.digest.clone()),
            None => report,
        }
    }
}

impl Deployment<'_> {
    /// Returns what to verify: the archives of the command line, else those of the template; and an error for each
    /// function of the template whose code does not exist.
    fn codes(&self) -> Result<(Vec<Deployed<'_>>, Vec<Error>)> {
        let Deployment { job, baselines, .. } = self;
        let Some(template) = &self.template else {
            let runtime = baselines.configured(&job.target);
            return Ok((
                job.archives.iter().map(|path| Deployed::alone(path, runtime, &job.target)).collect(),
                Vec::new(),
            ));
        };
        let (paths, missing) = match job.archives.is_empty() {
            true => (template.codes(), template.missing()),
            false => (job.archives.clone(), Vec::new()),
        };
        if paths.is_empty() && missing.is_empty() {
            return Err(Error::new(format!("`{}` names no file and no directory", template.path()))
                .help("also name the ZIP: `verify bootstrap.zip --template FILE`"));
        }
        let deployed = paths.iter().flat_map(|path| template.deployed(path, &job.target, baselines));
        Ok((deployed.collect(), missing))
    }

    /// Verifies one with its layers: those of the template, then those of the command line. `known` has the layers that
    /// were read before.
    fn verify_with_layers(
        &self,
        code: &Deployed,
        known: &mut BTreeMap<Vec<Utf8PathBuf>, Attached>,
    ) -> Result<Answered> {
        let mut paths = match &self.template {
            Some(template) => template.layer_paths(code)?,
            None => Vec::new(),
        };
        paths.extend(self.job.attached_layers.iter().cloned());
        if !known.contains_key(&paths) {
            known.insert(paths.clone(), layers::read(&paths, self.ui)?);
        }
        self.verify(code, &known[&paths])
    }

    fn verify(&self, code: &Deployed, attached: &Attached) -> Result<Answered> {
        let Deployment { job, context, ui, .. } = self;
        let runtime = &code.runtime;
        let path = code.shown(&context.environment.current_dir);
        let read = Read::new(path, context.threads)?;
        let kind = job.kind.unwrap_or_else(|| kind_of(&read.archive));
        let start = Start { runtime, wrapper: code.wrapper.as_deref() };
        let unpacked = Unpacked::new(&read.archive, path.as_str(), kind, start, attached);
        let starts = kind != BundleKind::Function || baseline::starts_bootstrap(runtime);
        let is_started = match kind {
            BundleKind::Layer => false,
            BundleKind::Function => starts,
            BundleKind::Extension => true,
        };
        let name = unpacked.main.as_ref().map_or(BOOTSTRAP, |main| &main.name).to_owned();
        let facts = unpacked.main.as_ref().map(|main| &*main.facts);
        let mut findings = Findings::default();
        findings.extend(unpacked.findings.iter().cloned());
        // A layer may bring the handler, or a wrapper that starts the program.
        let is_whole = attached.members.is_empty() && code.layers.is_empty();
        if kind == BundleKind::Function && is_whole && proof::has_only_bootstrap(&read.archive, runtime) {
            findings.add(audit::bootstrap_not_started(path.as_str(), runtime));
        }
        // A layer is no program.
        let sized = if kind == BundleKind::Function { name.as_str() } else { path.as_str() };
        findings.extend(read.size_findings(sized, attached));
        if let Some(template) = &self.template {
            findings.extend(template.findings(
                code,
                &Zip {
                    path: path.as_str(),
                    program: &name,
                    arch: facts.and_then(ElfFacts::arch).filter(|_| starts && is_lambdas(&name)),
                    runtime: job.target.baseline.is_none().then_some(runtime),
                    code_sha256: read.zipped.as_ref().map(|zipped| &*zipped.digest.base64),
                },
            ));
        }
        let absolute = context.environment.current_dir.join(path).into_string();
        let mut report = ProgramReport::new(&name, &absolute, runtime, facts);
        report.archive = Some(read.report(&absolute, kind));
        let (found, runtime_label) = self.prove(code, &unpacked, starts, &mut report);
        findings.extend(found);
        let findings = self.weakened(findings, code, &read);
        let main = unpacked.main.as_ref().map_or("", |main| &main.path);
        let layers = layers::needed(&report.libraries, main, attached).into_iter();
        report.layers =
            layers.map(|layer| context.environment.current_dir.join(layer).into_string()).collect();
        let label = code.label(&context.environment.current_dir);
        let conclusion = conclude(&mut report, &findings, self.output);
        if self.job.archives.len() != 1 && conclusion.is_shown(ui) {
            ui.about(&label);
        }
        conclusion.show(ui);
        let fails = conclusion.fails;
        if facts.is_none() && kind == BundleKind::Function && is_started && !fails {
            report.verdict = Verdict::Unknown;
        }
        let is_ignored = report.findings.iter().any(|finding| finding.code == Code::NotStarted.as_str());
        let judged = if is_started { VerdictOf::Program } else { VerdictOf::Libraries };
        let words = if is_ignored { "does not start" } else { report.verdict_words(judged) };
        let tone = tone(report.verdict, fails || is_ignored);
        let (verb, denied) = match tone {
            Tone::Bad if is_ignored => ("Failed", ""),
            Tone::Bad => ("Failed", denied(&report)),
            Tone::Good | Tone::Open => ("Verified", ""),
        };
        // The code of a language's function is not looked at.
        let limit = match kind == BundleKind::Function && !is_started && !is_ignored {
            true => " (not checked as a function)",
            false => "",
        };
        let attached = layers::attached_words(&report.layers, &context.environment.current_dir);
        // A script has no architecture.
        let on = if is_started && facts.is_none() { runtime } else { &runtime_label };
        ui.outcome(tone, verb, &format!("{label}: {words} on {on}{attached}{limit}{denied}"));
        Ok(Answered { report, decides: true, fails, bundled: None })
    }

    /// Walks the programs and libraries on the runtime, if that is known. `starts` tells whether Lambda itself starts the
    /// main program, rather than a language's own. Returns the runtime as it is printed, too.
    fn prove(
        &self,
        code: &Deployed,
        unpacked: &Unpacked,
        starts: bool,
        report: &mut ProgramReport,
    ) -> (Vec<Finding>, String) {
        let Deployment { job, context, ui, .. } = self;
        let (runtime, name) = (&code.runtime, report.name.clone());
        let label = code.label(&context.environment.current_dir);
        if !self.knows(runtime) {
            ui.detail("Checking", &format!("{label} for {runtime}, which is not known"));
            return (Vec::new(), runtime.clone());
        }
        let facts = unpacked.main.as_ref().map(|main| &*main.facts);
        // Lambda starts no other program, whatever it is for.
        let started = facts.filter(|_| starts && is_lambdas(&name));
        let arch = started.and_then(ElfFacts::arch).or(job.target.arch).or(code.arch);
        let arch = arch.or(facts.and_then(ElfFacts::arch));
        let arch = arch.or_else(|| unpacked.arch_of_others()).unwrap_or(Arch::X86_64);
        let lambda = match self.baselines.world(&job.target, runtime, arch, &name) {
            Err(finding) => return (vec![*finding], runtime.clone()),
            Ok(lambda) => lambda,
        };
        ui.detail("Checking", &format!("{label} for {}", lambda.label()));
        report.set_dates(&lambda.baseline);
        say_age(&lambda, context.now, ui);
        let mut findings = audit::runtime_findings(&lambda.baseline, &name, &date::day(context.now));
        findings.extend(started.and_then(|facts| audit::arch_assertion(facts, job.target.arch, &name)));
        let (found, libraries) = unpacked.prove(&lambda, &job.libs, true);
        findings.extend(found);
        report.libraries = libraries;
        if ui.is_verbose() {
            for (verb, line) in report::library_lines(report, &lambda) {
                ui.status(verb, &line);
            }
        }
        (findings, lambda.label())
    }

    /// Whether there is a baseline for a runtime of this name.
    fn knows(&self, runtime: &str) -> bool {
        self.job.target.baseline.is_some() || baseline::names().contains(&runtime)
    }

    /// Weakens the findings about what a distant layer or an unknown runtime may have, and lets help fit a directory.
    fn weakened(&self, findings: Findings, code: &Deployed, read: &Read) -> Findings {
        let layers = match self.job.attached_layers.is_empty() {
            true => code.distant_layers(),
            // The layers of the command line stand for them.
            false => Vec::new(),
        };
        let is_open = !self.knows(&code.runtime) && !code.runtime.starts_with("provided");
        let mut weakened = Findings::default();
        for finding in findings.into_vec() {
            let finding = audit::perhaps_in_layer(finding, &layers);
            match finding.code {
                // Nothing says how such a runtime starts a function.
                Code::BootstrapMissing if is_open => {}
                Code::BootstrapMissing if read.zipped.is_none() => {
                    weakened.add(directory_help(finding, code, read));
                }
                _ => weakened.add(finding),
            }
        }
        weakened
    }

    /// Answers for a function whose code is not on this machine.
    fn unseen(&self, function: &Function, why: &str) -> Answered {
        let Deployment { output, context, ui, template, .. } = self;
        let template = template.as_ref().map_or(Utf8Path::new(""), Template::path);
        let runtime = function.runtime.value().unwrap_or("an unknown runtime");
        let path = context.environment.current_dir.join(template);
        let mut report = ProgramReport::new(&function.name, path.as_str(), runtime, None);
        let mut findings = Findings::default();
        findings.add(audit::code_not_seen(&function.name, template.as_str(), why));
        let conclusion = conclude(&mut report, &findings, output);
        conclusion.show(ui);
        let fails = conclusion.fails;
        ui.status("Skipping", &format!("{} of {template}: {why}", function.name));
        Answered { report, decides: true, fails, bundled: None }
    }
}

/// Whether Lambda itself starts the program of this name.
fn is_lambdas(name: &str) -> bool {
    name == BOOTSTRAP || name.starts_with("extensions/")
}

/// Advises what to do about a directory without a `bootstrap`.
fn directory_help(finding: Finding, code: &Deployed, read: &Read) -> Finding {
    if code.functions.iter().any(|function| function.is_built) {
        return finding.help("build it: `sam build`, then `verify --template .aws-sam/build/template.yaml`");
    }
    let below = |name: &str| Some(name.strip_suffix(BOOTSTRAP)?.strip_suffix('/')?.to_owned());
    match read.archive.entries.iter().find_map(|entry| below(&entry.name)) {
        Some(below) => finding.help(format!("name the directory that has it: `{}/{below}`", code.path)),
        None => finding,
    }
}
