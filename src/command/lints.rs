//! Where the lints' bytes come from: files of this machine, or members of an archive.

use std::borrow::Cow;
use std::ops::Range;

use camino::Utf8Path;

use crate::audit::lints::{self, File};
use crate::audit::{Code, Finding, Subject};
use crate::disk;
use crate::elf::{ElfFacts, Linkage};
use crate::lambda::{MemberContent, Walked};
use crate::layout::BundleKind;
use crate::paths::file_name;
use crate::plan::BundlePlan;

/// The lints' findings about a program and what is shipped with it.
pub(super) fn of_plan(
    subject: &Subject,
    plan: &BundlePlan,
    kind: BundleKind,
    program: &Utf8Path,
) -> Vec<Finding> {
    let program = file(subject.name, subject.program, program);
    let shipped = plan.shipped.iter().filter(|library| library.link_to.is_none());
    let libraries: Vec<File> =
        shipped.map(|library| file(&library.name, &library.facts, Utf8Path::new(&library.source))).collect();
    of_kind(lints::lint(subject, &plan.walks, &program, &libraries), kind)
}

/// A file of this machine. One that has gone is an error to who ships it; here it has nothing to say.
fn file<'a>(name: &str, facts: &'a ElfFacts, path: &'a Utf8Path) -> File<'a> {
    let size = disk::size(path).unwrap_or(0);
    File::new(name, facts, size, |range| Cow::Owned(disk::read_part(path, range).unwrap_or_default()))
}

/// Only a function asks for requests by itself.
fn of_kind(mut findings: Vec<Finding>, kind: BundleKind) -> Vec<Finding> {
    findings.retain(|finding| kind == BundleKind::Function || finding.code != Code::NotARuntime);
    findings
}

/// The lints' findings about the program at a path on Lambda, and the archive's libraries, of which `bytes` has
/// the content by their paths.
pub(super) fn of_archive<'a>(
    subject: &Subject,
    walks: &[Walked],
    kind: BundleKind,
    program: &str,
    bytes: impl Fn(&str) -> &'a [u8],
) -> Vec<Finding> {
    let library = |path, facts| {
        let bytes = bytes(path);
        in_memory(file_name(path), facts, bytes)
    };
    let members = subject.members.iter().filter_map(|member| match &member.content {
        MemberContent::Object(facts) => Some((member.path.as_str(), &**facts)),
        _ => None,
    });
    let libraries: Vec<File> = members
        .filter(|(_, facts)| facts.linkage() == Linkage::SharedLibrary)
        .map(|(path, facts)| library(path, facts))
        .collect();
    let program = in_memory(subject.name, subject.program, bytes(program));
    of_kind(lints::lint(subject, walks, &program, &libraries), kind)
}

fn in_memory<'a>(name: &str, facts: &'a ElfFacts, bytes: &'a [u8]) -> File<'a> {
    let part = |range: Range<u64>| Cow::Borrowed(&bytes[range.start as usize..range.end as usize]);
    File::new(name, facts, bytes.len() as u64, part)
}
