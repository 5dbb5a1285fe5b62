//! A root file system that was captured: every object that a loader may find there, with its full facts.
//!
//! In the text of a baseline, these lines replace the objects that research found. Paths are those of the root,
//! absolute and without links in them; `link` lines lead to them.
//!
//! ```text
//! cache libz.so.1 /usr/lib/libz.so.1       an entry of /etc/ld.so.cache
//! link /lib usr/lib                        a symbolic link, of a directory or of a file
//! refused /usr/lib/libm.so invalid ELF header: ...    a file that the loader refuses, and why
//!
//! elf /usr/lib/libz.so.1.2.11
//!   soname libz.so.1
//!   needed libc.so.6                       one a line, as filter, auxiliary; at most one rpath, runpath
//!   wants libc.so.6 GLIBC_2.14 GLIBC_2.4   version nodes of that file; `wants-weakly` if they may be absent
//!   defines 2 ZLIB_1.2.0                   a version node and its index; `base` after the file's own
//!   exports 2 deflateInit_ inflateInit_    the symbols of that index; 1 is none, `2h` is not the default
//!   refers libz.so.1 ZLIB_1.2.0 crc32      symbols of another library's node that are bound at start; `- -` is none
//!   calls libz.so.1 ZLIB_1.2.0 crc32       the same, bound by the first call
//!   nodeflib yes                           as pie, relr: DF_1_NODEFLIB, DF_1_PIE, DT_RELR
//!   kernel 3.2.0                           the kernel in the ABI note
//!   alignment page                         or no-pages, broken
//!   package zlib                           the package of the system that has the file, if known
//! ```
//!
//! References of the system's objects to glibc, and weak references, are not recorded: nothing replaces glibc.
//! References to other libraries are recorded, for the case that a file of a bundle replaces one; otherwise the
//! system's own libraries are not judged. Hashes of version nodes are not recorded: they are assumed to be those of
//! the names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::lines::TextLine;
use super::{Baseline, Evidence, Nodes, Presence, SystemObject, is_glibc_part};
use crate::elf::{
    Alignment, Arch, DF_1_NODEFLIB, DF_1_PIE, ElfFacts, NamedSymbol, SymbolTable, Uses, VersionDefinition,
    VersionNeed,
};
use crate::elf::{ObjectType, version_hash};
use crate::error::Result;
use crate::paths;
use crate::paths::file_name;
use crate::text::printable;

/// The files of a root file system that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// Files and links by path.
    pub entries: BTreeMap<String, RootEntry>,
    /// /etc/ld.so.cache: SONAME to path.
    pub cache: Arc<BTreeMap<String, String>>,
    /// The package of each file, by path, where it is known.
    pub packages: BTreeMap<String, String>,
}

/// A file or link at a path of a captured root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootEntry {
    /// An object that the loader loads.
    Elf(Arc<ElfFacts>),
    /// A symbolic link with its target.
    Link(String),
    /// A file that the loader refuses, with the reason.
    Refused(String),
}

impl Root {
    /// The entry for a file of this architecture; `None` for a file of another, which the loader passes over.
    pub fn entry(facts: &Arc<ElfFacts>, arch: Arch) -> Option<RootEntry> {
        if facts.arch() != Some(arch) {
            return None;
        }
        // Source: `open_verify` and `_dl_map_object_from_fd` in glibc's elf/dl-load.c.
        let refused = match facts.object_type {
            ObjectType::Exec => "cannot dynamically load executable",
            ObjectType::Other(_) => "only ET_DYN and ET_EXEC can be loaded",
            ObjectType::Dyn if !matches!(facts.os_abi, 0 | 3) => "ELF file OS ABI invalid",
            ObjectType::Dyn if facts.abi_version >= 4 => "ELF file ABI version invalid",
            ObjectType::Dyn if !facts.has_load => "object file has no loadable segments",
            ObjectType::Dyn if !facts.has_dynamic => "object file has no dynamic section",
            ObjectType::Dyn => return Some(RootEntry::Elf(facts.clone())),
        };
        Some(RootEntry::Refused(refused.to_owned()))
    }

    /// The object at a path.
    pub fn object(&self, path: &str, facts: &Arc<ElfFacts>) -> SystemObject {
        let package = self.packages.get(path).cloned();
        SystemObject { package, ..SystemObject::captured(path, facts) }
    }

    /// The objects by SONAME and file name, each name once: those of the default directories come first.
    pub(super) fn objects(&self, default_dirs: &[String]) -> Vec<Arc<SystemObject>> {
        let mut objects: BTreeMap<String, SystemObject> = BTreeMap::new();
        let in_default = |path: &str| default_dirs.iter().any(|dir| dir == paths::parent(path));
        let mut entries: Vec<(&String, &RootEntry)> = self.entries.iter().collect();
        entries.sort_by_key(|(path, _)| !in_default(path));
        for (path, entry) in entries {
            let RootEntry::Elf(facts) = entry else { continue };
            let object = self.object(path, facts);
            let names = [object.soname.clone(), file_name(path).to_owned()];
            for name in names {
                let object = SystemObject { soname: name.clone(), ..object.clone() };
                objects.entry(name).or_insert(object);
            }
        }
        objects.into_values().map(Arc::new).collect()
    }
}

impl SystemObject {
    /// The object at a path of a captured root, without its package.
    fn captured(path: &str, facts: &Arc<ElfFacts>) -> SystemObject {
        let file = file_name(path).to_owned();
        let soname = facts.soname.clone().unwrap_or_else(|| file.clone());
        let mut floor: Vec<String> =
            facts.verdef.iter().filter(|def| !def.base).map(|def| def.node.clone()).collect();
        floor.sort_by(|a, b| crate::elf::version::compare(a, b));
        floor.dedup();
        SystemObject {
            file: (file != soname).then_some(file),
            soname,
            older_file: None,
            lacks: Vec::new(),
            package: None,
            presence: Presence::Present,
            evidence: Evidence::Captured,
            codes: Vec::new(),
            certain: true,
            behind: None,
            since: None,
            directory: None,
            nodes: Nodes::Known { floor, later: Vec::new(), uncertain: Vec::new() },
            nodes_from: None,
            facts: Some(facts.clone()),
        }
    }
}

impl Baseline {
    /// Returns this baseline with the files of a captured root in place of its objects.
    #[must_use]
    pub fn with_root(mut self, root: Root) -> Baseline {
        self.objects = root.objects(&self.default_dirs);
        self.root_files = Some(root);
        self
    }

    /// The text of a captured baseline, which [`Baseline::parse`] reads back.
    ///
    /// The same root gives the same text. Blanks and control characters in names become `\xNN`.
    pub fn captured_text(&self) -> String {
        let mut text = format!(
            "# A root file system, captured on {} by cargo lambda-bundle {}.\n# Every shared object that its loader \
             may come upon, with what it needs and offers: nothing is assumed.\n\nruntime {}\narch {}\nrecorded \
             {}\nglibc {}\ncomplete yes\n",
            self.recorded,
            env!("CARGO_PKG_VERSION"),
            word(&self.runtime),
            self.arch,
            self.recorded,
            self.glibc
        );
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{key} {value}");
        };
        for interpreter in &self.interpreters {
            line("interpreter", &word(interpreter));
        }
        let dirs: Vec<String> = self.default_dirs.iter().map(|dir| word(dir)).collect();
        line("default-dirs", &dirs.join(" "));
        for path in &self.library_paths {
            line("library-path", path);
        }
        let Some(root) = &self.root_files else { return text };
        for (soname, path) in &*root.cache {
            line("cache", &format!("{} {}", word(soname), word(path)));
        }
        for (path, entry) in &root.entries {
            match entry {
                RootEntry::Link(target) => line("link", &format!("{} {}", word(path), word(target))),
                RootEntry::Refused(why) => line("refused", &format!("{} {}", word(path), printable(why))),
                RootEntry::Elf(_) => {}
            }
        }
        for (path, entry) in &root.entries {
            if let RootEntry::Elf(facts) = entry {
                let _ = write!(text, "\nelf {}\n", word(path));
                if let Some(package) = root.packages.get(path) {
                    let _ = writeln!(text, "  package {}", word(package));
                }
                write_facts(facts, &mut text);
            }
        }
        text
    }
}

fn write_facts(facts: &ElfFacts, text: &mut String) {
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {key} {value}");
    };
    for (key, value) in [("soname", &facts.soname), ("rpath", &facts.rpath), ("runpath", &facts.runpath)] {
        if let Some(value) = value.as_ref().filter(|value| !value.trim().is_empty()) {
            line(key, &printable(value));
        }
    }
    for (key, names) in
        [("needed", &facts.needed), ("filter", &facts.filter), ("auxiliary", &facts.auxiliary)]
    {
        for name in names {
            line(key, &word(name));
        }
    }
    for (flag, key) in [(DF_1_NODEFLIB, "nodeflib"), (DF_1_PIE, "pie")] {
        if facts.flags_1 & flag != 0 {
            line(key, "yes");
        }
    }
    if facts.has_relr {
        line("relr", "yes");
    }
    if let Some((major, minor, patch)) = facts.least_kernel {
        line("kernel", &format!("{major}.{minor}.{patch}"));
    }
    match facts.alignment {
        Alignment::Fine => {}
        Alignment::PageOnly => line("alignment", "page"),
        Alignment::NoPages => line("alignment", "no-pages"),
        Alignment::Broken => line("alignment", "broken"),
    }
    for needs in facts.verneed.chunk_by(|a, b| (&a.file, a.weak) == (&b.file, b.weak)) {
        let nodes: Vec<String> = needs.iter().map(|need| word(&need.node)).collect();
        let key = if needs[0].weak { "wants-weakly" } else { "wants" };
        line(key, &format!("{} {}", word(&needs[0].file), nodes.join(" ")));
    }
    for VersionDefinition { node, base, index, .. } in &facts.verdef {
        line("defines", &format!("{index} {}{}", word(node), if *base { " base" } else { "" }));
    }
    if !facts.symbols.has_hash() {
        return;
    }
    let mut exports: BTreeMap<(u16, bool), Vec<String>> = BTreeMap::new();
    for symbol in facts.symbols.iter().filter(|symbol| symbol.defined) {
        let name = word(&facts.symbols.name(symbol));
        if !name.is_empty() {
            exports.entry((symbol.version & 0x7fff, symbol.version & 0x8000 != 0)).or_default().push(name);
        }
    }
    for ((index, hidden), mut names) in exports {
        names.sort_unstable();
        names.dedup();
        let key = format!("{index}{}", if hidden { "h" } else { "" });
        for line_of_names in lines_of(&names) {
            line("exports", &format!("{key} {line_of_names}"));
        }
    }
    write_references(facts, &mut line);
}

/// Writes the strong references to libraries other than glibc's, by the time of binding, and by file and node.
fn write_references(facts: &ElfFacts, line: &mut impl FnMut(&str, &str)) {
    let mut references: BTreeMap<(&str, &str, &str), Vec<String>> = BTreeMap::new();
    for symbol in facts.symbols.iter().filter(|it| !it.defined && !it.weak && it.is_looked_up()) {
        let need = facts.verneed.iter().find(|need| need.index & 0x7fff == symbol.version & 0x7fff);
        let need = need.filter(|_| symbol.version & 0x7fff > 1);
        if need.is_some_and(|need| is_glibc_part(&need.file)) {
            continue;
        }
        let key = if facts.binds_now() || symbol.uses.is_at_start() { "refers" } else { "calls" };
        let (file, node) = need.map_or(("-", "-"), |need| (&need.file, &need.node));
        references.entry((key, file, node)).or_default().push(word(&facts.symbols.name(symbol)));
    }
    for ((key, file, node), mut names) in references {
        names.sort_unstable();
        names.dedup();
        for line_of_names in lines_of(&names) {
            line(key, &format!("{} {} {line_of_names}", word(file), word(node)));
        }
    }
}

/// Joins words to lines of some 100 characters.
fn lines_of(words: &[String]) -> Vec<String> {
    const LONGEST: usize = 100;
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < LONGEST => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// Writes a name as one word of the text.
fn word(name: &str) -> String {
    printable(name).replace(' ', "\\x20")
}

/// An `elf` block that is being read.
pub(super) struct ElfDraft {
    path: String,
    facts: ElfFacts,
    symbols: Vec<NamedSymbol>,
    package: Option<String>,
}

impl ElfDraft {
    pub(super) fn new(entry: &TextLine<'_>, arch: Option<Arch>) -> Result<ElfDraft> {
        let arch = arch.ok_or_else(|| entry.error("an `arch` line must come first"))?;
        let facts = ElfFacts {
            class64: true,
            little_endian: true,
            machine: arch.machine(),
            has_load: true,
            has_dynamic: true,
            // Without DT_VERSYM every symbol has the index of an unversioned symbol; the answers are the same.
            has_versym: true,
            ..ElfFacts::default()
        };
        Ok(ElfDraft { path: entry.path()?, facts, symbols: Vec::new(), package: None })
    }

    pub(super) fn take(&mut self, entry: &TextLine<'_>) -> Result<()> {
        let facts = &mut self.facts;
        match entry.key {
            "soname" => entry.once(&mut facts.soname, entry.text()?.to_owned())?,
            "rpath" => entry.once(&mut facts.rpath, entry.text()?.to_owned())?,
            "runpath" => entry.once(&mut facts.runpath, entry.text()?.to_owned())?,
            "package" => entry.once(&mut self.package, entry.word()?.to_owned())?,
            "needed" => facts.needed.push(entry.word()?.to_owned()),
            "filter" => facts.filter.push(entry.word()?.to_owned()),
            "auxiliary" => facts.auxiliary.push(entry.word()?.to_owned()),
            "nodeflib" => facts.flags_1 |= entry.yes(DF_1_NODEFLIB)?,
            "pie" => facts.flags_1 |= entry.yes(DF_1_PIE)?,
            "relr" => facts.has_relr = entry.yes(true)?,
            "kernel" => {
                let kernel = entry.one_of("a release like 3.2.0", |word| {
                    let mut numbers = word.split('.').map(|number| number.parse().ok());
                    let kernel = (numbers.next()??, numbers.next()??, numbers.next()??);
                    numbers.next().is_none().then_some(kernel)
                })?;
                entry.once(&mut facts.least_kernel, kernel)?;
            }
            "alignment" => {
                facts.alignment = entry.one_of("page, no-pages or broken", |word| match word {
                    "page" => Some(Alignment::PageOnly),
                    "no-pages" => Some(Alignment::NoPages),
                    "broken" => Some(Alignment::Broken),
                    _ => None,
                })?;
            }
            "wants" | "wants-weakly" => {
                let (file, nodes) = entry.word_and_rest("FILE NODES")?;
                let weak = entry.key == "wants-weakly";
                for node in nodes.split_ascii_whitespace() {
                    // These indices are above those of the nodes that the object defines.
                    let index = u16::try_from(facts.verneed.len()).ok().filter(|index| *index < 0x4000);
                    let index = 0x4000
                        + index.ok_or_else(|| entry.error("more symbol versions than a file can need"))?;
                    let (file, hash) = (file.to_owned(), version_hash(node));
                    facts.verneed.push(VersionNeed { file, node: node.to_owned(), hash, weak, index });
                }
            }
            "defines" => {
                let mut words = entry.words()?;
                let index = words.next().and_then(|word| word.parse().ok()).filter(|index| *index < 0x8000);
                let (Some(index), Some(node), base, None) = (index, words.next(), words.next(), words.next())
                else {
                    return Err(entry.error("expected `defines INDEX NODE`"));
                };
                if base.is_some_and(|word| word != "base") {
                    return Err(entry.error("expected `defines INDEX NODE base`"));
                }
                let (node, hash) = (node.to_owned(), version_hash(node));
                facts.verdef.push(VersionDefinition { node, hash, base: base.is_some(), index });
            }
            "exports" => {
                let (index, names) = entry.word_and_rest("INDEX SYMBOLS")?;
                let hidden = if index.ends_with('h') { 0x8000 } else { 0 };
                let index = index.trim_end_matches('h').parse().ok().filter(|index: &u16| *index < 0x8000);
                let Some(index) = index else { return Err(entry.error("expected `exports INDEX SYMBOLS`")) };
                let names = names.split_ascii_whitespace();
                self.symbols.extend(names.map(|name| NamedSymbol {
                    name: name.to_owned(),
                    version: index | hidden,
                    uses: None,
                }));
            }
            "refers" | "calls" => {
                let (file, rest) = entry.word_and_rest("FILE NODE SYMBOLS")?;
                let mut names = rest.split_ascii_whitespace();
                let node = names.next().unwrap_or_default();
                let mut needs = facts.verneed.iter();
                let version = match needs.find(|need| need.file == file && need.node == node) {
                    Some(need) => need.index,
                    None if (file, node) == ("-", "-") => 1,
                    None => {
                        return Err(entry.error("no `wants` line above has this symbol version of this file"));
                    }
                };
                let uses = Some(if entry.key == "calls" { Uses::SLOT } else { Uses::CALL });
                self.symbols.extend(names.map(|name| NamedSymbol { name: name.to_owned(), version, uses }));
            }
            _ => return Err(entry.unknown_key("an `elf` file")),
        }
        Ok(())
    }

    /// The path, the file's entry, and its package.
    pub(super) fn finish(mut self) -> (String, RootEntry, Option<String>) {
        self.facts.symbols = SymbolTable::of_names(&self.symbols);
        (self.path, RootEntry::Elf(Arc::new(self.facts)), self.package)
    }
}
