//! What a run reads, which nothing that it writes may replace.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::programs::{ProgramInput, settings_of};
use crate::disk;
use crate::error::{Error, Result};
use crate::settings::{Packages, Settings};

/// A file, or with `--format dir` a directory, that will be written.
pub(super) struct OutputPlace<'a> {
    pub path: &'a Utf8Path,
    /// The flag that names another one.
    pub flag: &'static str,
}

/// Where the bundle of a program and the documents about it go.
pub(super) fn places(input: &ProgramInput) -> impl Iterator<Item = OutputPlace<'_>> {
    let all = [
        (&input.output, "-o <FILE>"),
        (&input.documents.sbom, "--sbom <FILE>"),
        (&input.documents.licenses, "--licenses <FILE>"),
    ];
    all.into_iter().filter_map(|(path, flag)| Some(OutputPlace { path: path.as_deref()?, flag }))
}

/// The files that a program's bundle is made of and that were named, but for its libraries.
pub(super) fn named<'a>(
    input: &'a ProgramInput,
    settings: &'a Settings,
) -> impl Iterator<Item = &'a Utf8Path> {
    let programs = input.others.iter().chain([&input.program]).map(|program| &program.path);
    let files = input.included.iter().map(|file| &file.source);
    let layers = settings.bundle.attached_layers.iter();
    programs.chain(files).chain(layers).chain(&settings.target.baseline).map(Utf8PathBuf::as_path)
}

/// Files that are read. Each is looked at once, and only where something is at a place that will be written.
pub(super) struct Inputs<'a> {
    paths: Vec<&'a Utf8Path>,
    by_id: OnceCell<BTreeMap<disk::FileId, &'a Utf8Path>>,
    /// By the path with all links followed.
    by_path: OnceCell<BTreeMap<Utf8PathBuf, &'a Utf8Path>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(paths: impl Iterator<Item = &'a Utf8Path>) -> Inputs<'a> {
        Inputs { paths: paths.collect(), by_id: OnceCell::new(), by_path: OnceCell::new() }
    }

    /// Refuses a place that is one of the files, by whatever path and through links, or a directory that has one.
    ///
    /// # Errors
    ///
    /// It is.
    pub(super) fn check(&self, place: &OutputPlace) -> Result<()> {
        match self.at(place.path) {
            None => Ok(()),
            Some(input) => Err(Error::usage(format!(
                "`{}` would be written in the place of `{input}`, which the bundle is made of",
                place.path
            ))
            .help(format!("name another one: `{}`", place.flag))),
        }
    }

    fn at(&self, path: &Utf8Path) -> Option<&'a Utf8Path> {
        // What is not there cannot be lost.
        let found = disk::FileId::of(path)?;
        if !disk::is_directory(path) {
            let id = |path: &&'a Utf8Path| Some((disk::FileId::of(path)?, *path));
            return self
                .by_id
                .get_or_init(|| self.paths.iter().filter_map(id).collect())
                .get(&found)
                .copied();
        }
        let directory = disk::canonicalize(path).ok()?;
        let real = |path: &&'a Utf8Path| Some((disk::canonicalize(path).ok()?, *path));
        let by_path = self.by_path.get_or_init(|| self.paths.iter().filter_map(real).collect());
        // Paths are in the order of their parts: what is below a directory follows it.
        let (input, named) = by_path.range(directory.clone()..).next()?;
        input.starts_with(&directory).then_some(*named)
    }
}

/// All named files of these programs.
pub(super) fn of_all<'a>(
    programs: impl Iterator<Item = &'a ProgramInput>,
    packages: &'a Packages,
) -> Inputs<'a> {
    Inputs::new(programs.flat_map(|input| named(input, settings_of(packages, &input.program))))
}
