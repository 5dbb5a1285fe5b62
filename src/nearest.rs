//! Suggestions for misspelt names.

/// The name most similar to `wanted`, if one is similar: at most one edit in three characters.
///
/// Among equally similar names the first in sorted order is taken.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (n_edits, name) = names.into_iter().map(|name| (n_edits(wanted, name), name)).min()?;
    (n_edits <= (start_of(wanted).chars().count() / 3).max(1)).then_some(name)
}

/// The names, the most similar to `wanted` first; equally similar names keep their order.
pub fn nearest_first<'a>(wanted: &str, names: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = names.to_vec();
    sorted.sort_by_cached_key(|name| n_edits(wanted, name));
    sorted
}

/// The Levenshtein distance.
fn n_edits(from: &str, to: &str) -> usize {
    strsim::levenshtein(start_of(from), to)
}

/// The part of an absurdly long name that is compared: the time grows with both lengths.
fn start_of(name: &str) -> &str {
    name.char_indices().nth(100).map_or(name, |(at, _)| &name[..at])
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
}
