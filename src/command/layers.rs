//! Reads the layers that are attached to a function.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::archive::{self, Limits, ReadArchive};
use crate::disk;
use crate::disk::program::unreadable;
use crate::error::{Error, Result};
use crate::lambda::Member;
use crate::layout::{BundleKind, MOST_LAYERS};
use crate::proof::{Attached, UnpackedFile, layer_files, own_members};
use crate::report::{Library, LibrarySource};
use crate::ui::Ui;

/// Reads the layers in their order.
///
/// # Errors
///
/// If there are more than five, or if one cannot be read.
pub(super) fn read(layers: &[Utf8PathBuf], ui: &Ui) -> Result<Attached> {
    if layers.len() > MOST_LAYERS {
        return Err(Error::usage(format!(
            "{} layers are attached, but Lambda allows {MOST_LAYERS}",
            layers.len()
        ))
        .help("merge some of them into one"));
    }
    let mut members: BTreeMap<String, (Member, &Utf8PathBuf)> = BTreeMap::new();
    let mut attached = Attached::default();
    let mut unzipped_bytes = 0;
    for layer in layers {
        let read = unpack(layer)?;
        unzipped_bytes += read.unzipped_bytes;
        attached.files.extend(layer_files(&read));
        let digests = read.entries.iter().filter_map(|entry| {
            let digest = entry.content.as_ref()?.sha256.clone()?;
            Some((format!("{}/{}", BundleKind::Layer.root(), entry.name), digest))
        });
        attached.digests.extend(digests);
        for member in own_members(&read, BundleKind::Layer) {
            let path = member.path.clone();
            if let Some((_, other)) = members.insert(path.clone(), (member, layer)) {
                ui.status("Merging", &format!("{path} of {layer} wins over that of {other}"));
            }
        }
    }
    let of_layer = |(path, (_, layer)): (&String, &(Member, &Utf8PathBuf))| (path.clone(), layer.to_string());
    attached.layers = members.iter().map(of_layer).collect();
    attached.add(members.into_values().map(|(member, _)| member).collect(), unzipped_bytes);
    Ok(attached)
}

/// Returns the layers that have libraries of a program, without which it does not start. `path` is its own on Lambda.
pub(super) fn needed(libraries: &[Library], path: &str, attached: &Attached) -> Vec<String> {
    let of_layers = libraries.iter().filter(|library| library.from == LibrarySource::Layer);
    let paths = of_layers.filter_map(|library| library.lambda_path.as_deref()).chain([path]);
    let layers: BTreeSet<&String> = paths.filter_map(|path| attached.layers.get(path)).collect();
    layers.into_iter().cloned().collect()
}

/// Describes these layers for a line of text, after a blank; nothing if there are none.
pub(super) fn attached_words(layers: &[String], current_dir: &Utf8Path) -> String {
    let shown = |layer: &String| {
        let path = Utf8Path::new(layer);
        path.strip_prefix(current_dir).unwrap_or(path).to_string()
    };
    match layers {
        [] => String::new(),
        layers => format!(" with {} attached", layers.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

/// Reads the ZIP or the directory of a layer.
fn unpack(layer: &Utf8Path) -> Result<ReadArchive<UnpackedFile>> {
    if disk::is_directory(layer) {
        let read = disk::directory::read(layer, &Limits::default(), UnpackedFile::of_layer);
        return read.map_err(|error| unreadable(error, "name a layer's ZIP or directory"));
    }
    let (mut file, _) = disk::open(layer).map_err(|error| unreadable(error, "name a layer's ZIP"))?;
    let see = |_, bytes| UnpackedFile::of_layer(bytes);
    archive::read_each(layer.as_str(), vec![&mut file], &Limits::default(), see)
        .map_err(|error| error.or_help("name a complete ZIP archive"))
}
