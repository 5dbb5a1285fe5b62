//! The choice of the program header that becomes the PT_LOAD of the new segment.

use std::ops::Range;

use goblin::elf::note::{NT_GNU_ABI_TAG, NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0, Nhdr32};
use goblin::elf64::program_header::{PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_PHDR, ProgramHeader};
use goblin::elf64::section_header::{SHT_NOBITS, SHT_NOTE};

use crate::elf::Arch;
use crate::elf::records::decode;

use super::image::{EditedFile, SEGMENT_HEADER, overlap, range};
use super::{GivenUp, Refusal};

/// A place for one more PT_LOAD.
pub(super) enum Slot {
    /// This header is replaced.
    Replace(usize),
    /// The table grows by one header, over the bytes that follow it.
    Grow(Grown),
    /// No header can be replaced: this PT_LOAD, the last one, is written again at the end of the file, where it can
    /// grow.
    Extend(usize),
}

/// The number of zeros, such as those of .bss, that are put into the file at most for [`Slot::Extend`].
const MOST_ZEROS: u64 = 16 << 20;

/// The parts that are moved for a longer table.
pub(super) struct Grown {
    /// The bytes of notes to be copied into the new segment; empty if no note has to move.
    pub notes: Range<u64>,
    /// The PT_NOTE that covered them, and its new range.
    pub note_header: Option<(usize, NotesNow)>,
}

/// The new range of a PT_NOTE after its first notes were moved.
pub(super) enum NotesNow {
    /// The copy.
    Copy,
    /// The notes that stay, from this offset in the file on.
    From(u64),
}

/// The slot with the lowest cost, and that cost.
///
/// The slot is never PT_GNU_RELRO, which is a protection, nor PT_GNU_STACK, PT_TLS, PT_GNU_EH_FRAME.
pub(super) fn choose(image: &EditedFile) -> Result<(Slot, Vec<GivenUp>), Refusal> {
    // On x86_64, ld.so finds the same note through PT_NOTE. On aarch64 the kernel reads PT_GNU_PROPERTY alone.
    if image.arch == Arch::X86_64
        && let Some((index, _)) = image
            .of_kind(PT_GNU_PROPERTY)
            .find(|(_, property)| image.of_kind(PT_NOTE).any(|(_, note)| range(note) == range(property)))
    {
        return Ok((Slot::Replace(index), Vec::new()));
    }
    let notes = || image.of_kind(PT_NOTE).map(|(index, header)| (Slot::Replace(index), cost(image, header)));
    if let Some(slot) =
        notes().filter(|(_, lost)| !lost.contains(&GivenUp::BuildIdNote)).min_by_key(|(_, lost)| lost.len())
    {
        return Ok(slot);
    }
    // ld.so needs PT_PHDR only in a program, to find its load address.
    if image.of_kind(PT_INTERP).next().is_none()
        && let Some((index, _)) = image.of_kind(PT_PHDR).next()
    {
        return Ok((Slot::Replace(index), Vec::new()));
    }
    if let Some((grown, lost)) = room(image) {
        return Ok((Slot::Grow(grown), lost));
    }
    notes().next().or_else(|| last_load(image)).ok_or(Refusal::NoSlot)
}

/// The last PT_LOAD, unless it has the program header table, which must not move.
fn last_load(image: &EditedFile) -> Option<(Slot, Vec<GivenUp>)> {
    let (index, load) = image.of_kind(PT_LOAD).last()?;
    let has_table = overlap(&range(load), &(image.table..image.table_end()));
    let bss = load.p_memsz - load.p_filesz;
    // The file is filled with zeros up to a multiple of the alignment, too.
    (!has_table && bss.max(load.p_align) <= MOST_ZEROS).then(|| (Slot::Extend(index), Vec::new()))
}

/// The losses if a PT_NOTE is replaced.
fn cost(image: &EditedFile, header: &ProgramHeader) -> Vec<GivenUp> {
    let mut lost: Vec<GivenUp> =
        notes(image, header).iter().filter_map(|note| note.kind.cost(image, header)).collect();
    lost.sort();
    lost.dedup();
    lost
}

#[derive(Clone, Copy, PartialEq)]
enum NoteKind {
    BuildId,
    AbiTag,
    Property,
    Other,
}

impl NoteKind {
    fn cost(self, image: &EditedFile, header: &ProgramHeader) -> Option<GivenUp> {
        match self {
            NoteKind::BuildId => Some(GivenUp::BuildIdNote),
            NoteKind::AbiTag => Some(GivenUp::KernelCheck),
            NoteKind::Property => {
                let twice = image.of_kind(PT_GNU_PROPERTY).any(|(_, other)| range(other) == range(header));
                (!twice).then_some(GivenUp::OtherNote)
            }
            NoteKind::Other => Some(GivenUp::OtherNote),
        }
    }
}

struct SpareNote {
    kind: NoteKind,
    range: Range<u64>,
}

/// The notes of a PT_NOTE; no reader sees notes after a broken one.
fn notes(image: &EditedFile, header: &ProgramHeader) -> Vec<SpareNote> {
    let bytes = image.segment(header);
    let align = if header.p_align == 8 { 8 } else { 4 };
    let mut notes = Vec::new();
    let mut at = 0;
    // The three fields have 32 bits in 64-bit files, too; goblin's `Nhdr64` has 64.
    const HEAD: usize = size_of::<Nhdr32>();
    while let Some(head) = bytes.get(at..).and_then(|rest| rest.get(..HEAD)) {
        let head: Nhdr32 = decode(head, 0);
        let (name_size, size) = (head.n_namesz as usize, head.n_descsz as usize);
        // 32-bit sizes: the sums fit into 64 bits.
        let content = (at + HEAD + name_size).next_multiple_of(align);
        let Some(name) = bytes.get(at + HEAD..at + HEAD + name_size) else { break };
        if content + size > bytes.len() {
            break;
        }
        let end = (content + size).next_multiple_of(align).min(bytes.len());
        let kind = match (name, head.n_type) {
            (b"GNU\0", NT_GNU_ABI_TAG) => NoteKind::AbiTag,
            (b"GNU\0", NT_GNU_BUILD_ID) => NoteKind::BuildId,
            (b"GNU\0", NT_GNU_PROPERTY_TYPE_0) => NoteKind::Property,
            _ => NoteKind::Other,
        };
        notes.push(SpareNote { kind, range: header.p_offset + at as u64..header.p_offset + end as u64 });
        at = end;
    }
    notes
}

/// Space for one more header after the table, over the interpreter's path and notes only.
///
/// LLD, GNU ld and mold put those there in programs; in libraries .gnu.hash and other sections follow.
fn room(image: &EditedFile) -> Option<(Grown, Vec<GivenUp>)> {
    let wanted = image.table_end()..image.table_end() + SEGMENT_HEADER;
    let (_, interpreter) = image.of_kind(PT_INTERP).next()?;
    // The kernel and ld.so read the table in memory.
    let mapped = |range: Range<u64>| range.start <= image.table && wanted.end <= range.end;
    if !image.of_kind(PT_LOAD).any(|(_, load)| mapped(range(load))) || image.headers.len() >= 0xfffe {
        return None;
    }
    let touched = |header: &ProgramHeader| overlap(&range(header), &wanted);
    let ours = |kind| matches!(kind, PT_LOAD | PT_INTERP | PT_NOTE);
    if image.headers.iter().any(|header| !ours(header.p_type) && touched(header)) {
        return None;
    }
    let mut note_headers = image.of_kind(PT_NOTE).filter(|(_, header)| touched(header));
    let note_header = note_headers.next();
    if note_headers.next().is_some() {
        return None;
    }
    let notes = note_header.map(|(_, header)| notes(image, header)).unwrap_or_default();

    // There are no gaps except the zeros of an alignment: a longer run of zeros may be the start of a table.
    let mut at = wanted.start;
    for range in std::iter::once(range(interpreter)).chain(notes.iter().map(|note| note.range.clone())) {
        if at >= wanted.end {
            break;
        }
        let gap = image.bytes.get(at as usize..range.start as usize)?;
        if gap.len() >= 8 || gap.iter().any(|byte| *byte != 0) {
            return None;
        }
        at = range.end;
    }
    if at < wanted.end || !sections_allow(image, &wanted) {
        return None;
    }

    let (moving, staying): (Vec<&SpareNote>, Vec<&SpareNote>) =
        notes.iter().partition(|note| overlap(&note.range, &wanted));
    let Some((index, header)) = note_header.filter(|_| !moving.is_empty()) else {
        return Some((Grown { notes: 0..0, note_header: None }, Vec::new()));
    };
    if notes.iter().any(|note| note.kind == NoteKind::Property) {
        return None;
    }
    let with_build_id = moving.iter().any(|note| note.kind == NoteKind::BuildId);
    match staying.first() {
        Some(first) if !with_build_id => {
            let grown = Grown {
                notes: header.p_offset..first.range.start,
                note_header: Some((index, NotesNow::From(first.range.start))),
            };
            let mut lost: Vec<GivenUp> =
                moving.iter().filter_map(|note| note.kind.cost(image, header)).collect();
            lost.sort();
            lost.dedup();
            Some((grown, lost))
        }
        // All notes move: readers of PT_NOTE find them in the copy.
        _ => {
            let lost = if with_build_id { vec![GivenUp::BuildIdInCore] } else { Vec::new() };
            Some((Grown { notes: range(header), note_header: Some((index, NotesNow::Copy)) }, lost))
        }
    }
}

/// Whether the section headers, if any, have no other section there.
fn sections_allow(image: &EditedFile, wanted: &Range<u64>) -> bool {
    let interpreter = |offset| image.of_kind(PT_INTERP).any(|(_, header)| header.p_offset == offset);
    image.sections.iter().all(|section| {
        let header = &section.header;
        let range = header.sh_offset..header.sh_offset.saturating_add(header.sh_size);
        matches!(header.sh_type, SHT_NOTE | SHT_NOBITS)
            || interpreter(header.sh_offset)
            || !overlap(&range, wanted)
    })
}
