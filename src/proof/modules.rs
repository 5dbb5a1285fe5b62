//! The builds of native modules, and which of them a language's runtime opens.
//!
//! Packages of npm ship a module in several builds, and open the one that fits: `prebuilds/linux-x64/`,
//! `@img/sharp-linux-x64`, `x.linux-x64-gnu.node`. A build for another system, architecture, C library or version of
//! the language is wrong only if no build that fits is beside it. Files that no loader of Linux reads, Mach-O and PE,
//! are builds, too, if their names are those of modules.

mod family;
mod node;
mod python;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::unpacked::{bytes_of, facts_of};
use crate::archive::{Kind, ReadEntry};
use crate::audit::{Cause, Code, Finding};
use crate::elf::{Arch, ElfError, ElfFacts, Libc, OtherFormat};
use crate::lambda::LambdaWorld;
use crate::loader::Rules;
use crate::paths;

use self::family::{Family, package_of};
use self::python::PythonVersion;
use super::{EntryPoint, Unpacked, UnpackedFile};

/// The language whose runtime opens an archive's modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Node,
    Python(PythonVersion),
    /// Another language, or a program of the archive.
    Other,
}

impl Language {
    fn of(runtime: &str) -> Language {
        match runtime.strip_prefix("python").and_then(PythonVersion::parse) {
            Some(version) => Language::Python(version),
            None if runtime.starts_with("nodejs") => Language::Node,
            None => Language::Other,
        }
    }
}

/// The process that opens the modules.
struct Process<'a> {
    language: Language,
    lambda: &'a LambdaWorld,
    libc: Libc,
    rules: Rules,
}

impl Process<'_> {
    fn arch(&self) -> Arch {
        self.lambda.arch()
    }
}

/// One build of a module, or of a program of a package.
struct Build<'a> {
    name: &'a str,
    family: Family,
    /// The reason for which this process cannot use it.
    misfit: Option<Misfit>,
    is_program: bool,
}

/// The reason for which a process cannot use a build.
#[derive(Debug, Clone)]
struct Misfit {
    /// The words after "is".
    what: String,
    /// The loader's reason, if it refuses the file.
    reason: Option<String>,
    code: Code,
    /// The distance from what would fit: a message names the nearest build.
    distance: u8,
}

impl Misfit {
    fn new(what: impl Into<String>, code: Code, distance: u8) -> Option<Misfit> {
        Some(Misfit { what: what.into(), reason: None, code, distance })
    }
}

/// What is known of an archive's builds without a walk of the loader.
#[derive(Default)]
pub(super) struct Judged {
    /// The findings about builds that the process would have to open and cannot.
    pub findings: Vec<Finding>,
    /// The names of the files that need no walk: a build that fits is beside them, or a finding is about them.
    pub settled: BTreeSet<String>,
}

impl Unpacked<'_> {
    /// Whether a program of an npm package may be one of several builds: Lambda does not start it.
    pub(super) fn is_of_package(&self, name: &str) -> bool {
        !self.starts_bootstrap && package_of(name).is_some()
    }

    /// Compares the builds of each module with what the runtime opens.
    pub(super) fn judge_modules(&self, lambda: &LambdaWorld) -> Judged {
        let language = match self.starts_bootstrap {
            true => Language::Other,
            false => Language::of(&lambda.baseline.runtime),
        };
        let main =
            self.main.as_ref().filter(|main| self.starts_bootstrap && main.facts.interpreter.is_some());
        let libc = match main.map(|main| main.facts.libc()) {
            Some(Libc::Musl) => Libc::Musl,
            _ => Libc::Glibc,
        };
        let rules = lambda.rules(libc, None, lambda.processor());
        let process = Process { language, lambda, libc, rules };
        let main = self.main.as_ref().map(|main| main.name.as_str());
        let files = self.read.entries.iter().filter(|entry| entry.kind == Kind::File);
        let files = files.filter(|entry| main != Some(&entry.name) && !entry.name.starts_with("extensions/"));
        let (unused, files): (Vec<_>, Vec<_>) = files.partition(|entry| is_of_installation(&entry.name));
        let builds: Vec<Build> = files.into_iter().filter_map(|entry| self.build(entry, &process)).collect();
        let mut judged = judge(&builds, &process);
        if language == Language::Node {
            judged.findings.extend(self.uncompiled());
        }
        judged.settled.extend(unused.into_iter().map(|entry| entry.name.clone()));
        judged
    }

    /// Returns the architecture for which each module has a build; if there is none, that of the first file.
    pub fn arch_of_others(&self) -> Option<Arch> {
        let others = self.others(&BTreeSet::new());
        let families: Vec<Family> = others.iter().map(|root| Family::of(&root.name)).collect();
        let serves = |root: &EntryPoint, arch| {
            let is_linux = root.facts.other_system().is_none();
            root.facts.arch() == Some(arch) && is_linux && root.facts.needed_libc() != Some(Libc::Musl)
        };
        let is_complete = |arch: &Arch| {
            let has = |family: &Family| {
                let mut builds = others.iter().zip(&families);
                builds.any(|(root, other)| serves(root, *arch) && other.is_same(family))
            };
            families.iter().all(has)
        };
        let complete =
            [Arch::X86_64, Arch::Arm64].into_iter().find(is_complete).filter(|_| !others.is_empty());
        complete.or_else(|| others.first()?.facts.arch())
    }

    /// Describes an entry, if it is a build of anything.
    fn build<'b>(&self, entry: &'b ReadEntry<UnpackedFile>, process: &Process) -> Option<Build<'b>> {
        let name = entry.name.as_str();
        let family = Family::of(name);
        let build = |misfit, is_program| Some(Build { name, family: family.clone(), misfit, is_program });
        match facts_of(entry) {
            Ok(facts) if facts.is_data() => None,
            // The other programs are walked.
            Ok(facts) if facts.is_program() && process.language == Language::Other => None,
            Ok(facts) => build(misfit(name, &facts, process), facts.is_program()),
            Err(ElfError::NotElf(format @ (OtherFormat::MachO | OtherFormat::Windows))) => {
                let is_module = is_module(name, process.language);
                let is_program = family.is_of_platform_package && !is_library(name) && !is_module;
                let is_opened =
                    is_module && !self.is_for_another_system(name) && !self.is_of_pure_wheel(name);
                let misfit = match format {
                    OtherFormat::MachO => Misfit::new("for macOS", Code::NotElf, 4),
                    _ => Misfit::new("for Windows", Code::NotElf, 5),
                };
                (process.language == Language::Node && is_program || is_opened)
                    .then(|| build(misfit, is_program))?
            }
            Err(_) => None,
        }
    }

    /// Whether a file belongs to a Python package that works without modules, and brings some to be faster.
    ///
    /// Source: the `none` and `any` of a wheel's tag in "Platform compatibility tags" of the packaging user guide.
    fn is_of_pure_wheel(&self, name: &str) -> bool {
        let mut entries = self.read.entries.iter();
        entries.any(|entry| {
            let Some(directory) = entry.name.strip_suffix(".dist-info/WHEEL") else { return false };
            let project = directory.rsplit_once('-').map_or(directory, |(project, _)| project);
            let below = name.strip_prefix(project).unwrap_or_default();
            below.starts_with('/') && String::from_utf8_lossy(bytes_of(entry)).contains("-none-any")
        })
    }

    /// Whether a module belongs to a package that exists for other systems only, such as macOS's `fsevents`, which
    /// other packages open on that system.
    ///
    /// Source: `os` in npm's package.json documentation.
    fn is_for_another_system(&self, name: &str) -> bool {
        if paths::file_name(name).starts_with("fsevents") {
            return true;
        }
        let Some(package) = package_of(name).filter(|_| !Family::of(name).is_of_platform_package) else {
            return false;
        };
        let described = self.entry(&format!("{package}/package.json")).map_or(&[][..], bytes_of);
        let described: serde_json::Value = serde_json::from_slice(described).unwrap_or_default();
        let systems = match &described["os"] {
            serde_json::Value::Array(systems) => {
                systems.iter().filter_map(|system| system.as_str()).collect()
            }
            serde_json::Value::String(system) => vec![system.as_str()],
            _ => Vec::new(),
        };
        let is_listed = |system: &&str| !system.starts_with('!');
        systems.contains(&"!linux") || systems.iter().any(is_listed) && !systems.contains(&"linux")
    }
}

/// Whether a file serves the installation of npm's packages only: copies of links to programs of packages, and to the
/// Python that runs gyp.
///
/// Source: "bin" in npm's package.json documentation; `node_gyp_bins` in node-gyp's lib/build.js.
fn is_of_installation(name: &str) -> bool {
    let Some(package) = package_of(name) else { return false };
    package.ends_with("/.bin") || name[package.len()..].starts_with("/build/node_gyp_bins/")
}

/// Whether a file has the name of a module that the language opens.
fn is_module(name: &str, language: Language) -> bool {
    let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match language {
        Language::Node => is(&[".node"]),
        Language::Python(_) => is(&[".so", ".pyd"]),
        Language::Other => false,
    }
}

/// Whether a file has the name of a library for macOS or Windows, which only modules for these systems need.
fn is_library(name: &str) -> bool {
    [".dylib", ".dll", ".node"].iter().any(|end| name.ends_with(end))
}

/// Returns the reason for which the process cannot use an ELF file.
fn misfit(name: &str, facts: &Arc<ElfFacts>, process: &Process) -> Option<Misfit> {
    if let Some(system) = facts.other_system() {
        return Misfit::new(format!("for {system}"), Code::NotElf, 3);
    }
    if facts.arch() != Some(process.arch()) {
        return Misfit::new(format!("for {}", facts.arch_name()), Code::WrongArch, 2);
    }
    if facts.is_program() {
        // A program brings its own C library if it is static.
        let is_dynamic = facts.interpreter.is_some();
        let is_other = is_dynamic && facts.libc() == Libc::Musl && process.libc == Libc::Glibc;
        return is_other.then(|| Misfit::new("linked to musl", Code::LibcMixed, 1))?;
    }
    if let Some(libc) = facts.needed_libc().filter(|libc| *libc != process.libc) {
        return Misfit::new(format!("linked to {}", libc.as_str()), Code::LibcMixed, 1);
    }
    if let Rules::Glibc(glibc) = &process.rules
        && is_module(name, process.language)
        && let Some(reason) = glibc.refusal(facts)
    {
        let misfit = Misfit::new("refused by the loader", Code::NotElf, 0);
        return misfit.map(|misfit| Misfit { reason: Some(reason), ..misfit });
    }
    let what = match process.language {
        Language::Python(version) => python::other_tag(paths::file_name(name), version, process.arch()),
        Language::Node => node::other_abi(facts, &process.lambda.baseline.runtime),
        Language::Other => None,
    };
    Misfit::new(what?, Code::NotElf, 0)
}

fn judge(builds: &[Build], process: &Process) -> Judged {
    let mut judged = Judged::default();
    let mut wrong: Vec<&Build> = Vec::new();
    for build in builds.iter().filter(|build| build.misfit.is_some()) {
        let fits = |other: &&Build| {
            other.misfit.is_none() && other.family.serves(&build.family) && is_same_kind(build, other)
        };
        match builds.iter().find(fits) {
            Some(_) => _ = judged.settled.insert(build.name.to_owned()),
            None => wrong.push(build),
        }
    }
    // The walk of another program or library says more.
    let is_settled = |build: &&Build| {
        let is_dependency = paths::file_name(build.name).starts_with("lib");
        let is_module = is_module(build.name, process.language) && !is_dependency;
        process.language != Language::Other && (is_module || build.family.is_of_platform_package)
    };
    wrong.retain(is_settled);
    wrong.sort_by_key(|build| build.misfit.as_ref().map(|misfit| misfit.distance));
    let mut families: Vec<Vec<&Build>> = Vec::new();
    for build in wrong {
        judged.settled.insert(build.name.to_owned());
        match families.iter_mut().find(|known| known[0].family.is_same(&build.family)) {
            Some(known) => known.push(build),
            None => families.push(vec![build]),
        }
    }
    judged.findings.extend(families.iter().filter_map(|builds| finding(builds, process)));
    judged
}

/// Whether two builds are opened in the same way: as modules, as programs, or as libraries of these.
fn is_same_kind(one: &Build, other: &Build) -> bool {
    let is_node = |build: &Build| build.name.ends_with(".node");
    one.is_program == other.is_program && is_node(one) == is_node(other)
}

/// Returns the finding about the builds of one module, the nearest first.
fn finding(builds: &[&Build], process: &Process) -> Option<Finding> {
    let nearest = builds.first()?;
    let misfit = nearest.misfit.as_ref()?;
    let mut whats: Vec<&str> = Vec::new();
    for what in builds.iter().filter_map(|build| Some(build.misfit.as_ref()?.what.as_str())) {
        if !whats.contains(&what) {
            whats.push(what);
        }
    }
    let whats = listed(&whats);
    let label = process.lambda.label();
    let message = match builds.len() - 1 {
        0 => format!("`{}` is {whats}", nearest.name),
        1 => format!("`{}` and another build do not fit", nearest.name),
        n => format!("`{}` and {n} other builds do not fit", nearest.name),
    };
    let finding = Finding::new(misfit.code, nearest.name, "");
    let mut finding = match nearest.family.is_compiled {
        true => Finding { message, ..finding }.detail(format!("{label} opens it before any other build")),
        false => {
            Finding { message: format!("{message}; the archive has none that {label} can load"), ..finding }
        }
    };
    if builds.len() > 1 {
        finding = finding.detail(format!("they are {whats}"));
    }
    if let Some(reason) = &misfit.reason {
        finding = finding.detail(format!("the loader's reason is \"{reason}\""));
    }
    let cause = match nearest.family.is_compiled {
        true => Cause::objects(format!("are {whats}"))
            .detail(format!("{label} opens them before any other build")),
        false => {
            Cause::objects(format!("are {whats}; the archive has no builds of them that {label} can load"))
        }
    };
    Some(match help(nearest, process) {
        Some(help) => finding.help(help.clone()).cause(cause.help(help)),
        None => finding.cause(cause),
    })
}

fn listed(whats: &[&str]) -> String {
    match whats {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns the command that installs the build for Lambda.
///
/// Source: `os`, `cpu` and `libc` in npm's config documentation; `--platform` in "pip download" of pip's, which asks for
/// `--only-binary` and `--target` with it.
fn help(build: &Build, process: &Process) -> Option<String> {
    let arch = process.arch();
    let cpu = match arch {
        Arch::X86_64 => "x64",
        Arch::Arm64 => "arm64",
    };
    match process.language {
        Language::Node if build.family.is_compiled => {
            let runtime = &process.lambda.baseline.runtime;
            let version = runtime.trim_start_matches("nodejs").trim_end_matches(".x");
            Some(format!("run `npm rebuild` with Node.js {version} on Linux for {cpu}, and zip the result"))
        }
        Language::Node => {
            Some(format!("install it for Lambda: `npm install --os=linux --cpu={cpu} --libc=glibc`"))
        }
        Language::Python(version) => Some(format!(
            "install it for Lambda: `pip install --platform manylinux2014_{} --only-binary=:all: --python-version {version} --target DIR PACKAGE`",
            arch.gnu_name()
        )),
        Language::Other => None,
    }
}
