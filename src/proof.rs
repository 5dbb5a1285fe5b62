//! Proves from an archive alone that its programs and libraries load on Lambda.
//!
//! The main program is walked as it would start. Every other ELF file that it does not load is walked by itself: a
//! program as it would start, a library as the main program would open it.

mod archive;
mod attached;
mod extensions;
mod language;
mod modes;
mod modules;
mod script;
mod shell;
mod unpacked;
mod wrappers;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::archive::{BOOTSTRAP, Kind, ReadArchive, ReadEntry};
use crate::audit::lints::{self, File, LintedFiles, StartedAs};
use crate::audit::{self, Code, Finding, Findings, Owner, Severity, Subject};
use crate::baseline;
use crate::elf::{ElfError, ElfFacts, Linkage, OtherFormat};
use crate::lambda::{self, Installed, LambdaWorld, Member, Walked};
use crate::layout::BundleKind;
use crate::paths;
use crate::plan::BuildSide;
use crate::report::{self, Library};
use crate::world::{MemoryFiles, Opened};

use self::archive::{bootstrap_missing, cannot_start, no_program, not_executable, wanted_mode};
use self::unpacked::{LayerFile, bytes_of, facts_of};

pub use self::attached::Attached;
pub use self::language::has_only_bootstrap;
pub use self::script::run_by_script;
pub use self::unpacked::{SharedFacts, UnpackedFile, layer_files, own_members};

/// A program or library of an archive that is walked by itself.
pub struct EntryPoint {
    /// The name in the archive.
    pub name: String,
    /// The path on Lambda, links followed: `$ORIGIN` is the directory of the file.
    pub path: String,
    /// The facts of its file.
    pub facts: Arc<ElfFacts>,
}

/// What Lambda starts a function with.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// The name of the runtime.
    pub runtime: &'a str,
    /// The value of `AWS_LAMBDA_EXEC_WRAPPER`.
    pub wrapper: Option<&'a str>,
}

/// An archive as Lambda unpacks it, with its main program.
pub struct Unpacked<'a> {
    read: &'a ReadArchive<UnpackedFile>,
    kind: BundleKind,
    start: Start<'a>,
    /// Whether the runtime starts a `bootstrap`.
    starts_bootstrap: bool,
    members: Vec<Member>,
    /// The members, and the archive's directories, as the kernel sees them.
    files: MemoryFiles,
    attached: &'a Attached,
    /// The main program: `bootstrap`, else the first extension or program.
    pub main: Option<EntryPoint>,
    /// Findings about the archive itself.
    pub findings: Vec<Finding>,
}

/// What a written archive must fulfil.
pub struct Expected<'a> {
    /// The kind of the bundle.
    pub kind: BundleKind,
    /// The runtime it is for.
    pub lambda: &'a LambdaWorld,
    /// Names that are opened at run time.
    pub libs: &'a [String],
    /// The value of `AWS_LAMBDA_EXEC_WRAPPER`.
    pub wrapper: Option<&'a str>,
    /// The layers that are attached to it.
    pub attached: &'a Attached,
}

/// Proves an archive that was read: returns the first error, if there is one.
pub fn prove(path: &str, read: &ReadArchive<UnpackedFile>, expected: &Expected) -> Option<Finding> {
    let start = Start { runtime: &expected.lambda.baseline.runtime, wrapper: expected.wrapper };
    let unpacked = Unpacked::new(read, path, expected.kind, start, expected.attached);
    let (findings, _) = unpacked.prove(expected.lambda, expected.libs, false);
    findings.into_iter().chain(unpacked.findings).find(|finding| finding.severity == Severity::Error)
}

/// Returns the kind of an archive by its names: extensions have a directory of their own.
pub fn kind_of(read: &ReadArchive<UnpackedFile>) -> BundleKind {
    let has = |start: &str| read.entries.iter().any(|entry| entry.name.starts_with(start));
    if !read.entries.iter().any(|entry| entry.name == BOOTSTRAP) && has("extensions/") {
        BundleKind::Extension
    } else {
        BundleKind::Function
    }
}

#[derive(Default)]
struct Proved {
    with_lints: bool,
    findings: Findings,
    libraries: Vec<Library>,
    /// The paths of everything that is loaded.
    loaded: BTreeSet<String>,
}

impl<'a> Unpacked<'a> {
    /// Examines the archive that was read from `path`.
    pub fn new(
        read: &'a ReadArchive<UnpackedFile>,
        path: &str,
        kind: BundleKind,
        start: Start<'a>,
        attached: &'a Attached,
    ) -> Unpacked<'a> {
        let mut members: Vec<Member> = attached.members.clone();
        members.extend(own_members(read, kind));
        let starts_bootstrap = baseline::starts_bootstrap(start.runtime);
        let mut files = MemoryFiles::new();
        // Both are there, whatever is in them.
        for kind in [BundleKind::Function, BundleKind::Layer] {
            files.add_directory(kind.root());
        }
        for entry in read.entries.iter().filter(|entry| entry.kind == Kind::Directory) {
            files.add_directory(&format!("{}/{}", kind.root(), entry.name));
        }
        lambda::add_members(&members, &mut files);
        let findings = Vec::new();
        let mut unpacked =
            Unpacked { read, kind, start, starts_bootstrap, members, files, attached, main: None, findings };
        if read.unpacked {
            unpacked.find_main(path);
            unpacked.check_wrapper();
            unpacked.check_path();
            unpacked.check_modes();
        }
        unpacked
    }

    /// Returns the file that the kernel finds at a path on Lambda, links followed: the archive's, or an attached layer's.
    fn file_at(&self, path: &str) -> Option<LayerFile> {
        let real = self.files.real_path(path).ok()?;
        match self.entry(self.name(&real)).filter(|_| real.starts_with(self.kind.root())) {
            Some(entry) => Some(LayerFile::of(entry)),
            None => self.attached.files.get(&real).cloned(),
        }
    }

    /// Whether a path leads, by a link or by `..`, out of the directories that we know to a place that the runtime may
    /// fill.
    fn leads_elsewhere(&self, path: &str) -> bool {
        let roots = [self.kind.root(), BundleKind::Layer.root()];
        let is_in =
            |path: &str, root: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        self.files.first_absent(path).is_some_and(|absent| !roots.iter().any(|root| is_in(&absent, root)))
    }

    /// Returns the archive's entry that the kernel finds under this name, links followed.
    fn entry(&self, name: &str) -> Option<&'a ReadEntry<UnpackedFile>> {
        let path = self.files.real_path(&self.path(name)).ok()?;
        let name = path.strip_prefix(&format!("{}/", self.kind.root()))?;
        self.read.entries.iter().find(|entry| entry.name == name && entry.kind == Kind::File)
    }

    /// Finds the main program if `bootstrap` is a link to a layer's file, and reports a link that leads nowhere.
    fn linked_main(&mut self, target: &str) {
        let lost = |code: Code, why: &str, help: &str| {
            let message = format!("`bootstrap` is a link to `{target}`, which cannot be started");
            Finding::new(code, BOOTSTRAP, message).detail(why).help(help)
        };
        let missing = |why: &str| {
            let help = "link to a file of the archive or of an attached layer, relative to the link";
            lost(Code::BootstrapMissing, why, help)
        };
        match self.files.real_path(&self.path(BOOTSTRAP)) {
            Ok(path) => match self.attached.files.get(&path) {
                Some(file) => self.layer_main(&path, file),
                None => self.findings.push(missing("it is not a file of the archive")),
            },
            Err(_) if self.leads_elsewhere(&self.path(BOOTSTRAP)) => {
                let what = format!("is a link to `{target}`, a file of the runtime");
                self.findings.push(script::open(BOOTSTRAP, &what));
            }
            Err(Opened::Failed(_)) => self.findings.push(missing("too many levels of symbolic links")),
            Err(Opened::Unreadable) => self.findings.push(lost(
                Code::NotExecutable,
                "Lambda's user may not enter a directory on the way",
                "store directories with mode 0755",
            )),
            Err(_) => self.findings.push(missing("no such file or directory")),
        }
    }

    /// Takes a layer's file, to which `bootstrap` is a link, as the main program.
    fn layer_main(&mut self, path: &str, file: &LayerFile) {
        self.findings.extend(not_executable(path, wanted_mode(&file.facts), file.mode));
        match &file.facts {
            Ok(facts) => match no_program(facts) {
                None => {
                    self.main =
                        Some(EntryPoint { path: path.to_owned(), ..self.root(BOOTSTRAP, facts.clone()) });
                }
                Some(what) => self.findings.push(cannot_start(BOOTSTRAP, what)),
            },
            Err(ElfError::NotElf(OtherFormat::Script)) => self.script_main(&file.script),
            Err(error) => self.findings.push(cannot_start(BOOTSTRAP, &error.to_string())),
        }
    }

    /// Handles a script as the `bootstrap`.
    fn script_main(&mut self, script: &[u8]) {
        self.findings.extend(self.script_findings(BOOTSTRAP, script));
        self.main = self.executed_program(script).or_else(|| self.first_program());
    }

    fn find_main(&mut self, path: &str) {
        self.check_extensions();
        let own = self.read.entries.iter().find(|entry| entry.name == BOOTSTRAP);
        if let (Some(Kind::Link(target)), None) = (own.map(|entry| &entry.kind), self.entry(BOOTSTRAP)) {
            return self.linked_main(target);
        }
        if let Some(found) = self.entry(BOOTSTRAP) {
            let bytes = bytes_of(found);
            match facts_of(found) {
                Ok(facts) if no_program(&facts).is_some() => {
                    self.findings.extend(no_program(&facts).map(|what| cannot_start(BOOTSTRAP, what)));
                }
                Ok(facts) => self.main = Some(self.root(BOOTSTRAP, facts)),
                Err(ElfError::NotElf(OtherFormat::Script)) => {
                    self.findings.extend(self.mode_finding(BOOTSTRAP));
                    self.script_main(bytes);
                }
                Err(error) => self.findings.push(cannot_start(BOOTSTRAP, &error.to_string())),
            }
            return;
        }
        match self.kind {
            BundleKind::Function if self.starts_bootstrap => {
                // Lambda starts that of a layer if the function has none.
                let of_layer = format!("{}/{BOOTSTRAP}", BundleKind::Layer.root());
                match self.file_at(&of_layer) {
                    Some(file) => {
                        let real = self.files.real_path(&of_layer).unwrap_or(of_layer);
                        self.layer_main(&real, &file);
                    }
                    None if self.leads_elsewhere(&of_layer) && self.attached.paths.contains(&of_layer) => {
                        let what = "is a link to a file that is not in the archive";
                        self.findings.push(script::open(&of_layer, what));
                    }
                    None => self.findings.push(bootstrap_missing(path, self.read)),
                }
            }
            BundleKind::Extension if self.extensions().is_empty() => {
                let finding = Finding::new(
                    Code::BootstrapMissing,
                    path,
                    format!("`{path}` has no program in `extensions/`, where Lambda looks for extensions"),
                );
                self.findings
                    .push(finding.help("let `cargo lambda-bundle --kind extension` write the archive"));
            }
            // A language's own program opens the function's files; some of them may be programs.
            BundleKind::Function | BundleKind::Extension | BundleKind::Layer => {
                self.main = self.first_program();
            }
        }
    }

    /// Returns the first program; extensions come before others.
    fn first_program(&self) -> Option<EntryPoint> {
        let mut roots = self.others(&BTreeSet::new());
        roots
            .retain(|root| root.facts.linkage() != Linkage::SharedLibrary && !self.is_of_package(&root.name));
        roots.sort_by_key(|root| !root.name.starts_with("extensions/"));
        roots.into_iter().next()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.kind.root())
    }

    /// Describes a program or library of this name.
    fn root(&self, name: &str, facts: Arc<ElfFacts>) -> EntryPoint {
        let path = self.path(name);
        let path = self.files.real_path(&path).unwrap_or(path);
        EntryPoint { name: name.to_owned(), path, facts }
    }

    /// Returns a finding if Lambda may not execute an entry.
    fn mode_finding(&self, name: &str) -> Option<Finding> {
        let entry = self.entry(name)?;
        not_executable(name, wanted_mode(&facts_of(entry)), entry.mode)
    }

    /// Returns the bytes of the archive's file at a path on Lambda, if they were kept.
    fn bytes(&self, path: &str) -> &'a [u8] {
        self.entry(self.name(path)).map_or(&[][..], bytes_of)
    }

    fn name<'b>(&self, path: &'b str) -> &'b str {
        path.strip_prefix(self.kind.root()).map_or(path, |rest| rest.trim_start_matches('/'))
    }

    /// Returns the files that the kernel executes to start a program.
    fn executed(&self, root: &EntryPoint) -> Vec<String> {
        let mut names = vec![root.name.clone()];
        // A relative path starts at the current directory.
        names.extend(
            root.facts.interpreter.as_deref().map(|path| self.name(path).trim_start_matches("./").to_owned()),
        );
        names
    }

    /// Returns the ELF files that the main program does not load, sorted by name.
    fn others(&self, loaded: &BTreeSet<String>) -> Vec<EntryPoint> {
        let is_main = |path: &str| self.main.as_ref().is_some_and(|main| main.path == path);
        let is_other = |path: &str| !is_main(path) && !loaded.contains(path);
        // The kernel starts what others may execute; the loader opens what they may read.
        let has_mode = |entry: &ReadEntry<UnpackedFile>| entry.mode.is_none_or(|mode| mode & 0o005 != 0);
        let own = self.read.entries.iter().filter(|entry| entry.kind == Kind::File && has_mode(entry));
        let own = own.filter(|entry| is_other(&self.path(&entry.name)));
        let own = own.filter_map(|entry| Some((entry, facts_of(entry).ok()?)));
        let own = own.filter(|(_, facts)| !facts.is_data());
        let own = own.map(|(entry, facts)| self.root(&entry.name, facts));
        let attached = self.attached_programs().into_iter().filter(|root| is_other(&root.path));
        let mut roots: Vec<EntryPoint> = own.chain(attached).collect();
        roots.sort_by(|a, b| a.name.cmp(&b.name));
        roots
    }

    /// Walks and audits the whole archive. Returns the findings and the loaded libraries; with the lints, if asked.
    pub fn prove(
        &self,
        lambda: &LambdaWorld,
        libs: &[String],
        with_lints: bool,
    ) -> (Vec<Finding>, Vec<Library>) {
        let mut proved = Proved { with_lints, ..Proved::default() };
        let installed = &Installed::new(lambda, self.members.clone());
        if let Some(main) = &self.main {
            self.prove_one(main, installed, libs, &mut proved);
        }
        let mut others = self.others(&proved.loaded);
        // A library that a program loads is audited with that program.
        others.sort_by_key(|root| root.facts.linkage() == Linkage::SharedLibrary);
        // The loader skipped a library for another machine that has the name of a loaded one.
        let names: BTreeSet<String> =
            proved.loaded.iter().map(|path| paths::file_name(path).to_owned()).collect();
        let is_passed_over = |root: &EntryPoint| {
            root.facts.arch() != Some(lambda.arch()) && names.contains(paths::file_name(&root.name))
        };
        let judged = self.judge_modules(lambda);
        proved.findings.merge(judged.findings);
        for root in others {
            if judged.settled.contains(&root.name) {
                continue;
            }
            if !proved.loaded.contains(&self.path(&root.name)) && !is_passed_over(&root) {
                self.prove_one(&root, installed, &[], &mut proved);
            }
        }
        (proved.findings.into_vec(), proved.libraries)
    }

    fn prove_one(&self, root: &EntryPoint, installed: &Installed, libs: &[String], proved: &mut Proved) {
        let lambda = installed.lambda();
        let walks = self.walks(root, installed, libs);
        let objects = walks.iter().flat_map(|walked| &walked.closure.objects);
        proved.loaded.extend(objects.map(|object| object.absolute_path()));
        let none = BuildSide::default();
        let subject = Subject {
            name: &root.name,
            program: &root.facts,
            lambda,
            owner: Owner::Archive,
            members: &self.members,
            attached: &self.attached.paths,
            build: &none,
        };
        proved.findings.merge(audit::audit(&subject, &walks));
        let is_main = self.main.as_ref().is_some_and(|main| main.name == root.name);
        // The bytes of a layer's program are not kept.
        if proved.with_lints && is_main && !self.attached.paths.contains(&root.path) {
            let bytes = |path: &str| self.bytes(path);
            let lints = lint_archive(&subject, &walks, self.kind, &root.path, bytes);
            proved.findings.merge(lints);
        }
        report::add_libraries(&mut proved.libraries, report::libraries(&subject, &walks));
        if root.facts.linkage() != Linkage::SharedLibrary {
            let executed = self.executed(root);
            let findings = executed.iter().filter_map(|name| self.mode_finding(name));
            // Nothing says that another program is started.
            let severity = if is_main { Severity::Error } else { Severity::Warning };
            proved.findings.merge(findings.map(|finding| Finding { severity, ..finding }));
        }
    }

    fn walks(&self, root: &EntryPoint, installed: &Installed, libs: &[String]) -> Vec<Walked> {
        let lambda = installed.lambda();
        // No process of this runtime loads a file for another machine.
        if root.facts.arch() != Some(lambda.arch()) {
            return Vec::new();
        }
        let is_library = root.facts.linkage() == Linkage::SharedLibrary;
        let opener = self.main.as_ref().filter(|_| is_library);
        let facts = match opener {
            Some(main) => Arc::new(root.facts.dlopened_by(&main.facts)),
            None => root.facts.clone(),
        };
        let mut walks = installed.walks(&root.path, &facts, libs, &[]);
        // The program that opens a plugin brings the symbols that the plugin leaves open.
        if !is_library {
            lambda.check_symbols(&mut walks, &BTreeMap::new());
        }
        walks
    }
}

/// Runs the lints on the program at a path on Lambda and on the archive's libraries; `bytes` has their contents by
/// path.
fn lint_archive<'a>(
    subject: &Subject,
    walks: &[Walked],
    kind: BundleKind,
    program: &str,
    bytes: impl Fn(&str) -> &'a [u8],
) -> Vec<Finding> {
    let (mut libraries, mut others) = (Vec::new(), Vec::new());
    for member in subject.members {
        let Some(facts) = member.object() else { continue };
        let (path, bytes) = (member.path.as_str(), bytes(&member.path));
        if facts.linkage() == Linkage::SharedLibrary {
            libraries.push(in_memory(paths::file_name(path), facts, bytes));
        } else if path != program {
            let name = path.strip_prefix(kind.root()).map_or(path, |rest| rest.trim_start_matches('/'));
            others.push(in_memory(name, facts, bytes));
        }
    }
    let program = in_memory(subject.name, subject.program, bytes(program));
    let started_as = StartedAs::of(kind, subject.name);
    let files = LintedFiles { program: &program, libraries: &libraries, others: &others, kind, started_as };
    lints::lint(subject, walks, &files, &|_| false)
}

fn in_memory<'a>(name: &str, facts: &'a ElfFacts, bytes: &'a [u8]) -> File<'a> {
    let part = |range: Range<u64>| Cow::Borrowed(&bytes[range.start as usize..range.end as usize]);
    File::new(name, facts, bytes.len() as u64, part)
}
