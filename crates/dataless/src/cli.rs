//! What can be typed.

#[cfg(test)]
mod documents;
mod events;

use std::ffi::OsString;
use std::path::PathBuf;

use chrono::{Days, NaiveDate, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::events::{Check, Events, EventsCommand, List, New, Remove, Sample, Sync};
use crate::commands::chaos::schedule::{Kind, read_kinds};
use crate::commands::test::parts::Part;
use crate::local::spark::Engine;
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

#[derive(Args, Debug)]
pub struct Demo {
    /// How many impressions to send.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub impressions: u64,
    /// Types of events to send besides, at random from their schemas, such as orders or orders=500. Without a number it
    /// is a thousand.
    #[arg(long, value_name = "TYPE[=N]", value_delimiter = ',', value_parser = read_wanted)]
    pub events: Vec<(String, u64)>,
    /// What the events are drawn from: the same seed sends the same events.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The emulator's port, on the loopback interface; by default 4566, or any free one when that is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Deploy what buildspec.yml makes, from where it puts it in S3, as the pipeline of build.yaml does.
    #[arg(long)]
    pub delivered: bool,
    /// Build the functions as for AWS: `sam build` with Cargo's release profile, some six minutes the first time. What is
    /// measured of functions is measured with it.
    #[arg(long)]
    pub release: bool,
}

#[derive(Args, Debug)]
pub struct Chaos {
    /// How many events to send, of all types together.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub events: u64,
    /// What the events and the faults are drawn from; a new one if not given.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// How long events are sent, in minutes.
    #[arg(long, value_name = "M", default_value_t = 1.0, value_parser = read_minutes)]
    pub minutes: f64,
    /// The kinds of faults: all, none, or some of them, such as kill-function,lost-answer. docs/chaos.md describes them.
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = read_kinds)]
    pub faults: std::vec::Vec<Kind>,
    /// Repeat the run of a report: the same events and the same faults.
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["events", "seed", "minutes", "faults"])]
    pub replay: Option<PathBuf>,
    /// The emulator's port, on the loopback interface; by default any free one.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Build the functions as for AWS: `sam build` with Cargo's release profile, some six minutes the first time.
    #[arg(long)]
    pub release: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

fn read_minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=1440.0).contains(&minutes) => Ok(minutes),
        _ => Err("it must be from 0.1 to 1440".to_owned()),
    }
}

/// A type of events and how many of it.
fn read_wanted(text: &str) -> Result<(String, u64), String> {
    let (name, count) = text.split_once('=').unwrap_or((text, "1000"));
    match count.parse() {
        Ok(count @ 1..=10_000_000) if !name.is_empty() => Ok((name.to_owned(), count)),
        _ => Err("it must be a type, or a type and a count up to 10000000: orders=500".to_owned()),
    }
}

#[derive(Args, Debug)]
pub struct Up {
    /// The emulator's port, on the loopback interface; by default 4566, or any free one when that is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Build the functions as for AWS: `sam build` with Cargo's release profile, some six minutes the first time. What is
    /// measured of functions is measured with it.
    #[arg(long)]
    pub release: bool,
}

#[derive(Args, Debug)]
pub struct Down {
    /// Delete the data too.
    #[arg(long)]
    pub purge: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    /// Print the outputs of the stack as JSON.
    #[arg(long, conflicts_with = "base_url")]
    pub json: bool,
    /// Print the address of the API only.
    #[arg(long)]
    pub base_url: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub struct DayRange {
    /// The day (UTC): YYYY-MM-DD, today or yesterday.
    #[arg(long, value_name = "D", value_parser = read_day)]
    pub day: NaiveDate,
    /// The last day, for a range.
    #[arg(long, value_name = "D2", value_parser = read_day)]
    pub to: Option<NaiveDate>,
}

/// A day as it can be typed.
fn read_day(text: &str) -> Result<NaiveDate, String> {
    let today = Utc::now().date_naive();
    match text {
        "today" => Ok(today),
        "yesterday" => Ok(today - Days::new(1)),
        _ => text.parse().map_err(|_| "it must be YYYY-MM-DD, today or yesterday".to_owned()),
    }
}

#[derive(Args, Clone, Copy, Debug)]
pub struct Etl {
    #[command(flatten)]
    pub range: DayRange,
    /// The language of the job. Both do the same.
    #[arg(long, value_enum, default_value_t = Engine::Python)]
    pub engine: Engine,
}

#[derive(Args, Debug)]
pub struct Loadgen {
    /// What the load generator is given: run, files or ads, and options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct Import {
    /// A folder with `data/raw/<group>/<type>/year=…/month=…/day=…/hour=…/` below it.
    pub dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Ledger {
    /// The day of arrival (UTC), YYYY-MM-DD; all days by default.
    #[arg(long, value_name = "D")]
    pub day: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Rejected {
    /// The day of arrival (UTC), YYYY-MM-DD; all days by default.
    #[arg(long, value_name = "D")]
    pub day: Option<NaiveDate>,
    /// Leave out the lines that were replayed.
    #[arg(long)]
    pub open: bool,
    /// Print a JSON object a line, as `replay --file` reads them.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Replay {
    /// The day of arrival (UTC), YYYY-MM-DD.
    #[arg(long, value_name = "D")]
    pub day: NaiveDate,
    /// Lines that were corrected by hand, as `rejected --json` prints them; `-` is standard input. Without it, the
    /// rejected lines that the beacons would take.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Take back the acknowledged lines that Firehose set aside in `raw-errors/`.
    #[arg(long, conflicts_with = "file")]
    pub undelivered: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Erase {
    #[command(flatten)]
    pub target: EraseTarget,
    /// Do it. Without, nothing is changed.
    #[arg(long)]
    pub yes: bool,
    /// Print the receipt as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct EraseTarget {
    /// All events in which a field has a value: a field that an event type lists in `x-erase`. A UUID is erased wherever it is.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = read_by)]
    pub by: Option<String>,
    /// The ad with this UUID and all its events: `--by ad_id=UUID`.
    #[arg(long, value_name = "UUID")]
    pub ad: Option<String>,
    /// The event with this UUID, and the events that refer to it.
    #[arg(long, value_name = "UUID")]
    pub event: Option<String>,
}

fn read_by(text: &str) -> Result<String, String> {
    let is_pair = text.split_once('=').is_some_and(|(field, value)| !field.is_empty() && !value.is_empty());
    if is_pair { Ok(text.to_owned()) } else { Err("it must be FIELD=VALUE".to_owned()) }
}

#[derive(Args, Debug)]
pub struct Query {
    /// A statement on the tables of the lake; `SHOW TABLES` lists them.
    pub sql: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Print all rows on a terminal, too.
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
}

#[derive(Args, Debug)]
pub struct Traffic {
    /// The ad's UUID.
    pub ad: String,
    /// The first day (UTC), YYYY-MM-DD; yesterday by default.
    #[arg(long)]
    pub start: Option<NaiveDate>,
    /// The last day (UTC), YYYY-MM-DD; yesterday by default.
    #[arg(long)]
    pub end: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Dashboard {
    /// The page's port; by default 8088, or any free one when that is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Open the page in the browser.
    #[arg(long)]
    pub open: bool,
    /// Show the stack that the tests deployed.
    #[arg(long, hide = true)]
    pub of_tests: bool,
}

#[derive(Args, Debug)]
pub struct Logs {
    /// The log to show, as listed without it.
    pub name: Option<String>,
    /// The demo's logs instead of those of `up`.
    #[arg(long)]
    pub demo: bool,
    /// How many of its last lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub lines: usize,
}

#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Look at the AWS account and Region of your own credentials instead, by calls that only read. Exit status 1 when
    /// something would stop a deployment.
    #[arg(long)]
    pub aws: bool,
    #[command(flatten)]
    pub account: Account,
}

/// What of an account is looked at. Without a stack's name: both ways to deploy, under their default names.
#[derive(Args, Debug)]
pub struct Account {
    /// The warehouse that `sam deploy` deploys; by default the one that samconfig.toml names.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub stack: Option<String>,
    /// The stack of build.yaml, and the warehouse that it deploys; by default the one that docs/delivery.md names.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub pipeline_stack: Option<String>,
    /// The branch that the pipeline delivers; by default main.
    #[arg(long, value_name = "NAME", requires = "aws")]
    pub branch: Option<String>,
    /// The Region; by default yours, as for any tool of AWS.
    #[arg(long, value_name = "R", requires = "aws")]
    pub region: Option<String>,
    /// The profile of your credentials; by default yours, as for any tool of AWS.
    #[arg(long, value_name = "P", requires = "aws")]
    pub profile: Option<String>,
}

#[derive(Args, Debug)]
pub struct Lock {
    /// Take the newest versions that the sources allow, also of what the tools themselves depend on.
    #[arg(long)]
    pub upgrade: bool,
}

#[derive(Args, Debug)]
pub struct Test {
    /// The parts to run; all by default.
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<Part>,
    /// Run what ends in less than three minutes on a warm checkout: format, clippy, unit and scripts.
    #[arg(long, conflicts_with = "parts")]
    pub fast: bool,
    /// Run what buildspec.yml holds each commit to: everything in Rust, the templates, and the jobs on Spark. No emulator.
    #[arg(long, conflicts_with_all = ["parts", "fast"])]
    pub no_e2e: bool,
    /// List the parts that would run, and what they cover.
    #[arg(long)]
    pub list: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_the_load_generator_is_given_reaches_it_as_it_is() {
        let given = ["files", "--help", "--seed", "1", "-c", "x.yaml", "--", "--verbose"];
        match Arguments::try_parse_from([&["dataless", "loadgen"], &given[..]].concat()).unwrap().command {
            Command::Loadgen(loadgen) => assert_eq!(loadgen.arguments, given),
            other => panic!("{other:?}"),
        }
        let of_its_own = Arguments::try_parse_from(["dataless", "loadgen", "--help"]).unwrap();
        assert!(matches!(of_its_own.command, Command::Loadgen(loadgen) if loadgen.arguments == ["--help"]));
    }

    #[test]
    fn types_of_a_demo_may_have_a_count() {
        let events = |text| match Arguments::try_parse_from(["dataless", "demo", "--events", text]) {
            Ok(Arguments { command: Command::Demo(demo), .. }) => Ok(demo.events),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(events("orders,returns=20").unwrap(), [("orders".to_owned(), 1_000), ("returns".to_owned(), 20)]);
        for wrong in ["orders=", "orders=0", "=5", "orders=many", ""] {
            assert!(events(wrong).unwrap_err().contains("a type, or a type and a count"), "{wrong}");
        }
    }

    #[test]
    fn chaos_repeats_a_report_or_takes_options() {
        let chaos = |arguments: &[&str]| match Arguments::try_parse_from([&["dataless", "chaos"], arguments].concat()) {
            Ok(Arguments { command: Command::Chaos(chaos), .. }) => Ok(chaos),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        let named = chaos(&["--events", "1000000", "--seed", "7", "--faults", "cut,kill-spark"]).unwrap();
        assert_eq!((named.events, named.seed, named.faults), (1_000_000, Some(7), vec![Kind::Cut, Kind::KillSpark]));
        let repeated = chaos(&["--replay", "report.json", "--json"]).unwrap();
        assert_eq!(repeated.replay, Some("report.json".into()));
        for wrong in [
            &["--replay", "report.json", "--seed", "7"][..],
            &["--replay", "report.json", "--faults", "none"],
            &["--minutes", "0"],
            &["--events", "999"],
            &["--faults", "earthquake"],
        ] {
            assert!(chaos(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_thing_is_erased_at_a_time() {
        let erase = |arguments: &[&str]| Arguments::try_parse_from([&["dataless", "erase"], arguments].concat());
        for good in [["--by", "email=a=b@example.com"], ["--ad", "7"], ["--event", "7"]] {
            assert!(erase(&good).is_ok(), "{good:?}");
        }
        for bad in
            [&[] as &[&str], &["--by", "email"], &["--by", "=7"], &["--by", "email="], &["--by", "a=b", "--ad", "7"]]
        {
            assert!(erase(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_day_is_a_date_or_a_word() {
        let today = || Utc::now().date_naive();
        // Midnight may come between the calls.
        let first = today();
        let (now, before) = (read_day("today").unwrap(), read_day("yesterday").unwrap());
        assert!((first..=today()).contains(&now));
        assert!((first..=today()).contains(&before.succ_opt().unwrap()));

        let etl = |day| Arguments::try_parse_from(["dataless", "etl", "--day", day, "--to", "today"]);
        assert!(etl("2026-02-28").is_ok());
        let error = etl("2026-02-29").unwrap_err().to_string();
        assert!(error.contains("it must be YYYY-MM-DD, today or yesterday"), "{error}");
    }
}
