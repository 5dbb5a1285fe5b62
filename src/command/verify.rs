//! Verify: audit archives made by any tool, with the walks that prove our own.

use std::io::{Seek, SeekFrom};

use camino::Utf8Path;

use super::attached::Attached;
use super::proof::{Contents, Seen};
use super::template::Template;
use super::{Results, arch_assertion, conclude, lambda_world, runtime_findings, say_age, unreadable};
use crate::archive::{self, Archive, BOOTSTRAP, Digest, Limits};
use crate::audit::Finding;
use crate::baseline;
use crate::disk;
use crate::elf::{self, ElfFacts};
use crate::error::{Error, Result};
use crate::layout::BundleKind;
use crate::report::{self, Artifact};
use crate::settings::{Context, Settings, Verify};
use crate::ui::Ui;

pub(super) fn run(
    job: &Verify,
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let template = job.template.as_deref().map(Template::read).transpose()?;
    let around = Around { attached: Attached::read(&job.attached_layers, ui)?, template };
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
struct Around {
    attached: Attached,
    template: Option<Template>,
}

fn verify_one(
    path: &Utf8Path,
    job: &Verify,
    Around { attached, template }: &Around,
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let (mut file, zipped_bytes) =
        disk::open(path).map_err(|error| unreadable(error, "name a ZIP archive"))?;
    let see = |_, bytes| Seen::new(BOOTSTRAP, bytes, true);
    let read =
        archive::read_each(path.as_str(), vec![&mut file], &Limits::default(), see).map_err(|error| {
            error.or_help("name a whole ZIP archive; if this was one, make it or copy it again")
        })?;
    let failed = |cause| Error::new(format!("could not read `{path}`")).because(cause);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let digest = Digest::of_reader(&mut file).map_err(failed)?;
    let kind = job.kind.unwrap_or_else(|| kind_of(&read));
    let of_template = template.as_ref().and_then(|template| template.runtime_of(path, &settings.lambda));
    let runtime = of_template.unwrap_or_else(|| settings.lambda.configured.clone());
    let contents = Contents::new(&read, path.as_str(), kind, &runtime, attached);
    let name = contents.main.as_ref().map_or(BOOTSTRAP, |main| &main.name).to_owned();
    let mut findings: Vec<Finding> = contents.findings.clone();
    let unzipped_bytes = read.unzipped_bytes + attached.unzipped_bytes;
    findings.extend(super::limits::size_finding(unzipped_bytes, &name));
    findings.extend(super::limits::direct_upload_finding(zipped_bytes, &name));
    let facts = contents.main.as_ref().map(|main| &*main.facts);
    if let Some(template) = template {
        let arch = facts.and_then(ElfFacts::arch);
        let compared = settings.lambda.given.is_none().then_some(&*runtime);
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
    let arch = facts.and_then(ElfFacts::arch).or(settings.lambda.arch);
    let arch = arch.or_else(|| contents.arch_of_others()).unwrap_or(elf::Arch::X86_64);
    match lambda_world(&settings.lambda, &runtime, arch, &name) {
        Err(finding) => findings.push(*finding),
        Ok(lambda) => {
            ui.status("Checking", &format!("{path} for {}", lambda.label()));
            artifact.baseline_recorded = Some(lambda.baseline.recorded.clone());
            say_age(&lambda, context.now, ui);
            findings.extend(runtime_findings(&lambda.baseline, &name, context.now));
            findings.extend(facts.and_then(|facts| arch_assertion(facts, &settings.lambda, &name)));
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
    let fails = conclude(&mut artifact, &mut findings, settings, ui);
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
    results.artifacts.push((artifact, fails));
    Ok(())
}

/// What an archive is by its names: extensions have a directory of their own.
fn kind_of(read: &Archive<Seen>) -> BundleKind {
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
    read: &Archive<Seen>,
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
