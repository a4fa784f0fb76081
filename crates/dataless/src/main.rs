#![doc = include_str!("../README.md")]
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic when a pipe is closed: see `ui`")]

#[macro_use]
mod ui;

mod cli;
mod commands;
mod environment;
mod local;
mod locks;
mod log_file;
mod outcome;
mod process;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use console::style;

use crate::outcome::Outcome;
use crate::process::Interrupted;

/// As in shells: 128 plus the number of SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    ui::set_verbose(arguments.verbose);
    match process::stop_children_on_signals()
        .and_then(|()| commands::run(arguments.command, arguments.warehouse))
        .and_then(flushed)
    {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) if error.is::<Interrupted>() => {
            ui::note("interrupted: everything that was started has been stopped");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            ui::note(&format!("{} {error:#}", style("error:").for_stderr().red().bold()));
            ExitCode::from(Outcome::Failed as u8)
        }
    }
}

/// The outcome, after standard output was flushed.
fn flushed(outcome: Outcome) -> anyhow::Result<Outcome> {
    ui::finish_output().map(|()| outcome)
}
