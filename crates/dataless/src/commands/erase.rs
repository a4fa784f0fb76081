//! `erase`: erases a person, a thing or an event from all stored data.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::jobs;
use crate::cli::{Erase, EraseTarget};
use crate::local::spark::{self, Spark};
use crate::local::stack::Output;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{counted, note, step, thousands};
use crate::workspace::{Workspace, remove_folder};

/// The receipt of the job. `glue/erase.py` describes all of it.
#[derive(Debug, Deserialize)]
struct Receipt {
    #[serde(rename = "places")]
    entries: Vec<Entry>,
    /// Arrival days whose batch must run again. A run that completes an interrupted one may have only these.
    rerun: Option<Range>,
    /// Days whose raw lines are gone: only their derived tables can be rebuilt.
    batch_only: Vec<NaiveDate>,
}

/// The jobs that rebuild the derived tables of a day without its raw lines.
const BATCH: [(Output, &str); 3] = [
    (Output::AdvertisingJob, "advertising"),
    (Output::AdTrafficJob, "ad traffic"),
    (Output::AdTrafficLoadJob, "load DynamoDB"),
];

#[derive(Debug, Deserialize)]
struct Entry {
    /// `raw`, `dynamodb`, or the name of a table.
    #[serde(rename = "place")]
    kind: String,
    name: String,
    count: u64,
    /// The earlier version of a raw object, if it is in one.
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Range {
    from: NaiveDate,
    to: NaiveDate,
}

/// One line per place with its current count, and the total.
fn receipt_lines(entries: &[Entry]) -> Vec<String> {
    let mut lines: BTreeMap<(usize, &str), (&str, u64, u64)> = BTreeMap::new();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    for Entry { kind, name, count, version } in entries {
        let order = kinds.iter().position(|known| known == kind).unwrap_or_default();
        let (_, now, versions) = lines.entry((order, name)).or_insert((kind, 0, 0));
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
    let line = |((_, name), (kind, now, versions)): ((usize, &str), (&str, u64, u64))| {
        let earlier =
            if versions > 0 { format!("  and in {}", counted(versions, "earlier version")) } else { String::new() };
        format!("{:>12}  {kind:<12} {name}{earlier}", thousands(now))
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
    let title = if options.yes { "erase" } else { "search" };
    let run = || spark.job(Output::EraseJob, &[(name, value), ("--dry_run", dry_run)]);
    let (printed, _) = step(title, run, |_| String::new())?;
    let line = printed.lines().last().unwrap_or_default();
    let mut receipt: Value = serde_json::from_str(line).context("failed to read the receipt")?;
    // The job omits it, since its output stays in a log.
    receipt["erased"] = format!("{}={value}", name.trim_start_matches('-')).into();
    let read: Receipt = serde_json::from_value(receipt.clone()).context("failed to read the receipt")?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&receipt)?);
    } else {
        receipt_lines(&read.entries).iter().for_each(|line| outln!("{line}"));
    }
    if read.entries.is_empty() && read.rerun.is_none() && read.batch_only.is_empty() {
        note("nothing found");
        if options.yes {
            forget(&warehouse, value)?;
        }
        return Ok(Outcome::Done);
    }
    if !options.yes {
        note("Nothing was changed. To erase it, add --yes.");
        return Ok(Outcome::Done);
    }
    let derived = derive(&warehouse, &spark, read);
    // Even if the days failed: the data has been erased.
    forget(&warehouse, value)?;
    derived.map(|()| Outcome::Done)
}

/// Runs the days that must run again.
fn derive(warehouse: &Warehouse, spark: &Spark<'_>, receipt: Receipt) -> Result<()> {
    if let Some(Range { from, to }) = receipt.rerun {
        jobs::execute(&warehouse.aws, &warehouse.stack, from, to)?;
    }
    for day in receipt.batch_only {
        for (job, title) in BATCH {
            step(title, || spark.day_job(job, day), |()| day.to_string())?;
        }
    }
    Ok(())
}

/// Removes traces beside the data: Spark's shuffle files, which are on disk while it runs, and the value in logs, such as
/// that of a failed job.
fn forget(warehouse: &Warehouse, value: &str) -> Result<()> {
    let value = value.split_once('=').map_or(value, |(_, value)| value);
    let clean = || {
        spark::stop(&warehouse.instance);
        remove_folder(&warehouse.instance.spark().join("tmp"))?;
        scrub(&warehouse.instance.logs(), value)
    };
    step("clear Spark's disk and the logs", clean, |count| format!("{} places in the logs", thousands(*count as u64)))?;
    Ok(())
}

/// Overwrites a value in all files of a folder, and returns how often. The files keep their length, since processes may
/// append to them at the same time. A short value is kept, because it may occur by chance.
fn scrub(folder: &Path, value: &str) -> Result<usize> {
    const LEAST_BYTES: usize = 8;
    if value.len() < LEAST_BYTES {
        return Ok(0);
    }
    let mut count = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            count +=
                scrub_file(&path, value.as_bytes()).with_context(|| format!("failed to scrub {}", path.display()))?;
        }
    }
    Ok(count)
}

fn scrub_file(path: &Path, value: &[u8]) -> std::io::Result<usize> {
    let text = std::fs::read(path)?;
    let offsets = (0..text.len()).filter(|at| text[*at..].len() >= value.len());
    let offsets: Vec<usize> = offsets.filter(|at| text[*at..][..value.len()].eq_ignore_ascii_case(value)).collect();
    if !offsets.is_empty() {
        let file = File::options().write(true).open(path)?;
        for at in &offsets {
            file.write_all_at(&vec![b'*'; value.len()], *at as u64)?;
        }
    }
    Ok(offsets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_lose_the_value_in_any_letter_case_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("spark.log");
        let id = "7d9f8a52-1c3e-4b6d-8f20-5a4e3c2b1d09";
        std::fs::write(&log, format!("ad_id = {id} für\n{}\n{id}{id}", id.to_uppercase())).unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        assert_eq!(scrub(folder.path(), id).unwrap(), 4);
        let stars = "*".repeat(id.len());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("ad_id = {stars} für\n{stars}\n{stars}{stars}"));
        assert_eq!(scrub(folder.path(), id).unwrap(), 0);
    }

    #[test]
    fn a_short_value_stays_in_the_logs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "2026-11-20 took 1234567 ms, then 12345678").unwrap();
        assert_eq!(scrub(folder.path(), "1234567").unwrap(), 0);
        assert_eq!(scrub(folder.path(), "12345678").unwrap(), 1);
    }

    #[test]
    fn a_receipt_names_each_place_once_and_ends_with_the_sum() {
        let entries = r#"[
            {"place": "dynamodb", "name": "2026-11-20", "count": 1},
            {"place": "clicks", "name": "year=2026/month=11/day=20/arrived=2026-11-20", "count": 1200},
            {"place": "raw", "name": "data/raw/ad/clicks/b.gz", "count": 3},
            {"place": "raw", "name": "data/raw/ad/clicks/b.gz", "count": 3, "version": "v1"},
            {"place": "raw", "name": "data/raw/ad/clicks/a.gz", "count": 2, "version": "v1"},
            {"place": "raw", "name": "data/raw/ad/clicks/a.gz", "count": 2, "version": "v2"}
        ]"#;
        assert_eq!(
            receipt_lines(&serde_json::from_str::<Vec<Entry>>(entries).unwrap()),
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
