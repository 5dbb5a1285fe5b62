//! Writing a program's bundle, and saying what was written.

use std::num::NonZeroUsize;

use camino::Utf8Path;

use super::conclude::fails;
use super::documents::ProgramName;
use super::entries::Entries;
use super::inputs::{self, Inputs, OutputPlace};
use super::job::{Answer, ProgramJob};
use super::parts::{ArchiveProgram, conclude_all};
use super::programs::ProgramInput;
use crate::archive::{self, Entry};
use crate::audit;
use crate::disk::bundle::{Commit, Writing, replace};
use crate::disk::fingerprint::{Fingerprint, Written};
use crate::disk::write::tree::Extent;
use crate::error::Result;
use crate::lambda::LambdaWorld;
use crate::layout::{BundleKind, Format};
use crate::plan::Planned;
use crate::proof::Expected;
use crate::report::{self, ArchiveReport};
use crate::settings::{BundleSettings, Destination, Purpose};
use crate::text;
use crate::ui::Ui;

/// Returns how a bundle is written, by its settings.
pub(super) fn writing(bundle: &BundleSettings, threads: NonZeroUsize) -> Writing {
    let (format, compression) = match &bundle.purpose {
        Purpose::Write(destination) => (destination.format, destination.compression),
        Purpose::Check | Purpose::Size | Purpose::Explain(_) => (Format::Zip, archive::Compression::Default),
    };
    // Libraries join a program that is there.
    let extent = if bundle.libraries_only { Extent::Parts } else { Extent::Whole };
    Writing { format, extent, options: archive::Options { stamp: bundle.stamp, compression, threads } }
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
        let writing = self::writing(job.bundle, job.threads);
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
            run_fails = conclude_all(parts, answers, job.ui);
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
            replace(output, &entries.entries, &writing, Some(&expected), decide)
                .map_err(|error| error.or_help(another_place(writing.format)))?
        };
        if !is_placed {
            job.stopped(answers);
            return Ok(());
        }
        if is_known {
            job.ui.status("Fresh", &format!("{}: the bundle is up to date", input.names()));
        } else if let (Some(written), Some(fingerprint)) = (&written, fingerprint.filter(|_| !run_fails)) {
            fingerprint.keep(written);
        }
        let archive = archive_report(output, job.bundle.kind, &entries.entries, written);
        self.document(entries, answers)?;
        self.finished(&archive);
        for answer in answers {
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

    /// Prints what was written: the programs if they are included, their libraries, and the included files.
    fn finished(&self, archive: &ArchiveReport) {
        let plan = &self.planned.plan;
        let libraries = match plan.shipped.len() + usize::from(plan.compat.is_some()) {
            0 => "no libraries".to_owned(),
            1 => "1 library".to_owned(),
            more => format!("{more} libraries"),
        };
        let mut contents = match (self.job.bundle.libraries_only, self.parts.len()) {
            (true, _) => libraries,
            (false, 1) => format!("{} and {libraries}", self.job.layout.program),
            (false, more) => format!("{more} programs and {libraries}"),
        };
        match self.input.n_included() {
            0 => {}
            1 => contents.push_str(", 1 included file"),
            more => contents.push_str(&format!(", {more} included files")),
        }
        let zipped = archive.zipped_bytes.map(|bytes| format!("{} zipped, ", text::size(bytes)));
        let (zipped, unzipped) = (zipped.unwrap_or_default(), text::size(archive.unzipped_bytes));
        let name = self.input.names();
        self.job.ui.status("Finished", &format!("{name}: {contents}, {zipped}{unzipped} unzipped"));
        say_written(archive, self.job.settings.output.is_document(), self.job.ui);
    }
}

/// Prints an archive's hash, and its path as the run's result.
pub(super) fn say_written(archive: &ArchiveReport, is_document: bool, ui: &Ui) {
    if let Some(code_sha256) = &archive.code_sha256 {
        ui.status("CodeSha256", code_sha256);
    }
    if !is_document {
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
