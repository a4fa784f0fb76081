//! The SAM command line, configured for the emulator.

use anyhow::{Result, bail};

use crate::environment;
use crate::local::aws::REGION;
use crate::local::tools::{ToolSet, Tools};
use crate::process::Tool;
use crate::workspace::Instance;

/// SAM without the AWS settings of the user.
pub fn sam(tools: &Tools, instance: &Instance) -> Result<Tool> {
    Ok(Tool::new(tools.program(ToolSet::Sam, "sam"), instance.logs().join("sam.log"))
        .env("PATH", tools.path_with(&[ToolSet::Sam])?)
        .env("SAM_CLI_TELEMETRY", "0")
        // Seconds between polls of a deployment, which the emulator finishes at once.
        .env("SAM_CLI_POLL_DELAY", "0.2")
        .without(environment::is_aws_setting)
        .env("AWS_DEFAULT_REGION", REGION))
}

/// The parameter of the template for the architecture of this machine.
pub fn architecture() -> Result<String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x86_64",
        "aarch64" => "arm64",
        other => bail!("Lambda does not support the architecture {other}"),
    };
    Ok(format!("Architecture={architecture}"))
}
