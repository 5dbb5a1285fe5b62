//! Documents about the tool: its JSON Schema, shell completions, a manual page.

use clap::CommandFactory;
use clap_complete::Shell;

use super::topics::{overview, topic};
use super::{Cli, PrintCommand, manual};

/// The JSON Schema of all output with `--message-format json`.
pub const SCHEMA: &str = include_str!("../report/schema.json");

/// The name of the program's file, which shells complete and `man` looks for.
const FILE_NAME: &str = "cargo-lambda-bundle";

/// The command under its file name.
fn command() -> clap::Command {
    Cli::command().name(FILE_NAME)
}

/// Returns the requested document.
pub fn text(asked: &PrintCommand) -> String {
    let mut bytes = Vec::new();
    match asked {
        PrintCommand::Help { command } => {
            // clap has printed the help of a subcommand.
            let page = command.first().and_then(|name| topic(name));
            bytes.extend(page.map_or_else(|| overview(&Cli::command()), |page| page.text.to_owned()).bytes());
        }
        PrintCommand::Schema => bytes.extend(SCHEMA.bytes()),
        PrintCommand::Completions { shell } => match shell {
            Shell::Bash => bytes.extend(include_bytes!("completions/bash")),
            Shell::Zsh => bytes.extend(include_bytes!("completions/zsh")),
            Shell::Fish => bytes.extend(include_bytes!("completions/fish")),
            shell => clap_complete::generate(*shell, &mut command(), FILE_NAME, &mut bytes),
        },
        PrintCommand::Man { .. } => {
            bytes.extend(manual::pages().iter().take(1).flat_map(|page| page.text.bytes()))
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| unreachable!("all of it was made from text"))
}
