//! Bundle and check: all programs, in parallel.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::confined;
use super::documents::DocumentPaths;
use super::inputs::{self, Inputs, OutputPlace};
use super::job::ProgramJob;
use super::layers;
use super::parts::check_together;
use super::place::layout;
use super::programs::{
    FoundPrograms, OtherProgram, Program, ProgramInput, layer_documents, load, programs, say_whose,
    settings_of,
};
use super::results::Results;
use super::runtime::{Baselines, say_unused};
use super::split::{self, Split, SplitLayer};
use super::summary::{self, SummaryLine};
use super::write::writing;
use crate::archive::Content;
use crate::disk;
use crate::disk::build_world::Objects;
use crate::disk::stored::StoredFiles;
use crate::error::{Error, Result};
use crate::layout::{BundleKind, Layout};
use crate::parallel;
use crate::proof::Attached;
use crate::settings::{BundleSettings, Context, Packages, Purpose, Settings};
use crate::ui::Ui;
use crate::workspace::Checkouts;

/// A selected program: what was read of it, or the error.
struct Selected<'a> {
    name: String,
    settings: &'a Settings,
    input: Result<ProgramInput<'a>>,
}

/// Bundles or checks all programs of the packages.
///
/// # Errors
///
/// If no program gets a result, or if there is only one program and it gets none.
pub(super) fn run(packages: &Packages, context: &Context, ui: &Ui, results: &mut Results) -> Result<()> {
    // The process ends with this run: what holds many small things to its end is not taken apart.
    let baselines = Baselines::read(packages.iter().map(|package| &package.settings.target), context.now)?;
    let baselines = ManuallyDrop::new(baselines);
    for package in packages.iter() {
        check_directories(&package.settings.bundle)?;
        say_whose(package, ui);
    }
    say_unused(packages.iter().map(|package| &package.settings.target), ui);
    let files = StoredFiles::default();
    let FoundPrograms { programs, mut failures } = programs(packages, &baselines)?;
    if programs.is_empty() && failures.len() == 1 {
        return Err(failures.remove(0).error);
    }
    let mut unfound = Vec::new();
    for failure in failures {
        ui.error(&failure.error);
        results.errors.push(failure.error);
        unfound.extend(failure.names.iter().map(|name| SummaryLine::unanswered(name)));
    }
    let mut selected = select(programs, packages, context);
    let is_one = selected.len() == 1 && unfound.is_empty();
    selected = together(selected, packages, &files)?;
    let read = || selected.iter().filter_map(|one| one.input.as_ref().ok());
    check_outputs(read())?;
    for input in read() {
        confined::check(input, &settings_of(packages, &input.program).bundle, context)?;
        for other in &input.others {
            confined::check(&other.input, &other.settings.bundle, context)?;
        }
    }
    let inputs = inputs::of_all(read(), packages);
    for place in read().flat_map(inputs::places) {
        inputs.check(&place)?;
    }
    let objects = ManuallyDrop::new(Arc::new(Objects::default()));
    let mut shared = Shared {
        baselines: &baselines,
        attached: attached_layers(packages, ui)?,
        context,
        files: &files,
        objects: &objects,
        threads: context.threads,
        is_one,
    };
    let bundle = &packages.shared().bundle;
    let split = match &bundle.split_layer {
        Some(name) => Some(shared.split(name, packages, &selected, &inputs, ui)?),
        None => None,
    };
    drop(inputs);
    if is_one {
        selected.into_iter().try_for_each(|one| shared.run_one(one, ui, results))?;
        return write_layer(split.as_ref(), results);
    }
    let mut lines = shared.run_several(selected, ui, results)?;
    // After the functions: if none of them is written, nothing is.
    write_layer(split.as_ref(), results)?;
    lines.extend(unfound);
    if !matches!(bundle.purpose, Purpose::Explain(_)) {
        summary::print(&lines, ui);
    }
    Ok(())
}

fn write_layer(split: Option<&(SplitLayer, Split)>, results: &mut Results) -> Result<()> {
    if let Some((layer, split)) = split {
        results.split_layer = layer.write(split, &results.programs)?;
    }
    Ok(())
}

/// Reads all programs. All are read before anything is written, to find two with the same output path. The errors of
/// one are its own.
fn select<'a>(programs: Vec<Program>, packages: &'a Packages, context: &Context) -> Vec<Selected<'a>> {
    let select = |program: Program| {
        let (name, settings) = (program.name.clone(), settings_of(packages, &program));
        Selected { name, settings, input: load(program, settings, context) }
    };
    programs.into_iter().map(select).collect()
}

/// Reads the attached layers. Packages may have layers of their own.
fn attached_layers<'a>(packages: &'a Packages, ui: &Ui) -> Result<BTreeMap<&'a [Utf8PathBuf], Attached>> {
    let mut attached = BTreeMap::new();
    for package in packages.iter() {
        let layers = package.settings.bundle.attached_layers.as_slice();
        if !attached.contains_key(layers) {
            attached.insert(layers, layers::read(layers, ui)?);
        }
    }
    Ok(attached)
}

/// The outcome for one of several programs.
struct Finished {
    /// The names of the programs of its archive.
    names: Vec<String>,
    answer: Result<Vec<SummaryLine>>,
    results: Results,
    ui: Ui,
}

/// What all programs have in common.
struct Shared<'a> {
    baselines: &'a Baselines,
    /// The attached layers, by the paths that a package names.
    attached: BTreeMap<&'a [Utf8PathBuf], Attached>,
    context: &'a Context,
    files: &'a StoredFiles,
    objects: &'a Arc<Objects>,
    /// The number of threads for each program.
    threads: NonZeroUsize,
    /// Whether the run has one program.
    is_one: bool,
}

impl<'a> Shared<'a> {
    fn run_one(&self, selected: Selected, ui: &Ui, results: &mut Results) -> Result<()> {
        let Selected { name, settings, input } = selected;
        let _progress = ui.progress(verb(settings), &name, 1);
        let input = input?;
        self.job(&input, settings, ui).run(&input, results).map(|_| ())
    }

    /// Runs programs side by side. Their output is printed in order, and the errors of one do not stop the others.
    fn run_several(
        &mut self,
        selected: Vec<Selected>,
        ui: &Ui,
        results: &mut Results,
    ) -> Result<Vec<SummaryLine>> {
        let threads = self.context.threads.get().min(selected.len());
        // Threads go to the programs first: each has many steps, and only some steps can be divided.
        self.threads =
            NonZeroUsize::new(self.context.threads.get() / threads.max(1)).unwrap_or(NonZeroUsize::MIN);
        let verb = selected.first().map_or("", |first| verb(first.settings));
        let progress = ui.progress(verb, "", selected.len());
        let mut lines = Vec::new();
        let mut absent = Vec::new();
        let jobs = selected.into_iter().map(|selected| (selected, ui.buffered())).collect();
        let work = |_: &mut (), (Selected { name, settings, input }, ui): (Selected, Ui)| {
            let mut results = Results::default();
            let names = match &input {
                Ok(input) => input.programs().map(|program| program.name.clone()).collect(),
                Err(_) => vec![name],
            };
            let answer = input.and_then(|input| self.job(&input, settings, &ui).run(&input, &mut results));
            Finished { names, answer, results, ui }
        };
        parallel::in_order(vec![(); threads], jobs, work, |done: Finished| {
            ui.replay(done.ui);
            results.programs.extend(done.results.programs);
            match done.answer {
                Ok(line) => lines.extend(line),
                Err(error) if error.is_absent() => absent.push(error),
                Err(error) => {
                    ui.error(&error);
                    results.errors.push(error);
                    lines.extend(done.names.iter().map(|name| SummaryLine::unanswered(name)));
                }
            }
            progress.done(&done.names.join(", "));
            Ok(())
        })?;
        // What one program has, the others need not have.
        let is_answered = !results.programs.is_empty();
        for error in absent {
            if is_answered {
                ui.status("Checked", &error.to_string());
            } else {
                ui.error(&error);
                results.errors.push(error);
            }
        }
        Ok(lines)
    }

    fn job<'j>(&'j self, input: &ProgramInput, settings: &'j Settings, ui: &'j Ui) -> ProgramJob<'j> {
        let bundle = &settings.bundle;
        ProgramJob {
            bundle,
            settings,
            baselines: self.baselines,
            context: self.context,
            ui,
            layout: layout(settings, input),
            attached: &self.attached[bundle.attached_layers.as_slice()],
            files: self.files,
            objects: self.objects,
            threads: self.threads,
            is_one_of_several: !self.is_one,
        }
    }

    /// Plans the layer of what several functions ship, and attaches it to all of them.
    fn split<'s>(
        &mut self,
        name: &'s str,
        packages: &'s Packages,
        selected: &[Selected],
        inputs: &Inputs,
        ui: &'s Ui,
    ) -> Result<(SplitLayer<'s>, Split)>
    where
        'a: 's,
    {
        let read = || selected.iter().filter_map(|one| Some((one, one.input.as_ref().ok()?)));
        let plans = read().map(|(one, input)| self.job(input, one.settings, ui).first_plan(input));
        let plans = plans.collect::<Result<_>>()?;
        let shared = packages.shared();
        let first = read().next().and_then(|(_, input)| input.output.as_ref());
        let output = match (&shared.bundle.purpose, first) {
            (Purpose::Write(to), Some(first)) => Some(split::output(to, first, name)),
            _ => None,
        };
        let documents = match (&shared.bundle.purpose, read().next()) {
            (Purpose::Write(to), Some((_, first))) => layer_documents(to, name, first),
            _ => DocumentPaths::default(),
        };
        check_documents(name, &documents, inputs, read().map(|(_, input)| input))?;
        let place = output.as_deref().map(disk::place);
        if let (Some((_, input)), Some(path)) =
            (read().find(|(_, input)| input.output.as_deref().map(disk::place) == place), &output)
        {
            let message =
                format!("the layer `{name}` and `{}` would both be written to `{path}`", input.program.name);
            return Err(Error::usage(message).help("give the layer another name: `--split-layer <NAME>`"));
        }
        if let (Some(path), Some((one, input))) = (output.as_deref(), read().next()) {
            confined::check_layer(path, input, &one.settings.bundle, self.context)?;
            inputs.check(&OutputPlace { path: path.into(), flag: "--split-layer <NAME>" })?;
        }
        let layer = SplitLayer {
            name,
            output,
            writing: writing(&shared.bundle, self.context.threads, self.files),
            documents,
            checkouts: match read().next() {
                Some((_, first)) => first.program.checkouts(self.context),
                None => Checkouts::new(&self.context.environment, None),
            },
            settings: &shared.bundle,
            files: self.files,
            is_document: shared.output.is_document(),
            ui,
        };
        let split = layer.plan(plans)?;
        for attached in self.attached.values_mut() {
            let path = layer.output.as_ref().map_or(name, |path| path.as_str());
            let paths = split.members.iter().map(|member| member.path.clone());
            attached.layers.extend(paths.map(|member| (member, path.to_owned())));
            attached.add(split.members.clone(), split.unzipped_bytes);
        }
        Ok((layer, split))
    }
}

/// The word for what is done to each program.
fn verb(settings: &Settings) -> &'static str {
    match settings.bundle.purpose {
        Purpose::Write(_) => "Bundling",
        Purpose::Check | Purpose::Size(_) | Purpose::Explain(_) => "Checking",
    }
}

/// Puts programs with the same output path into one archive, if that kind of bundle allows several.
///
/// # Errors
///
/// If they do not agree on what an archive has once, or if one of them cannot be read.
fn together<'a>(
    mut all: Vec<Selected<'a>>,
    packages: &Packages,
    files: &StoredFiles,
) -> Result<Vec<Selected<'a>>> {
    if let Some(error) = unreadable_part(&mut all) {
        return Err(error);
    }
    let mut kept: Vec<Selected> = Vec::new();
    let mut first_at: BTreeMap<Utf8PathBuf, usize> = BTreeMap::new();
    for Selected { name, settings, input } in all {
        let kind = settings.bundle.kind;
        let place = input.as_ref().ok().and_then(|input| input.output.as_deref()).map(disk::place);
        let first = place.filter(|_| kind != BundleKind::Function);
        let first = first.map(|place| *first_at.entry(place).or_insert(kept.len()));
        match (first.and_then(|at| kept.get_mut(at)), input) {
            (Some(Selected { input: Ok(first), .. }), Ok(input)) => {
                check_together(first, &input, packages)?;
                let content = Content::Stored(files.get(&input.path)?);
                let entry_name = Layout::program_of(kind, &name);
                first.add(OtherProgram { input, settings, entry_name }, content);
            }
            (_, input) => kept.push(Selected { name, settings, input }),
        }
    }
    Ok(kept)
}

/// Returns the error of a program that cannot be read, if others would be written to its archive without it.
fn unreadable_part(all: &mut Vec<Selected>) -> Option<Error> {
    let archive = |one: &Selected| match &one.settings.bundle.purpose {
        Purpose::Write(to) if one.settings.bundle.kind != BundleKind::Function => {
            let is_one =
                |path: &&Utf8PathBuf| path.extension() == Some("zip") && !path.as_str().contains('{');
            to.pattern.as_ref().filter(is_one).map(|path| disk::place(path))
        }
        _ => None,
    };
    let is_part = |one: &Selected| {
        let place = archive(one);
        place.is_some() && all.iter().any(|other| other.input.is_ok() && archive(other) == place)
    };
    let at = all.iter().position(|one| one.input.is_err() && is_part(one))?;
    all.remove(at).input.err()
}

/// Refuses two programs, or two outputs of one, that would be written to the same path.
fn check_outputs<'a>(programs: impl Iterator<Item = &'a ProgramInput<'a>>) -> Result<()> {
    let mut outputs: BTreeMap<Utf8PathBuf, (&str, &ProgramInput)> = BTreeMap::new();
    for input in programs.filter(|input| input.output.is_some()) {
        let name = input.program.name.as_str();
        for (what, path, flag) in [
            ("", &input.output, "-o DIR/{bin}-{arch}.zip"),
            ("the debug symbols of ", &input.debug_symbols, "--debug-symbols DIR/{bin}-{arch}"),
            ("the lists of ", &input.documents.sbom, "--sbom {bin}-{arch}.json"),
            ("the licences of ", &input.documents.licenses, "--licenses {bin}-{arch}.txt"),
        ] {
            let Some(path) = path else { continue };
            // Packages spell one path in different ways, each from its own directory.
            if let Some((earlier, other)) = outputs.insert(disk::place(path), (what, input)) {
                let of_other = &other.program.name;
                if earlier != what {
                    let message =
                        format!("{earlier}`{of_other}` and {what}`{name}` would both be written to `{path}`");
                    let flag = flag.split(' ').next().unwrap_or(flag);
                    return Err(Error::usage(message).help(format!("name another file with `{flag}`")));
                }
                let flag = flag.replace("{bin}-{arch}", apart(other, input));
                let message = format!("{what}`{of_other}` and `{name}` would both be written to `{path}`");
                let help =
                    format!("tell them apart: `{flag}`, with {{bin}}, {{package}}, {{arch}} or {{target}}");
                return Err(Error::usage(message).help(help));
            }
        }
    }
    Ok(())
}

/// Refuses documents about the layer of `--split-layer` that would overwrite an input, or what a function writes.
fn check_documents<'a>(
    name: &str,
    documents: &DocumentPaths,
    inputs: &Inputs,
    programs: impl Iterator<Item = &'a ProgramInput<'a>>,
) -> Result<()> {
    let written: Vec<Utf8PathBuf> =
        programs.flat_map(inputs::places).map(|place| disk::place(&place.path)).collect();
    for (path, flag) in [(&documents.sbom, "--sbom <FILE>"), (&documents.licenses, "--licenses <FILE>")] {
        let Some(path) = path else { continue };
        inputs.check(&OutputPlace { path: path.as_path().into(), flag })?;
        if written.contains(&disk::place(path)) {
            let message = format!("a document about the layer `{name}` would be written to `{path}`, too");
            return Err(Error::usage(message).help("give the layer another name: `--split-layer <NAME>`"));
        }
    }
    Ok(())
}

/// Returns placeholders that tell two programs apart.
fn apart(one: &ProgramInput, other: &ProgramInput) -> &'static str {
    let package = |input: &ProgramInput| input.program.cargo.as_ref().map(|built| built.package.clone());
    match (one.program.name == other.program.name, package(one) == package(other)) {
        (true, true) if one.facts.arch() == other.facts.arch() => "{bin}-{target}",
        (true, false) => "{package}-{arch}",
        _ => "{bin}-{arch}",
    }
}

fn check_directories(bundle: &BundleSettings) -> Result<()> {
    let library_paths = bundle.library_paths.iter().map(|path| ("--library-path", path));
    for (flag, path) in library_paths.chain(bundle.sysroot.iter().map(|path| ("--sysroot", path))) {
        if !disk::is_directory(path) {
            return Err(Error::new(format!("`{flag} {path}` is not a directory")));
        }
    }
    Ok(())
}
