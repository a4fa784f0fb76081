//! The command line.

use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{Days, NaiveDate, Utc};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::ads::Ads;
use crate::client::Target;
use crate::config::{Config, positive, share};
use crate::deliver::Stopped;
use crate::files;
use crate::journal::Journal;
use crate::plan::{Plan, Schedule, usual_impressions};
use crate::run::{INTERRUPTED, run};
use crate::types::Wanted;

/// The configuration that is read when none is named.
const CONFIG: &str = "load-generator/config.yaml";
/// The schemas that are read when no folder is named.
const SCHEMAS: &str = "events";
/// The types of the simulation.
const SIMULATED: [&str; 2] = ["impressions", "clicks"];

/// Simulates the users of ads and posts their impressions and clicks; and random events of any other type.
///
/// Exit status: 0 when every event was acknowledged, 1 when not, 2 for a wrong command line or configuration, 130 when
/// interrupted.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Post events to the beacons, as clients do; the default
    ///
    /// Every event goes through the API, the functions and Firehose, and counts in the real-time metrics. The report
    /// says what became of each. For millions of events, `files` takes seconds.
    Run(RunArgs),
    /// Write the events of a day as files, in the layout of the raw zone
    ///
    /// Nothing is sent: `cargo dataless import DIR` puts the files into a local warehouse, `aws s3 sync` into one on
    /// AWS. They go past the beacons, so nothing is refused or measured on the way: malformed events end up in the
    /// raw zone, for the ETL to reject.
    Files(FilesArgs),
    /// Print the ids of the ads, the most popular first
    Ads(AdsArgs),
}

/// The options that determine the events.
#[derive(Debug, Args)]
struct TrafficArgs {
    /// The configuration
    #[arg(short, long, value_name = "FILE", env = "LOADGEN_CONFIG", hide_env = true, default_value = CONFIG)]
    config: PathBuf,

    /// Make exactly this many impressions, and all of their clicks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    impressions: Option<u64>,

    /// How long users view, instead of the configuration's Duration: 10m, 1s, 250ms
    #[arg(long, value_name = "TIME", value_parser = positive)]
    duration: Option<Duration>,

    /// The same seed, day and configuration give the same events; a random one if not given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Make this many random events of other types besides, spread over the same time: orders=200,returns=10
    #[arg(long, value_name = "TYPE=N", value_delimiter = ',', value_parser = wanted)]
    events: Vec<(String, u64)>,

    /// The folder of the schemas, <type>.json, of the types of --events
    #[arg(long, value_name = "DIR", env = "LOADGEN_SCHEMAS", hide_env = true, default_value = SCHEMAS)]
    schemas: PathBuf,

    /// The chance that an impression is clicked, instead of the configuration's ClickthroughProbability
    #[arg(long, value_name = "P", value_parser = share)]
    clickthrough: Option<f64>,

    /// The share of the events that are sent once more, unchanged, instead of the configuration's Repeats.Share
    #[arg(long, value_name = "P", value_parser = share)]
    repeats: Option<f64>,

    /// The share of the views that occurred long before they are sent, instead of the configuration's Late.Share
    #[arg(long, value_name = "P", value_parser = share)]
    late: Option<f64>,

    /// Events that a server must refuse, for each well-formed one, instead of the configuration's Malformed.Share
    #[arg(long, value_name = "P", value_parser = share)]
    malformed: Option<f64>,

    /// The share of the users that are bots, instead of the configuration's Bots.Share
    #[arg(long, value_name = "P", value_parser = share)]
    bots: Option<f64>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    traffic: TrafficArgs,

    /// Where the beacons are, instead of the configuration's BaseURL
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Make events of a past day (YYYY-MM-DD in UTC, or yesterday) and send them as fast as the server takes them
    #[arg(long, value_name = "DAY", value_parser = |text: &str| past_day(text, today()))]
    day: Option<NaiveDate>,

    /// Make this many impressions a second, whether the server keeps up or not: 20000/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,

    /// The most connections at once, instead of the configuration's Requests.Connections
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: Option<u16>,

    /// The most events in a request, instead of the configuration's Requests.BatchSize
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    batch_size: Option<u16>,

    /// Write what became of every event to this file: one JSON object a line, compressed with gzip
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct FilesArgs {
    #[command(flatten)]
    traffic: TrafficArgs,

    /// The day on which the events arrive (YYYY-MM-DD in UTC, or yesterday)
    #[arg(long, value_name = "DAY", value_parser = |text: &str| day(text, today()))]
    day: NaiveDate,

    /// The folder for data/raw/<group>/<type>/year=…/month=…/day=…/hour=…/*.gz
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How many threads write; as many as there are cores if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AdsArgs {
    /// The configuration
    #[arg(short, long, value_name = "FILE", env = "LOADGEN_CONFIG", hide_env = true, default_value = CONFIG)]
    config: PathBuf,
}

/// Runs the command line and returns its exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => execute(cli.run),
        Some(Command::Run(arguments)) => execute(arguments),
        Some(Command::Files(arguments)) => write_files(&arguments),
        Some(Command::Ads(arguments)) => print_ads(&arguments),
    };
    result.unwrap_or_else(|failure| {
        let (error, status) = match failure {
            Failure::Usage(error) => (error, 2),
            Failure::Run(error) => (error, 1),
        };
        // `eprintln!` would panic if standard error is closed.
        let _ = writeln!(std::io::stderr(), "loadgen: {error:#}");
        ExitCode::from(status)
    })
}

/// An error, by its exit status.
enum Failure {
    /// The command line or the configuration is wrong.
    Usage(anyhow::Error),
    /// Any other error.
    Run(anyhow::Error),
}

impl TrafficArgs {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::read(&self.config)?;
        for (given, configured) in [
            (self.clickthrough, &mut config.users.clickthrough_probability),
            (self.repeats, &mut config.repeats.share),
            (self.late, &mut config.late.share),
            (self.malformed, &mut config.malformed.share),
            (self.bots, &mut config.bots.share),
        ] {
            *configured = given.unwrap_or(*configured);
        }
        Ok(config)
    }

    /// The impressions of a day: the given number, or as many as users make in the duration.
    fn impressions_of_day(&self, config: &Config) -> u64 {
        let duration = self.duration.unwrap_or(config.duration);
        self.impressions.unwrap_or_else(|| usual_impressions(&config.users, duration))
    }

    /// The types of `--events`, with their schemas.
    fn others(&self) -> anyhow::Result<Vec<Wanted>> {
        if self.events.is_empty() {
            return Ok(Vec::new());
        }
        let types = event_types::read_all(&self.schemas)
            .with_context(|| format!("failed to read the schemas in {}", self.schemas.display()))?;
        let others = self.events.iter().enumerate().map(|(index, (name, count))| {
            if SIMULATED.contains(&name.as_str()) {
                bail!("--events: {name} are made by the simulation: use --impressions and --clickthrough");
            }
            if self.events[..index].iter().any(|(before, _)| before == name) {
                bail!("--events: {name} is there twice");
            }
            let event_type = types.iter().find(|event_type| event_type.name == *name).with_context(|| {
                let known: Vec<&str> = types.iter().map(|event_type| event_type.name.as_str()).collect();
                format!(
                    "--events: could not find {name}.json in {}: it has {}",
                    self.schemas.display(),
                    known.join(", ")
                )
            })?;
            Ok(Wanted { event_type: event_type.clone(), count: *count })
        });
        others.collect()
    }

    fn seed(&self) -> u64 {
        // Short enough to type.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000_000)
    }
}

fn execute(arguments: RunArgs) -> Result<ExitCode, Failure> {
    let (config, plan, base_url, target) = prepare(&arguments).map_err(Failure::Usage)?;
    let (journal, entry) = match &arguments.journal {
        None => (None, None),
        Some(path) => {
            let (journal, entry) = Journal::create(path, Arc::clone(&plan.types)).map_err(Failure::Usage)?;
            (Some(journal), Some(entry))
        }
    };
    let report = run(&config, plan, &base_url, target, entry).map_err(Failure::Run)?;
    print(&report, arguments.json).map_err(Failure::Run)?;
    journal.map_or(Ok(()), Journal::finish).map_err(Failure::Run)?;
    Ok(match report.stopped {
        Some(Stopped::Interrupted) => ExitCode::from(INTERRUPTED),
        _ if report.complete => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn prepare(arguments: &RunArgs) -> anyhow::Result<(Config, Plan, String, Target)> {
    let traffic = &arguments.traffic;
    let mut config = traffic.config()?;
    if let Some(connections) = arguments.connections {
        config.requests.connections = connections.into();
    }
    if let Some(size) = arguments.batch_size {
        config.requests.batch_size = size.into();
    }
    let base_url = match &arguments.base_url {
        Some(url) => url.clone(),
        None => config.base_url(|name| std::env::var(name).ok())?,
    };
    let schedule = match arguments.day {
        Some(day) => {
            let impressions = traffic.impressions_of_day(&config);
            Schedule::Day { day, impressions, rate: arguments.rate }
        }
        None => {
            let limited = traffic.impressions.is_some() && traffic.duration.is_none();
            let until = (!limited).then(|| traffic.duration.unwrap_or(config.duration));
            Schedule::Live { start: Utc::now(), until, impressions: traffic.impressions, rate: arguments.rate }
        }
    };
    let plan = Plan::new(&config, traffic.seed(), schedule, traffic.others()?);
    let target = Target::new(&base_url, &config.requests, &plan.types).context("the base URL is wrong")?;
    Ok((config, plan, base_url, target))
}

fn write_files(arguments: &FilesArgs) -> Result<ExitCode, Failure> {
    let config = arguments.traffic.config().map_err(Failure::Usage)?;
    let impressions = arguments.traffic.impressions_of_day(&config);
    let schedule = Schedule::Day { day: arguments.day, impressions, rate: None };
    let others = arguments.traffic.others().map_err(Failure::Usage)?;
    let plan = Plan::new(&config, arguments.traffic.seed(), schedule, others);
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = arguments.threads.map_or_else(cores, usize::from);
    let report = files::write(plan, arguments.day, &arguments.out, threads).map_err(Failure::Run)?;
    print(&report, arguments.json).map_err(Failure::Run)?;
    Ok(ExitCode::SUCCESS)
}

fn print_ads(arguments: &AdsArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&arguments.config).map_err(Failure::Usage)?;
    let ads = Ads::new(config.ads.count, config.ads.zipf_exponent);
    let mut text = Vec::with_capacity(config.ads.count as usize * 37);
    for ad in 0..config.ads.count {
        text.extend_from_slice(ads.id(ad));
        text.push(b'\n');
    }
    write_out(&text).map_err(Failure::Run)?;
    Ok(ExitCode::SUCCESS)
}

fn print(report: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(report)? } else { report.to_string() };
    write_out(format!("{text}\n").as_bytes())
}

fn write_out(text: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text).and_then(|()| out.flush()) {
        // The reader has read enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("failed to print the result"),
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn day(text: &str, today: NaiveDate) -> anyhow::Result<NaiveDate> {
    if text == "yesterday" {
        return today.checked_sub_days(Days::new(1)).context("there is no yesterday");
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").context("not a day like 2026-01-31, or yesterday")
}

/// A day that is over, since a server refuses events of the future.
fn past_day(text: &str, today: NaiveDate) -> anyhow::Result<NaiveDate> {
    let day = day(text, today)?;
    if day >= today {
        bail!("that day is not over yet in UTC");
    }
    Ok(day)
}

fn wanted(text: &str) -> Result<(String, u64), String> {
    let wrong = || "not a type and a count like orders=200".to_owned();
    let (name, count) = text.split_once('=').ok_or_else(wrong)?;
    match count.parse() {
        Ok(count) if !name.is_empty() && (1..=1_000_000_000_000).contains(&count) => Ok((name.to_owned(), count)),
        _ => Err(wrong()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse() {
        Ok(rate) if (0.001..=100_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("not a rate like 20000/s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    #[test]
    fn a_day_is_a_date_or_yesterday() {
        assert_eq!(day("2026-11-21", date(20)).unwrap(), date(21));
        assert_eq!(day("yesterday", date(20)).unwrap(), date(19));
        assert!(day("today", date(20)).is_err());
    }

    #[test]
    fn a_run_takes_only_days_that_are_over() {
        assert_eq!(past_day("2026-11-19", date(20)).unwrap(), date(19));
        for text in ["2026-11-20", "2026-11-21"] {
            assert_eq!(past_day(text, date(20)).unwrap_err().to_string(), "that day is not over yet in UTC");
        }
    }
}
