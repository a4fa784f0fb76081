//! Runs the load generator.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::Deserialize;

use crate::local::stack::Stack;
use crate::process::Tool;
use crate::workspace::{Instance, Workspace};

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub day: NaiveDate,
    pub impressions: u64,
    /// Other types, and how many events of each.
    pub events: &'a [(String, u64)],
    pub seed: u64,
    pub clickthrough: f64,
}

/// The report of the load generator.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadReport {
    pub events: BTreeMap<String, LoadCounts>,
}

/// The outcomes of the events of a type.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadCounts {
    pub acknowledged: u64,
}

/// Sends the events and waits until each is acknowledged.
pub fn run(
    workspace: &Workspace,
    instance: &Instance,
    program: &Path,
    stack: &Stack,
    load: Load<'_>,
) -> Result<LoadReport> {
    let events: Vec<String> = load.events.iter().map(|(name, count)| format!("{name}={count}")).collect();
    let printed = Tool::new(program, instance.logs().join("loadgen.log"))
        .arg("run")
        .arg("--config")
        .arg(workspace.path("load-generator/config.yaml"))
        .args(["--base-url", &stack.base_url()?])
        .args(["--day", &load.day.to_string()])
        .args(["--impressions", &load.impressions.to_string()])
        .args(["--seed", &load.seed.to_string()])
        .args(["--clickthrough", &load.clickthrough.to_string()])
        .arg("--schemas")
        .arg(workspace.path("events"))
        .args(events.iter().flat_map(|events| ["--events", events]))
        .arg("--json")
        .output()?;
    serde_json::from_str(&printed).context("failed to read the report of the load generator")
}
