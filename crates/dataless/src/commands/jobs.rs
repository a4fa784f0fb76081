//! `etl` and `batch`: the deployed jobs by themselves, and the state machine that runs them every night.

use anyhow::{Result, bail};
use chrono::NaiveDate;

use super::{Outcome, Warehouse};
use crate::cli::{DayRange, Etl};
use crate::stage::aws::Aws;
use crate::stage::deploy::Stack;
use crate::stage::pipeline::{Execution, JobRun};
use crate::ui::{note, step};
use crate::workspace::Workspace;

pub fn etl(workspace: &Workspace, options: &Etl) -> Result<Outcome> {
    let days = days(options.range)?;
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    for day in days {
        for (job, title) in options.engine.jobs() {
            step(title, || spark.day_job(job, day), |()| day.to_string())?;
        }
    }
    Ok(Outcome::Done)
}

pub fn batch(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    let days = days(range)?;
    let warehouse = Warehouse::running(workspace)?;
    let last = days.last().copied().unwrap_or(range.day);
    execute(&warehouse.aws, &warehouse.stack, range.day, last)?;
    Ok(Outcome::Done)
}

pub fn verify(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    let last = days(range)?.last().copied().unwrap_or(range.day);
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let (data_path, first, last) = (spark.data_path()?, range.day.to_string(), last.to_string());
    let lookback_days = warehouse.stack.output("LookbackDays")?;
    let args = ["--data_path", &data_path, "--from", &first, "--to", &last, "--lookback_days", lookback_days];
    let check = || spark.check("glue/local/duckdb_check.py", &args);
    let ((equal, printed), _) = step("recompute from raw", check, |_| "in DuckDB".to_owned())?;
    out!("{printed}");
    Ok(equal.into())
}

/// Runs the deployed state machine for a range of days, and shows its steps as they end.
pub fn execute(aws: &Aws, stack: &Stack, first: NaiveDate, last: NaiveDate) -> Result<()> {
    let run = || Execution::start(aws, stack, first, last)?.follow(aws, |run| show(stack, run));
    let days = if first == last { first.to_string() } else { format!("{first} to {last}") };
    step("nightly batch", run, |()| days)?;
    Ok(())
}

fn show(stack: &Stack, run: &JobRun) {
    let JobRun { job, day, seconds, error } = run;
    // The logical name says more than the one that AWS has made of it.
    let name = stack.outputs.iter().find(|(_, value)| *value == job).map_or(job.as_str(), |(name, _)| name);
    match error {
        None => note(&format!("  {name:<27} {day} {seconds:>5} s")),
        Some(error) => {
            let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            note(&format!("  {name:<27} {day} failed: {last}"));
        }
    }
}

fn days(range: DayRange) -> Result<Vec<NaiveDate>> {
    let last = range.to.unwrap_or(range.day);
    if last < range.day {
        bail!("--to {last} is before --day {}", range.day);
    }
    Ok(range.day.iter_days().take_while(|day| *day <= last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_its_ends() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let range = |to| DayRange { day: day("2026-02-27"), to };
        assert_eq!(days(range(None)).unwrap(), [day("2026-02-27")]);
        let march = Some(day("2026-03-01"));
        assert_eq!(days(range(march)).unwrap(), [day("2026-02-27"), day("2026-02-28"), day("2026-03-01")]);
        assert!(days(range(Some(day("2026-02-26")))).is_err());
    }
}
