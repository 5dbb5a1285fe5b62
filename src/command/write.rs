//! Writing a program's bundle, and saying what was written.

use std::num::NonZeroUsize;

use camino::Utf8Path;

use super::conclude::{fails, tone};
use super::documents::ProgramName;
use super::entries::Entries;
use super::inputs::{self, Inputs, OutputPlace};
use super::job::{Answer, BundleState, ProgramJob};
use super::parts::{ArchiveProgram, conclude_all};
use super::programs::ProgramInput;
use crate::archive::{self, Entry};
use crate::audit;
use crate::disk::bundle::{Commit, Writing, replace};
use crate::disk::fingerprint::{Fingerprint, Written};
use crate::disk::stored::StoredFiles;
use crate::disk::write::tree::Extent;
use crate::error::Result;
use crate::lambda::LambdaWorld;
use crate::layout::{BundleKind, Format};
use crate::plan::Planned;
use crate::proof::Expected;
use crate::report::{self, ArchiveReport};
use crate::settings::{BundleSettings, Destination, Purpose};
use crate::text;
use crate::ui::{Tone, Ui};

/// Returns how a bundle is written, by its settings.
pub(super) fn writing<'a>(
    bundle: &BundleSettings,
    threads: NonZeroUsize,
    files: &'a StoredFiles,
) -> Writing<'a> {
    let (format, compression) = match &bundle.purpose {
        Purpose::Write(destination) => (destination.format, destination.compression),
        Purpose::Check | Purpose::Size(_) | Purpose::Explain(_) => {
            (Format::Zip, archive::Compression::Default)
        }
    };
    // Libraries join a program that is there.
    let extent = if bundle.libraries_only { Extent::Parts } else { Extent::Whole };
    let options = archive::Options { stamp: bundle.stamp, compression, threads };
    Writing { format, extent, options, streams: &files.streams, facts: &files.facts }
}

/// A planned bundle and its place.
pub(super) struct Bundle<'a> {
    pub job: &'a ProgramJob<'a>,
    pub input: &'a ProgramInput<'a>,
    /// The programs of the archive.
    pub parts: &'a [ArchiveProgram<'a>],
    pub lambda: &'a LambdaWorld,
    pub planned: &'a Planned,
    pub destination: &'a Destination,
    pub output: &'a Utf8Path,
}

impl Bundle<'_> {
    /// Compresses and concludes, then writes if the conclusion allows it for all programs.
    ///
    /// # Errors
    ///
    /// If the output would overwrite an input of the bundle, and the errors of [`replace`].
    pub fn write(&self, entries: &Entries, answers: &mut [Answer]) -> Result<()> {
        let Bundle { job, input, parts, destination, output, .. } = *self;
        let name = &input.program.name;
        self.check_places(entries)?;
        let unzipped_bytes = entries.n_bytes() + job.attached.unzipped_bytes;
        let finding = audit::size_finding(unzipped_bytes, name, answers[0].sized());
        answers[0].findings.extend(finding);
        let writing = self::writing(job.bundle, job.threads, job.files);
        let fingerprint = self.fingerprint(entries, &writing);
        let known = fingerprint.as_ref().filter(|_| !destination.force).and_then(|it| it.find(output));
        let is_known = known.is_some();
        let mut judged = parts.iter().zip(&*answers);
        let is_failing = judged.any(|(part, answer)| fails(&answer.findings, &part.job.settings.output));
        let is_hopeless = is_failing && !destination.write_anyway;
        let mut run_fails = false;
        // Findings made while writing are reported with the others.
        let mut decide = |written: Option<&Written>| {
            let zipped_bytes = written.map(|written| written.zipped_bytes);
            let too_large = zipped_bytes.and_then(|bytes| audit::direct_upload_finding(bytes, name));
            answers[0].findings.extend(too_large);
            run_fails = conclude_all(parts, answers);
            if run_fails && !destination.write_anyway {
                return Ok(Commit::Removed);
            }
            entries.write_debug_files()?;
            // If there are errors, it is written only because the user asked for it anyway.
            Ok(if run_fails { Commit::Placed } else { Commit::PlacedIfItHolds })
        };
        let (is_placed, written) = if is_known || is_hopeless {
            (!matches!(decide(known.as_ref())?, Commit::Removed), known)
        } else {
            let expected = self.expected();
            let replaced = replace(output, &entries.entries, &writing, Some(&expected), decide);
            replaced.map_err(|error| error.or_help(another_place(writing.format))).inspect_err(|_| {
                job.show(answers);
            })?
        };
        if !is_placed {
            job.show(answers);
            job.stopped(answers);
            return Ok(());
        }
        if let (false, Some(written), Some(fingerprint)) =
            (is_known, &written, fingerprint.filter(|_| !run_fails))
        {
            fingerprint.keep(written);
        }
        let archive = archive_report(output, job.bundle.kind, &entries.entries, written);
        let state = if is_known { BundleState::Fresh } else { BundleState::Written };
        self.show(&archive, state, answers);
        self.document(entries, answers)?;
        for answer in answers {
            answer.bundled = Some(state);
            answer.report.archive = Some(archive.clone());
        }
        Ok(())
    }

    /// Writes the documents about the archive, to the paths that each of its programs names.
    fn document(&self, entries: &Entries, answers: &[Answer]) -> Result<()> {
        let Bundle { job, parts, planned, .. } = *self;
        let Some(packages) = &answers[0].packages else { return Ok(()) };
        let programs: Vec<ProgramName> = parts
            .iter()
            .map(|part| ProgramName { entry_name: &part.entry_name, name: part.name() })
            .collect();
        let files = packages.parts(&programs, &entries.entries, &planned.plan.shipped, &job.layout)?;
        let mut libraries = Vec::new();
        for answer in answers {
            report::add_libraries(&mut libraries, answer.report.libraries.clone());
        }
        let mut written = Vec::new();
        for documents in parts.iter().map(|part| &part.input.documents) {
            if !written.contains(&documents) {
                documents.write(packages, &libraries, &files, job.bundle.epoch)?;
                written.push(documents);
            }
        }
        Ok(())
    }

    fn fingerprint(&self, entries: &Entries, writing: &Writing) -> Option<Fingerprint> {
        if writing.format == Format::Dir {
            return None;
        }
        let target = self.input.program.cargo.as_ref().map(|built| &*built.target_directory);
        let environment = &self.job.context.environment;
        Fingerprint::new(self.output, target, environment, &entries.entries, &writing.options)
    }

    fn expected(&self) -> Expected<'_> {
        let bundle = self.job.bundle;
        Expected {
            // Without its program a function is only libraries, like a layer.
            kind: if bundle.libraries_only { BundleKind::Layer } else { bundle.kind },
            lambda: self.lambda,
            libs: &self.planned.plan.libs,
            wrapper: self.job.settings.target.wrapper.as_deref(),
            attached: self.job.attached,
        }
    }

    /// Refuses to overwrite a file that the bundle is made of, now that its libraries are known.
    fn check_places(&self, entries: &Entries) -> Result<()> {
        let libraries = self.planned.plan.shipped.iter().map(|library| Utf8Path::new(&library.source));
        let inputs = Inputs::new(libraries.chain(inputs::named(self.input, self.job.settings)));
        inputs::places(self.input).try_for_each(|place| inputs.check(&place))?;
        let flag = "--debug-symbols <DIR>";
        entries
            .debug_files
            .iter()
            .try_for_each(|(path, _)| inputs.check(&OutputPlace { path: path.as_path().into(), flag }))
    }

    /// Prints what was written, the findings, and the path as the run's result.
    fn show(&self, archive: &ArchiveReport, state: BundleState, answers: &[Answer]) {
        let Bundle { job, input, .. } = *self;
        let names = input.names();
        let is_document = job.settings.output.is_document();
        let mut is_named = false;
        if job.ui.is_verbose() || !job.is_one_of_several || self.parts.len() > 1 {
            match state {
                BundleState::Written => self.bundled(archive, &names, answers),
                BundleState::Fresh => {
                    let path = Utf8Path::new(&archive.path);
                    let shown = path.strip_prefix(&job.context.environment.current_dir).unwrap_or(path);
                    job.ui.status("Fresh", &format!("{names}: {shown} is up to date"));
                    is_named = job.ui.is_read_by_a_person();
                }
            }
        }
        job.show(answers);
        say_written(archive, is_document || is_named, job.ui);
    }

    /// Prints the programs, the runtime, the size, the added libraries and the number of included files.
    fn bundled(&self, archive: &ArchiveReport, names: &str, answers: &[Answer]) {
        let Bundle { job, input, lambda, .. } = *self;
        let mut libraries = Vec::new();
        for answer in answers {
            report::add_libraries(&mut libraries, answer.report.libraries.clone());
        }
        let size = match archive.zipped_bytes {
            Some(bytes) => format!("{} zipped", text::size(bytes)),
            None => text::size(archive.unzipped_bytes),
        };
        let attached = answers.first().map(|answer| job.attached_words(&answer.report)).unwrap_or_default();
        let added = report::added_words(&libraries);
        let what = if job.bundle.libraries_only { "the libraries of " } else { "" };
        let included = match input.n_included() {
            0 => String::new(),
            1 => ", 1 included file".to_owned(),
            more => format!(", {more} included files"),
        };
        let label = lambda.label();
        let worst = answers.iter().map(|answer| tone(answer.report.verdict, answer.fails())).max();
        let tone = worst.unwrap_or(Tone::Good);
        let limit = match tone {
            Tone::Good => "",
            Tone::Open if job.bundle.libraries_only => "; may load",
            Tone::Open => "; may start",
            Tone::Bad => "; written in spite of errors",
        };
        let text = format!("{what}{names} for {label}{attached}: {size}, {added}{included}{limit}");
        job.ui.outcome(tone, "Bundled", &text);
    }
}

/// Prints an archive's hash with `-v`, and its path as the run's result unless something else tells it.
pub(super) fn say_written(archive: &ArchiveReport, is_named: bool, ui: &Ui) {
    if let Some(code_sha256) = &archive.code_sha256 {
        ui.detail("CodeSha256", code_sha256);
    }
    if !is_named {
        ui.data(&format!("{}\n", archive.path));
    }
}

fn another_place(format: Format) -> &'static str {
    match format {
        Format::Zip => "name another file with `-o <FILE>`",
        Format::Dir => "name another directory with `-o <DIR>`",
    }
}

/// Describes a written bundle for the report.
pub(super) fn archive_report(
    output: &Utf8Path,
    kind: BundleKind,
    entries: &[Entry],
    written: Option<Written>,
) -> ArchiveReport {
    let mut report = ArchiveReport::planned(output.as_str(), kind, entries);
    if let Some(written) = written {
        report = report.zipped(written.zipped_bytes, written.digest);
    }
    report
}
