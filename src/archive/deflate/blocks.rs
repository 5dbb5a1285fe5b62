//! The search for the last block of a deflate stream.
//!
//! Blocks have no lengths and begin at any bit, so all of them must be decoded to find the last; their contents are
//! not needed.
//!
//! Source: RFC 1951, section 3.2.

use std::ops::Range;

/// Codes of up to this length are looked up, longer codes (which are rare) are counted out.
const FAST_BITS: u32 = 11;

/// The index of the first entry of [`Codes::fast`] for distances, and the bit of an entry that a distance follows.
const DISTANCES: usize = 1 << FAST_BITS;

/// The length of the longest code.
const MAX_BITS: usize = 15;

const END_OF_BLOCK: usize = 256;

/// The bits of the last block, from its header to the end of its data; `None` if the stream is damaged or continues
/// after it.
pub(super) fn last(stream: &[u8]) -> Option<Range<usize>> {
    let mut bits = Bits { stream, next: 0, buffer: 0, n_buffered: 0 };
    let fixed = Codes::fixed();
    loop {
        let start = bits.position();
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => bits.skip_stored()?,
            1 => bits.skip_symbols(&fixed)?,
            2 => {
                let codes = Codes::read(&mut bits)?;
                bits.skip_symbols(&codes)?;
            }
            _ => return None,
        }
        if is_last {
            let end = bits.position();
            return (end.div_ceil(8) == stream.len()).then_some(start..end);
        }
    }
}

struct Bits<'a> {
    stream: &'a [u8],
    /// The index of the byte that is buffered next.
    next: usize,
    /// The next bits, lowest first. Zeros follow the end of the stream.
    buffer: u64,
    n_buffered: u32,
}

impl Bits<'_> {
    /// The number of bits taken so far.
    fn position(&self) -> usize {
        self.next * 8 - self.n_buffered as usize
    }

    /// Buffers the next 56 bits.
    #[inline]
    fn fill(&mut self) {
        if let Some(word) = self.stream.get(self.next..).and_then(|rest| rest.first_chunk()) {
            self.buffer |= u64::from_le_bytes(*word) << self.n_buffered;
            let n_bytes = (63 - self.n_buffered) / 8;
            self.next += n_bytes as usize;
            self.n_buffered += n_bytes * 8;
            // The bits above belong to the next byte, and will be read again unchanged.
        } else {
            while self.n_buffered < 56 {
                let byte = self.stream.get(self.next).copied().unwrap_or(0);
                self.buffer |= u64::from(byte) << self.n_buffered;
                self.next += 1;
                self.n_buffered += 8;
            }
        }
    }

    /// Skips buffered bits.
    #[inline]
    fn skip(&mut self, n: u32) {
        self.buffer >>= n;
        self.n_buffered -= n;
    }

    /// Takes buffered bits, 32 at most.
    fn drop(&mut self, n: u32) -> u32 {
        let value = self.buffer as u32 & ((1_u64 << n) - 1) as u32;
        self.skip(n);
        value
    }

    /// Takes the next bits; `None` after the end of the stream.
    fn take(&mut self, n: u32) -> Option<u32> {
        self.fill();
        let value = self.drop(n);
        (self.position() <= self.stream.len() * 8).then_some(value)
    }

    fn skip_stored(&mut self) -> Option<()> {
        let start = self.position().div_ceil(8);
        let length = self.stream.get(start..start + 2)?;
        let end = start + 4 + usize::from(u16::from_le_bytes([length[0], length[1]]));
        *self = Bits { stream: self.stream, next: end, buffer: 0, n_buffered: 0 };
        (end <= self.stream.len()).then_some(())
    }

    /// Skips the symbols of a block, including its end.
    fn skip_symbols(&mut self, codes: &Codes) -> Option<()> {
        // 0 or `DISTANCES`. No branch: no processor could predict whether a literal or a match is next.
        let mut code = 0;
        while self.next <= self.stream.len() + 8 {
            // A length with its extra bits is 20 bits at most, a distance 28.
            self.fill();
            for _ in 0..2 {
                let entry = codes.fast[code + (self.buffer as usize & (DISTANCES - 1))];
                if entry > 0 {
                    self.skip((entry & 31).into());
                    code = usize::from(entry) & DISTANCES;
                    continue;
                }
                let (step, n_extra) = codes.decode(code, self)?;
                self.skip(n_extra);
                code = match step {
                    Step::Literal | Step::Distance => 0,
                    Step::Length => DISTANCES,
                    Step::End => return (self.position() <= self.stream.len() * 8).then_some(()),
                };
            }
        }
        None
    }
}

/// The two codes of a block.
struct Codes {
    /// The code of literals, the end of the block, and lengths of matches.
    lengths: HuffmanCode,
    distances: HuffmanCode,
    /// For each value of the next bits, of both codes: how many bits a symbol has with its extra bits, and
    /// [`DISTANCES`] if a distance follows. 0 at the end of the block, and if the code is longer or there is none.
    fast: [u16; 2 * DISTANCES],
}

impl Codes {
    /// The codes with these lengths, 0 for symbols that do not occur.
    fn new(lengths: &[u8], distances: &[u8]) -> Codes {
        let (lengths, distances) = (HuffmanCode::new(lengths), HuffmanCode::new(distances));
        let mut fast = [0; 2 * DISTANCES];
        let (of_lengths, of_distances) = fast.split_at_mut(DISTANCES);
        lengths.look_up(of_lengths, length);
        distances.look_up(of_distances, distance);
        Codes { lengths, distances, fast }
    }

    fn fixed() -> Codes {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Codes::new(&lengths, &[5; 30])
    }

    /// Takes one symbol of a code that was not looked up, without its extra bits.
    #[cold]
    fn decode(&self, code: usize, bits: &mut Bits) -> Option<(Step, u32)> {
        match code {
            DISTANCES => distance(self.distances.decode(bits)?.into()),
            _ => length(self.lengths.decode(bits)?.into()),
        }
    }

    fn read(bits: &mut Bits) -> Option<Codes> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let n_lengths = bits.take(5)? as usize + 257;
        let n_distances = bits.take(5)? as usize + 1;
        let n_own = bits.take(4)? as usize + 4;
        let mut own = [0; 19];
        for at in &ORDER[..n_own] {
            own[*at] = bits.take(3)? as u8;
        }
        let own = HuffmanCode::new(&own);
        let mut lengths = Vec::with_capacity(n_lengths + n_distances);
        while lengths.len() < n_lengths + n_distances {
            bits.fill();
            let (length, times) = match own.decode(bits)? {
                16 => (*lengths.last()?, bits.take(2)? + 3),
                17 => (0, bits.take(3)? + 3),
                18 => (0, bits.take(7)? + 11),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        let (lengths, distances) = lengths.split_at(n_lengths);
        Some(Codes::new(lengths, distances))
    }
}

/// The kind of a skipped symbol.
#[derive(Clone, Copy)]
enum Step {
    Literal,
    End,
    Length,
    Distance,
}

/// The kind of a symbol in the lengths' code, and the number of extra bits that follow it.
fn length(symbol: usize) -> Option<(Step, u32)> {
    match symbol {
        0..END_OF_BLOCK => Some((Step::Literal, 0)),
        END_OF_BLOCK => Some((Step::End, 0)),
        257..=264 | 285 => Some((Step::Length, 0)),
        265..=284 => Some((Step::Length, (symbol as u32 - 261) / 4)),
        _ => None,
    }
}

/// The kind of a symbol in the distances' code, and the number of extra bits that follow it.
fn distance(symbol: usize) -> Option<(Step, u32)> {
    match symbol {
        0..=3 => Some((Step::Distance, 0)),
        4..=29 => Some((Step::Distance, (symbol as u32 - 2) / 2)),
        _ => None,
    }
}

/// A canonical Huffman code.
struct HuffmanCode {
    /// The number of codes of each length.
    counts: [u16; MAX_BITS + 1],
    /// The symbols in the order of their codes.
    symbols: Vec<u16>,
}

impl HuffmanCode {
    /// The code with these lengths, 0 for symbols that do not occur.
    fn new(lengths: &[u8]) -> HuffmanCode {
        let mut counts = [0; MAX_BITS + 1];
        for length in lengths {
            counts[usize::from(*length)] += 1;
        }
        counts[0] = 0;
        let mut symbols: Vec<u16> = (0..).take(lengths.len()).collect();
        symbols.retain(|symbol| lengths[usize::from(*symbol)] > 0);
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]); // and by themselves: it is stable
        HuffmanCode { counts, symbols }
    }

    /// Fills one half of [`Codes::fast`], which is all 0.
    fn look_up(&self, fast: &mut [u16], meaning: fn(usize) -> Option<(Step, u32)>) {
        let mut symbols = self.symbols.iter();
        let mut next = 0_usize;
        for (n, count) in (0..).zip(self.counts).skip(1).take(FAST_BITS as usize) {
            next <<= 1;
            for symbol in symbols.by_ref().take(count.into()) {
                // Codes are sent with the highest bit first.
                let first = next.reverse_bits() >> (usize::BITS - n);
                next += 1;
                let entry = match meaning(usize::from(*symbol)) {
                    Some((Step::Literal | Step::Distance, n_extra)) => n + n_extra,
                    Some((Step::Length, n_extra)) => (n + n_extra) | DISTANCES as u32,
                    Some((Step::End, _)) | None => continue,
                };
                for at in (first..fast.len()).step_by(1 << n) {
                    fast[at] = entry as u16;
                }
            }
        }
    }

    /// Takes one symbol; its 15 bits must be buffered.
    fn decode(&self, bits: &mut Bits) -> Option<u16> {
        // Codes of one length are consecutive numbers, and follow those of the length before.
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.drop(1) as usize;
            let count = usize::from(*count);
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(stream: &[u8], expected: Option<Range<usize>>) {
        assert_eq!(last(stream), expected, "{stream:02x?}");
    }

    #[test]
    fn the_only_block_is_the_last() {
        check(b"\x03\x00", Some(0..10)); // fixed codes, empty
        check(b"\x4b\x04\x00", Some(0..18)); // "a"
        check(b"\x4b\x84\x03\x00", Some(0..30)); // "a", and a match of length 9 and distance 1
        check(b"\x01\x02\x00\xfd\xffab", Some(0..56)); // stored
    }

    #[test]
    fn blocks_before_the_last_are_walked() {
        // A stored block, an empty fixed block that ends in the middle of a byte, and another fixed block.
        check(b"\x00\x02\x00\xfd\xffab\x02\x0c\x00", Some(66..76));
        // The second block is stored, and so begins at the next byte.
        check(b"\x02\x04\x00\x00\xff\xff", Some(10..48));
    }

    #[test]
    fn what_is_no_whole_stream_has_no_last_block() {
        check(b"", None);
        check(b"\x4b\x04", None); // cut
        check(b"\x02\x00", None); // no last block
        check(b"\x03\x00\x00", None); // goes on
        check(b"\x07\x00", None); // no such kind of block
        check(b"\x01\x02\x00\xfd\xffa", None);
        check(b"\x05\x00", None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked(stream in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = last(&stream);
        }
    }
}
