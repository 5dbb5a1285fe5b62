//! Findings about files that cannot be edited as planned.

use crate::audit::{Code, Finding};
use crate::repair::{Edits, Refusal};

/// Reports that the editor refuses the file `name`.
pub fn not_editable(name: &str, edits: &Edits, refusal: &Refusal) -> Finding {
    let aim = match edits.unbind.is_empty() {
        true => "the bundle's libraries load first",
        false => "its references are bound to the runtime's glibc",
    };
    let message = format!("`{name}` must be edited so that {aim}, but cannot be");
    Finding::new(Code::NotEditable, name, message)
        .detail(refusal.to_string())
        .help("link it again with another linker (`-C link-arg=-fuse-ld=bfd`)")
}
