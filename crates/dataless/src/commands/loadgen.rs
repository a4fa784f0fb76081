//! `loadgen`: builds the load generator and runs it against the running warehouse.

use std::ffi::OsString;

use anyhow::Result;

use crate::cli::Loadgen;
use crate::local::build::{LOADGEN, program};
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::process::Tool;
use crate::ui::step;
use crate::workspace::{InstanceName, Workspace};

/// Arguments that need no running warehouse: other commands, another target, help.
const ELSEWHERE: [&str; 8] = ["files", "ads", "help", "--help", "-h", "--version", "-V", "--base-url"];

pub fn run(workspace: &Workspace, options: &Loadgen) -> Result<Outcome> {
    let arguments = &options.arguments;
    let base_url = if sends_here(arguments) { Some(Warehouse::running(workspace)?.stack.base_url()?) } else { None };
    let log = workspace.instance(InstanceName::Up).logs().join("build.log");
    let (path, _) = step("build the load generator", || program(workspace, log.clone(), LOADGEN), |_| String::new())?;
    let tool = Tool::new(path, log)
        .args(arguments)
        // Its defaults are relative to the root of the repository, but typed paths to the current folder.
        .env("LOADGEN_CONFIG", workspace.path("load-generator/config.yaml"))
        .env("LOADGEN_SCHEMAS", workspace.path("events"));
    let status = base_url.iter().fold(tool, |tool, url| tool.env("BASE_URL", url)).attached()?;
    Ok(match status.code() {
        Some(0) => Outcome::Done,
        Some(2) => Outcome::Usage,
        _ => Outcome::Failed,
    })
}

/// Whether the arguments send events to the running warehouse.
fn sends_here(arguments: &[OsString]) -> bool {
    let is_elsewhere = |argument: &OsString| {
        let text = argument.to_string_lossy();
        ELSEWHERE.iter().any(|word| text == *word || text.strip_prefix(word).is_some_and(|rest| rest.starts_with('=')))
    };
    !arguments.iter().any(is_elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warehouse_is_needed_for_sending_to_it_and_for_nothing_else() {
        let sends = |text: &str| sends_here(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        for here in ["", "run", "--impressions 10", "run --day yesterday --repeats 0.1 --json"] {
            assert!(sends(here), "{here}");
        }
        let elsewhere = [
            "files --day yesterday --out x",
            "ads",
            "--help",
            "run -h",
            "--base-url http://x",
            "run --base-url=http://x",
        ];
        for elsewhere in elsewhere {
            assert!(!sends(elsewhere), "{elsewhere}");
        }
    }
}
