//! The end of a run with several programs: a table, and a line that counts.

use super::job::BundleState;
use super::results::Answered;
use crate::report::{FindingReport, LibrarySource, Verdict};
use crate::text;
use crate::ui::{Tone, Ui};

/// The line of one program.
pub(super) struct SummaryLine {
    cells: [String; 6],
    /// What tells the program apart from others of its name: its architecture, its target, its package.
    marks: [String; 3],
    result: ProgramResult,
    n_warnings: usize,
}

/// How it went with one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProgramResult {
    Bundled,
    Fresh,
    Checked,
    Failed,
    Unanswered,
}

impl SummaryLine {
    /// Makes the line of a program with a result.
    pub(super) fn of(answered: &Answered) -> SummaryLine {
        let artifact = &answered.report;
        let libraries =
            artifact.libraries.iter().filter(|library| library.from == LibrarySource::Bundle).count();
        let (zipped, unzipped) = match &artifact.archive {
            Some(archive) => (archive.zipped_bytes.map(text::size), Some(text::size(archive.unzipped_bytes))),
            None => (None, None),
        };
        let cell = |size: Option<String>| size.unwrap_or_else(|| "-".to_owned());
        let layer = if artifact.layers.is_empty() { "" } else { " with a layer" };
        let is_denied = answered.fails && artifact.verdict != Verdict::Fails;
        let verdict = match is_denied {
            true => "denied".to_owned(),
            false => format!("{}{layer}", artifact.verdict.as_str()),
        };
        let word = |word: &Option<String>, other: &str| word.as_deref().unwrap_or(other).to_owned();
        let is_warning = |finding: &&FindingReport| finding.severity == "warning";
        let n_warnings = artifact.shown.iter().filter(is_warning).count();
        let result = match answered.bundled {
            _ if answered.fails || artifact.verdict == Verdict::Fails => ProgramResult::Failed,
            Some(BundleState::Written) => ProgramResult::Bundled,
            Some(BundleState::Fresh) => ProgramResult::Fresh,
            None => ProgramResult::Checked,
        };
        SummaryLine {
            cells: [
                artifact.name.clone(),
                verdict,
                cell(zipped),
                cell(unzipped),
                libraries.to_string(),
                n_warnings.to_string(),
            ],
            marks: [
                word(&artifact.arch, "unknown"),
                word(&artifact.target, "host"),
                word(&artifact.package, "no package"),
            ],
            result,
            n_warnings,
        }
    }

    /// Makes the line of a program without a result.
    pub(super) fn unanswered(name: &str) -> SummaryLine {
        let none = || "-".to_owned();
        SummaryLine {
            cells: [name.to_owned(), "no result".to_owned(), none(), none(), none(), none()],
            marks: Default::default(),
            result: ProgramResult::Unanswered,
            n_warnings: 0,
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

/// Prints the table, then the number of programs for each result and of warnings. If nothing changed and nothing is to
/// be said, one line.
pub(super) fn print(lines: &[SummaryLine], ui: &Ui) {
    if lines.iter().all(|line| line.result == ProgramResult::Fresh && line.n_warnings == 0) {
        return ui.status("Fresh", &format!("{} bundles are up to date", lines.len()));
    }
    let header = ["program", "verdict", "zipped", "unzipped", "libraries", "warnings"].map(str::to_owned);
    let named = |line: &SummaryLine| {
        let mut cells = line.cells.clone();
        cells[0] = line.name(lines);
        cells
    };
    let rows: Vec<[String; 6]> = [header].into_iter().chain(lines.iter().map(named)).collect();
    let width = |column: usize| rows.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for (at, cells) in rows.iter().enumerate() {
        let verb = if at == 0 { "Summary" } else { "" };
        let cell = |(column, cell): (usize, &String)| match (column, widths[column]) {
            (0 | 1, width) => format!("{cell:width$}"),
            (_, width) => format!("{cell:>width$}"),
        };
        ui.status(verb, &cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  "));
    }
    let (tone, text) = counted(lines);
    ui.outcome(tone, "Finished", &text);
}

/// Counts the programs for each result, and the warnings.
fn counted(lines: &[SummaryLine]) -> (Tone, String) {
    let mut words = Vec::new();
    for (result, word) in [
        (ProgramResult::Bundled, "bundled"),
        (ProgramResult::Fresh, "up to date"),
        (ProgramResult::Checked, "checked"),
        (ProgramResult::Failed, "failed"),
        (ProgramResult::Unanswered, "without a result"),
    ] {
        match lines.iter().filter(|line| line.result == result).count() {
            0 => {}
            count => words.push(format!("{count} {word}")),
        }
    }
    match lines.iter().map(|line| line.n_warnings).sum() {
        0 => {}
        1 => words.push("1 warning".to_owned()),
        more => words.push(format!("{more} warnings")),
    }
    let fails = lines.iter().any(|line| line.result >= ProgramResult::Failed);
    (if fails { Tone::Bad } else { Tone::Good }, words.join(", "))
}
