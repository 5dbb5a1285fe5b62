//! The entries of an archive: every file copied, stripped on request, and edited as planned.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::job::ProgramJob;
use super::parts::{ArchiveProgram, LibraryUsers};
use super::programs::ProgramInput;
use crate::archive::{self, Content, Entry, Mode};
use crate::audit::{self, Finding};
use crate::disk;
use crate::error::Result;
use crate::paths::file_name;
use crate::plan::{BundlePlan, Planned, Shipped};
use crate::repair::{self, Edits};
use crate::report;
use crate::tools::strip;

/// The entries of an archive, and what happened to them.
#[derive(Default)]
pub(super) struct Entries {
    /// The entries, in their order.
    pub entries: Vec<Entry>,
    /// The edits that were made.
    pub edits: Vec<report::Edit>,
    /// Findings about files that could not be edited.
    pub refusals: Vec<Finding>,
    /// The stripped debug symbols, each with the path to write them to.
    pub debug_files: Vec<(Utf8PathBuf, Vec<u8>)>,
}

/// Makes the entries of a planned bundle.
///
/// # Errors
///
/// If a file no longer exists, or if `strip` fails.
pub(super) fn entries(
    job: &ProgramJob,
    input: &ProgramInput,
    parts: &[ArchiveProgram],
    planned: &Planned,
) -> Result<Entries> {
    let mut entries = Entries::default();
    let Planned { plan, included } = planned;
    let layout = &job.layout;
    let program = Original {
        content: entries.copy(&parts[0], &input.path, &input.program.name)?,
        edits: plan.program_edits.as_ref(),
        entry_name: &layout.program,
        name: &input.program.name,
    };
    entries.add_edited(program, Mode::Executable)?;
    let users = LibraryUsers::new(parts, input, planned);
    for library in &plan.shipped {
        entries.add_library(job, users.of(library), library)?;
    }
    entries.add_compat(plan);
    for file in &input.included {
        let planned =
            included.iter().find(|planned| planned.name() == file.name && planned.edits().is_some());
        let part = parts.iter().find(|part| part.at > 0 && part.entry_name == file.name);
        let original = Original {
            content: match part {
                Some(part) => entries.copy(part, &part.input.path, part.name())?,
                None => file.content.clone(),
            },
            edits: planned.and_then(|planned| planned.edits()),
            entry_name: &file.name,
            name: &file.name,
        };
        entries.add_edited(original, file.mode)?;
    }
    archive::order(&mut entries.entries);
    if job.bundle.libraries_only {
        entries.entries.retain(|entry| !parts.iter().any(|part| part.entry_name == entry.name));
    }
    Ok(entries)
}

impl Entries {
    fn add(&mut self, name: &str, mode: Mode, content: Content) {
        self.entries.push(Entry { name: name.to_owned(), mode, content });
    }

    fn add_library(&mut self, job: &ProgramJob, user: &ArchiveProgram, library: &Shipped) -> Result<()> {
        let entry_name = library.entry_name(&job.layout);
        let mode = if library.is_interpreter { Mode::Executable } else { Mode::Data };
        if let Some(target) = &library.link_to {
            self.add(&entry_name, mode, Content::Link(target.clone()));
            return Ok(());
        }
        let content = self.copy(user, Utf8Path::new(&library.source), &library.name)?;
        let edits = library.edits.as_ref();
        self.add_edited(Original { content, edits, entry_name: &entry_name, name: &library.name }, mode)
    }

    fn add_compat(&mut self, plan: &BundlePlan) {
        if let (Some(name), Some(arch)) = (&plan.compat, plan.program.arch()) {
            self.add(name, Mode::Data, Content::File(Arc::new(repair::compat_object(arch))));
        }
    }

    /// Adds a file after its edits. If it cannot be edited, it is added unchanged, with a finding.
    fn add_edited(&mut self, original: Original, mode: Mode) -> Result<()> {
        let Original { mut content, edits, entry_name, name } = original;
        if let Some(edits) = edits {
            match repair::edit(&content.read(0..content.n_bytes())?, edits) {
                Ok(edited) => {
                    self.edits.push(report::Edit::new(entry_name, edits, &edited.lost));
                    content = Content::File(Arc::new(edited.bytes));
                }
                Err(refusal) => self.refusals.push(audit::not_editable(name, edits, &refusal)),
            }
        }
        self.add(entry_name, mode, content);
        Ok(())
    }

    /// Reads the file at `path`, before any edit. Whether it is stripped is a setting of the program.
    fn copy(&mut self, part: &ArchiveProgram, path: &Utf8Path, name: &str) -> Result<Content> {
        let ArchiveProgram { job, input, .. } = part;
        if !job.bundle.strip {
            return job.files.get(path).map(Content::Stored);
        }
        let bytes = disk::read(path)?;
        let debug_file = input.debug_symbols.as_ref().map(|_| format!("{}.debug", file_name(name)));
        let checkouts = input.program.checkouts(job.context);
        let Some(stripped) = strip::strip(&bytes, name, debug_file.as_deref(), &checkouts)? else {
            return Ok(Content::File(Arc::new(bytes)));
        };
        if let (Some(directory), Some(file), Some(debug)) = (&input.debug_symbols, debug_file, stripped.debug)
        {
            self.debug_files.push((directory.join(file), debug));
        }
        Ok(Content::File(Arc::new(stripped.bytes)))
    }

    /// The unzipped size of the entries.
    pub fn n_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.content.n_bytes()).sum()
    }

    /// Writes the debug symbols to their paths.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write_debug_files(&self) -> Result<()> {
        for (path, bytes) in &self.debug_files {
            disk::write::replace_with(path, bytes)
                .map_err(|error| error.help("name a writable directory with `--debug-symbols <DIR>`"))?;
        }
        Ok(())
    }
}

/// A file before its edits.
struct Original<'a> {
    content: Content,
    edits: Option<&'a Edits>,
    /// The name in the archive.
    entry_name: &'a str,
    /// The name in messages.
    name: &'a str,
}
