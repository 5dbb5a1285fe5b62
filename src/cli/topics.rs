//! The pages of `help TOPIC`: what is too long for the help of a flag, and for README.
//!
//! A page is Markdown in `topics/`, with a first line `# name: summary`. It reads well as it is, on a terminal of 100
//! columns. The manual pages are made of them.

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
