//! The manual pages, one for the command, for each subcommand and for each topic of `help`, in the macros of man(7).
//!
//! `mandoc -Tlint` finds nothing in them, and examples stand as they are typed.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::topics::{TOPICS, Topic};
use super::{Cli, EXAMPLES, EXIT_STATUS, SETTINGS};

/// The longest line of a page's source.
const COLUMNS: usize = 76;

/// A manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualPage {
    /// The name of its file: `cargo-lambda-bundle-check.1`.
    pub file_name: String,
    /// Its source.
    pub text: String,
}

/// Returns all pages; that of the command itself comes first.
pub fn pages() -> Vec<ManualPage> {
    let mut root = Cli::command();
    root.build();
    let mut commands = vec![&root];
    let mut at = 0;
    while let Some(command) = commands.get(at) {
        // Those are hidden that clap adds: `help` of a subcommand.
        commands.extend(subcommands(command));
        at += 1;
    }
    let names: Vec<String> = commands.iter().map(|command| name(command)).collect();
    let pages = commands.iter().zip(&names);
    let pages = pages.map(|(command, name)| ManualPage {
        file_name: format!("{name}.1"),
        text: page(command, name, &names),
    });
    let topics = TOPICS
        .iter()
        .map(|topic| ManualPage { file_name: format!("{}.7", topic_name(topic)), text: topic_page(topic) });
    pages.chain(topics).collect()
}

/// The name of a topic's page. No subcommand has the name of a topic.
fn topic_name(topic: &Topic) -> String {
    format!("cargo-lambda-bundle-{}", topic.name)
}

/// The subcommands with pages: `help check` is another way to the help, not a subcommand of `help`.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    let is_root = command.get_name() == "cargo lambda-bundle";
    command.get_subcommands().filter(move |it| !it.is_hide_set() && (is_root || it.get_name() != "help"))
}

/// The name of a command's page.
fn name(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-")
}

/// The day of the page: that of the commit that a release was built from, else that of the newest facts in it.
fn day() -> &'static str {
    let commit = option_env!("LAMBDA_BUNDLE_COMMIT").and_then(|commit| commit.split(' ').nth(1));
    let facts = || {
        let text = crate::baseline::embedded_text(crate::baseline::DEFAULT_RUNTIME, crate::elf::Arch::X86_64);
        text?.lines().find_map(|line| line.strip_prefix("recorded "))
    };
    commit.or_else(facts).unwrap_or("1980-01-01")
}

fn page(command: &Command, name: &str, names: &[String]) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = PageSource::new(name, 1, &about);

    page.section("SYNOPSIS");
    page.line(".nf");
    let usage = command.clone().render_usage().to_string();
    for line in usage.trim_start_matches("Usage:").lines().map(str::trim).filter(|line| !line.is_empty()) {
        page.line(&escaped(line));
    }
    page.line(".fi");

    if let Some(long) = command.get_long_about() {
        page.section("DESCRIPTION");
        // The first paragraph is the name's.
        let long = long.to_string();
        page.paragraphs(long.split_once("\n\n").map_or(long.as_str(), |(_, rest)| rest));
    }
    if subcommands(command).next().is_some() {
        page.section("COMMANDS");
    }
    for subcommand in subcommands(command) {
        page.line(".TP");
        page.line(&format!("\\fB{}\\fR(1)", escaped(&self::name(subcommand))));
        page.text(&subcommand.get_about().map(ToString::to_string).unwrap_or_default());
    }
    page.arguments(command);
    if command.get_name() == "cargo lambda-bundle" {
        page.section("SETTINGS");
        page.text(SETTINGS);
        page.section("EXIT STATUS");
        for (status, meaning) in EXIT_STATUS {
            page.line(".TP");
            page.line(&format!("\\fB{status}\\fR"));
            page.text(meaning);
        }
        page.section("EXAMPLES");
        page.line(".nf");
        for line in EXAMPLES {
            page.line(&escaped(line));
        }
        page.line(".fi");
    }
    page.section("SEE ALSO");
    let others = names.iter().filter(|other| *other != name).map(|other| (other.clone(), 1));
    let topics = TOPICS.iter().map(|topic| (topic_name(topic), 7));
    page.references(&others.chain(topics).collect::<Vec<_>>());
    page.0
}

/// The page of a topic: its headings are sections, its blocks stand as they are.
fn topic_page(topic: &Topic) -> String {
    let mut page = PageSource::new(&topic_name(topic), 7, topic.summary());
    page.section("DESCRIPTION");
    let mut paragraph = String::new();
    let (mut is_kept, mut is_new) = (false, true);
    for line in topic.text.lines().skip(2).chain([""]) {
        let heading = line.strip_prefix("## ");
        let item = line.strip_prefix("- ");
        let is_fence = line.starts_with("```");
        if is_kept || is_fence || heading.is_some() || item.is_some() || line.is_empty() {
            page.formatted(&std::mem::take(&mut paragraph));
        }
        match (heading, item) {
            _ if is_fence => {
                is_kept = !is_kept;
                // A paragraph before a section's first text is one too many.
                let space = if is_new { ".RS 4" } else { ".sp\n.RS 4" };
                page.line(if is_kept { space } else { ".fi\n.RE" });
                if is_kept {
                    page.line(".nf");
                }
                is_new = false;
            }
            _ if is_kept => page.line(&escaped(line)),
            (Some(heading), _) => {
                page.section(&escaped(&heading.to_uppercase()));
                is_new = true;
            }
            (_, Some(item)) => {
                page.line(".IP \\(bu 2");
                paragraph.push_str(item);
                is_new = false;
            }
            _ if !line.is_empty() => {
                if paragraph.is_empty() && !is_new {
                    page.line(".PP");
                }
                paragraph.push_str(&format!(" {}", line.trim()));
                is_new = false;
            }
            _ => {}
        }
    }
    page.section("SEE ALSO");
    page.references(&[("cargo-lambda-bundle".to_owned(), 1)]);
    page.0
}

/// The source of a page.
#[derive(Default)]
struct PageSource(String);

impl PageSource {
    /// A page with its first section.
    fn new(name: &str, section: u8, about: &str) -> PageSource {
        let mut page = PageSource::default();
        let title = escaped(&name.to_uppercase());
        let version = env!("CARGO_PKG_VERSION");
        page.line(&format!(".TH {title} {section} \"{}\" \"cargo lambda-bundle {version}\"", day()));
        // A name that is broken, or spaces between words, would be copied wrong.
        page.line(".nh");
        page.line(".ad l");
        page.section("NAME");
        page.text(&format!("{name} - {about}"));
        page
    }

    /// Adds the names of other pages and their sections.
    fn references(&mut self, others: &[(String, u8)]) {
        for (at, (other, section)) in others.iter().enumerate() {
            let comma = if at + 1 < others.len() { " ," } else { "" };
            self.line(&format!(".BR {} ({section}){comma}", escaped(other)));
        }
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{line}"); // memory can be written
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// Adds text, broken between words.
    fn text(&mut self, text: &str) {
        self.words(text.split_whitespace().map(escaped));
    }

    /// Adds text in which `code` is bold.
    fn formatted(&mut self, text: &str) {
        let mut is_code = false;
        self.words(text.split_whitespace().map(|word| {
            let mut formatted = String::new();
            for (at, part) in word.split('`').enumerate() {
                is_code ^= at > 0;
                let part = escaped(part);
                // A font ends with its word, so that no line begins in one.
                formatted.push_str(&if is_code && !part.is_empty() {
                    format!("\\fB{part}\\fR")
                } else {
                    part
                });
            }
            formatted
        }));
    }

    fn words(&mut self, words: impl Iterator<Item = String>) {
        let mut line = String::new();
        for word in words {
            if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
                self.line(&std::mem::take(&mut line));
            }
            let space = if line.is_empty() { "" } else { " " };
            let _ = write!(line, "{space}{word}"); // memory can be written
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    fn paragraphs(&mut self, text: &str) {
        for (at, paragraph) in text.split("\n\n").enumerate() {
            if at > 0 {
                self.line(".PP");
            }
            self.text(paragraph);
        }
    }

    /// Adds the arguments, with a heading for each group of flags.
    fn arguments(&mut self, command: &Command) {
        let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
        let (positional, flags): (Vec<&Arg>, Vec<&Arg>) = shown.iter().partition(|arg| arg.is_positional());
        if !positional.is_empty() {
            self.section("ARGUMENTS");
        }
        for arg in positional {
            self.argument(arg);
        }
        self.section("OPTIONS");
        let mut headings: Vec<&str> = Vec::new();
        for heading in flags.iter().filter_map(|flag| flag.get_help_heading()) {
            if !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        for heading in headings {
            self.line(&format!(".SS {heading}"));
            for flag in flags.iter().filter(|flag| flag.get_help_heading() == Some(heading)) {
                self.argument(flag);
            }
        }
        let others: Vec<&&Arg> = flags.iter().filter(|flag| flag.get_help_heading().is_none()).collect();
        if !others.is_empty() && others.len() < flags.len() {
            self.line(".SS Other");
        }
        for flag in others {
            self.argument(flag);
        }
    }

    fn argument(&mut self, arg: &Arg) {
        self.line(".TP");
        let names = [arg.get_short().map(|it| format!("-{it}")), arg.get_long().map(|it| format!("--{it}"))];
        let names: Vec<String> =
            names.into_iter().flatten().map(|it| format!("\\fB{}\\fR", escaped(&it))).collect();
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let value = arg.get_value_names().filter(|_| takes_value).map(|names| names[0].to_string());
        let value = value.map(|value| format!("\\fI{}\\fR", escaped(&value)));
        let tag = [names.join(", "), value.unwrap_or_default()];
        self.line(&tag.iter().filter(|it| !it.is_empty()).cloned().collect::<Vec<_>>().join(" "));
        let help =
            arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        for (at, paragraph) in help.split("\n\n").enumerate() {
            if at > 0 {
                self.line(".sp");
            }
            self.text(paragraph);
        }
        let choices = arg.get_possible_values();
        let choices = choices.iter().filter(|_| takes_value && !arg.is_hide_possible_values_set());
        for choice in choices {
            let meaning = choice.get_help().map(ToString::to_string).unwrap_or_default();
            self.line(".br");
            self.text(&match meaning.is_empty() {
                true => choice.get_name().to_owned(),
                false => format!("{}: {meaning}", choice.get_name()),
            });
        }
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        if takes_value && !defaults.is_empty() {
            self.line(".br");
            self.text(&format!("The default is {}.", defaults.join(", ")));
        }
    }
}

/// Text as it stands in a line of roff.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
