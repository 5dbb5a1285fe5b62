//! Bundle and check: all programs, side by side.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::included;
use super::inputs::{self, Place};
use super::layers;
use super::loaded::{Loaded, job, load, programs, settings_of};
use super::program::{Run, layout, writing};
use super::results::Results;
use super::runtime::Baselines;
use super::split;
use super::summary;
use crate::archive::Content;
use crate::disk;
use crate::disk::build_world::Objects;
use crate::disk::stored::StoredFiles;
use crate::error::{Error, Result};
use crate::layout::BundleKind;
use crate::parallel;
use crate::proof::Attached;
use crate::settings::{Bundle, Context, Purpose, Resolved, Settings};
use crate::ui::Ui;

pub(super) fn run(
    resolved: &Resolved,
    baselines: &Baselines,
    context: &Context,
    ui: &Ui,
    results: &mut Results,
) -> Result<()> {
    for package in &resolved.packages {
        check_directories(job(&package.settings))?;
        included::say_whose(package, ui);
    }
    let programs = programs(resolved)?;
    let is_one = programs.len() == 1;
    let mut outputs: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
    let mut all = Vec::new();
    let files = StoredFiles::default();
    let objects = Arc::new(Objects::default());
    // All are read before anything is written, to find two that would be written to one place.
    for program in programs {
        let name = program.name.clone();
        let loaded = load(program, resolved, context);
        if let Ok(loaded) = &loaded {
            let kind = job(settings_of(resolved, &loaded.program)).kind;
            let is_same = |first: &&mut Loaded| first.output.is_some() && first.output == loaded.output;
            let mut read =
                all.iter_mut().filter_map(|(_, first): &mut (_, Result<Loaded>)| first.as_mut().ok());
            if let Some(first) = read.find(is_same).filter(|_| kind != BundleKind::Function) {
                first.add(&loaded.program, Content::Stored(files.get(&loaded.path)?), kind);
                continue;
            }
            for (what, path, flag) in [
                ("", &loaded.output, "-o DIR/{bin}-{arch}.zip"),
                ("the debug symbols of ", &loaded.debug_symbols, "--debug-symbols DIR/{bin}-{arch}"),
                ("the lists of ", &loaded.documents.sbom, "--sbom {bin}-{arch}.json"),
                ("the licences of ", &loaded.documents.licenses, "--licenses {bin}-{arch}.txt"),
            ] {
                let Some(path) = path.as_ref().filter(|_| loaded.output.is_some()) else { continue };
                if let Some(other) = outputs.insert(path.clone(), name.clone()) {
                    return Err(Error::usage(format!(
                        "{what}`{other}` and `{name}` would both be written to `{path}`"
                    ))
                    .help(format!(
                        "tell them apart: `{flag}`, with {{bin}}, {{package}}, {{arch}} or {{target}}"
                    )));
                }
            }
        }
        all.push((name, loaded));
    }
    let read = || all.iter().filter_map(|(_, loaded)| loaded.as_ref().ok());
    let inputs = inputs::of_all(read(), resolved);
    for place in read().flat_map(inputs::places) {
        inputs.check(&place)?;
    }
    let shared = job(resolved.shared());
    // Packages may have layers of their own.
    let mut attached: BTreeMap<&[Utf8PathBuf], Attached> = BTreeMap::new();
    for package in &resolved.packages {
        let layers = job(&package.settings).attached_layers.as_slice();
        if !attached.contains_key(layers) {
            attached.insert(layers, layers::read(layers, ui)?);
        }
    }
    if let Some(name) = &shared.split_layer {
        let read: Vec<&Loaded> = read().collect();
        let around = Around {
            attached: &attached,
            baselines,
            context,
            files: &files,
            objects: &objects,
            threads: context.threads,
        };
        let plan = |loaded: &&Loaded| {
            around.run(loaded, settings_of(resolved, &loaded.program), ui).first_plan(loaded)
        };
        let plans = read.iter().map(plan).collect::<Result<_>>()?;
        let output = match (&shared.purpose, read.first().and_then(|loaded| loaded.output.as_ref())) {
            (Purpose::Write(to), Some(first)) => Some(split::output(first, name, to.format)),
            _ => None,
        };
        if let Some(path) = output.as_deref() {
            inputs.check(&Place { path, flag: "--split-layer <NAME>" })?;
        }
        let is_json = resolved.shared().output.is_document();
        let split = split::write(
            name,
            plans,
            output.as_deref(),
            (&writing(shared, context.threads), &files),
            is_json,
            ui,
        )?;
        for attached in attached.values_mut() {
            attached.add(split.members.clone(), split.unzipped_bytes);
        }
        results.split_layer = split.archive;
    }
    let n_programs = all.len();
    let threads = context.threads.get().min(n_programs);
    // Programs side by side first: their steps are many, and only some of them can be divided.
    let around = Around {
        attached: &attached,
        baselines,
        context,
        files: &files,
        objects: &objects,
        threads: NonZeroUsize::new(context.threads.get() / threads.max(1)).unwrap_or(NonZeroUsize::MIN),
    };
    let verb = if matches!(shared.purpose, Purpose::Write(_)) { "Bundling" } else { "Checking" };
    let mut summary = Vec::new();
    if is_one {
        for (name, loaded) in all {
            let _progress = ui.progress(verb, &name, 1);
            let loaded = loaded?;
            around.run(&loaded, settings_of(resolved, &loaded.program), ui).program(&loaded, results)?;
        }
        return Ok(());
    }
    let with_settings = |loaded: Loaded| (settings_of(resolved, &loaded.program), loaded);
    let jobs =
        all.into_iter().map(|(name, loaded)| (name, loaded.map(with_settings), ui.buffered())).collect();
    let work = |_: &mut (), (name, loaded, ui): (String, Result<(&Settings, Loaded)>, Ui)| {
        let mut results = Results::default();
        let answer = loaded
            .and_then(|(settings, loaded)| around.run(&loaded, settings, &ui).program(&loaded, &mut results));
        (name, answer, results, ui)
    };
    let progress = ui.progress(verb, "", n_programs);
    parallel::in_order(vec![(); threads], jobs, work, |(name, answer, its, its_ui)| {
        ui.replay(its_ui);
        results.artifacts.extend(its.artifacts);
        match answer {
            Ok(line) => summary.extend(line),
            Err(error) => {
                ui.error(&error);
                results.errors.push(error);
                summary.push(summary::Line::unanswered(&name));
            }
        }
        progress.done(&name);
        Ok(())
    })?;
    drop(progress);
    if !matches!(job(resolved.shared()).purpose, Purpose::Explain { .. }) {
        summary::print(&summary, ui);
    }
    Ok(())
}

/// What all programs have in common.
struct Around<'a> {
    attached: &'a BTreeMap<&'a [Utf8PathBuf], Attached>,
    baselines: &'a Baselines,
    context: &'a Context,
    files: &'a StoredFiles,
    objects: &'a Arc<Objects>,
    /// For each program.
    threads: NonZeroUsize,
}

impl Around<'_> {
    /// What the steps of one program look at.
    fn run<'a>(&'a self, loaded: &Loaded, settings: &'a Settings, ui: &'a Ui) -> Run<'a> {
        let job = job(settings);
        let attached = &self.attached[job.attached_layers.as_slice()];
        Run {
            job,
            settings,
            baselines: self.baselines,
            context: self.context,
            ui,
            layout: layout(job, loaded),
            attached,
            files: self.files,
            objects: self.objects,
            threads: self.threads,
        }
    }
}

fn check_directories(job: &Bundle) -> Result<()> {
    for (flag, path) in job
        .library_paths
        .iter()
        .map(|path| ("--library-path", path))
        .chain(job.sysroot.iter().map(|path| ("--sysroot", path)))
    {
        if !disk::is_directory(path) {
            return Err(Error::new(format!("`{flag} {path}` is not a directory")));
        }
    }
    Ok(())
}
