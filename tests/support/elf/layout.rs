//! Bytes for an [`Object`].

use super::*;

/// A file in the making.
pub(super) struct Layout<'a> {
    object: &'a Object,
    built: Built,
    strings: Vec<u8>,
    dynamic: Vec<(u64, u64)>,
    sections: Vec<Section>,
}

/// A section header in words: name, type, the section linked to, size of an entry; then its place.
type Section = (&'static str, u32, &'static str, u64, (usize, usize));

impl Layout<'_> {
    pub(super) fn new(object: &Object) -> Layout<'_> {
        Layout {
            object,
            built: Built::default(),
            strings: vec![0],
            dynamic: Vec::new(),
            sections: Vec::new(),
        }
    }

    pub(super) fn build(mut self) -> Built {
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
            let at = memchr::memmem::find(&strings, &from).expect("a name of the table");
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
                (Relocation::ThreadLocalPlace, false) => 18,
                (Relocation::Data, true) => 1025,
                (Relocation::Call, true) => 1026,
                (Relocation::Copy, true) => 1024,
                (Relocation::ThreadLocal, true) => 1028,
                (Relocation::ThreadLocalPlace, true) => 1030,
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
        let known = memchr::memmem::find(&self.strings, &wanted);
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
