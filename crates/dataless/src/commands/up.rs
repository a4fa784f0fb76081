//! `up`: starts the warehouse and leaves it running.

use anyhow::{Result, bail};

use super::set_up::{deploy_to, prepare, stage, start_emulator};
use crate::cli::Up;
use crate::local::stack::{Profile, Target};
use crate::local::warehouse::running_stack;
use crate::outcome::Outcome;
use crate::ui::note;
use crate::workspace::{InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Up) -> Result<Outcome> {
    let instance = workspace.instance(InstanceName::Up);
    let running = running_stack(&instance);
    if let (Some(stack), Some(port)) = (&running, options.port)
        && stack.port != port
    {
        bail!("the warehouse is already running on port {}: stop it first with `cargo dataless down`", stack.port);
    }
    let profile = if options.release { Profile::Release } else { Profile::Local };
    let start = |tools: &_| match running {
        Some(_) => Ok(None),
        None => start_emulator(workspace, tools, &instance, options.port).map(|(servers, _)| Some(servers)),
    };
    let (prepared, started) = prepare(workspace, &instance, start)?;
    stage(workspace, &instance, &prepared, profile)?;
    let deploy = |target| deploy_to(workspace, &prepared.tools, &instance, target).map(|(stack, _)| stack);
    let stack = match (started, running) {
        (Some(mut servers), _) => {
            let deployed = deploy(servers.target(profile));
            let stack = servers.explain(deployed)?;
            servers.detach();
            stack
        }
        (None, Some(stack)) => deploy(Target { port: stack.port, emulator: stack.emulator, profile })?,
        (None, None) => bail!("no emulator is running"),
    };
    note("\nThe warehouse is running. In your shell:");
    outln!("export BASE_URL={}", stack.base_url()?);
    outln!(
        "export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1",
        stack.endpoint()
    );
    note("\nStop it with `cargo dataless down`. Its data stays for the next `up`.");
    Ok(Outcome::Done)
}
