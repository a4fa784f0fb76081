//! `replay --undelivered`: restores acknowledged lines that Firehose set aside to the raw zone.
//!
//! It runs `glue/undelivered.py`, as on AWS.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::cli::Replay;
use crate::local::stack::Output;
use crate::local::tools::ToolSet;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::process::Tool;
use crate::ui::{counted, note, step};
use crate::workspace::Workspace;

/// The report of the script.
#[derive(Debug, Deserialize, Serialize)]
struct Report {
    /// Lines that are in raw now, by table.
    lines: BTreeMap<String, u64>,
    /// Objects that were added to the raw zone.
    objects: Vec<String>,
    /// Error objects that the script deleted after its report.
    removed: Vec<String>,
    /// Error objects that were not touched because one of their records can't be read.
    unreadable: Vec<String>,
    /// The arrival days to run the batch for. The batch also runs the days whose look-back includes them.
    rerun: Option<Range>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Range {
    from: NaiveDate,
    to: NaiveDate,
}

pub fn run(workspace: &Workspace, options: &Replay) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let bucket = warehouse.stack.output(Output::DataLakeBucket)?;
    let database = warehouse.stack.output(Output::GlueDatabase)?;
    let run = || {
        let log = warehouse.instance.logs().join("aws.log");
        let tool = Tool::new(warehouse.tools.program(ToolSet::Spark, "python"), log)
            .arg(workspace.path("glue/undelivered.py"))
            .args(["--bucket", bucket, "--database", database, "--day", &options.day.to_string()]);
        restore(&warehouse.aws.with_endpoint(tool))
    };
    let summary = |(report, _): &(Report, _)| counted(report.objects.len() as u64, "object");
    let ((report, ended), _) = step("restore what was set aside", run, summary)?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for key in &report.unreadable {
            outln!("{key} has an unreadable record: nothing of it was restored");
        }
        note(&advice(&report, options.day));
    }
    if report.unreadable.is_empty() {
        ended?;
    }
    Ok(report.unreadable.is_empty().into())
}

/// The script's report, and whether the script failed: when it could not read an object, or could not delete what it had
/// restored.
fn restore(tool: &Tool) -> Result<(Report, Result<()>)> {
    let (printed, ended) = tool.output_and_end()?;
    match parse(&printed) {
        Ok(report) => Ok((report, ended)),
        Err(error) => ended.and(Err(error)),
    }
}

fn parse(printed: &str) -> Result<Report> {
    serde_json::from_str(printed).context("failed to read what was restored")
}

/// The result and the next step.
fn advice(report: &Report, day: NaiveDate) -> String {
    let batch = |from: NaiveDate, to: NaiveDate| format!("  cargo dataless batch --day {from} --to {to}");
    match &report.rerun {
        Some(Range { from, to }) => {
            let lines = counted(report.lines.values().sum(), "line");
            format!("Restored to raw: {lines}. To load them into the lake, run\n{}", batch(*from, *to))
        }
        None => format!("Nothing of {day} was restored. If the ledger still counts some, run\n{}", batch(day, day)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> NaiveDate {
        "2026-11-20".parse().unwrap()
    }

    /// The output of the script for one object with five lines.
    const TAKEN: &str = r#"{"lines": {"impressions": 5, "clicks": 0},
        "objects": ["data/raw/ad/impressions/year=2026/month=11/day=20/hour=23/undelivered-0c5a3f1b2d4e6a78.gz",
            "data/raw/ad/impressions/year=2026/month=11/day=21/hour=00/undelivered-0c5a3f1b2d4e6a78.gz"],
        "removed": ["data/raw-errors/impressions/processing-failed/year=2026/month=11/day=20/hour=11/a"],
        "unreadable": [], "rerun": {"from": "2026-11-20", "to": "2026-11-21"}}"#;
    /// The output of a second run, which restores nothing.
    const NOTHING: &str = r#"{"lines": {"impressions": 0, "clicks": 0}, "objects": [], "removed": [],
        "unreadable": [], "rerun": null}"#;

    #[test]
    fn the_advice_is_to_run_the_batch_of_all_days_that_the_lines_concern() {
        let report = parse(TAKEN).unwrap();
        assert_eq!((report.objects.len(), report.removed.len()), (2, 1));
        assert_eq!(
            advice(&report, day()),
            "Restored to raw: 5 lines. To load them into the lake, run\n  cargo dataless batch --day 2026-11-20 --to 2026-11-21"
        );
    }

    #[test]
    fn if_nothing_was_restored_the_ledger_may_be_outdated() {
        let advice = advice(&parse(NOTHING).unwrap(), day());
        assert!(advice.starts_with("Nothing of 2026-11-20 was restored."), "{advice}");
        assert!(advice.ends_with("cargo dataless batch --day 2026-11-20 --to 2026-11-20"), "{advice}");
    }

    #[test]
    fn a_report_is_read_even_if_the_script_fails_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let script = |line: &str| Tool::new("sh", dir.path().join("log")).args(["-c", line]);
        let (report, ended) = restore(&script(&format!("echo '{TAKEN}'; exit 1"))).unwrap();
        assert_eq!(report.rerun.unwrap().to, "2026-11-21".parse().unwrap());
        assert!(ended.is_err());
        let error = restore(&script("echo no such bucket >&2; exit 1")).unwrap_err();
        assert!(error.to_string().contains("no such bucket"), "{error}");
    }

    #[test]
    fn the_flag_undelivered_excludes_a_file() {
        use clap::Parser;
        let arguments = ["dataless", "replay", "--day", "2026-11-20", "--undelivered"];
        assert!(crate::cli::Arguments::try_parse_from(arguments).is_ok());
        let with_file = arguments.into_iter().chain(["--file", "fixed.ndjson"]);
        assert!(crate::cli::Arguments::try_parse_from(with_file).is_err());
    }
}
