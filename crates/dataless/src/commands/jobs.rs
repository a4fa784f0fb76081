//! `etl` and `batch`: the deployed jobs, day by day.

use anyhow::{Result, bail};
use chrono::NaiveDate;

use super::{Outcome, Warehouse};
use crate::cli::DayRange;
use crate::stage::spark::{Job, Spark};
use crate::ui::step;
use crate::workspace::Workspace;

pub fn etl(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    run(workspace, range, &Job::ETL)
}

pub fn batch(workspace: &Workspace, range: DayRange) -> Result<Outcome> {
    run(workspace, range, &Job::BATCH)
}

fn run(workspace: &Workspace, range: DayRange, jobs: &[Job]) -> Result<Outcome> {
    let days = days(range)?;
    let Warehouse { tools, instance, stack, aws } = Warehouse::running(workspace)?;
    let spark = Spark::new(workspace, &tools, &instance, &aws, &stack);
    step("fetch the data", || spark.stage_in(), |()| String::new())?;
    for day in days {
        for job in jobs {
            step(job.title(), || spark.run(*job, day), |()| day.to_string())?;
        }
    }
    step("put back the results", || spark.stage_out(), |()| String::new())?;
    Ok(Outcome::Done)
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
