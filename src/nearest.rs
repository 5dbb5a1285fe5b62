//! Which known name was probably meant.

/// The known names, those nearest to `name` first; names equally near keep their order.
///
/// Near is by edit distance: insertions, deletions and replacements of characters.
pub fn nearest_first<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = known.to_vec();
    sorted.sort_by_cached_key(|known| distance(name, known));
    sorted
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Of an absurdly long name the start will do.
    for (at, a) in a.chars().take(100).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
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
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
