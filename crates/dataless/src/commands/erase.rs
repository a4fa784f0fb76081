//! `erase`: a person, a thing or an event out of everything that the warehouse keeps.

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::{Outcome, Warehouse, jobs};
use crate::cli::{Erase, EraseTarget};
use crate::ui::{note, step, thousands};
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
}

#[derive(Debug, Deserialize)]
struct Range {
    from: NaiveDate,
    to: NaiveDate,
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
        for Place { place, name, count } in &read.places {
            outln!("{:>12}  {place:<12} {name}", thousands(*count));
        }
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
