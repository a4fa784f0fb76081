//! `erase`: a person, a thing or an event out of everything that the warehouse keeps.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::{Outcome, Warehouse, jobs};
use crate::cli::{Erase, EraseTarget};
use crate::ui::{counted, note, step, thousands};
use crate::workspace::Workspace;

/// What the job says of its work. `glue/erase.py` describes the whole of it.
#[derive(Debug, Deserialize)]
struct Receipt {
    places: Vec<Place>,
    /// Arrival days whose batch must run again. A run that finishes one that was killed may have nothing but these.
    rerun: Option<Range>,
    /// Days whose raw is gone: only their batch can run again.
    batch_only: Vec<NaiveDate>,
}

/// What makes the tables of a day anew without its raw lines.
const BATCH: [(&str, &str); 3] =
    [("AdvertisingJob", "advertising"), ("AdTrafficJob", "ad traffic"), ("AdTrafficLoadJob", "load DynamoDB")];

#[derive(Debug, Deserialize)]
struct Place {
    place: String,
    name: String,
    count: u64,
    /// Of an earlier version of a raw object, where the bucket keeps some.
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Range {
    from: NaiveDate,
    to: NaiveDate,
}

/// A line for each place, with what is there now, and their sum.
fn receipt_lines(places: &[Place]) -> Vec<String> {
    let mut lines: BTreeMap<(usize, &str), (&str, u64, u64)> = BTreeMap::new();
    let kinds: Vec<&str> = places.iter().map(|place| place.place.as_str()).collect();
    for Place { place, name, count, version } in places {
        let order = kinds.iter().position(|kind| kind == place).unwrap_or_default();
        let (_, now, versions) = lines.entry((order, name)).or_insert((place, 0, 0));
        match version {
            None => *now += count,
            Some(_) => *versions += 1,
        }
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let total: u64 = lines.values().map(|(_, now, _)| now).sum();
    let total = format!("{:>12}  in all, in {}", thousands(total), counted(lines.len() as u64, "place"));
    let line = |((_, name), (place, now, versions)): ((usize, &str), (&str, u64, u64))| {
        let earlier =
            if versions > 0 { format!("  and in {}", counted(versions, "earlier version")) } else { String::new() };
        format!("{:>12}  {place:<12} {name}{earlier}", thousands(now))
    };
    lines.into_iter().map(line).chain([total]).collect()
}

pub fn run(workspace: &Workspace, options: &Erase) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let EraseTarget { by, ad, event } = &options.target;
    let given = [("--by", by), ("--ad", ad), ("--event", event)];
    let (name, value) = given
        .into_iter()
        .find_map(|(name, value)| Some((name, value.as_deref()?)))
        .context("the command line asks for one of --by, --ad and --event")?;
    let dry_run = if options.yes { "false" } else { "true" };
    let title = if options.yes { "erase" } else { "look for it" };
    let run = || spark.job("EraseJob", &[(name, value), ("--dry_run", dry_run)]);
    let (printed, _) = step(title, run, |_| String::new())?;
    let line = printed.lines().last().unwrap_or_default();
    let receipt: Value = serde_json::from_str(line).context("the receipt is not understood")?;
    let read: Receipt = serde_json::from_value(receipt.clone()).context("the receipt is not understood")?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&receipt)?);
    } else {
        receipt_lines(&read.places).iter().for_each(|line| outln!("{line}"));
    }
    if read.places.is_empty() && read.rerun.is_none() && read.batch_only.is_empty() {
        note("nothing of it is kept");
        return Ok(Outcome::Done);
    }
    if !options.yes {
        note("Nothing was changed. Say --yes to erase it.");
        return Ok(Outcome::Done);
    }
    if let Some(Range { from, to }) = read.rerun {
        jobs::execute(&warehouse.aws, &warehouse.stack, from, to)?;
    }
    for day in read.batch_only {
        for (job, title) in BATCH {
            step(title, || spark.day_job(job, day), |()| day.to_string())?;
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_each_place_once_and_ends_with_the_sum() {
        let places = r#"[
            {"place": "dynamodb", "name": "2026-11-20", "count": 1},
            {"place": "clicks", "name": "year=2026/month=11/day=20/arrived=2026-11-20", "count": 1200},
            {"place": "raw", "name": "data/raw/ad/clicks/b.gz", "count": 3},
            {"place": "raw", "name": "data/raw/ad/clicks/b.gz", "count": 3, "version": "v1"},
            {"place": "raw", "name": "data/raw/ad/clicks/a.gz", "count": 2, "version": "v1"},
            {"place": "raw", "name": "data/raw/ad/clicks/a.gz", "count": 2, "version": "v2"}
        ]"#;
        assert_eq!(
            receipt_lines(&serde_json::from_str::<Vec<Place>>(places).unwrap()),
            [
                "           1  dynamodb     2026-11-20",
                "       1,200  clicks       year=2026/month=11/day=20/arrived=2026-11-20",
                "           0  raw          data/raw/ad/clicks/a.gz  and in 2 earlier versions",
                "           3  raw          data/raw/ad/clicks/b.gz  and in 1 earlier version",
                "       1,204  in all, in 4 places",
            ]
        );
        assert!(receipt_lines(&[]).is_empty());
    }
}
