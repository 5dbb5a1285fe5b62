//! The README says what the code does: every finding, every command, every exit status.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests read files")]

use cargo_lambda_bundle::audit::Code;

const README: &str = include_str!("../../README.md");

#[test]
fn every_finding_is_explained_with_its_severity() {
    let section = README.split("\n## ").find(|section| section.starts_with("Findings\n"));
    let rows: Vec<Vec<&str>> = section
        .expect("a section about findings")
        .lines()
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `--"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for code in Code::ALL {
        let name = format!("`{}`", code.as_str());
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(row[1], code.severity().as_str(), "{name}");
        assert!(row[2].len() > 20, "{name}");
    }
    for row in rows {
        let name = row[0].trim_matches('`');
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
