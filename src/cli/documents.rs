//! Documents about the tool: its JSON Schema, shell completions, a manual page.

use clap::CommandFactory;

use super::{Cli, PrintCommand};

/// The JSON Schema of all output with `--message-format json`.
pub const SCHEMA: &str = include_str!("../report/schema.json");

/// The name of the program's file, which shells complete and `man` looks for.
const FILE_NAME: &str = "cargo-lambda-bundle";

/// The command under its file name: shells cannot complete `cargo lambda-bundle`, which has a space.
fn command() -> clap::Command {
    Cli::command().name(FILE_NAME)
}

/// Returns the requested document.
pub fn text(asked: &PrintCommand) -> String {
    let mut bytes = Vec::new();
    match asked {
        PrintCommand::Help { .. } => unreachable!("clap has printed it"),
        PrintCommand::Schema => bytes.extend(SCHEMA.bytes()),
        PrintCommand::Completions { shell } => {
            clap_complete::generate(*shell, &mut command(), FILE_NAME, &mut bytes);
        }
        PrintCommand::Man => {
            clap_mangen::Man::new(command())
                .render(&mut bytes)
                .unwrap_or_else(|error| unreachable!("memory can be written: {error}"));
        }
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|_| unreachable!("all of it was made from text"));
    // clap_complete 4.6.11 writes the hyphens of a program's name in two ways for bash, so that subcommands get lost.
    text.replace("cargo__subcmd__lambda__subcmd__bundle", "cargo__lambda__bundle")
}
