//! The contents of the baselines: a list of them, one in full, or the difference of two.

use std::sync::Arc;

use camino::Utf8Path;

use super::runtime::read_file;
use crate::baseline::probed::{Probe, SCRIPT};
use crate::baseline::unknown::{CUSTOM, CUSTOM_HELP, nearest_names, newest_names, retired};
use crate::baseline::{self, Baseline};
use crate::date;
use crate::disk;
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::report::baseline::{
    BaselineReport, BaselineTable, difference, difference_text, list_text, show_text, table,
};
use crate::settings::{BaselineJob, Capture, CaptureFrom, Context, Output};
use crate::text::printable;
use crate::ui::Ui;

pub(super) fn run(job: &BaselineJob, output: &Output, context: &Context, ui: &Ui) -> Result<()> {
    let is_json = output.is_json();
    let answered = match job {
        BaselineJob::Capture(job) => capture(job, context, ui),
        BaselineJob::Probe => {
            ui.data(SCRIPT);
            Ok(())
        }
        BaselineJob::List => list(context).map(|answer| show(&answer, is_json, ui)),
        BaselineJob::Show { name, arch } => {
            show_one(name, *arch, context).map(|answer| show(&answer, is_json, ui))
        }
        BaselineJob::Diff { a, b, arch } => {
            compare(a, b, *arch, context).map(|answer| show(&answer, is_json, ui))
        }
    };
    if is_json && let Err(error) = &answered {
        ui.data(&BaselineReport::failed(error).to_json());
    }
    answered
}

/// A JSON document, and the same content as text.
struct Printed {
    report: BaselineReport,
    text: String,
}

fn show(printed: &Printed, is_json: bool, ui: &Ui) {
    if is_json {
        ui.data(&printed.report.to_json());
        return;
    }
    for line in printed.text.lines() {
        ui.data(&format!("{}\n", printable(line)));
    }
}

fn list(context: &Context) -> Result<Printed> {
    let today = date::day(context.now);
    let tables: Vec<BaselineTable> = baseline::names()
        .into_iter()
        .flat_map(|name| [Arch::X86_64, Arch::Arm64].map(|arch| baseline::embedded(name, arch)))
        .flatten()
        .map(|found| table(&found, Some(baseline::starts_bootstrap(&found.runtime)), &today, None))
        .collect();
    let text = list_text(&tables);
    Ok(Printed { report: BaselineReport { tables, ..BaselineReport::new() }, text })
}

fn show_one(name: &str, arch: Option<Arch>, context: &Context) -> Result<Printed> {
    let found = find(name, arch, context)?;
    let known = baseline::names().contains(&name);
    let bootstrap = known.then(|| baseline::starts_bootstrap(name));
    let table = table(&found, bootstrap, &date::day(context.now), Some(found.sources()));
    let text = show_text(&table);
    Ok(Printed { report: BaselineReport { tables: vec![table], ..BaselineReport::new() }, text })
}

fn compare(a: &str, b: &str, arch: Option<Arch>, context: &Context) -> Result<Printed> {
    let difference = difference(&*find(a, arch, context)?, &*find(b, arch, context)?);
    let text = difference_text(&difference);
    Ok(Printed { report: BaselineReport { difference: Some(difference), ..BaselineReport::new() }, text })
}

/// Returns the baseline with this name or from this file; for x86_64 unless another architecture is named.
fn find(name: &str, arch: Option<Arch>, context: &Context) -> Result<Arc<Baseline>> {
    let path = context.environment.current_dir.join(name);
    if !baseline::names().contains(&name) {
        if disk::exists(&path) {
            let given = read_file(&path, context.now)?;
            let wanted = arch.map_or(vec![Arch::X86_64, Arch::Arm64], |arch| vec![arch]);
            let found = wanted.into_iter().find_map(|arch| given.baseline(arch));
            return found.ok_or_else(|| Error::usage(format!("`{name}` is not for that architecture")));
        }
        return Err(no_baseline(name));
    }
    let arch = arch.unwrap_or(Arch::X86_64);
    baseline::embedded(name, arch)
        .map(Arc::new)
        .ok_or_else(|| Error::usage(format!("the runtime {name} does not offer {arch}")))
}

/// Returns the error that no baseline is compiled in under this name.
fn no_baseline(name: &str) -> Error {
    if name == CUSTOM {
        return Error::usage("`custom` is a customer-managed runtime: it has the libraries of its own image")
            .help(CUSTOM_HELP);
    }
    let (nearest, newest) = (nearest_names(name).join(", "), newest_names(name).join(", "));
    match retired(name) {
        Some(day) => {
            Error::usage(format!("`{name}` is retired: its functions cannot be updated since {day}"))
                .help(format!("name a newer runtime, such as {newest}"))
        }
        None => Error::usage(format!("`{name}` is not a known runtime"))
            .help(format!("the nearest are {nearest}; `cargo lambda-bundle baseline list` shows every name")),
    }
}

/// Reads a root and writes its baseline.
fn capture(job: &Capture, context: &Context, ui: &Ui) -> Result<()> {
    let (table, source, comment) = match &job.from {
        CaptureFrom::Root(root) => {
            if !disk::is_directory(root) {
                return Err(Error::new(format!("`--root {root}` is not a directory")));
            }
            let recorded = date::day(job.stamp.unwrap_or(context.now));
            (disk::capture::capture(root, &job.name, &recorded, job.arch)?, root, String::new())
        }
        CaptureFrom::Probe(file) => {
            let probe = read_probe(file)?;
            let table = disk::capture::capture_probe(&probe, file, &job.name, job.arch)?;
            if probe.n_dropped > 0 {
                let dropped = match probe.n_dropped {
                    1 => format!("1 line of {file} that is not part of a probe"),
                    n => format!("{n} lines of {file} that are not part of a probe"),
                };
                ui.status("Ignoring", &dropped);
            }
            (table, file, probe.comment())
        }
    };
    let text = comment + &table.captured_text();
    let n_objects = text.lines().filter(|line| line.starts_with("elf ")).count();
    match &job.output {
        None => ui.data(&text),
        Some(path) => {
            disk::write::replace_with(path, text.as_bytes())?;
            ui.data(&format!("{path}\n"));
        }
    }
    ui.status(
        "Captured",
        &format!("{n_objects} objects of {source} as {} ({}, glibc {})", job.name, table.arch, table.glibc),
    );
    Ok(())
}

fn read_probe(path: &Utf8Path) -> Result<Probe> {
    const HELP: &str = "name a file with the whole output of the script of `cargo lambda-bundle baseline probe`, and nothing else";
    let text = disk::text(path, "a probe's output").map_err(|error| error.or_help(HELP))?;
    Probe::parse(&text).map_err(|error| {
        Error::new(format!("`{path}` is not the output of the probe script")).because(error).help(HELP)
    })
}
