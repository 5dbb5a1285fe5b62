//! README and the pages of `help` say what the code does: every finding, command, flag and exit status.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests read files")]

use std::collections::BTreeSet;

use cargo_lambda_bundle::audit::Code;
use cargo_lambda_bundle::audit::pages::printed_by_aws;
use cargo_lambda_bundle::cli::Cli;
use cargo_lambda_bundle::cli::topics::{TOPICS, topic};
use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::support::readme::{blocks, spans};

const README: &str = include_str!("../../README.md");

/// README and every page, with their names.
fn pages() -> Vec<(&'static str, &'static str)> {
    let pages = TOPICS.iter().map(|topic| (topic.name, topic.text));
    std::iter::once(("README", README)).chain(pages).collect()
}

#[test]
fn every_finding_is_explained_with_its_severity() {
    let page = topic("findings").unwrap().text;
    let list = page.split_once("\n## All findings\n").expect("a list of findings").1;
    let rows: Vec<(&str, &str, &str)> = list
        .split("\n- `")
        .skip(1)
        .map(|item| {
            let (name, rest) = item.split_once("` (").expect("a severity");
            let (severity, text) = rest.split_once("): ").expect("a text");
            (name, severity, text)
        })
        .collect();
    for code in Code::ALL {
        let row = rows.iter().find(|row| row.0 == code.as_str());
        let row = row.unwrap_or_else(|| panic!("no item for {}", code.as_str()));
        assert_eq!(row.1, code.severity().as_str(), "{}", row.0);
        assert!(row.2.len() > 20, "{}", row.0);
    }
    for (name, ..) in rows {
        assert!(Code::from_name(name).is_some(), "`{name}` is no finding");
    }
}

#[test]
fn names_of_findings_lead_back_to_them() {
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.as_str()), Some(*code));
    }
    assert_eq!(Code::from_name("fnord"), None);
}

#[test]
fn every_exit_status_is_listed() {
    for status in ["| 0 |", "| 1 |", "| 2 |", "| 101 |"] {
        assert!(README.contains(status), "{status}");
    }
}

#[test]
fn what_aws_printed_leads_to_its_findings() {
    let table = README.split_once("| AWS printed |").expect("a table").1.split_once("\n\n").unwrap().0;
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let codes = printed_by_aws(cells[0]).unwrap_or_else(|| panic!("no finding for {row}"));
        let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
        assert_eq!(cells.last().unwrap().trim(), names.join(", "));
    }
}

#[test]
fn the_readme_is_short_and_names_every_page() {
    let n_lines = README.lines().count();
    assert!(n_lines <= 250, "{n_lines} lines");
    for topic in TOPICS {
        assert!(
            README.contains(&format!("`help {}`", topic.name)),
            "README does not name `help {}`",
            topic.name
        );
    }
}

#[test]
fn the_readme_names_the_oldest_rust() {
    assert!(README.contains(&format!("Rust {} or later", env!("CARGO_PKG_RUST_VERSION"))));
}

#[test]
fn pages_fit_a_terminal() {
    for topic in TOPICS {
        let title = topic.text.lines().next().unwrap();
        assert!(title.starts_with(&format!("# {}: ", topic.name)), "{title}");
        assert!(!topic.summary().is_empty() && !topic.summary().ends_with('.'), "{title}");
        for line in topic.text.lines() {
            assert!(line.chars().count() <= 100, "{}: {line}", topic.name);
        }
    }
}

/// The arguments of each `cargo lambda-bundle` in a text, as a shell would split them.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut lines = Vec::new();
    for line in text.lines() {
        for (at, name) in line.match_indices("cargo lambda-bundle") {
            let rest = &line[at + name.len()..];
            let end = rest.find([';', '|', '&', '>', '#', ')', '`']).unwrap_or(rest.len());
            // $(ARTIFACTS_DIR) is a word.
            let end = if rest.contains("$(") { rest.len() } else { end };
            let words = rest[..end].split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned());
            lines.push(words.collect());
        }
    }
    lines
}

#[test]
fn commands_of_pages_are_understood() {
    let mut n_commands = 0;
    for (name, page) in pages() {
        let code: Vec<String> = blocks(page).map(str::to_owned).chain(spans(page)).collect();
        for words in code.iter().flat_map(|text| command_lines(text)) {
            n_commands += 1;
            let program = std::iter::once("cargo-lambda-bundle".to_owned());
            if let Err(error) = Cli::command().try_get_matches_from(program.chain(words.iter().cloned())) {
                let is_document = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                assert!(is_document, "{name}: {words:?}: {error}");
            }
            if words.first().is_some_and(|word| word == "help") && words.len() > 1 {
                let is_known = words[1] == "NAME"
                    || topic(&words[1]).is_some()
                    || Cli::command().find_subcommand(&words[1]).is_some();
                assert!(is_known, "{name}: {words:?}");
            }
        }
    }
    assert!(n_commands > 60, "only {n_commands} found");
}

/// Flags of other programs, and of the tests' own tools.
const FLAGS_OF_OTHERS: &[&str] =
    &["--build-in-source", "--callgrind", "--compiler", "--growth", "--lint", "--repo"];

#[test]
fn flags_and_pages_that_are_named_exist() {
    let mut flags: BTreeSet<String> = ["--help", "--version"].map(str::to_owned).into();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        flags.extend(command.get_arguments().filter_map(|it| it.get_long()).map(|long| format!("--{long}")));
        commands.extend(command.get_subcommands().cloned());
    }
    for (name, page) in pages() {
        for span in spans(page) {
            for word in span.split(' ').filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = word.split('=').next().unwrap();
                let of_cargo = span.starts_with("cargo ") && !span.starts_with("cargo lambda-bundle");
                let is_known = flags.contains(flag) || of_cargo || FLAGS_OF_OTHERS.contains(&flag);
                assert!(is_known, "{name}: no flag {flag} in `{span}`");
            }
            if let Some(page) = span.strip_prefix("help ") {
                assert!(page == "TOPIC" || topic(page).is_some(), "{name}: no page `{span}`");
            }
            let codes = ["--allow ", "--deny ", "explain "].iter().find_map(|word| span.split_once(word));
            for code in codes.into_iter().flat_map(|(_, rest)| rest.split(' ').next().unwrap().split(',')) {
                let is_code = code.len() > 3 && code.chars().all(|it| it.is_ascii_lowercase() || it == '-');
                let others = ["warnings", "strlcpy"];
                assert!(
                    !is_code || Code::from_name(code).is_some() || others.contains(&code),
                    "{name}: `{span}`"
                );
            }
        }
    }
}

#[test]
fn pages_name_the_version_that_they_are_of() {
    for (name, page) in pages() {
        for (at, text) in page.match_indices("cargo-lambda-bundle@") {
            let version = &page[at + text.len()..];
            assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{name}: {}", &version[..10]);
        }
    }
}
