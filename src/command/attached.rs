//! Layers that are attached to a function: what they hold, merged as Lambda merges them.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::proof::{LayerFile, Seen, layer_files, own_members};
use super::unreadable;
use crate::archive::{self, Limits};
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::Member;
use crate::layout::{BundleKind, MOST_LAYERS};
use crate::ui::Ui;

/// What the attached layers hold in /opt.
#[derive(Default, Clone)]
pub(super) struct Attached {
    /// Their files; of two with one path, the later layer's.
    pub members: Vec<Member>,
    /// The paths of these.
    pub paths: BTreeSet<String>,
    /// Their files, as the kernel starts them, by path.
    pub files: BTreeMap<String, LayerFile>,
    /// What they count towards Lambda's limit.
    pub unzipped_bytes: u64,
}

impl Attached {
    /// Reads the layers in the order in which they are attached.
    ///
    /// # Errors
    ///
    /// More than five, and one that cannot be read.
    pub fn read(layers: &[Utf8PathBuf], ui: &Ui) -> Result<Attached> {
        if layers.len() > MOST_LAYERS {
            return Err(Error::usage(format!(
                "{} layers are attached, and Lambda takes {MOST_LAYERS}",
                layers.len()
            ))
            .help("merge some of them into one"));
        }
        let mut members: BTreeMap<String, (Member, &Utf8PathBuf)> = BTreeMap::new();
        let mut attached = Attached::default();
        let mut unzipped_bytes = 0;
        for layer in layers {
            let (mut file, _) = disk::open(layer).map_err(|error| unreadable(error, "name a layer's ZIP"))?;
            let see = |_, bytes| Seen::of_layer(bytes);
            let read = archive::read_each(layer.as_str(), vec![&mut file], &Limits::default(), see)
                .map_err(|error| error.or_help("name a whole ZIP archive"))?;
            unzipped_bytes += read.unzipped_bytes;
            attached.files.extend(layer_files(&read));
            for member in own_members(&read, BundleKind::Layer) {
                let path = member.path.clone();
                if let Some((_, other)) = members.insert(path.clone(), (member, layer)) {
                    ui.status("Merging", &format!("{path} of {layer} wins over that of {other}"));
                }
            }
        }
        attached.add(members.into_values().map(|(member, _)| member).collect(), unzipped_bytes);
        Ok(attached)
    }

    /// Adds the files of a layer, and what they count.
    pub fn add(&mut self, members: Vec<Member>, unzipped_bytes: u64) {
        self.paths.extend(members.iter().map(|member| member.path.clone()));
        self.members.extend(members);
        self.unzipped_bytes += unzipped_bytes;
    }
}
