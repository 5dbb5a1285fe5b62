//! The written bundle: an archive or a directory that is read back and proved before it is moved to its place.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8Path;

use super::conclude::{conclude, fails};
use super::entries::Entries;
use super::fingerprint::{Fingerprint, Written};
use super::inputs::{self, Inputs, OutputPlace};
use super::job::{Answer, ProgramJob};
use super::programs::ProgramInput;
use crate::archive::{self, Content, Entry, Limits, ReadArchive, Tally};
use crate::audit;
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::LambdaWorld;
use crate::layout::BundleKind;
use crate::plan::Planned;
use crate::proof::{Expected, UnpackedFile, prove};
use crate::report::{ArchiveReport, ProgramReport};
use crate::settings::{BundleSettings, Destination, Format, Purpose};
use crate::text;
use crate::ui::Ui;

/// How bundles are written.
pub(super) struct Writing {
    pub format: Format,
    /// The options for archives.
    pub options: archive::Options,
}

impl Writing {
    /// Takes the options from the settings.
    pub fn new(bundle: &BundleSettings, threads: NonZeroUsize) -> Writing {
        let (format, compression) = match &bundle.purpose {
            Purpose::Write(destination) => (destination.format, destination.compression),
            Purpose::Check | Purpose::Size | Purpose::Explain(_) => {
                (Format::Zip, archive::Compression::Default)
            }
        };
        Writing { format, options: archive::Options { stamp: bundle.stamp, compression, threads } }
    }
}

/// A planned bundle and its place.
pub(super) struct Bundle<'a> {
    pub job: &'a ProgramJob<'a>,
    pub input: &'a ProgramInput,
    pub lambda: &'a LambdaWorld,
    pub planned: &'a Planned,
    pub destination: &'a Destination,
    pub output: &'a Utf8Path,
}

/// What happens to a bundle that was written beside its place.
pub(super) enum Commit {
    /// It is removed.
    Removed,
    /// It is moved to its place without a proof.
    Placed,
    /// It is moved to its place if the proof finds nothing.
    PlacedIfItHolds,
}

impl Bundle<'_> {
    /// Compresses and concludes, then writes if the conclusion allows it. Returns whether the run fails.
    ///
    /// # Errors
    ///
    /// If the output would overwrite an input of the bundle, and the errors of [`replace`].
    pub fn write(&self, entries: &Entries, answer: &mut Answer) -> Result<bool> {
        let Bundle { job, input, planned, destination, output, .. } = *self;
        let name = &input.program.name;
        self.check_places(entries)?;
        let unzipped_bytes = entries.n_bytes() + job.attached.unzipped_bytes;
        answer.findings.extend(audit::size_finding(unzipped_bytes, name));
        let writing = Writing::new(job.bundle, job.threads);
        let fingerprint = self.fingerprint(entries, &writing);
        let known = fingerprint.as_ref().filter(|_| !destination.force).and_then(|it| it.find(output));
        let is_known = known.is_some();
        let is_hopeless = fails(&answer.findings, &job.settings.output) && !destination.write_anyway;
        let mut run_fails = false;
        // Findings made while writing are reported with the others.
        let mut decide = |written: Option<&Written>| {
            let zipped_bytes = written.map(|written| written.zipped_bytes);
            let too_large = zipped_bytes.and_then(|bytes| audit::direct_upload_finding(bytes, name));
            answer.findings.extend(too_large);
            run_fails = conclude(&mut answer.report, &answer.findings, &job.settings.output, job.ui).fails;
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
            job.stopped(name);
            return Ok(run_fails);
        }
        if is_known {
            job.ui.status("Fresh", &format!("{name}: the bundle is up to date"));
        } else if let (Some(written), Some(fingerprint)) = (&written, fingerprint.filter(|_| !run_fails)) {
            fingerprint.keep(written);
        }
        let archive = archive_report(output, job.bundle.kind, &entries.entries, written);
        answer.report.archive = Some(archive);
        if let Some(packages) = &answer.packages {
            let parts = packages.parts(name, &entries.entries, &planned.plan, &job.layout)?;
            input.documents.write(packages, &answer.report, &parts, job.bundle.epoch)?;
        }
        self.finished(&answer.report);
        Ok(run_fails)
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
            attached: self.job.attached,
        }
    }

    /// Refuses to overwrite a file that the bundle is made of, now that its libraries are known.
    fn check_places(&self, entries: &Entries) -> Result<()> {
        let libraries = self.planned.plan.shipped.iter().map(|library| Utf8Path::new(&library.source));
        let inputs = Inputs::new(libraries.chain(inputs::named(self.input, self.job.settings)));
        inputs::places(self.input).try_for_each(|place| inputs.check(&place))?;
        let flag = "--debug-symbols <DIR>";
        entries.debug_files.iter().try_for_each(|(path, _)| inputs.check(&OutputPlace { path, flag }))
    }

    /// Prints what was written: the program if it is included, its libraries, and the included files.
    fn finished(&self, report: &ProgramReport) {
        let Some(archive) = &report.archive else { return };
        let plan = &self.planned.plan;
        let libraries = match plan.shipped.len() + usize::from(plan.compat.is_some()) {
            0 => "no libraries".to_owned(),
            1 => "1 library".to_owned(),
            more => format!("{more} libraries"),
        };
        let mut contents = match self.job.bundle.libraries_only {
            false => format!("{} and {libraries}", self.job.layout.program),
            true => libraries,
        };
        match self.input.included.len() {
            0 => {}
            1 => contents.push_str(", 1 included file"),
            more => contents.push_str(&format!(", {more} included files")),
        }
        let zipped = archive.zipped_bytes.map(|bytes| format!("{} zipped, ", text::size(bytes)));
        let (zipped, unzipped) = (zipped.unwrap_or_default(), text::size(archive.unzipped_bytes));
        let name = &report.name;
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

/// Writes the bundle beside its place, calls `decide`, reads the bundle back, proves it, and only then moves it
/// there.
///
/// Returns whether it was moved, and what is known about an archive. Without `expected` no program is looked for:
/// libraries are proved with the functions that use them.
///
/// # Errors
///
/// If no archive can have these entries, if a file cannot be written, if the proof fails, and the errors of `decide`.
pub(super) fn replace(
    output: &Utf8Path,
    entries: &[Entry],
    writing: &Writing,
    expected: Option<&Expected>,
    decide: impl FnOnce(Option<&Written>) -> Result<Commit>,
) -> Result<(bool, Option<Written>)> {
    archive::check_plan(entries)?;
    let differs = AtomicBool::new(false);
    let see = |at: usize, bytes: Vec<u8>| {
        let planned = entries.get(at);
        if !planned.is_some_and(|planned| planned.content.is(None, &bytes)) {
            differs.store(true, Ordering::Relaxed);
        }
        UnpackedFile::new(planned.map_or("", |planned| &planned.name), bytes, false)
    };
    let check = |read: &ReadArchive<UnpackedFile>, commit: Commit| {
        let same = read.entries.len() == entries.len()
            && read.entries.iter().zip(entries).all(|(read, planned)| is_same(read, planned))
            && !differs.load(Ordering::Relaxed);
        if !same && read.unpacked {
            return Err(Error::new("the bundle that was read back differs from the one that was written")
                .help(CHANGED));
        }
        let expected = expected.filter(|_| matches!(commit, Commit::PlacedIfItHolds));
        match expected.and_then(|expected| prove(output.as_str(), read, expected)) {
            None => Ok(()),
            Some(finding) => {
                let message = format!("the written bundle fails its proof: {}", finding.message);
                Err(Error::new(message).help(CHANGED))
            }
        }
    };
    let known = OnceCell::new();
    let is_placed = match writing.format {
        Format::Zip => disk::write::replace(
            output,
            |file| {
                let mut tally = Tally::new(file);
                archive::write(entries, &writing.options, &mut tally)?;
                let _ = known.set(Written::of(tally)); // it is set only once
                Ok(())
            },
            |written| {
                let commit = decide(known.get())?;
                if let Commit::Removed = commit {
                    return Ok(false);
                }
                let open = |_| disk::open(written).map(|(file, _)| file);
                let n = archive::workers(writing.options.threads, entries.iter().map(|entry| &entry.content));
                let files = (0..n).map(open).collect::<Result<_>>()?;
                check(&archive::read_each(output.as_str(), files, &Limits::default(), see)?, commit)?;
                Ok(true)
            },
        )?,
        Format::Dir => disk::write::tree::replace(output, entries, see, |read| match decide(None)? {
            Commit::Removed => Ok(false),
            commit => check(read, commit).map(|()| true),
        })?,
    };
    Ok((is_placed, known.into_inner()))
}

const CHANGED: &str = "a file changed while it was read; run it again";

/// Whether an entry that was read is the planned one, apart from the bytes of a file.
fn is_same(read: &archive::ReadEntry<UnpackedFile>, planned: &Entry) -> bool {
    read.name == planned.name
        && match &read.kind {
            archive::Kind::File => {
                read.mode == Some(planned.mode.bits()) && !matches!(planned.content, Content::Link(_))
            }
            archive::Kind::Link(target) => planned.content.is(Some(target), &[]),
            archive::Kind::Directory => false,
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
