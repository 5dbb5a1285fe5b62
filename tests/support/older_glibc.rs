//! A libc.so.6 or libm.so.6 that lacks an older release's later nodes: ld.so refuses what needs them, as it does
//! beside that release.

use cargo_lambda_bundle::elf::version;
use goblin::elf::Elf;
use goblin::elf::section_header::{SHT_GNU_VERDEF, SHT_GNU_VERSYM};

const HIDDEN: u16 = 0x8000;

/// Takes from ld.so all versions after `newest`, such as `GLIBC_2.34`. A name whose default version goes gets its
/// newest version that is left as its default, as it has in that release.
///
/// `GLIBC_ABI_DT_RELR` stays: Debian's libm.so.6 needs it itself.
///
/// Source: `match_symbol` of glibc's elf/dl-version.c and `check_match` of elf/dl-lookup.c, which compare hashes.
pub fn take_nodes_after(library: &mut [u8], newest: &str) {
    let changes = changes(library, newest);
    assert!(!changes.is_empty(), "no node after {newest}");
    for (at, bytes) in changes {
        library[at..at + bytes.len()].copy_from_slice(&bytes);
    }
}

fn changes(library: &[u8], newest: &str) -> Vec<(usize, Vec<u8>)> {
    let elf = Elf::parse(library).expect("a library");
    let section = |kind: u32| {
        let mut sections = elf.section_headers.iter();
        sections.find(|it| it.sh_type == kind).expect("a section of versions").sh_offset as usize
    };
    let mut changes = Vec::new();
    let mut nodes: Vec<(u16, &str)> = Vec::new();
    let mut at = section(SHT_GNU_VERDEF);
    for definition in elf.verdef.as_ref().expect("version definitions").iter() {
        let name = definition.iter().next().expect("a name").vda_name;
        let name = elf.dynstrtab.get_at(name).expect("a name");
        nodes.push((definition.vd_ndx, name));
        if is_later(name, newest) {
            changes.push((at + 8, (!definition.vd_hash).to_le_bytes().to_vec()));
        }
        at += definition.vd_next as usize;
    }
    let node =
        |version: u16| nodes.iter().find(|(index, _)| *index == version & !HIDDEN).map(|(_, name)| *name);
    let versions = section(SHT_GNU_VERSYM);
    let symbols: Vec<(usize, &str, u16)> = (elf.dynsyms.iter().enumerate())
        .filter(|(_, symbol)| !symbol.is_import())
        .map(|(index, symbol)| {
            let at = versions + 2 * index;
            (
                at,
                elf.dynstrtab.get_at(symbol.st_name).unwrap(),
                u16::from_le_bytes([library[at], library[at + 1]]),
            )
        })
        .collect();
    let gone =
        symbols.iter().filter(|(.., version)| node(*version).is_some_and(|name| is_later(name, newest)));
    for (at, name, version) in gone {
        changes.push((*at, (version | HIDDEN).to_le_bytes().to_vec()));
        // It has one default at most.
        if version & HIDDEN != 0 {
            continue;
        }
        let others = symbols.iter().filter(|(_, other, _)| other == name);
        let others = others.filter_map(|(at, _, version)| Some((at, version, node(*version)?)));
        let left = others.filter(|(.., node)| !is_later(node, newest) && *node != "GLIBC_PRIVATE");
        if let Some((at, version, _)) = left.max_by(|one, other| version::compare(one.2, other.2)) {
            changes.push((*at, (version & !HIDDEN).to_le_bytes().to_vec()));
        }
    }
    changes
}

fn is_later(node: &str, newest: &str) -> bool {
    node.starts_with("GLIBC_2.") && version::compare(node, newest).is_gt()
}
