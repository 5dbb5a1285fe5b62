//! Notes: build-id, ABI tag, x86 ISA level, Go, libraries opened at run time.
//!
//! Notes decide nothing on Lambda by themselves, so a broken note is skipped, and so are notes beyond the limits:
//! segments may overlap, and each is read to its end.

use goblin::elf::note::{NT_GNU_ABI_TAG, NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0, Nhdr32};
use goblin::elf64::program_header::{PT_GNU_PROPERTY, PT_NOTE};

use super::read::{Image, u32};
use super::records::decode;
use super::{ElfError, ElfFacts};

/// The number of segments with notes that are read at most; real files have fewer.
const MAX_SEGMENTS: usize = 64;
/// The number of bytes of notes that are read at most; real segments have fewer.
const MAX_BYTES: u64 = 65_536;

// goblin lacks these four.
const GNU_PROPERTY_X86_ISA_1_NEEDED: u32 = 0xc000_8002;
const GNU_PROPERTY_1_NEEDED: u32 = 0xb000_8000;
const GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS: u32 = 1;
/// Source: the UAPI group's specification of dlopen() metadata for ELF files.
const NT_FDO_DLOPEN_METADATA: u32 = 0x407c_0c0a;

/// Reads the notes of a file.
///
/// # Errors
///
/// Only [`ElfError::NotRead`].
pub(super) fn read(image: &Image, facts: &mut ElfFacts) -> Result<(), ElfError> {
    for header in image.of_type(PT_NOTE).chain(image.of_type(PT_GNU_PROPERTY)).take(MAX_SEGMENTS) {
        let mut bytes = match image.segment_start(header, MAX_BYTES, "a note") {
            Ok(bytes) => bytes,
            Err(error @ ElfError::NotRead(_)) => return Err(error),
            Err(_) => continue,
        };
        let align = if header.p_align == 8 { 8 } else { 4 };
        while let Some((note, rest)) = next_note(bytes, align) {
            let content = note.content;
            match (note.name, note.kind) {
                (b"GNU\0", NT_GNU_BUILD_ID) => {
                    facts.build_id.get_or_insert_with(|| content.to_vec());
                }
                // Source: `open_verify` in glibc's elf/dl-load.c, which passes over a segment of another alignment.
                (b"GNU\0", NT_GNU_ABI_TAG)
                    if matches!(header.p_align, 4 | 8) && content.len() >= 16 && u32(content, 0) == 0 =>
                {
                    facts.least_kernel = Some((u32(content, 4), u32(content, 8), u32(content, 12)));
                }
                (b"GNU\0", NT_GNU_PROPERTY_TYPE_0) => {
                    facts.isa_needed |= bits(content, GNU_PROPERTY_X86_ISA_1_NEEDED);
                    let needed = bits(content, GNU_PROPERTY_1_NEEDED);
                    facts.needs_indirect_access |= needed & GNU_PROPERTY_1_NEEDED_INDIRECT_EXTERN_ACCESS != 0;
                }
                (b"Go\0\0", _) => facts.go = true,
                (b"FDO\0", NT_FDO_DLOPEN_METADATA) if facts.dlopen_notes.len() < MAX_SEGMENTS => {
                    let end = memchr::memchr(0, content).unwrap_or(content.len());
                    facts.dlopen_notes.extend(std::str::from_utf8(&content[..end]).map(str::to_owned));
                }
                _ => {}
            }
            bytes = rest;
        }
    }
    Ok(())
}

struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    content: &'a [u8],
}

/// Returns the first note and the bytes after it.
fn next_note(bytes: &[u8], align: usize) -> Option<(Note<'_>, &[u8])> {
    // The three fields have 32 bits in 64-bit files, too; goblin's `Nhdr64` has 64.
    const HEAD: usize = size_of::<Nhdr32>();
    let head: Nhdr32 = decode(bytes.get(..HEAD)?, 0);
    let (name_size, size) = (head.n_namesz as usize, head.n_descsz as usize);
    let name = bytes.get(HEAD..HEAD.checked_add(name_size)?)?;
    let start = (HEAD + name_size).checked_next_multiple_of(align)?;
    let content = bytes.get(start..start.checked_add(size)?)?;
    let end = (start + size).checked_next_multiple_of(align)?.min(bytes.len());
    Some((Note { name, kind: head.n_type, content }, &bytes[end..]))
}

/// The bits of one kind of property.
fn bits(mut properties: &[u8], wanted: u32) -> u32 {
    let mut bits = 0;
    while let Some(head) = properties.get(..8) {
        let (kind, size) = (u32(head, 0), u32(head, 4) as usize);
        let Some(content) = properties.get(8..8usize.saturating_add(size)) else { break };
        if kind == wanted && size == 4 {
            bits |= u32(content, 0);
        }
        let end = (8 + size).next_multiple_of(8).min(properties.len());
        properties = &properties[end..];
    }
    bits
}
