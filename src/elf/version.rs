//! Symbol version names: their order for people, and their families.
//!
//! The loader never orders versions; it looks a name up among the names that a library defines. The order is only for
//! lists and messages ("it has up to GLIBC_2.34"). Therefore there is no `satisfies` here.

use std::cmp::Ordering;

/// Orders version names: by family, then by their numbers, then by their text.
///
/// A number is compared as a number (`GLIBC_2.9` before `GLIBC_2.34`) and may have any length. A component
/// without a number comes after all numbers. Two names are equal only if their text is.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (family_a, rest_a) = split(a);
    let (family_b, rest_b) = split(b);
    family_a.cmp(family_b).then_with(|| compare_numbers(rest_a, rest_b)).then_with(|| a.cmp(b))
}

/// The part of a name before its numbers: `GLIBC` for `GLIBC_2.34`, `CXXABI_TM` for `CXXABI_TM_1`.
///
/// A name without `_` and a digit is its own family: `GLIBC_PRIVATE`, `GLIBC_ABI_DT_RELR` and `HIDDEN` are separate
/// from the numbered names, because no order relates them.
pub fn family(node: &str) -> &str {
    split(node).0
}

/// The family, and the text after the first `_` that a digit follows (empty if there is none).
fn split(node: &str) -> (&str, &str) {
    let bytes = node.as_bytes();
    let at =
        (1..bytes.len().saturating_sub(1)).find(|&at| bytes[at] == b'_' && bytes[at + 1].is_ascii_digit());
    match at {
        Some(at) => (&node[..at], &node[at + 1..]),
        None => (node, ""),
    }
}

/// Compares numbers such as `2.34` component by component; `.` and `_` separate alike (`BLKID_2.30`, `BLKID_2_31`).
pub fn compare_numbers(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> impl Iterator<Item = &[u8]> {
        text.as_bytes().split(|byte| matches!(byte, b'.' | b'_'))
    }
    let mut a = parts(a);
    let mut b = parts(b);
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => match compare_component(a, b) {
                Ordering::Equal => {}
                other => return other,
            },
        }
    }
}

/// Compares a number with text after it (`2alpha`), or text alone, which comes last.
fn compare_component(a: &[u8], b: &[u8]) -> Ordering {
    let (number_a, text_a) = leading_number(a);
    let (number_b, text_b) = leading_number(b);
    match (number_a, number_b) {
        (None, None) => a.cmp(b),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        // Without leading zeros the longer number is the larger one, so no number can overflow.
        (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then_with(|| text_a.cmp(text_b)),
    }
}

/// The digits that a component starts with, without leading zeros, and what follows them.
fn leading_number(component: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = component.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(component.len());
    let (digits, text) = component.split_at(end);
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(end);
    ((end > 0).then_some(&digits[start..]), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that each name comes before all that follow it, and equals only itself.
    #[track_caller]
    fn check_order(names: &[&str]) {
        for (i, a) in names.iter().enumerate() {
            for (j, b) in names.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        check_order(&["GLIBC_2.2.5", "GLIBC_2.3", "GLIBC_2.9", "GLIBC_2.10", "GLIBC_2.34"]);
        check_order(&["GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.10", "GLIBCXX_3.4.29"]);
        check_order(&["X_1", "X_18446744073709551615", "X_18446744073709551616"]);
    }

    #[test]
    fn numbers_need_no_name() {
        let numbers = ["0.9.1", "0.11.2", "1.2.9", "1.2.13", "2.4", "2.34"];
        assert!(numbers.is_sorted_by(|a, b| compare_numbers(a, b).is_lt()));
    }

    #[test]
    fn a_longer_name_comes_after_its_start() {
        check_order(&["GCC_14.0", "GCC_14.0.0"]);
        check_order(&["OPENSSL_1.0.1", "OPENSSL_1.0.1_EC", "OPENSSL_1.0.2"]);
    }

    #[test]
    fn text_after_a_number_comes_after_the_number_alone() {
        check_order(&[
            "XZ_5.1.2",
            "XZ_5.1.2alpha",
            "XZ_5.1.2alpha.9",
            "XZ_5.1.2beta.1",
            "XZ_5.1.3",
            "XZ_5.2",
            "XZ_5.2.2",
        ]);
        check_order(&["krb5_3", "krb5_3_4", "krb5_3_MIT"]);
    }

    #[test]
    fn dots_and_underscores_separate_alike() {
        check_order(&["BLKID_2.30", "BLKID_2_31", "BLKID_2_36", "BLKID_2.37"]);
    }

    #[test]
    fn the_family_comes_first() {
        check_order(&[
            "CXXABI_1.3.13",
            "CXXABI_FLOAT128",
            "CXXABI_TM_1",
            "GCC_7.0.0",
            "GLIBC_2.34",
            "GLIBCXX_3.4",
            "GLIBC_ABI_DT_RELR",
            "GLIBC_PRIVATE",
            "HIDDEN",
        ]);
    }

    #[test]
    fn equal_numbers_of_different_text_are_not_equal() {
        check_order(&["X_1.02", "X_1.2", "X_1_2"]);
        check_order(&["", "_", "_1", "a", "a_"]);
    }

    #[test]
    fn families() {
        for (node, expected) in [
            ("GLIBC_2.34", "GLIBC"),
            ("OPENSSL_3.0.0", "OPENSSL"),
            ("OPENSSL_1.0.1_EC", "OPENSSL"),
            ("krb5_3_MIT", "krb5"),
            ("gssapi_krb5_2_MIT", "gssapi_krb5"),
            ("BLKID_2_37", "BLKID"),
            ("LIBTASN1_4_16_0", "LIBTASN1"),
            ("CXXABI_TM_1", "CXXABI_TM"),
            ("GLIBC_ABI_DT_RELR", "GLIBC_ABI_DT_RELR"),
            ("GLIBC_PRIVATE", "GLIBC_PRIVATE"),
            ("CXXABI_FLOAT128", "CXXABI_FLOAT128"),
            ("libcrypto.so.10", "libcrypto.so.10"),
            ("_1", "_1"),
            ("é_2.3", "é"),
            ("", ""),
        ] {
            assert_eq!(family(node), expected, "{node}");
        }
    }
}
