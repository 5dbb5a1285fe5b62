//! Findings: their codes, names and severities.

use std::collections::BTreeSet;

use super::{Cause, SymbolOrigin};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program does not start, or the archive is refused.
    Error,
    /// It starts, as far as is known, but the finding needs attention.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// Returns the word for JSON, which is part of the contract.
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
            /// Every kind, in the order of `help findings`.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The name, as in JSON and after `--deny`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// Returns the meaning, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $doc),+ }
            }

            /// Returns the severity without `--deny` and `--allow`.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity),+ }
            }
        }
    };
}

codes! {
    MissingLibrary "missing-library" Error "A needed library is neither in the bundle nor on the runtime."
    VersionTooNew "version-too-new" Error "The library that would load does not have a needed symbol version."
    InterpreterMissing "interpreter-missing" Error "PT_INTERP does not exist on the runtime."
    BrokenStaticPie "broken-static-pie" Error "The program needs libraries but names no interpreter to load them."
    RelrUnsupported "relr-unsupported" Error "The program has DT_RELR, which the runtime's glibc ignores, and crashes."
    UndefinedSymbol "undefined-symbol" Error "A symbol is defined by no loaded object."
    StaticTls "static-tls" Error "A library that is opened at run time needs more static thread-local storage than is left."
    WrongArch "wrong-arch" Error "An object is for another machine."
    NotElf "not-elf" Error "A file in the closure or archive cannot be loaded or started."
    NotExecutable "not-executable" Error "The program's mode lacks the execute bit, or others may not read it."
    RepairConflict "repair-conflict" Error "No copy of a library serves both the program and the runtime's other libraries."
    NotEditable "not-editable" Error "A file must be edited for the program to start, but cannot be."
    LibcMixed "libc-mixed" Error "Parts of two C libraries, or of two builds of one, would load together."
    SizeLimit "size-limit" Error "The unzipped bundle is over Lambda's limit."
    SizeBudget "size-budget" Error "The unzipped bundle is over the size that `--max-size` allows."
    SizeGrown "size-grown" Error "The unzipped bundle grew by more than `--max-growth` allows."
    BootstrapMissing "bootstrap-missing" Error "The archive has no `bootstrap` at its root."
    NotStarted "not-started" Error "The runtime starts no `bootstrap`, and the archive has nothing else to start."
    VersionRecent "version-recent" Warning "Only newer images of the runtime have a needed symbol version."
    VersionUnknown "version-unknown" Warning "It is unknown whether the runtime's library has a needed symbol version."
    VersionSkew "version-skew" Warning "The runtime's library is older than the one of the build and has no symbol versions, or a layer's is another build."
    GlibcRebound "glibc-rebound" Warning "References to a newer glibc are bound to older versions of the runtime's."
    LibcBundled "libc-bundled" Warning "The program runs with the bundle's own C library, which AWS does not patch."
    Shadowed "shadowed" Warning "A bundled library is never loaded: the runtime's own comes first."
    DoubtfulLibrary "doubtful-library" Note "It is doubtful whether the runtime has the library, so it is shipped."
    StaticGlibcNss "static-glibc-nss" Warning "A static program opens modules of another glibc."
    Dlopen "dlopen" Warning "A library that is opened at run time is neither in the bundle nor on the runtime."
    CaBundle "ca-bundle" Warning "A TLS library looks for certificates where Amazon Linux has none."
    CpuLevel "cpu-level" Warning "A program or library needs processors that Lambda may not have."
    CompanionData "companion-data" Warning "A library needs files that the bundle does not have."
    NotARuntime "not-a-runtime" Warning "The program shows no sign of the Runtime API."
    StaleBinary "stale-binary" Warning "A source file is newer than the program."
    NamesOnly "names-only" Note "The baseline is a list of names: what the libraries define and need is unknown."
    BaselineOld "baseline-old" Warning "The newest evidence of the runtime's baseline is over a year old."
    RuntimeDeprecated "runtime-deprecated" Warning "AWS has deprecated the runtime."
    SuspiciousInclude "suspicious-include" Warning "An included file that nobody named looks like a secret."
    TemplateMismatch "template-mismatch" Error "The deployment template does not match the archive."
    TemplateUnknown "template-unknown" Warning "A value of the deployment template is unknown until it is deployed."
    DirectUploadLimit "direct-upload-limit" Warning "The ZIP is too large for a direct upload."
    CratesUnknown "crates-unknown" Note "The bill of materials does not have the crates of a Rust program."
}

impl Code {
    /// Whether it is about a limit of the user's, which says nothing on whether the program starts.
    pub fn is_own_limit(self) -> bool {
        matches!(self, Code::SizeBudget | Code::SizeGrown)
    }

    /// Returns the code with this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// One result about the user's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// Its severity.
    pub severity: Severity,
    /// The object it is about: the program's name or a library's.
    pub object: String,
    /// The library it is about, if any.
    pub soname: Option<String>,
    /// The symbol versions it is about, sorted.
    pub versions: Vec<String>,
    /// The symbols that need these versions, sorted.
    pub symbols: Vec<String>,
    /// The objects from the program to `object`, by needs; empty for the program itself.
    pub chain: Vec<String>,
    /// The problem: one sentence of at most 100 characters beside the names in it, lowercase, no final period.
    pub message: String,
    /// What else is worth knowing, such as what follows or what was seen: one sentence each.
    pub details: Vec<String>,
    /// One next step.
    pub help: Option<String>,
    /// Whether it leaves open if the program starts.
    pub leaves_open: bool,
    /// The crates that ask for the symbols.
    pub origin: SymbolOrigin,
    /// What it may share with other findings.
    pub cause: Option<Cause>,
}

impl Finding {
    /// Makes a finding about an object, with the code's own severity.
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
            details: Vec::new(),
            help: None,
            leaves_open: false,
            origin: SymbolOrigin::default(),
            cause: None,
        }
    }

    /// Returns the key. A second finding with the same key is a duplicate.
    pub fn key(&self) -> FindingKey {
        FindingKey {
            code: self.code,
            severity: self.severity,
            object: self.object.clone(),
            soname: self.soname.clone(),
            versions: self.versions.clone(),
            symbols: self.symbols.clone(),
        }
    }

    /// Adds a sentence below the message.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Finding {
        self.details.push(detail.into());
        self
    }

    /// Adds one next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }

    /// Adds what it may share with other findings.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Finding {
        self.cause = Some(cause);
        self
    }

    /// Adds the library it is about.
    #[must_use]
    pub fn soname(mut self, soname: impl Into<String>) -> Finding {
        self.soname = Some(soname.into());
        self
    }
}

/// The identity of a finding: several variants of the Lambda world, or two programs, may show the same problem.
///
/// The severity is part of it: a call that fails later must not hide a reference that fails at start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKey {
    code: Code,
    severity: Severity,
    object: String,
    soname: Option<String>,
    versions: Vec<String>,
    symbols: Vec<String>,
}

/// The findings of a run about one program, without duplicates.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    known: BTreeSet<FindingKey>,
}

impl Findings {
    /// Adds a finding unless it is a duplicate.
    pub fn add(&mut self, finding: Finding) {
        if self.known.insert(finding.key()) {
            self.list.push(finding);
        }
    }

    /// Adds each finding unless it is a duplicate, such as one library's finding from two programs.
    pub fn merge(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Adds all findings without a check for duplicates.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.known.insert(finding.key());
            self.list.push(finding);
        }
    }

    /// Returns all findings, in the order in which they were added.
    pub fn into_vec(self) -> Vec<Finding> {
        self.list
    }

    /// Returns all findings for changes of what does not identify them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.list.iter_mut()
    }

    /// Returns all findings, in the order in which they were added.
    pub fn as_slice(&self) -> &[Finding] {
        &self.list
    }
}
