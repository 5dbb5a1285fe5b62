//! Answers that differ from what happens, each with the reason why only execution can tell.

use cargo_lambda_bundle::elf::Arch;

/// An answer that may be wrong.
pub struct Exception {
    /// The row.
    pub row: &'static str,
    /// The question, as it is printed.
    pub question: &'static str,
    /// Where it is wrong, if not on both.
    pub arch: Option<Arch>,
    /// Why only execution can tell.
    #[allow(dead_code, reason = "it is for the reader")]
    pub why: &'static str,
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[];
