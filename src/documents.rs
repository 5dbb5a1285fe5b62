//! What the tool says of itself for other programs: its JSON Schema, shell completions, a manual page.

use clap::CommandFactory;

use crate::cli::{Cli, PrintCommand};

/// The JSON Schema of everything that `--message-format json` prints.
pub const SCHEMA: &str = include_str!("report/schema.json");

/// The name of the program's file, which shells complete and `man` looks for.
const FILE_NAME: &str = "cargo-lambda-bundle";

/// The document that was asked for.
pub fn text(asked: &PrintCommand) -> String {
    let mut bytes = Vec::new();
    match asked {
        PrintCommand::Schema => bytes.extend(SCHEMA.bytes()),
        PrintCommand::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), FILE_NAME, &mut bytes);
        }
        PrintCommand::Man => {
            let command = Cli::command().display_name(FILE_NAME);
            clap_mangen::Man::new(command)
                .render(&mut bytes)
                .unwrap_or_else(|error| unreachable!("memory can be written: {error}"));
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| unreachable!("all of it was made from text"))
}
