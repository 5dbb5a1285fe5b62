//! An archive's files as Lambda unpacks them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::{BOOTSTRAP, Content, Digest, Kind, ReadArchive, ReadEntry, Stored, chunks};
use crate::elf::{self, ElfError, ElfFacts, OtherFormat};
use crate::error::Result;
use crate::lambda::{Member, MemberContent};
use crate::layout::BundleKind;
use crate::paths;
use crate::world::Opened;

/// A parsed file of an archive.
pub struct UnpackedFile {
    /// The facts of the file, if it is an ELF file.
    pub facts: Parsed,
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
    pub fn of_content(name: &str, content: &Content, shared: &SharedFacts) -> Result<UnpackedFile> {
        let facts = match content.in_memory() {
            Ok(bytes) => elf::parse(bytes).map(Arc::new),
            Err(stored) => shared.of_stored(stored)?,
        };
        let mut bytes = None;
        if is_read(name, &facts) {
            let bytes = bytes.insert(Vec::new());
            for chunk in chunks(content.n_bytes()) {
                bytes.extend_from_slice(&content.read(chunk)?);
            }
        }
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

/// The result of parsing a file.
type Parsed = std::result::Result<Arc<ElfFacts>, ElfError>;

/// What the proofs of one run share: the facts of libraries that several bundles have, and the memory to read them.
#[derive(Default)]
pub struct SharedFacts {
    /// By hash and size. Facts are kept from the second bundle on: most files, such as programs, are in one.
    known: Mutex<BTreeMap<(u128, u64), Option<Parsed>>>,
    /// Room for a chunk each, which no proof uses.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl SharedFacts {
    fn of_stored(&self, stored: &dyn Stored) -> Result<Parsed> {
        let key = (stored.hash(), stored.n_bytes());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).cloned();
        if let Some(Some(facts)) = found {
            return Ok(facts);
        }
        let mut buffer = buffers().pop().unwrap_or_default();
        let facts = parse_stored(stored, &mut buffer);
        buffers().push(buffer);
        let facts = facts?;
        known().insert(key, found.map(|_| facts.clone()));
        Ok(facts)
    }
}

/// Parses a file by whole chunks, which are compared with those that were planned.
fn parse_stored(stored: &dyn Stored, buffer: &mut Vec<u8>) -> Result<Parsed> {
    let mut in_buffer = 0..0;
    let read = |range: Range<u64>| -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        for chunk in chunks(stored.n_bytes()) {
            let (start, end) = (range.start.max(chunk.start), range.end.min(chunk.end));
            if start >= end {
                continue;
            }
            if in_buffer != chunk {
                in_buffer = 0..0;
                stored.read_into(chunk.clone(), buffer)?;
                in_buffer = chunk.clone();
            }
            bytes.extend_from_slice(&buffer[(start - chunk.start) as usize..(end - chunk.start) as usize]);
        }
        Ok(bytes)
    };
    Ok(elf::parse_ranges(stored.n_bytes(), read)?.map(Arc::new))
}

/// Whether the text of a file may matter.
fn is_read(name: &str, facts: &Parsed) -> bool {
    // Lambda may start any script, or another script may name it as its interpreter.
    let is_script = matches!(facts, Err(ElfError::NotElf(OtherFormat::Script)));
    let may_be_script = is_script || facts.is_err() && name == BOOTSTRAP;
    // What describes a package of npm or a wheel says for which systems it is.
    may_be_script || matches!(paths::file_name(name), "package.json" | "WHEEL")
}

/// A layer's file as the kernel starts it: its facts, its mode, and the text of a script.
#[derive(Clone)]
pub struct LayerFile {
    pub(super) facts: Parsed,
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

pub(super) fn facts_of(entry: &ReadEntry<UnpackedFile>) -> Parsed {
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
