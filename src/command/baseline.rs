//! What the tables hold: a list of them, one in full, the difference of two.

use crate::baseline::{self, Baseline};
use crate::elf::Arch;
use crate::error::{Error, Result};
use crate::nearest::nearest_first;
use crate::report::baseline::{
    BaselineReport, Table, difference, difference_text, list_text, show_text, table,
};
use crate::report::printable;
use crate::settings::{BaselineJob, Context, Settings};
use crate::ui::Ui;

pub(super) fn run(job: &BaselineJob, settings: &Settings, context: &Context, ui: &Ui) -> Result<()> {
    let is_json = settings.output.json;
    let answered = answer(job, context);
    let (report, text) = match &answered {
        Ok((report, text)) => (report, text.as_str()),
        Err(error) if is_json => {
            ui.data(&BaselineReport::failed(error).to_json());
            return answered.map(|_| ());
        }
        Err(_) => return answered.map(|_| ()),
    };
    if is_json {
        ui.data(&report.to_json());
    } else {
        for line in text.lines() {
            ui.data(&format!("{}\n", printable(line)));
        }
    }
    Ok(())
}

/// The document, and the same for people.
fn answer(job: &BaselineJob, context: &Context) -> Result<(BaselineReport, String)> {
    let today = super::date(context.now);
    match job {
        BaselineJob::List => {
            let tables: Vec<Table> = baseline::names()
                .into_iter()
                .flat_map(|name| [Arch::X86_64, Arch::Arm64].map(|arch| baseline::embedded(name, arch)))
                .flatten()
                .map(|found| table(&found, Some(baseline::starts_bootstrap(&found.runtime)), &today, None))
                .collect();
            let text = list_text(&tables);
            Ok((BaselineReport { tables, ..BaselineReport::new() }, text))
        }
        BaselineJob::Show { name, arch } => {
            let found = find(name, *arch)?;
            let bootstrap = Some(baseline::starts_bootstrap(&found.runtime));
            let table = table(&found, bootstrap, &today, Some(sources(&found)));
            let text = show_text(&table);
            Ok((BaselineReport { tables: vec![table], ..BaselineReport::new() }, text))
        }
        BaselineJob::Diff { a, b, arch } => {
            let difference = difference(&find(a, *arch)?, &find(b, *arch)?);
            let text = difference_text(&difference);
            Ok((BaselineReport { difference: Some(difference), ..BaselineReport::new() }, text))
        }
    }
}

/// The table of this name, for x86_64 unless another architecture is named.
fn find(name: &str, arch: Option<Arch>) -> Result<Baseline> {
    if !baseline::names().contains(&name) {
        return Err(Error::usage(format!("`{name}` is not a known runtime"))
            .help(format!("one of: {}", nearest_first(name, &baseline::names()).join(", "))));
    }
    let arch = arch.unwrap_or(Arch::X86_64);
    baseline::embedded(name, arch)
        .ok_or_else(|| Error::usage(format!("the runtime {name} does not offer {arch}")))
}

/// The comments at the top of the table's text and of those that it is a change of.
fn sources(table: &Baseline) -> Vec<String> {
    let mut sources = Vec::new();
    let mut next = Some(table.runtime.clone());
    while let Some(name) = next {
        let text = baseline::embedded_text(&name, table.arch).unwrap_or_default();
        // The texts of the language runtimes share one comment.
        let commented = if text.starts_with('#') { text } else { baseline::LANGUAGES };
        let comment = commented.lines().map_while(|line| line.strip_prefix('#'));
        sources.push(comment.map(|line| format!("{}\n", line.trim_start())).collect());
        next = text.lines().find_map(|line| line.strip_prefix("root ")).map(str::to_owned);
    }
    sources
}
