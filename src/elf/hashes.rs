//! DT_GNU_HASH, the table with which the loader finds a symbol: it does not find a name that is not in the table.
//!
//! Source: `_dl_setup_hash` in glibc's elf/dl-setup_hash.c, `do_lookup_x` and `check_match` in elf/dl-lookup.c.

use super::ElfError;
use super::read::{Image, outside, u32, u64};

const WHAT: &str = "the GNU hash table";

/// The table.
pub(super) struct GnuHash<'a> {
    /// The index of the first symbol that is in a chain.
    first: u64,
    shift: u32,
    bloom: &'a [u8],
    buckets: &'a [u8],
    /// Up to the end of the last chain.
    chains: &'a [u8],
}

impl<'a> GnuHash<'a> {
    /// # Errors
    ///
    /// If the table does not lie in the file, or [`ElfError::NotRead`].
    pub fn read(image: &Image<'a>, address: u64) -> Result<GnuHash<'a>, ElfError> {
        let at = |skip: u64, size: u64| {
            let address = address.checked_add(skip).ok_or_else(|| outside(WHAT))?;
            image.at_address(address, size, WHAT)
        };
        // The values are sums of products of 32-bit numbers, which fit into 64 bits.
        let head = at(0, 16)?;
        let [n_buckets, first, n_words] = [0, 4, 8].map(|at| u64::from(u32(head, at)));
        let bucket_table = 16 + n_words * 8;
        let chain_table = bucket_table + n_buckets * 4;
        let (bloom, buckets) = (at(16, n_words * 8)?, at(bucket_table, n_buckets * 4)?);
        let mut end = u64::from(buckets.chunks_exact(4).map(|word| u32(word, 0)).max().unwrap_or(0));
        // A bucket of 0 is empty, also in a table that begins at 0.
        if end == 0 || end < first {
            end = first;
        } else {
            while u32(at(chain_table + (end - first) * 4, 4)?, 0) & 1 == 0 {
                end += 1;
            }
            end += 1;
        }
        let chains = at(chain_table, (end - first) * 4)?;
        Ok(GnuHash { first, shift: u32(head, 12), bloom, buckets, chains })
    }

    /// The index of the first symbol that it has.
    pub fn first(&self) -> usize {
        usize::try_from(self.first).unwrap_or(usize::MAX)
    }

    /// The index after the last symbol of the longest chain; symbols before the first are in no chain. If no chain has
    /// symbols, the first.
    pub fn n_symbols(&self) -> u64 {
        self.first + self.chains.len() as u64 / 4
    }

    /// The first symbol of the chain that has this symbol: the one after the end of the previous chain.
    pub fn start_of_chain(&self, symbol: usize) -> usize {
        let end = (self.first()..symbol).rev().find(|before| self.is_end(*before));
        end.map_or(self.first(), |end| end + 1)
    }

    /// Whether a chain ends with this symbol.
    pub fn is_end(&self, symbol: usize) -> bool {
        self.chain(symbol).is_none_or(|value| value & 1 == 1)
    }

    /// Whether a search for this name finds the symbol with this index, whose chain begins at `start`.
    pub fn leads_to(&self, name: &[u8], symbol: usize, start: usize) -> bool {
        let hash = hash(name);
        let (n_words, n_buckets) = (self.bloom.len() / 8, self.buckets.len() / 4);
        // With another number of words ld.so stops with an assertion, and without buckets it divides by 0.
        if !n_words.is_power_of_two() || n_buckets == 0 {
            return false;
        }
        let word = u64(self.bloom, ((hash as usize / 64) & (n_words - 1)) * 8);
        let second = hash.wrapping_shr(self.shift);
        if word >> (hash % 64) & word >> (second % 64) & 1 == 0 {
            return false;
        }
        // The search begins at the symbol of the bucket; a bucket of 0 is empty.
        let bucket = u32(self.buckets, hash as usize % n_buckets * 4) as usize;
        let is_on_the_way = bucket != 0 && start <= bucket && bucket <= symbol;
        is_on_the_way && self.chain(symbol).is_some_and(|value| value | 1 == hash | 1)
    }

    /// The word of a symbol: its hash, and in the last bit whether it is the last of its chain.
    fn chain(&self, symbol: usize) -> Option<u32> {
        let at = symbol.checked_sub(self.first())?.checked_mul(4)?;
        self.chains.get(at..at.checked_add(4)?).map(|word| u32(word, 0))
    }
}

/// Source: `dl_new_hash` in glibc's sysdeps/generic/dl-new-hash.h.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}
