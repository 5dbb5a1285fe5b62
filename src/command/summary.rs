//! The table at the end of a run with several programs.

use crate::report::{LibrarySource, ProgramReport};
use crate::text;
use crate::ui::Ui;

/// The line of one program.
pub(super) struct SummaryLine {
    cells: [String; 5],
}

impl SummaryLine {
    /// Makes the line of a program with a result.
    pub(super) fn of(artifact: &ProgramReport) -> SummaryLine {
        let libraries =
            artifact.libraries.iter().filter(|library| library.from == LibrarySource::Bundle).count();
        let (zipped, unzipped) = match &artifact.archive {
            Some(archive) => (archive.zipped_bytes.map(text::size), Some(text::size(archive.unzipped_bytes))),
            None => (None, None),
        };
        let cell = |size: Option<String>| size.unwrap_or_else(|| "-".to_owned());
        let verdict = artifact.verdict.as_str().to_owned();
        SummaryLine {
            cells: [artifact.name.clone(), verdict, cell(zipped), cell(unzipped), libraries.to_string()],
        }
    }

    /// Makes the line of a program without a result.
    pub(super) fn unanswered(name: &str) -> SummaryLine {
        let none = || "-".to_owned();
        SummaryLine { cells: [name.to_owned(), "no result".to_owned(), none(), none(), none()] }
    }
}

/// Prints the table: name, verdict, sizes, number of libraries in the bundle.
pub(super) fn print(lines: &[SummaryLine], ui: &Ui) {
    let header = ["program", "verdict", "zipped", "unzipped", "libraries"].map(str::to_owned);
    let all = || [&header].into_iter().chain(lines.iter().map(|line| &line.cells));
    let width = |column: usize| all().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let (name, verdict, zipped, unzipped) = (width(0), width(1), width(2), width(3));
    for (at, [a, b, c, d, e]) in all().enumerate() {
        let verb = if at == 0 { "Summary" } else { "" };
        ui.status(verb, &format!("{a:name$}  {b:verdict$}  {c:>zipped$}  {d:>unzipped$}  {e:>9}"));
    }
}
