//! The entries of an archive: every file copied, stripped if asked, edited as the plan says.

use std::sync::Arc;

use camino::Utf8Path;

use super::copies::Copies;
use super::included::Other;
use crate::archive::{self, Content, Entry, Mode};
use crate::audit;
use crate::audit::Finding;
use crate::error::Result;
use crate::include::Included;
use crate::layout::Layout;
use crate::plan::BundlePlan;
use crate::repair::{self, Edits};
use crate::report;

/// What goes into an archive.
pub(super) struct Contents {
    /// The entries, in their order.
    pub entries: Vec<Entry>,
    /// What was edited.
    pub edits: Vec<report::Edit>,
    /// What could not be.
    pub findings: Vec<Finding>,
}

/// The entries of a plan for a program, which is called `name` in messages.
///
/// # Errors
///
/// A file is gone, or `strip` failed on one.
pub(super) fn contents(
    plan: &BundlePlan,
    layout: &Layout,
    (name, program): (&str, &Utf8Path),
    included: (&[Included], &[Other]),
    copies: &mut Copies,
) -> Result<Contents> {
    let mut contents = Contents { entries: Vec::new(), edits: Vec::new(), findings: Vec::new() };
    let program = contents.edited(Original {
        content: copies.content(program, name)?,
        edits: plan.program_edits.as_ref(),
        entry_name: &layout.program,
        name,
    })?;
    contents.add(&layout.program, Mode::Executable, program);
    for library in &plan.shipped {
        let entry_name = library.entry_name(layout);
        let content = match &library.link_to {
            Some(target) => Content::Link(target.clone()),
            None => contents.edited(Original {
                content: copies.content(Utf8Path::new(&library.source), &library.name)?,
                edits: library.edits.as_ref(),
                entry_name: &entry_name,
                name: &library.name,
            })?,
        };
        let mode = if library.is_interpreter { Mode::Executable } else { Mode::Data };
        contents.add(&entry_name, mode, content);
    }
    if let (Some(name), Some(arch)) = (&plan.compat, plan.program.arch()) {
        contents.add(name, Mode::Data, Content::File(Arc::new(repair::compat_object(arch))));
    }
    let (included, others) = included;
    for file in included {
        let edits = others.iter().find_map(|other| other.edits().filter(|(name, _)| *name == file.name));
        let content = contents.edited(Original {
            content: file.content.clone(),
            edits: edits.map(|(_, edits)| edits),
            entry_name: &file.name,
            name: &file.name,
        })?;
        contents.add(&file.name, file.mode, content);
    }
    archive::order(&mut contents.entries);
    Ok(contents)
}

impl Contents {
    fn add(&mut self, name: &str, mode: Mode, content: Content) {
        self.entries.push(Entry { name: name.to_owned(), mode, content });
    }

    /// The content after its edits; as it is, with a finding, where it cannot be edited.
    fn edited(&mut self, original: Original) -> Result<Content> {
        let Some(edits) = original.edits else { return Ok(original.content) };
        let bytes = original.content.read(0..original.content.n_bytes())?;
        Ok(match repair::edit(&bytes, edits) {
            Ok(edited) => {
                self.edits.push(report::Edit::new(original.entry_name, edits, &edited.lost));
                Content::File(Arc::new(edited.bytes))
            }
            Err(refusal) => {
                self.findings.push(audit::not_editable(original.name, edits, &refusal));
                original.content
            }
        })
    }
}

/// A file before its edits.
struct Original<'a> {
    content: Content,
    edits: Option<&'a Edits>,
    /// Its name in the archive.
    entry_name: &'a str,
    /// Its name in messages.
    name: &'a str,
}
