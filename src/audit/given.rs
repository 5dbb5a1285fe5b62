//! Libraries that an archive need not have: those that a language's runtime may bring itself, and those of tracing.

use super::{Finding, Owner, Severity, Subject};
use crate::baseline::node_abi;
use crate::elf::Linkage;
use crate::paths::file_name;

/// Turns a finding about a missing library into a warning if the process that opens the library's user may bring it, or
/// does without.
///
/// A module of Python may need libpython, and a module of Node.js libnode: the process that opens it is the language's
/// own program, which may be linked to that library, too. It is not known whether the runtime's program is.
///
/// .NET opens `libcoreclrtraceptprovider.so` for tracing with LTTng, and starts without it if that fails.
///
/// Source: `PAL_InitializeTracing` in dotnet/runtime's src/coreclr/pal/src/misc/tracepointprovider.cpp.
pub(super) fn weighed(subject: &Subject, finding: Finding) -> Finding {
    let is_library = subject.program.linkage() == Linkage::SharedLibrary;
    let Some(soname) = finding.soname.as_deref().filter(|_| is_library) else { return finding };
    if file_name(&finding.object) == "libcoreclrtraceptprovider.so" && soname.starts_with("liblttng-ust.so") {
        let finding = finding.detail("only tracing with LTTng needs it");
        return Finding { severity: Severity::Warning, help: None, cause: None, ..finding };
    }
    let runtime = &subject.lambda.baseline.runtime;
    if !matches!(subject.owner, Owner::Archive) || !is_of_language(soname, runtime) {
        return finding;
    }
    let message = format!("`{}` needs `{soname}`; whether {runtime} brings it is not known", finding.object);
    let help =
        format!("link it without `{soname}`; or if {runtime} has it, say so: `--assume-present {soname}`");
    let finding = Finding { cause: None, message, details: Vec::new(), help: Some(help), ..finding };
    Finding { severity: Severity::Warning, leaves_open: true, ..finding }
}

/// Whether a library is the language itself, of the runtime's version.
fn is_of_language(soname: &str, runtime: &str) -> bool {
    if let Some(version) = runtime.strip_prefix("python") {
        return soname == "libpython3.so" || soname.starts_with(&format!("libpython{version}.so"));
    }
    node_abi(runtime).is_some_and(|abi| soname == format!("libnode.so.{abi}"))
}
