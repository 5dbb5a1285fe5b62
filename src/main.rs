//! The `cargo lambda-bundle` command: parse, call, print, exit.
//!
//! Exit status: 0 done; 1 findings of severity error (nothing was written); 2 wrong usage; 101 no result, like
//! cargo's own errors.

#![expect(
    clippy::disallowed_methods,
    reason = "argv, the environment, the clock and the number of cores are read here, once"
)]

use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::SystemTime;

use cargo_lambda_bundle::cli::{PrintCommand, complete, documents};
use cargo_lambda_bundle::command::{self, RunOutcome};
use cargo_lambda_bundle::environment::Environment;
use cargo_lambda_bundle::error::{Error, Result};
use cargo_lambda_bundle::settings::{self, CommandLine, Context, Output};
use cargo_lambda_bundle::ui::Ui;

/// musl's own is slow, and has one lock for all threads.
#[cfg(all(target_env = "musl", feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DONE: u8 = 0;
const FINDINGS: u8 = 1;
const USAGE: u8 = 2;
const NO_ANSWER: u8 = 101;

fn main() -> ExitCode {
    // `cargo lambda-bundle ...` runs `cargo-lambda-bundle lambda-bundle ...`.
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == "lambda-bundle") {
        arguments.remove(1);
    }
    if arguments.get(1).is_some_and(|argument| argument == complete::ASKED) {
        // A shell waits for words, not for an error.
        if let Ok(context) = context() {
            Ui::new(1, None, false).data(&command::complete::answer(&arguments[2..], context));
        }
        return ExitCode::from(DONE);
    }
    // The process ends with it: to free it would only cost time.
    let line = ManuallyDrop::new(CommandLine::parse(arguments));
    if let Some(asked) = line.print() {
        let ui = Ui::new(1, None, false);
        let PrintCommand::Man { directory: Some(directory) } = &asked else {
            ui.data(&documents::text(&asked));
            return exit(&ui, Ok(RunOutcome::Done));
        };
        let written = context().and_then(|context| command::write_manual(directory, &context, &ui));
        return exit(&ui, written.map(|()| RunOutcome::Done));
    }
    let (ui, result) = match context() {
        Ok(context) => run(&line, &context),
        Err(error) => (Ui::new(1, None, false), Err(error)),
    };
    exit(&ui, result)
}

fn exit(ui: &Ui, result: Result<RunOutcome>) -> ExitCode {
    ExitCode::from(match result.and_then(|outcome| ui.delivered().map(|()| outcome)) {
        Ok(RunOutcome::Done) => DONE,
        Ok(RunOutcome::Findings) => FINDINGS,
        Ok(RunOutcome::NoAnswer) => NO_ANSWER,
        Err(error) => {
            ui.error(&error);
            if error.is_usage() { USAGE } else { NO_ANSWER }
        }
    })
}

fn run(line: &CommandLine, context: &Context) -> (Ui, Result<RunOutcome>) {
    let ui = |output: &Output| Ui::new(output.verbosity, output.color, output.may_show_progress);
    match settings::resolve(line, context) {
        Ok(resolved) => {
            let ui = ui(&resolved.output);
            let outcome = command::run(&resolved, context, &ui);
            (ui, outcome)
        }
        Err(error) => match settings::first_output(line, context) {
            Ok(output) => (ui(&output), command::unanswered(error, &output, context, &ui(&output))),
            Err(_) => (Ui::new(1, None, false), Err(error)), // the same error again
        },
    }
}

fn context() -> Result<Context> {
    let current_dir = std::env::current_dir()
        .map_err(|cause| Error::new("could not find the current directory").because(cause))?;
    let current_dir = current_dir.clone().try_into().map_err(|error: camino::FromPathBufError| {
        Error::new(format!("the current directory `{}` is not UTF-8", current_dir.display())).because(error)
    })?;
    let environment = Environment { current_dir, vars: std::env::vars_os().collect() };
    // An unknown number counts as one: that costs time, but changes no bytes.
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    Ok(Context { environment, now: SystemTime::now(), threads })
}
