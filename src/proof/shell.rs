//! The lines of a shell's script, as far as it is certain what every run of it does.

use std::borrow::Cow;

/// A file that a script runs by a literal path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The absolute path, or one relative to a directory that is not known.
    pub path: String,
    /// Whether every run of the script comes to this line, and ends with it.
    pub is_certain: bool,
}

/// The directories of a script's start.
#[derive(Clone, Copy)]
pub(super) struct StartPlace<'a> {
    /// Where Lambda unpacked the function: `LAMBDA_TASK_ROOT`.
    pub task_root: &'a str,
    /// The current directory; `None` if it is not known.
    pub current: Option<&'a str>,
}

/// Options of bash that change nothing about what runs: `-e`, `-u`, `-x` and their kin, but not `-n`.
const HARMLESS: &[char] =
    &['a', 'b', 'e', 'f', 'h', 'k', 'l', 'm', 'p', 'u', 'v', 'x', 'B', 'C', 'E', 'H', 'P', 'T'];

/// Whether a word holds options of the shell that change nothing about what runs.
pub(super) fn is_harmless_option(word: &str) -> bool {
    word.strip_prefix(['-', '+']).is_some_and(|letters| {
        !letters.is_empty() && letters.chars().all(|letter| HARMLESS.contains(&letter))
    })
}

/// Returns the files that a script runs, up to the one that ends it for certain.
pub(super) fn runs(script: &str, place: StartPlace) -> Vec<Run> {
    let script = in_task_root(script, place.task_root);
    let mut current = place.current;
    let mut is_certain = true;
    let mut found = Vec::new();
    for line in script.split('\n').skip(1) {
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let Some(first) = words.first().filter(|word| !word.starts_with('#')) else { continue };
        // A carriage return alone is a command that no shell finds: the script ends there, or goes on.
        if *first == "\r" {
            is_certain &= !may_end_at_errors(&script);
            continue;
        }
        let is_simple = !line.contains(OPERATORS) && has_whole_texts(line);
        for (index, word) in words.iter().enumerate() {
            let is_exec = index > 0 && words[index - 1] == "exec";
            let path = word.trim_matches(['"', '\'']);
            let is_literal = path.contains('/') && !path.contains(NO_LITERAL);
            if (is_exec || index == 0) && is_literal && !is_assignment(word) {
                let is_certain = is_certain && is_exec && index == 1 && is_simple;
                let path = absolute(path, current);
                let is_certain = is_certain && path.starts_with('/');
                found.push(Run { path, is_certain });
                if is_certain {
                    return found;
                }
            }
        }
        if *first == "cd" {
            current =
                Some(words.get(1).map_or("", |word| word.trim_matches(['"', '\'']).trim_end_matches('/')))
                    .filter(|to| words.len() == 2 && *to == place.task_root);
        }
        is_certain &= is_simple && is_plain(&words);
    }
    found
}

/// What makes a line more than one command, or redirects its output.
const OPERATORS: &[char] = &['|', '&', ';', '<', '>', '`', '(', '\\'];

const NO_LITERAL: &[char] = &['$', '*', '?', '[', '~', '"', '\'', '`', '{', '<', '>'];

/// Whether no quoted text of a line goes on in the next one.
fn has_whole_texts(line: &str) -> bool {
    ['"', '\''].iter().all(|quote| line.matches(*quote).count().is_multiple_of(2))
}

/// Whether an option of a script may end it at the first command that fails: `-e`, `-o errexit`.
fn may_end_at_errors(script: &str) -> bool {
    let mut words = script.split([' ', '\t', '\n', '\r']);
    words.any(|word| word == "errexit" || is_harmless_option(word) && word.contains('e'))
}

/// Whether a line only sets something that does not matter for what a later line runs.
fn is_plain(words: &[&str]) -> bool {
    let sets = |words: &[&str]| words.iter().all(|word| is_assignment(word) && !is_of_the_loader(word));
    match words {
        ["set", rest @ ..] => {
            let mut rest = rest.iter();
            rest.all(|word| {
                is_harmless_option(word.trim_end_matches("o")) || matches!(*word, "-o" | "pipefail")
            })
        }
        ["export" | "readonly", rest @ ..] => rest.iter().all(|word| !is_of_the_loader(word)),
        ["cd" | "umask" | ":", ..] => true,
        all => sets(all),
    }
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a variable changes what the loader does, or how the shell reads the next lines.
fn is_of_the_loader(word: &str) -> bool {
    ["LD_", "GLIBC_TUNABLES", "IFS", "BASH_ENV", "ENV"].iter().any(|start| word.starts_with(start))
}

/// Returns a path without doubled slashes, from the current directory if that is known.
fn absolute(path: &str, current: Option<&str>) -> String {
    let mut path = match current {
        Some(current) if !path.starts_with('/') => format!("{current}/{}", path.trim_start_matches("./")),
        _ => path.to_owned(),
    };
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

/// Returns a script's text with the path of the task root for its variable, unless the script sets that.
///
/// Source: `LAMBDA_TASK_ROOT` is one of the variables that Lambda reserves: a function's settings do not change it.
fn in_task_root<'s>(script: &'s str, task_root: &str) -> Cow<'s, str> {
    if script.contains("LAMBDA_TASK_ROOT=") || !script.contains("LAMBDA_TASK_ROOT") {
        return Cow::Borrowed(script);
    }
    let mut text = script.to_owned();
    for name in ["\"$LAMBDA_TASK_ROOT\"", "\"${LAMBDA_TASK_ROOT}\"", "${LAMBDA_TASK_ROOT}"] {
        text = text.replace(name, task_root);
    }
    // Other variables begin with this name.
    for end in ["/", "\"", "\n", " ", "\r"] {
        text = text.replace(&format!("$LAMBDA_TASK_ROOT{end}"), &format!("{task_root}{end}"));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: &[(&str, bool)]) {
        let place = StartPlace { task_root: "/var/task", current: Some("/var/task") };
        let found = runs(&format!("#!/bin/sh\n{script}\n"), place);
        let found: Vec<(&str, bool)> = found.iter().map(|run| (&*run.path, run.is_certain)).collect();
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn only_what_every_run_comes_to_is_certain() {
        for certain in [
            "exec /var/task/app",
            "exec ./app \"$@\"",
            "set -eu\nset -o pipefail\nexport A=b\nexec '/var/task/app'",
            "cd $LAMBDA_TASK_ROOT\nexec ./app",
            "cd \"${LAMBDA_TASK_ROOT}\"\nexec app/../app",
            "exec \"$LAMBDA_TASK_ROOT\"/app",
            "exec \"${LAMBDA_TASK_ROOT}/app\" a b",
        ] {
            let found = runs(
                &format!("#!/bin/sh\n{certain}\n"),
                StartPlace { task_root: "/var/task", current: Some("/var/task") },
            );
            assert_eq!(found.len(), 1, "{certain}");
            assert!(found[0].is_certain && found[0].path.ends_with("/app"), "{certain}: {found:?}");
        }
        check(
            "[ -n \"$A\" ] && exec /var/task/a\nexec /var/task/b",
            &[("/var/task/a", false), ("/var/task/b", false)],
        );
        check("set -n\nexec /var/task/a", &[("/var/task/a", false)]);
        check("LD_PRELOAD=x\nexec /var/task/a", &[("/var/task/a", false)]);
        check("exec //var/task//a", &[("/var/task/a", true)]);
        check("cd /tmp\nexec ./a", &[("./a", false)]);
        check("exec /var/task/a >/tmp/log", &[("/var/task/a", false)]);
        check(
            "A=\"\nexec /var/task/a\n\"\nexec /var/task/b",
            &[("/var/task/a", false), ("/var/task/b", false)],
        );
        check("exec /var/task/a>/tmp/log", &[]);
        check("exec nope\nexec $(dirname $0)/a\nexec env A=b /var/task/a", &[]);
        check("LAMBDA_TASK_ROOT=/x\nexec $LAMBDA_TASK_ROOT/a", &[]);
        check("/var/task/a\nexec /var/task/b", &[("/var/task/a", false), ("/var/task/b", false)]);
    }
}
