//! Documents about the tool: its JSON Schema, shell completions, a manual page.

use clap::CommandFactory;
use clap_complete::Shell;

use super::topics::{TOPICS, overview, to_roff, topic};
use super::{Cli, PrintCommand};

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
        PrintCommand::Completions { shell } => {
            clap_complete::generate(*shell, &mut command(), FILE_NAME, &mut bytes);
        }
        PrintCommand::Man => {
            clap_mangen::Man::new(command())
                .render(&mut bytes)
                .unwrap_or_else(|error| unreachable!("memory can be written: {error}"));
            TOPICS.iter().for_each(|topic| bytes.extend(to_roff(topic).bytes()));
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| unreachable!("all of it was made from text"))
}
