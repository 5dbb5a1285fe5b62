//! The crates and object files that ask for the symbols of a finding.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Finding, Severity};
use crate::baseline::is_glibc_part;
use crate::elf::static_library::ObjectReference;
use crate::paths::file_name;

/// A package that was linked into the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedPackage {
    /// The name, as in its manifest.
    pub name: String,
    /// The version, if it is known.
    pub version: Option<String>,
}

/// An object file that refers to one of a finding's symbols.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// The symbol.
    pub symbol: String,
    /// The package with the object file.
    pub package: LinkedPackage,
    /// The path of the static library (`.a` or `.rlib`) with the object file.
    pub library: String,
    /// The object file's name in the library.
    pub object: String,
    /// Whether the program has a function of the object file; `None` if that is not known.
    pub is_linked: Option<bool>,
}

/// A static library that was not read, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// The path.
    pub library: String,
    /// The reason.
    pub why: String,
}

/// The origin of a finding's symbols or library in the build; empty where nobody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolOrigin {
    /// The object files that refer to the symbols; several for one symbol mean that any of them may have been linked.
    pub askers: Vec<Asker>,
    /// The library that the program was linked to, and that is or needs the object of the finding.
    pub library: Option<String>,
    /// The packages that link that library.
    pub linked_by: Vec<LinkedPackage>,
    /// The static libraries that could not be read.
    pub unread: Vec<Unread>,
    /// Symbols that no static library refers to.
    pub unasked: Vec<String>,
    /// Whether all packages are the program's; else some may be of other builds.
    pub is_exact: bool,
    /// The step that builds the library into the program.
    pub step: Option<String>,
    /// The origins of further findings, if one finding is shown for several.
    pub others: Vec<SymbolOrigin>,
}

/// A static library of the build that was read.
#[derive(Debug, Clone, Default)]
pub struct ReadLibrary {
    /// Its package.
    pub package: LinkedPackage,
    /// Its path.
    pub path: String,
    /// Its references to the symbols of findings.
    pub references: Vec<ObjectReference>,
}

/// A package of the build.
#[derive(Debug, Clone, Default)]
pub struct BuildPackage {
    /// The package.
    pub package: LinkedPackage,
    /// The libraries that it links, without `lib` and ending.
    pub links: Vec<String>,
    /// The features that are off.
    pub features_off: Vec<String>,
    /// Whether the program's own package depends on it directly.
    pub is_direct: bool,
}

/// The build of one program, as far as it tells where symbols come from.
#[derive(Debug, Clone, Default)]
pub struct BuildOrigins {
    /// The program's package.
    pub package: String,
    /// The packages.
    pub packages: Vec<BuildPackage>,
    /// The functions of libraries that the program uses, for libraries that findings are about.
    pub functions: BTreeMap<String, BTreeSet<String>>,
    /// The static libraries that were read.
    pub libraries: Vec<ReadLibrary>,
    /// The static libraries that could not be read.
    pub unread: Vec<Unread>,
    /// Whether all packages are the program's.
    pub is_exact: bool,
}

/// Whether a finding is about symbols or versions, which something in the build asks for.
pub fn has_origin(finding: &Finding) -> bool {
    matches!(
        finding.code,
        Code::VersionTooNew | Code::VersionRecent | Code::GlibcRebound | Code::UndefinedSymbol
    )
}

/// The symbols whose askers are looked for: those of the program itself.
pub fn symbols_of<'a>(finding: &'a Finding, program: &str) -> &'a [String] {
    if has_origin(finding) && finding.object == program { &finding.symbols } else { &[] }
}

/// Adds to a finding where its symbols come from, and to its help the feature that avoids the library.
pub fn add_origin(finding: &mut Finding, program: &str, build: &BuildOrigins) {
    if !has_origin(finding) {
        return;
    }
    let mut origin = SymbolOrigin::of_symbols(symbols_of(finding, program), build);
    let linked = linked_library(finding, program);
    let by = linking(build, linked.as_deref());
    origin.library.clone_from(&linked);
    origin.linked_by = by.iter().map(|it| it.package.clone()).collect();
    if finding.severity == Severity::Error
        && let (Some(library), Some(help)) = (&linked, &mut finding.help)
        && let Some(step) = by.iter().find_map(|it| feature_step(it, build))
    {
        let step = format!("build `{library}` into the program: {step}");
        help.push_str(&format!("; or {step}"));
        origin.step = Some(step);
    }
    finding.origin = origin;
}

/// The packages that link a library: those whose build script says so, or else those that use its functions.
fn linking<'a>(build: &'a BuildOrigins, library: Option<&str>) -> Vec<&'a BuildPackage> {
    let by: Vec<&BuildPackage> = build.packages.iter().filter(|it| links(it, library)).collect();
    let Some(functions) = library.and_then(|library| build.functions.get(library)).filter(|_| by.is_empty())
    else {
        return by;
    };
    let is_user = |package: &&BuildPackage| {
        let own = build.libraries.iter().filter(|library| library.package == package.package);
        let mut references = own.flat_map(|library| &library.references);
        references.any(|it| it.is_linked != Some(false) && functions.contains(&it.symbol))
    };
    build.packages.iter().filter(is_user).collect()
}

/// The library that the program was linked to and that the finding is about; `None` for glibc's parts.
pub fn linked_library(finding: &Finding, program: &str) -> Option<String> {
    let library = match finding.object == program {
        true => finding.soname.as_ref()?,
        false => finding.chain.get(1).unwrap_or(&finding.object),
    };
    (!is_glibc_part(library)).then(|| library.clone())
}

/// Whether a package links a library: `pq` is `libpq.so.5`.
fn links(package: &BuildPackage, library: Option<&str>) -> bool {
    let name = library.and_then(|library| library.strip_prefix("lib")?.split(".so").next());
    name.is_some_and(|name| package.links.iter().any(|link| link == name))
}

/// The object files that refer to these symbols, sorted.
fn askers(symbols: &[String], libraries: &[ReadLibrary]) -> Vec<Asker> {
    let mut askers = Vec::new();
    for library in libraries {
        for reference in library.references.iter().filter(|it| symbols.contains(&it.symbol)) {
            askers.push(Asker {
                symbol: reference.symbol.clone(),
                package: library.package.clone(),
                library: library.path.clone(),
                object: reference.object.clone(),
                is_linked: reference.is_linked,
            });
        }
    }
    // rustc copies the object files of a native library into the crate's rlib.
    let is_rlib = |asker: &Asker| asker.library.ends_with(".rlib");
    let native: Vec<Asker> = askers.iter().filter(|asker| !is_rlib(asker)).cloned().collect();
    let is_copy = |asker: &Asker| {
        let same = |other: &Asker| {
            (&other.symbol, &other.package.name, &other.object)
                == (&asker.symbol, &asker.package.name, &asker.object)
        };
        is_rlib(asker) && native.iter().any(same)
    };
    askers.retain(|asker| !is_copy(asker));
    // Those of which the program has a part are enough of an answer.
    let is_linked = |asker: &Asker| asker.is_linked == Some(true);
    let answered: BTreeSet<String> =
        askers.iter().filter(|asker| is_linked(asker)).map(|asker| asker.symbol.clone()).collect();
    askers.retain(|asker| is_linked(asker) || !answered.contains(&asker.symbol));
    askers.sort();
    askers.dedup();
    askers
}

/// Names of features with which a crate builds a native library, rather than linking the system's.
const OWN_BUILD: [&str; 3] = ["vendored", "bundled", "static"];

/// Returns the step that turns such a feature on.
fn feature_step(package: &BuildPackage, build: &BuildOrigins) -> Option<String> {
    let feature = OWN_BUILD.iter().find(|name| package.features_off.iter().any(|off| off == *name))?;
    let LinkedPackage { name, version } = &package.package;
    let own = &build.package;
    Some(match version {
        _ if package.is_direct => format!("`cargo add -p {own} {name} --features {feature}`"),
        // Features add up over all dependents of one version.
        Some(version) => format!("`cargo add -p {own} {name}@{version} --features {feature}`"),
        None => format!("turn the feature `{feature}` of `{name}` on"),
    })
}

impl SymbolOrigin {
    /// The origin of these symbols of the program.
    pub fn of_symbols(symbols: &[String], build: &BuildOrigins) -> SymbolOrigin {
        let mut origin = SymbolOrigin { is_exact: build.is_exact, ..SymbolOrigin::default() };
        if !symbols.is_empty() {
            origin.askers = askers(symbols, &build.libraries);
            origin.unread.clone_from(&build.unread);
            let is_asked = |symbol: &String| origin.askers.iter().any(|asker| asker.symbol == *symbol);
            origin.unasked = symbols.iter().filter(|symbol| !is_asked(symbol)).cloned().collect();
        }
        origin
    }

    /// Joins the origins of findings that are shown as one.
    pub fn joined<'a>(origins: impl Iterator<Item = &'a SymbolOrigin>) -> SymbolOrigin {
        SymbolOrigin { others: origins.cloned().collect(), ..SymbolOrigin::default() }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.askers.is_empty() && self.linked_by.is_empty() && self.unasked.is_empty()
    }

    /// Describes the origin in lines of text; all of it if `verbose`.
    pub fn lines(&self, verbose: bool) -> Vec<String> {
        let mut groups: BTreeMap<AskedBy, Vec<&str>> = BTreeMap::new();
        let mut by_symbol: BTreeMap<&str, Vec<&Asker>> = BTreeMap::new();
        for asker in &self.askers {
            by_symbol.entry(&asker.symbol).or_default().push(asker);
        }
        for (symbol, askers) in by_symbol {
            let by = AskedBy { is_certain: self.is_certain(&askers), files: words(&askers, verbose) };
            groups.entry(by).or_default().push(symbol);
        }
        let mut groups: Vec<_> = groups.into_iter().map(|(by, symbols)| (symbols, by)).collect();
        groups.sort();
        let most = if verbose { usize::MAX } else { 3 };
        let mut lines: Vec<String> =
            groups.iter().take(most).map(|(symbols, by)| asked(symbols, by)).collect();
        if groups.len() > most {
            lines.push(format!("and {} more (`-v` lists them)", groups.len() - most));
        }
        lines.extend(self.unasked_line());
        if !self.linked_by.is_empty() {
            let names: Vec<String> =
                self.linked_by.iter().map(|package| format!("`{}`", package.name)).collect();
            let library = self.library.as_deref().unwrap_or_default();
            lines.push(format!("`{library}` is linked by {}", names.join(" and ")));
        }
        for line in self.others.iter().flat_map(|other| other.lines(verbose)) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// Whether these askers of one symbol are known to be linked, or are the only ones there can be.
    fn is_certain(&self, askers: &[&Asker]) -> bool {
        let is_only = matches!(askers, [only] if only.is_linked.is_none()) && self.unread.is_empty();
        self.is_exact && (is_only || askers.iter().all(|asker| asker.is_linked == Some(true)))
    }

    fn unasked_line(&self) -> Option<String> {
        let symbols: Vec<&str> = self.unasked.iter().map(String::as_str).collect();
        if symbols.is_empty() {
            return None;
        }
        Some(match self.unread.as_slice() {
            [] if !self.is_exact => format!(
                "who asks for {} is unknown: cargo's records of the build cannot be followed",
                code_list(&symbols)
            ),
            [] => format!(
                "no crate asks for {}: the program's own code does, or a file that the linker adds",
                code_list(&symbols)
            ),
            [only] => format!("who asks for {} is unknown: {}", code_list(&symbols), only.line()),
            [first, more @ ..] => format!(
                "who asks for {} is unknown: {}, nor can {} more",
                code_list(&symbols),
                first.line(),
                more.len()
            ),
        })
    }
}

impl Unread {
    fn line(&self) -> String {
        format!("`{}` cannot be read ({})", file_name(&self.library), self.why)
    }
}

/// Who asks for symbols.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct AskedBy {
    is_certain: bool,
    files: Vec<String>,
}

fn asked(symbols: &[&str], by: &AskedBy) -> String {
    let (verb, and) = match (by.is_certain, symbols.len()) {
        (true, 1) => ("is asked for by", " and "),
        (true, _) => ("are asked for by", " and "),
        (false, _) => ("may be asked for by", ", or "),
    };
    format!("{} {verb} {}", code_list(symbols), by.files.join(and))
}

/// Names at most three symbols.
fn code_list(symbols: &[&str]) -> String {
    let code = |symbol: &&str| format!("`{symbol}`");
    match symbols {
        [first, second, third, more @ ..] if !more.is_empty() => {
            format!("{}, {}, {} and {} more", code(first), code(second), code(third), more.len())
        }
        all => all.iter().map(code).collect::<Vec<_>>().join(", "),
    }
}

/// Describes the askers of one symbol, library by library: at most three unless `verbose`.
fn words(askers: &[&Asker], verbose: bool) -> Vec<String> {
    let mut by_library: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for asker in askers {
        let objects = by_library.entry((&asker.package.name, &asker.library)).or_default();
        // The object files of Rust code have names that tell nothing: `orders-HASH.orders.HASH-cgu.0.rcgu.o`.
        if !asker.object.ends_with(".rcgu.o") {
            objects.push(object_name(&asker.object));
        }
    }
    let word = |((package, library), objects): ((&str, &str), Vec<&str>)| {
        let objects = match objects.as_slice() {
            [] => String::new(),
            [first, second, third, more @ ..] if !more.is_empty() && !verbose => {
                format!(": {first}, {second}, {third} and {} more", more.len())
            }
            all => format!(": {}", all.join(", ")),
        };
        format!("`{package}` ({}{objects})", file_name(library))
    };
    let mut words: Vec<String> = by_library.into_iter().map(word).collect();
    if !verbose && words.len() > 3 {
        let more = words.len() - 2;
        words.truncate(2);
        words.push(format!("{more} more (`-v` lists them)"));
    }
    words
}

/// The name of an object file without the hash that the crate `cc` puts before it.
fn object_name(name: &str) -> &str {
    match name.split_once('-') {
        Some((hash, rest)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest,
        _ => name,
    }
}
