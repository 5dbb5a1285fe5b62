//! Reports for GitHub Actions: workflow commands, which become annotations, and the Markdown of a job's summary.

use std::fmt::Write as _;

use super::{Failure, FindingReport, Library, LibrarySource, ProgramReport, graph};

use crate::paths::file_name;
use crate::text::{difference, printable, size};

/// Makes one workflow command for each finding, and one for the error that stopped the run.
///
/// Source: "Workflow commands for GitHub Actions"; the escapes are those of `packages/core/src/command.ts` in
/// `actions/toolkit`.
pub fn commands(artifacts: &[&ProgramReport], failure: Option<&Failure>, with_notes: bool) -> String {
    let mut text = String::new();
    for artifact in artifacts {
        for finding in artifact.shown.iter().filter(|finding| with_notes || finding.severity != "note") {
            let command = if finding.severity == "note" { "notice" } else { finding.severity };
            let title = format!("{}: {} on {}", finding.code, titled(artifact), artifact.runtime);
            push(&mut text, command, &title, &message(finding));
        }
    }
    if let Some(failure) = failure {
        push(&mut text, "error", "cargo lambda-bundle has no result", &failure.lines());
    }
    text
}

/// Names an artifact in a title: what is in an archive has a common name, so the archive is named, too.
fn titled(artifact: &ProgramReport) -> String {
    match artifact.archive.as_ref().filter(|archive| archive.path == artifact.path) {
        Some(archive) => format!("{} in {}", artifact.name, file_name(&archive.path)),
        None => artifact.name.clone(),
    }
}

fn message(finding: &FindingReport) -> String {
    let mut lines = finding.message.clone();
    for line in &finding.details {
        let _ = write!(lines, "\n{line}");
    }
    if !finding.chain.is_empty() {
        let _ = write!(lines, "\nchain: {}", finding.chain.join(" -> "));
    }
    for line in &finding.origin {
        let _ = write!(lines, "\n{line}");
    }
    if let Some(help) = &finding.help {
        let _ = write!(lines, "\nhelp: {help}");
    }
    lines
}

fn push(text: &mut String, command: &str, title: &str, message: &str) {
    let lines: Vec<String> = message.lines().map(printable).collect();
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = data(&printable(title)).replace(':', "%3A").replace(',', "%2C");
    let _ = writeln!(text, "::{command} title={title}::{}", data(&lines.join("\n")));
}

/// Makes the Markdown of a run: a table of the programs, then the findings and the closure of each.
pub fn summary(artifacts: &[&ProgramReport], failure: Option<&Failure>) -> String {
    let mut text = String::from("## cargo lambda-bundle\n\n");
    if !artifacts.is_empty() {
        text.push_str("| program | runtime | verdict | zipped | unzipped | shipped | CodeSha256 |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    }
    for artifact in artifacts {
        let shipped =
            artifact.libraries.iter().filter(|library| library.from == LibrarySource::Bundle).count();
        let archive = artifact.archive.as_ref();
        let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), size);
        let unzipped = archive
            .map(|archive| archive.unzipped_bytes)
            .or(artifact.sizes.as_ref().map(|sizes| sizes.unzipped_bytes()));
        let _ = writeln!(
            text,
            "| {} | {} ({}) | {} | {} | {} | {shipped} | {} |",
            code(&artifact.name),
            cell(&artifact.runtime),
            artifact.arch.as_deref().unwrap_or("unknown"),
            artifact.verdict.as_str(),
            bytes(archive.and_then(|archive| archive.zipped_bytes)),
            bytes(unzipped),
            archive.and_then(|archive| archive.code_sha256.as_deref()).map_or("-".to_owned(), code),
        );
    }
    for artifact in artifacts {
        details(&mut text, artifact);
    }
    if let Some(failure) = failure {
        let _ = writeln!(text, "\nNo answer:\n\n```text");
        for line in failure.lines().lines() {
            let _ = writeln!(text, "{}", printable(line).replace("```", "'''"));
        }
        text.push_str("```\n");
    }
    text.push('\n');
    text
}

fn details(text: &mut String, artifact: &ProgramReport) {
    let name = code(&artifact.name);
    if !artifact.findings.is_empty() {
        let _ = writeln!(text, "\n### Findings: {name} on {}\n", cell(&artifact.runtime));
        text.push_str("| severity | code | what | help |\n| --- | --- | --- | --- |\n");
    }
    for finding in &artifact.shown {
        let help = finding.help.as_deref().unwrap_or_default();
        let sentences: Vec<&str> =
            std::iter::once(&finding.message).chain(&finding.details).map(String::as_str).collect();
        let (message, help) = (cell(&sentences.join("; ")), cell(help));
        let _ = writeln!(text, "| {} | {} | {message} | {help} |", finding.severity, code(finding.code));
    }
    if let Some(growth) = &artifact.growth {
        let _ = writeln!(
            text,
            "\n### Growth: {name}\n\n{}, since {}\n",
            cell(&growth.words()),
            code(growth.file())
        );
        if !growth.files.is_empty() {
            text.push_str("| what | name | before | now | change |\n| --- | --- | --- | --- | --- |\n");
        }
        for (what, row) in growth.summary_rows() {
            let change = difference(row.before_bytes, row.bytes);
            let (before, now) = (size(row.before_bytes), size(row.bytes));
            let _ = writeln!(text, "| {what} | {} | {before} | {now} | {change} |", code(&row.name));
        }
    }
    // A graph of the runtime's own libraries tells nobody anything.
    let is_told = |library: &Library| library.from != LibrarySource::Baseline;
    if !artifact.findings.is_empty() || artifact.libraries.iter().any(is_told) {
        let _ = writeln!(text, "\n### What loads: {name} on {}\n\n```mermaid", cell(&artifact.runtime));
        text.push_str(&graph(&artifact.name, &artifact.libraries));
        text.push_str("```\n");
    }
}

/// Escapes text so that it stays in its cell. Code spans stay code spans, whatever is in them; other text is text.
fn cell(text: &str) -> String {
    let line = text.lines().map(printable).collect::<Vec<_>>().join(" ");
    let mut markdown = String::new();
    let mut rest = line.as_str();
    while let Some(start) = rest.find('`') {
        markdown.push_str(&plain(&rest[..start]));
        let span = &rest[start + 1..];
        match end_of_span(span) {
            Some(end) => {
                markdown.push_str(&fenced(&span[..end]));
                rest = &span[end + 1..];
            }
            None => {
                markdown.push_str("\\`");
                rest = span;
            }
        }
    }
    markdown.push_str(&plain(rest));
    markdown.replace('|', "\\|")
}

/// Returns the end of a code span: the first backtick that ends a word, since a name may contain others.
fn end_of_span(span: &str) -> Option<usize> {
    let ends_word = |(at, _): &(usize, &str)| {
        let after = span[at + 1..].trim_start_matches('.');
        after.chars().next().is_none_or(|next| next.is_whitespace() || ",;:)'\"".contains(next))
    };
    span.match_indices('`').find(ends_word).or_else(|| span.match_indices('`').next()).map(|(at, _)| at)
}

/// Returns text without code in which nothing is a link, an image or HTML.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace('<', "\\<").replace('*', "\\*")
}

fn code(text: &str) -> String {
    fenced(&text.lines().map(printable).collect::<Vec<_>>().join(" ")).replace('|', "\\|")
}

/// Returns a code span. A text with backticks stands between more of them than it has in a row.
///
/// Source: "Code spans" of the CommonMark specification.
fn fenced(text: &str) -> String {
    let longest = text.split(|char| char != '`').map(str::len).max().unwrap_or(0);
    let (fence, space) = ("`".repeat(longest + 1), if longest == 0 { "" } else { " " });
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(cell(text), expected);
    }

    #[test]
    fn a_backtick_stays_in_its_code() {
        check("`app` needs `libz.so.1`, which", "`app` needs `libz.so.1`, which");
        check("`app`'s `a`.", "`app`'s `a`.");
        check("`a|b`c.so` is missing", "`` a\\|b`c.so `` is missing");
        check("`a``b`", "``` a``b ```");
        check("`a`![x](http://y)` is missing", "`` a`![x](http://y) `` is missing");
        check("`a` ![x](http://y) <b> `c`", "`a` !\\[x](http://y) \\<b> `c`");
        check("one ` alone", "one \\` alone");
        assert_eq!(code("a`b"), "`` a`b ``");
    }
}
