//! The load: events of every type, sent live, with a journal of their fates.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use event_types::EventType;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::process::Tool;
use crate::workspace::{Instance, Workspace};

/// The types of the simulation.
const SIMULATED: [&str; 2] = ["impressions", "clicks"];
/// As in `load-generator/chaos.yaml`.
const CLICKTHROUGH: f64 = 0.3;

/// The number of events per type.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Amounts {
    pub impressions: u64,
    /// Of each other type.
    pub others: u64,
}

impl Amounts {
    /// Distributes events over the types: a tenth for each type that is not simulated, up to half of all events.
    pub fn of(events: u64, types: &[EventType]) -> Self {
        let others = types.iter().filter(|found| !SIMULATED.contains(&found.name.as_str())).count() as u64;
        let each = (events / 2).checked_div(others).map_or(0, |most| most.min(events / 10).max(1));
        let simulated = events - each * others;
        Self { impressions: (simulated as f64 / (1.0 + CLICKTHROUGH)).round() as u64, others: each }
    }
}

pub fn journal(instance: &Instance) -> PathBuf {
    instance.dir().join("journal.gz")
}

/// Sends the events within this time, and returns the generator's report.
pub fn send(
    workspace: &Workspace,
    instance: &Instance,
    program: &Path,
    base_url: &str,
    (types, amounts): (&[EventType], &Amounts),
    (seed, seconds, batch_size): (u64, f64, Option<u16>),
) -> Result<Value> {
    let others = types.iter().filter(|found| !SIMULATED.contains(&found.name.as_str()));
    let others: Vec<String> = others.map(|found| format!("{}={}", found.name, amounts.others)).collect();
    let rate = (amounts.impressions as f64 / seconds).max(1.0);
    let tool = Tool::new(program, instance.logs().join("loadgen.log"))
        .arg("run")
        .arg("--config")
        .arg(workspace.path("load-generator/chaos.yaml"))
        .args(["--base-url", base_url])
        .args(["--impressions", &amounts.impressions.to_string()])
        .args(["--rate", &format!("{rate:.3}/s")])
        .args(["--seed", &seed.to_string()])
        .arg("--schemas")
        .arg(workspace.path("events"))
        .args(others.iter().flat_map(|events| ["--events", events]))
        .args(batch_size.iter().flat_map(|size| ["--batch-size".to_owned(), size.to_string()]))
        .arg("--journal")
        .arg(journal(instance))
        .arg("--json");
    // It fails if an event was refused, which faults cause.
    let (printed, ended) = tool.output_and_end()?;
    match serde_json::from_str(&printed) {
        Ok(report) => Ok(report),
        Err(error) => {
            ended?;
            Err(error).context("failed to read the report of the load generator")
        }
    }
}

/// Writes files of a day for `import`, and returns their folder.
pub fn write_files(
    workspace: &Workspace,
    instance: &Instance,
    program: &Path,
    day: &str,
    (impressions, seed): (u64, u64),
) -> Result<PathBuf> {
    let folder = instance.dir().join("import");
    Tool::new(program, instance.logs().join("loadgen.log"))
        .arg("files")
        .arg("--config")
        .arg(workspace.path("load-generator/config.yaml"))
        .args(["--day", day, "--impressions", &impressions.to_string(), "--seed", &seed.to_string(), "--out"])
        .arg(&folder)
        .run()?;
    Ok(folder)
}

/// The ads of the load, the most popular first.
pub fn ads(workspace: &Workspace, instance: &Instance, program: &Path) -> Result<Vec<String>> {
    let tool = Tool::new(program, instance.logs().join("loadgen.log")).args(["ads", "--config"]);
    let printed = tool.arg(workspace.path("load-generator/chaos.yaml")).output()?;
    Ok(printed.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(names: &[&str]) -> Vec<EventType> {
        let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/impressions.json"));
        let schema = schema.unwrap();
        names.iter().map(|name| event_types::read_type(name, &schema).unwrap()).collect()
    }

    #[test]
    fn events_are_split_over_all_types() {
        let amounts = |events, names: &[&str]| {
            let Amounts { impressions, others } = Amounts::of(events, &types(names));
            (impressions, others)
        };
        assert_eq!(amounts(13_000, &["clicks", "impressions"]), (10_000, 0));
        assert_eq!(amounts(13_000, &["clicks", "impressions", "orders"]), (9_000, 1_300));
        let many = ["clicks", "impressions", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"];
        assert_eq!(amounts(16_000, &many), (6_154, 1_000));
    }
}
