//! An archive's files as Lambda unpacks them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::archive::{BOOTSTRAP, CHUNK, Content, Digest, Kind, ReadArchive, ReadEntry, chunks};
use crate::elf::{self, ElfError, ElfFacts, OtherFormat};
use crate::error::Result;
use crate::lambda::{Member, MemberContent};
use crate::layout::BundleKind;
use crate::paths;
use crate::world::Opened;

/// A parsed file of an archive.
pub struct UnpackedFile {
    /// The facts of the file, if it is an ELF file.
    pub facts: std::result::Result<Arc<ElfFacts>, ElfError>,
    /// The bytes, if they are kept.
    pub bytes: Option<Vec<u8>>,
    /// The SHA-256 of an ELF file of a layer, hexadecimal.
    pub sha256: Option<String>,
}

impl UnpackedFile {
    /// Parses a file. Its bytes are kept on request, and if it is no ELF file but its text may matter.
    pub fn new(name: &str, bytes: Vec<u8>, keep: bool) -> UnpackedFile {
        let facts = elf::parse(&bytes).map(Arc::new);
        let is_kept = keep || is_read(name, &facts);
        UnpackedFile { facts, bytes: is_kept.then_some(bytes), sha256: None }
    }

    /// Parses a file that is to be written, reading no more of it than that needs.
    ///
    /// # Errors
    ///
    /// The errors of [`Content::read`].
    pub fn of_content(name: &str, content: &Content) -> Result<UnpackedFile> {
        let n_bytes = content.n_bytes();
        // Whole chunks, which are compared with those that were planned.
        let read = |range: Range<u64>| -> Result<Vec<u8>> {
            let start = range.start / CHUNK as u64 * CHUNK as u64;
            let mut bytes = Vec::new();
            for chunk in chunks(content).filter(|chunk| start <= chunk.start && chunk.start < range.end) {
                bytes.extend_from_slice(&content.read(chunk)?);
            }
            bytes.truncate((range.end - start) as usize);
            bytes.drain(..(range.start - start) as usize);
            Ok(bytes)
        };
        let facts = elf::parse_ranges(n_bytes, read)?.map(Arc::new);
        let bytes = if is_read(name, &facts) { Some(read(0..n_bytes)?) } else { None };
        Ok(UnpackedFile { facts, bytes, sha256: None })
    }

    /// Parses a file of a layer, to which a `bootstrap` may be a link.
    pub fn of_layer(bytes: Vec<u8>) -> UnpackedFile {
        let is_script = bytes.starts_with(b"#!");
        let facts = elf::parse(&bytes).map(Arc::new);
        let sha256 = facts.is_ok().then(|| Digest::of(&bytes).hex);
        UnpackedFile { facts, bytes: is_script.then_some(bytes), sha256 }
    }
}

/// Whether the text of a file may matter.
fn is_read(name: &str, facts: &std::result::Result<Arc<ElfFacts>, ElfError>) -> bool {
    // Lambda may start any script, or another script may name it as its interpreter.
    let is_script = matches!(facts, Err(ElfError::NotElf(OtherFormat::Script)));
    let may_be_script = is_script || facts.is_err() && name == BOOTSTRAP;
    // What describes a package of npm or a wheel says for which systems it is.
    may_be_script || matches!(paths::file_name(name), "package.json" | "WHEEL")
}

/// A layer's file as the kernel starts it: its facts, its mode, and the text of a script.
#[derive(Clone)]
pub struct LayerFile {
    pub(super) facts: std::result::Result<Arc<ElfFacts>, ElfError>,
    pub(super) mode: Option<u32>,
    pub(super) script: Arc<[u8]>,
}

impl LayerFile {
    /// Describes an entry of an archive.
    pub(super) fn of(entry: &ReadEntry<UnpackedFile>) -> LayerFile {
        LayerFile { facts: facts_of(entry), mode: entry.mode, script: bytes_of(entry).into() }
    }
}

/// Returns an archive's files as the loader finds them where Lambda unpacks the archive.
pub fn own_members(read: &ReadArchive<UnpackedFile>, kind: BundleKind) -> Vec<Member> {
    let locked = locked_directories(read);
    let is_locked = |name: &str| {
        !locked.is_empty() && name.match_indices('/').any(|(at, _)| locked.contains_key(&name[..at]))
    };
    let member = |entry: &ReadEntry<UnpackedFile>| {
        let content = match &entry.kind {
            Kind::Directory if locked.contains_key(entry.name.as_str()) => MemberContent::Locked,
            Kind::Directory => return None,
            Kind::Link(target) => MemberContent::Link(target.clone()),
            Kind::File if !is_readable(entry) || is_locked(&entry.name) => {
                MemberContent::Other(Opened::Unreadable)
            }
            Kind::File => MemberContent::of_file(facts_of(entry), entry.size),
        };
        Some(Member { path: format!("{}/{}", kind.root(), entry.name), content })
    };
    read.entries.iter().filter_map(member).collect()
}

/// Returns a layer's files as the kernel starts them, by their paths on Lambda.
pub fn layer_files(read: &ReadArchive<UnpackedFile>) -> impl Iterator<Item = (String, LayerFile)> {
    read.entries
        .iter()
        .filter(|entry| entry.kind == Kind::File)
        .map(|entry| (format!("{}/{}", BundleKind::Layer.root(), entry.name), LayerFile::of(entry)))
}

/// Returns the bytes of an entry, if they were kept.
pub fn bytes_of(entry: &ReadEntry<UnpackedFile>) -> &[u8] {
    entry.content.as_ref().and_then(|seen| seen.bytes.as_deref()).unwrap_or_default()
}

pub(super) fn facts_of(entry: &ReadEntry<UnpackedFile>) -> std::result::Result<Arc<ElfFacts>, ElfError> {
    match &entry.content {
        Some(seen) => seen.facts.clone(),
        None => Err(ElfError::NotElf(OtherFormat::Empty)),
    }
}

/// Whether Lambda's user may read an entry: functions run as a user of their own, so owner permissions do not count.
pub(super) fn is_readable(entry: &ReadEntry<UnpackedFile>) -> bool {
    entry.mode.is_none_or(|mode| mode & 0o004 != 0)
}

/// Returns the archive's directories that Lambda's user may not enter, with their modes.
pub(super) fn locked_directories(read: &ReadArchive<UnpackedFile>) -> BTreeMap<&str, u32> {
    let directories = read.entries.iter().filter(|entry| entry.kind == Kind::Directory);
    let locked = directories.filter_map(|entry| Some((entry.name.as_str(), entry.mode?)));
    locked.filter(|(_, mode)| mode & 0o001 == 0).collect()
}
