//! File reads and writes.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the module that reads files")]

use std::cell::RefCell;
use std::io::{self, Read};
use std::ops::Range;
use std::time::SystemTime;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::elf::auditable::{self, CrateRecord};
use crate::elf::sections::{self, Section};
use crate::elf::{self, ElfError, ElfFacts};
use crate::error::{Error, Result};
use crate::repair::tail;

pub mod build_world;
pub mod bundle;
pub mod capture;
pub mod directory;
pub mod fingerprint;
pub mod include;
pub mod interrupt;
pub mod packages;
pub mod paths;
pub mod program;
pub mod scratch;
pub mod stored;
pub mod write;

/// Reads a regular file.
///
/// Pipes and devices are refused before they are opened, since reading could wait for ever.
///
/// # Errors
///
/// If the file cannot be read, or was written to in the meantime, see `FileState`.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    let (mut file, size) = open(path)?;
    if size > LARGEST {
        let (size, most) = (crate::text::size(size), crate::text::size(LARGEST));
        return Err(Error::new(format!("`{path}` is too large to read: {size}; the limit is {most}")));
    }
    let state = FileState::of(&file).map_err(|cause| failed(path, cause))?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(|cause| failed(path, cause))?;
    state.check(&file, path)?;
    Ok(bytes)
}

/// More than any program with its debug information has. A file with holes may have any size.
const LARGEST: u64 = 4 << 30;

/// A captured Debian with a desktop, the largest text that users have, has some 20 MB.
const LARGEST_TEXT: u64 = 256 << 20;

/// Reads a text file of the user's; `kind` describes it, such as "a baseline".
///
/// # Errors
///
/// The errors of [`read`]; also if the file is not UTF-8, contains a NUL, or is too large. The caller adds the help.
pub fn text(path: &Utf8Path, kind: &str) -> Result<String> {
    let n_bytes = size(path)?;
    if n_bytes > LARGEST_TEXT {
        let (n_bytes, most) = (crate::text::size(n_bytes), crate::text::size(LARGEST_TEXT));
        return Err(Error::new(format!("`{path}` is too large for {kind}: {n_bytes}; the limit is {most}")));
    }
    let text = String::from_utf8(read(path)?).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| Error::new(format!("`{path}` is not a text file")))
}

/// The identity of a file, links followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    #[cfg(unix)]
    inode: (u64, u64),
    #[cfg(not(unix))]
    path: Utf8PathBuf,
}

impl FileId {
    /// Returns `None` if the file does not exist.
    pub fn of(path: &Utf8Path) -> Option<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(path).ok()?;
            Some(FileId { inode: (found.dev(), found.ino()) })
        }
        #[cfg(not(unix))]
        canonicalize(path).ok().map(|path| FileId { path })
    }
}

/// The state of a file, by which a later read recognises the same file with the same contents.
///
/// A change within one tick of the file system's clock (some milliseconds) is not noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    bytes: u64,
    modified: SystemTime,
    /// Device and inode, if the system has them.
    id: Option<(u64, u64)>,
}

impl FileState {
    fn of(file: &std::fs::File) -> io::Result<FileState> {
        let now = file.metadata()?;
        #[cfg(unix)]
        let id = Some((std::os::unix::fs::MetadataExt::dev(&now), std::os::unix::fs::MetadataExt::ino(&now)));
        #[cfg(not(unix))]
        let id = None;
        Ok(FileState { bytes: now.len(), modified: now.modified()?, id })
    }

    /// Refuses another file, or one that was written to: bytes that were read may be of two files.
    fn check(&self, file: &std::fs::File, path: &Utf8Path) -> Result<()> {
        let now = FileState::of(file).map_err(|cause| failed(path, cause))?;
        if now == *self { Ok(()) } else { Err(changed(path)) }
    }
}

fn changed(path: &Utf8Path) -> Error {
    Error::new(format!("`{path}` changed while it was read")).help(RUN_AGAIN)
}

const RUN_AGAIN: &str = "run it again when nothing writes to it";

/// Returns a function that reads parts of a regular file, which is opened for the first.
pub fn parts_of(path: &Utf8Path) -> impl Fn(Range<u64>) -> Result<Vec<u8>> {
    let file = RefCell::new(None);
    move |range| {
        let mut file = file.borrow_mut();
        let file = match &mut *file {
            Some(file) => file,
            none => none.insert(open(path)?.0),
        };
        read_range(file, range).map_err(|cause| failed(path, cause))
    }
}

/// Opens a regular file for reading. Returns its size in bytes, too.
pub fn open(path: &Utf8Path) -> Result<(std::fs::File, u64)> {
    let metadata = regular(path)?;
    let file = std::fs::File::open(path).map_err(|cause| failed(path, cause))?;
    Ok((file, metadata.len()))
}

/// Opens a regular file as often as `times` returns for its size, each with a place of its own in it; less often if
/// something else has the name by now, or the process may not open as many. Returns its size in bytes, too.
pub fn open_each(path: &Utf8Path, times: impl FnOnce(u64) -> usize) -> Result<(Vec<std::fs::File>, u64)> {
    let (file, size) = open(path)?;
    let state = FileState::of(&file).map_err(|cause| failed(path, cause))?;
    let again = || {
        open(path).ok().map(|(file, _)| file).filter(|file| FileState::of(file).is_ok_and(|it| it == state))
    };
    let more: Vec<_> = (1..times(size)).map_while(|_| again()).collect();
    Ok((std::iter::once(file).chain(more).collect(), size))
}

/// Parses a regular file as ELF. Of a large one only the parts that the loader uses are read.
pub fn elf(path: &Utf8Path) -> Result<std::result::Result<ElfFacts, ElfError>> {
    let size = regular(path)?.len();
    read_elf(path, size).map_err(|cause| failed(path, cause))
}

/// Parses a file of `size` bytes with as little of it in memory as possible.
fn read_elf(path: &Utf8Path, size: u64) -> io::Result<std::result::Result<ElfFacts, ElfError>> {
    let mut file = std::fs::File::open(path)?;
    elf::parse_ranges(size, |range| read_range(&mut file, range))
}

fn read_range(file: &mut std::fs::File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_range_into(file, range, &mut bytes)?;
    Ok(bytes)
}

/// Replaces what `bytes` has.
fn read_range_into(file: &mut std::fs::File, range: Range<u64>, bytes: &mut Vec<u8>) -> io::Result<()> {
    let n = range.end - range.start;
    if n > LARGEST {
        let (n, most) = (crate::text::size(n), crate::text::size(LARGEST));
        return Err(io::Error::other(format!("it is too large to read: {n}; the limit is {most}")));
    }
    let n = n as usize;
    bytes.clear();
    bytes.reserve_exact(n);
    while bytes.len() < n {
        let offset = range.start + bytes.len() as u64;
        if read_more(file, offset, bytes)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    bytes.truncate(n);
    Ok(())
}

/// Reads bytes from an offset into the room of a vector.
#[cfg(unix)]
fn read_more(file: &mut std::fs::File, offset: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let pread = || rustix::io::pread(&*file, rustix::buffer::spare_capacity(bytes), offset);
    rustix::io::retry_on_intr(pread).map_err(io::Error::from)
}

#[cfg(not(unix))]
fn read_more(file: &mut std::fs::File, offset: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let room = (bytes.capacity() - bytes.len()) as u64;
    io::Seek::seek(file, io::SeekFrom::Start(offset))?;
    file.take(room).read_to_end(bytes)
}

/// The parts of a file by its headers.
pub struct Parts {
    /// The size of the file in bytes.
    pub bytes: u64,
    /// Its ELF sections.
    pub sections: Vec<Section>,
    /// The bytes after the end of its ELF part.
    pub tail_bytes: u64,
}

/// Returns the parts of a regular file; only headers are read.
pub fn parts(path: &Utf8Path) -> Result<Parts> {
    let (mut file, bytes) = open(path)?;
    let mut read = |range| read_range(&mut file, range);
    let sections = sections::sections(bytes, &mut read).map_err(|cause| failed(path, cause))?;
    let tail_bytes = tail::length(bytes, &mut read).map_err(|cause| failed(path, cause))?;
    Ok(Parts { bytes, sections, tail_bytes })
}

/// Returns what a program records of its crates.
pub fn recorded_crates(path: &Utf8Path) -> Result<CrateRecord> {
    let (mut file, bytes) = open(path)?;
    auditable::recorded(bytes, |range| read_range(&mut file, range)).map_err(|cause| failed(path, cause))
}

/// Returns the size of a regular file in bytes.
pub fn size(path: &Utf8Path) -> Result<u64> {
    regular(path).map(|metadata| metadata.len())
}

/// Returns the path with all links followed.
pub fn canonicalize(path: &Utf8Path) -> Result<Utf8PathBuf> {
    paths::follow(path).map_err(|cause| failed(path, cause))
}

/// Returns the path at which a file would be written: the links of its directory followed, which need not exist yet. Two
/// spellings of one place are equal. A link at the path itself is replaced by the file.
pub fn place(path: &Utf8Path) -> Utf8PathBuf {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
    let mut missing = Vec::new();
    for ancestor in directory.ancestors() {
        if let Ok(real) = paths::follow(ancestor) {
            let below = missing.iter().rev().fold(real, |real, part| match part {
                Utf8Component::ParentDir => real.parent().map(Utf8Path::to_owned).unwrap_or(real),
                part => real.join(part),
            });
            return below.join(name);
        }
        missing.extend(ancestor.components().next_back());
    }
    path.to_owned()
}

/// Whether two files have other bytes, or one cannot be read.
pub fn differ(one: &Utf8Path, other: &Utf8Path) -> bool {
    match (size(one), size(other)) {
        (Ok(size), Ok(other_size)) if size == other_size => match (read(one), read(other)) {
            (Ok(one), Ok(other)) => one != other,
            _ => true,
        },
        _ => true,
    }
}

/// Returns the names in a directory that are UTF-8, sorted; none if it cannot be read.
pub fn names(path: &Utf8Path) -> Vec<String> {
    let entries = path.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}

/// Whether the path exists.
pub fn exists(path: &Utf8Path) -> bool {
    path.exists()
}

/// Whether the path is a directory.
pub fn is_directory(path: &Utf8Path) -> bool {
    path.is_dir()
}

/// Whether a file, or a directory, is not stored anywhere: the kernel makes its contents when it is read, which may never
/// end, and may tell what only this process knows.
///
/// Source: the numbers of file systems in Linux's include/uapi/linux/magic.h.
#[cfg(target_os = "linux")]
pub fn is_of_kernel(path: &Utf8Path) -> bool {
    const MADE: [u64; 16] = [
        0x9fa0,      // procfs
        0x6265_6572, // sysfs
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0x6265_6570, // configfs
        0xde5e_81e4, // efivarfs
        0x6165_676c, // pstore
        0xcafe_4a11, // bpf
        0xf97c_ff8c, // selinuxfs
        0x4341_5d53, // smackfs
        0x4249_4e4d, // binfmt_misc
        0x1980_0202, // mqueue
        0x6e73_6673, // nsfs
    ];
    #[expect(clippy::allow_attributes, reason = "the type of the number is another one on each machine")]
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    let is_made = |found: rustix::fs::StatFs| MADE.contains(&(found.f_type as u32 as u64));
    rustix::fs::statfs(path.as_std_path()).is_ok_and(is_made)
}

/// See above; other systems have none.
#[cfg(not(target_os = "linux"))]
pub fn is_of_kernel(_: &Utf8Path) -> bool {
    false
}

fn regular(path: &Utf8Path) -> Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(path).map_err(|cause| failed(path, cause))?;
    if metadata.is_dir() {
        return Err(Error::new(format!("`{path}` is a directory")));
    }
    if !metadata.is_file() {
        return Err(Error::new(format!("`{path}` is not a regular file")));
    }
    if is_of_kernel(path) {
        return Err(Error::new(format!(
            "`{path}` is not a stored file: the kernel makes it when it is read"
        )));
    }
    Ok(metadata)
}

fn failed(path: &Utf8Path, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::NotFound => Error::new(format!("`{path}` does not exist")),
        _ => Error::new(format!("could not read `{path}`")).because(cause),
    }
}
