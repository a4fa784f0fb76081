//! `etl`, `batch` and `verify`: single deployed jobs, the state machine of the nightly batch, and a check of both.

use anyhow::{Result, bail};
use chrono::{Days, NaiveDate, Utc};

use crate::cli::{DayRange, Etl};
use crate::local::aws::Aws;
use crate::local::pipeline::{Execution, JobRun};
use crate::local::stack::{Output, Stack};
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{note, step};
use crate::workspace::Workspace;

pub fn etl(workspace: &Workspace, options: &Etl) -> Result<Outcome> {
    let last = last(options.range)?;
    let warehouse = Warehouse::running(workspace)?;
    let tables = warehouse.event_tables()?;
    let spark = warehouse.spark(workspace);
    let end = last_to_run(last, warehouse.lookback_days()?, Utc::now().date_naive());
    if end > last {
        note(&format!("The days up to {end} run too: their results depend on the days before."));
    }
    for day in options.range.day.iter_days().take_while(|day| *day <= end) {
        for table in &tables {
            let run = || spark.etl(options.engine, table, day);
            step(&format!("ETL {}", table.name), run, |()| day.to_string())?;
        }
    }
    Ok(Outcome::Done)
}

pub fn batch(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    let last = last(range)?;
    let warehouse = Warehouse::running(workspace)?;
    execute(&warehouse.aws, &warehouse.stack, range.day, last)?;
    Ok(Outcome::Done)
}

pub fn verify(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    let last = last(range)?;
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let (data_path, first, last) = (spark.data_path()?, range.day.to_string(), last.to_string());
    let lookback_days = warehouse.stack.output(Output::LookbackDays)?;
    let database = warehouse.stack.output(Output::GlueDatabase)?;
    let attribution_days = warehouse.stack.output(Output::AttributionDays)?;
    let range = ["--data_path", &data_path, "--from", &first, "--to", &last];
    let windows = ["--lookback_days", lookback_days, "--attribution_days", attribution_days];
    let args = [&["--database", database][..], &range, &windows].concat();
    let check = || spark.check("glue/local/duckdb_check.py", &args);
    let ((equal, printed), _) = step("recompute from raw", check, |_| "in DuckDB".to_owned())?;
    out!("{printed}");
    Ok(equal.into())
}

/// Runs the deployed state machine for a range of days and prints its steps as they end.
pub fn execute(aws: &Aws, stack: &Stack, first: NaiveDate, last: NaiveDate) -> Result<()> {
    let run = || Execution::start(aws, stack, first, last)?.follow(aws, |run| show(stack, run));
    let days = if first == last { first.to_string() } else { format!("{first} to {last}") };
    step("nightly batch", run, |()| days)?;
    Ok(())
}

fn show(stack: &Stack, run: &JobRun) {
    let JobRun { job, day, seconds, error } = run;
    // The name of the output is clearer than that of the job. A function may have the name of a job.
    let mut jobs = stack.outputs.iter().filter(|(name, _)| name.ends_with("Job"));
    let name = jobs.find(|(_, value)| *value == job).map_or(job.as_str(), |(name, _)| name);
    match error {
        None => note(&format!("  {name:<27} {day} {seconds:>5} s")),
        Some(error) => {
            let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            note(&format!("  {name:<27} {day} failed: {last}"));
        }
    }
}

/// The last arrival day to run after a changed one: the last whose look-back includes it, but at most yesterday.
pub fn last_to_run(changed: NaiveDate, lookback_days: u64, today: NaiveDate) -> NaiveDate {
    (changed + Days::new(lookback_days + 1)).min(today - Days::new(1)).max(changed)
}

fn last(range: DayRange) -> Result<NaiveDate> {
    let last = range.to.unwrap_or(range.day);
    if last < range.day {
        bail!("--to {last} is before --day {}", range.day);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_ends_where_it_begins_or_later() {
        let range = |to| DayRange { day: day("2026-02-27"), to };
        assert_eq!(last(range(None)).unwrap(), day("2026-02-27"));
        assert_eq!(last(range(Some(day("2026-03-01")))).unwrap(), day("2026-03-01"));
        assert!(last(range(Some(day("2026-02-26")))).is_err());
    }

    #[test]
    fn days_whose_look_back_includes_a_changed_one_run_up_to_yesterday() {
        let end = |today: &str| last_to_run(day("2026-02-26"), 3, day(today)).to_string();
        assert_eq!(end("2026-12-24"), "2026-03-02");
        assert_eq!(end("2026-03-03"), "2026-03-02");
        assert_eq!(end("2026-03-02"), "2026-03-01");
        assert_eq!(end("2026-02-27"), "2026-02-26");
        // Today, and a day in the future.
        assert_eq!(end("2026-02-26"), "2026-02-26");
        assert_eq!(end("2026-02-20"), "2026-02-26");
    }
}
