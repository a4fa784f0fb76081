//! Commands on the data of a warehouse.

use std::path::PathBuf;

use chrono::{Days, NaiveDate, Utc};
use clap::{Args, ValueEnum};

use crate::local::spark::Engine;

#[derive(Args, Clone, Copy, Debug)]
pub struct DayRange {
    /// Day (UTC): YYYY-MM-DD, today or yesterday.
    #[arg(long, value_name = "D", value_parser = read_day)]
    pub day: NaiveDate,
    /// Last day of a range.
    #[arg(long, value_name = "D2", value_parser = read_day)]
    pub to: Option<NaiveDate>,
}

/// Reads a day: a date or a word.
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
    /// Language of the job. Both give the same result.
    #[arg(long, value_enum, default_value_t = Engine::Python)]
    pub engine: Engine,
}

#[derive(Args, Debug)]
pub struct Import {
    /// Folder that contains `data/raw/<group>/<type>/year=…/month=…/day=…/hour=…/`.
    pub dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Ledger {
    /// Day of arrival (UTC), YYYY-MM-DD. Default: all days.
    #[arg(long, value_name = "D")]
    pub day: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Rejected {
    /// Day of arrival (UTC), YYYY-MM-DD. Default: all days.
    #[arg(long, value_name = "D")]
    pub day: Option<NaiveDate>,
    /// Hide lines that were replayed.
    #[arg(long)]
    pub open: bool,
    /// Print one JSON object per line, as `replay --file` reads them.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Replay {
    /// Day of arrival (UTC), YYYY-MM-DD.
    #[arg(long, value_name = "D")]
    pub day: NaiveDate,
    /// File of lines that were corrected by hand, in the format of `rejected --json`; `-` is standard input. Without it,
    /// the rejected lines that the API would accept now.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Restore the acknowledged lines that Firehose set aside in `raw-errors/`.
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
    /// Erase. Without it, nothing is changed.
    #[arg(long)]
    pub yes: bool,
    /// Print the receipt as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct EraseTarget {
    /// All events in which a field has this value. An event type lists such fields in `x-erase`. A UUID is erased from
    /// every field.
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
    /// SQL statement on the tables of the lake. `SHOW TABLES` lists them.
    pub sql: String,
    /// Format of the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Print all rows, also on a terminal.
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
    /// UUID of the ad.
    pub ad: String,
    /// First day (UTC), YYYY-MM-DD. Default: yesterday.
    #[arg(long)]
    pub start: Option<NaiveDate>,
    /// Last day (UTC), YYYY-MM-DD. Default: yesterday.
    #[arg(long)]
    pub end: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

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
        // Midnight can pass between the two calls.
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
