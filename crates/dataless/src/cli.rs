//! What can be typed.

mod checkout;
mod data;
#[cfg(test)]
mod documents;
mod events;
mod warehouse;

use clap::{Parser, Subcommand};

pub use self::checkout::{Account, Doctor, Lock, Test};
pub use self::data::{DayRange, Erase, EraseTarget, Etl, Format, Import, Ledger, Query, Rejected, Replay, Traffic};
pub use self::events::{Check, Events, EventsCommand, List, New, Remove, Sample, Sync};
pub use self::warehouse::{Chaos, Dashboard, Demo, Down, Loadgen, Logs, Status, Up};
use crate::workspace::InstanceName;

/// Runs the warehouse on this machine, from the template that goes to AWS.
#[derive(Debug, Parser)]
#[command(name = "cargo dataless", bin_name = "cargo dataless", version, max_term_width = 100)]
pub struct Arguments {
    /// Print each command that is run.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// The warehouse that a command is for, if it is not that of `up`.
    #[arg(long, global = true, hide = true, value_enum, default_value = "up")]
    pub warehouse: InstanceName,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up, deploy, send a day of events through every stage, and balance the books.
    Demo(Demo),
    /// Break a warehouse of its own while events arrive and nights run, repair it as an operator would, and look for every
    /// event. Exit status 1 when one is lost or doubled.
    Chaos(Chaos),
    /// Start the warehouse and leave it running; again: deploy what has changed.
    Up(Up),
    /// Stop the warehouse that `up` started.
    Down(Down),
    /// Say whether the warehouse runs, and where.
    Status(Status),
    /// Run the ETL of arrival days from the raw zone to the lake, and of those after them whose events may be repeats.
    Etl(Etl),
    /// Run the nightly batch for an arrival day or a range: an execution of the deployed state machine.
    Batch(DayRange),
    /// Simulate the users of ads: send their events to the warehouse, or write them as files to import.
    ///
    /// `loadgen run`, the default, posts events to the API of the running warehouse, as clients do: everything on the way
    /// sees them, and the report says what became of each. `loadgen files` writes a day of events as raw files, millions
    /// of lines in seconds, and `import` puts them into the raw zone, past API, functions and real-time metrics.
    /// `loadgen --help` and `loadgen files --help` list the options, such as --repeats, --late, --malformed and --bots.
    #[command(disable_help_flag = true)]
    Loadgen(Loadgen),
    /// Put raw files into the warehouse, such as `loadgen files` writes.
    ///
    /// They go past the API, the functions and the real-time metrics; `loadgen run` sends events through all of them.
    Import(Import),
    /// Print the books: what became of every raw line. Exit status 1 when they do not balance.
    Ledger(Ledger),
    /// Recompute from the raw lines, in another engine, what becomes of them, and the traffic of each ad, and compare. Exit
    /// status 1 when it differs.
    Verify(DayRange),
    /// Print the raw lines that are not events, with the reason, and whether they were replayed.
    Rejected(Rejected),
    /// Put rejected lines that are events after all, or were corrected by hand, back through the raw zone.
    Replay(Replay),
    /// Erase a person, a thing or an event from everything that is kept; without --yes, only report where it is.
    Erase(Erase),
    /// Add, check and remove event types: one schema each, from which everything else follows.
    Events(Events),
    /// Ask the lake in SQL.
    ///
    /// On a terminal at most 50 rows are printed; a pipe or a file gets them all. Tables are partitioned by the texts year,
    /// month and day of four and two digits: year = '2026' AND month = '03' AND day = '07'.
    Query(Query),
    /// Ask the traffic endpoint for an ad.
    Traffic(Traffic),
    /// Serve the deployed dashboards as a live page, on the loopback interface.
    Dashboard(Dashboard),
    /// Show the logs.
    Logs(Logs),
    /// Report what this machine lacks, and how to get it; with --aws, what would stop a deployment to an AWS account.
    Doctor(Doctor),
    /// Make the hashed lists of tools in `requirements/` anew from their sources, the `.in` files.
    Lock(Lock),
    /// Run the tests.
    Test(Test),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
