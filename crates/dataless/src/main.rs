#![doc = include_str!("../README.md")]

mod cli;
mod commands;
mod dashboard;
mod process;
mod stage;
mod ui;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use console::style;

use crate::process::Interrupted;

/// As shells do for SIGINT: 128 and the signal's number.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    ui::set_verbose(arguments.verbose);
    match process::stop_children_on_signals().and_then(|()| commands::run(arguments.command)) {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) if error.is::<Interrupted>() => {
            ui::note("interrupted: all that was started has been stopped");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            eprintln!("{} {error:#}", style("error:").for_stderr().red().bold());
            ExitCode::from(commands::Outcome::Failed as u8)
        }
    }
}
