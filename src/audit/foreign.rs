//! Files for another machine or another C library than the process that opens them.
//!
//! Packages ship a library in several builds, and load the one that fits: npm's `prebuilds/` and
//! `@scope/name-linux-x64-musl` do. A build that does not fit is only a warning if one that fits is beside it.

use super::{Cause, Code, Finding, Severity, Subject, chain, label, member_name};
use crate::elf::{ElfFacts, Libc};
use crate::lambda::{LambdaWorld, MemberContent, Walked};

/// Reports an object that is linked to another C library than the one in the process.
pub(super) fn other_libc(subject: &Subject, walked: &Walked, index: usize) -> Finding {
    let closure = &walked.closure;
    let label = label(subject, closure, index);
    let own = walked.libc().as_str();
    let linked = closure.objects[index]
        .file
        .object
        .elf()
        .and_then(ElfFacts::needed_libc)
        .unwrap_or(Libc::Unknown)
        .as_str();
    let process = match index {
        0 => format!("{} has {own}", subject.lambda.label()),
        _ => format!("`{}` to {own}", subject.name),
    };
    let message = match index {
        0 => format!("`{label}` is linked to {linked}, but {process}: it cannot be loaded"),
        _ => format!("`{label}` is linked to {linked}, {process}; one process cannot have both"),
    };
    let mut finding = Finding::new(Code::LibcMixed, &label, message);
    finding.chain = chain(subject, closure, index);
    if index > 0 {
        return finding.cause(Cause::objects(format!(
            "are linked to {linked}, {process}; one process cannot have both"
        )));
    }
    weighed(subject, finding.help(format!("put the build of `{label}` for {own} in its place")))
}

/// The message about an object for another machine, and about several.
pub(super) fn other_machine(object: &str, machine: &str, lambda: &LambdaWorld) -> (String, Cause) {
    let rest = format!("for {machine}, the bundle for {}", lambda.arch());
    (format!("`{object}` is {rest}"), Cause::objects(format!("are {rest}")))
}

/// Turns a finding about a library that nothing is known to load into a warning if the bundle has another build of
/// it.
pub(super) fn weighed(subject: &Subject, finding: Finding) -> Finding {
    if subject.program.is_program() {
        return finding;
    }
    match other_build(subject, finding.code) {
        None => finding,
        Some(other) => {
            let finding = finding.detail(format!("`{other}` fits"));
            Finding { severity: Severity::Warning, help: None, ..finding }
        }
    }
}

/// Returns the bundle's file that is another build of this library and fits.
fn other_build<'a>(subject: &Subject<'a>, code: Code) -> Option<&'a str> {
    let family = family(subject.name);
    let is_same =
        |facts: &ElfFacts| code == Code::LibcMixed && facts.needed_libc() == subject.program.needed_libc();
    let fits = |facts: &ElfFacts| {
        facts.arch() == Some(subject.lambda.arch()) && !facts.is_program() && !is_same(facts)
    };
    subject.members.iter().find_map(|member| match &member.content {
        MemberContent::Object(facts) if fits(facts) => {
            let name = member_name(&member.path);
            (name != subject.name && self::family(name) == family).then_some(name)
        }
        _ => None,
    })
}

/// Returns the words of a path that are the same for all builds.
fn family(path: &str) -> Vec<String> {
    const BUILD: [&str; 24] = [
        "linux",
        "linuxmusl",
        "linuxglibc",
        "unknown",
        "musl",
        "glibc",
        "gnu",
        "musleabihf",
        "gnueabihf",
        "x64",
        "x86",
        "64",
        "amd64",
        "ia32",
        "i386",
        "i686",
        "arm",
        "arm64",
        "aarch64",
        "armv6",
        "armv7",
        "armv8",
        "s390x",
        "ppc64",
    ];
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty() && !BUILD.contains(word)).map(str::to_owned).collect()
}
