//! One page of explanation for each code, as `explain CODE` prints it.

use super::Code;

macro_rules! pages {
    ($($name:literal)+) => {
        const PAGES: &[(&str, &str)] = &[$(($name, include_str!(concat!("pages/", $name, ".md")))),+];
    };
}

pages! {
    "missing-library" "version-too-new" "interpreter-missing" "broken-static-pie" "relr-unsupported"
    "undefined-symbol" "static-tls" "wrong-arch" "not-elf" "not-executable" "repair-conflict" "not-editable" "libc-mixed"
    "size-limit" "size-budget" "size-grown" "bootstrap-missing" "not-started" "version-recent" "version-unknown" "version-skew" "glibc-rebound"
    "libc-bundled" "shadowed"
    "doubtful-library" "static-glibc-nss" "dlopen" "ca-bundle" "cpu-level" "companion-data" "not-a-runtime"
    "stale-binary" "names-only" "baseline-old" "runtime-deprecated" "suspicious-include" "template-mismatch"
    "template-unknown" "direct-upload-limit" "crates-unknown"
}

/// Returns the page of a code in Markdown: its meaning, the cause, how to see it, what to do. A test checks that no
/// page is empty.
pub fn page(code: Code) -> &'static str {
    PAGES.iter().find(|(name, _)| *name == code.as_str()).map_or("", |(_, page)| page)
}
