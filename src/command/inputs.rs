//! Refuses outputs that would overwrite an input of the run.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::programs::{ProgramInput, settings_of};
use crate::disk;
use crate::error::{Error, Result};
use crate::settings::{Packages, Settings};

/// A path that will be written: a file, or a directory with `--dir`.
pub(super) struct OutputPlace<'a> {
    pub path: Cow<'a, Utf8Path>,
    /// The flag that names another path.
    pub flag: &'static str,
}

/// Returns the paths of a program's bundle and of the documents about it.
pub(super) fn places<'a>(input: &'a ProgramInput<'a>) -> impl Iterator<Item = OutputPlace<'a>> {
    let documents = [input].into_iter().chain(input.others.iter().map(|other| &other.input));
    let documents = documents.flat_map(|input| {
        [(&input.documents.sbom, "--sbom <FILE>"), (&input.documents.licenses, "--licenses <FILE>")]
    });
    let documents =
        documents.filter_map(|(path, flag)| Some(OutputPlace { path: path.as_deref()?.into(), flag }));
    bundle_places(input).into_iter().map(|path| OutputPlace { path, flag: "-o <FILE>" }).chain(documents)
}

/// Returns the bundle's path, or the paths of the libraries that join a directory's other files.
fn bundle_places<'a>(input: &'a ProgramInput<'a>) -> Vec<Cow<'a, Utf8Path>> {
    let Some(output) = input.output.as_deref() else { return Vec::new() };
    match input.joins {
        true => ["lib", "lambda-bundle"].map(|directory| output.join(directory).into()).to_vec(),
        false => vec![output.into()],
    }
}

/// Returns the named files that a program's bundle is made of, without its libraries.
pub(super) fn named<'a>(
    input: &'a ProgramInput<'a>,
    settings: &'a Settings,
) -> impl Iterator<Item = &'a Utf8Path> {
    let programs = input.programs().map(|program| &program.path);
    let files = input.included.iter().map(|file| &file.source);
    let layers = settings.bundle.attached_layers.iter();
    programs.chain(files).chain(layers).chain(&settings.target.baseline).map(Utf8PathBuf::as_path)
}

/// The files that are read. They are looked up once, and only if something exists at an output path.
pub(super) struct Inputs<'a> {
    paths: Vec<&'a Utf8Path>,
    by_id: OnceCell<BTreeMap<disk::FileId, &'a Utf8Path>>,
    /// The files by their paths with all links followed.
    by_path: OnceCell<BTreeMap<Utf8PathBuf, &'a Utf8Path>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(paths: impl Iterator<Item = &'a Utf8Path>) -> Inputs<'a> {
        Inputs { paths: paths.collect(), by_id: OnceCell::new(), by_path: OnceCell::new() }
    }

    /// Refuses an output that is an input by any path or link, or a directory that contains one.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(super) fn check(&self, place: &OutputPlace) -> Result<()> {
        match self.at(&place.path) {
            None => Ok(()),
            Some(input) => Err(Error::usage(format!(
                "`{}` would overwrite `{input}`, which is part of the bundle",
                place.path
            ))
            .help(format!("name another path with `{}`", place.flag))),
        }
    }

    fn at(&self, path: &Utf8Path) -> Option<&'a Utf8Path> {
        // A path where nothing exists overwrites nothing.
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
        // Paths are ordered by component: what is below a directory follows it.
        let (input, named) = by_path.range(directory.clone()..).next()?;
        input.starts_with(&directory).then_some(*named)
    }
}

/// Returns the named files of all these programs.
pub(super) fn of_all<'a>(
    programs: impl Iterator<Item = &'a ProgramInput<'a>>,
    packages: &'a Packages,
) -> Inputs<'a> {
    Inputs::new(programs.flat_map(|input| named(input, settings_of(packages, &input.program))))
}
