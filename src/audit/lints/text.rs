//! Text in the bytes of a program.

/// Longer texts are not looked at as a whole.
const MAX_TEXT: usize = 4096;
/// More finds than these are not looked at.
const MAX_FINDS: usize = 4096;

/// Whether the bytes hold this.
pub fn holds(bytes: &[u8], wanted: &str) -> bool {
    memchr::memmem::find(bytes, wanted.as_bytes()).is_some()
}

/// The texts, as C ends them, that hold `wanted`: from the NUL before it to the one behind it.
pub fn c_strings<'a>(bytes: &'a [u8], wanted: &'a str) -> impl Iterator<Item = &'a str> {
    memchr::memmem::find_iter(bytes, wanted.as_bytes()).take(MAX_FINDS).filter_map(|at| {
        let start = at.saturating_sub(MAX_TEXT);
        let start = memchr::memrchr(0, &bytes[start..at]).map_or(start, |found| start + found + 1);
        let tail = &bytes[start..bytes.len().min(at + MAX_TEXT)];
        std::str::from_utf8(&tail[..memchr::memchr(0, tail)?]).ok()
    })
}
