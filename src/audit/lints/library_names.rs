//! Names of libraries among the constants of a program: C's texts, which end with a NUL, and those of Rust and Go,
//! which follow each other without anything between them.

use std::ops::Range;

/// More names than any program opens.
pub const MAX_NAMES: usize = 256;
/// Longer names are ignored.
const MAX_NAME: usize = 64;
/// The bytes around `.so` that are looked at: a name before it, with the byte before that, or a version behind it.
pub const MOST_AROUND: usize = 2 * MAX_NAME;

/// Finds names such as `libz.so.1` and `libpdfium.so` in a place `within` these bytes, with or without a directory
/// before them.
pub fn library_names(constants: &[u8], within: Range<usize>) -> Vec<String> {
    let found = memchr::memmem::find_iter(constants, SUFFIX).filter(|at| within.contains(at));
    found.filter_map(|at| name_around(constants, at)).take(MAX_NAMES).collect()
}

const SUFFIX: &[u8] = b".so";

fn name_around(constants: &[u8], at: usize) -> Option<String> {
    let tail = &constants[at + SUFFIX.len()..];
    let version = version(tail);
    if version.is_empty() && !ends_name(tail) {
        return None;
    }
    let first = at.saturating_sub(MAX_NAME);
    let head = &constants[first..at];
    let start = head.iter().rposition(|byte| !is_of_name(*byte)).map(|at| at + 1);
    let mut begin = start.unwrap_or(0);
    // A name may follow another one.
    if let Some(other) = memchr::memmem::rfind(&head[begin..], SUFFIX) {
        let behind = begin + other + SUFFIX.len();
        begin = behind + self::version(&head[behind..]).len();
    }
    // A name of which the start is seen is complete; else another text may stand before it.
    let is_whole = (begin > 0 || first == 0) && head[begin..].starts_with(b"lib");
    if !is_whole {
        // The last `lib` with something behind it.
        let stems = memchr::memmem::rfind_iter(&head[begin..], b"lib");
        begin += stems.into_iter().find(|stem| begin + stem + "lib".len() < head.len())?;
    }
    // The name of a Debian package, which ends with a number, may stand before a name: `libexpat1libxcb.so.1`.
    let mut stems = memchr::memmem::rfind_iter(&head[begin..], b"lib");
    if let Some(stem) = stems.find(|stem| *stem > 0 && head[begin + stem - 1].is_ascii_digit()) {
        begin += stem;
    }
    let before = constants[..first + begin].last();
    // A file name in a sentence is not opened by this text.
    if version.is_empty() && before.is_some_and(|byte| b" \"'`(".contains(byte)) {
        return None;
    }
    let stem = std::str::from_utf8(&head[begin..]).ok().filter(|stem| stem.len() > "lib".len())?;
    Some(format!("{stem}.so{}", std::str::from_utf8(version).ok()?))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte)
}

/// The version at the start of a text, with its dot, such as `.1.2`; empty if there is none.
fn version(text: &[u8]) -> &[u8] {
    if !matches!(text, [b'.', digit, ..] if digit.is_ascii_digit()) {
        return &[];
    }
    let most = &text[..text.len().min(MAX_NAME)];
    let length = most.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let dots = most[..length].iter().rev().take_while(|byte| **byte == b'.').count();
    &most[..length - dots]
}

/// Whether a name without a version may end before this text: at the end of a C text, or where another text begins.
fn ends_name(tail: &[u8]) -> bool {
    /// What follows `.so` in other words, such as `lib.source`.
    const WORDS: [&[u8]; 7] = [b"ck", b"ft", b"lut", b"lve", b"me", b"rt", b"urce"];
    match tail.first() {
        None => true,
        Some(b'.' | b'_' | b'-' | b'0'..=b'9') => false,
        Some(_) => !WORDS.iter().any(|word| tail.starts_with(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(constants: &str, expected: &[&str]) {
        assert_eq!(library_names(constants.as_bytes(), 0..constants.len()), expected, "{constants:?}");
    }

    #[test]
    fn texts_of_c() {
        check("\0libz.so.1\0", &["libz.so.1"]);
        check("\0libpdfium.so\0", &["libpdfium.so"]);
        check("\0/usr/lib/softhsm/libsofthsm2.so\0", &["libsofthsm2.so"]);
        check("\0libclntsh.so.11.1\0libclntsh.so\0", &["libclntsh.so.11.1", "libclntsh.so"]);
        check("\0libcalib-2.0.so.0\0", &["libcalib-2.0.so.0"]);
    }

    #[test]
    fn texts_that_follow_each_other() {
        check("libsofthsm2.solibvulkan.so.1", &["libsofthsm2.so", "libvulkan.so.1"]);
        check("/usr/lib/liba.so.1libb.so.2", &["liba.so.1", "libb.so.2"]);
        check("beforelibonnxruntime.sobehind", &["libonnxruntime.so"]);
        check("ORT_DYLIB_PATHlibonnxruntime.so/tmp", &["libonnxruntime.so"]);
        check("liba.so.1.libb.so.2.", &["liba.so.1", "libb.so.2"]);
        check("xlibcalib.so.0", &["libcalib.so.0"]);
        check("\0libatk1.0-0libdbus-1.so.3libexpat1libxcb.so.1", &["libdbus-1.so.3", "libxcb.so.1"]);
        check("\0libglib-2.0.so.0\0libcalib1.so", &["libglib-2.0.so.0", "libcalib1.so"]);
    }

    #[test]
    fn texts_that_are_no_names() {
        check("\0no libfnord.so\0", &[]);
        check("\0lib.so.1\0", &[]);
        check("\0lib/foo.source\0libfoo.source\0libfoo.sock\0", &[]);
        check("\0libfoo.so.conf\0", &[]);
        check("\0foo.so\0", &[]);
        check("\0lib.so\0", &[]);
    }
}
