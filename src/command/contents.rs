//! The entries of an archive: every file copied, stripped if asked, edited as the plan says.

use std::sync::Arc;

use camino::Utf8Path;

use super::copies::Copies;
use super::included::Other;
use crate::archive::{self, Content, Entry, Mode};
use crate::audit::{Code, Finding};
use crate::disk;
use crate::error::Result;
use crate::include::Included;
use crate::layout::Layout;
use crate::plan::BundlePlan;
use crate::repair::{self, Edits, Refusal};
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
    (name, program): (&str, Arc<Vec<u8>>),
    included: (&[Included], &[Other]),
    copies: &mut Copies,
) -> Result<Contents> {
    let mut contents = Contents { entries: Vec::new(), edits: Vec::new(), findings: Vec::new() };
    let mut program_name = layout.program.clone();
    if let Some(script) = &plan.script {
        let text = Arc::new(script.text().into_bytes());
        contents.add(&program_name, Mode::Executable, Content::File(text));
        program_name = layout.scripted_program();
    }
    let program = copies.copy(program, name)?;
    let program = contents.edited(program, plan.program_edits.as_ref(), &program_name, name);
    contents.add(&program_name, Mode::Executable, Content::File(program));
    for library in &plan.shipped {
        let entry_name = library.entry_name(layout);
        let content = match &library.link_to {
            Some(target) => Content::Link(target.clone()),
            None => {
                let bytes = Arc::new(disk::read(Utf8Path::new(&library.source))?);
                let bytes = copies.copy(bytes, &library.name)?;
                Content::File(contents.edited(bytes, library.edits.as_ref(), &entry_name, &library.name))
            }
        };
        let mode = if library.is_interpreter { Mode::Executable } else { Mode::Data };
        contents.add(&entry_name, mode, content);
    }
    let (included, others) = included;
    for file in included {
        let edits = others.iter().find_map(|other| other.edits().filter(|(name, _)| *name == file.name));
        let content = match &file.content {
            Content::File(bytes) => Content::File(contents.edited(
                bytes.clone(),
                edits.map(|(_, edits)| edits),
                &file.name,
                &file.name,
            )),
            Content::Link(target) => Content::Link(target.clone()),
        };
        contents.add(&file.name, file.mode, content);
    }
    archive::order(&mut contents.entries);
    Ok(contents)
}

impl Contents {
    fn add(&mut self, name: &str, mode: Mode, content: Content) {
        self.entries.push(Entry { name: name.to_owned(), mode, content });
    }

    /// The bytes after their edits; as they are, with a finding, where they cannot be edited.
    fn edited(
        &mut self,
        bytes: Arc<Vec<u8>>,
        edits: Option<&Edits>,
        entry_name: &str,
        name: &str,
    ) -> Arc<Vec<u8>> {
        let Some(edits) = edits else { return bytes };
        match repair::edit(&bytes, edits) {
            Ok(edited) => {
                self.edits.push(report::Edit::new(entry_name, edits, &edited.lost));
                Arc::new(edited.bytes)
            }
            Err(refusal) => {
                self.findings.push(not_editable(name, &refusal));
                bytes
            }
        }
    }
}

fn not_editable(name: &str, refusal: &Refusal) -> Finding {
    let message = format!(
        "`{name}` must be edited so that the bundle's libraries load first, and cannot be: {refusal}"
    );
    Finding::new(Code::NotEditable, name, message).help(
        "link it again with another linker (`-C link-arg=-fuse-ld=bfd`), or start it through a script: `--repair script`",
    )
}

/// The bytes that an entry takes when it is unpacked.
pub(super) fn entry_size(entry: &Entry) -> u64 {
    content_size(&entry.content)
}

/// The bytes that a content takes.
pub(super) fn content_size(content: &Content) -> u64 {
    match content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Link(target) => target.len() as u64,
    }
}
