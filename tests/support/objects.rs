//! Small ELF objects made by GNU as and ld, and a tree of them in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What one object has.
#[derive(Debug, Default, Clone)]
pub struct Has<'a> {
    soname: Option<&'a str>,
    needed: Vec<&'a str>,
    links: Vec<&'a str>,
    references: Vec<&'a str>,
    nodes: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Has<'a> {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn needed(names: &[&'a str]) -> Self {
        Has { needed: names.to_vec(), ..Has::default() }
    }

    pub fn soname(self, soname: &'a str) -> Self {
        Has { soname: Some(soname), ..self }
    }

    pub fn rpath(self, value: &'a str) -> Self {
        self.options(&["--disable-new-dtags", "-rpath", value])
    }

    pub fn runpath(self, value: &'a str) -> Self {
        self.options(&["--enable-new-dtags", "-rpath", value])
    }

    /// Defines a symbol named after each version node, in that node.
    pub fn nodes(self, nodes: &[&'a str]) -> Self {
        Has { nodes: nodes.to_vec(), ..self }
    }

    /// Refers to symbols, which a file of the tree defines.
    pub fn references(self, symbols: &[&'a str], library: &'a str) -> Self {
        let mut has = self;
        has.references.extend(symbols);
        has.links.push(library);
        has
    }

    pub fn options(mut self, options: &[&'a str]) -> Self {
        self.options.extend(options);
        self
    }
}

/// The tools for one machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub assembler: &'static str,
    pub linker: &'static str,
    pub interpreter: &'static str,
    word: &'static str,
    exit: &'static str,
}

pub const X86_64: Machine = Machine {
    assembler: "as",
    linker: "ld",
    interpreter: "/lib64/ld-linux-x86-64.so.2",
    word: ".quad",
    exit: "mov $60, %eax; xor %edi, %edi; syscall",
};

pub const MUSL: Machine = Machine { interpreter: "/lib/ld-musl-x86_64.so.1", ..X86_64 };

pub const ARM64: Machine = Machine {
    assembler: "aarch64-linux-gnu-as",
    linker: "aarch64-linux-gnu-ld",
    interpreter: "/lib/ld-linux-aarch64.so.1",
    word: ".xword",
    exit: "mov x0, #0; mov x8, #93; svc #0",
};

/// Files below a temporary directory, which in texts is `T`.
pub struct Tree {
    temporary: tempfile::TempDir,
    root: PathBuf,
    machine: Machine,
}

impl Tree {
    pub fn new(machine: Machine) -> Tree {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        Tree { temporary, root, machine }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        let _ = &self.temporary;
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// `T` for the root, everywhere in a text.
    pub fn short(&self, text: &str) -> String {
        text.replace(self.root.to_str().unwrap(), "T")
    }

    /// The root for `T`: at the start, behind a colon, a semicolon or a space.
    pub fn long(&self, text: &str) -> String {
        let root = self.root.to_str().unwrap();
        let mut long = String::new();
        let mut before = ':';
        for (at, letter) in text.char_indices() {
            let ends = text[at + 1..].is_empty() || text[at + 1..].starts_with(['/', ':', ';']);
            if letter == 'T' && ":; ".contains(before) && ends {
                long.push_str(root);
            } else {
                long.push(letter);
            }
            before = letter;
        }
        long
    }

    pub fn library(&self, path: &str, has: Has) -> &Tree {
        self.link(path, &has, &["-shared"]);
        self
    }

    pub fn program(&self, path: &str, has: Has) -> &Tree {
        self.link(path, &has, &["-pie", "--dynamic-linker", self.machine.interpreter]);
        self
    }

    /// Links one object with the options of its kind.
    pub fn link(&self, path: &str, has: &Has, kind: &[&str]) {
        let file = self.path(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let mut source = format!(".text\n.globl _start\n_start: {}\n.data\n", self.machine.exit);
        for symbol in &has.references {
            source += &format!("{} {symbol}\n", self.machine.word);
        }
        let mut script = String::new();
        for (index, node) in has.nodes.iter().enumerate() {
            source += &format!(".globl in_{index}\nin_{index}: .long 0\n");
            script += &format!("\"{node}\" {{ in_{index}; }};\n");
        }
        let mut command = Command::new(self.machine.linker);
        command.args(["-z", "noexecstack", "--no-as-needed", "--allow-shlib-undefined"]);
        command.args(kind).arg("-o").arg(&file).arg(assemble(self.machine, scratch.path(), &source));
        if let Some(soname) = has.soname {
            command.args(["-soname", &self.long(soname)]);
        }
        if !has.nodes.is_empty() {
            std::fs::write(scratch.path().join("script"), script).unwrap();
            command.arg("--version-script").arg(scratch.path().join("script"));
        }
        command.args(has.options.iter().map(|option| self.long(option)));
        for (index, name) in has.needed.iter().enumerate() {
            // The linker takes the needed name from the SONAME of what it is given.
            let stub = scratch.path().join(format!("stub{index}"));
            let object = assemble(self.machine, scratch.path(), "");
            let mut link = Command::new(self.machine.linker);
            run(link.args(["-shared", "-soname", &self.long(name), "-o"]).arg(&stub).arg(object));
            command.arg(stub);
        }
        command.args(has.links.iter().map(|link| self.path(link)));
        run(&mut command);
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Tree {
        let file = self.path(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        self
    }

    pub fn directory(&self, path: &str) -> &Tree {
        std::fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    pub fn symlink(&self, path: &str, target: &str) -> &Tree {
        let file = self.path(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.long(target), file).unwrap();
        self
    }

    pub fn hard_link(&self, path: &str, to: &str) -> &Tree {
        std::fs::hard_link(self.path(to), self.path(path)).unwrap();
        self
    }

    pub fn remove(&self, path: &str) -> &Tree {
        std::fs::remove_file(self.path(path)).unwrap();
        self
    }

    /// Changes the bytes of a file.
    pub fn patch(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> &Tree {
        let mut bytes = std::fs::read(self.path(path)).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(path), bytes).unwrap();
        self
    }

    /// Adds an entry to the dynamic segment, where GNU ld leaves room for five. The text is one that the
    /// string table has already.
    pub fn add_dynamic(&self, path: &str, tag: u64, text: &str) -> &Tree {
        let text = self.long(text);
        self.patch(path, |bytes| {
            let value = string_offset(bytes, &text);
            let (start, entries) = dynamic(bytes);
            let end = start + entries.iter().position(|(tag, _)| *tag == 0).unwrap() * 16;
            bytes[end..end + 8].copy_from_slice(&tag.to_le_bytes());
            bytes[end + 8..end + 16].copy_from_slice(&value.to_le_bytes());
        })
    }

    /// Lets the first DT_NEEDED entry name `text`, which the string table has already.
    pub fn rename_first_need(&self, path: &str, text: &str) -> &Tree {
        self.patch(path, |bytes| {
            let value = string_offset(bytes, text);
            let (start, entries) = dynamic(bytes);
            let at = start + entries.iter().position(|(tag, _)| *tag == 1).unwrap() * 16;
            bytes[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
        })
    }

    /// Makes every version need of a file weak.
    pub fn weaken(&self, path: &str) -> &Tree {
        self.patch(path, |bytes| {
            // In these objects the first segment, which has the version needs, starts at address 0.
            let mut entry = dynamic_value(bytes, 0x6fff_fffe) as usize;
            let word =
                |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            loop {
                let mut item = entry + word(bytes, entry + 8);
                loop {
                    bytes[item + 4] |= 2;
                    match word(bytes, item + 12) {
                        0 => break,
                        next => item += next,
                    }
                }
                match word(bytes, entry + 12) {
                    0 => break,
                    next => entry += next,
                }
            }
        })
    }
}

/// Offset of the dynamic segment, and its entries with the DT_NULL ones.
fn dynamic(bytes: &[u8]) -> (usize, Vec<(u64, u64)>) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (headers, count) = (word(32) as usize, usize::from(bytes[56]));
    let header = (0..count).map(|index| headers + index * 56).find(|at| bytes[*at] == 2).unwrap();
    let (start, size) = (word(header + 8) as usize, word(header + 32) as usize);
    (start, (0..size / 16).map(|index| (word(start + index * 16), word(start + index * 16 + 8))).collect())
}

fn dynamic_value(bytes: &[u8], wanted: u64) -> u64 {
    dynamic(bytes).1.iter().find(|(tag, _)| *tag == wanted).unwrap().1
}

fn string_offset(bytes: &[u8], text: &str) -> u64 {
    let (start, size) = (dynamic_value(bytes, 5) as usize, dynamic_value(bytes, 10) as usize);
    let wanted = [text.as_bytes(), b"\0"].concat();
    let at = memchr::memmem::find(&bytes[start..start + size], &wanted);
    at.unwrap_or_else(|| panic!("{text} is not in the string table")) as u64
}

/// The object file of a source.
fn assemble(machine: Machine, scratch: &Path, source: &str) -> PathBuf {
    let name = if source.is_empty() { "empty" } else { "object" };
    let (text, object) = (scratch.join(format!("{name}.s")), scratch.join(format!("{name}.o")));
    if !object.exists() {
        std::fs::write(&text, source).unwrap();
        run(Command::new(machine.assembler).arg("-o").arg(&object).arg(&text));
    }
    object
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
