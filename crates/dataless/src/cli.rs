//! The arguments of the command line.

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
    /// Print each command before it runs.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// The warehouse that a command works on, instead of that of `up`.
    #[arg(long, global = true, hide = true, value_enum, default_value = "up")]
    pub warehouse: InstanceName,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up, deploy, send a day of events through every stage, and check that the books balance.
    Demo(Demo),
    /// Inject faults into a separate warehouse while events arrive and batches run, repair it as an operator would, and
    /// search for every event. Exit status 1 if an event is lost or duplicated.
    Chaos(Chaos),
    /// Start the warehouse and leave it running. If it is running, deploy what has changed.
    Up(Up),
    /// Stop the warehouse that `up` started.
    Down(Down),
    /// Print whether the warehouse is running, and its addresses.
    Status(Status),
    /// Run the ETL of arrival days, from the raw zone to the lake, and of the days after them whose events may be repeats.
    Etl(Etl),
    /// Run the nightly batch for an arrival day or a range: an execution of the deployed state machine.
    Batch(DayRange),
    /// Simulate users: send their events to the warehouse, or write them as files to import.
    ///
    /// `loadgen run`, the default, posts events to the API of the running warehouse, as clients do. They pass through every
    /// stage, and a report counts the outcomes. `loadgen files` writes a day of events as raw files, millions of lines in
    /// seconds. `import` then copies them to the raw zone and bypasses API, functions and real-time metrics.
    /// `loadgen --help` and `loadgen files --help` list the options, such as --repeats, --late, --malformed and --bots.
    #[command(disable_help_flag = true)]
    Loadgen(Loadgen),
    /// Copy raw files to the warehouse, such as those of `loadgen files`.
    ///
    /// They bypass the API, the functions and the real-time metrics. `loadgen run` sends events through all of them.
    Import(Import),
    /// Print the books: the fate of every raw line. Exit status 1 if they do not balance.
    Ledger(Ledger),
    /// Recompute the fates of raw lines and the traffic of each ad in another engine, and compare. Exit status 1 if they
    /// differ.
    Verify(DayRange),
    /// Print the raw lines that are not valid events, with the reason, and whether they were replayed.
    Rejected(Rejected),
    /// Send rejected lines through the raw zone again: those that are valid now, or that were corrected by hand.
    Replay(Replay),
    /// Erase a person, a thing or an event from all stored data. Without --yes, only report where it is.
    Erase(Erase),
    /// Add, check and remove event types. Each is one schema; everything else is derived from it.
    Events(Events),
    /// Query the lake in SQL.
    ///
    /// On a terminal, at most 50 rows are printed; a pipe or a file gets all rows. Tables are partitioned by year, month
    /// and day, which are text of four and two digits: year = '2026' AND month = '03' AND day = '07'.
    Query(Query),
    /// Print the traffic of an ad, as the API returns it.
    Traffic(Traffic),
    /// Serve the deployed dashboards as a live page on the loopback interface.
    Dashboard(Dashboard),
    /// Show the logs.
    Logs(Logs),
    /// Report what is missing on this machine, and how to get it. With --aws, report what would stop a deployment to AWS.
    Doctor(Doctor),
    /// Generate the hashed lists of tools in `requirements/` from their sources, the `.in` files.
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
