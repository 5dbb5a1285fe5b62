//! Skips writing an archive that is up to date, using a record of the last one written.
//!
//! Every run plans and audits anew, so changed libraries, settings and baselines all count without being recorded,
//! and findings are reported again. Only compressing, writing and proving are skipped, if the existing archive has
//! the same entries. Entries and the archive itself are compared by a hash of their contents, never by time: an
//! archive that somebody changed is written again.
//!
//! There is one record for each output path. An unreadable or damaged record counts as missing; if a record cannot be
//! written, the next run only takes longer.
//!
//! A project's records are in its target directory. The user's cache directory is never cleared, so a new record
//! there removes those that are too old.

use std::io::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::archive::{self, COMPRESSOR, Content, Digest, Entry, Mode, Tally};
use crate::disk;
use crate::environment::Environment;

/// What is known about an archive without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The size of the archive.
    pub zipped_bytes: u64,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// The [`archive::hash()`] of its bytes.
    pub hash: u128,
}

impl Written {
    /// Describes an archive that was just written.
    pub fn of<W: Write>(tally: Tally<W>) -> Written {
        let (zipped_bytes, digest, hash) = tally.finish();
        Written { zipped_bytes, digest, hash }
    }
}

/// The file of a record.
pub struct Fingerprint {
    path: Utf8PathBuf,
    /// The hash of everything that decides the archive's bytes.
    key: u128,
    /// Whether the record is in the user's cache directory.
    is_users: bool,
}

/// Upper limit of a record's size, in bytes.
const LONGEST: u64 = 4096;

/// Minimum age before a record is removed. Without its record, an archive is only written again.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

impl Fingerprint {
    /// Returns the record for the archive at `output`: below the target directory of the program's project, else in
    /// the user's cache directory. `None` if there is no such directory.
    pub fn new(
        output: &Utf8Path,
        target_directory: Option<&Utf8Path>,
        environment: &Environment,
        entries: &[Entry],
        options: &archive::Options,
    ) -> Option<Fingerprint> {
        let directory = match target_directory {
            Some(directory) => {
                let own = directory.join("lambda-bundle");
                let records = own.join(".cache");
                // A link in a checkout may lead anywhere.
                if own.is_symlink() || records.is_symlink() {
                    return None;
                }
                records
            }
            None => user_directory(environment)?.join("cargo-lambda-bundle"),
        };
        let path = directory.join(format!("{:032x}", xxh3_128(output.as_str().as_bytes())));
        Some(Fingerprint { path, key: key(entries, options), is_users: target_directory.is_none() })
    }

    /// Returns what is known about the archive at `output`, if it exists and is up to date.
    pub fn find(&self, output: &Utf8Path) -> Option<Written> {
        // Errors are ignored: they come back, with a message, when the archive is written.
        let size = disk::size(&self.path).ok().filter(|size| *size < LONGEST)?;
        let text = String::from_utf8(disk::read(&self.path).ok()?).ok()?;
        let written = self.parse(&text).filter(|_| text.len() as u64 == size)?;
        let size = disk::size(output).ok()?;
        let is_same = || disk::stored::stored(output).is_ok_and(|found| found.hash() == written.hash);
        (size == written.zipped_bytes && is_same()).then_some(written)
    }

    /// Writes the record of an archive.
    pub fn keep(&self, written: &Written) {
        let is_new = !disk::exists(&self.path);
        // Another run may write here, too: the last record stays, and it is complete.
        let _ = disk::write::replace_record(&self.path, self.text(written).as_bytes());
        if is_new && self.is_users {
            let is_record =
                |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            disk::write::remove_older(&self.path, KEPT, is_record);
        }
    }

    /// The record's text: five lines, and a checksum of them.
    fn text(&self, written: &Written) -> String {
        let Written { zipped_bytes, digest, hash } = written;
        let body = format!(
            "cargo-lambda-bundle record 1\nkey {:032x}\narchive {hash:032x}\nbytes {zipped_bytes}\nsha256 {}\n",
            self.key, digest.hex
        );
        let sum = xxh3_128(body.as_bytes());
        format!("{body}sum {sum:032x}\n")
    }

    /// Parses a record. `None` if it is for other entries, or damaged.
    fn parse(&self, text: &str) -> Option<Written> {
        let mut values = text.lines().skip(1).map(|line| line.split_once(' ').map(|(_, value)| value));
        let mut value = || values.next().flatten();
        let (_key, archive, bytes, sha256) = (value()?, value()?, value()?, value()?);
        let hash = u128::from_str_radix(archive, 16).ok()?;
        let written = Written { zipped_bytes: bytes.parse().ok()?, digest: Digest::from_hex(sha256)?, hash };
        // The parsed record must give the same bytes again, so the key and the checksum are compared, too.
        (self.text(&written) == text).then_some(written)
    }
}

/// Hashes everything that decides an archive's bytes: this tool's version, the options, and the entries.
fn key(entries: &[Entry], options: &archive::Options) -> u128 {
    let mut hasher = Xxh3::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    put(env!("CARGO_PKG_VERSION").as_bytes());
    put(option_env!("LAMBDA_BUNDLE_COMMIT").unwrap_or_default().as_bytes());
    put(COMPRESSOR.as_bytes());
    // The number of threads is left out: the bytes do not depend on it.
    put(format!("{:?} {:?}", options.compression, options.stamp).as_bytes());
    for entry in entries {
        put(entry.name.as_bytes());
        let hash = match &entry.content {
            Content::File(bytes) => archive::hash(bytes),
            Content::Stored(stored) => stored.hash(),
            Content::Link(target) => {
                put(b"link");
                put(target.as_bytes());
                continue;
            }
        };
        put(if entry.mode == Mode::Executable { b"executable" } else { b"data" });
        put(&hash.to_le_bytes());
    }
    hasher.digest128()
}

/// The user's directory for data that programs can make again.
///
/// Source: the XDG Base Directory Specification; a relative path in the variable does not count.
fn user_directory(environment: &Environment) -> Option<Utf8PathBuf> {
    let absolute = |name: &str| {
        let path = Utf8PathBuf::from(environment.var(name)?.to_str()?);
        path.is_absolute().then_some(path)
    };
    let local = if cfg!(windows) { absolute("LOCALAPPDATA") } else { None };
    absolute("XDG_CACHE_HOME").or(local).or_else(|| Some(absolute("HOME")?.join(".cache")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn entry(name: &str, mode: Mode, content: Content) -> Entry {
        Entry { name: name.to_owned(), mode, content }
    }

    fn file(bytes: &[u8]) -> Content {
        Content::File(Arc::new(bytes.to_vec()))
    }

    fn record(key: u128) -> Fingerprint {
        Fingerprint { path: Utf8PathBuf::from("/nowhere"), key, is_users: true }
    }

    #[test]
    fn whatever_changes_the_archive_changes_the_key() {
        let options = archive::Options::default();
        let one = || entry("bootstrap", Mode::Executable, file(b"program"));
        let entries = [
            vec![],
            vec![one()],
            vec![entry("bootstrap", Mode::Data, file(b"program"))],
            vec![entry("bootstrap", Mode::Executable, file(b"Program"))],
            vec![entry("bootstra", Mode::Executable, file(b"pprogram"))],
            vec![entry("bootstrap", Mode::Executable, Content::Link("program".into()))],
            vec![one(), entry("lib/a", Mode::Data, file(b""))],
            vec![one(), entry("lib/a", Mode::Data, Content::Link(String::new()))],
        ];
        let mut keys: Vec<u128> = entries.iter().map(|entries| key(entries, &options)).collect();
        let fast = archive::Options { compression: archive::Compression::Fast, ..options };
        let later =
            archive::Options { stamp: archive::Timestamp::from_epoch(1_000_000_000).unwrap(), ..options };
        keys.extend([key(&entries[1], &fast), key(&entries[1], &later)]);
        let n = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), n);
        let threads = archive::Options { threads: 7.try_into().unwrap(), ..options };
        assert_eq!(key(&entries[1], &options), key(&entries[1], &threads));
    }

    fn written() -> Written {
        let mut tally = Tally::new(Vec::new());
        tally.write_all(b"an archive").unwrap();
        Written::of(tally)
    }

    #[test]
    fn a_record_says_again_what_was_written() {
        let written = written();
        assert_eq!((written.zipped_bytes, written.hash), (10, archive::hash(b"an archive")));
        assert_eq!(written.digest, Digest::of(b"an archive"));
        assert_eq!(record(7).parse(&record(7).text(&written)), Some(written));
    }

    #[test]
    fn a_record_with_any_other_byte_is_none() {
        let text = record(7).text(&written());
        assert_eq!(record(8).parse(&text), None, "the key of other entries");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(record(7).parse(&changed), None, "{changed}");
            assert_eq!(record(7).parse(&text[..at]), None, "{}", &text[..at]);
        }
    }
}
