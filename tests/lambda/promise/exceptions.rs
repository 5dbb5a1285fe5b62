//! Answers that differ from what happens, each with the reason why only execution can tell.

use crate::promise::Wrong;

/// An answer that may be wrong.
pub struct Exception {
    /// The row.
    pub row: &'static str,
    /// What is wrong with it.
    pub wrong: Wrong,
    /// The questions, as they are printed.
    pub questions: &'static [&'static str],
    /// Why only execution can tell.
    #[allow(dead_code, reason = "it is for the reader")]
    pub why: &'static str,
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        row: "lazy_call_that_happens",
        wrong: Wrong::Fails,
        questions: ALL,
        why: "A jump slot is bound by the first call (elf/dl-runtime.c), and whether that comes is the program's \
              affair; the answer has a warning that names the symbol.",
    },
    Exception {
        row: "bad_copy_beside_a_lazy_program",
        wrong: Wrong::Fails,
        questions: JUDGED,
        why: "As `lazy_call_that_happens`.",
    },
    Exception {
        row: "no_versym_lazy_symbol_there",
        wrong: Wrong::Fails,
        questions: ALL,
        why: "The assertion of check_match (elf/dl-lookup.c) is in the lookup of a jump slot, which only a call \
              makes; the answer has a warning.",
    },
    Exception {
        row: "opened_lazily_lacks_a_function",
        wrong: Wrong::Starts,
        questions: ALL,
        why: "The mode is an argument of dlopen; RTLD_NOW is assumed, with which it fails.",
    },
    Exception {
        row: "opened_wants_what_another_opened_globally_has",
        wrong: Wrong::Starts,
        questions: ALL,
        why: "RTLD_GLOBAL is an argument of dlopen, and the order of the calls is the program's affair.",
    },
];

const ALL: &[&str] = &["table", "captured", "verify, table", "verify, captured"];
/// Those about an archive of others.
const JUDGED: &[&str] = &["verify, table", "verify, captured"];
