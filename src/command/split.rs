//! The layer for libraries that several functions ship (`--split-layer`).

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::documents::{DocumentPaths, PackageIndex};
use super::results::Answered;
use super::write::{archive_report, say_written};
use crate::archive::{self, Content, Entry, Mode};
use crate::disk;
use crate::disk::bundle::{Commit, Writing, replace};
use crate::disk::stored::StoredFiles;
use crate::error::{Error, Result};
use crate::lambda::{Member, MemberContent};
use crate::layout::{BundleKind, Format, Layout};
use crate::plan::{Place, Shipped};
use crate::report::{self, ArchiveReport, Library, ProgramReport};
use crate::settings::{BundleSettings, Destination};
use crate::text;
use crate::ui::Ui;
use crate::workspace::Checkouts;

/// Returns the path of the layer: in `layers`, beside the directory of the first function's bundle. Placeholders of `-o`
/// tell functions apart, so that the directory before them is the one that all have.
pub(super) fn output(destination: &Destination, first: &Utf8Path, name: &str) -> Utf8PathBuf {
    let is_common = |directory: &&Utf8Path| !directory.as_str().contains('{');
    let parent = match destination.pattern.as_ref().filter(|pattern| pattern.as_str().contains('{')) {
        Some(pattern) => pattern.ancestors().skip(1).find(is_common),
        None => first.parent().and_then(Utf8Path::parent),
    };
    let file = match destination.format {
        Format::Zip => format!("{name}.zip"),
        Format::Dir => name.to_owned(),
    };
    parent.unwrap_or(Utf8Path::new(".")).join("layers").join(file)
}

/// The layer as its functions see it.
#[derive(Default)]
pub(super) struct Split {
    /// Its files as the functions will find them.
    pub members: Vec<Member>,
    /// The unzipped size of its files.
    pub unzipped_bytes: u64,
    /// Its files as they are written.
    entries: Vec<Entry>,
    /// Its libraries.
    libraries: Vec<Shipped>,
}

/// The layer to write.
pub(super) struct SplitLayer<'a> {
    pub name: &'a str,
    /// The path to write; `None` if the layer is only planned.
    pub output: Option<Utf8PathBuf>,
    pub writing: Writing<'a>,
    /// The paths of the documents about it.
    pub documents: DocumentPaths,
    /// The places from which no program is run.
    pub checkouts: Checkouts<'a>,
    pub settings: &'a BundleSettings,
    pub files: &'a StoredFiles,
    pub is_document: bool,
    pub ui: &'a Ui,
}

impl SplitLayer<'_> {
    /// Plans the layer.
    ///
    /// It contains each library that at least two functions ship to `lib/` unedited, as the same file under the same
    /// name. Libraries of one function, and edited ones, stay with their functions.
    ///
    /// # Errors
    ///
    /// If the libraries are for two architectures, or if one no longer exists.
    pub(super) fn plan(&self, plans: Vec<Vec<Shipped>>) -> Result<Split> {
        let shared = shared(plans);
        if shared.is_empty() {
            self.ui.status("Splitting", "nothing: the functions have no library to share");
            return Ok(Split::default());
        }
        let archs: Vec<_> = shared.iter().map(|library| library.facts.arch()).collect();
        if archs.iter().any(|arch| *arch != archs[0]) {
            return Err(Error::usage(
                "`--split-layer` would put libraries of two architectures into one layer",
            )
            .help("run it once for each `--target`"));
        }
        let layout = Layout::layer(BundleKind::Layer, archive::BOOTSTRAP, self.name);
        let mut entries = Vec::new();
        let mut members = Vec::new();
        for library in &shared {
            let entry_name = library.entry_name(&layout);
            // The target of a link may be in one function only.
            let target =
                library.link_to.as_ref().filter(|target| shared.iter().any(|other| other.name == **target));
            let (content, member) = match target {
                Some(target) => (Content::Link(target.clone()), MemberContent::Link(target.clone())),
                None => {
                    let stored = self.files.get(Utf8Path::new(&library.source))?;
                    (Content::Stored(stored), MemberContent::Object(library.facts.clone()))
                }
            };
            members.push(Member { path: layout.path(&entry_name), content: member });
            entries.push(Entry { name: entry_name, mode: Mode::Data, content });
        }
        archive::order(&mut entries);
        let unzipped_bytes = entries.iter().map(|entry| entry.content.n_bytes()).sum();
        Ok(Split { members, unzipped_bytes, entries, libraries: shared })
    }

    /// Writes the layer, if a function that was written needs it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn write(&self, split: &Split, programs: &[Answered]) -> Result<Option<ArchiveReport>> {
        let Some(output) = self.output.as_deref() else { return Ok(None) };
        let paths: BTreeSet<&str> = split.members.iter().map(|member| member.path.as_str()).collect();
        let is_layers =
            |library: &Library| library.lambda_path.as_deref().is_some_and(|path| paths.contains(path));
        let needs_it =
            |report: &ProgramReport| report.archive.is_some() && report.libraries.iter().any(is_layers);
        if !programs.iter().any(|answered| needs_it(&answered.report)) {
            if disk::FileId::of(output).is_some() {
                let why = "an earlier run wrote it, and no function of this one needs it";
                self.ui.status("Leaving", &format!("{output}: {why}"));
            }
            return Ok(None);
        }
        let (_, written) = replace(output, &split.entries, &self.writing, None, |_| Ok(Commit::Placed))?;
        let names: Vec<&str> = split.libraries.iter().map(|library| library.name.as_str()).collect();
        let size = written.as_ref().map(|written| format!("; {} zipped", text::size(written.zipped_bytes)));
        let size = size.unwrap_or_default();
        self.ui.status("Splitting", &format!("{output}: {}{size}", names.join(", ")));
        let archive = archive_report(output, BundleKind::Layer, &split.entries, written);
        self.document(split, programs)?;
        say_written(&archive, self.is_document, self.ui);
        Ok(Some(archive))
    }

    /// Writes the requested documents about the layer.
    fn document(&self, split: &Split, programs: &[Answered]) -> Result<()> {
        if !self.documents.any() {
            return Ok(());
        }
        let index = PackageIndex::of(self.settings, &split.libraries, &self.checkouts);
        let layout = Layout::layer(BundleKind::Layer, archive::BOOTSTRAP, self.name);
        let parts = index.parts(&[], &split.entries, &split.libraries, &layout)?;
        let mut libraries = Vec::new();
        for answered in programs {
            report::add_libraries(&mut libraries, answered.report.libraries.clone());
        }
        self.documents.write(&index, &libraries, &parts, self.settings.epoch)
    }
}

/// Returns what at least two functions ship to `lib/` unedited, as the same bytes under the same name. A name for which
/// a function ships other bytes stays with the functions: that one would find the layer's file instead of its own.
fn shared(plans: Vec<Vec<Shipped>>) -> Vec<Shipped> {
    let mut counts: BTreeMap<String, (Shipped, usize)> = BTreeMap::new();
    let mut split: BTreeSet<String> = BTreeSet::new();
    for library in plans.into_iter().flatten() {
        let is_like = |known: &Shipped| {
            known.source == library.source
                || !disk::differ(Utf8Path::new(&known.source), Utf8Path::new(&library.source))
        };
        if library.place != Place::Lib || library.edits.is_some() {
            split.insert(library.name);
            continue;
        }
        match counts.get_mut(&library.name) {
            Some((known, count)) if is_like(known) => *count += 1,
            Some(_) => _ = split.insert(library.name),
            None => _ = counts.insert(library.name.clone(), (library, 1)),
        }
    }
    counts.retain(|name, (_, count)| *count > 1 && !split.contains(name));
    counts.into_values().map(|(library, _)| library).collect()
}
