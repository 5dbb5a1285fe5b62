//! Verify: audit archives made by any tool, with the walks that prove our own.

use std::io::{Seek, SeekFrom};

use camino::Utf8Path;

use super::conclude::conclude;
use super::layers;
use super::loaded::unreadable;
use super::results::{Answered, Results};
use super::runtime::{Baselines, say_age};
use super::template::Template;
use crate::archive::{self, Archive, BOOTSTRAP, Digest, Limits};
use crate::audit::{self, Findings};
use crate::baseline;
use crate::date;
use crate::disk;
use crate::elf::{self, ElfFacts};
use crate::error::{Error, Result};
use crate::layout::BundleKind;
use crate::proof::{Attached, Contents, UnpackedFile};
use crate::report::{self, Artifact};
use crate::settings::{Context, Settings, Verify};
use crate::ui::Ui;

pub(super) fn run(
    job: &Verify,
    settings: &Settings,
    baselines: &Baselines,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let template = job.template.as_deref().map(Template::read).transpose()?;
    let around = Around { baselines, attached: layers::read(&job.attached_layers, ui)?, template };
    let archives = match &around.template {
        Some(template) if job.archives.is_empty() => template.archives(ui)?,
        _ => job.archives.clone(),
    };
    for path in &archives {
        verify_one(path, job, &around, settings, context, ui, results)?;
    }
    Ok(())
}

/// What an archive is deployed with.
struct Around<'a> {
    baselines: &'a Baselines,
    attached: Attached,
    template: Option<Template>,
}

fn verify_one(
    path: &Utf8Path,
    job: &Verify,
    Around { baselines, attached, template }: &Around,
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let (mut file, zipped_bytes) =
        disk::open(path).map_err(|error| unreadable(error, "name a ZIP archive"))?;
    let see = |_, bytes| UnpackedFile::new(BOOTSTRAP, bytes, true);
    let read =
        archive::read_each(path.as_str(), vec![&mut file], &Limits::default(), see).map_err(|error| {
            error.or_help("name a whole ZIP archive; if this was one, make it or copy it again")
        })?;
    let failed = |cause| Error::new(format!("could not read `{path}`")).because(cause);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let digest = Digest::of_reader(&mut file).map_err(failed)?;
    let kind = job.kind.unwrap_or_else(|| kind_of(&read));
    let configured = baselines.configured(&settings.target);
    let of_template = template.as_ref().and_then(|template| template.runtime_of(path, configured));
    let runtime = of_template.unwrap_or_else(|| configured.to_owned());
    let contents = Contents::new(&read, path.as_str(), kind, &runtime, attached);
    let name = contents.main.as_ref().map_or(BOOTSTRAP, |main| &main.name).to_owned();
    let mut findings = Findings::default();
    findings.extend(contents.findings.iter().cloned());
    let unzipped_bytes = read.unzipped_bytes + attached.unzipped_bytes;
    findings.extend(audit::size_finding(unzipped_bytes, &name));
    findings.extend(audit::direct_upload_finding(zipped_bytes, &name));
    let facts = contents.main.as_ref().map(|main| &*main.facts);
    if let Some(template) = template {
        let arch = facts.and_then(ElfFacts::arch);
        let compared = settings.target.baseline.is_none().then_some(&*runtime);
        findings.extend(template.findings(path, &name, arch, compared, &digest));
    }
    let mut artifact = Artifact {
        name: name.clone(),
        package: None,
        path: context.environment.current_dir.join(path).into_string(),
        target: None,
        profile: None,
        runtime: runtime.clone(),
        baseline_recorded: None,
        arch: facts.and_then(ElfFacts::arch).map(|arch| arch.as_str().to_owned()),
        linkage: facts.map(|facts| facts.linkage().as_str()),
        libc: facts.map(|facts| facts.libc().as_str()),
        interpreter: facts.and_then(|facts| facts.interpreter.clone()),
        verdict: "unknown",
        role: role(&name),
        libraries: Vec::new(),
        findings: Vec::new(),
        sizes: None,
        edits: Vec::new(),
        rebound: Vec::new(),
        archive: Some(archive_report(path, &read, kind, zipped_bytes, digest, context)),
        explanations: Vec::new(),
    };
    let arch = facts.and_then(ElfFacts::arch).or(settings.target.arch);
    let arch = arch.or_else(|| contents.arch_of_others()).unwrap_or(elf::Arch::X86_64);
    match baselines.world(&settings.target, &runtime, arch, &name) {
        Err(finding) => findings.add(*finding),
        Ok(lambda) => {
            ui.status("Checking", &format!("{path} for {}", lambda.label()));
            artifact.baseline_recorded = Some(lambda.baseline.recorded.clone());
            say_age(&lambda, context.now, ui);
            findings.extend(audit::runtime_findings(&lambda.baseline, &name, &date::day(context.now)));
            findings
                .extend(facts.and_then(|facts| audit::arch_assertion(facts, settings.target.arch, &name)));
            let (found, libraries) = contents.prove(&lambda, &job.libs, true);
            findings.extend(found);
            artifact.libraries = libraries;
            if ui.is_verbose() {
                for (verb, line) in report::library_lines(&artifact, &lambda) {
                    ui.status(verb, &line);
                }
            }
        }
    }
    let fails = conclude(&mut artifact, &findings, settings, ui).fails;
    let is_started = match kind {
        BundleKind::Layer => false,
        BundleKind::Function => baseline::starts_bootstrap(&runtime),
        BundleKind::Extension => true,
    };
    if facts.is_none() && kind == BundleKind::Function && is_started && !fails {
        artifact.verdict = "unknown";
    }
    let (starts, fails_to, may) = match is_started {
        false => ("holds together", "does not hold together", "may hold together"),
        true => ("starts", "does not start", "may start"),
    };
    let verdict = match artifact.verdict {
        "starts" => starts,
        "fails" => fails_to,
        _ => may,
    };
    ui.status("Finished", &format!("{path} {verdict} on {}", artifact.runtime));
    results.artifacts.push(Answered { artifact, decides: true, fails });
    Ok(())
}

/// What an archive is by its names: extensions have a directory of their own.
fn kind_of(read: &Archive<UnpackedFile>) -> BundleKind {
    let has = |start: &str| read.entries.iter().any(|entry| entry.name.starts_with(start));
    if !read.entries.iter().any(|entry| entry.name == BOOTSTRAP) && has("extensions/") {
        BundleKind::Extension
    } else {
        BundleKind::Function
    }
}

/// What a program is in the bundle, by its name there.
pub(super) fn role(name: &str) -> &'static str {
    match name {
        BOOTSTRAP => "bootstrap",
        name if name.starts_with("extensions/") => "extension",
        _ => "program",
    }
}

fn archive_report(
    path: &Utf8Path,
    read: &Archive<UnpackedFile>,
    kind: BundleKind,
    zipped_bytes: u64,
    digest: Digest,
    context: &Context,
) -> report::Archive {
    report::Archive {
        path: context.environment.current_dir.join(path).into_string(),
        kind: kind.as_str(),
        format: "zip",
        zipped_bytes: Some(zipped_bytes),
        unzipped_bytes: read.unzipped_bytes,
        sha256: Some(digest.hex),
        code_sha256: Some(digest.base64),
        entries: read
            .entries
            .iter()
            .map(|entry| report::Entry {
                name: entry.name.clone(),
                mode: entry.mode.unwrap_or(0),
                size: entry.size,
            })
            .collect(),
    }
}
