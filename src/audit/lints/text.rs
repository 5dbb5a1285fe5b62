//! Text in the bytes of a program.

use std::ops::Range;

/// Only this many bytes of a longer text are examined.
pub const MAX_TEXT: usize = 4096;
/// At most this many matches are examined.
const MAX_FINDS: usize = 4096;

/// Whether the bytes contain this text.
pub fn holds(bytes: &[u8], wanted: &str) -> bool {
    memchr::memmem::find(bytes, wanted.as_bytes()).is_some()
}

/// Which of some texts the pieces contain, in one pass; no text may be a part of another.
pub fn which<'a, const N: usize>(
    texts: [&str; N],
    pieces: impl Iterator<Item = std::borrow::Cow<'a, [u8]>>,
) -> [bool; N] {
    // The packed searcher does not exist for processors without vector instructions.
    let searcher = aho_corasick::packed::Searcher::new(texts);
    let mut found = [false; N];
    for piece in pieces {
        match &searcher {
            Some(searcher) => {
                for at in searcher.find_iter(&*piece) {
                    found[at.pattern().as_usize()] = true;
                }
            }
            None => {
                for (text, found) in texts.iter().zip(&mut found) {
                    *found = *found || holds(&piece, text);
                }
            }
        }
        if found == [true; N] {
            break;
        }
    }
    found
}

/// Returns the NUL-terminated texts that contain `wanted` in a place `within` these bytes.
pub fn c_strings<'a>(
    bytes: &'a [u8],
    within: Range<usize>,
    wanted: &'a str,
) -> impl Iterator<Item = &'a str> {
    let found = memchr::memmem::find_iter(bytes, wanted.as_bytes());
    found.filter(move |at| within.contains(at)).take(MAX_FINDS).filter_map(|at| {
        let start = at.saturating_sub(MAX_TEXT);
        let start = memchr::memrchr(0, &bytes[start..at]).map_or(start, |found| start + found + 1);
        let tail = &bytes[start..bytes.len().min(at + MAX_TEXT)];
        std::str::from_utf8(&tail[..memchr::memchr(0, tail)?]).ok()
    })
}
