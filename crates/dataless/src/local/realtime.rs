//! Reads the real-time counts of CloudWatch.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use event_types::EventType;
use serde::Deserialize;

use crate::local::aws::Aws;
use crate::local::stack::{Output, Stack};

/// Events by minute.
pub type Minutes = BTreeMap<DateTime<Utc>, u64>;

/// Reads the counts of an event type between two times.
pub fn count_by_minute(
    aws: &Aws,
    stack: &Stack,
    event_type: &EventType,
    (start, end): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Minutes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        datapoints: Vec<Datapoint>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Datapoint {
        /// Seconds of Unix time, as the emulator writes it.
        timestamp: i64,
        sum: f64,
    }
    // The workgroup has the name of the stack.
    let dimension = format!("Name=Stack,Value={}", stack.output(Output::AthenaWorkGroup)?);
    let [start, end] = [start, end].map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let metric = event_type.pascal_case();
    let command = ["cloudwatch", "get-metric-statistics", "--namespace", "Warehouse/Advertising", "--metric-name"];
    let figures = ["--statistics", "Sum", "--period", "60", "--start-time", &start, "--end-time", &end];
    let answer: Answer = aws
        .json(&[&command[..], &[&metric, "--dimensions", &dimension], &figures].concat())
        .context("failed to read the real-time counts")?;
    let minute = |point: &Datapoint| Some((DateTime::from_timestamp(point.timestamp, 0)?, point.sum.round() as u64));
    Ok(answer.datapoints.iter().filter_map(minute).collect())
}
