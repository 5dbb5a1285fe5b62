//! The check that a bundle has one file for each path.

use std::collections::BTreeMap;

use super::BundlePlan;
use crate::error::{Error, Result};
use crate::include::Included;
use crate::layout::Layout;

/// Checks that no two files of a bundle have the same path, and that no path is both a file and a directory.
///
/// # Errors
///
/// If two files do; the message names both.
pub fn check_names(program: &str, plan: &BundlePlan, layout: &Layout, included: &[Included]) -> Result<()> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let ours =
        plan.shipped.iter().map(|library| (library.entry_name(layout), format!("`{}`", library.source)));
    let bootstrap = (layout.program.clone(), format!("`{program}`"));
    let others = included
        .iter()
        .map(|file| (file.name.clone(), format!("`{}` (of `--include {}`)", file.source, file.by)));
    for (name, source) in [bootstrap].into_iter().chain(ours).chain(others) {
        if let Some(other) = sources.get(&name) {
            return Err(Error::new(format!(
                "two files would be `{name}` in the archive: {other} and {source}"
            ))
            .help("give one of them another place, or leave it out with `exclude`"));
        }
        sources.insert(name, source);
    }
    for (name, source) in &sources {
        let mut parents = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some((parent, other)) = parents.find_map(|parent| sources.get_key_value(parent)) {
            return Err(Error::new(format!(
                "`{parent}` would be a file and a directory in the archive: {other} and {source}"
            ))
            .help("give one of them another place"));
        }
    }
    Ok(())
}
