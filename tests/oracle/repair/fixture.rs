//! ELF files built in code: what the loader reads, every part on or off.

/// What a file has. The default is a program of 64-bit x86 as LLD makes them, without spare entries.
#[derive(Debug, Clone)]
pub struct Fixture {
    pub machine: u16,
    /// Needed names, the first with a version need.
    pub needed: Vec<&'static str>,
    pub interpreter: bool,
    /// DF_1_PIE without an interpreter.
    pub static_pie: bool,
    pub soname: Option<&'static str>,
    pub rpath: Option<&'static str>,
    pub runpath: Option<&'static str>,
    pub abi_tag: bool,
    pub build_id: bool,
    /// PT_GNU_PROPERTY with its PT_NOTE.
    pub property: bool,
    /// Spare DT_NULL entries.
    pub spare: usize,
    pub relative_count: bool,
    /// DT_FLAGS.
    pub flags: Option<u64>,
    pub sections: bool,
}

impl Default for Fixture {
    fn default() -> Self {
        Fixture {
            machine: 62,
            needed: vec!["libone.so.1", "libc.so.6"],
            interpreter: true,
            static_pie: false,
            soname: None,
            rpath: None,
            runpath: None,
            abi_tag: true,
            build_id: true,
            property: false,
            spare: 0,
            relative_count: false,
            flags: None,
            sections: true,
        }
    }
}

/// Where the fixture's writable segment is above its file offset.
const DATA: u64 = 0x1000;

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self.bytes.len() as u64
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.bytes.extend(word.to_le_bytes());
        }
    }

    fn put(&mut self, at: u64, value: u64, size: usize) {
        self.bytes[at as usize..at as usize + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

impl Fixture {
    /// The file's bytes.
    pub fn build(&self) -> Vec<u8> {
        let has_phdr = self.interpreter;
        let has_notes = self.abi_tag || self.build_id;
        // PT_LOAD twice, PT_DYNAMIC and PT_GNU_STACK.
        let optional = [has_phdr, self.interpreter, has_notes, self.property, self.property];
        let count = 4 + optional.iter().filter(|there| **there).count();
        let mut file = Writer { bytes: vec![0; 64 + 56 * count] };

        let interpreter = file.bytes.len() as u64;
        if self.interpreter {
            file.bytes.extend(b"/lib64/ld-linux-x86-64.so.2\0");
        }
        let property = file.align(8);
        if self.property {
            file.words(&[4, 16, 5, 0x0055_4e47, 0xc000_8002, 4, 1, 0]);
        }
        let notes = file.align(4);
        if self.abi_tag {
            file.words(&[4, 16, 1, 0x0055_4e47, 0, 3, 2, 0]);
        }
        if self.build_id {
            file.words(&[4, 20, 3, 0x0055_4e47, 1, 2, 3, 4, 5]);
        }
        let notes_end = file.bytes.len() as u64;

        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len() as u64;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let needed: Vec<u64> = self.needed.iter().map(|name| string(name)).collect();
        let optional_text = [(14, self.soname), (15, self.rpath), (29, self.runpath)];
        let optional_text: Vec<(u64, u64)> =
            optional_text.into_iter().filter_map(|(tag, text)| Some((tag, string(text?)))).collect();
        let (symbol, node, offered) = (string("symbol"), string("ONE_1"), string("OFFERED_1"));

        let hash = file.align(8);
        file.words(&[1, 2, 1, 0, 0]);
        let symbols = file.align(8);
        file.words(&[0; 6]);
        file.words(&[symbol as u32, 0x12, 0, 0, 0, 0]);
        let versions = file.align(8);
        file.words(&[2 << 16]);
        let needs = file.align(8);
        file.words(&[1 | 1 << 16, needed.first().copied().unwrap_or(0) as u32, 16, 0]);
        file.words(&[0x0123_4567, 2 << 16, node as u32, 0]);
        let definitions = file.align(8);
        file.words(&[1, 1 | 3 << 16, 0x0123_4567, 20, 0, offered as u32, 0]);
        // In the first word, `vd_version` is 1 and `vd_flags` 0; in the second `vd_ndx` 1 and `vd_cnt` 3.
        let strings_at = file.align(8);
        file.bytes.extend(&strings);
        let code_end = file.bytes.len() as u64;

        let dynamic = file.align(8);
        let mut entries: Vec<(u64, u64)> = needed.into_iter().map(|offset| (1, offset)).collect();
        entries.extend(optional_text);
        entries.extend([(4, hash), (5, strings_at), (6, symbols), (10, strings.len() as u64), (11, 24)]);
        entries.extend(self.flags.map(|flags| (30, flags)));
        entries.extend(self.relative_count.then_some((0x6fff_fff9, 3)));
        let flags_1 = if self.interpreter || self.static_pie { 0x0800_0001 } else { 1 };
        entries.extend([(0x6fff_fffb, flags_1), (0x6fff_fffe, needs), (0x6fff_ffff, 1)]);
        entries.extend([(0x6fff_fffc, definitions), (0x6fff_fffd, 1), (0x6fff_fff0, versions)]);
        entries.extend(std::iter::repeat_n((0, 0), self.spare + 1));
        for (tag, value) in &entries {
            file.bytes.extend(tag.to_le_bytes());
            file.bytes.extend(value.to_le_bytes());
        }
        let dynamic_size = entries.len() as u64 * 16;
        let data_end = file.bytes.len() as u64;

        let sections = file.align(8);
        let mut n_sections = 0;
        if self.sections {
            let mut section = |kind: u32, address: u64, offset: u64, size: u64| {
                file.words(&[0, kind, 2, 0]);
                for value in [address, offset, size, 0, 1, 0] {
                    file.bytes.extend(value.to_le_bytes());
                }
                n_sections += 1;
            };
            section(0, 0, 0, 0);
            if self.interpreter {
                section(1, interpreter, interpreter, 28);
            }
            if has_notes {
                section(7, notes, notes, notes_end - notes);
            }
            section(3, strings_at, strings_at, strings.len() as u64);
            section(6, dynamic + DATA, dynamic, dynamic_size);
        }

        file.bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        for (at, value, size) in [(16, 3, 2), (18, self.machine.into(), 2), (20, 1, 4), (32, 64, 8)] {
            file.put(at, value, size);
        }
        file.put(40, if self.sections { sections } else { 0 }, 8);
        for (at, value) in [(52, 64), (54, 56), (56, count as u64), (58, 64), (60, n_sections)] {
            file.put(at, value, 2);
        }
        let mut at = 64;
        let mut header = |kind: u64, flags: u64, offset: u64, address: u64, size: u64, align: u64| {
            file.put(at, kind, 4);
            file.put(at + 4, flags, 4);
            for (index, value) in [offset, address, address, size, size, align].into_iter().enumerate() {
                file.put(at + 8 + index as u64 * 8, value, 8);
            }
            at += 56;
        };
        if has_phdr {
            header(6, 4, 64, 64, 56 * count as u64, 8);
        }
        if self.interpreter {
            header(3, 4, interpreter, interpreter, 28, 1);
        }
        header(1, 4, 0, 0, code_end, 4096);
        header(1, 6, dynamic, dynamic + DATA, data_end - dynamic, 4096);
        header(2, 6, dynamic, dynamic + DATA, dynamic_size, 8);
        if self.property {
            header(4, 4, property, property, 32, 8);
        }
        if has_notes {
            header(4, 4, notes, notes, notes_end - notes, 4);
        }
        if self.property {
            header(0x6474_e553, 4, property, property, 32, 8);
        }
        header(0x6474_e551, 6, 0, 0, 0, 16);
        file.bytes
    }
}
