//! Names of runtimes that have no baseline: what is known of them, and which runtimes are meant perhaps.

use super::names;
use crate::nearest::nearest_first;

/// The runtime of functions whose root is an image of the user's own.
///
/// Source: AWS Lambda's API, the value `custom` of Runtime, with a RuntimeConfig (customer-managed runtimes).
pub const CUSTOM: &str = "custom";

/// How to see what a customer-managed runtime has.
pub const CUSTOM_HELP: &str = "unpack the runtime's image, capture it with `cargo lambda-bundle baseline capture --root \
                               <DIR> --name custom -o <FILE>`, and name that with `--baseline <FILE>`";

/// Runtimes whose functions cannot be updated any more, with the day since when.
const RETIRED: &str = include_str!("retired.txt");

/// The day since which no function of this runtime can be updated, if that is why it has no baseline.
pub fn retired(name: &str) -> Option<&'static str> {
    let mut lines = RETIRED.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(known, _)| *known == name).map(|(_, day)| day)
}

/// The three known names that are most similar to `name`: those of its kind with the nearest version, if the kind is
/// known. The newest come first.
pub fn nearest_names(name: &str) -> Vec<&'static str> {
    let mut found = of_kind(name);
    if found.is_empty() {
        found = nearest_first(name, &names().into_iter().rev().collect::<Vec<_>>());
    } else if let Some(wanted) = version(name) {
        found.sort_by_key(|known| version(known).unwrap_or(0).abs_diff(wanted));
    }
    found.truncate(3);
    found
}

/// The three newest names of the kind of `name`.
pub fn newest_names(name: &str) -> Vec<&'static str> {
    let mut found = of_kind(name);
    found.truncate(3);
    found
}

/// The names of the kind of `name`, the newest first.
fn of_kind(name: &str) -> Vec<&'static str> {
    let mut found: Vec<&str> = names().into_iter().filter(|known| kind(known) == kind(name)).collect();
    found.sort_by_key(|known| std::cmp::Reverse(version(known)));
    found
}

/// The version in a name as one number: the first number in it counts more than the second.
fn version(name: &str) -> Option<u64> {
    let mut numbers = name.split(|letter: char| !letter.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next().map(|number| number.parse::<u64>().unwrap_or(0).min(99_999));
    Some(next()? * 100_000 + next().unwrap_or(0))
}

/// The kind of a runtime: `nodejs` of `nodejs22.x`, `provided` of `provided.al2`, `image` of `image:al2`. The words that
/// people use for two of them count as these.
fn kind(name: &str) -> &str {
    match name.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or(name) {
        "al" | "amazon" | "amazonlinux" => "provided",
        "node" => "nodejs",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_of_the_kind() {
        for (name, expected) in [
            ("nodejs28.x", "nodejs26.x nodejs24.x nodejs22.x"),
            ("nodejs22", "nodejs22.x nodejs24.x nodejs20.x"),
            ("java8.al2024", "java8.al2023 java8.al2 java8"),
            ("ruby", "ruby4.0 ruby3.4 ruby3.3"),
            ("python3.16", "python3.15 python3.14 python3.13"),
            ("provided.al2027", "provided.al2023 provided.al2 provided"),
            ("image:al2027", "image:al2023 image:al2"),
            ("go2.x", "go1.x"),
            ("node20.x", "nodejs20.x "),
            ("al2023", "provided.al2023 "),
            ("al2", "provided.al2 "),
            ("amazonlinux2023", "provided.al2023 "),
        ] {
            let found = nearest_names(name).join(" ");
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn retired_runtimes_have_a_day_and_no_baseline() {
        assert_eq!(retired("nodejs12.x"), Some("2023-04-30"));
        assert_eq!(retired("nodejs24.x"), None);
        for (name, day) in
            RETIRED.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
        {
            assert!(!names().contains(&name) && day.len() == 10, "{name} {day}");
        }
    }
}
