//! Verify: audit archives made by any tool, with the walks that prove our own.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Results, arch_assertion, arch_of, conclude, lambda_world, lints, member_content, runtime_findings,
    unreadable,
};
use crate::archive::{self, Archive, BOOTSTRAP, Digest, Kind, Limits, ReadEntry};
use crate::audit::{self, Code, Finding, NotShipped, Owner, Severity, Subject};
use crate::disk;
use crate::elf::{self, ElfError, ElfFacts, OtherFormat};
use crate::error::{Error, Result};
use crate::lambda::{LambdaWorld, Member, MemberContent, TASK_ROOT, Walked};
use crate::plan::{BuildFile, Conflict};
use crate::report::{self, Artifact};
use crate::script::Script;
use crate::settings::{Context, Settings};
use crate::ui::Ui;
use crate::world::Opened;

pub(super) fn run(
    archives: &[Utf8PathBuf],
    libs: &[String],
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    for path in archives {
        verify_one(path, libs, settings, context, ui, results)?;
    }
    Ok(())
}

/// What stands at `bootstrap`.
enum Bootstrap {
    Program(Program),
    /// A script that we did not write.
    Script,
    /// Something Lambda cannot start. Says what is the matter.
    Broken(Finding),
}

/// A program, and how it starts.
struct Program {
    /// Its path on Lambda.
    path: String,
    facts: Arc<ElfFacts>,
    /// The script that starts it.
    script: Option<Script>,
}

impl Program {
    /// The facts that decide how it loads: with the loader that a script calls.
    fn as_started(&self) -> Arc<ElfFacts> {
        match self.script.as_ref().and_then(|script| script.loader.as_ref()) {
            None => self.facts.clone(),
            Some(loader) => {
                let facts = (*self.facts).clone();
                Arc::new(ElfFacts { interpreter: Some(loader.path.clone()), ..facts })
            }
        }
    }

    /// The world as the script leaves it.
    fn walks(&self, lambda: &LambdaWorld, libs: &[String], members: &[Member]) -> Vec<Walked> {
        if self.facts.arch().is_none() {
            return Vec::new();
        }
        let behind = self.script.as_ref().map(|script| lambda.behind(&script.library_dir));
        let lambda = behind.as_ref().unwrap_or(lambda);
        let mut walks = lambda.walks(&self.path, &self.as_started(), libs, members);
        lambda.check_symbols(&mut walks, self.facts.libc(), &BTreeMap::new());
        walks
    }
}

fn verify_one(
    path: &Utf8Path,
    libs: &[String],
    settings: &Settings,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    let (mut file, zipped_bytes) =
        disk::open(path).map_err(|error| unreadable(error, "name a ZIP archive"))?;
    let read = archive::read(path.as_str(), &mut file, &Limits::default()).map_err(|error| {
        error.or_help("name a whole ZIP archive; if this was one, make it or copy it again")
    })?;
    let failed = |cause| Error::new(format!("could not read `{path}`")).because(cause);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let digest = Digest::of_reader(&mut file).map_err(failed)?;
    let members = members(&read);
    let name = BOOTSTRAP;
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(super::bundle::size_finding(read.unzipped_bytes, name));
    findings.extend(super::bundle::direct_upload_finding(zipped_bytes, name));
    let bootstrap = if read.unpacked { bootstrap(path, &read) } else { None };
    let mut artifact = Artifact {
        name: name.to_owned(),
        package: None,
        path: context.current_dir.join(path).into_string(),
        target: None,
        profile: None,
        runtime: settings.lambda.configured.clone(),
        arch: None,
        linkage: None,
        libc: None,
        interpreter: None,
        verdict: "unknown",
        role: "bootstrap",
        libraries: Vec::new(),
        findings: Vec::new(),
        sizes: None,
        edits: Vec::new(),
        archive: Some(archive_report(path, &read, zipped_bytes, digest, context)),
        explanations: Vec::new(),
    };
    let program = match bootstrap {
        Some(Bootstrap::Program(program)) => Some(program),
        Some(Bootstrap::Script) => {
            let message = "`bootstrap` is a script; the programs it starts are not checked";
            let mut finding = Finding::new(Code::NotElf, name, message);
            finding.severity = Severity::Warning;
            findings.push(finding);
            None
        }
        Some(Bootstrap::Broken(finding)) => {
            findings.push(finding);
            None
        }
        None => None,
    };
    if read.unpacked {
        findings.extend(mode_finding(&read, BOOTSTRAP));
        findings.extend(program.as_ref().and_then(|program| scripted_mode(&read, program)));
        findings.extend(program.as_ref().and_then(|program| interpreter_mode(&read, program)));
    }
    let arch = match &program {
        Some(program) => arch_of(&program.facts, &settings.lambda),
        None => settings.lambda.arch.unwrap_or(elf::Arch::X86_64),
    };
    match lambda_world(&settings.lambda, &settings.lambda.configured, arch, name) {
        Err(finding) => findings.push(*finding),
        Ok(lambda) => {
            ui.status("Checking", &format!("{path} for {}", lambda.label()));
            findings.extend(runtime_findings(&lambda.baseline, name, context.now));
            if let Some(program) = &program {
                let facts = &*program.facts;
                artifact.arch = facts.arch().map(|arch| arch.as_str().to_owned());
                artifact.linkage = Some(facts.linkage().as_str());
                artifact.libc = Some(facts.libc().as_str());
                artifact.interpreter = facts.interpreter.clone();
                findings.extend(arch_assertion(facts, &settings.lambda, name));
                let walks = program.walks(&lambda, libs, &members);
                let none = Nothing::default();
                let subject = subject(facts, &lambda, &members, &none);
                findings.extend(audit::audit(&subject, &walks));
                findings.extend(lints::of_archive(&subject, &walks, &read, &program.path));
                artifact.libraries = report::libraries(&subject, &walks);
                if ui.is_verbose() {
                    for (verb, line) in report::library_lines(&artifact, &lambda) {
                        ui.status(verb, &line);
                    }
                }
            }
        }
    }
    let fails = conclude(&mut artifact, &mut findings, settings, ui);
    if program.is_none() && !fails {
        artifact.verdict = "unknown";
    }
    let verdict = match artifact.verdict {
        "starts" => "starts",
        "fails" => "does not start",
        _ => "may start",
    };
    ui.status("Finished", &format!("{path} {verdict} on {}", artifact.runtime));
    results.push((artifact, fails));
    Ok(())
}

/// The findings of an archive that was written just now.
pub(super) fn audit_again(read: &Archive, lambda: &LambdaWorld, libs: &[String]) -> Result<Vec<Finding>> {
    let members = members(read);
    match bootstrap(Utf8Path::new("the archive"), read) {
        Some(Bootstrap::Program(program)) => {
            let walks = program.walks(lambda, libs, &members);
            let none = Nothing::default();
            let mut findings = audit::audit(&subject(&program.facts, lambda, &members, &none), &walks);
            findings.extend(interpreter_mode(read, &program));
            Ok(findings)
        }
        _ => Err(Error::new("the written archive has no program")),
    }
}

/// An archive comes without a build world.
#[derive(Default)]
struct Nothing {
    files: BTreeMap<String, BuildFile>,
    reasons: BTreeMap<String, NotShipped>,
    conflicts: BTreeMap<String, Conflict>,
}

fn subject<'a>(
    facts: &'a ElfFacts,
    lambda: &'a LambdaWorld,
    members: &'a [Member],
    none: &'a Nothing,
) -> Subject<'a> {
    Subject {
        name: BOOTSTRAP,
        program: facts,
        lambda,
        owner: Owner::Archive,
        members,
        build_files: &none.files,
        not_shipped: &none.reasons,
        conflicts: &none.conflicts,
        may_edit: false,
    }
}

/// The archive's members as the loader will meet them in /var/task.
fn members(read: &Archive) -> Vec<Member> {
    read.entries
        .iter()
        .filter_map(|entry| {
            let content = match &entry.kind {
                Kind::Directory => return None,
                Kind::Link(target) => MemberContent::Link(target.clone()),
                Kind::File if !is_readable(entry) => MemberContent::Other(Opened::Unreadable),
                Kind::File => member_content(entry.bytes.as_deref().map_or(&[][..], |bytes| bytes)),
            };
            Some(Member { path: format!("{TASK_ROOT}/{}", entry.name), content })
        })
        .collect()
}

/// Lambda runs functions as a user of its own: what only the owner may read is not there for it.
///
/// Mode 0 is what tools leave that write none.
fn is_readable(entry: &ReadEntry) -> bool {
    entry.mode.is_none_or(|mode| mode == 0 || mode & 0o004 != 0)
}

/// The entry of a name, links followed.
pub(super) fn entry<'a>(read: &'a Archive, name: &str) -> Option<&'a ReadEntry> {
    let mut name = name.to_owned();
    for _ in 0..40 {
        let entry = read.entries.iter().find(|entry| entry.name == name)?;
        match &entry.kind {
            Kind::Link(target) => name = archive::link_target(&name, target)?,
            _ => return Some(entry),
        }
    }
    None
}

fn bootstrap(path: &Utf8Path, read: &Archive) -> Option<Bootstrap> {
    let Some(found) = entry(read, BOOTSTRAP) else {
        return Some(Bootstrap::Broken(bootstrap_missing(path, read)));
    };
    let bytes = found.bytes.as_deref().map_or(&[][..], |bytes| bytes);
    if let Some(script) = Script::parse(bytes) {
        return Some(scripted(read, script));
    }
    Some(match elf::parse(bytes) {
        Ok(facts) => Bootstrap::Program(Program {
            path: format!("{TASK_ROOT}/{BOOTSTRAP}"),
            facts: Arc::new(facts),
            script: None,
        }),
        Err(ElfError::NotElf(OtherFormat::Script)) => Bootstrap::Script,
        Err(error) => Bootstrap::Broken(cannot_start(BOOTSTRAP, &error.to_string())),
    })
}

/// The program that a script of ours starts.
fn scripted(read: &Archive, script: Script) -> Bootstrap {
    let path = script.program.clone();
    let name = path.strip_prefix(TASK_ROOT).unwrap_or(&path).trim_start_matches('/');
    let facts = entry(read, name).map(|entry| elf::parse(entry.bytes.as_deref().map_or(&[][..], |b| b)));
    match facts {
        Some(Ok(facts)) => Bootstrap::Program(Program { facts: Arc::new(facts), script: Some(script), path }),
        Some(Err(error)) => Bootstrap::Broken(cannot_start(name, &error.to_string())),
        None => Bootstrap::Broken(cannot_start(name, "`bootstrap` starts it, but it is not in the archive")),
    }
}

fn cannot_start(name: &str, why: &str) -> Finding {
    Finding::new(Code::NotElf, name, format!("`{name}` cannot be started: {why}"))
}

/// A finding if Lambda may not execute the program that a script starts.
fn scripted_mode(read: &Archive, program: &Program) -> Option<Finding> {
    program.script.as_ref()?;
    mode_finding(read, program.path.strip_prefix(TASK_ROOT)?.trim_start_matches('/'))
}

/// A finding if Lambda may not execute the archive's own interpreter: execve fails with EACCES then.
fn interpreter_mode(read: &Archive, program: &Program) -> Option<Finding> {
    let facts = program.as_started();
    let name = facts.interpreter.as_deref()?.strip_prefix(TASK_ROOT)?.trim_start_matches('/').to_owned();
    mode_finding(read, &name)
}

fn bootstrap_missing(path: &Utf8Path, read: &Archive) -> Finding {
    let finding =
        Finding::new(Code::BootstrapMissing, BOOTSTRAP, format!("`{path}` has no `bootstrap` at its root"));
    let elsewhere = read
        .entries
        .iter()
        .find(|entry| entry.kind == Kind::File && elf::file_name(&entry.name) == BOOTSTRAP);
    match elsewhere {
        Some(entry) => finding.help(format!("put `{}` at the root of the archive", entry.name)),
        None => finding.help("name the program `bootstrap`, or let `cargo lambda-bundle` write the archive"),
    }
}

/// A finding if Lambda may not execute an entry.
fn mode_finding(read: &Archive, name: &str) -> Option<Finding> {
    let entry = entry(read, name).filter(|entry| entry.kind == Kind::File)?;
    let message = match entry.mode {
        Some(mode) if mode & 0o001 != 0 && mode & 0o004 != 0 => return None,
        Some(mode) if mode != 0 => format!("`{name}` has mode {mode:04o}; Lambda's user may not execute it"),
        _ => format!("`{name}` has no Unix mode in the archive; Lambda's user may not execute it"),
    };
    Some(Finding::new(Code::NotExecutable, name, message).help(format!(
        "store it with mode 0755 (on Unix: `chmod 755 {}` before it is zipped)",
        elf::file_name(name)
    )))
}

fn archive_report(
    path: &Utf8Path,
    read: &Archive,
    zipped_bytes: u64,
    digest: Digest,
    context: &Context,
) -> report::Archive {
    report::Archive {
        path: context.current_dir.join(path).into_string(),
        kind: "function",
        zipped_bytes,
        unzipped_bytes: read.unzipped_bytes,
        sha256: digest.hex,
        code_sha256: digest.base64,
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
