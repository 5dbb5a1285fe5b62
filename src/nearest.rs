//! What was probably meant by a name that nothing has.

/// The name most like `wanted`, if one is like it: at most one edit in three characters.
///
/// Of several names that are equally like it, the first in sorted order.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (n_edits, name) = names.into_iter().map(|name| (n_edits(wanted, name), name)).min()?;
    (n_edits <= (wanted.chars().count() / 3).max(1)).then_some(name)
}

/// The names, those most like `wanted` first; names equally like it keep their order.
pub fn nearest_first<'a>(wanted: &str, names: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = names.to_vec();
    sorted.sort_by_cached_key(|name| n_edits(wanted, name));
    sorted
}

/// How many characters to insert, remove or replace to get from one name to the other (Levenshtein).
fn n_edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // Of an absurdly long name the start will do.
    for (i, a) in from.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_meant_is_first() {
        let known = ["provided.al2023", "nodejs20.x", "nodejs22.x", "python3.12", "python3.13", "image:al2"];
        for (name, first) in [
            ("nodejs22", "nodejs22.x"),
            ("node20.x", "nodejs20.x"),
            ("python313", "python3.13"),
            ("provided.al2024", "provided.al2023"),
            ("al2", "image:al2"),
        ] {
            assert_eq!(nearest_first(name, &known)[0], first, "{name}");
        }
        assert_eq!(nearest_first("", &["aa", "bb"]), ["aa", "bb"]);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((n_edits(a, b), n_edits(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
