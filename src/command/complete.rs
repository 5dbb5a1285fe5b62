//! Completions: the words that a shell offers, those among them that only the project knows too.

use std::ffi::OsString;

use camino::Utf8PathBuf;

use super::bundle;
use super::results::Results;
use crate::cli::complete::{Completion, OfferedKind, OfferedWord, codes, complete};
use crate::settings::{self, CommandLine, Context, Job};
use crate::ui::Ui;
use crate::workspace::{self, ProjectNames, Selection};

/// Returns the words for the place of the last argument, one in a line, with a tab and its meaning; `:files` and
/// `:directories` are for the shell to find. The first argument is the name of the shell, the others are the words behind
/// the program's name. Nothing is built or written, and there is no error: what cannot be known is not offered.
pub fn answer(arguments: &[OsString], context: Context) -> String {
    let mut words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.len() < 2 {
        return String::new();
    }
    let is_bash = words.remove(0) == "bash";
    if is_bash {
        words = joined(words);
    }
    let last = words.last().cloned().unwrap_or_default();
    let Completion { offer, before } = complete(&words);
    let offered = match offer {
        OfferedKind::Files => return ":files\n".to_owned(),
        OfferedKind::Directories => return ":directories\n".to_owned(),
        OfferedKind::Words(words) => words,
        OfferedKind::Packages => plain(names(&words, &context).packages),
        OfferedKind::Binaries => plain(names(&words, &context).bins),
        OfferedKind::Examples => plain(names(&words, &context).examples),
        OfferedKind::Libraries => [plain(libraries(&words, context)), codes()].concat(),
    };
    let offered = offered.into_iter().map(|it| OfferedWord { word: format!("{before}{}", it.word), ..it });
    // bash neither selects words, nor knows that `--bin=x` and `image:al2` are one.
    let at = last.rfind(['=', ':']).filter(|_| is_bash).map_or(0, |at| at + 1);
    let fits = |it: &OfferedWord| !is_bash || it.word.starts_with(&last);
    let line = |it: OfferedWord| match it.meaning.is_empty() {
        true => format!("{}\n", &it.word[at..]),
        false => format!("{}\t{}\n", &it.word[at..], it.meaning),
    };
    offered.filter(fits).map(line).collect()
}

/// Joins what bash splits at `=` and `:`, see COMP_WORDBREAKS.
fn joined(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in words {
        let is_break = word == "=" || word == ":";
        match joined.last_mut() {
            Some(before) if is_break || is_open => before.push_str(&word),
            _ => joined.push(word),
        }
        is_open = is_break;
    }
    joined
}

fn plain(words: impl IntoIterator<Item = String>) -> Vec<OfferedWord> {
    words.into_iter().map(OfferedWord::plain).collect()
}

/// Returns the names of the project.
fn names(words: &[String], context: &Context) -> ProjectNames {
    let value =
        |at: usize| words[at].strip_prefix("--manifest-path=").or(words.get(at + 1).map(String::as_str));
    let at = words.iter().position(|word| word.starts_with("--manifest-path"));
    let manifest_path = at.and_then(value).map(Utf8PathBuf::from);
    let selection = Selection { manifest_path, offline: true, ..Selection::default() };
    workspace::names(&selection, &context.environment).unwrap_or_default()
}

/// Returns the libraries of the selected programs, as `check` finds them.
fn libraries(words: &[String], mut context: Context) -> Vec<String> {
    let before = &words[..words.len() - 1];
    let is_build = |word: &str| word.starts_with("--build") || word.starts_with("--features") || word == "-F";
    if before.iter().any(|word| is_build(word)) {
        return Vec::new();
    }
    context
        .environment
        .vars
        .retain(|(name, _)| !name.to_string_lossy().starts_with("CARGO_LAMBDA_BUNDLE_BUILD"));
    let is_own = |word: &&String| !["explain", "--tree", "--mermaid"].contains(&word.as_str());
    let words = before.iter().filter(is_own).map(OsString::from);
    let program = ["cargo lambda-bundle", "check"].map(OsString::from);
    let Some(line) = CommandLine::try_parse(program.into_iter().chain(words).collect()) else {
        return Vec::new();
    };
    let Ok(resolved) = settings::resolve(&line, &context) else { return Vec::new() };
    let Job::Bundle(packages) = &resolved.job else { return Vec::new() };
    let mut results = Results::default();
    // The programs that are built are worth offering, whatever the others are.
    let _ = bundle::run(packages, &context, &Ui::silent(), &mut results);
    let libraries = results.programs.into_iter().flat_map(|it| it.report.libraries);
    let mut names: Vec<String> = libraries.map(|library| library.soname).collect();
    names.sort();
    names.dedup();
    names
}
