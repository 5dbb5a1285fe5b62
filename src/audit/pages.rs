//! One page of explanation for each code, as `explain CODE` prints it, and the messages of Lambda that lead to them.

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

/// Words of Lambda's messages, in small letters, with the findings that explain them. The first that matches wins: a
/// reason comes before `Runtime.InvalidEntrypoint`, which AWS prints beside it.
const PRINTED_BY_AWS: &[(&str, &[Code])] = &[
    ("exec format error", &[Code::WrongArch, Code::NotElf]),
    ("cannot open shared object", &[Code::MissingLibrary]),
    ("' not found", &[Code::VersionTooNew]),
    ("no such file or directory", &[Code::InterpreterMissing]),
    ("permission denied", &[Code::NotExecutable]),
    ("find valid bootstrap", &[Code::BootstrapMissing]),
    ("undefined symbol", &[Code::UndefinedSymbol]),
    ("symbol lookup error", &[Code::UndefinedSymbol]),
    ("segmentation fault", &[Code::BrokenStaticPie, Code::RelrUnsupported]),
    ("illegal instruction", &[Code::CpuLevel]),
    ("invalid elf header", &[Code::NotElf]),
    ("file too short", &[Code::NotElf]),
    ("error while loading shared libraries", &[Code::MissingLibrary]),
    ("exit status 127", &[Code::MissingLibrary]),
    (
        "runtime.invalidentrypoint",
        &[
            Code::WrongArch,
            Code::NotElf,
            Code::InterpreterMissing,
            Code::NotExecutable,
            Code::BootstrapMissing,
        ],
    ),
    ("runtime.exiterror", &[Code::MissingLibrary, Code::VersionTooNew, Code::UndefinedSymbol]),
];

/// Returns the findings that explain a message of Lambda, or an exit status of 127; `None` if it is no such message.
pub fn printed_by_aws(text: &str) -> Option<&'static [Code]> {
    let text = if text == "127" { "exit status 127" } else { text };
    let text = text.to_lowercase();
    PRINTED_BY_AWS.iter().find(|(words, _)| text.contains(words)).map(|(_, codes)| *codes)
}
