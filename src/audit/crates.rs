//! The finding about a program that does not tell its crates.

use super::{Code, Finding, Severity};
use crate::elf::auditable::CrateRecord;

/// Returns a finding if a Rust program does not tell its crates to the bill of materials; `is_rust` if it is known to be
/// one.
pub fn crates_unknown(name: &str, record: &CrateRecord, is_rust: bool) -> Option<Finding> {
    match record {
        CrateRecord::Missing { is_rust: has_mark } if is_rust || *has_mark => {
            let message = format!("`{name}` records no crates, so the bill of materials lists none of them");
            let help = "build it with `cargo auditable build --release` (cargo-auditable)";
            Some(Finding::new(Code::CratesUnknown, name, message).help(help))
        }
        CrateRecord::Damaged(why) => {
            let message = format!(
                "the crates that `{name}` records in `.dep-v0` cannot be read: {why}; the bill of materials lists none of them"
            );
            let help = "build it again with `cargo auditable build --release`";
            let finding = Finding::new(Code::CratesUnknown, name, message).help(help);
            Some(Finding { severity: Severity::Warning, ..finding })
        }
        CrateRecord::Missing { .. } | CrateRecord::Crates(_) => None,
    }
}
