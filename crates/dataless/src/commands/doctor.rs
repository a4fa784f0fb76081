//! `doctor`: what is missing on this machine, and how to get it; with `--aws`, what would stop a deployment to an account.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use console::style;
use serde::{Deserialize, Serialize};

use super::set_up;
use crate::cli::{Account, Doctor};
use crate::environment;
use crate::local::emulator::choose_port;
use crate::local::tools::{ToolSet, Tools, check_java, find_python};
use crate::outcome::Outcome;
use crate::ui::verbose;
use crate::workspace::Workspace;

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Finding {
    what: String,
    /// Nothing has to be done.
    good: bool,
    /// It must be fixed before anything else works.
    stops: bool,
    /// What was found; or what is missing, and how to get it.
    detail: String,
    /// The command that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl Finding {
    fn new(what: &str, result: Result<String>) -> Self {
        let good = result.is_ok();
        let detail = result.unwrap_or_else(|error| format!("{error:#}"));
        Self { what: what.to_owned(), good, stops: !good, detail, command: None }
    }

    /// One line, and one for the command.
    fn line(&self, width: usize) -> String {
        let mark = match (self.good, self.stops) {
            (true, _) => style("✓").green(),
            (false, true) => style("✗").red(),
            (false, false) => style("!").yellow(),
        };
        let command = self.command.as_ref().map(|command| format!("\n{:width$}   {command}", "")).unwrap_or_default();
        format!("{mark} {:<width$} {}{command}", self.what, self.detail)
    }
}

pub fn run(workspace: &Workspace, options: &Doctor) -> Result<Outcome> {
    let findings = if options.aws { account(workspace, &options.account)? } else { machine(workspace) };
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
        for finding in &findings {
            outln!("{}", finding.line(width));
        }
    }
    Ok(outcome(&findings))
}

fn outcome(findings: &[Finding]) -> Outcome {
    findings.iter().all(|finding| !finding.stops).into()
}

fn machine(workspace: &Workspace) -> Vec<Finding> {
    let tools = Tools::new(workspace);
    let mut findings = vec![
        Finding::new("cargo", version("cargo")),
        Finding::new("git", version("git")),
        Finding::new("Python 3.11", find_python().map(|path| path.display().to_string())),
        Finding::new("Java 17", check_java()),
        Finding::new("a free port", choose_port(None).map(|port| port.to_string())),
    ];
    for set in ToolSet::ALL {
        let detail = if tools.is_ready(set) {
            "installed"
        } else {
            "not installed yet: the first command that needs it installs it"
        };
        findings.push(Finding::new(&format!("tools: {}", set.name()), Ok(detail.to_owned())));
    }
    findings
}

/// The findings of `tools/delivery/doctor.py`, with the user's own credentials and not against the emulator.
fn account(workspace: &Workspace, options: &Account) -> Result<Vec<Finding>> {
    let tools = Tools::new(workspace);
    if !tools.is_ready(ToolSet::Sam) {
        set_up::install(workspace, &[ToolSet::Sam])?;
    }
    let mut command = Command::new(tools.program(ToolSet::Sam, "python"));
    command.arg(workspace.path("tools/delivery/doctor.py"));
    // Settings of AWS are the user's; those of Python are not.
    environment::without(&mut command, |name| environment::is_foreign(name) && !environment::is_aws_setting(name));
    command.env("PYTHONPYCACHEPREFIX", workspace.path(".dataless/pycache"));
    let given = [
        ("--stack", &options.stack),
        ("--pipeline-stack", &options.pipeline_stack),
        ("--branch", &options.branch),
        ("--region", &options.region),
        ("--profile", &options.profile),
    ];
    for (name, value) in given {
        command.args(value.iter().flat_map(|value| [name, value]));
    }
    verbose(&format!("{command:?}"));
    // It inherits the terminal: a profile may ask for a code of a second factor.
    let child = command.stdout(Stdio::piped()).spawn().context("failed to check the account")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("failed to check the account ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("failed to read the findings about the account")
}

fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("could not find {program}: install it so that it is on the PATH"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings in the output format of `tools/delivery/doctor.py`.
    const FINDINGS: &str = r#"[
        {"what": "credentials", "detail": "account 1", "good": true, "stops": false, "command": null},
        {"what": "quota of Lambda", "detail": "10", "good": false, "stops": false, "command": "aws service-quotas …"},
        {"what": "stack dataless", "detail": "ROLLBACK_COMPLETE", "good": false, "stops": true, "command": "aws …"}
    ]"#;

    #[test]
    fn only_what_stops_a_deployment_fails_the_command() {
        let findings: Vec<Finding> = serde_json::from_str(FINDINGS).unwrap();
        assert_eq!(outcome(&findings), Outcome::Failed);
        assert_eq!(outcome(&findings[..2]), Outcome::Done);
    }

    #[test]
    fn a_finding_is_one_line_and_its_command_another() {
        let findings: Vec<Finding> = serde_json::from_str(FINDINGS).unwrap();
        let lines: Vec<String> = findings.iter().map(|finding| finding.line(15)).collect();
        let plain: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line)).collect();
        assert_eq!(plain[0], "✓ credentials     account 1");
        assert_eq!(plain[1], "! quota of Lambda 10\n                  aws service-quotas …");
        assert!(plain[2].starts_with("✗ stack dataless  ROLLBACK_COMPLETE\n"));
    }

    #[test]
    fn a_missing_program_stops_everything_else() {
        assert!(Finding::new("git", Err(anyhow::anyhow!("missing"))).stops);
        assert!(!Finding::new("git", Ok("2.47".to_owned())).stops);
    }
}
