//! Layers that are attached to a function: what they hold, merged as Lambda merges them.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::proof::own_members;
use super::unreadable;
use crate::archive::{self, Limits};
use crate::disk;
use crate::error::{Error, Result};
use crate::lambda::Member;
use crate::layout::BundleKind;
use crate::ui::Ui;

/// What the attached layers hold in /opt.
#[derive(Default, Clone)]
pub(super) struct Attached {
    /// Their files; of two with one path, the later layer's.
    pub members: Vec<Member>,
    /// The paths of these.
    pub paths: BTreeSet<String>,
    /// What they count towards Lambda's limit.
    pub unzipped_bytes: u64,
}

/// Lambda attaches at most so many layers to a function.
const MOST_LAYERS: usize = 5;

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
        for layer in layers {
            let (mut file, _) = disk::open(layer).map_err(|error| unreadable(error, "name a layer's ZIP"))?;
            let read = archive::read(layer.as_str(), &mut file, &Limits::default())
                .map_err(|error| error.or_help("name a whole ZIP archive"))?;
            attached.unzipped_bytes += read.unzipped_bytes;
            for member in own_members(&read, BundleKind::Layer) {
                let path = member.path.clone();
                if let Some((_, other)) = members.insert(path.clone(), (member, layer)) {
                    ui.status("Merging", &format!("{path} of {layer} wins over that of {other}"));
                }
            }
        }
        attached.add(members.into_values().map(|(member, _)| member));
        Ok(attached)
    }

    /// Adds files of a layer.
    pub fn add(&mut self, members: impl IntoIterator<Item = Member>) {
        for member in members {
            self.paths.insert(member.path.clone());
            self.members.push(member);
        }
    }
}
