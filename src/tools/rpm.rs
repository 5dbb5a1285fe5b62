//! rpm's database, which only rpm can read: `rpm -qf` tells the packages of files.
//!
//! The database is named (`--dbpath`), because rpm's default differs between distributions and, on Debian, between
//! users. `--root` would do the same, but rpm changes its root directory for it, which only root may do.

use camino::Utf8Path;

use crate::packages::RPM_QUERY;
use crate::workspace::Checkouts;

/// The number of files of one query.
const MAX_FILES: usize = 500;

/// Asks for the packages of files, by their paths in the root of the database. Returns what rpm printed by
/// [`RPM_QUERY`]; nothing if it is not on PATH outside of the checkout, or fails.
pub fn query(database: &Utf8Path, files: &[&str], checkouts: &Checkouts) -> String {
    let Ok(program) = checkouts.find("rpm") else { return String::new() };
    let mut printed = String::new();
    for files in files.chunks(MAX_FILES) {
        let mut command = checkouts.environment().command(&program);
        command.args(["--dbpath", database.as_str(), "-qf", "--queryformat", RPM_QUERY]).args(files);
        command.current_dir("/").env("LC_ALL", "C");
        // The exit status is the number of files without a package.
        if let Ok(output) = command.output() {
            printed.push_str(&String::from_utf8_lossy(&output.stdout));
        }
    }
    printed
}
