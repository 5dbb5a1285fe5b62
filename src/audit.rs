//! From walks to findings: what would break on Lambda.
//!
//! The same function audits the walks of a plan and those of anybody's ZIP. A finding is a result about the user's
//! program: it is collected, never returned as an error. Several variants of the Lambda world that show the same
//! problem give one finding.

mod asked;
mod cause;
mod crates;
mod edits;
mod finding;
mod foreign;
mod given;
mod level;
mod libc;
mod limits;
pub mod lints;
mod missing;
mod musl;
pub mod pages;
mod rebound;
mod runtime;
mod symbols;
mod tls;
mod versions;

use std::collections::BTreeSet;

use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, Linkage, version};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, Walked};
use crate::loader::{Closure, Musl, Outcome, Rule, SkipReason};
use crate::paths::file_name;
use crate::plan::{BuildFile, BuildSide, NameClash};
use crate::world::Object;

pub use asked::{
    Asker, BuildOrigins, BuildPackage, LinkedPackage, ReadLibrary, SymbolOrigin, Unread, add_origin,
    has_origin, linked_library, symbols_of,
};
pub use cause::{Cause, FindingGroup, by_cause};
pub use crates::crates_unknown;
pub use edits::not_editable;
pub use limits::{
    MaxGrowth, MaxSize, SizedFile, budget_finding, direct_upload_finding, growth_finding, size_finding,
};
pub use rebound::rebound_findings;
pub use runtime::{
    arch_assertion, arch_not_offered, bootstrap_not_started, code_not_seen, perhaps_in_layer,
    runtime_findings, stale_binary,
};

pub use finding::{Code, Finding, FindingKey, Findings, Severity};

/// The program to audit, with what the messages need.
pub struct Subject<'a> {
    /// The program's name in messages.
    pub name: &'a str,
    /// The facts of its file.
    pub program: &'a ElfFacts,
    /// The runtime it is for.
    pub lambda: &'a LambdaWorld,
    /// The program's origin, which decides the words of the help.
    pub owner: Owner<'a>,
    /// The files of the bundle, and those of attached layers.
    pub members: &'a [Member],
    /// The paths of attached layers' files among them.
    pub attached: &'a BTreeSet<String>,
    /// The libraries as the build world has them.
    pub build: &'a BuildSide,
}

/// Who can change the program, and how.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// Built by cargo for this target.
    Cargo {
        /// The target triple; `None` for the host's.
        target: Option<&'a str>,
        /// The options that select the program in another run.
        words: &'a str,
        /// Whether `cargo-zigbuild` is installed.
        has_zigbuild: bool,
    },
    /// A binary from elsewhere.
    Binary,
    /// An archive made by any tool.
    Archive,
}

/// Audits all walks of one program.
pub fn audit(subject: &Subject, walks: &[Walked]) -> Vec<Finding> {
    let mut findings = Findings::default();
    program_findings(subject, &mut findings);
    versions::refused_pins(subject, &mut findings);
    // Without an interpreter nothing is loaded, so findings about libraries would not help.
    let walks = if subject.program.linkage() == Linkage::Broken { &[] } else { walks };
    for walked in walks {
        // Further problems of a library that no process of this runtime can load do not matter.
        if is_foreign(subject, walked, 0) {
            findings.add(foreign::other_libc(subject, walked, 0));
            continue;
        }
        closure_findings(subject, walked, &mut findings);
        versions::version_findings(subject, walked, &mut findings);
        if matches!(subject.owner, Owner::Archive) && walked.own_interpreter().is_none() {
            versions::takers(subject, walked, &mut findings);
        }
        symbols::symbol_findings(subject, walked, &mut findings);
        tls::findings(subject, walked, &mut findings);
        level::findings(subject, walked, &mut findings);
        musl::findings(subject, walked, &mut findings);
    }
    findings.into_vec()
}

fn program_findings(subject: &Subject, findings: &mut Findings) {
    let (name, program, lambda) = (subject.name, subject.program, subject.lambda);
    match program.arch() {
        Some(arch) if arch == lambda.arch() => {}
        Some(arch) => findings.add(foreign::weighed(
            subject,
            Finding::new(
                Code::WrongArch,
                name,
                format!("`{name}` is for {arch}, the bundle for {}", lambda.arch()),
            ),
        )),
        None => {
            let message = format!("`{name}` is for {}; Lambda runs x86_64 and arm64", program.machine_name());
            let finding = Finding::new(Code::WrongArch, name, message).help("build for one of Lambda's architectures: `--target x86_64-unknown-linux-gnu` or `--target aarch64-unknown-linux-gnu`");
            findings.add(foreign::weighed(subject, finding));
        }
    }
    if let Some(path) = &program.interpreter
        && subject.build.not_shipped.contains_key(path)
    {
        findings.add(
            Finding::new(
                Code::InterpreterMissing,
                name,
                format!(
                    "`{name}` names the interpreter `{path}`, which this machine does not have for `--libc bundle`"
                ),
            )
            .help("name the root of the system it was built on with `--sysroot DIR`"),
        );
    }
    // A program for another machine does not start, so nothing else matters.
    if program.arch() == Some(lambda.arch())
        && program.linkage() != Linkage::SharedLibrary
        && let Some(fault) = program.program_fault()
    {
        findings.add(
            Finding::new(Code::NotElf, name, format!("`{name}` does not start: {fault}"))
                .help("build it again, without the tool that edited it"),
        );
    }
    if program.linkage() == Linkage::Broken {
        findings.add(broken_static_pie(subject));
    }
}

fn broken_static_pie(subject: &Subject) -> Finding {
    let (name, needed) = (subject.name, &subject.program.needed);
    let (them, these) = if needed.len() == 1 { ("it", "the library") } else { ("them", "these libraries") };
    let message = format!("`{name}` is linked as a static program but needs {}", quoted(needed));
    let finding = Finding::new(Code::BrokenStaticPie, name, message)
        .detail(format!("nothing loads {them}, so the program crashes at start"));
    finding.help(format!(
        "link {these} statically (the `static` or `vendored` feature of the `-sys` crate), or {}",
        dynamically(subject)
    ))
}

/// How to link a static program dynamically: by another target, or without what was asked for.
///
/// Source: `crt_static` in "Static and dynamic C runtimes" of The Rust Reference; only musl's targets have it by default.
fn dynamically(subject: &Subject) -> &'static str {
    match subject.owner {
        Owner::Cargo { target: Some(target), .. } if target.contains("musl") => "build for a `-gnu` target",
        Owner::Cargo { target: None, .. } if subject.program.libc() == Libc::Musl => {
            "build for a `-gnu` target"
        }
        Owner::Cargo { .. } => {
            "link the program dynamically, without `-C target-feature=+crt-static` and `-static-pie`"
        }
        Owner::Binary | Owner::Archive => {
            "link the program dynamically: without `-static-pie`, and in Rust for a `-gnu` target without `-C target-feature=+crt-static`"
        }
    }
}

fn closure_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    let closure = &walked.closure;
    let lambda = subject.lambda;
    if let Some(path) = &closure.absent_interpreter {
        findings.add(libc::interpreter_missing(subject, path));
    }
    if let Some(finding) = libc::interpreter_is_no_loader(subject, closure) {
        findings.add(finding);
    }
    if walked.own_interpreter().is_some() {
        findings.add(libc::libc_bundled(subject, walked));
    }
    findings.merge(missing::not_preloaded(subject, walked));
    let opens_nothing = lints::is_static_musl(subject.program);
    for need in &closure.needs {
        match &need.outcome {
            _ if opens_nothing && need.is_opening => findings.add(missing::cannot_open(subject, need)),
            Outcome::Loaded(_) => {}
            // This need is reported with the object that has it.
            Outcome::Missing(_) if is_foreign(subject, walked, need.by) && Musl::answers(&need.name) => {}
            Outcome::Missing(attempts) => {
                findings.add(missing::missing_library(subject, walked, need));
                for attempt in attempts {
                    if let SkipReason::WrongMachine(machine) = &attempt.why {
                        let object = member_name(&attempt.path);
                        let (message, cause) = foreign::other_machine(object, machine, lambda);
                        findings.add(
                            Finding::new(Code::WrongArch, object, message).soname(&need.name).cause(cause),
                        );
                    }
                }
            }
            Outcome::Fatal { path, reason } => {
                let object = member_name(path);
                let mut finding =
                    Finding::new(Code::NotElf, object, format!("the loader refuses `{object}`: {reason}"))
                        .soname(&need.name);
                finding.chain = chain(subject, closure, need.by);
                findings.add(finding);
            }
        }
    }
    for (index, object) in closure.objects.iter().enumerate() {
        object_findings(subject, walked, index, object, findings);
    }
}

const RELR_HELP: &str = "link without `-z pack-relative-relocs` (or `--pack-dyn-relocs=relr`)";

/// Adds the findings about one loaded object.
fn object_findings(
    subject: &Subject,
    walked: &Walked,
    index: usize,
    object: &crate::loader::Loaded,
    findings: &mut Findings,
) {
    let lambda = subject.lambda;
    match &object.file.object {
        Object::Elf(elf) => {
            file_findings(subject, walked, index, elf, findings);
            let doubtful = object.names.iter().find(|name| lambda.certainty(name) == Certainty::Doubtful);
            if let Some(soname) = doubtful.filter(|_| index > 0) {
                findings.add(doubtful_library(subject, soname));
            }
        }
        Object::System(_) if walked.own_interpreter().is_some() => {
            findings.add(libc::beside_own_libc(subject, walked, index));
        }
        Object::System(system) => {
            if let Some(ours) = shadowed_copy(subject, &system.soname, object.rule) {
                let label = lambda.label();
                let message = format!("`{ours}` is in the bundle, but {label} loads its own copy");
                let for_all = format!("libraries are in the bundle, but {label} loads its own copies");
                let finding = Finding::new(Code::Shadowed, subject.name, message).soname(&system.soname);
                findings.add(
                    finding
                        .detail("the runtime's copy comes first in LD_LIBRARY_PATH")
                        .cause(Cause::libraries("", for_all).item(format!("`{ours}`"))),
                );
            }
            findings.merge(version_skew(subject, walked, index, system));
        }
        Object::Unseen => {}
    }
}

/// Adds the findings about one loaded file of ours.
fn file_findings(subject: &Subject, walked: &Walked, index: usize, elf: &ElfFacts, findings: &mut Findings) {
    let (closure, lambda) = (&walked.closure, subject.lambda);
    let object = &closure.objects[index];
    let label = label(subject, closure, index);
    // A static program relocates itself, and so does a loader (`_dl_start` in glibc's elf/rtld.c). For everything else
    // the loader does it.
    let loaded = object.rule != Rule::Interpreter && (index > 0 || elf.linkage() == Linkage::Dynamic);
    let uses_glibc = walked.libc() == Libc::Glibc;
    let ignores_relr = !walked.knows_relr(subject.members) && lambda.glibc_release() < (2, 36);
    if elf.has_relr && loaded && uses_glibc && ignores_relr {
        let ignored = format!("glibc {} of {} ignores DT_RELR", lambda.baseline.glibc, lambda.label());
        let finding =
            Finding::new(Code::RelrUnsupported, &label, format!("`{label}` crashes at start: {ignored}"))
                .detail("its relative relocations are packed (DT_RELR), which needs glibc 2.36 or newer")
                .help(RELR_HELP);
        let cause = Cause::objects(format!("crash at start: {ignored}"))
            .detail("their relative relocations are packed (DT_RELR), which needs glibc 2.36 or newer");
        findings.add(finding.cause(cause));
    }
    findings.merge(libc::private_symbols(subject, closure, index, elf));
    if is_foreign(subject, walked, index) {
        findings.add(foreign::other_libc(subject, walked, index));
    }
    let is_part = index > 0 && object.names.iter().any(|name| is_glibc_part(name));
    if uses_glibc && is_part && walked.own_interpreter().is_none() {
        let beside = format!("of glibc and would load beside other parts from {}", lambda.label());
        let cause = Cause::objects(format!("are parts {beside}")).help("remove them from the bundle");
        let finding = Finding::new(Code::LibcMixed, &label, format!("`{label}` is a part {beside}"))
            .detail("all parts of glibc must come from the same build")
            .help(format!("remove `{label}` from the bundle"));
        findings.add(finding.cause(cause));
    }
}

/// The finding that an included file would load another file than the one that it was built with.
pub fn name_clash(clash: &NameClash) -> Finding {
    let NameClash { by, soname, own, shipped, .. } = clash;
    let message = format!(
        "`{by}` was built with `{own}`, but the bundle's `{soname}` is `{shipped}`, a different file"
    );
    let finding = Finding::new(Code::RepairConflict, by, message).soname(soname);
    let finding = finding.help("write it to an archive of its own, or build both with one file");
    match clash.is_program {
        true => finding,
        // A plugin may work with either.
        false => Finding { severity: Severity::Warning, leaves_open: true, ..finding },
    }
}

fn doubtful_library(subject: &Subject, soname: &str) -> Finding {
    let message =
        format!("it is doubtful whether {} has `{soname}`, so the bundle has a copy", subject.lambda.label());
    let cause = Cause::libraries(
        format!("it is doubtful whether {} has", subject.lambda.label()),
        "libraries, so the bundle has copies",
    );
    Finding::new(Code::DoubtfulLibrary, subject.name, message)
        .soname(soname)
        .detail("the program starts either way")
        .cause(cause.item(format!("`{soname}`")))
}

/// Whether an object is linked to another C library than the one in the process.
fn is_foreign(subject: &Subject, walked: &Walked, index: usize) -> bool {
    if index == 0 && subject.program.linkage() != Linkage::SharedLibrary {
        return false;
    }
    let needed = walked.closure.objects[index].file.object.elf().and_then(ElfFacts::needed_libc);
    needed.is_some_and(|libc| libc != walked.libc())
}

/// Returns the bundle's file with this SONAME, if the walk took the runtime's because it comes earlier in the path.
fn shadowed_copy(subject: &Subject, soname: &str, rule: Rule) -> Option<String> {
    // A doubtful library is shipped on purpose, and there is a note about it.
    if rule != Rule::LdLibraryPath || subject.lambda.certainty(soname) != Certainty::Present {
        return None;
    }
    let ours = subject.members.iter().find(|member| match &member.content {
        MemberContent::Object(facts) => facts.soname.as_deref() == Some(soname),
        _ => false,
    })?;
    Some(member_name(&ours.path).to_owned())
}

fn version_skew(
    subject: &Subject,
    walked: &Walked,
    index: usize,
    system: &crate::baseline::SystemObject,
) -> Option<Finding> {
    let lambda = subject.lambda;
    if !matches!(system.node("any"), NodeAnswer::NoVersions | NodeAnswer::Unknown) {
        return None;
    }
    let build = subject.build.files.get(&system.soname)?;
    let oldest = system.older_file_version().or_else(|| system.file_version());
    let (theirs, ours) = (oldest?, file_version(&build.path)?);
    if !is_newer(ours, theirs) {
        return None;
    }
    let mut finding = Finding::new(
        Code::VersionSkew,
        label(subject, &walked.closure, index),
        format!(
            "`{}` is {theirs} on {}, older than the build's {ours}",
            system.soname,
            lambda.label()
        ),
    )
    .soname(&system.soname)
    .detail(format!(
        "calls to functions added after {theirs} would fail; the library has no symbol versions, so this cannot be checked"
    ));
    if lambda.certainty(&system.soname) == Certainty::Doubtful {
        // A note only: even the presence of the library is doubtful.
        finding.severity = Severity::Note;
    }
    // A copy that is older than that of the runtime's newest image is refused where others use the library.
    let may_ship = system.file_version().is_none_or(|newest| version::compare_numbers(ours, newest).is_ge());
    if subject.build.may_edit && may_ship {
        finding.help = Some(format!("ship this machine's copy: `--bundle-lib {}`", system.soname));
    }
    finding.chain = chain(subject, &walked.closure, index);
    let cause = skew_cause(lambda, &system.soname, theirs, ours);
    finding.cause = Some(match finding.help {
        Some(_) => cause.help("ship this machine's copies").flag("--bundle-lib"),
        None => cause,
    });
    Some(finding)
}

/// The warning that a program loads another build of a library than the one that it was built with: an attached layer's.
/// `path` is the layer's file on Lambda.
pub fn other_build(by: &str, soname: &str, own: &BuildFile, path: &str) -> Finding {
    let message =
        format!("`{by}` was built with `{}`, but loads another build of it, the layer's `{path}`", own.path);
    let cause = Cause::libraries(
        format!("`{by}` loads"),
        "libraries of a layer that are other builds than those it was built with",
    );
    Finding::new(Code::VersionSkew, by, message)
        .soname(soname)
        .help(format!(
            "ship the copy that it was built with: `--bundle-lib {soname}`; or build the layer with it"
        ))
        .cause(
            cause
                .item(format!("`{soname}`"))
                .help("build the layer with the same files, or ship those it was built with")
                .flag("--bundle-lib"),
        )
}

fn skew_cause(lambda: &LambdaWorld, soname: &str, theirs: &str, ours: &str) -> Cause {
    Cause::libraries(
        "",
        format!("libraries are older on {} than those of the build", lambda.label()),
    )
    .detail("calls to newer functions would fail; the libraries have no symbol versions, so this cannot be checked")
    .item(format!("`{soname}` ({theirs}, built with {ours})"))
}

/// Returns the version at the end of a file name: `1.2.11` for `libz.so.1.2.11`.
fn file_version(path: &str) -> Option<&str> {
    file_name(path).split_once(".so.").map(|(_, version)| version)
}

/// Compares the first two numbers of dotted versions; anything else counts as not newer.
///
/// The third number is a revision, which adds no functions: by libtool's rules ("Updating library version
/// information" in its manual) and by semantic versioning.
fn is_newer(ours: &str, theirs: &str) -> bool {
    let numbers = |text: &str| text.split('.').take(2).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    match (numbers(ours), numbers(theirs)) {
        (Ok(ours), Ok(theirs)) => ours > theirs,
        _ => false,
    }
}

/// Returns the name of an object in messages: the program's name, else the name that was needed.
pub fn label(subject: &Subject, closure: &Closure, index: usize) -> String {
    match index {
        0 => subject.name.to_owned(),
        _ => {
            let object = &closure.objects[index];
            object.names.first().cloned().unwrap_or_else(|| file_name(&object.path).to_owned())
        }
    }
}

/// Returns the labels from the program to an object; none for the program itself.
fn chain(subject: &Subject, closure: &Closure, index: usize) -> Vec<String> {
    if index == 0 {
        return Vec::new();
    }
    closure.chain(index).into_iter().map(|index| label(subject, closure, index)).collect()
}

/// Returns a file's name in the archive.
fn member_name(path: &str) -> &str {
    ["/var/task/", "/opt/"].iter().find_map(|root| path.strip_prefix(root)).unwrap_or(path)
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
