//! From walks to findings: what would break on Lambda.
//!
//! The same function reads the walks of a plan and of anybody's ZIP. A finding is an answer about the user's
//! program, collected and never thrown. One finding per code, object and SONAME, however many variants of the
//! Lambda world show it.

use std::collections::{BTreeMap, BTreeSet};

use crate::baseline::{NodeAnswer, is_glibc_part};
use crate::elf::{ElfFacts, Libc, Linkage, file_name};
use crate::lambda::{Certainty, LambdaWorld, Member, MemberContent, TASK_ROOT, Walked};
use crate::loader::{Closure, Need, Outcome, Passed, Rule, Undefined, VersionAnswer, VersionCheck};
use crate::plan::BuildFile;
use crate::world::Object;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program does not start, or the archive is refused.
    Error,
    /// It starts, as far as can be told; somebody should look.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $severity:ident $doc:literal)+) => {
        /// The kinds of findings. Their names are part of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $doc] $variant),+ }

        impl Code {
            /// Every kind, in the order of the README's table.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The name, as in JSON and after `--deny`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// The severity unless `--deny` or `--allow` moves it.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity),+ }
            }
        }
    };
}

codes! {
    MissingLibrary "missing-library" Error "A needed library is neither in the bundle nor on the runtime."
    VersionTooNew "version-too-new" Error "A needed version node is not offered by the object that would load."
    InterpreterMissing "interpreter-missing" Error "PT_INTERP does not exist on the runtime."
    BrokenStaticPie "broken-static-pie" Error "The program needs libraries and names no interpreter to load them."
    RelrUnsupported "relr-unsupported" Error "DT_RELR, which the runtime's glibc ignores: the program crashes."
    UndefinedSymbol "undefined-symbol" Error "A symbol that no loaded object defines."
    WrongArch "wrong-arch" Error "An object is for another machine."
    NotElf "not-elf" Error "A file in the closure or archive is not an object the loader takes."
    NotExecutable "not-executable" Error "The program's mode lacks the execute bit, or others may not read it."
    LibcMixed "libc-mixed" Error "Parts of two C libraries, or of two builds of one, would load together."
    SizeLimit "size-limit" Error "The unzipped bundle is over Lambda's limit."
    BootstrapMissing "bootstrap-missing" Error "The archive has no `bootstrap` at its root."
    VersionRecent "version-recent" Warning "Only newer images of the runtime have a needed version node."
    VersionUnknown "version-unknown" Warning "Whether the runtime's object has a needed version node is not known."
    VersionSkew "version-skew" Warning "The runtime's library is older than the one of the build, and has no version nodes to compare."
    Shadowed "shadowed" Warning "A bundled library is passed over for the runtime's own."
    DoubtfulLibrary "doubtful-library" Note "Whether the runtime has the library is doubtful, so it is shipped."
    StaleBinary "stale-binary" Warning "A source file is newer than the program."
    RuntimeDeprecated "runtime-deprecated" Warning "AWS has deprecated the runtime."
    DirectUploadLimit "direct-upload-limit" Warning "The ZIP is too large for a direct upload."
}

impl Code {
    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// One answer about the user's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The object it is about: the program's name or a library's.
    pub object: String,
    /// The library it is about, where there is one.
    pub soname: Option<String>,
    /// Version nodes, sorted.
    pub versions: Vec<String>,
    /// Symbols that ask for those nodes, sorted.
    pub symbols: Vec<String>,
    /// From the program to `object`, by needs; empty for the program itself.
    pub chain: Vec<String>,
    /// What is the matter: one sentence, lowercase, no final period.
    pub message: String,
    /// One thing to do.
    pub help: Option<String>,
}

impl Finding {
    /// A finding about an object with the code's own severity.
    pub fn new(code: Code, object: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding {
            code,
            severity: code.severity(),
            object: object.into(),
            soname: None,
            versions: Vec::new(),
            symbols: Vec::new(),
            chain: Vec::new(),
            message: message.into(),
            help: None,
        }
    }

    /// Adds one thing to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }

    /// Adds the library it is about.
    #[must_use]
    pub fn soname(mut self, soname: impl Into<String>) -> Finding {
        self.soname = Some(soname.into());
        self
    }
}

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
    /// The files of the bundle.
    pub members: &'a [Member],
    /// The build world's files by needed name, for comparing file versions; empty for `verify`.
    pub build_files: &'a BTreeMap<String, BuildFile>,
    /// Why a needed name was not shipped, where there is a better reason than "not found".
    pub not_shipped: &'a BTreeMap<String, NotShipped>,
}

/// Who can change the program, and how.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// Built by cargo for this target.
    Cargo {
        /// The target triple; `None` for the host's.
        target: Option<&'a str>,
    },
    /// A binary from elsewhere.
    Binary,
    /// An archive made by any tool.
    Archive,
}

/// Why a library that Lambda lacks is not in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShipped {
    /// `--exclude-lib`.
    Excluded,
    /// A part of glibc: never shipped beside the system's others.
    GlibcPart,
    /// Needed by a path, which Lambda does not have.
    Path,
    /// The build world's file is refused by the loader. Says which file and why.
    Refused(String, String),
    /// Not found there either: the paths looked at, for the message.
    NotFound(Vec<String>),
}

/// Reads all walks of one program.
pub fn audit(subject: &Subject, walks: &[Walked]) -> Vec<Finding> {
    let mut findings = Findings::default();
    program_findings(subject, &mut findings);
    // Without an interpreter nothing is loaded: that a library could be found would help nobody.
    let walks = if subject.program.linkage() == Linkage::Broken { &[] } else { walks };
    for walked in walks {
        closure_findings(subject, walked, &mut findings);
        version_findings(subject, walked, &mut findings);
        symbol_findings(subject, walked, &mut findings);
    }
    findings.list
}

#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
    /// Code, object, SONAME and versions of each in the list.
    known: BTreeSet<(Code, String, Option<String>, Vec<String>)>,
}

impl Findings {
    /// Adds a finding unless one of this code, object and SONAME is there.
    fn add(&mut self, finding: Finding) {
        let key = (finding.code, finding.object.clone(), finding.soname.clone(), finding.versions.clone());
        if self.known.insert(key) {
            self.list.push(finding);
        }
    }
}

fn program_findings(subject: &Subject, findings: &mut Findings) {
    let (name, program, lambda) = (subject.name, subject.program, subject.lambda);
    match program.arch() {
        Some(arch) if arch == lambda.arch() => {}
        Some(arch) => findings.add(Finding::new(
            Code::WrongArch,
            name,
            format!("`{name}` is for {arch}, the bundle for {}", lambda.arch()),
        )),
        None => findings.add(
            Finding::new(
                Code::WrongArch,
                name,
                format!("`{name}` is for {}; Lambda runs x86_64 and arm64", program.machine_name()),
            )
            .help("build for one of Lambda's architectures: `--target x86_64-unknown-linux-gnu` or `--target aarch64-unknown-linux-gnu`"),
        ),
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
    for need in &closure.needs {
        match &need.outcome {
            Outcome::Loaded(_) => {}
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
            // A static program relocates itself; everything else is left to the runtime's ld.so.
            let loaded = index > 0 || elf.linkage() == Linkage::Dynamic;
            let uses_glibc = subject.program.libc() != Libc::Musl;
            if elf.has_relr && loaded && uses_glibc {
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
            if let Some(finding) = private_symbols(subject, closure, index, elf) {
                findings.add(finding);
            }
            if index == 0 {
                return;
            }
            if uses_glibc && closure.objects[index].names.iter().any(|name| is_glibc_part(name)) {
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
            let (own, its) = (subject.program.libc(), elf.libc());
            if matches!((own, its), (Libc::Glibc, Libc::Musl) | (Libc::Musl, Libc::Glibc)) {
                let mut finding = Finding::new(
                    Code::LibcMixed,
                    &label,
                    format!(
                        "`{label}` is linked to {}, `{}` to {}; one process cannot have both",
                        its.as_str(),
                        subject.name,
                        own.as_str()
                    ),
                );
                finding.chain = chain(subject, closure, index);
                findings.add(finding);
            }
        }
        Object::System(system) => {
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

/// What GLIBC_PRIVATE holds changes between builds of glibc, though the node is always there.
fn private_symbols(subject: &Subject, closure: &Closure, index: usize, elf: &ElfFacts) -> Option<Finding> {
    let need = elf.verneed.iter().find(|need| need.node == "GLIBC_PRIVATE" && !need.weak)?;
    let label = label(subject, closure, index);
    let answering = closure.objects.iter().find(|object| object.names.contains(&need.file))?;
    if !matches!(answering.file.object, Object::System(_)) || is_glibc_part(&label) {
        return None;
    }
    let mut finding = Finding::new(
        Code::LibcMixed,
        &label,
        format!(
            "`{label}` uses private symbols of the `{}` it was built with (GLIBC_PRIVATE); {} has another build",
            need.file,
            subject.lambda.label()
        ),
    )
    .soname(&need.file);
    finding.versions = vec![need.node.clone()];
    finding.symbols = elf.symbols_needing(&need.file, &[&need.node]);
    finding.chain = chain(subject, closure, index);
    Some(finding)
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
    let build = subject.build_files.get(&system.soname)?;
    let oldest = system.older_file_version().or_else(|| system.file_version());
    let (theirs, ours) = (oldest?, file_version(&build.path)?);
    if !is_newer(ours, theirs) {
        return None;
    }
    let mut finding = Finding::new(
        Code::VersionSkew,
        label(subject, &walked.closure, index),
        format!(
            "`{}` is {theirs} on {}, {ours} where the program was built, and has no version nodes to compare",
            system.soname,
            lambda.label()
        ),
    )
    .soname(&system.soname);
    if lambda.certainty(&system.soname) == Certainty::Doubtful {
        // Two doubts: whether it is there, and whether that matters.
        finding.severity = Severity::Note;
    }
    finding.chain = chain(subject, &walked.closure, index);
    Some(finding)
}

/// `1.2.11` of `libz.so.1.2.11`.
fn file_version(path: &str) -> Option<&str> {
    file_name(path).split_once(".so.").map(|(_, version)| version)
}

/// Compares dotted numbers; anything else is not newer.
fn is_newer(ours: &str, theirs: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
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
    match (subject.owner, subject.program.libc()) {
        (Owner::Cargo { .. }, Libc::Musl) => finding.help(
            "link musl statically, as the `-musl` targets do unless `-C target-feature=-crt-static` is set",
        ),
        (_, Libc::Musl) => finding.help("link it statically to musl"),
        _ if path.starts_with("/nix/") => finding.help(format!(
            "build outside of Nix, or set the interpreter to `{}`",
            lambda.baseline.interpreters[0]
        )),
        _ => finding,
    }
}

fn missing_library(subject: &Subject, walked: &Walked, need: &Need) -> Finding {
    let closure = &walked.closure;
    let by = label(subject, closure, need.by);
    let (soname, lambda) = (&need.name, subject.lambda.label());
    let place = match subject.owner {
        Owner::Archive => "the archive",
        _ => "this machine",
    };
    let (message, help) = match subject.not_shipped.get(soname) {
        _ if let Some(member) = unreadable_member(need) => (
            format!("`{by}` needs `{soname}`; the bundle has `{member}`, but Lambda's user may not read it"),
            Some(format!("store `{member}` with mode 0644")),
        ),
        _ if let Some(member) = member_off_the_path(subject, need) => (
            format!(
                "`{by}` needs `{soname}`; the bundle has `{member}`, but LD_LIBRARY_PATH={} does not lead there",
                walked.variant.library_path
            ),
            Some(format!(
                "add `{}` to the function's LD_LIBRARY_PATH",
                crate::world::parent(&format!("{TASK_ROOT}/{member}"))
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
            Some("link to the library by its SONAME: give it one with `-Wl,-soname,NAME`".to_owned()),
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
                _ => "name a directory that has it with `--library-path DIR`".to_owned(),
            }),
        ),
    };
    let mut finding = Finding::new(Code::MissingLibrary, by, message).soname(soname);
    finding.help = help;
    finding.chain = chain(subject, closure, need.by);
    finding
}

fn version_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    // One finding per needing object, answering object and kind of answer.
    let mut groups: BTreeMap<(usize, Code, Severity, String), Vec<&VersionCheck>> = BTreeMap::new();
    for check in &walked.checks {
        // The library itself is missing, and that has been said.
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
            // ld.so prints "no version information available" and goes on.
            VersionAnswer::NoVersions => (Code::VersionUnknown, Severity::Note),
        };
        groups.entry((check.by, code, severity, check.need.file.clone())).or_default().push(check);
    }
    for ((by, code, severity, file), checks) in groups {
        findings.add(version_finding(subject, walked, by, code, severity, &file, &checks));
    }
}

fn version_finding(
    subject: &Subject,
    walked: &Walked,
    by: usize,
    code: Code,
    severity: Severity,
    file: &str,
    checks: &[&VersionCheck],
) -> Finding {
    let (closure, lambda) = (&walked.closure, subject.lambda);
    let by_label = label(subject, closure, by);
    let mut versions: Vec<String> = checks.iter().map(|check| check.need.node.clone()).collect();
    versions.sort_by(|a, b| crate::version::compare(a, b));
    versions.dedup();
    let symbols = match closure.objects[by].file.object.elf() {
        Some(elf) => elf.symbols_needing(file, &versions),
        None => Vec::new(),
    };
    let wanted = versions.join(", ");
    let answering = checks[0].object;
    let whose = match answering.map(|index| &closure.objects[index].file.object) {
        Some(Object::System(_)) | None => format!("the `{file}` of {}", lambda.label()),
        Some(_) => format!("the bundle's `{file}`"),
    };
    let highest = match answering.map(|index| &closure.objects[index].file.object) {
        Some(Object::System(system)) => {
            let mut families: Vec<&str> = versions.iter().map(|node| crate::version::family(node)).collect();
            families.dedup();
            let known: Vec<&str> = families.iter().filter_map(|family| system.highest(family)).collect();
            if known.is_empty() { String::new() } else { format!(" (it has up to {})", known.join(", ")) }
        }
        _ => String::new(),
    };
    let message = match (code, severity) {
        (Code::VersionTooNew, Severity::Error) if checks[0].answer == VersionAnswer::NoSuchFile => format!(
            "`{by_label}` asks for {wanted} of `{file}`, but needs no library of that name; ld.so stops with an assertion"
        ),
        (Code::VersionTooNew, Severity::Error) => {
            format!("`{by_label}` needs {wanted}, which {whose} does not have{highest}")
        }
        (Code::VersionTooNew, _) => {
            format!(
                "`{by_label}` asks weakly for {wanted}, which {whose} does not have{highest}; ld.so prints a line and goes on"
            )
        }
        (Code::VersionRecent, _) => {
            let mut images: Vec<&str> = checks
                .iter()
                .filter_map(|check| match &check.answer {
                    VersionAnswer::Later(image) => Some(image.as_str()),
                    _ => None,
                })
                .collect();
            images.sort_unstable();
            images.dedup();
            format!(
                "`{by_label}` needs {wanted}, which {whose} has only since image {}; a function that is pinned to an older one does not start",
                images.join(", ")
            )
        }
        (Code::VersionUnknown, Severity::Note) => format!(
            "`{by_label}` asks for {wanted}, and {whose} has no version nodes; ld.so prints \"no version information available\" and goes on"
        ),
        _ => format!("`{by_label}` needs {wanted}; whether {whose} has it is not known"),
    };
    let mut finding = Finding::new(code, &by_label, message).soname(file);
    finding.severity = severity;
    finding.versions = versions;
    finding.symbols = symbols;
    finding.chain = chain(subject, closure, by);
    if severity == Severity::Error || code == Code::VersionRecent {
        finding.help = match finding.versions.as_slice() {
            // It is how the linker says that it packed the relocations, whatever glibc it linked against.
            [only] if only == "GLIBC_ABI_DT_RELR" && by == 0 => Some(RELR_HELP.to_owned()),
            _ => version_help(subject, by, &by_label, file),
        };
    }
    finding
}

/// What helps depends on who needs the version: the program can be rebuilt, a library must be replaced.
fn version_help(subject: &Subject, by: usize, by_label: &str, file: &str) -> Option<String> {
    let glibc = &subject.lambda.baseline.glibc;
    let is_glibc = is_glibc_part(file);
    match (subject.owner, by, is_glibc) {
        (Owner::Cargo { target }, 0, true) => {
            let arch = subject.lambda.arch().gnu_name();
            let gnu = match target {
                Some(target) if target.contains("gnu") => target.to_owned(),
                _ => format!("{arch}-unknown-linux-gnu"),
            };
            Some(format!(
                "build against glibc {glibc} or older (`cargo zigbuild --release --target {gnu}.{glibc}`), or for `{arch}-unknown-linux-musl`"
            ))
        }
        (_, 0, true) => {
            Some(format!("build it against glibc {glibc} or older, or link it statically to musl"))
        }
        (Owner::Archive, 0, false) => {
            Some(format!("build it against the `{file}` of the runtime, or an older one"))
        }
        (_, 0, false) => Some(format!(
            "link it to a `{file}` as old as the runtime's: name the root of such a system with `--sysroot DIR`"
        )),
        (Owner::Archive, _, true) => {
            Some(format!("replace `{by_label}` by one that was built against glibc {glibc} or older"))
        }
        (Owner::Archive, ..) => {
            Some(format!("replace `{by_label}` by one that was built against an older `{file}`"))
        }
        (_, _, true) => Some(format!(
            "take `{by_label}` from a system with glibc {glibc} or older: name its root with `--sysroot DIR`, or a directory with `--library-path DIR`"
        )),
        _ => Some(format!(
            "take `{by_label}` from a system whose `{file}` is as old as the runtime's: name its root with `--sysroot DIR`, or a directory with `--library-path DIR`"
        )),
    }
}

/// One finding per object and the library it expects the symbols of.
fn symbol_findings(subject: &Subject, walked: &Walked, findings: &mut Findings) {
    let closure = &walked.closure;
    let mut groups: BTreeMap<(usize, Option<String>, bool), Vec<&Undefined>> = BTreeMap::new();
    for undefined in &walked.undefined {
        let file = undefined.version.as_ref().map(|(file, _)| file.clone());
        groups.entry((undefined.by, file, undefined.certain)).or_default().push(undefined);
    }
    for ((by, file, certain), group) in groups {
        let by_label = label(subject, closure, by);
        let binds_now = closure.objects[by].file.object.elf().is_some_and(ElfFacts::binds_now);
        let mut symbols: Vec<String> = group.iter().map(|undefined| undefined.symbol.clone()).collect();
        symbols.sort();
        let (first, more) = (&symbols[0], symbols.len() - 1);
        let named = match more {
            0 => format!("the symbol `{first}`"),
            1 => format!("the symbols `{first}` and `{}`", symbols[1]),
            _ => format!("the symbol `{first}` and {more} more"),
        };
        let place = match &file {
            Some(file) => format!("of `{file}`"),
            None => "of some library".to_owned(),
        };
        let consequence = match (certain, binds_now) {
            (true, true) => "which no library it loads defines; it fails at start",
            (true, false) => "which no library it loads defines; it fails when the first of them is called",
            (false, _) => "which no library that we know defines; one of the runtime's might",
        };
        let mut finding = Finding::new(
            Code::UndefinedSymbol,
            &by_label,
            format!("`{by_label}` needs {named} {place}, {consequence}"),
        );
        finding.severity = if certain && binds_now { Severity::Error } else { Severity::Warning };
        finding.soname = file;
        let mut versions: Vec<String> = group
            .iter()
            .filter_map(|undefined| undefined.version.as_ref().map(|(_, node)| node.clone()))
            .collect();
        versions.sort_by(|a, b| crate::version::compare(a, b));
        versions.dedup();
        finding.versions = versions;
        finding.symbols = symbols;
        finding.chain = chain(subject, closure, by);
        findings.add(finding);
    }
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
    if was_met { None } else { Some(member_name(&member.path)) }
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
    path.strip_prefix(TASK_ROOT).map_or(path, |rest| rest.trim_start_matches('/'))
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
