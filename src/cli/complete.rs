//! The words that a shell offers at the end of a half-typed command line.
//!
//! The scripts in `completions` ask for them with `cargo-lambda-bundle __complete SHELL WORD...`, so that all shells
//! offer the same. This module reads no files: names that only the project knows are for the caller to find.

use std::any::TypeId;

use camino::Utf8PathBuf;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;
use super::topics::TOPICS;
use crate::audit::Code;
use crate::baseline;
use crate::include::Include;
use crate::workspace::LAMBDA_TARGETS;

/// The first argument that asks for completions.
pub const ASKED: &str = "__complete";

/// A word that a shell offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedWord {
    /// The whole word.
    pub word: String,
    /// What it means, in one line; may be empty.
    pub meaning: String,
}

impl OfferedWord {
    /// A word that needs no explanation.
    pub fn plain(word: impl Into<String>) -> OfferedWord {
        OfferedWord { word: word.into(), meaning: String::new() }
    }
}

/// The kind of words that may stand at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferedKind {
    /// These words.
    Words(Vec<OfferedWord>),
    /// The packages of the workspace.
    Packages,
    /// Its binaries.
    Binaries,
    /// Its examples.
    Examples,
    /// The libraries of the selected programs, or the code of a finding.
    Libraries,
    /// Paths of files.
    Files,
    /// Paths of directories.
    Directories,
}

/// What may stand at the end of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The kind of words.
    pub offer: OfferedKind,
    /// The start of the last word that stands before each of them: `--bin=`, or `shadowed,` of a list.
    pub before: String,
}

/// Returns what may stand in the place of the last word. `words` are those behind the program's name.
pub fn complete(words: &[String]) -> Completion {
    let mut root = Cli::command();
    root.build();
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let line = TypedLine::read(&root, before);
    let whole = |offer| Completion { offer, before: String::new() };
    if let Some(flag) = line.open {
        return values(flag, last, "");
    }
    if let Some((name, value)) = last.split_once('=').filter(|_| last.starts_with("--")) {
        return match line.flag(&name[2..]) {
            Some(flag) => values(flag, value, &format!("{name}=")),
            None => whole(OfferedKind::Words(Vec::new())),
        };
    }
    if last.starts_with('-') {
        return whole(OfferedKind::Words(line.flags()));
    }
    let subcommands = line.subcommands();
    let positional = line.command.get_positionals().nth(line.n_positionals);
    let positional = positional.or_else(|| line.command.get_positionals().last().filter(|it| is_list(it)));
    match positional {
        Some(positional) => values(positional, last, ""),
        None if subcommands.is_empty() && last.is_empty() => whole(OfferedKind::Words(line.flags())),
        None => whole(OfferedKind::Words(subcommands)),
    }
}

/// A command line up to the last word.
struct TypedLine<'a> {
    /// The command or subcommand.
    command: &'a Command,
    /// The flag whose value comes next.
    open: Option<&'a Arg>,
    /// The ids of the flags that were given.
    given: Vec<&'a str>,
    /// The number of words that are no flags and no values of flags.
    n_positionals: usize,
}

impl<'a> TypedLine<'a> {
    fn read(root: &'a Command, words: &[String]) -> TypedLine<'a> {
        let mut line = TypedLine { command: root, open: None, given: Vec::new(), n_positionals: 0 };
        for word in words {
            if line.open.take().is_some() {
                continue;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, it)| (name, Some(it)));
                let Some(flag) = line.flag(name) else { continue };
                line.given.push(flag.get_id().as_str());
                line.open = Some(flag).filter(|flag| value.is_none() && takes_value(flag));
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    let flag = line.command.get_arguments().find(|flag| flag.get_short() == Some(letter));
                    let Some(flag) = flag else { break };
                    line.given.push(flag.get_id().as_str());
                    if takes_value(flag) {
                        // `-pNAME` has its value.
                        let is_last = letters[at + letter.len_utf8()..].is_empty();
                        line.open = Some(flag).filter(|_| is_last);
                        break;
                    }
                }
            } else if let Some(command) =
                line.command.find_subcommand(word).filter(|_| line.n_positionals == 0)
            {
                line = TypedLine { command, open: None, given: Vec::new(), n_positionals: 0 };
            } else {
                line.n_positionals += 1;
            }
        }
        line
    }

    fn flag(&self, long: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|flag| {
            flag.get_long() == Some(long) || flag.get_all_aliases().is_some_and(|names| names.contains(&long))
        })
    }

    fn subcommands(&self) -> Vec<OfferedWord> {
        // `cargo lambda-bundle --bin x check` is wrong.
        if !self.given.is_empty() && self.command.is_args_conflicts_with_subcommands_set() {
            return Vec::new();
        }
        let words = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        let words = words.map(|command| offered(command.get_name(), command.get_about()));
        // clap has a `help` in each command that has subcommands.
        words.filter(|it| it.word != "help" || self.command.get_name() == "cargo lambda-bundle").collect()
    }

    /// The flags that may follow.
    fn flags(&self) -> Vec<OfferedWord> {
        let may_follow = |flag: &&Arg| {
            let is_repeatable = matches!(flag.get_action(), ArgAction::Append | ArgAction::Count);
            !flag.is_hide_set() && (is_repeatable || !self.given.contains(&flag.get_id().as_str()))
        };
        let flags = self.command.get_arguments().filter(may_follow);
        flags.filter_map(|flag| Some(offered(&format!("--{}", flag.get_long()?), flag.get_help()))).collect()
    }
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

fn is_list(positional: &Arg) -> bool {
    matches!(positional.get_action(), ArgAction::Append)
}

/// A word with the first line of its help.
fn offered(word: &str, help: Option<&clap::builder::StyledStr>) -> OfferedWord {
    let help = help.map(ToString::to_string).unwrap_or_default();
    OfferedWord { word: word.to_owned(), meaning: help.lines().next().unwrap_or_default().to_owned() }
}

/// Returns the values of a flag or a positional word of which `typed` is there.
fn values(arg: &Arg, typed: &str, before: &str) -> Completion {
    let plain =
        |words: &[&str]| OfferedKind::Words(words.iter().map(|word| OfferedWord::plain(*word)).collect());
    let mut before = before.to_owned();
    if arg.get_value_delimiter() == Some(',') {
        before.push_str(&typed[..typed.rfind(',').map_or(0, |at| at + 1)]);
    }
    let choices = arg.get_possible_values();
    let name = arg.get_long().unwrap_or(arg.get_id().as_str());
    let offer = match name {
        "package" | "exclude" => OfferedKind::Packages,
        "bin" => OfferedKind::Binaries,
        "example" => OfferedKind::Examples,
        // That of `explain`, and that of `baseline show`.
        "name" if arg.is_positional() && !arg.is_required_set() => OfferedKind::Libraries,
        "name" | "a" | "b" if arg.is_positional() => plain(&baseline::names()),
        "runtime" => plain(&[&baseline::names()[..], &["all"]].concat()),
        "target" => plain(&LAMBDA_TARGETS),
        "profile" => plain(&["release", "dev"]),
        "deny" => OfferedKind::Words([codes(), vec![OfferedWord::plain("warnings")]].concat()),
        "allow" => OfferedKind::Words(codes()),
        "command" if arg.is_positional() => {
            let root = Cli::command();
            let commands = root.get_subcommands().map(|it| offered(it.get_name(), it.get_about()));
            let topics = TOPICS.iter().map(|topic| OfferedWord {
                word: topic.name.to_owned(),
                meaning: topic.summary().to_owned(),
            });
            OfferedKind::Words(commands.chain(topics).collect())
        }
        _ if !choices.is_empty() => {
            OfferedKind::Words(choices.iter().map(|it| offered(it.get_name(), it.get_help())).collect())
        }
        _ => {
            let kind = arg.get_value_parser().type_id();
            let is_directory = arg.get_value_names().is_some_and(|names| names[0].as_str() == "DIR");
            match kind {
                kind if kind == TypeId::of::<Include>() => OfferedKind::Files,
                kind if kind != TypeId::of::<Utf8PathBuf>() => plain(&[]),
                _ if is_directory => OfferedKind::Directories,
                _ => OfferedKind::Files,
            }
        }
    };
    Completion { offer, before }
}

/// The codes of all findings, with what each means.
pub fn codes() -> Vec<OfferedWord> {
    let word =
        |code: &Code| OfferedWord { word: code.as_str().to_owned(), meaning: code.meaning().to_owned() };
    Code::ALL.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &str) -> Vec<String> {
        typed.split(' ').map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(typed: &str, before: &str, expected: &[&str]) {
        let completion = complete(&words(typed));
        assert_eq!(completion.before, before, "{typed}");
        let OfferedKind::Words(offered) = completion.offer else { panic!("{typed}: {:?}", completion.offer) };
        for word in expected {
            assert!(offered.iter().any(|it| it.word == *word), "{typed}: no {word} in {offered:?}");
        }
        assert_eq!(offered.is_empty(), expected.is_empty(), "{typed}: {offered:?}");
    }

    #[track_caller]
    fn check_kind(typed: &str, before: &str, offer: OfferedKind) {
        assert_eq!(complete(&words(typed)), Completion { offer, before: before.to_owned() }, "{typed}");
    }

    #[test]
    fn commands_flags_and_their_values() {
        check("", "", &["check", "verify", "baseline", "help"]);
        check("baseline ", "", &["capture", "diff"]);
        check("--bin x ", "", &["--example", "--bin"]);
        check("check --", "", &["--runtime", "--bin", "--help"]);
        check("check -q ", "", &["--runtime"]);
        check("help ba", "", &["baseline", "check", "settings"]);
        check("--runtime ", "", &["provided.al2023", "nodejs22.x", "image:al2", "all"]);
        check("--runtime=pro", "--runtime=", &["provided.al2023"]);
        check("check --deny shadowed,ver", "shadowed,", &["version-recent", "warnings"]);
        check("--allow=a,", "--allow=a,", &["version-recent"]);
        check("baseline show ", "", &["provided.al2"]);
        check("--message-format ", "", &["json", "sarif"]);
        check("completions ", "", &["bash", "fish"]);
        check("--features ", "", &[]);
        check("--nope=", "", &[]);
        check("baseline capture --name ", "", &[]);
    }

    #[test]
    fn names_of_the_project_and_paths() {
        check_kind("-p ", "", OfferedKind::Packages);
        check_kind("-qp ", "", OfferedKind::Packages);
        check_kind("check --bin=or", "--bin=", OfferedKind::Binaries);
        check_kind("--example ", "", OfferedKind::Examples);
        check_kind("explain ", "", OfferedKind::Libraries);
        check_kind("explain --bin x lib", "", OfferedKind::Libraries);
        check_kind("verify a.zip ", "", OfferedKind::Files);
        check_kind("--binary ", "", OfferedKind::Files);
        check_kind("--include ", "", OfferedKind::Files);
        check_kind("--sysroot ", "", OfferedKind::Directories);
    }

    #[test]
    fn a_flag_is_offered_once_unless_it_can_be_repeated() {
        let OfferedKind::Words(offered) = complete(&words("check --offline --bin x --")).offer else {
            panic!()
        };
        assert!(offered.iter().all(|it| it.word != "--offline"));
        assert!(offered.iter().any(|it| it.word == "--bin"));
    }
}
