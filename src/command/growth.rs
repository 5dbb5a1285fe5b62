//! `size`: the files as they are in the bundle, and how they grew since before.

use camino::Utf8Path;

use super::entries::Entries;
use super::job::{Answer, ProgramJob};
use super::programs::{ProgramInput, filled};
use crate::archive::{self, Content, Kind, Limits, ReadArchive};
use crate::audit;
use crate::disk;
use crate::disk::program::unreadable;
use crate::error::{Error, Result};
use crate::report::{EarlierReport, Growth, MeasuredFile};
use crate::settings::SizeComparison;

/// What an earlier run left.
enum Earlier {
    /// A bundle.
    Bundle(Vec<MeasuredFile>),
    /// The JSON of a run.
    Report(EarlierReport),
}

/// Measures the files of a bundle, one after the other.
///
/// # Errors
///
/// If a file changed since it was first read.
pub(super) fn measure(entries: &Entries) -> Result<Vec<MeasuredFile>> {
    let files = entries.entries.iter().filter(|entry| !matches!(entry.content, Content::Link(_)));
    let measure = |entry: &archive::Entry| {
        let bytes = entry.content.read(0..entry.content.n_bytes())?;
        Ok(MeasuredFile::of_bytes(&entry.name, &bytes))
    };
    files.map(measure).collect()
}

/// Compares the bundle with the one of before, and adds what is found to the answer.
///
/// # Errors
///
/// If the file of before cannot be read, or does not have the program.
pub(super) fn compare(
    job: &ProgramJob,
    input: &ProgramInput,
    comparison: &SizeComparison,
    bundled: &[MeasuredFile],
    answer: &mut Answer,
) -> Result<()> {
    let Some(pattern) = &comparison.against else { return Ok(()) };
    let path = &filled(pattern, &input.program, &input.facts);
    let name = &input.program.name;
    let (before, after) = match read(path)? {
        Earlier::Bundle(_) if job.is_one_of_several && path == pattern => {
            return Err(Error::usage(format!(
                "`--against {path}` is one bundle, but several programs are selected"
            ))
            .help(
                "tell them apart, such as `--against before/{bin}.zip`, or name the JSON of an earlier run",
            ));
        }
        Earlier::Bundle(files) => (files, bundled.to_vec()),
        Earlier::Report(report) => match report.files(name, answer.report.arch.as_deref()) {
            Some(files) => {
                (files, answer.report.sizes.as_ref().map(|sizes| sizes.measured()).unwrap_or_default())
            }
            // A workspace may get a new function.
            None if job.is_one_of_several => {
                job.ui
                    .status("New", &format!("{name} is not in {path}: there is nothing to compare it with"));
                return Ok(());
            }
            None => {
                let names = report.names().join(", ");
                let error = Error::new(format!("`{path}` has no sizes of `{name}`"));
                return Err(error.help(match names.is_empty() {
                    true => "name the JSON that `size --message-format json` prints, or a bundle".to_owned(),
                    false => format!("it is the report of {names}"),
                }));
            }
        },
    };
    let growth = Growth::new(path.as_str(), &before, &after);
    if let Some(max_growth) = comparison.max_growth {
        let (before, after) = (growth.before_bytes, growth.bytes);
        answer.findings.extend(audit::growth_finding(name, before, after, max_growth, &growth.most()));
    }
    answer.report.growth = Some(growth);
    Ok(())
}

fn read(path: &Utf8Path) -> Result<Earlier> {
    const HELP: &str = "name a bundle, or the JSON of an earlier run: `--against <FILE>`";
    if disk::is_directory(path) {
        let keep = |bytes: Vec<u8>| MeasuredFile::of_bytes("", &bytes);
        let read = disk::directory::read(path, &Limits::default(), keep);
        return Ok(Earlier::Bundle(files(read.map_err(|error| error.or_help(HELP))?)));
    }
    let (mut file, size) = disk::open(path).map_err(|error| unreadable(error, HELP))?;
    let start = disk::parts_of(path)(0..size.min(64))?;
    let is_json = start.trim_ascii_start().starts_with(b"{");
    if is_json {
        let text = disk::text(path, "the JSON of a run").map_err(|error| error.or_help(HELP))?;
        let no_report = || Error::new(format!("`{path}` is not the JSON of an earlier run")).help(HELP);
        return EarlierReport::parse(&text).map(Earlier::Report).ok_or_else(no_report);
    }
    let keep = |_: usize, bytes: Vec<u8>| MeasuredFile::of_bytes("", &bytes);
    let read = archive::read_each(path.as_str(), vec![&mut file], &Limits::default(), keep);
    Ok(Earlier::Bundle(files(read.map_err(|error| error.or_help(HELP))?)))
}

/// The files of an archive. One that is too large to be unpacked has only their sizes.
fn files(archive: ReadArchive<MeasuredFile>) -> Vec<MeasuredFile> {
    let files = archive.entries.into_iter().filter(|entry| entry.kind == Kind::File);
    let file = |entry: archive::ReadEntry<MeasuredFile>| MeasuredFile {
        name: entry.name,
        bytes: entry.size,
        ..entry.content.unwrap_or_default()
    };
    files.map(file).collect()
}
