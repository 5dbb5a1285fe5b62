//! The fields of an ELF file that the kernel or ld.so reads, each with its place, for changing them one at a time.
//!
//! The files are of GNU ld, whose tables lie in the first segment, where addresses are offsets.

use std::collections::{BTreeMap, BTreeSet};

/// A field of a file.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub at: usize,
    /// In bytes, at most 8.
    pub size: usize,
}

const HEADER: &str = "magic:4 class:1 data:1 version:1 osabi:1 abiversion:1 pad:7 e_type:2 e_machine:2 e_version:4 \
    e_entry:8 e_phoff:8 e_shoff:8 e_flags:4 e_ehsize:2 e_phentsize:2 e_phnum:2 e_shentsize:2 e_shnum:2 e_shstrndx:2";
const SEGMENT: &str = "p_type:4 p_flags:4 p_offset:8 p_vaddr:8 p_paddr:8 p_filesz:8 p_memsz:8 p_align:8";
const SYMBOL: &str = "st_name:4 st_info:1 st_other:1 st_shndx:2 st_value:8 st_size:8";
const RELOCATION: &str = "r_offset:8 r_type:4 r_sym:4 r_addend:8";
const GNU_HASH: &str = "buckets:4 symoffset:4 bloom_size:4 bloom_shift:4 bloom:8 bucket:4 bucket2:4";

const DYNAMIC: &[(u64, &str)] = &[
    (0, "NULL"),
    (1, "NEEDED"),
    (2, "PLTRELSZ"),
    (3, "PLTGOT"),
    (5, "STRTAB"),
    (6, "SYMTAB"),
    (7, "RELA"),
    (8, "RELASZ"),
    (9, "RELAENT"),
    (10, "STRSZ"),
    (11, "SYMENT"),
    (12, "INIT"),
    (13, "FINI"),
    (14, "SONAME"),
    (20, "PLTREL"),
    (21, "DEBUG"),
    (23, "JMPREL"),
    (25, "INIT_ARRAY"),
    (26, "FINI_ARRAY"),
    (27, "INIT_ARRAYSZ"),
    (28, "FINI_ARRAYSZ"),
    (30, "FLAGS"),
    (0x6fff_fef5, "GNU_HASH"),
    (0x6fff_fff0, "VERSYM"),
    (0x6fff_fff9, "RELACOUNT"),
    (0x6fff_fffb, "FLAGS_1"),
    (0x6fff_fffc, "VERDEF"),
    (0x6fff_fffd, "VERDEFNUM"),
    (0x6fff_fffe, "VERNEED"),
    (0x6fff_ffff, "VERNEEDNUM"),
];

/// The number at an offset, of up to 8 bytes.
pub fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The values that a field of this size and value is given.
pub fn values(old: u64, size: usize) -> BTreeSet<u64> {
    let mask = u64::MAX >> (64 - 8 * size);
    let near = [old.wrapping_add(0x1000), old.wrapping_sub(0x1000), old.wrapping_add(8), old ^ 5];
    let mut values: BTreeSet<u64> =
        near.into_iter().chain([0, 1, u64::MAX]).map(|value| value & mask).collect();
    values.remove(&old);
    values
}

/// All fields of a program or library.
pub fn fields(bytes: &[u8]) -> Vec<Field> {
    let mut list = List { bytes, fields: Vec::new() };
    list.structure("ehdr", 0, HEADER);
    let mut dynamic = None;
    for index in 0..list.number(56, 2) {
        let at = 64 + 56 * index;
        let (kind, offset) = (list.number(at, 4), list.number(at + 8, 8));
        let name = match kind {
            1 => ["LOAD", "LOADx", "LOADw", "LOADwx", "LOADr", "LOADrx", "LOADrw", "LOADrwx"]
                [list.number(at + 4, 4)],
            2 => "DYNAMIC",
            3 => "INTERP",
            4 => "NOTE",
            6 => "PHDR",
            7 => "TLS",
            0x6474_e550 => "EH_FRAME",
            0x6474_e551 => "STACK",
            0x6474_e552 => "RELRO",
            0x6474_e553 => "PROPERTY",
            _ => "segment",
        };
        list.structure(name, at, SEGMENT);
        match kind {
            2 => dynamic = Some(offset),
            3 => list.structure("interp", offset, "text:8"),
            _ => {}
        }
    }
    if let Some(at) = dynamic {
        let tables = list.dynamic(at);
        list.versions(&tables);
        list.symbols(&tables);
    }
    list.fields
}

struct List<'a> {
    bytes: &'a [u8],
    fields: Vec<Field>,
}

impl List<'_> {
    fn number(&self, at: usize, size: usize) -> usize {
        number(self.bytes, at, size) as usize
    }

    /// Fields that lie one behind the other, as `name:size`.
    fn structure(&mut self, name: &str, mut at: usize, layout: &str) {
        for field in layout.split_ascii_whitespace() {
            let (field, size) = field.split_once(':').unwrap();
            let size = size.parse().unwrap();
            self.fields.push(Field { name: format!("{name}.{field}"), at, size });
            at += size;
        }
    }

    /// Returns the values by tag.
    fn dynamic(&mut self, mut at: usize) -> BTreeMap<&'static str, usize> {
        let mut tables = BTreeMap::new();
        loop {
            let tag = number(self.bytes, at, 8);
            let known = DYNAMIC.iter().find(|(known, _)| *known == tag);
            let name = known.map_or("other", |(_, name)| name);
            self.structure(&format!("dyn{name}"), at, "d_tag:8 d_val:8");
            if tag == 0 {
                return tables;
            }
            tables.insert(name, self.number(at + 8, 8));
            at += 16;
        }
    }

    fn versions(&mut self, tables: &BTreeMap<&str, usize>) {
        if let Some(&at) = tables.get("VERNEED") {
            self.structure("verneed", at, "vn_version:2 vn_cnt:2 vn_file:4 vn_aux:4 vn_next:4");
            let item = at + self.number(at + 8, 4);
            self.structure("vernaux", item, "vna_hash:4 vna_flags:2 vna_other:2 vna_name:4 vna_next:4");
        }
        if let Some(&base) = tables.get("VERDEF") {
            let at = base + self.number(base + 16, 4);
            self.structure(
                "verdef",
                at,
                "vd_version:2 vd_flags:2 vd_ndx:2 vd_cnt:2 vd_hash:4 vd_aux:4 vd_next:4",
            );
            let item = at + self.number(at + 12, 4);
            self.structure("verdaux", item, "vda_name:4 vda_next:4");
        }
        if let Some(&at) = tables.get("VERSYM") {
            self.structure("versym", at + 2, "first:2");
            self.structure("versym", at + 6, "third:2");
        }
    }

    fn symbols(&mut self, tables: &BTreeMap<&str, usize>) {
        if let Some(&at) = tables.get("GNU_HASH") {
            self.structure("gnu_hash", at, GNU_HASH);
            let chains = at + 16 + 8 * self.number(at + 8, 4) + 4 * self.number(at, 4);
            self.structure("gnu_hash", chains, "chain:4 chain2:4");
        }
        if let Some(&at) = tables.get("SYMTAB") {
            for index in 0..6 {
                self.structure("sym", at + 24 * index, SYMBOL);
            }
        }
        for (table, size, name) in [("RELA", "RELASZ", "rela"), ("JMPREL", "PLTRELSZ", "jmprel")] {
            let (Some(&at), Some(&size)) = (tables.get(table), tables.get(size)) else { continue };
            let mut seen = BTreeSet::new();
            for at in (at..at + size).step_by(24) {
                // One of each type.
                if seen.insert(self.number(at + 8, 4)) {
                    self.structure(name, at, RELOCATION);
                }
            }
        }
    }
}
