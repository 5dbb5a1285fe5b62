//! /etc/ld.so.cache: a name, and the path that ldconfig found for it.
//!
//! Source: sysdeps/generic/dl-cache.h and elf/dl-cache.c of glibc.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::elf::Arch;
use crate::paths;

/// The cache of a system.
#[derive(Debug, Clone)]
pub enum Cache {
    /// Paths by name.
    Listed(Arc<BTreeMap<String, String>>),
    /// The file, which is searched in place.
    File(Arc<CacheFile>),
}

impl Default for Cache {
    fn default() -> Self {
        Cache::Listed(Arc::default())
    }
}

impl Cache {
    /// The cache in these bytes, for a loader with these hwcaps subdirectories. Bytes of another format, or for other
    /// architectures, are an empty cache.
    pub fn of_file(bytes: Vec<u8>, arch: Arch, hwcaps: &[String]) -> Cache {
        match CacheFile::new(bytes, arch, hwcaps) {
            Some(file) => Cache::File(Arc::new(file)),
            None => Cache::default(),
        }
    }

    /// The path of a library.
    pub fn path(&self, name: &str) -> Option<&str> {
        match self {
            Cache::Listed(paths) => paths.get(name).map(String::as_str),
            Cache::File(file) => file.path(name),
        }
    }

    /// All names and their paths.
    pub fn paths(&self) -> Arc<BTreeMap<String, String>> {
        match self {
            Cache::Listed(paths) => paths.clone(),
            Cache::File(file) => Arc::new(file.paths()),
        }
    }
}

/// A file in the format that ldconfig writes since glibc 2.2.
#[derive(Debug)]
pub struct CacheFile {
    /// From the magic on, because an older format may come first.
    bytes: Vec<u8>,
    n_entries: usize,
    /// The flags of entries for the architecture.
    wanted: u32,
    hwcaps: Vec<String>,
}

/// One entry: a library, or its copy for some processors.
struct CacheEntry<'a> {
    name: &'a [u8],
    /// The path and its rank, the best first, if the loader takes such an entry.
    path: Option<(usize, &'a str)>,
}

impl CacheFile {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;

    fn new(mut bytes: Vec<u8>, arch: Arch, hwcaps: &[String]) -> Option<CacheFile> {
        let start = memchr::memmem::find(&bytes, Self::MAGIC)?;
        bytes.drain(..start);
        let wanted = match arch {
            Arch::X86_64 => 0x0303,
            Arch::Arm64 => 0x0a03,
        };
        let mut file = CacheFile { bytes, n_entries: 0, wanted, hwcaps: hwcaps.to_vec() };
        let stated = file.word(Self::MAGIC.len())? as usize;
        file.n_entries = stated.min(file.bytes.len().saturating_sub(Self::HEADER) / Self::ENTRY);
        Some(file)
    }

    fn word(&self, at: usize) -> Option<u32> {
        let word = self.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(word.try_into().ok()?))
    }

    fn text(&self, at: u32) -> Option<&[u8]> {
        let tail = self.bytes.get(at as usize..)?;
        tail.get(..memchr::memchr(0, tail)?)
    }

    /// The entry with this index; `None` if its name does not lie in the file.
    fn entry(&self, index: usize) -> Option<CacheEntry<'_>> {
        // Bit 62 of the 64-bit mask.
        const HWCAP_EXTENSION: u32 = 1 << 30;
        let at = Self::HEADER + index * Self::ENTRY;
        let [flags, name, path, _, low, high] = [0, 4, 8, 12, 16, 20].map(|skip| self.word(at + skip));
        let name = self.text(name?)?;
        let ranked = || -> Option<(usize, &str)> {
            let path = std::str::from_utf8(self.text(path?)?).ok()?;
            // Entries of hwcaps directories are marked by a bit, older ones by a mask; the path has the directory,
            // too. Of the older kind the cache has the most specific one first.
            let directory = paths::parent(path);
            let is_in = |known: &String| {
                directory.strip_suffix(known.as_str()).is_some_and(|before| before.ends_with('/'))
            };
            let (low, high, plain) = (low?, high?, self.hwcaps.len());
            if (low, high) == (0, 0) {
                return Some((plain, path));
            }
            let supported = self.hwcaps.iter().position(is_in)?;
            Some((if high & HWCAP_EXTENSION != 0 { supported } else { plain }, path))
        };
        let path = if flags? == self.wanted { ranked() } else { None };
        Some(CacheEntry { name, path })
    }

    /// The path of a library: of several entries with its name the one in the first supported hwcaps directory, or else
    /// the first plain one.
    ///
    /// Names fall in the order of [`compare_names`].
    fn path(&self, name: &str) -> Option<&str> {
        let compared = |index: usize| Some(compare_names(name.as_bytes(), self.entry(index)?.name));
        let (mut low, mut high) = (0, self.n_entries);
        while low < high {
            let middle = low + (high - low) / 2;
            match compared(middle)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let is_same = |index: &usize| compared(*index) == Some(Ordering::Equal);
                    let before = (0..middle).rev().take_while(is_same).last();
                    let same = (before.unwrap_or(middle)..self.n_entries).take_while(is_same);
                    let paths = same.filter_map(|index| self.entry(index)?.path);
                    return paths.min_by_key(|(rank, _)| *rank).map(|(_, path)| path);
                }
            }
        }
        None
    }

    /// All names and their paths.
    fn paths(&self) -> BTreeMap<String, String> {
        let mut best: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for entry in (0..self.n_entries).filter_map(|index| self.entry(index)) {
            let (Ok(name), Some((rank, path))) = (std::str::from_utf8(entry.name), entry.path) else {
                continue;
            };
            let known = best.entry(name).or_insert((rank, path));
            if rank < known.0 {
                *known = (rank, path);
            }
        }
        best.into_iter().map(|(name, (_, path))| (name.to_owned(), path.to_owned())).collect()
    }
}

/// Compares names with the numbers in them as numbers: `1.9` comes before `1.10`.
///
/// Source: `_dl_cache_libcmp` in elf/dl-cache.c, by which ldconfig sorts, and ld.so searches.
pub fn compare_names(mut a: &[u8], mut b: &[u8]) -> Ordering {
    /// The digits of the number at the start without zeros before them, and the rest.
    fn number(text: &[u8]) -> (&[u8], &[u8]) {
        let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let start = text[..end].iter().position(|byte| *byte != b'0').unwrap_or(end);
        (&text[start..end], &text[end..])
    }
    while let (Some(left), Some(right)) = (a.first(), b.first()) {
        if !left.is_ascii_digit() || !right.is_ascii_digit() {
            // A digit comes after anything else.
            match (left.is_ascii_digit(), left).cmp(&(right.is_ascii_digit(), right)) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                unequal => return unequal,
            }
            continue;
        }
        let ((left, a_rest), (right, b_rest)) = (number(a), number(b));
        match (left.len(), left).cmp(&(right.len(), right)) {
            Ordering::Equal => (a, b) = (a_rest, b_rest),
            unequal => return unequal,
        }
    }
    a.len().cmp(&b.len())
}
