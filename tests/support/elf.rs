//! ELF files made in code: small, without section headers unless asked for, real enough for readelf and ld.so.
//!
//! An [`Object`] is plain data; [`Object::bytes`] lays it out. The whole file is one PT_LOAD, at an address
//! that is not its offset, so that a reader which takes one for the other is found out. A need of a version
//! or a definition of one that a symbol names is added by itself. A malformed file is an ordinary one with a
//! dynamic entry replaced ([`Object::dynamic`]) or bytes written over ([`Built::put`]).

mod layout;
mod numbers;
mod object;

pub use numbers::*;

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
    /// Its distance from the thread's pointer.
    ThreadLocalPlace,
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

/// A library with something of everything.
pub fn full_library() -> Object {
    Object::library("libfoo.so.1")
        .needs("libbar.so.1")
        .needs("libc.so.6")
        .rpath("/r")
        .runpath("/x:$ORIGIN/y")
        .auxiliary("libaux.so")
        .filter("libfilter.so")
        .verneed("libc.so.6", &["GLIBC_2.38"])
        .weak_verneed("libc.so.6", &["GLIBC_WEAK"])
        .verdef(&["V1", "V2"])
        .defines("foo", Some("V1"))
        .defines_hidden("foo", "V2")
        .defines("plain", None)
        .imports("bar", Some(("libbar.so.1", "V1")))
        .imports_weak("perhaps", None)
        .flags(cargo_lambda_bundle::elf::DF_BIND_NOW)
        .flags_1(cargo_lambda_bundle::elf::DF_1_NOW | cargo_lambda_bundle::elf::DF_1_NODEFLIB)
        .build_id(&[0xab, 0xcd])
        .abi_tag([3, 2, 0])
        .isa_needed(0b101)
}
