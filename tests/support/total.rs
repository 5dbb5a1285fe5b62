//! The line that says what a run of the tests skipped.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// How a need says what to run for it, and the command.
const COMMANDS: [(&str, &str); 3] =
    [("(apt: ", "apt install"), ("pip install ", "pip install"), ("rustup target add ", "rustup target add")];

/// The file in which each test that skips something in this run of cargo adds a line; none on Windows.
pub fn record() -> Option<PathBuf> {
    #[cfg(unix)]
    let run = Some(std::os::unix::process::parent_id().to_string());
    #[cfg(not(unix))]
    let run: Option<String> = None;
    Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skipped").join(run?))
}

/// What is said of the record of a run.
pub fn line(record: &str) -> String {
    let (mut skipped, mut shortened, mut needs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in record.lines() {
        match row.split('\t').collect::<Vec<_>>()[..] {
            ["skipped", test, need] => {
                skipped.insert(test);
                needs.insert(need);
            }
            ["shortened", test, _] => {
                shortened.insert(test);
            }
            _ => panic!("not a line of a record: {row}"),
        }
    }
    let mut said = match skipped.len() {
        0 => "no test was skipped".to_owned(),
        1 => format!("1 test skipped something for want of: {}", list(&needs)),
        n => format!("{n} tests skipped something for want of: {}", list(&needs)),
    };
    match shortened.len() {
        0 => {}
        1 => said += "; 1 test took a part of its cases, all with `CI=true`",
        n => said += &format!("; {n} tests took a part of their cases, all with `CI=true`"),
    }
    said
}

/// The needs, those that a command brings with others of that command.
fn list(needs: &BTreeSet<&str>) -> String {
    let mut rest = needs.clone();
    let mut said = Vec::new();
    for (start, command) in COMMANDS {
        let mut brought = BTreeSet::new();
        rest.retain(|need| {
            let words = need.split_once(start).and_then(|(_, words)| Some(words.split_once(')')?.0));
            // What follows a semicolon is for who reads the single line.
            let words = words.and_then(|words| words.split(';').next()).filter(|words| *words != "none");
            brought.extend(words.into_iter().flat_map(str::split_whitespace));
            words.is_none()
        });
        if !brought.is_empty() {
            said.push(format!("{command} {}", brought.into_iter().collect::<Vec<_>>().join(" ")));
        }
    }
    said.extend(rest.into_iter().map(str::to_owned));
    said.join("; ")
}
