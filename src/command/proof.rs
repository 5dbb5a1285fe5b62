//! What an archive's programs and libraries come to on Lambda, read from the archive alone.
//!
//! The main program is walked as it would start. Every other ELF file that it does not load is walked by itself:
//! a program as it would start, a library as the main program would open it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attached::Attached;
use super::{add_findings, add_libraries, lints};
use crate::archive::{Archive, BOOTSTRAP, Kind, ReadEntry};
use crate::audit::{self, Code, Finding, NotShipped, Owner, Severity, Subject};
use crate::baseline;
use crate::elf::{self, Arch, ElfError, ElfFacts, Linkage, ObjectType, OtherFormat};
use crate::lambda::{self, LambdaWorld, Member, MemberContent, Walked};
use crate::layout::BundleKind;
use crate::paths;
use crate::plan::{BuildFile, Conflict};
use crate::report::{self, Library};
use crate::script::Script;
use crate::world::{MemoryFiles, Opened};

/// A program or library of an archive, and how it starts.
pub(super) struct Root {
    /// Its name in the archive.
    pub name: String,
    /// Its path on Lambda, links followed: `$ORIGIN` is where the file is.
    path: String,
    /// What its file says.
    pub facts: Arc<ElfFacts>,
    /// The script of ours that starts it.
    script: Option<Script>,
}

/// What was seen of a file in an archive.
pub(super) struct Seen {
    /// What it says as an ELF file.
    pub facts: std::result::Result<Arc<ElfFacts>, ElfError>,
    /// Its bytes, where they are kept.
    pub bytes: Option<Vec<u8>>,
}

impl Seen {
    /// Looks at a file; its bytes are kept if asked, and where it is no ELF file and its text may matter.
    pub fn new(name: &str, bytes: Vec<u8>, keep: bool) -> Seen {
        let facts = elf::parse(&bytes).map(Arc::new);
        let may_be_script = facts.is_err() && name == BOOTSTRAP;
        Seen { facts, bytes: (keep || may_be_script).then_some(bytes) }
    }

    /// Looks at a file of a layer, to which a `bootstrap` may be a link.
    pub fn of_layer(bytes: Vec<u8>) -> Seen {
        let is_script = bytes.starts_with(b"#!");
        Seen { facts: elf::parse(&bytes).map(Arc::new), bytes: is_script.then_some(bytes) }
    }
}

/// A layer's file as the kernel starts it: what it is, whether it may be, and the text of a script.
#[derive(Clone)]
pub(super) struct LayerFile {
    facts: std::result::Result<Arc<ElfFacts>, ElfError>,
    mode: Option<u32>,
    script: Arc<[u8]>,
}

/// The archive as Lambda unpacks it, its main program found.
pub(super) struct Contents<'a> {
    read: &'a Archive<Seen>,
    kind: BundleKind,
    /// Whether the runtime starts a `bootstrap`.
    starts_bootstrap: bool,
    members: Vec<Member>,
    /// The members, and the archive's directories, as the kernel meets them.
    files: MemoryFiles,
    attached: &'a Attached,
    /// The main program: `bootstrap`, else the first extension or program.
    pub main: Option<Root>,
    /// What is wrong with the archive itself.
    pub findings: Vec<Finding>,
}

/// Interpreters of scripts that are on every runtime: bash, under both its names.
///
/// Source: the tools of AL1, AL2 and AL2023 roots; runtimes written in bash run on all of them.
const SHELLS: &[&str] = &["/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"];

#[derive(Default)]
struct Proved {
    with_lints: bool,
    findings: Vec<Finding>,
    libraries: Vec<Library>,
    /// The paths of all that is loaded.
    loaded: BTreeSet<String>,
}

/// An archive comes without a build world.
#[derive(Default)]
struct NoBuildWorld {
    files: BTreeMap<String, BuildFile>,
    reasons: BTreeMap<String, NotShipped>,
    conflicts: BTreeMap<String, Conflict>,
}

impl<'a> Contents<'a> {
    /// Looks at what was read from `path`, which is for the runtime of this name.
    pub fn new(
        read: &'a Archive<Seen>,
        path: &str,
        kind: BundleKind,
        runtime: &str,
        attached: &'a Attached,
    ) -> Contents<'a> {
        let mut members: Vec<Member> = attached.members.clone();
        members.extend(own_members(read, kind));
        let starts_bootstrap = baseline::starts_bootstrap(runtime);
        let mut files = MemoryFiles::new();
        for entry in read.entries.iter().filter(|entry| entry.kind == Kind::Directory) {
            files.add_directory(&format!("{}/{}", kind.root(), entry.name));
        }
        lambda::add_members(&members, &mut files);
        let findings = Vec::new();
        let mut contents =
            Contents { read, kind, starts_bootstrap, members, files, attached, main: None, findings };
        if read.unpacked {
            contents.find_main(path);
            contents.check_directories();
        }
        contents
    }

    /// The archive's entry that the kernel comes to by this name.
    fn entry(&self, name: &str) -> Option<&'a ReadEntry<Seen>> {
        let path = self.files.real_path(&self.path(name)).ok()?;
        let name = path.strip_prefix(&format!("{}/", self.kind.root()))?;
        self.read.entries.iter().find(|entry| entry.name == name && entry.kind == Kind::File)
    }

    /// What `bootstrap` is, where it is a link to a file of a layer, or one that leads nowhere.
    fn linked_main(&mut self, target: &str) {
        let lost = |code: Code, why: &str, help: &str| {
            let message = format!("`bootstrap` is a link to `{target}`, which cannot be started: {why}");
            Finding::new(code, BOOTSTRAP, message).help(help)
        };
        let missing = |why: &str| {
            let help = "link to a file of the archive or of an attached layer, relative to the link";
            lost(Code::BootstrapMissing, why, help)
        };
        match self.files.real_path(&self.path(BOOTSTRAP)) {
            Ok(path) => match self.attached.files.get(&path) {
                Some(file) => self.layer_main(&path, file),
                None => self.findings.push(missing("it is no file of the archive")),
            },
            Err(Opened::Failed(_)) => self.findings.push(missing("too many levels of symbolic links")),
            Err(Opened::Unreadable) => self.findings.push(lost(
                Code::NotExecutable,
                "Lambda's user may not enter a directory on the way",
                "store directories with mode 0755",
            )),
            Err(_) => self.findings.push(missing("no such file or directory")),
        }
    }

    /// A file of a layer that `bootstrap` is a link to.
    fn layer_main(&mut self, path: &str, file: &LayerFile) {
        self.findings.extend(not_executable(path, wanted_mode(&file.facts), file.mode));
        match &file.facts {
            Ok(facts) => match no_program(facts) {
                None => {
                    self.main = Some(Root { path: path.to_owned(), ..self.root(BOOTSTRAP, facts.clone()) });
                }
                Some(what) => self.findings.push(cannot_start(BOOTSTRAP, what)),
            },
            Err(ElfError::NotElf(OtherFormat::Script)) => self.script_main(&file.script),
            Err(error) => self.findings.push(cannot_start(BOOTSTRAP, &error.to_string())),
        }
    }

    /// A script that is the `bootstrap`, and not one of ours.
    fn script_main(&mut self, script: &[u8]) {
        self.findings.extend(self.script_interpreter(script));
        self.main = self.first_program();
        if self.main.is_none() {
            let message =
                "`bootstrap` is a script; the programs it starts are not in the archive, and not checked";
            let finding = Finding::new(Code::NotElf, BOOTSTRAP, message);
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
    }

    /// Directories that Lambda's user may not enter, with programs or libraries in them.
    fn check_directories(&mut self) {
        let main = self.main.as_ref().map(|main| self.name(&main.path).to_owned());
        let locked = locked_directories(self.read);
        let mut findings = Vec::new();
        for (directory, mode) in locked {
            let is_in = |name: &str| name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
            let holds = |entry: &&ReadEntry<Seen>| is_in(&entry.name) && facts_of(entry).is_ok();
            if !self.read.entries.iter().any(|entry| holds(&entry)) {
                continue;
            }
            let message = format!("`{directory}/` has mode {mode:04o}; Lambda's user may not enter it");
            let finding = Finding::new(Code::NotExecutable, directory, message).help(format!(
                "store directories with mode 0755 (on Unix: `chmod 755 {directory}` before they are zipped)"
            ));
            let starts = main.as_deref().into_iter().chain(self.extensions());
            let severity = match starts.into_iter().any(is_in) {
                true => Severity::Error,
                false => Severity::Warning,
            };
            findings.push(Finding { severity, ..finding });
        }
        self.findings.extend(findings);
    }

    fn find_main(&mut self, path: &str) {
        self.check_extensions();
        let own = self.read.entries.iter().find(|entry| entry.name == BOOTSTRAP);
        if let (Some(Kind::Link(target)), None) = (own.map(|entry| &entry.kind), self.entry(BOOTSTRAP)) {
            return self.linked_main(target);
        }
        if let Some(found) = self.entry(BOOTSTRAP) {
            let bytes = bytes_of(found);
            if let Some(script) = Script::parse(bytes) {
                return self.scripted(script);
            }
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
                self.findings.push(bootstrap_missing(path, self.read));
            }
            BundleKind::Extension if !self.names().any(|name| name.starts_with("extensions/")) => {
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

    /// Lambda starts each file that stands in `extensions/` of a layer.
    fn check_extensions(&mut self) {
        let mut findings = Vec::new();
        for name in self.extensions() {
            match self.entry(name).map(facts_of) {
                Some(Ok(facts)) => {
                    findings.extend(no_program(&facts).map(|what| cannot_start(name, what)));
                }
                // What a script starts is not known; that it may be started is.
                Some(Err(ElfError::NotElf(OtherFormat::Script))) => {
                    findings.extend(self.mode_finding(name));
                }
                Some(Err(error)) => findings.push(cannot_start(name, &error.to_string())),
                None => {}
            }
        }
        self.findings.extend(findings);
    }

    /// The names of what Lambda starts as an extension.
    fn extensions(&self) -> impl Iterator<Item = &str> {
        let is_started = |name: &&str| {
            name.strip_prefix("extensions/").is_some_and(|file| !file.is_empty() && !file.contains('/'))
        };
        self.names().filter(is_started).filter(|_| self.kind != BundleKind::Function)
    }

    /// The architecture of the first file beside the main program.
    pub fn arch_of_others(&self) -> Option<Arch> {
        self.others(&BTreeSet::new()).first()?.facts.arch()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.read.entries.iter().filter(|entry| entry.kind == Kind::File).map(|entry| entry.name.as_str())
    }

    /// The first program; extensions before others.
    fn first_program(&self) -> Option<Root> {
        let mut roots = self.others(&BTreeSet::new());
        roots.retain(|root| root.facts.linkage() != Linkage::SharedLibrary);
        roots.sort_by_key(|root| !root.name.starts_with("extensions/"));
        roots.into_iter().next()
    }

    /// A finding if the interpreter that a script's first line names is not there, or may not be.
    fn script_interpreter(&self, script: &[u8]) -> Option<Finding> {
        let line = script.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or_default());
        // The kernel skips blanks in front of the path, and takes the rest of the line as one argument.
        let line = line.trim_start_matches([' ', '\t']);
        let path = line.split([' ', '\t']).next().unwrap_or_default();
        if SHELLS.contains(&path) {
            return None;
        }
        let finding = |message| Finding::new(Code::InterpreterMissing, BOOTSTRAP, message);
        if line.ends_with('\r') {
            let message = "the first line of `bootstrap` ends in a carriage return, which the kernel takes as a part of the interpreter's name";
            return Some(finding(message.to_owned()).help("store it with Unix line ends (`dos2unix`)"));
        }
        if path.starts_with(&format!("{}/", self.kind.root())) {
            let name = self.name(path);
            return match self.entry(name) {
                Some(_) => self.mode_finding(name),
                None => Some(
                    finding(format!("`bootstrap` is a script for `{path}`, which is not in the archive"))
                        .help(format!("put `{name}` into the archive, or name `/bin/sh`")),
                ),
            };
        }
        let message =
            format!("`bootstrap` is a script for `{path}`; whether the runtime has that is not known");
        let finding =
            finding(message).help("name `/bin/sh`, which every runtime has, or bring the interpreter along");
        Some(Finding { severity: Severity::Warning, ..finding })
    }

    /// The program that a script of ours starts.
    fn scripted(&mut self, script: Script) {
        let path = script.program.clone();
        let name = self.name(&path).to_owned();
        match self.entry(&name).map(facts_of) {
            Some(Ok(facts)) => self.main = Some(Root { script: Some(script), ..self.root(&name, facts) }),
            Some(Err(error)) => self.findings.push(cannot_start(&name, &error.to_string())),
            None => {
                self.findings
                    .push(cannot_start(&name, "`bootstrap` starts it, but it is not in the archive"));
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.kind.root())
    }

    /// A program or library of this name.
    fn root(&self, name: &str, facts: Arc<ElfFacts>) -> Root {
        let path = self.path(name);
        let path = self.files.real_path(&path).unwrap_or(path);
        Root { name: name.to_owned(), path, facts, script: None }
    }

    /// A finding if Lambda may not execute an entry.
    fn mode_finding(&self, name: &str) -> Option<Finding> {
        let entry = self.entry(name)?;
        not_executable(name, wanted_mode(&facts_of(entry)), entry.mode)
    }

    /// The bytes of the archive's file at a path on Lambda, where they were kept.
    fn bytes(&self, path: &str) -> &'a [u8] {
        self.entry(self.name(path)).map_or(&[][..], bytes_of)
    }

    /// A finding if the loader that a script of ours starts may not open the program, which it does as one that reads.
    fn read_finding(&self, root: &Root) -> Option<Finding> {
        root.script.as_ref()?.loader.as_ref()?;
        not_executable(&root.name, 0o005, self.entry(&root.name)?.mode)
    }

    fn name<'b>(&self, path: &'b str) -> &'b str {
        path.strip_prefix(self.kind.root()).map_or(path, |rest| rest.trim_start_matches('/'))
    }

    /// The files that the kernel executes to start a program.
    fn executed(&self, root: &Root) -> Vec<String> {
        let mut names = vec![root.name.clone()];
        if root.script.is_some() {
            names.push(BOOTSTRAP.to_owned());
        }
        let facts = root.as_started();
        // A relative one starts at the current directory.
        names.extend(
            facts.interpreter.as_deref().map(|path| self.name(path).trim_start_matches("./").to_owned()),
        );
        names
    }

    /// The ELF files beside the main program that it does not load, sorted by name.
    fn others(&self, loaded: &BTreeSet<String>) -> Vec<Root> {
        let main = self.main.as_ref().map(|main| main.path.as_str());
        let mut roots: Vec<Root> = self
            .members
            .iter()
            .filter(|member| Some(member.path.as_str()) != main)
            .filter(|member| !self.attached.paths.contains(&member.path) && !loaded.contains(&member.path))
            .filter_map(|member| match &member.content {
                MemberContent::Object(facts) => Some((self.name(&member.path), facts)),
                MemberContent::Link(_) | MemberContent::Other(_) | MemberContent::Locked => None,
            })
            // An object file is data to everyone but a linker.
            .filter(|(_, facts)| !matches!(facts.object_type, ObjectType::Other(_)))
            .map(|(name, facts)| self.root(name, facts.clone()))
            .collect();
        roots.sort_by(|a, b| a.name.cmp(&b.name));
        roots
    }

    /// Walks and audits all of it; the findings, and the libraries that are loaded. With the lints, if asked.
    pub fn prove(
        &self,
        lambda: &LambdaWorld,
        libs: &[String],
        with_lints: bool,
    ) -> (Vec<Finding>, Vec<Library>) {
        let mut proved = Proved { with_lints, ..Proved::default() };
        if let Some(main) = &self.main {
            self.prove_one(main, lambda, libs, &mut proved);
        }
        let mut others = self.others(&proved.loaded);
        // A library that a program loads is looked at with it.
        others.sort_by_key(|root| root.facts.linkage() == Linkage::SharedLibrary);
        // A library of another machine under the name of one that is loaded was passed over by the loader.
        let names: BTreeSet<String> =
            proved.loaded.iter().map(|path| paths::file_name(path).to_owned()).collect();
        let is_passed_over = |root: &Root| {
            root.facts.arch() != Some(lambda.arch()) && names.contains(paths::file_name(&root.name))
        };
        for root in others {
            if !proved.loaded.contains(&self.path(&root.name)) && !is_passed_over(&root) {
                self.prove_one(&root, lambda, &[], &mut proved);
            }
        }
        (proved.findings, proved.libraries)
    }

    fn prove_one(&self, root: &Root, lambda: &LambdaWorld, libs: &[String], proved: &mut Proved) {
        let walks = self.walks(root, lambda, libs);
        let objects = walks.iter().flat_map(|walked| &walked.closure.objects);
        proved.loaded.extend(objects.map(|object| object.path.clone()));
        let none = NoBuildWorld::default();
        let subject = Subject {
            name: &root.name,
            program: &root.facts,
            lambda,
            owner: Owner::Archive,
            members: &self.members,
            attached: &self.attached.paths,
            build_files: &none.files,
            not_shipped: &none.reasons,
            conflicts: &none.conflicts,
            may_edit: false,
        };
        add_findings(&mut proved.findings, audit::audit(&subject, &walks));
        let is_main = self.main.as_ref().is_some_and(|main| main.name == root.name);
        // The bytes of a layer's program are not kept.
        if proved.with_lints && is_main && !self.attached.paths.contains(&root.path) {
            let bytes = |path: &str| self.bytes(path);
            let lints = lints::of_archive(&subject, &walks, self.kind, &root.path, bytes);
            add_findings(&mut proved.findings, lints);
        }
        add_libraries(&mut proved.libraries, report::libraries(&subject, &walks));
        if root.facts.linkage() != Linkage::SharedLibrary {
            let executed = self.executed(root);
            add_findings(
                &mut proved.findings,
                executed
                    .iter()
                    .filter_map(|name| self.mode_finding(name))
                    .chain(self.read_finding(root))
                    .collect(),
            );
        }
    }

    fn walks(&self, root: &Root, lambda: &LambdaWorld, libs: &[String]) -> Vec<Walked> {
        // No process of this runtime loads a file for another machine.
        if root.facts.arch() != Some(lambda.arch()) {
            return Vec::new();
        }
        let is_library = root.facts.linkage() == Linkage::SharedLibrary;
        let opener = self.main.as_ref().filter(|_| is_library);
        let script = opener.unwrap_or(root).script.as_ref();
        let behind = script.map(|script| lambda.behind(&script.library_dir));
        let lambda = behind.as_ref().unwrap_or(lambda);
        let facts = match opener {
            Some(main) => Arc::new(root.facts.opened_by(&main.as_started())),
            None => root.as_started(),
        };
        let mut walks = lambda.walks(&root.path, &facts, libs, &self.members);
        // Who opens a plugin brings the symbols that it leaves open.
        if !is_library {
            lambda.check_symbols(&mut walks, &BTreeMap::new());
        }
        walks
    }
}

impl Root {
    /// The facts that decide how it loads: with the loader that a script calls.
    fn as_started(&self) -> Arc<ElfFacts> {
        match self.script.as_ref().and_then(|script| script.loader.as_ref()) {
            None => self.facts.clone(),
            Some(loader) => {
                let facts = (*self.facts).clone();
                Arc::new(ElfFacts { interpreter: Some(loader.path.clone()), ..facts })
            }
        }
    }
}

/// An archive's files as the loader will meet them where Lambda unpacks it.
pub(super) fn own_members(read: &Archive<Seen>, kind: BundleKind) -> Vec<Member> {
    let locked = locked_directories(read);
    let is_locked = |name: &str| {
        !locked.is_empty() && name.match_indices('/').any(|(at, _)| locked.contains_key(&name[..at]))
    };
    let member = |entry: &ReadEntry<Seen>| {
        let content = match &entry.kind {
            Kind::Directory if locked.contains_key(entry.name.as_str()) => MemberContent::Locked,
            Kind::Directory => return None,
            Kind::Link(target) => MemberContent::Link(target.clone()),
            Kind::File if !is_readable(entry) || is_locked(&entry.name) => {
                MemberContent::Other(Opened::Unreadable)
            }
            Kind::File => MemberContent::of_file(facts_of(entry), entry.size),
        };
        Some(Member { path: format!("{}/{}", kind.root(), entry.name), content })
    };
    read.entries.iter().filter_map(member).collect()
}

/// A layer's files as the kernel starts them, by their paths on Lambda.
pub(super) fn layer_files(read: &Archive<Seen>) -> impl Iterator<Item = (String, LayerFile)> {
    read.entries.iter().filter(|entry| entry.kind == Kind::File).map(|entry| {
        let file = LayerFile { facts: facts_of(entry), mode: entry.mode, script: bytes_of(entry).into() };
        (format!("{}/{}", BundleKind::Layer.root(), entry.name), file)
    })
}

/// The bytes of an entry, where they were kept.
pub(super) fn bytes_of(entry: &ReadEntry<Seen>) -> &[u8] {
    entry.content.as_ref().and_then(|seen| seen.bytes.as_deref()).unwrap_or_default()
}

fn facts_of(entry: &ReadEntry<Seen>) -> std::result::Result<Arc<ElfFacts>, ElfError> {
    match &entry.content {
        Some(seen) => seen.facts.clone(),
        None => Err(ElfError::NotElf(OtherFormat::Empty)),
    }
}

/// Lambda runs functions as a user of its own: what only the owner may read is not there for it.
///
/// Mode 0 is what tools leave that write none.
fn is_readable(entry: &ReadEntry<Seen>) -> bool {
    entry.mode.is_none_or(|mode| mode == 0 || mode & 0o004 != 0)
}

/// The archive's directories that Lambda's user may not enter, with their modes.
///
/// Mode 0 is what tools leave that write none.
fn locked_directories(read: &Archive<Seen>) -> BTreeMap<&str, u32> {
    let directories = read.entries.iter().filter(|entry| entry.kind == Kind::Directory);
    let locked = directories.filter_map(|entry| Some((entry.name.as_str(), entry.mode?)));
    locked.filter(|(_, mode)| *mode != 0 && mode & 0o001 == 0).collect()
}

/// What others must be allowed to do with a file that is started: a script is read, too, by its interpreter; an
/// ELF file is read by the kernel.
fn wanted_mode(facts: &std::result::Result<Arc<ElfFacts>, ElfError>) -> u32 {
    if facts.is_ok() { 0o001 } else { 0o005 }
}

/// A finding if Lambda may not start a file of this mode; the kernel says EACCES then.
fn not_executable(name: &str, wanted: u32, mode: Option<u32>) -> Option<Finding> {
    let message = match mode {
        Some(mode) if mode & wanted == wanted => return None,
        Some(mode) if mode != 0 => {
            format!("`{name}` has mode {mode:04o}; Lambda's user may not execute it")
        }
        _ => format!("`{name}` has no Unix mode in the archive; Lambda's user may not execute it"),
    };
    Some(Finding::new(Code::NotExecutable, name, message).help(format!(
        "store it with mode 0755 (on Unix: `chmod 755 {}` before it is zipped)",
        paths::file_name(name)
    )))
}

/// What an ELF file is that the kernel does not start, or that dies at once.
fn no_program(facts: &ElfFacts) -> Option<&'static str> {
    match facts.object_type {
        ObjectType::Other(1) => Some("it is an object file, not a program"),
        ObjectType::Other(_) => Some("it is an ELF file, but not a program"),
        // Of another machine no more is known than its header.
        _ if facts.arch().is_some() && facts.linkage() == Linkage::SharedLibrary => {
            Some("it is a shared library, not a program")
        }
        _ => None,
    }
}

fn cannot_start(name: &str, why: &str) -> Finding {
    Finding::new(Code::NotElf, name, format!("`{name}` cannot be started: {why}"))
}

fn bootstrap_missing(path: &str, read: &Archive<Seen>) -> Finding {
    let finding =
        Finding::new(Code::BootstrapMissing, BOOTSTRAP, format!("`{path}` has no `bootstrap` at its root"));
    let mut files = read.entries.iter().filter(|entry| entry.kind == Kind::File);
    let is_elsewhere = |entry: &&ReadEntry<Seen>| paths::file_name(&entry.name) == BOOTSTRAP;
    match files.find(is_elsewhere) {
        Some(entry) => finding.help(format!("put `{}` at the root of the archive", entry.name)),
        None => finding.help(
            "name the program `bootstrap`, or let `cargo lambda-bundle` write the archive; if it is a layer, say `--kind layer`",
        ),
    }
}
