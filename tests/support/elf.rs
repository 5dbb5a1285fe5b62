//! ELF files made in code: small, without section headers unless asked for, real enough for readelf and ld.so.
//!
//! An [`Object`] is plain data; [`Object::bytes`] lays it out. The whole file is one PT_LOAD, at an address
//! that is not its offset, so that a reader which takes one for the other is found out. A need of a version
//! or a definition of one that a symbol names is added by itself. A malformed file is an ordinary one with a
//! dynamic entry replaced ([`Object::dynamic`]) or bytes written over ([`Built::put`]).

use std::sync::Arc;

use cargo_lambda_bundle::elf::{self, ElfFacts};

pub const EM_386: u16 = 3;
pub const EM_X86_64: u16 = 62;
pub const EM_AARCH64: u16 = 183;

pub const ET_REL: u16 = 1;
pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;

pub const PT_LOAD: u32 = 1;
pub const PT_DYNAMIC: u32 = 2;
pub const PT_INTERP: u32 = 3;
pub const PT_NOTE: u32 = 4;
pub const PT_PHDR: u32 = 6;
pub const PT_TLS: u32 = 7;
pub const PT_GNU_STACK: u32 = 0x6474_e551;
pub const PT_GNU_PROPERTY: u32 = 0x6474_e553;

pub const DT_NULL: u64 = 0;
pub const DT_NEEDED: u64 = 1;
pub const DT_PLTRELSZ: u64 = 2;
pub const DT_PLTGOT: u64 = 3;
pub const DT_HASH: u64 = 4;
pub const DT_STRTAB: u64 = 5;
pub const DT_SYMTAB: u64 = 6;
pub const DT_RELA: u64 = 7;
pub const DT_RELASZ: u64 = 8;
pub const DT_RELAENT: u64 = 9;
pub const DT_STRSZ: u64 = 10;
pub const DT_SYMENT: u64 = 11;
pub const DT_SONAME: u64 = 14;
pub const DT_RPATH: u64 = 15;
pub const DT_PLTREL: u64 = 20;
pub const DT_JMPREL: u64 = 23;
pub const DT_BIND_NOW: u64 = 24;
pub const DT_INIT: u64 = 12;
pub const DT_DEBUG: u64 = 21;
pub const DT_TEXTREL: u64 = 22;
pub const DT_INIT_ARRAY: u64 = 25;
pub const DT_RELACOUNT: u64 = 0x6fff_fff9;
pub const DT_RUNPATH: u64 = 29;
pub const DT_FLAGS: u64 = 30;
pub const DT_RELRSZ: u64 = 35;
pub const DT_RELR: u64 = 36;
pub const DT_RELRENT: u64 = 37;
pub const DT_GNU_HASH: u64 = 0x6fff_fef5;
pub const DT_VERSYM: u64 = 0x6fff_fff0;
pub const DT_FLAGS_1: u64 = 0x6fff_fffb;
pub const DT_VERDEF: u64 = 0x6fff_fffc;
pub const DT_VERDEFNUM: u64 = 0x6fff_fffd;
pub const DT_VERNEED: u64 = 0x6fff_fffe;
pub const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
pub const DT_AUXILIARY: u64 = 0x7fff_fffd;
pub const DT_FILTER: u64 = 0x7fff_ffff;

pub const GLIBC_INTERPRETER: &str = "/lib64/ld-linux-x86-64.so.2";
pub const MUSL_INTERPRETER: &str = "/lib/ld-musl-x86_64.so.1";

/// The least ELF file address that is used: a page boundary on every machine.
const BASE: u64 = 0x10000;

/// Which hash table a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Gnu,
    SysV,
    Both,
    None,
}

/// Version nodes, and whether each is wanted with VER_FLG_WEAK.
type Nodes = Vec<(Vec<u8>, bool)>;

/// How a relocation refers to a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relocation {
    /// GLOB_DAT: data, or a function's address.
    Data,
    /// JUMP_SLOT in DT_JMPREL: a call.
    Call,
    /// COPY, which only programs have.
    Copy,
    /// The module of a thread-local variable.
    ThreadLocal,
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    Data,
    ThreadLocal,
    Protected,
}

#[derive(Debug, Clone)]
struct Symbol {
    name: Vec<u8>,
    /// For an import the file and node wanted, for a definition the node.
    version: Option<(Vec<u8>, Vec<u8>)>,
    defined: bool,
    hidden: bool,
    weak: bool,
    kind: SymbolKind,
    relocation: Option<Relocation>,
}

impl Symbol {
    fn is_thread_local(&self) -> bool {
        self.defined && self.kind == SymbolKind::ThreadLocal
    }
}

/// What an ELF file is to say. Every method returns the changed object.
#[derive(Debug, Clone)]
pub struct Object {
    class64: bool,
    little_endian: bool,
    machine: u16,
    object_type: u16,
    os_abi: u8,
    abi_version: u8,
    loads: bool,
    has_dynamic: bool,
    hash: Hash,
    interpreter: Option<Vec<u8>>,
    /// Entries of the dynamic segment whose value is a string, in order.
    names: Vec<(u64, Vec<u8>)>,
    verneed: Vec<(Vec<u8>, Nodes)>,
    verdef: Vec<Vec<u8>>,
    symbols: Vec<Symbol>,
    flags: Option<u64>,
    flags_1: Option<u64>,
    relr_bytes: Option<u64>,
    notes: Vec<(&'static [u8], u32, Vec<u8>)>,
    properties: Vec<u8>,
    text: Vec<u8>,
    changes: Vec<(u64, Option<u64>)>,
    renames: Vec<(Vec<u8>, Vec<u8>)>,
    has_sections: bool,
}

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

    fn u32(&self, value: u32) -> [u8; 4] {
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

/// A file and the offsets of its parts; the address of an offset is [`Built::address`].
#[derive(Debug, Clone, Default)]
pub struct Built {
    pub bytes: Vec<u8>,
    /// The first program header of each type, in file order.
    pub headers: Vec<(u32, usize)>,
    pub interpreter: usize,
    pub notes: usize,
    pub properties: usize,
    pub dynamic: usize,
    pub strings: usize,
    pub symbols: usize,
    pub versym: usize,
    pub verneed: usize,
    pub verdef: usize,
    pub sysv_hash: usize,
    pub gnu_hash: usize,
    pub relocations: usize,
}

impl Built {
    /// The virtual address of a file offset.
    pub fn address(offset: usize) -> u64 {
        BASE + offset as u64
    }

    /// The offset of the program header of a type.
    pub fn header(&self, kind: u32) -> usize {
        self.headers.iter().find(|(known, _)| *known == kind).expect("such a header").1
    }

    /// Writes bytes over those at an offset.
    pub fn put(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Built {
        let bytes = bytes.as_ref();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn put_u16(self, at: usize, value: u16) -> Built {
        self.put(at, value.to_le_bytes())
    }

    pub fn put_u32(self, at: usize, value: u32) -> Built {
        self.put(at, value.to_le_bytes())
    }

    pub fn put_u64(self, at: usize, value: u64) -> Built {
        self.put(at, value.to_le_bytes())
    }
}

/// A file in the making.
struct Layout<'a> {
    object: &'a Object,
    built: Built,
    strings: Vec<u8>,
    dynamic: Vec<(u64, u64)>,
    sections: Vec<Section>,
}

/// A section header in words: name, type, the section linked to, size of an entry; then its place.
type Section = (&'static str, u32, &'static str, u64, (usize, usize));

impl Layout<'_> {
    fn new(object: &Object) -> Layout<'_> {
        Layout {
            object,
            built: Built::default(),
            strings: vec![0],
            dynamic: Vec::new(),
            sections: Vec::new(),
        }
    }

    fn build(mut self) -> Built {
        let object = self.object;
        let kinds: Vec<u32> = [
            // Without it ld.so takes a position-independent program to be at address 0.
            (PT_PHDR, object.interpreter.is_some()),
            (PT_INTERP, object.interpreter.is_some()),
            (PT_LOAD, object.loads),
            (PT_DYNAMIC, object.has_dynamic),
            (PT_TLS, object.symbols.iter().any(Symbol::is_thread_local)),
            (PT_NOTE, !object.notes.is_empty()),
            (PT_GNU_PROPERTY, !object.properties.is_empty()),
            // Without it ld.so makes the stack executable.
            (PT_GNU_STACK, true),
        ]
        .into_iter()
        .filter_map(|(kind, there)| there.then_some(kind))
        .collect();
        self.header(kinds.len());
        let headers = self.here();
        let header_size = if object.class64 { 56 } else { 32 };
        self.zeros(kinds.len() * header_size);
        let table = (headers, kinds.len() * header_size);

        let interpreter = self.part(1, |layout| {
            let path = layout.object.interpreter.clone().unwrap_or_default();
            layout.bytes(&path);
            layout.bytes(&[0]);
        });
        let notes = self.part(4, |layout| {
            for (name, kind, content) in layout.object.notes.clone() {
                layout.note(name, kind, &content, 4);
            }
        });
        let properties = self.part(8, |layout| {
            let content = layout.object.properties.clone();
            layout.note(b"GNU\0", 5, &content, 8);
        });
        let dynamic = if object.has_dynamic { self.tables() } else { (0, 0) };
        self.bytes(&object.text);
        (self.built.interpreter, self.built.notes) = (interpreter.0, notes.0);
        (self.built.properties, self.built.dynamic) = (properties.0, dynamic.0);

        let file = (0, self.here());
        for (index, kind) in kinds.into_iter().enumerate() {
            let (part, align) = match kind {
                PT_PHDR => (table, 8),
                PT_INTERP => (interpreter, 1),
                PT_LOAD => (file, BASE),
                PT_DYNAMIC => (dynamic, 8),
                // Some bytes to begin with.
                PT_TLS => ((self.built.symbols, 8), 8),
                PT_NOTE => (notes, 4),
                PT_GNU_PROPERTY => (properties, 8),
                _ => ((0, 0), 16),
            };
            let at = headers + index * header_size;
            let raw = self.program_header(kind, part, align);
            self.built.bytes[at..at + raw.len()].copy_from_slice(&raw);
            self.built.headers.push((kind, at));
        }
        if object.has_sections {
            self.section_headers();
        }
        self.built
    }

    fn section_headers(&mut self) {
        let mut sections = vec![("", 0, "", 0, (0, 0))];
        sections.append(&mut self.sections);
        let names: Vec<u8> =
            sections.iter().flat_map(|section| [section.0.as_bytes(), &[0]].concat()).collect();
        let place = self.part(1, |layout| {
            layout.bytes(&names);
            layout.bytes(b".shstrtab\0");
        });
        sections.push((".shstrtab", 3, "", 0, place));
        self.pad(8);
        let table = self.here() as u64;
        let mut name_at = 0;
        for (name, kind, link, entry_size, (at, size)) in &sections {
            let link = sections.iter().position(|section| section.0 == *link).unwrap_or(0);
            let is_mapped = *at != 0 && *name != ".shstrtab";
            self.word(name_at as u32);
            self.word(*kind);
            self.address(if is_mapped { 2 } else { 0 });
            self.address(if is_mapped { Built::address(*at) } else { 0 });
            self.address(*at as u64);
            self.address(*size as u64);
            self.word(link as u32);
            // For .dynsym the first global symbol, for the version tables the number of entries.
            self.word(match *name {
                ".gnu.version_r" => self.object.verneed.len() as u32,
                ".gnu.version_d" => 1 + self.object.verdef.len() as u32,
                _ => (*name == ".dynsym").into(),
            });
            self.address(8);
            self.address(*entry_size);
            name_at += name.len() + 1;
        }
        // e_shoff, e_shnum, e_shstrndx.
        let built = std::mem::take(&mut self.built);
        let count = sections.len() as u16;
        self.built = built.put_u64(40, table).put_u16(60, count).put_u16(62, count - 1);
    }

    fn section(&mut self, name: &'static str, kind: u32, link: &'static str, entry_size: u64, start: usize) {
        self.sections.push((name, kind, link, entry_size, (start, self.here() - start)));
    }

    fn header(&mut self, n_headers: usize) {
        let object = self.object;
        let (class, data) = (1 + u8::from(object.class64), 2 - u8::from(object.little_endian));
        self.bytes(&[0x7f, b'E', b'L', b'F', class, data, 1, object.os_abi, object.abi_version]);
        self.zeros(7);
        self.half(object.object_type);
        self.half(object.machine);
        self.word(1);
        let header_size: u16 = if object.class64 { 64 } else { 52 };
        // Some address in the file: nothing here is to be run.
        self.address(BASE);
        self.address(header_size.into());
        self.address(0);
        self.word(0);
        self.half(header_size);
        self.half(if object.class64 { 56 } else { 32 });
        self.half(n_headers as u16);
        self.half(if object.class64 { 64 } else { 40 });
        self.half(0);
        self.half(0);
    }

    fn program_header(&self, kind: u32, (at, size): (usize, usize), align: u64) -> Vec<u8> {
        let mut raw = Layout::new(self.object);
        // Read and write: old loaders relocate the dynamic segment in place. The entry point must be executable.
        let flags = match kind {
            PT_INTERP | PT_NOTE => 4,
            PT_LOAD => 7,
            _ => 6,
        };
        let address = if kind == PT_GNU_STACK { 0 } else { Built::address(at) };
        raw.word(kind);
        if self.object.class64 {
            raw.word(flags);
        }
        for value in [at as u64, address, address, size as u64, size as u64] {
            raw.address(value);
        }
        if !self.object.class64 {
            raw.word(flags);
        }
        raw.address(align);
        raw.built.bytes
    }

    fn note(&mut self, name: &[u8], kind: u32, content: &[u8], align: usize) {
        self.word(name.len() as u32);
        self.word(content.len() as u32);
        self.word(kind);
        self.bytes(name);
        self.bytes(content);
        self.pad(align);
    }

    /// All that the dynamic segment points to, then the segment itself, whose place is returned.
    fn tables(&mut self) -> (usize, usize) {
        let object = self.object;
        for (tag, name) in &object.names {
            let offset = self.string(name);
            self.dynamic.push((*tag, offset.into()));
        }
        let mut symbols = object.symbols.clone();
        // As linkers do it: the GNU hash table has the end of the symbol table.
        symbols.sort_by_key(|symbol| symbol.defined);
        self.symbols(&symbols);
        self.hashes(&symbols);
        self.relocations(&symbols);
        self.versions(&symbols);
        let values = [(DT_FLAGS, object.flags), (DT_FLAGS_1, object.flags_1)];
        for (tag, value) in values.into_iter().chain([(DT_RELRSZ, object.relr_bytes)]) {
            self.dynamic.extend(value.map(|value| (tag, value)));
        }
        if object.relr_bytes.is_some() {
            self.pad(8);
            self.dynamic.extend([(DT_RELR, Built::address(self.here())), (DT_RELRENT, 8)]);
        }
        self.built.strings = self.here();
        let mut strings = std::mem::take(&mut self.strings);
        for (from, to) in &self.object.renames {
            let from = [from, [0].as_slice()].concat();
            let at =
                strings.windows(from.len()).position(|window| window == from).expect("a name of the table");
            strings[at..at + to.len()].copy_from_slice(to);
        }
        self.bytes(&strings);
        self.section(".dynstr", 3, "", 0, self.built.strings);
        self.dynamic.push((DT_STRTAB, Built::address(self.built.strings)));
        self.dynamic.push((DT_STRSZ, strings.len() as u64));

        for &(changed, value) in &object.changes {
            match value {
                None => self.dynamic.retain(|(tag, _)| *tag != changed),
                Some(value) => {
                    let known = self.dynamic.iter_mut().filter(|(tag, _)| *tag == changed);
                    if known.map(|entry| entry.1 = value).count() == 0 {
                        self.dynamic.push((changed, value));
                    }
                }
            }
        }
        if !object.changes.contains(&(DT_NULL, None)) {
            self.dynamic.push((DT_NULL, 0));
        }
        let entries = std::mem::take(&mut self.dynamic);
        let place = self.part(8, |layout| {
            for (tag, value) in entries {
                layout.address(tag);
                layout.address(value);
            }
        });
        self.section(".dynamic", 6, ".dynstr", 16, place.0);
        place
    }

    fn symbols(&mut self, symbols: &[Symbol]) {
        let object = self.object;
        self.pad(8);
        self.built.symbols = self.here();
        self.dynamic.push((DT_SYMTAB, Built::address(self.built.symbols)));
        self.dynamic.push((DT_SYMENT, if object.class64 { 24 } else { 16 }));
        self.zeros(if object.class64 { 24 } else { 16 });
        for symbol in symbols {
            let name = self.string(&symbol.name);
            // STB_GLOBAL or STB_WEAK; STT_TLS or STT_OBJECT; STV_PROTECTED.
            let binding = if symbol.weak { 0x20 } else { 0x10 };
            let kind = binding | if symbol.kind == SymbolKind::ThreadLocal { 6 } else { 1 };
            let other = if symbol.kind == SymbolKind::Protected { 3 } else { 0 };
            let value = if symbol.defined { Built::address(self.built.symbols) } else { 0 };
            let size = if symbol.defined { 8 } else { 0 };
            self.word(name);
            if !object.class64 {
                self.word(value as u32);
                self.word(size);
            }
            self.bytes(&[kind, other]);
            self.half(symbol.defined.into());
            if object.class64 {
                self.address(value);
                self.address(size.into());
            }
        }
        self.section(".dynsym", 11, ".dynstr", 24, self.built.symbols);
    }

    fn hashes(&mut self, symbols: &[Symbol]) {
        let hash = self.object.hash;
        let imports = symbols.iter().take_while(|symbol| !symbol.defined).count();
        if matches!(hash, Hash::SysV | Hash::Both) {
            self.pad(8);
            self.built.sysv_hash = self.here();
            self.dynamic.push((DT_HASH, Built::address(self.built.sysv_hash)));
            let n_symbols = symbols.len() + 1;
            let first = if imports < symbols.len() { imports + 1 } else { 0 };
            // One bucket; each symbol of its chain leads to the next.
            for word in [1, n_symbols, first] {
                self.word(word as u32);
            }
            for index in 0..n_symbols {
                let next = if index > imports && index + 1 < n_symbols { index + 1 } else { 0 };
                self.word(next as u32);
            }
        }
        if matches!(hash, Hash::Gnu | Hash::Both) {
            self.pad(8);
            self.built.gnu_hash = self.here();
            self.dynamic.push((DT_GNU_HASH, Built::address(self.built.gnu_hash)));
            let defined = &symbols[imports..];
            // GNU ld's table for no symbols says that it begins at 1, whatever imports there are.
            let first = if defined.is_empty() { 1 } else { imports + 1 };
            for word in [1, first, 1, 0] {
                self.word(word as u32);
            }
            // A Bloom filter that lets all pass.
            self.address(if defined.is_empty() { 0 } else { u64::MAX });
            self.word(if defined.is_empty() { 0 } else { first as u32 });
            for (index, symbol) in defined.iter().enumerate() {
                let hash = symbol
                    .name
                    .iter()
                    .fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()));
                self.word(hash & !1 | u32::from(index + 1 == defined.len()));
            }
        }
    }

    /// The relocations of all symbols, jump slots in a table of their own, and the words that they fill.
    fn relocations(&mut self, symbols: &[Symbol]) {
        if !self.object.class64 {
            return;
        }
        let of = |wanted: fn(Relocation) -> bool| -> Vec<(u64, Relocation)> {
            let all = symbols.iter().enumerate();
            all.filter_map(|(at, symbol)| Some((at as u64 + 1, symbol.relocation?)))
                .filter(|(_, relocation)| wanted(*relocation))
                .collect()
        };
        let early = of(|relocation| relocation != Relocation::Call);
        let late = of(|relocation| relocation == Relocation::Call);
        if !early.is_empty() {
            let table = self.relocation_table(&early);
            self.built.relocations = table;
            let size = early.len() as u64 * 24;
            self.dynamic.extend([(DT_RELA, Built::address(table)), (DT_RELASZ, size), (DT_RELAENT, 24)]);
        }
        if !late.is_empty() {
            let table = self.relocation_table(&late);
            self.dynamic.extend([(DT_JMPREL, Built::address(table)), (DT_PLTRELSZ, late.len() as u64 * 24)]);
            // Where ld.so leaves two words for calls that are bound late.
            let got = Built::address(self.here());
            self.zeros(24);
            self.dynamic.extend([(DT_PLTREL, DT_RELA), (DT_PLTGOT, got)]);
        }
    }

    /// Writes relocations, and behind them the words that they fill; returns the offset.
    fn relocation_table(&mut self, entries: &[(u64, Relocation)]) -> usize {
        self.pad(8);
        let at = self.here();
        let words = Built::address(at) + entries.len() as u64 * 24;
        let is_arm64 = self.object.machine == EM_AARCH64;
        for (index, (symbol, relocation)) in entries.iter().enumerate() {
            let kind: u64 = match (relocation, is_arm64) {
                (Relocation::Data, false) => 6,
                (Relocation::Call, false) => 7,
                (Relocation::Copy, false) => 5,
                (Relocation::ThreadLocal, false) => 16,
                (Relocation::Data, true) => 1025,
                (Relocation::Call, true) => 1026,
                (Relocation::Copy, true) => 1024,
                (Relocation::ThreadLocal, true) => 1028,
            };
            self.address(words + index as u64 * 8);
            self.address(symbol << 32 | kind);
            self.address(0);
        }
        self.zeros(entries.len() * 8);
        at
    }

    fn versions(&mut self, symbols: &[Symbol]) {
        let object = self.object;
        if object.verneed.is_empty() && object.verdef.is_empty() {
            return;
        }
        // 1 is the base; then the nodes defined, then those needed.
        let first_need = 2 + object.verdef.len();
        let needs: Vec<(&[u8], &[u8])> = object
            .verneed
            .iter()
            .flat_map(|(file, nodes)| nodes.iter().map(move |(node, _)| (file.as_slice(), node.as_slice())))
            .collect();
        self.pad(2);
        self.built.versym = self.here();
        self.dynamic.push((DT_VERSYM, Built::address(self.built.versym)));
        self.half(0);
        for symbol in symbols {
            let index = match &symbol.version {
                None => 1,
                Some((_, node)) if symbol.defined => {
                    2 + object.verdef.iter().position(|known| known == node).expect("a defined version")
                }
                Some((file, node)) => {
                    let position =
                        needs.iter().position(|known| *known == (file.as_slice(), node.as_slice()));
                    first_need + position.expect("a needed version")
                }
            };
            self.half(index as u16 | u16::from(symbol.hidden) << 15);
        }
        self.section(".gnu.version", 0x6fff_ffff, ".dynsym", 2, self.built.versym);
        if !object.verdef.is_empty() {
            self.verdef();
        }
        if !object.verneed.is_empty() {
            self.verneed(first_need);
        }
    }

    fn verdef(&mut self) {
        let object = self.object;
        self.pad(8);
        self.built.verdef = self.here();
        let count = 1 + object.verdef.len();
        self.dynamic.push((DT_VERDEF, Built::address(self.built.verdef)));
        self.dynamic.push((DT_VERDEFNUM, count as u64));
        let soname = object.names.iter().find(|(tag, _)| *tag == DT_SONAME);
        let base = soname.map_or(b"unnamed".to_vec(), |(_, name)| name.clone());
        for (index, node) in std::iter::once(&base).chain(&object.verdef).enumerate() {
            self.half(1);
            self.half((index == 0).into());
            self.half(index as u16 + 1);
            self.half(1);
            self.word(sysv_hash(node));
            self.word(20);
            self.word(if index + 1 < count { 28 } else { 0 });
            let name = self.string(node);
            self.word(name);
            self.word(0);
        }
        self.section(".gnu.version_d", 0x6fff_fffd, ".dynstr", 0, self.built.verdef);
    }

    fn verneed(&mut self, first_index: usize) {
        let object = self.object;
        self.pad(8);
        self.built.verneed = self.here();
        self.dynamic.push((DT_VERNEED, Built::address(self.built.verneed)));
        self.dynamic.push((DT_VERNEEDNUM, object.verneed.len() as u64));
        let mut version = first_index as u16;
        for (index, (file, nodes)) in object.verneed.iter().enumerate() {
            self.half(1);
            self.half(nodes.len() as u16);
            let name = self.string(file);
            self.word(name);
            self.word(16);
            let is_last = index + 1 == object.verneed.len();
            self.word(if is_last { 0 } else { 16 * (1 + nodes.len() as u32) });
            for (index, (node, weak)) in nodes.iter().enumerate() {
                self.word(sysv_hash(node));
                self.half(u16::from(*weak) << 1);
                self.half(version);
                let name = self.string(node);
                self.word(name);
                self.word(if index + 1 == nodes.len() { 0 } else { 16 });
                version += 1;
            }
        }
        self.section(".gnu.version_r", 0x6fff_fffe, ".dynstr", 0, self.built.verneed);
    }

    /// The offset of a name in the string table.
    fn string(&mut self, name: &[u8]) -> u32 {
        let wanted = [name, &[0]].concat();
        let known = self.strings.windows(wanted.len()).position(|window| window == wanted);
        let at = known.unwrap_or_else(|| {
            self.strings.extend(&wanted);
            self.strings.len() - wanted.len()
        });
        at as u32
    }

    /// Writes a part and returns its offset and size.
    fn part(&mut self, align: usize, write: impl FnOnce(&mut Self)) -> (usize, usize) {
        self.pad(align);
        let start = self.here();
        write(self);
        (start, self.here() - start)
    }

    fn here(&self) -> usize {
        self.built.bytes.len()
    }

    fn pad(&mut self, align: usize) {
        self.zeros(self.here().next_multiple_of(align) - self.here());
    }

    fn zeros(&mut self, count: usize) {
        self.built.bytes.resize(self.here() + count, 0);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.built.bytes.extend(bytes);
    }

    fn half(&mut self, value: u16) {
        self.bytes(&if self.object.little_endian { value.to_le_bytes() } else { value.to_be_bytes() });
    }

    fn word(&mut self, value: u32) {
        self.bytes(&self.object.u32(value));
    }

    /// A value of the file's class: 8 bytes or 4.
    fn address(&mut self, value: u64) {
        if !self.object.class64 {
            self.word(value as u32);
        } else if self.object.little_endian {
            self.bytes(&value.to_le_bytes());
        } else {
            self.bytes(&value.to_be_bytes());
        }
    }
}

/// The hash of a name in DT_HASH and in version tables.
fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add((*byte).into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}
