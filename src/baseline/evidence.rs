//! What baselines rest on: sources of known kind and date, and the level of evidence that follows from them.
//!
//! No text states a level. It follows from the sources of an object, so that it cannot claim more than they carry.

use super::lines::{TextLine, shown};
use crate::elf::Arch;
use crate::error::Result;

/// The evidence for an object's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// A probe of this very runtime and architecture found it.
    Measured,
    /// AWS says that this very runtime has it.
    Documented,
    /// Two independent sources say so.
    Derived,
    /// One source says so.
    Doubtful,
    /// Read from a root that the user captured.
    Captured,
}

impl Evidence {
    /// All levels.
    pub const ALL: [Evidence; 5] =
        [Evidence::Measured, Evidence::Documented, Evidence::Derived, Evidence::Doubtful, Evidence::Captured];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::Measured => "measured",
            Evidence::Documented => "documented",
            Evidence::Derived => "derived",
            Evidence::Doubtful => "doubtful",
            Evidence::Captured => "captured",
        }
    }
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A list of files that was made inside a function.
    Probe,
    /// A container image.
    Image,
    /// A list of packages, which does not name their files. With `of=` it was made inside a function.
    Packages,
    /// A document of AWS.
    Documented,
    /// What somebody's function did or did not do.
    Report,
    /// A version script or a build of the same release elsewhere, for version nodes.
    Upstream,
}

impl SourceKind {
    const ALL: [SourceKind; 6] = [
        SourceKind::Probe,
        SourceKind::Image,
        SourceKind::Packages,
        SourceKind::Documented,
        SourceKind::Report,
        SourceKind::Upstream,
    ];

    /// The word in baselines and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceKind::Probe => "probe",
            SourceKind::Image => "image",
            SourceKind::Packages => "packages",
            SourceKind::Documented => "documented",
            SourceKind::Report => "report",
            SourceKind::Upstream => "upstream",
        }
    }
}

/// One source, which objects name by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its code.
    pub code: String,
    /// Its kind.
    pub kind: SourceKind,
    /// The day of what it shows, `YYYY-MM-DD`; only the month, `YYYY-MM`, if no more is known.
    pub date: String,
    /// The runtimes or images that it was made of or speaks of.
    pub of: Vec<String>,
    /// The architecture, if it is of one only.
    pub arch: Option<Arch>,
    /// The version of the runtime (`provided:al2023.v109`) or the digest of the image, if known.
    pub at: Option<String>,
    /// What it shows, and where it is.
    pub text: String,
}

impl Source {
    /// Reads the value of an `evidence` line: `CODE KIND DATE [of=NAMES[/ARCH]] [at=VERSION] TEXT`.
    pub(super) fn read(entry: &TextLine<'_>) -> Result<Source> {
        const FORM: &str = "CODE KIND DATE TEXT";
        let (code, rest) = entry.word_and_rest(FORM)?;
        let (kind, rest) = entry.with(rest).word_and_rest(FORM)?;
        let (date, mut rest) = entry.with(rest).word_and_rest(FORM)?;
        let kind = SourceKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(|| {
            let known = SourceKind::ALL.map(SourceKind::as_str).join(", ");
            entry.error(format_args!("`{}` is not a kind of evidence: {known}", shown(kind)))
        })?;
        let date = if date.len() == 7 { format!("{date}-01") } else { date.to_owned() };
        let date = entry.with(&date).date()?;
        let mut source = Source {
            code: code.to_owned(),
            kind,
            date,
            of: Vec::new(),
            arch: None,
            at: None,
            text: String::new(),
        };
        while let Some((word, after)) = rest.split_once(' ') {
            if let Some(value) = word.strip_prefix("of=") {
                let (names, arch) =
                    value.split_once('/').map_or((value, None), |(names, arch)| (names, Some(arch)));
                source.of = names.split(',').map(str::to_owned).collect();
                if source.of.iter().any(String::is_empty) {
                    return Err(entry.error("`of=` names a runtime or an image"));
                }
                source.arch = match arch {
                    None => None,
                    Some(word) => Some(
                        [Arch::X86_64, Arch::Arm64]
                            .into_iter()
                            .find(|arch| arch.as_str() == word)
                            .ok_or_else(|| {
                                entry.error(format_args!(
                                    "`of=` ends with /x86_64 or /arm64, not `/{}`",
                                    shown(word)
                                ))
                            })?,
                    ),
                };
            } else if let Some(value) = word.strip_prefix("at=") {
                if value.is_empty() {
                    return Err(entry.error("`at=` names a version or a digest"));
                }
                source.at = Some(value.to_owned());
            } else {
                break;
            }
            rest = after.trim_start();
        }
        if rest.starts_with("of=") || rest.starts_with("at=") {
            return Err(entry.error(format_args!("expected `{} {FORM}`", entry.key)));
        }
        source.text = rest.to_owned();
        Ok(source)
    }

    /// Whether the source is of this runtime.
    pub fn is_of(&self, runtime: &str) -> bool {
        self.of.iter().any(|name| name == runtime)
    }

    /// Whether the source is of this runtime and architecture.
    pub fn is_of_both(&self, runtime: &str, arch: Arch) -> bool {
        self.is_of(runtime) && self.arch.is_none_or(|own| own == arch)
    }

    /// Whether the source shows what functions saw, rather than images and documents.
    fn is_from_functions(&self) -> bool {
        match self.kind {
            SourceKind::Probe | SourceKind::Report => true,
            SourceKind::Packages => !self.of.is_empty(),
            SourceKind::Image | SourceKind::Documented | SourceKind::Upstream => false,
        }
    }
}

/// The level of evidence that sources carry for an object of a runtime.
///
/// A list from another runtime is no probe of this one. A probe of a container image measures the image, which is a
/// runtime here.
pub fn level(sources: &[&Source], runtime: &str, arch: Arch) -> Evidence {
    let is_probe = |source: &&&Source| {
        matches!(source.kind, SourceKind::Probe | SourceKind::Image) && source.is_of_both(runtime, arch)
    };
    let is_documented =
        |source: &&&Source| source.kind == SourceKind::Documented && source.is_of_both(runtime, arch);
    if sources.iter().any(|source| is_probe(&source)) {
        Evidence::Measured
    } else if sources.iter().any(|source| is_documented(&source)) {
        Evidence::Documented
    } else if sources.len() > 1 {
        Evidence::Derived
    } else {
        Evidence::Doubtful
    }
}

/// Whether sources make it certain that functions find an object. If not, bundles are proved with and without it.
///
/// It is certain if two show it and it was seen in this very runtime, on any architecture, or by both in functions.
/// What only images and documents show beside one list from other functions is not: on Amazon Linux 2 the image had 16
/// packages that functions lacked.
pub fn is_certain(sources: &[&Source], runtime: &str, arch: Arch) -> bool {
    let seen = sources.iter().filter(|source| source.is_from_functions()).count();
    let is_own = |source: &&Source| {
        matches!(source.kind, SourceKind::Probe | SourceKind::Packages | SourceKind::Image)
            && source.is_of(runtime)
    };
    level(sources, runtime, arch) != Evidence::Doubtful && (seen > 1 || sources.iter().any(is_own))
}
