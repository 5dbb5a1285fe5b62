//! The lines of a shell's script, as far as it is certain what every run of it does.

use std::borrow::Cow;

use self::words::{Word, WordContext};

mod words;

/// A file that a script runs by a literal path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The absolute path, or one relative to a directory that is not known.
    pub path: String,
    /// Whether every run of the script comes to this line, and ends with it.
    pub is_certain: bool,
    /// Whether the current directory is the task root there.
    pub is_at_root: bool,
}

/// The directories of a script's start.
#[derive(Clone, Copy)]
pub(super) struct StartPlace<'a> {
    /// Where Lambda unpacked the function: `LAMBDA_TASK_ROOT`.
    pub task_root: &'a str,
    /// The current directory; `None` if it is not known.
    pub current: Option<&'a str>,
    /// Whether it is started with a handler, as a function is and an extension is not.
    pub has_handler: bool,
}

/// Options of bash that change nothing about what runs: `-e`, `-u`, `-x` and their kin, but not `-n`, nor `-k`, which
/// makes variables of arguments. `-e` and `-u` may end a script: see [`ScriptState`].
const HARMLESS: &[char] = &['a', 'b', 'e', 'f', 'h', 'm', 'p', 'u', 'v', 'x', 'B', 'C', 'E', 'H', 'P', 'T'];

/// The names that `set -o` takes for some of them.
const HARMLESS_NAMES: &[&str] = &["errexit", "nounset", "pipefail", "xtrace"];

/// Whether a word holds options of the shell that change nothing about what runs.
pub(super) fn is_harmless_option(word: &str) -> bool {
    word.strip_prefix(['-', '+']).is_some_and(|letters| {
        !letters.is_empty() && letters.chars().all(|letter| HARMLESS.contains(&letter))
    })
}

/// Returns the files that a script runs, up to the one that ends it for certain.
pub(super) fn runs(script: &str, place: StartPlace) -> Vec<Run> {
    let replaced = in_task_root(script, place.task_root);
    let mut state = ScriptState::new(script, place);
    let mut found = Vec::new();
    for (line, replaced) in script.split('\n').zip(replaced.split('\n')).skip(1) {
        // A carriage return alone is a command that no shell finds: the script ends there, or goes on.
        if line.trim_matches([' ', '\t']) == "\r" {
            state.is_certain &= !state.ends_at_errors;
            continue;
        }
        let words = words::words(line, state.values());
        if words.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        if let Some(run) = words.as_ref().and_then(|words| state.executed(words)) {
            found.push(run);
            return found;
        }
        found.extend(named(replaced, state.current));
        state.pass(words.as_deref());
    }
    found
}

/// What is known where a line of a script begins.
struct ScriptState<'a> {
    place: StartPlace<'a>,
    /// The current directory, if it is known.
    current: Option<&'a str>,
    /// Whether every run of the script comes to the line.
    is_certain: bool,
    /// Whether a command that fails may end the script: `set -e`.
    ends_at_errors: bool,
    /// Whether a variable that is not set may end it: `set -u`.
    must_be_set: bool,
    is_task_root_set: bool,
    /// The variables that can no longer be set.
    constants: Vec<String>,
}

impl<'a> ScriptState<'a> {
    fn new(script: &str, place: StartPlace<'a>) -> ScriptState<'a> {
        let first = script.split('\n').next().unwrap_or_default();
        let option = first.rsplit([' ', '\t']).find(|word| is_harmless_option(word)).unwrap_or_default();
        ScriptState {
            place,
            current: place.current,
            // bash refuses some scripts with NUL bytes, and skips the bytes in others: `check_binary_file`.
            is_certain: !script.contains('\0'),
            ends_at_errors: option.contains('e'),
            must_be_set: option.contains('u'),
            is_task_root_set: script.contains("LAMBDA_TASK_ROOT="),
            constants: Vec::new(),
        }
    }

    fn values(&self) -> WordContext<'a> {
        let task_root = (!self.is_task_root_set).then_some(self.place.task_root);
        let has_constants = !self.constants.is_empty();
        WordContext {
            task_root,
            must_be_set: self.must_be_set,
            has_handler: self.place.has_handler,
            has_constants,
        }
    }

    /// Returns the file that a line executes in the shell's place, if that is certain.
    fn executed(&self, words: &[Word]) -> Option<Run> {
        let [exec, file, ..] = words else { return None };
        let is_it = self.is_certain && exec.text == "exec" && !exec.goes_on;
        if !is_it || file.goes_on || !file.text.contains('/') {
            return None;
        }
        let path = absolute(&file.text, self.current);
        path.starts_with('/').then_some(Run { path, is_certain: true, is_at_root: self.current.is_some() })
    }

    /// Goes on behind a line, of which every run comes to the end only if it sets what does not matter for later lines.
    fn pass(&mut self, words: Option<&[Word]>) {
        let known: Option<Vec<&str>> =
            words.and_then(|words| words.iter().map(|word| (!word.goes_on).then_some(&*word.text)).collect());
        let known = known.as_deref();
        let first = words.and_then(<[Word]>::first).map_or("", |word| &*word.text);
        self.is_certain &= match (first, words) {
            ("set", _) => known.is_some_and(|words| self.set(&words[1..])),
            ("cd", _) => self.change(known),
            ("umask", _) => matches!(known, Some([_, mask]) if is_mask(mask)),
            (":", Some(_)) => true,
            ("export", Some([_, names @ ..])) => names.iter().all(|word| self.assign(word, true)),
            ("readonly", Some([_, names @ ..])) => names.iter().all(|word| {
                let is_plain = self.assign(word, true);
                self.constants.push(word.text.split('=').next().unwrap_or_default().to_owned());
                is_plain
            }),
            (_, Some(words)) => words.iter().all(|word| self.assign(word, false)),
            (_, None) => false,
        };
    }

    /// Whether options change nothing about what runs.
    fn set(&mut self, options: &[&str]) -> bool {
        let mut options = options.iter().copied();
        let mut is_harmless = options.len() > 0;
        while let Some(option) = options.next() {
            let (letters, is_named) = match option.strip_suffix('o') {
                Some(letters) => (letters, true),
                None => (option, false),
            };
            is_harmless &= is_harmless_option(letters) || is_named && letters == "-";
            let name = if is_named { options.next().unwrap_or_default() } else { "" };
            is_harmless &= !is_named || HARMLESS_NAMES.contains(&name);
            self.ends_at_errors |= letters.contains('e') || name == "errexit";
            self.must_be_set |= letters.contains('u') || name == "nounset";
        }
        is_harmless
    }

    /// Follows `cd`; returns whether the script goes on.
    fn change(&mut self, words: Option<&[&str]>) -> bool {
        let to = match words {
            Some([_, to]) => to.trim_end_matches('/'),
            _ => "",
        };
        self.current = (to == self.place.task_root).then_some(self.place.task_root);
        words.is_some() && (self.current.is_some() || !self.ends_at_errors)
    }

    /// Whether a word sets a variable, and that matters for no later line, nor for a script that is executed; or
    /// exports one.
    fn assign(&self, word: &Word, is_export: bool) -> bool {
        let name = match word.text.split_once('=') {
            // With a quote in the name it is a command, or one of the words that its variables come to.
            Some((name, _)) if word.n_plain <= name.len() && (!is_export || word.goes_on) => return false,
            Some(("LAMBDA_TASK_ROOT", _)) => return false,
            Some((name, _)) => name,
            None if is_export && !word.goes_on => &word.text,
            None => return false,
        };
        let is_constant = self.constants.iter().any(|constant| constant == name);
        is_name(name) && !is_constant && !matters(name)
    }
}

/// Returns the files that a line names where a command may stand.
fn named(line: &str, current: Option<&str>) -> Vec<Run> {
    let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    if words.first().is_none_or(|word| word.starts_with('#')) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let path = word.trim_matches(['"', '\'']);
        let is_literal = path.contains('/') && !path.contains(NO_LITERAL);
        if (index == 0 || words[index - 1] == "exec") && is_literal && !word.contains('=') {
            let path = absolute(path, current);
            found.push(Run { path, is_certain: false, is_at_root: current.is_some() });
        }
    }
    found
}

const NO_LITERAL: &[char] = &['$', '*', '?', '[', '~', '"', '\'', '`', '{', '<', '>'];

/// Whether a word is the mask of `umask`.
fn is_mask(word: &str) -> bool {
    matches!(word.len(), 1..=4) && word.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
}

/// Whether a variable may have a name.
fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a variable changes what the loader does, or how the shell reads the next lines, or can not be set.
///
/// Source: the read-only and the computed ones of "Shell Variables" in bash(1).
fn matters(name: &str) -> bool {
    const STARTS: &[&str] = &["LD_", "GLIBC_TUNABLES", "BASH"];
    const NAMES: &[&str] = &[
        "DIRSTACK",
        "ENV",
        "EUID",
        "FUNCNAME",
        "GROUPS",
        "HISTCMD",
        "IFS",
        "LINENO",
        "OPTIND",
        "POSIXLY_CORRECT",
        "PPID",
        "PS4",
        "RANDOM",
        "SECONDS",
        "SHELLOPTS",
        "SRANDOM",
        "UID",
    ];
    STARTS.iter().any(|start| name.starts_with(start)) || NAMES.contains(&name)
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
        let place = StartPlace { task_root: "/var/task", current: Some("/var/task"), has_handler: true };
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
                StartPlace { task_root: "/var/task", current: Some("/var/task"), has_handler: true },
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
