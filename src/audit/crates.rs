//! The finding about a program that does not tell its crates.

use super::{Code, Finding, Severity};
use crate::elf::auditable::CrateRecord;

/// Returns a finding if a Rust program does not tell its crates to the bill of materials; `is_rust` if it is known to be
/// one.
pub fn crates_unknown(name: &str, record: &CrateRecord, is_rust: bool) -> Option<Finding> {
    match record {
        CrateRecord::Missing { is_rust: has_mark } if is_rust || *has_mark => {
            let message = format!("`{name}` records no crates, so the bill of materials lists none");
            let help = "build it with `cargo auditable build --release` (cargo-auditable)";
            Some(Finding::new(Code::CratesUnknown, name, message).help(help))
        }
        CrateRecord::Damaged(why) => {
            let message = format!("the record of the crates of `{name}` cannot be read");
            let finding = Finding::new(Code::CratesUnknown, name, message)
                .detail(format!("section `.dep-v0`: {why}"))
                .detail("the bill of materials lists none of them")
                .help("build it again with `cargo auditable build --release`");
            Some(Finding { severity: Severity::Warning, ..finding })
        }
        CrateRecord::Missing { .. } | CrateRecord::Crates(_) => None,
    }
}
