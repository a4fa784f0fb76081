//! `up`: the warehouse, to stay.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;
use crate::cli::Up;
use crate::stage::aws::Aws;
use crate::stage::delivery;
use crate::stage::deploy::{self, Stack};
use crate::stage::emulator::{self, Emulator};
use crate::stage::tools::{ToolSet, Tools, check_java};
use crate::ui::{note, step};
use crate::workspace::{Instance, InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Up) -> Result<Outcome> {
    let instance = workspace.instance(InstanceName::Up);
    let running = Stack::load(&instance).filter(|stack| emulator::answers(stack.port));
    if let (Some(stack), Some(port)) = (&running, options.port)
        && stack.port != port
    {
        bail!("the warehouse runs on port {} already: stop it first with `cargo dataless down`", stack.port);
    }
    let tools = set_up(workspace, &instance)?;
    let stack = match running {
        Some(stack) => deploy_to(workspace, &tools, &instance, stack.port, stack.emulator)?.0,
        None => {
            let (mut emulator, _) = start_emulator(&tools, &instance, options.port)?;
            let deployed = deploy_to(workspace, &tools, &instance, emulator.port(), emulator.id());
            let (stack, _) = emulator.explain(deployed)?;
            emulator.detach();
            stack
        }
    };
    note("\nThe warehouse runs. In this shell:");
    println!("export BASE_URL={}", stack.base_url()?);
    println!(
        "export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1",
        stack.endpoint()
    );
    note("\nStop it with `cargo dataless down`; its data stays for the next `up`.");
    Ok(Outcome::Done)
}

/// Installs the tools and builds the functions.
pub fn set_up(workspace: &Workspace, instance: &Instance) -> Result<Tools> {
    let tools = install(workspace, instance)?;
    build(workspace, &tools, instance)?;
    Ok(tools)
}

/// Installs the tools.
pub fn install(workspace: &Workspace, instance: &Instance) -> Result<Tools> {
    instance.create()?;
    let tools = Tools::new(workspace);
    step("find Java", check_java, |version| version.clone())?;
    step(
        "install the tools",
        || tools.install(&ToolSet::RUN),
        |count| match count {
            0 => "all there".to_owned(),
            count => format!("{count} sets into .dataless/tools"),
        },
    )?;
    Ok(tools)
}

/// Builds the functions.
pub fn build(workspace: &Workspace, tools: &Tools, instance: &Instance) -> Result<()> {
    step("build the functions", || deploy::build(workspace, tools, instance), |()| "sam build".to_owned())?;
    Ok(())
}

/// Starts an emulator on the port, or on one that is free.
pub fn start_emulator(tools: &Tools, instance: &Instance, port: Option<u16>) -> Result<(Emulator, Duration)> {
    // A port that was chosen is free until the emulator takes it.
    let _turn = instance.take_turn("start")?;
    let port = emulator::choose_port(port)?;
    step("start the emulator", || Emulator::start(tools, instance, port), |emulator| emulator.endpoint())
}

/// Deploys what was built to an emulator that runs.
pub fn deploy_to(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    port: u16,
    emulator: u32,
) -> Result<(Stack, Duration)> {
    let aws = Aws::new(&emulator::endpoint(port), tools, instance.logs());
    let deploy = || deploy::deploy(workspace, tools, instance, &aws, port, emulator);
    let deployed = step("deploy template.yaml", deploy, |stack| format!("{} outputs", stack.outputs.len()))?;
    deployed.0.save(instance)?;
    Ok(deployed)
}

/// Builds and deploys to an emulator that runs, as the pipeline of `build.yaml` does.
pub fn deliver_to(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    port: u16,
    emulator: u32,
) -> Result<(Stack, Duration)> {
    let aws = Aws::new(&emulator::endpoint(port), tools, instance.logs());
    let built = || delivery::build(workspace, tools, instance, &aws);
    let (artifact, building) = step("run buildspec.yml", built, |artifact| artifact.url())?;
    let deploy = || delivery::deploy(workspace, tools, instance, &aws, &artifact, (port, emulator));
    let (stack, deploying) = step("deploy from S3", deploy, |stack| format!("{} outputs", stack.outputs.len()))?;
    stack.save(instance)?;
    Ok((stack, building + deploying))
}
