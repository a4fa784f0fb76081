//! `doctor`: what this machine lacks, and how to get it.

use std::process::Command;

use anyhow::{Context, Result};
use console::style;
use serde::Serialize;

use super::Outcome;
use crate::cli::Doctor;
use crate::stage::emulator::choose_port;
use crate::stage::tools::{ToolSet, Tools, check_java, find_python};
use crate::workspace::Workspace;

#[derive(Serialize)]
struct Finding {
    what: String,
    /// Nothing needs to be done.
    good: bool,
    /// What was found, or what is missing and how to get it.
    detail: String,
}

impl Finding {
    fn new(what: &str, result: Result<String>) -> Self {
        let good = result.is_ok();
        Self { what: what.to_owned(), good, detail: result.unwrap_or_else(|error| format!("{error:#}")) }
    }
}

pub fn run(workspace: &Workspace, options: &Doctor) -> Result<Outcome> {
    let tools = Tools::new(workspace);
    let mut findings = vec![
        Finding::new("cargo", version("cargo")),
        Finding::new("git", version("git")),
        Finding::new("Python 3.11", find_python().map(|path| path.display().to_string())),
        Finding::new("Java 17", check_java()),
        Finding::new("a free port", choose_port(None).map(|port| port.to_string())),
    ];
    for set in ToolSet::ALL {
        let detail =
            if tools.is_ready(set) { "installed" } else { "not yet: the first command that needs it installs it" };
        findings.push(Finding { what: format!("tools: {}", set.name()), good: true, detail: detail.to_owned() });
    }
    let good = findings.iter().all(|finding| finding.good);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in findings {
            let mark = if finding.good { style("✓").green() } else { style("✗").red() };
            println!("{mark} {:<18} {}", finding.what, finding.detail);
        }
    }
    Ok(good.into())
}

fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("{program} is missing: install it so that it is on the PATH"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
