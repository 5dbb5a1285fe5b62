//! The entries of an archive: every file copied, stripped if asked, edited as the plan says.

use std::sync::Arc;

use camino::Utf8Path;

use super::copies::Copies;
use super::included::Other;
use crate::archive::{self, Content, Entry, Mode};
use crate::audit::{Code, Finding};
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
    (name, program): (&str, &Utf8Path),
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
    let program = copies.content(program, name)?;
    let program = contents.edited(program, plan.program_edits.as_ref(), &program_name, name)?;
    contents.add(&program_name, Mode::Executable, program);
    for library in &plan.shipped {
        let entry_name = library.entry_name(layout);
        let content = match &library.link_to {
            Some(target) => Content::Link(target.clone()),
            None => contents.edited(
                copies.content(Utf8Path::new(&library.source), &library.name)?,
                library.edits.as_ref(),
                &entry_name,
                &library.name,
            )?,
        };
        let mode = if library.is_interpreter { Mode::Executable } else { Mode::Data };
        contents.add(&entry_name, mode, content);
    }
    let (included, others) = included;
    for file in included {
        let edits = others.iter().find_map(|other| other.edits().filter(|(name, _)| *name == file.name));
        let edits = edits.map(|(_, edits)| edits);
        let content = contents.edited(file.content.clone(), edits, &file.name, &file.name)?;
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
    fn edited(
        &mut self,
        content: Content,
        edits: Option<&Edits>,
        entry_name: &str,
        name: &str,
    ) -> Result<Content> {
        let Some(edits) = edits else { return Ok(content) };
        let edited = repair::edit(&content.read(0..content.n_bytes())?, edits);
        Ok(match edited {
            Ok(edited) => {
                self.edits.push(report::Edit::new(entry_name, edits, &edited.lost));
                Content::File(Arc::new(edited.bytes))
            }
            Err(refusal) => {
                self.findings.push(not_editable(name, &refusal));
                content
            }
        })
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
