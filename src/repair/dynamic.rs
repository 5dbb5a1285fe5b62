//! The entries of .dynamic and the strings after them, with the edits.

use goblin::elf64::dynamic::{
    DF_1_NOW, DF_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_NEEDED, DT_RELACOUNT, DT_RPATH, DT_RUNPATH, DT_VERNEED,
    Dyn,
};

use crate::elf::records::decode;

use super::image::EditedFile;
use super::rebind::NewName;
use super::{Edits, GivenUp, Refusal};

/// The new contents of .dynamic, .dynstr and DT_VERNEED.
pub(super) struct Plan {
    /// The entries without DT_NULL. DT_STRTAB and DT_STRSZ are still the old ones.
    pub entries: Vec<Dyn>,
    /// Whether the entries fit in the place of the old ones.
    pub in_place: bool,
    /// Strings to be added after the old ones.
    pub new_strings: Vec<u8>,
    /// Places in the file of `vn_file` and `st_name` values, with the new values.
    pub names: Vec<(usize, u32)>,
    pub lost: Vec<GivenUp>,
}

/// Plans the edits. `renamed` has the symbols that get another name.
pub(super) fn plan(image: &EditedFile, edits: &Edits, renamed: &[NewName]) -> Result<Plan, Refusal> {
    let mut strings = NewStrings { old: &image.strings, new: Vec::new() };
    let mut entries = image.entries.clone();
    let mut names = Vec::new();

    for (from, to) in &edits.rename_needed {
        // The names are compared with the original: a name that another rename set is not renamed again.
        let is_it = |entry: &Dyn| entry.d_tag == DT_NEEDED && strings.is(entry.d_val, from);
        let places: Vec<usize> =
            (0..image.entries.len()).filter(|&place| is_it(&image.entries[place])).collect();
        if places.is_empty() {
            return Err(Refusal::NotNeeded(from.clone()));
        }
        let offset = strings.offset(to)?;
        for place in places {
            entries[place].d_val = offset.into();
        }
        names.extend(version_files_named(image, &strings, from)?.into_iter().map(|at| (at, offset)));
    }
    if edits.rpath.is_some() || edits.drop_runpath {
        let is_path = |entry: &Dyn| matches!(entry.d_tag, DT_RPATH | DT_RUNPATH);
        let place = entries.iter().position(is_path);
        entries.retain(|entry| !is_path(entry));
        if let Some(rpath) = &edits.rpath {
            let entry = Dyn { d_tag: DT_RPATH, d_val: strings.offset(rpath)?.into() };
            entries.insert(place.unwrap_or_else(|| behind_needed(&entries)), entry);
        }
    }
    for name in &edits.add_needed {
        let entry = Dyn { d_tag: DT_NEEDED, d_val: strings.offset(name)?.into() };
        entries.insert(behind_needed(&entries), entry);
    }

    for NewName { place, name } in renamed {
        names.push((*place, strings.offset(name)?));
    }

    let (entries, in_place, lost) = fit(entries, image.capacity);
    Ok(Plan { entries, in_place, new_strings: strings.new, names, lost })
}

/// The index after the last DT_NEEDED. ld.so ignores the order of entries, readers of `readelf -d` do.
fn behind_needed(entries: &[Dyn]) -> usize {
    entries.iter().rposition(|entry| entry.d_tag == DT_NEEDED).map_or(0, |place| place + 1)
}

/// The entries for the place of the old ones, without dispensable entries; or all of them, to be moved.
fn fit(entries: Vec<Dyn>, capacity: usize) -> (Vec<Dyn>, bool, Vec<GivenUp>) {
    if entries.len() <= capacity {
        return (entries, true, Vec::new());
    }
    let mut fewer = entries.clone();
    fewer.retain(|entry| entry.d_tag != DT_RELACOUNT);
    let lost = if fewer.len() < entries.len() { vec![GivenUp::RelativeCount] } else { Vec::new() };
    if fewer.len() > capacity && now_twice(&fewer) {
        fewer.retain(|entry| entry.d_tag != DT_FLAGS);
    }
    if fewer.len() <= capacity {
        (fewer, true, lost)
    } else {
        (entries, false, vec![GivenUp::DynamicInPlace])
    }
}

/// Whether DT_FLAGS repeats DT_FLAGS_1.
fn now_twice(entries: &[Dyn]) -> bool {
    let values = |tag| entries.iter().filter(move |entry| entry.d_tag == tag).map(|entry| entry.d_val);
    values(DT_FLAGS).all(|flags| flags == DF_BIND_NOW)
        && values(DT_FLAGS_1).next_back().is_some_and(|flags| flags & DF_1_NOW != 0)
}

/// The places of the `vn_file` values that name `name`.
fn version_files_named(image: &EditedFile, strings: &NewStrings, name: &str) -> Result<Vec<usize>, Refusal> {
    let mut places = Vec::new();
    let Some(mut address) = image.value(DT_VERNEED) else { return Ok(places) };
    // The table was read before, so it has an end.
    loop {
        let entry = image
            .file_range(address, 16)
            .ok_or(Refusal::Layout("its version needs are not in the file"))?
            .start;
        if strings.is(decode::<u32, _>(image.bytes, entry + 4).into(), name) {
            places.push(entry + 4);
        }
        match decode::<u32, _>(image.bytes, entry + 12) {
            0 => return Ok(places),
            next => address = address.saturating_add(next.into()),
        }
    }
}

/// The old string table, and the strings to be added after it.
struct NewStrings<'a> {
    old: &'a [u8],
    new: Vec<u8>,
}

impl NewStrings<'_> {
    /// Whether the string at an offset of the old table is `text`.
    fn is(&self, offset: u64, text: &str) -> bool {
        let tail = usize::try_from(offset).ok().and_then(|offset| self.old.get(offset..));
        tail.and_then(|tail| tail.strip_prefix(text.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The offset of `text`, which is added if it is not there yet. The end of a longer string is used, too.
    fn offset(&mut self, text: &str) -> Result<u32, Refusal> {
        let wanted = [text.as_bytes(), b"\0"].concat();
        let found = memchr::memmem::find(self.old, &wanted)
            .or_else(|| memchr::memmem::find(&self.new, &wanted).map(|at| self.old.len() + at));
        let at = found.unwrap_or_else(|| {
            if self.new.is_empty() && self.old.last() != Some(&0) {
                self.new.push(0);
            }
            let at = self.old.len() + self.new.len();
            self.new.extend(&wanted);
            at
        });
        // The fields in DT_VERNEED and the symbols have 32 bits.
        u32::try_from(at).map_err(|_| Refusal::Layout("its dynamic string table is larger than 4 GiB"))
    }
}
