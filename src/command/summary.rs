//! The table at the end of a run with several programs.

use crate::report::{LibrarySource, ProgramReport};
use crate::text;
use crate::ui::Ui;

/// The line of one program.
pub(super) struct SummaryLine {
    cells: [String; 5],
    /// What tells the program apart from others of its name: its architecture, its target, its package.
    marks: [String; 3],
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
        let word = |word: &Option<String>, other: &str| word.as_deref().unwrap_or(other).to_owned();
        SummaryLine {
            cells: [artifact.name.clone(), verdict, cell(zipped), cell(unzipped), libraries.to_string()],
            marks: [
                word(&artifact.arch, "unknown"),
                word(&artifact.target, "host"),
                word(&artifact.package, "no package"),
            ],
        }
    }

    /// Makes the line of a program without a result.
    pub(super) fn unanswered(name: &str) -> SummaryLine {
        let none = || "-".to_owned();
        SummaryLine {
            cells: [name.to_owned(), "no result".to_owned(), none(), none(), none()],
            marks: Default::default(),
        }
    }

    /// The name, with the first mark that tells it apart from the others of that name.
    fn name(&self, lines: &[SummaryLine]) -> String {
        let alike: Vec<&SummaryLine> = lines.iter().filter(|line| line.cells[0] == self.cells[0]).collect();
        let is_apart = |at: &usize| {
            let own = alike.iter().filter(|line| line.marks[*at] == self.marks[*at]);
            !self.marks[*at].is_empty() && own.count() == 1
        };
        match (0..self.marks.len()).find(is_apart).filter(|_| alike.len() > 1) {
            Some(at) => format!("{} ({})", self.cells[0], self.marks[at]),
            None => self.cells[0].clone(),
        }
    }
}

/// Prints the table: name, verdict, sizes, number of libraries in the bundle.
pub(super) fn print(lines: &[SummaryLine], ui: &Ui) {
    let header = ["program", "verdict", "zipped", "unzipped", "libraries"].map(str::to_owned);
    let named = |line: &SummaryLine| {
        let [_, verdict, zipped, unzipped, libraries] = line.cells.clone();
        [line.name(lines), verdict, zipped, unzipped, libraries]
    };
    let named: Vec<[String; 5]> = lines.iter().map(named).collect();
    let all = || [&header].into_iter().chain(&named);
    let width = |column: usize| all().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let (name, verdict, zipped, unzipped) = (width(0), width(1), width(2), width(3));
    for (at, [a, b, c, d, e]) in all().enumerate() {
        let verb = if at == 0 { "Summary" } else { "" };
        ui.status(verb, &format!("{a:name$}  {b:verdict$}  {c:>zipped$}  {d:>unzipped$}  {e:>9}"));
    }
}
