//! The pages of `help TOPIC`: what is too long for the help of a flag, and for README.
//!
//! A page is Markdown in `topics/`, with a first line `# name: summary`. It reads well as it is, on a terminal of 100
//! columns. The manual page has the same texts.

/// One page.
pub struct Topic {
    /// What to type after `help`.
    pub name: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

macro_rules! topics {
    ($($name:literal)+) => {
        /// Every page, in the order in which `help` lists them.
        pub const TOPICS: &[Topic] =
            &[$(Topic { name: $name, text: include_str!(concat!("topics/", $name, ".md")) }),+];
    };
}

topics! {
    "programs" "settings" "findings" "runtimes" "repairs" "archives" "files" "layers" "templates" "reports" "ci"
    "migration" "speed"
}

impl Topic {
    /// Returns the rest of the first line, which says what the page is about.
    pub fn summary(&self) -> &'static str {
        let title = self.text.lines().next().unwrap_or_default();
        title.split_once(": ").map_or("", |(_, summary)| summary)
    }
}

/// Returns the page with this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// Returns a line for each page.
pub fn list() -> String {
    let line = |topic: &Topic| format!("  {:<11}  {}\n", topic.name, topic.summary());
    TOPICS.iter().map(line).collect()
}

/// Returns what `help` prints without a name: the subcommands and the pages.
pub fn overview(command: &clap::Command) -> String {
    let line = |command: &clap::Command| {
        format!(
            "  {:<11}  {}\n",
            command.get_name(),
            command.get_about().map(ToString::to_string).unwrap_or_default()
        )
    };
    let commands: String = command.get_subcommands().map(line).collect();
    format!(
        "Usage: cargo lambda-bundle help <NAME>\n\nCommands:\n{commands}\nPages:\n{}\n\
         `cargo lambda-bundle -h` shows the options of daily use, `--help` all of them.\n",
        list()
    )
}

/// Converts a page to a section of a manual page; its headings are subsections.
pub fn to_roff(topic: &Topic) -> String {
    let mut roff = format!(".SH \"{}\"\n", topic.name.to_uppercase());
    let mut paragraph = String::new();
    let mut is_kept = false;
    // The summary is a sentence here.
    let lines = std::iter::once(topic.summary()).chain(topic.text.lines().skip(1)).chain([""]);
    for (n, line) in lines.enumerate() {
        let is_fence = line.starts_with("```");
        let is_table = line.starts_with('|');
        let item = line.strip_prefix("- ");
        let heading = line.strip_prefix("## ");
        let ends =
            is_kept || is_fence || is_table || item.is_some() || heading.is_some() || line.trim().is_empty();
        if ends && !paragraph.is_empty() {
            roff.push_str(&filled(&std::mem::take(&mut paragraph)));
        }
        if is_fence {
            is_kept = !is_kept;
            // Neither filled nor hyphenated.
            roff.push_str(if is_kept { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n" });
        } else if is_kept {
            roff.push_str(&kept(line));
        } else if is_table {
            roff.push_str(&format!(".nf\n{}.fi\n", kept(line)));
        } else if let Some(heading) = heading {
            roff.push_str(&format!(".SS \"{}\"\n", escaped(heading).replace('"', "\\(dq")));
        } else if let Some(item) = item {
            roff.push_str(".IP \\(bu 2\n");
            paragraph = item.to_owned();
        } else if !line.trim().is_empty() {
            if paragraph.is_empty() {
                roff.push_str(if n == 0 { "" } else { ".PP\n" });
            } else {
                paragraph.push(' ');
            }
            paragraph.push_str(line.trim_start());
        }
    }
    roff
}

/// One paragraph in short lines, as roff likes them, with `code` in bold.
fn filled(paragraph: &str) -> String {
    let mut text = String::new();
    for (n, part) in paragraph.split('`').enumerate() {
        let part = escaped(part);
        text.push_str(&if n % 2 == 1 { format!("\\fB{part}\\fR") } else { part });
    }
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        // A new sentence begins a new line: then roff decides how much space is between them.
        if !line.is_empty() && (line.len() + word.len() > 78 || line.ends_with('.')) {
            lines.push_str(&guarded(&std::mem::take(&mut line)));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &guarded(&line)
}

/// One line as it is.
fn kept(line: &str) -> String {
    guarded(&escaped(line))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\(rs").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga")
}

/// A line whose first character is no request.
fn guarded(line: &str) -> String {
    let guard = if line.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{line}\n")
}
