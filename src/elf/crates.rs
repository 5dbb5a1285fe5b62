//! The crates of a Rust program, by the names of its functions and variables in `.symtab`.
//!
//! A name begins with the crate that has the source of the item: a generic function counts for the crate that has its
//! text, not for the one that uses it. Only reports use this.

use std::collections::BTreeMap;

use goblin::elf64::section_header::SHT_SYMTAB;
use goblin::elf64::sym::{SIZEOF_SYM, STT_FUNC, STT_OBJECT, Sym};

use super::records::decode;
use super::sections::symbol_table;

/// The name under which symbols of no crate are counted: those of C, C++ and assembler.
pub const NO_CRATE: &str = "(no crate)";

/// The number of crates that are listed at most; the smallest are left out.
const MAX_CRATES: usize = 1_000;

/// More than any mangled name has that linkers keep.
const MAX_NAME: usize = 4_096;

/// The sizes in bytes of the functions and variables of each crate; empty if the file has no symbols of Rust.
///
/// Bytes that several symbols share are counted once.
pub fn crate_sizes(bytes: &[u8]) -> BTreeMap<String, u64> {
    let (table, names) = symbol_table(bytes, SHT_SYMTAB).unwrap_or_default();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::from([(NO_CRATE.to_owned(), 0)]);
    let mut symbols: Vec<(u64, u64, usize)> = Vec::new();
    for raw in table.chunks_exact(SIZEOF_SYM) {
        let symbol: Sym = decode(raw, 0);
        let kind = symbol.st_info & 0xf;
        if symbol.st_size == 0 || symbol.st_shndx == 0 || !matches!(kind, STT_FUNC | STT_OBJECT) {
            continue;
        }
        let name = names.get(symbol.st_name as usize..).unwrap_or_default();
        let number = match crate_of(name) {
            None => 0,
            Some(name) => {
                let next = numbers.len();
                *numbers.entry(name).or_insert(next)
            }
        };
        symbols.push((symbol.st_value, symbol.st_size, number));
    }
    if numbers.len() == 1 {
        return BTreeMap::new();
    }
    // Of symbols at one address, a crate's comes first.
    symbols.sort_unstable_by_key(|(address, size, number)| (*address, *number == 0, *size));
    let mut sizes = vec![0u64; numbers.len()];
    let mut counted = 0;
    for (address, size, number) in symbols {
        // No symbol is larger than the file, whatever its table says.
        let end = address.saturating_add(size.min(bytes.len() as u64));
        sizes[number] = sizes[number].saturating_add(end.saturating_sub(address.max(counted)));
        counted = counted.max(end);
    }
    let mut crates: Vec<(String, u64)> = numbers
        .into_iter()
        .map(|(name, number)| (name, sizes[number]))
        .filter(|(_, size)| *size > 0)
        .collect();
    crates.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
    crates.truncate(MAX_CRATES);
    crates.into_iter().collect()
}

/// The crate of a mangled name, which ends with a NUL.
fn crate_of(name: &[u8]) -> Option<String> {
    match name {
        [b'_', b'R', path @ ..] => crate_of_path(path),
        [b'_', b'Z', b'N', rest @ ..] => {
            let rest = &rest[..rest.len().min(MAX_NAME)];
            crate_of_legacy(&rest[..memchr::memchr(0, rest)?])
        }
        _ => None,
    }
}

/// The first crate of a name in the v0 form. All before it are tags and numbers.
///
/// Source: "v0 Symbol Format" in the rustc book.
fn crate_of_path(mut path: &[u8]) -> Option<String> {
    loop {
        let (tag, rest) = path.split_first()?;
        path = match tag {
            b'C' => {
                return identifier(disambiguated(rest)?, true).map(str::to_owned);
            }
            b'N' => rest.get(1..)?,
            // The path of the block of an `impl`.
            b'M' | b'X' => disambiguated(rest)?,
            // References, with their lifetime or without.
            b'R' | b'Q' => match rest.strip_prefix(b"L") {
                Some(rest) => base_62(rest)?,
                None => rest,
            },
            b'G' => base_62(rest)?,
            // Traits, generic arguments, pointers, slices, tuples, trait objects and their ends; types without a name.
            b'Y' | b'I' | b'P' | b'O' | b'S' | b'A' | b'T' | b'D' | b'E' | b'a'..=b'r' | b't'..=b'z' => rest,
            _ => return None,
        };
    }
}

/// Skips the number that tells alike names apart.
fn disambiguated(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(b"s").map_or(Some(path), base_62)
}

fn base_62(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().take(16).position(|byte| *byte == b'_')?;
    path[..end].iter().all(u8::is_ascii_alphanumeric).then(|| &path[end + 1..])
}

/// The identifier behind its length.
fn identifier(path: &[u8], has_separator: bool) -> Option<&str> {
    let n_digits = path.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(&path[..n_digits]).ok()?.parse().ok()?;
    let rest = &path[n_digits..];
    let rest = rest.strip_prefix(b"_").filter(|_| has_separator).unwrap_or(rest);
    let name = std::str::from_utf8(rest.get(..length)?).ok()?;
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || "_$.".contains(char);
    (length > 0 && name.chars().all(is_of_name)).then_some(name)
}

/// The crate of a name in the older form, behind `_ZN`. C++ has the same form without a hash at its end.
///
/// Source: rustc_symbol_mangling's `legacy.rs`.
fn crate_of_legacy(name: &[u8]) -> Option<String> {
    // LLVM adds suffixes, such as `.llvm.123`, behind the end.
    let has_hash = |at: usize| {
        let rest = &name[at..];
        rest.len() >= 20 && rest[19] == b'E' && rest[3..19].iter().all(u8::is_ascii_hexdigit)
    };
    memchr::memmem::rfind(name, b"17h").filter(|at| has_hash(*at))?;
    let first = identifier(name, false)?;
    if !first.contains(['$', '.']) {
        return Some(first.to_owned());
    }
    let mut text = first.strip_prefix('_').unwrap_or(first).to_owned();
    for (escape, meant) in [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$LP$", "("),
        ("$u20$", " "),
        ("$u5b$", "["),
        ("..", "::"),
    ] {
        text = text.replace(escape, meant);
    }
    // `<TYPE as TRAIT>`: a type parameter, a slice or a number has no crate, so the trait's counts.
    text.split(" as ").take(2).find_map(head)
}

/// The first word of a path, behind what makes references and pointers.
fn head(mut text: &str) -> Option<String> {
    text = text.trim_start_matches(['<', '&', '*', '(', '[']);
    for word in ["mut ", "const ", "dyn "] {
        text = text.strip_prefix(word).unwrap_or(text);
    }
    let (word, _) = text.split_once("::")?;
    let is_word = !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let name = format!("{name}\0");
        assert_eq!(crate_of(name.as_bytes()).as_deref(), expected, "{name}");
    }

    #[test]
    fn names_lead_to_the_crate_of_their_source() {
        check("_RNvCs1234_7mycrate3foo", Some("mycrate"));
        check("_RNvMs_NtCsabc_5alloc5sliceSh6repeat", Some("alloc"));
        check("_RNvYjNtNtCs1_5serde2de11Deserialize3new", Some("serde"));
        check("_RINvNtCs2_4core3ptr13drop_in_placeNtCs3_3app1XEB5_", Some("core"));
        check("_RNvC8__hidden1f", Some("_hidden1"));
        check("_RNvC", None);
        check("_R", None);
        check("_ZN4core3fmt5write17h0123456789abcdefE", Some("core"));
        check("_ZN4core3fmt5write17h0123456789abcdefE.llvm.77", Some("core"));
        let legacy = |first: &str| format!("_ZN{}{first}3fmt17h0123456789abcdefE", first.len());
        check(&legacy("_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..fmt..Debug$GT$"), Some("alloc"));
        check(&legacy("_$LT$$RF$mut$u20$T$u20$as$u20$app..Named$GT$"), Some("app"));
        check(&legacy("_$LT$T$u20$as$u20$T$GT$"), None);
        check("_ZN99app17h0123456789abcdefE", None);
        check("_ZN4absl5MutexE", None);
        check("main", None);
    }
}
