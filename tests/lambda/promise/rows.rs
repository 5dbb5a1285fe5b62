//! All rows.

use super::scenario::Scenario;

#[path = "rows/archives.rs"]
mod archives;
#[path = "rows/languages.rs"]
mod languages;
#[path = "rows/opened.rs"]
mod opened;
#[path = "rows/paths.rs"]
mod paths;
#[path = "rows/pins.rs"]
pub mod pins;
#[path = "rows/programs.rs"]
mod programs;
#[path = "rows/references.rs"]
mod references;
#[path = "rows/versions.rs"]
mod versions;

/// All rows, each under a name of its own.
pub fn all() -> Vec<Scenario> {
    let rows = [
        references::all(),
        versions::all(),
        languages::all(),
        opened::all(),
        paths::all(),
        programs::all(),
        archives::all(),
        pins::all(),
    ]
    .concat();
    let mut names: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "two rows of one name: {twice:?}");
    rows
}
