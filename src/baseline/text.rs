//! The parser of a baseline's text; [`crate::baseline`] describes the format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::captured::{ElfDraft, Root, RootEntry};
use super::evidence::{Source, SourceKind, is_certain, level};
use super::lines::{TextLine, shown};
use super::{Baseline, Confidence, Evidence, LaterNode, Lifecycle, Nodes, NodesFrom, Presence, SystemObject};
use crate::elf::Arch;
use crate::elf::version;
use crate::error::{Error, Result};

/// The subject of the lines after the header.
enum Block {
    Object(Box<ObjectDraft>),
    /// An object and the number of the line that begins it.
    Elf(usize, Box<ElfDraft>),
}

/// Parses a whole text. `arch` is the architecture of a text that does not name one.
pub(super) fn parse(text: &str, arch: Option<Arch>) -> Result<Baseline> {
    let mut header = Preamble::default();
    let mut blocks: Vec<Block> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = TextLine::of_line(at + 1, line);
        match (entry.key, blocks.last_mut()) {
            ("object", _) => blocks.push(Block::Object(Box::new(ObjectDraft::new(&entry)?))),
            ("elf", _) => {
                blocks.push(Block::Elf(entry.line, Box::new(ElfDraft::new(&entry, header.arch.or(arch))?)))
            }
            (_, Some(Block::Object(object))) => object.take(&entry)?,
            (_, Some(Block::Elf(_, file))) => file.take(&entry)?,
            (_, None) => header.take(&entry)?,
        }
    }
    let mut objects = Vec::new();
    for block in blocks {
        match block {
            Block::Object(object) => objects.push(*object),
            Block::Elf(line, file) => {
                let (path, entry, package) = file.finish();
                let packages = package.map(|package| (path.clone(), package));
                header.add(line, path, entry)?;
                header.root_files.get_or_insert_default().packages.extend(packages);
            }
        }
    }
    header.finish(objects, arch)
}

/// A code of evidence.
struct KnownCode {
    /// The number of its line; 0 for one of the root's.
    line: usize,
    /// The index of its source.
    source: usize,
}

/// The lines before the first object.
#[derive(Default)]
struct Preamble {
    runtime: Option<String>,
    /// The baseline that this one changes, and the line that names it.
    root: Option<(String, usize)>,
    keeps: Vec<Keep>,
    arch: Option<Arch>,
    recorded: Option<String>,
    glibc: Option<String>,
    complete: Option<bool>,
    interpreters: Vec<String>,
    default_dirs: Option<Vec<String>>,
    library_paths: Vec<String>,
    lifecycle: Lifecycle,
    evidence: Vec<Source>,
    /// The codes of `evidence`.
    codes: BTreeMap<String, KnownCode>,
    /// The files of a captured root.
    root_files: Option<Root>,
}

impl Preamble {
    fn take(&mut self, entry: &TextLine<'_>) -> Result<()> {
        match entry.key {
            "runtime" => entry.once(&mut self.runtime, entry.word()?.to_owned()),
            "root" => entry.once(&mut self.root, (entry.word()?.to_owned(), entry.line)),
            "keep" => {
                let (codes, sonames) = entry.word_and_rest("CODES SONAMES")?;
                let codes = read_codes(entry, codes)?;
                let sonames = sonames.split_ascii_whitespace().map(str::to_owned).collect();
                self.keeps.push(Keep { line: entry.line, codes, sonames });
                Ok(())
            }
            "arch" => {
                let arch = entry.one_of("x86_64 or arm64", |word| {
                    [Arch::X86_64, Arch::Arm64].into_iter().find(|arch| arch.as_str() == word)
                })?;
                entry.once(&mut self.arch, arch)
            }
            "recorded" => entry.once(&mut self.recorded, entry.date()?),
            "glibc" => {
                let version = entry.one_of("a version like 2.34", |word| {
                    let numbers = word
                        .split('.')
                        .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
                    numbers.then(|| word.to_owned())
                })?;
                entry.once(&mut self.glibc, version)
            }
            "complete" => {
                let complete = entry.one_of("yes or no", |word| match word {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => None,
                })?;
                entry.once(&mut self.complete, complete)
            }
            "interpreter" => {
                self.interpreters.push(entry.absolute()?);
                Ok(())
            }
            "default-dirs" => {
                let dirs: Vec<String> = entry.words()?.map(str::to_owned).collect();
                if let Some(relative) = dirs.iter().find(|dir| !dir.starts_with('/')) {
                    return Err(entry.error(format_args!(
                        "`default-dirs` are absolute paths, not `{}`",
                        shown(relative)
                    )));
                }
                entry.once(&mut self.default_dirs, dirs)
            }
            "library-path" => {
                self.library_paths.push(entry.text()?.to_owned());
                Ok(())
            }
            "deprecated" => entry.once(&mut self.lifecycle.deprecated, entry.date()?),
            "create-blocked" => entry.once(&mut self.lifecycle.create_blocked, entry.date()?),
            "update-blocked" => entry.once(&mut self.lifecycle.update_blocked, entry.date()?),
            "evidence" => {
                let source = Source::read(entry)?;
                let is_level = Evidence::ALL.iter().any(|level| level.as_str() == source.code);
                let code = KnownCode { line: entry.line, source: self.evidence.len() };
                let is_known = self.codes.insert(source.code.clone(), code).is_some();
                if source.code.contains(',') || is_level || is_known {
                    return Err(entry.error(format_args!("`{}` cannot be a new code", shown(&source.code))));
                }
                self.evidence.push(source);
                Ok(())
            }
            "cache" => {
                let (soname, path) = entry.word_and_rest("SONAME PATH")?;
                if !path.starts_with('/') {
                    return Err(entry.error("`cache` leads to an absolute path"));
                }
                let root = self.root_files.get_or_insert_default();
                match Arc::make_mut(&mut root.cache).insert(soname.to_owned(), path.to_owned()) {
                    None => Ok(()),
                    Some(_) => Err(entry.error(format_args!("`{}` is in the cache twice", shown(soname)))),
                }
            }
            "link" | "refused" => {
                let form = if entry.key == "link" { "PATH TARGET" } else { "PATH REASON" };
                let (path, rest) = entry.word_and_rest(form)?;
                let path = entry.with(path).path()?;
                let rest = rest.to_owned();
                let found =
                    if entry.key == "link" { RootEntry::Link(rest) } else { RootEntry::Refused(rest) };
                self.add(entry.line, path, found)
            }
            _ => Err(entry.unknown_key("a runtime")),
        }
    }

    /// Adds a file or link of a captured root.
    fn add(&mut self, line: usize, path: String, entry: RootEntry) -> Result<()> {
        let entries = &mut self.root_files.get_or_insert_default().entries;
        match entries.insert(path.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(Error::new(format!("line {line}: `{}` is listed twice", shown(&path)))),
        }
    }

    fn finish(mut self, drafts: Vec<ObjectDraft>, arch: Option<Arch>) -> Result<Baseline> {
        fn required<T>(value: Option<T>, key: &str) -> Result<T> {
            value.ok_or_else(|| Error::new(format!("no `{key}` line before the first object")))
        }
        // Without an interpreter there are no search rules; without a library path nothing would be proved.
        fn at_least_one(values: Vec<String>, key: &str) -> Result<Vec<String>> {
            required((!values.is_empty()).then_some(values), key)
        }
        let runtime = required(self.runtime.take(), "runtime")?;
        let arch = required(self.arch.or(arch), "arch")?;
        let root = match self.root.take() {
            Some((name, line)) => Some(super::embedded(&name, arch).ok_or_else(|| {
                Error::new(format!(
                    "line {line}: there is no embedded baseline `{}` for {arch}",
                    shown(&name)
                ))
            })?),
            None => None,
        };
        for source in self.evidence.iter_mut().filter(|source| source.of.is_empty()) {
            if matches!(source.kind, SourceKind::Probe | SourceKind::Image) {
                source.of = vec![runtime.clone()];
                source.arch = Some(arch);
            }
        }
        let inherited = self.inherit(root.as_ref(), &runtime, arch)?;
        let mut objects = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let line = draft.line;
            let mut object = draft.finish()?;
            let codes = object.codes.iter().chain(object.nodes_from.iter().map(|from| &from.code));
            self.explains(line, &object.soname, codes)?;
            self.judge(&mut object, &runtime, arch);
            let roots = root.as_ref().and_then(|root| root.object(&object.soname));
            object.behind = roots.filter(|other| other.directory != object.directory).cloned();
            objects.push(Arc::new(object));
        }
        objects.sort_by(|a, b| a.soname.cmp(&b.soname));
        if let Some(pair) = objects.windows(2).find(|pair| pair[0].soname == pair[1].soname) {
            return Err(Error::new(format!("`{}` is listed twice", pair[0].soname)));
        }
        let default_dirs = required(self.default_dirs, "default-dirs")?;
        if let Some(files) = &self.root_files {
            if let Some(object) = objects.first().or(inherited.first()) {
                let what = "cannot be in a baseline with `elf`, `link`, `refused` or `cache` lines";
                return Err(Error::new(format!("`object {}` {what}", object.soname)));
            }
            objects = files.objects(&default_dirs);
        }
        let own: BTreeSet<String> = objects.iter().map(|object| object.soname.clone()).collect();
        objects.extend(inherited.into_iter().filter(|object| !own.contains(&object.soname)));
        objects.sort_by(|a, b| a.soname.cmp(&b.soname));
        Ok(Baseline {
            runtime,
            root: root.map(|root| root.runtime),
            arch,
            recorded: required(self.recorded, "recorded")?,
            glibc: required(self.glibc, "glibc")?,
            complete: required(self.complete, "complete")?,
            interpreters: at_least_one(self.interpreters, "interpreter")?,
            default_dirs,
            library_paths: at_least_one(self.library_paths, "library-path")?,
            lifecycle: self.lifecycle,
            evidence: self.evidence,
            root_files: self.root_files,
            names_only: false,
            objects,
        })
    }

    /// Takes from the root all that the text does not state itself, except the dates of its end, which belong to a
    /// name. Returns the root's objects as this baseline has them.
    fn inherit(
        &mut self,
        root: Option<&Baseline>,
        runtime: &str,
        arch: Arch,
    ) -> Result<Vec<Arc<SystemObject>>> {
        let Some(root) = root else {
            return match self.keeps.first() {
                Some(keep) => Err(Error::new(format!("line {}: `keep` needs a `root`", keep.line))),
                None => Ok(Vec::new()),
            };
        };
        self.recorded.get_or_insert_with(|| root.recorded.clone());
        self.glibc.get_or_insert_with(|| root.glibc.clone());
        self.complete.get_or_insert(root.complete);
        self.default_dirs.get_or_insert_with(|| root.default_dirs.clone());
        for (own, roots) in
            [(&mut self.interpreters, &root.interpreters), (&mut self.library_paths, &root.library_paths)]
        {
            if own.is_empty() {
                own.clone_from(roots);
            }
        }
        for source in &root.evidence {
            let code = &source.code;
            let known = KnownCode { line: 0, source: self.evidence.len() };
            if let Some(KnownCode { line, .. }) = self.codes.insert(code.clone(), known) {
                return Err(Error::new(format!("line {line}: the root already has the evidence `{code}`")));
            }
            self.evidence.push(source.clone());
        }
        if self.keeps.is_empty() {
            return Ok(root.objects.iter().map(|object| self.inherited(object, runtime, arch)).collect());
        }
        let mut kept: Vec<Arc<SystemObject>> = Vec::new();
        for keep in &self.keeps {
            for soname in &keep.sonames {
                let error =
                    |what: &str| Error::new(format!("line {}: `{}` {what}", keep.line, shown(soname)));
                let object = root.object(soname).ok_or_else(|| error("is not in the root"))?;
                if kept.iter().any(|known| known.soname == *soname) {
                    return Err(error("is kept twice"));
                }
                self.explains(keep.line, soname, keep.codes.iter())?;
                let mut object = SystemObject { codes: keep.codes.clone(), ..SystemObject::clone(object) };
                self.judge(&mut object, runtime, arch);
                kept.push(Arc::new(object));
            }
        }
        Ok(kept)
    }

    /// The sources with these codes.
    fn sources(&self, codes: &[String]) -> Vec<&Source> {
        codes.iter().filter_map(|code| Some(&self.evidence[self.codes.get(code)?.source])).collect()
    }

    /// Sets what follows from the evidence of an object.
    fn judge(&self, object: &mut SystemObject, runtime: &str, arch: Arch) {
        let sources = self.sources(&object.codes);
        object.evidence = level(&sources, runtime, arch);
        object.certain = is_certain(&sources, runtime, arch);
        object.presence = match object.evidence {
            Evidence::Doubtful => Presence::Doubtful,
            _ => Presence::Present,
        };
    }

    /// An object of the root as this baseline has it. It is as certain as there, but what was measured in the root was
    /// not measured here.
    fn inherited(&self, object: &Arc<SystemObject>, runtime: &str, arch: Arch) -> Arc<SystemObject> {
        let is_level = |level: Evidence| object.evidence == level;
        if !is_level(Evidence::Measured) && !is_level(Evidence::Documented) {
            return object.clone();
        }
        let evidence = match level(&self.sources(&object.codes), runtime, arch) {
            Evidence::Doubtful => Evidence::Derived,
            level => level,
        };
        Arc::new(SystemObject { evidence, ..SystemObject::clone(object) })
    }

    /// Returns an error for a code that no evidence line explains.
    fn explains<'a>(
        &self,
        line: usize,
        soname: &str,
        mut codes: impl Iterator<Item = &'a String>,
    ) -> Result<()> {
        match codes.find(|code| !self.codes.contains_key(*code)) {
            None => Ok(()),
            Some(code) => Err(Error::new(format!(
                "line {line}: `{}` names the evidence `{}`, which no line explains",
                shown(soname),
                shown(code)
            ))),
        }
    }
}

/// Reads codes with commas between them. A level of evidence is none: it follows from the codes.
fn read_codes(entry: &TextLine<'_>, codes: &str) -> Result<Vec<String>> {
    let is_level = |word: &str| Evidence::ALL.iter().any(|level| level.as_str() == word);
    if let Some(level) = codes.split_ascii_whitespace().find(|word| is_level(word)) {
        let key = entry.key;
        return Err(entry.error(format_args!(
            "leave out `{level}`: `{key}` names codes, and the level follows from them"
        )));
    }
    let names: Vec<&str> = codes.split([',', ' ']).filter(|code| !code.is_empty()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < names.len() || names.is_empty() {
        return Err(entry.error(format_args!("`{}` names each code once", entry.key)));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// A `keep` line: objects of the root that stay, and the evidence for their presence here.
struct Keep {
    line: usize,
    codes: Vec<String>,
    sonames: Vec<String>,
}

/// An object whose lines are being read.
struct ObjectDraft {
    /// The number of its `object` line.
    line: usize,
    soname: String,
    directory: Option<String>,
    file: Option<String>,
    older_file: Option<String>,
    package: Option<String>,
    since: Option<String>,
    codes: Option<Vec<String>>,
    floor: Option<Vec<String>>,
    later: Vec<LaterNode>,
    uncertain: Vec<String>,
    nodes_from: Option<NodesFrom>,
    lacks: Vec<String>,
}

impl ObjectDraft {
    fn new(entry: &TextLine<'_>) -> Result<ObjectDraft> {
        Ok(ObjectDraft {
            line: entry.line,
            soname: entry.file_name()?,
            directory: None,
            file: None,
            older_file: None,
            package: None,
            since: None,
            codes: None,
            floor: None,
            later: Vec::new(),
            uncertain: Vec::new(),
            nodes_from: None,
            lacks: Vec::new(),
        })
    }

    fn take(&mut self, entry: &TextLine<'_>) -> Result<()> {
        match entry.key {
            "directory" => entry.once(&mut self.directory, entry.absolute()?),
            "file" => entry.once(&mut self.file, entry.file_name()?),
            "older-file" => entry.once(&mut self.older_file, entry.file_name()?),
            "package" => entry.once(&mut self.package, entry.word()?.to_owned()),
            "presence" => Err(entry.error("`presence` is not stated: it follows from the evidence")),
            "present-since" => entry.once(&mut self.since, entry.word()?.to_owned()),
            "evidence" => {
                let codes = read_codes(entry, entry.text()?)?;
                entry.once(&mut self.codes, codes)
            }
            "nodes" => {
                let nodes = match entry.text()? {
                    "none" => Vec::new(),
                    _ => entry.words()?.map(str::to_owned).collect(),
                };
                entry.once(&mut self.floor, nodes)
            }
            "since" => {
                let (image, nodes) = entry.word_and_rest("IMAGE NODES")?;
                self.later.extend(
                    nodes
                        .split_ascii_whitespace()
                        .map(|node| LaterNode { node: node.to_owned(), image: image.to_owned() }),
                );
                Ok(())
            }
            "uncertain" => {
                self.uncertain.extend(entry.words()?.map(str::to_owned));
                Ok(())
            }
            "lacks" => {
                self.lacks.extend(entry.words()?.map(str::to_owned));
                Ok(())
            }
            "nodes-from" => {
                let (word, code) = entry.word_and_rest("CONFIDENCE CODE")?;
                let all = [Confidence::High, Confidence::Medium, Confidence::Low];
                let confidence = all.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
                    entry.error(format_args!("`{}` is not high, medium or low", shown(word)))
                })?;
                entry.once(&mut self.nodes_from, NodesFrom { confidence, code: code.to_owned() })
            }
            _ => Err(entry.unknown_key("an object")),
        }
    }

    fn finish(mut self) -> Result<SystemObject> {
        let error =
            |what: String| Error::new(format!("line {}: `{}` {what}", self.line, shown(&self.soname)));
        let Some(codes) = self.codes.take() else {
            return Err(error("has no `evidence` line".to_owned()));
        };
        let nodes = match self.floor.take() {
            None if self.later.is_empty() && self.uncertain.is_empty() && self.nodes_from.is_none() => {
                Nodes::Unknown
            }
            None => {
                return Err(error(
                    "has `since`, `uncertain` or `nodes-from` lines, but no `nodes` line".to_owned(),
                ));
            }
            Some(mut floor) => {
                floor.sort_by(|a, b| version::compare(a, b));
                self.later.sort_by(|a, b| version::compare(&a.node, &b.node));
                self.uncertain.sort_by(|a, b| version::compare(a, b));
                if let Some(node) = twice(&floor, &self.later, &self.uncertain) {
                    return Err(error(format!("has the symbol version `{}` twice", shown(node))));
                }
                Nodes::Known {
                    floor,
                    later: std::mem::take(&mut self.later),
                    uncertain: std::mem::take(&mut self.uncertain),
                }
            }
        };
        Ok(SystemObject {
            soname: self.soname,
            file: self.file,
            older_file: self.older_file,
            package: self.package,
            // As `Preamble::judge` finds.
            presence: Presence::Doubtful,
            evidence: Evidence::Doubtful,
            certain: false,
            behind: None,
            codes,
            since: self.since,
            directory: self.directory,
            nodes,
            nodes_from: self.nodes_from,
            lacks: self.lacks,
            facts: None,
        })
    }
}

/// A node that occurs more than once in three sorted lists.
fn twice<'a>(floor: &'a [String], later: &'a [LaterNode], uncertain: &'a [String]) -> Option<&'a str> {
    if let Some(pair) = floor.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(&pair[0]);
    }
    // Few objects have later or uncertain nodes, and those have few. `floor` is searched by halves, so a hostile text
    // costs no more.
    let mut others: Vec<&str> = later.iter().map(|later| later.node.as_str()).collect();
    others.extend(uncertain.iter().map(String::as_str));
    others.sort_unstable();
    if let Some(pair) = others.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(pair[0]);
    }
    others.into_iter().find(|node| floor.binary_search_by(|known| version::compare(known, node)).is_ok())
}
