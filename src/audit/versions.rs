//! Findings about symbol versions: which object needs which versions of which library, and what to do.

use std::collections::BTreeMap;

use super::cause::newest;
use super::{Cause, Code, Finding, Findings, Owner, RELR_HELP, Severity, Subject, chain, label};
use crate::baseline::{DEFAULT_RUNTIME, is_glibc_part, names};
use crate::elf::{Linkage, VersionDefinition, version};
use crate::lambda::Walked;
use crate::loader::{Closure, Outcome, VersionAnswer, VersionCheck};
use crate::plan::{Asked, Conflict, WhyNot, not_rebindable};
use crate::world::Object;

pub(super) fn version_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    // One finding per needing object, providing object and kind of answer.
    let mut groups: BTreeMap<(usize, Code, Severity, String), Vec<&VersionCheck>> = BTreeMap::new();
    let mut damaged: BTreeMap<(usize, usize), Vec<&VersionCheck>> = BTreeMap::new();
    for check in &walked.checks {
        // The library itself is missing, which is reported already.
        let absent = walked
            .closure
            .needs
            .iter()
            .any(|need| need.name == check.need.file && !matches!(need.outcome, Outcome::Loaded(_)));
        if absent && check.answer == VersionAnswer::NoSuchFile {
            continue;
        }
        let (code, severity) = match &check.answer {
            VersionAnswer::Fits => continue,
            VersionAnswer::NotThere | VersionAnswer::NoSuchFile if !check.need.weak => {
                (Code::VersionTooNew, Severity::Error)
            }
            VersionAnswer::NotThere | VersionAnswer::NoSuchFile => (Code::VersionTooNew, Severity::Warning),
            VersionAnswer::Later(_) => (Code::VersionRecent, Severity::Warning),
            VersionAnswer::Uncertain | VersionAnswer::Unknown => (Code::VersionUnknown, Severity::Warning),
            // ld.so prints "no version information available" and continues.
            VersionAnswer::NoVersions => (Code::VersionUnknown, Severity::Note),
        };
        match damaged_record(&walked.closure, check).filter(|_| severity == Severity::Error) {
            Some(file) => damaged.entry((check.by, file)).or_default().push(check),
            None => {
                groups.entry((check.by, code, severity, check.need.file.clone())).or_default().push(check)
            }
        }
    }
    for ((by, file), checks) in damaged {
        findings.add(damaged_finding(subject, &walked.closure, by, file, &checks));
    }
    for ((by, code, severity, file), checks) in groups {
        let unmet = Unmet::new(subject, walked, by, &file, &checks);
        let conflict = subject.build.conflicts.get(&file);
        let is_error = (code, severity) == (Code::VersionTooNew, Severity::Error);
        findings.add(match conflict.filter(|_| is_error) {
            Some(conflict) => unmet.repair_conflict(conflict),
            None => unmet.finding(code, severity),
        });
    }
}

/// What one object needs of one library, with one kind of answer.
struct Unmet<'a> {
    subject: &'a Subject<'a>,
    walked: &'a Walked,
    /// The index of the object.
    by: usize,
    /// Its name in messages.
    label: String,
    /// The name of the library in the object's version needs.
    file: &'a str,
    checks: &'a [&'a VersionCheck],
    /// The version nodes, the oldest first.
    versions: Vec<String>,
}

/// Returns the object whose version record an editor damaged, if that is why a need is not met: the editor changed
/// the name of a version and kept the old name's hash.
fn damaged_record(closure: &Closure, check: &VersionCheck) -> Option<usize> {
    let need = &check.need;
    if !need.has_right_hash() {
        return Some(check.by);
    }
    let answering = check.object?;
    let elf = closure.objects[answering].file.object.elf()?;
    let is_meant = |def: &VersionDefinition| def.node == need.node || def.hash == need.hash;
    elf.verdef.iter().any(|def| is_meant(def) && !def.has_right_hash()).then_some(answering)
}

/// Reports needs that nothing meets because a record in `file` is damaged: an older library would not help.
fn damaged_finding(
    subject: &Subject,
    closure: &Closure,
    by: usize,
    file: usize,
    checks: &[&VersionCheck],
) -> Finding {
    let (by_label, file_label) = (label(subject, closure, by), label(subject, closure, file));
    let mut versions: Vec<String> = checks.iter().map(|check| check.need.node.clone()).collect();
    versions.sort_by(|a, b| version::compare(a, b));
    versions.dedup();
    let needed = &checks[0].need.file;
    let whose = if file == by { "its own record of versions" } else { "that library's record of versions" };
    let message =
        format!("`{by_label}` needs {} of `{needed}`, but ld.so does not find it", newest(&versions));
    let again = match (subject.owner, file) {
        (Owner::Cargo { .. }, 0) => "build it again",
        (_, 0) => "build it again, or get the original file",
        _ => "install it again",
    };
    let mut finding = Finding::new(Code::VersionTooNew, &by_label, message)
        .soname(needed)
        .detail(format!("{whose} is damaged: a name in it has the hash of another name"))
        .help(format!(
            "`{file_label}` was edited after it was linked: {again}, without the tool that edited it"
        ));
    finding.versions = versions;
    finding.chain = chain(subject, closure, by);
    finding
}

/// Reports refused pins (`--bundle-lib`), and files that take a SONAME that they must not have.
pub(super) fn refused_pins(subject: &Subject, findings: &mut Findings) {
    let lambda = subject.lambda.label();
    for (soname, conflict) in &subject.build.conflicts {
        let why = why_not(subject, conflict);
        let (message, help) = match &conflict.asked {
            Asked::Need => continue,
            Asked::Wish if conflict.why == WhyNot::NoLeave => (
                format!("this machine's `{soname}` cannot replace that of {lambda}"),
                format!("remove `--repair never`, or the `--bundle-lib` that matches `{soname}`"),
            ),
            Asked::Wish => (
                format!("this machine's `{soname}` cannot replace that of {lambda}"),
                format!(
                    "remove the `--bundle-lib` that matches `{soname}`, or name a newer copy with `--library-path DIR`"
                ),
            ),
            Asked::File(file) => (
                format!("`{file}` would take the SONAME `{soname}` from the library of {lambda}"),
                format!(
                    "link to `{soname}` by that name, or give the file a SONAME of its own (`-Wl,-soname,NAME`)"
                ),
            ),
        };
        let finding = Finding::new(Code::RepairConflict, subject.name, message).soname(soname);
        findings.add(finding.detail(why).help(help));
    }
}

/// Explains why the bundle's copy cannot take the place of the runtime's.
fn why_not(subject: &Subject, conflict: &Conflict) -> String {
    let soname = &conflict.soname;
    let lambda = subject.lambda.label();
    let ours = conflict.ours.as_ref().unwrap_or(soname);
    match &conflict.why {
        WhyNot::NoCopy => format!("`{soname}` would have to be replaced, too, and this machine has no copy"),
        WhyNot::TooNew => format!("`{ours}` itself needs versions that {lambda} does not have"),
        WhyNot::Older => format!("`{ours}` may be older than the copy that {lambda}'s other libraries use"),
        WhyNot::Lacks(lacks) => {
            format!("`{ours}` lacks {}, which {lambda}'s other libraries may need", lacks.join(", "))
        }
        WhyNot::Half => format!("`{soname}`, of the same package, would stay that of {lambda}"),
        WhyNot::Loses(by) => format!("`{by}` may load the other `{soname}` all the same"),
        WhyNot::Taken => format!(
            "the program has loaded that of {lambda} when it opens `{}`; `--bundle-lib {soname}` has the program load ours",
            subject.name
        ),
        WhyNot::Other => format!("another program of the bundle brings another `{soname}` than `{ours}`"),
        WhyNot::NoLeave => "no file may be edited".to_owned(),
    }
}

/// Reports an archive's files that the runtime's own libraries get in place of the runtime's.
pub(super) fn takers(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    for taker in crate::plan::doubtful_takers(subject.lambda, walked, subject.members) {
        let (by_label, soname) = (taker.name, taker.soname);
        let message = format!(
            "`{by_label}` is also loaded as `{soname}` by the libraries of {}",
            subject.lambda.label()
        );
        let mut finding = Finding::new(Code::RepairConflict, &by_label, message)
            .soname(&soname)
            .detail("it may lack what they need")
            .help("let `cargo lambda-bundle` write the archive");
        finding.severity = Severity::Warning;
        finding.leaves_open = true;
        findings.add(finding);
    }
}

impl<'a> Unmet<'a> {
    fn new(
        subject: &'a Subject,
        walked: &'a Walked,
        by: usize,
        file: &'a str,
        checks: &'a [&'a VersionCheck],
    ) -> Unmet<'a> {
        let mut versions: Vec<String> = checks.iter().map(|check| check.need.node.clone()).collect();
        versions.sort_by(|a, b| version::compare(a, b));
        versions.dedup();
        Unmet { subject, walked, by, label: label(subject, &walked.closure, by), file, checks, versions }
    }

    /// Reports both needs: what the program's side needs, and what the runtime's side may need.
    fn repair_conflict(self, conflict: &Conflict) -> Finding {
        let Unmet { subject, file, label, .. } = &self;
        let after = format!(" of `{file}`, which the copy of {} does not have", subject.lambda.label());
        let why = format!("this machine's copy cannot replace it: {}", why_not(subject, conflict));
        let message = format!("`{label}` needs {}{after}", newest(&self.versions));
        let finding = Finding::new(Code::RepairConflict, label, message)
            .soname(*file)
            .detail(&why)
            .help(format!("link to a `{file}` as old as the runtime's, or bundle a copy that is newer than both, with `--library-path DIR`"))
            .cause(Cause::versions("need ", after).detail(why));
        Finding { chain: chain(subject, &self.walked.closure, self.by), versions: self.versions, ..finding }
    }

    fn finding(self, code: Code, severity: Severity) -> Finding {
        let finding = Finding {
            details: self.details(code, severity),
            ..Finding::new(code, &self.label, self.message(code, severity)).soname(self.file)
        };
        let (help, for_all) = match self.versions.as_slice() {
            _ if severity != Severity::Error && code != Code::VersionRecent => (None, None),
            // The linker marks packed relocations with this version, whatever glibc it links against.
            [only] if only == "GLIBC_ABI_DT_RELR" && self.by == 0 => (Some(RELR_HELP.to_owned()), None),
            _ => (Some(self.help(&HelpWords::one(&self.label))), Some(self.help(&HelpWords::all()))),
        };
        let cause = self.cause(code, severity).map(|cause| match for_all {
            Some(help) => cause.help(help),
            None => cause,
        });
        Finding {
            cause,
            severity,
            leaves_open: (code, severity) == (Code::VersionUnknown, Severity::Warning),
            symbols: self.symbols(code),
            chain: chain(self.subject, &self.walked.closure, self.by),
            versions: self.versions,
            help,
            ..finding
        }
    }

    /// The symbols that ask for the versions; where the others could be rebound, only those that could not.
    fn symbols(&self, code: Code) -> Vec<String> {
        let Some(elf) = self.walked.closure.objects[self.by].file.object.elf() else { return Vec::new() };
        let all = elf.symbols_needing(self.file, &self.versions);
        if code != Code::VersionTooNew || !self.subject.build.may_edit || !is_glibc_part(self.file) {
            return all;
        }
        let kept = not_rebindable(elf, self.subject.lambda, &all);
        if kept.is_empty() { all } else { kept }
    }

    /// The object that answers, if one does.
    fn answering(&self) -> Option<&Object> {
        let index = self.checks[0].object?;
        Some(&self.walked.closure.objects[index].file.object)
    }

    /// The library that lacks the versions.
    fn whose(&self) -> String {
        match self.answering() {
            Some(Object::System(_)) | None => {
                format!("the `{}` of {}", self.file, self.subject.lambda.label())
            }
            Some(_) => format!("the bundle's `{}`", self.file),
        }
    }

    /// The problem as one of several objects; for glibc's parts it is one for all parts.
    fn cause(&self, code: Code, severity: Severity) -> Option<Cause> {
        let lambda = self.subject.lambda;
        let whose = match self.answering() {
            Some(Object::System(_)) if is_glibc_part(self.file) => {
                format!("glibc {} of {}", lambda.baseline.glibc, lambda.label())
            }
            _ => self.whose(),
        };
        Some(match (code, severity) {
            (Code::VersionTooNew, _) if self.checks[0].answer == VersionAnswer::NoSuchFile => return None,
            (Code::VersionTooNew, Severity::Error) => {
                Cause::versions("need ", format!(", which {whose} does not have"))
            }
            (Code::VersionTooNew, _) => {
                Cause::versions("have a weak need for ", format!(", which {whose} does not have"))
            }
            (Code::VersionRecent, _) => Cause::versions(
                "need ",
                format!(", which {whose} got with image {}", self.images().join(", ")),
            ),
            (Code::VersionUnknown, Severity::Note) => {
                Cause::versions("need ", format!(", but {whose} has no symbol version"))
            }
            // One list leaves the versions of all its libraries open.
            _ if matches!(self.answering(), Some(Object::System(_)) | None) => {
                let label = self.subject.lambda.label();
                Cause::versions(
                    "need ",
                    format!("; it is unknown whether the libraries of {label} have them"),
                )
            }
            _ => Cause::versions("need ", format!("; it is unknown whether {whose} has them")),
        })
    }

    fn message(&self, code: Code, severity: Severity) -> String {
        let Unmet { label, checks, file, .. } = self;
        let wanted = newest(&self.versions);
        let whose = self.whose();
        match (code, severity) {
            (Code::VersionTooNew, Severity::Error) if checks[0].answer == VersionAnswer::NoSuchFile => {
                format!("`{label}` needs {wanted} of `{file}`, but no library of that name")
            }
            (Code::VersionTooNew, Severity::Error) => {
                let highest = self.highest().filter(|_| !self.has_many());
                let highest = highest.map_or(String::new(), |highest| format!(" ({highest})"));
                format!("`{label}` needs {wanted}, which {whose} does not have{highest}")
            }
            (Code::VersionTooNew, _) => {
                format!("`{label}` has a weak need for {wanted}, which {whose} does not have")
            }
            (Code::VersionRecent, _) => {
                format!("`{label}` needs {wanted}, which {whose} got with image {}", self.images().join(", "))
            }
            (Code::VersionUnknown, Severity::Note) => {
                format!("`{label}` needs {wanted}, but {whose} has no symbol version")
            }
            _ => format!("`{label}` needs {wanted}; it is unknown whether {whose} has it"),
        }
    }

    /// All versions, if the message has only the newest, and what follows.
    fn details(&self, code: Code, severity: Severity) -> Vec<String> {
        let mut details = Vec::new();
        if self.has_many() {
            details.push(format!("symbol versions: {}", self.versions.join(", ")));
        }
        let is_told = severity == Severity::Error && !self.has_many();
        details.extend(self.highest().filter(|_| code == Code::VersionTooNew && !is_told));
        let follows = match (code, severity) {
            (Code::VersionTooNew, Severity::Error) if self.checks[0].answer == VersionAnswer::NoSuchFile => {
                "ld.so stops with an assertion"
            }
            (Code::VersionTooNew, Severity::Warning) => "ld.so prints a warning and continues",
            (Code::VersionRecent, _) => "a function that is pinned to an older image fails",
            (Code::VersionUnknown, Severity::Note) => {
                "ld.so prints \"no version information available\" and continues"
            }
            _ => return details,
        };
        details.push(follows.to_owned());
        details
    }

    /// The highest versions of the same families that the runtime's library has.
    fn highest(&self) -> Option<String> {
        let Some(Object::System(system)) = self.answering() else { return None };
        let mut families: Vec<&str> = self.versions.iter().map(|node| version::family(node)).collect();
        families.dedup();
        let known: Vec<&str> = families.iter().filter_map(|family| system.highest(family)).collect();
        (!known.is_empty()).then(|| format!("it has up to {}", known.join(", ")))
    }

    /// Whether the message has only the newest of the versions.
    fn has_many(&self) -> bool {
        newest(&self.versions) != self.versions.join(", ")
    }

    /// The images of the runtime since which the nodes are there.
    fn images(&self) -> Vec<&str> {
        let later = |check: &&'a VersionCheck| match &check.answer {
            VersionAnswer::Later(image) => Some(image.as_str()),
            _ => None,
        };
        let mut images: Vec<&str> = self.checks.iter().filter_map(later).collect();
        images.sort_unstable();
        images.dedup();
        images
    }

    /// Chooses the help by the object that needs the version: the program can be rebuilt, a library must be replaced.
    fn help(&self, words: &HelpWords) -> String {
        let Unmet { subject, file, .. } = self;
        let HelpWords { object, it, it_was, one_that_was } = words;
        let glibc = &subject.lambda.baseline.glibc;
        let is_glibc = is_glibc_part(file);
        if self.walked.own_interpreter().is_some() {
            return match subject.owner {
                Owner::Archive => {
                    format!("replace the bundle's `{file}` with the one that {it_was} built with")
                }
                _ => format!("name the root of the system that {it_was} built on with `--sysroot DIR`"),
            };
        }
        let bundle = match bundling_helps(subject, file, &self.versions) {
            true => format!("; or ship this machine's glibc with {it}: `--libc bundle`"),
            false => String::new(),
        };
        let is_program = self.by == 0 && subject.program.linkage() != Linkage::SharedLibrary;
        match (subject.owner, self.by, is_glibc) {
            (Owner::Binary, 0, true) if !is_program => {
                format!("build {it} against glibc {glibc} or older{bundle}")
            }
            (Owner::Cargo { .. }, 0, true) => format!("{}{bundle}", rebuild(subject)),
            (_, 0, true) if is_program => {
                format!("build {it} against glibc {glibc} or older, or link {it} statically to musl{bundle}")
            }
            (Owner::Archive, 0, false) if is_program => {
                format!("build {it} against the `{file}` of the runtime, or an older one")
            }
            // The linker can do what `--repair auto` would have done.
            (Owner::Cargo { .. }, 0, false) if !subject.build.may_edit => format!(
                "remove `--repair never`, or let the program search this machine's copies first: `rustflags = [\"-C\", \"link-arg=-Wl,--disable-new-dtags,-rpath,{}\"]` in `.cargo/config.toml`",
                crate::layout::Layout::function().pinned_path()
            ),
            (Owner::Cargo { .. } | Owner::Binary, 0, false) => format!(
                "link {it} to a `{file}` as old as the runtime's: name the root of such a system with `--sysroot DIR`"
            ),
            (Owner::Archive, _, true) => {
                format!("replace {object} with {one_that_was} built against glibc {glibc} or older")
            }
            (Owner::Archive, ..) => {
                format!("replace {object} with {one_that_was} built against an older `{file}`")
            }
            (_, _, true) => format!(
                "take {object} from a system with glibc {glibc} or older: name its root with `--sysroot DIR`, or a directory with `--library-path DIR`{bundle}"
            ),
            _ => format!(
                "take {object} from a system whose `{file}` is as old as the runtime's: name its root with `--sysroot DIR`, or a directory with `--library-path DIR`"
            ),
        }
    }
}

/// The words of a help: about one object, or about several.
struct HelpWords {
    object: String,
    it: &'static str,
    it_was: String,
    one_that_was: &'static str,
}

impl HelpWords {
    fn one(label: &str) -> HelpWords {
        HelpWords {
            object: format!("`{label}`"),
            it: "it",
            it_was: format!("`{label}` was"),
            one_that_was: "one that was",
        }
    }

    fn all() -> HelpWords {
        HelpWords {
            object: "them".to_owned(),
            it: "them",
            it_was: "they were".to_owned(),
            one_that_was: "ones that were",
        }
    }
}

/// Whether the build world's copy of a part of glibc offers these versions, and the program can bring it along: a
/// library is opened by a process that has its own.
fn bundling_helps(subject: &Subject, file: &str, versions: &[String]) -> bool {
    let offers = |node: &String| {
        let known = subject.build.files.get(file);
        known.is_some_and(|known| known.facts.verdef.iter().any(|def| def.node == *node))
    };
    let is_program = subject.program.linkage() != Linkage::SharedLibrary;
    is_program && is_glibc_part(file) && versions.iter().all(offers)
}

/// Returns the commands that build and bundle the program for an older glibc, or for musl if musl has all it needs.
fn rebuild(subject: &Subject) -> String {
    let Owner::Cargo { target, words, has_zigbuild } = subject.owner else {
        unreachable!("only cargo's programs are built by cargo");
    };
    let glibc = &subject.lambda.baseline.glibc;
    let target = target.filter(|target| target.contains("gnu"));
    let target = target.map_or(String::new(), |target| format!("--target {target} "));
    let runtime = &subject.lambda.baseline.runtime;
    let is_known = runtime != DEFAULT_RUNTIME && names().contains(&runtime.as_str());
    let runtime = if is_known { format!("--runtime {runtime} ") } else { String::new() };
    let install = if has_zigbuild { "" } else { ", after `pip install cargo-zigbuild`" };
    // Any other library would have to be built for musl, too.
    let is_alone = |name: &String| is_glibc_part(name) || name == "libgcc_s.so.1";
    let musl = match subject.program.needed.iter().all(is_alone) {
        true => format!(
            "; or for musl: `cargo lambda-bundle --build --target {}-unknown-linux-musl {runtime}{words}`",
            subject.lambda.arch().gnu_name()
        ),
        false => String::new(),
    };
    format!(
        "build against glibc {glibc} or older: `cargo lambda-bundle --build-with zigbuild {target}{runtime}{words}`{install}{musl}"
    )
}
