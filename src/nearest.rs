//! What was probably meant by a name that nothing has.

/// The name most like `wanted`, if one is like it: at most one edit in three characters.
///
/// Of several names that are equally like it, the first in sorted order.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (n_edits, name) = names.into_iter().map(|name| (n_edits(wanted, name), name)).min()?;
    (n_edits <= (wanted.chars().count() / 3).max(1)).then_some(name)
}

/// How many characters to insert, remove or replace to get from one name to the other (Levenshtein).
fn n_edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
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
