//! The budget of findings: a tired person takes in the first line at a glance.

/// The most characters of a finding's message, without what the user named.
const BUDGET: usize = 100;

/// What a name in backticks counts at most, as if it were a short one.
const NAME: usize = 10;

/// The most characters of a line that is checked: names of hostile files look like prose.
const LONGEST: usize = 1000;

/// Checks a line of stderr if it is the first of a finding.
#[track_caller]
pub fn check_line(line: &str) {
    let Some((severity, rest)) = line.split_once('[') else { return };
    if let ("error" | "warning" | "note", Some((_, message))) = (severity, rest.split_once("]: ")) {
        check_message(message);
    }
}

/// Checks that a finding's message is short.
#[track_caller]
pub fn check_message(message: &str) {
    let n = substance(message);
    assert!(n <= BUDGET || message.len() > LONGEST, "{n} characters; move some to `details`: {message}");
}

/// Counts the characters of a message, of each name at most [`NAME`], without symbol versions, and without the list at
/// the end of a sentence about several objects.
fn substance(message: &str) -> usize {
    let has_number = |text: &str| text.split(' ').any(|word| word.parse::<usize>().is_ok());
    let sentence = message.split_once(": `").map(|(sentence, _)| sentence).filter(|it| has_number(it));
    let of_prose = |text: &str| {
        let words = text.split_inclusive(' ').filter(|word| !is_symbol_version(word));
        words.map(|word| word.chars().count()).sum::<usize>()
    };
    let parts = sentence.unwrap_or(message).split('`').enumerate();
    parts
        .map(|(at, part)| match at % 2 {
            0 => of_prose(part),
            _ => NAME.min(part.chars().count() + 2),
        })
        .sum()
}

/// Whether a word is a symbol version: `GLIBC_2.38`.
fn is_symbol_version(word: &str) -> bool {
    let word = word.trim_matches([' ', ',', ';', '(', ')']);
    let in_family = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
    let is_family = |family: &str| family.chars().all(in_family);
    word.rsplit_once('_').is_some_and(|(family, number)| {
        !family.is_empty() && is_family(family) && number.starts_with(|char: char| char.is_ascii_digit())
    })
}
