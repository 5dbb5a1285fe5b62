//! The writer of the edited file.

use crate::elf::Arch;

use super::dynamic::Plan;
use super::image::{
    DT_STRSZ, DT_STRTAB, Header, Image, PT_INTERP, PT_LOAD, PT_PHDR, SEGMENT_HEADER, Section, put_u64,
};
use super::slot::{self, Grown, NotesNow, Slot};
use super::tail;
use super::{Edited, Refusal};

const PF_W: u32 = 2;
const PF_R: u32 = 4;

const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_DYNAMIC: u32 = 6;
const SHT_NOTE: u32 = 7;

/// The smallest page.
const FILE_ALIGN: u64 = 4096;

/// One past the last address that a program on x86_64 or on aarch64 with 48 bits can have.
const ADDRESS_END: u64 = 1 << 47;

pub(super) fn write(image: &Image, plan: Plan, interpreter: Option<&str>) -> Result<Edited, Refusal> {
    let Plan { mut entries, in_place, new_strings, names, mut lost } = plan;
    let interpreter_header = image.of_kind(PT_INTERP).next();
    if interpreter.is_some() && interpreter_header.is_none() {
        return Err(Refusal::NoInterpreter);
    }
    let mut headers = image.headers.clone();
    let mut moved = Vec::new();
    let mut segment = None;
    let mut dynamic = image.dynamic;
    let mut written_again = None;
    if !in_place || !new_strings.is_empty() || interpreter.is_some() {
        let (slot, cost) = slot::choose(image)?;
        lost.extend(cost);
        let mut new = match &slot {
            Slot::Extend(index) => {
                let load = &image.headers[*index];
                let again = WrittenAgain::behind(image, load)?;
                again.shift_headers(&mut headers);
                dynamic = again.place(dynamic as u64) as usize;
                let segment = Segment::again(image, load, &again);
                written_again = Some(again);
                segment
            }
            Slot::Replace(_) | Slot::Grow(_) => Segment::behind(image)?,
        };

        // Parts with an alignment come first.
        if !in_place {
            let size = (entries.len() as u64 + 1) * 16;
            // Filled in below, once the strings have their places.
            new.align(16);
            let place = new.push(&vec![0; size as usize]);
            dynamic = place.offset as usize;
            let header = &mut headers[image.dynamic_header];
            moved.push(Moved::whole(SHT_DYNAMIC, header.address, place, size));
            *header = header.moved(place.offset, place.address, size);
        }
        if let Slot::Grow(grown) = &slot {
            move_notes(image, grown, &mut new, &mut headers, &mut moved);
        }
        if !new_strings.is_empty() {
            let place = new.push(image.strings);
            new.push(&new_strings);
            let size = (image.strings.len() + new_strings.len()) as u64;
            moved.push(Moved::whole(SHT_STRTAB, image.strings_address, place, size));
            for (tag, value) in &mut entries {
                match *tag {
                    DT_STRTAB => *value = place.address,
                    DT_STRSZ => *value = size,
                    _ => {}
                }
            }
        }
        if let Some((index, header)) = interpreter_header
            && (interpreter.is_some() || matches!(slot, Slot::Grow(_)))
        {
            let path = match interpreter {
                Some(path) => &[path.as_bytes(), b"\0"].concat(),
                None => image.segment(header),
            };
            let (place, size) = (new.push(path), path.len() as u64);
            moved.push(Moved::whole(SHT_PROGBITS, header.address, place, size));
            headers[index] = header.moved(place.offset, place.address, size);
        }

        let load = new.header(if in_place { PF_R } else { PF_R | PF_W }, image.arch)?;
        match slot {
            Slot::Replace(index) => {
                headers.remove(index);
            }
            Slot::Grow(_) => {
                for header in headers.iter_mut().filter(|header| header.kind == PT_PHDR) {
                    header.file_size = header.file_size.saturating_add(SEGMENT_HEADER);
                    header.memory_size = header.memory_size.saturating_add(SEGMENT_HEADER);
                }
            }
            Slot::Extend(index) => {
                let old = headers.remove(index);
                headers.insert(index, Header { flags: old.flags | load.flags, align: old.align, ..load });
            }
        }
        if written_again.is_none() {
            // It comes after all others and has the highest address: kernel 5.10 and ld.so 2.34 require PT_LOADs to
            // ascend.
            let last = headers.iter().rposition(|header| header.kind == PT_LOAD).map_or(0, |last| last + 1);
            headers.insert(last, load);
        }
        segment = Some(new);
    }

    let mut bytes = with_segment(image.bytes, segment.as_ref());
    // The count may have grown by one; `room` has checked that it fits.
    bytes[56..58].copy_from_slice(&(headers.len() as u16).to_le_bytes());
    for (index, header) in headers.iter().enumerate() {
        header.write(&mut bytes, image.table as usize + index * SEGMENT_HEADER as usize);
    }
    let spare = if in_place { image.entries.len().saturating_sub(entries.len()) } else { 0 };
    let ends = std::iter::repeat_n((0, 0), spare + 1);
    for (index, (tag, value)) in entries.into_iter().chain(ends).enumerate() {
        put_u64(&mut bytes, dynamic + index * 16, tag);
        put_u64(&mut bytes, dynamic + index * 16 + 8, value);
    }
    for (at, value) in names {
        let at = written_again.as_ref().map_or(at, |again| again.place(at as u64) as usize);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
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
    Ok(Edited { bytes, lost })
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
    image: &Image,
    grown: &Grown,
    new: &mut Segment,
    headers: &mut [Header],
    moved: &mut Vec<Moved>,
) {
    let Some((index, now)) = &grown.note_header else { return };
    let old = headers[*index];
    let size = grown.notes.end - grown.notes.start;
    let place = new.push(&image.bytes[grown.notes.start as usize..grown.notes.end as usize]);
    moved.push(Moved { kind: SHT_NOTE, from: old.address, span: size, place, size: None });
    headers[*index] = match now {
        NotesNow::Copy => old.moved(place.offset, place.address, size),
        NotesNow::From(offset) => {
            let skip = offset - old.offset;
            Header {
                offset: old.offset + skip,
                address: old.address.wrapping_add(skip),
                physical: old.physical.wrapping_add(skip),
                file_size: old.file_size - skip,
                memory_size: old.memory_size.saturating_sub(skip),
                ..old
            }
        }
    };
}

/// The last PT_LOAD with its .bss, written again after the end of the file.
struct WrittenAgain {
    load: Header,
    offset: u64,
}

impl WrittenAgain {
    fn behind(image: &Image, load: &Header) -> Result<WrittenAgain, Refusal> {
        let align = load.align.max(FILE_ALIGN);
        let start = (image.bytes.len() as u64).checked_next_multiple_of(align).ok_or(Refusal::NoAddress)?;
        Ok(WrittenAgain { load: *load, offset: start + load.address % align })
    }

    /// The new place of a byte of the file.
    fn place(&self, offset: u64) -> u64 {
        if self.load.range().contains(&offset) { offset - self.load.offset + self.offset } else { offset }
    }

    fn covers(&self, address: u64) -> bool {
        (self.load.address..=self.load.address + self.load.memory_size).contains(&address)
    }

    fn shift_headers(&self, headers: &mut [Header]) {
        for header in headers.iter_mut().filter(|header| header.kind != PT_LOAD) {
            if header.memory_size > 0 && self.covers(header.address) {
                header.offset = header.offset.wrapping_sub(self.load.offset).wrapping_add(self.offset);
            }
        }
    }

    fn shift_section(&self, section: &Section, bytes: &mut [u8]) {
        if section.allocated && self.covers(section.address) {
            let offset = section.offset.wrapping_sub(self.load.offset).wrapping_add(self.offset);
            put_u64(bytes, section.at + 24, offset);
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
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
    fn behind(image: &Image) -> Result<Segment, Refusal> {
        let offset = (image.bytes.len() as u64).next_multiple_of(FILE_ALIGN);
        let mut align = segment_align(image.arch);
        let mut end = 0;
        for (_, load) in image.of_kind(PT_LOAD) {
            align = align.max(load.align);
            end = end.max(load.address + load.memory_size);
        }
        let start = end.checked_next_multiple_of(align);
        let address = start.and_then(|start| start.checked_add(offset % segment_align(image.arch)));
        let address = address.filter(|address| *address < ADDRESS_END).ok_or(Refusal::NoAddress)?;
        Ok(Segment { offset, address, bytes: Vec::new() })
    }

    /// An existing segment with its .bss as zeros, so that it can grow.
    fn again(image: &Image, load: &Header, again: &WrittenAgain) -> Segment {
        let mut bytes = image.segment(load).to_vec();
        bytes.resize(load.memory_size as usize, 0);
        Segment { offset: again.offset, address: load.address, bytes }
    }

    /// Fills the segment with zeros up to the next multiple.
    fn align(&mut self, align: u64) {
        let end = self.address + self.bytes.len() as u64;
        let fill = end.next_multiple_of(align) - end;
        self.bytes.resize(self.bytes.len() + fill as usize, 0);
    }

    /// Appends bytes. Returns their place.
    fn push(&mut self, bytes: &[u8]) -> Place {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        Place { offset: self.offset + at, address: self.address + at }
    }

    fn header(&self, flags: u32, arch: Arch) -> Result<Header, Refusal> {
        let size = self.bytes.len() as u64;
        self.address.checked_add(size).filter(|end| *end <= ADDRESS_END).ok_or(Refusal::NoAddress)?;
        Ok(Header {
            kind: PT_LOAD,
            flags,
            offset: self.offset,
            address: self.address,
            physical: self.address,
            file_size: size,
            memory_size: size,
            align: segment_align(arch),
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
    place: Place,
    /// The new size; `None` if unchanged.
    size: Option<u64>,
}

impl Moved {
    /// A part that is one section.
    fn whole(kind: u32, from: u64, place: Place, size: u64) -> Moved {
        Moved { kind, from, span: 1, place, size: Some(size) }
    }

    fn covers(&self, section: &Section) -> bool {
        section.allocated
            && section.kind == self.kind
            && section.address >= self.from
            && section.address - self.from < self.span
    }

    /// Updates a section header. Tools use it: readelf, gdb and strip find the strings through section headers.
    fn write(&self, section: &Section, bytes: &mut [u8]) {
        let skip = section.address - self.from;
        put_u64(bytes, section.at + 16, self.place.address + skip);
        put_u64(bytes, section.at + 24, self.place.offset + skip);
        put_u64(bytes, section.at + 32, self.size.unwrap_or(section.size));
    }
}
