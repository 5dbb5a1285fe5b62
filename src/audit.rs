//! From walks to findings: what would break on Lambda.
//!
//! The same function reads the walks of a plan and of anybody's ZIP. A finding is an answer about the user's
//! program, collected and never thrown. What several variants of the Lambda world show is one finding.

mod edits;
mod finding;
mod foreign;
mod level;
mod limits;
pub mod lints;
mod musl;
pub mod pages;
mod rebound;
mod runtime;
mod symbols;
mod tls;
mod versions;

use std::collections::BTreeSet;

use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, Linkage, ObjectType};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, Walked};
use crate::loader::{Closure, Musl, Need, Outcome, Passed, Rule};
use crate::paths;
use crate::paths::file_name;
use crate::plan::BuildSide;
use crate::plan::NotShipped;
use crate::world::Object;

pub use edits::not_editable;
pub use limits::{direct_upload_finding, size_finding};
pub use rebound::rebound_findings;
pub use runtime::{arch_assertion, arch_not_offered, runtime_findings, stale_binary};

pub use finding::{Code, Finding, FindingKey, Findings, Severity};

/// What is audited, and what can be said to its owner.
pub struct Subject<'a> {
    /// The program's name in messages.
    pub name: &'a str,
    /// Its facts.
    pub program: &'a ElfFacts,
    /// Where it will run.
    pub lambda: &'a LambdaWorld,
    /// Whose words the help uses.
    pub owner: Owner<'a>,
    /// The files of the bundle, and those of attached layers.
    pub members: &'a [Member],
    /// The paths of attached layers' files among them.
    pub attached: &'a BTreeSet<String>,
    /// What the build world says of it.
    pub build: &'a BuildSide,
}

/// Who can change the program, and how.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// Built by cargo for this target.
    Cargo {
        /// The target triple; `None` for the host's.
        target: Option<&'a str>,
        /// The profile; `None` if it is not known.
        profile: Option<&'a str>,
        /// The package.
        package: &'a str,
    },
    /// A binary from elsewhere.
    Binary,
    /// An archive made by any tool.
    Archive,
}

/// Reads all walks of one program.
pub fn audit(subject: &Subject, walks: &[Walked]) -> Vec<Finding> {
    let mut findings = Findings::default();
    program_findings(subject, &mut findings);
    versions::refused_pins(subject, &mut findings);
    // Without an interpreter nothing is loaded: that a library could be found would help nobody.
    let walks = if subject.program.linkage() == Linkage::Broken { &[] } else { walks };
    for walked in walks {
        // What else is wrong with a library that no process here can load does not matter.
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
                    "`{name}` names the interpreter `{path}`, which `--libc bundle` would ship and this machine does not have"
                ),
            )
            .help("name the root of the system it was built on with `--sysroot DIR`"),
        );
    }
    // A program of another machine does not start, whatever else is the matter.
    if program.arch() == Some(lambda.arch())
        && program.linkage() != Linkage::SharedLibrary
        && let Some(fault) = program.program_fault()
    {
        findings.add(
            Finding::new(Code::NotElf, name, format!("`{name}` does not start: {fault}"))
                .help("build it again, or leave out the tool that edited it"),
        );
    }
    if program.linkage() == Linkage::Broken {
        let libraries = quoted(&program.needed);
        let (them, these) =
            if program.needed.len() == 1 { ("it", "the library") } else { ("them", "these libraries") };
        findings.add(
            Finding::new(
                Code::BrokenStaticPie,
                name,
                format!(
                    "`{name}` is linked as a static program but needs {libraries}; nothing loads {them}, and the program crashes at start"
                ),
            )
            .help(format!("link {these} statically (the `static` or `vendored` feature of the `-sys` crate), or build for a `-gnu` target")),
        );
    }
}

fn closure_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    let closure = &walked.closure;
    let lambda = subject.lambda;
    if let Some(path) = &closure.absent_interpreter {
        findings.add(interpreter_missing(subject, path));
    }
    if let Some(finding) = interpreter_is_no_loader(subject, closure) {
        findings.add(finding);
    }
    if walked.own_interpreter().is_some() {
        findings.add(libc_bundled(subject, walked));
    }
    for need in &closure.needs {
        match &need.outcome {
            Outcome::Loaded(_) => {}
            // Reported as what its object is.
            Outcome::Missing(_) if is_foreign(subject, walked, need.by) && Musl::answers(&need.name) => {}
            Outcome::Missing(attempts) => {
                findings.add(missing_library(subject, walked, need));
                for attempt in attempts {
                    if let Passed::WrongMachine(machine) = &attempt.why {
                        let object = member_name(&attempt.path);
                        findings.add(
                            Finding::new(
                                Code::WrongArch,
                                object,
                                format!("`{object}` is for {machine}, the bundle for {}", lambda.arch()),
                            )
                            .soname(&need.name),
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

fn object_findings(
    subject: &Subject,
    walked: &Walked,
    index: usize,
    object: &crate::loader::Loaded,
    findings: &mut Findings,
) {
    let (closure, lambda) = (&walked.closure, subject.lambda);
    let label = label(subject, closure, index);
    match &object.file.object {
        Object::Elf(elf) => {
            // A static program relocates itself, and so does a loader (`_dl_start` in glibc's elf/rtld.c); everything
            // else is left to the loader.
            let is_loader = object.rule == Rule::Interpreter;
            let loaded = !is_loader && (index > 0 || elf.linkage() == Linkage::Dynamic);
            let uses_glibc = walked.libc() == Libc::Glibc;
            let ignores_relr = !walked.knows_relr(subject.members) && lambda.glibc_release() < (2, 36);
            if elf.has_relr && loaded && uses_glibc && ignores_relr {
                findings.add(
                    Finding::new(
                        Code::RelrUnsupported,
                        &label,
                        format!(
                            "`{label}` has packed relative relocations (DT_RELR), which glibc {} of {} ignores: it crashes at start",
                            lambda.baseline.glibc,
                            lambda.label()
                        ),
                    )
                    .help(RELR_HELP),
                );
            }
            for finding in private_symbols(subject, closure, index, elf) {
                findings.add(finding);
            }
            if is_foreign(subject, walked, index) {
                findings.add(foreign::other_libc(subject, walked, index));
            }
            if index == 0 {
                return;
            }
            let is_part = closure.objects[index].names.iter().any(|name| is_glibc_part(name));
            if uses_glibc && is_part && walked.own_interpreter().is_none() {
                findings.add(
                    Finding::new(
                        Code::LibcMixed,
                        &label,
                        format!(
                            "`{label}` is a part of glibc and would load beside the other parts of {}; they work only from one build",
                            lambda.label()
                        ),
                    )
                    .help(format!("take `{label}` out of the bundle")),
                );
            }
        }
        Object::System(system) => {
            if walked.own_interpreter().is_some() {
                findings.add(beside_own_libc(subject, walked, index));
                return;
            }
            if let Some(ours) = shadowed_copy(subject, &system.soname, object.rule) {
                findings.add(
                    Finding::new(
                        Code::Shadowed,
                        subject.name,
                        format!(
                            "`{ours}` is in the bundle, but {} loads its own copy, which is earlier in LD_LIBRARY_PATH",
                            lambda.label()
                        ),
                    )
                    .soname(&system.soname),
                );
            }
            if let Some(finding) = version_skew(subject, walked, index, system) {
                findings.add(finding);
            }
        }
        Object::Unseen => {}
    }
    let doubtful = object.names.iter().find(|name| lambda.certainty(name) == Certainty::Doubtful);
    if let (Some(soname), Object::Elf(_)) = (doubtful, &object.file.object) {
        findings.add(
            Finding::new(
                Code::DoubtfulLibrary,
                subject.name,
                format!(
                    "whether {} has `{soname}` is doubtful; the bundle has one, and starts either way",
                    lambda.label()
                ),
            )
            .soname(soname),
        );
    }
}

fn libc_bundled(subject: &Subject, walked: &Walked) -> Finding {
    let (name, libc) = (subject.name, walked.libc().as_str());
    // Source: the paths of gconv modules, locales and NSS modules are built into glibc.
    let limits = match walked.libc() {
        Libc::Musl => "",
        _ => "; iconv beyond Unicode, locales and NSS modules beyond files and dns may not be found",
    };
    Finding::new(
        Code::LibcBundled,
        name,
        format!("`{name}` runs with the {libc} of the bundle, which AWS does not patch{limits}"),
    )
    .help("bundle again when that C library gets a security fix")
}

/// Whether an object is linked to another C library than that of the process.
fn is_foreign(subject: &Subject, walked: &Walked, index: usize) -> bool {
    if index == 0 && subject.program.linkage() != Linkage::SharedLibrary {
        return false;
    }
    let its = walked.closure.objects[index].file.object.elf().and_then(ElfFacts::needed_libc);
    its.is_some_and(|its| its != walked.libc())
}

/// A library of the system's in a process with another C library.
fn beside_own_libc(subject: &Subject, walked: &Walked, index: usize) -> Finding {
    let label = label(subject, &walked.closure, index);
    let mut finding = Finding::new(
        Code::LibcMixed,
        &label,
        format!(
            "`{label}` of {} would load beside the {} of the bundle, for which it was not built",
            subject.lambda.label(),
            walked.libc().as_str()
        ),
    );
    finding.help = match subject.build.not_shipped.get(&label) {
        Some(NotShipped::Excluded) => Some(format!("leave out the `--exclude-lib` that matches `{label}`")),
        _ if matches!(subject.owner, Owner::Archive) => {
            Some("let `cargo lambda-bundle --libc bundle` write the archive".to_owned())
        }
        _ => Some(format!("name a directory that has `{label}` with `--library-path DIR`")),
    };
    finding.chain = chain(subject, &walked.closure, index);
    finding
}

/// What GLIBC_PRIVATE holds may change with any build of glibc, though the node is always there: what the runtime has
/// today it may lack tomorrow. Of a captured runtime the symbols are those of its files, and whether a listed runtime
/// has them is for [`symbols`].
fn private_symbols(subject: &Subject, closure: &Closure, index: usize, elf: &ElfFacts) -> Vec<Finding> {
    let label = label(subject, closure, index);
    if is_glibc_part(&label) {
        return Vec::new();
    }
    let is_listed = |file: &String| {
        let mut answering = closure.objects.iter().filter(|object| object.names.contains(file));
        answering.next().is_some_and(
            |object| matches!(&object.file.object, Object::System(system) if system.facts.is_none()),
        )
    };
    let private = |need: &&crate::elf::VersionNeed| need.node == "GLIBC_PRIVATE" && is_listed(&need.file);
    let finding = |need: &crate::elf::VersionNeed| {
        let mut finding = Finding::new(
            Code::LibcMixed,
            &label,
            format!(
                "`{label}` uses private symbols of `{}` (GLIBC_PRIVATE), which any update of {} may change",
                need.file,
                subject.lambda.label()
            ),
        )
        .soname(&need.file);
        finding.severity = Severity::Warning;
        finding.versions = vec![need.node.clone()];
        finding.symbols = elf.symbols_needing(&need.file, &[&need.node]);
        finding.chain = chain(subject, closure, index);
        if !matches!(subject.owner, Owner::Archive) && subject.program.linkage() != Linkage::SharedLibrary {
            finding.help = Some("ship the glibc that it was built with: `--libc bundle`".to_owned());
        }
        finding
    };
    elf.verneed.iter().filter(private).map(finding).collect()
}

/// The bundle's file of this SONAME, if the walk took the system's for its place in the path.
fn shadowed_copy(subject: &Subject, soname: &str, rule: Rule) -> Option<String> {
    // A doubtful library is shipped on purpose, and noted as such.
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
            "`{}` is {theirs} on {}, {ours} where the program was built; a function that only the newer one has \
             would be missing, and it has no version nodes that tell",
            system.soname,
            lambda.label()
        ),
    )
    .soname(&system.soname);
    if lambda.certainty(&system.soname) == Certainty::Doubtful {
        // Two doubts: whether it is there, and whether that matters.
        finding.severity = Severity::Note;
    }
    if subject.build.may_edit {
        finding.help = Some(format!("ship this machine's in its place: `--bundle-lib {}`", system.soname));
    }
    finding.chain = chain(subject, &walked.closure, index);
    Some(finding)
}

/// `1.2.11` of `libz.so.1.2.11`.
fn file_version(path: &str) -> Option<&str> {
    file_name(path).split_once(".so.").map(|(_, version)| version)
}

/// Compares the first two of dotted numbers; anything else is not newer.
///
/// The third is a revision, which brings no new functions: by libtool's rules ("Updating library version
/// information" in its manual) as by those of semantic versions.
fn is_newer(ours: &str, theirs: &str) -> bool {
    let numbers = |text: &str| text.split('.').take(2).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    match (numbers(ours), numbers(theirs)) {
        (Ok(ours), Ok(theirs)) => ours > theirs,
        _ => false,
    }
}

fn interpreter_missing(subject: &Subject, path: &str) -> Finding {
    let (name, lambda) = (subject.name, subject.lambda);
    let finding = Finding::new(
        Code::InterpreterMissing,
        name,
        format!(
            "`{name}` names the interpreter `{path}`, which {} does not have; it would fail with \"no such file or directory\"",
            lambda.label()
        ),
    );
    finding.help(match (subject.owner, subject.program.libc()) {
        (Owner::Cargo { .. }, Libc::Musl) => {
            "link musl statically, as the `-musl` targets do unless `-C target-feature=-crt-static` is set, or ship musl with `--libc bundle`".to_owned()
        }
        (Owner::Binary, Libc::Musl) => "link it statically to musl, or ship musl with `--libc bundle`".to_owned(),
        (Owner::Archive, Libc::Musl) => "link it statically to musl".to_owned(),
        // The plan sets the runtime's interpreter where that has the same name.
        (Owner::Cargo { .. } | Owner::Binary, _) => "ship its C library with `--libc bundle`".to_owned(),
        (Owner::Archive, _) => {
            format!("link it with the interpreter `{}`", lambda.baseline.interpreters[0])
        }
    })
}

/// A file at PT_INTERP that the kernel would run in the program's place and that loads nothing, such as a library.
fn interpreter_is_no_loader(subject: &Subject, closure: &Closure) -> Option<Finding> {
    let path = subject.program.interpreter.as_deref()?;
    let object =
        closure.objects.iter().find(|object| object.rule == Rule::Interpreter && object.path == path)?;
    let lambda = subject.lambda;
    let is_loader = match &object.file.object {
        Object::System(system) if system.facts.is_none() => {
            lambda.baseline.interpreters.iter().any(|known| file_name(known) == system.soname)
        }
        // A loader is loaded by nobody: it names no interpreter, as libc.so.6 does, and needs nothing.
        other => other.elf().is_none_or(|elf| {
            let is_loadable = !matches!(elf.object_type, ObjectType::Other(_));
            is_loadable
                && elf.arch() == subject.program.arch()
                && elf.interpreter.is_none()
                && elf.needed.is_empty()
        }),
    };
    (!is_loader).then(|| {
        Finding::new(
            Code::InterpreterMissing,
            subject.name,
            format!(
                "`{}` names the interpreter `{path}`, which is no loader; it crashes at start",
                subject.name
            ),
        )
        .help(format!("link it with the interpreter `{}`", lambda.baseline.interpreters[0]))
    })
}

fn missing_library(subject: &Subject, walked: &Walked, need: &Need) -> Finding {
    let closure = &walked.closure;
    let by = label(subject, closure, need.by);
    let (soname, lambda) = (&need.name, subject.lambda.label());
    let place = match subject.owner {
        Owner::Archive => "the archive",
        _ => "this machine",
    };
    let (message, help) = match subject.build.not_shipped.get(soname) {
        _ if let Some(member) = unreadable_member(need) => (
            format!("`{by}` needs `{soname}`; the bundle has `{member}`, but Lambda's user may not read it"),
            Some(format!("store `{member}` with mode 0644")),
        ),
        _ if let Some(member) = member_off_the_path(subject, need) => (
            format!(
                "`{by}` needs `{soname}`; the bundle has `{}`, but LD_LIBRARY_PATH={} does not lead there",
                member_name(member),
                walked.variant.library_path
            ),
            Some(format!(
                "add `{}` to the function's LD_LIBRARY_PATH",
                paths::parent(member)
            )),
        ),
        Some(NotShipped::Excluded) => (
            format!("`{by}` needs `{soname}`, which {lambda} does not have and `--exclude-lib` leaves out"),
            Some(format!("leave out the `--exclude-lib` that matches `{soname}`")),
        ),
        Some(NotShipped::GlibcPart) => (
            format!(
                "`{by}` needs `{soname}`, a part of glibc that {lambda} does not have; it works only with a glibc of its own build"
            ),
            Some(format!("build against glibc {} or older", subject.lambda.baseline.glibc)),
        ),
        Some(NotShipped::Path) => (
            format!("`{by}` needs the path `{soname}`, which {lambda} does not have"),
            Some("link to the library by its SONAME (give it one with `-Wl,-soname,NAME`), or let `--repair auto` rewrite the need".to_owned()),
        ),
        Some(NotShipped::Name) => (
            format!(
                "`{by}` needs `{soname}`, which {lambda} does not have and no archive can: the name is not UTF-8, or has a backslash"
            ),
            Some("give the library another SONAME (`-Wl,-soname,NAME`), and link again what needs it".to_owned()),
        ),
        Some(NotShipped::Refused(path, reason)) => (
            format!(
                "`{by}` needs `{soname}`, which {lambda} does not have, and `{path}` cannot be used: {reason}"
            ),
            Some("name a directory that has it with `--library-path DIR`".to_owned()),
        ),
        _ => (
            match subject.lambda.certainty(soname) {
                Certainty::Doubtful => format!(
                    "`{by}` needs `{soname}`, which {lambda} may lack (its presence there is doubtful) and {place} does not have"
                ),
                _ => format!("`{by}` needs `{soname}`, which neither {lambda} nor {place} has"),
            },
            Some(match subject.owner {
                Owner::Archive => {
                    format!("add `lib/{soname}` to the archive, or let `cargo lambda-bundle` write it")
                }
                _ => "install it on this machine, or name a directory that has it with `--library-path DIR`".to_owned(),
            }),
        ),
    };
    let message = match passed_over(need) {
        Some((path, why)) => format!("{message}; `{path}` is passed over: it is {why}"),
        None => message,
    };
    let mut finding = Finding::new(Code::MissingLibrary, by, message).soname(soname);
    finding.help = help;
    finding.chain = chain(subject, closure, need.by);
    finding
}

/// How a message calls an object: the program's name, else the name that was needed.
pub fn label(subject: &Subject, closure: &Closure, index: usize) -> String {
    match index {
        0 => subject.name.to_owned(),
        _ => {
            let object = &closure.objects[index];
            object.names.first().cloned().unwrap_or_else(|| file_name(&object.path).to_owned())
        }
    }
}

/// A file of that name that was met and is no answer, and what it is.
fn passed_over(need: &Need) -> Option<(&str, String)> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let met = attempts.iter().find(|attempt| {
        matches!(attempt.why, Passed::WrongClass | Passed::WrongMachine(_) | Passed::NewerKernel(_))
    })?;
    Some((member_name(&met.path), met.why.describe()))
}

/// A file of the bundle that the search met and could not read.
fn unreadable_member(need: &Need) -> Option<&str> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let met = attempts.iter().find(|attempt| attempt.why == Passed::Unreadable)?;
    Some(member_name(&met.path))
}

/// The bundle's file of the needed name, if no directory that was searched has it.
fn member_off_the_path<'a>(subject: &Subject<'a>, need: &Need) -> Option<&'a str> {
    let Outcome::Missing(attempts) = &need.outcome else { return None };
    let member = subject.members.iter().find(|member| file_name(&member.path) == need.name)?;
    let was_met = attempts.iter().any(|attempt| attempt.path == member.path);
    if was_met { None } else { Some(&member.path) }
}

/// The labels from the program to an object; empty for the program itself.
fn chain(subject: &Subject, closure: &Closure, index: usize) -> Vec<String> {
    if index == 0 {
        return Vec::new();
    }
    closure.chain(index).into_iter().map(|index| label(subject, closure, index)).collect()
}

/// A file of the bundle by its name in the archive.
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
