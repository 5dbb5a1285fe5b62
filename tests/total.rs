//! The end of a run of `cargo test`: one line that says what was skipped, and what would bring it.
//!
//! Cargo runs the test programs in the order of their names, this one last, if none failed before or `--no-fail-fast`
//! says so. Each test that skips something adds a line to a file of the run: see `tests/support/tools.rs`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests read files")]

#[path = "support/total.rs"]
mod total;

fn main() {
    let Some(record) = total::record() else { return };
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("\n{}", total::line(&std::fs::read_to_string(&record).unwrap_or_default()));
    // With those of runs that had no end.
    let _ = std::fs::remove_dir_all(record.parent().expect("a directory"));
}
