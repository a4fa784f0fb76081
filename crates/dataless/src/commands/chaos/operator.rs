//! Runs commands of this program as an operator would, as documented.

use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::process::{Tool, check_interrupted};
use crate::workspace::{Instance, InstanceName, Workspace};

/// A command that has run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CommandRun {
    /// As a user would type it for the warehouse of `up`.
    pub command: String,
    /// Seconds from the start of the load.
    pub at: f64,
    pub succeeded: bool,
}

/// Runs commands against the warehouse under test.
#[derive(Clone, Debug)]
pub struct Operator {
    program: PathBuf,
    root: PathBuf,
    log: PathBuf,
}

impl Operator {
    pub fn new(workspace: &Workspace, instance: &Instance) -> Result<Self> {
        let program = std::env::current_exe().context("failed to find the path of this program")?;
        let log = instance.logs().join("operator.log");
        Ok(Self { program, root: workspace.root().to_path_buf(), log })
    }

    /// Runs a command, and returns whether it succeeded.
    pub fn run(&self, arguments: &[&str]) -> Result<bool> {
        let tool = Tool::new(&self.program, self.log.clone());
        let tool = tool.dir(&self.root).args(["--warehouse", InstanceName::Chaos.as_str()]).args(arguments);
        let ended = tool.run();
        check_interrupted()?;
        Ok(ended.is_ok())
    }
}

/// The arguments of `batch` for a range.
pub fn batch(first: NaiveDate, last: NaiveDate) -> Vec<String> {
    ["batch", "--day", &first.to_string(), "--to", &last.to_string()].map(str::to_owned).into()
}
