//! The lines of a baseline's text: a key and its values.

use memchr::memchr2;

use crate::date;
use crate::error::{Error, Result};
use crate::paths;

/// Splits a text at the first space or tab, which separate a key from its values, and the values from each other.
fn split_blank(text: &str) -> Option<(&str, &str)> {
    let at = memchr2(b' ', b'\t', text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether a text has a control character other than a tab, which separates values.
pub(super) fn has_control(text: &str) -> bool {
    // The search has no early exit, which makes it several times faster on texts without control characters.
    let maybe =
        text.bytes().fold(false, |maybe, byte| maybe | (byte < b' ' && byte != b'\t') | (byte > b'~'));
    maybe && text.contains(|char: char| char.is_control() && char != '\t')
}

/// One line that is not a comment.
pub(super) struct TextLine<'a> {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// Whether the value of the whole line has a control character.
    has_control: bool,
}

impl<'a> TextLine<'a> {
    pub(super) fn of_line(line: usize, text: &'a str) -> TextLine<'a> {
        let (key, value) = split_blank(text).unwrap_or((text, ""));
        TextLine { line, key, value: value.trim_ascii_start(), has_control: has_control(value) }
    }

    /// The same line with a part of its value.
    pub(super) fn with<'b>(&self, value: &'b str) -> TextLine<'b>
    where
        'a: 'b,
    {
        TextLine { value, ..*self }
    }

    /// The number of the line, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("line {}: {what}", self.line))
    }

    /// The value of the line, which must not be empty. It may contain spaces.
    pub(super) fn text(&self) -> Result<&'a str> {
        match self.value {
            "" => Err(self.error(format_args!("`{}` needs a value", shown(self.key)))),
            _ if self.has_control => {
                Err(self.error(format_args!("`{}` has a control character in its value", shown(self.key))))
            }
            value => Ok(value),
        }
    }

    /// The values of the line, at least one, separated by spaces.
    pub(super) fn words(&self) -> Result<impl Iterator<Item = &'a str> + use<'a>> {
        Ok(self.text()?.split_ascii_whitespace())
    }

    /// The only value of the line.
    pub(super) fn word(&self) -> Result<&'a str> {
        match self.text()? {
            value if split_blank(value).is_some() => {
                Err(self.error(format_args!("`{}` takes one value", shown(self.key))))
            }
            value => Ok(value),
        }
    }

    /// The first of two values, and the rest of the line.
    pub(super) fn word_and_rest(&self, form: &str) -> Result<(&'a str, &'a str)> {
        match split_blank(self.text()?) {
            Some((word, rest)) => Ok((word, rest.trim_ascii_start())),
            None => Err(self.error(format_args!("expected `{} {form}`", self.key))),
        }
    }

    /// The only value of the line, which `known` must accept.
    pub(super) fn one_of<T>(&self, expected: &str, known: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let word = self.word()?;
        known(word)
            .ok_or_else(|| self.error(format_args!("`{}` is {expected}, not `{}`", self.key, shown(word))))
    }

    pub(super) fn file_name(&self) -> Result<String> {
        self.one_of("a file name", |word| {
            let inside = !word.contains('/') && word != "." && word != "..";
            inside.then(|| word.to_owned())
        })
    }

    pub(super) fn absolute(&self) -> Result<String> {
        self.one_of("an absolute path", |word| word.starts_with('/').then(|| word.to_owned()))
    }

    /// The only value of the line: an absolute path without `.`, `..` and empty parts.
    pub(super) fn path(&self) -> Result<String> {
        self.one_of("a plain absolute path", |word| (paths::normalize(word) == word).then(|| word.to_owned()))
    }

    /// Returns `value` if the only value of the line is `yes`.
    pub(super) fn yes<T>(&self, value: T) -> Result<T> {
        self.one_of("yes or absent", |word| (word == "yes").then_some(value))
    }

    pub(super) fn date(&self) -> Result<String> {
        self.one_of("a date like 2026-11-21", |word| date::is_day(word).then(|| word.to_owned()))
    }

    /// Sets `place`, which a text may set only once.
    pub(super) fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<()> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.error(format_args!("a second `{}`", self.key))),
        }
    }

    pub(super) fn unknown_key(&self, block: &str) -> Error {
        self.error(format_args!("`{}` is not a key of {block}", shown(self.key)))
    }
}

/// Makes a word of the text fit for a message: short, and without control characters.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(80).map(|char| if char.is_control() { '?' } else { char }).collect()
}
