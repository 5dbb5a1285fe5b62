//! What `elf` says of files made in code, and of broken ones.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare files")]

mod facts;
mod faults;
mod hostile;
mod kinds;
mod malformed;
mod static_libraries;

use crate::support::elf::*;
use cargo_lambda_bundle::elf::{self, ElfFacts};

/// All that can be known of a file, as one text: for comparing.
fn facts_text(facts: &ElfFacts) -> String {
    format!("{facts:?}")
}

/// The symbols as `name index`, with `=` before those defined and `?` before weak ones.
fn symbol_rows(facts: &ElfFacts) -> Vec<String> {
    let row = |symbol: &elf::Symbol| {
        let (defined, weak) = (if symbol.defined { "=" } else { "" }, if symbol.weak { "?" } else { "" });
        format!("{defined}{weak}{} {:#x}", facts.symbols.name(symbol), symbol.version)
    };
    facts.symbols.iter().map(row).collect()
}

/// Asks every derived answer: none may panic, whatever the file said.
fn ask_everything(facts: &ElfFacts) {
    let _ = (facts.arch(), facts.machine_name(), facts.linkage(), facts.libc(), facts.binds_now());
    for need in facts.verneed.iter().take(50) {
        facts.symbols_needing(&need.file, &[&need.node]);
    }
    symbol_rows(facts);
}

#[track_caller]
fn check_error(bytes: impl AsRef<[u8]>, part_of_message: &str) {
    match elf::parse(bytes.as_ref()) {
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(part_of_message), "{message}");
        }
        Ok(facts) => panic!("no error, but {facts:?}"),
    }
}

/// A plugin with two PT_LOADs: the file, and the same bytes again at the end of the address space.
fn mapped_at_the_end(object: Object) -> (Built, u64) {
    // The header of PT_GNU_STACK becomes the second one.
    let built = object.build();
    let header = built.header(PT_GNU_STACK);
    let size = built.bytes.len() as u64;
    let start = u64::MAX - size + 1;
    let built = built.put_u32(header, PT_LOAD).put_u64(header + 16, start).put_u64(header + 32, size);
    (built, start)
}

/// The file mapped by two PT_LOADs, the second from `split` on: in memory `gap` bytes behind the first, in the file
/// `back` bytes before its end.
fn in_two_parts(object: &Object, split: usize, gap: u64, back: u64) -> Built {
    let built = object.build();
    let (first, second) = (built.header(PT_LOAD), built.header(PT_GNU_STACK));
    let (offset, address) = (split as u64 - back, Built::address(split) + gap);
    let rest = built.bytes.len() as u64 - offset;
    let dynamic = match built.dynamic >= split {
        true => Built::address(built.dynamic) + gap + back,
        false => Built::address(built.dynamic),
    };
    let header = built.header(PT_DYNAMIC);
    let mut built = built.put_u32(second, PT_LOAD).put_u64(header + 16, dynamic);
    for (field, value) in [(8, offset), (16, address), (32, rest), (40, rest), (48, 0x1000)] {
        built = built.put_u64(second + field, value);
    }
    built.put_u64(first + 32, split as u64).put_u64(first + 40, split as u64)
}

/// The object with these bytes at its end, and their address. What changes the size comes before.
fn with_end(object: Object, bytes: &[u8]) -> (Object, u64) {
    let object = object.text(bytes);
    let at = Built::address(object.bytes().len() - bytes.len());
    (object, at)
}
