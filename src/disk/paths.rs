//! Paths of build machines that differ from Linux: Windows has drives and backslashes, and the disks of Windows and
//! Mac find `libGreet.so` for `libgreet.so`. On Linux this module changes nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

/// Returns the path with all links followed.
pub(super) fn follow(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let path = path.canonicalize_utf8()?;
    Ok(if cfg!(windows) { plain(path.as_str()).into() } else { path })
}

/// Converts a path of Windows to the form that all programs accept, with slashes: `C:/app` for `\\?\C:\app`.
fn plain(path: &str) -> String {
    let path = match path.strip_prefix(r"\\?\UNC\") {
        Some(share) => format!("//{share}"),
        None => path.trim_start_matches(r"\\?\").to_owned(),
    };
    path.replace('\\', "/")
}

/// Returns the build world's name of an absolute path of this machine. It is the same except on Windows, where a
/// loader would take a drive's colon for the separator of a path list: `/C/app` for `C:\app`.
pub fn world_name(path: &Utf8Path) -> String {
    if cfg!(windows) { without_drive(path.as_str()) } else { path.as_str().to_owned() }
}

fn without_drive(path: &str) -> String {
    let path = plain(path).replace(':', "");
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// A directory of this machine and its name in the build world.
pub(super) struct HostDirectory {
    pub(super) name: String,
    pub(super) path: Utf8PathBuf,
}

impl HostDirectory {
    pub(super) fn new(path: Utf8PathBuf) -> Self {
        HostDirectory { name: world_name(&path), path }
    }

    /// Returns the path on this machine of the world's path `path`, if it is in this directory.
    pub(super) fn locate(&self, path: &str) -> Option<Utf8PathBuf> {
        let rest = Utf8Path::new(path).strip_prefix(&self.name).ok()?;
        // Joining an empty path would add a slash.
        Some(if rest == "" { self.path.clone() } else { self.path.join(rest) })
    }
}

/// The names in directories, in their exact spelling.
#[derive(Default)]
pub(super) struct ExactNames {
    listings: RefCell<BTreeMap<Utf8PathBuf, BTreeSet<String>>>,
}

impl ExactNames {
    /// Refuses a file whose name differs in case from the requested one: Lambda would not find it.
    pub(super) fn exact(&self, at: Utf8PathBuf) -> io::Result<Utf8PathBuf> {
        if cfg!(target_os = "linux") {
            return Ok(at);
        }
        let (Some(directory), Some(name)) = (at.parent(), at.file_name()) else { return Ok(at) };
        let mut listings = self.listings.borrow_mut();
        let names = listings.entry(directory.to_owned()).or_insert_with(|| {
            // An unreadable or missing directory has no file to find.
            let Ok(entries) = directory.read_dir_utf8() else { return BTreeSet::new() };
            entries.flatten().map(|entry| entry.file_name().to_owned()).collect()
        });
        if names.contains(name) { Ok(at) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{plain, without_drive};

    #[test]
    fn the_long_form_of_windows_is_for_nobody_to_read_and_a_drive_is_a_directory_of_the_world() {
        for (long, short, name) in [
            (r"\\?\C:\app dir\x.so", "C:/app dir/x.so", "/C/app dir/x.so"),
            (r"\\?\UNC\host\share\x", "//host/share/x", "//host/share/x"),
            (r"D:\x", "D:/x", "/D/x"),
        ] {
            assert_eq!((plain(long).as_str(), without_drive(long).as_str()), (short, name));
        }
    }
}
