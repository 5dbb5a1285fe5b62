//! The writer of the edited file.

use goblin::elf64::dynamic::{DT_STRSZ, DT_STRTAB, Dyn, SIZEOF_DYN};
use goblin::elf64::header::Header;
use goblin::elf64::program_header::{PF_R, PF_W, PT_INTERP, PT_LOAD, PT_PHDR, ProgramHeader, SIZEOF_PHDR};
use goblin::elf64::section_header::{SHT_DYNAMIC, SHT_NOTE, SHT_PROGBITS, SHT_STRTAB};

use crate::elf::Arch;
use crate::elf::records::{decode, encode};

use super::dynamic::Plan;
use super::image::{self, EditedFile, SEGMENT_HEADER, SectionRow};
use super::slot::{self, Grown, NotesNow, Slot};
use super::tail;
use super::{Edited, Refusal};

/// The smallest page.
const FILE_ALIGN: u64 = 4096;

/// One past the last address that a program on x86_64 or on aarch64 with 48 bits can have.
const ADDRESS_END: u64 = 1 << 47;

/// Writes the edited file: in place what fits there, the rest in a segment that is added or grows.
pub(super) fn write(image: &EditedFile, plan: Plan, interpreter: Option<&str>) -> Result<Edited, Refusal> {
    if interpreter.is_some() && image.of_kind(PT_INTERP).next().is_none() {
        return Err(Refusal::NoInterpreter);
    }
    let mut draft = EditDraft {
        image,
        headers: image.headers.clone(),
        moved: Vec::new(),
        dynamic: image.dynamic,
        segment: None,
        written_again: None,
        plan,
    };
    if !draft.plan.in_place || !draft.plan.new_strings.is_empty() || interpreter.is_some() {
        draft.add_segment(interpreter)?;
    }
    Ok(draft.finish())
}

/// The edited file while its parts get their places.
struct EditDraft<'a> {
    image: &'a EditedFile<'a>,
    plan: Plan,
    headers: Vec<ProgramHeader>,
    moved: Vec<Moved>,
    /// The offset of .dynamic.
    dynamic: usize,
    segment: Option<Segment>,
    written_again: Option<WrittenAgain>,
}

impl EditDraft<'_> {
    /// Moves what does not fit in place to a segment after the end of the file.
    fn add_segment(&mut self, interpreter: Option<&str>) -> Result<(), Refusal> {
        let (slot, cost) = slot::choose(self.image)?;
        self.plan.lost.extend(cost);
        let mut new = match &slot {
            Slot::Extend(index) => self.write_again(*index)?,
            Slot::Replace(_) | Slot::Grow(_) => Segment::behind(self.image)?,
        };
        // Parts with an alignment come first.
        if !self.plan.in_place {
            self.move_dynamic(&mut new);
        }
        if let Slot::Grow(grown) = &slot {
            move_notes(self.image, grown, &mut new, &mut self.headers, &mut self.moved);
        }
        if !self.plan.new_strings.is_empty() {
            self.move_strings(&mut new);
        }
        if interpreter.is_some() || matches!(slot, Slot::Grow(_)) {
            self.move_interpreter(interpreter, &mut new);
        }
        let flags = if self.plan.in_place { PF_R } else { PF_R | PF_W };
        let load = new.header(flags, self.image.arch)?;
        self.take(&slot, load);
        self.segment = Some(new);
        Ok(())
    }

    /// Starts the segment with a copy of an existing one, which it takes the place of.
    fn write_again(&mut self, index: usize) -> Result<Segment, Refusal> {
        let load = &self.image.headers[index];
        let again = WrittenAgain::behind(self.image, load)?;
        again.shift_headers(&mut self.headers);
        self.dynamic = again.place(self.dynamic as u64) as usize;
        let segment = Segment::again(self.image, load, &again);
        self.written_again = Some(again);
        Ok(segment)
    }

    /// Reserves the place of .dynamic, which [`finish`](Self::finish) fills: strings get their places later.
    fn move_dynamic(&mut self, new: &mut Segment) {
        let size = (self.plan.entries.len() as u64 + 1) * SIZEOF_DYN as u64;
        new.align(16);
        let place = new.push(&vec![0; size as usize]);
        self.dynamic = place.offset as usize;
        let header = &mut self.headers[self.image.dynamic_header];
        self.moved.push(Moved::whole(SHT_DYNAMIC, header.p_vaddr, place, size));
        *header = image::moved(header, place.offset, place.address, size);
    }

    fn move_strings(&mut self, new: &mut Segment) {
        let place = new.push(&self.image.strings);
        new.push(&self.plan.new_strings);
        let size = (self.image.strings.len() + self.plan.new_strings.len()) as u64;
        self.moved.push(Moved::whole(SHT_STRTAB, self.image.strings_address, place, size));
        for entry in &mut self.plan.entries {
            match entry.d_tag {
                DT_STRTAB => entry.d_val = place.address,
                DT_STRSZ => entry.d_val = size,
                _ => {}
            }
        }
    }

    /// Moves the interpreter's path, if there is one: the new path, or the old one.
    fn move_interpreter(&mut self, interpreter: Option<&str>, new: &mut Segment) {
        let Some((index, header)) = self.image.of_kind(PT_INTERP).next() else { return };
        let path = match interpreter {
            Some(path) => &[path.as_bytes(), b"\0"].concat(),
            None => self.image.segment(header),
        };
        let (place, size) = (new.push(path), path.len() as u64);
        self.moved.push(Moved::whole(SHT_PROGBITS, header.p_vaddr, place, size));
        self.headers[index] = image::moved(header, place.offset, place.address, size);
    }

    /// Gives the new segment its program header.
    fn take(&mut self, slot: &Slot, load: ProgramHeader) {
        match slot {
            Slot::Replace(index) => {
                self.headers.remove(*index);
            }
            Slot::Grow(_) => {
                for header in self.headers.iter_mut().filter(|header| header.p_type == PT_PHDR) {
                    header.p_filesz = header.p_filesz.saturating_add(SEGMENT_HEADER);
                    header.p_memsz = header.p_memsz.saturating_add(SEGMENT_HEADER);
                }
            }
            Slot::Extend(index) => {
                let old = &mut self.headers[*index];
                *old = ProgramHeader { p_flags: old.p_flags | load.p_flags, p_align: old.p_align, ..load };
                return;
            }
        }
        // It comes after all others and has the highest address: kernel 5.10 and ld.so 2.34 require PT_LOADs to ascend.
        let last =
            self.headers.iter().rposition(|header| header.p_type == PT_LOAD).map_or(0, |last| last + 1);
        self.headers.insert(last, load);
    }

    /// Writes everything at its place.
    fn finish(self) -> Edited {
        let EditDraft { image, plan, headers, moved, dynamic, segment, written_again } = self;
        let Plan { entries, in_place, names, mut lost, .. } = plan;
        let mut bytes = with_segment(image.bytes, segment.as_ref());
        // The count may have grown by one; `room` has checked that it fits.
        let mut file: Header = decode(&bytes, 0);
        file.e_phnum = headers.len() as u16;
        encode(&mut bytes, 0, file);
        for (index, header) in headers.into_iter().enumerate() {
            encode(&mut bytes, image.table as usize + index * SIZEOF_PHDR, header);
        }
        let spare = if in_place { image.entries.len().saturating_sub(entries.len()) } else { 0 };
        let ends = std::iter::repeat_n(Dyn::default(), spare + 1);
        for (index, entry) in entries.into_iter().chain(ends).enumerate() {
            encode(&mut bytes, dynamic + index * SIZEOF_DYN, entry);
        }
        for (at, offset) in names {
            let at = written_again.as_ref().map_or(at, |again| again.place(at as u64) as usize);
            encode(&mut bytes, at, offset);
        }
        for section in &image.sections {
            if let Some(again) = &written_again {
                again.shift_section(section, &mut bytes);
            }
            if let Some(moved) = moved.iter().find(|moved| moved.covers(section)) {
                moved.write(section, &mut bytes);
            }
        }
        lost.sort();
        Edited { bytes, lost }
    }
}

/// The old bytes, the new segment after them, and a copy of the old tail at the end.
fn with_segment(old: &[u8], new: Option<&Segment>) -> Vec<u8> {
    let Some(new) = new else { return old.to_vec() };
    let tail = tail::of(old);
    let mut end = new.offset as usize + new.bytes.len();
    if !tail.is_empty() {
        // Both copies have the same place in a page.
        let page = FILE_ALIGN as usize;
        end += (old.len() - tail.len() + page - end % page) % page;
    }
    let mut bytes = Vec::with_capacity(end + tail.len());
    bytes.extend_from_slice(old);
    bytes.resize(new.offset as usize, 0);
    bytes.extend_from_slice(&new.bytes);
    bytes.resize(end, 0);
    bytes.extend_from_slice(tail);
    bytes
}

fn move_notes(
    image: &EditedFile,
    grown: &Grown,
    new: &mut Segment,
    headers: &mut [ProgramHeader],
    moved: &mut Vec<Moved>,
) {
    let Some((index, now)) = &grown.note_header else { return };
    let old = headers[*index];
    let size = grown.notes.end - grown.notes.start;
    let place = new.push(&image.bytes[grown.notes.start as usize..grown.notes.end as usize]);
    moved.push(Moved { kind: SHT_NOTE, from: old.p_vaddr, span: size, place, size: None });
    headers[*index] = match now {
        NotesNow::Copy => image::moved(&old, place.offset, place.address, size),
        NotesNow::From(offset) => {
            let skip = offset - old.p_offset;
            ProgramHeader {
                p_offset: old.p_offset + skip,
                p_vaddr: old.p_vaddr.wrapping_add(skip),
                p_paddr: old.p_paddr.wrapping_add(skip),
                p_filesz: old.p_filesz - skip,
                p_memsz: old.p_memsz.saturating_sub(skip),
                ..old
            }
        }
    };
}

/// The last PT_LOAD with its .bss, written again after the end of the file.
struct WrittenAgain {
    load: ProgramHeader,
    offset: u64,
}

impl WrittenAgain {
    fn behind(image: &EditedFile, load: &ProgramHeader) -> Result<WrittenAgain, Refusal> {
        let align = load.p_align.max(FILE_ALIGN);
        let start = (image.bytes.len() as u64).checked_next_multiple_of(align).ok_or(Refusal::NoAddress)?;
        Ok(WrittenAgain { load: *load, offset: start + load.p_vaddr % align })
    }

    /// The new place of a byte of the file.
    fn place(&self, offset: u64) -> u64 {
        if image::range(&self.load).contains(&offset) {
            offset - self.load.p_offset + self.offset
        } else {
            offset
        }
    }

    fn covers(&self, address: u64) -> bool {
        (self.load.p_vaddr..=self.load.p_vaddr + self.load.p_memsz).contains(&address)
    }

    fn shift_headers(&self, headers: &mut [ProgramHeader]) {
        for header in headers.iter_mut().filter(|header| header.p_type != PT_LOAD) {
            if header.p_memsz > 0 && self.covers(header.p_vaddr) {
                header.p_offset = header.p_offset.wrapping_sub(self.load.p_offset).wrapping_add(self.offset);
            }
        }
    }

    fn shift_section(&self, section: &SectionRow, bytes: &mut [u8]) {
        if section.is_allocated() && self.covers(section.header.sh_addr) {
            let offset = section.header.sh_offset.wrapping_sub(self.load.p_offset).wrapping_add(self.offset);
            section.update(bytes, |header| header.sh_offset = offset);
        }
    }
}

#[derive(Clone, Copy)]
struct SegmentPlace {
    offset: u64,
    address: u64,
}

/// The new segment while it grows.
struct Segment {
    offset: u64,
    address: u64,
    bytes: Vec<u8>,
}

impl Segment {
    /// An empty segment after the end of the file, and above every other segment.
    fn behind(image: &EditedFile) -> Result<Segment, Refusal> {
        let offset = (image.bytes.len() as u64).next_multiple_of(FILE_ALIGN);
        let mut align = segment_align(image.arch);
        let mut end = 0;
        for (_, load) in image.of_kind(PT_LOAD) {
            align = align.max(load.p_align);
            end = end.max(load.p_vaddr + load.p_memsz);
        }
        let start = end.checked_next_multiple_of(align);
        let address = start.and_then(|start| start.checked_add(offset % segment_align(image.arch)));
        let address = address.filter(|address| *address < ADDRESS_END).ok_or(Refusal::NoAddress)?;
        Ok(Segment { offset, address, bytes: Vec::new() })
    }

    /// An existing segment with its .bss as zeros, so that it can grow.
    fn again(image: &EditedFile, load: &ProgramHeader, again: &WrittenAgain) -> Segment {
        let mut bytes = image.segment(load).to_vec();
        bytes.resize(load.p_memsz as usize, 0);
        Segment { offset: again.offset, address: load.p_vaddr, bytes }
    }

    /// Fills the segment with zeros up to the next multiple.
    fn align(&mut self, align: u64) {
        let end = self.address + self.bytes.len() as u64;
        let fill = end.next_multiple_of(align) - end;
        self.bytes.resize(self.bytes.len() + fill as usize, 0);
    }

    /// Appends bytes. Returns their place.
    fn push(&mut self, bytes: &[u8]) -> SegmentPlace {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        SegmentPlace { offset: self.offset + at, address: self.address + at }
    }

    fn header(&self, flags: u32, arch: Arch) -> Result<ProgramHeader, Refusal> {
        let size = self.bytes.len() as u64;
        self.address.checked_add(size).filter(|end| *end <= ADDRESS_END).ok_or(Refusal::NoAddress)?;
        Ok(ProgramHeader {
            p_type: PT_LOAD,
            p_flags: flags,
            p_offset: self.offset,
            p_vaddr: self.address,
            p_paddr: self.address,
            p_filesz: size,
            p_memsz: size,
            p_align: segment_align(arch),
        })
    }
}

/// The largest page that a kernel of the architecture may have.
fn segment_align(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 4096,
        Arch::Arm64 => 65_536,
    }
}

/// A part that was moved, identified by the kind and the old addresses of its sections.
struct Moved {
    kind: u32,
    from: u64,
    span: u64,
    place: SegmentPlace,
    /// The new size; `None` if unchanged.
    size: Option<u64>,
}

impl Moved {
    /// A part that is one section.
    fn whole(kind: u32, from: u64, place: SegmentPlace, size: u64) -> Moved {
        Moved { kind, from, span: 1, place, size: Some(size) }
    }

    fn covers(&self, section: &SectionRow) -> bool {
        let header = &section.header;
        section.is_allocated()
            && header.sh_type == self.kind
            && header.sh_addr >= self.from
            && header.sh_addr - self.from < self.span
    }

    /// Updates a section header. Tools use it: readelf, gdb and strip find the strings through section headers.
    fn write(&self, section: &SectionRow, bytes: &mut [u8]) {
        let skip = section.header.sh_addr - self.from;
        section.update(bytes, |header| {
            header.sh_addr = self.place.address + skip;
            header.sh_offset = self.place.offset + skip;
            header.sh_size = self.size.unwrap_or(section.header.sh_size);
        });
    }
}
