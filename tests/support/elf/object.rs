//! Changes to an [`Object`].

use std::sync::Arc;

use cargo_lambda_bundle::elf::{self, ElfFacts};

use super::layout::Layout;
use super::*;

impl Object {
    /// A file with nothing in it, for x86_64.
    fn new(object_type: u16) -> Object {
        Object {
            class64: true,
            little_endian: true,
            machine: EM_X86_64,
            object_type,
            os_abi: 0,
            abi_version: 0,
            loads: true,
            has_dynamic: true,
            hash: Hash::Gnu,
            interpreter: None,
            names: Vec::new(),
            verneed: Vec::new(),
            verdef: Vec::new(),
            symbols: Vec::new(),
            flags: None,
            flags_1: None,
            relr_bytes: None,
            notes: Vec::new(),
            properties: Vec::new(),
            text: Vec::new(),
            changes: Vec::new(),
            renames: Vec::new(),
            has_sections: false,
        }
    }

    /// A shared library with this SONAME.
    pub fn library(soname: impl AsRef<[u8]>) -> Object {
        Object::plugin().soname(soname)
    }

    /// A shared library without a SONAME.
    pub fn plugin() -> Object {
        Object::new(ET_DYN)
    }

    /// A position-independent program with glibc's interpreter for x86_64.
    pub fn program() -> Object {
        Object::new(ET_DYN).interpreter(GLIBC_INTERPRETER).flags_1(elf::DF_1_PIE)
    }

    /// A program at a fixed address, without a dynamic segment.
    pub fn static_program() -> Object {
        Object::new(ET_EXEC).without_dynamic()
    }

    /// A program that relocates itself.
    pub fn static_pie() -> Object {
        Object::new(ET_DYN).flags_1(elf::DF_1_PIE)
    }

    /// For arm64; a program's interpreter is changed with it.
    pub fn arm64(mut self) -> Object {
        if self.interpreter.as_deref() == Some(GLIBC_INTERPRETER.as_bytes()) {
            self = self.interpreter("/lib/ld-linux-aarch64.so.1");
        }
        self.machine(EM_AARCH64)
    }

    pub fn machine(mut self, machine: u16) -> Object {
        self.machine = machine;
        self
    }

    pub fn class32(mut self) -> Object {
        self.class64 = false;
        self
    }

    pub fn big_endian(mut self) -> Object {
        self.little_endian = false;
        self
    }

    pub fn object_type(mut self, object_type: u16) -> Object {
        self.object_type = object_type;
        self
    }

    pub fn os_abi(mut self, os_abi: u8, abi_version: u8) -> Object {
        (self.os_abi, self.abi_version) = (os_abi, abi_version);
        self
    }

    pub fn interpreter(mut self, path: impl AsRef<[u8]>) -> Object {
        self.interpreter = Some(path.as_ref().to_vec());
        self
    }

    pub fn without_interpreter(mut self) -> Object {
        self.interpreter = None;
        self
    }

    pub fn without_load(mut self) -> Object {
        self.loads = false;
        self
    }

    pub fn without_dynamic(mut self) -> Object {
        self.has_dynamic = false;
        self
    }

    fn name(mut self, tag: u64, name: impl AsRef<[u8]>) -> Object {
        self.names.push((tag, name.as_ref().to_vec()));
        self
    }

    pub fn soname(self, name: impl AsRef<[u8]>) -> Object {
        self.name(DT_SONAME, name)
    }

    pub fn needs(self, name: impl AsRef<[u8]>) -> Object {
        self.name(DT_NEEDED, name)
    }

    pub fn rpath(self, path: impl AsRef<[u8]>) -> Object {
        self.name(DT_RPATH, path)
    }

    pub fn runpath(self, path: impl AsRef<[u8]>) -> Object {
        self.name(DT_RUNPATH, path)
    }

    pub fn auxiliary(self, name: impl AsRef<[u8]>) -> Object {
        self.name(DT_AUXILIARY, name)
    }

    pub fn filter(self, name: impl AsRef<[u8]>) -> Object {
        self.name(DT_FILTER, name)
    }

    /// Needs these version nodes of a file. The need of the file itself is [`Object::needs`].
    pub fn verneed(mut self, file: impl AsRef<[u8]>, nodes: &[impl AsRef<[u8]>]) -> Object {
        for node in nodes {
            self.add_verneed(file.as_ref(), node.as_ref(), false);
        }
        self
    }

    /// Needs these version nodes with VER_FLG_WEAK.
    pub fn weak_verneed(mut self, file: impl AsRef<[u8]>, nodes: &[impl AsRef<[u8]>]) -> Object {
        for node in nodes {
            self.add_verneed(file.as_ref(), node.as_ref(), true);
        }
        self
    }

    fn add_verneed(&mut self, file: &[u8], node: &[u8], weak: bool) {
        let at = self.verneed.iter().position(|(known, _)| known == file).unwrap_or_else(|| {
            self.verneed.push((file.to_vec(), Vec::new()));
            self.verneed.len() - 1
        });
        let nodes = &mut self.verneed[at].1;
        if !nodes.iter().any(|(known, _)| known == node) {
            nodes.push((node.to_vec(), weak));
        }
    }

    /// Defines these version nodes; the base entry with the SONAME comes by itself.
    pub fn verdef(mut self, nodes: &[impl AsRef<[u8]>]) -> Object {
        for node in nodes {
            if !self.verdef.iter().any(|known| known == node.as_ref()) {
                self.verdef.push(node.as_ref().to_vec());
            }
        }
        self
    }

    /// Defines a symbol, as the default of its version.
    pub fn defines(self, name: impl AsRef<[u8]>, node: Option<&str>) -> Object {
        self.define(name.as_ref(), node, false)
    }

    /// Defines a symbol that only a reference with its version gets (`name@node`).
    pub fn defines_hidden(self, name: impl AsRef<[u8]>, node: &str) -> Object {
        self.define(name.as_ref(), Some(node), true)
    }

    fn define(mut self, name: &[u8], node: Option<&str>, hidden: bool) -> Object {
        let version = node.map(|node| (Vec::new(), node.as_bytes().to_vec()));
        let (kind, relocation) = (SymbolKind::Data, None);
        let name = name.to_vec();
        self.symbols.push(Symbol { name, version, defined: true, hidden, weak: false, kind, relocation });
        self.verdef(node.as_slice())
    }

    /// Wants a symbol, of a version of a file or of none.
    pub fn imports(self, name: impl AsRef<[u8]>, version: Option<(&str, &str)>) -> Object {
        self.import(name.as_ref(), version, false)
    }

    /// Wants a symbol and does without it if need be.
    pub fn imports_weak(self, name: impl AsRef<[u8]>, version: Option<(&str, &str)>) -> Object {
        self.import(name.as_ref(), version, true)
    }

    fn import(mut self, name: &[u8], version: Option<(&str, &str)>, weak: bool) -> Object {
        if let Some((file, node)) = version {
            self.add_verneed(file.as_bytes(), node.as_bytes(), false);
        }
        let version = version.map(|(file, node)| (file.as_bytes().to_vec(), node.as_bytes().to_vec()));
        let (kind, relocation) = (SymbolKind::Data, Some(Relocation::Data));
        let name = name.to_vec();
        self.symbols.push(Symbol { name, version, defined: false, hidden: false, weak, kind, relocation });
        self
    }

    /// What the symbol named last is.
    pub fn of_kind(mut self, kind: SymbolKind) -> Object {
        self.symbols.last_mut().expect("a symbol").kind = kind;
        self
    }

    /// How a relocation refers to the symbol named last; `None` if none does. A copied symbol is a definition.
    pub fn relocated(mut self, relocation: Option<Relocation>) -> Object {
        let symbol = self.symbols.last_mut().expect("a symbol");
        symbol.relocation = relocation;
        symbol.defined |= relocation == Some(Relocation::Copy);
        self
    }

    pub fn hash(mut self, hash: Hash) -> Object {
        self.hash = hash;
        self
    }

    pub fn flags(mut self, flags: u64) -> Object {
        self.flags = Some(flags);
        self
    }

    pub fn flags_1(mut self, flags: u64) -> Object {
        self.flags_1 = Some(flags);
        self
    }

    /// Packed relative relocations, of which there are none; `bytes` is DT_RELRSZ.
    pub fn relr(mut self, bytes: u64) -> Object {
        self.relr_bytes = Some(bytes);
        self
    }

    pub fn build_id(mut self, id: &[u8]) -> Object {
        self.notes.push((b"GNU\0", 3, id.to_vec()));
        self
    }

    /// The GNU ABI note of glibc's start files: Linux, and the least kernel.
    pub fn abi_tag(mut self, kernel: [u32; 3]) -> Object {
        let words = [[0].as_slice(), &kernel].concat();
        let content = words.iter().flat_map(|word| self.u32(*word)).collect();
        self.notes.push((b"GNU\0", 1, content));
        self
    }

    /// The note of Go's linker.
    pub fn go(mut self) -> Object {
        self.notes.push((b"Go\0\0", 4, b"go1.22".to_vec()));
        self
    }

    /// GNU_PROPERTY_X86_ISA_1_NEEDED.
    pub fn isa_needed(mut self, bits: u32) -> Object {
        let words = [0xc000_8002, 4, bits, 0].map(|word| self.u32(word));
        self.properties.extend(words.as_flattened());
        self
    }

    /// Bytes that are only there, such as a message text.
    pub fn text(mut self, bytes: impl AsRef<[u8]>) -> Object {
        self.text.extend(bytes.as_ref());
        self
    }

    /// musl's text of strerror(0).
    pub fn musl_text(self) -> Object {
        self.text(b"\0No error information\0")
    }

    /// Gives every dynamic entry with this tag this value, or adds one: for what must not be.
    pub fn dynamic(mut self, tag: u64, value: u64) -> Object {
        self.changes.push((tag, Some(value)));
        self
    }

    /// Leaves out all dynamic entries with this tag.
    pub fn without(mut self, tag: u64) -> Object {
        self.changes.push((tag, None));
        self
    }

    /// Writes one name over another of the string table, as an editor that knows of no hashes does.
    pub fn renamed(mut self, from: &str, to: &str) -> Object {
        assert_eq!(from.len(), to.len());
        self.renames.push((from.as_bytes().to_vec(), to.as_bytes().to_vec()));
        self
    }

    /// Adds section headers, for tools that look at them; 64-bit files only.
    pub fn with_sections(mut self) -> Object {
        self.has_sections = true;
        self
    }

    pub(super) fn u32(&self, value: u32) -> [u8; 4] {
        if self.little_endian { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.build().bytes
    }

    /// What [`elf::parse`] says of the file.
    #[track_caller]
    pub fn facts(&self) -> Arc<ElfFacts> {
        Arc::new(elf::parse(&self.bytes()).unwrap_or_else(|error| panic!("{error}: {self:?}")))
    }

    /// The file, and where its parts are.
    pub fn build(&self) -> Built {
        Layout::new(self).build()
    }
}
