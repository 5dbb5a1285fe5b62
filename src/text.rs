//! Text for people and for documents: one rule for each way of writing.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text from files with control characters as `\xNN`, so that a name cannot drive a terminal.
///
/// Words longer than PATH_MAX are cut in the middle.
pub fn printable(text: &str) -> String {
    /// Linux's PATH_MAX.
    const LONGEST: usize = 4096;
    const SHOWN: usize = 40;

    let mut clean = String::with_capacity(text.len());
    for word in text.split_inclusive(' ') {
        if word.len() > LONGEST {
            let n_skipped = word.chars().count().saturating_sub(2 * SHOWN);
            push_printable(&mut clean, word.chars().take(SHOWN));
            let _ = write!(clean, "...({n_skipped} more)...");
            push_printable(&mut clean, word.chars().skip(SHOWN + n_skipped));
        } else {
            push_printable(&mut clean, word.chars());
        }
    }
    clean
}

fn push_printable(clean: &mut String, text: impl Iterator<Item = char>) {
    for character in text {
        if is_hidden(character) {
            let _ = write!(clean, "\\x{:02x}", character as u32);
        } else {
            clean.push(character);
        }
    }
}

/// Whether a character is not seen, but acts on those that are.
pub fn is_hidden(character: char) -> bool {
    // The bidirectional controls can make a name look like another one.
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes as text; those that are not UTF-8, and control characters, as `\xNN`.
///
/// A library whose file name has one of them is not found.
pub fn from_bytes(bytes: &[u8]) -> String {
    of_bytes(bytes).into_owned()
}

/// As [`from_bytes`], without a copy if no byte has to be written in another way.
pub fn of_bytes(bytes: &[u8]) -> Cow<'_, str> {
    // Names of a linker's making are plain ASCII, and there are thousands of them.
    let is_plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if let Ok(text) = std::str::from_utf8(bytes)
        && (is_plain || !text.contains(char::is_control))
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                let mut buffer = [0; 4];
                push_escaped(&mut text, character.encode_utf8(&mut buffer).as_bytes());
            } else {
                text.push(character);
            }
        }
        push_escaped(&mut text, chunk.invalid());
    }
    Cow::Owned(text)
}

fn push_escaped(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// Text with all but letters, digits, `-`, `.`, `_`, `~` and those of `kept` as `%NN`.
///
/// Source: RFC 3986, section 2.
pub fn percent_encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let char = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(char) || (byte.is_ascii() && kept.contains(char)) {
            encoded.push(char);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Bytes as lower-case hexadecimal digits, two for each.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes for people: `1.2 MB` is 1,200,000 bytes.
pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A size that a person wrote, in bytes: `262144000`, `50MB`, `1.5 GB`, `64MiB`. Units count by thousands unless they
/// have an `i`.
pub fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*factor),
        // A part of a byte is no size.
        Err(_) if *factor == 1 => None,
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * *factor as f64;
            (bytes < u64::MAX as f64).then_some(bytes as u64)
        }
    }
}

/// A difference of two sizes, for people: `+1.2 MB`.
pub fn difference(before: u64, after: u64) -> String {
    match after.checked_sub(before) {
        Some(0) => "0".to_owned(),
        Some(more) => format!("+{}", size(more)),
        None => format!("-{}", size(before - after)),
    }
}

/// How long ago, for people.
pub fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// At most three names, then how many more.
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

/// An exact number of bytes, for people.
pub fn n_bytes(n: usize) -> String {
    format!("{n} byte{}", if n == 1 { "" } else { "s" })
}

/// Quotes words for a shell.
pub fn shell_words(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
    let quote = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
