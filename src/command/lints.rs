//! Where the lints' bytes come from: files of this machine, or members of an archive.

use std::borrow::Cow;

use camino::Utf8Path;

use super::proof::{self, Seen};
use crate::archive::Archive;
use crate::audit::lints::{self, File};
use crate::audit::{Code, Finding, Subject};
use crate::disk;
use crate::elf::{Linkage, file_name};
use crate::lambda::{MemberContent, Walked};
use crate::layout::BundleKind;
use crate::plan::BundlePlan;

/// The lints' findings about a program and what is shipped with it.
pub(super) fn of_plan(
    subject: &Subject,
    plan: &BundlePlan,
    kind: BundleKind,
    program: &[u8],
) -> Vec<Finding> {
    let program = File::new(subject.name, subject.program, program.len() as u64, || Cow::Borrowed(program));
    let shipped = plan.shipped.iter().filter(|library| library.link_to.is_none());
    let libraries: Vec<File> = shipped
        .map(|library| {
            let path = Utf8Path::new(&library.source);
            // A file that has gone is an error to who ships it; here it has nothing to say.
            let size = disk::open(path).map_or(0, |(_, size)| size);
            let read = || Cow::Owned(disk::read(path).unwrap_or_default());
            File::new(&library.name, &library.facts, size, read)
        })
        .collect();
    of_kind(lints::lint(subject, &plan.walks, &program, &libraries), kind)
}

/// Only a function asks for requests by itself.
fn of_kind(mut findings: Vec<Finding>, kind: BundleKind) -> Vec<Finding> {
    findings.retain(|finding| kind == BundleKind::Function || finding.code != Code::NotARuntime);
    findings
}

/// The lints' findings about the program at a path on Lambda, and the archive's libraries.
pub(super) fn of_archive(
    subject: &Subject,
    walks: &[Walked],
    read: &Archive<Seen>,
    kind: BundleKind,
    program: &str,
) -> Vec<Finding> {
    let bytes = |path: &str| {
        let name = path.strip_prefix(kind.root()).unwrap_or(path).trim_start_matches('/');
        proof::entry(read, name).map_or(&[][..], proof::bytes_of)
    };
    let library = |path, facts| {
        let bytes = bytes(path);
        File::new(file_name(path), facts, bytes.len() as u64, move || Cow::Borrowed(bytes))
    };
    let members = subject.members.iter().filter_map(|member| match &member.content {
        MemberContent::Object(facts) => Some((member.path.as_str(), &**facts)),
        _ => None,
    });
    let libraries: Vec<File> = members
        .filter(|(_, facts)| facts.linkage() == Linkage::SharedLibrary)
        .map(|(path, facts)| library(path, facts))
        .collect();
    let bytes = bytes(program);
    let program = File::new(subject.name, subject.program, bytes.len() as u64, || Cow::Borrowed(bytes));
    of_kind(lints::lint(subject, walks, &program, &libraries), kind)
}
